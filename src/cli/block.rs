//! `octothorpe block`, `unblock` and `blocks`: who is not reached, by the word of an operator.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::admin::At;
use super::{text, wrong};
use crate::ambient::Clock;
use crate::verify::block::Prefix;
use crate::verify::number::{Country, PhoneNumber};

/// Block a number, a range of numbers or a country, by a gateway that runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe block +12025550123 --tenant acme --hours 24 --reason 'asked us to'
  octothorpe block +1900                       # every number that begins so, for everybody
  octothorpe block KP --until 2027-03-31

Exit codes: 0 it is blocked, 2 wrong usage, 70 our fault.")]
pub(super) struct Block {
    /// A number in E.164, how numbers begin, or a country (ISO 3166).
    what: String,
    /// For this tenant alone; for everybody when it is left out.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// For so many hours.
    #[arg(long, value_name = "HOURS", conflicts_with = "until")]
    hours: Option<u32>,
    /// Until this time or day (RFC 3339, UTC); until it is lifted when neither is written.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Why, for people.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    at: At,
    /// Print the block as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// Lift a block, by a gateway that runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe unblock +12025550123 --tenant acme
  octothorpe unblock blk_n2Zk…                 # as `octothorpe blocks` lists it

Exit codes: 0 it is lifted, 2 there is none, 70 our fault.")]
pub(super) struct Unblock {
    /// The block's id; or the number, the beginning or the country that is blocked.
    what: String,
    /// Whose block; everybody's when it is left out.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    #[command(flatten)]
    at: At,
    /// Print the block as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// List what is blocked, by a gateway that runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe blocks
  octothorpe blocks --tenant acme --json | jq -r '.blocks[].id'

Exit codes: 0 listed, 70 our fault.")]
pub(super) struct Blocks {
    /// Those of this tenant alone.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    #[command(flatten)]
    at: At,
    /// Print them as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// Carries `block` out.
pub(super) async fn block(args: Block) -> anyhow::Result<ExitCode> {
    let hours = args.hours.map(|hours| Duration::from_secs(3_600 * u64::from(hours)));
    let until = hours.map(|hours| (Clock::system().now() + hours).to_rfc3339()).or(args.until);
    let (key, what) = target(&args.what)?;
    let (tenant, reason) = (&args.tenant, &args.reason);
    let body = json!({ (key): what, "tenant": tenant, "reason": reason, "until": until });
    let done = args.at.post("/admin/v1/blocks", &body).await?;
    told(&done, args.json);
    Ok(ExitCode::SUCCESS)
}

/// Carries `unblock` out.
pub(super) async fn unblock(args: Unblock) -> anyhow::Result<ExitCode> {
    let done = if args.what.starts_with("blk_") {
        let path = format!("/admin/v1/blocks/{}", args.what);
        args.at.delete(&path).await?
    } else {
        let (key, what) = target(&args.what)?;
        let body = json!({ (key): what, "tenant": args.tenant });
        args.at.post("/admin/v1/blocks/lift", &body).await?
    };
    told(&done, args.json);
    Ok(ExitCode::SUCCESS)
}

/// Carries `blocks` out.
pub(super) async fn blocks(args: Blocks) -> anyhow::Result<ExitCode> {
    let query: Vec<_> = args.tenant.iter().map(|tenant| ("tenant", tenant.as_str())).collect();
    let found = args.at.get("/admin/v1/blocks", &query).await?;
    if args.json {
        println!("{found}");
        return Ok(ExitCode::SUCCESS);
    }
    let rows = found.get("blocks").and_then(Value::as_array).cloned().unwrap_or_default();
    rows.iter().for_each(|row| told(row, false));
    if rows.is_empty() {
        eprintln!("Nothing is blocked.");
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be blocked: the API's field, and its value.
fn target(what: &str) -> anyhow::Result<(&'static str, &str)> {
    if what.parse::<PhoneNumber>().is_ok() {
        Ok(("number", what))
    } else if what.parse::<Prefix>().is_ok() {
        Ok(("prefix", what))
    } else if what.parse::<Country>().is_ok() {
        Ok(("country", what))
    } else {
        Err(wrong("write a number in E.164, how numbers begin (as +1900), or a country (as DE)"))
    }
}

fn told(entry: &Value, json: bool) {
    if json {
        println!("{entry}");
        return;
    }
    let word = |name: &str| text(entry, name);
    let whose = entry.get("tenant").and_then(Value::as_str).unwrap_or("everybody");
    let until = entry.get("until").and_then(Value::as_str);
    let until = until.map_or("until it is lifted".to_owned(), |until| format!("until {until}"));
    let state = match entry.get("lifted_at").and_then(Value::as_str) {
        Some(at) => format!("lifted {at}"),
        None => until,
    };
    let note = entry.get("note").and_then(Value::as_str);
    let note = note.map(|note| format!(" ({note})")).unwrap_or_default();
    println!(
        "{} {} for {whose}: {}{note}, since {}, {state}  {}",
        word("about"),
        word("what"),
        word("reason"),
        word("from"),
        word("id"),
    );
}
