//! `octothorpe phone`: the lab phone, which stands in for a person's phone and for the trunk that
//! leads to it.
//!
//! [`Phone`] does the same within a process: for the demonstration, for tests, for measurements.
//!
//! | file | what is in it |
//! |---|---|
//! | `words` | how it behaves, what it tells |
//! | `call`, `serving` | one call as the callee sees it, and its requests: values, no sockets |
//! | `media`, `sound` | what it says and hears |
//! | `switchboard` | the auto-attendant that it may be |
//! | `digest` | the asking side of digest authentication |
//! | `line` | sockets and tasks |
//! | `report` | what is printed |

mod call;
mod digest;
mod line;
mod media;
mod report;
mod serving;
mod sound;
mod switchboard;
#[cfg(test)]
mod tests;
mod words;

pub use line::Phone;
pub(super) use sound::beeping;
pub use switchboard::{Behind, Switchboard};
pub use words::{
    Answer, Behaviour, By, Outcome, PhoneEvent, Press, Reflection, Side, Summary, Under, What,
};

use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::json;

use super::{Coding, Encrypt, wrong};
use crate::ambient::Clock;
use crate::media::g711::RATE;
use crate::media::prompt::Pack;
use words::Stroke;

/// How long a call that is to be refused rings.
const REFUSED_AFTER: Duration = Duration::from_secs(1);

/// A lab phone: answers, presses keys, is busy, as told.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe phone --press '#'                        # a person who confirms
  octothorpe phone --press '1,#' --press-after 5      # 1, a pause of a second, then #
  octothorpe phone --reject 486                       # a busy line
  octothorpe phone --no-answer                        # nobody at home
  octothorpe phone --voicemail greeting.wav --hang-up-after 20
  octothorpe phone --attendant built-in --press '#' --press-after 6   # 204 a person, 205 busy,
                                                      # 206 a mailbox, 207 rings on, others are unknown
  octothorpe phone --press '#' --by inband --level=-25 --press-ms 40 --codec pcma
  octothorpe phone --press '#' --by-number 0122=inband --by-number 0123=info
                                                      # the far side of self-test calls
  octothorpe phone --reflect 120                      # a line that sends back what it hears
  octothorpe phone --username acme --password env:PHONE_PASSWORD --press '#'
  octothorpe phone --listen udp:127.0.0.1:0 --calls 1 --record heard.wav --json

Call it from another terminal:
  octothorpe call +12025550123 --via 'sip:127.0.0.1:5080;transport=udp'

Exit codes: 0 it was stopped or has had its calls, 2 wrong usage, 70 our fault.")]
pub struct Args {
    /// Where to take SIP; port 0 takes any.
    #[arg(long, value_name = "ADDRESS", default_value = "udp:127.0.0.1:5080", value_parser = listen)]
    listen: SocketAddr,
    /// Seconds from the INVITE until it rings.
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = seconds)]
    ring: Duration,
    /// Seconds from the INVITE to the answer.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    answer_after: Duration,
    /// Refuse with this status, a second after it began to ring: 486 is busy, 603 declines.
    #[arg(
        long,
        value_name = "STATUS",
        value_parser = clap::value_parser!(u16).range(300..=699),
        conflicts_with_all = ["answer_after", "no_answer"],
    )]
    reject: Option<u16>,
    /// Ring until the caller gives up.
    #[arg(long, conflicts_with = "answer_after")]
    no_answer: bool,
    /// Keys to press once it is answered: 0-9 * # A-D, `,` waits 1 s, `w` waits 0.5 s.
    #[arg(long, value_name = "KEYS", value_parser = keys)]
    press: Option<String>,
    /// Seconds from the ACK to the first key [default: 3]; with --attendant from the hello; with --early-media from the 183
    /// [default: 0.5].
    #[arg(long, value_name = "SECONDS", requires = "press", value_parser = seconds)]
    press_after: Option<Duration>,
    /// How keys are sent.
    #[arg(long, value_name = "HOW", default_value = "rfc4733")]
    by: Way,
    /// How keys are sent in calls to numbers that end so, as 0122=inband; may be given several times.
    #[arg(long, value_name = "DIGITS=HOW", requires = "press", value_parser = by_number)]
    by_number: Vec<(String, Way)>,
    /// How long each key is held, in milliseconds.
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(10..=20_000),
    )]
    press_ms: u32,
    /// The level of each of the two tones of a key, in dBm0.
    #[arg(
        long,
        value_name = "DBM0",
        default_value_t = -10,
        value_parser = clap::value_parser!(i8).range(-60..=0),
        allow_negative_numbers = true,
    )]
    level: i8,
    /// Answer as an auto-attendant that says this (WAV as below, or built-in) and takes an extension:
    /// 204 is a person, who presses the keys, 205 busy, 206 a mailbox, 207 not answered. Delays
    /// change from call to call; keys that are pressed while it speaks are lost.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["voicemail", "early_media"])]
    attendant: Option<PathBuf>,
    /// Answer without telephone-events.
    #[arg(long)]
    no_events: bool,
    /// Answer with this codec only; the caller's first one without it.
    #[arg(long, value_name = "CODEC")]
    codec: Option<Coding>,
    /// A tone that is heard all the time, from the answer on.
    #[arg(long, value_name = "TONE")]
    tone: Option<Tone>,
    /// Send back what is heard, so many milliseconds later.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=5_000))]
    reflect: Option<u32>,
    /// And so many dB quieter.
    #[arg(
        long,
        value_name = "DB",
        default_value_t = 0,
        requires = "reflect",
        value_parser = clap::value_parser!(u8).range(0..=60),
    )]
    reflect_loss: u8,
    /// Send audio while it rings, and press the keys then instead of after the answer.
    #[arg(long)]
    early_media: bool,
    /// Seconds from the answer to hanging up; without it the caller hangs up.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    hang_up_after: Option<Duration>,
    /// Play this from the answer on, and a beep after it: WAV, 8 kHz, 16 bit, mono.
    #[arg(long, value_name = "FILE")]
    voicemail: Option<PathBuf>,
    /// Ask the caller for this user name, by digest.
    #[arg(long, value_name = "NAME", requires = "password")]
    username: Option<String>,
    /// And for this password; env:NAME keeps it out of the process list.
    #[arg(long, value_name = "PASSWORD", requires = "username")]
    password: Option<Password>,
    /// SRTP, with keys in the session description.
    #[arg(long, value_name = "HOW", default_value = "off")]
    srtp: Encrypt,
    /// Exit after so many calls; 0 never does.
    #[arg(long, value_name = "N", default_value_t = 0)]
    calls: usize,
    /// Write what the phone hears to this WAV file; of the second call to FILE-2, and so on.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print each event as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// How keys are sent, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// Telephone-events in RTP.
    Rfc4733,
    /// SIP INFO with application/dtmf-relay.
    Info,
    /// SIP INFO with application/dtmf.
    InfoDtmf,
    /// Tones in the audio.
    Inband,
    /// Telephone-events and tones at once.
    Rtp,
    /// Telephone-events, tones and INFO at once.
    All,
}

impl From<Way> for By {
    fn from(way: Way) -> Self {
        match way {
            Way::Rfc4733 => Self::Rfc4733,
            Way::Info => Self::Info,
            Way::InfoDtmf => Self::InfoDtmf,
            Way::Inband => Self::Inband,
            Way::Rtp => Self::Rtp,
            Way::All => Self::All,
        }
    }
}

/// A tone, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tone {
    /// A dial tone: 350 and 440 Hz.
    Dial,
}

/// Not shown.
#[derive(Clone)]
struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl std::str::FromStr for Password {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("env:") {
            None => Ok(Self(text.to_owned())),
            Some(name) => std::env::var(name)
                .map(Self)
                .map_err(|_| format!("the environment variable {name} is not set")),
        }
    }
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    let usage = "write udp:ADDRESS:PORT, as udp:127.0.0.1:5080 or udp:[::1]:5080";
    let address = text.strip_prefix("udp:").ok_or(usage)?;
    address.parse().map_err(|_| usage.to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let usage = "a number of seconds from 0 to 3600, as 2 or 0.5";
    let seconds: f64 = text.parse().map_err(|_| usage)?;
    let is_fit = (0.0..=3_600.0).contains(&seconds);
    if is_fit { Ok(Duration::from_secs_f64(seconds)) } else { Err(usage.to_owned()) }
}

fn by_number(text: &str) -> Result<(String, Way), String> {
    let usage = "write DIGITS=HOW, as 0122=inband";
    let (end, how) = text.split_once('=').ok_or(usage)?;
    if end.is_empty() || !end.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(usage.to_owned());
    }
    let ways: Vec<String> = Way::value_variants()
        .iter()
        .filter_map(Way::to_possible_value)
        .map(|it| it.get_name().to_owned())
        .collect();
    let way = Way::from_str(how, false);
    Ok((end.to_owned(), way.map_err(|_| format!("{usage}: one of {}", ways.join(", ")))?))
}

fn keys(text: &str) -> Result<String, String> {
    match text.chars().find(|c| Stroke::of(*c).is_none()) {
        Some(other) => Err(format!("there is no key {other:?}: 0-9 * # A-D, `,` and `w` to wait")),
        None if text.is_empty() => Err("there is no key in it".to_owned()),
        None => Ok(text.to_owned()),
    }
}

impl Args {
    /// What was asked for, or what is wrong with it.
    fn behaviour(&self) -> Result<Behaviour, String> {
        let by = self.by.into();
        let answer = match (self.reject, self.no_answer) {
            (Some(status), _) => Answer::Reject { status, after: self.ring + REFUSED_AFTER },
            (None, true) => Answer::Never,
            (None, false) => Answer::After(self.answer_after),
        };
        let default = Duration::from_millis(if self.early_media { 500 } else { 3_000 });
        let after = self.press_after.unwrap_or(default);
        let held = Duration::from_millis(self.press_ms.into());
        let level = self.level;
        let press = self.press.clone().map(|digits| Press { digits, after, by, held, level });
        if let (true, Some(_), Answer::After(answer)) = (self.early_media, &press, answer)
            && self.ring + after >= answer
        {
            return Err(format!(
                "with --early-media the keys are pressed before the answer: --ring and \
                 --press-after must come to less than --answer-after, {} s",
                answer.as_secs_f64()
            ));
        }
        let password = self.password.as_ref().map(|password| password.0.clone());
        Ok(Behaviour {
            ring: self.ring,
            answer,
            early_media: self.early_media,
            press,
            by_number: self
                .by_number
                .iter()
                .map(|(end, way)| (end.clone(), (*way).into()))
                .collect(),
            hang_up_after: self.hang_up_after,
            play: match &self.voicemail {
                Some(path) => Some(sound::beeping(read_wav("--voicemail", path)?)),
                None => None,
            },
            attendant: self.attendant.as_deref().map(attendant).transpose()?.map(Arc::new),
            takes_events: !self.no_events,
            under: self.tone.map(|Tone::Dial| Under::Dial),
            reflect: self.reflect.map(|delay| Reflection {
                delay: Duration::from_millis(delay.into()),
                loss: self.reflect_loss.into(),
            }),
            codec: self.codec.map(Into::into),
            credentials: self.username.clone().zip(password),
            record: self.record.is_some(),
            srtp: self.srtp.into(),
        })
    }
}

/// Carries the command out.
///
/// # Errors
/// When something in `args` is wrong, the port is not to be had, or a file cannot be written.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let behaviour = args.behaviour().map_err(wrong)?;
    let mut phone = Phone::start(args.listen, behaviour, Clock::system())
        .await
        .map_err(|error| wrong(format!("--listen udp:{}: {error}", args.listen)))?;
    let mut desk = Desk { args, numbers: HashMap::new(), finished: 0 };
    if let ControlFlow::Continue(()) = desk.greet(phone.address())? {
        loop {
            let event = tokio::select! {
                event = phone.events().recv() => event,
                stopped = tokio::signal::ctrl_c() => stopped.map(|()| None)?,
            };
            let Some(event) = event else { break };
            if desk.tell(&event)?.is_break() {
                break;
            }
        }
    }
    for event in phone.stop().await {
        // It is over, whoever reads.
        let _ = desk.tell(&event)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what happens, and keeps the recordings.
struct Desk {
    args: Args,
    /// The calls by their Call-ID, numbered from 1.
    numbers: HashMap<Arc<str>, usize>,
    finished: usize,
}

impl Desk {
    fn greet(&self, address: SocketAddr) -> io::Result<ControlFlow<()>> {
        if self.args.json {
            let line = json!({ "event": "listening", "address": format!("udp:{address}") });
            return print(io::stdout().lock(), &line.to_string());
        }
        let line = format!("The lab phone takes calls at udp:{address}; Ctrl-C stops it.");
        print(io::stderr().lock(), &line)
    }

    /// Breaks when all is done: enough calls, or nobody reads any more.
    fn tell(&mut self, event: &PhoneEvent) -> anyhow::Result<ControlFlow<()>> {
        let next = self.numbers.len() + 1;
        let number = *self.numbers.entry(Arc::clone(&event.call)).or_insert(next);
        let mut file = None;
        if let (What::Recording { samples }, Some(path)) = (&event.what, &self.args.record) {
            let path = numbered(path, number);
            write_wav(&path, samples).with_context(|| path.display().to_string())?;
            file = Some(path.display().to_string());
        }
        let told = if self.args.json {
            print(io::stdout().lock(), &report::json_line(number, event, file.as_deref()))?
        } else {
            print(io::stderr().lock(), &report::human_line(number, event, file.as_deref()))?
        };
        if let What::Finished(_) = event.what {
            self.finished += 1;
        }
        let is_enough = self.args.calls != 0 && self.finished >= self.args.calls;
        Ok(if is_enough { ControlFlow::Break(()) } else { told })
    }
}

/// Breaks when the reader has gone away (`| head -1`).
fn print(mut to: impl Write, line: &str) -> io::Result<ControlFlow<()>> {
    match writeln!(to, "{line}").and_then(|()| to.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error),
    }
}

/// The file of that call: `heard.wav`, then `heard-2.wav`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    let extension = path.extension().unwrap_or_default();
    path.with_file_name(name).with_extension(extension)
}

/// The one kind of WAV that is read and written here.
const WAV: hound::WavSpec = hound::WavSpec {
    channels: 1,
    sample_rate: RATE,
    bits_per_sample: 16,
    sample_format: hound::SampleFormat::Int,
};

/// The attendant that says what is in this file; `built-in` is none.
fn attendant(path: &Path) -> Result<Switchboard, String> {
    let pack = Pack::english().map_err(|error| error.to_string())?;
    let built_in = Switchboard::built_in(&pack);
    if path.as_os_str() == "built-in" {
        return Ok(built_in);
    }
    Ok(Switchboard { menu: vec![read_wav("--attendant", path)?], ..built_in })
}

fn read_wav(option: &str, path: &Path) -> Result<Vec<i16>, String> {
    let wrong = |why: String| format!("{option} {}: {why}", path.display());
    let reader = hound::WavReader::open(path).map_err(|error| wrong(error.to_string()))?;
    let spec = reader.spec();
    if spec != WAV {
        let hound::WavSpec { channels, sample_rate, bits_per_sample, .. } = spec;
        return Err(wrong(format!(
            "it must be 8000 Hz, 16 bit, mono; it is {sample_rate} Hz, {bits_per_sample} bit, \
             {channels} channel(s). sox IN.wav -r 8000 -b 16 -c 1 OUT.wav makes it so"
        )));
    }
    let samples: Result<Vec<i16>, _> = reader.into_samples().collect();
    samples.map_err(|error| wrong(error.to_string()))
}

fn write_wav(path: &Path, samples: &[i16]) -> Result<(), hound::Error> {
    let mut writer = hound::WavWriter::create(path, WAV)?;
    for sample in samples {
        writer.write_sample(*sample)?;
    }
    writer.finalize()
}
