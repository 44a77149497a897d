//! The address guard with real names, sockets and certificates: in a network namespace of its own this
//! machine has a public address, a private one and that of a cloud's secrets, and a DNS that lies. What
//! listens where nothing may go sees nothing.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::dns::{Dns, Record};
use crate::mailbox::{Letter, Mailbox, answer, read};
use crate::serve::{Gateway, SOON};
use crate::tools::{WEBHOOK_SECRET, is_root, wait_for};

/// The names of tests that run inside of a namespace alone.
const INSIDE: &str = "OCTOTHORPE_E2E_INSIDE";

/// A public address that this machine has in there.
const PUBLIC: &str = "93.184.216.34";

/// Addresses that it has, too, and that nothing may be sent to.
const FORBIDDEN: [&str; 5] = ["127.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.169.254", "[::1]"];

#[test]
fn nothing_is_sent_where_nothing_may_go() {
    let folder = tempfile::tempdir().unwrap();
    let addresses: String = [PUBLIC, "10.0.0.1", "100.64.0.1", "169.254.169.254"]
        .map(|address| format!("ip address add {address}/32 dev lo && "))
        .concat();
    let inside = format!(
        "ip link set lo up && {addresses} exec \"$1\" --exact guard::inside --ignored --nocapture"
    );
    let mut shell = Command::new("unshare");
    if !is_root() {
        shell.args(["--user", "--map-root-user"]);
    }
    shell.args(["--net", "sh", "-c", &inside, "sh"]).arg(std::env::current_exe().unwrap());
    // The gateway trusts who is written there.
    shell.env(INSIDE, "1").env("SSL_CERT_FILE", folder.path().join("roots.pem"));
    let ran = shell.stdin(Stdio::null()).output().expect("apt-get install util-linux iproute2");
    let (told, log) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && told.contains("1 passed"), "{told}\n{log}");
    print!("{told}");
}

#[test]
#[ignore = "runs within a network namespace, by the test above"]
fn inside() {
    assert!(std::env::var_os(INSIDE).is_some(), "it needs addresses of its own");
    let forbidden: Vec<Mailbox> = FORBIDDEN
        .iter()
        .map(|ip| Mailbox::at(format!("{ip}:443"), Arc::new(|_, it| answer(it, 204, ""))))
        .collect();
    let dns = Dns::start();
    let names = names(&dns);
    let honest = Honest::start("idp.example.com");
    let mut gateway = Gateway::with(&dns.line(), "test = true");
    let hooks: Vec<String> = ["idp.example.com"]
        .into_iter()
        .chain(names.iter().map(|(name, _)| *name))
        .map(|name| {
            let secret = WEBHOOK_SECRET.0;
            format!("{{ url = \"https://{name}/hooks\", secret = {secret:?} }}")
        })
        .collect();
    gateway.rewrite(|text| {
        let webhooks = format!("webhooks = [{}]", hooks.join(", "));
        text.replace("allow_private_webhooks = true", &webhooks)
    });
    gateway.terminate();
    gateway.restart();

    refused_at_create(&gateway);

    // At send: the names lead where nothing may go, and the honest one does until its second look-up.
    let id = gateway.begin(&json!({"to": "+12025550102"}));
    gateway.post(&format!("/v1/verifications/{id}/cancel"), &json!({}));
    let first = wait_for("the event at the public address", SOON, || honest.letters().pop());
    assert_eq!(first.event()["subject"], id.as_str());
    let failures = |why: &str| {
        gateway
            .log()
            .lines()
            .filter(|it| it.contains("event not delivered") && it.contains(why))
            .count()
    };
    // Each is tried again, and the honest one has failed by its own answer once.
    let most = Duration::from_secs(30);
    wait_for("everything else is refused, three times", most, || {
        let refused = failures("private network") + failures("not one that a receiver has");
        (refused >= names.len() * 3 + 2).then_some(())
    });
    assert_eq!(
        honest.letters().len(),
        1,
        "its second address was not dialled, nor its first again"
    );
    assert!(dns.asked("idp.example.com") >= 4, "it was looked up anew for each try");
    for (ip, mailbox) in FORBIDDEN.iter().zip(&forbidden) {
        assert_eq!(mailbox.connections(), 0, "{ip} was connected to");
    }
    println!(
        "{} names refused {} times in all; {} connections to {}",
        names.len() + 1,
        failures("private network") + failures("not one that a receiver has"),
        forbidden.iter().map(Mailbox::connections).sum::<usize>(),
        FORBIDDEN.join(", "),
    );
    // The listeners do listen.
    for (ip, mailbox) in FORBIDDEN.iter().zip(&forbidden) {
        std::net::TcpStream::connect(mailbox.address()).unwrap();
        wait_for(ip, SOON, || (mailbox.connections() == 1).then_some(()));
    }
}

/// Names that lead where nothing may go, alone or beside a public address.
fn names(dns: &Dns) -> Vec<(&'static str, Vec<IpAddr>)> {
    let names = [
        ("loopback.example", "127.0.0.1"),
        ("private.example", "10.0.0.1"),
        ("shared.example", "100.64.0.1"),
        ("cloud.example", "169.254.169.254"),
        ("none.example", "0.0.0.0"),
        ("loopback6.example", "::1"),
        ("mapped.example", "::ffff:127.0.0.1"),
        ("nat64.example", "64:ff9b::7f00:1"),
        ("nat64own.example", "64:ff9b:1::7f00:1"),
        ("sixtofour.example", "2002:7f00:1::"),
        ("both.example", "93.184.216.34 127.0.0.1"),
        ("mixed.example", "93.184.216.34 ::1"),
    ];
    let names = names.map(|(name, ips)| {
        (name, ips.split(' ').map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>())
    });
    for (name, ips) in &names {
        for ip in ips {
            dns.add(
                name,
                match ip {
                    IpAddr::V4(ip) => Record::A(*ip),
                    IpAddr::V6(ip) => Record::Aaaa(*ip),
                },
            );
        }
    }
    let public: Ipv4Addr = PUBLIC.parse().unwrap();
    dns.turns("idp.example.com", &[public, Ipv4Addr::LOCALHOST]);
    names.into()
}

/// Each is told what is wrong with it, whatever the tenant's own endpoints are.
fn refused_at_create(gateway: &Gateway) {
    for url in [
        "https://127.0.0.1/hooks",
        "https://127.9.9.9/hooks",
        "https://10.0.0.1/hooks",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/hooks",
        "https://[::ffff:127.0.0.1]/hooks",
        "https://[64:ff9b::7f00:1]/hooks",
        "https://0x7f000001/hooks",
        "https://2130706433/hooks",
        "https://0177.0.0.1/hooks",
        "https://127.1/hooks",
        "https://0/hooks",
        "https://localhost/hooks",
        "https://user@idp.example.com/hooks",
        "https://idp.example.com@127.0.0.1/hooks",
        "https://idp.example.com:25/hooks",
        "https://idp.example.com:80/hooks",
        "http://idp.example.com/hooks",
        "http://127.0.0.1:443/hooks",
        "gopher://127.0.0.1:443/hooks",
        "https://elsewhere.example/hooks",
    ] {
        let body = json!({"to": "+12025550102", "callback_url": url});
        let refused = gateway.post("/v1/verifications", &body);
        assert_eq!(refused.status, 422, "{url}: {refused:?}");
        assert_eq!(refused.json()["errors"][0]["field"], "callback_url", "{url}");
    }
}

/// A receiver with a good certificate at the public address, which answers 503 to all that comes.
struct Honest(Arc<Mutex<Vec<Letter>>>);

impl Honest {
    /// Starts it, and has whoever reads `SSL_CERT_FILE` believe it.
    fn start(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let roots = PathBuf::from(std::env::var_os("SSL_CERT_FILE").unwrap());
        std::fs::write(roots, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![made.cert.der().clone()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind((PUBLIC, 443)).unwrap();
        let letters: Arc<Mutex<Vec<Letter>>> = Arc::default();
        let kept = Arc::clone(&letters);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(session, stream.unwrap());
                if let Some(letter) = read(&mut stream) {
                    kept.lock().unwrap().push(letter);
                    answer(&mut stream, 503, "");
                }
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        Self(letters)
    }

    fn letters(&self) -> Vec<Letter> {
        self.0.lock().unwrap().clone()
    }
}
