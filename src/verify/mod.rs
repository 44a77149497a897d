//! What is true about one question to one person: the [`Verification`], a value that takes the
//! time and a [`Signal`] and gives back everything that must now happen.
//!
//! It has no clock, no socket and no log line. [`Verification::apply`] consumes it, because the
//! caller compares before and after; [`Verification::deadline`] is computed from the state, so no
//! timer is ever armed or cancelled.

pub mod attempt;
pub mod block;
mod cause;
pub mod code;
pub mod explain;
pub mod extension;
pub mod gsm;
pub mod language;
pub mod limits;
pub mod money;
pub mod number;
pub mod plain;
pub mod policy;
pub mod proof;
pub mod reply;
pub mod request;
pub mod route;
pub mod selftest;
pub mod signal;
pub mod text;
pub mod trace;
pub mod transaction;

mod answers;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::attempt::{Attempt, AttemptNo, AttemptState, Label};
use self::code::{Expected, KeyId, Secret};
use self::money::Tariff;
use self::request::{Assurance, Channel, Mode, Request, Way};
use self::route::Route;
use self::signal::{
    Because, Blame, By, Cause, Effect, Expiry, Farewell, Reason, Resend, Signal, Status, Verdict,
};
use crate::ambient::{Entropy, Timestamp};

/// Longest an attempt may take by this machine's own count, whatever its carrier says. The call has
/// tighter limits of its own (ringing and talking); this one catches a call that was lost.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(RING_MOST as u64 + TALK_MOST as u64 + 60);

/// The longest that a phone may be let ring, in seconds.
pub const RING_MOST: u32 = 120;

/// How much longer an attempt may take that dials an extension: an attendant that rings, speaks and is
/// dialled, and a phone that rings behind it.
pub const EXTENSION_LIMIT: Duration = Duration::from_secs(2 * RING_MOST as u64 + 90);

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
    /// What must come back, where a code is sent.
    pub secret: Option<Secret>,
    /// What is to be entered on a call.
    #[serde(default)]
    pub expected: Expected,
    /// The carrier's name for the last reply that was judged: it may bring it twice.
    pub last_reply: Option<String>,
    /// What was said against it when it was begun; more is known of the number itself.
    #[serde(default)]
    pub flags: Vec<String>,
    /// What its attempts cost, where there are prices; whoever begins it knows.
    #[serde(default)]
    pub tariff: Option<Tariff>,
    /// How often the person, or the caller for them, asked for an attempt.
    pub sends: u8,
    /// When they last did.
    pub sent_at: Timestamp,
    /// When it was born.
    pub created_at: Timestamp,
    /// Absolute, and set at birth.
    pub expires_at: Timestamp,
    /// Seeds the tags, branches and numbers of its calls.
    pub seed: u64,
    /// The version that brought the verdict, and by which that was told; more evidence may come later.
    #[serde(default)]
    pub told: Option<u64>,
    /// Which of the gateway's keys its secrets are made under.
    #[serde(default)]
    pub key: KeyId,
    /// It only looks like one: the person is not to be reached, and the caller is not to learn it. Nothing
    /// is ever sent, and nothing approves.
    #[serde(default)]
    pub withheld: bool,
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
    /// Nothing is being tried: the person may ask for another attempt, or type a code that has
    /// come after all.
    Waiting {
        /// The place of the step that was tried last.
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

/// How often an attempt may be asked for, the start included.
pub const SENDS: u8 = 5;

/// How long to wait before the attempt after this many may be asked for.
const GAPS: [Duration; SENDS as usize - 1] = [
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
    Duration::from_secs(300),
];

/// What a verification is made of.
#[derive(Debug)]
pub struct Birth {
    /// Its name.
    pub id: VerificationId,
    /// Whose it is.
    pub tenant: String,
    /// What is asked.
    pub request: Request,
    /// The plan.
    pub route: Route,
    /// What must come back, where the plan sends a code.
    pub secret: Option<Secret>,
    /// What is to be entered on a call.
    pub expected: Expected,
    /// Seeds what its calls draw by chance.
    pub seed: u64,
    /// Which of the gateway's keys its secrets are made under.
    pub key: KeyId,
    /// Whether nothing is sent, although it looks so.
    pub withheld: bool,
}

impl Verification {
    /// A new verification, with its first step taken.
    pub fn begin(now: Timestamp, birth: Birth) -> Step {
        let Birth { id, tenant, request, route, secret, expected, seed, key, withheld } = birth;
        let lifetime = Duration::from_secs(u64::from(request.expires_in));
        let born = Self {
            id,
            version: 0,
            tenant,
            request,
            route,
            phase: Phase::Attempting { step: 0 },
            attempts: Vec::new(),
            secret,
            expected,
            last_reply: None,
            flags: Vec::new(),
            tariff: None,
            sends: 1,
            sent_at: now,
            created_at: now,
            expires_at: now + lifetime,
            seed,
            told: None,
            key,
            withheld,
        };
        born.attempt(now, 0)
    }

    /// What `signal` changes, and everything that must now happen.
    ///
    /// Late, repeated and foreign signals are answers ([`Because`]), not errors. Nothing but
    /// evidence of consent approves, and nothing leaves [`Phase::Settled`]; what more is learned of
    /// the press that decided is added to its attempt, and changes no verdict.
    pub fn apply(self, now: Timestamp, signal: Signal) -> Step {
        if let Signal::Proven { attempt, press } = signal {
            return self.proven(attempt, press);
        }
        if self.verdict().is_some() {
            return self.ignored(Because::AlreadySettled);
        }
        // A deadline that has passed counts before whatever came after it, timer or not.
        if now >= self.expires_at {
            return self.settled(now, Verdict::Expired(Expiry::Deadline), Farewell::Silent);
        }
        if self.withheld {
            return self.pretended(now, signal);
        }
        match signal {
            Signal::Placed { attempt, handle, node } => self.placed(now, attempt, handle, node),
            Signal::Sent { attempt } => self.progress(attempt, AttemptState::Sent, |_| ()),
            Signal::Delivered { attempt } => {
                self.progress(attempt, AttemptState::Delivered, |it| {
                    it.may_have_arrived = true;
                    it.delivered_at = Some(now);
                })
            }
            Signal::Lost { attempt } => self.lost(now, attempt),
            Signal::Alerting { attempt, sip_status } => {
                self.progress(attempt, AttemptState::Ringing, |a| {
                    a.sip_status = sip_status.or(a.sip_status);
                    a.ringing_at = Some(now);
                })
            }
            Signal::Engaged { attempt, sip_status } => {
                self.progress(attempt, AttemptState::Answered, |a| {
                    a.sip_status = sip_status.or(a.sip_status);
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
            Signal::Proven { attempt, press } => self.proven(attempt, press),
            Signal::Labelled { attempt, label } => self.labelled(attempt, label),
            Signal::Ended { attempt, cause } => self.ended(now, attempt, cause),
            Signal::Guess(code) => self.guessed(now, &code),
            Signal::Replied(reply) => self.replied(now, &reply),
            Signal::Resend(resend) => self.resent(now, resend),
            Signal::Lapsed => self.lapsed(now),
            Signal::Withdrawn(by) => self.withdrawn(now, by),
        }
    }

    /// When something must happen by itself, and what. `None` once settled.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, Timer)> {
        if self.verdict().is_some() {
            return None;
        }
        // A text may be answered as long as the question stands, and what is not sent ends with it.
        let call = self.running().filter(|it| it.channel == Channel::Voice && !self.withheld);
        let attempt = call.map(|call| self.given_up_at(call));
        Some(match attempt {
            Some(at) if at < self.expires_at => (at, Timer::Attempt),
            Some(_) | None => (self.expires_at, Timer::Expiry),
        })
    }

    /// When a call of it is given up, whatever is heard of it.
    #[must_use]
    pub fn given_up_at(&self, call: &Attempt) -> Timestamp {
        let extension = self.request.extension.as_ref().map_or(Duration::ZERO, |_| EXTENSION_LIMIT);
        call.started_at + ATTEMPT_LIMIT + extension
    }

    /// How it ended, once it has.
    #[must_use]
    pub const fn verdict(&self) -> Option<&Verdict> {
        match &self.phase {
            Phase::Attempting { .. } | Phase::Waiting { .. } => None,
            Phase::Settled { verdict, .. } => Some(verdict),
        }
    }

    /// When it ended, once it has.
    #[must_use]
    pub const fn settled_at(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Attempting { .. } | Phase::Waiting { .. } => None,
            Phase::Settled { at, .. } => Some(*at),
        }
    }

    /// How the person is being reached now, or was last.
    #[must_use]
    pub fn way(&self) -> Way {
        let last = self.attempts.last();
        last.map_or(self.request.way, |last| Way { channel: last.channel, mode: last.mode })
    }

    /// What an approval proves; before there is one, what it would.
    #[must_use]
    pub fn assurance(&self) -> Assurance {
        if let Some(Verdict::Approved(evidence)) = self.verdict() {
            return evidence.assurance();
        }
        let pin = self.secret.as_ref().is_some_and(|secret| secret.pin.is_some());
        match self.way().mode {
            Mode::Reply if pin => Assurance::TransferredSecretAndKnowledge,
            mode @ (Mode::Confirm | Mode::Pin | Mode::Match | Mode::Code | Mode::Reply) => {
                mode.assurance()
            }
        }
    }

    /// Whether a code may be typed: one was sent for that.
    #[must_use]
    pub fn takes_codes(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.mode == Mode::Code)
    }

    /// How many more attempts may be asked for.
    #[must_use]
    pub const fn sends_left(&self) -> u8 {
        SENDS.saturating_sub(self.sends)
    }

    /// When the next attempt may be asked for; `None` when none may.
    #[must_use]
    pub fn next_send_at(&self) -> Option<Timestamp> {
        let gap = GAPS.get(usize::from(self.sends.checked_sub(1)?))?;
        self.verdict().is_none().then(|| self.sent_at + *gap)
    }

    /// The API's word for how it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.verdict().map_or(Status::Pending, Verdict::status)
    }

    /// Whether the plan has another step behind the one that is being tried.
    #[must_use]
    pub fn has_another_way(&self) -> bool {
        match self.phase {
            Phase::Attempting { step } => self.route.step(step + 1).is_some(),
            Phase::Waiting { .. } | Phase::Settled { .. } => false,
        }
    }

    /// The attempt that is not over, if one is.
    #[must_use]
    pub fn running(&self) -> Option<&Attempt> {
        match self.phase {
            Phase::Attempting { .. } => self.attempts.last(),
            Phase::Waiting { .. } | Phase::Settled { .. } => None,
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
        let attempt = self.attempts.last().map_or(AttemptNo::FIRST, |last| last.no.next());
        let effect = match way.channel {
            Channel::Voice => Effect::Dial { attempt },
            Channel::Sms => Effect::Send { attempt },
        };
        self.attempts.push(Attempt::new(attempt, way, now));
        self.phase = Phase::Attempting { step };
        self.moved(vec![effect])
    }

    /// Another attempt, because the person wants one. Whatever runs gives way to it: at most one
    /// attempt is live.
    fn resent(mut self, now: Timestamp, Resend { steps, secret, withheld }: Resend) -> Step {
        match self.next_send_at() {
            None => return self.ignored(Because::NoSendsLeft),
            Some(at) if now < at => return self.ignored(Because::TooSoon),
            Some(_) => {}
        }
        let mut first = Vec::new();
        let running = self.running().map(|running| running.no);
        if let (Some(attempt), Some(last)) = (running, self.attempts.last_mut()) {
            if last.channel == Channel::Voice {
                first.push(Effect::HangUp { attempt, farewell: Farewell::Silent });
            }
            last.supersede(now);
        }
        self.secret = secret.or(self.secret);
        self.withheld |= withheld;
        self.sends = self.sends.saturating_add(1);
        self.sent_at = now;
        let step = self.route.extend(steps);
        match self.attempt(now, step) {
            Step::Moved { next, effects } => {
                first.extend(effects);
                Step::Moved { next, effects: first }
            }
            ignored @ Step::Ignored { .. } => ignored,
        }
    }

    /// Nobody can tell whether the carrier carried the attempt out. To try another carrier might
    /// put the same code on the phone twice; to reach the person another way does not.
    fn lost(mut self, now: Timestamp, no: AttemptNo) -> Step {
        let Phase::Attempting { step } = self.phase else {
            return self.ignored(Because::Late);
        };
        let Some(running) = self.attempts.last_mut().filter(|running| running.no == no) else {
            return self.ignored(Because::Late);
        };
        if running.state != AttemptState::Queued {
            // The carrier has told of it meanwhile.
            return self.ignored(Because::Late);
        }
        let why = "the carrier's answer was lost, so nobody can tell whether it was carried out";
        running.end(now, &Cause::because(Reason::CarrierError, why));
        running.may_have_arrived = true;
        let channel = running.channel;
        let elsewhere = self
            .route
            .next_stage(step)
            .filter(|&next| self.route.step(next).is_some_and(|next| next.channel != channel));
        if let Some(next) = elsewhere {
            return self.attempt(now, next);
        }
        self.phase = Phase::Waiting { step };
        self.moved(Vec::new())
    }

    /// The name of the call. News of the call itself may have been faster, so a name that is
    /// missing is taken at any stage.
    fn placed(
        mut self,
        now: Timestamp,
        no: AttemptNo,
        handle: String,
        node: Option<String>,
    ) -> Step {
        match self.attempts.last_mut() {
            Some(running) if running.no == no && running.call_id.is_none() => {
                running.state = running.state.max(match running.channel {
                    Channel::Voice => AttemptState::Dialing,
                    Channel::Sms => AttemptState::Sent,
                });
                running.call_id = Some(handle);
                running.placed_at = Some(now);
                running.node = node;
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

    /// More is known of who answered the running attempt.
    fn labelled(mut self, no: AttemptNo, label: Label) -> Step {
        match self.attempts.last_mut().filter(|running| running.no == no) {
            Some(running) if running.label.as_ref() == Some(&label) => {
                self.ignored(Because::Duplicate)
            }
            Some(running) if running.state != AttemptState::Ended => {
                running.label = Some(label);
                self.moved(Vec::new())
            }
            Some(_) | None => self.ignored(Because::Late),
        }
    }

    fn ended(mut self, now: Timestamp, no: AttemptNo, cause: Cause) -> Step {
        let Phase::Attempting { step } = self.phase else {
            return self.ignored(Because::AlreadySettled);
        };
        let Some(running) = self.attempts.last_mut().filter(|running| running.no == no) else {
            return self.ignored(Because::Late);
        };
        let channel = running.channel;
        if running.state == AttemptState::Delivered {
            // A text that has arrived stays so, whatever a later receipt says; and a code that was
            // told is in the person's ear, however the call ended.
            return match channel {
                Channel::Sms => self.ignored(Because::Late),
                Channel::Voice => {
                    running.supersede(now);
                    self.phase = Phase::Waiting { step };
                    self.moved(Vec::new())
                }
            };
        }
        let answered = channel == Channel::Voice && running.state >= AttemptState::Answered;
        // A phone that rang until a server gave up would only ring again.
        let rang_out = cause.sip_status == Some(408) && running.state == AttemptState::Ringing;
        running.end(now, &cause);
        // A carrier's fault before anyone answered is the next carrier's chance, and so is its lack of
        // room.
        let another = self.route.step(step + 1).is_some();
        let may_differ = cause.blame() == Blame::Carrier || cause.reason == Reason::Congested;
        if may_differ && !rang_out && !answered && another {
            return self.attempt(now, step + 1);
        }
        if let Some(next) = self.route.next_stage(step).filter(|_| moves_on(cause.reason, channel))
        {
            return self.attempt(now, next);
        }
        if self.is_answerable() {
            self.phase = Phase::Waiting { step };
            return self.moved(Vec::new());
        }
        if cause.reason == Reason::NoInput {
            return self.settled(now, Verdict::Expired(Expiry::NoInput), Farewell::NoInput);
        }
        self.settled(now, Verdict::Failed(cause), Farewell::Silent)
    }

    /// Whether a code that an earlier attempt brought may still come back: one that fails must not
    /// take it out of the person's hand.
    fn is_answerable(&self) -> bool {
        self.attempts.iter().any(|it| it.mode.has_code() && it.may_have_arrived)
    }

    fn lapsed(mut self, now: Timestamp) -> Step {
        match (self.deadline(), &self.phase) {
            (Some((at, Timer::Attempt)), &Phase::Attempting { step }) if now >= at => {
                // Should the call still be there after all, it is hung up.
                let cause = Cause::because(Reason::NodeLost, "the call was lost track of");
                if !self.is_answerable() {
                    return self.settled(now, Verdict::Failed(cause), Farewell::Silent);
                }
                let Some(running) = self.attempts.last_mut() else {
                    return self.ignored(Because::Unrelated);
                };
                running.end(now, &cause);
                let hang_up = Effect::HangUp { attempt: running.no, farewell: Farewell::Silent };
                self.phase = Phase::Waiting { step };
                self.moved(vec![hang_up])
            }
            (Some((_, Timer::Attempt | Timer::Expiry)) | None, _) => {
                self.ignored(Because::Unrelated)
            }
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
            let call = last.channel == Channel::Voice;
            if call && (last.state != AttemptState::Ended || farewell != Farewell::Silent) {
                effects.push(Effect::HangUp { attempt: last.no, farewell });
            }
            if last.state != AttemptState::Ended {
                last.end(now, &Cause::plain(reason));
            }
        }
        self.phase = Phase::Settled { verdict, at: now };
        let sequence = self.version + 1;
        self.told = Some(sequence);
        effects.push(Effect::Notify { sequence });
        self.moved(effects)
    }

    /// What a verification does with a signal whose person is not reached: what the caller does is
    /// answered as ever, no code is the right one, and nobody else has anything to say.
    fn pretended(self, now: Timestamp, signal: Signal) -> Step {
        match signal {
            Signal::Guess(_) if self.takes_codes() => self.mistaken(now),
            Signal::Guess(_) => self.ignored(Because::NoCode),
            Signal::Resend(resend) => self.resent(now, resend),
            Signal::Lapsed => self.lapsed(now),
            Signal::Withdrawn(by) => self.withdrawn(now, by),
            Signal::Placed { .. }
            | Signal::Sent { .. }
            | Signal::Delivered { .. }
            | Signal::Lost { .. }
            | Signal::Alerting { .. }
            | Signal::Engaged { .. }
            | Signal::Prompting { .. }
            | Signal::Listening { .. }
            | Signal::Heard { .. }
            | Signal::Proven { .. }
            | Signal::Labelled { .. }
            | Signal::Ended { .. }
            | Signal::Replied(_) => self.ignored(Because::Unrelated),
        }
    }

    fn moved(mut self, mut effects: Vec<Effect>) -> Step {
        if self.withheld {
            effects.retain(|effect| matches!(effect, Effect::Notify { .. }));
        }
        self.version += 1;
        Step::Moved { next: self, effects }
    }

    const fn ignored(self, because: Because) -> Step {
        Step::Ignored { same: self, because }
    }
}

/// Whether an attempt that ended so is a reason to reach the person another way.
const fn moves_on(reason: Reason, channel: Channel) -> bool {
    match reason {
        Reason::Busy
        | Reason::NoAnswer
        | Reason::Unreachable
        | Reason::CarrierError
        | Reason::Congested
        | Reason::MediaLost
        | Reason::NodeLost
        | Reason::Undelivered
        | Reason::Voicemail
        | Reason::BadExtension
        | Reason::Fax
        | Reason::CallScreened
        | Reason::Echo
        | Reason::BudgetDenied
        | Reason::OptedOut => true,
        // Where no text arrives a call may; a number that cannot be called is none.
        Reason::InvalidNumber => matches!(channel, Channel::Sms),
        // The person was there.
        Reason::Confirmed
        | Reason::CodeMatched
        | Reason::ReplyMatched
        | Reason::FraudReported
        | Reason::Declined
        | Reason::WrongKey
        | Reason::WrongPin
        | Reason::TooManyChecks
        | Reason::NoInput
        | Reason::Rejected
        | Reason::HungUp
        | Reason::Expired
        | Reason::CanceledByCaller => false,
        // By whichever way.
        Reason::Blocked => false,
    }
}

#[cfg(test)]
mod code_tests;
#[cfg(test)]
mod tests;
