//! One call as the phone that is called sees it (RFC 3261 as a UAS): a value that is given the
//! time and what happens, and gives back everything that must now be done.
//!
//! Call order: [`Call::begin`] with the first INVITE, then [`Call::on`] with whatever happens, and
//! with [`Input::Lapsed`] once [`Call::deadline`] has come, until [`Call::finished`].

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::digest::{Gate, Shown};
use super::media::Voice;
use super::serving::{Asked, Key, Served, Typing, Unacknowledged};
use super::words::{Answer, Behaviour, Outcome, Side, Summary, What};
use crate::ambient::{Entropy, Timestamp};
use crate::media::Protection;
use crate::sip::transaction::Pace;
use crate::sip::transaction::server::Event;
use crate::sip::{Dialog, Hop, Kind, Message, Method, Response, Settings, Transport, Uri};

/// What happens to a call.
pub(super) enum Input<'a> {
    /// A message with its Call-ID came in.
    Sip { from: SocketAddr, message: &'a Message },
    /// A datagram came to the RTP port.
    Rtp { from: SocketAddr, datagram: &'a [u8] },
    /// A datagram came to the RTCP port.
    Rtcp { from: SocketAddr, datagram: &'a [u8] },
    /// A deadline has come.
    Lapsed,
    /// End it, whatever the state; for the second time: without waiting for anybody.
    Stop,
}

/// What comes of it.
pub(super) enum Output {
    /// Send this from the SIP port.
    Sip { to: SocketAddr, datagram: Vec<u8> },
    /// Send this from the RTP port.
    Rtp { to: SocketAddr, datagram: Vec<u8> },
    /// Send this from the RTCP port.
    Rtcp { to: SocketAddr, datagram: Vec<u8> },
    /// Tell this.
    Happened(What),
}

/// Where a call is at home, and what its media are sealed with.
pub(super) struct Place {
    pub(super) sip: SocketAddr,
    pub(super) rtp: SocketAddr,
    pub(super) protection: Protection,
}

/// One call.
pub(super) struct Call {
    pub(super) behaviour: Arc<Behaviour>,
    pub(super) pace: Pace,
    pub(super) entropy: Entropy,
    pub(super) place: Place,
    pub(super) tag: String,
    pub(super) contact: Uri,
    gate: Option<Gate>,
    born: Timestamp,
    /// The INVITE that is to be answered, or was.
    invite: Invite,
    pub(super) phase: Phase,
    pub(super) dialog: Dialog,
    pub(super) voice: Voice,
    /// The session description of our 183 and 200.
    sdp: Vec<u8>,
    pub(super) served: Vec<Served>,
    pub(super) asked: Vec<Asked>,
    pub(super) unacknowledged: Option<Unacknowledged>,
    pub(super) typing: Option<Typing>,
    answered_at: Option<Timestamp>,
    pub(super) pressed: String,
    heard: String,
}

struct Invite {
    key: Key,
    message: Message,
    from: SocketAddr,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// 401 is out.
    Challenged { until: Timestamp },
    /// It does not ring yet.
    Invited,
    /// 180 or 183 is out.
    Ringing,
    /// 200 is out.
    Answered,
    /// The ACK came.
    Up { hang_up_at: Option<Timestamp> },
    /// A refusal is out; its ACK has not come.
    Refused(Outcome),
    /// BYE is out; nothing has come back.
    Leaving(Outcome),
    /// Over, but for copies of what went before.
    Over,
}

impl Call {
    /// A call from its first INVITE; `None` when that does not say who calls.
    pub(super) fn begin(
        now: Timestamp,
        from: SocketAddr,
        invite: &Message,
        place: Place,
        behaviour: &Arc<Behaviour>,
        mut entropy: Entropy,
        out: &mut Vec<Output>,
    ) -> Option<Self> {
        let tag = entropy.token(12);
        let to = invite.request_uri().map(|uri| uri.user()).unwrap_or_default();
        let (ip, port) = (place.sip.ip().to_string(), place.sip.port());
        let nonce = entropy.token(26);
        let mut call = Self {
            behaviour: Arc::clone(behaviour),
            pace: Pace::over(&Settings::default(), Transport::Udp),
            contact: Uri::sip(&to, &ip, Some(port)),
            gate: behaviour.credentials.as_ref().map(|known| Gate::new(known, nonce)),
            born: now,
            invite: Invite { key: Key::of(invite), message: invite.clone(), from },
            phase: Phase::Invited,
            dialog: Dialog::callee(invite, &tag, Hop::udp(from))?,
            voice: Voice::new(
                place.rtp,
                place.protection.clone(),
                entropy.fork(),
                Arc::clone(behaviour),
            ),
            sdp: Vec::new(),
            served: Vec::new(),
            asked: Vec::new(),
            unacknowledged: None,
            typing: None,
            answered_at: None,
            pressed: String::new(),
            heard: String::new(),
            tag,
            place,
            entropy,
        };
        let caller = invite.from_uri().map(Uri::user).unwrap_or_default();
        out.push(Output::Happened(What::Invited { from: caller, to }));
        call.invited(now, from, invite, out);
        Some(call)
    }

    /// When it began.
    pub(super) fn born(&self) -> Timestamp {
        self.born
    }

    /// Whether nothing is left to do but for lost messages.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether nothing is left to do.
    pub(super) fn finished(&self) -> bool {
        self.is_over() && self.deadline().is_none()
    }

    /// Whether no media is sent or heard any more.
    pub(super) fn is_mute(&self) -> bool {
        self.voice.is_closed()
    }

    /// Takes whatever happens.
    pub(super) fn on(&mut self, now: Timestamp, input: Input<'_>, out: &mut Vec<Output>) {
        let before = out.len();
        match input {
            Input::Sip { from, message } => match message.kind() {
                Kind::Request { .. } => self.request(now, from, message, out),
                Kind::Response { status } => self.response(now, message, *status, out),
            },
            Input::Rtp { from, datagram } => self.voice.on_rtp(now, from, datagram, out),
            Input::Rtcp { from, datagram } => self.voice.on_rtcp(now, from, datagram, out),
            Input::Lapsed => self.lapsed(now, out),
            Input::Stop => self.stop(now, out),
        }
        for output in out.iter().skip(before) {
            if let Output::Happened(What::Heard(key)) = output {
                self.heard.push(*key);
            }
        }
    }

    /// When something is due: the earliest of everything that waits.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let served = self.served.iter().filter_map(Served::deadline);
        let asked = self.asked.iter().filter_map(Asked::deadline);
        let unacknowledged = self.unacknowledged.iter().map(Unacknowledged::deadline);
        let typing = self.typing.iter().map(Typing::deadline);
        served
            .chain(asked)
            .chain(unacknowledged)
            .chain(typing)
            .chain(self.voice.deadline())
            .chain(self.next_step())
            .min()
    }

    /// Takes an INVITE that may begin the call.
    pub(super) fn invited(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        invite: &Message,
        out: &mut Vec<Output>,
    ) {
        let key = Key::of(invite);
        self.served.push(Served::invite(key.clone(), self.pace));
        self.invite = Invite { key, message: invite.clone(), from };
        if let Some(dialog) = Dialog::callee(invite, &self.tag, Hop::udp(from)) {
            self.dialog = dialog;
        }
        self.phase = Phase::Invited;
        let required = invite.required_options().join(", ");
        if !required.is_empty() {
            // RFC 3261 § 8.2.2.3: "the UAS MUST respond by generating a response with status code
            // 420 (Bad Extension) [and] MUST add an Unsupported header field".
            let answer = self.final_response(420).header("Unsupported", &required);
            return self.refuse(now, 420, answer, Outcome::Rejected(420), out);
        }
        let uri = invite.request_uri();
        let shown = self.gate.as_ref().map(|gate| {
            let header = invite.header("Authorization");
            gate.judge("INVITE", uri.as_ref().map_or("", Uri::as_str), header.as_deref())
        });
        match shown {
            Some(Shown::Nothing) => return self.challenge(now, out),
            Some(Shown::Wrong) => return self.reject(now, 403, out),
            Some(Shown::Right) | None => {}
        }
        match self.voice.offered(now, invite.sdp()) {
            Ok(sdp) => self.sdp = sdp,
            Err(_) => return self.reject(now, 488, out),
        }
        let trying = Response::to(invite, 100).received_from(from);
        self.respond(now, 100, &trying, out);
        self.step(now, out);
    }

    fn challenge(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let challenges = self.gate.iter().flat_map(Gate::challenges).collect::<Vec<_>>();
        let answer = challenges
            .iter()
            .fold(self.final_response(401), |it, value| it.header("WWW-Authenticate", value));
        self.respond(now, 401, &answer, out);
        self.phase = Phase::Challenged { until: now + self.pace.patience() };
        out.push(Output::Happened(What::Challenged));
    }

    /// When the phone does something of its own accord.
    fn next_step(&self) -> Option<Timestamp> {
        let decided_at = match self.behaviour.answer {
            Answer::After(after) | Answer::Reject { after, .. } => Some(self.born + after),
            Answer::Never => None,
        };
        match self.phase {
            Phase::Challenged { until } => Some(until),
            Phase::Invited => {
                let ring_at = self.born + self.behaviour.ring;
                Some(decided_at.map_or(ring_at, |at| at.min(ring_at)))
            }
            Phase::Ringing => decided_at,
            Phase::Up { hang_up_at } => hang_up_at,
            Phase::Answered | Phase::Refused(_) | Phase::Leaving(_) | Phase::Over => None,
        }
    }

    fn step(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while self.next_step().is_some_and(|at| now >= at) {
            match (self.phase, self.behaviour.answer) {
                (Phase::Challenged { .. }, _) => self.finish(now, Outcome::Abandoned, out),
                (Phase::Invited | Phase::Ringing, Answer::After(after))
                    if now >= self.born + after =>
                {
                    self.answer(now, out);
                }
                (Phase::Invited | Phase::Ringing, Answer::Reject { status, after })
                    if now >= self.born + after =>
                {
                    self.reject(now, status, out);
                }
                (Phase::Invited, _) => self.ring(now, out),
                (Phase::Up { .. }, _) => self.leave(now, Outcome::HungUp(Side::Phone), out),
                (
                    Phase::Ringing
                    | Phase::Answered
                    | Phase::Refused(_)
                    | Phase::Leaving(_)
                    | Phase::Over,
                    _,
                ) => return,
            }
        }
    }

    fn ring(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.phase = Phase::Ringing;
        if !self.behaviour.early_media {
            let ringing = self.final_response(180);
            self.respond(now, 180, &ringing, out);
            return out.push(Output::Happened(What::Ringing));
        }
        let progress = self.final_response(183).body("application/sdp", &self.sdp);
        self.respond(now, 183, &progress, out);
        out.push(Output::Happened(What::EarlyMedia));
        self.voice.speak(now);
        self.typing = Typing::of(&self.behaviour, now);
    }

    fn answer(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let answer = self.final_response(200).body("application/sdp", &self.sdp);
        self.respond(now, 200, &answer, out);
        let awaits_answer = self.invite.message.sdp().is_none();
        self.accepted(now, &self.invite.key.clone(), awaits_answer);
        self.phase = Phase::Answered;
        self.answered_at = Some(now);
        self.voice.speak(now);
        self.voice.play();
        out.push(Output::Happened(What::Answered));
    }

    /// The ACK for our 200 to the first INVITE came.
    pub(super) fn confirmed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let answered_at = self.answered_at.unwrap_or(now);
        // RFC 3261 § 15: "The callee's UA [...] MUST NOT send a BYE on a confirmed dialog until it
        // has received an ACK for its 2xx response".
        let hang_up_at = self.behaviour.hang_up_after.map(|after| answered_at + after);
        self.phase = Phase::Up { hang_up_at };
        out.push(Output::Happened(What::Acknowledged));
        // Behind an attendant, keys are pressed by whoever lifts the handset there.
        if !self.behaviour.early_media && self.behaviour.attendant.is_none() {
            self.typing = Typing::of(&self.behaviour, now);
        }
    }

    pub(super) fn reject(&mut self, now: Timestamp, status: u16, out: &mut Vec<Output>) {
        let answer = self.final_response(status);
        self.refuse(now, status, answer, Outcome::Rejected(status), out);
    }

    /// The caller gave up.
    pub(super) fn give_way(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let answer = self.final_response(487);
        self.refuse(now, 487, answer, Outcome::Canceled, out);
    }

    fn refuse(
        &mut self,
        now: Timestamp,
        status: u16,
        answer: Response,
        why: Outcome,
        out: &mut Vec<Output>,
    ) {
        self.respond(now, status, &answer, out);
        self.phase = Phase::Refused(why);
        self.typing = None;
        out.push(Output::Happened(match why {
            Outcome::Canceled => What::Canceled,
            Outcome::HungUp(side) => What::HungUp(side),
            Outcome::Rejected(_) | Outcome::Abandoned | Outcome::Unacknowledged => {
                What::Rejected(status)
            }
        }));
        self.voice.close(now, out);
    }

    /// The caller hung up.
    pub(super) fn left(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let why = Outcome::HungUp(Side::Caller);
        match self.phase {
            // RFC 3261 § 15.1.2: "The UAS MUST still respond to any pending requests received for
            // that dialog. It is RECOMMENDED that a 487 (Request Terminated) response be
            // generated".
            Phase::Challenged { .. } | Phase::Invited | Phase::Ringing => {
                let answer = self.final_response(487);
                self.refuse(now, 487, answer, why, out);
            }
            Phase::Answered | Phase::Up { .. } => {
                out.push(Output::Happened(What::HungUp(Side::Caller)));
                self.finish(now, why, out);
            }
            // Two BYEs that cross: ours is answered, or times out.
            Phase::Refused(_) | Phase::Leaving(_) | Phase::Over => {}
        }
    }

    /// Hangs up.
    pub(super) fn leave(&mut self, now: Timestamp, why: Outcome, out: &mut Vec<Output>) {
        self.phase = Phase::Leaving(why);
        (self.unacknowledged, self.typing) = (None, None);
        self.ask(now, Method::Bye, None, out);
        out.push(Output::Happened(What::HungUp(Side::Phone)));
        self.voice.close(now, out);
    }

    pub(super) fn finish(&mut self, now: Timestamp, outcome: Outcome, out: &mut Vec<Output>) {
        self.phase = Phase::Over;
        (self.unacknowledged, self.typing) = (None, None);
        self.voice.close(now, out);
        out.push(Output::Happened(What::Finished(Summary {
            outcome,
            answered_after: self.answered_at.map(|at| at.since(self.born)),
            pressed: mem::take(&mut self.pressed),
            heard: mem::take(&mut self.heard),
            quality: self.voice.quality(),
        })));
    }

    fn lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.served_lapsed(now, out);
        self.asked_lapsed(now, out);
        self.unacknowledged_lapsed(now, out);
        self.typing_lapsed(now, out);
        let before = out.len();
        self.voice.lapsed(now, out);
        let lifted = |output: &Output| matches!(output, Output::Happened(What::Lifted));
        if out.iter().skip(before).any(lifted) {
            self.typing = Typing::of(&self.behaviour, now);
        }
        self.step(now, out);
    }

    fn stop(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        match self.phase {
            Phase::Challenged { .. } => self.finish(now, Outcome::Abandoned, out),
            Phase::Invited | Phase::Ringing => self.reject(now, 480, out),
            Phase::Answered | Phase::Up { .. } => {
                self.leave(now, Outcome::HungUp(Side::Phone), out);
            }
            // The refusal, or the BYE, is out.
            Phase::Refused(why) | Phase::Leaving(why) => self.finish(now, why, out),
            Phase::Over => {}
        }
    }

    /// A response to the INVITE with our tag and Contact.
    fn final_response(&self, status: u16) -> Response {
        let Invite { message, from, .. } = &self.invite;
        self.response_to(message, *from, status)
    }

    /// Answers the INVITE.
    fn respond(&mut self, now: Timestamp, status: u16, answer: &Response, out: &mut Vec<Output>) {
        let to = self.invite.message.reply_address(self.invite.from);
        let key = self.invite.key.clone();
        if let Some(served) = self.served.iter_mut().find(|served| served.key == key) {
            served.respond(now, status, (to, answer.to_bytes()), out);
        }
    }

    /// Whether this is the INVITE that is to be answered, or was.
    pub(super) fn is_the_invite(&self, key: &Key) -> bool {
        self.invite.key == *key
    }

    /// A refusal of an INVITE was acknowledged, or never will be.
    pub(super) fn refusal_known(&mut self, now: Timestamp, key: &Key, out: &mut Vec<Output>) {
        if let Phase::Refused(why) = self.phase
            && self.is_the_invite(key)
        {
            self.finish(now, why, out);
        }
    }

    /// Takes an ACK for one of our refusals.
    pub(super) fn refusal_acknowledged(
        &mut self,
        now: Timestamp,
        key: &Key,
        out: &mut Vec<Output>,
    ) {
        if let Some(served) = self.served.iter_mut().find(|served| served.key == *key) {
            let _ = served.on(now, Event::Acknowledged, out);
            self.refusal_known(now, key, out);
        }
    }

    /// Between the end of one key and the next.
    pub(super) const BETWEEN: Duration = Duration::from_millis(100);
}

/// A datagram, and where it goes.
pub(super) type Datagram = (SocketAddr, Vec<u8>);

pub(super) fn send((to, datagram): &Datagram, out: &mut Vec<Output>) {
    out.push(Output::Sip { to: *to, datagram: datagram.clone() });
}
