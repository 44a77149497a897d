//! What the phone says and hears: 20 ms frames, key presses, and a recording of the other side.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::call::Output;
use super::sound::{self, Sounds};
use super::words::{Behaviour, Press, What};
use crate::ambient::{Entropy, Timestamp};
use crate::media::codec::{Decoder, Encoder};
use crate::media::events::{self, Step};
use crate::media::g711::RATE;
use crate::media::sdp::Format;
use crate::media::{
    self, Codec, Digit, FRAME_TIME, MediaSession, Payload, Protection, Quality, Unusable,
};

/// A frame this late starts a new schedule: a burst of old ones would help nobody.
const LATE: Duration = Duration::from_millis(100);

/// The media of one call.
pub(super) struct Voice {
    session: MediaSession,
    behaviour: Arc<Behaviour>,
    stage: Stage,
    /// Whether the other side takes telephone-events.
    takes_events: bool,
    sounds: Sounds,
    encoder: Encoder,
    decoder: Decoder,
    /// Keys to be pressed as telephone-events, and how long, in samples.
    keys: VecDeque<(Digit, u32)>,
    /// Telephone-events take the place of the audio; otherwise they go beside it.
    is_beside: bool,
    /// The rest of the press in hand.
    steps: VecDeque<Step>,
    recorder: Option<Recorder>,
}

#[derive(Clone, Copy)]
enum Stage {
    Silent,
    /// A frame is due then.
    Speaking(Timestamp),
    Closed,
}

impl Voice {
    pub(super) fn new(
        local: SocketAddr,
        protection: Protection,
        mut entropy: Entropy,
        behaviour: Arc<Behaviour>,
    ) -> Self {
        Self {
            sounds: Sounds::new(Arc::clone(&behaviour), entropy.fork()),
            session: MediaSession::new(local, protection, entropy).with_codecs(Codec::ALL.to_vec()),
            encoder: Encoder::default(),
            decoder: Decoder::default(),
            behaviour,
            stage: Stage::Silent,
            takes_events: false,
            keys: VecDeque::new(),
            is_beside: false,
            steps: VecDeque::new(),
            recorder: None,
        }
    }

    /// Takes an offer and gives the answer, or without one an offer of ours.
    pub(super) fn offered(
        &mut self,
        now: Timestamp,
        offer: Option<&[u8]>,
    ) -> Result<Vec<u8>, Unusable> {
        let Behaviour { codec, takes_events, .. } = *self.behaviour;
        let narrowed = offer.map(|offer| only(codec, takes_events, offer));
        let text = self.session.offered(now, narrowed.as_deref().or(offer))?;
        // Our answer has the line only when theirs had it; our offer, until their answer comes.
        self.takes_events = names_events(&text);
        Ok(text)
    }

    /// Takes the answer to our offer.
    pub(super) fn agreed(&mut self, now: Timestamp, answer: &[u8]) -> Result<(), Unusable> {
        self.session.answered(now, answer)?;
        self.takes_events = names_events(answer);
        Ok(())
    }

    /// Sends from now on.
    pub(super) fn speak(&mut self, now: Timestamp) {
        if let Stage::Silent = self.stage {
            self.stage = Stage::Speaking(now);
            self.recorder = self.behaviour.record.then(|| Recorder::new(now));
        }
    }

    /// Says what it has to say.
    pub(super) fn play(&mut self) {
        self.sounds.play();
    }

    /// Presses a key in the media stream; `false` when it cannot, or is not to.
    pub(super) fn press(&mut self, digit: Digit, press: &Press) -> bool {
        let by_events = press.by.has_events() && self.takes_events;
        if by_events {
            let held = u32::try_from(sound::samples(press.held)).unwrap_or(u32::MAX);
            self.keys.push_back((digit, held));
        }
        let by_tones = press.by.has_tones();
        self.is_beside = by_tones;
        if by_tones {
            self.sounds.press(digit, press.held, press.level);
        }
        by_events || by_tones
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    pub(super) fn quality(&self) -> Quality {
        self.session.report()
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let Stage::Speaking(frame) = self.stage else { return None };
        let session = self.session.deadline().map(|(at, _)| at);
        Some(session.map_or(frame, |at| at.min(frame)))
    }

    /// Does what is due.
    pub(super) fn lapsed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Stage::Speaking(mut frame) = self.stage else { return };
        let mut told = Vec::new();
        self.session.on_lapsed(now, &mut told);
        tell(told, out);
        if now.since(frame) > LATE {
            frame = now;
        }
        while frame <= now {
            self.frame(now, out);
            frame += FRAME_TIME;
        }
        self.stage = Stage::Speaking(frame);
    }

    pub(super) fn on_rtp(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut Vec<Output>,
    ) {
        if let Stage::Speaking(_) = self.stage {
            let mut told = Vec::new();
            let Self { recorder, sounds, decoder, .. } = self;
            self.session.overhear(now, from, datagram, &mut told, |packet, format| {
                let Format::Audio(codec) = format else { return };
                let samples = decoder.all(codec, packet.payload);
                if let Some(recorder) = recorder {
                    recorder.heard(now, packet.timestamp, &samples);
                }
                sounds.heard(samples.into_iter());
            });
            for heard in &told {
                if let media::Output::Key(key) = heard {
                    sounds.key(key.digit.expose());
                }
            }
            tell(told, out);
        }
    }

    pub(super) fn on_rtcp(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut Vec<Output>,
    ) {
        let mut told = Vec::new();
        self.session.on_rtcp(now, from, datagram, &mut told);
        tell(told, out);
    }

    /// Falls silent for good.
    pub(super) fn close(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if let Stage::Speaking(_) = self.stage {
            let mut told = Vec::new();
            self.session.close(now, &mut told);
            tell(told, out);
        }
        self.stage = Stage::Closed;
        if let Some(recorder) = self.recorder.take() {
            out.push(Output::Happened(What::Recording { samples: recorder.finish(now) }));
        }
    }

    fn frame(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.steps.is_empty()
            && let Some((digit, held)) = self.keys.pop_front()
        {
            self.steps = events::press(digit, self.session.timestamp(), held).into();
        }
        let (codec, encoder) = (self.session.codec(), &mut self.encoder);
        // It goes on, unheard, while an event takes its place, as it would on a phone.
        let spoken = self.sounds.frame().map(|sample| encoder.encode(codec, sample));
        if self.sounds.take_lifted() {
            out.push(Output::Happened(What::Lifted));
        }
        let step = self.steps.pop_front();
        if let Some(step) = step.filter(|_| self.is_beside) {
            self.send(&spoken, |session| session.frame(now, Payload::Silence), out);
            self.send(&step.payload, |session| session.beside(step), out);
        } else if let Some(step) = step {
            self.send(&step.payload, |session| session.frame(now, Payload::Event(step)), out);
        } else {
            self.send(&spoken, |session| session.frame(now, Payload::Silence), out);
        }
    }

    fn send(
        &mut self,
        payload: &[u8],
        packet: impl FnOnce(&mut MediaSession) -> Option<media::Packet>,
        out: &mut Vec<Output>,
    ) {
        if let Some(packet) = packet(&mut self.session) {
            let mut datagram = Vec::new();
            self.session.datagram(&packet, payload, &mut datagram);
            out.push(Output::Rtp { to: packet.to, datagram });
        }
    }
}

fn tell(told: Vec<media::Output>, out: &mut Vec<Output>) {
    out.extend(told.into_iter().filter_map(|output| match output {
        media::Output::Key(key) => Some(Output::Happened(What::Heard(key.digit.expose()))),
        media::Output::Rtcp { to, packet } => Some(Output::Rtcp { to, datagram: packet }),
        media::Output::KeyOver(_)
        | media::Output::Label(_)
        | media::Output::Talk(_)
        | media::Output::Note(_) => None,
    }));
}

/// An offer that names no other audio than of this codec, and telephone-events only if they are taken.
fn only(codec: Option<Codec>, events: bool, offer: &[u8]) -> Vec<u8> {
    let is_audio = |line: &&[u8]| line.starts_with(b"m=audio");
    let narrow = |line: &[u8]| {
        let words = line.split(|octet| *octet == b' ').enumerate();
        let kept = words.filter(|(place, word)| {
            let number = std::str::from_utf8(word).ok().and_then(|it| it.trim().parse::<u8>().ok());
            // Below 96 they are static (RFC 3551): audio.
            let is_it = |it| codec.is_none_or(|codec| codec.payload_type() == it);
            *place < 3 || number.is_none_or(|it| if it >= 96 { events } else { is_it(it) })
        });
        let kept: Vec<&[u8]> = kept.map(|(_, word)| word.trim_ascii_end()).collect();
        kept.join(&b' ')
    };
    let lines = offer.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii_end);
    let lines: Vec<Vec<u8>> =
        lines.map(|line| if is_audio(&line) { narrow(line) } else { line.to_vec() }).collect();
    lines.join(&b"\r\n"[..])
}

fn names_events(sdp: &[u8]) -> bool {
    let name = b"telephone-event";
    sdp.windows(name.len()).any(|word| word.eq_ignore_ascii_case(name))
}

/// What was heard, laid out in time.
struct Recorder {
    began: Timestamp,
    samples: Vec<i16>,
    /// An RTP timestamp, and which sample it stands for.
    anchor: Option<(u32, i64)>,
}

/// The longest recording: an hour.
const LONGEST: usize = 3_600 * RATE as usize;

/// An RTP clock that is off by more than this, in samples, has been set anew.
const LEAP: i64 = RATE as i64;

impl Recorder {
    fn new(began: Timestamp) -> Self {
        Self { began, samples: Vec::new(), anchor: None }
    }

    /// Takes the audio of an RTP packet.
    fn heard(&mut self, now: Timestamp, timestamp: u32, samples: &[i16]) {
        let start = self.place(now, timestamp);
        let (early, start) = match usize::try_from(start) {
            Ok(start) => (0, start),
            Err(_) => (usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX), 0),
        };
        let end = start.saturating_add(samples.len().saturating_sub(early));
        if end > LONGEST {
            return;
        }
        if self.samples.len() < end {
            self.samples.resize(end, 0);
        }
        let slots = self.samples.get_mut(start..end).unwrap_or_default();
        for (slot, sample) in slots.iter_mut().zip(samples.iter().skip(early)) {
            *slot = *sample;
        }
    }

    /// Where a packet belongs: by the sender's clock, unless that leaps.
    fn place(&mut self, now: Timestamp, timestamp: u32) -> i64 {
        let arrived = i64::try_from(self.elapsed(now)).unwrap_or(i64::MAX);
        let (first, at) = *self.anchor.get_or_insert((timestamp, arrived));
        let place = at + i64::from(timestamp.wrapping_sub(first) as i32);
        if (place - arrived).abs() <= LEAP {
            return place;
        }
        self.anchor = Some((timestamp, arrived));
        arrived
    }

    /// The samples since it began.
    fn elapsed(&self, now: Timestamp) -> usize {
        let samples = now.since(self.began).as_micros() * u128::from(RATE) / 1_000_000;
        usize::try_from(samples).unwrap_or(usize::MAX)
    }

    fn finish(mut self, now: Timestamp) -> Vec<i16> {
        let whole = self.elapsed(now).min(LONGEST);
        if self.samples.len() < whole {
            self.samples.resize(whole, 0);
        }
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::g711::FRAME;

    const START: Timestamp = Timestamp::from_secs(100);

    #[test]
    fn a_recording_has_silence_where_nothing_came_and_late_packets_in_their_place() {
        let mut recorder = Recorder::new(START);
        let ms = |ms| START + Duration::from_millis(ms);
        let loud = [8_000; FRAME];
        recorder.heard(ms(40), u32::MAX - 159, &loud);
        recorder.heard(ms(120), 320, &loud);
        recorder.heard(ms(121), 0, &loud);
        let samples = recorder.finish(ms(140));
        let loud: Vec<bool> = samples.chunks(FRAME).map(|frame| frame == [8_000; FRAME]).collect();
        assert_eq!(loud, [false, false, true, true, false, true, false]);
        assert!(samples[..320].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn an_offer_is_narrowed_to_one_codec() {
        let offer =
            b"v=0\r\nm=audio 4000 RTP/AVP 0 8 9 101\r\na=rtpmap:101 telephone-event/8000\r\n";
        let text = |codec, events| String::from_utf8(only(codec, events, offer)).unwrap();
        let wanted = "v=0\r\nm=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
        assert_eq!(text(Some(Codec::PCMA), true), wanted);
        assert_eq!(text(None, true), String::from_utf8_lossy(offer));
        assert!(text(None, false).contains("m=audio 4000 RTP/AVP 0 8 9\r\n"));
    }

    #[test]
    fn a_clock_that_leaps_is_laid_out_by_arrival() {
        let mut recorder = Recorder::new(START);
        recorder.heard(START, 1_000, &[0; FRAME]);
        recorder.heard(START + Duration::from_secs(2), 900_000_000, &[0; FRAME]);
        assert_eq!(recorder.samples.len(), 16_160);
        recorder.heard(START + Duration::from_millis(2_040), 900_000_160, &[0; FRAME]);
        assert_eq!(recorder.samples.len(), 16_320);
    }
}
