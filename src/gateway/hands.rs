//! The hands that reach real phones and real customers: SIP trunks, carriers and the outbound
//! client.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::dispatch::{Hands, report};
use super::engine::{Command, Occupant, Shared};
use super::identity::{Introduction, introduce};
use super::line::{Calls, Exit, Known, Net};
use super::orders::Orders;
use super::settings::{Settings, Trunk, TrunkCredentials};
use super::smsc::Smsc;
use super::webhook::{Courier, Failure, Unanswered};
use crate::ambient::{Entropy, secret};
use crate::carrier::wire::HttpRequest;
use crate::carrier::{Body, Order, Receipt, What};
use crate::media::script::Lines;
use crate::media::{Protection, Srtp};
use crate::sip::{Hop, Transport, Way, call};
use crate::store::record::Delivery;
use crate::telemetry::{self, Event};
use crate::verify::Verification;
use crate::verify::attempt::{Attempt, AttemptNo};
use crate::verify::number::PhoneNumber;
use crate::verify::signal::{Cause, Farewell, Reason};
use crate::voice::{self, Leg};

/// How long an answer to what a person wrote is worth delivering.
const NOTICE_LIFE: Duration = Duration::from_secs(600);

/// How long a trunk may say nothing at all before the next one is tried.
const FIRST_RESPONSE: Duration = Duration::from_secs(4);

/// How long a trunk's name may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(2);

/// SIP trunks and the outbound client.
pub(super) struct Trunks {
    /// Trunks, tenants and limits.
    pub(super) settings: Settings,
    /// What the engines share.
    pub(super) shared: Arc<Shared>,
    /// Which leg sits where.
    pub(super) calls: Arc<Calls>,
    /// The SIP transports.
    pub(super) net: Net,
    /// The addresses of trunks.
    pub(super) known: Known,
    /// The outbound client.
    pub(super) courier: Courier,
    /// What carriers are told.
    pub(super) orders: Arc<Orders>,
    /// The sessions of carriers that speak SMPP, by name.
    pub(super) smscs: HashMap<String, Smsc>,
}

impl Hands for Trunks {
    async fn place(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        let Some(attempt) = verification.find(attempt) else {
            return Receipt::Refused(Cause::because(Reason::CarrierError, "no such attempt"));
        };
        if self.orders.carrier(&attempt.route).is_some() {
            return self.order(verification, attempt).await;
        }
        match self.dial(verification, attempt).await {
            Ok(handle) => Receipt::Taken(handle),
            Err(cause) => Receipt::Refused(cause),
        }
    }

    async fn reconcile(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        let find = || {
            let attempt = verification.find(attempt)?;
            let carrier = self.orders.adapter(&attempt.route)?;
            let written = self.orders.write(verification, attempt, self.shared.clock.now()).ok()?;
            let request = carrier.find(&self.orders.order(verification, &written))?;
            Some((carrier, written, request))
        };
        let Some((carrier, written, request)) = find() else { return Receipt::Unclear };
        match self.courier.ask(request).await {
            Ok((status, body)) => {
                carrier.found(&self.orders.order(verification, &written), status, &body)
            }
            Err(_) => Receipt::Unclear,
        }
    }

    async fn close(
        &self,
        verification: &Verification,
        attempt: AttemptNo,
        handle: Option<&str>,
        farewell: Farewell,
    ) {
        let found = verification.find(attempt);
        let carrier = found.and_then(|attempt| self.orders.adapter(&attempt.route));
        if let Some(carrier) = carrier {
            // A carrier that told us of the answer says goodbye by itself.
            let handle = handle.or_else(|| found?.call_id.as_deref());
            let goodbye = found.is_some_and(|attempt| attempt.press.is_some())
                || farewell == Farewell::NoInput;
            let request = handle
                .filter(|_| !goodbye)
                .and_then(|handle| carrier.end(handle, self.shared.clock.now()));
            if let Some(request) = request
                && let Err(why) = self.courier.ask(request).await
            {
                report("end a call at its carrier", &why);
            }
            return;
        }
        // No seat: the call is over, or was never placed.
        if let Some(seat) = self.calls.of(&(verification.id.clone(), attempt)) {
            self.calls.command(seat, Command::Close { leg: seat.leg, farewell });
        }
    }

    async fn ask(&self, request: HttpRequest) {
        if let Err(why) = self.courier.ask(request).await {
            report("ask a carrier", &why);
        }
    }

    async fn write(&self, carrier: &str, to: &PhoneNumber, body: &Body, name: &str) {
        if let Some(smsc) = self.smscs.get(carrier) {
            smsc.send(to, body, NOTICE_LIFE).await;
            return;
        }
        let Some(adapter) = self.orders.adapter(carrier) else { return };
        let hooks = self.orders.hooks(carrier, name);
        let what = What::Text { body, valid: NOTICE_LIFE };
        let order = Order { id: name, to, hooks: &hooks, since: self.shared.clock.now(), what };
        if let Ok(request) = adapter.order(&order) {
            self.ask(request).await;
        }
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        let tenant = self.settings.tenants.iter().find(|it| it.name == delivery.tenant);
        let endpoint = tenant.and_then(|tenant| tenant.endpoint(&delivery.url));
        let endpoint = endpoint
            .ok_or_else(|| Failure::Retry("the endpoint is no longer configured".to_owned()))?;
        let Delivery { url, event, body, .. } = delivery;
        self.courier.deliver(endpoint, url, event, body, self.shared.clock.now()).await
    }
}

impl Trunks {
    /// Has a carrier carry an attempt out.
    async fn order(&self, verification: &Verification, attempt: &Attempt) -> Receipt {
        let name = &attempt.route;
        let written = match self.orders.write(verification, attempt, self.shared.clock.now()) {
            Ok(written) => written,
            Err(cause) => return Receipt::Refused(cause),
        };
        if let (Some(smsc), Some(body)) = (self.smscs.get(name), written.body()) {
            return smsc.send(&verification.request.to, body, written.valid()).await;
        }
        let Some(carrier) = self.orders.adapter(name) else {
            let why = format!("{name} carries none of this");
            return Receipt::Refused(Cause::because(Reason::CarrierError, why));
        };
        let request = match carrier.order(&self.orders.order(verification, &written)) {
            Ok(request) => request,
            Err(cause) => return Receipt::Refused(cause),
        };
        match self.courier.ask(request).await {
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

    /// Places a call of our own.
    async fn dial(&self, verification: &Verification, attempt: &Attempt) -> Result<String, Cause> {
        let occupant = self.prepare(verification, attempt.no, &attempt.route).await?;
        let handle = occupant.leg.call_id().to_owned();
        let key = (verification.id.clone(), attempt.no);
        self.calls.seat(&handle, key, |seat| Command::Begin { leg: seat.leg, seat: occupant });
        telemetry::observe(&Event::Legs(self.calls.count()));
        Ok(handle)
    }

    async fn prepare(
        &self,
        verification: &Verification,
        attempt: AttemptNo,
        trunk: &str,
    ) -> Result<Box<Occupant>, Cause> {
        let trunk = self.settings.trunks.iter().find(|it| it.name == trunk).ok_or_else(|| {
            Cause::because(Reason::CarrierError, format!("there is no trunk {trunk} any more"))
        })?;
        let (exit, mut way) = self.way_to(trunk).await?;
        let srtp = protection(trunk, &[way])?;
        let pair =
            self.shared.ports.take(way.local.ip(), self.shared.clock.now()).map_err(|error| {
                report("take RTP ports", &error);
                Cause::because(Reason::Congested, "no RTP port is free")
            })?;
        let brand = verification.request.brand.as_ref().map(|brand| brand.as_str());
        let lines = Lines::of(&self.shared.prompts, brand).map_err(|error| {
            report("find the phrases", &error);
            Cause::because(Reason::CarrierError, "the prompts lack a phrase")
        })?;
        let advertised = self.settings.advertise.filter(|_| !way.hop.address.ip().is_loopback());
        if let Some(ip) = advertised {
            way.local.set_ip(ip);
        }
        let rtp = SocketAddr::new(way.local.ip(), pair.address.port());
        let order = order(verification, trunk, way, rtp, srtp, &self.settings);
        let settings =
            voice::Settings { call_limit: self.settings.call_limit, ..voice::Settings::default() };
        let entropy = Entropy::from_number(verification.seed ^ u64::from(attempt.get()));
        let prompts = Arc::clone(&self.shared.prompts);
        Ok(Box::new(Occupant {
            leg: Leg::new(order, lines, prompts, entropy, settings),
            verification: verification.id.clone(),
            attempt,
            trunk: trunk.name.clone(),
            exit,
            local: way.local,
            pair,
        }))
    }

    /// Where a trunk is, and the way there.
    async fn way_to(&self, trunk: &Trunk) -> Result<(Exit, Way), Cause> {
        let unreachable =
            |why: &str| Cause::because(Reason::CarrierError, format!("{} {why}", trunk.name));
        let target = trunk.first_hop();
        let transport = target.transport.unwrap_or(Transport::Udp);
        let port = target.port.unwrap_or(transport.default_port());
        let found =
            tokio::time::timeout(RESOLVE, tokio::net::lookup_host((target.host.as_str(), port)))
                .await
                .map_err(|_| unreachable("was not resolved in time"))?
                .map_err(|_| unreachable("cannot be resolved"))?;
        let exit = self.net.exit(&trunk.tls, &target.host);
        let mut why = unreachable("has no address");
        let found: Vec<SocketAddr> = found.collect();
        found.iter().for_each(|address| self.known.learn(&trunk.name, address.ip()));
        for address in found {
            match exit.way(Hop { transport, address }).await {
                Ok(way) => return Ok((exit, way)),
                Err(error) => why = unreachable(&format!("cannot be reached: {error}")),
            }
        }
        Err(why)
    }
}

fn order(
    verification: &Verification,
    trunk: &Trunk,
    way: Way,
    rtp: SocketAddr,
    srtp: Protection,
    settings: &Settings,
) -> voice::Order {
    let brand = verification.request.brand.as_ref().map(|brand| brand.as_str());
    let Introduction { target, from, routes, headers } =
        introduce(trunk, &verification.request.to, brand);
    let call = call::Order {
        target,
        ways: vec![way],
        from,
        routes,
        headers,
        redirects: trunk.redirects.clone(),
        credentials: trunk.credentials.as_ref().map(TrunkCredentials::for_digest),
        ring_timeout: settings.ring_timeout,
        first_response: verification.has_another_way().then_some(FIRST_RESPONSE),
    };
    let brand = brand.map(str::to_owned);
    voice::Order { call, rtp, srtp, brand }
}

/// How a call's media are encrypted: its keys are written where signalling is encrypted on every
/// way there is, or where the trunk allows it all the same.
fn protection(trunk: &Trunk, ways: &[Way]) -> Result<Protection, Cause> {
    let hidden = ways.iter().all(|way| way.hop.transport == Transport::Tls);
    match (trunk.srtp, hidden || trunk.srtp_in_clear) {
        (Srtp::Off, _) | (Srtp::Preferred, false) => Ok(Protection::Off),
        (Srtp::Preferred | Srtp::Required, true) => Ok(trunk.srtp.with(secret)),
        (Srtp::Required, false) => {
            let why = format!(
                "{} has srtp = \"required\" and is not reached by TLS, so that its keys would be \
                 sent in the clear: write ;transport=tls in its target, or srtp_in_clear = true",
                trunk.name
            );
            Err(Cause::because(Reason::CarrierError, why))
        }
    }
}
