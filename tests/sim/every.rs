//! Every interleaving of three events on two nodes over one store: two real gateways, stopped before
//! each verb that touches the verification, and whoever goes on next is each of those that can.
//! What was seen before is not gone into again.
//!
//! The events come to a verification whose first call node 0 has just been told to place. What a call
//! learns comes once that rings, on the node that has it.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use octothorpe::ambient::{Clock, Entropy, Timestamp};
use octothorpe::carrier::Receipt;
use octothorpe::gateway::settings::{Settings, Tenant};
use octothorpe::gateway::{AnswerOf, Answered, Asked, Failure, Gateway, Hands, Turns};
use octothorpe::store::record::{self, Delivery};
use octothorpe::store::{
    Between, Commit, Committed, Done, EffectId, Passage, Store, StoreError, Stored, Verb,
};
use octothorpe::verify::attempt::AttemptNo;
use octothorpe::verify::code::{CHECKS, Code, Vault};
use octothorpe::verify::policy::Rules;
use octothorpe::verify::request::{Channel, Mode, Request, Way};
use octothorpe::verify::route::{Rule, Table};
use octothorpe::verify::signal::{Cause, Effect, Farewell, Press, Reason, Said, Signal, Status};
use octothorpe::verify::{Verification, VerificationId};

use crate::world::at_once;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Happens {
    /// The person presses `#`.
    Yes,
    /// The person reports fraud.
    Fraud,
    /// The call ends, and another trunk may do better.
    Fails,
    /// The caller takes it back, at this node.
    Cancel(usize),
    /// Somebody types the code, or another, at this node.
    Types(usize, bool),
    /// This node looks for what is due.
    Claims(usize),
    /// Time passes in which nobody renews a lease.
    Lapse,
    /// The deadline comes.
    Deadline,
    /// Node 0 dies.
    Dies,
    /// The store carries a verb out, and its answer is lost.
    Loses,
}

/// A fault to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    /// A commit overwrites what another has changed meanwhile.
    NoFence,
    /// The clock of node 0 stands still: it takes a lease that has lapsed for its own.
    StoppedClock,
}

/// What was seen of one set of events.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) states: usize,
    pub(crate) ends: usize,
    /// How it ended, each way.
    pub(crate) verdicts: BTreeSet<String>,
    /// The first thing that was wrong, and how it came to it.
    pub(crate) wrong: Option<(String, Vec<String>)>,
}

/// What one of those that could went on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// This event happens.
    Begin(Happens),
    /// The task of this number goes on to its next verb.
    Go(usize),
}

/// Goes through all of it.
pub(crate) fn explore(mode: Mode, events: &[Happens], planted: Planted) -> Seen {
    let mut seen = Seen::default();
    let mut known = HashSet::new();
    let mut open: Vec<Vec<Move>> = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let mut scene = Scene::new(mode, events, planted);
        path.iter().for_each(|step| scene.take(*step));
        if let Some(wrong) = scene.wrong() {
            seen.wrong = Some((wrong, scene.told));
            return seen;
        }
        if !known.insert(scene.fingerprint()) {
            continue;
        }
        seen.states += 1;
        let moves = scene.moves();
        if moves.is_empty() {
            seen.ends += 1;
            seen.verdicts.insert(scene.conclude());
            if let Some(wrong) = scene.wrong() {
                seen.wrong = Some((wrong, scene.told));
                return seen;
            }
        }
        open.extend(moves.into_iter().map(|step| [path.as_slice(), &[step]].concat()));
    }
    seen
}

/// What is known besides the gateways' own account.
#[derive(Debug, Default)]
struct Facts {
    /// Which task is polled, and what each has seen of the store.
    current: usize,
    /// Counts verbs, before and after.
    stops: u64,
    saw: BTreeMap<usize, u64>,
    owners: BTreeMap<EffectId, usize>,
    /// What another took from a node that was believed lost.
    lost: BTreeSet<(EffectId, usize)>,
    /// When each node last used the store with success.
    used: [Vec<Timestamp>; 2],
    rings: Vec<(AttemptNo, usize)>,
    said_yes: bool,
    typed: bool,
    wrong_codes: u8,
    loses: bool,
    wrong: Option<String>,
}

type Shared = Arc<Mutex<Facts>>;

/// Comes to be the second time it is asked.
struct Stop(bool);

impl Future for Stop {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// The way of a node to the store.
struct Link {
    node: usize,
    clock: Clock,
    facts: Shared,
    planted: Planted,
    store: Store,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.node)
    }
}

impl Link {
    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    fn saw(&self, done: &Done<'_>) -> Result<(), StoreError> {
        let mut facts = self.facts();
        facts.stops += 1;
        let current = facts.current;
        let mut hasher = DefaultHasher::new();
        facts.saw.get(&current).hash(&mut hasher);
        let writes = match done {
            Done::Read(stored) => {
                stored.as_ref().map(|it| (it.version, &it.bytes)).hash(&mut hasher);
                false
            }
            Done::Commit(commit, outcome) => {
                format!("{outcome:?}").hash(&mut hasher);
                if **outcome == Committed::Yes {
                    self.committed(&mut facts, commit);
                }
                true
            }
            Done::Claim(claimed) => {
                format!("{claimed:?}").hash(&mut hasher);
                for effect in &claimed.effects {
                    let former = facts.owners.insert(effect.id.clone(), self.node);
                    if let Some(former) = former.filter(|former| *former != self.node) {
                        facts.lost.insert((effect.id.clone(), former));
                    }
                }
                true
            }
            Done::Tally => false,
        };
        facts.saw.insert(current, hasher.finish());
        let now = self.clock.now();
        let lost = writes && std::mem::take(&mut facts.loses);
        if lost {
            return Err(StoreError::Failed("the answer was lost".to_owned()));
        }
        if writes && facts.used[self.node].last() != Some(&now) {
            facts.used[self.node].push(now);
        }
        Ok(())
    }

    fn committed(&self, facts: &mut Facts, commit: &Commit) {
        for queued in &commit.queue {
            facts.owners.remove(&queued.id);
            if queued.claimed_by.is_some() {
                facts.owners.insert(queued.id.clone(), self.node);
            }
        }
        for id in commit.done.iter().chain(commit.postpone.iter().map(|it| &it.id)) {
            facts.owners.remove(id);
        }
    }
}

impl Between for Link {
    fn before<'a>(&'a self, verb: Verb<'a>) -> Passage<'a> {
        Box::pin(async move {
            self.facts().stops += 1;
            // Between other verbs it makes no difference who goes on.
            let matters = match &verb {
                Verb::Read(record) => record.is_some_and(|id| id.starts_with("vf_")),
                Verb::Commit(commit) => commit.record.is_some(),
                Verb::Claim => true,
                Verb::Tally => false,
            };
            if matters {
                Stop(false).await;
            }
            if let (Planted::NoFence, Verb::Commit(Commit { record: Some(write), .. })) =
                (self.planted, verb)
            {
                let stored: Option<Stored> = at_once(self.store.load(&write.id)).unwrap();
                write.expected = stored.map(|stored| stored.version);
            }
            Ok(())
        })
    }

    fn after<'a>(&'a self, done: Done<'a>) -> Passage<'a> {
        let answer = self.saw(&done);
        Box::pin(std::future::ready(answer))
    }
}

/// The hands of a node.
struct Ringer {
    node: usize,
    facts: Shared,
}

impl Hands for Ringer {
    async fn place(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        let mut facts = self.facts.lock().unwrap();
        let effect = Effect::Dial { attempt }.name();
        let id = EffectId { record: verification.id.to_string(), effect };
        if facts.lost.contains(&(id, self.node)) {
            facts.wrong = Some(format!("node {} rings for a call that it has lost", self.node));
        }
        if facts.rings.iter().any(|(no, _)| *no == attempt) {
            facts.wrong = Some("a phone rings twice for one attempt".to_owned());
        }
        facts.rings.push((attempt, self.node));
        Receipt::Taken(format!("call-{attempt}"))
    }

    async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {}

    async fn deliver(&self, _: &Delivery) -> Result<(), Failure> {
        Ok(())
    }
}

/// Something that is under way on a node.
struct Task {
    node: usize,
    name: &'static str,
    work: Option<Work>,
    /// How often it went on.
    steps: u32,
    /// Since when it rests: until time passes, it goes nowhere.
    rests: Option<Timestamp>,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Two gateways, and what is under way.
struct Scene {
    clocks: [Clock; 2],
    store: Store,
    facts: Shared,
    nodes: [Option<(Gateway, Turns<Ringer>)>; 2],
    tenant: Tenant,
    tasks: Vec<Task>,
    events: Vec<Happens>,
    id: VerificationId,
    last: Verification,
    planted: Planted,
    told: Vec<String>,
}

impl Scene {
    fn new(mode: Mode, events: &[Happens], planted: Planted) -> Self {
        let start = Timestamp::from_secs(1_800_000_000);
        let clocks = [Clock::manual(start), Clock::manual(start)];
        let (store, facts) = (Store::memory(), Shared::default());
        let countries = BTreeSet::from(["US".parse().unwrap()]);
        let tenant = Tenant {
            rules: Rules { voice_countries: countries, ..Rules::default() },
            ..Tenant::new("acme")
        };
        let settings = Settings {
            tenants: vec![tenant.clone()],
            routes: Table::new(vec![Rule::every(Channel::Voice, ["north", "south"])]),
            ..Settings::bare()
        };
        let node = |node: usize| {
            let link = Link {
                node,
                clock: clocks[node].clone(),
                facts: Arc::clone(&facts),
                planted,
                store: store.clone(),
            };
            Gateway::assemble(
                store.behind(Arc::new(link)),
                &settings,
                Vault::of("the same in every run"),
                clocks[node].clone(),
                Entropy::from_number(7 + node as u64),
                Ringer { node, facts: Arc::clone(&facts) },
            )
        };
        let nodes = [node(0), node(1)];
        let request = Request {
            expires_in: 60,
            ..Request::new("+14155550132".parse().unwrap(), Way { channel: Channel::Voice, mode })
        };
        let code = (mode == Mode::Code).then(|| Code::parse("493817")).flatten();
        let asked = Asked { code, ..Asked::plainly(request) };
        let answer = AnswerOf { idempotency: None, render: |_| Vec::new() };
        let began = to_the_end(nodes[0].0.begin(&tenant, asked, answer));
        let Ok(Answered::Fresh { id, .. }) = began else { panic!("{began:?}") };
        for (_, turns) in &nodes {
            to_the_end(turns.claim()).unwrap();
        }
        let last = load(&store, &id);
        let mut scene = Self {
            clocks,
            store,
            facts,
            nodes: nodes.map(Some),
            tenant,
            tasks: Vec::new(),
            events: events.to_vec(),
            id,
            last,
            planted,
            told: Vec::new(),
        };
        scene.collect();
        scene
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    fn wrong(&self) -> Option<String> {
        self.facts().wrong.clone()
    }

    /// Who can go on, and what can happen.
    fn moves(&self) -> Vec<Move> {
        let rings = |node| self.facts().rings.iter().any(|(_, by)| *by == node);
        let can = |event: &Happens| match event {
            Happens::Yes | Happens::Fraud | Happens::Fails => rings(0) && self.nodes[0].is_some(),
            Happens::Cancel(node) | Happens::Types(node, _) | Happens::Claims(node) => {
                self.nodes[*node].is_some()
            }
            Happens::Lapse | Happens::Deadline | Happens::Dies | Happens::Loses => true,
        };
        let mut events: Vec<Happens> = self.events.iter().copied().filter(can).collect();
        events.sort_unstable();
        events.dedup();
        let goes = |task: &Task| {
            task.work.is_some() && task.rests.is_none_or(|at| self.clocks[task.node].now() > at)
        };
        let going = self.tasks.iter().enumerate().filter(|(_, task)| goes(task));
        let going = going.map(|(index, _)| Move::Go(index));
        events.into_iter().map(Move::Begin).chain(going).collect()
    }

    fn take(&mut self, step: Move) {
        match step {
            Move::Begin(event) => {
                self.told.push(format!("{event:?}"));
                if let Some(at) = self.events.iter().position(|it| *it == event) {
                    self.events.remove(at);
                }
                self.begin(event);
            }
            Move::Go(index) => self.go(index),
        }
        self.collect();
        self.look();
    }

    fn begin(&mut self, event: Happens) {
        let attempt = AttemptNo::FIRST;
        let press = Press::by("rfc4733", self.clocks[0].now());
        match event {
            Happens::Yes => {
                self.facts().said_yes = true;
                self.signal(0, Signal::heard(attempt, Said::Confirmed, press));
            }
            Happens::Fraud => self.signal(0, Signal::heard(attempt, Said::FraudReported, press)),
            Happens::Fails => {
                let cause = Cause::because(Reason::CarrierError, "the trunk failed");
                self.signal(0, Signal::Ended { attempt, cause });
            }
            Happens::Cancel(node) => {
                let Some(gateway) = self.gateway(node) else { return };
                let (tenant, id) = (self.tenant.clone(), self.id.clone());
                let answer = AnswerOf { idempotency: None, render: |_| Vec::new() };
                self.spawn(node, "cancel", async move {
                    let _ = gateway.cancel(&tenant, &id, answer).await;
                });
            }
            Happens::Types(node, right) => {
                let Some(gateway) = self.gateway(node) else { return };
                let (tenant, id) = (self.tenant.clone(), self.id.clone());
                self.facts().typed |= right;
                let facts = Arc::clone(&self.facts);
                self.spawn(node, "check", async move {
                    let code = if right { "493817" } else { "493818" };
                    let answer = AnswerOf { idempotency: None, render: status };
                    let checked = gateway.check(&tenant, &id, code, None, answer).await;
                    if let (false, Ok(Some(Answered::Fresh { body, .. }))) = (right, checked)
                        && body == Status::Pending.as_str().as_bytes()
                    {
                        facts.lock().unwrap().wrong_codes += 1;
                    }
                });
            }
            Happens::Claims(node) => self.claim(node),
            Happens::Lapse => self.pass(Duration::from_secs(16)),
            Happens::Deadline => {
                let left = self.last.expires_at.since(self.clocks[1].now());
                self.pass(left + Duration::from_millis(1));
            }
            Happens::Dies => {
                self.nodes[0] = None;
                self.tasks.iter_mut().filter(|it| it.node == 0).for_each(|it| it.work = None);
            }
            Happens::Loses => self.facts().loses = true,
        }
    }

    fn gateway(&self, node: usize) -> Option<Gateway> {
        self.nodes[node].as_ref().map(|(gateway, _)| gateway.clone())
    }

    fn signal(&mut self, node: usize, signal: Signal) {
        let Some(gateway) = self.gateway(node) else { return };
        let id = self.id.clone();
        self.spawn(node, "signal", async move {
            // As what a call learned is applied, in `gateway/start.rs`.
            let again = matches!(signal, Signal::Ended { .. }).then(|| signal.clone());
            if let (Err(_), Some(signal)) = (gateway.signal(&id, signal).await, again) {
                let _ = gateway.insist(&id, signal).await;
            }
        });
    }

    fn claim(&mut self, node: usize) {
        let Some((_, turns)) = &self.nodes[node] else { return };
        let claim = turns.claim();
        self.spawn(node, "claim", async move {
            let _ = claim.await;
        });
    }

    fn spawn(
        &mut self,
        node: usize,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let work: Work = Box::pin(work);
        self.tasks.push(Task { node, name, work: Some(work), steps: 0, rests: None });
        // On to its first verb: what is before that, nobody sees.
        self.go(self.tasks.len() - 1);
    }

    fn pass(&self, span: Duration) {
        let stopped = usize::from(self.planted == Planted::StoppedClock);
        self.clocks[stopped..].iter().for_each(|clock| clock.advance(span));
    }

    fn go(&mut self, index: usize) {
        self.facts().current = index;
        let stops = self.facts().stops;
        let task = &mut self.tasks[index];
        let Some(work) = &mut task.work else { return };
        let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let went_on = self.facts.lock().unwrap().stops != stops;
        task.steps += u32::from(went_on);
        task.rests = (!went_on).then(|| self.clocks[task.node].now());
        if polled.is_ready() {
            task.work = None;
        }
        self.told.push(format!("node {}: {} {index}, step {}", task.node, task.name, task.steps));
    }

    /// Takes up what there is to do.
    fn collect(&mut self) {
        for node in 0..2 {
            let Some((_, turns)) = &mut self.nodes[node] else { continue };
            let jobs: Vec<Work> =
                turns.jobs().into_iter().map(|job| Box::pin(job) as Work).collect();
            jobs.into_iter().for_each(|job| self.spawn(node, "effect", job));
        }
    }

    /// What must hold, always.
    fn look(&mut self) {
        let next = load(&self.store, &self.id);
        let mut facts = self.facts.lock().unwrap();
        let last = &self.last;
        let mut earlier = next.attempts.iter().rev().skip(1);
        let left = next.secret.as_ref().map(|secret| secret.checks_left);
        let consent = facts.said_yes || facts.typed;
        let checks = [
            (last.verdict().is_some() && last.verdict() != next.verdict(), "a verdict changed"),
            (
                next.version < last.version || next.attempts.len() < last.attempts.len(),
                "a record went back",
            ),
            (
                earlier.any(|it| it.reason == Some(Reason::NodeLost)),
                "it was called again after its node was lost",
            ),
            (next.status() == Status::Approved && !consent, "it was approved, and nobody said yes"),
            (
                left.is_some_and(|left| CHECKS - left < facts.wrong_codes),
                "a wrong code was not counted",
            ),
        ];
        if let Some((_, what)) = checks.into_iter().find(|(is_wrong, _)| *is_wrong) {
            facts.wrong.get_or_insert(what.to_owned());
        }
        self.last = next;
    }

    /// Lets everything come to its end; how it ended.
    fn conclude(&mut self) -> String {
        for _ in 0..80 {
            if self.last.verdict().is_some() {
                break;
            }
            self.clocks.iter().for_each(|clock| clock.advance(Duration::from_secs(2)));
            (0..2).for_each(|node| self.claim(node));
            for index in 0..self.tasks.len() {
                for _ in 0..40 {
                    self.go(index);
                    self.collect();
                }
            }
            self.look();
        }
        match self.last.verdict() {
            Some(verdict) => verdict.reason().as_str().to_owned(),
            None => {
                self.facts().wrong = Some("it was never settled".to_owned());
                "nothing".to_owned()
            }
        }
    }

    /// The same for two scenes of which the same can become.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let facts = self.facts();
        format!("{:?}", self.store).hash(&mut hasher);
        self.clocks.each_ref().map(|clock| clock.now().as_micros()).hash(&mut hasher);
        self.nodes.each_ref().map(Option::is_some).hash(&mut hasher);
        let mut events = self.events.clone();
        events.sort_unstable();
        events.hash(&mut hasher);
        let mut tasks: Vec<_> = (self.tasks.iter().enumerate())
            .filter(|(_, task)| task.work.is_some())
            .map(|(index, it)| {
                (it.node, it.name, it.steps, it.rests.is_some(), facts.saw.get(&index))
            })
            .collect();
        tasks.sort_unstable();
        tasks.hash(&mut hasher);
        for used in &facts.used {
            used.iter().map(|at| at.as_micros()).collect::<Vec<_>>().hash(&mut hasher);
        }
        (facts.said_yes, facts.typed, facts.wrong_codes, facts.loses).hash(&mut hasher);
        (&facts.rings, &facts.lost, &facts.owners).hash(&mut hasher);
        hasher.finish()
    }
}

fn status(verification: &Verification) -> Vec<u8> {
    verification.status().as_str().as_bytes().to_vec()
}

fn load(store: &Store, id: &VerificationId) -> Verification {
    let stored = at_once(store.load(id.as_str())).unwrap().unwrap();
    record::decode(&stored.bytes).unwrap()
}

/// Alone, from the first verb to the last.
fn to_the_end<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    for _ in 0..100 {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
    panic!("it comes to no end")
}
