//! The listener under attack, by tools that others made for it: schemathesis, which sends whatever the contract
//! allows and forbids, and slowhttptest, whose clients dawdle.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Answer, request};
use crate::peers;
use crate::serve::{BEARER, Gateway};
use crate::tools::{NUMBER, wait_for};

/// How many clients dawdle.
const DAWDLERS: usize = 2_000;

/// How many good requests are measured.
const GOOD: usize = 300;

#[test]
fn the_contract_is_kept_whatever_is_sent() {
    let schemathesis =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers-venv/bin/schemathesis");
    let gateway = Gateway::start(9, None);
    let contract = format!("http://{}/v1/openapi.json", gateway.api());
    // It keeps notes where it runs.
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(schemathesis)
        .current_dir(folder.path())
        .arg("--config-file")
        .arg(peers::folder().join("schemathesis.toml"))
        .args(["run", &contract, "--header", &format!("Authorization: {BEARER}")])
        .args(["--checks", "all", "--max-examples", "10", "--max-time", "60", "--seed", "35"])
        .args(["--continue-on-failure", "--no-color", "--generation-database", "none"])
        .stdin(Stdio::null())
        .output()
        .expect("schemathesis runs: install it with `tests/run peers`");
    let told = String::from_utf8_lossy(&output.stdout);
    let summary = told.rsplit("= SUMMARY =").next().unwrap_or_default();
    println!("{summary}");
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(gateway.metric("octothorpe_http_panics_total"), 0);
    assert_eq!(gateway.metric("octothorpe_faults_total"), 0);
}

/// How long the slowest of a hundred good requests takes.
fn good(gateway: &Gateway, id: &str) -> Duration {
    let path = format!("/v1/verifications/{id}");
    let mut took: Vec<Duration> = (0..GOOD)
        .map(|_| {
            let asked = Instant::now();
            let answer = request(gateway.api(), "GET", &path, &[("Authorization", BEARER)], b"");
            let took = asked.elapsed();
            assert_eq!(answer.status, 200, "{answer:?}");
            std::thread::sleep(Duration::from_millis(10));
            took
        })
        .collect();
    took.sort_unstable();
    took[GOOD * 99 / 100 - 1]
}

#[test]
fn clients_that_dawdle_are_closed_in_time_and_keep_nobody_out() {
    let gateway = Gateway::start(9, None);
    let id = gateway.ask();
    let before = good(&gateway, &id);
    let files = gateway.files();
    let docs = format!("http://{}/docs", gateway.api());
    for (what, arguments, most) in [
        // A head, line by line.
        ("head", ["-H", "-i", "3", "-x", "24", "-u", docs.as_str()], 15),
        // A body, byte by byte.
        ("body", ["-B", "-i", "3", "-s", "8192", "-u", docs.as_str()], 15),
        // An answer, a few bytes at a time: the kernel takes it whole, and the connection is closed as an idle one.
        ("read", ["-X", "-w", "10", "-z", "32", "-u", docs.as_str()], 45),
    ] {
        let began = Instant::now();
        let attack = Command::new("slowhttptest")
            .args(arguments)
            .args(["-c", &DAWDLERS.to_string(), "-r", "1000", "-l", "60", "-p", "3"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut attack = attack.expect("slowhttptest runs: apt-get install slowhttptest");
        // Those that ask for what needs no waiting are gone by then.
        std::thread::sleep(Duration::from_secs(2));
        let during = good(&gateway, &id);
        wait_for("all are closed", Duration::from_secs(most), || {
            (gateway.files() < files + 50).then_some(())
        });
        let took = began.elapsed();
        attack.kill().unwrap();
        attack.wait().unwrap();
        println!(
            "slow {what}: all closed after {took:.1?}; good requests p99 {before:.1?} without, {during:.1?} \
             with them"
        );
        // The figures are told; what must hold on any machine is that nobody is kept waiting.
        let limit = 2 * before + Duration::from_millis(250);
        assert!(during <= limit, "slow {what}: {during:?}, {before:?} without");
    }
    gateway.ask();
}

#[test]
fn what_is_too_large_or_too_deep_is_refused_and_not_kept() {
    let gateway = Gateway::start(9, None);
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        let mut all = vec![("Authorization", BEARER), ("Content-Type", "application/json")];
        all.extend(headers);
        request(gateway.api(), "POST", "/v1/verifications", &all, body)
    };
    let huge = format!("{{\"to\": \"{}\"}}", "x".repeat(10 * 1024 * 1024));
    let deep = "[".repeat(100_000);
    let deep_and_short = format!("{{\"to\": {}1{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let names: Vec<String> = (0..10_000).map(|n| format!("X-{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let good = format!("{{\"to\": \"{NUMBER}\"}}");
    let twice = format!("{{\"to\": \"{NUMBER}\", \"to\": \"{NUMBER}\"}}");
    let all = || {
        let refused: [(Answer, u16, &str); 8] = [
            (post(&[], huge.as_bytes()), 413, "body_too_large"),
            (post(&[], deep.as_bytes()), 413, "body_too_large"),
            (post(&[], deep_and_short.as_bytes()), 400, "invalid_json"),
            (post(&many, good.as_bytes()), 431, "head_too_large"),
            (post(&[("X", &"x".repeat(20_000))], good.as_bytes()), 431, "head_too_large"),
            (post(&[], b"{\"to\": \"\xff\xfe\"}"), 400, "invalid_json"),
            (post(&[], twice.as_bytes()), 400, "invalid_json"),
            (post(&[], b"{\"expires_in\": NaN}"), 400, "invalid_json"),
        ];
        for (answer, status, code) in refused {
            assert_eq!(answer.status, status, "{answer:?}");
            assert_eq!(answer.json()["code"], Value::from(code), "{answer:?}");
        }
    };
    all();
    let before = gateway.memory();
    for _ in 0..20 {
        all();
    }
    let after = gateway.memory();
    println!("memory: {before} KiB after the first, {after} KiB after twenty more");
    assert!(after <= before + 10 * 1024, "from {before} to {after} KiB");
}
