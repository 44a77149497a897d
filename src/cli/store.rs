//! `octothorpe store`: what is done to a store that no gateway has open.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::{WRONG, wrong};
use crate::config;
use crate::gateway::keys;
use crate::gateway::settings::{Settings, StoreSettings};
use crate::store::Store;

/// A store that no gateway has open.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Seal a store that an earlier version kept in the clear, once.
    #[command(after_help = "\
Stores are sealed: what is in them can be read, and made, by the gateway's keys alone. A store of a
version before that is taken as it is, this once: run it when you upgrade, and never on a store that
was sealed before, which somebody has then exchanged.

Examples:
  octothorpe store seal --config /etc/octothorpe.toml

Exit codes: 0 it is sealed, 2 it was not to be sealed, or is in use.")]
    Seal {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print the result as one JSON object, on the last line.
        #[arg(long)]
        json: bool,
    },
}

/// Carries the command out.
///
/// # Errors
/// When the store cannot be opened.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Command::Seal { config, json } = args.command;
    let Some(settings) = settings(&config) else { return Ok(ExitCode::from(WRONG)) };
    let dir = folder(&settings)?;
    let vault = keys::vault(&settings).map_err(|error| wrong(error.to_string()))?;
    let records = Store::upgrade(dir, &vault).map_err(|error| wrong(error.to_string()))?;
    if json {
        println!("{}", json!({ "sealed": records }));
    } else {
        println!("{} is sealed: {records} record(s)", dir.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// What a configuration says of the gateway; `None` after its mistakes were told.
pub(super) fn settings(path: &Path) -> Option<Settings> {
    match config::load(path, |name| std::env::var(name).ok()) {
        Ok(loaded) => Some(loaded.config.gateway),
        Err(complaints) => {
            eprintln!("{complaints}");
            None
        }
    }
}

/// The folder of the store.
///
/// # Errors
/// When it is kept elsewhere.
pub(super) fn folder(settings: &Settings) -> anyhow::Result<&Path> {
    match &settings.store {
        StoreSettings::Directory(dir) => Ok(dir),
        StoreSettings::Redis(redis) => {
            Err(wrong(format!("store.url is {redis}: there is no file")))
        }
        StoreSettings::Memory => {
            Err(wrong("store.url is memory: there is nothing of it outside of a gateway that runs"))
        }
    }
}
