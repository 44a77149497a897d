//! Who may ask: keys that are made while the gateway runs, and tokens that PyJWT has signed.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::client::{Answer, request};
use crate::peers::{self, Peer};
use crate::serve::{Gateway, SOON};
use crate::tools::{Process, octothorpe, wait_for};

/// A start that reaches nobody: of a number that is kept for tests.
const BODY: &[u8] = br#"{"to": "+12025550100", "channel": "sms"}"#;

fn ask(gateway: &Gateway, method: &str, path: &str, text: &str, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {text}");
    let mut headers = vec![("Authorization", bearer.as_str())];
    if !body.is_empty() {
        headers.push(("Content-Type", "application/json"));
    }
    request(gateway.api(), method, path, &headers, body)
}

fn start(gateway: &Gateway, text: &str) -> Answer {
    ask(gateway, "POST", "/v1/verifications", text, BODY)
}

/// What `octothorpe key` says, and how it ends.
fn key(words: &[&str]) -> (i32, String) {
    let mut command = octothorpe();
    command.arg("key").args(words);
    let mut process = Process::gateway(command);
    let status = process.wait("the command ends", SOON);
    (status.code().unwrap(), process.stdout())
}

#[test]
fn a_key_is_made_listed_and_revoked_while_the_gateway_runs() {
    let mut gateway = Gateway::with("", "test = true");
    let admin = gateway.admin_url();
    let at = ["--tenant", "e2e", "--admin", &admin];
    let with = |words: &[&str]| key(&[words, &at].concat());
    let (code, made) =
        with(&["new", "--name", "login", "--scope", "start", "--days", "30", "--json"]);
    assert_eq!(code, 0, "{made}");
    let made: Value = serde_json::from_str(made.trim()).unwrap();
    let (id, text) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    gateway.hide(text);
    let started = start(&gateway, text);
    assert_eq!(started.status, 201, "{started:?}");
    let path = format!("/v1/verifications/{}", started.json()["id"].as_str().unwrap());
    let read = ask(&gateway, "GET", &path, text, b"");
    assert_eq!((read.status, &read.json()["code"]), (403, &json!("forbidden")));
    // It is kept, and its use with it.
    wait_for("its use is noted", SOON, || with(&["list"]).1.contains("login").then_some(()));
    gateway.kill();
    gateway.restart();
    let admin = gateway.admin_url();
    let at = ["--tenant", "e2e", "--admin", &admin];
    let with = |words: &[&str]| key(&[words, &at].concat());
    gateway.hide(text);
    assert_eq!(start(&gateway, text).status, 201);
    let (code, listed) = with(&["list", "--json"]);
    let listed: Value = serde_json::from_str(listed.trim()).unwrap();
    let theirs = listed["keys"].as_array().unwrap().iter().find(|it| it["id"] == id).unwrap();
    assert_eq!((code, &theirs["scopes"]), (0, &json!(["start"])));
    assert!(theirs["last_used_at"].is_string() && theirs["key"].is_null(), "{theirs}");
    assert_eq!(with(&["revoke", id]).0, 0);
    let refused = start(&gateway, text);
    assert_eq!((refused.status, refused.body), (401, start(&gateway, "nobody").body));
    assert_eq!(with(&["revoke", id]).0, 2);
    gateway.terminate();
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({"iss": "https://idp.example", "aud": "verify", "sub": "svc", "iat": now(), "exp": now() + 300,
           "scope": "start"})
}

fn signed(issuer: &Peer, alg: &str, kid: &str, key: &str, claims: &Value) -> String {
    let wish = json!({"sign": {"alg": alg, "kid": kid, "key": key, "claims": claims}});
    issuer.ask(wish)["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_of_the_issuer_opens_what_it_says_and_no_other_opens_anything() {
    let issuer = Peer::start(peers::python("token_peer.py"));
    let jwt = format!(
        "test = true\njwt = {{ issuer = \"https://idp.example\", audience = \"verify\", claim = \"scope\", \
         jwks = \"http://127.0.0.1:{}/keys\" }}",
        issuer.port()
    );
    let mut gateway = Gateway::with("", &jwt);
    let without = start(&gateway, "nobody");
    assert_eq!(without.status, 401);
    for (alg, key) in [("RS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed")] {
        let token = signed(&issuer, alg, key, key, &claims());
        let started = start(&gateway, &token);
        assert_eq!(started.status, 201, "{alg}: {started:?}");
        let path = format!("/v1/verifications/{}", started.json()["id"].as_str().unwrap());
        assert_eq!(ask(&gateway, "GET", &path, &token, b"").status, 403, "{alg}");
    }
    let with = |claim: &str, value: Value| {
        let mut claims = claims();
        claims[claim] = value;
        signed(&issuer, "EdDSA", "ed", "ed", &claims)
    };
    let rows = [
        ("alg none", signed(&issuer, "none", "ed", "", &claims())),
        ("the public key as a secret", signed(&issuer, "HS256", "rsa", "public", &claims())),
        ("the name of another key", signed(&issuer, "RS256", "ec", "rsa", &claims())),
        ("RS512", signed(&issuer, "RS512", "rsa", "rsa", &claims())),
        ("expired", with("exp", json!(now() - 1))),
        ("too long", with("exp", json!(now() + 3_600))),
        ("not yet", with("nbf", json!(now() + 600))),
        ("another audience", with("aud", json!("other"))),
        ("another issuer", with("iss", json!("https://evil.example"))),
        ("a path for a kid", signed(&issuer, "EdDSA", "../../../etc/passwd", "ed", &claims())),
        ("10 KiB", with("sub", json!("x".repeat(10 * 1024)))),
    ];
    for (what, token) in &rows {
        let refused = start(&gateway, token);
        assert_eq!((refused.status, &refused.body), (401, &without.body), "{what}");
    }
    // However many name a key that nobody knows, the issuer is asked once a minute.
    let asked = || issuer.ask(json!({"asked": true}))["asked"].as_u64().unwrap();
    issuer.ask(json!({"rotate": true}));
    let before = asked();
    for _ in 0..20 {
        let token = signed(&issuer, "EdDSA", "nobody-s", "new", &claims());
        assert_eq!(start(&gateway, &token).status, 401);
    }
    assert!(asked() <= before + 1, "{before} and then {}", asked());
    gateway.terminate();
}
