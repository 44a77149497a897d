//! Readers: whatever they are given, they read it or they do not.

use std::f64::consts::TAU;
use std::mem::discriminant;
use std::net::SocketAddr;
use std::time::Duration;

use octothorpe::ambient::{Entropy, Timestamp};
use octothorpe::media::codec::Decoder;
use octothorpe::media::sdp::{self, Origin};
use octothorpe::media::{Codec, Digit, MediaSession, Output, Payload, Protection, Srtp, tones};
use octothorpe::sip::digest::{Authentication, Credentials};
use octothorpe::sip::frame::{Frame, Framer};
use octothorpe::sip::message::{self, Incoming, Message};
use octothorpe::sip::{
    Dialog, Hop, Kind, Method, NameAddr, Request, Response, Route, Transport, Uri, Way, dialog,
    stateless,
};

use crate::Trace;

/// Where everything comes from.
pub(crate) const TRUNK: &str = "192.0.2.7:5060";

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn way(transport: Transport) -> Way {
    let hop = Hop { transport, address: address(TRUNK) };
    Way { hop, local: address("192.0.2.1:5060") }
}

/// A datagram, and the answer to it.
pub(crate) fn message(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    trace.saw(message::call_id_in(bytes).is_some());
    match message::read(bytes) {
        Ok(Incoming::KeepAlive) => {}
        Ok(Incoming::Message(message)) => {
            look_at(&message, &mut trace);
            let answer = stateless::refuse(&message, address(TRUNK), "tag");
            trace.saw(answer.is_some());
            answer.iter().for_each(|answer| assert_clean(answer));
        }
        Err(fault) => {
            trace.saw((discriminant(&fault), fault.status()));
            let answer = stateless::refuse_malformed(&fault, address(TRUNK), "tag");
            trace.saw(answer.is_some());
            answer.iter().for_each(|answer| assert_clean(answer));
        }
    }
    trace
}

/// Asks a message everything that can be asked.
fn look_at(message: &Message, trace: &mut Trace) {
    match message.kind() {
        Kind::Request { .. } => trace.saw(message.kind().label()),
        Kind::Response { status } => trace.saw(status / 100),
    }
    let tags = (message.from_tag().is_some(), message.to_tag().is_some());
    let found =
        (message.reason_q850().is_some(), message.retry_after().is_some(), message.warning());
    let lists =
        (message.record_route().len(), message.challenges().len(), message.required_options());
    trace.saw((tags, found, lists.0.min(9), lists.1.min(9), lists.2.len().min(9)));
    trace.saw((
        message.sdp().is_some(),
        message.content_type().is_some(),
        message.branch().is_empty(),
    ));
    let hop = message.reply_hop(Hop::udp(address(TRUNK)));
    trace.saw(hop.address == address(TRUNK));
    let _ = (message.cseq(), message.sent_by(), message.body(), message.call_id());
    let contact = message.contact_uri();
    for uri in
        [message.request_uri().as_ref(), message.from_uri(), message.to_uri(), contact.as_ref()]
    {
        trace.saw(uri.map(|uri| (uri.scheme().len(), uri.port().is_some(), uri.host().is_empty())));
        trace
            .saw(uri.map(|uri| (uri.user().len().min(3), uri.param("lr"), uri.param("transport"))));
    }
}

/// A stream that comes in pieces: their length is the first byte. Where they are cut changes nothing.
pub(crate) fn stream(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    let (size, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let frames = |size: usize| {
        let (mut framer, mut out) = (Framer::default(), Vec::new());
        let end = bytes.chunks(size.max(1)).try_for_each(|chunk| framer.push(chunk, &mut out));
        // How many signs of life a row of line ends is depends on when it comes.
        out.retain(|frame| matches!(frame, Frame::Message(_)));
        (out, end, framer.is_amid())
    };
    let (cut, end, is_amid) = frames(usize::from(*size) * 8 + 1);
    let (whole, whole_end, _) = frames(bytes.len());
    assert_eq!((&cut, end), (&whole, whole_end), "it depends on the pieces");
    trace.saw((cut.len().min(9), end.err().map(|end| discriminant(&end)), is_amid));
    for frame in cut {
        if let Frame::Message(bytes) = frame {
            trace.saw(message::read(&bytes).is_ok());
        }
    }
    trace
}

/// A URI, a name and words, as we would write them.
pub(crate) fn uri(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('|');
    let mut part = || parts.next().unwrap_or_default();
    let (user, host, name, tag, param) = (part(), part(), part(), part(), part());
    let uri = Uri::sip(user, host, Some(5070)).transport(Transport::Tls);
    trace.saw((
        uri.host().len().min(9),
        uri.user().len().min(9),
        uri.port(),
        uri.param(param).is_some(),
    ));
    let from = NameAddr::new(uri.clone().phone()).display(name).tag(tag);
    let route = Route::read(&text);
    trace.saw(route.as_ref().map(|route| (route.is_loose(), route.uri().port().is_some())));
    let method = Method::parse(tag).unwrap_or(Method::Options);
    let request = Request::new(method, uri.clone())
        .via(&way(Transport::Udp), "z9hG4bKfuzz")
        .from(&from)
        .to(&NameAddr::new(Uri::sip("us", "h", None)))
        .call_id(param)
        .cseq(7)
        .routes(&route.into_iter().collect::<Vec<_>>())
        .contact(&uri)
        .header("X-Fuzz", &text)
        .body("application/sdp", bytes)
        .to_bytes();
    assert_clean(&request);
    trace.saw(message::read(&request).is_ok());
    trace
}

/// Via, Record-Route and Contact, and what we send by them.
pub(crate) fn routes(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    let text = String::from_utf8_lossy(bytes);
    let line = text.replace(['\r', '\n'], " ");
    let mut parts = line.splitn(3, '|');
    let mut part = || parts.next().unwrap_or_default();
    let (via, record_route, contact) = (part(), part(), part());
    let head = format!(
        "Record-Route: {record_route}\r\nContact: {contact}\r\nFrom: <sip:us@h>;tag=us\r\n\
         To: <sip:them@h>;tag=them\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nMax-Forwards: 9\r\n\r\n"
    );
    let request = format!("INVITE sip:us@h SIP/2.0\r\nVia: {via}\r\n{head}");
    if let Ok(Incoming::Message(message)) = message::read(request.as_bytes()) {
        look_at(&message, &mut trace);
        let answer =
            Response::to(&message, 200).received_from(address(TRUNK)).to_tag("t").to_bytes();
        readable(&answer);
    }
    let response = format!("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1, {via}\r\n{head}");
    if let Ok(Incoming::Message(message)) = message::read(response.as_bytes()) {
        look_at(&message, &mut trace);
        let us = NameAddr::new(Uri::sip("us", "h", None));
        let them = NameAddr::new(Uri::sip("them", "h", None));
        let origin = dialog::Origin { from: &us, tag: "us", to: &them, cseq: 1 };
        let mut dialog = Dialog::caller(&origin, &message, Hop::udp(address(TRUNK)));
        trace.saw(dialog.destination().address == address(TRUNK));
        for request in [dialog.ack(1), dialog.request(Method::Bye)] {
            let request = request.via(&way(Transport::Udp), "z9hG4bKfuzz").call_id("c").to_bytes();
            trace.saw(request.len() / 64);
            readable(&request);
        }
    }
    trace
}

/// A challenge, and the next one.
pub(crate) fn digest(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    let mut entropy = Entropy::from_number(1);
    let mut authentication = Authentication::new(Some(Credentials::new("user", "password")));
    for value in String::from_utf8_lossy(bytes).split(['\r', '\n', '|']) {
        let text = format!(
            "SIP/2.0 401 No\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:us@h>;tag=us\r\n\
             To: <sip:them@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nWWW-Authenticate: {value}\r\n\
             Proxy-Authenticate: {value}\r\n\r\n"
        );
        let Ok(Incoming::Message(message)) = message::read(text.as_bytes()) else { continue };
        let challenges = message.challenges();
        trace.saw(challenges.len().min(9));
        for challenge in &challenges {
            trace.saw((challenge.strength(), challenge.is_stale(), challenge.realm().is_empty()));
        }
        trace.saw(authentication.challenged(challenges).is_ok());
        let uri = Uri::sip("them", "h", None);
        for (name, value) in authentication.headers(&Method::Invite, &uri, &mut entropy) {
            trace.saw((name, value.matches(',').count()));
            assert!(!value.contains("password"), "{value:?}");
            let request = Request::new(Method::Invite, uri.clone()).header(name, &value);
            assert_clean(&request.to_bytes());
        }
    }
    trace
}

/// A session description, as an answer and as an offer.
pub(crate) fn sdp(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    for srtp in [Srtp::Off, Srtp::Preferred, Srtp::Required] {
        described(bytes, &srtp.with(|| [7; _]), &mut trace);
    }
    trace
}

fn described(bytes: &[u8], protection: &Protection, trace: &mut Trace) {
    let local = address("192.0.2.1:4000");
    match sdp::read_answer(bytes, &Codec::ALL, protection) {
        Ok(agreed) => trace.saw((
            agreed.codec.payload_type(),
            agreed.events.is_some(),
            agreed.remote.is_some(),
        )),
        Err(fault) => trace.saw(discriminant(&fault)),
    }
    match sdp::answer(bytes, Origin { id: 1, version: 1, local }, &Codec::ALL, protection) {
        Ok((answer, agreed)) => {
            assert!(agreed.crypto.is_some() || protection.srtp() != Srtp::Required, "in the clear");
            trace.saw((agreed.payload_type, agreed.accepts.len(), agreed.direction as u8));
            let is_clean = |line: &[u8]| line.iter().all(|byte| *byte >= 0x20 && *byte != 0x7F);
            let text = answer.strip_suffix(b"\r\n").expect("a last line end");
            let mut lines = text.split(|byte| *byte == b'\n');
            assert!(lines.all(|line| is_clean(line.strip_suffix(b"\r").unwrap_or(line))));
            trace.saw(sdp::read_answer(&answer, &Codec::ALL, protection).is_ok());
            assert!(answer.len() <= bytes.len() + 2_000, "it grows");
        }
        Err(fault) => trace.saw(discriminant(&fault)),
    }
    let mut session = MediaSession::new(local, protection.clone(), Entropy::from_number(1));
    let now = Timestamp::from_secs(1);
    trace.saw(session.answered(now, bytes).is_ok());
    trace.saw(session.offered(now, Some(bytes)).is_ok());
    trace.saw((session.is_held(), session.frame(now, Payload::Silence).is_some()));
}

/// Packets of RTP, telephone-events among them, and of RTCP.
///
/// What happens is a byte, its length another: a packet to the RTP or RTCP port, from the right place or
/// not; time that passes; another description.
pub(crate) fn media(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    let mut session =
        MediaSession::new(address("192.0.2.1:4000"), Protection::Off, Entropy::from_number(1));
    let answer = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
    let mut now = Timestamp::from_secs(1);
    assert!(session.answered(now, answer).is_ok());
    let mut out = Vec::new();
    let (mut rest, mut packets, mut presses) = (bytes, 0_usize, 0_usize);
    while let [what, length, more @ ..] = rest {
        let (piece, more) = more.split_at(usize::from(*length).min(more.len()));
        rest = more;
        match what % 9 {
            0..=2 => {
                session.on_rtp(now, address("192.0.2.7:4000"), piece, &mut out);
                packets += 1;
            }
            3 => session.on_rtcp(now, address("192.0.2.7:4001"), piece, &mut out),
            4 => session.on_rtp(now, address("192.0.2.9:4000"), piece, &mut out),
            5 => {
                now += Duration::from_millis(u64::from(*length) * 3);
                session.on_lapsed(now, &mut out);
                let is_due = session.deadline().is_some_and(|(at, _)| at <= now);
                assert!(!is_due, "due, and done");
            }
            6 => {
                now += Duration::from_millis(20);
                let packet = session.frame(now, Payload::Silence);
                trace.saw(packet.is_some());
            }
            7 => trace.saw(session.offered(now, Some(piece)).is_ok()),
            _ => session.rearm(),
        }
        for output in out.drain(..) {
            trace.saw(discriminant(&output));
            match output {
                Output::Key(_) => presses += 1,
                Output::Rtcp { packet, .. } => {
                    assert!((8..1_200).contains(&packet.len()) && packet[0] >> 6 == 2);
                }
                Output::KeyOver(_) | Output::Label(_) | Output::Talk(_) | Output::Note(_) => {}
            }
        }
    }
    assert!(presses <= packets, "{presses} keys in {packets} packets");
    session.close(now, &mut out);
    let report = session.report();
    trace.saw((report.packets_received.min(9), report.anomalies));
    trace
}

/// Audio of one source, and what of it is lost.
///
/// What happens is a byte, its length another: samples, codes, a key that is pressed, frames that do not
/// come, keys that are waited for.
pub(crate) fn tones(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    let (mut receiver, mut out) = (tones::Receiver::default(), Vec::new());
    let mut decoder = Decoder::default();
    let (mut rest, mut fed, mut down) = (bytes, 0_u64, None);
    while let [what, length, more @ ..] = rest {
        let (piece, more) = more.split_at(usize::from(*length).min(more.len()));
        rest = more;
        match what % 7 {
            0 => {
                let pairs = piece.chunks_exact(2);
                let samples: Vec<i16> =
                    pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
                fed += samples.len() as u64;
                receiver.samples(&samples, &mut out);
            }
            1 => {
                let codec = Codec::ALL[usize::from(*length) % 3];
                fed += piece.len() as u64;
                receiver.samples(&decoder.all(codec, piece), &mut out);
            }
            2 | 3 => {
                // Its length and frequencies come from the bytes too.
                let at = |n: usize| f64::from(piece.get(n).copied().unwrap_or(0));
                let key = usize::from(*what) / 8;
                let low = [697.0, 770.0, 852.0, 941.0][key % 4] + at(0) - 128.0;
                let high = [1_209.0, 1_336.0, 1_477.0, 1_633.0][key / 4 % 4] + at(1) - 128.0;
                let wave = |n: u32, hertz: f64| (f64::from(n) * hertz / 8_000.0 * TAU).sin();
                let peak = at(2) * 64.0;
                let samples: Vec<i16> = (0..u32::from(*length) * 8)
                    .map(|n| ((wave(n, low) + wave(n, high)) * peak) as i16)
                    .collect();
                fed += samples.len() as u64;
                samples.chunks(160).for_each(|frame| receiver.samples(frame, &mut out));
            }
            4 => {
                fed += u64::from(*length) * 20;
                receiver.lost(u32::from(*length) * 20, &mut out);
            }
            5 => {
                let keys = piece.iter().filter_map(|code| Digit::from_event(*code));
                receiver.wait_for(keys.collect());
            }
            _ => receiver.end(&mut out),
        }
        // No more than the longest piece has room for.
        assert!(out.len() <= 2 * (2_040 / 200 + 1), "keys without end");
        for heard in out.drain(..) {
            match heard {
                tones::Heard::Down(press) => {
                    assert!(down.is_none(), "down twice");
                    assert!(u64::from(press.since) <= fed, "before the beginning");
                    assert!(press.low.is_finite() && press.high.is_finite());
                    assert!(press.volume() <= 63);
                    down = Some(press.digit);
                    trace.saw((press.digit, press.is_clear));
                }
                tones::Heard::Up { digit, held } => {
                    assert_eq!(down.take(), Some(digit), "up without down");
                    assert!(held.as_micros() <= u128::from(fed) * 125, "longer than all");
                    trace.saw((digit, held.as_millis() / 64));
                }
            }
        }
    }
    receiver.end(&mut out);
    assert_eq!(out.len(), usize::from(down.is_some()), "what is down goes up");
    trace
}

/// What we send is clean, and fits; and what it says can be read, unless a peer chose its words (a URI of
/// its own is given back to it as it wrote it).
pub(crate) fn readable(bytes: &[u8]) -> Option<Message> {
    assert_clean(bytes);
    assert!(bytes.len() <= 65_535, "no datagram holds {} bytes", bytes.len());
    let first = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let words = first.split(|byte| *byte == b' ').collect::<Vec<_>>();
    let is_request = words.len() == 3 && words[2] == b"SIP/2.0" && words[1].contains(&b':');
    assert!(is_request || words[0] == b"SIP/2.0", "{}", String::from_utf8_lossy(bytes));
    match message::read(bytes) {
        Ok(Incoming::Message(message)) => Some(*message),
        Ok(Incoming::KeepAlive) | Err(_) => None,
    }
}

/// A head in which each line end is ours.
fn assert_clean(bytes: &[u8]) {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head that ends");
    for line in bytes[..end].split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_clean = line.iter().all(|byte| *byte >= 0x20 && *byte != 0x7F);
        assert!(is_clean, "a control byte: {}", String::from_utf8_lossy(bytes));
        let is_own = !line.is_empty() && !line.starts_with(b" ");
        assert!(is_own, "a line that could be a fold: {}", String::from_utf8_lossy(bytes));
    }
}
