//! Wakes whoever waits for a verification to change. A hint: the store says what is true.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::verify::VerificationId;

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Hub {
    waiters: Mutex<HashMap<VerificationId, Arc<Notify>>>,
}

/// A place in the queue for one verification; leaving it forgets the verification when nobody else
/// waits.
pub(super) struct Waiter<'a> {
    hub: &'a Hub,
    id: VerificationId,
    notify: Arc<Notify>,
}

impl Hub {
    /// Waits for changes of `id` from now on.
    pub(super) fn enter(&self, id: &VerificationId) -> Waiter<'_> {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let notify = Arc::clone(waiters.entry(id.clone()).or_default());
        Waiter { hub: self, id: id.clone(), notify }
    }

    /// `id` has changed.
    pub(super) fn announce(&self, id: &VerificationId) {
        let waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = waiters.get(id) {
            notify.notify_waiters();
        }
    }

    /// Anything may have changed.
    pub(super) fn announce_all(&self) {
        let waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.values().for_each(|notify| notify.notify_waiters());
    }
}

impl Waiter<'_> {
    /// The next change. Enable it before the state is read, so that no change falls between.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiters = self.hub.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and ours: nobody else waits.
        if Arc::strong_count(&self.notify) == 2 {
            waiters.remove(&self.id);
        }
    }
}
