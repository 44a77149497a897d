//! One try of one step of the plan.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::request::{Channel, Mode};
use super::route::RouteStep;
use super::signal::{Cause, Press, Reason};
use crate::ambient::Timestamp;

/// The number of an attempt within its verification; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptNo(u32);

impl AttemptNo {
    /// The first attempt.
    pub const FIRST: Self = Self(1);

    /// The attempt of this number; there is none of number 0.
    #[must_use]
    pub const fn numbered(number: u32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for AttemptNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How far an attempt has come. It only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// Waiting to be placed.
    Queued,
    /// Placed; nothing heard yet.
    Dialing,
    /// The far end reports progress.
    Ringing,
    /// Answered.
    Answered,
    /// The question is being spoken.
    Prompting,
    /// We listen.
    Listening,
    /// The text is on its way.
    Sent,
    /// The text is on the phone, or the code is being told.
    Delivered,
    /// Over.
    Ended,
}

impl AttemptState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Dialing,
        Self::Ringing,
        Self::Answered,
        Self::Prompting,
        Self::Listening,
        Self::Sent,
        Self::Delivered,
        Self::Ended,
    ];

    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Prompting => "prompting",
            Self::Listening => "listening",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Ended => "ended",
        }
    }
}

/// One try of one step. At most one of a verification is not [`Ended`](AttemptState::Ended).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which.
    pub no: AttemptNo,
    /// How the person is reached.
    pub channel: Channel,
    /// What is asked of them.
    pub mode: Mode,
    /// The trunk's or the carrier's name.
    pub route: String,
    /// How far it has come.
    pub state: AttemptState,
    /// Why it ended.
    pub reason: Option<Reason>,
    /// The last SIP status that said something new.
    pub sip_status: Option<u16>,
    /// The Q.850 cause the network gave.
    pub q850: Option<u8>,
    /// A sentence for people, where the words above do not say it all.
    pub detail: Option<String>,
    /// The other side's name for it: the Call-ID, or the carrier's name of the call or message.
    pub call_id: Option<String>,
    /// The node that has the call, where it is one of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Whether its code may have reached the person although it ended: the carrier's answer was
    /// lost, another attempt took its place, or it was told on a call.
    pub may_have_arrived: bool,
    /// The press that decided.
    pub press: Option<Press>,
    /// Who answered, as far as was heard.
    #[serde(default)]
    pub label: Option<Label>,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When the other side had it: our INVITE was sent, or the carrier took the order.
    #[serde(default)]
    pub placed_at: Option<Timestamp>,
    /// When the phone was first heard to ring, or the network to work at it: the first 18x.
    #[serde(default)]
    pub ringing_at: Option<Timestamp>,
    /// When the text was on the phone, or the code began to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Timestamp>,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Who answered a call, as far as was heard: it decides nothing that a key decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Who: `human`, `machine`, and the like.
    pub is: String,
    /// How sure that is, in percent.
    pub percent: u8,
    /// What showed it.
    pub cue: String,
}

/// Whether the network did its part, so that what happened then was the called side's doing (the network
/// effectiveness ratio of ITU-T E.425): of a call that was answered or rang, and ended so.
#[must_use]
pub const fn reached(answered: bool, rang: bool, cause: Option<Reason>) -> bool {
    let by_callee = matches!(cause, Some(Reason::Busy | Reason::NoAnswer | Reason::Rejected));
    let taken_back = matches!(cause, Some(Reason::CanceledByCaller | Reason::Expired));
    answered || by_callee || (rang && taken_back)
}

impl Attempt {
    /// A new attempt, waiting to be placed.
    #[must_use]
    pub fn new(no: AttemptNo, step: &RouteStep, now: Timestamp) -> Self {
        Self {
            no,
            channel: step.channel,
            mode: step.mode,
            route: step.via.clone(),
            state: AttemptState::Queued,
            reason: None,
            sip_status: None,
            q850: None,
            detail: None,
            call_id: None,
            node: None,
            may_have_arrived: false,
            press: None,
            label: None,
            started_at: now,
            placed_at: None,
            ringing_at: None,
            delivered_at: None,
            answered_at: None,
            ended_at: None,
        }
    }

    /// Whether the other side had it: a seizure, of a call.
    #[must_use]
    pub const fn is_placed(&self) -> bool {
        self.placed_at.is_some() || self.answered_at.is_some()
    }

    /// Whether it came as far as the called phone.
    #[must_use]
    pub const fn has_reached(&self) -> bool {
        reached(self.answered_at.is_some(), self.ringing_at.is_some(), self.reason)
    }

    /// Why it ended, where that is known.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        let (sip_status, q850, detail) = (self.sip_status, self.q850, self.detail.clone());
        Some(Cause { reason: self.reason?, sip_status, q850, detail })
    }

    /// Closes it because another one takes its place, or because it has done its part: nothing went
    /// wrong.
    pub fn supersede(&mut self, now: Timestamp) {
        self.may_have_arrived |= self.channel == Channel::Sms;
        self.state = AttemptState::Ended;
        self.ended_at = Some(now);
    }

    /// Closes it, with what is known of why.
    pub fn end(&mut self, now: Timestamp, cause: &Cause) {
        self.state = AttemptState::Ended;
        self.ended_at = Some(now);
        self.reason = Some(cause.reason);
        self.sip_status = cause.sip_status.or(self.sip_status);
        self.q850 = cause.q850.or(self.q850);
        self.detail.clone_from(&cause.detail);
    }
}
