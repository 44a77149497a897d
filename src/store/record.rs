//! What the bytes say: verifications, queued effects and API keys, as versioned JSON.
//!
//! JSON because two versions of this program may share a store while an upgrade rolls: a field
//! that one of them does not know must not make the record unreadable.

use serde::{Deserialize, Serialize};

use super::RecordWrite;
use crate::access::key::Keys;
use crate::verify::Verification;
use crate::verify::attempt::AttemptNo;
use crate::verify::signal::Farewell;
use crate::verify::trace::{Trace, Traceparent, Tracestate};

/// The format of every value written; the first byte of each.
const FORMAT: u8 = 1;

/// A queued effect as it is stored: a [`verify::signal::Effect`](crate::verify::signal::Effect)
/// with all that carrying it out takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Place the call of this attempt.
    Dial {
        /// Which attempt.
        attempt: AttemptNo,
    },
    /// Send the text of this attempt.
    Send {
        /// Which attempt.
        attempt: AttemptNo,
    },
    /// End the call of this attempt.
    HangUp {
        /// Which attempt.
        attempt: AttemptNo,
        /// What to say first.
        farewell: Farewell,
    },
    /// Deliver an event to an endpoint of the tenant.
    Deliver(Delivery),
}

/// One event on its way to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Whose endpoint.
    pub tenant: String,
    /// The endpoint's URL; its secret is looked up when the event is sent.
    pub url: String,
    /// The event's id, the same on every try.
    pub event: String,
    /// The body, the same on every try.
    pub body: String,
    /// How often it was tried in vain.
    pub tries: u32,
    /// The trace that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Traceparent>,
    /// What tracing systems say of that trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<Tracestate>,
}

impl Delivery {
    /// What goes along with it.
    #[must_use]
    pub fn trace(&self) -> Option<Trace<'_>> {
        Trace::of(self.traceparent.as_ref(), self.tracestate.as_ref())
    }
}

impl Duty {
    /// Whether doing it twice does no harm.
    #[must_use]
    pub const fn repeatable(&self) -> bool {
        match self {
            Self::Dial { .. } | Self::Send { .. } => false,
            Self::HangUp { .. } | Self::Deliver(_) => true,
        }
    }

    /// The `kind` of its row: for people who look into a store, the machine reads the bytes.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Dial { .. } => 1,
            Self::HangUp { .. } => 2,
            Self::Deliver(_) => 3,
            Self::Send { .. } => 4,
        }
    }
}

/// Bytes that say nothing this program understands.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Written by another version, or damaged.
    #[error("a stored value has format {0:?}, and this program reads format {FORMAT}")]
    Format(Option<u8>),
    /// Not what it should be.
    #[error("a stored value cannot be read: {0}")]
    Content(#[from] serde_json::Error),
}

/// Writes a verification.
///
/// # Errors
/// When it cannot be written as JSON, which no verification has been seen to do.
pub fn encode(verification: &Verification) -> Result<Vec<u8>, RecordError> {
    write(verification)
}

/// A verification as it is written, in the place of what it was.
///
/// # Errors
/// As [`encode`].
pub fn written(
    before: Option<&Verification>,
    next: &Verification,
) -> Result<RecordWrite, RecordError> {
    Ok(RecordWrite {
        id: next.id.to_string(),
        expected: before.map(|before| before.version),
        version: next.version,
        bytes: encode(next)?,
        wake: next.deadline().map(|(at, _)| at),
        group: next.tenant.clone(),
        created: next.created_at,
    })
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// When the bytes are of another format, or damaged.
pub fn decode(bytes: &[u8]) -> Result<Verification, RecordError> {
    read(bytes)
}

/// Writes the keys of a tenant.
///
/// # Errors
/// As [`encode`].
pub fn encode_keys(keys: &Keys) -> Result<Vec<u8>, RecordError> {
    write(keys)
}

/// Reads what [`encode_keys`] wrote.
///
/// # Errors
/// As [`decode`].
pub fn decode_keys(bytes: &[u8]) -> Result<Keys, RecordError> {
    read(bytes)
}

/// Writes a duty.
///
/// # Errors
/// As [`encode`].
pub fn encode_duty(duty: &Duty) -> Result<Vec<u8>, RecordError> {
    write(duty)
}

/// Reads what [`encode_duty`] wrote.
///
/// # Errors
/// As [`decode`].
pub fn decode_duty(bytes: &[u8]) -> Result<Duty, RecordError> {
    read(bytes)
}

/// Writes a small record.
///
/// # Errors
/// As [`encode`].
pub fn encode_value(value: &impl Serialize) -> Result<Vec<u8>, RecordError> {
    write(value)
}

/// Reads what [`encode_value`] wrote.
///
/// # Errors
/// As [`decode`].
pub fn decode_value<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, RecordError> {
    read(bytes)
}

fn write(value: &impl Serialize) -> Result<Vec<u8>, RecordError> {
    let mut bytes = vec![FORMAT];
    serde_json::to_writer(&mut bytes, value)?;
    Ok(bytes)
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, RecordError> {
    match bytes.split_first() {
        Some((&FORMAT, json)) => Ok(serde_json::from_slice(json)?),
        other => Err(RecordError::Format(other.map(|(&format, _)| format))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_duty_comes_back_as_it_was() {
        let duty = Duty::HangUp { attempt: AttemptNo::FIRST, farewell: Farewell::Thanks };
        assert_eq!(decode_duty(&encode_duty(&duty).unwrap()).unwrap(), duty);
        assert!(duty.repeatable());
        assert!(!Duty::Dial { attempt: AttemptNo::FIRST }.repeatable());
    }

    /// What a version before this one has written; a release adds its own, and takes none away.
    const WRITTEN: [&str; 3] = [
        include_str!("../../tests/vectors/records/1-text-pending.json"),
        include_str!("../../tests/vectors/records/1-text-denied.json"),
        include_str!("../../tests/vectors/records/1-call-approved.json"),
    ];

    fn stored(json: &str) -> Vec<u8> {
        [&[FORMAT], json.as_bytes()].concat()
    }

    /// All that stands in one stands in the other, too.
    fn is_kept(before: &Value, after: &Value) -> bool {
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => before
                .iter()
                .all(|(name, value)| after.get(name).is_some_and(|after| is_kept(value, after))),
            (Value::Array(before), Value::Array(after)) => {
                before.len() == after.len() && before.iter().zip(after).all(|(a, b)| is_kept(a, b))
            }
            _ => before == after,
        }
    }

    #[test]
    fn what_earlier_versions_wrote_is_read_and_nothing_of_it_is_lost() {
        for written in WRITTEN {
            let bytes = encode(&decode(&stored(written)).unwrap()).unwrap();
            let (before, after): (Value, Value) = (
                serde_json::from_str(written).unwrap(),
                serde_json::from_slice(&bytes[1..]).unwrap(),
            );
            assert!(is_kept(&before, &after), "{before:#}\n{after:#}");
        }
    }

    #[test]
    fn what_a_later_version_adds_is_no_obstacle() {
        for written in WRITTEN {
            let mut later: Value = serde_json::from_str(written).unwrap();
            for place in ["", "/request", "/request/way", "/attempts/0", "/route/0", "/expected"] {
                later.pointer_mut(place).unwrap()["of_a_later_version"] = json!({"n": [1]});
            }
            let read = decode(&stored(&later.to_string())).unwrap();
            assert_eq!(read, decode(&stored(written)).unwrap());
        }
    }

    #[test]
    fn a_word_that_is_not_known_is_refused_and_never_guessed() {
        let word = |written: &str| written.replace("\"too_many_checks\"", "\"of_a_later_version\"");
        assert_ne!(word(WRITTEN[1]), WRITTEN[1]);
        assert!(matches!(decode(&stored(&word(WRITTEN[1]))), Err(RecordError::Content(_))));
    }

    #[test]
    fn a_trace_is_kept_with_its_state() {
        let mut found = decode(&stored(WRITTEN[0])).unwrap();
        assert_eq!((&found.request.traceparent, found.request.trace()), (&None, None));
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        found.request.traceparent = Traceparent::read(parent);
        found.request.tracestate = Tracestate::read("a=1, b=2");
        let read = decode(&encode(&found).unwrap()).unwrap();
        assert_eq!(read, found);
        let headers: Vec<_> = read.request.trace().unwrap().headers().collect();
        assert_eq!(headers, [("traceparent", parent), ("tracestate", "a=1, b=2")]);
    }

    #[test]
    fn another_format_is_refused() {
        assert!(matches!(decode(b""), Err(RecordError::Format(None))));
        assert!(matches!(decode(b"\x02{}"), Err(RecordError::Format(Some(2)))));
        assert!(matches!(decode(b"\x01{}"), Err(RecordError::Content(_))));
    }
}
