//! The only write path: a request or a signal comes in, a [`Verification`] decides, and what it
//! decided is committed together with everything that must now happen.

pub mod hearing;
pub mod resource;
pub mod settings;
pub mod tap;

mod dispatch;
mod engine;
mod hands;
mod hub;
mod line;
mod ports;
mod start;
mod webhook;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

pub use self::dispatch::Hands;
use self::dispatch::Work;
use self::hub::Hub;
use self::resource::Resource;
use self::settings::{ApiKey, Tenant};
pub use self::start::{Running, StartError, Turns};
pub use self::webhook::Failure;
use crate::ambient::{Clock, Entropy, Timestamp};
use crate::store::record::{self, Delivery, Duty, RecordError};
use crate::store::{
    Answer, Commit, Committed, EffectId, Owner, Queued, RecordWrite, Store, StoreError,
};
use crate::telemetry::{self, Event};
use crate::verify::attempt::AttemptState;
use crate::verify::policy::{self, Refusal};
use crate::verify::request::Request;
use crate::verify::route::{NoRoute, Table};
use crate::verify::signal::{By, Effect, Signal};
use crate::verify::{Step, Verification, VerificationId};

/// How long a repeated request gets the answer of the first.
const IDEMPOTENCY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a signal is applied anew because another one was faster. Each loss means that the
/// verification moved, and it cannot move this often.
const RETRIES: usize = 32;

/// The gateway. Cheap to clone; every clone is the same gateway.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    entropy: Mutex<Entropy>,
    store: Store,
    owner: Owner,
    tenants: Vec<Arc<Tenant>>,
    routes: Table,
    hub: Hub,
    draining: AtomicBool,
    /// Whether the last claim could use the store.
    store_works: AtomicBool,
    work: mpsc::UnboundedSender<Work>,
    /// How many effects are handed over and not yet carried out.
    in_flight: AtomicUsize,
    /// Tells the claimer of deadlines that may be earlier than those it knows.
    wake: mpsc::UnboundedSender<Timestamp>,
}

/// How a request wants to be answered.
#[derive(Clone, Debug)]
pub struct AnswerOf {
    /// Under which key a repeat is answered alike.
    pub idempotency: Option<Idempotency>,
    /// Writes the body; it is stored in the commit of what it tells.
    pub render: fn(&Verification) -> Vec<u8>,
}

/// The caller's name for a request that it may repeat.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The key, as the caller wrote it.
    pub key: String,
    /// SHA-256 of what was asked.
    pub fingerprint: [u8; 32],
}

/// What a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was carried out.
    Fresh {
        /// The body.
        body: Vec<u8>,
        /// The verification it tells of.
        id: VerificationId,
    },
    /// It was carried out before; this is the answer of then, byte for byte.
    Replayed {
        /// The body.
        body: Vec<u8>,
        /// The verification it tells of.
        id: VerificationId,
    },
    /// Another request was sent under the same idempotency key.
    Mismatch,
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
}

/// Whether this node takes new verifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether it does.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// What became of a signal.
enum Applied {
    Moved(Verification),
    Ignored(Verification),
    /// A repeated request: nothing was applied.
    Answered {
        fingerprint: [u8; 32],
        bytes: Vec<u8>,
    },
}

impl Gateway {
    /// The tenant that presents this key. Every key is compared, so that the time tells nothing.
    #[must_use]
    pub fn tenant_of(&self, presented: &ApiKey) -> Option<Arc<Tenant>> {
        let mut found = None;
        for tenant in &self.0.tenants {
            for key in &tenant.keys {
                if key.matches(presented) {
                    found = Some(tenant);
                }
            }
        }
        found.cloned()
    }

    /// Starts a verification: policy, plan, first step, one commit.
    ///
    /// # Errors
    /// When policy refuses, no route fits, this node is not ready, or the store fails.
    pub async fn begin(
        &self,
        tenant: &Tenant,
        request: Request,
        answer: AnswerOf,
    ) -> Result<Answered, BeginError> {
        if self.0.draining.load(Ordering::Relaxed) {
            return Err(BeginError::NotReady("this node is shutting down".to_owned()));
        }
        let permit = policy::decide(&request, &tenant.rules)?;
        let route = self.0.routes.plan(&request, &permit)?;
        let now = self.now();
        let step = {
            let mut entropy = self.0.entropy.lock().unwrap_or_else(PoisonError::into_inner);
            Verification::begin(now, tenant.name.clone(), request, route, &mut entropy)
        };
        let (next, effects) = match step {
            Step::Moved { next, effects } => (next, effects),
            Step::Ignored { same, .. } => (same, Vec::new()),
        };
        let row = stored_answer(&format!("start/{}", tenant.name), &answer, &next, now);
        match self.commit(now, None, &next, effects, row).await? {
            Committed::Yes => Ok(Answered::Fresh { body: (answer.render)(&next), id: next.id }),
            Committed::Answered { fingerprint, bytes } => {
                Ok(replay(&answer, &fingerprint, &bytes, next.id))
            }
            Committed::Stale { .. } => Err(Fault::Contended(next.id).into()),
        }
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
        let signal = Signal::Withdrawn(By::Caller);
        let scope = format!("cancel/{}/{id}", tenant.name);
        Ok(match self.apply(id, signal, Some((&scope, &answer))).await? {
            None => None,
            Some(Applied::Moved(next) | Applied::Ignored(next)) => {
                Some(Answered::Fresh { body: (answer.render)(&next), id: id.clone() })
            }
            Some(Applied::Answered { fingerprint, bytes }) => {
                Some(replay(&answer, &fingerprint, &bytes, id.clone()))
            }
        })
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
        Ok(self.load(id).await?.filter(|found| found.tenant == tenant.name))
    }

    /// A verification of this tenant, as soon as its version is above `since` or it is settled,
    /// or else as it is when `patience` is over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn wait(
        &self,
        tenant: &Tenant,
        id: &VerificationId,
        since: u64,
        patience: Duration,
    ) -> Result<Option<Verification>, Fault> {
        let waiter = self.0.hub.enter(id);
        let patience = tokio::time::sleep(patience);
        tokio::pin!(patience);
        loop {
            let changed = waiter.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let Some(found) = self.read(tenant, id).await? else { return Ok(None) };
            if found.version > since || found.verdict().is_some() {
                return Ok(Some(found));
            }
            tokio::select! {
                () = changed => {}
                () = &mut patience => return Ok(Some(found)),
            }
        }
    }

    /// Applies what was learned about a verification. Whether it changed anything is the
    /// verification's word; a signal for one that is not there is passed over.
    ///
    /// # Errors
    /// When the store fails; the signal then counts as never learned.
    pub async fn signal(&self, id: &VerificationId, signal: Signal) -> Result<(), Fault> {
        self.apply(id, signal, None).await.map(|_| ())
    }

    /// Whether this node takes new verifications.
    #[must_use]
    pub fn ready(&self) -> Readiness {
        let mut reasons = Vec::new();
        if self.0.draining.load(Ordering::Relaxed) {
            reasons.push("shutting down".to_owned());
        }
        if !self.0.store_works.load(Ordering::Relaxed) {
            reasons.push("the store cannot be used".to_owned());
        }
        if self.0.work.is_closed() {
            reasons.push("effects are not carried out".to_owned());
        }
        Readiness { ready: reasons.is_empty(), reasons }
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    async fn load(&self, id: &VerificationId) -> Result<Option<Verification>, Fault> {
        let Some(stored) = self.0.store.load(id.as_str()).await? else { return Ok(None) };
        Ok(Some(record::decode(&stored.bytes)?))
    }

    /// Load, decide, commit; anew when another signal was faster.
    async fn apply(
        &self,
        id: &VerificationId,
        signal: Signal,
        answer: Option<(&str, &AnswerOf)>,
    ) -> Result<Option<Applied>, Fault> {
        for _ in 0..RETRIES {
            let Some(before) = self.load(id).await? else { return Ok(None) };
            let now = self.now();
            let (next, effects, ignored) = match before.clone().apply(now, signal.clone()) {
                Step::Moved { next, effects } => (next, effects, None),
                Step::Ignored { same, because } => (same, Vec::new(), Some(because)),
            };
            let row = answer.and_then(|(scope, answer)| stored_answer(scope, answer, &next, now));
            if let Some(because) = ignored {
                telemetry::observe(&Event::Ignored { verification: &next, because });
                if row.is_none() {
                    return Ok(Some(Applied::Ignored(next)));
                }
            }
            let from = ignored.is_none().then_some(&before);
            match self.commit_from(now, from, &next, effects, row).await? {
                Committed::Yes if ignored.is_some() => return Ok(Some(Applied::Ignored(next))),
                Committed::Yes => return Ok(Some(Applied::Moved(next))),
                Committed::Stale { .. } => {}
                Committed::Answered { fingerprint, bytes } => {
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
            return self.commit(now, before, next, effects, answer).await;
        }
        Ok(self.0.store.commit(Commit { now, answer, ..Commit::default() }).await?)
    }

    /// The one commit: the record, its wake-up, its effects (taken by this node at once) and the
    /// answer it gives; then whoever waits is told, and the effects go to be carried out.
    async fn commit(
        &self,
        now: Timestamp,
        before: Option<&Verification>,
        next: &Verification,
        effects: Vec<Effect>,
        answer: Option<Answer>,
    ) -> Result<Committed, Fault> {
        let duties = self.duties(next, effects);
        let mut queue = Vec::with_capacity(duties.len());
        for (effect, duty) in &duties {
            queue.push(Queued {
                id: EffectId { record: next.id.to_string(), effect: effect.clone() },
                kind: duty.kind(),
                due: now,
                bytes: record::encode_duty(duty)?,
                once: !duty.repeatable(),
                claimed_by: Some(self.0.owner.clone()),
            });
        }
        let record = RecordWrite {
            id: next.id.to_string(),
            expected: before.map(|before| before.version),
            version: next.version,
            bytes: record::encode(next)?,
            wake: next.deadline().map(|(at, _)| at),
            group: next.tenant.clone(),
            created: next.created_at,
        };
        let commit = Commit {
            now,
            record: Some(record),
            queue,
            done: finished_dials(before, next),
            answer,
            ..Commit::default()
        };
        let committed = self.0.store.commit(commit).await?;
        if committed == Committed::Yes {
            telemetry::observe(&Event::Moved { before, next });
            self.0.hub.announce(&next.id);
            for (effect, duty) in duties {
                let id = EffectId { record: next.id.to_string(), effect };
                self.hand_over(Work { id, duty, orphaned: false });
            }
            let _ = next.deadline().map(|(at, _)| self.0.wake.send(at));
        }
        Ok(committed)
    }

    /// Hands an effect to the dispatcher. It outlives every caller but a dying process; what it
    /// does not take now is claimed after the restart.
    fn hand_over(&self, work: Work) {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        let _ = self.0.work.send(work);
    }

    /// What carrying the effects out takes: a `Notify` is one delivery for each endpoint.
    fn duties(&self, next: &Verification, effects: Vec<Effect>) -> Vec<(String, Duty)> {
        let mut duties = Vec::new();
        for effect in effects {
            let name = effect.name();
            match effect {
                Effect::Dial { attempt } => duties.push((name, Duty::Dial { attempt })),
                Effect::HangUp { attempt, farewell } => {
                    duties.push((name, Duty::HangUp { attempt, farewell }));
                }
                Effect::Notify { sequence } => {
                    let deliveries = self.deliveries(next, sequence).into_iter().enumerate();
                    duties.extend(
                        deliveries.map(|(i, it)| (format!("{name}-{i}"), Duty::Deliver(it))),
                    );
                }
            }
        }
        duties
    }

    fn deliveries(&self, next: &Verification, sequence: u64) -> Vec<Delivery> {
        let Some(tenant) = self.tenant(&next.tenant) else { return Vec::new() };
        let urls: Vec<String> = match &next.request.callback_url {
            Some(url) => vec![url.clone()],
            None => tenant.webhooks.iter().map(|endpoint| endpoint.url.clone()).collect(),
        };
        let event = webhook::event_id(next, sequence);
        let body = webhook::body(&event, next, sequence, &Resource::from(next));
        urls.into_iter()
            .map(|url| Delivery {
                tenant: next.tenant.clone(),
                url,
                event: event.clone(),
                body: body.clone(),
                tries: 0,
            })
            .collect()
    }

    fn tenant(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.0.tenants.iter().find(|tenant| tenant.name == name)
    }

    /// Commits that effects were carried out, or are to be tried again.
    async fn acknowledge(
        &self,
        done: Vec<EffectId>,
        postpone: Vec<crate::store::Postponed>,
    ) -> Result<(), Fault> {
        let commit = Commit { now: self.now(), done, postpone, ..Commit::default() };
        self.0.store.commit(commit).await?;
        Ok(())
    }
}

/// The dials of attempts that ended with this step: their duty is over, however they ended.
fn finished_dials(before: Option<&Verification>, next: &Verification) -> Vec<EffectId> {
    let over = |verification: &Verification, no| {
        verification.find(no).is_some_and(|attempt| attempt.state == AttemptState::Ended)
    };
    next.attempts
        .iter()
        .map(|attempt| attempt.no)
        .filter(|&no| over(next, no) && !before.is_some_and(|before| over(before, no)))
        .map(|attempt| EffectId {
            record: next.id.to_string(),
            effect: Effect::Dial { attempt }.name(),
        })
        .collect()
}

/// The row that answers a repeat of this request.
fn stored_answer(
    scope: &str,
    answer: &AnswerOf,
    next: &Verification,
    now: Timestamp,
) -> Option<Answer> {
    let idempotency = answer.idempotency.as_ref()?;
    let mut bytes = format!("{}\n", next.id).into_bytes();
    bytes.extend((answer.render)(next));
    Some(Answer {
        key: format!("{scope}/{}", idempotency.key),
        fingerprint: idempotency.fingerprint,
        bytes,
        expires: now + IDEMPOTENCY_LIFE,
    })
}

/// The answer of then, when the same was asked.
fn replay(
    answer: &AnswerOf,
    fingerprint: &[u8; 32],
    bytes: &[u8],
    otherwise: VerificationId,
) -> Answered {
    let same = answer.idempotency.as_ref().is_some_and(|it| it.fingerprint == *fingerprint);
    if !same {
        return Answered::Mismatch;
    }
    let (id, body) = match bytes.iter().position(|&byte| byte == b'\n') {
        Some(at) => bytes.split_at(at),
        None => (&[][..], bytes),
    };
    let id = std::str::from_utf8(id).ok().and_then(VerificationId::parse);
    let body = body.strip_prefix(b"\n").unwrap_or(body).to_vec();
    Answered::Replayed { body, id: id.unwrap_or(otherwise) }
}
