//! The dialogue of a call: greet, ask, listen, conclude.
//!
//! A pure machine. It is told what happened, and gives back what must now be said, what was
//! heard, and when to hang up.

use std::time::Duration;

use crate::ambient::Timestamp;
use crate::media::events::Digit;
use crate::media::prompt::{Pack, PackError, PhraseId};

/// How patient the dialogue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long to listen after the ask, and after a key that needs another.
    pub listen: Duration,
    /// How often to ask when nothing is heard.
    pub rounds: u8,
    /// Keys count only this long after the first ask began: what comes earlier is no answer to
    /// it, and may be a machine that sends keys blindly.
    pub accept_after: Duration,
    /// How many wrong keys are forgiven.
    pub wrong_tries: u8,
    /// How long to wait to be told how to close.
    pub conclude_within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Duration::from_secs(10),
            rounds: 2,
            accept_after: Duration::from_secs(1),
            wrong_tries: 1,
            conclude_within: Duration::from_secs(2),
        }
    }
}

/// The phrases of the dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Opens the call.
    pub greeting: PhraseId,
    /// Says which key to press.
    pub ask: PhraseId,
    /// Leads to the second ask.
    pub again: PhraseId,
    /// Leads to the ask after a wrong key.
    pub wrong_key: PhraseId,
    /// Closes: confirmed.
    pub thanks: PhraseId,
    /// Closes: reported as fraud.
    pub fraud: PhraseId,
    /// Closes: not confirmed.
    pub denied: PhraseId,
    /// Closes: nothing was heard.
    pub goodbye: PhraseId,
    /// Closes: something failed.
    pub sorry: PhraseId,
}

impl Lines {
    /// The lines as `pack` says them, opening with the greeting of `brand` if it has one.
    ///
    /// # Errors
    /// Which phrase the pack lacks.
    pub fn of(pack: &Pack, brand: Option<&str>) -> Result<Self, PackError> {
        Ok(Self {
            greeting: pack.greeting(brand)?,
            ask: pack.find("ask")?,
            again: pack.find("again")?,
            wrong_key: pack.find("wrong_key")?,
            thanks: pack.find("thanks")?,
            fraud: pack.find("fraud")?,
            denied: pack.find("denied")?,
            goodbye: pack.find("goodbye")?,
            sorry: pack.find("sorry")?,
        })
    }
}

/// How to close the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// It is confirmed.
    Thanks,
    /// It is reported as fraud.
    Fraud,
    /// It is not confirmed.
    Denied,
    /// Nothing was heard.
    Goodbye,
    /// Something failed.
    Sorry,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The call was answered (200 OK) and media may flow.
    Answered,
    /// A key went down.
    Key {
        /// Which.
        digit: Digit,
        /// When its first packet came.
        at: Timestamp,
    },
    /// Everything that was to be played has been played.
    PhraseDone,
    /// The [`deadline`](Script::deadline) has come.
    Lapsed,
    /// What was heard has been judged, or the question has become void.
    Conclude(Close),
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The pound key.
    Confirmed {
        /// When.
        at: Timestamp,
    },
    /// Zero, then the pound key: "this was not me".
    FraudReported {
        /// When the pound key was pressed.
        at: Timestamp,
    },
    /// More wrong keys than are forgiven.
    WrongKey {
        /// When the last of them was pressed.
        at: Timestamp,
    },
    /// Nothing, in all rounds.
    NoInput,
}

/// What must now happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Play these, one after the other.
    Play(Vec<PhraseId>),
    /// Fall silent at once: the person has spoken. No `PhraseDone` is expected for what is cut.
    StopPlaying,
    /// The answer of the call; at most one, and exactly one unless the call is concluded from
    /// outside or lost before.
    Heard(Answer),
    /// A key that did not count.
    Note(Note),
    /// Hang up.
    Done,
}

/// Why a key did not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// Before the ask had been heard for long enough.
    KeyTooEarly,
    /// After the answer.
    KeyTooLate,
}

/// Why the dialogue wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The listening time ends.
    Listening,
    /// Nobody has said how to close.
    Concluding,
}

/// The dialogue of one call.
#[derive(Clone, Debug)]
pub struct Script {
    settings: Settings,
    lines: Lines,
    state: State,
    /// When the first ask began.
    asked: Option<Timestamp>,
    /// `0` was pressed: until the whole ask has been heard again, the pound key behind it reports
    /// fraud, whatever was pressed between them.
    zero: bool,
    /// `0` was pressed before keys count: the pound key that belongs to it must not confirm.
    early_zero: bool,
    wrong: u8,
}

/// Where the dialogue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet answered.
    Waiting,
    /// Saying who calls.
    Greeting,
    /// Saying which key to press.
    Asking {
        /// Counted from 1.
        round: u8,
    },
    /// Silent, for a key.
    Listening {
        /// Counted from 1.
        round: u8,
        /// When that is over.
        until: Timestamp,
    },
    /// Has said what was heard, and waits to be told how to close.
    Concluding {
        /// When that is over.
        until: Timestamp,
    },
    /// Saying thanks.
    Thanking,
    /// Saying any other last words.
    Farewell,
    /// Nothing more will be said.
    Done,
}

impl Script {
    /// A dialogue that waits for the answer.
    #[must_use]
    pub const fn new(settings: Settings, lines: Lines) -> Self {
        Self {
            settings,
            lines,
            state: State::Waiting,
            asked: None,
            zero: false,
            early_zero: false,
            wrong: 0,
        }
    }

    /// Where the dialogue stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// When to be woken, and why.
    #[must_use]
    pub const fn deadline(&self) -> Option<(Timestamp, Timer)> {
        match self.state {
            State::Listening { until, .. } => Some((until, Timer::Listening)),
            State::Concluding { until } => Some((until, Timer::Concluding)),
            State::Waiting
            | State::Greeting
            | State::Asking { .. }
            | State::Thanking
            | State::Farewell
            | State::Done => None,
        }
    }

    /// Takes what happened. What does not fit the state changes nothing.
    pub fn on(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Answered => self.answered(out),
            Input::Key { digit, at } => self.key(now, digit, at, out),
            Input::PhraseDone => self.phrase_done(now, out),
            Input::Lapsed => self.lapsed(now, out),
            Input::Conclude(close) => self.conclude(close, out),
        }
    }

    fn answered(&mut self, out: &mut Vec<Output>) {
        if self.state == State::Waiting {
            self.state = State::Greeting;
            out.push(Output::Play(vec![self.lines.greeting]));
        }
    }

    fn phrase_done(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        match self.state {
            State::Greeting => {
                self.asked = Some(now);
                self.state = State::Asking { round: 1 };
                out.push(Output::Play(vec![self.lines.ask]));
            }
            State::Asking { round } => {
                (self.zero, self.early_zero) = (false, false);
                self.listen(now, round);
            }
            State::Thanking | State::Farewell => {
                self.state = State::Done;
                out.push(Output::Done);
            }
            State::Waiting | State::Listening { .. } | State::Concluding { .. } | State::Done => {}
        }
    }

    fn lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        match self.state {
            State::Listening { round, until } if now >= until => {
                if round < self.settings.rounds {
                    self.state = State::Asking { round: round + 1 };
                    out.push(Output::Play(vec![self.lines.again, self.lines.ask]));
                } else {
                    self.heard(now, Answer::NoInput, out);
                }
            }
            State::Concluding { until } if now >= until => self.close(Close::Sorry, out),
            State::Waiting
            | State::Greeting
            | State::Asking { .. }
            | State::Listening { .. }
            | State::Concluding { .. }
            | State::Thanking
            | State::Farewell
            | State::Done => {}
        }
    }

    fn key(&mut self, now: Timestamp, digit: Digit, at: Timestamp, out: &mut Vec<Output>) {
        let round = match self.state {
            State::Waiting | State::Greeting => return self.too_early(digit, out),
            State::Asking { round } | State::Listening { round, .. } => round,
            State::Concluding { .. } | State::Thanking | State::Farewell | State::Done => {
                return out.push(Output::Note(Note::KeyTooLate));
            }
        };
        if self.asked.is_none_or(|asked| at < asked + self.settings.accept_after) {
            return self.too_early(digit, out);
        }
        if self.early_zero && digit == Digit::POUND {
            return self.too_early(digit, out);
        }
        self.fall_silent(out);
        match (digit, self.zero) {
            (Digit::POUND, false) => self.heard(now, Answer::Confirmed { at }, out),
            (Digit::POUND, true) => self.heard(now, Answer::FraudReported { at }, out),
            // The whole listening time again, for the pound key. A zero that comes twice, pressed
            // or doubled on its way, is still a zero.
            (Digit::ZERO, _) => {
                self.zero = true;
                self.listen(now, round);
            }
            _ => self.wrong_key(now, round, at, out),
        }
    }

    /// A key that does not count. A zero among them is remembered.
    fn too_early(&mut self, digit: Digit, out: &mut Vec<Output>) {
        self.early_zero |= digit == Digit::ZERO;
        out.push(Output::Note(Note::KeyTooEarly));
    }

    fn wrong_key(&mut self, now: Timestamp, round: u8, at: Timestamp, out: &mut Vec<Output>) {
        if self.wrong < self.settings.wrong_tries {
            self.wrong += 1;
            self.state = State::Asking { round };
            out.push(Output::Play(vec![self.lines.wrong_key, self.lines.ask]));
        } else {
            self.heard(now, Answer::WrongKey { at }, out);
        }
    }

    fn conclude(&mut self, close: Close, out: &mut Vec<Output>) {
        match self.state {
            State::Greeting
            | State::Asking { .. }
            | State::Listening { .. }
            | State::Concluding { .. } => {
                self.fall_silent(out);
                self.close(close, out);
            }
            // Before the answer there is nobody to say it to, and last words are said once.
            State::Waiting | State::Thanking | State::Farewell | State::Done => {}
        }
    }

    fn fall_silent(&self, out: &mut Vec<Output>) {
        match self.state {
            State::Greeting | State::Asking { .. } => out.push(Output::StopPlaying),
            State::Waiting
            | State::Listening { .. }
            | State::Concluding { .. }
            | State::Thanking
            | State::Farewell
            | State::Done => {}
        }
    }

    fn listen(&mut self, now: Timestamp, round: u8) {
        self.state = State::Listening { round, until: now + self.settings.listen };
    }

    fn heard(&mut self, now: Timestamp, answer: Answer, out: &mut Vec<Output>) {
        self.state = State::Concluding { until: now + self.settings.conclude_within };
        out.push(Output::Heard(answer));
    }

    fn close(&mut self, close: Close, out: &mut Vec<Output>) {
        let (state, phrase) = match close {
            Close::Thanks => (State::Thanking, self.lines.thanks),
            Close::Fraud => (State::Farewell, self.lines.fraud),
            Close::Denied => (State::Farewell, self.lines.denied),
            Close::Goodbye => (State::Farewell, self.lines.goodbye),
            Close::Sorry => (State::Farewell, self.lines.sorry),
        };
        self.state = state;
        out.push(Output::Play(vec![phrase]));
    }
}

#[cfg(test)]
mod tests;
