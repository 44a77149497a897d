//! `[limits]` and `[tenants.limits]`: how often verifications may be started.

use std::str::FromStr as _;
use std::time::Duration;

use toml::Spanned;

use super::complaint::{did_you_mean, quoted};
use super::raw;
use super::reader::Reader;
use crate::verify::limits::{By, Limits, Rate, span};

/// What these two tables say together: each list of `own` stands in the place of that of `common`,
/// and that in the place of the default.
pub(super) fn limits(
    reader: &mut Reader<'_>,
    common: &raw::Limits,
    own: Option<(&str, &raw::Limits)>,
) -> Limits {
    let standard = Limits::standard();
    let mut limits = Limits::default();
    for by in By::ALL {
        let (key, written) = written(by, common, own);
        match written {
            Some(rates) => {
                let rates = rates.iter().enumerate();
                let rates =
                    rates.filter_map(|(n, rate)| read(reader, &format!("{key}[{n}]"), rate));
                limits.rates.extend(rates.map(|rate| (by, rate)));
            }
            None => limits.rates.extend(standard.rates.iter().filter(|(other, _)| *other == by)),
        }
    }
    let own_record = own.and_then(|(key, own)| Some((key, own.record_only.as_ref()?)));
    let record = own_record.or_else(|| Some(("limits", common.record_only.as_ref()?)));
    if let Some((key, words)) = record {
        for (n, word) in words.iter().enumerate() {
            if word.get_ref() == CONVERSION {
                limits.record_conversion = true;
            } else {
                let found = kind(reader, &format!("{key}.record_only[{n}]"), word);
                limits.record_only.extend(found);
            }
        }
    }
    let own_pauses = own.and_then(|(key, own)| Some((key, own.subject_pauses.as_ref()?)));
    let pauses = own_pauses.or_else(|| Some(("limits", common.subject_pauses.as_ref()?)));
    limits.pauses = match pauses {
        Some((key, written)) => pauses_of(reader, &format!("{key}.subject_pauses"), written),
        None => standard.pauses,
    };
    limits
}

/// The word for conversion, which is no rate.
const CONVERSION: &str = "conversion";

/// Spans of time, each at least as long as the one before.
fn pauses_of(reader: &mut Reader<'_>, key: &str, written: &Rates) -> Vec<Duration> {
    let mut pauses: Vec<Duration> = Vec::new();
    for (n, text) in written.iter().enumerate() {
        match span(text.get_ref()) {
            Some(pause) if pauses.last().is_none_or(|last| *last <= pause) => pauses.push(pause),
            Some(_) | None => {
                let message = "write how long to wait, as \"1m\", \"5m\" or \"1h\", each at least as \
                               long as the one before";
                let place = reader.place(text);
                reader.complain(
                    place,
                    &format!("{key}[{n}]"),
                    Some(quoted(text.get_ref())),
                    message,
                );
            }
        }
    }
    pauses
}

type Rates = [Spanned<String>];

/// What is written for this kind, and where.
fn written<'a>(
    by: By,
    common: &'a raw::Limits,
    own: Option<(&str, &'a raw::Limits)>,
) -> (String, Option<&'a Rates>) {
    let of = |limits: &'a raw::Limits| match by {
        By::Number => limits.number.as_deref(),
        By::Subject => limits.subject.as_deref(),
        By::ClientIp => limits.client_ip.as_deref(),
        By::Prefix => limits.prefix.as_deref(),
        By::Country => limits.country.as_deref(),
        By::Tenant => limits.tenant.as_deref(),
    };
    match own.and_then(|(key, own)| Some((key, of(own)?))) {
        Some((key, rates)) => (format!("{key}.{}", by.as_str()), Some(rates)),
        None => (format!("limits.{}", by.as_str()), of(common)),
    }
}

fn read(reader: &mut Reader<'_>, key: &str, written: &Spanned<String>) -> Option<Rate> {
    match Rate::from_str(written.get_ref()) {
        Ok(rate) => Some(rate),
        Err(why) => {
            let place = reader.place(written);
            reader.complain(place, key, Some(quoted(written.get_ref())), why.to_string());
            None
        }
    }
}

fn kind(reader: &mut Reader<'_>, key: &str, written: &Spanned<String>) -> Option<By> {
    let word = written.get_ref();
    let found = By::ALL.into_iter().find(|by| by.as_str() == word);
    if found.is_none() {
        let words = By::ALL.map(By::as_str);
        let hint = did_you_mean(word, words.into_iter().chain([CONVERSION]));
        let message = format!("write one of {}, {CONVERSION}{hint}", words.join(", "));
        let place = reader.place(written);
        reader.complain(place, key, Some(quoted(word)), message);
    }
    found
}
