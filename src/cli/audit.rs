//! `octothorpe audit`: whether the log of what was done to a gateway was changed.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::store::settings;
use super::{WRONG, wrong};
use crate::gateway::audit::{self, FILE};
use crate::gateway::keys;

/// The audit log.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Look at the whole log, and say where it was changed, and how.
    #[command(after_help = "\
Each entry names the one before it by a hash, and has a mark that is made by the gateway's key; beside
the log stands how long it is. So it shows what was altered, removed, inserted, exchanged or cut off by
anybody who has not the key. Whoever can write both files and kept copies of both can put the older ones
back: the gateway's own log names number and hash of each entry, which --head holds this one against.

Examples:
  octothorpe audit verify --config /etc/octothorpe/octothorpe.toml
  octothorpe audit verify --config /etc/octothorpe/octothorpe.toml --head 41 --json

Exit codes: 0 it is whole, 1 it was changed, 2 it cannot be read.")]
    Verify {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// How many entries there were at least, as a log elsewhere has it.
        #[arg(long, value_name = "NUMBER")]
        head: Option<u64>,
        /// Print the result as one JSON object, on the last line.
        #[arg(long)]
        json: bool,
    },
}

/// Carries the command out.
///
/// # Errors
/// When the log cannot be read.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Command::Verify { config, head, json } = args.command;
    let Some(settings) = settings(&config) else { return Ok(ExitCode::from(WRONG)) };
    let folder = settings.store.folder();
    let folder = folder.ok_or_else(|| wrong("store.url is memory: nothing is written down"))?;
    let path = folder.join(FILE);
    let vault = keys::vault(&settings).map_err(|error| wrong(error.to_string()))?;
    let looked = audit::verify(folder, &vault)
        .map_err(|error| wrong(format!("{} cannot be read: {error}", path.display())))?;
    let Some(looked) = looked else {
        return Err(wrong(format!("there is no {}: nothing was done yet", path.display())));
    };
    let missing = head.filter(|head| *head > looked.head.no);
    if json {
        let breaks: Vec<_> = looked
            .breaks
            .iter()
            .map(|it| json!({ "line": it.line, "what": it.kind, "told": it.to_string() }))
            .collect();
        println!(
            "{}",
            json!({
                "whole": breaks.is_empty() && missing.is_none(),
                "entries": looked.entries,
                "last": looked.head.no,
                "hash": looked.head.hash,
                "missing_until": missing,
                "breaks": breaks,
            })
        );
    } else {
        for found in &looked.breaks {
            println!("{}: {found}", path.display());
        }
        if let Some(head) = missing {
            println!("{}: it ends at entry {}, before {head}", path.display(), looked.head.no);
        }
        let (entries, last) = (looked.entries, looked.head.no);
        if looked.breaks.is_empty() && missing.is_none() {
            println!("{}: whole: {entries} entries, the last is number {last}", path.display());
        }
    }
    let whole = looked.breaks.is_empty() && missing.is_none();
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
