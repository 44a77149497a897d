//! Events on their way to the customer: signed as Standard Webhooks, retried, at least once, with
//! the same id on every try, and to addresses alone that the guard lets pass.

pub mod address;
mod courier;
pub mod event;
mod lanes;
mod schedule;
mod signature;

use std::fmt;
use std::time::Duration;

#[cfg(feature = "otlp")]
pub(super) use self::courier::Handed;
pub(super) use self::courier::{Courier, Unanswered};
pub(super) use self::lanes::{Lane, Lanes};
pub(super) use self::schedule::{Health, News, Off, pause};
pub use self::signature::WebhookSecret;

/// Why an event was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may be taken later.
    Retry(String),
    /// It may be taken once the endpoint has had the pause that it asks for.
    Later(String, Duration),
    /// The endpoint wants no more: 410 Gone.
    Gone,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(why) => f.write_str(why),
            Self::Later(why, pause) => write!(f, "{why}, asks for {} s", pause.as_secs()),
            Self::Gone => f.write_str("410 Gone"),
        }
    }
}

#[cfg(test)]
mod tests;
