//! Redis servers that die, freeze, lose their replicas or are written by somebody else.

#![expect(clippy::disallowed_methods, reason = "what takes how long is measured")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use octothorpe::ambient::Clock;
use octothorpe::store::{Heard, Hint, Hinted, RedisSettings};

use super::servers::{Cluster, Server, Watched, named, open, open_by, settings, until};
use super::*;

/// How long after a promotion everything must work again.
const BACK: Duration = Duration::from_secs(5);

/// What a caller waits for at most, with what a busy machine adds.
const CALL: Duration = Duration::from_millis(900);

fn is_unsafe<T: std::fmt::Debug>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unsafe(_)))
}

/// Commits without end, one record after another; which of them were told to be kept.
async fn commit_until(store: Store, stop: Arc<AtomicBool>) -> (Vec<String>, usize) {
    let (mut told, mut refused) = (Vec::new(), 0);
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("vf_{n}");
        match store.commit(writing(&id, None, 1)).await {
            Ok(Committed::Yes) => told.push(id),
            Ok(other) => panic!("{other:?}"),
            Err(StoreError::Unsafe(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (told, refused)
}

/// Has the primary killed and another promoted under load. Gives how long after that the first commit was told
/// to be kept.
async fn killed(store: Store, kill: impl FnOnce()) -> Duration {
    yes(&store, writing("first", None, 1)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(commit_until(store.clone(), Arc::clone(&stop)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    kill();
    let promoted = Instant::now();
    while !matches!(store.commit(writing("back", None, 1)).await, Ok(Committed::Yes)) {
        if store.load("back").await.is_ok_and(|it| it.is_some()) {
            break;
        }
        assert!(promoted.elapsed() < Duration::from_secs(60), "it never works again");
    }
    let back = promoted.elapsed();
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Relaxed);
    let (told, refused) = load.await.unwrap();
    assert!(told.len() > 50, "{}", told.len());
    for id in &told {
        assert!(store.load(id).await.unwrap().is_some(), "{id} was told and is lost");
    }
    println!("back {back:?} after the promotion; {} told, {refused} refused", told.len());
    back
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_is_replaced_through_sentinels_and_nothing_told_is_lost() {
    let watched = Watched::start();
    let store = open(&settings(watched.place()));
    let before = watched.servers[0].port;
    let kill = || {
        watched.servers[0].signal("KILL");
        until("another is promoted", || watched.primary() != before);
    };
    let back = killed(store, kill).await;
    assert!(back <= BACK, "{back:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_is_replaced_in_a_cluster_and_nothing_told_is_lost() {
    let mut cluster = Cluster::start();
    let settings = settings(cluster.place());
    let store = open(&settings);
    let slot = cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", &format!("{{{}}}:", settings.prefix)]);
    let slot: u32 = slot.parse().unwrap();
    // Of three equal ranges.
    let mut owner = cluster.nodes.remove(usize::try_from((slot / 5_461).min(2)).unwrap());
    let is_primary = |it: &&Server| it.ask(&["INFO", "replication"]).contains("role:master");
    let primaries = || cluster.nodes.iter().filter(is_primary).count();
    assert_eq!(primaries(), 2);
    let kill = || {
        owner.signal("KILL");
        // The new primary has no replica until the old one comes back as one.
        until("another is promoted", || primaries() == 3);
        owner.run();
    };
    let back = killed(store, kill).await;
    assert!(back <= BACK, "{back:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_costs_half_a_second_and_nothing_comes_to_life_behind_our_back() {
    let server = Server::redis(&[]);
    let settings = settings(server.place());
    let store = open(&settings);
    yes(&store, writing("v1", None, 1)).await;
    server.signal("STOP");
    let begun = Instant::now();
    let calls: Vec<_> = (0..500)
        .map(|n| {
            let store = store.clone();
            let commit = Commit { queue: taken(n), ..writing(&format!("w{n}"), None, 1) };
            tokio::spawn(async move { store.commit(commit).await })
        })
        .collect();
    for call in calls {
        assert!(is_unsafe(&call.await.unwrap()));
    }
    assert!(begun.elapsed() < CALL, "{:?}", begun.elapsed());
    assert!(is_unsafe(&store.load("v1").await));
    server.signal("CONT");
    let begun = Instant::now();
    while store.load("v1").await.is_err() {
        assert!(begun.elapsed() < BACK, "it never works again");
    }
    // Whatever was sent and came to life was given up: nobody believes that a lost call is being made.
    let claimed = claim(&store, 1, "a").await;
    let mut there = 0;
    for n in 0..500 {
        there += usize::from(store.load(&format!("w{n}")).await.unwrap().is_some());
    }
    println!("{there} of 500 were carried out after all");
    let orphans = claimed.effects.iter().filter(|it| it.orphaned).count();
    assert_eq!((claimed.effects.len(), orphans), (there.min(100), there.min(100)));
}

/// A call that its committer makes.
fn taken(n: usize) -> Vec<Queued> {
    let effect = queued(&format!("w{n}"), "dial", at(0));
    vec![Queued { once: true, claimed_by: Some(owner("a")), ..effect }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_replica_has_is_told_to_nobody() {
    let primary = Server::redis(&[]);
    let of = format!("127.0.0.1 {}", primary.port);
    let replica = Server::redis(&["--replicaof", &of]);
    until("there is a replica", || primary.ask(&["INFO", "replication"]).contains("state=online"));
    let settings = settings(primary.place());
    // One that has confirmed nothing yet is one all the same.
    primary.ask(&["SET", "of somebody else", "1"]);
    let (one, other) = (open(&settings), open(&settings));
    yes(&one, writing("v1", None, 1)).await;
    assert!(other.load("v1").await.unwrap().is_some());
    replica.signal("STOP");
    let approved = Commit { queue: taken(1), ..writing("v1", Some(1), 2) };
    assert!(is_unsafe(&one.commit(approved).await));
    // It stands in the primary, and is not told by another node either.
    let row = primary.ask(&["HGET", &format!("{{{}}}:record:v1", settings.prefix), "v"]);
    assert_eq!(row, "2");
    assert!(is_unsafe(&other.load("v1").await));
    assert!(is_unsafe(&other.tally(at(0), &[counter("k", 60, 1)]).await));
    // Since there was one, there must be one: also when it is gone for good.
    replica.signal("KILL");
    assert!(is_unsafe(&one.load("v1").await));
    let replica = Server::redis(&["--replicaof", &of]);
    until("there is a replica", || primary.ask(&["INFO", "replication"]).contains("state=online"));
    until_works(&one).await;
    assert_eq!(one.load("v1").await.unwrap().unwrap().version, 2);
    // Whoever committed it does not know that it has the effect: it comes back.
    let claimed = claim(&one, 1, "a").await;
    assert_eq!((names(&claimed), claimed.effects[0].orphaned), (vec!["dial"], true));
    assert_eq!(claim(&one, 1, "a").await.effects, []);
    drop(replica);
}

async fn until_works(store: &Store) {
    let begun = Instant::now();
    while store.load("v1").await.is_err() {
        assert!(begun.elapsed() < BACK, "it never works again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_somebody_else_wrote_are_not_believed() {
    let server = Server::redis(&[]);
    let settings = settings(server.place());
    let store = open(&settings);
    let asked = Commit { answer: Some(answer("key", b"told")), ..writing("v1", None, 1) };
    yes(&store, asked).await;
    yes(&store, writing("v2", None, 1)).await;
    let key = |id| format!("{{{}}}:record:{id}", settings.prefix);
    // In another place, with another version, in the clear.
    assert_eq!(server.ask(&["COPY", &key("v1"), &key("v3")]), "1");
    server.ask(&["HSET", &key("v1"), "v", "2"]);
    server.ask(&["HSET", &key("v2"), "b", "approved"]);
    for id in ["v1", "v2", "v3"] {
        assert_eq!(store.load(id).await, Err(StoreError::Tampered("record")), "{id}");
    }
    // Nothing of what was written stands there in the clear, nor what it is called.
    let keys = server.ask(&["KEYS", "*"]);
    assert!(!keys.contains("key"), "{keys}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_memory_throws_nothing_away_and_says_that_it_is_full() {
    let server = Server::redis(&["--maxmemory-policy", "noeviction"]);
    let settings = settings(server.place());
    let store = open(&settings);
    yes(&store, writing("v1", None, 1)).await;
    server.ask(&["CONFIG", "SET", "maxmemory", "1mb"]);
    assert_eq!(store.commit(writing("v1", Some(1), 2)).await, Err(StoreError::Full));
    assert_eq!(store.load("v1").await.unwrap().unwrap().version, 1);
    // Whoever comes anew must be known by a row of its own.
    assert!(open(&settings).load("v1").await.unwrap_err().to_string().contains("memory"));
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    yes(&store, writing("v1", Some(1), 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_or_layout_is_refused_and_says_so() {
    let server = Server::redis(&[]);
    let settings = settings(server.place());
    yes(&open(&settings), writing("v1", None, 1)).await;
    let other =
        Store::redis(settings.clone(), &Vault::of("another key of tests"), &Clock::system())
            .unwrap();
    let refused = other.load("v1").await.unwrap_err().to_string();
    assert!(refused.contains("store.older_secrets"), "{refused}");
    server.ask(&["HSET", &format!("{{{}}}:meta", settings.prefix), "layout", "9"]);
    let refused = open(&settings).load("v1").await.unwrap_err().to_string();
    assert!(refused.contains("another layout"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_and_a_password_are_needed_where_they_are() {
    let named = named();
    let store = open(&named);
    yes(&store, writing("v1", None, 1)).await;
    let mut heard = store.hints();
    store.hint(&owner("a"), || Hint::Work(None));
    assert_eq!(heard.next().await, Heard::Hint(hinted(Hint::Work(None))));
    let unknown = RedisSettings { password: Some("of nobody".to_owned().into()), ..named };
    let refused = open(&unknown).load("v1").await.unwrap_err().to_string();
    assert!(refused.contains("WRONGPASS") && !refused.contains("nobody"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_reach_every_node_also_after_a_connection_was_lost() {
    let server = Server::redis(&[]);
    let settings = settings(server.place());
    let (one, other) = (open(&settings), open(&settings));
    yes(&one, writing("v1", None, 1)).await;
    assert!(other.load("v1").await.unwrap().is_some());
    let mut heard = other.hints();
    one.hint(&owner("a"), || Hint::Moved("v1".to_owned()));
    assert_eq!(heard.next().await, Heard::Hint(hinted(Hint::Moved("v1".to_owned()))));
    server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    until_works(&one).await;
    until_works(&other).await;
    one.hint(&owner("a"), || Hint::Work(Some(owner("b"))));
    assert_eq!(heard.next().await, Heard::Hint(hinted(Hint::Work(Some(owner("b"))))));
}

fn hinted(hint: Hint) -> Hinted {
    Hinted { from: owner("a"), hint }
}

#[tokio::test]
async fn whatever_their_clocks_say_those_who_share_a_store_have_its_time() {
    let settings = named();
    let real = Clock::system();
    let behind = Duration::from_secs(120);
    for start in [real.now() - behind, real.now() + behind] {
        let clock = Clock::manual(start);
        let store = open_by(&settings, &clock);
        let owner = Owner::new(start.to_rfc3339());
        // What is asked for at a time that is wrong is not done; what has no time is.
        let early = store.claim(clock.now(), &owner, 10);
        let (early, read) = tokio::join!(early, store.load("vf_1"));
        assert!(is_unsafe(&early), "{early:?}");
        assert_eq!(read, Ok(None));
        let differs = clock.now().since(real.now()) + real.now().since(clock.now());
        assert!(differs < Duration::from_secs(60), "{differs:?}");
        store.claim(clock.now(), &owner, 10).await.unwrap();
    }
    // A clock that stands still falls behind, and follows a little with each claim.
    let clock = Clock::manual(real.now());
    let store = open_by(&settings, &clock);
    store.load("vf_1").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let before = clock.now();
    store.claim(clock.now(), &Owner::new("c"), 10).await.unwrap();
    assert_eq!(clock.now(), before + Duration::from_millis(10));
}
