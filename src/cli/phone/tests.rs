//! The phone called by our own caller over loopback, and one call taken apart message by message.

use clap::Parser as _;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::call::{Call, Input, Output, Place};
use super::line::Pair;
use super::*;
use crate::ambient::{Entropy, Timestamp};
use crate::media::{self, FRAME_TIME, MediaSession, Payload, Protection, Srtp};
use crate::sip::message::{self, Incoming, Message};
use crate::sip::{self, Credentials, Ended, Hop, NameAddr, Order, State, Target, Uri, Way};

const LOOPBACK: &str = "127.0.0.1:0";

/// A caller made of the gateway's own parts.
struct Caller {
    clock: Clock,
    sip: UdpSocket,
    /// With its RTCP port held, or another caller's SIP would come to hear the phone's reports.
    pair: Pair,
    call: sip::Call,
    media: MediaSession,
    frame: Option<Timestamp>,
    /// What the phone should hear as a tone of this code.
    sends: u8,
    alerted: Vec<(u16, bool)>,
    answered: bool,
    heard: String,
    info: Vec<(char, Duration)>,
    over: Option<Ended>,
}

impl Caller {
    async fn dial(phone: SocketAddr, credentials: Option<Credentials>) -> Self {
        Self::dial_secured(phone, credentials, Protection::Off).await
    }

    async fn dial_secured(
        phone: SocketAddr,
        credentials: Option<Credentials>,
        protection: Protection,
    ) -> Self {
        let clock = Clock::system();
        let sip = UdpSocket::bind(LOOPBACK).await.unwrap();
        let pair = Pair::bind(phone.ip()).await.unwrap();
        let media = MediaSession::new(pair.address, protection, Entropy::from_number(1));
        let order = Order {
            credentials,
            ..Order::new(
                Target {
                    port: Some(phone.port()),
                    ..Target::new("+12025550123", &phone.ip().to_string())
                },
                vec![Way { hop: Hop::udp(phone), local: sip.local_addr().unwrap() }],
                NameAddr::new(Uri::sip("+12025550100", "127.0.0.1", None)),
            )
        };
        let call =
            sip::Call::new(order, media.offer(), Entropy::system(), sip::Settings::default());
        let mut caller = Self {
            clock,
            sip,
            pair,
            call,
            media,
            frame: None,
            sends: media::Law::Ulaw.encode(8_000),
            alerted: Vec::new(),
            answered: false,
            heard: String::new(),
            info: Vec::new(),
            over: None,
        };
        caller.on(sip::Input::Start).await;
        caller
    }

    async fn on(&mut self, input: sip::Input<'_>) {
        let mut out = Vec::new();
        self.call.on(self.clock.now(), input, &mut out);
        for output in out {
            match output {
                sip::Output::Send { to, bytes } => {
                    self.sip.send_to(&bytes, to.address).await.unwrap();
                }
                sip::Output::Alerting { status, sdp } => {
                    self.alerted.push((status, sdp.is_some()));
                    self.agree(sdp);
                }
                sip::Output::Answered { sdp, .. } => {
                    self.answered = true;
                    self.agree(sdp);
                }
                sip::Output::Info(pressed) => self.info.push((pressed.key, pressed.held)),
                sip::Output::Over(ended) => self.over = Some(ended),
                sip::Output::Note(note) => panic!("{note:?}"),
                sip::Output::Offered { .. } | sip::Output::Agreed { .. } => {}
            }
        }
    }

    fn agree(&mut self, sdp: Option<Vec<u8>>) {
        let now = self.clock.now();
        if let Some(sdp) = sdp {
            self.media.answered(now, &sdp).unwrap();
            self.frame.get_or_insert(now);
        }
    }

    /// One thing that happens.
    async fn turn(&mut self) {
        let (mut text, mut packet) = ([0; 4_096], [0; 2_048]);
        let deadline = self.call.deadline().map(|(at, _)| at);
        let next = deadline.into_iter().chain(self.frame).min();
        let wait = next.map(|at| at.since(self.clock.now())).unwrap_or(Duration::from_secs(1));
        tokio::select! {
            received = self.sip.recv_from(&mut text) => {
                let (length, from) = received.unwrap();
                let Ok(Incoming::Message(message)) = message::read(&text[..length]) else {
                    panic!("the phone wrote what we cannot read");
                };
                self.on(sip::Input::Received { from: Hop::udp(from), message: &message }).await;
            }
            received = self.pair.rtp.recv_from(&mut packet) => {
                let (length, from) = received.unwrap();
                let mut told = Vec::new();
                self.media.on_rtp(self.clock.now(), from, &packet[..length], &mut told);
                for output in told {
                    if let media::Output::Key(key) = output {
                        self.heard.push(key.digit.expose());
                    }
                }
            }
            () = tokio::time::sleep(wait) => {
                if deadline.is_some_and(|at| at <= self.clock.now()) {
                    self.on(sip::Input::Lapsed).await;
                }
                if let Some(at) = self.frame.filter(|at| *at <= self.clock.now()) {
                    self.frame = Some(at + FRAME_TIME);
                    if let Some(frame) = self.media.frame(at, Payload::Silence) {
                        let mut datagram = Vec::new();
                        self.media.datagram(&frame, &[self.sends; 160], &mut datagram);
                        self.pair.rtp.send_to(&datagram, frame.to).await.unwrap();
                    }
                }
            }
        }
    }

    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let turns = async {
            while !done(self) {
                self.turn().await;
            }
        };
        timeout(Duration::from_secs(10), turns).await.expect("it happens in time");
    }

    async fn hang_up(&mut self) {
        self.on(sip::Input::Stop).await;
        // BYE and CANCEL are told of at once; the far end must answer them too.
        self.until(|it| it.over.is_some() && !matches!(it.call.state(), State::Leaving { .. }))
            .await;
    }
}

async fn phone(behaviour: Behaviour) -> Phone {
    Phone::start(LOOPBACK.parse().unwrap(), behaviour, Clock::system()).await.unwrap()
}

fn brisk() -> Behaviour {
    let ms = Duration::from_millis;
    let press = Some(Press::new("1#", ms(100)));
    Behaviour { ring: ms(20), answer: Answer::After(ms(100)), press, ..Behaviour::default() }
}

/// The names of what happened, in order, to the end of one call.
async fn story(phone: &mut Phone) -> (Vec<String>, Summary, Vec<i16>) {
    let (mut names, mut samples) = (Vec::new(), Vec::new());
    loop {
        let event = timeout(Duration::from_secs(5), phone.events().recv()).await.unwrap().unwrap();
        if let What::Invited { from, to } = &event.what {
            names.push(format!("Invited {from} {to}"));
        } else if let What::Recording { samples: heard } = event.what {
            samples = heard;
        } else if let What::Finished(summary) = event.what {
            return (names, summary, samples);
        } else {
            names.push(format!("{:?}", event.what));
        }
    }
}

#[tokio::test]
async fn a_call_is_answered_pressed_recorded_and_hung_up() {
    let mut phone = phone(Behaviour { record: true, ..brisk() }).await;
    let mut caller = Caller::dial(phone.address(), None).await;
    caller.until(|it| it.heard.ends_with('#')).await;
    assert_eq!((caller.alerted.as_slice(), caller.heard.as_str()), (&[(180, false)][..], "1#"));
    caller.hang_up().await;
    assert_eq!(caller.over, Some(Ended::Left));
    let (names, summary, samples) = story(&mut phone).await;
    let expected = [
        "Invited +12025550100 +12025550123",
        "Ringing",
        "Answered",
        "Acknowledged",
        "Pressed('1')",
        "Pressed('#')",
        "HungUp(Caller)",
    ];
    assert_eq!(names, expected);
    assert_eq!((summary.outcome, summary.pressed.as_str()), (Outcome::HungUp(Side::Caller), "1#"));
    let answered = summary.answered_after.unwrap();
    assert!(answered >= Duration::from_millis(100) && answered < Duration::from_secs(2));
    assert!(summary.quality.packets_sent >= 15, "{summary:?}");
    let loud = samples.iter().filter(|sample| **sample > 7_000).count();
    assert!(loud > samples.len() / 2 && samples.len() > 2_400, "{loud} of {}", samples.len());
    assert!(phone.stop().await.is_empty());
}

#[tokio::test]
async fn an_encrypted_call_is_heard_and_recorded_as_any_other() {
    let mut phone = phone(Behaviour { record: true, srtp: Srtp::Required, ..brisk() }).await;
    let secured = Srtp::Required.with(|| [7; _]);
    let mut caller = Caller::dial_secured(phone.address(), None, secured).await;
    caller.until(|it| it.heard.ends_with('#')).await;
    caller.hang_up().await;
    let (_, summary, samples) = story(&mut phone).await;
    assert_eq!((caller.heard.as_str(), summary.pressed.as_str()), ("1#", "1#"));
    assert!(summary.quality.anomalies.is_empty(), "{summary:?}");
    let loud = samples.iter().filter(|sample| **sample > 7_000).count();
    assert!(loud > samples.len() / 2 && samples.len() > 2_400, "{loud} of {}", samples.len());
    let mut caller = Caller::dial(phone.address(), None).await;
    caller.until(|it| it.over.is_some()).await;
    let refused = Ended::Rejected { status: 488, q850: None, retry_after: None };
    assert_eq!(caller.over, Some(refused), "who does not encrypt is refused");
}

#[tokio::test]
async fn keys_by_info_and_the_phone_hangs_up() {
    let mut behaviour = brisk();
    behaviour.press = behaviour.press.map(|press| Press { by: By::Info, ..press });
    behaviour.hang_up_after = Some(Duration::from_millis(600));
    let mut phone = phone(behaviour).await;
    let mut caller = Caller::dial(phone.address(), None).await;
    caller.until(|it| it.over.is_some()).await;
    assert_eq!(caller.over, Some(Ended::HungUp));
    let held = Duration::from_millis(100);
    assert_eq!(caller.info, [('1', held), ('#', held)]);
    assert_eq!(caller.heard, "");
    let (_, summary, _) = story(&mut phone).await;
    assert_eq!(summary.outcome, Outcome::HungUp(Side::Phone));
}

#[tokio::test]
async fn in_early_media_keys_come_before_the_answer() {
    let mut behaviour = brisk();
    (behaviour.early_media, behaviour.answer) = (true, Answer::After(Duration::from_millis(900)));
    let mut phone = phone(behaviour).await;
    let mut caller = Caller::dial(phone.address(), None).await;
    caller.until(|it| it.heard == "1#").await;
    assert_eq!((caller.alerted.as_slice(), caller.answered), (&[(183, true)][..], false));
    caller.until(|it| it.answered).await;
    caller.hang_up().await;
    let (names, _, _) = story(&mut phone).await;
    assert_eq!(names.iter().filter(|name| name.starts_with("Pressed")).count(), 2);
}

#[tokio::test]
async fn who_calls_must_know_the_password() {
    for (password, answered) in [("right", true), ("wrong", false)] {
        let credentials = Some(("acme".into(), "right".into()));
        let mut phone = phone(Behaviour { credentials, ..brisk() }).await;
        let known = Credentials::new("acme", password);
        let mut caller = Caller::dial(phone.address(), Some(known)).await;
        caller.until(|it| it.answered || it.over.is_some()).await;
        assert_eq!(caller.answered, answered);
        if answered {
            caller.hang_up().await;
        } else {
            assert_eq!(
                caller.over,
                Some(Ended::Rejected { status: 403, q850: None, retry_after: None })
            );
        }
        assert_eq!(story(&mut phone).await.0[1], "Challenged");
    }
}

#[tokio::test]
async fn a_line_is_busy_and_nobody_is_at_home() {
    let after = Duration::from_millis(40);
    let answer = Answer::Reject { status: 486, after };
    let mut busy = phone(Behaviour { answer, ..brisk() }).await;
    let mut caller = Caller::dial(busy.address(), None).await;
    caller.until(|it| it.over.is_some()).await;
    assert_eq!(caller.over, Some(Ended::Rejected { status: 486, q850: None, retry_after: None }));
    assert_eq!(story(&mut busy).await.1.outcome, Outcome::Rejected(486));

    let mut silent = phone(Behaviour { answer: Answer::Never, ..brisk() }).await;
    let mut caller = Caller::dial(silent.address(), None).await;
    caller.until(|it| !it.alerted.is_empty()).await;
    caller.hang_up().await;
    assert_eq!(caller.over, Some(Ended::Stopped));
    assert_eq!(story(&mut silent).await.1.outcome, Outcome::Canceled);
}

#[tokio::test]
async fn fifty_calls_at_once_and_a_phone_that_is_stopped_hangs_up() {
    let phone = phone(Behaviour { record: true, ..brisk() }).await;
    let address = phone.address();
    let all_heard = Arc::new(tokio::sync::Barrier::new(51));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let all_heard = Arc::clone(&all_heard);
        callers.spawn(async move {
            let mut caller = Caller::dial(address, None).await;
            caller.until(|it| it.heard == "1#").await;
            all_heard.wait().await;
            caller.until(|it| it.over.is_some()).await;
            caller.over
        });
    }
    all_heard.wait().await;
    let events = phone.stop().await;
    while let Some(over) = callers.join_next().await {
        assert_eq!(over.unwrap(), Some(Ended::HungUp));
    }
    let recordings = |event: &&PhoneEvent| matches!(event.what, What::Recording { .. });
    let ends = |event: &&PhoneEvent| matches!(event.what, What::Finished(_));
    assert_eq!(events.iter().filter(recordings).count(), 50);
    assert_eq!(events.iter().filter(ends).count(), 50);
}

/// A call without sockets, and a clock that is moved by hand.
struct Bench {
    now: Timestamp,
    call: Call,
    sent: Vec<String>,
    happened: Vec<What>,
}

const PEER: &str = "192.0.2.1:5060";

fn text(method: &str, number: u32, branch: &str, to: &str, body: &str) -> Message {
    let text = format!(
        "{method} sip:+1@192.0.2.9:5080 SIP/2.0\r\nVia: SIP/2.0/UDP {PEER};branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 9\r\nFrom: <sip:us@192.0.2.1>;tag=you\r\nTo: <sip:+1@192.0.2.9>{to}\r\n\
         Call-ID: c\r\nCSeq: {number} {method}\r\nContact: <sip:us@{PEER}>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let Ok(Incoming::Message(message)) = message::read(text.as_bytes()) else { panic!("{text}") };
    *message
}

const SDP: &str = "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n";

impl Bench {
    fn ring(answer: Answer, sdp: &str) -> Self {
        let behaviour = Arc::new(Behaviour { answer, ..brisk() });
        let now = Timestamp::from_secs(100);
        let place = Place {
            sip: "192.0.2.9:5080".parse().unwrap(),
            rtp: "192.0.2.9:4000".parse().unwrap(),
            protection: Protection::Off,
        };
        let (mut out, from) = (Vec::new(), PEER.parse().unwrap());
        let invite = text("INVITE", 1, "1", "", sdp);
        let entropy = Entropy::from_number(1);
        let call = Call::begin(now, from, &invite, place, &behaviour, entropy, &mut out).unwrap();
        let mut bench = Self { now, call, sent: Vec::new(), happened: Vec::new() };
        bench.take(out);
        bench
    }

    fn take(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Sip { datagram, .. } => {
                    self.sent.push(String::from_utf8(datagram).unwrap());
                }
                Output::Happened(what) => self.happened.push(what),
                Output::Rtp { .. } | Output::Rtcp { .. } => {}
            }
        }
    }

    fn hear(&mut self, message: &Message) {
        let mut out = Vec::new();
        let input = Input::Sip { from: PEER.parse().unwrap(), message };
        self.call.on(self.now, input, &mut out);
        self.take(out);
    }

    fn wait(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(at) = self.call.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            let mut out = Vec::new();
            self.call.on(self.now, Input::Lapsed, &mut out);
            self.take(out);
        }
        self.now = until;
    }

    /// The first words of what was sent since the last time.
    fn lines(&mut self) -> Vec<String> {
        let line = |text: String| text.replace("SIP/2.0 ", "").split(' ').next().map(str::to_owned);
        self.sent.drain(..).filter_map(line).collect()
    }

    fn tag(&self) -> String {
        let lines = self.sent.iter().flat_map(|text| text.lines());
        let to = lines.filter_map(|line| line.strip_prefix("To: ")).next_back().unwrap();
        to.split_once('>').unwrap().1.to_owned()
    }

    fn outcome(&self) -> Option<Outcome> {
        self.happened.iter().find_map(|what| {
            if let What::Finished(summary) = what { Some(summary.outcome) } else { None }
        })
    }
}

const AFTER: Answer = Answer::After(Duration::from_millis(100));

#[test]
fn a_repeated_invite_is_answered_with_what_it_got() {
    let mut bench = Bench::ring(AFTER, SDP);
    bench.hear(&text("INVITE", 1, "1", "", SDP));
    bench.wait(Duration::from_millis(50));
    bench.hear(&text("INVITE", 1, "1", "", SDP));
    assert_eq!(bench.lines(), ["100", "100", "180", "180"]);
    bench.hear(&text("INVITE", 1, "other", "", SDP));
    assert_eq!(bench.lines(), ["482"]);
}

#[test]
fn a_200_is_repeated_until_its_ack_and_then_there_is_a_bye() {
    let mut bench = Bench::ring(AFTER, SDP);
    bench.wait(Duration::from_millis(100));
    let tag = bench.tag();
    bench.lines();
    bench.wait(Duration::from_secs(10));
    // 0.5, 1.5, 3.5 and 7.5 s after the first.
    assert_eq!(bench.lines(), ["200"; 4]);
    let mut acked = Bench { sent: Vec::new(), happened: Vec::new(), ..bench };
    acked.hear(&text("ACK", 1, "2", &tag, ""));
    acked.wait(Duration::from_secs(60));
    assert_eq!(acked.lines(), Vec::<String>::new());
    assert!(matches!(acked.happened[0], What::Acknowledged));

    let mut bench = Bench::ring(AFTER, SDP);
    bench.wait(Duration::from_secs(33));
    assert_eq!(bench.lines().iter().filter(|line| *line == "BYE").count(), 2);
    bench.wait(Duration::from_secs(40));
    assert_eq!(bench.outcome(), Some(Outcome::Unacknowledged));
    bench.wait(Duration::from_secs(40));
    assert!(bench.call.finished());
}

#[test]
fn a_cancel_that_crosses_our_200_changes_nothing() {
    let mut bench = Bench::ring(AFTER, SDP);
    bench.wait(Duration::from_millis(100));
    let tag = bench.tag();
    bench.lines();
    bench.hear(&text("CANCEL", 1, "1", "", ""));
    bench.hear(&text("ACK", 1, "2", &tag, ""));
    bench.hear(&text("BYE", 2, "3", &tag, ""));
    bench.hear(&text("BYE", 2, "3", &tag, ""));
    assert_eq!(bench.lines(), ["200"; 3]);
    assert_eq!(bench.outcome(), Some(Outcome::HungUp(Side::Caller)));
    bench.hear(&text("BYE", 3, "4", &tag, ""));
    assert_eq!(bench.lines(), ["481"]);
}

#[test]
fn a_canceled_call_waits_for_the_ack_of_its_487() {
    let mut bench = Bench::ring(Answer::Never, SDP);
    bench.wait(Duration::from_millis(50));
    bench.lines();
    bench.hear(&text("CANCEL", 1, "1", "", ""));
    assert_eq!(bench.lines(), ["200", "487"]);
    bench.wait(Duration::from_millis(600));
    assert_eq!((bench.lines(), bench.outcome()), (vec!["487".to_owned()], None));
    bench.hear(&text("ACK", 1, "1", "", ""));
    assert_eq!(bench.outcome(), Some(Outcome::Canceled));
    bench.hear(&text("CANCEL", 1, "unknown", "", ""));
    assert_eq!(bench.lines(), ["481"]);
}

#[test]
fn what_a_call_asks_for_while_it_lasts_is_answered() {
    let mut bench = Bench::ring(AFTER, "");
    bench.wait(Duration::from_millis(100));
    assert!(bench.sent.last().unwrap().contains("telephone-event"), "our offer, as there was none");
    let tag = bench.tag();
    bench.lines();
    bench.hear(&text("ACK", 1, "2", &tag, SDP));
    bench.hear(&text("OPTIONS", 2, "3", &tag, ""));
    bench.hear(&text("INVITE", 3, "4", &tag, &SDP.replace("RTP/AVP 0", "RTP/AVP 0\r\na=sendonly")));
    assert!(bench.sent.last().unwrap().contains("a=recvonly"));
    bench.hear(&text("UPDATE", 4, "5", &tag, SDP));
    bench.hear(&text("ACK", 3, "6", &tag, ""));
    bench.hear(&text("INVITE", 5, "7", &tag, &SDP.replace("AVP 0", "AVP 18")));
    bench.hear(&text("INFO", 4, "8", &tag, ""));
    bench.hear(&text("REFER", 6, "9", &tag, ""));
    bench.hear(&text("DANCE", 7, "10", &tag, ""));
    assert_eq!(bench.lines(), ["200", "200", "491", "488", "500", "405", "501"]);
    // Their answer has no telephone-events.
    bench.wait(Duration::from_secs(1));
    assert!(bench.happened.iter().any(|what| matches!(what, What::Unsendable('1'))));
}

#[test]
fn the_answer_to_our_offer_says_whether_keys_can_be_sent() {
    let events = SDP.replace("AVP 0", "AVP 0 101") + "a=rtpmap:101 telephone-event/8000\r\n";
    for (answer, can) in [(SDP, false), (events.as_str(), true)] {
        let mut bench = Bench::ring(AFTER, "");
        bench.wait(Duration::from_millis(100));
        let ack = text("ACK", 1, "2", &bench.tag(), answer);
        bench.hear(&ack);
        bench.wait(Duration::from_secs(1));
        let pressed = bench.happened.iter().any(|what| matches!(what, What::Pressed('1')));
        let unsendable = bench.happened.iter().any(|what| matches!(what, What::Unsendable('1')));
        assert_eq!((pressed, unsendable), (can, !can), "{answer}");
    }
}

#[test]
fn a_call_that_cannot_be_taken_is_refused() {
    let mut bench = Bench::ring(AFTER, &SDP.replace("AVP 0", "AVP 18"));
    assert_eq!(bench.lines(), ["488"]);
    bench.hear(&text("ACK", 1, "1", "", ""));
    assert_eq!(bench.outcome(), Some(Outcome::Rejected(488)));
}

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn parsed(words: &str) -> Result<Behaviour, String> {
    let words = ["phone"].into_iter().chain(words.split_whitespace());
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    cli.args.behaviour()
}

#[test]
fn the_options_mean_what_they_say() {
    let plain = parsed("").unwrap();
    assert_eq!(plain.answer, Answer::After(Duration::from_secs(2)));
    assert!(plain.press.is_none() && plain.ring == Duration::from_millis(200));
    let busy = parsed("--ring 0.5 --reject 486").unwrap();
    let after = Duration::from_millis(1_500);
    assert_eq!(busy.answer, Answer::Reject { status: 486, after });
    assert_eq!(parsed("--no-answer").unwrap().answer, Answer::Never);
    let press = parsed("--press 12,# --press-after 1.5 --by info").unwrap().press;
    let after = Duration::from_millis(1_500);
    assert_eq!(press, Some(Press { by: By::Info, ..Press::new("12,#", after) }));
    let press = parsed("--press # --by all --level -25 --press-ms 40").unwrap().press.unwrap();
    assert_eq!((press.by, press.level, press.held), (By::All, -25, Duration::from_millis(40)));
    let told_apart = parsed("--press # --by-number 0122=inband --by-number 0123=info").unwrap();
    let by = |number| told_apart.to(number).press.unwrap().by;
    assert_eq!(by("+12025550121"), By::Rfc4733);
    assert_eq!((by("+12025550122"), by("0012025550123")), (By::Inband, By::Info));
    let early = parsed("--early-media --press #").unwrap().press.unwrap();
    assert_eq!(early.after, Duration::from_millis(500));
}

#[test]
fn what_is_wrong_is_named() {
    for (words, named) in [
        ("--by ear", "possible values: rfc4733, info, info-dtmf, inband, rtp, all"),
        ("--press # --level 3", "-60..=0"),
        ("--press # --press-ms 5", "10..=20000"),
        ("--reflect-loss 3", "--reflect"),
        ("--codec mulaw", "possible values: pcmu, pcma, g722"),
        ("--srtp sdes", "possible values: off, preferred, required"),
        ("--listen tcp:127.0.0.1:1", "udp:ADDRESS:PORT"),
        ("--listen udp:localhost:1", "udp:ADDRESS:PORT"),
        ("--ring=-1", "from 0 to 3600"),
        ("--ring 4000", "from 0 to 3600"),
        ("--press 1E", "no key 'E'"),
        ("--press-after 1", "--press"),
        ("--reject 200", "300..=699"),
        ("--reject 486 --no-answer", "cannot be used with"),
        ("--username a", "--password"),
        ("--username a --password env:NO_SUCH_NAME", "NO_SUCH_NAME is not set"),
        ("--early-media --press # --press-after 2", "--answer-after, 2 s"),
        ("--voicemail /nonexistent.wav", "--voicemail /nonexistent.wav: "),
    ] {
        let complaint = parsed(words).err().expect(words);
        assert!(complaint.contains(named), "{words}: {complaint}");
    }
    let shown = format!("{:?}", Cli::try_parse_from(["p", "--username=a", "--password=hunter2"]));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn recordings_are_read_back_and_other_formats_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = numbered(&folder.path().join("heard.wav"), 2);
    assert!(path.ends_with("heard-2.wav"));
    write_wav(&path, &[1, -2, 3]).unwrap();
    assert_eq!(read_wav("--voicemail", &path).unwrap(), [1, -2, 3]);
    let wide = hound::WavSpec { channels: 2, sample_rate: 44_100, ..WAV };
    hound::WavWriter::create(&path, wide).unwrap().finalize().unwrap();
    let complaint = read_wav("--voicemail", &path).unwrap_err();
    assert!(complaint.contains("it is 44100 Hz, 16 bit, 2 channel(s)"), "{complaint}");
}
