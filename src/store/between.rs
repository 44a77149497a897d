//! What stands between a gateway and its store in a simulation, which hands it in: it may hold a verb up,
//! fail it before it is carried out or after, and change what it says.

use std::fmt;
use std::pin::Pin;

use super::{Claimed, Commit, Committed, StoreError, Stored};

/// Whether a verb goes on, once whoever is between lets it.
pub type Passage<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// Who stands between.
pub trait Between: fmt::Debug + Send + Sync {
    /// A verb is about to be carried out. An error is its outcome, and nothing happens.
    fn before<'a>(&'a self, verb: Verb<'a>) -> Passage<'a>;

    /// It was carried out. An error is told in place of its outcome, which nobody learns.
    fn after<'a>(&'a self, done: Done<'a>) -> Passage<'a>;
}

/// A verb.
#[derive(Debug)]
pub enum Verb<'a> {
    /// One of those that only read; the record, where it reads one.
    Read(Option<&'a str>),
    /// A change, as it is to be.
    Commit(&'a mut Commit),
    /// A claim.
    Claim,
    /// A tally.
    Tally,
}

/// What became of a verb.
#[derive(Debug)]
pub enum Done<'a> {
    /// Something was read; the record, where it was one.
    Read(Option<&'a mut Stored>),
    /// A change was tried.
    Commit(&'a Commit, &'a Committed),
    /// Something was claimed.
    Claim(&'a Claimed),
    /// Something was tallied.
    Tally,
}
