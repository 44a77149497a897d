//! The one connection to the primary, and the task that owns it.
//!
//! What waits is sent together and answered together, as the embedded store's writer does it: a group of
//! commands, and behind them `WAIT`, on the same connection. Nothing of a group is told before as many replicas
//! as are wanted have all that the primary had by then: neither what was written nor what was only read, for
//! a verdict that somebody has been told must outlive the primary.
//!
//! A connection that failed in any way is given up, and the primary looked for anew: at the address itself, by
//! asking the sentinels, or by asking the cluster's nodes who has our slot. Each connection has an epoch, and
//! scripts of an earlier one are refused: what waited in a frozen server's buffers cannot come to life behind
//! our back. What a turn did whose answer never came is not known to us, though it may have been done: effects
//! that it took are given up by the next claim, and come back as orphans.
//!
//! The server is asked what time it is, with each connection and each claim, and the gateway's clock follows.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion,
    PushInfo, PushKind, RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, Value,
};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use super::reply::{self, Reply};
use super::scripts::{Loaded, Verb};
use super::settings::{RedisPlace, RedisServer, RedisSettings};
use crate::ambient::{self, Clock, Timestamp};
use crate::failpoint::{self, Point};
use crate::store::seal::Seal;
use crate::store::{Hinted, StoreError};
use crate::telemetry::{self, Event};
use crate::verify::code::KeyId;

/// The layout of what is kept, as the scripts have it.
const LAYOUT: u32 = 1;

/// How long a caller waits.
const CALL: Duration = Duration::from_millis(500);

/// How long a caller waits before any server was reached: a gateway that starts.
const FIRST_CALL: Duration = Duration::from_secs(5);

/// How long a server may take to answer a group, replicas included.
const ANSWER: Duration = Duration::from_millis(400);

/// How long a replica may take, in milliseconds.
const REPLICA_MS: u32 = 200;

/// How long a server may take to take a connection.
const CONNECT: Duration = Duration::from_millis(300);

/// By how much a clock may have been wrong when something was asked for that waits for the first connection.
const MOVES_MOST: Duration = Duration::from_secs(1);

/// How long to wait before the next try to find the primary, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How many orders may wait before their callers do.
const WAITING_MOST: usize = 1_024;

/// How many of them are sent at once: a larger group would keep its first ones waiting.
const GROUP_MOST: usize = 256;

/// After how many seconds a connection that did nothing loses its epoch, and what it wrote there.
const SESSION_SECS: u32 = 3_600;

/// The way to Redis. The last clone closes it.
#[derive(Clone)]
pub(super) struct Link(Arc<Shared>);

struct Shared {
    jobs: mpsc::Sender<Job>,
    state: Arc<State>,
    /// The keys' common beginning.
    prefix: String,
    shown: String,
}

/// How it is with the server.
#[derive(Default)]
struct State {
    was_reached: AtomicBool,
    /// Why there is no connection.
    trouble: Mutex<Option<String>>,
}

/// What is wanted of the server.
pub(super) enum Order {
    /// A command.
    Plain(Cmd),
    /// A script, and its arguments.
    Script(Verb, Vec<Vec<u8>>),
}

impl Order {
    /// Whether it writes by the time that the caller had.
    const fn has_time(&self) -> bool {
        matches!(self, Self::Script(Verb::Commit | Verb::Claim | Verb::Tally, _))
    }
}

struct Job {
    order: Order,
    /// It was given before the server's time was known.
    is_early: bool,
    /// `None`: nobody waits for the answer.
    reply: Option<oneshot::Sender<Result<Value, StoreError>>>,
}

impl Link {
    /// Begins to look for the primary. `None` outside of a runtime.
    pub(super) fn open(
        settings: RedisSettings,
        seal: Arc<Seal>,
        hints: broadcast::Sender<Hinted>,
        clock: Clock,
    ) -> Option<Self> {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let (jobs, waiting) = mpsc::channel(WAITING_MOST);
        let state = Arc::new(State::default());
        let (prefix, shown) = (format!("{{{}}}:", settings.prefix), settings.to_string());
        let session = ambient::secret::<12>().iter().map(|byte| format!("{byte:02x}")).collect();
        let keeper = Keeper {
            session,
            epoch: 0,
            turn: 0,
            doubts: Vec::new(),
            had_replicas: false,
            prefix: prefix.clone(),
            hints,
            clock,
            state: Arc::clone(&state),
            settings,
            seal,
        };
        runtime.spawn(keeper.run(waiting));
        Some(Self(Arc::new(Shared { jobs, state, prefix, shown })))
    }

    /// The name of a key.
    pub(super) fn key(&self, kind: &str, name: &str) -> Vec<u8> {
        format!("{}{kind}{name}", self.0.prefix).into_bytes()
    }

    /// Has something done, and waits until it is known to be kept.
    pub(super) async fn call(&self, order: Order) -> Result<Value, StoreError> {
        let stopped = || StoreError::Unsafe("its task has stopped".to_owned());
        let state = &self.0.state;
        let is_early = !state.was_reached.load(Ordering::Relaxed);
        let patience = if is_early { FIRST_CALL } else { CALL };
        let (reply, answer) = oneshot::channel();
        let told = async {
            let job = Job { order, is_early, reply: Some(reply) };
            self.0.jobs.send(job).await.map_err(|_| stopped())?;
            answer.await.unwrap_or_else(|_| Err(stopped()))
        };
        let in_time = tokio::time::timeout(patience, told).await;
        in_time.unwrap_or_else(|_| Err(StoreError::Unsafe(state.why())))
    }

    /// Hints to every node, this one too; nobody may hear it.
    pub(super) fn publish(&self, hint: &Hinted) {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(self.key("hints", "")).arg(hint.to_string());
        let job = Job { order: Order::Plain(publish), is_early: false, reply: None };
        let _where_too_much_waits_hints_are_left_out = self.0.jobs.try_send(job);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.shown)
    }
}

impl State {
    fn why(&self) -> String {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone().unwrap_or_else(|| "Redis did not answer in time".to_owned())
    }

    /// Notes that there is a connection, or why not; true when that is news.
    fn note(&self, trouble: Option<&str>) -> bool {
        let mut before = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = trouble.is_none() && !self.was_reached.load(Ordering::Relaxed);
        let is_news = is_first || before.is_none() != trouble.is_none();
        *before = trouble.map(str::to_owned);
        if trouble.is_none() {
            self.was_reached.store(true, Ordering::Relaxed);
        }
        is_news
    }
}

/// The one that owns the connection.
struct Keeper {
    settings: RedisSettings,
    seal: Arc<Seal>,
    prefix: String,
    hints: broadcast::Sender<Hinted>,
    /// It follows the server's.
    clock: Clock,
    state: Arc<State>,
    /// Names this process among those that share the store.
    session: String,
    /// Which connection of this process it is.
    epoch: u64,
    /// Which group of it.
    turn: u64,
    /// Turns whose answers never came, and which may have taken effects.
    doubts: Vec<String>,
    /// Once there was a replica, one must confirm.
    had_replicas: bool,
}

/// A connection to a primary that takes our writes.
struct Connection {
    connection: MultiplexedConnection,
    at: RedisServer,
    /// How many replicas must confirm.
    replicas: u32,
    scripts: Loaded,
    /// By how much our clock moved when it was opened.
    moved: Duration,
    lost: Arc<Notify>,
}

impl Keeper {
    async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut pause = PAUSE.0;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    pause = PAUSE.0;
                    if self.state.note(None) {
                        let (at, replicas) = (connection.at.to_string(), connection.replicas);
                        let ahead_ms = self.clock.lead() / 1_000;
                        telemetry::observe(&Event::StoreReached { at: &at, replicas, ahead_ms });
                    }
                    match self.serve(connection, &mut waiting).await {
                        Some(why) => self.lost(&why),
                        None => return,
                    }
                }
                Err(why) => {
                    self.lost(&why);
                    if waiting.is_closed() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    fn lost(&self, why: &str) {
        if self.state.note(Some(why)) {
            telemetry::observe(&Event::StoreLost { why });
        }
    }

    /// Carries orders out until the connection fails, and says why; `None`: nobody is left to give any.
    async fn serve(
        &mut self,
        mut connection: Connection,
        waiting: &mut mpsc::Receiver<Job>,
    ) -> Option<String> {
        let mut group = Vec::with_capacity(GROUP_MOST);
        loop {
            // Whoever was just answered may want the next thing at once: it goes along in this group.
            tokio::task::yield_now().await;
            let lost = Arc::clone(&connection.lost);
            let came = tokio::select! {
                came = waiting.recv_many(&mut group, GROUP_MOST) => came,
                () = lost.notified() => return Some("Redis closed the connection".to_owned()),
            };
            if came == 0 {
                return None;
            }
            // Whoever waited for too long was told that nothing is known of it: it is not begun any more.
            group.retain(|job| job.reply.as_ref().is_none_or(|reply| !reply.is_closed()));
            if connection.moved > MOVES_MOST {
                for job in group.extract_if(.., |job| job.is_early && job.order.has_time()) {
                    job.tell(Err(StoreError::Unsafe("the time was not known yet".to_owned())));
                }
            }
            if let Err(why) = self.carry_out(&mut connection, &mut group).await {
                for job in group.drain(..) {
                    job.tell(Err(StoreError::Unsafe(why.clone())));
                }
                return Some(why);
            }
        }
    }

    /// Sends a group, and answers it. An error is for all that is left of it.
    async fn carry_out(
        &mut self,
        connection: &mut Connection,
        group: &mut Vec<Job>,
    ) -> Result<(), String> {
        if group.is_empty() {
            return Ok(());
        }
        self.turn += 1;
        let turn = format!("{}.{}", self.session, self.turn);
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        for job in group.iter() {
            pipe.add_command(self.command(&job.order, &connection.scripts, &turn));
        }
        let doubts = self.doubts.len();
        let has_claim = group.iter().any(|job| matches!(job.order, Order::Script(Verb::Claim, _)));
        if has_claim {
            pipe.cmd("TIME");
        }
        // Also what WAIT waits for where the group has only read.
        pipe.cmd("EXPIRE").arg(self.session_key()).arg(SESSION_SECS);
        if connection.replicas > 0 {
            pipe.cmd("WAIT").arg(connection.replicas).arg(REPLICA_MS);
        }
        // Until it is known otherwise.
        self.doubts.push(turn);
        let asked = self.clock.now();
        failpoint::pass(Point::RedisBefore);
        let told = pipe.query_async(&mut connection.connection);
        let told = failpoint::amid(Point::RedisAmid, told).await;
        failpoint::pass(Point::RedisAfter);
        let mut answers: Vec<RedisResult<Value>> = told.map_err(|error| said(&error))?;
        let answered = self.clock.now();
        if connection.replicas > 0 {
            let confirmed = last(&mut answers)?;
            if confirmed < u64::from(connection.replicas) {
                return Err(unconfirmed(confirmed, connection.replicas));
            }
        }
        if last(&mut answers)? == 0 {
            return Err("Redis has forgotten this connection".to_owned());
        }
        self.doubts.pop();
        if has_claim {
            let time = answers.pop().unwrap_or(Ok(Value::Nil)).map_err(|error| said(&error))?;
            self.clock.follow(asked, time_of(time).map_err(|error| error.to_string())?, answered);
            self.doubts.drain(..doubts);
        }
        let mut trouble = Ok(());
        for (job, answer) in group.drain(..).zip(answers) {
            let answer = answer.map_err(|error| {
                let why = said(&error);
                if is_elsewhere(&error) {
                    trouble = Err(why.clone());
                }
                if error.code() == Some("OOM") { StoreError::Full } else { StoreError::Unsafe(why) }
            });
            job.tell(answer);
        }
        trouble
    }

    fn command(&self, order: &Order, scripts: &Loaded, turn: &str) -> Cmd {
        match order {
            Order::Plain(command) => command.clone(),
            Order::Script(verb, args) => {
                let mut command = redis::cmd("EVALSHA");
                command.arg(scripts.hash(*verb)).arg(2);
                command.arg(&self.prefix).arg(self.session_key());
                command.arg(self.epoch).arg(turn);
                command.arg(args);
                if *verb == Verb::Claim {
                    command.arg(self.doubts.len()).arg(&self.doubts);
                }
                command
            }
        }
    }

    fn session_key(&self) -> String {
        format!("{}session:{}", self.prefix, self.session)
    }

    /// Finds the primary, and makes it ready for us.
    async fn connect(&mut self) -> Result<Connection, String> {
        let at = self.locate().await?;
        let lost = Arc::new(Notify::new());
        let mut connection = self.reach(&at, true, Some(&lost)).await?;
        let told = |error: RedisError| format!("{at}: {}", said(&error));
        // Not by WAIT: it passes over replicas that have not confirmed the newest yet, whoever wrote that.
        let role = redis::cmd("ROLE").query_async(&mut connection).await.map_err(told)?;
        let there = replicas_of(role).map_err(|error| format!("{at}: {error}"))?;
        let there = there.ok_or_else(|| format!("{at}: it is no primary"))?;
        self.had_replicas |= there > 0;
        self.epoch += 1;
        let meta = format!("{}meta", self.prefix);
        let mut scripts = redis::pipe();
        for verb in Verb::ALL {
            scripts.cmd("SCRIPT").arg("LOAD").arg(verb.text());
        }
        let scripts = Loaded(scripts.query_async(&mut connection).await.map_err(told)?);
        let mut pipe = redis::pipe();
        pipe.cmd("SET").arg(self.session_key()).arg(self.epoch).arg("EX").arg(SESSION_SECS);
        pipe.ignore();
        pipe.cmd("HSETNX").arg(&meta).arg("layout").arg(LAYOUT).ignore();
        pipe.cmd("HSETNX").arg(&meta).arg("key").arg(number_of(self.seal.key_id())).ignore();
        pipe.cmd("HMGET").arg(&meta).arg("layout").arg("key");
        let (found,): (Vec<u32>,) = pipe.query_async(&mut connection).await.map_err(told)?;
        self.check(&found, &at)?;
        let mut newest = redis::pipe();
        newest.cmd("HSET").arg(&meta).arg("key").arg(number_of(self.seal.key_id())).ignore();
        let replicas = self.replicas();
        newest.cmd("WAIT").arg(replicas).arg(REPLICA_MS);
        let (confirmed,): (u64,) = newest.query_async(&mut connection).await.map_err(told)?;
        if confirmed < u64::from(replicas) {
            return Err(format!("{at}: {}", unconfirmed(confirmed, replicas)));
        }
        connection.subscribe(format!("{}hints", self.prefix)).await.map_err(told)?;
        let asked = self.clock.now();
        let time = redis::cmd("TIME").query_async(&mut connection).await.map_err(told)?;
        let time = time_of(time).map_err(|error| format!("{at}: {error}"))?;
        let moved = self.clock.follow(asked, time, self.clock.now());
        Ok(Connection { connection, at, replicas, scripts, moved, lost })
    }

    /// Whether what is there is of our layout, and sealed by a key that is at hand.
    fn check(&self, found: &[u32], at: &RedisServer) -> Result<(), String> {
        match found {
            &[LAYOUT, key] => {
                let key = KeyId::from_bytes(key.to_be_bytes());
                if self.seal.knows(key) {
                    return Ok(());
                }
                Err(format!(
                    "{at}: what is there is sealed by the key {key}, and the key at hand is {}: write the \
                     secret of then in store.secret, or among store.older_secrets where it was exchanged; or \
                     take another store.prefix",
                    self.seal.key_id()
                ))
            }
            _ => Err(format!(
                "{at}: what is there under this store.prefix has another layout than this program's \
                 ({LAYOUT}): take another prefix"
            )),
        }
    }

    /// How many replicas must confirm.
    fn replicas(&self) -> u32 {
        let has_replicas = match &self.settings.place {
            RedisPlace::Alone { .. } => self.had_replicas,
            RedisPlace::Sentinels { .. } | RedisPlace::Cluster { .. } => true,
        };
        self.settings.min_replicas.unwrap_or(u32::from(has_replicas))
    }

    /// Where the primary is.
    async fn locate(&self) -> Result<RedisServer, String> {
        match &self.settings.place {
            RedisPlace::Alone { server, .. } => Ok(server.clone()),
            RedisPlace::Sentinels { servers, service } => {
                let mut trouble = format!("no sentinel knows a primary by the name {service}");
                for sentinel in servers {
                    match self.ask_sentinel(sentinel, service).await {
                        Ok(Some(server)) => return Ok(server),
                        Ok(None) => {}
                        Err(why) => trouble = why,
                    }
                }
                Err(trouble)
            }
            RedisPlace::Cluster { servers } => {
                let mut trouble = "no node of the cluster says who has our hash slot".to_owned();
                for node in servers {
                    match self.ask_node(node).await {
                        Ok(Some(server)) => return Ok(server),
                        Ok(None) => {}
                        Err(why) => trouble = why,
                    }
                }
                Err(trouble)
            }
        }
    }

    async fn ask_sentinel(
        &self,
        sentinel: &RedisServer,
        service: &str,
    ) -> Result<Option<RedisServer>, String> {
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
        let told = |error: RedisError| format!("sentinel {sentinel}: {}", said(&error));
        let mut connection = self.reach(sentinel, false, None).await?;
        let mut found: RedisResult<Option<(String, u16)>> =
            question.query_async(&mut connection).await;
        if found.as_ref().is_err_and(|error| error.code() == Some("NOAUTH")) {
            // Sentinels need no password as a rule, and refuse one that they do not need.
            let mut connection = self.reach(sentinel, true, None).await?;
            found = question.query_async(&mut connection).await;
        }
        let found = found.map_err(told)?;
        Ok(found.map(|(host, port)| RedisServer { host, port }))
    }

    /// Who has our slot, as this node of a cluster knows it.
    async fn ask_node(&self, node: &RedisServer) -> Result<Option<RedisServer>, String> {
        let told = |error: RedisError| format!("{node}: {}", said(&error));
        let mut connection = self.reach(node, true, None).await?;
        let mut questions = redis::pipe();
        questions.cmd("CLUSTER").arg("KEYSLOT").arg(&self.prefix);
        questions.cmd("CLUSTER").arg("SLOTS");
        let (slot, ranges): (u64, Vec<Value>) =
            questions.query_async(&mut connection).await.map_err(told)?;
        let owner = ranges.into_iter().find_map(|range| owner_of(slot, range).ok().flatten());
        // A node that does not know its own address says nothing in its place.
        Ok(owner.map(|(host, port)| {
            let host = if host.is_empty() { node.host.clone() } else { host };
            RedisServer { host, port }
        }))
    }

    /// Opens a connection to a server, with our name and password or without.
    async fn reach(
        &self,
        server: &RedisServer,
        named: bool,
        lost: Option<&Arc<Notify>>,
    ) -> Result<MultiplexedConnection, String> {
        let told = |error: RedisError| format!("{server}: {}", said(&error));
        let mut us = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let RedisPlace::Alone { database, .. } = &self.settings.place {
            us = us.set_db(i64::from(*database));
        }
        if named {
            if let Some(user) = &self.settings.user {
                us = us.set_username(user);
            }
            if let Some(password) = &self.settings.password {
                us = us.set_password(password.as_str());
            }
        }
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        if let Some(lost) = lost {
            // Hints come on the same connection, which only RESP3 allows.
            us = us.set_protocol(ProtocolVersion::RESP3);
            let (lost, hints) = (Arc::clone(lost), self.hints.clone());
            config = config.set_push_sender(move |push| hear(push, &lost, &hints));
        }
        let (host, port) = (server.host.clone(), server.port);
        let address = if self.settings.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        // A command that waits for the acknowledgement of the one before it waits 40 ms: Nagle's algorithm (RFC 896)
        // against delayed acknowledgements (RFC 1122, Section 4.2.3.2).
        let at_once = TcpSettings::default().set_nodelay(true);
        let info = address.into_connection_info().map_err(told)?;
        let info = info.set_redis_settings(us).set_tcp_settings(at_once);
        let client = Client::open(info).map_err(told)?;
        client.get_multiplexed_async_connection_with_config(&config).await.map_err(told)
    }
}

impl Job {
    fn tell(self, answer: Result<Value, StoreError>) {
        if let Some(reply) = self.reply {
            // Nobody may be waiting any more; what was written stays written.
            let _unheard = reply.send(answer);
        }
    }
}

/// How many replicas are online at a primary, by its answer to ROLE; `None`: it is none.
fn replicas_of(role: Value) -> Result<Option<usize>, StoreError> {
    let mut role = Reply::new(role)?;
    if role.text()? != "master" {
        return Ok(None);
    }
    let _offset = role.count()?;
    Ok(Some(role.inner()?.rest(|_| Ok(()))?.len()))
}

/// The time that a server tells: seconds and microseconds.
fn time_of(told: Value) -> Result<Timestamp, StoreError> {
    let mut told = Reply::new(told)?;
    Ok(Timestamp::from_secs(told.number()?) + Duration::from_micros(told.number()?))
}

/// What comes without having been asked for.
fn hear(push: PushInfo, lost: &Notify, hints: &broadcast::Sender<Hinted>) -> Result<(), ()> {
    let PushInfo { kind, mut data } = push;
    if kind == PushKind::Disconnection {
        lost.notify_one();
    }
    if kind == PushKind::Message
        && let Some(Value::BulkString(hint)) = data.pop()
        && let Ok(hint) = String::from_utf8_lossy(&hint).parse()
    {
        let _nobody_listens = hints.send(hint);
    }
    Ok(())
}

/// The primary of a range of slots, if it has this one.
fn owner_of(slot: u64, range: Value) -> Result<Option<(String, u16)>, StoreError> {
    let mut range = Reply::new(range)?;
    let (first, end) = (range.count()?, range.count()?);
    let mut primary = range.inner()?;
    let host = primary.maybe()?.map(String::from_utf8).transpose();
    let host = host.map_err(|_| reply::strange("a host that is none"))?.unwrap_or_default();
    let port = u16::try_from(primary.count()?).map_err(|_| reply::strange("no port"))?;
    Ok((first..=end).contains(&slot).then_some((host, port)))
}

/// The last of the answers, a number.
fn last(answers: &mut Vec<RedisResult<Value>>) -> Result<u64, String> {
    let answer = answers.pop().unwrap_or(Ok(Value::Nil)).map_err(|error| said(&error))?;
    reply::count(&answer).map_err(|error| error.to_string())
}

fn unconfirmed(confirmed: u64, wanted: u32) -> String {
    format!("{confirmed} of {wanted} replicas have confirmed it")
}

/// What went wrong. Redis says which command it was, never with what.
fn said(error: &RedisError) -> String {
    if error.is_timeout() { "it did not answer in time".to_owned() } else { error.to_string() }
}

/// Whether the server is not, or no longer, the one that we want.
fn is_elsewhere(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, NoScript, ReadOnly};
    let kinds = [Ask, BusyLoading, ClusterDown, MasterDown, Moved, NoScript, ReadOnly];
    error.code() == Some("FENCED")
        || kinds.into_iter().any(|kind| error.kind() == redis::ErrorKind::Server(kind))
}

/// A key's id, as it stands in the store.
fn number_of(key: KeyId) -> u32 {
    u32::from_be_bytes(key.to_bytes())
}
