//! RFC 3711's own vectors, those of another implementation, and streams that wrap, lose, reorder,
//! repeat and are tampered with.

use proptest::prelude::*;

use super::*;
use crate::media::rtp;

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    octets(hex).try_into().expect("of this length")
}

/// The master key of RFC 3711, Appendix B.3, which is also that of libsrtp's test vectors.
fn key() -> MasterKey {
    MasterKey::new(array("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6"))
}

fn other_key() -> MasterKey {
    MasterKey::new([0x5a; MasterKey::LENGTH])
}

fn pair(suite: Suite) -> (Sealer, Opener) {
    (Sealer::new(suite, &key()), Opener::new(suite, &key()))
}

fn packet(sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    [&rtp::header(false, 0, sequence, 7, ssrc)[..], payload].concat()
}

fn sealed(sealer: &mut Sealer, packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    sealer.seal_rtp(&mut packet);
    packet
}

#[test]
fn the_key_stream_is_that_of_rfc_3711_appendix_b_2() {
    let cipher = Aes128::new(&array("2B7E151628AED2A6ABF7158809CF4F3C").into());
    let iv = u128::from_be_bytes(array("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000"));
    let mut stream = vec![0; 0xff02 * 16];
    keystream(&cipher, iv, &mut stream);
    let block = |n: usize| stream[n * 16..][..16].to_vec();
    assert_eq!(block(0), octets("E03EAD0935C95E80E166B16DD92B4EB4"));
    assert_eq!(block(1), octets("D23513162B02D0F72A43A2FE4A5F97AB"));
    assert_eq!(block(2), octets("41E95B3BB0A2E8DD477901E4FCA894C0"));
    assert_eq!(block(0xfeff), octets("EC8CDF7398607CB0F2D21675EA9EA1E4"));
    assert_eq!(block(0xff00), octets("362B7C3C6773516318A077D7FC5073AE"));
    assert_eq!(block(0xff01), octets("6A2CC3787889374FBEB4C81B17BA6C44"));
}

#[test]
fn session_keys_are_derived_as_in_rfc_3711_appendix_b_3() {
    let cipher = Cipher::derive(&key(), Cipher::RTP);
    let salt = u128::from_be_bytes(array("0000 30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(*cipher.salt, salt);
    let (mut derived, mut expected) = ([0; 32], [0; 32]);
    keystream(&cipher.aes, 1 << 16, &mut derived);
    let aes = Aes128::new(&array("C61E7A93744F39EE10734AFE3FF7A087").into());
    keystream(&aes, 1 << 16, &mut expected);
    assert_eq!(derived, expected);
    let mac = hmac(&array("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    let expected: [u8; 20] = mac.chain_update(b"x").finalize().into_bytes().into();
    assert_eq!(cipher.tag(b"x", b""), expected);
}

/// The reference packets of libsrtp's `srtp_validate`, made by it with the same key.
#[test]
fn packets_are_those_that_libsrtp_makes() {
    let mut payload = octets("800F1234 DECAFBAD CAFEBABE");
    payload.extend([0xab; 16]);
    let (mut sealer, mut opener) = pair(Suite::Sha1Of80);
    let wire = sealed(&mut sealer, &payload);
    assert_eq!(
        wire,
        octets("800F1234 DECAFBAD CAFEBABE 4E55DC4CE79978D88CA4D215949D2402 B78D6ACC99EA179B8DBB")
    );
    assert_eq!(opener.open_rtp(&wire), Ok(payload));

    let mut report = octets("81C8000B CAFEBABE");
    report.extend([0xab; 16]);
    sealer.rtcp_index = 1;
    let mut wire = report.clone();
    sealer.seal_rtcp(&mut wire);
    assert_eq!(
        wire,
        octets("81C8000B CAFEBABE 7128035BE487B9BDBEF89041F977A5A8 80000001 993E08CD54D6C1230798")
    );
    assert_eq!(opener.open_rtcp(&wire), Ok(report));
}

#[test]
fn the_short_suite_has_short_tags_on_rtp_alone() {
    let (mut sealer, mut opener) = pair(Suite::Sha1Of32);
    let plain = packet(1, 9, &[1; 160]);
    let wire = sealed(&mut sealer, &plain);
    assert_eq!(wire.len(), plain.len() + 4);
    assert_eq!(opener.open_rtp(&wire), Ok(plain));
    let report = octets("80C90001 00000009");
    let mut wire = report.clone();
    sealer.seal_rtcp(&mut wire);
    assert_eq!(wire.len(), report.len() + 4 + 10);
    assert_eq!(opener.open_rtcp(&wire), Ok(report));
}

#[test]
fn header_extension_and_sources_stay_in_the_clear() {
    let (mut sealer, mut opener) = pair(Suite::Sha1Of80);
    let head = octets("92000001 00000007 00000009 11111111 22222222 BEDE0001 33333333");
    let plain = [&head[..], &[5; 20]].concat();
    let wire = sealed(&mut sealer, &plain);
    assert_eq!(wire[..head.len()], head);
    assert_ne!(wire[head.len()..][..20], [5; 20]);
    assert_eq!(opener.open_rtp(&wire), Ok(plain));
}

/// 140,000 packets: the counter rolls over twice, with many packets lost and neighbours swapped,
/// also where it wraps.
#[test]
fn a_stream_outlives_its_sequence_numbers() {
    for (lost, swapped) in [(0, false), (10, false), (10, true), (2, true)] {
        let (mut sealer, mut opener) = pair(Suite::Sha1Of80);
        let mut wires: Vec<(u32, Vec<u8>)> = (0..140_000_u32)
            .map(|n| (n, sealed(&mut sealer, &packet((n + 100) as u16, 9, &n.to_be_bytes()))))
            .filter(|(n, _)| lost == 0 || n % lost != 0)
            .collect();
        if swapped {
            wires.chunks_mut(7).for_each(<[_]>::reverse);
        }
        for (n, wire) in wires {
            let opened = opener.open_rtp(&wire).expect("it is let in");
            assert_eq!(opened[12..], n.to_be_bytes(), "packet {n}");
        }
    }
}

#[test]
fn a_gap_of_half_the_numbers_across_the_wrap_is_followed() {
    let (mut sealer, mut opener) = pair(Suite::Sha1Of80);
    let mut all: Vec<_> =
        (0..=0x1_7000_u32).map(|n| sealed(&mut sealer, &packet(n as u16, 9, &[1]))).collect();
    for at in [0, 0x7000, 0xefff, 0x1_6000, 0x1_7000] {
        assert!(opener.open_rtp(&std::mem::take(&mut all[at])).is_ok(), "packet {at:#x}");
    }
}

#[test]
fn a_source_first_heard_after_its_wrap_is_let_in() {
    let (mut sealer, mut opener) = pair(Suite::Sha1Of80);
    let before = sealed(&mut sealer, &packet(0xffff, 9, &[1]));
    let after = sealed(&mut sealer, &packet(0, 9, &[2]));
    assert!(opener.open_rtp(&after).is_ok());
    assert!(opener.open_rtp(&before).is_ok(), "and what was overtaken too");
}

#[test]
fn a_number_that_comes_again_is_never_sealed_with_the_same_stream() {
    let (mut sealer, _) = pair(Suite::Sha1Of80);
    let plain = packet(5, 9, &[0; 40]);
    let (first, second) = (sealed(&mut sealer, &plain), sealed(&mut sealer, &plain));
    assert_ne!(first[12..52], second[12..52]);
}

#[test]
fn each_packet_is_let_in_once() {
    let (mut sealer, mut opener) = pair(Suite::Sha1Of80);
    let wires: Vec<_> = (0..200).map(|n| sealed(&mut sealer, &packet(n, 9, &[1]))).collect();
    assert!(opener.open_rtp(&wires[0]).is_ok());
    assert_eq!(opener.open_rtp(&wires[0]), Err(Rejected::Replayed));
    assert!(opener.open_rtp(&wires[100]).is_ok());
    assert!(opener.open_rtp(&wires[37]).is_ok(), "63 back");
    assert_eq!(opener.open_rtp(&wires[37]), Err(Rejected::Replayed));
    assert_eq!(opener.open_rtp(&wires[36]), Err(Rejected::Replayed), "64 back");
    assert!(opener.open_rtp(&wires[199]).is_ok());
    assert_eq!(opener.open_rtp(&wires[100]), Err(Rejected::Replayed));
    let mut report = octets("80C90001 00000009");
    sealer.seal_rtcp(&mut report);
    assert!(opener.open_rtcp(&report).is_ok());
    assert_eq!(opener.open_rtcp(&report), Err(Rejected::Replayed));
}

#[test]
fn sources_are_told_apart_and_few_are_remembered() {
    let (mut sealer, mut opener) = pair(Suite::Sha1Of80);
    for ssrc in 0..MAX_SOURCES as u32 {
        assert!(opener.open_rtp(&sealed(&mut sealer, &packet(1, ssrc, &[1]))).is_ok() || ssrc > 0);
    }
    for forged in 100..10_000 {
        assert_eq!(opener.open_rtp(&packet(1, forged, &[1; 20])), Err(Rejected::Forged));
    }
    assert!(opener.rtp_seen.len() <= MAX_SOURCES);
    let mut third = Sealer::new(Suite::Sha1Of80, &key());
    for ssrc in 200..300 {
        let _ = opener.open_rtp(&sealed(&mut third, &packet(ssrc as u16, ssrc, &[1])));
    }
    assert_eq!(opener.rtp_seen.len(), MAX_SOURCES);
}

#[test]
fn reports_in_the_clear_and_short_ones_are_not_read() {
    let (mut sealer, mut opener) = pair(Suite::Sha1Of80);
    let mut clear = octets("80C90001 00000009 00000001");
    let tag = sealer.rtcp.tag(&clear, &[]);
    clear.extend(&tag[..RTCP_TAG]);
    assert_eq!(opener.open_rtcp(&clear), Err(Rejected::Forged), "authentic, and not encrypted");
    let mut report = octets("80C90001 00000009");
    sealer.seal_rtcp(&mut report);
    for length in 0..report.len() {
        assert!(opener.open_rtcp(&report[..length]).is_err(), "{length} octets");
    }
    assert!(opener.open_rtcp(&report).is_ok());
}

#[test]
fn nothing_shows_a_key() {
    let keys = Keys::new([0x41; Keys::LENGTH]);
    let (sealer, opener) = pair(Suite::Sha1Of32);
    let shown = format!("{:?} {sealer:?} {opener:?}", Protection::Required(keys));
    assert_eq!(
        shown,
        "Required(Keys { of_80: MasterKey(•), of_32: MasterKey(•) }) \
         Sealer(AES_CM_128_HMAC_SHA1_32) Opener(AES_CM_128_HMAC_SHA1_32)"
    );
}

#[test]
fn keys_are_taken_from_the_secret_one_after_the_other() {
    let secret: [u8; Keys::LENGTH] = std::array::from_fn(|n| n as u8);
    let keys = Keys::new(secret);
    assert_eq!(keys.of(Suite::Sha1Of80).expose()[..], secret[..30]);
    assert_eq!(keys.of(Suite::Sha1Of32).expose()[..], secret[30..]);
}

fn suites() -> impl Strategy<Value = Suite> {
    prop_oneof![Just(Suite::Sha1Of80), Just(Suite::Sha1Of32)]
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened_again(
        suite in suites(), sequence in any::<u16>(), ssrc in any::<u32>(),
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let (mut sealer, mut opener) = pair(suite);
        let plain = packet(sequence, ssrc, &payload);
        let wire = sealed(&mut sealer, &plain);
        prop_assert_eq!(opener.open_rtp(&wire), Ok(plain));
        let report = [&octets("80C90001")[..], &ssrc.to_be_bytes(), &payload].concat();
        let mut wire = report.clone();
        sealer.seal_rtcp(&mut wire);
        prop_assert_eq!(opener.open_rtcp(&wire), Ok(report));
    }

    #[test]
    fn one_changed_bit_is_one_packet_less(
        suite in suites(), bit in any::<proptest::sample::Index>(), rtcp in any::<bool>(),
    ) {
        let (mut sealer, mut opener) = pair(suite);
        let mut wire = packet(7, 9, &[3; 30]);
        if rtcp {
            sealer.seal_rtcp(&mut wire);
        } else {
            sealer.seal_rtp(&mut wire);
        }
        let good = wire.clone();
        let bit = bit.index(wire.len() * 8);
        wire[bit / 8] ^= 1 << (bit % 8);
        let mut open = |wire: &[u8]| if rtcp { opener.open_rtcp(wire) } else { opener.open_rtp(wire) };
        prop_assert!(open(&wire).is_err());
        prop_assert!(open(&good).is_ok(), "and nothing has changed");
    }

    #[test]
    fn another_key_or_suite_opens_nothing(suite in suites(), rtcp in any::<bool>()) {
        let mut sealer = Sealer::new(suite, &other_key());
        let (_, mut opener) = pair(suite);
        let mut wire = packet(7, 9, &[3; 30]);
        if rtcp {
            sealer.seal_rtcp(&mut wire);
            prop_assert_eq!(opener.open_rtcp(&wire), Err(Rejected::Forged));
        } else {
            sealer.seal_rtp(&mut wire);
            prop_assert_eq!(opener.open_rtp(&wire), Err(Rejected::Forged));
        }
    }

    #[test]
    fn hostile_bytes_never_panic(datagram in proptest::collection::vec(any::<u8>(), 0..60)) {
        let (mut sealer, mut opener) = pair(Suite::Sha1Of32);
        prop_assert!(opener.open_rtp(&datagram).is_err());
        prop_assert!(opener.open_rtcp(&datagram).is_err());
        sealer.seal_rtp(&mut datagram.clone());
        sealer.seal_rtcp(&mut datagram.clone());
    }
}
