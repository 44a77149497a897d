//! `octothorpe call`: one call, from this process, to its verdict.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::typed::Typed;
use super::watch::{Keep, Watch};
use super::{Coding, Encrypt, checks_left, verdict_code, wrong};
use crate::ambient::{Clock, Entropy};
use crate::config;
use crate::gateway::resource::{render, render_checked};
use crate::gateway::settings::{
    Calling, Identity, Settings, Target, Tenant, Tls, Trunk, TrunkCredentials,
};
use crate::gateway::tap::Tap;
use crate::gateway::{AnswerOf, Answered, Asked, BeginError, CheckError, Gateway};
use crate::sip::Hop;
use crate::verify::code::{Pin, Shown};
use crate::verify::extension::Extension;
use crate::verify::number::PhoneNumber;
use crate::verify::policy::Rules;
use crate::verify::request::{Brand, Channel, Mode, Request, Way};
use crate::verify::route::{Rule, Table};
use crate::verify::{Verification, VerificationId};

/// The name of the trunk that `--via` makes.
const VIA: &str = "via";

/// Place one call and wait for its verdict.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe call +12025550123 --via 'sip:127.0.0.1:5080;transport=udp'
  octothorpe call +12025550123 --via sip:sbc.example.net --caller-id +12025550100 \\
      --username acme --password env:TRUNK_PASSWORD --wav heard.wav
  octothorpe call +12025550123 --config /etc/octothorpe/octothorpe.toml --trunk carrier-a --json
  octothorpe call +12025550123 --via sip:127.0.0.1:5080 --mode pin --pin 4821
  octothorpe call +12025550123 --via sip:127.0.0.1:5080 --mode match --match 27
  octothorpe call +12025550123 --via sip:127.0.0.1:5080 --extension 204
  octothorpe call +12025550123 --via sip:127.0.0.1:5080 --mode code    # then type the code here

Exit codes: 0 approved, 1 denied, 2 wrong usage, 3 expired (nobody pressed in time), 4 failed,
5 canceled, 70 our fault.")]
pub(super) struct Args {
    /// The number to call, in E.164, as +12025550123.
    number: String,
    /// The SIP peer to call through, as sip:127.0.0.1:5080;transport=udp.
    #[arg(long, value_name = "URI", required_unless_present = "config", conflicts_with = "config")]
    via: Option<String>,
    /// Take the trunk from this configuration.
    #[arg(long, value_name = "FILE", requires = "trunk")]
    config: Option<PathBuf>,
    /// Which trunk of the configuration.
    #[arg(long, value_name = "NAME", requires = "config")]
    trunk: Option<String>,
    /// What to ask: confirm (press #), pin (enter --pin, then #), match (enter the digits that are
    /// shown here, then #), code (press # to hear a code, and type it here).
    #[arg(long, default_value = "confirm", value_parser = mode)]
    mode: Mode,
    /// The PIN that must be entered, 4 to 16 digits: env:NAME or file:PATH keep it out of the
    /// process list.
    #[arg(long, value_name = "PIN", required_if_eq("mode", "pin"))]
    pin: Option<String>,
    /// The digits that must be entered, 2 to 6; drawn when left out.
    #[arg(long, value_name = "DIGITS")]
    r#match: Option<String>,
    /// What to dial once the number has answered: keys 0-9 * #, pauses `,` (2 s), `W` (1 s), `w`
    /// (0.5 s). Without a pause at its beginning the auto-attendant is listened to first.
    #[arg(long, value_name = "KEYS")]
    extension: Option<Extension>,
    /// The language to speak; en-US is built in.
    #[arg(long, default_value = "en-US", value_name = "TAG")]
    locale: String,
    /// The name to greet with, if there is a recording of it, and to show as the caller's.
    #[arg(long, value_name = "NAME")]
    brand: Option<String>,
    /// User name for digest authentication.
    #[arg(long, requires = "password")]
    username: Option<String>,
    /// Its password: env:NAME or file:PATH keep it out of the process list.
    #[arg(long, requires = "username")]
    password: Option<String>,
    /// The number to show to the callee.
    #[arg(long, value_name = "NUMBER")]
    caller_id: Option<String>,
    /// Where to take SIP, as udp:127.0.0.1:0.
    #[arg(long, value_name = "ADDRESS")]
    sip_listen: Option<String>,
    /// Encryption of media, by keys that go as the signalling does: in the clear where that is not
    /// TLS.
    #[arg(long, default_value = "off", value_name = "WHEN", conflicts_with = "config")]
    srtp: Encrypt,
    /// How audio may be coded, the best first, as g722,pcma.
    #[arg(
        long,
        value_name = "CODECS",
        value_delimiter = ',',
        default_value = "pcmu,pcma",
        conflicts_with = "config"
    )]
    codecs: Vec<Coding>,
    /// The roots that the peer's certificate must come from, in PEM, in place of the system's.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    tls_roots: Option<PathBuf>,
    /// The name that the peer's certificate must have, where that is not the host of --via.
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    tls_name: Option<String>,
    /// How long it may ring, in seconds.
    #[arg(long, default_value_t = 45, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=120))]
    ring_timeout: u64,
    /// How long the question stands, in seconds.
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(10..=600))]
    expires_in: u32,
    #[command(flatten)]
    keep: Keep,
    /// Print the verification as JSON, on the last line.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// As if it had been typed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(line: Vec<&OsStr>) -> anyhow::Result<Self> {
        let command = <Self as clap::Args>::augment_args(clap::Command::new("call"));
        let matches = command.try_get_matches_from(line)?;
        Ok(<Self as clap::FromArgMatches>::from_arg_matches(&matches)?)
    }
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let number: PhoneNumber = args.number.parse().map_err(|error| wrong(format!("{error}")))?;
    let (pin, shown) = secrets(&args)?;
    let brand = match &args.brand {
        Some(brand) => Some(Brand::try_from(brand.clone()).map_err(wrong)?),
        None => None,
    };
    let settings = settings(&args, &number)?;
    let request = Request {
        locale: args.locale.clone(),
        brand,
        expires_in: args.expires_in,
        extension: args.extension.clone(),
        ..Request::new(number, Way { channel: Channel::Voice, mode: args.mode })
    };
    let asked = Asked { pin, shown, ..Asked::plainly(request) };
    let clock = Clock::system();
    let (tap, scenes) = Tap::new();
    let watching = tokio::spawn(Watch::open(clock.now(), &args.keep)?.run(scenes));
    let started = Gateway::start(settings, clock, Entropy::system(), Some(tap));
    let (gateway, running) = started.map_err(|error| wrong(error.to_string()))?;
    let tenant = Arc::new(tenant(&asked.request.to));
    let settled = ask(&gateway, &tenant, asked).await;
    running.drain(Duration::from_secs(10)).await;
    // Until the call was over more was learned of the press that decided.
    let settled = match settled {
        Ok(settled) => Ok(gateway.read(&tenant, &settled.id).await?.unwrap_or(settled)),
        failed @ Err(_) => failed,
    };
    drop(gateway);
    let kept = watching.await?;
    let settled = settled?;
    tell(&settled, args.json)?;
    kept?;
    Ok(verdict_code(settled.status()))
}

/// Starts the verification, and waits for its verdict or Ctrl-C, which cancels it.
async fn ask(
    gateway: &Gateway,
    tenant: &Arc<Tenant>,
    asked: Asked,
) -> anyhow::Result<Verification> {
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
    let begun = gateway.read(tenant, &id).await?;
    if let Some(shown) = begun.as_ref().and_then(|it| it.expected.shown.as_ref()) {
        eprintln!("on the phone, enter {} and #", shown.expose());
    }
    if types {
        eprintln!("type the code that the call tells here; Ctrl-C takes the question back");
    }
    let (mut typed, mut interrupted) = (types.then(Typed::begin), false);
    loop {
        tokio::select! {
            found = settled(gateway, tenant, &id) => return found,
            code = line(&mut typed) => {
                match gateway.check(tenant, &id, &code, None, answer(render_checked)).await {
                    Ok(_) => refused(gateway.read(tenant, &id).await?.as_ref()),
                    Err(CheckError::Settled(..)) => {}
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

/// Says that what was typed is not the code, while the question is still open.
fn refused(found: Option<&Verification>) {
    let open = found.filter(|found| found.verdict().is_none());
    if let Some(secret) = open.and_then(|found| found.secret.as_ref()) {
        eprintln!("that is not the code; {}", checks_left(secret.checks_left.into()));
    }
}

/// The next code that is typed, where any is wanted.
async fn line(typed: &mut Option<Typed>) -> String {
    match typed {
        Some(typed) => typed.code().await,
        None => std::future::pending().await,
    }
}

async fn settled(
    gateway: &Gateway,
    tenant: &Tenant,
    id: &VerificationId,
) -> anyhow::Result<Verification> {
    loop {
        let found = gateway.wait(tenant, id, u64::MAX, Duration::from_secs(60)).await?;
        match found {
            Some(found) if found.verdict().is_some() => return Ok(found),
            Some(_) => {}
            None => anyhow::bail!("the verification is gone"),
        }
    }
}

fn tell(settled: &Verification, json: bool) -> anyhow::Result<()> {
    let reason = settled.verdict().map_or("", |verdict| verdict.reason().as_str());
    let detail = settled.attempts.last().and_then(|attempt| attempt.detail.as_deref());
    let because = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
    eprintln!("verdict: {} ({reason}{because})", settled.status().as_str());
    if json {
        println!("{}", String::from_utf8(render(settled))?);
    } else {
        println!("{} {reason}", settled.status().as_str());
    }
    Ok(())
}

/// The modes of a call.
fn mode(word: &str) -> Result<Mode, String> {
    let modes = [Mode::Confirm, Mode::Pin, Mode::Match, Mode::Code];
    let found = modes.into_iter().find(|mode| mode.as_str() == word);
    found.ok_or_else(|| "write confirm, pin, match or code".to_owned())
}

/// What must be entered, where the mode asks for it.
fn secrets(args: &Args) -> anyhow::Result<(Option<Pin>, Option<Shown>)> {
    let pin = match &args.pin {
        Some(_) if args.mode != Mode::Pin => return Err(wrong("--pin goes with --mode pin")),
        Some(pin) => {
            let read = config::read_secret(pin, Path::new("."), &|name| std::env::var(name).ok());
            let (pin, _) = read.map_err(|error| wrong(format!("--pin: {error}")))?;
            Some(Pin::parse(&pin).ok_or_else(|| wrong("--pin: write 4 to 16 digits"))?)
        }
        None => None,
    };
    let shown = match &args.r#match {
        Some(_) if args.mode != Mode::Match => return Err(wrong("--match goes with --mode match")),
        Some(digits) => {
            Some(Shown::parse(digits).ok_or_else(|| wrong("--match: write 2 to 6 digits"))?)
        }
        None => None,
    };
    Ok((pin, shown))
}

/// Whoever types the command may call the number typed, once; nothing else is allowed.
fn tenant(number: &PhoneNumber) -> Tenant {
    let voice_countries = BTreeSet::from([number.country().clone()]);
    let rules = Rules { voice_countries, ..Rules::default() };
    let calling = Calling { match_calls: 1, ..Calling::default() };
    Tenant { rules, calling, ..Tenant::new("terminal") }
}

fn settings(args: &Args, number: &PhoneNumber) -> anyhow::Result<Settings> {
    let trunk = match (&args.via, &args.config, &args.trunk) {
        (Some(via), _, _) => trunk_via(args, via)?,
        (None, Some(path), Some(name)) => trunk_of(path, name)?,
        (None, _, _) => return Err(wrong("write --via URI, or --config FILE --trunk NAME")),
    };
    let listen = match &args.sip_listen {
        Some(listen) => config::sip_listener(listen).map_err(wrong)?,
        None => Hop::udp(SocketAddr::new(listen_for(&trunk), 0)),
    };
    let rule = Rule::every(Channel::Voice, [&trunk.name]);
    Ok(Settings {
        sip_listen: vec![listen],
        ring_timeout: Duration::from_secs(args.ring_timeout),
        trunks: vec![trunk],
        routes: Table::new(vec![rule]),
        tenants: vec![tenant(number)],
        ..Settings::bare()
    })
}

fn trunk_via(args: &Args, via: &str) -> anyhow::Result<Trunk> {
    let target = config::sip_target(via).map_err(|error| wrong(format!("--via: {error}")))?;
    let credentials = match (&args.username, &args.password) {
        (Some(username), Some(password)) => Some(TrunkCredentials {
            username: username.clone(),
            password: config::read_secret(password, Path::new("."), &|name| {
                std::env::var(name).ok()
            })
            .map_err(|error| wrong(format!("--password: {error}")))?
            .0,
            realm: None,
        }),
        (_, _) => None,
    };
    let roots = match &args.tls_roots {
        None => None,
        Some(path) => {
            let found = config::certificates(path, Clock::system().now());
            let found = found.map_err(|why| wrong(format!("--tls-roots: {why}")))?;
            found.warning.iter().for_each(|warning| eprintln!("warning: {warning}"));
            Some(found.pem)
        }
    };
    let identity = Identity { caller_id: args.caller_id.clone(), ..Identity::default() };
    let tls = Tls { roots, name: args.tls_name.clone(), ..Tls::default() };
    let (srtp, srtp_in_clear, health) = (args.srtp.into(), true, None);
    let codecs = args.codecs.iter().map(|codec| (*codec).into()).collect();
    let usual = Trunk::new(VIA, target);
    Ok(Trunk { identity, credentials, tls, srtp, srtp_in_clear, codecs, health, ..usual })
}

fn trunk_of(path: &Path, name: &str) -> anyhow::Result<Trunk> {
    let loaded = config::load(path, |name| std::env::var(name).ok())
        .map_err(|complaints| wrong(complaints.to_string()))?;
    let trunks = loaded.config.gateway.trunks;
    let known: Vec<String> = trunks.iter().map(|trunk| trunk.name.clone()).collect();
    let found = trunks.into_iter().find(|trunk| trunk.name == name).ok_or_else(|| {
        let known = known.join(", ");
        wrong(format!("{} has no trunk {name}; it has: {known}", path.display()))
    })?;
    // This is one call: the trunk is not tried besides.
    Ok(Trunk { selftest: Vec::new(), ..found })
}

/// Loopback for a peer on loopback; otherwise any address of the family that reaches the peer.
fn listen_for(trunk: &Trunk) -> IpAddr {
    let Target { host, port, .. } = trunk.first_hop();
    let found = (host.as_str(), port.unwrap_or(5060)).to_socket_addrs();
    match found.ok().and_then(|mut found| found.next()).map(|address| address.ip()) {
        Some(ip) if ip.is_loopback() => ip,
        Some(IpAddr::V6(_)) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        Some(IpAddr::V4(_)) | None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}
