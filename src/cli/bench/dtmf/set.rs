//! The audio that is listened to, and what is known of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::media::g711::RATE;

/// One file.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) path: PathBuf,
    pub(super) suite: String,
    /// Nothing is known of a file that no generator made: whatever is heard in it is false.
    pub(super) expect: Expect,
    pub(super) presses: Vec<Truth>,
    fill: Option<String>,
}

/// What is to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expect {
    /// Every key, and nothing else.
    Must,
    /// Nothing.
    Never,
    /// A point of a curve: no judgement.
    Info,
    /// Speech: nothing, and there is no truth to it.
    #[serde(skip)]
    Speech,
}

/// A key that was pressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truth {
    pub(super) key: char,
    /// Its first sample.
    pub(super) onset: usize,
    /// The sample after its last.
    pub(super) end: usize,
}

impl Case {
    /// The folder and the file, by which another detector's keys are found.
    pub(super) fn name(&self) -> String {
        name(&self.path)
    }

    /// Whether its frames of zeros stand for packets that did not come.
    pub(super) fn tells_losses(&self) -> bool {
        self.suite == "loss" && self.fill.as_deref() == Some("zero")
    }
}

/// The last two parts of a path.
pub(super) fn name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    format!("{folder}/{file}")
}

/// What a line of cases.jsonl says.
#[derive(Deserialize)]
struct Line {
    suite: String,
    case: String,
    expect: Expect,
    #[serde(default)]
    params: Params,
}

#[derive(Default, Deserialize)]
struct Params {
    fill: Option<String>,
}

/// The files of a folder.
pub(super) fn cases(dir: &Path) -> anyhow::Result<Vec<Case>> {
    let list = dir.join("cases.jsonl");
    if !list.exists() {
        let mut cases = Vec::new();
        speech(dir, &mut cases)?;
        anyhow::ensure!(!cases.is_empty(), "{}: no WAV files in it", dir.display());
        return Ok(cases);
    }
    let mut truth = truth(&dir.join("truth.csv"))?;
    let text = read(&list)?;
    let case = |(number, line): (usize, &str)| {
        let line: Line = serde_json::from_str(line)
            .with_context(|| format!("{}, line {}: no case", list.display(), number + 1))?;
        let path = dir.join(&line.suite).join(format!("{}.wav", line.case));
        let presses = truth.remove(&(line.suite.clone(), line.case)).unwrap_or_default();
        let Line { suite, expect, params: Params { fill }, .. } = line;
        Ok(Case { path, suite, expect, presses, fill })
    };
    text.lines().enumerate().map(case).collect()
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// WAV files, and those of the folders within.
fn speech(dir: &Path, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<PathBuf>, _>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            speech(&path, cases)?;
        } else if path.extension().is_some_and(|extension| extension == "wav") {
            let suite = "speech".to_owned();
            cases.push(Case {
                path,
                suite,
                expect: Expect::Speech,
                presses: Vec::new(),
                fill: None,
            });
        }
    }
    Ok(())
}

type Presses = BTreeMap<(String, String), Vec<Truth>>;

/// The presses of each case: suite, case, index, digit, onset, length.
fn truth(path: &Path) -> anyhow::Result<Presses> {
    let mut presses = Presses::new();
    for (line, number) in read(path)?.lines().zip(1_usize..).skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let press = || {
            let [suite, case, _, key, onset, length] = fields.as_slice() else { return None };
            let onset = onset.parse().ok()?;
            let end = onset + length.parse::<usize>().ok()?;
            let truth = Truth { key: key.parse().ok()?, onset, end };
            Some((((*suite).to_owned(), (*case).to_owned()), truth))
        };
        let (case, press) = press().with_context(|| {
            format!(
                "{}, line {number}: not suite, case, index, digit, onset, length",
                path.display()
            )
        })?;
        presses.entry(case).or_default().push(press);
    }
    Ok(presses)
}

/// Audio.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) samples: Vec<i16>,
}

impl Recording {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut reader = hound::WavReader::open(path)
            .with_context(|| format!("{} is no WAV file", path.display()))?;
        let spec = reader.spec();
        anyhow::ensure!(
            (spec.channels, spec.sample_rate, spec.bits_per_sample) == (1, RATE, 16),
            "{}: {} channels, {} Hz, {} bits; convert it with: sox {0} -r 8000 -c 1 -b 16 OUT.wav",
            path.display(),
            spec.channels,
            spec.sample_rate,
            spec.bits_per_sample,
        );
        let samples = reader.samples().collect::<Result<_, _>>();
        Ok(Self { samples: samples.with_context(|| format!("{} breaks off", path.display()))? })
    }

    pub(super) fn seconds(&self) -> f64 {
        super::number(self.samples.len()) / f64::from(RATE)
    }
}
