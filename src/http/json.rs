//! Strict JSON: UTF-8, one object, each name once, not too deep, and every bad field told.

use std::borrow::Cow;
use std::fmt;

use axum::extract::Request;
use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use super::problem::{Code, FieldCode, FieldError, Problem, name};
use super::{App, body, query};

/// How deep lists and objects may stand in one another.
const MAX_DEPTH: usize = 16;

/// How many errors one answer names.
const MAX_ERRORS: usize = 32;

/// The fields that are posted, with no query behind the path.
pub(super) async fn posted<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    query::none(parts.uri.query())?;
    body::must_be_json(&parts.headers)?;
    fields(&body::read(&app.settings, &parts.headers, body).await?)
}

/// The fields of a body. What is wrong with one of them, it says itself: see [`Field`].
pub(super) fn fields<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let object = Value::Object(object(body)?);
    serde_json::from_value(object).map_err(|_| Problem::new(Code::InvalidJson))
}

/// The object that a body is.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    let invalid = |why: String| Problem::new(Code::InvalidJson).because(why);
    let text = std::str::from_utf8(body).map_err(|error| {
        invalid(format!("the body is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    let mut repeated = Vec::new();
    let mut source = serde_json::Deserializer::from_str(text);
    let strict = Strict { path: "", depth: 0, repeated: &mut repeated };
    let value = strict.deserialize(&mut source).map_err(|error| invalid(error.to_string()))?;
    source.end().map_err(|error| invalid(error.to_string()))?;
    if !repeated.is_empty() {
        return Err(invalid("a name stands twice in one object".to_owned()).blaming(repeated));
    }
    match value {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(invalid("the body must be one JSON object".to_owned()))
        }
    }
}

/// Reads a value as `serde_json` does, but keeps count of depth and of repeated names.
struct Strict<'a> {
    path: &'a str,
    depth: usize,
    repeated: &'a mut Vec<FieldError>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth < MAX_DEPTH {
            Ok(self.depth + 1)
        } else {
            Err(E::custom(format_args!("more than {MAX_DEPTH} levels deep")))
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut values = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, values.len());
            let strict = Strict { path: &path, depth, repeated: self.repeated };
            let Some(value) = list.next_element_seed(strict)? else {
                return Ok(Value::Array(values));
            };
            values.push(value);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut fields = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            let path = if self.path.is_empty() {
                name(&key)
            } else {
                format!("{}.{}", self.path, name(&key))
            };
            let strict = Strict { path: &path, depth, repeated: self.repeated };
            let value = object.next_value_seed(strict)?;
            if fields.insert(key, value).is_some() && self.repeated.len() < MAX_ERRORS {
                let twice = "this name stands more than once";
                self.repeated.push(FieldError::new(path, FieldCode::DuplicateField, twice));
            }
        }
        Ok(Value::Object(fields))
    }
}

/// A field as it was found. `null` is as good as absent.
///
/// Reading one never fails, so that all bad fields of a body are found, not the first alone.
#[derive(Debug, Default)]
pub(super) enum Field<T> {
    /// Not there.
    #[default]
    Absent,
    /// There, of the right type.
    Given(T),
    /// There, of another type.
    Wrong,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        if value.is_null() {
            return Ok(Self::Absent);
        }
        Ok(serde_json::from_value(value).map_or(Self::Wrong, Self::Given))
    }
}

/// A type of JSON, in words.
pub(super) trait Kind {
    /// What a field of it must be.
    const MUST_BE: &str;
}

impl Kind for String {
    const MUST_BE: &str = "must be a string";
}

impl Kind for u64 {
    const MUST_BE: &str = "must be a whole number, not negative";
}

impl Kind for bool {
    const MUST_BE: &str = "must be true or false";
}

impl Kind for Vec<Value> {
    const MUST_BE: &str = "must be a list";
}

impl Kind for Map<String, Value> {
    const MUST_BE: &str = "must be an object";
}

/// What is wrong with a value.
pub(super) type Fault = (FieldCode, Cow<'static, str>);

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<FieldError>);

impl Checks {
    /// Notes a bad field.
    pub(super) fn blame(
        &mut self,
        field: impl Into<String>,
        code: FieldCode,
        detail: impl Into<Cow<'static, str>>,
    ) {
        if self.0.len() < MAX_ERRORS {
            self.0.push(FieldError::new(field, code, detail));
        }
    }

    /// Notes a field that does not fit the others.
    pub(super) fn refuse(&mut self, field: &'static str, (code, detail): Fault) {
        self.blame(field, code, detail);
    }

    /// A field that may be missing; `None` when it is missing or bad.
    pub(super) fn optional<T: Kind, U>(
        &mut self,
        field: &'static str,
        found: Field<T>,
        read: impl FnOnce(T) -> Result<U, Fault>,
    ) -> Option<U> {
        match found {
            Field::Absent => None,
            Field::Wrong => {
                self.blame(field, FieldCode::WrongType, T::MUST_BE);
                None
            }
            Field::Given(value) => match read(value) {
                Ok(read) => Some(read),
                Err((code, detail)) => {
                    self.blame(field, code, detail);
                    None
                }
            },
        }
    }

    /// A field that must be there; `None` when it is missing or bad.
    pub(super) fn required<T: Kind, U>(
        &mut self,
        field: &'static str,
        found: Field<T>,
        read: impl FnOnce(T) -> Result<U, Fault>,
    ) -> Option<U> {
        if matches!(found, Field::Absent) {
            self.blame(field, FieldCode::Required, "must be there");
        }
        self.optional(field, found, read)
    }

    /// Fields that are none of the contract's.
    pub(super) fn unknown<'a>(&mut self, fields: impl IntoIterator<Item = &'a String>) {
        for field in fields {
            self.blame(name(field), FieldCode::UnknownField, "there is no such field");
        }
    }

    /// Nothing, when nothing was wrong.
    pub(super) fn done(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::fields(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &[u8]) -> Problem {
        object(body).expect_err(&String::from_utf8_lossy(body))
    }

    fn blamed(problem: Problem) -> Vec<String> {
        use axum::response::IntoResponse as _;
        use http_body_util::BodyExt as _;
        let response = problem.into_response();
        assert_eq!(response.status(), 400);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(response.into_body().collect()).unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let errors = body["errors"].as_array().unwrap().iter();
        errors.map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn one_object_is_read() {
        let read = object(br#" {"a": [1, -2, 2.5, null, true], "b": {"c": "\u00e9"}} "#).unwrap();
        assert_eq!(
            Value::Object(read),
            serde_json::json!({"a": [1, -2, 2.5, null, true], "b": {"c": "é"}})
        );
    }

    #[test]
    fn what_is_not_strict_json_is_refused() {
        for bad in [
            &b""[..],
            b"null",
            b"[]",
            b"\"x\"",
            b"{",
            b"{} {}",
            b"{'a': 1}",
            b"{\"a\": NaN}",
            b"{\"a\": Infinity}",
            b"{\"a\": 1e999}",
            b"{\"a\": 01}",
            b"{\"a\": 1,}",
            b"{\"a\": \"\x01\"}",
            b"{\"a\": \"\\ud800\"}",
            b"\xef\xbb\xbf{}",
            b"{\"a\": \"\xff\xfe\"}",
        ] {
            let _ = refused(bad);
        }
    }

    #[test]
    fn repeated_names_are_told_with_their_place() {
        let body =
            br#"{"to": 1, "x": [{"y": 1, "y": 2}], "to": 2, "+14155550132": 1, "+14155550132": 2}"#;
        let names = blamed(refused(body));
        assert_eq!(names, ["x[0].y", "to", "(a name of 12 characters)"]);
    }

    #[test]
    fn depth_has_an_end() {
        let nested = |levels: usize| {
            format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
        };
        assert!(object(nested(MAX_DEPTH).as_bytes()).is_ok());
        let _ = refused(nested(MAX_DEPTH + 1).as_bytes());
        let _ = refused("[".repeat(60_000).as_bytes());
    }
}
