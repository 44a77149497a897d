//! `selftest` of a trunk, and `[selftest]`: the numbers of ours that are called to try it, and how often.

use std::time::Duration;

use super::Entry;
use crate::config::raw::{self, Raw};
use crate::config::reader::Reader;
use crate::verify::number::PhoneNumber;
use crate::verify::selftest::Path;

/// How often, in seconds, at least and at most.
const EVERY: (u32, u32) = (5, 86_400);

/// How often trunks are tried.
pub(in crate::config) fn every(reader: &mut Reader<'_>, written: &Raw, defaults: &Raw) -> Duration {
    let (raw, default) =
        (written.selftest.every_secs.as_ref(), defaults.selftest.every_secs.as_ref());
    if let Some(every) = raw
        && written.trunks.iter().all(|trunk| trunk.get_ref().selftest.is_none())
    {
        let message = "no trunk is tried: write the numbers of yours to call on one, as \
                       selftest = { rfc4733 = \"+…\" } in its [[trunks]] entry";
        reader.warn(reader.place(every), "selftest.every_secs", None, message);
    }
    let secs = reader.number("selftest.every_secs", raw, default, EVERY.0, EVERY.1);
    Duration::from_secs(u64::from(secs.unwrap_or(300)))
}

/// The numbers of a trunk.
pub(super) fn numbers(entry: &mut Entry<'_, '_>, raw: &raw::Trunk) -> Vec<(Path, PhoneNumber)> {
    let Some(written) = &raw.selftest else { return Vec::new() };
    let table = written.get_ref();
    let mut numbers: Vec<(Path, PhoneNumber)> = Vec::new();
    for path in Path::ALL {
        let number = match path {
            Path::Rfc4733 => &table.rfc4733,
            Path::Inband => &table.inband,
            Path::Info => &table.info,
        };
        let Some(number) = number else { continue };
        let key = format!("selftest.{}", path.as_str());
        match number.get_ref().expose().parse::<PhoneNumber>() {
            Ok(read) if numbers.iter().any(|(_, other)| *other == read) => {
                let message = "this number stands for another way already: its phone presses in one way, so \
                               each way has a number of its own";
                entry.wrong(&key, number, None, message);
            }
            Ok(read) => numbers.push((path, read)),
            Err(why) => entry.wrong(&key, number, None, why.to_string()),
        }
    }
    if numbers.is_empty()
        && [&table.rfc4733, &table.inband, &table.info].iter().all(|it| it.is_none())
    {
        let message = "there is no number in it: write those of yours whose phone presses # by itself, as \
                       { rfc4733 = \"+12025550123\" }, or leave it out";
        entry.wrong("selftest", written, None, message);
    }
    numbers
}
