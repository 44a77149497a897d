//! Disks that are full, that fail, that lose the end of a file or change a byte of it; and copies.

use std::fs;
use std::sync::atomic::Ordering;

use super::*;

/// A store, and what reaches its disk.
fn opened(dir: &Path) -> (Store, Embedded) {
    let embedded = Embedded::open(dir, &Seal::new(&vault()).unwrap()).unwrap();
    (over(embedded.clone()), embedded)
}

fn record(id: &str, bytes: Vec<u8>) -> RecordWrite {
    RecordWrite {
        id: id.to_owned(),
        expected: None,
        version: 1,
        bytes,
        wake: None,
        group: "acme".to_owned(),
        created: at(0),
    }
}

/// A record, and a call that its committer carries out.
fn with_call(id: &str, owner: &str) -> Commit {
    let effect = EffectId { record: id.into(), effect: "dial".into() };
    let claimed_by = Some(Owner::new(owner));
    let (bytes, once) = (b"call".to_vec(), true);
    let queued = Queued { id: effect, kind: 1, due: at(0), bytes, once, claimed_by, to: None };
    let record = Some(record(id, b"one".to_vec()));
    Commit { now: at(0), record, queue: vec![queued], ..Commit::default() }
}

/// Until it is tried again.
async fn a_second() {
    tokio::time::sleep(Duration::from_millis(1_050)).await;
}

#[tokio::test]
async fn a_full_disk_finishes_what_is_under_way_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let (store, embedded) = opened(dir.path());
    let faults = &embedded.0.file.reserve.faults;
    commit(&store, "v1", None).await;
    assert_eq!(store.trouble(), None);
    faults.room.store(0, Ordering::SeqCst);
    for n in 2..20 {
        commit(&store, &format!("v{n}"), None).await;
    }
    assert_eq!(store.trouble(), Some(StoreError::Full), "nothing new is begun");

    // And then what was kept is used up, too.
    let mut written = 0;
    let full = loop {
        let big = record(&format!("big{written}"), vec![7; 500_000]);
        match store.commit(Commit { now: at(1), record: Some(big), ..Commit::default() }).await {
            Ok(done) => assert_eq!(done, Committed::Yes),
            Err(error) => break error,
        }
        written += 1;
        assert!(written < 20, "nothing is full");
    };
    assert_eq!((full, written > 2), (StoreError::Full, true));
    assert!(store.load("v19").await.unwrap().is_some(), "reading goes on");
    assert!(store.load(&format!("big{}", written - 1)).await.unwrap().is_some());
    assert_eq!(store.load(&format!("big{written}")).await, Ok(None));
    faults.room.store(0, Ordering::SeqCst);
    a_second().await;
    let refused = Commit { now: at(1), record: Some(record("v20", vec![1])), ..Commit::default() };
    assert_eq!(store.commit(refused).await, Err(StoreError::Full));

    faults.room.store(i64::MIN, Ordering::SeqCst);
    assert_eq!(store.trouble(), None, "as soon as there is room");
    a_second().await;
    commit(&store, "v20", None).await;
    drop((store, embedded));
    let store = open(dir.path());
    for n in 1..=20 {
        assert!(store.load(&format!("v{n}")).await.unwrap().is_some(), "v{n}");
    }
}

#[tokio::test]
async fn what_a_failed_sync_may_have_written_is_told_to_nobody_and_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (store, embedded) = opened(dir.path());
    let faults = &embedded.0.file.reserve.faults;
    commit(&store, "v1", None).await;
    faults.syncs.store(1, Ordering::SeqCst);
    let failed = store.commit(with_call("v2", "a")).await;
    assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
    // It is on the disk after all, as it was only the sync that failed.
    assert!(store.load("v2").await.unwrap().is_some());
    let early = store.claim(at(1), &Owner::new("a"), 9).await.map(|it| it.effects);
    assert!(early.is_err() || early == Ok(Vec::new()), "{early:?}");
    a_second().await;
    // Its committer lives, and was not told that it has the call to place.
    let claimed = store.claim(at(2), &Owner::new("a"), 9).await.unwrap();
    let [effect] = claimed.effects.as_slice() else { panic!("{claimed:?}") };
    assert_eq!((effect.id.record.as_str(), effect.orphaned), ("v2", false));

    // The same of a claim; a call that somebody was lost with stays lost.
    faults.syncs.store(1, Ordering::SeqCst);
    let late = store.claim(at(60), &Owner::new("b"), 9).await;
    assert!(matches!(late, Err(StoreError::Failed(_))), "{late:?}");
    a_second().await;
    commit(&store, "v4", None).await;
    let claimed = store.claim(at(61), &Owner::new("b"), 9).await.unwrap();
    let [effect] = claimed.effects.as_slice() else { panic!("{claimed:?}") };
    assert_eq!((effect.id.record.as_str(), effect.orphaned), ("v2", true));
}

#[tokio::test]
async fn nothing_is_told_while_syncs_fail() {
    let dir = tempfile::tempdir().unwrap();
    let (store, embedded) = opened(dir.path());
    let faults = &embedded.0.file.reserve.faults;
    commit(&store, "v1", None).await;
    faults.syncs.store(usize::MAX, Ordering::SeqCst);
    let failed = store.commit(with_call("v2", "a")).await;
    assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
    for _ in 0..2 {
        assert!(matches!(store.trouble(), Some(StoreError::Failed(_))));
        for id in ["v1", "v2"] {
            assert!(matches!(store.load(id).await, Err(StoreError::Failed(_))), "{id}");
        }
        a_second().await;
        let claimed = store.claim(at(1), &Owner::new("a"), 9).await;
        assert!(matches!(claimed, Err(StoreError::Failed(_))), "{claimed:?}");
    }
    faults.syncs.store(0, Ordering::SeqCst);
    a_second().await;
    let claimed = store.claim(at(2), &Owner::new("a"), 9).await.unwrap();
    assert_eq!(claimed.effects.len(), 1, "it works again");
    assert_eq!(store.trouble(), None);
    assert!(store.load("v1").await.unwrap().is_some());
}

/// A file of 40 records, as a killed process leaves it or as one that ended, and its mark.
async fn written(dir: &Path, killed: bool) -> (Vec<u8>, Vec<u8>) {
    let read = || ["octothorpe.redb", "octothorpe.mark"].map(|it| fs::read(dir.join(it)).unwrap());
    let store = open(dir);
    for n in 0..40 {
        commit(&store, &format!("v{n}"), Some(at(900))).await;
    }
    let killed = killed.then(read);
    drop(store);
    let [file, mark] = killed.unwrap_or_else(read);
    (file, mark)
}

/// Whether all is there, or the file is refused.
async fn is_whole(dir: &Path, damage: &str) -> bool {
    let embedded = match Embedded::open(dir, &Seal::new(&vault()).unwrap()) {
        Ok(embedded) => embedded,
        Err(error @ (OpenError::Corrupt { .. } | OpenError::Behind { .. })) => {
            let told = error.to_string();
            assert!(told.contains("octothorpe.redb") && told.contains("in its place"), "{told}");
            return false;
        }
        Err(error) => panic!("{damage}: {error:?}"),
    };
    let store = over(embedded);
    for n in 0..40 {
        let id = format!("v{n}");
        let found = store.load(&id).await.unwrap().unwrap_or_else(|| panic!("{damage}: no {id}"));
        assert_eq!(found.bytes, format!("{id} at 1").into_bytes(), "{damage}");
    }
    let claimed = store.claim(at(900), &Owner::new("a"), 100).await.unwrap();
    assert_eq!(claimed.wakes.len(), 40, "{damage}");
    true
}

#[tokio::test]
async fn a_file_that_was_cut_or_changed_is_whole_or_refused() {
    let (mut whole, mut refused) = (0, 0);
    for killed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (file, mark) = written(dir.path(), killed).await;
        let header = (0..320).step_by(3);
        let pages = (320..file.len()).step_by((file.len() / 120) | 1);
        let flips = header.chain(pages).map(|place| {
            let mut bytes = file.clone();
            bytes[place] ^= 1 << (place % 8);
            (format!("a bit of byte {place}"), bytes)
        });
        let cuts = (0..file.len()).step_by(4096).chain((0..file.len()).step_by(4999));
        let cuts = cuts.map(|length| (format!("cut to {length}"), file[..length].to_vec()));
        for (damage, bytes) in flips.chain(cuts) {
            fs::write(dir.path().join("octothorpe.redb"), bytes).unwrap();
            fs::write(dir.path().join("octothorpe.mark"), &mark).unwrap();
            let damage = format!("{damage}, killed: {killed}");
            match is_whole(dir.path(), &damage).await {
                true => whole += 1,
                false => refused += 1,
            }
        }
    }
    assert!(whole > 50 && refused > 50, "{whole} whole, {refused} refused");
}

#[tokio::test]
async fn an_older_copy_is_refused_and_a_backup_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("octothorpe.redb");
    let store = open(dir.path());
    commit(&store, "v1", None).await;
    drop(store);
    let older = fs::read(&file).unwrap();
    let store = open(dir.path());
    commit(&store, "v2", None).await;
    // While somebody writes.
    let backup = dir.path().join("kept.redb");
    let bytes = tokio::task::spawn_blocking({
        let (store, backup) = (store.clone(), backup.clone());
        move || store.back_up(&backup).unwrap()
    });
    commit(&store, "v3", None).await;
    assert_eq!(bytes.await.unwrap(), fs::metadata(&backup).unwrap().len());
    for n in 4..9 {
        commit(&store, &format!("v{n}"), None).await;
    }
    drop(store);

    fs::write(&file, older).unwrap();
    let refused = Store::open(dir.path(), &vault()).unwrap_err();
    assert!(matches!(refused, OpenError::Behind { missing: 8.., .. }), "{refused:?}");
    assert!(refused.to_string().contains("remove octothorpe.mark"), "{refused}");
    fs::remove_file(&file).unwrap();
    let refused = Store::open(dir.path(), &vault()).unwrap_err();
    assert!(matches!(refused, OpenError::Behind { .. }), "it was there: {refused:?}");

    fs::copy(&backup, &file).unwrap();
    let store = open(dir.path());
    assert!(store.load("v2").await.unwrap().is_some());
    assert_eq!(store.load("v8").await, Ok(None));
    commit(&store, "v8", None).await;
    drop(store);
    // On purpose.
    fs::copy(&backup, &file).unwrap();
    Store::open(dir.path(), &vault()).unwrap_err();
    fs::remove_file(dir.path().join("octothorpe.mark")).unwrap();
    assert_eq!(open(dir.path()).load("v8").await, Ok(None));
}

#[tokio::test]
async fn a_compacted_file_takes_less_and_has_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..60 {
        let big = record(&format!("vf_{n}"), vec![7; 50_000]);
        let big = Commit { now: at(0), record: Some(big), ..Commit::default() };
        assert_eq!(store.commit(big).await, Ok(Committed::Yes));
    }
    commit(&store, "kept", None).await;
    assert_eq!(store.sweep("acme", "vf_", at(9), 100).await, Ok(60));
    let (before, after) = store.compact().await.unwrap();
    assert!(after < before, "{before} {after}");
    assert!(after < 200_000, "{after}");
    commit(&store, "later", None).await;
    drop(store);
    let store = open(dir.path());
    for id in ["kept", "later"] {
        assert!(store.load(id).await.unwrap().is_some(), "{id}");
    }
}
