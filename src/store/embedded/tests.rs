//! What is true of the file alone; `tests/store.rs` holds what is true of every store.

use std::path::Path;
use std::time::Duration;

use redb::{Database, TableDefinition};

use crate::ambient::Timestamp;
use crate::store::{
    Alias, Answer, Commit, Committed, Counter, EffectId, ListQuery, OpenError, Owner, Queued,
    RecordWrite, Store,
};

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

fn open(dir: &Path) -> Store {
    Store::open(dir).unwrap()
}

async fn commit(store: &Store, id: &str, wake: Option<Timestamp>) {
    let record = RecordWrite {
        id: id.to_owned(),
        expected: None,
        version: 1,
        bytes: format!("{id} at 1").into_bytes(),
        wake,
        group: "acme".to_owned(),
        created: at(0),
    };
    let commit = Commit { now: at(0), record: Some(record), ..Commit::default() };
    assert_eq!(store.commit(commit).await, Ok(Committed::Yes));
}

async fn claim(store: &Store, secs: u64) {
    store.claim(at(secs), &Owner::new("a"), 100).await.unwrap();
}

#[tokio::test]
async fn a_reopened_file_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    commit(&store, "v1", Some(at(7))).await;
    let id = EffectId { record: "v1".into(), effect: "x".into() };
    let (bytes, once) = (b"kept".to_vec(), false);
    let queued = Queued { id: id.clone(), kind: 7, due: at(5), bytes, once, claimed_by: None };
    let alias = Alias { alias: "alias".into(), record: "v1".into(), expires: at(99) };
    let (key, expires, bytes) = ("key".to_owned(), at(99), b"kept".to_vec());
    let answered = Commit {
        now: at(0),
        answer: Some(Answer { key, fingerprint: [9; 32], bytes, expires }),
        ..Commit::default()
    };
    let all = Commit { queue: vec![queued], aliases: vec![alias], ..answered.clone() };
    assert_eq!(store.commit(all).await, Ok(Committed::Yes));
    let counter =
        [Counter { key: "k".into(), window: Duration::from_secs(60), add: 3, most: None }];
    assert_eq!(store.tally(at(0), &counter).await.unwrap().counts[0].counted, 3);
    drop(store);

    let store = open(dir.path());
    assert_eq!(store.load("v1").await.unwrap().unwrap().bytes, b"v1 at 1");
    assert_eq!(store.find("alias").await.unwrap(), ["v1"]);
    let list = ListQuery { group: "acme".into(), limit: 9, ..ListQuery::default() };
    assert_eq!(store.list(&list).await.unwrap().rows.len(), 1);
    assert_eq!(store.tally(at(1), &counter).await.unwrap().counts[0].counted, 6);
    let given = Committed::Answered { fingerprint: [9; 32], bytes: b"kept".to_vec() };
    assert_eq!(store.commit(answered).await, Ok(given));
    let claimed = store.claim(at(7), &Owner::new("b"), 9).await.unwrap();
    assert_eq!(claimed.wakes, ["v1"]);
    let [effect] = claimed.effects.as_slice() else { panic!("{claimed:?}") };
    assert_eq!((&effect.id, effect.bytes.as_slice(), effect.orphaned), (&id, &b"kept"[..], false));
}

#[tokio::test]
async fn an_idle_claim_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    commit(&store, "v1", Some(at(900))).await;
    claim(&store, 0).await;
    let file = dir.path().join("octothorpe.redb");
    let before = std::fs::read(&file).unwrap();
    for secs in 0..60 {
        claim(&store, secs).await;
    }
    assert!(before == std::fs::read(&file).unwrap(), "not even its lease");
    claim(&store, 900).await;
    assert!(before != std::fs::read(&file).unwrap());
}

#[tokio::test]
async fn a_file_is_for_one_process_and_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("new").join("store");
    let store = open(&dir);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("octothorpe.redb")), 0o600);
    let second = Store::open(&dir).unwrap_err();
    assert!(matches!(second, OpenError::Locked { .. }), "{second:?}");
    assert!(second.to_string().ends_with("octothorpe.redb is in use by another process"));
    let clone = store.clone();
    drop(store);
    assert!(Store::open(&dir).is_err(), "a clone keeps it open");
    drop(clone);
    open(&dir);
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let error = Store::open(Path::new("/sys/octothorpe")).unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().starts_with("the store /sys/octothorpe cannot be written: "));
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Store::open(&file.path().join("below")).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
}

#[test]
fn a_file_of_another_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let file = dir.path().join("octothorpe.redb");
    let meta = TableDefinition::<&str, u32>::new("meta");
    let edit = |version: Option<u32>| {
        let database = Database::open(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        match version {
            Some(version) => {
                let mut table = transaction.open_table(meta).unwrap();
                table.insert("schema", version).unwrap();
            }
            None => assert!(transaction.delete_table(meta).unwrap()),
        }
        transaction.commit().unwrap();
    };
    edit(Some(77));
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Schema { found: 77, .. }), "{error:?}");
    assert!(error.to_string().contains("schema version 77, and this program reads version 1"));
    edit(None);
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("octothorpe.redb");
    std::fs::write(&file, [b'#'; 9_000]).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    std::fs::remove_file(&file).unwrap();

    let store = open(dir.path());
    for n in 0..50 {
        commit(&store, &format!("v{n}"), None).await;
    }
    drop(store);
    let whole = std::fs::read(&file).unwrap();
    // Every page that holds a record, so that one of them is live.
    let mut damaged = whole.clone();
    for place in 0..whole.len() - 8 {
        if &whole[place..place + 5] == b" at 1" {
            damaged[place] = b'_';
        }
    }
    std::fs::write(&file, damaged).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    std::fs::write(&file, whole).unwrap();
    assert!(open(dir.path()).load("v49").await.unwrap().is_some());
}
