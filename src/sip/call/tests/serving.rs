//! What the callee asks of us.

use super::*;
use crate::sip::info::Pressed;

#[test]
fn a_re_invite_is_offered_and_accepted() {
    let mut line = Line::up();
    let invite = line.ask_with(&Method::Invite, |r| r.body("application/sdp", SDP));
    assert_eq!(line.take(), [Output::Offered { sdp: Some(SDP.to_vec()) }]);
    line.feed(Input::Accept { sdp: b"v=0\r\n".to_vec() });
    let answer = text(&line.last_bytes());
    assert!(
        answer.starts_with("SIP/2.0 200 OK\r\n") && answer.ends_with("\r\n\r\nv=0\r\n"),
        "{answer}"
    );
    assert!(answer.contains("Contact: <sip:+49307654321@192.0.2.1:5060>\r\n"), "{answer}");
    line.take();
    // RFC 6026 § 7.1: a copy of the INVITE is absorbed; the 200 comes again by itself.
    line.receive(&invite);
    assert!(line.take().is_empty());
    line.wait(Duration::from_millis(500));
    assert_eq!(text(&line.last_bytes()), answer);
    let ack = line.request_numbered(&Method::Ack, "them", line.cseq, "z9hG4bKack").to_bytes();
    line.receive(&ack);
    line.take();
    line.wait(Duration::from_secs(60));
    assert!(line.take().is_empty(), "the ACK stops the copies");
    assert_eq!(*line.call.state(), State::Up);
}

#[test]
fn a_re_invite_is_offered_and_refused() {
    // § 14.2: "If the new session description is not acceptable, the UAS can reject it by
    // returning a 488 (Not Acceptable Here) response for the re-INVITE."
    let mut line = Line::up();
    let invite = line.ask_with(&Method::Invite, |r| r.body("application/sdp", SDP));
    line.feed(Input::Refuse { status: 488 });
    assert_eq!(line.statuses(), [488]);
    line.receive(&invite);
    assert_eq!(line.statuses(), [488], "a copy of it gets the same answer");
    line.wait(Duration::from_millis(500));
    assert_eq!(line.statuses(), [488], "and so does silence, by timer G");
    let branch = format!("z9hG4bKthem{}", line.cseq);
    let ack = line.request_numbered(&Method::Ack, "them", line.cseq, &branch).to_bytes();
    line.receive(&ack);
    line.receive(&ack);
    line.wait(Duration::from_secs(60));
    assert_eq!(line.statuses(), [0_u16; 0], "the ACK ends it");
    assert_eq!(*line.call.state(), State::Up);
}

#[test]
fn a_re_invite_without_an_offer_asks_for_ours() {
    // § 13.2.1: the offer of an INVITE without one is in the 2xx, and its answer in the ACK.
    let mut line = Line::up();
    line.ask(&Method::Invite);
    assert_eq!(line.take(), [Output::Offered { sdp: None }]);
    line.feed(Input::Accept { sdp: SDP.to_vec() });
    assert_eq!(line.statuses(), [200]);
    let ack = line.request_numbered(&Method::Ack, "them", line.cseq, "z9hG4bKack");
    line.receive(&ack.body("application/sdp", b"v=0\r\n").to_bytes());
    assert_eq!(line.take(), [Output::Agreed { sdp: b"v=0\r\n".to_vec() }]);
}

#[test]
fn a_200_to_a_re_invite_that_nobody_acknowledges_ends_the_call() {
    // § 13.3.1.4: "If the server retransmits the 2xx response for 64*T1 seconds without receiving
    // an ACK, the dialog is confirmed, but the session SHOULD be terminated."
    let mut line = Line::up();
    line.ask_with(&Method::Invite, |r| r.body("application/sdp", SDP));
    line.feed(Input::Accept { sdp: SDP.to_vec() });
    line.wait(Duration::from_secs(32));
    assert_eq!(line.ended(), Some(Ended::Protocol(Why::AckMissing)));
    assert_eq!(line.last(&Method::Bye).cseq().0, 2);
    line.dies_out();
}

#[test]
fn a_re_invite_moves_the_target() {
    // § 12.2.2: "it MUST replace the dialog's remote target URI with the URI from the Contact
    // header field in that request, if present."
    let mut line = Line::up();
    line.ask_with(&Method::Invite, |r| {
        r.contact(&Uri::sip("moved", "192.0.2.99", None)).body("application/sdp", SDP)
    });
    line.feed(Input::Accept { sdp: SDP.to_vec() });
    line.feed(Input::Stop);
    let (to, bye, _) = line.sent.last().unwrap();
    assert_eq!(bye.request_uri().unwrap().as_str(), "sip:moved@192.0.2.99");
    assert_eq!(*to, Hop::udp("192.0.2.99:5060".parse().unwrap()));
}

#[test]
fn a_re_invite_during_our_own_is_pending() {
    // § 14.2: "A UAS that receives an INVITE on a dialog while an INVITE it had sent on that
    // dialog is in progress MUST return a 491 (Request Pending) response".
    let mut line = Line::new();
    line.answer(183, "them");
    line.take();
    line.ask_with(&Method::Invite, |r| r.body("application/sdp", SDP));
    assert_eq!(line.statuses(), [491]);
    line.ask_with(&Method::Update, |r| r.body("application/sdp", SDP));
    assert_eq!(line.statuses(), [491], "RFC 3311 § 5.2 says the same of UPDATE");
    assert!(matches!(line.call.state(), State::Early { .. }));
}

#[test]
fn a_re_invite_on_top_of_another_must_wait() {
    // § 14.2: "MUST return a 500 (Server Internal Error) response to the second INVITE and MUST
    // include a Retry-After header field with a randomly chosen value of between 0 and 10 seconds."
    let mut line = Line::up();
    line.ask_with(&Method::Invite, |r| r.body("application/sdp", SDP));
    line.take();
    line.ask_with(&Method::Invite, |r| r.body("application/sdp", SDP));
    let answer = read(&line.last_bytes());
    assert_eq!(answer.status(), Some(500));
    assert!(answer.retry_after().unwrap() <= 10);
}

#[test]
fn an_update_with_an_offer_is_offered_and_one_without_is_answered() {
    let mut line = Line::up();
    line.ask(&Method::Update);
    assert_eq!(line.statuses(), [200]);
    line.ask_with(&Method::Update, |r| r.body("application/sdp", SDP));
    assert_eq!(line.take(), [Output::Offered { sdp: Some(SDP.to_vec()) }]);
    line.feed(Input::Accept { sdp: SDP.to_vec() });
    assert_eq!(line.statuses(), [200]);
    line.wait(Duration::from_secs(60));
    assert_eq!(line.statuses(), [0_u16; 0], "no ACK is awaited");
    line.feed(Input::Accept { sdp: SDP.to_vec() });
    assert_eq!(line.notes(), [&Note::NothingOffered]);
}

#[test]
fn a_body_that_is_no_session_is_not_understood() {
    let mut line = Line::up();
    line.ask_with(&Method::Invite, |r| r.body("text/plain", b"hello"));
    assert_eq!(line.statuses(), [415]);
}

#[test]
fn a_cancel_for_a_re_invite_is_answered() {
    // § 9.2: "Regardless of the method of the original request, as long as the CANCEL matched an
    // existing transaction, the UAS answers the CANCEL request itself with a 200 (OK) response."
    let mut line = Line::up();
    line.ask_with(&Method::Invite, |r| r.body("application/sdp", SDP));
    let branch = format!("z9hG4bKthem{}", line.cseq);
    line.take();
    let cancel = line.request_numbered(&Method::Cancel, "them", line.cseq, &branch).to_bytes();
    line.receive(&cancel);
    assert_eq!(line.statuses(), [487, 200], "it was not answered yet");
    line.receive(&cancel);
    assert_eq!(line.statuses(), [200], "a copy of it gets the same answer");
    let stray = line.request_numbered(&Method::Cancel, "them", 1, "z9hG4bKno").to_bytes();
    line.receive(&stray);
    assert_eq!(line.statuses(), [481]);
    assert_eq!(*line.call.state(), State::Up);
}

#[test]
fn a_bye_takes_a_pending_re_invite_with_it() {
    // § 15.1.2: "The UAS MUST still respond to any pending requests received for that dialog."
    let mut line = Line::up();
    line.ask_with(&Method::Invite, |r| r.body("application/sdp", SDP));
    line.take();
    line.ask(&Method::Bye);
    assert_eq!(line.statuses(), [487, 200]);
    line.dies_out();
}

#[test]
fn unknown_methods_are_501_and_known_ones_we_lack_405() {
    let mut line = Line::up();
    line.ask(&Method::parse("HACK").unwrap());
    assert_eq!(line.statuses(), [501]);
    for method in [Method::Refer, Method::Message, Method::Subscribe, Method::Publish] {
        line.ask(&method);
        let answer = read(&line.last_bytes());
        assert!(answer.header("Allow").unwrap().contains("UPDATE"));
        assert_eq!(line.statuses(), [405]);
    }
    assert_eq!(*line.call.state(), State::Up);
}

#[test]
fn options_are_answered_with_what_we_allow() {
    let mut line = Line::up();
    line.ask(&Method::Options);
    let answer = read(&line.last_bytes());
    assert_eq!(answer.status(), Some(200));
    assert!(answer.header("Allow").is_some() && answer.header("Accept").is_some());
}

#[test]
fn info_is_answered_and_reported() {
    let mut line = Line::up();
    let relay = b"Signal=5\r\nDuration=80\r\n";
    let info = line.ask_with(&Method::Info, |r| r.body("application/dtmf-relay", relay));
    let said = Output::Info(Pressed { key: '5', held: Duration::from_millis(80) });
    assert!(line.out.contains(&said));
    assert_eq!(line.statuses(), [200]);
    line.receive(&info);
    assert!(!line.out.contains(&said), "a copy of it is no second press");
    assert_eq!(line.statuses(), [200]);
    line.ask_with(&Method::Info, |r| r.body("Application/DTMF; x=y", b"#\r\n"));
    let said = Output::Info(Pressed { key: '#', held: Duration::from_millis(100) });
    assert!(line.out.contains(&said));
    assert_eq!(line.statuses(), [200]);
}

#[test]
fn an_info_that_tells_of_no_press_is_refused_and_noted() {
    let mut line = Line::up();
    let mut refused = |status, more: fn(Request) -> Request| {
        line.ask_with(&Method::Info, more);
        assert!(!line.out.iter().any(|out| matches!(out, Output::Info(_))));
        assert_eq!(line.notes(), [&Note::InfoRefused { status }]);
        assert_eq!(line.statuses(), [status]);
        read(&line.last_bytes())
    };
    refused(400, |r| r.body("application/dtmf-relay", b"Signal=99\r\n"));
    refused(400, |r| r.body("application/dtmf", b"Signal=5\r\n"));
    let answer = refused(415, |r| r.body("text/plain", b"5"));
    assert_eq!(answer.header("Accept").unwrap(), "application/dtmf-relay, application/dtmf");
    // RFC 6086 § 4.2.2: a package that was not asked for.
    let answer = refused(469, |r| r.header("Info-Package", "x").body("application/dtmf", b"5"));
    assert!(answer.header("Recv-Info").is_some());
    // An INFO that says nothing is taken.
    line.ask(&Method::Info);
    assert_eq!(line.statuses(), [200]);
}

#[test]
fn an_info_from_another_source_is_no_press() {
    let mut line = Line::up();
    let request = line.request(&Method::Info, "them").body("application/dtmf", b"#").to_bytes();
    line.receive_from(hop("203.0.113.66:5060"), &request);
    assert!(!line.out.iter().any(|out| matches!(out, Output::Info(_))));
    assert_eq!(line.statuses(), [403]);
}

#[test]
fn an_info_of_another_phone_than_the_one_that_answered_is_no_press() {
    // Two phones ring; one answers, and a third does at the same moment.
    let mut line = Line::new();
    line.answer(180, "early");
    line.answer(180, "them");
    line.answer(200, "them");
    line.answer(200, "fork");
    line.take();
    for tag in ["early", "fork"] {
        let info = line.request(&Method::Info, tag).body("application/dtmf", b"#").to_bytes();
        line.receive(&info);
        assert!(!line.out.iter().any(|out| matches!(out, Output::Info(_))), "{tag}");
        assert_eq!(line.statuses(), [481], "{tag}");
    }
    line.ask_with(&Method::Info, |r| r.body("application/dtmf", b"#"));
    assert!(line.out.iter().any(|out| matches!(out, Output::Info(_))));
}

#[test]
fn an_info_before_the_answer_is_no_press() {
    let mut line = Line::new();
    line.answer(180, "them");
    line.take();
    line.ask_with(&Method::Info, |r| r.body("application/dtmf", b"#"));
    assert_eq!(line.notes(), [&Note::InfoRefused { status: 200 }]);
    assert!(!line.out.iter().any(|out| matches!(out, Output::Info(_))));
    assert_eq!(line.statuses(), [200]);
}

#[test]
fn extensions_we_do_not_have_are_refused_by_name() {
    // § 8.2.2.3: "it MUST respond by generating a response with status code 420 (Bad Extension).
    // The UAS MUST add an Unsupported header field".
    let mut line = Line::up();
    line.ask_with(&Method::Invite, |r| r.header("Require", "replaces, timer, precondition"));
    assert_eq!(read(&line.last_bytes()).header("Unsupported").unwrap(), "replaces, precondition");
    assert_eq!(line.statuses(), [420]);
}

#[test]
fn a_lower_cseq_is_out_of_order() {
    // § 12.2.2: "If the remote sequence number was not empty, but the sequence number of the
    // request is lower than the remote sequence number, the request is out of order and MUST be
    // rejected with a 500 (Server Internal Error) response."
    let mut line = Line::up();
    line.ask(&Method::Options);
    line.take();
    let late = line.request_numbered(&Method::Bye, "them", 3, "z9hG4bKlate").to_bytes();
    line.receive(&late);
    assert_eq!(line.notes(), [&Note::OutOfOrder { method: Method::Bye }]);
    assert_eq!(line.statuses(), [500]);
    assert_eq!(*line.call.state(), State::Up);
}

#[test]
fn requests_of_another_dialog_are_481() {
    let mut line = Line::up();
    let bye = line.request(&Method::Bye, "stranger").to_bytes();
    line.receive(&bye);
    assert_eq!(line.notes(), [&Note::StrayRequest { method: Method::Bye }]);
    assert_eq!(line.statuses(), [481]);
    let ours = line.invite.clone().unwrap().from_tag().unwrap().to_owned();
    let guess = text(&line.request(&Method::Bye, "them").to_bytes()).replace(&ours, "guess");
    line.receive(guess.as_bytes());
    assert_eq!(line.statuses(), [481]);
    let ack = line.request(&Method::Ack, "stranger").to_bytes();
    line.receive(&ack);
    assert_eq!(line.statuses(), [0_u16; 0]);
    assert_eq!((*line.call.state(), line.overs), (State::Up, 0));
}

#[test]
fn a_request_from_another_address_belongs_to_its_dialog_all_the_same() {
    let mut line = Line::up();
    let other = Hop::udp("198.51.100.4:5062".parse().unwrap());
    let bye = line.request(&Method::Bye, "them").to_bytes();
    line.receive_from(other, &bye);
    assert_eq!(line.notes(), [&Note::OtherSource { from: other }]);
    assert_eq!(line.sent.last().unwrap().0, other, "the answer goes where the request came from");
    assert_eq!(line.ended(), Some(Ended::HungUp));
}

#[test]
fn after_bye_only_bye_is_answered() {
    let mut line = Line::up();
    line.feed(Input::Stop);
    line.take();
    line.ask_with(&Method::Invite, |r| r.body("application/sdp", SDP));
    line.ask_with(&Method::Info, |r| r.body("application/dtmf-relay", b"Signal=#\r\n"));
    assert!(!line.out.iter().any(|o| matches!(o, Output::Info(_) | Output::Offered { .. })));
    assert_eq!(line.statuses(), [481, 481]);
}

#[test]
fn who_asks_without_end_is_answered_without_being_remembered() {
    let mut line = Line::up();
    for _ in 0..1_000 {
        line.ask(&Method::Options);
    }
    assert_eq!(line.statuses().len(), 1_000);
    assert!(line.call.served.len() <= 32);
}

#[test]
fn the_route_of_the_answer_is_the_route_of_the_bye() {
    let mut line = Line::new();
    let invite = line.last(&Method::Invite);
    line.respond(&invite, 200, "them", |r| r.header("Record-Route", "<sip:192.0.2.50;lr>"));
    line.feed(Input::Stop);
    let (to, bye, _) = line.sent.last().unwrap();
    assert_eq!(bye.header("Route").unwrap(), Route::read("<sip:192.0.2.50;lr>").unwrap().as_str());
    assert_eq!(*to, Hop::udp("192.0.2.50:5060".parse().unwrap()));
}

#[test]
fn a_seed_repeats_a_call_byte_for_byte() {
    let bytes = |line: Line| line.sent.into_iter().map(|(_, _, bytes)| bytes).collect::<Vec<_>>();
    assert_eq!(bytes(Line::up()), bytes(Line::up()));
}

#[test]
fn nobody_is_shown_in_full() {
    let line = Line::up();
    let shown = format!("{:?} {:?} {:?}", order(), line.out, line.sent.first().unwrap().1);
    assert!(!shown.contains("4930") && !shown.contains("password"), "{shown}");
    assert!(shown.contains("***4567"), "{shown}");
}

#[test]
fn a_prack_that_acknowledges_nothing_is_481() {
    // RFC 3262 § 3: "If a PRACK request is received by the UA core that does not match any
    // unacknowledged reliable provisional response, the UAS MUST respond to the PRACK with a 481".
    let mut line = Line::up();
    line.ask_with(&Method::Prack, |r| r.header("RAck", "1 1 INVITE"));
    assert_eq!(line.statuses(), [481]);
}

#[test]
fn a_notify_of_no_subscription_is_refused() {
    // RFC 6665 § 4.1.3: "If, for some reason, the event package designated in the "Event" header
    // field of the NOTIFY request is not supported, the subscriber will respond with a 489".
    let mut line = Line::up();
    line.ask_with(&Method::Notify, |r| r.header("Event", "refer"));
    line.ask(&Method::Notify);
    assert_eq!(line.statuses(), [489, 481]);
    assert_eq!(*line.call.state(), State::Up);
}
