//! The requests of a call, theirs and ours: each answered once and repeated as the transaction
//! machines say.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::call::{Call, Datagram, Output, Phase, send};
use super::words::{Behaviour, By, Outcome, Press, Stroke, What};
use crate::ambient::Timestamp;
use crate::media::Digit;
use crate::sip::dialog::OutOfOrder;
use crate::sip::transaction::Pace;
use crate::sip::transaction::client::{self, NonInviteClient};
use crate::sip::transaction::server::{Act, Event, InviteServer, NonInviteServer};
use crate::sip::{Message, Method, Response, Way};

/// What the phone understands.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE";

/// RFC 3261 § 17.2.3: what a request and its copies have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    branch: String,
    sent_by: String,
    method: Method,
    number: u32,
}

impl Key {
    pub(super) fn of(message: &Message) -> Self {
        let (number, method) = message.cseq();
        let (branch, sent_by) = (message.branch().to_owned(), message.sent_by().to_owned());
        Self { branch, sent_by, method, number }
    }

    /// ACK and CANCEL carry the branch and the number of the INVITE they mean.
    fn of_invite(message: &Message) -> Self {
        Self { method: Method::Invite, ..Self::of(message) }
    }
}

/// A request of theirs.
pub(super) struct Served {
    pub(super) key: Key,
    machine: Machine,
    response: Option<Datagram>,
}

enum Machine {
    Invite(InviteServer),
    Other(NonInviteServer),
}

impl Served {
    pub(super) fn invite(key: Key, pace: Pace) -> Self {
        Self { key, machine: Machine::Invite(InviteServer::start(pace)), response: None }
    }

    fn other(key: Key, pace: Pace) -> Self {
        Self { key, machine: Machine::Other(NonInviteServer::start(pace)), response: None }
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match &self.machine {
            Machine::Invite(machine) => machine.deadline(),
            Machine::Other(machine) => machine.deadline(),
        }
        .map(|(at, _)| at)
    }

    pub(super) fn respond(
        &mut self,
        now: Timestamp,
        status: u16,
        response: Datagram,
        out: &mut Vec<Output>,
    ) {
        self.response = Some(response);
        let _ = self.on(now, Event::Respond(status), out);
    }

    /// Whether it went on; `false` when nobody acknowledged our refusal.
    #[must_use]
    pub(super) fn on(&mut self, now: Timestamp, event: Event, out: &mut Vec<Output>) -> bool {
        let mut acts = Vec::new();
        match &mut self.machine {
            Machine::Invite(machine) => machine.on(now, event, &mut acts),
            Machine::Other(machine) => machine.on(now, event, &mut acts),
        }
        for act in &acts {
            if let (Act::Transmit, Some(response)) = (act, &self.response) {
                send(response, out);
            }
        }
        !acts.contains(&Act::TimedOut)
    }
}

/// A request of ours.
pub(super) struct Asked {
    branch: String,
    method: Method,
    machine: NonInviteClient,
    request: Datagram,
}

impl Asked {
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.machine.deadline().map(|(at, _)| at)
    }

    fn on(&mut self, now: Timestamp, event: client::Event, out: &mut Vec<Output>) {
        let mut acts = Vec::new();
        self.machine.on(now, event, &mut acts);
        if acts.contains(&client::Act::Transmit) {
            send(&self.request, out);
        }
    }
}

/// Our 2xx to an INVITE, until its ACK comes (RFC 3261 § 13.3.1.4).
pub(super) struct Unacknowledged {
    key: Key,
    next: Timestamp,
    gap: Duration,
    until: Timestamp,
    /// Whether the ACK must bring the answer to our offer.
    awaits_answer: bool,
}

impl Unacknowledged {
    pub(super) fn deadline(&self) -> Timestamp {
        self.next.min(self.until)
    }
}

/// Keys still to be pressed.
pub(super) struct Typing {
    strokes: VecDeque<Stroke>,
    next: Timestamp,
    press: Press,
}

impl Typing {
    pub(super) fn of(behaviour: &Behaviour, now: Timestamp) -> Option<Self> {
        let press = behaviour.press.as_ref()?;
        let strokes = press.strokes().collect();
        Some(Self { strokes, next: now + press.after, press: press.clone() })
    }

    pub(super) fn deadline(&self) -> Timestamp {
        self.next
    }
}

impl Call {
    /// Takes a request with our Call-ID.
    pub(super) fn request(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        message: &Message,
        out: &mut Vec<Output>,
    ) {
        let key = Key::of(message);
        if let Some(served) = self.served.iter_mut().find(|served| served.key == key) {
            let _ = served.on(now, Event::Repeated, out);
            return;
        }
        let method = message.method();
        if *method == Method::Ack {
            return self.acknowledged(now, message, out);
        }
        if *method == Method::Cancel {
            return self.canceled(now, from, message, out);
        }
        if *method == Method::Invite && message.to_tag().is_none() {
            return self.another(now, from, message, out);
        }
        // RFC 3261 § 12.2.2: a request that belongs to no dialog gets a 481.
        if self.is_over() || !self.dialog.matches(message) {
            return self.reply(now, from, message, 481, None, out);
        }
        match self.dialog.receive(message) {
            Ok(()) => self.in_dialog(now, from, message, out),
            Err(OutOfOrder) => self.reply(now, from, message, 500, None, out),
        }
    }

    fn in_dialog(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        message: &Message,
        out: &mut Vec<Output>,
    ) {
        match message.method() {
            Method::Bye => {
                self.reply(now, from, message, 200, None, out);
                self.left(now, out);
            }
            Method::Invite => self.renegotiate(now, from, message, out),
            Method::Update if message.sdp().is_some() => self.renegotiate(now, from, message, out),
            Method::Update => {
                self.dialog.refresh(message);
                self.reply(now, from, message, 200, None, out);
            }
            Method::Options | Method::Info => self.reply(now, from, message, 200, None, out),
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Prack
            | Method::Subscribe
            | Method::Notify
            | Method::Refer
            | Method::Message
            | Method::Publish => self.reply(now, from, message, 405, None, out),
            Method::Other(_) => self.reply(now, from, message, 501, None, out),
        }
    }

    /// An INVITE outside our dialog: the one that answers our 401, or a second way of the same
    /// one (RFC 3261 § 8.2.2.2), which is a loop.
    fn another(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        message: &Message,
        out: &mut Vec<Output>,
    ) {
        match self.phase {
            Phase::Challenged { .. } => self.invited(now, from, message, out),
            Phase::Invited
            | Phase::Ringing
            | Phase::Answered
            | Phase::Up { .. }
            | Phase::Refused(_)
            | Phase::Leaving(_)
            | Phase::Over => self.reply(now, from, message, 482, None, out),
        }
    }

    /// A re-INVITE or UPDATE (RFC 3261 § 14.2, RFC 3311).
    fn renegotiate(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        message: &Message,
        out: &mut Vec<Output>,
    ) {
        let is_up = matches!(self.phase, Phase::Up { .. }) && self.unacknowledged.is_none();
        if !is_up {
            return self.reply(now, from, message, 491, None, out);
        }
        match self.voice.offered(now, message.sdp()) {
            Ok(sdp) => {
                self.dialog.refresh(message);
                self.reply(now, from, message, 200, Some(&sdp), out);
                if *message.method() == Method::Invite {
                    self.accepted(now, &Key::of(message), message.sdp().is_none());
                }
            }
            Err(_) => self.reply(now, from, message, 488, None, out),
        }
    }

    /// Our 2xx to that INVITE is out.
    pub(super) fn accepted(&mut self, now: Timestamp, key: &Key, awaits_answer: bool) {
        let gap = self.pace.t1;
        let until = now + self.pace.patience();
        let key = key.clone();
        self.unacknowledged =
            Some(Unacknowledged { key, next: now + gap, gap, until, awaits_answer });
    }

    fn acknowledged(&mut self, now: Timestamp, message: &Message, out: &mut Vec<Output>) {
        let (number, _) = message.cseq();
        let accepted = self.unacknowledged.take_if(|waiting| waiting.key.number == number);
        let Some(accepted) = accepted.filter(|_| self.dialog.matches(message)) else {
            return self.refusal_acknowledged(now, &Key::of_invite(message), out);
        };
        if accepted.awaits_answer
            && let Some(answer) = message.sdp()
        {
            // One that cannot be used leaves the call without media, for all to see.
            let _ = self.voice.agreed(now, answer);
        }
        if self.phase == Phase::Answered {
            self.confirmed(now, out);
        }
    }

    /// RFC 3261 § 9.2: the CANCEL is answered with 200 whatever it finds, and has an effect only
    /// while its INVITE has no final response.
    fn canceled(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        message: &Message,
        out: &mut Vec<Output>,
    ) {
        let invite = Key::of_invite(message);
        let is_known = self.served.iter().any(|served| served.key == invite);
        self.reply(now, from, message, if is_known { 200 } else { 481 }, None, out);
        let is_unanswered = matches!(self.phase, Phase::Invited | Phase::Ringing);
        if is_unanswered && self.is_the_invite(&invite) {
            self.give_way(now, out);
        }
    }

    /// Answers a request that is not the INVITE of the call.
    fn reply(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        message: &Message,
        status: u16,
        sdp: Option<&[u8]>,
        out: &mut Vec<Output>,
    ) {
        let key = Key::of(message);
        let mut answer = self.response_to(message, from, status).header("Allow", ALLOW);
        if let Some(sdp) = sdp {
            answer = answer.body("application/sdp", sdp);
        }
        let is_invite = *message.method() == Method::Invite;
        let begin = if is_invite { Served::invite } else { Served::other };
        let mut served = begin(key, self.pace);
        let to = message.reply_address(from);
        served.respond(now, status, (to, answer.to_bytes()), out);
        self.served.push(served);
    }

    pub(super) fn response_to(&self, message: &Message, from: SocketAddr, status: u16) -> Response {
        Response::to(message, status).received_from(from).to_tag(&self.tag).contact(&self.contact)
    }

    /// Takes a response with our Call-ID.
    pub(super) fn response(
        &mut self,
        now: Timestamp,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) {
        let answered = self
            .asked
            .iter_mut()
            .find(|asked| asked.branch == message.branch() && asked.method == *message.method());
        if let Some(asked) = answered {
            asked.on(now, client::Event::Response(status), out);
        }
        self.farewell_known(now, out);
    }

    /// Sends a request of ours.
    pub(super) fn ask(
        &mut self,
        now: Timestamp,
        method: Method,
        body: Option<(&str, &str)>,
        out: &mut Vec<Output>,
    ) {
        let branch = format!("z9hG4bK{}", self.entropy.token(20));
        let hop = self.dialog.destination();
        let mut request = self
            .dialog
            .request(method.clone())
            .via(&Way { hop, local: self.place.sip }, &branch)
            .contact(&self.contact);
        if let Some((content_type, body)) = body {
            request = request.body(content_type, body.as_bytes());
        }
        let request = (hop.address, request.to_bytes());
        send(&request, out);
        let machine = NonInviteClient::start(now, self.pace, &mut Vec::new());
        self.asked.push(Asked { branch, method, machine, request });
    }

    pub(super) fn served_lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut unheard = Vec::new();
        for served in &mut self.served {
            if !served.on(now, Event::Lapsed, out) {
                unheard.push(served.key.clone());
            }
        }
        for key in unheard {
            self.refusal_known(now, &key, out);
        }
    }

    pub(super) fn asked_lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        for asked in &mut self.asked {
            asked.on(now, client::Event::Lapsed, out);
        }
        self.farewell_known(now, out);
    }

    /// Our BYE was answered, or never will be.
    fn farewell_known(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut farewells = self.asked.iter().filter(|asked| asked.method == Method::Bye);
        if let Phase::Leaving(why) = self.phase
            && farewells.all(|farewell| farewell.machine.is_over())
        {
            self.finish(now, why, out);
        }
    }

    /// RFC 3261 § 13.3.1.4: "If the server retransmits the 2xx response for 64*T1 seconds without
    /// receiving an ACK, the dialog is confirmed, but the session SHOULD be terminated. This is
    /// accomplished with a BYE".
    pub(super) fn unacknowledged_lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Some(waiting) = &mut self.unacknowledged else { return };
        if now >= waiting.until {
            return self.leave(now, Outcome::Unacknowledged, out);
        }
        if now >= waiting.next {
            // "starts at T1 seconds and doubles for each retransmission until it reaches T2".
            waiting.gap = (waiting.gap * 2).min(self.pace.t2);
            waiting.next = now + waiting.gap;
            if let Some(served) = self.served.iter_mut().find(|served| served.key == waiting.key) {
                let _ = served.on(now, Event::Respond(200), out);
            }
        }
    }

    pub(super) fn typing_lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while let Some(typing) = &mut self.typing
            && now >= typing.next
        {
            match typing.strokes.pop_front() {
                None => self.typing = None,
                Some(Stroke::Pause(pause)) => typing.next += pause,
                Some(Stroke::Key(digit)) => {
                    typing.next += typing.press.held + Self::BETWEEN;
                    let press = typing.press.clone();
                    self.press(now, digit, &press, out);
                }
            }
        }
    }

    fn press(&mut self, now: Timestamp, digit: Digit, press: &Press, out: &mut Vec<Output>) {
        let key = digit.expose();
        let mut is_sent = self.voice.press(digit, press);
        if press.by.has_info() {
            let (content_type, body) = if press.by == By::InfoDtmf {
                ("application/dtmf", key.to_string())
            } else {
                let held = press.held.as_millis();
                ("application/dtmf-relay", format!("Signal={key}\r\nDuration={held}\r\n"))
            };
            self.ask(now, Method::Info, Some((content_type, &body)), out);
            is_sent = true;
        }
        if is_sent {
            self.pressed.push(key);
        }
        let what = if is_sent { What::Pressed(key) } else { What::Unsendable(key) };
        out.push(Output::Happened(what));
    }
}
