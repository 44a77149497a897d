//! What an attempt needs before it begins: a phone that is not being called, and money.

use super::holds::InCall;
use super::{Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::{Answer, Committed};
use crate::verify::money::Overspent;
use crate::verify::signal::{Cause, Effect, Reason, Signal};
use crate::verify::{Step, Verification};

/// Why an attempt cannot begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// Its phone is being called.
    InCall(InCall),
    /// There is no money for it.
    Overspent(Overspent),
}

impl Denied {
    /// As why it ended.
    fn cause(self) -> Cause {
        match self {
            Self::InCall(_) => Cause::because(Reason::Busy, "another call to this phone is up"),
            Self::Overspent(over) => Cause::because(Reason::BudgetDenied, over.to_string()),
        }
    }
}

impl Gateway {
    /// Commits a step, if what it begins can be had. If not, whoever waits for an answer is told so; where
    /// nobody does, the attempt ends before it begins, and what follows from that is committed instead.
    pub(super) async fn take_step(
        &self,
        now: Timestamp,
        before: Option<&Verification>,
        (mut next, mut effects): (Verification, Vec<Effect>),
        answer: Option<Answer>,
        somebody_waits: bool,
    ) -> Result<(Verification, Result<Committed, Denied>), Fault> {
        loop {
            let denied = match self.set_aside(now, &next, &effects, false).await? {
                Err(over) => Denied::Overspent(over),
                Ok(aside) => {
                    let (effects, answer) = (effects.clone(), answer.clone());
                    let committed = self.commit_from(now, before, &next, effects, answer).await?;
                    if committed == Committed::Yes {
                        return Ok((next, Ok(committed)));
                    }
                    self.put_back(now, aside).await;
                    match committed {
                        Committed::Held(hold) => Denied::InCall(InCall::by(&hold, now)),
                        Committed::Yes | Committed::Stale { .. } | Committed::Answered { .. } => {
                            return Ok((next, Ok(committed)));
                        }
                    }
                }
            };
            let begun = next.running().map(|running| running.no);
            let Some(attempt) = begun.filter(|_| !somebody_waits) else {
                return Ok((next, Err(denied)));
            };
            effects.retain(|effect| !effect.begins(attempt));
            let cause = denied.clone().cause();
            next = match next.apply(now, Signal::Ended { attempt, cause }) {
                Step::Moved { next, effects: more } => {
                    effects.extend(more);
                    next
                }
                Step::Ignored { same, .. } => return Ok((same, Err(denied))),
            };
        }
    }
}
