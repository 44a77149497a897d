//! What the callee hears: every prompt of the built-in pack, measured.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::f64::consts::PI;
use std::time::Duration;

use octothorpe::media::Law;
use octothorpe::media::g711::{FULL_SCALE_DBM0, RATE};
use octothorpe::media::prompt::Pack;

/// The DTMF tones (ITU-T Q.23), in Hz.
const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// 20 ms at 8 kHz.
const FRAME: usize = 160;

/// Frames below this are pauses, in dBm0.
const GATE: f64 = -32.0;

fn dbm0(power: f64) -> f64 {
    20.0 * (power.sqrt() / (32_767.0 / 2_f64.sqrt())).log10() + FULL_SCALE_DBM0
}

fn power(samples: &[i16]) -> f64 {
    samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64
}

/// The level of the frames in which somebody speaks.
fn active_level(samples: &[i16]) -> f64 {
    let frames: Vec<f64> = samples.chunks_exact(FRAME).map(power).collect();
    let active: Vec<f64> = frames.into_iter().filter(|p| *p > 0.0 && dbm0(*p) >= GATE).collect();
    dbm0(active.iter().sum::<f64>() / active.len() as f64)
}

/// The power of one frequency in a block (Goertzel).
fn tone(block: &[i16], hz: f64) -> f64 {
    let w = 2.0 * PI * hz / f64::from(RATE);
    let (mut s1, mut s2) = (0.0, 0.0);
    for &sample in block {
        let s0 = f64::from(sample) + 2.0 * w.cos() * s1 - s2;
        (s2, s1) = (s1, s0);
    }
    let n = block.len() as f64;
    2.0 * (s1 * s1 + s2 * s2 - 2.0 * w.cos() * s1 * s2) / (n * n)
}

/// Whether two tones of DTMF carry most of the power for 40 ms. Far more willing to hear a key than
/// any receiver is.
fn has_dtmf(samples: &[i16]) -> bool {
    let strongest =
        |block: &[i16], group: &[f64]| group.iter().map(|hz| tone(block, *hz)).fold(0.0, f64::max);
    let hits: Vec<bool> = samples
        .windows(FRAME)
        .step_by(40)
        .map(|block| {
            let (total, low, high) =
                (power(block), strongest(block, &LOW), strongest(block, &HIGH));
            let twist = 10.0 * (high / low).log10();
            dbm0(total) > -40.0 && (low + high) / total > 0.75 && twist.abs() < 10.0
        })
        .collect();
    hits.windows(5).any(|run| run.iter().all(|hit| *hit))
}

fn spoken() -> Vec<(String, Duration, Vec<i16>)> {
    let pack = Pack::english().expect("the pack is compiled in");
    let names: Vec<String> = pack.names().map(ToString::to_string).collect();
    names
        .into_iter()
        .map(|name| {
            let id = pack.find(&name).expect("a name of the pack is in the pack");
            let phrase = pack.phrase(id).expect("and so is its phrase");
            let samples = phrase.ulaw.iter().map(|&octet| Law::Ulaw.decode(octet)).collect();
            (name, phrase.length, samples)
        })
        .collect()
}

#[test]
fn every_prompt_is_at_minus_16_dbm0_without_clipping() {
    for (name, _, samples) in spoken() {
        let level = active_level(&samples);
        assert!((level + 16.0).abs() <= 1.0, "{name} is at {level:.1} dBm0");
        let peak = samples.iter().map(|s| i32::from(*s).abs()).max().unwrap_or_default();
        assert!(peak < 23_197, "{name} has a peak of {peak}: above -3 dBFS");
    }
}

#[test]
fn silence_is_trimmed() {
    for (name, _, samples) in spoken() {
        let sound = |block: &[i16]| dbm0(power(block).max(1.0)) >= -48.0;
        let first = samples.chunks_exact(40).position(sound).expect("it is not silence");
        assert!(first <= 8, "{name} begins with {} ms of silence", 5 * first);
    }
}

#[test]
fn the_ask_is_short_and_comes_soon() {
    let lengths = spoken();
    let of = |wanted: &str| {
        lengths.iter().find(|(name, ..)| name == wanted).map(|(_, length, _)| *length)
    };
    assert!(of("ask").expect("there is an ask") < Duration::from_secs(12));
    assert!(of("greeting").expect("there is a greeting") < Duration::from_millis(1_600));
}

#[test]
fn no_prompt_contains_a_dtmf_tone() {
    for (name, _, samples) in spoken() {
        assert!(!has_dtmf(&samples), "{name} would press a key on a line that reflects");
    }
}

#[test]
fn the_detector_of_this_test_hears_a_key() {
    let pound: Vec<i16> = (0..400)
        .map(|n| {
            let t = f64::from(n) / f64::from(RATE);
            let wave = (2.0 * PI * 941.0 * t).sin() + (2.0 * PI * 1477.0 * t).sin();
            #[expect(clippy::cast_possible_truncation, reason = "it is within ±6000")]
            let sample = (3_000.0 * wave) as i16;
            Law::Ulaw.decode(Law::Ulaw.encode(sample))
        })
        .collect();
    assert!(has_dtmf(&pound));
}
