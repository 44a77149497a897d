//! The RTP that SIPp replays: presses of keys (RFC 4733, payload type 101) and a tone, written
//! byte for byte as `make_pcaps.py` of the shared scenarios writes them, so that no capture has
//! to be kept.

use std::time::Duration;

/// An RTP packet, and when it is sent.
pub(crate) type Timed = (Duration, Vec<u8>);

/// What a phone sends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sound {
    /// These keys, one every 2.5 seconds.
    Keys(&'static [u8]),
    /// A `#` whose first two and first two end packets are lost.
    Lossy,
    /// A `#` whose end packets are all lost.
    NoEnd,
    /// A `#` with two updates swapped and an end packet before the last update.
    Reordered,
    /// A `#` of which every packet comes twice.
    Doubled,
    /// A `#` whose events have lost the end of their payload.
    Cut,
    /// A second of 440 Hz and no key.
    Tone,
}

/// RFC 4733 section 3.2: the event codes of the keys.
pub(crate) const STAR: u8 = 10;
/// The pound key.
pub(crate) const POUND: u8 = 11;

const SSRC: u32 = 0x5EED_0001;

/// A packet of RTP (RFC 3550 section 5.1).
pub(crate) fn rtp(
    (sequence, timestamp, ssrc): (u16, u32, u32),
    payload_type: u8,
    marker: bool,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0x80, (u8::from(marker) << 7) | payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A press of 160 ms: eight updates with growing duration, then three end packets. From this
/// sequence number, RTP timestamp and source on.
pub(crate) fn press(
    (sequence, timestamp, ssrc): (u16, u32, u32),
    payload_type: u8,
    code: u8,
) -> Vec<Timed> {
    let packet = |i: u16, duration: u16, end: bool| {
        let [high, low] = duration.to_be_bytes();
        let event = [code, (u8::from(end) << 7) | 10, high, low];
        rtp((sequence + i, timestamp, ssrc), payload_type, i == 0, &event)
    };
    let updates = (0..8).map(|i| (u64::from(i) * 20_000, packet(i, 160 * (i + 1), false)));
    let ends = (0..3).map(|i| (160_000 + u64::from(i) * 500, packet(8 + i, 1280, true)));
    updates.chain(ends).map(|(at, packet)| (Duration::from_micros(at), packet)).collect()
}

/// The packets of a sound.
pub(crate) fn packets(sound: Sound) -> Vec<Timed> {
    let pound = || press((100, 16_000, SSRC), 101, POUND);
    match sound {
        Sound::Keys(keys) => (0_u16..)
            .zip(keys)
            .flat_map(|(i, &code)| {
                let start = (100 + 11 * i, 16_000 + 20_000 * u32::from(i), SSRC);
                let later = Duration::from_millis(2_500) * u32::from(i);
                press(start, 101, code).into_iter().map(move |(at, packet)| (at + later, packet))
            })
            .collect(),
        Sound::Lossy => pound().into_iter().skip(2).filter(lossless_end()).collect(),
        Sound::Cut => {
            let cut = |(at, packet): Timed| (at, packet[..packet.len() - 2].to_vec());
            pound().into_iter().map(cut).collect()
        }
        Sound::NoEnd => pound().into_iter().take(8).collect(),
        Sound::Doubled => pound()
            .into_iter()
            .flat_map(|(at, packet)| {
                [(at, packet.clone()), (at + Duration::from_micros(200), packet)]
            })
            .collect(),
        Sound::Reordered => {
            let (times, mut packets): (Vec<_>, Vec<_>) = pound().into_iter().unzip();
            packets.swap(3, 4);
            packets.swap(7, 8);
            times.into_iter().zip(packets).collect()
        }
        Sound::Tone => (0..50_u16).map(tone).collect(),
    }
}

/// Lets pass all but the first two packets that have the end bit.
fn lossless_end() -> impl FnMut(&Timed) -> bool {
    let mut lost = 0;
    move |(_, packet)| {
        let end = packet[13] & 0x80 != 0;
        lost += usize::from(end);
        !end || lost > 2
    }
}

/// The n-th 20 ms of 440 Hz as PCMU.
fn tone(n: u16) -> Timed {
    let sample = |k: u32| {
        let phase =
            2.0 * std::f64::consts::PI * 440.0 * f64::from(u32::from(n) * 160 + k) / 8_000.0;
        ulaw((9_000.0 * phase.sin()) as i32)
    };
    let payload: Vec<u8> = (0..160).map(sample).collect();
    let header = (500 + n, 8_000 + 160 * u32::from(n), 0x5EED_0002);
    (Duration::from_millis(20) * u32::from(n), rtp(header, 0, n == 0, &payload))
}

/// ITU-T G.711, µ-law.
fn ulaw(linear: i32) -> u8 {
    let magnitude = linear.abs().min(32_635) + 132;
    let exponent = (1..8).rev().find(|e| magnitude & (0x80 << e) != 0).unwrap_or(0);
    let sign = if linear < 0 { 0x80 } else { 0 };
    let code = sign | (exponent << 4) | ((magnitude >> (exponent + 3)) & 15);
    !u8::try_from(code).unwrap()
}

/// A capture file of these packets, as SIPp replays it: classic pcap, Ethernet, IPv4, UDP. SIPp
/// puts in its own addresses and ports.
pub(crate) fn file(packets: &[Timed]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xA1B2_C3D4_u32.to_le_bytes());
    file.extend([2_u16, 4].into_iter().flat_map(u16::to_le_bytes));
    file.extend([0_u32, 0, 65_535, 1].into_iter().flat_map(u32::to_le_bytes));
    for (at, packet) in packets {
        let frame = frame(packet);
        let length = u32::try_from(frame.len()).unwrap();
        let seconds = 1_000 + u32::try_from(at.as_secs()).unwrap();
        let header = [seconds, at.subsec_micros(), length, length];
        file.extend(header.into_iter().flat_map(u32::to_le_bytes));
        file.extend(frame);
    }
    file
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let udp_length = u16::try_from(8 + payload.len()).unwrap();
    let words = [0x4500, 20 + udp_length, 0, 0, 0x4011, 0, 0x7F00, 1, 0x7F00, 1];
    let sum: u32 = words.iter().map(|&word| u32::from(word)).sum();
    let sum = (sum & 0xFFFF) + (sum >> 16);
    let mut ip = words;
    ip[5] = !u16::try_from((sum & 0xFFFF) + (sum >> 16)).unwrap();
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00]);
    let udp = [49_176, 10_000, udp_length, 0];
    frame.extend(ip.into_iter().chain(udp).flat_map(u16::to_be_bytes));
    frame.extend(payload);
    frame
}

#[test]
fn captures_are_those_of_make_pcaps_py() {
    use sha2::{Digest as _, Sha256};
    // SHA-256 of the files that the script writes, by its names for them.
    for (name, sound, wanted) in [
        (
            "pound",
            Sound::Keys(&[POUND]),
            "bfe28b2f322139d4fc5b2f90f1c94073578900b971ec492c3b4468ee0761cf4a",
        ),
        (
            "star",
            Sound::Keys(&[STAR]),
            "ad009f06df834393af4236561b9851cdb5be0f2e572917aec96bf69e959d0fe3",
        ),
        (
            "d5",
            Sound::Keys(&[5]),
            "fa0339a4186e1b708d23e9fd0c3552e080f89b94906505fa8bbcc8668344025c",
        ),
        (
            "pound_lossy",
            Sound::Lossy,
            "9313f1272ae151e28c521582dab96bd3929b61b4d81e617d29317ee0560f0e8b",
        ),
        (
            "pound_noend",
            Sound::NoEnd,
            "6bd7de5bd9330ebc6d87f97e9ebc17b034bba6031d181ba1e5d8b0c974b50eb2",
        ),
        (
            "pound_dup",
            Sound::Doubled,
            "365dc074b3db4dc4087f4888423d8b456adced6b88db1ea1681e4fa4a1bfd950",
        ),
        (
            "pound_reorder",
            Sound::Reordered,
            "e35e656765c99add6b0bd4bff8f5fa5e6037b8ad22d18b30c51f515fb9ab3024",
        ),
        (
            "ulaw_tone",
            Sound::Tone,
            "7f0561f80628b1670370f3dde2ba5b117607aad8a21737b310e2642e41e36a43",
        ),
    ] {
        let digest = Sha256::digest(file(&packets(sound)));
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, wanted, "{name}");
    }
}
