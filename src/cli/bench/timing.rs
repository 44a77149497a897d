//! Whether the time that an answer takes tells what it must not: the requests of an API in this process,
//! of two kinds in an order that is left to chance, and Welch's test of their times (as dudect has it:
//! Reparaz, Balasch, Verbauwhede, "Dude, is my code constant time?", 2017).
//!
//! | pair | one | and the other |
//! |---|---|---|
//! | `code` | a wrong code whose first five digits are right | one of which every digit is wrong |
//! | `id` | another tenant's verification | one that there is not |
//! | `key` | a key that opens | one that does not: half of them have a right name |
//!
//! The first two are whole requests, from the head to the answer; the last is the look-up of the key
//! alone, because its answers differ. Both kinds of a pair are made alike in everything but what is asked: as
//! many of each, in the same places of memory, found by the same steps.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::figures::{Figure, number};
use super::{load, report};
use crate::access::Terms;
use crate::access::key::Fresh;
use crate::ambient::{self, Clock, Entropy, Timestamp};
use crate::carrier::Receipt;
use crate::cli::text;
use crate::gateway::settings::{ApiKey, Settings, Tenant};
use crate::gateway::{Failure, Gateway, Hands, Turns, Wanted};
use crate::http::{self, Api};
use crate::store::Store;
use crate::store::record::Delivery;
use crate::verify::Verification;
use crate::verify::VerificationId;
use crate::verify::attempt::AttemptNo;
use crate::verify::code::Vault;
use crate::verify::policy::Rules;
use crate::verify::request::Channel;
use crate::verify::route::{Rule, Table};
use crate::verify::signal::{Cause, Farewell, Reason};

/// Above this, two kinds of times are not alike: by chance once in 150,000 tests.
const LIMIT: f64 = 4.5;

/// How many times are thrown away at first.
const WARMING: usize = 2_000;

/// How many checks a verification takes before it would end, without the last.
const CHECKS: usize = 4;

/// How many verifications one gateway is given, so that its store stays small.
const VERIFICATIONS: usize = 1_000;

/// How many verifications and names of none are asked for.
const NAMES: usize = 2_048;

/// How many keys there are.
const KEYS_MADE: usize = 64;

/// How many keys that open nothing are drawn, to find one beside each that does.
const DRAWS: usize = 20_000;

/// The room for a key that is presented.
const LONGEST: usize = 64;

/// How long the uses of all keys may take to be noted.
const NOTED: Duration = Duration::from_secs(1);

/// The code; one that begins as it does; one that does not.
const CODES: [&str; 3] = ["493817", "493810", "160524"];

/// The keys of two tenants.
const KEYS: [&str; 2] =
    ["bench-timing-of-one-tenant-0123456789abcdef", "bench-timing-of-the-other-0123456789abcdef"];

/// Whether the time that an answer takes tells what it must not.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe bench timing
  octothorpe bench timing --samples 20000 --json

Exit codes: 0 no pair can be told apart, 1 one can.")]
pub(super) struct Args {
    /// How many requests of each pair are timed.
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1_000..))]
    samples: u32,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let samples = usize::try_from(args.samples)?;
    let mut figures = Vec::new();
    for (name, what, times) in [
        ("code", "a wrong code with a right beginning, and one without", codes(samples).await?),
        ("id", "another tenant's verification, and none", ids(samples).await?),
        ("key", "a key that opens, and one that does not", keys(samples).await?),
    ] {
        let (one, other) = times.means();
        let figure = |name: &'static str, what: String, value, unit| {
            Figure::new("timing", "memory", name, what, value, unit)
        };
        figures.push(figure(name, format!("{what}: |t|"), times.worst(), "").at_most(LIMIT));
        figures.push(figure("one", format!("{name}: the one, mean"), one, "ns"));
        figures.push(figure("other", format!("{name}: the other, mean"), other, "ns"));
    }
    Ok(report(&figures, args.json))
}

/// How long requests of two kinds took.
#[derive(Default)]
struct Times(Vec<(bool, f64)>);

impl Times {
    fn note(&mut self, other: bool, began: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(began).as_secs_f64();
        self.0.push((other, took * 1e9));
    }

    /// The means of both, of the faster nine tenths of all.
    fn means(&self) -> (f64, f64) {
        let [one, other] = self.below(quantile(&self.sorted(), 0.9));
        (one.mean, other.mean)
    }

    /// The largest |t| over all times, and over those below each of many bounds: what is slow is slow by
    /// chance, and hides the rest.
    fn worst(&self) -> f64 {
        let sorted = self.sorted();
        let part = |i| 1.0 - 0.5_f64.powf(f64::from(i) / 10.0);
        let bounds = (1..=100).map(|i| quantile(&sorted, part(i)));
        let least = number(self.0.len()) / 10.0;
        let tests = bounds.chain([f64::INFINITY]).map(|bound| self.below(bound));
        let tests = tests.filter(|[one, other]| one.count + other.count >= least);
        tests.map(|[one, other]| welch(&one, &other).abs()).fold(0.0, f64::max)
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted: Vec<f64> = self.0.iter().map(|(_, took)| *took).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }

    fn below(&self, bound: f64) -> [Moments; 2] {
        let mut both = [Moments::default(), Moments::default()];
        for (is_other, took) in self.0.iter().filter(|(_, took)| *took < bound) {
            let [one, other] = &mut both;
            if *is_other { other.add(*took) } else { one.add(*took) }
        }
        both
    }
}

/// What so large a part of the values, which are in order, lies below.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a length"
    )]
    let place = (number(sorted.len()) * part) as usize;
    sorted.get(place).copied().unwrap_or(f64::INFINITY)
}

/// The mean and the spread of values as they come (Welford).
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let from = value - self.mean;
        self.mean += from / self.count;
        self.squares += from * (value - self.mean);
    }

    /// The variance of the mean.
    fn error(&self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }
}

/// Welch's t; zero where there is too little to compare.
fn welch(one: &Moments, other: &Moments) -> f64 {
    let error = (one.error() + other.error()).sqrt();
    if one.count < 2.0 || other.count < 2.0 || error == 0.0 {
        return 0.0;
    }
    (one.mean - other.mean) / error
}

/// Nobody is reached.
struct Nobody;

impl Hands for Nobody {
    async fn place(&self, _: &Verification, _: AttemptNo) -> Receipt {
        Receipt::Refused(Cause::plain(Reason::Congested))
    }

    async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {}

    async fn deliver(&self, _: &Delivery) -> Result<(), Failure> {
        Ok(())
    }
}

/// A gateway with two tenants, and its API.
struct Site {
    gateway: Gateway,
    api: Api,
    /// Nobody takes turns: what is begun stays as it is.
    _turns: Turns<Nobody>,
}

impl Site {
    fn open() -> anyhow::Result<Self> {
        let countries = BTreeSet::from(["US".parse().map_err(anyhow::Error::msg)?]);
        let tenant = |name: &str, key: &str| Tenant {
            keys: vec![ApiKey::of(key).into()],
            rules: Rules { sms_countries: countries.clone(), ..Rules::default() },
            ..Tenant::new(name)
        };
        let [one, other] = KEYS;
        let settings = Settings {
            tenants: vec![tenant("one", one), tenant("other", other)],
            routes: Table::new(vec![Rule::every(Channel::Sms, ["smsc"])]),
            ..Settings::bare()
        };
        let (gateway, turns) = Gateway::assemble(
            Store::memory(),
            &settings,
            Vault::of(&format!("{:?}", ambient::secret::<32>())),
            Clock::system(),
            Entropy::system(),
            Nobody,
        );
        let api = Api::new(gateway.clone(), http::Settings::default());
        Ok(Self { gateway, api, _turns: turns })
    }

    /// Begins a verification of the first tenant.
    async fn begin(&self, index: usize) -> anyhow::Result<String> {
        let [code, ..] = CODES;
        let asked = json!({"to": load::number(index), "channel": "sms", "code": code});
        let [key, _] = KEYS;
        let (status, body) = self.ask("POST", "/v1/verifications", key, Some(&asked)).await?;
        anyhow::ensure!(status == 201, "a start was answered {status}: {body}");
        Ok(text(&body, "id").to_owned())
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let response = self.api.answer(request(method, path, key, body)?).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body)?))
    }
}

fn request(
    method: &str,
    path: &str,
    key: &str,
    body: Option<&Value>,
) -> anyhow::Result<Request<Body>> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", format!("Bearer {key}"));
    Ok(match body {
        Some(body) => {
            request.header("content-type", "application/json").body(Body::from(body.to_string()))?
        }
        None => request.body(Body::empty())?,
    })
}

/// Wrong codes, with and without a right beginning.
async fn codes(samples: usize) -> anyhow::Result<Times> {
    let ([key, _], [_, near, far]) = (KEYS, CODES);
    let (mut times, mut chance) = (Times::default(), Entropy::system());
    let mut left = samples + WARMING;
    while left > 0 {
        let site = Site::open()?;
        for index in 0..VERIFICATIONS {
            let path = format!("/v1/verifications/{}/check", site.begin(index).await?);
            for _ in 0..CHECKS.min(left) {
                let is_far = chance.below(2) == 1;
                let code = if is_far { far } else { near };
                let asked = request("POST", &path, key, Some(&json!({ "code": code })))?;
                let began = Instant::now();
                let response = site.api.answer(asked).await;
                let ended = Instant::now();
                anyhow::ensure!(
                    response.status() == 200,
                    "a check was answered {}",
                    response.status()
                );
                left -= 1;
                if left < samples {
                    times.note(is_far, began, ended);
                }
            }
        }
    }
    Ok(times)
}

/// Verifications of another tenant, and names of none. There are many of each: how a name is spelt costs time,
/// too, and a few of them would not be alike in that.
async fn ids(samples: usize) -> anyhow::Result<Times> {
    let [_, key] = KEYS;
    let (mut times, mut chance) = (Times::default(), Entropy::system());
    let site = Site::open()?;
    let mut paths = Vec::new();
    for index in 0..NAMES {
        let theirs = site.begin(index).await?;
        // Between them: names are in the order of time.
        let nobodys = VerificationId::new(site.gateway.now(), &mut chance).to_string();
        paths.push([theirs, nobodys].map(|id| format!("/v1/verifications/{id}")));
    }
    for left in (0..samples + WARMING).rev() {
        let (is_nobodys, path) = drawn(&mut chance, &paths)?;
        let asked = request("GET", path, key, None)?;
        let began = Instant::now();
        let response = site.api.answer(asked).await;
        let ended = Instant::now();
        anyhow::ensure!(response.status() == 404, "a read was answered {}", response.status());
        if left < samples {
            times.note(is_nobodys, began, ended);
        }
    }
    Ok(times)
}

/// Keys that open, and keys that do not.
async fn keys(samples: usize) -> anyhow::Result<Times> {
    let (mut times, mut chance) = (Times::default(), Entropy::system());
    let site = Site::open()?;
    let pairs = pairs(&site, &mut chance).await?;
    // The first use of a key is noted, which takes time, and is told to nobody but the operator.
    for [good, _] in &pairs {
        anyhow::ensure!(look_up(&site, good), "a key does not open");
    }
    tokio::time::sleep(NOTED).await;
    let mut presented = String::with_capacity(LONGEST);
    for left in (0..samples + WARMING).rev() {
        let (is_bad, key) = drawn(&mut chance, &pairs)?;
        // Where a text lies costs time, too: each is presented from the same place.
        presented.clear();
        presented.push_str(key);
        let began = Instant::now();
        let found = black_box(site.gateway.nearest(&ApiKey::of(black_box(&presented)), None));
        let ended = Instant::now();
        let opens = found.is_some_and(|(may_ask, _)| may_ask);
        anyhow::ensure!(opens != is_bad, "a key was taken for another");
        if left < samples {
            times.note(is_bad, began, ended);
        }
    }
    Ok(times)
}

/// One of two kinds, and one of that.
fn drawn<'a>(chance: &mut Entropy, pairs: &'a [[String; 2]]) -> anyhow::Result<(bool, &'a str)> {
    let pair = pairs.get(usize::try_from(chance.below(u64::try_from(pairs.len())?))?);
    let is_other = chance.below(2) == 1;
    let drawn = pair.and_then(|pair| pair.get(usize::from(is_other)));
    Ok((is_other, drawn.context("there is something to draw from")?))
}

fn look_up(site: &Site, key: &str) -> bool {
    site.gateway.caller_of(&ApiKey::of(key), None).is_some()
}

/// Keys that open, each with one that does not and is compared with that same key: which one is nearest
/// hangs on the gateway's secret alone, and what lies in a cache is no sign of a key. One in two of the others
/// has the name of a key that there is; the rest are of another gateway.
async fn pairs(site: &Site, chance: &mut Entropy) -> anyhow::Result<Vec<[String; 2]>> {
    let mut keys = BTreeMap::new();
    for index in 0..KEYS_MADE {
        let terms = Terms { expires: Some(Timestamp::MAX), ..Terms::default() };
        let made = site.gateway.make_key("one", Wanted { name: index.to_string(), terms }).await?;
        let (fresh, _) = made.context("the tenant is there")?;
        keys.insert(fresh.id, fresh.text.to_string());
    }
    let named: Vec<String> = keys.values().cloned().collect();
    let mut pairs = Vec::new();
    for draw in 0..DRAWS {
        let mut bad = Fresh::draw(|| chance.bytes::<1>()[0]).text.to_string();
        if let Some(good) = named.get(draw % (2 * named.len())) {
            let (name, _) = good.split_at(good.len() / 2);
            bad.replace_range(..name.len(), name);
        }
        let nearest = site.gateway.nearest(&ApiKey::of(&bad), None);
        let id = nearest.map(|(_, caller)| caller.id.clone()).unwrap_or_default();
        pairs.extend(keys.remove(&id).map(|good| [good, bad]));
    }
    anyhow::ensure!(2 * pairs.len() > named.len(), "too few keys have a neighbour");
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(of: impl Fn(bool, f64) -> f64) -> Times {
        let mut chance = Entropy::from_number(7);
        let drawn = (0..20_000).map(|_| {
            let (other, noise) = (chance.below(2) == 1, chance.below(1_000) as f64);
            (other, of(other, noise))
        });
        Times(drawn.collect())
    }

    #[test]
    fn times_that_differ_are_told_apart_and_others_are_not() {
        assert!(times(|_, noise| 5_000.0 + noise).worst() < LIMIT);
        // A hundredth of the noise's breadth, in a tenth of the times hidden by what is slow by chance.
        let slow = |noise: f64| if noise < 100.0 { noise * 1e4 } else { noise };
        assert!(times(|other, noise| slow(noise) + if other { 60.0 } else { 0.0 }).worst() > LIMIT);
    }

    #[test]
    fn the_test_is_welchs() {
        let of = |values: &[f64]| {
            let mut moments = Moments::default();
            values.iter().for_each(|value| moments.add(*value));
            moments
        };
        // By R: t.test(c(1, 2, 3, 4), c(2, 4, 6, 8, 10)) has t = -2.2514.
        let t = welch(&of(&[1.0, 2.0, 3.0, 4.0]), &of(&[2.0, 4.0, 6.0, 8.0, 10.0]));
        assert!((t + 2.2514).abs() < 1e-4, "{t}");
    }

    #[tokio::test]
    async fn every_pair_is_answered_as_it_should() {
        for times in [codes(20).await.unwrap(), ids(20).await.unwrap(), keys(20).await.unwrap()] {
            assert_eq!(times.0.len(), 20);
        }
    }
}
