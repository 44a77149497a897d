//! What carriers tell by calling us: from a request to signals.

use std::fmt;
use std::time::Duration;

use subtle::ConstantTimeEq as _;

use super::dispatch::Job;
use super::orders::Orders;
use super::settings::Provider;
use super::{Fault, Gateway, handle_alias, hearing};
use crate::ambient::Timestamp;
use crate::carrier::wire::HttpAnswer;
use crate::carrier::{About, Carrier, Forged, Hook, News, Scene, Text};
use crate::store::Answer;
use crate::telemetry::{self, Event};
use crate::verify::VerificationId;
use crate::verify::attempt::AttemptNo;
use crate::verify::signal::{Said, Status};

/// How long an event of a carrier is remembered, so that a second one is a repeat.
const ONCE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a text of a person is remembered. Most carriers sign no time, so a request that was
/// kept somewhere could be sent again whenever it suits.
const ONCE_TEXT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// For how long, and after which pauses, receipts are looked at again that came before the answer
/// to their order; for all receipts of one request together.
const EARLY: Duration = Duration::from_secs(1);
const EARLY_PAUSE: Duration = Duration::from_millis(100);

/// How often news of a session are taken that the store could not take.
const TOLD_TRIES: u32 = 10;

/// How the names of answers to people begin, where attempts have theirs.
pub(super) const NOTICE: &str = "notice-";

/// A request of a carrier, as it came. It holds tokens, numbers and codes, and shows none.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The carrier's name in the path.
    pub carrier: &'a str,
    /// What it is about.
    pub about: Address<'a>,
    /// The path.
    pub path: &'a str,
    /// The query, without `?`.
    pub query: &'a str,
    /// Every header; names in lower case.
    pub headers: &'a [(String, String)],
    /// The raw body.
    pub body: &'a [u8],
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({}, {} bytes)", self.carrier, self.body.len())
    }
}

/// Where a request of a carrier went.
#[derive(Clone, Copy)]
pub enum Address<'a> {
    /// To an attempt.
    Attempt {
        /// Our name for it.
        attempt: &'a str,
        /// What only the carrier was told.
        token: &'a str,
        /// What stands behind it.
        part: Option<&'a str>,
    },
    /// To where texts of people come in.
    Inbound {
        /// What only the carrier was told, where it signs nothing.
        token: Option<&'a str>,
    },
}

impl fmt::Debug for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attempt { .. } => "Attempt(•)",
            Self::Inbound { .. } => "Inbound(•)",
        })
    }
}

/// What a request is about that went to an address we gave.
enum Admitted<'a> {
    /// An attempt, and what stands behind the token.
    Attempt(VerificationId, AttemptNo, Option<&'a str>),
    /// What people write.
    Inbound,
    /// Something we told a person; nobody waits for its receipt.
    Notice,
}

/// Why a request of a carrier is not taken.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// There is no such address.
    #[error("there is nothing of this name here")]
    Unknown,
    /// It is not the carrier's.
    #[error("this request is not believed")]
    Forged,
    /// Ours; the carrier may send it again.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Gateway {
    /// Takes a request of a carrier: is it believed, what does it say, what is answered.
    ///
    /// # Errors
    /// When it is not taken; nothing has changed then.
    pub async fn hook(&self, call: Call<'_>) -> Result<HttpAnswer, HookError> {
        let orders = self.orders();
        let carrier = orders.carrier(call.carrier).ok_or(HookError::Unknown)?;
        let adapter = carrier.carrier().ok_or(HookError::Unknown)?;
        let (this, part) = match self.admit(carrier, &call)? {
            Admitted::Attempt(id, no, part) => (Some((id, no)), part),
            Admitted::Inbound => (None, None),
            Admitted::Notice => return Ok(HttpAnswer::default()),
        };
        let verification = match &this {
            Some((id, _)) => Some(self.load(id).await?.ok_or(HookError::Unknown)?),
            None => None,
        };
        let hooks = match call.about {
            Address::Attempt { attempt, .. } => orders.hooks(call.carrier, attempt),
            Address::Inbound { .. } => String::new(),
        };
        let scene = verification.as_ref().zip(this.as_ref()).and_then(|(verification, (_, no))| {
            verification.find(*no).map(|attempt| Orders::scene(verification, attempt, &hooks))
        });
        let base = orders.public_url.as_deref().unwrap_or_default();
        let url = match call.query {
            "" => format!("{base}{}", call.path),
            query => format!("{base}{}?{query}", call.path),
        };
        let now = self.now();
        let Call { query, headers, body, .. } = call;
        let hook = Hook { url: &url, part, query, headers, body, now, scene };
        self.take(call.carrier, adapter, hook, this).await
    }

    /// Whether a request went to an address that was told to this carrier alone.
    fn admit<'a>(&self, carrier: &Provider, call: &Call<'a>) -> Result<Admitted<'a>, HookError> {
        match call.about {
            Address::Attempt { attempt, token, part } => {
                if !self.0.vault.is_hook_token(call.carrier, attempt, token) {
                    return Err(self.forged(call.carrier, "token"));
                }
                if attempt.starts_with(NOTICE) {
                    return Ok(Admitted::Notice);
                }
                let (id, no) = Orders::attempt_of(attempt).ok_or(HookError::Unknown)?;
                Ok(Admitted::Attempt(id, no, part))
            }
            Address::Inbound { token } => {
                let wanted = carrier.inbound_token.as_deref().map_or("", String::as_str);
                let given = token.unwrap_or_default();
                if !bool::from(wanted.as_bytes().ct_eq(given.as_bytes())) {
                    return Err(self.forged(call.carrier, "token"));
                }
                Ok(Admitted::Inbound)
            }
        }
    }

    /// Takes what an admitted request says, if its carrier says it, and if it is not a repeat.
    async fn take(
        &self,
        carrier: &str,
        adapter: &dyn Carrier,
        hook: Hook<'_>,
        this: Option<(VerificationId, AttemptNo)>,
    ) -> Result<HttpAnswer, HookError> {
        let as_if = |over| {
            let scene = hook.scene.map(|scene| Scene { over, ..scene });
            adapter.hear(&Hook { scene, ..hook })
        };
        // The name of an event is the same whether the attempt is over or not.
        let mut heard = match as_if(false) {
            Ok(heard) => heard,
            Err(forged) => return Err(self.forged(carrier, Forged::as_str(forged))),
        };
        let once = heard.once.as_ref().map(|once| format!("hook/{carrier}/{once}"));
        if let Some(before) = self.repeated(once.as_deref(), &heard.answer).await? {
            return Ok(before);
        }
        if hook.scene.is_some_and(|scene| scene.over) {
            heard = as_if(true).unwrap_or(heard);
        }
        let confirms =
            |(_, news): &(About, News)| matches!(news, News::Said { said: Said::Confirmed, .. });
        let confirms = heard.news.iter().any(confirms);
        let until = hook.now + EARLY;
        for (about, news) in std::mem::take(&mut heard.news) {
            self.learn(carrier, this.as_ref(), about, news, until).await?;
        }
        if let (true, Some((id, _))) = (confirms, &this) {
            // Thanks are for what counted: the deadline, or another's word, may have come first.
            let after = self.load(id).await?;
            if after.is_none_or(|after| after.status() != Status::Approved) {
                heard = as_if(true).unwrap_or(heard);
            }
        }
        for request in heard.then {
            self.hand_over(Job::Ask(request));
        }
        if let Some(key) = once {
            let (fingerprint, bytes) = ([0; 32], heard.answer.body.clone().into_bytes());
            let expires = hook.now + ONCE;
            self.remember(Answer { key, fingerprint, bytes, expires }).await?;
        }
        Ok(heard.answer)
    }

    /// What this very event was answered before; it is `alike` but for the body.
    async fn repeated(
        &self,
        once: Option<&str>,
        alike: &HttpAnswer,
    ) -> Result<Option<HttpAnswer>, Fault> {
        let Some(key) = once else { return Ok(None) };
        let before = self.0.store.answered(self.now(), key).await?;
        let body = before.and_then(|before| String::from_utf8(before.bytes).ok());
        Ok(body.map(|body| HttpAnswer { body, ..alike.clone() }))
    }

    /// Takes what a carrier says on a line of its own.
    pub(super) async fn told(&self, carrier: &str, news: Vec<(About, News)>) {
        let until = self.now() + EARLY;
        for (about, news) in news {
            for try_no in 1..=TOLD_TRIES {
                let (about, news) = (about.clone(), news.clone());
                let Err(fault) = self.learn(carrier, None, about, news, until).await else { break };
                super::dispatch::report("take a carrier's news", &fault);
                tokio::time::sleep(Duration::from_secs(1) * try_no).await;
            }
        }
    }

    /// Takes a text of a person, once, whatever the carrier calls the request that brings it. It is
    /// remembered after it is taken: what could not be taken comes again.
    async fn written(&self, carrier: &str, mut text: Text) -> Result<(), Fault> {
        let orders = self.orders();
        if orders.adapter(carrier).is_none() {
            // A name that is made of what the text says must not tell it.
            text.id = orders.vault.hook_token(carrier, &text.id);
        }
        let (key, now) = (format!("text/{carrier}/{}", text.id), self.now());
        if self.0.store.answered(now, &key).await?.is_some() {
            return Ok(());
        }
        self.replied(carrier, text).await?;
        let (fingerprint, bytes) = ([0; 32], Vec::new());
        self.remember(Answer { key, fingerprint, bytes, expires: now + ONCE_TEXT }).await?;
        Ok(())
    }

    fn forged(&self, carrier: &str, why: &'static str) -> HookError {
        telemetry::observe(&Event::Forged { carrier, why });
        HookError::Forged
    }

    async fn learn(
        &self,
        carrier: &str,
        this: Option<&(VerificationId, AttemptNo)>,
        about: About,
        news: News,
        until: Timestamp,
    ) -> Result<(), Fault> {
        if let News::Text(text) = news {
            return self.written(carrier, text).await;
        }
        let found = match about {
            About::This => this.cloned(),
            About::Handle(handle) => self.by_handle(carrier, &handle, until).await?,
            About::Nobody => None,
        };
        let Some((id, attempt)) = found else { return Ok(()) };
        match hearing::news(attempt, self.now(), news) {
            Some(signal) => self.signal(&id, signal).await,
            None => Ok(()),
        }
    }

    /// The attempt that a carrier calls so. A receipt can be faster than the answer to its order,
    /// and waits for it a little.
    async fn by_handle(
        &self,
        carrier: &str,
        handle: &str,
        until: Timestamp,
    ) -> Result<Option<(VerificationId, AttemptNo)>, Fault> {
        loop {
            for id in self.0.store.find(&handle_alias(carrier, handle), None).await? {
                let Some(id) = VerificationId::parse(&id) else { continue };
                let Some(found) = self.load(&id).await? else { continue };
                let attempt = found.attempts.iter().find(|attempt| {
                    attempt.route == carrier && attempt.call_id.as_deref() == Some(handle)
                });
                if let Some(attempt) = attempt {
                    return Ok(Some((id, attempt.no)));
                }
            }
            if self.now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(EARLY_PAUSE).await;
        }
    }
}
