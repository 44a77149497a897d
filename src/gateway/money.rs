//! Sets money aside before anything is sent, and gives back what it did not cost.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::orders::Orders;
use super::settings::Tenant;
use super::webhook::event;
use super::{Change, Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::record;
use crate::store::{Counter, Tally};
use crate::telemetry::{self, Event};
use crate::verify::Verification;
use crate::verify::attempt::{Attempt, AttemptNo};
use crate::verify::gsm;
use crate::verify::money::{self, Cap, Money, Overspent, Tariff, started_minutes};
use crate::verify::request::Channel;
use crate::verify::signal::Effect;

/// The group of the records that keep what tenants were told of their budgets. No tenant has this name.
const BUDGETS: &str = "/budgets";

/// Which shares of its cap a tenant was told of, in percent, and when: each once a day.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Told(BTreeMap<u8, Timestamp>);

/// How often it is told how much of the caps is spent.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What was set aside for an attempt.
#[must_use]
#[derive(Debug, Default)]
pub(super) struct SetAside {
    counters: Vec<Counter>,
}

impl Gateway {
    /// What the attempts of a new verification cost by the prices of now; `None` where there are none.
    pub(super) fn tariff(orders: &Orders, next: &Verification) -> Option<Tariff> {
        let deck = orders.prices.as_ref()?;
        let price = |channel| deck.price(&next.request.to, channel);
        // A text is paid by its parts; that of the longest of its modes is set aside.
        let texts = next.route.steps().iter().filter(|step| step.channel == Channel::Sms);
        let parts = texts.filter_map(|step| {
            let attempt = Attempt::new(AttemptNo::FIRST, step, next.created_at);
            let text = orders.text(next, &attempt).ok()?;
            u64::try_from(gsm::segments(text.expose()).count).ok()
        });
        let parts = parts.max().unwrap_or(1);
        Some(Tariff {
            minute: price(Channel::Voice),
            text: price(Channel::Sms).map(|part| part.times(parts)),
            minutes: started_minutes(orders.limit),
            currency: deck.currency().parse().ok(),
        })
    }

    /// Sets aside what the attempt that this step begins may cost at most. Of a rehearsal (`dry`) nothing
    /// is set aside.
    pub(super) async fn set_aside(
        &self,
        now: Timestamp,
        next: &Verification,
        effects: &[Effect],
        dry: bool,
    ) -> Result<Result<SetAside, Overspent>, Fault> {
        let begun = next.running().filter(|it| effects.iter().any(|effect| effect.begins(it.no)));
        let tenant = self.tenant(&next.tenant).filter(|tenant| !tenant.test);
        let (Some(begun), Some(tenant), Some(tariff)) = (begun, tenant, next.tariff) else {
            return Ok(Ok(SetAside::default()));
        };
        let hopeless = self.hopeless(&tenant, next, &tariff, begun.channel);
        if let Some(over) = &hopeless {
            self.tell_of_refusal(now, &tenant, over).await?;
            if !tenant.caps.record_only {
                return Ok(Err(over.clone()));
            }
        }
        let cost = tariff.most(begun.channel).unwrap_or_default();
        let counters: Vec<_> = self.counters(&tenant, next, cost, dry);
        let Tally { granted, counts } = self.0.store.tally(now, &counters).await?;
        for (cap, count) in Cap::COUNTED.into_iter().zip(&counts) {
            let Some(most) = tenant.caps.of(cap) else { continue };
            let spent = Money::ten_thousandths(count.counted);
            if granted && !dry {
                let before = spent.less(cost);
                if let Some(percent) = money::reached(most, before, spent) {
                    self.tell_of_budget(now, &tenant, cap, percent, most, spent).await?;
                }
            }
            let stands = !granted && count.room_at.is_none_or(|at| at > now);
            let recorded = tenant.caps.record_only && hopeless.is_none() && spent > most;
            if !stands && !recorded {
                continue;
            }
            let currency = self.currency();
            let wait = count.room_at.map(|at| at.since(now));
            let over = Overspent::Cap { cap, most, spent, cost, currency, wait };
            self.tell_of_refusal(now, &tenant, &over).await?;
            if stands {
                return Ok(Err(over));
            }
        }
        let counters = if granted && !dry { counters } else { Vec::new() };
        Ok(Ok(SetAside { counters }))
    }

    /// Gives all of it back: the attempt was not begun after all.
    pub(super) async fn put_back(&self, now: Timestamp, aside: SetAside) {
        let back = aside.counters.into_iter().map(|it| Counter { add: -it.add, most: None, ..it });
        self.tally_back(now, back.collect()).await;
    }

    /// Gives back what the attempts that this step ends did not cost. What is lost with the node stays
    /// counted for a day.
    pub(super) async fn settle_money(
        &self,
        now: Timestamp,
        before: &Verification,
        next: &Verification,
    ) {
        let (Some(tariff), Some(tenant)) = (next.tariff, self.tenant(&next.tenant)) else { return };
        if tenant.test {
            return;
        }
        for attempt in &next.attempts {
            let was_open = before.find(attempt.no).is_some_and(|it| it.ended_at.is_none());
            if !was_open || attempt.ended_at.is_none() {
                continue;
            }
            let (most, cost) =
                (tariff.most(attempt.channel).unwrap_or_default(), tariff.cost(attempt, now));
            let (via, channel) = (attempt.route.as_str(), attempt.channel);
            let country = next.request.to.country();
            telemetry::observe(&Event::Spent { via, channel, country, cost });
            let back = self.counters(&tenant, next, most.less(cost), false);
            let back = back.into_iter().map(|it| Counter { add: -it.add, most: None, ..it });
            self.tally_back(now, back.collect()).await;
        }
    }

    async fn tally_back(&self, now: Timestamp, back: Vec<Counter>) {
        if back.iter().all(|it| it.add == 0) {
            return;
        }
        if let Err(error) = self.0.store.tally(now, &back).await {
            telemetry::observe(&Event::Fault { doing: "give money back", error: &error });
        }
    }

    /// Tells again and again how much of each cap is spent, until the runtime ends it.
    pub(super) async fn tell_budgets(self) {
        loop {
            self.tell_used().await;
            tokio::time::sleep(TELL_EVERY).await;
        }
    }

    /// Tells how much of each tenant's cap is spent or set aside, and of everybody's. A store that fails is
    /// told of by those who need it.
    async fn tell_used(&self) {
        let orders = self.orders();
        let paying = || orders.live().filter(|tenant| !tenant.test);
        let own = paying().filter_map(|it| Some((it.name.as_str(), Cap::Tenant, it.caps.tenant?)));
        let all = paying().find_map(|it| it.caps.day).map(|most| ("", Cap::Day, most));
        let caps: Vec<_> = own.chain(all).collect();
        let counters: Vec<_> = caps
            .iter()
            .map(|(tenant, cap, _)| {
                let key = key(*cap, "", tenant);
                Counter { key, window: money::DAY, add: 0, most: None }
            })
            .collect();
        let now = self.now();
        let Ok(tally) = self.0.store.tally(now, &counters).await else { return };
        for ((tenant, cap, most), count) in caps.into_iter().zip(&tally.counts) {
            let ratio = Money::ten_thousandths(count.counted).ratio(most);
            telemetry::observe(&Event::Used { tenant, cap, ratio });
        }
    }

    /// What stands against an attempt whatever was spent.
    fn hopeless(
        &self,
        tenant: &Tenant,
        next: &Verification,
        tariff: &Tariff,
        channel: Channel,
    ) -> Option<Overspent> {
        let caps = &tenant.caps;
        let Some(cost) = tariff.most(channel) else {
            let country = next.request.to.country().clone();
            let capped =
                [caps.call, caps.number, caps.tenant, caps.day].iter().any(Option::is_some);
            return capped.then_some(Overspent::Unpriced { channel, country });
        };
        let mut all = std::iter::once(Cap::Call).chain(Cap::COUNTED);
        let (cap, most) = all.find_map(|cap| Some((cap, caps.of(cap).filter(|it| cost > *it)?)))?;
        let (spent, currency) = (Money::ZERO, self.currency());
        Some(Overspent::Cap { cap, most, spent, cost, currency, wait: None })
    }

    /// The counters of a sum, in the order of [`Cap::COUNTED`]. One that is not to be counted must find
    /// room all the same.
    fn counters(&self, tenant: &Tenant, of: &Verification, sum: Money, dry: bool) -> Vec<Counter> {
        let number = self.0.vault.counted(&tenant.name, "money", of.request.to.expose());
        let counter = |cap: Cap| {
            let key = key(cap, &number, &tenant.name);
            let most = tenant.caps.of(cap).filter(|_| !tenant.caps.record_only);
            let (add, most) = match dry {
                true => (Money::ZERO, most.map(|most| most.less(sum))),
                false => (sum, most),
            };
            let add = i64::try_from(add.count()).unwrap_or(i64::MAX);
            Counter { key, window: money::DAY, add, most: most.map(Money::count) }
        };
        Cap::COUNTED.map(counter).into()
    }

    fn currency(&self) -> String {
        self.orders().prices.as_ref().map_or_else(String::new, |deck| deck.currency().to_owned())
    }

    async fn tell_of_refusal(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        over: &Overspent,
    ) -> Result<(), Fault> {
        let enforced = !tenant.caps.record_only;
        telemetry::observe(&Event::Overspent { tenant: &tenant.name, over, enforced });
        match *over {
            Overspent::Cap { cap: cap @ (Cap::Tenant | Cap::Day), most, spent, .. } => {
                self.tell_of_budget(now, tenant, cap, 100, most, spent).await
            }
            Overspent::Cap { cap: Cap::Call | Cap::Number, .. } | Overspent::Unpriced { .. } => {
                Ok(())
            }
        }
    }

    /// Tells that so much of a cap is spent, or set aside: the tenant of its own, and the operator of all.
    async fn tell_of_budget(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        cap: Cap,
        percent: u8,
        most: Money,
        spent: Money,
    ) -> Result<(), Fault> {
        if cap != Cap::Number {
            telemetry::observe(&Event::Budget { tenant: &tenant.name, cap, percent });
        }
        if cap != Cap::Tenant {
            return Ok(());
        }
        let name = tenant.name.as_str();
        let data = json!({
            "tenant": name, "cap": cap.as_str(), "percent": percent, "limit": most.to_string(),
            "spent": spent.to_string(), "currency": self.currency(),
            "enforced": !tenant.caps.record_only,
        });
        let key = format!("budget/{name}");
        let changed = self.change(&key, BUDGETS, |bytes| {
            let told = bytes.map(record::decode_value::<Told>).transpose()?;
            let Told(mut told) = told.unwrap_or_default();
            if told.get(&percent).is_some_and(|at| now < *at + money::DAY) {
                return Ok(None);
            }
            told.insert(percent, now);
            let duties = self.tenant_told(now, name, (event::BUDGET, &percent.to_string()), &data);
            Ok(Some(Change { bytes: record::encode_value(&Told(told))?, duties, result: () }))
        });
        changed.await.map(|_| ())
    }
}

/// What counts towards a cap.
fn key(cap: Cap, number: &str, tenant: &str) -> String {
    match cap {
        Cap::Call | Cap::Number => format!("money/number/{number}"),
        Cap::Tenant => format!("money/tenant/{tenant}"),
        Cap::Day => "money/day".to_owned(),
    }
}
