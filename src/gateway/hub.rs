//! Wakes whoever waits for a verification to change. A hint: the store says what is true.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::settings::Tenant;
use super::{Fault, Gateway};
use crate::verify::{Verification, VerificationId};

/// How soon whoever waits for a change looks again, told of one or not.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

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

impl Gateway {
    /// A verification of this tenant, as soon as its version is above `since` or it is settled,
    /// or else as it is when `patience` is over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn wait(
        &self,
        tenant: &Tenant,
        id: &VerificationId,
        since: u64,
        patience: Duration,
    ) -> Result<Option<Verification>, Fault> {
        let waiter = self.0.hub.enter(id);
        let end = tokio::time::Instant::now() + patience;
        loop {
            let changed = waiter.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let Some(found) = self.read(tenant, id).await? else { return Ok(None) };
            if found.version > since || found.verdict().is_some() {
                return Ok(Some(found));
            }
            if tokio::time::Instant::now() >= end {
                return Ok(Some(found));
            }
            // Another node's change may come without a hint.
            let look = end.min(tokio::time::Instant::now() + LOOK_AGAIN);
            let _ = tokio::time::timeout_at(look, changed).await;
        }
    }
}
