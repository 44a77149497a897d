//! `octothorpe policy`: what each rule says of a number, or would have said of a day.

mod replay;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::admin::{self, At};
use super::check::{Report, environment};
use super::{text, wrong};
use crate::ambient::Timestamp;
use crate::config;
use crate::gateway::settings::Tenant;
use crate::verify::code::Vault;
use crate::verify::explain::{Facts, explain, passes};
use crate::verify::limits::Who;
use crate::verify::number::PhoneNumber;
use crate::verify::request::{Channel, Mode, Request, Way};

/// What the rules say.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say of each rule whether it lets a number through; nothing is counted or sent.
    Explain(Explain),
    /// Say what the rules and limits of another configuration would have refused.
    Replay(replay::Replay),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
With a configuration: countries, kinds of numbers, and what the limits are. With a gateway that runs also
blocks, conversion, and how much of each limit is used.

Examples:
  octothorpe policy explain +12025550123 --tenant acme --config /etc/octothorpe/octothorpe.toml
  octothorpe policy explain +12025550123 --tenant acme --admin http://127.0.0.1:8081 --channel sms
  octothorpe policy explain +12025550123 --tenant acme --admin http://127.0.0.1:8081 --json | jq .passes

Exit codes: 0 all let it through, 1 a rule refuses, 2 wrong usage or configuration, 70 our fault.")]
struct Explain {
    /// The number, in E.164.
    number: String,
    /// Whose request it would be.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// The configuration to go by.
    #[arg(long, value_name = "FILE", required_unless_present = "admin")]
    config: Option<PathBuf>,
    /// Ask the gateway that runs, at its operators' listener.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    admin: Option<String>,
    #[arg(long, value_name = "KEY", requires = "admin", help = admin::KEY_HELP)]
    admin_key: Option<String>,
    /// How the person would be reached: voice or sms.
    #[arg(long, value_name = "CHANNEL", default_value = "voice", value_parser = ["voice", "sms"])]
    channel: String,
    /// The caller's name for the person.
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// The address that the person signs in from.
    #[arg(long, value_name = "ADDRESS")]
    client_ip: Option<std::net::IpAddr>,
    /// Print the result as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let args = match args.command {
        Command::Explain(args) => args,
        Command::Replay(args) => return replay::replay(args).await?.print(),
    };
    let found = match (&args.admin, &args.config) {
        (Some(admin), _) => ask(&args, admin).await?,
        (None, Some(config)) => match by_configuration(&args, config) {
            Ok(found) => found?,
            Err(report) => return report.print(),
        },
        (None, None) => return Err(wrong("write --config FILE or --admin URL")),
    };
    let passes = found.get("passes") == Some(&Value::Bool(true));
    let out = if args.json { format!("{found}\n") } else { told(&found) };
    Report { out, err: String::new(), code: u8::from(!passes) }.print()
}

async fn ask(args: &Explain, admin: &str) -> anyhow::Result<Value> {
    let client_ip = args.client_ip.map(|ip| ip.to_string());
    let mut query =
        vec![("tenant", args.tenant.as_str()), ("to", &args.number), ("channel", &args.channel)];
    query.extend(args.subject.as_deref().map(|subject| ("subject", subject)));
    query.extend(client_ip.as_deref().map(|ip| ("client_ip", ip)));
    At::of(admin, args.admin_key.as_deref()).get("/admin/v1/explain", &query).await
}

/// What a configuration alone says; the outer error is what is wrong with it.
fn by_configuration(args: &Explain, path: &Path) -> Result<anyhow::Result<Value>, Report> {
    let loaded = config::load(path, environment)
        .map_err(|complaints| Report::wrong(path, &complaints, args.json))?;
    let tenants = &loaded.config.gateway.tenants;
    let Some(tenant) = tenants.iter().find(|tenant| tenant.name == args.tenant) else {
        let why = format!("{} has no tenant {}", path.display(), args.tenant);
        return Ok(Err(wrong(why)));
    };
    Ok(by_rules(args, tenant))
}

fn by_rules(args: &Explain, tenant: &Tenant) -> anyhow::Result<Value> {
    let to: PhoneNumber = args.number.parse().map_err(|why| wrong(format!("{why}")))?;
    let way = match args.channel.as_str() {
        "sms" => Way { channel: Channel::Sms, mode: Mode::Code },
        _ => Way { channel: Channel::Voice, mode: Mode::Confirm },
    };
    let subject = args.subject.clone();
    let request = Request { subject, client_ip: args.client_ip, ..Request::new(to, way) };
    // Nothing is looked up under these names.
    let who = Who::of(&Vault::of("explain"), &tenant.name, &request);
    let needs = tenant.limits.needs(&who, &[]).into_iter().map(|need| (need, None));
    let facts = Facts { now: Timestamp::default(), limits: needs.collect(), ..Facts::default() };
    let words = explain(&request, &facts, &tenant.rules, &tenant.fraud);
    let to = &request.to;
    Ok(json!({
        "tenant": tenant.name,
        "to": to.masked(),
        "country": to.country().as_str(),
        "kind": to.kind().as_str(),
        "channel": args.channel,
        "passes": passes(&words),
        "rules": words,
    }))
}

/// A line for each rule.
fn told(found: &Value) -> String {
    let word = |name: &str| text(found, name);
    let mut out = format!(
        "{} ({}, {}) by {} for {}\n",
        word("to"),
        word("kind"),
        word("country"),
        word("channel"),
        word("tenant"),
    );
    for rule in found.get("rules").and_then(Value::as_array).into_iter().flatten() {
        let number = |name: &str| rule.get(name).and_then(Value::as_u64);
        let mut facts = Vec::new();
        facts.extend(rule.get("limit").and_then(Value::as_str).map(|it| format!("allows {it}")));
        facts.extend(number("now").map(|now| format!("now {now}")));
        facts.extend(number("retry_after").map(|it| format!("gives way in {it} s")));
        facts.extend(rule.get("detail").and_then(Value::as_str).map(str::to_owned));
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "  {:<8} {:<18} {}",
            text(rule, "says"),
            text(rule, "rule"),
            facts.join("; ")
        );
    }
    out
}
