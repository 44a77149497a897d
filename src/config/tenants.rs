//! `[[tenants]]`: keys, countries, webhooks.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use toml::Spanned;
use zeroize::Zeroizing;

use super::address::shown;
use super::complaint::{did_you_mean, quoted};
use super::fraud::safe;
use super::limits::limits;
use super::money::caps;
use super::raw;
use super::reader::{At, Place, Reader};
use super::routing::{names, secret, table_of};
use super::{KeyOrigin, access, is_tag};
use crate::gateway::settings::address::{self, Bounds, Unfit};
use crate::gateway::settings::event::{self, Filter};
use crate::gateway::settings::{Calling, Endpoint, Risk, Tenant, Texting, WebhookSecret};
use crate::verify::block::Fraud;
use crate::verify::code::{LONGEST, SHORTEST};
use crate::verify::limits::Limits;
use crate::verify::money::Caps;
use crate::verify::number::Country;
use crate::verify::policy::Rules;
use crate::verify::request::{Brand, Channel};
use crate::verify::route::Rule;

/// The longest that a question may be joined, in seconds.
const JOIN_MOST: u64 = 600;

/// The shortest webhook secret that Standard Webhooks allows, in bytes.
const SHORTEST_WEBHOOK_SECRET: usize = 24;

/// Base64 with or without its padding: both are seen behind `whsec_`.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The countries that have a numbering plan.
static COUNTRIES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let regions = rlibphonenumber::PHONE_NUMBER_UTIL.get_supported_regions();
    regions.map(|region| region.as_region_str().to_string()).collect()
});

/// What holds for every tenant.
#[derive(Clone, Copy)]
pub(super) struct Common<'a> {
    pub(super) calling: &'a Calling,
    pub(super) fraud: &'a Fraud,
    /// Whether clients are asked for certificates.
    pub(super) certified: bool,
}

pub(super) fn tenants(
    reader: &mut Reader<'_>,
    file: &raw::Raw,
    api_listen: &At<SocketAddr>,
    common: Common<'_>,
) -> (Vec<Tenant>, Vec<KeyOrigin>) {
    let written = &file.tenants;
    if written.is_empty() {
        let message = "there is no [[tenants]] entry, so nobody may ask: write one with name, \
                       api_keys and voice_countries (`octothorpe key new` prints the lines)";
        reader.complain_of_file("tenants", message);
    }
    names(reader, "tenants", written.iter().map(|it| (table_of(it), it.get_ref().name.as_ref())));
    let (mut origins, mut certified) = (Vec::new(), Vec::new());
    let tenants = written
        .iter()
        .enumerate()
        .map(|(i, tenant)| {
            let own = one_tenant(reader, i, tenant, api_listen, &mut origins);
            let key = format!("tenants[{i}].limits");
            let limits = limits(reader, &file.limits, Some((&key, &tenant.get_ref().limits)));
            let key = format!("tenants[{i}].budget");
            let caps = caps(reader, &file.budget, Some((&key, &tenant.get_ref().budget)));
            let raw = tenant.get_ref();
            let calling = calls(reader, i, raw, common.calling);
            let clients = access::clients(reader, i, raw, common.certified, &mut certified);
            Tenant { limits, caps, calling, clients, fraud: common.fraud.clone(), ..own }
        })
        .collect();
    (tenants, origins)
}

/// Warns of countries that a tenant may reach and nothing reaches.
pub(super) fn unreached(
    reader: &mut Reader<'_>,
    written: &[Spanned<raw::Tenant>],
    tenants: &[Tenant],
    routes: &[Rule],
) {
    let routed = |channel| routes.iter().any(|rule| rule.channel == channel);
    for (i, (tenant, raw)) in tenants.iter().zip(written).enumerate() {
        let Rules { voice_countries, sms_countries } = &tenant.rules;
        for (key, countries, channel, means) in [
            ("voice_countries", voice_countries, Channel::Voice, "trunk or carrier places calls"),
            ("sms_countries", sms_countries, Channel::Sms, "carrier sends texts"),
        ] {
            if !countries.is_empty() && !routed(channel) && !tenant.test {
                let message = format!("no {means}: write one, and a route if there are routes");
                reader.warn(reader.place(raw), &format!("tenants[{i}].{key}"), None, message);
            }
        }
    }
}

fn one_tenant(
    reader: &mut Reader<'_>,
    i: usize,
    written: &Spanned<raw::Tenant>,
    api_listen: &At<SocketAddr>,
    origins: &mut Vec<KeyOrigin>,
) -> Tenant {
    let tenant = written.get_ref();
    let name = tenant.name.as_ref().map(|name| name.get_ref().clone()).unwrap_or_default();
    let keys = access::keys(reader, i, written, &name, api_listen, origins);
    let voice_countries =
        countries(reader, &format!("tenants[{i}].voice_countries"), &tenant.voice_countries);
    // A test reaches its own numbers without.
    if tenant.voice_countries.is_empty() && tenant.sms_countries.is_empty() && !tenant.test {
        let key = format!("tenants[{i}].voice_countries");
        let message = "no country is written, nor one in sms_countries, so everything is refused: \
                       write them, as [\"US\"]";
        reader.warn(reader.place(written), &key, None, message);
    }
    let sms_countries =
        countries(reader, &format!("tenants[{i}].sms_countries"), &tenant.sms_countries);
    let bounds = Bounds {
        private: tenant.allow_private_webhooks,
        ports: webhook_ports(reader, &format!("tenants[{i}].webhook_ports"), &tenant.webhook_ports),
    };
    let mut webhooks: Vec<Endpoint> = Vec::new();
    for (j, webhook) in tenant.webhooks.iter().enumerate() {
        let at = format!("tenants[{i}].webhooks[{j}]");
        let found = endpoint(reader, &at, webhook, &bounds);
        if let Some(endpoint) = &found
            && webhooks.iter().any(|other| other.url == endpoint.url)
        {
            let message = "this address is there already: each endpoint once, with all its events";
            let value = Some(shown(&endpoint.url));
            reader.complain(reader.place(webhook), &format!("{at}.url"), value, message);
        }
        webhooks.extend(found);
    }
    Tenant {
        name,
        keys,
        tokens: access::tokens(reader, i, tenant),
        clients: Vec::new(),
        rules: Rules { voice_countries, sms_countries },
        limits: Limits::default(),
        caps: Caps::default(),
        fraud: Fraud::default(),
        hide_blocks: tenant.hide_blocks,
        safe: safe(reader, i, &tenant.safe_numbers),
        locale: locale(reader, i, tenant),
        brand: brand(reader, i, tenant),
        webhooks,
        risk: risk(reader, i, tenant, &bounds),
        join: join(reader, i, tenant),
        texting: texting(reader, i, tenant),
        calling: Calling::default(),
        test: tenant.test,
        tries: None,
        leaving: false,
    }
}

/// For how long a question that is asked again joins the first.
fn join(reader: &mut Reader<'_>, i: usize, tenant: &raw::Tenant) -> Duration {
    let Some(written) = &tenant.join_secs else { return Tenant::new("").join };
    let seconds = u64::try_from(*written.get_ref()).ok().filter(|it| *it <= JOIN_MOST);
    if seconds.is_none() {
        let message = format!("write a whole number from 0, which is never, to {JOIN_MOST}");
        let value = Some(written.get_ref().to_string());
        reader.complain(reader.place(written), &format!("tenants[{i}].join_secs"), value, message);
    }
    Duration::from_secs(seconds.unwrap_or_default())
}

/// How a tenant calls.
fn calls(reader: &mut Reader<'_>, i: usize, tenant: &raw::Tenant, all: &Calling) -> Calling {
    let key = format!("tenants[{i}].languages");
    let mut languages: Vec<String> = Vec::new();
    for (j, written) in tenant.languages.iter().enumerate() {
        let text = written.get_ref();
        let why = if !is_tag(text) {
            LOCALE_FORM
        } else if languages.contains(text) {
            "this language is there already: each has one key"
        } else {
            languages.push(text.clone());
            continue;
        };
        let place = reader.place(written);
        reader.complain(place, &format!("{key}[{j}]"), Some(quoted(text)), why);
    }
    if let Some(first) = tenant.languages.first()
        && !(2..=9).contains(&tenant.languages.len())
    {
        let message = "write two to nine languages, as [\"en-US\", \"es-MX\"]: each is chosen by \
                       one key; one language alone is the tenant's locale";
        let place = reader.place(first);
        reader.complain(place, &key, Some(tenant.languages.len().to_string()), message);
    }
    let (accessible, confirm_fraud) = (tenant.accessible, tenant.confirm_fraud);
    Calling { languages, accessible, confirm_fraud, ..all.clone() }
}

/// How a tenant texts.
fn texting(reader: &mut Reader<'_>, i: usize, tenant: &raw::Tenant) -> Texting {
    let key = |name: &str| format!("tenants[{i}].{name}");
    let mut texting =
        Texting { yes: tenant.reply_yes, never_ask: tenant.never_ask_line, ..Texting::default() };
    if let Some(digits) = &tenant.code_digits {
        match u8::try_from(*digits.get_ref()) {
            Ok(wanted) if (SHORTEST..=LONGEST).contains(&wanted) => texting.code_digits = wanted,
            Ok(_) | Err(_) => {
                let message = format!(
                    "write {SHORTEST} to {LONGEST}: fewer digits can be guessed, more are mistyped"
                );
                let value = Some(digits.get_ref().to_string());
                reader.complain(reader.place(digits), &key("code_digits"), value, message);
            }
        }
    }
    if let Some(which) = &tenant.resend_code {
        match which.get_ref().as_str() {
            "same" => {}
            "new" => texting.new_code = true,
            other => {
                let message =
                    format!("write \"same\" or \"new\"{}", did_you_mean(other, ["same", "new"]));
                let place = reader.place(which);
                reader.complain(place, &key("resend_code"), Some(quoted(other)), message);
            }
        }
    }
    let mut checked = |name: &str, text: &Option<Spanned<String>>, fits: fn(&str) -> bool, or| {
        let written = text.as_ref()?;
        if fits(written.get_ref()) {
            return Some(written.get_ref().clone());
        }
        let value = Some(quoted(written.get_ref()));
        reader.complain(reader.place(written), &key(name), value, or);
        None
    };
    texting.domain = checked(
        "otp_domain",
        &tenant.otp_domain,
        |text| {
            let label = |part: &str| !part.is_empty() && part.bytes().all(is_host_byte);
            text.len() <= 253 && text.contains('.') && text.split('.').all(label)
        },
        "write the sign-in page's host alone, as login.example.com",
    );
    texting.android_hash = checked(
        "android_hash",
        &tenant.android_hash,
        |text| {
            text.len() == 11
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b))
        },
        "write the 11 characters that Android's SMS Retriever computes for the application",
    );
    texting
}

const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

pub(super) fn countries(
    reader: &mut Reader<'_>,
    key: &str,
    written: &[Spanned<String>],
) -> BTreeSet<Country> {
    let mut countries = BTreeSet::new();
    for (j, entry) in written.iter().enumerate() {
        let text = entry.get_ref().as_str();
        let message = match text.parse::<Country>() {
            Ok(country) if text == "001" || COUNTRIES.contains(text) => {
                countries.insert(country);
                continue;
            }
            Ok(_) if text == "UK" => "there is no such country; did you mean \"GB\"?".to_owned(),
            Ok(_) => "no country with a numbering plan has this code: write ISO 3166, as \"US\" \
                      or \"DE\""
                .to_owned(),
            Err(why) => {
                let capitals = text.to_ascii_uppercase();
                let near = Some(capitals).filter(|it| COUNTRIES.contains(it));
                near.map_or(why.to_owned(), |near| format!("{why}; did you mean \"{near}\"?"))
            }
        };
        let place = reader.place(entry);
        reader.complain(place, &format!("{key}[{j}]"), Some(quoted(text)), message);
    }
    countries
}

/// More ports that events may go to.
fn webhook_ports(reader: &mut Reader<'_>, key: &str, written: &[Spanned<i64>]) -> Vec<u16> {
    let mut ports = Vec::new();
    for (j, port) in written.iter().enumerate() {
        match u16::try_from(*port.get_ref()) {
            Ok(port) if port != 0 => ports.push(port),
            Ok(_) | Err(_) => {
                let message = "a port is a number from 1 to 65535: write those beside 443 and 8443 \
                               that events may go to, as [9443]";
                let value = Some(port.get_ref().to_string());
                reader.complain(reader.place(port), &format!("{key}[{j}]"), value, message);
            }
        }
    }
    ports
}

fn endpoint(
    reader: &mut Reader<'_>,
    at: &str,
    webhook: &Spanned<raw::Webhook>,
    bounds: &Bounds,
) -> Option<Endpoint> {
    let (table, raw::Webhook { url, secret, previous_secret, events: told }) =
        (reader.place(webhook), webhook.get_ref());
    let secrets = [secret, previous_secret].map(Option::as_ref);
    let endpoint = signed_for(reader, at, table, url.as_ref(), secrets, bounds);
    let events = events(reader, &format!("{at}.events"), told.as_ref());
    Some(Endpoint { events, ..endpoint? })
}

/// An address that is posted to, and the secrets that sign.
fn signed_for(
    reader: &mut Reader<'_>,
    at: &str,
    table: Place,
    url: Option<&Spanned<raw::Hidden>>,
    [secret, previous]: [Option<&Spanned<raw::Hidden>>; 2],
    bounds: &Bounds,
) -> Option<Endpoint> {
    let (url_key, secret_key) = (format!("{at}.url"), format!("{at}.secret"));
    let url = match url {
        None => {
            reader.complain(
                table,
                &url_key,
                None,
                "the address is missing: write url = \"https://…\"",
            );
            None
        }
        Some(written) => {
            let text = written.get_ref().expose();
            match address::read(text, bounds) {
                Ok(_) => Some(text.to_owned()),
                Err(why) => {
                    let why = remedy(why);
                    reader.complain(reader.place(written), &url_key, Some(shown(text)), why);
                    None
                }
            }
        }
    };
    if secret.is_none() {
        let message = "the secret that signs is missing: write secret = \"env:NAME\"";
        reader.complain(table, &secret_key, None, message);
    }
    let secret = secret.and_then(|it| webhook_secret(reader, &secret_key, it));
    let previous_key = format!("{at}.previous_secret");
    let previous = previous.and_then(|it| webhook_secret(reader, &previous_key, it));
    let secrets = [Some(secret?), previous].into_iter().flatten().collect();
    Some(Endpoint { url: url?, secrets, events: Filter::default(), bounds: bounds.clone() })
}

/// Who is asked before anything is sent.
fn risk(reader: &mut Reader<'_>, i: usize, tenant: &raw::Tenant, bounds: &Bounds) -> Option<Risk> {
    let written = tenant.risk.as_ref()?;
    let (at, table) = (format!("tenants[{i}].risk"), reader.place(written));
    let raw::Risk { url, secret, previous_secret, on_timeout, number } = written.get_ref();
    let secrets = [secret, previous_secret].map(Option::as_ref);
    let endpoint = signed_for(reader, &at, table, url.as_ref(), secrets, bounds);
    let mut second = |name: &str, written: &Option<Spanned<String>>, words: [&str; 2]| {
        let Some(written) = written else { return false };
        let (word, [first, second]) = (written.get_ref().as_str(), words);
        if !words.contains(&word) {
            let hint = did_you_mean(word, words);
            let message = format!("write \"{first}\" or \"{second}\"{hint}");
            let place = reader.place(written);
            reader.complain(place, &format!("{at}.{name}"), Some(quoted(word)), message);
        }
        word == second
    };
    let deny_unknown = second("on_timeout", on_timeout, ["flag", "deny"]);
    let full_number = second("number", number, ["masked", "full"]);
    Some(Risk { endpoint: endpoint?, deny_unknown, full_number })
}

/// Why an address is refused, and what allows it.
fn remedy(why: Unfit) -> String {
    let more = match why {
        Unfit::Scheme | Unfit::Private => {
            " (allow_private_webhooks = true allows it, for tests and closed networks only)"
        }
        Unfit::Unreadable
        | Unfit::User
        | Unfit::Fragment
        | Unfit::Spelling
        | Unfit::Port(_)
        | Unfit::Nowhere
        | Unfit::InClear => "",
    };
    format!("{why}{more}")
}

/// What an endpoint is told.
fn events(
    reader: &mut Reader<'_>,
    key: &str,
    written: Option<&Spanned<Vec<Spanned<String>>>>,
) -> Filter {
    let Some(written) = written else { return Filter::default() };
    if written.get_ref().is_empty() {
        let message = "the endpoint is told nothing: leave events out for verdicts alone, or write \
                       them, as [\"verification.*\"]";
        reader.complain(reader.place(written), key, None, message);
    }
    let mut patterns = Vec::new();
    for (j, pattern) in written.get_ref().iter().enumerate() {
        let text = pattern.get_ref();
        if Filter::new(vec![text.clone()]).is_ok() {
            patterns.push(text.clone());
            continue;
        }
        let names: Vec<String> = event::names().collect();
        let near = did_you_mean(text, names.iter().map(String::as_str));
        let message = format!(
            "no event is called so: write a name, as verification.settled, or the beginning of \
             several and *, as verification.attempt.*{near}"
        );
        let place = reader.place(pattern);
        reader.complain(place, &format!("{key}[{j}]"), Some(quoted(text)), message);
    }
    Filter::new(patterns).unwrap_or_default()
}

/// A secret: the key behind `whsec_` and base64, a private key of Ed25519 behind `whsk_`, or the text's
/// own bytes.
fn webhook_secret(
    reader: &mut Reader<'_>,
    key: &str,
    written: &Spanned<raw::Hidden>,
) -> Option<WebhookSecret> {
    let (place, text) = (reader.place(written), written.get_ref().expose());
    let shown = super::secret::shown(text);
    let text = secret(reader, place, key, text)?;
    let secret = match read_secret(&text) {
        Ok(secret) => secret,
        Err(why) => {
            reader.complain(place, key, shown, why);
            return None;
        }
    };
    if let Some(bytes) = secret.shared_bytes()
        && bytes < SHORTEST_WEBHOOK_SECRET
    {
        let message = format!(
            "the secret has {bytes} bytes: Standard Webhooks wants at least \
             {SHORTEST_WEBHOOK_SECRET}"
        );
        reader.warn(place, key, shown, message);
    }
    Some(secret)
}

fn read_secret(text: &str) -> Result<WebhookSecret, String> {
    let decoded = |encoded: &str| BASE64.decode(encoded).map(Zeroizing::new).ok();
    if let Some(encoded) = text.strip_prefix("whsk_") {
        return decoded(encoded).and_then(|key| WebhookSecret::ed25519(&key)).ok_or_else(|| {
            "what follows whsk_ is not a private key of Ed25519 in base64: `octothorpe key webhook` \
             makes one"
                .to_owned()
        });
    }
    if text.starts_with("whpk_") {
        return Err(
            "this is the public key, which receivers check by: write the private one, which \
                    begins with whsk_"
                .to_owned(),
        );
    }
    let Some(encoded) = text.strip_prefix("whsec_") else {
        return Ok(WebhookSecret::new(Zeroizing::new(text.as_bytes().to_vec())));
    };
    let key = decoded(encoded).filter(|bytes| !bytes.is_empty());
    key.map(WebhookSecret::new).ok_or_else(|| {
        "what follows whsec_ is not base64: copy the secret whole, or write one without whsec_"
            .to_owned()
    })
}

/// The language that a tenant speaks.
fn locale(reader: &mut Reader<'_>, i: usize, tenant: &raw::Tenant) -> Option<String> {
    let written = tenant.locale.as_ref()?;
    let text = written.get_ref();
    if !is_tag(text) {
        let place = reader.place(written);
        reader.complain(place, &format!("tenants[{i}].locale"), Some(quoted(text)), LOCALE_FORM);
    }
    Some(text.clone())
}

const LOCALE_FORM: &str = "write a language and a region, as en-US or de-DE (BCP 47)";

fn brand(reader: &mut Reader<'_>, i: usize, tenant: &raw::Tenant) -> Option<Brand> {
    let written = tenant.brand.as_ref()?;
    match Brand::try_from(written.get_ref().clone()) {
        Ok(brand) => Some(brand),
        Err(why) => {
            let place = reader.place(written);
            let value = Some(quoted(written.get_ref()));
            reader.complain(place, &format!("tenants[{i}].brand"), value, why);
            None
        }
    }
}
