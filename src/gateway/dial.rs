//! Places a call of our own by a trunk.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::dispatch::report;
use super::engine::{Command, Occupant};
use super::hands::Trunks;
use super::identity::{Introduction, introduce};
use super::line::Unconnected;
use super::orders::Orders;
use super::ports::Berth;
use super::settings::{Calling, RtpPort, Trunk, TrunkCredentials};
use super::watch::{self, Place};
use crate::ambient::{Entropy, Timestamp, secret};
use crate::media::attendant::{self, Extension, Stroke};
use crate::media::script::{self, Digits, Kind, Lines, Offer, Question};
use crate::media::{Digit, Protection, Srtp};
use crate::sip::{Transport, Way, call};
use crate::telemetry::{self, Event};
use crate::verify::attempt::{Attempt, AttemptNo};
use crate::verify::code::{Binding, Code, Pin, Shown, Vault};
use crate::verify::extension;
use crate::verify::request::Mode;
use crate::verify::signal::{Cause, Reason};
use crate::verify::{TALK_MOST, Verification};
use crate::voice::{self, Leg, Speech, Tongue};

/// How long the way to the first hop may take, where a connection must be opened.
const REACH: Duration = Duration::from_secs(4);

/// How long the way to a further one may take: long enough for a connection that is open.
const REACH_MORE: Duration = Duration::from_millis(50);

/// How many hops a call tries at most.
const MOST_WAYS: usize = 4;

impl Trunks {
    /// The languages that a call about a question of this kind is held in.
    fn speech(orders: &Orders, verification: &Verification, kind: Kind) -> Result<Speech, Cause> {
        let request = &verification.request;
        let brand = request.brand.as_ref().map(|brand| brand.as_str());
        let tongue = |locale: &str| {
            let pack = orders.prompts.speaking(Some(&verification.tenant), locale);
            let tongue = pack.and_then(|pack| {
                let lines = Lines::of(&pack, brand, kind)?;
                Ok(Tongue { pack, lines })
            });
            tongue.map_err(|error| {
                report("find the phrases", &error);
                Cause::because(Reason::CarrierError, "the prompts lack a phrase")
            })
        };
        let own = tongue(&request.locale)?;
        let mut offers = Vec::new();
        for language in &request.languages {
            // What nobody has recorded would be offered in another language.
            if !orders.prompts.knows(Some(&verification.tenant), language) {
                continue;
            }
            let Tongue { pack, lines } = tongue(language)?;
            match Offer::of(&pack, lines, offers.len() + 1) {
                Ok(lines) => offers.push(Tongue { pack, lines }),
                // A language that cannot say how it is chosen is not offered.
                Err(error) => report("offer a language", &error),
            }
        }
        Ok(Speech { own, offers })
    }

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
        let (engine, occupant) = occupant;
        let handle = occupant.leg.call_id().to_owned();
        self.watch.begun(&attempt.route);
        self.calls
            .seat(&handle, key, engine, |seat| Command::Begin { leg: seat.leg, seat: occupant });
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
    ) -> Result<(usize, Box<Occupant>), Cause> {
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
        let question = question(&orders.vault, verification, attempt)?;
        let speech = Self::speech(orders, verification, question.kind())?;
        // The last thing that can fail: what is taken here is given back by the engine.
        let (engine, berth) = self.berth(trunk, bound, orders.calls_per_engine)?;
        let settings = manner(orders, verification, self.shared.clock.now());
        let advertise = orders.advertise;
        let ways: Vec<Way> = ways.into_iter().map(|way| watch::seen(way, advertise)).collect();
        let address = berth.address();
        let local = ways.first().map_or(address, |way| way.local);
        let rtp = SocketAddr::new(local.ip(), address.port());
        let call = order(verification, trunk, ways, &place, orders);
        let extension = verification.request.extension.as_ref().map(strokes);
        let codecs = trunk.codecs.clone();
        let order = voice::Order { call, rtp, srtp, codecs, question, extension };
        let occupant = Box::new(Occupant {
            leg: Leg::new(order, speech, entropy, settings),
            verification: verification.id.clone(),
            attempt,
            trunk: trunk.name.clone(),
            exit: place.exit,
            local,
            berth,
        });
        Ok((engine, occupant))
    }

    /// A media thread that takes another call, and ports at this address. No INVITE is sent for a call
    /// that nobody could serve.
    fn berth(&self, trunk: &Trunk, ip: IpAddr, most: usize) -> Result<(usize, Berth), Cause> {
        let engine = self.calls.roomiest(most).ok_or_else(|| {
            let why = "the media threads are full: sip.calls_per_engine, or their time";
            Cause::because(Reason::Congested, why)
        })?;
        let (ports, now) = (&self.shared.ports, self.shared.clock.now());
        let berth = match trunk.rtp_port {
            RtpPort::Shared if !ports.is_crowded(&trunk.name) => {
                let hand = |pair| self.calls.tell_engine(engine, Command::Share { pair });
                ports.share(engine, ip, now, hand).map(Berth::Common)
            }
            RtpPort::PerCall | RtpPort::Shared => ports.take(ip, now).map(Berth::Own),
        };
        let berth = berth.map_err(|error| {
            report("take RTP ports", &error);
            Cause::because(Reason::Congested, "no RTP port is free")
        })?;
        Ok((engine, berth))
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
    place: &Place,
    orders: &Orders,
) -> call::Order {
    let brand = verification.request.brand.as_ref().map(|brand| brand.as_str());
    let Introduction { target, from, routes, headers } =
        introduce(trunk, &verification.request.to, brand);
    call::Order {
        target,
        ways,
        from,
        routes: if place.service_route.is_empty() { routes } else { place.service_route.clone() },
        headers,
        contact_host: trunk.identity.contact_host.clone(),
        redirects: trunk.redirects.clone(),
        credentials: trunk.credentials.as_ref().map(TrunkCredentials::for_digest),
        min_session: place.min_session,
        ring_timeout: orders.ring,
        is_last_resort: !verification.has_another_way(),
    }
}

/// An extension as it is dialled.
fn strokes(extension: &extension::Extension) -> Extension {
    let strokes = extension.strokes().filter_map(|stroke| match stroke {
        extension::Stroke::Key(key) => Digit::from_char(key).map(Stroke::Key),
        extension::Stroke::Pause(pause) => Some(Stroke::Pause(pause)),
    });
    Extension { listens_first: extension.listens_first(), strokes: strokes.collect() }
}

/// What the call of an attempt asks.
fn question(
    vault: &Vault,
    verification: &Verification,
    attempt: AttemptNo,
) -> Result<Question, Cause> {
    let fault = |why: &'static str| Cause::because(Reason::CarrierError, why);
    let sealed = "what is to be entered was sealed under another key";
    let mode = verification.find(attempt).map_or(verification.request.way.mode, |it| it.mode);
    let (binding, expected) = (Binding::of(verification), &verification.expected);
    let digits = |text: &str| Digits::parse(text).ok_or_else(|| fault(sealed));
    Ok(match mode {
        Mode::Confirm => Question::Confirm,
        Mode::Pin => {
            let pin = expected.pin.as_ref().and_then(|it| vault.pin(binding, it));
            let pin = digits(pin.as_ref().map_or("", Pin::expose))?;
            Question::Pin { pin, expires: verification.request.pin_expires }
        }
        Mode::Match => {
            Question::Match { digits: digits(expected.shown.as_ref().map_or("", Shown::expose))? }
        }
        Mode::Code => {
            let code = verification.secret.as_ref().and_then(|it| vault.code(binding, it));
            Question::Code { code: digits(code.as_ref().map_or("", Code::expose))? }
        }
        Mode::Reply => return Err(fault("a reply cannot be asked for by voice")),
    })
}

/// How patient a call is.
fn manner(orders: &Orders, verification: &Verification, now: Timestamp) -> voice::Settings {
    let calling = orders.tenant(&verification.tenant).map(|tenant| tenant.calling.clone());
    let Calling { pin_tries, fraud_keys, confirm_fraud, .. } = calling.unwrap_or_default();
    let fraud = fraud_keys;
    let script =
        script::Settings { pin_tries, fraud, confirm_fraud, ..script::Settings::default() };
    let attendant = attendant::Settings { ring: orders.ring, ..attendant::Settings::default() };
    let call_limit = orders.limit;
    let settings = voice::Settings { attendant, call_limit, ..voice::Settings::default() };
    if !verification.request.accessible {
        return voice::Settings { script, ..settings };
    }
    // Whoever needs more time has all there is.
    let longest = Duration::from_secs(u64::from(TALK_MOST));
    let left = verification.expires_at.since(now).min(longest);
    let call_limit = settings.call_limit.max(left);
    voice::Settings { script: script.accessible(), call_limit, ..settings }
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
