//! One phone of the farm: the least that a gateway can hold a call with (RFC 3261 as a UAS,
//! G.711 silence, one press of `#` by RFC 4733), and everything that is measured on it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::farm::Plan;
use super::manner::{GARBAGE, Manner};
use crate::ambient::{Entropy, Timestamp};
use crate::media::events::{self, Step};
use crate::media::g711::{FRAME, RATE};
use crate::media::rtp::{self, Packet};
use crate::media::sdp::{self, Origin};
use crate::media::{Codec, Digit, FRAME_TIME, Law, Protection};
use crate::sip::{Message, Response, Uri};

/// RFC 3261 T1, the first pause between two copies of a 200.
const T1: Duration = Duration::from_millis(500);

/// RFC 3261 T2, the longest.
const T2: Duration = Duration::from_secs(4);

/// How long a phone listens after the BYE: what was sent before it may still be on its way.
const LINGER: Duration = Duration::from_millis(200);

/// How long a phone that says nothing is remembered: longer than anybody asks (64 * T1).
const SILENCE: Duration = Duration::from_secs(40);

/// What a phone measured.
#[derive(Debug)]
pub(super) struct Heard {
    /// Its number.
    pub(super) number: String,
    /// When its first INVITE came.
    pub(super) invited: Timestamp,
    /// When the ACK came.
    pub(super) acked: Option<Timestamp>,
    /// When the first packet of the `#` was sent.
    pub(super) pressed: Option<Timestamp>,
    /// When the BYE came.
    pub(super) ended: Option<Timestamp>,
    /// RTP packets sent.
    pub(super) sent: usize,
    /// RTP packets received.
    pub(super) received: usize,
    /// RTP packets that should have been, by their sequence numbers.
    pub(super) expected: usize,
    /// How late each packet came, in microseconds, by the schedule of 20 ms that starts with
    /// the most punctual one of the call.
    pub(super) lateness: Vec<u64>,
}

/// How far a call has come.
enum Stage {
    /// 180 is out.
    Ringing,
    /// 200 is out, and repeated until its ACK comes.
    Answered { again: Timestamp, pause: Duration },
    /// The ACK came.
    Up,
    /// The BYE came, or a CANCEL.
    Over { until: Timestamp },
}

/// A phone in a call.
pub(super) struct Phone {
    stage: Stage,
    plan: Plan,
    manner: Manner,
    /// Where signalling goes.
    pub(super) peer: SocketAddr,
    /// Where RTP comes from and goes to.
    pub(super) remote: SocketAddr,
    /// Our answer to the INVITE so far.
    answer: Vec<u8>,
    /// The one to come.
    acceptance: Vec<u8>,
    /// The one after a CANCEL.
    refusal: Vec<u8>,
    /// The payload type of telephone-events.
    events: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    steps: VecDeque<Step>,
    ear: Ear,
    heard: Heard,
}

/// When packets came, by their place in the stream.
#[derive(Default)]
struct Ear {
    /// The sequence numbers of the first, the lowest, and the highest, extended beyond 16 bits.
    span: Option<(i64, i64)>,
    last: i64,
    /// Arrival less 20 ms for each packet before it, in microseconds.
    offsets: Vec<i64>,
}

impl Phone {
    /// A phone that is called; `None` when the INVITE offers nothing that it understands.
    pub(super) fn called(
        now: Timestamp,
        from: SocketAddr,
        invite: &Message,
        sip: SocketAddr,
        rtp: SocketAddr,
        plan: Plan,
        entropy: &mut Entropy,
    ) -> Option<Self> {
        let number = invite.request_uri()?.user();
        let origin = Origin { id: entropy.u32(), version: 1, local: rtp };
        let (sdp, agreed) =
            sdp::answer(invite.sdp()?, origin, &Codec::USUAL, &Protection::Off).ok()?;
        let tag = entropy.token(10);
        let contact = Uri::sip(&number, &sip.ip().to_string(), Some(sip.port()));
        let response = |status| {
            Response::to(invite, status).received_from(from).to_tag(&tag).contact(&contact)
        };
        let manner = if plan.mixed { Manner::of(&number) } else { Manner::Presses };
        let (stage, first) = match manner {
            Manner::Silent => (Stage::Over { until: now + SILENCE }, 0),
            Manner::Busy => (Stage::Over { until: now + SILENCE }, 486),
            Manner::Garbles => (Stage::Over { until: now + SILENCE }, 500),
            Manner::Presses | Manner::Rings | Manner::Races | Manner::Vanishes => {
                (Stage::Ringing, 180)
            }
        };
        Some(Self {
            stage,
            plan,
            manner,
            peer: invite.reply_address(from),
            remote: agreed.remote?,
            answer: response(first).to_bytes(),
            refusal: response(487).to_bytes(),
            acceptance: response(200).body("application/sdp", &sdp).to_bytes(),
            events: agreed.events?,
            ssrc: entropy.u32(),
            sequence: entropy.u16(),
            timestamp: entropy.u32(),
            steps: VecDeque::new(),
            ear: Ear::default(),
            heard: Heard {
                number,
                invited: now,
                acked: None,
                pressed: None,
                ended: None,
                sent: 0,
                received: 0,
                expected: 0,
                lateness: Vec::new(),
            },
        })
    }

    /// What an INVITE is answered now; `None` is silence.
    pub(super) fn answer(&self) -> Option<&[u8]> {
        (self.manner != Manner::Silent).then_some(&self.answer)
    }

    /// What it sends before its answer, for nobody to understand.
    pub(super) fn garbage(&self) -> impl Iterator<Item = &'static [u8]> {
        GARBAGE.into_iter().filter(|_| self.manner == Manner::Garbles)
    }

    /// Whether it no longer answers.
    pub(super) fn is_gone(&self) -> bool {
        matches!((self.manner, &self.stage), (Manner::Vanishes, Stage::Over { .. }))
    }

    /// A CANCEL came: what its INVITE is answered then.
    pub(super) fn canceled(&mut self, now: Timestamp) -> Option<(SocketAddr, Vec<u8>)> {
        if !matches!(self.stage, Stage::Ringing) {
            return None;
        }
        if self.manner == Manner::Races {
            self.answer = std::mem::take(&mut self.acceptance);
            self.stage = Stage::Answered { again: now + T1, pause: T1 };
        } else {
            self.answer = std::mem::take(&mut self.refusal);
            self.left(now);
        }
        Some((self.peer, self.answer.clone()))
    }

    /// The ACK came.
    pub(super) fn acknowledged(&mut self, now: Timestamp) {
        if let Stage::Answered { .. } = self.stage {
            self.stage = Stage::Up;
            self.heard.acked = Some(now);
        }
    }

    /// The other side hung up, or gave up.
    pub(super) fn left(&mut self, now: Timestamp) {
        if !matches!(self.stage, Stage::Over { .. }) {
            let linger = if self.manner == Manner::Vanishes { SILENCE } else { LINGER };
            self.stage = Stage::Over { until: now + linger };
            self.heard.ended = Some(now);
        }
    }

    /// An RTP packet came.
    pub(super) fn hears(&mut self, now: Timestamp, datagram: &[u8]) {
        if let Some(packet) = Packet::read(datagram) {
            self.heard.received += 1;
            self.ear.takes(now, packet.sequence);
        }
    }

    /// Does what is due, every 20 ms: what is to be sent by SIP, and by RTP.
    pub(super) fn tick(&mut self, now: Timestamp) -> (Option<&[u8]>, Option<Vec<u8>>) {
        let answers = matches!(self.manner, Manner::Presses | Manner::Vanishes);
        let answered = match &mut self.stage {
            Stage::Ringing if now >= self.heard.invited + self.plan.answer_after && answers => {
                self.answer = std::mem::take(&mut self.acceptance);
                self.stage = Stage::Answered { again: now + T1, pause: T1 };
                true
            }
            Stage::Answered { again, pause } if now >= *again => {
                *pause = (*pause * 2).min(T2);
                *again = now + *pause;
                true
            }
            Stage::Ringing | Stage::Answered { .. } | Stage::Up | Stage::Over { .. } => false,
        };
        let frame = match self.stage {
            Stage::Answered { .. } | Stage::Up => self.frame(now),
            Stage::Ringing | Stage::Over { .. } => None,
        };
        (answered.then_some(self.answer.as_slice()), frame)
    }

    /// The RTP packet of these 20 ms.
    fn frame(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        let due = self.heard.acked.is_some_and(|acked| now >= acked + self.plan.press_after);
        if due && self.heard.pressed.is_none() {
            self.heard.pressed = Some(now);
            self.steps = events::press(Digit::POUND, self.timestamp, RATE / 10).into();
        }
        let step = self.steps.pop_front();
        let packet = match step {
            Some(Step { marker, timestamp, payload }) => {
                let header = rtp::header(marker, self.events, self.sequence, timestamp, self.ssrc);
                Some([&header[..], &payload[..]].concat())
            }
            None if self.plan.talk => {
                let law = Law::Ulaw;
                let (number, first) = (law.payload_type(), self.heard.sent == 0);
                let header = rtp::header(first, number, self.sequence, self.timestamp, self.ssrc);
                Some([&header[..], &law.silence()[..]].concat())
            }
            None => None,
        };
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        if packet.is_some() {
            self.sequence = self.sequence.wrapping_add(1);
            self.heard.sent += 1;
        }
        packet
    }

    /// Whether nothing more is to come.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        matches!(self.stage, Stage::Over { until } if now >= until)
    }

    /// What it measured.
    pub(super) fn report(self) -> Heard {
        let (expected, lateness) = self.ear.report();
        Heard { expected, lateness, ..self.heard }
    }
}

impl Ear {
    fn takes(&mut self, now: Timestamp, sequence: u16) {
        let arrived = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let place = match self.span {
            None => i64::from(sequence),
            Some(_) => {
                let step = sequence.wrapping_sub(self.last as u16) as i16;
                self.last + i64::from(step)
            }
        };
        let (lowest, highest) = self.span.unwrap_or((place, place));
        self.span = Some((lowest.min(place), highest.max(place)));
        self.last = place;
        let frame = i64::try_from(FRAME_TIME.as_micros()).unwrap_or(0);
        self.offsets.push(arrived - place * frame);
    }

    /// How many packets there should have been, and how late each was.
    fn report(self) -> (usize, Vec<u64>) {
        let expected = self.span.map_or(0, |(lowest, highest)| highest - lowest + 1);
        let first = self.offsets.iter().copied().min().unwrap_or(0);
        let late = self.offsets.iter().map(|offset| offset.abs_diff(first)).collect();
        (usize::try_from(expected).unwrap_or(0), late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_counted_from_the_most_punctual_packet_and_gaps_are_loss() {
        let mut ear = Ear::default();
        let start = Timestamp::from_secs(100);
        for (millis, sequence) in [(3, 65_534), (20, 65_535), (41, 0), (80, 2), (85, 1)] {
            ear.takes(start + Duration::from_millis(millis), sequence);
        }
        let (expected, late) = ear.report();
        assert_eq!(expected, 5);
        assert_eq!(late, [3_000, 0, 1_000, 0, 25_000]);
    }
}
