//! Whether an order was taken whose answer was lost: the provider has no names of ours, so it is
//! found by who was to be reached, when, and with which words.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::Twilio;
use crate::ambient::Timestamp;
use crate::carrier::wire::HttpRequest;
use crate::carrier::{Order, Receipt, What};
use crate::verify::signal::{Cause, Reason};

/// How much our clock and the provider's may differ, as much as for requests that are signed with a time.
/// What is older is another order; what is within it, and older than ours, could be either.
const SKEW: Duration = Duration::from_secs(300);

/// How many of the newest are asked for.
const PAGE: &str = "50";

/// The newest calls or texts to this phone.
///
/// The date is not asked for but looked at in the answer: what still waits in the provider's
/// queue has no start or sending time yet, and a filter by one would hide just what is sought.
pub(super) fn request(twilio: &Twilio, order: &Order<'_>) -> HttpRequest {
    let (list, sender) = match order.what {
        What::Call { .. } => ("Calls", Some(&twilio.settings.from)),
        What::Text { .. } if twilio.settings.messaging_service.is_some() => ("Messages", None),
        What::Text { .. } => ("Messages", Some(&twilio.settings.from)),
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("To", order.to.expose());
    if let Some(sender) = sender {
        query.append_pair("From", sender);
    }
    query.append_pair("PageSize", PAGE);
    HttpRequest::get(format!("{}?{}", twilio.list(list), query.finish()))
}

/// What the answer to [`request`] means.
pub(super) fn result(order: &Order<'_>, at_once: bool, status: u16, body: &[u8]) -> Receipt {
    if status != 200 {
        return Receipt::Unclear;
    }
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return Receipt::Unclear;
    };
    let list = match order.what {
        What::Call { .. } => "calls",
        What::Text { .. } => "messages",
    };
    let Some(items) = answer.get(list).and_then(Value::as_array) else {
        return Receipt::Unclear;
    };
    let mut sure = Vec::new();
    let mut doubtful = false;
    for item in items {
        match judge(order, item) {
            Match::Ours(sid) => sure.push(sid),
            Match::Perhaps => doubtful = true,
            Match::Other => {}
        }
    }
    match (sure.as_slice(), doubtful) {
        ([sid], false) => Receipt::Taken((*sid).to_owned()),
        // Newer ones may stand on another page when there are many.
        ([], false) if at_once && answer.get("next_page_uri").is_none_or(Value::is_null) => {
            let why = "the carrier has no record of the request";
            Receipt::Refused(Cause::because(Reason::CarrierError, why))
        }
        _ => Receipt::Unclear,
    }
}

enum Match<'a> {
    /// It is ours, of this name.
    Ours(&'a str),
    /// It could be.
    Perhaps,
    /// It is not.
    Other,
}

fn judge<'a>(order: &Order<'_>, item: &'a Value) -> Match<'a> {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let elsewhere = text("to").is_some_and(|to| to != order.to.expose());
    // Calls and texts that began on a phone, or belong to another call.
    let foreign = text("direction").is_some_and(|direction| {
        direction.starts_with("inbound") || ["outbound-reply", "outbound-dial"].contains(&direction)
    });
    if elsewhere || foreign {
        return Match::Other;
    }
    let Some(created) = text("date_created").and_then(moment) else {
        return Match::Perhaps;
    };
    // Its times are whole seconds.
    let since = Timestamp::from_secs(order.since.as_secs());
    if created + SKEW < since {
        return Match::Other;
    }
    let said = match order.what {
        What::Call { .. } => true,
        // A provider may keep texts no longer than it must, or put words before them.
        What::Text { body, .. } => text("body") == Some(body.expose()),
    };
    match text("sid").filter(|sid| super::is_sid(sid)) {
        Some(sid) if said && created >= since => Match::Ours(sid),
        Some(_) | None => Match::Perhaps,
    }
}

/// A time as RFC 2822 writes it (`Tue, 24 Nov 2026 08:00:00 +0000`), in UTC as these providers
/// do, or as RFC 3339 does.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(at) = humantime::parse_rfc3339_weak(text) {
        return Some(Timestamp::default() + at.duration_since(UNIX_EPOCH).ok()?);
    }
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (day, month, year, time) = match words.as_slice() {
        [_, day, month, year, time, "+0000" | "GMT" | "UTC"] => (*day, *month, *year, *time),
        _ => return None,
    };
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| *name == month)? + 1;
    let at = humantime::parse_rfc3339(&format!("{year:0>4}-{month:02}-{day:0>2}T{time}Z")).ok()?;
    Some(Timestamp::default() + at.duration_since(UNIX_EPOCH).ok()?)
}
