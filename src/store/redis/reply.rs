//! What Redis answers, read.

use redis::Value;

use crate::ambient::Timestamp;
use crate::store::StoreError;

/// The parts of an answer, from the first to the last.
pub(super) struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    /// The parts of an array.
    pub(super) fn new(value: Value) -> Result<Self, StoreError> {
        if let Value::Array(parts) = value {
            return Ok(Self(parts.into_iter()));
        }
        Err(strange("no array"))
    }

    fn part(&mut self) -> Value {
        self.0.next().unwrap_or_default()
    }

    /// Bytes, if there are any.
    pub(super) fn maybe(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let part = self.part();
        if part == Value::Nil { Ok(None) } else { bytes(part).map(Some) }
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        bytes(self.part())
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        text(self.part())
    }

    pub(super) fn number(&mut self) -> Result<u64, StoreError> {
        number(&self.text()?)
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.number().map(Timestamp::from_micros)
    }

    /// A number that Redis counted itself.
    pub(super) fn count(&mut self) -> Result<u64, StoreError> {
        count(&self.part())
    }

    /// A part that has parts itself.
    pub(super) fn inner(&mut self) -> Result<Self, StoreError> {
        Self::new(self.part())
    }

    /// What is left, each read so.
    pub(super) fn rest<T>(
        self,
        read: impl FnMut(Value) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.0.map(read).collect()
    }
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>, StoreError> {
    if let Value::BulkString(bytes) = value {
        return Ok(bytes);
    }
    if let Value::SimpleString(text) = value {
        return Ok(text.into_bytes());
    }
    Err(strange("no text"))
}

pub(super) fn text(value: Value) -> Result<String, StoreError> {
    String::from_utf8(bytes(value)?).map_err(|_| strange("a text that is not UTF-8"))
}

/// A whole number, as it was written there: scores come back as they went.
pub(super) fn number(text: &str) -> Result<u64, StoreError> {
    text.parse().map_err(|_| strange("a number that is none"))
}

/// A whole number that Redis counted itself.
pub(super) fn count(value: &Value) -> Result<u64, StoreError> {
    let count = if let Value::Int(count) = value { u64::try_from(*count).ok() } else { None };
    count.ok_or_else(|| strange("no number"))
}

/// What is there is not what our scripts write.
pub(super) fn strange(what: &str) -> StoreError {
    StoreError::Unsafe(format!("Redis answered with {what}"))
}
