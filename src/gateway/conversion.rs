//! What the end of a verification says: an approval gives back what its start counted, a report of fraud
//! blocks its number, and a range or a country where hardly anybody is approved blocks itself.

use serde_json::json;

use super::blocks::{Listing, named, of_country};
use super::limits::adding;
use super::notices::Notice;
use super::settings::Tenant;
use super::webhook::event;
use super::{Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::{self, Tally};
use crate::telemetry::{self, Event};
use crate::verify::Verification;
use crate::verify::block::{self, About, Conversion, Entry, Fraud, List, Prefix, Target, Why};
use crate::verify::limits::{Counter, Who};
use crate::verify::request::Request;
use crate::verify::signal::{Denial, Status, Verdict};

/// A range or a country, and what has ended there since its last block.
struct Place {
    about: About,
    /// What its entry is called.
    id: String,
    shown: String,
    former: Option<Entry>,
}

impl Place {
    /// How many have ended, and how many of them were approved. What was counted before a block does not
    /// count after it.
    fn counters(&self) -> [Counter; 2] {
        let since = self.former.as_ref().map_or(0, |entry| entry.from.as_secs());
        let counter = |what: &str| Counter {
            key: format!("conversion/{}/{since}/{what}", self.id),
            window: block::WINDOW,
        };
        [counter("ended"), counter("approved")]
    }
}

impl Gateway {
    /// Blocks the number of somebody who reports fraud. Before the verdict is written: it is kept even if
    /// this node is lost in between.
    pub(super) async fn heed_report(&self, next: &Verification) -> Result<(), Fault> {
        let reported = matches!(next.verdict(), Some(Verdict::Denied(Denial::FraudReported)));
        let Some(tenant) = self.tenant(&next.tenant).filter(|it| reported && !it.test) else {
            return Ok(());
        };
        let hold = tenant.fraud.block;
        if hold.is_zero() {
            return Ok(());
        }
        let listing = Listing {
            list: List::Blocks,
            tenant: Some(tenant.name.clone()),
            target: Target::Number(next.request.to.clone()),
            why: Why::FraudReported,
            note: None,
            verification: Some(next.id.clone()),
            until: Some(self.now() + hold),
        };
        let id = self.name_of(listing.list, Some(&tenant.name), &listing.target);
        // One that lasts longer, or was written for this very verification, stays.
        let known = self.entry(&id).await?;
        let keeps = known.is_some_and(|it| {
            let same = it.verification.as_ref() == Some(&next.id);
            same || (it.stands(self.now()) && it.until.is_none_or(|at| Some(at) > listing.until))
        });
        if !keeps {
            self.enlist(&listing).await?;
        }
        Ok(())
    }

    /// Counts the end of a verification. A count that is lost with the node is one that stays too high.
    pub(super) async fn count_end(&self, now: Timestamp, next: &Verification) {
        let Some(tenant) = self.tenant(&next.tenant) else { return };
        if tenant.test || tenant.tries.is_some() || next.withheld {
            return;
        }
        if let Err(fault) = self.try_count_end(now, &tenant, next).await {
            telemetry::observe(&Event::Fault { doing: "count the end", error: &fault });
        }
    }

    async fn try_count_end(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        next: &Verification,
    ) -> Result<(), Fault> {
        let (to, approved) = (&next.request.to, next.status() == Status::Approved);
        let who = Who::of(&self.0.vault, &tenant.name, &next.request);
        let safe = self.is_safe(now, tenant, to).await?;
        let who = who.safely(safe);
        let mut counters = Vec::new();
        if approved {
            let (back, add) = tenant.limits.approval(now, &who);
            counters.extend(back.iter().map(|it| adding(it, -1)));
            counters.extend(add.iter().map(|it| adding(it, 1)));
        }
        let tells = next.verdict().is_some_and(block::tells_something) && !safe;
        let places =
            if tells { self.places(tenant, &who, &next.request).await? } else { Vec::new() };
        let at = counters.len();
        for place in &places {
            let [ended, good] = place.counters();
            counters.extend([adding(&ended, 1), adding(&good, i64::from(approved))]);
        }
        if counters.is_empty() {
            return Ok(());
        }
        let tally = self.0.store.tally(now, &counters).await?;
        for (place, (ended, approved)) in places.iter().zip(pairs(&tally, at)) {
            self.judge(now, tenant, place, ended, approved).await?;
        }
        Ok(())
    }

    /// The range and the country of a number, as they were watched so far.
    async fn places(
        &self,
        tenant: &Tenant,
        who: &Who,
        request: &Request,
    ) -> Result<Vec<Place>, Fault> {
        let (name, to) = (Some(tenant.name.as_str()), &request.to);
        let mut places = Vec::with_capacity(2);
        for (about, id, shown) in [
            (
                About::Prefix,
                named(List::Blocks, About::Prefix, who.prefix()),
                Prefix::of(to).as_str().to_owned(),
            ),
            (About::Country, of_country(name, to.country().as_str()), to.country().to_string()),
        ] {
            let former = self.entry(&id).await?;
            places.push(Place { about, id, shown, former });
        }
        Ok(places)
    }

    /// What has ended where this number is, and how much of that was approved.
    pub(super) async fn conversion_of(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        who: &Who,
        request: &Request,
    ) -> Result<Vec<(About, u64, u64)>, Fault> {
        let places = self.places(tenant, who, request).await?;
        let counters: Vec<_> =
            places.iter().flat_map(Place::counters).map(|it| adding(&it, 0)).collect();
        let tally = self.0.store.tally(now, &counters).await?;
        let found = places.iter().zip(pairs(&tally, 0));
        Ok(found.map(|(place, (ended, approved))| (place.about, ended, approved)).collect())
    }

    async fn judge(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        place: &Place,
        ended: u64,
        approved: u64,
    ) -> Result<(), Fault> {
        let conversion = tenant.fraud.judge(ended, approved);
        match conversion {
            Conversion::Fine => Ok(()),
            Conversion::Stop if !tenant.limits.record_conversion => {
                let make = |now, former: Option<&Entry>| {
                    let (level, until) = Fraud::next(now, former)?;
                    Some(Entry {
                        id: place.id.clone(),
                        list: List::Blocks,
                        tenant: Some(tenant.name.clone()),
                        about: place.about,
                        shown: place.shown.clone(),
                        why: Why::LowConversion,
                        note: Some(format!("{approved} of {ended} approved in 60 minutes")),
                        verification: None,
                        from: now,
                        until,
                        lifted: None,
                        level,
                    })
                };
                self.rewrite(&place.id, make).await.map(|_| ())
            }
            Conversion::Low | Conversion::Stop => {
                let stops = conversion == Conversion::Stop;
                let notice = Notice {
                    name: format!("conversion-{}-{stops}", place.id),
                    kind: event::CONVERSION,
                    subject: place.shown.clone(),
                    data: json!({
                        "tenant": tenant.name, "about": place.about.as_str(), "what": place.shown,
                        "ended": ended, "approved": approved,
                        "would_block": stops,
                    }),
                };
                if self.tell_once(now, &tenant.name, now + block::WINDOW, &notice).await? {
                    let (about, tenant) = (place.about, tenant.name.as_str());
                    telemetry::observe(&Event::LowConversion { tenant, about, ended, approved });
                }
                Ok(())
            }
        }
    }
}

/// Each two counts of a tally, from one on.
fn pairs(tally: &Tally, from: usize) -> impl Iterator<Item = (u64, u64)> + '_ {
    let counts: &[store::Count] = tally.counts.get(from..).unwrap_or_default();
    counts.chunks(2).filter_map(|pair| match pair {
        [ended, approved] => Some((ended.counted, approved.counted)),
        _ => None,
    })
}
