//! `octothorpe trunk`: the SIP peers of a configuration.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::check::{Report, environment, row};
use super::{call, online, wrong};
use crate::config::{self, Loaded};
use crate::gateway::settings::{Asserted, Capacity, NumberFormat, Trunk};
use crate::media::Srtp;
use crate::verify::number::PhoneNumber;

/// The SIP peers of a configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say of each trunk where it is, who we are there, and which routes name it; asks nobody.
    List(List),
    /// Speak to one trunk: look it up, connect, ask whether it lives, register; and call, if you like.
    Test(Test),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe trunk test carrier-a --config /etc/octothorpe/octothorpe.toml
  octothorpe trunk test carrier-a --config /etc/octothorpe/octothorpe.toml --call +12025550123

Exit codes: 0 it works, 1 it does not, 2 wrong usage or configuration; with --call those of
`octothorpe call`.")]
struct Test {
    /// Which trunk.
    name: String,
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Then call this number, and wait for # to be pressed.
    #[arg(long, value_name = "NUMBER")]
    call: Option<String>,
    /// Print the result as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe trunk list --config /etc/octothorpe/octothorpe.toml
  octothorpe trunk list --config /etc/octothorpe/octothorpe.toml --json | jq '.trunks[].target'

Exit codes: 0 the configuration can be run, 2 it cannot.")]
struct List {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print the result as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(list) => report(&list, environment).print(),
        Command::Test(args) => test(&args).await,
    }
}

async fn test(args: &Test) -> anyhow::Result<ExitCode> {
    let loaded = match config::load(&args.config, environment) {
        Ok(loaded) => loaded,
        Err(complaints) => return Report::wrong(&args.config, &complaints, args.json).print(),
    };
    let views = online::look(&loaded.config.gateway, Some(&args.name)).await?;
    let Some(view) = views.first() else {
        let known: Vec<&str> =
            loaded.config.gateway.trunks.iter().map(|trunk| trunk.name.as_str()).collect();
        let (file, name, known) = (args.config.display(), &args.name, known.join(", "));
        return Err(wrong(format!("{file} has no trunk {name}; it has: {known}")));
    };
    let works = online::works(view);
    let out = if args.json { format!("{}\n", online::object(view)) } else { online::text(view) };
    let said = Report { out, err: String::new(), code: u8::from(!works) }.print()?;
    match &args.call {
        Some(number) if works => {
            let (config, trunk) = (args.config.as_os_str(), OsStr::new(&args.name));
            let mut line = vec!["call".as_ref(), OsStr::new(number)];
            line.extend(["--config".as_ref(), config, "--trunk".as_ref(), trunk]);
            line.extend(args.json.then_some(OsStr::new("--json")));
            call::run(call::Args::read(line)?).await
        }
        Some(_) | None => Ok(said),
    }
}

fn report(args: &List, env: impl Fn(&str) -> Option<String>) -> Report {
    let path: &Path = &args.config;
    let loaded = match config::load(path, env) {
        Ok(loaded) => loaded,
        Err(complaints) => return Report::wrong(path, &complaints, args.json),
    };
    let trunks = &loaded.config.gateway.trunks;
    let (mut out, mut err) = (String::new(), String::new());
    if args.json {
        let trunks: Vec<Value> = trunks.iter().map(|trunk| object(trunk, &loaded)).collect();
        out = format!("{}\n", json!({ "ok": true, "trunks": trunks }));
    } else if trunks.is_empty() {
        err = format!("{} has no [[trunks]] entry.\n", path.display());
    }
    if !args.json {
        trunks.iter().for_each(|trunk| out.push_str(&text(trunk, &loaded)));
    }
    Report { out, err, code: 0 }
}

/// What is to be known of a trunk at once, for a line of its own.
pub(super) fn brief(trunk: &Trunk) -> String {
    let mut facts = Vec::new();
    if let Some(registration) = &trunk.registration {
        facts.push(format!("registers every {} s", registration.expires.as_secs()));
    }
    if trunk.srtp != Srtp::Off {
        facts.push(format!("srtp {}", srtp(trunk.srtp)));
    }
    if trunk.tls.identity.is_some() {
        facts.push("with a certificate of ours".to_owned());
    }
    let proxy = trunk.proxy.as_ref().map(|proxy| format!(" through {proxy}"));
    let account = trunk.credentials.as_ref().map(|it| format!(" as {}", it.username));
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    let (proxy, account) = (proxy.unwrap_or_default(), account.unwrap_or_default());
    format!("{} -> {}{proxy}{account}{facts}", trunk.name, trunk.target)
}

/// The same for programs.
pub(super) fn brief_json(trunk: &Trunk) -> Value {
    json!({
        "name": trunk.name,
        "target": trunk.target.to_string(),
        "proxy": trunk.proxy.as_ref().map(ToString::to_string),
        "transport": trunk.first_hop().transport.map(|it| it.as_param()),
        "username": trunk.credentials.as_ref().map(|it| it.username.as_str()),
        "registers_every_secs": trunk.registration.as_ref().map(|it| it.expires.as_secs()),
        "srtp": srtp(trunk.srtp),
    })
}

fn object(trunk: &Trunk, loaded: &Loaded) -> Value {
    let mut object = brief_json(trunk);
    let more = json!({
        "tls_certificate": trunk.tls.identity.is_some(),
        "tls_roots": if trunk.tls.roots.is_some() { "own" } else { "system" },
        "caller_id": caller(trunk),
        "asserted": asserted(trunk.identity.asserted),
        "private": trunk.identity.private,
        "number_format": number_format(&trunk.identity.format),
        "headers": trunk.identity.headers.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "options_secs": trunk.health.map_or(0, |every| every.as_secs()),
        "max_calls": trunk.capacity.calls,
        "calls_per_second": trunk.capacity.per_second,
        "routes": routes(trunk, loaded),
    });
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

fn text(trunk: &Trunk, loaded: &Loaded) -> String {
    let mut text = format!("{}\n", trunk.name);
    let mut line = |name: &str, value: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {name:<8} {value}");
    };
    line("target", trunk.target.to_string());
    if let Some(proxy) = &trunk.proxy {
        line("proxy", proxy.to_string());
    }
    let transport = trunk.first_hop().transport;
    let way = transport.map_or("looked up (RFC 3263)", |transport| transport.as_param());
    let roots = if trunk.tls.roots.is_some() { ", by roots of its own" } else { "" };
    let certificate =
        if trunk.tls.identity.is_some() { ", with a certificate of ours" } else { "" };
    line("way", format!("{way}{roots}{certificate}; srtp {}", srtp(trunk.srtp)));
    let account = trunk.credentials.as_ref().map_or("none", |it| it.username.as_str());
    let registers = trunk.registration.as_ref().map_or_else(String::new, |registration| {
        format!("; registers every {} s", registration.expires.as_secs())
    });
    line("account", format!("{account}{registers}"));
    let private = if trunk.identity.private { ", private" } else { "" };
    let format = number_format(&trunk.identity.format);
    let shown = caller(trunk).unwrap_or_else(|| "nobody".to_owned());
    let assert = asserted(trunk.identity.asserted);
    line("caller", format!("{shown}; asserted {assert}{private}; numbers {format}"));
    let headers: Vec<&str> = trunk.identity.headers.iter().map(|(name, _)| name.as_str()).collect();
    if !headers.is_empty() {
        line("headers", headers.join(", "));
    }
    let health = match trunk.health {
        None => "never asked whether it lives".to_owned(),
        Some(every) => format!("asked every {} s whether it lives", every.as_secs()),
    };
    line("takes", format!("{}; {health}", capacity(trunk.capacity)));
    let routes = routes(trunk, loaded);
    if routes.is_empty() {
        line("routes", "none: no call goes by this trunk".to_owned());
    }
    for route in routes {
        line("route", route);
    }
    text
}

/// The rows that name it.
fn routes(trunk: &Trunk, loaded: &Loaded) -> Vec<String> {
    let rows = loaded.routes.iter();
    rows.filter(|rule| rule.via.names().any(|name| name == trunk.name)).map(row).collect()
}

/// The number that calls, masked; a name is not shown.
fn caller(trunk: &Trunk) -> Option<String> {
    let caller = trunk.identity.caller_id.as_ref()?;
    Some(caller.parse::<PhoneNumber>().map_or_else(|_| "***".to_owned(), |it| it.masked()))
}

const fn srtp(srtp: Srtp) -> &'static str {
    match srtp {
        Srtp::Off => "off",
        Srtp::Preferred => "preferred",
        Srtp::Required => "required",
    }
}

const fn asserted(asserted: Asserted) -> &'static str {
    match asserted {
        Asserted::No => "no",
        Asserted::Asserted => "asserted",
        Asserted::Preferred => "preferred",
    }
}

fn number_format(format: &NumberFormat) -> String {
    match format {
        NumberFormat::E164 => "e164".to_owned(),
        NumberFormat::Digits => "digits".to_owned(),
        NumberFormat::National { country, .. } => format!("national ({country})"),
        NumberFormat::Prefixed(prefix) => format!("prefixed ({prefix})"),
    }
}

fn capacity(capacity: Capacity) -> String {
    let Capacity { calls, per_second } = capacity;
    let calls = calls.map_or("any number of calls".to_owned(), |most| format!("{most} calls"));
    match per_second {
        None => calls,
        Some(most) => format!("{calls}, {most} new ones a second"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "[[trunks]]\nname = 'a'\ntarget = 'sips:sbc.example'\n\
        caller_id = '+12025550100'\nusername = 'acme'\npassword = 'env:P'\nregister = true\n\
        srtp = 'required'\nasserted = 'asserted'\nmax_calls = 50\ncalls_per_second = 5\n\
        headers = { X-Account = 'canary-account' }\n\
        [[trunks]]\nname = 'b'\ntarget = 'sip:peer.example'\noptions_secs = 0\n\
        [[routes]]\nprefix = '+1'\ncountries = ['US']\n\
        via = [{ trunk = 'a', weight = 3 }, { trunk = 'b', weight = 1 }]\n\
        [[routes]]\nvia = ['a']\n\
        [[tenants]]\nname = 'acme'\napi_keys = ['canary_0123456789012345678901234567']\n\
        voice_countries = ['US']\n";

    fn listed(json: bool) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("octothorpe.toml");
        std::fs::write(&config, TWO).unwrap();
        report(&List { config, json }, |name| (name == "P").then(|| "canary".to_owned()))
    }

    #[test]
    fn trunks_are_listed_with_their_routes_and_without_secrets_and_numbers() {
        let report = listed(false);
        assert_eq!((report.code, report.err.as_str()), (0, ""));
        assert_eq!(
            report.out,
            "a\n  target   sip:sbc.example;transport=tls\n  way      tls; srtp required\n  \
             account  acme; registers every 600 s\n  \
             caller   +1******0100; asserted asserted; numbers e164\n  \
             headers  X-Account\n  \
             takes    50 calls, 5 new ones a second; asked every 10 s whether it lives\n  \
             route    voice +1 in US via a (3), b (1), by weight\n  \
             route    voice + via a\n\
             b\n  target   sip:peer.example\n  way      looked up (RFC 3263); srtp off\n  \
             account  none\n  caller   nobody; asserted no; numbers e164\n  \
             takes    any number of calls; never asked whether it lives\n  \
             route    voice +1 in US via a (3), b (1), by weight\n"
        );
    }

    #[test]
    fn a_program_is_told_the_same() {
        let report = listed(true);
        let object: Value = serde_json::from_str(report.out.lines().last().unwrap()).unwrap();
        let trunk = &object["trunks"][0];
        assert_eq!((&trunk["transport"], &trunk["srtp"]), (&json!("tls"), &json!("required")));
        assert_eq!(trunk["caller_id"], "+1******0100");
        assert_eq!(trunk["headers"], json!(["X-Account"]));
        assert_eq!(object["trunks"][1]["transport"], Value::Null);
        assert_eq!(object["trunks"][1]["options_secs"], 0);
        assert!(!report.out.contains("canary") && !report.out.contains("2025550100"));
    }
}
