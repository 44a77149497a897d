//! What both sides of the seam can reach: the event queue, the network, the phones, the node's
//! legs, the customer's endpoint, and the record of what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use octothorpe::ambient::{Clock, Timestamp};
use octothorpe::sip::message::{self, Incoming};
use octothorpe::sip::{Hop, Message, Method, stateless};
use octothorpe::verify::VerificationId;
use octothorpe::verify::attempt::AttemptNo;
use octothorpe::verify::signal::Signal;
use octothorpe::voice::Input;

use crate::dice::Dice;
use crate::legs::Legs;
use crate::phone::{Out, Phone, Place};
use crate::plan::{Plan, TRUNKS};

/// Which attempt of which verification.
pub(crate) type Try = (VerificationId, AttemptNo);

/// Something that will happen.
pub(crate) enum Event {
    /// A datagram arrives.
    Arrives(Datagram),
    /// The node's own: a leg learned something, and its verification is told.
    Learned {
        node: u64,
        verification: VerificationId,
        signal: Signal,
    },
    /// The customer does something.
    Act(Act),
    /// The node dies, for so long.
    Crash(Duration),
    Boot,
    /// The node's machine is suspended, for so long.
    Sleep(Duration),
    Wake,
}

/// What the customer does about one of its questions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Begin(usize),
    /// Another request under the same idempotency key.
    Clash(usize),
    Cancel(usize),
    Read(usize),
    /// Types the code, once it was told; before that, another.
    Type(usize),
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
    /// Call-ID → the attempt it is, and the run of the node that placed it.
    pub(crate) calls: BTreeMap<String, (Try, u64)>,
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

/// The world, but for the gateway itself.
pub(crate) struct State {
    pub(crate) clock: Clock,
    pub(crate) start: Timestamp,
    pub(crate) plan: Plan,
    pub(crate) queue: BTreeMap<(Timestamp, u64), Event>,
    sequence: u64,
    weather: Dice,
    pub(crate) fate: Dice,
    pub(crate) legs: Legs,
    pub(crate) phones: BTreeMap<String, Phone>,
    pub(crate) facts: Facts,
    pub(crate) trace: Vec<String>,
    /// Which run of the node this is; what an earlier one set going is void.
    pub(crate) node: u64,
    /// Until when the node's dispatcher is held up in the world.
    pub(crate) held_up: Timestamp,
    next_port: u16,
}

/// Where the node takes SIP.
pub(crate) fn gateway() -> SocketAddr {
    "192.0.2.1:5060".parse().unwrap()
}

/// Where a trunk takes SIP.
pub(crate) fn trunk(index: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, u8::try_from(index + 1).unwrap()], 5060))
}

impl State {
    pub(crate) fn new(seed: u64, plan: Plan, clock: Clock, legs: Legs) -> Self {
        Self {
            start: clock.now(),
            clock,
            plan,
            queue: BTreeMap::new(),
            sequence: 0,
            weather: Dice::new(seed, 2),
            fate: Dice::new(seed, 3),
            legs,
            phones: BTreeMap::new(),
            facts: Facts::default(),
            trace: Vec::new(),
            node: 0,
            held_up: Timestamp::default(),
            next_port: 20_000,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
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
        let copies = if self.weather.permille(self.plan.network.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            if self.weather.permille(self.plan.network.lost) {
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

    /// A datagram for anyone but the node.
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
        match self.phones.get_mut(&call) {
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
        match Phone::invited(now, from, invite, manner, place, dice, out) {
            Some(phone) => drop(self.phones.insert(invite.call_id().to_owned(), phone)),
            None => self.accuse("an INVITE made no sense to the phone"),
        }
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

    /// A datagram for the node, which is up and awake.
    pub(crate) fn reaches_node(&mut self, datagram: &Datagram) {
        let Datagram { from, to, bytes } = datagram;
        if *to != gateway() {
            if let Some(leg) = self.legs.by_port(*to) {
                self.give(leg, Input::Rtp { from: *from, datagram: bytes });
            }
            return;
        }
        let Ok(Incoming::Message(message)) = message::read(bytes) else {
            return self.accuse("a phone sent what is not SIP");
        };
        self.tell(format!("node got {}", words(&message)));
        if let Some(leg) = self.legs.by_call_id(message.call_id()) {
            return self.give(leg, Input::Sip { from: Hop::udp(*from), message: &message });
        }
        let tag = self.weather.token();
        if let Some(bytes) = stateless::refuse(&message, *from, &tag) {
            let to = message.reply_address(*from);
            self.send(Datagram { from: gateway(), to, bytes });
        }
    }

    /// All that the node had in its memory is gone.
    pub(crate) fn node_dies(&mut self) {
        self.legs.clear();
        self.node += 1;
        self.disturb();
    }

    /// Whatever call is up was not attended to.
    pub(crate) fn disturb(&mut self) {
        self.phones.values_mut().for_each(|phone| phone.disturbed = true);
    }
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
