//! Call detail records of real calls, what they come to, and what other limits would have made of them.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::phone::{Manner, Phone};
use crate::serve::{Gateway, SOON};
use crate::tools::octothorpe;

/// What a command about a gateway that runs prints; it must succeed.
pub(crate) fn told(gateway: &Gateway, words: &[&str]) -> String {
    let mut command = octothorpe();
    let output = command.args(words).args(["--admin", &gateway.admin_url()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_call_is_a_row_with_what_came_of_it() {
    let phone = Phone::start(Manner::Answer);
    let gateway = Gateway::start(phone.port(), None);
    let id = gateway.begin(&json!({"to": "+12025550123", "reference": "=1+1,\"x\""}));
    phone.speak();
    gateway.reaches(&id, "listening");
    phone.press();
    let settled = gateway.settles(&id, SOON);
    assert_eq!(settled["status"], "approved", "{settled}");
    std::thread::sleep(Duration::from_secs(2));

    let today = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let today = &today[..10];
    let row: Value =
        serde_json::from_str(told(&gateway, &["cdr", "export", "--since", today]).trim()).unwrap();
    let attempt = &settled["attempts"][0];
    for (column, wanted) in [
        ("verification", json!(id)),
        ("attempt", json!(1)),
        ("tenant", json!("e2e")),
        ("reference", json!("=1+1,\"x\"")),
        ("number", json!("+1******0123")),
        ("country", json!("US")),
        ("prefix", json!("+1202")),
        ("channel", json!("voice")),
        ("mode", json!("confirm")),
        ("via", json!("phone")),
        ("call_id", attempt["call_id"].clone()),
        ("state", json!("ended")),
        ("started_at", attempt["started_at"].clone()),
        ("answered_at", attempt["answered_at"].clone()),
        ("ended_at", attempt["ended_at"].clone()),
        ("cause", json!("confirmed")),
        ("sip_status", json!(200)),
        ("q850", json!(null)),
        ("blame", json!("callee")),
        ("keys", json!("rfc4733")),
        ("cost", json!(null)),
        ("verdict", json!("approved")),
        ("reason", json!("confirmed")),
        ("settled_at", settled["settled_at"].clone()),
        ("withheld", json!(false)),
    ] {
        assert_eq!(row[column], wanted, "{column}: {row}");
    }
    let time = |column: &str| row[column].as_str().unwrap().to_owned();
    let order = ["started_at", "ringing_at", "answered_at", "key_at", "ended_at"].map(time);
    assert!(order.is_sorted(), "{order:?}");
    assert!(time("placed_at") >= time("started_at"));
    let (delay, lasted) = (row["pdd_ms"].as_u64().unwrap(), row["duration_ms"].as_u64().unwrap());
    assert!(delay < 1_000 && (1_000..20_000).contains(&lasted), "{delay} and {lasted} ms");

    // The same as CSV, in a file that is there whole.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("calls.csv");
    let path = file.to_str().unwrap();
    let words = ["cdr", "export", "--since", today, "--format", "csv", "--output", path];
    assert_eq!(told(&gateway, &words), "");
    let csv = std::fs::read_to_string(&file).unwrap();
    let (header, line) = csv.split_once("\r\n").unwrap();
    assert!(header.starts_with("verification,attempt,tenant,reference,number,number_ref,"));
    let wanted = format!("{id},1,e2e,\"'=1+1,\"\"x\"\"\",+1******0123,");
    assert!(line.starts_with(&wanted) && line.ends_with(",false\r\n"), "{line}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let summary = told(&gateway, &["cdr", "summary", "--since", today, "--json"]);
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let line = &summary["lines"][0];
    assert_eq!(
        (&line["name"], &line["placed"], &line["asr"]),
        (&json!("phone"), &json!(1), &json!(100.0))
    );
    assert_eq!((&line["ner"], &line["pressed"]), (&json!(100.0), &json!(100.0)));
    assert!(told(&gateway, &["cdr", "summary", "--since", today]).contains("phone"));

    // A time without calls is an empty table, and a wrong one a mistake that names itself.
    let none = ["cdr", "export", "--since", "2020-01-01", "--until", "2020-01-02"];
    assert_eq!(told(&gateway, &none), "");
    let wrong = ["cdr", "export", "--since", "yesterday", "--admin", &gateway.admin_url()];
    let wrong = octothorpe().args(wrong).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(said.contains("from: must be a time"), "{said}");
}

#[test]
fn new_limits_are_tried_on_the_day_before_they_hold() {
    let phone = Phone::start(Manner::Ring);
    let gateway = Gateway::start(phone.port(), None);
    for _ in 0..3 {
        let id = gateway.ask();
        gateway.reaches(&id, "ringing");
        gateway.post(&format!("/v1/verifications/{id}/cancel"), &json!({}));
        gateway.settles(&id, SOON);
    }
    gateway.rewrite(|text| text.replace("number = []", "number = [\"1/h\"]"));
    let url = gateway.admin_url();
    let today = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let words = ["policy", "replay", "--since", &today[..10], "--admin", &url];
    let tried = gateway.command(&words).output().unwrap();
    let out = String::from_utf8(tried.stdout).unwrap();
    assert_eq!(tried.status.code(), Some(1), "{out}");
    assert!(out.starts_with("3 starts, of which 2 would have been refused\n"), "{out}");
    assert!(out.contains("limit/number") && out.contains("1/h") && out.contains("US 2"), "{out}");

    // As it counts only, nothing would have been refused.
    gateway.rewrite(|text| text.replace("[limits]\n", "[limits]\nrecord_only = [\"number\"]\n"));
    let tried = gateway.command(&[&words[..], &["--json"]].concat()).output().unwrap();
    assert_eq!(tried.status.code(), Some(0), "{tried:?}");
    let report: Value = serde_json::from_slice(&tried.stdout).unwrap();
    assert_eq!((&report["refused"], &report["rules"][0]["says"]), (&json!(0), &json!("records")));
    assert_eq!(report["rules"][0]["count"], 2);
    // And nobody was called.
    assert_eq!(phone.count("INVITE"), 3);
}
