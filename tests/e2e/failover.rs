//! Two nodes over a Redis behind sentinels whose primary is killed, cut off, or stands still with all its
//! replicas, while people start verifications, type codes and answer calls: nothing that anybody was told is
//! lost, no wrong code is forgotten, and the service comes back by itself.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::{Asked, Load};
use crate::pcap::{POUND, Sound};
use crate::serve::{Gateway, SOON};
use crate::servers::{Machine, Watched, settings, until};
use crate::sipp::Sipp;
use crate::tools::{is_root, wait_for};

/// How soon after a promotion everything must work again.
const BACK: Duration = Duration::from_secs(5);

/// The longest that an answer may take when the store gives none: two calls of 500 ms, and what a busy machine
/// adds.
const REFUSED: Duration = Duration::from_millis(1_500);

/// The names of tests that run inside of a namespace alone.
const INSIDE: &str = "OCTOTHORPE_E2E_INSIDE";

fn number(variable: &str, usual: u64) -> u64 {
    let said = std::env::var(variable).ok();
    said.map_or(usual, |said| said.parse().expect("a number"))
}

/// How many people come in a second.
fn rate() -> usize {
    usize::try_from(number("OCTOTHORPE_FAILOVER_RATE", 20)).unwrap()
}

/// Two nodes, and all around them.
struct Site {
    redis: Watched,
    nodes: [Gateway; 2],
    load: Load,
    _phone: Option<Sipp>,
}

impl Site {
    fn start() -> Self {
        let phone = Sipp::many(100_000, "press", Duration::from_secs(4), Sound::Keys(&[POUND]));
        let here = || here(Vec::new());
        Self::across("127.0.0.1", Watched::start(), [here(), here()], Some(phone))
    }

    /// The load comes from this address.
    fn across(host: &str, redis: Watched, machines: [Machine; 2], phone: Option<Sipp>) -> Self {
        let mut load = Load::at(host);
        let port = phone.as_ref().map(Sipp::port);
        let url = settings(redis.place()).to_string();
        let ways = if port.is_some() { load.ways() } else { load.texts() };
        let node = |machine: &Machine| Gateway::node(machine, &url, port, &ways, &load.hooks());
        let nodes = machines.each_ref().map(node);
        load.begin(&nodes.each_ref().map(Gateway::api), rate(), port.is_some());
        std::thread::sleep(SOON * 2 / 5);
        Self { redis, nodes, load, _phone: phone }
    }

    /// Waits for another primary, and for the nodes to find it. When the first was promoted, and how long
    /// it took the slower node.
    fn promoted(&self, before: u16) -> (Instant, Duration) {
        until("another is promoted", || self.redis.primary() != before);
        let promoted = Instant::now();
        (promoted, self.back(promoted))
    }

    /// How long after this moment the slower node began a verification again.
    fn back(&self, after: Instant) -> Duration {
        let first =
            |node| wait_for("the service is back", 6 * SOON, || self.load.first(node, after));
        first(0).max(first(1))
    }

    /// Goes on for a little, and compares. Gives the figures of it.
    fn ends(mut self, what: &str, back: Duration) -> String {
        std::thread::sleep(SOON / 4);
        let told = self.load.end();
        assert!(back <= BACK, "{what}: back only after {back:?}");
        for node in &self.nodes {
            wait_for("it is ready", SOON, || (node.readiness().0 == 200).then_some(()));
        }
        format!("{what}; back after {back:.1?}; {told}")
    }
}

/// This machine, with whatever stands before a command on it.
fn here(before: Vec<String>) -> Machine {
    // What is logged is looked at by other tests, and would be much.
    let log = ["env", "RUST_LOG=info"].map(str::to_owned);
    Machine { under: before.into_iter().chain(log).collect(), ..Machine::here() }
}

#[test]
fn a_primary_that_is_killed_takes_nothing_with_it_that_was_told() {
    let site = Site::start();
    let (before, killed) = (site.redis.primary(), Instant::now());
    site.redis.servers[0].signal("KILL");
    let (promoted, back) = site.promoted(before);
    let what = format!("killed, another promoted {:.1?} later", promoted - killed);
    println!("{}", site.ends(&what, back));
}

#[test]
fn a_redis_that_stands_still_is_waited_for_half_a_second() {
    let site = Site::start();
    let signal = |name: &str| site.redis.servers.iter().for_each(|it| it.signal(name));
    let span = Duration::from_secs(number("OCTOTHORPE_FROZEN_SECONDS", 6));
    let memory = || site.nodes.each_ref().map(Gateway::memory);
    let (before, mut most) = (memory(), 0);
    signal("STOP");
    let frozen = Instant::now();
    while frozen.elapsed() < span {
        let tasks = site.nodes.iter().map(|node| node.metric("octothorpe_tasks"));
        most = tasks.fold(most, u64::max);
        std::thread::sleep(Duration::from_millis(500));
    }
    let after = memory();
    let asked = site.load.asked();
    signal("CONT");
    let back = site.back(Instant::now());

    // What was asked just before may have been answered just before.
    let during = |it: &&Asked| it.at > frozen + Duration::from_millis(100);
    let mut took: Vec<Duration> = Vec::new();
    for it in asked.iter().filter(during) {
        let code = it.code.as_str();
        assert!(it.status == 503 && code == "store_unsafe", "{it:?}");
        took.push(it.took);
    }
    took.sort();
    let (half, last) = (took[took.len() / 2], took[took.len() - 1]);
    assert!(last <= REFUSED, "an answer took {last:?}");
    let bound = 300 + 3 * u64::try_from(rate()).unwrap();
    assert!(most <= bound, "{most} tasks");
    let what = format!(
        "no server answered for {span:?}: {} requests refused, half within {half:.0?}, all within {last:.0?}; {most} \
         tasks at most, memory {before:?} KiB before and {after:?} after",
        took.len()
    );
    println!("{}", site.ends(&what, back));
}

/// Where everything but the first primary and the first node is, as those two see it, and where they are.
const REST: (&str, &str) = ("10.77.1.1", "10.77.2.1");
const CUT_OFF: (&str, &str) = ("10.77.1.2", "10.77.2.2");

#[test]
fn a_primary_that_is_cut_off_with_a_node_tells_nobody_what_it_has_alone() {
    let mut shell = Command::new("unshare");
    if !is_root() {
        shell.args(["--user", "--map-root-user"]);
    }
    let inside = "ip link set lo up && exec \"$1\" --exact failover::inside --ignored --nocapture";
    shell.args(["--net", "sh", "-c", inside, "sh"]).arg(std::env::current_exe().unwrap());
    shell.env(INSIDE, "1");
    let ran = shell.stdin(Stdio::null()).output().expect("apt-get install util-linux iproute2");
    let (told, log) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && told.contains("1 passed"), "{told}\n{log}");
    print!("{told}");
}

/// A machine of its own, with two lines to this one: over the first people reach it, over the second Redis.
struct Elsewhere(Child);

impl Elsewhere {
    fn start() -> Self {
        let mut sleep = Command::new("unshare");
        let elsewhere = Self(sleep.args(["--net", "sleep", "infinity"]).spawn().unwrap());
        let namespace = |id: &str| std::fs::read_link(format!("/proc/{id}/ns/net")).ok();
        let id = elsewhere.0.id().to_string();
        until("it is elsewhere", || namespace(&id).is_some_and(|it| Some(it) != namespace("self")));
        for (n, (rest, cut_off)) in
            [(REST.0, CUT_OFF.0), (REST.1, CUT_OFF.1)].into_iter().enumerate()
        {
            run(&[
                "ip",
                "link",
                "add",
                &format!("near{n}"),
                "type",
                "veth",
                "peer",
                "name",
                &format!("far{n}"),
                "netns",
                &id,
            ]);
            run(&["ip", "address", "add", &format!("{rest}/24"), "dev", &format!("near{n}")]);
            run(&["ip", "link", "set", &format!("near{n}"), "up"]);
            let there = format!(
                "ip link set lo up; ip address add {cut_off}/24 dev far{n}; ip link set far{n} up"
            );
            let mut words = elsewhere.enter();
            words.extend(["sh".to_owned(), "-c".to_owned(), there]);
            run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
        elsewhere
    }

    /// The command that runs another one there.
    fn enter(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.0.id())]
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(words: &[&str]) {
    let ran = Command::new(words[0])
        .args(&words[1..])
        .output()
        .expect("apt-get install iproute2 nftables");
    assert!(ran.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
#[ignore = "runs within a network namespace, by the test above"]
fn inside() {
    assert!(std::env::var_os(INSIDE).is_some(), "it needs lines of its own");
    let elsewhere = Elsewhere::start();
    let there = |host: &str| Machine { host: host.to_owned(), under: elsewhere.enter() };
    let rest = Machine { host: REST.1.to_owned(), under: Vec::new() };
    let redis = Watched::across(&there(CUT_OFF.1), &rest);
    let cut_off = Machine { host: CUT_OFF.0.to_owned(), ..here(elsewhere.enter()) };
    let site = Site::across(REST.0, redis, [cut_off, here(Vec::new())], None);
    let before = site.redis.primary();

    run(&[
        "nft",
        "add table inet cut; add chain inet cut in { type filter hook input priority 0; }; \
          add rule inet cut in iifname near1 drop; add chain inet cut out { type filter hook output priority 0; }; \
          add rule inet cut out oifname near1 drop",
    ]);
    let cut = Instant::now();
    until("another is promoted", || site.redis.primary() != before);
    let promoted = Instant::now();
    // The node on the right side of the cut goes on; the other one waits.
    let back = wait_for("the service is back", SOON, || site.load.first(1, promoted));
    std::thread::sleep(SOON / 4);
    let asked = site.load.asked();
    let alone = |it: &&Asked| it.node == 0 && it.at > cut;
    let alone: Vec<_> = asked.iter().filter(alone).collect();
    assert!(!alone.is_empty() && alone.iter().all(|it| it.status == 503), "{alone:?}");
    let has_alone = site.redis.servers[0].ask(&["INFO", "replication"]);
    assert!(has_alone.contains("role:master"), "{has_alone}");
    run(&["nft", "delete table inet cut"]);
    let healed = Instant::now();
    until("the old primary is a replica", || {
        site.redis.servers[0].ask(&["INFO", "replication"]).contains("role:slave")
    });
    let demoted = healed.elapsed();
    let both = site.back(healed);
    let what = format!(
        "cut off, another promoted {:.1?} later, {} requests refused on the wrong side; the other side back after \
         {back:.1?}; the old primary a replica {:.1?} after the cut was mended",
        promoted - cut,
        alone.len(),
        demoted
    );
    assert!(back <= BACK, "{back:?}");
    println!("{}", site.ends(&what, both));
}
