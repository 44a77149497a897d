//! The world in motion: takes the next thing that happens, moves the clocks there, lets it happen,
//! and has the judge look.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use octothorpe::ambient::{Clock, Entropy, Timestamp};
use octothorpe::gateway::Gateway;
use octothorpe::gateway::settings::Settings;
use octothorpe::media::prompt::Pack;
use octothorpe::store::Store;
use octothorpe::verify::request::Channel;
use octothorpe::verify::route::{Rule, Table};

use crate::account::{self, BASE, vault};
use crate::customer::Customer;
use crate::hands::{Bug, Shared, SimHands};
use crate::judge::{Health, Judge};
use crate::link::{Link, Links, Wiring};
use crate::log;
use crate::node::{Machine, Node, Outcome};
use crate::phone::Phone;
use crate::plan::{CLOUD, Peer, Plan, TRUNKS};
use crate::state::{Act, Event, State, gateway};

/// How long nothing must happen after everything is done.
const CALM: Duration = Duration::from_secs(60);

/// When a customer asks again that was not answered; and when it asks another node where one is slow.
const AGAIN: Duration = Duration::from_secs(1);
const ELSEWHERE: Duration = Duration::from_secs(10);

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
    links: Links,
    clock: Clock,
    store: Store,
    machines: Vec<Machine>,
    customer: Customer,
    judge: Judge,
    numbers: Vec<String>,
    /// Whose node ran in this step.
    ran: Option<usize>,
}

/// What comes next.
enum Next {
    Queued,
    Phones,
    Legs(usize),
    Node(usize),
    /// What came while it slept.
    Waited(usize),
}

/// Lives the world of a seed through.
pub(crate) fn run(seed: u64, bug: Bug, prompts: &Arc<Pack>) -> Report {
    live(seed, Plan::of(seed), bug, prompts)
}

/// Lives a world of adversaries through.
pub(crate) fn run_hostile(seed: u64, prompts: &Arc<Pack>) -> Report {
    live(seed, Plan::hostile(seed), Bug::None, prompts)
}

fn live(seed: u64, plan: Plan, bug: Bug, prompts: &Arc<Pack>) -> Report {
    log::keep();
    drop(log::take());
    let mut world = World::new(seed, plan, bug, prompts);
    world.live();
    world.report()
}

impl World {
    fn new(seed: u64, plan: Plan, bug: Bug, prompts: &Arc<Pack>) -> Self {
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let store = Store::memory();
        let digits = |number: &str| number[number.len() - 7..].to_owned();
        let wiring = Wiring::new(seed, &plan, clock.clone(), bug, store.clone());
        let mut world = Self {
            seed,
            bug,
            customer: Customer::new(&plan),
            numbers: plan.people.iter().map(|it| digits(it.number.expose())).collect(),
            machines: plan.clocks.iter().map(|_| Machine::default()).collect(),
            shared: Arc::new(Mutex::new(State::new(seed, plan, clock.clone(), prompts))),
            links: Arc::new(Mutex::new(wiring)),
            clock,
            judge: Judge::new(store.clone()),
            store,
            ran: None,
        };
        world.state().keeps_forks = bug == Bug::KeepsEveryFork;
        world.state().never_cancels = bug == Bug::NeverCancels;
        world.state().foresee();
        (0..world.machines.len()).for_each(|at| world.boot(at));
        world
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap()
    }

    fn wiring(&self) -> MutexGuard<'_, Wiring> {
        self.links.lock().unwrap()
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
        let is_idle = |it: &Machine| {
            it.waiting.is_empty() && it.node.as_ref().is_none_or(|node| node.is_idle())
        };
        state.queue.is_empty()
            && state.sites.iter().all(|site| site.legs.is_empty())
            && self.machines.iter().all(is_idle)
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
        self.ran = None;
        let (at, next) = self.next();
        self.state().advance(at.since(self.clock.now()));
        match next {
            Next::Queued => {
                let event = self.state().queue.pop_first();
                if let Some((_, event)) = event {
                    self.happen(event);
                }
            }
            Next::Phones => self.state().phones_lapse(),
            Next::Legs(at) => self.state().legs_lapse(at),
            Next::Node(at) => self.turn(at),
            Next::Waited(at) => {
                if let Some(event) = self.machines[at].waiting.pop_front() {
                    self.happen(event);
                }
            }
        }
        self.hear_links();
        self.read_log();
        let healths = self.healths();
        self.judge.look(&mut self.shared.lock().unwrap(), &healths, self.ran);
    }

    /// What is due first; no clock goes back for what is overdue.
    fn next(&self) -> (Timestamp, Next) {
        let (state, now) = (self.state(), self.clock.now());
        let queued = state.queue.first_key_value().map(|((at, _), _)| (*at, Next::Queued));
        let phones = state.phones.values().filter_map(Phone::deadline).min();
        let phones = phones.map(|at| (at, Next::Phones));
        let mut first = (now + END, Next::Phones);
        for (at, machine) in self.machines.iter().enumerate() {
            let Some(node) = machine.awake() else { continue };
            if !machine.waiting.is_empty() {
                return (now, Next::Waited(at));
            }
            let legs = state.sites[at].legs.deadline().map(|due| state.when(at, due));
            let legs = legs.map(|due| (due, Next::Legs(at)));
            let all = [legs, Some((node.due(), Next::Node(at)))].into_iter().flatten();
            first = all.fold(first, |first, next| if next.0 < first.0 { next } else { first });
        }
        let all = [queued, phones, Some(first)].into_iter().flatten();
        all.min_by_key(|(at, _)| *at).unwrap_or((now, Next::Phones))
    }

    fn healths(&self) -> Vec<Health> {
        let (state, wiring) = (self.state(), self.wiring());
        let health = |(at, machine): (usize, &Machine)| {
            let node = machine.awake();
            let well = wiring.well_since(at);
            Health {
                run: state.sites[at].run,
                up_since: node.map(|node| node.up_since),
                well_since: node.zip(well).map(|(node, well)| node.up_since.max(well)),
                busy: node.is_some_and(Node::is_busy),
            }
        };
        self.machines.iter().enumerate().map(health).collect()
    }

    fn happen(&mut self, event: Event) {
        let machine =
            |to: std::net::IpAddr| (0..self.machines.len()).find(|at| gateway(*at).ip() == to);
        let at = match &event {
            Event::Crash(at, dead) => return self.crash(*at, *dead),
            Event::Boot(at) => return self.boot(*at),
            Event::Sleep(at, asleep) => return self.sleep(*at, *asleep),
            Event::Wake(at) => return self.wake(*at),
            Event::Disturb(at) => return self.state().disturb(*at),
            Event::Act(act) => return self.send(*act),
            Event::Cloud(due) => return self.state().cloud_lapses(*due),
            Event::Asked(at, _) | Event::Learned { at, .. } => *at,
            Event::Arrives(datagram) => match machine(datagram.to.ip()) {
                Some(at) => at,
                None => return self.state().arrives(datagram),
            },
        };
        if self.machines[at].asleep {
            return self.machines[at].waiting.push_back(event);
        }
        let Some(node) = &mut self.machines[at].node else {
            if let Event::Asked(_, act) = event {
                self.state().ask_again(act);
            }
            return;
        };
        let now = self.clock.now();
        match event {
            Event::Arrives(datagram) => self.state().reaches_node(at, &datagram),
            Event::Learned { run, verification, signal, .. } => {
                if run == self.shared.lock().unwrap().sites[at].run {
                    node.learn(now, verification, signal);
                }
            }
            Event::Asked(_, act) => {
                let mut state = self.shared.lock().unwrap();
                if let Some(work) = self.customer.asks(&node.gateway, act, &mut state) {
                    node.ask(now, act, work);
                }
            }
            Event::Act(_)
            | Event::Crash(..)
            | Event::Boot(_)
            | Event::Sleep(..)
            | Event::Wake(_)
            | Event::Disturb(_)
            | Event::Cloud(_) => {}
        }
    }

    /// A request of the customer, or of the provider, goes to one of the nodes that are up.
    fn send(&mut self, act: Act) {
        let mut state = self.state();
        let hook = matches!(act, Act::Hook(_));
        let up = |at: &usize| {
            let cut = hook && state.is_cut(*at, Peer::Cloud, true);
            self.machines[*at].node.is_some() && !cut
        };
        let up: Vec<usize> = (0..self.machines.len()).filter(up).collect();
        if up.is_empty() {
            // Connection refused: it tries again.
            return state.ask_again(act);
        }
        let at = if up.len() == 1 { up[0] } else { state.fate.pick(&up) };
        if self.machines[at].asleep && up.len() > 1 {
            let later = state.now() + ELSEWHERE;
            state.at(later, Event::Act(act));
        }
        drop(state);
        self.happen(Event::Asked(at, act));
    }

    fn turn(&mut self, at: usize) {
        let (now, here) = (self.clock.now(), self.state().here(at));
        let Some(node) = &mut self.machines[at].node else { return };
        self.ran = Some(at);
        let Some(outcome) = node.step(now, here, &self.links) else { return };
        let mut state = self.shared.lock().unwrap();
        let soon = now + Duration::from_micros(state.fate.number(10, 2_000));
        node.look_by(soon);
        // It may die between a commit and its effects, before an answer is out.
        let chance = state.plan.fragile;
        let dies = state.fate.permille(chance);
        if dies {
            let dead = state.fate.millis(50, 20_000);
            state.at(now, Event::Crash(at, dead));
        }
        match outcome {
            Outcome::Done => {}
            Outcome::Claimed(Err(fault)) if !state.store_failed => {
                state.accuse(format!("a claim failed: {fault}"));
            }
            Outcome::Applied(_, Err(fault)) | Outcome::Insisted(Err(fault))
                if !state.store_failed =>
            {
                state.accuse(format!("a signal was not applied: {fault}"));
            }
            Outcome::Claimed(_) | Outcome::Applied(..) | Outcome::Insisted(_) => {}
            Outcome::Hooked(hook, _) if dies => state.hook_unanswered(hook),
            Outcome::Hooked(hook, answer) => state.hook_answered(hook, answer),
            Outcome::Answered(act, reply) => {
                if dies || self.customer.hears(act, *reply, &self.store, &mut state) {
                    state.ask_again(act);
                }
            }
        }
    }

    fn boot(&mut self, at: usize) {
        let mut state = self.state();
        state.runs += 1;
        let run = state.runs;
        state.sites[at].run = run;
        state.tell(format!("node {at} boots"));
        let (now, clock) = (state.now(), state.begin_clock(at));
        let mut via: Vec<&str> = TRUNKS.iter().take(state.plan.trunks).copied().collect();
        let mut settings = Settings {
            tenants: vec![self.customer.tenant.clone()],
            public_url: Some(BASE.to_owned()),
            ..Settings::bare()
        };
        let mut rules = Vec::new();
        if let Some(cloud) = &state.plan.cloud {
            via.insert(if cloud.first { 0 } else { via.len() }, CLOUD);
            rules.push(Rule::every(Channel::Sms, [CLOUD]));
            settings.carriers.push(account::provider(self.bug));
        }
        rules.push(Rule::every(Channel::Voice, via));
        settings.routes = Table::new(rules);
        drop(state);
        self.wiring().reach(at, run, &clock);
        let link = Link { links: Arc::clone(&self.links), node: at, run, clock: clock.clone() };
        let hands = SimHands {
            world: Arc::clone(&self.shared),
            links: Arc::clone(&self.links),
            at,
            run,
            bug: self.bug,
            carrier: account::carrier(self.bug),
        };
        let (gateway, turns) = Gateway::assemble(
            self.store.behind(Arc::new(link)),
            &settings,
            vault(),
            clock,
            Entropy::from_number(self.seed.wrapping_mul(1_000).wrapping_add(run)),
            hands,
        );
        self.machines[at].node = Some(Node::new(gateway, turns, now));
    }

    fn crash(&mut self, at: usize, dead: Duration) {
        let Some(node) = self.machines[at].node.take() else { return };
        let machine = &mut self.machines[at];
        machine.asleep = false;
        let waiting = std::mem::take(&mut machine.waiting);
        let mut state = self.state();
        state.tell(format!("node {at} dies"));
        state.node_dies(at);
        let now = state.now();
        state.died = now;
        state.at(now + dead, Event::Boot(at));
        let asked = waiting
            .into_iter()
            .filter_map(|event| if let Event::Asked(_, act) = event { Some(act) } else { None });
        for act in node.unanswered().chain(asked) {
            state.ask_again(act);
        }
    }

    fn sleep(&mut self, at: usize, asleep: Duration) {
        if self.machines[at].awake().is_none() {
            return;
        }
        self.machines[at].asleep = true;
        let mut state = self.state();
        state.tell(format!("node {at} falls asleep"));
        state.disturb(at);
        let when = state.now() + asleep;
        state.at(when, Event::Wake(at));
    }

    fn wake(&mut self, at: usize) {
        if !std::mem::take(&mut self.machines[at].asleep) {
            return;
        }
        if let Some(node) = &mut self.machines[at].node {
            node.up_since = self.clock.now();
        }
        let mut state = self.state();
        state.tell(format!("node {at} wakes"));
        state.disturb(at);
    }

    /// What was seen on the ways to the store.
    fn hear_links(&mut self) {
        let mut wiring = self.links.lock().unwrap();
        let mut state = self.shared.lock().unwrap();
        state.store_failed = wiring.has_failed();
        wiring.said.drain(..).for_each(|line| state.tell(line));
        if let Some(wrong) = wiring.wrong.take() {
            state.accuse(wrong);
        }
        for (id, person) in std::mem::take(&mut wiring.born) {
            self.judge.watch(&id, person, &mut state);
        }
    }

    /// No number in any line, and no fault of ours.
    fn read_log(&self) {
        for line in log::take() {
            let mut state = self.state();
            state.tell(format!("log {line}"));
            if self.numbers.iter().any(|number| line.contains(number)) {
                state.accuse("a number is in the log");
            }
            // Whoever slept for long has lost its lease, and says so.
            let excused = state.store_failed || line.contains("the store was not reached in time");
            if line.trim_start().starts_with("ERROR") && !excused {
                state.accuse("a gateway logged a fault of its own");
            }
        }
    }
}

impl State {
    /// Whoever asked, and was not answered, asks again.
    fn ask_again(&mut self, act: Act) {
        match act {
            Act::Hook(hook) => self.hook_unanswered(hook),
            Act::Begin(_) | Act::Clash(_) | Act::Cancel(_) | Act::Read(_) | Act::Type(_) => {
                let at = self.now() + AGAIN;
                self.at(at, Event::Act(act));
            }
        }
    }

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
        let plan = &self.plan;
        events.extend(plan.crashes.iter().map(|(on, at, dead)| (*on, Event::Crash(*at, *dead))));
        events.extend(plan.naps.iter().map(|(on, at, nap)| (*on, Event::Sleep(*at, *nap))));
        for trouble in &plan.troubles {
            let hit = (0..plan.clocks.len()).filter(|at| trouble.node.is_none_or(|it| it == *at));
            for at in hit {
                events.push((trouble.from, Event::Disturb(at)));
                events.push((trouble.until, Event::Disturb(at)));
            }
        }
        for cut in &plan.cuts {
            events.push((cut.from, Event::Disturb(cut.node)));
            events.push((cut.until, Event::Disturb(cut.node)));
        }
        for (after, event) in events {
            let at = self.start + after;
            self.at(at, event);
        }
    }
}
