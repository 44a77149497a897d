//! One counter's sliding window, as sub-buckets.
//!
//! The cheaper method of two weighted buckets assumes that the former window's events were spread
//! evenly; a burst at its end is forgotten twice as fast as it should be, and a limit of ten lets
//! fifteen through. Sub-buckets never count too low: the oldest one counts whole while any part
//! of it lies in the window.

use std::time::Duration;

use crate::ambient::Timestamp;

/// How many sub-buckets a window is cut into: what a count may be too high by, against the
/// length of a row (at most one bucket more than this).
const PARTS: u64 = 12;

/// Sub-buckets that counted something: (index since the epoch, count), oldest first.
pub(super) type Buckets = Vec<(u64, u64)>;

/// The window's length as it is part of a counter's key.
pub(super) fn micros(window: Duration) -> u64 {
    u64::try_from(window.as_micros()).unwrap_or(u64::MAX)
}

/// Rounded up, so that the sub-buckets together are never shorter than the window.
fn part(window: u64) -> u64 {
    window.div_ceil(PARTS).max(1)
}

/// Counts `add` at `now`, drops the sub-buckets that have left the window, and returns the sum.
pub(super) fn count(buckets: &mut Buckets, window: u64, now: Timestamp, add: u64) -> u64 {
    let index = now.as_micros() / part(window);
    buckets.retain(|(at, _)| *at >= index.saturating_sub(PARTS));
    if add > 0 {
        // Not always at the end: the clocks of two nodes differ a little.
        match buckets.binary_search_by_key(&index, |(at, _)| *at) {
            Ok(found) => {
                if let Some((_, count)) = buckets.get_mut(found) {
                    *count = count.saturating_add(add);
                }
            }
            Err(place) => buckets.insert(place, (index, add)),
        }
    }
    buckets.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

/// When the last of the sub-buckets has left the window.
pub(super) fn expiry(buckets: &Buckets, window: u64) -> Timestamp {
    let last = buckets.last().map_or(0, |(index, _)| *index);
    Timestamp::from_micros(last.saturating_add(PARTS + 1).saturating_mul(part(window)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_never_too_low_and_at_most_one_part_too_high() {
        let window = 1_200;
        let mut buckets = Buckets::new();
        let mut past = Vec::new();
        let mut now = 1_000_000;
        for step in 0..5_000_u64 {
            now += step * 7_919 % 53;
            past.push(now);
            let counted = count(&mut buckets, window, Timestamp::from_micros(now), 1);
            let within = |span: u64| past.iter().filter(|at| **at + span > now).count() as u64;
            assert!(counted >= within(window), "{counted} at {now}");
            assert!(counted <= within(window + window / PARTS), "{counted} at {now}");
            assert!(buckets.len() <= 13);
        }
    }

    #[test]
    fn a_counter_is_empty_when_it_expires_and_not_before() {
        for window in [0, 1, 5, 12, 1_000, 3_600_000_000] {
            let mut buckets = Buckets::new();
            count(&mut buckets, window, Timestamp::from_secs(9_999), 3);
            let end = expiry(&buckets, window);
            let before = Timestamp::from_micros(end.as_micros() - 1);
            assert_eq!(count(&mut buckets.clone(), window, before, 0), 3);
            assert_eq!(count(&mut buckets, window, end, 0), 0);
        }
    }
}
