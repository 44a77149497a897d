//! `octothorpe bench calls`: real calls over loopback, against the limits this program was built
//! for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use super::child::{Folder, Gateway, SECRET, Store};
use super::client::{Client, Outcome};
use super::farm::{Farm, Plan};
use super::figures::{Figure, Spread, micros, number};
use super::load::{Done, Load};
use super::machine::{self, Cores, Used};
use super::phone::Heard;
use crate::ambient::{self, Clock, Entropy};
use crate::gateway::vitals;

/// A call that is up may take so much memory, in KiB.
const MEMORY: f64 = 64.0;

/// From one count of calls to another, memory may grow by so many percent.
const GROWTH: f64 = 5.0;

/// The call after which memory is expected to be flat.
const SETTLED: usize = 2_000;

/// How fast calls begin that are to be up at once.
const RAMP: f64 = 40.0;

/// When the phones of the rate test press: soon after a press counts.
const SOON: Duration = Duration::from_secs(3);

/// Real calls over loopback: loss, lateness, latency and memory of a gateway of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe bench calls
  octothorpe bench calls --store memory --calls 200 --json
  octothorpe bench calls --store disk --soak 10000

Build with --release. The gateway is a process of its own with one media thread; with taskset it has
a core of its own, too. Exit codes: 0 every limit was kept, 1 one was missed, 70 our fault.")]
pub(super) struct Args {
    /// How many calls are up at once.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4000))]
    calls: u32,
    /// How many begin in a second when latency is measured.
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    rate: u32,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Which stores; both when left out.
    #[arg(long, value_enum)]
    store: Vec<Store>,
    /// Also place this many short calls at that rate, and compare the memory with that after 2,000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2001..=79_000))]
    soak: Option<u32>,
    /// Where the disk store is put; a folder of this bench's own is made in it, and removed.
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let folder = Folder::create(&args.folder)?;
    let cores = machine::divide();
    let syncs = machine::syncs(folder.path(), &clock)?;
    eprintln!("{}", machine::limits(cores, &syncs));
    super::warn_of_debug();
    let mut figures = Vec::new();
    for store in Store::chosen(&args.store) {
        let bench = Bench::start(&folder, store, cores, clock.clone()).await?;
        figures.extend(bench.at_once(&args).await?);
        figures.extend(bench.at_a_rate(&args).await);
        if let Some(calls) = args.soak {
            figures.extend(bench.soak(calls as usize, args.rate).await?);
        }
        for complaint in bench.gateway.complaints() {
            eprintln!("the gateway: {complaint}");
        }
    }
    Ok(super::report(&figures, args.json))
}

/// A gateway and the phones it calls.
struct Bench {
    store: &'static str,
    gateway: Gateway,
    farm: Farm,
    client: Rc<Client>,
}

impl Bench {
    async fn start(
        folder: &Folder,
        store: Store,
        cores: Cores,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let farm = Farm::start(plan(SOON), clock.clone())?;
        let key = format!("otk_{}", Entropy::from_seed(ambient::secret()).token(40));
        let rest = configuration(farm.address);
        let gateway = Gateway::start(folder.path(), store, &rest, &key, cores).await?;
        let client = Rc::new(Client::new(gateway.api, &key, clock));
        Ok(Self { store: store.name(), gateway, farm, client })
    }

    fn figure(&self, name: &'static str, what: &str, value: f64, unit: &'static str) -> Figure {
        Figure::new("calls", self.store, name, what, value, unit)
    }

    /// All at once: loss, lateness, memory, CPU.
    async fn at_once(&self, args: &Args) -> anyhow::Result<Vec<Figure>> {
        let load = Load { calls: args.calls as usize, rate: RAMP, most: args.calls as usize };
        // The last is up for a few seconds before the first presses; a press counts until the
        // question has been asked twice, which is 37 s.
        let press = (load.ramp() + Duration::from_secs(6)).min(Duration::from_secs(30));
        self.farm.plan(plan(press));
        self.say(&format!("{} calls at once", load.calls));
        let process = self.gateway.id();
        let (idle, before) = (machine::resident(process)?, Used::now(process)?);
        let dropped = vitals::dropped()?;
        let look = load.ramp() + Duration::from_secs(4);
        let peak = tokio::spawn(async move {
            tokio::time::sleep(look).await;
            machine::resident(process)
        });
        let done = load.run(Rc::clone(&self.client), &self.farm, |_| ()).await;
        let (peak, used) = (peak.await??, Used::now(process)?.since(before));
        let lateness = Spread::of(done.phones.iter().flat_map(|it| it.lateness.iter().copied()));
        let seconds: f64 = done.phones.iter().map(up_for).sum();
        let calls = number(load.calls);
        Ok(vec![
            self.unapproved(&done),
            self.figure("lost", "RTP packets lost", lost(&done.phones), "").at_most(0.0),
            self.figure(
                "dropped",
                "datagrams the kernel dropped",
                number(usize::try_from(vitals::dropped()? - dropped)?),
                "",
            ),
            self.figure("late_p50", "send lateness p50", lateness.percent(50), "ms"),
            self.figure("late_p99", "send lateness p99", lateness.percent(99), "ms").at_most(5.0),
            self.figure("late_max", "send lateness max", lateness.most(), "ms"),
            self.figure(
                "farm_late_p99",
                "of it the phones' own p99",
                done.farm_late.percent(99),
                "ms",
            ),
            self.figure("memory", "memory a call", (peak - idle).max(0.0) / calls, "KiB")
                .at_most(MEMORY),
            self.figure("cpu", "CPU a call-second", 1_000.0 * used.gateway / seconds, "ms"),
            self.figure(
                "cpu_engine",
                "of it the media thread",
                1_000.0 * used.engine / seconds,
                "ms",
            ),
            self.figure("cpu_others", "CPU of others meanwhile", used.others(), "s"),
        ])
    }

    /// So many a second: how soon the INVITE leaves, and how soon a verdict is told.
    async fn at_a_rate(&self, args: &Args) -> Vec<Figure> {
        let calls = (args.rate * args.seconds) as usize;
        let load = Load { calls, rate: f64::from(args.rate), most: calls };
        self.farm.plan(plan(SOON));
        self.say(&format!("{} calls a second for {} s", args.rate, args.seconds));
        let done = load.run(Rc::clone(&self.client), &self.farm, |_| ()).await;
        let (invite, verdict) = latencies(&done);
        let pair = |name, what: &str, spread: &Spread, limit| {
            let p50 = self.figure(name, &format!("{what} p50"), spread.percent(50), "ms");
            let p99 = self.figure(name, &format!("{what} p99"), spread.percent(99), "ms");
            [p50, p99.at_most(limit)]
        };
        let mut figures = vec![self.unapproved(&done)];
        figures.extend(pair("invite", "request to INVITE", &invite, 6.0));
        figures.extend(pair("verdict", "first # packet to verdict", &verdict, 10.0));
        figures
    }

    /// Many short calls: whether memory stays flat.
    async fn soak(&self, calls: usize, rate: u32) -> anyhow::Result<Vec<Figure>> {
        let load = Load { calls, rate: f64::from(rate), most: calls };
        self.farm.plan(plan(SOON));
        self.say(&format!("{calls} short calls"));
        let process = self.gateway.id();
        let mut early = None;
        let done = load
            .run(Rc::clone(&self.client), &self.farm, |settled| {
                if settled == SETTLED {
                    early = machine::resident(process).ok();
                }
            })
            .await;
        let late = machine::resident(process)?;
        let early = early.unwrap_or(f64::NAN);
        Ok(vec![
            self.unapproved(&done),
            self.figure("rss_2000", "memory after 2000 calls", early / 1_024.0, "MiB"),
            self.figure("rss_end", "memory at the end", late / 1_024.0, "MiB"),
            self.figure("growth", "growth of memory", 100.0 * (late - early) / early, "%")
                .at_most(GROWTH),
        ])
    }

    fn unapproved(&self, done: &Done) -> Figure {
        let not = done.outcomes.len() - done.approved();
        for (verdict, count) in done.otherwise() {
            eprintln!("{count} x {verdict}");
        }
        let what = format!("of {} calls not approved", done.outcomes.len());
        self.figure("unapproved", &what, number(not), "").at_most(0.0)
    }

    fn say(&self, what: &str) {
        eprintln!("{}: {what} …", self.store);
    }
}

/// The only trunk is the farm.
fn configuration(trunk: SocketAddr) -> String {
    format!(
        "[[trunks]]\nname = \"phones\"\ntarget = \"sip:{trunk};transport=udp\"\n\
         options_secs = 0\ncaller_id = \"+12025550100\"\n\
         [[tenants]]\nname = \"bench\"\napi_keys = [{SECRET:?}]\nvoice_countries = [\"US\"]\n"
    )
}

fn plan(press_after: Duration) -> Plan {
    Plan { answer_after: Duration::from_millis(100), press_after, talk: true, mixed: false }
}

fn lost(phones: &[Heard]) -> f64 {
    number(phones.iter().map(|phone| phone.expected.saturating_sub(phone.received)).sum())
}

/// How long a call was up, in seconds.
fn up_for(phone: &Heard) -> f64 {
    match (phone.acked, phone.ended) {
        (Some(acked), Some(ended)) => ended.since(acked).as_secs_f64(),
        (_, _) => 0.0,
    }
}

/// From the request to the INVITE, and from the first packet of `#` to the verdict.
fn latencies(done: &Done) -> (Spread, Spread) {
    let phones: HashMap<&str, &Heard> =
        done.phones.iter().map(|phone| (phone.number.as_str(), phone)).collect();
    let both = |outcome: &Outcome| Some((*phones.get(outcome.number.as_str())?, outcome.asked));
    let invites = done.outcomes.iter().filter_map(|outcome| {
        let (phone, asked) = both(outcome)?;
        Some(micros(phone.invited.since(asked)))
    });
    let verdicts = done.outcomes.iter().filter_map(|outcome| {
        let (phone, _) = both(outcome)?;
        Some(micros(outcome.told?.since(phone.pressed?)))
    });
    (Spread::of(invites), Spread::of(verdicts))
}
