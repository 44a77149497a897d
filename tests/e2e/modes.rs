//! Every mode of a call, by the real binary against the lab phone: what is asked, what answers it,
//! and that no PIN and no code is printed anywhere.

use std::path::Path;
use std::time::Duration;

use octothorpe::media::prompt::Pack;
use octothorpe::media::{Codec, Law};
use serde_json::{Value, json};

use crate::call::call;
use crate::serve::{Gateway, SOON};
use crate::tools::{NUMBER, Process, octothorpe, ports, side_by_side, wait_for};

/// A PIN and a code, long enough to be no other number by chance.
const SECRET: &str = "90417263";

/// How long a call may take.
const CALL: Duration = Duration::from_secs(60);

/// The lab phone, which presses these keys.
fn phone(keys: &str, record: Option<&Path>) -> (Process, u16) {
    let port = ports(2);
    let mut command = octothorpe();
    command.args(["phone", "--listen", &format!("udp:127.0.0.1:{port}"), "--json"]);
    // On a machine that is busy the question may begin late.
    command.args(["--answer-after", "0.3", "--press", keys, "--press-after", "5", "--calls", "1"]);
    if let Some(path) = record {
        command.arg("--record").arg(path);
    }
    let phone = Process::phone(command, "octothorpe");
    wait_for("the phone listens", SOON, || phone.stdout().contains("listening").then_some(()));
    (phone, port)
}

/// A call, what is pressed, and what comes of it.
struct Row {
    call: &'static [&'static str],
    keys: &'static str,
    verdict: (&'static str, &'static str, i32),
    assurance: &'static str,
}

const PIN: &[&str] = &["--mode", "pin", "--pin", SECRET];
const MATCH: &[&str] = &["--mode", "match", "--match", "27"];

const fn row(
    call: &'static [&'static str],
    keys: &'static str,
    verdict: (&'static str, &'static str, i32),
    assurance: &'static str,
) -> Row {
    Row { call, keys, verdict, assurance }
}

const ROWS: &[Row] = &[
    row(PIN, "90417263#", ("approved", "confirmed", 0), "possession+knowledge"),
    row(PIN, "9041*90417263#", ("approved", "confirmed", 0), "possession+knowledge"),
    row(PIN, "90417264#,,,90417263#", ("approved", "confirmed", 0), "possession+knowledge"),
    row(PIN, "90417264#,,,1111#", ("denied", "wrong_pin", 1), "possession+knowledge"),
    row(PIN, "0#", ("denied", "fraud_reported", 1), "possession+knowledge"),
    row(MATCH, "27#", ("approved", "confirmed", 0), "transferred_secret"),
    row(MATCH, "28#", ("denied", "wrong_key", 1), "transferred_secret"),
    row(MATCH, "#,,27#", ("approved", "confirmed", 0), "transferred_secret"),
    row(MATCH, "0#", ("denied", "fraud_reported", 1), "transferred_secret"),
    row(&[], "*,,#", ("approved", "confirmed", 0), "possession"),
    row(&["--mode", "code"], "0#", ("denied", "fraud_reported", 1), "transferred_secret"),
];

#[test]
fn each_mode_has_its_own_answers() {
    side_by_side(
        4,
        ROWS,
        |row| format!("{:?} {}", row.call, row.keys),
        |row| {
            let (_phone, port) = phone(row.keys, None);
            let (told, ladder) = call(port, row.call, row.verdict.2);
            let (status, reason, _) = row.verdict;
            assert_eq!(
                (&told["status"], &told["reason"]),
                (&json!(status), &json!(reason)),
                "{told}"
            );
            assert_eq!(told["assurance"], row.assurance);
            assert!(!ladder.contains(SECRET), "{ladder}");
            // Nor is it told key by key.
            let hidden = |line: &str| line.contains("heard key •") || line.contains("heard key #");
            let mut keys = ladder.lines().filter(|line| line.contains("heard key"));
            let enters = row.call.contains(&"pin") || row.call.contains(&"match");
            assert!(!enters || keys.all(hidden), "{ladder}");
        },
    );
}

#[test]
fn a_call_without_its_pin_is_no_call() {
    for (more, told) in [
        (&["--mode", "pin"][..], "--pin"),
        (&["--mode", "pin", "--pin", "482"], "4 to 16 digits"),
        (&["--pin", "4821"], "--mode pin"),
        (&["--mode", "match", "--match", "1"], "2 to 6 digits"),
        (&["--mode", "dance"], "confirm, pin, match or code"),
    ] {
        let mut command = octothorpe();
        command.args(["call", NUMBER, "--via", "sip:127.0.0.1:9"]).args(more);
        let mut process = Process::gateway(command);
        assert_eq!(process.wait("it ends", SOON).code(), Some(2), "{more:?}");
        assert!(process.stderr().contains(told), "{more:?}: {}", process.stderr());
    }
}

#[test]
fn a_pin_is_compared_and_never_told() {
    let (_phone, port) = phone("90417263#", None);
    let gateway = Gateway::start(port, None);
    gateway.hide(SECRET);
    let id = gateway.begin(&json!({"to": NUMBER, "mode": "pin", "pin": SECRET}));
    let settled = gateway.settles(&id, CALL);
    assert_eq!((&settled["status"], &settled["reason"]), (&json!("approved"), &json!("confirmed")));
    assert_eq!(settled["assurance"], "possession+knowledge");
    assert_eq!(settled["match"], Value::Null);
    assert!(!settled.to_string().contains(SECRET), "{settled}");
}

#[test]
fn digits_to_show_are_told_to_the_page_and_other_digits_end_the_call_alone() {
    let (mut phone, port) = phone("13579#", None);
    let gateway = Gateway::start(port, None);
    let id = gateway.begin(&json!({"to": NUMBER, "mode": "match"}));
    let begun = gateway.read(&id, "");
    let shown = begun["match"].as_str().unwrap().to_owned();
    assert_eq!((shown.len(), &begun["assurance"]), (3, &json!("transferred_secret")));
    let ended = wait_for("the attempt ends", CALL, || {
        let found = gateway.read(&id, "");
        (found["attempts"][0]["state"] == "ended").then_some(found)
    });
    assert_eq!(ended["status"], "pending", "another call may follow: {ended}");
    assert_eq!(ended["attempts"][0]["reason"], "wrong_key");
    assert_eq!(ended["match"], shown.as_str());
    // It says so, and hangs up.
    assert!(phone.wait("the phone has had its call", CALL).success());
}

#[test]
fn a_code_is_told_after_a_key_and_typed_into_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("heard.wav");
    let (mut phone, port) = phone("#", Some(&record));
    let gateway = Gateway::start(port, None);
    gateway.hide(SECRET);
    let id = gateway.begin(&json!({"to": NUMBER, "mode": "code", "code": SECRET}));
    // Both times are heard out, and the call ends by itself.
    assert!(phone.wait("the phone has had its call", CALL).success());
    let waiting = wait_for("the attempt ends", SOON, || {
        let found = gateway.read(&id, "");
        (found["attempts"][0]["state"] == "ended").then_some(found)
    });
    assert_eq!((&waiting["status"], &waiting["checks_left"]), (&json!("pending"), &json!(5)));
    assert_eq!(waiting["attempts"][0]["reason"], Value::Null, "{waiting}");
    let check = |code: &str| {
        gateway.post(&format!("/v1/verifications/{id}/check"), &json!({"code": code})).json()
    };
    assert_eq!(check("90417264")["matched"], false);
    let right = check(SECRET);
    assert_eq!((&right["matched"], &right["reason"]), (&json!(true), &json!("code_matched")));
    assert_eq!(right["assurance"], "transferred_secret");
    let mut wav = hound::WavReader::open(&record).unwrap();
    let heard: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    let starts = spoken(&heard, SECRET);
    println!("the code was heard {} times, from {starts:?} s on", starts.len());
    assert_eq!(starts.len(), 2, "{starts:?}");
    // The key was pressed 5 s after the ACK.
    assert!(starts[0] > 5.0, "{starts:?}");
}

#[test]
fn a_phone_that_presses_no_key_hears_no_code() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("heard.wav");
    // A mailbox whose greeting has other keys in it.
    let (mut phone, port) = phone("1,,,,,,,,,,,,2", Some(&record));
    let gateway = Gateway::start(port, None);
    gateway.hide(SECRET);
    let id = gateway.begin(&json!({"to": NUMBER, "mode": "code", "code": SECRET}));
    let settled = gateway.settles(&id, CALL);
    assert_eq!((&settled["status"], &settled["reason"]), (&json!("denied"), &json!("wrong_key")));
    assert!(phone.wait("the phone has had its call", CALL).success());
    let mut wav = hound::WavReader::open(&record).unwrap();
    let heard: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    assert!(heard.len() > 8_000 * 10, "it heard the question");
    for digit in SECRET.chars() {
        assert_eq!(spoken(&heard, &digit.to_string()), [0.0; 0], "{digit}");
    }
}

/// When these digits are heard, one after the other: by the very samples of the recordings, each of
/// which begins within half a second of the end of the one before.
fn spoken(heard: &[i16], digits: &str) -> Vec<f64> {
    let pack = Pack::english().unwrap();
    let count = digits.chars().count();
    let recordings: Vec<Vec<i16>> = digits
        .chars()
        .enumerate()
        .map(|(place, digit)| {
            let form = if count > 1 && place + 1 == count { "_f" } else { "" };
            let phrase = pack.phrase(pack.find(&format!("digit_{digit}{form}")).unwrap()).unwrap();
            phrase.codes(Codec::PCMU).iter().map(|code| Law::Ulaw.decode(*code)).collect()
        })
        .collect();
    let is_at = |at: usize, recording: &[i16]| {
        heard.get(at..at + recording.len()).is_some_and(|samples| samples == recording)
    };
    let mut starts = Vec::new();
    for start in 0..heard.len() {
        let mut at = start;
        let all = recordings.iter().enumerate().all(|(place, recording)| {
            let within = if place == 0 { 1 } else { 4_000 };
            let begins = (at..at + within).find(|begins| is_at(*begins, recording));
            at = begins.map_or(at, |begins| begins + recording.len());
            begins.is_some()
        });
        if all {
            #[expect(clippy::cast_precision_loss, reason = "a call is short")]
            starts.push(start as f64 / 8_000.0);
        }
    }
    starts
}
