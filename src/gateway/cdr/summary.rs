//! What call records come to, for each trunk and carrier, in the figures of the trade (ITU-T E.425).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::verify::money::{Currency, Money};

/// What is looked at of a record, as it is written as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Seen {
    via: String,
    channel: String,
    placed_at: Option<String>,
    ringing_at: Option<String>,
    answered_at: Option<String>,
    pdd_ms: Option<u64>,
    duration_ms: Option<u64>,
    cause: Option<String>,
    keys: Option<String>,
    cost: Option<String>,
    currency: Option<String>,
    verdict: String,
    withheld: bool,
}

/// What the attempts of one trunk or carrier by one channel came to. A share is in percent, and `None` where
/// there is nothing to have a share of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The trunk or carrier.
    pub via: String,
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
    /// Post-dial delay, the mean in milliseconds.
    pub pdd_ms: Option<u64>,
    /// How long those answered lasted, the mean in milliseconds.
    pub duration_ms: Option<u64>,
    /// On how many of those answered a press decided.
    pub pressed: Option<f64>,
    /// How many are of verifications that were approved.
    pub approved: u64,
    /// What they cost, in each currency.
    pub cost: BTreeMap<String, String>,
}

/// Sums records up as they come.
#[derive(Clone, Debug, Default)]
pub struct Summary(BTreeMap<(String, String), Sums>);

#[derive(Clone, Debug, Default)]
struct Sums {
    attempts: u64,
    placed: u64,
    answered: u64,
    effective: u64,
    pressed: u64,
    approved: u64,
    pdd: Mean,
    duration: Mean,
    cost: BTreeMap<Currency, Money>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: u64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: Option<u64>) {
        if let Some(value) = value {
            self.sum = self.sum.saturating_add(value);
            self.count += 1;
        }
    }

    const fn value(self) -> Option<u64> {
        self.sum.checked_div(self.count)
    }
}

impl Summary {
    /// Counts a record. What only looked like an attempt counts for nobody.
    pub fn add(&mut self, seen: Seen) {
        if seen.withheld {
            return;
        }
        let reached = seen.reached();
        let sums = self.0.entry((seen.via, seen.channel)).or_default();
        sums.attempts += 1;
        sums.approved += u64::from(seen.verdict == "approved");
        let cost = seen.cost.and_then(|cost| cost.parse::<Money>().ok());
        let currency = seen.currency.and_then(|currency| currency.parse::<Currency>().ok());
        if let Some((cost, currency)) = cost.zip(currency) {
            let sum = sums.cost.entry(currency).or_default();
            *sum = sum.plus(cost);
        }
        if seen.placed_at.is_none() && seen.answered_at.is_none() {
            return;
        }
        sums.placed += 1;
        sums.effective += u64::from(reached);
        sums.pdd.add(seen.pdd_ms);
        if seen.answered_at.is_some() {
            sums.answered += 1;
            sums.pressed += u64::from(seen.keys.is_some());
            sums.duration.add(seen.duration_ms);
        }
    }

    /// A line for each trunk or carrier and channel.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let line = |((via, channel), sums): (&(String, String), &Sums)| {
            let calls = channel == "voice";
            let share = |part, whole| if calls { percent(part, whole) } else { None };
            let cost =
                sums.cost.iter().map(|(currency, sum)| (currency.to_string(), sum.to_string()));
            Line {
                via: via.clone(),
                channel: channel.clone(),
                attempts: sums.attempts,
                placed: sums.placed,
                answered: sums.answered,
                asr: share(sums.answered, sums.placed),
                ner: share(sums.effective, sums.placed),
                pdd_ms: sums.pdd.value(),
                duration_ms: sums.duration.value(),
                pressed: share(sums.pressed, sums.answered),
                approved: sums.approved,
                cost: cost.collect(),
            }
        };
        self.0.iter().map(line).collect()
    }
}

impl Seen {
    /// Whether the network did its part: what happened then was the called side's doing.
    fn reached(&self) -> bool {
        let by_callee = matches!(self.cause.as_deref(), Some("busy" | "no_answer" | "rejected"));
        let taken_back = self.ringing_at.is_some()
            && matches!(self.cause.as_deref(), Some("canceled_by_caller" | "expired"));
        self.answered_at.is_some() || by_callee || taken_back
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
        let time = || Some("2026-11-26T18:00:00.000Z".to_owned());
        Seen {
            via: "a".to_owned(),
            channel: "voice".to_owned(),
            placed_at: time(),
            ringing_at: time().filter(|_| rang),
            answered_at: time().filter(|_| answered),
            pdd_ms: rang.then_some(1_500),
            duration_ms: answered.then_some(7_000),
            cause: cause.map(str::to_owned),
            keys: answered.then(|| "rfc4733".to_owned()),
            cost: Some("0.0130".to_owned()),
            currency: Some("EUR".to_owned()),
            verdict: if answered { "approved" } else { "failed" }.to_owned(),
            withheld: false,
        }
    }

    #[test]
    fn a_network_is_judged_by_whether_it_reaches_the_phone() {
        let mut summary = Summary::default();
        for seen in [
            call(true, true, Some("confirmed")),
            call(true, false, Some("hung_up")),
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
        ] {
            summary.add(seen);
        }
        let lines = summary.lines();
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!((line.attempts, line.placed, line.answered, line.approved), (11, 10, 2, 2));
        assert_eq!((line.asr, line.ner), (Some(20.0), Some(60.0)));
        assert_eq!((line.pdd_ms, line.duration_ms), (Some(1_500), Some(7_000)));
        assert_eq!(line.pressed, Some(100.0));
        assert_eq!(line.cost, BTreeMap::from([("EUR".to_owned(), "0.1430".to_owned())]));
    }

    #[test]
    fn texts_have_no_answer_and_nothing_has_no_share() {
        let mut summary = Summary::default();
        summary.add(Seen { channel: "sms".to_owned(), ..call(false, false, None) });
        summary.add(Seen { placed_at: None, via: "b".to_owned(), ..call(false, false, None) });
        let lines = summary.lines();
        assert_eq!((lines[0].asr, lines[0].ner), (None, None));
        assert_eq!((lines[1].asr, lines[1].ner, lines[1].attempts), (None, None, 1));
        assert_eq!(percent(1, 3), Some(33.3));
    }
}
