//! The words of a verification: what is learned, how it ends, what must then be done.

use serde::{Deserialize, Serialize};

use super::attempt::AttemptNo;
use crate::ambient::Timestamp;

/// Something learned, from anywhere, in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The attempt is under way; the other side calls it by this name (a Call-ID).
    Placed {
        /// Which attempt.
        attempt: AttemptNo,
        /// The Call-ID.
        handle: String,
    },
    /// The far end reports progress (a provisional response, RFC 3261 section 13.2.2.1).
    Alerting {
        /// Which attempt.
        attempt: AttemptNo,
        /// The SIP status, 101 to 199.
        sip_status: u16,
    },
    /// Somebody, or something, answered.
    Engaged {
        /// Which attempt.
        attempt: AttemptNo,
        /// The SIP status, 200 to 299.
        sip_status: u16,
    },
    /// The question is being spoken.
    Prompting {
        /// Which attempt.
        attempt: AttemptNo,
    },
    /// The question has been spoken; we listen.
    Listening {
        /// Which attempt.
        attempt: AttemptNo,
    },
    /// The person said something; made by [`Signal::heard`] alone.
    Heard {
        /// Which attempt.
        attempt: AttemptNo,
        /// What was said, with its proof.
        answer: Answer,
    },
    /// The attempt is over.
    Ended {
        /// Which attempt.
        attempt: AttemptNo,
        /// Why.
        cause: Cause,
    },
    /// A deadline of the verification has come.
    Lapsed,
    /// Somebody took the question back.
    Withdrawn(By),
}

impl Signal {
    /// What the ear heard on an attempt. The only way to an [`Evidence`], and so to an approval:
    /// it is called where keys are heard and nowhere else.
    #[must_use]
    pub const fn heard(attempt: AttemptNo, said: Said, press: Press) -> Self {
        let answer = match said {
            Said::Confirmed => Answer::Consent(Evidence { attempt, press }),
            Said::FraudReported => Answer::Fraud(press),
            Said::WrongKey => Answer::WrongKey(press),
        };
        Self::Heard { attempt, answer }
    }
}

/// What a person's key presses mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The key that was asked for.
    Confirmed,
    /// The keys that report fraud.
    FraudReported,
    /// Other keys, once too often.
    WrongKey,
}

/// An answer of the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes, with the proof.
    Consent(Evidence),
    /// "This was not me."
    Fraud(Press),
    /// Another key than the one asked for, once too often.
    WrongKey(Press),
}

/// One press of a key, as it was heard: kept as proof. The key itself is not kept; its meaning is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Press {
    /// When its first packet came.
    pub at: Timestamp,
    /// The way it came: `rfc4733`.
    pub path: String,
    /// SSRC of the stream (RFC 3550 section 3).
    pub ssrc: u32,
    /// RTP timestamp of the event (RFC 4733 section 2.2).
    pub rtp_timestamp: u32,
    /// Sequence number of the first packet that came.
    pub sequence: u16,
}

/// Proof of consent. Its fields are private: only [`Signal::heard`] makes one, or a stored record
/// gives it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    attempt: AttemptNo,
    press: Press,
}

impl Evidence {
    /// The attempt it was heard on.
    #[must_use]
    pub const fn attempt(&self) -> AttemptNo {
        self.attempt
    }

    /// The press.
    #[must_use]
    pub const fn press(&self) -> &Press {
        &self.press
    }
}

/// Who took a question back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The caller of the API.
    Caller,
}

/// How a verification ended. Approval needs [`Evidence`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The person said yes.
    Approved(Evidence),
    /// The person said no, reported fraud, or used up the tries.
    Denied(Denial),
    /// Nobody answered the question in time.
    Expired(Expiry),
    /// The person could not be asked.
    Failed(Cause),
    /// The question was taken back.
    Canceled(By),
}

/// How a person said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denial {
    /// Fraud was reported.
    FraudReported,
    /// Wrong keys.
    WrongKey,
}

/// How time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// The person was asked, and pressed nothing.
    NoInput,
    /// The verification's own deadline came.
    Deadline,
}

impl Verdict {
    /// The API's word for how it ended.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::Approved(_) => Status::Approved,
            Self::Denied(_) => Status::Denied,
            Self::Expired(_) => Status::Expired,
            Self::Failed(_) => Status::Failed,
            Self::Canceled(_) => Status::Canceled,
        }
    }

    /// The API's word for why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Approved(_) => Reason::Confirmed,
            Self::Denied(Denial::FraudReported) => Reason::FraudReported,
            Self::Denied(Denial::WrongKey) => Reason::WrongKey,
            Self::Expired(Expiry::NoInput) => Reason::NoInput,
            Self::Expired(Expiry::Deadline) => Reason::Expired,
            Self::Failed(cause) => cause.reason,
            Self::Canceled(By::Caller) => Reason::CanceledByCaller,
        }
    }
}

/// How a verification stands. It leaves `pending` exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Being asked.
    Pending,
    /// The person said yes.
    Approved,
    /// The person said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// The person could not be asked.
    Failed,
    /// Taken back.
    Canceled,
}

impl Status {
    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// Why a verification, or an attempt, ended. The words are the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The person pressed the key asked for.
    Confirmed,
    /// The person reported fraud.
    FraudReported,
    /// Wrong keys, once too often.
    WrongKey,
    /// The person was asked and pressed nothing.
    NoInput,
    /// The deadline came.
    Expired,
    /// The line is busy.
    Busy,
    /// It rang, and nobody answered.
    NoAnswer,
    /// The callee refused the call.
    Rejected,
    /// The callee hung up before answering the question.
    HungUp,
    /// The phone cannot be reached now.
    Unreachable,
    /// The network knows no such number.
    InvalidNumber,
    /// The trunk, or a network behind it, failed.
    CarrierError,
    /// No free lines, here or in the network.
    Congested,
    /// The call was up, and no media ever came.
    MediaLost,
    /// The node that carried the attempt died.
    NodeLost,
    /// Taken back by the caller.
    CanceledByCaller,
}

impl Reason {
    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::FraudReported => "fraud_reported",
            Self::WrongKey => "wrong_key",
            Self::NoInput => "no_input",
            Self::Expired => "expired",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::HungUp => "hung_up",
            Self::Unreachable => "unreachable",
            Self::InvalidNumber => "invalid_number",
            Self::CarrierError => "carrier_error",
            Self::Congested => "congested",
            Self::MediaLost => "media_lost",
            Self::NodeLost => "node_lost",
            Self::CanceledByCaller => "canceled_by_caller",
        }
    }
}

/// Whose doing an attempt's end was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The called person or their phone.
    Callee,
    /// The caller of the API.
    Caller,
    /// The trunk or a network behind it.
    Carrier,
    /// This gateway.
    Us,
    /// Nobody can tell.
    Unknown,
}

/// Why an attempt ended: data in a verdict, never an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// In the API's word.
    pub reason: Reason,
    /// The SIP status of the final response, where there was one.
    pub sip_status: Option<u16>,
    /// The Q.850 cause from a Reason header (RFC 3326), where there was one.
    pub q850: Option<u8>,
    /// For people: a sentence without numbers or secrets, where the words above do not say it all.
    pub detail: Option<String>,
}

impl Cause {
    /// A cause that no response told.
    #[must_use]
    pub const fn plain(reason: Reason) -> Self {
        Self { reason, sip_status: None, q850: None, detail: None }
    }

    /// The same, with a sentence for people.
    #[must_use]
    pub fn because(reason: Reason, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::plain(reason) }
    }

    /// What a final response of 300 to 699 means, the Q.850 cause first: gateways put the network's
    /// own word there and translate it to SIP with loss (RFC 3398 section 7.2.6).
    #[must_use]
    pub fn response(sip_status: u16, q850: Option<u8>) -> Self {
        let reason = q850.and_then(by_q850).unwrap_or_else(|| by_status(sip_status));
        Self { reason, sip_status: Some(sip_status), q850, detail: None }
    }

    /// Whose doing it was.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self.reason {
            Reason::Busy
            | Reason::NoAnswer
            | Reason::Rejected
            | Reason::HungUp
            | Reason::NoInput
            | Reason::WrongKey
            | Reason::FraudReported
            | Reason::Confirmed => Blame::Callee,
            Reason::InvalidNumber | Reason::CanceledByCaller => Blame::Caller,
            Reason::CarrierError | Reason::MediaLost => Blame::Carrier,
            // With a status it is the network that has no free line, without one it is us.
            Reason::Congested if self.sip_status.is_some() => Blame::Carrier,
            Reason::NodeLost | Reason::Congested => Blame::Us,
            Reason::Unreachable | Reason::Expired => Blame::Unknown,
        }
    }
}

/// ITU-T Q.850 table 1, the causes that say more than the status does.
const fn by_q850(cause: u8) -> Option<Reason> {
    match cause {
        1 | 22 | 28 => Some(Reason::InvalidNumber),
        17 => Some(Reason::Busy),
        18 | 19 => Some(Reason::NoAnswer),
        20 | 27 => Some(Reason::Unreachable),
        21 => Some(Reason::Rejected),
        34 | 42 | 44 => Some(Reason::Congested),
        2 | 3 | 38 | 41 | 102 => Some(Reason::CarrierError),
        _ => None,
    }
}

/// RFC 3261 section 21, read as the caller of a phone reads it.
const fn by_status(status: u16) -> Reason {
    match status {
        486 | 600 => Reason::Busy,
        // 607 Unwanted (RFC 8197), 608 Rejected (RFC 8688).
        603 | 607 | 608 => Reason::Rejected,
        404 | 410 | 484 | 604 => Reason::InvalidNumber,
        408 | 480 => Reason::Unreachable,
        // 487 without a CANCEL of ours: the network gave up ringing.
        487 => Reason::NoAnswer,
        _ => Reason::CarrierError,
    }
}

/// Something that must now be done. It leaves with the commit that caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Place the call of this attempt. At most once: a second ring is worse than none.
    Dial {
        /// Which attempt.
        attempt: AttemptNo,
    },
    /// End the call of this attempt, with these words.
    HangUp {
        /// Which attempt.
        attempt: AttemptNo,
        /// What to say first.
        farewell: Farewell,
    },
    /// Tell the caller. At least once, with the same event id each time.
    Notify {
        /// The verification's version that it tells of.
        sequence: u64,
    },
}

impl Effect {
    /// Its name within the verification, the same whenever it is computed.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Dial { attempt } => format!("dial-{attempt}"),
            Self::HangUp { attempt, .. } => format!("hangup-{attempt}"),
            Self::Notify { sequence } => format!("notify-{sequence}"),
        }
    }
}

/// What a call says before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Farewell {
    /// Thanks for the confirmation.
    Thanks,
    /// Thanks for the report.
    Reported,
    /// It was not confirmed.
    Denied,
    /// Nothing was heard.
    NoInput,
    /// Nothing at all: hang up, or stop ringing.
    Silent,
}

/// Why a signal changed nothing. An answer, not an error: late and repeated callbacks are normal
/// telephony.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// It was known already.
    Duplicate,
    /// It belongs to an earlier stage, or to an attempt that is over.
    Late,
    /// It belongs to no attempt of this verification, or no deadline has come.
    Unrelated,
    /// The verdict stands.
    AlreadySettled,
}

impl Because {
    /// Its word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Late => "late",
            Self::Unrelated => "unrelated",
            Self::AlreadySettled => "already_settled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_responses_are_read_as_a_caller_reads_them() {
        for (status, reason) in [
            (486, Reason::Busy),
            (600, Reason::Busy),
            (603, Reason::Rejected),
            (404, Reason::InvalidNumber),
            (480, Reason::Unreachable),
            (500, Reason::CarrierError),
            (503, Reason::CarrierError),
            (302, Reason::CarrierError),
            (488, Reason::CarrierError),
        ] {
            assert_eq!(Cause::response(status, None).reason, reason, "{status}");
        }
    }

    #[test]
    fn the_networks_own_word_goes_first() {
        assert_eq!(Cause::response(500, Some(17)).reason, Reason::Busy);
        assert_eq!(Cause::response(480, Some(19)).reason, Reason::NoAnswer);
        assert_eq!(Cause::response(503, Some(34)).reason, Reason::Congested);
        assert_eq!(Cause::response(486, Some(16)).reason, Reason::Busy);
        assert_eq!(Cause::response(503, Some(34)).blame(), Blame::Carrier);
        assert_eq!(Cause::plain(Reason::Congested).blame(), Blame::Us);
    }
}
