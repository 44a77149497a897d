//! The far end of all calls, in one thread: phones that play recorded speech, and count what comes.
//!
//! Each phone has an address of its own, and a few sockets are enough for all of them, as in a trunk's
//! media gateway: a socket bound to no address hears all of 127.0.0.0/8, and says as which of them it
//! sends.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::sockopt::RcvBuf;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg, setsockopt};

use crate::ambient::{Clock, Entropy, Timestamp};
use crate::gateway::lab::{Inbox, MANY};
use crate::media::events::{self, Step};
use crate::media::g711::RATE;
use crate::media::prompt::{Pack, PhraseId};
use crate::media::sdp::{self, Origin};
use crate::media::{Codec, Digit, MediaSession, Payload, Protection};

/// How many sockets all phones share.
const SOCKETS: usize = 16;

/// The first port that is tried for them: apart from those of whoever calls.
const FIRST: u16 = 40_000;

/// How much may wait on each of them, in bytes.
const BUFFER: usize = 4 * 1_024 * 1_024;

/// The turn of a twentieth of the phones.
const TICK: Duration = Duration::from_millis(1);

/// How many ticks are a frame.
const TURNS: usize = 20;

/// A phone that is called.
pub(super) struct Phone {
    /// Which of the sockets is its.
    socket: usize,
    address: SocketAddr,
    session: MediaSession,
    /// Which frame of the speech comes next.
    frame: usize,
    /// What it presses first.
    steps: VecDeque<Step>,
}

impl Phone {
    /// Presses the star key, which has the question repeated, by telephone-events.
    pub(super) fn press(&mut self) {
        self.steps = events::press(Digit::STAR, self.session.timestamp(), RATE / 10).into();
    }

    /// Takes an offer; the answer to it.
    pub(super) fn offered(&mut self, now: Timestamp, offer: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(self.session.offered(now, Some(offer))?)
    }

    /// Speaks with whoever takes RTP there, without having been asked.
    pub(super) fn speak_to(&mut self, now: Timestamp, there: SocketAddr) -> anyhow::Result<()> {
        let origin = Origin { id: 1, version: 1, local: there };
        Ok(self.session.answered(now, &sdp::offer(origin, &Codec::USUAL, &Protection::Off))?)
    }

    /// Where it is.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The phones, at work.
pub(super) struct Peer {
    phones: Option<Sender<Phone>>,
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
    /// The ports of the sockets.
    ports: Vec<u16>,
    entropy: Entropy,
    made: usize,
}

/// What the phones and whoever measures tell each other.
#[derive(Default)]
struct Told {
    plays: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    /// How late the phones' ticks were, in microseconds.
    late: Mutex<Vec<u64>>,
}

impl Peer {
    /// A thread without phones. They say a phrase of these prompts over and over.
    pub(super) fn start(clock: Clock, prompts: Arc<Pack>) -> anyhow::Result<Self> {
        let (phones, called) = mpsc::channel();
        let told = Arc::new(Told::default());
        let speech = prompts.greeting(None)?;
        let sockets = sockets()?;
        let ports = sockets.iter().map(|it| Ok(it.local_addr()?.port()));
        let ports = ports.collect::<io::Result<_>>()?;
        let work = Work { clock, prompts, speech, sockets, called, told: Arc::clone(&told) };
        let thread = std::thread::Builder::new().name("phones".to_owned());
        let thread = Some(thread.spawn(move || work.run())?);
        let (phones, entropy) = (Some(phones), Entropy::system());
        Ok(Self { phones, told, thread, ports, entropy, made: 0 })
    }

    /// The next phone.
    pub(super) fn phone(&mut self, srtp: Protection) -> anyhow::Result<Phone> {
        let (socket, [high, low, ..]) =
            (self.made % SOCKETS, u16::try_from(self.made / SOCKETS)?.to_be_bytes());
        self.made += 1;
        let port = self.ports.get(socket).copied().unwrap_or_default();
        let address = SocketAddr::from((Ipv4Addr::new(127, 1, high, low), port));
        let session = MediaSession::new(address, srtp, self.entropy.fork());
        let frame = usize::try_from(self.entropy.below(1_000))?;
        Ok(Phone { socket, address, session, frame, steps: VecDeque::new() })
    }

    /// Adds a phone to those that work.
    pub(super) fn add(&self, phone: Phone) {
        if let Some(phones) = &self.phones {
            // A thread that is gone is found by its silence.
            let _ = phones.send(phone);
        }
    }

    /// Whether the phones play from now on.
    pub(super) fn play(&self, plays: bool) {
        self.told.plays.store(plays, Ordering::Relaxed);
    }

    /// The packets that they sent and received.
    pub(super) fn counts(&self) -> (u64, u64) {
        let Told { sent, received, .. } = &*self.told;
        (sent.load(Ordering::Relaxed), received.load(Ordering::Relaxed))
    }

    /// How late they were, in microseconds, since the last time: as much may be wrong with what they
    /// count.
    pub(super) fn late(&self) -> Vec<u64> {
        std::mem::take(&mut *self.told.late.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.phones.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sockets on even ports.
fn sockets() -> io::Result<Vec<UdpSocket>> {
    let (mut sockets, mut ports) = (Vec::new(), (FIRST..u16::MAX).step_by(2));
    while sockets.len() < SOCKETS {
        let port = ports.next().ok_or(io::ErrorKind::AddrInUse)?;
        match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)) {
            Ok(socket) => {
                // Where the system gives less, its limit shows as loss.
                setsockopt(&socket, RcvBuf, &BUFFER)?;
                socket.set_nonblocking(true)?;
                sockets.push(socket);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

struct Work {
    clock: Clock,
    prompts: Arc<Pack>,
    speech: PhraseId,
    sockets: Vec<UdpSocket>,
    called: Receiver<Phone>,
    told: Arc<Told>,
}

impl Work {
    fn run(self) {
        let (mut phones, mut datagram, mut inbox) = (Vec::new(), Vec::new(), Inbox::new());
        let (mut due, mut turn) = (self.clock.now(), 0);
        loop {
            loop {
                match self.called.try_recv() {
                    Ok(phone) => phones.push(phone),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
            let now = self.clock.now();
            let late = u64::try_from(now.since(due).as_micros()).unwrap_or(u64::MAX);
            self.told.late.lock().unwrap_or_else(PoisonError::into_inner).push(late);
            self.hear(&mut inbox);
            if self.told.plays.load(Ordering::Relaxed) {
                let turn = phones.iter_mut().skip(turn).step_by(TURNS);
                turn.for_each(|phone| self.play(phone, now, &mut datagram));
            }
            turn = (turn + 1) % TURNS;
            due += TICK;
            std::thread::sleep(due.since(self.clock.now()));
        }
    }

    /// Counts what has come.
    fn hear(&self, inbox: &mut Inbox) {
        for socket in &self.sockets {
            loop {
                let read = inbox.read::<MANY>(socket.as_raw_fd());
                let is_rtp = |it: &[u8]| it.len() > 12 && it.first().is_some_and(|it| it >> 6 == 2);
                let received = inbox.datagrams().filter(|(_, it)| is_rtp(it)).count();
                self.told.received.fetch_add(received as u64, Ordering::Relaxed);
                if read < MANY {
                    break;
                }
            }
        }
    }

    /// A phone says its next 20 ms.
    fn play(&self, phone: &mut Phone, now: Timestamp, datagram: &mut Vec<u8>) {
        let frames = self.prompts.phrase(self.speech).map_or(1, |phrase| phrase.frames().max(1));
        let speech = Payload::Prompt { phrase: self.speech, frame: phone.frame % frames };
        let payload = phone.steps.pop_front().map_or(speech, Payload::Event);
        phone.frame += 1;
        let Some(packet) = phone.session.frame(now, payload) else { return };
        let octets = payload.bytes(&self.prompts, phone.session.codec());
        phone.session.datagram(&packet, octets, datagram);
        let (Some(socket), SocketAddr::V4(here)) = (self.sockets.get(phone.socket), phone.address)
        else {
            return;
        };
        let here = libc::in_addr { s_addr: u32::from_ne_bytes(here.ip().octets()) };
        let nowhere = libc::in_addr { s_addr: 0 };
        let from = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: here, ipi_addr: nowhere };
        let sent = sendmsg(
            socket.as_raw_fd(),
            &[IoSlice::new(datagram)],
            &[ControlMessage::Ipv4PacketInfo(&from)],
            MsgFlags::MSG_DONTWAIT,
            Some(&SockaddrStorage::from(packet.to)),
        );
        if sent.is_ok() {
            self.told.sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}
