//! The store's file while the gateway runs: what is done to it, and what is wrong with it.

use std::path::Path;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::settings::StoreSettings;
use super::{Fault, Gateway};
use crate::store::StoreError;

/// The copy's name, in the folder of the store.
pub const BACKUP: &str = "octothorpe.backup";

/// A copy of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackedUp {
    /// The file.
    pub file: String,
    /// How long it is.
    pub bytes: u64,
}

/// The store's file, written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// How many bytes it had.
    pub before: u64,
    /// How many it has.
    pub after: u64,
}

impl Fault {
    /// Whether somebody else has changed what is stored.
    #[must_use]
    pub const fn is_tampering(&self) -> bool {
        matches!(self, Self::Store(StoreError::Tampered(_)))
    }

    /// Whether the store cannot say that what was asked for is kept.
    #[must_use]
    pub const fn is_unsafe(&self) -> bool {
        matches!(self, Self::Store(StoreError::Unsafe(_) | StoreError::Failed(_)))
    }

    /// Whether there is no room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Store(StoreError::Full) => true,
            Self::Audit(source) => source.kind() == std::io::ErrorKind::StorageFull,
            Self::Store(_) | Self::Record(_) | Self::Contended(_) | Self::Restless => false,
        }
    }
}

impl Gateway {
    /// Copies the store, as it is now, to a file beside it; everything goes on meanwhile. `None`: it has no
    /// file.
    ///
    /// # Errors
    /// When the store fails, or has no room for it.
    pub async fn back_up(&self) -> Result<Option<BackedUp>, Fault> {
        let Some(dir) = self.folder() else { return Ok(None) };
        let file = dir.join(BACKUP);
        let (store, to) = (self.0.store.clone(), file.clone());
        let done = tokio::task::spawn_blocking(move || store.back_up(&to)).await;
        let bytes = done.unwrap_or_else(|_| Err(StoreError::Failed("it was not copied".into())))?;
        Ok(Some(BackedUp { file: file.display().to_string(), bytes }))
    }

    /// Gives back the room that the store does not use; who writes waits meanwhile. `None`: it has no file.
    ///
    /// # Errors
    /// When the store fails, or has no room for it.
    pub async fn compact(&self) -> Result<Option<Compacted>, Fault> {
        if self.folder().is_none() {
            return Ok(None);
        }
        let (before, after) = self.0.store.compact().await?;
        Ok(Some(Compacted { before, after }))
    }

    /// Why the store takes nothing new.
    pub(super) fn store_trouble(&self) -> Option<&'static str> {
        match self.0.store.trouble() {
            Some(StoreError::Full) => Some("the store's disk is full"),
            None if self.0.store_works.load(Ordering::Relaxed) => None,
            Some(_) | None => Some("the store cannot be used"),
        }
    }

    fn folder(&self) -> Option<&Path> {
        let StoreSettings::Directory(dir) = &self.0.started.store else { return None };
        Some(dir)
    }
}
