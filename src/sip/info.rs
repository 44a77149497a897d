//! Presses of keys in the body of an INFO: `application/dtmf-relay` and `application/dtmf`.
//!
//! Neither has an RFC. Both are as gateways send them: dtmf-relay as Cisco IOS writes it, a line
//! `Signal=5` and a line `Duration=160` in milliseconds, either with a space after the sign; dtmf as
//! Nortel and many phones do, the key and nothing else. Where a key has no digit some write its
//! event (RFC 4733 § 3.2): 10 for `*`, 11 for `#`. 16 is the hook flash, and no key.

use std::fmt;
use std::time::Duration;

/// The types that are read, for an Accept header.
pub const TYPES: &str = "application/dtmf-relay, application/dtmf";

/// How long a key counts as held whose INFO does not say.
const USUAL: Duration = Duration::from_millis(100);

/// The longest duration that is believed, in milliseconds.
const LONGEST: u64 = 60_000;

/// A press of a key, as an INFO tells of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pressed {
    /// What is printed on the key: `0` to `9`, `*`, `#`, `A` to `D`.
    pub key: char,
    /// How long it was down.
    pub held: Duration,
}

impl fmt::Debug for Pressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A row of digits may be somebody's PIN.
        f.write_str(if self.key == '#' { "Pressed(#)" } else { "Pressed(•)" })
    }
}

/// Why an INFO tells of no press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Its type is another.
    Type,
    /// It does not say what its type should.
    Body,
}

/// Reads a body of this media type, which is in lower case and without parameters.
///
/// # Errors
/// When it tells of no press.
pub fn read(content_type: &str, body: &[u8]) -> Result<Pressed, Unread> {
    let text = || std::str::from_utf8(body).map_err(|_| Unread::Body);
    match content_type {
        "application/dtmf-relay" => relay(text()?).ok_or(Unread::Body),
        "application/dtmf" => bare(text()?).ok_or(Unread::Body),
        _ => Err(Unread::Type),
    }
}

fn relay(text: &str) -> Option<Pressed> {
    let value = |name: &str| {
        let fields = text.lines().filter_map(|line| line.split_once('='));
        let mut found = fields.filter(|(field, _)| field.trim().eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    };
    let key = key(value("signal")?)?;
    let held = match value("duration") {
        None => USUAL,
        Some(millis) => {
            let millis = millis.parse().ok().filter(|millis| *millis <= LONGEST)?;
            Duration::from_millis(millis)
        }
    };
    Some(Pressed { key, held })
}

fn bare(text: &str) -> Option<Pressed> {
    Some(Pressed { key: key(text.trim())?, held: USUAL })
}

fn key(text: &str) -> Option<char> {
    let mut chars = text.chars();
    if let (Some(one), None) = (chars.next(), chars.next()) {
        let key = one.to_ascii_uppercase();
        return matches!(key, '0'..='9' | '*' | '#' | 'A'..='D').then_some(key);
    }
    let event: usize = text.parse().ok().filter(|event| (10..16).contains(event))?;
    "*#ABCD".chars().nth(event - 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(content_type: &str, body: &str) -> Result<(char, u128), Unread> {
        let read = read(content_type, body.as_bytes());
        read.map(|pressed| (pressed.key, pressed.held.as_millis()))
    }

    #[test]
    fn both_types_are_read_as_they_are_met() {
        for (body, wanted) in [
            ("Signal=5\r\nDuration=160\r\n", ('5', 160)),
            ("Signal= #\r\nDuration= 250", ('#', 250)),
            ("signal=*\nduration=0\n", ('*', 0)),
            ("Signal=11\r\n", ('#', 100)),
            ("Duration=40\r\nSignal=d\r\n", ('D', 40)),
        ] {
            assert_eq!(press("application/dtmf-relay", body), Ok(wanted), "{body:?}");
        }
        for (body, wanted) in [("#", '#'), ("7\r\n", '7'), ("10", '*'), (" b ", 'B')] {
            assert_eq!(press("application/dtmf", body), Ok((wanted, 100)), "{body:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_no_press() {
        for body in [
            "",
            "Signal=",
            "Signal",
            "Signal=12x",
            "Signal=16\r\n",
            "Signal=55",
            "Signal=##",
            "Signal=5\r\nDuration=-1",
            "Signal=5\r\nDuration=99999999999999999999",
            "5",
            "Duration=5",
            "Signal=5\r\nDuration=60001",
        ] {
            assert_eq!(press("application/dtmf-relay", body), Err(Unread::Body), "{body:?}");
        }
        for body in ["", "55", "##", "16", "x", "Signal=5", "-5"] {
            assert_eq!(press("application/dtmf", body), Err(Unread::Body), "{body:?}");
        }
        assert_eq!(read("application/dtmf", &[0xff]), Err(Unread::Body));
        assert_eq!(press("text/plain", "5"), Err(Unread::Type));
    }

    #[test]
    fn digits_are_masked_but_for_the_pound_key() {
        let pressed = |key| format!("{:?}", Pressed { key, held: USUAL });
        assert_eq!((pressed('#'), pressed('5')), ("Pressed(#)".into(), "Pressed(•)".into()));
    }
}
