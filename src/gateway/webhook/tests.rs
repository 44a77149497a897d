//! Events by a clock that the test moves: when they are tried, under which ids, and what becomes of
//! endpoints that take none.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use super::Failure;
use super::event::{Filter, SETTLED};
use crate::ambient::{Clock, Entropy, Timestamp};
use crate::carrier::Receipt;
use crate::gateway::settings::{Endpoint, Settings, Tenant, WebhookSecret};
use crate::gateway::{AnswerOf, Answered, Asked, Gateway, Hands, Listing, Turns, Which};
use crate::store::Store;
use crate::store::record::Delivery;
use crate::verify::attempt::AttemptNo;
use crate::verify::block::{List, Target, Why};
use crate::verify::code::Vault;
use crate::verify::number::PhoneNumber;
use crate::verify::policy::Rules;
use crate::verify::request::{Channel, Mode, Request, Way};
use crate::verify::route::{Rule, Table};
use crate::verify::signal::Farewell;
use crate::verify::{Verification, VerificationId};

const HOUR: Duration = Duration::from_secs(3_600);
const FIRST: &str = "https://one.example/hooks";
const SECOND: &str = "https://two.example/hooks";

/// How an endpoint answers.
type Manner = fn() -> Result<(), Failure>;

fn well() -> Result<(), Failure> {
    Ok(())
}

fn down() -> Result<(), Failure> {
    Err(Failure::Retry("answered 500".to_owned()))
}

fn busy() -> Result<(), Failure> {
    Err(Failure::Later("answered 503".to_owned(), Duration::from_secs(90)))
}

fn gone() -> Result<(), Failure> {
    Err(Failure::Gone)
}

/// One try: when, where, and of what.
#[derive(Clone, Debug)]
struct Try {
    at: Timestamp,
    url: String,
    event: String,
    body: Value,
    taken: bool,
}

impl Try {
    fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }
}

/// The world: every call is taken, and endpoints answer as they are told to.
#[derive(Clone)]
struct World {
    clock: Clock,
    tries: Arc<Mutex<Vec<Try>>>,
    manners: Arc<Mutex<Vec<(&'static str, Manner)>>>,
}

impl Hands for World {
    async fn place(&self, _: &Verification, _: AttemptNo) -> Receipt {
        Receipt::Taken("call".to_owned())
    }

    async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {}

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        let manners = self.manners.lock().unwrap();
        let manner = manners.iter().rev().find(|(url, _)| *url == delivery.url);
        let outcome = manner.map_or(Ok(()), |(_, manner)| manner());
        self.tries.lock().unwrap().push(Try {
            at: self.clock.now(),
            url: delivery.url.clone(),
            event: delivery.event.clone(),
            body: serde_json::from_str(&delivery.body).unwrap(),
            taken: outcome.is_ok(),
        });
        outcome
    }
}

struct Site {
    gateway: Gateway,
    turns: Turns<World>,
    world: World,
    tenant: Tenant,
}

fn endpoint(url: &str, events: &[&str]) -> Endpoint {
    let secret = WebhookSecret::new(Zeroizing::new(vec![7; 32]));
    let events = Filter::new(events.iter().map(|it| (*it).to_owned()).collect()).unwrap();
    Endpoint { events, ..Endpoint::new(url, secret) }
}

impl Site {
    fn new(webhooks: Vec<Endpoint>) -> Self {
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let tenant = Tenant {
            rules: Rules {
                voice_countries: BTreeSet::from(["US".parse().unwrap()]),
                ..Rules::default()
            },
            webhooks,
            ..Tenant::new("acme")
        };
        let rule = Rule::every(Channel::Voice, ["trunk"]);
        let settings = Settings {
            tenants: vec![tenant.clone()],
            routes: Table::new(vec![rule]),
            ..Settings::bare()
        };
        let world = World { clock: clock.clone(), tries: Arc::default(), manners: Arc::default() };
        let (store, vault, entropy) =
            (Store::memory(), Vault::of("tests"), Entropy::from_number(1));
        let (gateway, turns) =
            Gateway::assemble(store, &settings, vault, clock, entropy, world.clone());
        Self { gateway, turns, world, tenant }
    }

    fn behaves(&self, url: &'static str, manner: Manner) {
        self.world.manners.lock().unwrap().push((url, manner));
    }

    fn tries(&self) -> Vec<Try> {
        self.world.tries.lock().unwrap().clone()
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    /// A verification that is begun and taken back.
    async fn settled(&mut self) -> VerificationId {
        let number = "+12025550123".parse::<PhoneNumber>().unwrap();
        let request = Request::new(number, Way { channel: Channel::Voice, mode: Mode::Confirm });
        let answer = || AnswerOf { idempotency: None, render: |_| Vec::new() };
        let begun = self.gateway.begin(&self.tenant, Asked::plainly(request), answer()).await;
        let Ok(Answered::Fresh { id, .. }) = begun else { panic!("{begun:?}") };
        self.turns.turn().await.unwrap();
        self.gateway.cancel(&self.tenant, &id, answer()).await.unwrap().unwrap();
        self.turns.turn().await.unwrap();
        id
    }

    /// Lets time pass, and what is due in it happen.
    async fn pass(&mut self, span: Duration) {
        let end = self.now() + span;
        while self.now() < end {
            let due = self.turns.turn().await.unwrap().unwrap_or(Timestamp::MAX);
            let step = due.since(self.now()) + Duration::from_millis(1);
            self.world.clock.advance(step.min(end.since(self.now())));
        }
        self.turns.turn().await.unwrap();
    }
}

#[tokio::test]
async fn an_event_is_tried_eleven_times_in_a_day_under_one_id() {
    let mut site = Site::new(vec![endpoint(FIRST, &[SETTLED])]);
    site.behaves(FIRST, down);
    let settled = site.now();
    let id = site.settled().await;
    site.pass(HOUR * 48).await;
    let tries = site.tries();
    assert_eq!(tries.len(), 11);
    assert_eq!(tries[0].at, settled, "the first at once");
    let wanted = [1, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 36_000];
    for (pair, wanted) in tries.windows(2).zip(wanted.map(f64::from)) {
        let pause = pair[1].at.since(pair[0].at).as_secs_f64();
        // Whoever drives the gateway looks a millisecond later.
        assert!((wanted * 0.8..=wanted.mul_add(1.2, 0.002)).contains(&pause), "{wanted}: {pause}");
        assert_eq!((&pair[0].event, &pair[0].body), (&pair[1].event, &pair[1].body));
    }
    // Each of them is told to whoever asks what happened.
    let told = site.gateway.timeline(&site.tenant, &id).await.unwrap().unwrap();
    let told: Vec<_> = told.entries.iter().filter(|entry| entry.kind == "webhook").collect();
    assert_eq!(told.len(), 11);
    assert!(told[0].text.ends_with(": failed: answered 500."), "{told:?}");
    assert!(told[10].text.contains(": given_up: ") && told[10].ms > 80_000_000, "{told:?}");
}

#[tokio::test]
async fn an_endpoint_that_asks_for_a_pause_gets_it() {
    let mut site = Site::new(vec![endpoint(FIRST, &[SETTLED])]);
    site.behaves(FIRST, busy);
    site.settled().await;
    site.pass(Duration::from_secs(89)).await;
    assert_eq!(site.tries().len(), 1, "Retry-After: 90");
    site.pass(Duration::from_secs(2)).await;
    assert_eq!(site.tries().len(), 2);
}

#[tokio::test]
async fn an_endpoint_is_switched_off_after_five_days_and_on_again_by_hand() {
    let mut site = Site::new(vec![endpoint(FIRST, &[SETTLED]), endpoint(SECOND, &["webhook.*"])]);
    site.behaves(FIRST, down);
    let start = site.now();
    let first = site.settled().await;
    let id = site.gateway.endpoints().await.unwrap()[0].id.clone();
    for _ in 0..11 {
        site.pass(HOUR * 11).await;
        assert!(site.gateway.endpoints().await.unwrap()[0].on);
        site.settled().await;
    }
    // One try falls upon the end of the fifth day.
    site.pass(HOUR * 11).await;
    let off = site.gateway.endpoints().await.unwrap().remove(0);
    assert_eq!((off.on, off.why), (false, Some("failing")), "{off:?}");
    assert_eq!(off.failing_since, Some(start.to_rfc3339()));
    let told: Vec<Try> = site.tries().into_iter().filter(|it| it.url == SECOND).collect();
    assert_eq!(told.len(), 1, "the tenant's other endpoint is told, once");
    assert_eq!(
        (told[0].kind(), &told[0].body["subject"]),
        ("webhook.disabled", &id.clone().into())
    );
    assert_eq!(told[0].body["data"]["why"], "failing");

    // What comes now is withheld.
    site.behaves(FIRST, well);
    let before = site.tries().len();
    let withheld = site.settled().await;
    site.pass(HOUR * 48).await;
    assert_eq!(site.tries().len(), before, "nothing is sent to it");

    let on = site.gateway.switch_on(&id).await.unwrap().unwrap();
    assert_eq!((on.on, on.why, &on.failing_since), (true, None, &None));
    assert_eq!(site.gateway.switch_on("ep_none").await.unwrap(), None);
    site.pass(HOUR).await;
    assert_eq!(site.tries().last().unwrap().kind(), "webhook.enabled");

    // All of it is sent once more, under the ids of then.
    let which = Which::Between(start, Timestamp::MAX);
    let replayed = site.gateway.replay("acme", which, Some(&id)).await.unwrap().unwrap();
    assert_eq!((replayed.queued, replayed.rest_until), (13, None));
    let before = site.tries();
    site.pass(Duration::from_secs(1)).await;
    let again = site.tries().split_off(before.len());
    assert_eq!(again.len(), 13);
    assert!(again.iter().all(|it| it.taken && it.url == FIRST));
    let known = before.iter().find(|it| it.body["subject"] == first.as_str()).unwrap();
    let same = again.iter().find(|it| it.event == known.event).unwrap();
    assert_eq!(same.body, known.body);
    assert!(again.iter().any(|it| it.body["subject"] == withheld.as_str()));
    let ids: BTreeSet<_> = again.iter().map(|it| &it.event).collect();
    assert_eq!(ids.len(), 13);

    // One of them, by its id; and what there is not.
    let one = Which::Verification(withheld.clone());
    let replayed = site.gateway.replay("acme", one.clone(), None).await.unwrap().unwrap();
    assert_eq!(replayed.queued, 1);
    for (tenant, endpoint) in [("globex", None), ("acme", Some("ep_none"))] {
        let none = site.gateway.replay(tenant, one.clone(), endpoint).await.unwrap();
        assert_eq!(none, None, "{tenant}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_sent_nothing_more() {
    let mut site = Site::new(vec![endpoint(FIRST, &[SETTLED]), endpoint(SECOND, &["*"])]);
    site.behaves(FIRST, gone);
    site.settled().await;
    site.settled().await;
    site.pass(HOUR * 48).await;
    let (first, second): (Vec<Try>, Vec<Try>) =
        site.tries().into_iter().partition(|it| it.url == FIRST);
    assert_eq!(first.len(), 1, "410 is its last word");
    let told: Vec<_> = second.iter().filter(|it| it.kind() == "webhook.disabled").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].body["data"]["why"], "gone");
    assert_eq!(second.iter().filter(|it| it.kind() == SETTLED).count(), 2, "the other goes on");
}

#[tokio::test]
async fn each_endpoint_is_told_what_it_wants_in_numbered_order() {
    let mut site = Site::new(vec![
        endpoint(FIRST, &["verification.*"]),
        endpoint(SECOND, &["verification.attempt.*"]),
        Endpoint::new("https://three.example/", WebhookSecret::new(Zeroizing::new(vec![7; 32]))),
    ]);
    let id = site.settled().await;
    let of =
        |url: &str| -> Vec<Try> { site.tries().into_iter().filter(|it| it.url == url).collect() };
    let all = of(FIRST);
    let kinds: Vec<&str> = all.iter().map(Try::kind).collect();
    let wanted = ["verification.started", "verification.attempt.dialing", "verification.settled"];
    assert_eq!(kinds, wanted);
    for (sequence, one) in (1..).zip(&all) {
        assert_eq!(one.body["sequence"], sequence);
        assert_eq!(one.event, format!("evt_{}_{sequence}", id.as_str().trim_start_matches("vf_")));
        assert_eq!(one.body["data"]["verdict"].is_string(), one.kind() == SETTLED);
        assert_eq!(one.body["data"]["version"], sequence);
    }
    assert_eq!(
        of(SECOND).iter().map(Try::kind).collect::<Vec<_>>(),
        ["verification.attempt.dialing"]
    );
    assert_eq!(of("https://three.example/").iter().map(Try::kind).collect::<Vec<_>>(), [SETTLED]);
}

#[tokio::test]
async fn whatever_was_told_can_be_told_once_more_as_it_was() {
    let mut site = Site::new(vec![endpoint(FIRST, &["*"]), endpoint(SECOND, &["block.*"])]);
    let start = site.now();
    let id = site.settled().await;
    let listing = Listing {
        list: List::Blocks,
        tenant: Some("acme".to_owned()),
        target: Target::Prefix("+1900".parse().unwrap()),
        why: Why::Operator,
        note: None,
        verification: None,
        until: None,
    };
    let entry = site.gateway.enlist(&listing).await.unwrap();
    site.pass(Duration::from_secs(1)).await;
    site.gateway.lift(&entry.id).await.unwrap();
    site.pass(HOUR).await;
    let told = |tries: Vec<Try>| {
        let told = tries.into_iter().map(|it| (it.url, it.event, it.body.to_string()));
        told.collect::<BTreeSet<_>>()
    };
    let first = site.tries();
    let kinds: Vec<&str> = first.iter().filter(|it| it.url == FIRST).map(Try::kind).collect();
    let of_verification =
        ["verification.started", "verification.attempt.dialing", "verification.settled"];
    assert_eq!(kinds, [&of_verification[..], &["block.added", "block.lifted"]].concat());
    assert_eq!(first.len(), 7);

    // By time.
    let which = Which::Between(start, Timestamp::MAX);
    let replayed = site.gateway.replay("acme", which, None).await.unwrap().unwrap();
    assert_eq!((replayed.queued, replayed.rest_until), (7, None));
    site.pass(Duration::from_secs(1)).await;
    assert_eq!(told(site.tries().split_off(7)), told(first.clone()));

    // By verification, and each event by its id, to one endpoint.
    let endpoint = site.gateway.endpoints().await.unwrap()[0].id.clone();
    let which = Which::Verification(id.clone());
    let replayed = site.gateway.replay("acme", which, Some(&endpoint)).await.unwrap().unwrap();
    assert_eq!(replayed.queued, 3);
    for one in first.iter().filter(|it| it.url == FIRST) {
        let which = Which::Event(one.event.clone());
        let replayed = site.gateway.replay("acme", which, Some(&endpoint)).await.unwrap().unwrap();
        assert_eq!(replayed.queued, 1, "{}", one.event);
        site.pass(Duration::from_secs(1)).await;
        let again = site.tries().pop().unwrap();
        assert_eq!((&again.event, &again.body), (&one.event, &one.body));
    }
    let none = Which::Event("evt_none_1".to_owned());
    assert_eq!(site.gateway.replay("acme", none, None).await.unwrap(), None);

    // What was told of a number goes with it.
    site.gateway.erase(&"+12025550123".parse().unwrap(), false).await.unwrap();
    let which = Which::Between(start, Timestamp::MAX);
    let replayed = site.gateway.replay("acme", which, Some(&endpoint)).await.unwrap().unwrap();
    assert_eq!(replayed.queued, 2, "the block of a range is nobody's");
}
