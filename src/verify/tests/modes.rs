//! The verification where a call asks for more than a key: a PIN, digits of the page, a code.

use std::time::Duration;

use super::super::signal::Denial;
use super::*;

fn begun(mode: Mode) -> Verification {
    let way = Way { channel: Channel::Voice, mode };
    moved(born(Request { way, ..request("+14155550132") }, &["trunk"], &["texts"])).0
}

fn heard(attempt: AttemptNo, said: Said) -> Signal {
    Signal::heard(attempt, said, Press::by("rfc4733", NOW))
}

fn reason(it: &Verification) -> Reason {
    it.verdict().unwrap().reason()
}

fn resend(it: Verification, now: Timestamp) -> Verification {
    let steps = it.route.steps().iter().take(1).cloned().collect();
    moved(it.apply(now, Signal::Resend(Resend { steps, secret: None, withheld: false }))).0
}

#[test]
fn each_mode_is_approved_by_its_own_answer_and_proves_its_own() {
    let modes = [
        (Mode::Confirm, Said::Confirmed, "possession"),
        (Mode::Pin, Said::PinEntered, "possession+knowledge"),
        (Mode::Match, Said::DigitsEntered, "transferred_secret"),
    ];
    for (mode, own, proves) in modes {
        for said in [Said::Confirmed, Said::PinEntered, Said::DigitsEntered] {
            let verification = begun(mode);
            assert_eq!(verification.assurance().as_str(), proves);
            let step = verification.apply(NOW, heard(FIRST, said));
            if said != own {
                assert_eq!(ignored(step), Because::Unrelated, "{mode:?} {said:?}");
                continue;
            }
            let (settled, effects) = moved(step);
            assert_eq!((settled.status(), reason(&settled)), (Status::Approved, Reason::Confirmed));
            assert_eq!(settled.assurance().as_str(), proves);
            let thanks = Effect::HangUp { attempt: FIRST, farewell: Farewell::Thanks };
            assert_eq!(effects.first(), Some(&thanks));
        }
    }
}

#[test]
fn evidence_of_before_there_were_modes_is_of_a_confirmation() {
    let (settled, _) = moved(begun(Mode::Confirm).apply(NOW, heard(FIRST, Said::Confirmed)));
    let mut stored = serde_json::to_value(&settled).unwrap();
    let press = &mut stored["phase"]["settled"]["verdict"]["approved"]["press"];
    assert!(press.as_object_mut().unwrap().remove("mode").is_some());
    stored.as_object_mut().unwrap().remove("expected");
    let read: Verification = serde_json::from_value(stored).unwrap();
    assert_eq!(read.phase, settled.phase);
}

#[test]
fn a_wrong_pin_once_too_often_is_denied() {
    let (settled, effects) = moved(begun(Mode::Pin).apply(NOW, heard(FIRST, Said::WrongPin)));
    assert_eq!((settled.status(), reason(&settled)), (Status::Denied, Reason::WrongPin));
    let denied = Effect::HangUp { attempt: FIRST, farewell: Farewell::Denied };
    assert_eq!(effects.first(), Some(&denied));
}

#[test]
fn who_says_no_without_a_report_has_declined() {
    let (settled, _) = moved(begun(Mode::Confirm).apply(NOW, heard(FIRST, Said::Declined)));
    assert_eq!(settled.verdict(), Some(&Verdict::Denied(Denial::Declined)));
}

#[test]
fn other_digits_end_the_call_and_the_third_time_the_verification() {
    let mut verification = begun(Mode::Match);
    verification.expires_at = NOW + Duration::from_secs(10_000);
    let (mut now, mut no) = (NOW, FIRST);
    for gap in [60, 120] {
        let (waiting, effects) = moved(verification.apply(now, heard(no, Said::WrongKey)));
        assert_eq!(effects, [Effect::HangUp { attempt: no, farewell: Farewell::Mismatch }]);
        assert_eq!(waiting.status(), Status::Pending);
        let last = waiting.attempts.last().unwrap();
        assert_eq!((last.state, last.reason), (AttemptState::Ended, Some(Reason::WrongKey)));
        // The call that was hung up tells its end; it says nothing new.
        let cause = Cause::plain(Reason::NodeLost);
        let late = waiting.clone().apply(now, Signal::Ended { attempt: no, cause });
        assert_eq!(ignored(late), Because::AlreadySettled);
        // Nor can a late key on it approve.
        let late = waiting.clone().apply(now, heard(no, Said::DigitsEntered));
        assert_eq!(ignored(late), Because::Late);
        now += Duration::from_secs(gap);
        verification = resend(waiting, now);
        no = no.next();
    }
    let (settled, effects) = moved(verification.apply(now, heard(no, Said::WrongKey)));
    assert_eq!((settled.status(), reason(&settled)), (Status::Denied, Reason::WrongKey));
    let denied = Effect::HangUp { attempt: no, farewell: Farewell::Denied };
    assert_eq!(effects.first(), Some(&denied));
}

#[test]
fn the_right_digits_approve_on_a_later_call() {
    let (waiting, _) = moved(begun(Mode::Match).apply(NOW, heard(FIRST, Said::WrongKey)));
    let now = NOW + Duration::from_secs(60);
    let second = resend(waiting, now);
    let (settled, _) = moved(second.apply(now, heard(FIRST.next(), Said::DigitsEntered)));
    assert_eq!(settled.status(), Status::Approved);
}

#[test]
fn a_code_that_was_told_can_be_typed_during_the_call_and_after_it() {
    let told = |it: Verification| moved(it.apply(NOW, Signal::Delivered { attempt: FIRST })).0;
    let verification = told(begun(Mode::Code));
    assert_eq!(verification.running().unwrap().state, AttemptState::Delivered);
    let guess = Signal::Guess(verification.secret.as_ref().unwrap().code.clone());
    let (settled, effects) = moved(verification.clone().apply(NOW, guess.clone()));
    assert_eq!((settled.status(), reason(&settled)), (Status::Approved, Reason::CodeMatched));
    assert_eq!(settled.assurance(), Assurance::TransferredSecret);
    let thanks = Effect::HangUp { attempt: FIRST, farewell: Farewell::Thanks };
    assert_eq!(effects.first(), Some(&thanks));
    for why in [Reason::HungUp, Reason::NodeLost, Reason::MediaLost] {
        let ended = Signal::Ended { attempt: FIRST, cause: Cause::plain(why) };
        let (waiting, effects) = moved(verification.clone().apply(NOW, ended));
        assert_eq!((effects.as_slice(), waiting.status()), ([].as_slice(), Status::Pending));
        let last = waiting.attempts.last().unwrap();
        assert_eq!((last.state, last.reason), (AttemptState::Ended, None));
        let (settled, effects) = moved(waiting.apply(NOW, guess.clone()));
        assert_eq!(reason(&settled), Reason::CodeMatched);
        assert_eq!(effects, [Effect::Notify { sequence: settled.version }]);
    }
}

#[test]
fn a_code_that_was_not_told_is_lost_with_its_call() {
    for why in [Reason::Busy, Reason::NoInput, Reason::HungUp] {
        let ended = Signal::Ended { attempt: FIRST, cause: Cause::plain(why) };
        let (settled, _) = moved(begun(Mode::Code).apply(NOW, ended));
        assert_eq!(reason(&settled), why);
    }
    // A press is no answer to it.
    let step = begun(Mode::Code).apply(NOW, heard(FIRST, Said::Confirmed));
    assert_eq!(ignored(step), Because::Unrelated);
}

#[test]
fn five_wrong_codes_of_a_call_are_the_end() {
    let mut verification = begun(Mode::Code);
    let wrong = vault().of_code(Binding::of(&verification), "000000");
    for _ in 0..4 {
        verification = moved(verification.apply(NOW, Signal::Guess(wrong.clone()))).0;
    }
    let (settled, _) = moved(verification.apply(NOW, Signal::Guess(wrong)));
    assert_eq!(reason(&settled), Reason::TooManyChecks);
}
