//! Two gateways over one Redis, as a load balancer has them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pcap::{POUND, Sound};
use crate::phone::{Manner, Phone};
use crate::serve::{BEARER, Gateway, SOON};
use crate::sipp::Sipp;
use crate::tools::{Process, ports, wait_for};
use crate::webhook::Receiver;

/// How long another node may take to settle what a lost one held.
const TAKEN_OVER: Duration = Duration::from_secs(20);

/// A `redis-server` that keeps nothing on disk.
struct Redis {
    _process: Process,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        let port = ports(1);
        let mut redis = Command::new("redis-server");
        redis.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        redis.args(["--save", "", "--appendonly", "no"]);
        let process = Process::phone(redis, "redis-server");
        wait_for("Redis answers", SOON, || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.write_all(b"PING\r\n").ok()?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).ok()?;
            (&answer == b"+PONG\r\n").then_some(())
        });
        Self { _process: process, port }
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

/// What a load balancer knows.
#[derive(Clone, Default)]
struct Balancer(Arc<Mutex<Vec<SocketAddr>>>);

impl Balancer {
    fn set(&self, nodes: &[&Gateway]) {
        *self.0.lock().unwrap() = nodes.iter().map(|node| node.api()).collect();
    }

    /// Begins a verification at whichever node takes it.
    fn begin(&self, n: usize) -> String {
        wait_for("some node takes it", SOON, || {
            let nodes = self.0.lock().unwrap().clone();
            (0..nodes.len()).find_map(|turn| try_begin(nodes[(n + turn) % nodes.len()], n))
        })
    }
}

/// `None`: this node does not take it.
fn try_begin(at: SocketAddr, n: usize) -> Option<String> {
    let area = [212, 310, 415, 512, 617, 702, 713, 718, 808, 917][n / 100 % 10];
    let body = json!({"to": format!("+1{area}55501{:02}", n % 100)}).to_string();
    let head = format!(
        "POST /v1/verifications HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nAuthorization: {BEARER}\r\n\
         Content-Type: application/json\r\nIdempotency-Key: start-{n}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(at).ok()?;
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if !head.starts_with("HTTP/1.1 201") {
        assert!(head.starts_with("HTTP/1.1 503"), "{answer}");
        return None;
    }
    let body: Value = serde_json::from_str(body).unwrap();
    Some(body["id"].as_str().unwrap().to_owned())
}

#[test]
fn nodes_are_exchanged_one_after_the_other_under_load() {
    let (redis, receiver) = (Redis::start(), Receiver::start(&[]));
    let phone = Sipp::many(100_000, "press", Duration::from_secs(5), Sound::Keys(&[POUND]));
    let node = || Gateway::sharing(redis.port, phone.port(), receiver.url());
    let (mut a, mut b) = (node(), node());
    let balancer = Balancer::default();
    balancer.set(&[&a, &b]);
    let over = AtomicBool::new(false);
    let ids = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut ids = Vec::new();
            while !over.load(Ordering::Relaxed) {
                ids.push(balancer.begin(ids.len()));
                std::thread::sleep(Duration::from_millis(300));
            }
            ids
        });
        std::thread::sleep(Duration::from_secs(3));
        a.signal("TERM");
        assert!(a.stops(Duration::from_secs(90)).success());
        a.restart();
        balancer.set(&[&a, &b]);
        std::thread::sleep(Duration::from_secs(2));
        b.signal("TERM");
        assert!(b.stops(Duration::from_secs(90)).success());
        b.restart();
        balancer.set(&[&a, &b]);
        std::thread::sleep(Duration::from_secs(2));
        over.store(true, Ordering::Relaxed);
        load.join().unwrap()
    });
    let mut verdicts = std::collections::BTreeMap::<String, usize>::new();
    for id in &ids {
        let found = a.settles(id, Duration::from_secs(60));
        *verdicts.entry(format!("{} {}", found["status"], found["reason"])).or_default() += 1;
    }
    println!("{} verifications while both nodes were exchanged: {verdicts:?}", ids.len());
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    assert!(verdicts.contains_key(r#""approved" "confirmed""#), "{verdicts:?}");
}
