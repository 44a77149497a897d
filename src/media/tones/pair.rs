//! What one window says: a low and a high tone that may be a key, or nothing.
//!
//! The strongest of the four low frequencies and of the four high ones are measured: their frequency by
//! how far the phase went since the window before, and so far finer than the 62 Hz that a window of
//! 16 ms tells apart; then their power, corrected for what the window takes from a tone beside the
//! middle of its bin. What is left of the window's power besides the two is the mark of speech.

use std::f32::consts::{PI, TAU};
use std::sync::LazyLock;

use super::limits::{CLEAR, FLOOR, LEAST, REVERSE_TWIST, TWIST, WINDOW_DEVIATION, WORN};
use super::spectrum::{
    FREQUENCIES, HOP, Spectrum, WINDOW, WINDOW_SQUARES, WINDOW_SUM, energy_below,
};
use crate::media::g711::RATE;

/// A low and a high tone that may be a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pair {
    /// Four times the row plus the column.
    pub(super) key: u8,
    pub(super) low: Tone,
    pub(super) high: Tone,
    /// How much of the window's power the two have, but for what lies below the keys.
    pub(super) fraction: f32,
}

/// One of the two tones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tone {
    /// The mean of its squares.
    pub(super) power: f32,
    /// How far it is from its nominal frequency, as a fraction of that.
    pub(super) deviation: f32,
}

/// The power of a whole tone whose transform has this square.
const POWER: f32 = 2.0 / (WINDOW_SUM * WINDOW_SUM);

/// The most that a window takes from the power of a tone whose frequency is still good.
const BESIDE: f32 = 4.0;

/// Cosine and sine of how far each frequency turns in a hop.
static TURNS: LazyLock<[(f32, f32); 8]> = LazyLock::new(|| {
    FREQUENCIES.map(|frequency| {
        let angle = std::f64::consts::TAU * f64::from(frequency) * HOP as f64 / f64::from(RATE);
        (angle.cos() as f32, angle.sin() as f32)
    })
});

/// The strongest of a group: two complex numbers, of this window and the one before.
#[derive(Clone, Copy)]
struct Strongest {
    place: u8,
    frequency: f32,
    turn: (f32, f32),
    square: f32,
    now: (f32, f32),
    before: (f32, f32),
}

impl Strongest {
    fn of(group: usize, now: &Spectrum, before: &Spectrum) -> Self {
        let (mut best, mut most) = (0, f32::MIN);
        for (place, square) in now.squares.iter().enumerate().skip(group * 4).take(4) {
            if *square > most {
                (best, most) = (place, *square);
            }
        }
        let at = |numbers: &[f32; 8]| numbers.get(best).copied().unwrap_or(0.0);
        Self {
            place: (best % 4) as u8,
            frequency: at(&FREQUENCIES),
            turn: TURNS.get(best).copied().unwrap_or((1.0, 0.0)),
            square: most,
            now: (at(&now.real), at(&now.imaginary)),
            before: (at(&before.real), at(&before.imaginary)),
        }
    }

    fn tone(self) -> Tone {
        // What the nominal frequency does not explain of the advance of the phase. It is
        // unambiguous within 100 Hz.
        let ((re, im), (re0, im0)) = (self.now, self.before);
        let (cross, dot) = (im * re0 - re * im0, re * re0 + im * im0);
        let (cosine, sine) = self.turn;
        let advance = (cross * cosine - dot * sine).atan2(dot * cosine + cross * sine);
        let hertz = advance / TAU * RATE as f32 / HOP as f32;
        // The transform of a Hann window: a sinc over 1 - x².
        let bins = hertz * WINDOW as f32 / RATE as f32;
        let angle = bins * PI;
        let sinc = if angle.abs() < 1e-3 { 1.0 } else { angle.sin() / angle };
        let gain = sinc / (1.0 - bins * bins);
        Tone {
            power: self.square * POWER / (gain * gain).max(0.05),
            deviation: hertz / self.frequency,
        }
    }
}

/// The pair in a window, if there is one. `noise` is the part of its power that was there before it.
pub(super) fn pair(
    now: &Spectrum,
    before: &Spectrum,
    window: &[i16; WINDOW],
    noise: f32,
) -> Option<Pair> {
    let total = now.power();
    let strongest = |group: &[f32]| group.iter().copied().fold(0.0, f32::max);
    let (lows, highs) = now.squares.split_at(4);
    let (low, high) = (strongest(lows) * POWER, strongest(highs) * POWER);
    // Most windows of speech end here, before anything is measured.
    if low + high < LEAST * total || low.min(high) * BESIDE < FLOOR {
        return None;
    }
    let row = Strongest::of(0, now, before);
    let column = Strongest::of(1, now, before);
    let (low, high) = (row.tone(), column.tone());
    let is_off = low.deviation.abs().max(high.deviation.abs()) > WINDOW_DEVIATION;
    let is_twisted = high.power > low.power * TWIST || low.power > high.power * REVERSE_TWIST;
    if is_off || is_twisted || low.power.min(high.power) < FLOOR {
        return None;
    }
    let both = low.power + high.power;
    let mut fraction = both / (total - noise).max(1.0);
    if fraction < CLEAR {
        // A dial tone or a hum that goes on below the keys does not speak against them.
        let above = (now.energy - energy_below(window)).max(1.0) / WINDOW_SQUARES;
        fraction = both / (above - noise).max(1.0);
    }
    (fraction >= WORN).then_some(Pair { key: row.place * 4 + column.place, low, high, fraction })
}
