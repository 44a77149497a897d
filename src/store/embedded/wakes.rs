//! Wake-ups: each record has one at most, and one that is due is handed out for a while.
//!
//! Who was handed one is remembered in memory, as leases are: a process that opens the file is alone with it,
//! so that what an earlier one was handed and died with is due again at once, and handing out writes nothing.

use std::collections::BTreeMap;

use redb::{Error, ReadableTable, StorageError, TableDefinition};

use super::tables::Tables;
use crate::ambient::Timestamp;
use crate::store::WAKE_RETRY;

pub(super) type WakeKey = (u64, &'static str);

/// Apart from the record, so that re-arming it does not rewrite the record's bytes.
pub(super) const WAKE_OF: TableDefinition<&str, u64> = TableDefinition::new("wake_of");
pub(super) const WAKES: TableDefinition<WakeKey, ()> = TableDefinition::new("wakes");

/// The wake-ups that were handed out, by record.
#[derive(Debug, Default)]
pub(super) struct Away(BTreeMap<String, Turn>);

/// A wake-up that somebody has.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// For when it is.
    at: u64,
    /// When it is due again, unless a commit replaces it.
    until: Timestamp,
}

impl Away {
    /// A commit has given the record its wake-up, be it the same.
    pub(super) fn forget(&mut self, record: &str) {
        self.0.remove(record);
    }

    /// Whoever was handed one may never have heard of it.
    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }

    fn has(&self, at: u64, record: &str) -> bool {
        self.0.get(record).is_some_and(|turn| turn.at == at)
    }

    /// What was handed out and is still the record's wake-up.
    fn standing(
        &self,
        wake_of: &impl ReadableTable<&'static str, u64>,
    ) -> Result<Vec<(&str, Turn)>, Error> {
        let mut standing = Vec::new();
        for (record, turn) in &self.0 {
            if wake_of.get(record.as_str())?.is_some_and(|row| row.value() == turn.at) {
                standing.push((record.as_str(), *turn));
            }
        }
        Ok(standing)
    }
}

impl Tables<'_> {
    /// Gives the record `id` its one wake-up.
    pub(super) fn wake(&mut self, id: &str, at: Option<Timestamp>) -> Result<(), Error> {
        let former = match at {
            Some(at) => self.wake_of.insert(id, at.as_micros())?.map(|row| row.value()),
            None => self.wake_of.remove(id)?.map(|row| row.value()),
        };
        if let Some(former) = former {
            self.wakes.remove((former, id))?;
        }
        if let Some(at) = at {
            self.wakes.insert((at.as_micros(), id), ())?;
        }
        Ok(())
    }

    /// Hands out what is due, the earliest first.
    pub(super) fn hand_out(
        &self,
        away: &mut Away,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let standing = away.standing(&self.wake_of)?;
        let standing = standing.into_iter().map(|(record, turn)| (record.to_owned(), turn));
        away.0 = standing.collect();
        let back = away.0.iter().filter(|(_, turn)| turn.until <= now);
        let mut due: Vec<(u64, String, u64)> =
            back.map(|(id, turn)| (turn.until.as_micros(), id.clone(), turn.at)).collect();
        let others: Vec<(u64, String, u64)> = self
            .wakes
            .iter()?
            .map_while(|row| match row {
                Ok((key, _)) if key.value().0 > now.as_micros() => None,
                Ok((key, _)) => Some(Ok((key.value().0, key.value().1.to_owned()))),
                Err(error) => Some(Err(error)),
            })
            .filter(|row| !row.as_ref().is_ok_and(|(at, id)| away.has(*at, id)))
            .map(|row| row.map(|(at, id)| (at, id, at)))
            .take(limit)
            .collect::<Result<_, StorageError>>()?;
        due.extend(others);
        due.sort_unstable();
        due.truncate(limit);
        let until = now + WAKE_RETRY;
        away.0.extend(due.iter().map(|(_, id, at)| (id.clone(), Turn { at: *at, until })));
        Ok(due.into_iter().map(|(_, id, _)| id).collect())
    }
}

/// When the next one is due that nobody has, or that comes back.
pub(super) fn next(
    wakes: &impl ReadableTable<WakeKey, ()>,
    wake_of: &impl ReadableTable<&'static str, u64>,
    away: &Away,
) -> Result<Option<Timestamp>, Error> {
    let back = away.standing(wake_of)?.into_iter().map(|(_, turn)| turn.until).min();
    for row in wakes.iter()? {
        let (key, _) = row?;
        let (at, id) = key.value();
        if !away.has(at, id) {
            return Ok(back.into_iter().chain([Timestamp::from_micros(at)]).min());
        }
    }
    Ok(back)
}
