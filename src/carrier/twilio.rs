//! Twilio, and the providers that speak its language: SignalWire, and Telnyx by TeXML.
//!
//! Calls are steered by documents (TwiML) that we answer with, one for each key; texts are one
//! request and its receipts. Sources: Twilio's REST API 2010-04-01 and TwiML reference,
//! SignalWire's Compatibility API, Telnyx's TeXML REST commands.

mod codes;
mod hooks;
mod lookup;
mod twiml;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::speech::{Book, BookError};
use super::wire::HttpRequest;
use super::{Carrier, Forged, Heard, Hook, Order, Reach, Receipt, What};
use crate::ambient::Timestamp;
use crate::verify::request::Channel;
use crate::verify::signal::{Cause, Reason};

/// How a provider of the family differs from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Twilio itself.
    Twilio,
    /// SignalWire's Compatibility API (cXML), under the host of the space.
    SignalWire,
    /// Telnyx's TeXML: calls only, its texts go by an API of their own.
    TelnyxTexml,
}

/// How a provider signs what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signed {
    /// HMAC over URL and form, in the first of these headers that is there.
    Hmac(&'static [&'static str]),
    /// Ed25519 over time and body.
    Ed25519,
}

/// What differs, as data.
#[derive(Clone, Copy, Debug)]
struct Ways {
    /// Its address, where all customers have the same.
    host: Option<&'static str>,
    /// Between the host and the account.
    root: &'static str,
    /// Behind the name of a list of resources.
    suffix: &'static str,
    signed: Signed,
    /// It carries texts.
    texts: bool,
    /// Calls are begun with JSON, as an application of the customer's, and with a bearer token.
    json: bool,
    /// The longest ringing it takes, in seconds.
    ring_most: u64,
    /// Its lists hold a request as soon as it was taken.
    lists_at_once: bool,
}

impl Dialect {
    const fn ways(self) -> Ways {
        let twilio = Ways {
            host: Some("https://api.twilio.com"),
            root: "/2010-04-01/Accounts/",
            suffix: ".json",
            signed: Signed::Hmac(&["x-twilio-signature"]),
            texts: true,
            json: false,
            ring_most: 600,
            lists_at_once: true,
        };
        match self {
            Self::Twilio => twilio,
            Self::SignalWire => Ways {
                host: None,
                root: "/api/laml/2010-04-01/Accounts/",
                signed: Signed::Hmac(&["x-signalwire-signature", "x-twilio-signature"]),
                ..twilio
            },
            Self::TelnyxTexml => Ways {
                host: Some("https://api.telnyx.com"),
                root: "/v2/texml/Accounts/",
                suffix: "",
                signed: Signed::Ed25519,
                texts: false,
                json: true,
                ring_most: 120,
                lists_at_once: false,
            },
        }
    }

    /// The address of the provider, where all its customers have the same.
    #[must_use]
    pub const fn default_base_url(self) -> Option<&'static str> {
        self.ways().host
    }
}

/// Who speaks in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voice {
    /// The provider's voice says the texts of [`speech`](super::speech) in the language asked for.
    Say,
    /// Our recordings, from this URL: `{base}/{tag}/{phrase}.wav`, where the tag is that of the
    /// page of [`speech`](super::speech) and the phrase is one of its names. No brand is named.
    Play(String),
}

/// A customer's account, and how to use it.
#[derive(Clone)]
pub struct Settings {
    /// Scheme and host of the API; a mock in tests. See [`Dialect::default_base_url`].
    pub base_url: String,
    /// The account (`AC…`), project or organisation.
    pub account: String,
    /// The auth token or API key: it authenticates our requests, and Twilio signs its own with it
    /// unless there is a `signing_key`.
    pub token: Zeroizing<String>,
    /// Who calls and writes: an E.164 number; for texts also a short code or a name.
    pub from: String,
    /// A messaging service (`MG…`) that chooses the sender of texts.
    pub messaging_service: Option<String>,
    /// The TeXML application that calls are begun as; Telnyx only.
    pub application: Option<String>,
    /// Which provider.
    pub dialect: Dialect,
    /// Have the provider guess whether a machine answered. Its guess is a label, nothing more. It
    /// is off when an extension is dialled, as the provider cannot do both.
    pub machine_detection: bool,
    /// Who speaks.
    pub voice: Voice,
    /// What the provider's requests are signed with: SignalWire's signing key, Telnyx's public key
    /// in base64, or a key of Twilio's webhook rules.
    pub signing_key: Option<Zeroizing<String>>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("dialect", &self.dialect)
            .field("base_url", &self.base_url)
            .field("account", &self.account)
            .field("machine_detection", &self.machine_detection)
            .field("voice", &self.voice)
            .finish_non_exhaustive()
    }
}

/// Why an account cannot be used as it is configured. Each begins with the key that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not scheme and host.
    #[error("base_url: write scheme and host, as https://api.twilio.com")]
    BaseUrl,
    /// Not what can stand in a path.
    #[error("account: letters, digits, - and _ only")]
    Account,
    /// There is none.
    #[error("token: it is missing")]
    Token,
    /// Nobody would be calling or writing.
    #[error("from: write an E.164 number; for texts a short code or a name will do")]
    From,
    /// Telnyx wants to know it.
    #[error("application: Telnyx begins calls as a TeXML application; write its id")]
    Application,
    /// The provider does not sign with the token.
    #[error("signing_key: this provider does not sign with the token; write its signing key")]
    NoSigningKey,
    /// It is none of Ed25519.
    #[error("signing_key: write the public key of 32 bytes in base64, as the portal shows it")]
    SigningKey,
    /// Recordings would come from nowhere.
    #[error("voice: write where the recordings are, as https://verify.example.com/audio")]
    Voice,
    /// The texts to speak are broken.
    #[error(transparent)]
    Speech(#[from] BookError),
}

/// An account with Twilio or a provider like it.
#[derive(Clone)]
pub struct Twilio {
    settings: Settings,
    ways: Ways,
    book: Book,
    /// `…/Accounts/{account}/`.
    root: String,
}

impl fmt::Debug for Twilio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Twilio").field(&self.settings).finish()
    }
}

impl Twilio {
    /// The account, if it can be used as it is configured.
    ///
    /// # Errors
    /// Which key is wrong.
    pub fn new(mut settings: Settings) -> Result<Self, SettingsError> {
        let ways = settings.dialect.ways();
        let base = settings.base_url.trim_end_matches('/').to_owned();
        if !is_address(&base) {
            return Err(SettingsError::BaseUrl);
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if settings.account.is_empty() || !settings.account.chars().all(word) {
            return Err(SettingsError::Account);
        }
        if settings.token.is_empty() {
            return Err(SettingsError::Token);
        }
        if settings.from.is_empty() && settings.messaging_service.is_none() {
            return Err(SettingsError::From);
        }
        if ways.json && settings.application.as_ref().is_none_or(String::is_empty) {
            return Err(SettingsError::Application);
        }
        match (settings.dialect, &settings.signing_key) {
            (Dialect::Twilio, _) => {}
            (Dialect::SignalWire | Dialect::TelnyxTexml, None) => {
                return Err(SettingsError::NoSigningKey);
            }
            (Dialect::SignalWire, Some(key)) if key.is_empty() => {
                return Err(SettingsError::NoSigningKey);
            }
            (Dialect::SignalWire, Some(_)) => {}
            (Dialect::TelnyxTexml, Some(key)) => {
                if !BASE64.decode(key.as_bytes()).is_ok_and(|key| key.len() == 32) {
                    return Err(SettingsError::SigningKey);
                }
            }
        }
        if let Voice::Play(audio) = &mut settings.voice {
            audio.truncate(audio.trim_end_matches('/').len());
            if !audio.starts_with("https://") && !audio.starts_with("http://") {
                return Err(SettingsError::Voice);
            }
        }
        let root = format!("{base}{}{}/", ways.root, settings.account);
        Ok(Self { settings, ways, book: Book::compiled()?, root })
    }

    /// Whether `from` can place calls: a name and a short code cannot.
    fn can_call(&self) -> bool {
        let digits = self.settings.from.strip_prefix('+').unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// The address of a list of resources: `Calls`, `Messages`.
    fn list(&self, name: &str) -> String {
        format!("{}{name}{}", self.root, self.ways.suffix)
    }

    /// The same with the credentials.
    fn authorized(&self, request: HttpRequest) -> HttpRequest {
        let Settings { account, token, .. } = &self.settings;
        let value = if self.ways.json {
            Zeroizing::new(format!("Bearer {}", token.as_str()))
        } else {
            let both = Zeroizing::new(format!("{account}:{}", token.as_str()));
            Zeroizing::new(format!("Basic {}", BASE64.encode(both.as_bytes())))
        };
        request.header("authorization", value.as_str()).header("accept", "application/json")
    }

    fn call(
        &self,
        order: &Order<'_>,
        extension: Option<&str>,
        ring: Duration,
        limit: Duration,
    ) -> Result<HttpRequest, Cause> {
        if !self.can_call() {
            let why = "the sender of this carrier is no number that can place calls";
            return Err(Cause::because(Reason::CarrierError, why));
        }
        let keys = extension.map(send_digits).transpose()?;
        if self.ways.json {
            return self.application_call(order, keys.is_some(), ring, limit);
        }
        let (url, status) = (part(order.hooks, "voice"), part(order.hooks, "status"));
        let amd = part(order.hooks, "amd");
        let (ring, limit) = (self.ring_seconds(ring).to_string(), limit_seconds(limit).to_string());
        let mut fields = vec![
            ("To", order.to.expose()),
            ("From", &self.settings.from),
            ("Url", &url),
            ("Method", "POST"),
            ("StatusCallback", &status),
            ("StatusCallbackMethod", "POST"),
            ("StatusCallbackEvent", "initiated"),
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
            ("Timeout", &ring),
            ("TimeLimit", &limit),
        ];
        if let Some(keys) = &keys {
            fields.push(("SendDigits", keys));
        } else if self.settings.machine_detection {
            fields.extend([
                ("MachineDetection", "Enable"),
                ("AsyncAmd", "true"),
                ("AsyncAmdStatusCallback", amd.as_str()),
                ("AsyncAmdStatusCallbackMethod", "POST"),
            ]);
        }
        Ok(self.authorized(HttpRequest::form(self.list("Calls"), &fields)))
    }

    /// The same for Telnyx. A guess of a machine would stop what is being spoken by default: it
    /// must not, because it is a guess.
    fn application_call(
        &self,
        order: &Order<'_>,
        has_extension: bool,
        ring: Duration,
        limit: Duration,
    ) -> Result<HttpRequest, Cause> {
        if has_extension {
            let why = "this carrier cannot dial an extension";
            return Err(Cause::because(Reason::CarrierError, why));
        }
        let mut body = json!({
            "ApplicationSid": self.settings.application,
            "To": order.to.expose(),
            "From": self.settings.from,
            "Url": part(order.hooks, "voice"),
            "UrlMethod": "POST",
            "StatusCallback": part(order.hooks, "status"),
            "StatusCallbackMethod": "POST",
            "StatusCallbackEvent": "initiated ringing answered completed",
            "Timeout": self.ring_seconds(ring),
            "TimeLimit": limit_seconds(limit),
        });
        if let (true, Some(fields)) = (self.settings.machine_detection, body.as_object_mut()) {
            for (name, value) in [
                ("MachineDetection", json!("Enable")),
                ("AsyncAmd", json!(true)),
                ("AsyncAmdStatusCallback", json!(part(order.hooks, "amd"))),
                ("AsyncAmdStatusCallbackMethod", json!("POST")),
                ("CancelPlaybackOnMachineDetection", json!(false)),
                ("CancelPlaybackOnDetectMessageEnd", json!(false)),
            ] {
                fields.insert(name.to_owned(), value);
            }
        }
        Ok(self.authorized(HttpRequest::json(self.list("Calls"), &body)))
    }

    fn text(&self, order: &Order<'_>, body: &str, valid: Duration) -> Result<HttpRequest, Cause> {
        if !self.ways.texts {
            let why = "this carrier places calls only";
            return Err(Cause::because(Reason::CarrierError, why));
        }
        let receipt = part(order.hooks, "receipt");
        // Four hours are the most that every provider of the family takes.
        let valid = valid.as_secs().clamp(1, 14_400).to_string();
        let sender = match &self.settings.messaging_service {
            Some(service) => ("MessagingServiceSid", service.as_str()),
            None => ("From", self.settings.from.as_str()),
        };
        let fields = [
            ("To", order.to.expose()),
            sender,
            ("Body", body),
            ("StatusCallback", &receipt),
            ("ValidityPeriod", &valid),
        ];
        Ok(self.authorized(HttpRequest::form(self.list("Messages"), &fields)))
    }

    fn ring_seconds(&self, ring: Duration) -> u64 {
        ring.as_secs().clamp(5, self.ways.ring_most)
    }
}

impl Carrier for Twilio {
    fn reach(&self) -> Reach {
        let texts = self.ways.texts;
        // A name cannot be written to.
        let from = &self.settings.from;
        let answerable = from.strip_prefix('+').unwrap_or(from);
        let number = !answerable.is_empty() && answerable.bytes().all(|b| b.is_ascii_digit());
        Reach {
            voice: self.can_call(),
            sms: texts,
            replies: texts && (number || self.settings.messaging_service.is_some()),
            receipts: texts,
            calls_back: true,
            says_all: self.settings.voice == Voice::Say,
        }
    }

    fn order(&self, order: &Order<'_>) -> Result<HttpRequest, Cause> {
        match order.what {
            What::Call { extension, ring, limit, .. } => self.call(order, extension, ring, limit),
            What::Text { body, valid } => self.text(order, body.expose(), valid),
        }
    }

    fn receipt(&self, _: Channel, status: u16, body: &[u8]) -> Receipt {
        let value: Option<Value> = serde_json::from_slice(body).ok();
        match status {
            200..=299 => {
                let sid = value.as_ref().and_then(|value| value.get("sid")?.as_str());
                match sid {
                    Some(sid) if is_sid(sid) => Receipt::Taken(sid.to_owned()),
                    Some(_) | None => Receipt::Unclear,
                }
            }
            408 => Receipt::Unclear,
            400..=499 => Receipt::Refused(codes::refused(status, value.as_ref())),
            _ => Receipt::Unclear,
        }
    }

    fn find(&self, order: &Order<'_>) -> Option<HttpRequest> {
        Some(self.authorized(lookup::request(self, order)))
    }

    fn found(&self, order: &Order<'_>, status: u16, body: &[u8]) -> Receipt {
        lookup::result(order, self.ways.lists_at_once, status, body)
    }

    fn end(&self, handle: &str, _now: Timestamp) -> Option<HttpRequest> {
        // A text cannot be called back.
        if !is_sid(handle) || handle.starts_with("SM") || handle.starts_with("MM") {
            return None;
        }
        let url = format!("{}Calls/{handle}{}", self.root, self.ways.suffix);
        Some(self.authorized(HttpRequest::form(url, &[("Status", "completed")])))
    }

    fn hear(&self, hook: &Hook<'_>) -> Result<Heard, Forged> {
        hooks::hear(self, hook)
    }
}

/// Where a part of an attempt is reported.
fn part(hooks: &str, name: &str) -> String {
    format!("{hooks}/{name}")
}

/// Scheme and host, no more.
fn is_address(base: &str) -> bool {
    let host = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && !host.contains(|c: char| "/?#@\\\"<>".contains(c) || c <= ' ')
    })
}

/// Whether this is a name of a call or text as providers make them (`CA…`, a UUID, `v3:…`), which
/// can stand in a path as it is.
fn is_sid(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:".contains(&byte);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(plain)
}

/// Keys as `SendDigits` wants them: pauses in `w`, half a second each.
///
/// # Errors
/// When something else than keys and pauses is among them, or they are more than 32.
fn send_digits(keys: &str) -> Result<String, Cause> {
    let mut sent = String::new();
    for key in keys.chars() {
        match key {
            '0'..='9' | '*' | '#' => sent.push(key),
            ',' | 'w' => sent.push('w'),
            'W' => sent.push_str("ww"),
            _ => sent.push('?'),
        }
    }
    if sent.contains('?') || sent.len() > 32 {
        let why = "the extension has keys that this carrier cannot dial, or more than 32";
        return Err(Cause::because(Reason::InvalidNumber, why));
    }
    Ok(sent)
}

/// At least half a minute, at most four hours: what every provider of the family takes.
fn limit_seconds(limit: Duration) -> u64 {
    limit.as_secs().clamp(30, 14_400)
}
