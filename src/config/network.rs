//! `[store]`, `[sip]`, `[call]` and `[log]`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use zeroize::Zeroizing;

use super::address::{overlap, shown, sip_listener};
use super::complaint::{did_you_mean, quoted};
use super::pem;
use super::raw::{self, Hidden, Raw};
use super::reader::{At, Place, Reader};
use super::routing::secret;
use super::{Log, LogFormat};
use crate::gateway::settings::{Calling, Keep, StoreSettings, TlsIdentity};
use crate::media::script::FraudKeys;
use crate::sip::{Hop, Transport};
use crate::verify::{RING_MOST, TALK_MOST, code};

/// `[sip]`.
pub(super) struct Sip {
    pub(super) listen: Vec<Hop>,
    pub(super) identity: Option<TlsIdentity>,
    pub(super) rtp_ports: (u16, u16),
    pub(super) advertise: Option<IpAddr>,
    pub(super) dns: Option<SocketAddr>,
    pub(super) engines: Option<usize>,
    pub(super) calls_per_engine: usize,
}

/// `[call]`.
pub(super) struct Call {
    pub(super) ring_timeout: Duration,
    pub(super) limit: Duration,
    /// What all tenants have in common.
    pub(super) calling: Calling,
}

pub(super) fn store(reader: &mut Reader<'_>, written: &Raw, defaults: &Raw) -> StoreSettings {
    let key = "store.url";
    let url = reader.text(key, written.store.url.as_ref(), defaults.store.url.as_ref());
    let Some(At { value: url, place }) = url else {
        return StoreSettings::Memory;
    };
    let fitting = "write memory:, file:FOLDER, as file:./data, or redis://HOST:PORT";
    if url.starts_with("redis") {
        let url = At { value: url, place };
        let settings = super::redis::redis(reader, written, defaults, &url);
        return settings.map_or(StoreSettings::Memory, |it| StoreSettings::Redis(Box::new(it)));
    }
    let (scheme, path) = url.split_once(':').unwrap_or((&url, ""));
    match (scheme, path) {
        ("memory", "") if url.ends_with(':') => return StoreSettings::Memory,
        ("file", path) => {
            let path = path.strip_prefix("//").unwrap_or(path);
            let is_host = url.starts_with("file://") && !path.starts_with('/');
            if !path.is_empty() && !is_host {
                return StoreSettings::Directory(PathBuf::from(path));
            }
            reader.complain(place, key, Some(quoted(&url)), fitting);
        }
        _ => reader.complain(place, key, Some(shown(&url)), fitting),
    }
    StoreSettings::Memory
}

/// What codes are derived from and the store is sealed by, and what was before. Who has a code and a copy
/// of the store can try secrets at leisure.
pub(super) fn store_secrets(
    reader: &mut Reader<'_>,
    written: &Raw,
) -> (Option<Zeroizing<String>>, Vec<Zeroizing<String>>) {
    let store = &written.store;
    let newest = store.secret.as_ref();
    let newest = newest.and_then(|it| store_secret(reader, "store.secret", it));
    let older = store.older_secrets.iter().enumerate();
    let older = older
        .filter_map(|(i, it)| store_secret(reader, &format!("store.older_secrets[{i}]"), it))
        .collect();
    if let (None, Some(first)) = (&store.secret, store.older_secrets.first()) {
        let message = "there is no store.secret that came after them: write it. A key file keeps older \
                       keys itself, one a line";
        reader.complain(reader.place(first), "store.older_secrets", None, message);
    }
    (newest, older)
}

/// How long what is stored is kept. A week at least: texts are answered, receipts come and deliveries are
/// tried again for days.
pub(super) fn keep(reader: &mut Reader<'_>, written: &Raw, defaults: &Raw) -> Keep {
    let (raw, default) = (&written.store, &defaults.store);
    let standard = Keep::default();
    let days = |days: Option<u32>, standard| {
        days.map_or(standard, |days| Duration::from_secs(u64::from(days) * 86_400))
    };
    let (key, by_default) = ("store.keep_days", default.keep_days.as_ref());
    let records = reader.number(key, raw.keep_days.as_ref(), by_default, 7, 3_650);
    let (key, by_default) = ("store.keep_audit_days", default.keep_audit_days.as_ref());
    let audit = reader.number(key, raw.keep_audit_days.as_ref(), by_default, 30, 3_650);
    Keep { records: days(records, standard.records), audit: days(audit, standard.audit) }
}

fn store_secret(
    reader: &mut Reader<'_>,
    key: &str,
    written: &Spanned<Hidden>,
) -> Option<Zeroizing<String>> {
    const SHORTEST: usize = 32;
    let place = reader.place(written);
    let text = secret(reader, place, key, written.get_ref().expose())?;
    let length = text.chars().count();
    if length < SHORTEST {
        let shown = super::secret::shown(written.get_ref().expose());
        let message = format!(
            "it has {length} characters, and could be guessed below {SHORTEST}: make one with \
             `openssl rand -hex 32`"
        );
        reader.complain(place, key, shown, message);
    }
    Some(text)
}

pub(super) fn sip(reader: &mut Reader<'_>, written: &Raw, defaults: &Raw) -> Sip {
    let (raw, default) = (&written.sip, &defaults.sip);
    let rtp = rtp_ports(reader, written, defaults);
    let listen = match (&raw.listen, &default.listen) {
        (Some(list), _) => listeners(
            reader,
            list.get_ref()
                .iter()
                .map(|it| At { value: it.get_ref().clone(), place: reader.place(it) })
                .collect(),
            reader.place(list),
        ),
        (None, default) => {
            let place = Place::Default(1);
            let list = default.iter().flat_map(|list| list.get_ref());
            let list = list.map(|it| At { value: it.get_ref().clone(), place }).collect();
            listeners(reader, list, place)
        }
    };
    let (first, last) = rtp.value;
    for (i, address) in listen.iter().enumerate() {
        let Hop { transport, address: at } = address.value;
        if transport == Transport::Udp && (first..=last).contains(&at.port()) {
            let key = format!("sip.listen[{i}]");
            let value = quoted(&address.value.to_string());
            let message =
                format!("this port lies in rtp_ports ({first} to {last}): move one of them");
            reader.complain(address.place.or(rtp.place), &key, Some(value), message);
        }
    }
    let engines =
        reader.number("sip.engines", raw.engines.as_ref(), default.engines.as_ref(), 0, 256);
    let (key, default_calls) = ("sip.calls_per_engine", default.calls_per_engine.as_ref());
    let calls = reader.number(key, raw.calls_per_engine.as_ref(), default_calls, 1, 100_000);
    let advertise =
        reader.text("sip.advertise", raw.advertise.as_ref(), default.advertise.as_ref());
    let advertise = advertise.filter(|it| !it.value.is_empty()).and_then(|it| {
        let address = it.value.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified());
        if address.is_none() {
            let message = "write the IP address that trunks reach this machine by, as 203.0.113.20";
            reader.complain(it.place, "sip.advertise", Some(quoted(&it.value)), message);
        }
        address
    });
    let dns = reader.text("sip.dns", raw.dns.as_ref(), default.dns.as_ref());
    let dns = dns.filter(|it| !it.value.is_empty()).and_then(|it| {
        let server = it.value.strip_prefix("udp:").and_then(|address| address.parse().ok());
        let server = server.filter(|at: &SocketAddr| at.port() != 0 && !at.ip().is_unspecified());
        if server.is_none() {
            let message = "write udp:ADDRESS:PORT, as udp:192.0.2.53:53 or udp:[2001:db8::53]:53; \
                           or leave it out to ask the servers of /etc/resolv.conf";
            reader.complain(it.place, "sip.dns", Some(quoted(&it.value)), message);
        }
        server
    });
    Sip {
        advertise,
        dns,
        identity: identity(reader, written, defaults, &listen),
        listen: listen.into_iter().map(|address| address.value).collect(),
        rtp_ports: rtp.value,
        calls_per_engine: calls.and_then(|n| usize::try_from(n).ok()).unwrap_or_default(),
        engines: engines.filter(|&n| n != 0).and_then(|n| usize::try_from(n).ok()),
    }
}

/// What TLS listeners show.
fn identity(
    reader: &mut Reader<'_>,
    written: &Raw,
    defaults: &Raw,
    listen: &[At<Hop>],
) -> Option<TlsIdentity> {
    let (raw, default) = (&written.sip, &defaults.sip);
    let certificate = reader.text(
        "sip.tls_certificate",
        raw.tls_certificate.as_ref(),
        default.tls_certificate.as_ref(),
    );
    let key = reader.text("sip.tls_key", raw.tls_key.as_ref(), default.tls_key.as_ref());
    let listener = listen.iter().find(|it| it.value.transport == Transport::Tls);
    if let (Some(listener), None, None) = (listener, &certificate, &key) {
        let message = format!(
            "{} needs a certificate: write tls_certificate = \"FILE\" and tls_key = \"FILE\"",
            listener.value
        );
        reader.complain(listener.place, "sip.tls_certificate", None, message);
    }
    pem::identity(reader, "sip", certificate, key)
}

fn listeners(reader: &mut Reader<'_>, list: Vec<At<String>>, place: Place) -> Vec<At<Hop>> {
    if list.is_empty() {
        let message = "SIP needs a place to listen: write [\"udp:127.0.0.1:5060\"]";
        reader.complain(place, "sip.listen", Some("[]".to_owned()), message);
    }
    let mut listen: Vec<At<Hop>> = Vec::new();
    for (i, text) in list.into_iter().enumerate() {
        let key = format!("sip.listen[{i}]");
        let complaint = match sip_listener(&text.value) {
            Ok(value) => {
                let other = listen.iter().find(|it| clash(it.value, value));
                let complaint = other.map(|it| {
                    format!("{} takes this port already: leave out one of them", it.value)
                });
                listen.push(At { value, place: text.place });
                complaint
            }
            Err(why) => Some(why),
        };
        if let Some(message) = complaint {
            reader.complain(text.place, &key, Some(quoted(&text.value)), message);
        }
    }
    listen
}

/// Whether two listeners would take the same packets: UDP has ports of its own.
fn clash(a: Hop, b: Hop) -> bool {
    a.transport.is_reliable() == b.transport.is_reliable() && overlap(a.address, b.address)
}

fn rtp_ports(reader: &mut Reader<'_>, written: &Raw, defaults: &Raw) -> At<(u16, u16)> {
    let key = "sip.rtp_ports";
    let found = reader.in_files(written.sip.rtp_ports.as_ref(), defaults.sip.rtp_ports.as_ref());
    let stand_in = At { value: (0, 0), place: Place::Default(1) };
    let Some(At { value: ports, place }) = found else {
        return stand_in;
    };
    let value = Some(format!("{ports:?}"));
    let fitting = "write the first and the last port, both from 1 to 65535, the first even: as \
                   [20000, 29999]";
    let port = |&port: &i64| u16::try_from(port).ok().filter(|&port| port != 0);
    let (first, last) = match ports.as_slice() {
        [first, last] => match (port(first), port(last)) {
            (Some(first), Some(last)) => (first, last),
            _ => {
                reader.complain(place, key, value, fitting);
                return stand_in;
            }
        },
        _ => {
            reader.complain(place, key, value, fitting);
            return stand_in;
        }
    };
    // RTP takes an even port and RTCP the odd one above it: the range is whole pairs.
    let even = first.saturating_add(first % 2);
    let odd = if last % 2 == 0 { last.saturating_sub(1) } else { last };
    if even >= odd {
        let message = format!("the range is empty, it holds no pair of ports: {fitting}");
        reader.complain(place, key, value, message);
        return stand_in;
    }
    if even != first {
        let message = format!("RTP begins at an even port: {first} is not used, write {even}");
        reader.warn(place, key, value, message);
    }
    At { value: (even, odd), place }
}

pub(super) fn call(reader: &mut Reader<'_>, written: &Raw, defaults: &Raw) -> Call {
    let (raw, default) = (&written.call, &defaults.call);
    let ring = reader.number(
        "call.ring_timeout_secs",
        raw.ring_timeout_secs.as_ref(),
        default.ring_timeout_secs.as_ref(),
        1,
        RING_MOST,
    );
    let limit = reader.number(
        "call.limit_secs",
        raw.limit_secs.as_ref(),
        default.limit_secs.as_ref(),
        1,
        TALK_MOST,
    );
    let seconds = |n: Option<u32>| Duration::from_secs(n.map_or(1, u64::from));
    let calling = calling(reader, raw, default);
    Call { ring_timeout: seconds(ring), limit: seconds(limit), calling }
}

fn calling(reader: &mut Reader<'_>, raw: &raw::Call, default: &raw::Call) -> Calling {
    let mut small = |key, written: &Option<_>, default: &Option<_>, least: u8, most: u8| {
        let found =
            reader.number(key, written.as_ref(), default.as_ref(), least.into(), most.into());
        found.and_then(|found| u8::try_from(found).ok()).unwrap_or(least)
    };
    let (pin, shown) = (code::PIN, code::SHOWN);
    let pin_digits =
        small("call.pin_digits", &raw.pin_digits, &default.pin_digits, *pin.start(), *pin.end());
    let pin_tries = small("call.pin_tries", &raw.pin_tries, &default.pin_tries, 1, 5);
    let match_digits = small(
        "call.match_digits",
        &raw.match_digits,
        &default.match_digits,
        *shown.start(),
        *shown.end(),
    );
    let keys = reader.text("call.fraud_keys", raw.fraud_keys.as_ref(), default.fraud_keys.as_ref());
    let fraud_keys = keys.map_or_else(FraudKeys::default, |At { value, place }| {
        let keys = FraudKeys::parse(&value);
        let complaint = match &keys {
            Ok(keys) if *keys != FraudKeys::default() => {
                let message = "the prompts that come with octothorpe say \"press zero, then \
                               pound\": record your own";
                reader.warn(place, "call.fraud_keys", Some(quoted(&value)), message);
                None
            }
            Ok(_) => None,
            Err(why) => Some(*why),
        };
        if let Some(why) = complaint {
            reader.complain(place, "call.fraud_keys", Some(quoted(&value)), why);
        }
        keys.unwrap_or_default()
    });
    Calling { pin_digits, pin_tries, match_digits, fraud_keys, ..Calling::default() }
}

pub(super) fn log(reader: &mut Reader<'_>, written: &Raw, defaults: &Raw) -> Log {
    let (raw, default) = (&written.log, &defaults.log);
    let filter = reader.text("log.filter", raw.filter.as_ref(), default.filter.as_ref());
    let filter = filter.map_or_else(String::new, |At { value, place }| {
        if !value.split(',').all(is_directive) {
            let message = "write a level (off, error, warn, info, debug, trace), or levels by \
                           module, as info,octothorpe::sip=debug";
            reader.complain(place, "log.filter", Some(quoted(&value)), message);
        }
        value
    });
    let format = reader.text("log.format", raw.format.as_ref(), default.format.as_ref());
    let format = format.map_or(LogFormat::Auto, |At { value, place }| match value.as_str() {
        "auto" => LogFormat::Auto,
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        other => {
            let hint = did_you_mean(other, ["auto", "text", "json"]);
            let message = format!("write auto, text or json{hint}");
            reader.complain(place, "log.format", Some(quoted(other)), message);
            LogFormat::Auto
        }
    });
    Log { filter, format }
}

fn is_directive(text: &str) -> bool {
    let (target, level) = text.split_once('=').map_or((None, text), |(t, l)| (Some(t), l));
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let target_fits = target.is_none_or(|target| {
        !target.is_empty()
            && target.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
    });
    target_fits && levels.contains(&level)
}
