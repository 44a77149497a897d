//! Verifications that are found again: by the number, the person or the sign-in that they are about, from an
//! index; by whatever else is known of them, from the newest on.
//!
//! The index is written with the verification itself, in its one commit: names that lead to it, of which the
//! store shows neither number nor person, and which expire when the verification is no longer kept. A name whose
//! verification has gone before is passed over.

use serde::Serialize;

use super::retention::with_verifications;
use super::{ALIAS_LIFE, Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::{
    Alias, FIND_MOST, ListQuery, Listed, PAGE_MOST, Store, StoreError, Stored, record,
};
use crate::verify::code::Vault;
use crate::verify::number::{Country, PhoneNumber};
use crate::verify::request::Channel;
use crate::verify::signal::{By, Reason, Signal, Status, Verdict};
use crate::verify::{Verification, VerificationId};

/// How many records are looked at for one page. Whoever asks for more goes on from there.
pub const LOOKED_MOST: usize = 5_000;

/// The most verifications on a page.
pub const LIMIT_MOST: usize = 200;

/// How a verification's id begins.
const VERIFICATIONS: &str = "vf_";

/// Which verifications; what is left out does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those of this tenant.
    pub tenant: Option<String>,
    /// Those that ask this phone.
    pub number: Option<PhoneNumber>,
    /// Those that ask this person, by the caller's name.
    pub subject: Option<String>,
    /// Those of this sign-in, by the caller's name.
    pub reference: Option<String>,
    /// Those that stand so.
    pub status: Option<Status>,
    /// Those that ended for this reason.
    pub reason: Option<Reason>,
    /// Those that were last tried in this way.
    pub channel: Option<Channel>,
    /// Those of which an attempt went by this trunk.
    pub trunk: Option<String>,
    /// Those of which an attempt went by this carrier.
    pub carrier: Option<String>,
    /// Those that ask a phone of this country.
    pub country: Option<Country>,
    /// Those that were begun then or later,
    pub since: Option<Timestamp>,
    /// and before this.
    pub until: Option<Timestamp>,
}

impl Wanted {
    /// Whether this is one of them.
    fn is(&self, found: &Verification) -> bool {
        fn fits<T: PartialEq>(wanted: Option<&T>, is: Option<&T>) -> bool {
            wanted.is_none() || wanted == is
        }
        let request = &found.request;
        let went = |by: Option<&String>| {
            by.is_none_or(|by| found.attempts.iter().any(|it| it.route == *by))
        };
        let reason = found.verdict().map(Verdict::reason);
        fits(self.tenant.as_ref(), Some(&found.tenant))
            && fits(self.number.as_ref(), Some(&request.to))
            && fits(self.subject.as_ref(), request.subject.as_ref())
            && fits(self.reference.as_ref(), request.reference.as_ref())
            && fits(self.status.as_ref(), Some(&found.status()))
            && fits(self.reason.as_ref(), reason.as_ref())
            && fits(self.channel.as_ref(), Some(&found.way().channel))
            && fits(self.country.as_ref(), Some(request.to.country()))
            && went(self.trunk.as_ref())
            && went(self.carrier.as_ref())
            && self.since.is_none_or(|since| found.created_at >= since)
            && self.until.is_none_or(|until| found.created_at < until)
    }

    /// Under which name they are in the index, if what is known of them is: the rarest first.
    fn name(&self, vault: &Vault) -> Option<String> {
        let reference = self.reference.as_ref().map(|it| Key::Reference.name(vault, it));
        let number = || self.number.as_ref().map(|it| Key::Number.name(vault, it.expose()));
        let subject = || self.subject.as_ref().map(|it| Key::Subject.name(vault, it));
        reference.or_else(number).or_else(subject)
    }
}

/// What verifications are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Number,
    Subject,
    Reference,
}

impl Key {
    /// The name in the store of those that are about this: the same for all tenants.
    fn name(self, vault: &Vault, value: &str) -> String {
        let kind = match self {
            Self::Number => "find number",
            Self::Subject => "find subject",
            Self::Reference => "find reference",
        };
        vault.counted("", kind, value)
    }
}

/// A page of what was found, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The verifications.
    pub verifications: Vec<Verification>,
    /// From where to go on; `None`: there are no more.
    pub next: Option<Place>,
}

/// A verification's place among all, by its time and id: a page goes on behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When it was begun.
    pub at: Timestamp,
    id: String,
}

impl Place {
    /// Reads it as it was [written](Self::written).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (at, id) = text.split_once('.')?;
        let at = Timestamp::from_micros(u64::from_str_radix(at, 16).ok()?);
        Some(Self { at, id: VerificationId::parse(id)?.as_str().to_owned() })
    }

    /// As text, for whoever asks for the next page.
    #[must_use]
    pub fn written(&self) -> String {
        format!("{:x}.{}", self.at.as_micros(), self.id)
    }
}

impl From<&Verification> for Place {
    fn from(of: &Verification) -> Self {
        Self { at: of.created_at, id: of.id.as_str().to_owned() }
    }
}

/// A verification, as operators find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// The number, masked.
    pub number: String,
    /// The number's country (ISO 3166).
    pub country: String,
    /// `voice` or `sms`.
    pub channel: &'static str,
    /// What is asked of the person.
    pub mode: &'static str,
    /// The trunk or carrier of its last attempt.
    pub via: Option<String>,
    /// How many attempts there have been.
    pub attempts: usize,
    /// How it stands.
    pub status: &'static str,
    /// Why it ended.
    pub reason: Option<&'static str>,
    /// The caller's name for it.
    pub reference: Option<String>,
    /// When it was begun (RFC 3339).
    pub created_at: String,
    /// When it ended.
    pub settled_at: Option<String>,
    /// Whether it only looked like one, because its tenant hides whom it does not reach.
    pub withheld: bool,
}

impl From<&Verification> for Row {
    fn from(of: &Verification) -> Self {
        let (request, way) = (&of.request, of.way());
        Self {
            id: of.id.as_str().to_owned(),
            tenant: of.tenant.clone(),
            number: request.to.masked(),
            country: request.to.country().as_str().to_owned(),
            channel: way.channel.as_str(),
            mode: way.mode.as_str(),
            via: of.attempts.last().map(|it| it.route.clone()),
            attempts: of.attempts.len(),
            status: of.status().as_str(),
            reason: of.verdict().map(Verdict::reason).map(Reason::as_str),
            reference: request.reference.clone(),
            created_at: of.created_at.to_rfc3339(),
            settled_at: of.settled_at().map(Timestamp::to_rfc3339),
            withheld: of.withheld,
        }
    }
}

/// A page that is being filled.
struct Filling<'a> {
    wanted: &'a Wanted,
    limit: usize,
    found: Vec<Verification>,
    looked: usize,
    /// What was looked at last.
    last: Option<Place>,
}

impl<'a> Filling<'a> {
    fn new(wanted: &'a Wanted, limit: usize) -> Self {
        let limit = limit.clamp(1, LIMIT_MOST);
        Self { wanted, limit, found: Vec::new(), looked: 0, last: None }
    }

    /// Whether no more is looked at: there is one more than goes on the page, or enough was looked at.
    fn is_over(&self) -> bool {
        self.found.len() > self.limit || self.looked >= LOOKED_MOST
    }

    fn look(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let verification = record::decode(bytes)?;
        self.last = Some(Place::from(&verification));
        if self.wanted.is(&verification) {
            self.found.push(verification);
        }
        Ok(())
    }

    fn done(mut self) -> Found {
        let next = if self.found.len() > self.limit {
            self.found.truncate(self.limit);
            self.found.last().map(Place::from)
        } else {
            self.last.filter(|_| self.looked >= LOOKED_MOST)
        };
        Found { verifications: self.found, next }
    }
}

/// The records of one tenant, on the way from the newest to the oldest.
struct Lane {
    query: ListQuery,
    /// Those that were read, the newest last.
    rows: Vec<Listed>,
    is_read: bool,
}

impl Lane {
    /// Reads on, where nothing is left of what was read.
    async fn fill(&mut self, store: &Store) -> Result<(), StoreError> {
        while self.rows.is_empty() && !self.is_read {
            let page = store.list(&self.query).await?;
            self.rows = page.rows.into_iter().rev().collect();
            self.is_read = page.next.is_none();
            self.query.cursor = page.next;
            // Others have their turn.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn newest(&self) -> Option<(Timestamp, &str)> {
        self.rows.last().map(|row| (row.created, row.id.as_str()))
    }
}

impl Gateway {
    /// One page of the verifications that are wanted, the newest first, from behind a place on. It may have
    /// fewer than there is room for, or none, and there may be more: at most [`LOOKED_MOST`] are looked at.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn search(
        &self,
        wanted: &Wanted,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Found, Fault> {
        let filling = Filling::new(wanted, limit);
        match wanted.name(&self.0.vault) {
            Some(name) => self.named(&name, filling, after).await,
            None => self.newest(filling, after).await,
        }
    }

    /// Those that a name of the index leads to.
    async fn named(
        &self,
        name: &str,
        mut filling: Filling<'_>,
        after: Option<&Place>,
    ) -> Result<Found, Fault> {
        let store = &self.0.store;
        let mut before = after.map(|after| after.id.clone());
        loop {
            let ids = store.find(name, before.as_deref()).await?;
            for id in &ids {
                if filling.is_over() {
                    return Ok(filling.done());
                }
                filling.looked += 1;
                match store.load(id).await {
                    Ok(Some(Stored { bytes, .. })) => filling.look(&bytes)?,
                    // It was kept long enough; or it is not as we put it there, and nobody's.
                    Ok(None) | Err(StoreError::Tampered(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let since = filling.wanted.since.unwrap_or_default();
            let is_past = filling.last.as_ref().is_some_and(|last| last.at < since);
            if ids.len() < FIND_MOST || is_past {
                // That is all of them.
                filling.looked = 0;
                return Ok(filling.done());
            }
            before = ids.last().cloned();
        }
    }

    /// Those of all tenants, or of one, from the newest on.
    async fn newest(
        &self,
        mut filling: Filling<'_>,
        after: Option<&Place>,
    ) -> Result<Found, Fault> {
        let store = &self.0.store;
        let groups = match &filling.wanted.tenant {
            Some(tenant) => vec![tenant.clone()],
            None => with_verifications(store).await?,
        };
        let limit = (4 * PAGE_MOST / groups.len().max(1)).clamp(8, PAGE_MOST);
        let (from, until) = (filling.wanted.since, filling.wanted.until);
        let cursor = after.map(Place::written);
        let lane = |group| {
            let query = ListQuery { group, from, until, cursor: cursor.clone(), limit };
            Lane { query, rows: Vec::new(), is_read: false }
        };
        let mut lanes: Vec<Lane> = groups.into_iter().map(lane).collect();
        while !filling.is_over() {
            for lane in &mut lanes {
                lane.fill(store).await?;
            }
            let newest = lanes.iter_mut().max_by(|a, b| a.newest().cmp(&b.newest()));
            let Some(row) = newest.and_then(|lane| lane.rows.pop()) else {
                // That is all of them.
                filling.looked = 0;
                break;
            };
            // A tenant has other records as well, and few of them.
            if row.id.starts_with(VERIFICATIONS) {
                filling.looked += 1;
                filling.look(&row.bytes)?;
            }
        }
        Ok(filling.done())
    }

    /// What operators are told of a verification, whosesoever it is; `None`: there is none of that name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn row(&self, id: &VerificationId) -> Result<Option<Row>, Fault> {
        Ok(self.load(id).await?.as_ref().map(Row::from))
    }

    /// The number that a verification asks, in full: for whoever has said why, and was written down.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn number_of(&self, id: &VerificationId) -> Result<Option<PhoneNumber>, Fault> {
        Ok(self.load(id).await?.map(|found| found.request.to))
    }

    /// Takes a verification back in its caller's place; one that is settled stays as it is. How it stands then.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_back(&self, id: &VerificationId) -> Result<Option<Row>, Fault> {
        self.signal(id, Signal::Withdrawn(By::Caller)).await?;
        self.row(id).await
    }

    /// The [names] of a verification that is begun, for as long as it is kept.
    pub(super) fn index(&self, begun: &Verification) -> Vec<Alias> {
        let kept = self.0.started.keep.records.max(ALIAS_LIFE);
        names(&self.0.vault, begun, begun.created_at + kept)
    }
}

/// The names by which a verification is found: of its number, its person and its sign-in.
#[must_use]
pub fn names(vault: &Vault, of: &Verification, expires: Timestamp) -> Vec<Alias> {
    let request = &of.request;
    let names = [
        Some((Key::Number, request.to.expose())),
        request.subject.as_deref().map(|it| (Key::Subject, it)),
        request.reference.as_deref().map(|it| (Key::Reference, it)),
    ];
    let alias = |(key, value): (Key, &str)| Alias {
        alias: key.name(vault, value),
        record: of.id.to_string(),
        expires,
    };
    names.into_iter().flatten().map(alias).collect()
}
