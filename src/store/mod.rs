//! The store: eleven verbs over bytes, each one transaction, none of them containing a rule.
//!
//! | verb | in one transaction |
//! |---|---|
//! | [`load`](Store::load), [`load_in`](Store::load_in) | a record and its version |
//! | [`answered`](Store::answered) | what a request that is repeated was answered |
//! | [`commit`](Store::commit) | a record if its version matches and its names are free, its one wake-up, its effects, index rows |
//! | [`claim`](Store::claim) | the effects and wake-ups that are due, leased to one owner |
//! | [`held`](Store::held) | the effects that an owner has |
//! | [`tally`](Store::tally) | counts in sliding windows, reserved together or not at all |
//! | [`find`](Store::find) | which records an alias may mean |
//! | [`holder`](Store::holder) | which record has a name for itself |
//! | [`list`](Store::list) | the records of a group, newest first |
//! | [`sweep`](Store::sweep) | removes records that are old, a few at a time |
//! | [`forget`](Store::forget) | removes all that is named, and every trace of it |
//!
//! A backend knows keys, versions and times. What a record says, which effect it was and whether
//! an alias is a phone number are the business of whoever wrote the bytes.
//!
//! Each verb is one transaction in memory and on disk, and one script in Redis.
//!
//! Times are the store's: it has no other clock than `now`, and those who share one hand in the same, because
//! their clocks [follow](crate::ambient::Clock::follow) its server's. A lease, a wake-up, a window, a name
//! that is held and an answer that is kept mean the same to all of them, and so does a deadline that one
//! node computes and another meets.
//!
//! On its way to a backend that keeps anything outside of this process, every row is
//! [sealed](crate::store#sealed-rows), and its name keyed where it tells something.
//!
//! Everything about one record (its bytes, its wake-up, its queued effects) is reached from its
//! id alone, so that a backend spread over many machines can keep it in one place and carry out
//! each verb there as one script. A [`Commit`] should therefore speak of one record.
//!
//! # Sealed rows
//!
//! Bytes of records, effects and answers are sealed by AES-256-GCM for the place they stand in; names of
//! answers and aliases are keyed hashes, and an alias leads where its tag says. A row that is not as it
//! was put there is refused ([`StoreError::Tampered`]), counted and logged; the rest goes on. What a
//! writer of the store can still do is told in `src/store/seal.rs`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::ambient::{Clock, Timestamp};
use crate::verify::code::Vault;

mod between;
mod change;
mod embedded;
mod error;
mod found;
mod hint;
mod leases;
mod memory;
pub mod record;
mod redis;
mod seal;
mod sealed;
mod timed;
mod window;

use self::redis::Redis;
pub use self::redis::{RedisPlace, RedisServer, RedisSettings};
pub use between::{Between, Done, Passage, Verb};
pub use change::{
    Alias, Answer, Commit, Committed, EffectId, Hold, Owner, Postponed, Queued, RecordWrite,
};
use embedded::Embedded;
pub use embedded::make_folder;
pub use error::{OpenError, StoreError};
pub use found::{Claimed, Count, Counter, Effect, Given, ListQuery, Listed, Page, Stored, Tally};
pub use hint::{Heard, Hint, Hinted, Hints, NoHint};
use memory::Memory;
use seal::{Place, Seal};
use sealed::{sealed, tampered, unsealable, unsealed, untagged};
use timed::timed;

/// The version of the stored layout; a file of another version is refused at open.
pub const SCHEMA: u32 = 2;

/// The schema version of a store whose rows are not sealed.
const UNSEALED: u32 = 1;

/// How long an owner is believed alive after it last [claimed](Store::claim).
pub const LEASE: Duration = Duration::from_secs(15);

/// How old a lease must be before a claim renews it: a third, so that two claims may be lost.
pub const RENEWAL: Duration = Duration::from_secs(5);

/// How soon a claimed wake-up comes back when no commit replaced it: its handler was lost.
pub const WAKE_RETRY: Duration = Duration::from_secs(5);

/// The most rows in one [`Page`].
pub const PAGE_MOST: usize = 200;

/// The most records that [`Store::find`] returns.
pub const FIND_MOST: usize = 100;

/// The most expired rows of each kind that one claim removes, and the most expired aliases that a commit does
/// which adds some: it must stay short.
const PRUNE_MOST: usize = 64;

/// Where everything that must survive is kept. Cheap to clone; every clone is the same store.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
    /// `None`: what is kept never leaves the process.
    seal: Option<Arc<Seal>>,
    /// What nodes hint at to one another; `None`: nobody else can share the store.
    hints: Option<broadcast::Sender<Hinted>>,
    /// In a simulation alone.
    between: Option<Arc<dyn Between>>,
}

#[derive(Clone, Debug)]
enum Backend {
    Memory(Memory),
    Embedded(Embedded),
    Redis(Redis),
}

impl Store {
    /// A store that lives as long as the process: for tests, simulations and the demo.
    #[must_use]
    pub fn memory() -> Self {
        let (hints, _) = broadcast::channel(hint::WAITING);
        let backend = Backend::Memory(Memory::default());
        Self { backend, seal: None, hints: Some(hints), between: None }
    }

    /// The same store, as it is reached by somebody who has `between` before them.
    #[must_use]
    pub fn behind(&self, between: Arc<dyn Between>) -> Self {
        Self { between: Some(between), ..self.clone() }
    }

    async fn before(&self, verb: Verb<'_>) -> Result<(), StoreError> {
        match &self.between {
            Some(between) => between.before(verb).await,
            None => Ok(()),
        }
    }

    async fn after(&self, done: Done<'_>) -> Result<(), StoreError> {
        match &self.between {
            Some(between) => between.after(done).await,
            None => Ok(()),
        }
    }

    /// The store in the file `octothorpe.redb` of `dir`, sealed by the newest key of `vault`; both are
    /// created if they do not exist, readable by this user alone.
    ///
    /// A process that opens the file is alone with it, so every effect that was claimed before is
    /// an orphan from here on.
    ///
    /// # Errors
    /// When the directory cannot be written, another process holds the file, or the file is
    /// damaged, of another schema version, or sealed by a key that `vault` has not.
    pub fn open(dir: &Path, vault: &Vault) -> Result<Self, OpenError> {
        let seal = Self::seal_of(vault)?;
        let embedded = Embedded::open(dir, &seal)?;
        let (backend, seal) = (Backend::Embedded(embedded), Some(Arc::new(seal)));
        Ok(Self { backend, seal, hints: None, between: None })
    }

    /// Whether others may share it: whoever works with one that is not shared is alone, and never lost
    /// to anybody.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.hints.is_some()
    }

    /// Tells the others that share the store, if there are any: at once, or never.
    pub fn hint(&self, from: &Owner, hint: impl FnOnce() -> Hint) {
        if let Backend::Redis(redis) = &self.backend {
            redis.publish(&Hinted { from: from.clone(), hint: hint() });
            return;
        }
        // One of those who hear is whoever tells.
        if let Some(hints) = self.hints.as_ref().filter(|hints| hints.receiver_count() > 1) {
            let _unheard = hints.send(Hinted { from: from.clone(), hint: hint() });
        }
    }

    /// What the others tell from now on.
    #[must_use]
    pub fn hints(&self) -> Hints {
        Hints::of(self.hints.as_ref())
    }

    /// Seals a store of schema 1, which was in the clear: once, and whole or not at all. How many
    /// records it has.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn upgrade(dir: &Path, vault: &Vault) -> Result<usize, OpenError> {
        Embedded::upgrade(dir, &Self::seal_of(vault)?)
    }

    /// The store in Redis, sealed by the newest key of `vault`, which all nodes that share it must have.
    /// The server is looked for from now on: a verb that is asked for before it was reached waits for 5 s,
    /// any later one for 500 ms.
    ///
    /// The clock, by which the caller has to go, [follows](Clock::follow) the server's: those who share the
    /// store have one time. What was asked for at a time that was wrong by a second, before the server's was
    /// known, fails.
    ///
    /// # Errors
    /// Outside of an asynchronous runtime.
    pub fn redis(settings: RedisSettings, vault: &Vault, clock: &Clock) -> Result<Self, OpenError> {
        let seal = Arc::new(Self::seal_of(vault)?);
        let (hints, _) = broadcast::channel(hint::WAITING);
        let redis = Redis::open(settings, Arc::clone(&seal), hints.clone(), clock.clone());
        let backend = Backend::Redis(redis.ok_or(OpenError::NoRuntime)?);
        Ok(Self { backend, seal: Some(seal), hints: Some(hints), between: None })
    }

    fn seal_of(vault: &Vault) -> Result<Seal, OpenError> {
        Seal::new(vault).ok_or(OpenError::NoKey)
    }

    /// The record `id`, as last committed.
    ///
    /// # Errors
    /// When the backend fails, or what is there was not put there by us.
    pub async fn load(&self, id: &str) -> Result<Option<Stored>, StoreError> {
        self.loaded(id, None).await
    }

    /// The record `id`, if it is of this group; how long it takes does not tell whether it is of
    /// another or of none.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn load_in(&self, group: &str, id: &str) -> Result<Option<Stored>, StoreError> {
        self.loaded(id, Some(group)).await
    }

    async fn loaded(&self, id: &str, group: Option<&str>) -> Result<Option<Stored>, StoreError> {
        self.before(Verb::Read(Some(id))).await?;
        let mut loaded = self.loaded_as(id, group).await?;
        self.after(Done::Read(loaded.as_mut())).await?;
        Ok(loaded)
    }

    async fn loaded_as(&self, id: &str, group: Option<&str>) -> Result<Option<Stored>, StoreError> {
        let loaded = timed("load", async {
            match &self.backend {
                Backend::Memory(memory) => Ok(memory.load(id, group)),
                Backend::Embedded(embedded) => embedded.load(id, group),
                Backend::Redis(redis) => redis.load(id, group).await,
            }
        })
        .await?;
        let Some(seal) = &self.seal else { return Ok(loaded) };
        let Some(Stored { version, group, created, bytes }) = loaded else { return Ok(None) };
        let place = Place::record(id, version, &group, created);
        let bytes = seal.open(&place, bytes).map_err(|why| tampered("record", id, why))?;
        Ok(Some(Stored { version, group, created, bytes }))
    }

    /// What a request was answered that was committed under this key and has not expired: its
    /// fingerprint and the answer.
    ///
    /// # Errors
    /// When the backend fails, or what is there was not put there by us.
    pub async fn answered(&self, now: Timestamp, key: &str) -> Result<Option<Given>, StoreError> {
        self.before(Verb::Read(None)).await?;
        let answered = self.answered_by(now, key).await?;
        self.after(Done::Read(None)).await?;
        Ok(answered)
    }

    async fn answered_by(&self, now: Timestamp, key: &str) -> Result<Option<Given>, StoreError> {
        let Some(seal) = &self.seal else { return self.answered_as(now, key).await };
        for name in seal.answer_names(key) {
            if let Some(given) = self.answered_as(now, &name).await? {
                return unsealed(seal, now, &name, given).map(Some);
            }
        }
        Ok(None)
    }

    async fn answered_as(&self, now: Timestamp, key: &str) -> Result<Option<Given>, StoreError> {
        timed("answered", async {
            match &self.backend {
                Backend::Memory(memory) => Ok(memory.answered(now, key)),
                Backend::Embedded(embedded) => embedded.answered(now, key),
                Backend::Redis(redis) => redis.answered(now, key).await,
            }
        })
        .await
    }

    /// Writes all of `commit`, durably, or nothing of it.
    ///
    /// # Errors
    /// When the backend fails; whether anything was written is then unknown until it is read.
    pub async fn commit(&self, mut commit: Commit) -> Result<Committed, StoreError> {
        if self.between.is_none() {
            return self.commit_by(commit).await;
        }
        self.before(Verb::Commit(&mut commit)).await?;
        let committed = self.commit_by(commit.clone()).await?;
        self.after(Done::Commit(&commit, &committed)).await?;
        Ok(committed)
    }

    async fn commit_by(&self, commit: Commit) -> Result<Committed, StoreError> {
        let Some(seal) = &self.seal else { return self.commit_as(commit).await };
        let now = commit.now;
        if let Some(asked) = &commit.answer {
            // What an older key named is not in the way of the newest's name.
            for name in seal.answer_names(&asked.key).skip(1) {
                if let Some(given) = self.answered_as(now, &name).await? {
                    let Given { fingerprint, bytes } = unsealed(seal, now, &name, given)?;
                    return Ok(Committed::Answered { fingerprint, bytes });
                }
            }
        }
        let commit = sealed(seal, commit).ok_or_else(unsealable)?;
        let name = commit.answer.as_ref().map(|answer| answer.key.clone());
        match (self.commit_as(commit).await?, name) {
            (Committed::Answered { fingerprint, bytes }, Some(name)) => {
                let given = unsealed(seal, now, &name, Given { fingerprint, bytes })?;
                let Given { fingerprint, bytes } = given;
                Ok(Committed::Answered { fingerprint, bytes })
            }
            (Committed::Held(hold), _) => untagged(seal, hold).map(Committed::Held),
            (committed, _) => Ok(committed),
        }
    }

    async fn commit_as(&self, commit: Commit) -> Result<Committed, StoreError> {
        timed("commit", async {
            match &self.backend {
                Backend::Memory(memory) => Ok(memory.commit(&commit)),
                Backend::Embedded(embedded) => embedded.commit(commit).await,
                Backend::Redis(redis) => redis.commit(commit).await,
            }
        })
        .await
    }

    /// Takes what is due at `now` for `owner`, and renews its lease: at most `limit` effects
    /// (first those of owners whose lease lapsed, then those that are for this owner, then those that
    /// are for anybody) and at most `limit` wake-ups. Effects that were not
    /// put there by us are left out, and stay held.
    ///
    /// Nothing is written when nothing is due and the lease is younger than [`RENEWAL`].
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn claim(
        &self,
        now: Timestamp,
        owner: &Owner,
        limit: usize,
    ) -> Result<Claimed, StoreError> {
        self.before(Verb::Claim).await?;
        let mut claimed = timed("claim", async {
            match &self.backend {
                Backend::Memory(memory) => Ok(memory.claim(now, owner, limit)),
                Backend::Embedded(embedded) => embedded.claim(now, owner, limit).await,
                Backend::Redis(redis) => redis.claim(now, owner, limit).await,
            }
        })
        .await?;
        self.unseal(&mut claimed.effects);
        self.after(Done::Claim(&claimed)).await?;
        Ok(claimed)
    }

    /// What this owner has taken, by a claim or by a commit, and has not given back: also that of which
    /// it never learned, because the answer was lost.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn held(&self, owner: &Owner) -> Result<Vec<Effect>, StoreError> {
        self.before(Verb::Read(None)).await?;
        let mut held = timed("held", async {
            match &self.backend {
                Backend::Memory(memory) => Ok(memory.held(owner)),
                Backend::Embedded(embedded) => embedded.held(owner),
                // What it took without an answer, the next claim gives it as an orphan.
                Backend::Redis(_) => Ok(Vec::new()),
            }
        })
        .await?;
        self.unseal(&mut held);
        self.after(Done::Read(None)).await?;
        Ok(held)
    }

    /// Opens effects, and leaves out those that were not put there by us.
    fn unseal(&self, effects: &mut Vec<Effect>) {
        let Some(seal) = &self.seal else { return };
        effects.retain_mut(|effect| {
            let place = Place::effect(&effect.id, effect.due, effect.once);
            let opened = seal.open(&place, std::mem::take(&mut effect.bytes));
            let opened = opened.map_err(|why| tampered("effect", &effect.id.record, why));
            opened.map(|bytes| effect.bytes = bytes).is_ok()
        });
    }

    /// Adds to every counter, or, where one would pass its limit, to none; and tells, in their order,
    /// how much each has counted in its window up to `now`. Counters that add nothing are only read.
    ///
    /// A count is never too low; it is too high by what happened in at most one twelfth of a
    /// window before it. A limit may so refuse a little early, and is never passed.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn tally(&self, now: Timestamp, counters: &[Counter]) -> Result<Tally, StoreError> {
        self.before(Verb::Tally).await?;
        let tally = timed("tally", async {
            match &self.backend {
                Backend::Memory(memory) => Ok(memory.tally(now, counters)),
                Backend::Embedded(embedded) => embedded.tally(now, counters).await,
                Backend::Redis(redis) => redis.tally(now, counters).await,
            }
        })
        .await?;
        self.after(Done::Tally).await?;
        Ok(tally)
    }

    /// The ids of the records that `alias` may mean, the greatest id first, at most
    /// [`FIND_MOST`]; those that are less than `before`, which none of them is the beginning of. A hint: an
    /// expired alias may still be among them, and one whose record has gone.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn find(&self, alias: &str, before: Option<&str>) -> Result<Vec<String>, StoreError> {
        self.before(Verb::Read(None)).await?;
        let found = self.find_by(alias, before).await?;
        self.after(Done::Read(None)).await?;
        Ok(found)
    }

    async fn find_by(&self, alias: &str, before: Option<&str>) -> Result<Vec<String>, StoreError> {
        let Some(seal) = &self.seal else { return self.find_as(alias, before).await };
        let mut found = Vec::new();
        for name in seal.alias_names(alias) {
            for record in self.find_as(&name, before).await? {
                match seal.led(&name, &record) {
                    Ok(record) => found.push(record),
                    Err(why) => drop(tampered("alias", &record, why)),
                }
            }
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.dedup();
        found.truncate(FIND_MOST);
        Ok(found)
    }

    async fn find_as(&self, alias: &str, before: Option<&str>) -> Result<Vec<String>, StoreError> {
        timed("find", async {
            match &self.backend {
                Backend::Memory(memory) => Ok(memory.find(alias, before)),
                Backend::Embedded(embedded) => embedded.find(alias, before),
                Backend::Redis(redis) => redis.find(alias, before).await,
            }
        })
        .await
    }

    /// Which record has this name for itself, and until when; `None` when it is free.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn holder(&self, now: Timestamp, name: &str) -> Result<Option<Hold>, StoreError> {
        self.before(Verb::Read(None)).await?;
        let holder = timed("holder", async {
            match &self.backend {
                Backend::Memory(memory) => Ok(memory.holder(now, name)),
                Backend::Embedded(embedded) => embedded.holder(now, name),
                Backend::Redis(redis) => redis.holder(now, name).await,
            }
        })
        .await?;
        self.after(Done::Read(None)).await?;
        match (&self.seal, holder) {
            (Some(seal), Some(hold)) => untagged(seal, hold).map(Some),
            (_, holder) => Ok(holder),
        }
    }

    /// One page of a group's records, newest first. Records that were not put there by us are left out.
    ///
    /// # Errors
    /// When the cursor is not one of ours, or the backend fails.
    pub async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let mut page = timed("list", async {
            match &self.backend {
                Backend::Memory(memory) => memory.list(query),
                Backend::Embedded(embedded) => embedded.list(query),
                Backend::Redis(redis) => redis.list(query).await,
            }
        })
        .await?;
        if let Some(seal) = &self.seal {
            page.rows.retain_mut(|row| {
                let place = Place::record(&row.id, row.version, &query.group, row.created);
                let opened = seal.open(&place, std::mem::take(&mut row.bytes));
                let opened = opened.map_err(|why| tampered("record", &row.id, why));
                opened.map(|bytes| row.bytes = bytes).is_ok()
            });
        }
        Ok(page)
    }
}

/// The state that it is in.
impl Store {
    /// Why nothing new should be begun now: there is no room but for what is under way, or it failed and
    /// was not opened anew yet.
    #[must_use]
    pub fn trouble(&self) -> Option<StoreError> {
        match &self.backend {
            Backend::Memory(_) | Backend::Redis(_) => None,
            Backend::Embedded(embedded) => embedded.trouble(),
        }
    }

    /// Writes a copy of the store, as it is now, to a file, in place of what is there: restored by putting
    /// it where the store's file was. Others read and write meanwhile. How many bytes it has.
    ///
    /// It takes its time: it is no task for a thread that serves others.
    ///
    /// # Errors
    /// When the backend fails, or has no file.
    pub fn back_up(&self, to: &Path) -> Result<u64, StoreError> {
        match &self.backend {
            Backend::Memory(_) | Backend::Redis(_) => Err(StoreError::NoFile),
            Backend::Embedded(embedded) => embedded.back_up(to),
        }
    }

    /// Gives back the room that the store does not use; who writes waits meanwhile. How many bytes it
    /// took, and takes.
    ///
    /// # Errors
    /// When the backend fails, or has no file.
    pub async fn compact(&self) -> Result<(u64, u64), StoreError> {
        match &self.backend {
            Backend::Memory(_) | Backend::Redis(_) => Err(StoreError::NoFile),
            Backend::Embedded(embedded) => embedded.compact().await,
        }
    }
}

/// What is removed.
impl Store {
    /// The groups that have records, in their order.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn groups(&self) -> Result<Vec<String>, StoreError> {
        match &self.backend {
            Backend::Memory(memory) => Ok(memory.groups()),
            Backend::Embedded(embedded) => embedded.groups(),
            Backend::Redis(redis) => redis.groups().await,
        }
    }

    /// Removes records of a group, with their wake-ups and effects, whose id begins so and which were
    /// created before this: at most `most` of them, the oldest first; how many.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn sweep(
        &self,
        group: &str,
        prefix: &'static str,
        before: Timestamp,
        most: usize,
    ) -> Result<usize, StoreError> {
        timed("sweep", async {
            match &self.backend {
                Backend::Memory(memory) => Ok(memory.sweep(group, prefix, before, most)),
                Backend::Embedded(embedded) => embedded.sweep(group, prefix, before, most).await,
                Backend::Redis(redis) => redis.sweep(group, prefix, before, most).await,
            }
        })
        .await
    }

    /// Removes all that is named, with the answers that tell of these records (they begin with the
    /// record's id) and the aliases that lead to them; how many records it were. Nothing
    /// of it is left in what the store is kept in: a file is written anew, and whoever writes waits for
    /// that.
    ///
    /// # Errors
    /// When the backend fails. What is named is then gone or not; ask again.
    pub async fn forget(&self, mut forgotten: Forgotten) -> Result<usize, StoreError> {
        if let Some(seal) = &self.seal {
            let names = forgotten.answers.iter().flat_map(|key| seal.answer_names(key));
            forgotten.answers = names.collect();
        }
        let mut last = String::new();
        loop {
            let page = self.answers_as(&last, PAGE_MOST).await?;
            let Some((name, _)) = page.last() else { break };
            last.clone_from(name);
            for (name, given) in page {
                let given = match &self.seal {
                    Some(seal) => seal.given(&name, given.bytes).map(|(_, given)| given),
                    None => Ok(given),
                };
                let told = given.ok().is_some_and(|given| forgotten.tells(&given.bytes));
                if told {
                    forgotten.answers.push(name);
                }
            }
        }
        timed("forget", async {
            match &self.backend {
                Backend::Memory(memory) => Ok(memory.forget(forgotten)),
                Backend::Embedded(embedded) => embedded.forget(forgotten).await,
                Backend::Redis(redis) => redis.forget(forgotten).await,
            }
        })
        .await
    }

    async fn answers_as(
        &self,
        after: &str,
        most: usize,
    ) -> Result<Vec<(String, Given)>, StoreError> {
        match &self.backend {
            Backend::Memory(memory) => Ok(memory.answers(after, most)),
            Backend::Embedded(embedded) => embedded.answers(after, most),
            Backend::Redis(redis) => redis.answers(after, most).await,
        }
    }
}

/// What is to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Records, by their ids.
    pub records: BTreeSet<String>,
    /// Answers, by their keys.
    pub answers: Vec<String>,
    /// Names that tell of whom is forgotten: records and counters whose own names hold one go, too.
    pub names: Vec<String>,
}

impl Forgotten {
    /// Whether a name holds one of those that go.
    fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|of| name.contains(of.as_str()))
    }

    /// Whether an answer tells of one of the records.
    fn tells(&self, answer: &[u8]) -> bool {
        let id = answer.split(|&byte| b"\n ".contains(&byte)).next().unwrap_or_default();
        std::str::from_utf8(id).is_ok_and(|id| self.records.contains(id))
    }
}
