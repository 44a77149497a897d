//! What the callee hears: every prompt of every pack that is compiled in, measured.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "prompts/digits.rs"]
mod digits;

use std::time::Duration;

use octothorpe::media::g711::{Law, level_dbm0};
use octothorpe::media::prompt::{Pack, Phrase, Prompts, active_level};
use octothorpe::media::tones::{Heard, Processor, Receiver};

/// 5 ms at 8 kHz.
const STEP: usize = 40;

fn each(judge: impl Fn(&Pack, &str, &Phrase, &[i16])) {
    let prompts = Prompts::compiled().expect("they are compiled in");
    for (_, about) in prompts.about() {
        let pack = prompts.speaking(None, &about.locale).expect("it can be decoded");
        for name in pack.names() {
            let phrase = pack.get(name).expect("it is named");
            let samples: Vec<i16> =
                phrase.ulaw.iter().map(|&octet| Law::Ulaw.decode(octet)).collect();
            judge(&pack, name, phrase, &samples);
        }
    }
}

#[test]
fn every_prompt_is_at_minus_16_dbm0_without_clipping() {
    each(|pack, name, _, samples| {
        let locale = &pack.about.locale;
        let level = active_level(samples).expect("somebody speaks");
        assert!((level + 16.0).abs() <= 0.5, "{locale} {name} is at {level:.1} dBm0");
        let peak = samples.iter().map(|s| i32::from(*s).abs()).max().unwrap_or_default();
        assert!(peak < 23_197, "{locale} {name} has a peak of {peak}: above -3 dBFS");
    });
}

#[test]
fn silence_is_trimmed() {
    each(|pack, name, _, samples| {
        let locale = &pack.about.locale;
        let sound = |block: &[i16]| level_dbm0(block) >= -48.0;
        let first = samples.chunks_exact(STEP).position(sound).expect("it is not silence");
        assert!(first <= 8, "{locale} {name} begins with {} ms of silence", 5 * first);
        let last = samples.chunks_exact(STEP).rev().position(sound).expect("it is not silence");
        // What fills the last frame is silence, too.
        assert!(last <= 20, "{locale} {name} ends with {} ms of silence", 5 * last);
    });
}

#[test]
fn the_greeting_is_short_and_no_question_is_long() {
    each(|pack, name, phrase, _| {
        let longest = match name {
            // The ask begins before people have hung up, or pressed.
            "greeting" => 3_500,
            "pound" | "star" => 1_400,
            _ if name.starts_with("digit_") => 900,
            _ => 13_000,
        };
        let locale = &pack.about.locale;
        assert!(phrase.length <= Duration::from_millis(longest), "{locale} {name}: {phrase:?}");
    });
    let prompts = Prompts::compiled().expect("they are compiled in");
    let english = prompts.first().expect("it can be decoded");
    let length = |name| english.get(name).expect("it is there").length;
    assert!(length("greeting") < Duration::from_millis(1_600));
    assert!(length("ask") < Duration::from_secs(8));
}

/// What the receiver of keys hears in a prompt as it goes over the line.
fn keys(samples: &[i16]) -> Vec<Heard> {
    let mut receiver = Receiver::new(Processor::best());
    let mut heard = Vec::new();
    receiver.samples(samples, &mut heard);
    receiver.samples(&[0; 1_600], &mut heard);
    heard
}

#[test]
fn no_prompt_contains_a_dtmf_tone() {
    each(|pack, name, _, samples| {
        let heard = keys(samples);
        assert!(heard.is_empty(), "{} {name} presses {heard:?}", pack.about.locale);
    });
    let pound: Vec<i16> = (0..800)
        .map(|n| {
            let phase = |hz: f64| (std::f64::consts::TAU * hz * f64::from(n) / 8_000.0).sin();
            #[expect(clippy::cast_possible_truncation, reason = "it is within ±6000")]
            let sample = (3_000.0 * (phase(941.0) + phase(1_477.0))) as i16;
            Law::Ulaw.decode(Law::Ulaw.encode(sample))
        })
        .collect();
    assert!(!keys(&pound).is_empty(), "the receiver of this test is deaf");
}

#[test]
fn a_code_that_a_pack_reads_out_is_recognised_again_in_what_was_heard() {
    let prompts = Prompts::compiled().expect("they are compiled in");
    for (_, about) in prompts.about() {
        let pack = prompts.speaking(None, &about.locale).expect("it can be decoded");
        let code = "4027193586";
        let mut heard = vec![0; 700];
        let mut say = |name: &str, pause: usize| {
            let phrase = pack.get(name).expect("it is there");
            heard.extend(phrase.alaw.iter().map(|&octet| Law::Alaw.decode(octet)));
            heard.extend(std::iter::repeat_n(0, 8 * pause));
        };
        say("code_is", 240);
        for (n, digit) in code.chars().enumerate() {
            let end = if n + 1 == code.len() { "_f" } else { "" };
            say(&format!("digit_{digit}{end}"), if n == 2 { 400 } else { 250 });
        }
        // Quieter, with another companding: as a line makes it.
        let heard: Vec<i16> = heard.iter().map(|&sample| sample / 2).collect();
        assert_eq!(digits::heard(&pack, &heard), code, "{}", about.locale);
    }
}

/// A second of tones in stereo at 44.1 kHz.
fn recorded(path: &std::path::Path, tones: &[f64]) {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 44_100,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).expect("a file");
    for n in 0..44_100 {
        let wave = |hz: &f64| (std::f64::consts::TAU * hz * f64::from(n) / 44_100.0).sin();
        #[expect(clippy::cast_possible_truncation, reason = "it is within ±20000")]
        let sample = (9_000.0 * tones.iter().map(wave).sum::<f64>()) as i16;
        wav.write_sample(sample).expect("a sample");
        wav.write_sample(sample).expect("a sample");
    }
    wav.finalize().expect("a file");
}

/// What `octothorpe prompts` says, and its exit code.
fn prompts(args: &[&str]) -> (String, Option<i32>) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_octothorpe"));
    let done = command.arg("prompts").args(args).output().expect("it runs");
    let said = [done.stdout, done.stderr].concat();
    (String::from_utf8_lossy(&said).into_owned(), done.status.code())
}

#[test]
fn recordings_are_made_to_fit_and_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (studio, out) = (at("studio"), at("out"));
    std::fs::create_dir(&studio).expect("a folder");
    let (studio, out) = (studio.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    recorded(&at("studio/greeting.wav"), &[400.0]);
    let from = ["build", "--from", studio, "--locale", "es-MX", "--out", out];
    recorded(&at("studio/ask.wav"), &[941.0, 1_477.0]);
    let (said, code) = prompts(&from);
    assert!(said.contains("ask                a key is heard in it (#)"), "{said}");
    assert_eq!((code, at("out").exists()), (Some(2), false));
    std::fs::remove_file(at("studio/ask.wav")).expect("it is there");
    let (said, code) = prompts(&from);
    assert_eq!(code, Some(0), "{said}");
    // A program that speaks: it copies what was recorded.
    let speaks = format!("cp {studio}/greeting.wav {{out}}");
    let brand =
        ["build", "--brand", "Contoso", "--tts", &speaks, "--locale", "es-MX", "--out", out];
    let (said, code) = prompts(&brand);
    assert_eq!(code, Some(0), "{said}");
    let manifest = std::fs::read_to_string(at("out/es-MX/manifest.toml")).expect("it is there");
    assert!(
        manifest.contains("Le llama Contoso para verificar su inicio de sesión."),
        "{manifest}"
    );
    let (said, code) = prompts(&["check", out]);
    assert!(said.contains("brand_contoso") && said.contains("all 42 phrases"), "{said}");
    assert_eq!((said.matches("  OK\n").count(), code), (2, Some(0)), "{said}");
    std::fs::write(at("out/es-MX/greeting.wav"), "RIFF").expect("it is there");
    let (said, code) = prompts(&["check", out]);
    assert!(said.contains("greeting.wav       SHA-256 is "), "{said}");
    assert_eq!(code, Some(2));
    let (said, code) = prompts(&["check"]);
    assert_eq!(code, Some(0), "{said}");
}
