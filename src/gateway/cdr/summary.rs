//! What call records come to, for each trunk and carrier, country or prefix, in the figures of the trade (ITU-T E.425).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ambient::Timestamp;
use crate::verify::attempt;
use crate::verify::money::{Currency, Money};
use crate::verify::selftest;
use crate::verify::signal::Reason;

/// By what records are summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// The trunk or carrier.
    #[default]
    Via,
    /// The country of the number.
    Country,
    /// How the number begins.
    Prefix,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Via, Self::Country, Self::Prefix];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Via => "via",
            Self::Country => "country",
            Self::Prefix => "prefix",
        }
    }
}

/// What is looked at of a record, as it is written as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Seen {
    pub(super) tenant: String,
    pub(super) via: String,
    pub(super) country: String,
    pub(super) prefix: String,
    pub(super) channel: String,
    #[serde(deserialize_with = "time")]
    pub(super) placed_at: Option<Timestamp>,
    #[serde(deserialize_with = "time")]
    pub(super) ringing_at: Option<Timestamp>,
    #[serde(deserialize_with = "time")]
    pub(super) answered_at: Option<Timestamp>,
    #[serde(deserialize_with = "time")]
    pub(super) ended_at: Option<Timestamp>,
    #[serde(deserialize_with = "time")]
    pub(super) key_at: Option<Timestamp>,
    pub(super) cause: Option<String>,
    pub(super) label: Option<String>,
    pub(super) cost: Option<String>,
    pub(super) currency: Option<String>,
    pub(super) verdict: String,
    pub(super) withheld: bool,
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let wrong = || serde::de::Error::custom("a time is not written as by RFC 3339");
    text.map(|text| Timestamp::from_rfc3339(&text).ok_or_else(wrong)).transpose()
}

/// What the attempts of one group by one channel came to. A share is in percent, and `None` where
/// there is nothing to have a share of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The group: a trunk or carrier, a country or a prefix.
    pub name: String,
    /// `voice` or `sms`.
    pub channel: String,
    /// How many attempts there were.
    pub attempts: u64,
    /// How many the other side had: seizures, of calls.
    pub placed: u64,
    /// How many of these were answered.
    pub answered: u64,
    /// Answer-seizure ratio: those answered among those placed.
    pub asr: Option<f64>,
    /// Network effectiveness ratio: those among the placed that came as far as the called phone, whatever became
    /// of them there: answered, busy, ringing until nobody answered or until the question was taken back, and
    /// refused. A number that does not exist is the network's word, not the phone's.
    pub ner: Option<f64>,
    /// Post-dial delay, the mean in milliseconds: until it rang, or was answered where nothing rang before.
    pub pdd_ms: Option<u64>,
    /// From the placing to the answer, the mean in milliseconds.
    pub answer_ms: Option<u64>,
    /// How long those answered lasted, the mean in milliseconds.
    pub duration_ms: Option<u64>,
    /// On how many of those answered a press decided.
    pub pressed: Option<f64>,
    /// From the answer to that press, the mean in milliseconds.
    pub key_ms: Option<u64>,
    /// How many of those answered were answered by a machine, as far as was heard.
    pub machines: Option<f64>,
    /// How many are of verifications that were approved.
    pub approved: u64,
    /// Those among all: the conversion.
    pub conversion: Option<f64>,
    /// What they cost, in each currency.
    pub cost: BTreeMap<String, String>,
}

/// Sums records up as they come.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    by: By,
    sums: BTreeMap<(String, String), Sums>,
}

#[derive(Clone, Debug, Default)]
struct Sums {
    attempts: u64,
    placed: u64,
    answered: u64,
    effective: u64,
    pressed: u64,
    machines: u64,
    approved: u64,
    pdd: Mean,
    answer: Mean,
    duration: Mean,
    key: Mean,
    cost: BTreeMap<Currency, Money>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: u64,
    count: u64,
}

impl Mean {
    /// Adds how long it took from one thing to the other, where there were both.
    fn add(&mut self, from: Option<Timestamp>, until: Option<Timestamp>) {
        if let Some((from, until)) = from.zip(until) {
            let span = u64::try_from(until.since(from).as_millis()).unwrap_or(u64::MAX);
            self.sum = self.sum.saturating_add(span);
            self.count += 1;
        }
    }

    const fn plus(&mut self, other: Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.count += other.count;
    }

    const fn value(self) -> Option<u64> {
        self.sum.checked_div(self.count)
    }
}

impl Sums {
    fn plus(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.placed += other.placed;
        self.answered += other.answered;
        self.effective += other.effective;
        self.pressed += other.pressed;
        self.machines += other.machines;
        self.approved += other.approved;
        self.pdd.plus(other.pdd);
        self.answer.plus(other.answer);
        self.duration.plus(other.duration);
        self.key.plus(other.key);
        for (currency, cost) in &other.cost {
            let sum = self.cost.entry(*currency).or_default();
            *sum = sum.plus(*cost);
        }
    }
}

impl Summary {
    /// Nothing yet, to be summed up so.
    #[must_use]
    pub const fn new(by: By) -> Self {
        Self { by, sums: BTreeMap::new() }
    }

    /// By what it sums up.
    #[must_use]
    pub const fn by(&self) -> By {
        self.by
    }

    /// Whether a record is of a group that is there already, or there are fewer than so many.
    #[must_use]
    pub fn has_room(&self, seen: &Seen, most: usize) -> bool {
        self.sums.len() < most || self.sums.contains_key(&self.group(seen))
    }

    fn group(&self, seen: &Seen) -> (String, String) {
        let name = match self.by {
            By::Via => &seen.via,
            By::Country => &seen.country,
            By::Prefix => &seen.prefix,
        };
        (name.clone(), seen.channel.clone())
    }

    /// Adds another, by the same.
    pub fn plus(&mut self, other: &Self) {
        for (group, sums) in &other.sums {
            self.sums.entry(group.clone()).or_default().plus(sums);
        }
    }

    /// All groups as one, of this name.
    #[must_use]
    pub fn total(&self, name: &str) -> Self {
        let mut total = Self::new(self.by);
        for ((_, channel), sums) in &self.sums {
            total.sums.entry((name.to_owned(), channel.clone())).or_default().plus(sums);
        }
        total
    }

    /// Counts a record. What only looked like an attempt counts for nobody.
    pub fn add(&mut self, seen: &Seen) {
        // What reached nobody, and the calls by which trunks are tried, are no customer's.
        if seen.withheld || selftest::is_tenant(&seen.tenant) {
            return;
        }
        let sums = self.sums.entry(self.group(seen)).or_default();
        sums.attempts += 1;
        sums.approved += u64::from(seen.verdict == "approved");
        let cost = seen.cost.as_ref().and_then(|cost| cost.parse::<Money>().ok());
        let currency = seen.currency.as_ref().and_then(|it| it.parse::<Currency>().ok());
        if let Some((cost, currency)) = cost.zip(currency) {
            let sum = sums.cost.entry(currency).or_default();
            *sum = sum.plus(cost);
        }
        if seen.placed_at.is_none() && seen.answered_at.is_none() {
            return;
        }
        sums.placed += 1;
        sums.effective += u64::from(seen.reached());
        sums.pdd.add(seen.placed_at, seen.ringing_at.or(seen.answered_at));
        if seen.answered_at.is_some() {
            sums.answered += 1;
            sums.answer.add(seen.placed_at, seen.answered_at);
            sums.pressed += u64::from(seen.key_at.is_some());
            sums.key.add(seen.answered_at, seen.key_at);
            sums.machines += u64::from(seen.is_machine());
            sums.duration.add(seen.answered_at, seen.ended_at);
        }
    }

    /// A line for each group and channel.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let line = |((name, channel), sums): (&(String, String), &Sums)| {
            let calls = channel == "voice";
            let share = |part, whole| if calls { percent(part, whole) } else { None };
            let cost =
                sums.cost.iter().map(|(currency, sum)| (currency.to_string(), sum.to_string()));
            Line {
                name: name.clone(),
                channel: channel.clone(),
                attempts: sums.attempts,
                placed: sums.placed,
                answered: sums.answered,
                asr: share(sums.answered, sums.placed),
                ner: share(sums.effective, sums.placed),
                pdd_ms: sums.pdd.value(),
                answer_ms: sums.answer.value(),
                duration_ms: sums.duration.value(),
                pressed: share(sums.pressed, sums.answered),
                key_ms: sums.key.value(),
                machines: share(sums.machines, sums.answered),
                approved: sums.approved,
                conversion: percent(sums.approved, sums.attempts),
                cost: cost.collect(),
            }
        };
        self.sums.iter().map(line).collect()
    }
}

impl Seen {
    /// Whether the network did its part: what happened then was the called side's doing.
    fn reached(&self) -> bool {
        let cause = self
            .cause
            .as_deref()
            .and_then(|word| serde_json::from_value::<Reason>(word.into()).ok());
        attempt::reached(self.answered_at.is_some(), self.ringing_at.is_some(), cause)
    }

    fn is_machine(&self) -> bool {
        self.label.as_deref() == Some("machine")
    }
}

/// A share in percent, with one decimal.
#[expect(clippy::cast_precision_loss, reason = "a share with one decimal")]
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 * 1_000.0 / whole as f64).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(answered: bool, rang: bool, cause: Option<&str>) -> Seen {
        let at = |ms: u64| Some(Timestamp::from_micros(1_795_716_000_000_000 + ms * 1_000));
        Seen {
            via: "a".to_owned(),
            country: "DE".to_owned(),
            prefix: "+49170".to_owned(),
            channel: "voice".to_owned(),
            placed_at: at(0),
            ringing_at: at(1_500).filter(|_| rang),
            answered_at: at(4_000).filter(|_| answered),
            ended_at: at(11_000),
            cause: cause.map(str::to_owned),
            key_at: at(9_000).filter(|_| answered),
            label: answered.then(|| "human".to_owned()),
            cost: Some("0.0130".to_owned()),
            currency: Some("EUR".to_owned()),
            verdict: if answered { "approved" } else { "failed" }.to_owned(),
            tenant: "acme".to_owned(),
            withheld: false,
        }
    }

    #[test]
    fn a_network_is_judged_by_whether_it_reaches_the_phone() {
        let mut summary = Summary::new(By::Via);
        for seen in [
            call(true, true, Some("confirmed")),
            Seen {
                ringing_at: None,
                key_at: None,
                label: Some("machine".to_owned()),
                ..call(true, true, Some("hung_up"))
            },
            call(false, true, Some("no_answer")),
            call(false, false, Some("busy")),
            call(false, true, Some("canceled_by_caller")),
            call(false, false, Some("canceled_by_caller")),
            call(false, false, Some("invalid_number")),
            call(false, true, Some("carrier_error")),
            call(false, false, Some("congested")),
            call(false, true, Some("expired")),
            // Never placed, and never meant.
            Seen { placed_at: None, ..call(false, false, Some("budget_denied")) },
            Seen { withheld: true, ..call(false, false, None) },
            Seen { tenant: selftest::tenant("a"), ..call(false, false, None) },
        ] {
            summary.add(&seen);
        }
        let lines = summary.lines();
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!((line.attempts, line.placed, line.answered, line.approved), (11, 10, 2, 2));
        assert_eq!((line.asr, line.ner), (Some(20.0), Some(60.0)));
        // What was answered and did not ring before has the delay to its answer.
        assert_eq!((line.pdd_ms, line.answer_ms), (Some(1_916), Some(4_000)));
        assert_eq!((line.duration_ms, line.key_ms), (Some(7_000), Some(5_000)));
        assert_eq!((line.pressed, line.machines), (Some(50.0), Some(50.0)));
        assert_eq!(line.conversion, Some(18.2));
        assert_eq!(line.cost, BTreeMap::from([("EUR".to_owned(), "0.1430".to_owned())]));
    }

    #[test]
    fn texts_have_no_answer_and_nothing_has_no_share() {
        let mut summary = Summary::new(By::Via);
        summary.add(&Seen { channel: "sms".to_owned(), ..call(false, false, None) });
        summary.add(&Seen { placed_at: None, via: "b".to_owned(), ..call(false, false, None) });
        let lines = summary.lines();
        assert_eq!((lines[0].asr, lines[0].ner), (None, None));
        assert_eq!((lines[1].asr, lines[1].ner, lines[1].attempts), (None, None, 1));
        assert_eq!(percent(1, 3), Some(33.3));
    }

    #[test]
    fn sums_of_parts_are_the_sum_and_groups_are_what_was_asked_for() {
        let (one, other) = (call(true, true, None), call(false, true, Some("no_answer")));
        for (by, name) in [(By::Via, "a"), (By::Country, "DE"), (By::Prefix, "+49170")] {
            let mut whole = Summary::new(by);
            let mut parts = Summary::new(by);
            for seen in [&one, &other] {
                whole.add(seen);
                let mut part = Summary::new(by);
                part.add(seen);
                parts.plus(&part);
            }
            assert_eq!(parts.lines(), whole.lines());
            assert_eq!((whole.lines().len(), whole.lines()[0].name.as_str()), (1, name));
            let elsewhere = Seen {
                via: "b".into(),
                country: "FR".into(),
                prefix: "+331".into(),
                ..one.clone()
            };
            assert!(whole.has_room(&one, 1) && !whole.has_room(&elsewhere, 1));
        }
    }
}
