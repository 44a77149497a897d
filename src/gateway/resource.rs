//! A verification as the caller sees it: the body of every answer and of every event.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

use crate::ambient::Timestamp;
use crate::verify::Verification;
use crate::verify::attempt::{Attempt, AttemptState};
use crate::verify::policy;
use crate::verify::request::{Assurance, Channel, Mode};
use crate::verify::signal::{Press, Reason, Status, Verdict};

/// One question about one phone, and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
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
    /// How the person is being reached now, or was last: a fallback or another attempt may have
    /// changed it.
    #[schema(schema_with = channel_words)]
    pub channel: &'static str,
    /// What is asked of the person.
    #[schema(schema_with = mode_words)]
    pub mode: &'static str,
    /// The phone, masked: its country code and last four digits.
    #[schema(example = "+1******0132")]
    pub to: String,
    /// What to know: `voip` is a line that anybody can rent for a day, `risk` was said by the tenant's risk
    /// service, and `risk_unknown` where that gave no answer. More words may be added.
    #[schema(example = json!([]))]
    pub flags: Vec<String>,
    /// What is dialled once that has answered, masked but for its last key; null where nothing is.
    #[schema(required, example = json!(null))]
    pub extension: Option<String>,
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
    /// The digits to show on the sign-in page, in mode `match`: the person enters them on the phone;
    /// null where no way asks for any.
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
    /// How many more codes may be compared, typed or sent back; null where no code is sent, and
    /// once it is settled.
    #[schema(required, example = 5)]
    pub checks_left: Option<u32>,
    /// How many more attempts may be asked for; null once it is settled.
    #[schema(required, example = 4)]
    pub sends_left: Option<u32>,
    /// When the next attempt may be asked for; null where none may.
    #[schema(required, format = DateTime, example = "2026-11-24T18:50:43.123Z")]
    pub next_send_at: Option<String>,
}

/// One try to reach the person.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptResource {
    /// Its number, from 1.
    #[schema(minimum = 1, example = 1)]
    pub no: u32,
    /// How the person is reached.
    #[schema(schema_with = channel_words)]
    pub channel: &'static str,
    /// The trunk's or the carrier's name.
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
    /// The SIP Call-ID, or the carrier's own name of the call or message: what to tell the carrier
    /// when it is in question.
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
    /// Who answered, as far as was heard; left out until something is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = LabelResource)]
    pub label: Option<LabelResource>,
}

/// Who answered a call, as far as was heard.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Label)]
pub struct LabelResource {
    /// `human`, `machine` (a mailbox), `silence`, `fax`, `screening` (a service that asks the caller
    /// something), `sit` (an announcement of the network), `busy` and `ringback` (such a tone after
    /// the answer), or `echo` (the line sends back what it is sent). More words may be added.
    #[schema(example = "machine")]
    pub is: String,
    /// How sure that is, from 0 to 1.
    #[schema(example = 0.95)]
    pub score: f64,
    /// What showed it. More words may be added.
    #[schema(example = "beep")]
    pub cue: String,
}

/// One press of a key, as it was heard: kept as proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Press)]
pub struct PressResource {
    /// The ways it came, all those that told of this one press: `rfc4733` is a telephone-event in
    /// the media stream, `inband` a tone in the audio, `info` a SIP INFO, `carrier` a key that a
    /// carrier heard on its call.
    #[schema(example = json!(["rfc4733", "inband"]))]
    pub path: Vec<String>,
    /// When its first sign came.
    #[schema(format = DateTime, example = "2026-11-24T18:49:58.201Z")]
    pub at: String,
    /// How long the key was down; null until it is up, and where nothing tells.
    #[schema(required, example = 120)]
    pub held_ms: Option<u32>,
    /// Its level: of a tone as measured, of a telephone-event as its sender says; null where
    /// neither came.
    #[schema(required, example = -10)]
    pub level_dbm0: Option<i8>,
    /// How many packets of the telephone-event came so far; null where none came.
    #[schema(required, example = 8)]
    pub packets: Option<u16>,
    /// The sequence numbers of the first and the last of them; null where none came.
    #[schema(required, value_type = Option<Vec<u16>>, example = json!([4711, 4718]))]
    pub sequence: Option<[u16; 2]>,
    /// The stream they came in (RTP SSRC); null where none came.
    #[schema(required, format = Int64, example = 3_735_928_559_u32)]
    pub ssrc: Option<u32>,
    /// The carrier's own name of the event; null where it was our call.
    #[schema(required, example = json!(null))]
    pub event: Option<String>,
}

impl From<&Verification> for Resource {
    fn from(verification: &Verification) -> Self {
        let (request, way) = (&verification.request, verification.way());
        let open = verification.verdict().is_none();
        let secret = verification.secret.as_ref().filter(|_| open);
        Self {
            id: verification.id.to_string(),
            version: verification.version,
            status: verification.status().as_str(),
            reason: verification.verdict().map(Verdict::reason).map(Reason::as_str),
            channel: way.channel.as_str(),
            mode: way.mode.as_str(),
            to: request.to.masked(),
            flags: {
                let of_number = policy::flags(&request.to).into_iter().map(str::to_owned);
                of_number.chain(verification.flags.iter().cloned()).collect()
            },
            extension: request.extension.as_ref().map(ToString::to_string),
            subject: request.subject.clone(),
            reference: request.reference.clone(),
            assurance: verification.assurance().as_str(),
            r#match: verification.expected.shown.as_ref().map(|it| it.expose().to_owned()),
            created_at: verification.created_at.to_rfc3339(),
            expires_at: verification.expires_at.to_rfc3339(),
            settled_at: verification.settled_at().map(Timestamp::to_rfc3339),
            attempts: verification.attempts.iter().map(AttemptResource::from).collect(),
            checks_left: secret.map(|secret| u32::from(secret.checks_left)),
            sends_left: open.then(|| u32::from(verification.sends_left())),
            next_send_at: verification.next_send_at().map(Timestamp::to_rfc3339),
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
            label: attempt.label.as_ref().map(|label| LabelResource {
                is: label.is.clone(),
                score: f64::from(label.percent) / 100.0,
                cue: label.cue.clone(),
            }),
        }
    }
}

impl From<&Press> for PressResource {
    fn from(press: &Press) -> Self {
        Self {
            path: press.paths.clone(),
            at: press.at.to_rfc3339(),
            held_ms: press.held_ms,
            level_dbm0: press.level_dbm0,
            packets: press.rtp.map(|rtp| rtp.packets),
            sequence: press.rtp.map(|rtp| rtp.sequence),
            ssrc: press.rtp.map(|rtp| rtp.ssrc),
            event: press.event.clone(),
        }
    }
}

/// The body that tells of this verification.
#[must_use]
#[expect(clippy::expect_used, reason = "text, numbers and lists always have a JSON form")]
pub fn render(verification: &Verification) -> Vec<u8> {
    serde_json::to_vec(&Resource::from(verification)).expect("a resource is plain data")
}

/// The body that tells of a code that was compared: the verification, and whether it matched.
#[must_use]
pub fn render_checked(verification: &Verification) -> Vec<u8> {
    let matched = matches!(verification.verdict(), Some(Verdict::Approved(it)) if it.is_code());
    render_with(verification, "matched", matched)
}

/// The body that tells of a verification that another start of the same question joined.
#[must_use]
pub fn render_joined(verification: &Verification) -> Vec<u8> {
    render_with(verification, "joined", true)
}

/// The body that tells what would be done.
#[must_use]
pub fn render_dry(verification: &Verification) -> Vec<u8> {
    render_with(verification, "dry_run", true)
}

fn render_with(verification: &Verification, name: &str, value: bool) -> Vec<u8> {
    let mut body = serde_json::to_value(Resource::from(verification)).unwrap_or_default();
    if let Some(object) = body.as_object_mut() {
        object.insert(name.to_owned(), value.into());
    }
    body.to_string().into_bytes()
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
const REASONS: [Reason; 30] = [
    Reason::Confirmed,
    Reason::FraudReported,
    Reason::WrongKey,
    Reason::WrongPin,
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
    Reason::CodeMatched,
    Reason::ReplyMatched,
    Reason::Declined,
    Reason::TooManyChecks,
    Reason::Undelivered,
    Reason::Voicemail,
    Reason::Fax,
    Reason::OptedOut,
    Reason::CallScreened,
    Reason::Echo,
    Reason::BadExtension,
    Reason::BudgetDenied,
    Reason::Blocked,
];

/// Every word of an attempt's state.
const STATES: [AttemptState; 9] = [
    AttemptState::Queued,
    AttemptState::Dialing,
    AttemptState::Ringing,
    AttemptState::Answered,
    AttemptState::Prompting,
    AttemptState::Listening,
    AttemptState::Sent,
    AttemptState::Delivered,
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
    let words = [Channel::Voice, Channel::Sms].map(Channel::as_str);
    one_of(&words, "How the person is reached: `voice` is a phone call, `sms` a text.")
}

fn mode_words() -> Object {
    let meaning = "What is asked of the person: `confirm` is to press `#`, `pin` to enter their \
                   own PIN and `#`, `match` the digits that the page shows and `#`; `code` is to \
                   type a code into the page or send it back, `reply` to send it back.";
    let modes = [Mode::Confirm, Mode::Pin, Mode::Match, Mode::Code, Mode::Reply];
    one_of(&modes.map(Mode::as_str), meaning)
}

fn assurance_words() -> Object {
    let meaning = "What an approval proves. `possession`: somebody held the phone. This alone is \
                   not out-of-band authentication in the sense of NIST SP 800-63B-4. \
                   `transferred_secret`: a code that was sent to the phone came back, or the \
                   digits of the page came from the phone. `+knowledge`: and the person's PIN \
                   with it.";
    let words = [
        Assurance::Possession,
        Assurance::PossessionAndKnowledge,
        Assurance::TransferredSecret,
        Assurance::TransferredSecretAndKnowledge,
    ];
    one_of(&words.map(Assurance::as_str), meaning)
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
    use crate::verify::signal::RtpMark;

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
                Reason::WrongPin => 3,
                Reason::NoInput => 4,
                Reason::Expired => 5,
                Reason::Busy => 6,
                Reason::NoAnswer => 7,
                Reason::Rejected => 8,
                Reason::HungUp => 9,
                Reason::Unreachable => 10,
                Reason::InvalidNumber => 11,
                Reason::CarrierError => 12,
                Reason::Congested => 13,
                Reason::MediaLost => 14,
                Reason::NodeLost => 15,
                Reason::CanceledByCaller => 16,
                Reason::CodeMatched => 17,
                Reason::ReplyMatched => 18,
                Reason::Declined => 19,
                Reason::TooManyChecks => 20,
                Reason::Undelivered => 21,
                Reason::Voicemail => 22,
                Reason::Fax => 23,
                Reason::OptedOut => 24,
                Reason::CallScreened => 25,
                Reason::Echo => 26,
                Reason::BadExtension => 27,
                Reason::BudgetDenied => 28,
                Reason::Blocked => 29,
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
                AttemptState::Sent => 6,
                AttemptState::Delivered => 7,
                AttemptState::Ended => 8,
            };
            assert_eq!(place, listed);
        }
    }

    #[test]
    fn a_press_is_shown_and_its_key_is_not() {
        let press = Press {
            at: Timestamp::from_secs(1),
            paths: vec!["rfc4733".to_owned(), "info".to_owned()],
            held_ms: Some(120),
            level_dbm0: Some(-10),
            rtp: Some(RtpMark { ssrc: 7, timestamp: 8, sequence: [9, 16], packets: 8 }),
            event: None,
        };
        let shown = serde_json::to_value(PressResource::from(&press)).unwrap();
        let wanted = serde_json::json!({
            "path": ["rfc4733", "info"], "at": "1970-01-01T00:00:01.000Z", "held_ms": 120,
            "level_dbm0": -10, "packets": 8, "sequence": [9, 16], "ssrc": 7, "event": null
        });
        assert_eq!(shown, wanted);
    }
}
