//! The body that starts a verification: from JSON to a checked [`Request`], or every bad field.

use std::collections::{BTreeMap, HashSet};

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::json::{self, Checks, Fault, Field};
use super::problem::{FieldCode, Problem};
use crate::gateway::Asked;
use crate::gateway::settings::{Endpoint, Tenant};
use crate::verify::code::{Code, Pin};
use crate::verify::number::PhoneNumber;
use crate::verify::request::{Brand, Channel, Mode, Request, Way};
use crate::verify::text::Transaction;

/// How long a question stands when the request does not say, in seconds.
const DEFAULT_EXPIRES_IN: u32 = 300;

/// Starts a verification. Only `to` must be there; `null` is as good as leaving a field out.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Start, example = json!({
    "to": "+14155550132",
    "brand": "Contoso",
    "subject": "user-7f3",
    "reference": "login-991",
    "expires_in": 300
}))]
pub(super) struct Start {
    /// The phone, in E.164: a plus, the country code and the number, digits only.
    #[schema(value_type = String, required, pattern = r"^\+[0-9]{8,15}$", example = "+14155550132")]
    #[serde(default)]
    to: Field<String>,
    /// How to reach the person. `voice`: a phone call; `sms`: a text.
    #[schema(value_type = Option<String>, pattern = "^(voice|sms)$", default = "voice", example = "voice")]
    #[serde(default)]
    channel: Field<String>,
    /// What to ask. By voice, `confirm`: press `#`; an approval proves that somebody held the phone;
    /// this alone is not out-of-band authentication in the sense of NIST SP 800-63B-4. By text,
    /// `code`: a code is typed into the page or sent back; `reply`: only the reply counts. Left out:
    /// `confirm` by voice, `code` by text.
    #[schema(value_type = Option<String>, pattern = "^(confirm|code|reply)$", example = "confirm")]
    #[serde(default)]
    mode: Field<String>,
    /// The language to speak, as a BCP 47 tag; the tenant's when left out. English (`en-US`) is
    /// spoken where there is no recording in it, which in this version is everywhere.
    #[schema(value_type = Option<String>, max_length = 35, example = "en-US")]
    #[serde(default)]
    locale: Field<String>,
    /// The name the person knows the caller by: letters, digits, spaces and `. - & '`; the
    /// tenant's when left out.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 32, example = "Contoso")]
    #[serde(default)]
    brand: Field<String>,
    /// The caller's name for the person; comes back in every answer.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, example = "user-7f3")]
    #[serde(default)]
    subject: Field<String>,
    /// The caller's name for this sign-in; comes back in every answer.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, example = "login-991")]
    #[serde(default)]
    reference: Field<String>,
    /// The IP address the sign-in came from.
    #[schema(value_type = Option<String>, example = "203.0.113.9")]
    #[serde(default)]
    client_ip: Field<String>,
    /// How long the question stands, in seconds.
    #[schema(value_type = Option<u32>, minimum = 10, maximum = 600, default = 300, example = 300)]
    #[serde(default)]
    expires_in: Field<u64>,
    /// Where to send the verdict, instead of the tenant's webhooks. It must have the origin
    /// (scheme, host and port) of one of them.
    #[schema(value_type = Option<String>, format = "uri", max_length = 2048)]
    #[serde(default)]
    callback_url: Field<String>,
    /// What to do where that does not reach the person (busy, no answer, unreachable, undelivered,
    /// a carrier's fault), in order: within the same verification, code and deadline. At most 4.
    #[schema(value_type = Option<Vec<Fallback>>, max_items = 4)]
    #[serde(default)]
    fallback: Field<Vec<Value>>,
    /// The code to send, 6 to 10 digits, in place of one of ours.
    #[schema(value_type = Option<String>, pattern = "^[0-9]{6,10}$", example = "004513")]
    #[serde(default)]
    code: Field<String>,
    /// The person's own PIN, 4 to 10 digits: in mode `reply` it must follow the code.
    #[schema(value_type = Option<String>, pattern = "^[0-9]{4,10}$", example = "4821")]
    #[serde(default)]
    pin: Field<String>,
    /// What is approved, where it is a payment: it is named in the text, and the code is bound to
    /// it.
    #[schema(value_type = Option<Payment>)]
    #[serde(default)]
    transaction: Field<Map<String, Value>>,
    /// Only check whether it could be done: nothing is kept or sent, and the answer is 200 with
    /// `"dry_run": true`.
    #[schema(value_type = Option<bool>, default = false)]
    #[serde(default)]
    dry_run: Field<bool>,
    #[schema(ignore)]
    #[serde(default)]
    extension: Field<Value>,
    #[schema(ignore)]
    #[serde(default)]
    r#match: Field<Value>,
    #[serde(flatten)]
    #[schema(ignore)]
    unknown: BTreeMap<String, Value>,
}

/// Another way to reach the person.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it is only described: the fields are read one by one")]
pub(super) struct Fallback {
    /// `voice` or `sms`.
    #[schema(pattern = "^(voice|sms)$", example = "sms")]
    channel: String,
    /// `confirm` by voice; `code` or `reply` by text.
    #[schema(value_type = Option<String>, pattern = "^(confirm|code|reply)$", example = "code")]
    mode: String,
}

/// A payment.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it is only described: the fields are read one by one")]
pub(super) struct Payment {
    /// Digits, and up to four behind a point.
    #[schema(example = "49.90")]
    amount: String,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    currency: String,
    /// Who gets it: 1 to 32 letters, digits, spaces and `. - & '`.
    #[schema(example = "ACME")]
    payee: String,
}

/// Reads the body of a start for this tenant.
pub(super) fn read(body: &[u8], tenant: &Tenant) -> Result<Asked, Problem> {
    let object = json::object(body)?;
    let start: Start = serde_json::from_value(Value::Object(object))
        .map_err(|_| Problem::new(super::Code::InvalidJson))?;
    let mut checks = Checks::default();
    let to = checks.required("to", start.to, number);
    let channel = checks.optional("channel", start.channel, channel);
    let mode = checks.optional("mode", start.mode, mode);
    let locale = checks.optional("locale", start.locale, locale);
    let brand = checks.optional("brand", start.brand, brand);
    let subject = checks.optional("subject", start.subject, label);
    let reference = checks.optional("reference", start.reference, label);
    let client_ip = checks.optional("client_ip", start.client_ip, |text| {
        text.parse().map_err(|_| invalid("must be an IPv4 or IPv6 address"))
    });
    let expires_in = checks.optional("expires_in", start.expires_in, lifetime);
    let callback_url = checks
        .optional("callback_url", start.callback_url, |text| callback(&text, &tenant.webhooks));
    let fallback = checks.optional("fallback", start.fallback, fallback).unwrap_or_default();
    let code = checks.optional("code", start.code, |text| {
        Code::parse(&text).ok_or_else(|| invalid("must be 6 to 10 digits"))
    });
    let pin = checks.optional("pin", start.pin, |text| {
        Pin::parse(&text).ok_or_else(|| invalid("must be 4 to 10 digits"))
    });
    let transaction = checks.optional("transaction", start.transaction, transaction);
    let dry_run = checks.optional("dry_run", start.dry_run, Ok);
    for (field, found) in [("extension", start.extension), ("match", start.r#match)] {
        checks.unsupported(field, &found);
    }
    checks.unknown(start.unknown.keys());
    let channel = channel.unwrap_or(Channel::Voice);
    let way = way(channel, mode);
    if way.is_none() {
        checks.refuse("mode", invalid("voice asks to confirm; sms asks for a code or a reply"));
    }
    let all: Vec<Way> = way.into_iter().chain(fallback.iter().copied()).collect();
    if all.iter().collect::<HashSet<_>>().len() < all.len() {
        checks.refuse("fallback", invalid("each way once: a second call is a resend"));
    }
    let ways = || way.into_iter().chain(fallback.iter().copied());
    if code.is_some() && !ways().any(|way| way.mode.has_code()) {
        checks.refuse("code", invalid("no way that is asked for sends a code"));
    }
    if pin.is_some() && !ways().any(|way| way.mode == Mode::Reply) {
        checks.refuse("pin", invalid("a PIN is asked for in mode reply alone"));
    }
    checks.done()?;
    // A missing or bad number, and a way that does not fit, have been blamed above.
    let blamed = || Problem::new(super::Code::InvalidRequest);
    Ok(Asked {
        request: Request {
            to: to.ok_or_else(blamed)?,
            way: way.ok_or_else(blamed)?,
            fallback,
            transaction,
            locale: locale.unwrap_or_else(|| tenant.locale.clone()),
            brand: brand.or_else(|| tenant.brand.clone()),
            subject,
            reference,
            client_ip,
            expires_in: expires_in.unwrap_or(DEFAULT_EXPIRES_IN),
            yes: tenant.texting.yes,
            callback_url,
        },
        code,
        pin,
        dry_run: dry_run.unwrap_or(false),
    })
}

/// A channel with a question that it can ask.
const fn way(channel: Channel, mode: Option<Mode>) -> Option<Way> {
    match (channel, mode) {
        (Channel::Voice, None | Some(Mode::Confirm)) => Some(Way { channel, mode: Mode::Confirm }),
        (Channel::Sms, None | Some(Mode::Code)) => Some(Way { channel, mode: Mode::Code }),
        (Channel::Sms, Some(Mode::Reply)) => Some(Way { channel, mode: Mode::Reply }),
        (Channel::Voice, Some(Mode::Code | Mode::Reply)) | (Channel::Sms, Some(Mode::Confirm)) => {
            None
        }
    }
}

fn fallback(list: Vec<Value>) -> Result<Vec<Way>, Fault> {
    const FORM: &str = "must be a list of at most 4 objects, as {\"channel\": \"sms\", \"mode\": \
                        \"code\"}";
    if list.len() > 4 {
        return Err(invalid(FORM));
    }
    list.into_iter()
        .map(|one| {
            let Value::Object(one) = one else { return Err(invalid(FORM)) };
            if one.keys().any(|key| key != "channel" && key != "mode") {
                return Err(invalid(FORM));
            }
            let word = |name: &str| match one.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(word)) => Ok(Some(word.clone())),
                Some(_) => Err(invalid(FORM)),
            };
            let channel = word("channel")?.map(channel).transpose()?;
            let mode = word("mode")?.map(mode).transpose()?;
            channel.and_then(|channel| way(channel, mode)).ok_or_else(|| invalid(FORM))
        })
        .collect()
}

fn transaction(object: Map<String, Value>) -> Result<Transaction, Fault> {
    const FORM: &str = "must have amount, currency and payee, all of them strings";
    if object.keys().any(|key| !["amount", "currency", "payee"].contains(&key.as_str())) {
        return Err(invalid(FORM));
    }
    let text = |name: &str| object.get(name).and_then(Value::as_str).ok_or_else(|| invalid(FORM));
    Transaction::new(text("amount")?, text("currency")?, text("payee")?)
        .map_err(|error| (FieldCode::InvalidValue, error.to_string().into()))
}

fn invalid(detail: &'static str) -> Fault {
    (FieldCode::InvalidValue, detail.into())
}

fn number(text: String) -> Result<PhoneNumber, Fault> {
    text.parse().map_err(|error: crate::verify::number::NumberError| {
        (FieldCode::InvalidNumber, error.to_string().into())
    })
}

pub(super) fn channel(word: String) -> Result<Channel, Fault> {
    match word.as_str() {
        "voice" => Ok(Channel::Voice),
        "sms" => Ok(Channel::Sms),
        "totp" | "push" => Err(unsupported("this channel does not work yet: use voice or sms")),
        _ => Err(invalid("must be one of: voice, sms")),
    }
}

fn mode(word: String) -> Result<Mode, Fault> {
    match word.as_str() {
        "confirm" => Ok(Mode::Confirm),
        "code" => Ok(Mode::Code),
        "reply" => Ok(Mode::Reply),
        "pin" | "match" => Err(unsupported("this mode does not work yet: use confirm")),
        _ => Err(invalid("must be one of: confirm, code, reply")),
    }
}

fn unsupported(detail: &'static str) -> Fault {
    (FieldCode::NotSupported, detail.into())
}

/// The shape of RFC 5646 section 2.1: subtags of 1 to 8 letters and digits, a language first.
fn locale(tag: String) -> Result<String, Fault> {
    let mut subtags = tag.split('-');
    let language =
        |s: &str| (2..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphabetic());
    let subtag =
        |s: &str| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric());
    if tag.len() <= 35 && subtags.next().is_some_and(language) && subtags.all(subtag) {
        Ok(tag)
    } else {
        Err(invalid("must be a BCP 47 language tag, as en-US or de"))
    }
}

fn brand(name: String) -> Result<Brand, Fault> {
    Brand::try_from(name).map_err(invalid)
}

/// A caller's own name for something.
fn label(text: String) -> Result<String, Fault> {
    if (1..=128).contains(&text.chars().count()) && text.chars().all(is_printable) {
        Ok(text)
    } else {
        Err(invalid("must have 1 to 128 printable characters"))
    }
}

/// Neither a control, nor a line break, nor a mark that turns the direction of a line.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn lifetime(seconds: u64) -> Result<u32, Fault> {
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| (10..=600).contains(seconds))
        .ok_or_else(|| invalid("must be 10 to 600 seconds"))
}

/// A URL of one of the tenant's own origins. It is read by the same parser as the client's that
/// will call it, so that both see the same host, and kept as that parser writes it.
fn callback(text: &str, webhooks: &[Endpoint]) -> Result<String, Fault> {
    let same_origin = |url: &Url| {
        webhooks
            .iter()
            .filter_map(|webhook| Url::parse(&webhook.url).ok())
            .any(|webhook| webhook.origin() == url.origin())
    };
    let bare = |url: &Url| {
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
    };
    Url::parse(text)
        .ok()
        .filter(|url| text.len() <= 2048 && bare(url) && same_origin(url))
        .map(String::from)
        .ok_or_else(|| {
            invalid(
                "must be a URL of the same origin (scheme, host and port) as one of the tenant's \
                 webhooks, without user name or fragment",
            )
        })
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use http_body_util::BodyExt as _;
    use zeroize::Zeroizing;

    use super::*;
    use crate::gateway::settings::WebhookSecret;

    fn tenant() -> Tenant {
        let webhook = |url: &str| Endpoint {
            url: url.to_owned(),
            secret: WebhookSecret::new(Zeroizing::new(vec![7; 32])),
            allow_private: false,
        };
        Tenant {
            locale: "de-DE".to_owned(),
            brand: Some(Brand::try_from("Acme".to_owned()).unwrap()),
            webhooks: vec![
                webhook("https://idp.example.com/hooks"),
                webhook("https://b.example:8443/x"),
            ],
            ..Tenant::new("acme")
        }
    }

    fn good(body: &str) -> Request {
        asked(body).request
    }

    fn asked(body: &str) -> Asked {
        read(body.as_bytes(), &tenant()).unwrap_or_else(|problem| panic!("{body}: {problem:?}"))
    }

    /// Each `field: code` that is refused.
    fn bad(body: &str) -> Vec<String> {
        let problem = read(body.as_bytes(), &tenant()).expect_err(body);
        let response = problem.into_response();
        assert_eq!(response.status(), 422, "{body}");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let shown = runtime.block_on(response.into_body().collect()).unwrap().to_bytes();
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let errors = shown["errors"].as_array().unwrap().iter();
        errors.map(|error| format!("{}: {}", text(&error["field"]), text(&error["code"]))).collect()
    }

    fn with(field: &str, value: &str) -> String {
        format!(r#"{{"to": "+14155550132", "{field}": {value}}}"#)
    }

    #[test]
    fn the_tenants_defaults_fill_the_rest() {
        let request = good(r#"{"to": "+14155550132", "brand": null}"#);
        assert_eq!(request.to.expose(), "+14155550132");
        assert_eq!(request.way, Way { channel: Channel::Voice, mode: Mode::Confirm });
        assert_eq!(request.locale, "de-DE");
        assert_eq!(request.brand.unwrap().as_str(), "Acme");
        assert_eq!(request.expires_in, 300);
        assert_eq!(request.subject, None);
    }

    #[test]
    fn every_field_is_taken() {
        let request = good(
            r#"{"to": "+14155550132", "channel": "voice", "mode": "confirm", "locale": "en-US",
                "brand": "Contoso", "subject": "user-7f3", "reference": "login-991",
                "client_ip": "2001:db8::9", "expires_in": 10,
                "callback_url": "https://idp.example.com/other?x=1"}"#,
        );
        assert_eq!(request.locale, "en-US");
        assert_eq!(request.brand.unwrap().as_str(), "Contoso");
        assert_eq!(request.subject.as_deref(), Some("user-7f3"));
        assert_eq!(request.reference.as_deref(), Some("login-991"));
        assert_eq!(request.client_ip, Some("2001:db8::9".parse().unwrap()));
        assert_eq!(request.expires_in, 10);
        assert_eq!(request.callback_url.as_deref(), Some("https://idp.example.com/other?x=1"));
    }

    #[test]
    fn all_bad_fields_are_told_together() {
        assert_eq!(
            bad(
                r#"{"to": "0132", "channel": "push", "mode": "dance", "brand": 7, "expires_in": "300",
                    "match": "27", "fallback": 1, "subject": "", "client_ip": "x", "colour": 1}"#
            ),
            [
                "to: invalid_number",
                "channel: not_supported",
                "mode: invalid_value",
                "brand: wrong_type",
                "subject: invalid_value",
                "client_ip: invalid_value",
                "expires_in: wrong_type",
                "fallback: wrong_type",
                "match: not_supported",
                "colour: unknown_field",
            ]
        );
    }

    #[test]
    fn what_is_not_a_number_to_call_is_refused_and_not_repeated() {
        for text in [
            "2025550147",
            "911",
            "+911",
            "+1202555CALL",
            "+12025550147999999",
            "+1 202 555 0147",
            "+11234567890",
            "sip:a@b",
        ] {
            let body = format!(r#"{{"to": "{text}"}}"#);
            assert_eq!(bad(&body), ["to: invalid_number"], "{text}");
            let problem = read(body.as_bytes(), &tenant()).unwrap_err();
            assert!(!format!("{problem:?}").contains(text), "{text}");
        }
        assert_eq!(bad("{}"), ["to: required"]);
        assert_eq!(bad(r#"{"to": null}"#), ["to: required"]);
        assert_eq!(bad(r#"{"to": 14155550132}"#), ["to: wrong_type"]);
    }

    #[test]
    fn words_of_the_contract_that_do_not_work_are_told_from_unknown_ones() {
        for channel in ["totp", "push"] {
            assert_eq!(
                bad(&with("channel", &format!("\"{channel}\""))),
                ["channel: not_supported"]
            );
        }
        assert_eq!(bad(&with("channel", "\"fax\"")), ["channel: invalid_value"]);
        for mode in ["pin", "match"] {
            assert_eq!(bad(&with("mode", &format!("\"{mode}\""))), ["mode: not_supported"]);
        }
        assert_eq!(bad(&with("mode", "\"Confirm\"")), ["mode: invalid_value"]);
        for field in ["extension", "match"] {
            assert_eq!(bad(&with(field, "\"1\"")), [format!("{field}: not_supported")]);
        }
    }

    #[test]
    fn each_channel_asks_what_it_can() {
        let sms = good(&with("channel", "\"sms\""));
        assert_eq!(sms.way, Way { channel: Channel::Sms, mode: Mode::Code });
        let body = r#"{"to": "+14155550132", "mode": "code"}"#;
        assert_eq!(bad(body), ["mode: invalid_value"]);
        let body = r#"{"to": "+14155550132", "channel": "sms", "mode": "confirm"}"#;
        assert_eq!(bad(body), ["mode: invalid_value"]);
    }

    #[test]
    fn codes_and_pins_go_with_ways_that_ask_for_them() {
        let asked = asked(
            r#"{"to": "+14155550132", "fallback": [{"channel": "sms", "mode": "reply"}],
                "code": "004513", "pin": "4821",
                "transaction": {"amount": "49.90", "currency": "EUR", "payee": "ACME"}}"#,
        );
        assert_eq!(asked.code.unwrap().expose(), "004513");
        assert_eq!(asked.pin.unwrap().expose(), "4821");
        let reply = Way { channel: Channel::Sms, mode: Mode::Reply };
        assert_eq!(asked.request.fallback, [reply]);
        assert_eq!(asked.request.transaction.unwrap().amount(), "49.90");
        assert_eq!(bad(&with("code", "\"004513\"")), ["code: invalid_value"]);
        assert_eq!(bad(&with("pin", "\"4821\"")), ["pin: invalid_value"]);
        for code in ["\"12345\"", "\"12345678901\"", "\"12345a\""] {
            let body = format!(r#"{{"to": "+14155550132", "channel": "sms", "code": {code}}}"#);
            assert_eq!(bad(&body), ["code: invalid_value"]);
        }
        for bad_list in [r#"[{"mode": "code"}]"#, r#"[{"channel": "sms", "x": 1}]"#, "[1]"] {
            assert_eq!(bad(&with("fallback", bad_list)), ["fallback: invalid_value"]);
        }
        let payment = r#"{"amount": "1e3", "currency": "EUR", "payee": "ACME"}"#;
        assert_eq!(bad(&with("transaction", payment)), ["transaction: invalid_value"]);
    }

    #[test]
    fn bounds_are_bounds() {
        for value in ["10", "600"] {
            good(&with("expires_in", value));
        }
        for value in ["9", "601", "0", "99999999999"] {
            assert_eq!(bad(&with("expires_in", value)), ["expires_in: invalid_value"], "{value}");
        }
        for value in ["-1", "300.0", "3e2", "true", "[300]"] {
            assert_eq!(bad(&with("expires_in", value)), ["expires_in: wrong_type"], "{value}");
        }
        good(&with("subject", &format!("\"{}\"", "ü".repeat(128))));
        for value in [&"x".repeat(129), "a\\nb", "a\\u0000", "a\\u202eb"] {
            let body = with("reference", &format!("\"{value}\""));
            assert_eq!(bad(&body), ["reference: invalid_value"], "{value}");
        }
        for value in ["de", "en-US", "zh-Hant-TW", "es-419"] {
            good(&with("locale", &format!("\"{value}\"")));
        }
        for value in ["", "e", "en_US", "en-", "-US", "e1", "../etc", "englishlang"] {
            let body = with("locale", &format!("\"{value}\""));
            assert_eq!(bad(&body), ["locale: invalid_value"], "{value}");
        }
        assert_eq!(bad(&with("brand", "\"<b>\"")), ["brand: invalid_value"]);
    }

    #[test]
    fn a_callback_stays_at_the_tenants_own_origins() {
        for url in
            ["https://idp.example.com/", "https://IDP.example.com:443/x", "https://b.example:8443"]
        {
            good(&with("callback_url", &format!("\"{url}\"")));
        }
        for url in [
            "http://idp.example.com/",
            "https://idp.example.com:8443/",
            "https://idp.example.com.evil.example/",
            "https://idp.example.com@evil.example/",
            "https://evil.example/\\\\@idp.example.com",
            "https://user@idp.example.com/",
            "https://:pw@idp.example.com/",
            "https://idp.example.com/#x",
            "https://b.example/",
            "//idp.example.com/",
            "data:text/plain,x",
            "file:///etc/passwd",
            "http://127.0.0.1/",
            "x",
            "",
        ] {
            let body = with("callback_url", &format!("\"{url}\""));
            assert_eq!(bad(&body), ["callback_url: invalid_value"], "{url}");
        }
    }
}
