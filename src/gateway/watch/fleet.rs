//! All trunks: whose turn it is, and whom a message is for.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::capacity;
use super::super::line::{Exit, Unconnected};
use super::super::settings::Trunk;
use super::member::Member;
use super::view::{self, TrunkView};
use super::{Act, Entry, Heard, Key, Place};
use crate::ambient::{Entropy, Timestamp};
use crate::sip::health::{Event, Usable};
use crate::sip::locate::{Located, NotFound};
use crate::sip::registration::{Registration, State};
use crate::sip::{Hop, Way};
use crate::telemetry;

/// What must be done, for which trunk.
pub(super) type Asked = (usize, Arc<Trunk>, Act);

/// Every trunk.
pub(super) struct Fleet {
    entropy: Entropy,
    next: usize,
    members: HashMap<usize, Member>,
    by_name: HashMap<String, usize>,
    by_call_id: HashMap<String, usize>,
    /// Which trunks each hop is one of.
    by_hop: HashMap<Hop, Vec<usize>>,
    by_key: HashMap<Key, usize>,
    waiting: HashMap<Key, oneshot::Sender<()>>,
    /// The deadline of each.
    due: BTreeSet<(Timestamp, usize)>,
    due_at: HashMap<usize, Timestamp>,
    closed: bool,
}

impl Fleet {
    pub(super) fn new(entropy: Entropy) -> Self {
        Self {
            entropy,
            next: 0,
            members: HashMap::new(),
            by_name: HashMap::new(),
            by_call_id: HashMap::new(),
            by_hop: HashMap::new(),
            by_key: HashMap::new(),
            waiting: HashMap::new(),
            due: BTreeSet::new(),
            due_at: HashMap::new(),
            closed: false,
        }
    }

    /// These trunks from now on.
    pub(super) fn set(
        &mut self,
        now: Timestamp,
        trunks: &[Trunk],
        exit: impl Fn(&Trunk) -> Exit,
    ) -> Vec<Asked> {
        let stays = |trunk: &Trunk| trunks.contains(trunk);
        let changed = self.members.iter().filter(|(_, member)| !stays(&member.trunk));
        let changed: Vec<usize> = changed.map(|(id, _)| *id).collect();
        let mut asked = Vec::new();
        let mut gates = HashMap::new();
        for id in changed {
            asked.extend(self.with(now, id, |member, acts| {
                member.stop(now, acts);
                member.forget(acts);
            }));
            if let Some(member) = self.remove(id) {
                gates.insert(member.trunk.name.clone(), (id, member.gate));
            }
        }
        for trunk in trunks {
            if self.by_name.contains_key(&trunk.name) {
                continue;
            }
            let (id, entropy) = (self.next, self.entropy.fork());
            self.next += 1;
            self.by_name.insert(trunk.name.clone(), id);
            let mut member = Member::new(now, Arc::new(trunk.clone()), exit(trunk), entropy);
            // Whoever is in by a trunk that is now told otherwise is still in.
            if let Some((before, gate)) = gates.remove(&trunk.name) {
                member.gate = gate.of(trunk.capacity);
                self.by_key.values_mut().filter(|it| **it == before).for_each(|it| *it = id);
            }
            self.members.insert(id, member);
            self.plan(now, id);
        }
        for (trunk, (id, _)) in gates {
            let waiting = &mut self.waiting;
            self.by_key.retain(|key, it| {
                let stays = *it != id;
                if !stays {
                    waiting.remove(key);
                }
                stays
            });
            telemetry::observe(&telemetry::Event::TrunkGone { trunk: &trunk });
        }
        asked
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Does what is due.
    pub(super) fn lapse(&mut self, now: Timestamp) -> Vec<Asked> {
        let due: Vec<usize> =
            self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
        due.into_iter()
            .flat_map(|id| self.with(now, id, |member, acts| member.lapsed(now, acts)))
            .collect()
    }

    pub(super) fn hear(&mut self, now: Timestamp, heard: Heard) -> Vec<Asked> {
        match heard {
            Heard::Message(message) => {
                let Some(&id) = self.by_call_id.get(message.call_id()) else { return Vec::new() };
                self.with(now, id, |member, acts| member.received(now, &message, acts))
            }
            Heard::Unreachable(hop) => {
                // Thousands may share a hop that is dead.
                let concerns = |member: Option<&Member>| member.is_some_and(|it| it.awaits(hop));
                self.at(now, hop, concerns, |member, acts| member.unreachable(now, hop, acts))
            }
            Heard::Lost(hop) => {
                self.at(now, hop, |_| true, |member, acts| member.lost(now, hop, acts))
            }
            Heard::Called(trunk, called) => {
                let Some(&id) = self.by_name.get(&trunk) else { return Vec::new() };
                self.with(now, id, |member, _| member.called(now, called))
            }
            Heard::MinSession(trunk, seconds) => {
                let Some(&id) = self.by_name.get(&trunk) else { return Vec::new() };
                self.with(now, id, |member, _| member.min_session = Some(seconds))
            }
            Heard::Retired(key) => self.leave(now, &key),
        }
    }

    /// Has every trunk of a hop that it concerns do something.
    fn at(
        &mut self,
        now: Timestamp,
        hop: Hop,
        concerns: impl Fn(Option<&Member>) -> bool,
        what: impl Fn(&mut Member, &mut Vec<Act>),
    ) -> Vec<Asked> {
        let of_hop = self.by_hop.get(&hop).into_iter().flatten().copied();
        let concerned: Vec<usize> = of_hop.filter(|id| concerns(self.members.get(id))).collect();
        concerned.into_iter().flat_map(|id| self.with(now, id, &what)).collect()
    }

    pub(super) fn located(
        &mut self,
        now: Timestamp,
        id: usize,
        found: Result<Located, NotFound>,
    ) -> Vec<Asked> {
        self.with(now, id, |member, acts| member.located(now, found, acts))
    }

    pub(super) fn reached(
        &mut self,
        now: Timestamp,
        id: usize,
        hop: Hop,
        way: Result<Way, Unconnected>,
    ) -> Vec<Asked> {
        self.with(now, id, |member, acts| member.reached(now, hop, way, acts))
    }

    /// Whether nobody has heard yet where a trunk is.
    pub(super) fn is_unlocated(&self, trunk: &str) -> bool {
        self.named(trunk).is_some_and(|(_, member)| member.is_unlocated())
    }

    /// Where a call goes.
    ///
    /// # Errors
    /// Why nowhere, as what follows the trunk's name.
    pub(super) fn place(
        &self,
        now: Timestamp,
        trunk: &str,
        entropy: &mut Entropy,
    ) -> Result<Place, String> {
        let Some((_, member)) = self.named(trunk) else {
            return Err("is no longer configured".to_owned());
        };
        let hops = member.order(now, entropy);
        if hops.is_empty() {
            return Err(match (member.health.usable(now), member.lost) {
                (Usable::No { because, .. }, _) => because.to_string(),
                (Usable::Yes, Some(lost)) => lost.to_string(),
                (Usable::Yes, None) => "was not looked up in time".to_owned(),
            });
        }
        let service_route = member.service_route().to_vec();
        let (exit, min_session) = (member.exit.clone(), member.min_session);
        Ok(Place { hops, exit, service_route, min_session })
    }

    /// Lets an attempt in by a trunk.
    pub(super) fn enter(
        &mut self,
        now: Timestamp,
        trunk: &str,
        key: &Key,
        another: bool,
        may_wait: bool,
    ) -> Entry {
        // Whoever has no trunk is told so where the call is placed.
        let Some(&id) = self.by_name.get(trunk) else { return Entry::In };
        let Some(member) = self.members.get_mut(&id) else { return Entry::In };
        if let Usable::No { because, .. } = member.health.usable(now)
            && (another || because.is_pause())
        {
            return Entry::Unusable(because);
        }
        let entry = member.gate.enter(now, key.clone(), may_wait && !self.closed);
        let entry = match entry {
            capacity::Entry::In => Entry::In,
            capacity::Entry::Full(full) => return Entry::Full(full),
            capacity::Entry::Waits => {
                let (admit, admitted) = oneshot::channel();
                self.waiting.insert(key.clone(), admit);
                Entry::Waits(admitted)
            }
        };
        self.by_key.insert(key.clone(), id);
        self.plan(now, id);
        entry
    }

    pub(super) fn begun(&mut self, now: Timestamp, trunk: &str) {
        if let Some(&id) = self.by_name.get(trunk)
            && let Some(member) = self.members.get_mut(&id)
        {
            member.health.on(now, Event::Begun);
        }
    }

    /// An attempt is over.
    pub(super) fn leave(&mut self, now: Timestamp, key: &Key) -> Vec<Asked> {
        self.waiting.remove(key);
        let Some(id) = self.by_key.remove(key) else { return Vec::new() };
        self.with(now, id, |member, acts| member.left(now, key, acts))
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
    }

    /// Takes every registration back.
    pub(super) fn stop(&mut self, now: Timestamp) -> Vec<Asked> {
        let ids: Vec<usize> = self.members.keys().copied().collect();
        ids.into_iter()
            .flat_map(|id| self.with(now, id, |member, acts| member.stop(now, acts)))
            .collect()
    }

    /// Whether every registration was taken back.
    pub(super) fn is_over(&self) -> bool {
        self.members
            .values()
            .all(|member| member.registration.as_ref().is_none_or(Registration::is_over))
    }

    pub(super) fn views(&self, now: Timestamp) -> Vec<TrunkView> {
        let mut ids: Vec<&usize> = self.members.keys().collect();
        ids.sort_unstable();
        ids.into_iter()
            .filter_map(|id| self.members.get(id))
            .map(|member| view::of(now, member))
            .collect()
    }

    fn named(&self, trunk: &str) -> Option<(usize, &Member)> {
        let id = *self.by_name.get(trunk)?;
        Some((id, self.members.get(&id)?))
    }

    /// Has a trunk do something, plans what is due next, and tells what has changed.
    fn with(
        &mut self,
        now: Timestamp,
        id: usize,
        what: impl FnOnce(&mut Member, &mut Vec<Act>),
    ) -> Vec<Asked> {
        let Some(member) = self.members.get_mut(&id) else { return Vec::new() };
        let mut acts = Vec::new();
        what(member, &mut acts);
        tell(now, member);
        let trunk = Arc::clone(&member.trunk);
        for act in &acts {
            self.note(id, act);
        }
        self.plan(now, id);
        acts.into_iter().map(|act| (id, Arc::clone(&trunk), act)).collect()
    }

    /// Keeps whom a message is for, and lets in who waited.
    fn note(&mut self, id: usize, act: &Act) {
        match act {
            Act::Listen(call_id) => drop(self.by_call_id.insert(call_id.clone(), id)),
            Act::Unlisten(call_id) => drop(self.by_call_id.remove(call_id)),
            Act::Learn(hops) => {
                self.by_hop.values_mut().for_each(|ids| ids.retain(|it| *it != id));
                self.by_hop.retain(|_, ids| !ids.is_empty());
                hops.iter().for_each(|hop| self.by_hop.entry(*hop).or_default().push(id));
            }
            Act::Admit(key) => {
                let admit = self.waiting.remove(key);
                // Whoever has stopped waiting is not let in.
                if admit.is_none_or(|admit| admit.send(()).is_err()) {
                    self.by_key.remove(key);
                    if let Some(member) = self.members.get_mut(&id) {
                        member.gate.leave(key);
                    }
                }
            }
            Act::Send { .. } | Act::Locate(_) | Act::Lost { .. } | Act::Reach(..) => {}
        }
    }

    fn plan(&mut self, now: Timestamp, id: usize) {
        if let Some(at) = self.due_at.remove(&id) {
            self.due.remove(&(at, id));
        }
        if let Some(at) = self.members.get(&id).and_then(|member| member.deadline(now)) {
            self.due_at.insert(id, at);
            self.due.insert((at, id));
        }
    }

    fn remove(&mut self, id: usize) -> Option<Member> {
        let member = self.members.remove(&id)?;
        self.by_name.remove(&member.trunk.name);
        self.by_hop.values_mut().for_each(|ids| ids.retain(|it| *it != id));
        if let Some(at) = self.due_at.remove(&id) {
            self.due.remove(&(at, id));
        }
        Some(member)
    }
}

/// Tells the log and the metrics when a trunk is otherwise than they were told.
fn tell(now: Timestamp, member: &mut Member) {
    let (state, because) = member.state(now);
    let registered = member.registration.as_ref().map(|registration| {
        (matches!(registration.state(now), State::Registered { .. }), registration.failed())
    });
    let told = (state, registered.map(|(registered, why)| registered || why.is_none()));
    if member.told == Some(told) {
        return;
    }
    member.told = Some(told);
    let why = because.map(|because| because.to_string());
    let unregistered = registered.and_then(|(_, why)| why).map(|why| why.to_string());
    telemetry::observe(&telemetry::Event::Trunk {
        trunk: &member.trunk.name,
        state,
        why: why.as_deref(),
        registered: registered.map(|(registered, _)| registered),
        unregistered: unregistered.as_deref(),
    });
}
