//! The store as ordered maps behind one lock.
//!
//! Written apart from the embedded store, not above a common layer, so that each is a check of
//! the other (`tests/store.rs` compares them under random commits).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::leases::Leases;
use super::window::{self, Buckets};
use super::{
    Answer, Claimed, Commit, Committed, Counter, Effect, EffectId, FIND_MOST, Forgotten, Given,
    Hold, ListQuery, Listed, Owner, PRUNE_MOST, Page, Queued, RecordWrite, StoreError, Stored,
    Tally, WAKE_RETRY,
};
use crate::ambient::Timestamp;

/// All of it; a verb holds the lock from beginning to end, which makes it one transaction.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<State>>);

/// Rows by their key, and beside them the same rows in the orders in which they are looked for.
#[derive(Debug, Default)]
struct State {
    records: BTreeMap<String, RecordWrite>,
    listed: BTreeSet<(String, Timestamp, String)>,
    /// Group and id of each record: one of another group is not found here, as if there were none.
    homes: BTreeSet<(String, String)>,
    wakes: BTreeSet<(Timestamp, String)>,
    queue: BTreeMap<EffectId, Queued>,
    due: BTreeSet<(Timestamp, EffectId)>,
    /// Effects with an owner, and those that wait for one.
    held: BTreeSet<(Owner, EffectId)>,
    /// Those of the held ones that wait.
    addressed: BTreeSet<(Owner, Timestamp, EffectId)>,
    aliases: BTreeMap<(String, String), Timestamp>,
    alias_expiry: BTreeSet<(Timestamp, String, String)>,
    holds: BTreeMap<String, Hold>,
    hold_expiry: BTreeSet<(Timestamp, String)>,
    answers: BTreeMap<String, Answer>,
    answer_expiry: BTreeSet<(Timestamp, String)>,
    /// By key, then the few windows of each. There are more of these than of anything else.
    counters: HashMap<String, Vec<(u64, Buckets)>>,
    /// When to look which windows of a key have expired: one row for each key.
    counter_expiry: BTreeSet<(Timestamp, String)>,
    leases: Leases,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn load(&self, id: &str, group: Option<&str>) -> Option<Stored> {
        let state = self.state();
        let is_theirs = |group: &str| state.homes.contains(&(group.to_owned(), id.to_owned()));
        if !group.is_none_or(is_theirs) {
            return None;
        }
        let record = state.records.get(id)?;
        Some(Stored {
            version: record.version,
            group: record.group.clone(),
            created: record.created,
            bytes: record.bytes.clone(),
        })
    }

    pub(super) fn answered(&self, now: Timestamp, key: &str) -> Option<Given> {
        let state = self.state();
        let given = state.answers.get(key).filter(|given| given.expires > now)?;
        Some(Given { fingerprint: given.fingerprint, bytes: given.bytes.clone() })
    }

    pub(super) fn commit(&self, commit: &Commit) -> Committed {
        self.state().commit(commit)
    }

    pub(super) fn claim(&self, now: Timestamp, owner: &Owner, limit: usize) -> Claimed {
        self.state().claim(now, owner, limit)
    }

    pub(super) fn held(&self, owner: &Owner) -> Vec<Effect> {
        let state = self.state();
        let its = state.held.iter().filter(|(holder, _)| holder == owner);
        let queued = its.filter_map(|(_, id)| state.queue.get(id)).filter(|it| !it.waits());
        queued.cloned().map(|queued| queued.taken(false)).collect()
    }

    pub(super) fn tally(&self, now: Timestamp, counters: &[Counter]) -> Tally {
        self.state().tally(now, counters)
    }

    pub(super) fn find(&self, alias: &str, before: Option<&str>) -> Vec<String> {
        let state = self.state();
        let first = (alias.to_owned(), String::new());
        let mut found: Vec<String> = state
            .aliases
            .range(first..)
            .take_while(|((other, _), _)| other == alias)
            .map(|((_, record), _)| record.clone())
            .filter(|record| before.is_none_or(|before| record.as_str() < before))
            .collect();
        found.reverse();
        found.truncate(FIND_MOST);
        found
    }

    pub(super) fn holder(&self, now: Timestamp, name: &str) -> Option<Hold> {
        self.state().holder(now, name).cloned()
    }

    pub(super) fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let after = query.after()?;
        let state = self.state();
        let rows = state
            .listed
            .iter()
            .rev()
            .filter(|(group, created, id)| {
                *group == query.group
                    && query.from.is_none_or(|from| *created >= from)
                    && query.until.is_none_or(|until| *created < until)
                    && after.is_none_or(|after| (*created, id.as_str()) < after)
            })
            .filter_map(|(_, _, id)| state.records.get(id))
            .map(|record| Listed {
                id: record.id.clone(),
                created: record.created,
                version: record.version,
                bytes: record.bytes.clone(),
            })
            .take(query.limit() + 1)
            .collect();
        Ok(Page::new(rows, query.limit()))
    }
}

impl Memory {
    pub(super) fn groups(&self) -> Vec<String> {
        let mut groups: Vec<_> =
            self.state().listed.iter().map(|(group, _, _)| group.clone()).collect();
        groups.dedup();
        groups
    }

    pub(super) fn answers(&self, after: &str, most: usize) -> Vec<(String, Given)> {
        let state = self.state();
        let from = (Bound::Excluded(after), Bound::Unbounded);
        let rows = state.answers.range::<str, _>(from).take(most);
        let given = |it: &Answer| Given { fingerprint: it.fingerprint, bytes: it.bytes.clone() };
        rows.map(|(key, answer)| (key.clone(), given(answer))).collect()
    }

    pub(super) fn sweep(&self, group: &str, prefix: &str, before: Timestamp, most: usize) -> usize {
        let mut state = self.state();
        let old = |(of, created, id): &&(String, Timestamp, String)| {
            of == group && *created < before && id.starts_with(prefix)
        };
        let old: Vec<String> =
            state.listed.iter().filter(old).map(|(_, _, id)| id.clone()).take(most).collect();
        old.iter().for_each(|id| state.remove_record(id));
        old.len()
    }

    pub(super) fn forget(&self, mut forgotten: Forgotten) -> usize {
        let mut state = self.state();
        let named = state.records.keys().filter(|id| forgotten.is_named(id)).cloned();
        let named: Vec<String> = named.collect();
        forgotten.records.extend(named);
        forgotten.records.iter().for_each(|id| state.remove_record(id));
        let records = &forgotten.records;
        state.aliases.retain(|(_, record), _| !records.contains(record));
        state.alias_expiry.retain(|(_, _, record)| !records.contains(record));
        let held = |it: &Hold| records.contains(&it.record) || forgotten.is_named(&it.name);
        let names: Vec<String> =
            state.holds.values().filter(|it| held(it)).map(|it| it.name.clone()).collect();
        for name in names {
            if let Some(hold) = state.holds.remove(&name) {
                state.hold_expiry.remove(&(hold.until, name));
            }
        }
        for key in &forgotten.answers {
            if let Some(answer) = state.answers.remove(key) {
                state.answer_expiry.remove(&(answer.expires, answer.key));
            }
        }
        state.counters.retain(|key, _| !forgotten.is_named(key));
        state.counter_expiry.retain(|(_, key)| !forgotten.is_named(key));
        forgotten.records.len()
    }
}

impl State {
    fn remove_record(&mut self, id: &str) {
        if let Some(record) = self.records.remove(id) {
            self.listed.remove(&(record.group, record.created, record.id.clone()));
            if let Some(wake) = record.wake {
                self.wakes.remove(&(wake, record.id));
            }
        }
        let of = |it: &&EffectId| it.record == id;
        let effects: Vec<EffectId> = self.queue.keys().filter(of).cloned().collect();
        for effect in &effects {
            self.unqueue(effect);
        }
    }

    fn commit(&mut self, commit: &Commit) -> Committed {
        if let Some(asked) = &commit.answer
            && let Some(given) = self.answers.get(&asked.key)
            && given.expires > commit.now
        {
            return Committed::Answered {
                fingerprint: given.fingerprint,
                bytes: given.bytes.clone(),
            };
        }
        if let Some(write) = &commit.record {
            let version = self.records.get(&write.id).map(|record| record.version);
            if version != write.expected {
                return Committed::Stale { version };
            }
        }
        for wanted in commit.holds.iter().filter(|wanted| wanted.until > commit.now) {
            let holder = self.holder(commit.now, &wanted.name);
            if let Some(other) = holder.filter(|it| it.record != wanted.record) {
                return Committed::Held(other.clone());
            }
        }
        for id in &commit.done {
            self.unqueue(id);
        }
        for postponed in &commit.postpone {
            if self.queue.get(&postponed.id).is_some_and(|queued| postponed.may_release(queued))
                && let Some(queued) = self.unqueue(&postponed.id)
            {
                self.enqueue(Queued {
                    due: postponed.due,
                    bytes: postponed.bytes.clone(),
                    claimed_by: None,
                    to: None,
                    ..queued
                });
            }
        }
        if let Some(write) = &commit.record {
            self.write(write);
        }
        for queued in &commit.queue {
            if let Some(owner) = &queued.claimed_by {
                self.leases.renew(owner, commit.now);
            }
            self.unqueue(&queued.id);
            self.enqueue(queued.clone());
        }
        if !commit.aliases.is_empty() {
            self.prune_aliases(commit.now);
        }
        for alias in &commit.aliases {
            let key = (alias.alias.clone(), alias.record.clone());
            if let Some(former) = self.aliases.insert(key, alias.expires) {
                self.alias_expiry.remove(&(former, alias.alias.clone(), alias.record.clone()));
            }
            self.alias_expiry.insert((alias.expires, alias.alias.clone(), alias.record.clone()));
        }
        for hold in &commit.holds {
            self.hold(commit.now, hold);
        }
        if let Some(answer) = &commit.answer {
            if let Some(former) = self.answers.insert(answer.key.clone(), answer.clone()) {
                self.answer_expiry.remove(&(former.expires, former.key));
            }
            self.answer_expiry.insert((answer.expires, answer.key.clone()));
        }
        Committed::Yes
    }

    fn holder(&self, now: Timestamp, name: &str) -> Option<&Hold> {
        self.holds.get(name).filter(|it| it.until > now)
    }

    /// Takes a name, or gives it back.
    fn hold(&mut self, now: Timestamp, hold: &Hold) {
        if hold.until <= now && self.holds.get(&hold.name).is_none_or(|it| it.record != hold.record)
        {
            return;
        }
        if let Some(former) = self.holds.remove(&hold.name) {
            self.hold_expiry.remove(&(former.until, former.name));
        }
        if hold.until > now {
            self.hold_expiry.insert((hold.until, hold.name.clone()));
            self.holds.insert(hold.name.clone(), hold.clone());
        }
    }

    fn write(&mut self, write: &RecordWrite) {
        if let Some(former) = self.records.insert(write.id.clone(), write.clone()) {
            self.homes.remove(&(former.group.clone(), former.id.clone()));
            self.listed.remove(&(former.group, former.created, former.id.clone()));
            if let Some(wake) = former.wake {
                self.wakes.remove(&(wake, former.id));
            }
        }
        self.homes.insert((write.group.clone(), write.id.clone()));
        self.listed.insert((write.group.clone(), write.created, write.id.clone()));
        if let Some(wake) = write.wake {
            self.wakes.insert((wake, write.id.clone()));
        }
    }

    fn unqueue(&mut self, id: &EffectId) -> Option<Queued> {
        let queued = self.queue.remove(id)?;
        match queued.holder() {
            Some(owner) => {
                self.addressed.remove(&(owner.clone(), queued.due, id.clone()));
                self.held.remove(&(owner.clone(), id.clone()))
            }
            None => self.due.remove(&(queued.due, id.clone())),
        };
        Some(queued)
    }

    fn enqueue(&mut self, queued: Queued) {
        match queued.holder() {
            Some(owner) => {
                if queued.waits() {
                    self.addressed.insert((owner.clone(), queued.due, queued.id.clone()));
                }
                self.held.insert((owner.clone(), queued.id.clone()))
            }
            None => self.due.insert((queued.due, queued.id.clone())),
        };
        self.queue.insert(queued.id.clone(), queued);
    }

    fn claim(&mut self, now: Timestamp, owner: &Owner, limit: usize) -> Claimed {
        let renewed = self.leases.renew(owner, now);
        let mut orphans: Vec<EffectId> = self
            .held
            .iter()
            .filter(|(holder, _)| holder != owner && self.leases.lapsed(holder, now))
            .map(|(_, id)| id.clone())
            .take(limit.saturating_add(1))
            .collect();
        let more_orphans = orphans.len() > limit;
        orphans.truncate(limit);
        let theirs = self.addressed.iter().filter(|(to, due, _)| to == owner && *due <= now);
        let anybodys = self.due.iter().take_while(|(due, _)| *due <= now);
        let due: Vec<EffectId> = theirs
            .map(|(_, _, id)| id)
            .chain(anybodys.map(|(_, id)| id))
            .take(limit - orphans.len())
            .cloned()
            .collect();
        let effects: Vec<Effect> = orphans
            .into_iter()
            .map(|id| (id, true))
            .chain(due.into_iter().map(|id| (id, false)))
            .filter_map(|(id, orphaned)| self.take(&id, owner, orphaned))
            .collect();
        let wakes: Vec<String> = self
            .wakes
            .iter()
            .take_while(|(wake, _)| *wake <= now)
            .take(limit)
            .map(|(_, id)| id.clone())
            .collect();
        for id in &wakes {
            self.rearm(id, now + WAKE_RETRY);
        }
        if renewed || !effects.is_empty() || !wakes.is_empty() {
            self.prune(now);
        }
        let next_due = [
            more_orphans.then_some(now),
            self.addressed.iter().find(|(to, _, _)| to == owner).map(|(_, due, _)| *due),
            self.due.first().map(|(due, _)| *due),
            self.wakes.first().map(|(wake, _)| *wake),
        ];
        Claimed { effects, wakes, next_due: next_due.into_iter().flatten().min() }
    }

    fn take(&mut self, id: &EffectId, owner: &Owner, orphaned: bool) -> Option<Effect> {
        let queued = self.unqueue(id)?;
        self.enqueue(Queued { claimed_by: Some(owner.clone()), to: None, ..queued.clone() });
        Some(queued.taken(orphaned))
    }

    fn rearm(&mut self, id: &str, at: Timestamp) {
        if let Some(record) = self.records.get_mut(id) {
            if let Some(former) = record.wake.replace(at) {
                self.wakes.remove(&(former, id.to_owned()));
            }
            self.wakes.insert((at, id.to_owned()));
        }
    }

    fn prune_aliases(&mut self, now: Timestamp) {
        for _ in 0..PRUNE_MOST {
            if let Some((expires, alias, record)) = self.alias_expiry.pop_first() {
                if expires > now {
                    self.alias_expiry.insert((expires, alias, record));
                    break;
                }
                self.aliases.remove(&(alias, record));
            }
        }
    }

    fn prune(&mut self, now: Timestamp) {
        self.prune_aliases(now);
        for _ in 0..PRUNE_MOST {
            if let Some((until, name)) = self.hold_expiry.pop_first() {
                if until > now {
                    self.hold_expiry.insert((until, name));
                    break;
                }
                self.holds.remove(&name);
            }
        }
        for _ in 0..PRUNE_MOST {
            if let Some((expires, key)) = self.answer_expiry.pop_first() {
                if expires > now {
                    self.answer_expiry.insert((expires, key));
                    break;
                }
                self.answers.remove(&key);
            }
        }
        for _ in 0..PRUNE_MOST {
            if let Some((look, key)) = self.counter_expiry.pop_first() {
                if look > now {
                    self.counter_expiry.insert((look, key));
                    break;
                }
                self.prune_counter(now, key);
            }
        }
    }

    /// Removes the windows of a key that have expired; the others are looked at again when one will have.
    fn prune_counter(&mut self, now: Timestamp, key: String) {
        let Some(windows) = self.counters.get_mut(&key) else { return };
        windows.retain(|(span, buckets)| window::expiry(buckets, *span) > now);
        match windows.iter().map(|(span, buckets)| window::expiry(buckets, *span)).min() {
            Some(next) => drop(self.counter_expiry.insert((next, key))),
            None => drop(self.counters.remove(&key)),
        }
    }

    fn tally(&mut self, now: Timestamp, counters: &[Counter]) -> Tally {
        let load = |key: &str, span| {
            let windows = self.counters.get(key).into_iter().flatten();
            let buckets = windows.filter(|(of, _)| *of == span).map(|(_, buckets)| buckets.clone());
            Ok(buckets.into_iter().next().unwrap_or_default())
        };
        let Ok((tally, rows)): Result<_, Infallible> = window::tally(now, counters, load);
        for window::Row { key, span, buckets, .. } in rows {
            self.write_counter(key, span, buckets);
        }
        tally
    }

    fn write_counter(&mut self, key: String, span: u64, buckets: Buckets) {
        let Some(windows) = self.counters.get_mut(&key) else {
            self.counter_expiry.insert((window::expiry(&buckets, span), key.clone()));
            self.counters.insert(key, vec![(span, buckets)]);
            return;
        };
        match windows.iter_mut().find(|(of, _)| *of == span) {
            Some((_, known)) => *known = buckets,
            None => windows.push((span, buckets)),
        }
    }
}
