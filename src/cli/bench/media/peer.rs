//! The far end of all calls, in one thread: a phone for each, at an address of its own, that plays
//! recorded speech and counts what comes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use crate::ambient::{Clock, Entropy, Timestamp};
use crate::media::prompt::{Pack, PhraseId};
use crate::media::sdp::{self, Origin};
use crate::media::{MediaSession, Payload, Protection};

/// Where the phones are: apart from the ports of whoever calls them.
const HERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The first of their ports.
const FIRST: u16 = 10_000;

/// The turn of a twentieth of the phones.
const TICK: Duration = Duration::from_millis(1);

/// How many ticks are a frame.
const TURNS: usize = 20;

/// The longest datagram that is told apart from a longer one.
const DATAGRAM: usize = 512;

/// A phone that is called.
pub(super) struct Phone {
    socket: UdpSocket,
    session: MediaSession,
    /// Which frame of the speech comes next.
    frame: usize,
}

impl Phone {
    /// A phone at the next free port from `port` on, which is moved on.
    pub(super) fn new(
        port: &mut u16,
        srtp: Protection,
        entropy: &mut Entropy,
    ) -> anyhow::Result<Self> {
        let socket = loop {
            let bound = UdpSocket::bind((HERE, (*port).max(FIRST)));
            *port = (*port).max(FIRST).checked_add(2).context("no port is left for phones")?;
            match bound {
                Ok(socket) => break socket,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error.into()),
            }
        };
        socket.set_nonblocking(true)?;
        let session = MediaSession::new(socket.local_addr()?, srtp, entropy.fork());
        let frame = usize::try_from(entropy.below(1_000))?;
        Ok(Self { socket, session, frame })
    }

    /// Takes an offer; the answer to it.
    pub(super) fn offered(&mut self, now: Timestamp, offer: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(self.session.offered(now, Some(offer))?)
    }

    /// Speaks with whoever takes RTP there, without having been asked.
    pub(super) fn speak_to(&mut self, now: Timestamp, there: SocketAddr) -> anyhow::Result<()> {
        let origin = Origin { id: 1, version: 1, local: there };
        Ok(self.session.answered(now, &sdp::offer(origin, &Protection::Off))?)
    }

    /// Where it is.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// The phones, at work.
pub(super) struct Peer {
    phones: Option<Sender<Phone>>,
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
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
        let work = Work { clock, prompts, speech, called, told: Arc::clone(&told) };
        let thread = std::thread::Builder::new().name("phones".to_owned());
        let thread = Some(thread.spawn(move || work.run())?);
        Ok(Self { phones: Some(phones), told, thread })
    }

    /// Adds a phone.
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

struct Work {
    clock: Clock,
    prompts: Arc<Pack>,
    speech: PhraseId,
    called: Receiver<Phone>,
    told: Arc<Told>,
}

impl Work {
    fn run(self) {
        let (mut phones, mut datagram) = (Vec::new(), Vec::new());
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
            phones.iter_mut().skip(turn).step_by(TURNS).for_each(|phone| {
                self.turn(phone, now, &mut datagram);
            });
            turn = (turn + 1) % TURNS;
            due += TICK;
            std::thread::sleep(due.since(self.clock.now()));
        }
    }

    /// Counts what has come to a phone, and plays.
    fn turn(&self, phone: &mut Phone, now: Timestamp, datagram: &mut Vec<u8>) {
        let mut buffer = [0; DATAGRAM];
        let mut received = 0;
        while let Ok(length) = phone.socket.recv(&mut buffer) {
            let is_rtp = length > 12 && buffer.first().is_some_and(|it| it >> 6 == 2);
            received += u64::from(is_rtp);
        }
        self.told.received.fetch_add(received, Ordering::Relaxed);
        if !self.told.plays.load(Ordering::Relaxed) {
            return;
        }
        let frames = self.prompts.phrase(self.speech).map_or(1, |phrase| phrase.frames().max(1));
        let payload = Payload::Prompt { phrase: self.speech, frame: phone.frame % frames };
        phone.frame += 1;
        let Some(packet) = phone.session.frame(now, payload) else { return };
        let octets = payload.bytes(&self.prompts, phone.session.law());
        phone.session.datagram(&packet, octets, datagram);
        if phone.socket.send_to(datagram, packet.to).is_ok() {
            self.told.sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}
