//! What a change of the store is, and what became of it.

use std::fmt;

use super::Effect;
use crate::ambient::Timestamp;

/// One atomic, durable change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The time of the change.
    pub now: Timestamp,
    /// The record that changes.
    pub record: Option<RecordWrite>,
    /// Effects to be carried out from now on.
    pub queue: Vec<Queued>,
    /// Effects that were carried out; unknown ones are passed over.
    pub done: Vec<EffectId>,
    /// Effects to be tried again later.
    pub postpone: Vec<Postponed>,
    /// Other names of records.
    pub aliases: Vec<Alias>,
    /// Names that records take for themselves, keep for longer, or give back.
    pub holds: Vec<Hold>,
    /// The answer that this change gives to a request which may be repeated.
    pub answer: Option<Answer>,
}

/// The new state of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordWrite {
    /// The record's key.
    pub id: String,
    /// The version it must have now; `None`: it must not exist.
    pub expected: Option<u64>,
    /// The version it gets.
    pub version: u64,
    /// What it says.
    pub bytes: Vec<u8>,
    /// Its one wake-up, in place of the former.
    pub wake: Option<Timestamp>,
    /// The group it is listed in.
    pub group: String,
    /// The time it is listed by.
    pub created: Timestamp,
}

/// Names one queued effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId {
    /// The record it belongs to.
    pub record: String,
    /// Its key, unique within the record for all time.
    pub effect: String,
}

/// An effect, to be carried out once it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its name; one already queued under this name is replaced.
    pub id: EffectId,
    /// What it is; carried, not understood.
    pub kind: u8,
    /// When it may be claimed.
    pub due: Timestamp,
    /// What it says.
    pub bytes: Vec<u8>,
    /// It must happen at most once: it is never postponed, and comes back only as an orphan.
    pub once: bool,
    /// Its owner from the start: whoever commits it takes it without a second transaction.
    pub claimed_by: Option<Owner>,
    /// Whom it is for, where nobody has taken it yet: it is claimed by that owner alone, and once the
    /// owner's lease has lapsed by anybody, as an orphan.
    pub to: Option<Owner>,
}

impl Queued {
    /// Who has it, or is to have it: nobody else may, as long as that owner lives.
    pub(super) fn holder(&self) -> Option<&Owner> {
        self.claimed_by.as_ref().or(self.to.as_ref())
    }

    /// As whoever takes it gets it.
    pub(super) fn taken(self, orphaned: bool) -> Effect {
        let Self { id, kind, due, bytes, once, claimed_by: _, to: _ } = self;
        Effect { id, kind, due, bytes, once, orphaned }
    }

    /// Whether it waits for the one whom it is for.
    pub(super) const fn waits(&self) -> bool {
        self.claimed_by.is_none() && self.to.is_some()
    }
}

/// A repeatable effect that is released and becomes due again, for anybody.
///
/// Passed over when it is not queued (it was done meanwhile), is another's (who gives it back was taken for
/// lost) or may happen only once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postponed {
    /// Its name.
    pub id: EffectId,
    /// Who took it, and gives it back.
    pub owner: Owner,
    /// When it may be claimed again.
    pub due: Timestamp,
    /// What it says from now on.
    pub bytes: Vec<u8>,
}

impl Postponed {
    /// Whether it may be done to what is queued under its name.
    pub(super) fn may_release(&self, queued: &Queued) -> bool {
        !queued.once && queued.claimed_by.as_ref() == Some(&self.owner)
    }
}

/// Another name of a record, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The other name.
    pub alias: String,
    /// The record's id.
    pub record: String,
    /// When it may be forgotten.
    pub expires: Timestamp,
}

/// A name that one record has for itself, for a while: no other can take it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The name.
    pub name: String,
    /// The record that has it.
    pub record: String,
    /// From when on it is free, whatever becomes of the record. In a commit, a time that is not after
    /// the commit's own gives the name back; one that another record has stays with that.
    pub until: Timestamp,
}

/// The one answer to a request that may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Names the request: only one unexpired answer exists for a key.
    pub key: String,
    /// Tells a repeated request from another one under the same key.
    pub fingerprint: [u8; 32],
    /// What was answered.
    pub bytes: Vec<u8>,
    /// When the key is free again.
    pub expires: Timestamp,
}

/// What became of a [`Commit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// All of it is durable.
    Yes,
    /// Nothing was written: the record has another version than expected.
    Stale {
        /// The version it has; `None`: it does not exist.
        version: Option<u64>,
    },
    /// Nothing was written: the request was answered before.
    Answered {
        /// The fingerprint of the request that was answered.
        fingerprint: [u8; 32],
        /// What was answered.
        bytes: Vec<u8>,
    },
    /// Nothing was written: another record has one of the names.
    Held(Hold),
}

/// Who carries effects out: one run of one node. A name must not be used by a second run, which
/// would keep the first run's effects from becoming orphans.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(String);

impl Owner {
    /// The owner of this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
