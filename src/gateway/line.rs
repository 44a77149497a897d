//! The SIP sockets: reads datagrams, finds the call they belong to, and hands them to the thread
//! that owns it. Requests outside any call are answered without state.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::engine::{Command, EngineHandle};
use crate::ambient::Entropy;
use crate::sip::message::{self, Incoming};
use crate::sip::{Hop, Kind, Message, stateless};
use crate::telemetry::{self, Event};
use crate::verify::VerificationId;
use crate::verify::attempt::AttemptNo;

/// How long a fault of a socket keeps it from being read again.
const AFTER_FAULT: Duration = Duration::from_millis(100);

/// The largest datagram that IP can carry.
const DATAGRAM: usize = 65_535;

/// One SIP socket. The sending half is a plain socket, so that the thread that owns a call sends
/// at once, without a detour through the runtime.
#[derive(Debug)]
pub(super) struct Line {
    send: Arc<UdpSocket>,
    receive: tokio::net::UdpSocket,
    /// What it is bound to; the address may be a wildcard.
    pub(super) bound: SocketAddr,
}

/// A way out for one call.
#[derive(Clone, Debug)]
pub(super) struct Exit {
    socket: Arc<UdpSocket>,
    /// How the far end reaches us through it.
    pub(super) local: SocketAddr,
}

impl Exit {
    /// Sends a message at once.
    ///
    /// # Errors
    /// When the system refuses to take it.
    pub(super) fn send(&self, to: Hop, bytes: &[u8]) -> io::Result<()> {
        self.socket.send_to(bytes, to.address).map(drop)
    }
}

impl Line {
    /// Binds a SIP socket.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn bind(listen: SocketAddr) -> io::Result<Self> {
        let send = UdpSocket::bind(listen)?;
        send.set_nonblocking(true)?;
        let receive = tokio::net::UdpSocket::from_std(send.try_clone()?)?;
        let bound = send.local_addr()?;
        Ok(Self { send: Arc::new(send), receive, bound })
    }

    /// The way through this socket to `next_hop`, if the system has one: a socket bound to
    /// loopback leads to no other machine.
    pub(super) fn exit(&self, next_hop: SocketAddr) -> Option<Exit> {
        if self.bound.is_ipv4() != next_hop.is_ipv4() {
            return None;
        }
        let ip = source_for(self.bound.ip(), next_hop).ok()?;
        let local = SocketAddr::new(ip, self.bound.port());
        Some(Exit { socket: Arc::clone(&self.send), local })
    }

    /// Reads until the runtime ends it.
    async fn read(&self, calls: &Calls, mut entropy: Entropy) {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let (length, from) = match self.receive.recv_from(&mut buffer).await {
                Ok(received) => received,
                // The socket may recover, and must not fill the log until it does.
                Err(error) => {
                    telemetry::observe(&Event::Fault { doing: "receive SIP", error: &error });
                    tokio::time::sleep(AFTER_FAULT).await;
                    continue;
                }
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            // A bug that some bytes can reach costs that datagram, and not the socket.
            let routed =
                catch_unwind(AssertUnwindSafe(|| route(calls, datagram, from, &mut entropy)));
            match routed {
                // A reply that does not fit now is asked for again.
                Ok(Some((reply, to))) => drop(self.send.send_to(&reply, to)),
                Ok(None) => {}
                Err(_) => telemetry::observe(&Event::Malformed { from, why: "it panics" }),
            }
        }
    }
}

/// Hands a datagram to its call; what is returned answers one that belongs to none.
fn route(
    calls: &Calls,
    datagram: &[u8],
    from: SocketAddr,
    entropy: &mut Entropy,
) -> Option<(Vec<u8>, SocketAddr)> {
    match message::read(datagram) {
        Ok(Incoming::KeepAlive) => None,
        Ok(Incoming::Message(message)) => {
            let message = calls.deliver(Hop::udp(from), datagram, message)?;
            telemetry::observe(&Event::Stray { from });
            match message.kind() {
                Kind::Request { .. } => {
                    let reply = stateless::refuse(&message, from, &entropy.token(10))?;
                    Some((reply, message.reply_address(from)))
                }
                Kind::Response { .. } => None,
            }
        }
        Err(fault) => {
            telemetry::observe(&Event::Malformed { from, why: "not SIP" });
            let reply = stateless::refuse_malformed(&fault, from, &entropy.token(10))?;
            Some((reply, from))
        }
    }
}

/// Serves every line.
pub(super) fn serve(
    lines: &[Arc<Line>],
    calls: &Arc<Calls>,
    entropy: &mut Entropy,
    tasks: &mut JoinSet<()>,
) {
    for line in lines {
        let (line, calls, entropy) = (Arc::clone(line), Arc::clone(calls), entropy.fork());
        tasks.spawn(async move { line.read(&calls, entropy).await });
    }
}

/// The address that a socket bound to `bound` sends from.
fn source_for(bound: IpAddr, next_hop: SocketAddr) -> io::Result<IpAddr> {
    let probe = UdpSocket::bind(SocketAddr::new(bound, 0))?;
    // Connecting a datagram socket sends nothing; it asks for the route.
    probe.connect(next_hop)?;
    Ok(probe.local_addr()?.ip())
}

/// Which thread owns which call.
#[derive(Debug)]
pub(super) struct Calls {
    engines: Vec<EngineHandle>,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    by_call_id: HashMap<String, Seat>,
    by_attempt: HashMap<(VerificationId, AttemptNo), Seat>,
}

/// A leg's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    engine: usize,
    /// The leg's name on its engine.
    pub(super) leg: u64,
}

impl Calls {
    /// No calls yet, on these threads.
    pub(super) fn new(engines: Vec<EngineHandle>) -> Self {
        Self { engines, seats: Mutex::default() }
    }

    /// How many ring, are up, or wait for the answer to their BYE.
    pub(super) fn count(&self) -> usize {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).by_attempt.len()
    }

    /// Gives a leg a seat and its engine the command that begins it, in one: whoever finds the
    /// seat finds the leg.
    pub(super) fn seat(
        &self,
        call_id: &str,
        attempt: (VerificationId, AttemptNo),
        begin: impl FnOnce(Seat) -> Command,
    ) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.next += 1;
        let leg = seats.next;
        let engine = usize::try_from(leg).unwrap_or(0) % self.engines.len().max(1);
        let seat = Seat { engine, leg };
        seats.by_call_id.insert(call_id.to_owned(), seat);
        seats.by_attempt.insert(attempt, seat);
        self.command(seat, begin(seat));
    }

    /// Forgets an attempt whose leg has said goodbye; its signalling may still owe the far end
    /// answers.
    pub(super) fn retire(&self, attempt: &(VerificationId, AttemptNo)) {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).by_attempt.remove(attempt);
    }

    /// Forgets a leg that is gone.
    pub(super) fn unseat(&self, call_id: &str) {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).by_call_id.remove(call_id);
    }

    /// The seat of an attempt's leg, if it is here.
    pub(super) fn of(&self, attempt: &(VerificationId, AttemptNo)) -> Option<Seat> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).by_attempt.get(attempt).copied()
    }

    /// Tells a leg's engine.
    pub(super) fn command(&self, seat: Seat, command: Command) {
        if let Some(engine) = self.engines.get(seat.engine) {
            engine.send(command);
        }
    }

    /// Tells every engine.
    pub(super) fn command_all(&self, command: impl Fn() -> Command) {
        self.engines.iter().for_each(|engine| engine.send(command()));
    }

    /// Hands a message to its leg; gives it back when there is none.
    fn deliver(&self, from: Hop, datagram: &[u8], message: Box<Message>) -> Option<Box<Message>> {
        let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seat) = seats.by_call_id.get(message.call_id()).copied() else {
            return Some(message);
        };
        drop(seats);
        let datagram = datagram.to_vec();
        self.command(seat, Command::Sip { leg: seat.leg, from, datagram, message });
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loopback_socket_leads_to_no_other_machine() {
        let line = Line::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let near = line.exit("127.0.0.1:5060".parse().unwrap()).unwrap();
        assert_eq!(near.local, line.bound);
        assert!(line.exit("198.51.100.7:5060".parse().unwrap()).is_none());
        assert!(line.exit("[::1]:5060".parse().unwrap()).is_none());
    }

    #[tokio::test]
    async fn a_wildcard_socket_shows_the_address_it_sends_from() {
        let line = Line::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let exit = line.exit("127.0.0.1:5060".parse().unwrap()).unwrap();
        assert_eq!(exit.local.ip(), IpAddr::from([127, 0, 0, 1]));
    }
}
