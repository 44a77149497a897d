//! The file as written: TOML's tables and keys, each with its place in the text.
//!
//! No type here has `Debug`: they hold secrets as they were written.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IntoDeserializer, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, de};
use toml::Spanned;
use zeroize::Zeroizing;

use super::complaint::{Complaint, Complaints, did_you_mean};

/// A whole file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Raw {
    pub(super) server: Server,
    pub(super) store: Store,
    pub(super) sip: Sip,
    pub(super) call: Call,
    pub(super) log: Log,
    pub(super) capture: Capture,
    pub(super) telemetry: Telemetry,
    pub(super) limits: Limits,
    pub(super) prices: Prices,
    pub(super) budget: Budget,
    pub(super) fraud: Fraud,
    pub(super) prompts: Prompts,
    pub(super) selftest: Selftest,
    pub(super) trunks: Vec<Spanned<Trunk>>,
    pub(super) carriers: Vec<Spanned<Carrier>>,
    pub(super) routes: Vec<Spanned<Route>>,
    pub(super) tenants: Vec<Spanned<Tenant>>,
    pub(super) operators: Vec<Spanned<Operator>>,
    pub(super) texts: BTreeMap<String, BTreeMap<String, Spanned<String>>>,
}

/// Each a list of rates, as `["5/10m", "10/h"]`; an empty list is no limit.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Limits {
    pub(super) number: Option<Vec<Spanned<String>>>,
    pub(super) subject: Option<Vec<Spanned<String>>>,
    pub(super) client_ip: Option<Vec<Spanned<String>>>,
    pub(super) prefix: Option<Vec<Spanned<String>>>,
    pub(super) country: Option<Vec<Spanned<String>>>,
    pub(super) tenant: Option<Vec<Spanned<String>>>,
    pub(super) record_only: Option<Vec<Spanned<String>>>,
    pub(super) subject_pauses: Option<Vec<Spanned<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Operator {
    pub(super) name: Option<Spanned<String>>,
    pub(super) role: Option<Spanned<String>>,
    pub(super) password: Option<Spanned<Hidden>>,
    pub(super) totp: Option<Spanned<Hidden>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Fraud {
    pub(super) block_hours: Option<Spanned<i64>>,
    pub(super) conversion_least: Option<Spanned<i64>>,
    pub(super) conversion_warn: Option<Spanned<i64>>,
    pub(super) conversion_block: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table { number = \"+…\", until = \"…\" }")]
pub(super) struct Safe {
    pub(super) number: Option<Spanned<Hidden>>,
    pub(super) until: Option<Spanned<String>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Prices {
    pub(super) file: Option<Spanned<String>>,
    pub(super) currency: Option<Spanned<String>>,
}

/// Each an amount in the currency of the prices, as `"2.50"`.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Budget {
    pub(super) call: Option<Spanned<String>>,
    pub(super) number: Option<Spanned<String>>,
    pub(super) tenant: Option<Spanned<String>>,
    pub(super) day: Option<Spanned<String>>,
    pub(super) record_only: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Server {
    pub(super) api_listen: Option<Spanned<String>>,
    pub(super) admin_listen: Option<Spanned<String>>,
    pub(super) tls_certificate: Option<Spanned<String>>,
    pub(super) tls_key: Option<Spanned<String>>,
    pub(super) client_roots: Option<Spanned<String>>,
    pub(super) insecure_http: Option<Spanned<bool>>,
    pub(super) trusted_proxies: Vec<Spanned<String>>,
    pub(super) max_connections: Option<Spanned<i64>>,
    pub(super) public_url: Option<Spanned<String>>,
    pub(super) verdict_key: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Store {
    pub(super) url: Option<Spanned<String>>,
    pub(super) secret: Option<Spanned<Hidden>>,
    pub(super) older_secrets: Vec<Spanned<Hidden>>,
    pub(super) password: Option<Spanned<Hidden>>,
    pub(super) prefix: Option<Spanned<String>>,
    pub(super) min_replicas: Option<Spanned<i64>>,
    pub(super) folder: Option<Spanned<String>>,
    pub(super) keep_days: Option<Spanned<i64>>,
    pub(super) keep_audit_days: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Sip {
    pub(super) listen: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) rtp_ports: Option<Spanned<Vec<i64>>>,
    pub(super) advertise: Option<Spanned<String>>,
    pub(super) dns: Option<Spanned<String>>,
    pub(super) engines: Option<Spanned<i64>>,
    pub(super) calls_per_engine: Option<Spanned<i64>>,
    pub(super) tls_certificate: Option<Spanned<String>>,
    pub(super) tls_key: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Call {
    pub(super) ring_timeout_secs: Option<Spanned<i64>>,
    pub(super) limit_secs: Option<Spanned<i64>>,
    pub(super) fraud_keys: Option<Spanned<String>>,
    pub(super) pin_digits: Option<Spanned<i64>>,
    pub(super) pin_tries: Option<Spanned<i64>>,
    pub(super) match_digits: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Log {
    pub(super) filter: Option<Spanned<String>>,
    pub(super) format: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Capture {
    pub(super) hep: Option<Spanned<String>>,
    pub(super) hep_id: Option<Spanned<i64>>,
    pub(super) hep_password: Option<Spanned<Hidden>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Telemetry {
    pub(super) otlp: Otlp,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Otlp {
    pub(super) endpoint: Option<Spanned<String>>,
    pub(super) headers: Named,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Prompts {
    pub(super) folder: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Trunk {
    pub(super) name: Option<Spanned<String>>,
    pub(super) target: Option<Spanned<String>>,
    pub(super) proxy: Option<Spanned<String>>,
    pub(super) username: Option<Spanned<String>>,
    pub(super) password: Option<Spanned<Hidden>>,
    pub(super) realm: Option<Spanned<String>>,
    pub(super) register: Option<Spanned<Either<bool, Register>>>,
    pub(super) tls_roots: Option<Spanned<String>>,
    pub(super) tls_certificate: Option<Spanned<String>>,
    pub(super) tls_key: Option<Spanned<String>>,
    pub(super) tls_name: Option<Spanned<String>>,
    pub(super) srtp: Option<Spanned<String>>,
    pub(super) srtp_in_clear: bool,
    pub(super) codecs: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) rtp_port: Option<Spanned<String>>,
    pub(super) caller_id: Option<Spanned<String>>,
    pub(super) from_domain: Option<Spanned<String>>,
    pub(super) contact_host: Option<Spanned<String>>,
    pub(super) number_format: Option<Spanned<Either<String, NumberFormat>>>,
    pub(super) user_phone: bool,
    pub(super) asserted: Option<Spanned<String>>,
    pub(super) private: Option<Spanned<bool>>,
    pub(super) headers: Named,
    pub(super) redirects: Vec<Spanned<String>>,
    pub(super) options_secs: Option<Spanned<i64>>,
    pub(super) max_calls: Option<Spanned<i64>>,
    pub(super) calls_per_second: Option<Spanned<i64>>,
    pub(super) selftest: Option<Spanned<TestNumbers>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Selftest {
    pub(super) every_secs: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a table { rfc4733 = \"+…\", inband = \"+…\", info = \"+…\" }"
)]
pub(super) struct TestNumbers {
    pub(super) rfc4733: Option<Spanned<Hidden>>,
    pub(super) inband: Option<Spanned<Hidden>>,
    pub(super) info: Option<Spanned<Hidden>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Register {
    pub(super) user: Option<Spanned<String>>,
    pub(super) expires_secs: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NumberFormat {
    pub(super) country: Option<Spanned<String>>,
    pub(super) trunk_prefix: Option<Spanned<String>>,
    pub(super) international: Option<Spanned<String>>,
    pub(super) prefix: Option<Spanned<String>>,
}

/// A carrier of whatever kind: which of these keys it may have depends on its kind.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Carrier {
    pub(super) name: Option<Spanned<String>>,
    pub(super) kind: Option<Spanned<String>>,
    pub(super) from: Option<Spanned<String>>,
    pub(super) inbound_token: Option<Spanned<Hidden>>,
    pub(super) base_url: Option<Spanned<String>>,
    pub(super) account: Option<Spanned<String>>,
    pub(super) token: Option<Spanned<Hidden>>,
    pub(super) signing_key: Option<Spanned<Hidden>>,
    pub(super) messaging_service: Option<Spanned<String>>,
    pub(super) application: Option<Spanned<String>>,
    pub(super) machine_detection: Option<Spanned<bool>>,
    pub(super) prompt: Option<Spanned<String>>,
    pub(super) audio_url: Option<Spanned<String>>,
    pub(super) api_key: Option<Spanned<Hidden>>,
    pub(super) public_key: Option<Spanned<String>>,
    pub(super) connection_id: Option<Spanned<String>>,
    pub(super) messaging_profile: Option<Spanned<String>>,
    pub(super) application_id: Option<Spanned<String>>,
    pub(super) private_key: Option<Spanned<Hidden>>,
    pub(super) signature_secret: Option<Spanned<Hidden>>,
    pub(super) address: Option<Spanned<String>>,
    pub(super) system_id: Option<Spanned<String>>,
    pub(super) password: Option<Spanned<Hidden>>,
    pub(super) system_type: Option<Spanned<String>>,
    pub(super) window: Option<Spanned<i64>>,
    pub(super) per_second: Option<Spanned<i64>>,
    pub(super) alphabet: Option<Spanned<String>>,
    pub(super) ids: Option<Spanned<String>>,
    pub(super) source_ton: Option<Spanned<i64>>,
    pub(super) source_npi: Option<Spanned<i64>>,
    pub(super) enquire_secs: Option<Spanned<i64>>,
    pub(super) answer_secs: Option<Spanned<i64>>,
    pub(super) patience_secs: Option<Spanned<i64>>,
    pub(super) url: Option<Spanned<Hidden>>,
    pub(super) method: Option<Spanned<String>>,
    pub(super) secrets: Option<Spanned<Named>>,
    pub(super) basic: Option<Spanned<Basic>>,
    pub(super) headers: Option<Spanned<Named>>,
    pub(super) body: Option<Spanned<Body>>,
    pub(super) success: Option<Spanned<Success>>,
    pub(super) unclear: Option<Spanned<Vec<i64>>>,
    pub(super) handle: Option<Spanned<Handle>>,
    pub(super) receipts: Option<Spanned<Receipts>>,
    pub(super) inbound: Option<Spanned<Inbound>>,
    pub(super) guard: Option<Spanned<Guard>>,
    pub(super) answer: Option<Spanned<String>>,
}

/// Texts by name, any of which may hold a secret.
pub(super) type Named = BTreeMap<String, Spanned<Hidden>>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table { user = \"…\", password = \"…\" }")]
pub(super) struct Basic {
    pub(super) user: Option<Spanned<String>>,
    pub(super) password: Option<Spanned<Hidden>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table with one of form, json, text and xml")]
pub(super) struct Body {
    pub(super) form: Option<Spanned<Named>>,
    pub(super) json: Option<Spanned<serde_json::Value>>,
    pub(super) text: Option<Spanned<Hidden>>,
    pub(super) xml: Option<Spanned<Hidden>>,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a table of status, contains, pointer and equals"
)]
pub(super) struct Success {
    pub(super) status: Option<Spanned<Vec<i64>>>,
    pub(super) contains: Option<String>,
    pub(super) pointer: Option<Spanned<String>>,
    pub(super) equals: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table with one of pointer, after and body")]
pub(super) struct Handle {
    pub(super) pointer: Option<String>,
    pub(super) after: Option<String>,
    pub(super) body: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table of id, status, delivered and others")]
pub(super) struct Receipts {
    pub(super) batch: Option<String>,
    pub(super) id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) sent: Vec<String>,
    pub(super) delivered: Vec<String>,
    pub(super) undelivered: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table of id, from, to, text and batch")]
pub(super) struct Inbound {
    pub(super) batch: Option<String>,
    pub(super) id: Option<String>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) text: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a table, as { hmac = \"X-…\", secret = \"env:…\" }"
)]
pub(super) struct Guard {
    pub(super) header: Option<Spanned<String>>,
    pub(super) user: Option<Spanned<String>>,
    pub(super) hmac: Option<Spanned<String>>,
    pub(super) timestamped: Option<Spanned<String>>,
    pub(super) sinch: Option<Spanned<String>>,
    pub(super) plivo: Option<Spanned<Hidden>>,
    pub(super) standard_webhooks: Option<Spanned<Hidden>>,
    pub(super) secret: Option<Spanned<Hidden>>,
    pub(super) password: Option<Spanned<Hidden>>,
    pub(super) encoding: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Route {
    pub(super) channel: Option<Spanned<String>>,
    pub(super) prefix: Option<Spanned<String>>,
    pub(super) tenants: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) number_types: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) countries: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) via: Option<Spanned<Vec<Spanned<Stop>>>>,
}

/// A trunk or carrier of a route: its name, or its share.
pub(super) type Stop = Either<String, Share>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Share {
    pub(super) trunk: Option<Spanned<String>>,
    pub(super) weight: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Tenant {
    pub(super) name: Option<Spanned<String>>,
    pub(super) api_keys: Option<Spanned<Vec<ApiKey>>>,
    pub(super) jwt: Option<Spanned<Jwt>>,
    pub(super) client_names: Vec<Spanned<Either<String, ClientName>>>,
    pub(super) voice_countries: Vec<Spanned<String>>,
    pub(super) sms_countries: Vec<Spanned<String>>,
    pub(super) webhooks: Vec<Spanned<Webhook>>,
    pub(super) allow_private_webhooks: bool,
    pub(super) webhook_ports: Vec<Spanned<i64>>,
    pub(super) locale: Option<Spanned<String>>,
    pub(super) brand: Option<Spanned<String>>,
    pub(super) prompts: Option<Spanned<String>>,
    pub(super) join_secs: Option<Spanned<i64>>,
    pub(super) languages: Vec<Spanned<String>>,
    pub(super) accessible: bool,
    pub(super) confirm_fraud: bool,
    pub(super) code_digits: Option<Spanned<i64>>,
    pub(super) resend_code: Option<Spanned<String>>,
    pub(super) reply_yes: bool,
    pub(super) never_ask_line: bool,
    pub(super) otp_domain: Option<Spanned<String>>,
    pub(super) android_hash: Option<Spanned<String>>,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) risk: Option<Spanned<Risk>>,
    pub(super) hide_blocks: bool,
    pub(super) safe_numbers: Vec<Spanned<Safe>>,
    pub(super) test: bool,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a table { issuer = \"…\", audience = \"…\", jwks = \"…\" }"
)]
pub(super) struct Jwt {
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) jwks: Option<Spanned<String>>,
    pub(super) subject: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) claim: Option<String>,
}

/// A key, alone or with what it opens.
pub(super) type ApiKey = Spanned<Either<Hidden, Key>>;

/// A key with what it opens.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Key {
    pub(super) key: Option<Hidden>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) expires: Option<String>,
    pub(super) allow: Option<Vec<String>>,
}

/// The name of a certificate with what it opens.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClientName {
    pub(super) name: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) allow: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table { url = \"…\", secret = \"…\" }")]
pub(super) struct Webhook {
    pub(super) url: Option<Spanned<Hidden>>,
    pub(super) secret: Option<Spanned<Hidden>>,
    pub(super) previous_secret: Option<Spanned<Hidden>>,
    pub(super) events: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table { url = \"…\", secret = \"…\" }")]
pub(super) struct Risk {
    pub(super) url: Option<Spanned<Hidden>>,
    pub(super) secret: Option<Spanned<Hidden>>,
    pub(super) previous_secret: Option<Spanned<Hidden>>,
    pub(super) on_timeout: Option<Spanned<String>>,
    pub(super) number: Option<Spanned<String>>,
}

/// A text that is, or may hold, a secret; wiped when dropped.
pub(super) struct Hidden(Zeroizing<String>);

impl Hidden {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

/// A plain value, or a table that says more.
pub(super) enum Either<P, T> {
    Plain(P),
    Table(T),
}

/// What is to be written where either can stand.
trait Fitting {
    const FITTING: &'static str;
}

impl Fitting for Register {
    const FITTING: &'static str = "true, or { user = \"…\", expires_secs = 600 }";
}

impl Fitting for Key {
    const FITTING: &'static str = "\"env:NAME\", or { key = \"env:NAME\", scopes = [\"check\"] }";
}

impl Fitting for ClientName {
    const FITTING: &'static str =
        "the name of a certificate, in quotes, or { name = \"…\", scopes = [\"check\"] }";
}

impl Fitting for NumberFormat {
    const FITTING: &'static str = "\"e164\", \"digits\", { country = \"49\", trunk_prefix = \"0\", \
                                   international = \"00\" } or { prefix = \"9011\" }";
}

impl Fitting for Share {
    const FITTING: &'static str = "the name of a trunk or carrier, in quotes, or { trunk = \"…\", \
                                   weight = 3 }";
}

impl<'de, P: Deserialize<'de>, T: Deserialize<'de> + Fitting> Deserialize<'de> for Either<P, T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Read(PhantomData))
    }
}

struct Read<P, T>(PhantomData<(P, T)>);

impl<'de, P: Deserialize<'de>, T: Deserialize<'de> + Fitting> Visitor<'de> for Read<P, T> {
    type Value = Either<P, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::FITTING)
    }

    fn visit_bool<E: de::Error>(self, plain: bool) -> Result<Self::Value, E> {
        let read: Result<P, E> = P::deserialize(plain.into_deserializer());
        read.map(Either::Plain).map_err(|_| E::invalid_type(Unexpected::Bool(plain), &self))
    }

    fn visit_str<E: de::Error>(self, plain: &str) -> Result<Self::Value, E> {
        let read: Result<P, E> = P::deserialize(plain.into_deserializer());
        read.map(Either::Plain).map_err(|_| E::invalid_type(Unexpected::Str(plain), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(table)).map(Either::Table)
    }
}

/// Reads the tables and keys; a mistake of syntax, an unknown key or a wrong type ends it.
pub(super) fn read(text: &str, file: &str) -> Result<Raw, Complaints> {
    let complaint = |span: Option<Range<usize>>, key: &str, value, message: String| {
        let line = span.map(|span| line_of(text, span.start));
        Complaints(vec![Complaint::of_file(file, line, key, value, message)])
    };
    let document = toml::Deserializer::parse(text).map_err(|error| {
        let key = error.span().and_then(|span| key_on_line(text, span.start)).unwrap_or_default();
        complaint(error.span(), key, None, format!("this is not TOML: {}", error.message()))
    })?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let path = dotted(error.path());
        let error = error.into_inner();
        if let Some((unknown, known)) = unknown_key(error.message()) {
            let key = match path.rsplit_once('.') {
                _ if path.is_empty() => unknown.to_owned(),
                Some((_, last)) if last == unknown => path,
                _ if path == unknown => path,
                _ => format!("{path}.{unknown}"),
            };
            let hint = did_you_mean(unknown, known.iter().copied());
            let message = format!("no such key{hint} (known here: {})", known.join(", "));
            return complaint(error.span(), &key, None, message);
        }
        let value = error
            .span()
            .and_then(|span| text.get(span))
            .filter(|shown| !may_hide_a_secret(&path) && shown.len() <= 60 && !shown.contains('\n'))
            .map(|shown| shown.to_owned());
        let message = match path.as_str() {
            "trunks" | "routes" | "tenants" | "carriers" if error.message().contains(": map") => {
                format!("each entry begins with two brackets: write [[{path}]]")
            }
            _ => wrong_type(error.message()),
        };
        complaint(error.span(), &path, value, message)
    })
}

/// The line, from 1, that holds this byte.
pub(super) fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|&b| b == b'\n').count() + 1
}

/// The bare key that is given a value on the line that holds this byte.
fn key_on_line(text: &str, byte: usize) -> Option<&str> {
    let line = text.lines().nth(line_of(text, byte) - 1)?;
    let key = line.split_once('=')?.0.trim();
    let bare = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    bare.then_some(key)
}

/// `trunks[1].target`, without the steps that carry places.
fn dotted(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut dotted = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => dotted.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if key.starts_with("$__") {
                    continue;
                }
                if !dotted.is_empty() {
                    dotted.push('.');
                }
                dotted.push_str(key);
            }
            Segment::Unknown => {}
        }
    }
    dotted
}

/// The key in serde's words "unknown field `a`, expected one of `b`, `c`", and the known ones.
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (unknown, rest) = rest.rsplit_once("`, expected ")?;
    Some((unknown, rest.split('`').skip(1).step_by(2).collect()))
}

/// Serde's words "invalid type: string \"…\", expected a table", without the value, which may be
/// a secret in the wrong place.
fn wrong_type(message: &str) -> String {
    let Some(rest) = message.strip_prefix("invalid type: ") else {
        return "this value does not fit here".to_owned();
    };
    let found = rest.split([' ', ',']).next().unwrap_or_default();
    let found = match found {
        "map" => "table",
        "sequence" => "array",
        "floating" => "floating point number",
        other => other,
    };
    let wanted = rest.rsplit_once(", expected ").map_or("another type", |(_, wanted)| wanted);
    let wanted = match wanted {
        "i64" | "u64" => "a whole number",
        "a sequence" => "an array, in [ ]",
        "a string" => "a string, in quotes",
        "a boolean" => "true or false",
        other => other,
    };
    if (found, wanted) == ("integer", "a whole number") {
        return "the number is too large".to_owned();
    }
    format!("this is of type {found}: write {wanted}")
}

fn may_hide_a_secret(path: &str) -> bool {
    path.is_empty()
        || path.starts_with("store")
        || path.starts_with("tenants")
        || path.starts_with("carriers")
        || path.starts_with("trunks") && (!path.contains("].") || path.contains(".headers"))
        || path.contains("password")
}
