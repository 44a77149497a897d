//! `octothorpe serve`: the gateway.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{WRONG, wrong};
use crate::ambient::{Clock, Entropy};
use crate::config::{self, Complaint, Complaints, Config, Log, LogFormat};
use crate::failpoint;
use crate::gateway::Gateway;
use crate::gateway::audit::Act;
use crate::gateway::settings::{Settings, StoreSettings};
use crate::http::{self, Listening, Mistake, Operator, Reload, Server};
use crate::sip::Hop;
use crate::telemetry;

/// How long calls may go on after SIGTERM. With the farewells that follow, all is over within 90 s, which
/// is what whoever stops services should wait.
const DRAIN: Duration = Duration::from_secs(75);

/// How often samples are folded into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// Run the gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe serve --config config/lab.toml
  OCTOTHORPE_LOG__FILTER=debug octothorpe serve --config /etc/octothorpe/octothorpe.toml

The log goes to standard error: for people on a terminal, one JSON object a line elsewhere (log.format).

SIGHUP, or octothorpe reload: the configuration is read again. A mistake in it changes nothing.
SIGTERM or Ctrl-C: not ready, no new verification and no new call; calls that are up may finish (75 s), then
exit 0. A second one ends them at once, politely.

Exit codes: 0 it was stopped, 2 wrong usage or configuration, 70 our fault.")]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Log as JSON on a terminal, too.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    #[cfg(feature = "failpoints")]
    if let Ok(order) = std::env::var(failpoint::VARIABLE) {
        failpoint::arm(&order).map_err(|error| wrong(error.to_string()))?;
    }
    let Some(path) = args.config else {
        eprintln!("{}", config::what_to_write());
        return Ok(ExitCode::from(WRONG));
    };
    let loaded = match config::load(&path, |name| std::env::var(name).ok()) {
        Ok(loaded) => loaded,
        Err(complaints) => {
            eprintln!("{complaints}");
            return Ok(ExitCode::from(WRONG));
        }
    };
    // Before a store that takes its time is read: what is sent meanwhile waits, and ends nobody.
    let mut hang_up = signal(SignalKind::hangup())?;
    start_log(&loaded.config.log, args.json)?;
    super::open_files()?;
    tracing::info!(
        version = %failpoint::VERSION, build = %super::BUILD, config = %path.display(), "octothorpe"
    );
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let metrics = count()?;
    let settings = loaded.config.gateway;
    let told = Told::of(&settings);
    let started = Gateway::start(settings, Clock::system(), Entropy::system(), None);
    let (gateway, running) = started.map_err(|error| wrong(error.to_string()))?;
    let taken_up = gateway.take_up().await;
    taken_up.map_err(|error| wrong(format!("the tenants and keys in the store: {error}")))?;
    let listening = Listening::new(loaded.config.http).map_err(|error| wrong(error.to_string()))?;
    let reload = reload(path.clone(), gateway.clone(), listening.clone(), loaded.config.log);
    let operator = Operator { metrics, reload: Some(Arc::clone(&reload)) };
    let audited = gateway.clone();
    let server = Server::bind(listening, gateway, operator)
        .await
        .map_err(|error| wrong(error.to_string()))?;
    told.tell(&running.sip, &server);

    let (stopped, stop) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move {
        let _ = stop.await;
    }));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => {
                let act = Act { who: "SIGHUP".to_owned(), what: "reload", about: Value::Null };
                if let Err(fault) = audited.audit(act).await {
                    tracing::error!("not reloaded: {fault}");
                    continue;
                }
                let reload = Arc::clone(&reload);
                let _ = tokio::task::spawn_blocking(move || reload()).await;
            }
        }
    }
    tracing::info!(calls = running.calls(), "draining");
    let drain = running.drain_unless(DRAIN, async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    drain.await;
    let _ = stopped.send(());
    let _ = serving.await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Reads the configuration again, one time after another, and tells the log what came of it.
fn reload(path: PathBuf, gateway: Gateway, listening: Listening, log: Log) -> Reload {
    let one = Mutex::new(());
    Arc::new(move || {
        let _one = one.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = match config::load(&path, |name| std::env::var(name).ok()) {
            Ok(loaded) => loaded,
            Err(Complaints(complaints)) => {
                for complaint in &complaints {
                    tracing::error!("not reloaded: {complaint}");
                }
                let mistake = |it: Complaint| Mistake { told: it.to_string(), key: it.key };
                return Err(complaints.into_iter().map(mistake).collect());
            }
        };
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let Config { gateway: settings, http, log: logs, .. } = loaded.config;
        let Told { trunks, carriers, tenants, .. } = Told::of(&settings);
        tracing::info!(trunks = %trunks, carriers = %carriers, tenants, "reloaded");
        let mut left = gateway.reload(&settings);
        left.extend(listening.reload(&http));
        left.extend((log != logs).then_some("log"));
        let left: Vec<String> = left.into_iter().map(str::to_owned).collect();
        if !left.is_empty() {
            tracing::warn!("needs a restart to change: {}", left.join(", "));
        }
        Ok(left)
    })
}

/// Counts from now on; the result renders what was counted.
pub(super) fn count() -> anyhow::Result<http::Metrics> {
    let metrics = telemetry::Metrics::install()?;
    let counted = metrics.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            counted.upkeep();
        }
    });
    Ok(Arc::new(move || metrics.render()))
}

/// What a gateway has to do with, as it is told.
struct Told {
    store: String,
    trunks: String,
    carriers: String,
    tenants: usize,
    rtp: (u16, u16),
}

impl Told {
    fn of(settings: &Settings) -> Self {
        let store = match &settings.store {
            StoreSettings::Memory => "memory".to_owned(),
            StoreSettings::Directory(dir) => dir.display().to_string(),
            StoreSettings::Redis(redis) => redis.told(),
        };
        let named = |names: Vec<&str>| match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(","),
        };
        Self {
            store,
            trunks: named(settings.trunks.iter().map(|trunk| trunk.name.as_str()).collect()),
            carriers: named(settings.carriers.iter().map(|it| it.name.as_str()).collect()),
            tenants: settings.tenants.len(),
            rtp: settings.rtp_ports,
        }
    }

    /// Four lines, of which the last says that it is ready.
    fn tell(&self, sip: &[Hop], server: &Server) {
        let Self { store, trunks, carriers, tenants, rtp: (first, last) } = self;
        let sip: Vec<String> = sip.iter().map(Hop::to_string).collect();
        let admin = server.admin_address().map(tracing::field::display);
        tracing::info!(store = %store, "keeps verifications");
        tracing::info!(trunks = %trunks, carriers = %carriers, tenants, "reaches people");
        tracing::info!(sip = %sip.join(" "), rtp = %format_args!("{first}-{last}"), "takes SIP");
        tracing::info!(api = %server.api_address(), admin, "takes requests: ready");
    }
}

/// Logs go to stderr: text on a terminal, JSON elsewhere.
fn start_log(log: &Log, as_json: bool) -> anyhow::Result<()> {
    // RUST_LOG is what a person in a hurry types.
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        Ok(_) | Err(_) => log.filter.clone(),
    };
    let filter =
        EnvFilter::try_new(filter).map_err(|error| wrong(format!("log filter: {error}")))?;
    let json = as_json
        || match log.format {
            LogFormat::Auto => !std::io::stderr().is_terminal(),
            LogFormat::Text => false,
            LogFormat::Json => true,
        };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        lines.json().flatten_event(true).init();
    } else {
        lines.compact().with_target(false).init();
    }
    Ok(())
}
