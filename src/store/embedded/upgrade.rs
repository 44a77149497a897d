//! A file in place of another: one that was in the clear is sealed, every row in the place that it would
//! have now; and one is copied without what was removed from it, which stays in a file's unused pages.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use redb::{Database, Error, ReadableDatabase as _, ReadableTable as _, StorageError};

use super::tables::{self, Tables};
use crate::ambient::Timestamp;
use crate::store::seal::{Place, Seal};
use crate::store::{Alias, Answer, EffectId, SCHEMA};

/// A copy of the file at `path`, in its place; nothing may be written to the file meanwhile.
pub(super) fn rewrite(
    database: &Database,
    path: &Path,
    create: impl Fn(&Path) -> Result<Database, Error>,
) -> Result<Database, Error> {
    let half = path.with_extension("new");
    match fs::remove_file(&half) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::Io(error)),
        Ok(()) | Err(_) => {}
    }
    let copy = create(&half)?;
    let (from, to) = (database.begin_read()?, copy.begin_write()?);
    tables::copy(&from, &to)?;
    to.commit()?;
    fs::rename(&half, path).map_err(Error::Io)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::Io)?;
    Ok(copy)
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
