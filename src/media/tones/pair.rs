//! What one window says: a low and a high tone that may be a key, or nothing.

use std::f32::consts::{PI, TAU};
use std::sync::LazyLock;

use super::limits::limits;
use super::spectrum::{
    FREQUENCIES, HOP, Spectrum, WINDOW, WINDOW_SQUARES, WINDOW_SUM, energy_below,
};

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

/// Cosine and sine of how far each frequency turns in a hop.
static TURNS: LazyLock<[(f32, f32); 8]> = LazyLock::new(|| {
    FREQUENCIES.map(|frequency| {
        let angle = f64::from(frequency) * HOP as f64 / 8_000.0 * std::f64::consts::TAU;
        (angle.cos() as f32, angle.sin() as f32)
    })
});

/// The strongest of a group.
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
        let bins = FREQUENCIES.iter().zip(&*TURNS).zip(&now.squares);
        let bins = bins
            .zip(now.real.iter().zip(&now.imaginary))
            .zip(before.real.iter().zip(&before.imaginary));
        let mut best = Self {
            place: 0,
            frequency: 1.0,
            turn: (1.0, 0.0),
            square: -1.0,
            now: (0.0, 0.0),
            before: (0.0, 0.0),
        };
        for (place, ((((frequency, turn), square), (re, im)), (re0, im0))) in
            (0..).zip(bins.skip(group * 4).take(4))
        {
            if *square > best.square {
                best = Self {
                    place,
                    frequency: *frequency,
                    turn: *turn,
                    square: *square,
                    now: (*re, *im),
                    before: (*re0, *im0),
                };
            }
        }
        best
    }

    /// The tone. Its frequency is told by how far its phase went since the window before, which is
    /// unambiguous within 100 Hz; by that its power is corrected for what the window takes from a
    /// tone beside the middle of its bin.
    fn tone(self) -> Tone {
        let ((re, im), (re0, im0)) = (self.now, self.before);
        // What the nominal frequency does not explain of the phase's advance.
        let (cross, dot) = (im * re0 - re * im0, re * re0 + im * im0);
        let (cosine, sine) = self.turn;
        let off = (cross * cosine - dot * sine).atan2(dot * cosine + cross * sine);
        let hertz = off / TAU * 8_000.0 / HOP as f32;
        let bins = hertz * WINDOW as f32 / 8_000.0;
        // The transform of a Hann window: a sinc that is divided by 1 - x².
        let x = bins * PI;
        let sinc = if x.abs() < 1e-3 { 1.0 } else { x.sin() / x };
        let gain = sinc / (1.0 - bins * bins);
        Tone {
            power: self.square * POWER / (gain * gain).max(0.05),
            deviation: hertz / self.frequency,
        }
    }
}

/// The pair in a window, told from what the window before it held.
pub(super) fn pair(
    now: &Spectrum,
    before: &Spectrum,
    window: &[i16; WINDOW],
    noise: f32,
) -> Option<Pair> {
    let l = limits();
    let total = now.power();
    let strongest = |group: &[f32]| group.iter().copied().fold(0.0, f32::max);
    let (lows, highs) = now.squares.split_at(4);
    let (low, high) = (strongest(lows) * POWER, strongest(highs) * POWER);
    // Most windows of speech end here.
    if low + high < l.least * total
        || low > high * 30.0
        || high > low * 30.0
        || low.min(high) * 2.0 < l.floor
    {
        return None;
    }
    let row = Strongest::of(0, now, before);
    let column = Strongest::of(1, now, before);
    let (low, high) = (row.tone(), column.tone());
    if low.deviation.abs() > l.window_deviation || high.deviation.abs() > l.window_deviation {
        return None;
    }
    if high.power > low.power * l.twist
        || low.power > high.power * l.reverse_twist
        || low.power.min(high.power) < l.floor
    {
        return None;
    }
    let both = low.power + high.power;
    let mut fraction = both / (total - noise).max(1.0);
    if fraction < l.clear {
        let above = (now.energy - energy_below(window)).max(1.0) / WINDOW_SQUARES;
        fraction = both / (above - noise).max(1.0);
    }
    (fraction >= l.worn).then_some(Pair { key: row.place * 4 + column.place, low, high, fraction })
}
