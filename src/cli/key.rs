//! `octothorpe key`: the keys of the API, which live in the configuration or in the store of a gateway
//! that runs.

mod webhook;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::api::{Answer, Api};
use super::check::{Report, environment};
use super::{admin, text, wrong};
use crate::access::key::Fresh;
use crate::ambient;
use crate::config::{self, KeyOrigin, SecretSource};
use crate::gateway::settings::ApiKey;

/// Make, list and revoke the keys of the API.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --admin, keys are those of a gateway that runs: kept in its store as keyed hashes, with scopes and
an end, and revoked at once. Without it, they live in the configuration (`api_keys` of [[tenants]]), of
which the server keeps their SHA-256 only: a fingerprint, the first 8 hexadecimal digits of that, names
a key in lists and logs.

Examples:
  octothorpe key new --tenant acme
  octothorpe key new --tenant acme --admin http://127.0.0.1:8081 --name login --scope start --scope check
  octothorpe key list --tenant acme --admin http://127.0.0.1:8081
  octothorpe key list --config config/lab.toml
  octothorpe key revoke 1a2b3c4d --config /etc/octothorpe/octothorpe.toml")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key: it is printed once, and where to put it.
    #[command(after_help = "\
The key alone goes to standard output, everything else to standard error.

Examples:
  octothorpe key new --tenant acme
  (umask 077; octothorpe key new > acme.key)    # then: api_keys = [\"file:acme.key\"]
  octothorpe key new --json | jq -r .fingerprint
  octothorpe key new --tenant acme --admin http://127.0.0.1:8081 --days 90 --allow 10.0.0.0/8

Exit codes: 0 made, 2 wrong usage, 70 our fault.")]
    New {
        /// The tenant it is for.
        #[arg(long, value_name = "NAME", value_parser = tenant_name)]
        tenant: Option<String>,
        #[command(flatten)]
        at: At,
        /// What it is for; two keys of one name may be live, one in use and one to take its place.
        #[arg(long, value_name = "NAME", requires = "admin")]
        name: Option<String>,
        /// What it opens: start, check, read, cancel, admin; all but admin where none is written.
        #[arg(long = "scope", value_name = "SCOPE", requires = "admin")]
        scopes: Vec<String>,
        /// How long it lasts, in days: 1 to 365.
        #[arg(long, value_name = "DAYS", requires = "admin")]
        days: Option<u32>,
        /// A network that it may be used from, as 10.0.0.0/8; from everywhere where none is written.
        #[arg(long, value_name = "NETWORK", requires = "admin")]
        allow: Vec<String>,
        /// Print the result as one JSON object, on the last line.
        #[arg(long)]
        json: bool,
    },
    /// List keys: tenant, fingerprint or id, where each comes from.
    #[command(after_help = "\
Examples:
  octothorpe key list --config config/lab.toml
  octothorpe key list --config /etc/octothorpe/octothorpe.toml --json | jq -r '.keys[].fingerprint'
  octothorpe key list --tenant acme --admin http://127.0.0.1:8081

Exit codes: 0 listed, 2 wrong usage or configuration, 70 our fault.")]
    List {
        /// The configuration.
        #[arg(
            long,
            value_name = "FILE",
            required_unless_present = "admin",
            conflicts_with = "admin"
        )]
        config: Option<PathBuf>,
        /// The tenant whose keys they are, with --admin.
        #[arg(long, value_name = "NAME", value_parser = tenant_name, requires = "admin")]
        tenant: Option<String>,
        #[command(flatten)]
        at: At,
        /// Print the result as one JSON object, on the last line.
        #[arg(long)]
        json: bool,
    },
    /// Take a key away; of a configuration, say exactly what to remove.
    #[command(after_help = "\
With --admin the key opens nothing from the next request on. With --config nothing is changed: the
configuration is yours.

Examples:
  octothorpe key revoke 1a2b3c4d --config /etc/octothorpe/octothorpe.toml
  octothorpe key revoke x7Kq2pLm --tenant acme --admin http://127.0.0.1:8081

Exit codes: 0 done, or the key is there; 2 it is not.")]
    Revoke {
        /// The key's fingerprint or id, from `octothorpe key list`.
        key: String,
        /// The configuration.
        #[arg(
            long,
            value_name = "FILE",
            required_unless_present = "admin",
            conflicts_with = "admin"
        )]
        config: Option<PathBuf>,
        /// The tenant whose key it is, with --admin.
        #[arg(long, value_name = "NAME", value_parser = tenant_name, requires = "admin")]
        tenant: Option<String>,
        #[command(flatten)]
        at: At,
        /// Print the result as one JSON object, on the last line.
        #[arg(long)]
        json: bool,
    },
    /// Make what signs for a webhook: a secret that both ends know, or a pair of keys.
    #[command(after_help = "\
What the gateway signs by goes to standard output, everything else to standard error.

Examples:
  octothorpe key webhook                        # whsec_…, for both ends
  octothorpe key webhook --ed25519              # whsk_… for the gateway; receivers check by whpk_…
  octothorpe key webhook --ed25519 --json | jq -r .public

Exit codes: 0 made, 2 wrong usage, 70 our fault.")]
    Webhook {
        /// A pair of keys of Ed25519: receivers need its public half alone.
        #[arg(long)]
        ed25519: bool,
        /// Print the result as one JSON object, on the last line.
        #[arg(long)]
        json: bool,
    },
}

/// A gateway that runs.
#[derive(Debug, clap::Args)]
struct At {
    /// The operator's listener of a gateway that runs, as http://127.0.0.1:8081.
    #[arg(long, value_name = "URL", requires = "tenant")]
    admin: Option<String>,
    #[arg(long, value_name = "KEY", requires = "admin", help = admin::KEY_HELP)]
    admin_key: Option<String>,
}

impl At {
    /// The gateway, and the path of the tenant's keys there; `None`: it is not asked.
    fn keys(&self, tenant: Option<&str>) -> anyhow::Result<Option<(Api, String)>> {
        let (Some(url), Some(tenant)) = (&self.admin, tenant) else { return Ok(None) };
        let api = admin::At::of(url, self.admin_key.as_deref()).api()?;
        Ok(Some((api, format!("/admin/v1/tenants/{tenant}/keys"))))
    }
}

/// Carries the command out.
///
/// # Errors
/// When the gateway does not answer or refuses, or the terminal cannot be written to.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match running(&args.command).await? {
        Some(report) => report.print(),
        None => report(&args, environment).print(),
    }
}

/// What becomes of it at a gateway that runs; `None`: none is named.
async fn running(command: &Command) -> anyhow::Result<Option<Report>> {
    let refused = |answer: &Answer| Err(wrong(answer.problem()));
    match command {
        Command::New { tenant, at, name, scopes, days, allow, json } => {
            let Some((api, path)) = at.keys(tenant.as_deref())? else { return Ok(None) };
            let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
            let wanted = json!({
                "name": name, "scopes": some(scopes), "days": days, "allow": some(allow),
            });
            let made = api.post(&path, &wanted).await?;
            if made.status != 201 {
                return refused(&made);
            }
            Ok(Some(shown_once(&made.body, *json)))
        }
        Command::List { tenant, at, json, .. } => {
            let Some((api, path)) = at.keys(tenant.as_deref())? else { return Ok(None) };
            let list = api.get(&path).await?;
            if list.status != 200 {
                return refused(&list);
            }
            Ok(Some(listed(&list.body, *json)))
        }
        Command::Revoke { key, tenant, at, json, .. } => {
            let Some((api, path)) = at.keys(tenant.as_deref())? else { return Ok(None) };
            // It becomes a part of a path.
            if !config::is_name(key) {
                return Err(wrong(format!("{key:?} is no key's id: see `octothorpe key list`")));
            }
            let answer = api.delete(&format!("{path}/{key}")).await?;
            if answer.status != 204 {
                return refused(&answer);
            }
            let object = format!("{}\n", json!({ "revoked": key }));
            let out = if *json { object } else { format!("{key} opens nothing any more\n") };
            Ok(Some(Report { out, err: String::new(), code: 0 }))
        }
        Command::Webhook { .. } => Ok(None),
    }
}

/// A key that a gateway has made.
fn shown_once(made: &Value, json: bool) -> Report {
    if json {
        return Report { out: format!("{made}\n"), err: String::new(), code: 0 };
    }
    let err = format!(
        "The key, shown this once; its id is {}, and it opens {} until {}.\n",
        text(made, "id"),
        words(made, "scopes"),
        text(made, "expires_at")
    );
    Report { out: format!("{}\n", text(made, "key")), err, code: 0 }
}

/// The keys of a tenant at a gateway that runs.
fn listed(list: &Value, json: bool) -> Report {
    if json {
        return Report { out: format!("{list}\n"), err: String::new(), code: 0 };
    }
    let row = |cells: [&str; 6]| {
        let [id, name, source, scopes, ends, used] = cells;
        format!("{id:<8}  {name:<16}  {source:<13}  {scopes:<30}  {ends:<24}  {used}\n")
    };
    let mut out = row(["ID", "NAME", "FROM", "SCOPES", "UNTIL", "LAST USED"]);
    for key in list.get("keys").and_then(Value::as_array).into_iter().flatten() {
        let or = |name, otherwise| match text(key, name) {
            "" => otherwise,
            text => text,
        };
        let (scopes, allow) = (words(key, "scopes"), words(key, "allow"));
        let scopes = if allow.is_empty() { scopes } else { format!("{scopes} from {allow}") };
        out.push_str(&row([
            or("id", ""),
            or("name", "-"),
            or("source", ""),
            &scopes,
            or("expires_at", "-"),
            or("last_used_at", "never"),
        ]));
    }
    Report { out, err: String::new(), code: 0 }
}

/// The texts of a list, with spaces between them.
fn words(value: &Value, list: &str) -> String {
    let all = value.get(list).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

fn report(args: &Args, env: impl Fn(&str) -> Option<String>) -> Report {
    match &args.command {
        Command::New { tenant, json, .. } => new(tenant.as_deref(), *json),
        Command::List { config: Some(config), json, .. } => list(config, *json, env),
        Command::Revoke { key, config: Some(config), json, .. } => revoke(key, config, *json, env),
        // Where no gateway is named, a configuration is.
        Command::List { config: None, .. } | Command::Revoke { config: None, .. } => {
            let err = "name a configuration (--config) or a gateway (--admin)\n".to_owned();
            Report { out: String::new(), err, code: 2 }
        }
        Command::Webhook { ed25519, json } => webhook::new(*ed25519, *json),
    }
}

fn new(tenant: Option<&str>, json: bool) -> Report {
    let key = Fresh::draw(|| ambient::secret::<1>()[0]).text;
    let fingerprint = ApiKey::of(&key).fingerprint();
    let name = tenant.unwrap_or("acme");
    let variable = variable_of(name);
    let lines = format!(
        "[[tenants]]\nname = \"{name}\"\napi_keys = [\"env:{variable}\"]\nvoice_countries = \
         [\"US\"]   # the countries it may call\n"
    );
    if json {
        let object = json!({
            "key": key.as_str(),
            "fingerprint": fingerprint,
            "tenant": tenant,
            "variable": variable,
            "config": lines,
        });
        return Report { out: format!("{object}\n"), err: String::new(), code: 0 };
    }
    let err = format!(
        "The key, shown this once; its fingerprint is {fingerprint}. Set {variable} to it where \
         the server is started, and write:\n\n{lines}\n"
    );
    Report { out: format!("{}\n", key.as_str()), err, code: 0 }
}

/// The environment variable proposed for a tenant's key.
fn variable_of(tenant: &str) -> String {
    let name: String = tenant
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    // A variable's name does not begin with a digit.
    let prefix = if name.starts_with(|c: char| c.is_ascii_digit()) { "TENANT_" } else { "" };
    format!("{prefix}{name}_API_KEY")
}

pub(super) fn tenant_name(text: &str) -> Result<String, String> {
    if config::is_name(text) { Ok(text.to_owned()) } else { Err(config::NAME_RULE.to_owned()) }
}

fn list(config: &Path, json: bool, env: impl Fn(&str) -> Option<String>) -> Report {
    let keys = match config::load(config, env) {
        Ok(loaded) => loaded.keys,
        Err(complaints) => return Report::wrong(config, &complaints, json),
    };
    let out = if json {
        let keys: Vec<Value> = keys.iter().map(|key| origin_json(config, key)).collect();
        format!("{}\n", json!({ "config": config.display().to_string(), "keys": keys }))
    } else {
        let longest = keys.iter().map(|key| key.tenant.len()).max().unwrap_or(0);
        let width = longest.max("TENANT".len());
        let mut table = format!("{:<width$}  FINGERPRINT  FROM\n", "TENANT");
        for origin in &keys {
            let (tenant, fingerprint) = (&origin.tenant, origin.key.fingerprint());
            let from = source(config, origin);
            // Writing to a String does not fail.
            let _ = writeln!(table, "{tenant:<width$}  {fingerprint:<11}  {from}");
        }
        table
    };
    Report { out, err: String::new(), code: 0 }
}

fn revoke(
    fingerprint: &str,
    config: &Path,
    json: bool,
    env: impl Fn(&str) -> Option<String>,
) -> Report {
    let keys = match config::load(config, env) {
        Ok(loaded) => loaded.keys,
        Err(complaints) => return Report::wrong(config, &complaints, json),
    };
    let wanted = fingerprint.to_ascii_lowercase();
    let Some(origin) = keys.iter().find(|origin| origin.key.fingerprint() == wanted) else {
        let known: Vec<String> = keys.iter().map(|origin| origin.key.fingerprint()).collect();
        let (config, known) = (config.display(), known.join(", "));
        let err = format!("{config} has no key of fingerprint {wanted:?}; it has: {known}\n");
        let object = json!({ "revoke": null, "fingerprint": wanted });
        let out = if json { format!("{object}\n") } else { String::new() };
        return Report { out, err, code: 2 };
    };
    let steps = steps(config, origin, keys.iter().filter(|it| it.tenant == origin.tenant).count());
    let out = if json {
        format!("{}\n", json!({ "revoke": origin_json(config, origin), "steps": steps }))
    } else {
        let mut text = format!("To revoke {wanted} of tenant {}:\n", origin.tenant);
        for (i, step) in steps.iter().enumerate() {
            let _ = writeln!(text, "  {}. {step}", i + 1);
        }
        text
    };
    Report { out, err: String::new(), code: 0 }
}

/// What to do, in order, so that the key is refused.
fn steps(config: &Path, origin: &KeyOrigin, keys_of_tenant: usize) -> Vec<String> {
    let at = format!("{}:{}", config.display(), origin.line);
    let path = &origin.path;
    let mut steps = Vec::new();
    if keys_of_tenant == 1 {
        steps.push(format!(
            "it is the only key of tenant {}: add another first (`octothorpe key new`), or take \
             the tenant out",
            origin.tenant
        ));
    }
    match &origin.source {
        SecretSource::Literal => steps.push(format!("take the key out at {at} ({path})")),
        SecretSource::Variable(name) => {
            steps.push(format!("take \"env:{name}\" out at {at} ({path})"));
            steps
                .push(format!("unset the environment variable {name} where the server is started"));
        }
        SecretSource::File(file) => {
            steps.push(format!("take \"file:…\" out at {at} ({path})"));
            steps.push(format!("delete the file {}", file.display()));
        }
    }
    steps.push("start the server again".to_owned());
    steps
}

fn source(config: &Path, origin: &KeyOrigin) -> String {
    let at = format!("{}:{}", config.display(), origin.line);
    match &origin.source {
        SecretSource::Variable(name) => format!("env:{name} ({at})"),
        SecretSource::File(file) => format!("file:{} ({at})", file.display()),
        SecretSource::Literal => format!("literal at {at}"),
    }
}

fn origin_json(config: &Path, origin: &KeyOrigin) -> Value {
    let (source, name) = match &origin.source {
        SecretSource::Variable(name) => ("env", Some(name.clone())),
        SecretSource::File(file) => ("file", Some(file.display().to_string())),
        SecretSource::Literal => ("literal", None),
    };
    json!({
        "tenant": origin.tenant,
        "fingerprint": origin.key.fingerprint(),
        "source": source,
        "name": name,
        "file": config.display().to_string(),
        "line": origin.line,
        "key": origin.path,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn ran(words: &[&str], env: impl Fn(&str) -> Option<String>) -> Report {
        let words = ["key"].iter().chain(words);
        report(&Cli::try_parse_from(words).unwrap().args, env)
    }

    const LITERAL: &str = "canary_literal_0123456789012345678";
    const FROM_ENV: &str = "canary_variable_0123456789012345678";

    fn example(folder: &Path) -> String {
        let path = folder.join("octothorpe.toml");
        let text = format!(
            "[[tenants]]\nname = 'acme'\napi_keys = [\n  'env:ACME_API_KEY',\n  '{LITERAL}',\n]\n\
             [[tenants]]\nname = 'solo'\napi_keys = ['file:solo.key']\n"
        );
        std::fs::write(&path, text).unwrap();
        let key = folder.join("solo.key");
        std::fs::write(&key, "canary_file_0123456789012345678901\n").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        path.display().to_string()
    }

    fn env(name: &str) -> Option<String> {
        (name == "ACME_API_KEY").then(|| FROM_ENV.to_owned())
    }

    #[test]
    fn a_new_key_is_printed_alone_and_can_be_used() {
        let report = ran(&["new", "--tenant", "acme-eu"], |_| None);
        let key = report.out.trim_end();
        assert_eq!(key.len(), 56);
        assert!(key.starts_with("otk_"), "{key}");
        assert!(report.err.contains(&ApiKey::of(key).fingerprint()));
        assert!(report.err.contains("api_keys = [\"env:ACME_EU_API_KEY\"]"), "{}", report.err);
        assert!(!report.err.contains(key));
        assert_ne!(ran(&["new"], |_| None).out, ran(&["new"], |_| None).out);
        let (_, lines) = report.err.split_once("\n\n").unwrap();
        let set = |name: &str| (name == "ACME_EU_API_KEY").then(|| key.to_owned());
        let loaded = config::parse(lines, "new.toml", Path::new("."), set).unwrap();
        assert_eq!(loaded.keys[0].key, ApiKey::of(key));
    }

    #[test]
    fn a_new_key_as_json() {
        let report = ran(&["new", "--json"], |_| None);
        let object: Value = serde_json::from_str(report.out.lines().last().unwrap()).unwrap();
        let key = object["key"].as_str().unwrap();
        assert_eq!(object["fingerprint"], ApiKey::of(key).fingerprint());
    }

    #[test]
    fn keys_are_listed_with_their_sources_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = example(folder.path());
        let report = ran(&["list", "--config", &path], env);
        assert_eq!(report.code, 0, "{}", report.err);
        let lines: Vec<&str> = report.out.lines().collect();
        let from_env = ApiKey::of(FROM_ENV).fingerprint();
        assert_eq!(lines[1], format!("acme    {from_env}     env:ACME_API_KEY ({path}:4)"));
        assert!(lines[2].ends_with(&format!("literal at {path}:5")), "{}", lines[2]);
        assert!(lines[3].contains("solo.key ("), "{}", lines[3]);
        assert!(!report.out.contains("canary"));
        let report = ran(&["list", "--config", &path, "--json"], env);
        let object: Value = serde_json::from_str(report.out.lines().last().unwrap()).unwrap();
        assert_eq!(object["keys"][0]["name"], "ACME_API_KEY");
        assert_eq!(object["keys"][1]["source"], "literal");
        assert_eq!(object["keys"][2]["line"], 9);
        let report = ran(&["list", "--config", &path], |_| None);
        assert_eq!(report.code, 2);
        assert!(report.err.contains("the environment variable ACME_API_KEY is not set"));
    }

    #[test]
    fn revoking_says_exactly_what_to_remove() {
        let folder = tempfile::tempdir().unwrap();
        let path = example(folder.path());
        let steps = |text: &str| {
            let fingerprint = ApiKey::of(text).fingerprint();
            ran(&["revoke", &fingerprint, "--config", &path], env)
        };
        let report = steps(FROM_ENV);
        assert_eq!(report.code, 0);
        let line = format!("take \"env:ACME_API_KEY\" out at {path}:4 (tenants[0].api_keys[0])");
        assert!(report.out.contains(&line), "{}", report.out);
        assert!(report.out.contains("unset the environment variable ACME_API_KEY"));
        assert!(!report.out.contains("only key"));
        let report = steps(LITERAL);
        assert!(report.out.contains(&format!("take the key out at {path}:5")), "{}", report.out);
        let report = steps("canary_file_0123456789012345678901");
        assert!(report.out.contains("only key of tenant solo"), "{}", report.out);
        assert!(report.out.contains("solo.key"));
        let report = steps("unknown");
        assert_eq!((report.code, report.out.as_str()), (2, ""));
        assert!(report.err.contains(&ApiKey::of(LITERAL).fingerprint()), "{}", report.err);
    }
}
