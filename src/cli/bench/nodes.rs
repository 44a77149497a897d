//! Starts by nodes that share a Redis, beside what that Redis and the way to it bear.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::centre::Centre;
use super::child::{Gateway, Redis, Store};
use super::figures::{Figure, number};
use super::http::{BIND, CLIENTS, WARM, configuration, figure, measured, starts, tell};
use super::machine::{self, Cores};
use super::rush::Rush;
use crate::ambient::Clock;
use crate::store::{self, RedisPlace, RedisServer, RedisSettings};
use crate::verify::code::Vault;

/// How it is named among the stores.
const NAME: &str = "redis";

/// How many nodes are held against one.
const NODES: usize = 3;

/// One node of a core of its own; then three, where this machine has cores for them, their Redis and their
/// clients.
pub(super) async fn measure(
    folder: &Path,
    clock: &Clock,
    key: &str,
    cores: Cores,
    span: Duration,
) -> anyhow::Result<Vec<Figure>> {
    let several = machine::several(cores, NODES + 1);
    let (own, places) = match several.as_deref() {
        Some([own, places @ ..]) => (Some(*own), places),
        Some([]) | None => (None, std::slice::from_ref(&cores)),
    };
    let redis = Redis::start(folder, own).await?;
    eprintln!("{NAME}: scripts that find nothing …");
    let scripts = scripts(&redis, clock, span).await?;
    let made = Rc::new(Cell::new(0));
    let mut nodes = Vec::new();
    for (node, cores) in places.iter().enumerate() {
        nodes.push(Node::start(folder, (&redis, node), clock, key, *cores, &made).await?);
    }
    let first = nodes.first().context("there is no node")?;
    eprintln!("{NAME}: starts by {CLIENTS} clients …");
    let peak = measured(&first.rush, CLIENTS, span).await?;
    tell(&peak);
    let half = peak.rate() / 2.0;
    eprintln!("{NAME}: {half:.0} starts a second are asked for …");
    let calm = first.rush.open(half, span).await?;
    tell(&calm);
    let without = {
        let centre = Centre::start(clock.clone()).await?;
        let rest = configuration(centre.address);
        let gateway = Gateway::start(folder, Store::Memory, &rest, key, first.cores).await?;
        let rush = Rush { address: gateway.api, ..first.rush.clone() };
        rush.closed(CLIENTS, WARM).await?;
        eprintln!("memory: {half:.0} starts a second are asked for …");
        rush.open(half, span).await?.good().percent(99)
    };
    let late = number(calm.unsent + calm.refused.len() + calm.other.len());
    let p99 = calm.good().percent(99);
    let memory = machine::most_memory(first.gateway.id())?;
    let mut figures = vec![
        figure(NAME, "scripts", "scripts that find nothing", scripts, "/s"),
        figure(NAME, "starts", "starts", peak.rate(), "/s").at_least(2_000.0),
        figure(NAME, "share", "of the scripts", peak.rate() / scripts, ""),
        figure(NAME, "p99", "start to its answer p99", peak.good().percent(99), "ms"),
        figure(NAME, "half_p99", "half as many: start p99", p99, "ms").at_most(10.0),
        figure(NAME, "half_memory_p99", "the same in memory: start p99", without, "ms"),
        figure(NAME, "half_lost", "half as many: without a start", late, "").at_most(0.0),
        figure(NAME, "memory", "most memory", memory, "MiB").at_most(512.0),
    ];
    match nodes.as_slice() {
        [a, b, c] => {
            eprintln!("{NAME}: the same by {NODES} nodes …");
            let each = |node: &Node| {
                let rush = node.rush.clone();
                async move { measured(&rush, CLIENTS, span).await }
            };
            let (a, b, c) = tokio::try_join!(each(a), each(b), each(c))?;
            let all = a.rate() + b.rate() + c.rate();
            let more = all / peak.rate();
            figures.push(figure(NAME, "nodes", "starts by three nodes", all, "/s"));
            figures
                .push(figure(NAME, "nodes_more", "of those of one node", more, "").at_least(2.5));
        }
        _ => eprintln!("three nodes are not measured: that takes {} cores", NODES + 2),
    }
    for complaint in nodes.iter().flat_map(|node| node.gateway.complaints()) {
        eprintln!("a gateway: {complaint}");
    }
    Ok(figures)
}

/// A gateway, and who asks it.
struct Node {
    gateway: Gateway,
    /// It sends texts there, one a second.
    _centre: Centre,
    rush: Rush,
    cores: Cores,
}

impl Node {
    async fn start(
        folder: &Path,
        (redis, node): (&Redis, usize),
        clock: &Clock,
        key: &str,
        cores: Cores,
        made: &Rc<Cell<usize>>,
    ) -> anyhow::Result<Self> {
        let centre = Centre::start(clock.clone()).await?;
        let rest = configuration(centre.address);
        let gateway = Gateway::sharing(folder, (redis, node), &rest, key, cores).await?;
        let bound = tokio::time::timeout(BIND, centre.bound()).await;
        bound.context("the gateway did not bind to the message centre")?;
        let rush = Rush {
            address: gateway.api,
            clock: clock.clone(),
            next: starts(key),
            made: Rc::clone(made),
        };
        Ok(Self { gateway, _centre: centre, rush, cores })
    }
}

/// How many of the lightest scripts the gateway's own client gets through in a second: each looks for a record of
/// a tenant's, and there is none.
async fn scripts(redis: &Redis, clock: &Clock, span: Duration) -> anyhow::Result<f64> {
    let server = RedisServer { host: "127.0.0.1".to_owned(), port: redis.port };
    let settings = RedisSettings {
        place: RedisPlace::Alone { server, database: 0 },
        tls: false,
        user: None,
        password: None,
        prefix: "bench".to_owned(),
        min_replicas: None,
        folder: "unused".into(),
    };
    let store = store::Store::redis(settings, &Vault::of("a key of the bench"), clock)?;
    let (began, mut all) = (clock.now(), JoinSet::new());
    for _ in 0..CLIENTS {
        let (store, clock) = (store.clone(), clock.clone());
        all.spawn(async move {
            let mut read = 0_usize;
            while clock.now().since(began) < span {
                store.load_in("nobody", "vf_none").await?;
                read += 1;
            }
            anyhow::Ok(read)
        });
    }
    let mut read = 0;
    while let Some(one) = all.join_next().await {
        read += one??;
    }
    Ok(number(read) / clock.now().since(began).as_secs_f64())
}
