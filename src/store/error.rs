//! Why a store could not be opened, and why a verb could not be carried out.

use std::path::PathBuf;

use super::SCHEMA;
use crate::verify::code::KeyId;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or the file may not be written by this user.
    #[error("the store {} cannot be written: {source}", path.display())]
    NotWritable {
        /// The directory or file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another process has the file open.
    #[error("the store {} is in use by another process", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by another version of this program.
    #[error(
        "the store {} has schema version {found}, and this program reads version {SCHEMA}",
        path.display()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
    },
    /// The file was written before stores were sealed.
    #[error(
        "the store {} is in the clear, as stores were in an earlier version: `octothorpe store seal` \
         seals it once. If it was not written by an earlier version, somebody has changed it: put a \
         copy from before in its place",
        path.display()
    )]
    Unsealed {
        /// The file.
        path: PathBuf,
    },
    /// The file is sealed by another key.
    #[error(
        "the store {} is sealed by the key {key}, and the key at hand is {at_hand}: write the secret of \
         then in store.secret, or among store.older_secrets where it was exchanged; a key file is \
         restored from where it was kept with the store",
        path.display()
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// The key it was sealed by last.
        key: KeyId,
        /// The newest key at hand.
        at_hand: KeyId,
    },
    /// No row can be sealed.
    #[error("there is no key to seal the store by")]
    NoKey,
    /// Redis is spoken to by a task.
    #[error("a store in Redis is opened within an asynchronous runtime")]
    NoRuntime,
    /// The file is sealed, and was to be.
    #[error("the store {} is sealed already", path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
    },
    /// The file has not all that was told.
    #[error(
        "the store {} lacks the last {missing} change(s) that were told of, verdicts or used codes: its end \
         is lost, or an older copy was put in its place. Put the newest copy there. To go on with this \
         one, and believe again what was refused since, remove octothorpe.mark beside it",
        path.display()
    )]
    Behind {
        /// The file.
        path: PathBuf,
        /// How many changes it lacks.
        missing: u64,
    },
    /// The file is not a store, or damaged.
    #[error(
        "the store {} is damaged or not a store: {detail}. Put its last backup in its place (`octothorpe \
         store backup` writes one), or move it away to begin with nothing",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The operating system failed.
    #[error("the store {} cannot be opened: {source}", path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// Why a verb could not be carried out. Never a reason to approve anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full. Writing works again, without a restart, once there is room.
    #[error("the store's disk is full")]
    Full,
    /// The disk failed, and what it holds is not known until the store was opened anew, which is
    /// tried every second: nothing is read or written before.
    #[error("the store failed and must be opened anew: {0}")]
    Failed(String),
    /// What is stored was not put there by this gateway, or is not what was put there. It is not
    /// believed; everything else is.
    #[error("a stored {0} was changed by somebody else, or is sealed by a key that is not at hand")]
    Tampered(&'static str),
    /// It is not known to be kept: the server did not answer in time, or too few of its replicas have it.
    /// What was to be written may have been, and what was read may be lost again.
    #[error("the store cannot say that this is kept: {0}")]
    Unsafe(String),
    /// The cursor of a list is not one that a list gave.
    #[error("the list cursor is malformed")]
    Cursor,
    /// It is kept in memory.
    #[error("the store is kept in memory and has no file")]
    NoFile,
}
