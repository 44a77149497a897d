//! The store in one file, by redb.
//!
//! One thread writes. It takes everything that waits in its channel into one transaction and
//! syncs once, so that the price of a sync is shared by all who write at the same time; nobody is
//! answered before that sync. Each request of such a group is judged in its order against the
//! transaction so far, and one that is refused writes nothing.
//!
//! Reads look at the last durable transaction, on the caller's thread: they take microseconds.
//!
//! Transactions are synced once and checked by checksums (redb's one-phase commit). Its two-phase
//! commit doubles the syncs, and guards against someone who controls the contents of pages, their
//! order on the way to the disk and the moment of a crash. What it would also tell, that the last change
//! was damaged later and not cut off, [`mark`] does.
//!
//! # When the disk fails
//!
//! *Full*: what is under way goes on in the room that is kept for it ([`disk`]), and
//! [`trouble`](super::Store::trouble) says that nothing new should be begun, until there is room again.
//!
//! *A write or a sync fails*: nothing is read or written any more, and what was in that transaction is
//! told to nobody, until the file was opened anew, by what is on the disk alone. That is tried at once, and
//! then every second. Where the transaction turns out to have come to be, its effects are taken from
//! those who were not told that they have them.

use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, Error, ReadTransaction, ReadableDatabase};
use tokio::sync::{mpsc, oneshot};

use self::disk::{Disk, Reserve, is_full, own_file};
use self::mark::{Life, Mark};
use self::tables::{Tables, Untold};
use self::wakes::Away;
use super::leases::Leases;
use super::seal::Seal;
use super::{
    Claimed, Commit, Committed, Counter, Effect, Forgotten, Given, Hold, ListQuery, OpenError,
    Owner, Page, SCHEMA, StoreError, Stored, Tally, UNSEALED,
};
use crate::ambient::{Clock, Timestamp};
use crate::failpoint::{self, Point};
use crate::telemetry::{self, Event};

mod disk;
mod forget;
mod mark;
mod tables;
#[cfg(test)]
mod tests;
mod upgrade;
mod wakes;

const FILE: &str = "octothorpe.redb";

/// Pages that stay in memory, a tenth of it for those that a transaction writes: a group of commits touches a few
/// thousand, and what does not fit is written, and read again, within the transaction.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// How many writes may wait before their callers do.
const WAITING_MOST: usize = 1_024;

/// How many of them one transaction takes: a larger group would keep its first ones waiting.
const GROUP_MOST: usize = 256;

/// How long after a failure nothing is tried: to open a file takes its time.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The open file. The last clone closes it.
#[derive(Clone)]
pub(super) struct Embedded(Arc<Handle>);

struct Handle {
    file: Arc<OpenFile>,
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// What the writer and the readers share.
struct OpenFile {
    path: PathBuf,
    /// Why there is none, while there is none.
    database: RwLock<Result<Database, StoreError>>,
    /// The last transaction failed, and the next has more to do.
    failed: AtomicBool,
    run: Mutex<Run>,
    reserve: Arc<Reserve>,
    mark: Mark,
}

/// What is known of this run of the process alone.
#[derive(Debug, Default)]
struct Run {
    leases: Leases,
    away: Away,
}

impl Embedded {
    pub(super) fn open(dir: &Path, seal: &Seal) -> Result<Self, OpenError> {
        let path = create(dir)?;
        let failed = |source| io_error(path.clone(), source);
        let reserve = Arc::new(Reserve::open(dir).map_err(failed)?);
        let mark = Mark::open(dir).map_err(failed)?;
        let database = open_database(&path, &reserve)?;
        nothing_missing(&database, &path, &mark)?;
        prepare(&database, &path, seal)?;
        let life = begin(&database).map_err(|error| open_error(&path, error))?;
        mark.set(life).map_err(failed)?;
        let (database, run) = (RwLock::new(Ok(database)), Mutex::default());
        let failed = AtomicBool::new(false);
        let file = Arc::new(OpenFile { path, database, failed, run, reserve, mark });
        let (jobs, waiting) = mpsc::channel(WAITING_MOST);
        let writer = Writer::new(Arc::clone(&file));
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(|source| io_error(file.path.clone(), source))?;
        Ok(Self(Arc::new(Handle { file, jobs: Some(jobs), writer: Some(writer) })))
    }

    /// Seals a file of schema 1; how many records it has.
    pub(super) fn upgrade(dir: &Path, seal: &Seal) -> Result<usize, OpenError> {
        let path = dir.join(FILE);
        let found = path.try_exists().map_err(|source| io_error(path.clone(), source))?;
        if !found {
            let source = io::Error::new(io::ErrorKind::NotFound, "there is no store to be sealed");
            return Err(io_error(path, source));
        }
        let reserve = Reserve::open(dir).map_err(|source| io_error(path.clone(), source))?;
        let reserve = Arc::new(reserve);
        let database = open_database(&path, &reserve)?;
        let blame = |error: Error| open_error(&path, error);
        let read = database.begin_read().map_err(|error| blame(error.into()))?;
        let (schema, _) = tables::meta(&read).map_err(blame)?;
        drop(read);
        match schema {
            Some(UNSEALED) => {
                let records = upgrade::seal(&database, seal).map_err(blame)?;
                // What was in the clear is still in the pages that are not used any more.
                let create = |path: &Path| new_database(path, &reserve);
                let read = database.begin_read().map_err(|error| blame(error.into()))?;
                upgrade::rewrite(&read, &path, create).map_err(blame)?;
                Ok(records)
            }
            Some(SCHEMA) => Err(OpenError::Sealed { path: path.clone() }),
            found => Err(OpenError::Schema { path: path.clone(), found: found.unwrap_or(0) }),
        }
    }

    pub(super) fn load(&self, id: &str, group: Option<&str>) -> Result<Option<Stored>, StoreError> {
        self.0.file.read(|transaction| tables::load(transaction, id, group))
    }

    pub(super) fn answered(&self, now: Timestamp, key: &str) -> Result<Option<Given>, StoreError> {
        self.0.file.read(|transaction| tables::answered(transaction, now.as_micros(), key))
    }

    pub(super) fn find(
        &self,
        alias: &str,
        before: Option<&str>,
    ) -> Result<Vec<String>, StoreError> {
        self.0.file.read(|transaction| tables::find(transaction, alias, before))
    }

    pub(super) fn holder(&self, now: Timestamp, name: &str) -> Result<Option<Hold>, StoreError> {
        self.0.file.read(|transaction| tables::holder(transaction, now.as_micros(), name))
    }

    pub(super) fn held(&self, owner: &Owner) -> Result<Vec<Effect>, StoreError> {
        self.0.file.read(|transaction| tables::held(transaction, owner))
    }

    pub(super) fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        self.0.file.read(|transaction| tables::list(transaction, query))?
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.write(|slot| Job::Commit(Box::new(commit), slot)).await
    }

    pub(super) async fn claim(
        &self,
        now: Timestamp,
        owner: &Owner,
        limit: usize,
    ) -> Result<Claimed, StoreError> {
        let file = &self.0.file;
        let idle = match file.failed.load(Ordering::Relaxed) {
            // There may be more due than can be seen, or nothing can be seen.
            true => None,
            false => file.read(|read| tables::idle(read, &mut file.run(), now, owner))?,
        };
        match idle {
            Some(claimed) => Ok(claimed),
            None => self.write(|slot| Job::Claim(now, owner.clone(), limit, slot)).await,
        }
    }

    pub(super) async fn tally(
        &self,
        now: Timestamp,
        counters: &[Counter],
    ) -> Result<Tally, StoreError> {
        if counters.iter().all(|counter| counter.add == 0) {
            return self.0.file.read(|transaction| tables::peek(transaction, now, counters));
        }
        self.write(|slot| Job::Tally(now, counters.to_vec(), slot)).await
    }

    pub(super) fn groups(&self) -> Result<Vec<String>, StoreError> {
        self.0.file.read(forget::groups)
    }

    pub(super) fn answers(
        &self,
        after: &str,
        most: usize,
    ) -> Result<Vec<(String, Given)>, StoreError> {
        self.0.file.read(|transaction| forget::answers(transaction, after, most))
    }

    pub(super) async fn sweep(
        &self,
        group: &str,
        prefix: &'static str,
        before: Timestamp,
        most: usize,
    ) -> Result<usize, StoreError> {
        self.write(|slot| Job::Sweep(group.to_owned(), prefix, before, most, slot)).await
    }

    pub(super) async fn forget(&self, forgotten: Forgotten) -> Result<usize, StoreError> {
        let records = self.write(|slot| Job::Forget(Box::new(forgotten), slot)).await?;
        self.write(Job::Rewrite).await.map(|()| records)
    }

    /// Why nothing new should be begun.
    pub(super) fn trouble(&self) -> Option<StoreError> {
        let file = &self.0.file;
        let closed = file.with(|_| ()).err();
        closed.or_else(|| (!file.reserve.is_kept()).then_some(StoreError::Full))
    }

    /// Copies the file as it is now; others read and write meanwhile. How many bytes the copy has.
    pub(super) fn back_up(&self, to: &Path) -> Result<u64, StoreError> {
        let file = &self.0.file;
        let create = |path: &Path| new_database(path, &file.reserve);
        file.read(|transaction| upgrade::back_up(transaction, to, create))?;
        length(to)
    }

    /// Writes the file anew, without its unused pages; who writes waits meanwhile. How many bytes it had,
    /// and has.
    pub(super) async fn compact(&self) -> Result<(u64, u64), StoreError> {
        let before = length(&self.0.file.path)?;
        self.write(Job::Rewrite).await?;
        Ok((before, length(&self.0.file.path)?))
    }

    /// Has the writer do a job, and waits until it is durable.
    async fn write<T>(&self, job: impl FnOnce(Slot<T>) -> Job) -> Result<T, StoreError> {
        let stopped = || StoreError::Failed("its writer has stopped".to_owned());
        let (reply, answer) = oneshot::channel();
        let jobs = self.0.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job(Slot { reply, answer: None })).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Embedded").field(&self.0.file.path).finish()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Without a sender the writer finishes what it has and ends; only then is the file closed,
        // so that whoever dropped the store may open it again.
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            let _ended = writer.join();
        }
    }
}

impl OpenFile {
    /// Does something with the file, where it is open.
    fn with<T>(&self, act: impl FnOnce(&Database) -> T) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map(act).map_err(StoreError::clone)
    }

    fn put(&self, database: Result<Database, StoreError>) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = database;
    }

    fn read<T>(
        &self,
        read: impl Fn(&ReadTransaction) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        let begin = || {
            let begun = self.with(Database::begin_read)?;
            begun.map_err(|error| failure(&error.into()))
        };
        match read(&begin()?) {
            // Another file came into its place meanwhile.
            Err(Error::DatabaseClosed) => read(&begin()?).map_err(|error| failure(&error)),
            result => result.map_err(|error| failure(&error)),
        }
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a copy in the file's place, in which nothing is left of what was removed. Only the writer
    /// calls this: nothing is written meanwhile, and what is read is read from the file of before.
    fn rewrite(&self) -> Result<(), StoreError> {
        let create = |path: &Path| new_database(path, &self.reserve);
        let copy = self.read(|transaction| upgrade::rewrite(transaction, &self.path, create))?;
        self.put(Ok(copy));
        Ok(())
    }

    /// Closes the file and opens it anew, as after a failed write redb allows nothing else: what is on the
    /// disk, and only if it is all that was told. Meanwhile there is none, and this is why.
    fn reopen(&self, why: &StoreError) -> Result<(), StoreError> {
        self.put(Err(why.clone()));
        let open = || {
            let database = open_database(&self.path, &self.reserve)?;
            nothing_missing(&database, &self.path, &self.mark)?;
            Ok(database)
        };
        let opened = open().map_err(|error: OpenError| {
            let full = matches!(&error, OpenError::Io { source, .. } if is_full(source));
            if full { StoreError::Full } else { StoreError::Failed(error.to_string()) }
        });
        let outcome = opened.as_ref().map(|_| ()).map_err(StoreError::clone);
        self.put(opened);
        outcome
    }
}

fn length(path: &Path) -> Result<u64, StoreError> {
    let file = std::fs::metadata(path).map_err(|error| failure(&Error::Io(error)))?;
    Ok(file.len())
}

/// A write that waits for the writer.
enum Job {
    Commit(Box<Commit>, Slot<Committed>),
    Claim(Timestamp, Owner, usize, Slot<Claimed>),
    Tally(Timestamp, Vec<Counter>, Slot<Tally>),
    Sweep(String, &'static str, Timestamp, usize, Slot<usize>),
    Forget(Box<Forgotten>, Slot<usize>),
    /// Copies the file without what was removed from it.
    Rewrite(Slot<()>),
}

/// Where a job's answer waits until it is durable.
struct Slot<T> {
    reply: oneshot::Sender<Result<T, StoreError>>,
    answer: Option<T>,
}

impl<T> Slot<T> {
    fn fill(&mut self, outcome: tables::Outcome<T>) -> bool {
        self.answer = Some(outcome.answer);
        outcome.wrote
    }

    fn tell(self, durable: &Result<(), StoreError>) {
        let answer = match (durable, self.answer) {
            (Ok(()), Some(answer)) => Ok(answer),
            (Ok(()), None) => Err(StoreError::Failed("a job was left out".to_owned())),
            (Err(error), _) => Err(error.clone()),
        };
        // Nobody may be waiting any more; what was written stays written.
        let _unheard = self.reply.send(answer);
    }
}

impl Job {
    /// Does it within the transaction; true when it wrote anything.
    fn carry_out(&mut self, tables: &mut Tables<'_>, run: &mut Run) -> Result<bool, Error> {
        Ok(match self {
            Self::Commit(commit, slot) => slot.fill(tables.commit(run, commit)?),
            Self::Claim(now, owner, limit, slot) => {
                slot.fill(tables.claim(run, *now, owner, *limit)?)
            }
            Self::Tally(now, counters, slot) => slot.fill(tables.tally(*now, counters)?),
            Self::Sweep(group, prefix, before, most, slot) => {
                slot.fill(tables.sweep(group, prefix, *before, *most)?)
            }
            Self::Forget(forgotten, slot) => slot.fill(tables.forget(forgotten)?),
            // Done when the transaction of its group is durable.
            Self::Rewrite(slot) => slot.fill(tables::Outcome { answer: (), wrote: false }),
        })
    }

    /// The effects that have an owner by it.
    fn owned(&self) -> Vec<Untold> {
        match self {
            Self::Commit(commit, _) => {
                let owned = commit.queue.iter().filter_map(|it| {
                    let (id, owner) = (it.id.clone(), it.claimed_by.clone()?);
                    Some(Untold { id, owner, orphaned: false })
                });
                owned.collect()
            }
            Self::Claim(_, owner, _, slot) => {
                let claimed = slot.answer.iter().flat_map(|it| &it.effects);
                let owned = claimed.map(|it| {
                    let (id, owner) = (it.id.clone(), owner.clone());
                    Untold { id, owner, orphaned: it.orphaned }
                });
                owned.collect()
            }
            Self::Tally(..) | Self::Sweep(..) | Self::Forget(..) | Self::Rewrite(_) => Vec::new(),
        }
    }

    fn tell(self, durable: &Result<(), StoreError>) {
        match self {
            Self::Commit(_, slot) => slot.tell(durable),
            Self::Claim(_, _, _, slot) => slot.tell(durable),
            Self::Tally(_, _, slot) => slot.tell(durable),
            Self::Sweep(_, _, _, _, slot) => slot.tell(durable),
            Self::Forget(_, slot) => slot.tell(durable),
            Self::Rewrite(slot) => slot.tell(durable),
        }
    }
}

/// The one thread that writes.
struct Writer {
    file: Arc<OpenFile>,
    clock: Clock,
    /// Why the last transaction failed, and when that was.
    failed: Option<(StoreError, Timestamp)>,
    /// What transactions did of which it is not known whether they came to be.
    untold: Vec<Untold>,
}

impl Writer {
    fn new(file: Arc<OpenFile>) -> Self {
        Self { file, clock: Clock::system(), failed: None, untold: Vec::new() }
    }

    fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut group = Vec::with_capacity(GROUP_MOST);
        while waiting.blocking_recv_many(&mut group, GROUP_MOST) > 0 {
            let durable = self.write(&mut group);
            for job in group.drain(..) {
                if let Job::Rewrite(slot) = job {
                    slot.tell(&durable.clone().and_then(|()| self.file.rewrite()));
                } else {
                    job.tell(&durable);
                }
            }
        }
    }

    fn write(&mut self, group: &mut [Job]) -> Result<(), StoreError> {
        self.mend()?;
        let result = self.transact(|tables, run| {
            let mut wrote = false;
            for job in &mut *group {
                wrote |= job.carry_out(tables, run)?;
            }
            Ok(wrote)
        });
        if let Err(error) = &result {
            self.untold.extend(group.iter().flat_map(Job::owned));
            self.fail(error.clone());
        }
        result
    }

    /// A transaction failed. The file is opened anew at once, so that reading goes on.
    fn fail(&mut self, error: StoreError) {
        telemetry::observe(&Event::Store { how: &error.to_string() });
        // A failed sync cannot be repeated: the kernel may have dropped the pages, and report success
        // the next time. Until it is read what is there, nobody knows.
        let _tried_again_later = self.file.reopen(&error);
        self.file.failed.store(true, Ordering::Relaxed);
        self.file.run().away.forget_all();
        self.failed = Some((error, self.clock.now()));
    }

    /// Goes on after a failure, if it is time to and the file can be used.
    fn mend(&mut self) -> Result<(), StoreError> {
        let Some((error, since)) = &self.failed else { return Ok(()) };
        if self.clock.now() < *since + AFTER_FAILURE {
            return Err(error.clone());
        }
        if let Err(error) = self.file.with(|_| ()).or_else(|why| self.file.reopen(&why)) {
            self.failed = Some((error.clone(), self.clock.now()));
            return Err(error);
        }
        let untold = std::mem::take(&mut self.untold);
        let mended = self.transact(|tables, _| {
            tables.give_back(&untold)?;
            Ok(true)
        });
        match &mended {
            Ok(()) => {
                self.failed = None;
                self.file.failed.store(false, Ordering::Relaxed);
                telemetry::observe(&Event::Store { how: "it works again" });
            }
            Err(error) => {
                self.untold = untold;
                self.fail(error.clone());
            }
        }
        mended
    }

    /// One transaction, durable when it is over, and the mark with it; nothing where nothing was written.
    fn transact(
        &self,
        act: impl FnOnce(&mut Tables<'_>, &mut Run) -> Result<bool, Error>,
    ) -> Result<(), StoreError> {
        let begun = self.file.with(Database::begin_write)?;
        let written = || {
            let transaction = begun?;
            let mut tables = Tables::open(&transaction)?;
            let wrote = act(&mut tables, &mut self.file.run())?;
            let life = if wrote { Some(tables.count()?) } else { None };
            drop(tables);
            match life {
                None => transaction.abort()?,
                Some(life) => {
                    failpoint::pass(Point::DiskBefore);
                    transaction.commit()?;
                    failpoint::pass(Point::DiskAmid);
                    self.file.mark.set(life).map_err(Error::Io)?;
                    failpoint::pass(Point::DiskAfter);
                }
            }
            Ok(())
        };
        written().map_err(|error: Error| failure(&error))
    }
}

/// Creates a folder for this user alone, if it does not exist.
///
/// # Errors
/// When it cannot be created.
pub fn make_folder(dir: &Path) -> Result<(), OpenError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| io_error(dir.to_owned(), source))
}

fn failure(error: &Error) -> StoreError {
    let full = matches!(error, Error::Io(source) if is_full(source));
    if full { StoreError::Full } else { StoreError::Failed(error.to_string()) }
}

fn io_error(path: PathBuf, source: io::Error) -> OpenError {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem) {
        OpenError::NotWritable { path, source }
    } else {
        OpenError::Io { path, source }
    }
}

/// Creates the folder and the file if they do not exist, for this user alone; redb would leave that to
/// the umask. Others on this machine have no business with numbers and verdicts.
fn create(dir: &Path) -> Result<PathBuf, OpenError> {
    make_folder(dir)?;
    let path = dir.join(FILE);
    match own_file(&path) {
        Ok(_) => Ok(path),
        Err(source) => Err(io_error(path, source)),
    }
}

/// Creates a file for this user alone, and opens it.
fn new_database(path: &Path, reserve: &Arc<Reserve>) -> Result<Database, Error> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(Error::Io)?;
    let disk = Disk::open(path, reserve).map_err(Error::Io)?;
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(disk)?)
}

/// Opens the file, and checks that it is whole.
fn open_database(path: &Path, reserve: &Arc<Reserve>) -> Result<Database, OpenError> {
    let disk = Disk::open(path, reserve).map_err(|source| io_error(path.to_owned(), source))?;
    let opened = Database::builder()
        .set_cache_size(CACHE_BYTES)
        // Otherwise a damaged file is trusted, and redb may panic on it later.
        .set_check_integrity_on_open(true)
        .create_with_backend(disk);
    opened.map_err(|error| open_error(path, error.into()))
}

/// The file has all that anybody was told of.
fn nothing_missing(database: &Database, path: &Path, mark: &Mark) -> Result<(), OpenError> {
    let blame = |error: Error| open_error(path, error);
    let read = database.begin_read().map_err(|error| blame(error.into()))?;
    let life = Life::of(&read).map_err(blame)?;
    match mark.missing(life).map_err(|source| io_error(path.to_owned(), source))? {
        0 => Ok(()),
        missing => Err(OpenError::Behind { path: path.to_owned(), missing }),
    }
}

/// Creates the tables in a new file; checks that those of another are of our schema, and sealed by a key
/// that is at hand.
fn prepare(database: &Database, path: &Path, seal: &Seal) -> Result<(), OpenError> {
    let blame = |error: Error| open_error(path, error);
    let read = database.begin_read().map_err(|error| blame(error.into()))?;
    if read.list_tables().map_err(|error| blame(error.into()))?.next().is_none() {
        return set_meta(database, seal).map_err(blame);
    }
    let path = path.to_owned();
    match tables::meta(&read).map_err(blame)? {
        (Some(SCHEMA), Some(key)) if key == seal.key_id() => Ok(()),
        (Some(SCHEMA), Some(key)) if seal.knows(key) => set_meta(database, seal).map_err(blame),
        (Some(SCHEMA), Some(key)) => Err(OpenError::Key { path, key, at_hand: seal.key_id() }),
        (Some(UNSEALED), _) => Err(OpenError::Unsealed { path }),
        (Some(SCHEMA), None) => {
            Err(OpenError::Corrupt { path, detail: "it names no key".to_owned() })
        }
        (Some(found), _) => Err(OpenError::Schema { path, found }),
        (None, _) => {
            Err(OpenError::Corrupt { path, detail: "it names no schema version".to_owned() })
        }
    }
}

fn set_meta(database: &Database, seal: &Seal) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    Tables::open(&transaction)?.set_meta(SCHEMA, seal.key_id())?;
    Ok(transaction.commit()?)
}

/// Takes every held effect from the process that had the file before, and makes the tables that an
/// older program had not.
fn begin(database: &Database) -> Result<Life, Error> {
    let transaction = database.begin_write()?;
    let mut tables = Tables::open(&transaction)?;
    tables.orphan_all()?;
    let life = tables.count()?;
    drop(tables);
    transaction.commit()?;
    Ok(life)
}

fn open_error(path: &Path, error: Error) -> OpenError {
    let path = path.to_owned();
    if matches!(error, Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch) {
        return OpenError::Locked { path };
    }
    let detail = error.to_string();
    if let Error::Io(source) = error
        && !matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
    {
        return io_error(path, source);
    }
    OpenError::Corrupt { path, detail }
}
