//! Many records on disk, and many calls that ring: what is searched for by number is there at once, and so are the
//! operator's page and what happens on it.
//!
//! `OCTOTHORPE_RECORDS=1000000` has as many, and 500 calls; the figures are then judged: 50 ms for a search by number, and
//! a second for the page to be painted and for a call to be seen on it.

use std::path::Path;
use std::time::{Duration, Instant};

use octothorpe::ambient::{Clock, Entropy};
use octothorpe::gateway::search::names;
use octothorpe::store::{Commit, Committed, Store, record};
use octothorpe::verify::code::Vault;
use octothorpe::verify::request::{Channel, Mode, Request, Way};
use octothorpe::verify::signal::{By, Signal};
use octothorpe::verify::{Birth, Step, Verification, VerificationId};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::board::{PASSWORD, TOTP, ada};
use crate::peers::{Peer, node};
use crate::serve::Gateway;
use crate::tools::STORE_SECRET;

/// How many there are unless it is said.
const RECORDS: u32 = 2_000;

/// How many calls ring unless it is said, and where it is.
const RINGING: (u32, u32) = (20, 500);

/// How many are written at once.
const AT_ONCE: usize = 512;

/// How often each search is made.
const TIMES: usize = 21;

fn number(n: u32) -> String {
    format!("+1415{:07}", 2_000_000 + n)
}

fn moved(step: Step) -> Verification {
    match step {
        Step::Moved { next, .. } | Step::Ignored { same: next, .. } => next,
    }
}

/// Fills the store with verifications that were taken back, one each 10 ms up to now.
fn fill(data: &Path, count: u32) {
    let vault = Vault::of(STORE_SECRET);
    let store = Store::open(data, &vault).unwrap();
    let (now, mut entropy) = (Clock::system().now(), Entropy::system());
    let way = Way { channel: Channel::Voice, mode: Mode::Confirm };
    let route = json!([{"channel": "voice", "mode": "confirm", "via": "carrier-a", "stage": 0}]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut writes = JoinSet::new();
        for n in 0..count {
            let at = now - Duration::from_millis(10) * (count - n);
            let request = Request {
                subject: Some(format!("user-{n}")),
                reference: Some(format!("login-{n}")),
                ..Request::new(number(n).parse().unwrap(), way)
            };
            let birth = Birth {
                id: VerificationId::new(at, &mut entropy),
                tenant: "e2e".to_owned(),
                request,
                route: serde_json::from_value(route.clone()).unwrap(),
                secret: None,
                expected: Default::default(),
                seed: 1,
                key: vault.key_id(),
                withheld: false,
            };
            let begun = moved(Verification::begin(at, birth));
            let over = moved(begun.apply(at, Signal::Withdrawn(By::Caller)));
            let aliases = names(&vault, &over, now + Duration::from_secs(86_400));
            let record = Some(record::written(None, &over).unwrap());
            let (store, commit) =
                (store.clone(), Commit { now: at, record, aliases, ..Commit::default() });
            if writes.len() == AT_ONCE {
                let written = writes.join_next().await.unwrap().unwrap();
                assert_eq!(written, Ok(Committed::Yes));
            }
            writes.spawn(async move { store.commit(commit).await });
        }
        writes.join_all().await;
    });
}

/// The ids that are found, and how long that took: the median of some.
fn searched(gateway: &Gateway, query: &str) -> (Vec<Value>, Duration) {
    let path = format!("/admin/v1/verifications?{query}");
    let mut took = Vec::new();
    let mut found = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        let answer = gateway.admin(&path);
        took.push(began.elapsed());
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        found = told["verifications"].as_array().unwrap().clone();
    }
    took.sort_unstable();
    (found, took[TIMES / 2])
}

#[test]
fn among_many_records_a_number_is_found_at_once() {
    let said = std::env::var("OCTOTHORPE_RECORDS").ok().and_then(|it| it.parse().ok());
    let records = said.unwrap_or(RECORDS);
    let (_phone, port) = crate::board::phone(&["--no-answer"]);
    // More calls than this gateway has ports: they share one.
    let line = format!(
        "[[trunks]]\nname = \"rings\"\ntarget = \"sip:127.0.0.1:{port};transport=udp\"\n\
         options_secs = 0\ncaller_id = \"+12025550100\"\nrtp_port = \"shared\"\n\
         [[routes]]\nprefix = \"+1202\"\nvia = [\"rings\"]\n"
    );
    let mut gateway = Gateway::with(&format!("{}{line}", ada()), "");
    gateway.terminate();
    let began = Instant::now();
    fill(&gateway.data(), records);
    println!("{records} records are written in {:.1?}", began.elapsed());
    let began = Instant::now();
    gateway.restart();
    println!("a gateway is ready with them in {:.1?}", began.elapsed());

    let n = records / 2;
    let encoded = number(n).replace('+', "%2B");
    let mut slowest = Duration::ZERO;
    for query in [
        format!("number={encoded}"),
        format!("subject=user-{n}"),
        format!("reference=login-{n}"),
        format!("number={encoded}&status=canceled&country=US"),
    ] {
        let (found, took) = searched(&gateway, &query);
        assert_eq!(found.len(), 1, "{query}");
        assert_eq!(found[0]["reference"], format!("login-{n}"));
        slowest = slowest.max(took);
    }
    println!("one is found in {slowest:.1?}");
    let (newest, took) = searched(&gateway, "limit=50");
    assert_eq!(newest[0]["reference"], format!("login-{}", records - 1));
    println!("the newest 50 are there in {took:.1?}");
    let (none, took) = searched(&gateway, "status=approved");
    assert!(none.is_empty());
    println!("5,000 are looked through in {took:.1?}");
    let (none, took) = searched(&gateway, "since=2020-01-01&until=2020-12-31");
    assert!(none.is_empty());
    println!("none of a year without any is told in {took:.1?}");

    let person = Peer::start(node("board.mjs"));
    let act = |act: &str, mut what: Value| {
        what["act"] = json!(act);
        person.ask(what)
    };
    act("open", json!({ "url": gateway.admin_url() }));
    act("login", json!({ "name": "ada", "password": PASSWORD, "secret": TOTP }));
    let ringing = if said.is_some() { RINGING.1 } else { RINGING.0 };
    let ring =
        |n: u32| gateway.begin(&json!({ "to": format!("+1202555{n:04}"), "expires_in": 300 }));
    let last = (0..ringing).map(ring).last().unwrap();
    gateway.reaches(&last, "ringing");
    let painted = act("paint", json!({ "number": number(n) }));
    println!("the page, in milliseconds: {painted}");
    let first = painted["first"].as_f64().unwrap();
    let one = ring(ringing);
    let begun = gateway.get(&one).json()["created_at"].as_str().unwrap().to_owned();
    let seen = act("seen", json!({ "verification": one, "begun": begun }));
    println!("beside {ringing} that ring, a call is seen after (ms): {seen}");
    if said.is_some() {
        assert!(seen["after"].as_f64().unwrap() <= 1_000.0, "{seen}");
        assert!(slowest <= Duration::from_millis(50), "{slowest:?}");
        assert!(first <= 1_000.0, "{painted}");
    }
}
