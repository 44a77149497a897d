//! How patient a dialogue is.

use std::time::Duration;

use super::question::FraudKeys;

/// How patient a dialogue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long to listen after the ask, and after a key that needs another.
    pub listen: Duration,
    /// How often to ask when nothing is heard; `None` is without end.
    pub rounds: Option<u8>,
    /// Keys count only this long after the first ask began: what comes earlier is no answer to
    /// it, and may be a machine that sends keys blindly.
    pub accept_after: Duration,
    /// How many wrong keys are forgiven where `#` is the answer.
    pub wrong_tries: u8,
    /// How many PINs may be entered.
    pub pin_tries: u8,
    /// How long the next key of an entry may take.
    pub next_key: Duration,
    /// How often `*` repeats the question, or the code; `None` is without end.
    pub repeats: Option<u8>,
    /// Who begins to speak over the beginning, and sooner than this, has not heard it: it is said again.
    pub overlap: Duration,
    /// But they are heard out no longer than this.
    pub hear_out: Duration,
    /// How long to wait to be told how to close.
    pub conclude_within: Duration,
    /// The keys that report fraud.
    pub fraud: FraudKeys,
    /// Whether a report must be confirmed by `1`.
    pub confirm_fraud: bool,
    /// The silence between phrases.
    pub pauses: Pauses,
}

/// The silence between phrases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// After a phrase: it keeps two apart, and lets the far end play the last one out before the
    /// call is hung up.
    pub phrase: Duration,
    /// After a digit of a code.
    pub digit: Duration,
    /// After its third digit, besides.
    pub group: Duration,
    /// Between the code and the code once more.
    pub between_codes: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Duration::from_secs(10),
            rounds: Some(2),
            accept_after: Duration::from_secs(1),
            wrong_tries: 1,
            pin_tries: 2,
            next_key: Duration::from_secs(5),
            repeats: Some(3),
            overlap: Duration::from_secs(1),
            hear_out: Duration::from_millis(1_500),
            conclude_within: Duration::from_secs(2),
            fraud: FraudKeys::default(),
            confirm_fraud: false,
            pauses: Pauses {
                phrase: Duration::from_millis(240),
                digit: Duration::from_millis(250),
                group: Duration::from_millis(150),
                between_codes: Duration::from_secs(1),
            },
        }
    }
}

impl Settings {
    /// For people who need more time: longer pauses, longer waits, and a question that is repeated
    /// until somebody ends it.
    #[must_use]
    pub fn accessible(self) -> Self {
        let Pauses { phrase, digit, group, between_codes } = self.pauses;
        Self {
            listen: self.listen * 2,
            rounds: None,
            next_key: self.next_key * 3,
            repeats: None,
            pauses: Pauses {
                phrase: phrase * 3,
                digit: digit * 3,
                group: group * 3,
                between_codes: between_codes * 2,
            },
            ..self
        }
    }
}
