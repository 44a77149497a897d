//! Challenges.

use super::*;

#[test]
fn a_challenge_is_acknowledged_and_answered_in_a_new_transaction() {
    // § 8.1.3.5: "This new request constitutes a new transaction and SHOULD have the same value of the Call-ID, To, and From of the
    // previous request, but the CSeq should contain a new sequence number that is one higher".
    for (status, asks, answers) in [
        (401, "WWW-Authenticate", "Authorization"),
        (407, "Proxy-Authenticate", "Proxy-Authorization"),
    ] {
        let mut line = Line::new();
        let first = line.last(&Method::Invite);
        line.take();
        line.respond(&first, status, "gate", |r| r.header(asks, CHALLENGE));
        assert_eq!(line.methods(), [Method::Ack, Method::Invite]);
        let (ack, second) = (line.last(&Method::Ack), line.last(&Method::Invite));
        assert_eq!((ack.branch(), ack.to_tag()), (first.branch(), Some("gate")));
        assert_eq!((second.call_id(), second.from_tag()), (first.call_id(), first.from_tag()));
        assert_eq!((second.cseq().0, second.to_tag()), (2, None));
        assert_ne!(second.branch(), first.branch());
        let credentials = second.header(answers).unwrap().into_owned();
        assert!(credentials.contains("uri=\"sip:+49301234567@trunk.example\""), "{credentials}");
        line.respond(&first, status, "gate", |r| r.header(asks, CHALLENGE));
        assert_eq!(
            line.methods(),
            [Method::Ack],
            "a copy of the challenge gets an ACK and no more"
        );
        line.answer(180, "them");
        line.answer(200, "them");
        let ack = line.last(&Method::Ack);
        // § 13.2.2.4: "The ACK MUST contain the same credentials as the INVITE."
        assert_eq!((ack.cseq().0, ack.header(answers).unwrap()), (2, credentials.into()));
        line.feed(Input::Stop);
        assert!(line.last(&Method::Bye).header(answers).unwrap().contains("nc=00000002"));
    }
}

#[test]
fn endless_challenges_are_refused_credentials() {
    for status in [401, 407] {
        let name = if status == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
        let mut line = Line::new();
        for _ in 0..2 {
            let invite = line.last(&Method::Invite);
            line.respond(&invite, status, "gate", |r| r.header(name, CHALLENGE));
        }
        assert_eq!(line.sent_bytes(&Method::Invite).len(), 2);
        assert_eq!(line.ended(), Some(Ended::AuthenticationRefused { status }));
        line.dies_out();
    }
}

#[test]
fn endless_stale_challenges_are_refused_credentials_too() {
    let mut line = Line::new();
    for nonce in 0..5 {
        let invite = line.last(&Method::Invite);
        let stale = format!("Digest realm=\"trunk\", nonce=\"{nonce}\", stale=true");
        line.respond(&invite, 401, "gate", |r| r.header("WWW-Authenticate", &stale));
    }
    assert_eq!(line.sent_bytes(&Method::Invite).len(), 3);
    assert_eq!(line.ended(), Some(Ended::AuthenticationRefused { status: 401 }));
}

#[test]
fn a_challenge_without_credentials_is_refused() {
    let mut line = Line::with(Order { credentials: None, ..order() });
    let invite = line.last(&Method::Invite);
    line.respond(&invite, 407, "gate", |r| r.header("Proxy-Authenticate", CHALLENGE));
    assert_eq!(line.ended(), Some(Ended::AuthenticationRefused { status: 407 }));
}

#[test]
fn a_challenge_to_our_bye_is_answered_once() {
    let mut line = Line::up();
    line.feed(Input::Stop);
    for _ in 0..2 {
        let bye = line.last(&Method::Bye);
        line.respond(&bye, 407, "them", |r| r.header("Proxy-Authenticate", CHALLENGE));
    }
    assert_eq!(line.sent_bytes(&Method::Bye).len(), 2);
    assert_eq!(*line.call.state(), State::Over(Ended::Left));
    line.dies_out();
}

#[test]
fn a_challenge_from_another_address_gets_no_credentials() {
    // What a password is worth is not for whoever comes along to ask.
    let challenge = |line: &mut Line, request: &Message, from: Hop| {
        let response = Response::to(request, 407).to_tag("gate");
        let response = response.header("Proxy-Authenticate", CHALLENGE).to_bytes();
        line.receive_from(from, &response);
    };
    let mut line = Line::new();
    let (invite, stranger) = (line.last(&Method::Invite), hop("198.51.100.4:5060"));
    challenge(&mut line, &invite, stranger);
    assert_eq!(line.notes(), [&Note::ForeignChallenge { from: stranger }]);
    assert_eq!(line.ended(), Some(Ended::AuthenticationRefused { status: 407 }));
    assert_eq!(line.sent_bytes(&Method::Invite).len(), 1);

    let mut line = Line::new();
    let invite = line.last(&Method::Invite);
    challenge(&mut line, &invite, hop("192.0.2.7:16384"));
    assert_eq!(line.sent_bytes(&Method::Invite).len(), 2, "a translator may change the port");

    let mut line = Line::up();
    line.feed(Input::Stop);
    let bye = line.last(&Method::Bye);
    challenge(&mut line, &bye, stranger);
    assert_eq!(line.sent_bytes(&Method::Bye).len(), 1);
    line.dies_out();
}

#[test]
fn a_challenge_for_what_we_did_not_send_gets_no_credentials() {
    let mut line = Line::new();
    let invite = line.last(&Method::Invite);
    let response = Response::to(&invite, 401).to_tag("gate");
    let response = response.header("WWW-Authenticate", CHALLENGE).to_bytes();
    line.receive(text(&response).replace(invite.branch(), "z9hG4bKother").as_bytes());
    assert_eq!(line.notes(), [&Note::StrayResponse { status: 401 }]);
    assert_eq!(line.sent_bytes(&Method::Invite).len(), 1);
}

#[test]
fn a_stale_challenge_to_our_bye_is_answered_once_more() {
    // RFC 7616 § 3.3: "If stale is true, the client may wish to simply retry the request with a new
    // encrypted response".
    let mut line = Line::up();
    line.feed(Input::Stop);
    for nonce in 0..5 {
        let bye = line.last(&Method::Bye);
        let stale = format!("Digest realm=\"trunk\", nonce=\"{nonce}\", stale=true");
        line.respond(&bye, 401, "them", |r| r.header("WWW-Authenticate", &stale));
    }
    assert_eq!(line.sent_bytes(&Method::Bye).len(), 3);
    assert_eq!(*line.call.state(), State::Over(Ended::Left));
}

#[test]
fn every_algorithm_is_answered_and_the_strongest_goes_first() {
    // RFC 8760 § 2.2: MD5, SHA-256 and SHA-512-256, with qop and without.
    let challenges: Vec<String> = ["MD5", "SHA-512-256", "SHA-256"]
        .map(|it| format!("Digest realm=\"trunk\", nonce=\"n\", algorithm={it}"))
        .to_vec();
    for qop in ["", ", qop=\"auth,auth-int\""] {
        for until in 1..=3 {
            let mut line = Line::new();
            let invite = line.last(&Method::Invite);
            line.respond(&invite, 401, "gate", |r| {
                let offered = challenges.iter().take(until);
                offered.fold(r, |r, it| r.header("WWW-Authenticate", &format!("{it}{qop}")))
            });
            let answer = line.last(&Method::Invite);
            let answer = answer.header("Authorization").unwrap().into_owned();
            let strongest = ["MD5", "SHA-512-256", "SHA-512-256"][until - 1];
            assert!(answer.contains(&format!("algorithm={strongest}")), "{answer}");
            assert_eq!(answer.contains("qop=auth,"), !qop.is_empty(), "{answer}");
        }
    }
}
