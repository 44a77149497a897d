//! What both sides of the seam can reach: the event queue, the network, the phones, the nodes'
//! legs, the customer's endpoint, and the record of what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use octothorpe::ambient::{Clock, Timestamp};
use octothorpe::media::prompt::Pack;
use octothorpe::media::rtp;
use octothorpe::sip::message::{self, Incoming};
use octothorpe::sip::{Hop, Message, Method, stateless};
use octothorpe::verify::VerificationId;
use octothorpe::verify::attempt::AttemptNo;
use octothorpe::verify::signal::Signal;
use octothorpe::voice::Input;

use crate::cloud::{self, Cloud};
use crate::dice::Dice;
use crate::legs::Legs;
use crate::phone::{EVENTS, Mark, Out, Phone, Place};
use crate::plan::{Answer, Manner, Peer, Plan, TRUNKS, Wrong};

/// Which attempt of which verification.
pub(crate) type Try = (VerificationId, AttemptNo);

/// Where and when a call was placed.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) of: Try,
    /// On which machine.
    pub(crate) at: usize,
    /// By which run of a node.
    pub(crate) run: u64,
    /// The way there, or back, was cut then.
    pub(crate) disturbed: bool,
}

/// Something that will happen.
pub(crate) enum Event {
    /// A datagram arrives.
    Arrives(Datagram),
    /// A node's own: a leg learned something, and its verification is told.
    Learned {
        at: usize,
        run: u64,
        verification: VerificationId,
        signal: Signal,
    },
    /// The customer does something.
    Act(Act),
    /// A request of the customer reaches this machine.
    Asked(usize, Act),
    /// A node dies, for so long.
    Crash(usize, Duration),
    Boot(usize),
    /// A machine is suspended, for so long.
    Sleep(usize, Duration),
    Wake(usize),
    /// A node may be believed lost from here on.
    Disturb(usize),
    /// Something is due at the provider: a call of it, or a text.
    Cloud(cloud::Due),
}

/// What the customer does about one of its questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Begin(usize),
    /// Another request under the same idempotency key.
    Clash(usize),
    Cancel(usize),
    Read(usize),
    /// Types the code, once it was told; before that, another.
    Type(usize),
    /// The provider, or somebody who pretends to be it, sends this hook.
    Hook(usize),
}

/// On its way.
#[derive(Clone)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// What happened, for the judge: never guessed from the gateway's own account of it.
#[derive(Default)]
pub(crate) struct Facts {
    /// How often each attempt was dialed.
    pub(crate) dials: BTreeMap<Try, u32>,
    /// Call-ID and branch of each attempt's INVITE.
    pub(crate) invites: BTreeMap<Try, (String, String)>,
    /// When the question began to be spoken.
    pub(crate) asked: BTreeMap<Try, Timestamp>,
    /// Questions that were refused because their phone had reported another as fraud.
    pub(crate) blocked: BTreeSet<usize>,
    /// The verifications whose code was told on a call, and those where it was typed then.
    pub(crate) told: BTreeSet<VerificationId>,
    pub(crate) typed: BTreeSet<VerificationId>,
    /// How many wrong codes were certainly compared.
    pub(crate) wrong_codes: BTreeMap<VerificationId, u8>,
    /// What the customer was told of how it ended: status and reason.
    pub(crate) verdicts: BTreeMap<VerificationId, (String, String)>,
    /// The telephone-events of which a packet has come to a call.
    pub(crate) arrived: BTreeSet<Mark>,
    /// Call-ID → how it came to be.
    pub(crate) calls: BTreeMap<String, Placed>,
    /// What came to the endpoints, in order.
    pub(crate) deliveries: Vec<Delivered>,
    /// The first thing that was wrong.
    pub(crate) wrong: Option<String>,
}

/// An event that came to an endpoint.
pub(crate) struct Delivered {
    pub(crate) url: String,
    pub(crate) event: String,
    pub(crate) body: String,
    /// The endpoint said yes, whether or not the node heard it.
    pub(crate) accepted: bool,
}

/// One machine as the world sees it.
pub(crate) struct Site {
    /// The clock of the node, which follows the store's.
    pub(crate) clock: Clock,
    wrong: Wrong,
    /// What it has gained and does not show yet, in millionths of a microsecond.
    gained: i64,
    pub(crate) legs: Legs,
    /// Which run of a node is up; what an earlier one set going is void.
    pub(crate) run: u64,
}

/// The world, but for the gateways themselves.
pub(crate) struct State {
    pub(crate) clock: Clock,
    pub(crate) start: Timestamp,
    pub(crate) plan: Plan,
    pub(crate) queue: BTreeMap<(Timestamp, u64), Event>,
    sequence: u64,
    weather: Dice,
    pub(crate) fate: Dice,
    pub(crate) sites: Vec<Site>,
    /// How many runs of nodes there were.
    pub(crate) runs: u64,
    pub(crate) phones: BTreeMap<String, Phone>,
    pub(crate) cloud: Cloud,
    pub(crate) facts: Facts,
    pub(crate) trace: Vec<String>,
    /// A planted fault: second phones are not hung up on.
    pub(crate) keeps_forks: bool,
    /// A planted fault: no CANCEL goes out.
    pub(crate) never_cancels: bool,
    /// The store has failed somebody by now: what needs it may fail.
    pub(crate) store_failed: bool,
    /// When a node died last: what it held, perhaps from one that had died before, is another's no sooner than its
    /// lease has lapsed.
    pub(crate) died: Timestamp,
    next_port: u16,
}

/// Where SIP is taken.
const SIP: u16 = 5060;

/// So many microseconds later, or earlier.
pub(crate) const fn by(at: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add_signed(micros))
}

/// Where the node on this machine takes SIP.
pub(crate) fn gateway(at: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(at + 1).unwrap()], SIP))
}

/// Where a trunk takes SIP.
pub(crate) fn trunk(index: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, u8::try_from(index + 1).unwrap()], SIP))
}

impl State {
    pub(crate) fn new(seed: u64, plan: Plan, clock: Clock, prompts: &Arc<Pack>) -> Self {
        let start = clock.now();
        let site = |wrong: &Wrong| Site {
            clock: Clock::manual(by(start, wrong.ahead)),
            wrong: *wrong,
            gained: 0,
            legs: Legs::new(Arc::clone(prompts)),
            run: 0,
        };
        Self {
            start,
            clock,
            sites: plan.clocks.iter().map(site).collect(),
            cloud: Cloud::new(seed),
            plan,
            queue: BTreeMap::new(),
            sequence: 0,
            weather: Dice::new(seed, 2),
            fate: Dice::new(seed, 3),
            runs: 0,
            phones: BTreeMap::new(),
            facts: Facts::default(),
            trace: Vec::new(),
            keeps_forks: false,
            never_cancels: false,
            store_failed: false,
            died: start,
            next_port: 20_000,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time as the clock of this machine has it.
    pub(crate) fn here(&self, at: usize) -> Timestamp {
        self.sites[at].clock.now()
    }

    /// When it is that time on this machine; not before now.
    pub(crate) fn when(&self, at: usize, there: Timestamp) -> Timestamp {
        if there == Timestamp::MAX { there } else { self.now() + there.since(self.here(at)) }
    }

    /// Time passes, on every clock.
    pub(crate) fn advance(&mut self, span: Duration) {
        self.clock.advance(span);
        let micros = i64::try_from(span.as_micros()).unwrap();
        for site in &mut self.sites {
            site.gained += micros * site.wrong.gains;
            let shown = site.gained.div_euclid(1_000_000);
            site.gained -= shown * 1_000_000;
            let span = u64::try_from((micros + shown).max(0)).unwrap();
            site.clock.advance(Duration::from_micros(span));
        }
    }

    /// The clock of a node that begins on this machine: it follows no other yet.
    pub(crate) fn begin_clock(&mut self, at: usize) -> Clock {
        let site = &mut self.sites[at];
        site.clock = Clock::manual(site.clock.unled().now());
        site.clock.clone()
    }

    /// Whether what this node sends there is lost now, or (`back`) what is sent to it.
    pub(crate) fn is_cut(&self, at: usize, peer: Peer, back: bool) -> bool {
        let now = self.now();
        self.plan.cuts.iter().any(|cut| {
            let lost = if back { cut.lost.1 } else { cut.lost.0 };
            let is_now = self.start + cut.from <= now && now < self.start + cut.until;
            lost && is_now && cut.node == at && cut.peer == peer
        })
    }

    /// Whether a cut is between those.
    fn is_lost(&self, from: SocketAddr, to: SocketAddr) -> bool {
        let node = |of: SocketAddr| (0..self.sites.len()).find(|at| gateway(*at).ip() == of.ip());
        let peer = |of: SocketAddr| (0..TRUNKS.len()).find(|index| trunk(*index).ip() == of.ip());
        match (node(from), peer(to), node(to), peer(from)) {
            (Some(at), Some(index), _, _) => self.is_cut(at, Peer::Trunk(index), false),
            (_, _, Some(at), Some(index)) => self.is_cut(at, Peer::Trunk(index), true),
            _ => false,
        }
    }

    /// Will happen then.
    pub(crate) fn at(&mut self, at: Timestamp, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    /// Writes a line of the trace.
    pub(crate) fn tell(&mut self, line: impl AsRef<str>) {
        let micros = self.now().since(self.start).as_micros();
        let line = line.as_ref();
        self.trace.push(format!("{:>6}.{:06} {line}", micros / 1_000_000, micros % 1_000_000));
    }

    /// Notes the first thing that is wrong.
    pub(crate) fn accuse(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.tell(format!("WRONG: {what}"));
        self.facts.wrong.get_or_insert(what);
    }

    /// Puts a datagram on the network, which may lose, hold up and double it.
    pub(crate) fn send(&mut self, datagram: Datagram) {
        let is_lost = self.is_lost(datagram.from, datagram.to);
        if is_lost && datagram.to.port() == SIP {
            self.tell("the way is cut");
        }
        let copies = if self.weather.permille(self.plan.network.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            if self.weather.permille(self.plan.network.lost) || is_lost {
                continue;
            }
            let network = &self.plan.network;
            let mut delay = self.weather.millis(network.base, network.base + network.jitter);
            if self.weather.permille(network.stuck) {
                delay += self.weather.millis(0, 3_000);
            }
            let at = self.now() + delay;
            self.at(at, Event::Arrives(datagram.clone()));
        }
    }

    /// A datagram for anyone but a node.
    pub(crate) fn arrives(&mut self, datagram: &Datagram) {
        let index = (0..TRUNKS.len()).find(|index| trunk(*index) == datagram.to);
        let Some(index) = index else { return };
        let Ok(Incoming::Message(message)) = message::read(&datagram.bytes) else {
            return self.accuse("the gateway sent what is not SIP");
        };
        self.tell(format!("{} got {}", TRUNKS[index], words(&message)));
        let now = self.now();
        let mut out = Vec::new();
        let call = message.call_id().to_owned();
        let second = second(&call);
        if let Some(phone) = self.phones.get_mut(&second).filter(|it| it.is_meant(&message)) {
            phone.on_sip(now, &message, &mut out);
            self.carry_out(&second, trunk(index), std::mem::take(&mut out));
        }
        let is_seconds = self.phones.get(&second).is_some_and(|it| it.is_meant(&message));
        match self.phones.get_mut(&call) {
            Some(phone) if is_seconds && !phone.is_meant(&message) => {}
            Some(phone) => phone.on_sip(now, &message, &mut out),
            None if *message.method() == Method::Invite && message.status().is_none() => {
                self.ring(index, datagram.from, &message, &mut out);
            }
            None => {
                let tag = self.weather.token();
                if let Some(bytes) = stateless::refuse(&message, datagram.from, &tag) {
                    let to = message.reply_address(datagram.from);
                    self.send(Datagram { from: datagram.to, to, bytes });
                }
            }
        }
        self.carry_out(&call, trunk(index), out);
    }

    fn ring(&mut self, trunk_index: usize, from: SocketAddr, invite: &Message, out: &mut Vec<Out>) {
        let user = invite.request_uri().map(|uri| uri.user()).unwrap_or_default();
        let called =
            |number: &str| self.plan.people.iter().position(|it| it.number.expose() == number);
        let Some(person) = called(&user) else {
            return self.accuse("a number was called that nobody asked for");
        };
        let manner = self.plan.people[person].manners[trunk_index].clone();
        if manner.deaf {
            return;
        }
        let sip = trunk(trunk_index);
        self.next_port += 2;
        let place = Place { sip, rtp: SocketAddr::new(sip.ip(), self.next_port) };
        let now = self.now();
        let dice = &mut self.weather;
        match Phone::invited(now, from, invite, manner.clone(), place, dice, out) {
            Some(mut phone) => {
                phone.disturbed =
                    self.facts.calls.get(invite.call_id()).is_some_and(|placed| placed.disturbed);
                self.phones.insert(invite.call_id().to_owned(), phone);
            }
            None => return self.accuse("an INVITE made no sense to the phone"),
        }
        let (Some(after), Answer::After(first)) = (self.plan.people[person].fork, manner.answer)
        else {
            return;
        };
        self.next_port += 2;
        let place = Place { rtp: SocketAddr::new(sip.ip(), self.next_port), ..place };
        let answer = Answer::After(first + after);
        let manner = Manner { trying: false, ring: None, hang_up: None, answer, ..manner };
        let dice = &mut self.weather;
        if let Some(phone) = Phone::invited(now, from, invite, manner, place, dice, out) {
            let name = second(invite.call_id());
            if let Some(placed) = self.facts.calls.get(invite.call_id()).cloned() {
                self.facts.calls.insert(name.clone(), placed);
            }
            let disturbed = self.facts.calls.get(&name).is_some_and(|placed| placed.disturbed);
            let mut phone = phone.second();
            phone.disturbed = disturbed;
            self.phones.insert(name, phone);
        }
    }

    /// Whether a datagram would end a second phone's call while the first one lasts.
    pub(crate) fn ends_second(&self, bytes: &[u8]) -> bool {
        if !bytes.starts_with(b"BYE ") {
            return false;
        }
        let Ok(Incoming::Message(bye)) = message::read(bytes) else { return false };
        let of = |name: &str| self.phones.get(name);
        of(&second(bye.call_id())).is_some_and(|it| it.is_meant(&bye))
            && of(bye.call_id()).is_some_and(Phone::is_live)
    }

    /// Wakes the phones for which something is due.
    pub(crate) fn phones_lapse(&mut self) {
        let now = self.now();
        let due = self.phones.iter().filter(|(_, it)| it.deadline().is_some_and(|at| at <= now));
        let due: Vec<String> = due.map(|(call, _)| call.clone()).collect();
        for call in due {
            let Some(phone) = self.phones.get_mut(&call) else { continue };
            let mut out = Vec::new();
            phone.lapsed(now, &mut out);
            let at = phone.sip();
            self.carry_out(&call, at, out);
        }
    }

    fn carry_out(&mut self, call: &str, phone: SocketAddr, out: Vec<Out>) {
        for it in out {
            match it {
                Out::Sip { to, bytes } => self.send(Datagram { from: phone, to, bytes }),
                Out::Rtp { from, to, bytes } => self.send(Datagram { from, to, bytes }),
                Out::Said(what) => self.tell(format!("phone {}: {what}", short(call))),
            }
        }
    }

    /// A datagram for the node on this machine, which is up and awake.
    pub(crate) fn reaches_node(&mut self, at: usize, datagram: &Datagram) {
        let Datagram { from, to, bytes } = datagram;
        if *to != gateway(at) {
            if let Some(leg) = self.sites[at].legs.by_port(*to) {
                let event = rtp::Packet::read(bytes).filter(|it| it.payload_type == EVENTS);
                self.facts.arrived.extend(event.map(|it| (it.ssrc, it.timestamp)));
                self.give(at, leg, Input::Rtp { from: *from, datagram: bytes });
            }
            return;
        }
        let Ok(Incoming::Message(message)) = message::read(bytes) else {
            return self.accuse("a phone sent what is not SIP");
        };
        self.tell(format!("node {at} got {}", words(&message)));
        if let Some(leg) = self.sites[at].legs.by_call_id(message.call_id()) {
            return self.give(at, leg, Input::Sip { from: Hop::udp(*from), message: &message });
        }
        let tag = self.weather.token();
        if let Some(bytes) = stateless::refuse(&message, *from, &tag) {
            let to = message.reply_address(*from);
            self.send(Datagram { from: gateway(at), to, bytes });
        }
    }

    /// All that the node on this machine had in its memory is gone.
    pub(crate) fn node_dies(&mut self, at: usize) {
        self.disturb(at);
        self.sites[at].legs.clear();
        self.sites[at].run = 0;
    }

    /// Whatever call this machine has up was not attended to, or may be believed to be.
    pub(crate) fn disturb(&mut self, at: usize) {
        self.sites[at].legs.disturb();
        let calls = &self.facts.calls;
        let its = |call: &String| calls.get(call).is_some_and(|placed| placed.at == at);
        let phones = self.phones.iter_mut().filter(|(call, _)| its(call));
        phones.for_each(|(_, phone)| phone.disturbed = true);
    }
}

/// The name of the call at the second phone of a forked INVITE.
fn second(call_id: &str) -> String {
    format!("{call_id}/2")
}

/// The name of a call in the trace.
pub(crate) fn short(call_id: &str) -> &str {
    call_id.get(..6).unwrap_or(call_id)
}

fn words(message: &Message) -> String {
    let (number, method) = message.cseq();
    let call = short(message.call_id());
    match message.status() {
        Some(status) => format!("{call} {status} ({number} {})", method.as_str()),
        None => format!("{call} {} ({number})", method.as_str()),
    }
}
