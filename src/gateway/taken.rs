//! What this node has taken of the store, and whether it may have taken more than it knows of.
//!
//! A commit and a claim take effects for this node. When the answer to one is lost, what it took is this
//! node's as far as the store knows, and nobody's in fact: no other takes it as long as this one lives.
//! So after such a loss what the store says that this node has is looked at, and what it knows
//! nothing of is carried out, as what a lost node has left: another may have begun it before.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Gateway;
use super::dispatch::{Job, Work, report};
use crate::ambient::Timestamp;
use crate::store::record;
use crate::store::{Commit, Committed, Effect, EffectId, Owner, StoreError};

/// How long after its answer was given up a request may still be carried out.
const LATE: Duration = Duration::from_secs(60);

/// How much may be known before it is looked at what of it is over: others end attempts of this node, too.
const KNOWN_MOST: usize = 20_000;

/// Effects of this node.
#[derive(Debug, Default)]
pub(super) struct Taken(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    /// Taken, and handed to the dispatcher once.
    known: HashSet<EffectId>,
    /// Of commits whose outcome is not known yet.
    expected: HashSet<EffectId>,
    /// When an answer was lost last.
    doubt: Option<Timestamp>,
}

/// What a commit takes, and what it gives back.
pub(super) struct Expected {
    takes: Vec<EffectId>,
    gives: Vec<EffectId>,
}

impl Taken {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a commit.
    pub(super) fn expect(&self, commit: &Commit, owner: &Owner) -> Expected {
        let ours = commit.queue.iter().filter(|it| it.claimed_by.as_ref() == Some(owner));
        let takes: Vec<EffectId> = ours.map(|queued| queued.id.clone()).collect();
        self.books().expected.extend(takes.iter().cloned());
        let postponed = commit.postpone.iter().map(|postponed| &postponed.id);
        let gives = commit.done.iter().chain(postponed).cloned().collect();
        Expected { takes, gives }
    }

    /// After it; `None`: its answer was lost.
    pub(super) fn settle(&self, expected: Expected, written: Option<&Committed>, now: Timestamp) {
        let mut books = self.books();
        let Expected { takes, gives } = expected;
        for id in &takes {
            books.expected.remove(id);
        }
        match written {
            Some(Committed::Yes) => {
                gives.iter().for_each(|id| drop(books.known.take(id)));
                books.known.extend(takes);
            }
            Some(Committed::Stale { .. } | Committed::Answered { .. } | Committed::Held(_)) => {}
            None => books.doubt = Some(now),
        }
    }

    /// After a claim; `None`: its answer was lost.
    pub(super) fn claimed(&self, effects: Option<&[Effect]>, now: Timestamp) {
        let mut books = self.books();
        match effects {
            Some(effects) => books.known.extend(effects.iter().map(|effect| effect.id.clone())),
            None => books.doubt = Some(now),
        }
    }

    /// Whether what the store says is to be looked at.
    fn is_in_doubt(&self) -> bool {
        let books = self.books();
        books.doubt.is_some() || books.known.len() > KNOWN_MOST
    }

    /// Takes note of what the store says that this node has; gives back what it did not know of.
    fn audit(&self, held: Vec<Effect>, now: Timestamp) -> Vec<Effect> {
        let mut books = self.books();
        if books.known.len() > KNOWN_MOST {
            let ids: HashSet<&EffectId> = held.iter().map(|effect| &effect.id).collect();
            books.known.retain(|id| ids.contains(id));
        }
        books.doubt = books.doubt.filter(|since| now < *since + LATE);
        let mut unknown = held;
        unknown.retain(|it| !books.expected.contains(&it.id) && books.known.insert(it.id.clone()));
        unknown
    }
}

impl Gateway {
    /// Finds what this node has without knowing it, and hands it over.
    pub(super) async fn find_taken(&self) -> Result<(), StoreError> {
        if !self.0.taken.is_in_doubt() {
            return Ok(());
        }
        let now = self.now();
        let held = self.0.store.held(&self.0.owner).await?;
        for Effect { id, bytes, .. } in self.0.taken.audit(held, now) {
            match record::decode_duty(&bytes) {
                // This node has not begun it; one that was lost with it may have.
                Ok(duty) => {
                    self.hand_over(Job::Effect(Work { id, duty, orphaned: true, since: now }));
                }
                Err(error) => report("read a stored effect", &error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Queued;

    const fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_000 + secs)
    }

    fn id(effect: &str) -> EffectId {
        EffectId { record: "vf_1".to_owned(), effect: effect.to_owned() }
    }

    fn taking(effect: &str) -> Commit {
        let (id, claimed_by) = (id(effect), Some(Owner::new("us")));
        let queued =
            Queued { id, kind: 1, due: at(0), bytes: vec![], once: true, claimed_by, to: None };
        Commit { queue: vec![queued], ..Commit::default() }
    }

    fn held(effects: &[&str]) -> Vec<Effect> {
        let effect = |effect: &&str| Effect {
            id: id(effect),
            kind: 1,
            due: at(0),
            bytes: Vec::new(),
            once: true,
            orphaned: false,
        };
        effects.iter().map(effect).collect()
    }

    fn found(taken: &Taken, effects: &[&str], now: Timestamp) -> Vec<String> {
        taken.audit(held(effects), now).into_iter().map(|it| it.id.effect).collect()
    }

    #[test]
    fn what_was_taken_without_an_answer_is_found_once() {
        let (taken, us) = (Taken::default(), Owner::new("us"));
        let known = taken.expect(&taking("a"), &us);
        taken.settle(known, Some(&Committed::Yes), at(0));
        assert!(!taken.is_in_doubt());
        let lost = taken.expect(&taking("b"), &us);
        taken.settle(lost, None, at(1));
        assert!(taken.is_in_doubt());
        assert_eq!(found(&taken, &["a", "b"], at(2)), ["b"]);
        assert_eq!(found(&taken, &["a", "b"], at(3)), [""; 0]);
    }

    #[test]
    fn what_is_being_committed_is_no_find() {
        let (taken, us) = (Taken::default(), Owner::new("us"));
        let expected = taken.expect(&taking("a"), &us);
        assert_eq!(found(&taken, &["a"], at(0)), [""; 0]);
        taken.settle(expected, Some(&Committed::Yes), at(0));
        assert_eq!(found(&taken, &["a"], at(1)), [""; 0]);
    }

    #[test]
    fn what_is_carried_out_late_is_found_for_a_while() {
        let taken = Taken::default();
        taken.claimed(None, at(0));
        assert_eq!(found(&taken, &[], at(1)), [""; 0]);
        assert!(taken.is_in_doubt(), "the claim may still be carried out");
        assert_eq!(found(&taken, &["c"], at(59)), ["c"]);
        assert_eq!(found(&taken, &["c"], at(60)), [""; 0]);
        assert!(!taken.is_in_doubt());
    }
}
