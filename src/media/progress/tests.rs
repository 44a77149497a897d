//! Tones of the network, voices, beeps and noise, through both laws.

use std::f64::consts::TAU;

use super::*;
use crate::media::g711::{FRAME, Law};
use crate::media::prompt::Pack;

/// What a line says: tones of so many Hz and dBm0 each, for so many milliseconds; no tone is
/// silence.
type Part<'a> = (&'a [f64], f64, u64);

fn samples(parts: &[Part<'_>]) -> Vec<i16> {
    let mut all = Vec::new();
    for (hertz, level, ms) in parts {
        let amplitude = f64::from(i16::MAX) * 10_f64.powf((level - 3.17) / 20.0);
        all.extend((0..ms * 8).map(|n| {
            let time = n as f64 / 8_000.0;
            (amplitude * hertz.iter().map(|hertz| (TAU * hertz * time).sin()).sum::<f64>()) as i16
        }));
    }
    all
}

/// What is heard of it through a telephone line, but for tones not known yet: each sound once where
/// it is told several times in a row.
fn heard(samples: &[i16], law: Law) -> Vec<Sound> {
    let mut progress = Progress::default();
    let mut sounds: Vec<Sound> = Vec::new();
    let (frames, _) = samples.as_chunks::<FRAME>();
    for frame in frames {
        let frame = frame.map(|sample| law.decode(law.encode(sample)));
        let sound = progress.frame(Frame::of(&frame));
        if sound != Sound::Tone && sounds.last() != Some(&sound) {
            sounds.push(sound);
        }
    }
    sounds
}

/// The same, of tones in a rhythm, at several levels, laws and places within a frame: told sounds
/// alone.
fn told(hertz: &[f64], rhythm: &[u64], times: usize) -> Vec<Sound> {
    let mut before: Option<Vec<Sound>> = None;
    for level in [-12.0, -20.0, -30.0] {
        for (law, offset) in [(Law::Ulaw, 0), (Law::Alaw, 7), (Law::Ulaw, 13)] {
            let mut parts: Vec<Part<'_>> = vec![(&[], 0.0, 500 + offset)];
            for _ in 0..times {
                parts.extend(rhythm.iter().enumerate().map(|(place, ms)| {
                    let sounds: &[f64] = if place % 2 == 0 { hertz } else { &[] };
                    (sounds, level, *ms)
                }));
            }
            parts.push((&[], 0.0, 2_000));
            let mut sounds = heard(&samples(&parts), law);
            sounds.retain(|sound| !matches!(sound, Sound::Quiet | Sound::Voice));
            if let Some(before) = &before {
                assert_eq!(*before, sounds, "{hertz:?} {rhythm:?} {level} {law} {offset}");
            }
            before = Some(sounds);
        }
    }
    before.unwrap()
}

#[test]
fn ringback_is_known_by_its_rhythm_in_any_country() {
    let ring = vec![Sound::Ringback; 2];
    assert_eq!(told(&[440.0, 480.0], &[2_000, 4_000], 2), ring);
    assert_eq!(told(&[425.0], &[1_000, 4_000], 2), ring);
    assert_eq!(told(&[440.0], &[1_500, 3_500], 2), ring);
    assert_eq!(told(&[400.0, 450.0], &[400, 200, 400, 2_000], 2), ring);
}

#[test]
fn busy_and_reorder_are_three_bursts_alike() {
    assert_eq!(told(&[480.0, 620.0], &[500, 500], 3), [Sound::Busy]);
    assert_eq!(told(&[425.0], &[480, 480], 3), [Sound::Busy]);
    assert_eq!(told(&[400.0], &[375, 375], 3), [Sound::Busy]);
    assert_eq!(told(&[480.0, 620.0], &[250, 250], 3), [Sound::Reorder]);
    assert_eq!(told(&[425.0], &[200, 200], 3), [Sound::Reorder]);
    assert_eq!(told(&[425.0], &[480, 480], 2), [Sound::Ringback], "two of them are not enough");
}

#[test]
fn special_information_tones_are_three_that_rise() {
    for tones in [[950.0, 1_400.0, 1_800.0], [985.2, 1_428.5, 1_776.7], [913.8, 1_370.6, 1_776.7]] {
        for ms in [274, 330, 380] {
            let [low, middle, high] = tones;
            let mut parts: Vec<Part<'_>> = vec![(&[], 0.0, 505)];
            let lines = [[low], [middle], [high]];
            parts.extend(lines.iter().map(|hertz| (&hertz[..], -20.0, ms)));
            parts.push((&[], 0.0, 1_000));
            assert!(heard(&samples(&parts), Law::Ulaw).contains(&Sound::Special), "{tones:?}");
        }
    }
    let falling = told(&[1_800.0], &[330, 20], 1);
    assert_eq!(falling, []);
}

#[test]
fn keys_are_no_tones_of_the_network() {
    for pair in [[697.0, 1_209.0], [941.0, 1_477.0], [852.0, 1_336.0]] {
        assert_eq!(told(&pair, &[100, 80], 5), []);
    }
}

fn phrase(name: &str) -> Vec<i16> {
    let pack = Pack::english().unwrap();
    let phrase = pack.phrase(pack.find(name).unwrap()).unwrap();
    phrase.ulaw.iter().map(|code| Law::Ulaw.decode(*code)).collect()
}

#[test]
fn a_voice_is_a_voice() {
    let pack = Pack::english().unwrap();
    for name in ["ask", "ask_pin", "ask_match", "ask_code", "sorry", "goodbye", "greeting"] {
        let phrase = pack.phrase(pack.find(name).unwrap()).unwrap();
        let all: [Vec<i16>; 2] =
            [phrase.ulaw.iter().map(|code| Law::Ulaw.decode(*code)).collect(), vec![0; 16_000]];
        let sounds = heard(&all.concat(), Law::Alaw);
        let is_voice = |sound: &Sound| matches!(sound, Sound::Voice | Sound::Quiet);
        assert!(sounds.iter().all(is_voice) && sounds.contains(&Sound::Voice), "{name} {sounds:?}");
    }
}

#[test]
fn a_short_word_is_a_voice_though_vowels_are_tones() {
    let pack = Pack::english().unwrap();
    for name in ["digit_1", "digit_2", "digit_3", "digit_8", "digit_9", "pound", "star"] {
        let phrase = pack.phrase(pack.find(name).unwrap()).unwrap();
        for law in [Law::Ulaw, Law::Alaw] {
            for offset in [0, 53, 107] {
                let mut samples = vec![0; 8_000 + offset];
                samples.extend(phrase.ulaw.iter().map(|code| Law::Ulaw.decode(*code)));
                let mut progress = Progress::default();
                let (frames, _) = samples.as_chunks::<FRAME>();
                let frames = frames.iter().map(|it| it.map(|it| law.decode(law.encode(it))));
                let is_voice = |frame| progress.frame(Frame::of(&frame)) == Sound::Voice;
                let voiced = frames.map(is_voice).filter(|it| *it).count();
                assert!(voiced >= 8, "{name} {law} {offset}: {voiced}");
            }
        }
    }
}

#[test]
fn a_beep_is_one_short_steady_tone_behind_a_voice() {
    for hertz in [425.0, 440.0, 600.0, 1_000.0, 1_400.0, 1_950.0] {
        for ms in [200, 267, 400, 933] {
            let beep = [hertz];
            let behind = samples(&[(&[], 0.0, 305), (&beep, -15.0, ms), (&[], 0.0, 2_000)]);
            let sounds = heard(&[phrase("ask"), behind.clone()].concat(), Law::Ulaw);
            let beeps = hertz > 660.0 || ms < 300;
            assert_eq!(sounds.contains(&Sound::Beep), beeps, "{hertz} {ms} {sounds:?}");
            assert!(!heard(&behind, Law::Ulaw).contains(&Sound::Beep), "without a voice");
        }
    }
}

#[test]
fn the_noise_of_a_line_is_quiet() {
    let mut dice = 1_u32;
    let mut noise = |amplitude: i32| -> Vec<i16> {
        let mut next = || {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((dice >> 16) as i32 % (2 * amplitude + 1) - amplitude) as i16
        };
        (0..80_000).map(|_| next()).collect()
    };
    // About -44 and -37 dBm0.
    assert_eq!(heard(&noise(180), Law::Ulaw), [Sound::Quiet]);
    assert_eq!(heard(&noise(400), Law::Ulaw), [Sound::Quiet]);
}
