//! The tables of the file, and what each verb does to them within a transaction.
//!
//! Rows stand under their key; each order in which they are looked for is a table of its own
//! whose keys hold that order. Every change keeps the two in step.

use redb::{
    Error, ReadTransaction, ReadableTable, StorageError, Table, TableDefinition, WriteTransaction,
};

use super::Run;
use super::mark::{LIFE, LifeRow};
use super::wakes::{self, WAKE_OF, WAKES, WakeKey};
use crate::ambient::Timestamp;
use crate::store::leases::Leases;
use crate::store::window::{self, Buckets};
use crate::store::{
    Alias, Answer, Claimed, Commit, Committed, Counter, Effect, EffectId, FIND_MOST, Given, Hold,
    ListQuery, Listed, Owner, PAGE_MOST, PRUNE_MOST, Page, Queued, RecordWrite, StoreError, Stored,
    Tally,
};
use crate::verify::code::KeyId;

/// How many expired answers are removed for each one added.
const ANSWERS_PRUNED: usize = 2;

/// Holds the effects of owners that a former process lost; no owner has this name.
const NOBODY: &str = "";

type EffectKey = (&'static str, &'static str);
/// kind, due, once, owner (or whom it waits for), bytes
type EffectRow = (u8, u64, bool, Option<&'static str>, &'static [u8]);
type DueKey = (u64, &'static str, &'static str);
type HeldKey = (&'static str, &'static str, &'static str);
type AddressedKey = (&'static str, u64, &'static str, &'static str);
/// version, created, group, bytes
type RecordRow = (u64, u64, &'static str, &'static [u8]);
/// expires, fingerprint, bytes
type AnswerRow = (u64, &'static [u8; 32], &'static [u8]);

const META: TableDefinition<&str, u32> = TableDefinition::new("meta");
const RECORDS: TableDefinition<&str, RecordRow> = TableDefinition::new("records");
/// (group, created, id)
pub(super) const LISTED: TableDefinition<(&str, u64, &str), ()> = TableDefinition::new("listed");
const QUEUE: TableDefinition<EffectKey, EffectRow> = TableDefinition::new("queue");
/// Effects without an owner.
const DUE: TableDefinition<DueKey, ()> = TableDefinition::new("due");
/// Effects with one, and those that wait for one: (owner, record, effect).
const HELD: TableDefinition<HeldKey, ()> = TableDefinition::new("held");
/// Those of the held ones that wait: (owner, due, record, effect).
const ADDRESSED: TableDefinition<AddressedKey, ()> = TableDefinition::new("addressed");
/// (alias, record) → expires
const ALIASES: TableDefinition<(&str, &str), u64> = TableDefinition::new("aliases");
const ALIAS_EXPIRY: TableDefinition<(u64, &str, &str), ()> = TableDefinition::new("alias_expiry");
pub(super) const ANSWERS: TableDefinition<&str, AnswerRow> = TableDefinition::new("answers");
const ANSWER_EXPIRY: TableDefinition<(u64, &str), ()> = TableDefinition::new("answer_expiry");
/// name → until, record
const HOLDS: TableDefinition<&str, (u64, &str)> = TableDefinition::new("holds");
const HOLD_EXPIRY: TableDefinition<(u64, &str), ()> = TableDefinition::new("hold_expiry");
/// (key, window) → sub-buckets
const COUNTERS: TableDefinition<(&str, u64), Buckets> = TableDefinition::new("counters");
const COUNTER_EXPIRY: TableDefinition<(u64, &str, u64), ()> =
    TableDefinition::new("counter_expiry");

/// All tables, open for writing.
pub(super) struct Tables<'t> {
    meta: Table<'t, &'static str, u32>,
    pub(super) life: Table<'t, (), LifeRow>,
    pub(super) records: Table<'t, &'static str, RecordRow>,
    pub(super) listed: Table<'t, (&'static str, u64, &'static str), ()>,
    pub(super) wake_of: Table<'t, &'static str, u64>,
    pub(super) wakes: Table<'t, WakeKey, ()>,
    pub(super) queue: Table<'t, EffectKey, EffectRow>,
    due: Table<'t, DueKey, ()>,
    held: Table<'t, HeldKey, ()>,
    addressed: Table<'t, AddressedKey, ()>,
    pub(super) aliases: Table<'t, (&'static str, &'static str), u64>,
    pub(super) alias_expiry: Table<'t, (u64, &'static str, &'static str), ()>,
    pub(super) holds: Table<'t, &'static str, (u64, &'static str)>,
    pub(super) hold_expiry: Table<'t, (u64, &'static str), ()>,
    pub(super) answers: Table<'t, &'static str, AnswerRow>,
    pub(super) answer_expiry: Table<'t, (u64, &'static str), ()>,
    pub(super) counters: Table<'t, (&'static str, u64), Buckets>,
    pub(super) counter_expiry: Table<'t, (u64, &'static str, u64), ()>,
}

/// An effect that may have got an owner in a transaction of which it is not known whether it came to be.
#[derive(Clone, Debug)]
pub(super) struct Untold {
    pub(super) id: EffectId,
    pub(super) owner: Owner,
    /// A former owner was lost with it.
    pub(super) orphaned: bool,
}

/// A verb's answer, and whether it wrote anything: a group that wrote nothing is not synced.
pub(super) struct Outcome<T> {
    pub(super) answer: T,
    pub(super) wrote: bool,
}

impl<'t> Tables<'t> {
    /// Opens, and in a new file creates, every table.
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Error> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            life: transaction.open_table(LIFE)?,
            records: transaction.open_table(RECORDS)?,
            listed: transaction.open_table(LISTED)?,
            wake_of: transaction.open_table(WAKE_OF)?,
            wakes: transaction.open_table(WAKES)?,
            queue: transaction.open_table(QUEUE)?,
            due: transaction.open_table(DUE)?,
            held: transaction.open_table(HELD)?,
            addressed: transaction.open_table(ADDRESSED)?,
            aliases: transaction.open_table(ALIASES)?,
            alias_expiry: transaction.open_table(ALIAS_EXPIRY)?,
            holds: transaction.open_table(HOLDS)?,
            hold_expiry: transaction.open_table(HOLD_EXPIRY)?,
            answers: transaction.open_table(ANSWERS)?,
            answer_expiry: transaction.open_table(ANSWER_EXPIRY)?,
            counters: transaction.open_table(COUNTERS)?,
            counter_expiry: transaction.open_table(COUNTER_EXPIRY)?,
        })
    }

    /// Writes down in which layout the tables are, and by which key they are sealed.
    pub(super) fn set_meta(&mut self, schema: u32, key: KeyId) -> Result<(), Error> {
        self.meta.insert("schema", schema)?;
        self.meta.insert("key", u32::from_be_bytes(key.to_bytes()))?;
        Ok(())
    }

    /// Takes every held effect from its owner.
    pub(super) fn orphan_all(&mut self) -> Result<(), Error> {
        // From the first name that somebody can have.
        let held: Vec<EffectId> = self
            .held
            .range((after(NOBODY).as_str(), "", "")..)?
            .map(|row| row.map(|(key, _)| effect_id((key.value().1, key.value().2))))
            .collect::<Result<_, StorageError>>()?;
        for id in &held {
            if let Some(queued) = self.unqueue(id)? {
                let claimed_by = Some(Owner::new(NOBODY));
                self.enqueue(&Queued { claimed_by, to: None, ..queued })?;
            }
        }
        Ok(())
    }

    /// Takes effects from owners who were never told that they have them: who had lost one before has
    /// lost it still.
    pub(super) fn give_back(&mut self, untold: &[Untold]) -> Result<(), Error> {
        for Untold { id, owner, orphaned } in untold {
            let queued = self.queued(id)?;
            if let Some(queued) = queued.filter(|it| it.claimed_by.as_ref() == Some(owner)) {
                let claimed_by = orphaned.then(|| Owner::new(NOBODY));
                self.unqueue(id)?;
                self.enqueue(&Queued { claimed_by, ..queued })?;
            }
        }
        Ok(())
    }

    pub(super) fn commit(
        &mut self,
        run: &mut Run,
        commit: &Commit,
    ) -> Result<Outcome<Committed>, Error> {
        if let Some(refused) = self.refused(commit)? {
            return Ok(Outcome { answer: refused, wrote: false });
        }
        for id in &commit.done {
            self.unqueue(id)?;
        }
        for postponed in &commit.postpone {
            let queued = self.queued(&postponed.id)?.filter(|queued| postponed.may_release(queued));
            if let Some(queued) = queued {
                self.unqueue(&postponed.id)?;
                self.enqueue(&Queued {
                    due: postponed.due,
                    bytes: postponed.bytes.clone(),
                    claimed_by: None,
                    to: None,
                    ..queued
                })?;
            }
        }
        if let Some(write) = &commit.record {
            self.write(write)?;
            run.away.forget(&write.id);
        }
        for queued in &commit.queue {
            if let Some(owner) = &queued.claimed_by {
                run.leases.renew(owner, commit.now);
            }
            self.unqueue(&queued.id)?;
            self.enqueue(queued)?;
        }
        if !commit.aliases.is_empty() {
            // So that they do not pile up however busy the store is.
            self.prune_aliases(commit.now.as_micros())?;
        }
        for alias in &commit.aliases {
            self.name(alias)?;
        }
        for hold in &commit.holds {
            self.hold(commit.now.as_micros(), hold)?;
        }
        if let Some(answer) = &commit.answer {
            // More than is added, so that answers do not pile up however busy the store is.
            self.prune_answers(commit.now.as_micros(), ANSWERS_PRUNED)?;
            self.answer(answer)?;
        }
        Ok(Outcome { answer: Committed::Yes, wrote: true })
    }

    /// Why `commit` may not be written; looked for before anything is, so that a refused commit
    /// leaves no trace in the group it shares a transaction with.
    fn refused(&self, commit: &Commit) -> Result<Option<Committed>, Error> {
        if let Some(asked) = &commit.answer
            && let Some(given) = self.answers.get(asked.key.as_str())?
        {
            let (expires, fingerprint, bytes) = given.value();
            if expires > commit.now.as_micros() {
                let (fingerprint, bytes) = (*fingerprint, bytes.to_vec());
                return Ok(Some(Committed::Answered { fingerprint, bytes }));
            }
        }
        if let Some(write) = &commit.record {
            let version = self.records.get(write.id.as_str())?.map(|row| row.value().0);
            if version != write.expected {
                return Ok(Some(Committed::Stale { version }));
            }
        }
        for wanted in commit.holds.iter().filter(|wanted| wanted.until > commit.now) {
            let holder = hold_of(&self.holds, commit.now.as_micros(), &wanted.name)?;
            if let Some(other) = holder.filter(|it| it.record != wanted.record) {
                return Ok(Some(Committed::Held(other)));
            }
        }
        Ok(None)
    }

    fn write(&mut self, write: &RecordWrite) -> Result<(), Error> {
        let id = write.id.as_str();
        let created = write.created.as_micros();
        let row = (write.version, created, write.group.as_str(), write.bytes.as_slice());
        let former = self.records.insert(id, row)?.map(|row| {
            let (_, created, group, _) = row.value();
            (group.to_owned(), created)
        });
        if let Some((group, created)) = former {
            self.listed.remove((group.as_str(), created, id))?;
        }
        self.listed.insert((write.group.as_str(), created, id), ())?;
        self.wake(id, write.wake)
    }

    fn queued(&self, id: &EffectId) -> Result<Option<Queued>, Error> {
        queued(&self.queue, &self.addressed, id)
    }

    pub(super) fn unqueue(&mut self, id: &EffectId) -> Result<Option<Queued>, Error> {
        let Some(queued) = self.queued(id)? else { return Ok(None) };
        let (record, effect) = key(id);
        let due = queued.due.as_micros();
        match queued.holder() {
            Some(owner) => {
                self.addressed.remove((owner.as_str(), due, record, effect))?;
                self.held.remove((owner.as_str(), record, effect))?
            }
            None => self.due.remove((due, record, effect))?,
        };
        self.queue.remove((record, effect))?;
        Ok(Some(queued))
    }

    pub(super) fn enqueue(&mut self, queued: &Queued) -> Result<(), Error> {
        let (record, effect) = key(&queued.id);
        let due = queued.due.as_micros();
        let owner = queued.holder().map(Owner::as_str);
        match owner {
            Some(owner) => {
                if queued.waits() {
                    self.addressed.insert((owner, due, record, effect), ())?;
                }
                self.held.insert((owner, record, effect), ())?
            }
            None => self.due.insert((due, record, effect), ())?,
        };
        let row = (queued.kind, due, queued.once, owner, queued.bytes.as_slice());
        self.queue.insert((record, effect), row)?;
        Ok(())
    }

    pub(super) fn name(&mut self, alias: &Alias) -> Result<(), Error> {
        let (name, record) = (alias.alias.as_str(), alias.record.as_str());
        let expires = alias.expires.as_micros();
        let former = self.aliases.insert((name, record), expires)?.map(|row| row.value());
        if let Some(former) = former {
            self.alias_expiry.remove((former, name, record))?;
        }
        self.alias_expiry.insert((expires, name, record), ())?;
        Ok(())
    }

    /// Takes a name, or gives it back.
    fn hold(&mut self, now: u64, hold: &Hold) -> Result<(), Error> {
        let (name, until) = (hold.name.as_str(), hold.until.as_micros());
        if until <= now {
            let is_ours =
                self.holds.get(name)?.is_some_and(|row| row.value().1 == hold.record.as_str());
            if is_ours && let Some(row) = self.holds.remove(name)? {
                self.hold_expiry.remove((row.value().0, name))?;
            }
            return Ok(());
        }
        let former = self.holds.insert(name, (until, hold.record.as_str()))?;
        if let Some(former) = former.map(|row| row.value().0) {
            self.hold_expiry.remove((former, name))?;
        }
        self.hold_expiry.insert((until, name), ())?;
        Ok(())
    }

    pub(super) fn answer(&mut self, answer: &Answer) -> Result<(), Error> {
        let key = answer.key.as_str();
        let expires = answer.expires.as_micros();
        let row = (expires, &answer.fingerprint, answer.bytes.as_slice());
        let former = self.answers.insert(key, row)?.map(|row| row.value().0);
        if let Some(former) = former {
            self.answer_expiry.remove((former, key))?;
        }
        self.answer_expiry.insert((expires, key), ())?;
        Ok(())
    }

    pub(super) fn claim(
        &mut self,
        run: &mut Run,
        now: Timestamp,
        owner: &Owner,
        limit: usize,
    ) -> Result<Outcome<Claimed>, Error> {
        let renewed = run.leases.renew(owner, now);
        let mut orphans = orphans(&self.held, &run.leases, now, owner, limit.saturating_add(1))?;
        let more_orphans = orphans.len() > limit;
        orphans.truncate(limit);
        let past = now.as_micros().saturating_add(1);
        let theirs = (owner.as_str(), 0, "", "")..(owner.as_str(), past, "", "");
        let theirs: Vec<EffectId> = self
            .addressed
            .range(theirs)?
            .map(|row| row.map(|(key, _)| effect_id((key.value().2, key.value().3))))
            .take(limit - orphans.len())
            .collect::<Result<_, StorageError>>()?;
        let due: Vec<EffectId> = self
            .due
            .iter()?
            .map_while(|row| match row {
                Ok((key, _)) if key.value().0 > now.as_micros() => None,
                Ok((key, _)) => Some(Ok(effect_id((key.value().1, key.value().2)))),
                Err(error) => Some(Err(error)),
            })
            .take(limit - orphans.len() - theirs.len())
            .collect::<Result<_, StorageError>>()?;
        let mut effects = Vec::with_capacity(orphans.len() + theirs.len() + due.len());
        for (orphaned, ids) in [(true, orphans), (false, theirs), (false, due)] {
            for id in ids {
                effects.extend(self.take(&id, owner, orphaned)?);
            }
        }
        let wakes = self.hand_out(&mut run.away, now, limit)?;
        let mut wrote = !effects.is_empty();
        if renewed || wrote || !wakes.is_empty() {
            wrote |= self.prune(now)?;
        }
        let theirs = first_of(&self.addressed, owner)?;
        let others = more_orphans.then_some(now);
        let wake = wakes::next(&self.wakes, &self.wake_of, &run.away)?;
        let next_due = next_due(&self.due, [wake, theirs, others])?;
        Ok(Outcome { answer: Claimed { effects, wakes, next_due }, wrote })
    }

    fn take(
        &mut self,
        id: &EffectId,
        owner: &Owner,
        orphaned: bool,
    ) -> Result<Option<Effect>, Error> {
        let Some(mut queued) = self.unqueue(id)? else { return Ok(None) };
        (queued.claimed_by, queued.to) = (Some(owner.clone()), None);
        self.enqueue(&queued)?;
        Ok(Some(queued.taken(orphaned)))
    }

    /// Removes some of the answers that have expired; true when there were any.
    fn prune_answers(&mut self, now: u64, most: usize) -> Result<bool, Error> {
        for pruned in 0..most {
            let Some((at, key)) = first(&self.answer_expiry, |(at, key)| (at, key.to_owned()))?
                .filter(|(at, _)| *at <= now)
            else {
                return Ok(pruned > 0);
            };
            self.answer_expiry.remove((at, key.as_str()))?;
            self.answers.remove(key.as_str())?;
        }
        Ok(true)
    }

    /// Removes some of the aliases that have expired; true when there were any.
    fn prune_aliases(&mut self, now: u64) -> Result<bool, Error> {
        for pruned in 0..PRUNE_MOST {
            let Some((at, name, record)) = first(&self.alias_expiry, |(at, name, record)| {
                (at, name.to_owned(), record.to_owned())
            })?
            .filter(|(at, _, _)| *at <= now) else {
                return Ok(pruned > 0);
            };
            self.alias_expiry.remove((at, name.as_str(), record.as_str()))?;
            self.aliases.remove((name.as_str(), record.as_str()))?;
        }
        Ok(true)
    }

    /// Removes some of what has expired; true when there was any.
    fn prune(&mut self, now: Timestamp) -> Result<bool, Error> {
        let now = now.as_micros();
        let mut pruned = self.prune_aliases(now)?;
        for _ in 0..PRUNE_MOST {
            let Some((at, name)) = first(&self.hold_expiry, |(at, name)| (at, name.to_owned()))?
                .filter(|(at, _)| *at <= now)
            else {
                break;
            };
            self.hold_expiry.remove((at, name.as_str()))?;
            self.holds.remove(name.as_str())?;
            pruned = true;
        }
        pruned |= self.prune_answers(now, PRUNE_MOST)?;
        for _ in 0..PRUNE_MOST {
            let Some((at, key, span)) =
                first(&self.counter_expiry, |(at, key, span)| (at, key.to_owned(), span))?
                    .filter(|(at, _, _)| *at <= now)
            else {
                break;
            };
            self.counter_expiry.remove((at, key.as_str(), span))?;
            self.prune_counter(now, &key, span)?;
            pruned = true;
        }
        Ok(pruned)
    }

    /// Removes a counter that has expired; another is looked at again when it will have.
    fn prune_counter(&mut self, now: u64, key: &str, span: u64) -> Result<(), Error> {
        let expires = self.counters.get((key, span))?.map(|row| window::expiry(&row.value(), span));
        if let Some(expires) = expires.filter(|expires| expires.as_micros() > now) {
            self.counter_expiry.insert((expires.as_micros(), key, span), ())?;
        } else {
            self.counters.remove((key, span))?;
        }
        Ok(())
    }

    pub(super) fn tally(
        &mut self,
        now: Timestamp,
        counters: &[Counter],
    ) -> Result<Outcome<Tally>, Error> {
        let load = |key: &str, span| {
            Ok::<_, Error>(
                self.counters.get((key, span))?.map(|row| row.value()).unwrap_or_default(),
            )
        };
        let (answer, rows) = window::tally(now, counters, load)?;
        let wrote = !rows.is_empty();
        for window::Row { key, span, buckets, .. } in rows {
            // When to look whether it has expired is written once.
            if self.counters.insert((key.as_str(), span), &buckets)?.is_none() {
                let look = window::expiry(&buckets, span).as_micros();
                self.counter_expiry.insert((look, key.as_str(), span), ())?;
            }
        }
        Ok(Outcome { answer, wrote })
    }
}

/// Copies every table.
pub(super) fn copy(from: &ReadTransaction, to: &WriteTransaction) -> Result<(), Error> {
    copy_table(META, from, to)?;
    copy_table(LIFE, from, to)?;
    copy_table(RECORDS, from, to)?;
    copy_table(LISTED, from, to)?;
    copy_table(WAKE_OF, from, to)?;
    copy_table(WAKES, from, to)?;
    copy_table(QUEUE, from, to)?;
    copy_table(DUE, from, to)?;
    copy_table(HELD, from, to)?;
    copy_table(ADDRESSED, from, to)?;
    copy_table(ALIASES, from, to)?;
    copy_table(ALIAS_EXPIRY, from, to)?;
    copy_table(HOLDS, from, to)?;
    copy_table(HOLD_EXPIRY, from, to)?;
    copy_table(ANSWERS, from, to)?;
    copy_table(ANSWER_EXPIRY, from, to)?;
    copy_table(COUNTERS, from, to)?;
    copy_table(COUNTER_EXPIRY, from, to)
}

fn copy_table<K: redb::Key + 'static, V: redb::Value + 'static>(
    table: TableDefinition<'_, K, V>,
    from: &ReadTransaction,
    to: &WriteTransaction,
) -> Result<(), Error> {
    let (from, mut to) = (from.open_table(table)?, to.open_table(table)?);
    for row in from.iter()? {
        let (key, value) = row?;
        to.insert(key.value(), value.value())?;
    }
    Ok(())
}

/// The layout of the tables, and the key they were sealed by last.
pub(super) fn meta(transaction: &ReadTransaction) -> Result<(Option<u32>, Option<KeyId>), Error> {
    let meta = transaction.open_table(META)?;
    let schema = meta.get("schema")?.map(|row| row.value());
    let key = meta.get("key")?.map(|row| KeyId::from_bytes(row.value().to_be_bytes()));
    Ok((schema, key))
}

pub(super) fn load(
    transaction: &ReadTransaction,
    id: &str,
    group: Option<&str>,
) -> Result<Option<Stored>, Error> {
    let row = transaction.open_table(RECORDS)?.get(id)?;
    Ok(row.and_then(|row| {
        let (version, created, its_group, bytes) = row.value();
        let is_theirs = group.is_none_or(|group| its_group == group);
        is_theirs.then(|| Stored {
            version,
            group: its_group.to_owned(),
            created: Timestamp::from_micros(created),
            bytes: bytes.to_vec(),
        })
    }))
}

pub(super) fn answered(
    transaction: &ReadTransaction,
    now: u64,
    key: &str,
) -> Result<Option<Given>, Error> {
    let given = transaction.open_table(ANSWERS)?.get(key)?;
    Ok(given.and_then(|given| {
        let (expires, fingerprint, bytes) = given.value();
        (expires > now).then(|| Given { fingerprint: *fingerprint, bytes: bytes.to_vec() })
    }))
}

pub(super) fn find(
    transaction: &ReadTransaction,
    alias: &str,
    before: Option<&str>,
) -> Result<Vec<String>, Error> {
    let end = after(alias);
    let end = before.map_or((end.as_str(), ""), |before| (alias, before));
    let found = transaction
        .open_table(ALIASES)?
        .range((alias, "")..end)?
        .rev()
        .take(FIND_MOST)
        .map(|row| row.map(|(key, _)| key.value().1.to_owned()))
        .collect::<Result<_, StorageError>>()?;
    Ok(found)
}

pub(super) fn holder(
    transaction: &ReadTransaction,
    now: u64,
    name: &str,
) -> Result<Option<Hold>, Error> {
    hold_of(&transaction.open_table(HOLDS)?, now, name)
}

fn hold_of(
    holds: &impl ReadableTable<&'static str, (u64, &'static str)>,
    now: u64,
    name: &str,
) -> Result<Option<Hold>, Error> {
    Ok(holds.get(name)?.and_then(|row| {
        let (until, record) = row.value();
        let hold = || Hold {
            name: name.to_owned(),
            record: record.to_owned(),
            until: Timestamp::from_micros(until),
        };
        (until > now).then(hold)
    }))
}

pub(super) fn list(
    transaction: &ReadTransaction,
    query: &ListQuery,
) -> Result<Result<Page, StoreError>, Error> {
    let cursor = match query.after() {
        Ok(cursor) => cursor,
        Err(error) => return Ok(Err(error)),
    };
    let group = query.group.as_str();
    let end = after(group);
    let from = (group, query.from.unwrap_or_default().as_micros(), "");
    // Both exclusive, so that the nearer one is the bound.
    let until = [
        query.until.map(|until| (group, until.as_micros(), "")),
        cursor.map(|(created, id)| (group, created.as_micros(), id)),
        Some((end.as_str(), 0, "")),
    ];
    let Some(until) = until.into_iter().flatten().min().filter(|until| from < *until) else {
        return Ok(Ok(Page::default()));
    };
    let records = transaction.open_table(RECORDS)?;
    let mut rows = Vec::with_capacity(query.limit().min(PAGE_MOST) + 1);
    for row in transaction.open_table(LISTED)?.range(from..until)?.rev().take(query.limit() + 1) {
        let (key, _) = row?;
        let (_, created, id) = key.value();
        if let Some(record) = records.get(id)? {
            let (version, _, _, bytes) = record.value();
            let created = Timestamp::from_micros(created);
            rows.push(Listed { id: id.to_owned(), created, version, bytes: bytes.to_vec() });
        }
    }
    Ok(Ok(Page::new(rows, query.limit())))
}

/// What the counters hold, when none of them adds anything.
pub(super) fn peek(
    transaction: &ReadTransaction,
    now: Timestamp,
    counters: &[Counter],
) -> Result<Tally, Error> {
    let table = transaction.open_table(COUNTERS)?;
    let load = |key: &str, span| {
        Ok::<_, Error>(table.get((key, span))?.map(|row| row.value()).unwrap_or_default())
    };
    Ok(window::tally(now, counters, load)?.0)
}

/// The answer to a claim that has nothing to write; `None` when it has.
pub(super) fn idle(
    transaction: &ReadTransaction,
    run: &mut Run,
    now: Timestamp,
    owner: &Owner,
) -> Result<Option<Claimed>, Error> {
    let Run { leases, away } = run;
    let theirs = first_of(&transaction.open_table(ADDRESSED)?, owner)?;
    let (wakes, wake_of) = (transaction.open_table(WAKES)?, transaction.open_table(WAKE_OF)?);
    let wake = wakes::next(&wakes, &wake_of, away)?;
    let next = next_due(&transaction.open_table(DUE)?, [wake, theirs])?;
    if next.is_some_and(|next| next <= now)
        || !orphans(&transaction.open_table(HELD)?, leases, now, owner, 1)?.is_empty()
    {
        return Ok(None);
    }
    if leases.ages(owner, now) {
        let expiries = [
            first(&transaction.open_table(ALIAS_EXPIRY)?, |(at, _, _)| at)?,
            first(&transaction.open_table(HOLD_EXPIRY)?, |(at, _)| at)?,
            first(&transaction.open_table(ANSWER_EXPIRY)?, |(at, _)| at)?,
            first(&transaction.open_table(COUNTER_EXPIRY)?, |(at, _, _)| at)?,
        ];
        if expiries.into_iter().flatten().any(|at| at <= now.as_micros()) {
            return Ok(None);
        }
        leases.renew(owner, now);
    }
    Ok(Some(Claimed { next_due: next, ..Claimed::default() }))
}

/// An effect as it is queued.
fn queued(
    queue: &impl ReadableTable<EffectKey, EffectRow>,
    addressed: &impl ReadableTable<AddressedKey, ()>,
    id: &EffectId,
) -> Result<Option<Queued>, Error> {
    let Some(row) = queue.get(key(id))? else { return Ok(None) };
    let (kind, due, once, owner, bytes) = row.value();
    let (record, effect) = key(id);
    let waits = match owner {
        Some(owner) => addressed.get((owner, due, record, effect))?.is_some(),
        None => false,
    };
    let owner = owner.map(Owner::new);
    let (claimed_by, to) = if waits { (None, owner) } else { (owner, None) };
    let (due, bytes) = (Timestamp::from_micros(due), bytes.to_vec());
    Ok(Some(Queued { id: id.clone(), kind, due, bytes, once, claimed_by, to }))
}

/// What an owner has taken.
pub(super) fn held(transaction: &ReadTransaction, owner: &Owner) -> Result<Vec<Effect>, Error> {
    let (queue, addressed) = (transaction.open_table(QUEUE)?, transaction.open_table(ADDRESSED)?);
    let (from, to) = (owner.as_str(), after(owner.as_str()));
    let mut held = Vec::new();
    for row in transaction.open_table(HELD)?.range((from, "", "")..(to.as_str(), "", ""))? {
        let (key, _) = row?;
        let id = effect_id((key.value().1, key.value().2));
        let queued = queued(&queue, &addressed, &id)?.filter(|queued| !queued.waits());
        held.extend(queued.map(|queued| queued.taken(false)));
    }
    Ok(held)
}

/// At most `most` of the effects that other, lost owners hold.
fn orphans(
    held: &impl ReadableTable<HeldKey, ()>,
    leases: &Leases,
    now: Timestamp,
    owner: &Owner,
    most: usize,
) -> Result<Vec<EffectId>, Error> {
    let mut found = Vec::new();
    let mut from = String::new();
    // From owner to owner, however many effects each of them holds.
    while let Some(row) = held.range((from.as_str(), "", "")..)?.next() {
        let holder = Owner::new(row?.0.value().0);
        let end = after(holder.as_str());
        if holder != *owner && leases.lapsed(&holder, now) {
            for row in held.range((holder.as_str(), "", "")..(end.as_str(), "", ""))? {
                if found.len() == most {
                    return Ok(found);
                }
                let (key, _) = row?;
                found.push(effect_id((key.value().1, key.value().2)));
            }
        }
        from = end;
    }
    Ok(found)
}

/// When the first of all is due.
fn next_due<const N: usize>(
    due: &impl ReadableTable<DueKey, ()>,
    others: [Option<Timestamp>; N],
) -> Result<Option<Timestamp>, Error> {
    let due = first(due, |(at, _, _)| Timestamp::from_micros(at))?;
    Ok(others.into_iter().flatten().chain(due).min())
}

/// When the first of the effects is due that wait for this owner.
fn first_of(
    addressed: &impl ReadableTable<AddressedKey, ()>,
    owner: &Owner,
) -> Result<Option<Timestamp>, Error> {
    let (name, end) = (owner.as_str(), after(owner.as_str()));
    let first = addressed.range((name, 0, "", "")..(end.as_str(), 0, "", ""))?.next();
    Ok(first.transpose()?.map(|(key, _)| Timestamp::from_micros(key.value().1)))
}

/// The first key of an order, as `read` takes it out of the page.
fn first<K: redb::Key + 'static, T>(
    table: &impl ReadableTable<K, ()>,
    read: impl FnOnce(K::SelfType<'_>) -> T,
) -> Result<Option<T>, Error> {
    Ok(table.first()?.map(|(key, _)| read(key.value())))
}

/// The string that follows `name` in the order of keys, with nothing between them.
pub(super) fn after(name: &str) -> String {
    format!("{name}\0")
}

fn key(id: &EffectId) -> (&str, &str) {
    (id.record.as_str(), id.effect.as_str())
}

pub(super) fn effect_id((record, effect): (&str, &str)) -> EffectId {
    EffectId { record: record.to_owned(), effect: effect.to_owned() }
}
