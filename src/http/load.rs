//! How much is taken on at a time. Where it is too much, whoever begins something new is refused first, then whoever
//! waits for news; whoever checks a code or takes a question back is served as long as anything is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::problem::{Code, Problem};

/// How many starts are under way at a time: the store commits those that wait for it together.
const STARTS: usize = 256;

/// How many more starts may wait for a place, and for how long: as many as may get one in that time, so that a
/// refusal is told well within 50 ms.
const QUEUE: usize = 128;
const START_PATIENCE: Duration = Duration::from_millis(25);

/// How many checks and cancellations are under way at a time, and for how long more may wait.
const FOLLOWERS: usize = 1_024;
const FOLLOW_PATIENCE: Duration = Duration::from_secs(2);

/// How many searches are under way at a time, and for how long more may wait: each reads a lot.
const SEARCHES: usize = 2;
const SEARCH_PATIENCE: Duration = Duration::from_secs(5);

/// What is under way. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Load {
    starts: Arc<Semaphore>,
    /// Places in the queue for `starts`.
    queue: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    waiters: Arc<Semaphore>,
    searches: Arc<Semaphore>,
}

/// A place that is taken until it is dropped.
#[must_use]
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

impl Place {
    /// Keeps the place for as long as this goes on.
    pub(super) async fn during<T>(self, work: impl Future<Output = T>) -> T {
        let done = work.await;
        drop(self);
        done
    }
}

impl Load {
    /// Nothing is under way; of so many connections three in four may wait for news.
    pub(super) fn new(max_connections: usize) -> Self {
        let of = |places| Arc::new(Semaphore::new(places));
        let waiters = of(max_connections / 4 * 3);
        let (starts, queue, followers) = (of(STARTS), of(QUEUE), of(FOLLOWERS));
        Self { starts, queue, followers, waiters, searches: of(SEARCHES) }
    }

    /// Whether a start may come: what will be refused is refused before anything is read of it, or refusals would
    /// take the time of those that are served.
    pub(super) fn may_start(&self) -> Result<(), Problem> {
        let full = self.starts.available_permits() == 0 && self.queue.available_permits() == 0;
        if full { Err(refused()) } else { Ok(()) }
    }

    /// A place for what begins something new, and costs money.
    pub(super) async fn start(&self) -> Result<Place, Problem> {
        if let Ok(place) = Arc::clone(&self.starts).try_acquire_owned() {
            return Ok(Place(place));
        }
        let Ok(_queued) = self.queue.try_acquire() else { return Err(refused()) };
        place(&self.starts, START_PATIENCE).await
    }

    /// A place for what follows a start: a check, a cancellation.
    pub(super) async fn follow(&self) -> Result<Place, Problem> {
        place(&self.followers, FOLLOW_PATIENCE).await
    }

    /// A place for what looks through records.
    pub(super) async fn search(&self) -> Result<Place, Problem> {
        place(&self.searches, SEARCH_PATIENCE).await
    }

    /// A place for who waits for news.
    pub(super) fn wait(&self) -> Result<Place, Problem> {
        let place = Arc::clone(&self.waiters).try_acquire_owned();
        place.map(Place).map_err(|_| refused())
    }
}

async fn place(places: &Arc<Semaphore>, patience: Duration) -> Result<Place, Problem> {
    match timeout(patience, Arc::clone(places).acquire_owned()).await {
        Ok(Ok(place)) => Ok(Place(place)),
        Ok(Err(_)) | Err(_) => Err(refused()),
    }
}

fn refused() -> Problem {
    super::report::shed();
    Problem::new(Code::Overloaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn starts_are_refused_first_and_soon() {
        let load = Load::new(8);
        let mut places = Vec::new();
        for _ in 0..STARTS {
            places.push(load.start().await.unwrap());
        }
        let asked = tokio::time::Instant::now();
        assert_eq!(load.start().await.unwrap_err(), Problem::new(Code::Overloaded));
        assert!(asked.elapsed() < 20 * START_PATIENCE, "{:?}", asked.elapsed());
        // Who follows is served, whatever is begun.
        assert!(load.follow().await.is_ok());
        assert_eq!(load.may_start(), Ok(()), "there is a queue");
        // A place that is free in time is given.
        let free = async {
            tokio::time::sleep(START_PATIENCE / 2).await;
            drop(places.pop());
        };
        let (next, ()) = tokio::join!(load.start(), free);
        assert!(next.is_ok());
    }

    #[tokio::test]
    async fn a_queue_that_is_full_is_told_at_once() {
        let load = Load::new(8);
        let mut places = Vec::new();
        for _ in 0..STARTS {
            places.push(load.start().await.unwrap());
        }
        let _full = load.queue.acquire_many(u32::try_from(QUEUE).unwrap()).await.unwrap();
        let asked = tokio::time::Instant::now();
        assert!(load.may_start().is_err());
        assert!(load.start().await.is_err());
        assert!(asked.elapsed() < START_PATIENCE);
    }

    #[tokio::test]
    async fn not_everybody_may_wait_for_news() {
        let load = Load::new(8);
        let _all: Vec<_> = (0..6).map(|_| load.wait().unwrap()).collect();
        assert!(load.wait().is_err());
    }
}
