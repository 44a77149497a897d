//! How long the store takes, told to the metrics.

use tokio::time::Instant;

use super::StoreError;
use crate::telemetry::{self, Event};

/// Does the work of a verb, and tells how long it took and whether it failed. A cursor that is none of
/// ours is its caller's mistake.
pub(super) async fn timed<T>(
    verb: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let begun = Instant::now();
    let done = work.await;
    let failed = matches!(&done, Err(error) if !matches!(error, StoreError::Cursor));
    telemetry::observe(&Event::Stored { verb, took: begun.elapsed(), failed });
    done
}
