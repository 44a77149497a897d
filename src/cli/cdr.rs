//! `octothorpe cdr`: call detail records of a gateway that runs.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use super::admin::{At, lines};
use super::wrong;
use crate::gateway::cdr::{By, Line, Seen, Summary};

/// Call detail records.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a row for each attempt.
    Export(Export),
    /// Say what they come to, for each trunk and carrier, country or prefix.
    Summary(Summed),
}

/// Which records.
#[derive(Debug, clap::Args)]
struct Range {
    /// Those of verifications that were begun then or later: a time (RFC 3339, UTC) or a day.
    #[arg(long, value_name = "TIME")]
    since: String,
    /// And before this; to the end of the day where a day is written. Until now when it is left out.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Those of this tenant alone.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

impl Range {
    fn query<'a>(&'a self, format: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut query = vec![("from", self.since.as_str()), ("format", format)];
        query.extend(self.until.as_deref().map(|until| ("until", until)));
        query.extend(self.tenant.as_deref().map(|tenant| ("tenant", tenant)));
        query
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
One row for each attempt of each verification, computed from the gateway's records. The columns are told of in
the README, and stable. A file is there whole or not at all.

Examples:
  octothorpe cdr export --since 2026-11-01
  octothorpe cdr export --since 2026-11-01 --until 2026-11-30 --format csv --output november.csv
  octothorpe cdr export --since 2026-11-26T18:00:00Z --tenant acme | jq -r 'select(.blame == \"carrier\") | .detail'

Exit codes: 0 written, 2 wrong usage, 70 our fault.")]
struct Export {
    #[command(flatten)]
    range: Range,
    /// csv, with a line of names, or jsonl, an object on each line.
    #[arg(long, value_name = "FORMAT", default_value = "jsonl", value_parser = ["csv", "jsonl"])]
    format: String,
    /// Where to; to standard output when it is left out.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    at: At,
    /// Print what was written as one JSON object, on the last line; records themselves are JSON unless they are CSV.
    #[arg(long, requires = "output")]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
ASR (answer-seizure ratio) and NER (network effectiveness ratio) are those of ITU-T E.425: of the calls that a
trunk or carrier had, those that were answered; and those that came as far as the called phone, whatever became
of them there: answered, busy, ringing until nobody answered or the question was taken back, or refused. PDD is
the mean time from the INVITE to the first 18x, or to the answer.

Examples:
  octothorpe cdr summary --since 2026-11-26
  octothorpe cdr summary --since 2026-11-01 --until 2026-11-30 --tenant acme --json | jq '.lines[].asr'
  octothorpe cdr summary --file november.jsonl --by country

Exit codes: 0 told, 2 wrong usage, 70 our fault.")]
struct Summed {
    #[command(flatten)]
    range: Option<Range>,
    /// The records of this file, as export writes them as jsonl, and of no gateway.
    #[arg(long, value_name = "FILE", conflicts_with = "since", required_unless_present = "since")]
    file: Option<PathBuf>,
    /// By what they are summed up.
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    by: By,
    #[command(flatten)]
    at: At,
    /// Print them as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// The records of a gateway.
const PATH: &str = "/admin/v1/cdr";

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Export(args) => export(args).await,
        Command::Summary(args) => summary(args).await,
    }
}

async fn export(args: Export) -> anyhow::Result<ExitCode> {
    let query = args.range.query(&args.format);
    let Some(path) = &args.output else {
        let mut out = io::stdout().lock();
        let told = args.at.download(PATH, &query, &mut |part| out.write_all(part)).await;
        return match told.and_then(|()| Ok(out.flush()?)) {
            // A reader that has gone away (`| head -1`) is no mistake.
            Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
            other => other.map(|()| ExitCode::SUCCESS),
        };
    };
    let part = beside(path)?;
    let shown = || format!("{} cannot be written", part.display());
    let mut file = File::create(&part).map_err(|error| wrong(format!("{}: {error}", shown())))?;
    let done = args.at.download(PATH, &query, &mut |part| file.write_all(part)).await;
    let done = done.and_then(|()| {
        file.sync_all().with_context(shown)?;
        Ok(file.metadata().with_context(shown)?.len())
    });
    let bytes = match done {
        Ok(bytes) => bytes,
        Err(error) => {
            let _ = fs::remove_file(&part);
            return Err(error);
        }
    };
    fs::rename(&part, path).with_context(|| format!("{} cannot be written", path.display()))?;
    if args.json {
        println!("{}", json!({ "file": path, "bytes": bytes }));
    } else {
        eprintln!("{} is written.", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
}

/// Where a file is written before it is whole.
fn beside(path: &Path) -> anyhow::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| wrong("--output: name a file"))?;
    let mut name = name.to_owned();
    name.push(".part");
    Ok(path.with_file_name(name))
}

async fn summary(args: Summed) -> anyhow::Result<ExitCode> {
    let mut summary = Summary::new(args.by);
    let mut add = |line: &[u8]| -> io::Result<()> {
        summary.add(&serde_json::from_slice::<Seen>(line)?);
        Ok(())
    };
    match (&args.file, &args.range) {
        (Some(path), _) => {
            let told = |error: io::Error| wrong(format!("{}: {error}", path.display()));
            for line in BufReader::new(File::open(path).map_err(told)?).split(b'\n') {
                line.and_then(|line| add(&line)).map_err(told)?;
            }
        }
        (None, Some(range)) => {
            let mut lines = lines(&mut add);
            args.at.download(PATH, &range.query("jsonl"), &mut lines).await?;
        }
        (None, None) => return Err(wrong("write --since TIME or --file FILE")),
    }
    let lines = summary.lines();
    if args.json {
        println!("{}", json!({ "lines": lines }));
    } else if lines.is_empty() {
        eprintln!("There is no attempt in that time.");
    } else {
        print!("{}", table(args.by, &lines));
    }
    Ok(ExitCode::SUCCESS)
}

impl clap::ValueEnum for By {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.as_str().into())
    }
}

/// A line for each group and channel.
fn table(by: By, lines: &[Line]) -> String {
    let mut out = format!(
        "{:<16} {:<6} {:>8} {:>8} {:>8} {:>6} {:>6} {:>6} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8}  cost\n",
        by.as_str(),
        "by",
        "attempts",
        "placed",
        "answered",
        "ASR",
        "NER",
        "PDD s",
        "answer s",
        "lasted s",
        "pressed",
        "key s",
        "machines",
        "approved"
    );
    let share = |share: Option<f64>| share.map_or("-".to_owned(), |it| format!("{it:.1}"));
    let seconds = |ms: Option<u64>| {
        ms.map_or("-".to_owned(), |ms| format!("{}.{}", ms / 1_000, ms % 1_000 / 100))
    };
    for line in lines {
        let cost: Vec<_> = line.cost.iter().map(|(unit, sum)| format!("{sum} {unit}")).collect();
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "{:<16} {:<6} {:>8} {:>8} {:>8} {:>6} {:>6} {:>6} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8}  {}",
            line.name,
            line.channel,
            line.attempts,
            line.placed,
            line.answered,
            share(line.asr),
            share(line.ner),
            seconds(line.pdd_ms),
            seconds(line.answer_ms),
            seconds(line.duration_ms),
            share(line.pressed),
            seconds(line.key_ms),
            share(line.machines),
            line.approved,
            cost.join(", "),
        );
    }
    out
}
