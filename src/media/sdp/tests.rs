//! Offers and answers as phones and trunks write them.

use proptest::prelude::*;

use super::*;

fn origin(local: &str) -> Origin {
    Origin { id: 4_711, version: 2, local: local.parse().expect("an address") }
}

fn answered(text: &str) -> Agreed {
    read_answer(text.as_bytes(), &Codec::USUAL, &Protection::Off).expect("it is usable")
}

fn refused(text: &str) -> Unusable {
    read_answer(text.as_bytes(), &Codec::USUAL, &Protection::Off).expect_err("it is unusable")
}

fn reply(offer: &str) -> (Vec<String>, Agreed) {
    let (text, agreed) =
        answer(offer.as_bytes(), origin("192.0.2.1:4000"), &Codec::USUAL, &Protection::Off)
            .expect("it is usable");
    let text = String::from_utf8(text).expect("we write ASCII");
    assert!(text.ends_with("\r\n"));
    (text.lines().map(str::to_owned).collect(), agreed)
}

const PLAIN: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=x\r\nc=IN IP4 198.51.100.7\r\n\
    t=0 0\r\nm=audio 5004 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

#[test]
fn our_offer_is_what_it_is_said_to_be() {
    let text = String::from_utf8(offer(origin("192.0.2.1:4000"), &Codec::USUAL, &Protection::Off))
        .expect("ASCII");
    assert_eq!(
        text,
        "v=0\r\no=- 4711 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    );
    let text =
        String::from_utf8(offer(origin("[2001:db8::1]:4000"), &Codec::USUAL, &Protection::Off))
            .expect("ASCII");
    assert!(text.contains("c=IN IP6 2001:db8::1\r\n"), "{text}");
}

#[test]
fn g722_is_offered_and_taken_where_that_is_wanted() {
    let codecs = [Codec::PCMA, Codec::G722];
    let ours = offer(origin("192.0.2.1:4000"), &codecs, &Protection::Off);
    let text = String::from_utf8(ours.clone()).expect("ASCII");
    // RFC 3551, Section 4.5.2: "the RTP clock rate for the G722 payload format is 8,000 Hz".
    let lines = "m=audio 4000 RTP/AVP 8 9 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\n\
        a=rtpmap:101 telephone-event/8000\r\n";
    assert!(text.contains(lines), "{text}");
    // Its number needs no rtpmap.
    for answer in [PLAIN.replace("RTP/AVP 0", "RTP/AVP 9"), PLAIN.replace("0 PCMU", "9 g722")] {
        let answer = answer.replace("RTP/AVP 0", "RTP/AVP 9");
        let agreed = read_answer(answer.as_bytes(), &codecs, &Protection::Off).expect("usable");
        assert_eq!((agreed.codec, agreed.payload_type), (Codec::G722, 9));
        assert_eq!(agreed.meaning(101), Some(Format::Events));
        assert_eq!(refused(&answer), Unusable::NoCommonCodec, "it was not offered");
    }
    let (_, agreed) =
        answer(&ours, origin("192.0.2.2:6000"), &[Codec::G722], &Protection::Off).expect("usable");
    assert_eq!((agreed.codec, agreed.accepts[0]), (Codec::G722, (9, Format::Audio(Codec::G722))));
}

#[test]
fn a_plain_answer_is_read() {
    let agreed = answered(PLAIN);
    assert_eq!(agreed.remote, Some("198.51.100.7:5004".parse().expect("an address")));
    assert_eq!((agreed.codec, agreed.payload_type, agreed.events), (Codec::PCMU, 0, Some(101)));
    assert_eq!((agreed.packet_millis, agreed.direction), (Some(20), Direction::SendRecv));
    assert_eq!(agreed.meaning(101), Some(Format::Events));
    assert_eq!(agreed.meaning(8), None);
}

#[test]
fn the_first_codec_of_the_answer_is_the_one_we_send() {
    let both = PLAIN.replace("RTP/AVP 0 101", "RTP/AVP 8 0 101");
    let agreed = answered(&both);
    assert_eq!((agreed.codec, agreed.payload_type), (Codec::PCMA, 8));
    assert_eq!(agreed.meaning(0), Some(Format::Audio(Codec::PCMU)));
    assert_eq!(agreed.meaning(8), Some(Format::Audio(Codec::PCMA)));
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
    assert_eq!(agreed.codec, Codec::PCMA);
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
    assert_eq!((agreed.codec, agreed.payload_type), (Codec::PCMA, 97));
    assert_eq!(agreed.meaning(8), Some(Format::Audio(Codec::PCMA)));
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
    assert_eq!(refused(&PLAIN.replace("RTP/AVP", "UDP/TLS/RTP/SAVP")), Unusable::Profile);
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
    assert!(read_answer(&latin1, &Codec::USUAL, &Protection::Off).is_ok());
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
    assert_eq!((agreed.codec, agreed.events, agreed.meaning(0)), (Codec::PCMA, Some(97), None));
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
    let ours = offer(origin("[2001:db8::1]:4000"), &Codec::USUAL, &Protection::Off);
    let (text, callee) =
        answer(&ours, origin("[2001:db8::2]:6000"), &Codec::USUAL, &Protection::Off)
            .expect("usable");
    let caller = read_answer(&text, &Codec::USUAL, &Protection::Off).expect("usable");
    assert_eq!(caller.remote, Some("[2001:db8::2]:6000".parse().expect("an address")));
    assert_eq!(callee.remote, Some("[2001:db8::1]:4000".parse().expect("an address")));
    assert_eq!((caller.codec, caller.events), (callee.codec, callee.events));
}

const KEY: &str = "inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";
const LONG: &str = "AES_CM_128_HMAC_SHA1_80";
const SHORT: &str = "AES_CM_128_HMAC_SHA1_32";

fn keys() -> Keys {
    Keys::new(std::array::from_fn(|n| n as u8))
}

fn preferred() -> Protection {
    Protection::Preferred(keys())
}

fn required() -> Protection {
    Protection::Required(keys())
}

/// A description with this profile and these lines of `a=crypto`.
fn with(profile: &str, cryptos: &[&str]) -> String {
    let lines: String = cryptos.iter().map(|it| format!("a=crypto:{it}\r\n")).collect();
    PLAIN.replace("RTP/AVP", profile) + &lines
}

/// Our own two lines.
fn our_lines() -> String {
    let mut text = String::new();
    sdes::write(&mut text, 1, Suite::Sha1Of80, keys().of(Suite::Sha1Of80));
    sdes::write(&mut text, 2, Suite::Sha1Of32, keys().of(Suite::Sha1Of32));
    text
}

#[test]
fn keys_are_offered_in_the_profile_that_the_other_side_can_take() {
    let origin = origin("192.0.2.1:4000");
    let plain = String::from_utf8(offer(origin, &Codec::USUAL, &Protection::Off)).expect("ASCII");
    let preferred = String::from_utf8(offer(origin, &Codec::USUAL, &preferred())).expect("ASCII");
    let required = String::from_utf8(offer(origin, &Codec::USUAL, &required())).expect("ASCII");
    assert_eq!(preferred, plain.clone() + &our_lines());
    assert_eq!(required, plain.replace("RTP/AVP", "RTP/SAVP") + &our_lines());
    assert_eq!(
        our_lines(),
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\r\n\
         a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:Hh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7\r\n"
    );
}

#[test]
fn an_answer_says_whether_and_how_it_is_encrypted() {
    use sdes::Fault;
    let line = |tag: u32, suite: &str, rest: &str| format!("{tag} {suite} {KEY}{rest}");
    let (long, short) = (line(1, LONG, ""), line(2, SHORT, "|2^31"));
    let (crossed, third) = (line(2, LONG, ""), line(3, SHORT, ""));
    let (mki, open) = (line(1, LONG, "|2^31|1:1"), line(1, LONG, " UNENCRYPTED_SRTP"));
    let cut = long[..long.len() - 4].to_owned();
    let ours = our_lines();
    let echo = ours.lines().next().and_then(|it| it.strip_prefix("a=crypto:")).expect("a line");
    let fault = |fault| Err(Unusable::Crypto(fault));
    let [long, short, third, open] = [&*long, &*short, &*third, &*open];
    let [crossed, mki, cut] = [&*crossed, &*mki, &*cut];
    let (of_80, of_32) = (Ok(Some(Suite::Sha1Of80)), Ok(Some(Suite::Sha1Of32)));
    let (off, preferred, required) = (Protection::Off, preferred(), required());
    for (protection, profile, cryptos, expected) in [
        (&off, "RTP/AVP", vec![], Ok(None)),
        (&off, "RTP/AVP", vec![long], Ok(None)),
        (&off, "RTP/SAVP", vec![long], Err(Unusable::Encrypted)),
        (&preferred, "RTP/AVP", vec![], Ok(None)),
        (&preferred, "RTP/AVP", vec![long], of_80),
        (&preferred, "RTP/SAVP", vec![short], of_32),
        (&preferred, "RTP/SAVPF", vec![short], of_32),
        (&preferred, "RTP/SAVP", vec![], fault(Fault::Missing)),
        (&preferred, "RTP/AVP", vec![third], fault(Fault::NotOffered)),
        (&preferred, "RTP/AVP", vec![open], fault(Fault::Parameter)),
        (&preferred, "RTP/AVP", vec![echo], fault(Fault::Echo)),
        (&required, "RTP/AVP", vec![], Err(Unusable::Clear)),
        (&required, "RTP/AVP", vec![long], of_80),
        (&required, "RTP/SAVP", vec![long], of_80),
        (&required, "rtp/savp", vec![short], of_32),
        (&required, "RTP/SAVP", vec![mki, short], of_32),
        (&required, "RTP/SAVP", vec![], fault(Fault::Missing)),
        (&required, "RTP/SAVP", vec![crossed], fault(Fault::NotOffered)),
        (&required, "RTP/SAVP", vec![mki], fault(Fault::Mki)),
        (&required, "RTP/SAVP", vec![cut], fault(Fault::Key)),
        (&required, "RTP/SAVP", vec![open], fault(Fault::Parameter)),
        (&required, "RTP/SAVP", vec![echo], fault(Fault::Echo)),
        (&required, "RTP/SAVP", vec!["1"], fault(Fault::Malformed)),
        (&required, "UDP/TLS/RTP/SAVP", vec![long], Err(Unusable::Profile)),
    ] {
        let text = with(profile, &cryptos);
        let read = read_answer(text.as_bytes(), &Codec::USUAL, protection);
        let suite = read.map(|agreed| agreed.crypto.map(|crypto| crypto.suite));
        assert_eq!(suite, expected, "{protection:?} {text}");
    }
}

#[test]
fn an_offer_is_answered_with_our_own_key_and_their_tag() {
    let answered = |text: &str, protection: &Protection| {
        let (text, agreed) =
            answer(text.as_bytes(), origin("192.0.2.1:4000"), &Codec::USUAL, protection)?;
        let text = String::from_utf8(text).expect("ASCII");
        let media: Vec<_> = text.lines().filter(|line| line.starts_with("m=")).collect();
        let crypto: Vec<_> = text.lines().filter(|line| line.starts_with("a=crypto")).collect();
        assert_eq!(crypto.len(), usize::from(agreed.crypto.is_some()));
        let tags = crypto.iter().filter_map(|line| Some(line.split_once(' ')?.0));
        Ok::<_, Unusable>((media.join(" "), tags.collect::<Vec<_>>().join(" "), agreed.crypto))
    };
    let lines = [&*format!("1 AEAD_AES_128_GCM {KEY}"), &*format!("7 {SHORT} {KEY}|2^31")];
    for (protection, profile) in [
        (required(), "RTP/SAVP"),
        (required(), "RTP/AVP"),
        (preferred(), "RTP/AVP"),
        (preferred(), "RTP/SAVP"),
    ] {
        let (media, tag, crypto) = answered(&with(profile, &lines), &protection).expect("usable");
        let crypto = crypto.expect("it is encrypted");
        assert_eq!((media, &*tag), (format!("m=audio 4000 {profile} 0 101"), "a=crypto:7"));
        assert_eq!(crypto.ours, *keys().of(Suite::Sha1Of32));
        assert_ne!(crypto.ours, crypto.theirs);
    }
    let alone = &lines[..1];
    let in_clear = answered(&with("RTP/AVP", alone), &preferred()).expect("usable");
    assert_eq!(in_clear.2, None, "whoever offers keys in RTP/AVP takes an answer without");
    let refused =
        |text: &str, protection: &Protection| answered(text, protection).expect_err("unusable");
    let suite = Unusable::Crypto(sdes::Fault::Suite);
    assert_eq!(refused(&with("RTP/SAVP", alone), &preferred()), suite);
    assert_eq!(refused(&with("RTP/AVP", alone), &required()), suite);
    assert_eq!(refused(PLAIN, &required()), Unusable::Clear);
    assert_eq!(refused(&with("RTP/SAVP", &lines), &Protection::Off), Unusable::Encrypted);
    // One line with keys and one without, as some phones offer: the first that can be taken.
    let both = with("RTP/SAVP", &lines) + "m=audio 5006 RTP/AVP 0\r\n";
    let media = |protection: &Protection| answered(&both, protection).expect("usable").0;
    assert_eq!(media(&preferred()), "m=audio 4000 RTP/SAVP 0 101 m=audio 0 RTP/AVP 0");
    assert_eq!(media(&Protection::Off), "m=audio 0 RTP/SAVP 0 m=audio 4000 RTP/AVP 0");
}

#[test]
fn a_description_shows_no_key() {
    let text = with("RTP/SAVP", &[&format!("1 {LONG} {KEY}")]);
    let shown =
        format!("{:?}", read_answer(text.as_bytes(), &Codec::USUAL, &required()).expect("usable"));
    assert!(!shown.contains("PS1u") && shown.contains("MasterKey(•)"), "{shown}");
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(sdp in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_answer(&sdp, &Codec::USUAL, &Protection::Off);
        let _ = answer(&sdp, origin("192.0.2.1:4000"), &Codec::USUAL, &preferred());
    }

    #[test]
    fn hostile_lines_never_panic_and_never_forge_lines(
        lines in proptest::collection::vec("(m=audio|m=|c=IN IP4|a=rtpmap:|a=ptime:|a=crypto:1 |o=)[ -~é]{0,40}", 0..30),
    ) {
        let sdp = format!("{PLAIN}{}", lines.join("\n"));
        let _ = read_answer(sdp.as_bytes(), &Codec::USUAL, &Protection::Off);
        if let Ok((text, _)) = answer(sdp.as_bytes(), origin("192.0.2.1:4000"), &Codec::USUAL, &Protection::Off) {
            let text = String::from_utf8(text).expect("we write UTF-8");
            let asked = lines.iter().filter(|l| l.starts_with("m=")).count() + 1;
            prop_assert_eq!(text.lines().filter(|l| l.starts_with("m=")).count(), asked);
        }
    }
}
