//! Two nodes over one store: whatever is asked of either, there is one verification, one call and one verdict.
//! It needs `redis-server` (`tests/run peers` installs it).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and measures"
)]

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use octothorpe::access::key::Fresh;
use octothorpe::access::{Scope, Terms};
use octothorpe::ambient::{Clock, Entropy, Timestamp};
use octothorpe::carrier::Receipt;
use octothorpe::gateway::resource::{render, render_checked};
use octothorpe::gateway::settings::{ApiKey, Endpoint, Settings, Tenant, WebhookSecret};
use octothorpe::gateway::{
    AnswerOf, Answered, Asked, CheckError, Failure, Gateway, Hands, Idempotency, Room, Turns,
    Wanted,
};
use octothorpe::store::Store;
use octothorpe::store::record::Delivery;
use octothorpe::verify::attempt::AttemptNo;
use octothorpe::verify::code::{Code, Vault};
use octothorpe::verify::policy::Rules;
use octothorpe::verify::request::{Channel, Mode, Request, Way};
use octothorpe::verify::route::{Rule, Table};
use octothorpe::verify::signal::{Cause, Farewell, Press, Reason, Said, Signal, Status};
use octothorpe::verify::{Verification, VerificationId};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

#[expect(dead_code, reason = "the tests of the store need more of it")]
#[path = "store/servers.rs"]
mod servers;

/// One for all tests.
static REDIS: LazyLock<servers::Server> = LazyLock::new(|| servers::Server::redis(&[]));

const CALL: Way = Way { channel: Channel::Voice, mode: Mode::Confirm };
const TEXT: Way = Way { channel: Channel::Sms, mode: Mode::Code };
const A: usize = 0;
const B: usize = 1;

/// What one node did in the world, and when.
#[derive(Default)]
struct Did {
    placed: Vec<String>,
    closed: Vec<(String, Farewell, Instant)>,
    abandoned: usize,
    /// Whether there is no room for a call.
    full: bool,
}

#[derive(Default)]
struct World {
    nodes: [Did; 2],
    delivered: Vec<Delivery>,
}

#[derive(Clone)]
struct Node(usize, Arc<Mutex<World>>);

impl Node {
    fn did<T>(&self, look: impl FnOnce(&mut Did) -> T) -> T {
        look(&mut self.1.lock().unwrap().nodes[self.0])
    }
}

impl Hands for Node {
    async fn room(&self, _: &Verification, _: AttemptNo) -> Result<Room, Cause> {
        if self.did(|did| did.full) {
            std::future::pending::<()>().await;
        }
        Ok(Room::Free)
    }

    async fn place(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        let name = format!("{}-{attempt}", verification.id);
        self.did(|did| did.placed.push(name.clone()));
        Receipt::Taken(name)
    }

    fn abandon(&self) {
        self.did(|did| did.abandoned += 1);
    }

    async fn close(
        &self,
        verification: &Verification,
        attempt: AttemptNo,
        _: Option<&str>,
        farewell: Farewell,
    ) {
        let name = format!("{}-{attempt}", verification.id);
        self.did(|did| did.closed.push((name, farewell, Instant::now())));
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        self.1.lock().unwrap().delivered.push(delivery.clone());
        Ok(())
    }
}

/// Two gateways over one store.
struct Site {
    nodes: [Gateway; 2],
    tenant: Tenant,
    world: Arc<Mutex<World>>,
}

impl Site {
    /// Nodes that do nothing by themselves, over one store that each has its own way to.
    fn still(clock: &Clock, [to_a, to_b]: [Store; 2]) -> (Self, [Turns<Node>; 2]) {
        let us = BTreeSet::from(["US".parse().unwrap()]);
        let tenant = Tenant {
            rules: Rules { voice_countries: us.clone(), sms_countries: us },
            webhooks: vec![Endpoint::new(
                "https://idp.example.com/hooks",
                WebhookSecret::new(Zeroizing::new(vec![7; 32])),
            )],
            ..Tenant::new("acme")
        };
        let rule = |channel| Rule::every(channel, ["trunk"]);
        let settings = Settings {
            routes: Table::new(vec![rule(Channel::Voice), rule(Channel::Sms)]),
            tenants: vec![tenant.clone()],
            ..Settings::bare()
        };
        let world = Arc::default();
        let node = |n: usize, store: Store| {
            Gateway::assemble(
                store,
                &settings,
                Vault::of("a key of tests"),
                clock.clone(),
                Entropy::from_number(n as u64),
                Node(n, Arc::clone(&world)),
            )
        };
        let ((a, turns_a), (b, turns_b)) = (node(A, to_a), node(B, to_b));
        (Self { nodes: [a, b], tenant, world }, [turns_a, turns_b])
    }

    /// Nodes that go by themselves.
    fn living(stores: [Store; 2]) -> Self {
        let (site, turns) = Self::still(&Clock::system(), stores);
        for turns in turns {
            tokio::spawn(turns.run());
        }
        site
    }

    fn node(&self, n: usize) -> &Gateway {
        &self.nodes[n]
    }

    async fn begin(&self, n: usize, to: &str, way: Way) -> VerificationId {
        self.begin_or(n, to, way, &[]).await
    }

    async fn begin_or(&self, n: usize, to: &str, way: Way, fallback: &[Way]) -> VerificationId {
        let request =
            Request { fallback: fallback.to_vec(), ..Request::new(to.parse().unwrap(), way) };
        let code = (way.mode == Mode::Code).then(|| Code::parse("493817")).flatten();
        let asked = Asked { code, ..Asked::plainly(request) };
        let answer = AnswerOf { idempotency: None, render };
        let begun = self.node(n).begin(&self.tenant, asked, answer).await.unwrap();
        let Answered::Fresh { id, .. } = begun else { panic!("{begun:?}") };
        id
    }

    async fn read(&self, n: usize, id: &VerificationId) -> Verification {
        self.node(n).read(&self.tenant, id).await.unwrap().unwrap()
    }

    /// Waits until a verification is so, as a node sees it.
    async fn until(&self, id: &VerificationId, so: impl Fn(&Verification) -> bool) -> Verification {
        for _ in 0..1_000 {
            let found = self.read(B, id).await;
            if so(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?}", self.read(B, id).await);
    }

    async fn placed(&self, id: &VerificationId) -> Verification {
        self.until(id, |it| it.attempts.last().is_some_and(|last| last.call_id.is_some())).await
    }

    /// Has a person press `#` on a call of this node.
    async fn press(&self, n: usize, id: &VerificationId) {
        let press = Press::by("rfc4733", self.node(n).now());
        let heard = Signal::heard(AttemptNo::FIRST, Said::Confirmed, press);
        self.node(n).signal(id, heard).await.unwrap();
    }

    async fn cancel(&self, n: usize, id: &VerificationId) {
        let answer = AnswerOf { idempotency: None, render };
        self.node(n).cancel(&self.tenant, id, answer).await.unwrap().unwrap();
    }

    fn did<T>(&self, n: usize, look: impl FnOnce(&mut Did) -> T) -> T {
        Node(n, Arc::clone(&self.world)).did(look)
    }

    /// When a node closed a call, and with which words.
    async fn closed(&self, n: usize) -> (Farewell, Instant) {
        for _ in 0..1_000 {
            let closed = self.did(n, |did| did.closed.first().cloned());
            if let Some((_, farewell, at)) = closed {
                return (farewell, at);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the call was not closed within seconds");
    }

    fn verdicts_told(&self) -> usize {
        let world = self.world.lock().unwrap();
        world.delivered.iter().filter(|it| it.body.contains("verification.settled")).count()
    }
}

/// Runs each of these over a store in memory and over Redis.
macro_rules! over_each_store {
    ($($test:ident),* $(,)?) => {
        mod memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let store = Store::memory();
                super::$test(Site::living([store.clone(), store])).await;
            })*
        }
        mod redis {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let settings = servers::settings(REDIS.place());
                super::$test(Site::living([&settings; 2].map(servers::open))).await;
            })*
        }
    };
}

over_each_store![
    of_a_thousand_right_codes_at_two_nodes_one_approves,
    of_a_thousand_wrong_codes_at_two_nodes_five_are_compared,
    a_press_at_one_node_is_heard_of_at_the_other_at_once,
    a_cancellation_at_one_node_ends_the_call_of_the_other,
    a_repeated_start_at_another_node_gets_the_first_ones_answer,
    a_key_opens_and_stops_opening_at_every_node,
    a_node_that_is_stopped_leaves_its_calls_to_the_others,
];

/// Checks a code a thousand times, at both nodes and 64 at a time; how many matched, were compared, and were
/// refused because the verdict stands.
async fn a_thousand(site: &Site, id: &VerificationId, code: &'static str) -> (usize, usize, usize) {
    let (mut checks, turns) = (JoinSet::new(), Arc::new(Semaphore::new(64)));
    for n in 0..1_000 {
        let (node, tenant, id) = (site.node(n % 2).clone(), site.tenant.clone(), id.clone());
        let turns = Arc::clone(&turns);
        checks.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let answer = AnswerOf { idempotency: None, render: render_checked };
            node.check(&tenant, &id, code, None, answer).await
        });
    }
    let (mut matched, mut compared, mut refused) = (0, 0, 0);
    while let Some(checked) = checks.join_next().await {
        match checked.unwrap() {
            Ok(Some(Answered::Fresh { body, .. })) => {
                compared += 1;
                matched +=
                    usize::from(String::from_utf8(body).unwrap().contains(r#""matched":true"#));
            }
            Err(CheckError::Settled(..)) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    (matched, compared, refused)
}

async fn of_a_thousand_right_codes_at_two_nodes_one_approves(site: Site) {
    let id = site.begin(A, "+14155550101", TEXT).await;
    site.placed(&id).await;
    assert_eq!(a_thousand(&site, &id, "493817").await, (1, 1, 999));
    assert_eq!(site.read(A, &id).await.status(), Status::Approved);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(site.verdicts_told(), 1);
}

async fn of_a_thousand_wrong_codes_at_two_nodes_five_are_compared(site: Site) {
    let id = site.begin(A, "+14155550102", TEXT).await;
    site.placed(&id).await;
    assert_eq!(a_thousand(&site, &id, "493818").await, (0, 5, 995));
    assert_eq!(a_thousand(&site, &id, "493817").await, (0, 0, 1_000));
    assert_eq!(site.read(A, &id).await.status(), Status::Denied);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(site.verdicts_told(), 1);
}

async fn a_press_at_one_node_is_heard_of_at_the_other_at_once(site: Site) {
    let id = site.begin(A, "+14155550103", CALL).await;
    let placed = site.placed(&id).await;
    let waits = {
        let (node, tenant, id) = (site.node(B).clone(), site.tenant.clone(), id.clone());
        tokio::spawn(async move {
            let patience = Duration::from_secs(30);
            let found = node.wait(&tenant, &id, placed.version, patience).await;
            (found.unwrap().unwrap(), Instant::now())
        })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pressed = Instant::now();
    site.press(A, &id).await;
    let (found, at) = waits.await.unwrap();
    assert_eq!(found.status(), Status::Approved);
    let after = at - pressed;
    println!("a long poll at the other node answers after {after:?}");
    assert!(after < Duration::from_millis(100), "{after:?}");
    assert_eq!(site.closed(A).await.0, Farewell::Thanks);
    assert_eq!(site.did(B, |did| did.closed.len()), 0);
}

async fn a_cancellation_at_one_node_ends_the_call_of_the_other(site: Site) {
    let id = site.begin(A, "+14155550104", CALL).await;
    assert_eq!(
        site.placed(&id).await.attempts.first().unwrap().node.as_deref(),
        Some(site.node(A).node())
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    let canceled = Instant::now();
    site.cancel(B, &id).await;
    let (farewell, at) = site.closed(A).await;
    let after = at - canceled;
    println!("the call at the other node is ended after {after:?}");
    assert!(after < Duration::from_millis(200), "{after:?}");
    assert_eq!(farewell, Farewell::Silent);
    assert_eq!(site.did(B, |did| did.closed.len()), 0, "it has no call to end");
}

async fn a_repeated_start_at_another_node_gets_the_first_ones_answer(site: Site) {
    let start = |n: usize| {
        let (node, tenant) = (site.node(n % 2).clone(), site.tenant.clone());
        async move {
            let request = Request::new("+14155550105".parse().unwrap(), CALL);
            let idempotency = Some(Idempotency { key: "one".to_owned(), fingerprint: [1; 32] });
            let answer = AnswerOf { idempotency, render };
            node.begin(&tenant, Asked::plainly(request), answer).await.unwrap()
        }
    };
    let mut starts = JoinSet::new();
    (0..100).for_each(|n| drop(starts.spawn(start(n))));
    let (mut fresh, mut bodies) = (0, BTreeSet::new());
    while let Some(answered) = starts.join_next().await {
        match answered.unwrap() {
            Answered::Fresh { body, .. } => {
                fresh += 1;
                bodies.insert(body);
            }
            Answered::Replayed { body, .. } => drop(bodies.insert(body)),
            other @ (Answered::Joined { .. } | Answered::Dry { .. } | Answered::Mismatch) => {
                panic!("{other:?}")
            }
        }
    }
    assert_eq!((fresh, bodies.len()), (1, 1));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let placed: usize = [A, B].map(|n| site.did(n, |did| did.placed.len())).iter().sum();
    assert_eq!(placed, 1, "one call");
}

async fn a_key_opens_and_stops_opening_at_every_node(site: Site) {
    let terms = Terms { scopes: BTreeSet::from([Scope::Read]), expires: None, allow: Vec::new() };
    let wanted = Wanted { name: "till".to_owned(), terms };
    let made = site.node(A).make_key("acme", wanted).await.unwrap().unwrap();
    let (Fresh { id, text, .. }, _) = made;
    let opens = |wanted: bool| {
        let node = site.node(B).clone();
        let key = ApiKey::of(&text);
        async move {
            let since = Instant::now();
            while node.caller_of(&key, None).is_some() != wanted {
                assert!(since.elapsed() < Duration::from_secs(1), "opens: {}", !wanted);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    opens(true).await;
    site.node(A).revoke_key("acme", &id).await.unwrap();
    opens(false).await;
}

/// A world whose time stands still until it is moved.
struct Slow {
    site: Site,
    clock: Clock,
    turns: [Turns<Node>; 2],
}

impl Slow {
    fn new() -> Self {
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let store = Store::memory();
        let (site, turns) = Site::still(&clock, [store.clone(), store]);
        Self { site, clock, turns }
    }

    async fn turn(&mut self, n: usize) {
        self.turns[n].turn().await.unwrap();
    }

    /// Lets time go by with this node alive.
    async fn lives(&mut self, n: usize, span: Duration) {
        let step = Duration::from_millis(500);
        for _ in 0..span.as_millis() / step.as_millis() {
            self.clock.advance(step);
            self.turn(n).await;
        }
    }

    async fn attempts(&self, id: &VerificationId) -> Vec<(Option<Reason>, Option<String>)> {
        let found = self.site.read(B, id).await;
        found.attempts.into_iter().map(|it| (it.reason, it.node)).collect()
    }
}

#[tokio::test]
async fn a_lost_nodes_call_is_settled_and_its_fallback_goes_on_elsewhere() {
    let mut slow = Slow::new();
    slow.turn(B).await;
    let id = slow.site.begin_or(A, "+14155550106", CALL, &[CALL]).await;
    slow.turn(A).await;
    let names = [A, B].map(|n| Some(slow.site.node(n).node().to_owned()));
    assert_eq!(slow.attempts(&id).await, [(None, names[A].clone())]);
    slow.lives(B, Duration::from_secs(14)).await;
    assert_eq!(slow.attempts(&id).await.len(), 1, "its lease has not lapsed");
    slow.lives(B, Duration::from_secs(1)).await;
    let lost = (Some(Reason::NodeLost), names[A].clone());
    assert_eq!(slow.attempts(&id).await, [lost, (None, names[B].clone())]);
    assert_eq!(slow.site.did(B, |did| did.placed.len()), 1);
}

#[tokio::test]
async fn a_node_that_was_away_carries_out_nothing_that_it_took_before() {
    let mut slow = Slow::new();
    slow.turn(B).await;
    let id = slow.site.begin(A, "+14155550107", CALL).await;
    // It is stopped before it has placed the call.
    slow.lives(B, Duration::from_secs(30)).await;
    slow.turn(A).await;
    assert_eq!(slow.site.did(A, |did| (did.placed.len(), did.abandoned)), (0, 1));
    assert_eq!(slow.attempts(&id).await, [(Some(Reason::NodeLost), None)]);
    // What it begins from now on is its own again.
    let id = slow.site.begin(A, "+14155550108", CALL).await;
    slow.turn(A).await;
    assert_eq!(slow.site.did(A, |did| (did.placed.len(), did.abandoned)), (1, 1));
    assert_eq!(slow.attempts(&id).await.len(), 1);
}

#[tokio::test]
async fn a_node_that_was_away_does_not_begin_what_nobody_has_taken_over_yet() {
    let mut slow = Slow::new();
    let id = slow.site.begin(A, "+14155550109", CALL).await;
    slow.clock.advance(Duration::from_secs(14));
    slow.turn(A).await;
    assert_eq!(slow.site.did(A, |did| did.placed.len()), 0, "another may be about to");
    assert_eq!(slow.attempts(&id).await, [(Some(Reason::NodeLost), None)]);
}

#[tokio::test]
async fn a_node_that_was_away_tells_nothing_that_another_has_told() {
    let mut slow = Slow::new();
    slow.turn(B).await;
    let id = slow.site.begin(A, "+14155550113", CALL).await;
    slow.turn(A).await;
    slow.site.press(A, &id).await;
    // It is stopped before it tells anybody.
    slow.lives(B, Duration::from_secs(30)).await;
    assert_eq!(slow.site.verdicts_told(), 1);
    slow.turn(A).await;
    assert_eq!(slow.site.verdicts_told(), 1, "it is another's by now");
    // What nobody has taken over is told all the same.
    let id = slow.site.begin(A, "+14155550114", CALL).await;
    slow.turn(A).await;
    slow.site.press(A, &id).await;
    slow.clock.advance(Duration::from_secs(14));
    for _ in 0..3 {
        slow.turn(A).await;
    }
    assert_eq!(slow.site.verdicts_told(), 2);
}

#[tokio::test]
async fn who_is_called_by_a_lost_node_is_hung_up_by_nobody() {
    let mut slow = Slow::new();
    slow.turn(B).await;
    let id = slow.site.begin(A, "+14155550110", CALL).await;
    slow.turn(A).await;
    slow.site.cancel(B, &id).await;
    slow.turn(B).await;
    assert_eq!(slow.site.did(B, |did| did.closed.len()), 0, "it is for the node that has the call");
    slow.lives(B, Duration::from_secs(20)).await;
    assert_eq!(slow.site.did(B, |did| did.closed.len()), 1, "and is not lost with that");
}

async fn a_node_that_is_stopped_leaves_its_calls_to_the_others(site: Site) {
    site.did(A, |did| did.full = true);
    let id = site.begin(A, "+14155550111", CALL).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    site.node(A).stop_taking();
    let stopped = Instant::now();
    assert!(!site.node(A).ready().ready && site.node(B).ready().ready);
    let placed = site.placed(&id).await;
    println!("the call that waited is placed elsewhere after {:?}", stopped.elapsed());
    assert!(stopped.elapsed() < Duration::from_secs(1));
    assert_eq!(placed.attempts.first().unwrap().node.as_deref(), Some(site.node(B).node()));
    // What it decides from now on begins elsewhere, too.
    let request =
        Request { fallback: vec![CALL], ..Request::new("+14155550112".parse().unwrap(), CALL) };
    let answer = AnswerOf { idempotency: None, render };
    let begun = site.node(B).begin(&site.tenant, Asked::plainly(request), answer).await.unwrap();
    let Answered::Fresh { id, .. } = begun else { panic!("{begun:?}") };
    site.placed(&id).await;
    let cause = Cause::plain(Reason::Busy);
    site.node(A).signal(&id, Signal::Ended { attempt: AttemptNo::FIRST, cause }).await.unwrap();
    let again = site
        .until(&id, |it| it.attempts.len() == 2 && it.attempts.iter().all(|it| it.node.is_some()))
        .await;
    let nodes: Vec<_> = again.attempts.iter().map(|it| it.node.as_deref()).collect();
    assert_eq!(nodes, [Some(site.node(B).node()); 2]);
    assert_eq!(site.did(A, |did| did.placed.len()), 0);
}
