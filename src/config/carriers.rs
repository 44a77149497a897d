//! `[[carriers]]`: providers with an API of their own, and message centres.

mod entry;
mod gateway;
mod guard;
mod providers;
mod smsc;

use std::sync::Arc;

use toml::Spanned;
use zeroize::Zeroizing;

use self::entry::Entry;
use super::address;
use super::complaint::{did_you_mean, quoted};
use super::raw;
use super::reader::{At, Reader};
use super::routing::{names, table_of};
use super::server::PublicUrl;
use crate::carrier::twilio::Dialect;
use crate::gateway::settings::{By, Provider};

/// The shortest word in the address for texts that people send, in characters.
const SHORTEST_TOKEN: usize = 16;

/// What a carrier is called in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Twilio,
    SignalWire,
    TelnyxTexml,
    Telnyx,
    Vonage,
    Http,
    Smpp,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Twilio,
        Self::SignalWire,
        Self::TelnyxTexml,
        Self::Telnyx,
        Self::Vonage,
        Self::Http,
        Self::Smpp,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::SignalWire => "signalwire",
            Self::TelnyxTexml => "telnyx-texml",
            Self::Telnyx => "telnyx",
            Self::Vonage => "vonage",
            Self::Http => "http",
            Self::Smpp => "smpp",
        }
    }

    /// The keys it has besides `name`, `kind` and `from`.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Twilio | Self::SignalWire => &[
                "base_url",
                "account",
                "token",
                "signing_key",
                "messaging_service",
                "machine_detection",
                "prompt",
                "audio_url",
                "inbound_token",
            ],
            Self::TelnyxTexml => &[
                "base_url",
                "account",
                "token",
                "signing_key",
                "application",
                "machine_detection",
                "prompt",
                "audio_url",
            ],
            Self::Telnyx => &[
                "base_url",
                "api_key",
                "public_key",
                "connection_id",
                "messaging_profile",
                "machine_detection",
                "inbound_token",
            ],
            Self::Vonage => &[
                "base_url",
                "application_id",
                "private_key",
                "api_key",
                "signature_secret",
                "inbound_token",
            ],
            Self::Http => &[
                "url",
                "method",
                "secrets",
                "basic",
                "headers",
                "body",
                "success",
                "unclear",
                "handle",
                "receipts",
                "inbound",
                "guard",
                "answer",
                "inbound_token",
            ],
            Self::Smpp => &[
                "address",
                "system_id",
                "password",
                "system_type",
                "window",
                "per_second",
                "alphabet",
                "ids",
                "source_ton",
                "source_npi",
                "enquire_secs",
                "answer_secs",
                "patience_secs",
            ],
        }
    }
}

/// A carrier, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierBrief {
    /// Its name.
    pub name: String,
    /// Its kind, as written.
    pub kind: &'static str,
    /// Where it is spoken to: scheme and host, or host and port.
    pub at: String,
    /// Where the texts are to be sent that people write to it, without its secret part; `None`
    /// where it brings them itself, or not at all.
    pub inbound: Option<String>,
}

/// The carriers, as far as they can be used.
#[derive(Default)]
pub(super) struct Carriers {
    pub(super) providers: Vec<Provider>,
    pub(super) briefs: Vec<CarrierBrief>,
    /// The names of those that were complained of.
    pub(super) broken: Vec<String>,
}

/// A carrier as it was read.
struct Built {
    by: By,
    at: String,
    /// It must be able to call us.
    calls_back: bool,
    /// What people write to it comes with nothing that proves where it comes from.
    unproven: bool,
}

pub(super) fn carriers(
    reader: &mut Reader<'_>,
    written: &[Spanned<raw::Carrier>],
    trunks: &[Spanned<raw::Trunk>],
    public: Option<&At<PublicUrl>>,
) -> Carriers {
    names(reader, "carriers", written.iter().map(|it| (table_of(it), it.get_ref().name.as_ref())));
    let mut all = Carriers::default();
    let mut calling: Vec<&str> = Vec::new();
    for (i, carrier) in written.iter().enumerate() {
        not_a_trunk(reader, i, carrier, trunks);
        let name = carrier.get_ref().name.as_ref().map(|name| name.get_ref().as_str());
        let name = name.unwrap_or_default();
        let Some(kind) = kind(reader, i, carrier) else {
            all.broken.push(name.to_owned());
            continue;
        };
        let entry = Entry::new(reader, i, kind, carrier);
        foreign(reader, &entry);
        let sender = from(reader, &entry);
        let token = inbound_token(reader, &entry);
        let Some(built) = build(reader, &entry, name, &sender) else {
            all.broken.push(name.to_owned());
            continue;
        };
        if built.unproven && entry.raw.inbound_token.is_none() {
            let message = "the requests that this gateway makes prove nothing, and everybody could \
                           make them: write inbound_token = \"env:NAME\", whose text then ends \
                           their address, or a guard";
            entry.complain(reader, "inbound_token", message);
        }
        if built.calls_back {
            calling.push(name);
            if public.is_none() {
                let message = "this carrier calls back, and nothing says where: write \
                               server.public_url = \"https://…\"";
                entry.complain(reader, "kind", message);
            }
        }
        let provider =
            Provider { name: name.to_owned(), sender, inbound_token: token, by: built.by };
        let inbound = (provider.reach().replies && built.calls_back)
            .then(|| public.map(|public| inbound_url(&provider, &public.value.url)));
        all.briefs.push(CarrierBrief {
            name: name.to_owned(),
            kind: kind.as_str(),
            at: built.at,
            inbound: inbound.flatten(),
        });
        all.providers.push(provider);
    }
    if let Some(At { value, place }) = public
        && !calling.is_empty()
        && !value.encrypted
        && !value.loopback
    {
        let message = format!(
            "carriers call back ({}), and whoever reads along could answer for a person: write \
             https://",
            calling.join(", ")
        );
        let shown = Some(address::shown(&value.url));
        reader.complain(*place, "server.public_url", shown, message);
    }
    all
}

/// Where the texts that people send are to be sent.
fn inbound_url(provider: &Provider, public: &str) -> String {
    let secret = if provider.inbound_token.is_some() { "/(inbound_token)" } else { "" };
    format!("{public}/hooks/{}/inbound{secret}", provider.name)
}

/// A route names trunks and carriers alike.
fn not_a_trunk(
    reader: &mut Reader<'_>,
    i: usize,
    carrier: &Spanned<raw::Carrier>,
    trunks: &[Spanned<raw::Trunk>],
) {
    let Some(name) = &carrier.get_ref().name else { return };
    let mut trunks = trunks.iter().filter_map(|trunk| trunk.get_ref().name.as_ref());
    if let Some(trunk) = trunks.find(|trunk| trunk.get_ref() == name.get_ref()) {
        let line = reader.line(trunk);
        let message = format!("the trunk on line {line} has this name: routes could not tell");
        let value = Some(quoted(name.get_ref()));
        reader.complain(reader.place(name), &format!("carriers[{i}].name"), value, message);
    }
}

fn kind(reader: &mut Reader<'_>, i: usize, carrier: &Spanned<raw::Carrier>) -> Option<Kind> {
    let key = format!("carriers[{i}].kind");
    let known = Kind::ALL.map(Kind::as_str);
    let Some(kind) = &carrier.get_ref().kind else {
        let message =
            format!("the kind is missing: write kind = \"…\", one of {}", known.join(", "));
        reader.complain(reader.place(carrier), &key, None, message);
        return None;
    };
    let text = kind.get_ref().as_str();
    let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
    if found.is_none() {
        let hint = did_you_mean(text, known);
        let message = format!("there is no such kind: write one of {}{hint}", known.join(", "));
        reader.complain(reader.place(kind), &key, Some(quoted(text)), message);
    }
    found
}

/// Complains of keys that only other kinds have.
fn foreign(reader: &mut Reader<'_>, entry: &Entry<'_>) {
    let own = entry.kind.keys();
    let kind = entry.kind.as_str();
    for key in entry.written() {
        if matches!(key, "name" | "kind" | "from") || own.contains(&key) {
            continue;
        }
        let hint = did_you_mean(key, own.iter().copied());
        let message = format!(
            "kind {kind} has no key {key}{hint} (known here: name, kind, from, {})",
            own.join(", ")
        );
        entry.complain(reader, key, message);
    }
}

/// Who calls and writes. What kinds want of it beyond this, their adapters say.
fn from(reader: &mut Reader<'_>, entry: &Entry<'_>) -> String {
    let Some(from) = &entry.raw.from else { return String::new() };
    let text = from.get_ref().as_str();
    let digits = text.strip_prefix('+').unwrap_or(text);
    let fits = if digits.bytes().all(|b| b.is_ascii_digit()) {
        (3..=20).contains(&digits.len())
    } else {
        (1..=11).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" -_.&".contains(&b))
            && text.trim() == text
    };
    if !fits {
        let message = "write the number that calls and writes in E.164, as +12025550100; for texts \
                       also a short code, or a name of at most 11 letters and digits";
        entry.complain(reader, "from", message);
    }
    text.to_owned()
}

/// What ends the address of texts that people send, where the provider signs nothing.
fn inbound_token(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Zeroizing<String>> {
    let token = entry.secret(reader, "inbound_token", entry.raw.inbound_token.as_ref())?;
    let length = token.chars().count();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if length < SHORTEST_TOKEN {
        let message = format!(
            "it has {length} characters, and can be guessed below {SHORTEST_TOKEN}: make one with \
             `openssl rand -hex 16`"
        );
        entry.complain(reader, "inbound_token", message);
    } else if !token.bytes().all(plain) {
        let message = "it stands in an address: letters, digits, - . _ and ~ only, as \
                       `openssl rand -hex 16` makes it";
        entry.complain(reader, "inbound_token", message);
    }
    Some(token)
}

fn build(reader: &mut Reader<'_>, entry: &Entry<'_>, name: &str, from: &str) -> Option<Built> {
    match entry.kind {
        Kind::Twilio => providers::family(reader, entry, Dialect::Twilio, from),
        Kind::SignalWire => providers::family(reader, entry, Dialect::SignalWire, from),
        Kind::TelnyxTexml => providers::family(reader, entry, Dialect::TelnyxTexml, from),
        Kind::Telnyx => providers::telnyx(reader, entry, from),
        Kind::Vonage => providers::vonage(reader, entry, from),
        Kind::Http => gateway::gateway(reader, entry, from),
        Kind::Smpp => smsc::smsc(reader, entry, name, from),
    }
}

/// A carrier whose every request is signed.
fn signed(carrier: impl crate::carrier::Carrier + 'static, at: String) -> Built {
    let calls_back = carrier.reach().calls_back;
    Built { by: By::Http(Arc::new(carrier)), at, calls_back, unproven: false }
}
