//! What 20 ms sound like: quiet, one tone, the pair of a busy tone, or anything else.
//!
//! A sine obeys x(n-1) + x(n+1) = 2 cos(w) x(n), so three sums over the frame give its frequency
//! (Pisarenko's method, which white noise does not pull aside) and how far the frame is from
//! being one. Only what comes near is measured by a Fourier sum. Two low tones close together,
//! as of a ringing tone, obey the same but for their small difference.

use std::f32::consts::TAU;

use crate::media::g711::{FRAME, RATE};

/// What a frame is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its level in dBm0, not below -70.
    pub level: i16,
    /// What it sounds like.
    pub sound: Sound,
}

/// What a frame sounds like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Too soft to be anything.
    Quiet,
    /// One tone of so many Hz, or two so close that they beat.
    Tone(u16),
    /// 480 and 620 Hz together: the busy tone of North America.
    Busy,
    /// Speech, music, noise.
    Other,
}

/// Below this, in dBm0, nothing is told apart.
const AUDIBLE: i16 = -45;

/// The level in dBm0 of samples whose mean square is 1: full scale is a sine of +3.17 dBm0.
const UNIT_DBM0: f32 = -84.13;

/// The part of the energy that one tone must have.
const PURE: f32 = 0.8;

/// What a frame may miss of being one low tone or two that beat, where their mean is in this range.
const BEATING: (f32, std::ops::RangeInclusive<u16>) = (0.05, 380..=520);

/// What a frame may miss of being one tone to be looked at closer.
const NEAR: f32 = 1.0;

/// The busy tone of North America, in Hz.
const BUSY: (f32, f32) = (480.0, 620.0);

impl Frame {
    /// Silence.
    pub const QUIET: Self = Self { level: -70, sound: Sound::Quiet };

    /// Listens to a frame.
    #[must_use]
    pub fn of(samples: &[i16; FRAME]) -> Self {
        let level = level(samples);
        let sound = if level < AUDIBLE { Sound::Quiet } else { sound(samples) };
        Self { level, sound }
    }
}

/// The level in dBm0, rounded, not below -70.
#[must_use]
pub fn level(samples: &[i16; FRAME]) -> i16 {
    // In whole numbers, which a processor adds up several at a time: no sum of 160 squares wraps.
    let square = |sample: &i16| u64::from(sample.unsigned_abs()).wrapping_pow(2);
    let energy = samples.iter().map(square).fold(0_u64, u64::wrapping_add);
    let mean = (energy as f32 / FRAME as f32).max(1.0);
    (10.0 * mean.log10() + UNIT_DBM0).round().max(-70.0) as i16
}

fn sound(samples: &[i16; FRAME]) -> Sound {
    let samples = &samples.map(f32::from);
    let from = |n: usize| samples.get(n..).unwrap_or_default().as_chunks::<LANES>().0;
    let [mut r0, mut r1, mut r2, mut square] = [Sum::default(); 4];
    let windows = from(0).iter().zip(from(1)).zip(from(2)).zip(from(3)).zip(from(4));
    for ((((a, b), x), c), d) in windows {
        let (near, far) = (plus(*b, c), plus(*a, d));
        r0.add(x, x);
        r1.add(x, &near);
        r2.add(x, &far);
        square.add(&near, &near);
    }
    let (r0, r1, r2, square) = (r0.total(), r1.total() / 2.0, r2.total() / 2.0, square.total());
    if r0 <= 0.0 || r1 == 0.0 {
        return Sound::Other;
    }
    let mean = (r1 / r0).clamp(-1.0, 1.0);
    let miss = square / r0 - 4.0 * mean * mean;
    if miss > NEAR {
        return Sound::Other;
    }
    let middle = hertz(mean);
    if miss < BEATING.0 && BEATING.1.contains(&middle) {
        return Sound::Tone(middle);
    }
    let cosine = (r2 + (r2 * r2 + 8.0 * r1 * r1).sqrt()) / (4.0 * r1);
    let tone = hertz(cosine.clamp(-1.0, 1.0));
    if part(samples, f32::from(tone)) >= PURE {
        return Sound::Tone(tone);
    }
    if (480..=620).contains(&middle) {
        let (low, high) = (part(samples, BUSY.0), part(samples, BUSY.1));
        if low.min(high) > 0.15 && low + high >= PURE {
            return Sound::Busy;
        }
    }
    Sound::Other
}

/// How many sums of one kind are kept: a single one would wait for itself at each step.
const LANES: usize = 4;

/// A sum of products.
#[derive(Clone, Copy, Default)]
struct Sum([f32; LANES]);

impl Sum {
    fn add(&mut self, one: &[f32; LANES], other: &[f32; LANES]) {
        let products = one.iter().zip(other).map(|(one, other)| one * other);
        self.0.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
    }

    fn total(self) -> f32 {
        self.0.iter().sum()
    }
}

fn plus(mut one: [f32; LANES], other: &[f32; LANES]) -> [f32; LANES] {
    one.iter_mut().zip(other).for_each(|(one, other)| *one += other);
    one
}

fn hertz(cosine: f32) -> u16 {
    (cosine.acos() / TAU * RATE as f32).round() as u16
}

/// The part of the energy that is a sine of this frequency.
fn part(samples: &[f32; FRAME], hertz: f32) -> f32 {
    let angle = |steps: usize| steps as f32 * TAU * hertz / RATE as f32;
    let (turn_sin, turn_cos) = angle(LANES).sin_cos();
    let turns: [(f32, f32); LANES] = std::array::from_fn(|lane| angle(lane).sin_cos());
    let (mut sin, mut cos) = (turns.map(|(sin, _)| sin), turns.map(|(_, cos)| cos));
    let [mut re, mut im, mut energy] = [Sum::default(); 3];
    for x in samples.as_chunks::<LANES>().0 {
        re.add(x, &cos);
        im.add(x, &sin);
        energy.add(x, x);
        for (sin, cos) in sin.iter_mut().zip(&mut cos) {
            (*sin, *cos) = (*sin * turn_cos + *cos * turn_sin, *cos * turn_cos - *sin * turn_sin);
        }
    }
    let (re, im, energy) = (re.total(), im.total(), energy.total());
    if energy > 0.0 { 2.0 * (re * re + im * im) / (FRAME as f32 * energy) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::g711::Law;

    /// A frame of sines, each (Hz, dBm0), through µ-law.
    fn frame(sines: &[(f32, f32)], start: usize) -> [i16; FRAME] {
        std::array::from_fn(|n| {
            let time = (start + n) as f32 / RATE as f32;
            let sine = |(hertz, level): &(f32, f32)| {
                32_767.0 * 10_f32.powf((level - 3.17) / 20.0) * (TAU * hertz * time).sin()
            };
            let sample: f32 = sines.iter().map(sine).sum();
            Law::Ulaw.decode(Law::Ulaw.encode(sample as i16))
        })
    }

    #[test]
    fn levels_are_in_dbm0() {
        for level in [-10, -25, -40] {
            assert_eq!(Frame::of(&frame(&[(1_000.0, level as f32)], 0)).level, level);
        }
        assert_eq!(Frame::of(&[0; FRAME]), Frame::QUIET);
    }

    #[test]
    fn a_tone_is_told_by_its_frequency_also_in_noise() {
        for hertz in [425, 914, 985, 1_000, 1_100, 1_371, 1_429, 1_777, 2_100] {
            for start in [0, 160, 777] {
                let Sound::Tone(found) = Frame::of(&frame(&[(hertz as f32, -20.0)], start)).sound
                else {
                    panic!("{hertz}")
                };
                assert!(found.abs_diff(hertz) <= 8, "{hertz} is heard as {found}");
                let mut noisy = frame(&[(hertz as f32, -20.0)], start);
                let mut dice = 1_u32;
                for sample in &mut noisy {
                    dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Noise of about -38 dBm0.
                    *sample += ((dice >> 16) % 600) as i16 - 300;
                }
                let found = Frame::of(&noisy).sound;
                let is_near = matches!(found, Sound::Tone(it) if it.abs_diff(hertz) <= 25);
                assert!(is_near, "{hertz} in noise is heard as {found:?}");
            }
        }
    }

    #[test]
    fn the_pairs_of_progress_tones_are_known_and_keys_are_neither() {
        for start in (0..4_000).step_by(37) {
            let ringing = Frame::of(&frame(&[(440.0, -19.0), (480.0, -19.0)], start)).sound;
            assert!(matches!(ringing, Sound::Tone(400..=500)), "{ringing:?}");
            let busy = Frame::of(&frame(&[(480.0, -24.0), (620.0, -24.0)], start)).sound;
            assert_eq!(busy, Sound::Busy);
            for key in [(697.0, 1_209.0), (770.0, 1_336.0), (941.0, 1_477.0)] {
                let key = Frame::of(&frame(&[(key.0, -10.0), (key.1, -8.0)], start)).sound;
                assert_eq!(key, Sound::Other);
            }
        }
    }
}
