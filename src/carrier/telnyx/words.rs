//! Telnyx's words in ours.

use serde_json::Value;

use super::Event;
use crate::carrier::common::text;
use crate::carrier::{News, Receipt};
use crate::verify::signal::{Cause, Reason};

/// Why a call ended, from `hangup_cause` (the SDK's list, and the names of FreeSWITCH that come
/// besides) and `sip_hangup_cause`, a SIP status as text or `unspecified`.
pub(super) fn hung_up(event: &Event<'_>, silent: bool) -> Cause {
    let sip = text(event.payload, "/sip_hangup_cause")
        .and_then(|status| status.parse::<u16>().ok())
        .filter(|status| (300..700).contains(status));
    let reason = match text(event.payload, "/hangup_cause").unwrap_or_default() {
        // We said goodbye, and hung up.
        "normal_clearing" if silent => Reason::NoInput,
        "normal_clearing" if sip.is_none() => Reason::HungUp,
        // The time that we set for the call: it was up, and nothing was pressed.
        "time_limit" => Reason::NoInput,
        "user_busy" => Reason::Busy,
        // A 403 is no person's: Telnyx's own limits (its "D" codes) come so.
        "call_rejected" if sip != Some(403) => Reason::Rejected,
        // We, or Telnyx for us, gave up ringing.
        "timeout" | "no_answer" | "originator_cancel" | "no_user_response" => Reason::NoAnswer,
        "not_found" | "unallocated_number" | "invalid_number_format" | "number_changed" => {
            Reason::InvalidNumber
        }
        "subscriber_absent" | "destination_out_of_order" => Reason::Unreachable,
        "normal_circuit_congestion" | "switch_congestion" => Reason::Congested,
        "media_timeout" => Reason::MediaLost,
        _ => match sip {
            Some(status) => return Cause::response(status, None),
            None => Reason::CarrierError,
        },
    };
    Cause { sip_status: sip, ..Cause::plain(reason) }
}

/// What took the call, where that is no person: the `result` of either kind of detection.
pub(super) fn machine(result: &str) -> Option<Reason> {
    match result {
        "machine" => Some(Reason::Voicemail),
        "fax_detected" => Some(Reason::Fax),
        _ => None,
    }
}

/// What a `message.sent` or `message.finalized` says.
pub(super) fn message(event: &Event<'_>) -> Option<News> {
    let failed = |reason: Reason| {
        let code = text(event.payload, "/errors/0/code").filter(|code| is_code(code));
        let reason = code.and_then(by_code).unwrap_or(reason);
        News::Ended(match code {
            Some(code) => Cause::because(reason, format!("Telnyx error {code}")),
            None => Cause::plain(reason),
        })
    };
    match text(event.payload, "/to/0/status")? {
        // Unconfirmed is the last word on a network that tells nothing.
        "sent" | "delivery_unconfirmed" => Some(News::Sent),
        "delivered" | "read" => Some(News::Delivered),
        "delivery_failed" | "expired" => Some(failed(Reason::Undelivered)),
        "sending_failed" => Some(failed(Reason::CarrierError)),
        _ => None,
    }
}

/// What the response to an order means; the handle stands at this place of its body.
pub(super) fn receipt(handle: &str, status: u16, body: &[u8]) -> Receipt {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    match status {
        200..=299 => body
            .as_ref()
            .and_then(|body| text(body, handle))
            .map_or(Receipt::Unclear, |handle| Receipt::Taken(handle.to_owned())),
        429 => {
            let detail = "Telnyx answered 429: too many requests";
            Receipt::Refused(Cause::because(Reason::Congested, detail))
        }
        // 409: another request of the same name is being carried out.
        408 | 409 => Receipt::Unclear,
        400..=499 => {
            // Only the code: title and detail may repeat the number.
            let code = body.as_ref().and_then(|body| text(body, "/errors/0/code"));
            let code = code.filter(|code| is_code(code));
            let reason = code.and_then(by_code).unwrap_or(Reason::CarrierError);
            let error = code.map_or_else(String::new, |code| format!(", error {code}"));
            let detail = match status {
                401 | 403 => " (check api_key and what the account may do)",
                402 => " (check the balance)",
                _ => "",
            };
            let detail = format!("Telnyx answered {status}{error}{detail}");
            Receipt::Refused(Cause::because(reason, detail))
        }
        _ => Receipt::Unclear,
    }
}

/// A code is five digits or so, and nothing that could hold a number.
fn is_code(text: &str) -> bool {
    (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Error codes that say more than the status (developers.telnyx.com, "API error codes" and
/// "Messaging error code reference").
fn by_code(code: &str) -> Option<Reason> {
    match code {
        "10002" | "10016" | "40310" => Some(Reason::InvalidNumber),
        "10011" | "40011" | "40318" => Some(Reason::Congested),
        "40001" | "40004" | "40005" | "40008" => Some(Reason::Undelivered),
        "40006" => Some(Reason::Unreachable),
        "40300" => Some(Reason::OptedOut),
        _ => None,
    }
}

/// Language and voice for a BCP 47 tag: the languages that `speak` takes, each with a voice of
/// Amazon Polly that speaks it.
pub(super) fn voice(tag: &str) -> (&'static str, &'static str) {
    const VOICES: [(&str, &str); 26] = [
        ("en-US", "AWS.Polly.Joanna"),
        ("en-GB", "AWS.Polly.Amy"),
        ("en-AU", "AWS.Polly.Nicole"),
        ("en-IN", "AWS.Polly.Aditi"),
        ("cmn-CN", "AWS.Polly.Zhiyu"),
        ("da-DK", "AWS.Polly.Naja"),
        ("de-DE", "AWS.Polly.Vicki"),
        ("es-ES", "AWS.Polly.Lucia"),
        ("es-MX", "AWS.Polly.Mia"),
        ("es-US", "AWS.Polly.Lupe"),
        ("fr-FR", "AWS.Polly.Lea"),
        ("fr-CA", "AWS.Polly.Chantal"),
        ("hi-IN", "AWS.Polly.Aditi"),
        ("is-IS", "AWS.Polly.Dora"),
        ("it-IT", "AWS.Polly.Bianca"),
        ("ja-JP", "AWS.Polly.Mizuki"),
        ("ko-KR", "AWS.Polly.Seoyeon"),
        ("nb-NO", "AWS.Polly.Liv"),
        ("nl-NL", "AWS.Polly.Lotte"),
        ("pl-PL", "AWS.Polly.Ewa"),
        ("pt-BR", "AWS.Polly.Camila"),
        ("pt-PT", "AWS.Polly.Ines"),
        ("ro-RO", "AWS.Polly.Carmen"),
        ("ru-RU", "AWS.Polly.Tatyana"),
        ("sv-SE", "AWS.Polly.Astrid"),
        ("tr-TR", "AWS.Polly.Filiz"),
    ];
    let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    // Mandarin and Bokmål have two names each.
    let wanted = match primary(tag).as_str() {
        "zh" => "cmn".to_owned(),
        "no" => "nb".to_owned(),
        other => other.to_owned(),
    };
    VOICES
        .into_iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(tag))
        .or_else(|| VOICES.into_iter().find(|(known, _)| primary(known) == wanted))
        .unwrap_or(("en-US", "AWS.Polly.Joanna"))
}
