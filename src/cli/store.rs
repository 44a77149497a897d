//! `octothorpe store`: what is done to a store as a whole.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::admin::At;
use super::{WRONG, counted, text, wrong};
use crate::ambient::Clock;
use crate::config;
use crate::gateway::audit::{Act, Log};
use crate::gateway::keys;
use crate::gateway::settings::{Settings, StoreSettings};
use crate::gateway::upkeep::{BackedUp, Compacted};
use crate::store::{OpenError, Store};

/// A store as a whole.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Copy a store to a file, while its gateway runs or not.
    #[command(after_help = "\
The copy is the store as it was at one moment; who verifies notices nothing of it. A gateway that runs is
asked by its operator's listener to write the copy beside its store, from where this command takes it: it
runs on the same machine. Otherwise the store is opened.

What is in the copy is sealed as the store is, and worth nothing without store.secret, or the key file
beside the store: keep that somewhere else. The audit log (audit.jsonl, audit.head) is no part of it.

To restore it, stop the gateway and put the file in the place of octothorpe.redb. What came after it is
not known then: codes that were used since can be used again until they expire.

Examples:
  octothorpe store backup /backup/octothorpe.redb --config /etc/octothorpe/octothorpe.toml

Exit codes: 0 it is there, 2 wrong usage, 70 our fault.")]
    Backup {
        /// The file; what is there is replaced.
        file: PathBuf,
        #[command(flatten)]
        which: Which,
    },
    /// Give back the room on the disk that a store does not use.
    #[command(after_help = "\
What was removed leaves room in the file, which is used again by what comes; a file never shrinks by much
on its own. It pays after very many verifications were removed at once. The file is written anew, as long
as what is in it: whoever starts or checks a verification waits for that, about a second for 100,000
verifications.

Examples:
  octothorpe store compact --config /etc/octothorpe/octothorpe.toml

Exit codes: 0 it is done, 2 wrong usage, 70 our fault.")]
    Compact {
        #[command(flatten)]
        which: Which,
    },
    /// Seal a store that an earlier version kept in the clear, once.
    #[command(after_help = "\
Stores are sealed: what is in them can be read, and made, by the gateway's keys alone. A store of a
version before that is taken as it is, this once: run it when you upgrade, and never on a store that
was sealed before, which somebody has then exchanged.

Examples:
  octothorpe store seal --config /etc/octothorpe/octothorpe.toml

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

/// Whose store, and how it is told what became of it.
#[derive(Debug, clap::Args)]
struct Which {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the operator's listener of a gateway that runs is; as the configuration says when left out.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// The key to present there, of scope admin: env:NAME or file:PATH keep it out of the process list.
    #[arg(long, value_name = "KEY")]
    admin_key: Option<String>,
    /// Print the result as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

impl Which {
    /// Asks the gateway that has the store open.
    async fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let at = At::configured(&self.config, self.admin.as_deref(), self.admin_key.as_deref())?;
        at.post(path, &json!({})).await
    }
}

/// Carries the command out.
///
/// # Errors
/// When the store cannot be opened.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Backup { file, which } => back_up(&file, &which).await,
        Command::Compact { which } => compact(&which).await,
        Command::Seal { config, json } => seal(&config, json),
    }
}

async fn back_up(file: &Path, which: &Which) -> anyhow::Result<ExitCode> {
    let Some(settings) = settings(&which.config) else { return Ok(ExitCode::from(WRONG)) };
    let done = match open(&settings, "store.backup")? {
        Some(store) => BackedUp { file: file.display().to_string(), bytes: store.back_up(file)? },
        None => {
            let told = which.ask("/admin/v1/backup").await?;
            take(Path::new(text(&told, "file")), file)?
        }
    };
    if which.json {
        println!("{}", serde_json::to_string(&done)?);
    } else {
        println!("{} is a copy of the store: {} bytes", done.file, done.bytes);
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes the copy from where the gateway put it: it may be another disk.
fn take(from: &Path, to: &Path) -> anyhow::Result<BackedUp> {
    let half = to.with_extension("half");
    let failed = |path: &Path| format!("the copy cannot be taken: {}", path.display());
    let bytes = fs::copy(from, &half).with_context(|| failed(from))?;
    fs::set_permissions(&half, fs::Permissions::from_mode(0o600)).with_context(|| failed(&half))?;
    fs::File::open(&half).and_then(|it| it.sync_all()).with_context(|| failed(&half))?;
    fs::rename(&half, to).with_context(|| failed(to))?;
    fs::remove_file(from).with_context(|| failed(from))?;
    Ok(BackedUp { file: to.display().to_string(), bytes })
}

async fn compact(which: &Which) -> anyhow::Result<ExitCode> {
    let Some(settings) = settings(&which.config) else { return Ok(ExitCode::from(WRONG)) };
    let done = match open(&settings, "store.compact")? {
        Some(store) => {
            let (before, after) = store.compact().await?;
            serde_json::to_value(Compacted { before, after })?
        }
        None => which.ask("/admin/v1/compact").await?,
    };
    if which.json {
        println!("{done}");
    } else {
        let bytes = |name| done.get(name).and_then(Value::as_u64).unwrap_or(0);
        println!("the store took {} bytes, and takes {}", bytes("before"), bytes("after"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The store of these settings, after it was written down what is done to it; `None` where a gateway has it
/// open.
fn open(settings: &Settings, what: &'static str) -> anyhow::Result<Option<Store>> {
    let dir = folder(settings)?;
    let vault = keys::vault(settings).map_err(|error| wrong(error.to_string()))?;
    match Store::open(dir, &vault) {
        Ok(store) => {
            let log = Log::open(dir, &vault).context("the audit log")?;
            let act = Act { who: "command line".to_owned(), what, about: Value::Null };
            log.write(Clock::system().now(), &act).context("the audit log")?;
            Ok(Some(store))
        }
        Err(OpenError::Locked { .. }) => Ok(None),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn seal(config: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let Some(settings) = settings(config) else { return Ok(ExitCode::from(WRONG)) };
    let dir = folder(&settings)?;
    let vault = keys::vault(&settings).map_err(|error| wrong(error.to_string()))?;
    let records = Store::upgrade(dir, &vault).map_err(|error| wrong(error.to_string()))?;
    if as_json {
        println!("{}", json!({ "sealed": records }));
    } else {
        let records = counted(u64::try_from(records)?, "record", "records");
        println!("{} is sealed: {records}", dir.display());
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
