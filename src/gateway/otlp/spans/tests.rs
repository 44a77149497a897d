//! What spans tell of a verification, and what they do not.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::gateway::course::{Recorder, mask, streams::Line};
use crate::sip::Transport;
use crate::store::record;
use crate::verify::attempt::AttemptNo;
use crate::verify::trace::{Traceparent, Tracestate};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn read(json: &str) -> Verification {
    record::decode(&[b"\x01", json.as_bytes()].concat()).unwrap()
}

fn approved() -> Verification {
    read(include_str!("../../../../tests/vectors/records/1-call-approved.json"))
}

fn denied() -> Verification {
    read(include_str!("../../../../tests/vectors/records/1-text-denied.json"))
}

/// A course that has everything in it.
fn course(from: Timestamp) -> Course {
    *recorder(from).end()
}

/// The same while its call lives.
fn recorder(from: Timestamp) -> Recorder {
    let at = |ms| from + Duration::from_millis(ms);
    let mut course = Recorder::new(AttemptNo::FIRST, from);
    let (us, them): (SocketAddr, SocketAddr) =
        ("192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap());
    let line = Line { sent: true, from: us, to: them };
    let invite = mask::masked(b"INVITE sip:+14155550103@x SIP/2.0\r\n\r\n");
    course.sip(at(1), line, Transport::Udp, &invite);
    // They were learned in another order.
    course.add(at(4), What::Answered { status: 200 });
    course.add(at(2), What::Ringing { status: 180 });
    course.add(at(5), What::Saying("Your code is 4 7 1 1".to_owned()));
    course.rtp(at(5), &line, &[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff]);
    course.add(at(6), What::Listening);
    course.add(at(7), What::Key { path: "rfc4733".to_owned() });
    course
}

fn told(found: &Verification, courses: &[Course], tries: &[Try]) -> Vec<Span> {
    let carriers = &BTreeSet::from(["twilio"]);
    spans(Known { found, courses, tries, carriers }, &mut Entropy::from_number(7))
}

fn said<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|it| it.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

fn word<'a>(span: &'a Span, key: &str) -> &'a str {
    match said(&span.attributes, key) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key}: {other:?}"),
    }
}

fn names(span: &Span) -> Vec<&str> {
    span.events.iter().map(|event| event.name.as_str()).collect()
}

fn one_try(at: Timestamp, to: &str, outcome: &str) -> Try {
    Try { at, to: to.to_owned(), outcome: outcome.to_owned(), why: Some("4711".to_owned()) }
}

#[test]
fn an_approval_is_the_callers_child_with_its_call_and_its_webhook_below() {
    let mut found = approved();
    found.request.traceparent = Traceparent::read(PARENT);
    found.request.tracestate = Tracestate::read("rojo=00f067aa0ba902b7");
    let settled = found.settled_at().unwrap();
    let after = |ms| settled + Duration::from_millis(ms);
    let tries = [
        one_try(after(40), "https://a.example", "failed"),
        one_try(after(9), "https://b.example", "failed"),
        one_try(after(50), "https://a.example", "delivered"),
    ];
    let mut course = recorder(found.created_at);
    course.add(found.created_at + Duration::from_millis(9), What::Saying("Thanks.".to_owned()));
    let spans = told(&found, &[*course.end()], &tries);
    let [root, call, first, second] = spans.as_slice() else { panic!("{spans:#?}") };

    let parent = found.request.traceparent.as_ref().unwrap();
    assert_eq!((root.name.as_str(), root.kind), ("verification", SpanKind::Server as i32));
    assert_eq!(root.parent_span_id, parent.parent());
    assert_eq!(root.flags, 0x301, "sampled, and the parent is elsewhere");
    assert_eq!(root.start_time_unix_nano, nanos(found.created_at));
    assert_eq!(root.end_time_unix_nano, nanos(settled));
    assert_eq!(names(root), ["policy", "route"]);
    assert_eq!(root.status, None);
    for (key, value) in [
        ("octothorpe.tenant", "acme"),
        ("octothorpe.country", "US"),
        ("octothorpe.channel", "voice"),
        ("octothorpe.mode", "confirm"),
        ("octothorpe.status", "approved"),
        ("octothorpe.reason", "confirmed"),
        ("octothorpe.verification", "vf_01M8DCQY7SHHHZXNAEQBP9RYHW"),
    ] {
        assert_eq!(word(root, key), value, "{key}");
    }
    assert_eq!(said(&root.attributes, "octothorpe.attempts"), Some(&Value::IntValue(1)));

    let mut ids = BTreeSet::new();
    for span in &spans {
        assert_eq!(span.trace_id, parent.trace());
        assert_eq!(span.trace_state, "rojo=00f067aa0ba902b7");
        assert!(span.span_id.len() == 8 && ids.insert(span.span_id.clone()));
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        assert!(span.events.is_sorted_by_key(|event| event.time_unix_nano), "{span:#?}");
    }
    for child in [call, first, second] {
        assert_eq!((&child.parent_span_id, child.flags), (&root.span_id, 0x101));
    }

    assert_eq!((call.name.as_str(), call.kind), ("call", SpanKind::Client as i32));
    assert_eq!(word(call, "octothorpe.trunk"), "trunk");
    assert_eq!(word(call, "octothorpe.call_id"), "vf_01M8DCQY7SHHHZXNAEQBP9RYHW-1");
    let went =
        ["placed", "ringing", "answered", "said", "media", "listening", "key", "press", "said"];
    assert_eq!(names(call), went);
    assert_eq!(
        said(&call.events[1].attributes, "octothorpe.sip_status"),
        Some(&Value::IntValue(180))
    );
    assert_eq!(call.status, None);
    assert_eq!(call.end_time_unix_nano, nanos(found.created_at + Duration::from_millis(9)));

    assert_eq!(word(first, "octothorpe.endpoint"), "https://a.example");
    assert_eq!((names(first), &first.status), (vec!["try", "try"], &None));
    assert_eq!(first.start_time_unix_nano, nanos(settled));
    assert_eq!(first.end_time_unix_nano, nanos(after(50)));
    assert_eq!(second.status, Some(error("failed")));
}

#[test]
fn nothing_that_was_said_dialled_or_pressed_is_told() {
    for (found, number) in [(approved(), "4155550103"), (denied(), "4155550102")] {
        let at = found.created_at;
        let tries = [one_try(found.settled_at().unwrap(), "https://a.example", "gone")];
        let shown = format!("{:?}", told(&found, &[course(at)], &tries));
        let masked = found.request.to.masked();
        let stars = masked.trim_matches(|c: char| !c.is_ascii_digit() && c != '*');
        for hidden in [number, stars, "0103", "0102", "4 7 1 1", "4711", "INVITE", "192.0.2"] {
            assert!(!shown.contains(hidden), "{hidden}: {shown}");
        }
    }
}

#[test]
fn a_trace_of_its_own_begins_where_the_caller_names_none() {
    let spans = told(&denied(), &[], &[]);
    let [root, text] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!((root.trace_id.len(), root.flags), (16, 0x101));
    assert_eq!((root.parent_span_id.as_slice(), root.trace_state.as_str()), (&[][..], ""));
    assert_eq!((text.name.as_str(), &text.trace_id), ("text", &root.trace_id));
    // What the person does is no failure of what runs.
    assert_eq!((&root.status, &text.status), (&None, &None));
    assert_eq!(word(root, "octothorpe.reason"), "too_many_checks");
}

#[test]
fn failures_are_errors_of_the_verification_and_of_the_attempt_that_brought_them() {
    let mut found = approved();
    let Some(mut busy) = found.attempts.pop() else { panic!("it has one") };
    (busy.reason, busy.press, busy.sip_status) = (Some(Reason::Busy), None, Some(486));
    let mut down = busy.clone();
    (down.reason, down.sip_status, down.route) =
        (Some(Reason::CarrierError), Some(503), "twilio".to_owned());
    found.attempts = vec![down, busy];
    let cause = Cause { sip_status: Some(486), ..Cause::plain(Reason::Busy) };
    let at = found.settled_at().unwrap();
    found.phase = crate::verify::Phase::Settled { verdict: Verdict::Failed(cause), at };
    let spans = told(&found, &[], &[]);
    let [root, down, busy] = spans.as_slice() else { panic!("{spans:#?}") };
    for (span, reason) in [(root, "busy"), (down, "carrier_error"), (busy, "busy")] {
        assert_eq!(span.status, Some(error(reason)));
        assert_eq!(word(span, "error.type"), reason);
    }
    assert_eq!(word(down, "octothorpe.carrier"), "twilio");
    assert_eq!(said(&down.attributes, "octothorpe.call_id"), None, "it is the carrier's own");
    assert_eq!(said(&busy.attributes, "octothorpe.sip_status"), Some(&Value::IntValue(486)));
}

#[test]
fn what_is_pending_is_no_trace_yet() {
    let pending = read(include_str!("../../../../tests/vectors/records/1-text-pending.json"));
    assert_eq!(told(&pending, &[], &[]), []);
}
