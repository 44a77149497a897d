//! The simulated handset, and the trunk that leads to it: one call as the called side sees it,
//! written apart from the gateway's own machines. It also keeps the truth: which keys were
//! pressed, and whether a pound key was a yes.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use octothorpe::ambient::Timestamp;
use octothorpe::media::events::{self, Step};
use octothorpe::media::{Digit, MediaSession, Protection, rtp};
use octothorpe::sip::{Dialog, Hop, Kind, Message, Method, Response, Uri, Way};
use octothorpe::verify::request::Mode;

use crate::dice::Dice;
use crate::plan::{Answer, Manner, Stray};

/// RFC 3261 timers T1 and T2, and 64 times T1.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(32);

/// A person who waits so long, ringing or on the line, was forgotten by the caller.
const FORGOTTEN: Duration = Duration::from_secs(240);

/// A pound key this soon after a zero reports fraud, whatever stood between: quicker than the
/// question can be heard again.
const ZERO_HOLDS: Duration = Duration::from_secs(5);

/// Audio is sent this rarely: one packet in twenty, which is enough to be heard.
const AUDIO: Duration = Duration::from_millis(400);

/// The payload types of PCMU and telephone-event in the gateway's offer.
const PCMU: u8 = 0;
pub(crate) const EVENTS: u8 = 101;

/// One call at a handset.
pub(crate) struct Phone {
    pub(crate) state: State,
    presses: Vec<Press>,
    /// The node slept or died while this call lasted: it may have been forgotten.
    pub(crate) disturbed: bool,
    /// It rang, or was up, until the person lost patience.
    pub(crate) forgotten: bool,
    /// It rings because the trunk forked, and is told nothing but what is for it alone.
    is_second: bool,
    /// The gateway's own SSRC, once its audio was heard.
    pub(crate) caller_ssrc: Option<u32>,
    manner: Manner,
    invite: Message,
    from: SocketAddr,
    place: Place,
    dialog: Dialog,
    tag: String,
    branch: u64,
    gateway_rtp: SocketAddr,
    sdp: Vec<u8>,
    born: Timestamp,
    rang: bool,
    answered_at: Option<Timestamp>,
    last_response: Option<Vec<u8>>,
    resend: Option<Resend>,
    stream: Stream,
    keys: VecDeque<(Timestamp, Digit)>,
    steps: VecDeque<(Timestamp, Step)>,
    strays: VecDeque<(Timestamp, Stray)>,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ringing,
    /// 200 is out, and no ACK came.
    Answered,
    Up,
    /// A refusal is out, and no ACK came.
    Refused,
    /// BYE is out, and no answer came.
    Leaving,
    Over,
}

/// A key that was pressed.
#[derive(Debug)]
struct Press {
    digit: Digit,
    at: Timestamp,
    mark: Mark,
    /// The call had been answered.
    answered: bool,
}

/// A telephone-event, by the SSRC of its packets and their RTP timestamp.
pub(crate) type Mark = (u32, u32);

/// Where a call is at home.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) sip: SocketAddr,
    pub(crate) rtp: SocketAddr,
}

/// What a handset sends, or tells.
pub(crate) enum Out {
    Sip { to: SocketAddr, bytes: Vec<u8> },
    Rtp { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    Said(String),
}

struct Resend {
    to: SocketAddr,
    bytes: Vec<u8>,
    at: Timestamp,
    pause: Duration,
    until: Timestamp,
}

struct Stream {
    ssrc: u32,
    sequence: u16,
    start: u32,
    next_audio: Option<Timestamp>,
}

impl Phone {
    /// Takes the first INVITE of a call; `None` when it makes no sense.
    pub(crate) fn invited(
        now: Timestamp,
        from: SocketAddr,
        invite: &Message,
        manner: Manner,
        place: Place,
        dice: &mut Dice,
        out: &mut Vec<Out>,
    ) -> Option<Self> {
        let mut media = MediaSession::new(place.rtp, Protection::Off, dice.fork());
        let sdp = media.offered(now, Some(invite.sdp()?)).ok()?;
        let tag = dice.token();
        let mut strays: Vec<_> =
            manner.strays.iter().map(|(after, stray)| (now + *after, *stray)).collect();
        strays.sort_by_key(|(at, _)| *at);
        let mut phone = Self {
            state: State::Ringing,
            presses: Vec::new(),
            disturbed: false,
            forgotten: false,
            is_second: false,
            caller_ssrc: None,
            invite: invite.clone(),
            from,
            place,
            dialog: Dialog::callee(invite, &tag, Hop::udp(from))?,
            tag,
            branch: u64::from(dice.u32()),
            gateway_rtp: media.remote()?,
            sdp,
            born: now,
            rang: false,
            answered_at: None,
            last_response: None,
            resend: None,
            stream: Stream {
                ssrc: dice.u32(),
                sequence: u16::try_from(dice.number(0, 65_536)).unwrap(),
                start: dice.u32(),
                next_audio: None,
            },
            keys: VecDeque::new(),
            steps: VecDeque::new(),
            strays: strays.into(),
            manner,
        };
        if phone.manner.trying {
            let trying = Response::to(invite, 100).received_from(from).to_bytes();
            phone.respond(trying, out);
        }
        Some(phone)
    }

    /// The second phone that rings for an INVITE: its trunk passes on nothing of it but an answer.
    pub(crate) fn second(mut self) -> Self {
        self.is_second = true;
        self
    }

    pub(crate) const fn is_second(&self) -> bool {
        self.is_second
    }

    /// Whether a message is of its dialog, or may be.
    pub(crate) fn is_meant(&self, message: &Message) -> bool {
        let tags = [message.to_tag(), message.from_tag()];
        let is_first = message.to_tag().is_none() && message.status().is_none();
        is_first || tags.contains(&Some(&self.tag))
    }

    /// Where it takes SIP.
    pub(crate) const fn sip(&self) -> SocketAddr {
        self.place.sip
    }

    /// Whether a person could pick it up, or has.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, State::Ringing | State::Answered | State::Up)
    }

    /// When something is due here.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let resend = self.resend.as_ref().map(|resend| resend.at);
        let keys = self.keys.front().map(|(at, _)| *at);
        let steps = self.steps.front().map(|(at, _)| *at);
        let strays = self.strays.front().map(|(at, _)| *at);
        let audio = self.stream.next_audio;
        [resend, keys, steps, strays, audio, self.next_step()].into_iter().flatten().min()
    }

    /// Takes a SIP message.
    pub(crate) fn on_sip(&mut self, now: Timestamp, message: &Message, out: &mut Vec<Out>) {
        match message.kind() {
            Kind::Response { status } if *status >= 200 && self.state == State::Leaving => {
                self.over("its BYE was answered", out);
            }
            Kind::Response { .. } => {}
            Kind::Request { method } => match method {
                Method::Invite => self.repeat(out),
                Method::Ack => self.acknowledged(out),
                Method::Cancel => self.canceled(now, message, out),
                Method::Bye => self.hung_up_on(message, out),
                Method::Register
                | Method::Options
                | Method::Info
                | Method::Prack
                | Method::Update
                | Method::Subscribe
                | Method::Notify
                | Method::Refer
                | Method::Message
                | Method::Publish
                | Method::Other(_) => self.answer_to(message, 501, out),
            },
        }
    }

    /// Does what is due.
    pub(crate) fn lapsed(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        self.lapsed_copies(now, out);
        if self.next_step().is_some_and(|at| now >= at) {
            self.step(now, out);
        }
        self.speak(now, out);
    }

    /// When the person, or the phone, does something of its own accord.
    fn next_step(&self) -> Option<Timestamp> {
        let since = |after: Duration| self.born + after;
        match self.state {
            State::Ringing => {
                let ring = self.manner.ring.filter(|_| !self.rang).map(since);
                let decide = match self.manner.answer {
                    Answer::After(after) | Answer::Refuse(after, _) => since(after),
                    Answer::Never => since(FORGOTTEN),
                };
                Some(ring.map_or(decide, |ring| ring.min(decide)))
            }
            State::Up => {
                let answered = self.answered_at.unwrap_or(self.born);
                Some(answered + self.manner.hang_up.unwrap_or(FORGOTTEN))
            }
            State::Answered | State::Refused | State::Leaving | State::Over => None,
        }
    }

    fn step(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        match (self.state, self.manner.answer) {
            (State::Ringing, Answer::After(after)) if now >= self.born + after => {
                self.answer(now, out);
            }
            (State::Ringing, Answer::Refuse(after, status)) if now >= self.born + after => {
                self.refuse(now, status, out);
            }
            (State::Ringing, Answer::Never) if now >= self.born + FORGOTTEN => {
                self.forgotten = true;
                self.refuse(now, 480, out);
            }
            (State::Ringing, _) => self.ring(out),
            (State::Up, _) => {
                self.forgotten = self.manner.hang_up.is_none();
                self.leave(now, out);
            }
            (State::Answered | State::Refused | State::Leaving | State::Over, _) => {}
        }
    }

    fn response(&self, status: u16) -> Response {
        let own = self.place.sip.ip().to_string();
        // Who sends us away sends us to strangers, where nobody goes: one INVITE is all there is.
        let host = if (300..400).contains(&status) { "stranger.invalid" } else { &own };
        let contact = Uri::sip("phone", host, Some(self.place.sip.port()));
        Response::to(&self.invite, status)
            .received_from(self.from)
            .to_tag(&self.tag)
            .contact(&contact)
    }

    fn respond(&mut self, bytes: Vec<u8>, out: &mut Vec<Out>) {
        let to = self.invite.reply_address(self.from);
        self.last_response = Some(bytes.clone());
        out.push(Out::Sip { to, bytes });
    }

    /// RFC 3261 § 17.2.1: a copy of the INVITE gets the last response once more.
    fn repeat(&self, out: &mut Vec<Out>) {
        if let (Some(bytes), true) = (&self.last_response, self.state != State::Over) {
            out.push(Out::Sip { to: self.invite.reply_address(self.from), bytes: bytes.clone() });
        }
    }

    fn ring(&mut self, out: &mut Vec<Out>) {
        self.rang = true;
        let ringing = if self.manner.early_media {
            self.response(183).body("application/sdp", &self.sdp)
        } else {
            self.response(180)
        };
        self.respond(ringing.to_bytes(), out);
    }

    fn answer(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        out.push(Out::Said("answers".to_owned()));
        let bytes = self.response(200).body("application/sdp", &self.sdp).to_bytes();
        self.final_response(now, bytes, out);
        self.state = State::Answered;
        self.answered_at = Some(now);
        self.keys = self.manner.keys.iter().map(|(after, key)| (now + *after, *key)).collect();
        self.stream.next_audio = (!self.manner.mute).then_some(now);
    }

    fn refuse(&mut self, now: Timestamp, status: u16, out: &mut Vec<Out>) {
        out.push(Out::Said(format!("refuses with {status}")));
        let bytes = self.response(status).to_bytes();
        self.final_response(now, bytes, out);
        self.state = State::Refused;
    }

    /// A final response is repeated until its ACK comes (RFC 3261 § 13.3.1.4, § 17.2.1).
    fn final_response(&mut self, now: Timestamp, bytes: Vec<u8>, out: &mut Vec<Out>) {
        let to = self.invite.reply_address(self.from);
        self.resend = Some(Resend::begin(now, to, bytes.clone()));
        self.respond(bytes, out);
    }

    fn acknowledged(&mut self, out: &mut Vec<Out>) {
        match self.state {
            State::Answered => {
                self.state = State::Up;
                self.resend = None;
                out.push(Out::Said("is up".to_owned()));
            }
            State::Refused => self.over("its refusal was acknowledged", out),
            State::Ringing | State::Up | State::Leaving | State::Over => {}
        }
    }

    fn canceled(&mut self, now: Timestamp, cancel: &Message, out: &mut Vec<Out>) {
        if self.is_second {
            // Its trunk answers the CANCEL, and ends what it has begun by itself.
            if self.state == State::Ringing {
                self.over("is needed no more", out);
            }
            return;
        }
        self.answer_to(cancel, 200, out);
        if self.state != State::Ringing {
            return;
        }
        if self.manner.stubborn {
            // Its 200 and the CANCEL crossed.
            self.answer(now, out);
        } else {
            self.refuse(now, 487, out);
        }
    }

    fn hung_up_on(&mut self, bye: &Message, out: &mut Vec<Out>) {
        self.answer_to(bye, 200, out);
        match self.state {
            State::Answered | State::Up => self.over("was hung up on", out),
            State::Ringing | State::Refused | State::Leaving | State::Over => {}
        }
    }

    fn answer_to(&self, request: &Message, status: u16, out: &mut Vec<Out>) {
        let answer = Response::to(request, status).received_from(self.from).to_tag(&self.tag);
        out.push(Out::Sip { to: request.reply_address(self.from), bytes: answer.to_bytes() });
    }

    fn leave(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        out.push(Out::Said("hangs up".to_owned()));
        self.branch += 1;
        let branch = format!("z9hG4bK{:x}", self.branch);
        let hop = self.dialog.destination();
        let way = Way { hop, local: self.place.sip };
        let bye = self.dialog.request(Method::Bye).via(&way, &branch);
        let to = hop.address;
        self.quiet();
        self.state = State::Leaving;
        self.resend = Some(Resend::begin(now, to, bye.to_bytes()));
        out.push(Out::Sip { to, bytes: bye.to_bytes() });
    }

    fn over(&mut self, why: &str, out: &mut Vec<Out>) {
        out.push(Out::Said(format!("is over: {why}")));
        self.quiet();
        self.state = State::Over;
        self.resend = None;
    }

    fn quiet(&mut self) {
        self.keys.clear();
        self.steps.clear();
        self.strays.clear();
        self.stream.next_audio = None;
    }

    fn lapsed_copies(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let Some(resend) = self.resend.as_mut().filter(|resend| now >= resend.at) else { return };
        if now < resend.until {
            resend.pause = (resend.pause * 2).min(T2);
            resend.at = (now + resend.pause).min(resend.until);
            return out.push(Out::Sip { to: resend.to, bytes: resend.bytes.clone() });
        }
        self.resend = None;
        match self.state {
            // RFC 3261 § 13.3.1.4: "If the server retransmits the 2xx response for 64*T1 seconds
            // without receiving an ACK, [...] the session SHOULD be terminated" by a BYE.
            State::Answered => self.leave(now, out),
            State::Refused | State::Leaving => self.over("nobody answered", out),
            State::Ringing | State::Up | State::Over => {}
        }
    }

    /// Sends the audio, keys and stray packets that are due.
    fn speak(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        if self.stream.next_audio.is_some_and(|at| now >= at) {
            self.stream.next_audio = Some(now + AUDIO);
            let timestamp = self.clock(now);
            let bytes = self.stream.packet(false, PCMU, timestamp, &[0xff; 160]);
            self.send(bytes, out);
        }
        while let Some((_, digit)) = self.keys.pop_front_if(|(at, _)| now >= *at) {
            self.press(now, digit, out);
        }
        while let Some((_, stray)) = self.strays.pop_front_if(|(at, _)| now >= *at) {
            self.stray(now, stray, out);
        }
        while let Some((_, step)) = self.steps.pop_front_if(|(at, _)| now >= *at) {
            let bytes = self.stream.packet(step.marker, EVENTS, step.timestamp, &step.payload);
            self.send(bytes, out);
        }
    }

    fn send(&self, bytes: Vec<u8>, out: &mut Vec<Out>) {
        out.push(Out::Rtp { from: self.place.rtp, to: self.gateway_rtp, bytes });
    }

    /// The RTP clock: 8 kHz from a random start.
    fn clock(&self, now: Timestamp) -> u32 {
        let samples = now.since(self.born).as_millis() * 8;
        self.stream.start.wrapping_add(u32::try_from(samples).unwrap())
    }

    fn press(&mut self, now: Timestamp, digit: Digit, out: &mut Vec<Out>) {
        let rtp_timestamp = self.clock(now);
        let (mark, answered) = ((self.stream.ssrc, rtp_timestamp), self.answered_at.is_some());
        out.push(Out::Said(format!("presses {}", digit.expose())));
        self.presses.push(Press { digit, at: now, mark, answered });
        let steps = events::press(digit, rtp_timestamp, 800).into_iter().enumerate();
        self.steps.extend(steps.map(|(index, step)| {
            let frames = u64::try_from(index).unwrap();
            (now + Duration::from_millis(20 * frames), step)
        }));
    }

    /// Whether this press was a yes: a pound key on an answered call, behind the digits that were asked
    /// for, and no part of a report of fraud. What the network lost altogether, before, was not said to
    /// anybody. `None`: there was no such press.
    pub(crate) fn said_yes(&self, mark: Mark, arrived: &BTreeSet<Mark>) -> Option<bool> {
        let place = self.presses.iter().position(|press| press.mark == mark)?;
        let (before, press) = (&self.presses[..place], &self.presses[place]);
        let before = || before.iter().filter(|it| arrived.contains(&it.mark));
        let is_near = |it: &Press| it.digit == Digit::ZERO && press.at.since(it.at) < ZERO_HOLDS;
        let is_yes = match self.manner.question.mode {
            Mode::Confirm => !before().any(is_near),
            Mode::Pin | Mode::Match => {
                let pressed = before().map(|press| press.digit.expose());
                pressed.collect::<String>().ends_with(&self.manner.question.digits)
            }
            // Who has the code read out has said nothing yet.
            Mode::Code | Mode::Reply => false,
        };
        Some(press.digit == Digit::POUND && press.answered && is_yes)
    }

    fn stray(&mut self, now: Timestamp, stray: Stray, out: &mut Vec<Out>) {
        let timestamp = self.clock(now).wrapping_add(4);
        let Some(step) = events::press(Digit::POUND, timestamp, 160).into_iter().next() else {
            return;
        };
        let elsewhere: SocketAddr = "203.0.113.66:4000".parse().unwrap();
        let next_door = SocketAddr::new(self.place.rtp.ip(), self.place.rtp.port() + 200);
        let (from, ssrc, payload_type) = match stray {
            Stray::Host => (elsewhere, !self.stream.ssrc, EVENTS),
            Stray::Port => (next_door, self.stream.ssrc, EVENTS),
            Stray::Mimic => (elsewhere, self.stream.ssrc, EVENTS),
            Stray::Echo => match self.caller_ssrc {
                Some(ssrc) => (self.place.rtp, ssrc, EVENTS),
                None => return,
            },
            Stray::PayloadType => (self.place.rtp, self.stream.ssrc, 96),
            Stray::Early if self.answered_at.is_none() => {
                return self.press(now, Digit::POUND, out);
            }
            Stray::Early => return,
        };
        let mut stream =
            Stream { ssrc, sequence: self.stream.sequence, start: 0, next_audio: None };
        let bytes = stream.packet(true, payload_type, step.timestamp, &step.payload);
        out.push(Out::Rtp { from, to: self.gateway_rtp, bytes });
    }
}

impl Stream {
    fn packet(
        &mut self,
        marker: bool,
        payload_type: u8,
        timestamp: u32,
        payload: &[u8],
    ) -> Vec<u8> {
        let header = rtp::header(marker, payload_type, self.sequence, timestamp, self.ssrc);
        self.sequence = self.sequence.wrapping_add(1);
        [&header, payload].concat()
    }
}

impl Resend {
    fn begin(now: Timestamp, to: SocketAddr, bytes: Vec<u8>) -> Self {
        Self { to, bytes, at: now + T1, pause: T1, until: now + PATIENCE }
    }
}
