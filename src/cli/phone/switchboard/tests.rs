//! Whole calls to extensions, in virtual time: our own leg on one side, the lab phone on the other.

use std::net::SocketAddr;
use std::sync::LazyLock;

use super::*;
use crate::ambient::Timestamp;
use crate::cli::phone::call::{Call, Input, Output, Place};
use crate::cli::phone::words::{Answer, Behaviour, By, Press, Reflection, What};
use crate::media::attendant::{Extension, Failure, Stroke};
use crate::media::script::{Close, Kind, Lines, Question};
use crate::media::{Codec, Digit, Protection};
use crate::sip::message::{self, Incoming};
use crate::sip::{Hop, Message, NameAddr, Uri, Way, call};
use crate::voice::{self, Ended, Event, Leg, Said, Speech, Tongue};

static PACK: LazyLock<Arc<Pack>> = LazyLock::new(|| Arc::new(Pack::english().unwrap()));

static BOARD: LazyLock<Arc<Switchboard>> = LazyLock::new(|| Arc::new(Switchboard::built_in(&PACK)));

const OURS: &str = "192.0.2.1:5060";
const THEIRS: &str = "198.51.100.1:5060";
const OUR_RTP: &str = "192.0.2.1:40000";
const THEIR_RTP: &str = "198.51.100.1:4000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn leg(extension: &str, entropy: Entropy) -> Leg {
    let call = call::Order::new(
        call::Target::new("+12025550123", "198.51.100.1"),
        vec![Way { hop: Hop::udp(address(THEIRS)), local: address(OURS) }],
        NameAddr::new(Uri::sip("anonymous", "198.51.100.1", None)),
    );
    let strokes = extension.chars().filter_map(Digit::from_char).map(Stroke::Key).collect();
    let order = voice::Order {
        call,
        rtp: address(OUR_RTP),
        srtp: Protection::Off,
        codecs: Codec::USUAL.to_vec(),
        question: Question::Confirm,
        extension: Some(Extension { listens_first: true, strokes }),
    };
    let lines = Lines::of(&PACK, None, Kind::Confirm).unwrap();
    let own = Tongue { pack: Arc::clone(&PACK), lines };
    Leg::new(order, Speech { own, offers: Vec::new() }, entropy, voice::Settings::default())
}

/// What each side learned, in turn.
#[derive(Debug)]
enum Seen {
    Ours(Event),
    Theirs(What),
}

/// One call from its INVITE to its end.
struct Line {
    now: Timestamp,
    leg: Leg,
    phone: Option<Call>,
    behaviour: Arc<Behaviour>,
    entropy: Entropy,
    seen: Vec<(Duration, Seen)>,
}

const START: Timestamp = Timestamp::from_secs(1_000);

impl Line {
    fn run(extension: &str, seed: u64, lab: Behaviour) -> Vec<(Duration, Seen)> {
        let mut entropy = Entropy::from_number(seed);
        let takes_events = lab.takes_events;
        let by = if takes_events { By::Rfc4733 } else { By::Inband };
        let behaviour = Arc::new(Behaviour {
            answer: Answer::After(Duration::from_millis(300)),
            press: Some(Press { by, ..Press::new("#", Duration::from_secs(6)) }),
            attendant: Some(Arc::clone(&BOARD)),
            ..lab
        });
        let leg = leg(extension, entropy.fork());
        let (now, seen) = (START, Vec::new());
        let mut line = Self { now, leg, phone: None, behaviour, entropy, seen };
        line.ours(voice::Input::Start);
        while !line.leg.finished() && line.now < START + Duration::from_secs(300) {
            let ours = line.leg.deadline().map(|(at, _)| at);
            let theirs = line.phone.as_ref().and_then(Call::deadline);
            let Some(next) = ours.into_iter().chain(theirs).min() else { break };
            line.now = line.now.max(next);
            if ours.is_some_and(|at| at <= line.now) {
                line.ours(voice::Input::Lapsed);
            } else {
                line.theirs(Input::Lapsed);
            }
        }
        line.seen
    }

    fn ours(&mut self, input: voice::Input<'_>) {
        let mut out = Vec::new();
        self.leg.on(self.now, input, &mut out);
        for output in out {
            match output {
                voice::Output::Sip { bytes, .. } => self.ring(&sip(&bytes)),
                voice::Output::Rtp { packet, codec } => {
                    let mut datagram = Vec::new();
                    self.leg.datagram(&packet, codec, &mut datagram);
                    self.theirs(Input::Rtp { from: address(OUR_RTP), datagram: &datagram });
                }
                voice::Output::Event(event) => {
                    let thanks = matches!(event, Event::Heard { .. });
                    self.seen.push((self.now.since(START), Seen::Ours(event)));
                    if thanks {
                        self.ours(voice::Input::Close(Close::Thanks));
                    }
                }
                voice::Output::Rtcp { .. } | voice::Output::Note(_) => {}
            }
        }
    }

    /// A message of ours, the first of which begins the call.
    fn ring(&mut self, message: &Message) {
        let from = address(OURS);
        if self.phone.is_some() {
            return self.theirs(Input::Sip { from, message });
        }
        let place =
            Place { sip: address(THEIRS), rtp: address(THEIR_RTP), protection: Protection::Off };
        let mut out = Vec::new();
        let entropy = self.entropy.fork();
        self.phone =
            Call::begin(self.now, from, message, place, &self.behaviour, entropy, &mut out);
        self.told(out);
    }

    fn theirs(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        if let Some(phone) = &mut self.phone {
            phone.on(self.now, input, &mut out);
        }
        self.told(out);
    }

    fn told(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Sip { datagram, .. } => {
                    let from = Hop::udp(address(THEIRS));
                    self.ours(voice::Input::Sip { from, message: &sip(&datagram) });
                }
                Output::Rtp { datagram, .. } => {
                    let from = address(THEIR_RTP);
                    self.ours(voice::Input::Rtp { from, datagram: &datagram });
                }
                Output::Rtcp { .. } => {}
                Output::Happened(what) => {
                    self.seen.push((self.now.since(START), Seen::Theirs(what)));
                }
            }
        }
    }
}

fn sip(bytes: &[u8]) -> Message {
    match message::read(bytes) {
        Ok(Incoming::Message(message)) => *message,
        _ => panic!("not SIP"),
    }
}

/// The keys that the attendant's line heard.
fn dialled(seen: &[(Duration, Seen)]) -> String {
    let keys = seen.iter().filter_map(|(_, seen)| match seen {
        Seen::Theirs(What::Heard(key)) => Some(*key),
        Seen::Theirs(_) | Seen::Ours(_) => None,
    });
    keys.collect()
}

fn place(seen: &[(Duration, Seen)], is: impl Fn(&Seen) -> bool) -> Option<usize> {
    seen.iter().position(|(_, seen)| is(seen))
}

fn failure(seen: &[(Duration, Seen)]) -> Option<Failure> {
    seen.iter().find_map(|(_, seen)| match seen {
        Seen::Ours(Event::Ended(Ended::Unreached(failure))) => Some(*failure),
        Seen::Ours(_) | Seen::Theirs(_) => None,
    })
}

/// How many calls of each kind: OCTOTHORPE_ATTENDANT_CALLS says, and `otherwise` where it does not.
fn calls(otherwise: u64) -> u64 {
    let asked = std::env::var("OCTOTHORPE_ATTENDANT_CALLS");
    asked.ok().and_then(|calls| calls.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn the_person_behind_an_attendant_is_reached_and_asked_whatever_the_delays() {
    for seed in 0..calls(12) {
        let lab = Behaviour { takes_events: seed % 4 != 3, ..Behaviour::default() };
        let seen = Line::run("204", seed, lab);
        assert_eq!(dialled(&seen), "204", "{seed}: {seen:#?}");
        let dialling = place(&seen, |it| matches!(it, Seen::Ours(Event::Dialling)));
        let lifted = place(&seen, |it| matches!(it, Seen::Theirs(What::Lifted)));
        let asked = place(&seen, |it| matches!(it, Seen::Ours(Event::Prompting)));
        let heard =
            place(&seen, |it| matches!(it, Seen::Ours(Event::Heard { said: Said::Confirmed, .. })));
        let order = [dialling, lifted, asked, heard];
        assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{seed}: {seen:#?}");
    }
}

#[test]
fn busy_unknown_unanswered_and_mailbox_are_told_apart() {
    for seed in 0..calls(3) {
        for (extension, wanted) in [
            ("205", Failure::Busy),
            ("206", Failure::Mailbox),
            ("207", Failure::NoAnswer),
            ("299", Failure::Wrong),
        ] {
            let seen = Line::run(extension, seed, Behaviour::default());
            assert_eq!(failure(&seen), Some(wanted), "{extension}, {seed}: {seen:#?}");
            assert_eq!(dialled(&seen), extension);
            assert!(place(&seen, |it| matches!(it, Seen::Ours(Event::Prompting))).is_none());
        }
    }
}

#[test]
fn the_echo_of_our_own_keys_is_no_key() {
    for seed in 0..calls(3) {
        let reflect = Some(Reflection { delay: Duration::from_millis(200), loss: 12.0 });
        let lab = Behaviour { takes_events: false, reflect, ..Behaviour::default() };
        let seen = Line::run("204", seed, lab);
        assert_eq!(dialled(&seen), "204");
        let asked = place(&seen, |it| matches!(it, Seen::Ours(Event::Prompting)));
        let key = place(&seen, |it| matches!(it, Seen::Ours(Event::Key(_))));
        assert!(asked.is_some_and(|asked| key.is_none_or(|key| asked < key)), "{seen:#?}");
    }
}
