//! What must hold after every step, and at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use octothorpe::ambient::Timestamp;
use octothorpe::store::{Store, record};
use octothorpe::verify::attempt::{Attempt, AttemptState};
use octothorpe::verify::code::CHECKS;
use octothorpe::verify::request::{Channel, Mode};
use octothorpe::verify::signal::{Evidence, Reason, Verdict};
use octothorpe::verify::{Verification, VerificationId};

use crate::customer::endpoints;
use crate::legs::Seat;
use crate::phone::Phone;
use crate::plan::CLOUD;
use crate::state::{State, Try};
use crate::world::at_once;

/// How late a verification may settle by its deadline; after a node was lost, by what it did not
/// attend to.
const LATE: Duration = Duration::from_secs(5);
const LATE_AFTER_LOSS: Duration = Duration::from_secs(20);

/// How long a call may outlive its verdict: to say goodbye, or to wait until it may be canceled
/// and for the answer to that (twice 64 times T1).
const GOODBYE: Duration = Duration::from_secs(15);
const CANCELING: Duration = Duration::from_secs(70);

/// By how much a clock may step back: by so much it follows the store's at once.
const STEP: Duration = Duration::from_millis(10);

/// What a key may at the earliest answer: a question of which a second was heard.
const HEARD: Duration = Duration::from_secs(1);

/// Knows what every verification was like, and lets none be what it must not be.
pub(crate) struct Judge {
    store: Store,
    watched: BTreeMap<VerificationId, Watched>,
    /// How many deliveries have been looked at.
    delivered: usize,
    events: BTreeMap<(VerificationId, String), Event>,
}

struct Watched {
    person: usize,
    bytes: Vec<u8>,
    last: Verification,
    /// When it must be settled.
    deadline: Timestamp,
    /// When something last worked towards its end.
    attended: Timestamp,
    /// When it was settled, by the world's time.
    settled: Option<Timestamp>,
}

/// The event of a verdict, as an endpoint first got it.
struct Event {
    id: String,
    body: String,
    accepted: bool,
}

/// How a node is.
#[derive(Clone, Copy)]
pub(crate) struct Health {
    /// Which run it is.
    pub(crate) run: u64,
    /// Up and awake, and since when.
    pub(crate) up_since: Option<Timestamp>,
    /// Served by its store besides, and since when.
    pub(crate) well_since: Option<Timestamp>,
    /// It is about to do something.
    pub(crate) busy: bool,
}

impl Judge {
    pub(crate) const fn new(store: Store) -> Self {
        Self { store, watched: BTreeMap::new(), delivered: 0, events: BTreeMap::new() }
    }

    /// There is such a verification.
    pub(crate) fn watch(&mut self, id: &VerificationId, person: usize, state: &mut State) {
        if self.watched.contains_key(id) {
            return;
        }
        if self.watched.values().any(|watched| watched.person == person) {
            return state.accuse("one request began two verifications");
        }
        let Some((bytes, last)) = self.load(id) else {
            return state.accuse("a verification is not stored");
        };
        let now = state.now();
        let deadline = now + last.expires_at.since(last.created_at);
        let watched = Watched { person, bytes, last, deadline, attended: now, settled: None };
        self.watched.insert(id.clone(), watched);
    }

    fn load(&self, id: &VerificationId) -> Option<(Vec<u8>, Verification)> {
        let stored = at_once(self.store.load(id.as_str())).unwrap()?;
        let verification = record::decode(&stored.bytes).unwrap();
        Some((stored.bytes, verification))
    }

    /// Looks at everything that a step can have changed; at the records when a node ran, and which.
    pub(crate) fn look(&mut self, state: &mut State, healths: &[Health], ran: Option<usize>) {
        self.calls(state);
        forgotten(state, healths);
        self.overlong(state, healths);
        if let Some(at) = ran {
            let since = healths[at].up_since.unwrap_or_default();
            self.records(state, Some((at, since)));
            self.deliveries(state);
        }
        self.overdue(state, healths);
    }

    /// Whether every question is settled and told.
    pub(crate) fn is_content(&self, state: &State) -> bool {
        self.watched.iter().all(|(id, watched)| {
            let urls = endpoints(&state.plan, &state.plan.people[watched.person]);
            watched.last.verdict().is_some()
                && urls.iter().all(|url| self.event(id, url).is_some_and(|event| event.accepted))
        })
    }

    /// How each question was settled.
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.watched.values().filter_map(|watched| watched.last.verdict())
    }

    /// Looks at what is left at the end.
    pub(crate) fn conclude(&mut self, state: &mut State) {
        self.records(state, None);
        self.deliveries(state);
        if self.watched.len() + state.facts.blocked.len() != state.plan.people.len() {
            state.accuse("a question was never asked");
        }
        for (id, watched) in &self.watched {
            if watched.last.verdict().is_none() {
                state.accuse(format!("{id} was never settled"));
            }
            for url in endpoints(&state.plan, &state.plan.people[watched.person]) {
                if !self.event(id, url).is_some_and(|event| event.accepted) {
                    state.accuse(format!("the verdict of {id} never came to {url}"));
                }
            }
        }
        let has_legs = state.sites.iter().any(|site| !site.legs.is_empty());
        if has_legs || state.phones.values().any(Phone::is_live) {
            state.accuse("a call was left up");
        }
    }

    fn event(&self, id: &VerificationId, url: &str) -> Option<&Event> {
        self.events.get(&(id.clone(), url.to_owned()))
    }

    /// Looks at the records; which machine's node has run, and since when that is up.
    fn records(&mut self, state: &mut State, ran: Option<(usize, Timestamp)>) {
        let mut changed = Vec::new();
        for (id, watched) in &self.watched {
            let stored = at_once(self.store.load(id.as_str())).unwrap();
            if stored.is_none_or(|stored| stored.bytes != watched.bytes) {
                changed.push(id.clone());
            }
        }
        for id in changed {
            let Some((bytes, next)) = self.load(&id) else {
                return state.accuse(format!("{id} is gone"));
            };
            let Some(watched) = self.watched.get_mut(&id) else { continue };
            change(state, &watched.last, &next);
            if let Some((at, since)) = ran {
                in_time(state, &watched.last, &next, at, since.max(watched.deadline));
            }
            let now = state.now();
            if next.verdict().is_some() {
                watched.settled.get_or_insert(now);
            }
            (watched.bytes, watched.last, watched.attended) = (bytes, next, now);
        }
        for (id, watched) in &self.watched {
            let verdict = watched.last.verdict();
            let is = verdict.map(|it| (it.status().as_str(), it.reason().as_str()));
            let told = state.facts.verdicts.get(id);
            let told = told.map(|(status, reason)| (status.as_str(), reason.as_str()));
            if told.is_some() && told != is {
                state.accuse(format!("{id} was told as {told:?}, and is {is:?}"));
            }
            let compared = watched.last.secret.as_ref().map(|it| CHECKS - it.checks_left);
            let wrong = state.facts.wrong_codes.get(id).copied().unwrap_or_default();
            if compared.is_some_and(|compared| compared < wrong) {
                state
                    .accuse(format!("{wrong} wrong codes were compared for {id}, and not counted"));
            }
        }
        let is_called = |it: &Attempt| it.channel == Channel::Voice;
        let called =
            self.watched.values().filter(|watched| watched.last.running().is_some_and(is_called));
        let mut called: Vec<&str> = called.map(|it| it.last.request.to.expose()).collect();
        called.sort_unstable();
        if has_pair(&called) {
            state.accuse("two calls to one number at once");
        }
    }

    /// One event for each verdict and endpoint: one id, one body.
    fn deliveries(&mut self, state: &mut State) {
        let deliveries = std::mem::take(&mut state.facts.deliveries);
        for delivery in &deliveries[self.delivered..] {
            let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
            let subject = body["subject"].as_str().and_then(VerificationId::parse);
            let Some((id, watched)) = subject.and_then(|id| self.watched.get_key_value(&id)) else {
                state.accuse("an event speaks of a verification that nobody asked for");
                continue;
            };
            let verdict = watched.last.verdict();
            let expected = verdict.map(|it| (it.status().as_str(), it.reason().as_str()));
            let data = &body["data"];
            if data["status"].as_str().zip(data["reason"].as_str()) != expected {
                state.accuse(format!("{} tells another verdict of {id}", delivery.event));
            }
            let urls = endpoints(&state.plan, &state.plan.people[watched.person]);
            if !urls.contains(&delivery.url.as_str()) {
                state.accuse(format!("the verdict of {id} went to {}", delivery.url));
            }
            let event =
                self.events.entry((id.clone(), delivery.url.clone())).or_insert_with(|| Event {
                    id: delivery.event.clone(),
                    body: delivery.body.clone(),
                    accepted: false,
                });
            event.accepted |= delivery.accepted;
            if event.id != delivery.event || event.body != delivery.body {
                state.accuse(format!("the verdict of {id} was told in two ways"));
            }
        }
        self.delivered = deliveries.len();
        state.facts.deliveries = deliveries;
    }

    /// At most one call of a verification lives, on our side and on theirs; but for a phone whose
    /// every answer was lost, so that its trunk was left for the next one (what it answers at last
    /// ends it), and for calls of nodes that may be believed lost.
    fn calls(&self, state: &mut State) {
        let seats = state.sites.iter().flat_map(|site| site.legs.iter());
        let seats = seats.filter(|seat| !seat.ended && !seat.disturbed);
        let mut legs: Vec<&VerificationId> = seats.map(|seat| &seat.of.0).collect();
        let was_left = |(id, no): &Try| {
            let attempt = self.watched.get(id).and_then(|it| it.last.find(*no));
            attempt.is_some_and(|it| {
                it.reason == Some(Reason::CarrierError) && it.sip_status.is_none()
            })
        };
        // Nobody can help a second phone's answering, too; it is hung up on.
        let is_one = |it: &Phone| it.is_live() && !it.disturbed && !it.is_second();
        let live = state.phones.iter().filter(|(_, it)| is_one(it));
        let placed = live.filter_map(|(call, _)| state.facts.calls.get(call));
        let placed = placed.map(|placed| &placed.of).filter(|of| !was_left(of));
        let mut phones: Vec<&VerificationId> =
            placed.chain(state.cloud.live()).map(|of| &of.0).collect();
        legs.sort_unstable();
        phones.sort_unstable();
        if has_pair(&legs) || has_pair(&phones) {
            state.accuse("two calls of one verification at once");
        }
    }

    /// A call ends soon after its verdict.
    fn overlong(&self, state: &mut State, healths: &[Health]) {
        let now = state.now();
        for (at, health) in healths.iter().enumerate() {
            let Some(well_since) = health.well_since else { continue };
            let left_up = state.sites[at].legs.iter().find(|seat| {
                let settled = self.watched.get(&seat.of.0).and_then(|it| it.settled);
                let soon = seat.is_answered() && !seat.disturbed;
                let patience = if soon { GOODBYE } else { CANCELING };
                !seat.ended && settled.is_some_and(|at| now > at.max(well_since) + patience)
            });
            if let Some(of) = left_up.map(|seat| seat.of.clone()) {
                state.accuse(format!("the call of {} outlived its verdict", of.0));
            }
        }
        let settled = |(id, _): &Try| self.watched.get(id).and_then(|it| it.settled);
        let outlives = |of: &&Try| settled(of).is_some_and(|at| now > at + CANCELING);
        let left_up = state.cloud.live().find(outlives).cloned();
        if let Some(of) = left_up {
            state.accuse(format!("the provider's call of {} outlived its verdict", of.0));
        }
    }

    /// Everything settles by its deadline, and soon after the node that worked on it was lost, as
    /// long as there is a node that can see to it.
    fn overdue(&mut self, state: &mut State, healths: &[Health]) {
        let well = healths.iter().filter_map(|health| health.well_since).min();
        let Some(well_since) = well else { return };
        let now = state.now();
        // A node that sleeps has what it took until its lease lapses, like one that is dead.
        let is_away = |it: &Health| it.well_since.is_none_or(|since| since > state.start);
        let lost_once = state.store_failed
            || state.runs > u64::try_from(healths.len()).unwrap()
            || healths.iter().any(is_away);
        let late = if lost_once { LATE_AFTER_LOSS } else { LATE };
        for (id, watched) in &mut self.watched {
            if watched.last.verdict().is_some() {
                continue;
            }
            let running = watched.last.running().map(|running| running.no);
            let is_its = |it: &Seat| !it.ended && it.of.0 == *id && Some(it.of.1) == running;
            let attended = healths.iter().any(|health| health.busy)
                || state.sites.iter().any(|site| site.legs.iter().any(is_its));
            // Between calls it waits for the customer, who asks for no other.
            // What a carrier has taken is the carrier's.
            let is_taken = |it: &Attempt| it.route == CLOUD && it.state != AttemptState::Queued;
            if attended || watched.last.running().is_none_or(is_taken) {
                watched.attended = now;
            }
            if now > watched.deadline.max(well_since) + late {
                return state.accuse(format!("{id} is past its deadline"));
            }
            let soon = LATE_AFTER_LOSS + Duration::from_secs(1);
            if now > watched.attended.max(well_since).max(state.died) + soon {
                return state.accuse(format!("nobody works on {id}"));
            }
        }
    }
}

/// No phone waits for a node that attended to it all the time.
fn forgotten(state: &mut State, healths: &[Health]) {
    let lives = |run: u64| healths.iter().any(|it| it.run == run && it.up_since.is_some());
    let forgotten = state.phones.iter().any(|(call, phone)| {
        let placed_by = state.facts.calls.get(call).map(|placed| placed.run);
        phone.forgotten && !phone.disturbed && placed_by.is_some_and(lives)
    });
    if forgotten {
        state.accuse("a phone was left ringing, or up");
    }
}

/// Nothing is approved after the deadline, by whoever was there when it came.
fn in_time(
    state: &mut State,
    before: &Verification,
    next: &Verification,
    at: usize,
    since: Timestamp,
) {
    let id = &next.id;
    if before.verdict().is_some() {
        return;
    }
    if next.settled_at().is_some_and(|settled| settled > state.here(at) + STEP) {
        state.accuse(format!("{id} was settled at another time"));
    }
    let late = state.now() > since + Duration::from_secs(5);
    if late && matches!(next.verdict(), Some(Verdict::Approved(_))) {
        state.accuse(format!("{id} was approved after its deadline"));
    }
}

fn has_pair<T: PartialEq>(sorted: &[T]) -> bool {
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// What a verification may become.
fn change(state: &mut State, before: &Verification, next: &Verification) {
    let id = &next.id;
    let word = next.verdict().map_or_else(
        || next.running().map_or("nothing", |running| running.state.as_str()),
        |verdict| verdict.reason().as_str(),
    );
    state.tell(format!("{id} version {}: {word}", next.version));
    let but_for_evidence = |it: &Verification| {
        let mut bare = Verification { version: 0, ..it.clone() };
        bare.attempts.iter_mut().for_each(|attempt| attempt.press = None);
        bare
    };
    if before.verdict().is_some() && but_for_evidence(before) != but_for_evidence(next) {
        state.accuse(format!("{id} was settled, and changed"));
    }
    if next.version <= before.version {
        state.accuse(format!("the version of {id} fell"));
    }
    let open = |attempt: &&Attempt| attempt.state != AttemptState::Ended;
    let live = next.attempts.iter().filter(open).count();
    // Digits that were wrong may be asked for once more, and a code is still to be typed.
    let waits = matches!(next.request.way.mode, Mode::Match | Mode::Code)
        // Nobody can tell whether it was ordered.
        || next.attempts.last().is_some_and(|it| it.may_have_arrived);
    let waits = waits && live == 0;
    let is_pending = next.verdict().is_none();
    if live != usize::from(is_pending) && !(is_pending && waits) {
        state.accuse(format!("{id} has not exactly one live attempt while it is pending"));
    }
    let kept = before.attempts.iter().zip(&next.attempts).all(|(before, next)| {
        let mut next = Attempt { press: before.press.clone(), ..next.clone() };
        // The provider may tell its name for it at last.
        if before.call_id.is_none() && before.route == CLOUD {
            (next.call_id, next.placed_at) = (None, before.placed_at);
        }
        before.state <= next.state && (open(&before) || *before == next)
    });
    if !kept || next.attempts.len() < before.attempts.len() {
        state.accuse(format!("an attempt of {id} went back"));
    }
    let last = next.attempts.len().saturating_sub(1);
    if next.attempts.iter().take(last).any(|it| it.reason == Some(Reason::NodeLost)) {
        state.accuse(format!("{id} was dialed again after its node was lost"));
    }
    let nameless =
        |it: &Attempt| it.answered_at.is_some() && it.call_id.is_none() && it.route != CLOUD;
    let in_time = matches!(next.verdict(), Some(Verdict::Approved(_) | Verdict::Denied(_)));
    // A store that fails may take what was heard, and not yet what the call is called.
    if in_time && !state.store_failed && next.attempts.last().is_some_and(nameless) {
        state.accuse(format!("{id} was answered on a call without a Call-ID"));
    }
    if next.expires_at != before.expires_at {
        state.accuse(format!("the deadline of {id} was moved"));
    }
    let in_time = next.settled_at().is_none_or(|at| at < next.expires_at);
    if !in_time && matches!(next.verdict(), Some(Verdict::Approved(_))) {
        state.accuse(format!("{id} was approved after its deadline"));
    }
    let checks = |it: &Verification| it.secret.as_ref().map(|secret| secret.checks_left);
    if checks(before) < checks(next) || next.sends < before.sends {
        state.accuse(format!("a counter of {id} fell"));
    }
    if let Some(Verdict::Approved(evidence)) = next.verdict()
        && let Err(why) = consent(state, next, evidence)
    {
        state.accuse(format!("{id} was approved, but {why}"));
    }
}

/// Whether a person said yes: the very press of the evidence, on a call of this attempt, after
/// the question; or the code that was told, typed.
fn consent(state: &State, next: &Verification, evidence: &Evidence) -> Result<(), &'static str> {
    if next.request.way.mode == Mode::Code {
        let typed = state.facts.typed.contains(&next.id);
        return if typed { Ok(()) } else { Err("nobody typed what was told") };
    }
    let (Some(attempt), Some(heard)) = (evidence.attempt(), evidence.press()) else {
        return Err("no key was pressed");
    };
    let of = (next.id.clone(), attempt);
    if let Some(event) = &heard.event {
        let said = state.cloud.has_said_yes(&of, event);
        return if said { Ok(()) } else { Err("nobody said yes to the provider") };
    }
    let mark = heard.rtp.map(|rtp| (rtp.ssrc, rtp.timestamp)).ok_or("nobody pressed a key")?;
    let asked = state.facts.asked.get(&of).ok_or("nobody was asked")?;
    if heard.at < *asked + HEARD {
        return Err("the key came before the question");
    }
    let calls = state.facts.calls.iter().filter(|(_, placed)| placed.of == of);
    let mut phones = calls.filter_map(|(call, _)| state.phones.get(call));
    match phones.find_map(|phone| phone.said_yes(mark, &state.facts.arrived)) {
        Some(true) => Ok(()),
        Some(false) => Err("the person did not mean yes"),
        None => Err("nobody pressed a key"),
    }
}
