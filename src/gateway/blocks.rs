//! The lists of what is blocked and what is safe, kept in the store: one record for each entry, of which
//! the name is a keyed hash. All that a start asks of them is asked at once: a store in the network is waited for
//! once or twice, not a dozen times.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;

use super::settings::Tenant;
use super::{Change, Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::record;
use crate::store::{ListQuery, PAGE_MOST, Store};
use crate::telemetry::{self, Event};
use crate::verify::VerificationId;
use crate::verify::block::{About, Entry, List, Prefix, Standing, Target, Why};
use crate::verify::code::Vault;
use crate::verify::number::PhoneNumber;
use crate::verify::policy::Refusal;
use crate::verify::request::Request;
use crate::verify::route::RouteStep;

/// The record of how long the prefixes are that operators have blocked: those lengths alone are asked for.
const LENGTHS: &str = "blk_lengths";

/// The group that record is in.
const INDEX: &str = "/lists";

/// The most entries that are listed.
const ENTRIES_MOST: usize = 2_000;

/// What is to be put on a list.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Which.
    pub list: List,
    /// Whose; `None` is everybody's.
    pub tenant: Option<String>,
    /// What.
    pub target: Target,
    /// Why.
    pub why: Why,
    /// What whoever wants it has to say.
    pub note: Option<String>,
    /// The verification that led to it.
    pub verification: Option<VerificationId>,
    /// Until when; `None` is until it is lifted.
    pub until: Option<Timestamp>,
}

/// What stands on the way of a start.
pub(super) struct Checked {
    /// Whether it is only to look like one.
    pub(super) withheld: bool,
    /// Whether the number is safe.
    pub(super) safe: bool,
}

impl Gateway {
    /// What this tenant's lists and everybody's say of a number.
    pub(super) async fn standing(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        to: &PhoneNumber,
    ) -> Result<Standing, Fault> {
        let own = Prefix::of(to);
        let length = own.as_str().len();
        let targets = [
            Target::Number(to.clone()),
            Target::Country(to.country().clone()),
            Target::Prefix(own),
        ];
        let (mut lengths, safe, mut blocks) = tokio::try_join!(
            self.lengths(),
            self.is_safe(now, tenant, to),
            self.blocking(now, tenant, &targets),
        )?;
        lengths.remove(&length);
        let others = lengths.into_iter().filter_map(|length| Prefix::first(to, length));
        let others: Vec<_> = others.map(Target::Prefix).collect();
        blocks.extend(self.blocking(now, tenant, &others).await?);
        Ok(Standing { blocks, safe })
    }

    /// The blocks that stand against any of these.
    async fn blocking(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        targets: &[Target],
    ) -> Result<Vec<Entry>, Fault> {
        let ids = targets
            .iter()
            .flat_map(|target| self.known_as(List::Blocks, &tenant.name, target))
            .collect::<Vec<_>>();
        let entries = try_join_all(ids.iter().map(|id| self.entry(id))).await?;
        Ok(entries.into_iter().flatten().filter(|entry| entry.stands(now)).collect())
    }

    /// Whether a number is on the list of safe ones.
    pub(super) async fn is_safe(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        to: &PhoneNumber,
    ) -> Result<bool, Fault> {
        if tenant.safe.iter().any(|(number, until)| number == to && now < *until) {
            return Ok(true);
        }
        let ids = self.known_as(List::Safe, &tenant.name, &Target::Number(to.clone()));
        let entries = try_join_all(ids.iter().map(|id| self.entry(id))).await?;
        Ok(entries.into_iter().flatten().any(|entry| entry.stands(now)))
    }

    /// What entries of a tenant's and of everybody's are called, under each key that names may be made
    /// under.
    fn known_as(&self, list: List, tenant: &str, target: &Target) -> Vec<String> {
        let whose = [Some(tenant), None].into_iter();
        let mut ids: Vec<_> = whose
            .flat_map(|whose| {
                self.0.vault.live().map(move |vault| named_by(&vault, list, whose, target))
            })
            .collect();
        // A country is called alike under each key.
        ids.dedup();
        ids
    }

    /// Refuses a start that a block stands against, or whose first way is a text that its phone does not
    /// want; or lets it look like one, where the tenant hides that.
    pub(super) async fn must_be_welcome(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        request: &Request,
        steps: &[RouteStep],
    ) -> Result<Result<Checked, Refusal>, Fault> {
        if tenant.test {
            return Ok(Ok(Checked { withheld: false, safe: false }));
        }
        let (standing, is_willing) = tokio::try_join!(
            self.standing(now, tenant, &request.to),
            self.is_willing(&tenant.name, request, steps),
        )?;
        let refusal = match standing.against() {
            Some(blocked) => Some(Refusal::Blocked(blocked)),
            None if is_willing => None,
            None => Some(Refusal::OptedOut),
        };
        let Some(refusal) = refusal else {
            return Ok(Ok(Checked { withheld: false, safe: standing.safe }));
        };
        telemetry::observe(&Event::Unwelcome { tenant: &tenant.name, code: refusal.code() });
        if tenant.hide_blocks && refusal.is_personal() {
            return Ok(Ok(Checked { withheld: true, safe: standing.safe }));
        }
        Ok(Err(refusal))
    }

    /// Puts something on a list, in the place of what the list said of it. The tenant is told of a block
    /// of its own.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn enlist(&self, listing: &Listing) -> Result<Entry, Fault> {
        let id = self.name_of(listing.list, listing.tenant.as_deref(), &listing.target);
        if let (List::Blocks, Target::Prefix(prefix)) = (listing.list, &listing.target) {
            self.note_length(prefix.as_str().len()).await?;
        }
        let entry = |now, level| Entry {
            id: id.clone(),
            list: listing.list,
            tenant: listing.tenant.clone(),
            about: listing.target.about(),
            shown: listing.target.shown(),
            why: listing.why,
            note: listing.note.clone(),
            verification: listing.verification.clone(),
            from: now,
            until: listing.until,
            lifted: None,
            level,
        };
        let written = self.rewrite(&id, |now, _| Some(entry(now, 1))).await?;
        // It always has something to write.
        Ok(written.unwrap_or_else(|| entry(self.now(), 1)))
    }

    /// Takes an entry off its list; `None` where there is none of that name that holds.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn lift(&self, id: &str) -> Result<Option<Entry>, Fault> {
        self.rewrite(id, |now, former| {
            let former = former.filter(|former| former.stands(now))?;
            Some(Entry { lifted: Some(now), ..former.clone() })
        })
        .await
    }

    /// The entries of a list that hold, those that were written last first; at most 2,000.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn entries(&self, list: List, tenant: Option<&str>) -> Result<Vec<Entry>, Fault> {
        let now = self.now();
        let mut found = Vec::new();
        let mut query =
            ListQuery { group: group(list).to_owned(), limit: PAGE_MOST, ..ListQuery::default() };
        loop {
            let page = self.0.store.list(&query).await?;
            for row in page.rows {
                let entry: Entry = record::decode_value(&row.bytes)?;
                let asked = tenant.is_none() || entry.tenant.as_deref() == tenant;
                if asked && entry.stands(now) {
                    found.push(entry);
                }
            }
            query.cursor = page.next;
            if query.cursor.is_none() || found.len() >= ENTRIES_MOST {
                found.truncate(ENTRIES_MOST);
                return Ok(found);
            }
        }
    }

    /// Whether there is a tenant of this name.
    #[must_use]
    pub fn knows_tenant(&self, name: &str) -> bool {
        self.live_tenant(name).is_some()
    }

    /// What entries of these are called; that of the newest key first.
    #[must_use]
    pub fn names_of(&self, list: List, tenant: Option<&str>, target: &Target) -> Vec<String> {
        self.0.vault.live().map(|vault| named_by(&vault, list, tenant, target)).collect()
    }

    /// What a new entry of these is called.
    pub(super) fn name_of(&self, list: List, tenant: Option<&str>, target: &Target) -> String {
        named_by(&self.0.vault, list, tenant, target)
    }

    /// An entry.
    pub(super) async fn entry(&self, id: &str) -> Result<Option<Entry>, Fault> {
        let stored = self.0.store.load(id).await?;
        Ok(stored.map(|stored| record::decode_value(&stored.bytes)).transpose()?)
    }

    /// Writes an entry anew, as it is made of the one that is there; `None` where nothing is to change.
    /// Its tenant is told in the same commit.
    pub(super) async fn rewrite(
        &self,
        id: &str,
        make: impl Fn(Timestamp, Option<&Entry>) -> Option<Entry>,
    ) -> Result<Option<Entry>, Fault> {
        // No other record can be meant.
        if !(id.starts_with("blk_") || id.starts_with("saf_")) || id == LENGTHS {
            return Ok(None);
        }
        let list = if id.starts_with("blk_") { List::Blocks } else { List::Safe };
        let written = self.change(id, group(list), |bytes| {
            let now = self.now();
            let former = bytes.map(record::decode_value::<Entry>).transpose()?;
            let Some(entry) = make(now, former.as_ref()) else { return Ok(None) };
            let (bytes, duties) = (record::encode_value(&entry)?, self.entry_told(now, &entry));
            Ok(Some(Change { bytes, duties, result: entry }))
        });
        let written = written.await?;
        if let Some(entry) = &written {
            telemetry::observe(&Event::Listed { entry });
        }
        Ok(written)
    }

    /// The lengths of the prefixes that were ever blocked by hand, in characters.
    async fn lengths(&self) -> Result<BTreeSet<usize>, Fault> {
        let stored = self.0.store.load(LENGTHS).await?;
        Ok(stored
            .map(|it| it.bytes.iter().map(|length| usize::from(*length)).collect())
            .unwrap_or_default())
    }

    async fn note_length(&self, length: usize) -> Result<(), Fault> {
        let noted = self.change(LENGTHS, INDEX, |bytes| {
            let mut lengths: BTreeSet<u8> = bytes.unwrap_or_default().iter().copied().collect();
            let is_new = lengths.insert(u8::try_from(length).unwrap_or(u8::MAX));
            let bytes = lengths.into_iter().collect();
            Ok(is_new.then_some(Change { bytes, duties: Vec::new(), result: () }))
        });
        noted.await.map(|_| ())
    }
}

/// What the entries of a number are called, of whichever tenant.
pub(super) async fn entries_of(
    store: &Store,
    vault: &Vault,
    number: &PhoneNumber,
) -> Result<Vec<String>, Fault> {
    let target = Target::Number(number.clone());
    let mut found = Vec::new();
    for list in [List::Blocks, List::Safe] {
        let mut query =
            ListQuery { group: group(list).to_owned(), limit: PAGE_MOST, ..ListQuery::default() };
        loop {
            let page = store.list(&query).await?;
            for row in page.rows {
                let entry: Entry = record::decode_value(&row.bytes)?;
                let whose = entry.tenant.as_deref();
                if vault.live().any(|vault| named_by(&vault, list, whose, &target) == row.id) {
                    found.push(row.id);
                }
            }
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
        }
    }
    Ok(found)
}

/// The group that a list's records are in; no tenant can have that name.
const fn group(list: List) -> &'static str {
    match list {
        List::Blocks => "/blocks",
        List::Safe => "/safe",
    }
}

fn named_by(vault: &Vault, list: List, tenant: Option<&str>, target: &Target) -> String {
    let whose = tenant.unwrap_or_default();
    match target {
        Target::Country(country) => of_country(tenant, country.as_str()),
        Target::Number(number) => {
            named(list, About::Number, &vault.counted(whose, "number", number.expose()))
        }
        Target::Prefix(prefix) => {
            named(list, About::Prefix, &vault.counted(whose, "prefix", prefix.as_str()))
        }
    }
}

/// What an entry of this name is called.
pub(super) fn named(list: List, about: About, name: &str) -> String {
    let list = match list {
        List::Blocks => "blk",
        List::Safe => "saf",
    };
    let about = match about {
        About::Number => 'n',
        About::Prefix => 'p',
        About::Country => 'c',
    };
    format!("{list}_{about}{name}")
}

/// A country is no secret.
pub(super) fn of_country(tenant: Option<&str>, country: &str) -> String {
    named(List::Blocks, About::Country, &format!("{country}.{}", tenant.unwrap_or_default()))
}
