//! Session timers (RFC 4028): how long a session lasts unless it is refreshed, and by whom.

use std::time::Duration;

use super::asking::Errand;
use super::{Call, Ended, Output, Purpose, Role, State};
use crate::ambient::Timestamp;
use crate::sip::Timer;
use crate::sip::extensions::{Refresher, SessionExpires};
use crate::sip::message::Message;

/// What we ask for, in seconds: a call that asks a question is over by then, and one whose node has died
/// must not stay off the hook for half an hour.
const WANTED: u32 = 120;

/// RFC 4028 § 4: "The RECOMMENDED value for the Session-Expires header field is 1800 seconds (30
/// minutes)."
const RECOMMENDED: u32 = 1_800;

/// RFC 4028 § 5: "The value of the Min-SE header field MUST NOT be less than 90 seconds."
pub(super) const LEAST: u32 = 90;

type Headers = Vec<(&'static str, String)>;

/// What is asked for, and what was agreed.
pub(super) struct Session {
    /// How long we want it to last, in seconds.
    wanted: u32,
    /// How long it must last at least, in seconds.
    least: u32,
    /// They wanted more, and were given it.
    was_raised: bool,
    agreed: Option<Agreed>,
}

struct Agreed {
    seconds: u32,
    /// Whether it is for us to refresh it.
    is_ours: bool,
    /// When we hang up.
    until: Timestamp,
    /// When we refresh it, unless that is under way or not for us.
    refresh: Option<Timestamp>,
}

impl Agreed {
    fn new(now: Timestamp, seconds: u32, is_ours: bool) -> Self {
        // No honest interval is shorter, and a dishonest one must not keep us busy.
        let seconds = seconds.max(LEAST);
        let interval = Duration::from_secs(u64::from(seconds));
        // RFC 4028 § 10: the BYE is sent "slightly before the session expiration. The minimum of 32
        // seconds and one third of the session interval is RECOMMENDED."
        let before = (interval / 3).min(Duration::from_secs(32));
        // RFC 4028 § 7.2: "It is RECOMMENDED that this refresh be sent at half the session interval."
        let refresh = is_ours.then_some(now + interval / 2);
        Self { seconds, is_ours, until: now + (interval - before), refresh }
    }
}

impl Session {
    /// Nothing agreed yet, by a trunk that is known to want so many seconds at least.
    pub(super) fn new(least: Option<u32>) -> Self {
        let least = least.unwrap_or(LEAST).max(LEAST);
        Self { wanted: WANTED.max(least), least, was_raised: false, agreed: None }
    }

    pub(super) fn deadline(&self) -> Option<(Timestamp, Timer)> {
        let agreed = self.agreed.as_ref()?;
        let refresh = agreed.refresh.map(|at| (at, Timer::Refresh));
        refresh.into_iter().chain([(agreed.until, Timer::Expiry)]).min()
    }

    /// What our INVITE says.
    pub(super) fn asked(&self) -> Headers {
        vec![("Session-Expires", self.wanted.to_string()), ("Min-SE", self.least.to_string())]
    }

    /// What a request that refreshes it says.
    pub(super) fn refreshed(&self) -> Headers {
        let expires = format!("{};refresher={}", self.lasts(), Refresher::Uac.as_str());
        vec![("Session-Expires", expires), ("Min-SE", self.least.to_string())]
    }

    /// How long it lasts, as agreed or as asked for, in seconds.
    fn lasts(&self) -> u32 {
        self.agreed.as_ref().map_or(self.wanted, |agreed| agreed.seconds)
    }

    /// Takes a 422, once, and gives how long the session must last at least, in seconds; `None` when
    /// trying again would not help.
    pub(super) fn raise(&mut self, message: &Message) -> Option<u32> {
        if self.was_raised {
            return None;
        }
        // RFC 4028 § 6: "The 422 response MUST contain a Min-SE header field with the minimum timer for
        // that server." Where it has none that explains it, what RFC 4028 recommends is asked for.
        let least = message.min_session_expires().filter(|least| *least > self.lasts());
        let least = least.unwrap_or(RECOMMENDED);
        self.was_raised = true;
        self.least = self.least.max(least);
        self.wanted = self.wanted.max(least);
        if let Some(agreed) = &mut self.agreed {
            agreed.seconds = agreed.seconds.max(least);
        }
        Some(least)
    }

    /// Takes what a 2xx to our INVITE, UPDATE or re-INVITE says. RFC 4028 § 7.2: without a
    /// Session-Expires "there is no session expiration"; a proxy that inserts one for a callee
    /// without the extension leaves the refreshes to us.
    pub(super) fn agree(&mut self, now: Timestamp, message: &Message) {
        self.agreed = message.session_expires().map(|SessionExpires { seconds, refresher }| {
            Agreed::new(now, seconds, refresher != Some(Refresher::Uas))
        });
    }

    /// Whether a request wants a session that is too short: RFC 4028 § 9, "the UAS MAY reject the
    /// request with a 422".
    pub(super) fn is_too_short(request: &Message) -> bool {
        request.session_expires().is_some_and(|said| said.seconds < LEAST)
    }

    /// Takes what a request says that is answered with 2xx, and gives what the answer says of it.
    pub(super) fn answer(&mut self, now: Timestamp, request: &Message) -> Headers {
        let was_ours = self.agreed.as_ref().is_some_and(|agreed| agreed.is_ours);
        let Some(SessionExpires { seconds, refresher }) = request.session_expires() else {
            // Who does not want it need not keep it alive; what we refresh, we go on refreshing.
            self.agreed = self.agreed.take().filter(|_| was_ours);
            return Vec::new();
        };
        let is_known = request.supports("timer");
        // RFC 4028 § 9, table 2: the refresher that the request names; where it names none, either;
        // and the UAS, where the UAC lacks the extension.
        let is_ours = match refresher.filter(|_| is_known) {
            Some(Refresher::Uac) => false,
            Some(Refresher::Uas) => true,
            None => was_ours || !is_known,
        };
        let chosen = if is_ours { Refresher::Uas } else { Refresher::Uac };
        self.agreed = Some(Agreed::new(now, seconds, is_ours));
        let mut headers =
            vec![("Session-Expires", format!("{seconds};refresher={}", chosen.as_str()))];
        // RFC 4028 § 9: "If the refresher parameter in the Session-Expires header field in the 2xx
        // response has a value of 'uac', the UAS MUST place a Require header field into the response
        // with the value 'timer'."
        if is_known {
            headers.push(("Require", "timer".to_owned()));
        }
        headers
    }
}

impl Call {
    pub(super) fn session_lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Some(agreed) = self.session.agreed.as_mut().filter(|_| self.state == State::Up) else {
            return;
        };
        if now >= agreed.until {
            self.expire(now, out);
        } else if agreed.refresh.take_if(|at| now >= *at).is_some() {
            self.refresh(now, out);
        }
    }

    /// RFC 4028 § 10: "it SHOULD send a BYE to terminate the session".
    pub(super) fn expire(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.state == State::Up {
            self.leave(now, Ended::Expired, out);
        }
    }

    /// RFC 4028 § 7.4: "If a UAC knows that its peer supports the UPDATE method, it is RECOMMENDED
    /// that UPDATE be used instead of a re-INVITE."
    fn refresh(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Some(index) = self.peer_with(Role::Chosen) else { return };
        let takes_update = self.peers.get(index).is_some_and(|peer| peer.takes_update);
        // RFC 3261 § 14.1: "a UAC MUST NOT initiate a new INVITE transaction within a dialog while
        // another INVITE transaction is in progress in either direction."
        let is_busy = self.offered.is_some() || self.unacknowledged.is_some();
        match (takes_update, is_busy) {
            (true, _) => self.ask(now, index, Purpose::Update, out),
            (false, false) => self.ask(now, index, Purpose::Reinvite, out),
            (false, true) => self.refresh_later(now),
        }
    }

    /// Offers another description, once the call is up and nobody else offers anything.
    pub(super) fn offer_anew(&mut self, now: Timestamp, sdp: Vec<u8>, out: &mut Vec<Output>) {
        self.description = sdp;
        self.reoffer = Some(now);
        self.offer_lapsed(now, out);
    }

    pub(super) fn offer_lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let is_due = self.state == State::Up && self.reoffer.is_some_and(|at| now >= at);
        let Some(index) = self.peer_with(Role::Chosen).filter(|_| is_due) else { return };
        let is_busy = self.offered.is_some() || self.unacknowledged.is_some();
        if is_busy || self.errands.iter().any(Errand::is_open_reinvite) {
            self.reoffer = Some(now + self.pause());
        } else {
            self.reoffer = None;
            self.ask(now, index, Purpose::Reinvite, out);
        }
    }

    /// RFC 3261 § 14.1: "If the UAC is the owner of the Call-ID of the dialog ID (meaning it
    /// generated the value), T has a randomly chosen value between 2.1 and 4 seconds in units of 10
    /// ms."
    fn pause(&mut self) -> Duration {
        Duration::from_millis(2_100 + 10 * self.entropy.below(191))
    }

    fn refresh_later(&mut self, now: Timestamp) {
        let pause = self.pause();
        if let Some(agreed) = &mut self.session.agreed {
            agreed.refresh = Some(now + pause);
        }
    }

    /// Takes the final response to an UPDATE or re-INVITE of ours.
    pub(super) fn refreshed(
        &mut self,
        now: Timestamp,
        purpose: &Purpose,
        peer: usize,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) {
        if self.state != State::Up {
            return;
        }
        let Some(known) = self.peers.get_mut(peer) else { return };
        let is_update = *purpose == Purpose::Update;
        match status {
            200..300 => {
                known.dialog.refresh(message);
                self.session.agree(now, message);
                if let Some(sdp) = message.sdp().filter(|_| !is_update) {
                    out.push(Output::Agreed { sdp: sdp.to_vec() });
                }
            }
            // RFC 4028 § 10: "If the session refresh request transaction times out or generates a 408
            // or 481 response, then the UAC sends a BYE request as per Section 12.2.1.2 of RFC 3261".
            408 | 481 => self.expire(now, out),
            422 if self.session.raise(message).is_some() => self.refresh(now, out),
            491 if is_update => self.refresh_later(now),
            // What a re-INVITE offers may be new.
            491 => self.reoffer = Some(now + self.pause()),
            // It said that it takes UPDATE, and does not.
            405 | 501 if is_update => {
                known.takes_update = false;
                self.refresh(now, out);
            }
            // RFC 4028 § 10: "the UAC SHOULD follow the rules specific to that response code and retry
            // if possible"; where it is not, the session runs out.
            _ => {}
        }
    }
}
