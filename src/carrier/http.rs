//! Any gateway that sends a text on one HTTP request: what it wants to be asked, how it answers
//! and how it calls back is configuration.

mod guard;
mod reading;
mod template;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::Value;
use zeroize::Zeroizing;

pub use self::guard::{Encoding, Guard};
pub use self::reading::{At, Inbound, Receipts};
use self::reading::{is_name, word};
pub use self::template::{Field, JsonTemplate, Template, TemplateError};
use self::template::{Place, Values};
use super::wire::{HttpAnswer, HttpRequest};
use super::{Carrier, Forged, Heard, Hook, Order, Reach, Receipt, What};
use crate::verify::request::Channel;
use crate::verify::signal::{Cause, Reason};

/// How to ask a gateway to send a text, and how to understand it.
#[derive(Clone)]
pub struct Settings {
    /// Where to ask. Values in it are percent-encoded; the host has no placeholder.
    pub url: Template,
    /// How.
    pub method: Method,
    /// Name and value of more headers. A value with a control character, or one that is no ASCII,
    /// is not sent.
    pub headers: Vec<(String, Template)>,
    /// What to say.
    pub body: Payload,
    /// What an answer looks like that means: it was taken.
    pub success: Success,
    /// Statuses that mean that nobody can tell, besides 408 and 500 to 599.
    pub unclear: Vec<u16>,
    /// What the gateway calls the text.
    pub handle: Naming,
    /// Who writes: what `{from}` stands for.
    pub from: String,
    /// How it reports what became of a text, if it does.
    pub receipts: Option<Receipts>,
    /// How it passes on what people send, if it does.
    pub inbound: Option<Inbound>,
    /// How its requests prove where they come from.
    pub guard: Guard,
    /// What it wants to read as our answer, with status 200; without, it is 204 and nothing.
    pub answer: Option<String>,
}

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`: everything is in the URL.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
}

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// None.
    Empty,
    /// Form fields.
    Form(Vec<(String, Template)>),
    /// JSON.
    Json(JsonTemplate),
    /// XML; the values in it are escaped.
    Xml(Template),
    /// Plain text; the values in it are as they are.
    Text(Template),
}

/// What an answer looks like that means: it was taken. All that is given must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    /// Its status.
    pub statuses: RangeInclusive<u16>,
    /// What stands somewhere in its body.
    pub contains: Option<String>,
    /// A JSON pointer, and what is there, as text: `0` is `0` and `"0"`.
    pub equals: Option<(String, String)>,
}

/// Where an answer names the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Naming {
    /// At this JSON pointer.
    Pointer(String),
    /// The whole body, but for spaces around it.
    Body,
    /// Behind this text in the body, up to the next space: `OK: 1234` behind `OK:`.
    After(String),
    /// Nowhere; the handle is empty then, and receipts need an address of their own.
    Nowhere,
}

/// Why a gateway cannot be used as it is configured. Each begins with the key that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not a URL with a host of its own.
    #[error("url: write http:// or https://, a host and a path; the host has no placeholder")]
    Url,
    /// It would not be said whom to write to.
    #[error("body: neither it nor url says where {{to}} or {{to_digits}} goes")]
    NoTo,
    /// It would not be said what to write.
    #[error("body: neither it nor url says where {{body}} goes")]
    NoBody,
    /// A `GET` has none.
    #[error("body: a GET has none; write everything into url")]
    BodyOfGet,
    /// Nobody would be writing.
    #[error("from: it is used and empty")]
    From,
    /// Not the name of a header, or a text that cannot stand in one.
    #[error("headers: {0} is no header, or its value has characters that no header has")]
    Header(String),
    /// No JSON pointer.
    #[error("{key}: a JSON pointer begins with a slash, as /messages/0/id, not {pointer}")]
    Pointer {
        /// Which key.
        key: &'static str,
        /// What stands there.
        pointer: String,
    },
    /// No status would be one.
    #[error("success: write the first and the last status, between 200 and 299")]
    Statuses,
    /// Receipts would be about nothing.
    #[error(
        "receipts: without {{callback}} in what is asked, and without an id, nobody can tell \
             which text a receipt is about"
    )]
    Receipts,
    /// Everybody could speak for the gateway.
    #[error("guard: its secret is empty, or a name in it")]
    Secret,
}

/// A gateway.
#[derive(Clone)]
pub struct Http(Settings);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.start().split('/').nth(2).unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        f.debug_struct("Settings")
            .field("host", &host)
            .field("method", &self.method)
            .field("body", &self.body)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Http").field(&self.0).finish()
    }
}

impl Settings {
    /// Every template of the request.
    fn templates(&self) -> Vec<&Template> {
        let mut all = vec![&self.url];
        all.extend(self.headers.iter().map(|(_, template)| template));
        match &self.body {
            Payload::Empty => {}
            Payload::Form(fields) => all.extend(fields.iter().map(|(_, template)| template)),
            Payload::Json(json) => all.extend(json.templates()),
            Payload::Xml(template) | Payload::Text(template) => all.push(template),
        }
        all
    }

    fn says(&self, field: Field) -> bool {
        self.templates().iter().any(|template| template.has(field))
    }

    /// Every JSON pointer, with the key it stands under.
    fn pointers(&self) -> Vec<(&'static str, &str)> {
        let mut all = Vec::new();
        if let Some((pointer, _)) = &self.success.equals {
            all.push(("success", pointer.as_str()));
        }
        if let Naming::Pointer(pointer) = &self.handle {
            all.push(("handle", pointer));
        }
        let mut ats = Vec::new();
        if let Some(receipts) = &self.receipts {
            all.extend(receipts.batch.as_deref().map(|pointer| ("receipts", pointer)));
            ats.extend(receipts.id.iter().chain([&receipts.status]).map(|at| ("receipts", at)));
        }
        if let Some(inbound) = &self.inbound {
            all.extend(inbound.batch.as_deref().map(|pointer| ("inbound", pointer)));
            let fields = [&inbound.id, &inbound.from, &inbound.text];
            ats.extend(fields.into_iter().chain(&inbound.to).map(|at| ("inbound", at)));
        }
        all.extend(ats.into_iter().filter_map(|(key, at)| match at {
            At::Pointer(pointer) => Some((key, pointer.as_str())),
            At::Field(_) => None,
        }));
        all
    }
}

impl Http {
    /// The gateway, if it can be used as it is configured.
    ///
    /// # Errors
    /// Which key is wrong.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        if !is_address(&settings.url) {
            return Err(SettingsError::Url);
        }
        if settings.method == Method::Get && settings.body != Payload::Empty {
            return Err(SettingsError::BodyOfGet);
        }
        if !settings.says(Field::To) && !settings.says(Field::ToDigits) {
            return Err(SettingsError::NoTo);
        }
        if !settings.says(Field::Body) {
            return Err(SettingsError::NoBody);
        }
        if settings.says(Field::From) && settings.from.is_empty() {
            return Err(SettingsError::From);
        }
        for (name, value) in &settings.headers {
            if !is_token(name) || !value.literals(is_header_char) {
                return Err(SettingsError::Header(name.clone()));
            }
        }
        for (key, pointer) in settings.pointers() {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                return Err(SettingsError::Pointer { key, pointer: pointer.to_owned() });
            }
        }
        let (first, last) = (settings.success.statuses.start(), settings.success.statuses.end());
        if first > last || !(200..300).contains(first) || !(200..300).contains(last) {
            return Err(SettingsError::Statuses);
        }
        if let Some(receipts) = &settings.receipts {
            let addressed = settings.says(Field::Callback);
            let named = receipts.id.is_some() && settings.handle != Naming::Nowhere;
            if !named && (!addressed || receipts.batch.is_some()) {
                return Err(SettingsError::Receipts);
            }
        }
        if settings.guard.is_empty() {
            return Err(SettingsError::Secret);
        }
        Ok(Self(settings))
    }

    fn request(&self, values: &Values<'_>) -> Result<HttpRequest, Cause> {
        let settings = &self.0;
        let url = settings.url.render(values, Place::Url).as_str().to_owned();
        let mut request = match &settings.body {
            Payload::Empty => HttpRequest::get(url),
            Payload::Form(fields) => {
                let fields: Vec<(&str, Zeroizing<String>)> = fields
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.render(values, Place::Plain)))
                    .collect();
                let fields: Vec<(&str, &str)> =
                    fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                HttpRequest::form(url, &fields)
            }
            Payload::Json(json) => HttpRequest::json(url, &json.render(values)),
            Payload::Xml(template) => {
                let text = template.render(values, Place::Xml);
                plain(url, "application/xml; charset=utf-8", &text)
            }
            Payload::Text(template) => {
                let text = template.render(values, Place::Plain);
                plain(url, "text/plain; charset=utf-8", &text)
            }
        };
        request.method = match settings.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
        };
        for (name, value) in &settings.headers {
            let value = value.render(values, Place::Plain);
            if !value.chars().all(is_header_char) {
                let why = "a header of the gateway would hold characters that no header has";
                return Err(Cause::because(Reason::CarrierError, why));
            }
            // A type of the operator's own replaces ours.
            request.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            request = request.header(name, value.as_str());
        }
        Ok(request)
    }

    /// Whether a body means that it was taken; `None`: nobody can tell.
    fn is_taken(&self, body: &str, json: Option<&Value>) -> Option<bool> {
        let Success { contains, equals, .. } = &self.0.success;
        let said = match contains {
            Some(_) if body.trim().is_empty() => return None,
            Some(text) => body.contains(text.as_str()),
            None => true,
        };
        let is = match equals {
            Some((pointer, wanted)) => word(json?.pointer(pointer)?)? == *wanted,
            None => true,
        };
        Some(said && is)
    }

    fn name(&self, body: &str, json: Option<&Value>) -> Option<String> {
        let name = match &self.0.handle {
            Naming::Pointer(pointer) => word(json?.pointer(pointer)?)?,
            Naming::Body => body.trim().to_owned(),
            Naming::After(text) => {
                let (_, behind) = body.split_once(text.as_str())?;
                behind.split_ascii_whitespace().next()?.to_owned()
            }
            Naming::Nowhere => return Some(String::new()),
        };
        is_name(&name).then_some(name)
    }
}

impl Carrier for Http {
    fn reach(&self) -> Reach {
        Reach {
            voice: false,
            sms: true,
            replies: self.0.inbound.is_some(),
            receipts: self.0.receipts.is_some(),
            calls_back: self.0.says(Field::Callback),
            says_all: false,
        }
    }

    fn order(&self, order: &Order<'_>) -> Result<HttpRequest, Cause> {
        match order.what {
            What::Call { .. } => {
                Err(Cause::because(Reason::CarrierError, "this carrier sends texts only"))
            }
            What::Text { body, valid } => self.request(&Values {
                to: order.to.expose(),
                from: &self.0.from,
                body: body.expose(),
                reference: order.id,
                callback: &format!("{}/receipt", order.hooks),
                valid_seconds: &valid.as_secs().max(1).to_string(),
            }),
        }
    }

    fn receipt(&self, _: Channel, status: u16, body: &[u8]) -> Receipt {
        let refused = |reason, why: String| Receipt::Refused(Cause::because(reason, why));
        if status == 408 || (500..600).contains(&status) || self.0.unclear.contains(&status) {
            return Receipt::Unclear;
        }
        if !self.0.success.statuses.contains(&status) {
            return match status {
                429 => {
                    let why = "the gateway has too many requests from us";
                    refused(Reason::Congested, why.to_owned())
                }
                400..=499 => {
                    let why = format!("the gateway refused the request with HTTP status {status}");
                    refused(Reason::CarrierError, why)
                }
                _ => Receipt::Unclear,
            };
        }
        let text = String::from_utf8_lossy(body);
        let json: Option<Value> = serde_json::from_slice(body).ok();
        match self.is_taken(&text, json.as_ref()) {
            None => Receipt::Unclear,
            Some(false) => {
                let why = "the answer of the gateway does not say that the text was taken";
                refused(Reason::CarrierError, why.to_owned())
            }
            // It was taken, and must not be sent again because we cannot read its name.
            Some(true) => self.name(&text, json.as_ref()).map_or(Receipt::Unclear, Receipt::Taken),
        }
    }

    fn hear(&self, hook: &Hook<'_>) -> Result<Heard, Forged> {
        let Settings { guard, receipts, inbound, from, answer, .. } = &self.0;
        let heard = reading::hear(guard, receipts.as_ref(), inbound.as_ref(), from, hook)?;
        let answer = answer.as_ref().map_or_else(HttpAnswer::default, |body| HttpAnswer {
            status: 200,
            body: body.clone(),
            ..HttpAnswer::default()
        });
        Ok(Heard { answer, ..heard })
    }
}

fn plain(url: String, content_type: &str, text: &str) -> HttpRequest {
    HttpRequest {
        body: Zeroizing::new(text.as_bytes().to_vec()),
        ..HttpRequest::get(url).header("content-type", content_type)
    }
}

/// Whether this begins with a scheme and a host that nothing is put into: whoever chooses a number
/// must not choose where its code goes.
fn is_address(url: &Template) -> bool {
    let start = url.start();
    let rest = start.strip_prefix("https://").or_else(|| start.strip_prefix("http://"));
    let host = rest.is_some_and(|rest| match rest.find(['/', '?']) {
        Some(at) => at > 0,
        None => !rest.is_empty() && url.is_fixed(),
    });
    host && url.literals(|c| c.is_ascii_graphic())
}

/// RFC 9110 section 5.6.2.
fn is_token(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(token)
}

/// RFC 9110 section 5.5, without what is obsolete.
const fn is_header_char(c: char) -> bool {
    matches!(c, ' '..='~')
}
