//! What the store tells: records, answers, what is due, counts and pages.

use std::time::Duration;

use super::{EffectId, PAGE_MOST, StoreError};
use crate::ambient::Timestamp;

/// A record as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The version its last commit gave it.
    pub version: u64,
    /// The group it is listed in.
    pub group: String,
    /// The time it is listed by.
    pub created: Timestamp,
    /// What its last commit wrote.
    pub bytes: Vec<u8>,
}

/// What a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Tells a repeated request from another one under the same key.
    pub fingerprint: [u8; 32],
    /// The answer.
    pub bytes: Vec<u8>,
}

/// What a claim found due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Effects, the caller's until they are done, postponed or its lease lapses.
    pub effects: Vec<Effect>,
    /// Records to be woken; each comes back after [`WAKE_RETRY`](super::WAKE_RETRY) unless a commit replaces its
    /// wake-up.
    pub wakes: Vec<String>,
    /// When the next claim would find something; not after `now` when `limit` left something.
    pub next_due: Option<Timestamp>,
}

/// A claimed effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Its name.
    pub id: EffectId,
    /// What it is.
    pub kind: u8,
    /// When it became due.
    pub due: Timestamp,
    /// What it says.
    pub bytes: Vec<u8>,
    /// It must happen at most once.
    pub once: bool,
    /// A former owner, or the one whom it was for, was lost with it: whether it happened is unknown.
    /// With `once`, it must not be carried out again.
    pub orphaned: bool,
}

/// A count within a sliding window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// What is counted. The same key in another window is another counter.
    pub key: String,
    /// How far back it counts.
    pub window: Duration,
    /// How much this call adds; what is below zero is taken back of what was counted last.
    pub add: i64,
    /// How much it may hold with this call; more stands against the whole tally.
    pub most: Option<u64>,
}

/// What became of a tally.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Tally {
    /// Whether all of it was counted. If not, nothing was.
    pub granted: bool,
    /// The counters, in their order.
    pub counts: Vec<Count>,
}

/// What a counter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How much, with this call where it was granted.
    pub counted: u64,
    /// When there is room for what this call adds: `now` where its limit does not stand against it,
    /// and `None` where there never is, because that is more than the limit.
    pub room_at: Option<Timestamp>,
}

/// Which records to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// The group they are in.
    pub group: String,
    /// Created at or after this.
    pub from: Option<Timestamp>,
    /// Created before this.
    pub until: Option<Timestamp>,
    /// Where the last page ended: its [`Page::next`].
    pub cursor: Option<String>,
    /// The most rows wanted, between 1 and [`PAGE_MOST`]; brought into that range.
    pub limit: usize,
}

impl ListQuery {
    pub(super) fn limit(&self) -> usize {
        self.limit.clamp(1, PAGE_MOST)
    }

    /// The row that the last page ended with.
    pub(super) fn after(&self) -> Result<Option<(Timestamp, &str)>, StoreError> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let (created, id) = cursor.split_once('.').ok_or(StoreError::Cursor)?;
        let created = u64::from_str_radix(created, 16).map_err(|_| StoreError::Cursor)?;
        Ok(Some((Timestamp::from_micros(created), id)))
    }
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its rows, newest first.
    pub rows: Vec<Listed>,
    /// The cursor of the following page; `None`: this is the last.
    pub next: Option<String>,
}

impl Page {
    /// The page of `rows`, of which one more than `limit` was looked for.
    pub(super) fn new(mut rows: Vec<Listed>, limit: usize) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows
            .last()
            .filter(|_| more)
            .map(|last| format!("{:x}.{}", last.created.as_micros(), last.id));
        Self { rows, next }
    }
}

/// A listed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub id: String,
    /// The time it is listed by.
    pub created: Timestamp,
    /// Its version.
    pub version: u64,
    /// What it says.
    pub bytes: Vec<u8>,
}
