//! How many calls a trunk takes: at once, and in a second. Who does not fit may wait, first come, first
//! served.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use super::settings::Capacity;
use crate::ambient::Timestamp;

const SECOND: Duration = Duration::from_secs(1);

/// The gate of one trunk.
#[derive(Clone, Debug)]
pub(super) struct Gate<K> {
    capacity: Capacity,
    inside: HashSet<K>,
    queue: VecDeque<K>,
    /// When the last ones came in, no more of them than may in a second: no second, wherever it
    /// begins, has more.
    entered: VecDeque<Timestamp>,
}

/// What becomes of who wants in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is in.
    In,
    /// It waits in the queue.
    Waits,
    /// There is no room.
    Full(Full),
}

/// What is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// So many calls are up.
    Calls(u32),
    /// So many were begun within a second.
    Rate(u32),
}

impl fmt::Display for Full {
    /// As what follows the trunk's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(calls) => write!(f, "is full: {calls} of {calls} calls"),
            Self::Rate(rate) => write!(f, "is full: {rate} of {rate} calls in this second"),
        }
    }
}

impl<K: Clone + Eq + Hash> Gate<K> {
    /// Nobody is in.
    pub(super) fn new(capacity: Capacity) -> Self {
        let (inside, queue) = (HashSet::new(), VecDeque::new());
        Self { capacity, inside, queue, entered: VecDeque::new() }
    }

    /// The same, of another size.
    pub(super) fn of(self, capacity: Capacity) -> Self {
        Self { capacity, ..self }
    }

    /// Lets somebody in, or queues who may wait.
    pub(super) fn enter(&mut self, now: Timestamp, who: K, may_wait: bool) -> Entry {
        let full = self.full(now);
        if full.is_none() && self.queue.is_empty() {
            self.let_in(now, who);
            return Entry::In;
        }
        if may_wait {
            self.queue.push_back(who);
            return Entry::Waits;
        }
        let calls = Full::Calls(u32::try_from(self.inside.len()).unwrap_or(u32::MAX));
        Entry::Full(full.unwrap_or(calls))
    }

    /// Forgets somebody, who was in or waited.
    pub(super) fn leave(&mut self, who: &K) {
        if !self.inside.remove(who) {
            self.queue.retain(|it| it != who);
        }
    }

    /// Those who waited and are in now.
    pub(super) fn admit(&mut self, now: Timestamp) -> Vec<K> {
        let mut admitted = Vec::new();
        while self.full(now).is_none()
            && let Some(who) = self.queue.pop_front()
        {
            self.let_in(now, who.clone());
            admitted.push(who);
        }
        admitted
    }

    /// When the next of those who wait may come in by time alone.
    pub(super) fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.queue.front()?;
        match self.full(now) {
            None => Some(now),
            Some(Full::Calls(_)) => None,
            Some(Full::Rate(_)) => self.entered.front().map(|at| *at + SECOND),
        }
    }

    /// How many are in.
    pub(super) fn calls(&self) -> usize {
        self.inside.len()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn full(&self, now: Timestamp) -> Option<Full> {
        let Capacity { calls, per_second } = self.capacity;
        let many = |most: &u32, n: usize| usize::try_from(*most).is_ok_and(|most| n >= most);
        if let Some(calls) = calls.filter(|most| many(most, self.inside.len())) {
            return Some(Full::Calls(calls));
        }
        let lately = self.entered.iter().filter(|at| now.since(**at) < SECOND).count();
        per_second.filter(|most| many(most, lately)).map(Full::Rate)
    }

    fn let_in(&mut self, now: Timestamp, who: K) {
        self.inside.insert(who);
        if self.capacity.per_second.is_some() {
            while self.entered.front().is_some_and(|at| now.since(*at) >= SECOND) {
                self.entered.pop_front();
            }
            self.entered.push_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(100);

    fn gate(calls: Option<u32>, per_second: Option<u32>) -> Gate<u32> {
        Gate::new(Capacity { calls, per_second })
    }

    #[test]
    fn who_may_not_wait_is_told_what_is_used_up() {
        let mut gate = gate(Some(2), None);
        assert_eq!([1, 2].map(|who| gate.enter(NOW, who, false)), [Entry::In, Entry::In]);
        let Entry::Full(full) = gate.enter(NOW, 3, false) else { panic!("it is full") };
        assert_eq!(full.to_string(), "is full: 2 of 2 calls");
        gate.leave(&1);
        assert_eq!(gate.enter(NOW, 3, false), Entry::In);
    }

    #[test]
    fn who_waits_comes_in_by_turn() {
        let mut gate = gate(Some(1), None);
        let entries = [1, 2, 3, 4].map(|who| gate.enter(NOW, who, true));
        assert_eq!(entries, [Entry::In, Entry::Waits, Entry::Waits, Entry::Waits]);
        assert_eq!((gate.admit(NOW), gate.deadline(NOW)), (vec![], None));
        gate.leave(&2);
        gate.leave(&1);
        assert_eq!(gate.admit(NOW), [3], "who has left the queue is never let in");
        assert_eq!((gate.calls(), gate.waiting()), (1, 1));
    }

    #[test]
    fn nobody_overtakes_who_waits() {
        let mut gate = gate(Some(1), None);
        gate.enter(NOW, 1, true);
        gate.enter(NOW, 2, true);
        gate.leave(&1);
        assert!(matches!(gate.enter(NOW, 3, false), Entry::Full(_)));
        assert_eq!(gate.admit(NOW), [2]);
    }

    #[test]
    fn a_second_that_is_full_ends() {
        let mut gate = gate(None, Some(2));
        gate.enter(NOW, 1, true);
        gate.enter(NOW + SECOND / 2, 2, true);
        assert_eq!(gate.enter(NOW + SECOND / 2, 3, true), Entry::Waits);
        assert_eq!(gate.deadline(NOW + SECOND / 2), Some(NOW + SECOND));
        assert!(gate.admit(NOW + SECOND - Duration::from_micros(1)).is_empty());
        assert_eq!(gate.admit(NOW + SECOND), [3]);
    }

    proptest! {
        /// Whoever comes and goes whenever: never more than may be in, and never more in a second.
        #[test]
        fn never_more_than_it_takes(
            steps in prop::collection::vec((0_u64..400, any::<bool>(), any::<bool>()), 1..200),
            calls in 1_u32..6,
            rate in 1_u32..6,
        ) {
            let mut gate = gate(Some(calls), Some(rate));
            let (mut now, mut inside, mut entered) = (NOW, Vec::new(), Vec::new());
            for (who, (pause, enters, waits)) in (0..).zip(steps) {
                now += Duration::from_millis(pause);
                let mut news = Vec::new();
                if enters {
                    if gate.enter(now, who, waits) == Entry::In {
                        news.push(who);
                    }
                } else if !inside.is_empty() {
                    gate.leave(&inside.remove(0));
                }
                news.extend(gate.admit(now));
                entered.extend(news.iter().map(|_| now));
                inside.extend(news);
                prop_assert!(inside.len() <= calls as usize);
                let lately = entered.iter().filter(|at| now.since(**at) < SECOND).count();
                prop_assert!(lately <= rate as usize);
                prop_assert!(gate.deadline(now).is_none_or(|at| at > now));
            }
        }
    }
}
