//! What the attendant does, rule by rule, and whatever the delays.

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_secs(100);

/// What the line says, and for how many milliseconds.
type Said = (Sound, u64);

const fn quiet(ms: u64) -> (Sound, u64) {
    (Sound::Quiet, ms)
}

const fn voice(ms: u64) -> (Sound, u64) {
    (Sound::Voice, ms)
}

/// One ring as in North America: what is known of the tone comes after 0.8 s of it.
const RING: [(Sound, u64); 3] = [(Sound::Tone, 780), (Sound::Ringback, 1_220), quiet(4_000)];

/// What came of it, and what was sent.
#[derive(Debug, Default)]
struct Run {
    outcomes: Vec<(Duration, Outcome)>,
    /// The keys that went down, and when.
    pressed: Vec<(Duration, char)>,
    payloads: Vec<Payload>,
}

impl Run {
    fn end(&self) -> Option<Outcome> {
        self.outcomes.last().map(|(_, outcome)| *outcome)
    }

    fn at(&self, wanted: Outcome) -> Option<u64> {
        let found = self.outcomes.iter().find(|(_, outcome)| *outcome == wanted)?;
        u64::try_from(found.0.as_millis()).ok()
    }

    fn keys(&self) -> String {
        self.pressed.iter().map(|(_, key)| *key).collect()
    }
}

fn extension(text: &str) -> Extension {
    let stroke = |name| match name {
        ',' => Stroke::Pause(Duration::from_secs(2)),
        key => Stroke::Key(Digit::from_char(key).unwrap()),
    };
    Extension { listens_first: !text.starts_with(','), strokes: text.chars().map(stroke).collect() }
}

/// Each 20 ms the line says what `line` tells, given the time since the last key.
fn run(
    text: &str,
    takes_events: bool,
    mut line: impl FnMut(Option<Duration>) -> Option<Sound>,
) -> Run {
    let mut attendant = Attendant::new(extension(text), Settings::default());
    let (mut run, mut now, mut clock) = (Run::default(), START, 4_000_000_000_u32);
    let keys = text.chars().filter(|key| *key != ',').count();
    for _ in 0..10_000 {
        let since = (run.pressed.len() == keys).then(|| run.pressed.last()).flatten();
        let since = since.map(|(at, _)| now.since(START).saturating_sub(*at));
        let Some(sound) = line(since) else { break };
        attendant.line.last = Some(now);
        attendant.line.sounds.push_back(sound);
        let mut out = Vec::new();
        let payload = attendant.frame(now, clock, takes_events, &mut out);
        let elapsed = now.since(START);
        run.outcomes.extend(out.into_iter().map(|outcome| (elapsed, outcome)));
        run.payloads.push(payload);
        match payload {
            Payload::Event(step) if step.marker => {
                let event = events::Event::read(&step.payload).unwrap();
                run.pressed.push((elapsed, Digit::from_event(event.code).unwrap().expose()));
            }
            Payload::Tone { digit, frame: 0 } => run.pressed.push((elapsed, digit.expose())),
            Payload::Event(_)
            | Payload::Tone { .. }
            | Payload::Silence
            | Payload::Prompt { .. } => {}
        }
        now += FRAME_TIME;
        clock = clock.wrapping_add(160);
        if matches!(run.end(), Some(Outcome::Reached | Outcome::Failed(_))) {
            break;
        }
    }
    run
}

fn frames(said: &[Said]) -> impl Iterator<Item = Sound> {
    said.iter().flat_map(|(sound, ms)| std::iter::repeat_n(*sound, *ms as usize / 20))
}

/// The line says `menu` from the answer on, and `behind` from the end of the last key on.
fn call(text: &str, menu: &[Said], behind: &[Said]) -> Run {
    let mut menu = frames(menu);
    let mut behind = frames(behind);
    run(text, true, |since| {
        // A key lasts 180 ms with its pause.
        if since.is_some_and(|since| since >= Duration::from_millis(160)) {
            return behind.next();
        }
        Some(menu.next().unwrap_or(Sound::Quiet))
    })
}

const MENU: [(Sound, u64); 4] = [quiet(600), voice(2_500), quiet(700), voice(3_000)];

fn behind(said: &[Said]) -> Outcome {
    let run = call("204", &MENU, said);
    assert_eq!(run.keys(), "204");
    run.end().unwrap()
}

fn failed(said: &[Said]) -> Failure {
    match behind(said) {
        Outcome::Failed(failure) => failure,
        other @ (Outcome::Dialling | Outcome::Reached) => panic!("{other:?}"),
    }
}

#[test]
fn the_keys_follow_the_last_word_of_the_attendant() {
    let run = call("204", &MENU, &[quiet(10_000)]);
    // It is silent from 6.8 s on, and a pause of 0.7 s is between two sentences.
    assert_eq!(run.at(Outcome::Dialling), Some(6_800 + 1_500 - 20));
    assert_eq!(run.keys(), "204");
}

#[test]
fn an_attendant_that_says_nothing_is_dialled_after_six_seconds() {
    let run = call("204", &[quiet(20_000)], &[]);
    assert_eq!(run.at(Outcome::Dialling), Some(5_980));
}

#[test]
fn an_attendant_that_still_rings_is_waited_for() {
    let menu = [&RING[..], &RING, &[voice(2_000)]].concat();
    assert_eq!(call("204", &menu, &[]).at(Outcome::Dialling), Some(12_000 + 2_000 + 1_480));
    let rings = RING.repeat(9);
    assert_eq!(call("204", &rings, &[]).end(), Some(Outcome::Failed(Failure::NumberRings)));
}

#[test]
fn an_attendant_that_never_falls_silent_is_dialled_all_the_same() {
    let run = call("204", &[quiet(500), voice(60_000)], &[]);
    assert_eq!(run.at(Outcome::Dialling), Some(25_000 - 20));
}

#[test]
fn a_click_is_no_attendant() {
    let run = call("204", &[quiet(500), voice(60), quiet(3_000), voice(2_000)], &[]);
    assert_eq!(run.at(Outcome::Dialling), Some(5_560 + 1_480));
}

#[test]
fn a_beep_asks_for_the_keys_at_once() {
    let run = call("204", &[voice(2_000), (Sound::Tone, 300), quiet(80), (Sound::Beep, 20)], &[]);
    assert_eq!(run.at(Outcome::Dialling), Some(2_380));
}

#[test]
fn a_number_that_is_busy_or_out_of_order_is_told() {
    let end = |sound| call("204", &[quiet(2_000), (sound, 20)], &[]).end();
    assert_eq!(end(Sound::Busy), Some(Outcome::Failed(Failure::NumberBusy)));
    assert_eq!(end(Sound::Reorder), Some(Outcome::Failed(Failure::NumberUnreachable)));
    assert_eq!(end(Sound::Special), Some(Outcome::Failed(Failure::NumberUnreachable)));
}

#[test]
fn a_pause_in_front_takes_the_place_of_listening() {
    let run = call(",,2,04", &[voice(60_000)], &[quiet(100)]);
    assert_eq!(run.at(Outcome::Dialling), Some(0));
    let at: Vec<u128> = run.pressed.iter().map(|(at, _)| at.as_millis()).collect();
    assert_eq!((run.keys().as_str(), at), ("204", vec![4_000, 6_180, 6_360]));
}

#[test]
fn keys_are_events_of_100_ms_with_80_ms_between_them() {
    let run = call("20", &MENU, &[quiet(100)]);
    let steps: Vec<(u32, events::Event, bool)> = run
        .payloads
        .iter()
        .filter_map(|payload| match payload {
            Payload::Event(step) => {
                Some((step.timestamp, events::Event::read(&step.payload).unwrap(), step.marker))
            }
            Payload::Silence | Payload::Prompt { .. } | Payload::Tone { .. } => None,
        })
        .collect();
    let (first, second) = steps.split_at(7);
    assert_eq!(second.len(), 7);
    for (steps, code) in [(first, 2), (second, 0)] {
        assert!(steps.iter().all(|it| it.1.code == code && it.0 == steps[0].0));
        assert_eq!(steps.iter().map(|it| it.1.end).filter(|end| *end).count(), 3);
        assert_eq!(steps.iter().map(|it| it.1.duration).max(), Some(800));
        assert_eq!(steps.iter().filter(|it| it.2).count(), 1);
    }
    assert_eq!(second[0].0.wrapping_sub(first[0].0), 1_440);
}

#[test]
fn where_events_are_not_taken_keys_are_tones() {
    let mut menu = frames(&MENU);
    let run =
        run("2#", false, |since| since.is_none().then(|| menu.next().unwrap_or(Sound::Quiet)));
    let tones = run.payloads.iter().filter(|it| matches!(it, Payload::Tone { .. })).count();
    // The run ends with the first frame of the second key.
    assert_eq!((run.keys().as_str(), tones), ("2#", PRESS + 1));
}

#[test]
fn a_person_is_greeted_once_they_have_said_hello() {
    let said = [&[quiet(800)][..], &RING, &RING[..2], &[voice(700), quiet(900)]].concat();
    assert_eq!(behind(&said), Outcome::Reached);
    let company = [&RING[..], &[voice(2_000), quiet(400), voice(1_800), quiet(900)]].concat();
    assert_eq!(behind(&company), Outcome::Reached);
}

#[test]
fn a_person_who_is_still_speaking_is_not_interrupted() {
    let said = [&RING[..], &[voice(2_000), quiet(700), voice(1_000), quiet(780)]].concat();
    assert_eq!(behind(&said), Outcome::Dialling);
}

#[test]
fn please_hold_is_not_the_person() {
    let hold = [quiet(400), voice(1_500), quiet(1_500)];
    let said = [&hold[..], &RING, &RING].concat();
    assert_eq!(behind(&said), Outcome::Dialling);
    let said = [&hold[..], &RING, &[voice(600), quiet(900)]].concat();
    assert_eq!(behind(&said), Outcome::Reached);
}

#[test]
fn a_person_may_answer_without_a_ring() {
    assert_eq!(behind(&[quiet(3_000), voice(600), quiet(900)]), Outcome::Reached);
    let hold = [quiet(400), voice(1_500), quiet(3_000), voice(600), quiet(900)];
    assert_eq!(behind(&hold), Outcome::Reached);
}

#[test]
fn a_person_who_says_nothing_is_greeted_too() {
    assert_eq!(behind(&[quiet(8_100)]), Outcome::Reached);
    assert_eq!(behind(&[quiet(7_900)]), Outcome::Dialling);
    let picked_up = [&RING[..2], &[quiet(6_100)]].concat();
    assert_eq!(behind(&picked_up), Outcome::Reached);
    let rings_on = [&RING[..2], &[quiet(5_900)]].concat();
    assert_eq!(behind(&rings_on), Outcome::Dialling);
}

#[test]
fn an_extension_that_is_busy_is_told_from_one_that_does_not_exist() {
    assert_eq!(failed(&[quiet(2_000), (Sound::Busy, 20)]), Failure::Busy);
    assert_eq!(failed(&[quiet(2_000), (Sound::Reorder, 20)]), Failure::Wrong);
    assert_eq!(failed(&[quiet(500), (Sound::Special, 20)]), Failure::Wrong);
}

#[test]
fn an_attendant_that_begins_anew_knows_no_such_extension() {
    let again = [quiet(500), voice(2_000), quiet(1_000), voice(4_000), quiet(4_100)];
    assert_eq!(failed(&again), Failure::Wrong);
    let sorry = [quiet(500), voice(3_000), quiet(4_100)];
    assert_eq!(failed(&sorry), Failure::Wrong);
    let after_its_wait_for_digits = [quiet(5_000), voice(6_000), quiet(4_100)];
    assert_eq!(failed(&after_its_wait_for_digits), Failure::Wrong);
    assert_eq!(failed(&[voice(30_000)]), Failure::Wrong);
}

#[test]
fn a_long_greeting_or_a_beep_is_a_mailbox() {
    let long = [&RING[..], &[voice(4_700)]].concat();
    assert_eq!(failed(&long), Failure::Mailbox);
    let beep = [&RING[..], &[voice(3_000), (Sound::Tone, 300), quiet(80), (Sound::Beep, 20)]];
    assert_eq!(failed(&beep.concat()), Failure::Mailbox);
    let at_once = [quiet(500), voice(6_000), quiet(1_000), (Sound::Beep, 20)];
    assert_eq!(failed(&at_once), Failure::Mailbox);
}

#[test]
fn an_extension_that_rings_on_is_not_answered() {
    assert_eq!(failed(&RING.repeat(9)), Failure::NoAnswer);
    // Whatever else sounds without an end.
    assert_eq!(failed(&[(Sound::Tone, 80_000)]), Failure::NoAnswer);
}

#[test]
fn silence_is_what_does_not_come() {
    let mut attendant = Attendant::new(extension("7"), Settings::default());
    let (mut out, mut now) = (Vec::new(), START);
    for _ in 0..320 {
        let _ = attendant.frame(now, 0, true, &mut out);
        now += FRAME_TIME;
    }
    assert_eq!(out, [Outcome::Dialling]);
}

proptest! {
    /// Whatever the delays: the keys go out once, in order, behind the last word of the attendant,
    /// and nobody is greeted before a person has spoken.
    #[test]
    fn whatever_the_delays_the_person_is_reached_behind_the_attendant(
        before in 100_u64..4_000,
        sentences in prop::collection::vec((400_u64..4_000, 100_u64..1_300), 1..5),
        pause in 40_u64..1_900,
        rings in 0_usize..6,
        lift in 20_u64..4_000,
        hello in 240_u64..3_000,
        hold in prop::option::of(600_u64..2_300),
    ) {
        let mut menu = vec![quiet(before)];
        menu.extend(sentences.iter().flat_map(|(said, pause)| [voice(*said), quiet(*pause)]));
        let spoken: u64 = menu.iter().map(|(_, ms)| ms / 20 * 20).sum();
        let last_word = spoken - sentences.last().map_or(0, |(_, pause)| pause / 20 * 20);
        let mut said = vec![quiet(pause)];
        if let Some(hold) = hold {
            said.extend([voice(hold), quiet(1_500)]);
        }
        if rings == 0 {
            said.push(quiet(2_100));
        }
        said.extend(RING.repeat(rings));
        // Somebody lifts the handset within the pause of the last ring.
        if rings > 0 {
            said.pop();
        }
        said.push(quiet(lift));
        let before_hello: u64 = said.iter().map(|(_, ms)| ms / 20 * 20).sum();
        said.extend([voice(hello), quiet(2_000)]);
        let run = call("2*4", &menu, &said);
        prop_assert_eq!(run.keys(), "2*4");
        prop_assert_eq!(run.outcomes.len(), 2);
        prop_assert_eq!(run.end(), Some(Outcome::Reached));
        let dialled = run.at(Outcome::Dialling).unwrap();
        prop_assert!(dialled >= last_word, "{dialled} {last_word}");
        let reached = run.at(Outcome::Reached).unwrap();
        let keys = dialled + 540;
        prop_assert!(reached >= keys + before_hello + hello / 20 * 20, "{:?}", run.outcomes);
    }
}
