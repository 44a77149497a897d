//! Kamailio, a proxy that carriers run: it challenges with SHA-256, keeps itself in the route of each
//! call, and sends it on to baresip, with rtpengine in the way of the media where that is said. In front of
//! it we speak UDP, TCP and TLS; and what `check --online` says of it and of others.

use std::collections::HashSet;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

use crate::baresip::Baresip;
use crate::tools::{
    API_KEY, NUMBER, Process, SIP_PASSWORD, octothorpe, ports, side_by_side, wait_for,
};

/// How long Kamailio may take to start.
const SOON: Duration = Duration::from_secs(15);

/// The name in its certificate, and its realm.
const NAME: &str = "sbc.example";

/// A proxy in front of one phone.
pub(crate) struct Kamailio {
    process: Process,
    /// What the media go through, if not from end to end.
    relay: Option<Process>,
    /// SIP by UDP and TCP here, by TLS on the port after it.
    port: u16,
    folder: TempDir,
}

impl Kamailio {
    /// Starts it in front of the phone at this port; the media go from end to end.
    pub(crate) fn start(phone: u16) -> Self {
        Self::started(phone, None, None)
    }

    /// The same with rtpengine between us and the phone: it opens what we seal, and seals what it sends us.
    fn with_relay(phone: u16) -> Self {
        let control = ports(1);
        let relay = relay(control);
        Self::started(phone, Some((relay, control)), None)
    }

    /// The same from end to end, with session timers of so many seconds at least (RFC 4028): a session that
    /// nobody refreshes is ended on both sides.
    pub(crate) fn timing(phone: u16, least: u32) -> Self {
        Self::started(phone, None, Some(least))
    }

    fn started(phone: u16, relay: Option<(Process, u16)>, least: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = ports(2);
        certificates(folder.path());
        let at = folder.path().display();
        let tls = format!(
            "[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\n\
             private_key = {at}/key.pem\ncertificate = {at}/chain.pem\n\
             [client:default]\nverify_certificate = no\n"
        );
        std::fs::write(folder.path().join("tls.cfg"), tls).unwrap();
        let config = include_str!("kamailio.cfg")
            .replace("PORT", &port.to_string())
            .replace("SECURE", &(port + 1).to_string())
            .replace("PHONE", &phone.to_string())
            .replace("CONTROL", &relay.as_ref().map_or(0, |(_, port)| *port).to_string())
            .replace("LEAST", &least.unwrap_or_default().to_string())
            .replace("FOLDER", &at.to_string())
            .replace("PASSWORD", SIP_PASSWORD)
            .replace("REALM", NAME);
        let file = folder.path().join("kamailio.cfg");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("kamailio");
        command.arg("-f").arg(&file).args(["-DD", "-E", "-m", "32", "-M", "8"]);
        command.arg("-w").arg(folder.path()).arg("-Y").arg(folder.path()).stdin(Stdio::null());
        if relay.is_some() {
            command.args(["-A", "RELAYED"]);
        }
        if least.is_some() {
            command.args(["-A", "TIMED"]);
        }
        let mut process = Process::phone(command, "kamailio kamailio-tls-modules");
        wait_for("Kamailio listens", SOON, || {
            assert!(process.runs(), "{}{}", process.stdout(), process.stderr());
            std::net::TcpStream::connect(("127.0.0.1", port + 1)).ok()
        });
        Self { process, relay: relay.map(|(process, _)| process), port, folder }
    }

    /// How long the sessions were to last that it was asked for, in seconds.
    pub(crate) fn sessions(&self) -> Vec<String> {
        let told = self.process.stderr();
        let asked =
            told.lines().filter_map(|line| line.split_once("a session of ")?.1.strip_suffix(" s"));
        asked.map(str::to_owned).collect()
    }

    /// What the configuration of a gateway says of it.
    pub(crate) fn trunk(&self, transport: &str, more: &str) -> String {
        let port = if transport == "tls" { self.port + 1 } else { self.port };
        format!(
            "[[trunks]]\nname = \"sbc\"\ntarget = \"sip:127.0.0.1:{port};transport={transport}\"\n\
             username = \"acme\"\npassword = \"env:E2E_SIP_PASSWORD\"\nrealm = \"{NAME}\"\n{more}\n"
        )
    }
}

impl Drop for Kamailio {
    /// Its children end when it is asked to, and hold its output open until then.
    fn drop(&mut self) {
        self.process.signal("TERM");
        let start = Instant::now();
        while self.process.runs() && start.elapsed() < SOON {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// rtpengine without its kernel module, told what to do at this port.
fn relay(control: u16) -> Process {
    let mut command = Command::new("rtpengine");
    let first = ports(20);
    command.args("--foreground --log-stderr --log-level=6 --config-file=none".split(' '));
    command.args("--table=-1 --num-threads=1 --interface=127.0.0.1 --delete-delay=0".split(' '));
    command.arg(format!("--port-min={first}")).arg(format!("--port-max={}", first + 19));
    command.arg(format!("--listen-ng=127.0.0.1:{control}")).stdin(Stdio::null());
    let mut process = Process::phone(command, "rtpengine-daemon");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    wait_for("rtpengine answers", SOON, || {
        assert!(process.runs(), "{}{}", process.stdout(), process.stderr());
        // Its protocol: a cookie, and a dictionary in bencode.
        socket.send_to(b"1 d7:command4:pinge", ("127.0.0.1", control)).unwrap();
        socket.recv(&mut [0; 512]).ok()
    });
    process
}

/// A root of our own: its certificate, and what signs by it.
fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let trusted = root.self_signed(&key).unwrap();
    (trusted.pem(), Issuer::new(root, key))
}

/// A root of our own, and a certificate of the proxy that it signed.
fn certificates(folder: &Path) {
    let (trusted, issuer) = authority();
    let own = KeyPair::generate().unwrap();
    let names = vec![NAME.to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
    for (file, text) in
        [("roots.pem", trusted), ("chain.pem", leaf.pem()), ("key.pem", own.serialize_pem())]
    {
        std::fs::write(folder.join(file), text).unwrap();
    }
}

/// One way to the phone.
struct Row {
    transport: &'static str,
    /// What the trunk has besides.
    trunk: &'static str,
    /// How the phone wants its media.
    account: &'static str,
    /// Whether they go through rtpengine.
    relayed: bool,
}

const ROWS: &[Row] = &[
    Row { transport: "udp", trunk: "", account: "", relayed: false },
    Row { transport: "tcp", trunk: "", account: "", relayed: false },
    Row {
        transport: "tls",
        trunk: "srtp = \"required\"",
        account: ";mediaenc=srtp-mand",
        relayed: false,
    },
    Row { transport: "tls", trunk: "srtp = \"preferred\"", account: "", relayed: false },
    Row { transport: "udp", trunk: "", account: "", relayed: true },
    Row { transport: "tls", trunk: "srtp = \"required\"", account: "", relayed: true },
];

#[test]
fn calls_through_a_proxy_with_digest_are_approved() {
    side_by_side(
        2,
        ROWS,
        |row| format!("{} {} {} {}", row.transport, row.trunk, row.account, row.relayed),
        |row| {
            let mut phone = Baresip::start(row.account);
            let start = if row.relayed { Kamailio::with_relay } else { Kamailio::start };
            let proxy = start(phone.port());
            let roots = "tls_roots = \"roots.pem\"";
            let more = if row.transport == "tls" { roots } else { "" };
            let trunk = proxy.trunk(row.transport, &format!("{}\n{more}", row.trunk));
            let told = std::thread::scope(|scope| {
                scope.spawn(|| {
                    phone.event("CALL_ESTABLISHED");
                    std::thread::sleep(Duration::from_secs(3));
                    phone.command("sndcode", "#");
                    phone.event("CALL_CLOSED");
                });
                call(proxy.folder.path(), &trunk, 0)
            });
            let verdict = (&told["status"], &told["reason"]);
            assert_eq!(verdict, (&"approved".into(), &"confirmed".into()));
            if let Some(relay) = &proxy.relay {
                wait_for("rtpengine counts what went through it", SOON, || {
                    relay.stderr().contains("Final packet stats").then_some(())
                });
                let log = relay.stderr();
                let moved = |line: &&str| line.contains("Port ") && !line.contains(", 0 p, 0 b");
                assert!(log.lines().filter(moved).count() >= 2, "{log}");
            }
        },
    );
}

#[test]
fn a_wrong_password_is_the_trunks_and_named() {
    let phone = Baresip::start("");
    let proxy = Kamailio::start(phone.port());
    let trunk = proxy.trunk("udp", "").replace("env:E2E_SIP_PASSWORD", "env:E2E_WRONG_PASSWORD");
    let told = call(proxy.folder.path(), &trunk, 4);
    assert_eq!((&told["status"], &told["reason"]), (&"failed".into(), &"carrier_error".into()));
    assert!(told.to_string().contains("authentication refused by sbc"), "{told}");
}

/// A place that shows this certificate to whoever comes.
fn shows(chain: &str, key: &str) -> u16 {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            // Whoever does not like the certificate leaves.
            let _ = StreamOwned::new(connection, stream).read(&mut [0; 512]);
        }
    });
    port
}

#[test]
fn check_online_has_a_sentence_and_a_remedy_for_each_fault() {
    let phone = Baresip::start("");
    let proxy = Kamailio::start(phone.port());
    let folder = proxy.folder.path();
    let (key, issuer) = authority();
    let signed = |name: &str, until: (i32, u8, u8)| {
        let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        let own = KeyPair::generate().unwrap();
        shows(&leaf.signed_by(&own, &issuer).unwrap().pem(), &own.serialize_pem())
    };
    std::fs::write(folder.join("own.pem"), key).unwrap();
    let tls = |name: &str, port: u16| {
        format!(
            "[[trunks]]\nname = \"{name}\"\ntarget = \"sip:127.0.0.1:{port};transport=tls\"\n\
             tls_roots = \"own.pem\"\ntls_name = \"sbc.example\"\n"
        )
    };
    let plain = |name: &str, target: &str| {
        format!("[[trunks]]\nname = \"{name}\"\ntarget = \"sip:{target}\"\n")
    };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let trunks = [
        proxy.trunk("udp", "register = true").replace("\"sbc\"", "\"good\""),
        proxy
            .trunk("udp", "register = true")
            .replace("\"sbc\"", "\"password\"")
            .replace("env:E2E_SIP_PASSWORD", "env:E2E_WRONG_PASSWORD"),
        tls("expired", signed(NAME, (2021, 1, 1))),
        tls("name", signed("other.example", (2099, 1, 1))),
        plain("closed", &format!("127.0.0.1:{closed};transport=tcp")),
        plain("nowhere", "nowhere.invalid:5060;transport=udp"),
    ];
    let file = configured(folder, &trunks.concat());
    let mut command = octothorpe();
    command.args(["check", "--online", "--json", "--config"]).arg(&file);
    command.env("E2E_SIP_PASSWORD", SIP_PASSWORD).env("E2E_WRONG_PASSWORD", "not-the-password");
    let mut process = Process::gateway(command);
    let status = process.wait("the check ends", Duration::from_secs(30));
    let told: Value = serde_json::from_str(process.stdout().lines().last().unwrap()).unwrap();
    assert_eq!(status.code(), Some(1), "{told:#}");
    let mut remedies = HashSet::new();
    for (name, step, said) in [
        ("good", "", ""),
        ("password", "register", "user name or password are wrong or missing (401 again)"),
        ("expired", "connect", "its certificate has expired"),
        ("name", "connect", "its certificate is not for sbc.example, but for other.example"),
        ("closed", "connect", "it refuses the connection: nothing listens at that port"),
        ("nowhere", "resolve", "nowhere.invalid has no address in the DNS"),
    ] {
        let trunks = told["online"].as_array().unwrap();
        let trunk = trunks.iter().find(|trunk| trunk["name"] == name).unwrap();
        assert_eq!(trunk["works"], step.is_empty(), "{trunk:#}");
        let failed = trunk["steps"].as_array().unwrap().iter().find(|it| it["how"] == "fails");
        let Some(failed) = failed else { continue };
        assert_eq!((&failed["step"], &failed["said"]), (&step.into(), &said.into()), "{trunk:#}");
        let remedy = failed["remedy"].as_str().unwrap();
        assert!(remedies.insert(remedy.to_owned()), "{remedy}: said twice");
    }
    assert_eq!(remedies.len(), 5, "{told:#}");
}

/// Calls [`NUMBER`] by the one trunk of this configuration, and gives back the last line.
fn call(folder: &Path, trunk: &str, exit: i32) -> Value {
    let file = configured(folder, trunk);
    let mut command = octothorpe();
    command.args(["call", NUMBER, "--trunk", "sbc", "--json", "--config"]).arg(&file);
    command.env("E2E_SIP_PASSWORD", SIP_PASSWORD).env("E2E_WRONG_PASSWORD", "not-the-password");
    let mut process = Process::gateway(command);
    let status = process.wait("the call ends", Duration::from_secs(90));
    let (told, log) = (process.stdout(), process.stderr());
    assert_eq!(status.code(), Some(exit), "{told}{log}");
    serde_json::from_str(told.lines().last().unwrap_or_default()).unwrap()
}

/// A configuration with these trunks, and somebody who may ask: there is none without.
fn configured(folder: &Path, trunks: &str) -> PathBuf {
    let file = folder.join("octothorpe.toml");
    let tenant = format!("[[tenants]]\nname = \"e2e\"\napi_keys = [{API_KEY:?}]\n");
    std::fs::write(&file, format!("{trunks}{tenant}voice_countries = [\"US\"]\n")).unwrap();
    file
}
