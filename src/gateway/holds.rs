//! What there is one of at a time: a question that is asked again at once, and a call to a number.
//!
//! Each is a name that one verification has for itself ([`Hold`]), taken in the commit that needs it and
//! given back in the commit that ends it; of those who want it at once one has it. A name that was never given
//! back, because its node was lost for good, is free when its time is over.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use super::asked::{replay, stored_answer};
use super::resource::render_joined;
use super::settings::Tenant;
use super::{AnswerOf, Answered, Asked, Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::{Committed, Hold};
use crate::telemetry::{self, Event};
use crate::verify::attempt::Attempt;
use crate::verify::number::PhoneNumber;
use crate::verify::request::{Channel, Request};
use crate::verify::{Verification, VerificationId};

/// The longest that who is refused is told to wait: most calls are over by then.
const WAIT_MOST: Duration = Duration::from_secs(30);

/// How many starts of one person after the other go on at once, each for another person: so many that two
/// seldom wait for one another.
const QUEUES: usize = 1_024;

/// Starts that could be one and the same go one after the other, so that the second finds the first before a
/// limit stands against it.
#[derive(Debug)]
pub(super) struct Queues(Vec<Mutex<()>>);

impl Default for Queues {
    fn default() -> Self {
        Self(std::iter::repeat_with(Mutex::default).take(QUEUES).collect())
    }
}

impl Queues {
    async fn enter(&self, name: &str) -> Option<MutexGuard<'_, ()>> {
        let mix = |sum: usize, byte: u8| sum.wrapping_mul(31).wrapping_add(usize::from(byte));
        let place = name.bytes().fold(0, mix) % QUEUES;
        match self.0.get(place) {
            Some(queue) => Some(queue.lock().await),
            None => None,
        }
    }
}

/// A question that a later one like it joins: its turn, and its name.
pub(super) struct Question<'a> {
    name: String,
    window: Duration,
    _turn: Option<MutexGuard<'a, ()>>,
}

impl Question<'_> {
    /// The name, for the verification that asks it.
    pub(super) fn hold(&self, next: &Verification) -> Hold {
        let until = (next.created_at + self.window).min(next.expires_at);
        Hold { name: self.name.clone(), record: next.id.to_string(), until }
    }

    /// Whether it is this name that another has.
    pub(super) fn is(&self, held: &Hold) -> bool {
        held.name == self.name
    }
}

/// Another call to the number is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InCall {
    /// When to ask again: the call may be over by then.
    pub wait: Duration,
}

impl InCall {
    /// Who has the name of the call.
    pub(super) fn by(hold: &Hold, now: Timestamp) -> Self {
        Self { wait: hold.until.since(now).clamp(Duration::from_secs(1), WAIT_MOST) }
    }
}

impl Gateway {
    /// The question of a request, where one that is asked again joins it: it says who is asked, all that
    /// it says is the same, and no secret of the caller's is in it, which could be another.
    pub(super) async fn question<'a>(
        &'a self,
        tenant: &Tenant,
        asked: &Asked,
    ) -> Option<Question<'a>> {
        let has_secrets = asked.code.is_some() || asked.pin.is_some() || asked.shown.is_some();
        if asked.dry_run || has_secrets || tenant.join.is_zero() {
            return None;
        }
        let name = self.question_name(&tenant.name, &asked.request)?;
        let turn = self.0.queues.enter(&name).await;
        Some(Question { name, window: tenant.join, _turn: turn })
    }

    /// Who has the name of a question.
    pub(super) async fn who_asks(
        &self,
        question: Option<&Question<'_>>,
    ) -> Result<Option<Hold>, Fault> {
        let Some(question) = question else { return Ok(None) };
        Ok(self.0.store.holder(self.now(), &question.name).await?)
    }

    /// The answer of a start that asks what is being asked already: the verification that has the name of
    /// the question. `None` where it is over.
    pub(super) async fn joined(
        &self,
        tenant: &Tenant,
        hold: &Hold,
        scope: &str,
        answer: &AnswerOf,
    ) -> Result<Option<Answered>, Fault> {
        let now = self.now();
        let Some(id) = VerificationId::parse(&hold.record) else { return Ok(None) };
        let running = self.read(tenant, &id).await?;
        let running = running.filter(|it| it.verdict().is_none() && it.expires_at > now);
        let Some(running) = running else { return Ok(None) };
        let told = AnswerOf { render: render_joined, ..answer.clone() };
        if let Some(row) = stored_answer(scope, &told, &running, now, true)
            && let Committed::Answered { fingerprint, bytes } =
                self.commit_from(now, None, &running, Vec::new(), Some(row)).await?
        {
            return Ok(Some(replay(answer, &fingerprint, &bytes)));
        }
        telemetry::observe(&Event::Joined { verification: &running });
        Ok(Some(Answered::Joined { body: (told.render)(&running), id, replayed: false }))
    }

    /// Who calls this number now.
    pub(super) async fn call_to(&self, to: &PhoneNumber) -> Result<Option<InCall>, Fault> {
        let now = self.now();
        let hold = self.0.store.holder(now, &self.call_name(to)).await?;
        Ok(hold.map(|hold| InCall::by(&hold, now)))
    }

    /// The names that a step takes, keeps for longer, or gives back, besides that of its question, which it
    /// takes when it is born.
    pub(super) fn holds(
        &self,
        now: Timestamp,
        before: Option<&Verification>,
        next: &Verification,
    ) -> Vec<Hold> {
        let mut holds = Vec::new();
        let record = || next.id.to_string();
        let (was, is) = (before.and_then(call), call(next));
        if was.map(|it| it.no) != is.map(|it| it.no) && !self.is_rehearsed(next) {
            let until = is.map_or(now, |call| next.given_up_at(call));
            holds.push(Hold { name: self.call_name(&next.request.to), record: record(), until });
        }
        let was_open = before.is_some_and(|before| before.verdict().is_none());
        if was_open && next.verdict().is_some() {
            let name = self.question_name(&next.tenant, &next.request);
            holds.extend(name.map(|name| Hold { name, record: record(), until: now }));
        }
        holds
    }

    /// A name of all that a question says; `None` where it does not say whom it asks.
    fn question_name(&self, tenant: &str, request: &Request) -> Option<String> {
        request.subject.as_ref()?;
        // Callers that trace name another place in another trace each time they ask.
        let said = Request { traceparent: None, tracestate: None, ..request.clone() };
        let said = serde_json::to_string(&said).ok()?;
        Some(format!("question/{}", self.0.vault.counted(tenant, "question", &said)))
    }

    /// A name of no tenant: a phone rings once, whoever calls.
    fn call_name(&self, to: &PhoneNumber) -> String {
        format!("call/{}", self.0.vault.counted("", "call", to.expose()))
    }

    fn is_rehearsed(&self, verification: &Verification) -> bool {
        self.tenant(&verification.tenant).is_some_and(|tenant| tenant.test)
    }
}

/// The call that rings or is up.
fn call(verification: &Verification) -> Option<&Attempt> {
    verification.running().filter(|running| running.channel == Channel::Voice)
}
