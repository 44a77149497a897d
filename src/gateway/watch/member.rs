//! One trunk, as it is watched: where it is, whether it lives, whether it knows us, how much it carries.

use std::sync::Arc;
use std::time::Duration;

use super::super::capacity::Gate;
use super::super::identity::through;
use super::super::line::{Exit, Unconnected};
use super::super::settings::{Target, Trunk, TrunkCredentials};
use super::{Act, Key, Told};
use crate::ambient::{Entropy, Timestamp};
use crate::sip::health::{Because, Called, Event, Health, Probed, Usable};
use crate::sip::locate::{Located, NotFound};
use crate::sip::probe::{Output, Probe};
use crate::sip::registration::{Account, Registration, Sent};
use crate::sip::{Hop, Message, Route, Uri, Way};

/// The shortest and the longest time for which an answer of the DNS is relied on, whatever it says.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(3_600);

/// How long it takes at most until a question that failed is asked again.
const PATIENT: Duration = Duration::from_secs(60);

/// How long until a connection that was lost is made again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long until a hop to which there was no way is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// One trunk.
pub(super) struct Member {
    pub(super) trunk: Arc<Trunk>,
    pub(super) exit: Exit,
    entropy: Entropy,
    /// What the DNS said last that can be relied on.
    pub(super) located: Option<Located>,
    /// Why the last question failed, though an answer of before may still be used.
    pub(super) lost: Option<NotFound>,
    /// How often in a row it failed.
    misses: u32,
    /// When to ask next; `None` while an answer is awaited, or none is needed any more.
    locate_at: Option<Timestamp>,
    pub(super) spots: Vec<Spot>,
    pub(super) registration: Option<Registration>,
    pub(super) health: Health,
    pub(super) gate: Gate<Key>,
    /// How long a session must last at least, in seconds, as a 422 has told.
    pub(super) min_session: Option<u32>,
    pub(super) told: Option<Told>,
}

/// One hop of a trunk.
pub(super) struct Spot {
    pub(super) hop: Hop,
    /// The way there, once there is one.
    pub(super) way: Option<Way>,
    /// Why there is none.
    pub(super) trouble: Option<Unconnected>,
    /// When to look for it; `None` while it is looked for, or there.
    reach_at: Option<Timestamp>,
    probe: Option<Probe>,
    /// What became of the last OPTIONS, after how long, and when.
    pub(super) last: Option<(Probed, Duration, Timestamp)>,
}

impl Member {
    pub(super) fn new(now: Timestamp, trunk: Arc<Trunk>, exit: Exit, mut entropy: Entropy) -> Self {
        let registration =
            account(&trunk).map(|account| Registration::new(now, account, entropy.fork()));
        let gate = Gate::new(trunk.capacity);
        Self {
            trunk,
            exit,
            entropy,
            located: None,
            lost: None,
            misses: 0,
            locate_at: Some(now),
            spots: Vec::new(),
            registration,
            health: Health::default(),
            gate,
            min_session: None,
            told: None,
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let spots = self.spots.iter().flat_map(|spot| {
            [spot.reach_at, spot.probe.as_ref().map(Probe::deadline)].into_iter().flatten()
        });
        let registration = self.registration.as_ref().and_then(Registration::deadline);
        let rest =
            [self.locate_at, registration, self.health.deadline(now), self.gate.deadline(now)];
        spots.chain(rest.into_iter().flatten()).min()
    }

    /// Does what is due.
    pub(super) fn lapsed(&mut self, now: Timestamp, acts: &mut Vec<Act>) {
        if self.locate_at.take_if(|at| *at <= now).is_some() {
            acts.push(Act::Locate(self.trunk.first_hop().clone()));
        }
        for at in 0..self.spots.len() {
            self.spot_lapsed(now, at, acts);
        }
        let sent = self.registration.as_mut().and_then(|it| it.lapsed(now));
        self.send(sent, acts);
        self.admit(now, acts);
    }

    /// The DNS has answered. What it cannot tell now leaves what it told before.
    pub(super) fn located(
        &mut self,
        now: Timestamp,
        found: Result<Located, NotFound>,
        acts: &mut Vec<Act>,
    ) {
        let (found, lost) = match found {
            Ok(found) if found.sure => (Some(found), None),
            Ok(guess) => {
                (Some(guess).filter(|_| self.located.is_none()), Some(NotFound::Unanswered))
            }
            Err(why) => (None, Some(why)),
        };
        if self.lost.is_none()
            && let Some(why) = lost
        {
            acts.push(Act::Lost { why, stale: self.located.is_some() });
        }
        self.lost = lost;
        let until = found.as_ref().map_or(now, |found| found.until);
        if let Some(found) = found {
            let hops = found.hops();
            self.located = Some(found);
            self.settle(now, &hops, acts);
        }
        self.locate_at = match self.lost {
            None if until == Timestamp::MAX => None,
            // Asked anew before its time is over, so that no call ever waits for it.
            None => Some(now + until.since(now).clamp(SHORTEST, LONGEST) * 9 / 10),
            Some(_) => {
                self.misses = (self.misses + 1).min(8);
                Some(now + (SHORTEST * (1 << (self.misses - 1))).min(PATIENT))
            }
        };
        if self.lost.is_none() {
            self.misses = 0;
        }
    }

    /// Whether nobody has heard yet where it is.
    pub(super) fn is_unlocated(&self) -> bool {
        self.located.is_none() && self.lost.is_none()
    }

    /// There is a way to this hop, or there is none now.
    pub(super) fn reached(
        &mut self,
        now: Timestamp,
        hop: Hop,
        way: Result<Way, Unconnected>,
        acts: &mut Vec<Act>,
    ) {
        let entropy = self.entropy.fork();
        let (target, routes) = (self.domain(), self.proxies());
        let Some(spot) = self.spots.iter_mut().find(|spot| spot.hop == hop) else { return };
        let way = match way {
            Ok(way) => {
                spot.trouble = None;
                Some(way)
            }
            Err(why) => {
                spot.trouble = Some(why);
                None
            }
        };
        spot.way = way;
        spot.reach_at = way.is_none().then_some(now + AGAIN);
        if let (Some(way), Some(every)) = (way, self.trunk.health) {
            let probe = Probe::new(now, target, routes, way, every, entropy)
                .known_as(self.trunk.identity.contact_host.clone());
            acts.push(Act::Listen(probe.call_id().to_owned()));
            spot.forget_probe(acts);
            spot.probe = Some(probe);
        }
        if way.is_none() {
            spot.last = Some((Probed::Unreachable, Duration::ZERO, now));
            self.health.on(now, Event::Probed(hop, Probed::Unreachable));
        }
        self.tell_ways(now, acts);
    }

    /// A message came in that answers something of ours.
    pub(super) fn received(&mut self, now: Timestamp, message: &Message, acts: &mut Vec<Act>) {
        if let Some(registration) = &mut self.registration
            && registration.call_id() == message.call_id()
        {
            let sent = registration.received(now, message);
            return self.send(sent, acts);
        }
        let probe =
            |spot: &Spot| spot.probe.as_ref().is_some_and(|it| it.call_id() == message.call_id());
        if let Some(at) = self.spots.iter().position(probe) {
            let output =
                self.spots.get_mut(at).and_then(|spot| spot.probe.as_mut()?.received(now, message));
            self.probed(now, at, output, acts);
        }
    }

    /// Whether an answer is awaited from this hop.
    pub(super) fn awaits(&self, hop: Hop) -> bool {
        let probe = |spot: &Spot| spot.probe.as_ref().is_some_and(Probe::is_asking);
        self.spots.iter().any(|spot| spot.hop == hop && probe(spot))
            || self.registration.as_ref().is_some_and(|it| it.is_asking(hop))
    }

    /// What was sent to this hop did not arrive, or its connection is gone.
    pub(super) fn unreachable(&mut self, now: Timestamp, hop: Hop, acts: &mut Vec<Act>) {
        let Some(at) = self.spots.iter().position(|spot| spot.hop == hop) else { return };
        let output = self.spots.get_mut(at).and_then(|spot| spot.probe.as_mut()?.unreachable(now));
        self.probed(now, at, output, acts);
        let sent = self.registration.as_mut().and_then(|it| it.unreachable(now, hop));
        self.send(sent, acts);
    }

    /// The connection to this hop is gone: it is made again, and what was registered over it too.
    pub(super) fn lost(&mut self, now: Timestamp, hop: Hop, acts: &mut Vec<Act>) {
        self.unreachable(now, hop, acts);
        let needed = self.is_spoken_to();
        let Some(spot) = self.spots.iter_mut().find(|spot| spot.hop == hop) else { return };
        if spot.way.take().is_some() {
            spot.reach_at = needed.then_some(now + PAUSE);
            spot.forget_probe(acts);
            self.tell_ways(now, acts);
        }
    }

    /// A call had this end, or this first sign.
    pub(super) fn called(&mut self, now: Timestamp, called: Called) {
        self.health.on(now, Event::Called(called));
        self.hold(now);
    }

    /// Somebody left the gate.
    pub(super) fn left(&mut self, now: Timestamp, who: &Key, acts: &mut Vec<Act>) {
        self.gate.leave(who);
        self.admit(now, acts);
    }

    /// Takes the registration back.
    pub(super) fn stop(&mut self, now: Timestamp, acts: &mut Vec<Act>) {
        let sent = self.registration.as_mut().and_then(|it| it.stop(now));
        self.send(sent, acts);
    }

    /// What nobody listens for any more.
    pub(super) fn forget(&mut self, acts: &mut Vec<Act>) {
        self.spots.iter_mut().for_each(|spot| spot.forget_probe(acts));
        if let Some(registration) = self.registration.take() {
            acts.push(Act::Unlisten(registration.call_id().to_owned()));
        }
    }

    /// Where a call goes, and through what: nothing may be sent to hops that are left out.
    pub(super) fn order(&self, now: Timestamp, entropy: &mut Entropy) -> Vec<Hop> {
        let order = self.located.as_ref().map(|located| located.order(entropy));
        self.health.order(now, order.unwrap_or_default())
    }

    /// RFC 3608 § 6.1: the route that the registrar gave.
    pub(super) fn service_route(&self) -> &[Route] {
        self.registration.as_ref().map_or(&[], Registration::service_route)
    }

    /// In one word, how it is.
    pub(super) fn state(&self, now: Timestamp) -> (&'static str, Option<Because>) {
        match self.health.usable(now) {
            Usable::No { because, .. } => (because.as_str(), Some(because)),
            Usable::Yes if self.located.is_none() && self.lost.is_some() => ("lost", None),
            Usable::Yes if self.health.is_known() => ("up", None),
            Usable::Yes => ("unknown", None),
        }
    }

    /// These hops from now on; what is known of those that stay is kept.
    fn settle(&mut self, now: Timestamp, hops: &[Hop], acts: &mut Vec<Act>) {
        self.health.set_hops(hops);
        let reach_at = self.is_spoken_to().then_some(now);
        let mut before = std::mem::take(&mut self.spots);
        let was: Vec<Hop> = before.iter().map(|spot| spot.hop).collect();
        for hop in hops {
            let known = before.iter().position(|spot| spot.hop == *hop);
            self.spots
                .push(known.map_or_else(|| Spot::new(reach_at, *hop), |at| before.remove(at)));
        }
        before.iter_mut().for_each(|spot| spot.forget_probe(acts));
        if was != hops {
            acts.push(Act::Learn(hops.to_vec()));
        }
        if let Some(registration) = &self.registration {
            acts.push(Act::Listen(registration.call_id().to_owned()));
        }
        self.tell_ways(now, acts);
    }

    fn tell_ways(&mut self, now: Timestamp, acts: &mut Vec<Act>) {
        let ways: Vec<Way> = self.spots.iter().filter_map(|spot| spot.way).collect();
        let Some(registration) = &mut self.registration else { return };
        registration.set_ways(now, ways);
        let sent = registration.lapsed(now);
        self.send(sent, acts);
    }

    fn spot_lapsed(&mut self, now: Timestamp, at: usize, acts: &mut Vec<Act>) {
        let Some(spot) = self.spots.get_mut(at) else { return };
        if spot.reach_at.take_if(|due| *due <= now).is_some() {
            acts.push(Act::Reach(self.exit.clone(), spot.hop));
        }
        let output = spot.probe.as_mut().and_then(|probe| probe.lapsed(now));
        self.probed(now, at, output, acts);
    }

    fn probed(&mut self, now: Timestamp, at: usize, output: Option<Output>, acts: &mut Vec<Act>) {
        let Some(spot) = self.spots.get_mut(at) else { return };
        match output {
            None => {}
            Some(Output::Send { to, bytes }) => self.send(Some((to, bytes)), acts),
            Some(Output::Probed { probed, took }) => {
                spot.last = Some((probed, took, now));
                let hop = spot.hop;
                self.health.on(now, Event::Probed(hop, probed));
                self.hold(now);
            }
        }
    }

    /// Nothing is sent to who asked for a pause, OPTIONS neither.
    fn hold(&mut self, now: Timestamp) {
        for spot in &mut self.spots {
            if let Some(until) = self.health.paused_until(now, spot.hop)
                && let Some(probe) = &mut spot.probe
            {
                probe.hold(until);
            }
        }
    }

    fn admit(&mut self, now: Timestamp, acts: &mut Vec<Act>) {
        acts.extend(self.gate.admit(now).into_iter().map(Act::Admit));
    }

    fn send(&self, sent: Option<Sent>, acts: &mut Vec<Act>) {
        acts.extend(sent.map(|(to, bytes)| Act::Send { exit: self.exit.clone(), to, bytes }));
    }

    fn proxies(&self) -> Vec<Route> {
        self.trunk.proxy.iter().map(through).collect()
    }

    /// Whether anything is said to it besides calls, which find their own way.
    fn is_spoken_to(&self) -> bool {
        self.trunk.health.is_some() || self.registration.is_some()
    }

    /// Whom OPTIONS are for.
    fn domain(&self) -> Uri {
        let Target { host, port, .. } = &self.trunk.target;
        Uri::sip("", host, *port)
    }
}

impl Spot {
    fn new(reach_at: Option<Timestamp>, hop: Hop) -> Self {
        Self { hop, way: None, trouble: None, reach_at, probe: None, last: None }
    }

    fn forget_probe(&mut self, acts: &mut Vec<Act>) {
        if let Some(probe) = self.probe.take() {
            acts.push(Act::Unlisten(probe.call_id().to_owned()));
        }
    }
}

/// What is registered there.
fn account(trunk: &Trunk) -> Option<Account> {
    let registration = trunk.registration.as_ref()?;
    let Target { host, port, .. } = &trunk.target;
    let domain = trunk.identity.domain.as_ref().unwrap_or(host);
    Some(Account {
        record: Uri::sip(&registration.user, domain, None),
        registrar: Uri::sip("", host, *port),
        routes: trunk.proxy.iter().map(through).collect(),
        credentials: trunk.credentials.as_ref().map(TrunkCredentials::for_digest),
        contact_host: trunk.identity.contact_host.clone(),
        expires: registration.expires,
    })
}
