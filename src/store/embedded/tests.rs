//! What is true of the file alone; `tests/store.rs` holds what is true of every store.

use std::path::Path;
use std::time::Duration;

use redb::{Database, TableDefinition};

use super::Embedded;
use crate::ambient::Timestamp;
use crate::store::seal::Seal;
use crate::store::{
    Alias, Answer, Backend, Commit, Committed, Counter, EffectId, ListQuery, OpenError, Owner,
    Queued, RecordWrite, Store, StoreError,
};
use crate::verify::code::Vault;

mod disks;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

fn vault() -> Vault {
    Vault::of("a key of tests")
}

/// A store whose rows are as they are written.
fn open(dir: &Path) -> Store {
    over(Embedded::open(dir, &Seal::new(&vault()).unwrap()).unwrap())
}

fn over(embedded: Embedded) -> Store {
    Store { backend: Backend::Embedded(embedded), seal: None, hints: None, between: None }
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
    let queued =
        Queued { id: id.clone(), kind: 7, due: at(5), bytes, once, claimed_by: None, to: None };
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
    assert_eq!(store.find("alias", None).await.unwrap(), ["v1"]);
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
    assert_eq!(store.claim(at(900), &Owner::new("a"), 9).await.unwrap().wakes, ["v1"]);
    assert!(before == std::fs::read(&file).unwrap(), "nor what is handed out");
    commit(&store, "v2", None).await;
    assert!(before != std::fs::read(&file).unwrap());
}

#[tokio::test]
async fn a_wake_up_that_was_handed_out_is_due_at_once_for_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    commit(&store, "v1", Some(at(10))).await;
    assert_eq!(store.claim(at(10), &Owner::new("a"), 9).await.unwrap().wakes, ["v1"]);
    assert_eq!(store.claim(at(11), &Owner::new("b"), 9).await.unwrap().wakes, [""; 0]);
    drop(store);
    let claimed = open(dir.path()).claim(at(11), &Owner::new("b"), 9).await.unwrap();
    assert_eq!(claimed.wakes, ["v1"]);
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
    let second = Store::open(&dir, &vault()).unwrap_err();
    assert!(matches!(second, OpenError::Locked { .. }), "{second:?}");
    assert!(second.to_string().ends_with("octothorpe.redb is in use by another process"));
    let clone = store.clone();
    drop(store);
    assert!(Store::open(&dir, &vault()).is_err(), "a clone keeps it open");
    drop(clone);
    open(&dir);
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let error = Store::open(Path::new("/sys/octothorpe"), &vault()).unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().starts_with("the store /sys/octothorpe cannot be written: "));
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Store::open(&file.path().join("below"), &vault()).unwrap_err();
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
    let error = Store::open(dir.path(), &vault()).unwrap_err();
    assert!(matches!(error, OpenError::Schema { found: 77, .. }), "{error:?}");
    assert!(error.to_string().contains("schema version 77, and this program reads version 2"));
    edit(None);
    let error = Store::open(dir.path(), &vault()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("octothorpe.redb");
    std::fs::write(&file, [b'#'; 9_000]).unwrap();
    let error = Store::open(dir.path(), &vault()).unwrap_err();
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
    let error = Store::open(dir.path(), &vault()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    std::fs::write(&file, whole).unwrap();
    assert!(open(dir.path()).load("v49").await.unwrap().is_some());
}

const NUMBER: &str = "+14155550132";

/// A record, an effect, an alias and an answer, each of which has the number in it.
fn everything() -> Commit {
    let id = EffectId { record: "vf_1".into(), effect: "deliver".into() };
    let bytes = format!("\u{1}{{\"to\":\"{NUMBER}\"}}").into_bytes();
    let record = RecordWrite {
        id: "vf_1".into(),
        expected: None,
        version: 1,
        bytes: bytes.clone(),
        wake: Some(at(7)),
        group: "acme".into(),
        created: at(0),
    };
    let queued = Queued {
        id,
        kind: 3,
        due: at(5),
        bytes: bytes.clone(),
        once: false,
        claimed_by: None,
        to: None,
    };
    let alias = Alias { alias: NUMBER.into(), record: "vf_1".into(), expires: at(99) };
    let key = format!("start/acme/{NUMBER}");
    let answer = Answer { key, fingerprint: [9; 32], bytes, expires: at(99) };
    Commit {
        now: at(0),
        record: Some(record),
        queue: vec![queued],
        aliases: vec![alias],
        answer: Some(answer),
        ..Commit::default()
    }
}

/// Everything is read as it was written.
async fn is_all_there(store: &Store) {
    let wanted = everything();
    let bytes = wanted.record.unwrap().bytes;
    assert_eq!(store.load("vf_1").await.unwrap().unwrap().bytes, bytes);
    let list = ListQuery { group: "acme".into(), limit: 9, ..ListQuery::default() };
    assert_eq!(store.list(&list).await.unwrap().rows[0].bytes, bytes);
    assert_eq!(store.find(NUMBER, None).await.unwrap(), ["vf_1"]);
    let key = format!("start/acme/{NUMBER}");
    let given = store.answered(at(1), &key).await.unwrap().unwrap();
    assert_eq!((given.fingerprint, given.bytes), ([9; 32], bytes.clone()));
    let again = Commit { now: at(1), answer: everything().answer, ..Commit::default() };
    let answered = Committed::Answered { fingerprint: [9; 32], bytes: bytes.clone() };
    assert_eq!(store.commit(again).await, Ok(answered));
    let claimed = store.claim(at(7), &Owner::new("c"), 9).await.unwrap();
    assert_eq!(claimed.wakes, ["vf_1"]);
    assert_eq!(claimed.effects[0].bytes, bytes);
}

fn holds(dir: &Path, text: &str) -> bool {
    let file = std::fs::read(dir.join("octothorpe.redb")).unwrap();
    file.windows(text.len()).any(|it| it == text.as_bytes())
}

/// Puts a file there that the version of this program wrote whose stores had this schema.
fn earlier(dir: &Path, schema: u32) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/store");
    std::fs::copy(folder.join(format!("schema-{schema}.redb")), dir.join("octothorpe.redb"))
        .unwrap();
}

/// All that is in such a file, besides a name that was taken.
async fn is_taken_over(store: &Store) {
    is_all_there(store).await;
    let claimed = store.claim(at(30), &Owner::new("d"), 9).await.unwrap();
    let effects: Vec<_> =
        claimed.effects.iter().map(|it| (it.id.effect.as_str(), it.orphaned)).collect();
    assert_eq!(effects, [("deliver", true), ("dial", true)], "of an owner that was lost since");
    let counter = Counter {
        key: "number/acme/x".into(),
        window: Duration::from_secs(60),
        add: 1,
        most: None,
    };
    assert_eq!(store.tally(at(1), &[counter]).await.unwrap().counts[0].counted, 4);
}

#[tokio::test]
async fn a_store_in_the_clear_is_refused_until_it_is_sealed_once() {
    let dir = tempfile::tempdir().unwrap();
    earlier(dir.path(), 1);
    assert!(holds(dir.path(), NUMBER));
    let refused = Store::open(dir.path(), &vault()).unwrap_err();
    assert!(refused.to_string().contains("`octothorpe store seal`"), "{refused}");
    assert_eq!(Store::upgrade(dir.path(), &vault()).unwrap(), 1);
    // The names of counts and of what is taken were keyed in versions after that.
    assert!(!holds(dir.path(), NUMBER) && !holds(dir.path(), "4155550132"));
    let store = Store::open(dir.path(), &vault()).unwrap();
    is_taken_over(&store).await;
    drop(store);
    let twice = Store::upgrade(dir.path(), &vault()).unwrap_err();
    assert!(twice.to_string().contains("sealed already"), "{twice}");
    let nothing = Store::upgrade(&dir.path().join("elsewhere"), &vault()).unwrap_err();
    assert!(matches!(nothing, OpenError::Io { .. }), "{nothing:?}");
}

#[tokio::test]
async fn a_store_of_an_earlier_version_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    earlier(dir.path(), 2);
    let store = Store::open(dir.path(), &vault()).unwrap();
    let name = format!("call/{NUMBER}");
    assert_eq!(store.holder(at(1), &name).await.unwrap().unwrap().record, "vf_1");
    is_taken_over(&store).await;
    drop(store);
    // It counts its changes from now on.
    let file = dir.path().join("octothorpe.redb");
    let older = std::fs::read(&file).unwrap();
    commit(&open(dir.path()), "vf_3", None).await;
    std::fs::write(&file, older).unwrap();
    let refused = Store::open(dir.path(), &vault()).unwrap_err();
    assert!(matches!(refused, OpenError::Behind { .. }), "{refused:?}");
}

#[tokio::test]
async fn an_exchanged_key_reads_what_the_former_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &vault()).unwrap();
    store.commit(everything()).await.unwrap();
    drop(store);
    assert!(!holds(dir.path(), NUMBER));
    let new = Vault::of("another key");
    let refused = Store::open(dir.path(), &new).unwrap_err();
    assert!(matches!(refused, OpenError::Key { .. }), "{refused:?}");
    assert!(refused.to_string().contains("store.older_secrets"), "{refused}");
    let store = Store::open(dir.path(), &new.clone().with_older([vault()])).unwrap();
    is_all_there(&store).await;
    drop(store);
    // What the former key wrote is not believed without it; the rest goes on.
    let store = Store::open(dir.path(), &new).unwrap();
    assert_eq!(store.load("vf_1").await, Err(StoreError::Tampered("record")));
    commit(&store, "vf_2", None).await;
    assert!(store.load("vf_2").await.unwrap().is_some());
}

#[tokio::test]
async fn what_somebody_else_wrote_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &vault()).unwrap();
    store.commit(everything()).await.unwrap();
    commit(&store, "vf_2", None).await;
    drop(store);
    let edit = open(dir.path());
    let rows = |id: &'static str| edit.load(id);
    // One record's bytes under another's id, an answer's under another's name, an alias that leads
    // elsewhere, an effect in the clear.
    let one = rows("vf_1").await.unwrap().unwrap();
    let record = RecordWrite {
        id: "vf_2".into(),
        expected: Some(1),
        version: 1,
        bytes: one.bytes,
        wake: None,
        group: "acme".into(),
        created: at(0),
    };
    let seal = Seal::new(&vault()).unwrap();
    let name = seal.alias_names(NUMBER).next().unwrap();
    let tag = edit.find(&name, None).await.unwrap()[0].split_once('~').unwrap().1.to_owned();
    let alias = Alias { alias: name, record: format!("vf_2~{tag}"), expires: at(99) };
    let id = EffectId { record: "vf_2".into(), effect: "dial".into() };
    let bytes = b"\x01{\"dial\":{\"attempt\":1}}".to_vec();
    let queued = Queued { id, kind: 1, due: at(5), bytes, once: true, claimed_by: None, to: None };
    let forged = Commit {
        now: at(1),
        record: Some(record),
        aliases: vec![alias],
        queue: vec![queued],
        ..Commit::default()
    };
    assert_eq!(edit.commit(forged).await, Ok(Committed::Yes));
    drop(edit);

    let store = Store::open(dir.path(), &vault()).unwrap();
    assert_eq!(store.load("vf_2").await, Err(StoreError::Tampered("record")));
    is_all_there(&store).await;
}
