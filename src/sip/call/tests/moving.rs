//! Where the INVITE goes.

use super::*;

const FIRST: &str = "192.0.2.7:5060";
const SECOND: &str = "192.0.2.8:5070";

fn two_ways() -> Order {
    Order { ways: vec![way(hop(FIRST)), way(hop(SECOND))], ..order() }
}

/// The latest INVITE goes to the second way, is the first but for its branch, and is the only news.
fn assert_moved(line: &mut Line) {
    let (first, (to, second)) = (line.invite.clone().unwrap(), line.latest());
    assert_eq!(to, hop(SECOND));
    assert_ne!(second.branch(), first.branch());
    let bytes = line.sent_bytes(&Method::Invite);
    let written = text(bytes.last().unwrap()).replace(second.branch(), first.branch());
    assert_eq!(written, text(&bytes[0]), "RFC 3263 § 4.3: \"identical to the previous\"");
    assert_eq!(line.ended(), None);
    assert!(line.notes().contains(&&Note::NextWay { to }));
}

#[test]
fn a_way_that_is_unavailable_is_left_for_the_next_at_once() {
    // RFC 3263 § 4.3: "For SIP requests, failure occurs if the transaction layer reports a 503 error
    // response or a transport failure of some sort".
    for status in [503, 408] {
        for trying in [false, true] {
            let mut line = Line::with(two_ways());
            if trying {
                line.answer(100, "");
            }
            line.answer(status, "them");
            assert_moved(&mut line);
            let acks = line.sent_bytes(&Method::Ack).len();
            assert_eq!(acks, 1, "the refusal is acknowledged");
            line.answer(200, "other");
            assert_eq!(*line.call.state(), State::Up);
            line.feed(Input::Stop);
            line.dies_out();
        }
    }
}

#[test]
fn a_way_that_cannot_be_reached_is_left_for_the_next_at_once() {
    let mut line = Line::with(two_ways());
    line.feed(Input::Unreachable { hop: hop(FIRST) });
    assert_moved(&mut line);
    line.feed(Input::Unreachable { hop: hop(FIRST) });
    assert_eq!(line.ended(), None, "that was known");
    line.feed(Input::Unreachable { hop: hop(SECOND) });
    assert_eq!(line.ended(), Some(Ended::Unreachable));
    line.dies_out();
}

#[test]
fn a_way_that_is_silent_for_four_seconds_is_left_for_the_next() {
    // RFC 3263 § 4.3: "Failure also occurs if the transaction layer times out without ever having
    // received any response, provisional or final"; we do not wait so long.
    let mut line = Line::with(two_ways());
    line.wait(Duration::from_millis(3_999));
    assert_eq!(line.latest().0, hop(FIRST));
    line.wait(Duration::from_millis(1));
    assert_moved(&mut line);
    let copies = line.sent.iter().filter(|(to, _, _)| *to == hop(FIRST)).count();
    line.wait(Duration::from_secs(10));
    let since = line.sent.iter().filter(|(to, _, _)| *to == hop(FIRST)).count();
    assert_eq!(since, copies, "no more copies go to the first");
    line.wait(Duration::from_secs(25));
    assert_eq!(line.ended(), Some(Ended::NoResponse), "the last way has timer B");
    line.dies_out();
}

#[test]
fn the_last_way_is_left_as_soon_where_another_trunk_follows() {
    let mut line = Line::with(Order { is_last_resort: false, ..two_ways() });
    line.wait(Duration::from_millis(7_999));
    assert_eq!(line.ended(), None);
    line.wait(Duration::from_millis(1));
    assert_eq!(line.ended(), Some(Ended::NoResponse));
    line.dies_out();
}

#[test]
fn other_refusals_end_the_call() {
    for status in [404, 480, 486, 488, 500, 502, 504, 600, 603] {
        let mut line = Line::with(two_ways());
        line.answer(status, "them");
        let (q850, retry_after) = (None, None);
        assert_eq!(line.ended(), Some(Ended::Rejected { status, q850, retry_after }));
    }
    let mut line = Line::with(two_ways());
    line.answer(180, "them");
    line.answer(408, "them");
    let ended = Ended::Rejected { status: 408, q850: None, retry_after: None };
    assert_eq!(line.ended(), Some(ended), "the phone has rung, and nobody came");
}

#[test]
fn a_late_answer_of_a_way_that_was_left_is_hung_up_on() {
    let mut line = Line::with(two_ways());
    let first = line.invite.clone().unwrap();
    line.wait(Duration::from_secs(4));
    line.take();
    line.respond(&first, 200, "late", |r| r);
    assert_eq!(line.notes(), [&Note::LateAnswer]);
    assert_eq!(line.methods(), [Method::Ack, Method::Bye]);
    assert_eq!(line.last(&Method::Bye).to_tag(), Some("late"));
    assert!(matches!(line.call.state(), State::Inviting { .. }), "the second goes on");
    line.respond(&first, 200, "late", |r| r);
    assert_eq!(line.methods(), [Method::Ack]);
    line.answer(200, "them");
    assert_eq!(*line.call.state(), State::Up);
    line.feed(Input::Stop);
    line.dies_out();
}

#[test]
fn a_way_that_was_left_and_begins_to_ring_is_canceled() {
    // RFC 3261 § 9.1: CANCEL follows the first provisional response.
    let mut line = Line::with(two_ways());
    let first = line.invite.clone().unwrap();
    line.wait(Duration::from_secs(4));
    line.take();
    line.respond(&first, 180, "late", |r| r);
    assert!(!line.out.iter().any(|o| matches!(o, Output::Alerting { .. })));
    assert_eq!(line.methods(), [Method::Cancel]);
    let (to, cancel, _) = line.sent.last().unwrap().clone();
    assert_eq!((to, cancel.branch()), (hop(FIRST), first.branch()));
    line.respond(&first, 183, "late", |r| r);
    assert_eq!(line.methods(), [], "once");
    line.respond(&first, 487, "late", |r| r);
    assert_eq!(line.methods(), [Method::Ack]);
    line.answer(200, "them");
    assert_eq!(*line.call.state(), State::Up);
    line.feed(Input::Stop);
    line.dies_out();
}

#[test]
fn a_way_that_was_left_and_canceled_may_never_answer() {
    let mut line = Line::with(two_ways());
    let first = line.invite.clone().unwrap();
    line.wait(Duration::from_secs(4));
    line.respond(&first, 180, "late", |r| r);
    line.answer(486, "them");
    assert_eq!(line.overs, 1);
    line.dies_out();
}

#[test]
fn the_next_way_may_ask_for_credentials_as_the_first_did() {
    let mut line = Line::with(two_ways());
    let challenge = |line: &mut Line, from: Hop, nonce: &str| {
        let invite = line.last(&Method::Invite);
        let challenge = CHALLENGE.replace("n1", nonce);
        let response = Response::to(&invite, 401).to_tag("gate");
        let response = response.header("WWW-Authenticate", &challenge).to_bytes();
        line.receive_from(from, &response);
    };
    challenge(&mut line, hop(FIRST), "first");
    line.answer(503, "them");
    challenge(&mut line, hop(SECOND), "second");
    let (to, last) = line.latest();
    assert_eq!((to, last.cseq().0), (hop(SECOND), 3));
    let credentials = last.header("Authorization").unwrap();
    assert!(credentials.contains("nonce=\"second\"") && credentials.contains("nc=00000001"));
    challenge(&mut line, hop(SECOND), "third");
    assert_eq!(line.ended(), Some(Ended::AuthenticationRefused { status: 401 }), "once each");
}

fn large() -> Order {
    let long = "x".repeat(900);
    Order { headers: vec![("Subject".into(), long)], ..order() }
}

#[test]
fn a_large_invite_goes_by_tcp() {
    // RFC 3261 § 18.1.1: "If a request is [...] larger than 1300 bytes [...], the request MUST be
    // sent using an RFC 2914 congestion controlled transport protocol, such as TCP."
    let mut line = Line::with(large());
    let tcp = Hop { transport: Transport::Tcp, ..trunk() };
    let (to, invite) = line.latest();
    assert_eq!(to, tcp);
    assert!(line.sent_bytes(&Method::Invite)[0].len() > 1_300);
    // "If this causes a change in the transport protocol from the one indicated in the top Via, the
    // value in the top Via MUST be changed."
    assert!(invite.header("Via").unwrap().starts_with("SIP/2.0/TCP 192.0.2.1:5060;"));
    line.wait(Duration::from_millis(3_900));
    assert_eq!(line.sent_bytes(&Method::Invite).len(), 1, "a stream repeats by itself");
    line.respond(&invite, 180, "them", |r| r);
    line.feed(Input::Stop);
    assert_eq!(line.sent.last().unwrap().0, tcp, "its CANCEL goes the same way");
}

#[test]
fn where_tcp_is_not_taken_a_large_invite_goes_by_udp_after_all() {
    // RFC 3261 § 18.1.1: "if the attempt to establish the connection [...] results in a TCP reset,
    // the element SHOULD retry the request, using UDP."
    let mut line = Line::with(large());
    let tcp = Hop { transport: Transport::Tcp, ..trunk() };
    line.feed(Input::Unreachable { hop: tcp });
    let (to, invite) = line.latest();
    assert_eq!((to, invite.cseq().0), (trunk(), 1));
    assert!(invite.header("Via").unwrap().starts_with("SIP/2.0/UDP "));
    line.respond(&invite, 401, "gate", |r| r.header("WWW-Authenticate", CHALLENGE));
    assert_eq!(line.latest().0, trunk(), "and stays there");
    line.answer(200, "them");
    assert_eq!(*line.call.state(), State::Up);
}

#[test]
fn what_was_large_alone_went_by_tcp() {
    let mut line = Line::with(large());
    let invite = line.last(&Method::Invite);
    let tcp = Hop { transport: Transport::Tcp, ..trunk() };
    let contact = Uri::sip("them", "192.0.2.7", Some(5080));
    let answer = Response::to(&invite, 200).to_tag("them").contact(&contact);
    line.receive_from(tcp, &answer.body("application/sdp", SDP).to_bytes());
    let (to, ack, _) = line.sent.last().unwrap();
    assert_eq!(*to, hop("192.0.2.7:5080"), "the Contact names no transport: RFC 3263 § 4.1");
    assert!(ack.header("Via").unwrap().starts_with("SIP/2.0/UDP "));
}

fn redirected(order: Order, contact: &str) -> Line {
    let mut line = Line::with(order);
    let invite = line.last(&Method::Invite);
    line.take();
    let response = Response::to(&invite, 302).to_tag("gate").header("Contact", contact);
    line.receive(&response.to_bytes());
    line
}

#[test]
fn a_redirection_within_the_trunk_is_followed_once() {
    // RFC 3261 § 8.1.3.4: "the client SHOULD use the URI(s) in the Contact header field to formulate
    // one or more new requests based on the redirected request."
    let contact = "<sip:+4930@elsewhere.example>;q=0.2, <sip:b7@TRUNK.example:5080;rn=1?x=y>;q=0.9";
    let mut line = redirected(two_ways(), contact);
    assert_eq!(line.notes(), [&Note::Diverted]);
    assert_eq!(line.methods(), [Method::Ack, Method::Invite]);
    let (to, invite) = line.latest();
    assert_eq!(to, hop(FIRST), "the same ways");
    assert_eq!(invite.request_uri().unwrap().as_str(), "sip:b7@TRUNK.example:5080;rn=1");
    assert_eq!(invite.to_uri(), line.invite.as_ref().unwrap().to_uri());
    assert_eq!((invite.cseq().0, invite.to_tag()), (2, None));
    line.answer(503, "them");
    let ack = line.last(&Method::Ack);
    assert_eq!(ack.request_uri(), invite.request_uri(), "its ACK has its Request-URI");
    assert_eq!(line.latest().0, hop(SECOND), "and has a next one");
    line.respond(&line.last(&Method::Invite), 302, "gate", |r| r.header("Contact", contact));
    let ended = Ended::Rejected { status: 302, q850: None, retry_after: None };
    assert_eq!(line.ended(), Some(ended), "once");
}

#[test]
fn a_redirection_to_a_known_address_is_followed() {
    for (contact, to) in [
        ("<sip:1@192.0.2.8>", hop(SECOND)),
        ("<sip:1@192.0.2.7:5090>", hop("192.0.2.7:5090")),
        ("<sip:1@192.0.2.77>", hop("192.0.2.77:5060")),
        ("<sip:1@192.0.2.77:5062>", hop("192.0.2.77:5062")),
    ] {
        let order =
            Order { redirects: vec!["192.0.2.77".into(), "pop.example".into()], ..two_ways() };
        let line = redirected(order, contact);
        assert_eq!(line.latest().0, to, "{contact}");
        assert_eq!(line.ended(), None);
    }
}

#[test]
fn a_redirection_to_anywhere_else_ends_the_call_and_names_the_host() {
    for (contact, host) in [
        ("<sip:1@198.51.100.4>", "198.51.100.4"),
        ("<sip:1@evil.example>, <sip:1@worse.example>;q=0.1", "evil.example"),
        ("<sip:1@pop.example>", "pop.example"),
        ("<sips:1@trunk.example>", "trunk.example"),
        ("<tel:+4930>", ""),
        ("<sip:1@[2001:db8::1]>", "2001:db8::1"),
    ] {
        let redirects = vec!["pop.example".into(), "2001:db8::1".into()];
        let line = redirected(Order { redirects, ..two_ways() }, contact);
        let ended = Ended::Rejected { status: 302, q850: None, retry_after: None };
        assert_eq!(line.ended(), Some(ended), "{contact}");
        assert_eq!(line.notes(), [&Note::RedirectRefused { host: host.into() }]);
        assert_eq!(line.sent_bytes(&Method::Invite).len(), 1);
    }
}
