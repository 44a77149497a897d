//! Webhooks that others check, endpoints that misbehave, and a gateway that is killed again and again
//! without losing an event.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::mailbox::{Letter, Mailbox, Manner, answer, drip};
use crate::peers;
use crate::serve::{BEARER, Gateway, SOON};
use crate::tools::{WEBHOOK_SECRET, octothorpe, wait_for};

/// A second tenant's key.
const OTHER_KEY: &str = "otk_e2e_canary_of_another_tenant_51";

/// A secret that was live before.
const OLD_SECRET: &str = "whsec_b2xkLWNhbmFyeS1vZi0zMi1ieXRlcy1vbi1kaXNrLiE=";

fn well() -> Manner {
    Arc::new(|_, stream| answer(stream, 204, ""))
}

/// A webhook of the configuration.
fn webhook(url: &str, more: &str) -> String {
    format!("{{ url = {url:?}, secret = {:?}{more} }}", WEBHOOK_SECRET.0)
}

/// A gateway whose tenant calls nobody, and tells these endpoints.
fn gateway(webhooks: &[String]) -> Gateway {
    Gateway::with("", &format!("test = true\nwebhooks = [{}]", webhooks.join(", ")))
}

/// A verification that is begun and taken back; its id.
fn settled(gateway: &Gateway) -> String {
    let id = gateway.begin(&json!({"to": "+12025550102"}));
    let canceled = gateway.post(&format!("/v1/verifications/{id}/cancel"), &json!({}));
    assert_eq!(canceled.json()["status"], "canceled", "{canceled:?}");
    id
}

/// The one event of a verification that comes, each within reason.
fn came(mailbox: &Mailbox, what: &str) -> Letter {
    wait_for(what, SOON, || mailbox.letters().pop())
}

/// What a receiver that others have made says of an event.
fn judged(mut command: std::process::Command, secret: &str, letter: &Letter) -> Value {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked = json!({"secret": secret, "headers": letter.headers, "body": letter.body});
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).expect("it judges: run `tests/run peers`")
}

#[test]
fn receivers_made_by_others_believe_each_live_secret_and_a_public_key() {
    let mut command = octothorpe();
    let made = command.args(["key", "webhook", "--ed25519", "--json"]).output().unwrap();
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let (private, public) = (made["secret"].as_str().unwrap(), made["public"].as_str().unwrap());
    let (shared, own) = (Mailbox::start(well()), Mailbox::start(well()));
    let gateway = gateway(&[
        webhook(&shared.url(), &format!(", previous_secret = {OLD_SECRET:?}")),
        format!("{{ url = {:?}, secret = {private:?} }}", own.url()),
    ]);
    gateway.hide(private);
    gateway.hide(OLD_SECRET);
    let listed = gateway.admin("/admin/v1/webhooks").json();
    assert_eq!(listed["webhooks"][1]["public_keys"], json!([public]), "{listed:#}");
    let id = settled(&gateway);
    let (shared, own) = (came(&shared, "by HMAC"), came(&own, "by Ed25519"));
    let other = octothorpe().args(["key", "webhook", "--ed25519", "--json"]).output().unwrap();
    let other: Value = serde_json::from_slice(&other.stdout).unwrap();
    let peers = || [peers::python("webhook_peer.py"), peers::node("webhook_peer.js")];
    for (letter, secret, is_known) in [
        (&shared, WEBHOOK_SECRET.0, true),
        (&shared, OLD_SECRET, true),
        (&shared, "whsec_c29tZWJvZHktZWxzZS1vZi0zMi1ieXRlcy4uLi4uLiE=", false),
        (&own, public, true),
        (&own, other["public"].as_str().unwrap(), false),
        (&own, WEBHOOK_SECRET.0, false),
    ] {
        for peer in peers() {
            let said = judged(peer, secret, letter);
            assert_eq!(said["taken"]["subject"] == id.as_str(), is_known, "{said}");
            assert_eq!(said["refused"].is_string(), !is_known, "{said}");
        }
        for peer in peers() {
            let body = letter.body.replace("canceled", "approved");
            let forged = Letter { body, ..letter.clone() };
            assert!(judged(peer, secret, &forged)["refused"].is_string());
        }
    }
}

#[test]
fn an_endpoint_that_misbehaves_in_any_way_is_tried_on_schedule() {
    let trap = Mailbox::start(well());
    let elsewhere = format!("Location: {}\r\n", trap.url());
    let mebibyte = |status: u16| -> Manner {
        Arc::new(move |_, stream| {
            let length = 1024 * 1024;
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&vec![b'x'; length]);
        })
    };
    let hang: Manner = Arc::new(|_, stream| {
        let _ = stream.read(&mut [0; 1]);
    });
    // Manner, how long a try takes until it is given up, and how many there are in the time below.
    let rows: [(&str, Manner, f64, usize); 10] = [
        ("500", Arc::new(|_, stream| answer(stream, 500, "")), 0.0, 3),
        ("301", Arc::new(move |_, stream| answer(stream, 301, &elsewhere)), 0.0, 3),
        ("307", Arc::new(|_, stream| answer(stream, 307, "Location: /hooks\r\n")), 0.0, 3),
        ("breaks off", Arc::new(|_, _| {}), 0.0, 3),
        ("hangs", hang, 10.0, 2),
        ("drips its head", Arc::new(|_, it| drip(it, "HTTP/1.1 200 OK\r\nX: ")), 10.0, 2),
        ("1 MiB and 500", mebibyte(500), 0.25, 3),
        ("1 MiB and 200", mebibyte(200), 0.0, 1),
        (
            "drips its body",
            Arc::new(|_, it| drip(it, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")),
            0.0,
            1,
        ),
        ("410", Arc::new(|_, stream| answer(stream, 410, "")), 0.0, 1),
    ];
    let mailboxes: Vec<Mailbox> =
        rows.iter().map(|(_, manner, ..)| Mailbox::start(Arc::clone(manner))).collect();
    // One that is not there at first.
    let address = Mailbox::start(well()).address();
    let mut webhooks: Vec<String> = mailboxes.iter().map(|it| webhook(&it.url(), "")).collect();
    webhooks.push(webhook(&format!("http://{address}/hooks"), ""));
    let mut gateway = gateway(&webhooks);
    let start = Instant::now();
    settled(&gateway);
    std::thread::sleep(Duration::from_secs(3));
    let late = Mailbox::at(address, well());
    std::thread::sleep(Duration::from_secs(15));

    let seconds = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64();
    for ((name, _, takes, count), mailbox) in rows.iter().zip(&mailboxes) {
        let letters = mailbox.letters();
        assert_eq!(letters.len(), *count, "{name}");
        assert!(seconds(start, letters[0].at) < 1.0, "{name}: the first at once");
        for (pair, pause) in letters.windows(2).zip([1.0, 5.0]) {
            let gap = seconds(pair[0].at, pair[1].at);
            let (least, most) = (pause * 0.8, takes + pause * 1.2 + 1.0);
            assert!((least..most).contains(&gap), "{name}: {gap} s, not {pause} s");
            assert!(*takes < 1.0 || gap > *takes, "{name}: {gap} s");
            assert_eq!((pair[0].id(), &pair[0].body), (pair[1].id(), &pair[1].body), "{name}");
        }
        let gaps: Vec<_> =
            letters.windows(2).map(|it| format!("{:.2}", seconds(it[0].at, it[1].at))).collect();
        println!("{name}: {} tries, {} s apart", letters.len(), gaps.join(" and "));
    }
    assert_eq!(late.letters().len(), 1, "who was down at first gets it later");
    assert_eq!(trap.connections(), 0, "no redirect is followed");

    let listed = gateway.admin("/admin/v1/webhooks").json();
    let off: Vec<_> =
        listed["webhooks"].as_array().unwrap().iter().filter(|it| it["on"] == false).collect();
    assert_eq!(off.len(), 1, "{listed:#}");
    assert_eq!(off[0]["why"], "gone");
    assert_eq!(gateway.metric("octothorpe_webhook_endpoint_off"), 1);
    // A gateway that is started again knows it before anything is sent.
    gateway.kill();
    gateway.restart();
    wait_for("the metric", SOON, || {
        (gateway.metric("octothorpe_webhook_endpoint_off") == 1).then_some(())
    });
    // It is switched on by hand, and gets what it missed when that is asked for.
    let gone = &mailboxes[9];
    let before = settled(&gateway);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(gone.letters().len(), 1, "nothing is sent to it");
    let id = off[0]["id"].as_str().unwrap();
    let enabled = gateway.admin_post(&format!("/admin/v1/webhooks/{id}/enable"), &json!({}));
    assert_eq!(enabled.json()["on"], true, "{enabled:?}");
    let replay = json!({"tenant": "e2e", "verification": before, "endpoint": id});
    let replayed = gateway.admin_post("/admin/v1/webhooks/replay", &replay);
    assert_eq!(replayed.json(), json!({"queued": 1, "rest_until": null}));
    let url = gateway.admin_url();
    let words = ["webhook", "replay", "--tenant", "e2e", "--verification", &before];
    let more = ["--endpoint", id, "--admin", &url, "--json"];
    let by_command = octothorpe().args(words).args(more).output().unwrap();
    let by_command: Value = serde_json::from_slice(&by_command.stdout).unwrap();
    assert_eq!(by_command, json!({"queued": 1}));
    let missed = wait_for("what was missed", SOON, || {
        gone.letters().into_iter().find(|it| it.event()["subject"] == before.as_str())
    });
    let known = mailboxes[7].letters().into_iter().find(|it| it.id() == missed.id());
    assert_eq!(known.unwrap().body, missed.body, "the same event under the same id");
}

#[test]
fn an_endpoint_that_hangs_delays_nobody_else() {
    let hangs = Mailbox::start(Arc::new(|_, stream| {
        let _ = stream.read(&mut [0; 1]);
    }));
    let works = Mailbox::start(well());
    let tenants = format!(
        "test = true\nwebhooks = [{}]\n[[tenants]]\nname = \"other\"\napi_keys = [{OTHER_KEY:?}]\n\
         test = true\nallow_private_webhooks = true\nwebhooks = [{}]",
        webhook(&hangs.url(), ""),
        webhook(&works.url(), "")
    );
    let gateway = Gateway::with("", &tenants);
    gateway.hide(OTHER_KEY);
    let many = |key: &str, count: usize| {
        for _ in 0..count {
            let bearer = format!("Bearer {key}");
            let begun = post(gateway.api(), &bearer, "/v1/verifications", START).unwrap();
            let id = begun["id"].as_str().unwrap().to_owned();
            post(gateway.api(), &bearer, &format!("/v1/verifications/{id}/cancel"), "").unwrap();
        }
    };
    many(BEARER.trim_start_matches("Bearer "), 300);
    many(OTHER_KEY, 200);
    let letters = wait_for("all that were for the other", Duration::from_secs(20), || {
        Some(works.letters()).filter(|letters| letters.len() >= 200)
    });
    let mut waits: Vec<f64> = letters.iter().map(late_by).collect();
    waits.sort_by(f64::total_cmp);
    let (middle, last) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    println!(
        "{} events beside {} that hang: median {middle:.3} s, p99 {last:.3} s",
        waits.len(),
        hangs.letters().len()
    );
    assert!(last <= 1.0, "p99 {last} s");
    assert!(hangs.letters().len() >= 32, "it was kept busy");
}

/// How long after its verdict an event came.
fn late_by(letter: &Letter) -> f64 {
    let settled = letter.event()["data"]["settled_at"].as_str().unwrap().to_owned();
    let settled = humantime::parse_rfc3339(&settled).unwrap();
    letter.wall.duration_since(settled).unwrap_or_default().as_secs_f64()
}

/// A start that is taken back or lapses by itself.
const START: &str = r#"{"to": "+12025550102", "expires_in": 10}"#;

/// Posts, and reads the answer; `None` where the gateway died meanwhile.
pub(crate) fn post(api: SocketAddr, bearer: &str, path: &str, body: &str) -> Option<Value> {
    ask(api, bearer, ("POST", path), body)
}

/// The same of what is read.
#[cfg(feature = "failpoints")]
pub(crate) fn get(api: SocketAddr, bearer: &str, path: &str) -> Option<Value> {
    ask(api, bearer, ("GET", path), "")
}

fn ask(api: SocketAddr, bearer: &str, (method, path): (&str, &str), body: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(api).ok()?;
    let content = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\nAuthorization: {bearer}\r\n\
         {content}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

/// Each round the gateway is killed at another moment, in the midst of starts, verdicts and
/// deliveries. `OCTOTHORPE_KILL_EVENTS` says how many rounds there are; 10 unless said.
#[test]
fn killed_again_and_again_it_loses_no_event() {
    let rounds = std::env::var("OCTOTHORPE_KILL_EVENTS").ok();
    let rounds: u64 = rounds.map_or(10, |rounds| rounds.parse().expect("a number of rounds"));
    // Every third try fails, one way or another.
    let mailbox = Mailbox::start(Arc::new(|number, stream| match number % 6 {
        0 => answer(stream, 500, ""),
        3 => {}
        _ => answer(stream, 204, ""),
    }));
    let mut gateway = gateway(&[webhook(&mailbox.url(), "")]);
    let known = Mutex::new(BTreeSet::new());
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut chance = seed;
    for _ in 0..rounds {
        // Knuth's numbers.
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let moment = Duration::from_micros(5_000 + (chance >> 33) % 400_000);
        let api = gateway.api();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(begun) = post(api, BEARER, "/v1/verifications", START) {
                        let Some(id) = begun["id"].as_str() else { return };
                        known.lock().unwrap().insert(id.to_owned());
                        post(api, BEARER, &format!("/v1/verifications/{id}/cancel"), "");
                    }
                });
            }
            std::thread::sleep(moment);
            gateway.kill();
        });
        gateway.restart();
    }
    let known = known.into_inner().unwrap();
    // Those that nobody took back lapse, and failed tries are made up for.
    let taken = || {
        let mut ids: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
        for letter in mailbox.letters() {
            let subject = letter.event()["subject"].as_str().unwrap().to_owned();
            ids.entry(subject).or_default().insert((letter.id(), letter.body));
        }
        ids
    };
    let all = wait_for("every verdict is told", Duration::from_secs(60), || {
        let taken = taken();
        known.iter().all(|id| taken.contains_key(id)).then_some(taken)
    });
    for (id, events) in &all {
        assert_eq!(events.len(), 1, "{id} has one event, with one id and one body");
    }
    // Nobody who was asked for is missing in the call records.
    let records = ["cdr", "export", "--since", "2020-01-01", "--admin", &gateway.admin_url()];
    let records = String::from_utf8(octothorpe().args(records).output().unwrap().stdout).unwrap();
    let rows: BTreeSet<String> = records
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            row["verification"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(known.iter().all(|id| rows.contains(id)), "{} of {}", rows.len(), known.len());
    let letters = mailbox.letters().len();
    println!("{rounds} kills, {} verifications, {letters} tries: none lost", known.len());
    assert!(known.len() as u64 >= rounds, "there was something to lose: {}", known.len());
}
