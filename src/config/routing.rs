//! `[[routes]]`, and what all lists of named tables have in common.

use toml::Spanned;
use zeroize::Zeroizing;

use super::complaint::{did_you_mean, quoted};
use super::raw::{self, Either, Raw};
use super::reader::{Place, Reader};
use super::tenants::countries;
use super::{NAME_RULE, SecretSource, is_name};
use crate::carrier::Reach;
use crate::gateway::settings::Provider;
use crate::verify::number::NumberKind;
use crate::verify::request::Channel;
use crate::verify::route::{Rule, Via};

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
    if reader.remote && ["env:", "file:"].iter().any(|place| written.starts_with(place)) {
        let message = "variables and files are those of the gateway's machine, for its configuration \
                       alone: write the secret itself, which is kept sealed";
        reader.complain(place, key, super::secret::shown(written), message);
        return None;
    }
    match read(written, reader.dir, reader.env) {
        Ok((text, source)) => {
            if source == SecretSource::Literal && !reader.remote {
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

/// What routes call the kinds of lines that reach a person; the others are never called.
const KINDS: &[(&str, NumberKind)] = &[
    ("mobile", NumberKind::Mobile),
    ("fixed", NumberKind::Fixed),
    ("fixed_or_mobile", NumberKind::FixedOrMobile),
    ("voip", NumberKind::Voip),
    ("unknown", NumberKind::Unknown),
];

pub(super) fn routes(reader: &mut Reader<'_>, raw: &Raw, names: &Names<'_>) -> Vec<Rule> {
    if raw.routes.is_empty() {
        let all = |channel| {
            let via = names.by(channel);
            (!via.is_empty()).then(|| Rule::every(channel, via.iter().copied()))
        };
        return [Channel::Voice, Channel::Sms].into_iter().filter_map(all).collect();
    }
    let tenants = raw.tenants.iter().filter_map(|tenant| tenant.get_ref().name.as_ref());
    let tenants: Vec<&str> = tenants.map(|name| name.get_ref().as_str()).collect();
    let mut rules: Vec<(Rule, usize)> = Vec::new();
    for (i, route) in raw.routes.iter().enumerate() {
        let line = reader.line(route);
        let Some(rule) = one_route(reader, i, route, names, &tenants) else {
            continue;
        };
        if let Some((other, first)) = rules.iter().find(|(other, _)| covers(other, &rule)) {
            let message = if other.narrowness() == (other.prefix.len(), false, false, false) {
                format!(
                    "the route on line {first} has this channel and prefix already: put all of \
                     them into one via"
                )
            } else {
                format!("the route on line {first} takes all of these already: leave this one out")
            };
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

/// Whether the second of two rows is never reached, because the first takes all that it would.
fn covers(first: &Rule, second: &Rule) -> bool {
    first.channel == second.channel
        && first.prefix == second.prefix
        && first.narrowness() == second.narrowness()
        && second.tenants.iter().all(|it| first.tenants.contains(it))
        && second.kinds.iter().all(|it| first.kinds.contains(it))
        && second.countries.iter().all(|it| first.countries.contains(it))
}

fn one_route(
    reader: &mut Reader<'_>,
    i: usize,
    route: &Spanned<raw::Route>,
    names: &Names<'_>,
    tenants: &[&str],
) -> Option<Rule> {
    let (table, route) = (reader.place(route), route.get_ref());
    let channel = channel(reader, i, route);
    let prefix = prefix(reader, i, route)?;
    let listed = listed(reader, i, "tenants", route.tenants.as_ref());
    let tenants = listed.into_iter().filter_map(|(key, written)| {
        let name = written.get_ref();
        if tenants.contains(&name.as_str()) {
            return Some(name.clone());
        }
        let message = format!(
            "there is no tenant of this name{} (there are: {})",
            did_you_mean(name, tenants.iter().copied()),
            tenants.join(", ")
        );
        reader.complain(reader.place(written), &key, Some(quoted(name)), message);
        None
    });
    let tenants = tenants.collect();
    let listed = self::listed(reader, i, "number_types", route.number_types.as_ref());
    let kinds = listed.into_iter().filter_map(|(key, written)| {
        let text = written.get_ref();
        let found = KINDS.iter().find(|(word, _)| word == text);
        if found.is_none() {
            let words: Vec<&str> = KINDS.iter().map(|&(word, _)| word).collect();
            let hint = did_you_mean(text, words.iter().copied());
            let message = format!("write one of {}{hint}", words.join(", "));
            reader.complain(reader.place(written), &key, Some(quoted(text)), message);
        }
        found.map(|&(_, kind)| kind)
    });
    let kinds = kinds.collect();
    let _ = self::listed(reader, i, "countries", route.countries.as_ref());
    let countries = route.countries.as_ref().map(|list| {
        countries(reader, &format!("routes[{i}].countries"), list.get_ref()).into_iter().collect()
    });
    let via = via(reader, i, table, route, channel, names)?;
    let countries = countries.unwrap_or_default();
    channel.map(|channel| Rule { channel, prefix, tenants, kinds, countries, via })
}

/// The entries of a list, each with its key. A list that is empty would be no row at all.
fn listed<'a>(
    reader: &mut Reader<'_>,
    i: usize,
    name: &str,
    written: Option<&'a Spanned<Vec<Spanned<String>>>>,
) -> Vec<(String, &'a Spanned<String>)> {
    let key = format!("routes[{i}].{name}");
    let Some(written) = written else { return Vec::new() };
    if written.get_ref().is_empty() {
        let message = "the list is empty: leave it out where the route is for all of them";
        reader.complain(reader.place(written), &key, Some("[]".to_owned()), message);
    }
    let entries = written.get_ref().iter().enumerate();
    entries.map(|(j, entry)| (format!("{key}[{j}]"), entry)).collect()
}

fn channel(reader: &mut Reader<'_>, i: usize, route: &raw::Route) -> Option<Channel> {
    let Some(text) = &route.channel else { return Some(Channel::Voice) };
    let message = match text.get_ref().as_str() {
        "voice" => return Some(Channel::Voice),
        "sms" => return Some(Channel::Sms),
        later @ ("totp" | "push") => {
            format!("the channel {later} is not supported by this version yet: write voice or sms")
        }
        other => format!(
            "there is no such channel: write voice or sms{}",
            did_you_mean(other, ["voice", "sms"])
        ),
    };
    let key = format!("routes[{i}].channel");
    reader.complain(reader.place(text), &key, Some(quoted(text.get_ref())), message);
    None
}

fn prefix(reader: &mut Reader<'_>, i: usize, route: &raw::Route) -> Option<String> {
    let Some(text) = &route.prefix else { return Some("+".to_owned()) };
    let prefix = text.get_ref();
    let fits = prefix
        .strip_prefix('+')
        .is_some_and(|rest| rest.len() <= 15 && rest.bytes().all(|b| b.is_ascii_digit()));
    if fits {
        return Some(prefix.clone());
    }
    let message = "write how the numbers begin: + and up to 15 digits, as +44, or + for all";
    let key = format!("routes[{i}].prefix");
    reader.complain(reader.place(text), &key, Some(quoted(prefix)), message);
    None
}

/// The trunks and carriers of a row, in order or by weight.
fn via(
    reader: &mut Reader<'_>,
    i: usize,
    table: Place,
    route: &raw::Route,
    channel: Option<Channel>,
    names: &Names<'_>,
) -> Option<Via> {
    let stops = match &route.via {
        Some(list) if !list.get_ref().is_empty() => list,
        empty => {
            let place = empty.as_ref().map_or(table, |list| reader.place(list));
            let key = format!("routes[{i}].via");
            let message = "write the trunks or carriers to try, in order: via = [\"NAME\"]";
            reader.complain(place, &key, empty.as_ref().map(|_| "[]".to_owned()), message);
            return None;
        }
    };
    let mut shares: Vec<(String, Option<u32>)> = Vec::new();
    for (j, stop) in stops.get_ref().iter().enumerate() {
        let key = format!("routes[{i}].via[{j}]");
        let Some((name, weight)) = one_stop(reader, &key, stop) else { continue };
        let mut complain = |message| {
            reader.complain(reader.place(&name), &key, Some(quoted(name.get_ref())), message);
        };
        if let Some(message) = channel.and_then(|channel| unknown(name.get_ref(), channel, names)) {
            complain(message);
        } else if shares.iter().any(|(other, _)| other == name.get_ref()) {
            complain("this route tries it already: write it once".to_owned());
        } else {
            shares.push((name.into_inner(), weight));
        }
    }
    let weighted = shares.iter().filter(|(_, weight)| weight.is_some()).count();
    if weighted != 0 && weighted != shares.len() {
        let message = "write a weight for all of them, { trunk = \"…\", weight = 1 }, or for none";
        reader.complain(reader.place(stops), &format!("routes[{i}].via"), None, message);
    }
    let by_weight: Option<Vec<_>> =
        shares.iter().map(|(name, weight)| Some((name.clone(), (*weight)?))).collect();
    let in_order = || Via::InOrder(shares.iter().map(|(name, _)| name.clone()).collect());
    Some(by_weight.filter(|_| weighted != 0).map_or_else(in_order, Via::ByWeight))
}

/// The name at one stop, and its weight.
fn one_stop(
    reader: &mut Reader<'_>,
    key: &str,
    stop: &Spanned<raw::Stop>,
) -> Option<(Spanned<String>, Option<u32>)> {
    const MOST: u32 = 1000;
    let share = match stop.get_ref() {
        Either::Plain(name) => return Some((Spanned::new(stop.span(), name.clone()), None)),
        Either::Table(share) => share,
    };
    let Some(name) = &share.trunk else {
        let message = "the name is missing: write { trunk = \"…\", weight = 3 }";
        reader.complain(reader.place(stop), &format!("{key}.trunk"), None, message);
        return None;
    };
    let written = share.weight.as_ref();
    let weight = written.and_then(|it| u32::try_from(*it.get_ref()).ok());
    let weight = weight.filter(|weight| (1..=MOST).contains(weight));
    if weight.is_none() {
        let (place, value) = match written {
            Some(it) => (reader.place(it), Some(it.get_ref().to_string())),
            None => (reader.place(stop), None),
        };
        let message = format!("write a whole number from 1 to {MOST}: its share of the calls");
        reader.complain(place, &format!("{key}.weight"), value, message);
    }
    Some((name.clone(), weight.or(Some(1))))
}

/// What is said of a name that carries nothing on this channel.
fn unknown(name: &str, channel: Channel, names: &Names<'_>) -> Option<String> {
    let known = names.by(channel);
    if known.contains(&name) {
        return None;
    }
    let what = match channel {
        Channel::Sms => "carrier that sends texts",
        Channel::Voice => "trunk or carrier that places calls",
    };
    Some(format!(
        "there is no {what} of this name{} (there are: {})",
        did_you_mean(name, known.iter().copied()),
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    ))
}
