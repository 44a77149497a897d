//! Which events leave with a step, and what is known of the endpoints that they go to.

use serde::Serialize;

use super::settings::Endpoint;
use super::webhook::event::{self, Title, Told};
use super::webhook::{Health, News, Off};
use super::{Change, Fault, Gateway};
use crate::ambient::Timestamp;
use crate::gateway::resource::Resource;
use crate::store::record::{self, Delivery, Duty};
use crate::telemetry::{self, Event};
use crate::verify::Verification;
use crate::verify::signal::Effect;

/// The group of the records that keep what is known of endpoints. No tenant has this name.
const ENDPOINTS: &str = "/endpoints";

/// An endpoint, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointView {
    /// Its name here.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Scheme, host and port: a path may hold a token.
    pub origin: String,
    /// What it is told.
    pub events: Vec<String>,
    /// What receivers check by where they know no secret (`whpk_…`).
    pub public_keys: Vec<String>,
    /// Whether it is sent anything.
    pub on: bool,
    /// Why not: `gone` or `failing`.
    pub why: Option<&'static str>,
    /// Since when not.
    pub off_since: Option<String>,
    /// When it failed first without having taken anything since.
    pub failing_since: Option<String>,
}

impl Gateway {
    /// What carrying the effects of a step out takes: an event is one delivery for each endpoint that
    /// wants it.
    pub(super) fn duties(
        &self,
        now: Timestamp,
        before: Option<&Verification>,
        next: &Verification,
        effects: Vec<Effect>,
    ) -> Vec<(String, Duty)> {
        let mut duties = Vec::new();
        let mut is_told = false;
        for effect in effects {
            let name = effect.name();
            match effect {
                Effect::Dial { attempt } => duties.push((name, Duty::Dial { attempt })),
                Effect::Send { attempt } => duties.push((name, Duty::Send { attempt })),
                Effect::HangUp { attempt, farewell } => {
                    duties.push((name, Duty::HangUp { attempt, farewell }));
                }
                Effect::Notify { sequence } => {
                    is_told = true;
                    duties.extend(named(&name, self.verdict_told(next, sequence)));
                }
            }
        }
        if !is_told && let Some(event) = event::of_step(before, next) {
            let name = format!("event-{}", next.version);
            duties.extend(named(&name, self.progress_told(now, next, &event)));
        }
        duties
    }

    /// One delivery of a verdict for each endpoint.
    pub(super) fn verdict_told(&self, next: &Verification, sequence: u64) -> Vec<Delivery> {
        let Some(tenant) = self.tenant(&next.tenant) else { return Vec::new() };
        let urls = match &next.request.callback_url {
            Some(url) => vec![url.clone()],
            None => wanting(&tenant.webhooks, event::SETTLED),
        };
        let time = next.settled_at().unwrap_or(next.created_at);
        let verdict = self.0.signer.as_ref().and_then(|signer| signer.verdict(next));
        told(next, event::SETTLED, sequence, time, verdict, urls)
    }

    /// One delivery of any other event for each endpoint that wants it.
    fn progress_told(&self, now: Timestamp, next: &Verification, event: &str) -> Vec<Delivery> {
        let Some(tenant) = self.tenant(&next.tenant) else { return Vec::new() };
        let urls = wanting(&tenant.webhooks, event);
        told(next, event, next.version, now, None, urls)
    }

    /// Every endpoint, and how it is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn endpoints(&self) -> Result<Vec<EndpointView>, Fault> {
        let mut views = Vec::new();
        for tenant in self.orders().live() {
            for endpoint in &tenant.webhooks {
                let health = self.health(&tenant.name, endpoint).await?;
                views.push(view(&tenant.name, endpoint, health));
            }
        }
        Ok(views)
    }

    /// Tells how each endpoint is, before anything is learned of it.
    pub(super) async fn tell_endpoints(self) {
        match self.endpoints().await {
            Ok(views) => views.iter().for_each(|it| {
                let (tenant, id, off) = (&it.tenant, &it.id, it.why);
                telemetry::observe(&Event::EndpointFound { tenant, id, off });
            }),
            Err(error) => {
                telemetry::observe(&Event::Fault { doing: "read the endpoints", error: &error });
            }
        }
    }

    /// Switches an endpoint on again; as it is then. `None`: there is none of that name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn switch_on(&self, id: &str) -> Result<Option<EndpointView>, Fault> {
        let orders = self.orders();
        let found = orders.live().find_map(|tenant| {
            let endpoint =
                tenant.webhooks.iter().find(|endpoint| endpoint.id(&tenant.name) == id)?;
            Some((tenant, endpoint))
        });
        let Some((tenant, endpoint)) = found else { return Ok(None) };
        self.learn_of(&tenant.name, endpoint, News::On).await?;
        let health = self.health(&tenant.name, endpoint).await?;
        Ok(Some(view(&tenant.name, endpoint, health)))
    }

    /// Whether nothing is sent to an endpoint.
    pub(super) async fn is_off(&self, tenant: &str, endpoint: &Endpoint) -> Result<bool, Fault> {
        Ok(self.health(tenant, endpoint).await?.off.is_some())
    }

    async fn health(&self, tenant: &str, endpoint: &Endpoint) -> Result<Health, Fault> {
        let stored = self.0.store.load(&record_of(tenant, endpoint)).await?;
        known(stored.as_ref().map(|stored| stored.bytes.as_slice()))
    }

    /// Keeps what was learned of an endpoint. Nothing is written while all is well, or goes on failing.
    pub(super) async fn learn_of(
        &self,
        tenant: &str,
        endpoint: &Endpoint,
        news: News,
    ) -> Result<(), Fault> {
        let now = self.now();
        let record = record_of(tenant, endpoint);
        let changed = self.change(&record, ENDPOINTS, |bytes| {
            let before = known(bytes)?;
            let after = before.after(now, news);
            if after == before {
                return Ok(None);
            }
            let turn = (before.off != after.off).then_some(after.off);
            let duties = turn.map(|off| self.turn_told(now, tenant, endpoint, off));
            let bytes = record::encode_value(&after)?;
            Ok(Some(Change { bytes, duties: duties.unwrap_or_default(), result: turn }))
        });
        if let Some(Some(off)) = changed.await? {
            let (id, why) = (&endpoint.id(tenant), off.map(|off| off.why.as_str()));
            telemetry::observe(&Event::Endpoint { tenant, id, origin: &endpoint.origin(), why });
        }
        Ok(())
    }

    /// What the tenant's other endpoints are told of one that is switched off or on.
    fn turn_told(
        &self,
        now: Timestamp,
        tenant: &str,
        endpoint: &Endpoint,
        off: Option<Off>,
    ) -> Vec<(String, Duty)> {
        let name = if off.is_some() { event::DISABLED } else { event::ENABLED };
        let others = self.tenant(tenant).map(|tenant| wanting(&tenant.webhooks, name));
        let others = others.unwrap_or_default().into_iter().filter(|url| *url != endpoint.url);
        let (subject, at) = (endpoint.id(tenant), now.as_micros());
        let id = format!("evt_{subject}_{at}");
        let title = Title { id: &id, name, subject: &subject, time: now, sequence: at };
        let data = view(tenant, endpoint, Health { failing_since: None, off });
        let body = event::body(&title, data);
        let deliveries = others.map(|url| delivery(tenant, url, &id, &body)).collect();
        named(&format!("{name}-{at}"), deliveries).collect()
    }

    /// What the endpoints of a tenant are told that is of none of its verifications; `mark` tells it from
    /// what else is told of the tenant at that time.
    pub(super) fn tenant_told(
        &self,
        now: Timestamp,
        tenant: &str,
        (name, mark): (&str, &str),
        data: impl Serialize,
    ) -> Vec<(String, Duty)> {
        let urls = self.tenant(tenant).map(|tenant| wanting(&tenant.webhooks, name));
        let at = now.as_micros();
        let id = format!("evt_{tenant}_{mark}_{at}");
        let title = Title { id: &id, name, subject: tenant, time: now, sequence: at };
        let body = event::body(&title, data);
        let urls = urls.unwrap_or_default().into_iter();
        let deliveries = urls.map(|url| delivery(tenant, url, &id, &body)).collect();
        named(&format!("{name}-{mark}-{at}"), deliveries).collect()
    }
}

/// The name of the record of an endpoint.
fn record_of(tenant: &str, endpoint: &Endpoint) -> String {
    format!("endpoint/{}", endpoint.id(tenant))
}

fn known(bytes: Option<&[u8]>) -> Result<Health, Fault> {
    Ok(bytes.map(record::decode_value).transpose()?.unwrap_or_default())
}

/// The URLs of the endpoints that want an event.
pub(super) fn wanting(endpoints: &[Endpoint], event: &str) -> Vec<String> {
    let wanting = endpoints.iter().filter(|endpoint| endpoint.events.wants(event));
    wanting.map(|endpoint| endpoint.url.clone()).collect()
}

fn told(
    next: &Verification,
    name: &str,
    sequence: u64,
    time: Timestamp,
    verdict: Option<String>,
    urls: Vec<String>,
) -> Vec<Delivery> {
    if urls.is_empty() {
        return Vec::new();
    }
    let id = event::id(next, sequence);
    let title = Title { id: &id, name, subject: next.id.as_str(), time, sequence };
    let body = event::body(&title, Told { resource: &Resource::from(next), verdict });
    let to = |url| Delivery {
        traceparent: next.request.traceparent.clone(),
        tracestate: next.request.tracestate.clone(),
        ..delivery(&next.tenant, url, &id, &body)
    };
    urls.into_iter().map(to).collect()
}

pub(super) fn delivery(tenant: &str, url: String, event: &str, body: &str) -> Delivery {
    let (event, body) = (event.to_owned(), body.to_owned());
    let (tenant, traceparent, tracestate) = (tenant.to_owned(), None, None);
    Delivery { tenant, url, event, body, tries: 0, traceparent, tracestate }
}

/// The deliveries of an event, each by a name of its own.
pub(super) fn named(name: &str, deliveries: Vec<Delivery>) -> impl Iterator<Item = (String, Duty)> {
    let numbered = deliveries.into_iter().enumerate();
    numbered.map(move |(i, delivery)| (format!("{name}-{i}"), Duty::Deliver(delivery)))
}

fn view(tenant: &str, endpoint: &Endpoint, health: Health) -> EndpointView {
    EndpointView {
        id: endpoint.id(tenant),
        tenant: tenant.to_owned(),
        origin: endpoint.origin(),
        events: endpoint.events.patterns().to_vec(),
        public_keys: endpoint.secrets.iter().filter_map(|secret| secret.public()).collect(),
        on: health.off.is_none(),
        why: health.off.map(|off| off.why.as_str()),
        off_since: health.off.map(|off| off.since.to_rfc3339()),
        failing_since: health.failing_since.map(Timestamp::to_rfc3339),
    }
}
