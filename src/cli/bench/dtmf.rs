//! `octothorpe bench dtmf`: how well keys are heard as tones, and what that costs.

mod judge;
mod set;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use super::figures::{Figure, number};
use crate::media::Digit;
use crate::media::g711::{FRAME, RATE};
use crate::media::tones::{Heard, Keys, Processor, Receiver};
use judge::{Hit, Score};
use set::{Case, Recording};

/// Of so many required keys one may be missed (and of fewer, none).
const ONE_OF: usize = 20_480;

/// A report comes so long after the onset, at most, in 99 of 100 presses. In milliseconds.
const LATENCY: f64 = 38.0;

/// Keys heard in an hour of speech, at most: what ITU-T Q.24 lists for AT&T, 6 in 46 hours.
const TALK_OFF: f64 = 0.13;

/// Channel-seconds for a second of one core, at least: with AVX2, and without.
const SPEED: (f64, f64) = (60_000.0, 25_000.0);

/// How much audio the speed is measured on, in seconds.
const SPEED_AUDIO: usize = 1_200;

/// How often it is measured; the best counts, for whatever disturbs makes it slower.
const PASSES: usize = 7;

/// From one window of the receiver to the next: how finely the time of a report is told.
const STEP: usize = 40;

/// How well keys are heard as tones, and what that costs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  python3 tests/vectors/dtmf/gen_dtmf.py set && octothorpe bench dtmf set
  octothorpe bench dtmf set --detections
  octothorpe bench dtmf speech --speed

A folder of gen_dtmf.py (cases.jsonl, truth.csv) is judged by its truth: a key counts as found when it is
the right one, reported between its onset and 70 ms after its end; everything else is false. In the
suite `loss`, a frame of zeros is told to the receiver as lost, and only keys that are heard twice are
counted. In any other folder whatever is heard in its WAV files is false. WAV files have 8,000 samples a second, one channel, 16 bits.

Exit codes: 0 every limit was kept, 1 one was missed, 70 our fault.")]
pub(super) struct Args {
    /// A folder of gen_dtmf.py, or one of WAV files without keys.
    dir: PathBuf,
    /// Print each key heard instead: path, key, and the sample at which it was reported.
    #[arg(long, conflicts_with_all = ["json", "speed", "beside"])]
    detections: bool,
    /// Judge the keys that another detector heard there, as `--detections` prints them, beside ours.
    #[arg(long, value_name = "FILE")]
    beside: Option<PathBuf>,
    /// The keys that the call waits for; of these, worn presses count sooner.
    #[arg(long, value_name = "KEYS", default_value = "", value_parser = keys)]
    wait: Keys,
    /// Measure the speed instead, on 20 minutes of the audio.
    #[arg(long)]
    speed: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

fn keys(text: &str) -> Result<Keys, String> {
    let key =
        |name| Digit::from_char(name).ok_or_else(|| format!("{name:?} is no key (0-9, *, #, A-D)"));
    text.chars().map(key).collect()
}

/// Carries the command out.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.speed {
        super::warn_of_debug();
        return Ok(super::report(&speed(&args.dir)?, args.json));
    }
    let beside = args.beside.as_deref().map(read_hits).transpose()?;
    let cases = set::cases(&args.dir)?;
    if args.detections {
        return detections(&cases, args.wait);
    }
    let (mut ours, mut theirs) = (Score::default(), Score::default());
    for case in &cases {
        let recording = Recording::read(&case.path)?;
        let lossy = case.tells_losses();
        ours.add(case, recording.seconds(), &listen(&recording.samples, args.wait, lossy));
        if let Some(beside) = &beside {
            theirs.add(
                case,
                recording.seconds(),
                beside.get(&case.name()).map_or(&[], |hits| hits),
            );
        }
    }
    let theirs = beside.is_some().then_some(&theirs);
    print(&ours, theirs, args.json);
    let figures = if ours.has_truth() { accuracy(&ours, theirs) } else { talk_off(&ours, theirs) };
    Ok(super::report(&figures, args.json))
}

/// What is heard in a recording, and at which sample it is reported.
fn listen(samples: &[i16], wait: Keys, lossy: bool) -> Vec<Hit> {
    let (mut receiver, mut out, mut hits) = (Receiver::default(), Vec::new(), Vec::new());
    receiver.wait_for(wait);
    let mut sample = 0;
    for frame in samples.chunks(FRAME) {
        if lossy && frame.iter().all(|sample| *sample == 0) {
            receiver.lost(FRAME as u32, &mut out);
            sample += frame.len();
            continue;
        }
        for step in frame.chunks(STEP) {
            sample += step.len();
            receiver.samples(step, &mut out);
            hits.extend(out.drain(..).filter_map(|heard| match heard {
                Heard::Down(press) => Some(Hit { key: press.digit.expose(), sample }),
                Heard::Up { .. } => None,
            }));
        }
    }
    hits
}

fn detections(cases: &[Case], wait: Keys) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    for case in cases {
        let recording = Recording::read(&case.path)?;
        for Hit { key, sample } in listen(&recording.samples, wait, case.tells_losses()) {
            writeln!(out, "{}\t{key}\t{sample}", case.path.display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What `--detections` has printed, by the name of the case.
fn read_hits(path: &Path) -> anyhow::Result<BTreeMap<String, Vec<Hit>>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut hits: BTreeMap<String, Vec<Hit>> = BTreeMap::new();
    for (line, number) in text.lines().zip(1_usize..) {
        let hit = || {
            let (path, rest) = line.split_once('\t')?;
            let (key, sample) = rest.split_once('\t')?;
            let hit = Hit { key: key.parse().ok()?, sample: sample.parse().ok()? };
            Some((set::name(Path::new(path)), hit))
        };
        let (name, hit) = hit().with_context(|| {
            format!(
                "{}, line {number}: not path, key and sample, with tabs between",
                path.display()
            )
        })?;
        hits.entry(name).or_default().push(hit);
    }
    Ok(hits)
}

fn print(ours: &Score, theirs: Option<&Score>, json: bool) {
    if json {
        for (whose, score) in [("ours", Some(ours)), ("beside", theirs)] {
            for (suite, row) in score.into_iter().flat_map(Score::rows) {
                println!(
                    "{}",
                    json!({
                        "bench": "dtmf", "detector": whose, "suite": suite, "required": row.required,
                        "found": row.found, "false": row.wrong, "never_cases": row.never,
                        "never_failed": row.never_failed, "latency_p99_ms": row.latency.percent(99),
                        "hours": row.seconds / 3_600.0,
                    })
                );
            }
        }
    } else if ours.has_truth() {
        print!("{}", judge::table(ours, theirs));
    }
}

fn figure(name: &'static str, what: &str, value: f64, unit: &'static str) -> Figure {
    Figure::new("dtmf", "none", name, what, value, unit)
}

/// The limits of a set with its truth.
fn accuracy(ours: &Score, theirs: Option<&Score>) -> Vec<Figure> {
    let all = ours.all();
    let missed = all.required - all.found;
    let mut figures = vec![
        figure("missed", "required keys missed", number(missed), "")
            .at_most(number(all.required / ONE_OF)),
        figure("false", "false keys", number(all.wrong), "").at_most(0.0),
        figure("never", "cases failed that hold no key", number(all.never_failed), "").at_most(0.0),
        figure("latency", "onset to report, p99", all.latency.percent(99), "ms").at_most(LATENCY),
    ];
    if let Some(theirs) = theirs.map(Score::all) {
        let missed = number(theirs.required - theirs.found);
        figures.push(
            figure("beside", "required keys missed beside", missed, "")
                .at_least(number(all.required - all.found)),
        );
    }
    figures
}

/// The limits of speech.
fn talk_off(ours: &Score, theirs: Option<&Score>) -> Vec<Figure> {
    let all = ours.all();
    let hours = all.seconds / 3_600.0;
    let heard =
        ours.heard().iter().map(|(key, count)| format!(" {key}:{count}")).collect::<String>();
    let pounds = ours.heard().get(&'#').copied().unwrap_or(0);
    let mut figures = vec![
        figure("hours", "hours of speech", hours, "h"),
        figure("hits", &format!("keys heard in it{heard}"), number(all.wrong), ""),
        figure("rate", "keys heard in an hour", number(all.wrong) / hours, "/h").at_most(TALK_OFF),
        figure("pounds", "of these #", number(pounds), "").at_most(0.0),
    ];
    if let Some(theirs) = theirs {
        figures.push(figure("beside", "keys heard in it beside", number(theirs.all().wrong), ""));
    }
    figures
}

/// Channel-seconds for a second of one core.
fn speed(dir: &Path) -> anyhow::Result<Vec<Figure>> {
    let cases = set::cases(dir)?;
    let share = (SPEED_AUDIO * RATE as usize / cases.len().max(1)).max(FRAME);
    let mut audio = Vec::new();
    for case in &cases {
        let recording = Recording::read(&case.path)?;
        audio.extend(recording.samples.into_iter().take(share));
    }
    let best = measure(&audio, Processor::best())?;
    let plain = measure(&audio, Processor::Plain)?;
    let (with, without) = SPEED;
    let mut figures = vec![
        figure("plain", "channel-seconds a CPU-second, any processor", plain, "").at_least(without),
    ];
    if !matches!(Processor::best(), Processor::Plain) {
        figures.insert(
            0,
            figure("best", "channel-seconds a CPU-second, AVX2", best, "").at_least(with),
        );
    }
    Ok(figures)
}

fn measure(audio: &[i16], processor: Processor) -> anyhow::Result<f64> {
    let mut best: f64 = 0.0;
    for _ in 0..PASSES {
        let (mut receiver, mut out) = (Receiver::new(processor), Vec::new());
        let began = cpu_time()?;
        for frame in audio.chunks(FRAME) {
            receiver.samples(std::hint::black_box(frame), &mut out);
        }
        let took = cpu_time()? - began;
        std::hint::black_box(&out);
        best = best.max(number(audio.len()) / f64::from(RATE) / took);
    }
    Ok(best)
}

/// What this thread has had of a core, in seconds.
fn cpu_time() -> anyhow::Result<f64> {
    let path = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))?;
    let nanos = text.split(' ').next().and_then(|it| it.parse::<f64>().ok());
    Ok(nanos.with_context(|| format!("{path} does not begin with a number"))? / 1e9)
}
