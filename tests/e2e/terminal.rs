//! What whoever runs a gateway sees and types: its first lines, a line for each verdict, `reload`, `drain`.

use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use crate::phone::{Manner, Phone};
use crate::serve::{Gateway, SOON};
use crate::tools::{API_KEY, Process, octothorpe, wait_for};

/// Runs a command against this gateway.
fn command(gateway: &Gateway, words: &[&str]) -> Output {
    let mut command = octothorpe();
    command.args(words).args(["--admin", &gateway.admin_url()]);
    command.output().unwrap()
}

/// The JSON on the last line of standard output.
fn last(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stdout);
    let line = told.lines().last().unwrap_or_else(|| panic!("{output:?}"));
    serde_json::from_str(line).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Its log so far, of this level.
fn lines(gateway: &Gateway, level: &str) -> Vec<Value> {
    let log = gateway.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["level"] == level).collect()
}

#[test]
fn five_lines_say_what_it_is_and_where() {
    let phone = Phone::start(Manner::Answer);
    let gateway = Gateway::start(phone.port(), None);
    let of_start =
        |line: &Value| line["target"].as_str().is_some_and(|it| it.ends_with("cli::serve"));
    let told: Vec<Value> = lines(&gateway, "INFO").into_iter().filter(of_start).collect();
    assert_eq!(told.len(), 5, "{told:#?}");
    let fields = [
        &["version", "build", "config"] as &[&str],
        &["store"],
        &["trunks", "carriers", "tenants"],
        &["sip", "rtp"],
        &["api", "admin"],
    ];
    for (line, fields) in told.iter().zip(fields) {
        for field in fields {
            assert!(!line[field].is_null(), "{field}: {line}");
        }
    }
    assert_eq!((&told[2]["trunks"], &told[2]["carriers"]), (&json!("phone"), &json!("none")));
    let version = octothorpe().arg("--version").output().unwrap();
    let (version, build) = (String::from_utf8(version.stdout).unwrap(), told[0]["build"].as_str());
    assert!(version.contains(&format!("(build {})", build.unwrap())), "{version}");
}

#[test]
fn the_log_is_for_people_on_a_terminal_and_json_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("octothorpe.toml");
    let config = "[server]\napi_listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
                  [store]\nurl = \"memory:\"\n[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n";
    let config = format!("{config}[[tenants]]\nname = \"e2e\"\napi_keys = [\"{API_KEY}\"]\n");
    std::fs::write(&file, config).unwrap();
    let ours = octothorpe();
    let serve = format!("{} serve --config {}", ours.get_program().display(), file.display());
    for (more, is_json) in [("", false), (" --json", true)] {
        // A terminal of its own.
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &format!("{serve}{more}"), "/dev/null"]).env("TERM", "xterm");
        let mut process = Process::gateway(script);
        let log = wait_for("it is ready", SOON, || {
            let log = process.stdout();
            log.contains("takes requests: ready").then_some(log)
        });
        process.kill();
        let told = log.lines().find(|line| line.contains("keeps verifications")).unwrap();
        let json = serde_json::from_str::<Value>(told.trim());
        assert_eq!(json.is_ok(), is_json, "{told}");
        assert!(is_json || told.contains("memory") && !told.contains('{'), "{told}");
    }
}

#[test]
fn a_verdict_is_one_line_of_the_fields_that_are_documented() {
    let guide =
        include_str!("../../src/OPERATIONS.md").split_once("| field of a verdict |").unwrap();
    let rows = guide.1.lines().skip(2).map_while(|line| line.strip_prefix("| `"));
    let documented: Vec<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
    let phone = Phone::start(Manner::Answer);
    let gateway = Gateway::start(phone.port(), None);
    let id = gateway.ask();
    phone.speak();
    gateway.reaches(&id, "listening");
    phone.press();
    assert_eq!(gateway.settles(&id, Duration::from_secs(30))["status"], "approved");
    let told = wait_for("it is logged", SOON, || {
        let told = lines(&gateway, "INFO").into_iter();
        let told: Vec<Value> = told.filter(|it| it["message"] == "verification settled").collect();
        (!told.is_empty()).then_some(told)
    });
    assert_eq!(told.len(), 1, "{told:#?}");
    for field in told[0].as_object().unwrap().keys() {
        assert!(documented.contains(&field.as_str()), "{field} is not documented: {documented:?}");
    }
    assert_eq!((&told[0]["verification"], &told[0]["status"]), (&json!(id), &json!("approved")));
    assert_eq!((&told[0]["route"], &told[0]["sip_status"]), (&json!("phone"), &json!(200)));
}

#[test]
fn reload_tells_what_came_of_it() {
    let gateway = Gateway::start(9, None);
    let (calm, exact) = (command(&gateway, &["reload"]), command(&gateway, &["reload", "--json"]));
    assert_eq!((calm.status.code(), exact.status.code()), (Some(0), Some(0)), "{calm:?}");
    assert_eq!(last(&exact), json!({"needs_restart": []}));
    gateway.rewrite(|text| text.replace("rtp_ports = [", "engines = 1\nrtp_ports = ["));
    assert_eq!(
        last(&command(&gateway, &["reload", "--json"])),
        json!({"needs_restart": ["sip.engines"]})
    );
    gateway.rewrite(|text| text.replace("[sip]", "[sipp]"));
    let refused = command(&gateway, &["reload"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{why}");
    assert!(why.contains("octothorpe.toml:") && why.contains("sipp"), "{why}");
    let nobody = octothorpe().args(["reload", "--admin", "http://127.0.0.1:9"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(70), "{nobody:?}");
}

#[test]
fn a_node_that_is_drained_takes_nothing_new_and_lets_calls_end() {
    let phone = Phone::start(Manner::Answer);
    let mut gateway = Gateway::start(phone.port(), None);
    let before = command(&gateway, &["drain", "--help"]);
    assert!(before.status.success());
    let id = gateway.ask();
    phone.speak();
    gateway.reaches(&id, "listening");
    let told = last(&command(&gateway, &["drain", "--no-wait", "--json"]));
    assert_eq!(
        (&told["draining"], &told["calls"], &told["done"]),
        (&json!(true), &json!(1), &json!(false))
    );
    assert_eq!(gateway.readiness().0, 503);
    let refused = gateway.post("/v1/verifications", &json!({"to": "+14155550199"}));
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("not_ready")));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| command(&gateway, &["drain", "--json"]));
        assert_eq!(gateway.read(&id, "")["status"], "pending", "whoever asks is answered");
        phone.press();
        let waited = waits.join().unwrap();
        assert_eq!(waited.status.code(), Some(0), "{waited:?}");
        let told = last(&waited);
        assert_eq!((&told["calls"], &told["done"]), (&json!(0), &json!(true)));
        let progress = String::from_utf8_lossy(&waited.stderr).into_owned();
        assert!(progress.contains("calls that are up: 1"), "{progress}");
    });
    assert_eq!(gateway.read(&id, "")["status"], "approved");
    let audit = std::fs::read_to_string(gateway.data().join("audit.jsonl")).unwrap();
    assert!(audit.contains("\"drain\""), "{audit}");
    // It is there until it is stopped, and taking again once it is started anew.
    assert_eq!(gateway.readiness().0, 503);
    gateway.terminate();
    gateway.restart();
    assert_eq!(gateway.readiness().0, 200);
}
