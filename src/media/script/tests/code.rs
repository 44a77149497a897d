//! A code is told to whoever presses a key, and to nobody else.

use super::*;

fn listening() -> Talk {
    Talk::heard_out(Settings::default(), code("004513"))
}

/// What is played, as names and the silence after each in milliseconds.
fn told(out: &[Output]) -> String {
    let pack = pack();
    let mut told = Vec::new();
    for output in out {
        let Output::Play(lines) = output else {
            told.push(format!("{output:?}"));
            continue;
        };
        for line in lines {
            let is = |name: &&str| pack.find(name) == Ok(line.phrase);
            let name = pack.names().find(is).unwrap_or_default();
            let secret = if line.secret { "*" } else { "" };
            told.push(format!("{name}{secret} {}", line.pause.as_millis()));
        }
    }
    told.join(", ")
}

#[test]
fn the_code_is_told_twice_digit_by_digit_after_the_pound_key() {
    let mut talk = listening();
    let out = talk.key('#');
    assert_eq!(
        told(&out),
        "Telling, code_is 240, digit_0* 250, digit_0* 250, digit_4* 400, digit_5* 250, \
         digit_1* 250, digit_3_f* 1000, code_again 240, digit_0* 250, digit_0* 250, digit_4* 400, \
         digit_5* 250, digit_1* 250, digit_3_f* 1000, code_end 240"
    );
    assert_eq!(talk.script.deadline(), None);
    assert_eq!(talk.on(Input::PhraseDone), [Output::Done]);
    assert_eq!(talk.script.state(), State::Done);
}

#[test]
fn whoever_needs_more_time_hears_it_more_slowly() {
    let mut talk = Talk::heard_out(Settings::default().accessible(), code("004513"));
    let out = talk.key('#');
    let told = told(&out);
    assert!(told.contains("digit_0* 750, digit_4* 1200, "), "{told}");
    assert!(told.contains("digit_3_f* 2000"), "{told}");
}

#[test]
fn nothing_of_the_code_is_played_before_a_key() {
    let mut talk = Talk::of(Settings::default(), code("004513"));
    let mut out = talk.on(Input::Answered);
    out.extend(talk.key('#'));
    out.extend(talk.on(Input::PhraseDone));
    talk.pass(900);
    out.extend(talk.key('#'));
    out.extend(talk.on(Input::PhraseDone));
    for _ in 0..2 {
        out.extend(talk.lapse());
        out.extend(talk.on(Input::PhraseDone));
    }
    assert!(out.contains(&Output::Heard(Answer::NoInput)));
    assert!(!told(&out).contains('*'), "{}", told(&out));
}

#[test]
fn a_wrong_key_is_forgiven_once() {
    let mut talk = listening();
    assert_eq!(talk.key('5'), [play(&[talk.lines.wrong, talk.lines.ask])]);
    talk.on(Input::PhraseDone);
    assert_eq!(talk.key('5'), [Output::Heard(Answer::WrongKey { at: talk.now })]);
}

#[test]
fn star_tells_the_code_anew() {
    let mut talk = listening();
    let first = talk.key('#');
    for _ in 0..3 {
        let again = talk.keys("*");
        assert_eq!(told(&again), told(&first).replace("Telling", "StopPlaying"));
    }
    assert_eq!(talk.keys("*"), [Output::Note(Note::NoRepeatsLeft)]);
    assert_eq!(talk.on(Input::PhraseDone), [Output::Done]);
}

#[test]
fn who_types_the_code_on_the_phone_reports_no_fraud_by_it() {
    let mut talk = listening();
    talk.key('#');
    assert_eq!(talk.keys("004510#"), [Output::Note(Note::KeyIgnored)]);
    assert_eq!(talk.keys("#"), [Output::Note(Note::KeyIgnored)]);
    let out = talk.keys("0#");
    let at = talk.now;
    assert_eq!(out, [Output::StopPlaying, Output::Heard(Answer::FraudReported { at })]);
}

#[test]
fn a_code_that_was_typed_meanwhile_ends_the_telling_kindly() {
    let mut talk = listening();
    talk.key('#');
    let out = talk.on(Input::Conclude(Close::Thanks));
    assert_eq!(out, [Output::StopPlaying, play(&[talk.lines.thanks])]);
}

#[test]
fn zero_and_pound_before_the_code_report_fraud_and_tell_nothing() {
    let mut talk = listening();
    let out = talk.keys("0#");
    assert_eq!(out, [Output::Heard(Answer::FraudReported { at: talk.now })]);
}
