//! People who start verifications at two nodes, type codes and answer calls, each step at whichever node
//! comes next; and all that they, and the customer's endpoint, are told. At the end it is compared with
//! what every node says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::serve::BEARER;
use crate::tools::wait_for;

/// How long whoever wants to start asks for it.
const START: Duration = Duration::from_secs(2);

/// How long whoever has begun goes on asking for the next step.
const PATIENCE: Duration = Duration::from_secs(150);

/// How long between two tries.
const AGAIN: Duration = Duration::from_millis(250);

/// How soon after the last verdict the endpoint must know of all.
const KNOWN: Duration = Duration::from_secs(60);

/// How many wrong codes are ever compared.
const CHECKS: usize = 5;

/// Status and reason.
type Verdict = (String, String);

/// A request, and how it was answered.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// At which node.
    pub(crate) node: usize,
    /// When.
    pub(crate) at: Instant,
    /// How long it took.
    pub(crate) took: Duration,
    /// The status; 0: the connection failed.
    pub(crate) status: u16,
    /// The code of a refusal.
    pub(crate) code: String,
}

/// How all of it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How many verifications ended so.
    pub(crate) verdicts: BTreeMap<String, usize>,
    /// How many starts were given up.
    pub(crate) given_up: usize,
    requests: usize,
    refused: usize,
    compared: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdicts, given_up, requests, refused, compared } = self;
        let begun: usize = verdicts.values().sum();
        write!(
            f,
            "{requests} requests, {refused} of them refused; {begun} verifications ({given_up} starts were given \
             up), {compared} wrong codes compared; {verdicts:?}"
        )
    }
}

/// What was told of one verification.
#[derive(Debug, Default)]
struct Told {
    verdicts: BTreeSet<Verdict>,
    /// The checks left, as each wrong code that was compared was told.
    left: Vec<u64>,
    /// Whether anybody typed the right code.
    right: bool,
    /// Whether it was told to be that.
    matched: bool,
}

#[derive(Debug, Default)]
struct World {
    nodes: Mutex<Vec<SocketAddr>>,
    turn: AtomicUsize,
    texts: AtomicUsize,
    is_over: AtomicBool,
    /// Starts that were given up.
    given_up: AtomicUsize,
    /// Who did not get through with a verification that had begun.
    stuck: Mutex<Vec<String>>,
    asked: Mutex<Vec<Asked>>,
    told: Mutex<BTreeMap<String, Told>>,
    /// Events and their verdicts, by verification.
    events: Mutex<BTreeMap<String, BTreeSet<(String, Verdict)>>>,
}

/// The people, whoever carries their texts, and the customer's endpoint.
pub(crate) struct Load {
    runtime: Runtime,
    world: Arc<World>,
    address: SocketAddr,
    people: Option<JoinHandle<()>>,
}

impl Load {
    /// Takes texts and events at this address.
    pub(crate) fn at(host: &str) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let world = Arc::new(World::default());
        let listener = runtime.block_on(TcpListener::bind((host, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::clone(&world);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let world = Arc::clone(&taken);
                tokio::spawn(async move { serve(stream, &world).await });
            }
        });
        Self { runtime, world, address, people: None }
    }

    /// The URL of the customer's endpoint.
    pub(crate) fn hooks(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// A carrier of texts, its route, and that of calls to the trunk `phone`.
    pub(crate) fn ways(&self) -> String {
        format!("[[routes]]\nchannel = \"voice\"\nvia = [\"phone\"]\n{}", self.texts())
    }

    /// The carrier of texts, and its route.
    pub(crate) fn texts(&self) -> String {
        format!(
            r#"
            [[carriers]]
            name = "texts"
            kind = "http"
            url = "http://{}/texts"
            from = "+12025550100"
            body = {{ json = {{ to = "{{to}}", text = "{{body}}" }} }}
            handle = {{ pointer = "/id" }}

            [[routes]]
            channel = "sms"
            via = ["texts"]
            "#,
            self.address
        )
    }

    /// Begins: so many a second, of whom one a second is called, if any are.
    pub(crate) fn begin(&mut self, nodes: &[SocketAddr], rate: usize, calls: bool) {
        self.ask_at(nodes);
        let world = Arc::clone(&self.world);
        self.people = Some(self.runtime.spawn(async move {
            let mut people = JoinSet::new();
            let pace = Duration::from_secs(1) / u32::try_from(rate).unwrap();
            let mut turn = tokio::time::interval(pace);
            for n in 0.. {
                turn.tick().await;
                if world.is_over.load(Ordering::Relaxed) {
                    break;
                }
                people.spawn(person(Arc::clone(&world), n, calls && n % rate == 0));
            }
            while people.join_next().await.is_some() {}
        }));
    }

    /// Only these nodes are asked from now on.
    pub(crate) fn ask_at(&self, nodes: &[SocketAddr]) {
        *self.world.nodes.lock().unwrap() = nodes.to_vec();
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.world.asked.lock().unwrap().clone()
    }

    /// How long after this moment a node began a verification, if it has.
    pub(crate) fn first(&self, node: usize, after: Instant) -> Option<Duration> {
        let asked = self.world.asked.lock().unwrap();
        let begun = asked.iter().filter(|it| it.node == node && it.status == 201);
        begun.map(|it| it.at + it.took).find(|at| *at > after).map(|at| at - after)
    }

    /// Ends it: nobody new comes, and whoever has begun goes on to the end. What was told must then be what all
    /// nodes say.
    pub(crate) fn end(&mut self) -> Outcome {
        self.world.is_over.store(true, Ordering::Relaxed);
        let people = self.people.take().unwrap();
        self.runtime.block_on(people).unwrap();
        let world = &self.world;
        let stuck = world.stuck.lock().unwrap().clone();
        assert!(
            stuck.is_empty(),
            "{} got no further: {:?}",
            stuck.len(),
            &stuck[..stuck.len().min(5)]
        );
        let asked = self.asked();
        let strange: Vec<_> =
            asked.iter().filter(|it| ![200, 201, 409, 429, 503].contains(&it.status)).collect();
        assert!(strange.is_empty(), "{strange:?}");
        let ids: Vec<String> = world.told.lock().unwrap().keys().cloned().collect();
        let says = self.runtime.block_on(read_all(Arc::clone(world), ids.clone()));
        wait_for("the endpoint knows all", KNOWN, || {
            let events = world.events.lock().unwrap();
            ids.iter().all(|id| events.contains_key(id)).then_some(())
        });
        let (told, events) = (world.told.lock().unwrap(), world.events.lock().unwrap());
        let (mut wrong, mut verdicts) = (Vec::new(), BTreeMap::<String, usize>::new());
        for (id, told) in told.iter() {
            let says = &says[id];
            let verdict = says.first().cloned().unwrap_or_default();
            *verdicts.entry(format!("{} ({})", verdict.0, verdict.1)).or_default() += 1;
            let mut complain =
                |why: &str| wrong.push(format!("{id}: {why}: {told:?}, nodes say {says:?}"));
            if verdict.0 == "pending" || says.iter().any(|it| *it != verdict) {
                complain("nodes do not agree");
            }
            if told.verdicts.iter().any(|it| *it != verdict) {
                complain("another verdict was told");
            }
            if told.matched && verdict.0 != "approved" {
                complain("the right code was told to be right");
            }
            if verdict.1 == "code_matched" && !told.right {
                complain("nobody typed the right code");
            }
            let distinct: BTreeSet<_> = told.left.iter().collect();
            if distinct.len() != told.left.len() || told.left.len() > CHECKS {
                complain("an attempt was given back");
            }
            let events: Vec<_> = events[id].iter().collect();
            if events.len() != 1 || events[0].1 != verdict {
                complain(&format!("the endpoint was told {events:?}"));
            }
        }
        assert!(
            wrong.is_empty(),
            "{} of {}: {:#?}",
            wrong.len(),
            told.len(),
            &wrong[..wrong.len().min(5)]
        );
        let requests = world.asked.lock().unwrap();
        Outcome {
            verdicts,
            given_up: world.given_up.load(Ordering::Relaxed),
            requests: requests.len(),
            refused: requests.iter().filter(|it| it.status == 503).count(),
            compared: told.values().map(|it| it.left.len()).sum(),
        }
    }
}

/// One person: what they do is in their number.
async fn person(world: Arc<World>, n: usize, is_called: bool) {
    let area = [212, 310, 415, 512, 617, 702, 713, 718, 808, 917][n / 100 % 10];
    let to = format!("+1{area}55501{:02}", n % 100);
    let code = format!("{:08}", 10_000_000 + n);
    let body = if is_called {
        json!({"to": to})
    } else {
        json!({"to": to, "channel": "sms", "mode": "code", "code": code})
    };
    let key = format!("start-{n}");
    let Some((_, begun)) = world.insist(START, &key, "/v1/verifications", &body).await else {
        world.given_up.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let Some(id) = begun["id"].as_str().map(str::to_owned) else {
        // Their number is being called already.
        return;
    };
    world.told.lock().unwrap().entry(id.clone()).or_default();
    let wrong = |k: usize| format!("9{n:06}{k}");
    let check = |code: String| check(&world, &id, n, code);
    let gets_through = match n % 5 {
        _ if is_called => true,
        // At once.
        0 => check(code).await,
        1 => check(wrong(1)).await && check(wrong(2)).await && check(code).await,
        // Too often, at both nodes at once.
        2 => {
            let (a, b, c) = tokio::join!(check(wrong(1)), check(wrong(2)), check(wrong(3)));
            let (d, e, f) = tokio::join!(check(wrong(4)), check(wrong(5)), check(wrong(6)));
            a && b && c && d && e && f && check(code).await
        }
        // After a while, in which anything may happen.
        3 => {
            sleep(Duration::from_secs(2 + u64::try_from(n / 5 % 7).unwrap())).await;
            check(wrong(1)).await && check(code).await
        }
        // Wrong and right ones at once.
        _ => {
            let right = check(code);
            let (a, b, c) = tokio::join!(check(wrong(1)), check(wrong(2)), right);
            a && b && c
        }
    };
    if !gets_through || !settles(&world, &id).await {
        world.stuck.lock().unwrap().push(id);
    }
}

/// Types a code, and notes what was told; `false` where nothing was.
async fn check(world: &World, id: &str, n: usize, code: String) -> bool {
    let is_right = code.starts_with('1');
    if is_right {
        world.told.lock().unwrap().get_mut(id).unwrap().right = true;
    }
    let (key, path) = (format!("check-{n}-{code}"), format!("/v1/verifications/{id}/check"));
    let Some((status, answer)) = world.insist(PATIENCE, &key, &path, &json!({"code": code})).await
    else {
        return false;
    };
    let mut told = world.told.lock().unwrap();
    let told = told.get_mut(id).unwrap();
    told.hear(&answer);
    if status == 200 && answer["matched"] == true {
        told.matched = true;
    } else if status == 200 {
        told.left.push(answer["checks_left"].as_u64().unwrap_or_default());
    }
    true
}

/// Waits for the verdict at any node, and notes it.
async fn settles(world: &World, id: &str) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let answer = world
            .ask("GET", &format!("/v1/verifications/{id}?wait=5&since=99"), "", &json!({}))
            .await;
        if answer.0 == 200 && answer.1["status"] != "pending" {
            world.told.lock().unwrap().get_mut(id).unwrap().hear(&answer.1);
            return true;
        }
        if answer.0 != 200 {
            sleep(AGAIN).await;
        }
    }
    false
}

/// What all nodes say of these.
async fn read_all(world: Arc<World>, ids: Vec<String>) -> BTreeMap<String, Vec<Verdict>> {
    let nodes = world.nodes.lock().unwrap().clone();
    let mut says = BTreeMap::new();
    for id in ids {
        let mut verdicts = Vec::new();
        for node in &nodes {
            let path = format!("/v1/verifications/{id}");
            let read = exchange(*node, "GET", &path, "", "").await;
            verdicts.push(read.map(|(_, found)| verdict(&found)).unwrap_or_default());
        }
        says.insert(id, verdicts);
    }
    says
}

fn verdict(resource: &Value) -> Verdict {
    let text = |name: &str| resource[name].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

impl Told {
    /// A resource, or a refusal that tells of a verdict.
    fn hear(&mut self, answer: &Value) {
        let of = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
        let verdict = match answer["code"].as_str() {
            Some("already_used") => of("approved", "code_matched"),
            Some("too_many_checks") => of("denied", "too_many_checks"),
            _ => verdict(answer),
        };
        if !["pending", ""].contains(&verdict.0.as_str()) {
            self.verdicts.insert(verdict);
        }
    }
}

impl World {
    /// Asks one node after the other until one answers with more than 503.
    async fn insist(
        &self,
        patience: Duration,
        key: &str,
        path: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        let began = Instant::now();
        loop {
            let answer = self.ask("POST", path, key, body).await;
            if ![0, 503].contains(&answer.0) {
                return Some(answer);
            }
            if began.elapsed() > patience {
                return None;
            }
            sleep(AGAIN).await;
        }
    }

    /// Asks the node whose turn it is.
    async fn ask(&self, method: &str, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let nodes = self.nodes.lock().unwrap().clone();
        let node = self.turn.fetch_add(1, Ordering::Relaxed) % nodes.len();
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let at = Instant::now();
        let answer = exchange(nodes[node], method, path, key, &body).await;
        let (status, answer) = answer.unwrap_or_default();
        let code = answer["code"].as_str().unwrap_or_default().to_owned();
        // Who waits for news waits as long as it takes.
        if method == "POST" {
            self.asked.lock().unwrap().push(Asked { node, at, took: at.elapsed(), status, code });
        }
        (status, answer)
    }
}

/// One request, one connection, one answer.
async fn exchange(
    at: SocketAddr,
    method: &str,
    path: &str,
    key: &str,
    body: &str,
) -> std::io::Result<(u16, Value)> {
    let key = if key.is_empty() { String::new() } else { format!("Idempotency-Key: {key}\r\n") };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nAuthorization: {BEARER}\r\n\
         Content-Type: application/json\r\n{key}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let bad = || Error::from(ErrorKind::InvalidData);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(bad)?;
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).ok_or_else(bad)?;
    Ok((status, serde_json::from_str(body)?))
}

/// Takes whatever comes on a connection.
async fn serve(stream: TcpStream, world: &World) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let begins = head.len();
            stream.read_line(&mut head).await.ok().filter(|read| *read > 0)?;
            let line = head[begins..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let told: Value = serde_json::from_slice(&body).ok()?;
        if head.starts_with("POST /hooks ") && told["type"] == "verification.settled" {
            let (id, event) = (told["data"]["id"].as_str()?, told["id"].as_str()?);
            let event = (event.to_owned(), verdict(&told["data"]));
            world.events.lock().unwrap().entry(id.to_owned()).or_default().insert(event);
        }
        let text = world.texts.fetch_add(1, Ordering::Relaxed);
        let answer = json!({"id": format!("text-{text}")}).to_string();
        let length = answer.len();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
        stream.write_all(format!("{head}: {length}\r\n\r\n{answer}").as_bytes()).await.ok()?;
    }
}
