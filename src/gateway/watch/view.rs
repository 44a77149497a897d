//! How a trunk is, for those who look on.

use serde::Serialize;

use super::member::{Member, Spot};
use crate::ambient::Timestamp;
use crate::sip::health::Probed;
use crate::sip::locate::NotFound;
use crate::sip::registration::{Registration, State, Why};

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
    /// What of it works, step by step, and what to do where it does not.
    pub steps: Vec<Step>,
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

/// One thing that must work before calls do.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// `resolve`, `connect`, `options` or `register`.
    pub step: &'static str,
    /// The server it is about, where there may be several.
    pub hop: Option<String>,
    /// How it stands.
    pub how: How,
    /// That in words.
    pub said: String,
    /// What to do about it.
    pub remedy: Option<&'static str>,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It works.
    Works,
    /// It does not.
    Fails,
    /// Nothing is known yet.
    Waits,
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
        steps: steps(now, member),
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
        options_ms: spot.last.map(|(_, took, _)| (took.as_secs_f64() * 1e6).round() / 1e3),
        options_at: spot.last.map(|(.., at)| at.to_rfc3339()),
    }
}

fn steps(now: Timestamp, member: &Member) -> Vec<Step> {
    let mut steps = vec![resolved(member)];
    for spot in &member.spots {
        steps.push(connected(spot));
        if spot.way.is_some() && member.trunk.health.is_some() {
            steps.push(asked(spot));
        }
    }
    let nowhere = match member.located {
        Some(_) => member.spots.iter().all(|spot| spot.trouble.is_some()),
        None => member.lost.is_some(),
    };
    steps.extend(member.registration.as_ref().map(|it| registered(now, it, nowhere)));
    steps
}

fn resolved(member: &Member) -> Step {
    let host = &member.trunk.first_hop().host;
    let (how, said, remedy) = match (&member.located, member.lost) {
        (_, Some(why)) => (How::Fails, format!("{host} {why}"), Some(found(why))),
        (Some(located), None) => {
            let hops: Vec<String> = located.hops().iter().map(ToString::to_string).collect();
            (How::Works, format!("{host} is at {}", hops.join(", ")), None)
        }
        (None, None) => (How::Waits, format!("{host} is being looked up"), None),
    };
    Step { step: "resolve", hop: None, how, said, remedy }
}

fn found(why: NotFound) -> &'static str {
    match why {
        NotFound::NoAddress => {
            "look for a slip in the host of target (or proxy), or ask the carrier for its name"
        }
        NotFound::Declined => "ask the carrier for the name of the server that takes calls",
        NotFound::Unanswered => {
            "see to this machine's DNS: sip.dns, or the system's (/etc/resolv.conf)"
        }
    }
}

fn connected(spot: &Spot) -> Step {
    let (how, said, remedy) = match (&spot.trouble, spot.way) {
        (Some(why), _) => (How::Fails, why.to_string(), Some(why.remedy())),
        (None, Some(way)) => (How::Works, format!("from {}", way.local), None),
        (None, None) => (How::Waits, "being opened".to_owned(), None),
    };
    Step { step: "connect", hop: Some(spot.hop.to_string()), how, said, remedy }
}

fn asked(spot: &Spot) -> Step {
    let (how, said, remedy) = match spot.last {
        None => (How::Waits, "no answer yet".to_owned(), None),
        Some((probed @ Probed::Answered { status, .. }, took, _)) => {
            let said = format!("{status} after {:.0} ms", took.as_secs_f64() * 1e3);
            if probed.is_good() {
                (How::Works, said, None)
            } else {
                let remedy = "the carrier says that it cannot work now: ask it, or wait";
                (How::Fails, said, Some(remedy))
            }
        }
        Some((Probed::Silent, ..)) => (
            How::Fails,
            "no answer".to_owned(),
            Some(
                "ask the carrier whether it knows this machine's address and answers OPTIONS (if it \
                 does not: options_secs = 0), and look for a firewall that drops SIP",
            ),
        ),
        Some((Probed::Unreachable, ..)) => (
            How::Fails,
            "nothing takes SIP there".to_owned(),
            Some("look for a slip in the port and the transport of target"),
        ),
    };
    Step { step: "options", hop: Some(spot.hop.to_string()), how, said, remedy }
}

fn registered(now: Timestamp, registration: &Registration, nowhere: bool) -> Step {
    let (how, said, remedy) = match registration.state(now) {
        State::Begun if nowhere => {
            (How::Fails, "there is no server to register at".to_owned(), Some(CONNECT))
        }
        State::Begun => (How::Waits, "no answer yet".to_owned(), None),
        State::Registered { until } => (How::Works, format!("until {}", until.to_rfc3339()), None),
        State::Failing { why, .. } => (How::Fails, why.to_string(), Some(known(why))),
        State::Ended => (How::Fails, "taken back".to_owned(), None),
    };
    Step { step: "register", hop: None, how, said, remedy }
}

/// What helps where there is nobody to speak to.
const CONNECT: &str = "see to the connection first";

fn known(why: Why) -> &'static str {
    match why {
        Why::Unreachable => CONNECT,
        Why::Silence => {
            "ask the carrier whether it takes registrations, and at this address; if it knows us by \
             our address, leave out register"
        }
        Why::Refused(_) => {
            "ask the carrier whether the account may register, and under which name (register.user)"
        }
        Why::Credentials(_) => {
            "compare username, password and realm with what the carrier gave, letter by letter"
        }
        Why::Expires(_) => "write register.expires_secs as the carrier wants it",
    }
}
