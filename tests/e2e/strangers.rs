//! Who is no trunk: scanners (`svmap`, `svwar`), and noise. The trunk is at 127.0.0.2; everybody else
//! on this machine is a stranger.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::serve::Gateway;
use crate::tools::{Process, octothorpe, ports, wait_for};

/// Where the trunk is.
const TRUNK: &str = "127.0.0.2";

/// Where a stranger is.
const STRANGER: &str = "127.0.0.1";

/// Datagrams of noise in a second.
const NOISE: u32 = 5_000;

/// The calls that are up in the midst of it.
const CALLS: usize = 50;

fn gateway(trunk: u16) -> Gateway {
    Gateway::with(
        &format!(
            r#"
            [[trunks]]
            name = "phone"
            target = "sip:{TRUNK}:{trunk};transport=udp"
            options_secs = 0
            caller_id = "+12025550100"
            "#
        ),
        "",
    )
}

/// What comes back to this request from there: the status line.
fn answer(gateway: &Gateway, from: &str, request: &str) -> Option<String> {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    // Anything that was going to be answered is answered in a thousandth of this.
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket.send_to(request.as_bytes(), gateway.sip()).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    let answer = String::from_utf8_lossy(&buffer[..length]);
    answer.lines().next().map(str::to_owned)
}

fn request(method: &str, to_tag: &str) -> String {
    format!(
        "{method} sip:100@{STRANGER} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.9;rport;branch=z9hG4bK{method}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:100@127.0.0.9>;tag=a\r\nTo: <sip:100@{STRANGER}>{to_tag}\r\n\
         Call-ID: nobody-knows\r\nCSeq: 1 {method}\r\nContact: <sip:100@127.0.0.9>\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn a_trunk_is_refused_as_the_rfc_says_and_a_stranger_hears_nothing() {
    let gateway = gateway(ports(2));
    for (method, tag, status) in [
        ("OPTIONS", "", 200),
        ("INVITE", "", 403),
        ("MESSAGE", "", 405),
        ("REGISTER", "", 405),
        ("NOTIFY", "", 489),
        ("HACK", "", 501),
        ("CANCEL", "", 481),
        ("BYE", ";tag=x", 481),
        ("INFO", ";tag=x", 481),
        ("UPDATE", ";tag=x", 481),
        ("INVITE", ";tag=x", 481),
        ("OPTIONS", ";tag=x", 481),
        ("NOTIFY", ";tag=x", 481),
    ] {
        let request = request(method, tag);
        let told = answer(&gateway, TRUNK, &request);
        let told = told.unwrap_or_else(|| panic!("{method}{tag} from a trunk: no answer"));
        assert!(told.starts_with(&format!("SIP/2.0 {status} ")), "{method}{tag}: {told}");
        assert_eq!(answer(&gateway, STRANGER, &request), None, "{method}{tag}");
    }
    // Nor to what cannot be followed.
    let bad = request("INVITE", "").replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia");
    assert!(answer(&gateway, TRUNK, &bad).unwrap().starts_with("SIP/2.0 505 "));
    assert_eq!(answer(&gateway, STRANGER, &bad), None);
    assert_eq!(gateway.metric(r#"octothorpe_sip_stray_total{from="stranger",kind="NOTIFY"}"#), 2);
    assert_eq!(gateway.metric(r#"octothorpe_sip_stray_total{from="stranger",kind="other"}"#), 1);
    assert_eq!(
        gateway.metric(r#"octothorpe_sip_stray_total{from="stranger",kind="malformed"}"#),
        1
    );
    let lines = gateway.log().lines().filter(|line| line.contains("from a stranger")).count();
    assert_eq!(lines, 1, "one line for one source");
}

/// What a scanner prints: it has found nothing, or something.
fn scan(gateway: &Gateway, program: &str, from: &str, more: &[&str]) -> String {
    let mut scanner = Command::new(program);
    let port = gateway.sip().port().to_string();
    scanner.args(["-b", from, "-p", &port]).args(more).arg(STRANGER);
    let mut scanner = Process::phone(scanner, "sipvicious");
    scanner.wait(program, Duration::from_secs(60));
    scanner.stdout() + &scanner.stderr()
}

#[test]
fn a_scanner_finds_nothing_unless_it_sits_at_a_trunk() {
    let gateway = gateway(ports(2));
    let at = gateway.sip().to_string();
    for method in ["OPTIONS", "INVITE", "REGISTER"] {
        // That it would find us if we answered shows that it works.
        let found = scan(&gateway, "svmap", TRUNK, &["-m", method]);
        assert!(found.contains(&at), "{method} from a trunk: {found}");
        let found = scan(&gateway, "svmap", STRANGER, &["-m", method]);
        assert!(found.contains("found nothing") && !found.contains(&at), "{method}: {found}");
    }
    for method in ["REGISTER", "INVITE", "OPTIONS"] {
        let found = scan(&gateway, "svwar", STRANGER, &["-m", method, "-e", "100-110"]);
        let is_any = (100..=110).any(|extension| found.contains(&extension.to_string()));
        assert!(!is_any && !found.contains("reqauth"), "{method}: {found}");
    }
}

/// Ten seconds of noise, or as many as `OCTOTHORPE_NOISE_SECONDS` says.
#[test]
fn noise_disturbs_no_call() {
    let seconds = std::env::var("OCTOTHORPE_NOISE_SECONDS").ok().and_then(|it| it.parse().ok());
    let span = Duration::from_secs(seconds.unwrap_or(10).max(8));
    let port = ports(2);
    let mut phone = octothorpe();
    phone.args(["phone", "--listen", &format!("udp:{TRUNK}:{port}"), "--json"]);
    phone.args(["--answer-after", "0.5", "--press", "#", "--press-after", "4"]);
    let phone = Process::phone(phone, "octothorpe");
    wait_for("the phone listens", Duration::from_secs(5), || {
        UdpSocket::bind((TRUNK, port)).is_err().then_some(())
    });
    let gateway = gateway(port);
    let noise = {
        let to = gateway.sip();
        std::thread::spawn(move || make_noise(to, span))
    };
    // The last call is answered before it is quiet again.
    let pause = (span - Duration::from_secs(6)) / u32::try_from(CALLS).unwrap();
    let ids: Vec<String> = (0..CALLS)
        .map(|n| {
            std::thread::sleep(pause);
            gateway.begin(&json!({"to": format!("+120255501{n:02}")}))
        })
        .collect();
    for id in &ids {
        let settled = gateway.settles(id, Duration::from_secs(30));
        assert_eq!(settled["status"], "approved", "{settled}");
    }
    let sent = noise.join().unwrap();
    let owed = u64::from(NOISE) * span.as_secs();
    assert!(sent >= owed, "{sent} of {owed} datagrams were sent");
    let seen = gateway.metric("octothorpe_sip_stray_total");
    assert!(seen > 1_000, "the gateway heard {seen} of them");
    let faults = gateway.metric("octothorpe_faults_total");
    assert_eq!(faults, 0, "{}", phone.stdout());
}

/// Sends noise for so long, half of it like SIP, from several strangers; how much.
fn make_noise(to: SocketAddr, span: Duration) -> u64 {
    let sockets: Vec<UdpSocket> = ["127.0.0.1", "127.0.0.3", "127.0.0.4", "127.0.0.5"]
        .map(|from| UdpSocket::bind((from, 0)).unwrap())
        .into();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/rfc4475");
    let vectors: Vec<Vec<u8>> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "dat"))
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut chance = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap()
    };
    let start = Instant::now();
    let mut sent = 0_u64;
    while start.elapsed() < span || sent < u64::from(NOISE) * span.as_secs() {
        let owed = u128::from(NOISE) * start.elapsed().as_millis() / 1_000;
        while u128::from(sent) < owed {
            let datagram = match chance() % 4 {
                0 | 1 => (0..chance() % 1_200).map(|_| chance().to_le_bytes()[0]).collect(),
                2 => {
                    let mut vector = vectors[chance() % vectors.len()].clone();
                    for _ in 0..chance() % 4 {
                        let at = chance() % vector.len();
                        vector[at] = chance().to_le_bytes()[0];
                    }
                    vector
                }
                _ => {
                    let methods = ["INVITE", "OPTIONS", "REGISTER", "BYE", "HACK"];
                    request(methods[chance() % methods.len()], "").into_bytes()
                }
            };
            // A datagram that the system does not take now is still one that was owed.
            let _ = sockets[chance() % sockets.len()].send_to(&datagram, to);
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    sent
}
