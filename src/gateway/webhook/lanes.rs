//! A lane for each endpoint: one that hangs holds up nobody else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many events are on their way to one endpoint at once.
const PLACES: usize = 32;

/// How many wait for a place in memory; more go back to the store.
const WAITING: usize = 1_024;

/// The lanes, by endpoint.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Lanes(Mutex<HashMap<String, Arc<Lane>>>);

/// The events that are on their way to one endpoint, and those that wait.
#[derive(Debug)]
pub(in crate::gateway) struct Lane {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Lanes {
    /// The lane of an endpoint. Lanes are as many as endpoints are configured, and stay.
    pub(in crate::gateway) fn of(&self, endpoint: &str) -> Arc<Lane> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(endpoint) {
            return Arc::clone(lane);
        }
        let places = Arc::new(Semaphore::new(PLACES));
        let lane = Arc::new(Lane { places, waiting: AtomicUsize::new(0) });
        lanes.insert(endpoint.to_owned(), Arc::clone(&lane));
        lane
    }
}

impl Lane {
    /// A place on the way, where there is one now.
    pub(in crate::gateway) fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// A place on the way, once there is one; `None` where too many wait already.
    pub(in crate::gateway) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_lane_takes_no_more_and_the_next_one_is_free() {
        let lanes = Lanes::default();
        let slow = lanes.of("slow");
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.push(slow.free().unwrap());
        }
        assert!(slow.free().is_none());
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let lane = lanes.of("slow");
                tokio::spawn(async move { lane.enter().await.is_some() })
            })
            .collect();
        while slow.waiting.load(Ordering::Relaxed) < WAITING {
            tokio::task::yield_now().await;
        }
        assert!(slow.enter().await.is_none(), "too many wait");
        assert!(lanes.of("other").free().is_some(), "another endpoint is not held up");
        drop(held);
        for one in waiting {
            assert!(one.await.unwrap(), "whoever waited comes to its turn");
        }
        assert!(slow.free().is_some());
    }
}
