//! One machine and the node that runs on it: what it has to do, one thing after another, each held up
//! by the store and by the world as it comes.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use octothorpe::ambient::Timestamp;
use octothorpe::carrier::wire::HttpAnswer;
use octothorpe::gateway::hooks::HookError;
use octothorpe::gateway::{Fault, Gateway, Turns};
use octothorpe::verify::VerificationId;
use octothorpe::verify::signal::Signal;

use crate::customer::Reply;
use crate::hands::SimHands;
use crate::link::Links;
use crate::state::{Act, Event};

/// A claimer looks for what lost nodes left behind this often, a millisecond later than what is
/// due, and so soon after a fault, as `gateway/dispatch.rs` does.
const CLAIM_EVERY: Duration = Duration::from_millis(2_500);
const MILLISECOND: Duration = Duration::from_millis(1);
const AFTER_FAULT: Duration = Duration::from_millis(500);

/// How often is looked whether whoever rests has rested enough.
const RESTS: Duration = Duration::from_millis(250);

/// How long an effect lies about before it is taken up.
const LEAVES: Duration = Duration::from_micros(500);

/// A machine.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) node: Option<Node>,
    pub(crate) asleep: bool,
    /// What came while it slept, in order.
    pub(crate) waiting: VecDeque<Event>,
}

/// One run of a node.
pub(crate) struct Node {
    pub(crate) gateway: Gateway,
    turns: Turns<SimHands>,
    tasks: Vec<Task>,
    /// When it claims next, once it does not.
    claims_at: Timestamp,
    is_claiming: bool,
    /// When it looks for what there is to do.
    looks_at: Timestamp,
    /// What was learned of each verification: one thing is applied after the other.
    learned: BTreeMap<VerificationId, VecDeque<Signal>>,
    pub(crate) up_since: Timestamp,
}

/// Something that is under way.
struct Task {
    due: Timestamp,
    work: Work,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An effect is carried out.
    Job,
    /// What is due is claimed, as it is again and again.
    Claim,
    /// What was learned is applied.
    News,
    /// The customer is to be answered, or the provider.
    Request(Act),
}

/// It, as far as it has come.
pub(crate) type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What came of it.
pub(crate) enum Outcome {
    /// An effect was carried out.
    Done,
    Claimed(Result<Option<Timestamp>, Fault>),
    Applied(VerificationId, Result<(), Fault>),
    Insisted(Result<(), Fault>),
    Answered(Act, Box<Reply>),
    /// This hook of the provider was.
    Hooked(usize, Result<HttpAnswer, HookError>),
}

impl Outcome {
    /// The customer is answered so.
    pub(crate) fn answered(act: Act, reply: Reply) -> Self {
        Self::Answered(act, Box::new(reply))
    }
}

impl Machine {
    /// The node, where it is up and awake.
    pub(crate) fn awake(&self) -> Option<&Node> {
        self.node.as_ref().filter(|_| !self.asleep)
    }
}

impl Node {
    pub(crate) fn new(gateway: Gateway, turns: Turns<SimHands>, now: Timestamp) -> Self {
        Self {
            gateway,
            turns,
            tasks: Vec::new(),
            claims_at: now,
            is_claiming: false,
            looks_at: Timestamp::MAX,
            learned: BTreeMap::new(),
            up_since: now,
        }
    }

    /// When something is due here.
    pub(crate) fn due(&self) -> Timestamp {
        let tasks = self.tasks.iter().map(|task| task.due);
        let claims = (!self.is_claiming).then_some(self.claims_at);
        tasks.chain(claims).chain([self.looks_at]).min().unwrap_or(Timestamp::MAX)
    }

    /// Whether an effect is being carried out.
    pub(crate) fn is_busy(&self) -> bool {
        self.tasks.iter().any(|task| task.kind == Kind::Job && task.due != Timestamp::MAX)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.iter().all(|task| task.kind == Kind::Claim) && self.learned.is_empty()
    }

    /// The requests that nobody will answer any more.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = Act> {
        self.tasks.iter().filter_map(|task| match task.kind {
            Kind::Request(act) => Some(act),
            Kind::Job | Kind::Claim | Kind::News => None,
        })
    }

    /// Whoever ran may have left something to do.
    pub(crate) fn look_by(&mut self, at: Timestamp) {
        self.looks_at = self.looks_at.min(at);
    }

    /// A request of the customer comes in.
    pub(crate) fn ask(&mut self, now: Timestamp, act: Act, work: Work) {
        self.tasks.push(Task { due: now, work, kind: Kind::Request(act) });
    }

    /// Something was learned on a call.
    pub(crate) fn learn(&mut self, now: Timestamp, id: VerificationId, signal: Signal) {
        let queue = self.learned.entry(id.clone()).or_default();
        queue.push_back(signal);
        if queue.len() == 1 {
            self.apply(now, id);
        }
    }

    fn apply(&mut self, now: Timestamp, id: VerificationId) {
        let Some(signal) = self.learned.get(&id).and_then(|queue| queue.front().cloned()) else {
            return;
        };
        let gateway = self.gateway.clone();
        let work = Box::pin(async move {
            let result = gateway.signal(&id, signal).await;
            Outcome::Applied(id, result)
        });
        self.tasks.push(Task { due: now, work, kind: Kind::News });
    }

    /// Does the one thing that is due first; `here` is the time by its own clock.
    pub(crate) fn step(
        &mut self,
        now: Timestamp,
        here: Timestamp,
        links: &Links,
    ) -> Option<Outcome> {
        let first = self.tasks.iter().enumerate().min_by_key(|(index, task)| (task.due, *index));
        if let Some((index, _)) = first.filter(|(_, task)| task.due <= now) {
            return self.poll(index, now, here, links);
        }
        if self.looks_at <= now {
            self.looks_at = Timestamp::MAX;
            self.turns.heed();
            for job in self.turns.jobs() {
                let work = Box::pin(async move {
                    job.await;
                    Outcome::Done
                });
                self.tasks.push(Task { due: now, work, kind: Kind::Job });
            }
            if let Some(at) = self.turns.woken() {
                self.claims_at = self.claims_at.min(now + at.since(here) + MILLISECOND);
            }
        } else if self.claims_at <= now && !self.is_claiming {
            (self.claims_at, self.is_claiming) = (Timestamp::MAX, true);
            let claim = self.turns.claim();
            let work = Box::pin(async move { Outcome::Claimed(claim.await) });
            self.tasks.push(Task { due: now, work, kind: Kind::Claim });
        }
        None
    }

    fn poll(
        &mut self,
        index: usize,
        now: Timestamp,
        here: Timestamp,
        links: &Links,
    ) -> Option<Outcome> {
        let task = self.tasks.get_mut(index)?;
        // It may have left something to do, even where it goes on.
        self.looks_at = self.looks_at.min(now + LEAVES);
        let polled = task.work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(outcome) = polled else {
            let until = links.lock().unwrap().until.take();
            task.due = until.unwrap_or(now + RESTS);
            return None;
        };
        drop(self.tasks.remove(index));
        match &outcome {
            Outcome::Claimed(next) => {
                let wait = match next {
                    Ok(next) => next.map_or(CLAIM_EVERY, |at| at.since(here).min(CLAIM_EVERY)),
                    Err(_) => AFTER_FAULT,
                };
                self.claims_at = self.claims_at.min(now + wait + MILLISECOND);
                self.is_claiming = false;
            }
            Outcome::Applied(id, result) => {
                let signal = self.learned.get_mut(id).and_then(VecDeque::pop_front);
                if self.learned.get(id).is_some_and(VecDeque::is_empty) {
                    self.learned.remove(id);
                }
                // As `gateway/start.rs` does.
                if let Some(signal @ Signal::Ended { .. }) = signal.filter(|_| result.is_err()) {
                    let (gateway, id) = (self.gateway.clone(), id.clone());
                    let work = Box::pin(async move {
                        let result = gateway.insist(&id, signal).await;
                        Outcome::Insisted(result)
                    });
                    self.tasks.push(Task { due: now, work, kind: Kind::News });
                }
                self.apply(now, id.clone());
            }
            Outcome::Done | Outcome::Insisted(_) | Outcome::Answered(..) | Outcome::Hooked(..) => {}
        }
        Some(outcome)
    }
}
