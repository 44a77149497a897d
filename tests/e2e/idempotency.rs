//! A hundred clients that ask for the same thing at once get one call and one answer.

use std::collections::BTreeSet;
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use crate::client::request;
use crate::phone::{Manner, Phone};
use crate::serve::{BEARER, Gateway};
use crate::tools::NUMBER;

#[test]
fn a_hundred_starts_with_one_key_are_one_call_and_one_body() {
    let phone = Phone::start(Manner::Ring);
    let gateway = Gateway::start(phone.port(), None);
    let body = format!(r#"{{"to": "{NUMBER}", "reference": "login-991"}}"#);
    let start = |body: &str| {
        let headers = [
            ("Authorization", BEARER),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", "0f6c1c2e-login-991"),
        ];
        request(gateway.api(), "POST", "/v1/verifications", &headers, body.as_bytes())
    };
    let (together, answers) = (Barrier::new(100), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                together.wait();
                let answer = start(&body);
                answers.lock().unwrap().push(answer);
            });
        }
    });
    let answers = answers.into_inner().unwrap();
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    let bodies: BTreeSet<_> = answers.iter().map(|answer| &answer.body).collect();
    assert_eq!(bodies.len(), 1, "byte for byte the same: {bodies:?}");
    let places: BTreeSet<_> = answers.iter().map(|answer| answer.header("location")).collect();
    assert_eq!(places.len(), 1, "{places:?}");
    let replayed = answers.iter().filter(|it| it.header("idempotent-replayed") == Some("true"));
    assert_eq!(replayed.count(), 99);

    let id = answers[0].json()["id"].as_str().unwrap().to_owned();
    gateway.reaches(&id, "ringing");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((phone.calls(), phone.count("INVITE")), (1, 1));
    assert_eq!(gateway.metric("octothorpe_verifications_started_total"), 1);

    let other = start(&format!(r#"{{"to": "{NUMBER}", "reference": "login-992"}}"#));
    assert_eq!((other.status, &other.json()["code"]), (422, &"idempotency_mismatch".into()));
    assert_eq!(phone.calls(), 1);
}
