//! The server machines: INVITE (RFC 3261 § 17.2.1, RFC 6026 § 7.1) and the rest (§ 17.2.2).

use super::{Copies, Pace};
use crate::ambient::Timestamp;
use crate::sip::Timer;

/// What happens to a server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The request came in once more.
    Repeated,
    /// We answer with this status.
    Respond(u16),
    /// An ACK for the response came in.
    Acknowledged,
    /// Its deadline has come.
    Lapsed,
}

/// What a server transaction wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send the latest response, or send it again.
    Transmit,
    /// Nobody acknowledged our refusal.
    TimedOut,
}

/// The transaction of an INVITE to us.
#[derive(Clone, Debug)]
pub struct InviteServer {
    pace: Pace,
    state: Invite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invite {
    Proceeding { answered: bool },
    Completed(Copies),
    Confirmed { until: Timestamp },
    Accepted { until: Timestamp },
    Terminated,
}

impl InviteServer {
    /// "When a server transaction is constructed for a request, it enters the "Proceeding"
    /// state." The 100 it would send within 200 ms is not needed: the answer comes at once.
    #[must_use]
    pub fn start(pace: Pace) -> Self {
        Self { pace, state: Invite::Proceeding { answered: false } }
    }

    /// Takes an event.
    pub fn on(&mut self, now: Timestamp, event: Event, out: &mut Vec<Act>) {
        self.state = match self.state {
            Invite::Proceeding { answered } => self.proceeding(now, answered, event, out),
            Invite::Completed(copies) => self.completed(now, copies, event, out),
            Invite::Confirmed { until } => match event {
                // "Once timer I fires, the server MUST transition to the "Terminated" state."
                Event::Lapsed if now >= until => Invite::Terminated,
                // "The purpose of the "Confirmed" state is to absorb any additional ACK messages
                // that arrive, triggered from retransmissions of the final response."
                Event::Lapsed | Event::Acknowledged | Event::Repeated | Event::Respond(_) => {
                    Invite::Confirmed { until }
                }
            },
            Invite::Accepted { until } => match event {
                // RFC 6026 § 7.1: timer L ends it.
                Event::Lapsed if now >= until => Invite::Terminated,
                // RFC 6026 § 7.1: a 2xx from the TU is transmitted; copies of the INVITE are absorbed.
                Event::Respond(200..300) => {
                    out.push(Act::Transmit);
                    Invite::Accepted { until }
                }
                Event::Lapsed | Event::Acknowledged | Event::Repeated | Event::Respond(_) => {
                    Invite::Accepted { until }
                }
            },
            Invite::Terminated => Invite::Terminated,
        };
    }

    /// When something is due, and what.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, Timer)> {
        match self.state {
            Invite::Completed(copies) => Some(copies.deadline(Timer::G, Timer::H)),
            Invite::Confirmed { until } => Some((until, Timer::I)),
            Invite::Accepted { until } => Some((until, Timer::L)),
            Invite::Proceeding { .. } | Invite::Terminated => None,
        }
    }

    fn proceeding(
        &self,
        now: Timestamp,
        answered: bool,
        event: Event,
        out: &mut Vec<Act>,
    ) -> Invite {
        match event {
            // "If a request retransmission is received while in the "Proceeding" state, the most
            // recent provisional response that was received from the TU MUST be passed to the
            // transport layer for retransmission."
            Event::Repeated => {
                if answered {
                    out.push(Act::Transmit);
                }
                Invite::Proceeding { answered }
            }
            Event::Respond(status) => {
                out.push(Act::Transmit);
                self.after(now, status)
            }
            Event::Acknowledged | Event::Lapsed => Invite::Proceeding { answered },
        }
    }

    fn after(&self, now: Timestamp, status: u16) -> Invite {
        match status {
            ..200 => Invite::Proceeding { answered: true },
            // RFC 6026 § 7.1: a 2xx leads to "Accepted", for 64*T1 by timer L.
            200..300 => Invite::Accepted { until: now + self.pace.patience() },
            // "While in the "Proceeding" state, if the TU passes a response with status code from
            // 300 to 699 to the server transaction, the response MUST be passed to the transport
            // layer for transmission, and the state machine MUST enter the "Completed" state."
            300.. => Invite::Completed(Copies::begin(now, &self.pace, self.pace.reliable)),
        }
    }

    fn completed(
        &self,
        now: Timestamp,
        mut copies: Copies,
        event: Event,
        out: &mut Vec<Act>,
    ) -> Invite {
        match event {
            // "If an ACK is received while the server transaction is in the "Completed" state, the
            // server transaction MUST transition to the "Confirmed" state. [...] Timer I is set to
            // fire in T4 seconds for unreliable transports, and zero seconds for reliable".
            Event::Acknowledged => {
                Invite::Confirmed { until: now + self.pace.unless_reliable(self.pace.t4) }
            }
            // "Furthermore, while in the "Completed" state, if a request retransmission is
            // received, the server SHOULD pass the response to the transport for retransmission."
            Event::Repeated => {
                out.push(Act::Transmit);
                Invite::Completed(copies)
            }
            // "If timer H fires while in the "Completed" state, it implies that the ACK was never
            // received. In this case, the server transaction MUST transition to the "Terminated"
            // state, and MUST indicate to the TU that a transaction failure has occurred."
            Event::Lapsed if now >= copies.until => {
                out.push(Act::TimedOut);
                Invite::Terminated
            }
            // "If timer G fires, the response is passed to the transport layer once more for
            // retransmission, and timer G is set to fire in MIN(2*T1, T2) seconds."
            Event::Lapsed => {
                if copies.is_due(now, Some(self.pace.t2)) {
                    out.push(Act::Transmit);
                }
                Invite::Completed(copies)
            }
            Event::Respond(_) => Invite::Completed(copies),
        }
    }
}

/// The transaction of any other request to us.
#[derive(Clone, Debug)]
pub struct NonInviteServer {
    pace: Pace,
    state: Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    Trying,
    Proceeding,
    Completed { until: Timestamp },
    Terminated,
}

impl NonInviteServer {
    /// "The state machine is initialized in the "Trying" state and is passed a request other than
    /// INVITE or ACK when initialized."
    #[must_use]
    pub fn start(pace: Pace) -> Self {
        Self { pace, state: Other::Trying }
    }

    /// Takes an event.
    pub fn on(&mut self, now: Timestamp, event: Event, out: &mut Vec<Act>) {
        self.state = match (self.state, event) {
            // "While in the "Trying" state, if the TU passes a provisional response to the server
            // transaction, the server transaction MUST enter the "Proceeding" state."
            (Other::Trying | Other::Proceeding, Event::Respond(..200)) => {
                out.push(Act::Transmit);
                Other::Proceeding
            }
            // "If the TU passes a final response (status codes 200-699) to the server [...] the
            // transaction MUST enter the "Completed" state, and the response MUST be passed to the
            // transport layer for transmission. [...] it MUST set Timer J to fire in 64*T1 seconds
            // for unreliable transports, and zero seconds for reliable transports."
            (Other::Trying | Other::Proceeding, Event::Respond(_)) => {
                out.push(Act::Transmit);
                Other::Completed { until: now + self.pace.unless_reliable(self.pace.patience()) }
            }
            // "Once in the "Trying" state, any further request retransmissions are discarded."
            (Other::Trying, Event::Repeated | Event::Acknowledged | Event::Lapsed) => Other::Trying,
            // "If a retransmission of the request is received while in the "Proceeding" [or
            // "Completed"] state, the most recently sent [...] response MUST be passed to the
            // transport layer for retransmission."
            (same @ (Other::Proceeding | Other::Completed { .. }), Event::Repeated) => {
                out.push(Act::Transmit);
                same
            }
            // "The server transaction remains in this state until Timer J fires, at which point it
            // MUST transition to the "Terminated" state."
            (Other::Completed { until }, Event::Lapsed) if now >= until => Other::Terminated,
            // "Any other final responses passed by the TU to the server transaction MUST be
            // discarded while in the "Completed" state."
            (same @ Other::Completed { .. }, _) => same,
            (Other::Proceeding, Event::Acknowledged | Event::Lapsed) => Other::Proceeding,
            (Other::Terminated, _) => Other::Terminated,
        };
    }

    /// When something is due, and what.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, Timer)> {
        match self.state {
            Other::Completed { until } => Some((until, Timer::J)),
            Other::Trying | Other::Proceeding | Other::Terminated => None,
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

    fn after(machine: &InviteServer, event: Event) -> (InviteServer, Vec<Act>) {
        let (mut machine, mut acts) = (machine.clone(), Vec::new());
        machine.on(START, event, &mut acts);
        (machine, acts)
    }

    fn due(machine: &InviteServer) -> Option<(u64, Timer)> {
        machine.deadline().map(|(at, timer)| (at.as_millis() - START.as_millis(), timer))
    }

    #[test]
    fn a_refusal_is_repeated_by_timer_g_until_its_ack_or_timer_h() {
        let (completed, acts) = after(&InviteServer::start(pace(false)), Event::Respond(486));
        assert_eq!((acts, due(&completed)), (vec![Act::Transmit], Some((500, Timer::G))));
        assert_eq!(after(&completed, Event::Repeated).1, [Act::Transmit]);
        let (confirmed, acts) = after(&completed, Event::Acknowledged);
        assert_eq!((acts, due(&confirmed)), (vec![], Some((5_000, Timer::I))));
        for event in [Event::Acknowledged, Event::Repeated, Event::Respond(200)] {
            assert_eq!(after(&confirmed, event).1, []);
        }
        let (mut machine, mut acts) = (completed, Vec::new());
        while let Some((at, _)) = machine.deadline() {
            machine.on(at, Event::Lapsed, &mut acts);
        }
        assert_eq!(acts.pop(), Some(Act::TimedOut));
        assert_eq!(acts, [Act::Transmit; 10]);
    }

    #[test]
    fn an_accepted_invite_absorbs_its_copies_until_timer_l() {
        let (ringing, acts) = after(&InviteServer::start(pace(false)), Event::Respond(180));
        assert_eq!(acts, [Act::Transmit]);
        assert_eq!(after(&ringing, Event::Repeated).1, [Act::Transmit]);
        let (accepted, acts) = after(&ringing, Event::Respond(200));
        assert_eq!((acts, due(&accepted)), (vec![Act::Transmit], Some((32_000, Timer::L))));
        assert_eq!(after(&accepted, Event::Repeated).1, []);
        assert_eq!(after(&accepted, Event::Respond(200)).1, [Act::Transmit]);
        assert_eq!(after(&InviteServer::start(pace(false)), Event::Repeated).1, []);
    }

    #[test]
    fn any_other_request_is_answered_again_until_timer_j() {
        for (reliable, until) in [(false, 32), (true, 0)] {
            let (mut machine, mut acts) = (NonInviteServer::start(pace(reliable)), Vec::new());
            machine.on(START, Event::Repeated, &mut acts);
            assert_eq!(acts, [], "nothing to repeat yet");
            machine.on(START, Event::Respond(200), &mut acts);
            machine.on(START, Event::Repeated, &mut acts);
            machine.on(START, Event::Respond(500), &mut acts);
            assert_eq!(acts, [Act::Transmit; 2]);
            let end = START + Duration::from_secs(until);
            assert_eq!(machine.deadline(), Some((end, Timer::J)));
            machine.on(end, Event::Lapsed, &mut acts);
            machine.on(end, Event::Repeated, &mut acts);
            assert_eq!((acts.len(), machine.deadline()), (2, None));
        }
    }
}
