//! RTP (RFC 3550): reading packets, writing headers, and what a receiver keeps count of.

use std::time::Duration;

use rtp_rs::RtpReader;

use crate::ambient::Timestamp;
use crate::media::g711::RATE;

/// One RTP packet, as it lies in the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The marker bit.
    pub marker: bool,
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The media timestamp, in units of the payload type's clock.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
    /// What follows header, contributing sources and extension, without padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a datagram; `None` when it is not RTP version 2 or is cut short.
    #[must_use]
    pub fn read(datagram: &'a [u8]) -> Option<Self> {
        if let [PLAIN, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3, payload @ ..] = datagram {
            return Some(Self {
                marker: second >> 7 == 1,
                payload_type: second & 0x7f,
                sequence: u16::from_be_bytes([*s0, *s1]),
                timestamp: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
                ssrc: u32::from_be_bytes([*r0, *r1, *r2, *r3]),
                payload,
            });
        }
        Self::read_all(datagram)
    }

    /// The same of one that may have padding, contributing sources and an extension.
    fn read_all(datagram: &'a [u8]) -> Option<Self> {
        let reader = RtpReader::new(datagram).ok()?;
        Some(Self {
            marker: reader.mark(),
            payload_type: reader.payload_type(),
            sequence: reader.sequence_number().into(),
            timestamp: reader.timestamp(),
            ssrc: reader.ssrc(),
            payload: reader.payload(),
        })
    }
}

/// The first octet of nearly every packet (RFC 3550, Section 5.1): version 2, no padding, no extension, no
/// contributing sources. What follows it lies where it always does.
const PLAIN: u8 = 0x80;

/// The 12-octet header of a packet we send (RFC 3550, Section 5.1): version 2, no padding, no
/// extension, no contributing sources.
#[must_use]
pub fn header(
    marker: bool,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
) -> [u8; 12] {
    let [s0, s1] = sequence.to_be_bytes();
    let [t0, t1, t2, t3] = timestamp.to_be_bytes();
    let [r0, r1, r2, r3] = ssrc.to_be_bytes();
    let second = u8::from(marker) << 7 | (payload_type & 0x7f);
    [PLAIN, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3]
}

/// What a receiver knows of one source (RFC 3550, Appendix A.1, A.3 and A.8).
///
/// There is no probation: a source is only listened to when it sends from the negotiated address.
#[derive(Clone, Debug)]
pub struct Reception {
    base: u32,
    highest: u32,
    received: u32,
    /// The sequence number that would confirm that the sender has started afresh.
    suspect: Option<u16>,
    expected_prior: u32,
    received_prior: u32,
    transit: Option<u32>,
    /// Sixteen times the jitter, in timestamp units, as in Appendix A.8.
    jitter: u32,
    quickest: Option<Quickest>,
}

/// The shortest transit of a source's audio of late: when something was sent, on our own clock, up
/// to the shortest time that the network takes.
///
/// Of late, because two clocks drift apart and a sender may set its own anew.
#[derive(Clone, Copy, Debug)]
struct Quickest {
    since: Timestamp,
    /// The shortest since then.
    now: u32,
    /// The shortest of the span before that.
    before: u32,
}

/// The span of which the shortest transit is known: as long as a network that holds everything up
/// may be remembered for what it was.
const SPAN: Duration = Duration::from_secs(10);

/// What would be later than this is not late: its sender's clock tells nothing.
const LATEST: Duration = Duration::from_secs(10);

impl Quickest {
    const fn first(at: Timestamp, transit: u32) -> Self {
        Self { since: at, now: transit, before: transit }
    }

    fn audio_arrived(&mut self, at: Timestamp, transit: u32) {
        if is_less(transit, self.now) {
            self.now = transit;
        }
        if at.since(self.since) >= SPAN {
            *self = Self { since: at, now: transit, before: self.now };
        }
    }

    /// How much more than the shortest this transit is, in timestamp units; negative where it is
    /// less.
    const fn excess(self, transit: u32) -> i32 {
        let shortest = if is_less(self.before, self.now) { self.before } else { self.now };
        transit.wrapping_sub(shortest) as i32
    }
}

/// Whether `a` comes before `b` on a clock that wraps.
const fn is_less(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

fn transit(arrival: Timestamp, timestamp: u32) -> u32 {
    ((arrival.as_micros() / MICROS_PER_SAMPLE) as u32).wrapping_sub(timestamp)
}

const MICROS_PER_SAMPLE: u64 = 1_000_000 / RATE as u64;

/// "MAX_DROPOUT": a larger step forward is a restart, not loss.
const MAX_DROPOUT: u16 = 3_000;

/// "MAX_MISORDER": a larger step back is a restart, not reordering.
const MAX_MISORDER: u16 = 100;

impl Reception {
    /// A source whose first packet carries `sequence`; hand that packet to
    /// [`arrived`](Self::arrived) too.
    #[must_use]
    pub fn starting_at(sequence: u16) -> Self {
        let base = u32::from(sequence);
        Self {
            base,
            highest: base,
            received: 0,
            suspect: None,
            expected_prior: 0,
            received_prior: 0,
            transit: None,
            jitter: 0,
            quickest: None,
        }
    }

    /// Counts a packet. `false` when its sequence number is so far off that the packet must not
    /// be trusted before a second one confirms it.
    pub fn arrived(&mut self, sequence: u16) -> bool {
        let step = sequence.wrapping_sub(self.highest as u16);
        if step < MAX_DROPOUT {
            self.highest = self.highest.wrapping_add(u32::from(step));
        } else if step <= u16::MAX - MAX_MISORDER {
            if self.suspect != Some(sequence) {
                self.suspect = Some(sequence.wrapping_add(1));
                return false;
            }
            // "Two sequential packets -- assume that the other side restarted without telling us".
            let next_cycle = (self.highest >> 16).wrapping_add(1) << 16;
            let confirmed = next_cycle | u32::from(sequence);
            let leap = confirmed.wrapping_sub(self.highest).wrapping_sub(1);
            self.base = self.base.wrapping_add(leap);
            self.highest = confirmed;
        }
        self.suspect = None;
        self.received = self.received.saturating_add(1);
        true
    }

    /// Moves the jitter estimate by an audio packet.
    ///
    /// Telephone-events must not be handed in: all packets of one press carry the timestamp of
    /// its start, which would read as jitter.
    pub fn audio_arrived(&mut self, now: Timestamp, timestamp: u32) {
        let transit = transit(now, timestamp);
        self.quickest.get_or_insert(Quickest::first(now, transit)).audio_arrived(now, transit);
        if let Some(before) = self.transit.replace(transit) {
            let step = (transit.wrapping_sub(before) as i32).unsigned_abs();
            // "J(i) = J(i-1) + (|D(i-1,i)| - J(i-1))/16", bounded so that a sender whose clock
            // jumps cannot run the estimate out of range.
            let step = step.min(60 * RATE);
            self.jitter = self.jitter.saturating_add(step).saturating_sub((self.jitter + 8) >> 4);
        }
    }

    /// How late a packet of an event is that began at `timestamp`, beside the source's quickest
    /// audio: a key that was pressed before the question must not answer it because the network
    /// held it up.
    ///
    /// Zero where nothing that was sent later has come before it: without that, a network that
    /// stood still looks like a sender whose clock did, as that of some does while they are silent.
    #[must_use]
    pub fn late(&self, now: Timestamp, sequence: u16, timestamp: u32) -> Duration {
        let is_overtaken = (sequence.wrapping_sub(self.highest as u16) as i16) < 0;
        let quickest = self.quickest.filter(|_| is_overtaken);
        let excess = quickest.map_or(0, |it| it.excess(transit(now, timestamp)));
        let samples = u64::try_from(excess).unwrap_or(0);
        let late = Duration::from_micros(samples * MICROS_PER_SAMPLE);
        if late > LATEST { Duration::ZERO } else { late }
    }

    /// The highest sequence number, with the count of its cycles in the upper 16 bits.
    #[must_use]
    pub const fn highest(&self) -> u32 {
        self.highest
    }

    /// Packets counted, duplicates and late ones included.
    #[must_use]
    pub const fn received(&self) -> u32 {
        self.received
    }

    /// Packets expected so far.
    #[must_use]
    pub const fn expected(&self) -> u32 {
        self.highest.wrapping_sub(self.base).wrapping_add(1)
    }

    /// Packets expected and not received; negative when there were more duplicates than losses.
    #[must_use]
    pub fn lost(&self) -> i64 {
        i64::from(self.expected()) - i64::from(self.received)
    }

    /// The interarrival jitter, in timestamp units.
    #[must_use]
    pub const fn jitter_units(&self) -> u32 {
        self.jitter >> 4
    }

    /// The interarrival jitter.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        Duration::from_micros(u64::from(self.jitter) * 1_000_000 / u64::from(16 * RATE))
    }

    /// The part of the packets lost since the last time this was asked, in 1/256.
    pub fn take_fraction_lost(&mut self) -> u8 {
        let expected = self.expected().wrapping_sub(self.expected_prior);
        let received = self.received.wrapping_sub(self.received_prior);
        self.expected_prior = self.expected();
        self.received_prior = self.received;
        let lost = expected.saturating_sub(received);
        let fraction = (u64::from(lost) << 8).checked_div(u64::from(expected)).unwrap_or(0);
        u8::try_from(fraction).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_we_write_is_read_back() {
        let mut datagram = header(true, 101, 0xfffe, 0xdead_beef, 7).to_vec();
        datagram.extend([1, 2, 3]);
        let packet = Packet::read(&datagram).expect("it is RTP");
        assert!(packet.marker);
        assert_eq!((packet.payload_type, packet.sequence), (101, 0xfffe));
        assert_eq!((packet.timestamp, packet.ssrc), (0xdead_beef, 7));
        assert_eq!(packet.payload, [1, 2, 3]);
    }

    #[test]
    fn extension_contributors_and_padding_are_not_payload() {
        let mut datagram = header(false, 0, 1, 2, 3).to_vec();
        datagram[0] |= 0x20 | 0x10 | 1;
        datagram.extend([9, 9, 9, 9]);
        datagram.extend([0xbe, 0xde, 0, 1, 1, 1, 1, 1]);
        datagram.extend([42, 0, 2]);
        assert_eq!(Packet::read(&datagram).expect("it is RTP").payload, [42]);
    }

    #[test]
    fn sequence_numbers_wrap_into_the_next_cycle() {
        let mut reception = Reception::starting_at(0xfffe);
        for sequence in [0xfffe, 0xffff, 0, 1] {
            assert!(reception.arrived(sequence));
        }
        assert_eq!(reception.highest(), 0x1_0001);
        assert_eq!((reception.expected(), reception.lost()), (4, 0));
    }

    #[test]
    fn loss_is_expected_less_received_and_late_packets_make_it_good() {
        let mut reception = Reception::starting_at(10);
        for sequence in [10, 11, 14, 15] {
            assert!(reception.arrived(sequence));
        }
        assert_eq!(reception.lost(), 2);
        assert_eq!(reception.take_fraction_lost(), 85);
        assert!(reception.arrived(12));
        assert_eq!(reception.lost(), 1);
        assert_eq!(reception.take_fraction_lost(), 0);
        for _ in 0..3 {
            assert!(reception.arrived(15));
        }
        assert_eq!(reception.lost(), -2);
    }

    /// A source whose audio took this long, in ms, one packet each 20 ms; and the time after it.
    fn heard(transits: impl IntoIterator<Item = u64>) -> (Reception, Timestamp) {
        let mut reception = Reception::starting_at(number(BEGAN));
        let mut sent = BEGAN;
        for transit in transits {
            let _ = reception.arrived(number(sent));
            reception.audio_arrived(sent + Duration::from_millis(transit), stamp(sent));
            sent += Duration::from_millis(20);
        }
        (reception, sent)
    }

    /// How late an event is that was sent then and took so long, in ms; overtaken or not.
    fn late(reception: &Reception, sent: Timestamp, ms: u64, overtaken: bool) -> Duration {
        let sequence = reception.highest() as u16;
        let sequence = if overtaken { sequence.wrapping_sub(1) } else { sequence };
        reception.late(sent + Duration::from_millis(ms), sequence, stamp(sent))
    }

    const BEGAN: Timestamp = Timestamp::from_secs(1_000);

    /// The sender's clock: close to where it wraps.
    fn stamp(sent: Timestamp) -> u32 {
        0xffff_ff00_u32.wrapping_add((sent.since(BEGAN).as_millis() * 8) as u32)
    }

    /// And its sequence numbers.
    fn number(sent: Timestamp) -> u16 {
        0xfffe_u16.wrapping_add((sent.since(BEGAN).as_millis() / 20) as u16)
    }

    #[test]
    fn what_the_network_held_up_is_late_by_as_much() {
        let (reception, now) = heard([40, 60, 45, 900, 41]);
        let late = |ms| late(&reception, now, ms, true);
        assert_eq!(late(40), Duration::ZERO);
        assert_eq!(late(30), Duration::ZERO, "quicker than any audio");
        assert_eq!(late(3_040), Duration::from_secs(3));
        assert_eq!(late(10_041), Duration::ZERO, "no network holds so long");
    }

    #[test]
    fn what_nothing_has_overtaken_is_not_late() {
        let (reception, now) = heard([40; 50]);
        assert_eq!(late(&reception, now, 3_040, false), Duration::ZERO);
        let (reception, now) = heard([]);
        assert_eq!(late(&reception, now, 3_000, true), Duration::ZERO, "without audio");
    }

    #[test]
    fn a_clock_that_was_set_back_is_believed_after_two_spans() {
        let spans =
            |seconds: u64| heard((0..seconds * 50).map(|n| if n < 50 { 40 } else { 5_040 }));
        let late = |(reception, now): (Reception, Timestamp)| late(&reception, now, 5_040, true);
        assert_eq!(late(spans(9)), Duration::from_secs(5));
        assert_eq!(late(spans(21)), Duration::ZERO);
    }

    #[test]
    fn nothing_is_forgotten_while_nothing_comes() {
        let (mut reception, sent) = heard([40, 40]);
        let after = sent + Duration::from_secs(60);
        reception.audio_arrived(after + Duration::from_millis(2_040), stamp(after));
        assert_eq!(late(&reception, after, 2_041, true), Duration::from_millis(2_001));
    }

    #[test]
    fn a_leap_needs_a_second_packet_to_be_believed() {
        let mut reception = Reception::starting_at(1);
        assert!(reception.arrived(1));
        assert!(!reception.arrived(20_000));
        assert!(reception.arrived(2));
        assert!(!reception.arrived(20_000));
        assert!(reception.arrived(20_001));
        assert!(reception.arrived(20_002));
        assert_eq!((reception.received(), reception.lost()), (4, 0));
    }

    #[test]
    fn even_spacing_has_no_jitter_and_uneven_spacing_has() {
        let mut even = Reception::starting_at(0);
        let mut uneven = Reception::starting_at(0);
        for n in 0..200_u32 {
            let sent = Timestamp::from_secs(1_000) + Duration::from_millis(20) * n;
            let late = Duration::from_millis(if n % 2 == 0 { 0 } else { 10 });
            even.audio_arrived(sent, n * 160);
            uneven.audio_arrived(sent + late, n * 160);
        }
        assert_eq!(even.jitter(), Duration::ZERO);
        // |D| is 10 ms for each packet, to which the estimate converges.
        let jitter = uneven.jitter();
        assert!(jitter > Duration::from_millis(9) && jitter < Duration::from_millis(11));
    }

    proptest! {
        #[test]
        fn nothing_is_told_to_have_been_sent_before_it_was(
            transits in proptest::collection::vec(0_u64..8_000, 1..2_000),
            transit in 0_u64..8_000,
        ) {
            let least = transits.iter().min().copied().unwrap_or(0);
            let (reception, sent) = heard(transits);
            let arrived = sent + Duration::from_millis(transit);
            let earliest = sent + Duration::from_millis(least.min(transit));
            prop_assert!(arrived - late(&reception, sent, transit, true) >= earliest);
        }

        #[test]
        fn a_plain_packet_reads_as_any(datagram in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut datagram = datagram;
            if let Some(first) = datagram.first_mut() {
                *first = PLAIN;
            }
            prop_assert_eq!(Packet::read(&datagram), Packet::read_all(&datagram));
        }

        #[test]
        fn hostile_bytes_never_panic(datagram in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Packet::read(&datagram);
        }

        #[test]
        fn hostile_sequences_never_panic(
            packets in proptest::collection::vec((any::<u16>(), any::<u32>(), any::<u64>()), 0..80),
        ) {
            let mut reception = Reception::starting_at(0);
            for (sequence, timestamp, micros) in packets {
                let _ = reception.arrived(sequence);
                let now = Timestamp::from_micros(micros);
                let _ = reception.late(now, sequence, !timestamp);
                reception.audio_arrived(now, timestamp);
                let _ = (reception.take_fraction_lost(), reception.lost(), reception.jitter());
            }
        }
    }
}
