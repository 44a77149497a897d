//! Session timers (RFC 4028), and UPDATE (RFC 3311).

use super::*;

/// A call that was answered so.
fn up(session: &str, allow: &str) -> Line {
    let mut line = Line::new();
    let invite = line.last(&Method::Invite);
    line.respond(&invite, 200, "them", |r| {
        r.header("Session-Expires", session).header("Require", "timer").header("Allow", allow)
    });
    line.take();
    line
}

const UPDATE: &str = "INVITE, ACK, BYE, CANCEL, UPDATE";

#[test]
fn we_ask_for_two_minutes() {
    // § 5: without a Min-SE, 90 s are understood.
    let invite = Line::new().last(&Method::Invite);
    assert_eq!(invite.header("Session-Expires").unwrap(), "120");
    assert_eq!(invite.header("Min-SE").unwrap(), "90");
    assert!(invite.supports("timer"));
}

#[test]
fn who_is_known_to_want_more_is_asked_for_it_at_once() {
    for (known, asked, least) in [(600, "600", "600"), (100, "120", "100"), (30, "120", "90")] {
        let invite =
            Line::with(Order { min_session: Some(known), ..order() }).last(&Method::Invite);
        assert_eq!(invite.header("Session-Expires").unwrap(), asked);
        assert_eq!(invite.header("Min-SE").unwrap(), least);
    }
}

#[test]
fn who_wants_more_and_does_not_say_how_much_is_given_what_is_usual() {
    // § 4: "The RECOMMENDED value for the Session-Expires header field is 1800 seconds".
    for min in ["", "120", "soon"] {
        let mut line = Line::new();
        let invite = line.last(&Method::Invite);
        line.respond(&invite, 422, "them", |r| {
            if min.is_empty() { r } else { r.header("Min-SE", min) }
        });
        let again = line.last(&Method::Invite);
        assert_eq!(again.header("Session-Expires").unwrap(), "1800", "{min}");
        assert_eq!(again.header("Min-SE").unwrap(), "1800", "{min}");
        assert_eq!(line.notes(), [&Note::SessionRaised { seconds: 1_800 }]);
    }
}

#[test]
fn who_wants_more_is_given_it_once() {
    // § 7.3: after a 422 the UAC may retry with the Min-SE of the response.
    let mut line = Line::new();
    for _ in 0..2 {
        let invite = line.last(&Method::Invite);
        line.respond(&invite, 422, "them", |r| r.header("Min-SE", "3600"));
    }
    assert_eq!(line.sent_bytes(&Method::Invite).len(), 2);
    let second = line.last(&Method::Invite);
    assert_eq!(second.header("Session-Expires").unwrap(), "3600");
    assert_eq!((second.header("Min-SE").unwrap(), second.cseq().0), ("3600".into(), 2));
    assert_eq!(line.notes(), [&Note::SessionRaised { seconds: 3_600 }]);
    let ended = Ended::Rejected { status: 422, q850: None, retry_after: None };
    assert_eq!(line.ended(), Some(ended));
}

#[test]
fn a_session_without_a_timer_lasts() {
    let mut line = Line::up();
    line.take();
    line.wait(Duration::from_secs(10_000));
    assert_eq!(line.take(), []);
}

#[test]
fn we_refresh_at_half_the_interval_by_update() {
    // § 7.4: "If a UAC knows that its peer supports the UPDATE method, it is RECOMMENDED that UPDATE
    // be used instead of a re-INVITE." § 7.2: "at half the session interval".
    for session in ["90;refresher=uac", "90", "20;refresher=uac"] {
        let mut line = up(session, UPDATE);
        for round in 1..=5 {
            line.wait(Duration::from_millis(44_999));
            assert_eq!(line.methods(), []);
            assert_eq!(line.call.deadline().map(|(_, timer)| timer), Some(Timer::Refresh));
            line.wait(Duration::from_millis(1));
            let update = line.last(&Method::Update);
            assert_eq!(update.cseq().0, 1 + round);
            assert_eq!(update.header("Session-Expires").unwrap(), "90;refresher=uac");
            assert!(update.body().is_empty() && update.contact_uri().is_some());
            line.respond(&update, 200, "them", |r| {
                r.header("Session-Expires", "90;refresher=uac").header("Require", "timer")
            });
            line.take();
        }
        assert_eq!(*line.call.state(), State::Up);
    }
}

#[test]
fn without_update_we_refresh_by_a_re_invite_that_changes_nothing() {
    // § 7.4: "a re-INVITE SHOULD contain one, even if the details of the session have not changed. In
    // that case, the offer MUST indicate that it has not changed."
    let mut line = up("90;refresher=uac", "INVITE, ACK, BYE, CANCEL");
    line.wait(Duration::from_secs(45));
    let invite = line.last(&Method::Invite);
    assert_eq!((invite.cseq().0, invite.to_tag()), (2, Some("them")));
    assert_eq!(invite.sdp(), Some(SDP));
    line.take();
    line.ask_with(&Method::Invite, |r| r.body("application/sdp", SDP));
    line.ask_with(&Method::Update, |r| r.body("application/sdp", SDP));
    assert_eq!(line.statuses(), [491, 491], "RFC 3261 § 14.2: ours is in progress");
    line.respond(&invite, 200, "them", |r| r.header("Session-Expires", "90;refresher=uac"));
    assert!(line.out.contains(&Output::Agreed { sdp: SDP.to_vec() }));
    assert_eq!(line.methods(), [Method::Ack]);
    let ack = line.last(&Method::Ack);
    assert_eq!((ack.cseq().0, ack.to_tag()), (2, Some("them")));
    let bytes = line.last_bytes();
    line.respond(&invite, 200, "them", |r| r);
    assert_eq!(line.taken().len(), 1);
    assert_eq!(line.last_bytes(), bytes, "a copy of it is acknowledged with a copy");
    line.wait(Duration::from_secs(45));
    assert_eq!(line.last(&Method::Invite).cseq().0, 3);
}

#[test]
fn a_re_invite_carries_what_we_last_said() {
    let mut line = up("90;refresher=uac", "INVITE");
    line.ask_with(&Method::Update, |r| {
        r.header("Session-Expires", "90;refresher=uas")
            .header("Supported", "timer")
            .body("application/sdp", SDP)
    });
    line.feed(Input::Accept { sdp: b"v=0\r\ns=2\r\n".to_vec() });
    line.wait(Duration::from_secs(45));
    assert_eq!(line.last(&Method::Invite).sdp(), Some(b"v=0\r\ns=2\r\n".as_slice()));
}

#[test]
fn a_refusal_of_a_re_invite_is_acknowledged_and_the_session_runs_out() {
    let mut line = up("90;refresher=uac", "INVITE");
    line.wait(Duration::from_secs(45));
    let invite = line.last(&Method::Invite);
    line.respond(&invite, 488, "them", |r| r);
    let ack = line.last(&Method::Ack);
    assert_eq!((ack.branch(), ack.cseq().0), (invite.branch(), 2));
    assert_eq!(line.ended(), None);
    line.wait(Duration::from_secs(15));
    assert_eq!(line.ended(), Some(Ended::Expired));
    line.dies_out();
}

#[test]
fn who_does_not_take_update_after_all_gets_a_re_invite() {
    for status in [405, 501] {
        let mut line = up("90;refresher=uac", UPDATE);
        line.wait(Duration::from_secs(45));
        let update = line.last(&Method::Update);
        line.respond(&update, status, "them", |r| r);
        assert_eq!(line.last(&Method::Invite).cseq().0, 3);
    }
}

#[test]
fn a_refresh_that_crosses_another_request_comes_again() {
    // RFC 3261 § 14.1: "T has a randomly chosen value between 2.1 and 4 seconds in units of 10 ms."
    let mut line = up("90;refresher=uac", UPDATE);
    line.wait(Duration::from_secs(45));
    let update = line.last(&Method::Update);
    line.respond(&update, 491, "them", |r| r);
    line.take();
    line.wait(Duration::from_millis(2_090));
    assert_eq!(line.methods(), []);
    line.wait(Duration::from_millis(1_910));
    assert_eq!(line.last(&Method::Update).cseq().0, 3);
}

#[test]
fn a_refresh_that_is_too_short_is_repeated_with_more() {
    let mut line = up("90;refresher=uac", UPDATE);
    line.wait(Duration::from_secs(45));
    let update = line.last(&Method::Update);
    line.respond(&update, 422, "them", |r| r.header("Min-SE", "120"));
    let again = line.last(&Method::Update);
    assert_eq!(again.header("Session-Expires").unwrap(), "120;refresher=uac");
    assert_eq!(again.header("Min-SE").unwrap(), "120");
}

#[test]
fn a_challenge_to_a_refresh_is_answered_once() {
    for allow in [UPDATE, "INVITE"] {
        let mut line = up("90;refresher=uac", allow);
        line.wait(Duration::from_secs(45));
        let method = if allow == UPDATE { Method::Update } else { Method::Invite };
        for _ in 0..3 {
            let request = line.last(&method);
            line.respond(&request, 401, "them", |r| r.header("WWW-Authenticate", CHALLENGE));
        }
        let request = line.last(&method);
        assert!(request.header("Authorization").is_some());
        assert_eq!(request.cseq().0, 3);
    }
}

#[test]
fn who_knows_the_session_no_more_gets_bye() {
    // § 10: "If the session refresh request transaction times out or generates a 408 or 481 response,
    // then the UAC sends a BYE request".
    for status in [408, 481] {
        let mut line = up("90;refresher=uac", UPDATE);
        line.wait(Duration::from_secs(45));
        let update = line.last(&Method::Update);
        line.respond(&update, status, "them", |r| r);
        assert_eq!(line.ended(), Some(Ended::Expired));
        assert_eq!(line.last(&Method::Bye).cseq().0, 3);
        line.dies_out();
    }
}

#[test]
fn a_refresh_that_nobody_answers_ends_the_call_before_it_expires() {
    let mut line = up("90;refresher=uac", UPDATE);
    line.wait(Duration::from_millis(59_999));
    assert_eq!(line.ended(), None);
    line.wait(Duration::from_millis(1));
    assert_eq!(line.ended(), Some(Ended::Expired));
    let mut line = up("1800;refresher=uac", UPDATE);
    line.wait(Duration::from_secs(932));
    assert_eq!(line.ended(), Some(Ended::Expired), "by timer F");
    line.dies_out();
}

#[test]
fn without_their_refresh_the_call_ends_before_it_expires() {
    // § 10: "if the side not performing refreshes does not receive a session refresh request before
    // the session expiration, it SHOULD send a BYE to terminate the session, slightly before the
    // session expiration. The minimum of 32 seconds and one third of the session interval is
    // RECOMMENDED."
    for (session, after) in [("90;refresher=uas", 60), ("1800;refresher=uas", 1_768)] {
        let mut line = up(session, UPDATE);
        line.wait(Duration::from_secs(after - 1));
        assert_eq!((line.ended(), line.methods()), (None, vec![]));
        assert_eq!(line.call.deadline().map(|(_, timer)| timer), Some(Timer::Expiry));
        line.wait(Duration::from_secs(1));
        assert_eq!(line.ended(), Some(Ended::Expired));
        assert_eq!(line.methods(), [Method::Bye]);
        line.dies_out();
    }
}

#[test]
fn their_refresh_keeps_the_call_alive() {
    for method in [Method::Update, Method::Invite] {
        let mut line = up("90;refresher=uas", UPDATE);
        for _ in 0..4 {
            line.wait(Duration::from_secs(45));
            line.take();
            line.ask_with(&method, |r| {
                let r = r.header("Supported", "timer");
                let r = r.header("Session-Expires", "90;refresher=uac");
                if method == Method::Invite { r.body("application/sdp", SDP) } else { r }
            });
            if method == Method::Invite {
                line.feed(Input::Accept { sdp: SDP.to_vec() });
            }
            let answer = read(&line.last_bytes());
            assert_eq!(answer.status(), Some(200));
            // § 9: "If the refresher parameter in the Session-Expires header field in the 2xx response
            // has a value of 'uac', the UAS MUST place a Require header field into the response with
            // the value 'timer'."
            assert_eq!(answer.header("Session-Expires").unwrap(), "90;refresher=uac");
            assert_eq!(answer.header("Require").unwrap(), "timer");
            let number = line.cseq;
            let ack = line.request_numbered(&Method::Ack, "them", number, "z9hG4bKack").to_bytes();
            line.receive(&ack);
        }
        line.wait(Duration::from_secs(60));
        assert_eq!(line.ended(), Some(Ended::Expired));
    }
}

#[test]
fn who_refreshes_is_agreed_as_the_table_says() {
    // § 9, table 2.
    for (supported, asked, answered, required) in [
        ("timer", "90", "90;refresher=uac", true),
        ("timer", "90;refresher=uac", "90;refresher=uac", true),
        ("timer", "90;refresher=uas", "90;refresher=uas", true),
        ("x", "90", "90;refresher=uas", false),
    ] {
        let mut line = up("90;refresher=uas", UPDATE);
        line.ask_with(&Method::Update, |r| {
            r.header("Supported", supported).header("Session-Expires", asked)
        });
        let answer = read(&line.last_bytes());
        assert_eq!(answer.header("Session-Expires").unwrap(), answered, "{supported} {asked}");
        assert_eq!(answer.header("Require").is_some(), required);
        line.take();
        line.wait(Duration::from_secs(45));
        let is_ours = answered.ends_with("uas");
        assert_eq!(line.methods() == [Method::Update], is_ours, "{supported} {asked}");
    }
}

#[test]
fn who_wants_the_timer_no_more_is_not_hung_up_on() {
    let mut line = up("90;refresher=uas", UPDATE);
    line.ask(&Method::Update);
    line.wait(Duration::from_secs(200));
    assert_eq!(line.ended(), None);
}

#[test]
fn a_session_that_is_too_short_is_refused() {
    // § 9: "The 422 response MUST contain the Min-SE header field with the minimum timer for that
    // server."
    let mut line = Line::up();
    line.ask_with(&Method::Update, |r| r.header("Session-Expires", "89"));
    assert_eq!(read(&line.last_bytes()).header("Min-SE").unwrap(), "90");
    assert_eq!(line.statuses(), [422]);
}

#[test]
fn a_call_that_is_left_is_not_refreshed() {
    let mut line = up("90;refresher=uac", UPDATE);
    line.feed(Input::Stop);
    line.wait(Duration::from_secs(100));
    assert_eq!(line.sent_bytes(&Method::Update).len(), 0);
    line.dies_out();
}
