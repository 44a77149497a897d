//! The dialogue of a call that a provider holds: which keys mean what, from one of its requests
//! to the next.
//!
//! The rules of our own calls that ask to confirm (`media::script`), for a voice that is not ours:
//! `#` confirms, `0` then `#` reports fraud, one wrong key is forgiven, and silence is asked again
//! once. No other question is asked, and `*` is a wrong key. Its state goes out with what we tell the provider to do next (in a URL that only the
//! provider knows, or in a state field that it hands back) and comes back with the next key.

use crate::verify::signal::Said;

/// How often to ask when nothing is heard.
const ROUNDS: u8 = 2;

/// How many wrong keys are forgiven.
const WRONG_TRIES: u8 = 1;

/// Where the dialogue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keypad {
    /// How often the question was asked, this time included.
    round: u8,
    /// How many keys were wrong.
    wrong: u8,
    /// `0` was pressed: the pound key behind it reports fraud.
    zero: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Ask, with an opening that fits.
    Ask(Opening),
    /// Be silent, and wait for one more key.
    Listen,
    /// Say what fits this, and hang up.
    Close(Said),
    /// Nothing was heard in all rounds: say goodbye, and hang up.
    Goodbye,
}

/// How a question opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// With who is calling.
    Greeting,
    /// Asked again.
    Again,
    /// Asked again after a key that was not asked for.
    WrongKey,
}

impl Keypad {
    /// Before the first question.
    pub const START: Self = Self { round: 1, wrong: 0, zero: false };

    /// A key was pressed, or (`None`) the provider waited for one in vain.
    #[must_use]
    pub const fn on(self, key: Option<char>) -> (Self, Turn) {
        match key {
            Some('#') if self.zero => (self, Turn::Close(Said::FraudReported)),
            Some('#') => (self, Turn::Close(Said::Confirmed)),
            Some('0') => (Self { zero: true, ..self }, Turn::Listen),
            Some(_) if self.wrong >= WRONG_TRIES => (self, Turn::Close(Said::WrongKey)),
            Some(_) => (Self { wrong: self.wrong + 1, ..self }, Turn::Ask(Opening::WrongKey)),
            None if self.round >= ROUNDS => (self, Turn::Goodbye),
            None => {
                let next = Self { round: self.round + 1, wrong: self.wrong, zero: false };
                (next, Turn::Ask(Opening::Again))
            }
        }
    }

    /// The state as text of letters and digits.
    #[must_use]
    pub fn to_text(self) -> String {
        format!("r{}w{}z{}", self.round, self.wrong, u8::from(self.zero))
    }

    /// Reads what [`to_text`](Self::to_text) wrote; `None` for anything else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let digit = |byte: u8, most: u8| {
            let value = byte.checked_sub(b'0')?;
            (value <= most).then_some(value)
        };
        match *text.as_bytes() {
            [b'r', round, b'w', wrong, b'z', zero] => Some(Self {
                round: digit(round, ROUNDS)?.max(1),
                wrong: digit(wrong, WRONG_TRIES)?,
                zero: digit(zero, 1)? == 1,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(keys: &[Option<char>]) -> Vec<Turn> {
        let mut pad = Keypad::START;
        keys.iter()
            .map(|&key| {
                let (next, turn) = pad.on(key);
                pad = Keypad::from_text(&next.to_text()).unwrap();
                turn
            })
            .collect()
    }

    #[test]
    fn pound_confirms_and_zero_pound_reports() {
        assert_eq!(played(&[Some('#')]), [Turn::Close(Said::Confirmed)]);
        let fraud = [Turn::Listen, Turn::Close(Said::FraudReported)];
        assert_eq!(played(&[Some('0'), Some('#')]), fraud);
    }

    #[test]
    fn a_wrong_key_after_zero_does_not_turn_a_report_into_consent() {
        let heard = played(&[Some('0'), Some('5'), Some('#')]);
        assert_eq!(heard.last(), Some(&Turn::Close(Said::FraudReported)));
    }

    #[test]
    fn one_wrong_key_is_forgiven() {
        assert_eq!(
            played(&[Some('5'), Some('#')]),
            [Turn::Ask(Opening::WrongKey), Turn::Close(Said::Confirmed)]
        );
        assert_eq!(played(&[Some('5'), Some('*')]).last(), Some(&Turn::Close(Said::WrongKey)));
    }

    #[test]
    fn silence_is_asked_again_once() {
        assert_eq!(played(&[None, None]), [Turn::Ask(Opening::Again), Turn::Goodbye]);
    }

    #[test]
    fn no_other_text_is_a_state() {
        for text in ["", "r1w0z", "r9w0z0", "r1w2z0", "r1w0z2", "r1w0z0x", "w0r1z0"] {
            assert_eq!(Keypad::from_text(text), None, "{text}");
        }
        assert_eq!(Keypad::from_text("r1w0z0"), Some(Keypad::START));
    }
}
