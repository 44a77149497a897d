//! Events that are sent once more, under the ids they were sent under before.
//!
//! A verdict is made anew from the record of its verification. What any other event said is kept when it is not to
//! be tried any more, in the commit that takes it out of the queue: an event is in one of the two.

use serde::{Deserialize, Serialize};

use super::deliveries::{delivery, named, wanting};
use super::webhook::event;
use super::{Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::record::{self, Delivery};
use crate::store::{ListQuery, PAGE_MOST, RecordWrite};
use crate::verify::{Verification, VerificationId};

/// What the groups of the records of events begin with; a tenant's name is behind it. No tenant has such a name.
const GROUP: &str = "/events/";

/// What the names of these records begin with.
pub(super) const EVENTS: &str = "event/";

/// The most verifications, and the most other events, that are told of anew at once.
const REPLAY_MOST: usize = 2_000;

/// An event as it was told.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    /// Its id.
    event: String,
    /// What it said.
    body: String,
}

/// What is looked at of a CloudEvent.
#[derive(Deserialize)]
struct Title {
    r#type: String,
    time: String,
}

/// When it happened that an event tells of.
pub(super) fn happened(delivery: &Delivery) -> Option<Timestamp> {
    let title: Title = serde_json::from_str(&delivery.body).ok()?;
    Timestamp::from_rfc3339(&title.time)
}

/// Which events are told anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those of this verification.
    Verification(VerificationId),
    /// The one of this id.
    Event(String),
    /// The verdicts of verifications that were begun in that time, from the first on and before the second, and
    /// what else happened in it.
    Between(Timestamp, Timestamp),
}

/// What is told anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// How many deliveries were queued.
    pub queued: usize,
    /// Where there were too many for once: the rest is what is from before this.
    #[serde(skip)]
    pub rest_until: Option<Timestamp>,
}

/// To whom.
#[derive(Clone, Copy)]
struct To<'a> {
    tenant: &'a str,
    /// To this URL alone.
    only: Option<&'a str>,
}

impl Gateway {
    /// The record of what an event said that is not tried any more; `None` where that is kept already, or made
    /// anew from the record of its verification.
    pub(super) async fn kept(&self, delivery: &Delivery) -> Result<Option<RecordWrite>, Fault> {
        let Delivery { tenant, event, body, .. } = delivery;
        let Ok(Title { r#type, time }) = serde_json::from_str(body) else { return Ok(None) };
        let id = name_of(tenant, event);
        if r#type == event::SETTLED || self.0.store.load(&id).await?.is_some() {
            return Ok(None);
        }
        let told = Told { event: event.clone(), body: body.clone() };
        Ok(Some(RecordWrite {
            id,
            expected: None,
            version: 1,
            bytes: record::encode_value(&told)?,
            wake: None,
            group: format!("{GROUP}{tenant}"),
            created: Timestamp::from_rfc3339(&time).unwrap_or_else(|| self.now()),
        }))
    }

    /// Sends events once more, under the ids they were sent under before, to every endpoint that wants them, or to
    /// this one. `None`: there is no such tenant, endpoint, or event.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn replay(
        &self,
        tenant: &str,
        which: Which,
        endpoint: Option<&str>,
    ) -> Result<Option<Replayed>, Fault> {
        let Some(known) = self.tenant(tenant) else { return Ok(None) };
        let only = match endpoint {
            None => None,
            Some(id) => match known.webhooks.iter().find(|it| it.id(tenant) == id) {
                Some(endpoint) => Some(endpoint.url.clone()),
                None => return Ok(None),
            },
        };
        let to = To { tenant, only: only.as_deref() };
        match which {
            Which::Verification(id) => {
                let Some(found) = self.read(&known, &id).await? else { return Ok(None) };
                let verdict = self.tell_verdict(&found, to).await?;
                let (events, _) = self
                    .tell_events(to, found.created_at, Timestamp::MAX, &event_of(id.as_str()))
                    .await?;
                let told = verdict.is_some() || events.is_some();
                let queued = verdict.unwrap_or(0) + events.unwrap_or(0);
                Ok(told.then_some(Replayed { queued, rest_until: None }))
            }
            Which::Event(event) => {
                let found = match verdict_of(&event) {
                    Some(id) => self.read(&known, &id).await?,
                    None => None,
                };
                let queued = match found.filter(|found| told_as(found) == event) {
                    Some(found) => self.tell_verdict(&found, to).await?,
                    None => self.tell_event(to, &event).await?,
                };
                Ok(queued.map(|queued| Replayed { queued, rest_until: None }))
            }
            Which::Between(from, until) => {
                let (verdicts, rest) = self.tell_verdicts(to, from, until).await?;
                // What is left of one is left of both.
                let from = rest.map_or(from, |rest| rest.max(from));
                let (events, rest_of_events) = self.tell_events(to, from, until, "").await?;
                let queued = verdicts + events.unwrap_or(0);
                Ok(Some(Replayed { queued, rest_until: rest_of_events.or(rest) }))
            }
        }
    }

    /// Tells the verdicts of verifications that were begun in that time; how many deliveries that are, and before
    /// when the rest was begun.
    async fn tell_verdicts(
        &self,
        to: To<'_>,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<(usize, Option<Timestamp>), Fault> {
        let mut query = query(to.tenant.to_owned(), from, until);
        let (mut seen, mut queued) = (0, 0);
        loop {
            let page = self.0.store.list(&query).await?;
            let last = page.rows.last().map(|row| row.created);
            for row in page.rows.iter().filter(|row| row.id.starts_with("vf_")) {
                seen += 1;
                let found = record::decode(&row.bytes)?;
                queued += self.tell_verdict(&found, to).await?.unwrap_or(0);
            }
            query.cursor = page.next;
            if query.cursor.is_none() {
                return Ok((queued, None));
            }
            if seen >= REPLAY_MOST {
                return Ok((queued, last));
            }
        }
    }

    /// Tells the other events of that time whose ids begin so; how many deliveries that are (`None`: there is no
    /// such event), and from before when the rest is.
    async fn tell_events(
        &self,
        to: To<'_>,
        from: Timestamp,
        until: Timestamp,
        beginning: &str,
    ) -> Result<(Option<usize>, Option<Timestamp>), Fault> {
        let mut query = query(format!("{GROUP}{}", to.tenant), from, until);
        let (mut seen, mut queued) = (0, None);
        loop {
            let page = self.0.store.list(&query).await?;
            let last = page.rows.last().map(|row| row.created);
            for row in &page.rows {
                let told: Told = record::decode_value(&row.bytes)?;
                if told.event.starts_with(beginning) {
                    seen += 1;
                    *queued.get_or_insert(0) += self.tell_anew(to, &row.id, &told).await?;
                }
            }
            query.cursor = page.next;
            if query.cursor.is_none() {
                return Ok((queued, None));
            }
            if seen >= REPLAY_MOST {
                return Ok((queued, last));
            }
        }
    }

    async fn tell_event(&self, to: To<'_>, event: &str) -> Result<Option<usize>, Fault> {
        let id = name_of(to.tenant, event);
        let Some(stored) = self.0.store.load(&id).await? else { return Ok(None) };
        let told: Told = record::decode_value(&stored.bytes)?;
        self.tell_anew(to, &id, &told).await.map(Some)
    }

    /// Queues the deliveries of an event once more; how many there are.
    async fn tell_anew(&self, to: To<'_>, id: &str, told: &Told) -> Result<usize, Fault> {
        let Some(tenant) = self.tenant(to.tenant) else { return Ok(0) };
        let Ok(Title { r#type, .. }) = serde_json::from_str(&told.body) else { return Ok(0) };
        let urls = wanting(&tenant.webhooks, &r#type).into_iter();
        let deliveries = urls.map(|url| delivery(to.tenant, url, &told.event, &told.body));
        self.queue_again(to, id, deliveries.collect()).await
    }

    /// Queues the deliveries of a verdict once more; how many there are. `None`: there is no verdict yet.
    async fn tell_verdict(&self, found: &Verification, to: To<'_>) -> Result<Option<usize>, Fault> {
        if found.verdict().is_none() {
            return Ok(None);
        }
        let deliveries = self.verdict_told(found, found.told.unwrap_or(found.version));
        self.queue_again(to, found.id.as_str(), deliveries).await.map(Some)
    }

    async fn queue_again(
        &self,
        to: To<'_>,
        record: &str,
        mut deliveries: Vec<Delivery>,
    ) -> Result<usize, Fault> {
        deliveries.retain(|delivery| to.only.is_none_or(|only| only == delivery.url));
        let name = format!("replay-{}", self.now().as_micros());
        let duties: Vec<_> = named(&name, deliveries).collect();
        let count = duties.len();
        self.queue(record, duties, None).await?;
        Ok(count)
    }
}

/// The verification that an event is of, where it is of one: `evt_…_7` is of `vf_…`.
fn verdict_of(event: &str) -> Option<VerificationId> {
    let (body, _) = event.strip_prefix("evt_")?.rsplit_once('_')?;
    VerificationId::parse(&format!("vf_{body}"))
}

/// How the ids of the events of a verification begin.
pub(super) fn event_of(id: &str) -> String {
    format!("evt_{}_", id.strip_prefix("vf_").unwrap_or(id))
}

/// The id that the verdict of a verification is told under.
fn told_as(found: &Verification) -> String {
    event::id(found, found.told.unwrap_or(found.version))
}

/// The name of the record of an event.
fn name_of(tenant: &str, event: &str) -> String {
    format!("{EVENTS}{tenant}/{event}")
}

/// Whether a group has the records of events.
pub(super) fn is_of_events(group: &str) -> bool {
    group.starts_with(GROUP)
}

fn query(group: String, from: Timestamp, until: Timestamp) -> ListQuery {
    let (from, until) = (Some(from), Some(until));
    ListQuery { group, from, until, cursor: None, limit: PAGE_MOST }
}
