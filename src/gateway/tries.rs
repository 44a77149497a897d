//! How the deliveries of a verdict went: a row for each endpoint beside the verification, written by the commits that
//! take the event out of the queue or put it back.

use serde::{Deserialize, Serialize};

use super::course::{GROUP, courses_of};
use super::settings::origin;
use super::{Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::record::{self, Delivery};
use crate::store::{EffectId, RecordWrite};
use crate::verify::{Verification, VerificationId};

/// The most tries that are kept for one endpoint: more than are made before an event is given up.
const MOST: usize = 24;

/// How the effects are called that tell a verdict.
const VERDICT: &str = "notify-";

/// One try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Try {
    /// When it was over.
    pub(super) at: Timestamp,
    /// Where to: scheme, host and port, as a path may hold a token.
    pub(super) to: String,
    /// What became of it: `delivered`, `failed`, `given_up`, `gone` or `withheld`.
    pub(super) outcome: String,
    /// Why it was not taken.
    pub(super) why: Option<String>,
}

impl Gateway {
    /// The row of a delivery with this try in it; `None` where it tells no verdict.
    pub(super) async fn tried(
        &self,
        id: &EffectId,
        delivery: &Delivery,
        outcome: &str,
        why: Option<&str>,
    ) -> Result<Option<RecordWrite>, Fault> {
        if VerificationId::parse(&id.record).is_none() || !id.effect.starts_with(VERDICT) {
            return Ok(None);
        }
        let (now, name) = (self.now(), name_of(&id.record, &id.effect));
        let before = self.0.store.load(&name).await?;
        let expected = before.as_ref().map(|before| before.version);
        let tries = before.map(|before| record::decode_value(&before.bytes)).transpose()?;
        let mut tries: Vec<Try> = tries.unwrap_or_default();
        if tries.len() >= MOST {
            return Ok(None);
        }
        let (outcome, why) = (outcome.to_owned(), why.map(str::to_owned));
        tries.push(Try { at: now, to: origin(&delivery.url), outcome, why });
        Ok(Some(RecordWrite {
            id: name,
            expected,
            version: expected.unwrap_or_default() + 1,
            bytes: record::encode_value(&tries)?,
            wake: None,
            group: GROUP.to_owned(),
            created: now,
        }))
    }

    /// How the deliveries of a verdict went so far, one endpoint after the other.
    pub(super) async fn tries(&self, found: &Verification) -> Result<Vec<Try>, Fault> {
        let (Some(told), mut tries) = (found.told, Vec::new()) else { return Ok(Vec::new()) };
        for endpoint in 0.. {
            let name = name_of(found.id.as_str(), &format!("{VERDICT}{told}-{endpoint}"));
            let Some(stored) = self.0.store.load(&name).await? else { break };
            tries.extend(record::decode_value::<Vec<Try>>(&stored.bytes)?);
        }
        Ok(tries)
    }
}

fn name_of(record: &str, effect: &str) -> String {
    format!("{}{effect}", courses_of(record))
}
