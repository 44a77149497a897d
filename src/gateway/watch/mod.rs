//! Watches the trunks: finds out where they are, asks whether they live, registers there, and keeps how
//! much they carry. One task and one row of deadlines for all of them, however many there are.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the task, and what others ask of it |
//! | `fleet` | all trunks: whose turn it is, and whom a message is for |
//! | `member` | one trunk |
//! | `view` | how a trunk is, for those who look on |

mod fleet;
mod member;
mod view;

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use self::fleet::{Asked, Fleet};
pub use self::view::{HopView, How, Step, TrunkView};
use super::capacity::Full;
use super::line::{Calls, Exit, Known, Net, Unconnected};
use super::resolver::{QUESTION, Resolver};
use super::settings::{Settings, Target, Trunk};
use crate::ambient::{Clock, Entropy, Timestamp};
use crate::sip::health::{Because, Called};
use crate::sip::locate::{Located, NotFound};
use crate::sip::{Hop, Message, Route, Way, call};
use crate::telemetry::{self, Event};
use crate::verify::VerificationId;
use crate::verify::attempt::AttemptNo;
use crate::verify::signal::{Cause, Reason};
use crate::voice;

/// An attempt that wants in, or is in.
pub(super) type Key = (VerificationId, AttemptNo);

/// Deadlines are looked at this often at most: what falls due for hundreds of trunks meanwhile is done
/// in one go.
const TICK: Duration = Duration::from_millis(20);

/// How long the way to a hop may take.
const REACH: Duration = Duration::from_secs(4);

/// How many questions and connections are under way at once.
const JOBS: usize = 64;

/// How long carriers may take to forget us when we stop.
const GOODBYE: Duration = Duration::from_secs(2);

/// Something that the watch hears.
#[derive(Debug)]
pub(super) enum Heard {
    /// An answer to something of its own.
    Message(Box<Message>),
    /// What was sent there did not arrive.
    Unreachable(Hop),
    /// Our connection to this hop is gone.
    Lost(Hop),
    /// A call by this trunk had this end, or this first sign.
    Called(String, Called),
    /// This trunk wants sessions to last so many seconds at least (RFC 4028).
    MinSession(String, u32),
    /// An attempt's call is over.
    Retired(Key),
}

/// What comes of it.
pub(super) enum Act {
    /// Send this.
    Send { exit: Exit, to: Hop, bytes: Vec<u8> },
    /// Ask the DNS.
    Locate(Target),
    /// The DNS does not tell; whether an answer of before is still used.
    Lost { why: NotFound, stale: bool },
    /// Find the way to a hop.
    Reach(Exit, Hop),
    /// The trunk is at these hops.
    Learn(Vec<Hop>),
    /// Messages with this Call-ID are the watch's.
    Listen(String),
    /// They are no longer.
    Unlisten(String),
    /// Who waited is in.
    Admit(Key),
}

/// How the log was told a trunk is.
pub(super) type Told = (&'static str, Option<bool>);

/// What a job came to.
enum Done {
    Located(usize, Result<Located, NotFound>),
    Reached(usize, Hop, Result<Way, Unconnected>),
}

/// The watch. Cheap to clone.
#[derive(Clone)]
pub(super) struct Watch(Arc<Inner>);

struct Inner {
    clock: Clock,
    links: Links,
    resolver: Resolver,
    /// The address that we are reached by, where that is not our own.
    advertise: Option<IpAddr>,
    fleet: Mutex<Fleet>,
    /// Something may be due sooner than the task knows.
    sooner: Notify,
    /// The DNS has told something.
    located: Notify,
}

/// What the watch speaks and hears by.
pub(super) struct Links {
    /// The SIP transports.
    pub(super) net: Net,
    /// Whose messages are whose.
    pub(super) calls: Arc<Calls>,
    /// The addresses of trunks.
    pub(super) known: Known,
}

/// Where a call goes.
pub(super) struct Place {
    /// The hops to try, in order.
    pub(super) hops: Vec<Hop>,
    /// What leads there.
    pub(super) exit: Exit,
    /// What the registrar wants requests to go through (RFC 3608), in place of a proxy.
    pub(super) service_route: Vec<Route>,
    /// How long a session must last at least there, in seconds, where that was told.
    pub(super) min_session: Option<u32>,
}

/// How a call got in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// At once.
    Free,
    /// After a while, in which much may have happened.
    Waited,
}

/// Whether a call may go by a trunk.
pub(super) enum Entry {
    /// It is in.
    In,
    /// It waits for this.
    Waits(oneshot::Receiver<()>),
    /// The trunk is not used now.
    Unusable(Because),
    /// It takes no more.
    Full(Full),
}

impl Watch {
    /// Watches the trunks of these settings.
    pub(super) fn start(
        settings: &Settings,
        clock: &Clock,
        entropy: Entropy,
        links: Links,
        heard: mpsc::UnboundedReceiver<Heard>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let watch = Self(Arc::new(Inner {
            clock: clock.clone(),
            links,
            resolver: Resolver::new(clock.clone(), settings.dns),
            advertise: settings.advertise,
            fleet: Mutex::new(Fleet::new(entropy)),
            sooner: Notify::new(),
            located: Notify::new(),
        }));
        watch.set(&settings.trunks);
        tasks.spawn(watch.clone().run(heard));
        watch
    }

    /// These trunks from now on; those that stay as they were are left as they are.
    pub(super) fn set(&self, trunks: &[Trunk]) {
        let exit = |trunk: &Trunk| self.0.links.net.exit(&trunk.tls, &trunk.target.host);
        self.0.links.known.set(trunks);
        let asked = self.fleet().set(self.now(), trunks, exit);
        self.listen(&asked);
        self.carry_out_sends(asked);
        self.0.sooner.notify_one();
    }

    /// Where a call by this trunk goes. A trunk of which nobody has heard yet where it is is waited for,
    /// no longer than a question to the DNS may take.
    ///
    /// # Errors
    /// Why it goes nowhere.
    pub(super) async fn place(&self, trunk: &str, entropy: &mut Entropy) -> Result<Place, Cause> {
        let waited = async {
            loop {
                let news = self.0.located.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if !self.fleet().is_unlocated(trunk) {
                    return;
                }
                news.await;
            }
        };
        let _ = tokio::time::timeout(QUESTION, waited).await;
        let now = self.now();
        let place = self.fleet().place(now, trunk, entropy);
        place.map_err(|why| Cause::because(Reason::CarrierError, format!("{trunk} {why}")))
    }

    /// Asks for room for an attempt by this trunk. Without another way it may wait, and an unusable
    /// trunk is tried all the same, unless that asked to be left alone.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn room(
        &self,
        trunk: &str,
        key: &Key,
        another: bool,
        until: Timestamp,
    ) -> Result<Room, Cause> {
        let now = self.now();
        let may_wait = !another && now < until;
        let entry = self.fleet().enter(now, trunk, key, another, may_wait);
        let full = |full: Full| Cause::because(Reason::Congested, format!("{trunk} {full}"));
        match entry {
            Entry::In => Ok(Room::Free),
            Entry::Unusable(because) => {
                Err(Cause::because(Reason::CarrierError, format!("{trunk} {because}")))
            }
            Entry::Full(why) => Err(full(why)),
            Entry::Waits(admitted) => {
                self.0.sooner.notify_one();
                match tokio::time::timeout(until.since(now), admitted).await {
                    Ok(Ok(())) => Ok(Room::Waited),
                    Ok(Err(_)) | Err(_) => {
                        self.leave(key);
                        let why = format!("{trunk} had no room for another call in time");
                        Err(Cause::because(Reason::Congested, why))
                    }
                }
            }
        }
    }

    /// A call is begun by this trunk.
    pub(super) fn begun(&self, trunk: &str) {
        self.fleet().begun(self.now(), trunk);
    }

    /// An attempt that was in or waited is over.
    pub(super) fn leave(&self, key: &Key) {
        let asked = self.fleet().leave(self.now(), key);
        self.listen(&asked);
        self.0.sooner.notify_one();
    }

    /// How every trunk is.
    pub(super) fn trunks(&self) -> Vec<TrunkView> {
        self.fleet().views(self.now())
    }

    /// Lets nobody in any more, and sends away who waits.
    pub(super) fn close(&self) {
        self.fleet().close();
    }

    /// Takes registrations back, and waits a little for the carriers to say that they know.
    pub(super) async fn stop(&self) {
        let asked = self.fleet().stop(self.now());
        self.carry_out_sends(asked);
        self.0.sooner.notify_one();
        let over = async {
            while !self.fleet().is_over() {
                tokio::time::sleep(TICK).await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, over).await;
    }

    async fn run(self, mut heard: mpsc::UnboundedReceiver<Heard>) {
        let mut jobs = JoinSet::new();
        let mut waiting = VecDeque::new();
        loop {
            let (asked, next) = {
                let mut fleet = self.fleet();
                let now = self.now();
                let asked = fleet.lapse(now);
                (asked, fleet.deadline())
            };
            self.carry_out(asked, &mut waiting);
            while jobs.len() < JOBS
                && let Some(job) = waiting.pop_front()
            {
                jobs.spawn(self.clone().job(job));
            }
            let patience = next.map_or(Duration::MAX, |at| at.since(self.now()).max(TICK));
            let asked = tokio::select! {
                Some(first) = heard.recv() => {
                    let mut fleet = self.fleet();
                    let now = self.now();
                    let mut asked = fleet.hear(now, first);
                    while let Ok(more) = heard.try_recv() {
                        asked.extend(fleet.hear(now, more));
                    }
                    asked
                }
                Some(done) = jobs.join_next() => match done {
                    Ok(Done::Located(id, found)) => {
                        let asked = self.fleet().located(self.now(), id, found);
                        self.0.located.notify_waiters();
                        asked
                    }
                    Ok(Done::Reached(id, hop, way)) => {
                        self.fleet().reached(self.now(), id, hop, way)
                    }
                    Err(_) => Vec::new(),
                },
                () = tokio::time::sleep(patience) => Vec::new(),
                () = self.0.sooner.notified() => Vec::new(),
            };
            self.carry_out(asked, &mut waiting);
        }
    }

    /// Does what can be done at once, and leaves the rest for later.
    fn carry_out(&self, asked: Vec<Asked>, waiting: &mut VecDeque<Asked>) {
        self.listen(&asked);
        for (id, trunk, act) in asked {
            match act {
                Act::Send { exit, to, bytes } => self.send(&exit, to, &bytes),
                Act::Locate(_) | Act::Reach(..) => waiting.push_back((id, trunk, act)),
                Act::Lost { why, stale } => {
                    let (trunk, error) = (trunk.name.as_str(), &why);
                    telemetry::observe(&Event::Unlocated { trunk, error, stale });
                }
                Act::Learn(hops) => {
                    let known = &self.0.links.known;
                    hops.iter().for_each(|hop| known.learn(&trunk.name, hop.address.ip()));
                }
                Act::Listen(_) | Act::Unlisten(_) | Act::Admit(_) => {}
            }
        }
    }

    fn carry_out_sends(&self, asked: Vec<Asked>) {
        for (_, _, act) in asked {
            if let Act::Send { exit, to, bytes } = act {
                self.send(&exit, to, &bytes);
            }
        }
    }

    /// Tells who hands messages out whose they are.
    fn listen(&self, asked: &[Asked]) {
        for (_, _, act) in asked {
            match act {
                Act::Listen(call_id) => self.0.links.calls.listen(call_id),
                Act::Unlisten(call_id) => self.0.links.calls.unseat(call_id),
                Act::Send { .. } | Act::Locate(_) | Act::Lost { .. } => {}
                Act::Reach(..) | Act::Learn(_) | Act::Admit(_) => {}
            }
        }
    }

    fn send(&self, exit: &Exit, to: Hop, bytes: &[u8]) {
        if let Err(error) = exit.send(to, bytes)
            && error.kind() != std::io::ErrorKind::WouldBlock
        {
            // It is as if the network had said so.
            self.0.links.calls.tell(Heard::Unreachable(to));
        }
    }

    async fn job(self, (id, _, act): Asked) -> Done {
        match act {
            Act::Reach(exit, hop) => {
                let way = tokio::time::timeout(REACH, exit.way(hop)).await;
                let way = way.unwrap_or(Err(Unconnected::TimedOut));
                Done::Reached(id, hop, way.map(|way| seen(way, self.0.advertise)))
            }
            Act::Locate(target) => Done::Located(id, self.0.resolver.locate(&target).await),
            Act::Send { .. }
            | Act::Lost { .. }
            | Act::Learn(_)
            | Act::Listen(_)
            | Act::Unlisten(_)
            | Act::Admit(_) => Done::Located(id, Err(NotFound::Unanswered)),
        }
    }

    fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.0.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// A way with our own address as its far end sees it.
pub(super) fn seen(mut way: Way, advertise: Option<IpAddr>) -> Way {
    if let Some(ip) = advertise.filter(|_| !way.hop.address.ip().is_loopback()) {
        way.local.set_ip(ip);
    }
    way
}

/// What an event of a call tells of its trunk.
pub(super) fn called(event: &voice::Event) -> Option<Called> {
    match event {
        voice::Event::Alerting { .. } | voice::Event::Answered { .. } => Some(Called::Carried),
        voice::Event::Ended(voice::Ended::Call(ended)) => Some(ended_call(*ended)),
        voice::Event::Ended(voice::Ended::Refused { .. }) => Some(Called::Carried),
        voice::Event::Ended(
            voice::Ended::NoInput
            | voice::Ended::Nobody(_)
            | voice::Ended::Unreached(_)
            | voice::Ended::MediaLost { .. }
            | voice::Ended::Unusable(_)
            | voice::Ended::TooLong,
        ) => Some(Called::Unknown),
        voice::Event::Dialling
        | voice::Event::Saying(_)
        | voice::Event::Prompting
        | voice::Event::Listening
        | voice::Event::Telling
        | voice::Event::Key(_)
        | voice::Event::Proven(_)
        | voice::Event::Label(_)
        | voice::Event::Heard { .. } => None,
    }
}

/// What an oddity of a call tells of how long its trunk wants sessions to last.
pub(super) fn min_session(note: &voice::Note) -> Option<u32> {
    match note {
        voice::Note::Sip(call::Note::SessionRaised { seconds }) => Some(*seconds),
        voice::Note::Sip(_)
        | voice::Note::Media(_)
        | voice::Note::Script(_)
        | voice::Note::KeyBeforeAsk
        | voice::Note::Refused(_)
        | voice::Note::Late(_) => None,
    }
}

fn ended_call(ended: call::Ended) -> Called {
    match ended {
        call::Ended::Rejected { status: 503, retry_after: Some(seconds), .. } => {
            Called::Paused(seconds)
        }
        failed if failed.is_of_trunk() => Called::Failed,
        call::Ended::Rejected { .. } => Called::Carried,
        call::Ended::Stopped
        | call::Ended::HungUp
        | call::Ended::Left
        | call::Ended::NoAnswer
        | call::Ended::NoResponse
        | call::Ended::Unreachable
        | call::Ended::AuthenticationRefused { .. }
        | call::Ended::Protocol(_)
        | call::Ended::Expired => Called::Unknown,
    }
}
