//! Keys made by formula, and what is heard of them.

use std::f64::consts::TAU;

use super::*;

const KEYS: &str = "123A456B789C*0#D";

fn digit(key: char) -> Digit {
    Digit::from_char(key).unwrap()
}

/// Seconds of a key whose tones have these levels.
fn tones(key: char, seconds: f64, low: f64, high: f64) -> Vec<f64> {
    let at = KEYS.find(key).unwrap();
    let frequency = |group: usize| f64::from(spectrum::FREQUENCIES[group]);
    let sine = |frequency: f64, level: f64, n: f64| {
        let peak = 32_767.0 * 10_f64.powf((level - 3.17) / 20.0);
        peak * (TAU * frequency * n / 8_000.0).sin()
    };
    (0..(seconds * 8_000.0) as u32)
        .map(f64::from)
        .map(|n| sine(frequency(at / 4), low, n) + sine(frequency(4 + at % 4), high, n))
        .collect()
}

fn silence(seconds: f64) -> Vec<f64> {
    vec![0.0; (seconds * 8_000.0) as usize]
}

fn hear(audio: &[f64]) -> Vec<Heard> {
    let samples: Vec<i16> = audio.iter().map(|x| x.round() as i16).collect();
    let (mut receiver, mut out) = (Receiver::default(), Vec::new());
    for frame in samples.chunks(FRAME) {
        receiver.samples(frame, &mut out);
    }
    receiver.end(&mut out);
    out
}

#[test]
fn each_key_goes_down_and_up() {
    for key in KEYS.chars() {
        let out = hear(&[silence(0.1), tones(key, 0.1, -10.0, -10.0), silence(0.1)].concat());
        let [Heard::Down(press), Heard::Up { digit: up, .. }] = out[..] else {
            panic!("{key}: {out:?}")
        };
        assert_eq!((press.digit, up), (digit(key), digit(key)));
    }
}
