//! Error codes, in our words. What the provider writes beside them names the number, so it is not
//! repeated: the code leads to its documentation.

use serde_json::Value;

use crate::verify::signal::{Cause, Reason};

/// What a response of 400 to 499 means.
pub(super) fn refused(status: u16, body: Option<&Value>) -> Cause {
    let code = body.and_then(code_of);
    let (reason, why) = match (status, code.as_deref()) {
        (429, _) => (Reason::Congested, "the carrier has too many requests from us"),
        (_, None) => {
            let why = format!("the carrier refused the request with HTTP status {status}");
            return Cause::because(Reason::CarrierError, why);
        }
        (_, Some(code)) => request(code),
    };
    with_code(reason, why, code.as_deref())
}

/// What the code of a text that did not arrive means.
pub(super) fn undelivered(code: &str) -> Cause {
    let code = plain(code);
    let (reason, why) = match code.as_deref() {
        Some("30001" | "30022" | "30023") => {
            (Reason::Congested, "more texts than the carrier takes at a time")
        }
        Some("30003") => (Reason::Unreachable, "the phone is off or out of reach"),
        Some("30005") => (Reason::InvalidNumber, "the network knows no such phone"),
        Some("30006" | "21614" | "21635") => {
            (Reason::InvalidNumber, "the line cannot be sent texts")
        }
        Some("21610") => (Reason::OptedOut, "the person wants no texts from this sender"),
        Some("30004") => (Reason::Undelivered, "the phone or its network blocks texts"),
        Some("30007") => (Reason::Undelivered, "a network filtered the text"),
        Some("30034") => (Reason::Undelivered, "the sender is not registered for this country"),
        Some("30036") => (Reason::Undelivered, "the text was no longer worth delivering"),
        Some(_) | None => (Reason::Undelivered, "the text did not arrive"),
    };
    with_code(reason, why, code.as_deref())
}

/// A code with which a request was refused.
fn request(code: &str) -> (Reason, &'static str) {
    match code {
        "21211" | "21217" | "21401" | "21421" | "13223" | "13224" => {
            (Reason::InvalidNumber, "the carrier knows no such number")
        }
        "21407" | "21614" | "21635" => (Reason::InvalidNumber, "the line cannot be sent texts"),
        "21610" => (Reason::OptedOut, "the person wants no texts from this sender"),
        "21214" => (Reason::Unreachable, "the number cannot be reached by this carrier"),
        "20429" | "14107" | "30022" | "63038" => {
            (Reason::Congested, "the carrier has too many requests from us")
        }
        "21215" | "21408" | "13227" | "32205" => {
            (Reason::CarrierError, "the account may not reach this country")
        }
        "21216" => (Reason::CarrierError, "the carrier blocks this number"),
        "21612" => (Reason::CarrierError, "the sender cannot reach this number"),
        "21608" | "21219" => {
            (Reason::CarrierError, "a trial account reaches numbers of its own only")
        }
        "21210" | "21212" | "21213" | "21603" | "21606" | "21659" | "21660" => {
            (Reason::CarrierError, "the account may not use this sender")
        }
        "20003" | "20005" | "20404" | "10009" => {
            (Reason::CarrierError, "the carrier does not accept the account or its token")
        }
        _ => (Reason::CarrierError, "the carrier refused the request"),
    }
}

/// Twilio and SignalWire write `code`, Telnyx a list of `errors`; as a number or as text.
fn code_of(body: &Value) -> Option<String> {
    let code = body.get("code").or_else(|| body.pointer("/errors/0/code"))?;
    match code {
        Value::String(text) => plain(text),
        Value::Number(number) => plain(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A code is short: what is longer may be a number.
fn plain(code: &str) -> Option<String> {
    let fits = (1..=6).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then(|| code.to_owned())
}

fn with_code(reason: Reason, why: &str, code: Option<&str>) -> Cause {
    Cause::because(
        reason,
        code.map_or_else(|| why.to_owned(), |code| format!("{why} (error code {code})")),
    )
}
