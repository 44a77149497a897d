//! Extensions, by the real binary against the lab phone as an auto-attendant, whose delays change from
//! call to call. `OCTOTHORPE_ATTENDANT_CALLS=100 cargo test --release --test e2e extension` is the
//! long run.

use octothorpe::media::prompt::Pack;
use serde_json::json;

use crate::call::call;
use crate::keys::lab_phone;
use crate::tools::side_by_side;

/// How many calls reach a person.
fn calls() -> usize {
    let asked = std::env::var("OCTOTHORPE_ATTENDANT_CALLS");
    asked.ok().map_or(12, |calls| calls.parse().expect("OCTOTHORPE_ATTENDANT_CALLS is a number"))
}

/// Of how many at a time: each is silent for most of its half minute.
const TOGETHER: usize = 24;

#[test]
fn the_person_behind_an_attendant_is_reached_by_every_call() {
    let numbers: Vec<usize> = (0..calls()).collect();
    side_by_side(
        TOGETHER,
        &numbers,
        |number| format!("call {number}"),
        |number| {
            // Keys go as tones where the far end takes no telephone-events.
            let by_tones: &[&str] =
                if number % 4 == 3 { &["--no-events", "--by", "inband"] } else { &[] };
            let attendant = ["--attendant", "built-in", "--press", "#", "--press-after", "10"];
            let (phone, port) = lab_phone(&[&attendant[..], by_tones].concat());
            let (told, ladder) = call(port, &["--extension", "204"], 0);
            assert_eq!(told["reason"], json!("confirmed"), "{told}");
            assert_eq!(told["extension"], json!("••4"));
            assert_eq!(ladder.matches("dials the extension").count(), 1, "{ladder}");
            let heard = phone.stdout();
            let place = |what: &str| heard.find(what).unwrap_or_else(|| panic!("{what}: {heard}"));
            assert!(place("\"key\":\"2\"") < place("\"lifted\""), "{heard}");
        },
    );
}

#[test]
fn what_is_behind_the_extension_in_place_of_a_person_is_told() {
    let rows = [
        ("205", "busy", "the extension is busy"),
        ("206", "voicemail", "a mailbox answered at the extension"),
        ("207", "no_answer", "nobody answered at the extension"),
        ("299", "bad_extension", "the number knows no such extension"),
    ];
    side_by_side(
        TOGETHER,
        &rows,
        |(extension, ..)| (*extension).to_owned(),
        |(extension, reason, detail)| {
            let (_phone, port) = lab_phone(&["--attendant", "built-in", "--press", "#"]);
            let (told, ladder) = call(port, &["--extension", extension], 4);
            assert_eq!((&told["status"], &told["reason"]), (&json!("failed"), &json!(reason)));
            assert_eq!(told["attempts"][0]["detail"], json!(detail));
            assert!(!ladder.contains("says"), "nobody is spoken to: {ladder}");
        },
    );
}

#[test]
fn an_attendant_speaks_from_a_file_and_a_fixed_pause_takes_the_place_of_listening() {
    let pack = Pack::english().unwrap();
    let greeting = pack.phrase(pack.find("greeting").unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("menu.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&file, spec).unwrap();
    greeting.samples().iter().for_each(|sample| wav.write_sample(*sample).unwrap());
    wav.finalize().unwrap();
    // It is done with its 1.4 s after 4.4 s at most, and waits 6 s for keys.
    let (_phone, port) =
        lab_phone(&["--attendant", file.to_str().unwrap(), "--press", "#", "--press-after", "10"]);
    let (told, _) = call(port, &["--extension", ",,W204"], 0);
    assert_eq!(told["reason"], json!("confirmed"), "{told}");
}
