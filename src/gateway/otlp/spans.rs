//! A settled verification as spans: what its timeline tells, for machines.
//!
//! The trace is its caller's, and whoever looks at it there may be its tenant: nothing is told here that the tenant's own
//! timeline does not tell. Numbers, codes, PINs and the keys that were pressed are in none of it, and neither is text that
//! others wrote or we spoke.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status};

use crate::ambient::{Entropy, Timestamp};
use crate::gateway::course::{Course, What};
use crate::gateway::tries::Try;
use crate::verify::Verification;
use crate::verify::attempt::Attempt;
use crate::verify::policy;
use crate::verify::request::Channel;
use crate::verify::signal::{Blame, Cause, Reason, Verdict};

/// The bit of the trace flags that says that a trace is sampled (W3C Trace Context § 3.2.2.5.1).
const SAMPLED: u32 = 1;

/// What is known of a verification.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// It.
    pub(super) found: &'a Verification,
    /// How its calls went.
    pub(super) courses: &'a [Course],
    /// How its verdict was delivered so far.
    pub(super) tries: &'a [Try],
    /// The ways that are carriers with an API; the others are trunks.
    pub(super) carriers: &'a BTreeSet<&'a str>,
}

/// The spans of a verification: the first is the root, from its start to its verdict, and the others are its children.
/// None before it has settled.
pub(super) fn spans(known: Known<'_>, entropy: &mut Entropy) -> Vec<Span> {
    let found = known.found;
    let (Some(verdict), Some(settled)) = (found.verdict(), found.settled_at()) else {
        return Vec::new();
    };
    let mut root = root(found, verdict, settled, entropy);
    let mut spans = Vec::new();
    for attempt in &found.attempts {
        let course = known.courses.iter().find(|it| it.attempt == attempt.no);
        spans.push(tried(attempt, course, (verdict, settled), known.carriers));
    }
    spans.extend(told(known.tries, settled));
    for span in &mut spans {
        span.trace_id = root.trace_id.clone();
        span.trace_state = root.trace_state.clone();
        span.parent_span_id = root.span_id.clone();
        span.span_id = id::<8>(entropy);
        span.flags = SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32;
        span.events.sort_by_key(|event| event.time_unix_nano);
        // A call that says goodbye is not over when its attempt is.
        let last = span.events.last().map_or(0, |event| event.time_unix_nano);
        span.end_time_unix_nano = span.end_time_unix_nano.max(last);
    }
    root.events.sort_by_key(|event| event.time_unix_nano);
    spans.insert(0, root);
    spans
}

fn root(
    found: &Verification,
    verdict: &Verdict,
    settled: Timestamp,
    entropy: &mut Entropy,
) -> Span {
    let request = &found.request;
    let mut root = span("verification", SpanKind::Server, found.created_at, settled);
    root.span_id = id::<8>(entropy);
    root.flags = SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32;
    match &request.traceparent {
        Some(parent) => {
            root.trace_id = parent.trace().to_vec();
            root.parent_span_id = parent.parent().to_vec();
            root.flags |= SpanFlags::ContextIsRemoteMask as u32;
            let state = request.tracestate.as_ref();
            root.trace_state = state.map(|it| it.as_str().to_owned()).unwrap_or_default();
        }
        None => root.trace_id = id::<16>(entropy),
    }
    let (to, way) = (&request.to, request.way);
    root.attributes = vec![
        text("octothorpe.verification", found.id.as_str()),
        text("octothorpe.tenant", &found.tenant),
        text("octothorpe.country", to.country().as_str()),
        text("octothorpe.number_kind", to.kind().as_str()),
        text("octothorpe.channel", way.channel.as_str()),
        text("octothorpe.mode", way.mode.as_str()),
        text("octothorpe.status", verdict.status().as_str()),
        text("octothorpe.reason", verdict.reason().as_str()),
        number("octothorpe.attempts", found.attempts.len()),
    ];
    let of_number = policy::flags(to).into_iter();
    let flags = of_number.chain(found.flags.iter().map(String::as_str));
    let steps = found.route.steps().iter();
    let steps = steps.map(|step| format!("{} by {}", step.channel.as_str(), step.via));
    root.events = vec![
        event(found.created_at, "policy", vec![texts("octothorpe.flags", flags)]),
        event(found.created_at, "route", vec![texts("octothorpe.plan", steps)]),
    ];
    match verdict {
        Verdict::Failed(cause) => fail(&mut root, cause.reason),
        Verdict::Approved(_) | Verdict::Denied(_) | Verdict::Expired(_) | Verdict::Canceled(_) => {}
    }
    root
}

/// A call or a text.
fn tried(
    attempt: &Attempt,
    course: Option<&Course>,
    (verdict, settled): (&Verdict, Timestamp),
    carriers: &BTreeSet<&str>,
) -> Span {
    let name = match attempt.channel {
        Channel::Voice => "call",
        Channel::Sms => "text",
    };
    let ended = attempt.ended_at.unwrap_or(settled);
    let mut span = span(name, SpanKind::Client, attempt.started_at, ended);
    let is_carrier = carriers.contains(attempt.route.as_str());
    let via = if is_carrier { "octothorpe.carrier" } else { "octothorpe.trunk" };
    span.attributes = vec![
        number("octothorpe.attempt", attempt.no.get()),
        text(via, &attempt.route),
        text("octothorpe.channel", attempt.channel.as_str()),
        text("octothorpe.mode", attempt.mode.as_str()),
    ];
    // What a carrier calls it may hold anything.
    let call_id = attempt.call_id.as_ref().filter(|_| !is_carrier);
    span.attributes.extend(call_id.map(|it| text("octothorpe.call_id", it)));
    span.attributes.extend(attempt.sip_status.map(|it| number("octothorpe.sip_status", it)));
    span.attributes.extend(attempt.q850.map(|it| number("octothorpe.q850", it)));
    if let Some(reason) = attempt.reason {
        span.attributes.push(text("octothorpe.reason", reason.as_str()));
        let Attempt { sip_status, q850, .. } = *attempt;
        let cause = Cause { sip_status, q850, ..Cause::plain(reason) };
        // What the called side did is a failure where it was the end of it.
        let ended = matches!(verdict, Verdict::Failed(why) if why.reason == reason);
        if ended || matches!(cause.blame(), Blame::Carrier | Blame::Us) {
            fail(&mut span, reason);
        }
    }
    let at = |at: Option<Timestamp>, name| at.map(|at| event(at, name, Vec::new()));
    span.events.extend(at(attempt.placed_at, "placed"));
    span.events.extend(at(attempt.delivered_at, "delivered"));
    match course {
        Some(course) => span.events.extend(went(course)),
        None => {
            span.events.extend(at(attempt.ringing_at, "ringing"));
            span.events.extend(at(attempt.answered_at, "answered"));
            let label = attempt.label.as_ref();
            let label = label.zip(attempt.answered_at);
            span.events.extend(label.map(|(it, at)| labelled(at, &it.is, &it.cue, it.percent)));
        }
    }
    if let Some(press) = &attempt.press {
        let mut told = vec![texts("octothorpe.paths", press.paths.iter().map(String::as_str))];
        told.extend(press.held_ms.map(|it| number("octothorpe.held_ms", it)));
        told.extend(press.level_dbm0.map(|it| number("octothorpe.level_dbm0", it)));
        span.events.push(event(press.at, "press", told));
    }
    span
}

/// What happened on a call of ours, but for its messages and its words.
fn went(course: &Course) -> Vec<Event> {
    let status = |status: u16| vec![number("octothorpe.sip_status", status)];
    let moment = |at: Timestamp, what: &What| match what {
        What::Ringing { status: it } => Some(event(at, "ringing", status(*it))),
        What::Answered { status: it } => Some(event(at, "answered", status(*it))),
        What::Dialling => Some(event(at, "dialling", Vec::new())),
        What::Saying(_) => Some(event(at, "said", Vec::new())),
        What::Listening => Some(event(at, "listening", Vec::new())),
        What::Key { path } => Some(event(at, "key", vec![text("octothorpe.path", path)])),
        What::Label { is, cue, percent } => Some(labelled(at, is, cue, *percent)),
        What::Sip { .. } => None,
    };
    let moments = course.moments.iter().filter_map(|it| moment(it.at, &it.what));
    let media = [(true, "transmit"), (false, "receive")].into_iter().filter_map(|(sent, way)| {
        let (at, _) = course.streams.began(sent)?;
        Some(event(at, "media", vec![text("network.io.direction", way)]))
    });
    moments.chain(media).collect()
}

fn labelled(at: Timestamp, is: &str, cue: &str, percent: u8) -> Event {
    let told = vec![
        text("octothorpe.label", is),
        text("octothorpe.cue", cue),
        number("octothorpe.percent", percent),
    ];
    event(at, "label", told)
}

/// A span for each endpoint that the verdict was told to, from the verdict on.
fn told(tries: &[Try], settled: Timestamp) -> Vec<Span> {
    let mut spans: Vec<(&str, Span)> = Vec::new();
    for one in tries {
        if spans.iter().all(|(to, _)| *to != one.to) {
            let mut span = span("webhook", SpanKind::Client, settled, settled);
            span.attributes.push(text("octothorpe.endpoint", &one.to));
            spans.push((&one.to, span));
        }
        let Some((_, span)) = spans.iter_mut().find(|(to, _)| *to == one.to) else { continue };
        span.end_time_unix_nano = span.end_time_unix_nano.max(nanos(one.at));
        span.events.push(event(one.at, "try", vec![text("octothorpe.outcome", &one.outcome)]));
        let failed = matches!(one.outcome.as_str(), "failed" | "given_up" | "gone");
        span.status = failed.then(|| error(&one.outcome));
    }
    spans.into_iter().map(|(_, span)| span).collect()
}

fn span(name: &str, kind: SpanKind, from: Timestamp, to: Timestamp) -> Span {
    Span {
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(from),
        end_time_unix_nano: nanos(to.max(from)),
        ..Span::default()
    }
}

/// `error.type` "SHOULD be predictable, and SHOULD have low cardinality" (semantic conventions of OpenTelemetry).
fn fail(span: &mut Span, reason: Reason) {
    span.attributes.push(text("error.type", reason.as_str()));
    span.status = Some(error(reason.as_str()));
}

fn error(message: &str) -> Status {
    Status { message: message.to_owned(), code: StatusCode::Error.into() }
}

fn event(at: Timestamp, name: &str, attributes: Vec<KeyValue>) -> Event {
    let (time_unix_nano, name) = (nanos(at), name.to_owned());
    Event { time_unix_nano, name, attributes, dropped_attributes_count: 0 }
}

const fn nanos(at: Timestamp) -> u64 {
    at.as_micros().saturating_mul(1_000)
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn texts<T: Into<String>>(key: &str, values: impl Iterator<Item = T>) -> KeyValue {
    let value = |it: T| AnyValue { value: Some(Value::StringValue(it.into())) };
    attribute(key, Value::ArrayValue(ArrayValue { values: values.map(value).collect() }))
}

fn number<N: TryInto<i64>>(key: &str, value: N) -> KeyValue {
    attribute(key, Value::IntValue(value.try_into().unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// "All bytes as zero is considered an invalid value", of either.
fn id<const N: usize>(entropy: &mut Entropy) -> Vec<u8> {
    loop {
        let id: [u8; N] = entropy.bytes();
        if id != [0; N] {
            return id.to_vec();
        }
    }
}

#[cfg(test)]
mod tests;
