//! A session as its call drives it.

use proptest::prelude::*;

use super::*;
use crate::media::prompt::Pack;

const FROM: &str = "198.51.100.7:5004";
const ANSWER: &str = "c=IN IP4 198.51.100.7\nm=audio 5004 RTP/AVP 0 101\n\
    a=rtpmap:101 telephone-event/8000\n";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A session, its clock, and a phone that sends to it.
struct Call {
    session: MediaSession,
    now: Timestamp,
    sequence: u16,
}

impl Call {
    fn new() -> Self {
        let session =
            MediaSession::new(address("192.0.2.1:4000"), Protection::Off, Entropy::from_number(1));
        Self { session, now: Timestamp::from_secs(1_000), sequence: 0 }
    }

    fn up() -> Self {
        let mut call = Self::new();
        call.session.answered(call.now, ANSWER.as_bytes()).expect("usable");
        call
    }

    fn rtp_from(&mut self, from: &str, datagram: &[u8]) -> Vec<Output> {
        let mut out = Vec::new();
        self.session.on_rtp(self.now, address(from), datagram, &mut out);
        out
    }

    fn rtp(&mut self, payload_type: u8, ssrc: u32, payload: &[u8]) -> Vec<Output> {
        self.sequence += 1;
        let timestamp = u32::from(self.sequence) * 160;
        let header = rtp::header(false, payload_type, self.sequence, timestamp, ssrc);
        self.rtp_from(FROM, &[&header[..], payload].concat())
    }

    fn rtcp_from(&mut self, from: &str, datagram: &[u8]) -> Vec<Output> {
        let mut out = Vec::new();
        self.session.on_rtcp(self.now, address(from), datagram, &mut out);
        out
    }

    fn count(&self, anomaly: Anomaly) -> u32 {
        self.session.report().anomalies.get(&anomaly).copied().unwrap_or(0)
    }

    fn frame(&mut self, payload: Payload) -> Option<([u8; 12], Payload)> {
        self.now += FRAME_TIME;
        self.session.frame(self.now, payload).map(|packet| (packet.header, packet.payload))
    }
}

fn odd(anomaly: Anomaly, from: &str) -> Vec<Output> {
    vec![Output::Note(Note::Odd { anomaly, from: address(from) })]
}

fn farewell(ssrc: u32) -> Vec<u8> {
    let report = rtcp::Report { ssrc, cname: "x", sent: None, received: None, bye: true };
    report.write(Timestamp::from_secs(1_000))
}

const PROMPT: fn() -> Payload = || {
    let pack = Pack::english().expect("it is compiled in");
    Payload::Prompt { phrase: pack.find("ask").expect("it is there"), frame: 3 }
};

const POUND_DOWN: [u8; 4] = [11, 10, 0, 160];
const POUND_UP: [u8; 4] = [11, 0x80 | 10, 0, 160];

#[test]
fn a_pound_key_is_told_with_its_evidence_and_masks_only_others() {
    let mut call = Call::up();
    let key = Key {
        no: 1,
        digit: Digit::POUND,
        at: call.now,
        paths: Paths::of(Path::Rfc4733),
        held: None,
        level: Some(-10),
        stream: Some(keys::Stream { ssrc: 9, timestamp: 160, first: 1, last: 1, packets: 1 }),
    };
    assert_eq!(call.rtp(101, 9, &POUND_DOWN), [Output::Key(key)]);
    assert_eq!(format!("{key:?}"), "Key(# by {Rfc4733})");
    let five = Key { digit: Digit::from_char('5').expect("a key"), ..key };
    assert_eq!(format!("{five:?}"), "Key(• by {Rfc4733})");
}

#[test]
fn a_key_that_was_overtaken_is_told_with_the_time_of_its_press() {
    let mut call = Call::up();
    let mut held_up = None;
    for n in 0..200 {
        if n == 50 {
            call.sequence += 1;
            held_up = Some((call.sequence, call.now));
        } else {
            let _ = call.rtp(0, 7, &[0xff; 160]);
        }
        call.now += FRAME_TIME;
    }
    let (sequence, pressed) = held_up.expect("it was pressed");
    let header = rtp::header(true, 101, sequence, u32::from(sequence) * 160, 7);
    let told = call.rtp_from(FROM, &[&header[..], &POUND_DOWN].concat());
    let key =
        told.iter().find_map(|it| if let Output::Key(key) = it { Some(key.at) } else { None });
    assert_eq!(key, Some(pressed), "{told:?}");
}

#[test]
fn a_key_is_up_at_its_end_or_150_ms_after_its_last_packet() {
    let mut call = Call::up();
    let held = Some(Duration::from_millis(20));
    let down = call.rtp(101, 9, &POUND_DOWN);
    let [Output::Key(key)] = down[..] else { panic!("{down:?}") };
    assert_eq!(call.session.deadline(), Some((call.now + events::KEY_UP_AFTER, Timer::KeyUp)));
    call.now += events::KEY_UP_AFTER;
    let mut out = Vec::new();
    call.session.on_lapsed(call.now, &mut out);
    assert_eq!(out, []);
    assert_eq!(call.session.deadline(), Some((call.now + keys::WINDOW, Timer::KeyOver)));
    call.now += keys::WINDOW;
    call.session.on_lapsed(call.now, &mut out);
    assert_eq!(out, [Output::KeyOver(Key { held, ..key })]);
    let out = call.rtp(101, 9, &POUND_UP);
    assert!(matches!(out[..], [Output::Key(_)]), "{out:?}");
    let mut last = Vec::new();
    call.session.close(call.now, &mut last);
    let [_, Output::KeyOver(key)] = last[..] else { panic!("{last:?}") };
    assert_eq!((key.no, key.held), (2, held), "a call that ends tells what it knows");
}

#[test]
fn only_the_negotiated_address_and_port_are_heard() {
    let mut call = Call::up();
    let header = rtp::header(true, 101, 1, 160, 9);
    let press = [&header[..], &POUND_DOWN].concat();
    for from in ["198.51.100.8:5004", "198.51.100.7:5006"] {
        let first = call.count(Anomaly::Address) == 0;
        let out = call.rtp_from(from, &press);
        assert_eq!(out, if first { odd(Anomaly::Address, from) } else { vec![] });
    }
    assert_eq!(call.count(Anomaly::Address), 2);
    assert_eq!(call.session.first_heard(), None);
    let mapped = call.rtp_from("[::ffff:198.51.100.7]:5004", &press);
    assert!(matches!(mapped[..], [Output::Key(_)]));
}

#[test]
fn nothing_is_heard_before_there_is_an_answer_and_keys_are_heard_with_it() {
    let mut call = Call::new();
    let pressed = call.now;
    assert_eq!(call.rtp(101, 9, &POUND_DOWN), []);
    assert_eq!(call.rtp(0, 9, &[0xff; 160]), odd(Anomaly::Address, FROM), "audio is not kept");
    let header = rtp::header(true, 101, 1, 160, 10);
    let stranger = "203.0.113.66:4000";
    assert_eq!(call.rtp_from(stranger, &[&header[..], &POUND_DOWN].concat()), []);
    call.now += Duration::from_millis(700);
    call.session.answered(call.now, ANSWER.as_bytes()).expect("usable");
    let mut out = Vec::new();
    call.session.catch_up(&mut out);
    let at = |it: &Output| if let Output::Key(key) = it { Some(key.at) } else { None };
    assert_eq!(out.iter().filter_map(at).collect::<Vec<_>>(), [pressed], "{out:?}");
    assert_eq!(call.count(Anomaly::Address), 2, "the stranger's is none");
    let mut again = Vec::new();
    call.session.catch_up(&mut again);
    assert_eq!(again, []);
}

#[test]
fn of_keys_before_the_answer_the_latest_are_kept() {
    let mut call = Call::new();
    for _ in 0..1_000 {
        let _ = call.rtp(101, 9, &POUND_DOWN);
        call.now += FRAME_TIME;
    }
    call.session.answered(call.now, ANSWER.as_bytes()).expect("usable");
    let mut out = Vec::new();
    call.session.catch_up(&mut out);
    assert_eq!(call.session.report().packets_received, 64);
}

#[test]
fn the_first_source_is_the_only_one_until_the_address_changes() {
    let mut call = Call::up();
    assert_eq!(call.rtp(0, 9, &[0xff; 160]), []);
    assert_eq!(call.rtp(101, 10, &POUND_DOWN), odd(Anomaly::Source, FROM));
    call.session.answered(call.now, ANSWER.as_bytes()).expect("usable");
    assert_eq!(call.rtp(101, 10, &POUND_DOWN), []);
    assert_eq!(call.count(Anomaly::Source), 2);
    let moved = ANSWER.replace("5004", "5008");
    call.session.offered(call.now, Some(moved.as_bytes())).expect("usable");
    assert_eq!(call.session.remote(), Some(address("198.51.100.7:5008")));
    assert_eq!(call.rtp(101, 9, &POUND_DOWN), odd(Anomaly::Address, FROM));
    let press = [&rtp::header(true, 101, 1, 160, 10)[..], &POUND_DOWN].concat();
    let out = call.rtp_from("198.51.100.7:5008", &press);
    assert!(matches!(out[..], [Output::Key(_)]), "{out:?}");
    assert_eq!(call.session.report().packets_received, 2);
}

#[test]
fn our_own_packets_reflected_are_refused() {
    let mut call = Call::up();
    let (header, _) = call.frame(Payload::Silence).expect("a packet");
    let echo = [&header[..], &[0xff; 160]].concat();
    assert_eq!(call.rtp_from(FROM, &echo), odd(Anomaly::Echo, FROM));
    let ssrc = call.session.sending.ssrc;
    assert_eq!(call.rtp(101, ssrc, &POUND_DOWN), []);
    assert_eq!(call.rtcp_from("198.51.100.7:5005", &farewell(ssrc)), []);
    assert_eq!(call.count(Anomaly::Echo), 3);
}

#[test]
fn a_payload_type_that_was_not_negotiated_is_not_decoded() {
    let mut call = Call::new();
    let answer = "c=IN IP4 198.51.100.7\nm=audio 5004 RTP/AVP 0\n";
    call.session.answered(call.now, answer.as_bytes()).expect("usable");
    assert_eq!(call.rtp(101, 9, &POUND_DOWN), odd(Anomaly::PayloadType, FROM));
    assert_eq!(call.rtp(8, 9, &[0xd5; 160]), []);
    // No key and no audio, but somebody is there: comfort noise often comes unasked.
    assert_eq!(call.count(Anomaly::PayloadType), 2);
    assert_eq!(call.session.first_heard(), Some(call.now));
}

#[test]
fn telephone_events_are_heard_under_the_number_of_the_answer() {
    let mut call = Call::new();
    let answer = ANSWER.replace("101", "96");
    call.session.answered(call.now, answer.as_bytes()).expect("usable");
    assert!(matches!(call.rtp(96, 9, &POUND_DOWN)[..], [Output::Key(_)]));
}

#[test]
fn packets_too_short_or_too_long_are_dropped_and_the_call_lives() {
    let mut call = Call::up();
    assert_eq!(call.rtp_from(FROM, &[0x80]), odd(Anomaly::Malformed, FROM));
    assert_eq!(call.rtp_from(FROM, &[]), []);
    assert_eq!(call.rtp(0, 9, &[]), []);
    assert_eq!(call.rtp(101, 9, &[11, 10, 0]), []);
    assert_eq!(call.rtp(0, 9, &[0; 1_488]), odd(Anomaly::Oversized, FROM));
    assert_eq!(call.rtcp_from("198.51.100.7:5005", &[0x81, 200, 0]), []);
    assert_eq!(call.rtcp_from("198.51.100.7:5005", &[0; 1_500]), []);
    assert_eq!((call.count(Anomaly::Malformed), call.count(Anomaly::Oversized)), (5, 2));
    assert_eq!(call.session.first_heard(), None);
    assert!(matches!(call.rtp(101, 9, &POUND_DOWN)[..], [Output::Key(_)]));
}

#[test]
fn the_longest_packet_that_is_read_is_heard() {
    let mut call = Call::up();
    assert_eq!(call.rtp(0, 9, &[0xff; LONGEST - 12]), []);
    assert_eq!(call.session.first_heard(), Some(call.now));
    assert_eq!(call.rtp(0, 9, &[0xff; LONGEST - 11]), odd(Anomaly::Oversized, FROM));
    // So is a report, as far as it makes sense.
    let reports = "198.51.100.7:5005";
    assert_eq!(call.rtcp_from(reports, &[0; LONGEST]), odd(Anomaly::Malformed, reports));
}

#[test]
fn a_leap_of_the_sequence_is_counted_and_its_key_is_heard() {
    let mut call = Call::up();
    let _ = call.rtp(0, 9, &[0xff; 160]);
    call.sequence += 10_000;
    let out = call.rtp(101, 9, &POUND_DOWN);
    assert!(matches!(out[..], [Output::Key(_), Output::Note(_)]), "{out:?}");
    assert_eq!(call.count(Anomaly::Sequence), 1);
}

#[test]
fn tones_are_noted_once_each() {
    let mut call = Call::up();
    let fax = Label { is: Is::Fax, score: 95, cue: Cue::Event };
    let wanted = [Output::Note(Note::Tone(36)), Output::Label(fax)];
    assert_eq!(call.rtp(101, 9, &[36, 10, 0, 160]), wanted);
    assert_eq!(call.rtp(101, 9, &[36, 10, 1, 64]), []);
}

#[test]
fn first_and_last_heard_frame_what_was_accepted() {
    let mut call = Call::up();
    let first = call.now;
    let _ = call.rtp(0, 9, &[0xff; 160]);
    call.now += Duration::from_secs(3);
    let _ = call.rtp(0, 9, &[0xff; 160]);
    let last = call.now;
    let _ = call.rtcp_from("198.51.100.7:5005", &farewell(9));
    call.now += Duration::from_millis(499);
    assert_eq!(call.rtp(0, 10, &[0xff; 160]), odd(Anomaly::Source, FROM));
    assert_eq!(call.session.first_heard(), Some(first));
    assert_eq!(call.session.last_heard(), Some(last));
}

#[test]
fn a_source_that_fell_silent_may_be_followed_by_another() {
    let mut call = Call::up();
    let _ = call.rtp(0, 9, &[0xff; 160]);
    call.now += Duration::from_millis(500);
    assert!(matches!(call.rtp(101, 10, &POUND_DOWN)[..], [Output::Key(_)]));
    assert_eq!(call.rtp(0, 9, &[0xff; 160]), odd(Anomaly::Source, FROM));
}

#[test]
fn whoever_sends_from_elsewhere_is_remembered() {
    let mut call = Call::up();
    let _ = call.rtp_from("198.51.100.7:6000", &[0x80; 172]);
    assert_eq!(call.session.elsewhere(), Some("198.51.100.7:6000".parse().expect("an address")));
}

#[test]
fn frames_run_on_the_clock_and_mark_each_talkspurt() {
    let mut call = Call::up();
    let prompt = PROMPT();
    let plan = [prompt, prompt, Payload::Silence, Payload::Silence, prompt, prompt];
    let sent: Vec<_> = plan.map(|payload| call.frame(payload).expect("a packet").0).to_vec();
    let read: Vec<_> = sent.iter().map(|h| rtp::Packet::read(h).expect("RTP")).collect();
    let markers: Vec<_> = read.iter().map(|packet| packet.marker).collect();
    assert_eq!(markers, [true, false, false, false, true, false]);
    for pair in read.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
        assert_eq!((pair[1].ssrc, pair[1].payload_type), (pair[0].ssrc, 0));
    }
    assert_eq!(call.session.report().packets_sent, 6);
}

#[test]
fn sequence_timestamp_and_ssrc_start_at_random() {
    let mut first = Call::up();
    let mut second = Call::up();
    let entropy = Entropy::from_number(2);
    second.session = MediaSession::new(address("192.0.2.1:4000"), Protection::Off, entropy);
    second.session.answered(second.now, ANSWER.as_bytes()).expect("usable");
    let (a, _) = first.frame(Payload::Silence).expect("a packet");
    let (b, _) = second.frame(Payload::Silence).expect("a packet");
    let (a, b) = (rtp::Packet::read(&a).expect("RTP"), rtp::Packet::read(&b).expect("RTP"));
    assert!(a.sequence != b.sequence && a.timestamp != b.timestamp && a.ssrc != b.ssrc);
}

#[test]
fn nothing_is_sent_while_held_and_time_passes_all_the_same() {
    for hold in ["a=sendonly", "a=inactive", "c=IN IP4 0.0.0.0"] {
        let mut call = Call::up();
        let (before, _) = call.frame(Payload::Silence).expect("a packet");
        let held = format!("{ANSWER}{hold}\n");
        let answer = call.session.offered(call.now, Some(held.as_bytes())).expect("usable");
        let answer = String::from_utf8(answer).expect("ASCII");
        assert!(answer.contains(" 2 IN IP4 192.0.2.1\r\n"), "{answer}");
        assert!(call.session.is_held());
        assert_eq!(call.session.remote(), Some(address(FROM)));
        assert_eq!(call.frame(Payload::Silence), None);
        assert_eq!(call.rtp(0, 9, &[0xff; 160]), []);
        let _ = call.session.offered(call.now, Some(ANSWER.as_bytes())).expect("usable");
        assert!(!call.session.is_held());
        let (after, _) = call.frame(Payload::Silence).expect("a packet");
        let (before, after) =
            (rtp::Packet::read(&before).expect("RTP"), rtp::Packet::read(&after).expect("RTP"));
        assert!(after.marker);
        assert_eq!(after.timestamp, before.timestamp.wrapping_add(320));
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    }
}

#[test]
fn an_offer_that_cannot_be_used_changes_nothing() {
    let mut call = Call::up();
    let refused = ANSWER.replace("5004", "0");
    let fault = call.session.offered(call.now, Some(refused.as_bytes()));
    assert_eq!(fault, Err(Unusable::PortZero));
    assert_eq!(call.session.answered(call.now, b""), Err(Unusable::NoAudio));
    assert_eq!(call.session.remote(), Some(address(FROM)));
    let offer = call.session.offered(call.now, None).expect("our offer");
    assert!(String::from_utf8(offer).expect("ASCII").contains(" 2 IN IP4 192.0.2.1\r\n"));
}

#[test]
fn a_press_is_sent_and_heard_by_another_session() {
    let mut caller = Call::up();
    let mut phone = MediaSession::new(address(FROM), Protection::Off, Entropy::from_number(7));
    let answer = phone.offered(caller.now, Some(&caller.session.offer())).expect("usable");
    caller.session.answered(caller.now, &answer).expect("usable");
    let mut heard = Vec::new();
    let _ = phone.frame(caller.now, Payload::Silence);
    for step in events::press(Digit::POUND, phone.timestamp(), 800) {
        caller.now += FRAME_TIME;
        let packet = phone.frame(caller.now, Payload::Event(step)).expect("a packet");
        assert_eq!(packet.to, address("192.0.2.1:4000"));
        let datagram = [&packet.header[..], &step.payload].concat();
        heard.extend(caller.rtp_from(FROM, &datagram));
    }
    let [Output::Key(key)] = heard[..] else { panic!("{heard:?}") };
    assert_eq!(key.digit, Digit::POUND);
    caller.session.on_lapsed(caller.now + keys::WINDOW, &mut heard);
    let [_, Output::KeyOver(key)] = heard[..] else { panic!("{heard:?}") };
    assert_eq!(key.held, Some(Duration::from_millis(100)));
    assert_eq!(key.stream.map(|it| (it.packets, it.last.wrapping_sub(it.first))), Some((7, 6)));
}

#[test]
fn a_press_in_g722_is_heard_and_so_is_a_line_that_reflects() {
    let codecs = || vec![Codec::G722, Codec::PCMA];
    let pack = Pack::english().expect("it is compiled in");
    let mut call = Call::new();
    call.session = call.session.with_codecs(codecs());
    let answer = ANSWER.replace("AVP 0", "AVP 9");
    call.session.answered(call.now, answer.as_bytes()).expect("usable");
    let tones = |n| dtmf::frame(Digit::POUND, Codec::G722, n).to_vec();
    let mut heard = Vec::new();
    for n in 0..10 {
        call.now += FRAME_TIME;
        heard.extend(call.rtp(9, 7, &tones(n)));
    }
    let [Output::Key(key)] = heard[..] else { panic!("{heard:?}") };
    assert_eq!((key.digit, key.level), (Digit::POUND, Some(-4)));
    // What is said comes back half a second later, by the decoder and coder of whatever reflects.
    let said =
        ["greeting", "ask", "again", "ask"].map(|name| pack.find(name).expect("it is there"));
    let frames = said.iter().flat_map(|phrase| {
        let count = pack.phrase(*phrase).map_or(0, prompt::Phrase::frames);
        (0..count).map(|frame| Payload::Prompt { phrase: *phrase, frame })
    });
    let mut wire = Vec::new();
    let mut reflected: std::collections::VecDeque<_> =
        (0..25).map(|_| Codec::G722.silence().to_vec()).collect();
    let mut labels = Vec::new();
    for payload in frames.collect::<Vec<_>>() {
        call.now += FRAME_TIME;
        let packet = call.session.frame(call.now, payload).expect("a packet");
        call.session.speaks(payload.level(&pack));
        call.session.datagram(&packet, payload.bytes(&pack, Codec::G722), &mut wire);
        reflected.push_back(wire[12..].to_vec());
        labels.extend(call.rtp(9, 7, &reflected.pop_front().expect("one")));
    }
    let is_echo = |it: &Output| matches!(it, Output::Label(Label { is: Is::Echo, .. }));
    assert!(labels.iter().any(is_echo), "{labels:?}");
}

#[test]
fn reports_go_out_at_their_time_and_say_what_was_sent_and_heard() {
    let mut call = Call::up();
    let (due, timer) = call.session.deadline().expect("a report is due");
    assert_eq!(timer, Timer::Report);
    let _ = call.frame(Payload::Silence);
    let _ = call.rtp(0, 9, &[0xff; 160]);
    let mut out = Vec::new();
    call.session.on_lapsed(due - Duration::from_micros(1), &mut out);
    assert_eq!(out, []);
    call.session.on_lapsed(due, &mut out);
    let [Output::Rtcp { to, packet }] = &out[..] else { panic!("{out:?}") };
    assert_eq!(*to, address("198.51.100.7:5005"));
    let told = rtcp::read(packet, 9, due).expect("it is RTCP");
    assert!(told.report.is_some() && told.about_us.is_some() && !told.bye);
    let (next, _) = call.session.deadline().expect("the next one");
    assert!(next.since(due) >= rtcp::INTERVAL / 2);
    out.clear();
    call.session.on_lapsed(next, &mut out);
    let [Output::Rtcp { packet, .. }] = &out[..] else { panic!("{out:?}") };
    // Nothing was sent in between: a receiver report.
    assert_eq!(rtcp::read(packet, 9, next).expect("it is RTCP").report, None);
}

#[test]
fn rtcp_from_another_port_is_counted_and_from_another_source_too() {
    let mut call = Call::up();
    let _ = call.rtp(0, 9, &[0xff; 160]);
    let other = "198.51.100.7:5004";
    assert_eq!(call.rtcp_from(other, &farewell(9)), odd(Anomaly::RtcpPort, other));
    let right = "198.51.100.7:5005";
    assert_eq!(call.rtcp_from("198.51.100.9:5005", &farewell(9)).len(), 1);
    assert_eq!(call.rtcp_from(right, &farewell(10)), odd(Anomaly::Source, right));
    assert_eq!(call.rtcp_from(right, &farewell(9)), [Output::Note(Note::Bye)]);
}

#[test]
fn closing_says_bye_once_and_ends_everything() {
    let mut call = Call::up();
    let _ = call.frame(Payload::Silence);
    let _ = call.rtp(101, 9, &POUND_DOWN);
    let mut out = Vec::new();
    call.session.close(call.now, &mut out);
    call.session.close(call.now, &mut out);
    let [Output::Rtcp { packet, .. }, Output::KeyOver(_)] = &out[..] else { panic!("{out:?}") };
    assert!(rtcp::read(packet, 9, call.now).expect("it is RTCP").bye);
    assert_eq!(call.session.deadline(), None);
    assert_eq!(call.frame(Payload::Silence), None);
    let mut out = Vec::new();
    Call::new().session.close(call.now, &mut out);
    assert_eq!(out, []);
}

/// A gateway's session and a phone's, that have agreed.
struct Pair {
    gateway: MediaSession,
    phone: MediaSession,
    now: Timestamp,
}

const GATEWAY: &str = "192.0.2.1:4000";

impl Pair {
    fn new(gateway: Srtp, phone: Srtp) -> Result<Self, Unusable> {
        let entropy = Entropy::from_number;
        let session = |at, srtp: Srtp, n: u8| {
            MediaSession::new(address(at), srtp.with(|| [n; _]), entropy(n.into()))
        };
        let now = Timestamp::from_secs(1_000);
        let mut gateway = session(GATEWAY, gateway, 1);
        let mut phone = session(FROM, phone, 2);
        let answer = phone.offered(now, Some(&gateway.offer()))?;
        gateway.answered(now, &answer)?;
        Ok(Self { gateway, phone, now })
    }

    fn secured() -> Self {
        Self::new(Srtp::Required, Srtp::Required).expect("they agree")
    }

    /// The phone's next packet, as it is on the wire.
    fn phone_sends(&mut self, payload: Payload, octets: &[u8]) -> Vec<u8> {
        self.now += FRAME_TIME;
        let packet = self.phone.frame(self.now, payload).expect("a packet");
        let mut datagram = Vec::new();
        self.phone.datagram(&packet, octets, &mut datagram);
        datagram
    }

    fn gateway_hears(&mut self, datagram: &[u8]) -> Vec<Output> {
        let mut out = Vec::new();
        self.gateway.on_rtp(self.now, address(FROM), datagram, &mut out);
        out
    }

    /// A press, as it is on the wire.
    fn press(&mut self) -> Vec<Vec<u8>> {
        let steps = events::press(Digit::POUND, self.phone.timestamp(), 800);
        let steps = steps.into_iter();
        steps.map(|step| self.phone_sends(Payload::Event(step), &step.payload)).collect()
    }

    fn keys_heard(&mut self, datagrams: &[Vec<u8>]) -> usize {
        let heard = datagrams.iter().flat_map(|datagram| self.gateway_hears(datagram));
        heard.filter(|output| matches!(output, Output::Key(_))).count()
    }

    fn anomalies(&self) -> Vec<(Anomaly, u32)> {
        self.gateway.report().anomalies.into_iter().collect()
    }
}

#[test]
fn who_encrypts_is_agreed_on() {
    use Srtp::{Off, Preferred, Required};
    for (gateway, phone, expected) in [
        (Off, Off, Ok(false)),
        (Off, Preferred, Ok(false)),
        (Off, Required, Err(Unusable::Clear)),
        (Preferred, Off, Ok(false)),
        (Preferred, Preferred, Ok(true)),
        (Preferred, Required, Ok(true)),
        (Required, Off, Err(Unusable::Encrypted)),
        (Required, Preferred, Ok(true)),
        (Required, Required, Ok(true)),
    ] {
        let encrypted = Pair::new(gateway, phone).map(|mut pair| {
            let wire = pair.phone_sends(Payload::Silence, &[0xff; 160]);
            assert_eq!(pair.gateway_hears(&wire), []);
            assert_eq!(pair.gateway.report().packets_received, 1);
            wire.len() == 12 + 160 + 10 && wire[12..172] != [0xff; 160]
        });
        assert_eq!(encrypted, expected, "{gateway:?} calls {phone:?}");
    }
}

#[test]
fn a_sealed_press_is_heard_once_and_no_other() {
    let mut pair = Pair::secured();
    let press = pair.press();
    assert_eq!(pair.keys_heard(&press), 1);
    assert_eq!(pair.anomalies(), []);
    pair.now += Duration::from_secs(1);
    assert_eq!(pair.keys_heard(&press), 0, "as recorded on the way");
    assert_eq!(pair.anomalies(), [(Anomaly::Replayed, press.len() as u32)]);
    let mut pair = Pair::secured();
    let mut press = pair.press();
    press.iter_mut().for_each(|wire| wire[13] ^= 1);
    assert_eq!(pair.keys_heard(&press), 0, "as changed on the way");
    let in_clear = [&rtp::header(true, 101, 1, 160, 9)[..], &POUND_DOWN].concat();
    assert_eq!(pair.keys_heard(&[in_clear.clone(), [&in_clear[..], &[0; 10]].concat()]), 0);
    assert_eq!(pair.gateway.first_heard(), None);
    assert!(pair.anomalies().iter().any(|(anomaly, _)| *anomaly == Anomaly::Unauthentic));
}

#[test]
fn a_packet_that_is_not_authentic_is_told_of_once() {
    let mut pair = Pair::secured();
    let wire = [0x80; 200];
    assert_eq!(pair.gateway_hears(&wire), odd(Anomaly::Unauthentic, FROM));
    assert_eq!(pair.gateway_hears(&wire), []);
    assert_eq!(pair.anomalies(), [(Anomaly::Unauthentic, 2)]);
}

#[test]
fn reports_are_sealed_both_ways() {
    let mut pair = Pair::secured();
    let wire = pair.phone_sends(Payload::Silence, &[0xff; 160]);
    assert_eq!(pair.gateway_hears(&wire), []);
    let mut out = Vec::new();
    pair.phone.close(pair.now, &mut out);
    let [Output::Rtcp { packet, .. }] = &out[..] else { panic!("{out:?}") };
    let (mut heard, right) = (Vec::new(), address("198.51.100.7:5005"));
    let ssrc = u32::from_be_bytes(*wire[8..].first_chunk().expect("an SSRC"));
    pair.gateway.on_rtcp(pair.now, right, &farewell(ssrc), &mut heard);
    assert_eq!(heard, odd(Anomaly::Unauthentic, "198.51.100.7:5005"), "one in the clear");
    heard.clear();
    pair.gateway.on_rtcp(pair.now, right, packet, &mut heard);
    assert_eq!(heard, [Output::Note(Note::Bye)]);
}

#[test]
fn hold_stays_encrypted_and_its_stream_goes_on() {
    let mut pair = Pair::secured();
    let before = pair.press();
    assert_eq!(pair.keys_heard(&before), 1);
    let offer = String::from_utf8(pair.phone.offered(pair.now, None).expect("an offer"));
    let offer = offer.expect("ASCII");
    assert!(offer.contains("RTP/SAVP") && offer.contains("a=crypto:2"), "{offer}");
    for direction in ["sendonly", "sendrecv"] {
        let offer = offer.replace("sendrecv", direction);
        let answer = pair.gateway.offered(pair.now, Some(offer.as_bytes())).expect("usable");
        assert!(answer.windows(8).any(|word| word == b"a=crypto"));
        pair.phone.answered(pair.now, &answer).expect("usable");
        assert_eq!(pair.gateway.is_held(), direction == "sendonly");
    }
    assert_eq!(pair.keys_heard(&before), 0, "what it has let in is not forgotten");
    let after = pair.press();
    assert_eq!(pair.keys_heard(&after), 1);
}

#[test]
fn encryption_is_not_taken_back() {
    let mut pair = Pair::new(Srtp::Preferred, Srtp::Preferred).expect("they agree");
    let refused = Err(Unusable::Clear);
    assert_eq!(pair.gateway.offered(pair.now, Some(ANSWER.as_bytes())), refused);
    assert_eq!(pair.gateway.answered(pair.now, ANSWER.as_bytes()), Err(Unusable::Clear));
    let in_clear = [&rtp::header(true, 101, 1, 160, 9)[..], &POUND_DOWN].concat();
    assert_eq!(pair.keys_heard(&[in_clear]), 0);
    let press = pair.press();
    assert_eq!(pair.keys_heard(&press), 1);
}

#[test]
fn a_new_key_is_taken_and_what_was_under_way_with_the_old_one_is_heard() {
    let mut pair = Pair::secured();
    let mut other = Pair::secured();
    let first = pair.phone_sends(Payload::Silence, &[0xff; 160]);
    assert_eq!(pair.gateway_hears(&first), []);
    let under_way = pair.press();
    other.phone =
        MediaSession::new(address(FROM), Srtp::Required.with(|| [3; _]), Entropy::from_number(2));
    let offer = other.phone.offered(pair.now, None).expect("an offer");
    let answer = pair.gateway.offered(pair.now, Some(&offer)).expect("usable");
    other.phone.answered(pair.now, &answer).expect("usable");
    assert_eq!(pair.keys_heard(&under_way), 1);
    pair.phone = other.phone;
    // The same source goes on with its new key.
    for _ in 0..20 {
        let _ = pair.phone_sends(Payload::Silence, &[0xff; 160]);
    }
    let after = pair.press();
    assert_eq!(pair.keys_heard(&after), 1);
    assert_eq!(pair.gateway_hears(&first), odd(Anomaly::Unauthentic, FROM), "the old one is gone");
    // Ours stays, and its stream goes on.
    let packet = pair.gateway.frame(pair.now, Payload::Silence).expect("a packet");
    let mut wire = Vec::new();
    pair.gateway.datagram(&packet, &[0xff; 160], &mut wire);
    let mut out = Vec::new();
    pair.phone.on_rtp(pair.now, address(GATEWAY), &wire, &mut out);
    assert_eq!((out, pair.phone.report().packets_received), (vec![], 1));
}

#[test]
fn a_payload_finds_its_octets() {
    let pack = Pack::english().expect("it is compiled in");
    let ask = pack.find("ask").expect("it is there");
    let frame = Payload::Prompt { phrase: ask, frame: 3 };
    assert_eq!(Some(frame.bytes(&pack, Codec::PCMA)), pack.frame(ask, Codec::PCMA, 3));
    let past = Payload::Prompt { phrase: ask, frame: 9_999 };
    assert_eq!(past.bytes(&pack, Codec::PCMU), Payload::Silence.bytes(&pack, Codec::PCMU));
}

proptest! {
    #[test]
    fn hostile_packets_never_panic_and_never_forge_a_key(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..40),
        rtcp in any::<bool>(),
    ) {
        let mut call = Call::up();
        let _ = call.rtp(0, 9, &[0xff; 160]);
        for packet in packets {
            let out = if rtcp {
                call.rtcp_from("198.51.100.7:5005", &packet)
            } else {
                call.rtp_from(FROM, &packet)
            };
            prop_assert!(out.iter().all(|output| !matches!(output, Output::Key(_))));
        }
    }

    #[test]
    fn a_press_with_anything_lost_is_one_key(kept in 1..128_u8) {
        let mut call = Call::up();
        let mut keys = 0;
        for (n, step) in events::press(Digit::POUND, 5_000, 800).iter().enumerate() {
            let header = rtp::header(step.marker, 101, n as u16, step.timestamp, 9);
            if kept & 1 << n != 0 {
                let out = call.rtp_from(FROM, &[&header[..], &step.payload].concat());
                keys += out.iter().filter(|o| matches!(o, Output::Key(_))).count();
            }
            call.now += FRAME_TIME;
        }
        prop_assert_eq!(keys, 1);
    }
}
