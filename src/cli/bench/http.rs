//! `octothorpe bench http`: starts by the API, beside a handler that does nothing and in the midst of more than can
//! be served; and by nodes that share a Redis.

use std::cell::Cell;
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ExitCode, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::routing::post;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tower::Service as _;

use super::centre::Centre;
use super::child::{Folder, Gateway, SECRET, Store};
use super::figures::{Figure, number};
use super::load;
use super::machine::{self, Cores};
use super::rush::{Came, Next, Rush};
use crate::ambient::{self, Clock, Entropy};

/// How many ask at once where it is measured how many are served.
pub(super) const CLIENTS: usize = 64;

/// The same where each waits for the disk.
const CLIENTS_OF_DISK: usize = 256;

/// How much more than can be served is asked in overload.
const OVERLOAD: f64 = 5.0;

/// How long the gateway may take to bind to its message centre.
pub(super) const BIND: Duration = Duration::from_secs(10);

/// How long a connection may be busy before anything is measured.
pub(super) const WARM: Duration = Duration::from_millis(500);

/// The API: starts a second beside a handler that does nothing, and what overload does to them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe bench http
  octothorpe bench http --json --seconds 5
  octothorpe bench http --redis

Build with --release. The gateway is a process of its own, with taskset on a core of its own; its customers
have the other. Starts are by text, each for another number, with every limit counted and kept; the carrier
takes one text a second, so that it is the API which is measured. Exit codes: 0 every limit was kept, 1 one was
missed, 70 our fault.")]
pub(super) struct Args {
    /// For how long each, in seconds.
    #[arg(long, default_value_t = 3, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=10))]
    seconds: u32,
    /// Where the disk store is put; a folder of this bench's own is made in it, and removed.
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Measure nodes that share a Redis of this bench's own instead: one, and three where there are five cores
    /// (redis-server must be installed).
    #[arg(long)]
    redis: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Be the server that does nothing.
    #[arg(long, hide = true)]
    pub(super) nothing: bool,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let folder = Folder::create(&args.folder)?;
    let cores = machine::divide();
    let syncs = machine::syncs(folder.path(), &clock)?;
    eprintln!("{}", machine::limits(cores, &syncs));
    super::warn_of_debug();
    let span = Duration::from_secs(args.seconds.into());
    let key = format!("otk_{}", Entropy::from_seed(ambient::secret()).token(40));
    if args.redis {
        let figures = super::nodes::measure(folder.path(), &clock, &key, cores, span).await?;
        return Ok(super::report(&figures, args.json));
    }
    let rush = |address| Rush {
        address,
        clock: clock.clone(),
        next: starts(&key),
        made: Rc::new(Cell::new(0)),
    };
    let idle = {
        let server = Nothing::start(cores)?;
        eprintln!("a handler that does nothing …");
        measured(&rush(server.address), CLIENTS, span).await?
    };
    let mut figures =
        vec![figure("none", "nothing", "a handler that does nothing", idle.rate(), "/s")];
    for (store, clients) in [(Store::Memory, CLIENTS), (Store::Disk, CLIENTS_OF_DISK)] {
        let centre = Centre::start(clock.clone()).await?;
        let gateway = {
            let rest = configuration(centre.address);
            Gateway::start(folder.path(), store, &rest, &key, cores).await?
        };
        let bound = tokio::time::timeout(BIND, centre.bound()).await;
        bound.context("the gateway did not bind to the message centre")?;
        let rush = rush(gateway.api);
        eprintln!("{}: starts by {clients} clients …", store.name());
        let peak = measured(&rush, clients, span).await?;
        tell(&peak);
        let name = store.name();
        let starts = figure(name, "starts", "starts", peak.rate(), "/s");
        figures.push(match store {
            Store::Memory => starts,
            Store::Disk => starts.at_least(5_000.0),
        });
        if store == Store::Memory {
            let share = peak.rate() / idle.rate();
            figures.push(
                figure(name, "share", "of a handler that does nothing", share, "").at_least(0.5),
            );
        }
        figures.push(figure(name, "p99", "start to its answer p99", peak.good().percent(99), "ms"));
        let rate = OVERLOAD * peak.rate();
        eprintln!("{}: {rate:.0} starts a second are asked for …", store.name());
        let over = rush.open(rate, span).await?;
        tell(&over);
        let kept = over.rate() / peak.rate();
        figures.extend([
            figure(name, "offered", "overload: requests sent", over.offered(), "/s"),
            figure(name, "goodput", "overload: starts, of those without", kept, "").at_least(0.8),
            figure(name, "refusals", "overload: refusals", number(over.refused.len()), ""),
            figure(name, "unsent", "overload: found no connection", number(over.unsent), ""),
            figure(name, "over_p99", "overload: start p99", over.good().percent(99), "ms"),
        ]);
        if !over.refused.is_empty() {
            let late = over.refused().percent(99);
            figures.push(
                figure(name, "refusal_p99", "overload: refusal p99", late, "ms").at_most(50.0),
            );
        }
        let memory = machine::most_memory(gateway.id())?;
        figures.push(figure(name, "memory", "most memory", memory, "MiB").at_most(512.0));
        for complaint in gateway.complaints() {
            eprintln!("the gateway: {complaint}");
        }
    }
    Ok(super::report(&figures, args.json))
}

pub(super) fn figure(
    store: &'static str,
    name: &'static str,
    what: &str,
    value: f64,
    unit: &'static str,
) -> Figure {
    Figure::new("http", store, name, what, value, unit)
}

/// As many as are served, after a moment of warming up.
pub(super) async fn measured(rush: &Rush, clients: usize, span: Duration) -> anyhow::Result<Came> {
    rush.closed(clients, WARM).await?;
    rush.closed(clients, span).await
}

/// What was answered otherwise than by a start or a refusal.
pub(super) fn tell(came: &Came) {
    super::codes::tell(came.other.iter().map(|status| format!("answered {status}")));
}

/// Starts, each for another number.
pub(super) fn starts(key: &str) -> Next {
    let key = key.to_owned();
    Rc::new(move |index| {
        let body = json!({
            "to": load::number(index), "channel": "sms", "mode": "code", "brand": "Bench",
            "subject": format!("user-{index}"), "client_ip": "203.0.113.9",
        })
        .to_string();
        format!(
            "POST /v1/verifications HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    })
}

/// Every limit is counted, and none is reached.
pub(super) fn configuration(centre: SocketAddr) -> String {
    format!(
        "[[carriers]]\nname = \"smsc\"\nkind = \"smpp\"\naddress = \"{centre}\"\n\
         system_id = \"bench\"\npassword = {SECRET:?}\nfrom = \"+12025550100\"\nper_second = 1\n\
         [[tenants]]\nname = \"bench\"\napi_keys = [{SECRET:?}]\nsms_countries = [\"US\"]\n\
         [tenants.limits]\nnumber = [\"5/10m\", \"10/h\"]\nsubject = [\"3/10m\"]\n\
         client_ip = [\"1000000/h\"]\nprefix = [\"1000000/h\"]\ncountry = [\"1000000/h\"]\n\
         tenant = [\"1000000/h\", \"10000000/d\"]\n"
    )
}

/// A server that does nothing; killed when dropped.
struct Nothing {
    process: Child,
    address: SocketAddr,
}

impl Nothing {
    fn start(cores: Cores) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = cores.command(program);
        command.args(["bench", "http", "--nothing"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().context("cannot start the server that does nothing")?;
        let output = process.stdout.take().context("it says nothing")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().context("it does not say where it listens")?;
        Ok(Self { process, address })
    }
}

impl Drop for Nothing {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A handler of the gateway's stack that does nothing: the same runtime, hyper and axum.
pub(super) fn nothing() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let answer = async || ([("content-type", "application/json")], "{\"hello\":\"world\"}");
        let router = Router::new().route("/v1/verifications", post(answer));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let router = router.clone();
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let mut router = router.clone();
                async move {
                    let answer: Result<_, Infallible> = router.call(request.map(Body::new)).await;
                    answer
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })
}
