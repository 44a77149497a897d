//! Verdicts that a relying party checks by itself, with PyJWT and with `octothorpe verdict verify`.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use crate::client::request;
use crate::peers;
use crate::serve::Gateway;
use crate::tools::{Process, WEBHOOK_SECRET, octothorpe, wait_for};
use crate::webhook::{Receiver, Try};

/// What PyJWT says of a verdict.
fn judged(token: &str, keys: &Value) -> Value {
    let mut command = peers::python("verdict_peer.py");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked = json!({"token": token, "keys": keys, "audience": "e2e"}).to_string();
    child.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).expect("PyJWT judges: run `tests/run peers`")
}

fn keys(gateway: &Gateway) -> Value {
    let answer = request(gateway.api(), "GET", "/.well-known/jwks.json", &[], b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// A payment that was agreed to; its verdict as it was told.
fn agreed(gateway: &Gateway, receiver: &Receiver) -> (String, String) {
    let payment = json!({"amount": "49.90", "currency": "EUR", "payee": "ACME"});
    let id = gateway.begin(&json!({
        "to": "+12025550100", "channel": "sms", "subject": "user-7f3", "reference": "login-991",
        "transaction": payment,
    }));
    // Another payment, or none, is not the one that the code was sent for.
    let mut checks = 5;
    for (wrong, of) in [
        ("none", json!(null)),
        ("amount", json!({"amount": "499.90", "currency": "EUR", "payee": "ACME"})),
        ("currency", json!({"amount": "49.90", "currency": "USD", "payee": "ACME"})),
        ("payee", json!({"amount": "49.90", "currency": "EUR", "payee": "ACME Ltd"})),
    ] {
        let checked = json!({"code": "123456", "transaction": of});
        let checked = gateway.post(&format!("/v1/verifications/{id}/check"), &checked).json();
        checks -= 1;
        let told = (&checked["matched"], &checked["status"], &checked["checks_left"]);
        assert_eq!(told, (&json!(false), &json!("pending"), &json!(checks)), "{wrong}");
    }
    let same = json!({"amount": "049.9", "currency": "eur", "payee": " ACME"});
    let checked = json!({"code": "123456", "transaction": same});
    let checked = gateway.post(&format!("/v1/verifications/{id}/check"), &checked);
    assert_eq!(checked.json()["matched"], true, "{checked:?}");
    let told = wait_for("its event", Duration::from_secs(10), || {
        receiver.tries().iter().map(Try::json).find(|it| it["subject"] == id.as_str())
    });
    (id, told["data"]["verdict"].as_str().unwrap().to_owned())
}

/// What `octothorpe verdict verify` says, and how it ends.
fn verified(folder: &std::path::Path, keys: &Value, token: &str, more: &[&str]) -> (i32, Value) {
    let file = folder.join("keys.json");
    std::fs::write(&file, keys.to_string()).unwrap();
    let mut command = octothorpe();
    command.args(["verdict", "verify", token, "--json", "--keys"]).arg(file).args(more);
    let mut process = Process::gateway(command);
    let status = process.wait("it is judged", Duration::from_secs(10));
    let told = process.stdout();
    (status.code().unwrap(), serde_json::from_str(told.lines().last().unwrap_or("null")).unwrap())
}

#[test]
fn a_verdict_is_proved_by_others_and_nothing_of_it_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(&[]);
    let webhook = format!(
        "test = true\nwebhooks = [{{ url = \"{}\", secret = {:?} }}]",
        receiver.url(),
        WEBHOOK_SECRET.0
    );
    let mut gateway = Gateway::with("", &webhook);
    let (id, token) = agreed(&gateway, &receiver);
    let first = keys(&gateway);
    let claims = judged(&token, &first)["claims"].clone();
    for (name, value) in [
        ("jti", id.as_str()),
        ("aud", "e2e"),
        ("sub", "user-7f3"),
        ("reference", "login-991"),
        ("status", "approved"),
        ("reason", "code_matched"),
        ("assurance", "transferred_secret"),
        ("evidence", "code"),
    ] {
        assert_eq!(claims[name], value, "{claims:#}");
    }
    // Nothing of it can be changed, nor another key be put in the place of ours.
    let [head, body, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("{token}")
    };
    for (name, value) in [
        ("jti", json!("vf_other")),
        ("settled_at", json!("2020-01-01T00:00:00.000Z")),
        ("iat", json!(1)),
        ("transaction_hash", json!("AAAA")),
        ("status", json!("denied")),
    ] {
        let mut other = claims.clone();
        other[name] = value;
        let forged = format!("{head}.{}.{signature}", BASE64.encode(other.to_string()));
        assert_eq!(judged(&forged, &first)["refused"], "InvalidSignatureError", "{name}");
        let (code, told) = verified(folder.path(), &first, &forged, &[]);
        assert_eq!((code, &told["proved"]), (1, &json!(false)), "{told}");
    }
    let none = BASE64.encode(r#"{"alg":"none","typ":"verdict+jwt","kid":"x"}"#);
    let (code, _) = verified(folder.path(), &first, &format!("{none}.{body}."), &[]);
    assert_eq!(code, 1);

    let payment = |amount| ["--amount", amount, "--currency", "EUR", "--payee", "ACME"];
    let (code, told) = verified(folder.path(), &first, &token, &payment("49.90"));
    assert_eq!((code, &told["claims"]["jti"]), (0, &json!(id)), "{told}");
    let (code, told) = verified(folder.path(), &first, &token, &payment("499.90"));
    assert_eq!((code, &told["why"]), (1, &json!("another payment was agreed to, or none")));

    // Another key signs, and the verdicts of the one before are proved all the same.
    gateway.rewrite(|text| text.replace("[server]", "[server]\nverdict_key = 2"));
    gateway.terminate();
    gateway.restart();
    let (_, newer) = agreed(&gateway, &receiver);
    let both = keys(&gateway);
    assert_eq!(both["keys"].as_array().unwrap().len(), 2);
    for token in [&token, &newer] {
        assert!(judged(token, &both)["claims"].is_object());
    }
    assert_eq!(judged(&newer, &first)["refused"], "KeyError", "the first keys do not know it");
}
