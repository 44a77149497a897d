//! `octothorpe sms`: one text, from this process, to its verdict.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::typed::Typed;
use super::{checks_left, verdict_code, wrong};
use crate::ambient::{Clock, Entropy};
use crate::config;
use crate::gateway::resource::{render, render_checked};
use crate::gateway::settings::{By, Provider, Settings, Tenant};
use crate::gateway::{AnswerOf, Answered, Asked, BeginError, CheckError, Gateway};
use crate::http::{Listening, Server};
use crate::verify::code::Code;
use crate::verify::number::PhoneNumber;
use crate::verify::policy::Rules;
use crate::verify::request::{Brand, Channel, Mode, Request, Way};
use crate::verify::route::{Rule, Table};
use crate::verify::{Verification, VerificationId};

/// Send one code by text, and wait for it to come back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Type the code that arrives, or answer the text from the phone: receipts and replies come by the session with
a message centre (SMPP), and are else taken at the configuration's api_listen, as long as nothing else listens
there.

Examples:
  octothorpe sms +12025550123 --config config/smpp.toml
  octothorpe sms +12025550123 --config /etc/octothorpe/octothorpe.toml --carrier twilio-main --mode reply
  octothorpe sms +12025550123 --config /etc/octothorpe/octothorpe.toml --locale de-DE --brand Contoso --json

Exit codes: 0 approved, 1 denied, 2 wrong usage, 3 expired, 4 failed, 5 canceled, 70 our fault.")]
pub(super) struct Args {
    /// The number to text, in E.164, as +12025550123.
    number: String,
    /// The configuration with the carrier.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Which carrier of the configuration; not needed when one alone sends texts.
    #[arg(long, value_name = "NAME")]
    carrier: Option<String>,
    /// What to ask: code (typed here or sent back) or reply (sent back only).
    #[arg(long, default_value = "code", value_parser = ["code", "reply"])]
    mode: String,
    /// The code to send, 6 to 10 digits, in place of a drawn one.
    #[arg(long, value_name = "DIGITS")]
    code: Option<String>,
    /// The language to write.
    #[arg(long, default_value = "en-US", value_name = "TAG")]
    locale: String,
    /// The name to write.
    #[arg(long, value_name = "NAME")]
    brand: Option<String>,
    /// How long the question stands, in seconds.
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(10..=600))]
    expires_in: u32,
    /// Print the verification as JSON, on the last line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let number: PhoneNumber = args.number.parse().map_err(|error| wrong(format!("{error}")))?;
    let loaded = config::load(&args.config, |name| std::env::var(name).ok())
        .map_err(|complaints| wrong(complaints.to_string()))?;
    let carrier = carrier(&loaded.config.gateway.carriers, args.carrier.as_deref())?;
    let asked = asked(&args, number)?;
    let tenant = tenant(&asked.request.to, loaded.config.gateway.tenants.first());
    eprintln!("to {} by {} ({})", asked.request.to.masked(), carrier.name, carrier.sender);
    let rule = Rule::every(Channel::Sms, [&carrier.name]);
    // What a message centre tells comes by the session; no address is called back.
    let by_session = matches!(carrier.by, By::Smpp(_));
    let settings = Settings {
        carriers: vec![carrier],
        public_url: loaded.config.gateway.public_url.clone(),
        texts: Arc::clone(&loaded.config.gateway.texts),
        routes: Table::new(vec![rule]),
        tenants: vec![tenant.clone()],
        ..Settings::bare()
    };
    let started = Gateway::start(settings, Clock::system(), Entropy::system(), None);
    let (gateway, running) = started.map_err(|error| wrong(error.to_string()))?;
    let http = crate::http::Settings { admin_listen: None, ..loaded.config.http };
    let listening = match by_session {
        true => None,
        false => listen(http, gateway.clone()).await,
    };
    let settled = follow(&gateway, &tenant, asked).await;
    running.drain(std::time::Duration::from_secs(5)).await;
    drop(listening);
    let settled = settled?;
    let reason = settled.verdict().map_or("", |verdict| verdict.reason().as_str());
    if args.json {
        println!("{}", String::from_utf8(render(&settled))?);
    } else {
        println!("{} {reason}", settled.status().as_str());
    }
    Ok(verdict_code(settled.status()))
}

/// The carrier of this name, or the only one that sends texts.
fn carrier(all: &[Provider], name: Option<&str>) -> anyhow::Result<Provider> {
    let mut fitting =
        all.iter().filter(|it| it.reach().sms && name.is_none_or(|name| it.name == name));
    let known = || {
        let names: Vec<&str> =
            all.iter().filter(|it| it.reach().sms).map(|it| it.name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    match (fitting.next(), fitting.next()) {
        (Some(carrier), None) => Ok(carrier.clone()),
        (None, _) => {
            Err(wrong(format!("no such carrier sends texts; the configuration has: {}", known())))
        }
        (Some(_), Some(_)) => {
            Err(wrong(format!("several carriers send texts; write --carrier, one of: {}", known())))
        }
    }
}

fn asked(args: &Args, to: PhoneNumber) -> anyhow::Result<Asked> {
    let brand = args.brand.clone().map(Brand::try_from).transpose().map_err(wrong)?;
    let code = match &args.code {
        Some(code) => Some(Code::parse(code).ok_or_else(|| wrong("--code: write 6 to 10 digits"))?),
        None => None,
    };
    let mode = if args.mode == "reply" { Mode::Reply } else { Mode::Code };
    let request = Request {
        locale: args.locale.clone(),
        brand,
        expires_in: args.expires_in,
        ..Request::new(to, Way { channel: Channel::Sms, mode })
    };
    Ok(Asked { code, ..Asked::plainly(request) })
}

/// Whoever types the command may text the number typed, in the manner of the first tenant.
fn tenant(number: &PhoneNumber, like: Option<&Tenant>) -> Tenant {
    let sms_countries = BTreeSet::from([number.country().clone()]);
    Tenant {
        rules: Rules { sms_countries, ..Rules::default() },
        texting: like.map(|like| like.texting.clone()).unwrap_or_default(),
        ..Tenant::new("terminal")
    }
}

/// Takes receipts and replies, if the address is free.
async fn listen(
    settings: crate::http::Settings,
    gateway: Gateway,
) -> Option<tokio::task::JoinHandle<()>> {
    let nothing: crate::http::Metrics = Arc::new(String::new);
    let bound = match Listening::new(settings) {
        Ok(listening) => {
            Server::bind(listening, gateway, nothing).await.map_err(anyhow::Error::from)
        }
        Err(error) => Err(error.into()),
    };
    match bound {
        Ok(server) => {
            eprintln!("receipts and replies are taken at {}", server.api_address());
            Some(tokio::spawn(server.run(std::future::pending())))
        }
        Err(error) => {
            eprintln!("receipts and replies will not be seen: {error}");
            None
        }
    }
}

/// Starts it, tells each step, and compares what is typed, until there is a verdict.
async fn follow(gateway: &Gateway, tenant: &Tenant, asked: Asked) -> anyhow::Result<Verification> {
    let types = asked.request.way.mode == Mode::Code;
    let answer = |render| AnswerOf { idempotency: None, render };
    let id = match gateway.begin(tenant, asked, answer(render)).await {
        Ok(
            Answered::Fresh { id, .. }
            | Answered::Replayed { id, .. }
            | Answered::Joined { id, .. },
        ) => id,
        Ok(Answered::Mismatch | Answered::Dry { .. }) => {
            anyhow::bail!("a fresh request was taken for a repeat")
        }
        Err(error @ (BeginError::Refused(_) | BeginError::NoRoute(_))) => {
            return Err(wrong(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    let mut typed = Typed::begin();
    let (mut since, mut told) = (0, String::new());
    let mut interrupted = false;
    loop {
        tokio::select! {
            found = next(gateway, tenant, &id, since) => {
                let found = found?;
                since = found.version;
                tell(&found, &mut told, types);
                if found.verdict().is_some() {
                    return Ok(found);
                }
            }
            code = typed.code(), if types => {
                match gateway.check(tenant, &id, &code, None, answer(render_checked)).await {
                    Ok(_) | Err(CheckError::Settled(..)) => {}
                    Err(error) => eprintln!("{error}"),
                }
            }
            _ = tokio::signal::ctrl_c(), if !interrupted => {
                interrupted = true;
                gateway.cancel(tenant, &id, answer(render)).await?;
            }
        }
    }
}

async fn next(
    gateway: &Gateway,
    tenant: &Tenant,
    id: &VerificationId,
    since: u64,
) -> anyhow::Result<Verification> {
    let patience = std::time::Duration::from_secs(60);
    loop {
        match gateway.wait(tenant, id, since, patience).await? {
            Some(found) if found.version > since => return Ok(found),
            Some(_) => {}
            None => anyhow::bail!("the verification is gone"),
        }
    }
}

/// Says what is new.
fn tell(found: &Verification, told: &mut String, types: bool) {
    let Some(last) = found.attempts.last() else { return };
    let since = found.settled_at().map_or(String::new(), |at| {
        format!(" after {:.1} s", at.since(found.created_at).as_secs_f64())
    });
    let checks = found.secret.as_ref().map_or(0, |secret| secret.checks_left);
    let news = match found.verdict() {
        Some(verdict) => {
            let because = last.detail.as_deref().map(|detail| format!(": {detail}"));
            format!(
                "verdict: {} ({}{}){since}",
                found.status().as_str(),
                verdict.reason().as_str(),
                because.unwrap_or_default(),
            )
        }
        None => format!(
            "{}{}; {}{}",
            last.state.as_str(),
            last.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default(),
            checks_left(checks.into()),
            if types { "; type the code" } else { "; answer the text" }
        ),
    };
    if news != *told {
        eprintln!("{news}");
        *told = news;
    }
}
