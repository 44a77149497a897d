//! One call's media: what goes into the session descriptions, what is sent and heard by RTP, and
//! the dialogue.
//!
//! Nothing here waits, sends or receives. [`MediaSession`] is given packets and the time, and
//! gives back what was heard and what must be sent; [`script::Script`] decides what is said, and
//! [`player::Player`] cuts that into frames.
//!
//! RFC 3550 (RTP), RFC 3551 (the audio profile), RFC 3264 and 8866 (SDP), RFC 4733
//! (telephone-events), RFC 3711 and 4568 (SRTP and its keys), ITU-T G.711 and G.722.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::ambient::{Entropy, Timestamp};

pub mod attendant;
pub mod codec;
pub mod dtmf;
mod early;
pub mod events;
pub mod g711;
pub mod g722;
pub mod keys;
pub mod lanes;
pub mod listening;
pub mod player;
pub mod progress;
pub mod prompt;
pub mod reorder;
pub mod rtcp;
pub mod rtp;
pub mod script;
pub mod sdes;
pub mod sdp;
pub mod secured;
pub mod srtp;
pub mod tones;
mod words;

pub use codec::Codec;
pub use events::Digit;
pub use g711::Law;
pub use keys::{Key, Path, Paths};
pub use listening::{Cue, Is, Label, Talk};
pub use sdp::Unusable;
pub use srtp::{Keys, Protection, Srtp};
pub use words::{Anomaly, Note, Output, Packet, Payload, Quality, Timer};

use early::{Datagram, Early};
use events::{Arrival, Event, Heard};
use listening::Listening;
use listening::sound::QUIET;
use sdp::{Agreed, Format, Origin};
use secured::Secured;

/// How long one frame lasts.
pub const FRAME_TIME: Duration = Duration::from_millis(20);

/// A source that has sent nothing for so long may be followed by another at its address.
const SWITCH_AFTER: Duration = Duration::from_millis(500);

/// The longest RTP or RTCP packet read: 120 ms of G.711 and generous headers.
const LONGEST: usize = 1_200;

/// One call's media.
#[derive(Debug)]
pub struct MediaSession {
    origin: Origin,
    /// What we offer, and take.
    codecs: Vec<Codec>,
    entropy: Entropy,
    cname: String,
    secured: Secured,
    agreed: Option<Agreed>,
    /// The negotiated address. It outlives a hold that names none.
    remote: Option<SocketAddr>,
    /// What came before there was one.
    early: Early,
    sending: Sending,
    source: Option<Source>,
    /// Packets received and lost of sources before this one.
    past: (u32, i64),
    events: events::Receiver,
    listening: Listening,
    keys: keys::Merger,
    tones: BTreeSet<u8>,
    /// Who sent RTP from another address than the negotiated one, first.
    elsewhere: Option<SocketAddr>,
    first_heard: Option<Timestamp>,
    last_heard: Option<Timestamp>,
    report_due: Option<Timestamp>,
    far_end: Option<rtcp::AboutUs>,
    anomalies: BTreeMap<Anomaly, u32>,
    closed: bool,
}

/// Our own stream.
#[derive(Debug)]
struct Sending {
    ssrc: u32,
    sequence: u16,
    /// The RTP timestamp of the next frame.
    timestamp: u32,
    /// When the last frame was cut.
    at: Option<Timestamp>,
    /// The next prompt frame begins a talkspurt.
    quiet: bool,
    /// The next packet is the first, or the first after a hold.
    broken_off: bool,
    packets: u32,
    octets: u32,
    reported: u32,
}

/// The stream we listen to.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    /// When its last packet came.
    last: Timestamp,
    reception: rtp::Reception,
    last_report: Option<(u32, Timestamp)>,
}

impl MediaSession {
    /// A session that receives RTP at `local`, and RTCP at the port after it.
    #[must_use]
    pub fn new(local: SocketAddr, protection: Protection, mut entropy: Entropy) -> Self {
        // RFC 3550, Section 5.1: "The initial value of the sequence number SHOULD be random",
        // and so the timestamp. In the lower half: whoever misses the first packets of a sealed
        // stream still knows how often it has wrapped (RFC 4568, Section 6.4).
        let sending = Sending {
            ssrc: entropy.u32(),
            sequence: entropy.u16() >> 1,
            timestamp: entropy.u32(),
            at: None,
            quiet: true,
            broken_off: true,
            packets: 0,
            octets: 0,
            reported: 0,
        };
        Self {
            origin: Origin { id: entropy.u32(), version: 1, local },
            codecs: Codec::USUAL.to_vec(),
            // RFC 7022: a name for this session alone, which tells nothing about the host.
            cname: entropy.token(20),
            entropy,
            secured: Secured::new(protection),
            agreed: None,
            remote: None,
            early: Early::default(),
            sending,
            source: None,
            past: (0, 0),
            events: events::Receiver::default(),
            listening: Listening::default(),
            keys: keys::Merger::default(),
            tones: BTreeSet::new(),
            elsewhere: None,
            first_heard: None,
            last_heard: None,
            report_due: None,
            far_end: None,
            anomalies: BTreeMap::new(),
            closed: false,
        }
    }

    /// The same with these codecs, the first the best, in the place of [`Codec::USUAL`].
    #[must_use]
    pub fn with_codecs(self, codecs: Vec<Codec>) -> Self {
        Self { codecs, ..self }
    }

    /// Our offer.
    #[must_use]
    pub fn offer(&self) -> Vec<u8> {
        sdp::offer(self.origin, &self.codecs, self.secured.protection())
    }

    /// Takes the answer to our offer: from a 200, from a 183 before it, or a later one in its
    /// place.
    ///
    /// # Errors
    /// When it cannot be used; nothing has changed then.
    pub fn answered(&mut self, now: Timestamp, sdp: &[u8]) -> Result<(), Unusable> {
        let agreed = sdp::read_answer(sdp, &self.codecs, self.secured.protection())?;
        self.agree(now, agreed);
        Ok(())
    }

    /// Takes an offer of the far end, as in a re-INVITE, and gives our answer. Without one
    /// (`None`), gives an offer of ours, whose answer comes with the ACK.
    ///
    /// # Errors
    /// When the offer cannot be used; nothing has changed then.
    pub fn offered(&mut self, now: Timestamp, sdp: Option<&[u8]>) -> Result<Vec<u8>, Unusable> {
        // RFC 3264, Section 8: "the version in the origin field MUST increment by one".
        let origin = Origin { version: self.origin.version + 1, ..self.origin };
        let text = match sdp {
            None => sdp::offer(origin, &self.codecs, self.secured.protection()),
            Some(sdp) => {
                let protection = self.secured.protection();
                let (text, agreed) = sdp::answer(sdp, origin, &self.codecs, protection)?;
                self.agree(now, agreed);
                text
            }
        };
        self.origin = origin;
        Ok(text)
    }

    /// Receives RTP at another port from now on, and RTCP at the one after it: gives the offer that
    /// says so.
    #[must_use]
    pub fn moved(&mut self, port: u16) -> Vec<u8> {
        // Who was heard at the other port need not be who is meant.
        self.rearm();
        self.origin.local.set_port(port);
        self.origin.version += 1;
        self.offer()
    }

    /// Listens to a new source: the next one that sends from the negotiated address.
    ///
    /// Happens by itself when that address changes.
    pub fn rearm(&mut self) {
        self.listening.rearm();
        self.keys.rearm();
        if let Some(source) = self.source.take() {
            self.past.0 = self.past.0.saturating_add(source.reception.received());
            self.past.1 = self.past.1.saturating_add(source.reception.lost());
        }
    }

    /// Somebody else is at the far end, behind the same source: who, is to be heard anew.
    pub fn listen_anew(&mut self) {
        self.listening.listen_anew();
    }

    /// The codec of what we send; µ-law before there is an answer.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.agreed.as_ref().map_or(Codec::PCMU, |agreed| agreed.codec)
    }

    /// Whether the far end has asked us not to send.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let held = |agreed: &Agreed| agreed.remote.is_none() || !agreed.direction.sends();
        self.agreed.as_ref().is_some_and(held)
    }

    /// Whether the far end takes keys as telephone-events.
    #[must_use]
    pub fn takes_events(&self) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| agreed.events.is_some())
    }

    /// Where our RTP goes and theirs comes from.
    #[must_use]
    pub const fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// The SSRC of the stream that is listened to.
    #[must_use]
    pub fn source(&self) -> Option<u32> {
        self.source.as_ref().map(|source| source.ssrc)
    }

    /// Who sent RTP here from another address or port than the negotiated one: the first, if any.
    #[must_use]
    pub const fn elsewhere(&self) -> Option<SocketAddr> {
        self.elsewhere
    }

    /// The RTP timestamp of the next frame: where a press to be sent begins.
    #[must_use]
    pub const fn timestamp(&self) -> u32 {
        self.sending.timestamp
    }

    /// Takes a datagram from the RTP port.
    pub fn on_rtp(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut Vec<Output>,
    ) {
        self.overhear(now, from, datagram, out, |_, _| {});
    }

    /// Hears the keys that came before it was known from where: to be called once that is agreed on.
    pub fn catch_up(&mut self, out: &mut Vec<Output>) {
        for Datagram { at, from, bytes } in self.early.take() {
            self.on_rtp(at, from, &bytes, out);
        }
    }

    /// Says for which keys the call waits from now on: of these, tones that the line has worn are
    /// believed too.
    pub fn wait_for(&mut self, keys: tones::Keys) {
        self.listening.wait_for(keys);
    }

    /// Takes a key that a SIP INFO told of, and how long it says that it was down.
    pub fn on_info(&mut self, now: Timestamp, digit: Digit, held: Duration, out: &mut Vec<Output>) {
        let sign = keys::Sign {
            path: Path::Info,
            digit,
            at: now,
            // It tells no time: one that was sent again for want of an answer looks like any other.
            late: Duration::ZERO,
            held: Some(held),
            level: None,
            stream: None,
        };
        self.keys.down(&sign, |told| out.push(told.into()));
    }

    /// [`on_rtp`](Self::on_rtp) for whoever records: `ear` is given each packet that is
    /// listened to, in the clear, and what is in it.
    pub fn overhear(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut Vec<Output>,
        mut ear: impl FnMut(&rtp::Packet<'_>, Format),
    ) {
        if self.remote.is_none() && self.early.keep(now, from, datagram) {
            return;
        }
        let opened = self.open_rtp(from, datagram);
        let admitted = match &opened {
            Ok(opened) => self.admit_rtp(now, opened),
            Err(anomaly) => Err(*anomaly),
        };
        match admitted {
            Ok((packet, format)) => {
                ear(&packet, format);
                self.heard(now);
                if self.source.as_ref().is_some_and(|source| source.ssrc != packet.ssrc) {
                    self.rearm();
                }
                let source = self.source.get_or_insert_with(|| Source::new(&packet, now));
                source.last = now;
                let in_order = source.reception.arrived(packet.sequence);
                self.hear(now, &packet, format, out);
                if !in_order {
                    self.odd(Anomaly::Sequence, from, out);
                }
            }
            Err(anomaly) => {
                match anomaly {
                    Anomaly::Address => self.elsewhere = self.elsewhere.or(Some(from)),
                    // Comfort noise that nobody agreed on (RFC 3389) is still a sign of life.
                    Anomaly::PayloadType => self.heard(now),
                    Anomaly::RtcpPort
                    | Anomaly::Source
                    | Anomaly::Echo
                    | Anomaly::Malformed
                    | Anomaly::Oversized
                    | Anomaly::Sequence
                    | Anomaly::Unauthentic
                    | Anomaly::Replayed => {}
                }
                self.odd(anomaly, from, out);
            }
        }
    }

    /// Takes a datagram from the RTCP port.
    pub fn on_rtcp(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut Vec<Output>,
    ) {
        let told = match self.open_rtcp(from, datagram).and_then(|it| self.admit_rtcp(now, &it)) {
            Ok(told) => told,
            Err(anomaly) => return self.odd(anomaly, from, out),
        };
        self.heard(now);
        self.far_end = told.about_us.or(self.far_end);
        if let Some(source) = &mut self.source {
            source.last_report = told.report.map(|report| (report, now)).or(source.last_report);
        }
        if told.bye {
            out.push(Output::Note(Note::Bye));
        }
    }

    /// When to be woken, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, Timer)> {
        if self.closed {
            return None;
        }
        let key_up = self.events.deadline().map(|at| (at, Timer::KeyUp));
        let key_over = self.keys.deadline().map(|at| (at, Timer::KeyOver));
        let report = self.report_due.map(|at| (at, Timer::Report));
        key_up.into_iter().chain(key_over).chain(report).min_by_key(|(at, _)| *at)
    }

    /// Does what is due.
    pub fn on_lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let keys = &mut self.keys;
        self.events.lapsed(now, |heard| key_up(keys, now, heard));
        self.keys.lapsed(now, |told| out.push(told.into()));
        if self.report_due.is_some_and(|due| now >= due) {
            self.report_due = Some(now + rtcp::interval(&mut self.entropy));
            self.write_report(now, false, out);
        }
    }

    /// Cuts the next 20 ms and gives the packet to send, if any is to be sent. To be called once
    /// each 20 ms of the whole call: also while the call is held, because time passes on the
    /// RTP clock all the same.
    pub fn frame(&mut self, now: Timestamp, payload: Payload) -> Option<Packet> {
        let sending = &mut self.sending;
        let clock = sending.timestamp;
        sending.timestamp = clock.wrapping_add(g711::FRAME as u32);
        sending.at = Some(now);
        let sendable = self.agreed.as_ref().filter(|a| a.direction.sends() && !self.closed);
        let Some((agreed, to)) = sendable.and_then(|agreed| Some((agreed, agreed.remote?))) else {
            sending.broken_off = true;
            self.listening.sent(QUIET);
            return None;
        };
        let (marker, payload_type, timestamp) = match payload {
            Payload::Silence => (sending.broken_off, agreed.payload_type, clock),
            // RFC 3551, Section 4.1: the marker bit is set in "the first packet of a talkspurt".
            Payload::Prompt { .. } | Payload::Tone { .. } => {
                (sending.broken_off || sending.quiet, agreed.payload_type, clock)
            }
            Payload::Event(step) => (step.marker, agreed.events?, step.timestamp),
        };
        sending.broken_off = false;
        sending.quiet = matches!(payload, Payload::Silence | Payload::Event(_));
        let header = rtp::header(marker, payload_type, sending.sequence, timestamp, sending.ssrc);
        sending.sequence = sending.sequence.wrapping_add(1);
        sending.packets = sending.packets.wrapping_add(1);
        let octets = if matches!(payload, Payload::Event(_)) { 4 } else { g711::FRAME as u32 };
        sending.octets = sending.octets.wrapping_add(octets);
        Some(Packet { to, header, payload })
    }

    /// The packet of an event beside the audio of the frame that was just cut, as some gateways send
    /// it: it takes a sequence number, and no time.
    pub fn beside(&mut self, step: events::Step) -> Option<Packet> {
        let agreed = self.agreed.as_ref().filter(|a| a.direction.sends() && !self.closed)?;
        let (to, payload_type) = (agreed.remote?, agreed.events?);
        let Sending { sequence, ssrc, .. } = self.sending;
        let header = rtp::header(step.marker, payload_type, sequence, step.timestamp, ssrc);
        self.sending.sequence = sequence.wrapping_add(1);
        self.sending.packets = self.sending.packets.wrapping_add(1);
        self.sending.octets = self.sending.octets.wrapping_add(4);
        Some(Packet { to, header, payload: Payload::Event(step) })
    }

    /// Takes note of how loud the frame is that is sent now, in dBm0: what comes back may be our own
    /// voice. To be called once for each frame that [`frame`](Self::frame) cuts.
    pub fn speaks(&mut self, level: i16) {
        self.listening.sent(level);
    }

    /// Writes a packet as it is to be sent, in the place of what `datagram` held: its header,
    /// `payload` behind it, and sealed where that was agreed on. To be called once for each packet,
    /// in their order.
    pub fn datagram(&mut self, packet: &Packet, payload: &[u8], datagram: &mut Vec<u8>) {
        datagram.clear();
        datagram.reserve(packet.header.len() + payload.len() + srtp::LONGEST_TAG);
        datagram.extend_from_slice(&packet.header);
        datagram.extend_from_slice(payload);
        self.secured.seal_rtp(datagram);
    }

    /// Leaves: says so by RTCP, sends and wants nothing more.
    pub fn close(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if !self.closed {
            self.write_report(now, true, out);
        }
        self.keys.close(|told| out.push(told.into()));
        self.closed = true;
        self.report_due = None;
    }

    /// When the first packet of the far end was accepted, RTP or RTCP.
    #[must_use]
    pub const fn first_heard(&self) -> Option<Timestamp> {
        self.first_heard
    }

    /// When the last packet of the far end was accepted, RTP or RTCP.
    #[must_use]
    pub const fn last_heard(&self) -> Option<Timestamp> {
        self.last_heard
    }

    /// How it went so far.
    #[must_use]
    pub fn report(&self) -> Quality {
        let reception = self.source.as_ref().map(|source| &source.reception);
        let (received, lost) = self.past;
        Quality {
            packets_sent: self.sending.packets,
            packets_received: received.saturating_add(reception.map_or(0, |r| r.received())),
            lost: lost.saturating_add(reception.map_or(0, |r| r.lost())),
            jitter: reception.map_or(Duration::ZERO, |r| r.jitter()),
            far_end: self.far_end,
            anomalies: self.anomalies.clone(),
        }
    }

    fn agree(&mut self, now: Timestamp, agreed: Agreed) {
        if agreed.remote.is_some() && agreed.remote != self.remote {
            self.remote = agreed.remote;
            self.rearm();
        }
        if self.report_due.is_none() && !self.closed {
            self.report_due = Some(now + rtcp::interval(&mut self.entropy));
        }
        self.secured.agree(agreed.crypto.clone());
        self.agreed = Some(agreed);
    }

    /// A datagram of the RTP port in the clear, before anything else of it is looked at.
    fn open_rtp<'a>(
        &mut self,
        from: SocketAddr,
        datagram: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, Anomaly> {
        if datagram.len() > LONGEST {
            return Err(Anomaly::Oversized);
        }
        if self.remote != Some(canonical(from)) {
            return Err(Anomaly::Address);
        }
        Ok(self.secured.open_rtp(datagram)?)
    }

    fn admit_rtp<'a>(
        &self,
        now: Timestamp,
        datagram: &'a [u8],
    ) -> Result<(rtp::Packet<'a>, Format), Anomaly> {
        let packet = rtp::Packet::read(datagram).ok_or(Anomaly::Malformed)?;
        self.admit_source(now, packet.ssrc)?;
        let agreed = self.agreed.as_ref().ok_or(Anomaly::Address)?;
        let format = agreed.meaning(packet.payload_type).ok_or(Anomaly::PayloadType)?;
        let shortest = match format {
            Format::Audio(_) => 1,
            Format::Events => 4,
        };
        if packet.payload.len() < shortest {
            return Err(Anomaly::Malformed);
        }
        Ok((packet, format))
    }

    /// The same of the RTCP port.
    fn open_rtcp<'a>(
        &mut self,
        from: SocketAddr,
        datagram: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, Anomaly> {
        if datagram.len() > LONGEST {
            return Err(Anomaly::Oversized);
        }
        let from = canonical(from);
        if self.remote.map(|remote| remote.ip()) != Some(from.ip()) {
            return Err(Anomaly::Address);
        }
        if self.rtcp_remote() != Some(from) {
            return Err(Anomaly::RtcpPort);
        }
        Ok(self.secured.open_rtcp(datagram)?)
    }

    fn admit_rtcp(&self, now: Timestamp, datagram: &[u8]) -> Result<rtcp::Told, Anomaly> {
        let told = rtcp::read(datagram, self.sending.ssrc, now).ok_or(Anomaly::Malformed)?;
        self.admit_source(now, told.ssrc)?;
        Ok(told)
    }

    fn admit_source(&self, now: Timestamp, ssrc: u32) -> Result<(), Anomaly> {
        if ssrc == self.sending.ssrc {
            return Err(Anomaly::Echo);
        }
        // RFC 3550, Section 8.2: a source may change its identifier. At the negotiated address one
        // that has fallen silent may be followed by another (a transfer, the end of early media);
        // beside one that sends, no other is listened to.
        let sends = |source: &Source| now.since(source.last) < SWITCH_AFTER;
        if self.source.as_ref().is_some_and(|source| source.ssrc != ssrc && sends(source)) {
            return Err(Anomaly::Source);
        }
        Ok(())
    }

    fn hear(
        &mut self,
        now: Timestamp,
        packet: &rtp::Packet<'_>,
        format: Format,
        out: &mut Vec<Output>,
    ) {
        let rtp::Packet { marker, sequence, timestamp, ssrc, payload, .. } = *packet;
        match format {
            Format::Audio(codec) => {
                if let Some(source) = &mut self.source {
                    source.reception.audio_arrived(now, timestamp);
                }
                let keys = &mut self.keys;
                self.events.audio_arrived(ssrc, timestamp, |heard| key_up(keys, now, heard));
                // By then all that the tones had to say of that event has been said.
                if keys.events_heard().is_some_and(|at| now > at + keys::WINDOW) {
                    self.listening.ignore_tones();
                }
                self.listening.packet(now, packet, Some(codec), |heard| match heard {
                    listening::Heard::Down(sign) => keys.down(&sign, |told| out.push(told.into())),
                    listening::Heard::Up { digit, held } => {
                        keys.up(now, Path::Inband, digit, held);
                    }
                    listening::Heard::Label(label) => out.push(Output::Label(label)),
                    listening::Heard::Talk(talk) => out.push(Output::Talk(talk)),
                });
            }
            Format::Events => {
                self.listening.packet(now, packet, None, |_| ());
                let Some(event) = Event::read(payload) else { return };
                let arrival = Arrival { at: now, ssrc, timestamp, marker, event };
                let reception = self.source.as_ref().map(|source| &source.reception);
                let late = reception.map_or(Duration::ZERO, |it| it.late(now, sequence, timestamp));
                let (keys, tones) = (&mut self.keys, &mut self.tones);
                let listening = &mut self.listening;
                self.events.arrived(arrival, |heard| match heard {
                    Heard::Down(digit) => {
                        let (first, last, packets) = (sequence, sequence, 1);
                        let stream = keys::Stream { ssrc, timestamp, first, last, packets };
                        let sign = keys::Sign {
                            path: Path::Rfc4733,
                            digit,
                            at: now,
                            late,
                            held: None,
                            level: i8::try_from(event.volume).ok().map(|below| -below),
                            stream: Some(stream),
                        };
                        keys.down(&sign, |told| out.push(told.into()));
                    }
                    Heard::Again(digit) => keys.packet(now, digit, sequence),
                    Heard::Up { .. } => key_up(keys, now, heard),
                    Heard::Tone(code) => {
                        if tones.insert(code) {
                            out.push(Output::Note(Note::Tone(code)));
                        }
                        // RFC 4734: ANS, /ANS, ANSam, /ANSam, and CNG.
                        if (32..=36).contains(&code) {
                            out.extend(listening.fax().map(Output::Label));
                        }
                    }
                });
            }
        }
    }

    fn heard(&mut self, now: Timestamp) {
        self.first_heard.get_or_insert(now);
        self.last_heard = Some(now);
    }

    fn odd(&mut self, anomaly: Anomaly, from: SocketAddr, out: &mut Vec<Output>) {
        let count = self.anomalies.entry(anomaly).or_default();
        *count = count.saturating_add(1);
        if *count == 1 {
            out.push(Output::Note(Note::Odd { anomaly, from }));
        }
    }

    /// RFC 3550, Section 11: RTCP uses "the next higher (odd) destination port number".
    fn rtcp_remote(&self) -> Option<SocketAddr> {
        let remote = self.remote?;
        Some(SocketAddr::new(remote.ip(), remote.port().checked_add(1)?))
    }

    fn write_report(&mut self, now: Timestamp, bye: bool, out: &mut Vec<Output>) {
        let Some(to) = self.rtcp_remote() else { return };
        let received = self.source.as_mut().map(|source| source.received());
        let sent = self.sending.since_last_report(now);
        let ssrc = self.sending.ssrc;
        let report = rtcp::Report { ssrc, cname: &self.cname, sent, received, bye };
        let mut packet = report.write(now);
        self.secured.seal_rtcp(&mut packet);
        out.push(Output::Rtcp { to, packet });
    }
}

impl Sending {
    /// `None` when nothing was sent since the last report.
    fn since_last_report(&mut self, now: Timestamp) -> Option<rtcp::Sent> {
        let before = std::mem::replace(&mut self.reported, self.packets);
        let frame = self.timestamp.wrapping_sub(g711::FRAME as u32);
        let elapsed = now.since(self.at?).as_micros() * u128::from(g711::RATE) / 1_000_000;
        (before != self.packets).then_some(rtcp::Sent {
            timestamp: frame.wrapping_add(elapsed as u32),
            packets: self.packets,
            octets: self.octets,
        })
    }
}

impl Source {
    fn new(first: &rtp::Packet<'_>, now: Timestamp) -> Self {
        let reception = rtp::Reception::starting_at(first.sequence);
        Self { ssrc: first.ssrc, last: now, reception, last_report: None }
    }

    fn received(&mut self) -> rtcp::Received {
        rtcp::Received {
            ssrc: self.ssrc,
            fraction_lost: self.reception.take_fraction_lost(),
            lost: self.reception.lost(),
            highest: self.reception.highest(),
            jitter: self.reception.jitter_units(),
            last_report: self.last_report,
        }
    }
}

/// An IPv4 peer of a socket for both families appears as `::ffff:a.b.c.d`, and a link-local one
/// with a scope that no description can name.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn key_up(keys: &mut keys::Merger, now: Timestamp, heard: Heard) {
    match heard {
        Heard::Up { digit, held } => keys.up(now, Path::Rfc4733, digit, held),
        Heard::Down(_) | Heard::Again(_) | Heard::Tone(_) => {}
    }
}

#[cfg(test)]
mod tests;
