//! Codes that are typed, and attempts that are asked for.

use std::time::Duration;

use super::asked::replay;
use super::denied::Denied;
use super::settings::Tenant;
use super::{AnswerOf, Answered, Answering, Applied, Fault, Gateway, InCall};
use crate::ambient::{Entropy, Timestamp};
use crate::verify::code::{Binding, Secret};
use crate::verify::limits::{Limited, Who};
use crate::verify::money::Overspent;
use crate::verify::policy::{self, Refusal};
use crate::verify::request::{Channel, Mode, Way};
use crate::verify::route::NoRoute;
use crate::verify::signal::{Because, Reason, Resend, Signal, Status, Verdict};
use crate::verify::transaction::Transaction;
use crate::verify::{Verification, VerificationId};

/// Why a code was not compared.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The verdict stands.
    #[error("the verification is {} already", .0.as_str())]
    Settled(Status, Reason),
    /// No code was sent that could be typed.
    #[error("this verification asks for no code that could be typed")]
    NoCode,
    /// Ours.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why there is no other attempt.
#[derive(Debug, thiserror::Error)]
pub enum ResendError {
    /// The verdict stands.
    #[error("the verification is {} already", .0.as_str())]
    Settled(Status),
    /// The last attempt is too young.
    #[error("the last attempt is too young for another")]
    TooSoon {
        /// When another may be asked for.
        at: Timestamp,
        /// How long that is from now.
        wait: Duration,
    },
    /// There were as many as there may be.
    #[error("no more attempts may be asked for")]
    NoSendsLeft,
    /// Policy refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No route.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
    /// It was sent too often.
    #[error(transparent)]
    Limited(Limited),
    /// Its phone is being called for another verification.
    #[error("another call to this number is ringing or up")]
    InCall(InCall),
    /// There is no money for it.
    #[error(transparent)]
    Overspent(#[from] Overspent),
    /// This node takes nothing on now.
    #[error("this node is shutting down")]
    NotReady,
    /// Ours.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Gateway {
    /// Compares a code that somebody typed, with the payment that it is typed for: a code for one is
    /// right for that one alone, and without it for none. `None`: this tenant has no verification of
    /// that name.
    ///
    /// # Errors
    /// When it was not compared.
    pub async fn check(
        &self,
        tenant: &Tenant,
        id: &VerificationId,
        code: &str,
        payment: Option<&Transaction>,
        answer: AnswerOf,
    ) -> Result<Option<Answered>, CheckError> {
        if self.read(tenant, id).await?.is_none() {
            return Ok(None);
        }
        let vault = &self.0.vault;
        let guess = |it: &Verification| {
            let binding = Binding { transaction: payment, ..Binding::of(it) };
            Signal::Guess(vault.of_code(binding, code))
        };
        let scope = format!("check/{}/{id}", tenant.name);
        let answering = Answering { scope: &scope, answer: &answer, even_ignored: false };
        Ok(match self.apply(id, guess, Some(answering)).await? {
            None => None,
            Some(Applied::Moved(next)) => {
                Some(Answered::Fresh { body: (answer.render)(&next), id: id.clone(), left: None })
            }
            Some(Applied::Ignored(_, Because::NoCode)) => return Err(CheckError::NoCode),
            // Nothing is begun by a code.
            Some(Applied::Denied(_)) => return Err(Fault::Contended(id.clone()).into()),
            Some(Applied::Ignored(same, _)) => {
                // An answer that was stored under the same key is given again.
                if let Some(answered) = self.answered_before(&scope, &answer).await? {
                    return Ok(Some(answered));
                }
                let reason = same.verdict().map_or(Reason::Expired, Verdict::reason);
                return Err(CheckError::Settled(same.status(), reason));
            }
            Some(Applied::Answered { fingerprint, bytes }) => {
                Some(replay(&answer, &fingerprint, &bytes))
            }
        })
    }

    /// Makes another attempt of the same verification, by the same channel or another one; within
    /// the same deadline, and with no check given back. `None`: this tenant has none of that name.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn resend(
        &self,
        tenant: &Tenant,
        id: &VerificationId,
        channel: Option<Channel>,
        answer: AnswerOf,
    ) -> Result<Option<Answered>, ResendError> {
        let Some(now) = self.read(tenant, id).await? else { return Ok(None) };
        let scope = format!("resend/{}/{id}", tenant.name);
        if let Some(answered) = self.answered_before(&scope, &answer).await? {
            return Ok(Some(answered));
        }
        if self.is_draining() {
            return Err(ResendError::NotReady);
        }
        if now.verdict().is_some() {
            return Err(ResendError::Settled(now.status()));
        }
        let way = way_by(&now, channel);
        let orders = self.orders();
        let (rules, routes) = super::rules_for(&orders, tenant);
        let permit = policy::decide_channel(&now.request, way.channel, &rules)?;
        // The order was drawn for the verification as a whole.
        let mut draws = Entropy::from_number(now.seed);
        let able = |via: &str, way| Self::able(&orders, via, way, &now.request);
        let (to, tenant_name) = (&now.request.to, tenant.name.as_str());
        let steps = routes.steps(to, tenant_name, way, &permit, &able, &mut draws)?;
        let who = Who::of(&self.0.vault, &tenant.name, &now.request);
        let welcome = self.must_be_welcome(self.now(), tenant, &now.request, &steps).await?;
        let withheld = welcome?.withheld;
        // What is too soon, or one too many, is no send.
        if now.next_send_at().is_some_and(|at| at <= self.now()) {
            self.count_resend(tenant, &now.request, &who).await?;
        }
        let signal = |it: &Verification| {
            let secret = way.mode.has_code().then(|| self.secret_for(tenant, it)).flatten();
            Signal::Resend(Resend { steps: steps.clone(), secret, withheld })
        };
        let answering = Answering { scope: &scope, answer: &answer, even_ignored: false };
        Ok(match self.apply(id, signal, Some(answering)).await? {
            None => None,
            Some(Applied::Moved(next)) => {
                Some(Answered::Fresh { body: (answer.render)(&next), id: id.clone(), left: None })
            }
            Some(Applied::Denied(Denied::Unwelcome(refusal))) => return Err(refusal.into()),
            Some(Applied::Denied(Denied::InCall(busy))) => return Err(ResendError::InCall(busy)),
            Some(Applied::Denied(Denied::Overspent(over))) => return Err(over.into()),
            Some(Applied::Ignored(same, because)) => {
                // Another request of the same key may have been faster.
                if let Some(answered) = self.answered_before(&scope, &answer).await? {
                    return Ok(Some(answered));
                }
                let at = same.next_send_at();
                return Err(match (because, at) {
                    (Because::TooSoon, Some(at)) => {
                        ResendError::TooSoon { at, wait: at.since(self.now()) }
                    }
                    (Because::NoSendsLeft, _) => ResendError::NoSendsLeft,
                    (_, _) => ResendError::Settled(same.status()),
                });
            }
            Some(Applied::Answered { fingerprint, bytes }) => {
                Some(replay(&answer, &fingerprint, &bytes))
            }
        })
    }

    /// The secret that the next text carries, where it is not the one of the text before.
    fn secret_for(&self, tenant: &Tenant, verification: &Verification) -> Option<Secret> {
        let (vault, binding) = (&self.0.vault, Binding::of(verification));
        match &verification.secret {
            Some(secret) if tenant.texting.new_code => Some(vault.renewed(binding, secret)),
            Some(_) => None,
            None => Some(vault.secret(binding, tenant.texting.code_digits, None, None)),
        }
    }
}

/// How the person is to be reached next: as before unless the caller names a channel, and with the
/// question that the request has for it.
fn way_by(verification: &Verification, channel: Option<Channel>) -> Way {
    let last = verification.way();
    let channel = channel.unwrap_or(last.channel);
    let known = std::iter::once(last).chain(verification.request.ways());
    let otherwise = match channel {
        Channel::Voice => Mode::Confirm,
        Channel::Sms => Mode::Code,
    };
    let known = known.into_iter().find(|way| way.channel == channel);
    known.unwrap_or(Way { channel, mode: otherwise })
}
