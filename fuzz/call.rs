//! A whole call: the bytes say who the far end is and what it does, step by step, and what the owner
//! does meanwhile.
//!
//! Whatever happens: [`Output::Over`] comes at most once, everything that is sent can be read, nothing is
//! due that was just done, little is remembered, and a call that is told to stop comes to its end.

use std::mem::discriminant;
use std::net::SocketAddr;
use std::time::Duration;

use octothorpe::ambient::{Entropy, Timestamp};
use octothorpe::sip::call::{Call, Input, Order, Output, Target};
use octothorpe::sip::message::{self, Incoming, Kind, Message};
use octothorpe::sip::{Credentials, Hop, NameAddr, Settings, Transport, Uri, Way};

use crate::Trace;
use crate::targets::{address, readable, way};

/// RFC 3261 § 17: 64*T1 is the longest that a transaction waits. An INVITE, its CANCEL, and two
/// requests that end what became of it after all.
const REST: Duration = Duration::from_secs(4 * 32);

/// More than this is remembered of no call, whatever is sent to it.
const MOST_REMEMBERED: usize = 128;

const STATUSES: [u16; 24] = [
    100, 180, 183, 199, 200, 202, 299, 300, 302, 400, 401, 407, 408, 420, 422, 481, 486, 487, 491,
    500, 503, 600, 603, 699,
];

const METHODS: [&str; 12] = [
    "BYE", "INVITE", "UPDATE", "INFO", "OPTIONS", "ACK", "CANCEL", "NOTIFY", "PRACK", "REFER",
    "MESSAGE", "HACK",
];

/// More lines that a message may have.
const LINES: [&str; 20] = [
    "Contact: <sip:them@192.0.2.7:5070>",
    "Contact: <sip:them@192.0.2.9;transport=tcp>, <sip:other@192.0.2.10>;q=0.1",
    "Contact: *",
    "Record-Route: <sip:192.0.2.8;lr>, <sip:192.0.2.9>",
    "Record-Route: <sip:10.0.0.1;lr;transport=tcp>",
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256",
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"m\", stale=true",
    "Proxy-Authenticate: Digest realm=\"r\", nonce=\"p\", algorithm=MD5, opaque=\"o\"",
    "Proxy-Authenticate: Digest realm=\"other\", nonce=\"p\"",
    "Retry-After: 4294967295",
    "Reason: Q.850;cause=17",
    "Require: 100rel\r\nRSeq: 1",
    "Require: timer\r\nSession-Expires: 90;refresher=uas",
    "Require: nothing",
    "Min-SE: 1800",
    "Supported: 100rel, timer",
    "Warning: 399 h \"x\"",
    "RAck: 1 1 INVITE",
    "Event: refer",
    "Content-Encoding: gzip",
];

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/// The bytes, one after another; nothing but zeros behind the last.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.next()) % from.len()]
    }

    fn take(&mut self) -> Vec<u8> {
        let length = usize::from(self.next()).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        piece.to_vec()
    }
}

/// A call that is played with.
struct Play {
    call: Call,
    now: Timestamp,
    trace: Trace,
    /// What it sent, in order; the requests.
    sent: Vec<Message>,
    hops: Vec<Hop>,
    /// The last that it was sent.
    last: Option<Vec<u8>>,
    cseq: u32,
    is_over: bool,
    /// Whether the far end chose words of its own, which may come back to it.
    is_odd: bool,
}

pub(crate) fn play(bytes: &[u8]) -> Trace {
    let mut bytes = Bytes(bytes);
    let mut play = Play::new(&mut bytes);
    play.give(Input::Start);
    while !bytes.0.is_empty() {
        play.step(&mut bytes);
        if play.call.finished() {
            break;
        }
    }
    play.comes_to_rest();
    play.trace
}

impl Play {
    fn new(bytes: &mut Bytes<'_>) -> Self {
        let setup = bytes.next();
        let transports = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Udp];
        let mut ways: Vec<Way> = vec![way(transports[usize::from(setup) % 4])];
        if setup & 4 != 0 {
            let hop = Hop::udp(address("192.0.2.17:5060"));
            ways.push(Way { hop, ..ways[0] });
        }
        let from = NameAddr::new(Uri::sip("+49307654321", "ours.example", None)).display("Us");
        let order = Order {
            redirects: vec!["192.0.2.9".to_owned()],
            credentials: (setup & 8 != 0).then(|| Credentials::new("user", "password")),
            is_last_resort: setup & 16 == 0,
            ..Order::new(Target::new("+49301234567", "trunk.example"), ways, from)
        };
        let entropy = Entropy::from_number(7);
        let call = Call::new(order, SDP.into(), entropy, Settings::default());
        Self {
            call,
            now: Timestamp::from_secs(1_000),
            trace: Trace::default(),
            sent: Vec::new(),
            hops: Vec::new(),
            last: None,
            cseq: 1,
            is_over: false,
            is_odd: false,
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.next() % 16 {
            0..=5 => {
                let response = self.response(bytes);
                self.deliver(response, bytes);
            }
            6..=9 => {
                let request = self.request(bytes);
                self.deliver(request, bytes);
            }
            10 => {
                if let Some(last) = self.last.clone() {
                    self.deliver(last, bytes);
                }
            }
            11 => self.wait(Duration::from_millis(u64::from(bytes.next()) * 100)),
            12 => {
                let due = self.call.deadline().map(|(at, _)| at.since(self.now));
                self.wait(due.unwrap_or_default());
            }
            13 => {
                let known = usize::from(bytes.next());
                let hop = self.hops.get(known % self.hops.len().max(1)).copied();
                let hop = hop.unwrap_or(Hop::udp(address("192.0.2.99:9")));
                self.give(Input::Unreachable { hop });
            }
            14 => match bytes.next() % 3 {
                0 => self.give(Input::Accept { sdp: SDP.into() }),
                1 => self.give(Input::Accept { sdp: bytes.take() }),
                _ => self.give(Input::Refuse { status: u16::from(bytes.next()) * 3 }),
            },
            _ => {
                if bytes.next() < 64 {
                    self.give(Input::Stop);
                }
            }
        }
    }

    fn wait(&mut self, span: Duration) {
        self.now += span;
        self.give(Input::Lapsed);
        let due = self.call.deadline().filter(|(at, _)| *at <= self.now);
        assert!(due.is_none(), "{due:?} is due at {:?}, and was just done", self.now);
    }

    fn give(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.call.on(self.now, input, &mut out);
        self.trace.saw(discriminant(self.call.state()));
        for output in out {
            self.trace.saw(discriminant(&output));
            if let Output::Over(why) = &output {
                assert!(!self.is_over, "over once more: {why:?}");
                self.is_over = true;
                self.trace.saw(discriminant(why));
            }
            if let Output::Note(note) = &output {
                self.trace.saw(discriminant(note));
            }
            if let Output::Send { to, bytes } = output {
                let message = readable(&bytes);
                let text = || String::from_utf8_lossy(&bytes);
                assert!(message.is_some() || self.is_odd, "unreadable: {}", text());
                let Some(message) = message else { continue };
                self.trace.saw((message.kind().label(), message.status()));
                if matches!(message.kind(), Kind::Request { .. }) {
                    self.sent.push(message);
                    self.hops.push(to);
                }
            }
        }
        let remembered = self.call.remembers();
        assert!(remembered <= MOST_REMEMBERED, "it remembers {remembered} things");
    }

    /// Reads what the far end sent, and gives it to the call as the line would.
    fn deliver(&mut self, datagram: Vec<u8>, bytes: &mut Bytes<'_>) {
        if let Ok(Incoming::Message(message)) = message::read(&datagram)
            && message.call_id() == self.call.call_id()
        {
            let from = self.source(bytes);
            self.give(Input::Received { from, message: &message });
            self.last = Some(datagram);
        }
    }

    fn source(&self, bytes: &mut Bytes<'_>) -> Hop {
        let others: [SocketAddr; 2] = [address("192.0.2.8:5060"), address("10.0.0.1:1024")];
        match bytes.next() % 8 {
            0 => Hop::udp(others[0]),
            1 => Hop { transport: Transport::Tcp, address: others[1] },
            _ => self.hops.last().copied().unwrap_or(way(Transport::Udp).hop),
        }
    }

    /// A response to something that was sent, more or less.
    fn response(&mut self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let which = usize::from(bytes.next());
        // The last request, mostly.
        let at = if which < 192 { self.sent.len().saturating_sub(1 + which % 2) } else { which };
        let at = at % self.sent.len().max(1);
        let Some(request) = self.sent.get(at).cloned() else { return Vec::new() };
        let header =
            |name| request.header(name).map(|value| value.into_owned()).unwrap_or_default();
        let [via, from, to, cseq] = ["Via", "From", "To", "CSeq"].map(header);
        let call_id = request.call_id().to_owned();
        let status = bytes.pick(&STATUSES);
        let tag = Self::tag(bytes, &to);
        let more = self.more(bytes);
        let head = format!(
            "SIP/2.0 {status} x\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}{tag}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq}\r\n"
        );
        [head.into_bytes(), more].concat()
    }

    /// A request of somebody who answered, more or less.
    fn request(&mut self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let Some(invite) = self.sent.first() else { return Vec::new() };
        let us = invite.header("From").map(|from| from.into_owned()).unwrap_or_default();
        let them = invite.to_uri().map(|uri| uri.as_str().to_owned()).unwrap_or_default();
        let method = bytes.pick(&METHODS);
        let tag = Self::tag(bytes, "");
        let order = bytes.next();
        match order % 8 {
            0..=4 => self.cseq = self.cseq.wrapping_add(1),
            5 => self.cseq = self.cseq.saturating_sub(1),
            6 => self.cseq = u32::from(order) << 23,
            _ => {}
        }
        let cseq = self.cseq;
        let branch = if order & 64 == 0 { cseq } else { 0 };
        let us = if order & 128 == 0 { us } else { us.replace(";tag=", ";tag=x") };
        let call_id = self.call.call_id().to_owned();
        let more = self.more(bytes);
        let head = format!(
            "{method} sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;rport;branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 9\r\nFrom: <{them}>{tag}\r\nTo: {us}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\n"
        );
        [head.into_bytes(), more].concat()
    }

    /// The tag of one of many phones, or none.
    fn tag(bytes: &mut Bytes<'_>, written: &str) -> String {
        let which = bytes.next();
        match which {
            _ if written.contains(";tag=") => String::new(),
            0..=15 => String::new(),
            16..=191 => ";tag=a".to_owned(),
            192..=223 => ";tag=b".to_owned(),
            _ => format!(";tag=t{which}{}", bytes.next()),
        }
    }

    /// More lines, and a body or none.
    fn more(&mut self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let mut head = String::new();
        for _ in 0..bytes.next() % 4 {
            head += bytes.pick(&LINES);
            head += "\r\n";
        }
        match bytes.next() % 8 {
            0..=2 => format!("{head}Content-Type: application/sdp\r\n\r\n{SDP}").into_bytes(),
            3 => {
                // A line, a body, of anything.
                self.is_odd = true;
                let (line, body) = (bytes.take(), bytes.take());
                [head.as_bytes(), &line, b"\r\nContent-Type: x/y\r\n\r\n", &body].concat()
            }
            _ => format!("{head}\r\n").into_bytes(),
        }
    }

    /// Stopped, and left alone, it ends.
    fn comes_to_rest(&mut self) {
        self.give(Input::Stop);
        let until = self.now + REST;
        while let Some((at, timer)) = self.call.deadline() {
            assert!(
                at <= until,
                "{timer:?} is due only {:?} after the end",
                at.since(until) + REST
            );
            self.wait(at.since(self.now));
        }
        assert!(self.is_over && self.call.finished(), "it is {:?}", self.call.state());
    }
}
