//! What the operator's page shows of this node: who is being asked now, and what came of those before.
//!
//! A fold over what is committed here. It holds at most [`CARDS`] cards, [`MINUTES`] minutes and [`GROUPS`] groups
//! of each kind; nothing of it is stored.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::Gateway;
use super::cdr::{self, By, Line, Summary};
use crate::ambient::Timestamp;
use crate::verify::signal::Verdict;
use crate::verify::{Verification, selftest};

/// The most that are shown at once while they are asked; others count, and are not shown.
const CARDS: usize = 1_000;

/// How many are still shown after their end.
const ENDED: usize = 100;

/// How far back it counts.
const MINUTES: u64 = 60;

/// How long after its last moment a verification is left of which nothing is heard.
const UNHEARD: Duration = Duration::from_secs(60);

/// The most groups of one kind; what is of a further one is not summed up. A minute has few.
const GROUPS: usize = 500;

/// One verification, as a row of the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Card {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// The number, masked.
    pub number: String,
    /// The number's country (ISO 3166).
    pub country: String,
    /// `voice` or `sms`.
    pub channel: &'static str,
    /// What is asked of the person.
    pub mode: &'static str,
    /// The trunk or carrier of its last attempt.
    pub via: Option<String>,
    /// How many attempts there have been.
    pub attempts: usize,
    /// How far the last attempt has come.
    pub state: &'static str,
    /// Its status.
    pub status: &'static str,
    /// Why it ended.
    pub reason: Option<&'static str>,
    /// When it was begun (RFC 3339).
    pub begun_at: String,
    /// When it came to where it is (RFC 3339).
    pub since: String,
    /// Until when it may be answered.
    #[serde(skip)]
    until: Timestamp,
    /// The board's revision in which it changed.
    #[serde(skip)]
    revision: u64,
}

/// What ended within one minute.
#[derive(Clone, Debug, Default)]
struct Minute {
    /// The minutes since the epoch.
    no: u64,
    begun: u64,
    ended: BTreeMap<&'static str, u64>,
    sums: [Summary; By::ALL.len()],
}

/// What ended within one minute, by its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// When the minute began (RFC 3339).
    pub minute: String,
    /// How many were begun.
    pub begun: u64,
    /// How many ended, of each status.
    pub ended: BTreeMap<&'static str, u64>,
}

/// The figures of the last hour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The node whose they are.
    pub node: String,
    /// When they were taken (RFC 3339).
    pub at: String,
    /// How many are being asked, of those that are shown.
    pub live: usize,
    /// The most that are shown.
    pub most_live: usize,
    /// The minutes in which something happened, the latest last.
    pub minutes: Vec<Outcomes>,
    /// What the attempts of those that ended came to: all of them,
    pub all: Vec<Line>,
    /// by trunk or carrier,
    pub via: Vec<Line>,
    /// by country,
    pub country: Vec<Line>,
    /// and by the beginning of the number.
    pub prefix: Vec<Line>,
}

/// What changed since a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The revision that this leads to.
    pub revision: u64,
    /// Whether everything is told anew, and what is not told of is not there.
    pub whole: bool,
    /// The cards that changed, in the order of their ids.
    pub cards: Vec<Card>,
}

/// The board.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    revision: u64,
    /// When the cards were last looked through.
    swept: Option<Timestamp>,
    cards: BTreeMap<String, Card>,
    /// Those of the cards that have ended, the oldest first.
    ended: VecDeque<String>,
    /// The latest last.
    minutes: VecDeque<Minute>,
}

impl Minute {
    /// Another one has ended.
    fn add(&mut self, ended: &Verification) {
        *self.ended.entry(ended.status().as_str()).or_default() += 1;
        for seen in cdr::seen(ended) {
            for sums in &mut self.sums {
                if sums.has_room(&seen, GROUPS) {
                    sums.add(&seen);
                }
            }
        }
    }
}

impl Card {
    fn has_ended(&self) -> bool {
        self.reason.is_some()
    }
}

impl State {
    /// A verification moved.
    fn moved(&mut self, now: Timestamp, before: Option<&Verification>, next: &Verification) {
        // What only looks like a verification reaches nobody, and a trunk that is tried asks nobody.
        if next.withheld || selftest::is_tenant(&next.tenant) {
            return;
        }
        // Two tasks may tell in another order than they committed in: what was before the end comes too late.
        if self.cards.get(next.id.as_str()).is_some_and(Card::has_ended) {
            return;
        }
        let was_open = before.is_none_or(|before| before.verdict().is_none());
        let has_ended = was_open && next.verdict().is_some();
        self.count(now, before.is_none(), has_ended, next);
        if was_open {
            self.draw(now, has_ended, next);
        }
    }

    fn count(&mut self, now: Timestamp, is_new: bool, has_ended: bool, next: &Verification) {
        if is_new || has_ended {
            let mut minute = self.take_minute(now);
            minute.begun += u64::from(is_new);
            if has_ended {
                minute.add(next);
            }
            self.minutes.push_back(minute);
        }
    }

    /// Takes the minute that is now off the row. A clock that was set back goes on with the latest.
    fn take_minute(&mut self, now: Timestamp) -> Minute {
        self.forget(now);
        let no = now.as_secs() / 60;
        match self.minutes.pop_back() {
            Some(latest) if latest.no >= no => latest,
            earlier => {
                self.minutes.extend(earlier);
                Minute { no, sums: By::ALL.map(Summary::new), ..Minute::default() }
            }
        }
    }

    /// Leaves what is too long ago, and those of whom nothing was heard for as long after their end: another
    /// node has seen it.
    fn forget(&mut self, now: Timestamp) {
        let oldest = (now.as_secs() / 60).saturating_sub(MINUTES - 1);
        while self.minutes.front().is_some_and(|minute| minute.no < oldest) {
            self.minutes.pop_front();
        }
        if self.swept.is_none_or(|swept| now.since(swept) >= UNHEARD) {
            self.swept = Some(now);
            self.cards.retain(|_, card| card.has_ended() || now.since(card.until) < UNHEARD);
        }
    }

    fn draw(&mut self, now: Timestamp, has_ended: bool, next: &Verification) {
        let id = next.id.as_str();
        if self.live() >= CARDS && !self.cards.contains_key(id) {
            return;
        }
        self.revision += 1;
        let card = card(now, self.cards.get(id), next, self.revision);
        self.cards.insert(id.to_owned(), card);
        if has_ended {
            self.ended.push_back(id.to_owned());
            if self.ended.len() > ENDED
                && let Some(oldest) = self.ended.pop_front()
            {
                self.cards.remove(&oldest);
            }
        }
    }

    /// How many of the cards are of those that are being asked.
    fn live(&self) -> usize {
        self.cards.len().saturating_sub(self.ended.len())
    }

    fn since(&self, revision: Option<u64>) -> Changes {
        let cards = self.cards.values();
        let new = cards.filter(|card| revision.is_none_or(|known| card.revision > known)).cloned();
        Changes { revision: self.revision, whole: revision.is_none(), cards: new.collect() }
    }

    fn figures(&mut self, now: Timestamp, node: &str) -> Figures {
        self.forget(now);
        let [via, country, prefix] = By::ALL.map(|by| {
            let mut sum = Summary::new(by);
            for minute in &self.minutes {
                let of = minute.sums.iter().filter(|sums| sums.by() == by);
                of.for_each(|of| sum.plus(of));
            }
            sum
        });
        let all = via.total("all").lines();
        let [via, country, prefix] = [via, country, prefix].map(|sum| {
            let mut lines = sum.lines();
            // Those with the most first, and no more than can be read.
            lines.sort_by_key(|line| Reverse(line.attempts));
            lines.truncate(GROUPS);
            lines
        });
        let outcomes = |minute: &Minute| Outcomes {
            minute: Timestamp::from_secs(minute.no * 60).to_rfc3339(),
            begun: minute.begun,
            ended: minute.ended.clone(),
        };
        Figures {
            node: node.to_owned(),
            at: now.to_rfc3339(),
            live: self.live(),
            most_live: CARDS,
            minutes: self.minutes.iter().map(outcomes).collect(),
            all,
            via,
            country,
            prefix,
        }
    }
}

/// The row of a verification. `was`: that of before, whose time is kept while it stays where it is.
fn card(now: Timestamp, was: Option<&Card>, next: &Verification, revision: u64) -> Card {
    let last = next.attempts.last();
    let (request, status) = (&next.request, next.status().as_str());
    let state = last.map_or("queued", |it| it.state.as_str());
    let is_as_was = |was: &&Card| was.state == state && was.status == status;
    let since = was.filter(is_as_was).map_or_else(|| now.to_rfc3339(), |was| was.since.clone());
    Card {
        id: next.id.as_str().to_owned(),
        tenant: next.tenant.clone(),
        number: request.to.masked(),
        country: request.to.country().as_str().to_owned(),
        channel: last.map_or(request.way.channel, |it| it.channel).as_str(),
        mode: last.map_or(request.way.mode, |it| it.mode).as_str(),
        via: last.map(|it| it.route.clone()),
        attempts: next.attempts.len(),
        state,
        status,
        reason: next.verdict().map(Verdict::reason).map(|it| it.as_str()),
        begun_at: next.created_at.to_rfc3339(),
        since,
        until: next.expires_at,
        revision,
    }
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A verification moved.
    pub(super) fn moved(&self, now: Timestamp, before: Option<&Verification>, next: &Verification) {
        self.state().moved(now, before, next);
    }
}

impl Gateway {
    /// The figures of the last hour, of this node.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.0.board.state().figures(self.0.clock.now(), self.node())
    }

    /// What changed on the board since a revision; everything without one.
    #[must_use]
    pub fn changes(&self, since: Option<u64>) -> Changes {
        self.0.board.state().since(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::request::{Channel, Mode, Request, Way};
    use crate::verify::signal::{By as Who, Signal};
    use crate::verify::{Birth, Step, VerificationId};

    const START: Timestamp = Timestamp::from_secs(1_795_716_000);

    fn begun(no: u32, now: Timestamp) -> Verification {
        let way = Way { channel: Channel::Voice, mode: Mode::Confirm };
        let step =
            serde_json::json!([{"channel": "voice", "mode": "confirm", "via": "a", "stage": 0}]);
        let birth = Birth {
            id: VerificationId::parse(&format!("vf_{no:026}")).unwrap(),
            tenant: "acme".to_owned(),
            request: Request::new("+14155550132".parse().unwrap(), way),
            route: serde_json::from_value(step).unwrap(),
            secret: None,
            expected: Default::default(),
            seed: 1,
            key: Default::default(),
            withheld: false,
        };
        match Verification::begin(now, birth) {
            Step::Moved { next, .. } => next,
            Step::Ignored { same, .. } => same,
        }
    }

    fn canceled(verification: &Verification, now: Timestamp) -> Verification {
        match verification.clone().apply(now, Signal::Withdrawn(Who::Caller)) {
            Step::Moved { next, .. } => next,
            Step::Ignored { .. } => panic!("it was open"),
        }
    }

    #[test]
    fn what_begins_and_ends_is_seen_and_told_once() {
        let mut state = State::default();
        let one = begun(1, START);
        state.moved(START, None, &one);
        let first = state.since(None);
        assert!(first.whole && first.cards.len() == 1);
        assert_eq!(
            (first.cards[0].status, first.cards[0].number.as_str()),
            ("pending", "+1******0132")
        );
        assert_eq!(state.since(Some(first.revision)).cards, []);
        let later = START + Duration::from_secs(30);
        let ended = canceled(&one, later);
        state.moved(later, Some(&one), &ended);
        // What is learned after the end counts nowhere.
        state.moved(later, Some(&ended), &ended);
        let then = state.since(Some(first.revision));
        assert!(!then.whole && then.cards.len() == 1);
        assert_eq!((then.cards[0].status, then.cards[0].reason.is_some()), ("canceled", true));
        let figures = state.figures(later, "n1");
        assert_eq!((figures.live, figures.minutes.len()), (0, 1));
        assert_eq!((figures.minutes[0].begun, figures.minutes[0].ended["canceled"]), (1, 1));
        assert_eq!((figures.via[0].name.as_str(), figures.country[0].name.as_str()), ("a", "US"));
        assert_eq!((figures.prefix[0].name.as_str(), figures.all[0].attempts), ("+1415", 1));
    }

    #[test]
    fn an_hour_is_remembered_and_a_clock_that_is_set_back_changes_nothing() {
        let mut state = State::default();
        for minute in 0..70 {
            let now = START + Duration::from_secs(minute * 60);
            state.moved(now, None, &begun(minute as u32, now));
        }
        state.moved(START, None, &begun(99, START));
        let now = START + Duration::from_secs(69 * 60);
        let figures = state.figures(now, "n1");
        assert_eq!(figures.minutes.len(), 60);
        assert_eq!(figures.minutes.last().unwrap().begun, 2);
        // Of those whose end nobody told of, only what may still be asked is there.
        assert!(figures.live < 10, "{}", figures.live);
        let much_later = now + Duration::from_secs(2 * 60 * 60);
        let figures = state.figures(much_later, "n1");
        assert_eq!((figures.minutes.len(), figures.live, figures.all.len()), (0, 0, 0));
    }

    #[test]
    fn what_ended_stays_ended_whatever_is_told_late() {
        let mut state = State::default();
        let one = begun(1, START);
        let ended = canceled(&one, START);
        state.moved(START, None, &one);
        state.moved(START, Some(&one), &ended);
        // The same end, and what was before it.
        state.moved(START, Some(&one), &ended);
        state.moved(START, Some(&one), &one);
        let later = START + Duration::from_secs(30 * 60);
        state.moved(later, None, &begun(2, later));
        let figures = state.figures(later, "n1");
        assert_eq!((figures.live, state.cards.len(), state.ended.len()), (1, 2, 1));
        assert_eq!(figures.minutes[0].ended["canceled"], 1);
    }

    #[test]
    fn it_holds_so_many_and_no_more() {
        let mut state = State::default();
        let all: Vec<_> = (0..1_500).map(|no| begun(no, START)).collect();
        all.iter().for_each(|one| state.moved(START, None, one));
        assert_eq!(state.figures(START, "n1").live, CARDS);
        for one in &all {
            state.moved(START, Some(one), &canceled(one, START));
        }
        let figures = state.figures(START, "n1");
        assert_eq!((figures.live, state.cards.len(), state.ended.len()), (0, ENDED, ENDED));
        assert_eq!(
            (figures.minutes[0].begun, figures.minutes[0].ended["canceled"]),
            (1_500, 1_500)
        );
        let withheld = Verification { withheld: true, ..begun(9_999, START) };
        state.moved(START, None, &withheld);
        assert_eq!(state.figures(START, "n1").minutes[0].begun, 1_500);
    }
}
