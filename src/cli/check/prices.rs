//! What is in the price deck of a configuration, and what is not.

use serde_json::{Map, Value, json};

use crate::config::Loaded;
use crate::verify::money::Deck;
use crate::verify::number::Country;
use crate::verify::request::Channel;

const CHANNELS: [Channel; 2] = [Channel::Voice, Channel::Sms];

/// A country that may be reached and has no price, or not for each of its numbers.
struct Unpriced<'a> {
    tenant: &'a str,
    channel: Channel,
    country: &'a Country,
}

/// The lines about it; none without one.
pub(super) fn told(loaded: &Loaded) -> Vec<String> {
    let Some(deck) = &loaded.config.gateway.prices else { return Vec::new() };
    let mut facts = vec![format!("{} of {}", deck.count(), deck.currency())];
    facts.extend(age(loaded).map(|days| match days {
        0 => "written today".to_owned(),
        1 => "written yesterday".to_owned(),
        days => format!("written {days} days ago"),
    }));
    for channel in CHANNELS {
        let what = match channel {
            Channel::Voice => "a minute",
            Channel::Sms => "a text",
        };
        let dearest = deck.dearest(channel);
        facts.extend(dearest.map(|(prefix, price)| format!("{what} {price} at most ({prefix})")));
    }
    let mut lines = vec![facts.join("; ")];
    lines.extend(unpriced(loaded, deck).map(|Unpriced { tenant, channel, country }| {
        let channel = channel.as_str();
        format!("{tenant}: {country} has no price by {channel}, or not for each of its numbers")
    }));
    lines
}

/// The same for programs.
pub(super) fn object(loaded: &Loaded) -> Value {
    let Some(deck) = &loaded.config.gateway.prices else { return Value::Null };
    let mut dearest = Map::new();
    for channel in CHANNELS {
        if let Some((prefix, price)) = deck.dearest(channel) {
            let price = json!({ "prefix": prefix, "price": price.to_string() });
            dearest.insert(channel.as_str().to_owned(), price);
        }
    }
    let unpriced = unpriced(loaded, deck).map(|Unpriced { tenant, channel, country }| {
        json!({ "tenant": tenant, "channel": channel.as_str(), "country": country.as_str() })
    });
    json!({
        "count": deck.count(),
        "currency": deck.currency(),
        "age_days": age(loaded),
        "dearest": dearest,
        "unpriced": unpriced.collect::<Vec<_>>(),
    })
}

/// How old its file is, in days.
fn age(loaded: &Loaded) -> Option<u64> {
    let written = std::fs::metadata(loaded.prices_file.as_ref()?).ok()?.modified().ok()?;
    Some(written.elapsed().unwrap_or_default().as_secs() / 86_400)
}

fn unpriced<'a>(loaded: &'a Loaded, deck: &'a Deck) -> impl Iterator<Item = Unpriced<'a>> {
    let tenants = loaded.config.gateway.tenants.iter().filter(|tenant| !tenant.test);
    tenants.flat_map(move |tenant| {
        let listed = [
            (Channel::Voice, &tenant.rules.voice_countries),
            (Channel::Sms, &tenant.rules.sms_countries),
        ];
        listed.into_iter().flat_map(move |(channel, countries)| {
            let unpriced =
                countries.iter().filter(move |it| deck.covers(it, channel) == Some(false));
            unpriced.map(move |country| Unpriced { tenant: &tenant.name, channel, country })
        })
    })
}
