//! What the nodes that share a store are to one another: who carries out what, who is alive, and what they
//! hint at to each other.
//!
//! A node lives by its lease, which its claims renew, and its commits that take something. One whose
//! lease has lapsed is lost to the others: what it held is theirs. It knows by its own clock when they may
//! think so, and before that it has ended its calls and begins nothing that it took before.
//!
//! What a hint tells of is found without it, too: what waits to be carried out by the next claim, what
//! has moved by whoever waits looking again.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::dispatch::{Job, Work, report};
use super::{Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::record::{self, Duty};
use crate::store::{EffectId, Heard, Hint, Hinted, Hints, LEASE, Owner, Queued, RENEWAL};
use crate::telemetry::{self, Event};
use crate::verify::{Verification, VerificationId};

/// How long after its last renewal a node takes itself for lost: the others must find its calls ended. A
/// store renews only a lease that is as old as [`RENEWAL`], and so may count from that much earlier.
pub(super) const FENCE: Duration =
    LEASE.saturating_sub(RENEWAL).saturating_sub(Duration::from_secs(1));

/// How often what is kept of the store is read again, whatever is hinted at.
const READ_AGAIN: Duration = Duration::from_secs(10);

/// Who carries a duty out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doer {
    /// This node, at once.
    Us,
    /// Another one.
    Other(Owner),
    /// Whoever claims it.
    Anybody,
}

/// A duty, what it is called within its record, and who carries it out.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) effect: String,
    pub(super) duty: Duty,
    pub(super) doer: Doer,
}

/// The lease of this node, as it knows it.
#[derive(Debug, Default)]
pub(super) struct Lease(Mutex<Span>);

#[derive(Debug, Default)]
struct Span {
    /// Since when it has been renewed again and again without a gap.
    since: Timestamp,
    /// When what renewed it last was begun.
    renewed: Option<Timestamp>,
    /// Whether it was seen that it has lapsed.
    lapsed: bool,
    /// It had lapsed when it was renewed, and nobody has seen that: a commit may be faster than the
    /// claimer that looks.
    missed: bool,
}

impl Lease {
    fn span(&self) -> std::sync::MutexGuard<'_, Span> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was begun then has renewed it.
    pub(super) fn renew(&self, begun: Timestamp) {
        let mut span = self.span();
        if span.renewed.is_none_or(|renewed| begun >= renewed + FENCE) {
            span.missed |= span.renewed.is_some() && !span.lapsed;
            (span.since, span.lapsed) = (begun, false);
        }
        span.renewed = span.renewed.max(Some(begun));
    }

    /// Whether it has been held from then until now.
    fn held(&self, since: Timestamp, now: Timestamp) -> bool {
        let span = self.span();
        span.since <= since && span.renewed.is_some_and(|renewed| now < renewed + FENCE)
    }

    /// Whether it has lapsed; told once.
    fn lapses(&self, now: Timestamp) -> bool {
        let mut span = self.span();
        let lapses = !span.lapsed && span.renewed.is_some_and(|it| now >= it + FENCE);
        span.lapsed |= lapses;
        std::mem::take(&mut span.missed) || lapses
    }
}

impl Gateway {
    /// What this node is called among those that share its store: one name for each run.
    #[must_use]
    pub fn node(&self) -> &str {
        self.0.owner.as_str()
    }

    /// Takes nothing new from now on, and begins no call: others do.
    pub fn stop_taking(&self) {
        self.0.draining.send_replace(true);
    }

    /// How many calls of this node are ringing or up.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.0.calls.as_ref().map_or(0, |calls| calls.count())
    }

    /// Whether no call of this node is up, and nothing is in hand that leads to one.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.calls() == 0 && self.0.in_flight.load(Ordering::Relaxed) == 0
    }

    /// Who carries out what a step of this verification leads to.
    pub(super) fn assigned(&self, of: &Verification, duties: Vec<(String, Duty)>) -> Vec<Assigned> {
        let assigned = |(effect, duty)| {
            let doer = self.doer(of, &duty);
            Assigned { effect, duty, doer }
        };
        duties.into_iter().map(assigned).collect()
    }

    /// A call is ended by the node that has it, and a node that is being stopped begins none.
    fn doer(&self, of: &Verification, duty: &Duty) -> Doer {
        match duty {
            Duty::HangUp { attempt, .. } => {
                match of.find(*attempt).and_then(|attempt| attempt.node.as_deref()) {
                    Some(node) if node != self.node() => Doer::Other(Owner::new(node)),
                    Some(_) | None => Doer::Us,
                }
            }
            Duty::Dial { .. } if self.is_draining() => Doer::Anybody,
            Duty::Dial { .. } | Duty::Send { .. } | Duty::Deliver(_) => Doer::Us,
        }
    }

    /// Duties that this node carries out.
    pub(super) fn ours(duties: Vec<(String, Duty)>) -> Vec<Assigned> {
        let ours = |(effect, duty)| Assigned { effect, duty, doer: Doer::Us };
        duties.into_iter().map(ours).collect()
    }

    /// Duties as they are committed: this node's own are taken by it at once.
    pub(super) fn queued(
        &self,
        now: Timestamp,
        record: &str,
        duties: &[Assigned],
    ) -> Result<Vec<Queued>, Fault> {
        let queued = |Assigned { effect, duty, doer }: &Assigned| {
            let (claimed_by, to) = match doer {
                Doer::Us => (Some(self.0.owner.clone()), None),
                Doer::Other(owner) => (None, Some(owner.clone())),
                Doer::Anybody => (None, None),
            };
            Ok(Queued {
                id: EffectId { record: record.to_owned(), effect: effect.clone() },
                kind: duty.kind(),
                due: now,
                bytes: record::encode_duty(duty)?,
                once: !duty.repeatable(),
                claimed_by,
                to,
            })
        };
        duties.iter().map(queued).collect()
    }

    /// What was committed goes to be carried out.
    pub(super) fn hand_all_over(&self, record: &str, duties: Vec<Assigned>) {
        let events = duties.iter().filter(|it| matches!(it.duty, Duty::Deliver(_))).count();
        if events > 0 {
            telemetry::observe(&Event::ToDeliver(events));
        }
        for Assigned { effect, duty, doer } in duties {
            let to = match doer {
                Doer::Us => {
                    let id = EffectId { record: record.to_owned(), effect };
                    let since = self.now();
                    self.hand_over(Job::Effect(Work { id, duty, orphaned: false, since }));
                    continue;
                }
                Doer::Other(owner) => Some(owner),
                Doer::Anybody => None,
            };
            self.0.store.hint(&self.0.owner, || Hint::Work(to));
        }
    }

    /// Tells everybody who waits for this record, on whichever node.
    pub(super) fn announce(&self, id: &VerificationId) {
        self.0.hub.announce(id);
        self.0.store.hint(&self.0.owner, || Hint::Moved(id.to_string()));
    }

    /// Whether what this node took then is still its own: nobody has had a reason to take it over.
    pub(super) fn has_kept(&self, since: Timestamp) -> bool {
        !self.0.store.is_shared() || self.0.lease.held(since, self.now())
    }

    /// Whether this node must now take itself for lost; told once.
    pub(super) fn is_lost(&self) -> bool {
        let lost = self.0.store.is_shared() && self.0.lease.lapses(self.now());
        if lost {
            telemetry::observe(&Event::LeaseLapsed);
        }
        lost
    }

    /// Heeds what other nodes hint at, until the runtime ends it.
    pub(super) async fn heed(self, mut hints: Hints) {
        loop {
            let heard = tokio::time::timeout(READ_AGAIN, hints.next()).await;
            let stale = match heard {
                Ok(heard) => self.hear_of(heard),
                Err(_) => self.0.store.is_shared(),
            };
            if stale && let Err(fault) = self.take_up().await {
                report("read the tenants and keys in the store", &fault);
            }
        }
    }

    /// Takes a hint; whether what is kept of the store is to be read again.
    pub(super) fn hear_of(&self, heard: Heard) -> bool {
        let look = || {
            let _ = self.0.wake.send(self.now());
        };
        match heard {
            Heard::Hint(Hinted { from, .. }) if from == self.0.owner => false,
            Heard::Hint(Hinted { hint: Hint::Moved(record), .. }) => {
                if let Some(id) = VerificationId::parse(&record) {
                    self.0.hub.announce(&id);
                }
                super::access::is_kept(&record) || super::tenancy::is_kept(&record)
            }
            Heard::Hint(Hinted { hint: Hint::Work(to), .. }) => {
                let for_us = to.map_or(!self.is_draining(), |to| to == self.0.owner);
                if for_us {
                    look();
                }
                false
            }
            Heard::Missed => {
                self.0.hub.announce_all();
                look();
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_000 + secs)
    }

    #[test]
    fn what_was_taken_is_kept_as_long_as_the_lease_is() {
        let lease = Lease::default();
        assert!(!lease.held(at(0), at(0)) && !lease.lapses(at(0)), "there is none yet");
        lease.renew(at(0));
        assert!(lease.held(at(0), at(8)));
        assert!(!lease.held(at(0), at(9)), "a second before the others may think so");
        lease.renew(at(8));
        assert!(lease.held(at(0), at(16)));
        assert!(!lease.lapses(at(16)));
    }

    #[test]
    fn what_was_taken_before_a_gap_is_lost_for_good() {
        let lease = Lease::default();
        lease.renew(at(0));
        assert!(lease.lapses(at(9)) && !lease.lapses(at(10)), "told once");
        lease.renew(at(30));
        assert!(!lease.held(at(0), at(30)) && !lease.held(at(29), at(30)));
        assert!(lease.held(at(30), at(30)));
        assert!(lease.lapses(at(39)), "and the next time again");
    }

    #[test]
    fn a_gap_that_a_renewal_has_closed_is_told_all_the_same() {
        let lease = Lease::default();
        lease.renew(at(0));
        lease.renew(at(30));
        assert!(lease.lapses(at(30)) && !lease.lapses(at(31)), "told once");
        assert!(lease.held(at(30), at(31)));
    }

    #[test]
    fn a_renewal_that_began_before_another_changes_nothing() {
        let lease = Lease::default();
        lease.renew(at(10));
        lease.renew(at(4));
        assert!(lease.held(at(10), at(18)));
    }
}
