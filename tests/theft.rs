//! What a thief learns from a store without the gateway's key, and what somebody who writes it can do:
//! nothing that is worth it, and nothing that is believed. It needs `redis-server` (`tests/run peers` installs it).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use memchr::memmem;
use octothorpe::ambient::{Clock, Entropy};
use octothorpe::carrier::{Body, Receipt};
use octothorpe::gateway::resource::{render, render_checked};
use octothorpe::gateway::settings::{Settings, Tenant, Texting};
use octothorpe::gateway::{
    AnswerOf, Answered, Asked, Failure, Gateway, Hands, Idempotency, Listing,
};
use octothorpe::store::record::Delivery;
use octothorpe::store::{RedisSettings, Store};
use octothorpe::verify::attempt::AttemptNo;
use octothorpe::verify::block::{List, Target, Why};
use octothorpe::verify::code::{Pin, Vault};
use octothorpe::verify::limits::{Limits, Rate};
use octothorpe::verify::number::PhoneNumber;
use octothorpe::verify::policy::Rules;
use octothorpe::verify::request::{Channel, Mode, Request, Way};
use octothorpe::verify::route::{Rule, Table};
use octothorpe::verify::signal::{Farewell, Status};
use octothorpe::verify::text::Texts;
use octothorpe::verify::{Verification, VerificationId};
use redb::{Database, DatabaseError, ReadableDatabase as _, TableDefinition};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use servers::Server;

#[expect(dead_code, reason = "the tests of the store need more of it")]
#[path = "store/servers.rs"]
mod servers;

/// How many people are asked.
const PEOPLE: u32 = 200;

/// How many guesses a thief makes at numbers, and how many at codes: all there are.
const GUESSES: u32 = 1_000_000;

const KEY: &str = "the key that the thief has not";
const PIN: &str = "73510482";

#[derive(Clone, Copy)]
struct Nobody;

impl Hands for Nobody {
    async fn place(&self, verification: &Verification, no: AttemptNo) -> Receipt {
        Receipt::Taken(format!("SM-{}-{no}", verification.id))
    }

    async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {}

    async fn write(&self, _: &str, _: &PhoneNumber, _: &Body, _: &str) {}

    async fn deliver(&self, _: &Delivery) -> Result<(), Failure> {
        Ok(())
    }
}

fn number(n: u32) -> String {
    format!("+4915{:09}", 112_345_000 + n * 7)
}

fn vault() -> Vault {
    Vault::of(KEY)
}

fn tenant() -> Tenant {
    let de = BTreeSet::from(["DE".parse().unwrap()]);
    let mut limits = Limits::standard();
    limits.rates.iter_mut().for_each(|(_, rate)| *rate = Rate::new(9_999, rate.window));
    Tenant {
        rules: Rules { voice_countries: de.clone(), sms_countries: de },
        texting: Texting { code_digits: 6, ..Texting::default() },
        limits,
        ..Tenant::new("acme")
    }
}

/// Where a store is that can be stolen, or written by somebody else.
enum Kept {
    Disk(TempDir),
    Redis(Server, Box<RedisSettings>),
}

/// A record as it is kept.
#[derive(Clone)]
struct Row {
    version: u64,
    created: u64,
    group: String,
    bytes: Vec<u8>,
}

impl Kept {
    fn on_disk() -> Self {
        Self::Disk(tempfile::tempdir().unwrap())
    }

    fn in_redis() -> Self {
        // What is compressed shows less than is there.
        let server = Server::redis(&["--rdbcompression", "no"]);
        let settings = servers::settings(server.place());
        Self::Redis(server, Box::new(settings))
    }

    fn store(&self) -> Store {
        match self {
            Self::Disk(dir) => Store::open(dir.path(), &vault()).unwrap(),
            Self::Redis(_, settings) => {
                Store::redis((**settings).clone(), &vault(), &Clock::system()).unwrap()
            }
        }
    }

    /// All that a thief takes away: the folder, or the dump of the server.
    fn stolen(&self) -> Vec<u8> {
        let dir = match self {
            Self::Disk(dir) => dir.path().to_owned(),
            Self::Redis(server, _) => {
                assert_eq!(server.ask(&["SAVE"]), "OK");
                let dir = server.ask(&["CONFIG", "GET", "dir"]);
                let dump = Path::new(dir.lines().nth(1).unwrap()).join("dump.rdb");
                return std::fs::read(dump).unwrap();
            }
        };
        let files = std::fs::read_dir(dir).unwrap();
        files.flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    fn row(&self, id: &VerificationId) -> Row {
        match self {
            Self::Disk(dir) => {
                let database = opened(dir.path());
                let records = database.begin_read().unwrap().open_table(RECORDS).unwrap();
                let row = records.get(id.as_str()).unwrap().unwrap();
                let (version, created, group, bytes) = row.value();
                Row { version, created, group: group.to_owned(), bytes: bytes.to_vec() }
            }
            Self::Redis(server, settings) => {
                let mut read = redis::cmd("HMGET");
                read.arg(record(settings, id)).arg(&["v", "c", "g", "b"]);
                let (version, created, group, bytes) = read.query(&mut reach(server)).unwrap();
                Row { version, created, group, bytes }
            }
        }
    }

    fn put(&self, id: &VerificationId, row: &Row) {
        let Row { version, created, group, bytes } = row;
        match self {
            Self::Disk(dir) => {
                let database = opened(dir.path());
                let transaction = database.begin_write().unwrap();
                let row = (*version, *created, group.as_str(), bytes.as_slice());
                transaction.open_table(RECORDS).unwrap().insert(id.as_str(), row).unwrap();
                transaction.commit().unwrap();
            }
            Self::Redis(server, settings) => {
                let mut write = redis::cmd("HSET");
                write.arg(record(settings, id)).arg("v").arg(version).arg("c").arg(created);
                write.arg("g").arg(group).arg("b").arg(bytes);
                let added: u64 = write.query(&mut reach(server)).unwrap();
                assert_eq!(added, 0, "it was there");
            }
        }
    }
}

fn record(settings: &RedisSettings, id: &VerificationId) -> String {
    format!("{{{}}}:record:{id}", settings.prefix)
}

fn reach(server: &Server) -> redis::Connection {
    let url = format!("redis://127.0.0.1:{}", server.port);
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

/// A gateway over this store.
fn gateway(store: Store) -> (Gateway, impl Future<Output = ()> + use<>) {
    let rule = |channel| Rule::every(channel, ["trunk"]);
    let settings = Settings {
        texts: Arc::new(Texts::compiled().unwrap()),
        routes: Table::new(vec![rule(Channel::Voice), rule(Channel::Sms)]),
        tenants: vec![tenant()],
        ..Settings::bare()
    };
    let (clock, entropy) = (Clock::system(), Entropy::from_number(5));
    let (gateway, turns) = Gateway::assemble(store, &settings, vault(), clock, entropy, Nobody);
    (gateway, turns.run())
}

async fn start(gateway: &Gateway, n: u32) -> VerificationId {
    let to: PhoneNumber = number(n).parse().unwrap();
    let (channel, mode) = match n % 3 {
        0 => (Channel::Sms, Mode::Code),
        1 => (Channel::Sms, Mode::Reply),
        _ => (Channel::Voice, Mode::Confirm),
    };
    let request = Request {
        subject: Some(format!("person {}", number(n))),
        client_ip: Some([203, 0, 113, (n % 250) as u8].into()),
        ..Request::new(to, Way { channel, mode })
    };
    let pin = (mode == Mode::Reply).then(|| Pin::parse(PIN).unwrap());
    let asked = Asked { pin, ..Asked::plainly(request) };
    // Callers put anything into their keys.
    let idempotency = Some(Idempotency { key: number(n), fingerprint: [1; 32] });
    let answer = AnswerOf { idempotency, render };
    let begun = gateway.begin(&tenant(), asked, answer).await.unwrap();
    let Answered::Fresh { id, .. } = begun else { panic!("{begun:?}") };
    id
}

fn file(dir: &Path) -> PathBuf {
    dir.join("octothorpe.redb")
}

/// Every 16 bytes in a row of a file, in the clear and in base64.
fn values(bytes: &[u8]) -> HashSet<[u8; 16]> {
    let rows = |bytes: &[u8]| -> Vec<[u8; 16]> {
        bytes.windows(16).map(|row| row.try_into().unwrap()).collect()
    };
    let mut all: HashSet<_> = rows(bytes).into_iter().collect();
    // What is cut off in the middle ends with bits of what follows.
    let lenient = NO_PAD.with_decode_allow_trailing_bits(true);
    let lenient = GeneralPurpose::new(&URL_SAFE, lenient);
    let letters = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    for text in bytes.split(|byte| !letters(byte)).filter(|text| text.len() >= 22) {
        // A name may begin anywhere in what looks like text around it.
        for from in 0..text.len() - 21 {
            let row = lenient.decode(&text[from..from + 22]).unwrap();
            all.insert(row.try_into().unwrap());
        }
    }
    all
}

/// What the thief finds of these guesses by the hashes that need no key, and under keys that everybody
/// knows.
fn found(values: &HashSet<[u8; 16]>, guesses: impl Iterator<Item = String>) -> Vec<String> {
    let hmac = |key: &[u8], text: &str| -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    };
    let tried = |text: &str| {
        let plain: [u8; 32] = Sha256::digest(text).into();
        let hashes = [plain, hmac(b"", text), hmac(b"octothorpe", text)];
        hashes.iter().any(|hash| values.contains(&hash[..16]))
    };
    guesses.filter(|text| tried(text)).collect()
}

/// Whether these digits are there, and no others beside them.
fn holds_alone(stolen: &[u8], digits: &str) -> bool {
    let is_digit =
        |at: Option<usize>| at.and_then(|at| stolen.get(at)).is_some_and(u8::is_ascii_digit);
    let mut places = memmem::find_iter(stolen, digits);
    places.any(|at| !is_digit(at.checked_sub(1)) && !is_digit(Some(at + digits.len())))
}

/// What a thief takes away of a store in which people were asked: nothing in the clear.
async fn stolen(kept: &Kept) -> Vec<u8> {
    let (gateway, turns) = gateway(kept.store());
    let turning = tokio::spawn(turns);
    let mut codes = Vec::new();
    for n in 0..PEOPLE {
        let id = start(&gateway, n).await;
        if n % 3 == 0 {
            let check = AnswerOf { idempotency: None, render: render_checked };
            gateway.check(&tenant(), &id, "123456", None, check).await.unwrap().unwrap();
            let found = gateway.read(&tenant(), &id).await.unwrap().unwrap();
            let binding = octothorpe::verify::code::Binding::of(&found);
            let code = vault().code(binding, found.secret.as_ref().unwrap()).unwrap();
            codes.push(code.expose().to_owned());
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    turning.abort();
    let _ = turning.await;
    drop(gateway);

    let stolen = kept.stolen();
    println!("{} bytes are stolen", stolen.len());
    assert!(stolen.len() > 200_000, "the store holds something");
    let holds = |text: &str| memmem::find(&stolen, text.as_bytes()).is_some();
    for n in 0..PEOPLE {
        let number = number(n);
        assert!(!holds(&number) && !holds(&number[1..]) && !holds(&number[3..]), "{number}");
    }
    assert!(!holds(PIN) && !holds("person ") && !holds("expires_in") && !holds("203.0.113."));
    // Six digits of a longer number are no code: times in Redis are decimal, and among so many some have them.
    let shown: Vec<_> = codes.iter().filter(|code| holds_alone(&stolen, code)).collect();
    assert!(shown.is_empty(), "{shown:?}");
    stolen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_guesses_at_a_stolen_store_find_nothing() {
    let mut stolen = stolen(&Kept::on_disk()).await;
    stolen.extend(self::stolen(&Kept::in_redis()).await);
    let values = values(&stolen);
    let numbers = (0..GUESSES / 2).flat_map(|n| {
        let number = format!("+4915{:09}", 112_345_000 + n);
        [number[1..].to_owned(), number]
    });
    assert_eq!(found(&values, numbers), [""; 0]);
    assert_eq!(found(&values, (0..GUESSES).map(|code| format!("{code:06}"))), [""; 0]);

    // The thief would have found what is hashed without a key, in bytes or in base64.
    let careless = [
        [stolen.as_slice(), &Sha256::digest(number(7))].concat(),
        [stolen.as_slice(), b"/", URL_SAFE_NO_PAD.encode(Sha256::digest(number(7))).as_bytes()]
            .concat(),
    ];
    for careless in careless {
        let values = self::values(&careless[careless.len() - 4_096..]);
        assert_eq!(found(&values, (0..PEOPLE).map(number)), [number(7)]);
    }
}

const RECORDS: TableDefinition<&str, (u64, u64, &str, &[u8])> = TableDefinition::new("records");

/// The store's file, once its gateway has let go of it: the thread that writes ends a moment after its last user.
fn opened(dir: &Path) -> Database {
    for _ in 0..2_000 {
        match Database::open(file(dir)) {
            Err(DatabaseError::DatabaseAlreadyOpen) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened.unwrap(),
        }
    }
    panic!("its gateway holds it for 10 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_writes_the_store_mints_no_approval() {
    mints_nothing(&Kept::on_disk()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_writes_redis_mints_no_approval() {
    mints_nothing(&Kept::in_redis()).await;
}

async fn mints_nothing(kept: &Kept) {
    let (gateway, turns) = self::gateway(kept.store());
    let turning = tokio::spawn(turns);
    let (approved, pending, other) =
        (start(&gateway, 0).await, start(&gateway, 3).await, start(&gateway, 6).await);
    let found = gateway.read(&tenant(), &approved).await.unwrap().unwrap();
    let binding = octothorpe::verify::code::Binding::of(&found);
    let code = vault().code(binding, found.secret.as_ref().unwrap()).unwrap();
    let check = || AnswerOf { idempotency: None, render: render_checked };
    gateway.check(&tenant(), &approved, code.expose(), None, check()).await.unwrap();
    let settled = gateway.read(&tenant(), &approved).await.unwrap().unwrap();
    assert_eq!(settled.status(), Status::Approved);
    turning.abort();
    let _ = turning.await;
    drop(gateway);

    let (of_approved, of_pending) = (kept.row(&approved), kept.row(&pending));
    // What an approval is in the clear, under the format of before.
    let plain = serde_json::to_vec(&settled).unwrap();
    let plain = String::from_utf8(plain).unwrap().replace(approved.as_str(), pending.as_str());
    let mut flipped = of_pending.bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let with = |bytes: Vec<u8>| Row { bytes, ..of_pending.clone() };
    let later = Row { version: of_pending.version + 1, ..of_pending.clone() };
    let moved = Row { created: of_pending.created + 1, ..of_pending.clone() };
    let mints = [
        ("another's record", of_approved.clone()),
        ("another's bytes", with(of_approved.bytes)),
        ("in the clear", with([b"\x01", plain.as_bytes()].concat())),
        ("a later version", later),
        ("another time", moved),
        ("one bit", with(flipped)),
        ("nothing", with(Vec::new())),
    ];
    for (what, row) in mints {
        kept.put(&pending, &row);
        let (gateway, turns) = self::gateway(kept.store());
        let turning = tokio::spawn(turns);
        let refused = gateway.read(&tenant(), &pending).await.unwrap_err();
        assert!(refused.is_tampering(), "{what}: {refused}");
        assert!(
            gateway.check(&tenant(), &pending, code.expose(), None, check()).await.is_err(),
            "{what}"
        );
        // The rest goes on.
        let rest = gateway.read(&tenant(), &other).await.unwrap().unwrap();
        assert_ne!(rest.status(), Status::Approved);
        turning.abort();
        let _ = turning.await;
        drop(gateway);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_number_that_is_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, turns) = self::gateway(Store::open(dir.path(), &vault()).unwrap());
    let turning = tokio::spawn(turns);
    let mut ids = Vec::new();
    for n in 0..PEOPLE {
        ids.push(start(&gateway, n).await);
    }
    let whom: PhoneNumber = number(7).parse().unwrap();
    // What a limit counts of it has its name, by its keyed hash.
    let name = vault().counted("acme", "number", whom.expose());
    let store_holds = |text: &str| {
        let bytes = std::fs::read(file(dir.path())).unwrap();
        memmem::find(&bytes, text.as_bytes()).is_some()
    };
    let listing = Listing {
        list: List::Blocks,
        // Of whom nothing else is kept.
        tenant: Some("globex".to_owned()),
        target: Target::Number(whom.clone()),
        why: Why::Operator,
        note: None,
        verification: None,
        until: None,
    };
    let block = gateway.enlist(&listing).await.unwrap().id;
    assert!(store_holds(&name) && store_holds(ids[7].as_str()) && store_holds(&block));
    let erased = gateway.erase(&whom, true).await.unwrap();
    assert_eq!(erased.records, 2, "a verification and a block");
    assert!(!store_holds(&block));
    assert!(gateway.read(&tenant(), &ids[7]).await.unwrap().is_none());
    assert!(gateway.read(&tenant(), &ids[8]).await.unwrap().is_some());
    assert!(!store_holds(&name) && !store_holds(ids[7].as_str()), "not in unused pages either");
    assert!(store_holds(ids[8].as_str()));
    // It can be asked again, by the same key, as if it never was.
    let again = start(&gateway, 7).await;
    assert_ne!(again, ids[7]);
    assert!(store_holds(&name), "it counts anew");
    turning.abort();
    let _ = turning.await;
}
