//! A file in place of another: one that was in the clear is sealed, every row in the place that it would
//! have now; one is copied without what was removed from it, which stays in a file's unused pages; and one
//! is copied for later.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use redb::{Database, Error, ReadTransaction, ReadableTable as _, StorageError};

use super::mark::Life;
use super::tables::{self, Tables};
use crate::ambient::Timestamp;
use crate::store::seal::{Place, Seal};
use crate::store::{Alias, Answer, EffectId, SCHEMA};

/// Puts a copy of the file at `path` in its place; nothing may be written to it meanwhile.
pub(super) fn rewrite(
    from: &ReadTransaction,
    path: &Path,
    create: impl Fn(&Path) -> Result<Database, Error>,
) -> Result<Database, Error> {
    let half = path.with_extension("new");
    let copy = copy(from, &half, create, |_| Ok(()));
    let placed = copy.and_then(|copy| in_place(&half, path).map(|()| copy).map_err(Error::Io));
    if placed.is_err() {
        let _left_for_the_next_time = fs::remove_file(&half);
    }
    placed
}

/// Writes a copy of the file, as it is now, to another place. It is a store of its own: it may be put in
/// the place of the first, whatever that has seen since.
pub(super) fn back_up(
    from: &ReadTransaction,
    to: &Path,
    create: impl Fn(&Path) -> Result<Database, Error>,
) -> Result<(), Error> {
    let half = to.with_extension("half");
    let copy = copy(from, &half, create, |tables| tables.begin(Life::new()));
    let placed = copy.and_then(|copy| {
        copy.close()?;
        in_place(&half, to).map_err(Error::Io)
    });
    if placed.is_err() {
        let _left_for_the_next_time = fs::remove_file(&half);
    }
    placed
}

fn copy(
    from: &ReadTransaction,
    to: &Path,
    create: impl Fn(&Path) -> Result<Database, Error>,
    change: impl Fn(&mut Tables<'_>) -> Result<(), Error>,
) -> Result<Database, Error> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::Io(error)),
        Ok(()) | Err(_) => {}
    }
    let copy = create(to)?;
    let to = copy.begin_write()?;
    tables::copy(from, &to)?;
    change(&mut Tables::open(&to)?)?;
    to.commit()?;
    Ok(copy)
}

/// Puts a file in the place of another: whole, or not at all.
fn in_place(half: &Path, whole: &Path) -> io::Result<()> {
    fs::rename(half, whole)?;
    let folder = whole.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Seals every row in one transaction; how many records there are.
pub(super) fn seal(database: &Database, seal: &Seal) -> Result<usize, Error> {
    let transaction = database.begin_write()?;
    let records = {
        let mut tables = Tables::open(&transaction)?;
        let records = tables.seal_records(seal)?;
        tables.seal_effects(seal)?;
        tables.seal_answers(seal)?;
        tables.key_aliases(seal)?;
        tables.drop_holds()?;
        tables.set_meta(SCHEMA, seal.key_id())?;
        records
    };
    transaction.commit()?;
    Ok(records)
}

impl Tables<'_> {
    fn seal_records(&mut self, seal: &Seal) -> Result<usize, Error> {
        let ids: Vec<String> = keys(&self.records, str::to_owned)?;
        for id in &ids {
            let Some(row) = self.records.get(id.as_str())? else { continue };
            let (version, created, group, bytes) = row.value();
            let place = Place::record(id, version, group, Timestamp::from_micros(created));
            let (group, bytes) = (group.to_owned(), sealed(seal, &place, bytes)?);
            drop(row);
            let row = (version, created, group.as_str(), bytes.as_slice());
            self.records.insert(id.as_str(), row)?;
        }
        Ok(ids.len())
    }

    fn seal_effects(&mut self, seal: &Seal) -> Result<(), Error> {
        let ids: Vec<EffectId> = keys(&self.queue, tables::effect_id)?;
        for id in ids {
            if let Some(mut queued) = self.unqueue(&id)? {
                let place = Place::effect(&queued.id, queued.due, queued.once);
                queued.bytes = sealed(seal, &place, &queued.bytes)?;
                self.enqueue(&queued)?;
            }
        }
        Ok(())
    }

    fn seal_answers(&mut self, seal: &Seal) -> Result<(), Error> {
        let names: Vec<String> = keys(&self.answers, str::to_owned)?;
        for key in names {
            let Some(row) = self.answers.remove(key.as_str())? else { continue };
            let (expires, fingerprint, bytes) = row.value();
            let (fingerprint, bytes) = (*fingerprint, bytes.to_vec());
            drop(row);
            self.answer_expiry.remove((expires, key.as_str()))?;
            let expires = Timestamp::from_micros(expires);
            let answer = Answer { key, fingerprint, bytes, expires };
            self.answer(&seal.answer(&answer).ok_or_else(unsealable)?)?;
        }
        Ok(())
    }

    /// Names that were taken a moment ago are free.
    fn drop_holds(&mut self) -> Result<(), Error> {
        self.holds.retain(|_, _| false)?;
        Ok(self.hold_expiry.retain(|_, ()| false)?)
    }

    fn key_aliases(&mut self, seal: &Seal) -> Result<(), Error> {
        let own = |(alias, record): (&str, &str)| (alias.to_owned(), record.to_owned());
        let names: Vec<(String, String)> = keys(&self.aliases, own)?;
        for (alias, record) in names {
            let key = (alias.as_str(), record.as_str());
            let Some(expires) = self.aliases.remove(key)?.map(|row| row.value()) else { continue };
            self.alias_expiry.remove((expires, alias.as_str(), record.as_str()))?;
            let expires = Timestamp::from_micros(expires);
            self.name(&seal.alias(&Alias { alias, record, expires }))?;
        }
        Ok(())
    }
}

/// The keys of a table, as `own` takes them out of its pages.
fn keys<K: redb::Key + 'static, V: redb::Value + 'static, T>(
    table: &redb::Table<'_, K, V>,
    own: impl Fn(K::SelfType<'_>) -> T,
) -> Result<Vec<T>, Error> {
    let rows = table.iter()?.map(|row| row.map(|(key, _)| own(key.value())));
    Ok(rows.collect::<Result<_, StorageError>>()?)
}

fn sealed(seal: &Seal, place: &Place<'_>, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    seal.seal(place, bytes).ok_or_else(unsealable)
}

fn unsealable() -> Error {
    Error::Io(std::io::Error::other("its rows cannot be sealed"))
}
