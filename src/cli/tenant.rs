//! `octothorpe tenant`: the tenants of a gateway that runs.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::admin::At;
use super::{text, wrong};
use crate::config;

/// Make, list, show, change and remove tenants of a gateway that runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
They are kept in its store, beside those of its configuration, which are changed there alone. Their keys are
made by `octothorpe key new --tenant NAME --admin URL`.

Examples:
  octothorpe tenant add globex --voice US --voice CA --sms US
  octothorpe tenant list
  octothorpe tenant remove globex")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a tenant.
    #[command(after_help = "\
FILE has the keys of a [[tenants]] entry of the configuration (config/default.toml documents them), but for
name, api_keys and prompts. Secrets stand there as they are: env: and file: are for the configuration.

Examples:
  octothorpe tenant add globex --voice US --sms US
  octothorpe tenant add globex --settings globex.toml --admin https://gw.example:8081 --admin-key env:ADMIN_KEY

Exit codes: 0 it is there, 2 it cannot be made, and why, 70 our fault.")]
    Add(Wanted),
    /// Change a tenant: what is written takes the place of what was there, key by key.
    #[command(after_help = "\
Examples:
  octothorpe tenant change globex --voice US --voice DE
  echo 'locale = \"de-DE\"' | octothorpe tenant change globex --settings -

Exit codes: 0 it is changed, 2 it cannot be, and why, 70 our fault.")]
    Change(Wanted),
    /// List the tenants.
    #[command(after_help = "\
Examples:
  octothorpe tenant list
  octothorpe tenant list --json | jq -r '.tenants[].name'

Exit codes: 0 listed, 2 wrong usage, 70 our fault.")]
    List {
        #[command(flatten)]
        at: At,
        /// Print them as one JSON object, on the last line.
        #[arg(long)]
        json: bool,
    },
    /// Show a tenant: what is written of it, without secrets.
    #[command(after_help = "\
Examples:
  octothorpe tenant show globex
  octothorpe tenant show globex --json | jq .settings.webhooks

Exit codes: 0 shown, 2 there is none, 70 our fault.")]
    Show {
        /// Its name.
        name: String,
        #[command(flatten)]
        at: At,
        /// Print it as one JSON object, on the last line.
        #[arg(long)]
        json: bool,
    },
    /// Remove a tenant with its keys: nothing new is asked for, what was begun is finished.
    #[command(after_help = "\
Examples:
  octothorpe tenant remove globex

Exit codes: 0 it is removed, 2 there is none, or it stands in the configuration, 70 our fault.")]
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        at: At,
        /// Print the result as one JSON object, on the last line.
        #[arg(long)]
        json: bool,
    },
}

/// What a tenant is to be.
#[derive(Debug, clap::Args)]
struct Wanted {
    /// Its name.
    name: String,
    /// A country that it may call (ISO 3166); none where none is written.
    #[arg(long = "voice", value_name = "COUNTRY")]
    voice_countries: Vec<String>,
    /// A country that it may text; none where none is written.
    #[arg(long = "sms", value_name = "COUNTRY")]
    sms_countries: Vec<String>,
    /// What else is written of it, in TOML; - reads it from standard input.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(flatten)]
    at: At,
    /// Print the tenant as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

impl Wanted {
    /// What is written, as the gateway reads it.
    fn written(&self) -> anyhow::Result<Map<String, Value>> {
        let mut written = match &self.settings {
            Some(path) => read(path)?,
            None => Map::new(),
        };
        let lists =
            [("voice_countries", &self.voice_countries), ("sms_countries", &self.sms_countries)];
        for (key, countries) in lists.into_iter().filter(|(_, countries)| !countries.is_empty()) {
            if written.insert(key.to_owned(), json!(countries)).is_some() {
                return Err(wrong(format!(
                    "{key} is written twice: in the file, and as an option"
                )));
            }
        }
        Ok(written)
    }
}

/// The keys of a file of TOML.
fn read(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let shown = path.display();
    let written = if path == Path::new("-") {
        let mut written = String::new();
        std::io::stdin().read_to_string(&mut written).map(|_| written)
    } else {
        std::fs::read_to_string(path)
    };
    let written = written.map_err(|error| wrong(format!("{shown} cannot be read: {error}")))?;
    // Its words may hold a secret: where it is wrong, and why, is said, and not what is there.
    let table: toml::Table = toml::from_str(&written)
        .map_err(|error| wrong(format!("{shown} is not TOML: {}", error.message())))?;
    match serde_json::to_value(table).context("what is written is no JSON")? {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(wrong(format!("{shown} is no table")))
        }
    }
}

/// Where a tenant is.
fn path(name: &str) -> anyhow::Result<String> {
    // It becomes a part of a path.
    if config::is_name(name) {
        Ok(format!("/admin/v1/tenants/{name}"))
    } else {
        Err(wrong(format!("{name:?} is no tenant's name: {}", config::NAME_RULE)))
    }
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Add(wanted) => {
            let mut written = wanted.written()?;
            path(&wanted.name)?;
            written.insert("name".to_owned(), json!(wanted.name));
            let made = wanted.at.post("/admin/v1/tenants", &Value::Object(written)).await?;
            told(&made, wanted.json);
        }
        Command::Change(wanted) => {
            let (path, written) = (path(&wanted.name)?, wanted.written()?);
            let changed = wanted.at.patch(&path, &Value::Object(written)).await?;
            told(&changed, wanted.json);
        }
        Command::List { at, json } => {
            let found = at.get("/admin/v1/tenants", &[]).await?;
            if json {
                println!("{found}");
            } else {
                println!("{}", row("NAME", "FROM", "CALLS", "TEXTS", "CHANGED"));
                let all = found.get("tenants").and_then(Value::as_array);
                all.into_iter().flatten().for_each(|tenant| println!("{}", line(tenant)));
            }
        }
        Command::Show { name, at, json } => {
            let found = at.get(&path(&name)?, &[]).await?;
            match json {
                true => println!("{found}"),
                false => println!("{}", serde_json::to_string_pretty(&found)?),
            }
        }
        Command::Remove { name, at, json } => {
            at.delete(&path(&name)?).await?;
            if json {
                println!("{}", json!({ "removed": name }));
            } else {
                println!("{name} is removed: nothing new is begun for it");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A tenant that was made or changed.
fn told(tenant: &Value, json: bool) {
    let warnings = tenant.get("warnings").and_then(Value::as_array).into_iter().flatten();
    for warning in warnings.filter_map(Value::as_str) {
        eprintln!("warning: {warning}");
    }
    if json {
        println!("{tenant}");
    } else {
        println!("{}", line(tenant));
    }
}

fn line(tenant: &Value) -> String {
    let words = |list: &str| {
        let all = tenant.get(list).and_then(Value::as_array).into_iter().flatten();
        let all: Vec<&str> = all.filter_map(Value::as_str).collect();
        if all.is_empty() { "-".to_owned() } else { all.join(" ") }
    };
    let changed = match text(tenant, "changed_at") {
        "" => "-",
        at => at,
    };
    let (calls, texts) = (words("voice_countries"), words("sms_countries"));
    row(text(tenant, "name"), text(tenant, "source"), &calls, &texts, changed)
}

fn row(name: &str, source: &str, calls: &str, texts: &str, changed: &str) -> String {
    format!("{name:<20}  {source:<13}  {calls:<20}  {texts:<20}  {changed}")
}
