//! `octothorpe call` against every phone that there is: verdict, exit code, and signalling that
//! SIPp is content with.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pcap::{POUND, Sound};
use crate::sipp::Sipp;
use crate::tools::{NUMBER, Process, SIP_PASSWORD, octothorpe, side_by_side};

/// The environment variable that holds the trunk's password.
const PASSWORD: &str = "OCTOTHORPE_E2E_SIP_PASSWORD";

const CREDENTIALS: [&str; 4] =
    ["--username", "gateway", "--password", "env:OCTOTHORPE_E2E_SIP_PASSWORD"];

/// A phone, and what must be said of it.
struct Row {
    /// What the phone does.
    phone: &'static str,
    /// The scenario in `sipp/`.
    scenario: &'static str,
    /// What it plays.
    sound: Sound,
    /// More arguments for `octothorpe call`.
    call: &'static [&'static str],
    /// Status, reason and exit code.
    verdict: (&'static str, &'static str, i32),
    /// The last SIP status that said something new.
    sip_status: u64,
}

const CONFIRMED: (&str, &str, i32) = ("approved", "confirmed", 0);
const NO_INPUT: (&str, &str, i32) = ("expired", "no_input", 3);

/// A phone that answers, listens for 3 s, and plays `sound`.
const fn press(
    phone: &'static str,
    sound: Sound,
    verdict: (&'static str, &'static str, i32),
) -> Row {
    Row { phone, scenario: "press", sound, call: &[], verdict, sip_status: 200 }
}

/// A phone that presses nothing by itself.
const fn other(
    phone: &'static str,
    scenario: &'static str,
    verdict: (&'static str, &'static str, i32),
    sip_status: u64,
) -> Row {
    let sound = Sound::Keys(&[POUND]);
    Row { phone, scenario, sound, call: &[], verdict, sip_status }
}

/// A phone that challenges, and a caller that knows the password.
const fn challenge(phone: &'static str, scenario: &'static str) -> Row {
    Row { call: &CREDENTIALS, ..other(phone, scenario, CONFIRMED, 200) }
}

const ROWS: &[Row] = &[
    press("presses # after 3 s", Sound::Keys(&[POUND]), CONFIRMED),
    press("# with the first and the last packets lost", Sound::Lossy, CONFIRMED),
    press("# without end packets", Sound::NoEnd, CONFIRMED),
    press("# with every packet doubled", Sound::Doubled, CONFIRMED),
    press("# with packets reordered", Sound::Reordered, CONFIRMED),
    press("5 then #", Sound::Keys(&[5, POUND]), CONFIRMED),
    press("5 then 5", Sound::Keys(&[5, 5]), ("denied", "wrong_key", 1)),
    press("0 then #", Sound::Keys(&[0, POUND]), ("denied", "fraud_reported", 1)),
    press("answers and never presses", Sound::Tone, NO_INPUT),
    other("# only in early media", "early_media", NO_INPUT, 200),
    other("answers and sends nothing at all", "mute", ("failed", "media_lost", 4), 200),
    other("sends INFO, and one of them is #", "info", CONFIRMED, 200),
    other("answers and hangs up", "hang_up", ("failed", "hung_up", 4), 200),
    Row {
        call: &["--srtp", "required"],
        ..other("answers in the clear", "in_clear", ("failed", "carrier_error", 4), 200)
    },
    Row {
        call: &["--ring-timeout", "3"],
        ..other("never answers", "no_answer", ("failed", "no_answer", 4), 180)
    },
    other("is busy", "refuse_486", ("failed", "busy", 4), 486),
    other("declines", "refuse_603", ("failed", "rejected", 4), 603),
    other("is not there", "refuse_404", ("failed", "invalid_number", 4), 404),
    other("is out of reach", "refuse_480", ("failed", "unreachable", 4), 480),
    other("breaks on the way", "refuse_500", ("failed", "carrier_error", 4), 500),
    challenge("challenges with 401", "challenge_401"),
    challenge("challenges with 407", "challenge_407"),
    other("speaks 100rel and session timers", "reliable", CONFIRMED, 200),
    other("sends the call on to another of its users", "redirect", CONFIRMED, 200),
];

#[test]
fn every_phone_gets_its_verdict() {
    side_by_side(
        ROWS.len(),
        ROWS,
        |row| row.phone.to_owned(),
        |row| {
            let mut phone = Sipp::start(row.scenario, Duration::from_secs(3), row.sound);
            let (told, ladder) = call(phone.port(), row.call, row.verdict.2);
            if let Err(trace) = phone.content() {
                panic!("{trace}\nthe gateway: {told}\n{ladder}");
            }
            let (status, reason, _) = row.verdict;
            assert_eq!(
                (told["status"].as_str(), told["reason"].as_str()),
                (Some(status), Some(reason))
            );
            assert_eq!(told["to"], "+1******0123");
            let attempts = told["attempts"].as_array().unwrap();
            assert_eq!(attempts.len(), 1, "one call, whatever comes of it: {told}");
            let attempt = &attempts[0];
            assert_eq!(attempt["state"], "ended");
            // A 487 ends a call that nobody answered, and may stand there too.
            let seen = attempt["sip_status"].as_u64().unwrap_or_default();
            assert!(seen == row.sip_status || (row.sip_status == 180 && seen == 487), "{attempt}");
            if status == "approved" {
                let path = if row.scenario == "info" { "info" } else { "rfc4733" };
                assert_eq!(attempt["press"]["path"], json!([path]), "an approval has its proof");
            }
        },
    );
}

/// Ways that a call can go.
const WAYS: &[(&str, &str)] = &[("127.0.0.1", "tcp"), ("[::1]", "udp"), ("[::1]", "tcp")];

#[test]
fn a_call_is_approved_by_tcp_and_by_ipv6() {
    side_by_side(
        WAYS.len(),
        WAYS,
        |(ip, transport)| format!("{transport}:{ip}"),
        |(ip, transport)| {
            let sound = Sound::Keys(&[POUND]);
            let bare = ip.trim_matches(['[', ']']);
            let mut phone = Sipp::at((bare, transport), "press", Duration::from_secs(3), sound);
            let via = format!("sip:{ip}:{};transport={transport}", phone.port());
            let (told, ladder) = call_via(&via, &[], 0);
            if let Err(trace) = phone.content() {
                panic!("{trace}\nthe gateway: {told}\n{ladder}");
            }
            assert_eq!(told["reason"], "confirmed", "{told}");
            assert_eq!(ladder.contains(" by TCP"), *transport == "tcp", "{ladder}");
        },
    );
}

/// Calls the phone at this port; gives back the resource, and the ladder for whom it helps.
pub(crate) fn call(port: u16, more: &[&str], exit: i32) -> (Value, String) {
    call_via(&format!("sip:127.0.0.1:{port}"), more, exit)
}

/// The same by any URI.
fn call_via(via: &str, more: &[&str], exit: i32) -> (Value, String) {
    let mut command = octothorpe();
    command.args(["call", NUMBER, "--via", via, "--json"]).args(more).env(PASSWORD, SIP_PASSWORD);
    let mut call = Process::gateway(command);
    let status = call.wait("the call ends", Duration::from_secs(100));
    let (stdout, ladder) = (call.stdout(), call.stderr());
    let last = stdout.lines().last().unwrap_or_default();
    let told: Value = serde_json::from_str(last)
        .unwrap_or_else(|error| panic!("the last line is the resource: {error}: {stdout}{ladder}"));
    assert_eq!(status.code(), Some(exit), "exit code; {told}\n{ladder}");
    (told, ladder)
}
