//! The hands that reach real phones and real customers: SIP trunks, carriers and the outbound
//! client.

use std::sync::Arc;
use std::time::Duration;

use super::dispatch::{Hands, report};
use super::engine::{Command, Shared};
use super::line::Calls;
use super::orders::{Orders, Present};
use super::watch::{Room, Watch};
use super::webhook::{Courier, Failure, Unanswered};
use crate::ambient::Timestamp;
use crate::carrier::wire::HttpRequest;
use crate::carrier::{Body, Order, Receipt, What};
use crate::store::record::Delivery;
use crate::verify::Verification;
use crate::verify::attempt::{Attempt, AttemptNo};
use crate::verify::number::PhoneNumber;
use crate::verify::signal::{Cause, Farewell, Reason};
use crate::verify::trace::Trace;

/// How long an answer to what a person wrote is worth delivering.
const NOTICE_LIFE: Duration = Duration::from_secs(600);

/// What must be left of a verification for a phone to be rung at all.
const RING: Duration = Duration::from_secs(20);

/// SIP trunks and the outbound client.
pub(super) struct Trunks {
    /// Trunks, carriers, tenants and limits.
    pub(super) present: Present,
    /// What the engines share.
    pub(super) shared: Arc<Shared>,
    /// Which leg sits where.
    pub(super) calls: Arc<Calls>,
    /// Who watches the trunks.
    pub(super) watch: Watch,
    /// The outbound client.
    pub(super) courier: Courier,
}

impl Hands for Trunks {
    async fn room(&self, verification: &Verification, attempt: AttemptNo) -> Result<Room, Cause> {
        let Some(found) = verification.find(attempt) else { return Ok(Room::Free) };
        if self.present.get().carrier(&found.route).is_some() {
            return Ok(Room::Free);
        }
        // Whoever waits must still be there to be rung.
        let end = verification.deadline().map_or(Timestamp::MAX, |(at, _)| at);
        let (key, another) = ((verification.id.clone(), attempt), verification.has_another_way());
        self.watch.room(&found.route, &key, another, end - RING).await
    }

    async fn place(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        let Some(attempt) = verification.find(attempt) else {
            return Receipt::Refused(Cause::because(Reason::CarrierError, "no such attempt"));
        };
        let orders = self.present.get();
        if orders.carrier(&attempt.route).is_some() {
            return self.order(&orders, verification, attempt).await;
        }
        match self.dial(&orders, verification, attempt).await {
            Ok(handle) => Receipt::Taken(handle),
            Err(cause) => Receipt::Refused(cause),
        }
    }

    async fn reconcile(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        let orders = self.present.get();
        let find = || {
            let attempt = verification.find(attempt)?;
            let carrier = orders.adapter(&attempt.route)?;
            let written = orders.write(verification, attempt, self.shared.clock.now()).ok()?;
            let request = carrier.find(&orders.order(verification, &written))?;
            Some((carrier, written, request))
        };
        let Some((carrier, written, request)) = find() else { return Receipt::Unclear };
        match self.ask_of(traced(verification, request)).await {
            Ok((status, body)) => {
                carrier.found(&orders.order(verification, &written), status, &body)
            }
            Err(_) => Receipt::Unclear,
        }
    }

    fn abandon(&self) {
        self.calls.command_all(|| Command::StopAll);
    }

    async fn close(
        &self,
        verification: &Verification,
        attempt: AttemptNo,
        handle: Option<&str>,
        farewell: Farewell,
    ) {
        let orders = self.present.get();
        let found = verification.find(attempt);
        let carrier = found.and_then(|attempt| orders.adapter(&attempt.route));
        if let Some(carrier) = carrier {
            // A carrier that told us of the answer says goodbye by itself.
            let handle = handle.or_else(|| found?.call_id.as_deref());
            let goodbye = found.is_some_and(|attempt| attempt.press.is_some())
                || farewell == Farewell::NoInput;
            let request = handle
                .filter(|_| !goodbye)
                .and_then(|handle| carrier.end(handle, self.shared.clock.now()));
            if let Some(request) = request
                && let Err(why) = self.ask_of(traced(verification, request)).await
            {
                report("end a call at its carrier", &why);
            }
            return;
        }
        // No seat: the call is over, or was never placed, or waits for room.
        let key = (verification.id.clone(), attempt);
        match self.calls.of(&key) {
            Some(seat) => self.calls.command(seat, Command::Close { leg: seat.leg, farewell }),
            None => self.watch.leave(&key),
        }
    }

    async fn ask(&self, request: HttpRequest) {
        if let Err(why) = self.ask_of(request).await {
            report("ask a carrier", &why);
        }
    }

    async fn write(&self, carrier: &str, to: &PhoneNumber, body: &Body, name: &str) {
        let orders = self.present.get();
        if let Some(smsc) = orders.smscs.get(carrier) {
            smsc.send(to, body, NOTICE_LIFE).await;
            return;
        }
        let Some(adapter) = orders.adapter(carrier) else { return };
        let hooks = orders.hooks(carrier, name);
        let what = What::Text { body, valid: NOTICE_LIFE };
        let order = Order { id: name, to, hooks: &hooks, since: self.shared.clock.now(), what };
        if let Ok(request) = adapter.order(&order) {
            self.ask(request).await;
        }
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        let orders = self.present.get();
        let tenant = orders.tenant(&delivery.tenant);
        let endpoint = tenant.and_then(|tenant| tenant.endpoint(&delivery.url));
        let endpoint = endpoint
            .ok_or_else(|| Failure::Retry("the endpoint is no longer configured".to_owned()))?;
        let Delivery { url, event, body, .. } = delivery;
        let (trace, now) = (delivery.trace(), self.shared.clock.now());
        Box::pin(self.courier.deliver(endpoint, url, event, body, trace, now)).await
    }
}

impl Trunks {
    /// Asks a carrier. The making of a request takes much room, which those that wait for their turn
    /// should not have.
    async fn ask_of(&self, request: HttpRequest) -> Result<(u16, Vec<u8>), Unanswered> {
        Box::pin(self.courier.ask(request)).await
    }

    /// Has a carrier carry an attempt out.
    async fn order(
        &self,
        orders: &Orders,
        verification: &Verification,
        attempt: &Attempt,
    ) -> Receipt {
        let name = &attempt.route;
        let written = match orders.write(verification, attempt, self.shared.clock.now()) {
            Ok(written) => written,
            Err(cause) => return Receipt::Refused(cause),
        };
        if let (Some(smsc), Some(body)) = (orders.smscs.get(name), written.body()) {
            return smsc.send(&verification.request.to, body, written.valid()).await;
        }
        let Some(carrier) = orders.adapter(name) else {
            let why = format!("{name} carries none of this");
            return Receipt::Refused(Cause::because(Reason::CarrierError, why));
        };
        let request = match carrier.order(&orders.order(verification, &written)) {
            Ok(request) => request,
            Err(cause) => return Receipt::Refused(cause),
        };
        match self.ask_of(traced(verification, request)).await {
            Ok((status, body)) => carrier.receipt(attempt.channel, status, &body),
            Err(Unanswered::Unsent(why)) => {
                let why = format!("{name} cannot be reached: {why}");
                Receipt::Refused(Cause::because(Reason::CarrierError, why))
            }
            Err(lost @ Unanswered::Lost(_)) => {
                report("take a carrier's answer", &lost);
                Receipt::Unclear
            }
        }
    }
}

/// A request with the trace that its verification is part of.
fn traced(verification: &Verification, mut request: HttpRequest) -> HttpRequest {
    for (name, value) in verification.request.trace().into_iter().flat_map(Trace::headers) {
        request.headers.push((name.to_owned(), value.to_owned().into()));
    }
    request
}
