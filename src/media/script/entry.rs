//! What a person has entered so far. It is somebody's PIN: it never shows itself, and is wiped.

use std::fmt;

use zeroize::Zeroizing;

use super::question::LONGEST;
use crate::media::events::Digit;

/// The keys since the last `#`, `*` or pause.
#[derive(Clone)]
pub(super) struct Entry {
    keys: Zeroizing<[u8; LONGEST]>,
    /// Of what was pressed, not of what is kept: more than can be an answer are none.
    length: usize,
}

impl Entry {
    pub(super) fn new() -> Self {
        Self { keys: Zeroizing::new([u8::MAX; LONGEST]), length: 0 }
    }

    /// Takes a key: a digit, or one that makes the entry match nothing (A to D).
    pub(super) fn push(&mut self, digit: Digit) {
        if let Some(place) = self.keys.get_mut(self.length) {
            *place = digit.event();
        }
        self.length = self.length.saturating_add(1);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// The keys, filled up with what is no key.
    pub(super) fn keys(&self) -> &[u8; LONGEST] {
        &self.keys
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(•)")
    }
}
