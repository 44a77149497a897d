//! One carrier's table: its keys, each with its place and what of it may be shown.

use toml::Spanned;
use zeroize::Zeroizing;

use super::Kind;
use crate::config::address::{is_private, shown, web};
use crate::config::complaint::{did_you_mean, quoted};
use crate::config::raw::{self, Hidden};
use crate::config::reader::{Place, Reader};
use crate::config::routing::{secret, secret_by};
use crate::config::secret;

/// One carrier's table.
pub(super) struct Entry<'a> {
    i: usize,
    pub(super) kind: Kind,
    table: Place,
    pub(super) raw: &'a raw::Carrier,
    written: Vec<Written>,
}

/// A key that is written.
struct Written {
    key: &'static str,
    place: Place,
    shown: Option<String>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(
        reader: &Reader<'_>,
        i: usize,
        kind: Kind,
        carrier: &'a Spanned<raw::Carrier>,
    ) -> Self {
        let (table, raw) = (reader.place(carrier), carrier.get_ref());
        Self { i, kind, table, raw, written: keys(reader, raw) }
    }

    /// The keys that are written.
    pub(super) fn written(&self) -> impl Iterator<Item = &'static str> {
        self.written.iter().map(|it| it.key)
    }

    /// A key as complaints name it.
    pub(super) fn key(&self, name: &str) -> String {
        format!("carriers[{}].{name}", self.i)
    }

    /// Where a key stands; the table's place when it is not written.
    pub(super) fn place(&self, name: &str) -> Place {
        let top = name.split('.').next().unwrap_or(name);
        self.find(top).map_or(self.table, |it| it.place)
    }

    fn find(&self, name: &str) -> Option<&Written> {
        self.written.iter().find(|it| it.key == name)
    }

    /// Something is wrong with a key, or with its absence.
    pub(super) fn complain(&self, reader: &mut Reader<'_>, name: &str, message: impl Into<String>) {
        let value = self.find(name).and_then(|it| it.shown.clone());
        reader.complain(self.place(name), &self.key(name), value, message);
    }

    /// Something about a key should be looked at.
    pub(super) fn warn(&self, reader: &mut Reader<'_>, name: &str, message: impl Into<String>) {
        let value = self.find(name).and_then(|it| it.shown.clone());
        reader.warn(self.place(name), &self.key(name), value, message);
    }

    /// What an adapter says of its settings: the key that is wrong, then what is.
    pub(super) fn refused(&self, reader: &mut Reader<'_>, words: &str) {
        let end = words.find([':', ' ']).unwrap_or(words.len());
        let (key, rest) = words.split_at_checked(end).unwrap_or((words, ""));
        let rest = rest.trim_start_matches([':', ' ']);
        if key == "from" || self.kind.keys().contains(&key) {
            self.complain(reader, key, rest);
        } else {
            reader.complain(self.table, &format!("carriers[{}]", self.i), None, words);
        }
    }

    /// A secret, if it is written.
    pub(super) fn secret(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        written: Option<&Spanned<Hidden>>,
    ) -> Option<Zeroizing<String>> {
        let written = written?;
        secret(reader, reader.place(written), &self.key(name), written.get_ref().expose())
    }

    /// A secret that must be written.
    pub(super) fn needed_secret(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        written: Option<&Spanned<Hidden>>,
    ) -> Option<Zeroizing<String>> {
        if written.is_none() {
            let last = name.rsplit('.').next().unwrap_or(name);
            self.complain(reader, name, format!("it is missing: write {last} = \"env:NAME\""));
        }
        self.secret(reader, name, written)
    }

    /// A secret of several lines that must be written.
    pub(super) fn needed_lines(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        written: Option<&Spanned<Hidden>>,
    ) -> Option<Zeroizing<String>> {
        let Some(written) = written else {
            self.complain(reader, name, format!("it is missing: write {name} = \"file:PATH\""));
            return None;
        };
        let (place, text) = (reader.place(written), written.get_ref().expose());
        secret_by(reader, place, &self.key(name), text, secret::read_lines)
    }

    /// A text that must be written, for which this is an example.
    pub(super) fn needed(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        written: Option<&Spanned<String>>,
        example: &str,
    ) -> Option<String> {
        let text = written.map(|text| text.get_ref().as_str()).unwrap_or_default();
        if text.is_empty() {
            self.complain(reader, name, format!("it is missing: write {name} = \"{example}\""));
            return None;
        }
        Some(text.to_owned())
    }

    /// One of several words; the first is the default.
    pub(super) fn word<T: Copy>(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        written: Option<&Spanned<String>>,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let Some(written) = written else { return words.first().map(|&(_, value)| value) };
        let text = written.get_ref().as_str();
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|&(word, _)| word).collect();
            let hint = did_you_mean(text, known.iter().copied());
            self.complain(reader, name, format!("write one of {}{hint}", known.join(", ")));
        }
        found.map(|&(_, value)| value)
    }

    /// A whole number, if it is written.
    pub(super) fn number(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        written: Option<&Spanned<i64>>,
        least: u32,
        most: u32,
    ) -> Option<u32> {
        let number = u32::try_from(*written?.get_ref()).ok();
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let message = format!("write a whole number from {least} to {most}");
            self.complain(reader, name, message);
        }
        number
    }

    /// Scheme and host of an API, without a slash at its end.
    pub(super) fn base_url(
        &self,
        reader: &mut Reader<'_>,
        default: Option<&str>,
        example: &str,
    ) -> Option<String> {
        let Some(written) = &self.raw.base_url else {
            if default.is_none() {
                let message = format!("it is missing: write base_url = \"{example}\"");
                self.complain(reader, "base_url", message);
            }
            return default.map(str::to_owned);
        };
        let text = written.get_ref().trim_end_matches('/');
        match web(text) {
            Err(why) => {
                self.complain(reader, "base_url", why);
                return None;
            }
            Ok(_) if text.matches('/').count() > 2 || text.contains('?') => {
                let message = format!("write scheme and host alone, as {example}: paths are added");
                self.complain(reader, "base_url", message);
                return None;
            }
            Ok(web) if !web.encrypted && !is_private(&web.host) => {
                let message = "credentials and codes go there without encryption: write https://";
                self.warn(reader, "base_url", message);
            }
            Ok(_) => {}
        }
        Some(text.to_owned())
    }
}

/// Every key that is written. Taken apart without `..`, so that no new key is forgotten.
fn keys(reader: &Reader<'_>, raw: &raw::Carrier) -> Vec<Written> {
    let raw::Carrier {
        name,
        kind,
        from,
        inbound_token,
        base_url,
        account,
        token,
        signing_key,
        messaging_service,
        application,
        machine_detection,
        prompt,
        audio_url,
        api_key,
        public_key,
        connection_id,
        messaging_profile,
        application_id,
        private_key,
        signature_secret,
        address,
        system_id,
        password,
        system_type,
        window,
        per_second,
        alphabet,
        ids,
        source_ton,
        source_npi,
        enquire_secs,
        answer_secs,
        patience_secs,
        url,
        method,
        secrets,
        basic,
        headers,
        body,
        success,
        unclear,
        handle,
        receipts,
        inbound,
        guard,
        answer,
    } = raw;
    let mut keys = Keys { reader, found: Vec::new() };
    for (key, text) in [
        ("name", name),
        ("kind", kind),
        ("from", from),
        ("account", account),
        ("messaging_service", messaging_service),
        ("application", application),
        ("prompt", prompt),
        ("public_key", public_key),
        ("connection_id", connection_id),
        ("messaging_profile", messaging_profile),
        ("application_id", application_id),
        ("address", address),
        ("system_id", system_id),
        ("system_type", system_type),
        ("alphabet", alphabet),
        ("ids", ids),
        ("method", method),
    ] {
        keys.add(key, text.as_ref(), |text| Some(quoted(text)));
    }
    for (key, text) in [("base_url", base_url), ("audio_url", audio_url)] {
        keys.add(key, text.as_ref(), |text| Some(shown(text)));
    }
    for (key, text) in [
        ("inbound_token", inbound_token),
        ("token", token),
        ("signing_key", signing_key),
        ("api_key", api_key),
        ("private_key", private_key),
        ("signature_secret", signature_secret),
        ("password", password),
    ] {
        keys.add(key, text.as_ref(), |text| secret::shown(text.expose()));
    }
    keys.add("url", url.as_ref(), |url| Some(shown(url.expose())));
    for (key, number) in [
        ("window", window),
        ("per_second", per_second),
        ("source_ton", source_ton),
        ("source_npi", source_npi),
        ("enquire_secs", enquire_secs),
        ("answer_secs", answer_secs),
        ("patience_secs", patience_secs),
    ] {
        keys.add(key, number.as_ref(), |number| Some(number.to_string()));
    }
    keys.add("machine_detection", machine_detection.as_ref(), |it| Some(it.to_string()));
    // Tables are not shown: they may hold secrets.
    keys.add("secrets", secrets.as_ref(), |_| None);
    keys.add("basic", basic.as_ref(), |_| None);
    keys.add("headers", headers.as_ref(), |_| None);
    keys.add("body", body.as_ref(), |_| None);
    keys.add("success", success.as_ref(), |_| None);
    keys.add("unclear", unclear.as_ref(), |list| Some(format!("{list:?}")));
    keys.add("handle", handle.as_ref(), |_| None);
    keys.add("receipts", receipts.as_ref(), |_| None);
    keys.add("inbound", inbound.as_ref(), |_| None);
    keys.add("guard", guard.as_ref(), |_| None);
    keys.add("answer", answer.as_ref(), |text| Some(quoted(text)));
    keys.found
}

struct Keys<'r, 'a> {
    reader: &'r Reader<'a>,
    found: Vec<Written>,
}

impl Keys<'_, '_> {
    fn add<T>(
        &mut self,
        key: &'static str,
        value: Option<&Spanned<T>>,
        show: impl Fn(&T) -> Option<String>,
    ) {
        if let Some(value) = value {
            let (place, shown) = (self.reader.place(value), show(value.get_ref()));
            self.found.push(Written { key, place, shown });
        }
    }
}
