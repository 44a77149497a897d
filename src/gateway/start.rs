//! Starting a gateway and ending it politely.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::access::Callers;
use super::board::Board;
use super::course::Courses;
use super::dispatch::{Dispatcher, Hands, Job, report};
use super::engine::{self, Command, Shared};
use super::hands::Trunks;
use super::hep::Hep;
use super::holds::Queues;
use super::hub::Hub;
use super::line::{Calls, Guard, Known, Net};
use super::nodes::Lease;
use super::operators::Entrance;
use super::orders::{Orders, Present};
use super::otlp::Traces;
use super::ports::Ports;
use super::resolver::Resolver;
use super::settings::{Settings, StoreSettings};
use super::smsc::Events;
use super::taken::Taken;
use super::tap::Tap;
use super::tenancy::Tenancy;
use super::watch::{Heard, Links, Watch};
use super::webhook::Courier;

use super::{Fault, Gateway, Inner, audit, keys, vitals};
use crate::ambient::{Clock, Entropy, Timestamp};
use crate::carrier::smpp::link::State;
use crate::carrier::{About, News};
use crate::media::prompt::PackError;
use crate::media::script::{Kind, Lines};
use crate::sip::Hop;
use crate::store::{self, Hints, OpenError, Owner, Store};
use crate::telemetry::{self, Event};
use crate::verify::VerificationId;
use crate::verify::code::Vault;
use crate::verify::proof::Signer;
use crate::verify::signal::Signal;

/// How long calls that are ended at once may take to say goodbye: BYE, a challenge, and two copies.
const FAREWELL: Duration = Duration::from_secs(5);

/// Signals are applied by this many workers; those of one verification by one, in order.
const SIGNAL_WORKERS: usize = 64;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A SIP address.
    #[error("cannot take SIP on {hop}: {source}")]
    Listen {
        /// The listener.
        hop: Hop,
        /// What the system says.
        source: std::io::Error,
    },
    /// The media threads.
    #[error("cannot start a media thread: {0}")]
    Engine(std::io::Error),
    /// The key that codes are derived from and the store is sealed by.
    #[error("the key file {} cannot be used: {source}", .path.display())]
    Key {
        /// Where it is kept.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The audit log.
    #[error("the audit log in {} cannot be used: {source}", .path.display())]
    Audit {
        /// Its folder.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The outbound HTTP client.
    #[error("cannot start the outbound HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The prompts lack a phrase.
    #[error(transparent)]
    Prompts(#[from] PackError),
}

/// What keeps a gateway going. Dropped, it stops at once; [`drain`](Self::drain) ends it politely.
#[derive(Debug)]
pub struct Running {
    gateway: Gateway,
    calls: Arc<Calls>,
    courses: Courses,
    /// Where SIP is spoken.
    pub sip: Vec<Hop>,
    tasks: JoinSet<()>,
    engines: Vec<std::thread::JoinHandle<()>>,
}

/// What a gateway decided and nobody carried out yet: the driver of a gateway that has no threads
/// of its own, turn by turn.
pub struct Turns<H> {
    dispatcher: Arc<Dispatcher<H>>,
    to_do: mpsc::UnboundedReceiver<Job>,
    wakes: mpsc::UnboundedReceiver<Timestamp>,
    hints: Hints,
}

impl<H: Hands> Turns<H> {
    /// Takes turns by the real time, many effects at once, until the gateway is gone.
    pub async fn run(self) {
        let heed = self.dispatcher.gateway().clone().heed(self.hints);
        let dispatcher = self.dispatcher;
        let claim = Arc::clone(&dispatcher).claim(self.wakes);
        tokio::join!(claim, dispatcher.work(self.to_do), heed);
    }

    /// Claims what is due by the gateway's clock, and carries out everything there is to do;
    /// when something will be due next.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn turn(&mut self) -> Result<Option<Timestamp>, Fault> {
        let next = self.claim().await?;
        while let Ok(job) = self.to_do.try_recv() {
            self.dispatcher.carry_out(job).await;
        }
        Ok([next, self.woken()].into_iter().flatten().min())
    }

    /// Takes up what other nodes have hinted at since this was done last.
    pub fn heed(&mut self) {
        while let Some(heard) = self.hints.try_next() {
            // Whoever drives this gateway reads the keys by itself.
            let _stale = self.dispatcher.gateway().hear_of(heard);
        }
    }

    /// Claims what is due by the gateway's clock; when something will be due next.
    pub fn claim(&self) -> impl Future<Output = Result<Option<Timestamp>, Fault>> + Send + 'static {
        let dispatcher = Arc::clone(&self.dispatcher);
        async move { dispatcher.claim_once().await }
    }

    /// The earliest of the deadlines that were set since this was asked last.
    pub fn woken(&mut self) -> Option<Timestamp> {
        std::iter::from_fn(|| self.wakes.try_recv().ok()).min()
    }

    /// What there is to do, each thing by itself, in the order in which it came.
    pub fn jobs(&mut self) -> Vec<impl Future<Output = ()> + Send + 'static> {
        let jobs = std::iter::from_fn(|| self.to_do.try_recv().ok());
        let carry_out = |job| {
            let dispatcher = Arc::clone(&self.dispatcher);
            async move { dispatcher.carry_out(job).await }
        };
        jobs.map(carry_out).collect()
    }
}

/// What a gateway is made of besides its store and its hands.
struct Fixed {
    settings: Settings,
    vault: Vault,
    present: Present,
    calls: Option<Arc<Calls>>,
    watch: Option<Watch>,
    courier: Option<Courier>,
    sessions: Option<Events>,
    audit: Option<Arc<audit::Log>>,
    traces: Option<Traces>,
}

impl Gateway {
    /// Starts a gateway: opens the store, binds SIP, starts the media threads, and takes up what
    /// an earlier run left behind.
    ///
    /// # Errors
    /// What could not be had.
    pub fn start(
        settings: Settings,
        clock: Clock,
        mut entropy: Entropy,
        tap: Option<Tap>,
    ) -> Result<(Self, Running), StartError> {
        let vault = keys::vault(&settings)?;
        let store = match &settings.store {
            StoreSettings::Memory => Store::memory(),
            StoreSettings::Directory(dir) => Store::open(dir, &vault)?,
            StoreSettings::Redis(redis) => Store::redis((**redis).clone(), &vault, &clock)?,
        };
        let audit = open_audit(&settings, &vault)?;
        Lines::of(&*settings.prompts.first()?, None, Kind::Confirm)?;
        // Until the store's time is known, calls there are none, but trunks are looked after.
        let own = clock.unled();
        let (net, listeners) =
            Net::bind(&settings.sip_listen, settings.sip_identity.as_ref(), own.clone())
                .map_err(|(hop, source)| StartError::Listen { hop, source })?;
        let resolver = Arc::new(Resolver::new(own.clone(), settings.dns));
        let courier = Courier::new(&resolver)?;
        let (signals, learned) = mpsc::unbounded_channel();
        let (courses, ended) = Courses::new();
        let (hep, outgoing) = settings.hep.clone().map(Hep::new).unzip();
        let (traces, exporter) = Traces::new(settings.otlp.as_ref()).unzip();
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            ports: Ports::new(settings.rtp_ports, entropy.fork()),
            calls: OnceLock::new(),
            signals,
            tap,
            courses: Some(courses.clone()),
            hep,
        });
        let known = Known::default();
        let guard = Guard::new(own.clone(), known.clone());
        let (tell, heard) = mpsc::unbounded_channel();
        let (calls, engines) = start_engines(&settings, &shared, guard, tell)?;
        let mut tasks = JoinSet::new();
        if let Some(outgoing) = outgoing {
            tasks.spawn(outgoing.send(Arc::clone(&resolver)));
        }
        listeners.serve(&calls, &mut entropy, &mut tasks);
        let sip = net.bound();
        let links = Links { net, calls: Arc::clone(&calls), known };
        let watch = Watch::start(&settings, &own, entropy.fork(), links, heard, &mut tasks);
        let present = Present::new(Orders::new(&settings, vault.clone(), HashMap::new()));
        let (sessions, told) = mpsc::unbounded_channel();
        let hands = Trunks {
            present: present.clone(),
            shared,
            calls: Arc::clone(&calls),
            watch: watch.clone(),
            courier: courier.clone(),
        };
        let (watch, sessions) = (Some(watch), Some(sessions));
        let courier = Some(courier);
        let here = Some(Arc::clone(&calls));
        let fixed = Fixed {
            settings,
            vault,
            present,
            calls: here,
            watch,
            courier,
            sessions,
            audit,
            traces,
        };
        let (gateway, turns) = Self::fit(store, fixed, clock, entropy, hands);
        // The sessions that the settings name begin as those of a reload do.
        gateway.reload(&gateway.0.started);
        tasks.spawn(listen(gateway.clone(), learned));
        tasks.spawn(hear(gateway.clone(), told));
        tasks.spawn(turns.run());
        tasks.spawn(gateway.clone().retain());
        tasks.spawn(gateway.clone().tell_endpoints());
        tasks.spawn(gateway.clone().tell_budgets());
        tasks.spawn(gateway.clone().try_trunks());
        tasks.spawn(vitals::tell(Arc::clone(&calls)));
        tasks.spawn(gateway.clone().keep_courses(courses.clone(), ended));
        if let Some(exporter) = exporter {
            exporter.start(gateway.clone(), &mut tasks);
        }
        let running = Running { gateway: gateway.clone(), calls, courses, sip, tasks, engines };
        Ok((gateway, running))
    }

    /// A gateway over this store and these hands that does nothing by itself: whoever holds the
    /// [`Turns`] drives it. Simulations do, with a clock and a world of their own.
    #[must_use]
    pub fn assemble<H: Hands>(
        store: Store,
        settings: &Settings,
        vault: Vault,
        clock: Clock,
        entropy: Entropy,
        hands: H,
    ) -> (Self, Turns<H>) {
        let fixed = Fixed {
            settings: settings.clone(),
            present: Present::new(Orders::new(settings, vault.clone(), HashMap::new())),
            vault,
            calls: None,
            watch: None,
            courier: None,
            sessions: None,
            audit: None,
            traces: None,
        };
        Self::fit(store, fixed, clock, entropy, hands)
    }

    fn fit<H: Hands>(
        store: Store,
        fixed: Fixed,
        clock: Clock,
        mut entropy: Entropy,
        hands: H,
    ) -> (Self, Turns<H>) {
        let (work, to_do) = mpsc::unbounded_channel();
        let (wake, wakes) = mpsc::unbounded_channel();
        let issuer = fixed.settings.public_url.as_deref().unwrap_or("octothorpe");
        let signer = Signer::new(issuer, &fixed.vault, fixed.settings.verdict_key);
        let gateway = Self(Arc::new(Inner {
            callers: Callers::default(),
            entrance: Entrance::default(),
            tenancy: Tenancy::new(&fixed.settings),
            signer,
            calls: fixed.calls,
            watch: fixed.watch,
            courier: fixed.courier,
            clock,
            owner: Owner::new(format!("node-{}", entropy.token(20))),
            entropy: Mutex::new(entropy),
            store,
            started: fixed.settings,
            present: fixed.present,
            vault: fixed.vault,
            sessions: fixed.sessions,
            audit: fixed.audit,
            traces: fixed.traces,
            hub: Hub::default(),
            board: Board::default(),
            queues: Queues::default(),
            selftests: Mutex::default(),
            draining: watch::Sender::new(false),
            lease: Lease::default(),
            taken: Taken::default(),
            store_works: AtomicBool::new(true),
            work,
            in_flight: AtomicUsize::new(0),
            wake,
        }));
        gateway.seat();
        let hints = gateway.0.store.hints();
        let dispatcher = Arc::new(Dispatcher::new(gateway.clone(), hands));
        let turns = Turns { dispatcher, to_do, wakes, hints };
        (gateway, turns)
    }
}

/// The audit log beside the store.
fn open_audit(settings: &Settings, vault: &Vault) -> Result<Option<Arc<audit::Log>>, StartError> {
    let Some(dir) = settings.store.folder() else { return Ok(None) };
    store::make_folder(dir)?;
    let failed = |source| StartError::Audit { path: dir.to_owned(), source };
    Ok(Some(Arc::new(audit::Log::open(dir, vault).map_err(failed)?)))
}

impl Running {
    /// How many calls are ringing or up.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.count()
    }

    /// Takes no new verification, lets the calls that are up finish for at most `patience`, then
    /// ends those that are left, and stops.
    pub async fn drain(self, patience: Duration) {
        self.drain_unless(patience, std::future::pending()).await;
    }

    /// As [`drain`](Self::drain), but no longer than until `enough`.
    pub async fn drain_unless(mut self, patience: Duration, enough: impl Future<Output = ()>) {
        self.gateway.stop_taking();
        tokio::select! {
            () = self.finish(patience) => {}
            () = enough => {}
        }
        if let Some(watch) = &self.gateway.0.watch {
            watch.close();
        }
        self.calls.command_all(|| Command::StopAll);
        self.finish(FAREWELL).await;
        if let Some(watch) = &self.gateway.0.watch {
            watch.stop().await;
        }
        // The last webhooks and commits of calls that just ended.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.calls.command_all(|| Command::Exit);
        let mut sessions = JoinSet::new();
        for smsc in self.gateway.orders().smscs.values() {
            let smsc = smsc.clone();
            sessions.spawn(async move { tokio::time::timeout(FAREWELL, smsc.stop()).await });
        }
        while sessions.join_next().await.is_some() {}
        if let Some(traces) = &self.gateway.0.traces {
            traces.drain().await;
        }
        self.tasks.shutdown().await;
        for engine in self.engines.drain(..) {
            let _ = tokio::task::spawn_blocking(move || engine.join()).await;
        }
    }

    async fn finish(&self, patience: Duration) {
        let over = async {
            let in_flight = &self.gateway.0.in_flight;
            while self.calls.count() > 0
                || in_flight.load(Ordering::Relaxed) > 0
                || self.courses.waiting() > 0
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(patience, over).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.calls.command_all(|| Command::Exit);
    }
}

type Engines = (Arc<Calls>, Vec<std::thread::JoinHandle<()>>);

fn start_engines(
    settings: &Settings,
    shared: &Arc<Shared>,
    guard: Guard,
    tell: mpsc::UnboundedSender<Heard>,
) -> Result<Engines, StartError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut handles = Vec::new();
    let mut threads = Vec::new();
    for index in 0..settings.engines.unwrap_or(cores).max(1) {
        let (handle, thread) =
            engine::start(index, Arc::clone(shared)).map_err(StartError::Engine)?;
        handles.push(handle);
        threads.push(thread);
    }
    let calls = Arc::new(Calls::new(handles, guard, tell));
    // It is set here and nowhere else.
    let _ = shared.calls.set(Arc::clone(&calls));
    Ok((calls, threads))
}

/// Tells when a session is bound, when it is lost, and why it is not had.
pub(super) async fn tell_of(carrier: String, mut states: watch::Receiver<State>) {
    let mut told = None;
    loop {
        let state = states.borrow_and_update().clone();
        let news = (state.bound, why_unbound(&state).map(str::to_owned));
        if told.as_ref() != Some(&news) {
            tell(&carrier, &state);
            told = Some(news);
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

/// Tells how a session stands.
pub(super) fn tell(carrier: &str, state: &State) {
    let error = why_unbound(state);
    telemetry::observe(&Event::Session { carrier, bound: state.bound, error });
}

/// What stands against a session that is not bound. Why the one before it ended is no news of one that is.
fn why_unbound(state: &State) -> Option<&str> {
    state.last_error.as_deref().filter(|_| !state.bound)
}

/// What carriers tell: the carrier's name, and its news.
type Told = (String, Vec<(About, News)>);

/// Takes what carriers tell on sessions of their own. Each by itself: a receipt that waits for the
/// answer to its order holds up no other.
async fn hear(gateway: Gateway, mut told: mpsc::UnboundedReceiver<Told>) {
    let mut running = JoinSet::new();
    while let Some((carrier, news)) = told.recv().await {
        let gateway = gateway.clone();
        running.spawn(async move { gateway.told(&carrier, news).await });
        while running.try_join_next().is_some() {}
    }
}

/// Applies what the engines learned: each verification's signals in order, many at a time.
async fn listen(gateway: Gateway, mut learned: mpsc::UnboundedReceiver<(VerificationId, Signal)>) {
    let mut workers = JoinSet::new();
    let queues: Vec<_> = (0..SIGNAL_WORKERS)
        .map(|_| {
            let (queue, mut signals) = mpsc::unbounded_channel::<(VerificationId, Signal)>();
            let gateway = gateway.clone();
            workers.spawn(async move {
                let mut insisting = JoinSet::new();
                while let Some((id, signal)) = signals.recv().await {
                    let Err(fault) = gateway.signal(&id, signal.clone()).await else { continue };
                    report("apply a signal", &fault);
                    // That a call is over must not be forgotten; its other news have come to nothing.
                    if matches!(signal, Signal::Ended { .. }) {
                        let gateway = gateway.clone();
                        insisting.spawn(async move { gateway.insist(&id, signal).await });
                    }
                    while insisting.try_join_next().is_some() {}
                }
            });
            queue
        })
        .collect();
    while let Some((id, signal)) = learned.recv().await {
        let place = id
            .as_str()
            .bytes()
            .fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        if let Some(queue) = queues.get(place % SIGNAL_WORKERS) {
            let _ = queue.send((id, signal));
        }
    }
}
