//! What the command prints: a line for people, or one JSON object.

use std::time::Duration;

use serde_json::{Value, json};

use super::words::{Outcome, PhoneEvent, Side, Summary, What};
use crate::media::g711::RATE;

/// Who, in the JSON and to people.
const fn side(side: Side) -> &'static str {
    match side {
        Side::Caller => "caller",
        Side::Phone => "phone",
    }
}

fn millis(span: Duration) -> Value {
    json!(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// How long a recording lasts.
fn length(samples: &[i16]) -> Duration {
    let micros = samples.len() as u64 * 1_000_000 / u64::from(RATE);
    Duration::from_micros(micros)
}

/// An event as one JSON object. `number` counts the calls from 1; `file` is where its recording
/// went.
pub(super) fn json_line(number: usize, event: &PhoneEvent, file: Option<&str>) -> String {
    let (name, detail) = match &event.what {
        What::Invited { from, to } => ("invited", json!({ "from": from, "to": to })),
        What::Challenged => ("challenged", json!({})),
        What::Ringing => ("ringing", json!({ "sip_status": 180 })),
        What::EarlyMedia => ("ringing", json!({ "sip_status": 183 })),
        What::Answered => ("answered", json!({})),
        What::Acknowledged => ("acknowledged", json!({})),
        What::Lifted => ("lifted", json!({})),
        What::Pressed(key) => ("pressed", json!({ "key": key })),
        What::Unsendable(key) => ("not_pressed", json!({ "key": key })),
        What::Heard(key) => ("heard", json!({ "key": key })),
        What::Canceled => ("canceled", json!({})),
        What::Rejected(status) => ("rejected", json!({ "sip_status": status })),
        What::HungUp(by) => ("hung_up", json!({ "by": side(*by) })),
        What::Recording { samples } => {
            ("recorded", json!({ "file": file, "length_ms": millis(length(samples)) }))
        }
        What::Finished(summary) => ("summary", summary_json(summary)),
    };
    let mut line = json!({
        "event": name,
        "call": number,
        "call_id": &*event.call,
        "at": event.at.to_rfc3339(),
        "ms": millis(event.after),
    });
    if let (Some(line), Value::Object(detail)) = (line.as_object_mut(), detail) {
        line.extend(detail);
    }
    line.to_string()
}

fn summary_json(summary: &Summary) -> Value {
    let Summary { outcome, answered_after, pressed, heard, quality } = summary;
    let (outcome, status, by) = match *outcome {
        Outcome::Canceled => ("canceled", None, None),
        Outcome::Rejected(status) => ("rejected", Some(status), None),
        Outcome::HungUp(by) => ("hung_up", None, Some(side(by))),
        Outcome::Abandoned => ("abandoned", None, None),
        Outcome::Unacknowledged => ("unacknowledged", None, None),
    };
    json!({
        "outcome": outcome,
        "sip_status": status,
        "by": by,
        "answered_ms": answered_after.map(millis),
        "pressed": pressed,
        "heard": heard,
        "rtp_sent": quality.packets_sent,
        "rtp_received": quality.packets_received,
        "rtp_lost": quality.lost,
        "jitter_ms": quality.jitter.as_secs_f64() * 1_000.0,
    })
}

/// An event as a line for people.
pub(super) fn human_line(number: usize, event: &PhoneEvent, file: Option<&str>) -> String {
    let what = match &event.what {
        What::Invited { from, to } => format!("INVITE from {} to {}", name(from), name(to)),
        What::Challenged => "401: it shall say who it is".to_owned(),
        What::Ringing => "180: it rings".to_owned(),
        What::EarlyMedia => "183: it rings, with early media".to_owned(),
        What::Answered => "200: answered".to_owned(),
        What::Acknowledged => "ACK".to_owned(),
        What::Lifted => "somebody is there behind the attendant".to_owned(),
        What::Pressed(key) => format!("pressed {key}"),
        What::Unsendable(key) => {
            format!("could not press {key}: the caller takes no telephone-events")
        }
        What::Heard(key) => format!("the caller pressed {key}"),
        What::Canceled => "CANCEL: the caller gave up".to_owned(),
        What::Rejected(status) => format!("{status}: refused"),
        What::HungUp(by) => format!("BYE: the {} hung up", side(*by)),
        What::Recording { samples } => {
            let seconds = length(samples).as_secs_f64();
            format!("what was heard, {seconds:.1} s, is in {}", file.unwrap_or("no file"))
        }
        What::Finished(summary) => summary_line(event.after, summary),
    };
    format!("[{number}] {:8.3} s  {what}", event.after.as_secs_f64())
}

/// A user part to show.
fn name(user: &str) -> &str {
    if user.is_empty() { "nobody" } else { user }
}

fn summary_line(after: Duration, summary: &Summary) -> String {
    let Summary { outcome, answered_after, pressed, heard, quality } = summary;
    let outcome = match *outcome {
        Outcome::Canceled => "canceled".to_owned(),
        Outcome::Rejected(status) => format!("refused with {status}"),
        Outcome::HungUp(by) => format!("the {} hung up", side(by)),
        Outcome::Abandoned => "the caller did not come back".to_owned(),
        Outcome::Unacknowledged => "the 200 was never acknowledged".to_owned(),
    };
    let Some(answered_after) = answered_after else { return format!("over: {outcome}") };
    let keys = |what: &str, keys: &str| match keys {
        "" => String::new(),
        keys => format!(", {what} {keys}"),
    };
    format!(
        "over: {outcome} after {:.1} s{}{}; RTP: {} sent, {} heard, {} lost, jitter {:.1} ms",
        after.saturating_sub(*answered_after).as_secs_f64(),
        keys("pressed", pressed),
        keys("heard", heard),
        quality.packets_sent,
        quality.packets_received,
        quality.lost,
        quality.jitter.as_secs_f64() * 1_000.0,
    )
}
