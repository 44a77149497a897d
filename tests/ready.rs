//! How soon a node is ready whose process was killed with 100,000 verifications open.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "it measures what people wait for"))]

#[cfg(test)]
mod ready {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use octothorpe::ambient::Timestamp;
    use octothorpe::store::{
        Alias, Answer, Commit, Committed, EffectId, Owner, Queued, RecordWrite, Store,
    };
    use octothorpe::verify::code::Vault;
    use tokio::task::JoinSet;

    const OPEN: usize = 100_000;

    /// As long as the promise; a build for tests takes five times as long for the same.
    const LIMIT: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 2 });

    /// One in this many has its call placed right now, by the process that is killed.
    const UNDER_WAY: usize = 20;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + secs)
    }

    fn vault() -> Vault {
        Vault::of("a key of tests")
    }

    /// As much as a start writes.
    fn start(n: usize) -> Commit {
        let id = format!("vf_{n:026}");
        let created = Timestamp::from_micros(at(0).as_micros() + n as u64);
        let record = RecordWrite {
            id: id.clone(),
            expected: None,
            version: 1,
            bytes: vec![b'x'; 900],
            wake: Some(created + Duration::from_secs(300)),
            group: format!("tenant-{}", n % 7),
            created,
        };
        let call = |_| Queued {
            id: EffectId { record: id.clone(), effect: "dial-1".into() },
            kind: 1,
            due: created,
            bytes: vec![b'x'; 40],
            once: true,
            claimed_by: Some(Owner::new("killed")),
            to: None,
        };
        let answer = Answer {
            key: format!("start/tenant/{n}"),
            fingerprint: [7; 32],
            bytes: vec![b'x'; 700],
            expires: created + Duration::from_secs(86_400),
        };
        let alias = Alias { alias: format!("number/{n}"), record: id.clone(), expires: at(900) };
        Commit {
            now: created,
            record: Some(record),
            queue: n.is_multiple_of(UNDER_WAY).then(|| call(n)).into_iter().collect(),
            aliases: vec![alias],
            answer: Some(answer),
            ..Commit::default()
        }
    }

    async fn fill(store: &Store) {
        let mut writing = JoinSet::new();
        for n in 0..OPEN {
            if writing.len() >= 512 {
                writing.join_next().await.unwrap().unwrap();
            }
            let store = store.clone();
            writing.spawn(async move {
                assert_eq!(store.commit(start(n)).await, Ok(Committed::Yes));
            });
        }
        while let Some(written) = writing.join_next().await {
            written.unwrap();
        }
    }

    /// What a killed process leaves.
    fn left(from: &Path, to: &Path) -> u64 {
        fs::create_dir(to).unwrap();
        fs::copy(from.join("octothorpe.mark"), to.join("octothorpe.mark")).unwrap();
        fs::copy(from.join("octothorpe.redb"), to.join("octothorpe.redb")).unwrap()
    }

    #[tokio::test]
    async fn a_killed_node_is_ready_soon_with_100000_verifications_open() {
        let dir = tempfile::tempdir().unwrap();
        let (before, after) = (dir.path().join("before"), dir.path().join("after"));
        let store = Store::open(&before, &vault()).unwrap();
        let began = Instant::now();
        fill(&store).await;
        let filled = began.elapsed();
        let bytes = left(&before, &after);

        let began = Instant::now();
        let next = Store::open(&after, &vault()).unwrap();
        let opened = began.elapsed();
        let claimed = next.claim(at(1), &Owner::new("next"), 256).await.unwrap();
        let ready = began.elapsed();
        println!(
            "{OPEN} open in {} MiB, written in {filled:.1?}: opened in {opened:.2?}, first claim \
             after {ready:.2?}",
            bytes >> 20
        );
        assert_eq!(claimed.effects.len(), 256);
        assert!(claimed.effects.iter().all(|effect| effect.orphaned));
        assert!(ready < LIMIT, "ready after {ready:?}");

        let began = Instant::now();
        let copy = dir.path().join("copy");
        let bytes = next.back_up(&copy).unwrap();
        println!("a backup of {} MiB in {:.2?}", bytes >> 20, began.elapsed());
        let began = Instant::now();
        let (before, after) = next.compact().await.unwrap();
        let took = began.elapsed();
        println!("compacted from {} MiB to {} MiB in {took:.2?}", before >> 20, after >> 20);
    }
}
