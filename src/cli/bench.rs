//! `octothorpe bench`: what this build can do on this machine, in figures against their limits.

mod calls;
mod centre;
mod checks;
mod child;
mod client;
mod codes;
mod dtmf;
mod farm;
mod figures;
mod hooks;
mod http;
mod load;
mod machine;
mod manner;
mod media;
mod mixed;
mod nodes;
mod phone;
mod rush;
mod sip;
mod starts;
mod timing;
mod trunks;
mod web;

use std::process::ExitCode;

use self::figures::Figure;
use crate::telemetry::Metrics;

/// Measure this build on this machine, against the limits it was built for.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Real calls over loopback: loss, lateness, latency and memory of a gateway of its own.
    Calls(calls::Args),
    /// Calls that go well and badly: their verdicts, and what is left of them.
    Mixed(mixed::Args),
    /// Codes by text and keys by carrier: checks, starts and hooks a second, and their latency.
    Codes(codes::Args),
    /// The API: starts a second beside a handler that does nothing, and what overload does to them.
    Http(http::Args),
    /// Idle trunks: what asking each of them whether it lives costs, and being registered there.
    Trunks(trunks::Args),
    /// The media engine: how many calls one core carries, beside the usual way.
    Media(media::Args),
    /// Keys heard as tones: how many are missed, how many are heard where there are none, and what it costs.
    Dtmf(dtmf::Args),
    /// Whether the time that an answer takes tells what it must not.
    Timing(timing::Args),
    /// SIP in memory: what a message costs, the worst that is let in, and calls a second.
    Sip(sip::Args),
}

/// Carries the command out.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    // One thread: the gateway runs in a process of its own, and the phones in a thread of theirs.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match args.what {
        What::Calls(args) => runtime.block_on(calls::run(args)),
        What::Mixed(args) => runtime.block_on(mixed::run(args)),
        What::Codes(args) => runtime.block_on(codes::run(args)),
        What::Http(args) => match args.nothing {
            true => http::nothing(),
            false => runtime.block_on(http::run(args)),
        },
        What::Trunks(args) => runtime.block_on(trunks::run(args)),
        What::Media(args) => {
            let metrics = Metrics::install()?;
            // Sockets of SIP want a runtime, which has nothing to do.
            let _within = runtime.enter();
            media::run(&args, &metrics)
        }
        What::Dtmf(args) => dtmf::run(&args),
        What::Timing(args) => runtime.block_on(timing::run(args)),
        What::Sip(args) => sip::run(&args),
    }
}

/// Says what kind of build this is, where that matters.
fn warn_of_debug() {
    if cfg!(debug_assertions) {
        eprintln!("This is not a release build: its figures mean little.");
    }
}

/// Prints the figures; the exit code says whether every limit was kept.
fn report(figures: &[Figure], json: bool) -> ExitCode {
    if !json {
        println!("{}", figures::head());
    }
    for figure in figures {
        println!("{}", if json { figure.json() } else { figure.row() });
    }
    eprintln!("load averages at the end: {}", machine::load());
    ExitCode::from(u8::from(!figures.iter().all(Figure::is_met)))
}
