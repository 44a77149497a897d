//! baresip, a user agent that people use: it answers by itself, and its keys go out as RFC 4733.
//! It is told what to do over its control port, in netstrings of JSON.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::call::call;
use crate::tools::{NUMBER, Process, ports, wait_for};

/// How long baresip may take for anything.
const PATIENCE: Duration = Duration::from_secs(15);

/// A phone that answers.
pub(crate) struct Baresip {
    /// Ends baresip when it is dropped.
    _process: Process,
    control: TcpStream,
    /// What came over the control port and was not looked at yet.
    unread: Vec<u8>,
    port: u16,
    _folder: TempDir,
}

impl Baresip {
    /// Starts it with G.711, a sine wave for a voice and nobody to hear; `encryption` is what its
    /// account says of SRTP, as `;mediaenc=srtp`.
    pub(crate) fn start(encryption: &str) -> Self {
        Self::with(
            encryption,
            "audio_source ausine,440\n\
             ausrc_srate 48000\n\
             ausrc_channels 2\n\
             module g711.so\n\
             module ausine.so\n",
        )
    }

    /// Starts it with this codec and voice.
    pub(crate) fn with(encryption: &str, sound: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // SIP on the first, SIP by TLS on the second, control on the third, media from the fifth on.
        let port = ports(16);
        let config = format!(
            "sip_listen 127.0.0.1:{port}\n\
             net_interface 127.0.0.1\n\
             rtp_ports {}-{}\n\
             audio_player aubridge,nobody\n\
             audio_alert aubridge,nobody\n\
             module_path /usr/lib/baresip/modules\n\
             {sound}\
             module srtp.so\n\
             module aubridge.so\n\
             module_tmp account.so\n\
             module_app menu.so\n\
             module_app ctrl_tcp.so\n\
             ctrl_tcp_listen 127.0.0.1:{}\n",
            port + 4,
            port + 15,
            port + 2,
        );
        let account =
            format!("<sip:{NUMBER}@127.0.0.1:{port}>;regint=0;answermode=auto{encryption}\n");
        for (file, text) in
            [("config", &config), ("accounts", &account), ("contacts", &String::new())]
        {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let mut command = Command::new("baresip");
        command.arg("-f").arg(folder.path()).stdin(Stdio::null());
        let mut process = Process::phone(command, "baresip-core");
        let control = wait_for("baresip's control port", PATIENCE, || {
            assert!(process.runs(), "{}{}", process.stdout(), process.stderr());
            TcpStream::connect(("127.0.0.1", port + 2)).ok()
        });
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { _process: process, control, unread: Vec::new(), port, _folder: folder }
    }

    /// Where it takes calls.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// It may take so long for what comes now.
    pub(crate) fn patience(&self, patience: Duration) {
        self.control.set_read_timeout(Some(patience)).unwrap();
    }

    /// Gives a command, which must succeed.
    pub(crate) fn command(&mut self, command: &str, parameters: &str) {
        let text = json!({"command": command, "params": parameters, "token": command}).to_string();
        self.control.write_all(format!("{}:{text},", text.len()).as_bytes()).unwrap();
        let answer = self.hear(|message| message["token"] == command);
        assert_eq!(answer["ok"], true, "{command}: {answer}");
    }

    /// Waits for an event of the call.
    pub(crate) fn event(&mut self, name: &str) {
        self.hear(|message| message["type"] == name);
    }

    fn hear(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.message();
            if wanted(&message) {
                return message;
            }
        }
    }

    /// The next netstring: length, colon, text, comma.
    fn message(&mut self) -> Value {
        loop {
            if let Some(colon) = self.unread.iter().position(|&byte| byte == b':') {
                let length = std::str::from_utf8(&self.unread[..colon]).unwrap();
                let end = colon + 1 + length.parse::<usize>().unwrap();
                if self.unread.len() > end {
                    let text: Vec<u8> = self.unread.drain(..=end).collect();
                    return serde_json::from_slice(&text[colon + 1..end]).unwrap();
                }
            }
            let mut buffer = [0; 4096];
            let length = self.control.read(&mut buffer).expect("baresip says something in time");
            assert!(length > 0, "baresip has hung up on us");
            self.unread.extend_from_slice(&buffer[..length]);
        }
    }
}

/// Calls baresip in the clear, lets `person` do what it does once it is asked, and expects an
/// approval.
fn approved(person: impl FnOnce(&mut Baresip) + Send) -> String {
    approved_by(Baresip::start(""), &[], person)
}

fn approved_by(
    mut phone: Baresip,
    more: &[&str],
    person: impl FnOnce(&mut Baresip) + Send,
) -> String {
    let port = phone.port;
    let (told, ladder) = std::thread::scope(|scope| {
        scope.spawn(|| {
            phone.event("CALL_ESTABLISHED");
            // The greeting is over, the question is being asked.
            std::thread::sleep(Duration::from_secs(3));
            person(&mut phone);
            phone.event("CALL_CLOSED");
        });
        call(port, more, 0)
    });
    assert_eq!((&told["status"], &told["reason"]), (&"approved".into(), &"confirmed".into()));
    assert_eq!(told["attempts"][0]["press"]["path"], json!(["rfc4733"]), "{told}");
    ladder
}

#[test]
fn baresip_presses_pound_and_is_approved() {
    approved(|phone| phone.command("sndcode", "#"));
}

#[test]
fn baresip_holds_resumes_presses_pound_and_is_approved() {
    let ladder = approved(holds_and_presses);
    let offers = ladder.lines().filter(|line| line.contains("◀──────  INVITE")).count();
    assert_eq!(offers, 2, "hold and resume were offered: {ladder}");
}

fn holds_and_presses(phone: &mut Baresip) {
    for (command, pause) in [("hold", 2), ("resume", 1)] {
        phone.command(command, "");
        // The gateway has answered the re-INVITE.
        phone.event("CALL_REMOTE_SDP");
        std::thread::sleep(Duration::from_secs(pause));
    }
    phone.command("sndcode", "#");
}

/// What tshark makes of a capture: the fields of the packets that `filter` lets pass.
fn tshark(capture: &Path, filter: &str, fields: &[&str]) -> String {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(["-o", "rtp.heuristic_rtp:TRUE", "-d"]);
    command.args(["udp.port==20000-29999,rtp", "-Y", filter, "-T", "fields"]);
    command.args(fields.iter().flat_map(|field| ["-e", *field]));
    let output = command.output().expect("tshark runs: apt-get install tshark");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The telephone-events that we were sent, as whoever looks on reads them.
fn events(capture: &Path) -> Vec<String> {
    let seen = tshark(capture, "rtp.p_type == 101", &["rtp.payload"]);
    seen.lines().map(str::to_owned).collect()
}

#[test]
fn encrypted_calls_are_approved_and_nobody_looks_in() {
    let folder = tempfile::tempdir().unwrap();
    for (i, (account, ours)) in [
        (";mediaenc=srtp", "preferred"),
        (";mediaenc=srtp", "required"),
        (";mediaenc=srtp-mand", "required"),
    ]
    .into_iter()
    .enumerate()
    {
        let capture = folder.path().join(format!("{i}.pcap"));
        let more = ["--srtp", ours, "--pcap", capture.to_str().unwrap()];
        approved_by(Baresip::start(account), &more, holds_and_presses);
        let events = events(&capture);
        assert!(events.len() >= 3, "{account}, {ours}: {events:?}");
        // Event 11 is the pound key: 16 octets with the header, and a tag of 10.
        assert!(events.iter().all(|payload| payload.len() == 2 * 14), "{events:?}");
        let pounds = events.iter().filter(|payload| payload.starts_with("0b")).count();
        assert!(pounds < events.len() / 2, "{account}, {ours}: {events:?}");
        let written = std::fs::read(&capture).unwrap();
        let keys: Vec<_> = written.windows(9).filter(|word| word.starts_with(b"inline:")).collect();
        assert!(keys.len() >= 3, "both sides told keys");
        assert!(keys.iter().all(|word| word.ends_with(b"**")), "and the capture has none");
    }
}

#[test]
fn who_does_not_encrypt_is_called_in_the_clear_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("clear.pcap");
    let more = ["--srtp", "preferred", "--pcap", capture.to_str().unwrap()];
    approved_by(Baresip::start(""), &more, |phone| phone.command("sndcode", "#"));
    assert!(events(&capture).iter().all(|payload| payload.starts_with("0b")));
    let phone = Baresip::start("");
    let (told, _) = call(phone.port, &["--srtp", "required"], 4);
    assert_eq!(told["reason"], "carrier_error", "{told}");
    let detail = told["attempts"][0]["detail"].as_str().unwrap_or_default();
    assert_eq!(
        detail,
        "via refused the session description with 488: it may not encrypt media, and srtp = \
         \"required\""
    );
}
