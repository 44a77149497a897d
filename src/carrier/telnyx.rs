//! Telnyx: Call Control v2 and Messages v2 (<https://developers.telnyx.com>; field names as in its
//! Python SDK 4.189.0).
//!
//! | what | request | what comes back |
//! |---|---|---|
//! | call | `POST /v2/calls` | `call.*` events at `…/call` |
//! | question | `…/actions/gather_using_speak` | `call.gather.ended` |
//! | wait for one more key | `…/actions/gather` | `call.gather.ended` |
//! | farewell | `…/actions/speak` | `call.speak.ended`, answered by `…/actions/hangup` |
//! | text | `POST /v2/messages` | `message.*` events at `…/receipt` |
//!
//! **How keys are heard.** Telnyx tells each press twice: as `call.dtmf.received` at once, and in
//! the `digits` of `call.gather.ended`. Only the latter counts here. What a press means depends on
//! the press before it (`0` then `#` reports fraud), the dialogue's state travels in
//! `client_state`, and an event carries the state of the last command that Telnyx has taken: after
//! a quick `0#` the `call.dtmf.received` of `#` still carries the state from before `0`, and would
//! turn a report of fraud into consent. A gather ends with its first key (`maximum_digits` 1), so
//! the next one is heard by the next gather, with its state, or not at all: never wrongly.
//!
//! **`#` is not swallowed**: `terminating_digit` is `#` unless told otherwise, and a lone `#` would
//! end the gather with no digits, like silence. It is sent empty, which switches it off, and
//! `valid_digits` names all twelve keys. No digits are silence, whatever the status says, and never
//! consent.
//!
//! A key interrupts the question: `gather_using_speak` does that itself. `maximum_tries` is 1, so
//! that silence comes back to us instead of being asked again by Telnyx.
//!
//! **An extension** goes out as `send_digits_on_answer`; a silent gather with a time-out of its
//! length holds the question back until it is through.
//!
//! **Repeats.** `command_id` makes Telnyx ignore a second dial or command of the same name, and
//! `Idempotency-Key` a second text. Neither can be looked up, so there is no
//! [`find`](Carrier::find); an order whose answer was lost names itself by `call.initiated`.
//!
//! **Authenticity**: Ed25519 over `timestamp|body`, five minutes either way; the event's id is
//! [`Heard::once`].

mod state;
mod words;

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use self::state::Stage;
use super::common::{lasts, ok, segment, text, uuid};
use super::keypad::{Keypad, Turn};
use super::signature::ed25519;
use super::spoken::{Phrase, language, say};
use super::wire::HttpRequest;
use super::{
    About, Ask, Carrier, Forged, Heard, Hook, News, Order, Reach, Receipt, Scene, Text, What,
};
use crate::ambient::Timestamp;
use crate::verify::request::Channel;
use crate::verify::signal::{Cause, Reason};

/// Where the API is.
pub const BASE_URL: &str = "https://api.telnyx.com";

/// How far a hook's time may be from ours, in seconds; the SDK allows as much.
const WINDOW: u64 = 300;

/// How long to listen after a question, and after a key that needs another; as in our own calls.
const LISTEN: Duration = Duration::from_secs(10);

/// How an account at Telnyx is used.
pub struct Settings {
    /// Where the API is, without a slash at its end: [`BASE_URL`].
    pub base_url: String,
    /// The API key (v2).
    pub api_key: Zeroizing<String>,
    /// The account's public key for hooks: 32 bytes in base64.
    pub public_key: String,
    /// The id of the Call Control application; without it there are no calls.
    pub connection_id: Option<String>,
    /// The id of the messaging profile, where `from` alone does not name it (an alphanumeric
    /// sender).
    pub messaging_profile: Option<String>,
    /// Who calls and writes: a number with plus, or for texts a short code or a name.
    pub from: String,
    /// Wait for Telnyx to tell whether a machine answered, before asking.
    pub machine_detection: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("base_url", &self.base_url)
            .field("connection_id", &self.connection_id)
            .field("messaging_profile", &self.messaging_profile)
            .field("machine_detection", &self.machine_detection)
            .finish_non_exhaustive()
    }
}

/// An account at Telnyx.
#[derive(Debug)]
pub struct Telnyx(Settings);

impl Telnyx {
    /// The account of these settings.
    ///
    /// # Errors
    /// When the public key is not 32 bytes in base64, or there is no API key.
    pub fn new(settings: Settings) -> Result<Self, &'static str> {
        if BASE64.decode(&settings.public_key).is_ok_and(|key| key.len() == 32) {
            if settings.api_key.is_empty() {
                return Err("api_key is empty");
            }
            Ok(Self(settings))
        } else {
            Err("public_key is not an Ed25519 key: 32 bytes in base64, as the portal shows it")
        }
    }

    fn post(&self, path: &str, body: &Value) -> HttpRequest {
        HttpRequest::json(format!("{}{path}", self.0.base_url), body)
            .header("authorization", format!("Bearer {}", self.0.api_key.as_str()))
    }

    /// A command to a call, in answer to an event.
    fn command(&self, to: &Event<'_>, action: &str, mut body: Map<String, Value>) -> HttpRequest {
        body.insert("command_id".into(), uuid(&[to.id, action]).into());
        let path = format!("/v2/calls/{}/actions/{action}", segment(to.handle));
        self.post(&path, &Value::Object(body))
    }

    /// Says something; the stage comes back when it is said.
    fn speak(&self, to: &Event<'_>, ask: Ask<'_>, phrase: Phrase, stage: Stage) -> HttpRequest {
        self.command(to, "speak", spoken(ask, phrase, stage))
    }

    /// Asks, and waits for one key.
    fn ask(&self, to: &Event<'_>, ask: Ask<'_>, phrase: Phrase, pad: Keypad) -> HttpRequest {
        let mut body = spoken(ask, phrase, Stage::Asking(pad));
        one_key(&mut body);
        body.insert("maximum_tries".into(), 1.into());
        body.insert("timeout_millis".into(), millis(LISTEN).into());
        self.command(to, "gather_using_speak", body)
    }

    /// Waits for one key in silence.
    fn listen(&self, to: &Event<'_>, wait: Duration, stage: Stage) -> HttpRequest {
        let mut body = Map::new();
        one_key(&mut body);
        body.insert("client_state".into(), stage.to_base64().into());
        body.insert("initial_timeout_millis".into(), millis(wait).into());
        body.insert("timeout_millis".into(), millis(wait).into());
        self.command(to, "gather", body)
    }

    fn hang_up(&self, to: &Event<'_>) -> HttpRequest {
        self.command(to, "hangup", Map::new())
    }

    /// The call is up: asks, or first lets the extension through.
    fn begin(&self, event: &Event<'_>, scene: &Scene<'_>, heard: &mut Heard) {
        match event.stage {
            Some(Stage::Extension(wait)) => {
                let stage = Stage::Through;
                heard.then.push(self.listen(event, wait, stage));
            }
            Some(Stage::Asking(pad)) => {
                heard.news.push((About::This, News::Prompting));
                let phrase = Phrase::Ask(super::keypad::Opening::Greeting);
                heard.then.push(self.ask(event, scene.ask, phrase, pad));
            }
            Some(Stage::Through | Stage::Closing | Stage::Silent) | None => {
                heard.then.push(self.hang_up(event));
            }
        }
    }

    /// A gather has ended.
    fn gathered(
        &self,
        event: &Event<'_>,
        scene: &Scene<'_>,
        heard: &mut Heard,
    ) -> Result<(), Forged> {
        let digits = text(event.payload, "/digits").unwrap_or_default();
        let status = text(event.payload, "/status").unwrap_or_default();
        // The call is over, or another command of ours took the gather's place.
        if digits.is_empty() && matches!(status, "call_hangup" | "cancelled" | "cancelled_amd") {
            return Ok(());
        }
        let pad = match event.stage {
            Some(Stage::Asking(pad)) => pad,
            // What a switchboard sent meanwhile is no answer.
            Some(Stage::Through) => {
                let asked = Event { stage: Some(Stage::Asking(Keypad::START)), ..*event };
                self.begin(&asked, scene, heard);
                return Ok(());
            }
            Some(Stage::Extension(_) | Stage::Closing | Stage::Silent) | None => {
                heard.then.push(self.hang_up(event));
                return Ok(());
            }
        };
        // One key is asked for; should more come, each is taken in its turn.
        let (mut pad, mut turn) = pad.on(digits.chars().next());
        for key in digits.chars().skip(1) {
            if let Turn::Close(_) = turn {
                break;
            }
            (pad, turn) = pad.on(Some(key));
        }
        heard.then.push(match turn {
            Turn::Ask(opening) => self.ask(event, scene.ask, Phrase::Ask(opening), pad),
            Turn::Listen => self.listen(event, LISTEN, Stage::Asking(pad)),
            Turn::Close(said) => {
                // The proof needs a name.
                if event.id.is_empty() {
                    return Err(Forged::Unreadable);
                }
                heard.news.push((About::This, News::Said { said, event: event.id.to_owned() }));
                self.speak(event, scene.ask, Phrase::Close(said), Stage::Closing)
            }
            Turn::Goodbye => self.speak(event, scene.ask, Phrase::Goodbye, Stage::Silent),
        });
        Ok(())
    }

    /// What a `call.*` event says.
    fn call(&self, hook: &Hook<'_>, event: &Event<'_>, heard: &mut Heard) -> Result<(), Forged> {
        let about = about(hook, event.handle);
        if event.kind == "call.hangup" {
            let silent = event.stage == Some(Stage::Silent);
            heard.news.extend(about.map(|who| (who, News::Ended(words::hung_up(event, silent)))));
            return Ok(());
        }
        let Some(scene) = hook.scene.filter(|scene| scene.channel == Channel::Voice) else {
            return Ok(());
        };
        if event.handle.is_empty() {
            return Err(Forged::Unreadable);
        }
        let closing = matches!(event.stage, Some(Stage::Closing | Stage::Silent));
        match event.kind {
            "call.initiated" => {
                heard.news.push((About::This, News::Placed(event.handle.to_owned())));
                if scene.over {
                    heard.then.push(self.hang_up(event));
                }
            }
            "call.answered" => {
                heard.news.push((About::This, News::Engaged));
                if scene.over {
                    heard.then.push(self.hang_up(event));
                } else if !self.0.machine_detection {
                    self.begin(event, &scene, heard);
                }
            }
            "call.machine.detection.ended" | "call.machine.premium.detection.ended" => {
                let result = text(event.payload, "/result").unwrap_or_default();
                if let Some(reason) = words::machine(result) {
                    heard.news.push((About::This, News::Ended(Cause::plain(reason))));
                    heard.then.push(self.hang_up(event));
                } else if scene.over {
                    heard.then.push(self.hang_up(event));
                } else {
                    self.begin(event, &scene, heard);
                }
            }
            // Only a farewell's: a question that a key has interrupted ends as well, and must not
            // cut the farewell that follows.
            "call.speak.ended" if closing => heard.then.push(self.hang_up(event)),
            "call.gather.ended" if scene.over => heard.then.push(self.hang_up(event)),
            "call.gather.ended" => self.gathered(event, &scene, heard)?,
            _ => {}
        }
        Ok(())
    }
}

impl Carrier for Telnyx {
    fn reach(&self) -> Reach {
        Reach {
            voice: self.0.connection_id.is_some(),
            sms: true,
            replies: true,
            receipts: true,
            calls_back: true,
            says_all: true,
        }
    }

    fn order(&self, order: &Order<'_>) -> Result<HttpRequest, Cause> {
        match order.what {
            What::Call { ask: _, extension, ring, limit } => {
                let Some(connection) = &self.0.connection_id else {
                    let detail = "no connection_id is configured for calls by Telnyx";
                    return Err(Cause::because(Reason::CarrierError, detail));
                };
                let mut body = json!({
                    "connection_id": connection,
                    "to": order.to.expose(),
                    "from": self.0.from,
                    "webhook_url": format!("{}/call", order.hooks),
                    "webhook_url_method": "POST",
                    "command_id": uuid(&[order.id, "dial"]),
                    // What Telnyx takes for either.
                    "timeout_secs": ring.as_secs().clamp(5, 600),
                    "time_limit_secs": limit.as_secs().clamp(30, 14_400),
                });
                let mut stage = Stage::Asking(Keypad::START);
                if let Some(keys) = extension {
                    let wait = lasts(keys).filter(|_| keys.len() <= 64).ok_or_else(|| {
                        let detail = "Telnyx sends extensions of at most 64 keys 0-9 * # , w W";
                        Cause::because(Reason::CarrierError, detail)
                    })?;
                    stage = Stage::Extension(wait);
                    set(&mut body, "send_digits_on_answer", keys.replace(',', "w"));
                }
                set(&mut body, "client_state", stage.to_base64());
                if self.0.machine_detection {
                    set(&mut body, "answering_machine_detection", "detect");
                }
                Ok(self.post("/v2/calls", &body))
            }
            // Telnyx keeps a text for as long as it sees fit.
            What::Text { body: words, valid: _ } => {
                let mut body = json!({
                    "from": self.0.from,
                    "to": order.to.expose(),
                    "text": words.expose(),
                    "type": "SMS",
                    "webhook_url": format!("{}/receipt", order.hooks),
                    "use_profile_webhooks": false,
                });
                if let Some(profile) = &self.0.messaging_profile {
                    set(&mut body, "messaging_profile_id", profile.as_str());
                }
                let request = self.post("/v2/messages", &body);
                Ok(request.header("idempotency-key", uuid(&[order.id, "message"])))
            }
        }
    }

    fn receipt(&self, channel: Channel, status: u16, body: &[u8]) -> Receipt {
        let handle = match channel {
            Channel::Voice => "/data/call_control_id",
            Channel::Sms => "/data/id",
        };
        words::receipt(handle, status, body)
    }

    fn end(&self, handle: &str, _now: Timestamp) -> Option<HttpRequest> {
        let event = Event { kind: "", id: handle, handle, stage: None, payload: &Value::Null };
        (!handle.is_empty()).then(|| self.hang_up(&event))
    }

    fn hear(&self, hook: &Hook<'_>) -> Result<Heard, Forged> {
        authentic(&self.0.public_key, hook)?;
        let body: Value = serde_json::from_slice(hook.body).map_err(|_| Forged::Unreadable)?;
        let event = Event::read(&body).ok_or(Forged::Unreadable)?;
        let once = (!event.id.is_empty()).then(|| event.id.to_owned());
        let mut heard = Heard { once, answer: ok(), ..Heard::default() };
        if event.kind.starts_with("call.") {
            self.call(hook, &event, &mut heard)?;
        } else if event.kind == "message.received" {
            heard
                .news
                .extend(received(event.payload).map(|text| (About::Nobody, News::Text(text))));
        } else if event.kind.starts_with("message.") {
            let news = words::message(&event);
            heard.news.extend(about(hook, event.handle).zip(news));
        }
        Ok(heard)
    }
}

/// An event, as far as all of them are alike.
#[derive(Clone, Copy)]
struct Event<'a> {
    /// `call.answered`, `message.sent`, …
    kind: &'a str,
    /// Its own name; empty where it has none.
    id: &'a str,
    /// The name of the call or the message; empty where it has none.
    handle: &'a str,
    /// Where the dialogue stands, if that can be read.
    stage: Option<Stage>,
    payload: &'a Value,
}

impl<'a> Event<'a> {
    fn read(body: &'a Value) -> Option<Self> {
        let kind = text(body, "/data/event_type")?;
        let payload = body.pointer("/data/payload").unwrap_or(&Value::Null);
        let handle = if kind.starts_with("call.") { "/call_control_id" } else { "/id" };
        Some(Self {
            kind,
            id: text(body, "/data/id").unwrap_or_default(),
            handle: text(payload, handle).unwrap_or_default(),
            stage: text(payload, "/client_state").and_then(Stage::from_base64),
            payload,
        })
    }
}

/// Which attempt an event is about: at an attempt's own address that one, elsewhere by its name.
fn about(hook: &Hook<'_>, handle: &str) -> Option<About> {
    match hook.scene {
        Some(_) => Some(About::This),
        None => (!handle.is_empty()).then(|| About::Handle(handle.to_owned())),
    }
}

/// A text that a person sent; `None` where it cannot be one (a picture, a sender without number).
fn received(payload: &Value) -> Option<Text> {
    Some(Text {
        id: text(payload, "/id")?.to_owned(),
        from: text(payload, "/from/phone_number")?.parse().ok()?,
        to: text(payload, "/to/0/phone_number")?.to_owned(),
        body: text(payload, "/text")?.to_owned().into(),
    })
}

/// What every phrase needs.
fn spoken(ask: Ask<'_>, phrase: Phrase, stage: Stage) -> Map<String, Value> {
    let (language, voice) = words::voice(language(ask.locale));
    let mut body = Map::new();
    let payload = say(ask, phrase);
    body.insert("payload".into(), payload.into());
    body.insert("payload_type".into(), "text".into());
    body.insert("voice".into(), voice.into());
    body.insert("language".into(), language.into());
    body.insert("client_state".into(), stage.to_base64().into());
    body
}

/// One key, any of them.
fn one_key(body: &mut Map<String, Value>) {
    body.insert("minimum_digits".into(), 1.into());
    body.insert("maximum_digits".into(), 1.into());
    body.insert("terminating_digit".into(), "".into());
    body.insert("valid_digits".into(), "0123456789*#".into());
}

fn set(body: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(fields) = body {
        fields.insert(name.to_owned(), value.into());
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Whether a hook is Telnyx's, and of now.
fn authentic(public_key: &str, hook: &Hook<'_>) -> Result<(), Forged> {
    let signature = hook.header("telnyx-signature-ed25519").ok_or(Forged::Unsigned)?;
    let timestamp = hook.header("telnyx-timestamp").ok_or(Forged::Unsigned)?;
    if !ed25519(public_key, timestamp, hook.body, signature) {
        return Err(Forged::Signature);
    }
    let at: u64 = timestamp.parse().map_err(|_| Forged::Unreadable)?;
    if hook.now.as_secs().abs_diff(at) <= WINDOW { Ok(()) } else { Err(Forged::Stale) }
}

#[cfg(test)]
mod tests;
