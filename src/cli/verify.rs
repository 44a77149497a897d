//! `octothorpe verify`: one verification by a gateway that runs, as a customer of its API.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::api::{Answer, Api};
use super::typed::Typed;
use super::{checks_left, text, verdict_code, wrong};
use crate::config;
use crate::verify::signal::Status;

/// Verify somebody through a running gateway: start, ask for the code, check it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
While it runs, type the code that arrived; r for another attempt; c to cancel.

Examples:
  octothorpe verify +12025550123 --key env:ACME_API_KEY --channel sms
  octothorpe verify +12025550123 --key env:ACME_API_KEY --channel sms --mode reply
  octothorpe verify +12025550123 --api https://verify.example.com --key file:key.txt --json

Exit codes: 0 approved, 1 denied, 2 wrong usage, 3 expired, 4 failed, 5 canceled, 70 our fault.")]
pub(super) struct Args {
    /// The number to reach, in E.164, as +12025550123.
    number: String,
    /// Where the API is.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    api: String,
    /// The key to present: env:NAME or file:PATH keep it out of the process list.
    #[arg(long, value_name = "KEY")]
    key: String,
    /// How to reach the person: voice or sms.
    #[arg(long, default_value = "sms", value_name = "CHANNEL")]
    channel: String,
    /// What to ask: confirm, pin, match or code by voice; code or reply by text.
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// The person's own PIN: env:NAME or file:PATH keep it out of the process list.
    #[arg(long, value_name = "PIN")]
    pin: Option<String>,
    /// The digits that must be entered on the phone; drawn by the gateway when left out.
    #[arg(long, value_name = "DIGITS")]
    r#match: Option<String>,
    /// What to dial once the number has answered, as 204; `,` waits 2 s, `W` 1 s, `w` 0.5 s.
    #[arg(long, value_name = "KEYS")]
    extension: Option<String>,
    /// The language to speak or write; the tenant's when left out.
    #[arg(long, value_name = "TAG")]
    locale: Option<String>,
    /// The name to speak or write; the tenant's when left out.
    #[arg(long, value_name = "NAME")]
    brand: Option<String>,
    /// How long the question stands, in seconds.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    expires_in: u32,
    /// Print the verification as JSON, on the last line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let env = |name: &str| std::env::var(name).ok();
    let (key, _) = config::read_secret(&args.key, Path::new("."), &env)
        .map_err(|error| wrong(format!("--key: {error}")))?;
    let api = Api::at(&args.api, Some(key))?;
    let pin = match &args.pin {
        Some(pin) => {
            let read = config::read_secret(pin, Path::new("."), &env);
            Some(read.map_err(|error| wrong(format!("--pin: {error}")))?.0)
        }
        None => None,
    };
    let start = json!({
        "to": args.number, "channel": args.channel, "mode": args.mode, "locale": args.locale,
        "brand": args.brand, "expires_in": args.expires_in, "match": args.r#match,
        "extension": args.extension,
        "pin": pin.as_ref().map(|pin| pin.as_str()),
    });
    let started = api.post("/v1/verifications", &start).await?;
    if started.status != 201 {
        return Err(wrong(started.problem()));
    }
    let settled = follow(&api, started.body).await?;
    let word = |name: &str| text(&settled, name);
    eprintln!("verdict: {} ({})", word("status"), word("reason"));
    if args.json {
        println!("{settled}");
    } else {
        println!("{} {}", word("status"), word("reason"));
    }
    Ok(verdict_code(Status::parse(word("status")).unwrap_or(Status::Pending)))
}

/// Tells each step and carries out what is typed, until there is a verdict.
async fn follow(api: &Api, mut now: Value) -> anyhow::Result<Value> {
    let id = now.get("id").and_then(Value::as_str).context("the answer has no id")?.to_owned();
    let path = format!("/v1/verifications/{id}");
    let mut typed = Typed::begin();
    let mut told = String::new();
    let mut interrupted = false;
    loop {
        tell(&now, &mut told);
        if text(&now, "status") != "pending" {
            return Ok(now);
        }
        let since = now.get("version").and_then(Value::as_u64).unwrap_or_default();
        let wait = format!("{path}?wait=25&since={since}");
        tokio::select! {
            news = api.get(&wait) => now = resource(news?)?,
            line = typed.line() => act(api, &path, &line).await?,
            _ = tokio::signal::ctrl_c(), if !interrupted => {
                interrupted = true;
                act(api, &path, "c").await?;
            }
        }
    }
}

/// Carries out what was typed: a code, `r` or `c`.
async fn act(api: &Api, path: &str, line: &str) -> anyhow::Result<()> {
    let answer = match line {
        "r" => api.post(&format!("{path}/resend"), &json!({})).await?,
        "c" => api.post(&format!("{path}/cancel"), &json!({})).await?,
        code => api.post(&format!("{path}/check"), &json!({ "code": code })).await?,
    };
    if answer.status != 200 {
        eprintln!("{}", answer.problem());
    } else if answer.body.get("matched") == Some(&Value::Bool(false)) {
        let left = answer.body.get("checks_left").and_then(Value::as_u64).unwrap_or_default();
        eprintln!("that is not the code; {}", checks_left(left));
    }
    Ok(())
}

fn resource(answer: Answer) -> anyhow::Result<Value> {
    if answer.status == 200 { Ok(answer.body) } else { anyhow::bail!(answer.problem()) }
}

/// Says what is new.
fn tell(now: &Value, told: &mut String) {
    let attempts = now.get("attempts").and_then(Value::as_array);
    let Some(last) = attempts.and_then(|all| all.last()) else { return };
    let (channel, route, state) = (text(last, "channel"), text(last, "route"), text(last, "state"));
    let mut news = format!("{channel} by {route}: {state}");
    if let Some(reason) = last.get("reason").and_then(Value::as_str) {
        let detail = last.get("detail").and_then(Value::as_str);
        let because = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        news.push_str(&format!(" ({reason}{because})"));
    }
    if let Some(digits) = now.get("match").and_then(Value::as_str) {
        news.push_str(&format!("; on the phone, enter {digits} and #"));
    }
    if text(now, "mode") == "code" && text(now, "status") == "pending" {
        news.push_str("; type the code, r to resend, c to cancel");
    }
    if news != *told {
        eprintln!("{news}");
        *told = news;
    }
}
