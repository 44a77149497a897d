//! `octothorpe prompts`: recordings of what calls say, made and judged.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{WRONG, wrong};
use crate::ambient::Entropy;
use crate::carrier::Ask;
use crate::carrier::speech::{Book, Phrase as Said};
use crate::config;
use crate::media::g711::{Law, RATE};
use crate::media::prompt::{
    self, About, PHRASES, PackError, Phrase, Prompts, Recordings, active_level,
};
use crate::media::tones::{Heard, Keys, Receiver};
use crate::verify::language;
use crate::verify::request::Brand;

/// How far the level of a recording may be from that of the others, in dB, before somebody hears it.
const NEAR: f64 = 1.0;

/// Make and judge recordings of what calls say.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Recordings stand in a folder for each language: FOLDER/en-US/greeting.wav. The configuration names the
folder: [prompts] folder for everybody, prompts in [[tenants]] for one of them.

Examples:
  octothorpe prompts build --brand \"Contoso\" --out prompts
  octothorpe prompts build --from studio --locale fr-FR --out prompts
  octothorpe prompts check prompts
  octothorpe prompts check")]
pub(super) struct Args {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make recordings: by a program that speaks, or of those that somebody spoke.
    #[command(after_help = "\
Whatever comes in is brought to 8 kHz, the telephone band and -16 dBm0, trimmed, judged as `check` does,
and written with its row in manifest.toml.

The program is given the text and writes a WAV file: --tts names it, with {text}, {out}, {locale} and
{language} where it wants them. Without --tts it is hibari for English, if it is there
(pip install hibari-tts), else espeak-ng.

Examples:
  octothorpe prompts build --brand \"Contoso\" --out prompts
  octothorpe prompts build --brand \"Contoso\" --text \"Hello from Contoso.\" --locale en-GB --out prompts
  octothorpe prompts build --phrase goodbye --text \"Tschüss!\" --locale de-DE --out prompts
  octothorpe prompts build --from studio --locale fr-FR --out prompts    # studio/greeting.wav, …
  octothorpe prompts build --brand \"Contoso\" --out prompts --tts 'piper -m joe.onnx -f {out} -- {text}'

Exit codes: 0 made, 2 something is wrong with what was given, 70 the program failed.")]
    Build(Box<Build>),
    /// Judge recordings, file by file: form, length, level, clipping, keys heard in them, hashes, and
    /// whether a language has all that each mode says.
    #[command(after_help = "\
Examples:
  octothorpe prompts check            # those that are compiled in
  octothorpe prompts check prompts    # yours, over them
  octothorpe prompts check prompts --json | tail -1 | jq '.files[] | select(.wrong)'

Exit codes: 0 all can be spoken, 2 something is wrong.")]
    Check {
        /// The folder, with a folder for each language.
        folder: Option<PathBuf>,
        /// Print the result as one JSON object, on the last line.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Build {
    /// Make the greeting with this brand.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["phrase", "from"])]
    brand: Option<String>,
    /// Make this phrase.
    #[arg(long, value_name = "NAME", requires = "text", conflicts_with = "from")]
    phrase: Option<String>,
    /// Make one of each recording in this folder; a file is called by its phrase.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["text", "tts"], required_unless_present_any = ["brand", "phrase"])]
    from: Option<PathBuf>,
    /// What is said; a greeting with a brand has words of its own.
    #[arg(long)]
    text: Option<String>,
    /// The language (BCP 47).
    #[arg(long, value_name = "TAG", default_value = language::FALLBACK)]
    locale: String,
    /// The folder to write to; the language's folder is made in it.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// The program that speaks, with its arguments.
    #[arg(long, value_name = "COMMAND")]
    tts: Option<String>,
    /// Print the result as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        What::Build(args) => build(&args),
        What::Check { folder, json } => check(folder.as_deref(), json),
    }
}

/// What was found out about one recording.
struct Judged {
    locale: String,
    file: String,
    milliseconds: u128,
    level: f64,
    peak: f64,
    wrong: Option<String>,
}

impl Judged {
    fn phrase(locale: &str, name: &str, phrase: &Phrase) -> Self {
        let samples: Vec<i16> = phrase.ulaw.iter().map(|&it| Law::Ulaw.decode(it)).collect();
        let level = active_level(&samples).unwrap_or(f64::NEG_INFINITY);
        let peak = samples.iter().map(|it| it.unsigned_abs()).max().unwrap_or(0);
        Self {
            locale: locale.to_owned(),
            file: name.to_owned(),
            milliseconds: phrase.length.as_millis(),
            level,
            peak: 20.0 * (f64::from(peak.max(1)) / f64::from(i16::MAX)).log10(),
            wrong: wrong_with(&samples, level),
        }
    }

    fn refused(locale: &str, fault: &PackError) -> Self {
        let told = fault.to_string();
        let (file, why) = told.split_once(": ").unwrap_or(("", told.as_str()));
        Self {
            locale: locale.to_owned(),
            file: file.to_owned(),
            milliseconds: 0,
            level: f64::NEG_INFINITY,
            peak: f64::NEG_INFINITY,
            wrong: Some(why.to_owned()),
        }
    }

    fn line(&self) -> String {
        let Self { locale, file, milliseconds, level, peak, wrong } = self;
        let head = format!("{locale:6} {file:18}");
        match wrong {
            Some(why) => format!("{head} {why}"),
            None => {
                format!("{head} {milliseconds:6} ms {level:6.1} dBm0, peak {peak:6.1} dBFS  OK")
            }
        }
    }

    fn json(&self) -> Value {
        let measured = self.level.is_finite();
        json!({
            "locale": self.locale,
            "file": self.file,
            "milliseconds": measured.then_some(self.milliseconds as u64),
            "level_dbm0": measured.then_some(rounded(self.level)),
            "peak_dbfs": measured.then_some(rounded(self.peak)),
            "wrong": self.wrong,
        })
    }
}

fn rounded(level: f64) -> f64 {
    (level * 10.0).round() / 10.0
}

/// What those hear who listen, beside what makes a recording unfit to be loaded.
fn wrong_with(samples: &[i16], level: f64) -> Option<String> {
    // The receiver that believes most.
    let mut receiver = Receiver::default();
    receiver.wait_for(Keys::ALL);
    let mut heard = Vec::new();
    receiver.samples(samples, &mut heard);
    receiver.end(&mut heard);
    let down = |it: &Heard| match it {
        Heard::Down(press) => Some(press.digit.expose()),
        Heard::Up { .. } => None,
    };
    let keys: String = heard.iter().filter_map(down).collect();
    if !keys.is_empty() {
        return Some(format!("a key is heard in it ({keys}): record it again"));
    }
    ((level + 16.0).abs() > NEAR).then(|| {
        format!(
            "speech is at {level:.1} dBm0 and at -16 everywhere else: `octothorpe prompts build \
             --from` levels it"
        )
    })
}

fn check(folder: Option<&Path>, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut prompts = Arc::unwrap_or_clone(Prompts::compiled()?);
    let mut judged = Vec::new();
    let mut languages = Vec::new();
    match folder {
        None => {
            for (_, about) in prompts.about() {
                let pack = prompts.speaking(None, &about.locale)?;
                let names = pack.names().filter_map(|name| Some((name, pack.get(name)?)));
                judged.extend(names.map(|(name, it)| Judged::phrase(&about.locale, name, it)));
                languages.push((about.clone(), None));
            }
        }
        Some(folder) => {
            for recordings in config::recordings(folder).map_err(wrong)? {
                judged.extend(judge(&recordings));
                let told = |faults: Vec<PackError>| {
                    let about = faults.iter().filter(|it| matches!(it, PackError::NotWhole { .. }));
                    about.map(ToString::to_string).next()
                };
                let lacks = prompts.record(None, &recordings).err().and_then(told);
                let spoken = prompts.speaking(None, &recordings.locale)?;
                let about = About { locale: recordings.locale, ..spoken.about.clone() };
                languages.push((about, lacks));
            }
        }
    }
    for judged in &judged {
        println!("{}", judged.line());
    }
    for (about, lacks) in &languages {
        println!("{}", summary(about, lacks.as_deref(), folder.is_some()));
    }
    let faults = judged.iter().filter(|it| it.wrong.is_some()).count()
        + languages.iter().filter(|(_, lacks)| lacks.is_some()).count();
    if as_json {
        let files: Vec<Value> = judged.iter().map(Judged::json).collect();
        let of = |(about, lacks): &(About, Option<String>)| {
            let About { locale, also, voice, licence, engine, note } = about;
            json!({
                "locale": locale, "also": also, "voice": voice, "licence": licence,
                "engine": engine, "note": note, "wrong": lacks,
            })
        };
        let languages: Vec<Value> = languages.iter().map(of).collect();
        println!("{}", json!({"files": files, "languages": languages, "wrong": faults}));
    }
    if faults > 0 {
        eprintln!("octothorpe: {faults} of {} cannot be spoken as they are", judged.len());
        return Ok(ExitCode::from(WRONG));
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(about: &About, lacks: Option<&str>, own: bool) -> String {
    let About { locale, voice, licence, engine, note, .. } = about;
    match (lacks, own) {
        (Some(lacks), _) => format!("{locale:6} {lacks}"),
        (None, true) => format!("{locale:6} all {} phrases, with those of {voice}", PHRASES.len()),
        (None, false) => {
            let note = note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
            let count = PHRASES.len();
            format!("{locale:6} all {count} phrases; {voice} ({engine}), {licence}{note}")
        }
    }
}

fn judge(recordings: &Recordings) -> Vec<Judged> {
    let locale = &recordings.locale;
    match recordings.phrases() {
        Ok(read) => read
            .iter()
            .map(|read| match read {
                Ok((name, phrase)) => Judged::phrase(locale, name, phrase),
                Err(fault) => Judged::refused(locale, fault),
            })
            .collect(),
        Err(fault) => vec![Judged::refused(locale, &fault)],
    }
}

fn build(args: &Build) -> anyhow::Result<ExitCode> {
    if !config::is_tag(&args.locale) {
        return Err(wrong(format!("--locale {}: write a tag, as en-US or es-419", args.locale)));
    }
    let (sounds, engine, texts) = match &args.from {
        Some(folder) => (spoken_by_people(folder)?, "recorded".to_owned(), BTreeMap::new()),
        None => {
            let (name, text) = wanted(args)?;
            let (bytes, engine) = spoken(args, &text)?;
            let texts = BTreeMap::from([(name.clone(), text)]);
            (vec![(name.clone(), name, bytes)], engine, texts)
        }
    };
    let folder = args.out.join(&args.locale);
    let mut made = Vec::new();
    for (name, from, bytes) in sounds {
        if !prompt::is_phrase(&name) {
            let names = PHRASES.join(", ");
            return Err(wrong(format!("{from}: no phrase is called so; there are: {names}")));
        }
        let (recording, rate) =
            prompt::heard(&bytes).map_err(|why| wrong(format!("{from}: {why}")))?;
        let samples =
            prompt::master(&recording, rate).map_err(|why| wrong(format!("{from}: {why}")))?;
        made.push((name, wav(&samples)?));
    }
    // Judged before anything is written.
    let files = made.iter().map(|(name, bytes)| (format!("{name}.wav"), bytes.clone())).collect();
    let judged = judge(&Recordings { locale: args.locale.clone(), manifest: None, files });
    for judged in &judged {
        println!("{}", judged.line());
    }
    if judged.iter().any(|it| it.wrong.is_some()) {
        return Err(wrong("nothing was written"));
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (name, bytes) in &made {
        replace(&folder.join(format!("{name}.wav")), bytes)?;
    }
    let mut all = config::recordings(&args.out).map_err(wrong)?;
    all.retain(|it| it.locale == args.locale);
    let recordings = all.pop().unwrap_or_default();
    let manifest = recordings.write_manifest(&engine, &texts).map_err(|faults| {
        wrong(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    replace(&folder.join("manifest.toml"), manifest.as_bytes())?;
    eprintln!(
        "written to {}; in the configuration: folder or prompts = \"{}\"",
        folder.display(),
        args.out.display()
    );
    if args.json {
        let files: Vec<Value> = judged.iter().map(Judged::json).collect();
        println!("{}", json!({ "folder": folder, "files": files, "wrong": 0 }));
    }
    Ok(ExitCode::SUCCESS)
}

/// The name of the phrase that is to be made, and its text.
fn wanted(args: &Build) -> anyhow::Result<(String, String)> {
    let Some(brand) = &args.brand else {
        let name = args.phrase.clone().unwrap_or_default();
        return Ok((name, args.text.clone().unwrap_or_default()));
    };
    let name = prompt::brand_name(brand);
    if !name.bytes().skip("brand_".len()).any(|it| it != b'_') {
        let why = "a brand needs at least one of a-z, 0-9 to have a file name";
        return Err(wrong(format!("--brand {brand}: {why}")));
    }
    let brand =
        Brand::try_from(brand.clone()).map_err(|why| wrong(format!("--brand {brand}: {why}")))?;
    let book = Book::compiled()?;
    let ask = Ask { locale: &args.locale, brand: Some(&brand), payment: None };
    let own = || book.page(ask.locale).text(Said::Greeting, ask);
    Ok((name, args.text.clone().unwrap_or_else(own)))
}

/// Each recording in a folder: the name of its phrase, its path, what is in it.
fn spoken_by_people(folder: &Path) -> anyhow::Result<Vec<(String, String, Vec<u8>)>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).map_err(|error| {
        wrong(format!("the folder {} cannot be read: {error}", folder.display()))
    })?;
    for entry in entries {
        let path = entry?.path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if let (Some("wav" | "flac"), Some(name)) = (kind, path.file_stem()) {
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            found.push((name.to_string_lossy().into_owned(), path.display().to_string(), bytes));
        }
    }
    if found.is_empty() {
        return Err(wrong(format!("{} has no .wav and no .flac", folder.display())));
    }
    found.sort();
    Ok(found)
}

/// A WAV file of the text, and the program that spoke it.
fn spoken(args: &Build, text: &str) -> anyhow::Result<(Vec<u8>, String)> {
    let scratch =
        std::env::temp_dir().join(format!("octothorpe-{}.wav", Entropy::system().token(12)));
    let command = args.tts.clone().unwrap_or_else(|| program(&args.locale));
    let filled = command.split_whitespace().map(|part| {
        part.replace("{out}", &scratch.display().to_string())
            .replace("{locale}", &args.locale)
            .replace("{language}", voice(&args.locale))
            .replace("{text}", text)
    });
    let mut filled = filled.collect::<Vec<String>>().into_iter();
    let program = filled.next().ok_or_else(|| wrong("--tts: write a command"))?;
    let done = Command::new(&program).args(filled).output();
    let bytes = fs::read(&scratch);
    let _ = fs::remove_file(&scratch);
    let done = done.map_err(|error| {
        wrong(format!(
            "{program} cannot be run: {error}; install espeak-ng, or name another with --tts"
        ))
    })?;
    if !done.status.success() {
        let told = String::from_utf8_lossy(&done.stderr);
        anyhow::bail!("{program} failed ({}): {}", done.status, told.trim());
    }
    let bytes = bytes.map_err(|_| {
        wrong(format!("{program} wrote no file to the {{out}} of --tts {command:?}"))
    })?;
    Ok((bytes, program))
}

/// The program that speaks a language best, of those that are free and may be here.
fn program(locale: &str) -> String {
    let there = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
    };
    if locale.starts_with("en") && there("hibari") {
        return "hibari -o {out} --speed 0.87 --seed 0 {text}".to_owned();
    }
    "espeak-ng -v {language} -s 160 -w {out} {text}".to_owned()
}

/// What espeak-ng and its like call a language.
fn voice(locale: &str) -> &str {
    match locale {
        "en-US" => "en-us",
        "en-GB" => "en-gb",
        "es-ES" => "es",
        "pt-BR" => "pt-br",
        _ if locale.starts_with("es-") => "es-419",
        _ => locale.split('-').next().unwrap_or(locale),
    }
}

fn wav(samples: &[i16]) -> anyhow::Result<Vec<u8>> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec)?;
    for sample in samples {
        writer.write_sample(*sample)?;
    }
    writer.finalize()?;
    Ok(file.into_inner())
}

/// Whole or not at all: a gateway may be reading it.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let scratch = path.with_extension("tmp");
    let done = fs::write(&scratch, bytes).and_then(|()| fs::rename(&scratch, path));
    done.with_context(|| path.display().to_string())
}
