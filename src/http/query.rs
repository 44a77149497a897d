//! The part of a URI behind the `?`: known names, each once, whole numbers.

use super::json::Checks;
use super::problem::{FieldCode, Problem, name};

/// How long a client waits, and for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wait {
    /// Seconds.
    pub(super) wait: Option<u64>,
    /// The version the client knows.
    pub(super) since: Option<u64>,
}

/// The longest wait, in seconds.
pub(super) const MAX_WAIT: u64 = 60;

/// The highest version that can be known: what the contract's `int64` holds.
const MAX_VERSION: u64 = i64::MAX as u64;

/// Reads `wait` and `since`.
pub(super) fn wait(query: Option<&str>) -> Result<Wait, Problem> {
    let mut checks = Checks::default();
    let mut read = Wait::default();
    for (given, value) in pairs(query) {
        let (place, max, must_be) = match given {
            "wait" => (&mut read.wait, MAX_WAIT, "must be a whole number of seconds, 0 to 60"),
            "since" => (&mut read.since, MAX_VERSION, "must be a whole number, not negative"),
            _ => {
                unknown(&mut checks, given);
                continue;
            }
        };
        match whole(value).filter(|number| *number <= max) {
            Some(_) if place.is_some() => {
                checks.blame(given, FieldCode::DuplicateField, "stands more than once");
            }
            Some(number) => *place = Some(number),
            None => checks.blame(given, FieldCode::InvalidValue, must_be),
        }
    }
    checks.done().map(|()| read)
}

/// Where no parameter is known.
pub(super) fn none(query: Option<&str>) -> Result<(), Problem> {
    let mut checks = Checks::default();
    for (given, _) in pairs(query) {
        unknown(&mut checks, given);
    }
    checks.done()
}

fn unknown(checks: &mut Checks, given: &str) {
    checks.blame(name(given), FieldCode::UnknownField, "there is no such query parameter");
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let parts = query.unwrap_or_default().split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// Digits and nothing else: the standard parser would take a plus sign.
fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        let read = |query| wait(query).unwrap();
        assert_eq!(read(None), Wait::default());
        assert_eq!(read(Some("")), Wait::default());
        assert_eq!(read(Some("wait=25&since=3")), Wait { wait: Some(25), since: Some(3) });
        assert_eq!(read(Some("since=0&wait=60")), Wait { wait: Some(60), since: Some(0) });
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "wait",
            "wait=",
            "wait=61",
            "wait=-1",
            "wait=+1",
            "wait=1.5",
            "wait=1&wait=1",
            "since=18446744073709551616",
            "since=x",
            "Wait=1",
            "x=1",
            "wait=%31",
            "=",
            "wait=1&x",
        ] {
            assert!(wait(Some(bad)).is_err(), "{bad}");
        }
        assert!(none(None).is_ok());
        assert!(none(Some("wait=1")).is_err());
    }
}
