//! The only write path: a request or a signal comes in, a [`Verification`] decides, and what it
//! decided is committed together with everything that must now happen.

pub mod audit;
pub mod cdr;
pub mod course;
pub mod hearing;
pub mod hooks;
pub mod resource;
pub mod settings;
pub mod smsc;
pub mod tap;
pub mod timeline;

mod access;
mod answers;
mod asked;
mod blocks;
mod board;
mod capacity;
mod conversion;
mod deliveries;
mod denied;
mod dial;
mod dispatch;
mod engine;
mod explain;
mod hands;
mod hep;
mod holds;
mod hub;
mod identity;
pub mod keys;
mod limits;
mod line;
mod money;
mod nodes;
mod notices;
mod operators;
mod orders;
mod otlp;
mod ports;
mod rehearsal;
mod reload;
mod replies;
mod resolver;
pub mod retention;
mod risk;
pub mod search;
mod selftest;
mod start;
mod taken;
mod tenancy;
mod told;
pub mod trial;
mod tries;
pub mod upkeep;
pub(crate) mod vitals;
mod watch;
mod webhook;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

pub use self::access::{Caller, Credential, KeyView, MakeError, Revoked, Wanted};
pub use self::answers::{CheckError, ResendError};
pub use self::asked::{AnswerOf, Answered, Asked, Idempotency};
use self::asked::{replay, stored_answer};
pub use self::blocks::Listing;
pub use self::board::{Card, Changes, Figures, Outcomes};
pub use self::deliveries::EndpointView;
use self::denied::Denied;
pub use self::dispatch::Hands;
use self::dispatch::Job;
pub(crate) use self::engine::lab;
pub use self::holds::InCall;
pub use self::line::{Unconnected, stream};
use self::nodes::{Assigned, Doer, Lease};
pub use self::notices::shown as shown_entry;
pub use self::operators::{Entered, LoginError};
use self::orders::{Orders, Present};
use self::settings::{Calling, Settings, Tenant};
pub use self::start::{Running, StartError, Turns};
use self::taken::Taken;
pub use self::tenancy::{TenantError, TenantView};
pub use self::told::{Replayed, Which};
use self::watch::Watch;
pub use self::watch::{HopView, How, Room, Step as TrunkStep, TrunkView};
use self::webhook::Courier;
pub use self::webhook::Failure;
use crate::ambient::{self, Clock, Entropy, Timestamp};
use crate::failpoint::{self, Point};
use crate::store::record::{self, Delivery, Duty, RecordError};
use crate::store::{
    Alias, Answer, Commit, Committed, EffectId, Hint, Hold, Owner, RecordWrite, Store, StoreError,
};
use crate::telemetry::{self, Event};
use crate::verify::attempt::{AttemptNo, AttemptState};
use crate::verify::code::{Binding, Expected, Shown, Vault};
use crate::verify::limits::{Limited, Who};
use crate::verify::money::Overspent;
use crate::verify::policy::{self, Refusal, Rules};
use crate::verify::proof::{Jwks, Signer};
use crate::verify::request::{Channel, Mode, Request, Way};
use crate::verify::route::{NoRoute, Route, Rule, Table};
use crate::verify::selftest::Selftests;
use crate::verify::signal::{Because, By, Effect, Signal};
use crate::verify::{Birth, Step, Verification, VerificationId};

/// How long after its end a verification is still known by the phone it asked and by what its
/// carriers call it: receipts and replies come late.
const ALIAS_LIFE: Duration = Duration::from_secs(72 * 60 * 60);

/// What the names of groups begin with that are no tenant's.
const OURS: char = '/';

/// Stands for all tenants; no tenant can have this name.
const EVERYBODY: &str = "*";

/// How often a signal is applied anew because another one was faster. Each loss means that the
/// verification moved, and it cannot move this often.
const RETRIES: usize = 32;

/// The gateway. Cheap to clone; every clone is the same gateway.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The calls of this node; a simulation has none.
    calls: Option<Arc<line::Calls>>,
    /// Who watches the trunks; a simulation has none.
    watch: Option<Watch>,
    /// Who asks risk services; a simulation has none.
    courier: Option<Courier>,
    clock: Clock,
    entropy: Mutex<Entropy>,
    store: Store,
    owner: Owner,
    /// As it was started; a reload leaves some of it alone.
    started: Settings,
    present: Present,
    vault: Vault,
    /// Everybody who may ask.
    callers: access::Callers,
    /// Who of the operators is in.
    entrance: operators::Entrance,
    /// For whom.
    tenancy: tenancy::Tenancy,
    /// Signs verdicts.
    signer: Option<Signer>,
    /// What is done to the gateway is written there; a store in memory has none.
    audit: Option<Arc<audit::Log>>,
    /// What carriers tell on sessions of their own goes there; a simulation has none.
    sessions: Option<smsc::Events>,
    /// Settled verifications go there, where somebody is told of them as traces.
    traces: Option<otlp::Traces>,
    hub: hub::Hub,
    board: board::Board,
    queues: holds::Queues,
    /// The trunks that are tried, and how they stand.
    selftests: Mutex<Selftests>,
    /// Whether this node is being stopped.
    draining: tokio::sync::watch::Sender<bool>,
    lease: Lease,
    taken: Taken,
    /// Whether the last claim could use the store.
    store_works: AtomicBool,
    work: mpsc::UnboundedSender<Job>,
    /// How many effects are handed over and not yet carried out.
    in_flight: AtomicUsize,
    /// Tells the claimer of deadlines that may be earlier than those it knows.
    wake: mpsc::UnboundedSender<Timestamp>,
}

/// Why a verification was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Policy refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No trunk carries this number.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
    /// It was asked too often.
    #[error(transparent)]
    Limited(Limited),
    /// Its phone is being called.
    #[error("another call to this number is ringing or up")]
    InCall(InCall),
    /// There is no money for it.
    #[error(transparent)]
    Overspent(#[from] Overspent),
    /// The tenant's risk service does not want it.
    #[error(transparent)]
    Risky(#[from] risk::Risky),
    /// This node takes no new verifications now.
    #[error("{0}")]
    NotReady(String),
    /// Ours.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Something of ours went wrong: logged once, told to nobody.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A record was changed by others faster than we could, again and again.
    #[error("verification {0} did not hold still")]
    Contended(VerificationId),
    /// So was a small record of ours.
    #[error("a record did not hold still")]
    Restless,
    /// What was to be done could not be written down.
    #[error("the audit log cannot be written: {0}")]
    Audit(std::io::Error),
}

/// Whether this node takes new verifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether it does.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// How a signal that a request brought is answered.
#[derive(Clone, Copy)]
struct Answering<'a> {
    scope: &'a str,
    answer: &'a AnswerOf,
    /// Whether an answer is kept when nothing changed.
    even_ignored: bool,
}

/// A small record as it is to be, with what must then be done, and what whoever changes it wants to know.
struct Change<T> {
    bytes: Vec<u8>,
    duties: Vec<(String, Duty)>,
    result: T,
}

/// What became of a signal.
enum Applied {
    Moved(Verification),
    Ignored(Verification, Because),
    /// A repeated request: nothing was applied.
    Answered {
        fingerprint: [u8; 32],
        bytes: Vec<u8>,
    },
    /// What it was to begin cannot be had: nothing was applied.
    Denied(Denied),
}

impl Gateway {
    /// Starts a verification that was not asked for before: policy, plan, first step, one commit.
    async fn begin_first(
        &self,
        tenant: &Tenant,
        asked: Asked,
        scope: &str,
        answer: AnswerOf,
    ) -> Result<Answered, BeginError> {
        failpoint::count();
        if self.is_draining() {
            return Err(BeginError::NotReady("this node is shutting down".to_owned()));
        }
        // What room there is, is kept for those that are under way.
        if let Some(trouble) = self.0.store.trouble() {
            return Err(Fault::Store(trouble).into());
        }
        let (request, dry_run) = (&asked.request, asked.dry_run);
        let orders = self.orders();
        let (rules, routes) = rules_for(&orders, tenant);
        if tenant.test && !rehearsal::knows(request.to.expose()) {
            return Err(Refusal::NotReserved.into());
        }
        let permit = policy::decide(request, &rules)?;
        let now = self.now();
        let (id, seed) = self.naming(now);
        let mut draws = Entropy::from_number(seed);
        let able = |via: &str, way| Self::able(&orders, via, way, request);
        let route = routes.plan(request, &tenant.name, &permit, &able, &mut draws)?;
        let who = Who::of(&self.0.vault, &tenant.name, request);
        let first = replies::first_way(&route);
        let question = self.question(tenant, &asked).await;
        let (welcome, asks) = tokio::try_join!(
            self.must_be_welcome(now, tenant, request, first),
            self.who_asks(question.as_ref()),
        )?;
        let checked = welcome?;
        let who = who.safely(checked.safe);
        if let Some(asks) = asks
            && let Some(joined) = self.joined(tenant, &asks, scope, &answer).await?
        {
            return Ok(joined);
        }
        if request.way.channel == Channel::Voice
            && !tenant.test
            && let Some(busy) = self.call_to(&request.to).await?
        {
            return Err(BeginError::InCall(busy));
        }
        let left = self.count_start(now, tenant, request, &who, dry_run).await?;
        let birth = self.birth(tenant, asked, route, id, seed);
        let birth = Birth { withheld: checked.withheld, ..birth };
        let (mut next, effects) = match Verification::begin(now, birth) {
            Step::Moved { next, effects } => (next, effects),
            Step::Ignored { same, .. } => (same, Vec::new()),
        };
        if !dry_run {
            let flag = self.weigh(now, tenant, &next.id, &next.request).await?;
            next.flags.extend(flag.map(str::to_owned));
        }
        next.tariff = Self::tariff(&orders, &next);
        let aside = self.set_aside(now, &next, &effects, dry_run).await??;
        if dry_run {
            return Ok(Answered::Dry { body: (answer.render)(&next) });
        }
        let row = stored_answer(scope, &answer, &next, now, false);
        let asks = question.as_ref().map(|question| question.hold(&next));
        let committed = self.commit(now, None, &next, effects, row, asks).await?;
        if committed != Committed::Yes {
            self.put_back(now, aside).await;
        }
        match committed {
            Committed::Yes => {
                Ok(Answered::Fresh { body: (answer.render)(&next), id: next.id, left })
            }
            Committed::Answered { fingerprint, bytes } => Ok(replay(&answer, &fingerprint, &bytes)),
            Committed::Stale { .. } => Err(Fault::Contended(next.id).into()),
            // Another node was faster.
            Committed::Held(hold) => match &question {
                Some(question) if question.is(&hold) => {
                    let joined = self.joined(tenant, &hold, scope, &answer).await?;
                    joined.ok_or_else(|| Fault::Contended(next.id).into())
                }
                Some(_) | None => Err(BeginError::InCall(InCall::by(&hold, now))),
            },
        }
    }

    /// A name, and the seed of everything that is left to chance.
    fn naming(&self, now: Timestamp) -> (VerificationId, u64) {
        let mut entropy = self.0.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        (VerificationId::new(now, &mut entropy), entropy.u64())
    }

    fn birth(
        &self,
        tenant: &Tenant,
        asked: Asked,
        route: Route,
        id: VerificationId,
        seed: u64,
    ) -> Birth {
        let Asked { request, code, pin, shown, .. } = asked;
        let (key, transaction) = (self.0.vault.key_id(), request.transaction.as_ref());
        let binding = Binding { id: id.as_str(), to: &request.to, transaction, key };
        let rehearsed = tenant.test.then(|| rehearsal::code(tenant.texting.code_digits)).flatten();
        let chosen = code.as_ref().or(rehearsed.as_ref());
        let digits = tenant.texting.code_digits;
        let secret = request
            .ways()
            .any(|way| way.mode.has_code())
            .then(|| self.0.vault.secret(binding, digits, chosen, pin.as_ref()));
        let asks = |mode| request.ways().any(|way| way.mode == mode);
        let pin = pin.filter(|_| asks(Mode::Pin));
        let expected = Expected {
            pin: pin.and_then(|pin| self.0.vault.sealed_pin(binding, &pin)),
            shown: asks(Mode::Match).then(|| shown.unwrap_or_else(|| draw(&tenant.calling))),
            calls: tenant.calling.match_calls,
        };
        let tenant = tenant.name.clone();
        Birth { id, tenant, request, route, secret, expected, seed, key, withheld: false }
    }

    /// Whether a trunk or carrier can ask this. Every pack of prompts is whole, and can ask everything.
    fn able(orders: &Orders, via: &str, way: Way, request: &Request) -> Result<(), String> {
        let says_all = || orders.carrier(via).is_some_and(|carrier| carrier.reach().says_all);
        if way.channel == Channel::Voice && request.transaction.is_some() && !says_all() {
            return Err(format!(
                "{via} cannot say to whom a payment goes, which no recording does: ask by text, or by a carrier \
                 whose own voice speaks"
            ));
        }
        let dials_more = way.channel == Channel::Voice && request.extension.is_some();
        if dials_more && orders.carrier(via).is_some() {
            return Err(format!("{via} dials no extension, as no carrier does: a trunk dials it"));
        }
        let asks_more = way.channel == Channel::Voice && way.mode != Mode::Confirm;
        if asks_more && orders.carrier(via).is_some() {
            return Err(format!("{via} only asks to confirm, as all carriers: a trunk asks it"));
        }
        Ok(())
    }

    /// Takes a verification back. One that is settled stays as it is, and is told as it is.
    /// `None`: this tenant has none of that name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn cancel(
        &self,
        tenant: &Tenant,
        id: &VerificationId,
        answer: AnswerOf,
    ) -> Result<Option<Answered>, Fault> {
        if self.read(tenant, id).await?.is_none() {
            return Ok(None);
        }
        let scope = format!("cancel/{}/{id}", tenant.name);
        let answering = Answering { scope: &scope, answer: &answer, even_ignored: true };
        let signal = |_: &Verification| Signal::Withdrawn(By::Caller);
        Ok(match self.apply(id, signal, Some(answering)).await? {
            None => None,
            Some(Applied::Moved(next) | Applied::Ignored(next, _)) => {
                Some(Answered::Fresh { body: (answer.render)(&next), id: id.clone(), left: None })
            }
            Some(Applied::Answered { fingerprint, bytes }) => {
                Some(replay(&answer, &fingerprint, &bytes))
            }
            // Nothing is begun by an end.
            Some(Applied::Denied(_)) => return Err(Fault::Contended(id.clone())),
        })
    }

    /// The public keys by which verdicts are checked.
    #[must_use]
    pub fn jwks(&self) -> Jwks {
        self.0.signer.as_ref().map(|signer| signer.jwks().clone()).unwrap_or_default()
    }

    /// A verification of this tenant.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(
        &self,
        tenant: &Tenant,
        id: &VerificationId,
    ) -> Result<Option<Verification>, Fault> {
        // Whose it is, the store says before anything is read of it: another's takes as long as none.
        let Some(stored) = self.0.store.load_in(&tenant.name, id.as_str()).await? else {
            return Ok(None);
        };
        Ok(Some(record::decode(&stored.bytes)?))
    }

    /// Applies what was learned about a verification. Whether it changed anything is the
    /// verification's word; a signal for one that is not there is passed over.
    ///
    /// # Errors
    /// When the store fails; the signal then counts as never learned.
    pub async fn signal(&self, id: &VerificationId, signal: Signal) -> Result<(), Fault> {
        // Boxed: whoever waits for a carrier and then for this should not have the room of both.
        Box::pin(self.apply(id, |_| signal.clone(), None)).await.map(|_| ())
    }

    /// Whether this node takes nothing new: it is being stopped, or will be.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.draining.borrow()
    }

    /// Waits until this node is being stopped.
    async fn drains(&self) {
        // The sender is this gateway's own.
        let _ = self.0.draining.subscribe().wait_for(|draining| *draining).await;
    }

    /// Whether this node takes new verifications.
    #[must_use]
    pub fn ready(&self) -> Readiness {
        let mut reasons = Vec::new();
        if self.is_draining() {
            reasons.push("shutting down".to_owned());
        }
        reasons.extend(self.store_trouble().map(str::to_owned));
        if self.0.work.is_closed() {
            reasons.push("effects are not carried out".to_owned());
        }
        Readiness { ready: reasons.is_empty(), reasons }
    }

    /// How every trunk is.
    #[must_use]
    pub fn trunks(&self) -> Vec<TrunkView> {
        self.0.watch.as_ref().map(Watch::trunks).unwrap_or_default()
    }

    /// The time by the gateway's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// A number drawn by chance.
    fn chance(&self) -> u32 {
        self.0.entropy.lock().unwrap_or_else(PoisonError::into_inner).u32()
    }

    async fn load(&self, id: &VerificationId) -> Result<Option<Verification>, Fault> {
        let Some(stored) = self.0.store.load(id.as_str()).await? else { return Ok(None) };
        Ok(Some(record::decode(&stored.bytes)?))
    }

    /// Load, decide, commit; anew when another signal was faster. The signal may depend on what is
    /// loaded (a code is bound to its verification).
    async fn apply(
        &self,
        id: &VerificationId,
        signal: impl Fn(&Verification) -> Signal,
        answering: Option<Answering<'_>>,
    ) -> Result<Option<Applied>, Fault> {
        for _ in 0..RETRIES {
            let Some(before) = self.load(id).await? else { return Ok(None) };
            let now = self.now();
            let (next, effects, ignored) = match before.clone().apply(now, signal(&before)) {
                Step::Moved { next, effects } => (next, effects, None),
                Step::Ignored { same, because } => (same, Vec::new(), Some(because)),
            };
            let row = answering
                .filter(|answering| answering.even_ignored || ignored.is_none())
                .and_then(|it| stored_answer(it.scope, it.answer, &next, now, false));
            if let Some(because) = ignored {
                telemetry::observe(&Event::Ignored { verification: &next, because });
                if row.is_none() {
                    return Ok(Some(Applied::Ignored(next, because)));
                }
            }
            let from = ignored.is_none().then_some(&before);
            let step = (next, effects);
            let (next, taken) = self.take_step(now, from, step, row, answering.is_some()).await?;
            match taken {
                Err(denied) => return Ok(Some(Applied::Denied(denied))),
                Ok(Committed::Yes) => {
                    return Ok(Some(match ignored {
                        Some(because) => Applied::Ignored(next, because),
                        None => Applied::Moved(next),
                    }));
                }
                Ok(Committed::Stale { .. } | Committed::Held(_)) => {}
                Ok(Committed::Answered { fingerprint, bytes }) => {
                    return Ok(Some(Applied::Answered { fingerprint, bytes }));
                }
            }
        }
        Err(Fault::Contended(id.clone()))
    }

    /// Commits a moved verification, or (without `before`) only the answer to a repeatable
    /// request about one that did not move.
    async fn commit_from(
        &self,
        now: Timestamp,
        before: Option<&Verification>,
        next: &Verification,
        effects: Vec<Effect>,
        answer: Option<Answer>,
    ) -> Result<Committed, Fault> {
        if before.is_some() {
            return self.commit(now, before, next, effects, answer, None).await;
        }
        self.write(Commit { now, answer, ..Commit::default() }).await
    }

    /// The one commit: the record, its wake-up, its effects (taken by this node at once), the answer it
    /// gives and the names it has for itself (`asks`: that of its question); then whoever waits is told, and the effects go to be carried out.
    async fn commit(
        &self,
        now: Timestamp,
        before: Option<&Verification>,
        next: &Verification,
        effects: Vec<Effect>,
        answer: Option<Answer>,
        asks: Option<Hold>,
    ) -> Result<Committed, Fault> {
        self.heed_report(next).await?;
        let duties = self.assigned(next, self.duties(now, before, next, effects));
        let queue = self.queued(now, next.id.as_str(), &duties)?;
        let takes = queue.iter().any(|queued| queued.claimed_by.is_some());
        let commit = Commit {
            now,
            record: Some(record::written(before, next)?),
            queue,
            done: self.finished(before, next),
            aliases: self.aliases(before, next),
            holds: self.holds(now, before, next).into_iter().chain(asks).collect(),
            answer,
            ..Commit::default()
        };
        let committed = self.write(commit).await?;
        if committed == Committed::Yes {
            telemetry::observe(&Event::Moved { before, next });
            self.0.board.moved(now, before, next);
            if takes {
                self.0.lease.renew(now);
            }
            self.announce(&next.id);
            self.hand_all_over(next.id.as_str(), duties);
            let _ = next.deadline().map(|(at, _)| self.0.wake.send(at));
            // What was never to be sent had no money.
            if let Some(before) = before.filter(|it| !it.withheld) {
                self.settle_money(now, before, next).await;
            }
            // Once, however much is learned of the press after it; and when nobody waits for it.
            let was_open = before.is_none_or(|before| before.verdict().is_none());
            if was_open && next.verdict().is_some() {
                self.tell_trace(next);
                self.count_end(now, next).await;
            }
        }
        Ok(committed)
    }

    /// Commits; and remembers what this node took with it, learned or not.
    async fn write(&self, commit: Commit) -> Result<Committed, Fault> {
        let expected = self.0.taken.expect(&commit, &self.0.owner);
        failpoint::pass(Point::CommitBefore);
        let written = self.0.store.commit(commit).await;
        failpoint::pass(Point::CommitAfter);
        self.0.taken.settle(expected, written.as_ref().ok(), self.now());
        Ok(written?)
    }

    /// Hands an effect to the dispatcher. It outlives every caller but a dying process; what it
    /// does not take now is claimed after the restart.
    fn hand_over(&self, job: Job) {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        let _ = self.0.work.send(job);
    }

    /// Leaves to others what this node took and has not begun, unless it is no longer wanted.
    async fn leave(&self, attempt: AttemptNo, id: &EffectId, duty: Duty) -> Result<(), Fault> {
        let assigned = Assigned { effect: id.effect.clone(), duty, doer: Doer::Anybody };
        let duties = vec![assigned];
        for _ in 0..RETRIES {
            let Some(stored) = self.0.store.load(&id.record).await? else { return Ok(()) };
            let found = record::decode(&stored.bytes)?;
            if found.running().is_none_or(|running| running.no != attempt) {
                return Ok(());
            }
            let now = self.now();
            let queue = self.queued(now, &id.record, &duties)?;
            // As it is: one that has moved meanwhile may want it no more.
            let record = Some(record::written(Some(&found), &found)?);
            let commit = Commit { now, record, queue, ..Commit::default() };
            if self.write(commit).await? == Committed::Yes {
                self.hand_all_over(&id.record, duties);
                return Ok(());
            }
        }
        Err(Fault::Restless)
    }

    /// Commits more duties of a record that stays as it is; with `once` only where that was not answered
    /// yet. Whether they were.
    async fn queue(
        &self,
        record: &str,
        duties: Vec<(String, Duty)>,
        once: Option<Answer>,
    ) -> Result<bool, Fault> {
        let (now, duties) = (self.now(), Self::ours(duties));
        let queue = self.queued(now, record, &duties)?;
        let commit = Commit { now, queue, answer: once, ..Commit::default() };
        let committed = self.write(commit).await? == Committed::Yes;
        if committed {
            self.hand_all_over(record, duties);
        }
        Ok(committed)
    }

    /// Changes a small record: what it says is given to `change`, and what comes back is written, with
    /// what must then be done; anew when another was faster. `None`: it stays as it is.
    async fn change<T>(
        &self,
        id: &str,
        group: &str,
        change: impl Fn(Option<&[u8]>) -> Result<Option<Change<T>>, Fault>,
    ) -> Result<Option<T>, Fault> {
        let now = self.now();
        for _ in 0..RETRIES {
            let before = self.0.store.load(id).await?;
            let Some(Change { bytes, duties, result }) =
                change(before.as_ref().map(|before| before.bytes.as_slice()))?
            else {
                return Ok(None);
            };
            let (version, duties) = (before.map(|before| before.version), Self::ours(duties));
            let record = RecordWrite {
                id: id.to_owned(),
                expected: version,
                version: version.unwrap_or_default() + 1,
                bytes,
                wake: None,
                group: group.to_owned(),
                created: now,
            };
            let queue = self.queued(now, id, &duties)?;
            let commit = Commit { now, record: Some(record), queue, ..Commit::default() };
            if self.write(commit).await? == Committed::Yes {
                self.hand_all_over(id, duties);
                self.0.store.hint(&self.0.owner, || Hint::Moved(id.to_owned()));
                return Ok(Some(result));
            }
        }
        Err(Fault::Restless)
    }

    /// What holds now. Whoever needs more of it than one answer asks once.
    fn orders(&self) -> Arc<Orders> {
        self.0.present.get()
    }

    fn tenant(&self, name: &str) -> Option<Arc<Tenant>> {
        self.orders().tenant(name).cloned()
    }

    /// Whether a carrier's name for something is that of another verification's attempt.
    async fn is_anothers(
        &self,
        id: &VerificationId,
        carrier: &str,
        handle: &str,
    ) -> Result<bool, Fault> {
        let found = self.0.store.find(&handle_alias(carrier, handle), None).await?;
        Ok(found.iter().any(|found| found != id.as_str()))
    }

    /// Whether an attempt goes by a carrier: it then lives on without this node.
    fn is_by_carrier(&self, verification: &Verification, attempt: AttemptNo) -> bool {
        let attempt = verification.find(attempt);
        attempt.is_some_and(|attempt| self.orders().carrier(&attempt.route).is_some())
    }

    /// The duties of attempts that this step carried to their end. A call of our own is one until
    /// it ends; what a carrier has taken is the carrier's.
    fn finished(&self, before: Option<&Verification>, next: &Verification) -> Vec<EffectId> {
        let over = |verification: &Verification, no| {
            verification.find(no).is_some_and(|attempt| {
                let taken = attempt.call_id.is_some() && self.is_by_carrier(verification, no);
                attempt.state == AttemptState::Ended || taken
            })
        };
        next.attempts
            .iter()
            .filter(|it| over(next, it.no) && !before.is_some_and(|before| over(before, it.no)))
            .map(|attempt| {
                let no = attempt.no;
                let effect = match attempt.channel {
                    Channel::Voice => Effect::Dial { attempt: no },
                    Channel::Sms => Effect::Send { attempt: no },
                };
                EffectId { record: next.id.to_string(), effect: effect.name() }
            })
            .collect()
    }

    /// By which names this step makes the verification known: one that is begun, by what it is about; the
    /// phone and the sender of a new text; and what the carrier calls it.
    fn aliases(&self, before: Option<&Verification>, next: &Verification) -> Vec<Alias> {
        let expires = next.expires_at + ALIAS_LIFE;
        let named = |alias| Alias { alias, record: next.id.to_string(), expires };
        let earlier = |no| before.and_then(|before| before.find(no));
        let mut aliases = if before.is_none() { self.index(next) } else { Vec::new() };
        let orders = self.orders();
        for attempt in &next.attempts {
            let known = earlier(attempt.no);
            let Some(carrier) = orders.carrier(&attempt.route) else { continue };
            if known.is_none() && attempt.channel == Channel::Sms {
                let vault = &self.0.vault;
                aliases.push(named(vault.pair("reply", &next.request.to, &carrier.sender)));
            }
            // A carrier that names nothing tells nothing by a name.
            let handle = attempt.call_id.as_ref().filter(|handle| !handle.is_empty());
            if let Some(handle) = handle.filter(|_| known.is_none_or(|it| it.call_id.is_none())) {
                aliases.push(named(handle_alias(&attempt.route, handle)));
            }
        }
        aliases
    }

    /// Writes down that something was answered; `false` when it had been already.
    async fn remember(&self, answer: Answer) -> Result<bool, Fault> {
        let commit = Commit { now: self.now(), answer: Some(answer), ..Commit::default() };
        Ok(self.write(commit).await? == Committed::Yes)
    }

    /// The answer that a repeated request got the first time, where there was one.
    async fn answered_before(
        &self,
        scope: &str,
        answer: &AnswerOf,
    ) -> Result<Option<Answered>, Fault> {
        let Some(idempotency) = &answer.idempotency else { return Ok(None) };
        let key = format!("{scope}/{}", idempotency.key);
        let found = self.0.store.answered(self.now(), &key).await?;
        Ok(found.map(|given| replay(answer, &given.fingerprint, &given.bytes)))
    }

    /// Commits that effects were carried out, or are to be tried again; and what an event said that is not to
    /// be tried again, or how its deliveries went.
    async fn acknowledge(
        &self,
        done: Vec<EffectId>,
        postpone: Vec<crate::store::Postponed>,
        told: Option<&Delivery>,
        tried: Option<RecordWrite>,
    ) -> Result<(), Fault> {
        let now = self.now();
        let record = match told {
            Some(delivery) => self.kept(delivery).await?.or(tried),
            None => tried,
        };
        let commit = Commit { now, record, done, postpone, ..Commit::default() };
        if let Committed::Stale { .. } = self.write(commit.clone()).await? {
            // Another endpoint was told of it as well, and that is kept already.
            self.write(Commit { record: None, ..commit }).await?;
        }
        Ok(())
    }
}

/// Digits to be shown on the sign-in page. Never those that would report fraud.
fn draw(calling: &Calling) -> Shown {
    loop {
        let from = u64::from_be_bytes(ambient::secret());
        let shown = Shown::drawn(calling.match_digits, from);
        if !calling.fraud_keys.are(shown.expose()) {
            return shown;
        }
    }
}

/// What a tenant may do, and by whom: a test tenant reaches the test numbers, by nobody, and a trunk that is
/// tried has all calls for that.
fn rules_for<'a>(orders: &'a Orders, tenant: &'a Tenant) -> (Cow<'a, Rules>, Cow<'a, Table>) {
    if tenant.test {
        return (Cow::Owned(rehearsal::rules()), Cow::Owned(rehearsal::routes()));
    }
    if let Some(trunk) = &tenant.tries {
        let table = Table::new(vec![Rule::every(Channel::Voice, [trunk])]);
        return (Cow::Borrowed(&tenant.rules), Cow::Owned(table));
    }
    (Cow::Borrowed(&tenant.rules), Cow::Borrowed(&orders.routes))
}

/// How a carrier's receipt finds its attempt.
fn handle_alias(carrier: &str, handle: &str) -> String {
    format!("handle/{carrier}/{handle}")
}
