//! `octothorpe bench mixed`: thousands of calls that go well and badly, and what is left of them.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;

use super::child::{Folder, Gateway, SECRET, Store};
use super::client::{Client, Outcome};
use super::farm::{Farm, Plan};
use super::figures::{Figure, number};
use super::load::{Done, Load};
use super::machine;
use super::manner::Manner;
use crate::ambient::{self, Clock, Entropy};

/// From the 2,000th call to the last, memory may grow by so many percent.
const GROWTH: f64 = 5.0;

/// The call after which memory is expected to be flat.
const SETTLED: usize = 2_000;

/// How many descriptors may come or go.
const DESCRIPTORS: f64 = 5.0;

/// How long after the last verdict everything is to be gone: 64 * T1 for a BYE that nobody answers,
/// and as long for copies of what is answered.
const QUIET: Duration = Duration::from_secs(70);

/// What is counted before and after, by the names of the metrics.
const COUNTED: [(&str, &str); 4] = [
    ("octothorpe_legs", "calls left"),
    ("octothorpe_sip_calls", "dialogs and transactions left"),
    ("octothorpe_rtp_pairs", "port pairs left"),
    ("octothorpe_tasks", "tasks left"),
];

/// Calls that are answered, refused, given up, raced, garbled, ignored and deserted: verdicts, and what
/// is left behind.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Of ten phones four press #, one is busy, one rings until it is given up, one answers across the CANCEL,
one sends garbage, one says nothing, and one is gone before the BYE.

Examples:
  octothorpe bench mixed
  octothorpe bench mixed --calls 1000 --json

Exit codes: 0 every limit was kept, 1 one was missed, 70 our fault.")]
pub(super) struct Args {
    /// How many calls.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=79_000))]
    calls: u32,
    /// How many begin in a second.
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    rate: u32,
    /// Only phones that answer and press: what is lost then, the network has lost.
    #[arg(long)]
    good: bool,
    /// Where records are kept. In memory they are never forgotten, and memory grows with them.
    #[arg(long, value_enum, default_value_t = Store::Disk)]
    store: Store,
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
    super::warn_of_debug();
    let farm = Farm::start(Plan { mixed: !args.good, ..PLAN }, clock.clone())?;
    let key = format!("otk_{}", Entropy::from_seed(ambient::secret()).token(40));
    let gateway = Gateway::start(
        folder.path(),
        args.store,
        &configuration(&farm, args.good),
        &key,
        machine::divide(),
    )
    .await?;
    let figures = Mixed { gateway, farm, key, clock }.calls(&args).await?;
    Ok(super::report(&figures, args.json))
}

const PLAN: Plan = Plan {
    answer_after: Duration::from_millis(100),
    press_after: Duration::from_secs(3),
    talk: true,
    mixed: true,
};

/// In a crowd phones ring for 4 s, so that those that nobody answers do not keep the bench waiting.
fn configuration(farm: &Farm, good: bool) -> String {
    let (trunk, ring) = (farm.address, if good { 45 } else { 4 });
    format!(
        "[call]\nring_timeout_secs = {ring}\n\
         [[trunks]]\nname = \"crowd\"\ntarget = \"sip:{trunk};transport=udp\"\n\
         [[tenants]]\nname = \"bench\"\napi_keys = [{SECRET:?}]\nvoice_countries = [\"US\"]\n"
    )
}

struct Mixed {
    gateway: Gateway,
    farm: Farm,
    key: String,
    clock: Clock,
}

impl Mixed {
    async fn calls(&self, args: &Args) -> anyhow::Result<Vec<Figure>> {
        let calls = args.calls as usize;
        // What the first calls make for good, such as threads and buffers, is no leak.
        let warm = calls.min(200);
        eprintln!("{warm} calls before, and quiet for {} s …", QUIET.as_secs());
        self.place(warm, args.rate, |_| ()).await;
        tokio::time::sleep(QUIET).await;
        let before = self.count().await?;
        let process = self.gateway.id();
        eprintln!("{calls} mixed calls …");
        let mut early = None;
        let done = self
            .place(calls, args.rate, |settled| {
                if settled == SETTLED {
                    early = machine::resident(process).ok();
                }
            })
            .await;
        let late = machine::resident(process)?;
        eprintln!("quiet for {} s …", QUIET.as_secs());
        tokio::time::sleep(QUIET).await;
        let after = self.count().await?;
        let figure = |name, what: &str, value, unit| {
            Figure::new("mixed", args.store.name(), name, what, value, unit)
        };
        let what = format!("of {calls} verdicts unexpected");
        let mut figures = vec![
            figure("verdicts", &what, unexpected(&done, args.good), "").at_most(0.0),
            figure("doubled", "phones called twice", doubled(&done), "").at_most(0.0),
        ];
        for (((name, what), before), after) in
            COUNTED.into_iter().zip(&before.counted).zip(&after.counted)
        {
            figures.push(figure(name, what, after - before, "").at_most(0.0));
        }
        let descriptors = (after.descriptors - before.descriptors).abs();
        figures.push(
            figure("descriptors", "descriptors more or less", descriptors, "").at_most(DESCRIPTORS),
        );
        if let Some(early) = early.filter(|_| calls > SETTLED) {
            let growth = 100.0 * (late - early) / early;
            figures.extend([
                figure("rss_2000", "memory after 2000 calls", early / 1_024.0, "MiB"),
                figure("rss_end", "memory at the end", late / 1_024.0, "MiB"),
                figure("growth", "growth of memory", growth, "%").at_most(GROWTH),
            ]);
        }
        for complaint in self.gateway.complaints() {
            eprintln!("the gateway: {complaint}");
        }
        Ok(figures)
    }

    /// Places calls as customers of their own, whose connections are gone when they are done.
    async fn place(&self, calls: usize, rate: u32, settled: impl FnMut(usize)) -> Done {
        let client = Rc::new(Client::new(self.gateway.api, &self.key, self.clock.clone()));
        let load = Load { calls, rate: f64::from(rate), most: calls };
        load.run(client, &self.farm, settled).await
    }

    async fn count(&self) -> anyhow::Result<Count> {
        let client = Client::new(self.gateway.admin, &self.key, self.clock.clone());
        let body = client.send("GET /metrics", "", "").await?.body;
        let text = String::from_utf8_lossy(&body).into_owned();
        let value = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(' '));
            let found = lines.filter(|(it, _)| *it == name).find_map(|(_, it)| it.parse().ok());
            found.with_context(|| format!("/metrics has no {name}"))
        };
        let counted = COUNTED.iter().map(|(name, _)| value(name)).collect::<Result<_, _>>()?;
        let open = fs::read_dir(format!("/proc/{}/fd", self.gateway.id()))?.count();
        Ok(Count { counted, descriptors: number(open) })
    }
}

/// What there is of everything.
struct Count {
    counted: Vec<f64>,
    descriptors: f64,
}

/// How many verdicts were not those of their phones.
fn unexpected(done: &Done, good: bool) -> f64 {
    let manner = |it: &Outcome| if good { Manner::Presses } else { Manner::of(&it.number) };
    let odd = |it: &&Outcome| it.verdict != manner(it).verdict();
    let odd: Vec<&Outcome> = done.outcomes.iter().filter(odd).collect();
    for outcome in odd.iter().take(10) {
        eprintln!("{:?}: {}", manner(outcome), outcome.verdict);
    }
    number(odd.len())
}

/// How many phones were called more than once, though their verification was one.
fn doubled(done: &Done) -> f64 {
    let mut called = HashMap::new();
    for phone in &done.phones {
        *called.entry(phone.number.as_str()).or_insert(0_usize) += 1;
    }
    number(called.values().filter(|times| **times > 1).count())
}
