//! The operator's page, as a person at a browser has it: Chromium sees calls ring, listen and end, reads why they did,
//! blocks and calls, by mouse and by keyboard.
//!
//! `OCTOTHORPE_PICTURES=FOLDER` leaves pictures of every page there, at three sizes, in light and in dark.

use std::time::Duration;

use octothorpe::access::operator::Password;
use serde_json::{Value, json};

use crate::answering::mailbox;
use crate::peers::{Peer, node};
use crate::phone::{Manner, Phone};
use crate::serve::Gateway;
use crate::tools::{Process, octothorpe, ports, wait_for};

/// The secret of the operator's codes, in base32 (that of RFC 6238, appendix B).
pub(crate) const TOTP: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// The password of the operator.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// How many calls a person sees at once.
const CALLS: usize = 20;

/// A trunk at this port, for numbers that begin so; then, if it fails, these.
fn line(name: &str, port: u16, prefix: &str, others: &[&str]) -> String {
    let via = [&[name], others].concat();
    format!(
        "[[trunks]]\nname = {name:?}\ntarget = \"sip:127.0.0.1:{port};transport=udp\"\n\
         options_secs = 0\ncaller_id = \"+12025550100\"\n\
         [[routes]]\nprefix = {prefix:?}\nvia = {via:?}\n"
    )
}

/// A lab phone of many calls.
pub(crate) fn phone(more: &[&str]) -> (Process, u16) {
    let port = ports(2);
    let mut command = octothorpe();
    command.args(["phone", "--json", "--listen", &format!("udp:127.0.0.1:{port}")]).args(more);
    let phone = Process::phone(command, "nothing: it is ours");
    wait_for("the phone listens", Duration::from_secs(10), || {
        phone.stdout().contains("\"listening\"").then_some(())
    });
    (phone, port)
}

/// An operator who may do everything, for the configuration.
pub(crate) fn ada() -> String {
    format!(
        "[[operators]]\nname = \"ada\"\nrole = \"admin\"\npassword = {:?}\ntotp = {TOTP:?}\n",
        Password::of(PASSWORD, b"0123456789abcdef").unwrap().phc()
    )
}

/// How a line behaves: its name, how its numbers begin, the lab phone there, how its call stands in the end, and what a
/// person reads of it.
type Line = (&'static str, &'static str, &'static [&'static str], &'static str, &'static str);

const LINES: [Line; 5] = [
    // It rings until twenty are begun, and seen to ring.
    ("presses", "+120255502", &["--press", "#", "--answer-after", "12"], "approved", "pressed"),
    ("busy", "+1202555011", &["--reject", "486"], "failed", "line was busy"),
    ("errs", "+1202555012", &["--reject", "503"], "failed", "errs is overloaded"),
    ("wrong", "+1202555013", &["--press", "5,5,5,5,5,5"], "denied|failed", "pressed other keys"),
    ("late", "+1202555014", &["--reject", "503", "--ring", "3"], "failed", "blocked by us"),
];

#[test]
fn a_person_sees_calls_live_reads_why_they_failed_and_acts() {
    let folder = tempfile::tempdir().unwrap();
    let greeting = folder.path().join("greeting.wav");
    mailbox(&greeting);
    let phones: Vec<_> = LINES.iter().map(|(_, _, more, ..)| phone(more)).collect();
    let voicemail = phone(&["--voicemail", greeting.to_str().unwrap()]);
    // It answers, and sends nothing.
    let silent = Phone::start(Manner::Answer);
    let lines = LINES.iter().zip(&phones);
    let ways: String = lines
        .map(|((name, prefix, ..), (_, port))| {
            let line = line(name, *port, prefix, if *name == "late" { &["busy"] } else { &[] });
            let tried = "\nselftest = { rfc4733 = \"+12025550298\" }\ncaller_id";
            if *name == "presses" { line.replacen("\ncaller_id", tried, 1) } else { line }
        })
        .chain([
            line("mailbox", voicemail.1, "+1202555015", &[]),
            line("silent", silent.port(), "+1202555016", &[]),
        ])
        .collect();
    let gateway = Gateway::with(&format!("{}{ways}", ada()), "");
    let begin = |number: &str| {
        gateway.hide(number.trim_start_matches("+1"));
        let person = format!("person {}", &number[number.len() - 2..]);
        let reference = "<img src=x onerror=alert(1)>";
        gateway.begin(&json!({ "to": number, "subject": person, "reference": reference }))
    };

    let person = Peer::start(node("board.mjs"));
    let act = |act: &str, more: Value| {
        let mut command = json!({ "act": act });
        command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        person.ask(command)
    };
    let pictures = std::env::var("OCTOTHORPE_PICTURES").ok();
    let url = gateway.admin_url();
    act("open", json!({ "url": url, "folder": pictures }));
    let who = act("login", json!({ "name": "ada", "password": PASSWORD, "secret": TOTP }));
    assert_eq!(who["who"], "ada (admin)");

    // Twenty calls at once: seen to ring, to be asked, and to end.
    let calls: Vec<String> = (0..CALLS).map(|n| begin(&format!("+120255502{n:02}"))).collect();
    let reach = |words: &[&str]| act("reach", json!({ "verifications": calls, "words": words }));
    reach(&["ringing"]);
    reach(&["prompting", "listening", "approved"]);
    act("tried", json!({ "trunk": "presses", "path": "telephone-events", "words": "heard" }));
    let others: Vec<(String, &str, &str)> = LINES[1..]
        .iter()
        .map(|(_, prefix, _, status, said)| (begin(&format!("{prefix}1")), *status, *said))
        .chain([
            (begin("+12025550151"), "failed", "mailbox or another machine"),
            (begin("+12025550161"), "failed", "no sound came"),
        ])
        .collect();
    gateway.admin_post("/admin/v1/blocks", &json!({ "number": "+12025550141" }));
    reach(&["approved"]);
    for (id, status, said) in &others {
        let words: Vec<&str> = status.split('|').collect();
        act("reach", json!({ "verifications": [id], "words": words }));
        let told = act(
            "why",
            json!({ "verification": id, "text": said, "shot": *said == "no sound came" }),
        );
        assert!(told["entries"].as_u64() > Some(3), "{told}");
    }
    act("board", json!({}));
    gateway.admin_post("/admin/v1/blocks/lift", &json!({ "number": "+12025550141" }));

    let search = |fields: Value, more: Value| {
        let mut all = json!({ "fields": fields });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        act("search", all)
    };
    search(json!({ "number": "12025550207" }), json!({ "wrong": "number" }));
    search(json!({ "since": "2020-01-01", "until": "2020-12-31" }), json!({ "none": true }));
    search(json!({ "status": "failed", "country": "DE" }), json!({ "none": true }));
    search(json!({ "subject": "person 07" }), json!({ "found": [calls[7]] }));
    search(json!({ "number": "+12025550207" }), json!({ "found": [calls[7]], "shot": true }));
    act(
        "unmask",
        json!({ "verification": calls[7], "reason": "ticket 4711", "number": "+12025550207", "masked": "+1******0207" }),
    );
    let audited = std::fs::read_to_string(gateway.data().join("audit.jsonl")).unwrap();
    let seen: Vec<&str> = audited.lines().filter(|it| it.contains("number.unmask")).collect();
    assert_eq!(seen.len(), 1, "{audited}");
    for told in ["operator ada", "ticket 4711", &calls[7]] {
        assert!(seen[0].contains(told), "{told}: {}", seen[0]);
    }
    let ringing = begin("+12025550298");
    act("end", json!({ "verification": ringing, "text": "took the question back" }));

    act("block", json!({ "number": "+12025550199", "note": "<b>calls & calls</b>" }));
    act("csv", json!({ "text": others[0].0 }));
    act("call", json!({ "tenant": "e2e", "to": "+12025550299", "text": "pressed the key" }));
    act("quiet", json!({}));
    act("logout", json!({}));
}
