//! What calls to our own numbers say of the trunks that carry them.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use super::seconds;
use crate::verify::selftest::{Outcome, Path, Standing};

/// A call is over, or was not made.
pub(super) fn tried(trunk: &str, path: Path, outcome: &Outcome, took: Duration) {
    let result = outcome.as_str();
    tracing::debug!(trunk, path = path.as_str(), result, ?took, "self-test call");
    let labels = [("trunk", trunk.to_owned()), ("path", path.as_str().to_owned())];
    let counted = [labels.to_vec(), vec![("result", result.to_owned())]].concat();
    counter!("octothorpe_selftest_calls_total", &counted).increment(1);
    match outcome {
        Outcome::Heard { .. } | Outcome::Unheard { .. } | Outcome::Unreached { .. } => {
            histogram!("octothorpe_selftest_seconds", &labels).record(took.as_secs_f64());
        }
        Outcome::Busy | Outcome::Unmade { .. } => {}
    }
}

/// It is known anew whether keys come through.
pub(super) fn standing(standing: &Standing, every: Duration) {
    let Standing { trunk, path, works, result, reason, heard_by, at, heard_at } = standing;
    let (path, reason) = (path.as_str(), reason.as_deref());
    if reason.is_some() {
        tracing::warn!(trunk, path, result, reason, "self-test fails");
    } else {
        tracing::debug!(trunk, path, ?heard_by, "self-test");
    }
    let labels = [("trunk", trunk.clone()), ("path", path.to_owned())];
    if let Some(works) = works {
        gauge!("octothorpe_selftest_works", &labels).set(f64::from(u8::from(*works)));
    }
    let last = at.map_or(0.0, seconds);
    gauge!("octothorpe_selftest_last_seconds", &labels).set(last);
    gauge!("octothorpe_selftest_heard_seconds", &labels).set(heard_at.map_or(0.0, seconds));
    gauge!("octothorpe_selftest_every_seconds", &labels).set(every.as_secs_f64());
}

/// A path is tried no more: nothing is said of it.
pub(super) fn no_more(trunk: &str, path: Path) {
    let labels = [("trunk", trunk.to_owned()), ("path", path.as_str().to_owned())];
    for name in [
        "octothorpe_selftest_works",
        "octothorpe_selftest_last_seconds",
        "octothorpe_selftest_heard_seconds",
        "octothorpe_selftest_every_seconds",
    ] {
        gauge!(name, &labels).set(f64::NAN);
    }
}
