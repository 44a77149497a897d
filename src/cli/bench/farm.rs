//! A farm of phones in one thread: one SIP socket, a few RTP sockets that all calls share, and a
//! tick of 1 ms in which a twentieth of the phones has its turn.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use super::phone::{Heard, Phone};
use crate::ambient::{Clock, Entropy, Timestamp};
use crate::sip::message::{self, Incoming};
use crate::sip::{Kind, Message, Method, Response, stateless};

/// RTP sockets. More than one, because each has a buffer of its own: calls are spread over them,
/// and a farm that is kept waiting loses nothing for a while.
const SOCKETS: usize = 64;

/// How often a pair of ports is sought for each of them.
const TRIES: usize = 64;

/// The turn of a twentieth of the phones.
const TICK: Duration = Duration::from_millis(1);

/// How many ticks are a frame.
const TURNS: u64 = 20;

/// The largest datagram that is read.
const DATAGRAM: usize = 4_096;

/// The token of the SIP socket; RTP sockets have those below, RTCP sockets those above.
const SIP: usize = SOCKETS;

/// How the phones behave that are called from now on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// From the INVITE, answered with 180 at once, to the 200.
    pub(super) answer_after: Duration,
    /// From the ACK to the `#`.
    pub(super) press_after: Duration,
    /// Whether they send silence, as phones do.
    pub(super) talk: bool,
    /// Whether they take calls in the ten manners of a crowd, and not all well.
    pub(super) mixed: bool,
}

/// A farm that works.
pub(super) struct Farm {
    /// Where it takes SIP.
    pub(super) address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    reports: Receiver<Heard>,
    late: Arc<Mutex<Vec<u64>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Farm {
    /// Starts a farm on loopback.
    pub(super) fn start(plan: Plan, clock: Clock) -> io::Result<Self> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut sip = UdpSocket::bind(loopback)?;
        let address = sip.local_addr()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut sip, Token(SIP), Interest::READABLE)?;
        let mut rtp = Vec::with_capacity(SOCKETS);
        for index in 0..SOCKETS {
            let mut pair = Pair::bind()?;
            let reports = Token(SIP + 1 + index);
            poll.registry().register(&mut pair.rtp, Token(index), Interest::READABLE)?;
            poll.registry().register(&mut pair.rtcp, reports, Interest::READABLE)?;
            rtp.push(pair);
        }
        let plan = Arc::new(Mutex::new(plan));
        let late = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, reports) = mpsc::channel();
        let desk = Desk {
            poll,
            sip,
            address,
            rtp,
            clock,
            entropy: Entropy::system(),
            plan: Arc::clone(&plan),
            late: Arc::clone(&late),
            stop: Arc::clone(&stop),
            tell,
            next: 0,
            phones: HashMap::new(),
            by_call_id: HashMap::new(),
            by_remote: HashMap::new(),
        };
        let thread = std::thread::Builder::new().name("phones".to_owned());
        let thread = Some(thread.spawn(move || desk.work())?);
        Ok(Self { address, plan, reports, late, stop, thread })
    }

    /// How the phones behave that are called from now on.
    pub(super) fn plan(&self, plan: Plan) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    /// What the phones measured whose calls have ended since the last time.
    pub(super) fn reports(&self) -> impl Iterator<Item = Heard> {
        self.reports.try_iter()
    }

    /// How late its ticks were since the last time, in microseconds: as much may be wrong with
    /// what it measured.
    pub(super) fn late(&self) -> Vec<u64> {
        std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// RTP on an even port, RTCP on the next (RFC 3550 section 11).
struct Pair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    address: SocketAddr,
}

impl Pair {
    fn bind() -> io::Result<Self> {
        for _ in 0..TRIES {
            let rtp = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let address = rtp.local_addr()?;
            let next = SocketAddr::new(address.ip(), address.port() | 1);
            if address.port() % 2 == 0
                && let Ok(rtcp) = UdpSocket::bind(next)
            {
                return Ok(Self { rtp, rtcp, address });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no pair of RTP ports is free"))
    }
}

/// The thread's own.
struct Desk {
    poll: Poll,
    sip: UdpSocket,
    address: SocketAddr,
    rtp: Vec<Pair>,
    clock: Clock,
    entropy: Entropy,
    plan: Arc<Mutex<Plan>>,
    late: Arc<Mutex<Vec<u64>>>,
    stop: Arc<AtomicBool>,
    tell: Sender<Heard>,
    next: u64,
    phones: HashMap<u64, Phone>,
    by_call_id: HashMap<String, u64>,
    by_remote: HashMap<SocketAddr, u64>,
}

impl Desk {
    fn work(mut self) {
        let mut events = Events::with_capacity(1_024);
        let mut buffer = vec![0; DATAGRAM];
        let (mut tick, mut turn) = (self.clock.now(), 0);
        while !self.stop.load(Ordering::Relaxed) {
            let patience = tick.since(self.clock.now());
            // An interrupted wait is as good as any.
            let _ = self.poll.poll(&mut events, Some(patience));
            for event in &events {
                self.receive(event.token(), &mut buffer);
            }
            let now = self.clock.now();
            while tick <= now {
                let late = u64::try_from(now.since(tick).as_micros()).unwrap_or(u64::MAX);
                self.late.lock().unwrap_or_else(PoisonError::into_inner).push(late);
                self.turn(turn);
                turn = (turn + 1) % TURNS;
                tick += TICK;
            }
        }
    }

    /// Reads what came in on a socket until there is no more.
    fn receive(&mut self, token: Token, buffer: &mut [u8]) {
        let index = token.0;
        loop {
            let received = match self.rtp.get(index % (SIP + 1)) {
                None => self.sip.recv_from(buffer),
                Some(pair) if index < SIP => pair.rtp.recv_from(buffer),
                Some(pair) => pair.rtcp.recv_from(buffer),
            };
            let Ok((length, from)) = received else { return };
            let (now, datagram) = (self.clock.now(), buffer.get(..length).unwrap_or_default());
            if index == SIP {
                self.signalled(now, from, datagram);
            } else if index < SIP
                && let Some(id) = self.by_remote.get(&from)
                && let Some(phone) = self.phones.get_mut(id)
            {
                phone.hears(now, datagram);
            }
        }
    }

    fn signalled(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8]) {
        let Ok(Incoming::Message(message)) = message::read(datagram) else { return };
        let Kind::Request { method } = message.kind() else { return };
        let known = self.by_call_id.get(message.call_id()).copied();
        let Some(phone) = known.and_then(|id| self.phones.get_mut(&id)) else {
            return self.stranger(now, from, &message, method);
        };
        let (answer, agrees) = match method {
            Method::Invite => (answer_of(phone), false),
            Method::Ack => return phone.acknowledged(now),
            Method::Cancel => (phone.canceled(now), true),
            Method::Bye => {
                phone.left(now);
                (None, !phone.is_gone())
            }
            Method::Register
            | Method::Options
            | Method::Info
            | Method::Prack
            | Method::Update
            | Method::Subscribe
            | Method::Notify
            | Method::Refer
            | Method::Message
            | Method::Publish
            | Method::Other(_) => (None, true),
        };
        if agrees {
            self.agree(from, &message);
        }
        if let Some(answer) = answer {
            self.send(answer);
        }
    }

    /// A request of no call that is up.
    fn stranger(&mut self, now: Timestamp, from: SocketAddr, message: &Message, method: &Method) {
        if *method == Method::Invite {
            return self.called(now, from, message);
        }
        if let Some(answer) = stateless::refuse(message, from, &self.entropy.token(10)) {
            self.send((from, answer));
        }
    }

    fn agree(&self, from: SocketAddr, request: &Message) {
        let answer = Response::to(request, 200).received_from(from).to_bytes();
        self.send((request.reply_address(from), answer));
    }

    /// What is lost is asked for again.
    fn send(&self, (to, datagram): (SocketAddr, Vec<u8>)) {
        let _ = self.sip.send_to(&datagram, to);
    }

    fn called(&mut self, now: Timestamp, from: SocketAddr, invite: &Message) {
        let id = self.next;
        let Some(pair) = pair_of(&self.rtp, id) else { return };
        let plan = *self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let (sip, rtp, entropy) = (self.address, pair.address, &mut self.entropy);
        let Some(phone) = Phone::called(now, from, invite, sip, rtp, plan, entropy) else {
            let answer = Response::to(invite, 488).received_from(from).to_tag("unfit").to_bytes();
            return self.send((invite.reply_address(from), answer));
        };
        self.next += 1;
        for garbage in phone.garbage() {
            self.send((phone.peer, garbage.to_vec()));
        }
        if let Some(answer) = answer_of(&phone) {
            self.send(answer);
        }
        self.by_call_id.insert(invite.call_id().to_owned(), id);
        self.by_remote.insert(phone.remote, id);
        self.phones.insert(id, phone);
    }

    /// A twentieth of the phones does what is due.
    fn turn(&mut self, turn: u64) {
        let mut over = Vec::new();
        for (id, phone) in self.phones.iter_mut().filter(|(id, _)| *id % TURNS == turn) {
            // One for each: what a phone sends is stamped just before it is sent.
            let now = self.clock.now();
            if phone.is_over(now) {
                over.push(*id);
                continue;
            }
            let (peer, remote) = (phone.peer, phone.remote);
            let (answer, frame) = phone.tick(now);
            if let Some(answer) = answer {
                let _ = self.sip.send_to(answer, peer);
            }
            if let (Some(frame), Some(pair)) = (frame, pair_of(&self.rtp, *id)) {
                let _ = pair.rtp.send_to(&frame, remote);
            }
        }
        for id in over {
            self.by_call_id.retain(|_, known| *known != id);
            if let Some(phone) = self.phones.remove(&id) {
                self.by_remote.remove(&phone.remote);
                // Whoever measures may have seen enough.
                let _ = self.tell.send(phone.report());
            }
        }
    }
}

fn pair_of(pairs: &[Pair], id: u64) -> Option<&Pair> {
    pairs.get(usize::try_from(id).unwrap_or(0) % SOCKETS)
}

/// What an INVITE is answered now, and where to.
fn answer_of(phone: &Phone) -> Option<(SocketAddr, Vec<u8>)> {
    phone.answer().map(|answer| (phone.peer, answer.to_vec()))
}
