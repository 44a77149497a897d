//! What whoever types a command is told where something is not as they thought.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::board::phone;
use crate::serve::SOON;
use crate::tools::{API_KEY, NUMBER, Process, octothorpe, ports, wait_for};

/// How long a call may take.
const CALL: Duration = Duration::from_secs(60);

/// A configuration with these trunks and carriers, and its folder.
fn configuration(ways: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("octothorpe.toml");
    let rest = format!(
        "[server]\napi_listen = \"127.0.0.1:0\"\nadmin_listen = \"off\"\n[store]\nurl = \"memory:\"\n\
         [[tenants]]\nname = \"e2e\"\napi_keys = [{API_KEY:?}]\nvoice_countries = [\"US\"]\n\
         sms_countries = [\"US\"]\n{ways}"
    );
    std::fs::write(&file, rest).unwrap();
    (folder, file)
}

#[test]
fn what_nobody_reads_ends_without_a_word() {
    for words in [&["completions", "zsh"] as &[&str], &["demo", "--scenario", "busy"]] {
        let mut command = octothorpe();
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(141), "{words:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "{words:?}: {said}");
    }
}

#[test]
fn who_does_not_answer_is_told_by_address_and_cause_alone() {
    let admin = format!("http://127.0.0.1:{}", ports(1));
    let output = octothorpe().args(["find", "--number", NUMBER, "--admin", &admin]).output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    let wanted =
        format!("octothorpe: {admin} does not answer: Connection refused (os error 111)\n");
    assert_eq!(said, wanted);
}

#[test]
fn a_wrong_code_is_told_with_how_many_checks_are_left() {
    let (_phone, port) = phone(&["--press", "#", "--press-after", "3"]);
    let (typed, mut keyboard) = std::io::pipe().unwrap();
    let mut command = octothorpe();
    command.args(["call", NUMBER, "--via", &format!("sip:127.0.0.1:{port}"), "--mode", "code"]);
    command.stdin(typed);
    let mut call = Process::phone(command, "nothing: it is ours");
    let told = |words: &str| wait_for(words, CALL, || call.stderr().contains(words).then_some(()));
    told("type the code that the call tells here");
    told("says \"Your code is\"");
    writeln!(keyboard, "000 000").unwrap();
    told("that is not the code; 4 checks left");
    call.signal("INT");
    assert_eq!(call.wait("it is taken back", CALL).code(), Some(5), "{}", call.stderr());
}

#[test]
fn a_text_that_no_message_centre_takes_says_why() {
    let (_folder, file) = configuration(&format!(
        "[[carriers]]\nname = \"metro\"\nkind = \"smpp\"\naddress = \"127.0.0.1:{}\"\n\
         system_id = \"octothorpe\"\npassword = \"not-asked\"\nfrom = \"+12025550100\"\npatience_secs = 1\n",
        ports(1)
    ));
    let mut command = octothorpe();
    command.args(["sms", NUMBER, "--config", file.to_str().unwrap()]);
    let mut sms = Process::gateway(command);
    let status = sms.wait("it is given up", SOON);
    let said = sms.stderr();
    assert_eq!(status.code(), Some(4), "{said}");
    let why =
        "verdict: failed (carrier_error: metro is not bound: no connection: Connection refused";
    assert!(said.contains(why), "{said}");
}

#[test]
fn one_call_by_a_trunk_is_one_call() {
    let (phone, port) = phone(&["--press", "#", "--answer-after", "0.3", "--press-after", "3.5"]);
    let (_folder, file) = configuration(&format!(
        "[[trunks]]\nname = \"carrier\"\ntarget = \"sip:127.0.0.1:{port};transport=udp\"\n\
         caller_id = \"+12025550100\"\nselftest = {{ rfc4733 = \"+12025550121\" }}\n"
    ));
    let file = file.to_str().unwrap();
    let looked = octothorpe().args(["check", "--online", "--config", file]).output().unwrap();
    assert!(looked.status.success(), "{looked:?}");
    assert!(!phone.stdout().contains("invited"), "{}", phone.stdout());
    let mut command = octothorpe();
    command.args(["trunk", "test", "carrier", "--config", file, "--call", NUMBER]);
    let mut call = Process::gateway(command);
    assert!(call.wait("the call ends", CALL).success(), "{}", call.stderr());
    assert_eq!(call.stderr().matches("INVITE sip:").count(), 1, "{}", call.stderr());
    assert!(!phone.stdout().contains("0121"), "{}", phone.stdout());
}
