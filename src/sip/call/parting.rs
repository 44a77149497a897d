//! CANCEL and BYE: how we end it (RFC 3261 § 9.1, § 15.1.1).

use super::inviting::Attempt;
use super::{Call, Datagram, Ended, Errand, Output, Purpose, Role, State};
use crate::ambient::Timestamp;
use crate::sip::Timer;
use crate::sip::hop::Transport;
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
        if let Some(current) = self.attempts.len().checked_sub(1) {
            self.cancel_attempt(now, current, out);
        }
    }

    pub(super) fn cancel_attempt(&mut self, now: Timestamp, index: usize, out: &mut Vec<Output>) {
        let Some((branch, datagram)) = self.alike(index, Method::Cancel, &self.callee) else {
            return;
        };
        self.cancels.retain(|cancel| cancel.branch != branch);
        let mut acts = Vec::new();
        let pace = self.pace(datagram.to.transport);
        let machine = NonInviteClient::start(now, pace, &mut acts);
        datagram.send(out);
        self.cancels.push(Cancel { machine, branch, datagram });
    }

    /// Cancels an INVITE that is given up, and that nothing was heard of: it may ring all the same, and
    /// no copy of it will find out. RFC 3261 § 9.1: "If no provisional response has been received, the
    /// CANCEL request MUST NOT be sent", lest it come before the INVITE. The last copy is long there;
    /// if it is not, the first provisional response brings about another CANCEL.
    pub(super) fn cancel_unheard(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Some(current) = self.attempts.len().checked_sub(1) else { return };
        let branch = self.attempts.get(current).map(Attempt::branch);
        if !self.cancels.iter().any(|cancel| Some(cancel.branch.as_str()) == branch) {
            self.cancel_attempt(now, current, out);
        }
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
        let Some(cancel) = self.cancels.iter_mut().find(is_ours) else { return false };
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
        self.ask(now, peer, Purpose::Bye, out);
    }

    pub(super) fn cancels_lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        for cancel in &mut self.cancels {
            let mut acts = Vec::new();
            cancel.machine.on(now, Event::Lapsed, &mut acts);
            if acts.contains(&Act::Transmit) {
                cancel.datagram.send(out);
            }
        }
    }

    /// Once no BYE awaits an answer, it is over.
    pub(super) fn parted(&mut self) {
        if let State::Leaving { why } = self.state
            && !self.errands.iter().any(Errand::is_open_bye)
        {
            self.state = State::Over(why);
        }
    }
}
