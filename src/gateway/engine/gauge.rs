//! How an engine does: how many legs it has, how late its frames go out, how busy it is, and whether
//! it takes another call.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::ambient::Timestamp;

/// Lateness is told apart by so much.
const STEP: Duration = Duration::from_micros(100);

/// What is later than all the steps together is only counted.
const STEPS: usize = 1_000;

/// How often an engine tells how it does.
const PERIOD: Duration = Duration::from_millis(200);

/// Frames that are later than this are heard as gaps where the far end buffers little.
const LATE: Duration = Duration::from_millis(5);

/// One in so many may be late.
const LATE_SHARE: u64 = 100;

/// How late frames went out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lateness {
    /// By the steps.
    counts: Vec<u64>,
    frames: u64,
    most: Duration,
}

impl Lateness {
    /// A frame went out so late.
    pub(crate) fn note(&mut self, late: Duration) {
        if self.counts.is_empty() {
            self.counts = vec![0; STEPS];
        }
        self.frames += 1;
        self.most = self.most.max(late);
        let step = late.as_micros() / STEP.as_micros();
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        if let Some(count) = self.counts.get_mut(step) {
            *count += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        self.counts.resize(STEPS.max(self.counts.len()), 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.frames += other.frames;
        self.most = self.most.max(other.most);
    }

    fn clear(&mut self) {
        self.counts.fill(0);
        (self.frames, self.most) = (0, Duration::ZERO);
    }

    /// How many frames went out.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// The latest.
    pub(crate) fn most(&self) -> Duration {
        self.most
    }

    /// What so many per cent of the frames were not later than, to a step.
    pub(crate) fn percent(&self, percent: u64) -> Duration {
        let rank = (self.frames * percent).div_ceil(100);
        let mut seen = 0;
        let step = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        let step = step.and_then(|step| u32::try_from(step + 1).ok());
        step.map_or(self.most, |step| (STEP * step).min(self.most))
    }

    /// Whether more of them are late than may be.
    fn is_late(&self) -> bool {
        let steps = usize::try_from(LATE.as_micros() / STEP.as_micros()).unwrap_or(usize::MAX);
        let timely: u64 = self.counts.iter().take(steps).sum();
        (self.frames - timely) * LATE_SHARE > self.frames
    }
}

/// What an engine did in a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// How late its frames were.
    pub(crate) late: Lateness,
    /// Datagrams it read from media ports, whatever became of them.
    pub(crate) received: u64,
    /// How long it worked.
    pub(crate) worked: Duration,
    /// Of how long.
    pub(crate) span: Duration,
}

/// What others know of an engine.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// Legs that have, or will have, media.
    legs: AtomicUsize,
    is_late: AtomicBool,
    account: Mutex<Account>,
}

impl Gauge {
    /// How many legs it has.
    pub(crate) fn legs(&self) -> usize {
        self.legs.load(Ordering::Relaxed)
    }

    /// Whether it takes another call, where it is to have at most so many.
    pub(crate) fn has_room(&self, most: usize) -> bool {
        self.legs() < most && !self.is_late.load(Ordering::Relaxed)
    }

    /// A leg is on its way to it.
    pub(crate) fn enter(&self) {
        self.legs.fetch_add(1, Ordering::Relaxed);
    }

    /// A leg has fallen silent.
    pub(crate) fn leave(&self) {
        self.legs.fetch_sub(1, Ordering::Relaxed);
    }

    /// What it did since the last time this was asked.
    pub(crate) fn take(&self) -> Account {
        std::mem::take(&mut *self.account.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The engine's own side of its [`Gauge`].
pub(crate) struct Meter {
    gauge: Arc<Gauge>,
    account: Account,
    since: Timestamp,
}

impl Meter {
    pub(crate) fn new(gauge: Arc<Gauge>, now: Timestamp) -> Self {
        Self { gauge, account: Account::default(), since: now }
    }

    /// A frame goes out so late.
    pub(crate) fn sent(&mut self, late: Duration) {
        self.account.late.note(late);
    }

    /// So many datagrams were read.
    pub(crate) fn received(&mut self, datagrams: usize) {
        self.account.received += datagrams as u64;
    }

    /// A leg has fallen silent.
    pub(crate) fn left(&self) {
        self.gauge.leave();
    }

    /// It worked from then until now.
    pub(crate) fn worked(&mut self, from: Timestamp, now: Timestamp) {
        self.account.worked += now.since(from);
        self.account.span = now.since(self.since);
        if self.account.span >= PERIOD {
            self.since = now;
            self.tell();
        }
    }

    fn tell(&mut self) {
        let Account { late, received, worked, span } = &mut self.account;
        // Whoever is late with little to do was kept from it by others, and is none the better for
        // fewer calls.
        let is_late = late.is_late() && *worked * 2 > *span;
        self.gauge.is_late.store(is_late, Ordering::Relaxed);
        let mut told = self.gauge.account.lock().unwrap_or_else(PoisonError::into_inner);
        told.late.add(late);
        told.received += *received;
        told.worked += *worked;
        told.span += *span;
        late.clear();
        (*received, *worked, *span) = (0, Duration::ZERO, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn percentiles_are_told_to_a_step() {
        let mut late = Lateness::default();
        (1..=100).for_each(|n| late.note(MS * n));
        assert_eq!((late.frames(), late.most()), (100, MS * 100));
        assert_eq!(late.percent(50), MS * 50 + STEP);
        assert_eq!(late.percent(99), MS * 99 + STEP);
        // Beyond the last step only the latest is known.
        assert_eq!(late.percent(100), MS * 100);
        let mut sum = Lateness::default();
        sum.add(&late);
        sum.add(&late);
        assert_eq!((sum.frames(), sum.percent(50)), (200, MS * 50 + STEP));
        sum.clear();
        assert_eq!((sum.frames(), sum.percent(99)), (0, Duration::ZERO));
    }

    /// An engine that sent 1,000 frames in a period, so many of them late, and worked so long.
    fn engine(late: u32, worked: Duration) -> Arc<Gauge> {
        let (gauge, start) = (Arc::new(Gauge::default()), Timestamp::from_secs(1));
        let mut meter = Meter::new(Arc::clone(&gauge), start);
        (0..1_000).for_each(|n| meter.sent(if n < late { MS * 6 } else { MS }));
        meter.worked(start + (PERIOD - worked), start + PERIOD);
        gauge
    }

    #[test]
    fn an_engine_that_is_full_or_late_by_its_own_work_takes_no_more() {
        assert!(engine(10, PERIOD * 3 / 4).has_room(1));
        assert!(!engine(11, PERIOD * 3 / 4).has_room(1));
        // Others keep it from running.
        assert!(engine(500, PERIOD / 4).has_room(1));
        let gauge = engine(0, PERIOD);
        gauge.enter();
        assert!(gauge.has_room(2) && !gauge.has_room(1));
        gauge.leave();
        assert!(gauge.has_room(1));
    }

    #[test]
    fn what_it_did_is_told_once() {
        let gauge = engine(0, PERIOD / 2);
        let told = gauge.take();
        assert_eq!((told.late.frames(), told.worked, told.span), (1_000, PERIOD / 2, PERIOD));
        assert_eq!(gauge.take().late.frames(), 0);
    }
}
