//! The way from each node to the store: verbs take their time, fail before they are carried out or
//! after, and find nobody there. The clock of a node follows the store's, as `store/redis/link.rs` has it
//! do. Here is seen, too, who has which effect, and for how long rightly.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use octothorpe::ambient::{Clock, Timestamp};
use octothorpe::store::{
    Between, Claimed, Commit, Committed, Done, EffectId, LEASE, Passage, RENEWAL, Store,
    StoreError, Stored, Verb, record,
};
use octothorpe::verify::VerificationId;
use octothorpe::verify::attempt::AttemptNo;
use octothorpe::verify::code::CHECKS;
use octothorpe::verify::signal::Effect;

use crate::dice::Dice;
use crate::hands::Bug;
use crate::plan::{Failing, Plan, Trouble};
use crate::state::by;
use crate::world::at_once;

/// All of them; every node's link holds it, and nobody while waiting.
pub(crate) type Links = Arc<Mutex<Wiring>>;

/// The kind of an effect that delivers an event.
const DELIVER: u8 = 3;

/// How long a caller waits in vain.
const PATIENCE: Duration = Duration::from_millis(500);

/// A node takes itself for lost so long before its lease can lapse: clocks are apart by less.
const APART: Duration = Duration::from_secs(1);

/// By how much a clock may have been wrong when something was asked for that waited for the store to be
/// reached for the first time.
const MOVES_MOST: Duration = Duration::from_secs(1);

/// The ways to the store, and what is seen on them.
#[derive(Debug)]
pub(crate) struct Wiring {
    clock: Clock,
    start: Timestamp,
    /// By how much the clock of the store is ahead.
    ahead: i64,
    dice: Dice,
    /// How long it takes to be told the time.
    times: Dice,
    /// The runs that have reached the store, and know its time.
    reached: BTreeSet<u64>,
    slow: u64,
    troubles: Vec<Trouble>,
    bug: Bug,
    /// The store itself.
    store: Store,
    /// Until when whoever was polled last is held up.
    pub(crate) until: Option<Timestamp>,
    /// What happened here, for the trace.
    pub(crate) said: Vec<String>,
    /// New verifications, and which question each is.
    pub(crate) born: Vec<(VerificationId, usize)>,
    /// What was wrong.
    pub(crate) wrong: Option<String>,
    /// Who has which effect: the runs that took it.
    owners: BTreeMap<EffectId, u64>,
    /// What others took from runs that were believed lost.
    lost: BTreeSet<(EffectId, u64)>,
    /// When each run last asked for what it was given: from then on the store counts its lease.
    renewed: BTreeMap<u64, Timestamp>,
    /// When each run began the claim that is under way, by the world's time and by its own.
    claims: BTreeMap<u64, (Timestamp, Timestamp)>,
}

impl Wiring {
    pub(crate) fn new(seed: u64, plan: &Plan, clock: Clock, bug: Bug, store: Store) -> Self {
        Self {
            start: clock.now(),
            clock,
            ahead: plan.store_ahead,
            dice: Dice::new(seed, 7),
            times: Dice::new(seed, 12),
            reached: BTreeSet::new(),
            slow: plan.slow,
            troubles: plan.troubles.clone(),
            bug,
            store,
            until: None,
            said: Vec::new(),
            born: Vec::new(),
            wrong: None,
            owners: BTreeMap::new(),
            lost: BTreeSet::new(),
            renewed: BTreeMap::new(),
            claims: BTreeMap::new(),
        }
    }

    /// The time by the store's clock.
    fn time(&self) -> Timestamp {
        by(self.clock.now(), self.ahead)
    }

    /// A node tries to reach the store for the first time: where it does, its clock is the store's.
    pub(crate) fn reach(&mut self, node: usize, run: u64, clock: &Clock) {
        if self.is_refused(node) || !self.reached.insert(run) || self.bug == Bug::KeepsItsTime {
            return;
        }
        let most = self.times.pick(&[1, 5, 50, 400]);
        let took = self.times.millis(0, most);
        let theirs = self.time() - self.times.millis(0, most).min(took);
        let now = clock.now();
        clock.follow(now - took, theirs, now);
    }

    /// Whether nothing of this node comes to the store now.
    fn is_refused(&self, node: usize) -> bool {
        self.now(node).iter().any(|how| matches!(how, Failing::Refusing))
    }

    /// How the store fails this node now.
    fn now(&self, node: usize) -> Vec<Failing> {
        let now = self.clock.now();
        let here = |it: &&Trouble| {
            let (from, until) = (self.start + it.from, self.start + it.until);
            it.node.is_none_or(|it| it == node) && from <= now && now < until
        };
        self.troubles.iter().filter(here).map(|it| it.how).collect()
    }

    /// Since when the store has served this node well; `None` while it does not.
    pub(crate) fn well_since(&self, node: usize) -> Option<Timestamp> {
        let now = self.clock.now();
        let its = self.troubles.iter().filter(|it| it.node.is_none_or(|it| it == node));
        let times = its.map(|it| (self.start + it.from, self.start + it.until));
        let past = times.filter(|(from, _)| *from <= now);
        let end = past.map(|(_, until)| until).max().unwrap_or(self.start);
        (end <= now).then_some(end)
    }

    /// Whether the store has ever failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.troubles.iter().any(|it| self.start + it.from <= self.clock.now())
    }

    /// Whether another has taken the placing of an attempt from this run of a node.
    pub(crate) fn has_lost(&self, run: u64, id: &VerificationId, attempt: AttemptNo) -> bool {
        let effect = Effect::Dial { attempt }.name();
        let id = EffectId { record: id.to_string(), effect };
        self.lost.contains(&(id, run))
    }

    /// How a verb fails now, if it does.
    fn fails(&mut self, node: usize, writes: bool, after: bool) -> Option<StoreError> {
        let mut all = self.now(node).into_iter().filter_map(|how| {
            let (is_it, error) = match how {
                Failing::Refusing => (!after, StoreError::Failed("nobody answers".to_owned())),
                Failing::Full => (!after && writes, StoreError::Full),
                Failing::Before(chance) => (
                    !after && self.dice.permille(chance),
                    StoreError::Failed("the connection was reset".to_owned()),
                ),
                Failing::After(chance) => (
                    after && self.dice.permille(chance),
                    StoreError::Failed("the answer was lost".to_owned()),
                ),
            };
            is_it.then_some(error)
        });
        all.next()
    }

    /// How long a verb takes.
    fn delay(&mut self, fails: bool) -> Option<Timestamp> {
        let now = self.clock.now();
        if fails {
            return Some(now + self.dice.millis(0, 500).min(PATIENCE));
        }
        if !self.dice.permille(self.slow) {
            return None;
        }
        let most = self.dice.pick(&[1, 5, 50, 400]);
        Some(now + self.dice.millis(0, most))
    }

    /// What the planted fault makes of a commit.
    fn change(&self, commit: &mut Commit) {
        let Some(write) = &mut commit.record else { return };
        match self.bug {
            Bug::SkipsTheFence => {
                let stored = at_once(self.store.load(&write.id)).unwrap();
                write.expected = stored.map(|stored| stored.version);
            }
            Bug::GivesBack => {
                let Ok(mut verification) = record::decode(&write.bytes) else { return };
                if let Some(secret) = &mut verification.secret {
                    secret.checks_left = CHECKS;
                    write.bytes = record::encode(&verification).unwrap();
                }
            }
            Bug::CountsLate => {
                let Ok(mut verification) = record::decode(&write.bytes) else { return };
                let life = Duration::from_secs(u64::from(verification.request.expires_in));
                verification.expires_at = verification.created_at + life;
                write.bytes = record::encode(&verification).unwrap();
            }
            Bug::DropsOutbox => commit.queue.retain(|queued| queued.kind != DELIVER),
            Bug::None
            | Bug::DialsTwice
            | Bug::NeverCloses
            | Bug::HearsThings
            | Bug::RenamesEvents
            | Bug::DropsEvents
            | Bug::Talks
            | Bug::KeepsEveryFork
            | Bug::NeverCancels
            | Bug::KeepsItsTime
            | Bug::OrdersTwice
            | Bug::BelievesAnybody => {}
        }
    }

    /// What it makes of a record that is read.
    fn read(&self, stored: &mut Stored) {
        if self.bug == Bug::CountsLate
            && let Ok(mut verification) = record::decode(&stored.bytes)
        {
            let grace = self.time() + Duration::from_secs(1);
            verification.expires_at = verification.expires_at.max(grace);
            stored.bytes = record::encode(&verification).unwrap();
        }
    }

    /// A commit was carried out by this run.
    fn committed(&mut self, run: u64, commit: &Commit) {
        let index = |key: &str| key.strip_prefix("start/acme/key-")?.parse().ok();
        let key = commit.answer.as_ref().and_then(|answer| index(&answer.key));
        if let (Some(write), Some(index)) = (&commit.record, key)
            && write.expected.is_none()
            && let Some(id) = VerificationId::parse(&write.id)
        {
            self.born.push((id, index));
        }
        for queued in &commit.queue {
            if queued.claimed_by.is_some() {
                self.renew(run, by(commit.now, -self.ahead));
                self.owners.insert(queued.id.clone(), run);
            } else {
                self.owners.remove(&queued.id);
            }
        }
        let postponed = commit.postpone.iter().map(|it| &it.id);
        commit.done.iter().chain(postponed).for_each(|id| {
            self.owners.remove(id);
        });
    }

    /// This run took what was due, and what others were lost with.
    fn claimed(&mut self, run: u64, claimed: &Claimed) {
        let now = self.clock.now();
        self.renew(run, self.claims.get(&run).map_or(now, |(begun, _)| *begun));
        for effect in &claimed.effects {
            let former = self.owners.insert(effect.id.clone(), run);
            let lives = |run: &u64| {
                let renewed = self.renewed.get(run).copied().unwrap_or_default();
                now < renewed + (LEASE - RENEWAL) - APART
            };
            let former = former.filter(|former| *former != run);
            self.lost.extend(former.map(|former| (effect.id.clone(), former)));
            if former.is_some_and(|former| lives(&former)) {
                let what = format!("{} of {} has two owners", effect.id.effect, effect.id.record);
                self.wrong.get_or_insert(what);
            }
        }
    }

    fn renew(&mut self, run: u64, asked: Timestamp) {
        let renewed = self.renewed.entry(run).or_default();
        *renewed = asked.max(*renewed);
    }
}

/// The way of one run of one node.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) links: Links,
    pub(crate) node: usize,
    pub(crate) run: u64,
    /// The node's.
    pub(crate) clock: Clock,
}

impl Link {
    fn wiring(&self) -> MutexGuard<'_, Wiring> {
        self.links.lock().unwrap()
    }

    /// Whether a verb fails here, and until when it takes.
    fn fate(
        &self,
        word: &str,
        writes: bool,
        after: bool,
    ) -> (Option<Timestamp>, Result<(), StoreError>) {
        let mut wiring = self.wiring();
        let error = wiring.fails(self.node, writes, after);
        let until = wiring.delay(error.is_some());
        if let Some(error) = &error {
            let node = self.node;
            wiring.said.push(format!("store fails node {node}'s {word}: {error}"));
        }
        (until, error.map_or(Ok(()), Err))
    }
}

impl Link {
    /// Refuses what was asked for by a clock that was wrong before the store was reached.
    fn in_time(&self, before: Timestamp, writes: bool) -> Result<(), StoreError> {
        let mut wiring = self.wiring();
        wiring.reach(self.node, self.run, &self.clock);
        let now = self.clock.now();
        if writes && now.since(before).max(before.since(now)) > MOVES_MOST {
            wiring.said.push(format!("node {} did not know the time", self.node));
            return Err(StoreError::Unsafe("the time was not known yet".to_owned()));
        }
        Ok(())
    }

    /// Goes by what a claim has told of the store's time.
    fn follow(&self, theirs: Timestamp) {
        let wiring = self.wiring();
        let asked = wiring.claims.get(&self.run).map(|(_, asked)| *asked);
        if let Some(asked) = asked.filter(|_| wiring.bug != Bug::KeepsItsTime) {
            self.clock.follow(asked, theirs, self.clock.now());
        }
    }

    /// Notes what a verb did; its word, and whether it writes.
    fn saw(&self, done: Done<'_>) -> (&'static str, bool) {
        let mut wiring = self.wiring();
        match done {
            Done::Read(stored) => {
                stored.into_iter().for_each(|stored| wiring.read(stored));
                ("read", false)
            }
            Done::Commit(commit, outcome) => {
                if *outcome == Committed::Yes {
                    wiring.committed(self.run, commit);
                }
                ("commit", true)
            }
            Done::Claim(claimed) => {
                wiring.claimed(self.run, claimed);
                ("claim", true)
            }
            Done::Tally => ("tally", true),
        }
    }
}

impl Between for Link {
    fn before<'a>(&'a self, verb: Verb<'a>) -> Passage<'a> {
        Box::pin(async move {
            let (word, writes) = match &verb {
                Verb::Read(_) => ("read", false),
                Verb::Commit(_) => ("commit", true),
                Verb::Claim => ("claim", true),
                Verb::Tally => ("tally", true),
            };
            let before = self.clock.now();
            let (until, fate) = self.fate(word, writes, false);
            let fate = fate.and_then(|()| self.in_time(before, writes));
            if let Verb::Claim = &verb {
                let mut wiring = self.wiring();
                let now = wiring.clock.now();
                wiring.claims.insert(self.run, (now, self.clock.now()));
            }
            wait(&self.links, until).await;
            if let Verb::Commit(commit) = verb {
                self.wiring().change(commit);
            }
            fate
        })
    }

    fn after<'a>(&'a self, done: Done<'a>) -> Passage<'a> {
        Box::pin(async move {
            let (word, writes) = self.saw(done);
            let theirs = self.wiring().time();
            let (until, fate) = self.fate(word, writes, true);
            wait(&self.links, until).await;
            if fate.is_ok() && word == "claim" {
                self.follow(theirs);
            }
            fate
        })
    }
}

/// Waits until then, if there is anything to wait for.
pub(crate) async fn wait(links: &Links, until: Option<Timestamp>) {
    let Some(until) = until else { return };
    poll_fn(|_| {
        let mut wiring = links.lock().unwrap();
        if wiring.clock.now() >= until {
            return Poll::Ready(());
        }
        // Of several that are waited for at once, the first is looked at first.
        wiring.until = Some(wiring.until.map_or(until, |sooner| sooner.min(until)));
        Poll::Pending
    })
    .await;
}
