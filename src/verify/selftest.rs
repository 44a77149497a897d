//! Calls of the gateway to numbers of its own, again and again on every trunk: whether keys come through is known
//! before people miss it.
//!
//! The phone behind such a number answers and presses `#` in one way, its [`Path`]. Time is cut into rounds that begin at
//! multiples of their length, the same for all nodes; in each the paths of a trunk are tried one after the other, and a
//! trunk has one such call at most. A path that fails is tried once more at once: one lost call rings no alarm, and
//! what is broken is known within one round and two calls.
//!
//! A call has a [name](Test::name) that all nodes give it. Whoever begins it first makes it, and the others learn what
//! came of it. Where in its first moments a node begins a round is drawn anew each time: each makes some of the calls,
//! and so each one's own way to the carrier is tried.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Verification;
use super::number::PhoneNumber;
use super::signal::{Status, Verdict};
use crate::ambient::{Entropy, Timestamp};

/// What the tenants begin with for whom such calls are made, before the trunk's name. No configured one can.
const TENANTS: &str = "selftest:";

/// How long such a call's question stands, in seconds: the phone rings, the question is asked, and asked again.
pub const EXPIRES_SECS: u32 = 90;

/// How long a number is left in peace that another call was ringing.
const BUSY: Duration = Duration::from_secs(5);

/// The longest from the beginning of a round to a node's first call; at most a tenth of the round.
const SPREAD: Duration = Duration::from_secs(2);

/// The tenant for whom a trunk is tried.
#[must_use]
pub fn tenant(trunk: &str) -> String {
    format!("{TENANTS}{trunk}")
}

/// Whether a tenant is nobody but a trunk that is tried.
#[must_use]
pub fn is_tenant(name: &str) -> bool {
    name.starts_with(TENANTS)
}

/// How the far side presses the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// Telephone-events in RTP (RFC 4733).
    Rfc4733,
    /// Tones in the audio.
    Inband,
    /// SIP INFO.
    Info,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rfc4733, Self::Inband, Self::Info];

    /// Its word, that of the ways by which a press comes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rfc4733 => "rfc4733",
            Self::Inband => "inband",
            Self::Info => "info",
        }
    }
}

/// A trunk, and the numbers that are called on it: one for each path that is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The trunk's name.
    pub trunk: String,
    /// By which path each one's phone presses.
    pub numbers: Vec<(Path, PhoneNumber)>,
}

/// A call to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// On which trunk.
    pub trunk: String,
    /// How the far side will press.
    pub path: Path,
    /// Whom to call.
    pub number: PhoneNumber,
    /// The number of its round since 1970.
    round: u64,
    /// Whether it is the second try within its round.
    again: bool,
}

impl Test {
    /// Its name among those of its trunk, the same on all nodes.
    #[must_use]
    pub fn name(&self) -> String {
        let again = if self.again { "/again" } else { "" };
        format!("{}/{}{again}", self.path.as_str(), self.round)
    }
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The key was heard.
    Heard {
        /// By which ways: a carrier may make one of another.
        by: Vec<String>,
    },
    /// It was answered, and no key was heard.
    Unheard {
        /// How it ended, in the API's word.
        reason: String,
    },
    /// It was not answered.
    Unreached {
        /// Why, likewise.
        reason: String,
    },
    /// It was not made, as another call was ringing that number.
    Busy,
    /// It was not made, for reasons of our own.
    Unmade {
        /// Which.
        reason: String,
    },
}

impl Outcome {
    /// What a settled verification says.
    #[must_use]
    pub fn of(settled: &Verification) -> Self {
        let last = settled.attempts.last();
        let reason = settled.verdict().map_or("none", |verdict| Verdict::reason(verdict).as_str());
        let reason = reason.to_owned();
        match settled.status() {
            Status::Approved => {
                let press = last.and_then(|last| last.press.as_ref());
                Self::Heard { by: press.map(|press| press.paths.clone()).unwrap_or_default() }
            }
            Status::Pending
            | Status::Denied
            | Status::Expired
            | Status::Failed
            | Status::Canceled => {
                let answered = last.is_some_and(|last| last.answered_at.is_some());
                if answered { Self::Unheard { reason } } else { Self::Unreached { reason } }
            }
        }
    }

    /// Its word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Heard { .. } => "heard",
            Self::Unheard { .. } => "unheard",
            Self::Unreached { .. } => "unreached",
            Self::Busy => "busy",
            Self::Unmade { .. } => "unmade",
        }
    }
}

/// How a path of a trunk stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The trunk.
    pub trunk: String,
    /// How the far side presses.
    pub path: Path,
    /// Whether keys come through, as the last round has shown; `None`: no call has shown it yet.
    pub works: Option<bool>,
    /// What its last call came to: `heard`, `unheard`, `unreached`, or, where it was not made, `busy` or `unmade`;
    /// `None`: there was none.
    pub result: Option<&'static str>,
    /// Why, where no key was heard: the API's word of how the call ended, or a sentence.
    pub reason: Option<String>,
    /// By which ways it was heard.
    pub heard_by: Vec<String>,
    /// When the last call that was made was over (RFC 3339).
    #[serde(serialize_with = "rfc3339")]
    pub at: Option<Timestamp>,
    /// When a key was heard last (RFC 3339).
    #[serde(serialize_with = "rfc3339")]
    pub heard_at: Option<Timestamp>,
}

#[expect(clippy::ref_option, reason = "serde hands it over so")]
fn rfc3339<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::to_rfc3339).serialize(to)
}

/// One trunk.
#[derive(Debug)]
struct State {
    numbers: Vec<(Path, PhoneNumber)>,
    /// When the next round begins here; at once for a trunk that is new.
    next: Option<Timestamp>,
    /// What is left of this round.
    left: VecDeque<Test>,
    /// Until when nothing is called, as a number was busy.
    pause: Option<Timestamp>,
    is_calling: bool,
    standings: BTreeMap<Path, Standing>,
}

/// What is to be called when on all trunks, and how they stand.
#[derive(Debug, Default)]
pub struct Selftests {
    every: Duration,
    trunks: BTreeMap<String, State>,
}

impl Selftests {
    /// What is tried from now on, and how long a round is (at least a second). What was known of the same trunk and
    /// number stays. The paths that are tried no more.
    pub fn set(&mut self, every: Duration, lines: &[Line]) -> Vec<(String, Path)> {
        self.every = every.max(Duration::from_secs(1));
        let mut gone = Vec::new();
        let mut before = std::mem::take(&mut self.trunks);
        for Line { trunk, numbers } in lines.iter().filter(|line| !line.numbers.is_empty()) {
            let kept = before.remove(trunk);
            let state = match kept {
                Some(kept) if kept.numbers == *numbers => kept,
                other => {
                    gone.extend(other.iter().flat_map(|other| paths(trunk, other)));
                    let of = |(path, _): &(Path, _)| (*path, untried(trunk, *path));
                    State {
                        numbers: numbers.clone(),
                        next: None,
                        left: VecDeque::new(),
                        pause: None,
                        is_calling: false,
                        standings: numbers.iter().map(of).collect(),
                    }
                }
            };
            self.trunks.insert(trunk.clone(), state);
        }
        gone.extend(before.iter().flat_map(|(trunk, state)| paths(trunk, state)));
        let remains = |(trunk, path): &(String, Path)| {
            self.trunks.get(trunk).is_some_and(|state| state.standings.contains_key(path))
        };
        gone.retain(|it| !remains(it));
        gone
    }

    /// The calls that are to be made now. Each must be told of when it is [over](Self::over). `entropy` draws where in
    /// its first moments the next round is begun.
    pub fn due(&mut self, now: Timestamp, entropy: &mut Entropy) -> Vec<Test> {
        let every = self.every.as_secs().max(1);
        let round = now.as_secs() / every;
        let spread = SPREAD.min(self.every / 10).as_millis();
        let spread = u64::try_from(spread).unwrap_or(0);
        let mut due = Vec::new();
        for (trunk, state) in &mut self.trunks {
            if state.is_calling {
                continue;
            }
            if state.left.is_empty() && state.next.is_none_or(|next| next <= now) {
                let test = |(path, number): &(Path, PhoneNumber)| Test {
                    trunk: trunk.clone(),
                    path: *path,
                    number: number.clone(),
                    round,
                    again: false,
                };
                state.left.extend(state.numbers.iter().map(test));
                let later = Duration::from_millis(entropy.below(spread + 1));
                state.next = Some(Timestamp::from_secs((round + 1) * every) + later);
            }
            if state.pause.is_some_and(|pause| now < pause) {
                continue;
            }
            if let Some(test) = state.left.pop_front() {
                state.is_calling = true;
                state.pause = None;
                due.push(test);
            }
        }
        due
    }

    /// A call is over, or was not made. How its path stands now; `None` where that is not known before it was tried
    /// once more, or it is tried no more.
    pub fn over(&mut self, now: Timestamp, test: &Test, outcome: &Outcome) -> Option<&Standing> {
        let state = self.trunks.get_mut(&test.trunk)?;
        // Of a trunk whose numbers have changed meanwhile, this tells nothing.
        let is_same = |(path, number): &(Path, _)| *path == test.path && *number == test.number;
        if !state.numbers.iter().any(is_same) {
            return None;
        }
        state.is_calling = false;
        let standing = state.standings.get_mut(&test.path)?;
        let reason = match outcome {
            Outcome::Heard { .. } => None,
            Outcome::Busy if state.next.is_some_and(|next| now < next) => {
                state.left.push_back(test.clone());
                state.pause = Some(now + BUSY);
                return None;
            }
            Outcome::Busy => Some("other calls were ringing its number all the time".to_owned()),
            Outcome::Unheard { .. } | Outcome::Unreached { .. } if !test.again => {
                state.left.push_front(Test { again: true, ..test.clone() });
                return None;
            }
            Outcome::Unheard { reason }
            | Outcome::Unreached { reason }
            | Outcome::Unmade { reason } => Some(reason.clone()),
        };
        standing.works = match outcome {
            Outcome::Heard { .. } => Some(true),
            Outcome::Unheard { .. } | Outcome::Unreached { .. } => Some(false),
            // Nothing is learned of a trunk that nobody was called by.
            Outcome::Busy | Outcome::Unmade { .. } => standing.works,
        };
        standing.result = Some(outcome.as_str());
        standing.reason = reason;
        standing.heard_by = match outcome {
            Outcome::Heard { by } => by.clone(),
            Outcome::Unheard { .. }
            | Outcome::Unreached { .. }
            | Outcome::Busy
            | Outcome::Unmade { .. } => Vec::new(),
        };
        if !matches!(outcome, Outcome::Busy | Outcome::Unmade { .. }) {
            standing.at = Some(now);
        }
        if matches!(outcome, Outcome::Heard { .. }) {
            standing.heard_at = Some(now);
        }
        Some(standing)
    }

    /// When something is to be done next, as far as no call is over before.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let idle = self.trunks.values().filter(|state| !state.is_calling);
        let next = |state: &State| {
            let next = if state.left.is_empty() { state.next } else { None };
            next.max(state.pause).unwrap_or(Timestamp::from_secs(0))
        };
        idle.map(next).min()
    }

    /// How long a round is.
    #[must_use]
    pub const fn every(&self) -> Duration {
        self.every
    }

    /// How the paths of all trunks stand, in the order of the trunks' names.
    pub fn standings(&self) -> impl Iterator<Item = &Standing> {
        self.trunks.values().flat_map(|state| state.standings.values())
    }
}

fn paths<'a>(trunk: &'a str, state: &'a State) -> impl Iterator<Item = (String, Path)> + 'a {
    state.standings.keys().map(|path| (trunk.to_owned(), *path))
}

fn untried(trunk: &str, path: Path) -> Standing {
    Standing {
        trunk: trunk.to_owned(),
        path,
        works: None,
        result: None,
        reason: None,
        heard_by: Vec::new(),
        at: None,
        heard_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(300);
    /// A minute after a round has begun.
    const START: Timestamp = Timestamp::from_secs(1_795_716_060);

    fn line(trunk: &str, paths: &[Path]) -> Line {
        let number = |path: &Path| format!("+1202555010{}", *path as u8).parse().unwrap();
        let numbers = paths.iter().map(|path| (*path, number(path))).collect();
        Line { trunk: trunk.to_owned(), numbers }
    }

    fn due(tests: &mut Selftests, now: Timestamp) -> Vec<Test> {
        tests.due(now, &mut Entropy::from_number(1))
    }

    fn tests(lines: &[Line]) -> Selftests {
        let mut tests = Selftests::default();
        assert_eq!(tests.set(EVERY, lines), []);
        tests
    }

    fn heard() -> Outcome {
        Outcome::Heard { by: vec!["rfc4733".to_owned()] }
    }

    fn unheard() -> Outcome {
        Outcome::Unheard { reason: "no_key".to_owned() }
    }

    fn names(due: &[Test]) -> Vec<String> {
        due.iter().map(|test| format!("{} {}", test.trunk, test.name())).collect()
    }

    #[test]
    fn each_path_of_each_trunk_is_tried_once_a_round_one_call_at_a_time() {
        let both = [line("a", &[Path::Rfc4733, Path::Info]), line("b", &[Path::Inband])];
        let mut tests = tests(&both);
        let round = START.as_secs() / 300;
        let made = due(&mut tests, START);
        assert_eq!(names(&made), [format!("a rfc4733/{round}"), format!("b inband/{round}")]);
        // Nothing more of a trunk while it has a call.
        assert_eq!((due(&mut tests, START), tests.deadline()), (Vec::new(), None));
        let later = START + Duration::from_secs(10);
        for test in &made {
            assert_eq!(tests.over(later, test, &heard()).unwrap().works, Some(true));
        }
        assert!(tests.deadline().unwrap() <= later);
        let made = due(&mut tests, later);
        assert_eq!(names(&made), [format!("a info/{round}")]);
        tests.over(later, &made[0], &heard());
        // Then nothing before the next round, whose first moments are drawn.
        assert_eq!(due(&mut tests, later), []);
        let next = Timestamp::from_secs((round + 1) * 300);
        let deadline = tests.deadline().unwrap();
        assert!(deadline >= next && deadline <= next + SPREAD, "{deadline:?}");
        assert_eq!(due(&mut tests, next - Duration::from_millis(1)), []);
        let made = due(&mut tests, next + SPREAD);
        assert_eq!(names(&made)[0], format!("a rfc4733/{}", round + 1));
    }

    #[test]
    fn a_path_fails_when_a_second_call_fails_too_and_others_go_on() {
        let mut tests = tests(&[line("a", &[Path::Rfc4733, Path::Inband])]);
        let first = due(&mut tests, START).remove(0);
        assert_eq!(tests.over(START, &first, &unheard()), None);
        let again = due(&mut tests, START).remove(0);
        assert_eq!(again.name(), format!("{}/again", first.name()));
        let standing = tests.over(START, &again, &unheard()).unwrap().clone();
        assert_eq!((standing.works, standing.result), (Some(false), Some("unheard")));
        assert_eq!((standing.reason.as_deref(), standing.heard_at), (Some("no_key"), None));
        let other = due(&mut tests, START).remove(0);
        assert_eq!(other.path, Path::Inband);
        tests.over(START, &other, &heard());
        let works: Vec<_> = tests.standings().map(|it| (it.path, it.works)).collect();
        assert_eq!(works, [(Path::Rfc4733, Some(false)), (Path::Inband, Some(true))]);
        // One that works at the second try has worked; what works again has no reason any more.
        let later = START + EVERY;
        let first = due(&mut tests, later).remove(0);
        tests.over(later, &first, &Outcome::Unreached { reason: "busy".to_owned() });
        let again = due(&mut tests, later).remove(0);
        let standing = tests.over(later, &again, &heard()).unwrap();
        assert_eq!((standing.works, standing.reason.as_deref()), (Some(true), None));
        assert_eq!(standing.heard_at, Some(later));
    }

    #[test]
    fn a_busy_number_is_called_later_and_what_is_not_made_tells_nothing_of_a_trunk() {
        let mut tests = tests(&[line("a", &[Path::Rfc4733])]);
        let test = due(&mut tests, START).remove(0);
        assert_eq!(tests.over(START, &test, &Outcome::Busy), None);
        assert_eq!((due(&mut tests, START), tests.deadline()), (Vec::new(), Some(START + BUSY)));
        let later = START + BUSY;
        assert_eq!(due(&mut tests, later), std::slice::from_ref(&test));
        tests.over(later, &test, &heard());
        // In the next round it is busy until the round is over.
        let next = START + EVERY;
        let test = due(&mut tests, next).remove(0);
        let end = next + EVERY;
        let standing = tests.over(end, &test, &Outcome::Busy).unwrap();
        assert_eq!((standing.works, standing.result), (Some(true), Some("busy")));
        let test = due(&mut tests, end).remove(0);
        let refused = Outcome::Unmade { reason: "no money".to_owned() };
        let standing = tests.over(end, &test, &refused).unwrap();
        assert_eq!((standing.works, standing.result), (Some(true), Some("unmade")));
        assert_eq!((standing.at, standing.heard_at), (Some(later), Some(later)));
    }

    #[test]
    fn rounds_that_were_missed_are_not_made_up_for() {
        let mut tests = tests(&[line("a", &[Path::Rfc4733])]);
        let test = due(&mut tests, START).remove(0);
        let late = START + EVERY * 5;
        tests.over(late, &test, &heard());
        let made = due(&mut tests, late);
        assert_eq!(names(&made), [format!("a rfc4733/{}", late.as_secs() / 300)]);
        tests.over(late, &made[0], &heard());
        assert_eq!(due(&mut tests, late), []);
    }

    #[test]
    fn what_is_known_outlives_other_settings_and_what_is_gone_is_told() {
        let both = [line("a", &[Path::Rfc4733]), line("b", &[Path::Rfc4733, Path::Info])];
        let mut tests = tests(&both);
        let made = due(&mut tests, START);
        tests.over(START, &made[0], &heard());
        let other = [both[0].clone(), line("b", &[Path::Info])];
        assert_eq!(tests.set(EVERY, &other), [("b".to_owned(), Path::Rfc4733)]);
        let works: Vec<_> = tests.standings().map(|it| (it.trunk.as_str(), it.works)).collect();
        assert_eq!(works, [("a", Some(true)), ("b", None)]);
        // What was under way tells nothing of what is tried now.
        assert_eq!(tests.over(START, &made[1], &heard()), None);
        assert_eq!(names(&due(&mut tests, START)), [format!("b info/{}", START.as_secs() / 300)]);
        let gone = tests.set(EVERY, &[]);
        assert_eq!(gone, [("a".to_owned(), Path::Rfc4733), ("b".to_owned(), Path::Info)]);
        assert_eq!((due(&mut tests, START), tests.deadline()), (Vec::new(), None));
    }

    #[test]
    fn its_tenants_are_nobody_elses() {
        assert!(is_tenant(&tenant("a")) && !is_tenant("selftest") && !is_tenant("acme"));
    }
}
