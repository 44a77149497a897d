//! `octothorpe erase`: forgets a number.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::admin::At;
use super::store::{folder, settings};
use super::{WRONG, admin, counted, wrong};
use crate::ambient::Clock;
use crate::gateway::audit::{Act, Log};
use crate::gateway::settings::{Settings, StoreSettings};
use crate::gateway::{keys, retention};
use crate::store::{OpenError, Store};
use crate::verify::number::PhoneNumber;

/// Forget a number: everything that is stored of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Its verifications are removed, with what is queued for them and what requests were answered of them; its
counts, blocks and notices, and the keyed hashes by which they are found. The store's file is written
anew, so that nothing is left in its unused pages; whoever writes waits for that. A verification that is
under way is withdrawn first. In the audit log stands that a number was erased, and not which.

That a phone wants no texts any more (STOP) is kept, as a keyed hash of number and sender, or it would be
texted again; --opt-outs removes it, too.

A gateway that runs is asked to do it by its operator's listener; otherwise the store is opened.

Examples:
  octothorpe erase +12025550123 --config /etc/octothorpe/octothorpe.toml
  echo +12025550123 | octothorpe erase - --config /etc/octothorpe/octothorpe.toml --opt-outs --json

Exit codes: 0 it is forgotten, 2 wrong usage, 70 our fault.")]
pub(super) struct Args {
    /// The number, in E.164; - reads it from standard input, and keeps it out of the process list.
    number: String,
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the operator's listener of a gateway that runs is; as the configuration says when left out.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    #[arg(long, alias = "key", value_name = "KEY", help = admin::KEY_HELP)]
    admin_key: Option<String>,
    /// Forget, too, that its phone wants no texts.
    #[arg(long)]
    opt_outs: bool,
    /// Print the result as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
///
/// # Errors
/// When the store fails.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut written = args.number.clone();
    if written == "-" {
        written.clear();
        std::io::stdin().take(64).read_to_string(&mut written).context("cannot read the number")?;
    }
    let number: PhoneNumber =
        written.trim().parse().map_err(|error| wrong(format!("the number: {error}")))?;
    let Some(settings) = settings(&args.config) else { return Ok(ExitCode::from(WRONG)) };
    let vault = keys::vault(&settings).map_err(|error| wrong(error.to_string()))?;
    let opened = match &settings.store {
        // Any gateway that shares it can do it.
        StoreSettings::Redis(_) => None,
        StoreSettings::Directory(_) | StoreSettings::Memory => {
            Some(Store::open(folder(&settings)?, &vault))
        }
    };
    let erased = match opened {
        Some(Ok(store)) => {
            let log = Log::open(folder(&settings)?, &vault).context("the audit log")?;
            let about = json!({ "opt_outs": args.opt_outs });
            let act = Act { who: "cli".to_owned(), what: "erase", about };
            log.write(Clock::system().now(), &act).context("the audit log")?;
            let senders: Vec<&str> = senders(&settings);
            let erased = retention::erase(&store, &vault, &number, &senders, args.opt_outs).await?;
            serde_json::to_value(erased)?
        }
        None | Some(Err(OpenError::Locked { .. })) => ask(&args, &number).await?,
        Some(Err(error)) => return Err(wrong(error.to_string())),
    };
    if args.json {
        println!("{erased}");
    } else {
        let records = erased.get("records").and_then(Value::as_u64).unwrap_or(0);
        println!("{number} is forgotten: {}", counted(records, "record", "records"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whom texts come from.
fn senders(settings: &Settings) -> Vec<&str> {
    settings.carriers.iter().map(|carrier| carrier.sender.as_str()).collect()
}

/// Asks a gateway that has the store open.
async fn ask(args: &Args, number: &PhoneNumber) -> anyhow::Result<Value> {
    let at = At::configured(&args.config, args.admin.as_deref(), args.admin_key.as_deref())?;
    let body = json!({ "number": number.expose(), "opt_outs": args.opt_outs });
    at.post("/admin/v1/erase", &body).await
}
