//! Carries out what was decided: places and ends calls, delivers events, and wakes verifications
//! whose deadline has come. What a lost node left behind is claimed here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::webhook::{self, Failure};
use super::{Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::record::{self, Delivery, Duty};
use crate::store::{EffectId, Postponed};
use crate::telemetry::{self, Event};
use crate::verify::attempt::AttemptNo;
use crate::verify::signal::{Cause, Farewell, Reason, Signal};
use crate::verify::{Verification, VerificationId};

/// The longest the claimer sleeps: leases of other nodes may lapse unannounced.
const CLAIM_EVERY: Duration = Duration::from_secs(5);

/// How much is claimed at once.
const CLAIM_MOST: usize = 256;

/// How many events are on their way at once.
const DELIVERIES: usize = 256;

/// How long a fault keeps the claimer from trying again.
const AFTER_FAULT: Duration = Duration::from_millis(500);

/// What reaches the world: calls and customers.
pub trait Hands: Send + Sync + 'static {
    /// Places the call of an attempt; gives the other side's name for it (the Call-ID).
    fn dial(
        &self,
        verification: &Verification,
        attempt: AttemptNo,
    ) -> impl Future<Output = Result<String, Cause>> + Send;

    /// Ends the call of an attempt, if there is one here.
    fn close(&self, verification: &VerificationId, attempt: AttemptNo, farewell: Farewell);

    /// Delivers an event, once.
    fn deliver(&self, delivery: &Delivery) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// An effect to be carried out.
#[derive(Debug)]
pub(super) struct Work {
    /// Its name.
    pub(super) id: EffectId,
    /// What it is.
    pub(super) duty: Duty,
    /// Another owner took it before and was lost.
    pub(super) orphaned: bool,
}

/// Claims and carries out; by which hands is not its business.
pub(super) struct Dispatcher<H> {
    gateway: Gateway,
    hands: H,
    deliveries: Semaphore,
}

pub(super) fn report(doing: &'static str, error: &dyn std::error::Error) {
    telemetry::observe(&Event::Fault { doing, error });
}

impl<H: Hands> Dispatcher<H> {
    /// A dispatcher of this gateway.
    pub(super) fn new(gateway: Gateway, hands: H) -> Self {
        Self { gateway, hands, deliveries: Semaphore::new(DELIVERIES) }
    }

    /// Carries out what this node committed, as soon as it did.
    pub(super) async fn work(self: Arc<Self>, mut to_do: mpsc::UnboundedReceiver<Work>) {
        let mut running = JoinSet::new();
        while let Some(work) = to_do.recv().await {
            let dispatcher = Arc::clone(&self);
            running.spawn(async move { dispatcher.carry_out(work).await });
            while running.try_join_next().is_some() {}
        }
    }

    /// Claims what is due and was not carried out by whoever committed it: deadlines, retries,
    /// and what a lost owner left behind.
    pub(super) async fn claim(self: Arc<Self>, mut wakes: mpsc::UnboundedReceiver<Timestamp>) {
        loop {
            let claimed = self.claim_once().await;
            self.gateway.0.store_works.store(claimed.is_ok(), Ordering::Relaxed);
            let mut next = match claimed {
                Ok(next) => next,
                Err(fault) => {
                    report("claim what is due", &fault);
                    Some(self.gateway.now() + AFTER_FAULT)
                }
            };
            loop {
                let now = self.gateway.now();
                let sleep = next.map_or(CLAIM_EVERY, |at| at.since(now).min(CLAIM_EVERY));
                tokio::select! {
                    // A millisecond more: a deadline must have passed when it is looked at.
                    () = tokio::time::sleep(sleep + Duration::from_millis(1)) => break,
                    sooner = wakes.recv() => match sooner {
                        Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                        None => return,
                    },
                }
            }
        }
    }

    /// Claims what is due now, and wakes whose deadline has come; when to look again.
    pub(super) async fn claim_once(&self) -> Result<Option<Timestamp>, Fault> {
        let inner = &self.gateway.0;
        let claimed = inner.store.claim(self.gateway.now(), &inner.owner, CLAIM_MOST).await?;
        // One row that cannot be read must not hold up the others.
        for effect in claimed.effects {
            match record::decode_duty(&effect.bytes) {
                Ok(duty) => {
                    let work = Work { id: effect.id, duty, orphaned: effect.orphaned };
                    self.gateway.hand_over(work);
                }
                Err(error) => report("read a stored effect", &error),
            }
        }
        for id in claimed.wakes.iter().filter_map(|id| VerificationId::parse(id)) {
            if let Err(fault) = self.gateway.signal(&id, Signal::Lapsed).await {
                report("wake a verification", &fault);
            }
        }
        Ok(claimed.next_due)
    }

    /// Carries out one effect.
    pub(super) async fn carry_out(&self, work: Work) {
        self.perform(work).await;
        self.gateway.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    async fn perform(&self, Work { id, duty, orphaned }: Work) {
        let Some(verification) = VerificationId::parse(&id.record) else { return };
        let outcome = match duty {
            // At most once: whether the lost owner's phone rang is unknown, so it is not rung
            // again. The end of the attempt also ends this duty.
            Duty::Dial { attempt } if orphaned => {
                let why = "the node that placed the call stopped before its end";
                let cause = Cause::because(Reason::NodeLost, why);
                self.gateway.signal(&verification, Signal::Ended { attempt, cause }).await
            }
            Duty::Dial { attempt } => self.dial(&verification, attempt).await,
            Duty::HangUp { attempt, farewell } => {
                self.hands.close(&verification, attempt, farewell);
                self.gateway.acknowledge(vec![id], Vec::new()).await
            }
            Duty::Deliver(delivery) => self.deliver(id, delivery).await,
        };
        if let Err(fault) = outcome {
            report("carry out an effect", &fault);
        }
    }

    /// Places a call, unless the attempt has ended meanwhile.
    async fn dial(&self, id: &VerificationId, attempt: AttemptNo) -> Result<(), Fault> {
        let Some(verification) = self.gateway.load(id).await? else { return Ok(()) };
        if !is_running(&verification, attempt) {
            return Ok(());
        }
        let signal = match self.hands.dial(&verification, attempt).await {
            Ok(handle) => Signal::Placed { attempt, handle },
            Err(cause) => Signal::Ended { attempt, cause },
        };
        self.gateway.signal(id, signal).await?;
        // Whoever ended the attempt before its call had a name found nobody to tell.
        let Some(after) = self.gateway.load(id).await? else { return Ok(()) };
        if !is_running(&after, attempt) && !says_goodbye(&after, attempt) {
            self.hands.close(id, attempt, Farewell::Silent);
        }
        Ok(())
    }

    /// Writes what became of a delivery. A store that is full for a while must not strand it with
    /// an owner that lives on, so this is tried again for ten minutes.
    async fn settle(&self, done: Vec<EffectId>, postpone: Vec<Postponed>) -> Result<(), Fault> {
        for _ in 0..120 {
            match self.gateway.acknowledge(done.clone(), postpone.clone()).await {
                Ok(()) => return Ok(()),
                Err(fault) => report("write what became of a delivery", &fault),
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        self.gateway.acknowledge(done, postpone).await
    }

    /// Delivers an event, or plans the next try.
    async fn deliver(&self, id: EffectId, mut delivery: Delivery) -> Result<(), Fault> {
        let _place = self.deliveries.acquire().await;
        let failure = self.hands.deliver(&delivery).await.err();
        let told = failure.as_ref().map(ToString::to_string);
        let (event, tries) = (delivery.event.as_str(), delivery.tries);
        telemetry::observe(&Event::Delivered { event, tries, failure: told.as_deref() });
        let again = match failure {
            Some(Failure::Retry(_)) => webhook::pause(tries),
            Some(Failure::Gone) | None => None,
        };
        let Some(pause) = again else {
            return self.settle(vec![id], Vec::new()).await;
        };
        delivery.tries += 1;
        let bytes = record::encode_duty(&Duty::Deliver(delivery))?;
        let due = self.gateway.now() + pause;
        self.settle(Vec::new(), vec![Postponed { id, due, bytes }]).await?;
        let _ = self.gateway.0.wake.send(due);
        Ok(())
    }
}

fn is_running(verification: &Verification, attempt: AttemptNo) -> bool {
    verification.running().is_some_and(|running| running.no == attempt)
}

/// Whether the attempt ended by what was heard on its call: the call then closes itself.
fn says_goodbye(verification: &Verification, attempt: AttemptNo) -> bool {
    verification.find(attempt).is_some_and(|attempt| attempt.press.is_some())
}
