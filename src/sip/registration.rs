//! REGISTER (RFC 3261 § 10): tells a carrier where we are, again before it forgets, and takes it back at
//! the end.

use std::time::Duration;

use super::Settings;
use super::compose::{ALLOW, Request};
use super::digest::{Authentication, Credentials};
use super::hop::{Hop, Way};
use super::message::Message;
use super::method::Method;
use super::outside::{Came, Outside, branch};
use super::transaction::Pace;
use super::uri::{NameAddr, Route, Uri};
use crate::ambient::{Entropy, Timestamp};

/// How long an answer may take where another server can be asked instead.
const PATIENCE: Duration = Duration::from_secs(4);

/// The first REGISTERs are spread over this, in milliseconds.
const SPREAD: u64 = 1_000;

/// RFC 5626 § 4.5: "base-time" where all flows have failed: "30 seconds".
const BASE: Duration = Duration::from_secs(30);

/// RFC 5626 § 4.5: "max-time": "1800 seconds (30 minutes)".
const MOST: Duration = Duration::from_secs(1_800);

/// The longest binding that a carrier may make us ask for: a week.
const LONGEST: u32 = 7 * 24 * 3_600;

/// What is registered, and where.
#[derive(Clone, Debug)]
pub struct Account {
    /// The address of record: To and From.
    pub record: Uri,
    /// The domain of the registrar: the Request-URI.
    pub registrar: Uri,
    /// Through which proxy.
    pub routes: Vec<Route>,
    /// What lets us in.
    pub credentials: Option<Credentials>,
    /// The host of Contact, where the carrier knows us by a name.
    pub contact_host: Option<String>,
    /// How long we ask it to last.
    pub expires: Duration,
}

/// A message to send, and where to.
pub type Sent = (Hop, Vec<u8>);

/// How a registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not done yet.
    Begun,
    /// The carrier knows where we are.
    Registered {
        /// Until when.
        until: Timestamp,
    },
    /// It does not.
    Failing {
        /// Why not.
        why: Why,
        /// When it is tried again.
        next: Timestamp,
    },
    /// It was taken back.
    Ended,
}

/// Why a REGISTER came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// None answered.
    #[error("REGISTER was not answered")]
    Silence,
    /// None could be reached.
    #[error("the registrar cannot be reached")]
    Unreachable,
    /// One said no.
    #[error("REGISTER was refused with {0}")]
    Refused(u16),
    /// User name or password are wrong, or are missing.
    #[error("user name or password are wrong or missing ({0} again)")]
    Credentials(u16),
    /// It granted no time at all, or wants more than anyone may.
    #[error("no time that both sides want could be agreed on ({0})")]
    Expires(u16),
}

/// One registration.
#[derive(Clone, Debug)]
pub struct Registration {
    account: Account,
    /// The servers, the preferred first.
    ways: Vec<Way>,
    /// Those that were not asked yet this time.
    left: Vec<Way>,
    call_id: String,
    tag: String,
    cseq: u32,
    authentication: Authentication,
    entropy: Entropy,
    /// How long we ask it to last, in seconds.
    expires: u32,
    next: Timestamp,
    under_way: Option<Outside>,
    bound: Option<Bound>,
    service_route: Vec<Route>,
    /// How often in a row it failed.
    failures: u32,
    failed: Option<Why>,
    is_ending: bool,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    way: Way,
    until: Timestamp,
}

impl Registration {
    /// A registration that is made within a second, once it has [ways](Self::set_ways).
    #[must_use]
    pub fn new(now: Timestamp, account: Account, mut entropy: Entropy) -> Self {
        let (call_id, tag) = (entropy.token(26), entropy.token(12));
        let next = now + Duration::from_millis(entropy.below(SPREAD));
        Self {
            authentication: Authentication::new(account.credentials.clone()),
            expires: u32::try_from(account.expires.as_secs()).unwrap_or(LONGEST).min(LONGEST),
            account,
            ways: Vec::new(),
            left: Vec::new(),
            call_id,
            tag,
            cseq: 0,
            entropy,
            next,
            under_way: None,
            bound: None,
            service_route: Vec::new(),
            failures: 0,
            failed: None,
            is_ending: false,
        }
    }

    /// RFC 3261 § 10.2: "All registrations from a UAC SHOULD use the same Call-ID header field value for
    /// registrations sent to a particular registrar."
    #[must_use]
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        match (self.bound.filter(|bound| now < bound.until), self.failed) {
            (Some(bound), _) => State::Registered { until: bound.until },
            (None, _) if self.is_ending => State::Ended,
            (None, Some(why)) => State::Failing { why, next: self.next },
            (None, None) => State::Begun,
        }
    }

    /// What went wrong last, though an earlier REGISTER may still hold.
    #[must_use]
    pub fn failed(&self) -> Option<Why> {
        self.failed
    }

    /// RFC 3608 § 6.1: what a UA "SHOULD use [...] as a preloaded route set for" its requests by this
    /// registration.
    #[must_use]
    pub fn service_route(&self) -> &[Route] {
        &self.service_route
    }

    /// Whether nothing is awaited any more once it was [stopped](Self::stop).
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_ending && self.under_way.is_none()
    }

    /// Whether an answer is awaited from this hop.
    #[must_use]
    pub fn is_asking(&self, hop: Hop) -> bool {
        self.under_way.as_ref().is_some_and(|it| it.way().hop == hop)
    }

    /// When something is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let next = match &self.under_way {
            Some(under_way) => Some(under_way.deadline()),
            None if self.is_ending || self.ways.is_empty() => None,
            None => Some(self.next),
        };
        next.into_iter().chain(self.bound.map(|bound| bound.until)).min()
    }

    /// The servers from now on. Where the one that knows us is no more among them, another is told.
    pub fn set_ways(&mut self, now: Timestamp, ways: Vec<Way>) {
        let lost = |bound: Bound| !ways.contains(&bound.way);
        if self.bound.is_some_and(lost) && self.under_way.is_none() {
            self.next = self.next.min(now);
        }
        self.ways = ways;
    }

    /// A deadline has come.
    pub fn lapsed(&mut self, now: Timestamp) -> Option<Sent> {
        if self.bound.is_some_and(|bound| now >= bound.until) {
            self.bound = None;
            self.service_route.clear();
        }
        if let Some(under_way) = &mut self.under_way {
            let came = under_way.lapsed(now);
            return self.came(now, came, Why::Silence);
        }
        // Without a server there is nothing to fail, and nothing to be patient about afterwards.
        if self.is_ending || self.ways.is_empty() || now < self.next {
            return None;
        }
        self.begin(now)
    }

    /// A message with its Call-ID came in.
    pub fn received(&mut self, now: Timestamp, message: &Message) -> Option<Sent> {
        match self.under_way.as_mut()?.received(now, message) {
            Came::Final => self.answered(now, message),
            came @ (Came::Nothing | Came::Copy | Came::Silence | Came::Unreachable) => {
                self.came(now, came, Why::Silence)
            }
        }
    }

    /// The network says that what was sent to this hop did not arrive.
    pub fn unreachable(&mut self, now: Timestamp, hop: Hop) -> Option<Sent> {
        self.is_asking(hop).then(|| self.came(now, Came::Unreachable, Why::Unreachable)).flatten()
    }

    /// The connection to this hop is gone, and with it the way by which we were reached.
    pub fn lost(&mut self, now: Timestamp, hop: Hop) -> Option<Sent> {
        if self.under_way.is_some() {
            return self.unreachable(now, hop);
        }
        if self.bound.is_some_and(|bound| bound.way.hop == hop) && !self.is_ending {
            self.next = now;
            return self.begin(now);
        }
        None
    }

    /// Takes it back: RFC 3261 § 10.2.2, "a UA [...] requests the immediate removal of a binding by
    /// specifying an expiration interval of "0" for that contact address in a REGISTER request."
    pub fn stop(&mut self, now: Timestamp) -> Option<Sent> {
        self.is_ending = true;
        let way = self.under_way.take().map(|it| it.way()).or(self.bound.map(|bound| bound.way))?;
        self.authentication.forget();
        self.left.clear();
        Some(self.register(now, way))
    }

    fn begin(&mut self, now: Timestamp) -> Option<Sent> {
        self.authentication.forget();
        self.left = self.ways.clone();
        // The server that knows us comes first.
        if let Some(bound) = self.bound {
            self.left.sort_by_key(|way| *way != bound.way);
        }
        self.advance(now, Why::Unreachable, None)
    }

    /// Asks the next server, or ends this try.
    fn advance(&mut self, now: Timestamp, why: Why, retry_after: Option<u32>) -> Option<Sent> {
        if self.left.is_empty() {
            self.fail(now, why, retry_after);
            return None;
        }
        let way = self.left.remove(0);
        Some(self.register(now, way))
    }

    fn register(&mut self, now: Timestamp, way: Way) -> Sent {
        // RFC 3261 § 10.2: "A UA MUST increment the CSeq value by one for each REGISTER request with the
        // same Call-ID."
        self.cseq += 1;
        let branch = branch(&mut self.entropy);
        let record = NameAddr::new(self.account.record.clone());
        let expires = if self.is_ending { 0 } else { self.expires };
        let registrar = self.account.registrar.clone();
        let answers = self.authentication.headers(&Method::Register, &registrar, &mut self.entropy);
        let opening = Request::new(Method::Register, registrar)
            .via(&way, &branch)
            .from(&record.clone().tag(&self.tag))
            .to(&record)
            .call_id(&self.call_id)
            .cseq(self.cseq)
            .routes(&self.account.routes)
            .contact(&self.contact(&way))
            .header("Expires", &expires.to_string())
            .header("Allow", ALLOW);
        let request =
            answers.into_iter().fold(opening, |it, (name, value)| it.header(name, &value));
        let bytes = request.to_bytes();
        let pace = Pace::over(&Settings::default(), way.hop.transport);
        let patience = if self.left.is_empty() { pace.patience() } else { PATIENCE };
        let (method, copy) = (Method::Register, bytes.clone());
        self.under_way = Some(Outside::sent(now, pace, method, branch, way, copy, patience));
        (way.hop, bytes)
    }

    /// Where we are reached.
    fn contact(&self, way: &Way) -> Uri {
        way.contact(&self.account.record.user(), self.account.contact_host.as_deref())
    }

    fn came(&mut self, now: Timestamp, came: Came, why: Why) -> Option<Sent> {
        match came {
            Came::Nothing | Came::Final => None,
            Came::Copy => {
                let under_way = self.under_way.as_ref()?;
                Some((under_way.way().hop, under_way.bytes().to_vec()))
            }
            Came::Silence | Came::Unreachable => {
                self.under_way = None;
                self.advance(now, why, None)
            }
        }
    }

    fn answered(&mut self, now: Timestamp, message: &Message) -> Option<Sent> {
        let status = message.status()?;
        let way = self.under_way.take()?.way();
        match status {
            ..300 => self.accepted(now, way, message),
            401 | 407 => {
                if self.authentication.challenged(message.challenges()).is_ok() {
                    return Some(self.register(now, way));
                }
                self.fail(now, Why::Credentials(status), None);
            }
            // RFC 3261 § 10.2.8: "If a UA receives a 423 (Interval Too Brief) response, it MAY retry the
            // registration after making the expiration interval of all contact addresses in the REGISTER
            // request equal to or greater than the expiration interval within the Min-Expires header
            // field".
            423 => match message.min_expires() {
                Some(least) if least > self.expires && least <= LONGEST => {
                    self.expires = least;
                    return Some(self.register(now, way));
                }
                Some(_) | None => self.fail(now, Why::Expires(status), None),
            },
            // RFC 3263 § 4.3: another server may do better.
            408 | 500.. => return self.advance(now, Why::Refused(status), message.retry_after()),
            _ => self.fail(now, Why::Refused(status), message.retry_after()),
        }
        None
    }

    fn accepted(&mut self, now: Timestamp, way: Way, message: &Message) {
        if self.is_ending {
            self.bound = None;
            return;
        }
        let granted = message.expires_of(&self.contact(&way)).unwrap_or(self.expires);
        if granted == 0 {
            return self.fail(now, Why::Expires(200), None);
        }
        let granted = Duration::from_secs(u64::from(granted.min(LONGEST)));
        self.bound = Some(Bound { way, until: now + granted });
        self.service_route = message.service_route();
        (self.failures, self.failed) = (0, None);
        // Again when about half of it is over: there is then time for what may go wrong.
        let half = u64::try_from(granted.as_millis() / 2).unwrap_or(u64::MAX);
        let (least, more) = (half - half / 10, half / 5);
        self.next = now + Duration::from_millis(least + self.entropy.below(more + 1));
    }

    fn fail(&mut self, now: Timestamp, why: Why, retry_after: Option<u32>) {
        self.failed = Some(why);
        self.failures = self.failures.saturating_add(1);
        // RFC 5626 § 4.5: "W = min( max-time, (base-time * (2 ^ consecutive-failures)))".
        let doubled = BASE.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        let upper = match why {
            // What a person must put right is not asked every minute.
            Why::Credentials(_) | Why::Refused(400..=407 | 409..=479) | Why::Expires(_) => MOST,
            Why::Silence | Why::Unreachable | Why::Refused(_) => doubled.min(MOST),
        };
        // "The delay time is computed by selecting a uniform random time between 50 and 100% of the
        // upper-bound wait time."
        let half = u64::try_from(upper.as_millis() / 2).unwrap_or(u64::MAX);
        let pause = Duration::from_millis(half + self.entropy.below(half + 1));
        let asked = Duration::from_secs(u64::from(retry_after.unwrap_or(0))).min(MOST * 2);
        self.next = now + pause.max(asked);
    }
}

#[cfg(test)]
mod tests;
