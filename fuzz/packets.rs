//! Single packets of media, each kind by itself: RTP, RTCP, telephone-events, SRTP.

use std::time::Duration;

use octothorpe::ambient::Timestamp;
use octothorpe::media::events::{Arrival, Event, Heard, Receiver};
use octothorpe::media::rtcp::{self, Received, Report, Sent};
use octothorpe::media::rtp::{self, Reception};
use octothorpe::media::srtp::{MasterKey, Opener, Sealer, Suite};

use crate::Trace;

const NOW: Timestamp = Timestamp::from_secs(1_000);

/// RTP packets, each behind a byte that is its length, and what a receiver makes of their order.
pub(crate) fn rtp(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    let mut reception: Option<Reception> = None;
    let (mut now, mut taken) = (NOW, 0_u32);
    for piece in pieces(bytes) {
        now += Duration::from_millis(20);
        let Some(packet) = rtp::Packet::read(piece) else {
            trace.saw(piece.len().min(16));
            continue;
        };
        assert!(packet.payload.len() + 12 <= piece.len(), "it is longer than what came");
        assert!(packet.payload_type < 128, "{}", packet.payload_type);
        let reception = reception.get_or_insert_with(|| Reception::starting_at(packet.sequence));
        let is_in_order = reception.arrived(packet.sequence);
        reception.audio_arrived(now, packet.timestamp);
        taken += 1;
        assert!(reception.received() <= taken, "more than came");
        trace.saw((is_in_order, packet.marker, packet.payload.len().min(9)));
        trace.saw((reception.take_fraction_lost() / 64, reception.lost().signum()));
        assert!(reception.jitter() < Duration::from_secs(4_000), "{:?}", reception.jitter());
        // What we would write of it is read as the same.
        let header = rtp::header(
            packet.marker,
            packet.payload_type,
            packet.sequence,
            packet.timestamp,
            packet.ssrc,
        );
        let again = [&header[..], packet.payload].concat();
        assert_eq!(rtp::Packet::read(&again), Some(packet));
    }
    trace
}

/// An RTCP datagram, and a report of what it tells.
pub(crate) fn rtcp(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    for us in [0, 7, u32::MAX] {
        let Some(told) = rtcp::read(bytes, us, NOW) else {
            trace.saw(bytes.len().min(9));
            continue;
        };
        trace.saw((told.bye, told.report.is_some(), told.about_us.is_some()));
        let round_trip = told.about_us.and_then(|about| about.round_trip);
        trace.saw(round_trip.map(|it| it.as_secs().min(9)));
        let word = |at: usize| {
            let word = bytes.get(at..).and_then(|it| it.first_chunk());
            word.map_or(0, |it| u32::from_be_bytes(*it))
        };
        let received = Received {
            ssrc: told.ssrc,
            fraction_lost: word(4) as u8,
            lost: i64::from(word(8) as i32) << (word(12) & 15),
            highest: word(12),
            jitter: word(16),
            last_report: told.report.map(|report| (report, NOW)),
        };
        let sent = Sent { timestamp: word(0), packets: word(4), octets: word(8) };
        for (sent, received) in
            [(Some(sent), Some(received)), (None, Some(received)), (Some(sent), None), (None, None)]
        {
            let report = Report { ssrc: us, cname: "us", sent, received, bye: told.bye };
            let packet = report.write(NOW + Duration::from_millis(u64::from(word(0))));
            assert!((8..200).contains(&packet.len()), "{} octets", packet.len());
            let read = rtcp::read(&packet, 1, NOW).expect("what we write");
            assert_eq!((read.ssrc, read.bye), (us, told.bye));
        }
    }
    trace
}

/// Telephone-events: of each packet, when, which source, when its event began, the marker, and four
/// octets of payload.
pub(crate) fn rfc4733(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    let mut receiver = Receiver::default();
    let (mut now, mut packets, mut downs, mut is_down) = (NOW, 0_usize, 0_usize, false);
    let mut hear = |heard: Heard, trace: &mut Trace| match heard {
        Heard::Down(digit) => {
            assert!(!is_down, "a second key is down");
            (is_down, downs) = (true, downs + 1);
            trace.saw(('v', digit.event()));
        }
        Heard::Again(digit) => trace.saw(('=', digit.event())),
        Heard::Up { digit, held } => {
            assert!(is_down, "no key was down");
            is_down = false;
            trace.saw(('^', digit.event(), held.as_millis().min(9_000) / 100));
        }
        Heard::Tone(code) => {
            assert!(code >= 16, "{code} is a key");
            trace.saw(code);
        }
    };
    for packet in bytes.chunks_exact(8) {
        let [after, ssrc, high, low, payload @ ..] = packet else { continue };
        now += Duration::from_millis(u64::from(*after));
        receiver.lapsed(now, |heard| hear(heard, &mut trace));
        let is_due = receiver.deadline().is_some_and(|at| at <= now);
        assert!(!is_due, "due, and done");
        let timestamp = u32::from_be_bytes([*high & 0x80, *high, *low, 0]);
        if *ssrc & 0x40 != 0 {
            receiver.audio_arrived(u32::from(ssrc & 3), timestamp, |it| hear(it, &mut trace));
            continue;
        }
        let Some(event) = Event::read(payload) else { continue };
        let (marker, ssrc) = (*ssrc & 0x80 != 0, u32::from(ssrc & 3));
        let arrival = Arrival { at: now, ssrc, timestamp, marker, event };
        packets += 1;
        receiver.arrived(arrival, |heard| hear(heard, &mut trace));
    }
    receiver.lapsed(now + Duration::from_secs(10), |heard| hear(heard, &mut trace));
    assert!(!is_down && receiver.deadline().is_none(), "a key stays down");
    assert!(downs <= packets, "{downs} keys in {packets} packets");
    trace
}

/// SRTP and SRTCP: pieces that are opened as they came, and sealed, spoilt and opened again.
///
/// The first byte is the suite; of each piece the first says what becomes of it.
pub(crate) fn srtp(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    let (suite, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let suite = Suite::ALL[usize::from(*suite) % Suite::ALL.len()];
    let key = MasterKey::new([9; MasterKey::LENGTH]);
    let (mut sealer, mut opener) = (Sealer::new(suite, &key), Opener::new(suite, &key));
    for piece in pieces(bytes) {
        let Some((what, packet)) = piece.split_first() else { continue };
        let is_rtp = what & 1 == 0;
        let open = |opener: &mut Opener, packet: &[u8]| match is_rtp {
            true => opener.open_rtp(packet),
            false => opener.open_rtcp(packet),
        };
        // Nobody has sealed it.
        let opened = open(&mut opener, packet);
        trace.saw(opened.clone().map(|_| ()).map_err(|why| why as u8));
        assert!(opened.is_err(), "it is let in as it came");
        let mut sealed = packet.to_vec();
        match is_rtp {
            true => sealer.seal_rtp(&mut sealed),
            false => sealer.seal_rtcp(&mut sealed),
        }
        trace.saw(sealed.len().saturating_sub(packet.len()));
        if sealed.is_empty() {
            continue;
        }
        assert!(sealed.len() <= packet.len() + 14, "it grows");
        if what & 2 != 0 {
            let at = usize::from(what >> 2) % sealed.len();
            sealed[at] ^= 1 << (what >> 5);
            assert!(open(&mut opener, &sealed).is_err(), "it is let in although it was spoilt");
            continue;
        }
        if let Ok(opened) = open(&mut opener, &sealed) {
            trace.saw(opened.len().min(99));
            assert_eq!(opened, packet, "it is not what was sealed");
            assert!(open(&mut opener, &sealed).is_err(), "it is let in twice");
        }
    }
    trace
}

/// The bytes in pieces, each behind a byte that is its length.
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first()?;
        let (piece, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = rest;
        Some(piece)
    })
}
