//! What a session does, without a connection and without time passing.

use proptest::prelude::*;

use super::*;
use crate::carrier::smpp::tests::{OURS, START, deliver_body, frame, phone, said, settings};

/// A part that is submitted.
fn submit() -> Submit {
    let part = Part { esm_class: 0, data_coding: 0, message: Zeroizing::new(vec![b'x']) };
    let valid = Duration::from_secs(60);
    Submit { to: phone(), part, valid, parts: 1, handle: None }
}

proptest! {
    #[test]
    fn nothing_that_comes_makes_the_reader_fall(
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut link = bound(&settings());
        link.say(Input::Bytes(&frame(command::DELIVER_SM, 0, 1, &body)));
        link.say(Input::Bytes(&body));
    }
}

/// A link under test, with its own clock.
struct Bench {
    link: Link,
    now: Timestamp,
    out: Vec<Output>,
}

impl Bench {
    fn say(&mut self, input: Input<'_>) {
        self.link.on(self.now, input, &mut self.out);
    }

    fn wait(&mut self, span: Duration) {
        self.now += span;
        self.say(Input::Tick);
    }

    /// Goes to the next deadline.
    fn next(&mut self) {
        self.now = self.now.max(self.link.deadline());
        self.say(Input::Tick);
    }

    /// The PDUs that were written since the last look; all is handed over when `flush`.
    fn written(&mut self, flush: bool) -> Vec<(u32, u32, u32)> {
        let mut frames = Frames::default();
        let mut octets = 0;
        self.out.retain(|output| {
            let Output::Write(written) = output else { return true };
            frames.push(written);
            octets += written.len();
            false
        });
        if flush && octets > 0 {
            self.say(Input::Written(octets));
        }
        let mut seen = Vec::new();
        while let Ok(Some(frame)) = frames.next() {
            seen.push((frame.command, frame.status, frame.sequence));
        }
        seen
    }

    fn replies(&mut self) -> Vec<(u64, Reply)> {
        let mut seen = Vec::new();
        self.out.retain(|output| {
            let Output::Reply(ticket, reply) = output else { return true };
            seen.push((ticket.0, reply.clone()));
            false
        });
        seen
    }

    fn told(&mut self) -> Vec<(About, News)> {
        let mut told = Vec::new();
        for output in std::mem::take(&mut self.out) {
            if let Output::Tell { sequence, news } = output {
                told.extend(news);
                self.say(Input::Told { sequence, taken: true });
            } else {
                self.out.push(output);
            }
        }
        told
    }

    fn submit(&mut self, ticket: u64) -> u32 {
        assert!(self.link.ready(self.now), "it is not ready for {ticket}");
        self.say(Input::Submit(Ticket(ticket), submit()));
        self.written(true).last().map(|(_, _, sequence)| *sequence).unwrap()
    }

    fn answer(&mut self, command: u32, status: u32, sequence: u32, body: &[u8]) {
        self.say(Input::Bytes(&frame(command, status, sequence, body)));
    }
}

fn fresh(settings: &Settings) -> Bench {
    let link = Link::new(Arc::new(settings.clone()), Entropy::from_number(1), START);
    Bench { link, now: START, out: Vec::new() }
}

fn bound(settings: &Settings) -> Bench {
    let mut bench = fresh(settings);
    bind(&mut bench);
    bench
}

fn bind(bench: &mut Bench) {
    bench.next();
    assert!(matches!(bench.out.pop(), Some(Output::Connect)));
    bench.say(Input::Connected);
    let &[(command::BIND_TRANSCEIVER, 0, sequence)] = &bench.written(true)[..] else {
        panic!("it does not bind")
    };
    bench.answer(command::BIND_TRANSCEIVER_RESP, 0, sequence, b"smsc\0");
    assert!(bench.link.state().bound);
    bench.out.clear();
}

#[test]
fn a_taken_text_has_the_centres_name() {
    let mut bench = bound(&settings());
    let sequence = bench.submit(1);
    bench.answer(command::SUBMIT_SM_RESP, 0, sequence, b"abc\0");
    assert_eq!(bench.replies(), [(1, Reply::Taken("abc".to_owned()))]);
    // A second answer finds nothing.
    bench.answer(command::SUBMIT_SM_RESP, 0, sequence, b"abc\0");
    assert_eq!(bench.replies(), []);
    // Without a name it was taken all the same.
    let sequence = bench.submit(2);
    bench.answer(command::SUBMIT_SM_RESP, 0, sequence, b"");
    let [(2, Reply::Taken(name))] = &bench.replies()[..] else { panic!("it was taken") };
    assert!(name.starts_with("unnamed-"), "{name}");
    // A negative acknowledgement never means that it was taken.
    let sequence = bench.submit(3);
    bench.answer(command::GENERIC_NACK, 0, sequence, b"");
    assert!(matches!(bench.replies()[..], [(3, Reply::Refused(_))]));
}

#[test]
fn no_more_than_the_window_is_unanswered() {
    let mut bench = bound(&Settings { window: 2, ..settings() });
    let first = bench.submit(1);
    bench.submit(2);
    assert!(!bench.link.ready(bench.now));
    bench.answer(command::SUBMIT_SM_RESP, 0, first, b"a\0");
    assert!(bench.link.ready(bench.now));
}

#[test]
fn a_limited_rate_is_kept() {
    let mut bench = bound(&Settings { per_second: 10.try_into().ok(), ..settings() });
    let mut submitted = 0;
    let end = bench.now + Duration::from_secs(2);
    while bench.now < end {
        while bench.link.ready(bench.now) {
            submitted += 1;
            let sequence = bench.submit(submitted);
            bench.answer(command::SUBMIT_SM_RESP, 0, sequence, b"a\0");
        }
        bench.next();
    }
    // Twenty, and what the burst allows.
    assert!((20..=22).contains(&submitted), "{submitted}");
}

#[test]
fn throttling_holds_texts_back_for_longer_and_longer() {
    let mut bench = bound(&settings());
    for pause in [500, 1_000, 2_000, 4_000, 4_000] {
        let sequences = [bench.submit(1), bench.submit(2)];
        for sequence in sequences {
            bench.answer(command::SUBMIT_SM_RESP, 0x58, sequence, b"");
        }
        assert_eq!(bench.replies(), [(1, Reply::Throttled), (2, Reply::Throttled)]);
        assert!(!bench.link.ready(bench.now));
        let before = bench.now;
        bench.next();
        assert_eq!(bench.now.since(before), Duration::from_millis(pause));
    }
    let sequence = bench.submit(3);
    bench.answer(command::SUBMIT_SM_RESP, 0, sequence, b"a\0");
    let sequence = bench.submit(4);
    bench.answer(command::SUBMIT_SM_RESP, 0x14, sequence, b"");
    assert_eq!(bench.link.braked_until(), bench.now + Duration::from_millis(500));
}

#[test]
fn what_was_handed_over_is_lost_and_what_was_not_is_unwritten() {
    let mut bench = bound(&settings());
    bench.submit(1);
    let mut lengths = Vec::new();
    for ticket in [2, 3] {
        bench.say(Input::Submit(Ticket(ticket), submit()));
        let Some(Output::Write(octets)) = bench.out.pop() else { panic!("it is written") };
        lengths.push(octets.len());
    }
    // All of the second, and of the third all but one octet.
    bench.say(Input::Written(lengths[0] + lengths[1] - 1));
    bench.say(Input::Failed("reset".to_owned()));
    let wanted = [(1, Reply::Lost), (2, Reply::Lost), (3, Reply::Unwritten)];
    assert_eq!(bench.replies(), wanted);
    assert!(matches!(bench.out[..], [Output::Close]));
    assert!(!bench.link.state().bound);
    assert_eq!(bench.link.state().last_error.as_deref(), Some("reset"));
}

#[test]
fn an_answer_that_does_not_come_in_time_makes_a_text_lost() {
    let mut bench = bound(&settings());
    let sequence = bench.submit(1);
    bench.wait(Duration::from_micros(9_999_999));
    assert_eq!(bench.replies(), []);
    bench.next();
    assert_eq!(bench.replies(), [(1, Reply::Lost)]);
    bench.answer(command::SUBMIT_SM_RESP, 0, sequence, b"late\0");
    assert_eq!(bench.replies(), []);
    assert!(bench.link.ready(bench.now));
}

#[test]
fn a_text_that_waits_on_a_stuck_connection_is_never_written_later() {
    let mut bench = bound(&settings());
    bench.say(Input::Submit(Ticket(1), submit()));
    bench.wait(Duration::from_secs(10));
    assert_eq!(bench.replies(), [(1, Reply::Unwritten)]);
    assert!(matches!(bench.out.last(), Some(Output::Close)));
}

#[test]
fn a_silent_centre_is_probed_and_then_left() {
    let mut bench = bound(&settings());
    bench.wait(Duration::from_secs(30));
    let [(command::ENQUIRE_LINK, 0, sequence)] = bench.written(true)[..] else { panic!("probe") };
    bench.answer(command::ENQUIRE_LINK_RESP, 0, sequence, b"");
    bench.wait(Duration::from_secs(29));
    assert_eq!(bench.written(true), []);
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.written(true).len(), 1);
    bench.wait(Duration::from_secs(10));
    assert!(matches!(bench.out[..], [Output::Close]));
    assert!(!bench.link.state().bound);
}

#[test]
fn a_lost_session_comes_back_after_longer_and_longer_pauses() {
    let mut bench = fresh(&settings());
    bench.next();
    for base in [1, 2, 4, 8, 16, 20, 20] {
        bench.out.clear();
        bench.say(Input::Failed("connection refused".to_owned()));
        let before = bench.now;
        bench.next();
        assert!(matches!(bench.out[..], [Output::Close, Output::Connect]));
        let pause = bench.now.since(before);
        let base = Duration::from_secs(base);
        assert!(base <= pause && pause <= base * 3 / 2, "{pause:?} instead of {base:?}");
    }
    // A good session starts them anew; one that was refused does not.
    bench.out.clear();
    bench.say(Input::Failed("connection refused".to_owned()));
    bench.out.clear();
    bind(&mut bench);
    bench.wait(Duration::from_secs(10));
    bench.say(Input::Failed("reset".to_owned()));
    assert!(bench.link.deadline().since(bench.now) <= Duration::from_millis(1_500));
}

#[test]
fn a_refused_bind_says_why_without_the_password() {
    let mut bench = fresh(&settings());
    bench.next();
    bench.say(Input::Connected);
    bench.answer(command::BIND_TRANSCEIVER_RESP, 0x0e, 1, b"");
    let error = bench.link.state().last_error.clone().unwrap();
    assert!(error.contains("ESME_RINVPASWD") && !error.contains("pass1234"), "{error}");
    assert!(!bench.link.ready(bench.now));
}

#[test]
fn news_are_answered_once_they_are_in_other_hands() {
    let mut bench = bound(&settings());
    let receipt = deliver_body((1, "14155550132"), 0x04, 0, said("DELIVRD").as_bytes(), &[]);
    bench.answer(command::DELIVER_SM, 0, 71, &receipt);
    assert_eq!(bench.written(true), []);
    let handle = About::Handle("0a1b2c".to_owned());
    assert_eq!(bench.told(), [(handle, News::Delivered)]);
    assert_eq!(bench.written(true), [(command::DELIVER_SM_RESP, 0, 71)]);

    let reply = deliver_body((1, "14155550132"), 0, 0, b"YES", &[]);
    bench.answer(command::DELIVER_SM, 0, 72, &reply);
    let told = bench.told();
    let [(About::Nobody, News::Text(text))] = &told[..] else { panic!("a text") };
    assert_eq!((text.body.expose(), text.to.as_str()), ("YES", OURS));
    assert_eq!(bench.written(true), [(command::DELIVER_SM_RESP, 0, 72)]);

    // Nobody takes them: the centre may come again with them.
    bench.answer(command::DELIVER_SM, 0, 73, &reply);
    bench.out.clear();
    bench.say(Input::Told { sequence: 73, taken: false });
    assert_eq!(bench.written(true), [(command::DELIVER_SM_RESP, 0x64, 73)]);

    // What says nothing is answered, or it would come for ever.
    bench.answer(command::DELIVER_SM, 0, 74, b"\xff");
    bench.answer(command::DELIVER_SM, 0, 75, &deliver_body((5, "Shop"), 0, 0, b"Sale", &[]));
    let answers = [74, 75].map(|sequence| (command::DELIVER_SM_RESP, 0, sequence));
    assert_eq!(bench.written(true), answers);
    assert_eq!(bench.link.state().unread, 2);
}

#[test]
fn the_centres_requests_are_answered() {
    let mut bench = bound(&settings());
    bench.answer(command::ENQUIRE_LINK, 0, 5, b"");
    bench.answer(0x0000_0103, 0, 6, b"");
    bench.answer(command::ALERT_NOTIFICATION, 0, 7, b"");
    let nack = (command::GENERIC_NACK, 3, 6);
    assert_eq!(bench.written(true), [(command::ENQUIRE_LINK_RESP, 0, 5), nack]);
    let sequence = bench.submit(1);
    bench.answer(command::UNBIND, 0, 8, b"");
    assert!(!bench.link.ready(bench.now));
    assert_eq!(bench.written(true), [(command::UNBIND_RESP, 0, 8)]);
    // What it still owes is awaited.
    bench.answer(command::SUBMIT_SM_RESP, 0, sequence, b"a\0");
    assert_eq!(bench.replies(), [(1, Reply::Taken("a".to_owned()))]);
    assert!(matches!(bench.out[..], [Output::Close]));
}

#[test]
fn it_waits_for_answers_and_unbinds_before_it_ends() {
    let mut bench = bound(&settings());
    let sequence = bench.submit(1);
    bench.say(Input::Stop);
    assert!(!bench.link.ready(bench.now));
    assert_eq!(bench.written(true), []);
    bench.answer(command::SUBMIT_SM_RESP, 0, sequence, b"a\0");
    assert_eq!(bench.replies(), [(1, Reply::Taken("a".to_owned()))]);
    let [(command::UNBIND, 0, sequence)] = bench.written(true)[..] else { panic!("unbind") };
    bench.answer(command::UNBIND_RESP, 0, sequence, b"");
    assert!(matches!(bench.out[..], [Output::Close, Output::Stopped]));
    assert_eq!(bench.link.deadline(), Timestamp::MAX);

    // One that is not bound, or whose centre does not answer, ends too.
    let mut bench = fresh(&settings());
    bench.say(Input::Stop);
    assert!(matches!(bench.out[..], [Output::Close, Output::Stopped]));
    let mut bench = bound(&settings());
    bench.say(Input::Stop);
    bench.next();
    assert!(matches!(bench.out.last(), Some(Output::Stopped)));
}

#[test]
fn what_is_no_smpp_ends_the_connection() {
    let mut bench = bound(&settings());
    bench.submit(1);
    bench.say(Input::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    assert_eq!(bench.replies(), [(1, Reply::Lost)]);
    assert!(matches!(bench.out[..], [Output::Close]));
}
