//! Signals that name an attempt: the one that runs, one before it, one that there never was.

use std::time::Duration;

use super::super::attempt::Label;
use super::super::signal::Answer;
use super::*;

const SECOND: AttemptNo = FIRST.next();
const TEXT: Way = Way { channel: Channel::Sms, mode: Mode::Code };
const CALL: Way = Way { channel: Channel::Voice, mode: Mode::Confirm };

fn by(way: Way, fallback: &[Way]) -> Request {
    Request { way, fallback: fallback.to_vec(), ..request("+14155550132") }
}

/// A text, of two carriers that could bring it.
fn texted(fallback: &[Way]) -> Verification {
    moved(born(by(TEXT, fallback), &["trunk"], &["a", "b"])).0
}

/// The second call of a verification.
fn second() -> Verification {
    moved(begun(&["a", "b"]).apply(NOW, ended(Reason::CarrierError))).0
}

fn placed(attempt: AttemptNo) -> Signal {
    Signal::Placed { attempt, handle: "id".to_owned(), node: None }
}

fn engaged() -> Signal {
    Signal::Engaged { attempt: FIRST, sip_status: Some(200) }
}

fn resend(it: &Verification, withheld: bool) -> Signal {
    let steps = it.route.steps().iter().take(1).cloned().collect();
    Signal::Resend(Resend { steps, secret: None, withheld })
}

#[test]
fn what_names_another_attempt_moves_nothing() {
    let label = Label { is: "human".to_owned(), percent: 80, cue: "talk".to_owned() };
    type Named = fn(AttemptNo, Label) -> Signal;
    let named: [Named; 7] = [
        |attempt, _| placed(attempt),
        |attempt, _| Signal::Alerting { attempt, sip_status: Some(180) },
        |attempt, _| Signal::Engaged { attempt, sip_status: Some(200) },
        |attempt, _| Signal::Prompting { attempt },
        |attempt, _| Signal::Listening { attempt },
        |attempt, _| Signal::Delivered { attempt },
        |attempt, _| Signal::Sent { attempt },
    ];
    for named in named {
        let before = named(FIRST, label.clone());
        assert_eq!(ignored(second().apply(NOW, before.clone())), Because::Late, "{before:?}");
        let never = named(SECOND.next(), label.clone());
        assert_eq!(ignored(second().apply(NOW, never)), Because::Unrelated, "{before:?}");
        let now = moved(second().apply(NOW, named(SECOND, label.clone()))).0;
        assert_eq!(now.version, 3, "{before:?}");
        let again = named(SECOND, label.clone());
        assert_eq!(ignored(now.apply(NOW, again)), Because::Duplicate, "{before:?}");
    }
    for attempt in [FIRST, SECOND.next()] {
        let cause = Cause::plain(Reason::Busy);
        for signal in [
            Signal::Labelled { attempt, label: label.clone() },
            Signal::Ended { attempt, cause },
            Signal::Lost { attempt },
            Signal::heard(attempt, Said::Confirmed, press()),
        ] {
            assert_eq!(ignored(second().apply(NOW, signal.clone())), Because::Late, "{signal:?}");
        }
    }
    let by_number = |no| second().find(no).map(|it| it.route.clone());
    assert_eq!(by_number(FIRST).as_deref(), Some("a"));
    assert_eq!(by_number(SECOND).as_deref(), Some("b"));
    assert_eq!(by_number(SECOND.next()), None);
}

#[test]
fn evidence_of_one_call_is_no_answer_on_another() {
    let Signal::Heard { answer, .. } = Signal::heard(FIRST, Said::Confirmed, press()) else {
        panic!("it was heard")
    };
    assert!(matches!(answer, Answer::Consent(_)));
    let signal = Signal::Heard { attempt: SECOND, answer };
    assert_eq!(ignored(second().apply(NOW, signal)), Because::Unrelated);
}

#[test]
fn who_answered_is_told_until_the_attempt_is_over() {
    let label = |percent| Label { is: "human".to_owned(), percent, cue: "talk".to_owned() };
    let labelled = |percent| Signal::Labelled { attempt: FIRST, label: label(percent) };
    let (sure, effects) = moved(begun(&["a"]).apply(NOW, labelled(60)));
    assert_eq!(effects, []);
    assert_eq!(ignored(sure.clone().apply(NOW, labelled(60))), Because::Duplicate);
    let (surer, _) = moved(sure.apply(NOW, labelled(90)));
    assert_eq!(surer.attempts[0].label, Some(label(90)));
    let mut waiting = texted(&[]);
    waiting = moved(waiting.apply(NOW, Signal::Lost { attempt: FIRST })).0;
    assert_eq!(ignored(waiting.apply(NOW, labelled(90))), Because::Late);
}

#[test]
fn a_call_that_somebody_answered_is_not_placed_again() {
    let failed = |it: Verification, cause: Cause| {
        moved(it.apply(NOW, Signal::Ended { attempt: FIRST, cause })).0
    };
    let answered = moved(begun(&["a", "b"]).apply(NOW, engaged())).0;
    assert_eq!(answered.attempts[0].answered_at, Some(NOW));
    let settled = failed(answered, Cause::plain(Reason::CarrierError));
    assert_eq!(settled.verdict(), Some(&Verdict::Failed(Cause::plain(Reason::CarrierError))));
    assert_eq!(settled.settled_at(), Some(NOW));
    // One that only rang is, unless a server had it ring until it gave up.
    let rang = Signal::Alerting { attempt: FIRST, sip_status: Some(180) };
    let rang = moved(begun(&["a", "b"]).apply(NOW, rang)).0;
    assert_eq!(failed(rang, Cause::response(503, None)).running().unwrap().route, "b");
    // For lack of room the next trunk is tried, whosever room it was.
    let congested = failed(begun(&["a", "b"]), Cause::plain(Reason::Congested));
    assert_eq!(congested.running().unwrap().route, "b");
    // The last one's word is the verdict.
    let cause = Cause::because(Reason::CarrierError, "as it said");
    assert_eq!(cause.detail.as_deref(), Some("as it said"));
    let last = moved(second().apply(NOW, Signal::Ended { attempt: SECOND, cause: cause.clone() }));
    assert_eq!(last.0.verdict(), Some(&Verdict::Failed(cause)));
}

#[test]
fn a_text_that_was_sent_and_did_not_arrive_goes_by_the_next_carrier() {
    let sent = moved(texted(&[]).apply(NOW, placed(FIRST))).0;
    let (next, effects) = moved(sent.apply(NOW, ended(Reason::Undelivered)));
    assert_eq!(effects, [Effect::Send { attempt: SECOND }]);
    assert_eq!(next.running().unwrap().route, "b");
}

#[test]
fn an_answer_that_was_lost_lets_the_person_be_reached_another_way_only() {
    let lost = || Signal::Lost { attempt: FIRST };
    let (called, effects) = moved(texted(&[CALL]).apply(NOW, lost()));
    assert_eq!(effects, [Effect::Dial { attempt: SECOND }]);
    assert!(called.attempts[0].may_have_arrived);
    let reply = Way { channel: Channel::Sms, mode: Mode::Reply };
    let (waiting, effects) = moved(texted(&[reply]).apply(NOW, lost()));
    assert_eq!((effects.as_slice(), waiting.running()), ([].as_slice(), None));
}

#[test]
fn there_is_another_way_as_long_as_the_plan_has_a_step() {
    assert!(begun(&["a", "b"]).has_another_way());
    assert!(!begun(&["a"]).has_another_way());
    assert!(!second().has_another_way());
    let waiting = moved(texted(&[]).apply(NOW, Signal::Lost { attempt: FIRST })).0;
    assert!(!waiting.has_another_way());
}

#[test]
fn a_call_has_a_deadline_of_its_own_and_a_text_has_the_questions() {
    let call = begun(&["a"]);
    assert_eq!(call.deadline(), Some((call.expires_at, Timer::Expiry)));
    let until = |it: Verification, expires_at| Verification { expires_at, ..it };
    let limit = NOW + ATTEMPT_LIMIT;
    assert_eq!(until(call.clone(), limit).deadline(), Some((limit, Timer::Expiry)));
    // The longest that it may ring and last, and a minute; twice the ringing, and 90 s.
    assert_eq!((ATTEMPT_LIMIT.as_secs(), EXTENSION_LIMIT.as_secs()), (480, 330));
    let long = limit + Duration::from_secs(9);
    let call = until(call, long);
    assert_eq!(call.deadline(), Some((limit, Timer::Attempt)));
    assert_eq!(Verification { withheld: true, ..call }.deadline(), Some((long, Timer::Expiry)));
    assert_eq!(until(texted(&[]), long).deadline(), Some((long, Timer::Expiry)));
}

#[test]
fn a_call_that_is_lost_track_of_takes_no_code_out_of_the_hand_that_holds_it() {
    let long = Duration::from_secs(10_000);
    let text = texted(&[]);
    let text = Verification { expires_at: NOW + long, ..text };
    let call = RouteStep { channel: Channel::Voice, ..text.route.steps()[0].clone() };
    let resend = Signal::Resend(Resend { steps: vec![call], secret: None, withheld: false });
    let later = NOW + Duration::from_secs(60);
    let (called, _) = moved(text.apply(later, resend));
    let (waiting, effects) = moved(called.apply(later + ATTEMPT_LIMIT, Signal::Lapsed));
    assert_eq!(effects, [Effect::HangUp { attempt: SECOND, farewell: Farewell::Silent }]);
    assert_eq!((waiting.status(), waiting.running()), (Status::Pending, None));
    assert_eq!(waiting.attempts[1].reason, Some(Reason::NodeLost));
}

#[test]
fn what_is_withheld_begins_nothing_and_hears_the_caller_alone() {
    let born = Verification { withheld: true, ..texted(&[]) };
    let wrong = Signal::Guess(vault().of_code(Binding::of(&born), "000000"));
    let (born, effects) = moved(born.apply(NOW, wrong));
    assert_eq!((effects.as_slice(), born.secret.as_ref().unwrap().checks_left), ([].as_slice(), 4));
    // No code is the right one.
    let right = Signal::Guess(born.secret.as_ref().unwrap().code.clone());
    let born = moved(born.apply(NOW, right)).0;
    assert_eq!((born.status(), born.secret.as_ref().unwrap().checks_left), (Status::Pending, 3));
    for signal in [placed(FIRST), engaged(), ended(Reason::Busy)] {
        assert_eq!(ignored(born.clone().apply(NOW, signal)), Because::Unrelated);
    }
    let later = NOW + Duration::from_secs(60);
    let again = resend(&born, false);
    let (resent, effects) = moved(born.clone().apply(later, again));
    assert_eq!((effects.as_slice(), resent.sends), ([].as_slice(), 2));
    let (settled, effects) = moved(born.apply(NOW, Signal::Withdrawn(By::Caller)));
    assert_eq!(effects, [Effect::Notify { sequence: settled.version }]);
    // Where only a press is asked for there is no code to be wrong.
    let call = Verification { withheld: true, ..begun(&["a"]) };
    let guess = Signal::Guess(texted(&[]).secret.unwrap().code);
    assert_eq!(ignored(call.apply(NOW, guess)), Because::NoCode);
    // Who becomes one who is not reached gets no further attempt.
    let text = texted(&[]);
    let again = resend(&text, true);
    let (hidden, effects) = moved(text.apply(later, again));
    assert_eq!((effects.as_slice(), hidden.withheld), ([].as_slice(), true));
}

#[test]
fn a_verdict_ends_what_runs_and_leaves_alone_what_has_ended() {
    let heard = Signal::heard(FIRST, Said::Confirmed, press());
    let approved = moved(begun(&["a"]).apply(NOW, heard)).0;
    let told = |it: &Attempt| (it.state, it.reason, it.ended_at);
    let confirmed = (AttemptState::Ended, Some(Reason::Confirmed), Some(NOW));
    assert_eq!(told(&approved.attempts[0]), confirmed);
    let lost = moved(texted(&[]).apply(NOW, Signal::Lost { attempt: FIRST })).0;
    let end = lost.expires_at;
    let expired = moved(lost.apply(end, Signal::Lapsed)).0;
    assert_eq!((expired.status(), expired.settled_at()), (Status::Expired, Some(end)));
    let lost = (AttemptState::Ended, Some(Reason::CarrierError), Some(NOW));
    assert_eq!(told(&expired.attempts[0]), lost);
}

#[test]
fn nobody_asks_for_more_once_there_is_a_verdict() {
    let settled = moved(texted(&[]).apply(NOW, Signal::Withdrawn(By::Caller))).0;
    assert_eq!((settled.sends_left(), settled.next_send_at()), (4, None));
    assert_eq!((settled.deadline(), settled.settled_at()), (None, Some(NOW)));
    assert_eq!(texted(&[]).settled_at(), None);
}

#[test]
fn a_reply_proves_the_pin_only_where_one_is_asked_for() {
    let reply = Way { channel: Channel::Sms, mode: Mode::Reply };
    let mut asked = moved(born(by(reply, &[]), &["trunk"], &["a"])).0;
    assert_eq!(asked.assurance(), Assurance::TransferredSecret);
    // A word never stands for the PIN.
    asked.request.yes = true;
    let pin = vault().of_pin(Binding::of(&asked), "4821");
    asked.secret.as_mut().unwrap().pin = Some(pin);
    let yes = Signal::Replied(Reply { message: "SM1".to_owned(), says: Says::Yes });
    assert_eq!(ignored(asked.apply(NOW, yes)), Because::Unrelated);
}

#[test]
fn an_effect_is_named_by_what_it_is_about() {
    let hang_up = Effect::HangUp { attempt: FIRST, farewell: Farewell::Silent };
    for (effect, name, begins) in [
        (Effect::Dial { attempt: FIRST }, "dial-1", true),
        (Effect::Send { attempt: FIRST }, "send-1", true),
        (hang_up, "hangup-1", false),
        (Effect::Notify { sequence: 7 }, "notify-7", false),
    ] {
        assert_eq!((effect.name().as_str(), effect.begins(FIRST)), (name, begins));
        assert!(!effect.begins(SECOND), "{name}");
    }
}

#[test]
fn each_word_of_the_api_is_read_as_it_is_written() {
    for status in [
        Status::Pending,
        Status::Approved,
        Status::Denied,
        Status::Expired,
        Status::Failed,
        Status::Canceled,
    ] {
        let word = status.as_str();
        assert_eq!(Status::parse(word), Some(status));
        assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{word}\""));
    }
    assert_eq!(Status::parse("Pending"), None);
    for (because, word) in [
        (Because::Duplicate, "duplicate"),
        (Because::Late, "late"),
        (Because::Unrelated, "unrelated"),
        (Because::AlreadySettled, "already_settled"),
        (Because::NoCode, "no_code"),
        (Because::TooSoon, "too_soon"),
        (Because::NoSendsLeft, "no_sends_left"),
    ] {
        assert_eq!(because.as_str(), word);
    }
}
