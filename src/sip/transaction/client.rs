//! The client machines: INVITE (RFC 3261 § 17.1.1, RFC 6026 § 7.2) and the rest (§ 17.1.2).

use super::{Copies, Pace};
use crate::ambient::Timestamp;
use crate::sip::Timer;

/// What happens to a client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A response with this status came in.
    Response(u16),
    /// Its deadline has come.
    Lapsed,
    /// The transport could not deliver.
    Unreachable,
}

/// What a client transaction wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send the request, or send it again.
    Transmit,
    /// Send an ACK for the response that was just handed in.
    Acknowledge,
    /// Look at the response that was just handed in.
    Deliver,
    /// Nobody answered.
    TimedOut,
    /// The request did not leave.
    Unreachable,
}

/// The transaction of our INVITE.
#[derive(Clone, Debug)]
pub struct InviteClient {
    pace: Pace,
    state: Invite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invite {
    Calling(Copies),
    Proceeding,
    Completed { until: Timestamp },
    Accepted { until: Timestamp },
    Terminated,
}

impl InviteClient {
    /// "The initial state, "calling", MUST be entered when the TU initiates a new client
    /// transaction with an INVITE request. The client transaction MUST pass the request to the
    /// transport layer for transmission."
    pub fn start(now: Timestamp, pace: Pace, out: &mut Vec<Act>) -> Self {
        out.push(Act::Transmit);
        Self { pace, state: Invite::Calling(Copies::begin(now, &pace, pace.reliable)) }
    }

    /// Takes an event.
    pub fn on(&mut self, now: Timestamp, event: Event, out: &mut Vec<Act>) {
        self.state = match self.state {
            Invite::Calling(copies) => self.calling(now, copies, event, out),
            Invite::Proceeding => self.proceeding(now, event, out),
            Invite::Completed { until } => completed(now, until, event, out),
            Invite::Accepted { until } => accepted(now, until, event, out),
            Invite::Terminated => terminated(event, out),
        };
    }

    /// When something is due, and what.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, Timer)> {
        match self.state {
            Invite::Calling(copies) => Some(copies.deadline(Timer::A, Timer::B)),
            Invite::Completed { until } => Some((until, Timer::D)),
            Invite::Accepted { until } => Some((until, Timer::M)),
            Invite::Proceeding | Invite::Terminated => None,
        }
    }

    /// RFC 3261 § 9.1: "the client SHOULD then consider the original transaction cancelled and
    /// SHOULD destroy the client transaction handling the original request."
    /// What has got its final response lives on to acknowledge it again.
    pub fn destroy(&mut self) {
        if let Invite::Calling(_) | Invite::Proceeding = self.state {
            self.state = Invite::Terminated;
        }
    }

    /// Sends no more copies: the user has turned to another server (RFC 3263 § 4.3), and this one
    /// shall not begin to ring the phone after all. What it answers is still taken until timer B.
    pub fn hush(&mut self) {
        if let Invite::Calling(copies) = &mut self.state {
            copies.hush();
        }
    }

    /// Whether its final response is awaited.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.state {
            Invite::Calling(_) | Invite::Proceeding => true,
            Invite::Completed { .. } | Invite::Accepted { .. } | Invite::Terminated => false,
        }
    }

    fn calling(
        &self,
        now: Timestamp,
        mut copies: Copies,
        event: Event,
        out: &mut Vec<Act>,
    ) -> Invite {
        match event {
            Event::Response(status) => self.response(now, status, out),
            // "If the client transaction is still in the "Calling" state when timer B fires, the
            // client transaction SHOULD inform the TU that a timeout has occurred. The client
            // transaction MUST NOT generate an ACK."
            Event::Lapsed if now >= copies.until => {
                out.push(Act::TimedOut);
                Invite::Terminated
            }
            // "When timer A fires, the client transaction MUST retransmit the request by passing
            // it to the transport layer, and MUST reset the timer with a value of 2*T1."
            Event::Lapsed => {
                if copies.is_due(now, None) {
                    out.push(Act::Transmit);
                }
                Invite::Calling(copies)
            }
            Event::Unreachable => unreachable(out),
        }
    }

    fn proceeding(&self, now: Timestamp, event: Event, out: &mut Vec<Act>) -> Invite {
        match event {
            Event::Response(status) => self.response(now, status, out),
            // "If the client transaction receives a provisional response while in the "Calling"
            // state, it transitions to the "Proceeding" state. In the "Proceeding" state, the
            // client transaction SHOULD NOT retransmit the request any longer."
            Event::Lapsed => Invite::Proceeding,
            Event::Unreachable => unreachable(out),
        }
    }

    fn response(&self, now: Timestamp, status: u16, out: &mut Vec<Act>) -> Invite {
        match status {
            // "Furthermore, the provisional response MUST be passed to the TU."
            ..200 => {
                out.push(Act::Deliver);
                Invite::Proceeding
            }
            // RFC 6026 § 7.2: a 2xx is passed to the TU and leads to "Accepted", for 64*T1 by timer M,
            // so that its copies and other forks still find the call.
            200..300 => {
                out.push(Act::Deliver);
                Invite::Accepted { until: now + self.pace.patience() }
            }
            // "When in either the "Calling" or "Proceeding" states, reception of a response with
            // status code from 300-699 MUST cause the client transaction to transition to
            // "Completed". The client transaction MUST pass the received response up to the TU,
            // and the client transaction MUST generate an ACK request".
            300.. => {
                out.extend([Act::Acknowledge, Act::Deliver]);
                // "Timer D [...] with a value of at least 32 seconds for unreliable transports,
                // and a value of zero seconds for reliable transports."
                Invite::Completed { until: now + self.pace.unless_reliable(self.pace.patience()) }
            }
        }
    }
}

fn completed(now: Timestamp, until: Timestamp, event: Event, out: &mut Vec<Act>) -> Invite {
    match event {
        // "Any retransmissions of the final response that are received while in the "Completed"
        // state MUST cause the ACK to be re-passed to the transport layer for retransmission, but
        // the newly received response MUST NOT be passed up to the TU."
        Event::Response(300..) => out.push(Act::Acknowledge),
        // A proxy that sent both has left a phone off the hook: the 2xx is the call's business.
        Event::Response(200..300) => out.push(Act::Deliver),
        Event::Response(..200) => {}
        // "If timer D fires while the client transaction is in the "Completed" state, the client
        // transaction MUST move to the terminated state."
        Event::Lapsed if now >= until => return Invite::Terminated,
        Event::Lapsed => {}
        // The ACK did not leave; the peer will repeat its response if it minds.
        Event::Unreachable => {}
    }
    Invite::Completed { until }
}

fn accepted(now: Timestamp, until: Timestamp, event: Event, out: &mut Vec<Act>) -> Invite {
    match event {
        // RFC 6026 § 7.2: each further 2xx is passed to the TU, so that it can repeat its ACK.
        Event::Response(200..300) => out.push(Act::Deliver),
        Event::Response(_) => {}
        // RFC 6026 § 7.2: timer M ends it.
        Event::Lapsed if now >= until => return Invite::Terminated,
        Event::Lapsed | Event::Unreachable => {}
    }
    Invite::Accepted { until }
}

/// Nothing is left to do but for a 2xx that outlived its transaction: someone is off the hook; and
/// for a 1xx: a phone begins to ring for an INVITE that was given up.
fn terminated(event: Event, out: &mut Vec<Act>) -> Invite {
    if let Event::Response(..300) = event {
        out.push(Act::Deliver);
    }
    Invite::Terminated
}

/// RFC 3261 § 17.1.4: "The client transaction SHOULD inform the TU that a transport failure has
/// occurred, and the client transaction SHOULD transition directly to the "Terminated" state."
fn unreachable(out: &mut Vec<Act>) -> Invite {
    out.push(Act::Unreachable);
    Invite::Terminated
}

/// The transaction of any other request of ours.
#[derive(Clone, Debug)]
pub struct NonInviteClient {
    pace: Pace,
    state: Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    Trying(Copies),
    Proceeding(Copies),
    Completed { until: Timestamp },
    Terminated,
}

impl NonInviteClient {
    /// "The "Trying" state is entered when the TU initiates a new client transaction with a
    /// request. [...] The request MUST be passed to the transport layer for transmission."
    pub fn start(now: Timestamp, pace: Pace, out: &mut Vec<Act>) -> Self {
        out.push(Act::Transmit);
        Self { pace, state: Other::Trying(Copies::begin(now, &pace, pace.reliable)) }
    }

    /// Takes an event.
    pub fn on(&mut self, now: Timestamp, event: Event, out: &mut Vec<Act>) {
        self.state = match self.state {
            Other::Trying(copies) => self.waiting(now, copies, Other::Trying, event, out),
            Other::Proceeding(copies) => self.waiting(now, copies, Other::Proceeding, event, out),
            Other::Completed { until } => match event {
                // "If Timer K fires while in this state, the client transaction MUST transition to
                // the "Terminated" state."
                Event::Lapsed if now >= until => Other::Terminated,
                // "The "Completed" state exists to buffer any additional response retransmissions
                // that may be received".
                Event::Lapsed | Event::Response(_) | Event::Unreachable => {
                    Other::Completed { until }
                }
            },
            Other::Terminated => Other::Terminated,
        };
    }

    /// When something is due, and what.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, Timer)> {
        match self.state {
            Other::Trying(copies) | Other::Proceeding(copies) => {
                Some(copies.deadline(Timer::E, Timer::F))
            }
            Other::Completed { until } => Some((until, Timer::K)),
            Other::Terminated => None,
        }
    }

    /// Whether no answer is awaited any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.state {
            Other::Trying(_) | Other::Proceeding(_) => false,
            Other::Completed { .. } | Other::Terminated => true,
        }
    }

    fn waiting(
        &self,
        now: Timestamp,
        mut copies: Copies,
        same: fn(Copies) -> Other,
        event: Event,
        out: &mut Vec<Act>,
    ) -> Other {
        match event {
            // "If a provisional response is received while in the "Trying" state, the response
            // MUST be passed to the TU, and then the client transaction SHOULD move to the
            // "Proceeding" state."
            Event::Response(..200) => {
                out.push(Act::Deliver);
                copies.slow_down(self.pace.t2);
                Other::Proceeding(copies)
            }
            // "If a final response (status codes 200-699) is received [...] the response MUST be
            // passed to the TU, and the client transaction MUST transition to the "Completed"
            // state. [...] it MUST set Timer K to fire in T4 seconds for unreliable transports,
            // and zero seconds for reliable transports."
            Event::Response(_) => {
                out.push(Act::Deliver);
                Other::Completed { until: now + self.pace.unless_reliable(self.pace.t4) }
            }
            // "If Timer F fires [...] the client transaction SHOULD inform the TU about the
            // timeout, and then it SHOULD enter the "Terminated" state."
            Event::Lapsed if now >= copies.until => {
                out.push(Act::TimedOut);
                Other::Terminated
            }
            // "If timer E fires while still in this state, the timer is reset, but this time with
            // a value of MIN(2*T1, T2). [...] If Timer E fires while in the "Proceeding" state
            // [...] it MUST be reset with a value of T2 seconds."
            Event::Lapsed => {
                if copies.is_due(now, Some(self.pace.t2)) {
                    out.push(Act::Transmit);
                }
                same(copies)
            }
            Event::Unreachable => {
                out.push(Act::Unreachable);
                Other::Terminated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(100);

    fn pace(reliable: bool) -> Pace {
        let [t1, t2, t4] = [500, 4_000, 5_000].map(Duration::from_millis);
        Pace { t1, t2, t4, reliable }
    }

    fn invite(reliable: bool) -> InviteClient {
        let mut acts = Vec::new();
        let machine = InviteClient::start(START, pace(reliable), &mut acts);
        assert_eq!(acts, [Act::Transmit]);
        machine
    }

    fn after(machine: &InviteClient, event: Event) -> (InviteClient, Vec<Act>) {
        let (mut machine, mut acts) = (machine.clone(), Vec::new());
        machine.on(START, event, &mut acts);
        (machine, acts)
    }

    fn due(machine: &InviteClient) -> Option<(u64, Timer)> {
        machine.deadline().map(|(at, timer)| (at.as_millis() - START.as_millis(), timer))
    }

    #[test]
    fn timer_a_doubles_until_timer_b() {
        let mut machine = invite(false);
        let mut seen = Vec::new();
        while let Some((at, timer)) = machine.deadline() {
            let mut acts = Vec::new();
            machine.on(at, Event::Lapsed, &mut acts);
            seen.push((at.as_millis() - START.as_millis(), timer, acts));
        }
        let last = seen.pop();
        let copies = [500, 1_500, 3_500, 7_500, 15_500, 31_500];
        assert_eq!(seen, copies.map(|at| (at, Timer::A, vec![Act::Transmit])));
        assert_eq!(last, Some((32_000, Timer::B, vec![Act::TimedOut])));
    }

    #[test]
    fn a_reliable_transport_repeats_nothing_and_lingers_nowhere() {
        let machine = invite(true);
        assert_eq!(due(&machine), Some((32_000, Timer::B)));
        let (refused, acts) = after(&machine, Event::Response(486));
        assert_eq!(acts, [Act::Acknowledge, Act::Deliver]);
        assert_eq!(due(&refused), Some((0, Timer::D)));
        assert_eq!(after(&refused, Event::Lapsed).0.deadline(), None);
    }

    #[test]
    fn each_state_takes_each_response_as_the_rfc_says() {
        let calling = invite(false);
        let (proceeding, acts) = after(&calling, Event::Response(180));
        assert_eq!((acts, due(&proceeding)), (vec![Act::Deliver], None));
        let (accepted, acts) = after(&proceeding, Event::Response(200));
        assert_eq!((acts, due(&accepted)), (vec![Act::Deliver], Some((32_000, Timer::M))));
        let (completed, acts) = after(&proceeding, Event::Response(300));
        assert_eq!(acts, [Act::Acknowledge, Act::Deliver]);
        assert_eq!(due(&completed), Some((32_000, Timer::D)));
        for (state, status, acts) in [
            (&completed, 180, vec![]),
            (&completed, 200, vec![Act::Deliver]),
            (&completed, 486, vec![Act::Acknowledge]),
            (&accepted, 180, vec![]),
            (&accepted, 200, vec![Act::Deliver]),
            (&accepted, 486, vec![]),
        ] {
            let (next, seen) = after(state, Event::Response(status));
            assert_eq!((seen, due(&next)), (acts, due(state)), "{status}");
        }
        let (failed, acts) = after(&calling, Event::Unreachable);
        assert_eq!((acts, due(&failed)), (vec![Act::Unreachable], None));
    }

    #[test]
    fn timer_e_doubles_to_t2_and_a_provisional_response_makes_it_t2() {
        let (mut machine, mut acts) =
            (NonInviteClient::start(START, pace(false), &mut vec![]), vec![]);
        let mut seen = Vec::new();
        while let Some((at, timer)) = machine.deadline() {
            acts.clear();
            machine.on(at, Event::Lapsed, &mut acts);
            seen.push((at.as_millis() - START.as_millis(), timer));
        }
        let mut expected: Vec<_> = [500, 1_500].map(|at| (at, Timer::E)).to_vec();
        expected.extend((0..8).map(|n| (3_500 + n * 4_000, Timer::E)));
        expected.push((32_000, Timer::F));
        assert_eq!(seen, expected);
        assert_eq!(acts, [Act::TimedOut]);

        let mut machine = NonInviteClient::start(START, pace(false), &mut vec![]);
        machine.on(START, Event::Response(100), &mut acts);
        machine.on(START + Duration::from_millis(500), Event::Lapsed, &mut acts);
        assert_eq!(machine.deadline(), Some((START + Duration::from_millis(4_500), Timer::E)));
        machine.on(START, Event::Response(200), &mut acts);
        assert_eq!(machine.deadline(), Some((START + Duration::from_secs(5), Timer::K)));
        assert!(machine.is_over());
    }
}
