//! The media threads: each owns its legs from birth to death (signalling state, media, dialogue)
//! and the RTP sockets that belong to them. No task, timer or lock per call.
//!
//! Where media flow, a thread works once a millisecond: it obeys, wakes the legs whose time has come,
//! sends, and reads what has come.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the thread, and the life of its legs |
//! | `slots` | the legs |
//! | `wheel` | when they want to be woken, and where in the 20 ms each of them sends |
//! | `effects` | what a leg says must happen, done |
//! | `wire` | datagrams by the dozen |
//! | `common`, `origins` | ports that calls share, and whose a packet is that comes there |
//! | `gauge` | how the thread does, and whether it takes another call |
//! | `lab` | a thread by itself, to be measured |

mod common;
mod effects;
mod gauge;
pub(crate) mod lab;
mod origins;
mod slots;
#[cfg(test)]
mod tests;
mod wheel;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};

use self::common::Common;
use self::effects::{Effects, show};
pub(super) use self::gauge::Gauge;
use self::gauge::Meter;
use self::origins::Clash;
use self::slots::Slots;
use self::wheel::{Place, Places, Wheel};
use self::wire::{FEW, Inbox, MANY};
use super::course::streams::Line;
use super::course::{Course, Courses, Recorder, mask};
use super::hep::Hep;
use super::line::{Calls, Exit};
use super::ports::{Berth, Pair, Ports};
use super::tap::{Act, Packet, Protocol, Tap};
use crate::ambient::{Clock, Timestamp};
use crate::media::script::Close;
use crate::sip::{Hop, Message, Transport};
use crate::telemetry;
use crate::verify::VerificationId;
use crate::verify::attempt::{AttemptNo, AttemptState};
use crate::verify::signal::{Cause, Farewell, Reason, Signal};
use crate::voice::{Input, Leg, Output};

/// Wakes a thread that has nothing to do but look whether it should end.
const IDLE: Duration = Duration::from_secs(1);

/// The most datagrams read from one call's socket at a time. A phone sends one each 20 ms.
const READ_MOST: usize = 64;

/// The most datagrams read from a shared socket at a time.
const READ_MOST_COMMON: usize = 4_096;

/// How many packets are handled by one reading of the clock.
const BY_ONE_CLOCK: usize = 8;

/// The token of the waker; the pairs that calls share have those from 2 on, two each.
const WAKER: Token = Token(0);

/// Legs have the tokens from here on, two each.
const LEGS: usize = 1_024;

/// What an engine is told.
pub(super) enum Command {
    /// Begin a leg.
    Begin {
        /// Its name on this engine.
        leg: u64,
        /// The leg and what it owns.
        seat: Box<Occupant>,
    },
    /// A SIP message for a leg.
    Sip {
        /// The leg.
        leg: u64,
        /// Where it came from.
        from: Hop,
        /// As it was on the wire.
        datagram: Vec<u8>,
        /// As it was read.
        message: Box<Message>,
    },
    /// End a leg with these words.
    Close {
        /// The leg.
        leg: u64,
        /// What to say first.
        farewell: Farewell,
    },
    /// Tell what has happened on a leg so far.
    Course {
        /// The leg.
        leg: u64,
        /// To whom.
        tell: tokio::sync::oneshot::Sender<Box<Course>>,
    },
    /// What was sent there did not arrive.
    Unreachable {
        /// Where.
        hop: Hop,
    },
    /// Listen to this pair of ports, which calls will share.
    Share {
        /// The pair.
        pair: Pair,
    },
    /// End every leg at once, politely.
    StopAll,
    /// End the thread.
    Exit,
}

/// A leg, whose it is, and its sockets.
pub(super) struct Occupant {
    /// The leg.
    pub(super) leg: Leg,
    /// The verification it serves.
    pub(super) verification: VerificationId,
    /// The attempt it is.
    pub(super) attempt: AttemptNo,
    /// The trunk, for words to people.
    pub(super) trunk: String,
    /// Its way out for SIP.
    pub(super) exit: Exit,
    /// Our own address for SIP.
    pub(super) local: SocketAddr,
    /// Its RTP and RTCP ports.
    pub(super) berth: Berth,
}

/// What engines share.
pub(super) struct Shared {
    /// The time.
    pub(super) clock: Clock,
    /// The RTP ports.
    pub(super) ports: Ports,
    /// Which leg sits where; known once the engines are.
    pub(super) calls: OnceLock<Arc<Calls>>,
    /// Where what was learned goes.
    pub(super) signals: tokio::sync::mpsc::UnboundedSender<(VerificationId, Signal)>,
    /// Who looks on.
    pub(super) tap: Option<Tap>,
    /// Who keeps what happened.
    pub(super) courses: Option<Courses>,
    /// Who is told of SIP.
    pub(super) hep: Option<Hep>,
}

/// How to reach an engine.
#[derive(Debug)]
pub(super) struct EngineHandle {
    commands: Sender<Command>,
    waker: Arc<Waker>,
    gauge: Arc<Gauge>,
}

impl EngineHandle {
    /// How it does.
    pub(super) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Tells it something.
    pub(super) fn send(&self, command: Command) {
        if matches!(command, Command::Begin { .. }) {
            self.gauge.enter();
        }
        // A thread that is gone has no leg left to tell.
        if self.commands.send(command).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

/// An engine that only takes what it is told.
#[cfg(test)]
pub(super) fn deaf() -> (EngineHandle, Receiver<Command>) {
    let poll = Poll::new().unwrap();
    let waker = Arc::new(Waker::new(poll.registry(), WAKER).unwrap());
    let (commands, receiver) = mpsc::channel();
    (EngineHandle { commands, waker, gauge: Arc::default() }, receiver)
}

/// Starts an engine thread.
///
/// # Errors
/// When the system refuses a thread or its poll.
pub(super) fn start(
    index: usize,
    shared: Arc<Shared>,
) -> io::Result<(EngineHandle, JoinHandle<()>)> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    let (commands, receiver) = mpsc::channel();
    let (gauge, now) = (Arc::new(Gauge::default()), shared.clock.now());
    let meter = Meter::new(Arc::clone(&gauge), now);
    let thread = std::thread::Builder::new().name(format!("engine-{index}"));
    let thread = thread.spawn(move || {
        let engine = Engine {
            shared,
            poll,
            commands: receiver,
            slots: Slots::default(),
            commons: Vec::new(),
            sounding: 0,
            wheel: Wheel::new(now),
            places: Places::default(),
            meter,
            awake: now,
            now,
            woken: Vec::new(),
            outbox: Vec::new(),
            buffer: Vec::new(),
        };
        engine.run();
    })?;
    Ok((EngineHandle { commands, waker, gauge }, thread))
}

struct Engine {
    shared: Arc<Shared>,
    poll: Poll,
    commands: Receiver<Command>,
    slots: Slots,
    /// The ports that calls share.
    commons: Vec<Common>,
    /// How many legs have media.
    sounding: usize,
    wheel: Wheel,
    places: Places,
    meter: Meter,
    /// Since when it works.
    awake: Timestamp,
    /// When what is read now was read.
    now: Timestamp,
    /// Whose time has come.
    woken: Vec<usize>,
    outbox: Vec<Output>,
    buffer: Vec<u8>,
}

struct Slot {
    leg: Leg,
    /// What others call it.
    name: u64,
    verification: VerificationId,
    attempt: AttemptNo,
    trunk: String,
    exit: Exit,
    local: SocketAddr,
    /// Where it takes RTP.
    address: SocketAddr,
    /// Until the leg is silent: what is left of it then is signalling.
    media: Option<Media>,
    /// Where in the 20 ms its frames go out.
    place: Place,
    stage: Stage,
    /// How far it has come, as the metrics know it.
    state: AttemptState,
    deadline: Timestamp,
    /// What happened, where that is kept.
    course: Option<Recorder>,
}

impl Slot {
    /// One of its ports, as whoever looks on knows it.
    fn port(&self, socket: Socket) -> (Protocol, SocketAddr) {
        let (ip, port) = (self.address.ip(), self.address.port());
        match socket {
            Socket::Rtp => (Protocol::Rtp, SocketAddr::new(ip, port)),
            Socket::Rtcp => (Protocol::Rtcp, SocketAddr::new(ip, port + 1)),
        }
    }
}

/// Whether an attempt's leg still counts as a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It rings, is up, or waits for the answer to its BYE.
    Live,
    /// Its signalling may still owe the far end an answer.
    Parted,
}

/// What a leg sends and receives through.
enum Media {
    /// Sockets of its own.
    Own { rtp: mio::net::UdpSocket, rtcp: mio::net::UdpSocket },
    /// The sockets that it shares with others: which, and whom it hears there.
    Common { at: usize, remote: Option<SocketAddr> },
}

#[derive(Clone, Copy)]
enum Socket {
    Rtp,
    Rtcp,
}

impl Engine {
    fn run(mut self) {
        let mut events = Events::with_capacity(1_024);
        let mut inbox = Inbox::new();
        loop {
            self.wait(&mut events);
            while let Ok(command) = self.commands.try_recv() {
                if matches!(command, Command::Exit) {
                    return;
                }
                self.obey(command);
            }
            // What is due goes out before what has come is listened to: that may wait, as it did in the
            // socket.
            self.lapse();
            for (n, event) in events.iter().enumerate() {
                if n % BY_ONE_CLOCK == 0 {
                    self.read_clock();
                }
                match owner(event.token()) {
                    Owner::Engine => {}
                    Owner::Leg(at, socket) => self.hear(at, socket, &mut inbox),
                    Owner::Common(at, socket) => self.hear_common(at, socket, &mut inbox),
                }
            }
            // What that has moved forward to now need not wait for the next tick.
            self.lapse();
        }
    }

    /// Reads the clock amidst what has come; where a tick has passed over it, what is due goes out first.
    fn read_clock(&mut self) {
        self.now = self.shared.clock.now();
        if self.now >= self.wheel.next() {
            self.lapse();
        }
    }

    /// Waits for the next tick where media flow, else until something happens.
    fn wait(&mut self, events: &mut Events) {
        let now = self.shared.clock.now();
        self.meter.worked(self.awake, now);
        let mut patience = self.wheel.patience(now).min(IDLE);
        if self.sounding > 0 {
            std::thread::sleep(self.wheel.next().since(now));
            patience = Duration::ZERO;
        }
        if let Err(error) = self.poll.poll(events, Some(patience))
            && error.kind() != io::ErrorKind::Interrupted
        {
            telemetry::observe(&telemetry::Event::Fault { doing: "poll", error: &error });
        }
        self.awake = self.shared.clock.now();
    }

    fn obey(&mut self, command: Command) {
        let now = self.shared.clock.now();
        match command {
            Command::Begin { leg, seat } => self.begin(now, leg, *seat),
            Command::Sip { leg, from, datagram, message } => {
                let Some(at) = self.slots.named(leg) else { return };
                if let Some(slot) = self.slots.get_mut(at) {
                    let local = slot.local;
                    let line = Line { sent: false, from: from.address, to: local };
                    keep_sip(&self.shared, slot, now, line, from.transport, &datagram);
                    let packet = Packet {
                        protocol: Protocol::Sip(from.transport),
                        from: from.address,
                        to: local,
                        sent: false,
                        bytes: datagram,
                    };
                    show(&self.shared, now, &slot.verification, || Act::Packet(packet));
                }
                self.give(at, now, Input::Sip { from, message: &message });
                self.follow(at, now);
            }
            Command::Close { leg, farewell } => {
                let input = match farewell {
                    Farewell::Thanks => Input::Close(Close::Thanks),
                    Farewell::Reported => Input::Close(Close::Fraud),
                    Farewell::Denied => Input::Close(Close::Denied),
                    Farewell::Mismatch => Input::Close(Close::Mismatch),
                    Farewell::NoInput => Input::Close(Close::Goodbye),
                    Farewell::Silent => Input::Stop,
                };
                if let Some(at) = self.slots.named(leg) {
                    self.give(at, now, input);
                }
            }
            Command::Course { leg, tell } => {
                let slot = self.slots.named(leg).and_then(|at| self.slots.get(at));
                if let Some(course) = slot.and_then(|slot| slot.course.as_ref()) {
                    // Whoever asked may have left.
                    let _ = tell.send(course.so_far());
                }
            }
            Command::Unreachable { hop } => self.give_all(now, || Input::Unreachable { hop }),
            Command::Share { pair } => self.share(pair),
            Command::StopAll => self.give_all(now, || Input::Stop),
            Command::Exit => {}
        }
    }

    /// Listens to ports that calls will share.
    fn share(&mut self, pair: Pair) {
        let first = 2 + 2 * self.commons.len();
        match Common::new(pair, self.poll.registry(), [Token(first), Token(first + 1)]) {
            Ok(common) => self.commons.push(common),
            Err(error) => {
                telemetry::observe(&telemetry::Event::Fault { doing: "watch RTP", error: &error });
            }
        }
    }

    fn begin(&mut self, now: Timestamp, name: u64, seat: Occupant) {
        let Occupant { leg, verification, attempt, trunk, exit, local, berth } = seat;
        if self.slots.is_empty() {
            // The clock may have gone back far when the store's was first known.
            self.wheel = Wheel::new(now);
        }
        let (at, address) = (self.slots.next(), berth.address());
        let media = match self.moor(at, berth, now) {
            Ok(media) => media,
            Err(error) => {
                telemetry::observe(&telemetry::Event::Fault { doing: "watch RTP", error: &error });
                let cause = Cause::because(Reason::Congested, "no socket to be had");
                let signal = Signal::Ended { attempt, cause };
                let _ = self.shared.signals.send((verification.clone(), signal));
                self.meter.left();
                self.shared.retire(&(verification, attempt));
                return self.shared.forget(leg.call_id());
            }
        };
        let mut slot = Box::new(Slot {
            leg,
            name,
            verification,
            attempt,
            trunk,
            exit,
            local,
            address,
            media: Some(media),
            place: self.places.take(),
            stage: Stage::Live,
            state: AttemptState::Dialing,
            deadline: Timestamp::MAX,
            course: self.shared.courses.is_some().then(|| Recorder::new(attempt, now)),
        });
        let to = Some(slot.state);
        telemetry::observe(&telemetry::Event::Went { from: None, to });
        slot.leg.pace(slot.place.offset());
        self.sounding += 1;
        self.slots.insert(slot);
        self.give(at, now, Input::Start);
    }

    /// What a leg will send and receive through.
    fn moor(&self, at: usize, berth: Berth, now: Timestamp) -> io::Result<Media> {
        match berth {
            Berth::Own(Pair { rtp, rtcp, address }) => {
                let mut rtp = mio::net::UdpSocket::from_std(rtp);
                let mut rtcp = mio::net::UdpSocket::from_std(rtcp);
                let registry = self.poll.registry();
                let watched = registry
                    .register(&mut rtp, token(at, Socket::Rtp), Interest::READABLE)
                    .and_then(|()| {
                        registry.register(&mut rtcp, token(at, Socket::Rtcp), Interest::READABLE)
                    });
                if watched.is_err() {
                    self.shared.ports.give_back(address.port(), now);
                }
                watched.map(|()| Media::Own { rtp, rtcp })
            }
            Berth::Common(address) => {
                let at = self.commons.iter().position(|common| common.address == address);
                let at = at.ok_or(io::ErrorKind::NotFound)?;
                Ok(Media::Common { at, remote: None })
            }
        }
    }

    /// Reads what came in on a call's own socket until there is no more.
    fn hear(&mut self, at: usize, socket: Socket, inbox: &mut Inbox) {
        // One port that is flooded must not keep the others from being heard: the rest waits for
        // the next packet, and what does not fit into the socket is lost.
        for _ in 0..READ_MOST / FEW {
            let Some(slot) = self.slots.get(at) else { return };
            let Some(Media::Own { rtp, rtcp }) = &slot.media else { return };
            let read = inbox.read::<FEW>(match socket {
                Socket::Rtp => rtp.as_raw_fd(),
                Socket::Rtcp => rtcp.as_raw_fd(),
            });
            self.meter.received(read);
            for (from, datagram) in inbox.datagrams() {
                self.arrived(at, socket, from, datagram);
            }
            if read < FEW {
                return;
            }
        }
    }

    /// The same of a shared one.
    fn hear_common(&mut self, at: usize, socket: Socket, inbox: &mut Inbox) {
        for _ in 0..READ_MOST_COMMON / MANY {
            let Some(common) = self.commons.get(at) else { return };
            let read = inbox.read::<MANY>(common.fd(socket));
            self.read_clock();
            self.meter.received(read);
            let mut strangers = 0;
            for (from, datagram) in inbox.datagrams() {
                let common = self.commons.get(at);
                match common.and_then(|common| common.owner(socket, from, datagram)) {
                    Some(leg) => self.arrived(leg, socket, from, datagram),
                    None => strangers += 1,
                }
            }
            if strangers > 0 {
                telemetry::observe(&telemetry::Event::Strangers(strangers));
            }
            if read < MANY {
                return;
            }
        }
    }

    /// A datagram came for a leg.
    fn arrived(&mut self, at: usize, socket: Socket, from: SocketAddr, datagram: &[u8]) {
        let (now, Some(slot)) = (self.now, self.slots.get_mut(at)) else { return };
        if let (Some(course), Socket::Rtp) = (&mut slot.course, socket) {
            course.rtp(now, &Line { sent: false, from, to: slot.address }, datagram);
        }
        show(&self.shared, now, &slot.verification, || {
            let ((protocol, to), bytes) = (slot.port(socket), datagram.to_vec());
            Act::Packet(Packet { protocol, from, to, sent: false, bytes })
        });
        self.give(
            at,
            now,
            match socket {
                Socket::Rtp => Input::Rtp { from, datagram },
                Socket::Rtcp => Input::Rtcp { from, datagram },
            },
        );
    }

    /// Wakes the legs whose deadline has come, and sends what they say.
    fn lapse(&mut self) {
        let mut now = self.shared.clock.now();
        let mut woken = std::mem::take(&mut self.woken);
        self.wheel.turn(now, &mut woken);
        for (n, at) in woken.drain(..).enumerate() {
            if n % BY_ONE_CLOCK == BY_ONE_CLOCK - 1 {
                now = self.shared.clock.now();
            }
            match self.slots.get(at).map(|slot| slot.deadline) {
                Some(deadline) if deadline <= now => self.give(at, now, Input::Lapsed),
                Some(deadline) => self.wheel.set(at, deadline),
                None => {}
            }
        }
        self.woken = woken;
        self.commons.iter_mut().for_each(Common::send);
    }

    /// Gives every leg an input.
    fn give_all(&mut self, now: Timestamp, input: impl Fn() -> Input<'static>) {
        self.slots.all().into_iter().for_each(|at| self.give(at, now, input()));
    }

    /// Gives a leg an input, and does what it says.
    fn give(&mut self, at: usize, now: Timestamp, input: Input<'_>) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let mut outbox = std::mem::take(&mut self.outbox);
        // A bug that one peer's bytes can reach must not take the other calls with it.
        let survived = catch_unwind(AssertUnwindSafe(|| slot.leg.on(now, input, &mut outbox)));
        if survived.is_err() {
            return self.bury(at);
        }
        let (commons, buffer) = (&mut *self.commons, &mut self.buffer);
        let mut effects = Effects { shared: &self.shared, commons, buffer };
        let mut stuck = None;
        for output in outbox.drain(..) {
            if matches!(output, Output::Rtp { .. }) {
                // It was for this that the leg was woken.
                self.meter.sent(now.since(slot.deadline));
            }
            stuck = effects.carry_out(slot, now, output).or(stuck);
        }
        if let Some(hop) = stuck {
            // What comes of it may be stuck as well; that is not asked again.
            slot.leg.on(now, Input::Unreachable { hop }, &mut outbox);
            for output in outbox.drain(..) {
                effects.carry_out(slot, now, output);
            }
        }
        self.outbox = outbox;
        slot.deadline = slot.leg.deadline().map_or(Timestamp::MAX, |(at, _)| at);
        self.wheel.set(at, slot.deadline);
        if slot.leg.is_silent() && (slot.stage != Stage::Parted || slot.leg.finished()) {
            self.part(at);
        }
    }

    /// Listens, on a shared port, to where a leg's media come from now.
    fn follow(&mut self, at: usize, now: Timestamp) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let (wanted, ssrc) = (slot.leg.remote(), slot.leg.source());
        let Some(Media::Common { at: port, remote }) = &mut slot.media else { return };
        let Some(common) = self.commons.get_mut(*port).filter(|_| *remote != wanted) else {
            return;
        };
        if let Some(before) = remote.take() {
            common.origins.leave(now, before, at, ssrc);
        }
        match wanted.map(|wanted| common.origins.claim(wanted, at)) {
            Some(Ok(())) => *remote = wanted,
            Some(Err(Clash { other })) => {
                other.into_iter().chain([at]).for_each(|leg| self.move_out(leg, now));
            }
            None => {}
        }
    }

    /// Lets go of what a silent leg no longer needs: its ports at once, its attempt when its
    /// goodbye is answered, and at last its Call-ID.
    fn part(&mut self, at: usize) {
        let Some(mut slot) = self.slots.remove(at) else { return };
        self.silence(at, &mut slot);
        if !slot.leg.is_leaving() {
            self.retire(&mut slot);
        }
        if slot.leg.finished() {
            self.retire(&mut slot);
            self.shared.forget(slot.leg.call_id());
            self.wheel.forget(at);
        } else {
            self.slots.insert(slot);
        }
    }

    /// Removes a leg whose machine panicked; its verification fails, and never approves.
    fn bury(&mut self, at: usize) {
        let Some(mut slot) = self.slots.remove(at) else { return };
        self.wheel.forget(at);
        let error = io::Error::other("a call's machine panicked");
        telemetry::observe(&telemetry::Event::Fault { doing: "run a call", error: &error });
        let cause = Cause::because(Reason::NodeLost, "a fault of the gateway");
        let signal = Signal::Ended { attempt: slot.attempt, cause };
        let _ = self.shared.signals.send((slot.verification.clone(), signal));
        self.silence(at, &mut slot);
        self.retire(&mut slot);
        self.shared.forget(slot.leg.call_id());
    }

    /// Two calls have one far end at a shared port, and nobody could tell whose a packet is: each gets
    /// ports of its own, and the far end is told.
    fn move_out(&mut self, at: usize, now: Timestamp) {
        let Some(ip) = self.slots.get(at).map(|slot| slot.address.ip()) else { return };
        let moved = self.shared.ports.take(ip, now).and_then(|pair| {
            let address = pair.address;
            Ok((address, self.moor(at, Berth::Own(pair), now)?))
        });
        let Some(slot) = self.slots.get_mut(at) else { return };
        self.shared.ports.crowd(&slot.trunk);
        let input = match moved {
            Ok((address, media)) => {
                (slot.address, slot.media) = (address, Some(media));
                Input::Moved { port: address.port() }
            }
            Err(error) => {
                telemetry::observe(&telemetry::Event::Fault { doing: "move RTP", error: &error });
                Input::Stop
            }
        };
        self.give(at, now, input);
    }

    /// Gives the ports back: nothing more will be heard or said.
    fn silence(&mut self, at: usize, slot: &mut Slot) {
        let now = self.shared.clock.now();
        match slot.media.take() {
            None => return,
            Some(Media::Own { mut rtp, mut rtcp }) => {
                let _ = self.poll.registry().deregister(&mut rtp);
                let _ = self.poll.registry().deregister(&mut rtcp);
                drop((rtp, rtcp));
                self.shared.ports.give_back(slot.address.port(), now);
            }
            Some(Media::Common { at: port, remote }) => {
                if let (Some(common), Some(remote)) = (self.commons.get_mut(port), remote) {
                    common.origins.leave(now, remote, at, slot.leg.source());
                }
            }
        }
        self.sounding -= 1;
        self.places.give_back(slot.place);
        self.meter.left();
        telemetry::observe(&telemetry::Event::Pairs(self.shared.ports.bound()));
        telemetry::observe(&telemetry::Event::LegOver { quality: &slot.leg.report() });
    }

    /// Gives the attempt's seat back.
    fn retire(&self, slot: &mut Slot) {
        if slot.stage != Stage::Parted {
            slot.stage = Stage::Parted;
            if let (Some(courses), Some(course)) = (&self.shared.courses, slot.course.take()) {
                courses.end(slot.verification.clone(), course.end());
            }
            let from = Some(slot.state);
            telemetry::observe(&telemetry::Event::Went { from, to: None });
            self.shared.retire(&(slot.verification.clone(), slot.attempt));
        }
    }
}

/// Keeps a SIP message with what its call has, and tells of it.
fn keep_sip(
    shared: &Shared,
    slot: &mut Slot,
    now: Timestamp,
    line: Line,
    by: Transport,
    message: &[u8],
) {
    if slot.course.is_none() && shared.hep.is_none() {
        return;
    }
    let masked = mask::masked(message);
    if let Some(hep) = &shared.hep {
        hep.tell(now, line, by, &masked);
    }
    if let Some(course) = &mut slot.course {
        course.sip(now, line, by, &masked);
    }
}

impl Shared {
    /// Gives an attempt's seat back.
    fn retire(&self, attempt: &(VerificationId, AttemptNo)) {
        if let Some(calls) = self.calls.get() {
            calls.retire(attempt);
            telemetry::observe(&telemetry::Event::Legs(calls.count()));
        }
    }

    /// Lets go of a Call-ID: the far end is owed nothing more.
    fn forget(&self, call_id: &str) {
        if let Some(calls) = self.calls.get() {
            calls.unseat(call_id);
            telemetry::observe(&telemetry::Event::Remembered(calls.remembered()));
        }
    }
}

/// Whose a token is.
enum Owner {
    Engine,
    Leg(usize, Socket),
    Common(usize, Socket),
}

/// The token of a leg's socket.
fn token(at: usize, socket: Socket) -> Token {
    Token(LEGS + 2 * at + usize::from(matches!(socket, Socket::Rtcp)))
}

fn owner(Token(token): Token) -> Owner {
    let socket = if token.is_multiple_of(2) { Socket::Rtp } else { Socket::Rtcp };
    match token {
        0 | 1 => Owner::Engine,
        2..LEGS => Owner::Common(token / 2 - 1, socket),
        LEGS.. => Owner::Leg((token - LEGS) / 2, socket),
    }
}
