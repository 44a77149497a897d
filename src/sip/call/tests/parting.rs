//! How it ends.

use super::*;

#[test]
fn a_call_that_never_began_is_stopped_at_once() {
    let mut call = Call::new(order(), SDP.to_vec(), Entropy::from_number(1), Settings::default());
    let mut out = Vec::new();
    call.on(Timestamp::from_secs(1), Input::Stop, &mut out);
    call.on(Timestamp::from_secs(1), Input::Start, &mut out);
    assert_eq!(out, [Output::Over(Ended::Stopped)]);
    assert!(call.finished());
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    // § 9.1: "If no provisional response has been received, the CANCEL request MUST NOT be sent".
    let mut line = Line::new();
    line.take();
    line.feed(Input::Stop);
    assert_eq!(*line.call.state(), State::Abandoning { why: Ended::Stopped });
    assert_eq!(line.methods(), []);
    line.answer(100, "");
    assert_eq!(line.methods(), [Method::Cancel]);
    line.answer(487, "them");
    assert_eq!(line.ended(), Some(Ended::Stopped));
    line.dies_out();
}

#[test]
fn an_abandoned_call_that_is_answered_is_hung_up_on() {
    let mut line = Line::new();
    line.take();
    line.feed(Input::Stop);
    line.answer(200, "them");
    assert_eq!(line.ended(), Some(Ended::Stopped));
    assert_eq!(line.methods(), [Method::Ack, Method::Bye]);
}

#[test]
fn an_abandoned_call_that_is_refused_is_done() {
    let mut line = Line::new();
    line.take();
    line.feed(Input::Stop);
    line.answer(486, "them");
    assert_eq!(line.ended(), Some(Ended::Stopped));
    assert_eq!(line.methods(), [Method::Ack]);
    line.dies_out();
}

#[test]
fn an_abandoned_call_is_not_authenticated_again() {
    let mut line = Line::new();
    line.feed(Input::Stop);
    let invite = line.last(&Method::Invite);
    line.respond(&invite, 407, "gate", |r| r.header("Proxy-Authenticate", CHALLENGE));
    assert_eq!(line.ended(), Some(Ended::Stopped));
    assert_eq!(line.sent_bytes(&Method::Invite).len(), 1);
}

#[test]
fn an_abandoned_call_that_nobody_answers_ends_with_timer_b() {
    let mut line = Line::new();
    line.feed(Input::Stop);
    line.wait(Duration::from_secs(33));
    assert_eq!(line.ended(), Some(Ended::Stopped));
    assert_eq!(line.sent_bytes(&Method::Cancel).len(), 2, "at 32 and 32.5 s");
    line.dies_out();
}

#[test]
fn a_cancel_is_the_invite_with_another_method() {
    // § 9.1: "The Request-URI, Call-ID, To, the numeric part of CSeq, and From header fields in
    // the CANCEL request MUST be identical to those in the request being cancelled, including
    // tags. A CANCEL [...] MUST have only a single Via header field value matching the top Via".
    let mut line = Line::new();
    line.answer(180, "them");
    line.feed(Input::Stop);
    let (invite, cancel) = (line.last(&Method::Invite), line.last(&Method::Cancel));
    assert_eq!(cancel.request_uri(), invite.request_uri());
    for name in ["Call-ID", "To", "From", "Via"] {
        assert_eq!(cancel.header(name), invite.header(name), "{name}");
    }
    assert_eq!(cancel.cseq(), (1, Method::Cancel));
    assert!(cancel.body().is_empty());
    line.respond(&cancel, 200, "them", |r| r);
    line.take();
    line.answer(487, "them");
    assert_eq!(line.ended(), Some(Ended::Stopped));
    assert_eq!(line.methods(), [Method::Ack]);
    line.dies_out();
}

#[test]
fn a_200_that_crosses_our_cancel_is_acknowledged_and_hung_up_on() {
    // § 9.1: CANCEL "has no effect on a request to which a UAS has already given a final response".
    let mut line = Line::new();
    line.answer(180, "them");
    line.feed(Input::Stop);
    line.take();
    line.answer(200, "them");
    assert_eq!(line.ended(), Some(Ended::Stopped));
    assert_eq!(line.notes(), [&Note::LateAnswer]);
    assert!(!line.out.iter().any(|o| matches!(o, Output::Answered { .. })));
    assert_eq!(line.methods(), [Method::Ack, Method::Bye]);
    let (cancel, bye) = (line.last(&Method::Cancel), line.last(&Method::Bye));
    line.respond(&cancel, 481, "them", |r| r);
    line.respond(&bye, 200, "them", |r| r);
    line.dies_out();
}

#[test]
fn a_487_that_comes_again_is_acknowledged_again() {
    // § 17.1.1.2: "Any retransmissions of the final response that are received while in the
    // "Completed" state MUST cause the ACK to be re-passed to the transport layer".
    let mut line = Line::new();
    line.answer(180, "them");
    line.feed(Input::Stop);
    line.answer(487, "them");
    line.take();
    line.answer(487, "them");
    assert_eq!(line.methods(), [Method::Ack]);
    line.dies_out();
}

#[test]
fn a_cancel_that_nobody_answers_is_given_up_after_64_t1() {
    // § 9.1: "If there is no final response for the original request in 64*T1 seconds [...], the
    // client SHOULD then consider the original transaction cancelled".
    let mut line = Line::new();
    line.answer(180, "them");
    line.feed(Input::Stop);
    line.wait(Duration::from_millis(31_999));
    assert_eq!(line.ended(), None);
    assert!(line.sent_bytes(&Method::Cancel).len() > 5, "it is repeated meanwhile");
    line.wait(Duration::from_millis(1));
    assert_eq!(line.ended(), Some(Ended::Stopped));
    assert!(line.call.finished());
}

#[test]
fn when_it_has_rung_long_enough_it_is_canceled() {
    let mut line = Line::new();
    line.answer(180, "them");
    line.take();
    line.wait(Duration::from_secs(45));
    assert_eq!(line.methods(), [Method::Cancel]);
    line.answer(487, "them");
    assert_eq!(line.ended(), Some(Ended::NoAnswer));
    line.dies_out();
}

#[test]
fn an_answer_after_it_has_rung_long_enough_is_no_answer() {
    let mut line = Line::new();
    line.answer(180, "them");
    line.wait(Duration::from_secs(45));
    line.take();
    line.answer(200, "them");
    assert_eq!(line.ended(), Some(Ended::NoAnswer));
    assert_eq!(line.methods(), [Method::Ack, Method::Bye]);
}

#[test]
fn a_short_ring_time_without_any_response_is_no_response() {
    let mut line = Line::with(Order { ring_timeout: Duration::from_secs(10), ..order() });
    line.wait(Duration::from_secs(10));
    assert_eq!(*line.call.state(), State::Abandoning { why: Ended::NoAnswer });
    line.wait(Duration::from_secs(22));
    assert_eq!(line.ended(), Some(Ended::NoResponse));
}

fn impatient() -> Line {
    Line::with(Order { is_last_resort: false, ..order() })
}

#[test]
fn a_silent_next_hop_is_left_after_four_seconds_and_its_late_answer_is_hung_up_on() {
    let mut line = impatient();
    assert_eq!(line.call.deadline().map(|(_, timer)| timer), Some(Timer::A));
    line.wait(Duration::from_secs(4));
    assert_eq!(line.ended(), Some(Ended::NoResponse));
    assert!(!line.call.finished(), "somebody may answer yet");
    let invites = line.sent_bytes(&Method::Invite).len();
    line.wait(Duration::from_secs(6));
    assert_eq!(line.sent_bytes(&Method::Invite).len(), invites, "no more copies");
    line.take();
    line.answer(200, "them");
    assert_eq!(line.methods(), [Method::Ack, Method::Bye]);
    line.dies_out();
}

#[test]
fn a_silent_next_hop_is_canceled_for_it_may_ring() {
    let mut line = impatient();
    let invite = line.invite.clone().unwrap();
    line.wait(Duration::from_millis(3_999));
    assert!(line.sent_bytes(&Method::Cancel).is_empty(), "its copies find out as long as they go");
    line.take();
    line.wait(Duration::from_millis(1));
    assert_eq!(line.methods(), [Method::Cancel]);
    let cancel = line.last(&Method::Cancel);
    assert_eq!(cancel.branch(), invite.branch());
    // It rang all the same.
    line.respond(&cancel, 200, "them", |r| r);
    line.answer(487, "them");
    assert_eq!(line.methods(), [Method::Ack]);
    line.wait(Duration::from_secs(60));
    assert_eq!(line.sent_bytes(&Method::Cancel).len(), 1, "once");
    line.dies_out();
}

#[test]
fn a_silent_next_hop_that_begins_to_ring_is_canceled_again() {
    let mut line = impatient();
    line.wait(Duration::from_secs(5));
    // The CANCEL came before the INVITE.
    let cancel = line.last(&Method::Cancel);
    line.respond(&cancel, 481, "them", |r| r);
    line.take();
    line.answer(180, "them");
    assert_eq!(line.methods(), [Method::Cancel]);
    line.answer(487, "them");
    line.dies_out();
}

#[test]
fn a_last_resort_that_says_nothing_is_canceled_with_timer_b() {
    let mut line = Line::new();
    line.wait(Duration::from_millis(31_999));
    assert!(line.sent_bytes(&Method::Cancel).is_empty());
    line.wait(Duration::from_millis(1));
    assert_eq!(line.ended(), Some(Ended::NoResponse));
    assert_eq!(line.sent_bytes(&Method::Cancel).len(), 1);
    assert!(!line.call.finished(), "somebody may answer yet");
    line.take();
    line.answer(200, "them");
    assert_eq!(line.methods(), [Method::Ack, Method::Bye]);
    line.dies_out();
}

#[test]
fn a_next_hop_that_said_anything_is_not_left() {
    let mut line = impatient();
    line.wait(Duration::from_secs(3));
    line.answer(100, "");
    line.wait(Duration::from_secs(30));
    assert_eq!(line.ended(), None);
}

#[test]
fn a_silent_next_hop_dies_out_with_its_cancel() {
    let mut line = impatient();
    line.wait(Duration::from_secs(4 + 32));
    assert!(line.call.finished());
}

#[test]
fn we_hang_up_with_bye_and_the_owner_knows_at_once() {
    // § 15.1.1: "A BYE request is constructed as would any other request within a dialog".
    let mut line = Line::up();
    line.feed(Input::Stop);
    assert_eq!(line.ended(), Some(Ended::Left));
    assert_eq!(*line.call.state(), State::Leaving { why: Ended::Left });
    let bye = line.last(&Method::Bye);
    assert_eq!((bye.cseq().0, bye.to_tag()), (2, Some("them")));
    line.respond(&bye, 200, "them", |r| r);
    assert_eq!(*line.call.state(), State::Over(Ended::Left));
    line.dies_out();
}

#[test]
fn a_lost_bye_is_repeated_until_timer_f() {
    // § 17.1.2.2: "If Timer F fires while the client transaction is still in the "Trying" state,
    // the client transaction SHOULD inform the TU about the timeout".
    let mut line = Line::up();
    line.feed(Input::Stop);
    line.wait(Duration::from_secs(31));
    let byes = line.sent_bytes(&Method::Bye);
    assert_eq!(byes.len(), 10, "at 0, 0.5, 1.5, 3.5 s and then every 4 s");
    assert!(byes.iter().all(|bye| bye == &byes[0]));
    assert!(!line.call.finished());
    line.wait(Duration::from_secs(1));
    assert_eq!(*line.call.state(), State::Over(Ended::Left));
    line.dies_out();
}

#[test]
fn the_callee_hangs_up() {
    // § 15.1.2: "the UAS core [...] MUST generate a 2xx response to the BYE".
    let mut line = Line::up();
    let bye = line.ask(&Method::Bye);
    assert_eq!(line.ended(), Some(Ended::HungUp));
    assert_eq!(line.statuses(), [200]);
    line.receive(&bye);
    assert_eq!(line.statuses(), [200], "a copy of it gets the same answer");
    line.dies_out();
}

#[test]
fn byes_may_cross() {
    let mut line = Line::up();
    line.feed(Input::Stop);
    line.take();
    line.ask(&Method::Bye);
    assert_eq!(line.statuses(), [200]);
    let bye = line.last(&Method::Bye);
    line.respond(&bye, 481, "them", |r| r);
    assert_eq!(*line.call.state(), State::Over(Ended::Left));
    line.dies_out();
}

#[test]
fn a_bye_from_a_phone_that_only_rings_ends_nothing() {
    // § 15: "the callee's UA [...] MUST NOT send a BYE on early dialogs".
    let mut line = Line::new();
    line.answer(180, "them");
    line.take();
    line.ask(&Method::Bye);
    assert_eq!(line.notes(), [&Note::EarlyBye]);
    assert_eq!(line.statuses(), [200]);
    assert!(matches!(line.call.state(), State::Early { .. }));
}

#[test]
fn whatever_happens_it_is_over_once_and_dies_out() {
    for seed in 0..2_000 {
        let mut entropy = Entropy::from_number(seed);
        let mut line = Line::with(Order { redirects: vec!["192.0.2.9".into()], ..order() });
        for _ in 0..entropy.below(40) {
            happen(&mut line, &mut entropy);
        }
        line.feed(Input::Stop);
        line.dies_out();
    }
}

/// Something of all that can happen.
fn happen(line: &mut Line, entropy: &mut Entropy) {
    let methods = ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "PRACK", "HACK"];
    let tag = ["them", "other", "third"][usize::try_from(entropy.below(3)).unwrap()];
    match entropy.below(12) {
        0..4 => {
            let statuses = [
                100, 180, 183, 199, 200, 200, 302, 401, 407, 408, 422, 481, 486, 487, 491, 501, 503,
            ];
            let nth = entropy.below(statuses.len() as u64);
            let status = statuses[usize::try_from(nth).unwrap()];
            let requests: Vec<Message> = line.sent.iter().map(|s| s.1.clone()).collect();
            let nth = usize::try_from(entropy.below(requests.len() as u64)).unwrap();
            let rseq = entropy.below(3).to_string();
            if requests[nth].status().is_none() {
                line.respond(&requests[nth].clone(), status, tag, |response| {
                    let response = response.header("WWW-Authenticate", CHALLENGE);
                    let response = response.header("RSeq", &rseq).header("Min-SE", "120");
                    let response = response.header("Session-Expires", "90;refresher=uac");
                    response.header("Require", if rseq == "0" { "timer" } else { "100rel" })
                });
            }
        }
        4..8 => {
            let method = methods[usize::try_from(entropy.below(9)).unwrap()];
            let request = line.request(&Method::parse(method).unwrap(), tag);
            line.receive(&request.body("application/sdp", SDP).to_bytes());
        }
        8 => line.wait(Duration::from_millis(entropy.below(40_000))),
        9 => line.feed(Input::Accept { sdp: SDP.to_vec() }),
        10 => line.feed(Input::Unreachable { hop: trunk() }),
        _ if entropy.below(4) == 0 => line.feed(Input::Stop),
        _ => line.feed(Input::Lapsed),
    }
}

/// The far side of three ways, each a phone that keeps the rules, at whatever speed.
struct Phones {
    /// By branch: what it will still say, and whether it was canceled.
    legs: Vec<Leg>,
}

struct Leg {
    invite: Message,
    hop: Hop,
    tag: String,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Silent,
    Ringing,
    /// 200 sent; the ACK has not come.
    Answered,
    /// Someone is off the hook.
    Live,
    Done,
}

impl Phones {
    /// Takes what was sent since last asked.
    fn hear(&mut self, line: &mut Line, seen: &mut usize) {
        while let Some((to, message, _)) = line.sent.get(*seen).cloned() {
            *seen += 1;
            let of_branch = self.legs.iter().position(|it| it.invite.branch() == message.branch());
            let of_tag = self.legs.iter().position(|it| message.to_tag() == Some(&it.tag));
            match (message.method(), of_branch, of_tag) {
                (Method::Invite, None, _) => {
                    let tag = format!("leg{}", self.legs.len());
                    self.legs.push(Leg { invite: message, hop: to, tag, stage: Stage::Silent });
                }
                (Method::Cancel, Some(leg), _) => {
                    // Whoever has answered has answered.
                    if matches!(self.legs[leg].stage, Stage::Silent | Stage::Ringing) {
                        self.say(line, leg, 487);
                    }
                }
                (Method::Ack, _, Some(leg)) if self.legs[leg].stage == Stage::Answered => {
                    self.legs[leg].stage = Stage::Live;
                }
                (Method::Bye, _, Some(leg)) => {
                    self.legs[leg].stage = Stage::Done;
                    line.respond(&message, 200, "", |r| r);
                }
                _ => {}
            }
        }
    }

    fn say(&mut self, line: &mut Line, leg: usize, status: u16) {
        let Leg { invite, hop, tag, stage } = &mut self.legs[leg];
        *stage = match status {
            100 => *stage,
            ..200 => Stage::Ringing,
            200 => Stage::Answered,
            _ => Stage::Done,
        };
        let (invite, hop, tag) = (invite.clone(), *hop, tag.clone());
        let contact = Uri::sip(&tag, &hop.address.ip().to_string(), Some(hop.address.port()));
        let response = Response::to(&invite, status).to_tag(&tag).contact(&contact);
        let response = response.body("application/sdp", SDP).to_bytes();
        line.receive_from(hop, &response);
    }
}

#[test]
fn there_are_never_two_live_legs() {
    let ways = ["192.0.2.7:5060", "192.0.2.8:5060", "192.0.2.9:5060"];
    let mut moved = 0;
    let (mut answered, mut late) = (0, 0);
    for seed in 0..1_500 {
        let mut entropy = Entropy::from_number(seed);
        let ways: Vec<Way> = ways.iter().map(|it| way(hop(it))).collect();
        let mut line = Line::with(Order { ways, is_last_resort: seed % 2 == 0, ..order() });
        let (mut phones, mut seen) = (Phones { legs: Vec::new() }, 0);
        for _ in 0..entropy.below(30) {
            phones.hear(&mut line, &mut seen);
            let leg = usize::try_from(entropy.below(phones.legs.len() as u64)).unwrap();
            let stage = phones.legs[leg].stage;
            // Nobody is left to hear a phone that speaks when all is over.
            if line.call.finished() {
                break;
            }
            match (entropy.below(7), stage) {
                (0, Stage::Silent | Stage::Ringing) => phones.say(&mut line, leg, 180),
                (1, Stage::Silent | Stage::Ringing) => phones.say(&mut line, leg, 200),
                (2, Stage::Silent) => phones.say(&mut line, leg, 100),
                (3, Stage::Silent | Stage::Ringing) => {
                    let status = [408, 503, 503, 486][usize::try_from(entropy.below(4)).unwrap()];
                    phones.say(&mut line, leg, status);
                }
                (4, Stage::Silent) => {
                    let hop = phones.legs[leg].hop;
                    line.feed(Input::Unreachable { hop });
                }
                (5, _) => line.wait(Duration::from_millis(entropy.below(6_000))),
                (6, _) if entropy.below(8) == 0 => line.feed(Input::Stop),
                _ => {}
            }
            phones.hear(&mut line, &mut seen);
            let live = phones.legs.iter().filter(|it| it.stage == Stage::Live).count();
            assert!(live <= 1, "seed {seed}: {live} legs are live");
            let is_up = *line.call.state() == State::Up;
            assert_eq!(is_up, live == 1, "seed {seed}: who is live is who is spoken with");
        }
        moved += usize::from(phones.legs.len() > 1);
        answered += usize::from(*line.call.state() == State::Up);
        late += usize::from(line.notes().contains(&&Note::LateAnswer));
        line.feed(Input::Stop);
        for _ in 0..4 {
            phones.hear(&mut line, &mut seen);
            line.wait(Duration::from_secs(50));
        }
        line.dies_out();
        assert!(phones.legs.iter().all(|it| it.stage != Stage::Live), "seed {seed}");
        let ringing = phones.legs.iter().filter(|it| it.stage == Stage::Ringing).count();
        assert_eq!(ringing, 0, "seed {seed}: everything that rang was canceled");
    }
    assert!(moved > 250 && answered > 150 && late > 25, "{moved} {answered} {late}");
}
