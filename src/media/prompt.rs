//! Recorded prompts: packs of phrases, checked and encoded before they are spoken.
//!
//! A pack is a voice in a language: a manifest and the masters it names, WAV or FLAC. [`Prompts`] are
//! all packs there are: those that are compiled in, and recordings of one's own over them. Whatever is
//! wrong with a recording is a refusal that names the file, so that a call never meets it.

mod compiled;
mod library;
mod master;
mod mastering;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::library::{Prompts, Recordings};
pub use self::master::{LOUDEST, PEAK, QUIETEST, active_level, longest_ms};
pub use self::mastering::{Unusable, heard, master};
use crate::media::codec::Codec;
use crate::media::g711::{FRAME, Law, RATE};
use crate::media::listening::sound;

/// Every phrase that a whole pack has, beside greetings with a brand; what is said in each is in
/// `prompts/speech.toml` and `prompts/phrases.toml`.
pub const PHRASES: [&str; 42] = [
    "greeting",
    "ask",
    "again",
    "wrong_key",
    "thanks",
    "fraud",
    "denied",
    "goodbye",
    "sorry",
    "ask_pin",
    "wrong_pin",
    "pin_expires",
    "ask_match",
    "wrong_match",
    "ask_code",
    "code_is",
    "code_again",
    "code_end",
    "confirm_fraud",
    "choose",
    "digit_0",
    "digit_1",
    "digit_2",
    "digit_3",
    "digit_4",
    "digit_5",
    "digit_6",
    "digit_7",
    "digit_8",
    "digit_9",
    "digit_0_f",
    "digit_1_f",
    "digit_2_f",
    "digit_3_f",
    "digit_4_f",
    "digit_5_f",
    "digit_6_f",
    "digit_7_f",
    "digit_8_f",
    "digit_9_f",
    "pound",
    "star",
];

/// What the name of a greeting with a brand begins with.
const BRAND: &str = "brand_";

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
    /// The same in G.722, once that was wanted.
    g722: OnceLock<Arc<[u8]>>,
    /// What was recorded.
    samples: Arc<[i16]>,
    /// How loud each frame is, in dBm0.
    levels: Arc<[i16]>,
    /// How long the recording is, without what fills its last frame.
    pub length: Duration,
    /// What is said.
    pub text: String,
}

impl Phrase {
    fn new(samples: &[i16], text: String) -> Self {
        let micros = samples.len() as u64 * 1_000_000 / u64::from(RATE);
        Self {
            ulaw: frames(samples, Codec::PCMU),
            alaw: frames(samples, Codec::PCMA),
            g722: OnceLock::new(),
            samples: samples.into(),
            levels: samples.chunks(FRAME).map(level).collect(),
            length: Duration::from_micros(micros),
            text,
        }
    }

    /// What was recorded, at 8 kHz.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// The phrase in one of the codecs.
    #[must_use]
    pub fn codes(&self, codec: Codec) -> &[u8] {
        match codec {
            Codec::G711(Law::Ulaw) => &self.ulaw,
            Codec::G711(Law::Alaw) => &self.alaw,
            // Few trunks carry it: it is coded when it is first spoken.
            Codec::G722 => self.g722.get_or_init(|| frames(&self.samples, codec)),
        }
    }

    /// How many 20 ms frames it has.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.ulaw.len() / FRAME
    }

    /// The `n`th 20 ms: 160 octets; `None` past its end.
    #[must_use]
    pub fn frame(&self, codec: Codec, n: usize) -> Option<&[u8]> {
        self.codes(codec).chunks_exact(FRAME).nth(n)
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

fn level(samples: &[i16]) -> i16 {
    let mut frame = [0; FRAME];
    frame.iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
    sound::level(&frame)
}

/// Coded, and filled up with silence to whole frames.
fn frames(samples: &[i16], codec: Codec) -> Arc<[u8]> {
    let whole = samples.len().next_multiple_of(FRAME);
    let padded = samples.iter().copied().chain(std::iter::repeat(0));
    codec.encoded(padded.take(whole)).into()
}

/// A voice in a language: its phrases by name.
#[derive(Clone, Debug)]
pub struct Pack {
    /// Whose voice it is, in which language.
    pub about: About,
    phrases: Vec<Phrase>,
    names: BTreeMap<String, PhraseId>,
}

/// Whose voice a pack is, and in which language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The language (BCP 47).
    pub locale: String,
    /// Further languages and regions that it is for.
    pub also: Vec<String>,
    /// The voice.
    pub voice: String,
    /// The licence of the recordings.
    pub licence: String,
    /// What made them.
    pub engine: String,
    /// What whoever chooses a voice should know.
    pub note: Option<String>,
}

impl About {
    /// Whether it was made for this language and region.
    #[must_use]
    pub fn is_for(&self, locale: &str) -> bool {
        let mut tags = std::iter::once(&self.locale).chain(&self.also);
        tags.any(|tag| tag.eq_ignore_ascii_case(locale))
    }

    /// Whether it is of the language of this tag, of whatever region.
    #[must_use]
    pub fn speaks(&self, locale: &str) -> bool {
        let language = |tag: &str| tag.split(['-', '_']).next().map(str::to_ascii_lowercase);
        language(&self.locale) == language(locale)
    }
}

impl Pack {
    /// The English pack that is compiled in.
    ///
    /// # Errors
    /// When it cannot be decoded, which a test rules out.
    pub fn english() -> Result<Self, PackError> {
        Ok(Arc::unwrap_or_clone(Prompts::compiled()?.first()?))
    }

    /// Checks and encodes a pack; `file` gives the contents of the files the manifest names.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    fn load<'a>(
        manifest: &Manifest,
        file: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Result<Self, PackError> {
        let mut pack = Self::empty(manifest.about.clone());
        for row in &manifest.prompt {
            let bytes =
                file(&row.file).ok_or_else(|| PackError::Missing { file: row.file.clone() })?;
            pack.put(&row.name, row.phrase(bytes)?);
        }
        Ok(pack)
    }

    const fn empty(about: About) -> Self {
        Self { about, phrases: Vec::new(), names: BTreeMap::new() }
    }

    /// Puts a phrase in the place of the one of this name, if there is one.
    fn put(&mut self, name: &str, phrase: Phrase) {
        self.names.insert(name.to_owned(), PhraseId(self.phrases.len()));
        self.phrases.push(phrase);
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

    /// The `n`th 20 ms of a phrase: 160 octets; `None` past its end.
    #[must_use]
    pub fn frame(&self, phrase: PhraseId, codec: Codec, n: usize) -> Option<&[u8]> {
        self.phrase(phrase)?.frame(codec, n)
    }

    /// How loud the `n`th 20 ms of a phrase are, in dBm0; `None` past its end.
    #[must_use]
    pub fn level(&self, phrase: PhraseId, n: usize) -> Option<i16> {
        self.phrase(phrase)?.levels.get(n).copied()
    }

    /// The phrase called `name`, itself.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Phrase> {
        self.phrase(*self.names.get(name)?)
    }

    /// The names of all phrases, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// What opens the call: the greeting recorded for `brand`, or the general one.
    ///
    /// # Errors
    /// When the pack has neither.
    pub fn greeting(&self, brand: Option<&str>) -> Result<PhraseId, PackError> {
        brand
            .and_then(|brand| self.find(&brand_name(brand)).ok())
            .map_or_else(|| self.find("greeting"), Ok)
    }
}

/// What the greeting with this brand is called: all but a–z and 0–9, in lower case, an underscore.
#[must_use]
pub fn brand_name(brand: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let slug = brand.to_lowercase().replace(|c| !plain(c), "_");
    format!("{BRAND}{slug}")
}

/// Whether a pack can have a phrase of this name.
#[must_use]
pub fn is_phrase(name: &str) -> bool {
    PHRASES.contains(&name) || (name.len() > BRAND.len() && name.starts_with(BRAND))
}

/// A manifest that can be used.
#[derive(Clone, Debug)]
struct Manifest {
    about: About,
    prompt: Vec<Row>,
}

/// The file `manifest.toml`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    locale: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also: Vec<String>,
    voice: String,
    licence: String,
    engine: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    sample_rate: u32,
    level_dbm0: i32,
    prompt: Vec<Row>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    file: String,
    text: String,
    sha256: String,
    milliseconds: u64,
}

impl Manifest {
    fn parse(text: &str) -> Result<Self, PackError> {
        let written: Written =
            toml::from_str(text).map_err(|fault| PackError::Manifest(fault.to_string()))?;
        let Written { locale, also, voice, licence, engine, note, sample_rate, prompt, .. } =
            written;
        if sample_rate != RATE {
            return Err(PackError::Manifest(format!(
                "sample_rate is {sample_rate}, and {RATE} is needed: resample the recordings"
            )));
        }
        for (n, row) in prompt.iter().enumerate() {
            if prompt.iter().take(n).any(|before| before.name == row.name) {
                return Err(PackError::Manifest(format!("`{}` is there twice", row.name)));
            }
            if !is_phrase(&row.name) {
                return Err(PackError::Name { file: row.file.clone() });
            }
        }
        Ok(Self { about: About { locale, also, voice, licence, engine, note }, prompt })
    }

    fn write(self) -> String {
        let About { locale, also, voice, licence, engine, note } = self.about;
        let written = Written {
            locale,
            also,
            voice,
            licence,
            engine,
            note,
            sample_rate: RATE,
            level_dbm0: mastering::LEVEL,
            prompt: self.prompt,
        };
        // These are texts and numbers, all of which TOML can write.
        toml::to_string(&written).unwrap_or_default()
    }
}

impl Row {
    fn phrase(&self, bytes: &[u8]) -> Result<Phrase, PackError> {
        let file = || self.file.clone();
        let is = sha256(bytes);
        if !is.eq_ignore_ascii_case(&self.sha256) {
            return Err(PackError::Hash { file: file(), is, said: self.sha256.clone() });
        }
        let samples = master::read(&self.name, &self.file, bytes)?;
        let milliseconds = master::milliseconds(&samples);
        if milliseconds != self.milliseconds {
            let said = self.milliseconds;
            return Err(PackError::Length { file: file(), is: milliseconds, said });
        }
        Ok(Phrase::new(&samples, self.text.clone()))
    }
}

/// The SHA-256 of a file as a manifest writes it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|octet| format!("{octet:02x}")).collect()
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
    /// The manifest does not name a file that is there.
    #[error(
        "{file}: manifest.toml has no row for it; write one, take the file away, or have none of \
         a manifest"
    )]
    Unlisted {
        /// The file.
        file: String,
    },
    /// No phrase is called so.
    #[error(
        "{file}: no phrase is called so; `octothorpe prompts check` lists the names, and a \
         greeting with a brand is brand_ and the brand in a-z, 0-9 and _"
    )]
    Name {
        /// The file.
        file: String,
    },
    /// Two files hold the same phrase.
    #[error("{file}: another file has this phrase, too; take one of them away")]
    Twice {
        /// The second.
        file: String,
    },
    /// The file is not the one the manifest was written for.
    #[error(
        "{file}: SHA-256 is {is}, the manifest says {said}; it was damaged or exchanged: copy it \
         again, or write its row anew"
    )]
    Hash {
        /// The file.
        file: String,
        /// Its SHA-256.
        is: String,
        /// The manifest's.
        said: String,
    },
    /// The file is neither WAV nor FLAC, or not 8 kHz 16-bit mono.
    #[error("{file}: {why}; `octothorpe prompts build --from` makes it fit")]
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
    /// The recording is longer than anybody listens.
    #[error("{file}: {is} ms long, {most} ms is the most: shorten it")]
    Long {
        /// The file.
        file: String,
        /// Its length in milliseconds.
        is: u64,
        /// The most for this phrase.
        most: u64,
    },
    /// The recording is too loud, too quiet, or silent.
    #[error("{file}: {why}; `octothorpe prompts build --from` brings it to its level")]
    Level {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A phrase that is needed is not in the pack.
    #[error("the pack has no phrase `{0}`")]
    NoPhrase(String),
    /// Recordings of a language that no pack has must be all that a call can say.
    #[error("there is no pack of {locale} that they could stand over, and these are missing: {}", .lacks.join(", "))]
    NotWhole {
        /// The language.
        locale: String,
        /// What is missing.
        lacks: Vec<&'static str>,
    },
}

#[cfg(test)]
mod tests;
