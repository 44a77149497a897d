//! Tenants that are made, changed and removed while the gateway runs, and who did it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answer, request};
use crate::keys::lab_phone;
use crate::mailbox::{Mailbox, answer};
use crate::serve::{Gateway, SOON};
use crate::tools::{NUMBER, Process, WEBHOOK_SECRET, octothorpe, wait_for};

/// What a command says on both streams, and how it ends.
fn ran(gateway: &Gateway, words: &[&str]) -> (i32, String, String) {
    let mut command = octothorpe();
    command.args(words).args(["--admin", &gateway.admin_url()]);
    let mut process = Process::gateway(command);
    let status = process.wait("the command ends", SOON);
    (status.code().unwrap(), process.stdout(), process.stderr())
}

fn json_of(gateway: &Gateway, words: &[&str]) -> Value {
    let (code, out, err) = ran(gateway, &[words, &["--json"]].concat());
    assert_eq!(code, 0, "{words:?}: {err}");
    serde_json::from_str(out.trim()).unwrap()
}

fn start(gateway: &Gateway, key: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body = json!({ "to": NUMBER }).to_string();
    request(gateway.api(), "POST", "/v1/verifications", &headers, body.as_bytes())
}

#[test]
fn a_tenant_is_made_asks_and_is_removed_and_what_it_asked_is_finished() {
    let (_phone, port) = lab_phone(&["--press", "#", "--press-after", "4"]);
    let mailbox = Mailbox::start(Arc::new(|_, stream| answer(stream, 204, "")));
    let mut gateway = Gateway::start(port, None);
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("globex.toml");
    let written = format!(
        "allow_private_webhooks = true\nwebhooks = [{{ url = {:?}, secret = {:?} }}]\nlocale = \"en-GB\"\n",
        mailbox.url(),
        WEBHOOK_SECRET.0
    );
    std::fs::write(&settings, written).unwrap();
    let settings = settings.display().to_string();
    let add = ["tenant", "add", "globex", "--settings", &settings];
    // Mistakes are told in the words of the configuration.
    let (code, _, err) = ran(&gateway, &[&add[..], &["--voice", "UK"]].concat());
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("voice_countries[0]: \"UK\": there is no such country; did you mean \"GB\"?"),
        "{err}"
    );
    let made = json_of(&gateway, &[&add[..], &["--voice", "GB"]].concat());
    assert_eq!((&made["source"], &made["voice_countries"]), (&json!("store"), &json!(["GB"])));
    assert_eq!(made["settings"]["webhooks"][0]["secret"], "…", "{made}");
    let (code, _, err) = ran(&gateway, &[&add[..], &["--voice", "GB"]].concat());
    assert!(code == 2 && err.contains("tenant_taken"), "{err}");

    let made = json_of(&gateway, &["key", "new", "--tenant", "globex"]);
    let key = made["key"].as_str().unwrap().to_owned();
    gateway.hide(&key);
    let refused = start(&gateway, &key);
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("country_denied")));
    let changed = json_of(&gateway, &["tenant", "change", "globex", "--voice", "US"]);
    assert_eq!(changed["voice_countries"], json!(["US"]));
    assert_eq!(changed["settings"]["locale"], "en-GB", "what is not named stays: {changed}");

    // It is kept, with its keys.
    gateway.kill();
    gateway.restart();
    gateway.hide(&key);
    let listed = json_of(&gateway, &["tenant", "list"]);
    let names: Vec<&Value> =
        listed["tenants"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["e2e", "globex"]);

    let started = start(&gateway, &key);
    assert_eq!(started.status, 201, "{started:?}");
    let id = started.json()["id"].as_str().unwrap().to_owned();
    let (path, bearer) = (format!("/v1/verifications/{id}"), format!("Bearer {key}"));
    let read = || request(gateway.api(), "GET", &path, &[("Authorization", &bearer)], b"");
    wait_for("the phone listens", SOON, || {
        let state = &read().json()["attempts"][0]["state"];
        ["answered", "prompting", "listening"].iter().any(|it| state == it).then_some(())
    });
    let (code, _, err) = ran(&gateway, &["tenant", "remove", "globex"]);
    assert_eq!(code, 0, "{err}");
    // Nothing new is asked for, by nobody.
    assert_eq!((start(&gateway, &key).status, read().status), (401, 401));
    let (code, _, err) = ran(&gateway, &["key", "new", "--tenant", "globex"]);
    assert!(code == 2 && err.contains("there is no tenant of this name"), "{err}");
    assert_eq!(ran(&gateway, &["tenant", "show", "globex"]).0, 2);
    // And what was asked for is finished.
    let letter =
        wait_for("the verdict is told", Duration::from_secs(20), || mailbox.letters().pop());
    let event = letter.event();
    assert_eq!((&event["subject"], &event["data"]["status"]), (&json!(id), &json!("approved")));
    gateway.terminate();
}

#[test]
fn whoever_did_it_stands_in_the_audit_log() {
    let gateway = Gateway::with("", "test = true");
    let made =
        json_of(&gateway, &["key", "new", "--tenant", "e2e", "--name", "ops", "--scope", "admin"]);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    gateway.hide(key);
    let bearer = format!("Bearer {key}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body = json!({ "name": "globex", "voice_countries": ["US"] }).to_string();
    let at = gateway.admin_address();
    let added = request(at, "POST", "/admin/v1/tenants", &headers, body.as_bytes());
    assert_eq!(added.status, 201, "{added:?}");
    assert_eq!(added.header("location"), Some("/admin/v1/tenants/globex"));
    let lifted = gateway.operate("/admin/v1/blocks", &json!({ "country": "KP" }));
    assert_eq!(lifted.status, 201, "{lifted:?}");
    // One of the configuration is changed there.
    for words in [["tenant", "remove", "e2e"], ["tenant", "change", "e2e"]] {
        let (code, _, err) = ran(&gateway, &words);
        assert_eq!(code, 2, "{err}");
        assert!(
            err.contains("409 tenant_configured: this tenant stands in the configuration"),
            "{err}"
        );
    }
    let log = std::fs::read_to_string(gateway.data().join("audit.jsonl")).unwrap();
    let acts: Vec<(String, String)> = log
        .lines()
        .map(|line| {
            let entry: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            (text("who"), text("what"))
        })
        .collect();
    let expected = [
        ("cli@loopback", "key.new"),
        (&format!("key e2e/{id}"), "tenant.add"),
        ("operator@loopback", "block.add"),
    ];
    assert_eq!(acts, expected.map(|(who, what)| (who.to_owned(), what.to_owned())), "{log}");
}
