//! What is asked of the gateway, and how it is answered: once, however often it is asked.

use std::time::Duration;

use super::settings::Tenant;
use super::{BeginError, Gateway};
use crate::ambient::Timestamp;
use crate::store::Answer;
use crate::verify::code::{Code, Pin, Shown};
use crate::verify::limits::Left;
use crate::verify::request::Request;
use crate::verify::{Verification, VerificationId};

/// How long a repeated request gets the answer of the first.
const IDEMPOTENCY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How a request wants to be answered.
#[derive(Clone, Debug)]
pub struct AnswerOf {
    /// Under which key a repeat is answered alike.
    pub idempotency: Option<Idempotency>,
    /// Writes the body; it is stored in the commit of what it tells.
    pub render: fn(&Verification) -> Vec<u8>,
}

/// What is asked for, with the secrets that are in it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// All that may be kept.
    pub request: Request,
    /// The code, where the caller chose it.
    pub code: Option<Code>,
    /// The PIN that must follow the code in a reply, or is entered on a call.
    pub pin: Option<Pin>,
    /// The digits that the sign-in page shows, where the caller chose them.
    pub shown: Option<Shown>,
    /// Only see whether it could be done, and how.
    pub dry_run: bool,
}

impl Asked {
    /// A request without secrets.
    #[must_use]
    pub const fn plainly(request: Request) -> Self {
        Self { request, code: None, pin: None, shown: None, dry_run: false }
    }
}

/// The caller's name for a request that it may repeat.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The key, as the caller wrote it.
    pub key: String,
    /// SHA-256 of what was asked.
    pub fingerprint: [u8; 32],
}

/// What a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was carried out.
    Fresh {
        /// The body.
        body: Vec<u8>,
        /// The verification it tells of.
        id: VerificationId,
        /// What is left of the tightest limit, where one was counted against.
        left: Option<Left>,
    },
    /// It was carried out before; this is the answer of then, byte for byte.
    Replayed {
        /// The body.
        body: Vec<u8>,
        /// The verification it tells of.
        id: VerificationId,
    },
    /// The same is being asked already, and this is that verification; nothing more was sent.
    Joined {
        /// The body.
        body: Vec<u8>,
        /// The verification it tells of.
        id: VerificationId,
        /// Whether this is the answer of then.
        replayed: bool,
    },
    /// It would be carried out; nothing was kept or sent.
    Dry {
        /// The body.
        body: Vec<u8>,
    },
    /// Another request was sent under the same idempotency key.
    Mismatch,
}

impl Gateway {
    /// Starts a verification, once however often it is asked for.
    ///
    /// # Errors
    /// When policy refuses, no route fits, this node is not ready, or the store fails.
    pub async fn begin(
        &self,
        tenant: &Tenant,
        asked: Asked,
        answer: AnswerOf,
    ) -> Result<Answered, BeginError> {
        // A repeat gets the answer of then, whatever has changed since.
        let scope = format!("start/{}", tenant.name);
        if let Some(answered) = self.answered_before(&scope, &answer).await? {
            return Ok(answered);
        }
        match self.begin_first(tenant, asked, &scope, answer.clone()).await {
            Ok(answered) => Ok(answered),
            // What stands against it may be the very start that it repeats: that began meanwhile.
            Err(refused) => match self.answered_before(&scope, &answer).await {
                Ok(Some(answered)) => Ok(answered),
                Ok(None) | Err(_) => Err(refused),
            },
        }
    }
}

/// Stands behind the id in the row of an answer that told of another start's verification.
const JOINED: &str = " joined";

/// The row that answers a repeat of this request.
pub(super) fn stored_answer(
    scope: &str,
    answer: &AnswerOf,
    next: &Verification,
    now: Timestamp,
    joined: bool,
) -> Option<Answer> {
    let idempotency = answer.idempotency.as_ref()?;
    let mut bytes = format!("{}{}\n", next.id, if joined { JOINED } else { "" }).into_bytes();
    bytes.extend((answer.render)(next));
    Some(Answer {
        key: format!("{scope}/{}", idempotency.key),
        fingerprint: idempotency.fingerprint,
        bytes,
        expires: now + IDEMPOTENCY_LIFE,
    })
}

/// The answer of then, when the same was asked.
pub(super) fn replay(answer: &AnswerOf, fingerprint: &[u8; 32], bytes: &[u8]) -> Answered {
    let same = answer.idempotency.as_ref().is_some_and(|it| it.fingerprint == *fingerprint);
    let mut parts = bytes.splitn(2, |&byte| byte == b'\n');
    let head = parts.next().and_then(|head| std::str::from_utf8(head).ok()).unwrap_or_default();
    let (id, joined) = head.strip_suffix(JOINED).map_or((head, false), |id| (id, true));
    match (VerificationId::parse(id), parts.next().map(<[u8]>::to_vec)) {
        (Some(id), Some(body)) if same && joined => Answered::Joined { body, id, replayed: true },
        (Some(id), Some(body)) if same => Answered::Replayed { body, id },
        _ => Answered::Mismatch,
    }
}
