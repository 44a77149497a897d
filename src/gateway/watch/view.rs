//! How a trunk is, for those who look on.

use serde::Serialize;

use super::member::{Member, Spot};
use crate::ambient::Timestamp;
use crate::sip::health::Probed;
use crate::sip::registration::State;

/// One trunk.
#[derive(Clone, Debug, Serialize)]
pub struct TrunkView {
    /// Its name.
    pub name: String,
    /// Where it is, as configured: a SIP URI.
    pub target: String,
    /// `up`, `unknown` (counts as up), `down`, `paused`, `open` (too many calls failed), or `lost`
    /// (it has no address).
    pub state: &'static str,
    /// Why, in words.
    pub why: Option<String>,
    /// Its servers, the preferred first.
    pub hops: Vec<HopView>,
    /// What is wrong with the look-up of its name; an answer of before may still be used.
    pub dns: Option<String>,
    /// How the registration stands, where there is one: `registered`, `begun`, `failing` or `ended`.
    pub registration: Option<&'static str>,
    /// Until when it is registered (RFC 3339).
    pub registered_until: Option<String>,
    /// Why REGISTER failed last.
    pub registration_error: Option<String>,
    /// Calls that ring or are up.
    pub calls: usize,
    /// Calls that wait for room.
    pub waiting: usize,
    /// The most calls at once, if there is a limit.
    pub max_calls: Option<u32>,
    /// The most new calls in a second, if there is a limit.
    pub calls_per_second: Option<u32>,
}

/// One server of a trunk.
#[derive(Clone, Debug, Serialize)]
pub struct HopView {
    /// As `udp:192.0.2.1:5060`.
    pub hop: String,
    /// What the last OPTIONS came to: the status of its answer, `silent` or `unreachable`.
    pub options: Option<String>,
    /// How long that took, in milliseconds.
    pub options_ms: Option<f64>,
    /// When it was over (RFC 3339).
    pub options_at: Option<String>,
}

/// How this trunk is.
pub(super) fn of(now: Timestamp, member: &Member) -> TrunkView {
    let (state, because) = member.state(now);
    let registration = member.registration.as_ref();
    let stands = registration.map(|registration| registration.state(now));
    let capacity = member.trunk.capacity;
    TrunkView {
        name: member.trunk.name.clone(),
        target: member.trunk.target.to_string(),
        state,
        why: because.map(|because| because.to_string()),
        hops: member.spots.iter().map(hop).collect(),
        dns: member.lost.map(|lost| lost.to_string()),
        registration: stands.map(|state| match state {
            State::Begun => "begun",
            State::Registered { .. } => "registered",
            State::Failing { .. } => "failing",
            State::Ended => "ended",
        }),
        registered_until: stands.and_then(|state| match state {
            State::Registered { until } => Some(until.to_rfc3339()),
            State::Begun | State::Failing { .. } | State::Ended => None,
        }),
        registration_error: registration.and_then(|it| it.failed()).map(|why| why.to_string()),
        calls: member.gate.calls(),
        waiting: member.gate.waiting(),
        max_calls: capacity.calls,
        calls_per_second: capacity.per_second,
    }
}

fn hop(spot: &Spot) -> HopView {
    let said = |probed| match probed {
        Probed::Answered { status, .. } => status.to_string(),
        Probed::Silent => "silent".to_owned(),
        Probed::Unreachable => "unreachable".to_owned(),
    };
    HopView {
        hop: spot.hop.to_string(),
        options: spot.last.map(|(probed, ..)| said(probed)),
        options_ms: spot.last.map(|(_, took, _)| took.as_secs_f64() * 1e3),
        options_at: spot.last.map(|(.., at)| at.to_rfc3339()),
    }
}
