//! `octothorpe find`: verifications of a gateway that runs, by what is known of them.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::admin::At;
use super::text;

/// Find verifications, by a gateway that runs: the newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
By number, subject and reference they are found at once, however many there are; by all else, and without anything, the
newest are looked through until there are enough. Numbers are masked.

Examples:
  octothorpe find --number +12025550123
  octothorpe find --subject user-7f3 --since 2026-11-26
  octothorpe find --status failed --reason busy --trunk carrier-a --limit 20
  octothorpe find --reference login-991 --json | jq -r '.verifications[].id'

Exit codes: 0 found, 1 there is none, 2 wrong usage, 70 our fault.")]
pub(super) struct Args {
    /// Those that ask this phone, in E.164.
    #[arg(long)]
    number: Option<String>,
    /// Those that ask this person, by the caller's name.
    #[arg(long)]
    subject: Option<String>,
    /// Those of this sign-in, by the caller's name.
    #[arg(long)]
    reference: Option<String>,
    /// Those that stand so: pending, approved, denied, expired, failed, canceled.
    #[arg(long)]
    status: Option<String>,
    /// Those that ended for this reason, as busy.
    #[arg(long)]
    reason: Option<String>,
    /// Those that were last tried in this way: voice, sms.
    #[arg(long)]
    channel: Option<String>,
    /// Those of which an attempt went by this trunk.
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
    /// Those of which an attempt went by this carrier.
    #[arg(long, value_name = "NAME")]
    carrier: Option<String>,
    /// Those that ask a phone of this country (ISO 3166).
    #[arg(long)]
    country: Option<String>,
    /// Those of this tenant.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Those that were begun then or later: a time (RFC 3339, UTC) or a day.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// And before this; to the end of the day where a day is written.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The most that are wanted.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    at: At,
    /// Print them as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// The verifications of a gateway.
const PATH: &str = "/admin/v1/verifications";

/// How many are asked for at once.
const PAGE: usize = 200;

/// What nothing was found says to whoever asks by the exit code.
const NONE: u8 = 1;

impl Args {
    fn query(&self) -> Vec<(&'static str, &str)> {
        let filters = [
            ("number", &self.number),
            ("subject", &self.subject),
            ("reference", &self.reference),
            ("status", &self.status),
            ("reason", &self.reason),
            ("channel", &self.channel),
            ("trunk", &self.trunk),
            ("carrier", &self.carrier),
            ("country", &self.country),
            ("tenant", &self.tenant),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let given = filters.into_iter();
        given.filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
    }
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let most = usize::try_from(args.limit)?;
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let limit = (most - found.len()).min(PAGE).to_string();
        let mut query = args.query();
        query.push(("limit", &limit));
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = args.at.get(PATH, &query).await?;
        let rows = page.get("verifications").and_then(Value::as_array);
        found.extend(rows.into_iter().flatten().cloned());
        cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() || found.len() >= most {
            break;
        }
    }
    let code = if found.is_empty() { ExitCode::from(NONE) } else { ExitCode::SUCCESS };
    if args.json {
        println!("{}", json!({ "verifications": found, "more": cursor.is_some() }));
        return Ok(code);
    }
    found.iter().for_each(|row| println!("{}", line(row)));
    if found.is_empty() {
        eprintln!("There is no such verification.");
    } else if cursor.is_some() {
        eprintln!("There may be older ones: --limit shows more.");
    }
    Ok(code)
}

/// A verification on one line.
fn line(row: &Value) -> String {
    let of = |key| text(row, key);
    let stands = match of("reason") {
        "" => of("status").to_owned(),
        reason => format!("{}, {}", of("status"), reason.replace('_', " ")),
    };
    let (id, at, number, country) = (of("id"), of("created_at"), of("number"), of("country"));
    let (tenant, channel, via) = (of("tenant"), of("channel"), of("via"));
    format!("{id} {at} {number:<16} {country:<3} {tenant:<12} {channel:<5} {via:<12} {stands}")
}
