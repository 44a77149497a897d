//! SIP on the wire: the torture messages of RFC 4475 and RFC 5118 and a set of our own, byte for
//! byte; hostile input; and everything we write, read by an independent parser.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where its expectation does"
)]

use std::net::SocketAddr;

use octothorpe::ambient::{Entropy, Timestamp};
use octothorpe::sip::call::{Call, Input, Order, Output, State, Target};
use octothorpe::sip::digest::Credentials;
use octothorpe::sip::frame::{Frame, Framer, Unframed};
use octothorpe::sip::message::{self, Incoming, Malformed, Message};
use octothorpe::sip::{
    Hop, Method, NameAddr, Request, Response, Route, Settings, Uri, Way, stateless,
};
use proptest::prelude::*;

/// Accepted, refused with this status (0: without an answer), or either.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Accept,
    Refuse(u16),
    Either,
}
use Expected::{Accept, Either, Refuse};

/// What RFC 4475, RFC 5118 and `sip-extra/expect.tsv` want of each file.
const CORPUS: [(&str, Expected); 93] = [
    // RFC 4475 § 3.1.1: valid messages.
    ("rfc4475/wsinv", Accept),
    ("rfc4475/intmeth", Accept),
    ("rfc4475/esc01", Accept),
    ("rfc4475/escnull", Accept),
    ("rfc4475/esc02", Accept),
    ("rfc4475/lwsdisp", Accept),
    ("rfc4475/longreq", Accept),
    ("rfc4475/dblreq", Accept),
    ("rfc4475/semiuri", Accept),
    ("rfc4475/transports", Accept),
    ("rfc4475/mpart01", Accept),
    ("rfc4475/unreason", Accept),
    ("rfc4475/noreason", Accept),
    // § 3.1.2: invalid messages.
    ("rfc4475/badinv01", Refuse(400)),
    ("rfc4475/clerr", Refuse(0)),
    ("rfc4475/ncl", Refuse(0)),
    ("rfc4475/scalar02", Refuse(400)),
    // A response: its CSeq is out of range, and nobody is told.
    ("rfc4475/scalarlg", Refuse(0)),
    ("rfc4475/quotbal", Refuse(400)),
    ("rfc4475/ltgtruri", Refuse(0)),
    ("rfc4475/lwsruri", Refuse(0)),
    ("rfc4475/lwsstart", Refuse(0)),
    ("rfc4475/trws", Refuse(0)),
    ("rfc4475/escruri", Refuse(400)),
    // A bad Date or a Contact that is no use to us ends nothing.
    ("rfc4475/baddate", Accept),
    ("rfc4475/regbadct", Accept),
    ("rfc4475/badaspec", Refuse(400)),
    ("rfc4475/baddn", Refuse(0)),
    ("rfc4475/badvers", Refuse(505)),
    ("rfc4475/mismatch01", Refuse(400)),
    ("rfc4475/mismatch02", Refuse(400)),
    ("rfc4475/bigcode", Refuse(0)),
    // § 3.2 to § 3.4: for the transaction, for the application, for compatibility.
    ("rfc4475/badbranch", Refuse(400)),
    ("rfc4475/insuf", Refuse(400)),
    ("rfc4475/unkscm", Accept),
    ("rfc4475/novelsc", Accept),
    ("rfc4475/unksm2", Accept),
    ("rfc4475/bext01", Accept),
    ("rfc4475/invut", Accept),
    ("rfc4475/regaut01", Accept),
    ("rfc4475/multi01", Refuse(400)),
    ("rfc4475/mcl01", Refuse(0)),
    ("rfc4475/bcast", Accept),
    ("rfc4475/zeromf", Accept),
    ("rfc4475/cparam01", Accept),
    ("rfc4475/cparam02", Accept),
    ("rfc4475/regescrt", Accept),
    ("rfc4475/sdp01", Accept),
    ("rfc4475/inv2543", Accept),
    // RFC 5118.
    ("rfc5118/ipv6-good", Accept),
    ("rfc5118/ipv6-bad", Refuse(0)),
    ("rfc5118/port-ambiguous", Accept),
    ("rfc5118/port-unambiguous", Accept),
    ("rfc5118/via-received-param-with-delim", Accept),
    ("rfc5118/via-received-param-no-delim", Accept),
    ("rfc5118/ipv6-in-sdp", Accept),
    ("rfc5118/mult-ip-in-header", Accept),
    ("rfc5118/mult-ip-in-sdp", Accept),
    ("rfc5118/ipv4-mapped-ipv6", Accept),
    ("rfc5118/ipv6-bug-abnf-3-colons", Accept),
    ("rfc5118/ipv6-correct-abnf-2-colons", Accept),
    // Ours.
    ("sip-extra/latin1-display", Accept),
    ("sip-extra/no-content-length-udp", Accept),
    ("sip-extra/compact-headers", Accept),
    ("sip-extra/tel-uri-to", Accept),
    ("sip-extra/tel-uri-ruri", Accept),
    ("sip-extra/folded-record-route", Accept),
    ("sip-extra/multi-via-one-line", Accept),
    ("sip-extra/reason-q850", Accept),
    ("sip-extra/unknown-4xx", Accept),
    ("sip-extra/608-rejected", Accept),
    ("sip-extra/no-reason-no-sp", Either),
    ("sip-extra/empty-header-value", Accept),
    ("sip-extra/sp-before-colon", Accept),
    ("sip-extra/leading-crlf", Accept),
    ("sip-extra/lf-only", Either),
    ("sip-extra/lowercase-version", Accept),
    ("sip-extra/ipv6-via-contact", Accept),
    ("sip-extra/display-with-comma", Accept),
    ("sip-extra/addr-spec-no-brackets", Accept),
    ("sip-extra/multi-challenge", Accept),
    ("sip-extra/long-record-route-9k", Accept),
    ("sip-extra/identity-6k", Accept),
    ("sip-extra/nul-in-header", Either),
    ("sip-extra/contact-star", Accept),
    ("sip-extra/unknown-method-bye2", Accept),
    ("sip-extra/uri-headers-and-params", Accept),
    ("sip-extra/user-with-slash-hash", Accept),
    ("sip-extra/cl-too-big-datagram", Refuse(0)),
    ("sip-extra/cl-smaller-than-body", Accept),
    ("sip-extra/truncated-headers", Refuse(0)),
    ("sip-extra/cseq-overflow", Refuse(0)),
    ("sip-extra/status-099", Refuse(0)),
];

const TRUNK: &str = "192.0.2.7:5060";

fn vector(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/vectors/{name}.dat", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn readable(bytes: &[u8]) -> Message {
    let Ok(Incoming::Message(message)) = message::read(bytes) else {
        panic!("unreadable: {}", String::from_utf8_lossy(bytes));
    };
    *message
}

fn order(display: &str) -> Order {
    let from = NameAddr::new(Uri::sip("+49307654321", "ours.example", None)).display(display);
    Order {
        credentials: Some(Credentials::new("user", "password")),
        ..Order::new(
            Target::new("+49301234567", "trunk.example"),
            vec![Way { local: address("192.0.2.1:5060"), ..way(TRUNK) }],
            from,
        )
    }
}

fn way(text: &str) -> Way {
    Way { hop: Hop::udp(address(text)), local: address(text) }
}

/// A call whose INVITE is out, and that INVITE.
fn live() -> (Call, Message) {
    let mut call =
        Call::new(order("Us"), b"v=0\r\n".to_vec(), Entropy::from_number(7), Settings::default());
    let mut out = Vec::new();
    call.on(Timestamp::from_secs(1), Input::Start, &mut out);
    let invite = sent(&out).first().map(|bytes| readable(bytes)).unwrap();
    (call, invite)
}

fn sent(out: &[Output]) -> Vec<Vec<u8>> {
    let sends = out.iter().filter_map(|output| {
        let Output::Send { bytes, .. } = output else { return None };
        Some(bytes.clone())
    });
    sends.collect()
}

#[test]
fn every_vector_is_judged_as_its_document_says() {
    let mut wrong = Vec::new();
    for (name, expected) in CORPUS {
        let found = message::read(&vector(name));
        let is_right = match (expected, &found) {
            (Accept, Ok(Incoming::Message(_))) | (Either, _) => true,
            (Refuse(status), Err(fault)) => fault.status().unwrap_or(0) == status,
            (Accept | Refuse(_), Ok(_) | Err(_)) => false,
        };
        if !is_right {
            wrong.push(format!("{name}: {expected:?}, but {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_vector_is_left_out() {
    let mut count = 0;
    for folder in ["rfc4475", "rfc5118", "sip-extra"] {
        let path = format!("{}/tests/vectors/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(path).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            if let Some(stem) = file.strip_suffix(".dat") {
                let name = format!("{folder}/{stem}");
                assert!(CORPUS.iter().any(|(known, _)| *known == name), "{name}");
                count += 1;
            }
        }
    }
    assert_eq!(count, CORPUS.len());
}

/// In a stream, only the Content-Length says where a message ends.
#[test]
fn every_vector_is_cut_from_a_stream_by_its_content_length_alone() {
    let mut odd = Vec::new();
    for (name, _) in CORPUS {
        let bytes = vector(name);
        let (found, end) = cut(&[&bytes]);
        let whole = [Frame::Message(bytes)];
        if found != whole || end != Ok(()) {
            odd.push((name, found.len(), end));
        }
    }
    // How many frames come of each of the others, and how the stream goes on.
    let others = [
        // Two messages, a line end between them, and more body than the second says.
        ("rfc4475/dblreq", 3, Err(Unframed::NoLength)),
        ("rfc4475/clerr", 0, Ok(())),
        ("rfc4475/ncl", 0, Err(Unframed::BadLength)),
        ("rfc4475/baddn", 0, Ok(())),
        ("rfc4475/mcl01", 0, Err(Unframed::BadLength)),
        ("rfc4475/inv2543", 0, Err(Unframed::NoLength)),
        ("sip-extra/no-content-length-udp", 0, Err(Unframed::NoLength)),
        ("sip-extra/leading-crlf", 2, Ok(())),
        ("sip-extra/lf-only", 0, Ok(())),
        ("sip-extra/cl-too-big-datagram", 0, Ok(())),
        ("sip-extra/cl-smaller-than-body", 1, Ok(())),
        ("sip-extra/truncated-headers", 0, Ok(())),
    ];
    assert_eq!(odd, others);
}

fn cut(chunks: &[&[u8]]) -> (Vec<Frame>, Result<(), Unframed>) {
    let (mut framer, mut out) = (Framer::default(), Vec::new());
    let end = chunks.iter().try_for_each(|chunk| framer.push(chunk, &mut out));
    (out, end)
}

/// Each as it is, and once more with the lines in front that make it a message of the call.
#[test]
fn no_vector_ends_a_live_call_as_a_stranger_nor_breaks_it_as_its_own() {
    for (name, _) in CORPUS {
        let bytes = vector(name);
        let (mut call, invite) = live();
        let mut out = Vec::new();
        if let Ok(Incoming::Message(message)) = message::read(&bytes) {
            feed(&mut call, &message, &mut out);
            assert!(!out.iter().any(|output| matches!(output, Output::Over(_))), "{name}");
            let _ = stateless::refuse(&message, address(TRUNK), "tag");
        }
        if let Ok(Incoming::Message(message)) = message::read(&adopted(&bytes, &invite)) {
            feed(&mut call, &message, &mut out);
        }
        call.on(Timestamp::from_secs(2), Input::Stop, &mut out);
        for datagram in sent(&out) {
            assert_clean(&datagram);
        }
    }
}

/// Each says that it rings, in words of its own behind ours, and then somebody answers.
#[test]
fn no_vector_as_a_response_of_the_call_keeps_the_answer_from_it() {
    for (name, _) in CORPUS {
        let (mut call, invite) = live();
        let mut out = Vec::new();
        if let Ok(Incoming::Message(message)) = message::read(&as_response(&vector(name), &invite))
        {
            feed(&mut call, &message, &mut out);
        }
        assert!(!out.iter().any(|output| matches!(output, Output::Over(_))), "{name}");
        let contact = Uri::sip("them", "192.0.2.7", None);
        let answer = Response::to(&invite, 200).to_tag("them").contact(&contact).to_bytes();
        feed(&mut call, &readable(&answer), &mut out);
        assert!(matches!(call.state(), State::Up), "{name}: {:?}", call.state());
        sent(&out).iter().for_each(|datagram| assert_clean(datagram));
    }
}

/// What we do with each vector, as [`TABLE`] tells it.
fn table() -> String {
    let mut text = String::from(TABLE_HEAD);
    for (name, _) in CORPUS {
        let bytes = vector(name);
        let datagram = match message::read(&bytes) {
            Ok(Incoming::KeepAlive) => "a keep-alive".to_owned(),
            Ok(Incoming::Message(message)) => format!("taken: {}", message.kind().label()),
            Err(fault) => match fault.status() {
                Some(status) => format!("refused with {status}: {fault}"),
                None => format!("dropped: {fault}"),
            },
        };
        let (mut framer, mut frames) = (Framer::default(), Vec::new());
        let end = framer.push(&bytes, &mut frames);
        let messages = frames.iter().filter(|frame| matches!(frame, Frame::Message(_))).count();
        let stream = match (messages, end, framer.is_amid()) {
            (0, Err(fault), _) => format!("closed: {fault}"),
            (n, Err(fault), _) => format!("{n} taken, then closed: {fault}"),
            (0, Ok(()), _) => "more is waited for".to_owned(),
            (n, Ok(()), false) => format!("{n} taken"),
            (n, Ok(()), true) => format!("{n} taken, more is waited for"),
        };
        let (mut call, invite) = live();
        let mut out = Vec::new();
        let live = match message::read(&as_response(&bytes, &invite)) {
            Ok(Incoming::Message(message)) => {
                feed(&mut call, &message, &mut out);
                let rings = out.iter().any(|output| matches!(output, Output::Alerting { .. }));
                if rings { "it rings" } else { "noted" }
            }
            Ok(Incoming::KeepAlive) | Err(_) => "dropped",
        };
        text.push_str(&format!("| {name} | {datagram} | {stream} | {live} |\n"));
    }
    text
}

const TABLE: &str = "tests/vectors/README.md";

const TABLE_HEAD: &str = "# What we do with each torture message

Written by `tests/wire.rs` from what is done, and held against it by a test: run it with
`OCTOTHORPE_WRITE_TABLE=1` after a change, and read the difference. What the documents want of each, where it
is another thing, and why: the table of deviations in `src/sip/mod.rs`. What is taken here still meets the
gateway's rule that only a trunk is answered where no call is concerned.

- *datagram*: one by itself. *stream*: the same bytes out of TCP or TLS. *our call*: the headers of our INVITE
  in front of it, as a 183 to a live call; none ends it, and each is answered by a phone after that.

| vector | datagram | stream | our call |
|---|---|---|---|
";

#[test]
fn the_table_of_vectors_tells_what_is_done() {
    let path = format!("{}/{TABLE}", env!("CARGO_MANIFEST_DIR"));
    let found = table();
    if std::env::var_os("OCTOTHORPE_WRITE_TABLE").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(written.lines()).find(|(found, written)| found != written);
    assert_eq!(differs, None, "{TABLE} tells otherwise");
    assert_eq!(found.lines().count(), written.lines().count(), "{TABLE} has other rows");
}

/// The message as a 183 to our INVITE: its own lines behind ours.
fn as_response(bytes: &[u8], invite: &Message) -> Vec<u8> {
    let adopted = adopted(bytes, invite);
    let at = adopted.windows(2).position(|pair| pair == b"\r\n").unwrap_or(adopted.len());
    [b"SIP/2.0 183 Session Progress", &adopted[at..]].concat()
}

/// The message with Call-ID, CSeq, From and Via of our INVITE in front of its own.
fn adopted(bytes: &[u8], invite: &Message) -> Vec<u8> {
    let Some(at) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Vec::new() };
    let (first, rest) = bytes.split_at(at + 2);
    let header = |name: &str| format!("{name}: {}\r\n", invite.header(name).unwrap());
    let ours = ["Via", "From", "Call-ID", "CSeq"].map(header).concat();
    [first, ours.as_bytes(), rest].concat()
}

fn feed(call: &mut Call, message: &Message, out: &mut Vec<Output>) {
    call.on(
        Timestamp::from_secs(1),
        Input::Received { from: Hop::udp(address(TRUNK)), message },
        out,
    );
}

#[test]
fn what_would_hold_the_parser_for_seconds_is_refused_before_it() {
    let head = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nTo: <sip:a@b>\r\nFrom: <sip:c@d>;tag=1\r\n\
                Call-ID: x\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n";
    let params: String = (0..9_000).map(|n| format!(";a{n:x}")).collect();
    let in_start = format!("OPTIONS sip:a@b{params} SIP/2.0\r\n{head}\r\n");
    assert!(matches!(message::read(in_start.as_bytes()), Err(Malformed::Oversized)));
    let few: String = (0..40).map(|n| format!(";a{n:x}")).collect();
    let in_short_start = format!("OPTIONS sip:a@b{few} SIP/2.0\r\n{head}\r\n");
    assert!(matches!(message::read(in_short_start.as_bytes()), Err(Malformed::Tangled)));
    let some: String = (0..200).map(|n| format!(";a{n:x}")).collect();
    let in_header = format!("OPTIONS sip:a@b SIP/2.0\r\n{head}Contact: <sip:a@b{some}>\r\n\r\n");
    assert!(matches!(message::read(in_header.as_bytes()), Err(Malformed::Tangled)));
    let folded = some.replace(";a5", "\r\n ;a5");
    let in_fold = format!("OPTIONS sip:a@b SIP/2.0\r\n{head}Contact: <sip:a@b{folded}>\r\n\r\n");
    assert!(matches!(message::read(in_fold.as_bytes()), Err(Malformed::Tangled)));
    let line: String = (0..100).map(|n| format!(";a{n:x}")).collect();
    let lines = format!("Contact: <sip:a@b{line}>\r\n").repeat(6);
    let in_all = format!("OPTIONS sip:a@b SIP/2.0\r\n{head}{lines}\r\n");
    assert!(matches!(message::read(in_all.as_bytes()), Err(Malformed::Tangled)));
    assert!(matches!(message::read(&vec![b'a'; 70_000]), Err(Malformed::Oversized)));
    assert!(matches!(message::read(&vec![b'a'; 30_000]), Err(Malformed::Oversized)));
    assert!(matches!(message::read(b"OPTIONS"), Err(Malformed::Unterminated)));
}

#[test]
fn line_ends_alone_keep_a_nat_open() {
    for bytes in [&b""[..], b"\r\n", b"\r\n\r\n"] {
        assert!(matches!(message::read(bytes), Ok(Incoming::KeepAlive)));
    }
}

#[test]
fn a_200_with_a_name_no_grammar_knows_is_still_an_answer() {
    let (mut call, invite) = live();
    let via = invite.header("Via").unwrap();
    let from = invite.header("From").unwrap();
    let text = format!(
        "SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: {from}\r\nTo: M\u{fc}ller, (A): <sip:a#b@h>;x;;tag=a=b@c;\r\n\
         Call-ID: {}\r\nCSeq: 1 INVITE\r\nContact: n\u{e4}me: <sip:x#y@192.0.2.7:5070;a;a>;\r\n\r\n",
        invite.call_id()
    );
    let mut out = Vec::new();
    feed(&mut call, &readable(text.as_bytes()), &mut out);
    assert!(out.iter().any(|output| matches!(output, Output::Answered { status: 200, .. })));
    let ack = String::from_utf8(sent(&out).remove(0)).unwrap();
    assert!(ack.starts_with("ACK sip:x#y@192.0.2.7:5070;a;a SIP/2.0\r\n"), "{ack}");
    assert!(ack.contains("To: <sip:+49301234567@trunk.example>;tag=a=b@c\r\n"), "{ack}");
}

#[test]
fn twenty_thousand_mutations_break_nothing() {
    let mut entropy = Entropy::from_number(4_475);
    let (mut call, invite) = live();
    let seeds: Vec<Vec<u8>> = CORPUS.iter().map(|(name, _)| vector(name)).collect();
    for round in 0..20_000_usize {
        let mut bytes = seeds[round % seeds.len()].clone();
        if round % 3 == 0 {
            bytes = adopted(&bytes, &invite);
        }
        mutate(&mut bytes, &mut entropy);
        match message::read(&bytes) {
            Ok(Incoming::Message(message)) => {
                look_at(&message);
                let mut out = Vec::new();
                feed(&mut call, &message, &mut out);
                if matches!(call.state(), State::Over(_)) {
                    call = live().0;
                }
                sent(&out).iter().for_each(|datagram| assert_clean(datagram));
                let refused = stateless::refuse(&message, address(TRUNK), "tag");
                refused.iter().for_each(|datagram| assert_clean(datagram));
            }
            Err(fault) => {
                let refused = stateless::refuse_malformed(&fault, address(TRUNK), "tag");
                refused.iter().for_each(|datagram| assert_clean(datagram));
            }
            Ok(Incoming::KeepAlive) => {}
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, entropy: &mut Entropy) {
    const BITS: [&[u8]; 12] =
        [b";", b"\r\n", b"\r\n ", b"\"", b"<", b">", b",", b"%", b"\0", b"\xff", b"=", b"@"];
    for _ in 0..=entropy.below(6) {
        let length = u64::try_from(bytes.len()).unwrap();
        let at = usize::try_from(entropy.below(length.max(1))).unwrap().min(bytes.len());
        let until = (at + usize::try_from(entropy.below(24)).unwrap()).min(bytes.len());
        let piece = bytes[at..until].to_vec();
        match entropy.below(4) {
            0 => drop(bytes.splice(at..until, [])),
            1 => drop(bytes.splice(at..at, piece)),
            2 => {
                let bit = BITS[usize::try_from(entropy.below(12)).unwrap()];
                drop(bytes.splice(at..at, bit.iter().copied()));
            }
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = entropy.bytes::<1>()[0]),
        }
    }
}

/// Every question that can be asked of a message.
fn look_at(message: &Message) {
    let _ = (message.kind(), message.cseq(), message.request_uri(), message.contact_uri());
    let _ = (message.record_route(), message.reason_q850(), message.retry_after());
    let _ = (message.warning(), message.challenges(), message.sdp(), message.content_type());
    let _ = (message.required_options(), message.reply_address(address(TRUNK)));
    let uris = [message.from_uri(), message.to_uri()];
    let _ = uris.map(|uri| uri.map(|uri| (uri.user(), uri.port(), format!("{uri:?}"))));
}

/// No byte below 0x20 but the CR LF of line ends, and no 0x7F, in the head.
fn assert_clean(datagram: &[u8]) {
    let end = datagram.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = &datagram[..end];
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_clean = line.iter().all(|byte| *byte >= 0x20 && *byte != 0x7F);
        assert!(is_clean, "{}", String::from_utf8_lossy(datagram));
        assert!(!line.is_empty() && !line.starts_with(b" "), "a line that could be a fold");
    }
}

fn lines(datagram: &[u8]) -> usize {
    let end = datagram.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    datagram[..end].iter().filter(|byte| **byte == b'\n').count()
}

/// What our call sends in a whole life: INVITE, the answer to a challenge, ACK, CANCEL, BYE and
/// its responses.
fn everything_a_call_says(display: &str) -> Vec<Vec<u8>> {
    let now = Timestamp::from_secs(1);
    let mut said = Vec::new();
    for with_answer in [true, false] {
        let (offer, entropy) = (b"v=0\r\n".to_vec(), Entropy::from_number(7));
        let mut call = Call::new(order(display), offer, entropy, Settings::default());
        let mut out = Vec::new();
        call.on(now, Input::Start, &mut out);
        let first = readable(&sent(&out)[0]);
        let challenge = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256";
        let asks = Response::to(&first, 407).to_tag("g").header("Proxy-Authenticate", challenge);
        feed(&mut call, &readable(&asks.to_bytes()), &mut out);
        let second = readable(sent(&out).last().unwrap());
        feed(&mut call, &readable(&Response::to(&second, 180).to_tag("t").to_bytes()), &mut out);
        if with_answer {
            let contact = Uri::sip("x", "192.0.2.7", None);
            let yes = Response::to(&second, 200).to_tag("t").contact(&contact);
            let yes = yes.header("Record-Route", "<sip:192.0.2.8;lr>");
            feed(&mut call, &readable(&yes.to_bytes()), &mut out);
            for (number, method) in ["OPTIONS", "INFO", "INVITE", "REFER"].iter().enumerate() {
                let method = Method::parse(method).unwrap();
                let us = NameAddr::new(second.from_uri().unwrap().clone());
                let them = NameAddr::new(second.to_uri().unwrap().clone());
                let request = Request::new(method, contact.clone())
                    .via(&way(TRUNK), &format!("z9hG4bK{number}"))
                    .from(&them.tag("t"))
                    .to(&us.tag(second.from_tag().unwrap()))
                    .call_id(call.call_id())
                    .cseq(u32::try_from(number).unwrap() + 1);
                feed(&mut call, &readable(&request.to_bytes()), &mut out);
            }
            call.on(now, Input::Accept { sdp: b"v=0\r\n".to_vec() }, &mut out);
        }
        call.on(now, Input::Stop, &mut out);
        said.extend(sent(&out));
    }
    said
}

#[test]
fn an_independent_parser_reads_everything_a_call_says() {
    use rsip::prelude::*;
    let said = everything_a_call_says("Us");
    let mut methods = Vec::new();
    for bytes in &said {
        let ours = readable(bytes);
        let theirs = rsip::SipMessage::try_from(bytes.as_slice())
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
        assert_eq!(theirs.call_id_header().unwrap().value(), ours.call_id());
        let cseq = theirs.cseq_header().unwrap().typed().unwrap();
        assert_eq!(
            (cseq.seq, cseq.method.to_string()),
            (ours.cseq().0, ours.method().as_str().into())
        );
        let via = theirs.via_header().unwrap().typed().unwrap();
        assert_eq!(via.branch().unwrap().value(), ours.branch());
        let from = theirs.from_header().unwrap().typed().unwrap();
        assert_eq!(from.tag().map(|tag| tag.value().to_owned()).as_deref(), ours.from_tag());
        assert_eq!(theirs.body().as_slice(), ours.body());
        methods.push(ours.method().as_str().to_owned());
    }
    for method in ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "REFER"] {
        assert!(methods.iter().any(|said| said == method), "{method} in {methods:?}");
    }
}

/// Text with everything that could end a line, a value or a quoted string.
fn hostile() -> impl Strategy<Value = String> {
    let bit = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("\r\nEvil: x\r\n\r\n".to_owned()),
        Just("\0\u{7f}\u{1b}\t".to_owned()),
        Just("\u{85}\u{2028}é".to_owned()),
        Just("\"\\<>;,@:%?=".to_owned()),
        "[ -~]{0,12}",
        any::<String>(),
    ];
    prop::collection::vec(bit, 0..5).prop_map(|bits| bits.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_request_has_a_line_that_we_did_not_write(
        text in prop::collection::vec(hostile(), 14),
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let uri = Uri::sip(&text[0], &text[1], Some(5060));
        let address = NameAddr::new(uri.clone()).display(&text[2]).tag(&text[3]);
        let routes: Vec<Route> = Route::read(&text[4]).into_iter().chain([Route::to(uri.clone())]).collect();
        let method = Method::parse(&text[5]).unwrap_or(Method::Invite);
        let request = Request::new(method, uri.clone())
            .via(&way("[::1]:5060"), &text[7])
            .from(&address)
            .to(&address)
            .call_id(&text[8])
            .cseq(1)
            .routes(&routes)
            .contact(&uri)
            .max_forwards(9)
            .header(&text[9], &text[10])
            .header("X-Fixed", &text[11])
            .body(&text[12], &body);
        let bytes = request.to_bytes();
        assert_clean(&bytes);
        prop_assert!(bytes.ends_with(&body));
        let is_name = |c: &char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(*c);
        let name = text[9].chars().filter(is_name).collect::<String>().to_ascii_lowercase();
        let is_written = !["", "l", "content-length"].contains(&name.as_str());
        prop_assert_eq!(lines(&bytes), 11 + routes.len() + usize::from(is_written));
    }

    #[test]
    fn no_response_has_a_line_that_we_did_not_write(
        text in prop::collection::vec(hostile(), 6),
        status in any::<u16>(),
    ) {
        let (_, invite) = live();
        let bytes = Response::to(&invite, status)
            .received_from("[::1]:9".parse().unwrap())
            .to_tag(&text[0])
            .contact(&Uri::sip(&text[1], &text[2], None))
            .header("X-Fixed", &text[3])
            .body(&text[4], text[5].as_bytes())
            .to_bytes();
        assert_clean(&bytes);
        prop_assert_eq!(lines(&bytes), 9);
    }

    #[test]
    fn no_display_name_of_a_call_reaches_another_line(display in hostile()) {
        for bytes in everything_a_call_says(&display) {
            assert_clean(&bytes);
            readable(&bytes);
        }
    }

    #[test]
    fn however_a_stream_comes_it_says_the_same(
        names in prop::collection::vec(prop::sample::select(&CORPUS[..]), 0..5),
        line_ends in prop::collection::vec(0_usize..3, 5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let messages = |frames: Vec<Frame>| {
            frames.into_iter().filter(|it| matches!(it, Frame::Message(_))).collect::<Vec<_>>()
        };
        let mut stream = Vec::new();
        for ((name, _), count) in names.iter().zip(line_ends) {
            stream.extend(b"\r\n".repeat(count));
            stream.extend(vector(name));
        }
        let (whole, end) = cut(&[&stream]);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let (pieces, piecewise_end) = cut(&chunks);
        prop_assert_eq!(messages(whole), messages(pieces));
        prop_assert_eq!(end, piecewise_end);
    }

    #[test]
    fn nothing_that_is_read_breaks_anything(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        if let Ok(Incoming::Message(message)) = message::read(&bytes) {
            look_at(&message);
        }
    }
}
