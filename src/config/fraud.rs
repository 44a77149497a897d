//! `[fraud]`, and the safe numbers of a tenant.

use toml::Spanned;

use super::complaint::quoted;
use super::raw;
use super::reader::Reader;
use crate::ambient::Timestamp;
use crate::verify::block::{Fraud, HOURS_MOST};
use crate::verify::number::PhoneNumber;

/// When numbers, ranges and countries are blocked.
pub(super) fn fraud(reader: &mut Reader<'_>, written: &raw::Raw, defaults: &raw::Raw) -> Fraud {
    let (file, standard) = (&written.fraud, &defaults.fraud);
    let otherwise = Fraud::default();
    let mut number = |key, of: fn(&raw::Fraud) -> &Option<Spanned<i64>>, least, most| {
        reader.number(key, of(file).as_ref(), of(standard).as_ref(), least, most)
    };
    let hours = number("fraud.block_hours", |it| &it.block_hours, 0, HOURS_MOST);
    let least = number("fraud.conversion_least", |it| &it.conversion_least, 1, 1_000_000);
    let warn = number("fraud.conversion_warn", |it| &it.conversion_warn, 0, 100);
    let stop = number("fraud.conversion_block", |it| &it.conversion_block, 0, 100);
    let fraud = Fraud {
        block: hours
            .map_or(otherwise.block, |it| std::time::Duration::from_secs(3_600 * u64::from(it))),
        least: least.map_or(otherwise.least, u64::from),
        warn: warn.map_or(otherwise.warn, u64::from),
        stop: stop.map_or(otherwise.stop, u64::from),
    };
    if let Some(stop) = file.conversion_block.as_ref().filter(|_| fraud.stop > fraud.warn) {
        let message =
            format!("nobody would be warned: write at most conversion_warn ({})", fraud.warn);
        let (place, value) = (reader.place(stop), Some(stop.get_ref().to_string()));
        reader.complain(place, "fraud.conversion_block", value, message);
    }
    fraud
}

/// The numbers of a tenant that are safe, each until its day.
pub(super) fn safe(
    reader: &mut Reader<'_>,
    i: usize,
    written: &[Spanned<raw::Safe>],
) -> Vec<(PhoneNumber, Timestamp)> {
    let mut safe = Vec::new();
    for (j, entry) in written.iter().enumerate() {
        let key = |name: &str| format!("tenants[{i}].safe_numbers[{j}].{name}");
        let (table, entry) = (reader.place(entry), entry.get_ref());
        let number = match &entry.number {
            None => {
                reader.complain(
                    table,
                    &key("number"),
                    None,
                    "the number is missing: write it in E.164",
                );
                None
            }
            Some(written) => match written.get_ref().expose().parse::<PhoneNumber>() {
                Ok(number) => Some(number),
                Err(why) => {
                    let place = reader.place(written);
                    reader.complain(place, &key("number"), None, why.to_string());
                    None
                }
            },
        };
        let until = match &entry.until {
            None => {
                let message = "nothing is safe for ever: write until = \"2027-03-31\"";
                reader.complain(table, &key("until"), None, message);
                None
            }
            Some(written) => {
                let (place, text) = (reader.place(written), written.get_ref());
                let until = Timestamp::until(text);
                if until.is_none() {
                    let message =
                        "write a day or a time, as \"2027-03-31\" or \"2027-03-31T12:00:00Z\"";
                    reader.complain(place, &key("until"), Some(quoted(text)), message);
                }
                until
            }
        };
        safe.extend(number.zip(until));
    }
    safe
}
