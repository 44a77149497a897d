//! Counts starts and approvals against the limits of their tenant.

use std::time::Duration;

use serde_json::json;

use super::notices::Notice;
use super::settings::Tenant;
use super::webhook::event;
use super::{BeginError, Fault, Gateway, ResendError};
use crate::ambient::Timestamp;
use crate::store::{self, Store, StoreError, Tally};
use crate::telemetry::{self, Event};
use crate::verify::block::Prefix;
use crate::verify::limits::{By, Count, Counter, Judged, Left, Limited, Limits, Need, Who};
use crate::verify::request::Request;

impl Gateway {
    /// Counts a start, unless a limit stands against it; what is left of the tightest. Of a rehearsal
    /// (`dry`) nothing is counted.
    ///
    /// # Errors
    /// The limit, or what the store says.
    pub(super) async fn count_start(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        request: &Request,
        who: &Who,
        dry: bool,
    ) -> Result<Option<Left>, BeginError> {
        // Rehearsals reach nobody.
        if tenant.test {
            return Ok(None);
        }
        let judged = count_against(&self.0.store, &tenant.limits, now, who, dry).await;
        let Judged { outcome, recorded } = judged.map_err(Fault::from)?;
        self.tell_limits(now, tenant, request, who, &recorded, outcome.as_ref().err()).await?;
        outcome.map_err(BeginError::Limited)
    }

    /// Counts another attempt of a verification, unless a limit of those that count every start stands
    /// against it: those of the number and of the tenant.
    ///
    /// # Errors
    /// The limit, or what the store says.
    pub(super) async fn count_resend(
        &self,
        tenant: &Tenant,
        request: &Request,
        who: &Who,
    ) -> Result<(), ResendError> {
        if tenant.test {
            return Ok(());
        }
        let (now, limits) = (self.now(), tenant.limits.of_sends());
        let judged = count_against(&self.0.store, &limits, now, who, false).await;
        let Judged { outcome, recorded } = judged.map_err(Fault::from)?;
        self.tell_limits(now, tenant, request, who, &recorded, outcome.as_ref().err()).await?;
        outcome.map(|_| ()).map_err(ResendError::Limited)
    }

    /// Tells of limits that would stand against it if they did more than count, and of the one that does.
    async fn tell_limits(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        request: &Request,
        who: &Who,
        recorded: &[Limited],
        refused: Option<&Limited>,
    ) -> Result<(), Fault> {
        let all = recorded.iter().map(|it| (it, false)).chain(refused.map(|it| (it, true)));
        for (limited, enforced) in all {
            telemetry::observe(&Event::Limited { tenant: &tenant.name, limited, enforced });
            self.tell_of_limit(now, tenant, request, who, limited, enforced).await?;
        }
        Ok(())
    }

    /// Tells the tenant of a limit of many people, once an hour, or once in its window.
    async fn tell_of_limit(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        request: &Request,
        who: &Who,
        limited: &Limited,
        enforced: bool,
    ) -> Result<(), Fault> {
        let Limited { by, rate, counted, .. } = *limited;
        let what = match by {
            By::Number | By::Subject | By::ClientIp => return Ok(()),
            By::Prefix => Prefix::of(&request.to).as_str().to_owned(),
            By::Country => request.to.country().to_string(),
            By::Tenant => tenant.name.clone(),
        };
        let name = if by == By::Prefix { who.prefix() } else { what.as_str() };
        let window = rate.window.as_secs();
        let notice = Notice {
            name: format!("limit-{}-{}-{name}-{window}", tenant.name, by.as_str()),
            kind: event::LIMIT,
            subject: what.clone(),
            data: json!({
                "tenant": tenant.name, "by": by.as_str(), "what": what, "limit": rate.to_string(),
                "counted": counted, "enforced": enforced,
            }),
        };
        let until = now + rate.window.max(HOUR);
        self.tell_once(now, &tenant.name, until, &notice).await.map(|_| ())
    }

    /// Every limit of a start, with what it has counted; nothing is counted.
    pub(super) async fn limits_of(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        who: &Who,
    ) -> Result<Vec<(Need, Option<Count>)>, Fault> {
        let (needs, _, counts) =
            ask(&self.0.store, &tenant.limits, now, who, true).await.map_err(Fault::from)?;
        Ok(needs.into_iter().zip(counts.into_iter().map(Some)).collect())
    }
}

/// How long a limit of a second is not told of again.
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) async fn count_against(
    store: &Store,
    limits: &Limits,
    now: Timestamp,
    who: &Who,
    dry: bool,
) -> Result<Judged, StoreError> {
    let (needs, granted, counts) = ask(store, limits, now, who, dry).await?;
    Ok(Limits::judge(now, &needs, granted, &counts))
}

/// What a start needs, whether it has all of it, and what is counted.
async fn ask(
    store: &Store,
    limits: &Limits,
    now: Timestamp,
    who: &Who,
    dry: bool,
) -> Result<(Vec<Need>, bool, Vec<Count>), StoreError> {
    let history: Vec<_> = limits.history(now, who).iter().map(|it| adding(it, 0)).collect();
    let history = tally(store, now, &history).await?.counts;
    let history: Vec<u64> = history.iter().map(|count| count.counted).collect();
    let needs = limits.needs(who, &history);
    let counters: Vec<_> = needs.iter().map(|need| counter(need, dry)).collect();
    let tally = tally(store, now, &counters).await?;
    let count = |it: &store::Count| Count { counted: it.counted, room_at: it.room_at };
    let counts: Vec<Count> = tally.counts.iter().map(count).collect();
    Ok((needs, tally.granted, counts))
}

/// Without limits nothing is asked of the store.
pub(super) async fn tally(
    store: &Store,
    now: Timestamp,
    counters: &[store::Counter],
) -> Result<Tally, StoreError> {
    if counters.is_empty() {
        return Ok(Tally { granted: true, counts: Vec::new() });
    }
    store.tally(now, counters).await
}

pub(super) fn adding(counter: &Counter, add: i64) -> store::Counter {
    store::Counter { key: counter.key.clone(), window: counter.window, add, most: None }
}

/// A start that is not to be counted must find room for itself all the same.
fn counter(need: &Need, dry: bool) -> store::Counter {
    let most = need.rate.most;
    let (add, most) = if dry { (0, most.saturating_sub(1)) } else { (1, most) };
    store::Counter { most: need.enforced.then_some(most), ..adding(&need.counter, add) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::ambient::Entropy;
    use crate::verify::code::Vault;
    use crate::verify::request::{Channel, Mode, Way};

    /// A tenant's counters, and the time.
    struct World {
        store: Store,
        vault: Vault,
        limits: Limits,
        now: Timestamp,
        refused: BTreeSet<&'static str>,
    }

    impl World {
        fn new() -> Self {
            // Noon of some day.
            let now = Timestamp::from_secs(86_400 * 20_000 + 43_200);
            let (store, vault) = (Store::memory(), Vault::of("a key"));
            Self { store, vault, limits: Limits::standard(), now, refused: BTreeSet::new() }
        }

        fn request(to: &str, ip: Option<[u8; 4]>) -> Request {
            let way = Way { channel: Channel::Sms, mode: Mode::Code };
            let mut request = Request::new(to.parse().unwrap(), way);
            request.client_ip = ip.map(|ip| IpAddr::V4(Ipv4Addr::from(ip)));
            request
        }

        async fn start(&mut self, request: &Request) -> bool {
            let who = Who::of(&self.vault, "acme", request);
            let judged = count_against(&self.store, &self.limits, self.now, &who, false).await;
            match judged.unwrap().outcome {
                Ok(_) => true,
                Err(limited) => {
                    self.refused.insert(limited.by.as_str());
                    false
                }
            }
        }

        async fn approve(&mut self, request: &Request) {
            let (back, add) =
                self.limits.approval(self.now, &Who::of(&self.vault, "acme", request));
            let back = back.iter().map(|it| adding(it, -1));
            let counters: Vec<_> = back.chain(add.iter().map(|it| adding(it, 1))).collect();
            assert!(tally(&self.store, self.now, &counters).await.unwrap().granted);
        }
    }

    /// The `n`th person's number: a mobile phone in Germany, of a prefix that few others have.
    fn number(n: u64) -> String {
        format!("+49151{:08}", 10_000_000 + n * 7_919_777 % 80_000_000)
    }

    #[tokio::test]
    async fn ten_thousand_starts_that_nobody_answers_are_let_through_three_in_an_hour() {
        let mut world = World::new();
        world.limits.rates.retain(|(by, _)| *by != By::Tenant);
        let mut entropy = Entropy::from_number(5);
        let (mut first_hour, mut day) = (0, 0);
        for n in 0..10_000_u64 {
            let ip = [203, 0, (entropy.below(2)) as u8, entropy.below(250) as u8];
            let request = World::request("+12025550100", Some(ip));
            let to = format!("+1202555{:04}", entropy.below(10_000));
            let request = Request { to: to.parse().unwrap_or(request.to.clone()), ..request };
            if world.start(&request).await {
                first_hour += u32::from(n < 10_000 / 24);
                day += 1;
            }
            world.now += Duration::from_millis(8_640);
        }
        assert!((1..=3).contains(&first_hour), "{first_hour}");
        assert!((4..=20).contains(&day), "{day}");
    }

    #[tokio::test]
    async fn a_good_day_refuses_nobody_and_neither_does_one_twice_as_good() {
        let mut world = World::new();
        world.limits.rates.retain(|(by, _)| *by != By::Tenant);
        let mut n = 0;
        // A fortnight of 1,000 a day, then a peak of 200 in an hour, then twice that; nine in ten are
        // verified within 20 s.
        for (day, per_hour) in (0..14).map(|day| (day, 42)).chain([(14, 200), (15, 400)]) {
            for hour in 0..24_u64 {
                let quiet = day >= 14 && !(9..14).contains(&hour);
                let starts = if quiet { per_hour / 8 } else { per_hour };
                for _ in 0..starts {
                    n += 1;
                    let ip = [198, 51, (n / 250 % 250) as u8, (n % 250) as u8];
                    let request = World::request(&number(n % 8_000), Some(ip));
                    assert!(
                        world.start(&request).await,
                        "day {day}, {hour} h: {:?}",
                        world.refused
                    );
                    if n % 10 != 0 {
                        world.approve(&request).await;
                    }
                    world.now += Duration::from_secs(3_600) / starts;
                }
            }
        }
    }

    #[tokio::test]
    async fn a_range_of_numbers_is_let_through_five_in_an_hour() {
        let mut world = World::new();
        world.limits.rates.retain(|(by, _)| !matches!(by, By::Country | By::Tenant));
        let mut through = 0;
        for n in 100..200 {
            let request = World::request(&format!("+1202555{n:04}"), None);
            through += u32::from(world.start(&request).await);
            world.now += Duration::from_secs(30);
        }
        assert_eq!((through, world.refused), (5, BTreeSet::from(["prefix"])));
    }
}
