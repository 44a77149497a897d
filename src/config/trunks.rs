//! `[[trunks]]`: where a carrier is, who we are there, and how much it takes.

mod entry;
mod identity;
mod security;
mod selftest;

use std::time::Duration;

use toml::Spanned;

use self::entry::Entry;
use super::complaint::quoted;
use super::raw::{self, Either};
use super::reader::Reader;
use super::routing::{names, table_of};
use crate::gateway::settings::{Capacity, Registration, RtpPort, Target, Trunk, TrunkCredentials};
use crate::media::Codec;
use crate::sip::Transport;

/// How long a registration is asked to last: short enough that a NAT's binding is renewed and a
/// registrar that was replaced soon knows us again.
const REGISTRATION: u32 = 600;

/// What is written for the codecs of calls.
const CODECS: [(&str, Codec); 3] =
    [("pcmu", Codec::PCMU), ("pcma", Codec::PCMA), ("g722", Codec::G722)];

/// What is written for the ports of calls.
const PORTS: [(&str, RtpPort); 2] = [("per-call", RtpPort::PerCall), ("shared", RtpPort::Shared)];

pub(super) use selftest::every as selftest_every;

pub(super) fn trunks(reader: &mut Reader<'_>, written: &[Spanned<raw::Trunk>]) -> Vec<Trunk> {
    names(reader, "trunks", written.iter().map(|it| (table_of(it), it.get_ref().name.as_ref())));
    written.iter().enumerate().map(|(i, trunk)| one_trunk(reader, i, trunk)).collect()
}

fn one_trunk(reader: &mut Reader<'_>, i: usize, trunk: &Spanned<raw::Trunk>) -> Trunk {
    let (table, raw) = (reader.place(trunk), trunk.get_ref());
    let mut entry = Entry { reader, i, table };
    if raw.target.is_none() {
        let message = "the target is missing: write target = \"sip:HOST:PORT;transport=udp\"";
        entry.missing("target", message);
    }
    let nowhere = Target { host: String::new(), port: None, transport: None };
    let target = entry.target("target", raw.target.as_ref()).unwrap_or(nowhere);
    let name = raw.name.as_ref().map(|name| name.get_ref().clone()).unwrap_or_default();
    let proxy = entry.target("proxy", raw.proxy.as_ref());
    let transport = proxy.as_ref().unwrap_or(&target).transport;
    let redirects = raw.redirects.iter().enumerate();
    let redirects = redirects.filter_map(|(j, host)| entry.host(&format!("redirects[{j}]"), host));
    let redirects = redirects.collect();
    let options = entry.number("options_secs", raw.options_secs.as_ref(), 0, 3600);
    let health = match options {
        None => Trunk::new(&name, target.clone()).health,
        Some(0) => None,
        Some(secs) => Some(Duration::from_secs(u64::from(secs))),
    };
    Trunk {
        credentials: credentials(&mut entry, raw),
        registration: registration(&mut entry, raw),
        tls: security::tls(&mut entry, raw, transport),
        srtp: security::srtp(&mut entry, raw, transport),
        srtp_in_clear: raw.srtp_in_clear,
        codecs: codecs(&mut entry, raw),
        rtp_port: entry.word("rtp_port", raw.rtp_port.as_ref(), &PORTS).unwrap_or_default(),
        identity: identity::identity(&mut entry, raw),
        capacity: Capacity {
            calls: entry.number("max_calls", raw.max_calls.as_ref(), 1, 100_000),
            per_second: entry.number("calls_per_second", raw.calls_per_second.as_ref(), 1, 10_000),
        },
        selftest: selftest::numbers(&mut entry, raw),
        proxy,
        redirects,
        health,
        ..Trunk::new(&name, target)
    }
}

fn codecs(entry: &mut Entry<'_, '_>, raw: &raw::Trunk) -> Vec<Codec> {
    let usual = Codec::USUAL.to_vec();
    let Some(written) = &raw.codecs else { return usual };
    if written.get_ref().is_empty() {
        let message =
            "a call without a codec says nothing: name one of pcmu, pcma, g722, or leave it out";
        entry.wrong("codecs", written, Some("[]".to_owned()), message);
        return usual;
    }
    let mut codecs = Vec::new();
    for (j, word) in written.get_ref().iter().enumerate() {
        let key = format!("codecs[{j}]");
        match entry.word(&key, Some(word), &CODECS) {
            Some(codec) if codecs.contains(&codec) => {
                let message = "it is there twice: take one of them away";
                entry.wrong(&key, word, Some(quoted(word.get_ref())), message);
            }
            codec => codecs.extend(codec),
        }
    }
    codecs
}

/// Whether what is sent this way is encrypted; unknown where the transport is looked up.
const fn is_encrypted(transport: Option<Transport>) -> Option<bool> {
    match transport {
        None => None,
        Some(Transport::Tls) => Some(true),
        Some(Transport::Udp | Transport::Tcp) => Some(false),
    }
}

fn credentials(entry: &mut Entry<'_, '_>, raw: &raw::Trunk) -> Option<TrunkCredentials> {
    let username = entry.account("username", raw.username.as_ref());
    let password = raw.password.as_ref().and_then(|written| entry.secret("password", written));
    let realm = raw.realm.as_ref();
    if let Some(realm) = realm
        && (realm.get_ref().is_empty() || realm.get_ref().contains(unquotable))
    {
        let message = "write the realm of the carrier's challenge, without quotes, backslashes \
                       and control characters";
        entry.wrong("realm", realm, Some(quoted(realm.get_ref())), message);
    }
    match (&raw.username, &raw.password) {
        (None, None) => {
            if let Some(realm) = realm {
                let message = "a realm does nothing without username and password: write them, or \
                               leave it out";
                entry.wrong("realm", realm, Some(quoted(realm.get_ref())), message);
            }
            None
        }
        (Some(_), Some(_)) => {
            let realm = realm.map(|realm| realm.get_ref().clone());
            Some(TrunkCredentials { username: username?, password: password?, realm })
        }
        (Some(name), None) => {
            let message = "the password is missing that goes with username: write password = \
                           \"env:NAME\"";
            entry.wrong("password", name, None, message);
            None
        }
        (None, Some(password)) => {
            let message = "the username is missing that goes with password: write username = \"…\"";
            entry.wrong("username", password, None, message);
            None
        }
    }
}

/// What would end a quoted string of a header.
fn unquotable(c: char) -> bool {
    c.is_control() || "\"\\".contains(c)
}

fn registration(entry: &mut Entry<'_, '_>, raw: &raw::Trunk) -> Option<Registration> {
    let written = raw.register.as_ref()?;
    let none = raw::Register::default();
    let table = match written.get_ref() {
        Either::Plain(false) => return None,
        Either::Plain(true) => &none,
        Either::Table(table) => table,
    };
    let user = entry.account("register.user", table.user.as_ref());
    let user = user.or_else(|| raw.username.as_ref().map(|name| name.get_ref().clone()));
    let secs = entry.number("register.expires_secs", table.expires_secs.as_ref(), 60, 86_400);
    let Some(user) = user else {
        let message = "who registers is not said: write username and password, or register = \
                       { user = \"…\" } where the carrier asks for none";
        entry.wrong("register", written, None, message);
        return None;
    };
    let expires = Duration::from_secs(u64::from(secs.unwrap_or(REGISTRATION)));
    Some(Registration { user, expires })
}
