//! Figures: how values spread, and how a figure stands to its limit.

use std::time::Duration;

use serde_json::json;

/// How durations spread.
#[derive(Clone, Debug, Default)]
pub(super) struct Spread(Vec<u64>);

impl Spread {
    /// Of these durations, in microseconds.
    pub(super) fn of(micros: impl IntoIterator<Item = u64>) -> Self {
        let mut sorted: Vec<u64> = micros.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }

    /// The smallest value that so many percent of all do not exceed (nearest rank), in
    /// milliseconds; NaN when there is no value.
    pub(super) fn percent(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(rank).map_or(f64::NAN, |micros| millis(*micros))
    }

    /// The largest, in milliseconds.
    pub(super) fn most(&self) -> f64 {
        self.percent(100)
    }
}

/// Microseconds in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "no measurement lasts 2^52 microseconds")]
pub(super) fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// A duration in microseconds.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "nothing is counted up to 2^52 here")]
pub(super) fn number(count: usize) -> f64 {
    count as f64
}

/// One thing that was measured.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// The command that measures it.
    bench: &'static str,
    store: &'static str,
    /// Its name in JSON.
    name: &'static str,
    /// What it is.
    what: String,
    value: f64,
    unit: &'static str,
    limit: Option<Limit>,
}

/// What is good.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// Up to this.
    Most(f64),
    /// From this.
    Least(f64),
}

impl Limit {
    const fn value(self) -> f64 {
        match self {
            Self::Most(limit) | Self::Least(limit) => limit,
        }
    }
}

impl Figure {
    pub(super) fn new(
        bench: &'static str,
        store: &'static str,
        name: &'static str,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> Self {
        Self { bench, store, name, what: what.into(), value, unit, limit: None }
    }

    /// Good up to this.
    pub(super) fn at_most(self, limit: f64) -> Self {
        Self { limit: Some(Limit::Most(limit)), ..self }
    }

    /// Good from this.
    pub(super) fn at_least(self, limit: f64) -> Self {
        Self { limit: Some(Limit::Least(limit)), ..self }
    }

    /// Whether it is within its limit. A value that could not be had is not.
    pub(super) fn is_met(&self) -> bool {
        self.limit.is_none_or(|limit| match limit {
            Limit::Most(limit) => self.value <= limit,
            Limit::Least(limit) => self.value >= limit,
        })
    }

    fn ratio(&self) -> Option<f64> {
        let limit = self.limit.map(Limit::value);
        limit.filter(|limit| *limit > 0.0).map(|limit| self.value / limit)
    }

    /// On one line, as JSON.
    pub(super) fn json(&self) -> String {
        let mut line = json!({
            "bench": self.bench, "store": self.store, "measure": self.name, "what": self.what,
            "value": self.value, "unit": self.unit,
        });
        if let (Some(limit), Some(line)) = (self.limit, line.as_object_mut()) {
            let good = match limit {
                Limit::Most(_) => "at most",
                Limit::Least(_) => "at least",
            };
            line.insert("limit".to_owned(), json!(limit.value()));
            line.insert("good".to_owned(), json!(good));
            line.insert("ratio".to_owned(), json!(self.ratio()));
            line.insert("met".to_owned(), json!(self.is_met()));
        }
        line.to_string()
    }

    /// On one line of a table, under the head.
    pub(super) fn row(&self) -> String {
        let value = format!("{} {}", short(self.value), self.unit);
        let limit = self.limit.map_or(String::new(), |limit| match limit {
            Limit::Most(limit) => short(limit),
            Limit::Least(limit) => format!(">={}", short(limit)),
        });
        let ratio = self.ratio().map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let judged = match self.limit {
            Some(_) if self.is_met() => "ok",
            Some(_) => "MISSED",
            None => "",
        };
        let row = format!(
            "{:<7}{:<46}{value:>14}{limit:>9}{ratio:>8}  {judged}",
            self.store,
            self.what.as_str()
        );
        row.trim_end().to_owned()
    }
}

/// The first line of a table.
pub(super) fn head() -> String {
    format!("{:<7}{:<46}{:>14}{:>9}{:>8}", "store", "measure", "figure", "limit", "ratio")
}

fn short(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1_000.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_by_nearest_rank() {
        let spread = Spread::of((1..=200).rev().map(|n| n * 1_000));
        assert_eq!((spread.percent(50), spread.percent(99), spread.most()), (100.0, 198.0, 200.0));
        assert!(Spread::default().percent(99).is_nan());
    }

    #[test]
    fn a_figure_is_judged_by_its_limit_and_nothing_is_not_good() {
        let bare = |value| Figure::new("calls", "disk", "x", "X", value, "ms");
        let figure = |value: f64| bare(value).at_most(5.0);
        assert!(figure(5.0).is_met() && !figure(5.1).is_met() && !figure(f64::NAN).is_met());
        assert!(figure(10.0).row().ends_with("2.00  MISSED"));
        assert!(figure(10.0).json().contains("\"ratio\":2.0"));
        let least = |value: f64| bare(value).at_least(5.0);
        assert!(least(5.0).is_met() && !least(4.9).is_met() && !least(f64::NAN).is_met());
        assert!(least(10.0).row().ends_with(">=5    2.00  ok"), "{}", least(10.0).row());
    }
}
