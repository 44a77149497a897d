//! The world in motion: takes the next thing that happens, moves the clock there, lets it happen,
//! and has the judge look.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use octothorpe::ambient::{Clock, Entropy, Timestamp};
use octothorpe::gateway::settings::Settings;
use octothorpe::gateway::{Fault, Gateway, Turns};
use octothorpe::media::prompt::Pack;
use octothorpe::store::Store;
use octothorpe::verify::code::Vault;
use octothorpe::verify::request::Channel;
use octothorpe::verify::route::{Rule, Table};

use crate::customer::Customer;
use crate::hands::{Bug, Shared, SimHands};
use crate::judge::{Health, Judge};
use crate::legs::Legs;
use crate::log;
use crate::phone::Phone;
use crate::plan::{Plan, TRUNKS};
use crate::state::{Act, Event, State, gateway};

/// The gateway looks for what lost nodes left behind this often, and a millisecond later than
/// what is due, as its claimer does.
const CLAIM_EVERY: Duration = Duration::from_secs(5);
const MILLISECOND: Duration = Duration::from_millis(1);

/// How long nothing must happen after everything is done.
const CALM: Duration = Duration::from_secs(60);

/// No world lasts longer, in its own time and in steps.
const END: Duration = Duration::from_secs(3 * 60 * 60);
const STEPS: usize = 500_000;

/// How a world went.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) trace: Vec<String>,
    /// The verdicts' statuses and reasons.
    pub(crate) verdicts: Vec<String>,
    /// What was wrong.
    pub(crate) wrong: Option<String>,
}

/// The result of what never waits here: the store is memory, and the clock stands still.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits, where nothing is to be waited for"),
    }
}

struct World {
    seed: u64,
    bug: Bug,
    shared: Shared,
    clock: Clock,
    store: Store,
    node: Option<Node>,
    asleep: bool,
    /// What came while the node slept, in order.
    waiting: VecDeque<Event>,
    customer: Customer,
    judge: Judge,
    numbers: Vec<String>,
    gateway_ran: bool,
}

/// One run of the node.
struct Node {
    gateway: Gateway,
    turn: Turn,
    /// When it wants its next turn.
    due: Timestamp,
    up_since: Timestamp,
}

type Turning = Pin<Box<dyn Future<Output = (Turns<SimHands>, Result<Option<Timestamp>, Fault>)>>>;

enum Turn {
    Idle(Turns<SimHands>),
    /// In the midst of a turn, held up by the world.
    Held(Turning),
}

/// What comes next.
enum Next {
    Queued,
    Phones,
    Legs,
    Turn,
}

/// Lives a world through.
pub(crate) fn run(seed: u64, bug: Bug, prompts: &Arc<Pack>) -> Report {
    log::keep();
    drop(log::take());
    let mut world = World::new(seed, bug, Arc::clone(prompts));
    world.live();
    world.report()
}

impl World {
    fn new(seed: u64, bug: Bug, prompts: Arc<Pack>) -> Self {
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let plan = Plan::of(seed);
        let store = Store::memory();
        let digits = |number: &str| number[number.len() - 7..].to_owned();
        let mut world = Self {
            seed,
            bug,
            customer: Customer::new(&plan),
            numbers: plan.people.iter().map(|it| digits(it.number.expose())).collect(),
            shared: Arc::new(Mutex::new(State::new(seed, plan, clock.clone(), Legs::new(prompts)))),
            clock,
            judge: Judge::new(store.clone()),
            store,
            node: None,
            asleep: false,
            waiting: VecDeque::new(),
            gateway_ran: false,
        };
        world.state().foresee();
        world.boot();
        world
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap()
    }

    fn live(&mut self) {
        let end = self.clock.now() + END;
        let mut calm_since: Option<Timestamp> = None;
        for _ in 0..STEPS {
            let now = self.clock.now();
            if self.state().facts.wrong.is_some() {
                return;
            }
            match (self.is_calm(), calm_since) {
                (true, None) => calm_since = Some(now),
                (true, Some(since)) if now > since + CALM => {
                    return self.judge.conclude(&mut self.shared.lock().unwrap());
                }
                (true, Some(_)) => {}
                (false, _) => calm_since = None,
            }
            if now > end {
                break;
            }
            self.step();
        }
        self.state().accuse("it never came to rest");
        self.judge.conclude(&mut self.shared.lock().unwrap());
    }

    fn is_calm(&self) -> bool {
        let state = self.state();
        state.queue.is_empty()
            && state.legs.is_empty()
            && self.waiting.is_empty()
            && state.phones.values().all(|phone| phone.deadline().is_none())
            && self.customer.is_done(&state)
            && self.judge.is_content(&state)
    }

    fn report(self) -> Report {
        let mut state = self.shared.lock().unwrap();
        let word = |it: &octothorpe::verify::signal::Verdict| {
            format!("{} {}", it.status().as_str(), it.reason().as_str())
        };
        Report {
            trace: std::mem::take(&mut state.trace),
            verdicts: self.judge.verdicts().map(word).collect(),
            wrong: state.facts.wrong.take(),
        }
    }

    fn step(&mut self) {
        self.gateway_ran = false;
        let waited = if self.asleep { None } else { self.waiting.pop_front() };
        match waited {
            Some(event) => self.happen(event),
            None => self.advance(),
        }
        self.read_log();
        let health = self.health();
        self.judge.look(&mut self.shared.lock().unwrap(), health, self.gateway_ran);
    }

    fn advance(&mut self) {
        let (at, next) = self.next();
        self.clock.advance(at.since(self.clock.now()));
        match next {
            Next::Queued => {
                let event = self.state().queue.pop_first();
                if let Some((_, event)) = event {
                    self.happen(event);
                }
            }
            Next::Phones => self.state().phones_lapse(),
            Next::Legs => self.state().legs_lapse(),
            Next::Turn => self.turn(),
        }
    }

    /// What is due first; the clock never goes back for what is overdue.
    fn next(&self) -> (Timestamp, Next) {
        let state = self.state();
        let queued = state.queue.first_key_value().map(|((at, _), _)| (*at, Next::Queued));
        let phones = state.phones.values().filter_map(Phone::deadline).min();
        let phones = phones.map(|at| (at, Next::Phones));
        let awake = self.node.as_ref().filter(|_| !self.asleep);
        let legs = awake.and_then(|_| state.legs.deadline()).map(|at| (at, Next::Legs));
        let turn = awake.map(|node| (node.due, Next::Turn));
        let all = [queued, phones, legs, turn].into_iter().flatten();
        all.min_by_key(|(at, _)| *at).unwrap_or((self.clock.now(), Next::Phones))
    }

    fn health(&self) -> Health {
        let awake = self.node.as_ref().filter(|_| !self.asleep);
        Health {
            up_since: awake.map(|node| node.up_since),
            busy: awake.is_some_and(|node| matches!(node.turn, Turn::Held(_))),
            lost_once: self.state().node > 1,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Crash(dead) => self.crash(dead),
            Event::Boot => self.boot(),
            Event::Sleep(asleep) => self.sleep(asleep),
            Event::Wake => self.wake(),
            Event::Arrives(datagram) if datagram.to.ip() != gateway().ip() => {
                self.state().arrives(&datagram);
            }
            event @ (Event::Arrives(_) | Event::Learned { .. } | Event::Act(_)) if self.asleep => {
                self.waiting.push_back(event);
            }
            Event::Arrives(datagram) => {
                if self.node.is_some() {
                    self.state().reaches_node(&datagram);
                }
            }
            Event::Learned { node, verification, signal } => {
                let Some(up) = self.node.as_ref().filter(|_| node == self.state().node) else {
                    return;
                };
                if let Err(fault) = at_once(up.gateway.signal(&verification, signal)) {
                    self.state().accuse(format!("a signal was not applied: {fault}"));
                }
                self.ran();
            }
            Event::Act(act) => self.act(act),
        }
    }

    fn act(&mut self, act: Act) {
        let Some(node) = &self.node else {
            // Connection refused: it tries again.
            let mut state = self.state();
            let at = state.now() + Duration::from_secs(1);
            return state.at(at, Event::Act(act));
        };
        let (Act::Begin(person)
        | Act::Clash(person)
        | Act::Cancel(person)
        | Act::Read(person)
        | Act::Type(person)) = act;
        let mut state = self.shared.lock().unwrap();
        let id = self.customer.act(&node.gateway, act, &mut state);
        if let Some(id) = id {
            self.judge.watch(&id, person, &mut state);
        }
        drop(state);
        if self.ran() {
            // The answer was not out yet.
            self.customer.heard_nothing(act);
            let mut state = self.state();
            let at = state.now() + Duration::from_secs(1);
            state.at(at, Event::Act(act));
        }
    }

    /// The gateway ran, and wants to carry out what it decided: unless it dies before.
    fn ran(&mut self) -> bool {
        self.gateway_ran = true;
        let mut state = self.shared.lock().unwrap();
        let now = state.now();
        let soon = now + Duration::from_micros(state.fate.number(10, 2_000));
        if let Some(node) = self.node.as_mut().filter(|node| matches!(node.turn, Turn::Idle(_))) {
            node.due = node.due.min(soon);
        }
        let chance = state.plan.fragile;
        let dies = state.fate.permille(chance);
        if dies {
            let dead = state.fate.millis(50, 20_000);
            state.at(now, Event::Crash(dead));
        }
        dies
    }

    fn turn(&mut self) {
        let Some(node) = self.node.take() else { return };
        self.gateway_ran = true;
        let Node { gateway, turn, up_since, .. } = node;
        let mut turning: Turning = match turn {
            Turn::Held(turning) => turning,
            Turn::Idle(mut turns) => Box::pin(async move {
                let result = turns.turn().await;
                (turns, result)
            }),
        };
        let polled = turning.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let now = self.clock.now();
        let (turn, due) = match polled {
            Poll::Pending => (Turn::Held(turning), self.state().held_up),
            Poll::Ready((turns, result)) => {
                let next = match result {
                    Ok(next) => next,
                    Err(fault) => {
                        self.state().accuse(format!("a turn failed: {fault}"));
                        None
                    }
                };
                let wait = next.map_or(CLAIM_EVERY, |at| at.since(now).min(CLAIM_EVERY));
                (Turn::Idle(turns), now + wait + MILLISECOND)
            }
        };
        self.node = Some(Node { gateway, turn, due, up_since });
    }

    fn boot(&mut self) {
        let mut state = self.state();
        state.node += 1;
        state.tell("node boots");
        let (node, now) = (state.node, state.now());
        let trunks = TRUNKS.iter().take(state.plan.trunks).copied();
        let rule = Rule::every(Channel::Voice, trunks);
        drop(state);
        let settings = Settings {
            tenants: vec![self.customer.tenant.clone()],
            routes: Table::new(vec![rule]),
            ..Settings::bare()
        };
        let (gateway, turns) = Gateway::assemble(
            self.store.clone(),
            &settings,
            Vault::of("the same in every run"),
            self.clock.clone(),
            Entropy::from_number(self.seed.wrapping_mul(1_000).wrapping_add(node)),
            SimHands { world: Arc::clone(&self.shared), bug: self.bug },
        );
        self.node = Some(Node { gateway, turn: Turn::Idle(turns), due: now, up_since: now });
    }

    fn crash(&mut self, dead: Duration) {
        if self.node.take().is_none() {
            return;
        }
        self.asleep = false;
        let waiting = std::mem::take(&mut self.waiting);
        let mut state = self.state();
        state.tell("node dies");
        state.node_dies();
        let now = state.now();
        state.at(now + dead, Event::Boot);
        for event in waiting {
            if matches!(event, Event::Act(_)) {
                state.at(now, event);
            }
        }
    }

    fn sleep(&mut self, asleep: Duration) {
        if self.node.is_none() || self.asleep {
            return;
        }
        self.asleep = true;
        let mut state = self.state();
        state.tell("node falls asleep");
        let at = state.now() + asleep;
        state.at(at, Event::Wake);
    }

    fn wake(&mut self) {
        if !std::mem::take(&mut self.asleep) {
            return;
        }
        let now = self.clock.now();
        if let Some(node) = &mut self.node {
            node.up_since = now;
        }
        let mut state = self.state();
        state.tell("node wakes");
        state.disturb();
    }

    /// No number in any line, and no fault of ours.
    fn read_log(&self) {
        for line in log::take() {
            let mut state = self.state();
            state.tell(format!("log {line}"));
            if self.numbers.iter().any(|number| line.contains(number)) {
                state.accuse("a number is in the log");
            }
            if line.trim_start().starts_with("ERROR") {
                state.accuse("the gateway logged a fault of its own");
            }
        }
    }
}

impl State {
    /// Queues what the plan has decided.
    fn foresee(&mut self) {
        let mut events = Vec::new();
        for (index, person) in self.plan.people.iter().enumerate() {
            events.push((person.begin, Event::Act(Act::Begin(index))));
            let acts = |times: &[Duration], act: Act| {
                times.iter().map(|at| (*at, Event::Act(act))).collect::<Vec<_>>()
            };
            events.extend(acts(&person.repeats, Act::Begin(index)));
            events.extend(acts(person.clash.as_slice(), Act::Clash(index)));
            events.extend(acts(person.cancel.as_slice(), Act::Cancel(index)));
            events.extend(acts(&person.reads, Act::Read(index)));
            events.extend(acts(&person.types, Act::Type(index)));
        }
        events.extend(self.plan.crashes.iter().map(|(at, dead)| (*at, Event::Crash(*dead))));
        events.extend(self.plan.naps.iter().map(|(at, nap)| (*at, Event::Sleep(*nap))));
        for (after, event) in events {
            let at = self.start + after;
            self.at(at, event);
        }
    }
}
