//! Where a gateway's requests say what: its receipts, and the texts that people send.

use serde_json::Value;

use super::guard::Guard;
use crate::carrier::{About, Forged, Heard, Hook, News, Text};
use crate::verify::number::PhoneNumber;
use crate::verify::request::Channel;
use crate::verify::signal::{Cause, Reason};

/// Where a value stands in a request of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// In the JSON body, at this pointer (RFC 6901); in a batch, from each of its items.
    Pointer(String),
    /// The form field or, unless only the body is signed, the query parameter of this name.
    Field(String),
}

/// How the gateway reports what became of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipts {
    /// Where the list is, if one body holds the receipts of several texts: a JSON pointer, empty
    /// for the whole body.
    pub batch: Option<String>,
    /// The gateway's name of the text. Not needed where each text has an address of its own for
    /// its receipts (`{callback}`).
    pub id: Option<At>,
    /// What became of it, in a word.
    pub status: At,
    /// The words for: it has left the gateway.
    pub sent: Vec<String>,
    /// The words for: it is on the phone.
    pub delivered: Vec<String>,
    /// The words for: it will not arrive.
    pub undelivered: Vec<String>,
}

/// How the gateway passes on the texts that people send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// As in [`Receipts`].
    pub batch: Option<String>,
    /// The gateway's name of the text.
    pub id: At,
    /// Who sent it; a number in E.164, with or without its plus.
    pub from: At,
    /// To which of our numbers; without it, the sender of our texts is meant.
    pub to: Option<At>,
    /// What it says.
    pub text: At,
}

/// A request, taken apart.
struct Source {
    json: Option<Value>,
    fields: Vec<(String, String)>,
}

impl Source {
    fn of(hook: &Hook<'_>, with_query: bool) -> Self {
        let json: Option<Value> = serde_json::from_slice(hook.body).ok();
        let form = if json.is_some() { &[] } else { hook.body };
        let query = if with_query { hook.query.as_bytes() } else { &[] };
        let fields = form_urlencoded::parse(form).chain(form_urlencoded::parse(query));
        let fields = fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Self { json, fields }
    }

    /// The items of a batch, or the whole as the only one; `None` when the batch is not there.
    fn items(&self, batch: Option<&str>) -> Option<Vec<Item<'_>>> {
        let Some(pointer) = batch else {
            return Some(vec![Item { json: self.json.as_ref(), fields: &self.fields }]);
        };
        let list = self.json.as_ref()?.pointer(pointer)?.as_array()?;
        Some(list.iter().map(|item| Item { json: Some(item), fields: &self.fields }).collect())
    }
}

/// One receipt, or one text.
struct Item<'a> {
    json: Option<&'a Value>,
    fields: &'a [(String, String)],
}

impl Item<'_> {
    fn get(&self, at: &At) -> Option<String> {
        match at {
            At::Pointer(pointer) => word(self.json?.pointer(pointer)?),
            At::Field(name) => {
                let found = self.fields.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone())
            }
        }
    }

    fn name(&self, at: &At) -> Option<String> {
        self.get(at).filter(|name| is_name(name))
    }
}

/// A text or a number, as text.
pub(super) fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether this can be a gateway's name for a text.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && !text.contains(char::is_control)
}

impl Receipts {
    fn news(&self, word: &str) -> Option<News> {
        let known = |words: &[String]| {
            words.iter().find(|known| known.eq_ignore_ascii_case(word.trim())).cloned()
        };
        if known(&self.delivered).is_some() {
            return Some(News::Delivered);
        }
        // Only words of the configuration are repeated: what the gateway writes may be anything.
        if let Some(word) = known(&self.undelivered) {
            let why = format!("the gateway reports {word}");
            return Some(News::Ended(Cause::because(Reason::Undelivered, why)));
        }
        known(&self.sent).map(|_| News::Sent)
    }

    /// Each receipt in the request: which text it is about, its word, and what that means. `None`
    /// when there is none.
    fn read(
        &self,
        source: &Source,
        about_this: bool,
    ) -> Option<Vec<(About, String, Option<News>)>> {
        let items = source.items(self.batch.as_deref())?;
        let batch = self.batch.is_some();
        let empty = batch && items.is_empty();
        let read: Vec<_> = items
            .iter()
            .filter_map(|item| {
                let word = item.get(&self.status)?;
                let id = self.id.as_ref().and_then(|at| item.name(at));
                let about = match id {
                    // The address of one text says less than a name in a list of many.
                    Some(id) if batch || !about_this => About::Handle(id),
                    Some(_) | None if about_this && items.len() == 1 => About::This,
                    Some(_) | None => return None,
                };
                let news = self.news(&word);
                Some((about, word, news))
            })
            .collect();
        (empty || !read.is_empty()).then_some(read)
    }
}

impl Inbound {
    /// Each text in the request; `None` when there is none. Who sends from something else than a
    /// number is nobody that was asked.
    fn read(&self, source: &Source, ours: &str) -> Option<Vec<Option<Text>>> {
        let items = source.items(self.batch.as_deref())?;
        let empty = self.batch.is_some() && items.is_empty();
        let read: Vec<_> = items
            .iter()
            .filter_map(|item| {
                let id = item.name(&self.id)?;
                let (from, body) = (item.get(&self.from)?, item.get(&self.text)?);
                let to = self.to.as_ref().and_then(|at| item.get(at));
                let to = to.unwrap_or_else(|| ours.to_owned());
                Some(number(&from).map(|from| Text { id, from, to, body: body.into() }))
            })
            .collect();
        (empty || !read.is_empty()).then_some(read)
    }
}

/// A number as gateways write it: with a plus, with `00`, or with neither.
fn number(text: &str) -> Option<PhoneNumber> {
    let text = text.trim();
    let digits = text.strip_prefix('+').or_else(|| text.strip_prefix("00")).unwrap_or(text);
    format!("+{digits}").parse().ok()
}

/// Reads a request of the gateway.
///
/// # Errors
/// When it does not prove where it comes from, or says nothing that is configured to be read.
pub(super) fn hear(
    guard: &Guard,
    receipts: Option<&Receipts>,
    inbound: Option<&Inbound>,
    ours: &str,
    hook: &Hook<'_>,
) -> Result<Heard, Forged> {
    let name = guard.check(hook)?;
    let heard = read(guard, receipts, inbound, ours, hook)?;
    // What is signed is a better name than what is said.
    Ok(Heard { once: name.or(heard.once), ..heard })
}

/// Reads a request that is the gateway's.
fn read(
    guard: &Guard,
    receipts: Option<&Receipts>,
    inbound: Option<&Inbound>,
    ours: &str,
    hook: &Hook<'_>,
) -> Result<Heard, Forged> {
    let source = Source::of(hook, guard.covers_query());
    if let Some(scene) = hook.scene {
        if scene.channel != Channel::Sms {
            return Err(Forged::Unreadable);
        }
        let read = receipts.and_then(|receipts| receipts.read(&source, true));
        return read.map(told).ok_or(Forged::Unreadable);
    }
    // Texts and receipts may share the address that no attempt has; a text says more.
    if let Some(texts) = inbound.and_then(|inbound| inbound.read(&source, ours)) {
        let texts: Vec<Text> = texts.into_iter().flatten().collect();
        let once = match texts.as_slice() {
            [text] => Some(text.id.clone()),
            [] | [_, ..] => None,
        };
        let news = texts.into_iter().map(|text| (About::Nobody, News::Text(text))).collect();
        return Ok(Heard { news, once, ..Heard::default() });
    }
    let read = receipts.and_then(|receipts| receipts.read(&source, false));
    read.map(told).ok_or(Forged::Unreadable)
}

fn told(read: Vec<(About, String, Option<News>)>) -> Heard {
    let once = match read.as_slice() {
        [(About::Handle(id), word, Some(_))] => Some(format!("{id}:{word}")),
        [] | [_, ..] => None,
    };
    let news = read.into_iter().filter_map(|(about, _, news)| Some((about, news?))).collect();
    Heard { news, once, ..Heard::default() }
}
