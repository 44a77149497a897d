//! The SIP transports: read what comes in, find the call that a message belongs to, and hand it to
//! the thread that owns it. Requests outside any call are answered without state.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | which transport leads where, and whose a message is |
//! | `guard` | how much is spent on what belongs to no call, and who is answered |
//! | `udp` | datagrams, and what the network says of lost ones |
//! | `stream` | one connection, and how it is opened |
//! | `pool` | which connections stand; each one's task |
//! | `tls` | whom a certificate must be of |

mod guard;
mod pool;
pub mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod udp;
mod unconnected;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(super) use self::guard::{Guard, Known};
use self::pool::{Job, Party, Pool};
use self::udp::Line;
pub(super) use self::udp::address;
pub use self::unconnected::Unconnected;
use super::engine::{Command, EngineHandle, Gauge};
use super::settings::{Tls, TlsIdentity};
use super::watch::Heard;
use crate::ambient::{Clock, Entropy};
use crate::failpoint::{self, Point};
use crate::sip::message::{self, Incoming};
use crate::sip::{Hop, Message, Transport, Way, stateless};
use crate::telemetry::{self, Event};
use crate::verify::VerificationId;
use crate::verify::attempt::AttemptNo;

/// How long a fault of a socket keeps it from being read again.
const AFTER_FAULT: Duration = Duration::from_millis(100);

/// The SIP transports of this node. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Net(Arc<Transports>);

#[derive(Debug)]
struct Transports {
    lines: Vec<Arc<Line>>,
    /// What the listeners for connections are bound to.
    accepting: Vec<Hop>,
    pool: Arc<Pool>,
}

/// The listeners of this node, bound and not yet served.
pub(super) struct Listeners {
    lines: Vec<Arc<Line>>,
    accepting: Vec<(Hop, TcpListener, Option<Arc<ServerConfig>>)>,
    pool: Arc<Pool>,
    jobs: mpsc::UnboundedReceiver<Job>,
}

impl Net {
    /// Binds the listeners; those of TLS show this certificate.
    ///
    /// # Errors
    /// When the system refuses one, or its certificate cannot be used: which, and why.
    pub(super) fn bind(
        listen: &[Hop],
        identity: Option<&TlsIdentity>,
        clock: Clock,
    ) -> Result<(Self, Listeners), (Hop, io::Error)> {
        let (pool, jobs) = Pool::new(clock);
        let (mut lines, mut accepting, pool) = (Vec::new(), Vec::new(), Arc::new(pool));
        for hop in listen {
            let bound = match hop.transport {
                Transport::Udp => Line::bind(hop.address).map(|line| lines.push(Arc::new(line))),
                Transport::Tcp | Transport::Tls => {
                    accept_at(*hop, identity).map(|listener| accepting.push(listener))
                }
            };
            bound.map_err(|error| (*hop, error))?;
        }
        let bound = accepting.iter().map(|(hop, _, _)| *hop).collect();
        let listeners =
            Listeners { lines: lines.clone(), accepting, pool: Arc::clone(&pool), jobs };
        Ok((Self(Arc::new(Transports { lines, accepting: bound, pool })), listeners))
    }

    /// Where SIP is taken.
    pub(super) fn bound(&self) -> Vec<Hop> {
        let lines = self.0.lines.iter().map(|line| Hop::udp(line.bound));
        lines.chain(self.0.accepting.iter().copied()).collect()
    }

    /// A way out for what is said to one trunk: how its TLS is checked, and the name that its
    /// certificate must have unless the settings name another.
    pub(super) fn exit(&self, tls: &Tls, name: &str) -> Exit {
        let party = Party { tls: tls.clone(), name: name.to_owned() };
        Exit { net: self.clone(), party: Arc::new(party) }
    }

    /// The socket that leads to a peer, and our own address there.
    fn line_to(&self, peer: SocketAddr) -> Option<(&Line, SocketAddr)> {
        let mut lines = self.0.lines.iter();
        lines.find_map(|line| Some((&**line, udp::towards(line.bound, peer)?)))
    }

    /// The socket that leads to a peer. Where only one is of its family, the system need not be asked.
    fn line_for(&self, peer: SocketAddr) -> Option<&Line> {
        let mut lines = self.0.lines.iter().filter(|it| it.bound.is_ipv4() == peer.is_ipv4());
        match (lines.next(), lines.next()) {
            (Some(only), None) => Some(only),
            (_, _) => self.line_to(peer).map(|(line, _)| line),
        }
    }

    /// The listener that peers of this kind find us at, and our own address there.
    fn listener_to(&self, hop: Hop) -> Option<(SocketAddr, SocketAddr)> {
        let mut of_kind = self.0.accepting.iter().filter(|it| it.transport == hop.transport);
        of_kind.find_map(|it| Some((it.address, udp::towards(it.address, hop.address)?)))
    }

    /// The address to connect from, where a listener is bound to one.
    fn source_to(&self, hop: Hop) -> Option<IpAddr> {
        let (bound, _) = self.listener_to(hop)?;
        Some(bound.ip()).filter(|ip| !ip.is_unspecified())
    }
}

impl Listeners {
    /// Serves them, and the connections that are opened.
    pub(super) fn serve(self, calls: &Arc<Calls>, entropy: &mut Entropy, tasks: &mut JoinSet<()>) {
        for line in self.lines {
            tasks.spawn(line.read(Arc::clone(calls), entropy.fork()));
        }
        for (hop, listener, secure) in self.accepting {
            let (calls, pool) = (Arc::clone(calls), Arc::clone(&self.pool));
            tasks.spawn(accept(hop.transport, listener, secure, calls, pool));
        }
        tasks.spawn(self.pool.keep(self.jobs, Arc::clone(calls), entropy.fork()));
    }
}

fn accept_at(
    hop: Hop,
    identity: Option<&TlsIdentity>,
) -> io::Result<(Hop, TcpListener, Option<Arc<ServerConfig>>)> {
    let secure = match (hop.transport, identity) {
        (Transport::Udp | Transport::Tcp, _) => None,
        (Transport::Tls, Some(identity)) => Some(tls::server(identity).map_err(io::Error::other)?),
        (Transport::Tls, None) => return Err(io::Error::other("TLS needs a certificate")),
    };
    let listener = std::net::TcpListener::bind(hop.address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((Hop { address, ..hop }, TcpListener::from_std(listener)?, secure))
}

/// Takes connections until the runtime ends it.
async fn accept(
    transport: Transport,
    listener: TcpListener,
    secure: Option<Arc<ServerConfig>>,
    calls: Arc<Calls>,
    pool: Arc<Pool>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                if calls.guard.admits(address) {
                    pool.take(Hop { transport, address }, stream, secure.clone());
                }
            }
            // There may be no file left to open; the queue must not be spun on until there is.
            Err(error) => {
                telemetry::observe(&Event::Fault { doing: "accept SIP", error: &error });
                tokio::time::sleep(AFTER_FAULT).await;
            }
        }
    }
}

/// A way out for what is said to one trunk. Cheap to clone.
#[derive(Clone)]
pub(super) struct Exit {
    net: Net,
    party: Arc<Party>,
}

impl Exit {
    /// The way to a hop of the trunk: over a stream it is opened, unless it is open.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn way(&self, hop: Hop) -> Result<Way, Unconnected> {
        let local = match hop.transport {
            Transport::Udp => {
                let line = self.net.line_to(hop.address);
                line.ok_or(Unconnected::NoListener(hop))?.1
            }
            Transport::Tcp | Transport::Tls => {
                let (net, source) = (&self.net, self.net.source_to(hop));
                let local = net.0.pool.reach(hop, &self.party, source).await?;
                // A peer that opens a connection of its own finds us where we listen.
                let listener = net.listener_to(hop);
                listener.map_or(local, |(_, here)| SocketAddr::new(local.ip(), here.port()))
            }
        };
        Ok(Way { hop, local })
    }

    /// Sends a message at once: into a datagram, or into the queue of a connection.
    ///
    /// # Errors
    /// When the system refuses to take it, or no connection can be had.
    pub(super) fn send(&self, to: Hop, bytes: &[u8]) -> io::Result<()> {
        failpoint::pass(Point::SipBefore);
        let sent = match to.transport {
            Transport::Udp => {
                let nowhere = || io::Error::from(io::ErrorKind::NetworkUnreachable);
                let line = self.net.line_for(to.address).ok_or_else(nowhere)?;
                line.send(to.address, bytes)
            }
            Transport::Tcp | Transport::Tls => {
                self.net.0.pool.send(to, &self.party, self.net.source_to(to), bytes)
            }
        };
        failpoint::pass(Point::SipAfter);
        sent
    }
}

/// Hands a message to its call; what is returned answers one that belongs to none, and where to.
fn route(calls: &Calls, from: Hop, bytes: &[u8], entropy: &mut Entropy) -> Option<(Vec<u8>, Hop)> {
    let guard = &calls.guard;
    // What belongs to a live call is never held up; nobody else knows its Call-ID.
    let is_live = message::call_id_in(bytes).is_some_and(|call_id| calls.has(call_id));
    if !is_live && !guard.admits(from.address) {
        return None;
    }
    // A bug that some bytes can reach costs that message, and not the socket.
    let routed = catch_unwind(AssertUnwindSafe(|| match message::read(bytes) {
        Ok(Incoming::KeepAlive) => None,
        Ok(Incoming::Message(message)) => {
            let message = calls.deliver(from, bytes, message)?;
            if !guard.answers(from.address, message.kind().label()) {
                return None;
            }
            let reply = stateless::refuse(&message, from.address, &entropy.token(10))?;
            Some((reply, message.reply_hop(from)))
        }
        Err(fault) => {
            if !guard.answers(from.address, "malformed") {
                return None;
            }
            let reply = stateless::refuse_malformed(&fault, from.address, &entropy.token(10))?;
            Some((reply, from))
        }
    }));
    routed.unwrap_or_else(|_| {
        guard.answers(from.address, "panic");
        None
    })
}

/// Which thread owns which call.
#[derive(Debug)]
pub(super) struct Calls {
    engines: Vec<EngineHandle>,
    watch: mpsc::UnboundedSender<Heard>,
    seats: Mutex<Seats>,
    /// Of what belongs to none.
    guard: Guard,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    by_call_id: HashMap<String, Owner>,
    by_attempt: HashMap<(VerificationId, AttemptNo), Seat>,
}

/// Whose a message is.
#[derive(Clone, Copy, Debug)]
enum Owner {
    /// A leg's.
    Leg(Seat),
    /// The watch's: an answer to OPTIONS or REGISTER.
    Watch,
}

/// A leg's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    engine: usize,
    /// The leg's name on its engine.
    pub(super) leg: u64,
}

impl Calls {
    /// No calls yet, on these threads; what is learned of trunks is told to `watch`.
    pub(super) fn new(
        engines: Vec<EngineHandle>,
        guard: Guard,
        watch: mpsc::UnboundedSender<Heard>,
    ) -> Self {
        Self { engines, watch, seats: Mutex::default(), guard }
    }

    /// Tells the watch.
    pub(super) fn tell(&self, heard: Heard) {
        // A watch that is gone watches nothing more.
        let _ = self.watch.send(heard);
    }

    /// Answers with this Call-ID are for the watch from now on.
    pub(super) fn listen(&self, call_id: &str) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.by_call_id.insert(call_id.to_owned(), Owner::Watch);
    }

    /// How many ring, are up, or wait for the answer to their BYE.
    pub(super) fn count(&self) -> usize {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).by_attempt.len()
    }

    /// How many are remembered: those, and the ones whose signalling still owes the far end an
    /// answer.
    pub(super) fn remembered(&self) -> usize {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).by_call_id.len()
    }

    /// How each engine does.
    pub(super) fn gauges(&self) -> impl Iterator<Item = &Gauge> {
        self.engines.iter().map(EngineHandle::gauge)
    }

    /// The engine with the fewest calls, of those that take another where each may have so many.
    pub(super) fn roomiest(&self, most: usize) -> Option<usize> {
        let roomy = self.gauges().enumerate().filter(|(_, gauge)| gauge.has_room(most));
        roomy.min_by_key(|(_, gauge)| gauge.legs()).map(|(engine, _)| engine)
    }

    /// Tells an engine.
    pub(super) fn tell_engine(&self, engine: usize, command: Command) {
        if let Some(engine) = self.engines.get(engine) {
            engine.send(command);
        }
    }

    /// Gives a leg a seat and its engine the command that begins it, in one: whoever finds the
    /// seat finds the leg.
    pub(super) fn seat(
        &self,
        call_id: &str,
        attempt: (VerificationId, AttemptNo),
        engine: usize,
        begin: impl FnOnce(Seat) -> Command,
    ) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.next += 1;
        let leg = seats.next;
        let seat = Seat { engine, leg };
        seats.by_call_id.insert(call_id.to_owned(), Owner::Leg(seat));
        seats.by_attempt.insert(attempt, seat);
        self.command(seat, begin(seat));
    }

    /// Forgets an attempt whose leg has said goodbye; its signalling may still owe the far end
    /// answers.
    pub(super) fn retire(&self, attempt: &(VerificationId, AttemptNo)) {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).by_attempt.remove(attempt);
        self.tell(Heard::Retired(attempt.clone()));
    }

    /// Forgets whose messages with this Call-ID are.
    pub(super) fn unseat(&self, call_id: &str) {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).by_call_id.remove(call_id);
    }

    /// The seat of an attempt's leg, if it is here.
    pub(super) fn of(&self, attempt: &(VerificationId, AttemptNo)) -> Option<Seat> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).by_attempt.get(attempt).copied()
    }

    /// Tells a leg's engine.
    pub(super) fn command(&self, seat: Seat, command: Command) {
        self.tell_engine(seat.engine, command);
    }

    /// Tells every engine.
    pub(super) fn command_all(&self, command: impl Fn() -> Command) {
        self.engines.iter().for_each(|engine| engine.send(command()));
    }

    /// Tells the watch that our connection to this hop is gone.
    fn disconnected(&self, hop: Hop) {
        self.tell(Heard::Lost(hop));
    }

    /// Tells every leg, and the watch, that what was sent there did not arrive.
    fn unreachable(&self, hop: Hop) {
        self.tell(Heard::Unreachable(hop));
        self.command_all(|| Command::Unreachable { hop });
    }

    /// Whether there is a leg of this Call-ID.
    fn has(&self, call_id: &str) -> bool {
        let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.by_call_id.contains_key(call_id)
    }

    /// Hands a message to its leg; gives it back when there is none.
    fn deliver(&self, from: Hop, datagram: &[u8], message: Box<Message>) -> Option<Box<Message>> {
        let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = seats.by_call_id.get(message.call_id()).copied();
        drop(seats);
        match (owner, message.status()) {
            (Some(Owner::Leg(seat)), _) => {
                let datagram = datagram.to_vec();
                self.command(seat, Command::Sip { leg: seat.leg, from, datagram, message });
            }
            (Some(Owner::Watch), Some(_)) => self.tell(Heard::Message(message)),
            (Some(Owner::Watch), None) | (None, _) => return Some(message),
        }
        None
    }
}
