//! What 20 ms sound like: quiet, one tone, the pair of a busy tone, or anything else.
//!
//! A sine obeys x(n-1) + x(n+1) = 2 cos(w) x(n), so three sums over the frame give its frequency
//! (Pisarenko's method, which white noise does not pull aside) and how far the frame is from
//! being one. Only what comes near is measured by a Fourier sum. Two low tones close together,
//! as of a ringing tone, obey the same but for their small difference.

use std::f32::consts::{LOG10_2, TAU};

use crate::media::g711::{FRAME, RATE};
use crate::media::lanes::{Arrays, Lanes, Processor};

/// What a frame is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its level in dBm0, not below [`QUIET`].
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

/// The level of silence, in dBm0: nothing is softer.
pub const QUIET: i16 = -70;

impl Frame {
    /// Silence.
    pub const QUIET: Self = Self { level: QUIET, sound: Sound::Quiet };

    /// Listens to a frame.
    #[must_use]
    pub fn of(samples: &[i16; FRAME]) -> Self {
        match Processor::best() {
            Processor::Plain => listen(Arrays, samples),
            #[cfg(target_arch = "x86_64")]
            Processor::Avx2(avx2) => avx2.vectorize(
                #[inline(always)]
                || listen(avx2, samples),
            ),
        }
    }
}

/// The level in dBm0, rounded, not below that of silence.
#[must_use]
pub fn level(samples: &[i16; FRAME]) -> i16 {
    dbm0(energy(Arrays, &samples.map(f32::from)))
}

#[inline(always)]
fn listen<L: Lanes>(lanes: L, samples: &[i16; FRAME]) -> Frame {
    let samples = &samples.map(f32::from);
    let energy = energy(lanes, samples);
    let level = dbm0(energy);
    let sound = if level < AUDIBLE { Sound::Quiet } else { sound(lanes, samples, energy) };
    Frame { level, sound }
}

/// The sum of the squares.
#[inline(always)]
fn energy<L: Lanes>(lanes: L, samples: &[f32; FRAME]) -> f32 {
    let mut sums = [lanes.splat(0.0); 2];
    for two in samples.as_chunks::<16>().0 {
        for (sum, eight) in sums.iter_mut().zip(two.as_chunks::<8>().0) {
            let eight = lanes.load(eight);
            *sum = lanes.multiply_add(eight, eight, *sum);
        }
    }
    sums.into_iter().map(|sum| total(lanes, sum)).sum()
}

#[inline(always)]
fn dbm0(energy: f32) -> i16 {
    let mean = (energy / FRAME as f32).max(1.0);
    (10.0 * LOG10_2 * mean.log2() + UNIT_DBM0).round().max(f32::from(QUIET)) as i16
}

#[inline(always)]
fn sound<L: Lanes>(lanes: L, samples: &[f32; FRAME], energy: f32) -> Sound {
    let from = |n: usize| samples.get(n..).unwrap_or_default().as_chunks().0;
    let [mut r0, mut r1, mut r2, mut square] = [lanes.splat(0.0); 4];
    let windows = from(0).iter().zip(from(1)).zip(from(2)).zip(from(3)).zip(from(4));
    for ((((a, b), x), c), d) in windows {
        let x = lanes.load(x);
        let near = lanes.add(lanes.load(b), lanes.load(c));
        let far = lanes.add(lanes.load(a), lanes.load(d));
        r0 = lanes.multiply_add(x, x, r0);
        r1 = lanes.multiply_add(x, near, r1);
        r2 = lanes.multiply_add(x, far, r2);
        square = lanes.multiply_add(near, near, square);
    }
    let [r0, r1, r2, square] = [r0, r1, r2, square].map(|sum| total(lanes, sum));
    let (r1, r2) = (r1 / 2.0, r2 / 2.0);
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
    let part = |hertz: f32| 2.0 * fourier(lanes, samples, hertz) / (FRAME as f32 * energy);
    if part(f32::from(tone)) >= PURE {
        return Sound::Tone(tone);
    }
    if (480..=620).contains(&middle) {
        let (low, high) = (part(BUSY.0), part(BUSY.1));
        if low.min(high) > 0.15 && low + high >= PURE {
            return Sound::Busy;
        }
    }
    Sound::Other
}

#[inline(always)]
fn total<L: Lanes>(lanes: L, eight: L::Eight) -> f32 {
    lanes.store(eight).iter().sum()
}

fn hertz(cosine: f32) -> u16 {
    (cosine.acos() / TAU * RATE as f32).round() as u16
}

/// The square of the Fourier sum at this frequency.
#[inline(always)]
fn fourier<L: Lanes>(lanes: L, samples: &[f32; FRAME], hertz: f32) -> f32 {
    let zero = lanes.splat(0.0);
    let Waves { sin: [sin, more_sin], cos: [cos, more_cos], turn: (turn_sin, turn_cos) } =
        Waves::of(TAU * hertz / RATE as f32);
    let (turn_sin, turn_cos) = (lanes.splat(turn_sin), lanes.splat(turn_cos));
    // Two of each: one would wait for itself.
    let mut parts = [(sin, cos), (more_sin, more_cos)]
        .map(|(sin, cos)| (lanes.load(&sin), lanes.load(&cos), zero, zero));
    for two in samples.as_chunks::<16>().0 {
        for ((sin, cos, re, im), eight) in parts.iter_mut().zip(two.as_chunks().0) {
            let x = lanes.load(eight);
            *re = lanes.multiply_add(x, *cos, *re);
            *im = lanes.multiply_add(x, *sin, *im);
            let (of_sin, of_cos) = (
                lanes.multiply_add(*sin, turn_cos, zero),
                lanes.multiply_add(*sin, turn_sin, zero),
            );
            *sin = lanes.multiply_add(*cos, turn_sin, of_sin);
            *cos = lanes.subtract(lanes.multiply_add(*cos, turn_cos, zero), of_cos);
        }
    }
    let [(_, _, re, im), (_, _, more_re, more_im)] = parts;
    let (re, im) = (total(lanes, lanes.add(re, more_re)), total(lanes, lanes.add(im, more_im)));
    re * re + im * im
}

/// Sines and cosines of 0 to 15 times an angle, and of 16 times.
struct Waves {
    sin: [[f32; 8]; 2],
    cos: [[f32; 8]; 2],
    turn: (f32, f32),
}

impl Waves {
    #[inline(always)]
    fn of(angle: f32) -> Self {
        let (mut sin, mut cos) = ([[0.0; 8]; 2], [[1.0; 8]; 2]);
        let (mut turn_sin, mut turn_cos) = angle.sin_cos();
        // From the first, the second; from both, two more; and so on.
        let mut known = 1;
        while known < 16 {
            let (sin, next_sin) = sin.as_flattened_mut().split_at_mut(known);
            let (cos, next_cos) = cos.as_flattened_mut().split_at_mut(known);
            let next = next_sin.iter_mut().zip(next_cos);
            for ((next_sin, next_cos), (sin, cos)) in next.zip(sin.iter().zip(cos.iter())) {
                *next_sin = sin * turn_cos + cos * turn_sin;
                *next_cos = cos * turn_cos - sin * turn_sin;
            }
            (turn_sin, turn_cos) =
                (2.0 * turn_sin * turn_cos, turn_cos * turn_cos - turn_sin * turn_sin);
            known *= 2;
        }
        Self { sin, cos, turn: (turn_sin, turn_cos) }
    }
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
    fn every_processor_hears_the_same() {
        let mut dice = 1_u32;
        for n in 0..2_000 {
            let sines = [(300.0 + n as f32, -12.0 - (n % 40) as f32), (480.0, -24.0)];
            let mut samples = frame(sines.get(..n % 3).unwrap_or(&sines), n);
            for sample in &mut samples {
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample += ((dice >> 16) % (1 + 40 * (n as u32 % 50))) as i16;
            }
            let (one, other) = (Frame::of(&samples), listen(Arrays, &samples));
            assert_eq!((one.level, other.level), (level(&samples), level(&samples)));
            match (one.sound, other.sound) {
                (Sound::Tone(one), Sound::Tone(other)) => assert!(one.abs_diff(other) <= 1),
                (one, other) => assert_eq!(one, other),
            }
        }
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
