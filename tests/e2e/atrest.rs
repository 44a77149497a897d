//! What is on disk: changed by somebody else, erased, written down.

use std::time::Duration;

use redb::{Database, ReadableDatabase as _, TableDefinition};
use serde_json::{Value, json};

use crate::client::request;
use crate::keys::lab_phone;
use crate::serve::{BEARER, Gateway};
use crate::tools::NUMBER;

const RECORDS: TableDefinition<&str, (u64, u64, &str, &[u8])> = TableDefinition::new("records");

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_record_that_somebody_changed_is_refused_and_alarmed() {
    let (_phone, port) = lab_phone(&["--press", "#"]);
    let mut gateway = Gateway::start(port, None);
    let approved = gateway.ask();
    assert_eq!(gateway.settles(&approved, PATIENCE)["status"], "approved");
    let other = gateway.ask();
    gateway.terminate();
    let database = Database::open(gateway.data().join("octothorpe.redb")).unwrap();
    let records = database.begin_read().unwrap().open_table(RECORDS).unwrap();
    let row = records.get(approved.as_str()).unwrap().unwrap();
    let (version, created, group, bytes) = row.value();
    let (group, bytes) = (group.to_owned(), bytes.to_vec());
    drop((row, records));
    // The approval of one in the place of another.
    let transaction = database.begin_write().unwrap();
    let row = (version, created, group.as_str(), bytes.as_slice());
    transaction.open_table(RECORDS).unwrap().insert(other.as_str(), row).unwrap();
    transaction.commit().unwrap();
    drop(database);
    gateway.restart();

    let path = format!("/v1/verifications/{other}");
    let answer = request(gateway.api(), "GET", &path, &[("Authorization", BEARER)], b"");
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (500, &json!("store_tampered")),
        "{answer:?}"
    );
    let answer = gateway.post(&format!("{path}/check"), &json!({"code": "123456"}));
    assert_eq!((answer.status, &answer.json()["code"]), (500, &json!("store_tampered")));
    assert!(gateway.metric("octothorpe_store_tampered_total") >= 2);
    assert!(gateway.log().contains("ALARM"), "and the log tells it");
    assert_eq!(gateway.read(&approved, "")["status"], "approved", "the rest goes on");
}

#[test]
fn nothing_is_left_of_an_erased_number_and_it_is_written_down() {
    let (_phone, port) = lab_phone(&["--press", "#"]);
    let mut gateway = Gateway::start(port, None);
    let id = gateway.ask();
    gateway.settles(&id, PATIENCE);
    let holds = |gateway: &Gateway, text: &str| {
        let file = std::fs::read(gateway.data().join("octothorpe.redb")).unwrap();
        file.windows(text.len()).any(|row| row == text.as_bytes())
    };
    assert!(holds(&gateway, &id));
    let answer = gateway.operate("/admin/v1/erase", &json!({"number": "nobody"}));
    assert_eq!((answer.status, &answer.json()["code"]), (422, &json!("invalid_request")));
    // By the command, which asks the gateway that has the store open.
    let admin = gateway.admin_url();
    let command = ["erase", NUMBER, "--json", "--opt-outs", "--admin", &admin];
    let erased = gateway.command(&command).output().unwrap();
    assert!(erased.status.success(), "{erased:?}");
    let told: Value = serde_json::from_slice(&erased.stdout).unwrap();
    assert_eq!(told, json!({"records": 1, "choices_kept": false}));
    assert!(!holds(&gateway, &id), "not even in pages that are not used any more");
    let path = format!("/v1/verifications/{id}");
    let answer = request(gateway.api(), "GET", &path, &[("Authorization", BEARER)], b"");
    assert_eq!(answer.status, 404);
    assert_eq!(gateway.reload().status, 200);
    gateway.terminate();
    // And by the command alone.
    let erased = gateway.command(&["erase", NUMBER, "--json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&erased.stdout).unwrap();
    assert_eq!(told, json!({"records": 0, "choices_kept": true}));

    let log = gateway.data().join("audit.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    let acts: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let whats: Vec<&str> = acts.iter().map(|act| act["what"].as_str().unwrap()).collect();
    assert_eq!(whats, ["erase", "reload", "erase"]);
    let looked = || {
        let looked = gateway.command(&["audit", "verify", "--json"]).output().unwrap();
        let told: Value = serde_json::from_slice(&looked.stdout).unwrap();
        (looked.status.code().unwrap(), told["breaks"].as_array().unwrap().clone())
    };
    assert_eq!(looked(), (0, Vec::new()));
    let lines: Vec<&str> = text.lines().collect();
    for (change, kind) in [
        (text.replace("reload", "nothing"), json!("altered")),
        (format!("{}\n{}\n", lines[0], lines[2]), json!({"removed": {"first": 2, "last": 2}})),
        (format!("{}\n", lines[0]), json!({"truncated": {"first": 2, "last": 3}})),
        (format!("{}\n{}\n{text}", lines[0], lines[1]), json!("inserted")),
    ] {
        std::fs::write(&log, change).unwrap();
        let (code, breaks) = looked();
        assert_eq!((code, &breaks[0]["what"]), (1, &kind), "{breaks:?}");
    }
    std::fs::write(&log, text).unwrap();
}
