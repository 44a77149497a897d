//! `octothorpe bench sip`: what a message and a call cost, in memory and on one core.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::figures::{Figure, number};
use super::machine;
use crate::ambient::{Clock, Entropy, Timestamp};
use crate::media::sdp;
use crate::media::srtp::Protection;
use crate::media::{Codec, MediaSession};
use crate::sip::message::{self, Incoming};
use crate::sip::{
    self, Call, Hop, Input, Message, Method, NameAddr, Order, Output, Response, State, Target, Uri,
    Way,
};

/// A 200 with everything a call takes from it, in at most so many microseconds.
const ANSWER: f64 = 12.0;

/// The worst message that is let in, in at most so many milliseconds.
const WORST: f64 = 2.0;

/// So many calls a second, at least.
const CALLS: f64 = 1_000.0;

/// How many batches a measurement has; their median is its figure.
const BATCHES: usize = 21;

/// What a message and a call cost, in memory and on one core.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe bench sip
  octothorpe bench sip --json

Build with --release. No sockets and no media: messages are read, and calls made, in this process, on
one core. Exit codes: 0 every limit was kept, 1 one was missed, 70 our fault.")]
pub(super) struct Args {
    /// How many messages and calls there are in a batch.
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=100_000))]
    batch: u32,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    super::warn_of_debug();
    eprintln!("load averages at the beginning: {}", machine::load());
    let figures = [answer(&clock, args.batch)?, worst(&clock)?, calls(&clock, args.batch)?];
    Ok(super::report(&figures, args.json))
}

fn figure(name: &'static str, what: &str, value: f64, unit: &'static str) -> Figure {
    Figure::new("sip", "none", name, what, value, unit)
}

/// The median of several batches, in microseconds a piece.
fn median(
    clock: &Clock,
    pieces: u32,
    mut piece: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let mut batches = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let began = clock.now();
        for _ in 0..pieces {
            piece()?;
        }
        batches.push(clock.now().since(began));
    }
    batches.sort_unstable();
    let middle = batches.get(BATCHES / 2).copied().unwrap_or(Duration::ZERO);
    Ok(middle.as_secs_f64() * 1e6 / f64::from(pieces))
}

/// The guard, the parser, the headers a call takes, and the session description.
fn answer(clock: &Clock, pieces: u32) -> anyhow::Result<Figure> {
    let datagram = an_answer();
    let micros = median(clock, pieces, || {
        let message = read(black_box(&datagram))?;
        black_box((message.status(), message.cseq(), message.from_tag(), message.to_tag()));
        black_box((message.contact_uri(), message.record_route(), message.branch()));
        black_box((message.reason_q850(), message.required_options(), message.challenges()));
        let body = message.sdp().context("the 200 has a session description")?;
        black_box(sdp::read_answer(body, &Codec::USUAL, &Protection::Off)?);
        Ok(())
    })?;
    Ok(figure("answer", "a 200 read, with headers and SDP", micros, "us").at_most(ANSWER))
}

/// The slowest of those that the guard lets in and that are made to be slow.
fn worst(clock: &Clock) -> anyhow::Result<Figure> {
    let mut worst: f64 = 0.0;
    for datagram in hostile() {
        let micros = median(clock, 3, || {
            // Refused or not, it took its time.
            let _ = black_box(message::read(black_box(&datagram)));
            Ok(())
        })?;
        worst = worst.max(micros);
    }
    Ok(figure("worst", "the worst message that is let in", worst / 1_000.0, "ms").at_most(WORST))
}

/// INVITE, 200, ACK, BYE, 200: both sides' messages written and read.
fn calls(clock: &Clock, pieces: u32) -> anyhow::Result<Figure> {
    let mut entropy = Entropy::from_number(1);
    let micros = median(clock, pieces, || call(&mut entropy))?;
    let calls = number(1_000_000) / micros;
    Ok(figure("calls", "calls a second: INVITE, 200, ACK, BYE", calls, "/s").at_least(CALLS))
}

fn call(entropy: &mut Entropy) -> anyhow::Result<()> {
    let (trunk, local) = (address(7, 5_060), address(1, 5_060));
    let media = MediaSession::new(address(1, 40_000), Protection::Off, entropy.fork());
    let mut line = Line {
        call: Call::new(
            order(trunk, local),
            media.offer(),
            entropy.fork(),
            sip::Settings::default(),
        ),
        now: Timestamp::from_secs(1_000),
        trunk: Hop::udp(trunk),
        sent: Vec::new(),
    };
    line.feed(Input::Start);
    line.answer(&Method::Invite)?;
    anyhow::ensure!(*line.call.state() == State::Up, "the call is not up");
    line.feed(Input::Stop);
    line.answer(&Method::Bye)?;
    anyhow::ensure!(matches!(line.call.state(), State::Over(_)), "the call is not over");
    Ok(())
}

/// A call, and the far side of it.
struct Line {
    call: Call,
    now: Timestamp,
    trunk: Hop,
    sent: Vec<Vec<u8>>,
}

impl Line {
    fn feed(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.call.on(self.now, input, &mut out);
        self.sent.extend(out.into_iter().filter_map(|output| match output {
            Output::Send { bytes, .. } => Some(bytes),
            Output::Alerting { .. }
            | Output::Answered { .. }
            | Output::Offered { .. }
            | Output::Agreed { .. }
            | Output::Info { .. }
            | Output::Note(_)
            | Output::Over(_) => None,
        }));
    }

    /// The far side takes the last request, which is one of that method, with 200.
    fn answer(&mut self, method: &Method) -> anyhow::Result<()> {
        let request = read(self.sent.last().context("nothing was sent")?)?;
        anyhow::ensure!(request.method() == method, "the last request is another");
        let mut response = Response::to(&request, 200).to_tag("them");
        if *method == Method::Invite {
            response = response
                .contact(&Uri::sip("them", "192.0.2.7", Some(5_060)))
                .body("application/sdp", SDP.as_bytes());
        }
        let message = read(&response.to_bytes())?;
        self.feed(Input::Received { from: self.trunk, message: &message });
        Ok(())
    }
}

fn order(trunk: SocketAddr, local: SocketAddr) -> Order {
    Order::new(
        Target { is_phone: true, ..Target::new("+12025550123", "trunk.example") },
        vec![Way { hop: Hop::udp(trunk), local }],
        NameAddr::new(Uri::sip("+12025550100", "trunk.example", None)).display("Contoso"),
    )
}

fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

fn read(datagram: &[u8]) -> anyhow::Result<Message> {
    match message::read(datagram)? {
        Incoming::Message(message) => Ok(*message),
        Incoming::KeepAlive => anyhow::bail!("no message"),
    }
}

const SDP: &str = "v=0\r\no=- 20518 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
                   m=audio 16384 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\n\
                   a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
                   a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

/// A 200 as carriers send it.
fn an_answer() -> Vec<u8> {
    let head = "SIP/2.0 200 OK\r\n\
                Via: SIP/2.0/UDP 192.0.2.1:5060;received=192.0.2.1;rport=5060;branch=z9hG4bK74b43\r\n\
                Record-Route: <sip:192.0.2.7;lr;ftag=9fxced76sl;did=1a2.b3c4>\r\n\
                From: \"Contoso\" <sip:+12025550100@trunk.example>;tag=9fxced76sl\r\n\
                To: <sip:+12025550123@trunk.example;user=phone>;tag=gK0c27a8f1\r\n\
                Call-ID: 3848276298220188511abcdefgh\r\nCSeq: 2 INVITE\r\n\
                Contact: <sip:+12025550123@192.0.2.9:5060;transport=udp>\r\n\
                Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, OPTIONS, INFO\r\n\
                Supported: timer, 100rel\r\nRequire: timer\r\nSession-Expires: 1800;refresher=uas\r\n\
                P-Asserted-Identity: <sip:+12025550123@192.0.2.9>\r\nServer: SBC/9.3\r\n\
                Content-Type: application/sdp\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{SDP}", SDP.len()).into_bytes()
}

/// Messages as large and as tangled as the guard lets in.
fn hostile() -> Vec<Vec<u8>> {
    let head = |first: &str, more: &str| {
        format!(
            "{first} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
             From: <sip:a@h>;tag=a\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{more}\r\n"
        )
        .into_bytes()
    };
    let params = |count: usize| {
        let mut text = String::new();
        for param in 0..count {
            // Writing to a String cannot fail.
            let _ = write!(text, ";{param:0>50}=v");
        }
        text
    };
    let lines = |line: &str, room: usize| line.repeat(room / line.len());
    let contact = format!("Contact: <sip:a@h{}>\r\n", params(120));
    let via = format!("Via: SIP/2.0/UDP h{}\r\n", params(120));
    vec![
        head(&format!("INVITE sip:b@h{}", params(18)), ""),
        head("INVITE sip:b@h", &contact.repeat(3)),
        head("INVITE sip:b@h", &via.repeat(3)),
        head("INVITE sip:b@h", &"a:\r\n".repeat(240)),
        head("INVITE sip:b@h", &"Route: <sip:a@h;lr>\r\n".repeat(240)),
        head("INVITE sip:b@h", &format!("Contact: {}<sip:z@h>\r\n", lines("<sip:a@h>,", 15_000))),
        head("INVITE sip:b@h", &format!("Subject: {}\r\n", lines("\\\"", 15_000))),
        head("INVITE sip:b@h", &format!("Subject: x{}\r\n", "\r\n y".repeat(200))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_what_is_said() {
        assert_eq!(read(&an_answer()).unwrap().status(), Some(200));
        call(&mut Entropy::from_number(1)).unwrap();
        let let_in = hostile().iter().filter(|it| message::read(it).is_ok()).count();
        assert!(let_in >= 6, "the guard or the parser refuses all but {let_in} of them");
    }
}
