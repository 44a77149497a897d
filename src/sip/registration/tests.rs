//! The registration against answers of the test's own.

use super::*;
use crate::sip::{Incoming, message};

const NOW: Timestamp = Timestamp::from_secs(1_000);
const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", qop=\"auth\"\r\n";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn way(last: u8) -> Way {
    let hop = Hop::udp(([192, 0, 2, last], 5060).into());
    Way { hop, local: "198.51.100.1:5062".parse().unwrap() }
}

fn registration(ways: &[Way]) -> Registration {
    let account = Account {
        contact_host: None,
        record: Uri::sip("acme", "carrier.example", None),
        registrar: Uri::sip("", "carrier.example", None),
        routes: Vec::new(),
        credentials: Some(Credentials::new("acme", "canary")),
        expires: secs(600),
    };
    let mut registration = Registration::new(NOW, account, Entropy::from_number(3));
    registration.set_ways(NOW, ways.to_vec());
    registration
}

fn text(sent: Option<Sent>) -> String {
    String::from_utf8(sent.expect("something is sent").1).unwrap()
}

fn answer(request: &str, status: &str, more: &str) -> Box<Message> {
    let line = |name: &str| {
        let found = request.lines().find(|line| line.starts_with(name)).unwrap();
        format!("{found}\r\n")
    };
    let heads = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(line).concat();
    let text = format!("SIP/2.0 {status}\r\n{heads}{more}Content-Length: 0\r\n\r\n");
    match message::read(text.as_bytes()).unwrap() {
        Incoming::Message(message) => message,
        Incoming::KeepAlive => panic!("a keep-alive"),
    }
}

/// The first REGISTER, and when.
fn first(registration: &mut Registration) -> (Timestamp, String) {
    let at = registration.deadline().unwrap();
    assert!(at < NOW + secs(1));
    let request = text(registration.lapsed(at));
    (at, request)
}

/// Registered by the first answer.
fn registered(expires: &str) -> (Registration, Timestamp) {
    let mut registration = registration(&[way(1), way(2)]);
    let (at, request) = first(&mut registration);
    assert_eq!(registration.received(at, &answer(&request, "200 OK", expires)), None);
    (registration, at)
}

#[test]
fn it_says_who_where_and_for_how_long() {
    let mut registration = registration(&[way(1)]);
    let (_, request) = first(&mut registration);
    for line in [
        "REGISTER sip:carrier.example SIP/2.0",
        "To: <sip:acme@carrier.example>",
        "Contact: <sip:acme@198.51.100.1:5062>",
        "Expires: 600",
        "CSeq: 1 REGISTER",
    ] {
        assert!(request.lines().any(|it| it == line), "{line}: {request}");
    }
}

#[test]
fn a_challenge_is_answered_once_and_a_wrong_password_is_told() {
    let mut registration = registration(&[way(1)]);
    let (at, request) = first(&mut registration);
    let challenged = answer(&request, "401 No", CHALLENGE);
    let second = text(registration.received(at, &challenged));
    assert!(second.contains("Authorization: Digest ") && second.contains("CSeq: 2 REGISTER\r\n"));
    assert_ne!(second.lines().nth(1), request.lines().nth(1), "another branch");
    assert_eq!(registration.received(at, &answer(&second, "401 No", CHALLENGE)), None);
    let State::Failing { why, next } = registration.state(at) else { panic!("it fails") };
    assert_eq!(why.to_string(), "user name or password are wrong or missing (401 again)");
    assert!(next.since(at) >= secs(900) && next.since(at) <= secs(1_800), "slowly");
    assert!(!format!("{registration:?}").contains("canary"));
    let again = text(registration.lapsed(next));
    assert!(!again.contains("Authorization"), "another question may be asked");
}

#[test]
fn too_brief_is_asked_for_longer() {
    let mut registration = registration(&[way(1)]);
    let (at, request) = first(&mut registration);
    let brief = answer(&request, "423 Interval Too Brief", "Min-Expires: 3600\r\n");
    let longer = text(registration.received(at, &brief));
    assert!(longer.contains("Expires: 3600\r\n"), "{longer}");
    let once_more = answer(&longer, "423 Interval Too Brief", "Min-Expires: 3600\r\n");
    assert_eq!(registration.received(at, &once_more), None, "it does not go round and round");
    assert!(matches!(registration.state(at), State::Failing { why: Why::Expires(423), .. }));
}

#[test]
fn the_answer_says_how_long_it_lasts() {
    for (lines, granted) in [
        ("Contact: <sip:acme@198.51.100.1:5062>;expires=120\r\nExpires: 60\r\n", 120),
        (
            "Contact: <sip:acme@203.0.113.9:1>;expires=90, <sip:acme@198.51.100.1:5062>;expires=80\r\n",
            80,
        ),
        ("Contact: <sip:acme@203.0.113.9:1024>;expires=90\r\n", 90),
        ("Expires: 60\r\n", 60),
        ("", 600),
    ] {
        let (registration, at) = registered(lines);
        let until = at + secs(granted);
        assert_eq!(registration.state(at), State::Registered { until }, "{lines}");
        let next = registration.deadline().unwrap().since(at).as_secs_f64();
        let half = granted as f64 / 2.0;
        assert!((half * 0.9..=half * 1.1).contains(&next), "{next} of {granted}");
        assert_eq!(registration.state(until), State::Begun, "forgotten at the second");
    }
}

#[test]
fn the_service_route_is_taken() {
    let lines = "Service-Route: <sip:edge.carrier.example;lr>, <sip:core.carrier.example;lr>\r\n";
    let (registration, _) = registered(lines);
    let routes: Vec<&str> = registration.service_route().iter().map(Route::as_str).collect();
    assert_eq!(routes, ["<sip:edge.carrier.example;lr>", "<sip:core.carrier.example;lr>"]);
}

#[test]
fn another_server_is_asked_and_then_it_backs_off() {
    let mut registration = registration(&[way(1), way(2)]);
    let (at, request) = first(&mut registration);
    let full = answer(&request, "503 Full", "");
    let (to, _) = registration.received(at, &full).unwrap();
    assert_eq!(to, way(2).hop);
    assert_eq!(registration.unreachable(at, way(1).hop), None, "that one is not asked any more");
    assert_eq!(registration.unreachable(at, way(2).hop), None);
    let mut now = at;
    for upper in [30, 60, 120, 240, 480, 960, 1_800, 1_800] {
        let State::Failing { why, next } = registration.state(now) else { panic!("it fails") };
        assert_eq!(why, Why::Unreachable);
        let pause = next.since(now);
        assert!(pause >= secs(upper) / 2 && pause <= secs(upper), "{pause:?} of {upper}");
        now = next;
        assert_eq!(registration.lapsed(now).unwrap().0, way(1).hop);
        assert_eq!(registration.unreachable(now, way(1).hop).unwrap().0, way(2).hop);
        assert_eq!(registration.unreachable(now, way(2).hop), None);
    }
}

#[test]
fn silence_of_one_server_costs_four_seconds() {
    let mut registration = registration(&[way(1), way(2)]);
    let (at, _) = first(&mut registration);
    let mut sent = None;
    while sent.as_ref().is_none_or(|(to, _)| *to == way(1).hop) {
        sent = registration.lapsed(registration.deadline().unwrap());
    }
    assert_eq!(registration.deadline().unwrap().since(at), PATIENCE + Duration::from_millis(500));
}

#[test]
fn retry_after_is_waited_for() {
    let mut registration = registration(&[way(1)]);
    let (at, request) = first(&mut registration);
    registration.received(at, &answer(&request, "503 Full", "Retry-After: 400\r\n"));
    let State::Failing { next, .. } = registration.state(at) else { panic!("it fails") };
    assert_eq!(next, at + secs(400));
}

#[test]
fn a_lost_connection_or_server_is_made_up_for_at_once() {
    let (mut registration, at) = registered("Expires: 600\r\n");
    assert_eq!(registration.lost(at, way(2).hop), None, "another's");
    let again = registration.lost(at, way(1).hop).unwrap();
    assert_eq!(again.0, way(1).hop);
    let (mut registration, at) = registered("Expires: 600\r\n");
    registration.set_ways(at, vec![way(2)]);
    assert_eq!(registration.deadline(), Some(at));
    assert_eq!(registration.lapsed(at).unwrap().0, way(2).hop);
}

#[test]
fn it_is_taken_back_at_the_end() {
    let (mut registration, at) = registered("Expires: 600\r\n");
    let request = text(registration.stop(at));
    assert!(request.contains("Expires: 0\r\n") && !registration.is_over(), "{request}");
    let second = text(registration.received(at, &answer(&request, "401 No", CHALLENGE)));
    assert!(second.contains("Expires: 0\r\n") && second.contains("Authorization"), "{second}");
    registration.received(at, &answer(&second, "200 OK", ""));
    assert_eq!((registration.is_over(), registration.state(at)), (true, State::Ended));
    let mut never = self::registration(&[]);
    assert_eq!(never.stop(NOW), None);
    assert!(never.is_over());
}

#[test]
fn before_there_is_a_server_nothing_fails_and_afterwards_nothing_waits() {
    let mut registration = registration(&[]);
    let later = NOW + secs(20);
    assert_eq!((registration.deadline(), registration.lapsed(later)), (None, None));
    assert_eq!(registration.state(later), State::Begun);
    registration.set_ways(later, vec![way(1)]);
    assert!(text(registration.lapsed(later)).starts_with("REGISTER "));
}
