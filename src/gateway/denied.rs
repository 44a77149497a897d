//! What an attempt needs before it begins: a phone that may be reached and is not being called, and money.

use super::holds::InCall;
use super::{Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::{Answer, Committed};
use crate::verify::attempt::AttemptNo;
use crate::verify::money::Overspent;
use crate::verify::policy::Refusal;
use crate::verify::signal::{Cause, Effect, Reason, Signal};
use crate::verify::{Step, Verification};

/// Why an attempt cannot begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// Its phone has been blocked meanwhile, or wants no texts any more.
    Unwelcome(Refusal),
    /// Its phone is being called.
    InCall(InCall),
    /// There is no money for it.
    Overspent(Overspent),
}

impl Denied {
    /// As why it ended.
    fn cause(self) -> Cause {
        match self {
            Self::Unwelcome(Refusal::OptedOut) => Cause::plain(Reason::OptedOut),
            Self::Unwelcome(refusal) => Cause::because(Reason::Blocked, refusal.to_string()),
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
            let begun = next.running().map(|running| running.no).filter(|_| !somebody_waits);
            let refusal = match begun {
                Some(no) => self.refused_now(now, &mut next, &mut effects, no).await?,
                // Whoever waits was asked for it, and it was looked at then.
                None => None,
            };
            let denied = match refusal {
                Some(refusal) => Denied::Unwelcome(refusal),
                None => {
                    let step = (&next, effects.as_slice());
                    match self.commit_if_had(now, before, step, answer.clone()).await? {
                        Ok(committed) => return Ok((next, Ok(committed))),
                        Err(denied) => denied,
                    }
                }
            };
            let Some(attempt) = begun else { return Ok((next, Err(denied))) };
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

    /// Commits a step, unless its phone is being called or there is no money for what it begins.
    async fn commit_if_had(
        &self,
        now: Timestamp,
        before: Option<&Verification>,
        (next, effects): (&Verification, &[Effect]),
        answer: Option<Answer>,
    ) -> Result<Result<Committed, Denied>, Fault> {
        let aside = match self.set_aside(now, next, effects, false).await? {
            Err(over) => return Ok(Err(Denied::Overspent(over))),
            Ok(aside) => aside,
        };
        let committed = self.commit_from(now, before, next, effects.to_vec(), answer).await?;
        if committed != Committed::Yes {
            self.put_back(now, aside).await;
        }
        Ok(match committed {
            Committed::Held(hold) => Err(Denied::InCall(InCall::by(&hold, now))),
            Committed::Yes | Committed::Stale { .. } | Committed::Answered { .. } => Ok(committed),
        })
    }

    /// What has come to stand since the start against an attempt that this step begins. Where the tenant hides
    /// that, the attempt only looks as if it began.
    async fn refused_now(
        &self,
        now: Timestamp,
        next: &mut Verification,
        effects: &mut Vec<Effect>,
        no: AttemptNo,
    ) -> Result<Option<Refusal>, Fault> {
        let begins = effects.iter().any(|effect| effect.begins(no));
        let Some(tenant) = self.tenant(&next.tenant).filter(|_| begins) else { return Ok(None) };
        // Whether a text is wanted is asked when it is sent: its sender may change.
        match self.must_be_welcome(now, &tenant, &next.request, &[]).await? {
            Err(refusal) => Ok(Some(refusal)),
            Ok(checked) => {
                if checked.withheld {
                    next.withheld = true;
                    effects.retain(|effect| !effect.begins(no));
                }
                Ok(None)
            }
        }
    }
}
