//! Offers and answers as phones and trunks write them.

use proptest::prelude::*;

use super::*;

fn origin(local: &str) -> Origin {
    Origin { id: 4_711, version: 2, local: local.parse().expect("an address") }
}

fn answered(text: &str) -> Agreed {
    read_answer(text.as_bytes()).expect("it is usable")
}

fn refused(text: &str) -> Unusable {
    read_answer(text.as_bytes()).expect_err("it is unusable")
}

fn reply(offer: &str) -> (Vec<String>, Agreed) {
    let (text, agreed) = answer(offer.as_bytes(), origin("192.0.2.1:4000")).expect("it is usable");
    let text = String::from_utf8(text).expect("we write ASCII");
    assert!(text.ends_with("\r\n"));
    (text.lines().map(str::to_owned).collect(), agreed)
}

const PLAIN: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=x\r\nc=IN IP4 198.51.100.7\r\n\
    t=0 0\r\nm=audio 5004 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

#[test]
fn our_offer_is_what_it_is_said_to_be() {
    let text = String::from_utf8(offer(origin("192.0.2.1:4000"))).expect("ASCII");
    assert_eq!(
        text,
        "v=0\r\no=- 4711 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    );
    let text = String::from_utf8(offer(origin("[2001:db8::1]:4000"))).expect("ASCII");
    assert!(text.contains("c=IN IP6 2001:db8::1\r\n"), "{text}");
}

#[test]
fn a_plain_answer_is_read() {
    let agreed = answered(PLAIN);
    assert_eq!(agreed.remote, Some("198.51.100.7:5004".parse().expect("an address")));
    assert_eq!((agreed.law, agreed.payload_type, agreed.events), (Law::Ulaw, 0, Some(101)));
    assert_eq!((agreed.packet_millis, agreed.direction), (Some(20), Direction::SendRecv));
    assert_eq!(agreed.meaning(101), Some(Format::Events));
    assert_eq!(agreed.meaning(8), None);
}

#[test]
fn the_first_codec_of_the_answer_is_the_one_we_send() {
    let both = PLAIN.replace("RTP/AVP 0 101", "RTP/AVP 8 0 101");
    let agreed = answered(&both);
    assert_eq!((agreed.law, agreed.payload_type), (Law::Alaw, 8));
    assert_eq!(agreed.meaning(0), Some(Format::Audio(Law::Ulaw)));
    assert_eq!(agreed.meaning(8), Some(Format::Audio(Law::Alaw)));
}

#[test]
fn telephone_events_may_come_under_another_number() {
    let agreed = answered(&PLAIN.replace("101", "96"));
    assert_eq!(agreed.events, Some(96));
    assert_eq!(agreed.meaning(96), Some(Format::Events));
    assert_eq!(agreed.meaning(101), Some(Format::Events));
}

#[test]
fn our_number_with_another_meaning_in_the_answer_is_not_ours() {
    let text = PLAIN.replace("101", "96").replace("RTP/AVP 0 96", "RTP/AVP 0 96 101");
    let text = text.replace("a=ptime", "a=rtpmap:101 opus/48000/2\r\na=ptime");
    assert_eq!(answered(&text).meaning(101), None);
}

#[test]
fn an_answer_without_telephone_events_has_none() {
    let agreed = answered("c=IN IP4 198.51.100.7\nm=audio 5004 RTP/AVP 8\n");
    assert_eq!((agreed.events, agreed.meaning(101)), (None, None));
    assert_eq!(agreed.law, Law::Alaw);
}

#[test]
fn telephone_events_on_another_clock_are_not_ours() {
    let agreed = answered(&PLAIN.replace("telephone-event/8000", "telephone-event/48000"));
    assert_eq!(agreed.events, None);
}

#[test]
fn a_dynamic_number_may_stand_for_g711() {
    let agreed =
        answered("c=IN IP4 198.51.100.7\nm=audio 5004 RTP/AVP 97\na=rtpmap:97 pcma/8000/1\n");
    assert_eq!((agreed.law, agreed.payload_type), (Law::Alaw, 97));
    assert_eq!(agreed.meaning(8), Some(Format::Audio(Law::Alaw)));
}

#[test]
fn port_zero_is_a_refusal() {
    assert_eq!(refused(&PLAIN.replace("5004", "0")), Unusable::PortZero);
}

#[test]
fn what_cannot_be_used_says_why() {
    assert_eq!(refused(""), Unusable::NoAudio);
    assert_eq!(refused("c=IN IP4 198.51.100.7\nm=video 5004 RTP/AVP 31\n"), Unusable::NoAudio);
    assert_eq!(refused(&PLAIN.replace("c=IN IP4 198.51.100.7\r\n", "")), Unusable::NoAddress);
    assert_eq!(
        refused(&PLAIN.replace("c=IN IP4 198.51.100.7", "c=IN IP4 a.example")),
        Unusable::NoAddress
    );
    assert_eq!(
        refused(&PLAIN.replace("c=IN IP4 198.51.100.7", "c=IN IP4 224.2.1.1/127")),
        Unusable::NoAddress
    );
    assert_eq!(refused(&PLAIN.replace("RTP/AVP", "RTP/SAVP")), Unusable::Profile);
    assert_eq!(
        refused("c=IN IP4 198.51.100.7\nm=audio 5004 RTP/AVP 9 101\n"),
        Unusable::NoCommonCodec
    );
    assert_eq!(refused(&"x".repeat(MAX_LENGTH + 1)), Unusable::TooLong);
    assert_eq!(refused(&"m=audio 1 RTP/AVP 0\n".repeat(21)), Unusable::TooManyMedia);
}

#[test]
fn hold_is_read_in_each_of_its_forms() {
    for (theirs, ours) in [
        ("sendonly", Direction::RecvOnly),
        ("inactive", Direction::Inactive),
        ("recvonly", Direction::SendOnly),
    ] {
        let agreed = answered(&PLAIN.replace("sendrecv", theirs));
        assert_eq!(agreed.direction, ours);
        assert!(agreed.remote.is_some());
    }
    assert_eq!(answered(&PLAIN.replace("IN IP4 198.51.100.7", "IN IP4 0.0.0.0")).remote, None);
}

#[test]
fn what_the_media_says_goes_before_what_the_session_says() {
    let text = "c=IN IP4 198.51.100.7\na=inactive\nm=audio 5004 RTP/AVP 0\n";
    assert_eq!(answered(text).direction, Direction::Inactive);
    let text = format!("{text}c=IN IP6 2001:db8::9\na=sendrecv\n");
    let agreed = answered(&text);
    assert_eq!(agreed.direction, Direction::SendRecv);
    assert_eq!(agreed.remote, Some("[2001:db8::9]:5004".parse().expect("an address")));
}

#[test]
fn sloppy_writing_is_read() {
    let agreed = answered(
        "o=root 99999999999999999999999 x IN IP4 me\n c=IN  IP4   198.51.100.7 \n\
         m=audio  5004/2  rtp/avp  0  101 \na=rtpmap:101  Telephone-Event/8000 \na=Ptime:30\n\
         a=ptime:30\na=SENDONLY",
    );
    assert_eq!(agreed.remote, Some("198.51.100.7:5004".parse().expect("an address")));
    assert_eq!((agreed.events, agreed.packet_millis), (Some(101), Some(30)));
    assert_eq!(agreed.direction, Direction::RecvOnly);
    let mut latin1 = b"s=\xfcber\n".to_vec();
    latin1.extend(PLAIN.as_bytes());
    assert!(read_answer(&latin1).is_ok());
}

#[test]
fn an_offer_is_answered_line_by_line_with_one_codec() {
    let (lines, agreed) = reply(
        "c=IN IP4 198.51.100.7\nm=video 6000 RTP/AVP 31\nm=audio 5004 RTP/AVP 9 8 0 97\n\
         a=rtpmap:97 telephone-event/8000\nm=audio 5006 RTP/AVP 0\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n",
    );
    let media: Vec<&str> =
        lines.iter().filter(|l| l.starts_with("m=")).map(String::as_str).collect();
    assert_eq!(
        media,
        [
            "m=video 0 RTP/AVP 31",
            "m=audio 4000 RTP/AVP 8 97",
            "m=audio 0 RTP/AVP 0",
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        ]
    );
    assert!(lines.contains(&"o=- 4711 2 IN IP4 192.0.2.1".to_owned()));
    assert!(lines.contains(&"a=fmtp:97 0-15".to_owned()));
    assert_eq!((agreed.law, agreed.events, agreed.meaning(0)), (Law::Alaw, Some(97), None));
    assert_eq!(agreed.remote.map(|a| a.port()), Some(5_004));
}

#[test]
fn words_that_could_not_be_words_are_not_given_back() {
    let (lines, _) = reply(&format!("{PLAIN}m=\nm=im\u{2028}age 1\n"));
    assert_eq!(lines[lines.len() - 2..], ["m=- 0 - 0", "m=- 0 - 0"]);
}

#[test]
fn the_answer_mirrors_the_direction() {
    for (theirs, ours) in [
        ("sendrecv", "a=sendrecv"),
        ("sendonly", "a=recvonly"),
        ("recvonly", "a=sendonly"),
        ("inactive", "a=inactive"),
    ] {
        let (lines, _) = reply(&PLAIN.replace("sendrecv", theirs));
        assert_eq!(lines.last().map(String::as_str), Some(ours));
    }
}

#[test]
fn our_own_offer_can_be_answered_by_us() {
    let ours = offer(origin("[2001:db8::1]:4000"));
    let (text, callee) = answer(&ours, origin("[2001:db8::2]:6000")).expect("usable");
    let caller = read_answer(&text).expect("usable");
    assert_eq!(caller.remote, Some("[2001:db8::2]:6000".parse().expect("an address")));
    assert_eq!(callee.remote, Some("[2001:db8::1]:4000".parse().expect("an address")));
    assert_eq!((caller.law, caller.events), (callee.law, callee.events));
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(sdp in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_answer(&sdp);
        let _ = answer(&sdp, origin("192.0.2.1:4000"));
    }

    #[test]
    fn hostile_lines_never_panic_and_never_forge_lines(
        lines in proptest::collection::vec("(m=audio|m=|c=IN IP4|a=rtpmap:|a=ptime:|o=)[ -~é]{0,40}", 0..30),
    ) {
        let sdp = format!("{PLAIN}{}", lines.join("\n"));
        let _ = read_answer(sdp.as_bytes());
        if let Ok((text, _)) = answer(sdp.as_bytes(), origin("192.0.2.1:4000")) {
            let text = String::from_utf8(text).expect("we write UTF-8");
            let asked = lines.iter().filter(|l| l.starts_with("m=")).count() + 1;
            prop_assert_eq!(text.lines().filter(|l| l.starts_with("m=")).count(), asked);
        }
    }
}
