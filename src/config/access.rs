//! `[[tenants]]`: who may ask, by which keys, tokens and certificates.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;

use ipnet::IpNet;
use toml::Spanned;

use super::address::{is_loopback, web};
use super::complaint::{did_you_mean, quoted};
use super::raw::{self, Either};
use super::reader::{At, Place, Reader};
use super::routing::warn_of_literal;
use super::secret::{read, shown};
use super::{KeyOrigin, LAB_KEY, SecretSource};
use crate::access::certificate::Name;
use crate::access::token::{KeySet, Rules};
use crate::access::{Scope, Terms, network};
use crate::ambient::Timestamp;
use crate::gateway::settings::{ApiKey, Client, ConfiguredKey, Pinned, Tokens};

/// The shortest API key, in characters.
const SHORTEST_KEY: usize = 32;

/// The keys of a tenant.
pub(super) fn keys(
    reader: &mut Reader<'_>,
    i: usize,
    tenant: &Spanned<raw::Tenant>,
    name: &str,
    api_listen: &At<SocketAddr>,
    origins: &mut Vec<KeyOrigin>,
) -> Vec<ConfiguredKey> {
    let list = tenant.get_ref().api_keys.as_ref();
    let place = list.map_or(reader.place(tenant), |list| reader.place(list));
    let entries = list.map(|list| list.get_ref().as_slice()).unwrap_or_default();
    let raw::Tenant { jwt, client_names, .. } = tenant.get_ref();
    if entries.is_empty() && jwt.is_none() && client_names.is_empty() && !reader.remote {
        let message = "the tenant has no key to present: write api_keys = [\"env:NAME\"] \
                       (`octothorpe key new` makes a key)";
        reader.complain(place, &format!("tenants[{i}].api_keys"), None, message);
    }
    let mut keys = Vec::new();
    for (j, entry) in entries.iter().enumerate() {
        let path = format!("tenants[{i}].api_keys[{j}]");
        let (place, line) = (reader.place(entry), reader.line(entry));
        let (written, terms) = match entry.get_ref() {
            Either::Plain(text) => (Some(text), Terms::default()),
            Either::Table(table) => (table.key.as_ref(), terms(reader, &path, place, table)),
        };
        let Some(written) = written else {
            let message = "the key is missing: write key = \"env:NAME\"";
            reader.complain(place, &format!("{path}.key"), None, message);
            continue;
        };
        let shown = shown(written.expose());
        let (text, source) = match read(written.expose(), reader.dir, reader.env) {
            Ok(read) => read,
            Err(why) => {
                reader.complain(place, &path, shown, why);
                continue;
            }
        };
        if let Err(why) = usable(&text, api_listen) {
            reader.complain(place, &path, shown, why);
            continue;
        }
        let key = ApiKey::of(&text);
        if let Some(first) = origins.iter().find(|other| other.key == key) {
            let message = format!(
                "{} on line {} is the same key: each tenant has its own, written once",
                first.path, first.line
            );
            reader.complain(place, &path, shown, message);
        } else if source == SecretSource::Literal && text.as_str() != LAB_KEY {
            warn_of_literal(reader, place, &path);
        }
        origins.push(KeyOrigin { tenant: name.to_owned(), key, source, path, line });
        keys.push(ConfiguredKey { key, terms });
    }
    keys
}

/// Whether this text can be an API key here.
fn usable(text: &str, api_listen: &At<SocketAddr>) -> Result<(), String> {
    let length = text.chars().count();
    if length < SHORTEST_KEY {
        return Err(format!(
            "the key has {length} of the {SHORTEST_KEY} characters that a key has at least: make one \
             with `octothorpe key new`"
        ));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("the key holds a space or a character outside ASCII, which an Authorization \
                    header cannot carry: make one with `octothorpe key new`"
            .to_owned());
    }
    if text == LAB_KEY && !api_listen.value.ip().is_loopback() {
        return Err(format!(
            "everybody knows the lab's key, and api_listen ({}) can be reached from other \
             machines: make a key with `octothorpe key new`, or listen on 127.0.0.1",
            api_listen.value
        ));
    }
    Ok(())
}

/// What a key opens, until when, and from where.
fn terms(reader: &mut Reader<'_>, path: &str, place: Place, key: &raw::Key) -> Terms {
    let scopes = scopes_of(reader, path, place, key.scopes.as_deref());
    let expires = key.expires.as_ref().and_then(|text| {
        let end = Timestamp::until(text);
        let (path, shown) = (format!("{path}.expires"), Some(quoted(text)));
        match end {
            None => {
                let message = "write a day or a time in UTC, as \"2027-06-30\" or \
                               \"2027-06-30T12:00:00Z\"";
                reader.complain(place, &path, shown, message);
            }
            Some(end) if end <= reader.now => {
                let message = "the key has expired, and opens nothing: put another in its place";
                reader.warn(place, &path, shown, message);
            }
            Some(_) => {}
        }
        end
    });
    Terms { scopes, expires, allow: allowed(reader, path, place, key.allow.as_deref()) }
}

/// From where.
fn allowed(
    reader: &mut Reader<'_>,
    path: &str,
    place: Place,
    written: Option<&[String]>,
) -> Vec<IpNet> {
    if written.is_some_and(<[_]>::is_empty) {
        let message = "no address is written, so nothing would be opened: write networks, as \
                       [\"10.0.0.0/8\"], or leave it out";
        reader.complain(place, &format!("{path}.allow"), None, message);
    }
    let mut networks = Vec::new();
    for (k, text) in written.into_iter().flatten().enumerate() {
        match network(text) {
            Ok(net) => networks.push(net),
            Err(why) => {
                reader.complain(place, &format!("{path}.allow[{k}]"), Some(quoted(text)), why);
            }
        }
    }
    networks
}

/// A name of a certificate that was read, and where.
pub(super) struct NameOrigin {
    name: Name,
    path: String,
    line: usize,
}

/// Whose certificates a tenant takes. `asked_for`: whether the listener asks for any.
pub(super) fn clients(
    reader: &mut Reader<'_>,
    i: usize,
    tenant: &raw::Tenant,
    asked_for: bool,
    origins: &mut Vec<NameOrigin>,
) -> Vec<Client> {
    let mut clients = Vec::new();
    for (j, entry) in tenant.client_names.iter().enumerate() {
        let path = format!("tenants[{i}].client_names[{j}]");
        let (place, line) = (reader.place(entry), reader.line(entry));
        let (written, terms) = match entry.get_ref() {
            Either::Plain(text) => (Some(text), Terms::default()),
            Either::Table(table) => {
                let scopes = scopes_of(reader, &path, place, table.scopes.as_deref());
                let allow = allowed(reader, &path, place, table.allow.as_deref());
                (table.name.as_ref(), Terms { scopes, allow, ..Terms::default() })
            }
        };
        let Some(written) = written else {
            let message = "the name is missing: write name = \"login.acme.example\"";
            reader.complain(place, &format!("{path}.name"), None, message);
            continue;
        };
        let name = match Name::parse(written) {
            Ok(name) => name,
            Err(why) => {
                reader.complain(place, &path, Some(quoted(written)), why);
                continue;
            }
        };
        if let Some(first) = origins.iter().find(|other| other.name == name) {
            let message = format!(
                "{} on line {} is the same name: a certificate speaks for one tenant",
                first.path, first.line
            );
            reader.complain(place, &path, Some(quoted(written)), message);
        }
        origins.push(NameOrigin { name: name.clone(), path, line });
        clients.push(Client { name, terms });
    }
    if let Some(first) = tenant.client_names.first().filter(|_| !asked_for) {
        let message = "no client is asked for a certificate: write client_roots = \"FILE\" in \
                       [server], beside tls_certificate and tls_key";
        let path = format!("tenants[{i}].client_names");
        reader.complain(reader.place(first), &path, None, message);
    }
    clients
}

/// The longest file of keys that is read, in bytes.
const KEYS_LONGEST: u64 = 256 * 1024;

/// Whose tokens a tenant takes.
pub(super) fn tokens(reader: &mut Reader<'_>, i: usize, tenant: &raw::Tenant) -> Option<Tokens> {
    let written = tenant.jwt.as_ref()?;
    let (jwt, place, at) = (written.get_ref(), reader.place(written), format!("tenants[{i}].jwt"));
    let mut needed = |name: &str, text: &Option<String>, or: &str| {
        let given = text.clone().filter(|text| !text.is_empty());
        if given.is_none() {
            reader.complain(place, &format!("{at}.{name}"), None, format!("it is missing: {or}"));
        }
        given
    };
    let issuer = needed("issuer", &jwt.issuer, "write the iss of the tokens, to the letter");
    let audience = needed("audience", &jwt.audience, "write the aud by which tokens name us");
    let scopes = scopes_of(reader, &at, place, jwt.scopes.as_deref());
    let keys = match &jwt.jwks {
        None => {
            let message = "it is missing: write where the issuer's keys are, \"file:PATH\" or \
                           \"https://…\"";
            reader.complain(place, &format!("{at}.jwks"), None, message);
            None
        }
        Some(written) => match pinned(written.get_ref(), reader) {
            Ok(keys) => Some(keys),
            Err(why) => {
                let shown = Some(quoted(written.get_ref())).filter(|it| !it.contains("://"));
                reader.complain(reader.place(written), &format!("{at}.jwks"), shown, why);
                None
            }
        },
    };
    let (subject, claim) = (jwt.subject.clone(), jwt.claim.clone());
    let rules = Rules { issuer: issuer?, audience: audience?, subject, scopes, claim };
    Some(Tokens { rules, keys: keys? })
}

/// Where keys are: a file is read at once. By http they come from this machine alone, for tests.
fn pinned(text: &str, reader: &Reader<'_>) -> Result<Pinned, String> {
    let Some(path) = text.strip_prefix("file:") else {
        let web = web(text)?;
        return if web.encrypted || is_loopback(&web.host) {
            Ok(Pinned::Url(text.to_owned()))
        } else {
            Err("keys come by https://, or nobody knows whose they are".to_owned())
        };
    };
    if reader.remote {
        return Err(
            "files are those of the gateway's machine, for its configuration alone: write \
                    https://…"
                .to_owned(),
        );
    }
    let path = reader.dir.join(path);
    let shown = path.display();
    let unreadable = |error| format!("the file {shown} cannot be read: {error}");
    let mut json = Vec::new();
    let file = File::open(&path).map_err(unreadable)?;
    file.take(KEYS_LONGEST).read_to_end(&mut json).map_err(unreadable)?;
    KeySet::read(&json).map(Pinned::File).map_err(|why| format!("{shown}: {why}"))
}

/// For what: some scopes, at least one, or the usual ones.
fn scopes_of(
    reader: &mut Reader<'_>,
    path: &str,
    place: Place,
    written: Option<&[String]>,
) -> BTreeSet<Scope> {
    let Some(written) = written else { return Scope::usual() };
    let (path, all) = (format!("{path}.scopes"), Scope::ALL.map(Scope::as_str));
    let mut scopes = BTreeSet::new();
    for (k, word) in written.iter().enumerate() {
        if let Some(scope) = Scope::parse(word) {
            scopes.insert(scope);
        } else {
            let hint = did_you_mean(word, all);
            let message = format!("there is no such scope: write one of {}{hint}", all.join(", "));
            reader.complain(place, &format!("{path}[{k}]"), Some(quoted(word)), message);
        }
    }
    if written.is_empty() {
        let message = format!("no scope is written: write some of {}", all.join(", "));
        reader.complain(place, &path, None, message);
    }
    scopes
}
