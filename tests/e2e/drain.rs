//! SIGTERM: who is at the phone is served, nobody is called any more, and the process ends well.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::request;
use crate::pcap::{POUND, Sound};
use crate::phone::{Manner, Phone};
use crate::serve::{BEARER, Gateway, SOON};
use crate::sipp::Sipp;
use crate::tools::wait_for;
use crate::webhook::Receiver;

/// The longest that a gateway may take to stop.
const DRAIN: Duration = Duration::from_secs(90);

/// How many calls are up when it is told to stop.
fn calls() -> usize {
    let calls = std::env::var("OCTOTHORPE_DRAIN_CALLS").ok();
    calls.map_or(50, |calls| calls.parse().expect("a number of calls"))
}

/// A client that asked once, and keeps its connection.
fn idle(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.api()).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: gw\r\n\r\n").unwrap();
    let mut answer = [0; 1_024];
    let read = stream.read(&mut answer).unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
    stream
}

/// Whether new verifications are taken, as load balancers ask.
fn is_ready(gateway: &Gateway) -> bool {
    request(gateway.admin_address(), "GET", "/readyz", &[], b"").status == 200
}

#[test]
fn calls_that_are_up_finish_and_nothing_new_begins() {
    let calls = calls();
    let mut phone = Sipp::many(calls, "press", Duration::from_secs(12), Sound::Keys(&[POUND]));
    let receiver = Receiver::start(&[]);
    let mut gateway = Gateway::start(phone.port(), Some(receiver.url()));
    let begin = |n: usize| gateway.begin(&json!({"to": format!("+141555501{n:02}")}));
    let ids: Vec<String> = (0..calls).map(begin).collect();
    ids.iter().for_each(|id| gateway.reaches(id, "listening"));
    let mut client = idle(&gateway);

    gateway.signal("TERM");
    let told = Instant::now();
    wait_for("not ready", Duration::from_secs(1), || (!is_ready(&gateway)).then_some(()));
    println!("not ready after {:?}", told.elapsed());
    let headers = [("Authorization", BEARER), ("Content-Type", "application/json")];
    let body = json!({"to": "+14155550199"}).to_string();
    let refused = request(gateway.api(), "POST", "/v1/verifications", &headers, body.as_bytes());
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(gateway.read(&ids[0], "")["status"], "pending", "whoever asks is answered");

    let status = gateway.stops(DRAIN);
    println!("{calls} calls: stopped after {:?}", told.elapsed());
    assert!(status.success(), "{status}");
    assert!(told.elapsed() > Duration::from_secs(2), "nobody was cut off");
    assert_eq!(client.read(&mut [0; 64]).unwrap(), 0, "its connection was closed");
    phone.content().unwrap();
    let verdicts: Vec<Value> =
        receiver.tries().iter().map(|one| one.json()["data"].clone()).collect();
    for id in &ids {
        let told: Vec<_> = verdicts.iter().filter(|it| it["id"] == id.as_str()).collect();
        assert_eq!(told.len(), 1, "{id}");
        assert_eq!(told[0]["status"], "approved", "{}", told[0]);
    }
}

#[test]
fn a_second_sigterm_ends_calls_politely() {
    let phone = Phone::start(Manner::Answer);
    let receiver = Receiver::start(&[]);
    let mut gateway = Gateway::start(phone.port(), Some(receiver.url()));
    let id = gateway.ask();
    phone.speak();
    gateway.reaches(&id, "listening");
    let _client = idle(&gateway);
    gateway.signal("TERM");
    wait_for("not ready", Duration::from_secs(1), || (!is_ready(&gateway)).then_some(()));
    assert_eq!(gateway.read(&id, "")["status"], "pending");
    gateway.signal("TERM");
    assert!(gateway.stops(SOON).success());
    assert_eq!(phone.count("BYE"), 1);
    let event = receiver.taken(SOON);
    assert_eq!(event.json()["data"]["reason"], "node_lost");
}

#[test]
fn what_waits_for_room_is_called_by_the_next_run() {
    let phone = Phone::start(Manner::Answer);
    let trunk = format!(
        r#"
        [[trunks]]
        name = "phone"
        target = "sip:127.0.0.1:{port};transport=udp"
        options_secs = 0
        caller_id = "+12025550100"
        max_calls = 1
        "#,
        port = phone.port()
    );
    let mut gateway = Gateway::with(&trunk, "");
    let first = gateway.begin(&json!({"to": "+14155550101"}));
    phone.speak();
    gateway.reaches(&first, "listening");
    let second = gateway.begin(&json!({"to": "+14155550102", "expires_in": 120}));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(gateway.read(&second, "")["attempts"][0]["state"], "queued");
    gateway.signal("TERM");
    wait_for("not ready", Duration::from_secs(1), || (!is_ready(&gateway)).then_some(()));
    phone.press();
    assert!(gateway.stops(DRAIN).success());
    assert_eq!(phone.calls(), 1, "nobody else was called");
    gateway.restart();
    wait_for("it is called", SOON, || (phone.calls() == 2).then_some(()));
    assert_eq!(gateway.read(&second, "")["status"], "pending");
}
