//! `octothorpe demo`: gateway and lab phone in one process, one real call between them, placed
//! through the HTTP API.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::phone::{Answer, Behaviour, Phone, Press, beeping};
use super::watch::{Keep, Watch};
use super::{FAULT, text, verdict_code};
use crate::ambient::{self, Clock, Entropy};
use crate::gateway::Gateway;
use crate::gateway::settings::{ApiKey, Identity, Settings, Target, Tenant, Trunk};
use crate::gateway::tap::Tap;
use crate::http::{self, Server};
use crate::media::Law;
use crate::media::prompt::Pack;
use crate::verify::policy::Rules;
use crate::verify::request::{Brand, Channel};
use crate::verify::route::{Rule, Table};
use crate::verify::signal::Status;

/// The number that the lab phone answers for: kept for fiction by the numbering plan.
const NUMBER: &str = "+12025550123";

/// How long the phone rings in the `no-answer` scenario, so that nobody has to wait for long.
const SHORT_RING: Duration = Duration::from_secs(5);

/// Watch a real call on this machine: gateway and lab phone in one process.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe demo
  octothorpe demo --scenario fraud
  octothorpe demo --wav heard.wav --pcap call.pcap

Exit codes: 0 approved, 1 denied (wrong-key and fraud), 3 expired (voicemail), 4 failed (busy, no-answer
and hang-up), 2 wrong usage, 70 our fault.")]
pub(super) struct Args {
    /// What the callee does.
    #[arg(long, value_enum, default_value_t = Scenario::Approve)]
    scenario: Scenario,
    #[command(flatten)]
    keep: Keep,
    /// Print the verification as JSON, on the last line.
    #[arg(long)]
    json: bool,
}

/// What the callee does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Presses #.
    Approve,
    /// Is busy.
    Busy,
    /// Never answers.
    NoAnswer,
    /// Presses 5, and 5 again.
    WrongKey,
    /// Presses 0, then #.
    Fraud,
    /// Is a mailbox: plays a greeting, presses nothing.
    Voicemail,
    /// Answers, and hangs up.
    HangUp,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let prompts = Pack::english()?;
    let phone = Phone::start(
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        behaviour(args.scenario, &prompts),
        clock.clone(),
    )
    .await
    .context("cannot start the lab phone")?;
    let key = format!("otk_{}", Entropy::from_seed(ambient::secret()).token(40));
    let settings = settings(phone.address(), &key, args.scenario)?;

    let (tap, scenes) = Tap::new();
    let entropy = Entropy::system();
    let (gateway, running) = Gateway::start(settings, clock.clone(), entropy, Some(tap))?;
    let listen = http::Settings {
        api_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        admin_listen: None,
        ..http::Settings::default()
    };
    let listening = http::Listening::new(listen)?;
    let server = Server::bind(listening, gateway.clone(), super::serve::count()?).await?;
    let api = format!("http://{}", server.api_address());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move {
        let _ = stopped.await;
    }));

    eprintln!("gateway at {api}, lab phone at sip:{}", phone.address());
    eprintln!("POST /v1/verifications: call +1******0123, and ask for #");
    let start = clock.now();
    let watching = tokio::spawn(Watch::open(start, &args.keep)?.run(scenes));
    let verdict = ask(&api, &key).await;
    running.drain(Duration::from_secs(15)).await;
    let _ = stop.send(());
    let _ = serving.await;
    drop(gateway);
    phone.stop().await;
    watching.await??;
    tell(&verdict?, args.json)
}

/// Starts the verification and polls for its end, as a caller of the API would.
async fn ask(api: &str, key: &str) -> anyhow::Result<Value> {
    #[expect(clippy::disallowed_methods, reason = "here the program is its own customer")]
    let client = reqwest::Client::builder().no_proxy().build()?;
    let started = client
        .post(format!("{api}/v1/verifications"))
        .bearer_auth(key)
        .header("content-type", "application/json")
        .body(json!({ "to": NUMBER, "brand": "Octothorpe" }).to_string())
        .send()
        .await?;
    let status = started.status();
    let mut seen = read(started).await?;
    anyhow::ensure!(status.is_success(), "the API answered {status}: {seen}");
    while text(&seen, "status") == "pending" {
        let id = text(&seen, "id");
        let version = seen.get("version").and_then(Value::as_u64).unwrap_or_default();
        let url = format!("{api}/v1/verifications/{id}?wait=30&since={version}");
        seen = read(client.get(url).bearer_auth(key).send().await?).await?;
    }
    Ok(seen)
}

async fn read(response: reqwest::Response) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&response.bytes().await?)?)
}

fn tell(verdict: &Value, json: bool) -> anyhow::Result<ExitCode> {
    let (status, reason) = (text(verdict, "status"), text(verdict, "reason"));
    eprintln!();
    eprintln!("verdict: {status} ({reason})");
    eprintln!();
    eprintln!("By hand, with a phone and a gateway that stay:");
    eprintln!("  octothorpe phone --listen udp:127.0.0.1:5080 --press '#' &");
    eprintln!("  octothorpe serve --config config/lab.toml &");
    eprintln!("  curl -s http://127.0.0.1:8080/v1/verifications \\");
    eprintln!("    -H 'Authorization: Bearer {}' \\", crate::config::LAB_KEY);
    eprintln!("    -H 'Content-Type: application/json' -d '{{\"to\": \"{NUMBER}\"}}'");
    eprintln!("  curl -s 'http://127.0.0.1:8080/v1/verifications/ID?wait=30' \\");
    eprintln!("    -H 'Authorization: Bearer {}'", crate::config::LAB_KEY);
    if json {
        println!("{verdict}");
    } else {
        println!("{status} {reason}");
    }
    let status: Result<Status, _> = serde_json::from_value(Value::from(status));
    Ok(status.map_or(ExitCode::from(FAULT), verdict_code))
}

fn behaviour(scenario: Scenario, prompts: &Pack) -> Behaviour {
    let press = |digits: &str| Some(Press::new(digits, Duration::from_secs(6)));
    let answers = Behaviour {
        ring: Duration::from_millis(300),
        answer: Answer::After(Duration::from_millis(1_500)),
        ..Behaviour::default()
    };
    match scenario {
        Scenario::Approve => Behaviour { press: press("#"), ..answers },
        Scenario::Fraud => Behaviour { press: press("0#"), ..answers },
        Scenario::WrongKey => Behaviour { press: press("5,,,5"), ..answers },
        Scenario::Busy => Behaviour {
            answer: Answer::Reject { status: 486, after: Duration::from_millis(800) },
            ..answers
        },
        Scenario::NoAnswer => Behaviour { answer: Answer::Never, ..answers },
        Scenario::HangUp => Behaviour { hang_up_after: Some(Duration::from_secs(2)), ..answers },
        Scenario::Voicemail => Behaviour { play: Some(mailbox(prompts)), ..answers },
    }
}

/// A mailbox's greeting, in the only voice at hand, and its beep.
fn mailbox(prompts: &Pack) -> Vec<i16> {
    let say = |name| {
        let phrase = prompts.find(name).ok().and_then(|id| prompts.phrase(id));
        phrase.map(|phrase| phrase.ulaw.iter().map(|&octet| Law::Ulaw.decode(octet)).collect())
    };
    let greeting = ["sorry", "goodbye"].into_iter().filter_map(say);
    beeping(greeting.collect::<Vec<Vec<i16>>>().concat())
}

fn settings(phone: SocketAddr, key: &str, scenario: Scenario) -> anyhow::Result<Settings> {
    let lab = "lab-phone".to_owned();
    let voice_countries = ["US".parse().map_err(anyhow::Error::msg)?].into();
    let rules = Rules { voice_countries, ..Rules::default() };
    let ring_timeout =
        if scenario == Scenario::NoAnswer { SHORT_RING } else { Duration::from_secs(45) };
    Ok(Settings {
        ring_timeout,
        trunks: vec![Trunk {
            identity: Identity {
                caller_id: Some("+12025550100".to_owned()),
                ..Identity::default()
            },
            health: None,
            ..Trunk::new(&lab, Target::udp(phone))
        }],
        routes: Table::new(vec![Rule::every(Channel::Voice, [lab])]),
        tenants: vec![Tenant {
            keys: vec![ApiKey::of(key).into()],
            rules,
            brand: Brand::try_from("Octothorpe".to_owned()).ok(),
            ..Tenant::new("demo")
        }],
        ..Settings::bare()
    })
}
