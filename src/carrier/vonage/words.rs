//! Vonage's words in ours.

use serde_json::Value;

use crate::carrier::common::text;
use crate::carrier::{News, Receipt};
use crate::verify::signal::{Cause, Reason};

/// Why a call ended, from the `status` of its event and the `detail` that narrows it down ("Voice
/// API webhooks reference"); `None` for a state that is no end.
pub(super) fn ended(status: &str, body: &Value) -> Option<Cause> {
    let detail = text(body, "/detail").unwrap_or_default();
    let reason = match (status, detail) {
        ("completed", _) => Reason::HungUp,
        ("busy", _) => Reason::Busy,
        // We gave up ringing: by `ringing_timer`, or by hanging up.
        ("timeout" | "cancelled", _) => Reason::NoAnswer,
        ("unanswered", "unavailable") => Reason::Unreachable,
        ("unanswered", _) => Reason::NoAnswer,
        ("rejected", "invalid_number") | ("failed", "number_out_of_service") => {
            Reason::InvalidNumber
        }
        // By the network or by Vonage, not by the person.
        ("rejected", "restricted") | ("failed", _) => Reason::CarrierError,
        ("rejected", _) => Reason::Rejected,
        ("machine", _) => Reason::Voicemail,
        _ => return None,
    };
    let known = ["cannot_route", "internal_error", "restricted", "carrier_timeout"];
    let known = known.into_iter().find(|known| *known == detail);
    Some(Cause {
        detail: known.map(|detail| format!("Vonage says {detail}")),
        ..Cause::plain(reason)
    })
}

/// What the state of a message says.
pub(super) fn message(body: &Value) -> Option<News> {
    match text(body, "/status")? {
        "submitted" => Some(News::Sent),
        "delivered" | "read" => Some(News::Delivered),
        "rejected" | "undeliverable" => Some(News::Ended(match code(body, "/error") {
            Some(code) => {
                let reason = by_code(&code).unwrap_or(Reason::Undelivered);
                Cause::because(reason, format!("Vonage error {code}"))
            }
            None => Cause::plain(Reason::Undelivered),
        })),
        _ => None,
    }
}

/// What the response to an order means; the handle stands at this place of its body.
pub(super) fn receipt(handle: &str, status: u16, body: &[u8]) -> Receipt {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match status {
        200..=299 => {
            text(&body, handle).map_or(Receipt::Unclear, |handle| Receipt::Taken(handle.to_owned()))
        }
        429 => {
            let detail = "Vonage answered 429: too many requests";
            Receipt::Refused(Cause::because(Reason::Congested, detail))
        }
        408 => Receipt::Unclear,
        400..=499 => {
            // Only the code: title and detail may repeat the number.
            let code = code(&body, "");
            let reason = code.as_deref().and_then(by_code).unwrap_or(Reason::CarrierError);
            let error = code.map_or_else(String::new, |code| format!(", error {code}"));
            let detail = match status {
                401 | 403 => " (check application_id, private_key and the clock)",
                402 => " (check the balance)",
                _ => "",
            };
            let detail = format!("Vonage answered {status}{error}{detail}");
            Receipt::Refused(Cause::because(reason, detail))
        }
        _ => Receipt::Unclear,
    }
}

/// The code of an error (RFC 7807): behind the `#` of its `type`, or its `title` where that is a
/// number. Four digits, and nothing that could hold a number.
fn code(body: &Value, at: &str) -> Option<String> {
    let title = body.pointer(&format!("{at}/title"));
    let title = title.and_then(Value::as_u64).map(|title| title.to_string());
    let kind = text(body, &format!("{at}/type"));
    kind.and_then(|kind| kind.rsplit_once('#'))
        .map(|(_, code)| code.to_owned())
        .or(title)
        .or_else(|| text(body, &format!("{at}/title")).map(ToOwned::to_owned))
        .filter(|code| code.len() == 4 && code.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Error codes that say more than the status ("API errors", Messages).
fn by_code(code: &str) -> Option<Reason> {
    match code {
        "1000" => Some(Reason::Congested),
        "1040" => Some(Reason::InvalidNumber),
        // On a block list, ours or the network's.
        "1050" | "1160" => Some(Reason::Undelivered),
        "1010" | "1020" | "1030" | "1060" | "1070" | "1080" | "1090" | "1100" | "1120" | "1130"
        | "1140" => Some(Reason::CarrierError),
        _ => None,
    }
}

/// The language of Vonage's text-to-speech for a BCP 47 tag: the same, or one of its kind.
pub(super) fn voice(tag: &str) -> &'static str {
    const VOICES: [&str; 44] = [
        "en-US", "en-GB", "en-AU", "en-IN", "en-ZA", "ar", "ca-ES", "cmn-CN", "cmn-TW", "cs-CZ",
        "cy-GB", "da-DK", "de-DE", "el-GR", "es-ES", "es-MX", "es-US", "eu-ES", "fi-FI", "fil-PH",
        "fr-FR", "fr-CA", "he-IL", "hi-IN", "hu-HU", "id-ID", "is-IS", "it-IT", "ja-JP", "ko-KR",
        "nb-NO", "nl-NL", "pl-PL", "pt-PT", "pt-BR", "ro-RO", "ru-RU", "sk-SK", "sv-SE", "th-TH",
        "tr-TR", "uk-UA", "vi-VN", "yue-CN",
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
        .find(|known| known.eq_ignore_ascii_case(tag))
        .or_else(|| VOICES.into_iter().find(|known| primary(known) == wanted))
        .unwrap_or("en-US")
}
