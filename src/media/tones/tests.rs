//! Keys made by formula, and what is heard of them.

use std::f64::consts::TAU;

use super::*;
use crate::media::g711::{FRAME, Law};

const KEYS: &str = "123A456B789C*0#D";

/// What is pressed, and how.
#[derive(Clone, Copy)]
struct Tones {
    key: char,
    seconds: f64,
    /// In dBm0.
    low: f64,
    high: f64,
    /// In percent.
    deviation: f64,
}

impl Tones {
    const fn of(key: char, seconds: f64) -> Self {
        Self { key, seconds, low: -10.0, high: -10.0, deviation: 0.0 }
    }

    const fn at(self, low: f64, high: f64) -> Self {
        Self { low, high, ..self }
    }

    fn audio(self) -> Vec<f64> {
        let key = KEYS.find(self.key).unwrap();
        let off = 1.0 + self.deviation / 100.0;
        let low = f64::from(spectrum::FREQUENCIES[key / 4]) * off;
        let high = f64::from(spectrum::FREQUENCIES[4 + key % 4]) * off;
        mix(&sine(low, self.low, self.seconds), &sine(high, self.high, self.seconds))
    }
}

fn sine(frequency: f64, level: f64, seconds: f64) -> Vec<f64> {
    let peak = 32_767.0 * 10_f64.powf((level - 3.17) / 20.0);
    let samples = (seconds * 8_000.0).round() as u32;
    (0..samples).map(|n| peak * (TAU * frequency * f64::from(n) / 8_000.0).sin()).collect()
}

fn silence(seconds: f64) -> Vec<f64> {
    vec![0.0; (seconds * 8_000.0).round() as usize]
}

fn mix(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Noise of every frequency, at a level in dBm0 (nearly normal: a sum of twelve).
fn noise(level: f64, seconds: f64) -> Vec<f64> {
    let mut state = 1_u64;
    let mut one = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f64 / (1_u64 << 24) as f64 - 0.5
    };
    let size = 32_767.0 / 2_f64.sqrt() * 10_f64.powf((level - 3.17) / 20.0);
    silence(seconds).iter().map(|_| (0..12).map(|_| one()).sum::<f64>() * size).collect()
}

fn linear(audio: &[f64]) -> Vec<i16> {
    audio.iter().map(|sample| sample.round() as i16).collect()
}

/// What a call hears that waits for these keys.
fn heard(audio: &[f64], waited: Keys) -> Vec<Heard> {
    let (mut receiver, mut out) = (Receiver::default(), Vec::new());
    receiver.wait_for(waited);
    for frame in linear(audio).chunks(FRAME) {
        receiver.samples(frame, &mut out);
    }
    receiver.end(&mut out);
    let downs = out.iter().filter(|heard| matches!(heard, Heard::Down(_))).count();
    assert_eq!(out.len(), 2 * downs, "each goes up again: {out:?}");
    out
}

/// The keys that went down.
fn keys(out: &[Heard]) -> String {
    let down = |heard: &Heard| match heard {
        Heard::Down(press) => Some(press.digit.expose()),
        Heard::Up { .. } => None,
    };
    out.iter().filter_map(down).collect()
}

/// The keys that are heard between two silences, from wherever in a hop they begin.
fn pressed(audio: &[f64]) -> Vec<String> {
    let from = |samples: u32| silence(0.1 + f64::from(samples) / 8_000.0);
    let heard = |samples| heard(&[&from(samples), audio, &silence(0.1)].concat(), Keys::NONE);
    (0..HOP as u32).step_by(3).map(|samples| keys(&heard(samples))).collect()
}

#[track_caller]
fn assert_heard(tones: Tones) {
    let out = pressed(&tones.audio());
    assert!(out.iter().all(|keys| *keys == tones.key.to_string()), "{out:?}");
}

#[track_caller]
fn assert_unheard(tones: Tones) {
    let out = pressed(&tones.audio());
    assert!(out.iter().all(String::is_empty), "{out:?}");
}

#[test]
fn each_key_is_heard_with_its_onset_its_length_and_its_levels() {
    for key in KEYS.chars() {
        let press = Tones::of(key, 0.1).at(-9.0, -12.0);
        // It begins at sample 960 and ends at 1760.
        let audio = [silence(0.12), press.audio(), silence(0.1)].concat();
        let (mut receiver, mut out) = (Receiver::default(), Vec::new());
        let mut fed = 0;
        for frame in linear(&audio).chunks(FRAME) {
            fed += frame.len() as u32;
            let known = out.len();
            receiver.samples(frame, &mut out);
            if let [Heard::Down(press)] = out[known..] {
                assert!(press.since.abs_diff(fed - 960) <= 40, "{} of {fed}", press.since);
                assert!((960..960 + 2 * 160 + 40).contains(&fed), "at once, and not at {fed}");
                assert!((press.low + 9.0).abs() < 0.2 && (press.high + 12.0).abs() < 0.2);
                assert_eq!((press.digit.expose(), press.volume(), press.is_clear), (key, 7, true));
            }
        }
        let [Heard::Down(_), Heard::Up { digit, held }] = out[..] else { panic!("{key}: {out:?}") };
        assert_eq!(digit.expose(), key);
        assert!(held.abs_diff(Duration::from_millis(100)).as_millis() <= 10, "{held:?}");
    }
}

#[test]
fn each_law_brings_every_key() {
    for law in [Law::Ulaw, Law::Alaw] {
        let press = |key| [Tones::of(key, 0.05).at(-25.0, -25.0).audio(), silence(0.05)].concat();
        let audio: Vec<f64> = KEYS.chars().flat_map(press).collect();
        let codes: Vec<u8> = linear(&audio).into_iter().map(|it| law.encode(it)).collect();
        let (mut receiver, mut out) = (Receiver::default(), Vec::new());
        for frame in codes.chunks(240) {
            let frame: Vec<i16> = frame.iter().map(|code| law.decode(*code)).collect();
            receiver.samples(&frame, &mut out);
        }
        assert_eq!(keys(&out), KEYS, "{law}");
    }
}

#[test]
fn forty_milliseconds_are_a_press_and_twenty_three_are_none() {
    for key in KEYS.chars() {
        assert_heard(Tones::of(key, 0.040));
        assert_unheard(Tones::of(key, 0.023));
    }
}

#[test]
fn the_frequency_may_be_off_by_one_and_a_half_percent_and_not_by_three_and_a_half() {
    for key in ['1', '5', '#', 'D'] {
        for sign in [-1.0, 1.0] {
            assert_heard(Tones { deviation: 1.5 * sign, ..Tones::of(key, 0.05) });
            assert_unheard(Tones { deviation: 3.5 * sign, ..Tones::of(key, 0.05) });
        }
    }
}

#[test]
fn the_high_tone_may_be_four_decibels_stronger_or_eight_weaker() {
    for key in ['1', '5', '#', 'D'] {
        assert_heard(Tones::of(key, 0.05).at(-14.0, -10.0));
        assert_heard(Tones::of(key, 0.05).at(-10.0, -18.0));
        assert_unheard(Tones::of(key, 0.05).at(-17.0, -10.0));
        assert_unheard(Tones::of(key, 0.05).at(-10.0, -22.0));
    }
}

#[test]
fn a_press_is_loud_enough_at_minus_forty_and_not_at_minus_fifty_five() {
    for key in ['1', '#', 'D'] {
        assert_heard(Tones::of(key, 0.05).at(0.0, 0.0));
        assert_heard(Tones::of(key, 0.05).at(-40.0, -40.0));
        assert_unheard(Tones::of(key, 0.05).at(-55.0, -55.0));
    }
}

#[test]
fn a_gap_of_ten_milliseconds_is_bridged_and_forty_are_a_pause() {
    for key in ['1', '#'] {
        let twice = |gap| {
            let press = Tones::of(key, 0.06).audio();
            pressed(&[&press[..], &silence(gap), &press].concat())
        };
        assert!(twice(0.010).iter().all(|keys| keys.len() == 1), "{:?}", twice(0.010));
        // A frame of zeros, as some gateways send in the place of a lost one.
        assert!(twice(0.020).iter().all(|keys| keys.len() == 1), "{:?}", twice(0.020));
        assert!(twice(0.040).iter().all(|keys| keys.len() == 2), "{:?}", twice(0.040));
    }
}

#[test]
fn another_key_at_once_ends_the_first() {
    let audio = [Tones::of('5', 0.08).audio(), Tones::of('6', 0.08).audio()].concat();
    let out = heard(&audio, Keys::NONE);
    assert_eq!(keys(&out), "56");
    assert!(matches!(out[1], Heard::Up { digit, .. } if digit.expose() == '5'));
}

#[test]
fn a_dial_tone_or_a_hum_goes_on_under_a_press() {
    let press = [silence(0.1), Tones::of('#', 0.05).audio(), silence(0.1)].concat();
    for under in [&[350.0, 440.0][..], &[425.0], &[350.0, 450.0], &[50.0, 150.0]] {
        let mut audio = press.clone();
        for frequency in under {
            audio = mix(&audio, &sine(*frequency, -16.0, 0.25));
        }
        assert_eq!(keys(&heard(&audio, Keys::NONE)), "#", "under {under:?}");
    }
}

#[test]
fn noise_that_was_there_before_does_not_speak_against_a_press() {
    // Two tones of -13 dBm0 over noise of -18: 8 dB between them.
    let press = |_| [Tones::of('#', 0.05).at(-13.0, -13.0).audio(), silence(0.07)].concat();
    let audio = [silence(6.0), (0..40).flat_map(press).collect()].concat();
    let out = heard(&mix(&audio, &noise(-18.0, 11.0)), Keys::NONE);
    assert!(keys(&out).len() >= 34, "{}", keys(&out).len());
    assert!(keys(&out).chars().all(|key| key == '#'));
    // Noise that came with the tones is no part of a key.
    let sudden = mix(&Tones::of('#', 0.05).audio(), &noise(-15.0, 0.05));
    assert!(pressed(&sudden).iter().all(String::is_empty));
}

#[test]
fn one_tone_or_two_of_a_group_or_a_third_are_no_key() {
    for frequency in spectrum::FREQUENCIES.map(f64::from) {
        assert!(pressed(&sine(frequency, -6.0, 0.2)).iter().all(String::is_empty));
    }
    let rows = mix(&sine(697.0, -8.0, 0.2), &sine(941.0, -8.0, 0.2));
    assert!(pressed(&rows).iter().all(String::is_empty));
    let with_third = mix(&Tones::of('#', 0.2).audio(), &sine(2_600.0, -12.0, 0.2));
    assert!(pressed(&with_third).iter().all(String::is_empty));
}

#[test]
fn a_worn_press_counts_for_a_key_that_is_waited_for_or_when_it_lasts() {
    // A third tone that leaves the key 84 % of the power.
    let worn = |seconds| {
        let press = mix(&Tones::of('#', seconds).audio(), &sine(2_600.0, -14.4, seconds));
        [silence(0.1), press, silence(0.1)].concat()
    };
    let short = worn(0.05);
    assert_eq!(keys(&heard(&short, Keys::NONE)), "");
    assert_eq!(keys(&heard(&short, Keys::ALL)), "#");
    let others: Keys = ['1', '*', '0'].into_iter().filter_map(Digit::from_char).collect();
    assert_eq!(keys(&heard(&short, others)), "");
    for heard in [heard(&short, Keys::NONE.with(Digit::POUND)), heard(&worn(0.08), Keys::NONE)] {
        assert!(matches!(heard[..], [Heard::Down(Press { is_clear: false, .. }), _]), "{heard:?}");
    }
}

#[test]
fn nothing_goes_on_behind_the_end() {
    let (mut receiver, mut out) = (Receiver::default(), Vec::new());
    let press = linear(&Tones::of('#', 0.030).audio());
    receiver.samples(&press, &mut out);
    receiver.end(&mut out);
    receiver.samples(&press, &mut out);
    assert_eq!(out, []);
    // The same with a lost frame in between is one press.
    receiver.lost(FRAME as u32, &mut out);
    receiver.samples(&press, &mut out);
    assert_eq!(keys(&out), "#");
}

/// Feeds frames of 20 ms, and tells of those that are lost.
fn with_losses(audio: &[f64], lost: &[usize]) -> Vec<Heard> {
    let (mut receiver, mut out) = (Receiver::default(), Vec::new());
    for (at, frame) in linear(audio).chunks(FRAME).enumerate() {
        if lost.contains(&at) {
            receiver.lost(FRAME as u32, &mut out);
        } else {
            receiver.samples(frame, &mut out);
        }
    }
    receiver.end(&mut out);
    out
}

#[test]
fn no_lost_frame_doubles_a_press() {
    let audio = [silence(0.1), Tones::of('#', 0.2).audio(), silence(0.1)].concat();
    for first in 0..20 {
        for second in first..20 {
            let out = with_losses(&audio, &[first, second]);
            assert_eq!(keys(&out), "#", "without frames {first} and {second}");
            let [_, Heard::Up { held, .. }] = out[..] else { panic!("{out:?}") };
            assert!((110..=240).contains(&held.as_millis()), "{held:?}");
        }
    }
}

#[test]
fn a_press_that_has_begun_goes_on_behind_a_lost_frame() {
    // 40 ms, of which the receiver has heard too little, a lost frame, and 40 ms more.
    let audio = [silence(0.105), Tones::of('#', 0.095).audio(), silence(0.1)].concat();
    assert_eq!(keys(&with_losses(&audio, &[7])), "#");
}

#[test]
fn a_pause_is_a_pause_though_a_frame_of_it_is_lost() {
    let press = Tones::of('#', 0.1).audio();
    // Of 50 ms, the first 20 may also be the end of the press: then it is held.
    for (pause, lost) in [(0.05, 11), (0.05, 12), (0.055, 11), (0.06, 10), (0.06, 11), (0.06, 12)] {
        let audio = [&silence(0.1)[..], &press, &silence(pause), &press, &silence(0.1)].concat();
        assert_eq!(keys(&with_losses(&audio, &[lost])), "##", "{pause} s without frame {lost}");
    }
}

#[test]
fn a_key_is_up_when_too_much_is_lost() {
    let audio = [silence(0.1), Tones::of('#', 0.4).audio()].concat();
    let all: Vec<usize> = (8..14).collect();
    assert_eq!(keys(&with_losses(&audio, &all)), "##");
    assert_eq!(keys(&with_losses(&audio, &all[..5])), "#");
    let (mut receiver, mut out) = (Receiver::default(), Vec::new());
    receiver.samples(&linear(&audio), &mut out);
    receiver.lost(u32::MAX, &mut out);
    receiver.lost(u32::MAX, &mut out);
    assert!(matches!(out[..], [Heard::Down(_), Heard::Up { .. }]));
}

#[test]
fn it_does_not_matter_where_the_frames_are_cut_or_by_which_instructions_they_are_heard() {
    // Loud and near the limits of level and noise, by turns.
    let press = |(key, level): (char, f64)| {
        let tones = Tones::of(key, 0.05).at(level, level).audio();
        let noise = noise(level - 7.0, 0.05);
        [mix(&tones, &noise), silence(0.043), noise, silence(0.012)].concat()
    };
    let levels = [-10.0, -39.0, -20.0, -43.0, -40.0].into_iter().cycle();
    let presses = KEYS.chars().cycle().zip(levels).take(160);
    let audio: Vec<f64> = presses.flat_map(press).collect();
    let samples = linear(&mix(&audio, &noise(-45.0, 30.0)));
    let heard = |processor, length: usize| {
        let (mut receiver, mut out) = (Receiver::new(processor), Vec::new());
        let (mut downs, mut fed) = (Vec::new(), 0);
        for frame in samples.chunks(length) {
            receiver.samples(frame, &mut out);
            fed += frame.len() as u32;
            for heard in out.drain(..) {
                match heard {
                    Heard::Down(it) => downs.push((it.digit.expose(), fed - it.since)),
                    Heard::Up { digit, held } => {
                        downs.push((digit.expose(), held.as_micros() as u32))
                    }
                }
            }
        }
        downs
    };
    let whole = heard(Processor::best(), samples.len());
    assert!((100..320).contains(&whole.len()), "{}", whole.len());
    for length in [1, 7, 40, 80, 160, 161, 240, 1_000] {
        assert_eq!(heard(Processor::best(), length), whole, "frames of {length}");
        assert_eq!(heard(Processor::Plain, length), whole, "frames of {length}");
    }
}

#[test]
fn it_is_small() {
    assert!(size_of::<Receiver>() <= 768, "{} bytes", size_of::<Receiver>());
}
