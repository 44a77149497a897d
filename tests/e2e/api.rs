//! The HTTP API on the real binary: bad input is a problem with a stable code and never a call,
//! a half-sent head is closed, and a long poll answers when something changes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::client::{Answer, request};
use crate::phone::{Manner, Phone};
use crate::serve::{BEARER, Gateway, SOON};
use crate::tools::{NUMBER, wait_for};

#[test]
fn bad_input_is_a_problem_and_never_a_call() {
    let phone = Phone::start(Manner::Ring);
    let gateway = Gateway::start(phone.port(), None);
    let json = ("Content-Type", "application/json");
    let good = format!(r#"{{"to": "{NUMBER}"}}"#);
    let long = format!(r#"{{"to": "{NUMBER}", "subject": "{}"}}"#, "x".repeat(70 * 1024));
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        request(gateway.api(), "POST", "/v1/verifications", headers, body)
    };

    // No key, a wrong one, another scheme: one and the same answer.
    for key in [None, Some("Bearer otk_e2e_canary_of_another_tenant_00"), Some("Basic YTpi")] {
        let headers: Vec<_> =
            key.map(|key| ("Authorization", key)).into_iter().chain([json]).collect();
        is_problem(&post(&headers, good.as_bytes()), 401, "unauthorized", None);
    }
    let field = |body: &str, field: &str, code: &str| {
        let answer = post(&[("Authorization", BEARER), json], body.as_bytes());
        is_problem(&answer, 422, "invalid_request", Some((field, code)));
    };
    for number in ["0132", "911", "+911", "+1202555CALL", "+120255501239999999", "2025550123"] {
        field(&format!(r#"{{"to": "{number}"}}"#), "to", "invalid_number");
    }
    field("{}", "to", "required");
    field(r#"{"to": 12025550123}"#, "to", "wrong_type");
    field(&format!(r#"{{"to": "{NUMBER}", "colour": 1}}"#), "colour", "unknown_field");
    for (body, status, code) in [
        (long.as_bytes(), 413, "body_too_large"),
        (b"{", 400, "invalid_json"),
        (b"{\"to\": \"\xff\"}", 400, "invalid_json"),
    ] {
        is_problem(&post(&[("Authorization", BEARER), json], body), status, code, None);
    }
    let twice = format!(r#"{{"to": "{NUMBER}", "to": "{NUMBER}"}}"#);
    let answer = post(&[("Authorization", BEARER), json], twice.as_bytes());
    assert!(matches!(answer.status, 400 | 422), "{answer:?}");
    let text = post(&[("Authorization", BEARER), ("Content-Type", "text/plain")], good.as_bytes());
    is_problem(&text, 415, "unsupported_media_type", None);
    let unknown = "/v1/verifications/vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE";
    let unknown = request(gateway.api(), "GET", unknown, &[("Authorization", BEARER)], b"");
    is_problem(&unknown, 404, "not_found", None);

    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(phone.calls(), 0);
    assert_eq!(gateway.metric("octothorpe_verifications_started_total"), 0);
    assert_eq!(gateway.metric("octothorpe_faults_total"), 0);
}

/// RFC 9457, with a stable code and the field to blame, and without what was sent.
fn is_problem(answer: &Answer, status: u16, code: &str, field: Option<(&str, &str)>) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    let blamed = |error: &Value| (error["field"].clone(), error["code"].clone());
    let blamed: Vec<_> = problem["errors"].as_array().unwrap().iter().map(blamed).collect();
    let wanted: Vec<_> =
        field.map(|(field, code)| (json!(field), json!(code))).into_iter().collect();
    assert_eq!(blamed, wanted, "{problem}");
    assert!(!answer.body.contains("2025550123"), "a value is never repeated: {problem}");
}

#[test]
fn a_half_sent_head_is_closed_within_ten_seconds() {
    let gateway = Gateway::start(9, None);
    let mut stream = TcpStream::connect(gateway.api()).unwrap();
    stream.write_all(b"POST /v1/verifications HTTP/1.1\r\nHost: x\r\nAuthor").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let start = Instant::now();
    let mut rest = Vec::new();
    // A reset is an end too.
    let ended = stream.read_to_end(&mut rest);
    let took = start.elapsed();
    println!("a half-sent head is closed after {took:?}: {ended:?}");
    assert!(took < Duration::from_secs(10), "still open after {took:?}");
}

#[test]
fn a_long_poll_answers_when_something_changes() {
    let phone = Phone::start(Manner::Answer);
    let gateway = Gateway::start(phone.port(), None);
    let id = gateway.ask();
    // Every change is told, in order, none twice.
    let (mut version, mut states) = (0, Vec::new());
    while states.last().is_none_or(|state| state != "listening") {
        let found = gateway.read(&id, &format!("?wait=30&since={version}"));
        assert_eq!(found["status"], "pending", "{found}");
        let now = found["version"].as_u64().unwrap();
        assert!(now > version, "a long poll answered without news: {found}");
        version = now;
        states.push(found["attempts"][0]["state"].as_str().unwrap().to_owned());
    }
    println!("seen by long poll: {states:?}");
    phone.speak();

    let (found, late) = std::thread::scope(|scope| {
        let poll = scope.spawn(|| {
            let found = gateway.read(&id, &format!("?wait=30&since={version}"));
            (found, SystemTime::now())
        });
        std::thread::sleep(Duration::from_millis(300));
        let pressed = SystemTime::now();
        phone.press();
        let (found, answered) = poll.join().unwrap();
        (found, answered.duration_since(pressed).unwrap())
    });
    assert_eq!(found["status"], "approved", "{found}");
    println!("from the first packet of # to the answer of the long poll: {late:?}");
    assert!(late < Duration::from_secs(1), "the long poll answered {late:?} after the press");

    // Settled: nothing is waited for.
    let start = Instant::now();
    gateway.read(&id, "?wait=30&since=99");
    assert!(start.elapsed() < Duration::from_secs(1));
    wait_for("hung up", SOON, || (phone.count("BYE") == 1).then_some(()));
}
