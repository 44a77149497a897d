//! `octothorpe drain`: a node takes nothing new, and its calls come to an end.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::admin::At;
use super::text;

/// Where it is asked.
const PATH: &str = "/admin/v1/drain";

/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_millis(250);

/// Have a gateway that runs take nothing new, and wait until nothing is under way there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It is not ready from then on (/readyz is 503), refuses new verifications and begins no call; calls that are up go on
to their own ends, and whoever asks is answered. It stays so until it is stopped, which takes no time any more, and
started anew.

Examples:
  octothorpe drain && systemctl restart octothorpe
  octothorpe drain --no-wait --json | jq .calls

Exit codes: 0 nothing is under way, or with --no-wait nothing new is taken; 2 wrong usage, 70 our fault.")]
pub(super) struct Args {
    /// Return at once, and leave calls that are up to themselves.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    at: At,
    /// Print how far it is as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
///
/// # Errors
/// When the gateway does not answer, or refuses.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut told = args.at.post(PATH, &json!({})).await?;
    let mut before = None;
    while !args.no_wait && told.get("done") != Some(&Value::Bool(true)) {
        let now = calls(&told);
        if before != Some(now) {
            eprintln!("{}", line(&told));
        }
        before = Some(now);
        tokio::time::sleep(LOOK).await;
        told = args.at.get(PATH, &[]).await?;
    }
    println!("{}", if args.json { told.to_string() } else { line(&told) });
    Ok(ExitCode::SUCCESS)
}

fn calls(told: &Value) -> u64 {
    told.get("calls").and_then(Value::as_u64).unwrap_or(0)
}

fn line(told: &Value) -> String {
    let node = text(told, "node");
    match (told.get("done") == Some(&Value::Bool(true)), calls(told)) {
        (true, _) => format!("{node} takes nothing new, and nothing is under way"),
        (false, calls) => format!("{node} takes nothing new; calls that are up: {calls}"),
    }
}
