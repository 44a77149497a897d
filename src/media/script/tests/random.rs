//! Whatever is pressed, and whenever: an answer is what was asked for, or none.

use proptest::prelude::*;

use super::*;

/// How long everything that is played takes.
const PHRASE: Duration = Duration::from_secs(4);

/// Longer than any dialogue: nobody is asked for so long.
const LONGEST: Duration = Duration::from_secs(400);

/// What was pressed, and what came of it.
struct Run {
    talk: Talk,
    begun: Timestamp,
    pressed: Vec<(Timestamp, char)>,
    /// When the ask began first, and when it was last heard to its end.
    asked: Option<Timestamp>,
    heard_out: Timestamp,
    /// When what is being played ends.
    silent_at: Option<Timestamp>,
    answers: Vec<Answer>,
    told: Option<Timestamp>,
}

impl Run {
    fn new(settings: Settings, question: Question) -> Self {
        let talk = Talk::of(settings, question);
        let mut run = Self {
            begun: talk.now,
            heard_out: talk.now,
            talk,
            pressed: Vec::new(),
            asked: None,
            silent_at: None,
            answers: Vec::new(),
            told: None,
        };
        run.give(Input::Answered);
        run
    }

    fn give(&mut self, input: Input) {
        for output in self.talk.on(input) {
            match output {
                Output::Play(lines) => {
                    let is_ask = lines.iter().any(|line| line.phrase == self.talk.lines.ask);
                    if is_ask {
                        self.asked.get_or_insert(self.talk.now);
                    }
                    let is_secret = lines.iter().any(|line| line.secret);
                    assert!(!is_secret || self.told.is_some(), "the code was told unasked");
                    self.silent_at = Some(self.talk.now + PHRASE);
                }
                Output::StopPlaying => self.silent_at = None,
                Output::Heard(answer) => {
                    self.answers.push(answer);
                    self.judge(answer);
                }
                Output::Telling => {
                    assert!(self.told.replace(self.talk.now).is_none(), "told twice");
                    self.must_end_with("");
                }
                Output::Speak(_) | Output::Note(_) | Output::Done => {}
            }
        }
    }

    /// Lets time pass until then: what is played comes to its end, deadlines lapse.
    fn until(&mut self, then: Timestamp) {
        loop {
            let deadline = self.talk.script.deadline().map(|(at, _)| at);
            let next = deadline.into_iter().chain(self.silent_at).min();
            let Some(next) = next.filter(|next| *next <= then) else { break };
            self.talk.now = next;
            if self.silent_at == Some(next) {
                self.silent_at = None;
                if matches!(self.talk.script.state(), State::Asking { .. }) {
                    self.heard_out = next;
                }
                self.give(Input::PhraseDone);
            } else {
                self.give(Input::Lapsed);
            }
        }
        self.talk.now = then;
    }

    /// The last keys were these digits and `#`, all of them after the ask began to count, and no
    /// key before them belongs to them.
    fn must_end_with(&self, digits: &str) {
        let counts_from = self.asked.expect("it was asked") + Duration::from_secs(1);
        let wanted: Vec<char> = digits.chars().chain(['#']).collect();
        let at = self.pressed.len().checked_sub(wanted.len()).expect("so many were pressed");
        let (before, last) = self.pressed.split_at(at);
        let keys: Vec<char> = last.iter().map(|(_, key)| *key).collect();
        assert_eq!(keys, wanted);
        assert!(last.iter().all(|(at, _)| *at >= counts_from), "a key came too early");
        let (first, _) = last[0];
        if let Some((at, key)) = before.last().filter(|_| !digits.is_empty()) {
            let apart = first.since(*at) >= Duration::from_secs(5) || *at < self.heard_out;
            assert!(apart || "#*".contains(*key) || *at < counts_from, "{key} belongs to it");
        }
    }

    fn judge(&self, answer: Answer) {
        assert_eq!(self.answers.len(), 1, "one answer: {:?}", self.answers);
        let exposed = |digits: &Digits| -> String {
            digits.expose().map(|digit| char::from(b'0' + digit)).collect()
        };
        let fraud = format!("{:?}", self.talk.script.settings.fraud);
        let fraud = fraud.trim_end_matches('#');
        match (answer, &self.talk.script.question) {
            (Answer::Confirmed { .. }, Question::Confirm) => {
                self.must_end_with("");
                let first = fraud.chars().next();
                let since =
                    |(at, key): &&(Timestamp, char)| *at >= self.heard_out && Some(*key) == first;
                assert_eq!(self.pressed.iter().find(since), None, "a report was taken for consent");
            }
            (Answer::PinEntered { .. }, Question::Pin { pin, .. }) => {
                self.must_end_with(&exposed(pin));
            }
            (Answer::DigitsEntered { .. }, Question::Match { digits }) => {
                self.must_end_with(&exposed(digits));
            }
            (
                Answer::Confirmed { .. } | Answer::PinEntered { .. } | Answer::DigitsEntered { .. },
                _,
            ) => {
                panic!("{answer:?} answers nothing that was asked");
            }
            (Answer::FraudReported { .. }, question) => {
                let confirmed = self.talk.script.settings.confirm_fraud;
                let last = self.pressed.last().map(|(_, key)| *key);
                assert_eq!(last, Some(if confirmed { '1' } else { '#' }));
                if question.kind().is_entry() && !confirmed {
                    self.must_end_with(fraud);
                }
                let mut keys = self.pressed.iter().map(|(_, key)| *key);
                let wanted: Vec<char> = fraud.chars().chain(['#']).collect();
                assert!(wanted.iter().all(|it| keys.any(|key| key == *it)), "nobody reported it");
            }
            (Answer::Declined | Answer::WrongKey { .. } | Answer::WrongPin { .. }, _) => {
                assert!(!self.pressed.is_empty(), "somebody pressed keys");
            }
            (Answer::NoInput, _) => {}
        }
    }
}

fn question() -> impl Strategy<Value = Question> {
    prop_oneof![
        Just(Question::Confirm),
        Just(pin("0914")),
        Just(matching("09")),
        Just(matching("110")),
        Just(code("990101")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_is_what_was_asked_for(
        question in question(),
        fraud in prop_oneof![Just("0#"), Just("9#"), Just("19#"), Just("110#")],
        confirm_fraud in any::<bool>(),
        keys in prop::collection::vec(
            (
                prop_oneof![8 => 100_u64..900, 1 => 900_u64..12_000],
                prop_oneof![
                    6 => prop::sample::select(vec!["0914#", "09#", "110#", "0#", "19#", "9#", "1"]),
                    5 => prop::sample::select(vec!["#", "0", "9", "1", "4", "*", "5", "A"]),
                ],
            ),
            0..24,
        ),
    ) {
        let fraud = FraudKeys::parse(fraud).expect("keys");
        let settings = Settings { fraud, confirm_fraud, ..Settings::default() };
        let mut run = Run::new(settings, question);
        for (after, group) in keys {
            for key in group.chars() {
                run.until(run.talk.now + Duration::from_millis(after));
                run.pressed.push((run.talk.now, key));
                let digit = Digit::from_char(key).expect("a key");
                run.give(Input::Key { digit, at: run.talk.now });
            }
        }
        run.until(run.begun + LONGEST);
        prop_assert_eq!(run.talk.script.state(), State::Done);
        let told = run.told.is_some();
        prop_assert!(run.answers.len() == 1 || (told && run.answers.is_empty()), "{:?}", run.answers);
    }
}
