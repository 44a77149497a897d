//! Chance in the world's words.

use std::time::Duration;

use octothorpe::ambient::Entropy;

/// Chance that a seed repeats.
#[derive(Debug)]
pub(crate) struct Dice(Entropy);

impl Dice {
    /// Dice that are independent of those for another `purpose`, so that a draw more for one
    /// leaves the rest of the world as it was.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(Entropy::from_number(
            seed.rotate_left(17) ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ))
    }

    /// True so many times in a thousand.
    pub(crate) fn permille(&mut self, chance: u64) -> bool {
        self.0.below(1_000) < chance
    }

    /// At least `low`, below `high`.
    pub(crate) fn number(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.below(high - low)
    }

    /// Between `low` and `high` milliseconds.
    pub(crate) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.number(low * 1_000, high * 1_000 + 1))
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// The place of one of so many.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.0.below(u64::try_from(count).unwrap())).unwrap()
    }

    /// An independent source.
    pub(crate) fn fork(&mut self) -> Entropy {
        self.0.fork()
    }

    /// A token of the wire.
    pub(crate) fn token(&mut self) -> String {
        self.0.token(12)
    }

    /// 32 bits.
    pub(crate) fn u32(&mut self) -> u32 {
        self.0.u32()
    }
}
