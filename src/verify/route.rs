//! The ordered plan: which trunks to try, for which numbers.

use serde::{Deserialize, Serialize};

use super::policy::Permit;
use super::request::{Channel, Request};

/// The ordered plan of one verification; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Route(Vec<RouteStep>);

/// One way to reach the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStep {
    /// How.
    pub channel: Channel,
    /// By which trunk.
    pub via: String,
}

impl Route {
    /// The step at this place.
    #[must_use]
    pub fn step(&self, index: usize) -> Option<&RouteStep> {
        self.0.get(index)
    }
}

/// Which numbers go which way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(Vec<Rule>);

/// One row of the [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For which channel.
    pub channel: Channel,
    /// For numbers that begin so; `+` is all.
    pub prefix: String,
    /// The trunks, in order.
    pub via: Vec<String>,
}

/// No row of the table fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no route for {} calls to this number: no [[routes]] entry has a prefix that fits it", .0.as_str())]
pub struct NoRoute(pub Channel);

impl Table {
    /// A table of these rows.
    #[must_use]
    pub const fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// The plan for a permitted request: the row with the longest fitting prefix.
    ///
    /// # Errors
    /// When no row fits.
    pub fn plan(&self, request: &Request, _permit: &Permit) -> Result<Route, NoRoute> {
        let channel = request.channel;
        self.0
            .iter()
            .filter(|rule| rule.channel == channel && !rule.via.is_empty())
            .filter(|rule| request.to.expose().starts_with(&rule.prefix))
            .max_by_key(|rule| rule.prefix.len())
            .map(|rule| {
                Route(rule.via.iter().map(|via| RouteStep { channel, via: via.clone() }).collect())
            })
            .ok_or(NoRoute(channel))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::policy::{Rules, decide};
    use super::super::tests::request;
    use super::*;

    fn rule(prefix: &str, via: &[&str]) -> Rule {
        let via = via.iter().map(|&name| name.to_owned()).collect();
        Rule { channel: Channel::Voice, prefix: prefix.to_owned(), via }
    }

    #[test]
    fn the_longest_prefix_wins() {
        let rules = Rules { voice_countries: BTreeSet::from(["US".parse().unwrap()]) };
        let asked = request("+14155550132");
        let permit = decide(&asked, &rules).unwrap();
        let table = Table::new(vec![
            rule("+1415", &["west", "spare"]),
            rule("+", &["all"]),
            rule("+1", &["us"]),
        ]);
        let route = table.plan(&asked, &permit).unwrap();
        assert_eq!(route.step(0).unwrap().via, "west");
        assert_eq!(route.step(1).unwrap().via, "spare");
        assert_eq!(route.step(2), None);
        let other = Table::new(vec![rule("+44", &["uk"])]);
        assert!(other.plan(&asked, &permit).is_err());
    }
}
