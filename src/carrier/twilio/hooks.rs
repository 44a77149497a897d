//! What the provider asks and tells: is it the provider, what is new, what is said next.

use std::time::Duration;

use serde_json::Value;

use super::twiml::{Response, Sound};
use super::{Dialect, Signed, Twilio, Voice, codes, is_sid, part};
use crate::carrier::keypad::{Keypad, Opening, Turn};
use crate::carrier::signature::{self, Hash};
use crate::carrier::speech::Phrase;
use crate::carrier::wire::HttpAnswer;
use crate::carrier::{About, Forged, Heard, Hook, News, Scene, Text};
use crate::verify::request::Channel;
use crate::verify::signal::{Cause, Reason, Said};

/// How long to wait for a key behind what was spoken.
const PATIENCE: Duration = Duration::from_secs(10);

/// How old, or how new, a request of Telnyx may be.
const WINDOW: Duration = Duration::from_secs(300);

/// Names and values that the provider sent.
struct Params(Vec<(String, String)>);

impl Params {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A name of the provider's for a call or text.
    fn sid(&self, name: &str) -> Result<&str, Forged> {
        self.get(name).filter(|sid| is_sid(sid)).ok_or(Forged::Unreadable)
    }
}

pub(super) fn hear(twilio: &Twilio, hook: &Hook<'_>) -> Result<Heard, Forged> {
    let params = authentic(twilio, hook)?;
    let Some(scene) = hook.scene else {
        return inbound(&params);
    };
    match (scene.channel, hook.part) {
        (Channel::Voice, Some("voice")) => voice(twilio, &scene, &params),
        (Channel::Voice, Some("keys")) => keys(twilio, &scene, &params, query(hook.url)),
        (Channel::Voice, Some("status")) => status(&params),
        // A guess, and never more than that: it changes nothing.
        (Channel::Voice, Some("amd")) => Ok(Heard::default()),
        (Channel::Sms, Some("receipt")) => receipt(&params),
        (Channel::Voice | Channel::Sms, _) => Err(Forged::Unreadable),
    }
}

/// The query of the URL that was signed.
fn query(url: &str) -> &str {
    url.split_once('?').map_or("", |(_, query)| query)
}

fn value(query: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// Checks the signature, then reads the body.
fn authentic(twilio: &Twilio, hook: &Hook<'_>) -> Result<Params, Forged> {
    let settings = &twilio.settings;
    let key = settings.signing_key.as_ref().unwrap_or(&settings.token);
    let headers = match twilio.ways.signed {
        Signed::Hmac(headers) => headers,
        Signed::Ed25519 => {
            let header = |name| hook.header(name).ok_or(Forged::Unsigned);
            let signature = header("telnyx-signature-ed25519")?;
            let at = header("telnyx-timestamp")?;
            if !signature::ed25519(key, at, hook.body, signature) {
                return Err(Forged::Signature);
            }
            if !signature::fresh(at, hook.now, WINDOW) {
                return Err(Forged::Stale);
            }
            return Ok(form(hook.body));
        }
    };
    let signature = headers.iter().find_map(|name| hook.header(name)).ok_or(Forged::Unsigned)?;
    let hash = match hook.header("x-twilio-webhooks-signature-settings") {
        Some(rule) if settings.dialect == Dialect::Twilio && rule.contains("HMAC_SHA256") => {
            Hash::Sha256
        }
        Some(_) | None => Hash::Sha1,
    };
    let right = |params: &Params| {
        signature::is_twilio(hash, key.as_bytes(), hook.url, &params.0, signature)
    };
    // A body that is no form is signed by its hash, which stands in the URL.
    if let Some(digest) = value(query(hook.url), "bodySHA256") {
        if !right(&Params(Vec::new())) {
            return Err(Forged::Signature);
        }
        let is = signature::sha256_hex(hook.body);
        if !signature::same(is.as_bytes(), digest.to_ascii_lowercase().as_bytes()) {
            return Err(Forged::Altered);
        }
        return json(hook.body).ok_or(Forged::Unreadable);
    }
    let params = form(hook.body);
    if right(&params) { Ok(params) } else { Err(Forged::Signature) }
}

fn form(body: &[u8]) -> Params {
    Params(form_urlencoded::parse(body).into_owned().collect())
}

/// The members of a JSON object that are texts or numbers.
fn json(body: &[u8]) -> Option<Params> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let members = value.as_object()?.iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some((name.clone(), text.clone())),
        Value::Number(number) => Some((name.clone(), number.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    });
    Some(Params(members.collect()))
}

/// The call is up: what is to be said?
fn voice(twilio: &Twilio, scene: &Scene<'_>, params: &Params) -> Result<Heard, Forged> {
    let call = params.sid("CallSid")?;
    if scene.over {
        return Ok(over(twilio, scene));
    }
    let document = ask(twilio, scene, Keypad::START, &[Phrase::Greeting, Phrase::Ask]);
    Ok(Heard {
        news: vec![(About::This, News::Engaged), (About::This, News::Prompting)],
        once: Some(format!("{call}:voice")),
        answer: HttpAnswer::xml(document),
        then: Vec::new(),
    })
}

/// A key was pressed, or none was.
fn keys(twilio: &Twilio, scene: &Scene<'_>, params: &Params, query: &str) -> Result<Heard, Forged> {
    let call = params.sid("CallSid")?;
    let pad = value(query, "s").and_then(|state| Keypad::from_text(&state));
    let pad = pad.ok_or(Forged::Unreadable)?;
    if scene.over {
        return Ok(over(twilio, scene));
    }
    let digits = params.get("Digits").unwrap_or_default();
    if !digits.chars().all(|key| key.is_ascii_digit() || "*#ABCD".contains(key)) {
        return Err(Forged::Unreadable);
    }
    let (next, turn) = played(pad, digits);
    let event = format!("{call}:{}", pad.to_text());
    let (document, news) = match turn {
        Turn::Ask(opening) => (ask(twilio, scene, next, &[opened(opening), Phrase::Ask]), None),
        Turn::Listen => (ask(twilio, scene, next, &[]), None),
        Turn::Close(said) => {
            let news = News::Said { said, event: event.clone() };
            (close(twilio, scene, farewell(said)), Some(news))
        }
        Turn::Goodbye => {
            let news = News::Ended(Cause::plain(Reason::NoInput));
            (close(twilio, scene, Phrase::Goodbye), Some(news))
        }
    };
    Ok(Heard {
        news: news.map(|news| (About::This, news)).into_iter().collect(),
        once: Some(format!("{event}:{digits}")),
        answer: HttpAnswer::xml(document),
        then: Vec::new(),
    })
}

/// One key after the other, until the dialogue closes; no key at all is silence.
fn played(pad: Keypad, digits: &str) -> (Keypad, Turn) {
    let mut keys = digits.chars();
    let (mut pad, mut turn) = pad.on(keys.next());
    for key in keys {
        if matches!(turn, Turn::Close(_)) {
            break;
        }
        (pad, turn) = pad.on(Some(key));
    }
    (pad, turn)
}

const fn opened(opening: Opening) -> Phrase {
    match opening {
        Opening::Greeting => Phrase::Greeting,
        Opening::Again => Phrase::Again,
        Opening::WrongKey => Phrase::WrongKey,
    }
}

const fn farewell(said: Said) -> Phrase {
    match said {
        Said::Confirmed | Said::PinEntered | Said::DigitsEntered => Phrase::Thanks,
        Said::FraudReported => Phrase::Fraud,
        Said::Declined | Said::WrongKey | Said::WrongPin => Phrase::Denied,
    }
}

/// Speaks, and waits for a key; what is spoken ends with the first one.
fn ask(twilio: &Twilio, scene: &Scene<'_>, pad: Keypad, phrases: &[Phrase]) -> String {
    let sounds: Vec<Sound> = phrases.iter().map(|phrase| sound(twilio, scene, *phrase)).collect();
    let action = format!("{}?s={}", part(scene.hooks, "keys"), pad.to_text());
    Response::new().gather(&sounds, PATIENCE, &action).hangup().finish()
}

fn close(twilio: &Twilio, scene: &Scene<'_>, phrase: Phrase) -> String {
    Response::new().sound(&sound(twilio, scene, phrase)).hangup().finish()
}

/// Nothing is asked any more. There is no recording for that; the provider's voice says it.
fn over(twilio: &Twilio, scene: &Scene<'_>) -> Heard {
    let document = match twilio.settings.voice {
        Voice::Say => close(twilio, scene, Phrase::Over),
        Voice::Play(_) => Response::new().hangup().finish(),
    };
    Heard { answer: HttpAnswer::xml(document), ..Heard::default() }
}

fn sound(twilio: &Twilio, scene: &Scene<'_>, phrase: Phrase) -> Sound {
    let page = twilio.book.page(scene.ask.locale);
    match &twilio.settings.voice {
        Voice::Say => Sound::Say {
            language: page.language().to_owned(),
            voice: page.voice().map(str::to_owned),
            text: page.text(phrase, scene.ask),
        },
        Voice::Play(base) => Sound::Play(format!("{base}/{}/{}.wav", page.tag(), phrase.name())),
    }
}

/// How the call goes. States that are not known are not news.
fn status(params: &Params) -> Result<Heard, Forged> {
    let call = params.sid("CallSid")?;
    let status = params.get("CallStatus").ok_or(Forged::Unreadable)?;
    let news = match status {
        "queued" | "initiated" => News::Placed(call.to_owned()),
        "ringing" => News::Alerting,
        "in-progress" | "answered" => News::Engaged,
        "completed" => News::Ended(Cause::plain(completed(params))),
        "busy" => News::Ended(ended(Reason::Busy, params)),
        "no-answer" => News::Ended(ended(Reason::NoAnswer, params)),
        "failed" => News::Ended(ended(Reason::CarrierError, params)),
        "canceled" => {
            let why = "the call was canceled at the carrier";
            News::Ended(Cause::because(Reason::CarrierError, why))
        }
        _ => return Ok(Heard::default()),
    };
    Ok(Heard {
        news: vec![(About::This, news)],
        once: Some(format!("{call}:status:{status}")),
        ..Heard::default()
    })
}

/// Who hung up: a person, unless the provider thinks that a machine had answered.
fn completed(params: &Params) -> Reason {
    match params.get("AnsweredBy") {
        Some("fax") => Reason::Fax,
        Some(machine) if machine.starts_with("machine") => Reason::Voicemail,
        Some(_) | None => Reason::HungUp,
    }
}

/// Why the call never came up: the status of the network's response where there is one, unless it
/// says less than the provider's word.
fn ended(word: Reason, params: &Params) -> Cause {
    let sip = params.get("SipResponseCode").and_then(|code| code.parse().ok());
    let Some(sip) = sip.filter(|code| (300..700).contains(code)) else {
        let unsaid = word == Reason::CarrierError;
        let detail = unsaid.then(|| "the carrier could not place the call".to_owned());
        return Cause { detail, ..Cause::plain(word) };
    };
    let cause = Cause::response(sip, None);
    if cause.reason == Reason::CarrierError { Cause { reason: word, ..cause } } else { cause }
}

/// How a text goes.
fn receipt(params: &Params) -> Result<Heard, Forged> {
    let text = params.sid("MessageSid").or_else(|_| params.sid("SmsSid"))?;
    let status = params.get("MessageStatus").or_else(|| params.get("SmsStatus"));
    let status = status.ok_or(Forged::Unreadable)?;
    let news = match status {
        "sent" => News::Sent,
        "delivered" | "read" => News::Delivered,
        "undelivered" | "failed" => {
            News::Ended(codes::undelivered(params.get("ErrorCode").unwrap_or_default()))
        }
        "canceled" => {
            let why = "the text was canceled at the carrier";
            News::Ended(Cause::because(Reason::Undelivered, why))
        }
        _ => return Ok(Heard::default()),
    };
    Ok(Heard {
        news: vec![(About::This, news)],
        once: Some(format!("{text}:{status}")),
        ..Heard::default()
    })
}

/// A person wrote. Who writes from something else than a number is nobody that was asked.
fn inbound(params: &Params) -> Result<Heard, Forged> {
    let id = params.sid("MessageSid").or_else(|_| params.sid("SmsSid"))?;
    let from = params.get("From").ok_or(Forged::Unreadable)?;
    let to = params.get("To").ok_or(Forged::Unreadable)?;
    let body = params.get("Body").unwrap_or_default();
    let news = from.parse().ok().map(|from| {
        let (id, to) = (id.to_owned(), to.to_owned());
        (About::Nobody, News::Text(Text { id, from, to, body: body.to_owned().into() }))
    });
    Ok(Heard {
        news: news.into_iter().collect(),
        once: Some(id.to_owned()),
        answer: HttpAnswer::xml(Response::new().finish()),
        then: Vec::new(),
    })
}
