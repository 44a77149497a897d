//! The sockets of the lab phone: one for SIP, two for each call, and a task that carries out what
//! the call wants.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::call::{Call, Input, Output, Place};
use super::words::{Behaviour, PhoneEvent};
use crate::ambient::{Clock, Entropy, secret};
use crate::sip::message::{self, Incoming};
use crate::sip::{Message, Method, stateless};

/// The largest datagram that IP can carry.
const DATAGRAM: usize = 65_535;

/// The largest RTP or RTCP packet that is read.
const PACKET: usize = 2_048;

/// How many messages may wait for one call; more are lost, as datagrams may be.
const WAITING: usize = 64;

/// How many ports are tried for a pair.
const TRIES: usize = 64;

/// How long a call may take to hang up when the phone is stopped.
const PARTING: Duration = Duration::from_secs(1);

/// A lab phone that takes calls.
pub struct Phone {
    address: SocketAddr,
    events: mpsc::UnboundedReceiver<PhoneEvent>,
    stop: watch::Sender<bool>,
    desk: JoinHandle<()>,
}

impl Phone {
    /// Begins to listen for SIP by UDP at `listen`; port 0 takes any.
    ///
    /// # Errors
    /// When the system does not give the port.
    pub async fn start(listen: SocketAddr, behaviour: Behaviour, clock: Clock) -> io::Result<Self> {
        let sip = UdpSocket::bind(listen).await?;
        let address = sip.local_addr()?;
        let (tell, events) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let desk = Desk {
            world: World { sip: Arc::new(sip), clock, tell, stopped },
            address,
            behaviour: Arc::new(behaviour),
            entropy: Entropy::system(),
            calls: HashMap::new(),
            tasks: JoinSet::new(),
        };
        Ok(Self { address, events, stop, desk: tokio::spawn(desk.work()) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happens, as it happens.
    pub fn events(&mut self) -> &mut mpsc::UnboundedReceiver<PhoneEvent> {
        &mut self.events
    }

    /// Hangs up on everybody and stops; gives the events that nobody has read, recordings among
    /// them.
    pub async fn stop(mut self) -> Vec<PhoneEvent> {
        // Whoever is gone needs no telling.
        let _ = self.stop.send(true);
        let _ = (&mut self.desk).await;
        let mut rest = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            rest.push(event);
        }
        rest
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.desk.abort();
    }
}

/// What all calls share.
#[derive(Clone)]
struct World {
    sip: Arc<UdpSocket>,
    clock: Clock,
    tell: mpsc::UnboundedSender<PhoneEvent>,
    stopped: watch::Receiver<bool>,
}

type Mail = (SocketAddr, Message);

/// Takes every datagram, and hands it to its call.
struct Desk {
    world: World,
    address: SocketAddr,
    behaviour: Arc<Behaviour>,
    entropy: Entropy,
    calls: HashMap<String, mpsc::Sender<Mail>>,
    tasks: JoinSet<String>,
}

impl Desk {
    async fn work(mut self) {
        let mut buffer = vec![0; DATAGRAM];
        let sip = Arc::clone(&self.world.sip);
        let mut stopped = self.world.stopped.clone();
        loop {
            tokio::select! {
                received = sip.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => {
                        self.received(from, buffer.get(..length).unwrap_or_default()).await;
                    }
                    // Linux reports ICMP errors of earlier sends here.
                    Err(_) => tokio::task::yield_now().await,
                },
                Some(done) = self.tasks.join_next() => self.forget(done.ok()),
                _ = stopped.changed() => break,
            }
        }
        // Each call ends by itself, soon.
        while !self.tasks.is_empty() {
            tokio::select! {
                received = sip.recv_from(&mut buffer) => if let Ok((length, from)) = received {
                    self.deliver(from, buffer.get(..length).unwrap_or_default());
                },
                Some(done) = self.tasks.join_next() => self.forget(done.ok()),
            }
        }
    }

    fn forget(&mut self, call_id: Option<String>) {
        match call_id {
            Some(call_id) => drop(self.calls.remove(&call_id)),
            None => self.calls.retain(|_, call| !call.is_closed()),
        }
    }

    /// Hands a message to the call it belongs to, if there is one.
    fn deliver(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Message> {
        let Ok(Incoming::Message(message)) = message::read(datagram) else { return None };
        match self.calls.get(message.call_id()) {
            Some(call) => {
                let _ = call.try_send((from, *message));
                None
            }
            None => Some(*message),
        }
    }

    async fn received(&mut self, from: SocketAddr, datagram: &[u8]) {
        let answer = match message::read(datagram) {
            Err(fault) => stateless::refuse_malformed(&fault, from, &self.entropy.token(12)),
            Ok(Incoming::KeepAlive) => None,
            Ok(Incoming::Message(_)) => match self.deliver(from, datagram) {
                None => None,
                Some(message) => {
                    let is_call = message.to_tag().is_none() && message.status().is_none();
                    if is_call && *message.method() == Method::Invite {
                        return self.called(from, message).await;
                    }
                    stateless::refuse(&message, from, &self.entropy.token(12))
                }
            },
        };
        if let Some(answer) = answer {
            // Whoever asks again is answered again.
            let _ = self.world.sip.send_to(&answer, from).await;
        }
    }

    async fn called(&mut self, from: SocketAddr, invite: Message) {
        let Ok((pair, sip)) = self.place(from).await else {
            let answer = stateless_busy(&invite, from, &self.entropy.token(12));
            let _ = self.world.sip.send_to(&answer, from).await;
            return;
        };
        let call_id = invite.call_id().to_owned();
        let (post, mail) = mpsc::channel(WAITING);
        self.calls.insert(call_id, post);
        let world = self.world.clone();
        let number = invite.request_uri().map(|uri| uri.user()).unwrap_or_default();
        // What is played may be long: it is copied for those alone that are told apart.
        let behaviour = match self.behaviour.by_number.is_empty() {
            true => Arc::clone(&self.behaviour),
            false => Arc::new(self.behaviour.to(&number)),
        };
        let entropy = self.entropy.fork();
        self.tasks.spawn(async move {
            let protection = behaviour.srtp.with(secret);
            let place = Place { sip, rtp: pair.address, protection };
            world.attend(from, &invite, place, pair, mail, &behaviour, entropy).await;
            invite.call_id().to_owned()
        });
    }

    /// A pair of RTP sockets, and how `from` reaches our SIP socket.
    async fn place(&self, from: SocketAddr) -> io::Result<(Pair, SocketAddr)> {
        let mut ip = self.address.ip();
        if ip.is_unspecified() {
            let probe = UdpSocket::bind(SocketAddr::new(ip, 0)).await?;
            probe.connect(from).await?;
            ip = probe.local_addr()?.ip();
        }
        Ok((Pair::bind(ip).await?, SocketAddr::new(ip, self.address.port())))
    }
}

/// RFC 3261 § 21.5.4: no ports are left.
fn stateless_busy(invite: &Message, from: SocketAddr, tag: &str) -> Vec<u8> {
    crate::sip::Response::to(invite, 503).received_from(from).to_tag(tag).to_bytes()
}

/// The sockets of one call: RTP on an even port, RTCP on the next (RFC 3550 § 11).
pub(super) struct Pair {
    pub(super) rtp: UdpSocket,
    rtcp: UdpSocket,
    pub(super) address: SocketAddr,
}

impl Pair {
    pub(super) async fn bind(ip: IpAddr) -> io::Result<Self> {
        for _ in 0..TRIES {
            let rtp = UdpSocket::bind(SocketAddr::new(ip, 0)).await?;
            let address = rtp.local_addr()?;
            if address.port() % 2 == 0
                && let Ok(rtcp) = UdpSocket::bind(SocketAddr::new(ip, address.port() + 1)).await
            {
                return Ok(Self { rtp, rtcp, address });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no pair of RTP ports is free"))
    }
}

impl World {
    /// Attends to one call to its end.
    #[expect(clippy::too_many_arguments, reason = "all that one call needs, once")]
    async fn attend(
        mut self,
        from: SocketAddr,
        invite: &Message,
        place: Place,
        pair: Pair,
        mut mail: mpsc::Receiver<Mail>,
        behaviour: &Arc<Behaviour>,
        entropy: Entropy,
    ) {
        let mut out = Vec::new();
        let began = self.clock.now();
        let call = Call::begin(began, from, invite, place, behaviour, entropy, &mut out);
        let Some(mut call) = call else { return };
        let call_id: Arc<str> = invite.call_id().into();
        let mut pair = Some(pair);
        let (mut heard, mut reported) = ([0; PACKET], [0; PACKET]);
        let mut patient_until = None;
        loop {
            self.carry_out(&call, &call_id, pair.as_ref(), &mut out).await;
            if call.is_mute() {
                pair = None;
            }
            if call.finished() || (patient_until.is_some() && call.is_over()) {
                return;
            }
            let next = call.deadline().into_iter().chain(patient_until).min();
            let wait = next.map(|at| at.since(self.clock.now()));
            let rtp = pair.as_ref().map(|pair| &pair.rtp);
            let rtcp = pair.as_ref().map(|pair| &pair.rtcp);
            tokio::select! {
                Some((from, message)) = mail.recv() => {
                    let input = Input::Sip { from, message: &message };
                    call.on(self.clock.now(), input, &mut out);
                }
                Some((length, from)) = receive(rtp, &mut heard) => {
                    let datagram = heard.get(..length).unwrap_or_default();
                    call.on(self.clock.now(), Input::Rtp { from, datagram }, &mut out);
                }
                Some((length, from)) = receive(rtcp, &mut reported) => {
                    let datagram = reported.get(..length).unwrap_or_default();
                    call.on(self.clock.now(), Input::Rtcp { from, datagram }, &mut out);
                }
                () = sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    let now = self.clock.now();
                    let is_enough = patient_until.is_some_and(|until| now >= until);
                    call.on(now, if is_enough { Input::Stop } else { Input::Lapsed }, &mut out);
                }
                _ = self.stopped.changed(), if patient_until.is_none() => {
                    let now = self.clock.now();
                    patient_until = Some(now + PARTING);
                    call.on(now, Input::Stop, &mut out);
                }
            }
        }
    }

    async fn carry_out(
        &self,
        call: &Call,
        call_id: &Arc<str>,
        pair: Option<&Pair>,
        out: &mut Vec<Output>,
    ) {
        for output in out.drain(..) {
            let (socket, to, datagram) = match output {
                Output::Sip { to, datagram } => (Some(&*self.sip), to, datagram),
                Output::Rtp { to, datagram } => (pair.map(|pair| &pair.rtp), to, datagram),
                Output::Rtcp { to, datagram } => (pair.map(|pair| &pair.rtcp), to, datagram),
                Output::Happened(what) => {
                    let at = self.clock.now();
                    let after = at.since(call.born());
                    let event = PhoneEvent { call: Arc::clone(call_id), at, after, what };
                    // Nobody need listen.
                    let _ = self.tell.send(event);
                    continue;
                }
            };
            if let Some(socket) = socket {
                // What is lost is repeated, or is a frame among many.
                let _ = socket.send_to(&datagram, to).await;
            }
        }
    }
}

/// The next datagram; never, without a socket. An error is the news of an earlier send.
async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        match socket.recv_from(buffer).await {
            Ok(received) => return Some(received),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
