//! What is true about one question to one person: the [`Verification`], a value that takes the
//! time and a [`Signal`] and gives back everything that must now happen.
//!
//! It has no clock, no socket and no log line. [`Verification::apply`] consumes it, because the
//! caller compares before and after; [`Verification::deadline`] is computed from the state, so no
//! timer is ever armed or cancelled.

pub mod attempt;
pub mod number;
pub mod policy;
pub mod request;
pub mod route;
pub mod signal;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::attempt::{Attempt, AttemptNo, AttemptState};
use self::request::Request;
use self::route::Route;
use self::signal::{
    Answer, Because, Blame, By, Cause, Denial, Effect, Expiry, Farewell, Reason, Signal, Status,
    Verdict,
};
use crate::ambient::{Entropy, Timestamp};

/// Longest an attempt may take by this machine's own count, whatever its carrier says. The call has
/// tighter limits of its own (ringing and talking); this one catches a call that was lost.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(RING_MOST as u64 + TALK_MOST as u64 + 60);

/// The longest that a phone may be let ring, in seconds.
pub const RING_MOST: u32 = 120;

/// The longest that a call may last from its answer, in seconds.
pub const TALK_MOST: u32 = 300;

/// The public name of a verification: `vf_` and 26 characters that sort by time of birth.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VerificationId(String);

impl VerificationId {
    /// A new name: the time in milliseconds and 80 random bits (a ULID).
    #[must_use]
    pub fn new(now: Timestamp, entropy: &mut Entropy) -> Self {
        let random = u128::from(entropy.u64()) << 64 | u128::from(entropy.u64());
        Self(format!("vf_{}", ulid::Ulid::from_parts(now.as_millis(), random)))
    }

    /// Reads a name; `None` when it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix("vf_")?;
        let fits = body.len() == 26 && body.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VerificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One question about one phone, with a deadline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Its name.
    pub id: VerificationId,
    /// Counts the changes; the first state that anyone sees is 1.
    pub version: u64,
    /// Whose it is.
    pub tenant: String,
    /// What was asked.
    pub request: Request,
    /// The plan.
    pub route: Route,
    /// Where it stands.
    pub phase: Phase,
    /// Every try so far; at most the last is not over.
    pub attempts: Vec<Attempt>,
    /// When it was born.
    pub created_at: Timestamp,
    /// Absolute, and set at birth.
    pub expires_at: Timestamp,
    /// Seeds the tags, branches and numbers of its calls.
    pub seed: u64,
}

/// Where a verification stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Trying this step of the route.
    Attempting {
        /// The step's place in the route.
        step: usize,
    },
    /// Over. This never changes again.
    Settled {
        /// How it ended.
        verdict: Verdict,
        /// When.
        at: Timestamp,
    },
}

/// What a signal did.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// The state moved.
    Moved {
        /// The new state.
        next: Verification,
        /// What must now be done.
        effects: Vec<Effect>,
    },
    /// Nothing changed.
    Ignored {
        /// The state as it was.
        same: Verification,
        /// Why.
        because: Because,
    },
}

/// Which deadline is the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The verification's own.
    Expiry,
    /// The running attempt's.
    Attempt,
}

impl Verification {
    /// A new verification, with its first step taken.
    pub fn begin(
        now: Timestamp,
        tenant: String,
        request: Request,
        route: Route,
        entropy: &mut Entropy,
    ) -> Step {
        let lifetime = Duration::from_secs(u64::from(request.expires_in));
        let born = Self {
            id: VerificationId::new(now, entropy),
            version: 0,
            tenant,
            request,
            route,
            phase: Phase::Attempting { step: 0 },
            attempts: Vec::new(),
            created_at: now,
            expires_at: now + lifetime,
            seed: entropy.u64(),
        };
        born.attempt(now, 0)
    }

    /// What `signal` changes, and everything that must now happen.
    ///
    /// Late, repeated and foreign signals are answers ([`Because`]), not errors. Nothing but
    /// evidence of consent approves, and nothing leaves [`Phase::Settled`].
    pub fn apply(self, now: Timestamp, signal: Signal) -> Step {
        if self.verdict().is_some() {
            return self.ignored(Because::AlreadySettled);
        }
        // A deadline that has passed counts before whatever came after it, timer or not.
        if now >= self.expires_at {
            return self.settled(now, Verdict::Expired(Expiry::Deadline), Farewell::Silent);
        }
        match signal {
            Signal::Placed { attempt, handle } => self.placed(attempt, handle),
            Signal::Alerting { attempt, sip_status } => {
                self.progress(attempt, AttemptState::Ringing, |a| a.sip_status = Some(sip_status))
            }
            Signal::Engaged { attempt, sip_status } => {
                self.progress(attempt, AttemptState::Answered, |a| {
                    a.sip_status = Some(sip_status);
                    a.answered_at = Some(now);
                })
            }
            Signal::Prompting { attempt } => {
                self.progress(attempt, AttemptState::Prompting, |_| ())
            }
            Signal::Listening { attempt } => {
                self.progress(attempt, AttemptState::Listening, |_| ())
            }
            Signal::Heard { attempt, answer } => self.answered(now, attempt, answer),
            Signal::Ended { attempt, cause } => self.ended(now, attempt, cause),
            Signal::Lapsed => self.lapsed(now),
            Signal::Withdrawn(by) => self.withdrawn(now, by),
        }
    }

    /// When something must happen by itself, and what. `None` once settled.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, Timer)> {
        let running = self.running()?;
        let attempt = running.started_at + ATTEMPT_LIMIT;
        Some(if attempt < self.expires_at {
            (attempt, Timer::Attempt)
        } else {
            (self.expires_at, Timer::Expiry)
        })
    }

    /// How it ended, once it has.
    #[must_use]
    pub const fn verdict(&self) -> Option<&Verdict> {
        match &self.phase {
            Phase::Attempting { .. } => None,
            Phase::Settled { verdict, .. } => Some(verdict),
        }
    }

    /// When it ended, once it has.
    #[must_use]
    pub const fn settled_at(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Attempting { .. } => None,
            Phase::Settled { at, .. } => Some(*at),
        }
    }

    /// The API's word for how it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.verdict().map_or(Status::Pending, Verdict::status)
    }

    /// The attempt that is not over, if one is.
    #[must_use]
    pub fn running(&self) -> Option<&Attempt> {
        match self.phase {
            Phase::Attempting { .. } => self.attempts.last(),
            Phase::Settled { .. } => None,
        }
    }

    /// The attempt of this number.
    #[must_use]
    pub fn find(&self, no: AttemptNo) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.no == no)
    }

    /// Takes a step of the route; a step that is not there settles it as failed.
    fn attempt(mut self, now: Timestamp, step: usize) -> Step {
        let Some(way) = self.route.step(step) else {
            let cause = Cause::because(Reason::CarrierError, "the route has no step left");
            return self.settled(now, Verdict::Failed(cause), Farewell::Silent);
        };
        let no = self.attempts.last().map_or(AttemptNo::FIRST, |last| last.no.next());
        self.attempts.push(Attempt::new(no, way.channel, way.via.clone(), now));
        self.phase = Phase::Attempting { step };
        self.moved(vec![Effect::Dial { attempt: no }])
    }

    /// The name of the call. News of the call itself may have been faster, so a name that is
    /// missing is taken at any stage.
    fn placed(mut self, no: AttemptNo, handle: String) -> Step {
        match self.attempts.last_mut() {
            Some(running) if running.no == no && running.call_id.is_none() => {
                running.state = running.state.max(AttemptState::Dialing);
                running.call_id = Some(handle);
                self.moved(Vec::new())
            }
            Some(running) if running.no == no => self.ignored(Because::Duplicate),
            Some(running) if no < running.no => self.ignored(Because::Late),
            Some(_) | None => self.ignored(Because::Unrelated),
        }
    }

    /// Moves the running attempt forward; states never go back.
    fn progress(
        mut self,
        no: AttemptNo,
        state: AttemptState,
        note: impl FnOnce(&mut Attempt),
    ) -> Step {
        match self.attempts.last_mut() {
            Some(running) if running.no == no => match running.state.cmp(&state) {
                std::cmp::Ordering::Less => {
                    running.state = state;
                    note(running);
                    self.moved(Vec::new())
                }
                std::cmp::Ordering::Equal => self.ignored(Because::Duplicate),
                // The prompt is spoken again after listening: no step back, and no news.
                std::cmp::Ordering::Greater => self.ignored(Because::Late),
            },
            Some(running) if no < running.no => self.ignored(Because::Late),
            Some(_) | None => self.ignored(Because::Unrelated),
        }
    }

    fn answered(mut self, now: Timestamp, no: AttemptNo, answer: Answer) -> Step {
        let Some(running) = self.attempts.last_mut().filter(|running| running.no == no) else {
            return self.ignored(Because::Late);
        };
        match answer {
            Answer::Consent(evidence) if evidence.attempt() != no => {
                self.ignored(Because::Unrelated)
            }
            Answer::Consent(evidence) => {
                running.press = Some(evidence.press().clone());
                self.settled(now, Verdict::Approved(evidence), Farewell::Thanks)
            }
            Answer::Fraud(press) => {
                running.press = Some(press);
                self.settled(now, Verdict::Denied(Denial::FraudReported), Farewell::Reported)
            }
            Answer::WrongKey(press) => {
                running.press = Some(press);
                self.settled(now, Verdict::Denied(Denial::WrongKey), Farewell::Denied)
            }
        }
    }

    fn ended(mut self, now: Timestamp, no: AttemptNo, cause: Cause) -> Step {
        let Phase::Attempting { step } = self.phase else {
            return self.ignored(Because::AlreadySettled);
        };
        let Some(running) = self.attempts.last_mut().filter(|running| running.no == no) else {
            return self.ignored(Because::Late);
        };
        let answered = running.state >= AttemptState::Answered;
        running.end(now, &cause);
        // A carrier's fault before anyone answered is the next carrier's chance.
        let another = self.route.step(step + 1).is_some();
        if cause.blame() == Blame::Carrier && !answered && another {
            return self.attempt(now, step + 1);
        }
        match cause.reason {
            Reason::NoInput => {
                self.settled(now, Verdict::Expired(Expiry::NoInput), Farewell::NoInput)
            }
            Reason::Confirmed
            | Reason::FraudReported
            | Reason::WrongKey
            | Reason::Expired
            | Reason::Busy
            | Reason::NoAnswer
            | Reason::Rejected
            | Reason::HungUp
            | Reason::Unreachable
            | Reason::InvalidNumber
            | Reason::CarrierError
            | Reason::Congested
            | Reason::MediaLost
            | Reason::NodeLost
            | Reason::CanceledByCaller => {
                self.settled(now, Verdict::Failed(cause), Farewell::Silent)
            }
        }
    }

    fn lapsed(self, now: Timestamp) -> Step {
        match self.deadline() {
            Some((at, Timer::Attempt)) if now >= at => {
                // Should the call still be there after all, it is hung up.
                let cause = Cause::because(Reason::NodeLost, "the call was lost track of");
                self.settled(now, Verdict::Failed(cause), Farewell::Silent)
            }
            Some((_, Timer::Attempt | Timer::Expiry)) | None => self.ignored(Because::Unrelated),
        }
    }

    fn withdrawn(self, now: Timestamp, by: By) -> Step {
        self.settled(now, Verdict::Canceled(by), Farewell::Silent)
    }

    /// The verdict, told once; a call that is still up is ended with `farewell`.
    fn settled(mut self, now: Timestamp, verdict: Verdict, farewell: Farewell) -> Step {
        let mut effects = Vec::new();
        let reason = verdict.reason();
        if let Some(last) = self.attempts.last_mut() {
            // A call that asked in vain is still up: it says goodbye.
            if last.state != AttemptState::Ended || farewell != Farewell::Silent {
                effects.push(Effect::HangUp { attempt: last.no, farewell });
            }
            if last.state != AttemptState::Ended {
                last.end(now, &Cause::plain(reason));
            }
        }
        self.phase = Phase::Settled { verdict, at: now };
        effects.push(Effect::Notify { sequence: self.version + 1 });
        self.moved(effects)
    }

    fn moved(mut self, effects: Vec<Effect>) -> Step {
        self.version += 1;
        Step::Moved { next: self, effects }
    }

    const fn ignored(self, because: Because) -> Step {
        Step::Ignored { same: self, because }
    }
}

#[cfg(test)]
mod tests;
