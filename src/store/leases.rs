//! Which owners are alive.
//!
//! Kept in memory by both backends, also beside the file: a process that opens the file is alone
//! with it, so no lease of an earlier process could still hold, and an idle node writes nothing.

use std::collections::BTreeMap;

use super::{LEASE, Owner, RENEWAL};
use crate::ambient::Timestamp;

/// Owner → when it was last renewed.
#[derive(Debug, Default)]
pub(super) struct Leases(BTreeMap<Owner, Timestamp>);

impl Leases {
    /// Whether `owner` must be renewed to stay alive.
    pub(super) fn ages(&self, owner: &Owner, now: Timestamp) -> bool {
        self.0.get(owner).is_none_or(|renewed| now >= *renewed + RENEWAL)
    }

    /// Notes that `owner` is alive; true when that was news.
    pub(super) fn renew(&mut self, owner: &Owner, now: Timestamp) -> bool {
        let ages = self.ages(owner, now);
        if ages {
            self.0.insert(owner.clone(), now);
        }
        ages
    }

    /// Whether `owner` is lost: unknown, or not renewed for too long.
    pub(super) fn lapsed(&self, owner: &Owner, now: Timestamp) -> bool {
        self.0.get(owner).is_none_or(|renewed| now >= *renewed + LEASE)
    }
}
