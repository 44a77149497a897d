//! Time and chance, handed in.
//!
//! Nothing that decides reads a clock or throws dice: it is given a [`Timestamp`] and draws from
//! an [`Entropy`]. A run is therefore reproduced by its seed and its events alone.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

/// A moment: whole microseconds since the Unix epoch (UTC).
///
/// Arithmetic saturates, so that no input can make time wrap.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The end of time: later than every deadline.
    pub const MAX: Self = Self(u64::MAX);

    /// From whole microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From whole seconds since the Unix epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Whole microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with milliseconds, as the API writes every time.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        // The year 9999 is the last that RFC 3339 can write.
        let micros = self.0.min(253_402_300_799_999_999);
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_micros(micros)).to_string()
    }

    /// From RFC 3339 in UTC, as [`to_rfc3339`](Self::to_rfc3339) writes it, or with other fractions.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let time = humantime::parse_rfc3339(text).ok()?;
        Some(Self::default() + time.duration_since(UNIX_EPOCH).ok()?)
    }

    /// From when, as people write it: a time of RFC 3339, or a day, which counts from its first moment.
    #[must_use]
    pub fn from(text: &str) -> Option<Self> {
        Self::from_rfc3339(text).or_else(|| Self::from_rfc3339(&format!("{text}T00:00:00Z")))
    }

    /// Until when, as people write it: a time of RFC 3339, or a day, which counts to its last moment.
    #[must_use]
    pub fn until(text: &str) -> Option<Self> {
        let day = || Self::from_rfc3339(&format!("{text}T23:59:59.999999Z"));
        Self::from_rfc3339(text).or_else(day)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }
}

/// The most that a clock moves at once to follow another: half of a frame of speech.
const FOLLOWS_BY: Duration = Duration::from_millis(10);

/// Where the shell reads the time. Cheap to clone.
///
/// The system clock anchors wall time to the monotonic clock once, at start: afterwards it never
/// steps, neither back nor forth, whatever is done to the machine's wall clock. What it may do is to
/// [`follow`](Self::follow) the clock of what several machines share.
#[derive(Clone, Debug)]
pub struct Clock {
    kind: Kind,
    lead: Arc<Lead>,
}

#[derive(Clone, Debug)]
enum Kind {
    System { wall: Timestamp, start: Instant },
    Manual(Arc<AtomicU64>),
}

/// How far the clock that is followed is ahead of this machine's.
#[derive(Debug, Default)]
struct Lead {
    /// Microseconds.
    by: AtomicI64,
    /// Whether another clock was ever followed.
    is_known: AtomicBool,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn system() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::default() + wall;
        Self::of(Kind::System { wall, start: Instant::now() })
    }

    /// A clock that stands still until it is told to [`advance`](Self::advance); for simulations.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self::of(Kind::Manual(Arc::new(AtomicU64::new(start.0))))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, lead: Arc::default() }
    }

    /// The same clock, which follows no other: for what is this machine's own affair, and must not
    /// notice when the other is first known.
    #[must_use]
    pub fn unled(&self) -> Self {
        Self::of(self.kind.clone())
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let own = match &self.kind {
            Kind::System { wall, start } => *wall + start.elapsed(),
            Kind::Manual(micros) => Timestamp(micros.load(Ordering::Relaxed)),
        };
        Timestamp(own.0.saturating_add_signed(self.lead.by.load(Ordering::Relaxed)))
    }

    /// Moves a manual clock on; the system clock moves by itself and ignores this.
    pub fn advance(&self, span: Duration) {
        if let Kind::Manual(micros) = &self.kind {
            let by = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
            micros.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Follows another clock, which said `theirs` at some time between `asked` and `answered` by this one:
    /// at once the first time, afterwards by at most 10 ms, and not at all where both may be right. By how
    /// much it moved.
    ///
    /// Only one may have a clock follow another.
    pub fn follow(&self, asked: Timestamp, theirs: Timestamp, answered: Timestamp) -> Duration {
        let most = if self.lead.is_known.swap(true, Ordering::Relaxed) {
            FOLLOWS_BY
        } else {
            Duration::MAX
        };
        // It is at least so much behind, or ahead.
        let (ahead, behind) = (asked.since(theirs), theirs.since(answered));
        let (ahead, behind) = (ahead.min(most), behind.min(most));
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let by = micros(behind).saturating_sub(micros(ahead));
        self.lead.by.fetch_add(by, Ordering::Relaxed);
        ahead.max(behind)
    }

    /// How far the clock that is followed is ahead of this machine's, in microseconds.
    #[must_use]
    pub fn lead(&self) -> i64 {
        self.lead.by.load(Ordering::Relaxed)
    }
}

/// Chance that can be replayed: one seed for the process, a fork for each verification, and from
/// that its tags, branches, Call-ID and SSRC.
///
/// Not for secrets: those come from [`secret`].
#[derive(Clone, Debug)]
pub struct Entropy(ChaCha12Rng);

impl Entropy {
    /// Seeded by the operating system.
    #[must_use]
    pub fn system() -> Self {
        Self::from_seed(secret())
    }

    /// Seeded by the caller: the same seed gives the same draws.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// Seeded by a number, for tests and simulations.
    #[must_use]
    pub fn from_number(seed: u64) -> Self {
        Self(ChaCha12Rng::seed_from_u64(seed))
    }

    /// An independent source, seeded from this one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::from_seed(self.bytes())
    }

    /// `N` uniform bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A uniform 16-bit number.
    #[must_use]
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.bytes())
    }

    /// A uniform 32-bit number.
    #[must_use]
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A uniform 64-bit number.
    #[must_use]
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound` (zero when `bound` is zero). The bias of the multiplication method
    /// is below `bound` / 2^64, which no use here can notice.
    #[must_use]
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A token of `len` lower-case letters and digits (5 bits each), which every grammar here
    /// accepts: branches, tags, Call-IDs, nonces.
    #[must_use]
    pub fn token(&mut self, len: usize) -> String {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        (0..len)
            .map(|_| {
                let five_bits = usize::from(self.bytes::<1>()[0] & 31);
                ALPHABET.get(five_bits).copied().map_or('0', char::from)
            })
            .collect()
    }
}

/// `N` bytes from the operating system's generator: for keys, tokens and codes.
///
/// # Panics
/// When the operating system cannot give any; there is no safe way on.
#[must_use]
#[expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "the one place that asks for secrets; a machine without entropy must not make keys"
)]
pub fn secret<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_with_milliseconds() {
        let at = Timestamp::from_micros(1_795_546_183_123_456);
        assert_eq!(at.to_rfc3339(), "2026-11-24T18:49:43.123Z");
        let read = Timestamp::from_rfc3339("2026-11-24T18:49:43.123456Z");
        assert_eq!(read, Some(at));
        assert_eq!(Timestamp::from_rfc3339("2026-11-24"), None);
        assert_eq!(Timestamp::MAX.to_rfc3339(), "9999-12-31T23:59:59.999Z");
        let read = |text| Timestamp::until(text).map(Timestamp::to_rfc3339);
        assert_eq!(read("2026-11-24T18:49:43.123Z").unwrap(), "2026-11-24T18:49:43.123Z");
        assert_eq!(read("2027-03-31").unwrap(), "2027-03-31T23:59:59.999Z");
        let from = |text| Timestamp::from(text).map(Timestamp::to_rfc3339);
        assert_eq!(from("2026-11-24T18:49:43.123Z").unwrap(), "2026-11-24T18:49:43.123Z");
        assert_eq!(from("2027-03-31").unwrap(), "2027-03-31T00:00:00.000Z");
        assert_eq!(from("2027-3-31"), None);
        for bad in ["", "soon", "2027-13-31", "2027-03-31T12:00:00", "1969-12-31", "20270331Z."] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        let one = Timestamp::from_micros(1);
        assert_eq!(one - Duration::from_secs(1), Timestamp::default());
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
        assert_eq!(one.since(Timestamp::MAX), Duration::ZERO);
    }

    #[test]
    fn a_seed_repeats_itself_and_forks_differ() {
        let mut a = Entropy::from_number(7);
        let mut b = Entropy::from_number(7);
        let (mut fork_a, mut fork_b) = (a.fork(), b.fork());
        assert_eq!(fork_a.token(20), fork_b.token(20));
        assert_ne!(a.fork().token(20), fork_a.token(20));
        assert!((0..1_000).all(|_| a.below(10) < 10));
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(Timestamp::from_secs(1));
        let seen = clock.clone();
        clock.advance(Duration::from_secs(2));
        assert_eq!(seen.now(), Timestamp::from_secs(3));
    }

    #[test]
    fn a_clock_follows_another_at_once_and_then_slowly() {
        let at = Timestamp::from_secs;
        for theirs in [at(880), at(1_120)] {
            let clock = Clock::manual(at(1_000));
            let (seen, own) = (clock.clone(), clock.unled());
            assert_eq!(clock.follow(at(1_000), theirs, at(1_000)), Duration::from_secs(120));
            assert_eq!((seen.now(), own.now()), (theirs, at(1_000)));
            seen.advance(Duration::from_secs(1));
            assert_eq!((clock.now(), own.now()), (theirs + Duration::from_secs(1), at(1_001)));
            // It may be the time that the answer took.
            let now = clock.now();
            let (asked, half) = (now - Duration::from_millis(100), Duration::from_millis(50));
            assert_eq!(clock.follow(asked, now - half, now), Duration::ZERO);
            // And where the other steps, it is followed by steps that no call notices.
            for other in [now + Duration::from_secs(60), now - Duration::from_secs(60)] {
                let before = clock.now();
                assert_eq!(clock.follow(before, other, before), FOLLOWS_BY);
                assert_eq!(clock.now() > before, other > before);
                let moved = clock.now().since(before) + before.since(clock.now());
                assert_eq!(moved, FOLLOWS_BY);
            }
        }
    }
}
