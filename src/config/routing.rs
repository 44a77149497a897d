//! `[[trunks]]` and `[[routes]]`.

use toml::Spanned;
use zeroize::Zeroizing;

use super::address::sip_target;
use super::complaint::{did_you_mean, quoted};
use super::raw::{self, Via};
use super::reader::{Place, Reader};
use super::{NAME_RULE, SecretSource, is_name};
use crate::carrier::Reach;
use crate::gateway::settings::{Identity, Provider, Target, Trunk, TrunkCredentials};
use crate::verify::request::Channel;
use crate::verify::route::Rule;

pub(super) fn trunks(reader: &mut Reader<'_>, written: &[Spanned<raw::Trunk>]) -> Vec<Trunk> {
    names(reader, "trunks", written.iter().map(|it| (table_of(it), it.get_ref().name.as_ref())));
    written.iter().enumerate().map(|(i, trunk)| one_trunk(reader, i, trunk)).collect()
}

/// A table's own place, for what is missing from it.
pub(super) fn table_of<T>(table: &Spanned<T>) -> Spanned<()> {
    Spanned::new(table.span(), ())
}

/// Complains of names that are missing, malformed or taken.
pub(super) fn names<'a>(
    reader: &mut Reader<'_>,
    list: &str,
    named: impl Iterator<Item = (Spanned<()>, Option<&'a Spanned<String>>)>,
) {
    let mut taken: Vec<(&str, usize)> = Vec::new();
    for (i, (table, name)) in named.enumerate() {
        let key = format!("{list}[{i}].name");
        let Some(name) = name else {
            let place = reader.place(&table);
            reader.complain(place, &key, None, "the name is missing: write name = \"…\"");
            continue;
        };
        let (place, line, text) = (reader.place(name), reader.line(name), name.get_ref());
        if !is_name(text) {
            reader.complain(place, &key, Some(quoted(text)), NAME_RULE);
        } else if let Some((_, first)) = taken.iter().find(|(other, _)| other == text) {
            let message = format!("line {first} has this name already: names are unique");
            reader.complain(place, &key, Some(quoted(text)), message);
        }
        taken.push((text, line));
    }
}

fn one_trunk(reader: &mut Reader<'_>, i: usize, trunk: &Spanned<raw::Trunk>) -> Trunk {
    let (table, trunk) = (reader.place(trunk), trunk.get_ref());
    let key = |name: &str| format!("trunks[{i}].{name}");
    let mut target = Target { host: String::new(), port: None, transport: None };
    match &trunk.target {
        None => {
            let message = "the target is missing: write target = \"sip:HOST:PORT;transport=udp\"";
            reader.complain(table, &key("target"), None, message);
        }
        Some(text) => match sip_target(text.get_ref()) {
            Ok(read) => target = read,
            Err(why) => {
                let place = reader.place(text);
                // What stands before an "@" may hold a password.
                let value = match text.get_ref().rsplit_once('@') {
                    Some((_, host)) => quoted(&format!("sip:…@{host}")),
                    None => quoted(text.get_ref()),
                };
                reader.complain(place, &key("target"), Some(value), why);
            }
        },
    }
    if let Some(number) = &trunk.caller_id {
        let text = number.get_ref();
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+*._-".contains(&b));
        if !fits {
            let place = reader.place(number);
            let message = "write the number that is shown to the called person, in E.164 as \
                           +12025550100 or as the carrier wants it: letters, digits, + * . _ -";
            reader.complain(place, &key("caller_id"), Some(quoted(text)), message);
        }
    }
    if let Some(srtp) = &trunk.srtp {
        let place = reader.place(srtp);
        let complaint = match srtp.get_ref().as_str() {
            "off" => None,
            "preferred" | "required" => Some(
                "SRTP is not supported by this version yet: write srtp = \"off\", or leave it out"
                    .to_owned(),
            ),
            other => Some(format!(
                "write srtp = \"off\"{}",
                did_you_mean(other, ["off", "preferred", "required"])
            )),
        };
        if let Some(message) = complaint {
            reader.complain(place, &key("srtp"), Some(quoted(srtp.get_ref())), message);
        }
    }
    let name = trunk.name.as_ref().map(|name| name.get_ref().clone()).unwrap_or_default();
    let caller_id = trunk.caller_id.as_ref().map(|number| number.get_ref().clone());
    Trunk {
        identity: Identity { caller_id, ..Identity::default() },
        credentials: credentials(reader, i, trunk),
        ..Trunk::new(&name, target)
    }
}

fn credentials(reader: &mut Reader<'_>, i: usize, trunk: &raw::Trunk) -> Option<TrunkCredentials> {
    let (user_key, password_key) =
        (format!("trunks[{i}].username"), format!("trunks[{i}].password"));
    let username = trunk.username.as_ref().map(|name| (reader.place(name), name.get_ref()));
    if let Some((place, name)) = username {
        let fits = !name.is_empty() && !name.chars().any(|c| c.is_control() || "\"\\".contains(c));
        if !fits {
            let message = "write the user name the carrier gave, without quotes, backslashes and \
                           control characters";
            reader.complain(place, &user_key, Some(quoted(name)), message);
        }
    }
    let password = trunk.password.as_ref().and_then(|written| {
        secret(reader, reader.place(written), &password_key, written.get_ref().expose())
    });
    match (username, &trunk.password) {
        (None, None) => None,
        (Some((_, name)), Some(_)) => password.map(|password| TrunkCredentials {
            username: name.clone(),
            password,
            realm: None,
        }),
        (Some((place, _)), None) => {
            let message = "the password is missing that goes with username: write password = \
                           \"env:NAME\"";
            reader.complain(place, &password_key, None, message);
            None
        }
        (None, Some(written)) => {
            let message = "the username is missing that goes with password: write username = \"…\"";
            reader.complain(reader.place(written), &user_key, None, message);
            None
        }
    }
}

/// Reads a secret, complains when it cannot be read, warns when it is written openly.
pub(super) fn secret(
    reader: &mut Reader<'_>,
    place: Place,
    key: &str,
    written: &str,
) -> Option<Zeroizing<String>> {
    secret_by(reader, place, key, written, super::secret::read)
}

/// The same, read in one of the ways there are.
pub(super) fn secret_by(
    reader: &mut Reader<'_>,
    place: Place,
    key: &str,
    written: &str,
    read: super::secret::Read,
) -> Option<Zeroizing<String>> {
    match read(written, reader.dir, reader.env) {
        Ok((text, source)) => {
            if source == SecretSource::Literal {
                warn_of_literal(reader, place, key);
            }
            Some(text)
        }
        Err(why) => {
            reader.complain(place, key, super::secret::shown(written), why);
            None
        }
    }
}

/// A secret in the configuration itself is allowed, and should not be.
pub(super) fn warn_of_literal(reader: &mut Reader<'_>, place: Place, key: &str) {
    let message = "the secret stands in the configuration itself, where backups and repositories \
                   will carry it: write env:NAME or file:PATH";
    reader.warn(place, key, None, message);
}

/// Who can be named by a route.
pub(super) struct Names<'a> {
    voice: Vec<&'a str>,
    sms: Vec<&'a str>,
}

impl<'a> Names<'a> {
    /// The trunks, and the carriers by what they reach. A carrier of `broken` was complained of,
    /// and a route may name it.
    pub(super) fn of(
        trunks: &'a [Spanned<raw::Trunk>],
        carriers: &'a [Provider],
        broken: &'a [String],
    ) -> Self {
        let trunks = trunks.iter().filter_map(|trunk| trunk.get_ref().name.as_ref());
        let trunks = trunks.map(|name| name.get_ref().as_str());
        let by = |reaches: fn(Reach) -> bool| {
            let carriers = carriers.iter().filter(move |it| reaches(it.reach()));
            carriers.map(|it| it.name.as_str()).chain(broken.iter().map(String::as_str))
        };
        Self {
            voice: trunks.chain(by(|reach| reach.voice)).collect(),
            sms: by(|reach| reach.sms).collect(),
        }
    }

    fn by(&self, channel: Channel) -> &[&'a str] {
        match channel {
            Channel::Voice => &self.voice,
            Channel::Sms => &self.sms,
        }
    }
}

pub(super) fn routes(
    reader: &mut Reader<'_>,
    written: &[Spanned<raw::Route>],
    names: &Names<'_>,
) -> Vec<Rule> {
    if written.is_empty() {
        let all = |channel| {
            let via: Vec<String> = names.by(channel).iter().map(|&it| it.to_owned()).collect();
            (!via.is_empty()).then(|| Rule { channel, prefix: "+".to_owned(), via })
        };
        return [Channel::Voice, Channel::Sms].into_iter().filter_map(all).collect();
    }
    let mut rules: Vec<(Rule, usize)> = Vec::new();
    for (i, route) in written.iter().enumerate() {
        let line = reader.line(route);
        let Some(rule) = one_route(reader, i, route, names) else {
            continue;
        };
        let same = |(other, _): &&(Rule, usize)| {
            other.channel == rule.channel && other.prefix == rule.prefix
        };
        if let Some((_, first)) = rules.iter().find(same) {
            let message = format!(
                "the route on line {first} has this channel and prefix already: put all of \
                 them into one via"
            );
            let place = route
                .get_ref()
                .prefix
                .as_ref()
                .map_or(reader.place(route), |prefix| reader.place(prefix));
            let key = format!("routes[{i}].prefix");
            reader.complain(place, &key, Some(quoted(&rule.prefix)), message);
        }
        rules.push((rule, line));
    }
    rules.into_iter().map(|(rule, _)| rule).collect()
}

fn one_route(
    reader: &mut Reader<'_>,
    i: usize,
    route: &Spanned<raw::Route>,
    names: &Names<'_>,
) -> Option<Rule> {
    let (table, route) = (reader.place(route), route.get_ref());
    let key = |name: &str| format!("routes[{i}].{name}");
    let channel = match route.channel.as_ref().map(|text| (text, text.get_ref().as_str())) {
        None | Some((_, "voice")) => Some(Channel::Voice),
        Some((_, "sms")) => Some(Channel::Sms),
        Some((text, other)) => {
            let message = match other {
                "totp" | "push" => format!(
                    "the channel {other} is not supported by this version yet: write voice or sms"
                ),
                other => format!(
                    "there is no such channel: write voice or sms{}",
                    did_you_mean(other, ["voice", "sms"])
                ),
            };
            reader.complain(reader.place(text), &key("channel"), Some(quoted(other)), message);
            None
        }
    };
    let known = channel.map_or([].as_slice(), |channel| names.by(channel));
    let mut prefix = "+".to_owned();
    if let Some(text) = &route.prefix {
        prefix.clone_from(text.get_ref());
        let fits = prefix
            .strip_prefix('+')
            .is_some_and(|rest| rest.len() <= 15 && rest.bytes().all(|b| b.is_ascii_digit()));
        if !fits {
            let message =
                "write how the numbers begin: + and up to 15 digits, as +44, or + for all";
            let place = reader.place(text);
            reader.complain(place, &key("prefix"), Some(quoted(&prefix)), message);
            return None;
        }
    }
    let stops = match &route.via {
        Some(list) if !list.get_ref().is_empty() => list.get_ref(),
        empty => {
            let place = empty.as_ref().map_or(table, |list| reader.place(list));
            let message = "write the trunks or carriers to try, in order: via = [\"NAME\"]";
            reader.complain(place, &key("via"), empty.as_ref().map(|_| "[]".to_owned()), message);
            return None;
        }
    };
    let mut via: Vec<String> = Vec::new();
    for (j, stop) in stops.iter().enumerate() {
        let key = format!("routes[{i}].via[{j}]");
        let place = reader.place(stop);
        match stop.get_ref() {
            Via::Share => reader.complain(
                place,
                &key,
                None,
                "shares by weight are not supported by this version yet: write the name \
                 alone, in quotes",
            ),
            Via::Name(name) if channel.is_some() && !known.contains(&name.as_str()) => {
                let what = match channel {
                    Some(Channel::Sms) => "carrier that sends texts",
                    Some(Channel::Voice) | None => "trunk or carrier that places calls",
                };
                let message = format!(
                    "there is no {what} of this name{} (there are: {})",
                    did_you_mean(name, known.iter().copied()),
                    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                );
                reader.complain(place, &key, Some(quoted(name)), message);
            }
            Via::Name(name) if via.contains(name) => {
                let message = "this route tries it already: write it once";
                reader.complain(place, &key, Some(quoted(name)), message);
            }
            Via::Name(name) => via.push(name.clone()),
        }
    }
    channel.map(|channel| Rule { channel, prefix, via })
}
