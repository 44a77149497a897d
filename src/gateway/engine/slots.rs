//! The legs of one engine, by a small number each, which is used again.

use std::collections::HashMap;

use super::Slot;

/// The legs.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Option<Box<Slot>>>,
    free: Vec<usize>,
    by_name: HashMap<u64, usize>,
}

impl Slots {
    /// Whether there is no leg.
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The number that the next leg will have.
    pub(super) fn next(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    /// Puts a leg where [`next`](Self::next) says.
    pub(super) fn insert(&mut self, slot: Box<Slot>) {
        let at = self.free.pop().unwrap_or(self.slots.len());
        self.by_name.insert(slot.name, at);
        match self.slots.get_mut(at) {
            Some(place) => *place = Some(slot),
            None => self.slots.push(Some(slot)),
        }
    }

    pub(super) fn get(&self, at: usize) -> Option<&Slot> {
        self.slots.get(at)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Slot> {
        self.slots.get_mut(at)?.as_deref_mut()
    }

    /// The leg that others call so.
    pub(super) fn named(&self, name: u64) -> Option<usize> {
        self.by_name.get(&name).copied()
    }

    /// Removes a leg.
    pub(super) fn remove(&mut self, at: usize) -> Option<Box<Slot>> {
        let slot = self.slots.get_mut(at)?.take()?;
        self.by_name.remove(&slot.name);
        self.free.push(at);
        Some(slot)
    }

    /// The numbers that are used.
    pub(super) fn all(&self) -> Vec<usize> {
        let used = |at: &usize| self.get(*at).is_some();
        (0..self.slots.len()).filter(used).collect()
    }
}
