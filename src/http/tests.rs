//! The API over real sockets.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use zeroize::Zeroizing;

mod cdr;
mod codes;
mod keys;
mod login;
mod policy;
mod search;
mod timeline;
mod tls;

use super::*;
use crate::access::operator::Operator as Person;
use crate::ambient::{Clock, Entropy};
use crate::carrier::Receipt;
use crate::gateway::settings::{self, ApiKey, Endpoint, Tenant, WebhookSecret};
use crate::gateway::{Failure, Hands};
use crate::store::Store;
use crate::store::record::Delivery;
use crate::verify::Verification;
use crate::verify::attempt::AttemptNo;
use crate::verify::code::Vault;
use crate::verify::policy::Rules;
use crate::verify::request::Channel;
use crate::verify::route::{Rule, Table};
use crate::verify::signal::{Cause, Farewell, Reason};

const ACME: &str = "acme-0123456789abcdef0123456789abcdef";
const GLOBEX: &str = "globex-0123456789abcdef0123456789abcd";
const UNKNOWN_ID: &str = "vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE";
const TO: &str = r#"{"to": "+14155550132"}"#;

/// Two tenants, `acme` and `globex`, which may call the United States and Germany; numbers that
/// begin with `+1` go by `carrier-a`, those that begin with `+49` do for `globex` alone, all others by
/// nothing. What is begun stays pending.
fn gateway() -> Gateway {
    gateway_of(Arc::default())
}

/// The same, with these operators.
fn gateway_of(operators: Arc<[Arc<Person>]>) -> Gateway {
    let tenant = |name: &str, key: &str| Tenant {
        keys: vec![ApiKey::of(key).into()],
        rules: Rules {
            voice_countries: BTreeSet::from(["US".parse().unwrap(), "DE".parse().unwrap()]),
            sms_countries: BTreeSet::from(["US".parse().unwrap()]),
        },
        webhooks: vec![Endpoint::new(
            "https://idp.example.com/hooks",
            WebhookSecret::new(Zeroizing::new(vec![7; 32])),
        )],
        ..Tenant::new(name)
    };
    let tenants = vec![tenant("acme", ACME), tenant("globex", GLOBEX)];
    let rule = |channel| Rule { prefix: "+1".to_owned(), ..Rule::every(channel, ["carrier-a"]) };
    let globex = Rule {
        prefix: "+49".to_owned(),
        tenants: vec!["globex".to_owned()],
        ..rule(Channel::Voice)
    };
    let routes = Table::new(vec![rule(Channel::Voice), rule(Channel::Sms), globex]);
    let settings = settings::Settings { tenants, routes, operators, ..settings::Settings::bare() };
    let (clock, entropy, vault) = (Clock::system(), Entropy::system(), Vault::of("tests"));
    let (gateway, turns) =
        Gateway::assemble(Store::memory(), &settings, vault, clock, entropy, NoHands);
    // Nobody takes turns, and the gateway must not notice.
    std::mem::forget(turns);
    gateway
}

struct NoHands;

impl Hands for NoHands {
    async fn place(&self, _: &Verification, _: AttemptNo) -> Receipt {
        Receipt::Refused(Cause::plain(Reason::Congested))
    }

    async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {}

    async fn deliver(&self, _: &Delivery) -> Result<(), Failure> {
        Ok(())
    }
}

fn metrics() -> Metrics {
    Arc::new(|| "octothorpe_up 1\n".to_owned())
}

/// Limits that a test can wait for.
fn hasty() -> Settings {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Settings {
        api_listen: any,
        admin_listen: Some(any),
        head_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_secs(2),
        write_timeout: Duration::from_millis(300),
        drain_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

struct Site {
    api: SocketAddr,
    admin: SocketAddr,
    close: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

async fn site() -> Site {
    site_with(hasty(), metrics()).await
}

async fn site_with(settings: Settings, metrics: Metrics) -> Site {
    site_of(settings, gateway(), metrics).await
}

async fn site_of(settings: Settings, gateway: Gateway, metrics: Metrics) -> Site {
    let server = Server::bind(Listening::new(settings).unwrap(), gateway, metrics).await.unwrap();
    let (api, admin) = (server.api_address(), server.admin_address().unwrap());
    let (close, closed) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = closed.await;
    }));
    Site { api, admin, close, running }
}

#[derive(Debug, PartialEq, Eq)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    fn code(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status);
        (self.status, body["code"].as_str().unwrap().to_owned())
    }

    /// Each `field: code` to blame.
    fn blamed(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array().unwrap().iter();
        errors
            .map(|e| format!("{}: {}", e["field"].as_str().unwrap(), e["code"].as_str().unwrap()))
            .collect()
    }
}

/// Sends these bytes and reads until the server closes.
async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    reply
}

async fn send(address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut bytes =
        format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    if !body.is_empty() {
        bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    Reply::parse(&raw(address, &bytes).await)
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

async fn get(site: &Site, path: &str) -> Reply {
    send(site.api, &format!("GET {path}"), &[("Authorization", &bearer(ACME))], b"").await
}

async fn post(site: &Site, path: &str, more: &[(&str, &str)], body: &[u8]) -> Reply {
    let key = bearer(ACME);
    let mut headers = vec![("Authorization", key.as_str()), ("Content-Type", "application/json")];
    headers.extend(more);
    send(site.api, &format!("POST {path}"), &headers, body).await
}

async fn started(site: &Site) -> String {
    let reply = post(site, "/v1/verifications", &[], TO.as_bytes()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_start_is_answered_with_the_resource() {
    let site = site().await;
    let body = br#"{"to": "+14155550132", "subject": "user-7f3", "expires_in": 60}"#;
    let reply = post(&site, "/v1/verifications", &[], body).await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let mut shown = reply.json();
    let id = shown["id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), Some(format!("/v1/verifications/{id}").as_str()));
    assert!(!reply.body.contains("4155550132"));
    let time = |value: &Value| {
        let text = value.as_str().unwrap();
        assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
    };
    for field in ["created_at", "expires_at", "next_send_at"] {
        time(&shown[field]);
        shown[field] = json!("…");
    }
    time(&shown["attempts"][0]["started_at"]);
    shown["attempts"][0]["started_at"] = json!("…");
    assert_eq!(
        shown,
        json!({
            "id": id, "version": 1, "status": "pending", "reason": null, "channel": "voice",
            "mode": "confirm", "to": "+1******0132", "flags": [], "subject": "user-7f3", "reference": null,
            "assurance": "possession", "match": null, "extension": null, "created_at": "…", "expires_at": "…",
            "settled_at": null,
            "attempts": [{
                "no": 1, "channel": "voice", "route": "carrier-a", "state": "queued",
                "reason": null, "sip_status": null, "q850": null, "detail": null, "call_id": null,
                "started_at": "…", "answered_at": null, "ended_at": null
            }],
            "checks_left": null, "sends_left": 4, "next_send_at": "…"
        })
    );
    let read = get(&site, &format!("/v1/verifications/{id}")).await;
    assert_eq!(read.status, 200);
    assert_eq!(read.json()["id"], id.as_str());
}

#[tokio::test]
async fn every_answer_forbids_caching_and_guessing() {
    let site = site().await;
    for path in ["/v1/openapi.json", "/docs", "/healthz", "/nothing", "/v1/verifications"] {
        let reply = get(&site, path).await;
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}

#[tokio::test]
async fn without_a_valid_key_all_are_answered_alike() {
    let site = site().await;
    let wrong = bearer("acme-0123456789abcdef0123456789abcdee");
    let (acme, basic) = (bearer(ACME), format!("Basic {ACME}"));
    let mut replies = Vec::new();
    for headers in [
        vec![],
        vec![("Authorization", wrong.as_str())],
        vec![("Authorization", basic.as_str())],
        vec![("Authorization", ACME)],
        vec![("Authorization", acme.as_str()), ("Authorization", acme.as_str())],
    ] {
        for line in ["POST /v1/verifications", &format!("GET /v1/verifications/{UNKNOWN_ID}")] {
            let reply = send(site.api, line, &headers, b"").await;
            assert_eq!(reply.code(), (401, "unauthorized".to_owned()), "{headers:?}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"octothorpe\""));
            replies.push(reply.body);
        }
    }
    assert!(replies.iter().all(|body| body == &replies[0]));
}

#[tokio::test]
async fn unknown_and_foreign_things_are_answered_alike() {
    let site = site().await;
    let id = started(&site).await;
    let globex = bearer(GLOBEX);
    let foreign = |line: String| {
        let headers = [("Authorization", globex.clone())];
        async move {
            let [(name, value)] = &headers;
            send(site.api, &line, &[(name, value)], b"").await
        }
    };
    let mut replies = vec![
        foreign(format!("GET /v1/verifications/{id}")).await,
        foreign(format!("GET /v1/verifications/{id}?wait=5&since=9")).await,
        foreign(format!("POST /v1/verifications/{id}/cancel")).await,
    ];
    for path in [
        format!("/v1/verifications/{UNKNOWN_ID}"),
        format!("/v1/verifications/{}", &id[1..]),
        format!("/v1/verifications/{id}x"),
        "/v1/verifications/%2e%2e".to_owned(),
        "/v1/verifications/%ff".to_owned(),
        "/v1/verifications/".to_owned(),
        format!("/v1/verifications/{id}/"),
        "/".to_owned(),
        "/metrics".to_owned(),
    ] {
        replies.push(get(&site, &path).await);
    }
    for reply in &replies {
        assert_eq!(reply.code(), (404, "not_found".to_owned()), "{reply:?}");
        assert_eq!(reply.body, replies[0].body);
    }
    let still = get(&site, &format!("/v1/verifications/{id}")).await;
    assert_eq!(still.json()["status"], "pending");
}

#[tokio::test]
async fn bad_bodies_are_refused_with_their_reason() {
    let site = site().await;
    let deep = format!("{{\"to\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    for (body, status, code) in [
        (&b""[..], 400, "invalid_json"),
        (b"{\"to\": \"\xff\"}", 400, "invalid_json"),
        (b"{\"to\": \"+14155550132\", \"to\": \"+14155550133\"}", 400, "invalid_json"),
        (deep.as_bytes(), 400, "invalid_json"),
        (b"{\"expires_in\": NaN}", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b"{}", 422, "invalid_request"),
        (b"{\"to\": \"911\"}", 422, "invalid_request"),
        (b"{\"to\": \"+911\"}", 422, "invalid_request"),
        (b"{\"to\": \"+1415555013200000\"}", 422, "invalid_request"),
        (b"{\"to\": \"+1415555CALL\"}", 422, "invalid_request"),
        (b"{\"to\": 14155550132}", 422, "invalid_request"),
        (b"{\"to\": \"+14155550132\", \"x\": 1}", 422, "invalid_request"),
        (b"{\"to\": \"+442079460018\"}", 403, "country_denied"),
        (b"{\"to\": \"+19002345678\"}", 403, "policy_denied"),
        (b"{\"to\": \"+4930123456\"}", 422, "no_route"),
    ] {
        let reply = post(&site, "/v1/verifications", &[], body).await;
        assert_eq!(reply.code(), (status, code.to_owned()), "{:?}", String::from_utf8_lossy(body));
    }
    let twice = post(&site, "/v1/verifications", &[], br#"{"to": 1, "to": 2}"#).await;
    assert_eq!(twice.blamed(), ["to: duplicate_field"]);
    let reply = post(&site, "/v1/verifications?wait=1", &[], TO.as_bytes()).await;
    assert_eq!(reply.blamed(), ["wait: unknown_field"]);
}

#[tokio::test]
async fn a_payment_by_a_voice_of_recordings_is_refused_with_what_to_do() {
    let site = site().await;
    let body = json!({
        "to": "+14155550132", "channel": "voice",
        "transaction": { "amount": "49.90", "currency": "EUR", "payee": "ACME" },
    });
    let reply = post(&site, "/v1/verifications", &[], body.to_string().as_bytes()).await;
    assert_eq!(reply.code(), (422, "no_route".to_owned()));
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    for part in ["carrier-a cannot say to whom a payment goes", "ask by text", "own voice speaks"] {
        assert!(detail.contains(part), "{detail}");
    }
}

#[tokio::test]
async fn who_has_no_route_is_told_which_one_refused_and_not_whom_it_is_for() {
    let site = site().await;
    let body = br#"{"to": "+4930123456"}"#;
    let reply = post(&site, "/v1/verifications", &[], body).await;
    assert_eq!(reply.code(), (422, "no_route".to_owned()));
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with("routes[2] (+49) is for other tenants"), "{detail}");
    assert!(!detail.contains("globex") && !detail.contains("30123456"), "{detail}");
}

#[tokio::test]
async fn only_json_is_read() {
    let site = site().await;
    let key = bearer(ACME);
    for more in [
        vec![],
        vec![("Content-Type", "text/plain")],
        vec![("Content-Type", "application/x-www-form-urlencoded")],
        vec![("Content-Type", "application/json"), ("Content-Encoding", "gzip")],
    ] {
        let mut headers = vec![("Authorization", key.as_str())];
        headers.extend(more);
        let reply = send(site.api, "POST /v1/verifications", &headers, TO.as_bytes()).await;
        assert_eq!(reply.code(), (415, "unsupported_media_type".to_owned()), "{headers:?}");
    }
}

#[tokio::test]
async fn other_methods_are_told_which_to_use() {
    let site = site().await;
    for (line, allow) in [
        ("PUT /v1/verifications", "GET,HEAD,POST"),
        ("DELETE /v1/verifications/x", "GET,HEAD"),
        ("GET /v1/verifications/x/cancel", "POST"),
        ("POST /healthz", "GET,HEAD"),
        ("BREW /docs", "GET,HEAD"),
    ] {
        let reply = send(site.api, line, &[], b"").await;
        assert_eq!(reply.code(), (405, "method_not_allowed".to_owned()), "{line}");
        assert_eq!(reply.header("allow"), Some(allow), "{line}");
    }
}

#[tokio::test]
async fn large_bodies_are_refused_and_the_client_learns_it() {
    let site = site().await;
    let body = vec![b' '; 64 * 1024 - TO.len()];
    let fits = [TO.as_bytes(), &body].concat();
    assert_eq!(post(&site, "/v1/verifications", &[], &fits).await.status, 201);
    for size in [64 * 1024 + 1, 10 * 1024 * 1024] {
        let reply = post(&site, "/v1/verifications", &[], &vec![b' '; size]).await;
        assert_eq!(reply.code(), (413, "body_too_large".to_owned()), "{size}");
    }
    let head = format!(
        "POST /v1/verifications HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        bearer(ACME)
    );
    let mut chunked = head.into_bytes();
    for _ in 0..100 {
        chunked.extend(b"400\r\n");
        chunked.extend([b' '; 1024]);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let reply = Reply::parse(&raw(site.api, &chunked).await);
    assert_eq!(reply.code(), (413, "body_too_large".to_owned()));
    // A key is asked for first, and its absence is told too.
    let reply = send(site.api, "POST /v1/verifications", &[], &vec![b' '; 4 * 1024 * 1024]).await;
    assert_eq!(reply.code(), (401, "unauthorized".to_owned()));
}

#[tokio::test]
async fn large_and_broken_heads_are_refused() {
    let site = site().await;
    let long = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(17 * 1024));
    assert_eq!(Reply::parse(&raw(site.api, long.as_bytes()).await).status, 431);
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101));
    assert_eq!(Reply::parse(&raw(site.api, many.as_bytes()).await).status, 431);
    let very = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: yy\r\n".repeat(500_000));
    assert_eq!(Reply::parse(&raw(site.api, very.as_bytes()).await).status, 431);
    for broken in ["NONSENSE\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\n: x\r\n\r\n"] {
        assert_eq!(Reply::parse(&raw(site.api, broken.as_bytes()).await).status, 400, "{broken}");
    }
    assert_eq!(get(&site, "/healthz").await.status, 200);
}

#[tokio::test]
async fn a_repeat_is_answered_byte_for_byte() {
    let site = site().await;
    let key = [("Idempotency-Key", "login-991")];
    let first = post(&site, "/v1/verifications", &key, TO.as_bytes()).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, None));
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let cancel = format!("/v1/verifications/{id}/cancel");
    assert_eq!(post(&site, &cancel, &[], b"").await.status, 200);
    let again = post(&site, "/v1/verifications", &key, TO.as_bytes()).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("location"), first.header("location"));
    let other = post(&site, "/v1/verifications", &key, br#"{"to":"+14155550132"}"#).await;
    assert_eq!(other.code(), (422, "idempotency_mismatch".to_owned()));
    let bad = post(&site, "/v1/verifications", &[("Idempotency-Key", "a b")], TO.as_bytes()).await;
    assert_eq!(bad.blamed(), ["Idempotency-Key: invalid_value"]);
}

#[tokio::test]
async fn repeats_at_the_same_time_start_one_verification() {
    let site = Arc::new(site().await);
    let mut all = Vec::new();
    for _ in 0..50 {
        let site = Arc::clone(&site);
        all.push(tokio::spawn(async move {
            let key = [("Idempotency-Key", "at-once")];
            post(&site, "/v1/verifications", &key, TO.as_bytes()).await
        }));
    }
    let mut bodies = BTreeSet::new();
    let mut fresh = 0;
    for one in all {
        let reply = one.await.unwrap();
        assert_eq!(reply.status, 201);
        fresh += usize::from(reply.header("idempotent-replayed").is_none());
        bodies.insert(reply.body);
    }
    assert_eq!((bodies.len(), fresh), (1, 1));
}

#[tokio::test]
async fn a_cancel_settles_once() {
    let site = site().await;
    let id = started(&site).await;
    let path = format!("/v1/verifications/{id}/cancel");
    for (body, blamed) in [(&b"{\"why\": 1}"[..], "why: unknown_field")] {
        let reply = post(&site, &path, &[], body).await;
        assert_eq!(reply.code(), (422, "invalid_request".to_owned()));
        assert_eq!(reply.blamed(), [blamed]);
    }
    assert_eq!(post(&site, &path, &[], b"x").await.code().1, "invalid_json");
    let key = [("Idempotency-Key", "cancel-1")];
    let canceled = post(&site, &path, &key, b"{}").await;
    assert_eq!(canceled.status, 200, "{canceled:?}");
    let shown = canceled.json();
    assert_eq!(
        (&shown["status"], &shown["reason"]),
        (&json!("canceled"), &json!("canceled_by_caller"))
    );
    assert!(shown["settled_at"].is_string());
    assert_eq!(canceled.header("location"), None);
    let again = post(&site, &path, &key, b"{}").await;
    assert_eq!(
        (again.body.as_str(), again.header("idempotent-replayed")),
        (canceled.body.as_str(), Some("true"))
    );
    let settled = post(&site, &path, &[], b"").await;
    assert_eq!((settled.status, settled.body), (200, canceled.body));
    let unknown = post(&site, &format!("/v1/verifications/{UNKNOWN_ID}/cancel"), &[], b"").await;
    assert_eq!(unknown.code(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_long_poll_is_answered_at_the_change() {
    let site = Arc::new(site().await);
    let id = started(&site).await;
    let poll = {
        let (site, id) = (Arc::clone(&site), id.clone());
        tokio::spawn(async move {
            let mut since = 1;
            loop {
                let path = format!("/v1/verifications/{id}?wait=30&since={since}");
                let shown = get(&site, &path).await.json();
                since = shown["version"].as_u64().unwrap();
                if shown["status"] != "pending" {
                    return (shown, Instant::now());
                }
            }
        })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!poll.is_finished());
    let changed = Instant::now();
    post(&site, &format!("/v1/verifications/{id}/cancel"), &[], b"").await;
    let (shown, told) = poll.await.unwrap();
    assert_eq!(shown["status"], "canceled");
    assert!(told.duration_since(changed) < Duration::from_secs(2));
    // What is settled is told at once.
    let asked = Instant::now();
    get(&site, &format!("/v1/verifications/{id}?wait=30&since=99")).await;
    assert!(asked.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_long_poll_ends_with_its_patience() {
    let site = site().await;
    let id = started(&site).await;
    let asked = Instant::now();
    let reply = get(&site, &format!("/v1/verifications/{id}?wait=1")).await;
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("pending")));
    assert!(asked.elapsed() >= Duration::from_secs(1));
    assert!(asked.elapsed() < Duration::from_secs(4));
    for query in ["wait=61", "wait=-1", "wait=x", "since=x", "later=1", "wait=1&wait=1"] {
        let reply = get(&site, &format!("/v1/verifications/{id}?{query}")).await;
        assert_eq!(reply.code(), (422, "invalid_request".to_owned()), "{query}");
    }
}

/// How long until the server closes a connection on which these bytes were sent.
async fn closed_after(address: SocketAddr, bytes: &[u8]) -> (Duration, Vec<u8>) {
    let started = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut reply = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut reply))
        .await
        .expect("the server closes");
    (started.elapsed(), reply)
}

#[tokio::test]
async fn clients_that_dawdle_are_closed() {
    let site = site().await;
    let (soon, late) = (Duration::from_millis(250), Duration::from_secs(4));
    for head in [&b""[..], b"G", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"] {
        let (took, reply) = closed_after(site.api, head).await;
        assert!(took > soon && took < late, "{head:?}: {took:?}");
        assert!(reply.is_empty());
    }
    // A head dripped byte by byte gains nothing.
    let mut drip = TcpStream::connect(site.api).await.unwrap();
    let started = Instant::now();
    while drip.write_all(b"G").await.is_ok() && started.elapsed() < late {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(started.elapsed() < late);
    // A body that stops is answered, then closed.
    let slow = format!(
        "POST /v1/verifications HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\
         Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{{\"to\"",
        bearer(ACME)
    );
    let (took, reply) = closed_after(site.api, slow.as_bytes()).await;
    assert!(took > soon && took < late, "{took:?}");
    assert_eq!(Reply::parse(&reply).code(), (408, "request_timeout".to_owned()));
}

#[tokio::test]
async fn idle_connections_live_longer_than_half_sent_heads_but_not_for_ever() {
    let site = site().await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let (idle, _) = closed_after(site.api, request).await;
    assert!(idle > Duration::from_millis(1_900) && idle < Duration::from_secs(6), "{idle:?}");
    let mut stream = TcpStream::connect(site.api).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut buffer = vec![0; 4096];
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let half = Instant::now();
    stream.write_all(b"GET /hea").await.unwrap();
    assert_eq!(stream.read(&mut buffer).await.unwrap_or(0), 0);
    assert!(half.elapsed() < Duration::from_millis(1_500), "{:?}", half.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_fetch_its_answer_is_cut() {
    let huge: Metrics = Arc::new(|| "x".repeat(64 * 1024 * 1024));
    let site = site_with(hasty(), huge).await;
    let mut stream = TcpStream::connect(site.admin).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut fetched = Vec::new();
    let _ = stream.read_to_end(&mut fetched).await;
    assert!(fetched.len() < 64 * 1024 * 1024);
}

#[tokio::test]
async fn where_there_is_no_room_the_one_that_dawdles_longest_gives_way() {
    let settings =
        Settings { max_connections: 2, head_timeout: Duration::from_secs(60), ..hasty() };
    let site = site_with(settings, metrics()).await;
    let mut first = TcpStream::connect(site.api).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = TcpStream::connect(site.api).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(get(&site, "/healthz").await.status, 200);
    assert_eq!(first.read(&mut [0; 16]).await.unwrap_or(0), 0);
    drop(second);
}

#[tokio::test]
async fn where_all_wait_for_us_whoever_comes_is_turned_away() {
    let site = site_with(Settings { max_connections: 0, ..hasty() }, metrics()).await;
    let asked = Instant::now();
    let reply = get(&site, "/healthz").await;
    assert_eq!(reply.code(), (503, "overloaded".to_owned()));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn heads_that_cannot_be_read_are_answered_with_a_problem() {
    let site = site().await;
    let many: String = (0..101).map(|i| format!("X-{i}: 1\r\n")).collect();
    let long = format!("X: {}\r\n", "x".repeat(17 * 1024));
    let path = "x".repeat(17 * 1024);
    for (head, status, code) in [
        ("\0\x01\x02\r\n\r\n".to_owned(), 400, "invalid_head"),
        ("GET / HTTP/1.1\r\nA B: 1\r\n\r\n".to_owned(), 400, "invalid_head"),
        ("GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_owned(), 400, "invalid_head"),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), 431, "head_too_large"),
        (format!("GET / HTTP/1.1\r\n{long}\r\n"), 431, "head_too_large"),
        (format!("GET /{path} HTTP/1.1\r\n\r\n"), 431, "head_too_large"),
    ] {
        let reply = Reply::parse(&raw(site.api, head.as_bytes()).await);
        assert_eq!(reply.code(), (status, code.to_owned()), "{head:?}");
        assert_eq!(reply.header("connection"), Some("close"));
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_all_the_same() {
    let settings = Settings { request_timeout: Duration::from_millis(300), ..hasty() };
    let site = site_with(settings, metrics()).await;
    let id = started(&site).await;
    // What is asked to wait may wait.
    let reply = get(&site, &format!("/v1/verifications/{id}?wait=1")).await;
    assert_eq!(reply.status, 200);
    let never = axum::routing::get(std::future::pending::<Response>);
    let router = Router::new().route("/", never);
    let asked = Instant::now();
    let request = Request::new(Body::empty());
    let response = respond(router, request, Duration::from_millis(300)).await;
    assert_eq!(
        (response.status().as_u16(), response.headers()["retry-after"].as_bytes()),
        (503, &b"1"[..])
    );
    assert!(asked.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn closing_waits_for_nobody_who_does_nothing() {
    let site = site().await;
    let id = started(&site).await;
    let silent = TcpStream::connect(site.api).await.unwrap();
    let mut idle = TcpStream::connect(site.api).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 4096]).await.unwrap() > 0);
    let mut poll = TcpStream::connect(site.api).await.unwrap();
    let request = format!(
        "GET /v1/verifications/{id}?wait=60 HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n",
        bearer(ACME)
    );
    poll.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let closing = Instant::now();
    site.close.send(()).unwrap();
    site.running.await.unwrap();
    assert!(closing.elapsed() < Duration::from_secs(2), "{:?}", closing.elapsed());
    let mut told = Vec::new();
    poll.read_to_end(&mut told).await.unwrap();
    assert_eq!(Reply::parse(&told).status, 200);
    assert!(TcpStream::connect(site.api).await.is_err());
    drop((silent, idle));
}

#[tokio::test]
async fn a_panic_is_our_fault_and_not_the_end() {
    let broken: Metrics = Arc::new(|| panic!("secret-canary"));
    let site = site_with(hasty(), broken).await;
    for _ in 0..2 {
        let reply = send(site.admin, "GET /metrics", &[], b"").await;
        assert_eq!(reply.code(), (500, "internal".to_owned()));
        assert!(!reply.body.contains("canary") && !reply.head.contains("canary"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    assert_eq!(send(site.admin, "GET /healthz", &[], b"").await.status, 200);
}

#[tokio::test]
async fn health_is_told_on_both_listeners_and_metrics_on_one() {
    let site = site().await;
    for address in [site.api, site.admin] {
        let health = send(address, "GET /healthz", &[], b"").await;
        assert_eq!((health.status, health.json()), (200, json!({"status": "ok"})));
        let ready = send(address, "GET /readyz", &[], b"").await;
        assert_eq!((ready.status, ready.json()), (200, json!({"ready": true, "reasons": []})));
    }
    let metrics = send(site.admin, "GET /metrics", &[], b"").await;
    assert_eq!((metrics.status, metrics.body.as_str()), (200, "octothorpe_up 1\n"));
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(send(site.api, "GET /metrics", &[], b"").await.status, 404);
    assert_eq!(send(site.admin, "POST /v1/verifications", &[], b"").await.status, 404);
}

#[tokio::test]
async fn the_contract_is_served_for_machines_and_people() {
    let site = site().await;
    let contract = send(site.api, "GET /v1/openapi.json", &[], b"").await;
    assert_eq!(contract.header("content-type"), Some("application/json"));
    assert_eq!(contract.json()["openapi"], "3.1.0");
    let page = send(site.api, "GET /docs", &[], b"").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    for (_, path, _) in api_routes().iter().filter(|(_, path, _)| !path.starts_with("/hooks")) {
        assert!(page.body.contains(path), "{path}");
    }
    let head = send(site.api, "HEAD /docs", &[], b"").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let settings = Settings { api_listen: address, ..hasty() };
    let error =
        Server::bind(Listening::new(settings).unwrap(), gateway(), metrics()).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()));
}
