//! Kamailio, a proxy that carriers run: it challenges with SHA-256, keeps itself in the route of each
//! call, and sends it on to baresip. In front of it we speak UDP, TCP and TLS.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use crate::baresip::Baresip;
use crate::tools::{NUMBER, Process, SIP_PASSWORD, octothorpe, ports, side_by_side, wait_for};

/// How long Kamailio may take to start.
const SOON: Duration = Duration::from_secs(15);

/// The name in its certificate, and its realm.
const NAME: &str = "sbc.example";

/// A proxy in front of one phone.
pub(crate) struct Kamailio {
    _process: Process,
    /// SIP by UDP and TCP here, by TLS on the port after it.
    port: u16,
    folder: TempDir,
}

impl Kamailio {
    /// Starts it in front of the phone at this port.
    pub(crate) fn start(phone: u16) -> Self {
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
            .replace("FOLDER", &at.to_string())
            .replace("PASSWORD", SIP_PASSWORD)
            .replace("REALM", NAME);
        let file = folder.path().join("kamailio.cfg");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("kamailio");
        command.arg("-f").arg(&file).args(["-DD", "-E", "-m", "32", "-M", "8"]);
        command.arg("-w").arg(folder.path()).arg("-Y").arg(folder.path()).stdin(Stdio::null());
        let mut process = Process::phone(command, "kamailio kamailio-tls-modules");
        wait_for("Kamailio listens", SOON, || {
            assert!(process.runs(), "{}{}", process.stdout(), process.stderr());
            std::net::TcpStream::connect(("127.0.0.1", port + 1)).ok()
        });
        Self { _process: process, port, folder }
    }

    /// What the configuration of a gateway says of it.
    fn trunk(&self, transport: &str, more: &str) -> String {
        let port = if transport == "tls" { self.port + 1 } else { self.port };
        format!(
            "[[trunks]]\nname = \"sbc\"\ntarget = \"sip:127.0.0.1:{port};transport={transport}\"\n\
             username = \"acme\"\npassword = \"env:E2E_SIP_PASSWORD\"\nrealm = \"{NAME}\"\n{more}\n"
        )
    }
}

/// A root of our own, and a certificate of the proxy that it signed.
fn certificates(folder: &Path) {
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let trusted = root.self_signed(&key).unwrap();
    let issuer = Issuer::new(root, key);
    let own = KeyPair::generate().unwrap();
    let names = vec![NAME.to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
    for (file, text) in
        [("roots.pem", trusted.pem()), ("chain.pem", leaf.pem()), ("key.pem", own.serialize_pem())]
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
    /// Status, reason and exit code.
    verdict: (&'static str, &'static str, i32),
    /// What the cause says, for the admin.
    detail: &'static str,
}

const CONFIRMED: (&str, &str, i32) = ("approved", "confirmed", 0);
const REFUSED: (&str, &str, i32) = ("failed", "carrier_error", 4);

const ROWS: &[Row] = &[
    Row { transport: "udp", trunk: "", account: "", verdict: CONFIRMED, detail: "" },
    Row { transport: "tcp", trunk: "", account: "", verdict: CONFIRMED, detail: "" },
    Row {
        transport: "tls",
        trunk: "srtp = \"required\"",
        account: ";mediaenc=srtp-mand",
        verdict: CONFIRMED,
        detail: "",
    },
    Row {
        transport: "tls",
        trunk: "srtp = \"preferred\"",
        account: "",
        verdict: CONFIRMED,
        detail: "",
    },
];

#[test]
fn calls_through_a_proxy_with_digest_are_approved() {
    side_by_side(
        2,
        ROWS,
        |row| format!("{} {} {}", row.transport, row.trunk, row.account),
        |row| {
            let mut phone = Baresip::with(row.account);
            let proxy = Kamailio::start(phone.port());
            let roots = "tls_roots = \"roots.pem\"";
            let more = if row.transport == "tls" { roots } else { "" };
            let trunk = proxy.trunk(row.transport, &format!("{}\n{more}", row.trunk));
            let told = std::thread::scope(|scope| {
                scope.spawn(|| {
                    if row.verdict == CONFIRMED {
                        phone.event("CALL_ESTABLISHED");
                        std::thread::sleep(Duration::from_secs(3));
                        phone.command("sndcode", "#");
                        phone.event("CALL_CLOSED");
                    }
                });
                call(proxy.folder.path(), &trunk, row.verdict.2)
            });
            assert_eq!((&told["status"], &told["reason"]), (&row.verdict.0.into(), &row.verdict.1.into()));
            let detail = told["attempts"][0]["cause"]["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(row.detail), "{told}");
        },
    );
}

#[test]
fn a_wrong_password_is_the_trunks_and_named() {
    let phone = Baresip::with("");
    let proxy = Kamailio::start(phone.port());
    let trunk = proxy.trunk("udp", "").replace("env:E2E_SIP_PASSWORD", "env:E2E_WRONG_PASSWORD");
    let told = call(proxy.folder.path(), &trunk, REFUSED.2);
    assert_eq!((&told["status"], &told["reason"]), (&"failed".into(), &"carrier_error".into()));
    assert!(told.to_string().contains("authentication refused by sbc"), "{told}");
}

/// Calls [`NUMBER`] by the one trunk of this configuration, and gives back the last line.
fn call(folder: &Path, trunk: &str, exit: i32) -> Value {
    let file = folder.join("octothorpe.toml");
    std::fs::write(&file, trunk).unwrap();
    let mut command = octothorpe();
    command.args(["call", NUMBER, "--trunk", "sbc", "--json", "--config"]).arg(&file);
    command.env("E2E_SIP_PASSWORD", SIP_PASSWORD).env("E2E_WRONG_PASSWORD", "not-the-password");
    let mut process = Process::gateway(command);
    let status = process.wait("the call ends", Duration::from_secs(90));
    let (told, log) = (process.stdout(), process.stderr());
    assert_eq!(status.code(), Some(exit), "{told}{log}");
    serde_json::from_str(told.lines().last().unwrap_or_default()).unwrap()
}
