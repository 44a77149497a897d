//! Reliable provisional responses (RFC 3262).

use super::*;

/// The far side says something reliably.
fn say(line: &mut Line, status: u16, tag: &str, rseq: u32) {
    let invite = line.last(&Method::Invite);
    line.respond(&invite, status, tag, |r| {
        r.header("Require", "100rel").header("RSeq", &rseq.to_string())
    });
}

fn racks(line: &mut Line) -> Vec<String> {
    let pracks = line.taken().into_iter().filter(|it| *it.method() == Method::Prack);
    pracks.map(|it| it.header("RAck").unwrap().into_owned()).collect()
}

#[test]
fn we_say_that_we_have_it() {
    // RFC 3262 § 4: "A UAC [...] includes the Supported header field with the option tag 100rel".
    let invite = Line::new().last(&Method::Invite);
    assert_eq!(invite.header("Supported").unwrap(), "100rel, timer");
    assert!(invite.header("Allow").unwrap().contains("PRACK"));
}

#[test]
fn a_reliable_response_is_acknowledged_within_its_dialog() {
    // § 4: "the UAC MUST create a new request with method PRACK. This request is sent within the
    // dialog associated with the provisional response".
    let mut line = Line::new();
    say(&mut line, 180, "them", 7);
    let prack = line.last(&Method::Prack);
    assert_eq!(prack.header("RAck").unwrap(), "7 1 INVITE");
    assert_eq!((prack.cseq().0, prack.to_tag()), (2, Some("them")));
    assert_eq!(prack.request_uri().unwrap().as_str(), "sip:them@192.0.2.7:5080");
    assert!(line.out.contains(&Output::Alerting { status: 180, sdp: None }));
    line.respond(&prack, 200, "them", |r| r);
    line.answer(200, "them");
    assert_eq!(line.last(&Method::Ack).cseq().0, 1);
    line.feed(Input::Stop);
    assert_eq!(line.last(&Method::Bye).cseq().0, 3, "it has counted");
    line.dies_out();
}

#[test]
fn a_repeated_one_is_acknowledged_again_and_not_told_again() {
    // § 4: "retransmissions of that response MUST be discarded."
    let mut line = Line::new();
    say(&mut line, 183, "them", 1);
    let first = line.last_bytes();
    line.take();
    say(&mut line, 183, "them", 1);
    assert_eq!(line.take().len(), 1);
    assert_eq!(line.last_bytes(), first);
}

#[test]
fn a_gap_is_ignored_until_it_is_filled() {
    // § 4: "its RSeq value is not one higher than the value of the sequence number, that response
    // MUST NOT be acknowledged with a PRACK, and MUST NOT be processed further by the UAC."
    let mut line = Line::new();
    say(&mut line, 180, "them", 5);
    line.take();
    say(&mut line, 183, "them", 7);
    say(&mut line, 183, "them", 4);
    assert_eq!(line.take(), []);
    say(&mut line, 181, "them", 6);
    say(&mut line, 183, "them", 7);
    assert_eq!(racks(&mut line), ["6 1 INVITE", "7 1 INVITE"]);
    say(&mut line, 180, "other", 900);
    assert_eq!(racks(&mut line), ["900 1 INVITE"], "each dialog counts for itself");
}

#[test]
fn a_lost_prack_is_repeated_until_timer_f() {
    let mut line = Line::new();
    say(&mut line, 183, "them", 1);
    line.wait(Duration::from_secs(31));
    let pracks = line.sent_bytes(&Method::Prack);
    assert_eq!(pracks.len(), 10, "at 0, 0.5, 1.5, 3.5 s and then every 4 s");
    assert!(pracks.iter().all(|prack| prack == &pracks[0]));
    line.wait(Duration::from_secs(2));
    assert_eq!(line.ended(), None, "and ends nothing");
}

#[test]
fn a_challenge_to_a_prack_is_answered_once() {
    let mut line = Line::new();
    say(&mut line, 183, "them", 1);
    for _ in 0..3 {
        let prack = line.last(&Method::Prack);
        line.respond(&prack, 407, "them", |r| r.header("Proxy-Authenticate", CHALLENGE));
    }
    assert_eq!(line.sent_bytes(&Method::Prack).len(), 2);
    let second = line.last(&Method::Prack);
    assert!(second.header("Proxy-Authorization").is_some());
    assert_eq!((second.header("RAck").unwrap(), second.cseq().0), ("1 1 INVITE".into(), 3));
    assert!(matches!(line.call.state(), State::Early { .. }));
}

#[test]
fn what_came_reliably_is_the_answer() {
    // RFC 3261 § 13.2.1: "the UAC MUST treat the first session description it receives as the
    // answer, and MUST ignore any session descriptions in subsequent responses".
    let mut line = Line::new();
    say(&mut line, 183, "them", 1);
    assert!(line.out.contains(&Output::Alerting { status: 183, sdp: Some(SDP.to_vec()) }));
    let invite = line.last(&Method::Invite);
    line.respond(&invite, 200, "them", |r| r.body("application/sdp", b"v=0\r\n"));
    assert!(line.out.contains(&Output::Answered { status: 200, sdp: Some(SDP.to_vec()) }));

    let mut line = Line::new();
    line.answer(183, "them");
    let invite = line.last(&Method::Invite);
    line.respond(&invite, 200, "them", |r| r.body("application/sdp", b"v=0\r\n"));
    let later = Output::Answered { status: 200, sdp: Some(b"v=0\r\n".to_vec()) };
    assert!(line.out.contains(&later), "what came otherwise was a glimpse of it");
}

#[test]
fn once_it_is_agreed_an_update_may_change_it_before_the_answer() {
    // RFC 3311 § 5.1: an UPDATE may be sent "for both early and confirmed dialogs".
    let mut line = Line::new();
    say(&mut line, 183, "them", 1);
    line.take();
    line.ask_with(&Method::Update, |r| r.body("application/sdp", b"v=0\r\ns=2\r\n"));
    assert_eq!(line.take(), [Output::Offered { sdp: Some(b"v=0\r\ns=2\r\n".to_vec()) }]);
    line.feed(Input::Accept { sdp: SDP.to_vec() });
    assert_eq!(line.statuses(), [200]);
    line.answer(200, "them");
    assert!(
        line.out.contains(&Output::Answered { status: 200, sdp: None }),
        "what was agreed holds"
    );
}

#[test]
fn a_response_without_a_number_or_a_tag_is_not_reliable() {
    let mut line = Line::new();
    let invite = line.last(&Method::Invite);
    line.respond(&invite, 180, "them", |r| r.header("Require", "100rel"));
    line.receive(
        &Response::to(&invite, 180).header("Require", "100rel").header("RSeq", "1").to_bytes(),
    );
    assert_eq!(line.sent_bytes(&Method::Prack).len(), 0);
    assert_eq!(line.take().len(), 2, "both are told");
}
