//! The keys that report fraud, at every question.

use super::*;

fn with(keys: &str) -> Settings {
    Settings { fraud: FraudKeys::parse(keys).expect("keys"), ..Settings::default() }
}

fn questions() -> [Question; 4] {
    [Question::Confirm, pin("4821"), matching("274"), code("004513")]
}

#[test]
fn they_work_at_every_question_and_can_be_others() {
    for keys in ["0#", "9#", "99#", "911#", "101#"] {
        for question in questions() {
            let mut talk = Talk::heard_out(with(keys), question.clone());
            let out = talk.keys(keys);
            let at = talk.now;
            assert_eq!(out, [Output::Heard(Answer::FraudReported { at })], "{keys} {question:?}");
        }
    }
}

#[test]
fn half_of_them_and_pound_are_no_consent() {
    for question in [Question::Confirm, code("004513")] {
        let mut talk = Talk::heard_out(with("911#"), question);
        assert_eq!(talk.keys("91"), []);
        assert_eq!(talk.keys("#"), [play(&[talk.lines.wrong, talk.lines.ask])]);
        talk.on(Input::PhraseDone);
        assert!(matches!(
            talk.keys("#")[..],
            [Output::Heard(Answer::Confirmed { .. })] | [Output::Telling, ..]
        ));
    }
}

#[test]
fn what_may_be_an_answer_is_refused() {
    for keys in ["#", "", "0", "*#", "1234#", "0*", "##", "a#", "0#0#", "0 #"] {
        assert!(FraudKeys::parse(keys).is_err(), "{keys}");
    }
    let keys = FraudKeys::parse("07#").expect("keys");
    assert!(keys.are("07") && !keys.are("7") && !keys.are("070") && !keys.are(""));
    assert_eq!(FraudKeys::parse("0#"), Ok(FraudKeys::default()));
    assert_ne!(FraudKeys::parse("00#"), Ok(FraudKeys::default()));
}

fn confirmed() -> Settings {
    Settings { confirm_fraud: true, ..Settings::default() }
}

#[test]
fn a_report_is_confirmed_by_one() {
    for question in questions() {
        let mut talk = Talk::heard_out(confirmed(), question);
        let ask = talk.lines.confirm_fraud.expect("it is in the pack");
        assert_eq!(talk.keys("0#"), [play(&[ask])]);
        assert_eq!(talk.script.state(), State::Reporting { until: None });
        for other in ['#', '0', '*', '2'] {
            assert_eq!(talk.key(other), [Output::Note(Note::KeyIgnored)]);
        }
        let at = talk.now;
        let out = talk.key('1');
        assert_eq!(out, [Output::StopPlaying, Output::Heard(Answer::FraudReported { at })]);
    }
}

#[test]
fn who_does_not_confirm_it_has_said_no_and_can_no_longer_say_yes() {
    let mut talk = Talk::heard_out(confirmed(), Question::Confirm);
    talk.keys("0#");
    assert_eq!(talk.on(Input::PhraseDone), []);
    let until = talk.now + Duration::from_secs(10);
    assert_eq!(talk.script.deadline(), Some((until, Timer::Reporting)));
    assert_eq!(talk.keys("#"), [Output::Note(Note::KeyIgnored)]);
    assert_eq!(talk.lapse(), [Output::Heard(Answer::Declined)]);
    assert_eq!(talk.keys("1"), [Output::Note(Note::KeyTooLate)]);
}

#[test]
fn a_report_while_the_code_is_told_is_confirmed_too() {
    let mut talk = Talk::heard_out(confirmed(), code("004513"));
    talk.keys("#");
    let ask = talk.lines.confirm_fraud.expect("it is in the pack");
    assert_eq!(talk.keys("0#"), [Output::StopPlaying, play(&[ask])]);
    let at = talk.now;
    assert_eq!(talk.key('1'), [Output::StopPlaying, Output::Heard(Answer::FraudReported { at })]);
}
