//! A load: things begun at a rate, each by a customer of its own, and what came of them.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use super::client::{Client, Outcome};
use super::farm::Farm;
use super::figures::Spread;
use super::phone::Heard;

/// Area codes; with 555 and four digits they make numbers that nobody has.
const AREAS: [&str; 24] = [
    "202", "212", "213", "305", "312", "415", "617", "702", "303", "404", "503", "512", "602",
    "612", "703", "704", "713", "714", "801", "813", "816", "818", "901", "916",
];

/// How long a phone may be waited for after the last verdict: thanks are said, then the gateway
/// hangs up.
const PARTING: Duration = Duration::from_secs(15);

/// How many calls, and how fast.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// How many.
    pub(super) calls: usize,
    /// So many begin in a second.
    pub(super) rate: f64,
    /// No more than this at once.
    pub(super) most: usize,
}

/// What came of a load.
pub(super) struct Done {
    /// As the customers saw it.
    pub(super) outcomes: Vec<Outcome>,
    /// As the phones saw it.
    pub(super) phones: Vec<Heard>,
    /// How late the farm itself was.
    pub(super) farm_late: Spread,
}

impl Load {
    /// How long it takes until all have begun.
    pub(super) fn ramp(&self) -> Duration {
        Duration::from_secs_f64(super::figures::number(self.calls) / self.rate)
    }

    /// Places the calls; `settled` is told how many are, each time that one more is.
    pub(super) async fn run(
        self,
        client: Rc<Client>,
        farm: &Farm,
        settled: impl FnMut(usize),
    ) -> Done {
        // What the farm saw of an earlier load.
        farm.reports().for_each(drop);
        drop(farm.late());
        let call = |index| {
            let (client, number) = (Rc::clone(&client), number(index));
            async move { client.verify(number).await }
        };
        let outcomes = paced(self, call, settled).await;
        let mut phones: Vec<Heard> = farm.reports().collect();
        let rest = async {
            while phones.len() < outcomes.len() {
                sleep(Duration::from_millis(20)).await;
                phones.extend(farm.reports());
            }
        };
        // Whoever was never called, or never hung up on, reports nothing.
        let _ = timeout(PARTING, rest).await;
        Done { outcomes, phones, farm_late: Spread::of(farm.late()) }
    }
}

/// Begins things at a rate, whatever became of those before, and gathers what they come to;
/// `settled` is told how many have, each time that one more has.
pub(super) async fn paced<F>(
    load: Load,
    mut begin: impl FnMut(usize) -> F,
    mut settled: impl FnMut(usize),
) -> Vec<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let Load { calls, rate, most } = load;
    let (mut begun, mut outcomes) = (0, Vec::with_capacity(calls));
    let all = async {
        let mut running = JoinSet::new();
        let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        loop {
            tokio::select! {
                _ = pace.tick(), if begun < calls && running.len() < most => {
                    running.spawn_local(begin(begun));
                    begun += 1;
                }
                Some(done) = running.join_next() => {
                    outcomes.extend(done.ok());
                    settled(outcomes.len());
                }
                else => return outcomes,
            }
        }
    };
    LocalSet::new().run_until(all).await
}

impl Done {
    /// How many were approved because `#` was pressed.
    pub(super) fn approved(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.is_approved()).count()
    }

    /// What the others ended with, and how often.
    pub(super) fn otherwise(&self) -> HashMap<&str, usize> {
        let mut counted = HashMap::new();
        for outcome in self.outcomes.iter().filter(|outcome| !outcome.is_approved()) {
            *counted.entry(outcome.verdict.as_str()).or_default() += 1;
        }
        counted
    }
}

/// The number of a call or text.
pub(super) fn number(index: usize) -> String {
    let area = AREAS.get(index / 10_000 % AREAS.len()).copied().unwrap_or_default();
    format!("+1{area}555{:04}", index % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::number::PhoneNumber;

    #[test]
    fn numbers_are_valid_and_differ() {
        assert_eq!(number(0), "+12025550000");
        assert_eq!(number(79_999), "+17025559999");
        for index in [0, 9_999, 10_000, 79_999, 160_000, 239_999] {
            assert!(number(index).parse::<PhoneNumber>().is_ok(), "{index}");
        }
    }
}
