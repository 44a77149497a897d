//! The gateway under test: a process of its own, so that its memory and its CPU time are its own; and the Redis that
//! several of them share.

use std::fs::{self, DirBuilder};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::sync::oneshot;

use super::machine::Cores;

/// How long either may take to start.
const START: Duration = Duration::from_secs(20);

/// The address by which it thinks that carriers reach it. Nothing is ever sent there: the bench
/// signs with it, and calls the gateway where it listens.
pub(super) const PUBLIC: &str = "https://gateway.bench.example";

/// The variable that tells it the one secret of the bench: a secret in the configuration itself
/// would be complained of.
pub(super) const SECRET: &str = "env:BENCH_SECRET";

/// How many of its complaints are kept.
const COMPLAINTS: usize = 20;

/// Where it keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Store {
    /// In memory.
    Memory,
    /// On disk, synced before anybody is answered.
    Disk,
}

impl Store {
    /// Those that were asked for; both when none was.
    pub(super) fn chosen(asked: &[Self]) -> Vec<Self> {
        if asked.is_empty() { vec![Self::Memory, Self::Disk] } else { asked.to_vec() }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

/// A folder that is gone when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn create(parent: &Path) -> anyhow::Result<Self> {
        let path = parent.join(format!("octothorpe-bench-{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left for the system to clean up.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A Redis without replicas, which writes down what it is told as the guide says; killed when dropped.
pub(super) struct Redis {
    process: Child,
    /// Where it listens.
    pub(super) port: u16,
}

impl Redis {
    /// Starts one with its files in this folder, on this core or on those of this process.
    pub(super) async fn start(folder: &Path, own: Option<Cores>) -> anyhow::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command =
            own.map_or_else(|| Command::new("redis-server"), |own| own.command("redis-server"));
        command.args("--bind 127.0.0.1 --appendonly yes --appendfsync everysec".split(' '));
        command.arg("--port").arg(port.to_string()).arg("--dir").arg(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().context("cannot start redis-server: is it installed?")?;
        let redis = Self { process, port };
        let listens = async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(START, listens).await.context("redis-server does not listen")?;
        Ok(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A gateway that runs; killed when dropped.
pub(super) struct Gateway {
    process: Child,
    /// Where its API is.
    pub(super) api: SocketAddr,
    /// Where its operator's pages are.
    pub(super) admin: SocketAddr,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// Starts one with one media thread; `rest` is what its configuration says of trunks,
    /// carriers, routes and tenants, and `secret` what [`SECRET`] stands for in it.
    pub(super) async fn start(
        folder: &Path,
        store: Store,
        rest: &str,
        secret: &str,
        cores: Cores,
    ) -> anyhow::Result<Self> {
        let name = store.name();
        let records = match store {
            Store::Memory => "url = \"memory:\"".to_owned(),
            Store::Disk => format!("url = \"file:{}\"", folder.join(name).display()),
        };
        Self::launch(folder, name, &records, rest, secret, cores).await
    }

    /// Starts the node of this number of those that share a Redis.
    pub(super) async fn sharing(
        folder: &Path,
        (redis, node): (&Redis, usize),
        rest: &str,
        secret: &str,
        cores: Cores,
    ) -> anyhow::Result<Self> {
        let name = format!("node-{node}");
        let own = folder.join(&name);
        let records = format!(
            "url = \"redis://127.0.0.1:{}\"\nsecret = {SECRET:?}\nfolder = \"{}\"",
            redis.port,
            own.display()
        );
        Self::launch(folder, &name, &records, rest, secret, cores).await
    }

    async fn launch(
        folder: &Path,
        name: &str,
        records: &str,
        rest: &str,
        secret: &str,
        cores: Cores,
    ) -> anyhow::Result<Self> {
        let file = folder.join(format!("{name}.toml"));
        fs::write(&file, configuration(records, rest))?;
        let program = std::env::current_exe()?;
        let mut command = cores.command(program);
        // What the person has set for a gateway of theirs is not meant for this one.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("OCTOTHORPE_") || text == "RUST_LOG" {
                command.env_remove(&name);
            }
        }
        command.env(SECRET.trim_start_matches("env:"), secret);
        command.arg("serve").arg("--config").arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let process = command.spawn().context("cannot start the gateway")?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let mut gateway =
            Self { process, api: nowhere, admin: nowhere, complaints: Arc::clone(&complaints) };
        let log = gateway.process.stderr.take().context("the gateway has no log")?;
        let (tell, told) = oneshot::channel();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || read(log, tell, &complaints))?;
        let addresses = tokio::time::timeout(START, told).await;
        let Ok(Ok((api, admin))) = addresses else {
            anyhow::bail!("the gateway did not start: {}", gateway.complaints().join("; "));
        };
        (gateway.api, gateway.admin) = (api, admin);
        Ok(gateway)
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it warned of, and what went wrong in it; not all, if it was much.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(records: &str, rest: &str) -> String {
    format!(
        "[server]\napi_listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
         public_url = {PUBLIC:?}\nmax_connections = 20000\n\
         [store]\n{records}\n\
         [sip]\nlisten = [\"udp:127.0.0.1:0\"]\nrtp_ports = [10000, 31999]\nengines = 1\n\
         [limits]\nnumber = []\ntenant = []\nsubject = []\nprefix = []\n\
         client_ip = []\ncountry = []\n\
         [fraud]\nconversion_warn = 0\nconversion_block = 0\n\
         [log]\nfilter = \"info\"\nformat = \"json\"\n{rest}"
    )
}

type Addresses = (SocketAddr, SocketAddr);

/// Reads its log to the end: the addresses it names, and what it complains of.
fn read(log: ChildStderr, tell: oneshot::Sender<Addresses>, complaints: &Mutex<Vec<String>>) {
    let (mut tell, mut admin) = (Some(tell), None);
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        let fields: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = |name: &str| fields.get(name)?.as_str()?.parse::<SocketAddr>().ok();
        admin = admin.or_else(|| address("admin"));
        if let (Some(api), Some(admin)) = (address("api"), admin)
            && let Some(tell) = tell.take()
        {
            // Whoever started it may have given up.
            let _ = tell.send((api, admin));
        }
        let level = fields.get("level").and_then(Value::as_str);
        let mut kept = complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(level, Some("INFO")) && kept.len() < COMPLAINTS {
            kept.push(line);
        }
    }
}
