//! `octothorpe bench`: what this build can do on this machine, in figures against their limits.

mod calls;
mod child;
mod client;
mod farm;
mod figures;
mod load;
mod machine;
mod phone;

use std::process::ExitCode;

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
}

/// Carries the command out.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let What::Calls(args) = args.what;
    // One thread: the gateway runs in a process of its own, and the phones in a thread of theirs.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(calls::run(args))
}
