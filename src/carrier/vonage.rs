//! Vonage: Voice API v1 and Messages API v1 (<https://developer.vonage.com>; field names as in its
//! Python SDK 4.9.1).
//!
//! | what | request | what comes back |
//! |---|---|---|
//! | call | `POST /v1/calls` with the first NCCO | its states at `…/event`, keys at `…/keys` |
//! | text | `POST /v1/messages` | its states at `…/receipt` |
//! | end | `PUT /v1/calls/{uuid}` | |
//! | look-up | `GET /v1/calls?date_start=…` | calls, those to our number from ours |
//!
//! **How keys are heard.** The NCCO is a `talk` with `bargeIn`, which a key interrupts, and an
//! `input` of one key. The key, or its absence after `timeOut` seconds, is posted to `…/keys`, and
//! our answer is the next NCCO: ask again, wait for another key, or say goodbye, after which the
//! NCCO is done and Vonage hangs up. The dialogue's state stands in the query of the `input`'s own
//! `eventUrl`.
//!
//! The `input` is **synchronous** (`maxDigits` 1), not `mode: asynchronous`. Asynchronous keys are
//! posted one by one while the NCCO runs on, each to the same URL: after a quick `0#` the `#`
//! still comes with the state from before `0`, and would turn a report of fraud into consent. A
//! silence has no event there either. An `input` of one key ends with it, so that the next key is
//! heard by the next `input`, with its state, or not at all: never wrongly.
//!
//! **`#` is a key like any other** because `submitOnHash` is false, which is the default and is
//! sent nevertheless; otherwise it would only submit, and a lone `#` look like silence. No digits
//! are silence, timed out or not, and never consent.
//!
//! **An extension** is the endpoint's `dtmfAnswer`; a `wait` of its length comes before the talk.
//!
//! **Authenticity**: a JWT in `Authorization`, HS256 and nothing else, by the account's signature
//! secret; issued within five minutes, for this account or application, over the SHA-256 of this
//! body. Its `jti` is [`Heard::once`]. Ours are RS256 by the application's key; their `jti` is made
//! from what they are for.

mod token;
mod words;

use std::fmt;
use std::time::Duration;

use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::common::{lasts, ok, segment, text};
use super::keypad::{Keypad, Opening, Turn};
use super::spoken::{Phrase, language, say};
use super::wire::{HttpAnswer, HttpRequest};
use super::{
    About, Ask, Carrier, Forged, Heard, Hook, News, Order, Reach, Receipt, Scene, Text, What,
};
use crate::ambient::Timestamp;
use crate::verify::request::Channel;
use crate::verify::signal::{Cause, Reason};

/// Where the APIs are.
pub const BASE_URL: &str = "https://api.nexmo.com";

/// How long to listen, in seconds; as in our own calls, and the most that `timeOut` takes.
const LISTEN: u64 = 10;

/// How an account at Vonage is used.
pub struct Settings {
    /// Where the APIs are, without a slash at its end: [`BASE_URL`].
    pub base_url: String,
    /// The id of the application that calls and writes.
    pub application_id: String,
    /// The application's private key: RSA, PEM.
    pub private_key: Zeroizing<String>,
    /// The account's API key, as hooks name it; no secret.
    pub api_key: String,
    /// The account's signature secret, at least 16 bytes.
    pub signature_secret: Zeroizing<String>,
    /// Who calls and writes: a number, with or without plus, or for texts a name.
    pub from: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("base_url", &self.base_url)
            .field("application_id", &self.application_id)
            .field("api_key", &self.api_key)
            .finish_non_exhaustive()
    }
}

/// An account at Vonage.
pub struct Vonage {
    settings: Settings,
    key: EncodingKey,
}

impl fmt::Debug for Vonage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Vonage").field(&self.settings).finish()
    }
}

impl Vonage {
    /// The account of these settings.
    ///
    /// # Errors
    /// When the private key cannot sign, or the signature secret is too short to prove anything.
    pub fn new(settings: Settings) -> Result<Self, &'static str> {
        const BAD_KEY: &str = "private_key is not an RSA key of 2048 bits or more in PEM";
        if settings.signature_secret.len() < 16 {
            return Err("signature_secret is shorter than 16 bytes");
        }
        let key = EncodingKey::from_rsa_pem(settings.private_key.as_bytes());
        let key = key.map_err(|_| BAD_KEY)?;
        // Only a signature shows that the key is whole.
        token::ours(&key, &settings.application_id, "", Timestamp::from_secs(0)).ok_or(BAD_KEY)?;
        Ok(Self { settings, key })
    }

    /// A request with our token, which is good for this purpose at this time.
    fn signed(&self, request: HttpRequest, purpose: &str, at: Timestamp) -> Option<HttpRequest> {
        let token = token::ours(&self.key, &self.settings.application_id, purpose, at)?;
        let bearer = format!("Bearer {}", token.as_str());
        Some(request.header("authorization", bearer))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.base_url)
    }

    fn hang_up(&self, handle: &str, now: Timestamp) -> Option<HttpRequest> {
        let url = self.url(&format!("/v1/calls/{}", segment(handle)));
        let request = HttpRequest::json(url, &json!({ "action": "hangup" }));
        let request = HttpRequest { method: "PUT", ..request };
        self.signed(request, &format!("hangup {handle} {}", now.as_micros()), now)
    }

    /// What a call's state says.
    fn event(&self, hook: &Hook<'_>, body: &Value, heard: &mut Heard) {
        let Some(status) = text(body, "/status") else { return };
        let uuid = text(body, "/uuid").or_else(|| text(body, "/call_uuid")).unwrap_or_default();
        let Some(about) = about(hook, uuid) else { return };
        let mut up = false;
        match status {
            "started" if !uuid.is_empty() => {
                up = true;
                heard.news.push((about, News::Placed(uuid.to_owned())));
            }
            "ringing" => {
                up = true;
                heard.news.push((about, News::Alerting));
            }
            // The NCCO begins to speak at once.
            "answered" => {
                up = true;
                heard.news.push((about.clone(), News::Engaged));
                heard.news.push((about, News::Prompting));
            }
            _ => {
                if let Some(cause) = words::ended(status, body) {
                    up = cause.reason == Reason::Voicemail;
                    heard.news.push((about, News::Ended(cause)));
                }
            }
        }
        let over = hook.scene.is_some_and(|scene| scene.over);
        let machine = status == "machine";
        if up && (over || machine) && !uuid.is_empty() {
            heard.then.extend(self.hang_up(uuid, hook.now));
        }
    }

    /// A key, or the absence of one: what to do next.
    fn keys(&self, hook: &Hook<'_>, scene: &Scene<'_>, body: &Value, heard: &mut Heard) {
        let state = form_urlencoded::parse(hook.query.as_bytes());
        let mut state = state.filter(|(name, _)| name == "s").map(|(_, value)| value);
        let pad = state.next().and_then(|state| Keypad::from_text(&state));
        let Some(pad) = pad.filter(|_| !scene.over) else {
            heard.answer = HttpAnswer::json(&json!([]));
            if let Some(uuid) = text(body, "/uuid") {
                heard.then.extend(self.hang_up(uuid, hook.now));
            }
            return;
        };
        // Early versions of the event have the digits in place of the object.
        let digits = text(body, "/dtmf/digits").or_else(|| text(body, "/dtmf"));
        let digits = digits.unwrap_or_default();
        // One key is asked for; should more come, each is taken in its turn.
        let (mut pad, mut turn) = pad.on(digits.chars().next());
        for key in digits.chars().skip(1) {
            if let Turn::Close(_) = turn {
                break;
            }
            (pad, turn) = pad.on(Some(key));
        }
        let ncco = match turn {
            Turn::Ask(opening) => question(scene.hooks, scene.ask, opening, pad),
            Turn::Listen => vec![input(scene.hooks, pad)],
            Turn::Close(said) => {
                let event = heard.once.clone().unwrap_or_default();
                heard.news.push((About::This, News::Said { said, event }));
                vec![talk(scene.ask, Phrase::Close(said))]
            }
            // The state does not reach the event that tells the end of the call.
            Turn::Goodbye => {
                heard.news.push((About::This, News::Ended(Cause::plain(Reason::NoInput))));
                vec![talk(scene.ask, Phrase::Goodbye)]
            }
        };
        heard.answer = HttpAnswer::json(&Value::Array(ncco));
    }
}

impl Carrier for Vonage {
    fn reach(&self) -> Reach {
        Reach {
            voice: true,
            sms: true,
            replies: true,
            receipts: true,
            calls_back: true,
            says_all: true,
        }
    }

    fn order(&self, order: &Order<'_>) -> Result<HttpRequest, Cause> {
        let from = self.settings.from.trim_start_matches('+');
        let to = order.to.expose().trim_start_matches('+');
        let (url, body) = match order.what {
            What::Call { ask, extension, ring, limit } => {
                let mut callee = json!({ "type": "phone", "number": to });
                let mut ncco = Vec::new();
                if let Some(keys) = extension {
                    let wait = lasts(keys).ok_or_else(|| {
                        let detail = "Vonage sends extensions of the keys 0-9 * # , w W";
                        Cause::because(Reason::CarrierError, detail)
                    })?;
                    if let Value::Object(callee) = &mut callee {
                        callee.insert("dtmfAnswer".into(), pauses(keys).into());
                    }
                    ncco.push(json!({ "action": "wait", "timeout": wait.as_secs_f64() }));
                }
                ncco.extend(question(order.hooks, ask, Opening::Greeting, Keypad::START));
                let body = json!({
                    "to": [callee],
                    "from": { "type": "phone", "number": from },
                    "ncco": ncco,
                    "event_url": [format!("{}/event", order.hooks)],
                    "event_method": "POST",
                    // What Vonage takes for either.
                    "ringing_timer": ring.as_secs().clamp(1, 120),
                    "length_timer": limit.as_secs().clamp(1, 86_400),
                });
                (self.url("/v1/calls"), body)
            }
            What::Text { body, valid } => {
                let body = json!({
                    "message_type": "text",
                    "channel": "sms",
                    "to": to,
                    "from": from,
                    "text": body.expose(),
                    "ttl": seconds(valid).clamp(20, 604_800),
                    "client_ref": order.id,
                    "webhook_url": format!("{}/receipt", order.hooks),
                    "webhook_version": "v1",
                });
                (self.url("/v1/messages"), body)
            }
        };
        self.signed(HttpRequest::json(url, &body), &format!("order {}", order.id), order.since)
            .ok_or_else(|| Cause::because(Reason::CarrierError, "the private key does not sign"))
    }

    fn receipt(&self, channel: Channel, status: u16, body: &[u8]) -> Receipt {
        let handle = match channel {
            Channel::Voice => "/uuid",
            Channel::Sms => "/message_uuid",
        };
        words::receipt(handle, status, body)
    }

    /// Calls can be listed, texts cannot. The token is of the order's time and good for fifteen
    /// minutes from it.
    fn find(&self, order: &Order<'_>) -> Option<HttpRequest> {
        match order.what {
            What::Call { .. } => {
                let since = Timestamp::from_secs(order.since.as_secs()).to_rfc3339();
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("date_start", &since)
                    .append_pair("page_size", "100")
                    .append_pair("order", "asc")
                    .finish();
                let url = self.url(&format!("/v1/calls?{query}"));
                self.signed(HttpRequest::get(url), &format!("find {}", order.id), order.since)
            }
            What::Text { .. } => None,
        }
    }

    /// The one call to this number since the order. None is no proof that it was not taken: when a
    /// call enters the list is not documented. Of several nobody can tell which it is.
    fn found(&self, order: &Order<'_>, status: u16, body: &[u8]) -> Receipt {
        if status != 200 {
            return Receipt::Unclear;
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let calls = body.pointer("/_embedded/calls").and_then(Value::as_array);
        let to = order.to.expose().trim_start_matches('+');
        let from = self.settings.from.trim_start_matches('+');
        let mut ours = calls.into_iter().flatten().filter(|call| {
            text(call, "/to/number") == Some(to) && text(call, "/from/number") == Some(from)
        });
        match (ours.next().and_then(|call| text(call, "/uuid")), ours.next()) {
            (Some(uuid), None) => Receipt::Taken(uuid.to_owned()),
            _ => Receipt::Unclear,
        }
    }

    fn end(&self, handle: &str, now: Timestamp) -> Option<HttpRequest> {
        if handle.is_empty() { None } else { self.hang_up(handle, now) }
    }

    fn hear(&self, hook: &Hook<'_>) -> Result<Heard, Forged> {
        let jti = token::theirs(hook, &self.settings)?;
        let body: Value = serde_json::from_slice(hook.body).map_err(|_| Forged::Unreadable)?;
        let mut heard = Heard { once: Some(jti), answer: ok(), ..Heard::default() };
        match (hook.scene, hook.part) {
            (Some(scene), Some("keys")) if scene.channel == Channel::Voice => {
                self.keys(hook, &scene, &body, &mut heard);
            }
            // A message has another name than a call, also where both come to one address.
            _ => match text(&body, "/message_uuid") {
                Some(uuid) => message(hook, uuid, &body, &mut heard),
                None => self.event(hook, &body, &mut heard),
            },
        }
        Ok(heard)
    }
}

/// What a message's state says, or a person.
fn message(hook: &Hook<'_>, uuid: &str, body: &Value, heard: &mut Heard) {
    if text(body, "/status").is_some() {
        let news = words::message(body);
        heard.news.extend(about(hook, uuid).zip(news));
    } else if hook.scene.is_none() {
        heard.news.extend(received(uuid, body).map(|text| (About::Nobody, News::Text(text))));
    }
}

/// A text that a person sent; `None` where it cannot be one (a picture, a sender without number).
fn received(uuid: &str, body: &Value) -> Option<Text> {
    let to = text(body, "/to")?.trim_start_matches('+');
    // A short code has no country.
    let number = to.len() >= 8 && to.bytes().all(|byte| byte.is_ascii_digit());
    Some(Text {
        id: uuid.to_owned(),
        from: format!("+{}", text(body, "/from")?.trim_start_matches('+')).parse().ok()?,
        to: if number { format!("+{to}") } else { to.to_owned() },
        body: text(body, "/text")?.to_owned().into(),
    })
}

/// Which attempt an event is about: at an attempt's own address that one, elsewhere by its name.
fn about(hook: &Hook<'_>, handle: &str) -> Option<About> {
    match hook.scene {
        Some(_) => Some(About::This),
        None => (!handle.is_empty()).then(|| About::Handle(handle.to_owned())),
    }
}

/// A question, and the wait for one key.
fn question(hooks: &str, ask: Ask<'_>, opening: Opening, pad: Keypad) -> Vec<Value> {
    let mut talk = talk(ask, Phrase::Ask(opening));
    if let Value::Object(talk) = &mut talk {
        talk.insert("bargeIn".into(), true.into());
    }
    vec![talk, input(hooks, pad)]
}

fn talk(ask: Ask<'_>, phrase: Phrase) -> Value {
    json!({
        "action": "talk",
        "text": say(ask, phrase),
        "language": words::voice(language(ask.locale)),
    })
}

/// The wait for one key.
fn input(hooks: &str, pad: Keypad) -> Value {
    json!({
        "action": "input",
        "type": ["dtmf"],
        "dtmf": { "maxDigits": 1, "submitOnHash": false, "timeOut": LISTEN },
        "eventUrl": [format!("{hooks}/keys?s={}", pad.to_text())],
        "eventMethod": "POST",
    })
}

/// An extension in Vonage's keys: `p` is half a second.
fn pauses(keys: &str) -> String {
    keys.replace([',', 'w'], "p").replace('W', "pp")
}

/// Whole seconds, none lost.
fn seconds(span: Duration) -> u64 {
    span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests;
