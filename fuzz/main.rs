//! Bad input, without end: each target is given bytes, and must neither panic nor break what it
//! promises.
//!
//! ```text
//! fuzz/run                    every target: its corpus, then 10 seconds of mutations
//! fuzz/run call 3600          one target, for an hour
//! fuzz/run call FILE          one target, one input
//! ```
//!
//! It is an ordinary program for the stable toolchain. A target gives back a *trace*: a number for what
//! it did with the bytes. Inputs whose trace is new are kept and mutated further, and so the driver
//! finds its way into a target as one that sees its branches would. A failing input is made smaller
//! and left in `fuzz/crashes`; mended, it goes into `fuzz/corpus/TARGET` under a name that says what it
//! broke, and is replayed for ever.
//!
//! | file | what is in it |
//! |---|---|
//! | `main` | the driver |
//! | `mutate` | what is made of an input |
//! | `targets` | readers: one message, one stream, one description, one packet |
//! | `packets` | single packets of media, each kind by itself |
//! | `call` | a whole call, played by the bytes |

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "it fails by panicking, tells by printing, and lives in real time"
)]

mod call;
mod mutate;
mod packets;
mod targets;

use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use octothorpe::ambient::Entropy;

/// What is tried, the folders of `tests/vectors` it begins with, and the longest input.
struct Target {
    name: &'static str,
    vectors: &'static [&'static str],
    longest: usize,
    run: fn(&[u8]) -> Trace,
}

/// What a target did with its input, as a number.
#[derive(Default)]
struct Trace(DefaultHasher);

impl Trace {
    fn saw(&mut self, what: impl Hash) {
        what.hash(&mut self.0);
    }
}

const SIP: &[&str] = &["rfc4475", "rfc5118", "sip-extra"];

const TARGETS: &[Target] = &[
    Target { name: "message", vectors: SIP, longest: 70_000, run: targets::message },
    Target { name: "stream", vectors: SIP, longest: 140_000, run: targets::stream },
    Target { name: "uri", vectors: &[], longest: 2_000, run: targets::uri },
    Target { name: "routes", vectors: &[], longest: 4_000, run: targets::routes },
    Target { name: "digest", vectors: &[], longest: 4_000, run: targets::digest },
    Target { name: "sdp", vectors: &["sdp"], longest: 70_000, run: targets::sdp },
    Target { name: "media", vectors: &[], longest: 8_000, run: targets::media },
    Target { name: "rtp", vectors: &[], longest: 4_000, run: packets::rtp },
    Target { name: "rtcp", vectors: &[], longest: 1_500, run: packets::rtcp },
    Target { name: "rfc4733", vectors: &[], longest: 2_000, run: packets::rfc4733 },
    Target { name: "srtp", vectors: &[], longest: 4_000, run: packets::srtp },
    Target { name: "tones", vectors: &[], longest: 8_000, run: targets::tones },
    Target { name: "call", vectors: &[], longest: 2_000, run: call::play },
];

/// No input may hold a core for so long, whatever else the machine does.
const LONGEST_RUN: Duration = Duration::from_secs(3);

/// How long a failing input is made smaller.
const SHRINKING: Duration = Duration::from_secs(10);

/// How many inputs are kept in memory.
const MOST_KEPT: usize = 4_096;

/// How many traces are told apart; some targets have as many as there are inputs.
const MOST_TRACES: usize = 4_000_000;

fn main() -> ExitCode {
    let mut targets: Vec<&Target> = TARGETS.iter().collect();
    // As any other test: the corpora, and no more.
    let mut span = Duration::ZERO;
    let mut seed = None;
    for arg in std::env::args().skip(1) {
        if let Some(target) = TARGETS.iter().find(|target| target.name == arg) {
            targets = vec![target];
        } else if let Ok(seconds) = arg.parse() {
            span = Duration::from_secs(seconds);
        } else if let Some(number) = arg.strip_prefix("seed=") {
            seed = number.parse::<u64>().ok();
        } else if Path::new(&arg).is_file() && targets.len() == 1 {
            (targets[0].run)(&fs::read(&arg).unwrap());
            println!("{arg}: nothing breaks");
            return ExitCode::SUCCESS;
        } else {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            eprintln!("what is {arg}? Write a target ({}), seconds, seed=N", names.join(", "));
            return ExitCode::from(2);
        }
    }
    // A panic is caught, and told once it is made small.
    std::panic::set_hook(Box::new(|_| ()));
    let seed = seed.unwrap_or_else(|| Entropy::system().u64());
    let next = Mutex::new(targets.iter());
    let all_hold = Mutex::new(true);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(target) = next.lock().unwrap().next() else { return };
                    *all_hold.lock().unwrap() &= Run::new(target, seed).run(span);
                }
            });
        }
    });
    let all_hold = all_hold.into_inner().unwrap();
    if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One target, on its way.
struct Run<'a> {
    target: &'a Target,
    seed: u64,
    entropy: Entropy,
    kept: Vec<Vec<u8>>,
    traces: HashSet<u64>,
}

impl<'a> Run<'a> {
    fn new(target: &'a Target, seed: u64) -> Self {
        let entropy = Entropy::from_number(seed);
        Self { target, seed, entropy, kept: Vec::new(), traces: HashSet::new() }
    }

    /// Whether nothing broke.
    fn run(mut self, span: Duration) -> bool {
        let name = self.target.name;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let vectors = self.target.vectors.iter().map(|it| root.join("tests/vectors").join(it));
        let folders = vectors.chain([root.join("fuzz/corpus").join(name)]);
        let corpus: Vec<Vec<u8>> = folders.flat_map(|folder| files(&folder)).collect();
        let replayed = corpus.len();
        if !corpus.into_iter().all(|input| self.holds(input)) {
            return false;
        }
        let start = Instant::now();
        let mut tried = 0_u64;
        while start.elapsed() < span {
            let input = mutate::next(&self.kept, self.target.longest, &mut self.entropy);
            if !self.holds(input) {
                return false;
            }
            tried += 1;
        }
        let ways = self.traces.len();
        println!(
            "{name}: {replayed} of the corpus, {tried} mutations, {ways} traces: nothing breaks"
        );
        true
    }

    /// Tries one input, and keeps it where it did what no other did.
    fn holds(&mut self, input: Vec<u8>) -> bool {
        match attempt(self.target, &input) {
            Ok(trace) => {
                if self.traces.len() < MOST_TRACES && self.traces.insert(trace) {
                    if self.kept.len() < MOST_KEPT {
                        self.kept.push(input);
                    } else {
                        let at = mutate::below(&mut self.entropy, MOST_KEPT);
                        self.kept[at] = input;
                    }
                }
                true
            }
            Err(why) => {
                let input = smaller(self.target, input);
                self.tell(&input, &attempt(self.target, &input).err().unwrap_or(why));
                false
            }
        }
    }

    fn tell(&self, input: &[u8], why: &str) {
        let name = self.target.name;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/crashes");
        fs::create_dir_all(&folder).unwrap();
        let mut hash = DefaultHasher::new();
        input.hash(&mut hash);
        let file = folder.join(format!("{name}-{:016x}", hash.finish()));
        fs::write(&file, input).unwrap();
        eprintln!("{name} breaks: {why}");
        eprintln!("  the input ({} bytes): {:?}", input.len(), String::from_utf8_lossy(input));
        eprintln!("  again: fuzz/run {name} {}", file.display());
        eprintln!("  the whole run: fuzz/run {name} 60 seed={}", self.seed);
    }
}

/// Its trace, or how it broke.
fn attempt(target: &Target, input: &[u8]) -> Result<u64, String> {
    let before = worked();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input).0.finish()));
    let trace = outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panics").to_owned()
    })?;
    let took = worked().saturating_sub(before);
    if took > LONGEST_RUN { Err(format!("it takes {took:?}")) } else { Ok(trace) }
}

/// How long this thread has had a core: a machine that is busy elsewhere says nothing of the input.
fn worked() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let micros = |of: TimeVal| of.num_microseconds().unsigned_abs();
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

/// A smaller input that breaks it too.
fn smaller(target: &Target, mut input: Vec<u8>) -> Vec<u8> {
    let start = Instant::now();
    let mut step = input.len() / 2;
    while step > 0 && start.elapsed() < SHRINKING {
        let mut at = 0;
        while at < input.len() && start.elapsed() < SHRINKING {
            let mut shorter = input.clone();
            shorter.drain(at..(at + step).min(input.len()));
            if attempt(target, &shorter).is_err() {
                input = shorter;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    input
}

/// The contents of the files of a folder, in the order of their names.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    // Tables of what is expected stand beside the vectors.
    let is_input = |path: &&PathBuf| {
        path.is_file() && !path.extension().is_some_and(|it| it == "tsv" || it == "md")
    };
    paths.iter().filter(is_input).map(|path| fs::read(path).unwrap()).collect()
}
