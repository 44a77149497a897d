//! `octothorpe bench codes`: codes by text and keys by carrier, against the limits this program
//! was built for.

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use super::centre::Centre;
use super::child::{Folder, Gateway, SECRET, Store};
use super::client::Client;
use super::figures::{Figure, Spread, number};
use super::load::Load;
use super::machine::{self, Canary, Cores, Used};
use super::web::Web;
use super::{checks, hooks, starts};
use crate::ambient::{self, Clock, Entropy, Timestamp};

/// So much more is begun than is asked for: a rate that is met exactly would be missed as often as
/// not, by a moment's jitter.
const MORE: f64 = 1.02;

/// How long the gateway may take to bind to its message centre.
const BIND: Duration = Duration::from_secs(10);

/// Codes by text and keys by carrier: checks, starts and hooks a second, and their latency.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe bench codes
  octothorpe bench codes --store disk --json
  octothorpe bench codes --store memory --starts 1000 --hooks 400

Build with --release. Checks are made in this process, on one core. For starts and hooks the gateway
is a process of its own, with taskset on a core of its own; the message centre, the carrier and the
customers share the other. Exit codes: 0 every limit was kept, 1 one was missed, 70 our fault.")]
pub(super) struct Args {
    /// Which stores the gateway of starts and hooks has; both when left out.
    #[arg(long, value_enum)]
    store: Vec<Store>,
    /// How many verifications by text begin in a second.
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2000))]
    starts: u32,
    /// How many hooks come in a second.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    hooks: u32,
    /// For how long each, in seconds.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=30))]
    seconds: u32,
    /// On how many verifications codes are checked in process; five on each.
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1_000..=79_000))]
    verifications: u32,
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
    eprintln!("{} verifications, five checks each, in process …", args.verifications);
    let mut figures = checks::run(args.verifications as usize, &clock).await?;
    for store in Store::chosen(&args.store) {
        let bench = Bench::start(&folder, store, cores, clock.clone()).await?;
        eprintln!("{}: {} starts a second for {} s …", bench.store, args.starts, args.seconds);
        figures.extend(starts::run(&bench, Rate::of(args.starts, args.seconds)).await?);
        eprintln!("{}: {} hooks a second for {} s …", bench.store, args.hooks, args.seconds);
        figures.extend(hooks::run(&bench, Rate::of(args.hooks, args.seconds)).await?);
        for complaint in bench.gateway.complaints() {
            eprintln!("the gateway: {complaint}");
        }
    }
    Ok(super::report(&figures, args.json))
}

/// How often a second something is to be done, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// How often.
    pub(super) asked: f64,
    /// What begins.
    pub(super) load: Load,
}

impl Rate {
    fn of(asked: u32, seconds: u32) -> Self {
        let calls = (asked * seconds) as usize;
        let asked = f64::from(asked);
        Self { asked, load: Load { calls, rate: MORE * asked, most: calls } }
    }
}

/// A gateway with a message centre, a carrier and a customer.
pub(super) struct Bench {
    /// The name of its store.
    pub(super) store: &'static str,
    /// The gateway.
    pub(super) gateway: Gateway,
    /// The message centre that takes its texts.
    pub(super) centre: Centre,
    /// The carrier that places its calls, and its customer's webhook.
    pub(super) web: Web,
    /// Its customer, and whoever calls its hooks.
    pub(super) client: Rc<Client>,
    /// The customer's key, which the carrier signs with, too.
    pub(super) secret: Rc<str>,
    clock: Clock,
}

/// What a measurement took.
pub(super) struct Took {
    /// Of the gateway's core, in percent, by the gateway.
    busy: f64,
    /// Of the machine, in seconds, by others than this bench.
    others: f64,
    /// How late this bench itself was.
    late: Spread,
}

/// What it takes is counted from when it was made.
pub(super) struct Meter {
    began: Timestamp,
    before: Used,
    canary: Canary,
}

impl Bench {
    async fn start(
        folder: &Folder,
        store: Store,
        cores: Cores,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let centre = Centre::start(clock.clone()).await?;
        let web = Web::start(clock.clone()).await?;
        let secret = format!("otk_{}", Entropy::from_seed(ambient::secret()).token(40));
        let rest = configuration(&centre, &web);
        let gateway = Gateway::start(folder.path(), store, &rest, &secret, cores).await?;
        tokio::time::timeout(BIND, centre.bound())
            .await
            .map_err(|_| anyhow::anyhow!("the gateway did not bind to the message centre"))?;
        let client = Rc::new(Client::new(gateway.api, &secret, clock.clone()));
        Ok(Self { store: store.name(), gateway, centre, web, client, secret: secret.into(), clock })
    }

    /// A figure of this bench.
    pub(super) fn figure(
        &self,
        name: &'static str,
        what: &str,
        value: f64,
        unit: &'static str,
    ) -> Figure {
        Figure::new("codes", self.store, name, what, value, unit)
    }

    /// Median and 99th percentile of a latency.
    pub(super) fn pair(
        &self,
        names: [&'static str; 2],
        what: &str,
        spread: &Spread,
        limit: Option<f64>,
    ) -> [Figure; 2] {
        let [p50, p99] = names;
        let p50 = self.figure(p50, &format!("{what} p50"), spread.percent(50), "ms");
        let p99 = self.figure(p99, &format!("{what} p99"), spread.percent(99), "ms");
        [p50, limit.map_or(p99.clone(), |limit| p99.at_most(limit))]
    }

    /// Begins to count what a measurement takes.
    pub(super) fn meter(&self) -> anyhow::Result<Meter> {
        let (began, before) = (self.clock.now(), Used::now(self.gateway.id())?);
        Ok(Meter { began, before, canary: Canary::start(self.clock.clone())? })
    }

    /// What it took.
    pub(super) fn took(&self, meter: Meter) -> anyhow::Result<Took> {
        let used = Used::now(self.gateway.id())?.since(meter.before);
        let wall = self.clock.now().since(meter.began).as_secs_f64();
        let busy = 100.0 * used.gateway / wall;
        Ok(Took { busy, others: used.others(), late: meter.canary.stop() })
    }

    /// The figures of that; they say how much of a latency may not be the gateway's.
    pub(super) fn conditions(&self, names: [&'static str; 3], took: &Took) -> [Figure; 3] {
        let [late, busy, others] = names;
        let own = "lateness of the bench's own core p99";
        [
            self.figure(late, own, took.late.percent(99), "ms"),
            self.figure(busy, "the gateway's share of its core", took.busy, "%"),
            self.figure(others, "CPU of others meanwhile", took.others, "s"),
        ]
    }
}

/// How many a second were answered, from the first answer to the last; NaN when there are not two.
pub(super) fn a_second(answered: impl IntoIterator<Item = Timestamp>) -> f64 {
    let mut answered: Vec<Timestamp> = answered.into_iter().collect();
    answered.sort_unstable();
    match (answered.as_slice(), answered.len()) {
        ([first, .., last], count) => number(count - 1) / last.since(*first).as_secs_f64(),
        (_, _) => f64::NAN,
    }
}

/// Tells on stderr what went wrong how often; the number of all.
pub(super) fn tell(wrong: impl IntoIterator<Item = String>) -> usize {
    let mut counted = std::collections::BTreeMap::new();
    for why in wrong {
        *counted.entry(why).or_insert(0) += 1;
    }
    for (why, count) in &counted {
        eprintln!("{count} x {why}");
    }
    counted.values().sum()
}

/// Texts go by the message centre, calls by the carrier.
fn configuration(centre: &Centre, web: &Web) -> String {
    let (smsc, carrier) = (centre.address, web.address);
    let (name, account, webhook) = (hooks::CARRIER, hooks::ACCOUNT, super::web::WEBHOOK);
    format!(
        "[[carriers]]\nname = \"smsc\"\nkind = \"smpp\"\naddress = \"{smsc}\"\n\
         system_id = \"bench\"\npassword = {SECRET:?}\nfrom = \"+12025550100\"\n\
         [[carriers]]\nname = {name:?}\nkind = \"twilio\"\nbase_url = \"http://{carrier}\"\n\
         account = {account:?}\ntoken = {SECRET:?}\nfrom = \"+12025550101\"\n\
         [[routes]]\nchannel = \"sms\"\nvia = [\"smsc\"]\n\
         [[routes]]\nchannel = \"voice\"\nvia = [{name:?}]\n\
         [[tenants]]\nname = \"bench\"\napi_keys = [{SECRET:?}]\n\
         voice_countries = [\"US\"]\nsms_countries = [\"US\"]\n\
         allow_private_webhooks = true\n\
         webhooks = [{{ url = \"http://{carrier}{webhook}\", secret = {SECRET:?} }}]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_time_between_the_first_and_the_last() {
        let at = |millis| Timestamp::from_secs(9) + Duration::from_millis(millis);
        assert!((a_second([at(40), at(0), at(20)]) - 50.0).abs() < 1e-9);
        assert!(a_second([at(0)]).is_nan());
    }
}
