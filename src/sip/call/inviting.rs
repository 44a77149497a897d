//! INVITE: attempts, answers, challenges and forks (RFC 3261 § 13.2, § 22.2; RFC 3262).

use super::{Call, Datagram, Ended, Note, Output, Peer, Purpose, Role, State};
use crate::ambient::Timestamp;
use crate::sip::Timer;
use crate::sip::compose::{ALLOW, Request};
use crate::sip::dialog::{Dialog, Origin};
use crate::sip::extensions::SUPPORTED;
use crate::sip::hop::{Hop, Transport, Way};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::transaction::client::{Act, Event, InviteClient};
use crate::sip::uri::{NameAddr, Uri};

/// One INVITE.
pub(super) struct Attempt {
    machine: InviteClient,
    /// How it would go if size did not matter: the address we are reached at, and what later
    /// requests go by.
    pub(super) way: Way,
    uri: Uri,
    branch: String,
    cseq: u32,
    /// What was sent, and by what.
    datagram: Datagram,
    credentials: Vec<(&'static str, String)>,
    /// Something rings there.
    rings: bool,
    /// It was left for another way and then canceled: when its last response is no longer awaited.
    canceled_until: Option<Timestamp>,
}

impl Attempt {
    pub(super) fn deadline(&self) -> Option<(Timestamp, Timer)> {
        let canceled = self.canceled_until.map(|at| (at, Timer::Cancel));
        self.machine.deadline().into_iter().chain(canceled).min()
    }

    pub(super) fn destroy(&mut self) {
        self.machine.destroy();
    }

    /// No more copies; an answer to one that is on its way still finds the call.
    pub(super) fn hush(&mut self) {
        self.machine.hush();
    }

    /// Whether it goes by TCP for its size alone.
    pub(super) fn is_by_size(&self) -> bool {
        self.datagram.to != self.way.hop
    }

    pub(super) fn branch(&self) -> &str {
        &self.branch
    }

    /// Where it was sent.
    pub(super) fn sent_to(&self) -> Hop {
        self.datagram.to
    }
}

impl Call {
    /// Sends an INVITE, and waits for its answer. RFC 3261 § 8.1.3.5, after a challenge: "This new
    /// request constitutes a new transaction and SHOULD have the same value of the Call-ID, To, and From of the previous
    /// request, but the CSeq should contain a new sequence number that is one higher than the
    /// previous." A new transaction has a new branch, and no To tag.
    pub(super) fn invite(
        &mut self,
        now: Timestamp,
        way: Way,
        ring_until: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let uri = self.request_uri.clone();
        let credentials = self.authentication.headers(&Method::Invite, &uri, &mut self.entropy);
        let (branch, cseq) = (self.branch(), self.cseq);
        let write = |by: &Way| {
            let opening = self
                .opening(Method::Invite, &uri, cseq, &self.callee)
                .via(by, &branch)
                .contact(&self.contact(&way))
                .header("Allow", ALLOW)
                .header("Supported", SUPPORTED);
            let (session, own) = (self.session.asked(), &self.order.headers);
            let opening = session.iter().fold(opening, |it, (name, value)| it.header(name, value));
            let opening = own.iter().fold(opening, |it, (name, value)| it.header(name, value));
            let request = authorized(opening, &credentials);
            request.body("application/sdp", &self.description).to_bytes()
        };
        let bytes = write(&way);
        let datagram = match self.by_size(&way, bytes.len()) {
            Some(by) => Datagram { to: by.hop, bytes: write(&by) },
            None => Datagram { to: way.hop, bytes },
        };
        let mut acts = Vec::new();
        let machine = InviteClient::start(now, self.pace(datagram.to.transport), &mut acts);
        datagram.send(out);
        self.attempts.push(Attempt {
            machine,
            way,
            uri,
            branch,
            cseq,
            datagram,
            credentials,
            rings: false,
            canceled_until: None,
        });
        let is_impatient = !self.order.is_last_resort || self.has_another_way();
        let silent_until = is_impatient.then_some(now + self.settings.silence);
        self.state = State::Inviting { ring_until, silent_until };
    }

    /// Sends another INVITE in the place of one that was answered with what to do better.
    fn invite_again(
        &mut self,
        now: Timestamp,
        way: Way,
        ring_until: Timestamp,
        out: &mut Vec<Output>,
    ) {
        self.leave_early();
        self.cseq += 1;
        self.invite(now, way, ring_until, out);
    }

    /// The lines that INVITE, its CANCEL and the ACK for its refusal have in common.
    fn opening(&self, method: Method, uri: &Uri, cseq: u32, to: &NameAddr) -> Request {
        Request::new(method, uri.clone())
            .from(&self.order.from.clone().tag(&self.local_tag))
            .to(to)
            .call_id(&self.call_id)
            .cseq(cseq)
            .routes(&self.order.routes)
    }

    /// A request in the transaction of an INVITE: the same Request-URI, number and Via.
    pub(super) fn alike(
        &self,
        attempt: usize,
        method: Method,
        to: &NameAddr,
    ) -> Option<(String, Datagram)> {
        let Attempt { uri, cseq, branch, datagram, way, .. } = self.attempts.get(attempt)?;
        let by = Way { hop: datagram.to, ..*way };
        let request = self.opening(method, uri, *cseq, to).via(&by, branch);
        Some((branch.clone(), Datagram { to: by.hop, bytes: request.to_bytes() }))
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
                    // What was left for another way says nothing of the call any more.
                    Act::TimedOut if index + 1 < self.attempts.len() => {}
                    Act::TimedOut => {
                        self.cancel_unheard(now, out);
                        self.unanswered(now, Ended::NoResponse, out);
                    }
                    Act::Acknowledge | Act::Deliver | Act::Unreachable => {}
                }
            }
            if let Some(attempt) = self.attempts.get_mut(index)
                && attempt.canceled_until.take_if(|until| now >= *until).is_some()
            {
                attempt.destroy();
            }
        }
    }

    /// A phone begins to ring for an INVITE that was left for another way, or given up.
    fn cancel_left(&mut self, now: Timestamp, index: usize, out: &mut Vec<Output>) {
        let until = now + self.pace(Transport::Udp).patience();
        let Some(attempt) = self.attempts.get_mut(index) else { return };
        if attempt.canceled_until.is_none() {
            attempt.canceled_until = Some(until);
            self.cancel_attempt(now, index, out);
        }
    }

    pub(super) fn attempt_unreachable(&mut self, now: Timestamp, hop: Hop, out: &mut Vec<Output>) {
        let mut acts = Vec::new();
        if let Some(attempt) = self.attempts.last_mut().filter(|it| it.datagram.to == hop) {
            attempt.machine.on(now, Event::Unreachable, &mut acts);
        }
        if acts.contains(&Act::Unreachable) {
            self.unanswered(now, Ended::Unreachable, out);
        }
    }

    /// The INVITE came to nothing; if we had given up anyway, that is what is said of it.
    fn unanswered(&mut self, now: Timestamp, why: Ended, out: &mut Vec<Output>) {
        match self.state {
            State::Inviting { .. } | State::Early { .. } => {
                if !self.move_on(now, true, out) {
                    self.end(why, out);
                }
            }
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
        let to = match message.to_tag() {
            Some(tag) => self.callee.clone().tag(tag),
            None => self.callee.clone(),
        };
        if let Some((_, ack)) = self.alike(index, Method::Ack, &to) {
            ack.send(out);
        }
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
            ..200 if is_current && !self.state.is_over() => {
                self.provisional(now, from, message, status, out);
            }
            ..200 => self.cancel_left(now, index, out),
            300.. if is_current => self.failure(now, from, message, status, out),
            // What is said of an INVITE after its challenge is said of nothing.
            300.. => {}
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
            let peer = self.remember_early(from, message);
            if self.is_in_order(now, peer, message, out) {
                self.progress(peer, message, status, out);
            }
        }
    }

    /// RFC 3261 § 13.2.2.1: "If the provisional response has a tag in the To field, and if the
    /// dialog ID of the response does not match an existing dialog, one is constructed".
    fn remember_early(&mut self, from: Hop, message: &Message) -> Option<usize> {
        let index = self.attempts.len().checked_sub(1)?;
        let known = self.peer_tagged(index, message.to_tag());
        let early = self.peers.iter().filter(|peer| peer.role == Role::Early).count();
        let is_full = early >= MOST_EARLY_PEERS || self.peers.len() >= MOST_PEERS;
        if message.to_tag().is_none() || known.is_some() || is_full {
            return known.filter(|_| message.to_tag().is_some());
        }
        let attempt = self.attempts.get(index)?;
        let peer = Peer::new(self.dialog(attempt, message, from), index, attempt.way);
        self.peers.push(peer);
        Some(self.peers.len() - 1)
    }

    /// Whether a provisional response is to be looked at; what is reliable is acknowledged.
    fn is_in_order(
        &mut self,
        now: Timestamp,
        peer: Option<usize>,
        message: &Message,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some((index, rseq)) = peer.zip(message.reliable()) else { return true };
        let Some(peer) = self.peers.get_mut(index) else { return true };
        let (number, _) = message.cseq();
        let rack = format!("{rseq} {number} INVITE");
        match peer.rseq {
            // RFC 3262 § 4: "Once a reliable provisional response is received, retransmissions of
            // that response MUST be discarded." Its sender has not seen our PRACK: it gets a copy.
            Some(last) if last == rseq => self.prack_again(&rack, out),
            // RFC 3262 § 4: "if the UAC receives another reliable provisional response to the same
            // request, and its RSeq value is not one higher than the value of the sequence number,
            // that response MUST NOT be acknowledged with a PRACK, and MUST NOT be processed
            // further by the UAC."
            Some(last) if last.checked_add(1) != Some(rseq) => {}
            // RFC 3262 § 4: "its value MUST be initialized to the RSeq header field in the first
            // reliable provisional response received for the initial request." And: "the UAC MUST
            // create a new request with method PRACK. This request is sent within the dialog
            // associated with the provisional response".
            Some(_) | None => {
                peer.rseq = Some(rseq);
                self.ask(now, index, Purpose::Prack { rack }, out);
                return true;
            }
        }
        false
    }

    fn progress(
        &mut self,
        peer: Option<usize>,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) {
        // RFC 6228 § 4: a 199 says that one early dialog of several has ended; the others go on.
        if status == 199 {
            return;
        }
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.rings = true;
        }
        let mut sdp = message.sdp().map(<[u8]>::to_vec);
        if let Some(peer) = peer.and_then(|peer| self.peers.get_mut(peer)) {
            peer.takes_update |= message.allows(&Method::Update);
            if peer.is_agreed {
                // RFC 3261 § 13.2.1: "the UAC MUST treat the first session description it receives
                // as the answer, and MUST ignore any session descriptions in subsequent responses
                // to the initial INVITE."
                sdp = None;
            } else if sdp.is_some() {
                // RFC 3262 § 5: a reliable response may carry the answer to the offer of the INVITE;
                // in any other it is a glimpse of the one to come.
                peer.is_agreed = message.reliable().is_some();
                peer.sdp.clone_from(&sdp);
            }
        }
        self.tell_diversion(message.tells_of_diversion(), out);
        out.push(Output::Alerting { status, sdp });
    }

    fn failure(
        &mut self,
        now: Timestamp,
        from: Hop,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) {
        match self.state {
            State::Inviting { ring_until, .. } | State::Early { ring_until } => {
                self.refused(now, from, ring_until, message, status, out);
            }
            // RFC 3261 § 9.1: a 487 is what CANCEL brings about; any other refusal that crossed
            // it serves as well.
            State::Abandoning { why } | State::Canceling { why, .. } => self.end(why, out),
            State::Ready | State::Up | State::Leaving { .. } | State::Over(_) => {}
        }
    }

    /// A refusal may say what to do better.
    fn refused(
        &mut self,
        now: Timestamp,
        from: Hop,
        ring_until: Timestamp,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) {
        let Some(Attempt { way, datagram, rings, .. }) = self.attempts.last() else { return };
        let (way, sent_to, rings) = (*way, datagram.to, *rings);
        let better = match status {
            // RFC 3263 § 4.3: "failure occurs if the transaction layer reports a 503 error response".
            // A 408 before anything rings is the time-out of a server behind it; afterwards it is
            // that of the phone.
            503 => return self.move_on_or_end(now, message, status, out),
            408 if !rings => return self.move_on_or_end(now, message, status, out),
            401 | 407 => {
                if !self.may_answer(from, sent_to, message, out) {
                    return self.end(Ended::AuthenticationRefused { status }, out);
                }
                Some(way)
            }
            // RFC 4028 § 7.3: "If the response to a session refresh request is a 422 (Session
            // Interval Too Small) response message, then the UAC MAY retry the request."
            422 => self.session.raise(message).map(|seconds| {
                out.push(Output::Note(Note::SessionRaised { seconds }));
                way
            }),
            300..=399 => self.redirect(message, out),
            _ => None,
        };
        match better {
            Some(way) => self.invite_again(now, way, ring_until, out),
            None => self.rejected(message, status, out),
        }
    }

    fn move_on_or_end(
        &mut self,
        now: Timestamp,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) {
        if !self.move_on(now, false, out) {
            self.rejected(message, status, out);
        }
    }

    fn rejected(&mut self, message: &Message, status: u16, out: &mut Vec<Output>) {
        let (q850, retry_after) = (message.reason_q850(), message.retry_after());
        self.end(Ended::Rejected { status, q850, retry_after }, out);
    }

    /// Whether a challenge may be answered, and can be.
    pub(super) fn may_answer(
        &mut self,
        from: Hop,
        sent_to: Hop,
        message: &Message,
        out: &mut Vec<Output>,
    ) -> bool {
        // What a password is worth is not for whoever comes along to ask. A translator may change the
        // port; a stream has but one other end.
        let ip = |hop: Hop| hop.address.ip().to_canonical();
        if sent_to.transport == Transport::Udp && ip(from) != ip(sent_to) {
            out.push(Output::Note(Note::ForeignChallenge { from }));
            return false;
        }
        self.authentication.challenged(message.challenges()).is_ok()
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
        let known = self.peer_tagged(index, message.to_tag());
        let repeated = known.and_then(|known| self.peers.get(known)?.ack.clone());
        if let Some(ack) = repeated {
            // "The UAC core MUST generate an ACK request for each 2xx received from the
            // transaction layer", and for a copy of it the same ACK once more.
            return ack.send(out);
        }
        let Some(peer) = self.acknowledge_answer(from, index, known, message, out) else {
            return out.push(Output::Note(Note::TooManyForks));
        };
        self.tell_diversion(message.tells_of_diversion(), out);
        let is_current = index + 1 == self.attempts.len();
        match self.state {
            State::Inviting { .. } | State::Early { .. } if is_current => {
                self.choose(peer, Role::Chosen);
                self.state = State::Up;
                self.session.agree(now, message);
                out.push(Output::Answered { status, sdp: self.answer_of(peer, message) });
            }
            // RFC 3261 § 9.1: CANCEL "has no effect on a request to which a UAS has already given
            // a final response". Whoever answered is told that it is over.
            State::Abandoning { why } | State::Canceling { why, .. } if is_current => {
                self.choose(peer, Role::Chosen);
                out.push(Output::Note(Note::LateAnswer));
                self.leave(now, why, out);
            }
            // The INVITE was left for another way: there is one call, and it is not here.
            State::Inviting { .. }
            | State::Early { .. }
            | State::Abandoning { .. }
            | State::Canceling { .. } => {
                self.choose(peer, Role::Fork);
                out.push(Output::Note(Note::LateAnswer));
                self.bye(now, peer, out);
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

    /// The answer to our offer: what came reliably before, or what comes now, or else what was
    /// glimpsed of it.
    fn answer_of(&self, peer: usize, message: &Message) -> Option<Vec<u8>> {
        let peer = self.peers.get(peer)?;
        let now = message.sdp().filter(|_| !peer.is_agreed).map(<[u8]>::to_vec);
        now.or_else(|| peer.sdp.clone())
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
        let mut dialog = self.dialog(attempt, message, from);
        if let Some(early) = known.and_then(|known| self.peers.get(known)) {
            dialog = dialog.after(&early.dialog);
        }
        let (way, to) = (attempt.way, dialog.destination());
        let request = dialog.ack(attempt.cseq).via(&Way { hop: to, ..way }, &branch);
        let bytes = authorized(request, &attempt.credentials).to_bytes();
        let ack = Datagram { to, bytes };
        let place = self.place(known)?;
        if message.contact_uri().is_none() {
            out.push(Output::Note(Note::MissingContact));
        }
        ack.send(out);
        if place == self.peers.len() {
            self.peers.push(Peer::new(dialog.clone(), index, way));
        }
        let peer = self.peers.get_mut(place)?;
        peer.takes_update |= message.allows(&Method::Update);
        (peer.dialog, peer.way, peer.ack) = (dialog, way, Some(ack));
        Some(place)
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

    fn peer_tagged(&self, attempt: usize, tag: Option<&str>) -> Option<usize> {
        let is_it = |peer: &Peer| peer.attempt == attempt && peer.dialog.remote_tag() == tag;
        self.peers.iter().position(is_it)
    }

    /// The phones of a way that was left ring no more for us.
    pub(super) fn leave_early(&mut self) {
        for peer in self.peers.iter_mut().filter(|peer| peer.role == Role::Early) {
            peer.role = Role::Fork;
        }
    }

    fn dialog(&self, attempt: &Attempt, response: &Message, from: Hop) -> Dialog {
        let (caller, tag, to) = (&self.order.from, self.local_tag.as_str(), &self.callee);
        // Whoever got the INVITE by TCP for its size alone is spoken with by UDP otherwise.
        let source = Hop { transport: attempt.way.hop.transport, ..from };
        Dialog::caller(&Origin { from: caller, tag, to, cseq: attempt.cseq }, response, source)
    }
}

/// A request with the credentials that go with it.
pub(super) fn authorized(request: Request, credentials: &[(&'static str, String)]) -> Request {
    credentials.iter().fold(request, |request, (name, value)| request.header(name, value))
}

const MOST_EARLY_PEERS: usize = 8;
const MOST_PEERS: usize = 16;
