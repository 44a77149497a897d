//! One recording: read, and judged before it is spoken.

use super::PackError;
use crate::media::g711::{FRAME, RATE, level_dbm0};

/// −3 dBFS: no sample of a master may exceed it, because companding and the far end's gain need
/// the room.
pub const PEAK: u16 = 23_197;

/// Frames below this are pauses, in dBm0: 16 dB under the level that is wanted, in the place of the
/// 15.9 dB margin of ITU-T P.56.
const GATE: f64 = -32.0;

/// The loudest that speech may be, in dBm0. Masters are made for −16.
pub const LOUDEST: f64 = -13.0;

/// The quietest that speech may be, in dBm0.
pub const QUIETEST: f64 = -22.0;

/// The longest word of a code, and of a key's name.
const LONGEST_WORD_MS: u64 = 2_000;

/// The longest of any other phrase: nobody listens for longer.
const LONGEST_MS: u64 = 20_000;

/// The longest that a phrase of this name may be, in milliseconds.
#[must_use]
pub fn longest_ms(name: &str) -> u64 {
    let word = name.starts_with("digit_") || name == "pound" || name == "star";
    if word { LONGEST_WORD_MS } else { LONGEST_MS }
}

/// How long a recording is.
pub(super) const fn milliseconds(samples: &[i16]) -> u64 {
    samples.len() as u64 * 1_000 / RATE as u64
}

/// The level of the 20 ms frames in which somebody speaks, in dBm0; `None` where nobody does.
#[must_use]
pub fn active_level(samples: &[i16]) -> Option<f64> {
    let active = samples.chunks_exact(FRAME).filter(|frame| level_dbm0(frame) >= GATE);
    let spoken: Vec<i16> = active.flatten().copied().collect();
    (!spoken.is_empty()).then(|| level_dbm0(&spoken))
}

/// The samples of a WAV or FLAC file that can be spoken as the phrase `name`.
///
/// # Errors
/// Why it cannot.
pub(super) fn read(name: &str, file: &str, bytes: &[u8]) -> Result<Vec<i16>, PackError> {
    let most = longest_ms(name);
    // A file that says too much is not read to its end.
    let room = usize::try_from((most + 1) * u64::from(RATE) / 1_000).unwrap_or(usize::MAX);
    let read = if bytes.starts_with(b"fLaC") { flac(bytes, room) } else { wav(bytes, room) };
    let samples = read.map_err(|why| PackError::Format { file: file.to_owned(), why })?;
    let is = milliseconds(&samples);
    if is > most {
        return Err(PackError::Long { file: file.to_owned(), is, most });
    }
    match unfit(&samples) {
        Some(why) => Err(PackError::Level { file: file.to_owned(), why }),
        None => Ok(samples),
    }
}

/// What is wrong with the level.
fn unfit(samples: &[i16]) -> Option<String> {
    let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    if peak > PEAK {
        return Some(format!("too loud: it peaks at {peak}, and {PEAK} (-3 dBFS) is the most"));
    }
    match active_level(samples) {
        None => Some("nobody speaks in it".to_owned()),
        Some(level) if level > LOUDEST => {
            Some(format!("too loud: speech is at {level:.1} dBm0, {LOUDEST} is the most"))
        }
        Some(level) if level < QUIETEST => {
            Some(format!("too quiet: speech is at {level:.1} dBm0, {QUIETEST} is the least"))
        }
        Some(_) => None,
    }
}

fn wav(bytes: &[u8], room: usize) -> Result<Vec<i16>, String> {
    let reader = hound::WavReader::new(bytes).map_err(|fault| fault.to_string())?;
    let spec = reader.spec();
    fit(spec.sample_rate, spec.channels.into(), spec.bits_per_sample.into())?;
    if spec.sample_format != hound::SampleFormat::Int {
        return Err("its samples are fractions: 16-bit integers are needed".to_owned());
    }
    let samples = reader.into_samples().take(room);
    samples.collect::<Result<_, _>>().map_err(|fault| fault.to_string())
}

fn flac(bytes: &[u8], room: usize) -> Result<Vec<i16>, String> {
    let mut reader = claxon::FlacReader::new(bytes).map_err(|fault| fault.to_string())?;
    let info = reader.streaminfo();
    fit(info.sample_rate, info.channels, info.bits_per_sample)?;
    let sample = |sample: Result<i32, claxon::Error>| {
        let sample = sample.map_err(|fault| fault.to_string())?;
        i16::try_from(sample).map_err(|_| format!("a sample of {sample} is not one of 16 bits"))
    };
    let samples: Vec<i16> = reader.samples().take(room).map(sample).collect::<Result<_, _>>()?;
    // A file that was cut short between two of its blocks ends without a fault.
    let said = usize::try_from(info.samples.unwrap_or_default()).unwrap_or(usize::MAX);
    if samples.len() != said.min(room) {
        return Err(format!("it has {} samples and says it has {said}", samples.len()));
    }
    Ok(samples)
}

fn fit(rate: u32, channels: u32, bits: u32) -> Result<(), String> {
    if (rate, channels, bits) == (RATE, 1, 16) {
        return Ok(());
    }
    Err(format!(
        "{rate} Hz, {channels} channel(s), {bits} bits: 8000 Hz, 1 channel, 16 bits are needed"
    ))
}
