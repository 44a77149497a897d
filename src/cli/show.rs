//! `octothorpe show`: what happened in a verification of a gateway that runs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Deserialize;

use super::admin::At;
use super::capture::Capture;
use super::ladder::Ladder;
use super::wrong;
use crate::ambient::Timestamp;
use crate::gateway::course::Course;
use crate::gateway::tap::Act;
use crate::gateway::timeline::Timeline;
use crate::verify::VerificationId;

/// Show what happened in a verification, from its first moment to its last, by a gateway that runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Times are in seconds from the start of the verification. Phone numbers and secrets are masked, and which keys were
pressed is not kept. Of texts and of carriers' own calls there is no ladder: what their carriers told is in the list.

Examples:
  octothorpe show vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE
  octothorpe show vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE --ladder
  octothorpe show vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE --pcap call.pcap   # SIP, RTP headers, telephone-events
  octothorpe show vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE --json | jq -r '.why'

Exit codes: 0 shown, 2 there is none of that name, 70 our fault.")]
pub(super) struct Args {
    /// The verification's id.
    #[arg(value_name = "ID")]
    id: String,
    /// Draw its calls: messages, what is said, each key and how it was heard.
    #[arg(long, conflicts_with = "json")]
    ladder: bool,
    /// Write its calls to this capture file: SIP, RTP headers, telephone-events; audio was never kept.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    #[command(flatten)]
    at: At,
    /// Print it as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// What a gateway tells operators.
#[derive(Deserialize)]
struct Told {
    #[serde(flatten)]
    timeline: Timeline,
    courses: Vec<Course>,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let id = VerificationId::parse(&args.id)
        .ok_or_else(|| wrong(format!("{}: an id is vf_ and 26 letters and digits", args.id)))?;
    let told = args.at.get(&format!("/admin/v1/verifications/{id}/timeline"), &[]).await?;
    let Told { timeline, courses } =
        serde_json::from_value(told).context("the gateway tells something else")?;
    let scenes: Vec<_> = courses.iter().flat_map(|course| course.scenes(&id)).collect();
    if let Some(path) = &args.pcap {
        let refused = |error| wrong(format!("cannot write {}: {error}", path.display()));
        let mut capture = Capture::create(path).map_err(refused)?;
        for scene in &scenes {
            if let Act::Packet(packet) = &scene.act {
                capture.write(scene.at, packet)?;
            }
        }
        eprintln!("{} is written.", path.display());
    }
    if args.json {
        println!("{}", serde_json::to_string(&timeline)?);
    } else if args.ladder {
        let start = Timestamp::from_rfc3339(&timeline.created_at).unwrap_or_default();
        let mut ladder = Ladder::new(start);
        scenes.iter().flat_map(|scene| ladder.lines(scene)).for_each(|line| println!("{line}"));
        if scenes.is_empty() {
            eprintln!("It has no call of this gateway's own that could be drawn.");
        }
    } else {
        print!("{}", list(&timeline));
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for each thing that happened, and how it stands.
fn list(timeline: &Timeline) -> String {
    let line = |ms: u64, attempt: Option<u32>, kind: &str, text: &str| {
        let attempt = attempt.map(|attempt| attempt.to_string()).unwrap_or_default();
        format!("{:>4}.{:03} {attempt:>2} {kind:<10} {text}\n", ms / 1_000, ms % 1_000)
    };
    let lines = timeline.entries.iter().map(|it| line(it.ms, it.attempt, &it.kind, &it.text));
    let Timeline { id, created_at, status, why, .. } = timeline;
    let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{id}, started at {created_at}\n{}{status}{why}\n", lines.collect::<String>())
}
