//! Places a call of our own by a trunk.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::dispatch::report;
use super::engine::{Command, Occupant};
use super::hands::Trunks;
use super::identity::{Introduction, introduce};
use super::line::Unconnected;
use super::orders::Orders;
use super::settings::{Trunk, TrunkCredentials};
use super::watch::{self, Place};
use crate::ambient::{Entropy, secret};
use crate::media::script::Lines;
use crate::media::{Protection, Srtp};
use crate::sip::{Route, Transport, Way, call};
use crate::telemetry::{self, Event};
use crate::verify::Verification;
use crate::verify::attempt::{Attempt, AttemptNo};
use crate::verify::signal::{Cause, Reason};
use crate::voice::{self, Leg};

/// How long the way to the first hop may take, where a connection must be opened.
const REACH: Duration = Duration::from_secs(4);

/// How long the way to a further one may take: long enough for a connection that is open.
const REACH_MORE: Duration = Duration::from_millis(50);

/// How many hops a call tries at most.
const MOST_WAYS: usize = 4;

impl Trunks {
    /// Places a call of our own.
    pub(super) async fn dial(
        &self,
        orders: &Orders,
        verification: &Verification,
        attempt: &Attempt,
    ) -> Result<String, Cause> {
        let key = (verification.id.clone(), attempt.no);
        let occupant = match self.prepare(orders, verification, attempt.no, &attempt.route).await {
            Ok(occupant) => occupant,
            Err(cause) => {
                self.watch.leave(&key);
                return Err(cause);
            }
        };
        let handle = occupant.leg.call_id().to_owned();
        self.watch.begun(&attempt.route);
        self.calls.seat(&handle, key, |seat| Command::Begin { leg: seat.leg, seat: occupant });
        telemetry::observe(&Event::Legs(self.calls.count()));
        telemetry::observe(&Event::Remembered(self.calls.remembered()));
        telemetry::observe(&Event::Pairs(self.shared.ports.bound()));
        Ok(handle)
    }

    async fn prepare(
        &self,
        orders: &Orders,
        verification: &Verification,
        attempt: AttemptNo,
        trunk: &str,
    ) -> Result<Box<Occupant>, Cause> {
        let trunk = orders.trunks.iter().find(|it| it.name == trunk).ok_or_else(|| {
            Cause::because(Reason::CarrierError, format!("there is no trunk {trunk} any more"))
        })?;
        let mut entropy = Entropy::from_number(verification.seed ^ u64::from(attempt.get()));
        let place = self.watch.place(&trunk.name, &mut entropy.fork()).await?;
        let ways = ways(&place).await.map_err(|error| {
            let why = format!("{} cannot be reached: {error}", trunk.name);
            Cause::because(Reason::CarrierError, why)
        })?;
        let bound = ways.first().map(|way| way.local.ip()).ok_or_else(|| {
            Cause::because(Reason::CarrierError, format!("{} has no address", trunk.name))
        })?;
        let srtp = protection(trunk, &ways)?;
        let pair = self.shared.ports.take(bound, self.shared.clock.now()).map_err(|error| {
            report("take RTP ports", &error);
            Cause::because(Reason::Congested, "no RTP port is free")
        })?;
        let brand = verification.request.brand.as_ref().map(|brand| brand.as_str());
        let lines = Lines::of(&self.shared.prompts, brand).map_err(|error| {
            report("find the phrases", &error);
            Cause::because(Reason::CarrierError, "the prompts lack a phrase")
        })?;
        let advertise = orders.advertise;
        let ways: Vec<Way> = ways.into_iter().map(|way| watch::seen(way, advertise)).collect();
        let local = ways.first().map_or(pair.address, |way| way.local);
        let rtp = SocketAddr::new(local.ip(), pair.address.port());
        let order = order(verification, trunk, ways, place.service_route, rtp, srtp, orders);
        let settings = voice::Settings { call_limit: orders.limit, ..voice::Settings::default() };
        let prompts = Arc::clone(&self.shared.prompts);
        Ok(Box::new(Occupant {
            leg: Leg::new(order, lines, prompts, entropy, settings),
            verification: verification.id.clone(),
            attempt,
            trunk: trunk.name.clone(),
            exit: place.exit,
            local,
            pair,
        }))
    }
}

/// The ways to the hops of a trunk, as far as there are any that begin where the first does: the media
/// of a call have one address.
async fn ways(place: &Place) -> Result<Vec<Way>, Unconnected> {
    let mut ways: Vec<Way> = Vec::new();
    // The first hop is the one that was meant: why it fails says more than that the last one does.
    let mut why = None;
    for hop in &place.hops {
        let patience = if ways.is_empty() { REACH } else { REACH_MORE };
        match tokio::time::timeout(patience, place.exit.way(*hop)).await {
            Ok(Ok(way)) if ways.first().is_none_or(|it| it.local.ip() == way.local.ip()) => {
                ways.push(way);
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => why = why.or(Some(error)),
            Err(_) => why = why.or(Some(Unconnected::TimedOut)),
        }
        if ways.len() >= MOST_WAYS {
            break;
        }
    }
    if ways.is_empty() { Err(why.unwrap_or(Unconnected::TimedOut)) } else { Ok(ways) }
}

fn order(
    verification: &Verification,
    trunk: &Trunk,
    ways: Vec<Way>,
    service_route: Vec<Route>,
    rtp: SocketAddr,
    srtp: Protection,
    orders: &Orders,
) -> voice::Order {
    let brand = verification.request.brand.as_ref().map(|brand| brand.as_str());
    let Introduction { target, from, routes, headers } =
        introduce(trunk, &verification.request.to, brand);
    let call = call::Order {
        target,
        ways,
        from,
        routes: if service_route.is_empty() { routes } else { service_route },
        headers,
        contact_host: trunk.identity.contact_host.clone(),
        redirects: trunk.redirects.clone(),
        credentials: trunk.credentials.as_ref().map(TrunkCredentials::for_digest),
        ring_timeout: orders.ring,
        is_last_resort: !verification.has_another_way(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::settings::Target;
    use crate::sip::Hop;

    #[test]
    fn keys_are_told_where_nobody_else_reads_them() {
        let target = Target { host: "sip.example.net".to_owned(), port: None, transport: None };
        let told = |srtp, transports: &[Transport], srtp_in_clear| {
            let trunk = Trunk { srtp, srtp_in_clear, ..Trunk::new("acme", target.clone()) };
            let address = "192.0.2.7:5061".parse().unwrap();
            let ways = transports.iter().map(|&transport| Hop { transport, address });
            let ways: Vec<Way> = ways.map(|hop| Way { hop, local: address }).collect();
            protection(&trunk, &ways).map(|protection| protection.srtp())
        };
        let (tls, udp) = (Transport::Tls, Transport::Udp);
        assert_eq!(told(Srtp::Off, &[tls], true), Ok(Srtp::Off));
        for srtp in [Srtp::Preferred, Srtp::Required] {
            assert_eq!(told(srtp, &[tls, tls], false), Ok(srtp));
            assert_eq!(told(srtp, &[tls, udp], true), Ok(srtp));
        }
        assert_eq!(told(Srtp::Preferred, &[tls, udp], false), Ok(Srtp::Off));
        let refused = told(Srtp::Required, &[tls, udp], false).unwrap_err();
        let detail = refused.detail.unwrap_or_default();
        assert_eq!(refused.reason, Reason::CarrierError);
        assert!(
            detail.starts_with("acme has srtp") && detail.contains("transport=tls"),
            "{detail}"
        );
    }
}
