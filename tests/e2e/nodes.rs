//! Two gateways over one Redis, as a load balancer has them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::load::Load;
use crate::pcap::{POUND, Sound};
use crate::phone::{Manner, Phone};
use crate::serve::{Gateway, SOON};
use crate::servers::Machine;
use crate::sipp::Sipp;
use crate::tools::{NUMBER, Process, faketime, ports, wait_for};
use crate::webhook::Receiver;

/// How long another node may take to settle what a lost one held.
const TAKEN_OVER: Duration = Duration::from_secs(20);

/// A `redis-server` on its own.
pub(crate) struct Redis {
    _process: Process,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl Redis {
    /// One that keeps nothing on disk.
    pub(crate) fn start() -> Self {
        Self::run(ports(1), tempfile::tempdir().unwrap(), "no")
    }

    /// One that has on disk whatever it has answered.
    #[cfg(feature = "failpoints")]
    pub(crate) fn kept() -> Self {
        Self::run(ports(1), tempfile::tempdir().unwrap(), "yes")
    }

    /// `kill -9`, and another start on what is on the disk.
    #[cfg(feature = "failpoints")]
    pub(crate) fn dies_and_is_back(self) -> Self {
        let Self { _process: mut process, port, _folder: folder } = self;
        process.kill();
        Self::run(port, folder, "yes")
    }

    fn run(port: u16, folder: TempDir, kept: &str) -> Self {
        let mut redis = Command::new("redis-server");
        redis.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
        redis.args(["--appendonly", kept, "--appendfsync", "always", "--dir"]).arg(folder.path());
        let process = Process::phone(redis, "redis-server");
        wait_for("Redis answers", SOON, || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.write_all(b"PING\r\n").ok()?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).ok()?;
            (&answer == b"+PONG\r\n").then_some(())
        });
        Self { _process: process, port, _folder: folder }
    }
}

/// Two nodes, and the phone that they call.
struct Site {
    a: Gateway,
    b: Gateway,
    phone: Phone,
    receiver: Receiver,
    _redis: Redis,
}

impl Site {
    fn start(manner: Manner) -> Self {
        let (redis, phone, receiver) = (Redis::start(), Phone::start(manner), Receiver::start(&[]));
        let node = || Gateway::sharing(redis.port, phone.port(), receiver.url());
        let (a, b) = (node(), node());
        Self { a, b, phone, receiver, _redis: redis }
    }

    /// Asks at the first node, until its call is so far.
    fn listening(&self) -> String {
        let id = self.a.ask();
        self.phone.speak();
        self.a.reaches(&id, "listening");
        id
    }
}

#[test]
fn a_press_at_one_node_answers_who_waits_at_the_other() {
    let site = Site::start(Manner::Answer);
    let id = site.listening();
    let version = site.b.read(&id, "")["version"].as_u64().unwrap();
    let waits = std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut version = version;
            loop {
                let found = site.b.read(&id, &format!("?wait=30&since={version}"));
                if found["status"] != "pending" {
                    return (found, Instant::now());
                }
                version = found["version"].as_u64().unwrap();
            }
        });
        std::thread::sleep(Duration::from_millis(500));
        site.phone.press();
        let here = wait_for("settled here", SOON, || {
            (site.a.read(&id, "")["status"] != "pending").then(Instant::now)
        });
        let (found, there) = waits.join().unwrap();
        assert_eq!(found["status"], "approved", "{found}");
        there.saturating_duration_since(here)
    });
    println!("who waits at the other node is answered {waits:?} after it is settled at the first");
    assert!(waits < Duration::from_millis(100), "{waits:?}");
}

#[test]
fn a_cancellation_at_one_node_ends_the_call_of_the_other() {
    let site = Site::start(Manner::Answer);
    let id = site.listening();
    let canceled = Instant::now();
    let answer = site.b.post(&format!("/v1/verifications/{id}/cancel"), &json!({}));
    assert_eq!(answer.status, 200, "{answer:?}");
    wait_for("BYE", SOON, || (site.phone.count("BYE") > 0).then_some(()));
    println!("BYE comes {:?} after the other node was asked", canceled.elapsed());
    assert!(canceled.elapsed() < Duration::from_millis(200), "{:?}", canceled.elapsed());
    assert_eq!(site.a.read(&id, "")["status"], "canceled");
}

#[test]
fn nodes_whose_clocks_differ_by_four_minutes_take_each_other_for_alive_and_end_in_time() {
    let (redis, phone) = (Redis::start(), Phone::start(Manner::Answer));
    let receiver = Receiver::start(&[]);
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let node = |time: &str| {
        let (library, fake) = (faketime(), format!("FAKETIME={time}"));
        let preload = format!("LD_PRELOAD={library}");
        let under = ["env", &preload, &fake, "FAKETIME_DONT_FAKE_MONOTONIC=1"];
        let machine = Machine { under: under.map(str::to_owned).to_vec(), ..Machine::here() };
        Gateway::node(&machine, &url, Some(phone.port()), "", receiver.url())
    };
    let nodes = [node("-120s"), node("+120s")];
    for (one, other) in [(0, 1), (1, 0)] {
        let began = Instant::now();
        let body = json!({"to": NUMBER, "expires_in": 20});
        let id = nodes[one].begin(&body);
        phone.speak();
        nodes[one].reaches(&id, "listening");
        // Longer than a lease is.
        std::thread::sleep(Duration::from_secs(17).saturating_sub(began.elapsed()));
        let found = nodes[other].read(&id, "");
        assert_eq!((&found["status"], &found["reason"]), (&"pending".into(), &Value::Null));
        let settled = nodes[other].settles(&id, Duration::from_secs(10));
        let took = began.elapsed();
        println!("{} {} after {took:.1?}", settled["status"], settled["reason"]);
        assert_ne!(settled["reason"], "node_lost", "{settled}");
        assert!((19.5..25.0).contains(&took.as_secs_f32()), "over after {took:?}");
        wait_for("BYE", SOON, || (phone.count("BYE") > one).then_some(()));
    }
    // And a press is heard.
    let id = nodes[1].ask();
    phone.speak();
    nodes[1].reaches(&id, "listening");
    phone.press();
    assert_eq!(nodes[0].settles(&id, SOON)["status"], "approved");
}

#[test]
fn a_node_that_is_killed_is_settled_for_by_the_other() {
    let mut site = Site::start(Manner::Ring);
    let id = site.a.ask();
    site.a.reaches(&id, "ringing");
    site.a.kill();
    let killed = Instant::now();
    let found = site.b.settles(&id, TAKEN_OVER);
    println!("settled {:?} after the node was killed", killed.elapsed());
    assert_eq!((&found["status"], &found["reason"]), (&"failed".into(), &"node_lost".into()));
    let event = site.receiver.taken(SOON);
    assert_eq!(event.resource(), found);
    assert_eq!(site.phone.calls(), 1, "nobody is called twice");
}

#[test]
fn a_node_that_was_stopped_in_the_midst_of_a_call_gives_it_up() {
    let site = Site::start(Manner::Answer);
    let id = site.listening();
    site.a.signal("STOP");
    let stopped = Instant::now();
    let found = site.b.settles(&id, TAKEN_OVER);
    println!("settled {:?} after the node was stopped", stopped.elapsed());
    assert_eq!(found["reason"], "node_lost", "{found}");
    std::thread::sleep(Duration::from_secs(30).saturating_sub(stopped.elapsed()));
    site.a.signal("CONT");
    site.phone.press();
    wait_for("BYE", SOON, || (site.phone.count("BYE") > 0).then_some(()));
    wait_for("it serves again", SOON, || (site.a.admin("/readyz").status == 200).then_some(()));
    assert_eq!(site.a.read(&id, ""), found, "a verdict is kept");
    assert_eq!((site.phone.count("INVITE"), site.phone.calls()), (1, 1));
    // And it goes on as ever.
    let again = site.a.ask();
    wait_for("another call", SOON, || (site.phone.calls() == 2).then_some(()));
    assert_eq!(site.a.read(&again, "")["status"], "pending");
}

/// Both nodes are of this version at first, or of another one that `OCTOTHORPE_OLD_BIN` names, and each is
/// exchanged for one of this version while people come.
#[test]
fn nodes_are_exchanged_one_after_the_other_under_load() {
    let older = std::env::var_os("OCTOTHORPE_OLD_BIN").map(|_| {
        let other = ["sh", "-c", "shift; exec \"$OCTOTHORPE_OLD_BIN\" \"$@\"", "sh"];
        other.map(str::to_owned).to_vec()
    });
    let older = Machine { under: older.unwrap_or_default(), ..Machine::here() };
    let (redis, mut load) = (Redis::start(), Load::at("127.0.0.1"));
    let phone = Sipp::many(100_000, "press", Duration::from_secs(5), Sound::Keys(&[POUND]));
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let node = || Gateway::node(&older, &url, Some(phone.port()), &load.ways(), &load.hooks());
    let (mut a, mut b) = (node(), node());
    load.begin(&[a.api(), b.api()], 20, true);
    std::thread::sleep(Duration::from_secs(3));
    for turn in 0..2 {
        // As a load balancer does that looks at /readyz.
        let (going, staying) = if turn == 0 { (&mut a, &b) } else { (&mut b, &a) };
        load.ask_at(&[staying.api()]);
        going.signal("TERM");
        assert!(going.stops(Duration::from_secs(90)).success());
        going.renew();
        load.ask_at(&[going.api(), staying.api()]);
        std::thread::sleep(Duration::from_secs(3));
    }
    let outcome = load.end();
    println!("while both nodes were exchanged: {outcome}");
    assert_eq!(outcome.given_up, 0);
    let fine = ["approved (code_matched)", "approved (confirmed)", "denied (too_many_checks)"];
    assert!(outcome.verdicts.keys().eq(fine), "{outcome}");
}
