//! What we ask within a dialog: PRACK (RFC 3262), UPDATE and re-INVITE that refresh the session
//! (RFC 4028), and BYE.

use super::inviting::authorized;
use super::{Call, Datagram, Output, Peer};
use crate::ambient::Timestamp;
use crate::sip::Timer;
use crate::sip::compose::{ALLOW, Request};
use crate::sip::extensions::SUPPORTED;
use crate::sip::hop::{Hop, Way};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::transaction::client::{Act, Event, InviteClient, NonInviteClient};

/// What a request within a dialog is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To hang up.
    Bye,
    /// To acknowledge a provisional response.
    Prack {
        /// What its RAck says.
        rack: String,
    },
    /// To refresh the session.
    Update,
    /// To refresh the session of a peer that does not take UPDATE.
    Reinvite,
}

impl Purpose {
    fn method(&self) -> Method {
        match self {
            Self::Bye => Method::Bye,
            Self::Prack { .. } => Method::Prack,
            Self::Update => Method::Update,
            Self::Reinvite => Method::Invite,
        }
    }
}

/// A request of ours within a dialog.
pub(super) struct Errand {
    purpose: Purpose,
    machine: Machine,
    branch: String,
    number: u32,
    datagram: Datagram,
    credentials: Vec<(&'static str, String)>,
    peer: usize,
    was_challenged: bool,
    /// The ACK for the 2xx to a re-INVITE, to be repeated as it is.
    ack: Option<Datagram>,
}

enum Machine {
    Invite(InviteClient),
    Other(NonInviteClient),
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

impl Errand {
    pub(super) fn deadline(&self) -> Option<(Timestamp, Timer)> {
        match &self.machine {
            Machine::Invite(machine) => machine.deadline(),
            Machine::Other(machine) => machine.deadline(),
        }
    }

    /// Whether it is a BYE that awaits its answer.
    pub(super) fn is_open_bye(&self) -> bool {
        match (&self.purpose, &self.machine) {
            (Purpose::Bye, Machine::Other(machine)) => !machine.is_over(),
            (Purpose::Bye, Machine::Invite(_)) => false,
            (Purpose::Prack { .. } | Purpose::Update | Purpose::Reinvite, _) => false,
        }
    }

    /// Whether it is a re-INVITE that awaits its answer.
    pub(super) fn is_open_reinvite(&self) -> bool {
        match &self.machine {
            Machine::Invite(machine) => machine.deadline().is_some() && self.ack.is_none(),
            Machine::Other(_) => false,
        }
    }
}

impl Call {
    /// Asks a peer something.
    pub(super) fn ask(
        &mut self,
        now: Timestamp,
        peer: usize,
        purpose: Purpose,
        out: &mut Vec<Output>,
    ) {
        self.send_errand(now, peer, purpose, false, out);
    }

    fn send_errand(
        &mut self,
        now: Timestamp,
        peer: usize,
        purpose: Purpose,
        was_challenged: bool,
        out: &mut Vec<Output>,
    ) {
        self.errands.retain(|errand| errand.deadline().is_some());
        // Nobody hears so much of a call that it must not be ended.
        if self.errands.len() >= MOST_ERRANDS && purpose != Purpose::Bye {
            return;
        }
        let (branch, method) = (self.branch(), purpose.method());
        let Some(Peer { dialog, way, .. }) = self.peers.get_mut(peer) else { return };
        let (to, way) = (dialog.destination(), *way);
        let request = dialog.request(method.clone()).via(&Way { hop: to, ..way }, &branch);
        let number = dialog.number();
        let request = self.fill(request, &purpose, &way);
        let credentials = self.authentication.headers(&method, request.uri(), &mut self.entropy);
        let bytes = authorized(request, &credentials).to_bytes();
        let datagram = Datagram { to, bytes };
        let (pace, mut acts) = (self.pace(to.transport), Vec::new());
        let machine = match purpose {
            Purpose::Reinvite => Machine::Invite(InviteClient::start(now, pace, &mut acts)),
            Purpose::Bye | Purpose::Prack { .. } | Purpose::Update => {
                Machine::Other(NonInviteClient::start(now, pace, &mut acts))
            }
        };
        datagram.send(out);
        self.errands.push(Errand {
            purpose,
            machine,
            branch,
            number,
            datagram,
            credentials,
            peer,
            was_challenged,
            ack: None,
        });
    }

    /// What a request of that purpose says beyond its dialog.
    fn fill(&self, request: Request, purpose: &Purpose, way: &Way) -> Request {
        let refreshing = |request: Request| {
            let request = request.contact(&self.contact(way)).header("Supported", SUPPORTED);
            let headers = self.session.refreshed();
            headers.iter().fold(request, |it, (name, value)| it.header(name, value))
        };
        match purpose {
            Purpose::Bye => request,
            // RFC 3262 § 7.2: "The first number is the value from the RSeq header in the provisional
            // response that is being acknowledged. The next number, and the method, are copied from
            // the CSeq in the response that is being acknowledged."
            Purpose::Prack { rack } => request.header("RAck", rack),
            // RFC 4028 § 7.4: "It is RECOMMENDED that the UPDATE request not contain an offer, but a
            // re-INVITE SHOULD contain one, even if the details of the session have not changed. In
            // that case, the offer MUST indicate that it has not changed."
            Purpose::Update => refreshing(request),
            Purpose::Reinvite => refreshing(request)
                .header("Allow", ALLOW)
                .body("application/sdp", &self.description),
        }
    }

    /// Sends a copy of the PRACK with this RAck.
    pub(super) fn prack_again(&self, rack: &str, out: &mut Vec<Output>) {
        let is_it = |errand: &&Errand| matches!(&errand.purpose, Purpose::Prack { rack: known } if known == rack);
        if let Some(errand) = self.errands.iter().rev().find(is_it) {
            errand.datagram.send(out);
        }
    }

    /// Takes a response to something we asked within a dialog; false when it is not one.
    pub(super) fn errand_response(
        &mut self,
        now: Timestamp,
        from: Hop,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) -> bool {
        let is_it = |errand: &Errand| {
            errand.branch == message.branch() && errand.purpose.method() == *message.method()
        };
        let Some(index) = self.errands.iter().position(is_it) else { return false };
        let acts =
            self.errands.get_mut(index).map(|it| it.machine.on(now, Event::Response(status)));
        for act in acts.unwrap_or_default() {
            match act {
                Act::Acknowledge => self.acknowledge_errand(index, out),
                Act::Deliver if status >= 200 => {
                    self.errand_done(now, from, index, message, status, out);
                }
                Act::Deliver | Act::Transmit | Act::TimedOut | Act::Unreachable => {}
            }
        }
        true
    }

    fn errand_done(
        &mut self,
        now: Timestamp,
        from: Hop,
        index: usize,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) {
        if status < 300 && self.acknowledge_refresh(index, message, out) {
            return;
        }
        let Some(errand) = self.errands.get(index) else { return };
        let (purpose, peer, sent_to) = (errand.purpose.clone(), errand.peer, errand.datagram.to);
        let was_challenged = errand.was_challenged;
        if matches!(status, 401 | 407) {
            // What was answered before may have run out since: one new question, one new answer.
            if !was_challenged {
                self.authentication.forget();
            }
            if self.may_answer(from, sent_to, message, out) {
                return self.send_errand(now, peer, purpose, true, out);
            }
        }
        match purpose {
            // RFC 3261 § 15.1.1: "If the response for the BYE is a 481 (Call/Transaction Does Not
            // Exist) or a 408 (Request Timeout) or no response at all is received for the BYE [...],
            // the UAC MUST consider the session and the dialog terminated"; and so does any other.
            Purpose::Bye => self.parted(),
            // Whoever wanted it has it, or wants it no more.
            Purpose::Prack { .. } => {}
            Purpose::Update | Purpose::Reinvite => {
                self.refreshed(now, &purpose, peer, message, status, out);
            }
        }
    }

    /// RFC 3261 § 17.1.1.3: the ACK for a refusal belongs to its transaction.
    fn acknowledge_errand(&mut self, index: usize, out: &mut Vec<Output>) {
        let Some(errand) = self.errands.get(index) else { return };
        let Some(Peer { dialog, way, .. }) = self.peers.get(errand.peer) else { return };
        let to = errand.datagram.to;
        let ack = dialog.ack(errand.number).via(&Way { hop: to, ..*way }, &errand.branch);
        Datagram { to, bytes: ack.to_bytes() }.send(out);
    }

    /// The ACK for the 2xx to a re-INVITE (RFC 3261 § 13.2.2.4); true when it was but a copy.
    fn acknowledge_refresh(
        &mut self,
        index: usize,
        message: &Message,
        out: &mut Vec<Output>,
    ) -> bool {
        let branch = self.branch();
        let Some(errand) = self.errands.get_mut(index) else { return true };
        if let Some(ack) = &errand.ack {
            ack.send(out);
            return true;
        }
        if errand.purpose != Purpose::Reinvite {
            return false;
        }
        let Some(Peer { dialog, way, .. }) = self.peers.get_mut(errand.peer) else { return true };
        dialog.refresh(message);
        let to = dialog.destination();
        let request = dialog.ack(errand.number).via(&Way { hop: to, ..*way }, &branch);
        let ack = Datagram { to, bytes: authorized(request, &errand.credentials).to_bytes() };
        ack.send(out);
        errand.ack = Some(ack);
        false
    }

    pub(super) fn errands_lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut is_lost = false;
        for errand in &mut self.errands {
            for act in errand.machine.on(now, Event::Lapsed) {
                match act {
                    Act::Transmit => errand.datagram.send(out),
                    Act::TimedOut => {
                        is_lost |= matches!(errand.purpose, Purpose::Update | Purpose::Reinvite);
                    }
                    Act::Acknowledge | Act::Deliver | Act::Unreachable => {}
                }
            }
        }
        if is_lost {
            self.expire(now, out);
        }
        self.parted();
    }

    pub(super) fn byes_unreachable(&mut self, now: Timestamp, hop: Hop) {
        let there = |errand: &&mut Errand| errand.datagram.to == hop && errand.is_open_bye();
        for errand in self.errands.iter_mut().filter(there) {
            errand.machine.on(now, Event::Unreachable);
        }
        self.parted();
    }

    /// Whether a re-INVITE of ours awaits its answer.
    pub(super) fn is_reinviting(&self) -> bool {
        self.errands.iter().any(|errand| match &errand.machine {
            Machine::Invite(machine) => machine.is_open(),
            Machine::Other(_) => false,
        })
    }
}

/// The most requests of ours that are kept: a PRACK for each of so many provisional responses.
const MOST_ERRANDS: usize = 32;
