//! Whether a trunk can be used now: what its OPTIONS are answered, and what becomes of its calls.
//!
//! A trunk has hops (the servers that RFC 3263 found). Each is up or down by its OPTIONS; the trunk as a
//! whole is left alone after too many failures of calls in a row (a circuit breaker), and for as long as
//! it asked for ([`Retry-After`](https://www.rfc-editor.org/rfc/rfc3261#section-21.5.4)). What nobody
//! has asked yet counts as up.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::hop::Hop;
use crate::ambient::Timestamp;

/// So many OPTIONS in a row without a good answer, and a hop is down.
const DOWN_AFTER: u8 = 2;

/// So many good answers in a row, and it is up again.
const UP_AFTER: u8 = 3;

/// So many calls in a row fail by the trunk's own doing within [`WINDOW`], and it is left alone.
const FAILURES: usize = 5;

/// See [`FAILURES`].
const WINDOW: Duration = Duration::from_secs(30);

/// How long it is left alone before one call may try it.
const OPEN: Duration = Duration::from_secs(10);

/// After so long a trial of which nothing was heard is forgotten.
const TRIAL: Duration = Duration::from_secs(120);

/// The longest pause that is granted: a slip of a carrier must not take it away for days.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// Something that tells of a trunk's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// OPTIONS to this hop had this end.
    Probed(Hop, Probed),
    /// A call was begun.
    Begun,
    /// It had this end, or first sign.
    Called(Called),
}

/// What became of OPTIONS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It was answered.
    Answered {
        /// 200 to 699.
        status: u16,
        /// Retry-After, in seconds.
        retry_after: Option<u32>,
    },
    /// It was not.
    Silent,
    /// It could not be delivered.
    Unreachable,
}

impl Probed {
    /// Whether the answer shows that calls can be carried. Any does (a 404, a 405, even a 401) but those
    /// by which a server says that it cannot work now, or cannot reach who can.
    #[must_use]
    pub fn is_good(self) -> bool {
        match self {
            Self::Answered { status, .. } => !matches!(status, 408 | 502 | 503 | 504),
            Self::Silent | Self::Unreachable => false,
        }
    }
}

/// What became of a call, as far as it tells of the trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// It rang, was answered, or was refused for a reason of the callee's.
    Carried,
    /// The trunk failed.
    Failed,
    /// The trunk asked to be left alone for so many seconds (503 with Retry-After).
    Paused(u32),
    /// Nothing was learned.
    Unknown,
}

/// Whether a trunk can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usable {
    /// It can.
    Yes,
    /// It cannot, or had better not.
    No {
        /// Why.
        because: Because,
        /// Until when, where that is known.
        until: Option<Timestamp>,
    },
}

/// Why a trunk is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// It asked for it.
    Paused {
        /// Until when.
        until: Timestamp,
        /// The Retry-After, in seconds.
        seconds: u32,
    },
    /// Its OPTIONS are not answered.
    Silent {
        /// Since when.
        since: Timestamp,
    },
    /// Its OPTIONS cannot be delivered.
    Unreachable {
        /// Since when.
        since: Timestamp,
    },
    /// It answers OPTIONS by saying that it cannot work.
    Failing {
        /// With this status.
        status: u16,
        /// Since when.
        since: Timestamp,
    },
    /// Its calls fail.
    Open {
        /// When one call may try it.
        until: Timestamp,
    },
    /// Its calls failed, and one tries it just now.
    Trial,
}

impl Because {
    /// Whether nothing may be sent there, not even as a last resort.
    #[must_use]
    pub fn is_pause(self) -> bool {
        match self {
            Self::Paused { .. } => true,
            Self::Silent { .. }
            | Self::Unreachable { .. }
            | Self::Failing { .. }
            | Self::Open { .. }
            | Self::Trial => false,
        }
    }

    /// In one word: for metrics and lists.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused { .. } => "paused",
            Self::Silent { .. } | Self::Unreachable { .. } | Self::Failing { .. } => "down",
            Self::Open { .. } | Self::Trial => "open",
        }
    }
}

impl fmt::Display for Because {
    /// For people, as what follows the trunk's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused { until, seconds } => {
                let until = clock(*until);
                write!(f, "asked for a pause until {until} (503, Retry-After: {seconds})")
            }
            Self::Silent { since } => {
                write!(f, "has not answered OPTIONS since {}", clock(*since))
            }
            Self::Unreachable { since } => {
                write!(f, "cannot be reached since {}", clock(*since))
            }
            Self::Failing { status, since } => {
                write!(f, "answers OPTIONS with {status} since {}", clock(*since))
            }
            Self::Open { until } => {
                let window = WINDOW.as_secs();
                write!(
                    f,
                    "let {FAILURES} calls fail in {window} s: it is left alone until {}",
                    clock(*until)
                )
            }
            Self::Trial => f.write_str("let calls fail, and is being tried by another call"),
        }
    }
}

/// The time of day, in UTC.
fn clock(at: Timestamp) -> String {
    at.to_rfc3339().get(11..19).unwrap_or_default().to_owned()
}

/// The health of one trunk.
#[derive(Clone, Debug, Default)]
pub struct Health {
    hops: Vec<(Hop, Pulse)>,
    pause: Option<Pause>,
    breaker: Breaker,
}

/// What is known of one hop.
#[derive(Clone, Copy, Debug, Default)]
struct Pulse {
    state: State,
    /// Answers in a row that speak against the state.
    against: u8,
    /// The first of the failures that go on.
    failing_since: Option<Timestamp>,
    pause: Option<Pause>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    Up,
    Down(Because),
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Timestamp,
    seconds: u32,
}

/// The circuit breaker on live calls.
#[derive(Clone, Debug, Default)]
struct Breaker {
    failures: VecDeque<Timestamp>,
    open_until: Option<Timestamp>,
    trial: Option<Timestamp>,
}

impl Health {
    /// Of these hops from now on; what is known of those that stay is kept.
    pub fn set_hops(&mut self, hops: &[Hop]) {
        let known = std::mem::take(&mut self.hops);
        let pulse =
            |hop| known.iter().find(|it| it.0 == hop).map_or_else(Pulse::default, |it| it.1);
        self.hops = hops.iter().map(|&hop| (hop, pulse(hop))).collect();
    }

    /// Takes what happened.
    pub fn on(&mut self, now: Timestamp, event: Event) {
        match event {
            Event::Probed(hop, probed) => {
                if let Some((_, pulse)) = self.hops.iter_mut().find(|it| it.0 == hop) {
                    pulse.on(now, probed);
                }
            }
            Event::Begun => self.breaker.begun(now),
            Event::Called(called) => self.called(now, called),
        }
    }

    /// Whether it can be used.
    #[must_use]
    pub fn usable(&self, now: Timestamp) -> Usable {
        if let Some(pause) = paused(self.pause, now) {
            return no(pause.because());
        }
        if let Some(because) = self.breaker.because(now) {
            return no(because);
        }
        let mut reasons = self.hops.iter().map(|(_, pulse)| pulse.because(now));
        let Some(first) = reasons.next() else { return Usable::Yes };
        // Of all hops the one that may be tried soonest speaks for them: one that is down before one
        // that asked for a pause, and of the pauses the shortest.
        let worst = reasons.fold(first, |one, other| match (one, other) {
            (Some(one), Some(other)) => Some(milder(one, other)),
            (None, _) | (_, None) => None,
        });
        worst.map_or(Usable::Yes, no)
    }

    /// Whether it was ever told how it is.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.hops.iter().any(|(_, pulse)| pulse.state != State::Unknown)
    }

    /// Of these hops those that may be tried, in the order in which to try them: the ones that are up,
    /// then those that are down.
    #[must_use]
    pub fn order(&self, now: Timestamp, hops: Vec<Hop>) -> Vec<Hop> {
        let because = |hop: &Hop| {
            let known = self.hops.iter().find(|it| it.0 == *hop);
            known.and_then(|(_, pulse)| pulse.because(now))
        };
        let (up, rest): (Vec<_>, Vec<_>) = hops.into_iter().partition(|hop| because(hop).is_none());
        let down = rest.into_iter().filter(|hop| because(hop).is_some_and(|it| !it.is_pause()));
        up.into_iter().chain(down).collect()
    }

    /// Until when nothing may be sent to this hop.
    #[must_use]
    pub fn paused_until(&self, now: Timestamp, hop: Hop) -> Option<Timestamp> {
        let own = self.hops.iter().find(|it| it.0 == hop).and_then(|it| it.1.pause);
        [self.pause, own].into_iter().filter_map(|it| paused(it, now)).map(|it| it.until).max()
    }

    /// When it will be otherwise without anything happening.
    #[must_use]
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let pauses = self.hops.iter().map(|(_, pulse)| pulse.pause).chain([self.pause]);
        let pauses = pauses.filter_map(|it| paused(it, now)).map(|it| it.until);
        pauses.chain(self.breaker.open_until).filter(|at| *at > now).min()
    }

    fn called(&mut self, now: Timestamp, called: Called) {
        match called {
            Called::Carried => {
                self.breaker = Breaker::default();
                // A call that was carried shows more than OPTIONS that are not answered.
                for (_, pulse) in &mut self.hops {
                    pulse.failing_since = None;
                    if pulse.state != State::Up {
                        (pulse.state, pulse.against) = (State::Unknown, 0);
                    }
                }
            }
            Called::Failed => self.breaker.failed(now),
            Called::Paused(seconds) => {
                self.pause = Some(Pause::of(now, seconds));
                self.breaker.trial = None;
            }
            Called::Unknown => self.breaker.trial = None,
        }
    }
}

impl Pulse {
    fn on(&mut self, now: Timestamp, probed: Probed) {
        if probed.is_good() {
            self.failing_since = None;
            return match self.state {
                State::Unknown | State::Up => (self.state, self.against) = (State::Up, 0),
                State::Down(_) if self.against + 1 >= UP_AFTER => {
                    (self.state, self.against) = (State::Up, 0);
                }
                State::Down(_) => self.against += 1,
            };
        }
        let since = *self.failing_since.get_or_insert(now);
        let because = match probed {
            Probed::Answered { status, retry_after } => {
                // RFC 3261 § 21.5.4: "A client (proxy or UAC) receiving a 503 (Service Unavailable)
                // SHOULD attempt to forward the request to an alternate server. It SHOULD NOT forward
                // any other requests to that server for the duration specified in the Retry-After
                // header field, if present."
                if status == 503 {
                    self.pause = retry_after.map(|seconds| Pause::of(now, seconds));
                }
                Because::Failing { status, since }
            }
            Probed::Silent => Because::Silent { since },
            Probed::Unreachable => Because::Unreachable { since },
        };
        match self.state {
            State::Down(_) => (self.state, self.against) = (State::Down(because), 0),
            State::Unknown | State::Up if self.against + 1 >= DOWN_AFTER => {
                (self.state, self.against) = (State::Down(because), 0);
            }
            State::Unknown | State::Up => self.against += 1,
        }
    }

    fn because(&self, now: Timestamp) -> Option<Because> {
        let pause = paused(self.pause, now).map(Pause::because);
        pause.or(match self.state {
            State::Down(because) => Some(because),
            State::Unknown | State::Up => None,
        })
    }
}

impl Pause {
    fn of(now: Timestamp, seconds: u32) -> Self {
        let span = Duration::from_secs(u64::from(seconds)).min(LONGEST_PAUSE);
        Self { until: now + span, seconds }
    }

    fn because(self) -> Because {
        Because::Paused { until: self.until, seconds: self.seconds }
    }
}

impl Breaker {
    fn begun(&mut self, now: Timestamp) {
        if self.open_until.is_some() {
            self.trial = Some(now);
        }
    }

    fn failed(&mut self, now: Timestamp) {
        self.trial = None;
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|at| now.since(*at) > WINDOW) {
            self.failures.pop_front();
        }
        // A trial that fails opens it anew.
        if self.open_until.is_some() || self.failures.len() >= FAILURES {
            self.open_until = Some(now + OPEN);
            self.failures.clear();
        }
    }

    fn because(&self, now: Timestamp) -> Option<Because> {
        let until = self.open_until?;
        let tried = self.trial.is_some_and(|since| now.since(since) < TRIAL);
        match now < until {
            true => Some(Because::Open { until }),
            false => tried.then_some(Because::Trial),
        }
    }
}

fn paused(pause: Option<Pause>, now: Timestamp) -> Option<Pause> {
    pause.filter(|pause| now < pause.until)
}

fn milder(one: Because, other: Because) -> Because {
    match (one, other) {
        (Because::Paused { until: a, .. }, Because::Paused { until: b, .. }) => {
            if a <= b {
                one
            } else {
                other
            }
        }
        (Because::Paused { .. }, _) => other,
        (_, _) => one,
    }
}

fn no(because: Because) -> Usable {
    let until = match because {
        Because::Paused { until, .. } | Because::Open { until } => Some(until),
        Because::Silent { .. }
        | Because::Unreachable { .. }
        | Because::Failing { .. }
        | Because::Trial => None,
    };
    Usable::No { because, until }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_546_183);
    const GOOD: Probed = Probed::Answered { status: 200, retry_after: None };

    fn at(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    fn hop(last: u8) -> Hop {
        Hop::udp(([192, 0, 2, last], 5060).into())
    }

    fn health(hops: &[Hop]) -> Health {
        let mut health = Health::default();
        health.set_hops(hops);
        health
    }

    fn words(health: &Health, now: Timestamp) -> Option<String> {
        match health.usable(now) {
            Usable::Yes => None,
            Usable::No { because, .. } => Some(because.to_string()),
        }
    }

    #[test]
    fn down_after_two_and_up_after_three() {
        let mut health = health(&[hop(1)]);
        assert_eq!(health.usable(NOW), Usable::Yes, "what nobody asked yet counts as up");
        let mut seen = Vec::new();
        for (secs, probed) in
            [Probed::Silent, Probed::Silent, GOOD, GOOD, Probed::Silent, GOOD, GOOD, GOOD]
                .iter()
                .zip(0..)
                .map(|(probed, secs)| (secs, *probed))
        {
            health.on(at(secs), Event::Probed(hop(1), probed));
            seen.push(health.usable(at(secs)) == Usable::Yes);
        }
        assert_eq!(seen, [true, false, false, false, false, false, false, true]);
    }

    #[test]
    fn the_words_say_since_when() {
        let mut health = health(&[hop(1)]);
        for secs in [0, 10, 20] {
            health.on(at(secs), Event::Probed(hop(1), Probed::Silent));
        }
        let said = words(&health, at(20)).unwrap();
        assert_eq!(said, "has not answered OPTIONS since 18:49:43");
        health.on(at(30), Event::Probed(hop(1), Probed::Unreachable));
        assert_eq!(words(&health, at(30)).unwrap(), "cannot be reached since 18:49:43");
    }

    #[test]
    fn any_answer_proves_life_but_those_of_who_cannot_work() {
        for (status, lives) in [
            (200, true),
            (401, true),
            (404, true),
            (405, true),
            (500, true),
            (483, true),
            (408, false),
            (502, false),
            (503, false),
            (504, false),
        ] {
            let mut health = health(&[hop(1)]);
            for secs in 0..2 {
                let probed = Probed::Answered { status, retry_after: None };
                health.on(at(secs), Event::Probed(hop(1), probed));
            }
            assert_eq!(health.usable(at(2)) == Usable::Yes, lives, "{status}");
        }
    }

    #[test]
    fn retry_after_is_kept_to_the_second() {
        let mut health = health(&[hop(1)]);
        health.on(NOW, Event::Called(Called::Paused(30)));
        let said = words(&health, NOW).unwrap();
        assert_eq!(said, "asked for a pause until 18:50:13 (503, Retry-After: 30)");
        let last = at(30) - Duration::from_micros(1);
        let Usable::No { because, until } = health.usable(last) else { panic!("still paused") };
        assert!(because.is_pause() && until == Some(at(30)));
        assert_eq!(health.deadline(last), Some(at(30)));
        assert_eq!(health.usable(at(30)), Usable::Yes);
        assert_eq!(health.order(last, vec![hop(1)]), [hop(1)], "it is the trunk that is paused");
    }

    #[test]
    fn a_pause_of_one_hop_leaves_the_others() {
        let mut health = health(&[hop(1), hop(2), hop(3)]);
        let busy = Probed::Answered { status: 503, retry_after: Some(5) };
        health.on(NOW, Event::Probed(hop(1), busy));
        for secs in 0..2 {
            health.on(at(secs), Event::Probed(hop(2), Probed::Silent));
        }
        assert_eq!(health.usable(at(1)), Usable::Yes);
        let order = health.order(at(1), vec![hop(1), hop(2), hop(3)]);
        assert_eq!(order, [hop(3), hop(2)], "up, then down, and never the paused one");
        assert_eq!(health.paused_until(at(1), hop(1)), Some(at(5)));
        health.set_hops(&[hop(1)]);
        assert!(matches!(health.usable(at(1)), Usable::No { because, .. } if because.is_pause()));
        assert_eq!(health.usable(at(5)), Usable::Yes, "one failure is not yet down");
    }

    #[test]
    fn a_pause_is_an_hour_at_most() {
        let mut health = health(&[hop(1)]);
        health.on(NOW, Event::Called(Called::Paused(u32::MAX)));
        assert_eq!(health.usable(at(3_600)), Usable::Yes);
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_one_trial_closes_it() {
        let mut health = health(&[hop(1)]);
        for secs in 0..4 {
            health.on(at(secs), Event::Called(Called::Failed));
        }
        assert_eq!(health.usable(at(4)), Usable::Yes);
        health.on(at(4), Event::Called(Called::Failed));
        let said = words(&health, at(5)).unwrap();
        assert_eq!(said, "let 5 calls fail in 30 s: it is left alone until 18:49:57");
        assert_eq!(health.deadline(at(5)), Some(at(14)));
        assert_eq!(health.usable(at(14)), Usable::Yes);
        health.on(at(14), Event::Begun);
        assert!(matches!(health.usable(at(15)), Usable::No { because: Because::Trial, .. }));
        health.on(at(16), Event::Called(Called::Failed));
        assert!(matches!(health.usable(at(25)), Usable::No { .. }), "open anew");
        health.on(at(26), Event::Begun);
        health.on(at(27), Event::Called(Called::Carried));
        assert_eq!(health.usable(at(27)), Usable::Yes);
        health.on(at(28), Event::Called(Called::Failed));
        assert_eq!(health.usable(at(28)), Usable::Yes, "it counts anew");
    }

    #[test]
    fn a_call_that_was_carried_or_time_ends_the_row() {
        let mut health = health(&[hop(1)]);
        for secs in 0..4 {
            health.on(at(secs), Event::Called(Called::Failed));
        }
        health.on(at(4), Event::Called(Called::Carried));
        health.on(at(5), Event::Called(Called::Failed));
        assert_eq!(health.usable(at(5)), Usable::Yes);
        for secs in [40, 80, 120, 160, 200] {
            health.on(at(secs), Event::Called(Called::Failed));
        }
        assert_eq!(health.usable(at(200)), Usable::Yes);
    }

    #[test]
    fn a_trial_of_which_nothing_comes_does_not_hold_the_trunk() {
        let mut health = health(&[hop(1)]);
        (0..5).for_each(|secs| health.on(at(secs), Event::Called(Called::Failed)));
        health.on(at(20), Event::Begun);
        health.on(at(21), Event::Called(Called::Unknown));
        assert_eq!(health.usable(at(21)), Usable::Yes);
        health.on(at(22), Event::Begun);
        assert_eq!(health.usable(at(22) + TRIAL), Usable::Yes);
    }

    #[test]
    fn a_carried_call_outweighs_options_that_are_not_answered() {
        let mut health = health(&[hop(1)]);
        (0..2).for_each(|secs| health.on(at(secs), Event::Probed(hop(1), Probed::Silent)));
        assert!(matches!(health.usable(at(2)), Usable::No { .. }));
        health.on(at(3), Event::Called(Called::Carried));
        assert_eq!(health.usable(at(3)), Usable::Yes);
    }
}
