//! Presses, made of what one window after another says.
//!
//! Five windows in a row with the same key are a press. They must agree: the mean of their
//! frequencies is nominal within a limit, and none strays from the others. That holds for a generator
//! and not for a voice, whose formants glide, and it holds still where a codec for mobile phones has
//! made the level flutter.

use std::time::Duration;

use super::limits::{
    CLEAR, DEVIATION, FLATNESS, LASTING, RELEASE, SPREAD, WINDOWS, WORN_DEVIATION, WORN_SPREAD,
};
use super::pair::{Pair, Tone};
use super::spectrum::{HOP, WINDOW};
use super::{HOLD, Heard, Keys, Press};
use crate::media::events::Digit;
use crate::media::g711::{FULL_SCALE_DBM0, RATE};

/// From the onset of a key to the end of the first window that tells of it, in samples: on average.
const FIRST_AFTER_ONSET: u64 = 112;

/// From the end of a key to the end of the last window that tells of it, in samples: on average.
const LAST_AFTER_END: u64 = 20;

/// The keys by row and column.
const KEYS: [char; 16] =
    ['1', '2', '3', 'A', '4', '5', '6', 'B', '7', '8', '9', 'C', '*', '0', '#', 'D'];

/// What becomes a press, and the key that is down.
#[derive(Clone, Debug, Default)]
pub(super) struct Presses {
    run: Run,
    down: Option<Down>,
    /// Samples lost since the last window that could be judged.
    lost: u32,
}

/// Windows in a row that say the same key, which is not down.
#[derive(Clone, Debug, Default)]
struct Run {
    /// The last of them, the newest first.
    past: [Pair; WINDOWS],
    length: usize,
    /// Where the first of them ended.
    began: u64,
}

/// The key that is down.
#[derive(Clone, Copy, Debug)]
struct Down {
    digit: Digit,
    key: u8,
    onset: u64,
    /// Where the last window ended that told of it.
    last: u64,
    /// Windows since then.
    missed: u32,
}

impl Presses {
    /// A window that ended at `at` says this. `fed` is where the audio ends.
    pub(super) fn window(
        &mut self,
        pair: Option<Pair>,
        at: u64,
        fed: u64,
        waited: Keys,
        out: &mut Vec<Heard>,
    ) {
        let lost = std::mem::take(&mut self.lost);
        let Some(pair) = pair else {
            self.run.length = 0;
            // No key before and after what was lost: there was none meanwhile.
            let is_pause = lost > 0 && self.down.is_some_and(|down| down.missed > 0);
            let unheard = if is_pause { (lost + WINDOW as u32) / HOP as u32 } else { 0 };
            return self.missed(unheard + 1, out);
        };
        if let Some(down) = self.down.as_mut().filter(|down| down.key == pair.key) {
            (down.last, down.missed) = (at, 0);
            self.run.length = 0;
            return;
        }
        self.run.push(pair, at);
        let digit = digit(pair.key);
        let is_clear = self.run.is_clear();
        let is_believed = waited.contains(digit) || self.run.length >= LASTING;
        if !(is_clear || is_believed && self.run.is_worn()) {
            return self.missed(1, out);
        }
        self.up(out);
        let onset = self.run.began.saturating_sub(FIRST_AFTER_ONSET);
        self.down = Some(Down { digit, key: pair.key, onset, last: at, missed: 0 });
        self.run.length = 0;
        out.push(Heard::Down(Press {
            digit,
            since: u32::try_from(fed - onset).unwrap_or(u32::MAX),
            low: level(pair.low),
            high: level(pair.high),
            is_clear,
        }));
    }

    /// Audio was lost: nothing changes, for a while.
    pub(super) fn lost(&mut self, samples: u32, out: &mut Vec<Heard>) {
        self.lost = self.lost.saturating_add(samples).min(RATE);
        if Duration::from_secs(1) * self.lost / RATE > HOLD {
            self.end(out);
        }
    }

    /// There is no key any more.
    pub(super) fn end(&mut self, out: &mut Vec<Heard>) {
        self.run.length = 0;
        self.up(out);
    }

    fn up(&mut self, out: &mut Vec<Heard>) {
        if let Some(down) = self.down.take() {
            let samples = down.last.saturating_sub(down.onset + LAST_AFTER_END);
            let held = Duration::from_micros(samples * 1_000_000 / u64::from(RATE));
            out.push(Heard::Up { digit: down.digit, held });
        }
    }

    fn missed(&mut self, windows: u32, out: &mut Vec<Heard>) {
        let Some(down) = &mut self.down else { return };
        down.missed += windows;
        if down.missed >= RELEASE {
            self.up(out);
        }
    }
}

impl Run {
    fn push(&mut self, pair: Pair, at: u64) {
        let is_other = self.past.first().is_none_or(|last| last.key != pair.key);
        if self.length == 0 || is_other {
            (self.length, self.began) = (0, at);
        }
        self.past.rotate_right(1);
        if let Some(first) = self.past.first_mut() {
            *first = pair;
        }
        self.length = self.length.saturating_add(1);
    }

    /// Whether it is a key for certain. The first window may be filled in part: it only has to be
    /// of the same key.
    fn is_clear(&self) -> bool {
        let [full @ .., _] = &self.past;
        self.length >= WINDOWS
            && full.iter().all(|pair| pair.fraction >= CLEAR)
            && is_tuned(&self.past, DEVIATION)
            && is_steady(full, SPREAD)
    }

    /// Whether it may be a key that the line has worn.
    fn is_worn(&self) -> bool {
        self.length >= WINDOWS
            && is_tuned(&self.past, WORN_DEVIATION)
            && is_steady(&self.past, WORN_SPREAD)
    }
}

/// Whether both tones have their frequencies, as the mean of these windows.
fn is_tuned(past: &[Pair], deviation: f32) -> bool {
    let is_tuned = |tone: fn(&Pair) -> Tone| {
        let sum: f32 = past.iter().map(|pair| tone(pair).deviation).sum();
        sum.abs() <= deviation * past.len() as f32
    };
    is_tuned(|pair| pair.low) && is_tuned(|pair| pair.high)
}

/// Whether both tones keep their frequency, and by and large their power.
fn is_steady(past: &[Pair], spread: f32) -> bool {
    let is_steady = |tone: fn(&Pair) -> Tone| {
        let (mut lowest, mut highest) = (f32::MAX, f32::MIN);
        let (mut weakest, mut strongest) = (f32::MAX, 0.0_f32);
        for Tone { power, deviation } in past.iter().map(tone) {
            (lowest, highest) = (lowest.min(deviation), highest.max(deviation));
            (weakest, strongest) = (weakest.min(power), strongest.max(power));
        }
        highest - lowest <= spread && strongest <= weakest * FLATNESS
    };
    is_steady(|pair| pair.low) && is_steady(|pair| pair.high)
}

fn digit(key: u8) -> Digit {
    KEYS.get(usize::from(key)).copied().and_then(Digit::from_char).unwrap_or(Digit::ZERO)
}

/// In dBm0.
fn level(tone: Tone) -> f32 {
    let full_scale = f32::from(i16::MAX) * f32::from(i16::MAX) / 2.0;
    10.0 * (tone.power / full_scale).log10() + FULL_SCALE_DBM0 as f32
}
