//! The verification, arm by arm.

mod attempts;
mod modes;

use std::collections::BTreeSet;
use std::time::Duration;

use super::code::{Binding, KeyId, Vault};
use super::policy::{Rules, decide};
use super::request::{Channel, Mode};
use super::route::{RouteStep, Rule, Table};
use super::signal::{By, Press, Reply, RtpMark, Said, Says};
use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000);
const FIRST: AttemptNo = AttemptNo::FIRST;

pub(super) fn request(to: &str) -> Request {
    Request::new(to.parse().unwrap(), Way { channel: Channel::Voice, mode: Mode::Confirm })
}

fn begun(trunks: &[&str]) -> Verification {
    let (next, effects) = moved(born(request("+14155550132"), trunks, &[]));
    assert_eq!(effects, [Effect::Dial { attempt: FIRST }]);
    next
}

/// A verification with its first step taken; `voice` and `sms` carry it.
pub(super) fn born(request: Request, voice: &[&str], sms: &[&str]) -> Step {
    let us = BTreeSet::from(["US".parse().unwrap()]);
    let rules = Rules { voice_countries: us.clone(), sms_countries: us };
    let permit = decide(&request, &rules).unwrap();
    let rule = |channel, names: &[&str]| Rule::every(channel, names.iter().copied());
    let table = Table::new(vec![rule(Channel::Voice, voice), rule(Channel::Sms, sms)]);
    let mut entropy = Entropy::from_number(1);
    let route = table.plan(&request, "acme", &permit, &|_, _| Ok(()), &mut entropy).unwrap();
    let id = VerificationId::new(NOW, &mut entropy);
    let binding =
        Binding { id: id.as_str(), to: &request.to, transaction: None, key: KeyId::default() };
    let secret = request
        .ways()
        .any(|way| way.mode.has_code())
        .then(|| vault().secret(binding, 6, None, None));
    let tenant = "acme".to_owned();
    let expected = Expected { calls: 3, ..Expected::default() };
    Verification::begin(
        NOW,
        Birth {
            id,
            tenant,
            request,
            route,
            secret,
            expected,
            seed: 7,
            key: KeyId::default(),
            withheld: false,
        },
    )
}

pub(super) fn vault() -> Vault {
    Vault::of("a key of tests")
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

fn press() -> Press {
    let rtp = Some(RtpMark { ssrc: 1, timestamp: 2, sequence: [3, 4], packets: 2 });
    Press { rtp, ..Press::by("rfc4733", NOW) }
}

fn ended(reason: Reason) -> Signal {
    Signal::Ended { attempt: FIRST, cause: Cause::plain(reason) }
}

#[test]
fn consent_approves_says_thanks_and_tells_once() {
    let heard = Signal::heard(FIRST, Said::Confirmed, press());
    let (settled, effects) = moved(begun(&["a"]).apply(NOW, heard.clone()));
    assert_eq!(settled.status(), Status::Approved);
    assert_eq!(
        effects,
        [
            Effect::HangUp { attempt: FIRST, farewell: Farewell::Thanks },
            Effect::Notify { sequence: settled.version }
        ]
    );
    assert_eq!(settled.deadline(), None);
    assert_eq!(ignored(settled.apply(NOW, heard)), Because::AlreadySettled);
}

#[test]
fn a_settled_verification_never_changes() {
    let (settled, _) = moved(begun(&["a"]).apply(NOW, ended(Reason::Busy)));
    for signal in [
        Signal::heard(FIRST, Said::Confirmed, press()),
        Signal::Withdrawn(By::Caller),
        Signal::Lapsed,
        ended(Reason::NoAnswer),
        Signal::Alerting { attempt: FIRST, sip_status: Some(180) },
    ] {
        let same = settled.clone().apply(NOW + Duration::from_secs(9_000), signal);
        assert_eq!(ignored(same), Because::AlreadySettled);
    }
}

#[test]
fn more_evidence_of_the_press_that_decided_is_added_and_changes_no_verdict() {
    let heard = Signal::heard(FIRST, Said::Confirmed, press());
    let (settled, _) = moved(begun(&["a"]).apply(NOW, heard));
    let more = Press { held_ms: Some(120), ..press() };
    let proven = Signal::Proven { attempt: FIRST, press: more.clone() };
    let (proven_once, effects) = moved(settled.clone().apply(NOW, proven.clone()));
    assert_eq!(effects, [], "nobody is told twice");
    assert_eq!(proven_once.attempts[0].press, Some(more));
    assert_eq!(proven_once.phase, settled.phase);
    assert_eq!(ignored(proven_once.apply(NOW, proven)), Because::Duplicate);
    let other = Press::by("rfc4733", NOW + Duration::from_millis(1));
    let other = Signal::Proven { attempt: FIRST, press: other };
    assert_eq!(ignored(settled.apply(NOW, other)), Because::Unrelated);
    let (unheard, _) = moved(begun(&["a"]).apply(NOW, ended(Reason::Busy)));
    let proven = Signal::Proven { attempt: FIRST, press: press() };
    assert_eq!(ignored(unheard.apply(NOW, proven)), Because::Unrelated, "it proves nothing");
}

#[test]
fn a_press_after_the_deadline_does_not_approve() {
    let verification = begun(&["a"]);
    let late = verification.expires_at;
    let heard = Signal::heard(FIRST, Said::Confirmed, press());
    let (settled, effects) = moved(verification.apply(late, heard));
    assert_eq!(settled.status(), Status::Expired);
    assert_eq!(settled.verdict().unwrap().reason(), Reason::Expired);
    assert!(effects.contains(&Effect::HangUp { attempt: FIRST, farewell: Farewell::Silent }));
}

#[test]
fn a_press_on_an_earlier_attempt_does_not_approve() {
    let (second, effects) = moved(begun(&["a", "b"]).apply(NOW, ended(Reason::CarrierError)));
    assert_eq!(effects, [Effect::Dial { attempt: FIRST.next() }]);
    let heard = Signal::heard(FIRST, Said::Confirmed, press());
    assert_eq!(ignored(second.apply(NOW, heard)), Because::Late);
}

#[test]
fn a_carriers_fault_is_the_next_carriers_chance_and_a_callees_word_is_final() {
    let (second, _) = moved(begun(&["a", "b"]).apply(NOW, ended(Reason::CarrierError)));
    assert_eq!(second.attempts.len(), 2);
    assert_eq!(second.running().unwrap().route, "b");
    let (busy, effects) = moved(begun(&["a", "b"]).apply(NOW, ended(Reason::Busy)));
    assert_eq!(busy.status(), Status::Failed);
    assert_eq!(effects, [Effect::Notify { sequence: busy.version }]);
}

#[test]
fn a_phone_that_rang_until_a_server_gave_up_does_not_ring_again() {
    let timed_out = || Signal::Ended { attempt: FIRST, cause: Cause::response(408, None) };
    let (second, _) = moved(begun(&["a", "b"]).apply(NOW, timed_out()));
    assert_eq!(second.running().unwrap().route, "b");
    let ringing = Signal::Alerting { attempt: FIRST, sip_status: Some(180) };
    let (ringing, _) = moved(begun(&["a", "b"]).apply(NOW, ringing));
    let (settled, _) = moved(ringing.apply(NOW, timed_out()));
    assert_eq!(settled.verdict().unwrap().reason(), Reason::Unreachable);
}

#[test]
fn states_only_move_forward() {
    let ringing = Signal::Alerting { attempt: FIRST, sip_status: Some(180) };
    let placed =
        Signal::Placed { attempt: FIRST, handle: "id".to_owned(), node: Some("node-a".to_owned()) };
    let (verification, _) = moved(begun(&["a"]).apply(NOW, ringing.clone()));
    assert_eq!(verification.version, 2);
    assert_eq!(ignored(verification.clone().apply(NOW, ringing.clone())), Because::Duplicate);
    // The name of the call comes late, and is taken; the state stays.
    let (named, _) = moved(verification.apply(NOW, placed.clone()));
    let running = named.running().unwrap();
    assert_eq!((running.state, running.call_id.as_deref()), (AttemptState::Ringing, Some("id")));
    assert_eq!(running.node.as_deref(), Some("node-a"));
    assert_eq!(ignored(named.clone().apply(NOW, placed)), Because::Duplicate);
    let answered = Signal::Engaged { attempt: FIRST, sip_status: Some(200) };
    let (answered, _) = moved(named.apply(NOW, answered));
    assert_eq!(ignored(answered.apply(NOW, ringing)), Because::Late);
}

#[test]
fn fraud_and_wrong_keys_deny() {
    for (said, reason, farewell) in [
        (Said::FraudReported, Reason::FraudReported, Farewell::Reported),
        (Said::WrongKey, Reason::WrongKey, Farewell::Denied),
    ] {
        let (settled, effects) =
            moved(begun(&["a"]).apply(NOW, Signal::heard(FIRST, said, press())));
        assert_eq!(settled.status(), Status::Denied);
        assert_eq!(settled.verdict().unwrap().reason(), reason);
        assert_eq!(effects.first(), Some(&Effect::HangUp { attempt: FIRST, farewell }));
    }
}

#[test]
fn silence_expires_and_says_goodbye() {
    let (settled, effects) = moved(begun(&["a"]).apply(NOW, ended(Reason::NoInput)));
    assert_eq!(settled.status(), Status::Expired);
    assert_eq!(settled.verdict().unwrap().reason(), Reason::NoInput);
    let goodbye = Effect::HangUp { attempt: FIRST, farewell: Farewell::NoInput };
    assert_eq!(effects.first(), Some(&goodbye));
}

#[test]
fn a_cancel_hangs_up() {
    let (settled, effects) = moved(begun(&["a"]).apply(NOW, Signal::Withdrawn(By::Caller)));
    assert_eq!(settled.status(), Status::Canceled);
    let silent = Effect::HangUp { attempt: FIRST, farewell: Farewell::Silent };
    assert_eq!(effects.first(), Some(&silent));
}

#[test]
fn a_lost_call_settles_by_our_own_count() {
    let mut verification = begun(&["a"]);
    verification.expires_at = NOW + Duration::from_secs(600);
    let (at, timer) = verification.deadline().unwrap();
    assert_eq!((at, timer), (NOW + ATTEMPT_LIMIT, Timer::Attempt));
    let mut dials = verification.clone();
    dials.expires_at = NOW + Duration::from_secs(900);
    dials.request.extension = Some("204".parse().unwrap());
    assert_eq!(dials.deadline(), Some((at + EXTENSION_LIMIT, Timer::Attempt)));
    let early = verification.clone().apply(NOW, Signal::Lapsed);
    assert_eq!(ignored(early), Because::Unrelated);
    let (settled, effects) = moved(verification.apply(at, Signal::Lapsed));
    assert_eq!(settled.verdict().unwrap().reason(), Reason::NodeLost);
    let silent = Effect::HangUp { attempt: FIRST, farewell: Farewell::Silent };
    assert_eq!(effects.first(), Some(&silent));
}

#[test]
fn ids_sort_by_birth_and_cannot_be_confused() {
    let mut entropy = Entropy::from_number(3);
    let first = VerificationId::new(NOW, &mut entropy);
    let second = VerificationId::new(NOW + Duration::from_millis(1), &mut entropy);
    assert!(first < second);
    assert_eq!(first.to_string(), first.as_str());
    assert_eq!(VerificationId::parse(first.as_str()), Some(first));
    for bad in [
        "",
        "vf_",
        "vf_../../etc/passwd",
        "xx_01JD8Y5Q3V0000000000000000",
        "vf_01JD8Y5Q3V00000000000000/0",
        "vf_01JD8Y5Q3V000000000000000",
    ] {
        assert_eq!(VerificationId::parse(bad), None, "{bad}");
    }
    // Of one millisecond, none is like another in any part of what is drawn.
    let many = [(); 9].map(|()| VerificationId::new(NOW, &mut entropy));
    for part in [13..16, 16..22, 22..29] {
        let parts: BTreeSet<_> = many.iter().map(|id| &id.as_str()[part.clone()]).collect();
        assert_eq!(parts.len(), many.len());
    }
}
