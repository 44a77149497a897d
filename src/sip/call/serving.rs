//! What the callee asks of us while the call lasts (RFC 3261 § 12.2.2, § 14.2, § 15.1.2; RFC 3311;
//! RFC 6086).

use super::refreshing::{self, Session};
use super::{Call, Datagram, Ended, Note, Output, Role, State, Why};
use crate::ambient::Timestamp;
use crate::sip::Timer;
use crate::sip::compose::{ALLOW, Response};
use crate::sip::extensions;
use crate::sip::hop::Hop;
use crate::sip::info::{self, Unread};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::stateless;
use crate::sip::transaction::Copies;
use crate::sip::transaction::server::{Act, Event, InviteServer, NonInviteServer};
use crate::sip::uri::Uri;

/// RFC 3261 § 17.2.3: a request matches a transaction by "the branch parameter in the request",
/// "the sent-by value in the top Via of the request" and "the method of the request"; the number
/// stands for all that RFC 2543 compares when there is no branch.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    branch: String,
    sent_by: String,
    method: Method,
    number: u32,
}

impl Key {
    fn of(message: &Message) -> Self {
        let (number, method) = message.cseq();
        let (branch, sent_by) = (message.branch().to_owned(), message.sent_by().to_owned());
        Self { branch, sent_by, method, number }
    }

    /// ACK and CANCEL carry the branch and the number of the INVITE they mean.
    fn of_invite(message: &Message) -> Self {
        Self { method: Method::Invite, ..Self::of(message) }
    }
}

/// A request that was answered.
pub(super) struct Served {
    key: Key,
    machine: Machine,
    response: Datagram,
}

enum Machine {
    Invite(InviteServer),
    Other(NonInviteServer),
}

impl Machine {
    fn on(&mut self, now: Timestamp, event: Event) -> Vec<Act> {
        let mut acts = Vec::new();
        match self {
            Self::Invite(machine) => machine.on(now, event, &mut acts),
            Self::Other(machine) => machine.on(now, event, &mut acts),
        }
        acts
    }
}

impl Served {
    pub(super) fn deadline(&self) -> Option<(Timestamp, Timer)> {
        match &self.machine {
            Machine::Invite(machine) => machine.deadline(),
            Machine::Other(machine) => machine.deadline(),
        }
    }

    fn on(&mut self, now: Timestamp, event: Event, out: &mut Vec<Output>) {
        for act in self.machine.on(now, event) {
            match act {
                Act::Transmit => self.response.send(out),
                // Whoever does not acknowledge a refusal has been refused all the same.
                Act::TimedOut => {}
            }
        }
    }
}

/// A re-INVITE or UPDATE that the owner has to answer.
pub(super) struct Offered {
    key: Key,
    message: Message,
    from: Hop,
    /// Where we are reached by whoever offered.
    contact: Uri,
    peer: usize,
}

/// Our 2xx to a re-INVITE, until its ACK comes.
pub(super) struct Unacknowledged {
    number: u32,
    copies: Copies,
    response: Datagram,
    /// Whether the ACK must bring the answer to our offer.
    awaits_answer: bool,
}

impl Unacknowledged {
    pub(super) fn deadline(&self) -> (Timestamp, Timer) {
        self.copies.deadline(Timer::Accept, Timer::Accept)
    }
}

impl Call {
    /// Takes a request with our Call-ID.
    pub(super) fn request(
        &mut self,
        now: Timestamp,
        from: Hop,
        message: &Message,
        out: &mut Vec<Output>,
    ) {
        let key = Key::of(message);
        let is_pending = self.offered.as_ref().is_some_and(|offered| offered.key == key);
        if is_pending {
            return;
        }
        if let Some(served) = self.served.iter_mut().find(|served| served.key == key) {
            return served.on(now, Event::Repeated, out);
        }
        if *message.method() == Method::Ack {
            return self.acknowledged(now, message, out);
        }
        if *message.method() == Method::Cancel {
            return self.canceled(now, from, message, out);
        }
        match self.peers.iter().rposition(|peer| peer.dialog.matches(message)) {
            Some(peer) => self.in_dialog(now, from, peer, message, out),
            // RFC 3261 § 12.2.2: a request with a tag of no dialog gets a 481.
            None => self.stray(from, message, out),
        }
    }

    /// RFC 3261 § 17.2.1: an ACK for a refusal confirms its transaction. § 13.3.1.4: one for a 2xx
    /// stops its copies.
    fn acknowledged(&mut self, now: Timestamp, message: &Message, out: &mut Vec<Output>) {
        let key = Key::of_invite(message);
        if let Some(served) = self.served.iter_mut().find(|served| served.key == key) {
            served.on(now, Event::Acknowledged, out);
        }
        let is_in_dialog = self.peers.iter().any(|peer| peer.dialog.matches(message));
        let is_awaited =
            |awaited: &mut Unacknowledged| is_in_dialog && awaited.number == message.cseq().0;
        let Some(awaited) = self.unacknowledged.take_if(is_awaited) else { return };
        if let Some(sdp) = message.sdp().filter(|_| awaited.awaits_answer) {
            out.push(Output::Agreed { sdp: sdp.to_vec() });
        }
    }

    /// RFC 3261 § 9.2: "If the UAS has already sent a final response for the original request, it
    /// MUST NOT change that response [...]. Regardless of the method of the original request, as
    /// long as the CANCEL matched an existing transaction, the UAS answers the CANCEL request
    /// itself with a 200 (OK) response."
    fn canceled(&mut self, now: Timestamp, from: Hop, message: &Message, out: &mut Vec<Output>) {
        let key = Key::of_invite(message);
        let was_served = self.served.iter().any(|served| served.key == key);
        // "If the UAS has not issued a final response for the original request, [...] [it] SHOULD
        // immediately respond to the INVITE with a 487 (Request Terminated)."
        let was_offered = self.offered.take_if(|offered| offered.key == key);
        let is_known = was_served || was_offered.is_some();
        if let Some(Offered { message, from, .. }) = was_offered {
            self.serve(now, from, &message, Response::to(&message, 487), out);
        }
        if is_known {
            self.serve(now, from, message, Response::to(message, 200), out);
        } else {
            self.stray(from, message, out);
        }
    }

    fn stray(&mut self, from: Hop, message: &Message, out: &mut Vec<Output>) {
        out.push(Output::Note(Note::StrayRequest { method: message.method().clone() }));
        if let Some(bytes) = stateless::refuse(message, from.address, &self.local_tag) {
            out.push(Output::Send { to: message.reply_hop(from), bytes });
        }
    }

    fn in_dialog(
        &mut self,
        now: Timestamp,
        from: Hop,
        peer: usize,
        message: &Message,
        out: &mut Vec<Output>,
    ) {
        let Some(known) = self.peers.get_mut(peer) else { return };
        let role = known.role;
        if known.dialog.source().address.ip() != from.address.ip() {
            out.push(Output::Note(Note::OtherSource { from }));
        }
        if known.dialog.receive(message).is_err() {
            out.push(Output::Note(Note::OutOfOrder { method: message.method().clone() }));
            return self.serve(now, from, message, Response::to(message, 500), out);
        }
        // Whoever leaves has left, whatever extension the farewell requires.
        if *message.method() == Method::Bye {
            return self.hung_up(now, from, role, message, out);
        }
        let mut unknown = message.required_options();
        unknown.retain(|option| !extensions::is_supported(option));
        if !unknown.is_empty() {
            // RFC 3261 § 8.2.2.3: "If a UAS does not understand an option-tag listed in a Require
            // header field, it MUST respond by generating a response with status code 420 (Bad
            // Extension). The UAS MUST add an Unsupported header field".
            let response = Response::to(message, 420).header("Unsupported", &unknown.join(", "));
            return self.serve(now, from, message, response, out);
        }
        // Another phone than the one that answered may no longer change the session.
        let is_gone = role == Role::Fork
            || (role == Role::Early && self.state == State::Up)
            || matches!(self.state, State::Leaving { .. } | State::Over(_));
        if is_gone {
            return self.serve(now, from, message, Response::to(message, 481), out);
        }
        self.asked(now, from, peer, message, out);
    }

    /// Dispatches by method.
    fn asked(
        &mut self,
        now: Timestamp,
        from: Hop,
        peer: usize,
        message: &Message,
        out: &mut Vec<Output>,
    ) {
        let answer = |status| Response::to(message, status);
        let response = match message.method() {
            Method::Invite | Method::Update => return self.offer(now, from, peer, message, out),
            // RFC 3261 § 11.2: "The response to an OPTIONS is constructed using the standard rules
            // for a SIP response", with what we allow and accept.
            Method::Options => {
                let answer = answer(200).header("Allow", ALLOW).header("Accept", "application/sdp");
                answer.header("Supported", extensions::SUPPORTED)
            }
            Method::Info => self.informed(from, peer, message, out),
            // RFC 3262 § 3: "If a PRACK request is received by the UA core that does not match any
            // unacknowledged reliable provisional response, the UAS MUST respond to the PRACK with a
            // 481 response." We send none.
            Method::Prack => answer(481),
            // RFC 6665 § 4.1.3: "If, for some reason, the event package designated in the "Event"
            // header field of the NOTIFY request is not supported, the subscriber will respond with a
            // 489 (Bad Event) response." One that names none belongs to no subscription: 481.
            Method::Notify => answer(if message.header("Event").is_some() { 489 } else { 481 }),
            // RFC 3261 § 8.2.1: "If the UAS recognizes but does not support the method of a
            // request, it MUST generate a 405 (Method Not Allowed) response."
            Method::Register
            | Method::Subscribe
            | Method::Refer
            | Method::Message
            | Method::Publish => answer(405).header("Allow", ALLOW),
            // RFC 3261 § 21.5.2: 501 "is the appropriate response when a UAS does not recognize
            // the request method and is not capable of supporting it for any user."
            Method::Other(_) => answer(501).header("Allow", ALLOW),
            // Both were taken care of before their dialog was looked for, BYE after it.
            Method::Ack | Method::Cancel | Method::Bye => return,
        };
        self.serve(now, from, message, response, out);
    }

    /// An INFO: a press of a key, or nothing that we listen to.
    fn informed(
        &self,
        from: Hop,
        peer: usize,
        message: &Message,
        out: &mut Vec<Output>,
    ) -> Response {
        let known = self.peers.get(peer).map(|peer| peer.dialog.source().address.ip());
        let response = if message.header("Info-Package").is_some() {
            // RFC 6086 § 4.2.2: "If a UA receives an INFO request associated with an Info Package that
            // the UA has not indicated willingness to receive, the UA MUST send a 469 (Bad Info
            // Package) response". We take none, which an empty Recv-Info says (§ 4.2.1).
            Response::to(message, 469).header("Recv-Info", "")
        } else if known != Some(from.address.ip()) {
            // The tags are no secret to whoever sees the signalling, and a key may mean yes.
            Response::to(message, 403)
        } else if let Some(content_type) = message.content_type() {
            match info::read(&content_type, message.body()) {
                Ok(pressed) if self.state == State::Up => {
                    out.push(Output::Info(pressed));
                    return Response::to(message, 200);
                }
                // A key that was pressed before anybody answered means nothing.
                Ok(_) => Response::to(message, 200),
                Err(Unread::Body) => Response::to(message, 400),
                // RFC 3261 § 8.2.3: "the UAS MUST reject the request with a 415 (Unsupported Media
                // Type) response. The response MUST contain an Accept header field listing the types
                // of all bodies it understands".
                Err(Unread::Type) => Response::to(message, 415).header("Accept", info::TYPES),
            }
        } else {
            // Without a type it says nothing: some peers ask in this way whether we are there.
            return Response::to(message, 200);
        };
        let status = response.status();
        out.push(Output::Note(Note::InfoRefused { status }));
        response
    }

    /// RFC 3261 § 15.1.2: "A UAS core receiving a BYE request for an existing dialog MUST follow
    /// the procedures of Section 12.2.2 to process the request. Once done, the UAS SHOULD
    /// terminate the session".
    fn hung_up(
        &mut self,
        now: Timestamp,
        from: Hop,
        role: Role,
        message: &Message,
        out: &mut Vec<Output>,
    ) {
        // "The UAS MUST still respond to any pending requests received for that dialog. It is
        // RECOMMENDED that a 487 (Request Terminated) response be generated".
        if let Some(Offered { message, from, .. }) = self.offered.take() {
            self.serve(now, from, &message, Response::to(&message, 487), out);
        }
        self.serve(now, from, message, Response::to(message, 200), out);
        match (role, self.state) {
            (Role::Chosen, State::Up) => {
                self.unacknowledged = None;
                self.end(Ended::HungUp, out);
            }
            // The callee's user agent "MUST NOT send a BYE on early dialogs": it has stopped
            // ringing, and the INVITE will say how that ends.
            (Role::Early, _) => out.push(Output::Note(Note::EarlyBye)),
            (Role::Chosen | Role::Fork, _) => {}
        }
    }

    /// A re-INVITE or UPDATE (RFC 3261 § 14.2, RFC 3311 § 5.2).
    fn offer(
        &mut self,
        now: Timestamp,
        from: Hop,
        peer: usize,
        message: &Message,
        out: &mut Vec<Output>,
    ) {
        let Some(contact) = self.peers.get(peer).map(|peer| self.contact(&peer.way)) else {
            return;
        };
        let response = self.unfit(peer, message);
        if response.is_none()
            && let Some(peer) = self.peers.get_mut(peer)
        {
            peer.dialog.refresh(message);
            peer.takes_update |= message.allows(&Method::Update);
        }
        let sdp = message.sdp().map(<[u8]>::to_vec);
        match response {
            Some(response) => self.serve(now, from, message, response, out),
            // An UPDATE without an offer only refreshes the target and the session.
            None if sdp.is_none() && *message.method() != Method::Invite => {
                let response = Response::to(message, 200).contact(&contact);
                let response = self.refreshing(now, message, response);
                self.serve(now, from, message, response, out);
            }
            None => {
                let (key, message) = (Key::of(message), message.clone());
                self.offered = Some(Offered { key, message, from, contact, peer });
                out.push(Output::Offered { sdp });
            }
        }
    }

    /// Why a re-INVITE or UPDATE cannot be taken now, if it cannot.
    fn unfit(&mut self, peer: usize, message: &Message) -> Option<Response> {
        let offers = message.sdp().is_some();
        let is_invite = *message.method() == Method::Invite;
        let is_offered = self.offered.is_some();
        let is_agreed = self.peers.get(peer).is_some_and(|peer| peer.is_agreed);
        let is_early = matches!(self.state, State::Early { .. });
        let awaits_answer = self.is_reinviting()
            || self.unacknowledged.as_ref().is_some_and(|awaited| awaited.awaits_answer)
            || !(self.state == State::Up || (is_early && is_agreed));
        if !offers && !message.body().is_empty() {
            // RFC 3261 § 8.2.3: "If there are any bodies whose type [...] [is] not understood [...]
            // the UAS MUST reject the request with a 415".
            Some(Response::to(message, 415).header("Accept", "application/sdp"))
        } else if Session::is_too_short(message) {
            // RFC 4028 § 9: "The 422 response MUST contain the Min-SE header field with the minimum
            // timer for that server."
            Some(Response::to(message, 422).header("Min-SE", &refreshing::LEAST.to_string()))
        } else if is_invite && (self.state != State::Up || self.is_reinviting()) {
            // RFC 3261 § 14.2: "A UAS that receives an INVITE on a dialog while an INVITE it had
            // sent on that dialog is in progress MUST return a 491 (Request Pending) response".
            Some(Response::to(message, 491))
        } else if is_offered {
            // RFC 3261 § 14.2: "A UAS that receives a second INVITE before it sends the final
            // response to a first INVITE with a lower CSeq sequence number on the same dialog MUST
            // return a 500 (Server Internal Error) response to the second INVITE and MUST include
            // a Retry-After header field with a randomly chosen value of between 0 and 10
            // seconds." RFC 3311 § 5.2 says the same of UPDATE.
            let seconds = self.entropy.below(11).to_string();
            Some(Response::to(message, 500).header("Retry-After", &seconds))
        } else if !is_invite && offers && awaits_answer {
            // RFC 3311 § 5.2: "If an UPDATE is received that contains an offer, and the UAS has
            // generated an offer (in an UPDATE, PRACK or INVITE) to which it has not yet received an
            // answer, the UAS MUST reject the UPDATE with a 491 response."
            Some(Response::to(message, 491))
        } else {
            None
        }
    }

    /// With what a 2xx says of the session's timer.
    fn refreshing(&mut self, now: Timestamp, request: &Message, response: Response) -> Response {
        let headers = self.session.answer(now, request);
        headers.iter().fold(response, |it, (name, value)| it.header(name, value))
    }

    /// The owner takes what was offered.
    pub(super) fn accept(&mut self, now: Timestamp, sdp: &[u8], out: &mut Vec<Output>) {
        let Some(Offered { message, from, contact, peer, .. }) = self.offered.take() else {
            return out.push(Output::Note(Note::NothingOffered));
        };
        self.description = sdp.to_vec();
        if let Some(peer) = self.peers.get_mut(peer) {
            // The answer to our first offer has been overtaken.
            peer.sdp = None;
        }
        let response = Response::to(&message, 200)
            .contact(&contact)
            .header("Allow", ALLOW)
            .header("Supported", extensions::SUPPORTED)
            .body("application/sdp", sdp);
        let response = self.refreshing(now, &message, response);
        self.serve(now, from, &message, response, out);
        let (number, method) = message.cseq();
        let Some(served) = self.served.last().filter(|_| method == Method::Invite) else { return };
        // RFC 3261 § 13.3.1.4: "The 2xx response is passed to the transport with an interval that
        // starts at T1 seconds and doubles for each retransmission until it reaches T2 seconds
        // [...]. Response retransmissions cease when an ACK request for the response is received.
        // This is independent of whatever transport protocols are used to send the response."
        self.unacknowledged = Some(Unacknowledged {
            number,
            copies: Copies::begin(now, &self.pace(from.transport), false),
            response: served.response.clone(),
            awaits_answer: message.sdp().is_none(),
        });
    }

    /// The owner does not take it: RFC 3261 § 14.2, "If the new session description is not
    /// acceptable, the UAS can reject it by returning a 488 (Not Acceptable Here) response".
    pub(super) fn refuse(&mut self, now: Timestamp, status: u16, out: &mut Vec<Output>) {
        let Some(Offered { message, from, .. }) = self.offered.take() else {
            return out.push(Output::Note(Note::NothingOffered));
        };
        self.serve(now, from, &message, Response::to(&message, status.clamp(400, 699)), out);
    }

    pub(super) fn serving_lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        for served in &mut self.served {
            served.on(now, Event::Lapsed, out);
        }
        let Some(awaited) = &mut self.unacknowledged else { return };
        if now >= awaited.copies.until {
            // RFC 3261 § 13.3.1.4: "If the server retransmits the 2xx response for 64*T1 seconds
            // without receiving an ACK, the dialog is confirmed, but the session SHOULD be
            // terminated. This is accomplished with a BYE".
            self.leave(now, Ended::Protocol(Why::AckMissing), out);
        } else if awaited.copies.is_due(now, Some(self.settings.t2)) {
            awaited.response.send(out);
        }
    }

    /// Answers a request, and remembers how.
    fn serve(
        &mut self,
        now: Timestamp,
        from: Hop,
        message: &Message,
        response: Response,
        out: &mut Vec<Output>,
    ) {
        let machine = if *message.method() == Method::Invite {
            Machine::Invite(InviteServer::start(self.pace(from.transport)))
        } else {
            Machine::Other(NonInviteServer::start(self.pace(from.transport)))
        };
        let status = response.status();
        let bytes = response.received_from(from.address).to_tag(&self.local_tag).to_bytes();
        let response_to = Datagram { to: message.reply_hop(from), bytes };
        let mut served = Served { key: Key::of(message), machine, response: response_to };
        served.on(now, Event::Respond(status), out);
        // Whoever asks this much must do without his copies being known as such.
        if self.served.len() >= MOST_SERVED {
            self.served.remove(0);
        }
        self.served.push(served);
    }
}

const MOST_SERVED: usize = 32;
