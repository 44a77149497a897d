//! What was heard, against what was pressed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::figures::Spread;
use super::set::{Case, Expect, Truth};

/// How long after the end of a key its report may come: 70 ms, in samples.
const GRACE: usize = 560;

/// A key that was heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) key: char,
    /// Where the audio was when it was reported.
    pub(super) sample: usize,
}

/// What is counted, by suite.
#[derive(Clone, Debug, Default)]
pub(super) struct Score {
    suites: BTreeMap<String, Counts>,
    heard: BTreeMap<char, usize>,
    has_truth: bool,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    required: usize,
    found: usize,
    wrong: usize,
    never: usize,
    never_failed: usize,
    lossy: usize,
    /// Of those found, from onset to report, in microseconds.
    latencies: Vec<u64>,
    seconds: f64,
}

/// What came of a suite, or of all.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Keys that must be found.
    pub(super) required: usize,
    /// Of these, those found.
    pub(super) found: usize,
    /// Keys heard that were not pressed.
    pub(super) wrong: usize,
    /// Cases in which nothing is to be heard.
    pub(super) never: usize,
    /// Of these, those in which something was.
    pub(super) never_failed: usize,
    /// Cases with lost packets.
    pub(super) lossy: usize,
    /// From onset to report.
    pub(super) latency: Spread,
    /// How long the audio is.
    pub(super) seconds: f64,
}

impl Counts {
    fn row(&self) -> Row {
        let Self { required, found, wrong, never, never_failed, lossy, ref latencies, seconds } =
            *self;
        let latency = Spread::of(latencies.iter().copied());
        Row { required, found, wrong, never, never_failed, lossy, latency, seconds }
    }
}

impl Score {
    /// Counts what was heard in a case.
    pub(super) fn add(&mut self, case: &Case, seconds: f64, hits: &[Hit]) {
        self.has_truth |= case.expect != Expect::Speech;
        for hit in hits {
            *self.heard.entry(hit.key).or_default() += 1;
        }
        let counts = self.suites.entry(case.suite.clone()).or_default();
        counts.seconds += seconds;
        match case.expect {
            Expect::Must => {
                let found = latencies(&case.presses, hits);
                counts.required += case.presses.len();
                counts.found += found.len();
                counts.wrong += hits.len() - found.len();
                counts.latencies.extend(found);
            }
            Expect::Never => {
                counts.never += 1;
                counts.never_failed += usize::from(!hits.is_empty());
            }
            // Whether a press that a lost packet interrupts is heard is not judged; that it is heard once is.
            Expect::Info if case.tells_losses() => {
                counts.lossy += 1;
                counts.wrong += hits.len() - latencies(&case.presses, hits).len();
            }
            Expect::Info => {}
            Expect::Speech => counts.wrong += hits.len(),
        }
    }

    /// Whether it is known what was to be heard.
    pub(super) fn has_truth(&self) -> bool {
        self.has_truth
    }

    /// How often each key was heard.
    pub(super) fn heard(&self) -> &BTreeMap<char, usize> {
        &self.heard
    }

    /// Each suite that is judged.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, Row)> {
        self.suites.iter().map(|(suite, counts)| (suite.as_str(), counts.row()))
    }

    /// All suites together.
    pub(super) fn all(&self) -> Row {
        let mut all = Counts::default();
        for counts in self.suites.values() {
            all.required += counts.required;
            all.found += counts.found;
            all.wrong += counts.wrong;
            all.never += counts.never;
            all.never_failed += counts.never_failed;
            all.lossy += counts.lossy;
            all.latencies.extend(&counts.latencies);
            all.seconds += counts.seconds;
        }
        all.row()
    }
}

/// Of each press that was found, how long it took to be reported, in microseconds. A press is found
/// once: by the first hit of its key from its onset to a little after its end.
fn latencies(presses: &[Truth], hits: &[Hit]) -> Vec<u64> {
    let mut left = presses.to_vec();
    let find = |hit: &Hit| {
        let at = left.iter().position(|press| {
            press.key == hit.key && (press.onset..=press.end + GRACE).contains(&hit.sample)
        })?;
        Some((hit.sample - left.remove(at).onset) as u64 * 125)
    };
    hits.iter().filter_map(find).collect()
}

/// The rows of ours, and of the detector beside, suite by suite.
pub(super) fn table(ours: &Score, theirs: Option<&Score>) -> String {
    let mut table = format!("{:<12}{:>9}  {HEAD}", "suite", "required");
    if theirs.is_some() {
        let _ = write!(table, "   beside: {HEAD}");
    }
    table.push('\n');
    let theirs: Option<BTreeMap<&str, Row>> = theirs.map(|score| rows(score).collect());
    for (suite, row) in rows(ours) {
        let _ = write!(table, "{suite:<12}{:>9}  {}", row.required, cells(&row));
        if let Some(theirs) = theirs.as_ref().and_then(|rows| rows.get(suite)) {
            let _ = write!(table, "           {}", cells(theirs));
        }
        table.push('\n');
    }
    table
}

const HEAD: &str = "   found   missed  false  never failed  p99 ms";

/// What is judged, and the sum of it.
fn rows(score: &Score) -> impl Iterator<Item = (&str, Row)> {
    let is_judged = |row: &Row| row.required + row.never + row.lossy > 0;
    score.rows().filter(move |(_, row)| is_judged(row)).chain([("all", score.all())])
}

fn cells(row: &Row) -> String {
    let missed = row.required - row.found;
    let never = format!("{} of {}", row.never_failed, row.never);
    let latency = match row.latency.percent(99) {
        latency if latency.is_nan() => String::new(),
        latency => format!("{latency:.1}"),
    };
    format!("{:>8}{missed:>9}{:>7}{never:>14}{latency:>8}", row.found, row.wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESS: Truth = Truth { key: '5', onset: 800, end: 1_200 };

    #[test]
    fn a_press_is_found_once_by_its_key_and_in_its_time() {
        let found = |hits: &[(char, usize)]| {
            let hits: Vec<Hit> = hits.iter().map(|&(key, sample)| Hit { key, sample }).collect();
            latencies(&[PRESS], &hits)
        };
        assert_eq!(found(&[('5', 1_080)]), [35_000]);
        assert_eq!(found(&[('5', 1_080), ('5', 1_100)]), [35_000], "it is doubled");
        assert_eq!(found(&[('5', 1_760)]), [120_000]);
        let none: [u64; 0] = [];
        assert_eq!(found(&[('5', 799)]), none);
        assert_eq!(found(&[('5', 1_761)]), none);
        assert_eq!(found(&[('6', 1_080)]), none);
    }
}
