//! Delivery receipts, and the texts they are about.

use std::collections::VecDeque;

use super::pdu::{Deliver, class, latin1};
use crate::carrier::News;
use crate::verify::gsm;
use crate::verify::signal::{Cause, Reason};

/// How many texts of several parts are remembered.
const TEXTS: usize = 1_024;
/// The longest error code that is repeated.
const CODE: usize = 8;

/// What may follow a field without value.
const FIELDS: [&str; 6] = ["sub:", "dlvrd:", "submit", "stat:", "err:", "text:"];

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// What the centre calls the part.
    pub(super) id: String,
    /// What became of it; `None` where that is no news.
    pub(super) news: Option<News>,
}

impl Report {
    /// Reads a receipt; `None` when it is none.
    ///
    /// A `deliver_sm` is one when its `esm_class` says so or when it names a text of ours in a
    /// parameter. What it says alone does not count: a person could write that.
    pub(super) fn read(deliver: &Deliver) -> Option<Self> {
        let kind = deliver.esm_class & class::KIND;
        let receipt = matches!(kind, class::RECEIPT | class::INTERMEDIATE);
        if !receipt && (deliver.receipted.is_none() || kind != 0) {
            return None;
        }
        // Centres write receipts in ASCII, whatever their default alphabet is.
        let text = match deliver.data_coding {
            8 => gsm::from_ucs2(&deliver.message),
            _ => latin1(&deliver.message),
        };
        let id = deliver.receipted.clone().or_else(|| field(&text, "id:").map(str::to_owned));
        let state = deliver.state.and_then(State::numbered);
        let state = state.or_else(|| field(&text, "stat:").and_then(State::named));
        let code = field(&text, "err:").map(|code| {
            code.chars().filter(char::is_ascii_alphanumeric).take(CODE).collect::<String>()
        });
        Some(Self { id: id?, news: state.and_then(|state| state.news(code.as_deref())) })
    }
}

/// The value of a field of a receipt's text (appendix B): what follows its name up to a space.
/// The text itself stands last, and is none of it.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lower = text.to_ascii_lowercase();
    let is_start = |at: usize| at == 0 || lower.get(..at).is_some_and(|head| head.ends_with(' '));
    let find = |name: &str| lower.match_indices(name).map(|(at, _)| at).find(|at| is_start(*at));
    let at = find(name)?;
    if find("text:").is_some_and(|end| end < at) {
        return None;
    }
    let value = text.get(at + name.len()..)?.split_whitespace().next()?;
    // An empty field is followed by the next name.
    let lower = value.to_ascii_lowercase();
    (!FIELDS.iter().any(|name| lower.starts_with(name))).then_some(value)
}

/// The state of a message (5.2.28, appendix B).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Underway,
    Delivered,
    Undelivered(&'static str),
    Unknown,
}

impl State {
    fn numbered(state: u8) -> Option<Self> {
        Some(match state {
            1 | 6 => Self::Underway,
            2 => Self::Delivered,
            3 => Self::Undelivered("EXPIRED"),
            4 => Self::Undelivered("DELETED"),
            5 => Self::Undelivered("UNDELIVERABLE"),
            7 => Self::Unknown,
            8 => Self::Undelivered("REJECTED"),
            _ => return None,
        })
    }

    /// The words are cut to seven letters by some centres and not by others.
    fn named(word: &str) -> Option<Self> {
        Some(match word.get(..5)?.to_ascii_uppercase().as_str() {
            "ENROU" | "ACCEP" => Self::Underway,
            "DELIV" => Self::Delivered,
            "EXPIR" => Self::Undelivered("EXPIRED"),
            "DELET" => Self::Undelivered("DELETED"),
            "UNDEL" => Self::Undelivered("UNDELIVERABLE"),
            "REJEC" => Self::Undelivered("REJECTED"),
            "UNKNO" => Self::Unknown,
            _ => return None,
        })
    }

    fn news(self, code: Option<&str>) -> Option<News> {
        match self {
            Self::Underway => Some(News::Sent),
            Self::Delivered => Some(News::Delivered),
            Self::Undelivered(word) => {
                let detail = match code {
                    Some(code) if !code.is_empty() => format!("{word}, error {code}"),
                    Some(_) | None => word.to_owned(),
                };
                Some(News::Ended(Cause::because(Reason::Undelivered, detail)))
            }
            Self::Unknown => None,
        }
    }
}

/// Which parts belong to which text. A text is delivered when all its parts are, and is not as
/// soon as one is not; texts of one part need no entry.
#[derive(Default)]
pub(super) struct Ledger(VecDeque<Entry>);

struct Entry {
    handle: String,
    total: u8,
    /// What each part is called that was taken, and whether it was delivered.
    parts: Vec<(String, bool)>,
}

impl Ledger {
    /// A part of this text, of so many, was taken.
    pub(super) fn note(&mut self, handle: &str, total: u8, id: &str) {
        let part = (id.to_owned(), false);
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.handle == handle) {
            entry.parts.push(part);
            return;
        }
        if self.0.len() >= TEXTS {
            self.0.pop_front();
        }
        self.0.push_back(Entry { handle: handle.to_owned(), total, parts: vec![part] });
    }

    /// What news of a part mean for its text; `None` where nothing yet. The first part of a text
    /// that was forgotten speaks for all of it.
    pub(super) fn hear(&mut self, id: String, news: News) -> Option<(String, News)> {
        let known = |entry: &Entry| entry.parts.iter().any(|(part, _)| *part == id);
        let Some(at) = self.0.iter().position(known) else { return Some((id, news)) };
        let entry = self.0.get_mut(at)?;
        let handle = entry.handle.clone();
        match &news {
            News::Delivered => {
                for (part, delivered) in &mut entry.parts {
                    *delivered |= *part == id;
                }
                let whole = entry.parts.len() == usize::from(entry.total)
                    && entry.parts.iter().all(|(_, delivered)| *delivered);
                if !whole {
                    return None;
                }
                self.0.remove(at);
                Some((handle, news))
            }
            News::Ended(_) => {
                self.0.remove(at);
                Some((handle, news))
            }
            // The first part speaks for the others.
            News::Sent => (id == handle).then_some((handle, news)),
            News::Placed(_)
            | News::Alerting
            | News::Engaged
            | News::Prompting
            | News::Said { .. }
            | News::Text(_) => None,
        }
    }
}
