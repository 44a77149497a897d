//! The store in Redis, for several nodes.
//!
//! Each verb that writes is one script (`*.lua` beside this file), and so one transaction; what only reads one
//! row is a command. All keys carry one hash tag, the prefix in braces: on a cluster they are in one slot, and
//! scripts are as atomic there as on one server.
//!
//! How many replicas have what is told, and what becomes of a server that does not answer, is in
//! `src/store/redis/link.rs`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::broadcast;

use self::link::{Link, Order};
use self::reply::{Reply, strange};
use self::scripts::Verb;
pub use self::settings::{RedisPlace, RedisServer, RedisSettings};
use super::seal::{Seal, led_to};
use super::window::{self, Buckets};
use super::{
    Claimed, Commit, Committed, Counter, Effect, EffectId, FIND_MOST, Forgotten, Given, Hinted,
    Hold, LEASE, ListQuery, Listed, Owner, PRUNE_MOST, Page, RENEWAL, StoreError, Stored, Tally,
    WAKE_RETRY,
};
use crate::ambient::{Clock, Timestamp};

mod link;
mod reply;
mod scripts;
mod settings;

/// How many expired answers are removed for each one added.
const ANSWERS_PRUNED: u64 = 2;

/// How many names are looked at in one turn when a number is forgotten.
const SCANNED: u64 = 1_000;

/// What ends the first of two names in one, and what stands for a NUL in it.
const END: &str = "\0\u{1}";
const NUL: &str = "\0\u{2}";

/// The store in Redis. The last clone closes the connection.
#[derive(Clone, Debug)]
pub(super) struct Redis(Link);

impl Redis {
    /// Begins to look for the server, and to hear what other nodes hint at. `None` outside of a runtime.
    pub(super) fn open(
        settings: RedisSettings,
        seal: Arc<Seal>,
        hints: broadcast::Sender<Hinted>,
        clock: Clock,
    ) -> Option<Self> {
        Link::open(settings, seal, hints, clock).map(Self)
    }

    pub(super) async fn load(
        &self,
        id: &str,
        group: Option<&str>,
    ) -> Result<Option<Stored>, StoreError> {
        let row = match group {
            Some(group) => {
                let mut args = Args::default();
                args.text(id).text(group);
                self.script(Verb::Load, args).await?
            }
            None => {
                let mut load = redis::cmd("HMGET");
                load.arg(self.0.key("record:", id)).arg(&["v", "g", "c", "b"]);
                self.0.call(Order::Plain(load)).await?
            }
        };
        let mut row = Reply::new(row)?;
        let Some(version) = row.maybe()? else { return Ok(None) };
        let version = std::str::from_utf8(&version).map_err(|_| strange("no version"))?;
        let (version, group, created) = (reply::number(version)?, row.text()?, row.time()?);
        Ok(Some(Stored { version, group, created, bytes: row.bytes()? }))
    }

    pub(super) async fn answered(
        &self,
        now: Timestamp,
        key: &str,
    ) -> Result<Option<Given>, StoreError> {
        let mut answered = redis::cmd("HMGET");
        answered.arg(self.0.key("answer:", key)).arg(&["f", "b", "e"]);
        let mut row = Reply::new(self.0.call(Order::Plain(answered)).await?)?;
        let Some(fingerprint) = row.maybe()? else { return Ok(None) };
        let (fingerprint, bytes) = (fingerprint_of(fingerprint)?, row.bytes()?);
        Ok((row.time()? > now).then_some(Given { fingerprint, bytes }))
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let Commit { now, record, queue, done, postpone, aliases, holds, answer } = commit;
        let mut args = Args::default();
        args.time(now).number(micros(RENEWAL));
        args.optional(answer, |args, it| {
            args.text(&it.key).bytes(it.fingerprint.to_vec()).bytes(it.bytes).time(it.expires);
            args.number(ANSWERS_PRUNED)
        });
        args.optional(record, |args, it| {
            args.text(&it.id);
            args.optional(it.expected, |args, version| args.number(version));
            args.number(it.version).bytes(it.bytes);
            args.optional(it.wake, |args, wake| args.time(wake));
            args.text(&it.group).time(it.created)
        });
        args.each(holds, |args, it| args.text(&it.name).text(&it.record).time(it.until));
        args.each(done, |args, it| args.effect(&it));
        args.each(postpone, |args, it| {
            args.effect(&it.id).text(it.owner.as_str()).time(it.due).bytes(it.bytes)
        });
        args.each(queue, |args, it| {
            args.effect(&it.id).number(it.kind.into()).time(it.due).number(it.once.into());
            args.optional(it.claimed_by, |args, owner| args.text(owner.as_str()));
            args.optional(it.to, |args, owner| args.text(owner.as_str()));
            args.bytes(it.bytes)
        });
        args.number(count(PRUNE_MOST));
        args.each(aliases, |args, it| args.text(&it.alias).text(&it.record).time(it.expires));
        let mut answer = Reply::new(self.script(Verb::Commit, args).await?)?;
        match answer.text()?.as_str() {
            "yes" => Ok(Committed::Yes),
            "stale" => {
                let version = answer.maybe()?.map(String::from_utf8).transpose();
                let version = version.map_err(|_| strange("no version"))?;
                let version = version.as_deref().map(reply::number).transpose()?;
                Ok(Committed::Stale { version })
            }
            "answered" => {
                let fingerprint = fingerprint_of(answer.bytes()?)?;
                Ok(Committed::Answered { fingerprint, bytes: answer.bytes()? })
            }
            "held" => {
                let (name, record, until) = (answer.text()?, answer.text()?, answer.time()?);
                Ok(Committed::Held(Hold { name, record, until }))
            }
            _ => Err(strange("no outcome of a commit")),
        }
    }

    pub(super) async fn claim(
        &self,
        now: Timestamp,
        owner: &Owner,
        limit: usize,
    ) -> Result<Claimed, StoreError> {
        let mut args = Args::default();
        args.time(now).text(owner.as_str()).number(count(limit));
        args.number(micros(RENEWAL)).number(micros(LEASE)).time(now + WAKE_RETRY);
        args.number(count(PRUNE_MOST));
        let mut answer = Reply::new(self.script(Verb::Claim, args).await?)?;
        let next_due = Some(answer.text()?).filter(|due| !due.is_empty());
        let next_due = next_due.map(|due| reply::number(&due).map(Timestamp::from_micros));
        let effects = answer.inner()?.rest(|row| {
            let mut row = Reply::new(row)?;
            let id = EffectId { record: row.text()?, effect: row.text()? };
            let kind = u8::try_from(row.number()?).map_err(|_| strange("no kind of effect"))?;
            let (due, once) = (row.time()?, row.number()? != 0);
            let (bytes, orphaned) = (row.bytes()?, row.number()? != 0);
            Ok(Effect { id, kind, due, bytes, once, orphaned })
        })?;
        let wakes = answer.inner()?.rest(reply::text)?;
        Ok(Claimed { effects, wakes, next_due: next_due.transpose()? })
    }

    pub(super) async fn tally(
        &self,
        now: Timestamp,
        counters: &[Counter],
    ) -> Result<Tally, StoreError> {
        let mut args = Args::default();
        args.number(window::PARTS).each(counters.to_vec(), |args, it| {
            let span = window::micros(it.window);
            let (part, index) = window::place(span, now);
            args.text(&counter_name(&it.key, span)).number(part).number(index);
            args.text(&it.add.to_string());
            args.optional(it.most, |args, most| args.number(most))
        });
        let mut answer = Reply::new(self.script(Verb::Tally, args).await?)?;
        let granted = answer.number()? != 0;
        // As the script met them: in their order, each once.
        let mut rows = BTreeMap::new();
        for it in counters {
            let key = (it.key.as_str(), window::micros(it.window));
            if let Entry::Vacant(row) = rows.entry(key) {
                row.insert(buckets(&answer.text()?)?);
            }
        }
        let load = |key: &str, span| Ok(rows.get(&(key, span)).cloned().unwrap_or_default());
        let (tally, _) = window::tally(now, counters, load)?;
        if tally.granted == granted { Ok(tally) } else { Err(strange("a sum of its own")) }
    }

    pub(super) async fn find(
        &self,
        alias: &str,
        before: Option<&str>,
    ) -> Result<Vec<String>, StoreError> {
        let most = before.map_or("+".to_owned(), |before| format!("({before}"));
        let mut find = redis::cmd("ZRANGE");
        find.arg(self.0.key("alias:", alias)).arg(most).arg("-").arg("BYLEX").arg("REV");
        find.arg("LIMIT").arg(0).arg(FIND_MOST);
        Reply::new(self.0.call(Order::Plain(find)).await?)?.rest(reply::text)
    }

    pub(super) async fn holder(
        &self,
        now: Timestamp,
        name: &str,
    ) -> Result<Option<Hold>, StoreError> {
        let mut holder = redis::cmd("HMGET");
        holder.arg(self.0.key("hold:", name)).arg(&["r", "u"]);
        let mut row = Reply::new(self.0.call(Order::Plain(holder)).await?)?;
        let Some(record) = row.maybe()? else { return Ok(None) };
        let record = String::from_utf8(record).map_err(|_| strange("no record"))?;
        let hold = Hold { name: name.to_owned(), record, until: row.time()? };
        Ok(Some(hold).filter(|hold| hold.until > now))
    }

    pub(super) async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let after = query.after()?;
        let most = match (query.until, after) {
            // What is before the nearer of both.
            (Some(until), Some((created, _))) if created < until => created.as_micros().to_string(),
            (Some(until), _) => format!("({}", until.as_micros()),
            (None, Some((created, _))) => created.as_micros().to_string(),
            (None, None) => "+inf".to_owned(),
        };
        let least = query.from.unwrap_or_default();
        let mut args = Args::default();
        args.text(&query.group).time(least).text(&most).number(count(query.limit() + 1));
        let (time, id) = after.unzip();
        args.optional(time, |args, time| args.time(time));
        args.optional(id, |args, id| args.text(id));
        let rows = Reply::new(self.script(Verb::List, args).await?)?.rest(|row| {
            let mut row = Reply::new(row)?;
            let (id, created, version) = (row.text()?, row.time()?, row.number()?);
            Ok(Listed { id, created, version, bytes: row.bytes()? })
        })?;
        Ok(Page::new(rows, query.limit()))
    }
}

/// What is removed.
impl Redis {
    pub(super) async fn groups(&self) -> Result<Vec<String>, StoreError> {
        let mut groups = redis::cmd("ZRANGE");
        groups.arg(self.0.key("groups", "")).arg(0).arg(-1);
        Reply::new(self.0.call(Order::Plain(groups)).await?)?.rest(reply::text)
    }

    /// A page of answers, in the order in which they expire.
    pub(super) async fn answers(
        &self,
        after: &str,
        most: usize,
    ) -> Result<Vec<(String, Given)>, StoreError> {
        let mut args = Args::default();
        args.text(after).number(count(most));
        Reply::new(self.script(Verb::Answers, args).await?)?.rest(|row| {
            let mut row = Reply::new(row)?;
            let (key, fingerprint) = (row.text()?, fingerprint_of(row.bytes()?)?);
            Ok((key, Given { fingerprint, bytes: row.bytes()? }))
        })
    }

    pub(super) async fn sweep(
        &self,
        group: &str,
        prefix: &str,
        before: Timestamp,
        most: usize,
    ) -> Result<usize, StoreError> {
        let mut args = Args::default();
        args.text(group).text(prefix).time(before).number(count(most));
        let swept = reply::count(&self.script(Verb::Sweep, args).await?)?;
        usize::try_from(swept).map_err(|_| strange("no number"))
    }

    pub(super) async fn forget(&self, mut forgotten: Forgotten) -> Result<usize, StoreError> {
        for group in self.groups().await? {
            let ids = self.members(&format!("listed:{group}")).await?;
            let named: Vec<_> = ids.into_iter().filter(|id| forgotten.is_named(id)).collect();
            forgotten.records.extend(named);
        }
        let tells = |it: &String| forgotten.records.contains(led_to(parts(it).1));
        let aliases = self.members("alias_expiry").await?;
        let aliases: Vec<String> = aliases.into_iter().filter(tells).collect();
        let holds = self.members("hold_expiry").await?;
        let is_named = |it: &String| forgotten.is_named(&parts(it).0);
        let holds = holds.into_iter().filter(|it| tells(it) || is_named(it)).collect();
        let counters = self.members("counter_expiry").await?;
        let is_named = |it: &String| forgotten.is_named(it.split_once(':').unwrap_or_default().1);
        let counters = counters.into_iter().filter(is_named).collect();
        let removed = forgotten.records.len();
        let mut args = Args::default();
        let records = forgotten.records.iter().cloned().collect();
        for names in [records, aliases, holds, forgotten.answers, counters] {
            args.each(names, |args, name| args.text(&name));
        }
        self.script(Verb::Forget, args).await.map(|_| removed)
    }

    /// All members of an index; what comes or goes meanwhile may be among them or not.
    async fn members(&self, index: &str) -> Result<BTreeSet<String>, StoreError> {
        let (mut members, mut cursor) = (BTreeSet::new(), "0".to_owned());
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(self.0.key(index, "")).arg(&cursor).arg("COUNT").arg(SCANNED);
            let mut page = Reply::new(self.0.call(Order::Plain(scan)).await?)?;
            cursor = page.text()?;
            // Members and their scores, by turns.
            let page = page.inner()?.rest(reply::text)?;
            members.extend(page.into_iter().step_by(2));
            if cursor == "0" {
                return Ok(members);
            }
        }
    }
}

impl Redis {
    /// Hints to every node, this one too; nobody may hear it.
    pub(super) fn publish(&self, hint: &Hinted) {
        self.0.publish(hint);
    }

    async fn script(&self, verb: Verb, args: Args) -> Result<redis::Value, StoreError> {
        self.0.call(Order::Script(verb, args.0)).await
    }
}

/// The arguments of a script, in the order in which it reads them.
#[derive(Default)]
struct Args(Vec<Vec<u8>>);

impl Args {
    fn bytes(&mut self, bytes: Vec<u8>) -> &mut Self {
        self.0.push(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes().to_vec())
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.bytes(number.to_string().into_bytes())
    }

    fn time(&mut self, time: Timestamp) -> &mut Self {
        self.number(time.as_micros())
    }

    fn effect(&mut self, id: &EffectId) -> &mut Self {
        self.text(&id.record).text(&id.effect)
    }

    /// Whether there is one, and it.
    fn optional<T>(
        &mut self,
        it: Option<T>,
        write: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        self.number(it.is_some().into());
        match it {
            Some(it) => write(self, it),
            None => self,
        }
    }

    /// How many there are, and they.
    fn each<T>(
        &mut self,
        all: Vec<T>,
        mut write: impl FnMut(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        self.number(count(all.len()));
        all.into_iter().fold(self, |args, it| write(args, it))
    }
}

fn micros(span: std::time::Duration) -> u64 {
    window::micros(span)
}

fn count(number: usize) -> u64 {
    // A script counts further than anybody asks.
    u64::try_from(number).unwrap_or(u64::MAX).min(1 << 32)
}

/// Two names that stand in one.
fn parts(member: &str) -> (String, &str) {
    let (first, second) = member.split_once(END).unwrap_or_default();
    (first.replace(NUL, "\0"), second)
}

fn fingerprint_of(bytes: Vec<u8>) -> Result<[u8; 32], StoreError> {
    <[u8; 32]>::try_from(bytes).map_err(|_| strange("no fingerprint"))
}

fn counter_name(key: &str, span: u64) -> String {
    format!("{span}:{key}")
}

/// A counter's row as the script writes it.
fn buckets(text: &str) -> Result<Buckets, StoreError> {
    let pair = |pair: &str| {
        let (index, count) = pair.split_once(':').ok_or_else(|| strange("no counter"))?;
        Ok((reply::number(index)?, reply::number(count)?))
    };
    text.split_ascii_whitespace().map(pair).collect()
}
