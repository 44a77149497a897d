//! The verification where a code is sent: texts, checks, replies, fallbacks, further attempts.

use std::time::Duration;

use super::code::{Binding, CHECKS, Digest, Pin};
use super::request::{Channel, Mode};
use super::signal::{Reply, Says};
use super::tests::{born, request, vault};
use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000);
const FIRST: AttemptNo = AttemptNo::FIRST;
const SMS: Way = Way { channel: Channel::Sms, mode: Mode::Code };
const REPLY: Way = Way { channel: Channel::Sms, mode: Mode::Reply };
const CALL: Way = Way { channel: Channel::Voice, mode: Mode::Confirm };

fn by(way: Way, fallback: &[Way]) -> Request {
    Request { way, fallback: fallback.to_vec(), ..request("+14155550132") }
}

fn moved(step: Step) -> (Verification, Vec<Effect>) {
    match step {
        Step::Moved { next, effects } => (next, effects),
        Step::Ignored { because, .. } => panic!("ignored: {because:?}"),
    }
}

fn ignored(step: Step) -> Because {
    match step {
        Step::Moved { next, .. } => panic!("moved: {next:?}"),
        Step::Ignored { because, .. } => because,
    }
}

fn texted(way: Way) -> Verification {
    let (next, effects) = moved(born(by(way, &[]), &["trunk"], &["a", "b"]));
    assert_eq!(effects, [Effect::Send { attempt: FIRST }]);
    next
}

fn digest(it: &Verification, code: &str) -> Digest {
    vault().of_code(Binding::of(it), code)
}

fn right(it: &Verification) -> Digest {
    it.secret.as_ref().unwrap().code.clone()
}

fn ended(attempt: AttemptNo, reason: Reason) -> Signal {
    Signal::Ended { attempt, cause: Cause::plain(reason) }
}

fn reply(says: Says) -> Signal {
    named("SM1", says)
}

fn named(message: &str, says: Says) -> Signal {
    Signal::Replied(Reply { message: message.to_owned(), says })
}

fn reason(it: &Verification) -> Reason {
    it.verdict().unwrap().reason()
}

#[test]
fn the_right_code_approves_once() {
    let verification = texted(SMS);
    let guess = Signal::Guess(right(&verification));
    let (settled, effects) = moved(verification.apply(NOW, guess.clone()));
    assert_eq!((settled.status(), reason(&settled)), (Status::Approved, Reason::CodeMatched));
    assert_eq!(settled.assurance(), Assurance::TransferredSecret);
    assert_eq!(effects, [Effect::Notify { sequence: settled.version }]);
    assert_eq!(ignored(settled.apply(NOW, guess)), Because::AlreadySettled);
}

#[test]
fn five_wrong_codes_are_the_end_and_the_right_one_comes_too_late() {
    let mut verification = texted(SMS);
    for left in (1..CHECKS).rev() {
        let guess = Signal::Guess(digest(&verification, "000000"));
        verification = moved(verification.apply(NOW, guess)).0;
        assert_eq!(verification.secret.as_ref().unwrap().checks_left, left);
    }
    let guess = Signal::Guess(digest(&verification, "000000"));
    let (settled, _) = moved(verification.apply(NOW, guess));
    assert_eq!((settled.status(), reason(&settled)), (Status::Denied, Reason::TooManyChecks));
    let guess = Signal::Guess(right(&settled));
    assert_eq!(ignored(settled.apply(NOW, guess)), Because::AlreadySettled);
}

#[test]
fn a_code_at_the_deadline_does_not_approve() {
    let verification = texted(SMS);
    let (late, guess) = (verification.expires_at, Signal::Guess(right(&verification)));
    assert_eq!(reason(&moved(verification.apply(late, guess)).0), Reason::Expired);
}

#[test]
fn another_attempt_waits_its_gap_and_gives_no_check_back() {
    let verification = texted(SMS);
    let guess = Signal::Guess(digest(&verification, "000000"));
    let (mut verification, _) = moved(verification.apply(NOW, guess));
    verification.expires_at = NOW + Duration::from_secs(10_000);
    let again = |it: &Verification| {
        let steps = it.route.steps().iter().take(1).cloned().collect();
        Signal::Resend(Resend { steps, secret: None, withheld: false })
    };
    let mut now = NOW;
    for (sends, gap) in [(2, 60), (3, 120), (4, 300), (5, 300)] {
        let at = now + Duration::from_secs(gap);
        assert_eq!(verification.next_send_at(), Some(at));
        let early = at + Duration::ZERO;
        let too_soon = Timestamp::from_micros(early.as_micros() - 1);
        let signal = again(&verification);
        assert_eq!(ignored(verification.clone().apply(too_soon, signal)), Because::TooSoon);
        let signal = again(&verification);
        let (next, effects) = moved(verification.apply(at, signal));
        let last = next.attempts.last().unwrap().no;
        assert_eq!(effects, [Effect::Send { attempt: last }]);
        assert_eq!(next.attempts.iter().filter(|it| it.state != AttemptState::Ended).count(), 1);
        assert_eq!((next.sends, next.secret.as_ref().unwrap().checks_left), (sends, 4));
        (verification, now) = (next, at);
    }
    assert_eq!((verification.sends_left(), verification.next_send_at()), (0, None));
    let signal = again(&verification);
    let late = now + Duration::from_secs(1_000);
    assert_eq!(ignored(verification.apply(late, signal)), Because::NoSendsLeft);
}

#[test]
fn a_new_code_makes_the_old_one_count_as_wrong() {
    let verification = texted(SMS);
    let old = right(&verification);
    let secret = verification.secret.as_ref().unwrap();
    let secret = Some(vault().renewed(Binding::of(&verification), secret));
    let steps = verification.route.steps().to_vec();
    let later = NOW + Duration::from_secs(60);
    let resend = Signal::Resend(Resend { steps, secret, withheld: false });
    let (verification, _) = moved(verification.apply(later, resend));
    let (verification, _) = moved(verification.apply(later, Signal::Guess(old)));
    assert_eq!(verification.secret.as_ref().unwrap().checks_left, CHECKS - 1);
    let new = Signal::Guess(right(&verification));
    assert_eq!(reason(&moved(verification.apply(later, new)).0), Reason::CodeMatched);
}

#[test]
fn only_the_reply_counts_where_the_reply_is_asked_for() {
    let verification = texted(REPLY);
    let code = right(&verification);
    assert_eq!(
        ignored(verification.clone().apply(NOW, Signal::Guess(code.clone()))),
        Because::NoCode
    );
    let says = Says::Code { code, pin: None };
    let (settled, _) = moved(verification.apply(NOW, reply(says)));
    assert_eq!(reason(&settled), Reason::ReplyMatched);
}

#[test]
fn a_reply_needs_the_pin_where_one_is_asked_for() {
    let mut verification = texted(REPLY);
    let pin = Pin::parse("4821").unwrap();
    let pin = vault().of_pin(Binding::of(&verification), pin.expose());
    verification.secret.as_mut().unwrap().pin = Some(pin.clone());
    assert_eq!(verification.assurance(), Assurance::TransferredSecretAndKnowledge);
    let code = right(&verification);
    let without = reply(Says::Code { code: code.clone(), pin: None });
    let (verification, _) = moved(verification.apply(NOW, without.clone()));
    // The carrier brings it twice.
    assert_eq!(ignored(verification.clone().apply(NOW, without)), Because::Duplicate);
    assert_eq!(verification.secret.as_ref().unwrap().checks_left, CHECKS - 1);
    let with = named("SM2", Says::Code { code, pin: Some(pin) });
    let (settled, _) = moved(verification.apply(NOW, with));
    assert_eq!(settled.assurance(), Assurance::TransferredSecretAndKnowledge);
}

#[test]
fn a_plain_yes_needs_leave_and_proves_less() {
    let yes = || reply(Says::Yes);
    assert_eq!(ignored(texted(REPLY).apply(NOW, yes())), Because::Unrelated);
    let mut verification = texted(REPLY);
    verification.request.yes = true;
    let (settled, _) = moved(verification.apply(NOW, yes()));
    assert_eq!(settled.assurance(), Assurance::Possession);
    let mut typed = texted(SMS);
    typed.request.yes = true;
    assert_eq!(ignored(typed.apply(NOW, yes())), Because::Unrelated);
}

#[test]
fn no_and_fraud_and_stop_each_end_it_in_their_own_word() {
    for (says, status, why) in [
        (Says::No, Status::Denied, Reason::Declined),
        (Says::Fraud, Status::Denied, Reason::FraudReported),
        (Says::Stop, Status::Failed, Reason::OptedOut),
    ] {
        let (settled, _) = moved(texted(SMS).apply(NOW, reply(says)));
        assert_eq!((settled.status(), reason(&settled)), (status, why));
    }
}

#[test]
fn receipts_move_a_text_forward_only() {
    let placed = Signal::Placed { attempt: FIRST, handle: "SM1".to_owned(), node: None };
    let (sent, _) = moved(texted(SMS).apply(NOW, placed));
    assert_eq!(sent.running().unwrap().state, AttemptState::Sent);
    let delivered = Signal::Delivered { attempt: FIRST };
    let (delivered, _) = moved(sent.apply(NOW, delivered));
    let sent = Signal::Sent { attempt: FIRST };
    assert_eq!(ignored(delivered.clone().apply(NOW, sent)), Because::Late);
    let undelivered = ended(FIRST, Reason::Undelivered);
    assert_eq!(ignored(delivered.apply(NOW, undelivered)), Because::Late);
}

#[test]
fn what_is_not_delivered_goes_by_the_next_carrier_with_the_same_code() {
    let verification = texted(SMS);
    let code = right(&verification);
    let (second, effects) = moved(verification.apply(NOW, ended(FIRST, Reason::Undelivered)));
    assert_eq!(effects, [Effect::Send { attempt: FIRST.next() }]);
    assert_eq!((second.running().unwrap().route.as_str(), right(&second)), ("b", code));
    assert_eq!(second.sends, 1);
    let (failed, _) = moved(second.apply(NOW, ended(FIRST.next(), Reason::Undelivered)));
    assert_eq!((failed.status(), reason(&failed)), (Status::Failed, Reason::Undelivered));
}

#[test]
fn an_answer_that_was_lost_is_not_repeated_by_another_carrier() {
    let (waiting, effects) = moved(texted(SMS).apply(NOW, Signal::Lost { attempt: FIRST }));
    assert_eq!((effects.as_slice(), waiting.status()), ([].as_slice(), Status::Pending));
    assert_eq!(waiting.attempts.last().unwrap().reason, Some(Reason::CarrierError));
    assert_eq!(waiting.deadline(), Some((waiting.expires_at, Timer::Expiry)));
    // The text may have come after all.
    let guess = Signal::Guess(right(&waiting));
    assert_eq!(reason(&moved(waiting.apply(NOW, guess)).0), Reason::CodeMatched);
}

#[test]
fn a_call_that_fails_does_not_take_a_code_out_of_the_hand_that_holds_it() {
    let delivered = Signal::Delivered { attempt: FIRST };
    let (text, _) = moved(texted(SMS).apply(NOW, delivered));
    let via = "trunk".to_owned();
    let step = route::RouteStep { channel: Channel::Voice, mode: Mode::Confirm, via, stage: 0 };
    let resend = Signal::Resend(Resend { steps: vec![step], secret: None, withheld: false });
    let (call, _) = moved(text.apply(NOW + Duration::from_secs(60), resend));
    for why in [Reason::Busy, Reason::HungUp, Reason::NoInput] {
        let (waiting, effects) = moved(call.clone().apply(NOW, ended(FIRST.next(), why)));
        assert_eq!((effects.as_slice(), waiting.status()), ([].as_slice(), Status::Pending));
        let guess = Signal::Guess(right(&waiting));
        assert_eq!(reason(&moved(waiting.apply(NOW, guess)).0), Reason::CodeMatched);
    }
}

#[test]
fn an_answer_that_was_lost_after_the_carrier_told_of_it_is_no_loss() {
    let placed = Signal::Placed { attempt: FIRST, handle: "SM1".to_owned(), node: None };
    let (sent, _) = moved(texted(SMS).apply(NOW, placed));
    assert_eq!(ignored(sent.apply(NOW, Signal::Lost { attempt: FIRST })), Because::Late);
}

#[test]
fn a_busy_phone_gets_a_text_within_the_same_deadline() {
    let (call, _) = moved(born(by(CALL, &[SMS]), &["trunk", "spare"], &["a"]));
    let deadline = call.expires_at;
    let (text, effects) = moved(call.apply(NOW, ended(FIRST, Reason::Busy)));
    assert_eq!(effects, [Effect::Send { attempt: FIRST.next() }]);
    assert_eq!((text.way(), text.expires_at), (SMS, deadline));
    let guess = Signal::Guess(right(&text));
    assert_eq!(reason(&moved(text.apply(NOW, guess)).0), Reason::CodeMatched);
}

#[test]
fn a_code_that_nobody_was_sent_is_not_compared() {
    let (call, _) = moved(born(by(CALL, &[SMS]), &["trunk"], &["a"]));
    let guess = Signal::Guess(right(&call));
    assert_eq!(ignored(call.apply(NOW, guess)), Because::NoCode);
}

#[test]
fn a_person_who_said_no_on_the_phone_gets_no_text() {
    for why in [Reason::Rejected, Reason::HungUp, Reason::NoInput] {
        let (call, _) = moved(born(by(CALL, &[SMS]), &["trunk"], &["a"]));
        let (settled, _) = moved(call.apply(NOW, ended(FIRST, why)));
        assert_eq!(reason(&settled), why);
    }
}

#[test]
fn a_text_in_place_of_a_ringing_call_ends_the_call() {
    let (call, _) = moved(born(by(CALL, &[]), &["trunk"], &["a"]));
    let secret = vault().secret(Binding::of(&call), 6, None, None);
    let via = "a".to_owned();
    let step = route::RouteStep { channel: Channel::Sms, mode: Mode::Code, via, stage: 0 };
    let resend =
        Signal::Resend(Resend { steps: vec![step], secret: Some(secret), withheld: false });
    let (text, effects) = moved(call.apply(NOW + Duration::from_secs(60), resend));
    let hang_up = Effect::HangUp { attempt: FIRST, farewell: Farewell::Silent };
    assert_eq!(effects, [hang_up, Effect::Send { attempt: FIRST.next() }]);
    assert_eq!(text.way(), SMS);
}
