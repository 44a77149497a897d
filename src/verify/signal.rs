//! The words of a verification: what is learned, how it ends, what must then be done.

use serde::de::{self, IntoDeserializer as _, value::StrDeserializer};
use serde::{Deserialize, Serialize};

use super::attempt::{AttemptNo, Label};
pub use super::cause::{Blame, Cause};
use super::code::{Digest, Secret};
use super::request::{Assurance, Mode};
use super::route::RouteStep;
use crate::ambient::Timestamp;

/// Something learned, from anywhere, in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The attempt is under way; the other side calls it by this name (a Call-ID, a message id).
    Placed {
        /// Which attempt.
        attempt: AttemptNo,
        /// The other side's name.
        handle: String,
        /// The node that has the call, where it is one of our own.
        node: Option<String>,
    },
    /// The text has left the carrier.
    Sent {
        /// Which attempt.
        attempt: AttemptNo,
    },
    /// The text is on the phone, or the code is being told.
    Delivered {
        /// Which attempt.
        attempt: AttemptNo,
    },
    /// The carrier's answer was lost: whether it carried the attempt out is unknown.
    Lost {
        /// Which attempt.
        attempt: AttemptNo,
    },
    /// The far end reports progress (a provisional response, RFC 3261 section 13.2.2.1).
    Alerting {
        /// Which attempt.
        attempt: AttemptNo,
        /// The SIP status, 101 to 199, where it was SIP.
        sip_status: Option<u16>,
    },
    /// Somebody, or something, answered.
    Engaged {
        /// Which attempt.
        attempt: AttemptNo,
        /// The SIP status, 200 to 299, where it was SIP.
        sip_status: Option<u16>,
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
    /// All that is known of the press that decided, told when no other way can tell of it any more.
    Proven {
        /// Which attempt.
        attempt: AttemptNo,
        /// The press, with all its evidence.
        press: Press,
    },
    /// More is known of who answered.
    Labelled {
        /// Which attempt.
        attempt: AttemptNo,
        /// Who.
        label: Label,
    },
    /// The attempt is over.
    Ended {
        /// Which attempt.
        attempt: AttemptNo,
        /// Why.
        cause: Cause,
    },
    /// Somebody typed this code into the page.
    Guess(Digest),
    /// The person answered the text.
    Replied(Reply),
    /// The person wants another attempt.
    Resend(Resend),
    /// A deadline of the verification has come.
    Lapsed,
    /// Somebody took the question back.
    Withdrawn(By),
}

impl Signal {
    /// What the ear heard on an attempt. The only way to an [`Evidence`], and so to an approval:
    /// it is called where keys are heard and nowhere else.
    #[must_use]
    pub fn heard(attempt: AttemptNo, said: Said, press: Press) -> Self {
        let consent =
            |press, mode| Answer::Consent(Evidence(Proof::Press { attempt, press, mode }));
        let answer = match said {
            Said::Confirmed => consent(press, Mode::Confirm),
            Said::PinEntered => consent(press, Mode::Pin),
            Said::DigitsEntered => consent(press, Mode::Match),
            Said::FraudReported => Answer::Fraud(press),
            Said::Declined => Answer::Declined(press),
            Said::WrongKey => Answer::WrongKey(press),
            Said::WrongPin => Answer::WrongPin(press),
        };
        Self::Heard { attempt, answer }
    }
}

/// Another attempt, as the gateway has planned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resend {
    /// The carriers to try; never empty.
    pub steps: Vec<RouteStep>,
    /// What must come back from now on.
    pub secret: Option<Secret>,
    /// Whether the person has meanwhile become one who is not reached, and the caller is not to learn it.
    pub withheld: bool,
}

/// An answer to a text, from the phone it was sent to, at the number it was sent from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The carrier's name for it.
    pub message: String,
    /// What it says.
    pub says: Says,
}

/// What a reply says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// These digits: a code, and perhaps a PIN behind it.
    Code {
        /// The first of them, as many as the code has.
        code: Digest,
        /// The rest.
        pin: Option<Digest>,
    },
    /// Yes, where the tenant lets a word stand for the code and no other question is open.
    Yes,
    /// No.
    No,
    /// "This was not me."
    Fraud,
    /// No more texts.
    Stop,
}

/// What a person's key presses mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The key that was asked for.
    Confirmed,
    /// The person's own PIN.
    PinEntered,
    /// The digits that the page shows.
    DigitsEntered,
    /// The keys that report fraud.
    FraudReported,
    /// The same, and not the key that confirms the report.
    Declined,
    /// Other keys, once too often, or other digits than those of the page.
    WrongKey,
    /// Other PINs, once too often.
    WrongPin,
}

/// An answer of the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes, with the proof.
    Consent(Evidence),
    /// "This was not me."
    Fraud(Press),
    /// The same, and no report of it.
    Declined(Press),
    /// Another key than the one asked for, once too often, or other digits than those of the page.
    WrongKey(Press),
    /// Another PIN, once too often.
    WrongPin(Press),
}

/// One press of a key, as it was heard: kept as proof. The key itself is not kept; its meaning is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Press {
    /// When it was heard.
    pub at: Timestamp,
    /// The ways it came: `rfc4733`, `inband`, `info`; or `carrier`.
    pub paths: Vec<String>,
    /// How long the key was down, in milliseconds, if that was told.
    pub held_ms: Option<u32>,
    /// Its level in dBm0, if that is known.
    pub level_dbm0: Option<i8>,
    /// Where it was in the media stream, where it was a telephone-event in ours.
    pub rtp: Option<RtpMark>,
    /// The carrier's name for the event, where a carrier heard it.
    pub event: Option<String>,
}

impl Press {
    /// A press of which nothing is known but when and how it was heard.
    #[must_use]
    pub fn by(path: &str, at: Timestamp) -> Self {
        let paths = vec![path.to_owned()];
        Self { at, paths, held_ms: None, level_dbm0: None, rtp: None, event: None }
    }
}

/// A telephone-event in a media stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpMark {
    /// SSRC of the stream (RFC 3550 section 3).
    pub ssrc: u32,
    /// RTP timestamp of the event (RFC 4733 section 2.2).
    pub timestamp: u32,
    /// Sequence numbers of the first packet that came, and of the last.
    pub sequence: [u16; 2],
    /// How many packets came.
    pub packets: u16,
}

/// Proof of consent. It cannot be made but here: of a press by [`Signal::heard`], of a code by its
/// comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence(Proof);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Proof {
    /// A key was pressed, which answers what this mode asks.
    Press {
        attempt: AttemptNo,
        press: Press,
        #[serde(default = "confirm")]
        mode: Mode,
    },
    /// The code was typed.
    Code { at: Timestamp },
    /// The code was sent back, with the PIN where one was asked for.
    Reply { at: Timestamp, message: String, pin: bool },
    /// A word that stands for the code was sent back.
    Yes { at: Timestamp, message: String },
}

/// What a press answered before there were other questions.
const fn confirm() -> Mode {
    Mode::Confirm
}

impl Evidence {
    /// Of a code that was typed into the page: only if it is the one that was sent.
    pub(super) fn typed(at: Timestamp, secret: &Secret, code: &Digest) -> Option<Self> {
        (secret.code == *code).then_some(Self(Proof::Code { at }))
    }

    /// Of a code that was sent back: only if it is the one that was sent, and the PIN is right
    /// where one is asked for.
    pub(super) fn replied(
        at: Timestamp,
        secret: &Secret,
        message: &str,
        code: &Digest,
        pin: Option<&Digest>,
    ) -> Option<Self> {
        // Both are compared, whatever the first says.
        let (code, pin_fits) = (secret.code == *code, secret.pin.as_ref() == pin);
        let message = message.to_owned();
        (code && pin_fits).then_some(Self(Proof::Reply { at, message, pin: pin.is_some() }))
    }

    /// Of a word that stands for the code, where the request lets it.
    pub(super) fn yes(at: Timestamp, message: &str) -> Self {
        Self(Proof::Yes { at, message: message.to_owned() })
    }

    /// The attempt on which a key was heard; `None` for codes, which outlive the attempt that
    /// brought them.
    #[must_use]
    pub const fn attempt(&self) -> Option<AttemptNo> {
        match &self.0 {
            Proof::Press { attempt, .. } => Some(*attempt),
            Proof::Code { .. } | Proof::Reply { .. } | Proof::Yes { .. } => None,
        }
    }

    /// What the press answers, where it was one.
    #[must_use]
    pub const fn mode(&self) -> Option<Mode> {
        match &self.0 {
            Proof::Press { mode, .. } => Some(*mode),
            Proof::Code { .. } | Proof::Reply { .. } | Proof::Yes { .. } => None,
        }
    }

    /// The press, where it was one.
    #[must_use]
    pub const fn press(&self) -> Option<&Press> {
        match &self.0 {
            Proof::Press { press, .. } => Some(press),
            Proof::Code { .. } | Proof::Reply { .. } | Proof::Yes { .. } => None,
        }
    }

    /// What it rests on, in the words of a signed verdict.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match &self.0 {
            Proof::Press { .. } => "press",
            Proof::Code { .. } => "code",
            Proof::Reply { .. } => "reply",
            Proof::Yes { .. } => "yes",
        }
    }

    /// Whether a code was typed.
    #[must_use]
    pub const fn is_code(&self) -> bool {
        matches!(self.0, Proof::Code { .. })
    }

    /// What it proves.
    #[must_use]
    pub const fn assurance(&self) -> Assurance {
        match &self.0 {
            Proof::Press { mode, .. } => mode.assurance(),
            Proof::Code { .. } | Proof::Reply { pin: false, .. } => Assurance::TransferredSecret,
            Proof::Reply { pin: true, .. } => Assurance::TransferredSecretAndKnowledge,
            // Whoever holds the phone can write it.
            Proof::Yes { .. } => Assurance::Possession,
        }
    }

    /// The API's word for it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match &self.0 {
            Proof::Press { .. } => Reason::Confirmed,
            Proof::Code { .. } => Reason::CodeMatched,
            Proof::Reply { .. } | Proof::Yes { .. } => Reason::ReplyMatched,
        }
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
    /// Wrong PINs.
    WrongPin,
    /// "No."
    Declined,
    /// Wrong codes.
    TooManyChecks,
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
            Self::Approved(evidence) => evidence.reason(),
            Self::Denied(Denial::FraudReported) => Reason::FraudReported,
            Self::Denied(Denial::WrongKey) => Reason::WrongKey,
            Self::Denied(Denial::WrongPin) => Reason::WrongPin,
            Self::Denied(Denial::Declined) => Reason::Declined,
            Self::Denied(Denial::TooManyChecks) => Reason::TooManyChecks,
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
    /// Reads a word of the API.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let all = [
            Self::Pending,
            Self::Approved,
            Self::Denied,
            Self::Expired,
            Self::Failed,
            Self::Canceled,
        ];
        all.into_iter().find(|status| status.as_str() == word)
    }

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
    /// Wrong keys, once too often, or other digits than those of the page.
    WrongKey,
    /// Wrong PINs, once too often.
    WrongPin,
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
    /// The number answered, and knows no such extension.
    BadExtension,
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
    /// The person typed the code.
    CodeMatched,
    /// The person sent the code, or a word that stands for it, from the phone.
    ReplyMatched,
    /// The person wrote that it was not them, or simply no.
    Declined,
    /// Wrong codes, once too often.
    TooManyChecks,
    /// The text did not reach the phone.
    Undelivered,
    /// A machine took the call.
    Voicemail,
    /// A fax machine took the call.
    Fax,
    /// A service that screens calls took the call.
    CallScreened,
    /// The line sends back what it is sent.
    Echo,
    /// The person wants no texts from this sender.
    OptedOut,
    /// There was no money for it.
    BudgetDenied,
    /// The number was blocked meanwhile.
    Blocked,
}

impl Reason {
    /// Reads a word of the API.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        // What is stored is the API's word.
        let word: StrDeserializer<'_, de::value::Error> = word.into_deserializer();
        Self::deserialize(word).ok()
    }

    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::FraudReported => "fraud_reported",
            Self::WrongKey => "wrong_key",
            Self::WrongPin => "wrong_pin",
            Self::NoInput => "no_input",
            Self::Expired => "expired",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::HungUp => "hung_up",
            Self::Unreachable => "unreachable",
            Self::InvalidNumber => "invalid_number",
            Self::BadExtension => "bad_extension",
            Self::CarrierError => "carrier_error",
            Self::Congested => "congested",
            Self::MediaLost => "media_lost",
            Self::NodeLost => "node_lost",
            Self::CanceledByCaller => "canceled_by_caller",
            Self::CodeMatched => "code_matched",
            Self::ReplyMatched => "reply_matched",
            Self::Declined => "declined",
            Self::TooManyChecks => "too_many_checks",
            Self::Undelivered => "undelivered",
            Self::Voicemail => "voicemail",
            Self::Fax => "fax",
            Self::CallScreened => "call_screened",
            Self::Echo => "echo",
            Self::OptedOut => "opted_out",
            Self::BudgetDenied => "budget_denied",
            Self::Blocked => "blocked",
        }
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
    /// Send the text of this attempt. At most once: a second text is a second code to its reader.
    Send {
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
            Self::Send { attempt } => format!("send-{attempt}"),
            Self::HangUp { attempt, .. } => format!("hangup-{attempt}"),
            Self::Notify { sequence } => format!("notify-{sequence}"),
        }
    }

    /// Whether it begins this attempt.
    #[must_use]
    pub fn begins(&self, no: AttemptNo) -> bool {
        match self {
            Self::Dial { attempt } | Self::Send { attempt } => *attempt == no,
            Self::HangUp { .. } | Self::Notify { .. } => false,
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
    /// Those were not the digits of the page.
    Mismatch,
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
    /// No code was sent that could be typed.
    NoCode,
    /// The last attempt is too young for another.
    TooSoon,
    /// There were as many attempts as there may be.
    NoSendsLeft,
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
            Self::NoCode => "no_code",
            Self::TooSoon => "too_soon",
            Self::NoSendsLeft => "no_sends_left",
        }
    }
}
