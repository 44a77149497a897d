//! Somebody speaks over the beginning.

use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Answered just now; somebody began to speak after so many milliseconds, which is known 0.5 s later.
fn spoken_to(after: u64) -> (Talk, Vec<Output>) {
    let mut talk = Talk::new();
    talk.on(Input::Answered);
    let at = talk.now + ms(after);
    talk.pass(after + 500);
    let out = talk.on(Input::Talk(listening::Talk::Begun { at }));
    (talk, out)
}

#[test]
fn who_says_hello_over_the_greeting_is_heard_out_and_hears_it_again() {
    let (mut talk, out) = spoken_to(400);
    assert_eq!(out, [Output::StopPlaying]);
    talk.pass(200);
    assert_eq!(talk.on(Input::Talk(listening::Talk::Over)), [play(&[talk.lines.greeting])]);
    assert_eq!(talk.on(Input::PhraseDone), [play(&[talk.lines.ask])]);
    talk.pass(1_000);
    assert!(talk.key('#').contains(&Output::Heard(Answer::Confirmed { at: talk.now })));
}

#[test]
fn a_machine_that_speaks_on_delays_it_by_no_more_than_that() {
    let (mut talk, _) = spoken_to(999);
    let until = talk.now - ms(500) + ms(1_500);
    assert_eq!(talk.script.deadline(), Some((until, Timer::HearingOut)));
    talk.now = until - ms(1);
    assert_eq!(talk.on(Input::Lapsed), []);
    talk.pass(1);
    assert_eq!(talk.on(Input::Lapsed), [play(&[talk.lines.greeting])]);
}

#[test]
fn it_is_said_again_once_and_only_where_the_beginning_was_not_heard() {
    let (mut talk, _) = spoken_to(400);
    talk.on(Input::Talk(listening::Talk::Over));
    let at = talk.now + ms(100);
    talk.pass(600);
    assert_eq!(talk.on(Input::Talk(listening::Talk::Begun { at })), []);
    assert_eq!(talk.on(Input::Talk(listening::Talk::Over)), []);
    let (talk, out) = spoken_to(1_000);
    assert_eq!((out, talk.script.state()), (vec![], State::Greeting));
}

#[test]
fn where_the_greeting_is_short_the_ask_is_cut_and_its_second_begins_anew() {
    let mut talk = Talk::new();
    talk.on(Input::Answered);
    let at = talk.now + ms(950);
    talk.pass(1_400);
    talk.on(Input::PhraseDone);
    talk.pass(50);
    assert_eq!(talk.on(Input::Talk(listening::Talk::Begun { at })), [Output::StopPlaying]);
    assert_eq!(talk.key('#'), [Output::Note(Note::KeyTooEarly)]);
    talk.on(Input::Talk(listening::Talk::Over));
    talk.pass(1_400);
    talk.on(Input::PhraseDone);
    talk.pass(999);
    assert_eq!(talk.key('#'), [Output::Note(Note::KeyTooEarly)]);
    talk.pass(1);
    assert!(talk.key('#').contains(&Output::Heard(Answer::Confirmed { at: talk.now })));
}

#[test]
fn a_call_that_is_closed_while_somebody_speaks_says_goodbye() {
    let (mut talk, _) = spoken_to(100);
    assert_eq!(talk.on(Input::Conclude(Close::Denied)), [play(&[talk.lines.denied])]);
    assert_eq!(talk.on(Input::Talk(listening::Talk::Over)), []);
}
