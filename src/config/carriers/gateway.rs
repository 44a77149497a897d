//! Gateways that are described rather than known: what they want to be asked, how they answer.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use toml::Spanned;
use zeroize::Zeroizing;

use super::Built;
use super::entry::Entry;
use super::guard::guard;
use crate::carrier::Carrier as _;
use crate::carrier::http::{
    At, Guard, Http, Inbound, JsonTemplate, Method, Naming, Payload, Receipts, Settings, Success,
    Template, TemplateError,
};
use crate::config::raw::{self, Hidden};
use crate::config::reader::{Place as Line, Reader};
use crate::gateway::settings::By;

/// What stands for the text and for whom it is for; no secret can have these names.
const PLACEHOLDERS: [&str; 7] =
    ["to", "to_digits", "from", "body", "reference", "callback", "valid_seconds"];

/// The operator's own placeholders.
type Secrets = BTreeMap<String, Zeroizing<String>>;

/// How a secret is written where its placeholder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Plain,
    Url,
    Xml,
}

pub(super) fn gateway(reader: &mut Reader<'_>, entry: &Entry<'_>, from: &str) -> Option<Built> {
    let raw = entry.raw;
    let secrets = secrets(reader, entry);
    let mut templates = Templates { entry, secrets: &secrets, whole: true };
    let url = match &raw.url {
        Some(url) => templates.read(reader, "url", url, Place::Url),
        None => {
            let message = "it is missing: write url = \"https://HOST/PATH\", where texts are to be \
                           sent from";
            entry.complain(reader, "url", message);
            None
        }
    };
    let mut headers = headers(reader, &mut templates);
    headers.extend(basic(reader, entry));
    let body = body(reader, &mut templates);
    let default = if raw.body.is_some() { "POST" } else { "GET" };
    let methods = [("POST", Method::Post), ("GET", Method::Get), ("PUT", Method::Put)];
    let method = match (&raw.method, default) {
        (None, "GET") => Some(Method::Get),
        (written, _) => entry.word(reader, "method", written.as_ref(), &methods),
    };
    let success = success(reader, entry);
    let handle = handle(reader, entry);
    let unclear = unclear(reader, entry);
    let receipts = receipts(reader, entry);
    let inbound = inbound(reader, entry);
    let guard = guard(reader, entry);
    let whole = templates.whole;
    if inbound.as_ref().is_some_and(|it| it.to.is_none()) && from.is_empty() {
        let message = "it is missing: inbound has no to, so what people write is taken to be \
                       written to from";
        entry.complain(reader, "from", message);
    }
    let settings = Settings {
        url: url?,
        method: method?,
        headers,
        body: body?,
        success: success?,
        unclear,
        handle: handle?,
        from: from.to_owned(),
        receipts,
        inbound,
        guard: guard?,
        answer: raw.answer.as_ref().map(|it| it.get_ref().clone()),
    };
    if !whole {
        return None;
    }
    finish(reader, entry, settings)
}

/// What the adapter makes of it.
fn finish(reader: &mut Reader<'_>, entry: &Entry<'_>, settings: Settings) -> Option<Built> {
    let told = settings.receipts.is_some() || settings.inbound.is_some();
    let guarded = !matches!(settings.guard, Guard::Path);
    let brings_replies = settings.inbound.is_some();
    let has_receipts = settings.receipts.is_some();
    let at = entry.raw.url.as_ref().map(|url| host(url.get_ref().expose())).unwrap_or_default();
    match Http::new(settings) {
        Ok(carrier) => {
            let addressed = carrier.reach().calls_back;
            if addressed && !has_receipts {
                let message = "{callback} is asked for, and nothing says how receipts are to be \
                               read: write receipts = { status = \"…\", delivered = [\"…\"] }";
                entry.complain(reader, "receipts", message);
                return None;
            }
            // Receipts without an address of their own come where people's texts do.
            let shared = brings_replies || (has_receipts && !addressed);
            Some(Built {
                by: By::Http(std::sync::Arc::new(carrier)),
                at,
                calls_back: told || addressed,
                unproven: shared && !guarded,
            })
        }
        Err(error) => {
            entry.refused(reader, &error.to_string());
            None
        }
    }
}

/// Scheme and host; a path may hold an account.
fn host(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    format!("{scheme}://{host}")
}

fn secrets(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Secrets {
    let mut secrets = Secrets::new();
    for (name, written) in entry.raw.secrets.iter().flat_map(|it| it.get_ref()) {
        let key = format!("secrets.{name}");
        let word = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !word || PLACEHOLDERS.contains(&name.as_str()) {
            let message = "a secret is named by small letters, digits and _, and not like one of \
                           the placeholders there are";
            reader.complain(reader.place(written), &entry.key(&key), None, message);
        }
        let text = entry.secret(reader, &key, Some(written));
        // What could not be read was complained of, and is no unknown placeholder.
        secrets.insert(name.clone(), text.unwrap_or_else(|| Zeroizing::new(String::new())));
    }
    secrets
}

/// Reads templates.
struct Templates<'a> {
    entry: &'a Entry<'a>,
    secrets: &'a Secrets,
    /// None was refused so far.
    whole: bool,
}

impl Templates<'_> {
    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        key: &str,
        written: &Spanned<Hidden>,
        place: Place,
    ) -> Option<Template> {
        match Template::parse(&filled(written.get_ref().expose(), self.secrets, place)) {
            Ok(template) => Some(template),
            Err(error) => {
                self.refuse(reader, reader.place(written), key, &error);
                None
            }
        }
    }

    fn refuse(&mut self, reader: &mut Reader<'_>, at: Line, key: &str, error: &TemplateError) {
        self.whole = false;
        let message = match error {
            // What stands in braces that are meant as such may be a secret.
            TemplateError::Unknown(name) if !name.bytes().all(is_word) => {
                "what stands in { } is no placeholder; write {{ and }} for braces".to_owned()
            }
            TemplateError::Unknown(_) if !self.secrets.is_empty() => {
                let own: Vec<String> = self.secrets.keys().map(|it| format!("{{{it}}}")).collect();
                format!("{error}; of secrets there are {}", own.join(", "))
            }
            TemplateError::Unknown(_) | TemplateError::Open | TemplateError::Close => {
                error.to_string()
            }
        };
        reader.complain(at, &self.entry.key(key), None, message);
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A template with the secrets in it; its other placeholders stay what they are.
fn filled(text: &str, secrets: &Secrets, place: Place) -> Zeroizing<String> {
    let mut filled = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
        filled.push_str(before);
        let own = || {
            let (name, behind) = behind.strip_prefix('{')?.split_once('}')?;
            Some((secrets.get(name)?, behind))
        };
        if let Some(doubled) = ["{{", "}}"].into_iter().find(|it| behind.starts_with(it)) {
            filled.push_str(doubled);
            rest = behind.strip_prefix(doubled).unwrap_or_default();
        } else if let Some((secret, behind)) = own() {
            write(secret, place, &mut filled);
            rest = behind;
        } else {
            let end = behind.chars().next().map_or(0, char::len_utf8);
            let (brace, behind) = behind.split_at_checked(end).unwrap_or((behind, ""));
            filled.push_str(brace);
            rest = behind;
        }
    }
    filled.push_str(rest);
    filled
}

fn write(secret: &str, place: Place, out: &mut Zeroizing<String>) {
    match place {
        // A space is %20 wherever it stands; + is one in a query only.
        Place::Url => form_urlencoded::byte_serialize(secret.as_bytes())
            .for_each(|piece| out.push_str(if piece == "+" { "%20" } else { piece })),
        Place::Plain => secret.chars().for_each(|c| literal(c, out)),
        Place::Xml => secret.chars().for_each(|c| match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c => literal(c, out),
        }),
    }
}

/// A character that is no placeholder's brace.
fn literal(c: char, out: &mut Zeroizing<String>) {
    match c {
        '{' => out.push_str("{{"),
        '}' => out.push_str("}}"),
        c => out.push(c),
    }
}

fn headers(reader: &mut Reader<'_>, templates: &mut Templates<'_>) -> Vec<(String, Template)> {
    let mut headers = Vec::new();
    for (name, written) in templates.entry.raw.headers.iter().flat_map(|it| it.get_ref()) {
        let (text, key) = (written.get_ref().expose(), format!("headers.{name}"));
        let small = name.to_ascii_lowercase();
        let telling = ["authorization", "key", "token", "secret", "password"];
        let secret = templates.secrets.keys().any(|it| text.contains(&format!("{{{it}}}")));
        if telling.iter().any(|it| small.contains(it)) && !secret {
            let message = "this looks like a secret that stands in the configuration itself: \
                           write it as secrets = { key = \"env:NAME\" } and here {key}";
            reader.warn(reader.place(written), &templates.entry.key(&key), None, message);
        }
        headers.extend(
            templates.read(reader, &key, written, Place::Plain).map(|read| (name.clone(), read)),
        );
    }
    headers
}

/// The header of HTTP Basic authentication (RFC 7617).
fn basic(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<(String, Template)> {
    let basic = entry.raw.basic.as_ref()?.get_ref();
    let user = entry.needed(reader, "basic.user", basic.user.as_ref(), "…");
    let password = entry.needed_secret(reader, "basic.password", basic.password.as_ref());
    let user = user?;
    if user.contains(':') {
        entry.complain(reader, "basic.user", "a user of HTTP Basic has no \":\"");
        return None;
    }
    let both = Zeroizing::new(format!("{user}:{}", password?.as_str()));
    let value = Zeroizing::new(format!("Basic {}", BASE64.encode(both.as_bytes())));
    // Base64 has no braces.
    Template::parse(&value).ok().map(|value| ("Authorization".to_owned(), value))
}

fn body(reader: &mut Reader<'_>, templates: &mut Templates<'_>) -> Option<Payload> {
    let Some(body) = &templates.entry.raw.body else { return Some(Payload::Empty) };
    match body.get_ref() {
        raw::Body { form: Some(form), json: None, text: None, xml: None } => {
            let mut fields = Vec::new();
            for (name, value) in form.get_ref() {
                let key = format!("body.form.{name}");
                let read = templates.read(reader, &key, value, Place::Plain);
                fields.extend(read.map(|template| (name.clone(), template)));
            }
            Some(Payload::Form(fields))
        }
        raw::Body { form: None, json: Some(json), text: None, xml: None } => {
            let filled = with_secrets(json.get_ref(), templates.secrets);
            match JsonTemplate::parse(&filled) {
                Ok(json) => Some(Payload::Json(json)),
                Err(error) => {
                    templates.refuse(reader, reader.place(json), "body.json", &error);
                    None
                }
            }
        }
        raw::Body { form: None, json: None, text: Some(text), xml: None } => {
            templates.read(reader, "body.text", text, Place::Plain).map(Payload::Text)
        }
        raw::Body { form: None, json: None, text: None, xml: Some(xml) } => {
            templates.read(reader, "body.xml", xml, Place::Xml).map(Payload::Xml)
        }
        raw::Body { .. } => {
            let message = "write one of { form = { … } }, { json = { … } }, { text = \"…\" } and \
                           { xml = \"…\" }";
            templates.entry.complain(reader, "body", message);
            None
        }
    }
}

/// JSON whose strings are templates, with the secrets in them.
fn with_secrets(json: &Value, secrets: &Secrets) -> Value {
    match json {
        Value::String(text) => {
            Value::String(filled(text, secrets, Place::Plain).as_str().to_owned())
        }
        Value::Array(items) => items.iter().map(|item| with_secrets(item, secrets)).collect(),
        Value::Object(members) => {
            let members = members.iter();
            Value::Object(
                members.map(|(name, it)| (name.clone(), with_secrets(it, secrets))).collect(),
            )
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => json.clone(),
    }
}

fn success(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Success> {
    let mut success = Success { statuses: 200..=299, contains: None, equals: None };
    let Some(written) = &entry.raw.success else { return Some(success) };
    let written = written.get_ref();
    let port = |status: i64| u16::try_from(status).ok();
    match written.status.as_ref().map(|list| list.get_ref().as_slice()) {
        None => {}
        Some(&[first, last]) => {
            success.statuses = port(first).unwrap_or(0)..=port(last).unwrap_or(0);
        }
        Some(_) => {
            let message = "write the first and the last status, as [200, 299]";
            entry.complain(reader, "success.status", message);
            return None;
        }
    }
    success.contains.clone_from(&written.contains);
    match (&written.pointer, &written.equals) {
        (None, None) => {}
        (Some(pointer), Some(equals)) => {
            success.equals = Some((pointer.get_ref().clone(), equals.clone()));
        }
        (Some(_), None) | (None, Some(_)) => {
            let message = "pointer and equals go together: what must stand where in the JSON of \
                           the answer, as { pointer = \"/status\", equals = \"0\" }";
            entry.complain(reader, "success", message);
            return None;
        }
    }
    Some(success)
}

fn unclear(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Vec<u16> {
    let mut statuses = Vec::new();
    let Some(list) = &entry.raw.unclear else { return statuses };
    for status in list.get_ref() {
        match u16::try_from(*status).ok().filter(|status| (100..600).contains(status)) {
            Some(status) => statuses.push(status),
            None => {
                entry.complain(reader, "unclear", "write statuses of HTTP, as [429]");
            }
        }
    }
    statuses
}

fn handle(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Naming> {
    let Some(handle) = &entry.raw.handle else { return Some(Naming::Nowhere) };
    match handle.get_ref() {
        raw::Handle { pointer: Some(pointer), after: None, body: false } => {
            Some(Naming::Pointer(pointer.clone()))
        }
        raw::Handle { pointer: None, after: Some(text), body: false } if !text.is_empty() => {
            Some(Naming::After(text.clone()))
        }
        raw::Handle { pointer: None, after: None, body: true } => Some(Naming::Body),
        raw::Handle { .. } => {
            let message = "write where the answer names the text: one of { pointer = \"/id\" }, \
                           { after = \"OK:\" } and { body = true }";
            entry.complain(reader, "handle", message);
            None
        }
    }
}

/// A JSON pointer begins with a slash; anything else is the name of a field.
fn at(text: &str) -> At {
    if text.starts_with('/') { At::Pointer(text.to_owned()) } else { At::Field(text.to_owned()) }
}

fn receipts(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Receipts> {
    let written = entry.raw.receipts.as_ref()?.get_ref();
    let Some(status) = &written.status else {
        let message = "write where a receipt says what became of the text: status = \"/status\", \
                       a JSON pointer, or the name of a field";
        entry.complain(reader, "receipts.status", message);
        return None;
    };
    if written.delivered.is_empty() {
        let message = "write the words that mean that the text is on the phone: delivered = \
                       [\"DELIVRD\"]";
        entry.complain(reader, "receipts.delivered", message);
    }
    Some(Receipts {
        batch: written.batch.clone(),
        id: written.id.as_deref().map(at),
        status: at(status),
        sent: written.sent.clone(),
        delivered: written.delivered.clone(),
        undelivered: written.undelivered.clone(),
    })
}

fn inbound(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Inbound> {
    let written = entry.raw.inbound.as_ref()?.get_ref();
    let mut needed = |name: &str, text: &Option<String>| {
        if text.is_none() {
            let message = format!(
                "it is missing: write {name} = \"/{name}\", a JSON pointer, or the name of a field"
            );
            entry.complain(reader, &format!("inbound.{name}"), message);
        }
        text.as_deref().map(at)
    };
    let id = needed("id", &written.id);
    let from = needed("from", &written.from);
    let text = needed("text", &written.text);
    Some(Inbound {
        batch: written.batch.clone(),
        id: id?,
        from: from?,
        to: written.to.as_deref().map(at),
        text: text?,
    })
}
