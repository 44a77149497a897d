//! The four transaction machines of RFC 3261 § 17, with the corrections of RFC 6026.
//!
//! Each is a value: an event and the time go in, the next state and a list of acts come out. No
//! timer is ever armed: what a state waits for follows from the state, and
//! `deadline` says when it is over and by which of the RFC's timers. Bytes are the holder's; the
//! machine says when to transmit them.

pub mod client;
pub mod server;

use std::time::Duration;

use super::{Settings, Transport};
use crate::ambient::Timestamp;

/// How a machine keeps time: RFC 3261's T1, T2, T4, and whether the transport is reliable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The estimate of a round trip.
    pub t1: Duration,
    /// The longest pause between two copies.
    pub t2: Duration,
    /// How long a message may live in the network.
    pub t4: Duration,
    /// Whether the transport repeats what is lost by itself.
    pub reliable: bool,
}

impl Pace {
    /// Over this transport.
    #[must_use]
    pub fn over(settings: &Settings, transport: Transport) -> Self {
        let Settings { t1, t2, t4, .. } = *settings;
        Self { t1, t2, t4, reliable: transport.is_reliable() }
    }

    /// 64 * T1: timers B, F, H, J, L and M.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.t1 * 64
    }

    /// A span that only an unreliable transport needs: timers D, I, J and K.
    fn unless_reliable(&self, span: Duration) -> Duration {
        if self.reliable { Duration::ZERO } else { span }
    }
}

/// Copies of one message, at growing distance, until something ends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copies {
    next: Option<Timestamp>,
    gap: Duration,
    pub(super) until: Timestamp,
}

impl Copies {
    /// The first copy has just been sent.
    pub(super) fn begin(now: Timestamp, pace: &Pace, reliable: bool) -> Self {
        let next = (!reliable).then_some(now + pace.t1);
        Self { next, gap: pace.t1, until: now + pace.patience() }
    }

    /// Whether a copy is due; if so the next is planned, at twice the distance but never more
    /// than `longest`.
    pub(super) fn is_due(&mut self, now: Timestamp, longest: Option<Duration>) -> bool {
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        let doubled = self.gap * 2;
        self.gap = longest.map_or(doubled, |longest| doubled.min(longest));
        self.next = Some(now + self.gap);
        true
    }

    /// No more copies.
    fn hush(&mut self) {
        self.next = None;
    }

    /// From the next copy on, the distance is this.
    fn slow_down(&mut self, gap: Duration) {
        self.gap = gap;
    }

    /// When the next copy is due or all copies end, and which of the two.
    pub(super) fn deadline<T>(&self, copy: T, end: T) -> (Timestamp, T) {
        match self.next {
            Some(next) if next < self.until => (next, copy),
            _ => (self.until, end),
        }
    }
}
