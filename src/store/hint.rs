//! What nodes that share a store hint at to one another.
//!
//! A hint makes a node look sooner, and is never needed for what is right: one that is lost, late or made up
//! by somebody else costs a look or some seconds. It says nothing of a person.

use std::fmt;
use std::str::FromStr;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{Receiver, Sender};

use super::Owner;

/// How many hints a node may be behind.
pub(super) const WAITING: usize = 1_024;

/// What a node tells the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// This record has moved.
    Moved(String),
    /// Something waits to be claimed: by this owner, or by anybody.
    Work(Option<Owner>),
}

/// A hint, and who gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hinted {
    /// Who.
    pub from: Owner,
    /// What.
    pub hint: Hint,
}

/// On its way through a store of many machines: the names of owners and records have no blanks.
impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Hint::Moved(record) => write!(f, "{} moved {record}", self.from),
            Hint::Work(None) => write!(f, "{} work", self.from),
            Hint::Work(Some(owner)) => write!(f, "{} work {owner}", self.from),
        }
    }
}

/// It is no hint that this program knows; another version may know more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no hint")]
pub struct NoHint;

impl FromStr for Hinted {
    type Err = NoHint;

    fn from_str(text: &str) -> Result<Self, NoHint> {
        let mut words = text.split(' ');
        let from = words.next().filter(|from| !from.is_empty()).ok_or(NoHint)?;
        let hint = match (words.next(), words.next(), words.next()) {
            (Some("moved"), Some(record), None) => Hint::Moved(record.to_owned()),
            (Some("work"), None, None) => Hint::Work(None),
            (Some("work"), Some(owner), None) => Hint::Work(Some(Owner::new(owner))),
            (_, _, _) => return Err(NoHint),
        };
        Ok(Self { from: Owner::new(from), hint })
    }
}

/// Where a node hears the others.
#[derive(Debug)]
pub struct Hints(Option<Receiver<Hinted>>);

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A hint.
    Hint(Hinted),
    /// Some hints were missed: anything may have happened.
    Missed,
}

impl Hints {
    /// What comes of this channel from now on; `None`: nobody else shares the store.
    pub(super) fn of(hints: Option<&Sender<Hinted>>) -> Self {
        Self(hints.map(Sender::subscribe))
    }

    /// The next one. It never comes where nobody else shares the store, or the store is gone.
    pub async fn next(&mut self) -> Heard {
        let Some(hints) = &mut self.0 else { return std::future::pending().await };
        match hints.recv().await {
            Ok(hinted) => Heard::Hint(hinted),
            Err(RecvError::Lagged(_)) => Heard::Missed,
            Err(RecvError::Closed) => {
                self.0 = None;
                std::future::pending().await
            }
        }
    }

    /// The next one, if it is there.
    pub fn try_next(&mut self) -> Option<Heard> {
        match self.0.as_mut()?.try_recv() {
            Ok(hinted) => Some(Heard::Hint(hinted)),
            Err(TryRecvError::Lagged(_)) => Some(Heard::Missed),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_comes_back_as_it_was() {
        let owner = Owner::new("node-b");
        let hints = [Hint::Moved("vf_1".into()), Hint::Work(None), Hint::Work(Some(owner))];
        for hint in hints {
            let hinted = Hinted { from: Owner::new("node-a"), hint };
            assert_eq!(hinted.to_string().parse(), Ok(hinted));
        }
    }

    #[test]
    fn what_another_version_says_is_passed_over() {
        for text in ["", "a", " moved x", "a moved", "a moved x y", "a rang vf_1", "a work b c"] {
            assert_eq!(text.parse::<Hinted>(), Err(NoHint), "{text}");
        }
    }
}
