//! When an event is tried again, and when an endpoint is given up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ambient::Timestamp;

/// The pauses between tries, in seconds: dense at the front, because a verdict goes stale in
/// minutes; a day in all.
const PAUSES: [u64; 10] = [1, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 36_000];

/// The longest that a receiver may ask to be left alone.
const LONGEST_WISH: Duration = Duration::from_secs(3_600);

/// How long nothing but failures may come from an endpoint.
const PATIENCE: Duration = Duration::from_secs(5 * 24 * 3_600);

/// How long to wait before try number `tries` + 2, give or take a fifth by `draw`; longer where the
/// receiver asked for it (`Retry-After`, RFC 9110 § 10.2.3). `None`: no more tries.
pub(in crate::gateway) fn pause(tries: u32, wish: Option<Duration>, draw: u32) -> Option<Duration> {
    let index = usize::try_from(tries).ok()?;
    let pause = Duration::from_secs(PAUSES.get(index).copied()?);
    let share = f64::from(draw) / f64::from(u32::MAX);
    let pause = pause.mul_f64(0.4f64.mul_add(share, 0.8));
    let wish = wish.unwrap_or_default().min(LONGEST_WISH);
    Some(pause.max(wish))
}

/// What is known of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::gateway) struct Health {
    /// When it failed first without having taken anything since.
    pub(in crate::gateway) failing_since: Option<Timestamp>,
    /// Since when nothing is sent there, and why.
    pub(in crate::gateway) off: Option<Off>,
}

/// Nothing is sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::gateway) struct Off {
    /// From then on.
    pub(in crate::gateway) since: Timestamp,
    /// Why.
    pub(in crate::gateway) why: Why,
}

/// Why nothing is sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::gateway) enum Why {
    /// It answered 410 Gone.
    Gone,
    /// Five days of nothing but failures.
    Failing,
}

impl Why {
    /// Its word.
    #[must_use]
    pub(in crate::gateway) const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

/// What was learned of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum News {
    /// It took an event.
    Taken,
    /// It did not.
    Failed,
    /// It wants no more.
    Gone,
    /// An operator switches it on.
    On,
}

impl Health {
    /// As it is after that.
    #[must_use]
    pub(in crate::gateway) fn after(self, now: Timestamp, news: News) -> Self {
        let off = |why| Some(Off { since: now, why });
        match (news, self.off) {
            (News::On, _) => Self::default(),
            // What was under way when it was switched off changes nothing more.
            (News::Taken | News::Failed | News::Gone, Some(_)) => self,
            (News::Taken, None) => Self::default(),
            (News::Gone, None) => Self { off: off(Why::Gone), ..self },
            (News::Failed, None) => {
                let since = self.failing_since.unwrap_or(now);
                let is_over = now.since(since) >= PATIENCE;
                Self {
                    failing_since: Some(since),
                    off: is_over.then_some(Why::Failing).and_then(off),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    #[test]
    fn tries_grow_rarer_and_end() {
        let middle = |tries| pause(tries, None, u32::MAX / 2).map(|it| it.as_secs_f64().round());
        let all: Vec<_> = (0..).map_while(middle).collect();
        let wanted = [1, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 36_000];
        assert_eq!(all, wanted.map(f64::from));
        assert_eq!(pause(0, None, 0), Some(Duration::from_millis(800)));
        assert_eq!(pause(0, None, u32::MAX), Some(Duration::from_millis(1_200)));
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_pause_within_reason() {
        let asked = |seconds| pause(0, Some(Duration::from_secs(seconds)), 0).unwrap();
        assert_eq!(asked(0), Duration::from_millis(800));
        assert_eq!(asked(90), Duration::from_secs(90));
        assert_eq!(asked(u64::MAX), LONGEST_WISH);
        assert_eq!(
            pause(10, Some(Duration::from_secs(90)), 0),
            None,
            "it gets no more tries by it"
        );
    }

    #[test]
    fn an_endpoint_is_switched_off_after_five_days_of_nothing_but_failures() {
        let start = Timestamp::from_secs(1_800_000_000);
        let failing = Health::default().after(start, News::Failed);
        assert_eq!(failing, Health { failing_since: Some(start), off: None });
        let almost = failing.after(start + DAY * 5 - Duration::from_micros(1), News::Failed);
        assert_eq!(almost, failing);
        let over = failing.after(start + DAY * 5, News::Failed);
        assert_eq!(over.off, Some(Off { since: start + DAY * 5, why: Why::Failing }));
        // Late news of what was under way changes nothing; an operator does.
        for news in [News::Taken, News::Failed, News::Gone] {
            assert_eq!(over.after(start + DAY * 6, news), over);
        }
        assert_eq!(over.after(start + DAY * 6, News::On), Health::default());
    }

    #[test]
    fn one_event_that_is_taken_begins_the_five_days_anew() {
        let start = Timestamp::from_secs(1_800_000_000);
        let failing = Health::default().after(start, News::Failed);
        let well = failing.after(start + DAY * 4, News::Taken);
        assert_eq!(well, Health::default());
        assert_eq!(well.after(start + DAY * 5, News::Failed).off, None);
    }

    #[test]
    fn an_endpoint_that_is_gone_is_switched_off_at_once() {
        let start = Timestamp::from_secs(1_800_000_000);
        let gone = Health::default().after(start, News::Gone);
        assert_eq!(gone.off, Some(Off { since: start, why: Why::Gone }));
    }
}
