//! The ordered plan: which trunks to try, for which numbers.

use serde::{Deserialize, Serialize};

use super::policy::Permit;
use super::request::{Channel, Mode, Request, Way};

/// The ordered plan of one verification; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Route(Vec<RouteStep>);

/// One try to reach the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStep {
    /// How.
    pub channel: Channel,
    /// With which question.
    pub mode: Mode,
    /// By which trunk or carrier.
    pub via: String,
    /// Counts the ways to reach the person; steps of one stage are carriers of the same way.
    pub stage: u8,
}

impl Route {
    /// The step at this place.
    #[must_use]
    pub fn step(&self, index: usize) -> Option<&RouteStep> {
        self.0.get(index)
    }

    /// Every step.
    #[must_use]
    pub fn steps(&self) -> &[RouteStep] {
        &self.0
    }

    /// The place of the first step behind `index` that reaches the person another way.
    #[must_use]
    pub fn next_stage(&self, index: usize) -> Option<usize> {
        let stage = self.step(index)?.stage;
        (index..self.0.len()).find(|&at| self.step(at).is_some_and(|step| step.stage != stage))
    }

    /// Adds steps, as stages of their own, and tells the place of the first.
    pub fn extend(&mut self, steps: Vec<RouteStep>) -> usize {
        let first = self.0.len();
        let next = self.0.last().map_or(0, |last| last.stage.saturating_add(1));
        self.0.extend(steps.into_iter().map(|step| RouteStep { stage: next, ..step }));
        first
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
#[error("no route by {} to this number: no [[routes]] entry of this channel has a prefix that fits it", .0.as_str())]
pub struct NoRoute(pub Channel);

impl Table {
    /// A table of these rows.
    #[must_use]
    pub const fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// The plan for a permitted request: for each way, the row with the longest fitting prefix.
    ///
    /// # Errors
    /// When no row fits one of the ways.
    pub fn plan(&self, request: &Request, permit: &Permit) -> Result<Route, NoRoute> {
        let mut route = Route(Vec::new());
        for way in request.ways() {
            route.extend(self.steps(request, way, permit)?);
        }
        Ok(route)
    }

    /// The carriers of one way, in order.
    ///
    /// # Errors
    /// When no row fits.
    pub fn steps(
        &self,
        request: &Request,
        way: Way,
        _permit: &Permit,
    ) -> Result<Vec<RouteStep>, NoRoute> {
        let Way { channel, mode } = way;
        let step = |via: &String| RouteStep { channel, mode, via: via.clone(), stage: 0 };
        self.0
            .iter()
            .filter(|rule| rule.channel == channel && !rule.via.is_empty())
            .filter(|rule| request.to.expose().starts_with(&rule.prefix))
            .max_by_key(|rule| rule.prefix.len())
            .map(|rule| rule.via.iter().map(step).collect())
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
        let us = BTreeSet::from(["US".parse().unwrap()]);
        let rules = Rules { voice_countries: us, ..Rules::default() };
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
