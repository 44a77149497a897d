//! The dialogue, rule by rule.

mod choice;
mod code;
mod confirm;
mod entry;
mod fraud;
mod overlap;
mod random;

use std::sync::LazyLock;
use std::time::Duration;

use super::*;
use crate::media::listening;
use crate::media::prompt::Pack;

/// A dialogue and a clock.
struct Talk {
    script: Script,
    lines: Lines,
    now: Timestamp,
}

static PACK: LazyLock<Pack> = LazyLock::new(|| Pack::english().expect("it is compiled in"));

fn pack() -> &'static Pack {
    &PACK
}

fn digits(text: &str) -> Digits {
    Digits::parse(text).expect("digits")
}

fn pin(text: &str) -> Question {
    Question::Pin { pin: digits(text), expires: false }
}

fn matching(text: &str) -> Question {
    Question::Match { digits: digits(text) }
}

fn code(text: &str) -> Question {
    Question::Code { code: digits(text) }
}

/// What is played, with the pauses between phrases.
fn play(phrases: &[PhraseId]) -> Output {
    let pause = Duration::from_millis(240);
    Output::Play(phrases.iter().map(|phrase| Line::plain(*phrase, pause)).collect())
}

impl Talk {
    fn of(settings: Settings, question: Question) -> Self {
        let kind = question.kind();
        let lines = Lines::of(pack(), Some("Octothorpe"), kind).expect("it is whole");
        let script = Script::new(settings, question, lines.clone(), Vec::new());
        Self { script, lines, now: Timestamp::from_secs(1_000) }
    }

    /// Answered, greeted, and two seconds into the first ask.
    fn asked(settings: Settings, question: Question) -> Self {
        let mut talk = Self::of(settings, question);
        talk.on(Input::Answered);
        talk.on(Input::PhraseDone);
        talk.pass(2_000);
        talk
    }

    /// The first ask is over.
    fn heard_out(settings: Settings, question: Question) -> Self {
        let mut talk = Self::asked(settings, question);
        assert_eq!(talk.on(Input::PhraseDone), []);
        talk
    }

    fn new() -> Self {
        Self::of(Settings::default(), Question::Confirm)
    }

    fn asking() -> Self {
        Self::asked(Settings::default(), Question::Confirm)
    }

    fn listening() -> Self {
        Self::heard_out(Settings::default(), Question::Confirm)
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn on(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.script.on(self.now, input, &mut out);
        out
    }

    fn key(&mut self, name: char) -> Vec<Output> {
        let digit = Digit::from_char(name).expect("a key");
        self.on(Input::Key { digit, at: self.now })
    }

    /// Presses these, half a second apart; what the last one brings.
    fn keys(&mut self, names: &str) -> Vec<Output> {
        let mut last = Vec::new();
        for name in names.chars() {
            self.pass(500);
            last = self.key(name);
        }
        last
    }

    /// Passes the time to the deadline and lapses.
    fn lapse(&mut self) -> Vec<Output> {
        let (at, _) = self.script.deadline().expect("it waits");
        self.now = at;
        self.on(Input::Lapsed)
    }
}

/// A key that was heard has a proof that goes with it; `0` is in no log.
#[test]
fn what_is_entered_shows_in_no_debug_text() {
    let mut talk = Talk::heard_out(Settings::default(), pin("4821"));
    talk.keys("482");
    let shown = format!("{:?}", talk.script);
    for secret in ["4821", "482", "[4, 8", "4, 8, 2"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(format!("{:?}", digits("4821")), "Digits(•)");
}
