//! Redis by TLS: a primary, its replica and a sentinel that speak nothing else, with a certificate that the
//! system's roots lead to, or do not.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::phone::{Manner, Phone};
use crate::serve::{Gateway, SOON};
use crate::servers::Machine;
use crate::tools::{Process, octothorpe, ports, wait_for};
use crate::webhook::Receiver;

/// Servers whose certificate is for 127.0.0.1.
struct Redis {
    folder: TempDir,
    sentinel: u16,
    _processes: Vec<Process>,
}

impl Redis {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let (primary, replica, sentinel) = (ports(2), ports(2), ports(2));
        let of = ["--replicaof", "127.0.0.1", &primary.to_string()].map(str::to_owned);
        let conf = format!("sentinel monitor octothorpe 127.0.0.1 {primary} 1\n");
        fs::write(folder.path().join("sentinel.conf"), conf).unwrap();
        let here = folder.path();
        let processes = vec![
            run(here, "redis-server", primary, &["--save", ""].map(str::to_owned)),
            run(here, "redis-server", replica, &of),
            run(here, "redis-sentinel", sentinel, &[]),
        ];
        wait_for("there is a replica", SOON, || {
            let mut cli = Command::new("redis-cli");
            cli.current_dir(here).args([
                "-p",
                &primary.to_string(),
                "--tls",
                "--cacert",
                "cert.pem",
            ]);
            let told = cli.args(["INFO", "replication"]).output().unwrap();
            String::from_utf8_lossy(&told.stdout).contains("state=online").then_some(())
        });
        Self { folder, sentinel, _processes: processes }
    }

    fn url(&self) -> String {
        format!("rediss+sentinel://127.0.0.1:{}/octothorpe", self.sentinel)
    }

    fn roots(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }
}

fn run(folder: &Path, program: &str, port: u16, more: &[String]) -> Process {
    let mut server = Command::new(program);
    server.current_dir(folder);
    if program == "redis-sentinel" {
        server.arg("sentinel.conf");
    }
    server.args(["--port", "0", "--tls-port", &port.to_string(), "--bind", "127.0.0.1"]);
    if program == "redis-server" {
        server.args(["--repl-diskless-sync-delay", "0"]);
    }
    server.args(["--tls-replication", "yes", "--tls-auth-clients", "no"]);
    server.args(["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"]);
    server.args(["--tls-ca-cert-file", "cert.pem"]).args(more);
    Process::phone(server, "redis-server redis-sentinel")
}

#[test]
fn a_redis_that_speaks_tls_is_believed_where_its_certificate_is() {
    let (redis, phone, receiver) =
        (Redis::start(), Phone::start(Manner::Answer), Receiver::start(&[]));
    let trusting = ["env".to_owned(), format!("SSL_CERT_FILE={}", redis.roots())];
    let machine = Machine { under: trusting.into(), ..Machine::here() };
    let node = || Gateway::node(&machine, &redis.url(), Some(phone.port()), "", receiver.url());
    let (a, b) = (node(), node());
    let id = a.ask();
    phone.speak();
    a.reaches(&id, "listening");
    let canceled = b.post(&format!("/v1/verifications/{id}/cancel"), &json!({}));
    assert_eq!(canceled.json()["status"], "canceled", "{canceled:?}");
    assert_eq!(receiver.taken(SOON).resource(), a.read(&id, ""));

    // Who does not know it speaks to nobody.
    let mut check = octothorpe();
    check.current_dir(a.folder()).args(["serve", "--config", "octothorpe.toml"]);
    let stranger = Process::gateway(check);
    wait_for("it says so", SOON, || {
        let log = stranger.stderr();
        log.contains("the store cannot be used")
            .then(|| assert!(log.contains("ertificate"), "{log}"))
    });
}
