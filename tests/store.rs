//! What every store keeps: one list of promises, run against each backend, and the backends
//! against each other under random commits.

#[cfg(test)]
mod store {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::time::Duration;

    mod failing;
    mod servers;

    use octothorpe::ambient::Timestamp;
    use octothorpe::store::{
        Alias, Answer, Claimed, Commit, Committed, Counter, EffectId, FIND_MOST, Forgotten, Hold,
        LEASE, ListQuery, Owner, PAGE_MOST, Postponed, Queued, RENEWAL, RecordWrite, Store,
        StoreError, Stored, WAKE_RETRY,
    };
    use octothorpe::verify::code::Vault;
    use proptest::prelude::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + secs)
    }

    fn owner(name: &str) -> Owner {
        Owner::new(name)
    }

    fn effect_id(record: &str, effect: &str) -> EffectId {
        EffectId { record: record.to_owned(), effect: effect.to_owned() }
    }

    fn record(id: &str, expected: Option<u64>, version: u64) -> RecordWrite {
        RecordWrite {
            id: id.to_owned(),
            expected,
            version,
            bytes: format!("{id} at {version}").into_bytes(),
            wake: None,
            group: "acme".to_owned(),
            created: at(0),
        }
    }

    fn waking(id: &str, expected: Option<u64>, version: u64, wake: Option<Timestamp>) -> Commit {
        let record = RecordWrite { wake, ..record(id, expected, version) };
        Commit { now: at(0), record: Some(record), ..Commit::default() }
    }

    fn writing(id: &str, expected: Option<u64>, version: u64) -> Commit {
        waking(id, expected, version, None)
    }

    fn queued(record: &str, effect: &str, due: Timestamp) -> Queued {
        Queued {
            id: effect_id(record, effect),
            kind: 7,
            due,
            bytes: effect.as_bytes().to_vec(),
            once: false,
            claimed_by: None,
            to: None,
        }
    }

    fn queueing(queue: Vec<Queued>) -> Commit {
        Commit { now: at(0), queue, ..Commit::default() }
    }

    fn naming(alias: &str, record: &str, expires: Timestamp) -> Commit {
        let alias = Alias { alias: alias.to_owned(), record: record.to_owned(), expires };
        Commit { now: at(0), aliases: vec![alias], ..Commit::default() }
    }

    fn answer(key: &str, bytes: &[u8]) -> Answer {
        let key = key.to_owned();
        Answer { key, fingerprint: [9; 32], bytes: bytes.to_vec(), expires: at(100) }
    }

    fn counter(key: &str, window: u64, add: i64) -> Counter {
        Counter { key: key.to_owned(), window: Duration::from_secs(window), add, most: None }
    }

    async fn counted(store: &Store, secs: u64, counters: &[Counter]) -> Vec<u64> {
        let tally = store.tally(at(secs), counters).await.unwrap();
        tally.counts.iter().map(|count| count.counted).collect()
    }

    fn names(claimed: &Claimed) -> Vec<&str> {
        claimed.effects.iter().map(|effect| effect.id.effect.as_str()).collect()
    }

    async fn yes(store: &Store, commit: Commit) {
        assert_eq!(store.commit(commit).await, Ok(Committed::Yes));
    }

    async fn claim(store: &Store, secs: u64, name: &str) -> Claimed {
        store.claim(at(secs), &owner(name), 100).await.unwrap()
    }

    /// Runs every promise against every backend, each on a store of its own.
    macro_rules! promises {
        ($($promise:ident),* $(,)?) => {
            mod memory {
                use super::*;
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise(Store::memory()).await;
                })*
            }
            mod disk {
                use super::*;
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let dir = tempfile::tempdir().unwrap();
                    super::$promise(open(dir.path())).await;
                })*
            }
            mod redis {
                use super::*;
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise(servers::alone()).await;
                })*
            }
            mod sentinel {
                use super::*;
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise(servers::watched()).await;
                })*
            }
            mod cluster {
                use super::*;
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise(servers::cluster()).await;
                })*
            }
        };
    }

    promises![
        a_record_is_loaded_as_it_was_committed,
        a_stale_commit_writes_nothing_at_all,
        of_parallel_commits_on_one_version_one_wins,
        an_answer_is_given_once_until_it_expires,
        of_parallel_commits_with_one_answer_one_wins,
        a_name_is_one_records_until_it_is_given_back_or_its_time_is_over,
        of_parallel_commits_for_one_name_one_wins,
        an_effect_is_claimed_once_it_is_due_and_by_one_owner,
        of_parallel_claims_none_share_an_effect,
        a_claim_takes_no_more_than_its_limit,
        an_effect_taken_by_its_committer_is_not_claimed,
        an_effect_for_one_owner_is_claimed_by_that_one_alone,
        an_effect_for_a_lost_owner_is_anybodys_as_an_orphan,
        an_effect_for_one_owner_is_due_to_nobody_else,
        a_lost_owners_effects_become_orphans_when_its_lease_lapses,
        an_owner_that_claims_keeps_what_it_holds,
        an_orphan_tells_whether_it_may_be_repeated,
        a_done_effect_is_gone,
        a_postponed_effect_comes_back_when_due_with_its_new_bytes,
        an_effect_of_at_most_once_is_never_postponed,
        what_another_owner_has_taken_over_is_not_postponed,
        a_queued_effect_is_replaced_under_its_name,
        a_record_has_one_wake_up,
        a_wake_up_comes_back_until_a_commit_replaces_it,
        the_next_due_time_is_the_earliest_of_all,
        an_alias_leads_to_its_records_until_it_is_pruned,
        a_commit_that_names_prunes_expired_aliases,
        pruning_is_bounded,
        a_list_is_newest_first_and_by_group,
        a_list_is_paged_without_gaps_or_repeats,
        a_list_keeps_to_its_time_range,
        a_foreign_cursor_is_refused,
        a_tally_counts_within_its_window,
        a_tally_of_nothing_only_reads,
        a_tally_can_take_back_what_it_counted_and_no_more,
        a_tally_that_would_pass_a_limit_counts_nothing,
        a_tally_is_exact_in_parallel,
        a_sweep_takes_a_few_of_the_old,
        what_is_forgotten_is_gone_and_all_that_leads_to_it,
    ];

    async fn a_record_is_loaded_as_it_was_committed(store: Store) {
        assert_eq!(store.load("v1").await, Ok(None));
        yes(&store, writing("v1", None, 1)).await;
        yes(&store, writing("v1", Some(1), 8)).await;
        let (group, created, bytes) = ("acme".to_owned(), at(0), b"v1 at 8".to_vec());
        let stored = Stored { version: 8, group, created, bytes };
        assert_eq!(store.load("v1").await, Ok(Some(stored)));
        assert_eq!(store.load("v").await, Ok(None));
    }

    async fn a_stale_commit_writes_nothing_at_all(store: Store) {
        yes(&store, waking("v1", None, 1, Some(at(50)))).await;
        yes(&store, queueing(vec![queued("v1", "kept", at(60)), queued("v1", "late", at(70))]))
            .await;
        let spoiled = |expected| Commit {
            queue: vec![queued("v1", "new", at(0))],
            done: vec![effect_id("v1", "kept")],
            postpone: vec![Postponed {
                id: effect_id("v1", "late"),
                owner: owner("a"),
                due: at(0),
                bytes: Vec::new(),
            }],
            aliases: naming("alias", "v1", at(99)).aliases,
            answer: Some(answer("key", b"no")),
            ..waking("v1", expected, 9, Some(at(1)))
        };
        for expected in [None, Some(0), Some(2)] {
            let stale = Committed::Stale { version: Some(1) };
            assert_eq!(store.commit(spoiled(expected)).await, Ok(stale));
        }
        let missing = store.commit(writing("v2", Some(1), 2)).await;
        assert_eq!(missing, Ok(Committed::Stale { version: None }));

        assert_eq!(store.load("v1").await.unwrap().unwrap().version, 1);
        assert_eq!(store.find("alias", None).await, Ok(vec![]));
        let claimed = claim(&store, 49, "a").await;
        assert_eq!((claimed.effects.len(), claimed.wakes.len()), (0, 0));
        assert_eq!(claimed.next_due, Some(at(50)));
        assert_eq!(names(&claim(&store, 80, "a").await), ["kept", "late"]);
        let answered =
            Commit { now: at(0), answer: Some(answer("key", b"y")), ..Commit::default() };
        yes(&store, answered).await;
    }

    async fn of_parallel_commits_on_one_version_one_wins(store: Store) {
        yes(&store, writing("v1", None, 1)).await;
        let tries: Vec<_> = (0..100)
            .map(|n| {
                let store = store.clone();
                let effect = queued("v1", &n.to_string(), at(0));
                let commit = Commit { queue: vec![effect], ..writing("v1", Some(1), 100 + n) };
                tokio::spawn(async move { store.commit(commit).await.unwrap() })
            })
            .collect();
        let mut won = 0;
        for answer in tries {
            match answer.await.unwrap() {
                Committed::Yes => won += 1,
                Committed::Stale { version } => assert!(version.unwrap() >= 100),
                Committed::Answered { .. } | Committed::Held(_) => panic!("nobody asked"),
            }
        }
        assert_eq!(won, 1);
        let version = store.load("v1").await.unwrap().unwrap().version;
        assert_eq!(names(&claim(&store, 1, "a").await), [(version - 100).to_string()]);
    }

    async fn an_answer_is_given_once_until_it_expires(store: Store) {
        let asking = |id: &str, secs, bytes: &[u8]| Commit {
            now: at(secs),
            answer: Some(Answer { expires: at(secs + 100), ..answer("key", bytes) }),
            ..writing(id, None, 1)
        };
        yes(&store, asking("v1", 0, b"first")).await;
        let given = Committed::Answered { fingerprint: [9; 32], bytes: b"first".to_vec() };
        assert_eq!(store.commit(asking("v2", 99, b"second")).await, Ok(given.clone()));
        assert_eq!(store.load("v2").await, Ok(None), "an answered commit writes nothing");
        assert_eq!(store.commit(asking("v1", 1, b"again")).await, Ok(given), "before it is stale");
        yes(&store, asking("v3", 100, b"third")).await;
        let third = Committed::Answered { fingerprint: [9; 32], bytes: b"third".to_vec() };
        claim(&store, 150, "a").await;
        assert_eq!(store.commit(asking("v4", 150, b"fourth")).await, Ok(third));
    }

    async fn of_parallel_commits_with_one_answer_one_wins(store: Store) {
        let tries: Vec<_> = (0..100)
            .map(|n: u64| {
                let store = store.clone();
                let answer = Some(answer("key", n.to_string().as_bytes()));
                let commit = Commit { answer, ..writing(&format!("v{n}"), None, 1) };
                tokio::spawn(async move { (n, store.commit(commit).await.unwrap()) })
            })
            .collect();
        let (mut won, mut told) = (Vec::new(), BTreeSet::new());
        for answer in tries {
            match answer.await.unwrap() {
                (n, Committed::Yes) => won.push(n.to_string().into_bytes()),
                (_, Committed::Answered { bytes, .. }) => drop(told.insert(bytes)),
                (_, Committed::Stale { .. } | Committed::Held(_)) => {
                    panic!("each has its own record")
                }
            }
        }
        assert_eq!(won.len(), 1);
        assert_eq!(told.into_iter().collect::<Vec<_>>(), won);
        assert_eq!(store.list(&of("acme")).await.unwrap().rows.len(), 1);
    }

    fn hold(name: &str, record: &str, until: u64) -> Hold {
        Hold { name: name.to_owned(), record: record.to_owned(), until: at(until) }
    }

    async fn a_name_is_one_records_until_it_is_given_back_or_its_time_is_over(store: Store) {
        let taking =
            |secs: u64, it: Hold| Commit { now: at(secs), holds: vec![it], ..Commit::default() };
        yes(&store, taking(0, hold("n", "v1", 50))).await;
        assert_eq!(store.holder(at(49), "n").await, Ok(Some(hold("n", "v1", 50))));
        let other =
            Commit { record: writing("v2", None, 1).record, ..taking(1, hold("n", "v2", 60)) };
        let held = Ok(Committed::Held(hold("n", "v1", 50)));
        assert_eq!(store.commit(other.clone()).await, held);
        assert_eq!(store.load("v2").await, Ok(None), "nothing of it is written");
        yes(&store, taking(2, hold("n", "v2", 2))).await;
        assert!(store.holder(at(2), "n").await.unwrap().is_some(), "only its own is given back");
        yes(&store, taking(3, hold("n", "v1", 70))).await;
        assert_eq!(
            store.commit(Commit { now: at(59), ..other.clone() }).await,
            Ok(Committed::Held(hold("n", "v1", 70)))
        );
        yes(&store, taking(4, hold("n", "v1", 0))).await;
        assert_eq!(store.holder(at(4), "n").await, Ok(None));
        yes(&store, other).await;
        yes(&store, taking(60, hold("n", "v3", 61))).await;
        claim(&store, 80, "a").await;
        assert_eq!(store.holder(at(80), "n").await, Ok(None));
        yes(&store, taking(81, hold("n", "v4", 99))).await;
    }

    async fn of_parallel_commits_for_one_name_one_wins(store: Store) {
        let tries: Vec<_> = (0..100)
            .map(|n| {
                let (store, id) = (store.clone(), format!("v{n}"));
                let commit = Commit { holds: vec![hold("n", &id, 50)], ..writing(&id, None, 1) };
                tokio::spawn(async move { (id, store.commit(commit).await.unwrap()) })
            })
            .collect();
        let (mut won, mut told) = (Vec::new(), BTreeSet::new());
        for answer in tries {
            match answer.await.unwrap() {
                (id, Committed::Yes) => won.push(id),
                (_, Committed::Held(by)) => drop(told.insert(by.record)),
                (_, other) => panic!("{other:?}"),
            }
        }
        assert_eq!(won.len(), 1);
        assert_eq!(told.into_iter().collect::<Vec<_>>(), won);
        assert_eq!(store.list(&of("acme")).await.unwrap().rows.len(), 1);
    }

    async fn an_effect_is_claimed_once_it_is_due_and_by_one_owner(store: Store) {
        yes(&store, queueing(vec![queued("v1", "b", at(10)), queued("v1", "a", at(11))])).await;
        assert_eq!(claim(&store, 9, "a").await.effects, []);
        let claimed = claim(&store, 10, "a").await;
        let [effect] = claimed.effects.as_slice() else { panic!("{claimed:?}") };
        assert_eq!(effect.id, effect_id("v1", "b"));
        assert_eq!((effect.kind, effect.due, effect.bytes.as_slice()), (7, at(10), &b"b"[..]));
        assert_eq!((effect.once, effect.orphaned), (false, false));
        assert_eq!(names(&claim(&store, 12, "b").await), ["a"]);
        assert_eq!(claim(&store, 13, "a").await.effects, []);
        assert_eq!(claim(&store, 13, "b").await.effects, []);
    }

    async fn of_parallel_claims_none_share_an_effect(store: Store) {
        let queue = (0..200).map(|n| queued("v1", &format!("{n:03}"), at(n % 7))).collect();
        yes(&store, queueing(queue)).await;
        let claims: Vec<_> = (0..40)
            .map(|n| {
                let (store, name) = (store.clone(), format!("node {}", n % 4));
                tokio::spawn(async move { store.claim(at(10), &owner(&name), 7).await.unwrap() })
            })
            .collect();
        let mut seen = Vec::new();
        for claimed in claims {
            seen.extend(claimed.await.unwrap().effects.into_iter().map(|effect| effect.id));
        }
        assert_eq!(seen.len(), 200);
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 200);
    }

    async fn a_claim_takes_no_more_than_its_limit(store: Store) {
        yes(&store, queueing((0..5).map(|n| queued("v1", &n.to_string(), at(n))).collect())).await;
        for n in 0..3 {
            yes(&store, waking(&format!("w{n}"), None, 1, Some(at(n)))).await;
        }
        let claimed = store.claim(at(9), &owner("a"), 2).await.unwrap();
        assert_eq!((names(&claimed), claimed.wakes.len()), (vec!["0", "1"], 2));
        assert_eq!(claimed.next_due, Some(at(2)), "there is more at once");
        let claimed = store.claim(at(9), &owner("a"), 0).await.unwrap();
        assert_eq!((claimed.effects.len(), claimed.wakes.len()), (0, 0));
        let late = 9 + LEASE.as_secs();
        let claimed = store.claim(at(late), &owner("b"), 3).await.unwrap();
        assert_eq!(names(&claimed), ["0", "1", "2"], "orphans first");
        let orphaned: Vec<_> = claimed.effects.iter().map(|effect| effect.orphaned).collect();
        assert_eq!(orphaned, [true, true, false]);
        let more = store.claim(at(late + late), &owner("c"), 1).await.unwrap();
        assert_eq!(more.next_due, Some(at(3)));
        assert_eq!(names(&claim(&store, late + late, "c").await).len(), 4);
    }

    async fn an_effect_taken_by_its_committer_is_not_claimed(store: Store) {
        let taken = Queued { claimed_by: Some(owner("a")), ..queued("v1", "x", at(0)) };
        yes(&store, queueing(vec![taken])).await;
        assert_eq!(claim(&store, 1, "a").await.effects, []);
        assert_eq!(claim(&store, 14, "b").await.effects, [], "committing shows that it lives");
        assert_eq!(claim(&store, 14, "a").await.effects, []);
        assert_eq!(claim(&store, 28, "b").await.effects, []);
        let orphan = claim(&store, 29, "b").await;
        assert_eq!((names(&orphan), orphan.effects[0].orphaned), (vec!["x"], true));
    }

    fn addressed(record: &str, effect: &str, due: Timestamp, to: &str) -> Queued {
        Queued { to: Some(owner(to)), ..queued(record, effect, due) }
    }

    async fn an_effect_for_one_owner_is_claimed_by_that_one_alone(store: Store) {
        claim(&store, 0, "a").await;
        let queue = vec![
            addressed("v1", "later", at(8), "a"),
            addressed("v1", "now", at(3), "a"),
            queued("v1", "anybody's", at(1)),
        ];
        yes(&store, queueing(queue)).await;
        assert_eq!(names(&claim(&store, 9, "b").await), ["anybody's"]);
        let limited = store.claim(at(9), &owner("a"), 1).await.unwrap();
        assert_eq!((names(&limited), limited.next_due), (vec!["now"], Some(at(8))));
        let claimed = claim(&store, 9, "a").await;
        assert_eq!((names(&claimed), claimed.next_due), (vec!["later"], None));
        assert!(claimed.effects.iter().all(|effect| !effect.orphaned));
        assert_eq!(claim(&store, 10, "a").await.effects, [], "once");
        assert_eq!(claim(&store, 20, "b").await.effects, [], "it is held, as others are");
        assert_eq!(names(&claim(&store, 25, "b").await), ["later", "now"]);
    }

    async fn an_effect_for_a_lost_owner_is_anybodys_as_an_orphan(store: Store) {
        claim(&store, 0, "a").await;
        yes(&store, queueing(vec![addressed("v1", "x", at(1), "a")])).await;
        assert_eq!(claim(&store, 14, "b").await.effects, []);
        let orphan = claim(&store, 15, "b").await;
        assert_eq!((names(&orphan), orphan.effects[0].orphaned), (vec!["x"], true));
        assert_eq!(claim(&store, 16, "a").await.effects, [], "it is another's now");
        // One whom nobody has seen is lost.
        yes(&store, queueing(vec![addressed("v1", "y", at(16), "stranger")])).await;
        assert_eq!(names(&claim(&store, 16, "b").await), ["y"]);
        // What is done or replaced leaves nothing behind.
        let queue = vec![addressed("v2", "z", at(16), "b"), addressed("v2", "w", at(16), "b")];
        yes(&store, queueing(queue)).await;
        let done = vec![effect_id("v2", "z")];
        yes(&store, Commit { now: at(16), done, ..Commit::default() }).await;
        yes(&store, queueing(vec![queued("v2", "w", at(40))])).await;
        let claimed = claim(&store, 17, "b").await;
        assert_eq!((names(&claimed), claimed.next_due), (vec![], Some(at(40))));
    }

    async fn an_effect_for_one_owner_is_due_to_nobody_else(store: Store) {
        claim(&store, 0, "a").await;
        yes(&store, queueing(vec![addressed("v1", "x", at(2), "a")])).await;
        yes(&store, queueing(vec![queued("v1", "y", at(30))])).await;
        assert_eq!(claim(&store, 1, "b").await.next_due, Some(at(30)));
        assert_eq!(claim(&store, 1, "a").await.next_due, Some(at(2)));
        assert_eq!(claim(&store, 3, "b").await.next_due, Some(at(30)));
    }

    async fn a_lost_owners_effects_become_orphans_when_its_lease_lapses(store: Store) {
        yes(&store, queueing(vec![queued("v1", "x", at(0)), queued("v2", "y", at(0))])).await;
        assert_eq!(claim(&store, 0, "a").await.effects.len(), 2);
        assert_eq!(claim(&store, 14, "b").await.effects, []);
        let orphans = claim(&store, 15, "b").await;
        assert_eq!(names(&orphans), ["x", "y"]);
        assert!(orphans.effects.iter().all(|effect| effect.orphaned));
        assert_eq!(claim(&store, 15, "a").await.effects, [], "they are another's now");
        assert_eq!(claim(&store, 16, "b").await.effects, []);
    }

    async fn an_owner_that_claims_keeps_what_it_holds(store: Store) {
        yes(&store, queueing(vec![queued("v1", "x", at(0))])).await;
        for secs in 0..60 {
            let expected = usize::from(secs == 0);
            assert_eq!(claim(&store, secs, "a").await.effects.len(), expected);
            assert_eq!(claim(&store, secs, "b").await.effects, [], "at {secs}");
        }
        assert_eq!(RENEWAL, Duration::from_secs(5));
    }

    async fn an_orphan_tells_whether_it_may_be_repeated(store: Store) {
        let dial = Queued { once: true, ..queued("v1", "dial", at(0)) };
        yes(&store, queueing(vec![dial, queued("v1", "notify", at(0))])).await;
        let told = |claimed: &Claimed| {
            let tell = |e: &octothorpe::store::Effect| (e.id.effect.clone(), e.once, e.orphaned);
            claimed.effects.iter().map(tell).collect::<Vec<_>>()
        };
        let first = told(&claim(&store, 0, "a").await);
        assert_eq!(first, [("dial".into(), true, false), ("notify".into(), false, false)]);
        let second = told(&claim(&store, 20, "b").await);
        assert_eq!(second, [("dial".into(), true, true), ("notify".into(), false, true)]);
        let third = told(&claim(&store, 40, "c").await);
        assert_eq!(third, second, "an orphan stays one");
    }

    async fn a_done_effect_is_gone(store: Store) {
        yes(&store, queueing(vec![queued("v1", "x", at(0)), queued("v1", "y", at(0))])).await;
        claim(&store, 0, "a").await;
        let done = vec![effect_id("v1", "x"), effect_id("v1", "unknown")];
        yes(&store, Commit { now: at(1), done: done.clone(), ..Commit::default() }).await;
        assert_eq!(names(&claim(&store, 20, "b").await), ["y"]);
        yes(&store, Commit { now: at(1), done, ..Commit::default() }).await;
        let unclaimed = Commit { done: vec![effect_id("v2", "z")], ..Commit::default() };
        yes(&store, queueing(vec![queued("v2", "z", at(0))])).await;
        yes(&store, unclaimed).await;
        assert_eq!(claim(&store, 21, "b").await.effects, []);
    }

    async fn a_postponed_effect_comes_back_when_due_with_its_new_bytes(store: Store) {
        yes(&store, queueing(vec![queued("v1", "x", at(0))])).await;
        claim(&store, 0, "a").await;
        let (id, bytes) = (effect_id("v1", "x"), b"2nd".to_vec());
        let again = Postponed { id, owner: owner("a"), due: at(60), bytes };
        let unknown = Postponed { id: effect_id("v1", "unknown"), ..again.clone() };
        let postpone = vec![again, unknown];
        yes(&store, Commit { now: at(1), postpone, ..Commit::default() }).await;
        assert_eq!(claim(&store, 2, "a").await.next_due, Some(at(60)));
        assert_eq!(claim(&store, 59, "b").await.effects, [], "released, so never an orphan");
        let claimed = claim(&store, 60, "b").await;
        assert_eq!(names(&claimed), ["x"]);
        assert_eq!((claimed.effects[0].kind, claimed.effects[0].orphaned), (7, false));
        assert_eq!(claimed.effects[0].bytes, b"2nd");
    }

    async fn an_effect_of_at_most_once_is_never_postponed(store: Store) {
        yes(&store, queueing(vec![Queued { once: true, ..queued("v1", "x", at(0)) }])).await;
        claim(&store, 0, "a").await;
        let (id, bytes) = (effect_id("v1", "x"), Vec::new());
        let again = Postponed { id, owner: owner("a"), due: at(1), bytes };
        yes(&store, Commit { now: at(1), postpone: vec![again], ..Commit::default() }).await;
        assert_eq!(claim(&store, 2, "a").await.effects, []);
        assert!(claim(&store, 20, "b").await.effects[0].orphaned);
    }

    async fn what_another_owner_has_taken_over_is_not_postponed(store: Store) {
        yes(&store, queueing(vec![queued("v1", "x", at(0))])).await;
        claim(&store, 0, "a").await;
        assert!(claim(&store, 20, "b").await.effects[0].orphaned, "it was lost");
        let to_b = Queued { to: Some(owner("b")), ..queued("v1", "waits", at(90)) };
        yes(&store, queueing(vec![to_b])).await;
        let postpone = |by, effect| Postponed {
            id: effect_id("v1", effect),
            owner: owner(by),
            due: at(21),
            bytes: b"2nd".to_vec(),
        };
        let late = vec![postpone("a", "x"), postpone("b", "waits")];
        yes(&store, Commit { now: at(21), postpone: late, ..Commit::default() }).await;
        assert_eq!(claim(&store, 22, "a").await.effects, [], "nobody else does it meanwhile");
        let own = vec![postpone("b", "x")];
        yes(&store, Commit { now: at(22), postpone: own, ..Commit::default() }).await;
        assert_eq!(names(&claim(&store, 23, "a").await), ["x"]);
    }

    async fn a_queued_effect_is_replaced_under_its_name(store: Store) {
        yes(&store, queueing(vec![queued("v1", "x", at(0))])).await;
        yes(&store, queueing(vec![queued("v1", "x", at(5))])).await;
        assert_eq!(claim(&store, 4, "a").await.effects, []);
        assert_eq!(names(&claim(&store, 5, "a").await), ["x"]);
    }

    async fn a_record_has_one_wake_up(store: Store) {
        yes(&store, waking("v1", None, 1, Some(at(10)))).await;
        yes(&store, waking("v1", Some(1), 2, Some(at(20)))).await;
        assert_eq!(claim(&store, 19, "a").await.wakes.len(), 0);
        assert_eq!(claim(&store, 20, "a").await.wakes, ["v1"]);
        yes(&store, waking("v1", Some(2), 3, None)).await;
        let claimed = claim(&store, 1_000, "a").await;
        assert_eq!((claimed.wakes.len(), claimed.next_due), (0, None));
    }

    async fn a_wake_up_comes_back_until_a_commit_replaces_it(store: Store) {
        yes(&store, waking("v1", None, 1, Some(at(10)))).await;
        assert_eq!(claim(&store, 10, "a").await.wakes, ["v1"]);
        let claimed = claim(&store, 10, "b").await;
        assert_eq!((claimed.wakes.len(), claimed.next_due), (0, Some(at(10) + WAKE_RETRY)));
        assert_eq!(claim(&store, 14, "b").await.wakes.len(), 0);
        assert_eq!(claim(&store, 15, "b").await.wakes, ["v1"], "its handler was lost");
        yes(&store, queueing(vec![queued("v1", "x", at(90))])).await;
        assert_eq!(claim(&store, 20, "a").await.wakes, ["v1"], "no record, no change");
        yes(&store, waking("v1", Some(1), 2, Some(at(40)))).await;
        assert_eq!(claim(&store, 39, "a").await.wakes.len(), 0);
        assert_eq!(claim(&store, 40, "a").await.wakes, ["v1"]);
    }

    async fn the_next_due_time_is_the_earliest_of_all(store: Store) {
        assert_eq!(claim(&store, 0, "a").await.next_due, None);
        yes(&store, queueing(vec![queued("v1", "x", at(30))])).await;
        assert_eq!(claim(&store, 0, "a").await.next_due, Some(at(30)));
        yes(&store, waking("v1", None, 1, Some(at(20)))).await;
        assert_eq!(claim(&store, 0, "a").await.next_due, Some(at(20)));
        assert_eq!(claim(&store, 20, "a").await.next_due, Some(at(25)));
        yes(&store, waking("v1", Some(1), 2, None)).await;
        assert_eq!(claim(&store, 21, "a").await.next_due, Some(at(30)));
        assert_eq!(claim(&store, 30, "a").await.next_due, None, "what is held is not due");
    }

    async fn an_alias_leads_to_its_records_until_it_is_pruned(store: Store) {
        yes(&store, naming("+49", "v1", at(50))).await;
        yes(&store, naming("+49", "v2", at(90))).await;
        yes(&store, naming("+491", "v3", at(90))).await;
        assert_eq!(store.find("+49", None).await.unwrap(), ["v2", "v1"]);
        assert_eq!(store.find("+491", None).await.unwrap(), ["v3"]);
        assert_eq!(store.find("+4", None).await.unwrap(), [""; 0]);
        claim(&store, 49, "a").await;
        assert_eq!(store.find("+49", None).await.unwrap(), ["v2", "v1"]);
        claim(&store, 54, "a").await;
        assert_eq!(store.find("+49", None).await.unwrap(), ["v2"]);
        yes(&store, naming("+49", "v2", at(200))).await;
        claim(&store, 100, "a").await;
        assert_eq!(store.find("+49", None).await.unwrap(), ["v2"], "it was prolonged");
        for n in 0..150 {
            yes(&store, naming("many", &format!("{n:03}"), at(900))).await;
        }
        let many = store.find("many", None).await.unwrap();
        assert_eq!((many.len(), many[0].as_str()), (FIND_MOST, "149"));
        let older = store.find("many", many.last().map(String::as_str)).await.unwrap();
        assert_eq!((older.len(), older[0].as_str(), older[49].as_str()), (50, "049", "000"));
        assert_eq!(store.find("many", Some("000")).await.unwrap(), [""; 0]);
    }

    async fn a_commit_that_names_prunes_expired_aliases(store: Store) {
        let many = |range: std::ops::Range<u32>| {
            range.flat_map(|n| naming("x", &format!("{n:03}"), at(1)).aliases).collect()
        };
        yes(&store, Commit { now: at(0), aliases: many(0..80), ..Commit::default() }).await;
        yes(&store, Commit { now: at(9), ..writing("v1", None, 1) }).await;
        assert_eq!(store.find("x", None).await.unwrap().len(), 80);
        for left in [16, 0] {
            yes(&store, Commit { now: at(9), ..naming("y", "v1", at(99)) }).await;
            assert_eq!(store.find("x", None).await.unwrap().len(), left);
        }
        assert_eq!(store.find("y", None).await.unwrap(), ["v1"]);
    }

    async fn pruning_is_bounded(store: Store) {
        let aliases = (0..100).flat_map(|n| naming("x", &format!("{n:03}"), at(1)).aliases);
        yes(&store, Commit { now: at(0), aliases: aliases.collect(), ..Commit::default() }).await;
        let mut left = vec![store.find("x", None).await.unwrap().len()];
        for secs in [5, 6, 10, 20] {
            claim(&store, secs, "a").await;
            left.push(store.find("x", None).await.unwrap().len());
        }
        assert_eq!(left, [100, 36, 36, 0, 0], "and done only by a claim that renews or takes");
    }

    async fn listed(store: &Store, query: ListQuery) -> Vec<String> {
        let page = store.list(&query).await.unwrap();
        page.rows.into_iter().map(|row| row.id).collect()
    }

    async fn creating(store: &Store, id: &str, group: &str, secs: u64) {
        let (group, created) = (group.to_owned(), at(secs));
        let record = RecordWrite { group, created, ..record(id, None, 1) };
        yes(store, Commit { record: Some(record), ..Commit::default() }).await;
    }

    fn of(group: &str) -> ListQuery {
        ListQuery { group: group.to_owned(), limit: 50, ..ListQuery::default() }
    }

    async fn a_list_is_newest_first_and_by_group(store: Store) {
        for (id, group, secs) in [
            ("a", "acme", 3),
            ("b", "acme", 1),
            ("c", "acme", 3),
            ("d", "acm", 2),
            ("e", "acmes", 2),
        ] {
            creating(&store, id, group, secs).await;
        }
        assert_eq!(listed(&store, of("acme")).await, ["c", "a", "b"]);
        assert_eq!(listed(&store, of("acm")).await, ["d"]);
        assert_eq!(listed(&store, of("none")).await, [""; 0]);
        let moved = RecordWrite { created: at(9), group: "acm".into(), ..record("c", Some(1), 2) };
        yes(&store, Commit { record: Some(moved), ..Commit::default() }).await;
        assert_eq!(listed(&store, of("acme")).await, ["a", "b"]);
        let page = store.list(&of("acm")).await.unwrap();
        assert_eq!((page.rows[0].version, page.rows[0].created), (2, at(9)));
        assert_eq!((page.rows[0].bytes.as_slice(), page.next), (&b"c at 2"[..], None));
    }

    async fn a_list_is_paged_without_gaps_or_repeats(store: Store) {
        for n in 0..23 {
            creating(&store, &format!("v{n:02}"), "acme", n / 3).await;
        }
        let expected: Vec<_> = (0..23).rev().map(|n| format!("v{n:02}")).collect();
        for limit in [0, 1, 4, 22, 23, 24] {
            let (mut cursor, mut seen, mut pages) = (None, Vec::new(), 0);
            loop {
                let page = store.list(&ListQuery { cursor, limit, ..of("acme") }).await.unwrap();
                pages += 1;
                assert!(page.rows.len() <= limit.max(1));
                seen.extend(page.rows.into_iter().map(|row| row.id));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
                creating(&store, &format!("new {limit} {pages}"), "acme", 100).await;
            }
            seen.retain(|id| !id.starts_with("new"));
            assert_eq!(seen, expected, "pages of {limit}");
        }
        let all = store.list(&ListQuery { limit: 9_999, ..of("acme") }).await.unwrap();
        assert!(all.rows.len() <= PAGE_MOST);
    }

    async fn a_list_keeps_to_its_time_range(store: Store) {
        for n in 0..10 {
            creating(&store, &n.to_string(), "acme", n).await;
        }
        let between = |from, until| ListQuery { from, until, ..of("acme") };
        assert_eq!(listed(&store, between(Some(at(3)), Some(at(6)))).await, ["5", "4", "3"]);
        assert_eq!(listed(&store, between(Some(at(8)), None)).await, ["9", "8"]);
        assert_eq!(listed(&store, between(None, Some(at(1)))).await, ["0"]);
        assert_eq!(listed(&store, between(Some(at(6)), Some(at(6)))).await, [""; 0]);
        assert_eq!(listed(&store, between(Some(at(6)), Some(at(3)))).await, [""; 0]);
        let first = ListQuery { limit: 2, ..between(Some(at(3)), Some(at(6))) };
        let cursor = store.list(&first).await.unwrap().next;
        assert_eq!(listed(&store, ListQuery { cursor, ..first }).await, ["3"]);
    }

    async fn a_foreign_cursor_is_refused(store: Store) {
        creating(&store, "v1", "acme", 1).await;
        for cursor in ["", "x", "zz.v1", "-1.v1", "."] {
            let query = ListQuery { cursor: Some(cursor.to_owned()), ..of("acme") };
            assert_eq!(store.list(&query).await, Err(StoreError::Cursor), "{cursor:?}");
        }
    }

    async fn a_tally_counts_within_its_window(store: Store) {
        let count = async |secs, add| counted(&store, secs, &[counter("k", 120, add)]).await;
        assert_eq!(count(0, 2).await, [2], "this call included");
        assert_eq!(count(60, 1).await, [3]);
        assert_eq!(count(119, 1).await, [4]);
        assert_eq!(count(130, 1).await, [3], "the first two have left");
        assert_eq!(count(190, 0).await, [2]);
        assert_eq!(count(260, 0).await, [0]);
        let keys = [counter("k", 60, 1), counter("j", 120, 5), counter("k", 60, 1)];
        assert_eq!(counted(&store, 300, &keys).await, [1, 5, 2], "in their order");
        claim(&store, 1_000, "a").await;
        assert_eq!(counted(&store, 1_000, &keys).await, [1, 5, 2], "and pruned");
        assert_eq!(counted(&store, 1_000, &[]).await, [0; 0]);
    }

    async fn a_tally_of_nothing_only_reads(store: Store) {
        let read = [counter("k", 60, 0)];
        assert_eq!(counted(&store, 0, &read).await, [0]);
        assert_eq!(counted(&store, 0, &[counter("k", 60, 3)]).await, [3]);
        assert_eq!(counted(&store, 1, &read).await, [3]);
        assert_eq!(counted(&store, 1, &read).await, [3]);
    }

    async fn a_tally_can_take_back_what_it_counted_and_no_more(store: Store) {
        assert_eq!(counted(&store, 0, &[counter("k", 60, 3)]).await, [3]);
        assert_eq!(counted(&store, 1, &[counter("k", 60, -2)]).await, [1]);
        assert_eq!(counted(&store, 2, &[counter("k", 60, -2)]).await, [0]);
        assert_eq!(counted(&store, 3, &[counter("k", 60, 1)]).await, [1]);
    }

    async fn a_tally_that_would_pass_a_limit_counts_nothing(store: Store) {
        let limited = |key, add, most| Counter { most: Some(most), ..counter(key, 120, add) };
        let both = [limited("k", 1, 2), limited("j", 2, 9)];
        assert_eq!(counted(&store, 0, &both).await, [1, 2]);
        assert_eq!(counted(&store, 60, &both).await, [2, 4]);
        let refused = store.tally(at(70), &both).await.unwrap();
        assert!(!refused.granted);
        let [k, j] = refused.counts[..] else { panic!("two counters") };
        assert_eq!((k.counted, j.counted), (2, 4), "neither was counted");
        assert_eq!((k.room_at, j.room_at), (Some(at(130)), Some(at(70))));
        let before = store.tally(at(129), &both).await.unwrap();
        assert!(!before.granted);
        assert_eq!(counted(&store, 130, &both).await, [2, 4], "when it said that there is room");
        // More than the limit can never be counted, and a counter that is full stands against others only.
        let never = store.tally(at(131), &[limited("j", 10, 9)]).await.unwrap();
        assert_eq!((never.granted, never.counts[0].room_at), (false, None));
        let one = store.tally(at(131), &[limited("j", 1, 9), limited("k", 0, 1)]).await.unwrap();
        assert!(!one.granted);
        // The same counter twice in one call counts twice.
        let twice = [limited("m", 1, 1), limited("m", 1, 1)];
        assert!(!store.tally(at(131), &twice).await.unwrap().granted);
        assert_eq!(counted(&store, 131, &[counter("m", 120, 0)]).await, [0]);
    }

    async fn a_tally_is_exact_in_parallel(store: Store) {
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let limited = Counter { most: Some(40), ..counter("k", 60, 1) };
                    store.tally(at(0), &[limited, counter("j", 60, 2)]).await.unwrap()
                })
            })
            .collect();
        let (mut told, mut refused) = (BTreeSet::new(), 0);
        for tally in calls {
            let tally = tally.await.unwrap();
            if tally.granted {
                told.insert(tally.counts.iter().map(|count| count.counted).collect::<Vec<_>>());
            } else {
                refused += 1;
            }
        }
        let expected: BTreeSet<_> = (1..=40).map(|n| vec![n, 2 * n]).collect();
        assert_eq!(
            (told, refused),
            (expected, 60),
            "every count is told once, and the rest refused"
        );
        assert_eq!(counted(&store, 0, &[counter("j", 60, 0)]).await, [80]);
    }

    async fn a_sweep_takes_a_few_of_the_old(store: Store) {
        for n in 0..10_u64 {
            let id = if n == 3 { "block/3".to_owned() } else { format!("vf_{n}") };
            let record = RecordWrite { created: at(n), wake: Some(at(99)), ..record(&id, None, 1) };
            let queue = vec![queued(&id, "deliver", at(99))];
            yes(&store, Commit { now: at(n), record: Some(record), queue, ..Commit::default() })
                .await;
        }
        assert_eq!(store.groups().await.unwrap(), ["acme"]);
        assert_eq!(store.sweep("acme", "vf_", at(8), 4).await, Ok(4));
        assert!(store.load("vf_4").await.unwrap().is_none());
        assert!(store.load("vf_5").await.unwrap().is_some());
        assert_eq!(store.sweep("acme", "vf_", at(8), 4).await, Ok(3));
        assert_eq!(store.sweep("acme", "vf_", at(8), 4).await, Ok(0));
        let list = ListQuery { group: "acme".into(), limit: 99, ..ListQuery::default() };
        let rows = store.list(&list).await.unwrap().rows;
        let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["vf_9", "vf_8", "block/3"]);
        // Neither effects nor wake-ups are left of them.
        let claimed = claim(&store, 99, "a").await;
        assert_eq!((claimed.effects.len(), claimed.wakes.len()), (3, 3));
    }

    async fn what_is_forgotten_is_gone_and_all_that_leads_to_it(store: Store) {
        for id in ["vf_1", "vf_2", "block/NAME", "block/OTHER"] {
            let wake = Some(at(50));
            let aliases = naming("alias", id, at(99)).aliases;
            let told = answer(&format!("start/{id}"), format!("{id}\n{{}}").as_bytes());
            let (queue, answer) = (vec![queued(id, "deliver", at(50))], Some(told));
            let commit = waking(id, None, 1, wake);
            yes(&store, Commit { queue, aliases, answer, ..commit }).await;
        }
        // What stands beside a record in a group of its own is named for it.
        let beside =
            RecordWrite { group: "/beside".to_owned(), ..record("beside/NAME/1", None, 1) };
        yes(&store, Commit { now: at(0), record: Some(beside), ..Commit::default() }).await;
        let notice = answer("notice/1", b"");
        yes(&store, Commit { now: at(0), answer: Some(notice), ..Commit::default() }).await;
        let counters = [counter("NAME", 60, 1), counter("NAME", 3_600, 1), counter("OTHER", 60, 1)];
        assert_eq!(counted(&store, 0, &counters).await, [1, 1, 1]);
        let forgotten = Forgotten {
            records: BTreeSet::from(["vf_1".to_owned()]),
            answers: vec!["notice/1".to_owned()],
            names: vec!["NAME".to_owned()],
        };
        assert_eq!(store.forget(forgotten.clone()).await, Ok(3));
        assert!(store.load("vf_1").await.unwrap().is_none());
        assert!(store.load("beside/NAME/1").await.unwrap().is_none());
        assert_eq!(listed(&store, of("/beside")).await, Vec::<String>::new());
        assert!(store.load("block/NAME").await.unwrap().is_none());
        assert!(store.load("vf_2").await.unwrap().is_some());
        assert_eq!(store.find("alias", None).await.unwrap(), ["vf_2", "block/OTHER"]);
        let left = counters.map(|it| Counter { add: 0, ..it });
        assert_eq!(counted(&store, 0, &left).await, [0, 0, 1]);
        for (key, there) in [("start/vf_1", false), ("notice/1", false), ("start/vf_2", true)] {
            assert_eq!(store.answered(at(1), key).await.unwrap().is_some(), there, "{key}");
        }
        let claimed = claim(&store, 50, "a").await;
        assert_eq!((claimed.effects.len(), claimed.wakes.len()), (2, 2));
        // What comes afterwards is as ever.
        yes(&store, writing("vf_1", None, 1)).await;
        assert_eq!(store.forget(forgotten).await, Ok(1));
    }

    fn open(dir: &Path) -> Store {
        Store::open(dir, &Vault::of("a key of tests")).unwrap()
    }

    #[tokio::test]
    async fn a_reopened_file_orphans_every_held_effect_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let taken = Queued { claimed_by: Some(owner("a")), ..queued("v1", "dial", at(0)) };
        let dial = Queued { once: true, ..taken };
        yes(&store, queueing(vec![dial, queued("v1", "sms", at(0)), queued("v1", "z", at(9))]))
            .await;
        assert_eq!(names(&claim(&store, 0, "a").await), ["sms"]);
        drop(store);
        for name in ["a", "b"] {
            let store = open(dir.path());
            let claimed = claim(&store, 1, name).await;
            assert_eq!(names(&claimed), ["dial", "sms"], "{name}: whatever it calls itself");
            assert!(claimed.effects.iter().all(|effect| effect.orphaned));
            assert_eq!(claimed.next_due, Some(at(9)));
        }
    }

    #[derive(Clone, Debug)]
    enum Verb {
        Commit(Box<Commit>),
        Claim(u8, usize),
        Tally(Vec<Counter>),
        Find(String, Option<String>),
        Holder(String),
        List(ListQuery),
        Load(String),
    }

    fn name() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a", "a\0", "ab", "b", "é"]).prop_map(str::to_owned)
    }

    fn soon() -> impl Strategy<Value = Timestamp> {
        (0..80_u64).prop_map(at)
    }

    fn some_effect() -> impl Strategy<Value = EffectId> {
        (name(), name()).prop_map(|(record, effect)| EffectId { record, effect })
    }

    fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..4)
    }

    fn some_record() -> impl Strategy<Value = RecordWrite> {
        let versions = (prop::option::of(0..3_u64), 0..3_u64);
        let wake = prop::option::of(soon());
        (name(), versions, some_bytes(), wake, name(), soon()).prop_map(
            |(id, (expected, version), bytes, wake, group, created)| RecordWrite {
                bytes,
                wake,
                group,
                created,
                ..record(&id, expected, version)
            },
        )
    }

    fn some_queued() -> impl Strategy<Value = Queued> {
        let some_owner = || prop::option::of((0..3_u8).prop_map(|n| owner(&n.to_string())));
        let (claimed_by, to) = (some_owner(), some_owner());
        (some_effect(), any::<u8>(), soon(), some_bytes(), any::<bool>(), claimed_by, to).prop_map(
            |(id, kind, due, bytes, once, claimed_by, to)| Queued {
                kind,
                bytes,
                once,
                claimed_by,
                to,
                ..queued(&id.record, &id.effect, due)
            },
        )
    }

    fn some_commit() -> impl Strategy<Value = Commit> {
        let postponed =
            (some_effect(), 0..3_u8, soon(), some_bytes()).prop_map(|(id, by, due, bytes)| {
                let owner = owner(&by.to_string());
                Postponed { id, owner, due, bytes }
            });
        let alias = (name(), name(), soon()).prop_map(|(alias, record, expires)| Alias {
            alias,
            record,
            expires,
        });
        let hold =
            (name(), name(), soon()).prop_map(|(name, record, until)| Hold { name, record, until });
        let answer = (name(), any::<[u8; 32]>(), some_bytes(), soon()).prop_map(
            |(key, fingerprint, bytes, expires)| Answer { key, fingerprint, bytes, expires },
        );
        (
            prop::option::of(some_record()),
            prop::collection::vec(some_queued(), 0..4),
            prop::collection::vec(some_effect(), 0..3),
            prop::collection::vec(postponed, 0..3),
            prop::collection::vec(alias, 0..3),
            prop::collection::vec(hold, 0..2),
            prop::option::weighted(0.2, answer),
        )
            .prop_map(|(record, queue, done, postpone, aliases, holds, answer)| Commit {
                now: at(0),
                record,
                queue,
                done,
                postpone,
                aliases,
                holds,
                answer,
            })
    }

    fn some_verb() -> impl Strategy<Value = Verb> {
        let counter = (name(), 1..40_u64, -2..3_i64, prop::option::of(0..9_u64))
            .prop_map(|(key, window, add, most)| Counter { most, ..counter(&key, window, add) });
        // What no other name is the beginning of.
        let before = prop::option::of(prop::sample::select(vec!["b".to_owned(), "é".to_owned()]));
        let cursor = prop::option::of((soon(), name()))
            .prop_map(|at| at.map(|(at, id)| format!("{:x}.{id}", at.as_micros())));
        let query =
            (name(), prop::option::of(soon()), prop::option::of(soon()), cursor, 0..4_usize)
                .prop_map(|(group, from, until, cursor, limit)| ListQuery {
                    from,
                    until,
                    cursor,
                    limit,
                    ..of(&group)
                });
        prop_oneof![
            6 => some_commit().prop_map(|commit| Verb::Commit(Box::new(commit))),
            4 => (0..3_u8, 0..6_usize).prop_map(|(owner, limit)| Verb::Claim(owner, limit)),
            2 => prop::collection::vec(counter, 0..3).prop_map(Verb::Tally),
            1 => (name(), before).prop_map(|(alias, before)| Verb::Find(alias, before)),
            1 => name().prop_map(Verb::Holder),
            1 => query.prop_map(Verb::List),
            1 => name().prop_map(Verb::Load),
        ]
    }

    /// What every backend answers to this; all say the same.
    async fn all(stores: &[Store], now: Timestamp, verb: &Verb) {
        let mut answers = Vec::new();
        for store in stores {
            answers.push(match verb {
                Verb::Commit(commit) => {
                    let commit = Commit { now, ..(**commit).clone() };
                    format!("{:?}", store.commit(commit).await)
                }
                Verb::Claim(n, limit) => {
                    format!("{:?}", store.claim(now, &owner(&n.to_string()), *limit).await)
                }
                Verb::Tally(counters) => format!("{:?}", store.tally(now, counters).await),
                Verb::Find(alias, before) => {
                    format!("{:?}", store.find(alias, before.as_deref()).await)
                }
                Verb::Holder(name) => format!("{:?}", store.holder(now, name).await),
                Verb::List(query) => format!("{:?}", store.list(query).await),
                Verb::Load(id) => format!("{:?}", store.load(id).await),
            });
        }
        for answer in &answers {
            assert_eq!(*answer, answers[0], "{verb:?} at {now:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_backend_gives_the_same_answers(
            verbs in prop::collection::vec((0..6_u64, some_verb()), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let dir = tempfile::tempdir().unwrap();
            runtime.block_on(async {
                let stores = [Store::memory(), open(dir.path()), servers::alone()];
                let mut secs = 0;
                for (step, verb) in verbs {
                    secs += step;
                    all(&stores, at(secs), &verb).await;
                }
                for n in 0..5 {
                    secs += 7;
                    all(&stores, at(secs), &Verb::Claim(n % 3, 100)).await;
                }
            });
        }
    }
}
