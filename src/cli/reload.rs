//! `octothorpe reload`: a gateway that runs reads its configuration again.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::admin::At;

/// Have a gateway that runs read its configuration again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A mistake in it changes nothing, and is told here. What only a restart can change is named, and left as it was. It is
what SIGHUP does, with an answer.

Examples:
  octothorpe reload
  octothorpe reload --json | jq -r '.needs_restart[]'
  octothorpe reload --admin https://10.0.0.5:8081 --admin-key env:OPS_KEY

Exit codes: 0 it is read, 2 wrong usage or a mistake in the configuration, 70 our fault.")]
pub(super) struct Args {
    #[command(flatten)]
    at: At,
    /// Print what needs a restart as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
///
/// # Errors
/// When the gateway does not answer, or its configuration has mistakes.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let told = args.at.post("/admin/v1/reload", &json!({})).await?;
    if args.json {
        println!("{told}");
        return Ok(ExitCode::SUCCESS);
    }
    let left = told.get("needs_restart").and_then(Value::as_array);
    let left: Vec<&str> = left.into_iter().flatten().filter_map(Value::as_str).collect();
    println!("The configuration is read.");
    if !left.is_empty() {
        println!("Needs a restart to change: {}", left.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}
