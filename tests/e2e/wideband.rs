//! Calls in G.722: with the lab phone, and with baresip, whose codec is that of libspandsp.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use octothorpe::media::g711::FRAME;
use octothorpe::media::prompt::{Pack, active_level};
use serde_json::json;

use crate::baresip::Baresip;
use crate::call::call;
use crate::keys::lab_phone;
use crate::tools::side_by_side;

/// Reads a recording, at whatever rate.
fn read(path: &Path) -> (u32, Vec<i16>) {
    let mut wav = hound::WavReader::open(path).unwrap();
    (wav.spec().sample_rate, wav.samples().map(Result::unwrap).collect())
}

/// The first words that were heard are those of the greeting, and as loud as they are in the pack. What is heard after
/// them depends on when the key comes.
fn is_the_prompt(heard: &[i16]) {
    let pack = Pack::english().unwrap();
    let said = spoken(pack.get("greeting").unwrap().samples());
    let heard = spoken(heard);
    let first = FRAME * 40;
    let [heard, said] = [&heard, &said].map(|it| active_level(&it[..first]).unwrap());
    assert!((heard - said).abs() < 1.0, "{heard:.1} dBm0 was heard, and {said:.1} dBm0 was said");
}

/// The frames of a recording in which somebody speaks.
fn spoken(samples: &[i16]) -> Vec<i16> {
    let frames = samples.chunks_exact(FRAME);
    frames.filter(|frame| active_level(frame).is_some()).flatten().copied().collect()
}

/// How the keys are pressed, whether media are encrypted, and what is told of it.
struct Row {
    phone: &'static [&'static str],
    srtp: &'static str,
    paths: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row { phone: &[], srtp: "off", paths: &["rfc4733"] },
    Row { phone: &["--by", "inband"], srtp: "off", paths: &["inband"] },
    Row { phone: &["--by", "inband", "--level=-25"], srtp: "off", paths: &["inband"] },
    Row { phone: &["--by", "rtp"], srtp: "off", paths: &["rfc4733", "inband"] },
    Row { phone: &["--by", "inband"], srtp: "required", paths: &["inband"] },
];

#[test]
fn a_phone_that_takes_g722_hears_the_prompt_and_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    side_by_side(
        ROWS.len(),
        ROWS,
        |row| format!("{:?}, srtp {}", row.phone, row.srtp),
        |row| {
            let name = row.phone.concat() + row.srtp;
            let [theirs, ours] =
                ["theirs", "ours"].map(|of| folder.path().join(format!("{name}-{of}.wav")));
            let record = theirs.to_str().unwrap();
            let phone = [
                &["--codec", "g722", "--srtp", row.srtp, "--press", "#", "--record", record],
                row.phone,
            ];
            let (phone, port) = lab_phone(&phone.concat());
            let more =
                ["--codecs", "g722,pcma", "--srtp", row.srtp, "--wav", ours.to_str().unwrap()];
            let (told, ladder) = call(port, &more, 0);
            assert_eq!(told["reason"], "confirmed", "{told}\n{ladder}");
            assert_eq!(told["attempts"][0]["press"]["path"], json!(row.paths), "{told}");
            drop(phone);
            for path in [theirs, ours] {
                let (rate, heard) = read(&path);
                assert_eq!(rate, 8_000);
                is_the_prompt(&heard);
            }
        },
    );
}

#[test]
fn a_phone_without_g722_is_called_in_g711() {
    let (_phone, port) = lab_phone(&["--codec", "pcma", "--press", "#", "--by", "inband"]);
    let (told, ladder) = call(port, &["--codecs", "g722,pcma"], 0);
    assert_eq!(told["reason"], "confirmed", "{told}\n{ladder}");
    let (_phone, port) = lab_phone(&["--codec", "g722", "--press", "#"]);
    let (told, _) = call(port, &[], 4);
    assert_eq!(told["attempts"][0]["sip_status"], 488, "it was not offered: {told}");
}

/// A voice of 16 kHz: silence, with a pound key as tones for 100 ms in it or without one.
fn voice(folder: &Path, presses: bool) -> PathBuf {
    let path = folder.join("voice.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&path, spec).unwrap();
    let second = 16_000;
    for n in 0..12 * second {
        let time = f64::from(n) / f64::from(second);
        let is_pressed = presses && (5 * second..5 * second + second / 10).contains(&n);
        let tones = (TAU * 941.0 * time).sin() + (TAU * 1_477.0 * time).sin();
        wav.write_sample(if is_pressed { (4_000.0 * tones) as i16 } else { 0 }).unwrap();
    }
    wav.finalize().unwrap();
    path
}

/// The recording that baresip makes of what it hears.
fn recording(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let heard = |path: &PathBuf| path.to_str().unwrap().ends_with("-dec.wav");
    files.into_iter().find(heard).expect("baresip records what it hears")
}

#[test]
fn baresip_takes_g722_and_is_heard_by_either_way() {
    for (srtp, encryption) in [("off", ""), ("required", ";mediaenc=srtp-mand")] {
        for by_tones in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let voice = voice(folder.path(), by_tones);
            let mut phone = Baresip::with(
                encryption,
                &format!(
                    "audio_source aufile,{}\n\
                     ausrc_srate 16000\n\
                     ausrc_channels 1\n\
                     module g722.so\n\
                     module aufile.so\n\
                     module sndfile.so\n\
                     snd_path {}\n",
                    voice.display(),
                    folder.path().display(),
                ),
            );
            let port = phone.port();
            let (told, ladder) = std::thread::scope(|scope| {
                scope.spawn(|| {
                    phone.event("CALL_ESTABLISHED");
                    std::thread::sleep(std::time::Duration::from_secs(4));
                    if !by_tones {
                        phone.command("sndcode", "#");
                    }
                    phone.event("CALL_CLOSED");
                });
                call(port, &["--codecs", "g722,pcma", "--srtp", srtp], 0)
            });
            assert_eq!(told["reason"], "confirmed", "{told}\n{ladder}");
            let path = if by_tones { "inband" } else { "rfc4733" };
            assert_eq!(told["attempts"][0]["press"]["path"], json!([path]), "{told}");
            drop(phone);
            let (rate, heard) = read(&recording(folder.path()));
            assert_eq!(rate, 16_000, "it was decoded as G.722");
            // Every second sample: what we say has nothing above 4 kHz.
            let heard: Vec<i16> = heard.into_iter().step_by(2).collect();
            is_the_prompt(&heard);
        }
    }
}
