//! INVITE and its answers.

use super::*;

#[test]
fn an_invite_carries_everything_the_rfc_requires() {
    // § 8.1.1: "A valid SIP request formulated by a UAC MUST, at a minimum, contain the following
    // header fields: To, From, CSeq, Call-ID, Max-Forwards, and Via".
    let line = Line::new();
    let (to, _, bytes) = line.sent.first().unwrap();
    let invite = text(bytes);
    assert_eq!(*to, trunk());
    assert!(invite.starts_with("INVITE sip:+49301234567@trunk.example SIP/2.0\r\n"), "{invite}");
    for part in [
        "Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK",
        "From: \"Us \\\"&\\\" Co\" <sip:+49307654321@ours.example>;tag=",
        "To: <sip:+49301234567@trunk.example>\r\n",
        "CSeq: 1 INVITE\r\n",
        "Max-Forwards: 70\r\n",
        "Contact: <sip:+49307654321@192.0.2.1:5060>\r\n",
        "User-Agent: octothorpe\r\n",
        "Content-Type: application/sdp\r\n",
    ] {
        assert!(invite.contains(part), "{part} in {invite}");
    }
}

#[test]
fn a_trunk_that_knows_us_by_a_name_reads_it_in_contact_alone() {
    let line = Line::with(Order { contact_host: Some("sbc.ours.example".into()), ..order() });
    let invite = text(&line.sent.first().unwrap().2);
    assert!(invite.contains("Contact: <sip:+49307654321@sbc.ours.example:5060>\r\n"), "{invite}");
    assert!(invite.contains("Via: SIP/2.0/UDP 192.0.2.1:5060;"), "{invite}");
}

#[test]
fn an_unanswered_invite_is_repeated_until_timer_b() {
    // § 17.1.1.2: "the client transaction MUST start timer B with a value of 64*T1 seconds".
    let mut line = Line::new();
    line.wait(Duration::from_millis(31_999));
    assert_eq!(line.sent_bytes(&Method::Invite).len(), 7, "at 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s");
    assert_eq!(line.call.deadline().map(|(_, timer)| timer), Some(Timer::B));
    line.wait(Duration::from_millis(1));
    assert_eq!(line.ended(), Some(Ended::NoResponse));
    line.dies_out();
}

#[test]
fn a_call_goes_up_through_its_provisional_responses() {
    let mut line = Line::new();
    line.answer(100, "");
    assert!(line.take().iter().all(|o| matches!(o, Output::Send { .. })), "100 says nothing");
    assert!(matches!(line.call.state(), State::Early { .. }));
    line.answer(180, "them");
    assert_eq!(line.take(), [Output::Alerting { status: 180, sdp: None }]);
    line.answer(181, "them");
    let diverted = Output::Note(Note::Diverted);
    assert_eq!(line.take(), [diverted, Output::Alerting { status: 181, sdp: None }]);
    line.answer(182, "them");
    assert_eq!(line.take(), [Output::Alerting { status: 182, sdp: None }]);
    line.answer(199, "them");
    assert_eq!(line.take(), [], "RFC 6228: an early dialog of several has ended");
    line.answer(183, "them");
    assert_eq!(line.take(), [Output::Alerting { status: 183, sdp: Some(SDP.to_vec()) }]);
    line.answer(200, "them");
    assert!(line.out.contains(&Output::Answered { status: 200, sdp: Some(SDP.to_vec()) }));
    assert_eq!(*line.call.state(), State::Up);
}

#[test]
fn early_media_is_reported_but_is_no_answer() {
    let mut line = Line::new();
    line.answer(183, "them");
    let said = line.take();
    assert!(said.iter().any(|o| matches!(o, Output::Alerting { status: 183, sdp: Some(_) })));
    assert!(!said.iter().any(|o| matches!(o, Output::Answered { .. })));
    line.ask_with(&Method::Info, |info| info.body("application/dtmf-relay", b"Signal=#\r\n"));
    assert_eq!(line.statuses(), [200]);
    assert!(!line.out.iter().any(|o| matches!(o, Output::Info(_))), "nor are digits");
    assert!(matches!(line.call.state(), State::Early { .. }));
}

#[test]
fn the_ack_for_a_200_goes_to_the_target_with_a_new_branch() {
    // § 13.2.2.4: "The ACK for a 2xx [...] the sequence number of the CSeq header field MUST be
    // the same as the INVITE being acknowledged".
    let mut line = Line::new();
    line.answer(200, "them");
    let ack = line.last(&Method::Ack);
    assert_eq!(ack.cseq(), (1, Method::Ack));
    assert_eq!(ack.request_uri().unwrap().as_str(), "sip:them@192.0.2.7:5080");
    assert_ne!(ack.branch(), line.last(&Method::Invite).branch());
    assert_eq!(ack.to_tag(), Some("them"));
    assert_eq!(line.sent.last().unwrap().0, Hop::udp("192.0.2.7:5080".parse().unwrap()));
}

#[test]
fn a_200_without_a_session_description_is_an_answer() {
    let mut line = Line::new();
    let invite = line.last(&Method::Invite);
    let bare = Response::to(&invite, 200).to_tag("them").to_bytes();
    line.receive(&bare);
    assert!(line.out.contains(&Output::Answered { status: 200, sdp: None }));
    assert_eq!(line.notes(), [&Note::MissingContact]);
    let ack = line.last(&Method::Ack);
    assert_eq!(ack.request_uri().unwrap().as_str(), "sip:+49301234567@trunk.example");
}

#[test]
fn a_200_without_a_to_tag_is_an_answer() {
    // § 12.1.2: "A UAC MUST be prepared to receive a response without a tag in the To field, in
    // which case the tag is considered to have a value of null."
    let mut line = Line::new();
    let invite = line.last(&Method::Invite);
    line.receive(&Response::to(&invite, 200).to_bytes());
    assert_eq!(*line.call.state(), State::Up);
    let bytes = text(&line.last_bytes());
    assert!(bytes.contains("To: <sip:+49301234567@trunk.example>\r\n"), "{bytes}");
    line.feed(Input::Stop);
    assert_eq!(line.last(&Method::Bye).to_tag(), None);
}

#[test]
fn a_repeated_200_is_acknowledged_again_with_the_same_bytes() {
    // § 13.2.2.4: "The UAC core MUST generate an ACK request for each 2xx received from the
    // transaction layer."
    let mut line = Line::up();
    let first = line.last_bytes();
    line.answer(200, "them");
    assert_eq!(line.last_bytes(), first);
    assert_eq!(line.take().len(), 1, "and the owner hears nothing of it");
    line.wait(Duration::from_secs(60));
    line.answer(200, "them");
    assert_eq!(line.last_bytes(), first, "even when timer M is long over");
    assert_eq!(line.sent_bytes(&Method::Ack).len(), 3);
}

#[test]
fn a_lost_ack_comes_again_with_the_200_it_answers() {
    // § 13.3.1.4: the callee repeats its 2xx until the ACK arrives.
    let mut line = Line::new();
    line.answer(200, "them");
    for _ in 0..4 {
        line.wait(Duration::from_secs(2));
        line.answer(200, "them");
    }
    assert_eq!(line.sent_bytes(&Method::Ack).len(), 5);
    assert_eq!(*line.call.state(), State::Up);
}

#[test]
fn a_second_fork_is_acknowledged_and_hung_up_on() {
    // § 13.2.2.4: "If, after acknowledging any 2xx response to an INVITE, the UAC does not want to
    // continue with that dialog, then the UAC MUST terminate the dialog by sending a BYE request".
    let mut line = Line::up();
    line.answer(200, "other");
    assert_eq!(line.notes(), [&Note::Fork]);
    assert_eq!(line.methods(), [Method::Ack, Method::Bye]);
    let bye = line.last(&Method::Bye);
    assert_eq!((bye.to_tag(), bye.cseq().0), (Some("other"), 2));
    assert_eq!(*line.call.state(), State::Up, "the first goes on");
    line.answer(200, "other");
    assert_eq!(line.methods(), [Method::Ack], "its repeated 200 is acknowledged, not left again");
    line.respond(&bye, 200, "other", |r| r);
    line.wait(Duration::from_secs(40));
    assert_eq!(line.methods(), []);
    line.ask(&Method::Bye);
    assert_eq!(line.ended(), Some(Ended::HungUp));
    line.dies_out();
}

#[test]
fn forks_without_end_are_not_kept() {
    let mut line = Line::up();
    for fork in 0..100 {
        line.answer(200, &format!("fork{fork}"));
    }
    assert_eq!(line.sent_bytes(&Method::Bye).len(), 15);
    assert!(line.notes().contains(&&Note::TooManyForks));
}

#[test]
fn a_refusal_is_acknowledged_in_its_transaction_and_reported() {
    // § 17.1.1.3: "The ACK request constructed by the client transaction MUST contain values for
    // the Call-ID, From, and Request-URI that are equal to the values of those header fields in
    // the request passed to the transport by the client transaction".
    for status in [302, 404, 480, 486, 500, 503, 600, 603, 608, 699] {
        let mut line = Line::new();
        line.answer(180, "them");
        let invite = line.last(&Method::Invite);
        line.respond(&invite, status, "them", |r| {
            r.header("Reason", "Q.850;cause=17;text=\"busy\"")
        });
        let ack = line.last(&Method::Ack);
        assert_eq!((ack.branch(), ack.to_tag()), (invite.branch(), Some("them")));
        assert_eq!((ack.cseq().0, ack.request_uri()), (1, invite.request_uri()));
        assert_eq!(
            line.ended(),
            Some(Ended::Rejected { status, q850: Some(17), retry_after: None })
        );
        line.answer(status, "them");
        assert_eq!(line.sent_bytes(&Method::Ack).len(), 2, "and once more when it comes once more");
        line.dies_out();
    }
}

#[test]
fn a_refusal_may_say_when_to_try_again() {
    let mut line = Line::new();
    let invite = line.last(&Method::Invite);
    line.respond(&invite, 503, "them", |r| r.header("Retry-After", "120 (lunch);duration=3"));
    let retry_after = Some(120);
    assert_eq!(line.ended(), Some(Ended::Rejected { status: 503, q850: None, retry_after }));
}

#[test]
fn a_200_after_a_refusal_leaves_nobody_off_the_hook() {
    let mut line = Line::new();
    line.answer(486, "them");
    line.answer(200, "other");
    assert_eq!(line.methods(), [Method::Ack, Method::Ack, Method::Bye]);
    assert_eq!(line.overs, 1);
}

#[test]
fn a_network_that_cannot_deliver_the_invite_ends_it() {
    let mut line = Line::new();
    line.feed(Input::Unreachable { hop: trunk() });
    assert_eq!(line.ended(), Some(Ended::Unreachable));
    assert!(line.call.finished());
}

#[test]
fn a_network_that_stumbles_later_does_not() {
    let mut line = Line::up();
    line.feed(Input::Unreachable { hop: hop("198.51.100.4:5060") });
    line.feed(Input::Unreachable { hop: trunk() });
    assert_eq!(line.notes(), [&Note::Unreachable], "and the trouble of others is theirs");
    assert_eq!(*line.call.state(), State::Up);
}

#[test]
fn stray_responses_never_end_a_call() {
    for status in [180, 200, 401, 486, 603] {
        let mut line = Line::up();
        let invite = line.invite.clone().unwrap();
        let other = text(&Response::to(&invite, status).to_tag("x").to_bytes());
        line.receive(other.replace(invite.branch(), "z9hG4bKother").as_bytes());
        assert_eq!(line.notes(), [&Note::StrayResponse { status }]);
        line.receive(other.replace(line.call.call_id(), "other").as_bytes());
        line.receive(other.replace("1 INVITE", "1 BYE").as_bytes());
        assert!(line.methods().is_empty());
        assert_eq!((*line.call.state(), line.overs), (State::Up, 0));
    }
}

#[test]
fn a_200_without_a_session_description_means_the_glimpse_of_its_own_phone() {
    // § 13.2.1: the answer is that of the dialog; what another phone said before is not.
    let mut line = Line::new();
    let invite = line.last(&Method::Invite);
    line.respond(&invite, 183, "them", |r| r);
    line.respond(&invite, 183, "other", |r| r.body("application/sdp", b"v=0\r\n"));
    line.take();
    let bare = Response::to(&invite, 200).to_tag("them").to_bytes();
    line.receive(&bare);
    assert!(line.out.contains(&Output::Answered { status: 200, sdp: Some(SDP.to_vec()) }));
}

#[test]
fn a_diverted_call_is_told_of_once_and_without_numbers() {
    // RFC 5806, RFC 7044: whoever speaks with us may be another than the one who was called.
    let mut line = Line::new();
    let invite = line.last(&Method::Invite);
    let diversion = "<sip:+49301234567@trunk.example>;reason=user-busy";
    line.respond(&invite, 180, "them", |r| r.header("Diversion", diversion));
    line.respond(&invite, 200, "them", |r| r.header("Diversion", diversion));
    assert_eq!(line.notes(), [&Note::Diverted]);
    assert!(!format!("{:?}", line.out).contains("4930"));
}

#[test]
fn whether_the_trunk_failed_can_be_told_from_the_end() {
    let rejected = |status, q850| Ended::Rejected { status, q850, retry_after: None };
    for (ended, is_of_trunk) in [
        (Ended::Stopped, false),
        (Ended::HungUp, false),
        (Ended::Left, false),
        (Ended::NoAnswer, false),
        (Ended::NoResponse, true),
        (Ended::Unreachable, true),
        (Ended::AuthenticationRefused { status: 407 }, true),
        (Ended::Protocol(Why::AckMissing), true),
        (Ended::Expired, true),
        (rejected(302, None), false),
        (rejected(404, None), false),
        (rejected(408, None), true),
        (rejected(408, Some(18)), false),
        (rejected(480, None), false),
        (rejected(486, Some(17)), false),
        (rejected(499, Some(38)), false),
        (rejected(500, None), true),
        (rejected(503, None), true),
        (rejected(503, Some(34)), true),
        (rejected(503, Some(41)), true),
        (rejected(500, Some(16)), false),
        (rejected(502, Some(27)), false),
        (rejected(503, Some(1)), false),
        (rejected(599, Some(127)), true),
        (rejected(600, None), false),
        (rejected(603, Some(21)), false),
    ] {
        assert_eq!(ended.is_of_trunk(), is_of_trunk, "{ended:?}");
    }
}
