//! Recorded prompts: a pack of phrases, checked and encoded once when it is loaded.
//!
//! A pack is a manifest and the masters it names, WAV or FLAC. Whatever is wrong with one of them is a
//! refusal that names the file, so that a call never meets it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::media::g711::{FRAME, Law, RATE};

/// −3 dBFS: no sample of a master may exceed it, because companding and the far end's gain need
/// the room.
pub const PEAK: u16 = 23_197;

/// The longest phrase: a minute.
const LONGEST_MS: u64 = 60_000;

/// Which phrase of a pack; only that pack gives it a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhraseId(usize);

/// One recording, ready to be sent.
#[derive(Clone)]
pub struct Phrase {
    /// Whole 20 ms frames of µ-law.
    pub ulaw: Arc<[u8]>,
    /// The same in A-law.
    pub alaw: Arc<[u8]>,
    /// How long the recording is, without what fills its last frame.
    pub length: Duration,
    /// What is said.
    pub text: String,
}

impl Phrase {
    /// The phrase in one of the laws.
    #[must_use]
    pub fn samples(&self, law: Law) -> &[u8] {
        match law {
            Law::Ulaw => &self.ulaw,
            Law::Alaw => &self.alaw,
        }
    }

    /// How many 20 ms frames it has.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.ulaw.len() / FRAME
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phrase")
            .field("length", &self.length)
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

/// A voice in a language: its phrases by name.
#[derive(Clone, Debug)]
pub struct Pack {
    /// The language, as BCP 47 writes it.
    pub locale: String,
    /// The voice.
    pub voice: String,
    /// The licence of the recordings.
    pub licence: String,
    phrases: Vec<Phrase>,
    names: BTreeMap<String, PhraseId>,
}

/// Why a pack cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The manifest is not what it should be.
    #[error("manifest.toml: {0}")]
    Manifest(String),
    /// The manifest names a file that is not there.
    #[error("{file}: the file is missing; put it beside manifest.toml, or take its row out")]
    Missing {
        /// The file.
        file: String,
    },
    /// The file is not the one the manifest was written for.
    #[error("{file}: SHA-256 is {is}, the manifest says {said}")]
    Hash {
        /// The file.
        file: String,
        /// Its SHA-256.
        is: String,
        /// The manifest's.
        said: String,
    },
    /// The file is neither WAV nor FLAC, or not 8 kHz 16-bit mono.
    #[error("{file}: {why}")]
    Format {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// The recording is not as long as the manifest says.
    #[error("{file}: {is} ms long, the manifest says {said} ms")]
    Length {
        /// The file.
        file: String,
        /// Its length in milliseconds.
        is: u64,
        /// The manifest's.
        said: u64,
    },
    /// The recording is too loud.
    #[error("{file}: peaks at {peak}, {PEAK} (-3 dBFS) is the most")]
    Loud {
        /// The file.
        file: String,
        /// Its greatest sample.
        peak: u16,
    },
    /// A phrase that is needed is not in the pack.
    #[error("the pack has no phrase `{0}`")]
    NoPhrase(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    locale: String,
    voice: String,
    licence: String,
    #[serde(rename = "engine")]
    _engine: String,
    #[serde(rename = "note")]
    _note: Option<String>,
    sample_rate: u32,
    #[serde(rename = "level_dbm0")]
    _level_dbm0: i32,
    prompt: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    file: String,
    text: String,
    sha256: String,
    milliseconds: u64,
}

impl Pack {
    /// Checks and encodes a pack; `file` gives the contents of the files the manifest names.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn load<Bytes: AsRef<[u8]>>(
        manifest: &str,
        file: impl Fn(&str) -> Option<Bytes>,
    ) -> Result<Self, PackError> {
        let manifest: Manifest =
            toml::from_str(manifest).map_err(|fault| PackError::Manifest(fault.to_string()))?;
        if manifest.sample_rate != RATE {
            let rate = manifest.sample_rate;
            return Err(PackError::Manifest(format!("sample_rate is {rate}, not {RATE}")));
        }
        let mut pack = Self {
            locale: manifest.locale,
            voice: manifest.voice,
            licence: manifest.licence,
            phrases: Vec::with_capacity(manifest.prompt.len()),
            names: BTreeMap::new(),
        };
        for row in manifest.prompt {
            let Some(bytes) = file(&row.file) else {
                return Err(PackError::Missing { file: row.file });
            };
            let id = PhraseId(pack.phrases.len());
            if pack.names.insert(row.name.clone(), id).is_some() {
                return Err(PackError::Manifest(format!("`{}` is there twice", row.name)));
            }
            pack.phrases.push(row.phrase(bytes.as_ref())?);
        }
        Ok(pack)
    }

    /// The English pack that is compiled in.
    ///
    /// # Errors
    /// When the recordings in the source tree do not fit their manifest.
    pub fn english() -> Result<Self, PackError> {
        Self::load(MANIFEST, |file| {
            ENGLISH.iter().find(|(name, _)| *name == file).map(|(_, bytes)| *bytes)
        })
    }

    /// The phrase called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, name: &str) -> Result<PhraseId, PackError> {
        self.names.get(name).copied().ok_or_else(|| PackError::NoPhrase(name.to_owned()))
    }

    /// A phrase by its identifier.
    #[must_use]
    pub fn phrase(&self, id: PhraseId) -> Option<&Phrase> {
        self.phrases.get(id.0)
    }

    /// The names of all phrases, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// The `n`th 20 ms of a phrase: 160 octets; `None` past its end.
    #[must_use]
    pub fn frame(&self, phrase: PhraseId, law: Law, n: usize) -> Option<&[u8]> {
        self.phrase(phrase)?.samples(law).chunks_exact(FRAME).nth(n)
    }

    /// What opens the call: the greeting recorded for `brand`, or the general one.
    ///
    /// # Errors
    /// When the pack has neither.
    pub fn greeting(&self, brand: Option<&str>) -> Result<PhraseId, PackError> {
        brand
            .and_then(|brand| self.find(&format!("brand_{}", slug(brand))).ok())
            .map_or_else(|| self.find("greeting"), Ok)
    }
}

/// A brand as the files are named: lower case, all but a–z and 0–9 an underscore.
fn slug(brand: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    brand.to_lowercase().chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

impl Row {
    fn phrase(self, bytes: &[u8]) -> Result<Phrase, PackError> {
        let file = self.file;
        let is: String = Sha256::digest(bytes).iter().map(|octet| format!("{octet:02x}")).collect();
        if !is.eq_ignore_ascii_case(&self.sha256) {
            return Err(PackError::Hash { file, is, said: self.sha256 });
        }
        let samples = match samples(bytes) {
            Ok(samples) => samples,
            Err(why) => return Err(PackError::Format { file, why }),
        };
        let count = u64::try_from(samples.len()).unwrap_or(u64::MAX);
        let milliseconds = count.saturating_mul(1_000) / u64::from(RATE);
        if milliseconds != self.milliseconds || milliseconds > LONGEST_MS || count == 0 {
            return Err(PackError::Length { file, is: milliseconds, said: self.milliseconds });
        }
        let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        if peak > PEAK {
            return Err(PackError::Loud { file, peak });
        }
        Ok(Phrase {
            ulaw: frames(&samples, Law::Ulaw),
            alaw: frames(&samples, Law::Alaw),
            length: Duration::from_micros(count.saturating_mul(1_000_000) / u64::from(RATE)),
            text: self.text,
        })
    }
}

/// Companded, and filled up with silence to whole frames.
fn frames(samples: &[i16], law: Law) -> Arc<[u8]> {
    let whole = samples.len().next_multiple_of(FRAME);
    let padded = samples.iter().copied().chain(std::iter::repeat(0));
    padded.take(whole).map(|sample| law.encode(sample)).collect()
}

/// The samples of a WAV or FLAC file.
fn samples(file: &[u8]) -> Result<Vec<i16>, String> {
    if file.starts_with(b"fLaC") { flac(file) } else { wav(file) }
}

fn wav(file: &[u8]) -> Result<Vec<i16>, String> {
    let reader = hound::WavReader::new(file).map_err(|fault| fault.to_string())?;
    let spec = reader.spec();
    fit(spec.sample_rate, spec.channels.into(), spec.bits_per_sample.into())?;
    if spec.sample_format != hound::SampleFormat::Int {
        return Err("its samples are fractions: 16-bit integers are needed".to_owned());
    }
    reader.into_samples().collect::<Result<_, _>>().map_err(|fault| fault.to_string())
}

fn flac(file: &[u8]) -> Result<Vec<i16>, String> {
    let mut reader = claxon::FlacReader::new(file).map_err(|fault| fault.to_string())?;
    let info = reader.streaminfo();
    fit(info.sample_rate, info.channels, info.bits_per_sample)?;
    let sample = |sample: Result<i32, claxon::Error>| {
        let sample = sample.map_err(|fault| fault.to_string())?;
        i16::try_from(sample).map_err(|_| format!("a sample of {sample} is not one of 16 bits"))
    };
    let samples: Vec<i16> = reader.samples().map(sample).collect::<Result<_, _>>()?;
    // A file that was cut short between two of its blocks ends without a fault.
    let said = info.samples.unwrap_or_default();
    if samples.len() as u64 != said {
        return Err(format!("it has {} samples and says it has {said}", samples.len()));
    }
    Ok(samples)
}

fn fit(rate: u32, channels: u32, bits: u32) -> Result<(), String> {
    if (rate, channels, bits) == (RATE, 1, 16) {
        return Ok(());
    }
    Err(format!(
        "{rate} Hz, {channels} channel(s), {bits} bits: 8000 Hz, 1 channel, 16 bits are needed"
    ))
}

const MANIFEST: &str = include_str!("../../prompts/en-US/hibari/manifest.toml");

macro_rules! masters {
    ($($name:literal)*) => {
        &[$((
            concat!($name, ".flac"),
            include_bytes!(concat!("../../prompts/en-US/hibari/", $name, ".flac")),
        )),*]
    };
}

const ENGLISH: &[(&str, &[u8])] = masters!(
    "greeting" "ask" "again" "wrong_key" "thanks" "fraud" "denied" "goodbye" "sorry"
    "ask_pin" "wrong_pin" "pin_expires" "ask_match" "wrong_match"
    "ask_code" "code_is" "code_again" "code_end" "confirm_fraud" "choose"
    "digit_0" "digit_1" "digit_2" "digit_3" "digit_4"
    "digit_5" "digit_6" "digit_7" "digit_8" "digit_9"
    "digit_0_f" "digit_1_f" "digit_2_f" "digit_3_f" "digit_4_f"
    "digit_5_f" "digit_6_f" "digit_7_f" "digit_8_f" "digit_9_f"
    "pound" "star" "brand_octothorpe"
);

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::media::g711::level_dbm0;

    fn wav(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut file, spec).expect("a writer");
        for sample in samples {
            writer.write_sample(*sample).expect("a sample");
        }
        writer.finalize().expect("a file");
        file.into_inner()
    }

    fn manifest(bytes: &[u8], milliseconds: u64) -> String {
        let hash: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        format!(
            "locale = \"en-US\"\nvoice = \"v\"\nlicence = \"CC0-1.0\"\nengine = \"e\"\n\
             sample_rate = 8000\nlevel_dbm0 = -16\n[[prompt]]\nname = \"ask\"\n\
             file = \"ask.wav\"\ntext = \"Press.\"\nsha256 = \"{hash}\"\n\
             milliseconds = {milliseconds}\n"
        )
    }

    fn load(bytes: &[u8], manifest: &str) -> Result<Pack, PackError> {
        Pack::load(manifest, |file| (file == "ask.wav").then_some(bytes))
    }

    #[test]
    fn a_phrase_is_whole_frames_in_both_laws() {
        let bytes = wav(8_000, 1, &[1_000; 200]);
        let pack = load(&bytes, &manifest(&bytes, 25)).expect("a pack");
        let ask = pack.find("ask").expect("it is there");
        let phrase = pack.phrase(ask).expect("it is there");
        assert_eq!((phrase.frames(), phrase.length), (2, Duration::from_millis(25)));
        assert_eq!(phrase.text, "Press.");
        for law in [Law::Ulaw, Law::Alaw] {
            let first = pack.frame(ask, law, 0).expect("a frame");
            assert_eq!(first, [law.encode(1_000); FRAME]);
            let last = pack.frame(ask, law, 1).expect("a frame");
            assert_eq!(last[40..], law.silence()[40..]);
            assert_eq!(pack.frame(ask, law, 2), None);
        }
        assert_eq!(pack.find("sing"), Err(PackError::NoPhrase("sing".into())));
    }

    #[test]
    fn a_fault_names_its_file() {
        let good = wav(8_000, 1, &[1_000; 160]);
        let row = manifest(&good, 20);
        let refusal = |bytes: &[u8], manifest: &str| {
            load(bytes, manifest).expect_err("it is refused").to_string()
        };
        let fast = wav(16_000, 1, &[0; 160]);
        let wide = wav(8_000, 2, &[0; 160]);
        let loud = wav(8_000, 1, &[-30_000; 160]);
        let empty = wav(8_000, 1, &[]);
        let faults = [
            (refusal(&fast, &row), "ask.wav: SHA-256 is "),
            (refusal(&fast, &manifest(&fast, 20)), "ask.wav: 16000 Hz, 1 channel"),
            (refusal(&wide, &manifest(&wide, 20)), "ask.wav: 8000 Hz, 2 channel"),
            (refusal(&loud, &manifest(&loud, 20)), "ask.wav: peaks at 30000"),
            (refusal(&good, &manifest(&good, 21)), "ask.wav: 20 ms long"),
            (refusal(&empty, &manifest(&empty, 0)), "ask.wav: 0 ms long"),
            (refusal(b"RIFF", &manifest(b"RIFF", 0)), "ask.wav: "),
            (refusal(&good, &row.replace("ask.wav", "b.wav")), "b.wav: the file is missing; "),
            (refusal(&good, &row.replace("voice", "vice")), "manifest.toml: "),
            (refusal(&good, &row.replace("8000", "16000")), "manifest.toml: sample_rate"),
            (refusal(&good, ""), "manifest.toml: "),
        ];
        for (refusal, expected) in faults {
            assert!(refusal.starts_with(expected), "{refusal}");
        }
        let (_, prompt) = row.split_once("[[").expect("a row");
        let twice = format!("{row}[[{prompt}");
        assert_eq!(refusal(&good, &twice), "manifest.toml: `ask` is there twice");
    }

    #[test]
    fn the_english_pack_is_whole_and_speaks_at_its_level() {
        let pack = Pack::english().expect("it is compiled in");
        assert_eq!(pack.names().count(), ENGLISH.len());
        for name in pack.names() {
            let phrase = pack.phrase(pack.find(name).expect("listed")).expect("listed");
            // The mean over the frames that carry speech, as prompts/build.py measures it.
            let frames = phrase.ulaw.chunks_exact(FRAME);
            let speech: Vec<i16> = frames
                .map(|frame| frame.iter().map(|c| Law::Ulaw.decode(*c)).collect::<Vec<_>>())
                .filter(|frame| level_dbm0(frame) >= -32.0)
                .flatten()
                .collect();
            let level = level_dbm0(&speech);
            assert!((level + 16.0).abs() < 1.0, "{name}: {level:.1} dBm0");
        }
    }

    #[test]
    fn a_brand_has_its_own_greeting_when_it_was_recorded() {
        let pack = Pack::english().expect("it is compiled in");
        assert_eq!(pack.greeting(Some("Octothorpe")), pack.find("brand_octothorpe"));
        assert_eq!(pack.greeting(Some("No/such.Brand")), pack.find("greeting"));
        assert_eq!(pack.greeting(None), pack.find("greeting"));
        assert_eq!(slug("A&B Bänk 7"), "a_b_b_nk_7");
    }
}
