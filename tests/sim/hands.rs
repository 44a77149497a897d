//! A node's hands in the simulated world, and the faults that can be planted in them, and on the way
//! to the store, to see the judge find them.

use std::sync::{Arc, Mutex, MutexGuard};

use octothorpe::ambient::Timestamp;
use octothorpe::carrier::wire::HttpRequest;
use octothorpe::carrier::{Carrier, Order, Receipt};
use octothorpe::gateway::{Failure, Hands};
use octothorpe::store::record::Delivery;
use octothorpe::verify::Verification;
use octothorpe::verify::attempt::{Attempt, AttemptNo};
use octothorpe::verify::signal::{Cause, Farewell, Press, Reason, RtpMark, Said, Signal};

use crate::account;
use crate::cloud::Sent;
use crate::link::{self, Links};
use crate::plan::CLOUD;
use crate::state::{Delivered, Event, State};

/// Both sides of the seam hold the world; nobody holds it while waiting.
pub(crate) type Shared = Arc<Mutex<State>>;

/// A fault to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// Places every call twice.
    DialsTwice,
    /// Never ends a call.
    NeverCloses,
    /// Hears a pound key that nobody pressed.
    HearsThings,
    /// Names an event anew on every try.
    RenamesEvents,
    /// Says that it delivered what it did not.
    DropsEvents,
    /// Writes the number into the log.
    Talks,
    /// Commits over what another has changed meanwhile.
    SkipsTheFence,
    /// Takes no wrong code into account.
    GivesBack,
    /// Takes what comes after the deadline.
    CountsLate,
    /// Commits without the events that are to be delivered.
    DropsOutbox,
    /// Lets every phone stay that answered the same INVITE.
    KeepsEveryFork,
    /// Leaves a phone ringing that nobody is to answer any more.
    NeverCancels,
    /// Takes no notice of the store's time.
    KeepsItsTime,
    /// Orders everything twice of the provider.
    OrdersTwice,
    /// Believes whoever sends a hook.
    BelievesAnybody,
}

/// The hands of one run of a node.
pub(crate) struct SimHands {
    pub(crate) world: Shared,
    pub(crate) links: Links,
    /// On which machine.
    pub(crate) at: usize,
    pub(crate) run: u64,
    pub(crate) bug: Bug,
    /// How the provider is spoken to.
    pub(crate) carrier: Arc<dyn Carrier>,
}

impl SimHands {
    fn world(&self) -> MutexGuard<'_, State> {
        self.world.lock().unwrap()
    }

    /// The world takes its time, and sometimes the node does not live to see the end of it.
    async fn wait(&self) {
        let until = self.world().hold_up(self.at);
        link::wait(&self.links, until).await;
    }

    /// Makes a request of the provider: it and its answer take their time.
    async fn ask_of(&self, request: &HttpRequest) -> Sent {
        self.wait().await;
        let sent = self.world().asks_cloud(self.at, request);
        self.wait().await;
        sent
    }

    /// Has the provider carry an attempt out.
    async fn order(&self, verification: &Verification, attempt: &Attempt) -> Receipt {
        let request = match self.written(verification, attempt, |order| self.carrier.order(order)) {
            Ok(request) => request,
            Err(cause) => return Receipt::Refused(cause),
        };
        if self.bug == Bug::OrdersTwice {
            let _ = self.ask_of(&request).await;
        }
        match self.ask_of(&request).await {
            Sent::Answered(status, body) => self.carrier.receipt(attempt.channel, status, &body),
            Sent::Unsent => Receipt::Refused(Cause::because(Reason::CarrierError, "out of reach")),
            Sent::Lost => Receipt::Unclear,
        }
    }

    /// The order of an attempt.
    fn written<T>(
        &self,
        verification: &Verification,
        attempt: &Attempt,
        then: impl FnOnce(&Order<'_>) -> T,
    ) -> T {
        let code = self.world().code(verification);
        account::order(verification, attempt, &code, then)
    }
}

/// An attempt that goes by the provider.
fn by_cloud(verification: &Verification, attempt: AttemptNo) -> Option<&Attempt> {
    verification.find(attempt).filter(|attempt| attempt.route == CLOUD)
}

impl Hands for SimHands {
    async fn place(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        if self.links.lock().unwrap().has_lost(self.run, &verification.id, attempt) {
            let id = &verification.id;
            self.world().accuse(format!("attempt {attempt} of {id} was begun by who lost it"));
        }
        self.world().dialed(verification, attempt);
        if let Some(attempt) = by_cloud(verification, attempt) {
            return self.order(verification, attempt).await;
        }
        self.wait().await;
        if self.bug == Bug::Talks {
            tracing::debug!(to = verification.request.to.expose(), "dialing");
        }
        if self.world().fate.permille(30) {
            let reason = self.world().fate.pick(&[Reason::CarrierError, Reason::Congested]);
            return Receipt::Refused(Cause::because(reason, "it could not be placed"));
        }
        let placed = self.world().place(self.at, verification, attempt, 0);
        let handle = match placed {
            Ok(handle) => handle,
            Err(cause) => return Receipt::Refused(cause),
        };
        if self.bug == Bug::DialsTwice {
            let _ = self.world().place(self.at, verification, attempt, 1);
        }
        if self.bug == Bug::HearsThings {
            self.world().hears_things(self.at, verification, attempt);
        }
        self.wait().await;
        Receipt::Taken(handle)
    }

    async fn reconcile(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        let Some(attempt) = by_cloud(verification, attempt) else { return Receipt::Unclear };
        let find = self.written(verification, attempt, |order| self.carrier.find(order));
        let Some(request) = find else { return Receipt::Unclear };
        match self.ask_of(&request).await {
            Sent::Answered(status, body) => self
                .written(verification, attempt, |order| self.carrier.found(order, status, &body)),
            Sent::Unsent | Sent::Lost => Receipt::Unclear,
        }
    }

    async fn close(
        &self,
        verification: &Verification,
        attempt: AttemptNo,
        handle: Option<&str>,
        farewell: Farewell,
    ) {
        if let Some(attempt) = by_cloud(verification, attempt) {
            let handle = handle.or(attempt.call_id.as_deref());
            let goodbye = attempt.press.is_some() || farewell == Farewell::NoInput;
            let now = self.world().here(self.at);
            let end = handle.filter(|_| !goodbye).and_then(|it| self.carrier.end(it, now));
            if let Some(request) = end {
                self.ask_of(&request).await;
            }
            return;
        }
        if self.bug != Bug::NeverCloses {
            self.world().close(self.at, &(verification.id.clone(), attempt), farewell);
        }
    }

    fn abandon(&self) {
        self.world().abandon(self.at);
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        if self.bug == Bug::DropsEvents {
            return Ok(());
        }
        self.wait().await;
        let mut delivery = delivery.clone();
        if self.bug == Bug::RenamesEvents {
            delivery.event = format!("{}-{}", delivery.event, delivery.tries);
        }
        let answer = self.world().delivered(&delivery);
        self.wait().await;
        answer
    }
}

impl State {
    /// Until when the dispatcher is held up; `None` goes on at once.
    fn hold_up(&mut self, at: usize) -> Option<Timestamp> {
        let now = self.now();
        if self.fate.permille(self.plan.fragile) {
            let dead = self.fate.millis(50, 20_000);
            self.at(now, Event::Crash(at, dead));
            return Some(Timestamp::MAX);
        }
        let takes_time = self.fate.permille(100);
        takes_time.then(|| now + self.fate.millis(0, 400))
    }

    fn dialed(&mut self, verification: &Verification, attempt: AttemptNo) {
        let dials = self.facts.dials.entry((verification.id.clone(), attempt)).or_default();
        *dials += 1;
        if *dials > 1 {
            self.accuse(format!("attempt {attempt} of {} was dialed twice", verification.id));
        }
    }

    fn hears_things(&mut self, at: usize, verification: &Verification, attempt: AttemptNo) {
        let rtp = Some(RtpMark { ssrc: 1, timestamp: 2, sequence: [3, 4], packets: 2 });
        let press = Press { rtp, ..Press::by("rfc4733", self.here(at)) };
        let of = (verification.id.clone(), attempt);
        self.signal(at, &of, Signal::heard(attempt, Said::Confirmed, press));
    }

    /// What an endpoint makes of an event.
    fn delivered(&mut self, delivery: &Delivery) -> Result<(), Failure> {
        let (until, chance) = self.plan.outage;
        let fails = self.now() < self.start + until && self.fate.permille(chance);
        // Refused outright, or taken and the answer lost.
        let accepted = !fails || self.fate.permille(300);
        let Delivery { url, event, body, tries, .. } = delivery;
        self.tell(format!("{url} gets {event}, try {tries}: accepted {accepted}, told {}", !fails));
        self.facts.deliveries.push(Delivered {
            url: url.clone(),
            event: event.clone(),
            body: body.clone(),
            accepted,
        });
        if fails { Err(Failure::Retry("no answer".to_owned())) } else { Ok(()) }
    }
}
