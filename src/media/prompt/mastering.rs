//! A master from what a voice recorded or a program said: the telephone band, one level, no silence
//! around it. `prompts/build.py` does the same to the packs that are compiled in.

use std::f64::consts::{PI, SQRT_2};

use super::master::active_level;
use crate::media::g711::{FULL_SCALE_DBM0, RATE};

/// The active level of a master, in dBm0.
pub(super) const LEVEL: i32 = -16;
const TARGET: f64 = LEVEL as f64;

/// Just under −3 dBFS.
const CEILING: f64 = 0.7;

/// What is quieter is silence, in dBm0: far under the gate of the level, to keep a soft f, th or h.
const EDGE: f64 = -48.0;

/// Of silence before the first sound, after the last, and in the middle, in milliseconds.
const LEAD_MS: usize = 20;
const TAIL_MS: usize = 50;
const PAUSE_MS: usize = 600;

/// The length of a fade, and of a step in search of silence.
const STEP_MS: usize = 5;

/// Samples in a millisecond.
const MS: usize = RATE as usize / 1_000;

/// Why no master can be made of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It has fewer samples a second than a telephone.
    #[error("{0} Hz is less than the 8000 Hz of a telephone: record it again")]
    Narrow(u32),
    /// There is nothing to hear in it.
    #[error("nobody speaks in it")]
    Silent,
    /// What is in it has no level that could be reached.
    #[error("it cannot be brought to -16 dBm0: it is noise, or has one loud spike")]
    Wild,
}

/// What is heard in a WAV or FLAC file of whatever form: its channels' mean, full scale at 1.0, and how
/// many samples it has a second.
///
/// # Errors
/// Why it cannot be read.
pub fn heard(file: &[u8]) -> Result<(Vec<f64>, u32), String> {
    let (samples, channels, rate) = if file.starts_with(b"fLaC") { flac(file) } else { wav(file) }?;
    let mono =
        samples.chunks(channels.max(1)).map(|all| all.iter().sum::<f64>() / all.len() as f64);
    Ok((mono.collect(), rate))
}

/// Samples, channels and rate.
type Sound = (Vec<f64>, usize, u32);

fn wav(file: &[u8]) -> Result<Sound, String> {
    let told = |fault: hound::Error| fault.to_string();
    let reader = hound::WavReader::new(file).map_err(told)?;
    let hound::WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
    let full = 2_f64.powi(i32::from(bits_per_sample) - 1);
    let samples: Result<Vec<f64>, _> = match sample_format {
        hound::SampleFormat::Int => {
            reader.into_samples::<i32>().map(|it| it.map(|it| f64::from(it) / full)).collect()
        }
        hound::SampleFormat::Float => {
            reader.into_samples::<f32>().map(|it| it.map(f64::from)).collect()
        }
    };
    Ok((samples.map_err(told)?, channels.into(), sample_rate))
}

fn flac(file: &[u8]) -> Result<Sound, String> {
    let told = |fault: claxon::Error| fault.to_string();
    let mut reader = claxon::FlacReader::new(file).map_err(told)?;
    let info = reader.streaminfo();
    let full = f64::from(1_u32 << (info.bits_per_sample - 1).min(31));
    let samples: Result<Vec<f64>, _> =
        reader.samples().map(|it| it.map(|it| f64::from(it) / full)).collect();
    Ok((samples.map_err(told)?, usize::try_from(info.channels).unwrap_or(1), info.sample_rate))
}

/// The master of a recording of `rate` samples a second, full scale at 1.0.
///
/// # Errors
/// Why there is none.
pub fn master(recording: &[f64], rate: u32) -> Result<Vec<i16>, Unusable> {
    if rate < RATE {
        return Err(Unusable::Narrow(rate));
    }
    let narrow = without_hum(&resampled(recording, rate));
    let mut made = levelled(&narrow)?;
    made = levelled(&faded(trimmed(&made)?))?;
    Ok(made.iter().copied().map(sample).collect())
}

#[expect(clippy::cast_possible_truncation, reason = "it is within the range, or saturates")]
fn sample(value: f64) -> i16 {
    (value * f64::from(i16::MAX)).round() as i16
}

/// At 8 kHz: 3400 Hz kept, 4000 Hz (half the new rate) 60 dB down.
fn resampled(recording: &[f64], rate: u32) -> Vec<f64> {
    if rate == RATE {
        return recording.to_vec();
    }
    // Kaiser's design for 60 dB and a slope of 600 Hz: half the length in seconds, and beta.
    let (half, beta) = (52.05 / (2.285 * 2.0 * PI * 600.0) / 2.0, 5.653);
    let (step, cut) = (f64::from(rate) / f64::from(RATE), 2.0 * 3_700.0 / f64::from(rate));
    let reach = half * f64::from(rate);
    let count = recording.len() as u64 * u64::from(RATE) / u64::from(rate);
    let one = |n: u64| {
        let centre = n as f64 * step;
        let first = (centre - reach).ceil().max(0.0);
        let (skip, take) = (first as usize, (2.0 * reach) as usize + 1);
        let near = recording.iter().skip(skip).take(take).zip(0_u32..);
        near.map(|(sample, k)| {
            let x = first + f64::from(k) - centre;
            sample * cut * sinc(cut * x) * kaiser(x / reach, beta)
        })
        .sum()
    };
    (0..count).map(one).collect()
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-12 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

fn kaiser(x: f64, beta: f64) -> f64 {
    let inside = 1.0 - x * x;
    if inside < 0.0 { 0.0 } else { bessel(beta * inside.sqrt()) / bessel(beta) }
}

/// The modified Bessel function of the first kind and order 0.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..30 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// Without what lies under 200 Hz (Butterworth, second order): gentle, for a voice's own pitch is there.
fn without_hum(audio: &[f64]) -> Vec<f64> {
    let c = (PI * 200.0 / f64::from(RATE)).tan();
    let norm = 1.0 / (1.0 + SQRT_2 * c + c * c);
    let (b, a1, a2) = (norm, 2.0 * (c * c - 1.0) * norm, (1.0 - SQRT_2 * c + c * c) * norm);
    let (mut s1, mut s2) = (0.0, 0.0);
    let step = |x: &f64| {
        let y = b * x + s1;
        s1 = -2.0 * b * x - a1 * y + s2;
        s2 = b * x - a2 * y;
        y
    };
    audio.iter().map(step).collect()
}

/// The amplitude, with full scale at 1.0, of a level in dBm0.
fn amplitude(dbm0: f64) -> f64 {
    10_f64.powf((dbm0 - FULL_SCALE_DBM0) / 20.0) / SQRT_2
}

fn power(audio: &[f64]) -> f64 {
    audio.iter().map(|x| x * x).sum::<f64>() / audio.len().max(1) as f64
}

/// At the target level; its gate and the limiter make that a search instead of one division.
fn levelled(audio: &[f64]) -> Result<Vec<f64>, Unusable> {
    let peak = audio.iter().fold(0.0_f64, |peak, x| peak.max(x.abs()));
    if peak < amplitude(-60.0) {
        return Err(Unusable::Silent);
    }
    let loud: Vec<f64> = audio.iter().copied().filter(|x| x.abs() > peak / 10.0).collect();
    let mut gain = amplitude(TARGET) / power(&loud).sqrt();
    for _ in 0..30 {
        let made = limited(&audio.iter().map(|x| x * gain).collect::<Vec<f64>>());
        let samples: Vec<i16> = made.iter().copied().map(sample).collect();
        let off = TARGET - active_level(&samples).unwrap_or(2.0 * TARGET);
        if off.abs() < 0.05 {
            return Ok(made);
        }
        gain *= 10_f64.powf(off / 20.0);
    }
    Err(Unusable::Wild)
}

/// Peaks held under the ceiling by a gain that moves over 4 ms, too slow to be heard as clipping.
fn limited(audio: &[f64]) -> Vec<f64> {
    let half = 2 * MS;
    let needed: Vec<f64> = audio.iter().map(|x| (CEILING / x.abs().max(1e-9)).min(1.0)).collect();
    // The smallest gain near each sample, then an average of those: nowhere above what its own
    // sample needs.
    let lowest = around(&needed, half, |near| near.fold(1.0, f64::min));
    let weights: Vec<f64> =
        (1..=2 * half + 1).map(|k| 0.5 - 0.5 * (PI * k as f64 / (half + 1) as f64).cos()).collect();
    let total: f64 = weights.iter().sum();
    let gain = around(&lowest, half, |near| near.zip(&weights).map(|(g, w)| g * w).sum::<f64>());
    audio.iter().zip(gain).map(|(x, gain)| x * gain / total).collect()
}

/// What `of` makes of each place and `half` places to both sides of it; there is 1.0 outside.
fn around(
    values: &[f64],
    half: usize,
    of: impl Fn(&mut dyn Iterator<Item = f64>) -> f64,
) -> Vec<f64> {
    let edge = vec![1.0; half];
    let padded = [edge.as_slice(), values, edge.as_slice()].concat();
    padded.windows(2 * half + 1).map(|near| of(&mut near.iter().copied())).collect()
}

/// From shortly before the first sound to shortly after the last, without long pauses between.
fn trimmed(audio: &[f64]) -> Result<Vec<f64>, Unusable> {
    let step = STEP_MS * MS;
    let blocks: Vec<&[f64]> = audio.chunks(step).collect();
    let is_loud = |block: &&[f64]| power(block) >= amplitude(EDGE).powi(2);
    let first = blocks.iter().position(is_loud).ok_or(Unusable::Silent)?;
    let last = blocks.iter().rposition(is_loud).ok_or(Unusable::Silent)?;
    let quiet = |ms: usize| vec![0.0; ms * MS];
    let before: Vec<f64> = blocks.iter().take(first).copied().flatten().copied().collect();
    let lead = [quiet(LEAD_MS), before].concat();
    let mut kept = lead.get(lead.len() - LEAD_MS * MS..).unwrap_or_default().to_vec();
    let longest = PAUSE_MS / STEP_MS;
    let mut pause: Vec<&[f64]> = Vec::new();
    for block in blocks.iter().take(last + 1).skip(first) {
        if !is_loud(block) {
            pause.push(block);
            continue;
        }
        // Out of the middle, where it is silent: both sides keep their decay and attack.
        let spare = pause.len().saturating_sub(longest);
        let begin = (pause.len() - spare) / 2;
        let of_pause = pause.iter().enumerate().filter(|(n, _)| *n < begin || *n >= begin + spare);
        kept.extend(of_pause.flat_map(|(_, block)| block.iter()));
        kept.extend_from_slice(block);
        pause.clear();
    }
    let after = blocks.iter().skip(last + 1).copied().flatten().copied();
    kept.extend(after.chain(quiet(TAIL_MS)).take(TAIL_MS * MS));
    Ok(kept)
}

fn faded(mut audio: Vec<f64>) -> Vec<f64> {
    let n = STEP_MS * MS;
    let ramp: Vec<f64> = (0..n).map(|k| 0.5 - 0.5 * (PI * k as f64 / n as f64).cos()).collect();
    for (x, gain) in audio.iter_mut().zip(&ramp) {
        *x *= gain;
    }
    for (x, gain) in audio.iter_mut().rev().zip(&ramp) {
        *x *= gain;
    }
    audio
}
