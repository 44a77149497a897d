//! A change on its way to a backend, what a backend tells on its way back, and rows that are not believed.

use super::seal::{Place, Seal, Unsealed};
use super::{Commit, Given, Hold, Postponed, Queued, RecordWrite, StoreError};
use crate::ambient::Timestamp;
use crate::telemetry::{self, Event};

/// A commit as a backend is given it.
pub(super) fn sealed(seal: &Seal, commit: Commit) -> Option<Commit> {
    let Commit { now, record, queue, done, postpone, aliases, holds, answer } = commit;
    let record = match record {
        Some(it) => {
            let place = Place::record(&it.id, it.version, &it.group, it.created);
            Some(RecordWrite { bytes: seal.seal(&place, &it.bytes)?, ..it })
        }
        None => None,
    };
    let queue = queue.into_iter().map(|it| {
        let bytes = seal.seal(&Place::effect(&it.id, it.due, it.once), &it.bytes)?;
        Some(Queued { bytes, ..it })
    });
    let postpone = postpone.into_iter().map(|it| {
        // Only what may be repeated is ever postponed.
        let bytes = seal.seal(&Place::effect(&it.id, it.due, false), &it.bytes)?;
        Some(Postponed { bytes, ..it })
    });
    let answer = match answer {
        Some(it) => Some(seal.answer(&it)?),
        None => None,
    };
    let aliases = aliases.iter().map(|it| seal.alias(it)).collect();
    let holds =
        holds.into_iter().map(|it| Hold { record: seal.tagged(&it.name, &it.record), ..it });
    let holds = holds.collect();
    let (queue, postpone) = (queue.collect::<Option<_>>()?, postpone.collect::<Option<_>>()?);
    Some(Commit { now, record, queue, done, postpone, aliases, holds, answer })
}

/// Who has a name, where we gave it to them.
pub(super) fn untagged(seal: &Seal, hold: Hold) -> Result<Hold, StoreError> {
    match seal.led(&hold.name, &hold.record) {
        Ok(record) => Ok(Hold { record, ..hold }),
        Err(why) => Err(tampered("hold", &hold.name, why)),
    }
}

/// What a kept answer says.
pub(super) fn unsealed(
    seal: &Seal,
    now: Timestamp,
    name: &str,
    given: Given,
) -> Result<Given, StoreError> {
    match seal.given(name, given.bytes) {
        Ok((expires, given)) if expires > now => Ok(given),
        // Its row says that it has not expired.
        Ok(_) => Err(tampered("answer", name, Unsealed::Changed)),
        Err(why) => Err(tampered("answer", name, why)),
    }
}

/// A row was not put there by us: an alarm, and an error for whoever wanted it.
pub(super) fn tampered(table: &'static str, id: &str, why: Unsealed) -> StoreError {
    telemetry::observe(&Event::Tampered { table, id, why: &why.to_string() });
    StoreError::Tampered(table)
}

pub(super) fn unsealable() -> StoreError {
    StoreError::Failed("its rows cannot be sealed".to_owned())
}
