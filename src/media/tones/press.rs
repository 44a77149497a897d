//! Presses: made of what each window says.

use std::time::Duration;

use super::limits::limits;
use super::pair::{Pair, Tone};
use super::spectrum::HOP;
use super::{HOLD, Heard, Keys, Press};
use crate::media::events::Digit;
use crate::media::g711::{FULL_SCALE_DBM0, RATE};

/// The windows that are looked back on.
const PAST: usize = 10;

/// From the onset of a key to the end of the first window that tells of it, in samples: the mean.
const FIRST_AFTER_ONSET: u64 = 80;

/// From the end of the last window that tells of a key to where it ended, in samples: the mean.
const END_AFTER_LAST: u64 = 0;

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
    /// The last of them first.
    past: [Pair; PAST],
    length: usize,
    /// How many of the last were clear, or but for the first of these clear enough.
    clear: usize,
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
    missed: u8,
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
            // Quiet before and after what was lost: it was quiet too.
            let is_pause = self.down.is_some_and(|down| down.missed > 0);
            let hops = if is_pause { lost / HOP as u32 } else { 0 };
            return self.missed(hops + 1, out);
        };
        if let Some(down) = self.down.as_mut().filter(|down| down.key == pair.key) {
            (down.last, down.missed) = (at, 0);
            self.run.length = 0;
            return;
        }
        self.run.push(pair, at);
        let digit = digit(pair.key);
        let is_clear = self.run.is_clear();
        if !(is_clear || waited.contains(digit) && self.run.is_worn()) {
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
        self.lost = self.lost.saturating_add(samples);
        if Duration::from_secs(1) * self.lost / RATE > HOLD {
            self.run.length = 0;
            self.up(out);
        }
    }

    /// The key that is down is up.
    pub(super) fn up(&mut self, out: &mut Vec<Heard>) {
        if let Some(down) = self.down.take() {
            let samples = (down.last + END_AFTER_LAST).saturating_sub(down.onset);
            let held = Duration::from_micros(samples * 1_000_000 / u64::from(RATE));
            out.push(Heard::Up { digit: down.digit, held });
        }
    }

    fn missed(&mut self, windows: u32, out: &mut Vec<Heard>) {
        let Some(down) = &mut self.down else { return };
        down.missed = u8::try_from(u32::from(down.missed) + windows).unwrap_or(u8::MAX);
        if down.missed >= limits().release {
            self.up(out);
        }
    }
}

impl Run {
    fn push(&mut self, pair: Pair, at: u64) {
        let is_other = self.past.first().is_none_or(|last| last.key != pair.key);
        if self.length == 0 || is_other {
            (self.length, self.clear, self.began) = (0, 0, at);
        }
        self.past.rotate_right(1);
        if let Some(first) = self.past.first_mut() {
            *first = pair;
        }
        self.length = self.length.saturating_add(1);
        let l = limits();
        let least = if self.clear == 0 { l.first } else { l.clear };
        self.clear = match pair.fraction {
            fraction if fraction >= least => self.clear + 1,
            // It may be the first of the next.
            fraction if fraction >= l.first => 1,
            _ => 0,
        };
    }

    fn is_clear(&self) -> bool {
        let l = limits();
        let past = self.past.get(..l.windows).unwrap_or(&[]);
        self.clear >= l.windows
            && is_tuned(past, l.deviation)
            && is_flat(past.split_last().map_or(&[], |(_, past)| past), l.flat)
    }

    fn is_worn(&self) -> bool {
        let l = limits();
        let past = self.past.get(..l.worn_windows).unwrap_or(&[]);
        self.length >= l.worn_windows
            && is_tuned(past, l.worn_deviation)
            && is_flat(past, l.worn_flat)
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

/// Whether both tones keep their power.
fn is_flat(past: &[Pair], flat: f32) -> bool {
    let is_flat = |tone: fn(&Pair) -> Tone| {
        let powers = past.iter().map(|pair| tone(pair).power);
        powers.clone().fold(0.0, f32::max) <= powers.fold(f32::MAX, f32::min) * flat
    };
    is_flat(|pair| pair.low) && is_flat(|pair| pair.high)
}

fn digit(key: u8) -> Digit {
    KEYS.get(usize::from(key)).copied().and_then(Digit::from_char).unwrap_or(Digit::ZERO)
}

/// In dBm0.
fn level(tone: Tone) -> f32 {
    let full_scale = f32::from(i16::MAX) * f32::from(i16::MAX) / 2.0;
    10.0 * (tone.power / full_scale).log10() + FULL_SCALE_DBM0 as f32
}
