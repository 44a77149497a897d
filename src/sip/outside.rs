//! One request of ours outside any call, until its answer: OPTIONS and REGISTER (RFC 3261 § 17.1.2).

use std::time::Duration;

use super::hop::Way;
use super::message::Message;
use super::method::Method;
use super::transaction::Pace;
use super::transaction::client::{Act, Event, NonInviteClient};
use crate::ambient::{Entropy, Timestamp};

/// A request that is not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    machine: NonInviteClient,
    method: Method,
    branch: String,
    way: Way,
    bytes: Vec<u8>,
    sent: Timestamp,
    until: Timestamp,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Nothing yet.
    Nothing,
    /// Send it once more.
    Copy,
    /// The response that was handed in is its final one.
    Final,
    /// Nobody answered.
    Silence,
    /// It did not get there.
    Unreachable,
}

/// RFC 3261 § 8.1.1.7: "The branch ID inserted by an element compliant with this specification MUST
/// always begin with the characters "z9hG4bK"."
pub(super) fn branch(entropy: &mut Entropy) -> String {
    format!("z9hG4bK{}", entropy.token(20))
}

impl Outside {
    /// The request, which has just been sent. It is given up after `patience`, or by timer F.
    pub(super) fn sent(
        now: Timestamp,
        pace: Pace,
        method: Method,
        branch: String,
        way: Way,
        bytes: Vec<u8>,
        patience: Duration,
    ) -> Self {
        let machine = NonInviteClient::start(now, pace, &mut Vec::new());
        let until = now + patience.min(pace.patience());
        Self { machine, method, branch, way, bytes, sent: now, until }
    }

    /// Where it goes.
    pub(super) fn way(&self) -> Way {
        self.way
    }

    /// The request.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How long ago it was sent.
    pub(super) fn age(&self, now: Timestamp) -> Duration {
        now.since(self.sent)
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Timestamp {
        self.machine.deadline().map_or(self.until, |(at, _)| at.min(self.until))
    }

    /// A response that came in.
    pub(super) fn received(&mut self, now: Timestamp, message: &Message) -> Came {
        let is_ours = message.branch() == self.branch && *message.method() == self.method;
        match message.status().filter(|_| is_ours) {
            Some(status) => self.event(now, Event::Response(status)),
            None => Came::Nothing,
        }
    }

    /// A deadline has come.
    pub(super) fn lapsed(&mut self, now: Timestamp) -> Came {
        if now >= self.until {
            return Came::Silence;
        }
        self.event(now, Event::Lapsed)
    }

    fn event(&mut self, now: Timestamp, event: Event) -> Came {
        let mut acts = Vec::new();
        self.machine.on(now, event, &mut acts);
        acts.into_iter().fold(Came::Nothing, |came, act| match act {
            Act::Transmit => Came::Copy,
            Act::Deliver if self.machine.is_over() => Came::Final,
            Act::TimedOut => Came::Silence,
            Act::Unreachable => Came::Unreachable,
            Act::Deliver | Act::Acknowledge => came,
        })
    }
}
