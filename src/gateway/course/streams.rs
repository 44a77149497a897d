//! What RTP flowed on a call, as runs: the headers of packets that follow one another as they should are one entry.
//! Of a telephone-event (RFC 4733) all is kept but which key it was; of audio nothing is.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ambient::Timestamp;
use crate::media::rtp::{self, Packet};

/// The most runs, and the most packets of telephone-events, that are kept of a call.
const MOST: usize = 256;

/// The most pairs of addresses: a far end may move.
const LINES_MOST: usize = 16;

/// Stands for the key of a telephone-event: no event of RFC 4733 or its registry has this number.
pub(crate) const HIDDEN: u8 = 255;

/// The RTP of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Streams {
    /// From where to where it went.
    lines: Vec<Line>,
    runs: Vec<Run>,
    events: Vec<Event>,
    /// How many packets went without being kept.
    left_out: u64,
}

/// A pair of addresses, one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) sent: bool,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

/// Of each way the run that goes on: nearly every packet is of one of them, and touches nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flow {
    sent: Option<Open>,
    received: Option<Open>,
}

/// A run, and where it goes.
#[derive(Clone, Copy, Debug)]
struct Open {
    line: Line,
    run: Run,
}

/// Packets of one source that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    line: usize,
    first: Header,
    /// How much the timestamp grows from one to the next.
    step: u32,
    /// How many.
    n: u32,
    /// When the last one went.
    last: Timestamp,
}

/// Of a packet, all but what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    at: Timestamp,
    marker: bool,
    pt: u8,
    seq: u16,
    ts: u32,
    ssrc: u32,
    /// The octets behind the twelve of the header.
    len: u16,
}

/// The packets of one telephone-event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Event {
    line: usize,
    first: Header,
    /// Of each packet: how many microseconds after the first it went, its sequence number, its marker bit, the octet
    /// with end bit and volume, and the duration.
    packets: Vec<(u32, u16, bool, u8, u16)>,
}

impl Flow {
    /// A packet of RTP went. What does not go on is kept by `streams`.
    pub(crate) fn add(
        &mut self,
        streams: &mut Streams,
        at: Timestamp,
        line: &Line,
        datagram: &[u8],
    ) {
        let Some(packet) = Packet::read(datagram) else { return };
        let len = u16::try_from(datagram.len().saturating_sub(12)).unwrap_or(u16::MAX);
        let header = Header {
            at,
            marker: packet.marker,
            pt: packet.payload_type,
            seq: packet.sequence,
            ts: packet.timestamp,
            ssrc: packet.ssrc,
            len,
        };
        match packet.payload {
            [_, flags, high, low] if (96..=127).contains(&packet.payload_type) => {
                streams.event(line, header, *flags, u16::from_be_bytes([*high, *low]));
            }
            [..] => self.audio(streams, line, header),
        }
    }

    fn audio(&mut self, streams: &mut Streams, line: &Line, header: Header) {
        let open = if line.sent { &mut self.sent } else { &mut self.received };
        match open {
            Some(open) if open.line == *line && open.run.goes_on(&header) => {
                open.run.follow(&header);
            }
            Some(_) | None => {
                if let Some(run) = streams.audio(line, header) {
                    let before = open.replace(Open { line: *line, run });
                    streams.runs.extend(before.map(|open| open.run));
                }
            }
        }
    }

    fn runs(&self) -> impl Iterator<Item = Run> {
        [self.sent, self.received].into_iter().flatten().map(|open| open.run)
    }
}

impl Streams {
    /// The runs that go on are of it, too.
    pub(crate) fn close(&mut self, flow: &Flow) {
        self.runs.extend(flow.runs());
    }

    fn line(&mut self, line: &Line) -> Option<usize> {
        let known = self.lines.iter().position(|it| it == line);
        known.or_else(|| {
            let is_room = self.lines.len() < LINES_MOST;
            is_room.then(|| self.lines.push(*line)).map(|()| self.lines.len() - 1)
        })
    }

    /// The run of audio that does not follow what came before it on its way, if it is kept.
    fn audio(&mut self, line: &Line, header: Header) -> Option<Run> {
        let line = self.line(line);
        // Two lines may take turns: then it is the last of this one that goes on.
        let before = self.runs.iter().rposition(|run| Some(run.line) == line);
        let before = before.filter(|n| self.runs.get(*n).is_some_and(|run| run.goes_on(&header)));
        match (before, line) {
            (Some(n), _) => {
                let mut run = self.runs.remove(n);
                run.follow(&header);
                Some(run)
            }
            (None, Some(line)) if self.runs.len() < MOST => Some(Run::new(line, header)),
            (None, _) => {
                self.left_out += 1;
                None
            }
        }
    }

    fn event(&mut self, line: &Line, header: Header, flags: u8, duration: u16) {
        let line = self.line(line);
        let kept: usize = self.events.iter().map(|event| event.packets.len()).sum();
        let Some(line) = line.filter(|_| kept < MOST) else {
            self.left_out += 1;
            return;
        };
        let is_it = |event: &&mut Event| {
            let first = &event.first;
            event.line == line && (first.ssrc, first.ts) == (header.ssrc, header.ts)
        };
        let after = |first: &Header| {
            u32::try_from(header.at.since(first.at).as_micros()).unwrap_or(u32::MAX)
        };
        match self.events.iter_mut().rev().find(is_it) {
            Some(event) => {
                let packet = (after(&event.first), header.seq, header.marker, flags, duration);
                event.packets.push(packet);
            }
            None => {
                let packets = vec![(0, header.seq, header.marker, flags, duration)];
                self.events.push(Event { line, first: header, packets });
            }
        }
    }

    /// When the first packet of audio went that way.
    pub(crate) fn began(&self, sent: bool) -> Option<(Timestamp, SocketAddr)> {
        let of = |run: &Run| self.lines.get(run.line).filter(|line| line.sent == sent).copied();
        let runs = self.runs.iter().filter_map(|run| Some((run.first.at, of(run)?)));
        runs.min_by_key(|(at, _)| *at)
            .map(|(at, line)| (at, if sent { line.to } else { line.from }))
    }

    /// The packets as they went, in their order; where there was audio are as many octets of nothing.
    pub(crate) fn packets(&self) -> Vec<(Timestamp, Line, Vec<u8>)> {
        let mut packets = Vec::new();
        for run in &self.runs {
            let Some(line) = self.lines.get(run.line) else { continue };
            packets.extend((0..run.n).map(|n| (run.time(n), *line, run.packet(n))));
        }
        for event in &self.events {
            let Some(line) = self.lines.get(event.line) else { continue };
            packets.extend(event.packets.iter().map(|&(after, seq, marker, flags, duration)| {
                let at = event.first.at + Duration::from_micros(after.into());
                let Header { pt, ts, ssrc, .. } = event.first;
                let [high, low] = duration.to_be_bytes();
                let mut packet = rtp::header(marker, pt, seq, ts, ssrc).to_vec();
                packet.extend([HIDDEN, flags, high, low]);
                (at, *line, packet)
            }));
        }
        packets.sort_by_key(|(at, _, _)| *at);
        packets
    }
}

impl Run {
    /// Of one packet.
    fn new(line: usize, first: Header) -> Self {
        Self { line, first, step: 0, n: 1, last: first.at }
    }

    /// This packet, which goes on, is of it.
    fn follow(&mut self, next: &Header) {
        if self.n == 1 {
            self.step = next.ts.wrapping_sub(self.first.ts);
        }
        (self.n, self.last) = (self.n + 1, next.at);
    }

    /// Whether this packet follows.
    fn goes_on(&self, next: &Header) -> bool {
        let first = &self.first;
        let (seq, ts) = (next.seq.wrapping_sub(first.seq), next.ts.wrapping_sub(first.ts));
        let is_of_it = (next.pt, next.ssrc, next.len) == (first.pt, first.ssrc, first.len);
        // A run that wraps its sequence numbers is two.
        is_of_it
            && !next.marker
            && u32::from(seq) == self.n
            && (self.n == 1 || self.step.checked_mul(self.n) == Some(ts))
    }

    /// When the n-th of them went, as if they had been sent evenly.
    fn time(&self, n: u32) -> Timestamp {
        let span = self.last.since(self.first.at);
        self.first.at + span * n / self.n.saturating_sub(1).max(1)
    }

    fn packet(&self, n: u32) -> Vec<u8> {
        let Header { marker, pt, seq, ts, ssrc, len, .. } = self.first;
        let seq = u32::from(seq).wrapping_add(n).to_le_bytes();
        let seq = u16::from_le_bytes([seq[0], seq[1]]);
        let ts = ts.wrapping_add(self.step.wrapping_mul(n));
        let mut packet = rtp::header(marker && n == 0, pt, seq, ts, ssrc).to_vec();
        packet.resize(12 + usize::from(len), 0xff);
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sent: bool) -> Line {
        let (a, b) = ("192.0.2.1:10000".parse().unwrap(), "192.0.2.2:20000".parse().unwrap());
        if sent { Line { sent, from: a, to: b } } else { Line { sent, from: b, to: a } }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    fn packet(seq: u16, ts: u32, pt: u8, marker: bool, payload: &[u8]) -> Vec<u8> {
        [&rtp::header(marker, pt, seq, ts, 7)[..], payload].concat()
    }

    #[test]
    fn what_follows_is_one_run_and_comes_back_without_its_audio() {
        let (mut flow, mut streams) = (Flow::default(), Streams::default());
        let mut sent = Vec::new();
        for n in 0..500_u16 {
            // One was lost on its way.
            if n != 300 {
                let bytes = packet(
                    65_400_u16.wrapping_add(n),
                    160 * u32::from(n),
                    0,
                    n == 0,
                    &[n as u8; 160],
                );
                flow.add(&mut streams, at(20 * u64::from(n)), &line(false), &bytes);
                sent.push((at(20 * u64::from(n)), bytes[..12].to_vec()));
            }
            // The other way goes on beside it.
            flow.add(
                &mut streams,
                at(20 * u64::from(n)),
                &line(true),
                &packet(n, 160 * u32::from(n), 0, false, &[1; 160]),
            );
        }
        streams.close(&flow);
        assert_eq!(streams.runs.len(), 3);
        assert_eq!(streams.began(false), Some((at(0), line(false).from)));
        let came: Vec<_> =
            streams.packets().into_iter().filter(|(_, line, _)| !line.sent).collect();
        assert_eq!(came.len(), 499);
        for ((at, _, bytes), (was, head)) in came.iter().zip(&sent) {
            assert_eq!((at, &bytes[..12], bytes.len()), (was, &head[..], 172));
            assert!(bytes[12..].iter().all(|byte| *byte == 0xff));
        }
    }

    #[test]
    fn lines_that_take_turns_are_a_run_each() {
        let (mut flow, mut streams) = (Flow::default(), Streams::default());
        let elsewhere = Line { from: "192.0.2.3:30000".parse().unwrap(), ..line(false) };
        for n in 0..100_u16 {
            for line in [&line(false), &elsewhere] {
                let bytes = packet(n, 160 * u32::from(n), 0, false, &[0; 160]);
                flow.add(&mut streams, at(20 * u64::from(n)), line, &bytes);
            }
        }
        streams.close(&flow);
        assert_eq!((streams.runs.len(), streams.packets().len()), (2, 200));
    }

    #[test]
    fn a_key_comes_back_as_some_key() {
        let (mut flow, mut streams) = (Flow::default(), Streams::default());
        for n in 0..11_u16 {
            let payload = [11, if n > 7 { 0x8a } else { 10 }, 0, 160];
            flow.add(
                &mut streams,
                at(20 * u64::from(n)),
                &line(false),
                &packet(n, 800, 101, n == 0, &payload),
            );
        }
        let packets = streams.packets();
        assert_eq!(packets.len(), 11);
        assert_eq!(
            packets[10],
            (at(200), line(false), packet(10, 800, 101, false, &[255, 0x8a, 0, 160]))
        );
        assert_eq!(streams.began(false), None);
    }

    #[test]
    fn whoever_sends_at_random_fills_no_memory() {
        let (mut flow, mut streams) = (Flow::default(), Streams::default());
        for n in 0..2_000_u32 {
            let bytes = packet((n * 7) as u16, n * 1_000, 0, false, &[0; 160]);
            flow.add(&mut streams, at(u64::from(n)), &line(false), &bytes);
            flow.add(
                &mut streams,
                at(u64::from(n)),
                &line(false),
                &packet(n as u16, n, 101, true, &[1, 2, 3, 4]),
            );
        }
        streams.close(&flow);
        assert_eq!((streams.runs.len(), streams.events.len()), (MOST + 1, MOST));
        assert_eq!(streams.left_out, 2 * (2_000 - MOST as u64) - 1);
        let bytes = serde_json::to_vec(&streams).unwrap();
        assert!(bytes.len() < 96 * 1_024, "{}", bytes.len());
        flow.add(&mut streams, at(0), &line(true), b"\x80");
    }
}
