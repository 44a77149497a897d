//! What is forgotten: what was kept long enough, by and by; and all that is of a number, when it is asked
//! for.

use std::time::Duration;

use serde::Serialize;

use super::course::{COURSES, courses_of, is_of_courses};
use super::told::{EVENTS, event_of, is_of_events};
use super::{EVERYBODY, Fault, Gateway, OURS, blocks};
use crate::store::{Forgotten, ListQuery, PAGE_MOST, Store, StoreError, record};
use crate::telemetry::{self, Event};
use crate::verify::VerificationId;
use crate::verify::code::Vault;
use crate::verify::number::PhoneNumber;
use crate::verify::signal::{By, Signal};
use crate::verify::text::Kind;

/// What a number is named for in the store: counts and blocks, what it cost, and that it is being called.
const KINDS: [&str; 3] = ["number", "money", "call"];

/// How a verification's id begins; nothing else is swept but events and courses.
const VERIFICATIONS: &str = "vf_";

/// How many records are removed at once.
const PIECE: usize = 64;

/// How long to wait between two pieces: whoever writes goes first.
const BETWEEN: Duration = Duration::from_millis(50);

/// How often it is looked for what was kept long enough.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// What was forgotten of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// How many records: verifications, blocks, and the number's choices where they were asked for, too.
    pub records: usize,
    /// Whether what the phone chose (no texts any more) was kept, as a keyed hash.
    pub choices_kept: bool,
}

impl Gateway {
    /// Removes what was kept long enough, for as long as the gateway is there.
    pub(super) async fn retain(self) {
        loop {
            if let Err(fault) = self.sweep().await {
                telemetry::observe(&Event::Fault { doing: "remove what is old", error: &fault });
            }
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    }

    /// Removes the verifications, the events and the entries of the audit log that were kept long enough, in
    /// small pieces; how many verifications and events.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sweep(&self) -> Result<usize, Fault> {
        let (now, kept) = (self.now(), self.0.started.keep);
        let mut removed = 0;
        for group in self.0.store.groups().await? {
            let prefix = match &*group {
                group if is_of_events(group) => EVENTS,
                group if is_of_courses(group) => COURSES,
                _ => VERIFICATIONS,
            };
            loop {
                let before = now - kept.records;
                let store = &self.0.store;
                let piece = store.sweep(&group, prefix, before, PIECE).await?;
                removed += piece;
                if piece < PIECE {
                    break;
                }
                tokio::time::sleep(BETWEEN).await;
            }
        }
        if let Some(log) = self.0.audit.clone() {
            let trimmed = tokio::task::spawn_blocking(move || log.trim(now, kept.audit)).await;
            let failed = || std::io::Error::other("it was not trimmed");
            trimmed.unwrap_or_else(|_| Err(failed())).map_err(Fault::Audit)?;
        }
        Ok(removed)
    }

    /// Forgets a number: its verifications, whatever is queued for them, what requests were answered of
    /// them, its counts, blocks and notices. A verification that is under way is withdrawn first.
    ///
    /// That a phone wants no texts any more is kept unless `choices` goes, too: it would be texted
    /// again. What is kept is a keyed hash of number and sender.
    ///
    /// # Errors
    /// When the store fails; ask again then.
    pub async fn erase(&self, number: &PhoneNumber, choices: bool) -> Result<Erased, Fault> {
        let orders = self.orders();
        let senders: Vec<&str> = orders.carriers.iter().map(|it| it.sender.as_str()).collect();
        let records = of_number(&self.0.store, number).await?;
        for id in &records.open {
            self.signal(id, Signal::Withdrawn(By::Caller)).await?;
        }
        let store = &self.0.store;
        erase_all(store, &self.0.vault, number, &senders, choices, records).await
    }
}

/// Forgets a number in a store that no gateway has open: see [`Gateway::erase`]. `senders` are those
/// that texts come from.
///
/// # Errors
/// When the store fails.
pub async fn erase(
    store: &Store,
    vault: &Vault,
    number: &PhoneNumber,
    senders: &[&str],
    choices: bool,
) -> Result<Erased, Fault> {
    let records = of_number(store, number).await?;
    erase_all(store, vault, number, senders, choices, records).await
}

/// The groups that verifications may be in: those of tenants.
pub(super) async fn with_verifications(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut groups = store.groups().await?;
    groups.retain(|group| !group.starts_with(OURS));
    Ok(groups)
}

/// The verifications of a number.
struct Found {
    all: Vec<String>,
    open: Vec<VerificationId>,
}

async fn of_number(store: &Store, number: &PhoneNumber) -> Result<Found, Fault> {
    let mut found = Found { all: Vec::new(), open: Vec::new() };
    for group in with_verifications(store).await? {
        let mut query = ListQuery { group, limit: PAGE_MOST, ..ListQuery::default() };
        loop {
            let page = store.list(&query).await?;
            for row in page.rows.iter().filter(|row| row.id.starts_with(VERIFICATIONS)) {
                let verification = record::decode(&row.bytes)?;
                if verification.request.to == *number {
                    found.all.push(row.id.clone());
                    if verification.verdict().is_none() {
                        found.open.push(verification.id);
                    }
                }
            }
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
            // Others have their turn.
            tokio::task::yield_now().await;
        }
    }
    Ok(found)
}

async fn erase_all(
    store: &Store,
    vault: &Vault,
    number: &PhoneNumber,
    senders: &[&str],
    choices: bool,
    found: Found,
) -> Result<Erased, Fault> {
    let mut tenants = store.groups().await?;
    tenants.extend([String::new(), EVERYBODY.to_owned()]);
    let (mut names, mut answers) = (Vec::new(), Vec::new());
    for vault in vault.live() {
        for tenant in &tenants {
            for kind in KINDS {
                names.push(vault.counted(tenant, kind, number.expose()));
            }
        }
        for sender in senders {
            names.extend(choices.then(|| vault.pair("choice", number, sender)));
            let pair = vault.pair("notice", number, sender);
            answers.extend(Kind::ALL.iter().map(|kind| format!("notice/{pair}/{}", kind.as_str())));
        }
    }
    // What was told of a verification, and how its calls went, is named for it.
    names.extend(found.all.iter().flat_map(|id| [event_of(id), courses_of(id)]));
    // A block may outlast all else that is kept of its tenant, who is then in no group.
    let listed = blocks::entries_of(store, vault, number).await?;
    let records = found.all.into_iter().chain(listed).collect();
    let forgotten = Forgotten { records, answers, names };
    let records = store.forget(forgotten).await?;
    Ok(Erased { records, choices_kept: !choices })
}
