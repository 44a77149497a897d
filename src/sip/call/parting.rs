//! CANCEL and BYE: how we end it (RFC 3261 § 9.1, § 15.1.1).

use super::inviting::authorized;
use super::{Call, Datagram, Ended, Output, Peer, Role, State};
use crate::ambient::Timestamp;
use crate::sip::Timer;
use crate::sip::hop::{Hop, Transport, Way};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::transaction::client::{Act, Event, NonInviteClient};

/// Our CANCEL. Its branch is that of the INVITE.
pub(super) struct Cancel {
    machine: NonInviteClient,
    branch: String,
    datagram: Datagram,
}

impl Cancel {
    pub(super) fn deadline(&self) -> Option<(Timestamp, Timer)> {
        self.machine.deadline()
    }
}

/// Our BYE to one peer.
pub(super) struct Farewell {
    machine: NonInviteClient,
    branch: String,
    datagram: Datagram,
    peer: usize,
    was_challenged: bool,
}

impl Farewell {
    pub(super) fn deadline(&self) -> Option<(Timestamp, Timer)> {
        self.machine.deadline()
    }
}

impl Call {
    /// Ends a call that nobody has answered yet.
    pub(super) fn give_up(&mut self, now: Timestamp, why: Ended, out: &mut Vec<Output>) {
        match self.state {
            // RFC 3261 § 9.1: "If no provisional response has been received, the CANCEL request
            // MUST NOT be sent".
            State::Inviting { .. } => self.state = State::Abandoning { why },
            State::Early { .. } => self.cancel(now, why, out),
            State::Ready
            | State::Abandoning { .. }
            | State::Canceling { .. }
            | State::Up
            | State::Leaving { .. }
            | State::Over(_) => {}
        }
    }

    /// RFC 3261 § 9.1: "The Request-URI, Call-ID, To, the numeric part of CSeq, and From header
    /// fields in the CANCEL request MUST be identical to those in the request being cancelled,
    /// including tags. A CANCEL constructed by a client MUST have only a single Via header field
    /// value matching the top Via value in the request being cancelled."
    pub(super) fn cancel(&mut self, now: Timestamp, why: Ended, out: &mut Vec<Output>) {
        self.state = State::Canceling { why, until: now + self.pace(Transport::Udp).patience() };
        let Some((branch, cseq, way)) = self.current() else { return };
        let request = self.opening(Method::Cancel, cseq, &way, &branch, &self.callee);
        let datagram = Datagram { to: way.hop, bytes: request.to_bytes() };
        let mut acts = Vec::new();
        let machine = NonInviteClient::start(now, self.pace(way.hop.transport), &mut acts);
        datagram.send(out);
        self.cancel = Some(Cancel { machine, branch, datagram });
    }

    /// RFC 3261 § 9.1: "If there is no final response for the original request in 64*T1 seconds
    /// [...], the client SHOULD then consider the original transaction cancelled and SHOULD
    /// destroy the client transaction handling the original request."
    pub(super) fn cancel_given_up(&mut self, why: Ended, out: &mut Vec<Output>) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.destroy();
        }
        self.end(why, out);
    }

    /// Takes a response to our CANCEL, which says nothing about the call; false when it is not
    /// one.
    pub(super) fn cancel_response(
        &mut self,
        now: Timestamp,
        message: &Message,
        status: u16,
    ) -> bool {
        let is_ours = |cancel: &&mut Cancel| {
            *message.method() == Method::Cancel && cancel.branch == message.branch()
        };
        let Some(cancel) = self.cancel.as_mut().filter(is_ours) else { return false };
        cancel.machine.on(now, Event::Response(status), &mut Vec::new());
        true
    }

    /// Hangs up on the peer we speak with, and tells the owner.
    pub(super) fn leave(&mut self, now: Timestamp, why: Ended, out: &mut Vec<Output>) {
        self.offered = None;
        self.unacknowledged = None;
        if let Some(peer) = self.peer_with(Role::Chosen) {
            self.bye(now, peer, out);
        }
        self.state = State::Leaving { why };
        self.tell(why, out);
    }

    /// RFC 3261 § 15.1.1: "A BYE request is constructed as would any other request within a
    /// dialog".
    pub(super) fn bye(&mut self, now: Timestamp, peer: usize, out: &mut Vec<Output>) {
        self.farewell(now, peer, false, out);
    }

    fn farewell(
        &mut self,
        now: Timestamp,
        peer: usize,
        was_challenged: bool,
        out: &mut Vec<Output>,
    ) {
        let branch = self.branch();
        let Some(Peer { dialog, way, .. }) = self.peers.get_mut(peer) else { return };
        let to = dialog.destination();
        let request = dialog.request(Method::Bye).via(&Way { hop: to, ..*way }, &branch);
        let credentials =
            self.authentication.headers(&Method::Bye, request.uri(), &mut self.entropy);
        let bytes = authorized(request, &credentials).to_bytes();
        let datagram = Datagram { to, bytes };
        let mut acts = Vec::new();
        let machine = NonInviteClient::start(now, self.pace(to.transport), &mut acts);
        datagram.send(out);
        self.farewells.push(Farewell { machine, branch, datagram, peer, was_challenged });
    }

    /// Takes a response to one of our BYEs; false when it is not one.
    pub(super) fn farewell_response(
        &mut self,
        now: Timestamp,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) -> bool {
        let is_ours = |farewell: &&mut Farewell| {
            *message.method() == Method::Bye && farewell.branch == message.branch()
        };
        let Some(farewell) = self.farewells.iter_mut().find(is_ours) else { return false };
        let mut acts = Vec::new();
        farewell.machine.on(now, Event::Response(status), &mut acts);
        let (peer, was_challenged) = (farewell.peer, farewell.was_challenged);
        if status < 200 || !acts.contains(&Act::Deliver) {
            return true;
        }
        let is_challenge = matches!(status, 401 | 407) && !was_challenged;
        if is_challenge {
            // The nonce of the INVITE may have run out since: one new question, one new answer.
            self.authentication.forget();
            if self.authentication.challenged(message.challenges()).is_ok() {
                self.farewell(now, peer, true, out);
                return true;
            }
        }
        // RFC 3261 § 15.1.1: "If the response for the BYE is a 481 (Call/Transaction Does Not
        // Exist) or a 408 (Request Timeout) or no response at all is received for the BYE [...],
        // the UAC MUST consider the session and the dialog terminated"; and so does any other.
        self.parted();
        true
    }

    pub(super) fn parting_lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut acts = Vec::new();
        if let Some(cancel) = &mut self.cancel {
            cancel.machine.on(now, Event::Lapsed, &mut acts);
            if acts.contains(&Act::Transmit) {
                cancel.datagram.send(out);
            }
        }
        for farewell in &mut self.farewells {
            acts.clear();
            farewell.machine.on(now, Event::Lapsed, &mut acts);
            if acts.contains(&Act::Transmit) {
                farewell.datagram.send(out);
            }
        }
        self.parted();
    }

    pub(super) fn farewells_unreachable(&mut self, now: Timestamp, hop: Hop) {
        for farewell in self.farewells.iter_mut().filter(|it| it.datagram.to == hop) {
            farewell.machine.on(now, Event::Unreachable, &mut Vec::new());
        }
        self.parted();
    }

    /// Once no BYE awaits an answer, it is over.
    fn parted(&mut self) {
        if let State::Leaving { why } = self.state
            && self.farewells.iter().all(|farewell| farewell.machine.is_over())
        {
            self.state = State::Over(why);
        }
    }
}
