//! The media threads: each owns its legs from birth to death (signalling state, media, dialogue)
//! and the RTP sockets that belong to them. No task, timer or lock per call.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};

use super::hearing;
use super::line::{Calls, Exit};
use super::ports::{Pair, Ports};
use super::tap::{Act, Packet, Protocol, Scene, Tap};
use super::watch::{self, Heard};
use crate::ambient::{Clock, Timestamp};
use crate::media::prompt::Pack;
use crate::media::script::Close;
use crate::sip::{Hop, Message};
use crate::telemetry;
use crate::verify::VerificationId;
use crate::verify::attempt::AttemptNo;
use crate::verify::signal::{Cause, Farewell, Reason, Signal};
use crate::voice::{Event, Input, Leg, Output, Path};

/// Wakes a thread that has nothing to do but look whether it should end.
const IDLE: Duration = Duration::from_secs(1);

/// The largest datagram that is looked at; what is longer is cut, and dropped as oversized.
const DATAGRAM: usize = 2_048;

/// The most datagrams read from one socket at a time. A phone sends one each 20 ms.
const READ_MOST: usize = 64;

/// The token of the waker; legs have the tokens from 2 on, two each.
const WAKER: Token = Token(0);

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
    /// What was sent there did not arrive.
    Unreachable {
        /// Where.
        hop: Hop,
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
    /// Its RTP and RTCP sockets.
    pub(super) pair: Pair,
}

/// What engines share.
pub(super) struct Shared {
    /// The time.
    pub(super) clock: Clock,
    /// The phrases.
    pub(super) prompts: Arc<Pack>,
    /// The RTP ports.
    pub(super) ports: Ports,
    /// Which leg sits where; known once the engines are.
    pub(super) calls: OnceLock<Arc<Calls>>,
    /// Where what was learned goes.
    pub(super) signals: tokio::sync::mpsc::UnboundedSender<(VerificationId, Signal)>,
    /// Who looks on.
    pub(super) tap: Option<Tap>,
}

/// How to reach an engine.
#[derive(Debug)]
pub(super) struct EngineHandle {
    commands: Sender<Command>,
    waker: Arc<Waker>,
}

impl EngineHandle {
    /// Tells it something.
    pub(super) fn send(&self, command: Command) {
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
    (EngineHandle { commands, waker }, receiver)
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
    let engine = Engine {
        shared,
        poll,
        commands: receiver,
        slots: HashMap::new(),
        earliest: Timestamp::MAX,
        outbox: Vec::new(),
        buffer: vec![0; DATAGRAM],
    };
    let thread =
        std::thread::Builder::new().name(format!("engine-{index}")).spawn(move || engine.run())?;
    Ok((EngineHandle { commands, waker }, thread))
}

struct Engine {
    shared: Arc<Shared>,
    poll: Poll,
    commands: Receiver<Command>,
    /// Boxed: the table keeps room for twice as many as there are, in places that wander.
    slots: HashMap<u64, Box<Slot>>,
    /// No leg's deadline is before this.
    earliest: Timestamp,
    outbox: Vec<Output>,
    buffer: Vec<u8>,
}

struct Slot {
    leg: Leg,
    verification: VerificationId,
    attempt: AttemptNo,
    trunk: String,
    exit: Exit,
    local: SocketAddr,
    address: SocketAddr,
    /// Until the leg is silent: what is left of it then is signalling.
    media: Option<Media>,
    stage: Stage,
    deadline: Timestamp,
}

/// Whether an attempt's leg still counts as a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It rings, is up, or waits for the answer to its BYE.
    Live,
    /// Its signalling may still owe the far end an answer.
    Parted,
}

struct Media {
    rtp: mio::net::UdpSocket,
    rtcp: mio::net::UdpSocket,
}

#[derive(Clone, Copy)]
enum Socket {
    Rtp,
    Rtcp,
}

impl Engine {
    fn run(mut self) {
        let mut events = Events::with_capacity(1_024);
        loop {
            let now = self.shared.clock.now();
            let patience = self.earliest.since(now).min(IDLE);
            if let Err(error) = self.poll.poll(&mut events, Some(patience))
                && error.kind() != io::ErrorKind::Interrupted
            {
                telemetry::observe(&telemetry::Event::Fault { doing: "poll", error: &error });
            }
            while let Ok(command) = self.commands.try_recv() {
                if matches!(command, Command::Exit) {
                    return;
                }
                self.obey(command);
            }
            for event in &events {
                self.receive(event.token());
            }
            self.lapse();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Begin { leg, seat } => self.begin(leg, *seat),
            Command::Sip { leg, from, datagram, message } => {
                let now = self.shared.clock.now();
                if let Some(slot) = self.slots.get(&leg) {
                    let local = slot.local;
                    let packet = Packet {
                        protocol: Protocol::Sip(from.transport),
                        from: from.address,
                        to: local,
                        sent: false,
                        bytes: datagram,
                    };
                    show(&self.shared, now, &slot.verification, || Act::Packet(packet));
                }
                self.give(leg, now, Input::Sip { from, message: &message });
            }
            Command::Close { leg, farewell } => {
                let now = self.shared.clock.now();
                let input = match farewell {
                    Farewell::Thanks => Input::Close(Close::Thanks),
                    Farewell::Reported => Input::Close(Close::Fraud),
                    Farewell::Denied => Input::Close(Close::Denied),
                    Farewell::Mismatch => Input::Close(Close::Mismatch),
                    Farewell::NoInput => Input::Close(Close::Goodbye),
                    Farewell::Silent => Input::Stop,
                };
                self.give(leg, now, input);
            }
            Command::Unreachable { hop } => self.give_all(|| Input::Unreachable { hop }),
            Command::StopAll => self.give_all(|| Input::Stop),
            Command::Exit => {}
        }
    }

    fn begin(&mut self, leg: u64, seat: Occupant) {
        let Pair { rtp, rtcp, address } = seat.pair;
        let mut media = Media {
            rtp: mio::net::UdpSocket::from_std(rtp),
            rtcp: mio::net::UdpSocket::from_std(rtcp),
        };
        let registry = self.poll.registry();
        let registered = token(leg, Socket::Rtp)
            .and_then(|token| registry.register(&mut media.rtp, token, Interest::READABLE))
            .and_then(|()| token(leg, Socket::Rtcp))
            .and_then(|token| registry.register(&mut media.rtcp, token, Interest::READABLE));
        let mut slot = Box::new(Slot {
            leg: seat.leg,
            verification: seat.verification,
            attempt: seat.attempt,
            trunk: seat.trunk,
            exit: seat.exit,
            local: seat.local,
            address,
            media: Some(media),
            stage: Stage::Live,
            deadline: Timestamp::MAX,
        });
        if let Err(error) = registered {
            telemetry::observe(&telemetry::Event::Fault { doing: "watch RTP", error: &error });
            let signal = ended(&slot, Cause::because(Reason::Congested, "no socket to be had"));
            let _ = self.shared.signals.send((slot.verification.clone(), signal));
            self.silence(&mut slot);
            self.retire(&mut slot);
            return self.forget(&slot);
        }
        self.slots.insert(leg, slot);
        self.give(leg, self.shared.clock.now(), Input::Start);
    }

    /// Reads what came in on a socket until there is no more.
    fn receive(&mut self, token: Token) {
        let Some((leg, socket)) = owner(token) else { return };
        let mut buffer = std::mem::take(&mut self.buffer);
        // One port that is flooded must not keep the others from being heard: the rest waits for
        // the next packet, and what does not fit into the socket is lost.
        for _ in 0..READ_MOST {
            let Some(slot) = self.slots.get(&leg) else { break };
            let Some(media) = &slot.media else { break };
            let (from_socket, protocol) = match socket {
                Socket::Rtp => (&media.rtp, Protocol::Rtp),
                Socket::Rtcp => (&media.rtcp, Protocol::Rtcp),
            };
            let (length, from) = match from_socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Nothing left, or an ICMP error of an earlier send.
                Err(_) => break,
            };
            let now = self.shared.clock.now();
            let datagram = buffer.get(..length).unwrap_or_default();
            show(&self.shared, now, &slot.verification, || {
                let bytes = datagram.to_vec();
                Act::Packet(Packet { protocol, from, to: slot.address, sent: false, bytes })
            });
            match socket {
                Socket::Rtp => self.give(leg, now, Input::Rtp { from, datagram }),
                Socket::Rtcp => self.give(leg, now, Input::Rtcp { from, datagram }),
            }
        }
        self.buffer = buffer;
    }

    /// Wakes the legs whose deadline has come.
    fn lapse(&mut self) {
        let now = self.shared.clock.now();
        if now < self.earliest {
            return;
        }
        let due: Vec<u64> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.deadline <= now)
            .map(|(leg, _)| *leg)
            .collect();
        self.earliest = self
            .slots
            .values()
            .map(|slot| slot.deadline)
            .filter(|deadline| *deadline > now)
            .min()
            .unwrap_or(Timestamp::MAX);
        for leg in due {
            self.give(leg, now, Input::Lapsed);
        }
    }

    /// Gives every leg an input.
    fn give_all(&mut self, input: impl Fn() -> Input<'static>) {
        let now = self.shared.clock.now();
        let legs: Vec<u64> = self.slots.keys().copied().collect();
        legs.into_iter().for_each(|leg| self.give(leg, now, input()));
    }

    /// Gives a leg an input, and does what it says.
    fn give(&mut self, leg: u64, now: Timestamp, input: Input<'_>) {
        let Some(slot) = self.slots.get_mut(&leg) else { return };
        let mut outbox = std::mem::take(&mut self.outbox);
        // A bug that one peer's bytes can reach must not take the other calls with it.
        let survived = catch_unwind(AssertUnwindSafe(|| slot.leg.on(now, input, &mut outbox)));
        if survived.is_err() {
            return self.bury(leg);
        }
        let mut stuck = None;
        for output in outbox.drain(..) {
            stuck = carry_out(&self.shared, slot, now, output).or(stuck);
        }
        if let Some(hop) = stuck {
            // What comes of it may be stuck as well; that is not asked again.
            slot.leg.on(now, Input::Unreachable { hop }, &mut outbox);
            for output in outbox.drain(..) {
                carry_out(&self.shared, slot, now, output);
            }
        }
        self.outbox = outbox;
        slot.deadline = slot.leg.deadline().map_or(Timestamp::MAX, |(at, _)| at);
        self.earliest = self.earliest.min(slot.deadline);
        if slot.leg.is_silent() && (slot.stage != Stage::Parted || slot.leg.finished()) {
            self.part(leg);
        }
    }

    /// Lets go of what a silent leg no longer needs: its ports at once, its attempt when its
    /// goodbye is answered, and at last its Call-ID.
    fn part(&mut self, leg: u64) {
        let Some(mut slot) = self.slots.remove(&leg) else { return };
        self.silence(&mut slot);
        if !slot.leg.is_leaving() {
            self.retire(&mut slot);
        }
        if slot.leg.finished() {
            self.retire(&mut slot);
            self.forget(&slot);
        } else {
            self.slots.insert(leg, slot);
        }
    }

    /// Removes a leg whose machine panicked; its verification fails, and never approves.
    fn bury(&mut self, leg: u64) {
        let Some(mut slot) = self.slots.remove(&leg) else { return };
        let error = io::Error::other("a call's machine panicked");
        telemetry::observe(&telemetry::Event::Fault { doing: "run a call", error: &error });
        let signal = ended(&slot, Cause::because(Reason::NodeLost, "a fault of the gateway"));
        let _ = self.shared.signals.send((slot.verification.clone(), signal));
        self.silence(&mut slot);
        self.retire(&mut slot);
        self.forget(&slot);
    }

    /// Gives the ports back: nothing more will be heard or said.
    fn silence(&self, slot: &mut Slot) {
        let Some(mut media) = slot.media.take() else { return };
        let _ = self.poll.registry().deregister(&mut media.rtp);
        let _ = self.poll.registry().deregister(&mut media.rtcp);
        drop(media);
        self.shared.ports.give_back(slot.address.port(), self.shared.clock.now());
        telemetry::observe(&telemetry::Event::Pairs(self.shared.ports.bound()));
        telemetry::observe(&telemetry::Event::LegOver { quality: &slot.leg.report() });
    }

    /// Gives the attempt's seat back.
    fn retire(&self, slot: &mut Slot) {
        if slot.stage == Stage::Parted {
            return;
        }
        slot.stage = Stage::Parted;
        if let Some(calls) = self.shared.calls.get() {
            calls.retire(&(slot.verification.clone(), slot.attempt));
            telemetry::observe(&telemetry::Event::Legs(calls.count()));
        }
    }

    /// Lets go of the Call-ID: the far end is owed nothing more.
    fn forget(&self, slot: &Slot) {
        if let Some(calls) = self.shared.calls.get() {
            calls.unseat(slot.leg.call_id());
            telemetry::observe(&telemetry::Event::Remembered(calls.remembered()));
        }
    }
}

/// Does what a leg says; where the system refuses to send its signalling to.
fn carry_out(shared: &Shared, slot: &mut Slot, now: Timestamp, output: Output) -> Option<Hop> {
    match output {
        Output::Sip { to, bytes } => {
            if let Err(error) = slot.exit.send(to, &bytes) {
                telemetry::observe(&telemetry::Event::Fault { doing: "send SIP", error: &error });
                // A full buffer is a lost datagram, which its transaction sends again.
                return (error.kind() != io::ErrorKind::WouldBlock).then_some(to);
            }
            let (protocol, from, to) = (Protocol::Sip(to.transport), slot.local, to.address);
            show(shared, now, &slot.verification, || {
                Act::Packet(Packet { protocol, from, to, sent: true, bytes })
            });
        }
        Output::Rtp { packet, law } => {
            let bytes = slot.leg.datagram(&packet, law);
            send(shared, slot, now, Protocol::Rtp, packet.to, &bytes);
            show(shared, now, &slot.verification, || {
                let codes = packet.payload.bytes(slot.leg.prompts(), law).to_vec();
                Act::Spoken { timestamp: packet.timestamp(), law, codes }
            });
        }
        Output::Rtcp { to, packet } => send(shared, slot, now, Protocol::Rtcp, to, &packet),
        Output::Event(event) => learned(shared, slot, now, event),
        Output::Note(note) => {
            let verification = slot.verification.as_str();
            telemetry::observe(&telemetry::Event::Noted { verification, note: &note });
        }
    }
    None
}

/// Sends a media packet. One that does not fit into the socket's buffer now is lost, as it would
/// be anywhere on its way.
fn send(
    shared: &Shared,
    slot: &Slot,
    now: Timestamp,
    protocol: Protocol,
    to: SocketAddr,
    bytes: &[u8],
) {
    let Some(media) = &slot.media else { return };
    let (socket, port) = match protocol {
        Protocol::Rtcp => (&media.rtcp, slot.address.port() + 1),
        Protocol::Rtp | Protocol::Sip(_) => (&media.rtp, slot.address.port()),
    };
    let _ = socket.send_to(bytes, to);
    let from = SocketAddr::new(slot.address.ip(), port);
    show(shared, now, &slot.verification, || {
        Act::Packet(Packet { protocol, from, to, sent: true, bytes: bytes.to_vec() })
    });
}

/// Tells the verification what its leg learned.
fn learned(shared: &Shared, slot: &Slot, now: Timestamp, event: Event) {
    match &event {
        Event::Saying(phrase) => {
            let text = slot.leg.prompts().phrase(*phrase).map(|phrase| phrase.text.as_str().into());
            let text = text.unwrap_or_default();
            show(shared, now, &slot.verification, || Act::Saying(text));
        }
        Event::Key(key) => show(shared, now, &slot.verification, || Act::Key {
            digit: if slot.leg.hides_keys() { '•' } else { key.digit.expose() },
            path: key.paths.iter().next().map_or("", Path::as_str),
        }),
        Event::Alerting { .. }
        | Event::Answered { .. }
        | Event::Prompting
        | Event::Listening
        | Event::Telling
        | Event::Heard { .. }
        | Event::Proven(_)
        | Event::Ended(_) => {}
    }
    if let (Some(called), Some(calls)) = (watch::called(&event), shared.calls.get()) {
        calls.tell(Heard::Called(slot.trunk.clone(), called));
    }
    if let Some(signal) = hearing::signal(slot.attempt, &slot.trunk, &event) {
        // When nobody takes signals any more, the process is on its way out.
        let _ = shared.signals.send((slot.verification.clone(), signal));
    }
}

fn ended(slot: &Slot, cause: Cause) -> Signal {
    Signal::Ended { attempt: slot.attempt, cause }
}

fn show(shared: &Shared, at: Timestamp, verification: &VerificationId, act: impl FnOnce() -> Act) {
    if let Some(tap) = &shared.tap {
        tap.show(Scene { at, verification: verification.clone(), act: act() });
    }
}

/// The token of a leg's socket.
fn token(leg: u64, socket: Socket) -> io::Result<Token> {
    let leg = usize::try_from(leg).map_err(|_| io::Error::other("too many calls"))?;
    Ok(Token(2 * leg + usize::from(matches!(socket, Socket::Rtcp))))
}

/// The leg and socket of a token; legs count from 1.
fn owner(token: Token) -> Option<(u64, Socket)> {
    let leg = u64::try_from(token.0 / 2).ok().filter(|leg| *leg > 0)?;
    Some((leg, if token.0.is_multiple_of(2) { Socket::Rtp } else { Socket::Rtcp }))
}
