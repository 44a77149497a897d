//! What `octothorpe top` shows: as text, as JSON, and at a terminal.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::board::phone;
use crate::phone::{Manner, Phone};
use crate::serve::Gateway;
use crate::tools::{octothorpe, wait_for};

#[test]
fn one_looks_on_at_a_terminal_by_a_pipe_and_by_a_program() {
    let phone = Phone::start(Manner::Ring);
    let gateway = Gateway::with(
        &format!(
            "[[trunks]]\nname = \"main\"\ntarget = \"sip:127.0.0.1:{};transport=udp\"\n\
             options_secs = 0\ncaller_id = \"+12025550100\"\n\
             [[routes]]\nprefix = \"+1\"\nvia = [\"main\"]\n",
            phone.port()
        ),
        "",
    );
    let id = gateway.begin(&json!({ "to": "+12025550123" }));
    gateway.reaches(&id, "ringing");
    let admin = gateway.admin_url();
    let top = |words: &[&str]| {
        let output = octothorpe().args(["top", "--admin", &admin]).args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };

    let text = top(&[]);
    let id = id.rsplit('/').next().unwrap();
    let row = text.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{text}"));
    assert!(row.contains("+*******0123") || row.contains("0123"), "{row}");
    assert!(row.contains("main") && row.contains("ringing"), "{row}");
    assert!(text.contains("ready; 1 being asked"), "{text}");
    let told: Value = serde_json::from_str(&top(&["--json", "--once"])).unwrap();
    assert_eq!(told["calls"]["cards"][0]["id"], id);

    // At a terminal it goes on until a key ends it, and leaves the terminal as it was.
    let program = octothorpe();
    let line = format!(
        "stty rows 30 cols 150; {} top --admin {admin}; echo over $?",
        program.get_program().to_str().unwrap()
    );
    let mut terminal = Command::new("script")
        .args(["-q", "-c", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script runs: apt-get install bsdutils");
    let mut drawn = BufReader::new(terminal.stdout.take().unwrap());
    let mut until = |word: &str| {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(word) {
            let part = drawn.fill_buf().unwrap().to_vec();
            assert!(!part.is_empty(), "{word} in {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&part);
            drawn.consume(part.len());
        }
    };
    until("ringing");
    let mut keys = terminal.stdin.take().unwrap();
    keys.write_all(b"q").unwrap();
    until("over 0");
    drop(keys);
    terminal.wait().unwrap();

    let nobody = octothorpe().args(["top", "--admin", "http://127.0.0.1:9"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(70), "{nobody:?}");
    assert!(String::from_utf8(nobody.stderr).unwrap().contains("does not answer"));
}

#[test]
fn a_call_that_was_answered_and_confirmed_is_a_hundred_percent() {
    let (_phone, port) = phone(&["--answer-after", "0.3", "--press", "#", "--press-after", "3.5"]);
    let gateway = Gateway::with(
        &format!(
            "[[trunks]]\nname = \"main\"\ntarget = \"sip:127.0.0.1:{port};transport=udp\"\n\
             options_secs = 0\ncaller_id = \"+12025550100\"\n"
        ),
        "",
    );
    let id = gateway.begin(&json!({ "to": "+12025550123" }));
    assert_eq!(gateway.settles(&id, Duration::from_secs(30))["status"], "approved");
    let admin = gateway.admin_url();
    let row = wait_for("the call is counted", Duration::from_secs(20), || {
        let output = octothorpe().args(["top", "--once", "--admin", &admin]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find(|line| line.starts_with("all ")).map(str::to_owned)
    });
    // ASR, NER, keys, machines and conversion.
    let shares: Vec<&str> = row.match_indices(" %").map(|(at, _)| &row[..at]).collect();
    let shares: Vec<&str> = shares.iter().filter_map(|it| it.rsplit(' ').next()).collect();
    assert_eq!(shares, ["100", "100", "100", "0", "100"], "{row}");
}
