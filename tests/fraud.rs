//! Blocks, conversion, limits and what callers learn of them, through the whole gateway, in a time of the
//! test's own: a day takes a second.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use octothorpe::ambient::{Clock, Entropy, Timestamp};
use octothorpe::carrier::Receipt;
use octothorpe::gateway::resource::render;
use octothorpe::gateway::settings::{Endpoint, Filter, Settings, Tenant, WebhookSecret};
use octothorpe::gateway::{
    AnswerOf, Answered, Asked, BeginError, Failure, Gateway, Hands, Listing,
};
use octothorpe::store::Store;
use octothorpe::store::record::Delivery;
use octothorpe::verify::attempt::{AttemptNo, AttemptState};
use octothorpe::verify::block::{About, Entry, List, Target, Why};
use octothorpe::verify::code::{Code, Vault};
use octothorpe::verify::explain::{Says, passes};
use octothorpe::verify::limits::{By, Limits, Rate};
use octothorpe::verify::policy::{Refusal, Rules};
use octothorpe::verify::request::{Channel, Mode, Request, Way};
use octothorpe::verify::route::{Rule, Table};
use octothorpe::verify::signal::{Cause, Farewell, Reason, Reply, Says as Wrote, Signal, Status};
use octothorpe::verify::{Verification, VerificationId};
use serde_json::Value;
use zeroize::Zeroizing;

const SMS: Way = Way { channel: Channel::Sms, mode: Mode::Code };
const CALL: Way = Way { channel: Channel::Voice, mode: Mode::Confirm };
const PHONE: &str = "+14155550132";
const CODE: &str = "493817";
const HOUR: Duration = Duration::from_secs(3_600);

/// What the world saw.
#[derive(Default)]
struct Seen {
    placed: usize,
    told: Vec<Value>,
    refuses: Option<Cause>,
}

#[derive(Clone, Default)]
struct World(Arc<Mutex<Seen>>);

impl Hands for World {
    async fn place(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        let mut seen = self.0.lock().unwrap();
        seen.placed += 1;
        match &seen.refuses {
            Some(cause) => Receipt::Refused(cause.clone()),
            None => Receipt::Taken(format!("{}-{attempt}", verification.id)),
        }
    }

    async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {}

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        let event: Value = serde_json::from_str(&delivery.body).unwrap();
        assert_eq!(event["id"], delivery.event.as_str());
        self.0.lock().unwrap().told.push(event);
        Ok(())
    }
}

struct Site {
    gateway: Gateway,
    tenant: Tenant,
    world: World,
    clock: Clock,
}

/// A tenant that may reach the United States and Germany, with limits that say nothing.
fn tenant() -> Tenant {
    let countries = BTreeSet::from(["US".parse().unwrap(), "DE".parse().unwrap()]);
    Tenant {
        rules: Rules { voice_countries: countries.clone(), sms_countries: countries },
        webhooks: vec![Endpoint {
            events: Filter::new(vec!["*".to_owned()]).unwrap(),
            ..Endpoint::new(
                "https://idp.example.com/hooks",
                WebhookSecret::new(Zeroizing::new(vec![7; 32])),
            )
        }],
        ..Tenant::new("acme")
    }
}

fn site(tenant: Tenant) -> Site {
    site_on(Store::memory(), tenant)
}

fn site_on(store: Store, tenant: Tenant) -> Site {
    let rule = |channel| Rule::every(channel, ["carrier-a"]);
    let settings = Settings {
        routes: Table::new(vec![rule(Channel::Voice), rule(Channel::Sms)]),
        tenants: vec![tenant.clone()],
        ..Settings::bare()
    };
    let world = World::default();
    // Midnight of some day.
    let clock = Clock::manual(Timestamp::from_secs(86_400 * 20_000));
    // Sites that share a store name what they begin differently.
    static SEED: AtomicU64 = AtomicU64::new(4);
    let entropy = Entropy::from_number(SEED.fetch_add(1, Ordering::Relaxed));
    let vault = Vault::of("a key of tests");
    let (gateway, turns) =
        Gateway::assemble(store, &settings, vault, clock.clone(), entropy, world.clone());
    tokio::spawn(turns.run());
    Site { gateway, tenant, world, clock }
}

fn ask(to: &str, way: Way) -> Request {
    Request::new(to.parse().unwrap(), way)
}

/// The `n`th person's number: a mobile phone in Germany, of a range that few others have.
fn person(n: u64) -> String {
    format!("+49151{:08}", 10_000_000 + n * 7_919_777 % 80_000_000)
}

impl Site {
    async fn begin(&self, request: Request) -> Result<VerificationId, BeginError> {
        let code = (request.way == SMS).then(|| Code::parse(CODE)).flatten();
        let asked = Asked { code, ..Asked::plainly(request) };
        match self
            .gateway
            .begin(&self.tenant, asked, AnswerOf { idempotency: None, render })
            .await?
        {
            Answered::Fresh { id, .. } => {
                self.settle().await;
                Ok(id)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Lets what was begun be carried out.
    async fn settle(&self) {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    async fn start(&self, to: &str) -> Result<VerificationId, BeginError> {
        self.begin(ask(to, SMS)).await
    }

    async fn approve(&self, id: &VerificationId) -> Status {
        let answer = AnswerOf { idempotency: None, render };
        self.gateway.check(&self.tenant, id, CODE, None, answer).await.unwrap();
        self.read(id).await.status()
    }

    /// Lets its time run out.
    async fn expire(&self, id: &VerificationId) {
        self.clock.advance(Duration::from_secs(300));
        self.gateway.signal(id, Signal::Lapsed).await.unwrap();
        assert_eq!(self.read(id).await.status(), Status::Expired);
    }

    async fn read(&self, id: &VerificationId) -> Verification {
        self.gateway.read(&self.tenant, id).await.unwrap().unwrap()
    }

    /// The reason code of the block that stands against a start; `None` where it goes through.
    async fn refused(&self, to: &str) -> Option<Refusal> {
        match self.start(to).await {
            Ok(_) => None,
            Err(BeginError::Refused(refusal)) => Some(refusal),
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn blocks(&self) -> Vec<Entry> {
        self.gateway.entries(List::Blocks, None).await.unwrap()
    }

    /// The events of this type, once there are so many.
    async fn told(&self, kind: &str, least: usize) -> Vec<Value> {
        for _ in 0..400 {
            let found: Vec<Value> = {
                let seen = self.world.0.lock().unwrap();
                seen.told.iter().filter(|it| it["type"] == kind).cloned().collect()
            };
            if found.len() >= least {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{kind} was not told {least} times");
    }

    fn count(&self, kind: &str) -> usize {
        self.world.0.lock().unwrap().told.iter().filter(|it| it["type"] == kind).count()
    }

    async fn list(
        &self,
        list: List,
        tenant: Option<&str>,
        target: Target,
        hours: Option<u32>,
    ) -> Entry {
        let until = hours.map(|hours| self.clock.now() + HOUR * hours);
        let (tenant, note) = (tenant.map(str::to_owned), Some("a test".to_owned()));
        let why = Why::Operator;
        let listing = Listing { list, tenant, target, why, note, verification: None, until };
        self.gateway.enlist(&listing).await.unwrap()
    }
}

fn why(refusal: Option<Refusal>) -> Option<(About, Why)> {
    match refusal {
        Some(Refusal::Blocked(blocked)) => Some((blocked.about, blocked.why)),
        None => None,
        Some(other) => panic!("{other:?}"),
    }
}

/// The limits that everybody has, for a tenant that has asked for more in a day.
fn raised() -> Limits {
    let mut limits = Limits::standard();
    limits.rates.retain(|(by, _)| *by != By::Tenant);
    limits.rates.push((By::Tenant, Rate::new(10_000, HOUR * 24)));
    limits
}

#[tokio::test]
async fn ten_thousand_starts_of_one_day_reach_three_phones_in_an_hour_and_twenty_in_all() {
    let site = site(Tenant { limits: raised(), ..tenant() });
    let mut entropy = Entropy::from_number(5);
    let (mut first_hour, mut day, mut unlisted) = (0, 0, 0);
    let mut open: Vec<(Timestamp, VerificationId)> = Vec::new();
    let began = site.clock.now();
    for n in 0..10_000_u64 {
        // 500 addresses; one start in twenty is to a country that is not on the list.
        let at = u16::try_from(entropy.below(500)).unwrap().to_be_bytes();
        let listed = n % 20 != 0;
        let to = if listed {
            format!("+1415555{:04}", entropy.below(10_000))
        } else {
            "+442079460018".to_owned()
        };
        let client_ip = Some(IpAddr::V4(Ipv4Addr::new(203, 0, at[0], at[1])));
        match site.begin(Request { client_ip, ..ask(&to, SMS) }).await {
            Ok(id) => {
                first_hour += u32::from(site.clock.now() < began + HOUR);
                day += 1;
                unlisted += u32::from(!listed);
                open.push((site.clock.now() + Duration::from_secs(300), id));
            }
            Err(BeginError::Limited(_) | BeginError::Refused(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
        site.clock.advance(Duration::from_micros(8_640_000));
        for (_, id) in open.extract_if(.., |(at, _)| *at <= site.clock.now()) {
            site.gateway.signal(&id, Signal::Lapsed).await.unwrap();
        }
    }
    assert!((1..=3).contains(&first_hour), "{first_hour} in the first hour");
    assert!((4..=20).contains(&day), "{day} in the day");
    assert_eq!(unlisted, 0);
    assert_eq!(site.world.0.lock().unwrap().placed, day, "nothing else was sent");
    let told = site.told("limit.reached", 1).await;
    assert!(told.iter().any(|it| it["data"]["by"] == "country" && it["data"]["what"] == "US"));
}

#[tokio::test]
async fn a_good_day_and_one_twice_as_good_refuse_nobody_and_block_nothing() {
    let site = site(Tenant { limits: raised(), ..tenant() });
    let mut n = 0;
    let mut open: Vec<(Timestamp, VerificationId)> = Vec::new();
    // Three days of 1,000, then a peak of 200 in an hour, then twice that; nine in ten are verified.
    for (day, per_hour) in (0..3).map(|day| (day, 42)).chain([(3, 200), (4, 400)]) {
        for hour in 0..24_u64 {
            let quiet = day >= 3 && !(9..14).contains(&hour);
            let starts = if quiet { per_hour / 8 } else { per_hour };
            for _ in 0..starts {
                n += 1;
                let [a, b] = u16::try_from(n % 60_000).unwrap().to_be_bytes();
                let client_ip = Some(IpAddr::V4(Ipv4Addr::new(198, 51, a, b)));
                let subject = Some(format!("user-{}", n % 8_000));
                let request = Request { client_ip, subject, ..ask(&person(n % 8_000), SMS) };
                let id = site.begin(request).await.unwrap_or_else(|error| {
                    panic!("day {day}, {hour} h, {n} starts: {error}");
                });
                if n % 10 == 0 {
                    open.push((site.clock.now() + Duration::from_secs(300), id));
                } else {
                    assert_eq!(site.approve(&id).await, Status::Approved);
                }
                site.clock.advance(HOUR / u32::try_from(starts).unwrap());
                for (_, id) in open.extract_if(.., |(at, _)| *at <= site.clock.now()) {
                    site.gateway.signal(&id, Signal::Lapsed).await.unwrap();
                }
            }
        }
    }
    assert_eq!(site.blocks().await, []);
    assert_eq!((site.count("conversion.low"), site.count("limit.reached")), (0, 0));
    // With all those verified, a range that nobody answers in is still let through five times in an hour.
    let mut through = 0;
    for line in 0..100 {
        through += u32::from(site.start(&format!("+491701234{line:03}0")).await.is_ok());
        site.clock.advance(Duration::from_secs(30));
    }
    assert_eq!(through, 5);
}

#[tokio::test]
async fn a_report_of_fraud_blocks_the_number_for_a_day_and_can_be_taken_back() {
    let site = site(tenant());
    let report = async |message: &str| {
        let id = site.start(PHONE).await.unwrap();
        let reply = Reply { message: message.to_owned(), says: Wrote::Fraud };
        site.gateway.signal(&id, Signal::Replied(reply)).await.unwrap();
        assert_eq!(site.read(&id).await.verdict().unwrap().reason(), Reason::FraudReported);
        id
    };
    let id = report("m1").await;
    let refusal = site.refused(PHONE).await.unwrap();
    assert_eq!(refusal.code(), "blocked");
    let until = (site.clock.now() + HOUR * 24).to_rfc3339();
    assert_eq!(
        refusal.to_string(),
        format!("fraud_reported: this number is blocked until {until}")
    );
    assert_eq!(site.refused("+14155550133").await, None, "the number alone");
    let told = site.told("block.added", 1).await;
    let data = &told[0]["data"];
    assert_eq!((&data["reason"], &data["until"]), (&"fraud_reported".into(), &until.into()));
    assert_eq!(
        (&data["what"], &data["verification"]),
        (&"+1******0132".into(), &id.as_str().into())
    );
    assert!(!told[0].to_string().contains("4155550132"));
    // Its undo is told with it.
    let block = site.blocks().await.remove(0);
    assert_eq!(data["undo"], format!("DELETE /admin/v1/blocks/{}", block.id));
    assert!(site.gateway.lift(&block.id).await.unwrap().is_some());
    assert!(site.gateway.lift(&block.id).await.unwrap().is_none());
    site.told("block.lifted", 1).await;
    assert_eq!(site.refused(PHONE).await, None);
    // Else it ends by itself.
    report("m2").await;
    site.clock.advance(HOUR * 24 - Duration::from_secs(1));
    assert!(site.refused(PHONE).await.is_some());
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.refused(PHONE).await, None);
    assert_eq!(site.blocks().await, []);
}

#[tokio::test]
async fn a_range_where_nobody_answers_is_blocked_for_longer_and_longer() {
    let site = site(tenant());
    let number = |n: u32| format!("+1415555{n:04}");
    let fail_ten = async || {
        for n in 0..10 {
            assert_eq!(site.blocks().await, []);
            let id = site.start(&number(n)).await.unwrap();
            site.expire(&id).await;
        }
    };
    for (n, hours) in [Some(1), Some(4), Some(24), None].into_iter().enumerate() {
        fail_ten().await;
        let blocked = site.refused(&number(77)).await;
        assert_eq!(why(blocked).unwrap().1, Why::LowConversion);
        let blocks = site.blocks().await;
        let about: BTreeMap<About, &str> =
            blocks.iter().map(|it| (it.about, it.shown.as_str())).collect();
        let expected = [(About::Prefix, "+1415555"), (About::Country, "US")];
        assert_eq!(about, expected.into(), "{n}");
        for block in &blocks {
            let until = hours.map(|hours| block.from + HOUR * hours);
            assert_eq!((block.until, block.level as usize), (until, n + 1));
        }
        assert_eq!(site.refused(&person(1)).await, None, "another country is another");
        let Some(hours) = hours else { continue };
        site.clock.advance(HOUR * hours - Duration::from_secs(1));
        assert!(site.refused(&number(78)).await.is_some());
        site.clock.advance(Duration::from_secs(1));
        // What was counted before the block counts no more.
        let id = site.start(&number(79)).await.unwrap();
        assert_eq!(site.approve(&id).await, Status::Approved);
        site.clock.advance(HOUR * 2);
    }
    assert_eq!(site.told("block.added", 8).await.len(), 8);
    // Who lifts the last begins anew.
    for block in site.blocks().await {
        site.gateway.lift(&block.id).await.unwrap().unwrap();
    }
    fail_ten().await;
    assert!(site.blocks().await.iter().all(|it| it.level == 1));
}

#[tokio::test]
async fn what_a_carrier_fails_to_do_blocks_nobody_and_a_low_share_is_told_once_an_hour() {
    let site = site(tenant());
    site.world.0.lock().unwrap().refuses = Some(Cause::plain(Reason::CarrierError));
    for n in 0..30 {
        let id = site.begin(ask(&format!("+1415555{n:04}"), CALL)).await.unwrap();
        while site.read(&id).await.verdict().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(site.blocks().await, []);
    site.world.0.lock().unwrap().refuses = None;
    // Two of ten, again and again.
    for n in 0..30 {
        let id = site.start(&format!("+1415556{n:04}")).await.unwrap();
        match n % 5 {
            0 => assert_eq!(site.approve(&id).await, Status::Approved),
            _ => {
                let answer = AnswerOf { idempotency: None, render };
                site.gateway.cancel(&site.tenant, &id, answer).await.unwrap();
            }
        }
    }
    assert_eq!(site.blocks().await, []);
    let told = site.told("conversion.low", 2).await;
    let what: Vec<_> = told.iter().map(|it| it["data"]["what"].as_str().unwrap()).collect();
    assert_eq!(BTreeSet::from_iter(what), BTreeSet::from(["+1415556", "US"]));
    assert_eq!(told.len(), 2);
}

#[tokio::test]
async fn conversion_that_only_records_refuses_nobody() {
    let limits = Limits { record_conversion: true, ..Limits::default() };
    let site = site(Tenant { limits, ..tenant() });
    for n in 0..20 {
        let id = site.start(&format!("+1415555{n:04}")).await.unwrap();
        site.expire(&id).await;
    }
    assert_eq!(site.blocks().await, []);
    let told = site.told("conversion.low", 2).await;
    assert!(told.iter().all(|it| it["data"]["would_block"] == true));
}

#[tokio::test]
async fn operators_block_numbers_ranges_and_countries_and_safe_numbers_pass_the_last_two() {
    // Nobody answers here: how many are verified is to block nothing.
    let limits = Limits { record_conversion: true, ..raised() };
    let site = site(Tenant { limits, ..tenant() });
    let number = || Target::Number(PHONE.parse().unwrap());
    let cases = [
        (Some("acme"), number(), About::Number),
        (None, number(), About::Number),
        (Some("acme"), Target::Prefix("+1415".parse().unwrap()), About::Prefix),
        (None, Target::Prefix("+1".parse().unwrap()), About::Prefix),
        (None, Target::Prefix("+1415555".parse().unwrap()), About::Prefix),
        (Some("acme"), Target::Prefix("+1415555".parse().unwrap()), About::Prefix),
        (Some("acme"), Target::Country("US".parse().unwrap()), About::Country),
        (None, Target::Country("US".parse().unwrap()), About::Country),
    ];
    for (tenant, target, about) in cases {
        let block = site.list(List::Blocks, tenant, target.clone(), Some(2)).await;
        assert!(!block.id.contains("415"), "{}", block.id);
        assert_eq!(why(site.refused(PHONE).await), Some((about, Why::Operator)), "{target:?}");
        assert_eq!(site.refused(&person(1)).await, None);
        let safe = site.list(List::Safe, tenant, number(), Some(1)).await;
        let passes = site.refused(PHONE).await;
        assert_eq!(passes.is_none(), about != About::Number, "{target:?}");
        // For as long as it is safe.
        site.clock.advance(HOUR);
        assert!(site.refused(PHONE).await.is_some());
        assert!(site.gateway.lift(&safe.id).await.unwrap().is_none());
        site.clock.advance(HOUR);
        assert_eq!(site.refused(PHONE).await, None);
        assert!(site.gateway.lift(&block.id).await.unwrap().is_none());
    }
    // Others are not blocked with this tenant.
    site.list(List::Blocks, Some("globex"), number(), None).await;
    assert_eq!(site.refused(PHONE).await, None);
    // Nothing that is no entry can be lifted.
    let id = site.start(&person(2)).await.unwrap();
    for name in ["blk_lengths", "blk_", id.as_str(), "", "choice/acme/x"] {
        assert!(site.gateway.lift(name).await.unwrap().is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_safe_number_passes_thresholds_and_not_its_own_limits() {
    let mut limits = Limits::standard();
    limits.rates.retain(|(by, _)| matches!(by, By::Number | By::Prefix | By::Country));
    let until = Timestamp::from_secs(86_400 * 20_001);
    let safe = vec![(PHONE.parse().unwrap(), until)];
    let site = site(Tenant { limits, safe, ..tenant() });
    for n in 0..3 {
        site.start(&format!("+1415555{n:04}")).await.unwrap();
    }
    assert!(
        matches!(site.start("+14155550005").await, Err(BeginError::Limited(it)) if it.by == By::Country)
    );
    for _ in 0..5 {
        site.start(PHONE).await.unwrap();
    }
    assert!(matches!(site.start(PHONE).await, Err(BeginError::Limited(it)) if it.by == By::Number));
    // A country that is not on the list stays closed to it.
    let other = Tenant { rules: Rules::default(), ..site.tenant.clone() };
    let answer = AnswerOf { idempotency: None, render };
    let closed = site.gateway.begin(&other, Asked::plainly(ask(PHONE, SMS)), answer).await;
    assert!(matches!(closed, Err(BeginError::Refused(Refusal::Closed { .. }))));
}

#[tokio::test]
async fn a_person_who_does_not_answer_is_asked_ever_more_rarely() {
    let mut limits = Limits::standard();
    limits.rates.retain(|(by, _)| *by == By::Subject);
    let site = site(Tenant { limits, ..tenant() });
    let mut n = 0;
    let mut bomb = async || {
        n += 1;
        let subject = Some("user-7f3".to_owned());
        let started = site.begin(Request { subject, ..ask(&person(n), SMS) }).await;
        started.map_err(|error| match error {
            BeginError::Limited(limited) => limited.wait.unwrap().as_secs(),
            other => panic!("{other:?}"),
        })
    };
    for _ in 0..3 {
        bomb().await.unwrap();
    }
    for pause in [60, 300, 3_600] {
        let wait = bomb().await.unwrap_err();
        assert!((pause..=pause + pause / 10 + 1).contains(&wait), "{wait} for {pause}");
        site.clock.advance(Duration::from_secs(pause - 1));
        assert!(bomb().await.is_err());
        site.clock.advance(Duration::from_secs(wait - pause + 1));
        bomb().await.unwrap();
        assert!(bomb().await.is_err(), "one, and no more");
    }
    // After a quiet while all is forgotten.
    site.clock.advance(HOUR * 3);
    for _ in 0..3 {
        bomb().await.unwrap();
    }
    // Who answers is not slowed down.
    let subject = Some("user-9".to_owned());
    for n in 100..120 {
        let request = Request { subject: subject.clone(), ..ask(&person(n), SMS) };
        let id = site.begin(request).await.unwrap();
        assert_eq!(site.approve(&id).await, Status::Approved);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_starts_at_once_exactly_as_many_as_the_limit_come_through() {
    let folder = tempfile::tempdir().unwrap();
    for store in
        [Store::memory(), Store::open(folder.path(), &Vault::of("a key of tests")).unwrap()]
    {
        for (by, most) in [(By::Number, 5), (By::Subject, 3), (By::Prefix, 5), (By::Country, 3)] {
            let mut limits = Limits::standard();
            limits.rates.retain(|(other, _)| *other == by);
            // Each by numbers of its own.
            let tenant = Tenant { limits, ..tenant() };
            let tenant = Tenant { name: format!("acme-{}", by.as_str()), ..tenant };
            let site = Arc::new(site_on(store.clone(), tenant));
            let starts = (0..64).map(|_| {
                let site = Arc::clone(&site);
                let subject = Some("user-7f3".to_owned());
                let request = Request { subject, ..ask(PHONE, SMS) };
                tokio::spawn(async move { site.begin(request).await })
            });
            let mut begun = 0;
            for start in Vec::from_iter(starts) {
                match start.await.unwrap() {
                    Ok(_) => begun += 1,
                    Err(BeginError::Limited(limited)) => assert_eq!(limited.by, by),
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert_eq!(begun, most, "{}", by.as_str());
        }
    }
}

/// The shape of an answer: every field, with times and names left out.
fn shape(verification: &Verification) -> String {
    let mut shown: Value = serde_json::from_slice(&render(verification)).unwrap();
    for field in ["id", "to", "created_at", "expires_at", "next_send_at", "settled_at"] {
        let kind = if shown[field].is_null() { "null" } else { "…" };
        shown[field] = kind.into();
    }
    for attempt in shown["attempts"].as_array_mut().unwrap() {
        for field in ["started_at", "call_id"] {
            attempt[field] = "…".into();
        }
    }
    shown.to_string()
}

#[tokio::test]
async fn hidden_blocks_look_as_any_start_and_send_nothing() {
    for way in [SMS, CALL] {
        let site = site(Tenant { hide_blocks: true, limits: raised(), ..tenant() });
        // Nothing that is sent comes to anything either.
        let block = Target::Number(PHONE.parse().unwrap());
        site.list(List::Blocks, None, block, None).await;
        let answers = async |to: &str| {
            let asked = Asked {
                code: Code::parse(CODE).filter(|_| way == SMS),
                ..Asked::plainly(ask(to, way))
            };
            let answer = AnswerOf { idempotency: None, render };
            match site.gateway.begin(&site.tenant, asked, answer).await.unwrap() {
                Answered::Fresh { body, id, left } => {
                    let mut body: Value = serde_json::from_slice(&body).unwrap();
                    for field in ["id", "to"] {
                        body[field] = Value::Null;
                    }
                    (body, id, left.map(|it| (it.by, it.more)))
                }
                other => panic!("{other:?}"),
            }
        };
        // The clock stands still: not even the times differ.
        let (open, open_id, open_left) = answers("+14155550133").await;
        let (hidden, id, left) = answers(PHONE).await;
        assert_eq!((hidden, left.map(|it| it.0)), (open, open_left.map(|it| it.0)));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(site.world.0.lock().unwrap().placed, 1, "the other one");
        if way == SMS {
            assert_eq!(site.approve(&id).await, Status::Pending, "no code is the right one");
            assert_eq!(site.read(&id).await.secret.unwrap().checks_left, 4);
            let reply = Reply { message: "m".to_owned(), says: Wrote::Yes };
            site.gateway.signal(&id, Signal::Replied(reply)).await.unwrap();
        }
        // Another attempt is answered, too.
        site.clock.advance(Duration::from_secs(61));
        let answer = AnswerOf { idempotency: None, render };
        let resent = site.gateway.resend(&site.tenant, &id, None, answer).await.unwrap();
        assert!(matches!(resent, Some(Answered::Fresh { .. })));
        site.expire(&id).await;
        assert_eq!(site.world.0.lock().unwrap().placed, 1);
        // How it ends is how any ends that nobody answers.
        site.gateway.signal(&open_id, Signal::Lapsed).await.unwrap();
        let (open, hidden) = (site.read(&open_id).await, site.read(&id).await);
        let settled = |it: &Verification| {
            let shown: Value = serde_json::from_str(&shape(it)).unwrap();
            (shown["status"].clone(), shown["reason"].clone(), shown["settled_at"].clone())
        };
        assert_eq!(settled(&hidden), settled(&open));
        assert_eq!(site.told("verification.settled", 2).await.len(), 2);
    }
}

#[tokio::test]
async fn a_block_that_comes_in_between_stops_the_next_attempt() {
    for hide_blocks in [false, true] {
        let site = site(Tenant { hide_blocks, ..tenant() });
        let id = site.start(PHONE).await.unwrap();
        let target = Target::Number(PHONE.parse().unwrap());
        site.list(List::Blocks, None, target, None).await;
        site.clock.advance(Duration::from_secs(61));
        let answer = AnswerOf { idempotency: None, render };
        let resent = site.gateway.resend(&site.tenant, &id, None, answer).await;
        assert_eq!(resent.is_ok(), hide_blocks);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(site.world.0.lock().unwrap().placed, 1);
    }
}

#[tokio::test]
async fn a_block_that_comes_in_between_stops_a_fallback_too() {
    for hide_blocks in [false, true] {
        let site = site(Tenant { hide_blocks, ..tenant() });
        let id = site.begin(Request { fallback: vec![SMS], ..ask(PHONE, CALL) }).await.unwrap();
        let target = Target::Number(PHONE.parse().unwrap());
        let entry = site.list(List::Blocks, None, target, None).await;
        let busy = Signal::Ended { attempt: AttemptNo::FIRST, cause: Cause::plain(Reason::Busy) };
        site.gateway.signal(&id, busy.clone()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(site.world.0.lock().unwrap().placed, 1);
        let found = site.read(&id).await;
        let states: Vec<_> = found.attempts.iter().map(|it| (it.state, it.reason)).collect();
        let busy_first = (AttemptState::Ended, Some(Reason::Busy));
        if hide_blocks {
            // To its caller it looks as if the text were on its way.
            assert_eq!(states, [busy_first, (AttemptState::Queued, None)]);
            assert_eq!((found.status(), found.withheld), (Status::Pending, true));
        } else {
            assert_eq!(states, [busy_first, (AttemptState::Ended, Some(Reason::Blocked))]);
            assert_eq!(found.verdict().map(|it| it.reason()), Some(Reason::Blocked));
            let detail = found.attempts[1].detail.as_deref().unwrap();
            assert!(detail.starts_with("operator"), "{detail}");
        }
        // Once the block is lifted, it goes on.
        site.gateway.lift(&entry.id).await.unwrap();
        let id = site.begin(Request { fallback: vec![SMS], ..ask(PHONE, CALL) }).await.unwrap();
        site.gateway.signal(&id, busy).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(site.world.0.lock().unwrap().placed, 3);
    }
}

#[tokio::test]
async fn what_is_explained_is_what_happens() {
    let mut limits = Limits::standard();
    limits.record_only = vec![By::Prefix];
    limits.rates.retain(|(by, _)| *by != By::Country);
    let site = site(Tenant { limits, ..tenant() });
    let mut happened = BTreeMap::new();
    for n in 0..40 {
        let to = format!("+1415555{:04}", n % 4);
        let subject = Some(format!("user-{}", n % 5));
        let request = Request { subject, ..ask(&to, SMS) };
        let words = site.gateway.explain("acme", &request).await.unwrap().unwrap();
        let begun = site.begin(request).await;
        assert_eq!(passes(&words), begun.is_ok(), "{n}: {words:#?}");
        match begun {
            Ok(id) if n % 2 == 0 => assert_eq!(site.approve(&id).await, Status::Approved),
            Ok(_) => {}
            Err(BeginError::Limited(limited)) => {
                // The limit that refuses is among them, with when it gives way.
                let rule = format!("limit/{}", limited.by.as_str());
                let refuses = |it: &&octothorpe::verify::explain::Word| {
                    it.says == Says::Refuses && it.rule == rule && it.retry_after == limited.wait
                };
                assert!(words.iter().any(|it| refuses(&it)), "{limited:?}: {words:#?}");
                *happened.entry(rule).or_insert(0) += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
        site.clock.advance(Duration::from_secs(20 * u64::from(n % 4 == 0)));
    }
    assert!(!happened.is_empty());
    assert!(site.gateway.explain("nobody", &ask(PHONE, SMS)).await.unwrap().is_none());
    site.list(List::Blocks, None, Target::Country("US".parse().unwrap()), None).await;
    let words = site.gateway.explain("acme", &ask(PHONE, SMS)).await.unwrap().unwrap();
    let word = words.iter().find(|it| it.rule == "blocks").unwrap();
    assert_eq!((word.says, word.detail.as_deref()), (Says::Refuses, Some("country US: operator")));
}
