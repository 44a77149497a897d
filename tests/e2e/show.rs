//! What happened in a verification, as its tenant and its operators are told it, drawn, and as a capture.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::phone::{Manner, Phone};
use crate::serve::{Gateway, SOON};
use crate::tools::{Process, octothorpe, ports, wait_for};

/// How long a call may take that nobody answers.
const LATER: Duration = Duration::from_secs(60);

/// A lab phone, and its port.
pub(crate) fn phone(manner: &[&str]) -> (Process, u16) {
    let port = ports(2);
    let mut phone = octothorpe();
    phone.args(["phone", "--listen", &format!("udp:127.0.0.1:{port}"), "--json"]).args(manner);
    let phone = Process::phone(phone, "nothing: it is ours");
    wait_for("the phone listens", SOON, || phone.stdout().contains("\"listening\"").then_some(()));
    (phone, port)
}

/// What `octothorpe show` prints.
fn show(gateway: &Gateway, id: &str, words: &[&str]) -> String {
    let mut command = octothorpe();
    command.args(["show", id, "--admin", &gateway.admin_url()]).args(words);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What tshark makes of a capture, in which sound may be a moment before the answer that describes it: the fields of the packets that `filter` lets pass.
fn tshark(capture: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args([
        "-o",
        "rtp.heuristic_rtp:TRUE",
        "-d",
        "rtp.pt==101,rtpevent",
        "-Y",
        filter,
        "-T",
        "fields",
    ]);
    command.args(fields.iter().flat_map(|field| ["-e", *field]));
    let output = command.output().expect("tshark runs: apt-get install tshark");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A call that ends in its own way.
struct Scene<'a> {
    number: &'a str,
    /// What the last line begins with, and why in a sentence.
    end: (&'a str, &'a str),
    /// What stands in its ladder, in this order.
    ladder: &'a [&'a str],
    /// Whether there is sound, and how many packets of telephone-events there are at least.
    media: (bool, usize),
}

#[test]
fn each_end_is_told_in_a_sentence_drawn_and_captured_without_its_sound() {
    let silent = Phone::start(Manner::Answer);
    let folder = tempfile::tempdir().unwrap();
    let greeting = folder.path().join("greeting.wav");
    crate::answering::mailbox(&greeting);
    let greeting = greeting.to_str().unwrap();
    let manners: [(&str, &[&str]); 7] = [
        ("approve", &["--press", "#", "--press-after", "4"]),
        ("wrong", &["--press", "5,,,5", "--press-after", "4"]),
        ("fraud", &["--press", "0#", "--press-after", "4"]),
        ("busy", &["--reject", "486"]),
        ("down", &["--reject", "503"]),
        ("voicemail", &["--voicemail", greeting]),
        ("leaves", &["--hang-up-after", "2"]),
    ];
    let phones: Vec<_> = manners.iter().map(|(_, manner)| phone(manner)).collect();
    let ringing = Phone::start(Manner::Ring);
    let ports = phones.iter().map(|(_, port)| *port).chain([silent.port(), ringing.port()]);
    let names = manners.iter().map(|(name, _)| *name).chain(["silent", "rings"]);
    let mut ways = String::new();
    for (n, (name, port)) in names.zip(ports).enumerate() {
        ways += &format!(
            "[[trunks]]\nname = {name:?}\ntarget = \"sip:127.0.0.1:{port};transport=udp\"\n\
             options_secs = 0\ncaller_id = \"+12025550100\"\nmax_calls = 1\n\
             [[routes]]\nprefix = \"+120255501{n}\"\nvia = [{name:?}]\n"
        );
    }
    let gateway = Gateway::with(&ways, "");
    let begin = |number: &str, expires: u32| {
        gateway.begin(&json!({"to": number, "brand": "Acme", "expires_in": expires}))
    };
    let asked = ["INVITE sip:+*******", "100 ", "180 Ringing"];
    let scenes = [
        Scene {
            number: "+12025550100",
            end: ("approved", "The person pressed the key that was asked for."),
            ladder: &[
                "INVITE sip:+*******0100@",
                "180 Ringing",
                "200 OK (INVITE)",
                "says \"",
                "heard key • by rfc4733",
                "BYE",
            ],
            media: (true, 6),
        },
        Scene {
            number: "+12025550110",
            end: (
                "denied",
                "The person was asked, and pressed other keys than those that were right.",
            ),
            ladder: &["200 OK (INVITE)", "heard key • by rfc4733", "heard key • by rfc4733", "BYE"],
            media: (true, 12),
        },
        Scene {
            number: "+12025550120",
            end: ("denied", "The person reported that it was not them."),
            ladder: &["200 OK (INVITE)", "heard key • by rfc4733", "BYE"],
            media: (true, 12),
        },
        Scene {
            number: "+12025550130",
            end: ("failed", "The line was busy."),
            ladder: &["INVITE sip:+*******0130@", "180 Ringing", "486 Busy Here (INVITE)", "ACK"],
            media: (false, 0),
        },
        Scene {
            number: "+12025550140",
            end: ("failed", "down is overloaded or out of service (SIP 503)."),
            ladder: &["INVITE", "503 Service Unavailable (INVITE)", "ACK"],
            media: (false, 0),
        },
        Scene {
            number: "+12025550150",
            end: ("failed", "A mailbox or another machine answered, and no person"),
            ladder: &["200 OK (INVITE)", "machine (", "BYE"],
            media: (true, 0),
        },
        Scene {
            number: "+12025550160",
            end: ("failed", "Somebody answered, and hung up before the question was answered."),
            ladder: &["200 OK (INVITE)", "says \"", "◀──────  BYE", "200 OK (BYE)"],
            media: (true, 0),
        },
        Scene {
            number: "+12025550170",
            end: ("failed", "The call was answered, but no sound came from the other side"),
            ladder: &["200 OK (INVITE)", "says \"", "BYE"],
            media: (true, 0),
        },
    ];
    let rings = begin("+12025550180", 45);
    gateway.reaches(&rings, "ringing");
    // The only line of that trunk is taken.
    let waits = begin("+12025550181", 30);
    let ids: Vec<_> = scenes.iter().map(|scene| begin(scene.number, 120)).collect();

    // What is known of a call that rings, its tenant learns at once, and nobody else.
    let answer = gateway.get(&format!("{rings}/timeline"));
    let known = answer.json();
    let kinds: Vec<_> = known["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        (answer.status, &known["status"], &known["why"]),
        (200, &json!("pending"), &Value::Null)
    );
    assert!(kinds.starts_with(&["request", "policy", "route", "attempt"]), "{known:#}");
    assert!(kinds.contains(&"sip") && kinds.contains(&"ringing"), "{known:#}");
    assert!(
        answer.body.contains("INVITE sip:+*******0180@") && !answer.body.contains("2025550180")
    );

    for (scene, id) in scenes.iter().zip(&ids) {
        let settled = gateway.settles(id, LATER);
        let (status, why) = scene.end;
        assert_eq!(settled["status"], status, "{}: {settled}", scene.number);
        // The goodbye may still be said.
        wait_for("the call is over", LATER, || {
            let ladder = show(&gateway, id, &["--ladder"]);
            let over = ["ACK", "(BYE)"].iter().any(|end| {
                ladder.trim_end().ends_with(end)
                    || ladder.lines().last().is_some_and(|line| line.contains(end))
            });
            over.then_some(())
        });
        let list = show(&gateway, id, &[]);
        let last = list.lines().last().unwrap();
        assert!(last.starts_with(&format!("{status}: {why}")), "{list}");
        let told: Value = serde_json::from_str(&show(&gateway, id, &["--json"])).unwrap();
        assert_eq!(told["status"], status);
        assert_eq!(
            told,
            serde_json::from_str::<Value>(&gateway.get(&format!("{id}/timeline")).body).unwrap()
        );

        let ladder = show(&gateway, id, &["--ladder"]);
        let mut rest = ladder.as_str();
        for step in scene.ladder {
            rest = rest.split_once(step).unwrap_or_else(|| panic!("{step}:\n{ladder}")).1;
        }

        let capture = folder.path().join(format!("{id}.pcap"));
        show(&gateway, id, &["--pcap", capture.to_str().unwrap()]);
        let methods = tshark(&capture, "sip", &["sip.CSeq.method"]);
        assert!(methods.len() >= asked.len(), "{}: {methods:?}", scene.number);
        // It warns of the stars in numbers.
        let malformed =
            tshark(&capture, "_ws.expert.severity == \"Error\"", &["_ws.expert.message"]);
        assert_eq!(malformed, Vec::<String>::new(), "{}", scene.number);
        let audio = tshark(&capture, "rtp && !rtpevent", &["frame.cap_len", "frame.len"]);
        let (sound, events) = scene.media;
        assert_eq!(!audio.is_empty(), sound, "{}: {}", scene.number, audio.len());
        // IP, UDP and RTP headers of 20 ms, and nothing behind them.
        assert!(audio.iter().all(|lengths| lengths == "40\t200"), "{}: {audio:?}", scene.number);
        let pressed = tshark(&capture, "rtpevent", &["rtpevent.event_id"]);
        assert!(pressed.len() >= events, "{}: {pressed:?}", scene.number);
        assert!(pressed.iter().all(|key| key == "255"), "{}: {pressed:?}", scene.number);
        assert!(!pressed.is_empty() || events == 0);
    }

    let settled = gateway.settles(&waits, LATER);
    assert_eq!(settled["status"], "failed", "{settled}");
    let list = show(&gateway, &waits, &[]);
    let last = list.lines().last().unwrap();
    assert!(
        last.starts_with("failed: Our own limit was reached: there was no free line"),
        "{list}"
    );
    assert_eq!(show(&gateway, &waits, &["--ladder"]), "");

    // A stranger's is none, and neither is one that was erased.
    let gone = "vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE";
    assert_eq!(gateway.get(&format!("{gone}/timeline")).status, 404);
    let erased = gateway.operate("/admin/v1/erase", &json!({"number": scenes[0].number}));
    assert_eq!(erased.status, 200, "{erased:?}");
    assert_eq!(gateway.get(&format!("{}/timeline", ids[0])).status, 404);
}

#[test]
fn sngrep_takes_our_hep_and_tshark_reads_what_it_has_taken() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken.pcap");
    let port = ports(2);
    let mut sngrep = Command::new("sngrep");
    sngrep.args([
        "-N",
        "-q",
        "-L",
        &format!("udp:127.0.0.1:{port}"),
        "-O",
        taken.to_str().unwrap(),
    ]);
    let mut sngrep = Process::phone(sngrep, "sngrep");
    let (_phone, phone) = phone(&["--answer-after", "0.5", "--press", "#", "--press-after", "3"]);
    let gateway = Gateway::with(
        &format!(
            "[capture]\nhep = \"localhost:{port}\"\nhep_id = 7\n\
             [[trunks]]\nname = \"phone\"\ntarget = \"sip:127.0.0.1:{phone};transport=udp\"\n\
             options_secs = 0\ncaller_id = \"+12025550100\"\n"
        ),
        "",
    );
    wait_for("sngrep listens", SOON, || {
        std::net::UdpSocket::bind(("127.0.0.1", port)).is_err().then_some(())
    });
    let id = gateway.ask();
    assert_eq!(gateway.settles(&id, LATER)["status"], "approved");
    wait_for("the call is over", LATER, || {
        show(&gateway, &id, &["--ladder"]).contains("200 OK (BYE)").then_some(())
    });
    // What it has taken it writes when it ends.
    std::thread::sleep(Duration::from_millis(500));
    sngrep.terminate();
    sngrep.wait("sngrep ends", SOON);
    let lines = tshark(&taken, "sip", &["ip.dst", "udp.dstport", "sip.Method", "sip.Status-Code"]);
    let seen: Vec<_> =
        lines.iter().map(|line| line.split('\t').skip(2).collect::<String>()).collect();
    assert_eq!(seen, ["INVITE", "100", "180", "200", "ACK", "BYE", "200"], "{lines:?}");
    let invite = format!("127.0.0.1\t{phone}\tINVITE\t");
    assert_eq!(lines[0], invite);
    let users = tshark(&taken, "sip.Method == INVITE", &["sip.r-uri.user", "sip.auth"]);
    assert_eq!(users, ["+*******0123\t"]);
}
