//! The audit log as text: entries that name the one before by its hash, and what is wrong with a log
//! whose chain breaks. Values alone; the file is in [`super`].
//!
//! A line is a JSON object. Its hash is the SHA-256 of everything in it before `,"hash":`, which holds the
//! hash of the line before; its MAC is that hash's under the gateway's key. Who has not the key can
//! recompute hashes, and no MAC.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::ambient::Timestamp;
use crate::verify::code::Vault;

/// What an entry says that older ones were removed, because they had been kept as long as they should.
pub const TRIMMED: &str = "audit.trimmed";

/// What stands before the hash in a line.
const SPLIT: &str = ",\"hash\":\"";

/// Where a log stands: the number of its last entry and its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How many entries were ever written.
    pub no: u64,
    /// The hash of the last.
    pub hash: String,
}

impl Head {
    /// That of a log in which nothing was ever written.
    #[must_use]
    pub fn start() -> Self {
        Self { no: 0, hash: BASE64.encode([0; 32]) }
    }

    /// As it is kept beside the log.
    #[must_use]
    pub fn written(&self, vault: &Vault) -> String {
        let kept = Kept { head: self.clone(), mac: self.mac(vault) };
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// What is kept beside the log, where the gateway wrote it.
    #[must_use]
    pub fn read(text: &str, vault: &Vault) -> Option<Self> {
        let Kept { head, mac } = serde_json::from_str(text).ok()?;
        vault.live().any(|vault| head.mac(&vault) == mac).then_some(head)
    }

    fn mac(&self, vault: &Vault) -> String {
        vault.marked("audit head", &[&self.no.to_string(), &self.hash])
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    head: Head,
    mac: String,
}

#[derive(Serialize)]
struct Body<'a> {
    no: u64,
    at: String,
    who: &'a str,
    what: &'a str,
    about: &'a Value,
    prev: &'a str,
}

/// An entry as it is read.
#[derive(Deserialize)]
struct Read {
    no: u64,
    what: String,
    #[serde(default)]
    about: Value,
    prev: String,
    hash: String,
    mac: String,
}

/// The line that follows `head`, and where the log stands with it.
#[must_use]
pub fn line(
    head: &Head,
    vault: &Vault,
    at: Timestamp,
    who: &str,
    what: &str,
    about: &Value,
) -> (String, Head) {
    let no = head.no.saturating_add(1);
    let body = Body { no, at: at.to_rfc3339(), who, what, about, prev: &head.hash };
    let body = serde_json::to_string(&body).unwrap_or_default();
    let body = body.strip_suffix('}').unwrap_or(&body);
    let hash = hash_of(body);
    let mac = mac_of(vault, &hash);
    let line = format!("{body}{SPLIT}{hash}\",\"mac\":\"{mac}\"}}\n");
    (line, Head { no, hash })
}

fn hash_of(body: &str) -> String {
    BASE64.encode(Sha256::digest(body))
}

fn mac_of(vault: &Vault, hash: &str) -> String {
    vault.marked("audit", &[hash])
}

/// Where a log's chain breaks, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Break {
    /// The line, from 1; `None`: the end of the log.
    pub line: Option<usize>,
    /// What was done to it.
    pub kind: Kind,
}

/// What was done to a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The line is no entry.
    Unreadable,
    /// The entry is not what it was.
    Altered,
    /// The entry was not written by this gateway, or under a key that is not at hand.
    Forged,
    /// It does not follow the entry before, one of the two was exchanged.
    Exchanged,
    /// Entries before it are missing.
    Removed {
        /// The first that is missing.
        first: u64,
        /// The last.
        last: u64,
    },
    /// It is not later than the entry before: one of the two was put there, or moved.
    Inserted,
    /// Entries at the end are missing.
    Truncated {
        /// The first that is missing.
        first: u64,
        /// The last.
        last: u64,
    },
    /// The file that says how long the log is, is missing, or not this gateway's.
    NoHead,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: ")?,
            None => f.write_str("the end: ")?,
        }
        match &self.kind {
            Kind::Unreadable => f.write_str("it is no entry"),
            Kind::Altered => f.write_str("the entry was altered"),
            Kind::Forged => f.write_str(
                "the entry was not written by this gateway, or under a key that is not at hand",
            ),
            Kind::Exchanged => {
                f.write_str("it does not follow the entry before: one of the two was exchanged")
            }
            Kind::Removed { first, last } => {
                write!(f, "the entries {first} to {last} before it were removed")
            }
            Kind::Inserted => f.write_str(
                "it is not later than the entry before: one of the two was inserted or moved",
            ),
            Kind::Truncated { first, last } => write!(f, "the entries {first} to {last} were cut off"),
            Kind::NoHead => f.write_str(
                "audit.head is missing or not this gateway's: whether entries were cut off is not known",
            ),
        }
    }
}

/// What a look at a log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// How many entries it has.
    pub entries: usize,
    /// Where it stands.
    pub head: Head,
    /// Where it breaks; empty where it is whole.
    pub breaks: Vec<Break>,
}

/// Looks at a whole log. `kept` is what [`Head::written`] wrote beside it.
#[must_use]
pub fn look(text: &str, kept: Option<&str>, vault: &Vault) -> Looked {
    let mut looked = Looked { entries: 0, head: Head::start(), breaks: Vec::new() };
    let (mut first, mut trimmed) = (None, 0);
    // Whether a MAC stands behind what was read so far: each vouches for all before it.
    let mut unproved = None;
    for (n, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line)) {
        let Some((entry, body)) = read(line) else {
            looked.tell(n, Kind::Unreadable);
            continue;
        };
        looked.entries += 1;
        if hash_of(body) != entry.hash {
            looked.tell(n, Kind::Altered);
        } else if vault.live().any(|vault| mac_of(&vault, &entry.hash) == entry.mac) {
            unproved = None;
        } else {
            unproved = unproved.or(Some(n));
        }
        if entry.what == TRIMMED {
            trimmed = entry.about.get("through").and_then(Value::as_u64).unwrap_or(0).max(trimmed);
        }
        if first.is_none() {
            first = Some((n, entry.no));
        } else {
            looked.follows(n, &entry);
        }
        looked.head = Head { no: entry.no, hash: entry.hash };
    }
    if let Some(n) = unproved {
        looked.tell(n, Kind::Forged);
    }
    match first {
        Some((n, no)) if no > trimmed + 1 => {
            looked.tell(n, Kind::Removed { first: trimmed + 1, last: no - 1 });
        }
        Some(_) | None => {}
    }
    looked.ends(kept, vault);
    looked.breaks.sort_by_key(|it| it.line.unwrap_or(usize::MAX));
    looked
}

impl Looked {
    fn tell(&mut self, line: usize, kind: Kind) {
        self.breaks.push(Break { line: Some(line), kind });
    }

    /// Whether an entry is the one after the last.
    fn follows(&mut self, line: usize, entry: &Read) {
        let next = self.head.no.saturating_add(1);
        if entry.no > next {
            self.tell(line, Kind::Removed { first: next, last: entry.no - 1 });
        } else if entry.no < next {
            self.tell(line, Kind::Inserted);
        } else if entry.prev != self.head.hash {
            self.tell(line, Kind::Exchanged);
        }
    }

    /// Whether the last entry is the last that was written.
    fn ends(&mut self, kept: Option<&str>, vault: &Vault) {
        let Some(kept) = kept.and_then(|kept| Head::read(kept, vault)) else {
            if self.head.no > 0 {
                self.breaks.push(Break { line: None, kind: Kind::NoHead });
            }
            return;
        };
        let kind = if kept.no > self.head.no {
            Kind::Truncated { first: self.head.no + 1, last: kept.no }
        } else if kept.no == self.head.no && kept.hash != self.head.hash {
            Kind::Exchanged
        } else {
            // It is written after the entry: a crash between the two leaves it one behind.
            return;
        };
        self.breaks.push(Break { line: None, kind });
    }
}

/// An entry, and the text that its hash is of.
fn read(line: &str) -> Option<(Read, &str)> {
    let (body, _) = line.rsplit_once(SPLIT)?;
    Some((serde_json::from_str(line).ok()?, body))
}

/// When an entry was written, as it says itself.
#[must_use]
pub fn written_at(line: &str) -> Option<(u64, String)> {
    #[derive(Deserialize)]
    struct When {
        no: u64,
        at: String,
    }
    let when: When = serde_json::from_str(line).ok()?;
    Some((when.no, when.at))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vault() -> Vault {
        Vault::of("key")
    }

    /// A log of so many entries, and its head.
    fn log(entries: u64, vault: &Vault) -> (Vec<String>, String) {
        let (mut head, mut lines) = (Head::start(), Vec::new());
        for n in 0..entries {
            let about = json!({"n": n, "hash": "a\",\"hash\":\"b"});
            let (line, next) =
                line(&head, vault, Timestamp::from_secs(n), "admin", "block", &about);
            lines.push(line);
            head = next;
        }
        (lines, head.written(vault))
    }

    fn breaks(lines: &[String], kept: &str) -> Vec<(Option<usize>, Kind)> {
        let looked = look(&lines.concat(), Some(kept), &vault());
        looked.breaks.into_iter().map(|it| (it.line, it.kind)).collect()
    }

    #[test]
    fn a_log_that_nobody_touched_is_whole() {
        for entries in [0, 1, 20] {
            let (lines, kept) = log(entries, &vault());
            assert_eq!(breaks(&lines, &kept), []);
        }
        // A crash between entry and head.
        let ((lines, _), (_, before)) = (log(5, &vault()), log(4, &vault()));
        assert_eq!(breaks(&lines, &before), []);
    }

    #[test]
    fn what_was_done_to_a_log_is_told() {
        let (whole, kept) = log(9, &vault());
        let with = |change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = whole.clone();
            change(&mut lines);
            breaks(&lines, &kept)
        };
        let line = |n, kind| (Some(n), kind);
        assert_eq!(with(&|it| it[3] = it[3].replace("admin", "nimda")), [line(4, Kind::Altered)]);
        assert_eq!(with(&|it| drop(it.remove(3))), [line(4, Kind::Removed { first: 4, last: 4 })]);
        assert_eq!(
            with(&|it| drop(it.drain(0..2))),
            [line(1, Kind::Removed { first: 1, last: 2 })]
        );
        assert_eq!(with(&|it| it.truncate(7)), [(None, Kind::Truncated { first: 8, last: 9 })]);
        assert_eq!(with(&|it| it.clear()), [(None, Kind::Truncated { first: 1, last: 9 })]);
        assert_eq!(with(&|it| it.insert(4, it[2].clone()))[0], line(5, Kind::Inserted));
        assert_eq!(with(&|it| it.swap(4, 5)).len(), 3);
        assert_eq!(with(&|it| it[8] = it[8][..20].to_owned())[0], line(9, Kind::Unreadable));
        assert_eq!(look(&whole.concat(), None, &vault()).breaks[0].kind, Kind::NoHead);
    }

    #[test]
    fn whoever_has_not_the_key_cannot_write_entries() {
        let other = Vault::of("another");
        let (whole, kept) = log(9, &vault());
        // A whole log of somebody else's, and a chain recomputed from the middle on.
        let (foreign, foreign_kept) = log(9, &other);
        let found = breaks(&foreign, &foreign_kept);
        assert_eq!(found, [(Some(1), Kind::Forged), (None, Kind::NoHead)]);
        let mut head = look(&whole[..4].concat(), None, &vault()).head;
        let mut lines = whole[..4].to_vec();
        for n in 4..9 {
            let at = Timestamp::from_secs(n);
            let (line, next) = line(&head, &other, at, "admin", "nothing", &Value::Null);
            lines.push(line);
            head = next;
        }
        let found = breaks(&lines, &kept);
        assert_eq!(found, [(Some(5), Kind::Forged), (None, Kind::Exchanged)]);
    }

    #[test]
    fn entries_of_an_older_key_count_and_so_do_those_before_one_that_counts() {
        let (mut lines, kept) = log(3, &Vault::of("old"));
        let ring = vault().with_older([Vault::of("old")]);
        assert_eq!(look(&lines.concat(), Some(&kept), &ring).breaks, []);
        let head = look(&lines.concat(), Some(&kept), &ring).head;
        let (line, head) = line(&head, &ring, Timestamp::from_secs(9), "a", "b", &Value::Null);
        lines.push(line);
        assert_eq!(breaks(&lines, &head.written(&ring)), [], "the old key is gone");
    }

    #[test]
    fn what_was_kept_long_enough_may_be_gone() {
        let (mut lines, kept) = log(9, &vault());
        let head = Head::read(&kept, &vault()).unwrap();
        let about = json!({"through": 4});
        let (line, head) =
            line(&head, &vault(), Timestamp::from_secs(9), "octothorpe", TRIMMED, &about);
        lines.push(line);
        let kept = head.written(&vault());
        assert_eq!(breaks(&lines[4..], &kept), []);
        assert_eq!(breaks(&lines[2..], &kept), [], "or not yet");
        let first = Some(1);
        assert_eq!(breaks(&lines[5..], &kept), [(first, Kind::Removed { first: 5, last: 5 })]);
    }
}
