//! The connections of this node: opened when they are needed, shared, kept alive, and closed when
//! nobody uses them. Each is carried by a task of its own, and fed through a bounded queue.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::stream::{Connection, connect_from};
use super::{Calls, Unconnected, route};
use crate::ambient::{Clock, Entropy, Timestamp};
use crate::gateway::settings::Tls;
use crate::sip::flow::{Due, Flow};
use crate::sip::frame::Frame;
use crate::sip::{Hop, Transport};
use crate::telemetry::{self, Event};

/// How many messages may wait to be written to one connection.
const QUEUE: usize = 512;

/// How many connections we take at a time, of all and of one address.
const TAKEN: usize = 1_024;
const TAKEN_OF_ONE: usize = 64;

/// How long it is not tried again to connect after a failure: at first, and at most.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MOST: Duration = Duration::from_secs(8);

/// Whom TLS is checked for. What was checked for one trunk says nothing to another.
#[derive(PartialEq, Eq)]
pub(super) struct Party {
    pub(super) tls: Tls,
    pub(super) name: String,
}

/// Where the connections are. Its keeper runs them.
pub(super) struct Pool {
    clock: Clock,
    places: Mutex<Places>,
    jobs: mpsc::UnboundedSender<Job>,
}

#[derive(Default)]
struct Places {
    next: u64,
    of: HashMap<Hop, Vec<Place>>,
    taken: HashMap<IpAddr, usize>,
}

struct Place {
    id: u64,
    /// `None`: the peer opened it.
    party: Option<Arc<Party>>,
    /// How often in a row it came to nothing before.
    failures: u32,
    state: State,
}

enum State {
    Open(Handle),
    /// It came to nothing, and is not tried before then.
    Down {
        until: Timestamp,
        why: Unconnected,
    },
}

#[derive(Clone)]
struct Handle {
    queue: mpsc::Sender<Vec<u8>>,
    /// Our own address on it, once it stands.
    stands: watch::Receiver<Option<Result<SocketAddr, Unconnected>>>,
}

/// A connection to be carried.
pub(super) struct Job {
    id: u64,
    hop: Hop,
    origin: Origin,
    queue: mpsc::Receiver<Vec<u8>>,
    stands: watch::Sender<Option<Result<SocketAddr, Unconnected>>>,
}

enum Origin {
    Ours { party: Arc<Party>, source: Option<IpAddr> },
    Theirs { stream: TcpStream, secure: Option<Arc<ServerConfig>> },
}

impl Pool {
    /// No connections yet; what is to be carried comes out of the channel.
    pub(super) fn new(clock: Clock) -> (Self, mpsc::UnboundedReceiver<Job>) {
        let (jobs, to_do) = mpsc::unbounded_channel();
        (Self { clock, places: Mutex::default(), jobs }, to_do)
    }

    /// Our own address on a connection to this hop, which is opened unless it stands.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn reach(
        &self,
        hop: Hop,
        party: &Arc<Party>,
        source: Option<IpAddr>,
    ) -> Result<SocketAddr, Unconnected> {
        let mut stands = self.handle(&mut self.lock(), hop, party, source)?.stands;
        let found = stands.wait_for(Option::is_some).await.map_err(|_| Unconnected::Closed)?;
        found.clone().unwrap_or(Err(Unconnected::Closed))
    }

    /// Queues a message for a connection to this hop: ours, else the peer's own, else a new one.
    ///
    /// # Errors
    /// When there is none to be had, or it takes no more.
    pub(super) fn send(
        &self,
        hop: Hop,
        party: &Arc<Party>,
        source: Option<IpAddr>,
        bytes: &[u8],
    ) -> io::Result<()> {
        // Under the lock: a connection that ends first leaves its place, and then sees to whatever
        // is in its queue.
        let mut places = self.lock();
        let theirs = places.open(hop, None).filter(|_| places.open(hop, Some(party)).is_none());
        let handle = match theirs {
            Some(handle) => handle,
            None => self.handle(&mut places, hop, party, source).map_err(io::Error::other)?,
        };
        handle.queue.try_send(bytes.to_vec()).map_err(|_| io::Error::other("its queue is full"))
    }

    /// Takes a connection that a peer opened; too many are closed at once.
    pub(super) fn take(&self, hop: Hop, stream: TcpStream, secure: Option<Arc<ServerConfig>>) {
        let mut places = self.lock();
        let all: usize = places.taken.values().sum();
        let of_one = places.taken.entry(hop.address.ip()).or_default();
        if all >= TAKEN || *of_one >= TAKEN_OF_ONE {
            let why = Unconnected::Unusable("too many connections are open".to_owned());
            return lost(hop, &why);
        }
        *of_one += 1;
        self.begin(&mut places, hop, None, Origin::Theirs { stream, secure });
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Our connection to this hop, which is begun unless it is there.
    fn handle(
        &self,
        places: &mut Places,
        hop: Hop,
        party: &Arc<Party>,
        source: Option<IpAddr>,
    ) -> Result<Handle, Unconnected> {
        let now = self.clock.now();
        match places.find(hop, Some(party)).map(|place| &place.state) {
            Some(State::Open(handle)) => return Ok(handle.clone()),
            Some(State::Down { until, why, .. }) if now < *until => return Err(why.clone()),
            Some(State::Down { .. }) | None => {}
        }
        let origin = Origin::Ours { party: Arc::clone(party), source };
        Ok(self.begin(places, hop, Some(Arc::clone(party)), origin))
    }

    fn begin(
        &self,
        places: &mut Places,
        hop: Hop,
        party: Option<Arc<Party>>,
        origin: Origin,
    ) -> Handle {
        places.next += 1;
        let (id, now) = (places.next, self.clock.now());
        let (sender, queue) = mpsc::channel(QUEUE);
        let (stands, standing) = watch::channel(None);
        let handle = Handle { queue: sender, stands: standing };
        places.forget_old(now);
        let failures = places.leave(hop, party.as_ref()).map_or(0, |place| place.failures);
        let place = Place { id, party, failures, state: State::Open(handle.clone()) };
        places.of.entry(hop).or_default().push(place);
        // Without a keeper the process is on its way out.
        let _ = self.jobs.send(Job { id, hop, origin, queue, stands });
        handle
    }

    /// Runs every connection until the runtime ends it.
    pub(super) async fn keep(
        self: Arc<Self>,
        mut jobs: mpsc::UnboundedReceiver<Job>,
        calls: Arc<Calls>,
        mut entropy: Entropy,
    ) {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                Some(job) = jobs.recv() => {
                    let (pool, calls) = (Arc::clone(&self), Arc::clone(&calls));
                    let entropy = entropy.fork();
                    running.spawn(async move { pool.carry(job, &calls, entropy).await });
                }
                Some(_) = running.join_next() => {}
            }
        }
    }
    /// Carries one connection from its beginning to its end.
    async fn carry(&self, job: Job, calls: &Calls, entropy: Entropy) {
        let Job { id, hop, origin, mut queue, stands } = job;
        let theirs = matches!(origin, Origin::Theirs { .. });
        let opened = match origin {
            Origin::Ours { party, source } => {
                connect_from(source, hop, &party.tls, &party.name).await
            }
            Origin::Theirs { stream, secure } => Connection::accept(stream, secure).await,
        };
        let (why, unanswered, was_of_use) = match opened {
            Ok(connection) => {
                stands.send_replace(Some(Ok(connection.local)));
                let flow = Flow::new(self.clock.now(), !theirs);
                let (unanswered, spoke) = (false, false);
                let mut talk = Talk { hop, connection, flow, unanswered, spoke };
                let why = talk.run(&self.clock, &mut queue, calls, entropy).await;
                let why = why.err().unwrap_or(Unconnected::Silent);
                // One that nobody needed any more is no failure.
                let was_of_use = talk.spoke || why == Unconnected::Silent;
                (why, talk.unanswered, was_of_use)
            }
            Err(why) => (why, false, false),
        };
        lost(hop, &why);
        self.end(hop, id, theirs, (!was_of_use).then_some(&why));
        stands.send_replace(Some(Err(why)));
        queue.close();
        if unanswered || queue.try_recv().is_ok() {
            calls.unreachable(hop);
        }
        if !theirs {
            calls.disconnected(hop);
        }
    }

    /// A connection has left its place, and is to be remembered if it came to nothing.
    fn end(&self, hop: Hop, id: u64, theirs: bool, failed: Option<&Unconnected>) {
        let mut places = self.lock();
        if theirs && let Some(count) = places.taken.get_mut(&hop.address.ip()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                places.taken.remove(&hop.address.ip());
            }
        }
        let Some(at_hop) = places.of.get_mut(&hop) else { return };
        let Some(place) = at_hop.iter_mut().find(|place| place.id == id) else { return };
        match failed.filter(|_| !theirs) {
            Some(why) => {
                let pause = PAUSE.saturating_mul(1 << place.failures.min(8)).min(PAUSE_MOST);
                place.failures += 1;
                place.state = State::Down { until: self.clock.now() + pause, why: why.clone() };
            }
            None => {
                at_hop.retain(|place| place.id != id);
                if at_hop.is_empty() {
                    places.of.remove(&hop);
                }
            }
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Places {
    fn find(&self, hop: Hop, party: Option<&Arc<Party>>) -> Option<&Place> {
        self.of.get(&hop)?.iter().find(|place| place.is_of(hop, party))
    }

    fn open(&self, hop: Hop, party: Option<&Arc<Party>>) -> Option<Handle> {
        match &self.find(hop, party)?.state {
            State::Open(handle) => Some(handle.clone()),
            State::Down { .. } => None,
        }
    }

    fn leave(&mut self, hop: Hop, party: Option<&Arc<Party>>) -> Option<Place> {
        let at_hop = self.of.get_mut(&hop)?;
        let at = at_hop.iter().position(|place| place.is_of(hop, party))?;
        Some(at_hop.swap_remove(at))
    }

    /// Lets go of failures that nobody asks about any more.
    fn forget_old(&mut self, now: Timestamp) {
        let is_fresh = |place: &Place| match &place.state {
            State::Open(_) => true,
            State::Down { until, .. } => now < *until + PAUSE_MOST,
        };
        self.of.retain(|_, at_hop| {
            at_hop.retain(is_fresh);
            !at_hop.is_empty()
        });
    }
}

impl Place {
    /// In clear it does not matter whose trunk it is.
    fn is_of(&self, hop: Hop, party: Option<&Arc<Party>>) -> bool {
        match (&self.party, party) {
            (Some(mine), Some(asked)) => hop.transport == Transport::Tcp || mine == asked,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// A connection that stands.
struct Talk {
    hop: Hop,
    connection: Connection,
    flow: Flow,
    /// Whether something was sent after the last message that came: it may not have arrived.
    unanswered: bool,
    /// Whether a message ever came.
    spoke: bool,
}

impl Talk {
    /// Sends what is queued and hands on what comes, until there is a reason not to.
    async fn run(
        &mut self,
        clock: &Clock,
        queue: &mut mpsc::Receiver<Vec<u8>>,
        calls: &Calls,
        mut entropy: Entropy,
    ) -> Result<(), Unconnected> {
        loop {
            let mut frames = Vec::new();
            let (at, _) = self.flow.deadline();
            tokio::select! {
                read = self.connection.read(&mut frames) => {
                    self.heard(clock.now(), frames, calls, &mut entropy).await?;
                    read?;
                }
                Some(bytes) = queue.recv() => {
                    self.unanswered = true;
                    self.connection.send(&bytes).await?;
                    self.flow.sent(clock.now());
                }
                () = tokio::time::sleep(at.since(clock.now())) => {
                    match self.flow.lapsed(clock.now()) {
                        Some(Due::Ping) => self.connection.send(b"\r\n\r\n").await?,
                        Some(Due::Dead) => return Err(Unconnected::TimedOut),
                        Some(Due::Half | Due::Idle) => return Err(Unconnected::Silent),
                        None => {}
                    }
                }
            }
        }
    }

    async fn heard(
        &mut self,
        now: Timestamp,
        frames: Vec<Frame>,
        calls: &Calls,
        entropy: &mut Entropy,
    ) -> Result<(), Unconnected> {
        self.flow.heard(now, &frames, self.connection.is_amid());
        for frame in frames {
            match frame {
                Frame::Message(bytes) => {
                    (self.unanswered, self.spoke) = (false, true);
                    if let Some((reply, _)) = route(calls, self.hop, &bytes, entropy) {
                        self.connection.send(&reply).await?;
                    }
                }
                Frame::Ping => self.connection.send(b"\r\n").await?,
                Frame::Pong => {}
            }
        }
        Ok(())
    }
}

fn lost(hop: Hop, why: &Unconnected) {
    let (peer, transport) = (hop.address, hop.transport.as_param());
    telemetry::observe(&Event::Disconnected { peer, transport, why });
}
