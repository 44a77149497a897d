//! The requests of one HTTP/2 connection: how many are under way, and since when the answers lie ready that nobody
//! has fetched.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::timed::{Stage, State};

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Streams {
    state: Arc<State>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// How many there have been.
    begun: u64,
    /// How many wait for us.
    working: usize,
    /// Which answers lie ready, and since when.
    ready: BTreeMap<u64, Instant>,
}

impl Streams {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self { state, counts: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another request.
    pub(super) fn begin(all: &Arc<Self>) -> Working {
        let mut counts = all.counts();
        counts.begun += 1;
        counts.working += 1;
        all.state.set(Stage::Serving);
        Working { no: counts.begun, streams: Arc::clone(all) }
    }

    /// Whether there has been one.
    pub(super) fn any(&self) -> bool {
        self.counts().begun > 0
    }

    /// For how long the oldest answer has been lying ready.
    pub(super) fn unfetched(&self) -> Duration {
        self.counts().ready.values().next().map_or(Duration::ZERO, Instant::elapsed)
    }
}

/// A request that waits for us.
pub(super) struct Working {
    no: u64,
    streams: Arc<Streams>,
}

impl Working {
    /// Its answer is ready.
    pub(super) fn answered(self, body: Body) -> Fetched {
        let (no, streams) = (self.no, Arc::clone(&self.streams));
        streams.counts().ready.insert(no, Instant::now());
        // While it is written, its client waits for us.
        let writing = body.size_hint().exact().is_none().then_some(self);
        Fetched { body, no, streams, writing }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut counts = self.streams.counts();
        counts.working = counts.working.saturating_sub(1);
        if counts.working == 0 {
            self.streams.state.set(Stage::Idle);
        }
    }
}

/// An answer that lies ready until it is fetched, or the stream is reset.
pub(super) struct Fetched {
    body: Body,
    no: u64,
    streams: Arc<Streams>,
    /// It is written while it is fetched.
    writing: Option<Working>,
}

impl HttpBody for Fetched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if self.writing.is_some() {
            let mut counts = self.streams.counts();
            match &frame {
                Poll::Ready(_) => counts.ready.insert(self.no, Instant::now()),
                Poll::Pending => counts.ready.remove(&self.no),
            };
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        self.streams.counts().ready.remove(&self.no);
    }
}
