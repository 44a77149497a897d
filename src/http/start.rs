//! The body that starts a verification: from JSON to a checked [`Request`], or every bad field.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::json::{self, Checks, Fault, Field};
use super::problem::{FieldCode, Problem};
use crate::gateway::Asked;
use crate::gateway::settings::{Calling, Endpoint, Tenant, address};
use crate::verify::code::{self, Code, PIN_IN_REPLY, Pin, Shown};
use crate::verify::extension::{Extension, ExtensionError};
use crate::verify::language;
use crate::verify::number::PhoneNumber;
use crate::verify::request::{Brand, Channel, Mode, Request, Way};
use crate::verify::transaction::Transaction;

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
    /// What is dialled once the number has answered, where that is a company's: keys `0`-`9` `*` `#`,
    /// and pauses `,` (2 s), `W` (1 s), `w` (0.5 s). Without a pause at its beginning, or with an `@`
    /// there, the keys follow the last word of the auto-attendant. By trunks only; with a fallback by
    /// text, the text goes to the number itself.
    #[schema(value_type = Option<String>, pattern = r"^@?[0-9*#,wW]+$", max_length = 32, example = "204")]
    #[serde(default)]
    extension: Field<String>,
    /// How to reach the person. `voice`: a phone call; `sms`: a text.
    #[schema(value_type = Option<String>, pattern = "^(voice|sms)$", default = "voice", example = "voice")]
    #[serde(default)]
    channel: Field<String>,
    /// What to ask. By voice, `confirm`: press `#`; an approval proves that somebody held the phone;
    /// this alone is not out-of-band authentication in the sense of NIST SP 800-63B-4. `pin`: the
    /// person enters their own `pin`, then `#`. `match`: the person enters the digits that the
    /// sign-in page shows (`match` of the answer), then `#`; a mailbox cannot know them. `code`: the
    /// person presses `#`, hears a code, and types it into the page. `match` and `code` move a secret
    /// between page and phone, as NIST SP 800-63B-4 wants it. By text, `code`: a code is typed into
    /// the page or sent back; `reply`: only the reply counts. Left out: `confirm` by voice, `code` by
    /// text.
    #[schema(value_type = Option<String>, pattern = "^(confirm|pin|match|code|reply)$", example = "confirm")]
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
    /// (scheme, host and port) of one of them, and no user name or fragment.
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
    /// The person's own PIN, 4 to 16 digits: in mode `pin` it is entered on the phone, and in mode
    /// `reply` it must follow the code (there it has at most 10). It is kept sealed, and told to
    /// nobody.
    #[schema(value_type = Option<String>, pattern = "^[0-9]{4,16}$", example = "4821")]
    #[serde(default)]
    pin: Field<String>,
    /// Whether the call says, after the right PIN, that it will expire soon.
    #[schema(value_type = Option<bool>, default = false)]
    #[serde(default)]
    pin_expires: Field<bool>,
    /// The digits that the sign-in page shows, 2 to 6, in place of digits of ours: in mode `match`
    /// they are entered on the phone.
    #[schema(value_type = Option<String>, pattern = "^[0-9]{2,6}$", example = "274")]
    #[serde(default)]
    r#match: Field<String>,
    /// Whether a call is slower, waits longer, and repeats its question until the end; the tenant's
    /// word when left out.
    #[schema(value_type = Option<bool>, example = false)]
    #[serde(default)]
    accessible: Field<bool>,
    /// What is approved, where it is a payment: it is named in the text, the code and the verdict are
    /// bound to it, and a check must repeat it. On a call by a carrier whose own voice speaks it is said, and `#`
    /// agrees to it; no recording says to whom it goes, so trunks do not ask for it.
    #[schema(value_type = Option<Payment>)]
    #[serde(default)]
    transaction: Field<Map<String, Value>>,
    /// Only check whether it could be done: nothing is kept or sent, and the answer is 200 with
    /// `"dry_run": true`.
    #[schema(value_type = Option<bool>, default = false)]
    #[serde(default)]
    dry_run: Field<bool>,
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
    /// `confirm`, `pin`, `match` or `code` by voice; `code` or `reply` by text.
    #[schema(value_type = Option<String>, pattern = "^(confirm|pin|match|code|reply)$", example = "code")]
    mode: String,
}

/// A payment.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it is only described: the fields are read one by one")]
pub(super) struct Payment {
    /// Digits, and up to four behind a point. Zeros at its ends say nothing: 49.9 is 49.90.
    #[schema(pattern = r"^[0-9]{1,12}([.][0-9]{1,4})?$", example = "49.90")]
    amount: String,
    /// ISO 4217; capitals or not.
    #[schema(pattern = "^[A-Za-z]{3}$", example = "EUR")]
    currency: String,
    /// Who gets it: 1 to 32 letters, digits, spaces and `. - & '`. Spaces at its ends, and how accents are
    /// put together (NFC), make no difference.
    #[schema(example = "ACME")]
    payee: String,
}

/// Reads the body of a start for this tenant.
pub(super) fn read(body: &[u8], tenant: &Tenant) -> Result<Asked, Problem> {
    let start: Start = json::fields(body)?;
    let mut checks = Checks::default();
    let to = checks.required("to", start.to, number);
    let extension = checks.optional("extension", start.extension, extension);
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
    let has_pin = !matches!(start.pin, Field::Absent);
    let pin = checks.optional("pin", start.pin, |text| pin(&text, &tenant.calling));
    let pin_expires = checks.optional("pin_expires", start.pin_expires, Ok);
    let shown = checks.optional("match", start.r#match, |text| shown(&text, &tenant.calling));
    let accessible = checks.optional("accessible", start.accessible, Ok);
    let transaction = checks.optional("transaction", start.transaction, transaction);
    let dry_run = checks.optional("dry_run", start.dry_run, Ok);
    checks.unknown(start.unknown.keys());
    let channel = channel.unwrap_or(Channel::Voice);
    let way = way(channel, mode);
    if way.is_none() {
        checks.refuse("mode", invalid(MODES));
    }
    let all: Vec<Way> = way.into_iter().chain(fallback.iter().copied()).collect();
    if all.iter().collect::<HashSet<_>>().len() < all.len() {
        checks.refuse("fallback", invalid("each way once: a second call is a resend"));
    }
    let given = Given {
        code: code.is_some(),
        pin: has_pin.then(|| pin.as_ref().map_or(0, |pin| pin.expose().len())),
        pin_expires: pin_expires.unwrap_or(false),
        shown: shown.is_some(),
        accessible: accessible.unwrap_or(false),
        extension: extension.is_some(),
    };
    if way.is_some() {
        given.must_fit(&all, &mut checks);
    }
    checks.done()?;
    // A missing or bad number, and a way that does not fit, have been blamed above.
    let blamed = || Problem::new(super::Code::InvalidRequest);
    let to = to.ok_or_else(blamed)?;
    Ok(Asked {
        request: Request {
            extension,
            way: way.ok_or_else(blamed)?,
            fallback,
            transaction,
            // Whoever names a language has chosen it.
            languages: match &locale {
                Some(_) => Vec::new(),
                None => tenant.calling.languages.clone(),
            },
            locale: locale
                .or_else(|| tenant.locale.clone())
                .unwrap_or_else(|| language::of(to.country())),
            to,
            brand: brand.or_else(|| tenant.brand.clone()),
            subject,
            reference,
            client_ip,
            expires_in: expires_in.unwrap_or(DEFAULT_EXPIRES_IN),
            yes: tenant.texting.yes,
            callback_url,
            accessible: accessible.unwrap_or(tenant.calling.accessible),
            pin_expires: pin_expires.unwrap_or(false),
            traceparent: None,
            tracestate: None,
        },
        code,
        pin,
        shown,
        dry_run: dry_run.unwrap_or(false),
    })
}

/// Which modes go with which channel.
const MODES: &str = "voice asks in mode confirm, pin, match or code; sms in mode code or reply";

/// What of a request goes with some ways alone.
struct Given {
    code: bool,
    /// How long it is, as far as it is one.
    pin: Option<usize>,
    pin_expires: bool,
    shown: bool,
    accessible: bool,
    extension: bool,
}

impl Given {
    /// Each secret goes with a way that asks for it, and each way has what it asks for.
    fn must_fit(&self, ways: &[Way], checks: &mut Checks) {
        let asks = |mode| ways.iter().any(|way| way.mode == mode);
        if self.code && !ways.iter().any(|way| way.mode.has_code()) {
            checks.refuse("code", invalid("no way that is asked for has a code: write mode code"));
        }
        match self.pin {
            Some(_) if !asks(Mode::Pin) && !asks(Mode::Reply) => {
                checks.refuse("pin", invalid("a PIN is asked for in mode pin or reply alone"));
            }
            Some(length) if asks(Mode::Reply) && length > PIN_IN_REPLY => {
                checks.refuse("pin", invalid("a PIN that follows a code has at most 10 digits"));
            }
            None if asks(Mode::Pin) => {
                let must = "must be there in mode pin: it is what is entered is compared with";
                checks.refuse("pin", (FieldCode::Required, must.into()));
            }
            Some(_) | None => {}
        }
        if self.pin_expires && !asks(Mode::Pin) {
            checks.refuse("pin_expires", invalid("goes with mode pin alone"));
        }
        if self.shown && !asks(Mode::Match) {
            checks.refuse("match", invalid("digits are entered in mode match alone"));
        }
        let calls = ways.iter().any(|way| way.channel == Channel::Voice);
        if self.extension && !calls {
            checks.refuse("extension", invalid("is dialled in calls alone: write channel voice"));
        }
        if self.accessible && !calls {
            checks.refuse("accessible", invalid("goes with calls alone: write channel voice"));
        }
    }
}

/// A channel with a question that it can ask.
const fn way(channel: Channel, mode: Option<Mode>) -> Option<Way> {
    let mode = match (channel, mode) {
        (Channel::Voice, None) => Mode::Confirm,
        (Channel::Sms, None) => Mode::Code,
        (Channel::Voice, Some(mode @ (Mode::Confirm | Mode::Pin | Mode::Match | Mode::Code)))
        | (Channel::Sms, Some(mode @ (Mode::Code | Mode::Reply))) => mode,
        (Channel::Voice, Some(Mode::Reply))
        | (Channel::Sms, Some(Mode::Confirm | Mode::Pin | Mode::Match)) => return None,
    };
    Some(Way { channel, mode })
}

fn pin(text: &str, calling: &Calling) -> Result<Pin, Fault> {
    let (least, most) = (calling.pin_digits, code::PIN.end());
    let long_enough = |pin: &Pin| pin.expose().len() >= usize::from(least);
    Pin::parse(text).filter(long_enough).ok_or_else(|| {
        (FieldCode::InvalidValue, format!("must be {least} to {most} digits").into())
    })
}

fn shown(text: &str, calling: &Calling) -> Result<Shown, Fault> {
    let shown = Shown::parse(text).ok_or_else(|| invalid("must be 2 to 6 digits"))?;
    if calling.fraud_keys.are(shown.expose()) {
        return Err(invalid("these digits and # report fraud: show others"));
    }
    Ok(shown)
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

pub(super) fn transaction(object: Map<String, Value>) -> Result<Transaction, Fault> {
    const FORM: &str = "must have amount, currency and payee, all of them strings";
    if object.keys().any(|key| !["amount", "currency", "payee"].contains(&key.as_str())) {
        return Err(invalid(FORM));
    }
    let text = |name: &str| object.get(name).and_then(Value::as_str).ok_or_else(|| invalid(FORM));
    Transaction::new(text("amount")?, text("currency")?, text("payee")?)
        .map_err(|error| (FieldCode::InvalidValue, error.to_string().into()))
}

fn extension(text: String) -> Result<Extension, Fault> {
    text.parse()
        .map_err(|error: ExtensionError| (FieldCode::InvalidValue, error.to_string().into()))
}

fn invalid(detail: impl Into<Cow<'static, str>>) -> Fault {
    (FieldCode::InvalidValue, detail.into())
}

pub(super) fn number(text: String) -> Result<PhoneNumber, Fault> {
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
        "pin" => Ok(Mode::Pin),
        "match" => Ok(Mode::Match),
        "code" => Ok(Mode::Code),
        "reply" => Ok(Mode::Reply),
        _ => Err(invalid("must be one of: confirm, pin, match, code, reply")),
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

/// A URL of one of the tenant's own origins, where events may go. It is read by the same parser as the
/// client's that will call it, so that both see the same host, and kept as that parser writes it.
fn callback(text: &str, webhooks: &[Endpoint]) -> Result<String, Fault> {
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    let bounds = webhooks.first().map(|webhook| webhook.bounds.clone()).unwrap_or_default();
    let url = address::read(text, &bounds).map_err(|why| invalid(why.to_string()))?;
    let own = webhooks.iter().any(|webhook| origin(&webhook.url) == Some(url.origin()));
    if !own || text.len() > 2048 {
        return Err(invalid(
            "must be a URL of at most 2048 characters, of the same origin (scheme, host and port) \
             as one of the tenant's webhooks",
        ));
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use http_body_util::BodyExt as _;
    use zeroize::Zeroizing;

    use super::*;
    use crate::gateway::settings::WebhookSecret;
    use crate::media::script::FraudKeys;

    fn tenant() -> Tenant {
        let webhook = |url| Endpoint::new(url, WebhookSecret::new(Zeroizing::new(vec![7; 32])));
        Tenant {
            locale: Some("de-DE".to_owned()),
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
                    "match": "2", "fallback": 1, "subject": "", "client_ip": "x", "colour": 1}"#
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
                "match: invalid_value",
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
        assert_eq!(bad(&with("mode", "\"Confirm\"")), ["mode: invalid_value"]);
        let extension = |text: &str| with("extension", &format!("\"{text}\""));
        for bad_one in ["", "x204", "20 4", ",", "204A", &"1".repeat(33)] {
            assert_eq!(bad(&extension(bad_one)), ["extension: invalid_value"], "{bad_one}");
        }
        for one in ["204", "@204", ",,2*4#", "1wW9"] {
            let read = good(&extension(one)).extension;
            assert_eq!(read, Some(one.parse().unwrap()), "{one}");
        }
        let by_text = r#"{"to":"+14155550132","channel":"sms","extension":"204"}"#;
        assert_eq!(bad(by_text), ["extension: invalid_value"]);
    }

    #[test]
    fn each_channel_asks_what_it_can() {
        let sms = good(&with("channel", "\"sms\""));
        assert_eq!(sms.way, Way { channel: Channel::Sms, mode: Mode::Code });
        for (mode, more) in
            [("confirm", ""), ("pin", r#", "pin": "4821""#), ("match", ""), ("code", "")]
        {
            let body = format!(r#"{{"to": "+14155550132", "mode": "{mode}"{more}}}"#);
            assert_eq!(good(&body).way.mode.as_str(), mode);
        }
        let body = r#"{"to": "+14155550132", "mode": "reply"}"#;
        assert_eq!(bad(body), ["mode: invalid_value"]);
        for mode in ["confirm", "match", "pin"] {
            let body = format!(r#"{{"to": "+14155550132", "channel": "sms", "mode": "{mode}"}}"#);
            assert_eq!(bad(&body), ["mode: invalid_value"]);
        }
    }

    /// What is refused of a start with this mode, which is `code` by text where it is the second.
    fn refused(mode: &str, more: &str) -> Vec<String> {
        bad(&format!(r#"{{"to": "+14155550132", "mode": "{mode}", {more}}}"#))
    }

    #[test]
    fn a_pin_goes_with_modes_that_ask_for_it_and_those_have_one() {
        let asked =
            asked(r#"{"to": "+14155550132", "mode": "pin", "pin": "4821", "pin_expires": true}"#);
        assert_eq!(asked.pin.unwrap().expose(), "4821");
        assert!(asked.request.pin_expires);
        assert_eq!(bad(&with("mode", "\"pin\"")), ["pin: required"]);
        for pin in ["482", "48a1", "00000000000000000", ""] {
            let body = format!(r#"{{"to": "+14155550132", "mode": "pin", "pin": "{pin}"}}"#);
            assert_eq!(bad(&body), ["pin: invalid_value"], "{pin}");
        }
        assert_eq!(refused("pin", r#""pin": 4821"#), ["pin: wrong_type"]);
        assert_eq!(refused("match", r#""pin": "4821""#), ["pin: invalid_value"]);
        assert_eq!(refused("match", r#""pin_expires": true"#), ["pin_expires: invalid_value"]);
        let reply = r#""pin": "48214821482", "fallback": [{"channel": "sms", "mode": "reply"}]"#;
        assert_eq!(refused("pin", reply), ["pin: invalid_value"]);
    }

    #[test]
    fn digits_to_show_go_with_mode_match() {
        let body = r#"{"to": "+14155550132", "mode": "match", "match": "27"}"#;
        assert_eq!(asked(body).shown.unwrap().expose(), "27");
        assert_eq!(asked(&with("mode", "\"match\"")).shown, None);
        assert_eq!(bad(&with("match", "\"27\"")), ["match: invalid_value"]);
        for wrong in [r#""match": "2""#, r#""match": "2745678""#, r#""match": "2x""#] {
            assert_eq!(refused("match", wrong), ["match: invalid_value"], "{wrong}");
        }
        assert_eq!(refused("match", r#""match": 27"#), ["match: wrong_type"]);
        let fraud_keys = FraudKeys::parse("99#").unwrap();
        let tenant = Tenant { calling: Calling { fraud_keys, ..Calling::default() }, ..tenant() };
        let body = br#"{"to": "+14155550132", "mode": "match", "match": "99"}"#;
        assert!(read(body, &tenant).is_err());
    }

    #[test]
    fn a_code_goes_by_voice_too_and_a_longer_call_is_a_call() {
        let body =
            r#"{"to": "+14155550132", "mode": "code", "code": "004513", "accessible": true}"#;
        let asked = asked(body);
        assert_eq!(asked.code.unwrap().expose(), "004513");
        assert!(asked.request.accessible);
        let body = r#"{"to": "+14155550132", "channel": "sms", "accessible": true}"#;
        assert_eq!(bad(body), ["accessible: invalid_value"]);
        assert_eq!(refused("confirm", r#""accessible": "yes""#), ["accessible: wrong_type"]);
    }

    #[test]
    fn languages_are_offered_to_whoever_has_not_chosen() {
        let languages = vec!["en-US".to_owned(), "es-MX".to_owned()];
        let calling = Calling { languages: languages.clone(), ..Calling::default() };
        let tenant = Tenant { calling, ..tenant() };
        let read = |body: &str| read(body.as_bytes(), &tenant).unwrap().request;
        assert_eq!(read(r#"{"to": "+14155550132"}"#).languages, languages);
        assert!(read(&with("locale", "\"es-MX\"")).languages.is_empty());
    }

    #[test]
    fn codes_and_pins_go_with_ways_that_ask_for_them() {
        let asked = asked(
            r#"{"to": "+14155550132", "channel": "sms", "mode": "reply",
                "fallback": [{"channel": "sms", "mode": "code"}], "code": "004513", "pin": "4821",
                "transaction": {"amount": "49.90", "currency": "EUR", "payee": "ACME"}}"#,
        );
        assert_eq!(asked.code.unwrap().expose(), "004513");
        assert_eq!(asked.pin.unwrap().expose(), "4821");
        let code = Way { channel: Channel::Sms, mode: Mode::Code };
        assert_eq!(asked.request.fallback, [code]);
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
