//! `octothorpe policy replay`: what the rules and limits of another configuration would have refused.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::admin::{At, lines};
use super::super::check::{Report, environment};
use super::super::{counted, text, wrong};
use crate::config;
use crate::gateway::trial::Terms;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The starts of that time, as the gateway that runs has them, are asked once more, in their order, under the rules
and limits of a configuration that is not in force yet. Nothing is sent, and nothing counted. What was refused
then is not known, so it tells what stricter limits would have kept out, and not what looser ones would have let
in; blocks and money have no part in it. A limit that is record_only there is told as one that records.

Examples:
  octothorpe policy replay --since 2026-11-25 --until 2026-11-25 --config new.toml
  octothorpe policy replay --since 2026-11-25 --config new.toml --tenant acme --json | jq '.rules[].countries'

Exit codes: 0 nothing would have been refused, 1 something would have been, 2 wrong usage or configuration,
70 our fault.")]
pub(super) struct Replay {
    /// Starts from then on: a time (RFC 3339, UTC) or a day.
    #[arg(long, value_name = "TIME")]
    since: String,
    /// And before this; to the end of the day where a day is written. Until now when it is left out.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The configuration to go by.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Starts of this tenant alone.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    #[command(flatten)]
    at: At,
    /// Print the result as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// Tries it.
pub(super) async fn replay(args: Replay) -> anyhow::Result<Report> {
    let loaded = match config::load(&args.config, environment) {
        Ok(loaded) => loaded,
        Err(complaints) => return Ok(Report::wrong(&args.config, &complaints, args.json)),
    };
    let tenants = loaded.config.gateway.tenants.iter().filter(|tenant| !tenant.test);
    let terms: Vec<Terms> = tenants.map(Terms::of).collect();
    let body = json!({
        "from": args.since, "until": args.until, "tenant": args.tenant, "terms": terms,
    });
    let (mut report, mut day) = (Value::Null, String::new());
    let mut take = lines(|line| {
        let line: Value = serde_json::from_slice(line)?;
        match line.get("report") {
            Some(found) => report = found.clone(),
            None => {
                let now = text(&line, "until").get(..10).unwrap_or_default();
                if let Some(news) = progress(&day, now, args.since.get(..10).unwrap_or_default()) {
                    eprintln!("… {news}");
                }
                now.clone_into(&mut day);
            }
        }
        Ok(())
    });
    args.at.exchange("/admin/v1/policy/replay", &body, &mut take).await?;
    drop(take);
    let Some(refused) = report.get("refused").and_then(Value::as_u64) else {
        return Err(wrong("the gateway gave no report"));
    };
    let out = if args.json { format!("{report}\n") } else { told(&report) };
    Ok(Report { out, err: String::new(), code: u8::from(refused > 0) })
}

/// What is told when the trial comes from this day to that one: each day from the first that was asked for, and once
/// that those before it are read, which limits and pauses count.
fn progress(last: &str, now: &str, since: &str) -> Option<String> {
    match (last.is_empty(), now < since) {
        (true, true) => Some(format!("what was before {since}, which limits and pauses count")),
        (false, true) => None,
        (_, false) => (now != last).then(|| now.to_owned()),
    }
}

/// A line for each rule.
fn told(report: &Value) -> String {
    let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (starts, refused) = (number(report, "starts"), number(report, "refused"));
    let starts = counted(starts, "start", "starts");
    let mut out = format!("{starts}, of which {refused} would have been refused\n");
    let untried = number(report, "untried");
    if untried > 0 {
        // Writing to a String does not fail.
        let _ = writeln!(out, "{untried} more are of tenants that the configuration does not have");
    }
    for rule in report.get("rules").and_then(Value::as_array).into_iter().flatten() {
        let limit = rule.get("limit").and_then(Value::as_str).unwrap_or_default();
        let countries = rule.get("countries").and_then(Value::as_object);
        let countries =
            countries.into_iter().flatten().map(|(country, n)| format!("{country} {n}"));
        let _ = writeln!(
            out,
            "  {:<8} {:<12} {:<18} {:<8} {} of {}, {} to {}; {}",
            text(rule, "says"),
            text(rule, "tenant"),
            text(rule, "rule"),
            limit,
            number(rule, "count"),
            number(rule, "of"),
            text(rule, "first"),
            text(rule, "last"),
            countries.collect::<Vec<_>>().join(", "),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_before_is_told_once_and_each_day_once() {
        let days = ["2026-11-09", "2026-11-10", "2026-11-25", "2026-11-25", "2026-11-26"];
        let last = ["", days[0], days[1], days[2], days[3]];
        let told =
            last.iter().zip(days).filter_map(|(last, now)| progress(last, now, "2026-11-25"));
        let before = "what was before 2026-11-25, which limits and pauses count";
        assert_eq!(told.collect::<Vec<_>>(), [before, "2026-11-25", "2026-11-26"]);
        assert_eq!(progress("", "2026-11-25", "2026-11-25").as_deref(), Some("2026-11-25"));
    }
}
