//! `#` confirms.

use super::*;

#[test]
fn the_answer_brings_the_greeting_the_greeting_the_ask() {
    let mut talk = Talk::new();
    assert_eq!(talk.on(Input::Answered), [play(&[talk.lines.greeting])]);
    assert_eq!(talk.on(Input::Answered), []);
    assert_eq!(talk.on(Input::PhraseDone), [play(&[talk.lines.ask])]);
    assert_eq!(talk.script.deadline(), None);
    assert_eq!(talk.on(Input::PhraseDone), []);
    let until = talk.now + Duration::from_secs(10);
    assert_eq!(talk.script.deadline(), Some((until, Timer::Listening)));
}

#[test]
fn silence_in_two_rounds_is_no_input_and_goodbye() {
    let mut talk = Talk::listening();
    assert_eq!(talk.lapse(), [play(&[talk.lines.again, talk.lines.ask])]);
    assert_eq!(talk.on(Input::PhraseDone), []);
    assert_eq!(talk.lapse(), [Output::Heard(Answer::NoInput)]);
    assert_eq!(talk.on(Input::Conclude(Close::Goodbye)), [play(&[talk.lines.goodbye])]);
    assert_eq!(talk.script.state(), State::Farewell);
    assert_eq!(talk.on(Input::PhraseDone), [Output::Done]);
    assert_eq!(talk.on(Input::PhraseDone), []);
}

#[test]
fn pound_while_listening_is_confirmed_and_thanked() {
    let mut talk = Talk::listening();
    talk.pass(3_000);
    let at = talk.now;
    assert_eq!(talk.key('#'), [Output::Heard(Answer::Confirmed { at })]);
    let until = at + Duration::from_secs(2);
    assert_eq!(talk.script.deadline(), Some((until, Timer::Concluding)));
    assert_eq!(talk.on(Input::Conclude(Close::Thanks)), [play(&[talk.lines.thanks])]);
    assert_eq!(talk.script.state(), State::Thanking);
    assert_eq!(talk.on(Input::PhraseDone), [Output::Done]);
    assert_eq!(talk.script.state(), State::Done);
}

#[test]
fn pound_during_the_ask_stops_the_prompt() {
    let mut talk = Talk::asking();
    let at = talk.now;
    assert_eq!(talk.key('#'), [Output::StopPlaying, Output::Heard(Answer::Confirmed { at })]);
}

#[test]
fn keys_before_the_ask_has_been_heard_for_a_second_are_ignored() {
    let mut talk = Talk::new();
    assert_eq!(talk.key('#'), [Output::Note(Note::KeyTooEarly)]);
    talk.on(Input::Answered);
    assert_eq!(talk.key('#'), [Output::Note(Note::KeyTooEarly)]);
    talk.on(Input::PhraseDone);
    talk.pass(999);
    assert_eq!(talk.key('#'), [Output::Note(Note::KeyTooEarly)]);
    assert_eq!(talk.key('5'), [Output::Note(Note::KeyTooEarly)]);
    talk.pass(1);
    assert!(talk.key('#').contains(&Output::Heard(Answer::Confirmed { at: talk.now })));
}

#[test]
fn a_key_counts_by_when_it_went_down_not_by_when_it_is_told() {
    let mut talk = Talk::asking();
    let at = talk.now - Duration::from_millis(1_001);
    let early = Input::Key { digit: Digit::POUND, at };
    assert_eq!(talk.on(early), [Output::Note(Note::KeyTooEarly)]);
}

#[test]
fn pound_counts_while_the_second_ask_is_led_in() {
    let mut talk = Talk::listening();
    talk.lapse();
    let at = talk.now;
    assert_eq!(talk.key('#'), [Output::StopPlaying, Output::Heard(Answer::Confirmed { at })]);
}

#[test]
fn zero_then_pound_is_a_fraud_report() {
    let mut talk = Talk::listening();
    assert_eq!(talk.key('0'), []);
    talk.pass(9_999);
    let at = talk.now;
    assert_eq!(talk.key('#'), [Output::Heard(Answer::FraudReported { at })]);
    assert_eq!(talk.on(Input::Conclude(Close::Fraud)), [play(&[talk.lines.fraud])]);
    assert_eq!(talk.on(Input::PhraseDone), [Output::Done]);
}

#[test]
fn zero_during_the_ask_stops_the_prompt_and_listens() {
    let mut talk = Talk::asking();
    assert_eq!(talk.key('0'), [Output::StopPlaying]);
    assert!(matches!(talk.script.state(), State::Listening { round: 1, .. }));
}

#[test]
fn a_zero_at_the_very_end_of_the_listening_time_still_waits_for_its_pound() {
    let mut talk = Talk::listening();
    talk.pass(9_999);
    assert_eq!(talk.key('0'), []);
    talk.pass(500);
    assert_eq!(talk.on(Input::Lapsed), []);
    let at = talk.now;
    assert_eq!(talk.key('#'), [Output::Heard(Answer::FraudReported { at })]);
}

#[test]
fn zero_then_nothing_is_no_answer() {
    let mut talk = Talk::listening();
    assert_eq!(talk.key('0'), []);
    assert_eq!(talk.lapse(), [play(&[talk.lines.again, talk.lines.ask])]);
    talk.on(Input::PhraseDone);
    assert_eq!(talk.key('0'), []);
    assert_eq!(talk.lapse(), [Output::Heard(Answer::NoInput)]);
}

#[test]
fn zero_then_another_key_is_a_wrong_key_and_the_pound_key_still_reports_fraud() {
    for second in ['5', 'D'] {
        let mut talk = Talk::listening();
        talk.key('0');
        let retry = [talk.lines.wrong, talk.lines.ask];
        assert_eq!(talk.key(second), [play(&retry)]);
        let at = talk.now;
        let pound = talk.key('#');
        assert_eq!(pound, [Output::StopPlaying, Output::Heard(Answer::FraudReported { at })]);
    }
}

#[test]
fn a_zero_that_comes_twice_is_still_a_zero() {
    let mut talk = Talk::listening();
    assert_eq!(talk.key('0'), []);
    assert_eq!(talk.key('0'), []);
    let at = talk.now;
    assert_eq!(talk.key('#'), [Output::Heard(Answer::FraudReported { at })]);
}

#[test]
fn after_the_whole_ask_is_heard_again_an_old_zero_is_forgotten() {
    let mut talk = Talk::listening();
    talk.key('0');
    talk.lapse();
    assert!(matches!(talk.script.state(), State::Asking { round: 2 }));
    talk.on(Input::PhraseDone);
    let at = talk.now;
    assert_eq!(talk.key('#'), [Output::Heard(Answer::Confirmed { at })]);
}

#[test]
fn a_zero_before_keys_count_keeps_its_pound_key_from_confirming() {
    let mut talk = Talk::new();
    talk.on(Input::Answered);
    talk.on(Input::PhraseDone);
    talk.pass(900);
    assert_eq!(talk.key('0'), [Output::Note(Note::KeyTooEarly)]);
    talk.pass(200);
    assert_eq!(talk.key('#'), [Output::Note(Note::KeyTooEarly)]);
    talk.on(Input::PhraseDone);
    let at = talk.now;
    assert_eq!(talk.key('#'), [Output::Heard(Answer::Confirmed { at })]);
}

#[test]
fn a_wrong_key_is_told_and_asked_once_more() {
    for key in ['1', '9', 'A'] {
        let mut talk = Talk::asking();
        let retry = [talk.lines.wrong, talk.lines.ask];
        assert_eq!(talk.key(key), [Output::StopPlaying, play(&retry)]);
        assert_eq!(talk.script.state(), State::Asking { round: 1 });
    }
}

#[test]
fn a_second_wrong_key_is_denied() {
    let mut talk = Talk::listening();
    talk.key('1');
    talk.on(Input::PhraseDone);
    let at = talk.now;
    assert_eq!(talk.key('2'), [Output::Heard(Answer::WrongKey { at })]);
    assert_eq!(talk.on(Input::Conclude(Close::Denied)), [play(&[talk.lines.denied])]);
    assert_eq!(talk.on(Input::PhraseDone), [Output::Done]);
}

#[test]
fn when_nobody_concludes_within_two_seconds_it_says_sorry() {
    let mut talk = Talk::listening();
    talk.key('#');
    talk.pass(1_999);
    assert_eq!(talk.on(Input::Lapsed), []);
    talk.pass(1);
    assert_eq!(talk.on(Input::Lapsed), [play(&[talk.lines.sorry])]);
    assert_eq!(talk.on(Input::Conclude(Close::Thanks)), []);
    assert_eq!(talk.on(Input::PhraseDone), [Output::Done]);
}

#[test]
fn an_answer_is_heard_once() {
    let mut talk = Talk::listening();
    talk.key('#');
    assert_eq!(talk.key('#'), [Output::Note(Note::KeyTooLate)]);
    talk.on(Input::Conclude(Close::Thanks));
    assert_eq!(talk.key('5'), [Output::Note(Note::KeyTooLate)]);
    talk.on(Input::PhraseDone);
    assert_eq!(talk.key('#'), [Output::Note(Note::KeyTooLate)]);
    assert_eq!(talk.on(Input::Lapsed), []);
}

#[test]
fn a_question_that_became_void_is_closed_at_once() {
    let mut talk = Talk::asking();
    let sorry = [talk.lines.sorry];
    assert_eq!(talk.on(Input::Conclude(Close::Sorry)), [Output::StopPlaying, play(&sorry)]);
    assert_eq!(talk.on(Input::PhraseDone), [Output::Done]);
    assert_eq!(Talk::new().on(Input::Conclude(Close::Sorry)), []);
}

#[test]
fn a_lapse_that_is_early_or_not_awaited_changes_nothing() {
    let mut talk = Talk::listening();
    talk.pass(9_999);
    assert_eq!(talk.on(Input::Lapsed), []);
    let mut talk = Talk::asking();
    assert_eq!(talk.on(Input::Lapsed), []);
    assert_eq!(talk.script.state(), State::Asking { round: 1 });
}

#[test]
fn a_zero_outlives_a_repetition_until_the_ask_is_heard_again() {
    let mut talk = Talk::listening();
    talk.key('0');
    assert_eq!(talk.key('*'), [play(&[talk.lines.ask])]);
    let at = talk.now;
    assert_eq!(talk.key('#'), [Output::StopPlaying, Output::Heard(Answer::FraudReported { at })]);
}

#[test]
fn star_repeats_the_ask_three_times_and_counts_as_no_wrong_key() {
    let mut talk = Talk::asking();
    for _ in 0..3 {
        assert_eq!(talk.key('*'), [Output::StopPlaying, play(&[talk.lines.ask])]);
        assert_eq!(talk.script.state(), State::Asking { round: 1 });
    }
    assert_eq!(talk.key('*'), [Output::Note(Note::NoRepeatsLeft)]);
    talk.on(Input::PhraseDone);
    assert_eq!(talk.key('*'), [Output::Note(Note::NoRepeatsLeft)]);
    talk.key('7');
    let at = talk.now;
    assert_eq!(talk.key('#'), [Output::StopPlaying, Output::Heard(Answer::Confirmed { at })]);
}

#[test]
fn star_in_the_greeting_is_too_early() {
    let mut talk = Talk::new();
    talk.on(Input::Answered);
    assert_eq!(talk.key('*'), [Output::Note(Note::KeyTooEarly)]);
}

#[test]
fn whoever_needs_more_time_is_asked_until_somebody_ends_it() {
    let mut talk = Talk::heard_out(Settings::default().accessible(), Question::Confirm);
    for _ in 0..300 {
        let until = talk.now + Duration::from_secs(20);
        assert_eq!(talk.script.deadline(), Some((until, Timer::Listening)));
        assert!(matches!(talk.lapse()[..], [Output::Play(_)]));
        assert!(matches!(talk.key('*')[..], [Output::StopPlaying, Output::Play(_)]));
        talk.on(Input::PhraseDone);
    }
    let slow = Duration::from_millis(720);
    let out = talk.on(Input::Conclude(Close::Goodbye));
    assert_eq!(out, [Output::Play(vec![Line::plain(talk.lines.goodbye, slow)])]);
}
