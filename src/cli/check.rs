//! `octothorpe check`: what a configuration means, or everything that is wrong with it.

mod prices;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{online, trunk};
use crate::config::{self, CarrierBrief, Complaint, Complaints, Loaded, Sample};
use crate::gateway::settings::{OtlpSettings, Provider, StoreSettings, Tenant};
use crate::sip::Hop;
use crate::verify::number::{Country, PhoneNumber};
use crate::verify::policy::{self, Rules};
use crate::verify::request::Channel;
use crate::verify::route::{Rule, Via};

/// Exit code of wrong usage or configuration.
const WRONG: u8 = 2;

/// Read a configuration, say what it means, or everything that is wrong with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe check --config config/lab.toml
  octothorpe check --config /etc/octothorpe/octothorpe.toml --json | tail -1 | jq .tenants
  octothorpe check --config /etc/octothorpe/octothorpe.toml --online
  octothorpe check --config /etc/octothorpe/octothorpe.toml --route +4915112345678 --tenant acme
  TWILIO_TOKEN=… ACME_API_KEY=… octothorpe check --config config/twilio.toml
  OCTOTHORPE_SERVER__API_LISTEN=127.0.0.1:9000 octothorpe check --config config/lab.toml

Exit codes: 0 the configuration can be run (warnings included), 1 with --online: a trunk does not work,
2 it cannot.")]
pub struct Args {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say instead by which route this number would be reached.
    #[arg(long, value_name = "NUMBER", requires = "config")]
    route: Option<String>,
    /// Whose request it would be; every tenant's when it is not written.
    #[arg(long, value_name = "NAME", requires = "route")]
    tenant: Option<String>,
    /// Speak to the trunks, too: look them up, connect, ask whether they live, register. A line for
    /// each, and what to do where something fails. Nobody is called.
    #[arg(long, requires = "config", conflicts_with = "route")]
    online: bool,
    /// Print the result as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
///
/// # Errors
/// When the terminal cannot be written to, or no socket is to be had.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let report = report(&args, environment);
    match &args.config {
        Some(path) if args.online && report.code == 0 => {
            online(path, report, args.json).await?.print()
        }
        Some(_) | None => report.print(),
    }
}

/// What is read from a configuration, and then what its trunks say.
async fn online(path: &Path, read: Report, json: bool) -> anyhow::Result<Report> {
    let Ok(loaded) = config::load(path, environment) else { return Ok(read) };
    let views = online::look(&loaded.config.gateway, None).await?;
    let code = u8::from(!views.iter().all(online::works));
    let Report { mut out, mut err, .. } = read;
    if json {
        let mut object: Value = serde_json::from_str(&out)?;
        if let Some(object) = object.as_object_mut() {
            let online = views.iter().map(online::object).collect();
            object.insert("online".to_owned(), Value::Array(online));
        }
        out = format!("{object}\n");
    } else {
        out.push('\n');
        views.iter().for_each(|view| out.push_str(&online::text(view)));
        if views.is_empty() {
            err.push_str("There is no trunk to speak to.\n");
        }
    }
    Ok(Report { out, err, code })
}

/// What a command has to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// The result, for standard output.
    pub(super) out: String,
    /// The rest, for standard error.
    pub(super) err: String,
    /// The exit code.
    pub(super) code: u8,
}

impl Report {
    /// The complaints about a configuration.
    pub(super) fn wrong(path: &Path, complaints: &Complaints, json: bool) -> Self {
        let mistakes = match complaints.0.len() {
            1 => "one mistake".to_owned(),
            n => format!("{n} mistakes"),
        };
        let err = format!("{complaints}\n{} has {mistakes}.\n", path.display());
        let object = json!({
            "ok": false,
            "config": path.display().to_string(),
            "complaints": complaints.0,
        });
        Self { out: if json { format!("{object}\n") } else { String::new() }, err, code: WRONG }
    }

    /// Says it. A reader that has gone away (`| head -1`) is no mistake.
    pub(super) fn print(self) -> anyhow::Result<ExitCode> {
        let written = |result: io::Result<()>| match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other,
        };
        let mut err = io::stderr().lock();
        written(err.write_all(self.err.as_bytes()).and_then(|()| err.flush()))?;
        let mut out = io::stdout().lock();
        written(out.write_all(self.out.as_bytes()).and_then(|()| out.flush()))?;
        Ok(ExitCode::from(self.code))
    }
}

/// The process's environment.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn report(args: &Args, env: impl Fn(&str) -> Option<String>) -> Report {
    let Some(path) = &args.config else {
        let complaint = Complaint {
            file: None,
            line: None,
            variable: None,
            key: "--config".to_owned(),
            value: None,
            message: "name the configuration to check".to_owned(),
        };
        let object = json!({ "ok": false, "config": null, "complaints": [complaint] });
        let out = if args.json { format!("{object}\n") } else { String::new() };
        return Report { out, err: format!("{}\n", config::what_to_write()), code: WRONG };
    };
    match config::load(path, env) {
        Err(complaints) => Report::wrong(path, &complaints, args.json),
        Ok(loaded) if args.route.is_some() => explanation(args, &loaded),
        Ok(loaded) if args.json => {
            let out = format!("{}\n", summary_json(path, &loaded));
            Report { out, err: String::new(), code: 0 }
        }
        Ok(loaded) => Report { out: summary(path, &loaded), err: String::new(), code: 0 },
    }
}

/// By which route a number is reached, for each tenant and channel, or why by none.
fn explanation(args: &Args, loaded: &Loaded) -> Report {
    let wrong = |why: String| Report { out: String::new(), err: format!("{why}\n"), code: WRONG };
    let to: PhoneNumber = match args.route.as_deref().unwrap_or_default().parse() {
        Ok(number) => number,
        Err(why) => return wrong(format!("--route: {why}")),
    };
    let gateway = &loaded.config.gateway;
    let tenants = || gateway.tenants.iter().filter(|it| !it.test);
    let tenants = tenants().filter(|it| args.tenant.as_ref().is_none_or(|name| *name == it.name));
    let (mut lines, mut found) = (String::new(), Vec::new());
    for (tenant, channel) in
        tenants.flat_map(|it| [Channel::Voice, Channel::Sms].map(|channel| (it, channel)))
    {
        let route = policy::reaches(&to, channel, &tenant.rules)
            .map_err(|refusal| refusal.to_string())
            .and_then(|()| {
                let row = gateway.routes.row(&to, &tenant.name, channel);
                row.map(|(_, rule)| self::row(rule)).map_err(|none| none.to_string())
            });
        let said = route.as_ref().unwrap_or_else(|why| why);
        // Writing to a String does not fail.
        let _ = writeln!(lines, "  {:<8} {}: {said}", channel.as_str(), tenant.name);
        found.push(json!({
            "tenant": tenant.name,
            "channel": channel.as_str(),
            "route": route.as_ref().ok(),
            "why_not": route.as_ref().err(),
        }));
    }
    if found.is_empty() {
        return wrong("--tenant: there is no tenant of this name that anything is sent for".into());
    }
    let (number, kind, country) = (to.masked(), to.kind().as_str(), to.country());
    let out = if args.json {
        let object = json!({
            "ok": true, "to": number, "kind": kind, "country": country.as_str(), "routes": found,
        });
        format!("{object}\n")
    } else {
        format!("{number} ({kind}, {country})\n{lines}")
    };
    Report { out, err: String::new(), code: 0 }
}

/// A row of the route table, on one line.
pub(super) fn row(rule: &Rule) -> String {
    let mut row = format!("{} {}", rule.channel.as_str(), rule.prefix);
    if !rule.tenants.is_empty() {
        row.push_str(&format!(" of {}", rule.tenants.join(", ")));
    }
    if !rule.kinds.is_empty() {
        let kinds: Vec<&str> = rule.kinds.iter().map(|kind| kind.as_str()).collect();
        row.push_str(&format!(", {}", kinds.join(" or ")));
    }
    if !rule.countries.is_empty() {
        let countries: Vec<&str> = rule.countries.iter().map(Country::as_str).collect();
        row.push_str(&format!(" in {}", countries.join(", ")));
    }
    let via = match &rule.via {
        Via::InOrder(names) => names.join(", then "),
        Via::ByWeight(shares) => {
            let shares: Vec<String> =
                shares.iter().map(|(name, weight)| format!("{name} ({weight})")).collect();
            format!("{}, by weight", shares.join(", "))
        }
    };
    format!("{row} via {via}")
}

fn summary(path: &Path, loaded: &Loaded) -> String {
    let gateway = &loaded.config.gateway;
    let (first, last) = gateway.rtp_ports;
    let mut text = format!("{} can be run.\n", path.display());
    let mut line = |name: &str, value: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {name:<8} {value}");
    };
    let scheme = if loaded.config.http.tls.is_some() { "https" } else { "http" };
    line("api", format!("{scheme}://{}", loaded.config.http.api_listen));
    line("admin", admin(loaded).map_or("off".to_owned(), |at| format!("{scheme}://{at}")));
    for address in sip(loaded) {
        line("sip", address);
    }
    let pairs = (u32::from(last) + 1).saturating_sub(u32::from(first)) / 2;
    line("rtp", format!("ports {first} to {last}, {pairs} calls at once"));
    line("store", store(&gateway.store));
    if let Some(hep) = &gateway.hep {
        line("capture", format!("SIP of calls to {} (HEP 3, id {})", hep.receiver(), hep.id));
    }
    if let Some(otlp) = &gateway.otlp {
        line("traces", format!("to {}", otlp.origin()));
    }
    if let Some(url) = &loaded.config.public_url {
        line("public", format!("{url} (carriers call back below /hooks/)"));
    }
    for trunk in &gateway.trunks {
        line("trunk", trunk::brief(trunk));
    }
    for carrier in &loaded.carriers {
        let CarrierBrief { name, kind, at, inbound } = carrier;
        line("carrier", format!("{name} -> {at} ({kind}; {})", carries(loaded, name).join(", ")));
        if let Some(address) = inbound {
            line("", format!("texts that people send to {name}: have them sent to {address}"));
        }
    }
    for rule in &loaded.routes {
        line("route", row(rule));
    }
    for tenant in &gateway.tenants {
        let listed = |countries: Vec<&str>| match countries.as_slice() {
            [] => "none".to_owned(),
            [_, ..] => countries.join(" "),
        };
        let Rules { voice_countries, sms_countries } = &tenant.rules;
        let (calls, texts) = (listed(countries(voice_countries)), listed(countries(sms_countries)));
        let (known, webhooks) = (known_by(tenant), tenant.webhooks.len());
        let test = if tenant.test { "; a test: nothing is sent" } else { "" };
        line(
            "tenant",
            format!(
                "{}: {known}; calls {calls}; texts {texts}; webhooks {webhooks}{test}",
                tenant.name
            ),
        );
    }
    for said in prices::told(loaded) {
        line("prices", said);
    }
    for Sample { locale, tenant, text, encoding, segments } in &loaded.samples {
        let whose = tenant.as_ref().map(|tenant| format!(" of {tenant}")).unwrap_or_default();
        let parts = if *segments == 1 { "segment" } else { "segments" };
        line("text", format!("{locale}{whose} ({encoding}, {segments} {parts}): {text:?}"));
    }
    for warning in &loaded.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn summary_json(path: &Path, loaded: &Loaded) -> Value {
    let gateway = &loaded.config.gateway;
    let trunks: Vec<Value> = gateway.trunks.iter().map(trunk::brief_json).collect();
    let carriers: Vec<Value> = loaded
        .carriers
        .iter()
        .map(|CarrierBrief { name, kind, at, inbound }| {
            json!({
                "name": name,
                "kind": kind,
                "address": at,
                "carries": carries(loaded, name),
                "inbound": inbound,
            })
        })
        .collect();
    let texts: Vec<Value> = loaded
        .samples
        .iter()
        .map(|Sample { locale, tenant, text, encoding, segments }| {
            json!({
                "locale": locale,
                "tenant": tenant,
                "text": text,
                "encoding": encoding,
                "segments": segments,
            })
        })
        .collect();
    let routes: Vec<Value> = loaded.routes.iter().map(row_json).collect();
    let tenants: Vec<Value> = gateway
        .tenants
        .iter()
        .map(|tenant| {
            json!({
                "name": tenant.name,
                "keys": keys(tenant),
                "client_names": clients(tenant),
                "voice_countries": countries(&tenant.rules.voice_countries),
                "sms_countries": countries(&tenant.rules.sms_countries),
                "test": tenant.test,
                "webhooks": tenant.webhooks.len(),
            })
        })
        .collect();
    json!({
        "ok": true,
        "config": path.display().to_string(),
        "api_listen": loaded.config.http.api_listen.to_string(),
        "admin_listen": admin(loaded),
        "tls": loaded.config.http.tls.is_some(),
        "sip_listen": sip(loaded),
        "rtp_ports": [gateway.rtp_ports.0, gateway.rtp_ports.1],
        "store": store(&gateway.store),
        "capture": gateway.hep.as_ref().map(|hep| json!({ "hep": hep.receiver(), "hep_id": hep.id })),
        "traces": gateway.otlp.as_ref().map(OtlpSettings::origin),
        "public_url": loaded.config.public_url,
        "trunks": trunks,
        "carriers": carriers,
        "routes": routes,
        "tenants": tenants,
        "prices": prices::object(loaded),
        "texts": texts,
        "warnings": loaded.warnings,
    })
}

fn admin(loaded: &Loaded) -> Option<String> {
    loaded.config.http.admin_listen.map(|address| address.to_string())
}

fn sip(loaded: &Loaded) -> Vec<String> {
    loaded.config.gateway.sip_listen.iter().map(Hop::to_string).collect()
}

fn store(store: &StoreSettings) -> String {
    match store {
        StoreSettings::Memory => "memory:".to_owned(),
        StoreSettings::Directory(path) => format!("file:{}", path.display()),
        StoreSettings::Redis(redis) => redis.told(),
    }
}

fn row_json(rule: &Rule) -> Value {
    let kinds: Vec<&str> = rule.kinds.iter().map(|kind| kind.as_str()).collect();
    let countries: Vec<&str> = rule.countries.iter().map(Country::as_str).collect();
    let weights = match &rule.via {
        Via::InOrder(_) => None,
        Via::ByWeight(shares) => Some(shares.iter().map(|(_, weight)| *weight).collect::<Vec<_>>()),
    };
    json!({
        "channel": rule.channel.as_str(),
        "prefix": rule.prefix,
        "tenants": rule.tenants,
        "number_types": kinds,
        "countries": countries,
        "via": rule.via.names().collect::<Vec<_>>(),
        "weights": weights,
    })
}

fn clients(tenant: &Tenant) -> Vec<String> {
    tenant.clients.iter().map(|it| it.name.to_string()).collect()
}

/// By what whoever asks for a tenant is known.
fn known_by(tenant: &Tenant) -> String {
    let issuer = tenant.tokens.iter().map(|tokens| tokens.rules.issuer.clone()).collect();
    let ways = [("keys", keys(tenant)), ("certificates", clients(tenant)), ("tokens of", issuer)];
    let ways = ways.into_iter().filter(|(_, names): &(&str, Vec<String>)| !names.is_empty());
    ways.map(|(way, names)| format!("{way} {}", names.join(" "))).collect::<Vec<_>>().join("; ")
}

fn keys(tenant: &Tenant) -> Vec<String> {
    tenant.keys.iter().map(|it| it.key.fingerprint()).collect()
}

fn countries(countries: &BTreeSet<Country>) -> Vec<&str> {
    countries.iter().map(|country| country.as_str()).collect()
}

/// What a carrier carries, and what it tells back.
fn carries(loaded: &Loaded, name: &str) -> Vec<&'static str> {
    let carrier = loaded.config.gateway.carriers.iter().find(|carrier| carrier.name == name);
    let reach = carrier.map(Provider::reach).unwrap_or_default();
    let all = [
        (reach.voice, "calls"),
        (reach.sms, "texts"),
        (reach.receipts, "receipts"),
        (reach.replies, "replies"),
    ];
    all.into_iter().filter(|(has, _)| *has).map(|(_, what)| what).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str, json: bool) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("octothorpe.toml");
        std::fs::write(&path, text).unwrap();
        let args = Args { config: Some(path), route: None, tenant: None, online: false, json };
        report(&args, |_| None)
    }

    const GOOD: &str = "[[trunks]]\nname = 'a'\ntarget = 'sip:[::1]:5080'\n\
        [[tenants]]\nname = 'acme'\napi_keys = ['canary_0123456789012345678901234567']\n\
        voice_countries = ['US', 'DE']\n";

    #[test]
    fn a_good_configuration_is_summed_up_without_its_secrets() {
        let report = checked(GOOD, false);
        assert_eq!((report.code, report.err.as_str()), (0, ""));
        for part in [
            "api      http://127.0.0.1:8080",
            "admin    http://127.0.0.1:8081",
            "sip      udp:127.0.0.1:5060",
            "rtp      ports 20000 to 29999, 5000 calls at once",
            "store    file:./data",
            "trunk    a -> sip:[::1]:5080",
            "route    voice + via a",
            "tenant   acme: keys ",
            "; calls DE US; texts none; webhooks 0",
            "octothorpe.toml:6: tenants[0].api_keys[0]: the secret stands in",
        ] {
            assert!(report.out.contains(part), "{part:?} is missing in:\n{}", report.out);
        }
        assert!(!report.out.contains("canary"));
    }

    #[test]
    fn the_last_line_is_one_json_object() {
        let report = checked(GOOD, true);
        let object: Value = serde_json::from_str(report.out.lines().last().unwrap()).unwrap();
        assert_eq!(object["ok"], true);
        assert_eq!(object["trunks"][0]["target"], "sip:[::1]:5080");
        assert_eq!(object["warnings"][0]["line"], 6);
        assert!(!report.out.contains("canary"));
    }

    #[test]
    fn who_is_told_of_calls_is_shown() {
        let homer = format!("{GOOD}[capture]\nhep = '[2001:db8::9]:9060'\nhep_id = 7\n");
        let told = checked(&homer, false).out;
        let line = "capture  SIP of calls to [2001:db8::9]:9060 (HEP 3, id 7)";
        assert!(told.contains(line), "{told}");
        let object: Value = serde_json::from_str(&checked(&homer, true).out).unwrap();
        assert_eq!(object["capture"], json!({"hep": "[2001:db8::9]:9060", "hep_id": 7}));
        assert_eq!(object["traces"], Value::Null);
    }

    const TEXTING: &str = "[server]\npublic_url = 'https://v.example'\n\
        [[carriers]]\nname = 'tw'\nkind = 'twilio'\naccount = 'AC0'\ntoken = 'canary'\n\
        from = '+12025550100'\n\
        [[carriers]]\nname = 'smsc'\nkind = 'smpp'\naddress = 'smsc.example'\n\
        system_id = 'acme'\npassword = 'canary'\nfrom = 'Acme'\n\
        [[tenants]]\nname = 'acme'\napi_keys = ['canary_0123456789012345678901234567']\n\
        sms_countries = ['US']\nbrand = 'Acme'\n";

    #[test]
    fn carriers_and_texts_are_shown_with_what_they_take() {
        let report = checked(TEXTING, false);
        assert_eq!((report.code, report.err.as_str()), (0, ""));
        for part in [
            "public   https://v.example (carriers call back below /hooks/)",
            "carrier  tw -> https://api.twilio.com (twilio; calls, texts, receipts, replies)",
            "texts that people send to tw: have them sent to https://v.example/hooks/tw/inbound",
            "carrier  smsc -> smsc.example:2775 (smpp; texts, receipts, replies)",
            "route    sms + via tw, then smsc",
            "; calls none; texts US; webhooks 0",
            "text     en-US of acme (GSM-7, 1 segment): \"123456 is your Acme code.",
        ] {
            assert!(report.out.contains(part), "{part:?} is missing in:\n{}", report.out);
        }
        assert!(!report.out.contains("canary"));
        let report = checked(TEXTING, true);
        let object: Value = serde_json::from_str(report.out.lines().last().unwrap()).unwrap();
        assert_eq!(object["public_url"], "https://v.example");
        assert_eq!(object["carriers"][0]["kind"], "twilio");
        assert_eq!(object["carriers"][1]["address"], "smsc.example:2775");
        assert_eq!(object["carriers"][1]["carries"], json!(["texts", "receipts", "replies"]));
        assert_eq!(object["routes"][1]["channel"], "sms");
        assert_eq!(object["tenants"][0]["sms_countries"], json!(["US"]));
        let text = &object["texts"][0];
        assert_eq!((&text["locale"], &text["segments"]), (&json!("en-US"), &json!(1)));
        assert_eq!((&text["tenant"], &text["encoding"]), (&json!("acme"), &json!("GSM-7")));
        assert!(!report.out.contains("canary"));
    }

    #[test]
    fn the_price_deck_is_summed_up_with_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("octothorpe.toml");
        let deck = "prefix,channel,price\n+1,voice,0.0130\n+1900,voice,4.99\n+1,sms,0.0079\n";
        std::fs::write(folder.path().join("prices.csv"), deck).unwrap();
        let prices = "[prices]\nfile = 'prices.csv'\ncurrency = 'EUR'\n";
        std::fs::write(&path, format!("{prices}{GOOD}")).unwrap();
        let checked = |json| {
            let config = Some(path.clone());
            report(&Args { config, route: None, tenant: None, online: false, json }, |_| None)
        };
        let told = checked(false);
        assert_eq!((told.code, told.err.as_str()), (0, ""));
        for part in [
            "prices   3 of EUR",
            "written today",
            "a minute 4.99 at most (+1900)",
            "a text 0.0079 at most (+1)",
            "acme: DE has no price by voice, or not for each of its numbers",
        ] {
            assert!(told.out.contains(part), "{part:?} is missing in:\n{}", told.out);
        }
        assert!(!told.out.contains("US has no price"));
        let object: Value =
            serde_json::from_str(checked(true).out.lines().last().unwrap()).unwrap();
        let prices = &object["prices"];
        assert_eq!((&prices["count"], &prices["currency"]), (&json!(3), &json!("EUR")));
        assert_eq!(prices["dearest"]["voice"], json!({ "prefix": "+1900", "price": "4.99" }));
        assert_eq!(prices["age_days"], 0);
        let unpriced = json!([{ "tenant": "acme", "channel": "voice", "country": "DE" }]);
        assert_eq!(prices["unpriced"], unpriced);
        // Without prices there is nothing to say of them.
        let without = self::checked(GOOD, true);
        let object: Value = serde_json::from_str(without.out.lines().last().unwrap()).unwrap();
        assert_eq!(object["prices"], Value::Null);
    }

    #[test]
    fn a_number_is_told_its_route_or_why_it_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let config = Some(folder.path().join("octothorpe.toml"));
        let routes = "[[routes]]\nprefix = '+49'\ntenants = ['acme']\nvia = ['a']\n\
            [[tenants]]\nname = 'two'\napi_keys = ['canary_two_0123456789012345678901234']\n\
            voice_countries = ['DE']\n";
        std::fs::write(config.as_ref().unwrap(), format!("{GOOD}{routes}")).unwrap();
        let asked = |to: &str, tenant: Option<&str>, json| {
            let (config, route) = (config.clone(), Some(to.to_owned()));
            let tenant = tenant.map(str::to_owned);
            let args = Args { config, route, tenant, online: false, json };
            report(&args, |_| None)
        };
        let told = asked("+4915112345678", None, false);
        assert_eq!((told.code, told.err.as_str()), (0, ""));
        let expected = "+49*******5678 (mobile, DE)\n  \
            voice    acme: voice +49 of acme via a\n  \
            sms      acme: DE may not be reached by sms: add \"DE\" to this tenant's \
            sms_countries\n  \
            voice    two: no route by voice to this number: routes[0] (+49) is for other tenants\n";
        assert!(told.out.starts_with(expected), "{}", told.out);
        let told = asked("+4915112345678", Some("two"), true);
        let object: Value = serde_json::from_str(told.out.lines().last().unwrap()).unwrap();
        assert_eq!(object["routes"][0]["route"], Value::Null);
        assert_eq!(object["routes"].as_array().unwrap().len(), 2);
        assert_eq!(asked("+4915112345678", Some("nobody"), false).code, 2);
        assert!(asked("015112345678", None, false).err.contains("write it in E.164"));
    }

    #[test]
    fn mistakes_are_told_on_standard_error() {
        let bad = GOOD.replace("'US', 'DE'", "'UK', 'de'");
        let report = checked(&bad, false);
        assert_eq!((report.code, report.out.as_str()), (2, ""));
        assert!(report.err.contains("octothorpe.toml:7: tenants[0].voice_countries[0] = \"UK\": "));
        assert!(report.err.ends_with("has 2 mistakes.\n"), "{}", report.err);
        let report = checked(&bad, true);
        let object: Value = serde_json::from_str(report.out.lines().last().unwrap()).unwrap();
        assert_eq!((report.code, object["ok"].as_bool()), (2, Some(false)));
        assert_eq!(object["complaints"][1]["key"], "tenants[0].voice_countries[1]");
        assert_eq!(object["complaints"][1]["line"], 7);
    }

    #[test]
    fn without_a_configuration_it_says_what_to_write() {
        let args = Args { config: None, route: None, tenant: None, online: false, json: false };
        let report = report(&args, |_| None);
        assert_eq!(report.code, 2);
        assert_eq!(report.err.trim_end(), config::what_to_write());
    }
}
