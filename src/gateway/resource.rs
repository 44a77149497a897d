//! A verification as the caller sees it: the body of every answer and of every event.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

use crate::ambient::Timestamp;
use crate::verify::Verification;
use crate::verify::attempt::{Attempt, AttemptState};
use crate::verify::request::{Assurance, Channel, Mode};
use crate::verify::signal::{Press, Reason, Status, Verdict};

/// One question about one phone, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Verification)]
pub struct Resource {
    /// Its name: `vf_` and 26 characters that sort by time of birth.
    #[schema(example = "vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE")]
    pub id: String,
    /// Counts the changes, from 1. Give it as `since` to be told of the next one.
    #[schema(minimum = 1, example = 4)]
    pub version: u64,
    /// How it stands. It leaves `pending` exactly once.
    #[schema(schema_with = status_words)]
    pub status: &'static str,
    /// Why it ended; null while it is pending. More words may be added.
    #[schema(required, schema_with = reason_words)]
    pub reason: Option<&'static str>,
    /// How the person is reached.
    #[schema(schema_with = channel_words)]
    pub channel: &'static str,
    /// What is asked of the person.
    #[schema(schema_with = mode_words)]
    pub mode: &'static str,
    /// The phone, masked: its country code and last four digits.
    #[schema(example = "+1******0132")]
    pub to: String,
    /// The caller's name for the person.
    #[schema(required, example = "user-7f3")]
    pub subject: Option<String>,
    /// The caller's name for this sign-in.
    #[schema(required, example = "login-991")]
    pub reference: Option<String>,
    /// What an approval proves. `possession`: somebody held the phone; this alone is not
    /// out-of-band authentication in the sense of NIST SP 800-63B-4.
    #[schema(schema_with = assurance_words)]
    pub assurance: &'static str,
    /// The digits shown on the sign-in page; null where the mode has none.
    #[schema(required, example = json!(null))]
    pub r#match: Option<String>,
    /// When it was started.
    #[schema(format = DateTime, example = "2026-11-24T18:49:43.123Z")]
    pub created_at: String,
    /// When it expires, if nothing settles it before.
    #[schema(format = DateTime, example = "2026-11-24T18:54:43.123Z")]
    pub expires_at: String,
    /// When it left `pending`; null until then.
    #[schema(required, format = DateTime, example = json!(null))]
    pub settled_at: Option<String>,
    /// Every try so far, the first one first; at most the last is not `ended`.
    pub attempts: Vec<AttemptResource>,
    /// How many more codes may be checked; null where no code is asked for.
    #[schema(required, example = json!(null))]
    pub checks_left: Option<u32>,
    /// How many more attempts may be asked for; null where none may.
    #[schema(required, example = json!(null))]
    pub sends_left: Option<u32>,
    /// When the next attempt may be asked for; null where none may.
    #[schema(required, format = DateTime, example = json!(null))]
    pub next_send_at: Option<String>,
}

/// One try to reach the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptResource {
    /// Its number, from 1.
    #[schema(minimum = 1, example = 1)]
    pub no: u32,
    /// How the person is reached.
    #[schema(schema_with = channel_words)]
    pub channel: &'static str,
    /// The trunk's name.
    #[schema(example = "carrier-a")]
    pub route: String,
    /// How far it has come. It only moves forward.
    #[schema(schema_with = state_words)]
    pub state: &'static str,
    /// Why it ended; null until then. More words may be added.
    #[schema(required, schema_with = reason_words)]
    pub reason: Option<&'static str>,
    /// The last SIP status that said something new.
    #[schema(required, example = 180)]
    pub sip_status: Option<u16>,
    /// The Q.850 cause the network gave.
    #[schema(required, example = json!(null))]
    pub q850: Option<u8>,
    /// A sentence for people, where the words above do not say it all.
    #[schema(required, example = json!(null))]
    pub detail: Option<String>,
    /// The SIP Call-ID: what to tell the carrier when a call is in question.
    #[schema(required, example = "4k9q2m7x1c8v5b3n6z0a")]
    pub call_id: Option<String>,
    /// When it was begun.
    #[schema(format = DateTime, example = "2026-11-24T18:49:43.125Z")]
    pub started_at: String,
    /// When it was answered.
    #[schema(required, format = DateTime, example = json!(null))]
    pub answered_at: Option<String>,
    /// When it ended.
    #[schema(required, format = DateTime, example = json!(null))]
    pub ended_at: Option<String>,
    /// The press of a key that decided; left out until there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = PressResource)]
    pub press: Option<PressResource>,
}

/// One press of a key, as it was heard: kept as proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Press)]
pub struct PressResource {
    /// The way it came: `rfc4733` is a telephone-event in the media stream.
    #[schema(example = "rfc4733")]
    pub path: String,
    /// When its first packet came.
    #[schema(format = DateTime, example = "2026-11-24T18:49:58.201Z")]
    pub at: String,
    /// The stream it came in (RTP SSRC).
    #[schema(format = Int64, example = 3_735_928_559_u32)]
    pub ssrc: u32,
    /// The sequence number of its first packet.
    #[schema(example = 4711)]
    pub sequence: u16,
}

impl From<&Verification> for Resource {
    fn from(verification: &Verification) -> Self {
        let request = &verification.request;
        Self {
            id: verification.id.to_string(),
            version: verification.version,
            status: verification.status().as_str(),
            reason: verification.verdict().map(Verdict::reason).map(Reason::as_str),
            channel: request.channel.as_str(),
            mode: request.mode.as_str(),
            to: request.to.masked(),
            subject: request.subject.clone(),
            reference: request.reference.clone(),
            assurance: request.mode.assurance().as_str(),
            r#match: None,
            created_at: verification.created_at.to_rfc3339(),
            expires_at: verification.expires_at.to_rfc3339(),
            settled_at: verification.settled_at().map(Timestamp::to_rfc3339),
            attempts: verification.attempts.iter().map(AttemptResource::from).collect(),
            checks_left: None,
            sends_left: None,
            next_send_at: None,
        }
    }
}

impl From<&Attempt> for AttemptResource {
    fn from(attempt: &Attempt) -> Self {
        Self {
            no: attempt.no.get(),
            channel: attempt.channel.as_str(),
            route: attempt.route.clone(),
            state: attempt.state.as_str(),
            reason: attempt.reason.map(Reason::as_str),
            sip_status: attempt.sip_status,
            q850: attempt.q850,
            detail: attempt.detail.clone(),
            call_id: attempt.call_id.clone(),
            started_at: attempt.started_at.to_rfc3339(),
            answered_at: attempt.answered_at.map(Timestamp::to_rfc3339),
            ended_at: attempt.ended_at.map(Timestamp::to_rfc3339),
            press: attempt.press.as_ref().map(PressResource::from),
        }
    }
}

impl From<&Press> for PressResource {
    fn from(press: &Press) -> Self {
        Self {
            path: press.path.clone(),
            at: press.at.to_rfc3339(),
            ssrc: press.ssrc,
            sequence: press.sequence,
        }
    }
}

/// The body that tells of this verification.
#[must_use]
#[expect(clippy::expect_used, reason = "text, numbers and lists always have a JSON form")]
pub fn render(verification: &Verification) -> Vec<u8> {
    serde_json::to_vec(&Resource::from(verification)).expect("a resource is plain data")
}

/// Every word of a status.
const STATUSES: [Status; 6] = [
    Status::Pending,
    Status::Approved,
    Status::Denied,
    Status::Expired,
    Status::Failed,
    Status::Canceled,
];

/// Every word of a reason.
const REASONS: [Reason; 16] = [
    Reason::Confirmed,
    Reason::FraudReported,
    Reason::WrongKey,
    Reason::NoInput,
    Reason::Expired,
    Reason::Busy,
    Reason::NoAnswer,
    Reason::Rejected,
    Reason::HungUp,
    Reason::Unreachable,
    Reason::InvalidNumber,
    Reason::CarrierError,
    Reason::Congested,
    Reason::MediaLost,
    Reason::NodeLost,
    Reason::CanceledByCaller,
];

/// Every word of an attempt's state.
const STATES: [AttemptState; 7] = [
    AttemptState::Queued,
    AttemptState::Dialing,
    AttemptState::Ringing,
    AttemptState::Answered,
    AttemptState::Prompting,
    AttemptState::Listening,
    AttemptState::Ended,
];

fn status_words() -> Object {
    one_of(&STATUSES.map(Status::as_str), "How it stands. It leaves `pending` exactly once.")
}

fn reason_words() -> Object {
    let words = REASONS.map(Reason::as_str);
    let values = words.into_iter().map(Some).chain([None]);
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some("Why it ended; null until it has. More words may be added."))
        .enum_values(Some(values))
        .examples([serde_json::Value::Null])
        .build()
}

fn channel_words() -> Object {
    one_of(&[Channel::Voice.as_str()], "How the person is reached: `voice` is a phone call.")
}

fn mode_words() -> Object {
    one_of(&[Mode::Confirm.as_str()], "What is asked of the person: `confirm` is to press `#`.")
}

fn assurance_words() -> Object {
    let meaning = "What an approval proves. `possession`: somebody held the phone. This alone is \
                   not out-of-band authentication in the sense of NIST SP 800-63B-4.";
    one_of(&[Assurance::Possession.as_str()], meaning)
}

fn state_words() -> Object {
    one_of(&STATES.map(AttemptState::as_str), "How far it has come. It only moves forward.")
}

fn one_of(words: &[&'static str], description: &'static str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(words.iter().copied()))
        .examples(words.first().copied())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adding a word to one of the enums ends here: give it the next place, and add it to its list.
    #[test]
    fn every_word_is_listed() {
        for (place, status) in STATUSES.into_iter().enumerate() {
            let listed = match status {
                Status::Pending => 0,
                Status::Approved => 1,
                Status::Denied => 2,
                Status::Expired => 3,
                Status::Failed => 4,
                Status::Canceled => 5,
            };
            assert_eq!(place, listed);
        }
        for (place, reason) in REASONS.into_iter().enumerate() {
            let listed = match reason {
                Reason::Confirmed => 0,
                Reason::FraudReported => 1,
                Reason::WrongKey => 2,
                Reason::NoInput => 3,
                Reason::Expired => 4,
                Reason::Busy => 5,
                Reason::NoAnswer => 6,
                Reason::Rejected => 7,
                Reason::HungUp => 8,
                Reason::Unreachable => 9,
                Reason::InvalidNumber => 10,
                Reason::CarrierError => 11,
                Reason::Congested => 12,
                Reason::MediaLost => 13,
                Reason::NodeLost => 14,
                Reason::CanceledByCaller => 15,
            };
            assert_eq!(place, listed);
        }
        for (place, state) in STATES.into_iter().enumerate() {
            let listed = match state {
                AttemptState::Queued => 0,
                AttemptState::Dialing => 1,
                AttemptState::Ringing => 2,
                AttemptState::Answered => 3,
                AttemptState::Prompting => 4,
                AttemptState::Listening => 5,
                AttemptState::Ended => 6,
            };
            assert_eq!(place, listed);
        }
    }

    #[test]
    fn a_press_is_shown_and_its_key_is_not() {
        let press = Press {
            at: Timestamp::from_secs(1),
            path: "rfc4733".to_owned(),
            ssrc: 7,
            rtp_timestamp: 8,
            sequence: 9,
        };
        let shown = serde_json::to_value(PressResource::from(&press)).unwrap();
        let wanted = serde_json::json!({
            "path": "rfc4733", "at": "1970-01-01T00:00:01.000Z", "ssrc": 7, "sequence": 9
        });
        assert_eq!(shown, wanted);
    }
}
