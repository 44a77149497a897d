//! The dialogue of a call: offer languages, greet, ask, listen, conclude.
//!
//! A pure machine. It is told what happened, and gives back what must now be said, what was
//! heard, and when to hang up.
//!
//! | question | answered by | a wrong answer |
//! |---|---|---|
//! | [`Confirm`](Question::Confirm) | `#` | one is forgiven |
//! | [`Pin`](Question::Pin) | the PIN, then `#` | one is forgiven |
//! | [`Match`](Question::Match) | the digits, then `#` | ends the call |
//! | [`Code`](Question::Code) | `#`: the code is told, twice | one is forgiven |
//!
//! At each of them `*` repeats, and the [`FraudKeys`] say that it was not this person. What is
//! entered leaves the machine as right or wrong, and as nothing else.

mod entry;
mod lines;
mod question;
mod settings;

pub use self::lines::{Line, Lines, Offer, Telling};
pub use self::question::{Digits, FraudKeys, Kind, Question};
pub use self::settings::{Pauses, Settings};

use self::entry::Entry;
use crate::ambient::Timestamp;
use crate::media::events::Digit;
use crate::media::listening::Talk;
use crate::media::prompt::PhraseId;
use crate::media::tones::Keys;

/// How to close the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// It is confirmed.
    Thanks,
    /// It is reported as fraud.
    Fraud,
    /// It is not confirmed.
    Denied,
    /// Those were not the digits; another call may follow.
    Mismatch,
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
    /// Somebody at the far end begins to speak, or falls silent.
    Talk(Talk),
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
    /// The pound key, where it is the answer.
    Confirmed {
        /// When.
        at: Timestamp,
    },
    /// The right PIN, and the pound key.
    PinEntered {
        /// When the pound key was pressed.
        at: Timestamp,
    },
    /// The digits of the page, and the pound key.
    DigitsEntered {
        /// When the pound key was pressed.
        at: Timestamp,
    },
    /// The keys that report fraud: "this was not me".
    FraudReported {
        /// When the last of them was pressed.
        at: Timestamp,
    },
    /// The same, and not the key that confirms the report.
    Declined,
    /// More wrong keys than are forgiven, or other digits than those of the page.
    WrongKey {
        /// When the last of them was pressed.
        at: Timestamp,
    },
    /// More wrong PINs than are forgiven.
    WrongPin {
        /// When the pound key behind the last one was pressed.
        at: Timestamp,
    },
    /// Nothing, in all rounds.
    NoInput,
}

/// What must now happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// From now on, phrases are those of the language that is offered at this place; of the call's
    /// own, where there is none.
    Speak(Option<usize>),
    /// Play these, one after the other.
    Play(Vec<Line>),
    /// Fall silent at once: the person has spoken. No `PhraseDone` is expected for what is cut.
    StopPlaying,
    /// The code begins to be told; comes once.
    Telling,
    /// The answer of the call; at most one, and exactly one unless a code is told, or the call is
    /// concluded from outside or lost before.
    Heard(Answer),
    /// A key that did not count.
    Note(Note),
    /// Hang up.
    Done,
}

/// Why a key did not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// Before the ask had been heard for long enough, or it belongs to such a key.
    KeyTooEarly,
    /// After the answer.
    KeyTooLate,
    /// It means nothing now.
    KeyIgnored,
    /// The question was repeated as often as it may be.
    NoRepeatsLeft,
}

/// Why the dialogue wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Somebody goes on speaking over the beginning.
    HearingOut,
    /// Nobody has chosen a language.
    Choosing,
    /// The listening time ends.
    Listening,
    /// Nobody has confirmed the report.
    Reporting,
    /// Nobody has said how to close.
    Concluding,
}

/// The dialogue of one call.
#[derive(Clone, Debug)]
pub struct Script {
    settings: Settings,
    question: Question,
    /// In the language that is spoken now.
    lines: Lines,
    /// The languages that may be chosen: none, or two to nine.
    offers: Vec<Offer>,
    state: State,
    /// When the first phrase began, until it was said again or a language was chosen.
    opened: Option<Timestamp>,
    /// When the first ask began.
    asked: Option<Timestamp>,
    /// What has been entered, and not ended.
    entry: Entry,
    /// When the last key of it was pressed.
    entered_at: Timestamp,
    /// How many of the keys that report fraud were pressed where `#` is the answer: until the whole
    /// ask has been heard again, the pound key reports fraud or is wrong, whatever was pressed
    /// between them.
    reporting: usize,
    /// When a key was pressed before keys count: the pound key that belongs to it means nothing.
    early: Option<Timestamp>,
    /// Wrong keys, or wrong PINs.
    wrong: u8,
    repeats: u8,
    told: bool,
}

/// Where the dialogue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet answered.
    Waiting,
    /// Silent, while somebody speaks who has not heard the beginning.
    HearingOut {
        /// When that is over, whoever speaks.
        until: Timestamp,
    },
    /// Saying which key chooses this language.
    Offering {
        /// Its place, from 0.
        place: usize,
    },
    /// Silent, for the key of a language.
    Choosing {
        /// When that is over.
        until: Timestamp,
    },
    /// Saying who calls.
    Greeting,
    /// Saying which keys to press.
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
    /// Wants a report confirmed.
    Reporting {
        /// When that is over, once it has been said.
        until: Option<Timestamp>,
    },
    /// Telling the code.
    Telling,
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
    /// A dialogue that waits for the answer. It is held in `lines`, or in the one of the `offers`
    /// that is chosen; fewer than two are no choice.
    #[must_use]
    pub fn new(settings: Settings, question: Question, lines: Lines, offers: Vec<Offer>) -> Self {
        Self {
            settings,
            question,
            lines,
            offers: if offers.len() < 2 { Vec::new() } else { offers },
            state: State::Waiting,
            opened: None,
            asked: None,
            entry: Entry::new(),
            entered_at: Timestamp::default(),
            reporting: 0,
            early: None,
            wrong: 0,
            repeats: 0,
            told: false,
        }
    }

    /// Where the dialogue stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether the keys that are pressed are a secret.
    #[must_use]
    pub const fn hides_keys(&self) -> bool {
        self.question.kind().is_entry()
    }

    /// The keys that are waited for: what else is pressed means little.
    #[must_use]
    pub fn awaits(&self) -> Keys {
        let digits = if self.hides_keys() { 0..10 } else { 0..0 };
        digits.filter_map(Digit::from_event).chain([Digit::POUND]).collect()
    }

    /// When to be woken, and why.
    #[must_use]
    pub const fn deadline(&self) -> Option<(Timestamp, Timer)> {
        match self.state {
            State::HearingOut { until } => Some((until, Timer::HearingOut)),
            State::Choosing { until } => Some((until, Timer::Choosing)),
            State::Listening { until, .. } => Some((until, Timer::Listening)),
            State::Reporting { until: Some(until) } => Some((until, Timer::Reporting)),
            State::Concluding { until } => Some((until, Timer::Concluding)),
            State::Waiting
            | State::Offering { .. }
            | State::Greeting
            | State::Asking { .. }
            | State::Reporting { until: None }
            | State::Telling
            | State::Thanking
            | State::Farewell
            | State::Done => None,
        }
    }

    /// Takes what happened. What does not fit the state changes nothing.
    pub fn on(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Answered => self.answered(now, out),
            Input::Talk(talk) => self.talk(talk, out),
            Input::Key { digit, at } => self.key(now, digit, at, out),
            Input::PhraseDone => self.phrase_done(now, out),
            Input::Lapsed => self.lapsed(now, out),
            Input::Conclude(close) => self.conclude(close, out),
        }
    }

    fn answered(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.state == State::Waiting {
            self.opened = Some(now);
            self.open(out);
        }
    }

    /// Begins, or begins again.
    fn open(&mut self, out: &mut Vec<Output>) {
        if self.offers.is_empty() { self.greet(out) } else { self.offer(0, out) }
    }

    /// Who says "Hello?" over the first words is heard out, and hears them again: once.
    fn talk(&mut self, talk: Talk, out: &mut Vec<Output>) {
        match (self.state, talk) {
            (
                State::Offering { .. } | State::Greeting | State::Asking { round: 1 },
                Talk::Begun { at },
            ) => {
                let overlaps = |opened: &mut Timestamp| at < *opened + self.settings.overlap;
                if self.opened.take_if(overlaps).is_some() {
                    self.fall_silent(out);
                    self.state = State::HearingOut { until: at + self.settings.hear_out };
                }
            }
            (State::HearingOut { .. }, Talk::Over) => self.open(out),
            (
                State::Waiting
                | State::HearingOut { .. }
                | State::Offering { .. }
                | State::Choosing { .. }
                | State::Greeting
                | State::Asking { .. }
                | State::Listening { .. }
                | State::Reporting { .. }
                | State::Telling
                | State::Concluding { .. }
                | State::Thanking
                | State::Farewell
                | State::Done,
                Talk::Begun { .. } | Talk::Over,
            ) => {}
        }
    }

    fn phrase_done(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        match self.state {
            State::Offering { place } if place + 1 < self.offers.len() => {
                self.offer(place + 1, out);
            }
            State::Offering { .. } => {
                self.state = State::Choosing { until: now + self.settings.listen / 2 };
            }
            State::Greeting => {
                self.asked = Some(now);
                self.ask(1, None, out);
            }
            State::Asking { round } => {
                (self.reporting, self.early) = (0, None);
                self.listen(now, round);
            }
            State::Reporting { until: None } => {
                self.state = State::Reporting { until: Some(now + self.settings.listen) };
            }
            State::Telling | State::Thanking | State::Farewell => {
                self.state = State::Done;
                out.push(Output::Done);
            }
            State::Waiting
            | State::HearingOut { .. }
            | State::Choosing { .. }
            | State::Listening { .. }
            | State::Reporting { until: Some(_) }
            | State::Concluding { .. }
            | State::Done => {}
        }
    }

    fn lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        match self.state {
            State::HearingOut { until } if now >= until => self.open(out),
            State::Choosing { until } if now >= until => {
                out.push(Output::Speak(None));
                self.greet(out);
            }
            State::Listening { round, until } if now >= until => self.ask_again(now, round, out),
            State::Reporting { until: Some(until) } if now >= until => {
                self.heard(now, Answer::Declined, out);
            }
            State::Concluding { until } if now >= until => self.close(Close::Sorry, out),
            State::Waiting
            | State::HearingOut { .. }
            | State::Offering { .. }
            | State::Choosing { .. }
            | State::Greeting
            | State::Asking { .. }
            | State::Listening { .. }
            | State::Reporting { .. }
            | State::Telling
            | State::Concluding { .. }
            | State::Thanking
            | State::Farewell
            | State::Done => {}
        }
    }

    fn key(&mut self, now: Timestamp, digit: Digit, at: Timestamp, out: &mut Vec<Output>) {
        match self.state {
            State::HearingOut { .. } if !self.offers.is_empty() => self.choose(digit, out),
            State::Waiting | State::HearingOut { .. } | State::Greeting => {
                self.too_early(digit, at, out);
            }
            State::Offering { .. } | State::Choosing { .. } => self.choose(digit, out),
            State::Asking { round } | State::Listening { round, .. } => {
                self.reply(now, round, digit, at, out);
            }
            State::Reporting { .. } if digit == Digit::ONE => {
                self.fall_silent(out);
                self.heard(now, Answer::FraudReported { at }, out);
            }
            State::Reporting { .. } => out.push(Output::Note(Note::KeyIgnored)),
            State::Telling => self.interrupt(now, digit, at, out),
            State::Concluding { .. } | State::Thanking | State::Farewell | State::Done => {
                out.push(Output::Note(Note::KeyTooLate));
            }
        }
    }

    /// A key for the question.
    fn reply(
        &mut self,
        now: Timestamp,
        round: u8,
        digit: Digit,
        at: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let counts_from = self.asked.map(|asked| asked + self.settings.accept_after);
        if counts_from.is_none_or(|from| at < from) || self.belongs_to_early(digit, at) {
            return self.too_early(digit, at, out);
        }
        if digit == Digit::STAR {
            return self.repeat(round, out);
        }
        self.fall_silent(out);
        match &self.question {
            Question::Confirm | Question::Code { .. } => self.press(now, round, digit, at, out),
            Question::Pin { .. } | Question::Match { .. } => {
                self.enter(now, round, digit, at, out);
            }
        }
    }

    /// A key that does not count. What may be the beginning of something is remembered.
    fn too_early(&mut self, digit: Digit, at: Timestamp, out: &mut Vec<Output>) {
        if self.hides_keys() {
            let goes_on = digit != Digit::POUND && digit != Digit::STAR;
            self.early = goes_on.then_some(at);
        } else if self.settings.fraud.has(digit, 0) {
            self.early = Some(at);
        }
        out.push(Output::Note(Note::KeyTooEarly));
    }

    /// Whether the key goes with one that came before keys count. Half an answer must not be taken
    /// for a whole one, and the end of a report not for consent.
    fn belongs_to_early(&self, digit: Digit, at: Timestamp) -> bool {
        self.early.is_some_and(|early| {
            if self.hides_keys() {
                digit != Digit::STAR && at < early + self.settings.next_key
            } else {
                digit == Digit::POUND
            }
        })
    }

    /// A key where `#` is the answer.
    fn press(
        &mut self,
        now: Timestamp,
        round: u8,
        digit: Digit,
        at: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let fraud = &self.settings.fraud;
        match (digit, self.reporting) {
            (Digit::POUND, 0) => self.consent(now, at, out),
            (Digit::POUND, pressed) if pressed == fraud.count() => self.report(now, at, out),
            // The whole listening time again, for the pound key.
            (digit, pressed) if fraud.has(digit, pressed) => {
                self.reporting = pressed + 1;
                self.listen(now, round);
            }
            // A key that comes twice, pressed or doubled on its way, is still one.
            (digit, pressed) if pressed > 0 && fraud.has(digit, pressed - 1) => {
                self.listen(now, round);
            }
            _ if self.wrong < self.settings.wrong_tries => {
                self.wrong += 1;
                self.ask(round, Some(self.lines.wrong), out);
            }
            _ => self.heard(now, Answer::WrongKey { at }, out),
        }
    }

    fn consent(&mut self, now: Timestamp, at: Timestamp, out: &mut Vec<Output>) {
        match &self.question {
            Question::Code { .. } => self.tell(out),
            Question::Confirm | Question::Pin { .. } | Question::Match { .. } => {
                self.heard(now, Answer::Confirmed { at }, out);
            }
        }
    }

    /// A key where digits and `#` are the answer.
    fn enter(
        &mut self,
        now: Timestamp,
        round: u8,
        digit: Digit,
        at: Timestamp,
        out: &mut Vec<Output>,
    ) {
        if digit != Digit::POUND {
            self.entry.push(digit);
            let until = now + self.settings.next_key;
            self.state = State::Listening { round, until };
            return;
        }
        let entry = std::mem::replace(&mut self.entry, Entry::new());
        if entry.is_empty() {
            self.ask_again(now, round, out);
        } else if self.settings.fraud.entered(&entry) {
            self.report(now, at, out);
        } else {
            self.judge(now, round, at, &entry, out);
        }
    }

    fn judge(
        &mut self,
        now: Timestamp,
        round: u8,
        at: Timestamp,
        entry: &Entry,
        out: &mut Vec<Output>,
    ) {
        match &self.question {
            Question::Pin { pin, .. } if pin.are(entry) => {
                self.heard(now, Answer::PinEntered { at }, out);
            }
            Question::Pin { .. } => {
                self.wrong = self.wrong.saturating_add(1);
                if self.wrong < self.settings.pin_tries {
                    self.ask(round, Some(self.lines.wrong), out);
                } else {
                    self.heard(now, Answer::WrongPin { at }, out);
                }
            }
            Question::Match { digits } if digits.are(entry) => {
                self.heard(now, Answer::DigitsEntered { at }, out);
            }
            // There are few of them: whoever may guess twice in a call guesses well.
            Question::Match { .. } => self.heard(now, Answer::WrongKey { at }, out),
            Question::Confirm | Question::Code { .. } => {}
        }
    }

    /// The keys that report fraud were pressed.
    fn report(&mut self, now: Timestamp, at: Timestamp, out: &mut Vec<Output>) {
        let confirm = self.lines.confirm_fraud.filter(|_| self.settings.confirm_fraud);
        match confirm {
            Some(phrase) => {
                self.state = State::Reporting { until: None };
                self.play(&[phrase], out);
            }
            None => self.heard(now, Answer::FraudReported { at }, out),
        }
    }

    /// A key while the code is told. Who types the code on the phone reports no fraud by it.
    fn interrupt(&mut self, now: Timestamp, digit: Digit, at: Timestamp, out: &mut Vec<Output>) {
        if at > self.entered_at + self.settings.next_key {
            self.entry.clear();
        }
        self.entered_at = at;
        match digit {
            Digit::STAR if may_again(self.settings.repeats, self.repeats) => {
                self.repeats = self.repeats.saturating_add(1);
                self.entry.clear();
                out.push(Output::StopPlaying);
                self.tell(out);
            }
            Digit::STAR => out.push(Output::Note(Note::NoRepeatsLeft)),
            Digit::POUND if self.settings.fraud.entered(&self.entry) => {
                out.push(Output::StopPlaying);
                self.report(now, at, out);
            }
            Digit::POUND => {
                self.entry.clear();
                out.push(Output::Note(Note::KeyIgnored));
            }
            _ => {
                self.entry.push(digit);
                out.push(Output::Note(Note::KeyIgnored));
            }
        }
    }

    /// Tells the code.
    fn tell(&mut self, out: &mut Vec<Output>) {
        let (Question::Code { code }, Some(telling)) = (&self.question, &self.lines.telling) else {
            return self.close(Close::Sorry, out);
        };
        self.state = State::Telling;
        if !std::mem::replace(&mut self.told, true) {
            out.push(Output::Telling);
        }
        out.push(Output::Play(telling.of_code(code, &self.settings.pauses)));
    }

    /// Offers a language.
    fn offer(&mut self, place: usize, out: &mut Vec<Output>) {
        let Some(Offer { choose, key, .. }) = self.offers.get(place) else { return };
        out.push(Output::Speak(Some(place)));
        self.state = State::Offering { place };
        self.play(&[*choose, *key], out);
    }

    /// A key while languages are offered: the first language has the key 1.
    fn choose(&mut self, digit: Digit, out: &mut Vec<Output>) {
        let place = usize::from(digit.event()).checked_sub(1);
        let Some((place, offer)) = place.and_then(|it| Some((it, self.offers.get(it)?))) else {
            return out.push(Output::Note(Note::KeyIgnored));
        };
        self.lines = offer.lines.clone();
        self.opened = None;
        self.fall_silent(out);
        out.push(Output::Speak(Some(place)));
        self.greet(out);
    }

    fn greet(&mut self, out: &mut Vec<Output>) {
        self.state = State::Greeting;
        self.play(&[self.lines.greeting], out);
    }

    /// Asks, with what leads to it.
    fn ask(&mut self, round: u8, lead: Option<PhraseId>, out: &mut Vec<Output>) {
        self.state = State::Asking { round };
        let phrases: Vec<PhraseId> = lead.into_iter().chain([self.lines.ask]).collect();
        self.play(&phrases, out);
    }

    /// Asks once more, because nothing was heard; where it was asked often enough, that is the
    /// answer.
    fn ask_again(&mut self, now: Timestamp, round: u8, out: &mut Vec<Output>) {
        self.entry.clear();
        if may_again(self.settings.rounds, round) {
            self.ask(round.saturating_add(1), Some(self.lines.again), out);
        } else {
            self.heard(now, Answer::NoInput, out);
        }
    }

    /// Asks once more, because that is wanted.
    fn repeat(&mut self, round: u8, out: &mut Vec<Output>) {
        self.entry.clear();
        if !may_again(self.settings.repeats, self.repeats) {
            return out.push(Output::Note(Note::NoRepeatsLeft));
        }
        self.repeats = self.repeats.saturating_add(1);
        if self.hides_keys() {
            self.early = None;
        }
        self.fall_silent(out);
        self.ask(round, None, out);
    }

    fn listen(&mut self, now: Timestamp, round: u8) {
        self.state = State::Listening { round, until: now + self.settings.listen };
    }

    fn heard(&mut self, now: Timestamp, answer: Answer, out: &mut Vec<Output>) {
        self.entry.clear();
        self.state = State::Concluding { until: now + self.settings.conclude_within };
        out.push(Output::Heard(answer));
    }

    fn conclude(&mut self, close: Close, out: &mut Vec<Output>) {
        match self.state {
            State::HearingOut { .. }
            | State::Offering { .. }
            | State::Choosing { .. }
            | State::Greeting
            | State::Asking { .. }
            | State::Listening { .. }
            | State::Reporting { .. }
            | State::Telling
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
            State::Offering { .. }
            | State::Greeting
            | State::Asking { .. }
            | State::Reporting { until: None }
            | State::Telling => out.push(Output::StopPlaying),
            State::Waiting
            | State::HearingOut { .. }
            | State::Choosing { .. }
            | State::Listening { .. }
            | State::Reporting { until: Some(_) }
            | State::Concluding { .. }
            | State::Thanking
            | State::Farewell
            | State::Done => {}
        }
    }

    fn close(&mut self, close: Close, out: &mut Vec<Output>) {
        let lines = &self.lines;
        let expires = match &self.question {
            Question::Pin { expires: true, .. } => lines.pin_expires,
            Question::Pin { .. }
            | Question::Confirm
            | Question::Match { .. }
            | Question::Code { .. } => None,
        };
        let (state, phrases) = match close {
            Close::Thanks => (State::Thanking, expires.into_iter().chain([lines.thanks]).collect()),
            Close::Fraud => (State::Farewell, vec![lines.fraud]),
            Close::Denied => (State::Farewell, vec![lines.denied]),
            Close::Mismatch => (State::Farewell, vec![lines.wrong, lines.denied]),
            Close::Goodbye => (State::Farewell, vec![lines.goodbye]),
            Close::Sorry => (State::Farewell, vec![lines.sorry]),
        };
        self.state = state;
        self.play(&phrases, out);
    }

    fn play(&self, phrases: &[PhraseId], out: &mut Vec<Output>) {
        let pause = self.settings.pauses.phrase;
        let lines = phrases.iter().map(|phrase| Line::plain(*phrase, pause));
        out.push(Output::Play(lines.collect()));
    }
}

/// Whether something that was done so often may be done again.
const fn may_again(limit: Option<u8>, done: u8) -> bool {
    match limit {
        Some(limit) => done < limit,
        None => true,
    }
}

#[cfg(test)]
mod tests;
