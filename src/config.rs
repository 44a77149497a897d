//! The file as written → the settings as meant.
//!
//! Three layers, the later ones winning key by key: `config/default.toml`, compiled in; the file
//! given by `--config`; the environment. The environment reaches the plain keys of `[server]`,
//! `[store]`, `[sip]`, `[call]`, `[fraud]`, `[prompts]`, `[capture]`, `[telemetry.otlp]` and `[log]`: `OCTOTHORPE_`, the
//! section, two underscores, the key, all in capitals, as `OCTOTHORPE_SERVER__API_LISTEN`; a point is two underscores, too. A variable that is empty counts as not set.
//! Lists, trunks, carriers, routes, texts, tenants and operators are written in the file only.
//!
//! Secrets (`password`, `token`, `api_keys`, `secret` and their like) are written `env:NAME`,
//! `file:PATH` (relative to the configuration's folder) or, with a warning, as they are. Nothing
//! here shows one: not `Debug`, not a complaint.
//!
//! Each [`Complaint`] names the file, the line, the key, the value and what would be right, and
//! all of them are reported at once.

mod access;
mod address;
mod capture;
mod carriers;
mod complaint;
mod fraud;
mod limits;
mod made;
mod money;
mod network;
mod operators;
mod pem;
mod prompts;
mod raw;
mod reader;
mod redis;
mod routing;
mod secret;
mod server;
mod telemetry;
mod tenants;
#[cfg(test)]
mod tests;
mod texts;
mod trunks;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

pub use self::address::{Target, sip_listener, sip_target};
pub use self::carriers::CarrierBrief;
pub use self::complaint::{Complaint, Complaints};
pub use self::pem::{Certificates, certificates};
pub use self::prompts::recordings;
use self::raw::Raw;
use self::reader::Reader;
pub use self::secret::read as read_secret;
pub use self::texts::Sample;
use crate::gateway::settings::{ApiKey, Settings};
use crate::http;
use crate::verify::route::{Rule, Table};

/// The first layer, which documents every key.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// What the name of a trunk, carrier or tenant is made of.
pub const NAME_RULE: &str = "a name is 1 to 64 letters, digits, \".\", \"_\" and \"-\", and begins \
                             with a letter or digit";

/// The key of `config/lab.toml`. Everybody knows it, so it is refused unless the API listens on
/// loopback only.
pub const LAB_KEY: &str = "otk_lab_this_key_opens_loopback_listeners_only";

/// Every layer's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// For the gateway.
    pub gateway: Settings,
    /// For the listeners.
    pub http: http::Settings,
    /// The address by which providers reach this server, without a slash at its end.
    pub public_url: Option<String>,
    /// For the log.
    pub log: Log,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A filter of `tracing-subscriber`: `info`, or `info,octothorpe::sip=debug`.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A configuration that can be run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What is allowed, and should be looked at.
    pub warnings: Vec<Complaint>,
    /// Where each API key comes from.
    pub keys: Vec<KeyOrigin>,
    /// The rows of the route table, as written or as implied.
    pub routes: Vec<Rule>,
    /// The carriers, in short.
    pub carriers: Vec<CarrierBrief>,
    /// What texts look like.
    pub samples: Vec<Sample>,
    /// Where the prices stand.
    pub prices_file: Option<PathBuf>,
}

/// Where an API key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOrigin {
    /// Whose key it is.
    pub tenant: String,
    /// The key, as it is kept.
    pub key: ApiKey,
    /// Where its text stands.
    pub source: SecretSource,
    /// Its place among the keys: `tenants[0].api_keys[1]`.
    pub path: String,
    /// Its line in the configuration.
    pub line: usize,
}

/// Where the text of a secret stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In an environment variable of this name.
    Variable(String),
    /// In this file.
    File(PathBuf),
    /// In the configuration itself.
    Literal,
}

/// Reads the configuration at `path`; `env` looks up environment variables.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Loaded, Complaints> {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) => {
            let message = format!("the configuration cannot be read: {error}");
            return Err(Complaints(vec![Complaint::of_file(&name, None, "", None, message)]));
        }
    };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    parse(&text, &name, dir.unwrap_or(Path::new(".")), env)
}

/// Reads a configuration from its text. `file_name` is for complaints; `dir` is where relative
/// `file:` secrets are looked for.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(
    text: &str,
    file_name: &str,
    dir: &Path,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Loaded, Complaints> {
    let defaults = raw::read(DEFAULTS, "config/default.toml (compiled in)")?;
    let written = raw::read(text, file_name)?;
    let mut reader = Reader::new(file_name, text, dir, &env);
    let loaded = resolve(&mut reader, &written, &defaults);
    reader.finish(loaded)
}

/// From what is written to what is meant. What cannot be meant is complained of and stood in for,
/// so that everything after it is read, too.
fn resolve(reader: &mut Reader<'_>, written: &Raw, defaults: &Raw) -> Loaded {
    let server = server::server(reader, written, defaults);
    let sip = network::sip(reader, written, defaults);
    let call = network::call(reader, written, defaults);
    let store = network::store(reader, written, defaults);
    let log = network::log(reader, written, defaults);
    let trunks = trunks::trunks(reader, &written.trunks);
    let public = server.public_url.as_ref();
    let carriers = carriers::carriers(reader, &written.carriers, &written.trunks, public);
    if written.trunks.is_empty() && written.carriers.is_empty() {
        let message = "there is no [[trunks]] entry, and no [[carriers]] entry: nobody can be \
                       called, and no text sent";
        reader.warn_of_file("trunks", message);
    }
    let names = routing::Names::of(&written.trunks, &carriers.providers, &carriers.broken);
    let routes = routing::routes(reader, written, &names);
    let keep = network::keep(reader, written, defaults);
    let (secret, older_secrets) = network::store_secrets(reader, written);
    let prices = money::prices(reader, written);
    money::must_be_priced(reader, written);
    let texts = texts::texts(reader, &written.texts);
    let mut prompts = prompts::prompts(reader, written);
    let fraud = fraud::fraud(reader, written, defaults);
    let certified = server.tls.as_ref().is_some_and(|tls| tls.client_roots.is_some());
    let common = tenants::Common { calling: &call.calling, fraud: &fraud, certified };
    let (tenants, keys) = tenants::tenants(reader, written, &server.api_listen, common);
    let form = made::Form::new(written, &server.api_listen, common);
    prompts::of_tenants(reader, &mut prompts, &written.tenants);
    prompts::unrecorded(reader, &prompts, &written.tenants);
    tenants::unreached(reader, &written.tenants, &tenants, &routes);
    let samples = texts::samples(reader, &texts, written, &tenants);
    let public_url = server.public_url.map(|url| url.value.url);
    let gateway = Settings {
        store,
        secret,
        older_secrets,
        keep,
        sip_listen: sip.listen,
        sip_identity: sip.identity,
        rtp_ports: sip.rtp_ports,
        advertise: sip.advertise,
        dns: sip.dns,
        hep: capture::hep(reader, written, defaults),
        otlp: telemetry::otlp(reader, written, defaults),
        engines: sip.engines,
        calls_per_engine: sip.calls_per_engine,
        ring_timeout: call.ring_timeout,
        call_limit: call.limit,
        trunks,
        selftest_every: trunks::selftest_every(reader, written, defaults),
        carriers: carriers.providers,
        public_url: public_url.clone(),
        verdict_key: server.verdict_key,
        prices,
        texts: Arc::new(texts),
        prompts: Arc::new(prompts),
        routes: Table::new(routes.clone()),
        tenants,
        operators: operators::operators(reader, written),
        form: Some(Arc::new(form)),
    };
    let http = http::Settings {
        api_listen: server.api_listen.value,
        admin_listen: server.admin_listen,
        tls: server.tls,
        trusted_proxies: server.trusted_proxies,
        max_connections: server.max_connections,
        ..http::Settings::default()
    };
    let config = Config { gateway, http, public_url, log };
    let carriers = carriers.briefs;
    let prices_file = written.prices.file.as_ref().map(|file| reader.dir.join(file.get_ref()));
    Loaded { config, warnings: Vec::new(), keys, routes, carriers, samples, prices_file }
}

/// Whether a trunk, carrier or tenant can have this name; see [`NAME_RULE`].
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Whether this can be a BCP 47 tag of language, script and region (RFC 5646 § 2.1).
#[must_use]
pub fn is_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    (2..=3).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_lowercase())
        && parts.all(|part| {
            (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}

/// What `serve` says when it is started without a configuration.
#[must_use]
pub const fn what_to_write() -> &'static str {
    "No configuration: a gateway needs one [[trunks]] or [[carriers]] entry to call by and one [[tenants]] entry with a key and countries.
To try it here: `octothorpe phone --listen udp:127.0.0.1:5080`, then `octothorpe serve --config config/lab.toml`.
To write your own: copy config/production.toml, make a key with `octothorpe key new`, test it with `octothorpe check --config FILE`."
}
