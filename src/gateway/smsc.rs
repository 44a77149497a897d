//! The hands of a session with a message centre: one task that connects, reads and writes as
//! [`Link`] says, and a handle that texts are sent through.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use zeroize::{Zeroize as _, Zeroizing};

use crate::ambient::{Clock, Entropy, Timestamp};
use crate::carrier::smpp::Settings;
use crate::carrier::smpp::link::{Input, Link, Output, Reply, State, Submit, Ticket};
use crate::carrier::smpp::plan::plan;
use crate::carrier::{About, Body, News, Receipt};
use crate::verify::number::PhoneNumber;
use crate::verify::signal::{Cause, Reason};

/// How many texts may wait in the queue to the task; more wait in their own futures.
const QUEUE: usize = 64;
/// The longest the task sleeps.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

/// What carriers tell: the carrier's name, and its news.
pub type Events = mpsc::UnboundedSender<(String, Vec<(About, News)>)>;

/// A session with a message centre. Cheap to clone; the session ends when the last clone is gone,
/// or by [`stop`](Self::stop).
#[derive(Clone)]
pub struct Smsc(Arc<Shared>);

struct Shared {
    settings: Arc<Settings>,
    clock: Clock,
    jobs: mpsc::Sender<Job>,
    stop: watch::Sender<bool>,
    state: watch::Receiver<State>,
    /// Tells the texts of several parts to one phone apart; it wraps.
    reference: AtomicU8,
}

/// A part on its way to the task.
struct Job {
    submit: Submit,
    /// Whoever sets it first has the say: the task, which then submits, or the sender, which then
    /// knows that it never will be.
    claimed: Arc<AtomicBool>,
    reply: oneshot::Sender<Reply>,
}

/// Why a part has not been submitted yet.
#[derive(Clone, Copy)]
enum Waiting {
    Turn,
    Brake,
    Connection,
}

impl Smsc {
    /// Starts a session that binds as soon as it can, and again whenever it is lost.
    ///
    /// Must be called within a Tokio runtime. Settings that fail [`Settings::check`] make a
    /// session that the message centre refuses.
    #[must_use]
    pub fn start(settings: Settings, events: Events, clock: Clock) -> Self {
        let settings = Arc::new(settings);
        let mut entropy = Entropy::system();
        let [reference] = entropy.bytes();
        let link = Link::new(Arc::clone(&settings), entropy, clock.now());
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (stop, stopping) = watch::channel(false);
        let (states, state) = watch::channel(link.state().clone());
        let task = Task {
            link,
            settings: Arc::clone(&settings),
            clock: clock.clone(),
            events,
            states,
            wire: Wire::Closed,
            waiting: HashMap::new(),
            ticket: 0,
        };
        tokio::spawn(task.run(queue, stopping));
        let reference = AtomicU8::new(reference);
        Self(Arc::new(Shared { settings, clock, jobs, stop, state, reference }))
    }

    /// As it was started.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Whether the two are one session.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How the session stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.state.borrow().clone()
    }

    /// How the session stands, whenever that changes.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<State> {
        self.0.state.clone()
    }

    /// Sends a text, and gives back what the message centre calls its first part.
    ///
    /// Each part waits up to [`Settings::patience`] to be handed over, and from then on up to
    /// [`Settings::answer_within`] for its answer. A part that was handed over and not answered
    /// makes the text [`Receipt::Unclear`]; so does nothing else. One that the message centre
    /// throttled was not taken, and is submitted again after a pause. When a part is refused the
    /// text is, even where parts before it were taken: nobody can read it.
    ///
    /// When this future is dropped, what is still in the queue is not submitted.
    pub async fn send(&self, to: &PhoneNumber, body: &Body, valid: Duration) -> Receipt {
        let reference = self.0.reference.fetch_add(1, Ordering::Relaxed);
        let parts = match plan(body.expose(), self.0.settings.alphabet, reference) {
            Ok(parts) => parts,
            Err(error) => {
                let cause = Cause::because(Reason::CarrierError, error.to_string());
                return Receipt::Refused(cause);
            }
        };
        let over = self.0.clock.now() + valid;
        let mut handle: Option<String> = None;
        let total = u8::try_from(parts.len()).unwrap_or(u8::MAX);
        // One after the other: the first part's name is needed to know the others by, and nothing
        // more is sent when one is refused.
        for part in parts {
            let handle_so_far = handle.clone();
            let submit =
                Submit { to: to.clone(), part, valid, parts: total, handle: handle_so_far };
            match self.submit(submit, over).await {
                Receipt::Taken(id) => {
                    handle.get_or_insert(id);
                }
                refused @ (Receipt::Refused(_) | Receipt::Unclear) => return refused,
            }
        }
        handle.map_or(Receipt::Unclear, Receipt::Taken)
    }

    /// Takes no more texts, waits for what is unanswered, unbinds, and closes.
    pub async fn stop(&self) {
        let _ = self.0.stop.send(true);
        let mut state = self.0.state.clone();
        // The task owns the sender, so that its end is the end of this.
        while state.changed().await.is_ok() {}
    }

    /// Submits a part until it is taken, refused, or lost, or cannot be handed over in time.
    async fn submit(&self, submit: Submit, over: Timestamp) -> Receipt {
        let until = over.min(self.0.clock.now() + self.0.settings.patience);
        let mut waiting = Waiting::Turn;
        loop {
            let left = until.since(self.0.clock.now());
            match self.hand_over(submit.clone(), left).await {
                Some(Reply::Taken(id)) => return Receipt::Taken(id),
                Some(Reply::Refused(cause)) => return Receipt::Refused(cause),
                Some(Reply::Lost) => return Receipt::Unclear,
                Some(Reply::Throttled) => waiting = Waiting::Brake,
                Some(Reply::Unwritten) => waiting = Waiting::Connection,
                None => return Receipt::Refused(self.overdue(waiting)),
            }
        }
    }

    /// Gives a part to the task, and waits for what becomes of it; `None` when it surely was not
    /// submitted in this time.
    async fn hand_over(&self, submit: Submit, left: Duration) -> Option<Reply> {
        let claimed = Arc::new(AtomicBool::new(false));
        let (reply, mut replied) = oneshot::channel();
        let job = Job { submit, claimed: Arc::clone(&claimed), reply };
        let given = async {
            self.0.jobs.send(job).await.ok()?;
            (&mut replied).await.ok()
        };
        let given = tokio::time::timeout(left, given).await;
        if let Ok(Some(reply)) = given {
            return Some(reply);
        }
        if !claimed.swap(true, Ordering::AcqRel) {
            return None;
        }
        match given {
            // The task has it, and replies in time.
            Err(_) => Some(replied.await.unwrap_or(Reply::Lost)),
            // The task had it, and is gone.
            Ok(_) => Some(Reply::Lost),
        }
    }

    /// Why a part was not submitted in time.
    fn overdue(&self, waiting: Waiting) -> Cause {
        let name = &self.0.settings.name;
        let state = self.0.state.borrow();
        match (state.bound, waiting) {
            (true, Waiting::Brake) => {
                Cause::because(Reason::CarrierError, format!("{name} throttles"))
            }
            (true, Waiting::Turn | Waiting::Connection) => {
                Cause::because(Reason::Congested, format!("{name} has no room in its window"))
            }
            (false, _) => {
                let why = state.last_error.as_deref().unwrap_or("it has not been bound yet");
                Cause::because(Reason::CarrierError, format!("{name} is not bound: {why}"))
            }
        }
    }
}

impl fmt::Debug for Smsc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Smsc").field(&self.0.settings.name).finish()
    }
}

/// What carries the link's outputs out.
struct Task {
    link: Link,
    settings: Arc<Settings>,
    clock: Clock,
    events: Events,
    states: watch::Sender<State>,
    wire: Wire,
    waiting: HashMap<Ticket, oneshot::Sender<Reply>>,
    ticket: u64,
}

impl Task {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>, mut stop: watch::Receiver<bool>) {
        let mut stopping = false;
        let mut read = Zeroizing::new(vec![0; 16 * 1024]);
        let mut out = Vec::new();
        loop {
            let now = self.clock.now();
            let sleep = self.link.deadline().since(now).min(LONGEST_SLEEP);
            tokio::select! {
                event = self.wire.next(&mut read) => self.happened(event, &read, &mut out),
                Some(job) = jobs.recv(), if self.link.ready(now) => {
                    self.submit(job, &mut out);
                    // As many as there is room for, in one write.
                    while self.link.ready(self.clock.now()) {
                        let Ok(job) = jobs.try_recv() else { break };
                        self.submit(job, &mut out);
                    }
                }
                // An error: the last handle is gone.
                _ = stop.changed(), if !stopping => {
                    stopping = true;
                    self.link.on(self.clock.now(), Input::Stop, &mut out);
                }
                () = tokio::time::sleep(sleep) => {
                    self.link.on(self.clock.now(), Input::Tick, &mut out);
                }
            }
            let stopped = self.carry_out(&mut out);
            let state = self.link.state();
            self.states.send_if_modified(|known| {
                let changed = known != state;
                if changed {
                    known.clone_from(state);
                }
                changed
            });
            if stopped {
                return;
            }
        }
    }

    fn happened(&mut self, event: Event, read: &[u8], out: &mut Vec<Output>) {
        let now = self.clock.now();
        let input = match event {
            Event::Connected(stream) => {
                self.wire = Wire::open(stream);
                Input::Connected
            }
            Event::Read(octets) => Input::Bytes(read.get(..octets).unwrap_or_default()),
            Event::Written(octets) => Input::Written(octets),
            Event::Closed => Input::Failed("the message centre closed the connection".to_owned()),
            Event::Failed(error) => Input::Failed(format!("no connection: {error}")),
        };
        self.link.on(now, input, out);
    }

    fn submit(&mut self, job: Job, out: &mut Vec<Output>) {
        if job.reply.is_closed() || job.claimed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.ticket += 1;
        let ticket = Ticket(self.ticket);
        self.waiting.insert(ticket, job.reply);
        self.link.on(self.clock.now(), Input::Submit(ticket, job.submit), out);
    }

    /// Whether it is over.
    fn carry_out(&mut self, out: &mut Vec<Output>) -> bool {
        let mut todo: VecDeque<Output> = out.drain(..).collect();
        while let Some(output) = todo.pop_front() {
            match output {
                Output::Connect => self.wire = Wire::connect(&self.settings),
                Output::Write(octets) => self.wire.queue(&octets),
                Output::Reply(ticket, reply) => {
                    if let Some(waiting) = self.waiting.remove(&ticket) {
                        // Nobody waits any more: its sender gave up after it was submitted.
                        let _ = waiting.send(reply);
                    }
                }
                Output::Tell { sequence, news } => {
                    let taken = self.events.send((self.settings.name.clone(), news)).is_ok();
                    let told = Input::Told { sequence, taken };
                    self.link.on(self.clock.now(), told, out);
                    // Answers go behind what was said before them.
                    todo.extend(out.drain(..));
                }
                Output::Close => self.wire = Wire::Closed,
                Output::Stopped => return true,
            }
        }
        false
    }
}

/// What happened on the wire.
enum Event {
    Connected(TcpStream),
    Read(usize),
    Written(usize),
    Closed,
    Failed(io::Error),
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// A connection, or none.
enum Wire {
    Closed,
    Connecting(Connecting),
    Open(Box<Open>),
}

struct Open {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    out: Zeroizing<Vec<u8>>,
    /// How much of `out` was handed over.
    done: usize,
}

impl Wire {
    fn connect(settings: &Settings) -> Self {
        let (host, port) = (settings.host.clone(), settings.port);
        Self::Connecting(Box::pin(async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            // A text is small, and its answer is waited for.
            stream.set_nodelay(true)?;
            Ok(stream)
        }))
    }

    fn open(stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        Self::Open(Box::new(Open { read, write, out: Zeroizing::default(), done: 0 }))
    }

    fn queue(&mut self, octets: &[u8]) {
        if let Self::Open(open) = self {
            open.out.extend_from_slice(octets);
        }
    }

    /// The next thing that happens; nothing is lost when this future is dropped.
    async fn next(&mut self, buffer: &mut [u8]) -> Event {
        let open = match self {
            Self::Closed => return pending().await,
            Self::Connecting(connecting) => {
                return connecting.await.map_or_else(Event::Failed, Event::Connected);
            }
            Self::Open(open) => open,
        };
        let Open { read, write, out, done } = &mut **open;
        let rest = out.get(*done..).unwrap_or_default();
        tokio::select! {
            // What was handed over must be known before the connection's end is.
            biased;
            written = write.write(rest), if !rest.is_empty() => match written {
                Ok(0) => Event::Closed,
                Ok(octets) => {
                    *done += octets;
                    if *done >= out.len() {
                        out.zeroize();
                        *done = 0;
                    }
                    Event::Written(octets)
                }
                Err(error) => Event::Failed(error),
            },
            octets = read.read(buffer) => match octets {
                Ok(0) => Event::Closed,
                Ok(octets) => Event::Read(octets),
                Err(error) => Event::Failed(error),
            },
        }
    }
}
