//! One outbound phone call and what it heard: signalling, media and dialogue joined into one
//! machine, the [`Leg`].
//!
//! A leg is owned by one thread from birth to death. It is given the time and an [`Input`] and
//! appends everything that must now happen to an outbox. Its [`deadline`](Leg::deadline) is
//! computed from its state.

mod words;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use self::words::{
    Cue, Ended, Event, Input, Is, Key, Label, Note, Order, Output, Path, Quality, Said, Settings,
    Speech, Timer, Tongue,
};
use crate::ambient::{Entropy, Timestamp};
use crate::media::attendant::{Attendant, Outcome};
use crate::media::player::Player;
use crate::media::prompt::Pack;
use crate::media::script::{self, Answer, Script};
use crate::media::{
    self, Anomaly, Codec, Digit, FRAME_TIME, MediaSession, Packet, Payload, Srtp, Unusable,
};
use crate::sip::Timer as SipTimer;
use crate::sip::call::{self, Call};

/// A frame this much later than planned starts a new schedule: the thread was away, and a burst
/// of old frames would only fill the far end's jitter buffer.
const LATE: Duration = Duration::from_millis(100);

/// One outbound call.
pub struct Leg {
    settings: Settings,
    /// The phrases of the language that is spoken now.
    prompts: Arc<Pack>,
    /// The call's own, and those of the languages that may be chosen.
    packs: (Arc<Pack>, Vec<Arc<Pack>>),
    call: Call,
    media: MediaSession,
    /// Whether our offer told keys.
    srtp: Srtp,
    script: Script,
    player: Player,
    /// The way to the extension, until somebody is reached.
    attendant: Option<Attendant>,
    /// When it was answered, while it is up.
    up_since: Option<Timestamp>,
    /// When somebody was reached, where that is not the same.
    reached_at: Option<Timestamp>,
    /// When the next frame is due, while it is up.
    next_frame: Option<Timestamp>,
    /// Where in each 20 ms of the clock frames are due, if that was said.
    place: Option<Duration>,
    /// The deadline of the signalling: it walks through all that waits there, and media come and go
    /// a hundred times a second without it.
    signalling: Option<(Timestamp, SipTimer)>,
    last_key: Option<Key>,
    /// The number of the press that decided.
    decided: Option<u32>,
    /// Who is there, as far as is known.
    label: Option<Label>,
    /// The dialogue wants to hang up.
    done: bool,
    told: bool,
}

impl Leg {
    /// A leg that will begin with [`Input::Start`].
    #[must_use]
    pub fn new(order: Order, speech: Speech, mut entropy: Entropy, settings: Settings) -> Self {
        let srtp = order.srtp.srtp();
        let media = MediaSession::new(order.rtp, order.srtp, entropy.fork());
        let media = media.with_codecs(order.codecs);
        let Speech { own: Tongue { pack, lines }, offers } = speech;
        let (packs, offers) = offers.into_iter().map(|it| (it.pack, it.lines)).unzip();
        Self {
            call: Call::new(order.call, media.offer(), entropy.fork(), settings.sip.clone()),
            script: Script::new(settings.script.clone(), order.question, lines, offers),
            media,
            srtp,
            prompts: Arc::clone(&pack),
            packs: (pack, packs),
            player: Player::new(),
            attendant: order.extension.map(|it| Attendant::new(it, settings.attendant)),
            up_since: None,
            reached_at: None,
            next_frame: None,
            place: None,
            signalling: None,
            last_key: None,
            decided: None,
            label: None,
            done: false,
            told: false,
            settings,
        }
    }

    /// Sends its frames at this place in each 20 ms of the clock, so that those of many legs do not
    /// all go out at once; else they begin with the answer.
    pub const fn pace(&mut self, place: Duration) {
        self.place = Some(place);
    }

    /// The Call-ID of its signalling.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.call.call_id()
    }

    /// Whether its owner may drop it: it is over and owes the far end nothing more.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.told && self.call.finished()
    }

    /// Whether nothing more will be heard or said on it. Its signalling may still owe the far end
    /// an answer or two.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.told && self.up_since.is_none()
    }

    /// Whether its goodbye is still to be answered.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        match self.call.state() {
            call::State::Leaving { .. } => true,
            call::State::Ready
            | call::State::Inviting { .. }
            | call::State::Abandoning { .. }
            | call::State::Early { .. }
            | call::State::Canceling { .. }
            | call::State::Up
            | call::State::Over(_) => false,
        }
    }

    /// How its media went so far.
    #[must_use]
    pub fn report(&self) -> media::Quality {
        self.media.report()
    }

    /// The phrases of the language that is spoken now.
    #[must_use]
    pub fn prompts(&self) -> &Pack {
        &self.prompts
    }

    /// Whether the keys that are pressed are a secret.
    #[must_use]
    pub const fn hides_keys(&self) -> bool {
        self.script.hides_keys()
    }

    /// Writes a frame as it is to be sent, in the place of what `datagram` held. To be called once for
    /// each [`Output::Rtp`], in their order.
    pub fn datagram(&mut self, packet: &Packet, codec: Codec, datagram: &mut Vec<u8>) {
        self.media.speaks(packet.payload.level(&self.prompts));
        self.media.datagram(packet, packet.payload.bytes(&self.prompts, codec), datagram);
    }

    /// Where its RTP goes and that of the far end comes from.
    #[must_use]
    pub const fn remote(&self) -> Option<SocketAddr> {
        self.media.remote()
    }

    /// The SSRC of the stream that it listens to.
    #[must_use]
    pub fn source(&self) -> Option<u32> {
        self.media.source()
    }

    /// When to be woken, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, Timer)> {
        let signalling = self.signalling.map(|(at, timer)| (at, Timer::Sip(timer)));
        let frame = self.next_frame.map(|at| (at, Timer::Frame));
        let up = self.up_since.into_iter().flat_map(|since| {
            let grace = self.media.first_heard().is_none();
            [
                self.media.deadline().map(|(at, timer)| (at, Timer::Media(timer))),
                self.script.deadline().map(|(at, timer)| (at, Timer::Script(timer))),
                grace.then_some((since + self.settings.media_grace, Timer::Grace)),
                Some((self.limit(since), Timer::Limit)),
            ]
        });
        up.flatten().chain(signalling).chain(frame).min_by_key(|(at, _)| *at)
    }

    /// Takes an input; appends what must now happen.
    pub fn on(&mut self, now: Timestamp, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Start => self.signal(now, call::Input::Start, out),
            Input::Sip { from, message } => {
                self.signal(now, call::Input::Received { from, message }, out);
            }
            Input::Rtp { from, datagram } => {
                let mut heard = Vec::new();
                let attendant = &mut self.attendant;
                self.media.overhear(now, from, datagram, &mut heard, |packet, format| {
                    if let Some(attendant) = attendant {
                        attendant.hear(now, packet, format);
                    }
                });
                self.heard(now, heard, out);
            }
            Input::Rtcp { from, datagram } => {
                let mut heard = Vec::new();
                self.media.on_rtcp(now, from, datagram, &mut heard);
                self.heard(now, heard, out);
            }
            Input::Lapsed => self.lapsed(now, out),
            Input::Close(close) if self.up_since.is_some() && self.attendant.is_none() => {
                self.converse(now, script::Input::Conclude(close), out);
            }
            Input::Close(_) | Input::Stop => self.hang_up(now, out),
            Input::Moved { port } => {
                let sdp = self.media.moved(port);
                self.signal(now, call::Input::Offer { sdp }, out);
            }
            Input::Unreachable { hop } => self.signal(now, call::Input::Unreachable { hop }, out),
        }
        if self.done {
            self.done = false;
            self.hang_up(now, out);
        }
    }

    fn lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.signalling.is_some_and(|(at, _)| now >= at) {
            self.signal(now, call::Input::Lapsed, out);
        }
        let Some(since) = self.up_since else { return };
        if now >= self.limit(since) {
            self.end(Ended::TooLong, out);
            return self.hang_up(now, out);
        }
        if self.media.first_heard().is_none() && now >= since + self.settings.media_grace {
            let (negotiated, elsewhere) = (self.media.remote(), self.media.elsewhere());
            let unauthentic = self.report().anomalies.contains_key(&Anomaly::Unauthentic);
            self.end(Ended::MediaLost { negotiated, elsewhere, unauthentic }, out);
            return self.hang_up(now, out);
        }
        let mut heard = Vec::new();
        self.media.on_lapsed(now, &mut heard);
        self.heard(now, heard, out);
        if self.script.deadline().is_some_and(|(at, _)| now >= at) {
            self.converse(now, script::Input::Lapsed, out);
        }
        self.send_frame(now, out);
    }

    /// When it has lasted too long. The way to an extension has its own patience, and is added to
    /// that as long as it lasts.
    fn limit(&self, up_since: Timestamp) -> Timestamp {
        let limit = self.settings.call_limit;
        match (&self.attendant, self.reached_at) {
            (Some(_), _) => up_since + limit + self.settings.attendant.longest(),
            (None, reached_at) => reached_at.unwrap_or(up_since) + limit,
        }
    }

    /// Sends the frame that is due, and tells the dialogue when it was the last of its phrase.
    fn send_frame(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Some(due) = self.next_frame.filter(|due| now >= *due) else { return };
        let late = now.since(due);
        if late > LATE {
            out.push(Output::Note(Note::Late(late)));
        }
        self.next_frame = Some(if late > LATE { self.next_place(now) } else { due } + FRAME_TIME);
        // While it is held, the far end would not hear what we say: the dialogue waits.
        let held = self.media.is_held();
        // But nobody waits to say goodbye to a line that is on hold.
        if held && matches!(self.script.state(), script::State::Thanking | script::State::Farewell)
        {
            self.done = true;
        }
        let was_idle = self.player.is_idle();
        let payload = if held {
            Payload::Silence
        } else if self.attendant.is_some() {
            self.approach(now, out)
        } else {
            self.player.next_frame()
        };
        if let Some(packet) = self.media.frame(now, payload) {
            out.push(Output::Rtp { packet, codec: self.media.codec() });
        }
        if !was_idle && self.player.is_idle() {
            self.converse(now, script::Input::PhraseDone, out);
        }
    }

    /// When a frame may go out, from now.
    fn next_place(&self, now: Timestamp) -> Timestamp {
        let Some(place) = self.place else { return now };
        let frame = FRAME_TIME.as_micros() as u64;
        let (place, at) = (place.as_micros() as u64 % frame, now.as_micros() % frame);
        now + Duration::from_micros((place + frame - at) % frame)
    }

    /// The next frame on the way to the extension.
    fn approach(&mut self, now: Timestamp, out: &mut Vec<Output>) -> Payload {
        let Some(attendant) = &mut self.attendant else { return Payload::Silence };
        let (clock, takes_events) = (self.media.timestamp(), self.media.takes_events());
        let mut outcomes = Vec::new();
        let payload = attendant.frame(now, clock, takes_events, &mut outcomes);
        for outcome in outcomes {
            match outcome {
                Outcome::Dialling => out.push(Output::Event(Event::Dialling)),
                Outcome::Reached => {
                    (self.attendant, self.reached_at) = (None, Some(now));
                    self.media.listen_anew();
                    self.converse(now, script::Input::Answered, out);
                }
                Outcome::Failed(failure) => {
                    self.end(Ended::Unreached(failure), out);
                    self.done = true;
                }
            }
        }
        payload
    }

    /// Gives the signalling an input and does what it says.
    fn signal(&mut self, now: Timestamp, input: call::Input<'_>, out: &mut Vec<Output>) {
        let mut said = Vec::new();
        self.call.on(now, input, &mut said);
        self.signalling = self.call.deadline();
        for output in said {
            match output {
                call::Output::Send { to, bytes } => out.push(Output::Sip { to, bytes }),
                call::Output::Alerting { status, sdp } => {
                    // Early media is listened to for what it says of the line, never for a key.
                    match sdp.map(|sdp| self.media.answered(now, &sdp)) {
                        Some(Ok(())) => self.catch_up(now, out),
                        Some(Err(unusable)) => out.push(Output::Note(Note::Refused(unusable))),
                        None => {}
                    }
                    out.push(Output::Event(Event::Alerting { status }));
                }
                call::Output::Answered { status, sdp } => self.answered(now, status, sdp, out),
                call::Output::Offered { sdp } => self.offered(now, sdp.as_deref(), out),
                call::Output::Agreed { sdp } => {
                    if let Err(unusable) = self.media.answered(now, &sdp) {
                        out.push(Output::Note(Note::Refused(unusable)));
                    }
                }
                call::Output::Info(pressed) => {
                    let mut heard = Vec::new();
                    if let Some(digit) = Digit::from_char(pressed.key) {
                        self.media.on_info(now, digit, pressed.held, &mut heard);
                    }
                    self.heard(now, heard, out);
                }
                call::Output::Note(note) => out.push(Output::Note(Note::Sip(note))),
                call::Output::Over(ended) => {
                    self.close_media(now, out);
                    let ended = match (ended, self.srtp) {
                        (
                            call::Ended::Rejected { status: status @ (488 | 606), q850, .. },
                            srtp @ (Srtp::Preferred | Srtp::Required),
                        ) => Ended::Refused { status, q850, srtp },
                        (ended, Srtp::Off | Srtp::Preferred | Srtp::Required) => Ended::Call(ended),
                    };
                    self.end(ended, out);
                }
            }
        }
    }

    fn answered(
        &mut self,
        now: Timestamp,
        status: u16,
        sdp: Option<Vec<u8>>,
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Event(Event::Answered { status }));
        let agreed = match sdp {
            Some(sdp) => self.media.answered(now, &sdp),
            // RFC 3261 § 13.2.1: the answer may have come in a provisional response before.
            None if self.media.remote().is_some() || self.media.is_held() => Ok(()),
            None => Err(Unusable::NoAudio),
        };
        if let Err(unusable) = agreed {
            self.end(Ended::Unusable(unusable), out);
            return self.hang_up(now, out);
        }
        self.catch_up(now, out);
        // Whoever answers need not be who rang.
        self.media.rearm();
        self.media.wait_for(self.script.awaits());
        self.up_since = Some(now);
        self.next_frame = Some(self.next_place(now));
        if self.attendant.is_none() {
            self.converse(now, script::Input::Answered, out);
        }
    }

    fn offered(&mut self, now: Timestamp, sdp: Option<&[u8]>, out: &mut Vec<Output>) {
        let reply = match self.media.offered(now, sdp) {
            Ok(sdp) => call::Input::Accept { sdp },
            Err(unusable) => {
                out.push(Output::Note(Note::Refused(unusable)));
                // RFC 3261 § 14.2: "If the new session description is not acceptable, the UAS can
                // reject it by returning a 488 (Not Acceptable Here) response".
                call::Input::Refuse { status: 488 }
            }
        };
        self.signal(now, reply, out);
    }

    /// Hears what came before it was known from where. The dialogue takes it for what it is, too
    /// early: no consent, but a report that began so is remembered.
    fn catch_up(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut heard = Vec::new();
        self.media.catch_up(&mut heard);
        self.heard(now, heard, out);
    }

    /// Does what the media says.
    fn heard(&mut self, now: Timestamp, heard: Vec<media::Output>, out: &mut Vec<Output>) {
        for output in heard {
            match output {
                media::Output::Key(key) => {
                    if self.attendant.is_some() {
                        out.push(Output::Note(Note::KeyBeforeAsk));
                        continue;
                    }
                    self.last_key = Some(key);
                    let pressed = script::Input::Key { digit: key.digit, at: key.at };
                    out.push(Output::Event(Event::Key(key)));
                    self.converse(now, pressed, out);
                }
                media::Output::KeyOver(key) => {
                    if self.decided == Some(key.no) {
                        out.push(Output::Event(Event::Proven(key)));
                    }
                }
                // Before the answer it is the network that is heard.
                // Nor is it who was called, before that is reached.
                media::Output::Label(label)
                    if self.up_since.is_some() && self.attendant.is_none() =>
                {
                    out.push(Output::Event(Event::Label(label)));
                    self.labelled(now, label, out);
                }
                media::Output::Label(_) => {}
                media::Output::Talk(talk)
                    if self.up_since.is_some() && self.attendant.is_none() =>
                {
                    self.converse(now, script::Input::Talk(talk), out);
                }
                media::Output::Talk(_) => {}
                media::Output::Rtcp { to, packet } => out.push(Output::Rtcp { to, packet }),
                media::Output::Note(note) => out.push(Output::Note(Note::Media(note))),
            }
        }
    }

    /// Somebody, or something, is known to be there; to what cannot answer there is nothing to say.
    fn labelled(&mut self, now: Timestamp, label: Label, out: &mut Vec<Output>) {
        self.label = Some(label);
        let is_over = match label.is {
            Is::Fax | Is::Sit | Is::Busy | Is::Echo => true,
            // Rather than speak to the tape. Who has pressed a key is there, whatever beeps.
            Is::Machine => label.cue == Cue::Beep && self.last_key.is_none(),
            Is::Human | Is::Silence | Is::Screening | Is::Ringback => false,
        };
        if is_over && self.decided.is_none() {
            self.end(Ended::Nobody(label), out);
            self.hang_up(now, out);
        }
    }

    /// Nobody answered the question.
    fn unanswered(&mut self, out: &mut Vec<Output>) {
        let nobody = self.label.filter(|it| matches!(it.is, Is::Machine | Is::Screening));
        match nobody.filter(|_| self.last_key.is_none()) {
            Some(label) => {
                self.end(Ended::Nobody(label), out);
                self.done = true;
            }
            None => self.end(Ended::NoInput, out),
        }
    }

    /// Gives the dialogue an input and does what it says.
    fn converse(&mut self, now: Timestamp, input: script::Input, out: &mut Vec<Output>) {
        let before = self.script.state();
        let mut said = Vec::new();
        self.script.on(now, input, &mut said);
        for output in said {
            match output {
                script::Output::Speak(place) => {
                    let chosen = place.and_then(|place| self.packs.1.get(place));
                    self.prompts = Arc::clone(chosen.unwrap_or(&self.packs.0));
                }
                script::Output::Play(lines) => {
                    self.player.play(&self.prompts, &lines);
                    let told = lines.into_iter().filter(|line| !line.secret);
                    out.extend(told.map(|it| Output::Event(Event::Saying(it.phrase))));
                }
                script::Output::Telling => out.push(Output::Event(Event::Telling)),
                script::Output::StopPlaying => self.player.stop(),
                script::Output::Heard(answer) => self.conclude(answer, out),
                script::Output::Note(note) => {
                    if note == script::Note::KeyTooEarly {
                        // What sends keys before it was asked is no person who answers.
                        self.last_key = None;
                    }
                    out.push(Output::Note(Note::Script(note)));
                }
                script::Output::Done => self.done = true,
            }
        }
        let after = self.script.state();
        if after != before {
            out.extend(progress(after).map(Output::Event));
        }
    }

    /// Tells what was heard, with the key that decided.
    fn conclude(&mut self, answer: Answer, out: &mut Vec<Output>) {
        let said = match answer {
            Answer::Confirmed { .. } => Said::Confirmed,
            Answer::PinEntered { .. } => Said::PinEntered,
            Answer::DigitsEntered { .. } => Said::DigitsEntered,
            Answer::FraudReported { .. } => Said::FraudReported,
            Answer::Declined => Said::Declined,
            Answer::WrongKey { .. } => Said::WrongKey,
            Answer::WrongPin { .. } => Said::WrongPin,
            Answer::NoInput => return self.unanswered(out),
        };
        if let Some(key) = self.last_key {
            self.decided = Some(key.no);
            out.push(Output::Event(Event::Heard { said, key }));
        }
    }

    fn hang_up(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.close_media(now, out);
        self.signal(now, call::Input::Stop, out);
    }

    fn close_media(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut last = Vec::new();
        if self.up_since.take().is_some() {
            self.media.close(now, &mut last);
        }
        self.next_frame = None;
        self.player.stop();
        self.heard(now, last, out);
    }

    /// Tells the end, once: the first reason is the true one.
    fn end(&mut self, ended: Ended, out: &mut Vec<Output>) {
        if !self.told {
            self.told = true;
            out.push(Output::Event(Event::Ended(ended)));
        }
    }
}

/// What a new state of the dialogue means to the outside.
const fn progress(state: script::State) -> Option<Event> {
    match state {
        script::State::Greeting | script::State::Asking { .. } => Some(Event::Prompting),
        script::State::Listening { .. } => Some(Event::Listening),
        script::State::Waiting
        | script::State::HearingOut { .. }
        | script::State::Offering { .. }
        | script::State::Choosing { .. }
        | script::State::Reporting { .. }
        | script::State::Telling
        | script::State::Concluding { .. }
        | script::State::Thanking
        | script::State::Farewell
        | script::State::Done => None,
    }
}
