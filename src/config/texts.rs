//! `[texts.LOCALE]`: what texts say, in place of what is compiled in; and what they take.

use std::collections::BTreeMap;

use toml::Spanned;

use super::complaint::quoted;
use super::raw::Raw;
use super::reader::{Place, Reader};
use crate::gateway::settings::Tenant;
use crate::verify::code::SHORTEST;
use crate::verify::gsm::{self, Encoding};
use crate::verify::language;
use crate::verify::text::{Fill, Kind, Texts};
use crate::verify::transaction::Transaction;

/// The most segments that the gateway sends: a longer text would be refused when it is wanted.
const SEGMENTS_MOST: usize = 10;

/// A brand of usual length, for counting.
const BRAND: &str = "Example Bank";

/// The digits of a code, as far as a code goes.
const DIGITS: &str = "1234567890";

/// What the text of a code looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The language, as the tenant or the configuration writes it.
    pub locale: String,
    /// Whose text it is; `None` for one that the configuration has and no tenant uses of itself.
    pub tenant: Option<String>,
    /// The text, with a code that is none.
    pub text: String,
    /// How it goes on the air: `GSM-7` or `UCS-2`.
    pub encoding: &'static str,
    /// How many segments it takes, each of which is paid.
    pub segments: usize,
}

impl Sample {
    fn of(locale: &str, tenant: Option<&str>, text: String) -> Self {
        let taken = gsm::segments(&text);
        Self {
            locale: locale.to_owned(),
            tenant: tenant.map(str::to_owned),
            text,
            encoding: match taken.encoding {
                Encoding::Gsm7 => "GSM-7",
                Encoding::Ucs2 => "UCS-2",
            },
            segments: taken.count,
        }
    }
}

pub(super) fn texts(
    reader: &mut Reader<'_>,
    written: &BTreeMap<String, BTreeMap<String, Spanned<String>>>,
) -> Texts {
    let mut texts = match Texts::compiled() {
        Ok(texts) => texts,
        Err(error) => {
            reader.complain_of_file("texts", format!("the texts compiled in are damaged: {error}"));
            Texts::default()
        }
    };
    for (locale, kinds) in written {
        for (kind, template) in kinds {
            let key = format!("texts.{locale}.{kind}");
            let place = reader.place(template);
            if let Err(error) = texts.with(locale, kind, template.get_ref()) {
                let value = Some(quoted(template.get_ref()));
                reader.complain(place, &key, value, error.to_string());
                continue;
            }
            let count = gsm::segments(&example(&texts, locale, kind)).count;
            judge(reader, place, &key, count, "shorten it");
        }
    }
    texts
}

/// The text of a code, for every tenant that texts and every language that has templates here.
pub(super) fn samples(
    reader: &mut Reader<'_>,
    texts: &Texts,
    written: &Raw,
    tenants: &[Tenant],
) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    for (i, (tenant, raw)) in tenants.iter().zip(&written.tenants).enumerate() {
        if tenant.rules.sms_countries.is_empty() {
            continue;
        }
        let texting = &tenant.texting;
        let fill = Fill {
            code: DIGITS.get(..usize::from(texting.code_digits)).unwrap_or(DIGITS),
            brand: tenant.brand.as_ref().map(|brand| brand.as_str()),
            minutes: 5,
            domain: texting.domain.as_deref(),
            android_hash: texting.android_hash.as_deref(),
            never_ask: texting.never_ask,
            ..Fill::default()
        };
        let locale = tenant.locale.as_deref().unwrap_or(language::FALLBACK);
        let text = texts.render(locale, Kind::Code, &fill);
        let sample = Sample::of(locale, Some(&tenant.name), text);
        let own = raw.get_ref().locale.as_ref();
        let place = own.map_or(reader.place(raw), |locale| reader.place(locale));
        let key = format!("tenants[{i}].locale");
        let remedy = "shorten its template, the brand or otp_domain";
        judge(reader, place, &key, sample.segments, remedy);
        samples.push(sample);
    }
    for (locale, kinds) in &written.texts {
        let used = samples.iter().any(|it| it.locale.eq_ignore_ascii_case(locale));
        if !used && !kinds.is_empty() {
            let text = example(texts, locale, Kind::Code.as_str());
            samples.push(Sample::of(locale, None, text));
        }
    }
    samples
}

/// Says what is to be said of a text that takes so many segments.
fn judge(reader: &mut Reader<'_>, place: Place, key: &str, count: usize, remedy: &str) {
    if count > SEGMENTS_MOST {
        let message = format!(
            "the text takes {count} segments, and more than {SEGMENTS_MOST} are never sent: {remedy}"
        );
        reader.complain(place, key, None, message);
    } else if count > 1 {
        let message = format!("the text takes {count} segments, each of which is paid");
        reader.warn(place, key, None, message);
    }
}

/// A text of this kind as it may be sent; empty when there is no such kind.
fn example(texts: &Texts, locale: &str, kind: &str) -> String {
    let Some(kind) = Kind::ALL.iter().copied().find(|it| it.as_str() == kind) else {
        return String::new();
    };
    let payment = Transaction::new("49.90", "EUR", "ACME").ok();
    let fill = Fill {
        code: DIGITS.get(..usize::from(SHORTEST)).unwrap_or(DIGITS),
        brand: Some(BRAND),
        minutes: 5,
        transaction: payment.as_ref().filter(|_| kind == Kind::Transaction),
        ..Fill::default()
    };
    texts.render(locale, kind, &fill)
}
