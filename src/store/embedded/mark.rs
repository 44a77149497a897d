//! How far the store had come when somebody was last told of it: it is held against the file when that is
//! opened, so that a verdict which was told cannot be gone without anybody seeing it.
//!
//! A file that ends too early is otherwise like one whose last change was cut off by a crash, which is
//! taken back to the change before: the checksums of both are right. And an older copy of the file is
//! as whole as the newest.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use redb::{Error, ReadTransaction, ReadableTable as _, TableDefinition, TableError};

use super::disk::own_file;
use super::tables::Tables;
use crate::ambient::secret;

/// The file that says it.
const FILE: &str = "octothorpe.mark";

/// id, changes
pub(super) type LifeRow = (u128, u64);

pub(super) const LIFE: TableDefinition<(), LifeRow> = TableDefinition::new("life");

/// Which store it is, and how often it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// Drawn when a store begins, and anew for a backup of it: how far the one came says nothing of the
    /// other.
    pub(super) id: u128,
    /// How many transactions it has seen.
    pub(super) changes: u64,
}

impl Life {
    /// That of a new store.
    pub(super) fn new() -> Self {
        Self { id: u128::from_be_bytes(secret()), changes: 0 }
    }

    /// As a file has it; `None`: a version of this program wrote it that did not count.
    pub(super) fn of(transaction: &ReadTransaction) -> Result<Option<Self>, Error> {
        match transaction.open_table(LIFE) {
            Ok(table) => Ok(table.get(())?.map(|row| row.value().into())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<LifeRow> for Life {
    fn from((id, changes): LifeRow) -> Self {
        Self { id, changes }
    }
}

impl Tables<'_> {
    /// Counts this transaction.
    pub(super) fn count(&mut self) -> Result<Life, Error> {
        let life = self.life.get(())?.map(|row| row.value().into());
        let Life { id, changes } = life.unwrap_or_else(Life::new);
        let life = Life { id, changes: changes.saturating_add(1) };
        self.begin(life)?;
        Ok(life)
    }

    /// Makes it this store.
    pub(super) fn begin(&mut self, Life { id, changes }: Life) -> Result<(), Error> {
        self.life.insert((), (id, changes))?;
        Ok(())
    }
}

/// How far the store had come. It is written when a change is durable and before anybody is told of it,
/// and not synced: a process that is killed loses nothing of it, a machine without power its last seconds
/// at most. So it is never ahead of a file that is whole, and a file that is behind it has lost what was
/// told.
#[derive(Debug)]
pub(super) struct Mark(File);

impl Mark {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        own_file(&dir.join(FILE)).map(Self)
    }

    pub(super) fn set(&self, Life { id, changes }: Life) -> io::Result<()> {
        let bytes = [&id.to_be_bytes()[..], &changes.to_be_bytes()].concat();
        self.0.write_all_at(&bytes, 0)
    }

    /// How many changes of this store were told of that it has not.
    pub(super) fn missing(&self, life: Option<Life>) -> io::Result<u64> {
        let told = self.get()?;
        Ok(match (told, life) {
            (Some(told), Some(life)) if told.id == life.id => {
                told.changes.saturating_sub(life.changes)
            }
            // A copy from before changes were counted.
            (Some(told), None) => told.changes,
            // A backup that was put there; or nobody was told of anything yet.
            (Some(_), Some(_)) | (None, _) => 0,
        })
    }

    /// `None` where nothing was written yet.
    fn get(&self) -> io::Result<Option<Life>> {
        let (mut id, mut changes) = ([0; 16], [0; 8]);
        let file = &self.0;
        match file.read_exact_at(&mut id, 0).and_then(|()| file.read_exact_at(&mut changes, 16)) {
            Ok(()) => {
                let (id, changes) = (u128::from_be_bytes(id), u64::from_be_bytes(changes));
                Ok(Some(Life { id, changes }))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}
