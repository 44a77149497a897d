//! One counter's sliding window, as sub-buckets.
//!
//! The cheaper method of two weighted buckets assumes that the former window's events were spread
//! evenly; a burst at its end is forgotten twice as fast as it should be, and a limit of ten lets
//! fifteen through. Sub-buckets never count too low: the oldest one counts whole while any part
//! of it lies in the window.

use std::time::Duration;

use super::{Count, Counter, Tally};
use crate::ambient::Timestamp;

/// How many sub-buckets a window is cut into: what a count may be too high by, against the
/// length of a row (at most one bucket more than this).
pub(super) const PARTS: u64 = 12;

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

/// How long a sub-bucket is, and the index of the one that `now` lies in.
pub(super) fn place(window: u64, now: Timestamp) -> (u64, u64) {
    let part = part(window);
    (part, now.as_micros() / part)
}

/// The sub-buckets that lie in the window up to `now`: a row may still have older ones.
fn within(buckets: &Buckets, window: u64, now: Timestamp) -> impl Iterator<Item = &(u64, u64)> {
    let oldest = (now.as_micros() / part(window)).saturating_sub(PARTS);
    buckets.iter().filter(move |(at, _)| *at >= oldest)
}

/// What was counted in the window up to `now`.
fn sum(buckets: &Buckets, window: u64, now: Timestamp) -> u64 {
    within(buckets, window, now).fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

/// Counts `add` at `now`, and drops the sub-buckets that have left the window.
fn count(buckets: &mut Buckets, window: u64, now: Timestamp, add: i64) {
    let index = now.as_micros() / part(window);
    buckets.retain(|(at, _)| *at >= index.saturating_sub(PARTS));
    if add < 0 {
        return take_back(buckets, add.unsigned_abs());
    }
    let add = add.unsigned_abs();
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
}

/// Takes back what was counted, the latest first: the counter is then never lower than the truth
/// for longer than the rest of its window.
fn take_back(buckets: &mut Buckets, mut amount: u64) {
    for (_, count) in buckets.iter_mut().rev() {
        let taken = amount.min(*count);
        *count -= taken;
        amount -= taken;
    }
    buckets.retain(|(_, count)| *count > 0);
}

/// When `add` more would not pass `most` any longer, if nothing else is counted until then. `None`:
/// never.
fn room_at(
    buckets: &Buckets,
    window: u64,
    now: Timestamp,
    add: u64,
    most: u64,
) -> Option<Timestamp> {
    let mut sum = sum(buckets, window, now);
    if sum.saturating_add(add) <= most {
        return Some(now);
    }
    for (index, count) in within(buckets, window, now) {
        sum = sum.saturating_sub(*count);
        if sum.saturating_add(add) <= most {
            let leaves = index.saturating_add(PARTS + 1).saturating_mul(part(window));
            return Some(Timestamp::from_micros(leaves));
        }
    }
    None
}

/// A counter that a tally has changed.
pub(super) struct Row {
    pub(super) key: String,
    pub(super) span: u64,
    pub(super) buckets: Buckets,
    changed: bool,
}

/// Counts, over rows as `load` gives them: the answer, and what must be written for it. Nothing is
/// written where a limit stands against it.
pub(super) fn tally<E>(
    now: Timestamp,
    counters: &[Counter],
    mut load: impl FnMut(&str, u64) -> Result<Buckets, E>,
) -> Result<(Tally, Vec<Row>), E> {
    let mut rows: Vec<Row> = Vec::new();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut granted = true;
    for counter in counters {
        let span = micros(counter.window);
        let known = rows.iter().position(|row| row.key == counter.key && row.span == span);
        let place = match known {
            Some(place) => place,
            None => {
                let buckets = load(&counter.key, span)?;
                let key = counter.key.clone();
                rows.push(Row { key, span, buckets, changed: false });
                rows.len() - 1
            }
        };
        let Some(row) = rows.get_mut(place) else { continue };
        let add = u64::try_from(counter.add).unwrap_or(0);
        let most = counter.most.unwrap_or(u64::MAX);
        let counted = sum(&row.buckets, span, now);
        let room_at = room_at(&row.buckets, span, now, add, most);
        granted &= room_at == Some(now);
        before.push(Count { counted, room_at });
        count(&mut row.buckets, span, now, counter.add);
        row.changed |= counter.add != 0;
        after.push(Count { counted: sum(&row.buckets, span, now), room_at });
    }
    rows.retain(|row| granted && row.changed);
    let counts = if granted { after } else { before };
    Ok((Tally { granted, counts }, rows))
}

/// When the last of the sub-buckets has left the window.
pub(super) fn expiry(buckets: &Buckets, window: u64) -> Timestamp {
    let last = buckets.last().map_or(0, |(index, _)| *index);
    Timestamp::from_micros(last.saturating_add(PARTS + 1).saturating_mul(part(window)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

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
            count(&mut buckets, window, Timestamp::from_micros(now), 1);
            let counted = sum(&buckets, window, Timestamp::from_micros(now));
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
            assert_eq!(sum(&buckets, window, before), 3);
            assert_eq!(sum(&buckets, window, end), 0);
        }
    }

    #[test]
    fn there_is_room_when_it_says_and_not_a_moment_before() {
        let (window, most) = (1_200, 20);
        let mut buckets = Buckets::new();
        let mut now = 1_000_000;
        for step in 0..2_000_u64 {
            now += step * 7_919 % 90;
            let at = room_at(&buckets, window, Timestamp::from_micros(now), 3, most).unwrap();
            assert!(sum(&buckets, window, at) + 3 <= most);
            if at > Timestamp::from_micros(now) {
                let before = Timestamp::from_micros(at.as_micros() - 1);
                assert!(sum(&buckets, window, before) + 3 > most);
            } else {
                count(&mut buckets, window, Timestamp::from_micros(now), 3);
            }
        }
        assert_eq!(room_at(&buckets, window, Timestamp::from_micros(now), 21, most), None);
    }

    #[test]
    fn what_has_left_the_window_makes_no_room_in_it() {
        let (window, most, at) = (120_000_000, 5, Timestamp::from_secs);
        let mut buckets = Buckets::new();
        count(&mut buckets, window, at(1_000), 1);
        count(&mut buckets, window, at(1_110), 5);
        // The first is still in the row.
        assert_eq!(buckets.len(), 2);
        let room = room_at(&buckets, window, at(1_135), 1, most).unwrap();
        assert_eq!(room, at(1_240));
        assert!(sum(&buckets, window, room) < most);
    }

    #[test]
    fn what_is_taken_back_is_never_more_than_was_counted() {
        let mut buckets = Buckets::new();
        let at = Timestamp::from_secs;
        count(&mut buckets, 120_000_000, at(1_000), 2);
        count(&mut buckets, 120_000_000, at(1_060), 1);
        count(&mut buckets, 120_000_000, at(1_061), -2);
        assert_eq!(sum(&buckets, 120_000_000, at(1_061)), 1, "the latest first");
        count(&mut buckets, 120_000_000, at(1_062), -9);
        assert_eq!(sum(&buckets, 120_000_000, at(1_062)), 0);
        assert!(buckets.is_empty());
    }

    #[test]
    fn a_moment_has_its_place_in_parts_that_are_never_too_short() {
        let at = Timestamp::from_micros(1_000_000);
        assert_eq!(place(1_200, at), (100, 10_000));
        assert_eq!(place(1_201, at), (101, 9_900));
    }

    #[test]
    fn counting_nothing_leaves_nothing_behind() {
        let mut buckets = Buckets::new();
        count(&mut buckets, 1_200, Timestamp::from_secs(1), 0);
        assert!(buckets.is_empty());
    }

    type Kept = HashMap<(String, u64), Buckets>;

    fn counter(key: &str, window: u64, add: i64, most: Option<u64>) -> Counter {
        Counter { key: key.to_owned(), window: Duration::from_micros(window), add, most }
    }

    /// Tallies at 1 s over what is kept, and keeps what must be written: how many rows.
    fn tallied(kept: &mut Kept, counters: &[Counter]) -> (Tally, usize) {
        let load = |key: &str, span| Ok::<_, ()>(kept.get(&(key.to_owned(), span)).cloned());
        let load = |key: &str, span| load(key, span).map(Option::unwrap_or_default);
        let (told, rows) = tally(Timestamp::from_secs(1), counters, load).unwrap();
        let written = rows.len();
        kept.extend(rows.into_iter().map(|row| ((row.key, row.span), row.buckets)));
        (told, written)
    }

    fn counted(tally: &Tally) -> Vec<u64> {
        tally.counts.iter().map(|count| count.counted).collect()
    }

    #[test]
    fn a_tally_counts_each_key_in_each_window_and_writes_what_has_changed() {
        let mut kept = Kept::new();
        let (told, written) = tallied(
            &mut kept,
            &[
                counter("a", 1_200, 1, Some(2)),
                counter("a", 1_200, 1, Some(2)),
                counter("a", 2_400, 2, None),
                counter("b", 1_200, 0, None),
            ],
        );
        assert!(told.granted);
        assert_eq!((counted(&told), written), (vec![1, 2, 2, 0], 2));
        // What is too much stands against all of it, and what there was is told.
        let (told, written) =
            tallied(&mut kept, &[counter("a", 1_200, 1, Some(2)), counter("b", 1_200, 1, Some(9))]);
        assert!(!told.granted);
        assert_eq!((counted(&told), written), (vec![2, 0], 0));
        let room: Vec<_> = told.counts.iter().map(|count| count.room_at).collect();
        assert_eq!(room, [1_001_300, 1_000_000].map(|at| Some(Timestamp::from_micros(at))));
        let (told, written) = tallied(&mut kept, &[counter("a", 1_200, -1, None)]);
        assert_eq!((told.granted, counted(&told), written), (true, vec![1], 1));
    }
}
