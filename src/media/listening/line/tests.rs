//! Each label by what it is made of: tones by their sums of sines, speech by the phrases of a pack.

use std::f32::consts::TAU;

use super::*;
use crate::media::codec::Codec;
use crate::media::g711::{FRAME, Law, RATE};
use crate::media::prompt::Pack;

/// Sines, each (Hz, dBm0), for so many milliseconds.
fn tone(sines: &[(f32, f32)], millis: u32) -> Vec<i16> {
    let sample = |n: u32| {
        let time = n as f32 / RATE as f32;
        let sine = |(hertz, level): &(f32, f32)| {
            32_767.0 * 10_f32.powf((level - 3.17) / 20.0) * (TAU * hertz * time).sin()
        };
        sines.iter().map(sine).sum::<f32>() as i16
    };
    (0..millis * 8).map(sample).collect()
}

fn silence(millis: u32) -> Vec<i16> {
    tone(&[], millis)
}

/// Speech of about so many milliseconds, without a pause of 0.2 s in it.
fn speech(millis: u32) -> Vec<i16> {
    let pack = Pack::english().unwrap();
    let phrase = pack.find("ask").unwrap();
    let frames = (0..).map_while(|n| pack.frame(phrase, Codec::PCMU, n));
    let samples: Vec<i16> = frames.flatten().map(|code| Law::Ulaw.decode(*code)).collect();
    // Its pauses are cut to a frame or two.
    let mut quiet = 0;
    let mut dense = Vec::new();
    for frame in samples.chunks_exact(FRAME) {
        let level = super::super::sound::level(frame.first_chunk().unwrap());
        quiet = if level < SPEECH { quiet + 1 } else { 0 };
        if quiet < 6 {
            dense.extend(frame);
        }
    }
    dense.into_iter().cycle().skip(8 * 200).take(millis as usize * 8).collect()
}

/// All that is told of these sounds, through µ-law.
fn labels(sounds: &[Vec<i16>]) -> Vec<(Is, Cue)> {
    let mut line = Line::default();
    let samples: Vec<i16> =
        sounds.iter().flatten().map(|it| Law::Ulaw.decode(Law::Ulaw.encode(*it))).collect();
    let frames = samples.chunks_exact(FRAME);
    let told =
        frames.filter_map(|frame| line.heard(Frame::of(frame.first_chunk().unwrap()), false));
    told.map(|label| (label.is, label.cue)).collect()
}

/// A sound again and again.
fn again(times: usize, sounds: &[Vec<i16>]) -> Vec<Vec<i16>> {
    (0..times).flat_map(|_| sounds.to_vec()).collect()
}

#[test]
fn a_word_and_a_pause_is_a_person() {
    let human = [(Is::Human, Cue::ShortGreeting)];
    for length in [300, 700, 1_500] {
        assert_eq!(labels(&[silence(400), speech(length), silence(3_000)]), human, "{length}");
    }
    assert_eq!(labels(&[silence(400), speech(700), silence(600)]), [], "not yet");
}

#[test]
fn a_long_greeting_is_a_machine_and_a_beep_makes_it_sure() {
    let long = (Is::Machine, Cue::LongGreeting);
    let beep = (Is::Machine, Cue::Beep);
    assert_eq!(labels(&[silence(300), speech(6_000)]), [long]);
    for (hertz, millis) in
        [(440.0, 400), (800.0, 150), (1_000.0, 500), (1_400.0, 1_000), (1_100.0, 500)]
    {
        let told =
            labels(&[speech(4_000), silence(300), tone(&[(hertz, -12.0)], millis), silence(1_200)]);
        assert_eq!(told, [long, beep], "{hertz} Hz for {millis} ms");
    }
    // One that is short, and beeps.
    let told = labels(&[speech(1_500), silence(200), tone(&[(1_000.0, -12.0)], 300), silence(500)]);
    assert_eq!(told, [beep]);
}

#[test]
fn what_is_no_beep_makes_no_machine() {
    let human = [(Is::Human, Cue::ShortGreeting)];
    // Too long, before anybody spoke, a key, two steps of a melody.
    for sounds in [
        &[speech(1_000), silence(1_000), tone(&[(1_000.0, -12.0)], 3_000), silence(500)][..],
        &[tone(&[(1_000.0, -12.0)], 400), silence(300), speech(700), silence(1_000)],
        &[
            speech(1_000),
            silence(1_000),
            tone(&[(770.0, -10.0), (1_336.0, -8.0)], 300),
            silence(500),
        ],
    ] {
        assert_eq!(labels(sounds), human);
    }
}

#[test]
fn nobody_who_speaks_is_silence_and_steady_noise_is_nobody() {
    let nobody = [(Is::Silence, Cue::NoSpeech)];
    assert_eq!(labels(&[silence(8_000)]), nobody);
    let mut dice = 1_u32;
    let noise: Vec<i16> = (0..80_000)
        .map(|_| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((dice >> 16) % 1_000) as i16 - 500
        })
        .collect();
    assert_eq!(labels(&[silence(100), noise]), []);
}

#[test]
fn fax_machines_are_known_by_either_tone_and_by_their_event() {
    let cng = again(2, &[tone(&[(1_100.0, -15.0)], 500), silence(3_000)]);
    assert_eq!(labels(&cng), [(Is::Fax, Cue::Cng)]);
    assert_eq!(labels(&[silence(300), tone(&[(2_100.0, -12.0)], 2_600)]), [(Is::Fax, Cue::Ced)]);
    // ITU-T V.8: the answer tone turns its phase every 450 ms.
    let mut turning = Vec::new();
    for turn in 0..5 {
        let part = tone(&[(2_100.0, -12.0)], 450).into_iter();
        turning.extend(part.map(|it| if turn % 2 == 0 { it } else { -it }));
    }
    assert_eq!(labels(&[turning]), [(Is::Fax, Cue::Ced)]);
    let mut line = Line::default();
    assert_eq!(line.fax(), Some(Label { is: Is::Fax, score: 95, cue: Cue::Event }));
    assert_eq!(line.fax(), None, "it is told once");
}

#[test]
fn special_information_tones_tell_a_vacant_number_from_a_busy_network() {
    let sit = |first: f32, second: f32, millis: [u32; 2]| {
        labels(&[
            silence(200),
            tone(&[(first, -14.0)], millis[0]),
            tone(&[(second, -14.0)], millis[1]),
            tone(&[(1_776.7, -14.0)], 380),
            silence(200),
            speech(3_000),
        ])
    };
    let sure = |cue| [(Is::Sit, cue), (Is::Machine, Cue::LongGreeting)];
    for (first, second, millis, cue) in [
        (913.8, 1_370.6, [274, 274], Cue::Vacant),
        (985.2, 1_370.6, [380, 274], Cue::Vacant),
        (913.8, 1_428.5, [274, 380], Cue::NoCircuit),
        (985.2, 1_428.5, [380, 380], Cue::NoCircuit),
        (950.0, 1_400.0, [330, 330], Cue::NoCircuit),
    ] {
        let told = sit(first, second, millis);
        assert_eq!(told.first(), sure(cue).first(), "{first} {second}");
    }
    // In another order it is a melody.
    let melody = [
        tone(&[(1_776.7, -14.0)], 330),
        tone(&[(1_370.6, -14.0)], 330),
        tone(&[(913.8, -14.0)], 330),
        silence(500),
    ];
    assert_eq!(labels(&melody), []);
}

#[test]
fn tones_that_come_and_go_are_busy_reorder_and_ringback() {
    let american = [(480.0, -24.0), (620.0, -24.0)];
    let european = [(425.0, -15.0)];
    for tones in [&american[..], &european] {
        let busy = again(4, &[tone(tones, 500), silence(500)]);
        assert_eq!(labels(&busy), [(Is::Busy, Cue::BusyTone)], "{tones:?}");
        let reorder = again(6, &[tone(tones, 250), silence(250)]);
        assert_eq!(labels(&reorder), [(Is::Busy, Cue::ReorderTone)], "{tones:?}");
    }
    let ringback = (Is::Ringback, Cue::RingbackTone);
    let american = again(2, &[tone(&[(440.0, -19.0), (480.0, -19.0)], 2_000), silence(4_000)]);
    assert_eq!(labels(&american), [ringback]);
    let european = again(2, &[tone(&[(425.0, -15.0)], 1_000), silence(4_000)]);
    assert_eq!(labels(&european), [ringback]);
    // Somebody takes the call that was led on.
    let taken = [&european[..], &[speech(700), silence(1_500)]].concat();
    assert_eq!(labels(&taken), [ringback, (Is::Human, Cue::ShortGreeting)]);
}

#[test]
fn who_says_the_same_again_after_a_wait_wants_an_answer() {
    let asks = [speech(4_000), silence(4_000), speech(4_000), silence(2_000)];
    let long = (Is::Machine, Cue::LongGreeting);
    assert_eq!(labels(&asks), [long, (Is::Screening, Cue::Repeats)]);
    let other: Vec<i16> = speech(9_000).into_iter().skip(8 * 4_900).collect();
    assert_eq!(labels(&[speech(4_000), silence(4_000), other, silence(2_000)]), [long]);
}

#[test]
fn our_own_voice_is_nobodys() {
    let mut line = Line::default();
    for frame in speech(8_000).chunks_exact(FRAME) {
        let found = line.heard(Frame::of(frame.first_chunk().unwrap()), true);
        assert!(found.is_none_or(|it| it.is == Is::Silence), "{found:?}");
    }
}
