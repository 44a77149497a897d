//! INVITE: attempts, answers, challenges and forks (RFC 3261 § 13.2, § 22.2).

use super::{Call, Datagram, Ended, Note, Output, Peer, Role, State};
use crate::ambient::Timestamp;
use crate::sip::Timer;
use crate::sip::compose::{ALLOW, Request};
use crate::sip::dialog::{Dialog, Origin};
use crate::sip::hop::{Hop, Way};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::transaction::client::{Act, Event, InviteClient};
use crate::sip::uri::NameAddr;

/// One INVITE.
pub(super) struct Attempt {
    machine: InviteClient,
    way: Way,
    branch: String,
    cseq: u32,
    datagram: Datagram,
    credentials: Vec<(&'static str, String)>,
}

impl Attempt {
    pub(super) fn deadline(&self) -> Option<(Timestamp, Timer)> {
        self.machine.deadline()
    }

    pub(super) fn destroy(&mut self) {
        self.machine.destroy();
    }
}

impl Call {
    /// Sends an INVITE: the first, or the next after a challenge. RFC 3261 § 8.1.3.5: "This new
    /// request constitutes a new transaction and SHOULD have the same value of the Call-ID, To, and From of the previous
    /// request, but the CSeq should contain a new sequence number that is one higher than the
    /// previous." A new transaction has a new branch, and no To tag.
    pub(super) fn invite(&mut self, now: Timestamp, way: Way, out: &mut Vec<Output>) {
        self.cseq += 1;
        let uri = self.callee.uri().clone();
        let credentials = self.authentication.headers(&Method::Invite, &uri, &mut self.entropy);
        let branch = self.branch();
        let opening = self
            .opening(Method::Invite, self.cseq, &way, &branch, &self.callee)
            .contact(&self.contact(&way))
            .header("Allow", ALLOW);
        let headers = self.order.headers.iter();
        let opening = headers.fold(opening, |it, (name, value)| it.header(name, value));
        let request = authorized(opening, &credentials).body("application/sdp", &self.offer);
        let datagram = Datagram { to: way.hop, bytes: request.to_bytes() };
        let mut acts = Vec::new();
        let machine = InviteClient::start(now, self.pace(way.hop.transport), &mut acts);
        datagram.send(out);
        let cseq = self.cseq;
        self.attempts.push(Attempt { machine, way, branch, cseq, datagram, credentials });
    }

    /// The lines that INVITE, its CANCEL and the ACK for its refusal have in common.
    pub(super) fn opening(
        &self,
        method: Method,
        cseq: u32,
        way: &Way,
        branch: &str,
        to: &NameAddr,
    ) -> Request {
        Request::new(method, self.callee.uri().clone())
            .via(way, branch)
            .from(&self.order.from.clone().tag(&self.local_tag))
            .to(to)
            .call_id(&self.call_id)
            .cseq(cseq)
            .routes(&self.order.routes)
    }

    /// Branch, number and way of the INVITE that counts.
    pub(super) fn current(&self) -> Option<(String, u32, Way)> {
        self.attempts.last().map(|attempt| (attempt.branch.clone(), attempt.cseq, attempt.way))
    }

    /// Takes a response to one of our INVITEs; false when it is not one.
    pub(super) fn invite_response(
        &mut self,
        now: Timestamp,
        from: Hop,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) -> bool {
        let is_ours = |attempt: &Attempt| {
            *message.method() == Method::Invite && attempt.branch == message.branch()
        };
        let Some(index) = self.attempts.iter().position(is_ours) else { return false };
        let mut acts = Vec::new();
        if let Some(attempt) = self.attempts.get_mut(index) {
            attempt.machine.on(now, Event::Response(status), &mut acts);
        }
        for act in acts {
            match act {
                Act::Acknowledge => self.acknowledge_refusal(index, message, out),
                Act::Deliver => self.answered(now, from, index, message, status, out),
                Act::Transmit | Act::TimedOut | Act::Unreachable => {}
            }
        }
        true
    }

    pub(super) fn attempts_lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        for index in 0..self.attempts.len() {
            let mut acts = Vec::new();
            let Some(attempt) = self.attempts.get_mut(index) else { continue };
            attempt.machine.on(now, Event::Lapsed, &mut acts);
            for act in acts {
                match act {
                    Act::Transmit => {
                        if let Some(attempt) = self.attempts.get(index) {
                            attempt.datagram.send(out);
                        }
                    }
                    Act::TimedOut => self.unanswered(Ended::NoResponse, out),
                    Act::Acknowledge | Act::Deliver | Act::Unreachable => {}
                }
            }
        }
    }

    /// No more copies of the INVITE; an answer to one that is on its way still finds the call.
    pub(super) fn hush(&mut self) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.machine.hush();
        }
    }

    pub(super) fn attempt_unreachable(&mut self, now: Timestamp, hop: Hop, out: &mut Vec<Output>) {
        let mut acts = Vec::new();
        if let Some(attempt) = self.attempts.last_mut().filter(|it| it.way.hop == hop) {
            attempt.machine.on(now, Event::Unreachable, &mut acts);
        }
        if acts.contains(&Act::Unreachable) {
            self.unanswered(Ended::Unreachable, out);
        }
    }

    /// The INVITE came to nothing; if we had given up anyway, that is what is said of it.
    fn unanswered(&mut self, why: Ended, out: &mut Vec<Output>) {
        match self.state {
            State::Inviting { .. } | State::Early { .. } => self.end(why, out),
            // Nobody can be said not to have answered a call that never reached anyone.
            State::Abandoning { why: Ended::NoAnswer } => self.end(why, out),
            State::Abandoning { why: given_up } | State::Canceling { why: given_up, .. } => {
                self.end(given_up, out);
            }
            State::Ready | State::Up | State::Leaving { .. } | State::Over(_) => {}
        }
    }

    /// RFC 3261 § 17.1.1.3: "The To header field in the ACK MUST equal the To header field in the
    /// response being acknowledged [...]. The ACK MUST contain a single Via header field, and this
    /// MUST be equal to the top Via header field of the original request."
    fn acknowledge_refusal(&mut self, index: usize, message: &Message, out: &mut Vec<Output>) {
        let Some(attempt) = self.attempts.get(index) else { return };
        let to = match message.to_tag() {
            Some(tag) => self.callee.clone().tag(tag),
            None => self.callee.clone(),
        };
        let ack = self.opening(Method::Ack, attempt.cseq, &attempt.way, &attempt.branch, &to);
        Datagram { to: attempt.datagram.to, bytes: ack.to_bytes() }.send(out);
    }

    fn answered(
        &mut self,
        now: Timestamp,
        from: Hop,
        index: usize,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) {
        let is_current = index + 1 == self.attempts.len();
        match status {
            200..300 => self.success(now, from, index, message, status, out),
            // What is said of an INVITE after its challenge is said of nothing.
            _ if !is_current => {}
            ..200 => self.provisional(now, from, message, status, out),
            300.. => self.failure(now, message, status, out),
        }
    }

    fn provisional(
        &mut self,
        now: Timestamp,
        from: Hop,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) {
        match self.state {
            State::Inviting { ring_until, .. } => self.state = State::Early { ring_until },
            // RFC 3261 § 9.1: "If no provisional response has been received, the CANCEL request
            // MUST NOT be sent; rather, the client MUST wait for the arrival of a provisional
            // response before sending the request."
            State::Abandoning { why } => return self.cancel(now, why, out),
            State::Early { .. } => {}
            State::Ready
            | State::Canceling { .. }
            | State::Up
            | State::Leaving { .. }
            | State::Over(_) => return,
        }
        // RFC 3261 § 21.1.1: a 100 only says that the next hop has the request.
        if status > 100 {
            self.remember_early(from, message);
            out.push(Output::Alerting { status, sdp: message.sdp().map(<[u8]>::to_vec) });
        }
    }

    /// RFC 3261 § 13.2.2.1: "If the provisional response has a tag in the To field, and if the
    /// dialog ID of the response does not match an existing dialog, one is constructed".
    fn remember_early(&mut self, from: Hop, message: &Message) {
        let is_known = message.to_tag().is_none() || self.peer_tagged(message.to_tag()).is_some();
        if is_known || self.peers.len() >= MOST_EARLY_PEERS {
            return;
        }
        if let Some((_, cseq, way)) = self.current() {
            let dialog = self.dialog(cseq, message, from);
            self.peers.push(Peer { dialog, way, role: Role::Early, ack: None });
        }
    }

    fn failure(&mut self, now: Timestamp, message: &Message, status: u16, out: &mut Vec<Output>) {
        match self.state {
            State::Inviting { ring_until, .. } | State::Early { ring_until } => {
                if !matches!(status, 401 | 407) {
                    self.rejected(message, status, out);
                } else if self.authentication.challenged(message.challenges()).is_ok() {
                    self.peers.clear();
                    self.state = self.inviting(now, ring_until);
                    if let Some((_, _, way)) = self.current() {
                        self.invite(now, way, out);
                    }
                } else {
                    self.end(Ended::AuthenticationRefused { status }, out);
                }
            }
            // RFC 3261 § 9.1: a 487 is what CANCEL brings about; any other refusal that crossed
            // it serves as well.
            State::Abandoning { why } | State::Canceling { why, .. } => self.end(why, out),
            State::Ready | State::Up | State::Leaving { .. } | State::Over(_) => {}
        }
    }

    fn rejected(&mut self, message: &Message, status: u16, out: &mut Vec<Output>) {
        if let Some(seconds) = message.retry_after() {
            out.push(Output::Note(Note::RetryAfter { seconds }));
        }
        self.end(Ended::Rejected { status, q850: message.reason_q850() }, out);
    }

    /// RFC 3261 § 13.2.2.4: "Multiple 2xx responses may arrive at the UAC for a single INVITE
    /// request due to a forking proxy. Each response is distinguished by the tag parameter in the
    /// To header field, and each represents a distinct dialog".
    fn success(
        &mut self,
        now: Timestamp,
        from: Hop,
        index: usize,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) {
        let known = self.peer_tagged(message.to_tag());
        let repeated = known.and_then(|known| self.peers.get(known)?.ack.clone());
        if let Some(ack) = repeated {
            // "The UAC core MUST generate an ACK request for each 2xx received from the
            // transaction layer", and for a copy of it the same ACK once more.
            return ack.send(out);
        }
        let Some(peer) = self.acknowledge_answer(from, index, known, message, out) else {
            return out.push(Output::Note(Note::TooManyForks));
        };
        match self.state {
            State::Inviting { .. } | State::Early { .. } => {
                self.choose(peer, Role::Chosen);
                self.state = State::Up;
                let sdp = message.sdp().map(<[u8]>::to_vec);
                out.push(Output::Answered { status, sdp });
            }
            // RFC 3261 § 9.1: CANCEL "has no effect on a request to which a UAS has already given
            // a final response". Whoever answered is told that it is over.
            State::Abandoning { why } | State::Canceling { why, .. } => {
                self.choose(peer, Role::Chosen);
                out.push(Output::Note(Note::LateAnswer));
                self.leave(now, why, out);
            }
            // RFC 3261 § 13.2.2.4: "If, after acknowledging any 2xx response to an INVITE, the UAC
            // does not want to continue with that dialog, then the UAC MUST terminate the dialog
            // by sending a BYE request".
            State::Ready | State::Up | State::Leaving { .. } | State::Over(_) => {
                self.choose(peer, Role::Fork);
                out.push(Output::Note(Note::Fork));
                self.bye(now, peer, out);
            }
        }
    }

    /// Makes the dialog and sends the ACK: "The ACK MUST contain the same credentials as the
    /// INVITE."
    fn acknowledge_answer(
        &mut self,
        from: Hop,
        index: usize,
        known: Option<usize>,
        message: &Message,
        out: &mut Vec<Output>,
    ) -> Option<usize> {
        let branch = self.branch();
        let attempt = self.attempts.get(index)?;
        let mut dialog = self.dialog(attempt.cseq, message, from);
        if let Some(early) = known.and_then(|known| self.peers.get(known)) {
            dialog = dialog.after(&early.dialog);
        }
        let (way, to) = (attempt.way, dialog.destination());
        let request = dialog.ack(attempt.cseq).via(&Way { hop: to, ..way }, &branch);
        let bytes = authorized(request, &attempt.credentials).to_bytes();
        let ack = Datagram { to, bytes };
        let peer = self.place(known)?;
        if message.contact_uri().is_none() {
            out.push(Output::Note(Note::MissingContact));
        }
        ack.send(out);
        let answered = Peer { dialog, way, role: Role::Early, ack: Some(ack) };
        match self.peers.get_mut(peer) {
            Some(place) => *place = answered,
            None => self.peers.push(answered),
        }
        Some(peer)
    }

    /// Where a peer that answered is kept: its early place, or the next.
    fn place(&self, known: Option<usize>) -> Option<usize> {
        known.or_else(|| (self.peers.len() < MOST_PEERS).then_some(self.peers.len()))
    }

    fn choose(&mut self, peer: usize, role: Role) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.role = role;
        }
    }

    fn peer_tagged(&self, tag: Option<&str>) -> Option<usize> {
        self.peers.iter().position(|peer| peer.dialog.remote_tag() == tag)
    }

    fn dialog(&self, cseq: u32, response: &Message, from: Hop) -> Dialog {
        let (caller, tag, to) = (&self.order.from, self.local_tag.as_str(), &self.callee);
        Dialog::caller(&Origin { from: caller, tag, to, cseq }, response, from)
    }
}

/// A request with the credentials that go with it.
pub(super) fn authorized(request: Request, credentials: &[(&'static str, String)]) -> Request {
    credentials.iter().fold(request, |request, (name, value)| request.header(name, value))
}

const MOST_EARLY_PEERS: usize = 8;
const MOST_PEERS: usize = 16;
