//! One outbound call, as RFC 3261 sees the caller.
//!
//! Call order: [`Call::new`], [`Call::on`] with [`Input::Start`], then [`Call::on`] with whatever
//! happens, and with [`Input::Lapsed`] once [`Call::deadline`] has come. Every output leaves with
//! the call that caused it. [`Output::Over`] comes exactly once, as soon as the owner need not
//! wait any longer; the machine then still has duties to the far side (another ACK for a repeated
//! 200, another BYE for a lost one) and is kept until [`Call::finished`].
//!
//! A stray or unreadable message is a [`Note`]; it never ends a call.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the words, the states, the dispatcher, deadlines |
//! | `inviting` | INVITE: attempts, answers, challenges, forks |
//! | `moving` | where the INVITE goes: the next way, TCP for its size, 3xx |
//! | `asking` | what we ask within a dialog: PRACK, UPDATE, re-INVITE, BYE |
//! | `refreshing` | session timers |
//! | `parting` | CANCEL and BYE: how we end it |
//! | `serving` | what the callee asks of us while it lasts |

mod asking;
mod inviting;
mod moving;
mod parting;
mod refreshing;
mod serving;
#[cfg(test)]
mod tests;
mod words;

pub use words::{Ended, Input, Note, Order, Output, State, Target, Why};

use super::dialog::Dialog;
use super::digest::Authentication;
use super::hop::{Hop, Transport, Way};
use super::message::{Kind, Message};
use super::transaction::Pace;
use super::uri::{NameAddr, Uri};
use super::{Settings, Timer};
use crate::ambient::{Entropy, Timestamp};
use asking::{Errand, Purpose};
use inviting::Attempt;
use parting::Cancel;
use refreshing::Session;
use serving::{Offered, Served, Unacknowledged};

/// One outbound call.
pub struct Call {
    order: Order,
    /// Our session description, as it was last sent.
    description: Vec<u8>,
    /// When it is to be offered again, because it is another.
    reoffer: Option<Timestamp>,
    settings: Settings,
    entropy: Entropy,
    authentication: Authentication,
    call_id: String,
    local_tag: String,
    /// The target as our To.
    callee: NameAddr,
    /// The target as our Request-URI, until a 3xx names another.
    request_uri: Uri,
    /// Which of the order's ways is tried.
    way: usize,
    /// A 3xx was followed.
    was_redirected: bool,
    /// This way takes no TCP: a large INVITE goes by UDP after all.
    is_tcp_barred: bool,
    /// The owner knows that another phone than the one that was called is spoken of.
    is_diverted: bool,
    cseq: u32,
    state: State,
    /// Whether the owner knows that it is over.
    is_told: bool,
    /// Our INVITEs; the last one counts, those before it were challenged or left for another way.
    attempts: Vec<Attempt>,
    cancels: Vec<Cancel>,
    errands: Vec<Errand>,
    peers: Vec<Peer>,
    session: Session,
    served: Vec<Served>,
    offered: Option<Offered>,
    unacknowledged: Option<Unacknowledged>,
}

/// Someone who answered our INVITE: with forking there may be several.
struct Peer {
    dialog: Dialog,
    /// Which INVITE it answered, and the way of that.
    attempt: usize,
    way: Way,
    role: Role,
    /// The ACK for its 2xx, to be repeated as it is.
    ack: Option<Datagram>,
    /// The RSeq of its last reliable provisional response (RFC 3262).
    rseq: Option<u32>,
    /// The last session description of its provisional responses.
    sdp: Option<Vec<u8>>,
    /// That description came reliably, and so is the answer to our offer.
    is_agreed: bool,
    /// Whether it takes UPDATE (RFC 3311).
    takes_update: bool,
}

impl Peer {
    fn new(dialog: Dialog, attempt: usize, way: Way) -> Self {
        Self {
            dialog,
            attempt,
            way,
            role: Role::Early,
            ack: None,
            rseq: None,
            sdp: None,
            is_agreed: false,
            takes_update: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It has only rung.
    Early,
    /// It is the one we speak with.
    Chosen,
    /// It answered after another did or after all was over, or belongs to a way that was left.
    Fork,
}

#[derive(Clone)]
struct Datagram {
    to: Hop,
    bytes: Vec<u8>,
}

impl Datagram {
    fn send(&self, out: &mut Vec<Output>) {
        out.push(Output::Send { to: self.to, bytes: self.bytes.clone() });
    }
}

impl Call {
    /// A call that has not begun, with the session description to offer.
    #[must_use]
    pub fn new(order: Order, offer: Vec<u8>, mut entropy: Entropy, settings: Settings) -> Self {
        let call_id = entropy.token(26);
        let local_tag = entropy.token(12);
        let Target { user, host, port, is_phone } = &order.target;
        let callee = Uri::sip(user, host, *port);
        let callee = NameAddr::new(if *is_phone { callee.phone() } else { callee });
        Self {
            authentication: Authentication::new(order.credentials.clone()),
            session: Session::new(order.min_session),
            order,
            description: offer,
            reoffer: None,
            settings,
            entropy,
            call_id,
            local_tag,
            request_uri: callee.uri().clone(),
            callee,
            way: 0,
            was_redirected: false,
            is_tcp_barred: false,
            is_diverted: false,
            cseq: 0,
            state: State::Ready,
            is_told: false,
            attempts: Vec::new(),
            cancels: Vec::new(),
            errands: Vec::new(),
            peers: Vec::new(),
            served: Vec::new(),
            offered: None,
            unacknowledged: None,
        }
    }

    /// The Call-ID, by which messages find this call.
    #[must_use]
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// How far it has come.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether nothing is left to do, not even for the far side.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.state.is_over() && self.deadline().is_none()
    }

    /// How many requests, answers and phones it remembers: few, whatever it is sent.
    #[must_use]
    pub fn remembers(&self) -> usize {
        let asked = self.attempts.len() + self.cancels.len() + self.errands.len();
        asked + self.peers.len() + self.served.len()
    }

    /// Takes whatever happens.
    pub fn on(&mut self, now: Timestamp, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Start => self.start(now, out),
            Input::Received { from, message } => self.received(now, from, message, out),
            Input::Lapsed => self.lapsed(now, out),
            Input::Stop => self.stop(now, out),
            Input::Accept { sdp } => self.accept(now, &sdp, out),
            Input::Refuse { status } => self.refuse(now, status, out),
            Input::Offer { sdp } => self.offer_anew(now, sdp, out),
            Input::Unreachable { hop } => self.unreachable(now, hop, out),
        }
    }

    /// When something is due, and what: the earliest of everything that waits.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, Timer)> {
        let attempts = self.attempts.iter().filter_map(Attempt::deadline);
        let cancels = self.cancels.iter().filter_map(Cancel::deadline);
        let errands = self.errands.iter().filter_map(Errand::deadline);
        let reoffer = self.reoffer.map(|at| (at, Timer::Refresh));
        let session = self.session.deadline().into_iter().chain(reoffer);
        let session = session.filter(|_| self.state == State::Up);
        let served = self.served.iter().filter_map(Served::deadline);
        let unacknowledged = self.unacknowledged.iter().map(Unacknowledged::deadline);
        attempts
            .chain(cancels)
            .chain(errands)
            .chain(session)
            .chain(served)
            .chain(unacknowledged)
            .chain(self.state.deadline())
            .min()
    }

    fn start(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.state == State::Ready {
            let Some(&way) = self.order.ways.first() else {
                return self.end(Ended::Unreachable, out);
            };
            self.cseq = 1;
            self.invite(now, way, now + self.order.ring_timeout, out);
        }
    }

    fn received(&mut self, now: Timestamp, from: Hop, message: &Message, out: &mut Vec<Output>) {
        match message.kind() {
            Kind::Request { .. } => self.request(now, from, message, out),
            Kind::Response { status } => self.response(now, from, message, *status, out),
        }
    }

    fn response(
        &mut self,
        now: Timestamp,
        from: Hop,
        message: &Message,
        status: u16,
        out: &mut Vec<Output>,
    ) {
        // RFC 3261 § 17.1.3: "A response matches a client transaction under two conditions: 1. If
        // the response has the same value of the branch parameter in the top Via header field as
        // the branch parameter in the top Via header field of the request that created the
        // transaction. 2. If the method parameter in the CSeq header field matches the method of
        // the request that created the transaction."
        let is_matched = message.call_id() == self.call_id
            && (self.invite_response(now, from, message, status, out)
                || self.cancel_response(now, message, status)
                || self.errand_response(now, from, message, status, out));
        if !is_matched {
            out.push(Output::Note(Note::StrayResponse { status }));
        }
    }

    fn lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.attempts_lapsed(now, out);
        self.cancels_lapsed(now, out);
        self.errands_lapsed(now, out);
        self.session_lapsed(now, out);
        self.offer_lapsed(now, out);
        self.serving_lapsed(now, out);
        match self.state {
            State::Inviting { ring_until, .. } | State::Early { ring_until }
                if now >= ring_until =>
            {
                self.give_up(now, Ended::NoAnswer, out);
            }
            State::Inviting { silent_until: Some(silent), .. } if now >= silent => {
                self.silent(now, out);
            }
            State::Canceling { why, until } if now >= until => self.cancel_given_up(why, out),
            State::Ready
            | State::Inviting { .. }
            | State::Abandoning { .. }
            | State::Early { .. }
            | State::Canceling { .. }
            | State::Up
            | State::Leaving { .. }
            | State::Over(_) => {}
        }
    }

    fn stop(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        match self.state {
            State::Ready => self.end(Ended::Stopped, out),
            State::Inviting { .. } | State::Early { .. } => {
                self.give_up(now, Ended::Stopped, out);
            }
            State::Up => self.leave(now, Ended::Left, out),
            State::Abandoning { .. }
            | State::Canceling { .. }
            | State::Leaving { .. }
            | State::Over(_) => {}
        }
    }

    /// The network says that what we sent did not arrive.
    fn unreachable(&mut self, now: Timestamp, hop: Hop, out: &mut Vec<Output>) {
        match self.state {
            State::Inviting { .. } | State::Abandoning { .. } => {
                self.attempt_unreachable(now, hop, out);
            }
            // The peer has spoken to us before: whatever was lost is repeated, or times out.
            State::Ready | State::Early { .. } | State::Canceling { .. } | State::Up => {
                if self.attempts.last().is_some_and(|attempt| attempt.sent_to() == hop) {
                    out.push(Output::Note(Note::Unreachable));
                }
            }
            State::Leaving { .. } | State::Over(_) => self.byes_unreachable(now, hop),
        }
    }

    fn end(&mut self, why: Ended, out: &mut Vec<Output>) {
        self.state = State::Over(why);
        self.tell(why, out);
    }

    /// Tells the owner, once, that it need not wait any longer.
    fn tell(&mut self, why: Ended, out: &mut Vec<Output>) {
        if !self.is_told {
            self.is_told = true;
            out.push(Output::Over(why));
        }
    }

    /// Where the peer reaches us by this way.
    fn contact(&self, way: &Way) -> Uri {
        way.contact(&self.order.from.uri().user(), self.order.contact_host.as_deref())
    }

    /// How patient a transaction over this transport is.
    fn pace(&self, transport: Transport) -> Pace {
        Pace::over(&self.settings, transport)
    }

    fn branch(&mut self) -> String {
        // RFC 3261 § 8.1.1.7: "The branch ID inserted by an element compliant with this
        // specification MUST always begin with the characters "z9hG4bK"."
        format!("z9hG4bK{}", self.entropy.token(20))
    }

    /// Tells the owner, once, that another phone than the one that was called is spoken of.
    fn tell_diversion(&mut self, is_diverted: bool, out: &mut Vec<Output>) {
        if is_diverted && !self.is_diverted {
            self.is_diverted = true;
            out.push(Output::Note(Note::Diverted));
        }
    }

    fn peer_with(&self, role: Role) -> Option<usize> {
        self.peers.iter().position(|peer| peer.role == role)
    }
}
