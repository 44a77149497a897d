//! A node's calls: the real [`Leg`]s, driven as `gateway/engine.rs` drives them, with the
//! world in the place of sockets and threads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use octothorpe::ambient::{Entropy, Timestamp};
use octothorpe::gateway::hearing;
use octothorpe::media::prompt::Pack;
use octothorpe::media::script::{Close, Digits, Lines, Question};
use octothorpe::media::{Codec, Protection};
use octothorpe::sip::message::{self, Incoming};
use octothorpe::sip::{Hop, NameAddr, Uri, Way, call};
use octothorpe::telemetry;
use octothorpe::verify::Verification;
use octothorpe::verify::attempt::AttemptNo;
use octothorpe::verify::request::Mode;
use octothorpe::verify::signal::{Cause, Farewell, Reason, Signal};
use octothorpe::voice::{self, Input, Leg, Output, Speech, Tongue};

use crate::plan::{Peer, TRUNKS};
use crate::state::{Datagram, Event, Placed, State, Try, gateway, short, trunk};

/// The legs of a node that is up.
pub(crate) struct Legs {
    prompts: Arc<Pack>,
    seats: BTreeMap<u64, Seat>,
    next: u64,
    /// No signal of a verification overtakes another.
    learned: BTreeMap<String, Timestamp>,
}

/// A leg, and whose it is.
pub(crate) struct Seat {
    leg: Leg,
    pub(crate) of: Try,
    trunk: &'static str,
    rtp: SocketAddr,
    deadline: Timestamp,
    /// It has told its end.
    pub(crate) ended: bool,
    /// Nobody can close it any more.
    retired: bool,
    answered: bool,
    voiced: bool,
    /// Its node was not there for a while, or may be believed lost.
    pub(crate) disturbed: bool,
}

impl Legs {
    pub(crate) const fn new(prompts: Arc<Pack>) -> Self {
        Self { prompts, seats: BTreeMap::new(), next: 0, learned: BTreeMap::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.seats.clear();
        self.learned.clear();
    }

    pub(crate) fn disturb(&mut self) {
        self.seats.values_mut().for_each(|seat| seat.disturbed = true);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.seats.values()
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.seats.values().map(|seat| seat.deadline).min()
    }

    pub(crate) fn by_call_id(&self, call_id: &str) -> Option<u64> {
        self.find(|seat| seat.leg.call_id() == call_id)
    }

    pub(crate) fn by_port(&self, rtp: SocketAddr) -> Option<u64> {
        self.find(|seat| seat.rtp == rtp && !seat.retired)
    }

    fn by_attempt(&self, of: &Try) -> Option<u64> {
        self.find(|seat| seat.of == *of && !seat.retired)
    }

    fn find(&self, is: impl Fn(&Seat) -> bool) -> Option<u64> {
        self.seats.iter().find(|(_, seat)| is(seat)).map(|(leg, _)| *leg)
    }
}

impl Seat {
    /// Whether somebody has answered it.
    pub(crate) const fn is_answered(&self) -> bool {
        self.answered
    }
}

impl State {
    /// Places the call of an attempt; `salt` makes another call of it.
    pub(crate) fn place(
        &mut self,
        at: usize,
        verification: &Verification,
        attempt: AttemptNo,
        salt: u64,
    ) -> Result<String, Cause> {
        let route = verification.find(attempt).map(|attempt| attempt.route.as_str());
        let index = TRUNKS.iter().position(|trunk| Some(*trunk) == route);
        let index = index.ok_or_else(|| Cause::because(Reason::CarrierError, "no such trunk"))?;
        let legs = &mut self.sites[at].legs;
        legs.next += 1;
        let key = legs.next;
        let port = 40_000 + u16::try_from(2 * key % 20_000).unwrap();
        let rtp = SocketAddr::new(gateway(at).ip(), port);
        let prompts = Arc::clone(&legs.prompts);
        let question = self.question(verification);
        let lines = Lines::of(&prompts, None, question.kind()).unwrap();
        let speech = Speech { own: Tongue { pack: prompts, lines }, offers: Vec::new() };
        let entropy = Entropy::from_number(verification.seed ^ u64::from(attempt.get()) ^ salt);
        let order = order(at, verification, index, rtp, question);
        let leg = Leg::new(order, speech, entropy, voice::Settings::default());
        let handle = leg.call_id().to_owned();
        let of = (verification.id.clone(), attempt);
        self.tell(format!("node {at} dials {attempt} of {} as {}", of.0, short(&handle)));
        let peer = Peer::Trunk(index);
        let disturbed = self.is_cut(at, peer, false) || self.is_cut(at, peer, true);
        let placed = Placed { of: of.clone(), at, run: self.sites[at].run, disturbed };
        self.facts.calls.insert(handle.clone(), placed);
        let seat = Seat {
            leg,
            of,
            trunk: TRUNKS[index],
            rtp,
            deadline: Timestamp::MAX,
            ended: false,
            retired: false,
            answered: false,
            voiced: false,
            disturbed,
        };
        self.sites[at].legs.seats.insert(key, seat);
        self.give(at, key, Input::Start);
        Ok(handle)
    }

    /// What this verification asks on its calls.
    fn question(&self, verification: &Verification) -> Question {
        let digits = || Digits::parse(&self.code(verification)).unwrap();
        match verification.request.way.mode {
            Mode::Pin => Question::Pin { pin: digits(), expires: false },
            Mode::Match => Question::Match { digits: digits() },
            Mode::Code => Question::Code { code: digits() },
            Mode::Confirm | Mode::Reply => Question::Confirm,
        }
    }

    /// The code that is to come back, where there is one.
    pub(crate) fn code(&self, verification: &Verification) -> String {
        let to = &verification.request.to;
        let asked = self.plan.people.iter().find(|person| person.number == *to);
        asked.map_or_else(String::new, |it| it.question.digits.clone())
    }

    /// Ends the call of an attempt, if there is one.
    pub(crate) fn close(&mut self, at: usize, of: &Try, farewell: Farewell) {
        let Some(leg) = self.sites[at].legs.by_attempt(of) else { return };
        self.tell(format!("node {at} closes {} of {}: {farewell:?}", of.1, of.0));
        let input = match farewell {
            Farewell::Thanks => Input::Close(Close::Thanks),
            Farewell::Reported => Input::Close(Close::Fraud),
            Farewell::Denied => Input::Close(Close::Denied),
            Farewell::Mismatch => Input::Close(Close::Mismatch),
            Farewell::NoInput => Input::Close(Close::Goodbye),
            Farewell::Silent => Input::Stop,
        };
        self.give(at, leg, input);
    }

    /// Ends every call of this node at once.
    pub(crate) fn abandon(&mut self, at: usize) {
        self.tell(format!("node {at} abandons its calls"));
        let legs: Vec<u64> = self.sites[at].legs.seats.keys().copied().collect();
        legs.into_iter().for_each(|leg| self.give(at, leg, Input::Stop));
    }

    /// Wakes the leg of this node whose deadline has come first.
    pub(crate) fn legs_lapse(&mut self, at: usize) {
        let now = self.here(at);
        let due = self.sites[at].legs.seats.iter().filter(|(_, seat)| seat.deadline <= now);
        if let Some(leg) = due.min_by_key(|(_, seat)| seat.deadline).map(|(leg, _)| *leg) {
            self.give(at, leg, Input::Lapsed);
        }
    }

    /// Gives a leg an input, and does what it says.
    pub(crate) fn give(&mut self, at: usize, key: u64, input: Input<'_>) {
        let Some(mut seat) = self.sites[at].legs.seats.remove(&key) else { return };
        let mut outbox = Vec::new();
        seat.leg.on(self.here(at), input, &mut outbox);
        for output in outbox {
            self.does(at, &mut seat, output);
        }
        seat.deadline = seat.leg.deadline().map_or(Timestamp::MAX, |(at, _)| at);
        if seat.leg.is_silent() && !seat.retired {
            seat.retired = true;
            telemetry::observe(&telemetry::Event::LegOver { quality: &seat.leg.report() });
        }
        if !seat.leg.finished() {
            self.sites[at].legs.seats.insert(key, seat);
        }
    }

    fn does(&mut self, at: usize, seat: &mut Seat, output: Output) {
        match output {
            Output::Sip { bytes, .. } if self.keeps_forks && self.ends_second(&bytes) => {}
            Output::Sip { bytes, .. } if self.never_cancels && bytes.starts_with(b"CANCEL ") => {}
            Output::Sip { to, bytes } => {
                self.watch_invite(seat, &bytes);
                self.send(Datagram { from: gateway(at), to: to.address, bytes });
            }
            // The handset has no ear; it learns who speaks, and that is all.
            Output::Rtp { packet, .. } if !seat.voiced => {
                seat.voiced = true;
                let ssrc = packet.header.last_chunk::<4>().map(|ssrc| u32::from_be_bytes(*ssrc));
                if let Some(phone) = self.phones.get_mut(seat.leg.call_id()) {
                    phone.caller_ssrc = ssrc;
                }
            }
            Output::Rtp { .. } | Output::Rtcp { .. } => {}
            Output::Event(event) => self.learned(at, seat, event),
            Output::Note(note) => {
                let verification = seat.of.0.as_str();
                telemetry::observe(&telemetry::Event::Noted { verification, note: &note });
            }
        }
    }

    /// One INVITE for each attempt, and copies of it.
    fn watch_invite(&mut self, seat: &Seat, datagram: &[u8]) {
        if !datagram.starts_with(b"INVITE ") {
            return;
        }
        let Ok(Incoming::Message(invite)) = message::read(datagram) else {
            return self.accuse("an INVITE cannot be read");
        };
        let name = (invite.call_id().to_owned(), invite.branch().to_owned());
        let first = self.facts.invites.entry(seat.of.clone()).or_insert_with(|| name.clone());
        if *first != name {
            self.accuse(format!("two INVITEs for attempt {} of {}", seat.of.1, seat.of.0));
        }
    }

    /// Tells the verification what its leg learned, a little later.
    fn learned(&mut self, at: usize, seat: &mut Seat, event: voice::Event) {
        let (now, attempt) = (self.here(at), seat.of.1);
        match &event {
            voice::Event::Answered { .. } => seat.answered = true,
            voice::Event::Ended(end) => {
                seat.ended = true;
                self.tell(format!("leg {} ends: {end:?}", short(seat.leg.call_id())));
            }
            voice::Event::Saying(phrase) => {
                let asks = ["ask", "ask_pin", "ask_match", "ask_code"];
                let prompts = &self.sites[at].legs.prompts;
                if asks.iter().any(|name| prompts.find(name) == Ok(*phrase)) {
                    self.facts.asked.entry(seat.of.clone()).or_insert(now);
                }
            }
            voice::Event::Key(key) => {
                self.tell(format!("leg {} hears {key:?}", short(seat.leg.call_id())));
            }
            voice::Event::Telling => {
                self.facts.told.insert(seat.of.0.clone());
            }
            voice::Event::Alerting { .. }
            | voice::Event::Dialling
            | voice::Event::Prompting
            | voice::Event::Listening
            | voice::Event::Heard { .. }
            | voice::Event::Proven(_)
            | voice::Event::Label(_) => {}
        }
        let Some(signal) = hearing::signal(attempt, seat.trunk, &event) else { return };
        self.signal(at, &seat.of, signal);
    }

    /// Signals take a while to be applied, and keep their order.
    pub(crate) fn signal(&mut self, at: usize, of: &Try, signal: Signal) {
        let delay = Duration::from_micros(self.fate.number(50, 3_000));
        let soon = self.now() + delay;
        let site = &mut self.sites[at];
        let last = site.legs.learned.entry(of.0.to_string()).or_default();
        *last = soon.max(*last);
        let (when, run, verification) = (*last, site.run, of.0.clone());
        self.at(when, Event::Learned { at, run, verification, signal });
    }
}

fn order(
    at: usize,
    verification: &Verification,
    index: usize,
    rtp: SocketAddr,
    question: Question,
) -> voice::Order {
    let host = trunk(index).ip().to_string();
    let call = call::Order {
        is_last_resort: !verification.has_another_way(),
        ..call::Order::new(
            call::Target::new(verification.request.to.expose(), &host),
            vec![Way { hop: Hop::udp(trunk(index)), local: gateway(at) }],
            NameAddr::new(Uri::sip("anonymous", &host, None)),
        )
    };
    voice::Order {
        call,
        rtp,
        srtp: Protection::Off,
        codecs: Codec::USUAL.to_vec(),
        question,
        extension: None,
    }
}
