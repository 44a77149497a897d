//! Redis servers on loopback, which end with the process that started them.

#![expect(clippy::disallowed_methods, reason = "what takes how long is measured")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use octothorpe::ambient::Clock;
use octothorpe::store::{RedisPlace, RedisServer, RedisSettings, Store};
use octothorpe::verify::code::Vault;

/// One for all tests that need no more than that, with the user that is recommended, and its rights.
static ALONE: LazyLock<Server> = LazyLock::new(|| {
    let conf = include_str!("../../docker/redis.conf").replace("{octothorpe}", "{test-*}");
    let args = ["--min-replicas-to-write", "0", "--appendonly", "no"];
    Server::start(&Machine::here(), "redis-server", Some(&conf), &args)
});

/// A primary, its replicas and sentinels, for tests that kill nobody.
static WATCHED: LazyLock<Watched> = LazyLock::new(Watched::start);

static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);

/// What sentinels call the primary.
pub(super) const SERVICE: &str = "octothorpe";

/// A store of its own on a server without replicas.
pub(super) fn alone() -> Store {
    open(&named())
}

/// Settings with the recommended user, for a store of its own.
pub(super) fn named() -> RedisSettings {
    let (user, password) = ("gateway".to_owned(), "of-the-gateway".to_owned().into());
    RedisSettings { user: Some(user), password: Some(password), ..settings(ALONE.place()) }
}

/// A store of its own behind sentinels.
pub(super) fn watched() -> Store {
    open(&settings(WATCHED.place()))
}

/// A store of its own on a cluster.
pub(super) fn cluster() -> Store {
    open(&settings(CLUSTER.place()))
}

pub(super) fn open(settings: &RedisSettings) -> Store {
    open_by(settings, &Clock::system())
}

/// As whoever has this clock opens it.
pub(super) fn open_by(settings: &RedisSettings, clock: &Clock) -> Store {
    Store::redis(settings.clone(), &Vault::of("a key of tests"), clock).unwrap()
}

/// Settings with a prefix that nobody else has.
pub(super) fn settings(place: RedisPlace) -> RedisSettings {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    RedisSettings {
        place,
        tls: false,
        user: None,
        password: None,
        prefix: format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        min_replicas: None,
        folder: "data".into(),
    }
}

/// What a server runs on.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Its address.
    pub(super) host: String,
    /// The command that runs another one on it.
    pub(super) under: Vec<String>,
}

impl Machine {
    pub(super) fn here() -> Self {
        Self { host: "127.0.0.1".to_owned(), under: Vec::new() }
    }

    fn command(&self, program: &str) -> Command {
        let mut words = self.under.iter().map(String::as_str).chain([program]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        command
    }
}

/// A server that listens on a port of its own.
pub(super) struct Server {
    pub(super) port: u16,
    on: Machine,
    command: Vec<String>,
    pid: String,
    /// Each ends a server when this end of its input is closed.
    shells: Vec<Child>,
}

impl Server {
    /// A `redis-server` that keeps nothing on disk.
    pub(super) fn redis(more: &[&str]) -> Self {
        Self::redis_on(&Machine::here(), more)
    }

    fn redis_on(machine: &Machine, more: &[&str]) -> Self {
        let mut args = vec!["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"];
        args.extend(more);
        Self::start(machine, "redis-server", None, &args)
    }

    fn sentinel(machine: &Machine, primary: &RedisServer) -> Self {
        let RedisServer { host, port } = primary;
        let conf = format!(
            "sentinel monitor {SERVICE} {host} {port} 2\n\
             sentinel down-after-milliseconds {SERVICE} 1000\n\
             sentinel failover-timeout {SERVICE} 3000\n"
        );
        Self::start(machine, "redis-sentinel", Some(&conf), &[])
    }

    fn start(machine: &Machine, program: &str, conf: Option<&str>, args: &[&str]) -> Self {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        assert!(
            found.is_ok(),
            "{program} is missing; install it with: apt-get install redis-server redis-sentinel"
        );
        let (port, bus) = (free_port().to_string(), free_port().to_string());
        let dir = tempfile::tempdir().unwrap().keep();
        let (file, dir) = (dir.join("conf"), dir.to_str().unwrap().to_owned());
        std::fs::write(&file, conf.unwrap_or_default()).unwrap();
        let file = file.to_str().unwrap();
        let mut command = vec![dir.as_str()];
        command.extend(machine.under.iter().map(String::as_str));
        command.extend([program, file, "--port", &port, "--bind", &machine.host, "--dir", &dir]);
        command.extend(["--protected-mode", "no"]);
        if program == "redis-server" {
            command.extend(["--cluster-port", &bus]);
        }
        command.extend(args);
        let command = command.into_iter().map(str::to_owned).collect();
        let port = port.parse().unwrap();
        let (on, pid) = (machine.clone(), String::new());
        let mut server = Self { port, on, command, pid, shells: Vec::new() };
        server.run();
        server
    }

    /// Starts it, or starts it again after it was killed.
    pub(super) fn run(&mut self) {
        // The shell waits for the end of this process, however it comes.
        let script = r#"dir=$1; shift; "$@" </dev/null >>"$dir/log" 2>&1 & pid=$!; echo $pid
            cat >/dev/null; kill -9 $pid 2>/dev/null; rm -rf "$dir""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).args(&self.command);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut pid = String::new();
        BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut pid).unwrap();
        self.pid = pid.trim().to_owned();
        self.shells.push(shell);
        let answers = |told: &str| told == "PONG" || told.starts_with("NOAUTH");
        until("the server answers", || answers(&self.ask(&["PING"])));
    }

    pub(super) fn place(&self) -> RedisPlace {
        RedisPlace::Alone { server: self.address(), database: 0 }
    }

    fn address(&self) -> RedisServer {
        RedisServer { host: self.on.host.clone(), port: self.port }
    }

    /// What it answers to a command.
    pub(super) fn ask(&self, command: &[&str]) -> String {
        let mut cli = self.on.command("redis-cli");
        cli.args(["-h", &self.on.host, "-p", &self.port.to_string()]);
        let told = cli.args(command).output().unwrap();
        String::from_utf8_lossy(&told.stdout).trim_end().to_owned()
    }

    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(&self.pid).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for shell in &mut self.shells {
            drop(shell.stdin.take());
            let _ended = shell.wait();
        }
    }
}

/// A primary with two replicas, and three sentinels.
pub(super) struct Watched {
    pub(super) servers: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Watched {
    pub(super) fn start() -> Self {
        Self::across(&Machine::here(), &Machine::here())
    }

    /// The primary on one machine, everything else on another.
    pub(super) fn across(one: &Machine, other: &Machine) -> Self {
        let primary = Server::redis_on(one, &[]);
        let of = format!("{} {}", one.host, primary.port);
        let replica = |_| Server::redis_on(other, &["--replicaof", &of]);
        let mut servers: Vec<Server> = (0..2).map(replica).collect();
        servers.insert(0, primary);
        let replicas = || servers[0].ask(&["INFO", "replication"]).matches("state=online").count();
        until("there are two replicas", || replicas() == 2);
        let primary = servers[0].address();
        let sentinels: Vec<_> = (0..3).map(|_| Server::sentinel(other, &primary)).collect();
        let knows = |it: &Server| {
            let told = it.ask(&["SENTINEL", "MASTER", SERVICE]);
            let lines: Vec<&str> = told.lines().collect();
            let number =
                |name| lines.windows(2).find(|it| it[0] == name).map_or("", |it| it[1]).to_owned();
            number("num-slaves") == "2" && number("num-other-sentinels") == "2"
        };
        until("sentinels know each other", || sentinels.iter().all(knows));
        Self { servers, sentinels }
    }

    pub(super) fn place(&self) -> RedisPlace {
        let servers = self.sentinels.iter().map(Server::address).collect();
        RedisPlace::Sentinels { servers, service: SERVICE.to_owned() }
    }

    /// The port of the primary, as most sentinels know it.
    pub(super) fn primary(&self) -> u16 {
        let ask = |it: &Server| it.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]);
        let mut ports: Vec<u16> = self
            .sentinels
            .iter()
            .filter_map(|it| ask(it).lines().nth(1).and_then(|port| port.parse().ok()))
            .collect();
        ports.sort_unstable();
        ports[ports.len() / 2]
    }
}

/// Six nodes: three primaries, and a replica of each.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Server>,
}

impl Cluster {
    pub(super) fn start() -> Self {
        let node = |_| {
            let options = [
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1500",
                "--loglevel",
                "notice",
            ];
            Server::redis(&options)
        };
        let nodes: Vec<Server> = (0..6).map(node).collect();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]);
        create.args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
        create.args(["--cluster-replicas", "1", "--cluster-yes"]);
        let created = create.output().unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        let is_up = |it: &Server| it.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
        until("the cluster is up", || nodes.iter().all(is_up));
        let has_replica = |it: &Server| {
            let told = it.ask(&["INFO", "replication"]);
            told.contains("role:slave") && told.contains("master_link_status:up")
                || told.contains("state=online")
        };
        until("each primary has a replica", || nodes.iter().all(has_replica));
        Self { nodes }
    }

    pub(super) fn place(&self) -> RedisPlace {
        RedisPlace::Cluster { servers: self.nodes.iter().map(Server::address).collect() }
    }
}

/// A port that nobody has, and never the same twice.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(super) fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
