//! Whole calls in every mode, from INVITE to BYE, in virtual time: what a machine that presses keys
//! can get, and what is on the wire of a call that tells a code.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use octothorpe::ambient::{Entropy, Timestamp};
use octothorpe::gateway::hearing;
use octothorpe::media::events::{self, Digit};
use octothorpe::media::prompt::Pack;
use octothorpe::media::script::{Close, Digits, Kind, Lines, Question};
use octothorpe::media::{Codec, Law, MediaSession, Protection, rtp};
use octothorpe::sip::message::{self, Incoming};
use octothorpe::sip::{Hop, Message, Method, NameAddr, Response, Uri, Way, call};
use octothorpe::verify::attempt::AttemptNo;
use octothorpe::verify::code::Shown;
use octothorpe::verify::signal::{Answer, Signal};
use octothorpe::voice::{self, Event, Input, Leg, Output, Speech, Tongue};

static PACK: LazyLock<Arc<Pack>> = LazyLock::new(|| Arc::new(Pack::english().unwrap()));

const OURS: &str = "192.0.2.1:5060";
const THEIRS: &str = "198.51.100.1:5060";
const THEIR_RTP: &str = "198.51.100.1:4000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A call, and the far end of it: it answers at once, and presses keys.
struct Line {
    leg: Leg,
    now: Timestamp,
    answered: Timestamp,
    ours: SocketAddr,
    stream: (u32, u16),
    events: Vec<(Duration, Event)>,
    /// What was said, as linear samples, with the time of each frame.
    heard: Vec<(Duration, Vec<i16>)>,
    is_kept: bool,
    is_over: bool,
}

fn order(question: Question) -> voice::Order {
    let way = Way { hop: Hop::udp(address(THEIRS)), local: address(OURS) };
    let call = call::Order::new(
        call::Target::new("+12025550123", "198.51.100.1"),
        vec![way],
        NameAddr::new(Uri::sip("anonymous", "198.51.100.1", None)),
    );
    let rtp = address("192.0.2.1:40000");
    let (srtp, codecs) = (Protection::Off, Codec::USUAL.to_vec());
    voice::Order { call, rtp, srtp, codecs, question, extension: None }
}

impl Line {
    /// A call that was just answered.
    fn answered(question: Question, seed: u64) -> Self {
        let (mut line, ok) = Self::ringing(question, seed);
        line.sip(&ok);
        line
    }

    /// A call, and the 200 that answers it.
    fn ringing(question: Question, seed: u64) -> (Self, Vec<u8>) {
        let lines = Lines::of(&PACK, None, question.kind()).unwrap();
        let own = Tongue { pack: Arc::clone(&PACK), lines };
        let speech = Speech { own, offers: Vec::new() };
        let mut entropy = Entropy::from_number(seed);
        let stream = (entropy.u32(), 1_000);
        let settings = voice::Settings::default();
        let now = Timestamp::from_secs(1_000);
        let mut media = MediaSession::new(address(THEIR_RTP), Protection::Off, entropy.fork());
        let mut line = Self {
            leg: Leg::new(order(question), speech, entropy, settings),
            now,
            answered: now,
            ours: address(OURS),
            stream,
            events: Vec::new(),
            heard: Vec::new(),
            is_kept: false,
            is_over: false,
        };
        let invite = line.give(Input::Start).pop().unwrap();
        let sdp = media.offered(now, Some(invite.sdp().unwrap())).unwrap();
        line.ours = media.remote().unwrap();
        let contact = Uri::sip("phone", "198.51.100.1", Some(5_060));
        let ok = Response::to(&invite, 200)
            .received_from(address(OURS))
            .to_tag("phone")
            .contact(&contact)
            .body("application/sdp", &sdp);
        (line, ok.to_bytes())
    }

    /// Gives the leg an input; the SIP messages that it sends.
    fn give(&mut self, input: Input<'_>) -> Vec<Message> {
        let mut out = Vec::new();
        self.leg.on(self.now, input, &mut out);
        let mut sent = Vec::new();
        let at = self.now.since(self.answered);
        for output in out {
            match output {
                Output::Sip { bytes, .. } => match message::read(&bytes) {
                    Ok(Incoming::Message(message)) => sent.push(*message),
                    _ => panic!("the gateway sent what is not SIP"),
                },
                Output::Event(event) => self.events.push((at, event)),
                Output::Rtp { packet, codec } => {
                    let mut datagram = Vec::new();
                    self.leg.datagram(&packet, codec, &mut datagram);
                    if self.is_kept {
                        let codes = datagram.iter().skip(packet.header.len());
                        let samples = codes.map(|code| Law::Ulaw.decode(*code)).collect();
                        self.heard.push((at, samples));
                    }
                }
                Output::Rtcp { .. } | Output::Note(_) => {}
            }
        }
        sent
    }

    fn sip(&mut self, bytes: &[u8]) {
        let Ok(Incoming::Message(message)) = message::read(bytes) else { panic!("not SIP") };
        let from = Hop::udp(address(THEIRS));
        let sent = self.give(Input::Sip { from, message: &message });
        self.answer(sent);
    }

    /// Answers what wants an answer.
    fn answer(&mut self, sent: Vec<Message>) {
        for request in sent {
            if *request.method() == Method::Bye && request.status().is_none() {
                self.is_over = true;
                let ok = Response::to(&request, 200).received_from(address(OURS));
                self.sip(&ok.to_bytes());
            }
        }
    }

    /// Lets time pass until so long after the answer.
    fn until(&mut self, after: Duration) {
        let then = self.answered + after;
        while let Some((at, _)) = self.leg.deadline().filter(|(at, _)| *at <= then) {
            if self.is_over {
                return;
            }
            self.now = self.now.max(at);
            let sent = self.give(Input::Lapsed);
            self.answer(sent);
        }
        self.now = then;
    }

    /// Presses a key now: one packet of it is enough.
    fn press(&mut self, key: char) {
        let digit = Digit::from_char(key).unwrap();
        let clock = u32::try_from(self.now.since(self.answered).as_millis()).unwrap() * 8;
        let step = events::press(digit, clock, 800).into_iter().next().unwrap();
        let (ssrc, sequence) = self.stream;
        self.stream.1 = sequence.wrapping_add(1);
        let header = rtp::header(step.marker, 101, sequence, step.timestamp, ssrc);
        let datagram = [&header[..], &step.payload].concat();
        let sent = self.give(Input::Rtp { from: address(THEIR_RTP), datagram: &datagram });
        self.answer(sent);
    }

    /// Sends these 20 ms of audio, if any; time passes all the same.
    fn frame(&mut self, audio: Option<&[i16]>) {
        let after = self.now.since(self.answered);
        let clock = u32::try_from(after.as_millis()).unwrap() * 8;
        if let Some(audio) = audio {
            let (ssrc, sequence) = self.stream;
            self.stream.1 = sequence.wrapping_add(1);
            let header = rtp::header(false, 0, sequence, clock, ssrc);
            let codes = audio.iter().map(|sample| Law::Ulaw.encode(*sample));
            let datagram: Vec<u8> = header.into_iter().chain(codes).collect();
            let sent = self.give(Input::Rtp { from: address(THEIR_RTP), datagram: &datagram });
            self.answer(sent);
        }
        self.until(after + Duration::from_millis(20));
    }

    /// Silence for so long, then these phrases, then silence again; 6 s in all.
    fn hear(&mut self, silence: Duration, phrases: &[&str]) {
        let mut audio = vec![0; silence.as_millis() as usize * 8];
        phrases.iter().for_each(|name| audio.extend(PACK.get(name).unwrap().samples()));
        audio.resize(6 * 8_000, 0);
        audio.chunks(160).for_each(|frame| self.frame(Some(frame)));
    }

    /// When a phrase began, each time.
    fn times(&self, name: &str) -> Vec<Duration> {
        let wanted = PACK.find(name).unwrap();
        let is = |event: &Event| matches!(event, Event::Saying(phrase) if *phrase == wanted);
        self.events.iter().filter(|(_, event)| is(event)).map(|(at, _)| *at).collect()
    }

    /// What was said with the keys that were heard, as the gateway would be told.
    fn verdict(&self) -> Option<Signal> {
        let heard = self.events.iter().find(|(_, event)| matches!(event, Event::Heard { .. }));
        heard.and_then(|(_, event)| hearing::signal(AttemptNo::FIRST, "trunk", event))
    }

    fn is_approved(&self) -> bool {
        matches!(self.verdict(), Some(Signal::Heard { answer: Answer::Consent(_), .. }))
    }

    /// When a phrase began.
    fn began(&self, name: &str) -> Option<Duration> {
        self.times(name).first().copied()
    }
}

/// A mailbox that plays tones in its greeting: these keys, half a second apart, from `first` after
/// the answer on, over and over every `period`.
fn mailbox(question: Question, keys: &str, first: Duration, period: Duration, seed: u64) -> Line {
    let mut line = Line::answered(question, seed);
    let mut at = first;
    while at < Duration::from_secs(60) && line.verdict().is_none() && !line.is_over {
        let begin = at;
        for key in keys.chars() {
            line.until(at);
            line.press(key);
            at += Duration::from_millis(500);
        }
        at = begin + period;
    }
    line
}

#[test]
fn a_mailbox_that_presses_fixed_digits_is_approved_once_in_a_thousand_calls() {
    const CALLS: u32 = 2_000;
    let mut entropy = Entropy::from_number(7);
    let (mut approved, mut judged) = (0, 0);
    for call in 0..CALLS {
        let shown = Shown::drawn(3, entropy.u64());
        let digits = Digits::parse(shown.expose()).unwrap();
        // It begins anywhere in the greeting and the ask.
        let first = Duration::from_millis(entropy.below(6_000));
        let period = Duration::from_secs(4);
        let line = mailbox(Question::Match { digits }, "274#", first, period, call.into());
        judged += u32::from(line.verdict().is_some());
        approved += u32::from(line.is_approved());
    }
    // 0.1 % of the calls, and three standard deviations of that.
    let most = f64::from(CALLS) * 0.001 + 3.0 * (f64::from(CALLS) * 0.001 * 0.999).sqrt();
    println!("{approved} of {CALLS} calls approved, {most:.1} may be; {judged} got an answer");
    assert!(f64::from(approved) <= most, "{approved} of {CALLS}");
    // The test is worth something: the digits were compared.
    assert!(judged > CALLS * 9 / 10, "only {judged} of {CALLS} were compared");
}

#[test]
fn a_pound_key_before_the_ask_never_confirms() {
    let greeting = PACK.phrase(PACK.find("greeting").unwrap()).unwrap().length;
    for call in 0..200_u64 {
        let mut line = Line::answered(Question::Confirm, call);
        let at = Duration::from_micros(greeting.as_micros() as u64 * call / 200);
        line.until(at);
        line.press('#');
        line.until(Duration::from_secs(40));
        assert!(line.began("ask").unwrap() > at);
        assert!(line.verdict().is_none(), "# after {at:?}");
    }
}

#[test]
fn a_report_that_begins_before_the_200_comes_is_no_consent() {
    for (early, late, approves) in [("0", "#", false), ("#", "#", true), ("#", "", false)] {
        let (mut line, ok) = Line::ringing(Question::Confirm, 5);
        early.chars().for_each(|key| line.press(key));
        // The 200 was lost once.
        line.now += Duration::from_millis(500);
        line.answered = line.now;
        line.sip(&ok);
        line.until(Duration::from_secs(4));
        assert!(line.began("ask").unwrap() < Duration::from_secs(3));
        late.chars().for_each(|key| line.press(key));
        line.until(Duration::from_secs(5));
        assert_eq!(line.is_approved(), approves, "{early:?}, then {late:?}");
    }
}

#[test]
fn a_code_is_on_the_wire_after_a_key_and_twice() {
    let question = Question::Code { code: Digits::parse("904513").unwrap() };
    let mut line = Line::answered(question, 9);
    line.is_kept = true;
    line.until(Duration::from_secs(5));
    line.press('#');
    let pressed = line.now.since(line.answered);
    line.until(Duration::from_secs(60));
    assert!(line.is_over, "it hangs up by itself");
    assert!(line.verdict().is_none(), "to hear a code is no consent");
    let told = |(at, event): &(Duration, Event)| matches!(event, Event::Telling).then_some(*at);
    assert_eq!(line.events.iter().find_map(told), Some(pressed));
    let starts = places(&line, "904513");
    assert_eq!(starts.len(), 2, "{starts:?}");
    assert!(starts.iter().all(|at| *at > pressed), "{starts:?} after {pressed:?}");
    // And nothing tells of the digits but the sound of them.
    for digit in 0..10 {
        assert_eq!(line.began(&format!("digit_{digit}")), None);
        assert_eq!(line.began(&format!("digit_{digit}_f")), None);
    }
}

#[test]
fn a_call_that_nobody_answers_with_a_key_tells_no_code() {
    let question = Question::Code { code: Digits::parse("904513").unwrap() };
    let mut line = Line::answered(question, 9);
    line.is_kept = true;
    line.until(Duration::from_secs(3));
    // A greeting with other keys in it.
    for key in ['5', '7'] {
        line.press(key);
        line.until(Duration::from_secs(15));
    }
    line.give(Input::Close(Close::Denied));
    line.until(Duration::from_secs(60));
    assert!(places(&line, "904513").is_empty());
    for digit in "904513".chars() {
        assert!(places(&line, &digit.to_string()).is_empty(), "{digit} was said");
    }
}

/// When these digits begin in what was heard, one after the other: by comparing the very samples of
/// the recordings, each in its place.
fn places(line: &Line, digits: &str) -> Vec<Duration> {
    let recording = |digit: char, form: &str| {
        let id = PACK.find(&format!("digit_{digit}{form}")).unwrap();
        let codes = PACK.phrase(id).unwrap().codes(Codec::PCMU).to_vec();
        codes.iter().map(|code| Law::Ulaw.decode(*code)).collect::<Vec<i16>>()
    };
    let all: Vec<i16> = line.heard.iter().flat_map(|(_, frame)| frame.iter().copied()).collect();
    let count = digits.chars().count();
    let mut found = Vec::new();
    let frames = line.heard.len();
    'frames: for frame in 0..frames {
        let mut at = frame * 160;
        for (place, digit) in digits.chars().enumerate() {
            let form = if place + 1 == count && count > 1 { "_f" } else { "" };
            let wanted = recording(digit, form);
            // The next digit begins within half a second of the end of this one.
            let begins = (0..25)
                .map(|frames| at + 160 * frames)
                .find(|from| all.get(*from..from + wanted.len()) == Some(&wanted[..]));
            match begins.filter(|begins| place > 0 || *begins == at) {
                Some(begins) => at = begins + wanted.len(),
                None => continue 'frames,
            }
        }
        found.extend(line.heard.get(frame).map(|(at, _)| *at));
    }
    found
}

#[test]
fn each_question_is_asked_and_answered_by_its_own_keys() {
    let digits = |text| Digits::parse(text).unwrap();
    for (question, keys) in [
        (Question::Confirm, "#"),
        (Question::Pin { pin: digits("4821"), expires: false }, "4821#"),
        (Question::Match { digits: digits("274") }, "274#"),
    ] {
        let ask = match question.kind() {
            Kind::Confirm => "ask",
            Kind::Pin => "ask_pin",
            Kind::Match => "ask_match",
            Kind::Code => "ask_code",
        };
        let mut line = Line::answered(question, 3);
        let mut at = Duration::from_secs(4);
        for key in keys.chars() {
            line.until(at);
            line.press(key);
            at += Duration::from_millis(300);
        }
        assert!(line.began(ask).is_some(), "{ask}");
        assert!(line.is_approved(), "{ask}");
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn who_says_a_word_over_the_first_second_hears_the_greeting_again_once() {
    let words = ["digit_1_f", "digit_6_f", "digit_7_f", "digit_9_f", "pound", "star"];
    let (mut again, mut calls) = (0, 0);
    for (n, word) in words.into_iter().enumerate() {
        for after in (100..900).step_by(100) {
            let mut line = Line::answered(Question::Confirm, n as u64 * 1_000 + after);
            line.hear(ms(after), &[word]);
            let times = line.times("greeting");
            assert!((1..=2).contains(&times.len()), "{word} after {after} ms: {times:?}");
            calls += 1;
            if let [_, second] = times[..] {
                again += 1;
                // Not before the word is over, and soon after it.
                let over = ms(after) + PACK.get(word).unwrap().length;
                assert!(second + ms(200) > over && second < ms(after) + ms(1_600), "{second:?}");
            }
            assert_eq!(line.times("ask").len(), 1, "{word} after {after} ms");
            line.press('#');
            assert!(line.is_approved(), "{word} after {after} ms");
        }
    }
    // The voice is the prompt's own: some words are taken for an echo of it.
    println!("the greeting was said again in {again} of {calls} calls");
    assert!(again >= calls * 3 / 4, "{again} of {calls}");
    let mut line = Line::answered(Question::Confirm, 5);
    line.hear(ms(1_300), &["star"]);
    assert_eq!(line.times("greeting").len(), 1, "the beginning was heard");
}

#[test]
fn a_mailbox_delays_the_prompt_by_no_more_than_the_bound() {
    for after in (0..2_000).step_by(50) {
        let mut line = Line::answered(Question::Confirm, after);
        line.hear(ms(after), &["sorry", "goodbye", "denied"]);
        let times = line.times("greeting");
        let latest = *times.last().unwrap();
        assert!(times.len() <= 2 && latest <= ms(2_600), "speech after {after} ms: {times:?}");
        assert!(line.times("ask").iter().any(|at| *at < ms(4_200)), "{after}: {:?}", line.events);
    }
}

#[test]
fn our_own_voice_never_restarts_the_prompt() {
    for delay in 1..=50_usize {
        for loss in [1, 2, 4] {
            let mut line = Line::answered(Question::Confirm, delay as u64);
            line.is_kept = true;
            for n in 0..200_usize {
                // Whoever reflects sends what it got, or silence.
                let got = n.checked_sub(delay).and_then(|n| Some(line.heard.get(n)?.1.clone()));
                let frame: Vec<i16> =
                    got.unwrap_or(vec![0; 160]).iter().map(|it| it / loss).collect();
                line.frame(Some(&frame));
            }
            let times = line.times("greeting");
            assert_eq!(times.len(), 1, "{delay} frames, 1/{loss}: {times:?}");
        }
    }
}
