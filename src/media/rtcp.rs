//! RTCP (RFC 3550, Section 6): what we report, and what we read from reports.

use std::time::Duration;

use rtcp_types::prelude::*;
use rtcp_types::{
    Bye, Compound, Packet, ReceiverReport, ReportBlock, ReportBlockBuilder, Sdes, SdesChunk,
    SdesItem, SenderReport,
};

use crate::ambient::{Entropy, Timestamp};

/// The mean time between two reports.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// What a sender tells about itself.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The RTP timestamp that belongs to the time of the report.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload octets sent.
    pub octets: u32,
}

/// What a receiver tells about the source it hears.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// The source.
    pub ssrc: u32,
    /// The part lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost in all; negative when there were more duplicates.
    pub lost: i64,
    /// The extended highest sequence number.
    pub highest: u32,
    /// The interarrival jitter, in timestamp units.
    pub jitter: u32,
    /// The source's last sender report: the middle of its time stamp, and when it came.
    pub last_report: Option<(u32, Timestamp)>,
}

/// One compound packet to be written: SR or RR, SDES with CNAME, and BYE at the end.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Us.
    pub ssrc: u32,
    /// Our canonical name.
    pub cname: &'a str,
    /// `None` when nothing was sent since the last report: a receiver report is written.
    pub sent: Option<Sent>,
    /// `None` while nothing was heard.
    pub received: Option<Received>,
    /// Whether we leave.
    pub bye: bool,
}

impl Report<'_> {
    /// The compound packet.
    #[must_use]
    pub fn write(&self, now: Timestamp) -> Vec<u8> {
        let block = self.received.map(|received| received.block(now));
        let compound = match self.sent {
            Some(sent) => {
                let report = SenderReport::builder(self.ssrc)
                    .ntp_timestamp(ntp(now))
                    .rtp_timestamp(sent.timestamp)
                    .packet_count(sent.packets)
                    .octet_count(sent.octets);
                Compound::builder().add_packet(match block {
                    Some(block) => report.add_report_block(block),
                    None => report,
                })
            }
            None => {
                let report = ReceiverReport::builder(self.ssrc);
                Compound::builder().add_packet(match block {
                    Some(block) => report.add_report_block(block),
                    None => report,
                })
            }
        };
        let name = SdesItem::builder(SdesItem::CNAME, self.cname);
        let chunk = SdesChunk::builder(self.ssrc).add_item(name);
        let mut compound = compound.add_packet(Sdes::builder().add_chunk(chunk));
        if self.bye {
            compound = compound.add_packet(Bye::builder().add_source(self.ssrc));
        }
        let mut packet = vec![0; compound.calculate_size().unwrap_or(0)];
        let length = compound.write_into(&mut packet).unwrap_or(0);
        packet.truncate(length);
        packet
    }
}

impl Received {
    fn block(&self, now: Timestamp) -> ReportBlockBuilder {
        // "cumulative number of packets lost: 24 bits", signed.
        let lost = self.lost.clamp(-0x80_0000, 0x7f_ffff);
        let lost = u32::try_from(lost & 0xff_ffff).unwrap_or(0);
        let (last, delay) = match self.last_report {
            // "DLSR ... in units of 1/65536 seconds"
            Some((last, came)) => (last, units(now.since(came))),
            None => (0, 0),
        };
        ReportBlock::builder(self.ssrc)
            .fraction_lost(self.fraction_lost)
            .cumulative_lost(lost)
            .extended_sequence_number(self.highest)
            .interarrival_jitter(self.jitter)
            .last_sender_report_timestamp(last)
            .delay_since_last_sender_report_timestamp(delay)
    }
}

/// What a compound packet of the far end says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Who sent it.
    pub ssrc: u32,
    /// From a sender report: the middle 32 bits of its time stamp, to be given back as LSR.
    pub report: Option<u32>,
    /// What it hears of us.
    pub about_us: Option<AboutUs>,
    /// It leaves.
    pub bye: bool,
}

/// How our packets arrive at the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AboutUs {
    /// Packets lost in all, negative when there were more duplicates.
    pub lost: i32,
    /// Their interarrival jitter, in timestamp units.
    pub jitter: u32,
    /// The time there and back, when they have had a sender report of ours.
    pub round_trip: Option<Duration>,
}

/// Reads a compound packet; `us` is our SSRC. `None` when it is malformed or does not begin with
/// a report (RFC 3550, Section 6.1: "The first RTCP packet in the compound packet MUST always be
/// a report packet").
#[must_use]
pub fn read(datagram: &[u8], us: u32, now: Timestamp) -> Option<Told> {
    let mut told = Told::default();
    let mut reported = false;
    for packet in Compound::parse(datagram).ok()? {
        match &packet.ok()? {
            Packet::Sr(report) => {
                told.ssrc = report.ssrc();
                told.report = Some((report.ntp_timestamp() >> 16) as u32);
                told.about_us = report.report_blocks().find_map(|b| about_us(&b, us, now));
                reported = true;
            }
            Packet::Rr(report) => {
                told.ssrc = report.ssrc();
                told.about_us = report.report_blocks().find_map(|b| about_us(&b, us, now));
                reported = true;
            }
            Packet::Bye(bye) => {
                told.bye |= bye.ssrcs().any(|ssrc| ssrc == told.ssrc);
            }
            Packet::App(_)
            | Packet::Sdes(_)
            | Packet::TransportFeedback(_)
            | Packet::PayloadFeedback(_)
            | Packet::Xr(_)
            | Packet::Unknown(_) => {}
        }
        if !reported {
            return None;
        }
    }
    Some(told)
}

/// The time from one report to the next: [`INTERVAL`], "varied randomly over the range [0.5,1.5]
/// times" itself (RFC 3550, Section 6.2), so that calls do not report in step.
#[must_use]
pub fn interval(entropy: &mut Entropy) -> Duration {
    let mean = u64::try_from(INTERVAL.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(mean / 2 + entropy.below(mean))
}

fn about_us(block: &ReportBlock<'_>, us: u32, now: Timestamp) -> Option<AboutUs> {
    let lost = (block.cumulative_lost() << 8) as i32 >> 8;
    let jitter = block.interarrival_jitter();
    let last = block.last_sender_report_timestamp();
    // "the round-trip propagation delay as (A - LSR - DLSR)"; a delay longer than the time passed
    // is a clock that drifts, or a lie.
    let middle = (ntp(now) >> 16) as u32;
    let delay = block.delay_since_last_sender_report_timestamp();
    let trip = middle.wrapping_sub(last).wrapping_sub(delay);
    let round_trip = (last != 0 && (trip as i32) >= 0)
        .then(|| Duration::from_micros((u64::from(trip) * 1_000_000) >> 16));
    (block.ssrc() == us).then_some(AboutUs { lost, jitter, round_trip })
}

/// Seconds since 1900 in the upper half, fractions in the lower (RFC 3550, Section 4).
fn ntp(at: Timestamp) -> u64 {
    const FROM_1900_TO_1970: u64 = 2_208_988_800;
    let seconds = at.as_secs().wrapping_add(FROM_1900_TO_1970);
    let micros = at.as_micros() % 1_000_000;
    (seconds << 32) | ((micros << 32) / 1_000_000)
}

/// In 1/65536 of a second.
fn units(span: Duration) -> u32 {
    u32::try_from((span.as_micros() << 16) / 1_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn full() -> Report<'static> {
        let received = Received {
            ssrc: 9,
            fraction_lost: 64,
            lost: -3,
            highest: 0x1_0005,
            jitter: 40,
            last_report: Some((0xabcd_0123, NOW - Duration::from_millis(500))),
        };
        Report {
            ssrc: 7,
            cname: "abc",
            sent: Some(Sent { timestamp: 5, packets: 2, octets: 320 }),
            received: Some(received),
            bye: true,
        }
    }

    #[test]
    fn a_compound_is_report_name_and_farewell() {
        let datagram = full().write(NOW);
        let packets: Vec<_> = Compound::parse(&datagram)
            .expect("it parses")
            .map(|packet| packet.expect("it parses"))
            .collect();
        let [Packet::Sr(report), Packet::Sdes(sdes), Packet::Bye(bye)] = &packets[..] else {
            panic!("{packets:?}");
        };
        assert_eq!((report.packet_count(), report.octet_count()), (2, 320));
        assert_eq!(report.ntp_timestamp() >> 32, NOW.as_secs() + 2_208_988_800);
        let block = report.report_blocks().next().expect("a block");
        assert_eq!((block.ssrc(), block.fraction_lost()), (9, 64));
        assert_eq!(block.cumulative_lost(), 0xff_fffd);
        assert_eq!(block.last_sender_report_timestamp(), 0xabcd_0123);
        assert_eq!(block.delay_since_last_sender_report_timestamp(), 0x8000);
        let chunk = sdes.chunks().next().expect("a chunk");
        let item = chunk.items().next().expect("an item");
        assert_eq!((chunk.ssrc(), item.type_(), item.value()), (7, SdesItem::CNAME, &b"abc"[..]));
        assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn who_sent_nothing_writes_a_receiver_report() {
        let report = Report { sent: None, received: None, bye: false, ..full() };
        let datagram = report.write(NOW);
        let told = read(&datagram, 1, NOW).expect("it is RTCP");
        assert_eq!(told, Told { ssrc: 7, ..Told::default() });
    }

    #[test]
    fn the_round_trip_is_now_less_lsr_less_dlsr() {
        let ours = Report { received: None, bye: false, ..full() }.write(NOW);
        let told = read(&ours, 9, NOW).expect("it is RTCP");
        let came = NOW + Duration::from_millis(30);
        let received = Received {
            ssrc: 7,
            fraction_lost: 0,
            lost: 4,
            highest: 2,
            jitter: 8,
            last_report: told.report.map(|report| (report, came)),
        };
        let theirs = Report { ssrc: 9, received: Some(received), ..full() };
        let datagram = theirs.write(came + Duration::from_secs(2));
        let back = NOW + Duration::from_millis(2_050);
        let told = read(&datagram, 7, back).expect("it is RTCP");
        let about = told.about_us.expect("a block about us");
        assert_eq!((about.lost, about.jitter, told.bye), (4, 8, true));
        let trip = about.round_trip.expect("a round trip");
        assert!(trip.abs_diff(Duration::from_millis(50)) < Duration::from_millis(1), "{trip:?}");
    }

    #[test]
    fn what_does_not_begin_with_a_report_is_not_read() {
        let bye = Bye::builder().add_source(9);
        let mut datagram = [0; 8];
        bye.write_into(&mut datagram).expect("it fits");
        assert_eq!(read(&datagram, 7, NOW), None);
        assert_eq!(read(&full().write(NOW)[..20], 7, NOW), None);
        assert_eq!(read(&[0x80], 7, NOW), None);
    }

    #[test]
    fn reports_are_2_5_to_7_5_seconds_apart() {
        let mut entropy = Entropy::from_number(1);
        let spans: Vec<_> = (0..500).map(|_| interval(&mut entropy)).collect();
        let (least, most) = (spans.iter().min().expect("some"), spans.iter().max().expect("some"));
        assert!(*least >= INTERVAL / 2 && *least < Duration::from_millis(2_700));
        assert!(*most < INTERVAL * 3 / 2 && *most > Duration::from_millis(7_300));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(datagram in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = read(&datagram, 7, NOW);
        }

        #[test]
        fn hostile_reports_never_panic(
            kind in 200..208_u8, count in 0..32_u8, words in 0..12_usize,
            body in proptest::collection::vec(any::<u8>(), 48),
        ) {
            let mut datagram = vec![0x80 | count, kind, 0, words as u8];
            datagram.extend(&body[..words * 4]);
            let _ = read(&datagram, 7, NOW);
            let mut compound = full().write(NOW);
            compound.extend(&datagram);
            let _ = read(&compound, 7, NOW);
        }
    }
}
