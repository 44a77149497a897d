//! Events that are of no verification: a block, a limit that was reached, a range where few are approved.

use serde_json::{Value, json};

use super::deliveries::{delivery, named, wanting};
use super::webhook::event::{self, Title};
use super::{Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::Answer;
use crate::store::record::Duty;
use crate::verify::block::{Entry, List};

/// What is told once.
pub(super) struct Notice {
    /// Names it.
    pub(super) name: String,
    /// The event's name.
    pub(super) kind: &'static str,
    /// What it is about.
    pub(super) subject: String,
    /// What there is to know.
    pub(super) data: Value,
}

/// An entry as people and programs see it.
#[must_use]
pub fn shown(entry: &Entry) -> Value {
    let time = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339);
    json!({
        "id": entry.id,
        "tenant": entry.tenant,
        "about": entry.about.as_str(),
        "what": entry.shown,
        "reason": entry.why.as_str(),
        "note": entry.note,
        "verification": entry.verification.as_ref().map(|id| id.as_str()),
        "from": entry.from.to_rfc3339(),
        "until": time(entry.until),
        "lifted_at": time(entry.lifted),
        "undo": entry.lifted.is_none().then(|| format!("DELETE /admin/v1/{}/{}", path(entry), entry.id)),
    })
}

const fn path(entry: &Entry) -> &'static str {
    match entry.list {
        List::Blocks => "blocks",
        List::Safe => "safe",
    }
}

impl Gateway {
    /// What the endpoints of its tenant are told of a block that is written or lifted.
    pub(super) fn entry_told(&self, now: Timestamp, entry: &Entry) -> Vec<(String, Duty)> {
        let Some(tenant) = entry.tenant.as_deref().filter(|_| entry.list == List::Blocks) else {
            return Vec::new();
        };
        let name = if entry.lifted.is_some() { event::LIFTED } else { event::BLOCKED };
        self.told_of(now, tenant, name, &entry.id, &shown(entry))
    }

    /// One delivery for each endpoint of a tenant that wants this event.
    fn told_of(
        &self,
        now: Timestamp,
        tenant: &str,
        name: &str,
        subject: &str,
        data: &Value,
    ) -> Vec<(String, Duty)> {
        let Some(tenant) = self.tenant(tenant) else { return Vec::new() };
        let at = now.as_micros();
        let id = format!("evt_{name}-{subject}-{at}");
        let title = Title { id: &id, name, subject, time: now, sequence: at };
        let body = event::body(&title, data);
        let urls = wanting(&tenant.webhooks, name).into_iter();
        let deliveries = urls.map(|url| delivery(&tenant.name, url, &id, &body)).collect();
        named(&format!("{name}-{at}"), deliveries).collect()
    }

    /// Tells a tenant something that has no record of its own, once until `until`; whether it was told
    /// now.
    pub(super) async fn tell_once(
        &self,
        now: Timestamp,
        tenant: &str,
        until: Timestamp,
        Notice { name, kind, subject, data }: &Notice,
    ) -> Result<bool, Fault> {
        let key = format!("told/{name}");
        if self.0.store.answered(now, &key).await?.is_some() {
            return Ok(false);
        }
        let answer = Answer { key, fingerprint: [0; 32], bytes: Vec::new(), expires: until };
        let duties = self.told_of(now, tenant, kind, subject, data);
        self.queue(name, duties, Some(answer)).await
    }
}
