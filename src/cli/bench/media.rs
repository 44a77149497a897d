//! `octothorpe bench media`: how many calls one core carries, and what a packet costs; beside it, in
//! the same run, the usual way of a task and a socket for each call.

mod baseline;
mod peer;

use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use self::baseline::Baseline;
use self::peer::{Peer, Phone};
use super::figures::{Figure, Spread, number};
use super::machine::{self, Cores};
use crate::ambient::{Clock, secret};
use crate::gateway::lab::{Account, Courses, Lab};
use crate::gateway::settings::RtpPort;
use crate::media::Srtp;
use crate::media::prompt::Pack;
use crate::sip::message::{self, Incoming};
use crate::sip::{Message, Method, Response, Uri};
use crate::telemetry::Metrics;

/// So many calls, at least, one core must carry.
const CALLS: f64 = 3_000.0;

/// A packet may take so many microseconds of CPU.
const CPU: f64 = 2.4;

/// Of a hundred frames, 99 may be late by so many milliseconds.
const LATE: f64 = 5.0;

/// How long calls are up before anything is measured.
const SETTLE: Duration = Duration::from_millis(1_500);

/// How long packets may be on their way.
const LINGER: Duration = Duration::from_millis(400);

/// How many calls are begun before their INVITEs are read.
const ROUND: usize = 64;

/// How long an INVITE may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The ports of the engine's calls.
const PORTS: (u16, u16) = (10_000, 31_999);

/// The longest INVITE.
const DATAGRAM: usize = 8_192;

/// How many calls one core carries, and what a packet costs, beside the usual way.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe bench media
  octothorpe bench media --calls 1000,2000 --seconds 10 --json

Real legs on real sockets: one media thread on one core, and phones that play recorded speech on the other. A
row is carried when nothing is lost, 99 of 100 frames are sent within 5 ms of their time, and a packet takes
at most 2.4 us of CPU. Build with --release, and let nothing else run. Exit codes: 0 every limit was kept,
1 one was missed, 70 our fault.")]
pub(super) struct Args {
    /// How many calls, one row after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 2_000, 3_000, 4_000], value_name = "N,N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    calls: Vec<u32>,
    /// For how long each, in seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(2..=600))]
    seconds: u32,
    /// Which rows; all when left out.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WAY,WAY")]
    only: Vec<Way>,
    /// Without keeping what happens on the calls.
    #[arg(long)]
    bare: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// How calls are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    /// Ports that all calls share; tones are listened for.
    Shared,
    /// The same, encrypted.
    SharedSrtp,
    /// The same in the clear, and keys come by RFC 4733: tones are listened for no longer.
    SharedEvents,
    /// A pair of ports for each call; tones are listened for.
    PerCall,
    /// The same, encrypted.
    PerCallSrtp,
    /// The same in the clear, and keys come by RFC 4733.
    PerCallEvents,
    /// A task, an interval and a socket for each call.
    Tokio,
}

impl Way {
    const ALL: [Self; 7] = [
        Self::Shared,
        Self::SharedSrtp,
        Self::SharedEvents,
        Self::PerCall,
        Self::PerCallSrtp,
        Self::PerCallEvents,
        Self::Tokio,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared port, tones",
            Self::SharedSrtp => "shared port, tones, SRTP",
            Self::SharedEvents => "shared port, RFC 4733",
            Self::PerCall => "pair per call, tones",
            Self::PerCallSrtp => "pair per call, tones, SRTP",
            Self::PerCallEvents => "pair per call, RFC 4733",
            Self::Tokio => "tokio task, socket per call",
        }
    }

    /// Its name among figures.
    const fn key(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::SharedSrtp => "shared_srtp",
            Self::SharedEvents => "shared_events",
            Self::PerCall => "per_call",
            Self::PerCallSrtp => "per_call_srtp",
            Self::PerCallEvents => "per_call_events",
            Self::Tokio => "tokio",
        }
    }

    const fn srtp(self) -> Srtp {
        match self {
            Self::SharedSrtp | Self::PerCallSrtp => Srtp::Required,
            Self::Shared
            | Self::SharedEvents
            | Self::PerCall
            | Self::PerCallEvents
            | Self::Tokio => Srtp::Off,
        }
    }

    /// Which ports it has, where it is ours.
    const fn port(self) -> Option<RtpPort> {
        match self {
            Self::Shared | Self::SharedSrtp | Self::SharedEvents => Some(RtpPort::Shared),
            Self::PerCall | Self::PerCallSrtp | Self::PerCallEvents => Some(RtpPort::PerCall),
            Self::Tokio => None,
        }
    }

    /// Whether phones press a key by RFC 4733 before anything is measured.
    const fn presses(self) -> bool {
        match self {
            Self::SharedEvents | Self::PerCallEvents => true,
            Self::Shared | Self::SharedSrtp | Self::PerCall | Self::PerCallSrtp | Self::Tokio => {
                false
            }
        }
    }
}

/// What was measured of so many calls.
struct Row {
    way: Way,
    calls: usize,
    sent: u64,
    received: u64,
    lost: u64,
    odd: u64,
    late: [f64; 3],
    /// Microseconds of CPU for each packet sent or received.
    cpu: f64,
    /// How much of its core the thread had, in percent.
    core: f64,
    /// How late the phones were, in milliseconds, at the 99th percentile.
    phones: f64,
}

impl Row {
    fn is_carried(&self) -> bool {
        let [_, late, _] = self.late;
        self.lost == 0 && self.odd == 0 && late <= LATE && self.cpu <= CPU
    }

    fn head() -> String {
        format!(
            "{:<30}{:>6}{:>9}{:>6}{:>9}{:>8}{:>8}{:>10}{:>7}{:>10}",
            "way",
            "calls",
            "packets",
            "lost",
            "late p50",
            "p99",
            "max ms",
            "us/packet",
            "core",
            "phones p99"
        )
    }

    fn line(&self) -> String {
        let [p50, p99, most] = self.late;
        let (name, calls, cpu, core, phones) =
            (self.way.name(), self.calls, self.cpu, self.core, self.phones);
        let (packets, lost) = (self.sent + self.received, self.lost);
        format!(
            "{name:<30}{calls:>6}{packets:>9}{lost:>6}{p50:>9.1}{p99:>8.1}{most:>8.1}{cpu:>10.2}\
             {core:>6.0}%{phones:>10.1}"
        )
    }

    fn json(&self) -> String {
        let [p50, p99, most] = self.late;
        json!({
            "bench": "media", "way": self.way.key(), "calls": self.calls, "sent": self.sent,
            "received": self.received, "lost": self.lost, "odd": self.odd, "late_p50_ms": p50,
            "late_p99_ms": p99, "late_max_ms": most, "cpu_us_per_packet": self.cpu,
            "core_percent": self.core, "phones_late_p99_ms": self.phones, "carried": self.is_carried(),
        })
        .to_string()
    }
}

/// Carries the command out.
pub(super) fn run(args: &Args, metrics: &Metrics) -> anyhow::Result<ExitCode> {
    super::warn_of_debug();
    let most = args.calls.iter().copied().max().unwrap_or(0);
    let (wanted, allowed) = (2 * u64::from(most) + 100, crate::cli::open_files()?);
    anyhow::ensure!(
        wanted <= allowed,
        "{most} calls need {wanted} open files, and {allowed} are allowed: raise the hard limit \
         (ulimit -Hn), or write a smaller --calls"
    );
    let cores = machine::divide();
    let bench = Bench {
        clock: Clock::system(),
        prompts: Arc::new(Pack::english()?),
        cores,
        span: Duration::from_secs(u64::from(args.seconds)),
        bare: args.bare,
        metrics,
    };
    eprintln!("load averages at the beginning: {}", machine::load());
    if !args.json {
        println!("{}", Row::head());
    }
    let mut rows = Vec::new();
    for calls in args.calls.iter().copied().map(|calls| calls as usize) {
        for way in Way::ALL.into_iter().filter(|it| args.only.is_empty() || args.only.contains(it))
        {
            let row = bench.row(way, calls)?;
            println!("{}", if args.json { row.json() } else { row.line() });
            rows.push(row);
        }
    }
    Ok(super::report(&figures(&rows), args.json))
}

/// How many calls each way carries, and what ours must.
fn figures(rows: &[Row]) -> Vec<Figure> {
    let of = |way| rows.iter().filter(move |row| row.way == way);
    let mut figures = Vec::new();
    for way in Way::ALL.into_iter().filter(|way| of(*way).next().is_some()) {
        let most = of(way).filter(|row| row.is_carried()).map(|row| row.calls).max();
        let what = format!("calls one core carries: {}", way.name());
        let figure = Figure::new("media", "", way.key(), what, number(most.unwrap_or(0)), "");
        figures.push(if way == Way::Shared { figure.at_least(CALLS) } else { figure });
    }
    figures
}

struct Bench<'a> {
    clock: Clock,
    prompts: Arc<Pack>,
    cores: Cores,
    span: Duration,
    bare: bool,
    metrics: &'a Metrics,
}

impl Bench<'_> {
    fn row(&self, way: Way, calls: usize) -> anyhow::Result<Row> {
        match way.port() {
            Some(port) => self.engine(way, port, calls),
            None => self.tokio(calls),
        }
    }

    /// Our engine.
    fn engine(&self, way: Way, port: RtpPort, calls: usize) -> anyhow::Result<Row> {
        let mut peer = Peer::start(self.clock.clone(), Arc::clone(&self.prompts))?;
        let trunk = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        trunk.set_read_timeout(Some(PATIENCE))?;
        let (clock, prompts) = (self.clock.clone(), Arc::clone(&self.prompts));
        let courses = (!self.bare).then(|| Courses::new().0);
        let mut lab = Lab::start(clock, prompts, PORTS, trunk.local_addr()?, None, courses)?;
        let before = self.counted();
        for round in 0..calls.div_ceil(ROUND) {
            let round = (calls - round * ROUND).min(ROUND);
            for _ in 0..round {
                lab.call(port, way.srtp().with(secret))?;
            }
            for _ in 0..round {
                let mut phone = peer.phone(way.srtp().with(secret))?;
                let invite = receive(&trunk)?;
                lab.answer(self.answer(&mut phone, &invite)?);
                if way.presses() {
                    phone.press();
                }
                peer.add(phone);
            }
        }
        let figures = self.measure("engine-0", &peer, || lab.account())?;
        anyhow::ensure!(lab.legs() == calls, "of {calls} calls {} are up", lab.legs());
        lab.hang_up();
        while lab.legs() > 0 {
            std::thread::sleep(LINGER);
        }
        std::thread::sleep(LINGER);
        let after = self.counted();
        let [sent, received, odd] =
            [0, 1, 2].map(|at| after.get(at).zip(before.get(at)).map_or(0, |(a, b)| a - b));
        Ok(figures.row(way, calls, &peer, sent, received, odd))
    }

    /// The usual way.
    fn tokio(&self, calls: usize) -> anyhow::Result<Row> {
        let mut peer = Peer::start(self.clock.clone(), Arc::clone(&self.prompts))?;
        let mut pairs = Vec::new();
        for _ in 0..calls {
            let mut phone = peer.phone(Srtp::Off.with(secret))?;
            let socket = Baseline::socket()?;
            phone.speak_to(self.clock.now(), socket.local_addr()?)?;
            pairs.push((socket, phone.address()));
            peer.add(phone);
        }
        let baseline = Baseline::start(&self.clock, pairs)?;
        let figures = self.measure(baseline::NAME, &peer, || baseline.account())?;
        baseline.hang_up();
        std::thread::sleep(LINGER * 2);
        let (sent, received) = baseline.counts();
        Ok(figures.row(Way::Tokio, calls, &peer, sent, received, 0))
    }

    /// The phone takes a call.
    fn answer(&self, phone: &mut Phone, invite: &Message) -> anyhow::Result<Vec<u8>> {
        let offer = invite.sdp().context("the INVITE has no offer")?;
        let answer = phone.offered(self.clock.now(), offer)?;
        let contact = Uri::sip("them", "127.0.0.2", Some(5_060));
        let response = Response::to(invite, 200).to_tag("them").contact(&contact);
        Ok(response.body("application/sdp", &answer).to_bytes())
    }

    /// Has the phones play, and takes what the thread of this name does meanwhile.
    fn measure(
        &self,
        thread: &str,
        peer: &Peer,
        account: impl Fn() -> Account,
    ) -> anyhow::Result<Figures> {
        // A thread gives itself its name.
        std::thread::sleep(LINGER);
        let id = machine::thread(thread).context("the thread is gone")?;
        if let Cores::Apart { gateway, .. } = self.cores {
            machine::pin(id, gateway)?;
        }
        peer.play(true);
        std::thread::sleep(SETTLE);
        let (before, began) = (machine::ran(id)?, self.clock.now());
        let _ = (account(), peer.late());
        std::thread::sleep(self.span);
        let (ran, account) = (machine::ran(id)? - before, account());
        let span = self.clock.now().since(began);
        let phones = Spread::of(peer.late()).percent(99);
        peer.play(false);
        std::thread::sleep(LINGER);
        Ok(Figures { account, ran, span, phones })
    }

    /// What was counted so far: packets sent, accepted, and dropped as odd.
    fn counted(&self) -> [u64; 3] {
        let text = self.metrics.render();
        let sum = |name: &str| -> u64 {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        [
            "octothorpe_rtp_sent_total",
            "octothorpe_rtp_received_total",
            "octothorpe_rtp_anomalies_total",
        ]
        .map(sum)
    }
}

/// What was measured while the phones played.
struct Figures {
    account: Account,
    ran: Duration,
    span: Duration,
    phones: f64,
}

impl Figures {
    fn row(self, way: Way, calls: usize, peer: &Peer, sent: u64, received: u64, odd: u64) -> Row {
        let (played, heard) = peer.counts();
        let Account { late, received: read, span, .. } = self.account;
        let millis = |span: Duration| span.as_secs_f64() * 1_000.0;
        // What it did is told five times a second, and so of a somewhat different span.
        let packets = number(usize::try_from(late.frames() + read).unwrap_or(0));
        let rate = packets / span.as_secs_f64();
        let core = self.ran.as_secs_f64() / self.span.as_secs_f64();
        Row {
            way,
            calls,
            sent,
            received,
            lost: sent.abs_diff(heard) + played.abs_diff(received),
            odd,
            late: [late.percent(50), late.percent(99), late.most()].map(millis),
            cpu: core / rate * 1e6,
            core: core * 100.0,
            phones: self.phones,
        }
    }
}

fn receive(trunk: &UdpSocket) -> anyhow::Result<Message> {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let length = trunk.recv(&mut buffer).context("an INVITE does not come")?;
        let datagram = buffer.get(..length).unwrap_or_default();
        if let Incoming::Message(message) = message::read(datagram)?
            && *message.method() == Method::Invite
        {
            return Ok(*message);
        }
    }
}
