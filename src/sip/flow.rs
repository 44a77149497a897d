//! The life of one connection: pings and pongs (RFC 5626), half messages, idleness.

use std::time::Duration;

use super::frame::Frame;
use crate::ambient::Timestamp;

/// How often we ask whether the far end is there.
const PING: Duration = Duration::from_secs(30);

/// RFC 5626 § 4.4.1: "If a pong is not received within 10 seconds after sending a ping [...] then
/// the client MUST treat the flow as failed."
const PONG: Duration = Duration::from_secs(10);

/// How long a message may take from its first byte to its last.
const WHOLE: Duration = Duration::from_secs(10);

/// How long a connection that we took may stand before it says anything.
const SILENT: Duration = Duration::from_secs(30);

/// How long a connection stands that nobody uses.
const IDLE: Duration = Duration::from_secs(300);

/// What is due on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// A ping.
    Ping,
    /// Its end: it answered our pings, and now one did not come back.
    Dead,
    /// Its end: a message that began does not end.
    Half,
    /// Its end: nobody uses it.
    Idle,
}

/// The life of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    ours: bool,
    /// When it was last used, or opened.
    used: Timestamp,
    /// When we last asked, or it was opened.
    pinged: Timestamp,
    /// Whether that is still unanswered.
    waits: bool,
    /// Whether the far end was ever heard to answer.
    pongs: bool,
    /// Whether it ever said anything.
    speaks: bool,
    /// When the message began that has no end yet.
    amid: Option<Timestamp>,
}

impl Flow {
    /// A connection that was opened just now: by us, or to us.
    #[must_use]
    pub fn new(now: Timestamp, ours: bool) -> Self {
        let (waits, pongs, speaks) = (false, false, false);
        Self { ours, used: now, pinged: now, waits, pongs, speaks, amid: None }
    }

    /// These came, and whether what came last is the beginning of more.
    pub fn heard(&mut self, now: Timestamp, frames: &[Frame], amid: bool) {
        // Whatever comes is a sign of life.
        self.waits = false;
        for frame in frames {
            match frame {
                Frame::Pong => self.pongs = true,
                // The far end keeps open what it opened.
                Frame::Ping if self.ours => {}
                Frame::Message(_) | Frame::Ping => {
                    self.used = now;
                    self.speaks = true;
                }
            }
        }
        let began = if frames.is_empty() { self.amid.unwrap_or(now) } else { now };
        self.amid = amid.then_some(began);
    }

    /// A message was sent.
    pub fn sent(&mut self, now: Timestamp) {
        self.used = now;
    }

    /// When something is due, and what.
    #[must_use]
    pub fn deadline(&self) -> (Timestamp, Due) {
        let patience = if self.ours || self.speaks { IDLE } else { SILENT };
        let idle = (self.used + patience, Due::Idle);
        let ping = self.ours.then_some((self.pinged + PING, Due::Ping));
        // RFC 3261 alone knows no pong: who was never heard to send one owes none.
        let dead = (self.waits && self.pongs).then_some((self.pinged + PONG, Due::Dead));
        let half = self.amid.map(|began| (began + WHOLE, Due::Half));
        [ping, dead, half].into_iter().flatten().fold(idle, std::cmp::min)
    }

    /// What is due now. A ping is then taken as sent.
    pub fn lapsed(&mut self, now: Timestamp) -> Option<Due> {
        let (at, due) = self.deadline();
        if now < at {
            return None;
        }
        if due == Due::Ping {
            self.pinged = now;
            self.waits = true;
        }
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_000);

    fn after(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn our_connection_is_pinged_until_nobody_needs_it() {
        let mut flow = Flow::new(START, true);
        let mut due = Vec::new();
        while due.len() < 20 {
            let (at, _) = flow.deadline();
            due.extend(flow.lapsed(at));
            if due.last() == Some(&Due::Idle) {
                assert_eq!(at, after(300));
                break;
            }
        }
        assert_eq!(due.iter().filter(|due| **due == Due::Ping).count(), 10);
    }

    #[test]
    fn who_answered_once_is_dead_when_it_does_not() {
        let mut flow = Flow::new(START, true);
        assert_eq!(flow.lapsed(after(30)), Some(Due::Ping));
        assert_eq!(flow.deadline(), (after(60), Due::Ping), "it may not know of pongs");
        flow.heard(after(31), &[Frame::Pong], false);
        assert_eq!(flow.lapsed(after(60)), Some(Due::Ping));
        assert_eq!(flow.deadline(), (after(70), Due::Dead));
        flow.heard(after(61), &[Frame::Message(Vec::new())], false);
        assert_eq!(flow.deadline(), (after(90), Due::Ping), "whatever comes is a sign of life");
    }

    #[test]
    fn half_a_message_has_ten_seconds_however_it_trickles() {
        let mut flow = Flow::new(START, false);
        flow.heard(after(1), &[], true);
        flow.heard(after(9), &[], true);
        assert_eq!(flow.deadline(), (after(11), Due::Half));
        flow.heard(after(10), &[Frame::Message(Vec::new())], true);
        assert_eq!(flow.deadline(), (after(20), Due::Half), "it is the next one now");
    }

    #[test]
    fn who_connects_and_says_nothing_is_shown_the_door() {
        let mut flow = Flow::new(START, false);
        assert_eq!(flow.deadline(), (after(30), Due::Idle));
        flow.heard(after(20), &[Frame::Ping], false);
        assert_eq!(flow.deadline(), (after(320), Due::Idle));
    }
}
