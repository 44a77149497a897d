//! Seeded worlds: one to three gateways as they are, with their real legs, one store and rules, on
//! clocks, a network, phones and customers that a seed makes up, judged after every step.
//!
//! | file | what is in it |
//! |---|---|
//! | `plan` | what a seed decides beforehand |
//! | `world` | the loop: what happens next, to whom; crash, restart, sleep |
//! | `node` | one machine: what its node has under way |
//! | `link` | the way from a node to the store, and how it fails |
//! | `state` | the event queue and the network |
//! | `phone` | the simulated handset, which keeps the truth of what was pressed |
//! | `customer` | who asks, and holds the API to its word |
//! | `hands`, `legs` | the node's side of the seam, and faults to plant in it |
//! | `judge` | the invariants |
//! | `log` | every log line |
//!
//! | variable | meaning |
//! |---|---|
//! | `OCTOTHORPE_SIM_SEEDS=N` | the seeds 1 to N instead of 1 to 1,000 |
//! | `OCTOTHORPE_SIM_SEED=X` | that seed alone, with its whole trace when it fails |
//!
//! A seed that once found a fault is kept in `seeds.txt`, with what it found, and always run.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and tells its figures"
)]

mod customer;
mod dice;
mod hands;
mod judge;
mod legs;
mod link;
mod log;
mod node;
mod phone;
mod plan;
mod state;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use octothorpe::media::prompt::Pack;

use hands::Bug;
use world::{Report, run};

/// How many worlds are lived through unless told otherwise.
const SEEDS: u64 = 1_000;

/// Within how many worlds a planted fault must be found.
const PLANTED: u64 = 2_000;

/// How much of a failing trace is shown.
const TAIL: usize = 80;

/// The ends that the default seeds must have seen, or they are no test.
const ENDS: [&str; 18] = [
    "approved confirmed",
    "approved code_matched",
    "denied fraud_reported",
    "denied wrong_key",
    "denied wrong_pin",
    "expired no_input",
    "expired expired",
    "failed busy",
    "failed no_answer",
    "failed rejected",
    "failed hung_up",
    "failed unreachable",
    "failed invalid_number",
    "failed carrier_error",
    "failed media_lost",
    "failed node_lost",
    "canceled canceled_by_caller",
    "failed congested",
];

fn prompts() -> Arc<Pack> {
    Arc::new(Pack::english().unwrap())
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.trim().parse().unwrap())
}

/// The seeds that once found a fault.
fn known() -> impl Iterator<Item = u64> {
    let lines = include_str!("seeds.txt").lines();
    let seeds = lines.filter_map(|line| line.split('#').next()?.split_whitespace().next());
    seeds.map(|seed| seed.parse().unwrap())
}

/// Lives these worlds through, two or more at a time, in any order.
fn run_all(seeds: &[u64]) -> BTreeMap<u64, Report> {
    let (prompts, next) = (prompts(), AtomicUsize::new(0));
    let reports = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = run(*seed, Bug::None, &prompts);
                    reports.lock().unwrap().insert(*seed, report);
                }
            });
        }
    });
    reports.into_inner().unwrap()
}

/// What is printed of the worlds that went wrong.
fn complaint(reports: &BTreeMap<u64, Report>, alone: bool) -> String {
    let mut text = String::new();
    for (seed, report) in reports {
        let Some(wrong) = &report.wrong else { continue };
        let shown = if alone { report.trace.len() } else { TAIL.min(report.trace.len()) };
        for line in &report.trace[report.trace.len() - shown..] {
            writeln!(text, "{line}").unwrap();
        }
        writeln!(text, "seed {seed}: {wrong}").unwrap();
        writeln!(text, "again: OCTOTHORPE_SIM_SEED={seed} cargo test --test sim seeds\n").unwrap();
    }
    text
}

/// What was seen, and how often.
fn figures(reports: &BTreeMap<u64, Report>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    let marks = [
        " dies",
        " falls asleep",
        ": replayed vf_",
        " types a code",
        " presses #",
        " hears Key(#)",
        "LateAnswer",
        "KeyTooEarly",
        "anomaly: Address",
        "anomaly: Source",
        "anomaly: Echo",
        "anomaly: PayloadType",
        "accepted true, told false",
        " dials 2 ",
        "abandons its calls",
        "the answer was lost",
        "nobody answers",
        "the connection was reset",
        "disk is full",
    ];
    for report in reports.values() {
        for verdict in &report.verdicts {
            *counts.entry(verdict).or_default() += 1;
        }
        for line in &report.trace {
            for mark in marks.iter().filter(|mark| line.contains(**mark)) {
                *counts.entry(mark.trim()).or_default() += 1;
            }
        }
    }
    let lines = counts.iter().map(|(what, count)| format!("{count:>8}  {what}\n"));
    format!("{} worlds\n{}", reports.len(), lines.collect::<String>())
}

#[test]
fn seeds() {
    let one = number("OCTOTHORPE_SIM_SEED");
    let count = number("OCTOTHORPE_SIM_SEEDS").unwrap_or(SEEDS);
    let seeds: BTreeSet<u64> = match one {
        Some(seed) => BTreeSet::from([seed]),
        None => (1..=count).chain(known()).collect(),
    };
    let seeds: Vec<u64> = seeds.into_iter().collect();
    let reports = run_all(&seeds);
    println!("{}", figures(&reports));
    let complaint = complaint(&reports, one.is_some());
    assert!(complaint.is_empty(), "{complaint}");
    let seen: BTreeSet<&str> =
        reports.values().flat_map(|report| report.verdicts.iter().map(String::as_str)).collect();
    let missing: Vec<_> = ENDS.iter().filter(|end| !seen.contains(*end)).collect();
    assert!(one.is_some() || count < SEEDS || missing.is_empty(), "never seen: {missing:?}");
}

#[test]
fn a_seed_lives_the_same_world_again() {
    let prompts = prompts();
    for seed in [3, 7, 11, 19, 23] {
        let (first, second) = (run(seed, Bug::None, &prompts), run(seed, Bug::None, &prompts));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert!(first.trace.len() > 10, "seed {seed} is an empty world");
    }
}

/// Faults planted in the hands and on the way to the store, and what the judge must say of them.
#[test]
fn a_planted_fault_is_found() {
    let prompts = prompts();
    for (bug, verdicts) in [
        (Bug::DialsTwice, ["two INVITEs", "two calls of one verification"]),
        (Bug::NeverCloses, ["outlived its verdict", "a phone was left"]),
        (Bug::HearsThings, ["was approved, but nobody was asked", "was approved, but"]),
        (Bug::RenamesEvents, ["was told in two ways", "was told in two ways"]),
        (Bug::DropsEvents, ["it never came to rest", "never came to"]),
        (Bug::Talks, ["a number is in the log", "a number is in the log"]),
        (Bug::SkipsTheFence, ["went back", "fell"]),
        (Bug::GivesBack, ["were compared for", "a counter of"]),
        (Bug::CountsLate, ["after its deadline", "is past its deadline"]),
        (Bug::KeepsEveryFork, ["a phone was left", "a call was left"]),
        (Bug::DropsOutbox, ["nobody works on", "never came to"]),
    ] {
        let wrong = |seed| run(seed, bug, &prompts).wrong.map(|wrong| (seed, wrong));
        let found = (1..=PLANTED).find_map(wrong);
        let (seed, wrong) = found.unwrap_or_else(|| panic!("{bug:?} was not found"));
        println!("{bug:?}: seed {seed}: {wrong}");
        assert!(verdicts.iter().any(|verdict| wrong.contains(verdict)), "{bug:?}: {wrong}");
    }
}
