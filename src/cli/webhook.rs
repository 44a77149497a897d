//! `octothorpe webhook`: the endpoints of a gateway that runs, and events that are sent to them once more.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::admin::At;
use super::{counted, text};

/// The endpoints of tenants.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List them, and whether anything is sent there.
    List(List),
    /// Switch one on again.
    Enable(Enable),
    /// Send events once more, under the ids they were sent under before.
    Replay(Replay),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe webhook list
  octothorpe webhook list --json | jq -r '.webhooks[] | select(.on == false) | .id'

Exit codes: 0 listed, 70 our fault.")]
struct List {
    #[command(flatten)]
    at: At,
    /// Print them as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What was withheld meanwhile is sent when it is replayed.

Examples:
  octothorpe webhook enable ep_0123456789ab

Exit codes: 0 it is on, 2 there is none of that name, 70 our fault.")]
struct Enable {
    /// Its name, as `octothorpe webhook list` has it.
    endpoint: String,
    #[command(flatten)]
    at: At,
    /// Print it as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every event that the endpoints want is sent once more, with the same id and the same content; whoever had it
already knows it by its id. Events that are still being tried are not sent twice. By time: the verdicts of
verifications that were begun then, and what else happened then.

Examples:
  octothorpe webhook replay --tenant acme --since 2026-11-26T18:00:00Z --until 2026-11-26T19:00:00Z
  octothorpe webhook replay --tenant acme --verification vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE
  octothorpe webhook replay --tenant acme --event evt_01JDFZ8V6Q3K5T9W2R4Y7B0CDE_3 --endpoint ep_0123456789ab

Exit codes: 0 queued, 2 there is no such tenant, endpoint or event, 70 our fault.")]
#[group(id = "which", required = true, args = ["since", "verification", "event"])]
struct Replay {
    /// Whose events.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// From then on (RFC 3339, UTC).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this; until now when it is left out.
    #[arg(long, value_name = "TIME", requires = "since")]
    until: Option<String>,
    /// Those of this verification.
    #[arg(long, value_name = "ID")]
    verification: Option<String>,
    /// The one of this id.
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// To this endpoint alone, as `octothorpe webhook list` has it.
    #[arg(long, value_name = "ID")]
    endpoint: Option<String>,
    #[command(flatten)]
    at: At,
    /// Print the result as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(args) => list(args).await?,
        Command::Enable(args) => enable(args).await?,
        Command::Replay(args) => replay(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: List) -> anyhow::Result<()> {
    let found = args.at.get("/admin/v1/webhooks", &[]).await?;
    if args.json {
        println!("{found}");
        return Ok(());
    }
    let all = found.get("webhooks").and_then(Value::as_array).cloned().unwrap_or_default();
    all.iter().for_each(told);
    if all.is_empty() {
        eprintln!("No tenant has an endpoint.");
    }
    Ok(())
}

async fn enable(args: Enable) -> anyhow::Result<()> {
    let path = format!("/admin/v1/webhooks/{}/enable", args.endpoint);
    let done = args.at.post(&path, &json!({})).await?;
    if args.json {
        println!("{done}");
    } else {
        told(&done);
    }
    Ok(())
}

/// As many as one request takes at a time, until nothing is left.
async fn replay(args: Replay) -> anyhow::Result<()> {
    let (mut until, mut queued) = (args.until.clone(), 0);
    loop {
        let body = json!({
            "tenant": args.tenant, "verification": args.verification, "event": args.event,
            "from": args.since, "until": until, "endpoint": args.endpoint,
        });
        let done = args.at.post("/admin/v1/webhooks/replay", &body).await?;
        queued += done.get("queued").and_then(Value::as_u64).unwrap_or(0);
        let rest = done.get("rest_until").and_then(Value::as_str).map(str::to_owned);
        match rest {
            Some(rest) if Some(&rest) != until.as_ref() => until = Some(rest),
            Some(_) | None => break,
        }
    }
    if args.json {
        println!("{}", json!({ "queued": queued }));
    } else {
        println!("{}", counted(queued, "delivery is queued", "deliveries are queued"));
    }
    Ok(())
}

fn told(endpoint: &Value) {
    let word = |name: &str| text(endpoint, name);
    let state = match word("why") {
        "" => "on".to_owned(),
        why => format!("off since {} ({why})", word("off_since")),
    };
    let events = endpoint.get("events").and_then(Value::as_array).into_iter().flatten();
    let events: Vec<_> = events.filter_map(Value::as_str).collect();
    println!("{} {} {}: {state}; {}", word("id"), word("tenant"), word("origin"), events.join(" "));
}
