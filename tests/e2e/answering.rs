//! Who answers is not always a person: mailboxes, fax machines, announcements of the network, and
//! lines that send back what they are sent. None of them approves.

use std::f64::consts::TAU;
use std::path::Path;

use octothorpe::media::prompt::Pack;
use serde_json::{Value, json};

use crate::call::call;
use crate::keys::lab_phone;
use crate::tools::side_by_side;

/// What is played, one after the other.
#[derive(Clone, Copy)]
enum Sound {
    /// Sines in Hz, at -15 dBm0 each, for so many milliseconds.
    Sines(&'static [f64], usize),
    /// A phrase of the pack.
    Phrase(&'static str),
}

use Sound::{Phrase, Sines};

const POUND: &[f64] = &[941.0, 1_477.0];

/// Who answers, and what must be told of them.
struct Row {
    name: &'static str,
    sounds: &'static [Sound],
    /// Status, reason and exit code.
    verdict: (&'static str, &'static str, i32),
    /// The label and its cue.
    label: (&'static str, &'static str),
}

const ROWS: &[Row] = &[
    Row {
        name: "a mailbox",
        sounds: &[Sines(&[], 500), Phrase("sorry"), Phrase("goodbye")],
        verdict: ("failed", "voicemail", 4),
        label: ("machine", "beep"),
    },
    Row {
        name: "a mailbox that presses # before it is asked",
        sounds: &[
            Sines(&[], 200),
            Sines(POUND, 100),
            Sines(&[], 300),
            Sines(POUND, 100),
            Sines(&[], 300),
            Sines(POUND, 100),
            Sines(&[], 300),
            Phrase("sorry"),
            Phrase("goodbye"),
        ],
        verdict: ("failed", "voicemail", 4),
        label: ("machine", "beep"),
    },
    Row {
        name: "a fax machine",
        sounds: &[Sines(&[], 1_000), Sines(&[2_100.0], 3_000)],
        verdict: ("failed", "fax", 4),
        label: ("fax", "ced"),
    },
    Row {
        name: "a busy tone after the answer",
        sounds: &[
            Sines(&[480.0, 620.0], 500),
            Sines(&[], 500),
            Sines(&[480.0, 620.0], 500),
            Sines(&[], 500),
            Sines(&[480.0, 620.0], 500),
        ],
        verdict: ("failed", "busy", 4),
        label: ("busy", "busy_tone"),
    },
    Row {
        name: "an announcement of a vacant number",
        sounds: &[
            Sines(&[913.8], 274),
            Sines(&[1_370.6], 274),
            Sines(&[1_776.7], 380),
            Phrase("sorry"),
        ],
        verdict: ("failed", "invalid_number", 4),
        label: ("sit", "vacant"),
    },
];

/// The lab phone plays a beep behind it.
fn write(path: &Path, sounds: &[Sound]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let pack = Pack::english().unwrap();
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    for sound in sounds {
        match sound {
            Sines(sines, millis) => {
                for n in 0..millis * 8 {
                    let time = n as f64 / 8_000.0;
                    let sum: f64 = sines.iter().map(|hertz| (TAU * hertz * time).sin()).sum();
                    file.write_sample((4_045.0 * sum) as i16).unwrap();
                }
            }
            Phrase(name) => {
                let phrase = pack.phrase(pack.find(name).unwrap()).unwrap();
                for sample in phrase.samples() {
                    file.write_sample(*sample).unwrap();
                }
            }
        }
    }
    file.finalize().unwrap();
}

/// Writes what a mailbox says.
pub(crate) fn mailbox(path: &Path) {
    write(path, ROWS[0].sounds);
}

#[test]
fn no_machine_approves_and_each_is_called_by_its_name() {
    side_by_side(
        ROWS.len(),
        ROWS,
        |row| row.name.to_owned(),
        |row| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("greeting.wav");
            write(&path, row.sounds);
            let (_phone, port) = lab_phone(&["--voicemail", path.to_str().unwrap()]);
            let (told, ladder) = call(port, &[], row.verdict.2);
            let (status, reason, _) = row.verdict;
            let (is, cue) = row.label;
            assert_eq!((&told["status"], &told["reason"]), (&json!(status), &json!(reason)));
            let label = &told["attempts"][0]["label"];
            assert_eq!((&label["is"], &label["cue"]), (&json!(is), &json!(cue)), "{told}");
            assert!(label["score"].as_f64().is_some_and(|it| (0.5..=1.0).contains(&it)), "{told}");
            assert!(ladder.contains(&format!("{is} ({cue}, ")), "{ladder}");
        },
    );
}

/// How many calls go to a line that reflects; `OCTOTHORPE_ECHO_CALLS` says otherwise.
const CALLS: usize = 12;

#[test]
fn a_reflecting_line_never_approves_and_is_called_an_echo() {
    let calls = std::env::var("OCTOTHORPE_ECHO_CALLS").ok().and_then(|it| it.parse().ok());
    let calls: Vec<usize> = (0..calls.unwrap_or(CALLS)).collect();
    side_by_side(
        24,
        &calls,
        |n| format!("call {n}"),
        |n| {
            // 20 ms to 1 s, 0 to 12 dB: each in another order.
            let (delay, loss) = (20 + n * 317 % 981, n * 5 % 13);
            let (delay, loss) = (delay.to_string(), loss.to_string());
            let (_phone, port) = lab_phone(&["--reflect", &delay, "--reflect-loss", &loss]);
            let (told, ladder) = call(port, &[], 4);
            let attempt = &told["attempts"][0];
            let what = (&told["status"], &told["reason"], &attempt["label"]["is"]);
            let wanted = (&json!("failed"), &json!("echo"), &json!("echo"));
            assert_eq!(what, wanted, "{delay} ms, {loss} dB: {told}\n{ladder}");
            assert_eq!(attempt["press"], Value::Null);
        },
    );
}
