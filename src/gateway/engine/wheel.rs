//! When legs want to be woken: a wheel of milliseconds, so that nobody looks through all of them; and
//! the places of the 20 ms at which their frames go out, so that they do not all go at once.

use std::time::Duration;

use crate::ambient::Timestamp;

/// A tick of the wheel, in microseconds.
const TICK: u64 = 1_000;

/// How many ticks the wheel has. What is due later is put at its far end, and looked at again there.
const SPAN: u64 = 256;

/// The tick of what is not on the wheel.
const NEVER: u64 = u64::MAX;

/// Who is to be woken at which millisecond. A sleeper is a small number.
///
/// A wake-up that is put off stays where it is: whoever wakes looks whether its time has come, and
/// goes back to sleep if not.
#[derive(Debug)]
pub(super) struct Wheel {
    buckets: Vec<Vec<usize>>,
    /// The tick at which each sleeper wakes.
    wakes: Vec<u64>,
    /// The first tick that has not been.
    next: u64,
}

impl Wheel {
    /// Nobody sleeps.
    pub(super) fn new(now: Timestamp) -> Self {
        let buckets = (0..SPAN).map(|_| Vec::new()).collect();
        Self { buckets, wakes: Vec::new(), next: now.as_micros() / TICK }
    }

    /// Wakes a sleeper no later than at `at`, or at the next tick where that is past.
    pub(super) fn set(&mut self, sleeper: usize, at: Timestamp) {
        let tick = at.as_micros().div_ceil(TICK).clamp(self.next, self.next + SPAN - 1);
        if sleeper >= self.wakes.len() {
            self.wakes.resize(sleeper + 1, NEVER);
        }
        let Some(wakes) = self.wakes.get_mut(sleeper).filter(|wakes| tick < **wakes) else {
            return;
        };
        *wakes = tick;
        if let Some(bucket) = self.buckets.get_mut(bucket_of(tick)) {
            bucket.push(sleeper);
        }
    }

    /// Lets a sleeper sleep for good.
    pub(super) fn forget(&mut self, sleeper: usize) {
        if let Some(wakes) = self.wakes.get_mut(sleeper) {
            *wakes = NEVER;
        }
    }

    /// Adds to `woken` whoever wakes by `now`, in the order of their ticks.
    pub(super) fn turn(&mut self, now: Timestamp, woken: &mut Vec<usize>) {
        let last = now.as_micros() / TICK;
        // All that sleep are within one round, however long nobody has looked.
        let end = last.min(self.next.saturating_add(SPAN - 1));
        for tick in self.next..=end {
            let Some(bucket) = self.buckets.get_mut(bucket_of(tick)) else { continue };
            for sleeper in bucket.drain(..) {
                // Who was put forward, or forgotten, has left a trace here.
                if let Some(wakes) = self.wakes.get_mut(sleeper).filter(|it| **it == tick) {
                    *wakes = NEVER;
                    woken.push(sleeper);
                }
            }
        }
        self.next = self.next.max(last.saturating_add(1));
    }

    /// The first tick at which nobody has been woken yet.
    pub(super) const fn next(&self) -> Timestamp {
        Timestamp::from_micros(self.next.saturating_mul(TICK))
    }

    /// How long nobody wakes; at most a round of the wheel.
    pub(super) fn patience(&self, now: Timestamp) -> Duration {
        let is_used = |tick: &u64| {
            self.buckets.get(bucket_of(*tick)).is_some_and(|bucket| !bucket.is_empty())
        };
        let tick = (self.next..self.next + SPAN).find(is_used).unwrap_or(self.next + SPAN);
        Timestamp::from_micros(tick.saturating_mul(TICK)).since(now)
    }
}

fn bucket_of(tick: u64) -> usize {
    usize::try_from(tick % SPAN).unwrap_or(0)
}

/// How many places a frame of 20 ms has: one for each tick.
const PLACES: usize = 20;

/// The places of a frame, and how many legs have each.
#[derive(Debug, Default)]
pub(super) struct Places([usize; PLACES]);

/// A leg's place in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

impl Place {
    /// When in the frame that is.
    pub(super) fn offset(self) -> Duration {
        Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

impl Places {
    /// The emptiest place.
    pub(super) fn take(&mut self) -> Place {
        let emptiest = self.0.iter_mut().enumerate().min_by_key(|(_, legs)| **legs);
        Place(emptiest.map_or(0, |(place, legs)| {
            *legs += 1;
            place
        }))
    }

    /// Gives a place back.
    pub(super) fn give_back(&mut self, Place(place): Place) {
        if let Some(legs) = self.0.get_mut(place) {
            *legs = legs.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_000);

    const NOBODY: [usize; 0] = [];

    fn after(micros: u64) -> Timestamp {
        START + Duration::from_micros(micros)
    }

    fn woken(wheel: &mut Wheel, now: Timestamp) -> Vec<usize> {
        let mut woken = Vec::new();
        wheel.turn(now, &mut woken);
        woken
    }

    #[test]
    fn a_sleeper_wakes_once_at_the_tick_after_its_time_and_not_before() {
        let mut wheel = Wheel::new(START);
        wheel.set(3, after(1_500));
        assert_eq!(wheel.patience(START), Duration::from_millis(2));
        assert_eq!(woken(&mut wheel, after(1_999)), NOBODY);
        assert_eq!(woken(&mut wheel, after(2_000)), [3]);
        assert_eq!(woken(&mut wheel, after(900_000)), NOBODY);
    }

    #[test]
    fn what_is_past_wakes_at_the_next_tick() {
        let mut wheel = Wheel::new(START);
        assert_eq!(woken(&mut wheel, after(5_000)), NOBODY);
        wheel.set(0, after(1_000));
        assert_eq!(woken(&mut wheel, after(5_999)), NOBODY);
        assert_eq!(woken(&mut wheel, after(6_000)), [0]);
    }

    #[test]
    fn the_earlier_of_two_times_counts_and_one_that_is_put_off_wakes_all_the_same() {
        let mut wheel = Wheel::new(START);
        wheel.set(0, after(9_000));
        wheel.set(0, after(2_000));
        wheel.set(0, after(30_000));
        assert_eq!(woken(&mut wheel, after(2_000)), [0]);
        wheel.set(0, after(30_000));
        // The trace at 9 ms wakes nobody.
        assert_eq!(woken(&mut wheel, after(29_000)), NOBODY);
        assert_eq!(woken(&mut wheel, after(30_000)), [0]);
    }

    #[test]
    fn what_is_far_wakes_at_the_far_end_and_what_is_forgotten_never() {
        let mut wheel = Wheel::new(START);
        wheel.set(0, Timestamp::MAX);
        wheel.set(1, after(50_000));
        wheel.forget(1);
        assert_eq!(woken(&mut wheel, after((SPAN - 2) * TICK)), NOBODY);
        assert_eq!(woken(&mut wheel, after((SPAN - 1) * TICK)), [0]);
        assert_eq!(wheel.patience(after(SPAN * TICK)), Duration::from_micros(SPAN * TICK));
    }

    #[test]
    fn who_was_away_for_long_finds_all_that_slept() {
        let mut wheel = Wheel::new(START);
        (0..100).for_each(|n| wheel.set(n, after(n as u64 * 2_500)));
        let mut all = woken(&mut wheel, after(3_600_000_000));
        assert_eq!(all.len(), 100);
        assert!(all.is_sorted());
        wheel.set(7, after(3_600_001_000));
        all = woken(&mut wheel, after(3_600_002_000));
        assert_eq!(all, [7]);
    }

    proptest! {
        /// Against the plain way: look through all of them.
        #[test]
        fn nobody_sleeps_too_long_or_wakes_without_having_asked(
            steps in proptest::collection::vec((0_usize..8, 0_u64..400_000, 0_u64..9_000), 1..200),
        ) {
            let mut wheel = Wheel::new(START);
            let mut wanted = [None::<Timestamp>; 8];
            let mut now = START;
            for (sleeper, ahead, passes) in steps {
                let at = now + Duration::from_micros(ahead);
                wheel.set(sleeper, at);
                wanted[sleeper] = Some(wanted[sleeper].map_or(at, |it| it.min(at)));
                now += Duration::from_micros(passes);
                for sleeper in woken(&mut wheel, now) {
                    let at = wanted[sleeper].take();
                    prop_assert!(at.is_some());
                    if let Some(at) = at.filter(|at| *at > now) {
                        wanted[sleeper] = Some(at);
                        wheel.set(sleeper, at);
                    }
                }
                // A tick is the most that anybody is late.
                let oldest = wanted.iter().flatten().min();
                prop_assert!(oldest.is_none_or(|at| *at + Duration::from_micros(TICK) > now));
            }
        }
    }

    #[test]
    fn legs_are_spread_over_the_frame_and_fill_what_others_leave() {
        let mut places = Places::default();
        let taken: Vec<Place> = (0..60).map(|_| places.take()).collect();
        assert_eq!(places.0, [3; PLACES]);
        assert_eq!(taken[7].offset(), Duration::from_millis(7));
        places.give_back(taken[7]);
        places.give_back(taken[27]);
        assert_eq!(places.take(), taken[7]);
        assert_eq!(places.take(), taken[7]);
        assert_eq!(places.0, [3; PLACES]);
    }
}
