//! Carries out what was decided: places and ends calls, delivers events, and wakes verifications
//! whose deadline has come. What a lost node left behind is claimed here.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

use super::watch::Room;
use super::webhook::{self, Failure, Lane, Lanes, News};
use super::{Fault, Gateway, rehearsal, told};
use crate::ambient::Timestamp;
use crate::carrier::wire::HttpRequest;
use crate::carrier::{Body, Receipt};
use crate::failpoint::{self, Point};
use crate::store::record::{self, Delivery, Duty};
use crate::store::{EffectId, Postponed, RecordWrite};
use crate::telemetry::{self, Event};
use crate::verify::attempt::{Attempt, AttemptNo, AttemptState};
use crate::verify::number::PhoneNumber;
use crate::verify::request::Channel;
use crate::verify::signal::{Cause, Farewell, Reason, Signal};
use crate::verify::{Verification, VerificationId};

/// The longest the claimer sleeps: leases of other nodes may lapse unannounced, and what waits for this
/// node may not have been hinted at. Half of a renewal, so that the lease is renewed in time.
const CLAIM_EVERY: Duration = Duration::from_millis(2_500);

/// How much is claimed at once.
const CLAIM_MOST: usize = 256;

/// When an event is looked at again whose endpoint has too many waiting.
const CROWDED: Duration = Duration::from_secs(5);

/// How long a fault keeps the claimer from trying again.
const AFTER_FAULT: Duration = Duration::from_millis(500);

/// How long after an answer was lost the carrier is asked what became of the order: its list must
/// have caught up.
const RECONCILE_AFTER: Duration = Duration::from_secs(2);

/// How often, and after which pauses, the store is asked again for what must be known or written: for ten
/// minutes, which is as long as a verification can live.
const FIRM_TRIES: u32 = 120;
const FIRM_PAUSE: Duration = Duration::from_secs(5);

/// What was done when the store failed that has an effect ready to be carried out.
const TO_READ: &str = "read what is to be carried out";

/// What reaches the world: calls, texts and customers.
pub trait Hands: Send + Sync + 'static {
    /// Waits until there is room for an attempt, where its trunk takes no more calls now. The room is
    /// kept until it is placed and over, or closed.
    ///
    /// # Errors
    /// Why there is none, and none is waited for: the attempt is over.
    fn room(
        &self,
        verification: &Verification,
        attempt: AttemptNo,
    ) -> impl Future<Output = Result<Room, Cause>> + Send {
        let _ = (verification, attempt);
        std::future::ready(Ok(Room::Free))
    }

    /// Places the call of an attempt, or sends its text, once.
    fn place(
        &self,
        verification: &Verification,
        attempt: AttemptNo,
    ) -> impl Future<Output = Receipt> + Send;

    /// Finds out what became of an order whose answer was lost; [`Receipt::Unclear`] where that
    /// cannot be known.
    fn reconcile(
        &self,
        verification: &Verification,
        attempt: AttemptNo,
    ) -> impl Future<Output = Receipt> + Send {
        let _ = (verification, attempt);
        std::future::ready(Receipt::Unclear)
    }

    /// Ends every call at once: this node cannot tell any more that they are its own.
    fn abandon(&self) {}

    /// Ends the call of an attempt, if there is one; `handle` is the other side's name for it
    /// where the verification did not take it any more.
    fn close(
        &self,
        verification: &Verification,
        attempt: AttemptNo,
        handle: Option<&str>,
        farewell: Farewell,
    ) -> impl Future<Output = ()> + Send;

    /// Makes a request that a carrier's hook led to.
    fn ask(&self, request: HttpRequest) -> impl Future<Output = ()> + Send {
        let _ = request;
        std::future::ready(())
    }

    /// Answers a person who wrote, by the carrier they wrote to; `name` is the answer's own.
    fn write(
        &self,
        carrier: &str,
        to: &PhoneNumber,
        body: &Body,
        name: &str,
    ) -> impl Future<Output = ()> + Send {
        let _ = (carrier, to, body, name);
        std::future::ready(())
    }

    /// Delivers an event, once.
    fn deliver(&self, delivery: &Delivery) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Something to be done.
#[derive(Debug)]
pub(super) enum Job {
    /// An effect that was committed.
    Effect(Work),
    /// A request that a carrier's hook led to.
    Ask(HttpRequest),
    /// An answer to a person who wrote.
    Write {
        /// By which carrier.
        carrier: String,
        /// To whom.
        to: PhoneNumber,
        /// What.
        body: Body,
        /// Its own name.
        name: String,
    },
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
    /// When this node took it.
    pub(super) since: Timestamp,
}

/// Claims and carries out; by which hands is not its business.
pub(super) struct Dispatcher<H> {
    gateway: Gateway,
    hands: H,
    lanes: Lanes,
}

pub(super) fn report(doing: &'static str, error: &dyn std::error::Error) {
    telemetry::observe(&Event::Fault { doing, error });
}

impl<H: Hands> Dispatcher<H> {
    /// A dispatcher of this gateway.
    pub(super) fn new(gateway: Gateway, hands: H) -> Self {
        Self { gateway, hands, lanes: Lanes::default() }
    }

    /// Whose it is.
    pub(super) const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Carries out what this node committed, as soon as it did.
    pub(super) async fn work(self: Arc<Self>, mut to_do: mpsc::UnboundedReceiver<Job>) {
        let mut running = JoinSet::new();
        while let Some(job) = to_do.recv().await {
            let dispatcher = Arc::clone(&self);
            // Boxed: a task is aligned to more than it needs.
            running.spawn(Box::pin(async move { dispatcher.carry_out(job).await }));
            while running.try_join_next().is_some() {}
        }
    }

    /// Claims what is due and was not carried out by whoever committed it: deadlines, retries,
    /// and what a lost owner left behind.
    pub(super) async fn claim(self: Arc<Self>, mut wakes: mpsc::UnboundedReceiver<Timestamp>) {
        loop {
            let claimed = self.claim_once().await;
            self.gateway.0.store_works.store(claimed.is_ok(), Ordering::Relaxed);
            telemetry::observe(&Event::StoreWorks(claimed.is_ok()));
            let mut next = match claimed {
                Ok(next) => next,
                Err(fault) => {
                    report("claim what is due", &fault);
                    Some(self.gateway.now() + AFTER_FAULT)
                }
            };
            // What is due is for the others, and for this node where nobody else takes it.
            next = next.filter(|_| !self.gateway.is_draining());
            loop {
                let now = self.gateway.now();
                let sleep = next.map_or(CLAIM_EVERY, |at| at.since(now).min(CLAIM_EVERY));
                tokio::select! {
                    // A millisecond more: a deadline must have passed when it is looked at.
                    () = tokio::time::sleep(sleep + Duration::from_millis(1)) => break,
                    sooner = wakes.recv() => match sooner {
                        Some(at) if at > now && self.gateway.is_draining() => {}
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
        if self.gateway.is_lost() {
            self.hands.abandon();
        }
        let now = self.gateway.now();
        failpoint::pass(Point::ClaimBefore);
        let claimed = inner.store.claim(now, &inner.owner, CLAIM_MOST).await;
        failpoint::pass(Point::ClaimAfter);
        let effects = claimed.as_ref().ok().map(|claimed| claimed.effects.as_slice());
        inner.taken.claimed(effects, now);
        let claimed = claimed?;
        inner.lease.renew(now);
        // One row that cannot be read must not hold up the others.
        for effect in claimed.effects {
            match record::decode_duty(&effect.bytes) {
                Ok(duty) => {
                    let (id, orphaned) = (effect.id, effect.orphaned);
                    let work = Work { id, duty, orphaned, since: now };
                    self.gateway.hand_over(Job::Effect(work));
                }
                Err(error) => report("read a stored effect", &error),
            }
        }
        failpoint::pass(Point::HandedOver);
        // What the claim tells of the store's time may set the clock back by a moment: a deadline must have
        // passed when it is looked at.
        let back = now.since(self.gateway.now());
        if !back.is_zero() {
            self.gateway.rest(back).await;
        }
        for id in claimed.wakes.iter().filter_map(|id| VerificationId::parse(id)) {
            if let Err(fault) = self.gateway.signal(&id, Signal::Lapsed).await {
                report("wake a verification", &fault);
            }
        }
        self.gateway.find_taken().await?;
        Ok(claimed.next_due)
    }

    /// Carries out one job.
    pub(super) async fn carry_out(&self, job: Job) {
        match job {
            Job::Effect(work) => self.perform(work).await,
            Job::Ask(request) => self.hands.ask(request).await,
            Job::Write { carrier, to, body, name } => {
                self.hands.write(&carrier, &to, &body, &name).await;
            }
        }
        self.gateway.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    async fn perform(&self, work: Work) {
        let id = work.id.clone();
        let outcome = match (&work.duty, VerificationId::parse(&id.record)) {
            // Events tell of other things, too.
            (Duty::Deliver(delivery), _) => {
                telemetry::observe(&Event::Delivering(1));
                let outcome = Box::pin(self.deliver(id, delivery.clone(), work.since)).await;
                telemetry::observe(&Event::Delivering(-1));
                outcome
            }
            (Duty::Dial { attempt } | Duty::Send { attempt }, Some(verification)) => {
                self.place(&verification, *attempt, &work).await
            }
            (Duty::HangUp { attempt, farewell }, Some(verification)) => {
                self.hang_up(&verification, *attempt, *farewell, id).await
            }
            (Duty::Dial { .. } | Duty::Send { .. } | Duty::HangUp { .. }, None) => return,
        };
        if let Err(fault) = outcome {
            report("carry out an effect", &fault);
        }
    }

    /// A verification, read again while the store cannot be: whoever needs it has an effect of it in
    /// hand, and nobody else takes that.
    async fn load_firmly(&self, id: &VerificationId) -> Result<Option<Verification>, Fault> {
        self.gateway.firmly(TO_READ, || self.gateway.load(id)).await
    }

    /// Places a call or sends a text, unless the attempt has ended meanwhile. At most once: what
    /// another owner began and was lost with is not begun again.
    async fn place(
        &self,
        id: &VerificationId,
        attempt: AttemptNo,
        work: &Work,
    ) -> Result<(), Fault> {
        // What waits for its turn, of which there may be many, is kept small.
        let Some(verification) = self.load_firmly(id).await?.map(Box::new) else {
            return Ok(());
        };
        if !is_running(&verification, attempt) {
            return Ok(());
        }
        if self.gateway.tenant(&verification.tenant).is_some_and(|tenant| tenant.test) {
            return Box::pin(self.rehearse(&verification, attempt)).await;
        }
        if !self.is_wanted(&verification, attempt).await? {
            let cause = Cause::plain(Reason::OptedOut);
            return self.gateway.insist(id, Signal::Ended { attempt, cause }).await;
        }
        let Some(verification) = self.with_room(verification, attempt, work).await? else {
            return Ok(());
        };
        // What was taken before the lease lapsed may be another's by now.
        let lost = !work.orphaned && !self.gateway.has_kept(work.since);
        if lost {
            self.hands.close(&verification, attempt, None, Farewell::Silent).await;
        }
        let orphaned = work.orphaned || lost;
        let by_carrier = self.gateway.is_by_carrier(&verification, attempt);
        let node = (!by_carrier).then(|| self.gateway.node().to_owned());
        let signal = match self.carried(&verification, attempt, orphaned).await {
            Receipt::Taken(handle) => Signal::Placed { attempt, handle, node },
            Receipt::Refused(cause) => Signal::Ended { attempt, cause },
            Receipt::Unclear => Signal::Lost { attempt },
        };
        let handle =
            if let Signal::Placed { handle, .. } = &signal { Some(handle.clone()) } else { None };
        self.gateway.insist(id, signal).await?;
        // Whoever ended the attempt before its call had a name found nobody to tell.
        let Some(after) = self.load_firmly(id).await? else { return Ok(()) };
        let called = after.find(attempt).is_some_and(|it| it.channel == Channel::Voice);
        let unheard = !is_running(&after, attempt) && !says_goodbye(&after, attempt);
        // A text that was sent cannot be taken back.
        if handle.is_some() && called && unheard {
            self.hands.close(&after, attempt, handle.as_deref(), Farewell::Silent).await;
        }
        Ok(())
    }

    /// Waits for room; `None` when the attempt is over before there is any, or is left to others because
    /// this node is being stopped.
    async fn with_room(
        &self,
        verification: Box<Verification>,
        attempt: AttemptNo,
        work: &Work,
    ) -> Result<Option<Box<Verification>>, Fault> {
        if work.orphaned {
            return Ok(Some(verification));
        }
        let id = verification.id.clone();
        let stopped = async {
            match &work.duty {
                Duty::Dial { .. } => self.gateway.drains().await,
                // A text is gone at once.
                Duty::Send { .. } | Duty::HangUp { .. } | Duty::Deliver(_) => {
                    std::future::pending().await
                }
            }
        };
        let room = tokio::select! {
            biased;
            () = stopped => {
                self.hands.close(&verification, attempt, None, Farewell::Silent).await;
                self.gateway.leave(attempt, &work.id, work.duty.clone()).await?;
                return Ok(None);
            }
            room = self.hands.room(&verification, attempt) => room,
        };
        match room {
            Ok(Room::Free) => Ok(Some(verification)),
            Ok(Room::Waited) => {
                let after = self.load_firmly(&id).await.map(|after| after.map(Box::new));
                match after {
                    Ok(Some(after)) if is_running(&after, attempt) => Ok(Some(after)),
                    // Nobody is called who is no longer asked for.
                    Ok(_) | Err(_) => {
                        self.hands.close(&verification, attempt, None, Farewell::Silent).await;
                        after.map(|_| None)
                    }
                }
            }
            Err(cause) => {
                self.gateway.insist(&id, Signal::Ended { attempt, cause }).await?;
                Ok(None)
            }
        }
    }

    /// What became of an order, as far as anybody can tell.
    async fn carried(
        &self,
        verification: &Verification,
        attempt: AttemptNo,
        orphaned: bool,
    ) -> Receipt {
        let by_carrier = self.gateway.is_by_carrier(verification, attempt);
        if orphaned && !by_carrier {
            let why = "the node that placed the call stopped before its end";
            return Receipt::Refused(Cause::because(Reason::NodeLost, why));
        }
        let first = match orphaned {
            true => Receipt::Unclear,
            false => self.order(verification, attempt).await,
        };
        if first != Receipt::Unclear || !by_carrier {
            return first;
        }
        self.gateway.rest(RECONCILE_AFTER).await;
        let found = self.hands.reconcile(verification, attempt).await;
        // What the carrier has told of by a hook, it has taken, whatever its list says.
        let Ok(after) = self.load_firmly(&verification.id).await else { return Receipt::Unclear };
        match after.as_ref().and_then(|after| after.find(attempt)) {
            Some(Attempt { call_id: Some(handle), .. }) => return Receipt::Taken(handle.clone()),
            Some(it) if it.state != AttemptState::Queued => return Receipt::Unclear,
            Some(_) | None => {}
        }
        if let Receipt::Taken(handle) = &found {
            let route = verification.find(attempt).map(|attempt| attempt.route.as_str());
            let id = &verification.id;
            let anothers = self.gateway.is_anothers(id, route.unwrap_or_default(), handle).await;
            if !matches!(anothers, Ok(false)) {
                return Receipt::Unclear;
            }
        }
        found
    }

    async fn order(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        failpoint::pass(Point::OrderBefore);
        let order = self.hands.place(verification, attempt);
        let receipt = failpoint::amid(Point::OrderAmid, order).await;
        failpoint::pass(Point::OrderAfter);
        receipt
    }

    /// Whether the phone still wants texts of this sender, where the attempt is one.
    async fn is_wanted(
        &self,
        verification: &Verification,
        attempt: AttemptNo,
    ) -> Result<bool, Fault> {
        let (tenant, request) = (&verification.tenant, &verification.request);
        match verification.find(attempt) {
            Some(attempt) if attempt.channel == Channel::Sms => {
                let may = || self.gateway.may_write(tenant, request, &attempt.route);
                self.gateway.firmly(TO_READ, may).await
            }
            Some(_) | None => Ok(true),
        }
    }

    /// Plays an attempt of a test tenant: nothing leaves this node.
    async fn rehearse(&self, verification: &Verification, no: AttemptNo) -> Result<(), Fault> {
        let Some(attempt) = verification.find(no) else { return Ok(()) };
        let id = &verification.id;
        let handle = match rehearsal::receipt(verification, attempt) {
            Receipt::Taken(handle) => handle,
            Receipt::Refused(cause) => {
                return self.gateway.insist(id, Signal::Ended { attempt: no, cause }).await;
            }
            Receipt::Unclear => return Ok(()),
        };
        let placed = Signal::Placed { attempt: no, handle, node: None };
        self.gateway.insist(id, placed).await?;
        let (orders, now) = (self.gateway.orders(), self.gateway.now());
        for (pause, signal) in rehearsal::cues(&orders, verification, attempt, now) {
            self.gateway.rest(pause).await;
            self.gateway.insist(id, signal).await?;
        }
        Ok(())
    }

    async fn hang_up(
        &self,
        verification: &VerificationId,
        attempt: AttemptNo,
        farewell: Farewell,
        duty: EffectId,
    ) -> Result<(), Fault> {
        if let Some(verification) = self.load_firmly(verification).await? {
            self.hands.close(&verification, attempt, None, farewell).await;
        }
        self.settle(vec![duty], Vec::new(), None, None).await
    }

    /// Writes what became of a delivery or an end. A store that is full for a while must not strand it with
    /// an owner that lives on, so this is tried again for ten minutes.
    async fn settle(
        &self,
        done: Vec<EffectId>,
        postpone: Vec<Postponed>,
        told: Option<&Delivery>,
        tried: Option<RecordWrite>,
    ) -> Result<(), Fault> {
        let settle =
            || self.gateway.acknowledge(done.clone(), postpone.clone(), told, tried.clone());
        self.gateway.firmly("write what became of an effect", settle).await
    }

    /// Delivers an event, or plans the next try.
    async fn deliver(
        &self,
        id: EffectId,
        mut delivery: Delivery,
        since: Timestamp,
    ) -> Result<(), Fault> {
        let name = delivery.tenant.clone();
        let tenant = self.gateway.tenant(&name);
        let endpoint = tenant.as_ref().and_then(|tenant| tenant.endpoint(&delivery.url));
        let lane = endpoint.map(|endpoint| endpoint.url.as_str()).unwrap_or_default();
        let lane = self.lanes.of(&format!("{name} {lane}"));
        let Some(_place) = self.place_in(&lane).await else {
            return self.again(id, delivery, CROWDED, None).await;
        };
        // What becomes of an address that a request named says nothing of the endpoint.
        let endpoint = endpoint.filter(|endpoint| endpoint.url == delivery.url);
        if let Some(endpoint) = endpoint
            && matches!(self.gateway.is_off(&name, endpoint).await, Ok(true))
        {
            let (outcome, why) = ("withheld", "the endpoint is switched off");
            let tried = self.tried(&id, &delivery, outcome, Some(why)).await;
            return self.settle(vec![id], Vec::new(), Some(&delivery), tried).await;
        }
        // What was taken before the lease lapsed may be told by another by now; where it is not, it is anybody's.
        if !self.gateway.has_kept(since) {
            return self.again(id, delivery, Duration::ZERO, None).await;
        }
        failpoint::pass(Point::DeliveryBefore);
        let outcome = failpoint::amid(Point::DeliveryAmid, self.hands.deliver(&delivery)).await;
        failpoint::pass(Point::DeliveryAfter);
        let failure = outcome.err();
        let (news, wish) = match &failure {
            None => (News::Taken, None),
            Some(Failure::Gone) => (News::Gone, None),
            Some(Failure::Retry(_)) => (News::Failed, None),
            Some(Failure::Later(_, wish)) => (News::Failed, Some(*wish)),
        };
        if let Some(endpoint) = endpoint
            && let Err(fault) = self.gateway.learn_of(&name, endpoint, news).await
        {
            report("keep what is known of an endpoint", &fault);
        }
        let pause = webhook::pause(delivery.tries, wish, self.gateway.chance());
        let pause = pause.filter(|_| news == News::Failed);
        let outcome = match (news, pause) {
            (News::Failed, Some(_)) => "failed",
            (News::Failed, None) => "given_up",
            (News::Gone, _) => "gone",
            (News::Taken | News::On, _) => "delivered",
        };
        let why = failure.map(|failure| failure.to_string());
        let tried = self.tried(&id, &delivery, outcome, why.as_deref()).await;
        let Some(pause) = pause else {
            failpoint::pass(Point::DequeueBefore);
            let settled = self.settle(vec![id], Vec::new(), Some(&delivery), tried).await;
            failpoint::pass(Point::DequeueAfter);
            return settled;
        };
        delivery.tries += 1;
        self.again(id, delivery, pause, tried).await
    }

    /// Tells what became of a delivery; the row that says it, where one is kept.
    async fn tried(
        &self,
        id: &EffectId,
        delivery: &Delivery,
        outcome: &'static str,
        why: Option<&str>,
    ) -> Option<RecordWrite> {
        self.tell_of(delivery, outcome, why);
        match self.gateway.tried(id, delivery, outcome, why).await {
            Ok(tried) => tried,
            Err(fault) => {
                report("keep how a delivery went", &fault);
                None
            }
        }
    }

    fn tell_of(&self, delivery: &Delivery, outcome: &'static str, why: Option<&str>) {
        let Delivery { event, tries, .. } = delivery;
        let happened = if why.is_none() { told::happened(delivery) } else { None };
        let age = happened.map(|at| self.gateway.now().since(at));
        telemetry::observe(&Event::Delivered { event, tries: *tries, outcome, age, why });
    }

    /// A place on the way to an endpoint. Whoever waits for one is not under way, and nobody who stops this
    /// node waits for it: the event is in the store.
    async fn place_in(&self, lane: &Lane) -> Option<OwnedSemaphorePermit> {
        if let Some(place) = lane.free() {
            return Some(place);
        }
        let in_flight = &self.gateway.0.in_flight;
        in_flight.fetch_sub(1, Ordering::Relaxed);
        let place = lane.enter().await;
        in_flight.fetch_add(1, Ordering::Relaxed);
        place
    }

    /// Gives an event back to the store, to be claimed after a pause.
    async fn again(
        &self,
        id: EffectId,
        delivery: Delivery,
        pause: Duration,
        tried: Option<RecordWrite>,
    ) -> Result<(), Fault> {
        let bytes = record::encode_duty(&Duty::Deliver(delivery))?;
        let (owner, due) = (self.gateway.0.owner.clone(), self.gateway.now() + pause);
        failpoint::pass(Point::PostponeBefore);
        self.settle(Vec::new(), vec![Postponed { id, owner, due, bytes }], None, tried).await?;
        failpoint::pass(Point::PostponeAfter);
        let _ = self.gateway.0.wake.send(due);
        Ok(())
    }
}

impl Gateway {
    /// Lets time pass. Where no runtime keeps it, whoever drives this gateway does: it then waits for
    /// the gateway's clock to be moved, and is looked at again.
    async fn rest(&self, pause: Duration) {
        if tokio::runtime::Handle::try_current().is_ok() {
            return tokio::time::sleep(pause).await;
        }
        let until = self.now() + pause;
        std::future::poll_fn(|_| match self.now() < until {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }

    /// Applies what became of an order or a call. It was carried out once and will not be again, so a
    /// store that cannot be written for a while must not make it forgotten: this is tried for as long
    /// as a verification can live.
    ///
    /// # Errors
    /// When the store fails to the end.
    pub async fn insist(&self, id: &VerificationId, signal: Signal) -> Result<(), Fault> {
        let apply = || self.signal(id, signal.clone());
        self.firmly("write what became of an attempt", apply).await
    }

    /// Does this, and again while the store fails, for ten minutes.
    async fn firmly<T, F>(
        &self,
        doing: &'static str,
        does: impl Fn() -> F + Send,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>> + Send,
    {
        for _ in 0..FIRM_TRIES {
            match does().await {
                Err(fault) => report(doing, &fault),
                done => return done,
            }
            self.rest(FIRM_PAUSE).await;
        }
        does().await
    }
}

fn is_running(verification: &Verification, attempt: AttemptNo) -> bool {
    verification.running().is_some_and(|running| running.no == attempt)
}

/// Whether the attempt ended by what was heard on its call: the call then closes itself.
fn says_goodbye(verification: &Verification, attempt: AttemptNo) -> bool {
    verification.find(attempt).is_some_and(|attempt| attempt.press.is_some())
}
