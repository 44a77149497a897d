//! Digits and `#` are the answer: a person's own PIN, or the digits of the page.

use super::*;

fn listening(question: Question) -> Talk {
    Talk::heard_out(Settings::default(), question)
}

#[test]
fn the_pin_and_pound_are_the_answer() {
    let mut talk = listening(pin("4821"));
    assert_eq!(talk.keys("482"), []);
    assert_eq!(talk.keys("1"), []);
    let out = talk.keys("#");
    assert_eq!(out, [Output::Heard(Answer::PinEntered { at: talk.now })]);
    assert_eq!(talk.on(Input::Conclude(Close::Thanks)), [play(&[talk.lines.thanks])]);
}

#[test]
fn the_digits_and_pound_are_the_answer() {
    let mut talk = listening(matching("027"));
    let out = talk.keys("027#");
    assert_eq!(out, [Output::Heard(Answer::DigitsEntered { at: talk.now })]);
}

#[test]
fn a_pin_that_will_expire_is_told_of_to_whoever_knew_it() {
    let question = Question::Pin { pin: digits("4821"), expires: true };
    let mut talk = listening(question);
    talk.keys("4821#");
    let expires = talk.lines.pin_expires.expect("it is in the pack");
    let thanks = [expires, talk.lines.thanks];
    assert_eq!(talk.on(Input::Conclude(Close::Thanks)), [play(&thanks)]);
    let question = Question::Pin { pin: digits("4821"), expires: true };
    let mut talk = listening(question);
    talk.keys("4822#4822#");
    assert_eq!(talk.on(Input::Conclude(Close::Denied)), [play(&[talk.lines.denied])]);
}

#[test]
fn a_digit_in_the_ask_stops_it() {
    let mut talk = Talk::asked(Settings::default(), pin("4821"));
    assert_eq!(talk.key('4'), [Output::StopPlaying]);
    assert!(matches!(talk.script.state(), State::Listening { round: 1, .. }));
    let out = talk.keys("821#");
    assert_eq!(out, [Output::Heard(Answer::PinEntered { at: talk.now })]);
}

#[test]
fn one_wrong_pin_is_told_and_a_second_one_is_the_answer() {
    let mut talk = listening(pin("4821"));
    assert_eq!(talk.keys("4822#"), [play(&[talk.lines.wrong, talk.lines.ask])]);
    assert_eq!(talk.script.state(), State::Asking { round: 1 });
    let out = talk.keys("4281#");
    assert_eq!(out, [Output::Heard(Answer::WrongPin { at: talk.now })]);
    let settings = Settings { pin_tries: 1, ..Settings::default() };
    let mut talk = Talk::heard_out(settings, pin("4821"));
    let out = talk.keys("4822#");
    assert_eq!(out, [Output::Heard(Answer::WrongPin { at: talk.now })]);
}

#[test]
fn other_digits_than_those_of_the_page_end_the_call() {
    let mut talk = listening(matching("274"));
    let out = talk.keys("273#");
    assert_eq!(out, [Output::Heard(Answer::WrongKey { at: talk.now })]);
    let words = [talk.lines.wrong, talk.lines.denied];
    assert_eq!(talk.on(Input::Conclude(Close::Mismatch)), [play(&words)]);
    assert_eq!(talk.on(Input::PhraseDone), [Output::Done]);
}

#[test]
fn nothing_but_the_very_digits_will_do() {
    for wrong in [
        "48210#",
        "04821#",
        "482#",
        "4812#",
        "48214821#",
        "4821A#",
        "4A821#",
        "82148214821482148214821#",
    ] {
        let mut talk = listening(pin("4821"));
        let out = talk.keys(wrong);
        assert_eq!(out, [play(&[talk.lines.wrong, talk.lines.ask])], "{wrong}");
    }
    let longest = "0123456789012345";
    let mut talk = listening(pin(longest));
    talk.keys(longest);
    let out = talk.keys("6#");
    assert_eq!(out, [play(&[talk.lines.wrong, talk.lines.ask])], "one more than are kept");
    talk.keys(longest);
    let out = talk.keys("#");
    assert_eq!(out, [Output::Heard(Answer::PinEntered { at: talk.now })]);
}

#[test]
fn pound_alone_is_asked_again_and_then_is_no_answer() {
    let mut talk = listening(matching("274"));
    assert_eq!(talk.keys("#"), [play(&[talk.lines.again, talk.lines.ask])]);
    assert_eq!(talk.script.state(), State::Asking { round: 2 });
    talk.on(Input::PhraseDone);
    assert_eq!(talk.keys("#"), [Output::Heard(Answer::NoInput)]);
}

#[test]
fn an_entry_that_stops_is_forgotten_and_asked_again() {
    let mut talk = listening(pin("4821"));
    talk.keys("48");
    let until = talk.now + Duration::from_secs(5);
    assert_eq!(talk.script.deadline(), Some((until, Timer::Listening)));
    assert_eq!(talk.lapse(), [play(&[talk.lines.again, talk.lines.ask])]);
    talk.on(Input::PhraseDone);
    assert_eq!(talk.keys("21#"), [play(&[talk.lines.wrong, talk.lines.ask])]);
}

#[test]
fn each_key_has_its_own_time() {
    let mut talk = listening(pin("4821"));
    for key in ['4', '8', '2', '1'] {
        talk.pass(4_900);
        assert_eq!(talk.on(Input::Lapsed), []);
        assert_eq!(talk.key(key), []);
    }
    talk.pass(4_900);
    assert_eq!(talk.key('#'), [Output::Heard(Answer::PinEntered { at: talk.now })]);
}

#[test]
fn star_takes_back_what_was_entered_and_repeats_the_ask() {
    let mut talk = listening(pin("4821"));
    talk.keys("77");
    assert_eq!(talk.keys("*"), [play(&[talk.lines.ask])]);
    let out = talk.keys("4821#");
    assert_eq!(out, [Output::Heard(Answer::PinEntered { at: talk.now })]);
}

#[test]
fn an_answer_that_was_begun_too_early_counts_neither_way() {
    let mut talk = Talk::of(Settings::default(), matching("274"));
    talk.on(Input::Answered);
    talk.on(Input::PhraseDone);
    talk.pass(700);
    // The 2 comes too early, and what goes with it is no answer.
    for key in ['2', '7', '4', '#'] {
        assert_eq!(talk.key(key), [Output::Note(Note::KeyTooEarly)], "{key}");
        talk.pass(400);
    }
    let out = talk.keys("274#");
    assert_eq!(out, [Output::Heard(Answer::DigitsEntered { at: talk.now })]);
}

#[test]
fn an_early_key_is_forgotten_after_a_pause_a_star_and_the_whole_ask() {
    let early = || {
        let mut talk = Talk::of(Settings::default(), matching("274"));
        talk.on(Input::Answered);
        talk.on(Input::PhraseDone);
        talk.pass(700);
        talk.key('9');
        talk
    };
    let mut talk = early();
    talk.pass(5_000);
    talk.keys("274#");
    assert!(matches!(talk.script.state(), State::Concluding { .. }));
    let mut talk = early();
    talk.keys("*274#");
    assert!(matches!(talk.script.state(), State::Concluding { .. }));
    let mut talk = early();
    talk.pass(1_000);
    talk.on(Input::PhraseDone);
    talk.keys("274#");
    assert!(matches!(talk.script.state(), State::Concluding { .. }));
}

#[test]
fn whoever_needs_more_time_has_three_times_as_long_for_each_key() {
    let mut talk = Talk::heard_out(Settings::default().accessible(), pin("4821"));
    talk.keys("4");
    let until = talk.now + Duration::from_secs(15);
    assert_eq!(talk.script.deadline(), Some((until, Timer::Listening)));
}
