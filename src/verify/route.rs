//! The ordered plan: which trunks to try, for which numbers and whom.

use std::cmp::Reverse;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::number::{Country, NumberKind, PhoneNumber};
use super::policy::Permit;
use super::request::{Channel, Mode, Request, Way};
use crate::ambient::Entropy;

/// By whom the attempts of test tenants go, who reach nobody: no trunk or carrier has this name.
pub const REHEARSAL: &str = "rehearsal";

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

/// One row of the [`Table`]. Everything that is written must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For which channel.
    pub channel: Channel,
    /// For numbers that begin so; `+` is all.
    pub prefix: String,
    /// For these tenants; none is all.
    pub tenants: Vec<String>,
    /// For numbers of these kinds; none is all.
    pub kinds: Vec<NumberKind>,
    /// For numbers of these countries; none is all.
    pub countries: Vec<Country>,
    /// The trunks and carriers.
    pub via: Via,
}

/// The trunks and carriers of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// Tried in this order.
    InOrder(Vec<String>),
    /// Tried in an order that is drawn for each verification: each place goes to one of those that
    /// are left, by their weights.
    ByWeight(Vec<(String, u32)>),
}

impl Via {
    /// The names, as written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (ordered, weighted) = match self {
            Self::InOrder(names) => (names.as_slice(), [].as_slice()),
            Self::ByWeight(shares) => ([].as_slice(), shares.as_slice()),
        };
        ordered.iter().chain(weighted.iter().map(|(name, _)| name)).map(String::as_str)
    }

    /// The names in the order they are tried in.
    fn draw(&self, entropy: &mut Entropy) -> Vec<String> {
        match self {
            Self::InOrder(names) => names.clone(),
            Self::ByWeight(shares) => {
                let mut left = shares.clone();
                let mut drawn = Vec::with_capacity(left.len());
                while !left.is_empty() {
                    drawn.push(left.swap_remove(pick(&left, entropy)).0);
                }
                drawn
            }
        }
    }
}

/// The place of one share, by weight.
fn pick(shares: &[(String, u32)], entropy: &mut Entropy) -> usize {
    let total = shares.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut at = entropy.below(total);
    for (i, (_, weight)) in shares.iter().enumerate() {
        match at.checked_sub(u64::from(*weight)) {
            Some(behind) => at = behind,
            None => return i,
        }
    }
    0
}

impl Rule {
    /// A row for every number and tenant.
    #[must_use]
    pub fn every(channel: Channel, via: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            channel,
            prefix: "+".to_owned(),
            tenants: Vec::new(),
            kinds: Vec::new(),
            countries: Vec::new(),
            via: Via::InOrder(via.into_iter().map(Into::into).collect()),
        }
    }

    /// How narrow it is: of two rows that fit, the narrower one is taken. The longer prefix first,
    /// then a tenant, then a kind, then a country.
    #[must_use]
    pub fn narrowness(&self) -> (usize, bool, bool, bool) {
        let Self { prefix, tenants, kinds, countries, .. } = self;
        (prefix.len(), !tenants.is_empty(), !kinds.is_empty(), !countries.is_empty())
    }

    /// The first of its conditions that this number or tenant does not fit.
    fn misfit(&self, to: &PhoneNumber, tenant: &str) -> Option<Unfit> {
        let Self { prefix, tenants, kinds, countries, .. } = self;
        if !to.expose().starts_with(prefix) {
            return Some(Unfit::Prefix);
        }
        if !tenants.is_empty() && !tenants.iter().any(|it| it == tenant) {
            return Some(Unfit::Tenant);
        }
        if !kinds.is_empty() && !kinds.contains(&to.kind()) {
            return Some(Unfit::Kinds(kinds.clone()));
        }
        if !countries.is_empty() && !countries.contains(to.country()) {
            return Some(Unfit::Countries(countries.clone()));
        }
        None
    }
}

/// No row of the table fits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NoRoute {
    /// By which channel.
    pub channel: Channel,
    /// The row that came nearest.
    pub nearest: Option<Misfit>,
}

/// A row that did not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Its place in the table.
    pub row: usize,
    /// Its prefix.
    pub prefix: String,
    /// Why not.
    pub unfit: Unfit,
}

/// The condition of a row that did not fit. Who the other tenants are is not said: no tenant sees
/// another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The number begins otherwise.
    Prefix,
    /// It is for other tenants.
    Tenant,
    /// It is for numbers of these kinds.
    Kinds(Vec<NumberKind>),
    /// It is for numbers of these countries.
    Countries(Vec<Country>),
    /// None of those it goes by can ask this; why not, each.
    Mode(Mode, Vec<String>),
}

impl fmt::Display for NoRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = self.channel.as_str();
        write!(f, "no route by {channel} to this number: ")?;
        match &self.nearest {
            None => write!(f, "nothing carries {channel}"),
            Some(Misfit { unfit: Unfit::Prefix, .. }) => {
                f.write_str("no [[routes]] entry of this channel has a prefix that fits it")
            }
            Some(Misfit { row, prefix, unfit }) => write!(f, "routes[{row}] ({prefix}) is {unfit}"),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix => f.write_str("for numbers that begin otherwise"),
            Self::Tenant => f.write_str("for other tenants"),
            Self::Kinds(kinds) => {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                write!(f, "for other kinds of numbers ({})", kinds.join(", "))
            }
            Self::Countries(countries) => {
                let countries: Vec<&str> = countries.iter().map(Country::as_str).collect();
                write!(f, "for numbers of other countries ({})", countries.join(", "))
            }
            Self::Mode(mode, whys) => {
                write!(f, "not for mode {}: {}", mode.as_str(), whys.join("; "))
            }
        }
    }
}

/// Whether a trunk or carrier can ask what this way asks, or why not.
pub type Able<'a> = &'a dyn Fn(&str, Way) -> Result<(), String>;

impl Table {
    /// A table of these rows.
    #[must_use]
    pub const fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// The plan for a permitted request: for each way, the carriers of the row that fits best.
    ///
    /// # Errors
    /// When no row fits one of the ways, or nobody in it can ask what is to be asked.
    pub fn plan(
        &self,
        request: &Request,
        tenant: &str,
        permit: &Permit,
        able: Able<'_>,
        entropy: &mut Entropy,
    ) -> Result<Route, NoRoute> {
        let mut route = Route(Vec::new());
        for way in request.ways() {
            route.extend(self.steps(&request.to, tenant, way, permit, able, entropy)?);
        }
        Ok(route)
    }

    /// The carriers of one way, in order: those that can ask what is to be asked.
    ///
    /// # Errors
    /// When no row fits, or nobody in it can ask that.
    pub fn steps(
        &self,
        to: &PhoneNumber,
        tenant: &str,
        way: Way,
        _permit: &Permit,
        able: Able<'_>,
        entropy: &mut Entropy,
    ) -> Result<Vec<RouteStep>, NoRoute> {
        let Way { channel, mode } = way;
        let (row, rule) = self.row(to, tenant, channel)?;
        let (mut steps, mut whys) = (Vec::new(), Vec::new());
        for via in rule.via.draw(entropy) {
            match able(&via, way) {
                Ok(()) => steps.push(RouteStep { channel, mode, via, stage: 0 }),
                Err(why) => whys.push(why),
            }
        }
        if steps.is_empty() {
            let (prefix, unfit) = (rule.prefix.clone(), Unfit::Mode(mode, whys));
            return Err(NoRoute { channel, nearest: Some(Misfit { row, prefix, unfit }) });
        }
        Ok(steps)
    }

    /// The row that fits best, and its place: of those that fit the narrowest, of those the first.
    ///
    /// # Errors
    /// When no row fits.
    pub fn row(
        &self,
        to: &PhoneNumber,
        tenant: &str,
        channel: Channel,
    ) -> Result<(usize, &Rule), NoRoute> {
        let rows = || {
            let rows = self.0.iter().enumerate();
            rows.filter(move |(_, rule)| {
                rule.channel == channel && rule.via.names().next().is_some()
            })
        };
        let fitting = rows().filter(|(_, rule)| rule.misfit(to, tenant).is_none());
        fitting.min_by_key(|(_, rule)| Reverse(rule.narrowness())).ok_or_else(|| {
            let misfits = rows().filter_map(|(row, rule)| {
                let unfit = rule.misfit(to, tenant)?;
                Some((rule, Misfit { row, prefix: rule.prefix.clone(), unfit }))
            });
            // A row whose prefix fits is nearer than any other.
            let distance = |(rule, misfit): &(&Rule, Misfit)| {
                (misfit.unfit == Unfit::Prefix, Reverse(rule.narrowness()))
            };
            let nearest = misfits.min_by_key(distance).map(|(_, misfit)| misfit);
            NoRoute { channel, nearest }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::policy::{Rules, decide};
    use super::super::tests::request;
    use super::*;

    fn rule(prefix: &str, via: &[&str]) -> Rule {
        Rule { prefix: prefix.to_owned(), ..Rule::every(Channel::Voice, via.iter().copied()) }
    }

    fn names(route: &Route) -> Vec<&str> {
        route.steps().iter().map(|step| step.via.as_str()).collect()
    }

    /// What a tenant's call to this number goes by, or why it goes by nothing.
    fn by(table: &[Rule], tenant: &str, to: &str) -> String {
        let to = to.parse().unwrap();
        match Table::new(table.to_vec()).row(&to, tenant, Channel::Voice) {
            Ok((_, rule)) => rule.via.names().collect::<Vec<_>>().join(" "),
            Err(none) => none.to_string(),
        }
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
        let mut entropy = Entropy::from_number(1);
        let able: Able<'_> = &|_, _| Ok(());
        let route = table.plan(&asked, "acme", &permit, able, &mut entropy).unwrap();
        assert_eq!(names(&route), ["west", "spare"]);
        let other = Table::new(vec![rule("+44", &["uk"])]);
        assert!(other.plan(&asked, "acme", &permit, able, &mut entropy).is_err());
    }

    #[test]
    fn whoever_cannot_ask_it_is_left_out_and_nobody_left_is_told() {
        let us = BTreeSet::from(["US".parse().unwrap()]);
        let rules = Rules { voice_countries: us, ..Rules::default() };
        let way = Way { channel: Channel::Voice, mode: Mode::Pin };
        let asked = Request { way, ..request("+14155550132") };
        let permit = decide(&asked, &rules).unwrap();
        let able: Able<'_> = &|via, way| match via {
            "a" | "b" if way.mode != Mode::Confirm => Err(format!("{via} only asks to confirm")),
            _ => Ok(()),
        };
        let mut entropy = Entropy::from_number(1);
        let table = Table::new(vec![rule("+1", &["a", "c", "b"])]);
        let route = table.plan(&asked, "acme", &permit, able, &mut entropy).unwrap();
        assert_eq!(names(&route), ["c"]);
        let table = Table::new(vec![rule("+1", &["a", "b"])]);
        let none = table.plan(&asked, "acme", &permit, able, &mut entropy).unwrap_err();
        assert_eq!(
            none.to_string(),
            "no route by voice to this number: routes[0] (+1) is not for mode pin: a only asks to \
             confirm; b only asks to confirm"
        );
    }

    #[test]
    fn of_the_rows_that_fit_the_narrowest_is_taken_and_of_those_the_first() {
        let tenants = || vec!["acme".to_owned(), "umbrella".to_owned()];
        let kinds = || vec![NumberKind::Mobile];
        let countries = || vec!["DE".parse().unwrap()];
        let table = [
            Rule { countries: countries(), ..rule("+", &["country"]) },
            Rule { kinds: kinds(), ..rule("+", &["kind"]) },
            Rule { kinds: kinds(), countries: countries(), ..rule("+", &["kind+country"]) },
            Rule { tenants: tenants(), ..rule("+", &["tenant"]) },
            rule("+", &["first"]),
            rule("+", &["second"]),
            rule("+49151", &["prefix"]),
        ];
        for (tenant, to, expected) in [
            ("other", "+442079460018", "first"),
            ("other", "+4930123456", "country"),
            ("other", "+447400123456", "kind"),
            ("other", "+4917612345678", "kind+country"),
            ("acme", "+4917612345678", "tenant"),
            ("acme", "+4915112345678", "prefix"),
        ] {
            assert_eq!(by(&table, tenant, to), expected, "{tenant} {to}");
        }
    }

    #[test]
    fn the_nearest_row_says_why_it_did_not_fit_and_names_neither_tenants_nor_numbers() {
        let table = [
            Rule { tenants: vec!["umbrella".to_owned()], ..rule("+49", &["a"]) },
            Rule { kinds: vec![NumberKind::Fixed], ..rule("+4", &["a"]) },
            Rule { countries: vec!["US".parse().unwrap()], ..rule("+1", &["a"]) },
            rule("+330", &["a"]),
        ];
        for (to, expected) in [
            ("+4915112345678", "routes[0] (+49) is for other tenants"),
            ("+447400123456", "routes[1] (+4) is for other kinds of numbers (fixed line)"),
            ("+14165550132", "routes[2] (+1) is for numbers of other countries (US)"),
            ("+33123456789", "no [[routes]] entry of this channel has a prefix that fits it"),
        ] {
            let said = by(&table, "acme", to);
            assert_eq!(said, format!("no route by voice to this number: {expected}"), "{to}");
        }
        assert!(by(&[], "acme", "+33123456789").ends_with("nothing carries voice"));
    }

    #[test]
    fn weights_draw_who_is_first_and_leave_nobody_out() {
        let shares = [("a", 3), ("b", 1), ("c", 0)].map(|(name, weight)| (name.to_owned(), weight));
        let via = Via::ByWeight(shares.to_vec());
        let mut first = 0;
        for seed in 0..4000 {
            let mut drawn = via.draw(&mut Entropy::from_number(seed));
            assert_eq!(drawn, via.draw(&mut Entropy::from_number(seed)), "one seed, one order");
            first += u32::from(drawn[0] == "a");
            assert_eq!(drawn[2], "c", "no weight comes last");
            drawn.sort();
            assert_eq!(drawn, ["a", "b", "c"]);
        }
        assert!((2880..3120).contains(&first), "{first} of 4000 began with a, 3000 were due");
    }
}
