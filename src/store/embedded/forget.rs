//! What is removed for good: records that were kept long enough, and all that is of somebody who is
//! forgotten.

use std::collections::BTreeSet;

use redb::{Error, ReadTransaction, ReadableTable as _, StorageError};

use super::tables::{ANSWERS, LISTED, Outcome, Tables, after, effect_id};
use crate::ambient::Timestamp;
use crate::store::seal::led_to;
use crate::store::{EffectId, Forgotten, Given};

/// The groups of records, in their order.
pub(super) fn groups(transaction: &ReadTransaction) -> Result<Vec<String>, Error> {
    let listed = transaction.open_table(LISTED)?;
    let (mut groups, mut from) = (Vec::new(), String::new());
    // From group to group, however many records each has.
    while let Some(row) = listed.range((from.as_str(), 0, "")..)?.next() {
        let group = row?.0.value().0.to_owned();
        from = after(&group);
        groups.push(group);
    }
    Ok(groups)
}

/// At most `most` answers whose key is after this one, expired or not.
pub(super) fn answers(
    transaction: &ReadTransaction,
    from: &str,
    most: usize,
) -> Result<Vec<(String, Given)>, Error> {
    let rows = transaction.open_table(ANSWERS)?;
    let rows = rows.range(after(from).as_str()..)?.take(most).map(|row| {
        let (key, row) = row?;
        let (_, fingerprint, bytes) = row.value();
        let given = Given { fingerprint: *fingerprint, bytes: bytes.to_vec() };
        Ok((key.value().to_owned(), given))
    });
    Ok(rows.collect::<Result<_, StorageError>>()?)
}

/// The aliases that lead to these records.
fn aliases_of(
    tables: &Tables<'_>,
    records: &BTreeSet<String>,
) -> Result<Vec<(String, String, u64)>, Error> {
    let mut found = Vec::new();
    for row in tables.aliases.iter()? {
        let (key, expires) = row?;
        let (alias, record) = key.value();
        if records.contains(led_to(record)) {
            found.push((alias.to_owned(), record.to_owned(), expires.value()));
        }
    }
    Ok(found)
}

impl Tables<'_> {
    /// Removes at most `most` records of a group whose id begins so and which are older than `before`.
    pub(super) fn sweep(
        &mut self,
        group: &str,
        prefix: &str,
        before: Timestamp,
        most: usize,
    ) -> Result<Outcome<usize>, Error> {
        let end = (group, before.as_micros(), "");
        let old: Vec<String> = self
            .listed
            .range((group, 0, "")..end)?
            .filter_map(|row| match row {
                Ok((key, _)) => {
                    let (_, _, id) = key.value();
                    id.starts_with(prefix).then(|| Ok(id.to_owned()))
                }
                Err(error) => Some(Err(error)),
            })
            .take(most)
            .collect::<Result<_, StorageError>>()?;
        for id in &old {
            self.remove_record(id)?;
        }
        Ok(Outcome { answer: old.len(), wrote: !old.is_empty() })
    }

    /// Removes all that is named; how many records it were.
    pub(super) fn forget(&mut self, forgotten: &mut Forgotten) -> Result<Outcome<usize>, Error> {
        for row in self.records.iter()? {
            let (id, _) = row?;
            if forgotten.is_named(id.value()) {
                forgotten.records.insert(id.value().to_owned());
            }
        }
        for id in &forgotten.records {
            self.remove_record(id)?;
        }
        for (alias, record, expires) in aliases_of(self, &forgotten.records)? {
            self.aliases.remove((alias.as_str(), record.as_str()))?;
            self.alias_expiry.remove((expires, alias.as_str(), record.as_str()))?;
        }
        let mut holds = Vec::new();
        for row in self.holds.iter()? {
            let (name, row) = row?;
            let ((until, record), name) = (row.value(), name.value());
            if forgotten.records.contains(led_to(record)) || forgotten.is_named(name) {
                holds.push((until, name.to_owned()));
            }
        }
        for (until, name) in holds {
            self.holds.remove(name.as_str())?;
            self.hold_expiry.remove((until, name.as_str()))?;
        }
        for key in &forgotten.answers {
            let expires = self.answers.remove(key.as_str())?.map(|row| row.value().0);
            if let Some(expires) = expires {
                self.answer_expiry.remove((expires, key.as_str()))?;
            }
        }
        let mut counters = Vec::new();
        for row in self.counters.iter()? {
            let (key, _) = row?;
            let (key, span) = key.value();
            if forgotten.is_named(key) {
                counters.push((key.to_owned(), span));
            }
        }
        for (key, span) in counters {
            self.counters.remove((key.as_str(), span))?;
        }
        self.counter_expiry.retain(|(_, key, _), ()| !forgotten.is_named(key))?;
        Ok(Outcome { answer: forgotten.records.len(), wrote: true })
    }

    /// Removes a record with its wake-up and its effects.
    fn remove_record(&mut self, id: &str) -> Result<(), Error> {
        let row = self.records.remove(id)?.map(|row| {
            let (_, created, group, _) = row.value();
            (group.to_owned(), created)
        });
        if let Some((group, created)) = row {
            self.listed.remove((group.as_str(), created, id))?;
        }
        self.wake(id, None)?;
        let end = after(id);
        let effects: Vec<EffectId> = self
            .queue
            .range((id, "")..(end.as_str(), ""))?
            .map(|row| row.map(|(key, _)| effect_id(key.value())))
            .collect::<Result<_, StorageError>>()?;
        for effect in &effects {
            self.unqueue(effect)?;
        }
        Ok(())
    }
}
