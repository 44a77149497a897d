//! `octothorpe serve` with a configuration of the test's own, and what asks it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Answer, request};
use crate::servers::Machine;
use crate::tools::{
    API_KEY, NUMBER, Process, STORE_SECRET, WEBHOOK_SECRET, octothorpe, ports, wait_for,
};

/// How long a gateway may take to be ready again, or a verification to come to rest after a restart.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// How long its process may take to start, on a machine that has much to do and with a store that has much in it.
const START: Duration = Duration::from_secs(120);

/// Tests start more of the same than people do.
const LIMITLESS: &str = "[limits]\nnumber = []\ntenant = []\nsubject = []\nprefix = []\n\
    client_ip = []\ncountry = []\n\n[fraud]\nconversion_warn = 0\nconversion_block = 0\n";

/// What the tenant of the tests may.
const IN_US: &str =
    "voice_countries = [\"US\"]\nsms_countries = [\"US\"]\nallow_private_webhooks = true";

/// This machine, on which everything runs under a command.
fn here(command: &[&str]) -> Machine {
    Machine { under: command.iter().map(|&word| word.to_owned()).collect(), ..Machine::here() }
}

/// The phone at this port, as a trunk.
fn trunk(phone: u16) -> String {
    format!(
        r#"
        [[trunks]]
        name = "phone"
        target = "sip:127.0.0.1:{phone};transport=udp"
        options_secs = 0
        caller_id = "+12025550100"
        "#
    )
}

/// The one endpoint of a tenant.
fn webhooks(url: &str) -> String {
    format!("webhooks = [{{ url = {url:?}, secret = {:?} }}]", WEBHOOK_SECRET.0)
}

/// A gateway that runs, and the folder that it keeps across a restart.
pub(crate) struct Gateway {
    process: Process,
    folder: TempDir,
    /// What it runs under, if anything: `strace -f`.
    under: Vec<String>,
    api: SocketAddr,
    admin: SocketAddr,
    sip: SocketAddr,
}

impl Gateway {
    /// Starts a gateway whose one trunk is the phone at this port, and which tells its verdicts to
    /// the URL, if one is given.
    pub(crate) fn start(phone: u16, webhook: Option<&str>) -> Self {
        Self::under(&[], phone, webhook)
    }

    /// The same under a command that runs what comes after it in its own place, in the gateway's folder,
    /// where `data` is that of the store.
    pub(crate) fn under(command: &[&str], phone: u16, webhook: Option<&str>) -> Self {
        let webhooks = webhook.map_or_else(String::new, webhooks);
        Self::of(&here(command), None, &trunk(phone), &format!("{IN_US}\n{webhooks}"))
    }

    /// Starts such a gateway as a node of those that share this Redis.
    pub(crate) fn sharing(redis: u16, phone: u16, webhook: &str) -> Self {
        let url = format!("redis://127.0.0.1:{redis}");
        let tenant = format!("{IN_US}\n{}", webhooks(webhook));
        Self::of(&here(&[]), Some(&url), &trunk(phone), &tenant)
    }

    /// Starts such a gateway on this machine, with this store, and with more ways than a phone.
    pub(crate) fn node(
        machine: &Machine,
        store: &str,
        phone: Option<u16>,
        ways: &str,
        webhook: &str,
    ) -> Self {
        let phone = phone.map(trunk).unwrap_or_default();
        let tenant = format!("{IN_US}\n{}", webhooks(webhook));
        Self::of(machine, Some(store), &format!("{phone}{ways}"), &tenant)
    }

    /// Starts a gateway that dies at this point (`commit-after:3`), if one is given, with this store or one of
    /// its own on disk, and these ways.
    #[cfg(feature = "failpoints")]
    pub(crate) fn failing(
        fail: Option<&str>,
        store: Option<&str>,
        ways: &str,
        webhook: &str,
    ) -> Self {
        let fail = fail.map(|fail| format!("OCTOTHORPE_FAIL={fail}"));
        let under: Vec<&str> = fail.iter().flat_map(|fail| ["env", fail.as_str()]).collect();
        Self::of(&here(&under), store, ways, &format!("{IN_US}\n{}", webhooks(webhook)))
    }

    /// The next run of it does not die.
    #[cfg(feature = "failpoints")]
    pub(crate) fn disarm(&mut self) {
        self.under.clear();
    }

    /// Whether it runs.
    #[cfg(feature = "failpoints")]
    pub(crate) fn runs(&mut self) -> bool {
        self.process.runs()
    }

    /// Starts a gateway with these carriers and routes. They know it as [`PUBLIC`].
    pub(crate) fn by_carriers(carriers: &str) -> Self {
        // Long enough that no other number of a log is one by chance.
        Self::with(carriers, "code_digits = 8")
    }

    /// Starts a gateway with these trunks, carriers and routes, and more of these about its tenant.
    /// Limits are what the tenant has of its own.
    pub(crate) fn with(ways: &str, tenant: &str) -> Self {
        Self::of(&here(&[]), None, ways, &format!("{IN_US}\n{tenant}"))
    }

    /// Starts a gateway that has one tenant with a key, and nothing else.
    pub(crate) fn closed() -> Self {
        Self::of(&here(&[]), None, "", "#here\n")
    }

    fn of(machine: &Machine, store: Option<&str>, ways: &str, tenant: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data").display().to_string();
        std::fs::create_dir(&data).unwrap();
        let store = match store {
            Some(url) => format!("url = {url:?}\nfolder = {data:?}"),
            None => format!("url = \"file:{data}\""),
        };
        let rtp = ports(256);
        let config = format!(
            r#"
            [server]
            api_listen = "{host}:0"
            admin_listen = "{host}:0"
            insecure_http = true
            public_url = "{PUBLIC}"
            [store]
            {store}
            secret = "{STORE_SECRET}"
            [sip]
            listen = ["udp:{host}:0"]
            rtp_ports = [{rtp}, {rtp_last}]
            {ways}
            {LIMITLESS}
            [[tenants]]
            name = "e2e"
            api_keys = ["{API_KEY}"]
            {tenant}
            "#,
            host = machine.host,
            rtp_last = rtp + 255,
        );
        std::fs::write(folder.path().join("octothorpe.toml"), config).unwrap();
        let under = machine.under.clone();
        let (process, [api, admin, sip]) = serve(&under, folder.path());
        Self { process, folder, under, api, admin, sip }
    }

    /// Searches what it prints for this, too: see [`Process::hide`].
    pub(crate) fn hide(&self, secret: &str) {
        self.process.hide(secret);
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, with the same configuration and the same store.
    pub(crate) fn restart(&mut self) {
        (self.process, [self.api, self.admin, self.sip]) = serve(&self.under, self.folder.path());
    }

    /// Starts the version under test in the place of the one that has stopped.
    pub(crate) fn renew(&mut self) {
        self.under.clear();
        self.restart();
    }

    /// Changes its configuration; it reads that when it is told to.
    pub(crate) fn rewrite(&self, change: impl FnOnce(&str) -> String) {
        let file = self.folder.path().join("octothorpe.toml");
        let before = std::fs::read_to_string(&file).unwrap();
        let after = change(&before);
        assert_ne!(before, after, "nothing changed");
        std::fs::write(file, after).unwrap();
    }

    /// Has it read its configuration again, by HTTP.
    pub(crate) fn reload(&self) -> Answer {
        request(self.admin, "POST", "/admin/v1/reload", &[], b"")
    }

    /// Has it read its configuration again, by SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.process.signal("HUP");
    }

    /// Where the API listens.
    pub(crate) fn api(&self) -> SocketAddr {
        self.api
    }

    /// Where its operators are.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Where it takes SIP.
    pub(crate) fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// Whether it takes new verifications, and why not.
    pub(crate) fn readiness(&self) -> (u16, String) {
        let answer = request(self.admin, "GET", "/readyz", &[], b"");
        (answer.status, answer.body)
    }

    /// The memory that it has now, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// How many files and sockets it has open.
    pub(crate) fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.process.stderr()
    }

    /// Starts a verification of [`NUMBER`], and gives back its id.
    pub(crate) fn ask(&self) -> String {
        self.begin(&json!({"to": NUMBER}))
    }

    /// Starts a verification, and gives back its id.
    pub(crate) fn begin(&self, body: &Value) -> String {
        let answer = self.post("/v1/verifications", body);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Starts a verification as part of a trace that these headers tell of.
    pub(crate) fn start_in(&self, trace: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [("Authorization", BEARER), ("Content-Type", "application/json")];
        let headers = [&headers, trace].concat();
        let body = body.to_string();
        request(self.api, "POST", "/v1/verifications", &headers, body.as_bytes())
    }

    /// Posts JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("Authorization", BEARER), ("Content-Type", "application/json")];
        request(self.api, "POST", path, &headers, body.to_string().as_bytes())
    }

    /// Reads a verification; `query` is empty, or `?wait=…`.
    pub(crate) fn read(&self, id: &str, query: &str) -> Value {
        let answer = self.get(&format!("{id}{query}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// What is answered to whoever reads a verification.
    pub(crate) fn get(&self, what: &str) -> Answer {
        let path = format!("/v1/verifications/{what}");
        request(self.api, "GET", &path, &[("Authorization", BEARER)], b"")
    }

    /// Waits until the attempt is in this state.
    pub(crate) fn reaches(&self, id: &str, state: &str) {
        wait_for(state, Duration::from_secs(30), || {
            let found = self.read(id, "");
            assert_eq!(found["status"], "pending", "settled before it was {state}: {found}");
            (found["attempts"][0]["state"] == state).then_some(())
        });
    }

    /// Waits until it is settled, and gives it back.
    pub(crate) fn settles(&self, id: &str, within: Duration) -> Value {
        wait_for("settled", within, || {
            let found = self.read(id, "");
            (found["status"] != "pending").then_some(found)
        })
    }

    /// Where the operators' pages are.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// A page of the operators.
    pub(crate) fn admin(&self, path: &str) -> Answer {
        let answer = request(self.admin, "GET", path, &[], b"");
        self.process.must_not_tell(path, answer.body.as_bytes());
        answer
    }

    /// What an operator posts.
    pub(crate) fn operate(&self, path: &str, body: &Value) -> Answer {
        let headers = [("Content-Type", "application/json")];
        request(self.admin, "POST", path, &headers, body.to_string().as_bytes())
    }

    /// The folder of its configuration.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the store.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A command that reads its configuration.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = octothorpe();
        command.current_dir(self.folder.path()).args(words).args(["--config", "octothorpe.toml"]);
        command
    }

    /// Posts JSON to a page of the operators.
    pub(crate) fn admin_post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("Content-Type", "application/json")];
        request(self.admin, "POST", path, &headers, body.to_string().as_bytes())
    }

    /// Sends it a signal: `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits until it has stopped.
    pub(crate) fn stops(&mut self, within: Duration) -> ExitStatus {
        self.process.wait("it stops", within)
    }

    /// SIGTERM, and waits until it has stopped.
    pub(crate) fn terminate(&mut self) {
        self.process.terminate();
    }

    /// The sum of a metric over its labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.admin("/metrics");
        assert_eq!(metrics.status, 200);
        let lines = metrics.body.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

/// What it has stored must not tell what it must not print.
impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for entry in std::fs::read_dir(self.data()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            self.process.must_not_tell(&path.display().to_string(), &bytes);
        }
    }
}

/// Where carriers believe the gateway to be. Whoever plays one finds it at [`Gateway::api`], as a
/// proxy would.
pub(crate) const PUBLIC: &str = "https://gw.example.com";

/// The header that opens the API.
pub(crate) const BEARER: &str = "Bearer otk_e2e_canary_8c1f5d0b7a93e264f0";

/// Starts a gateway in this folder, and waits until it is ready.
fn serve(under: &[String], folder: &Path) -> (Process, [SocketAddr; 3]) {
    let ours = octothorpe();
    let command = under.split_first().map(|(first, more)| {
        let mut command = Command::new(first);
        command.args(more).arg(ours.get_program());
        command
    });
    let mut command = command.unwrap_or(ours);
    command.current_dir(folder).args(["serve", "--config", "octothorpe.toml"]);
    let mut process = Process::gateway(command);
    let mut told = |field: &str| {
        wait_for("the gateway tells where it listens", START, || {
            let log = process.stderr();
            assert!(process.runs(), "the gateway ended: {log}");
            log.lines().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                let address = line[field].as_str()?;
                address.strip_prefix("udp:").unwrap_or(address).parse().ok()
            })
        })
    };
    let [sip, admin, api] = ["sip", "admin", "api"].map(&mut told);
    wait_for("ready", START, || {
        (request(admin, "GET", "/readyz", &[], b"").status == 200).then_some(())
    });
    (process, [api, admin, sip])
}

#[test]
fn without_a_configuration_it_says_what_to_write() {
    let mut command = octothorpe();
    command.arg("serve");
    let mut serve = Process::gateway(command);
    assert_eq!(serve.wait("serve ends", SOON).code(), Some(2));
    assert_eq!(serve.stderr().lines().count(), 3, "{}", serve.stderr());
    assert_eq!(serve.stdout(), "");
}

#[test]
fn a_mistake_in_the_configuration_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "[server]\napi_listen = \"127.0.0.1:0\"\n\n[sip]\nlisen = []\n").unwrap();
    for command in ["serve", "check"] {
        let mut octothorpe = octothorpe();
        octothorpe.arg(command).arg("--config").arg(&file);
        let mut process = Process::gateway(octothorpe);
        let status = process.wait("it ends", SOON);
        let told = process.stderr() + &process.stdout();
        assert_eq!(status.code(), Some(2), "{command}: {told}");
        assert!(told.contains("bad.toml:5"), "{command} names file and line: {told}");
        assert!(told.contains("lisen") && told.contains("listen"), "{command}: {told}");
    }
}
