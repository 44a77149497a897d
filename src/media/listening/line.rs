//! Who is at the other end: a person, a machine, or the network with its tones.
//!
//! The prompt is said at once, whoever answered; this listens beside it. Speech is told by its
//! loudness, tones by their frequency and their cadence:
//!
//! - a person says a word or two and waits for an answer; a machine speaks on, and beeps. The
//!   times are about those of Asterisk's `AMD()`: a word lasts 100 ms, 0.8 s of silence end a
//!   greeting, and one of 2.4 s is a machine's;
//! - tones of the network: ITU-T E.180 and its supplement 2 (425 Hz, or 480 and 620 Hz; the
//!   special information tones of 950, 1,400 and 1,800 Hz, in North America 914 or 985, 1,371 or
//!   1,429, and 1,777 Hz); of fax machines: ITU-T T.30.

use super::label::{Cue, Is, Label};
use super::sound::{Frame, Sound};

/// A word, in frames of 20 ms: 100 ms.
const WORD: u32 = 5;

/// The pauses within a word.
const GAP: u32 = 2;

/// The silence that ends a greeting: 0.8 s.
const PAUSE: u32 = 40;

/// The longest greeting of a person who is sure to be one: 1.8 s.
const SHORT: u32 = 90;

/// A greeting of this length is a machine's: 2.4 s.
const LONG: u32 = 120;

/// When nobody has said a word for so long, nobody will: 5 s.
const NOBODY: u32 = 250;

/// After so much speech a tone may be the beep of a machine: 0.8 s.
const BEFORE_BEEP: u32 = 40;

/// How long a service waits that wants to be answered: 2 s.
const WAIT: u32 = 100;

/// How much louder than the noise speech is, in dB.
const ABOVE_NOISE: f32 = 9.0;

/// The least level of speech, in dBm0.
const SPEECH: i16 = -42;

/// By how much speech is louder at its loudest than between its words, in dB.
const LIVELY: i16 = 12;

/// The part of a greeting that is kept, to be known again: 4 s.
const KEPT: usize = 200;

/// Listens to one call.
#[derive(Clone, Debug)]
pub struct Line {
    /// How many frames have passed.
    now: u32,
    /// The level of the noise, in dBm0: it follows down at once, and up by 2.5 dB in a second.
    noise: f32,
    /// How long the word in hand is, and the gap behind it.
    word: (u32, u32),
    /// When what is being said began, and when its last word was heard.
    saying: Option<(u32, u32)>,
    /// How much has been said.
    spoken: u32,
    /// The first long greeting, once it was over: when that was, and how it sounded.
    greeting: Option<(u32, Vec<i16>)>,
    /// How what is being said sounds.
    sounds: Vec<i16>,
    tone: Option<Tone>,
    /// The tones of the network before this one, the last first: how long each was, and the
    /// silence behind it.
    cadence: [(u32, u32); 4],
    /// How long it has been quiet.
    quiet: u32,
    /// The special information tones that were heard, in turn, in Hz.
    sit: [u16; 2],
    label: Option<Label>,
}

/// A tone that lasts.
#[derive(Clone, Copy, Debug)]
struct Tone {
    /// The first frame's.
    sound: Sound,
    level: i16,
    frames: u32,
    /// Frames since then that were something else.
    missed: u32,
    is_steady: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            now: 0,
            noise: -60.0,
            word: (0, 0),
            saying: None,
            spoken: 0,
            greeting: None,
            sounds: Vec::new(),
            tone: None,
            cadence: [(0, 0); 4],
            quiet: 0,
            sit: [0; 2],
            label: None,
        }
    }
}

impl Line {
    /// Takes a frame; `is_ours` when it may well be our own voice that comes back. Tells what is
    /// newly known of who is there.
    pub fn heard(&mut self, frame: Frame, is_ours: bool) -> Option<Label> {
        self.now = self.now.saturating_add(1);
        let level = f32::from(frame.level);
        self.noise = level.min(self.noise + 0.05).max(-60.0);
        let by_tone = self.tones(frame);
        let is_speech = frame.sound == Sound::Other
            && !is_ours
            && frame.level >= SPEECH
            && level > self.noise + ABOVE_NOISE;
        let by_speech = self.speech(frame, is_speech, is_ours);
        let found = by_tone.or(by_speech).filter(|found| self.says_more(found));
        self.label = found.or(self.label);
        found
    }

    /// What is being said: how many frames ago it began, and how many are silent behind it.
    #[must_use]
    pub fn saying(&self) -> Option<(u32, u32)> {
        let (begun, last) = self.saying?;
        Some((self.now.saturating_sub(begun), self.now.saturating_sub(last)))
    }

    /// Takes note that a telephone-event told of a fax machine.
    pub fn fax(&mut self) -> Option<Label> {
        let found = label(Is::Fax, 95, Cue::Event);
        let is_new = self.says_more(&found);
        self.label = Some(found);
        is_new.then_some(found)
    }

    /// Whether a label is worth telling after the one before it.
    fn says_more(&self, found: &Label) -> bool {
        let Some(before) = self.label else { return true };
        match (before.is, found.is) {
            (Is::Machine, Is::Machine) => found.cue == Cue::Beep && before.cue != Cue::Beep,
            (before, found) if before == found => false,
            // Who has greeted as people do may speak on; but people do not beep.
            (Is::Human, Is::Machine) => found.cue == Cue::Beep,
            (Is::Machine | Is::Screening, Is::Human) | (_, Is::Silence) => false,
            (Is::Screening, Is::Machine) => found.cue == Cue::Beep,
            (
                Is::Human
                | Is::Machine
                | Is::Silence
                | Is::Screening
                | Is::Ringback
                | Is::Fax
                | Is::Sit
                | Is::Busy
                | Is::Echo,
                _,
            ) => true,
        }
    }

    /// Follows what is said.
    fn speech(&mut self, frame: Frame, is_speech: bool, is_ours: bool) -> Option<Label> {
        if is_ours {
            // What was taken for speech may have been ours as well.
            (self.saying, self.word) = (None, (0, 0));
            self.sounds.clear();
            return None;
        }
        let (word, gap) = self.word;
        self.word = if is_speech {
            (word + gap + 1, 0)
        } else if gap < GAP && word > 0 {
            (word, gap + 1)
        } else {
            (0, 0)
        };
        let is_word = is_speech && self.word.0 >= WORD;
        if is_word {
            let begun = self.now.saturating_sub(self.word.0);
            let (begun, _) = *self.saying.get_or_insert((begun, self.now));
            self.saying = Some((begun, self.now));
            self.spoken = self.spoken.saturating_add(1);
        }
        if self.saying.is_some() && self.sounds.len() < KEPT {
            self.sounds.push(frame.level);
        }
        let Some((begun, last)) = self.saying else {
            let is_nobody = self.spoken == 0 && self.tone.is_none() && self.now == NOBODY;
            return is_nobody.then_some(label(Is::Silence, 70, Cue::NoSpeech));
        };
        let length = last.saturating_sub(begun);
        if self.now.saturating_sub(last) >= PAUSE {
            self.saying = None;
            return self.said(length, last);
        }
        let is_long = length >= LONG && length.is_multiple_of(GAP) && is_word;
        let found = label(Is::Machine, 75, Cue::LongGreeting);
        (is_long && self.says_more(&found) && is_lively(&self.sounds)).then_some(found)
    }

    /// Something was said, and a pause follows.
    fn said(&mut self, length: u32, last: u32) -> Option<Label> {
        let mut sounds = std::mem::take(&mut self.sounds);
        sounds.truncate(length as usize);
        if !is_lively(&sounds) {
            return None;
        }
        let begun = last.saturating_sub(length);
        if let Some((over, before)) = &self.greeting
            && begun.saturating_sub(*over) >= WAIT
            && is_same(before, &sounds)
        {
            return Some(label(Is::Screening, 65, Cue::Repeats));
        }
        if length >= SHORT && self.greeting.is_none() {
            self.greeting = Some((last, sounds));
        }
        (length < LONG).then(|| {
            let score = if length <= SHORT { 80 } else { 55 };
            label(Is::Human, score, Cue::ShortGreeting)
        })
    }

    /// Follows tones and their cadence.
    fn tones(&mut self, frame: Frame) -> Option<Label> {
        let Frame { level, sound } = frame;
        if let Some(tone) = &mut self.tone {
            if tone.is_continued_by(sound) {
                tone.frames += 1 + tone.missed;
                tone.missed = 0;
                let wavers = level.abs_diff(tone.level) > 4;
                tone.is_steady &= !wavers || tone.frames <= 2;
                if tone.frames == 2 {
                    // The first frame is seldom full.
                    tone.level = level;
                }
                let tone = *tone;
                return self.lasting(&tone);
            }
            tone.missed += 1;
            // A relay may lose a frame, and an answer tone turns its phase about.
            if tone.missed <= 1 && sound != Sound::Quiet {
                return None;
            }
            let ended = *tone;
            self.tone = None;
            self.quiet = 0;
            let found = self.ended(&ended, frame);
            if found.is_some() {
                return found;
            }
        }
        match sound {
            Sound::Tone(_) | Sound::Busy => {
                if let Some(last) = self.cadence.first_mut() {
                    last.1 = self.quiet;
                }
                self.tone = Some(Tone { sound, level, frames: 1, missed: 0, is_steady: true });
                None
            }
            Sound::Quiet => {
                self.quiet = self.quiet.saturating_add(1);
                self.silent()
            }
            Sound::Other => {
                // What is not silent between the tones is no pause of theirs.
                if self.word.0 >= WORD {
                    self.cadence = [(0, 0); 4];
                }
                self.quiet = self.quiet.saturating_add(1);
                None
            }
        }
    }

    /// A tone that lasts: fax machines need not fall silent to be known.
    fn lasting(&mut self, tone: &Tone) -> Option<Label> {
        let is_first = self.spoken < BEFORE_BEEP;
        match tone.sound {
            Sound::Tone(1_070..=1_130) if tone.frames == 21 && is_first => {
                Some(label(Is::Fax, 90, Cue::Cng))
            }
            Sound::Tone(2_080..=2_120) if tone.frames == 50 => Some(label(Is::Fax, 95, Cue::Ced)),
            Sound::Tone(1_740..=1_840) if tone.frames == 10 => self.announced(),
            Sound::Tone(_) | Sound::Busy | Sound::Other | Sound::Quiet => None,
        }
    }

    /// The third of the special information tones lasts.
    fn announced(&mut self) -> Option<Label> {
        let [first, second] = std::mem::take(&mut self.sit);
        let is_row = (890..=1_010).contains(&first) && (1_345..=1_455).contains(&second);
        // Bellcore's code: a middle tone of 1,371 Hz says that the number is vacant, or was changed.
        let cue = if second < 1_390 { Cue::Vacant } else { Cue::NoCircuit };
        is_row.then_some(label(Is::Sit, 95, cue))
    }

    fn ended(&mut self, tone: &Tone, next: Frame) -> Option<Label> {
        match tone.sound {
            Sound::Tone(890..=1_010) if tone.frames >= 10 => self.sit = [tone.hertz(), 0],
            Sound::Tone(1_345..=1_455) if tone.frames >= 10 => {
                if let Some(second) = self.sit.get_mut(1) {
                    *second = tone.hertz();
                }
            }
            Sound::Tone(_) | Sound::Busy | Sound::Other | Sound::Quiet => self.sit = [0; 2],
        }
        if tone.is_progress() {
            self.cadence.rotate_right(1);
            if let Some(last) = self.cadence.first_mut() {
                *last = (tone.frames, 0);
            }
            return self.interrupted();
        }
        let is_beep = matches!(tone.sound, Sound::Tone(400..=2_000))
            && tone.is_steady
            && (5..=100).contains(&tone.frames)
            && next.sound == Sound::Quiet
            && self.spoken >= BEFORE_BEEP;
        is_beep.then_some(label(Is::Machine, 95, Cue::Beep))
    }

    /// A tone of the network has ended: does it come and go?
    fn interrupted(&self) -> Option<Label> {
        let [now, before, third, fourth] = self.cadence;
        let fits = |(on, off): (u32, u32), range: std::ops::RangeInclusive<u32>| {
            range.contains(&on) && range.contains(&off)
        };
        if (19..=32).contains(&now.0) && fits(before, 19..=32) {
            return Some(label(Is::Busy, 90, Cue::BusyTone));
        }
        let reorder = (8..=17).contains(&now.0)
            && [before, third, fourth].into_iter().all(|it| fits(it, 8..=17));
        if reorder {
            return Some(label(Is::Busy, 90, Cue::ReorderTone));
        }
        None
    }

    /// It is quiet: was a tone before that which rings?
    fn silent(&self) -> Option<Label> {
        let [(on, _), (before, _), ..] = self.cadence;
        if (38..=115).contains(&on) && self.quiet == 100 {
            return Some(label(Is::Ringback, 80, Cue::RingbackTone));
        }
        // It did not come again: a beep as low as a tone of the network.
        let is_beep = before == 0 && (5..38).contains(&on) && self.spoken >= BEFORE_BEEP;
        (is_beep && self.quiet == 50).then_some(label(Is::Machine, 80, Cue::Beep))
    }
}

impl Tone {
    fn is_continued_by(&self, sound: Sound) -> bool {
        match (self.sound, sound) {
            (Sound::Tone(one), Sound::Tone(other)) => one.abs_diff(other) <= (one / 50).max(25),
            (Sound::Busy, Sound::Busy) => true,
            (Sound::Tone(_) | Sound::Busy | Sound::Other | Sound::Quiet, _) => false,
        }
    }

    const fn hertz(&self) -> u16 {
        match self.sound {
            Sound::Tone(hertz) => hertz,
            Sound::Busy | Sound::Other | Sound::Quiet => 0,
        }
    }

    /// Whether it may be a tone of the network.
    fn is_progress(&self) -> bool {
        matches!(self.sound, Sound::Tone(395..=500) | Sound::Busy)
    }
}

const fn label(is: Is, score: u8, cue: Cue) -> Label {
    Label { is, score, cue }
}

/// Whether it is now loud and now soft, as speech is and noise is not.
fn is_lively(levels: &[i16]) -> bool {
    let (soft, loud) = (levels.iter().min(), levels.iter().max());
    soft.zip(loud).is_some_and(|(soft, loud)| loud - soft >= LIVELY)
}

/// Whether the same was said twice: as long, and as loud frame by frame.
fn is_same(one: &[i16], other: &[i16]) -> bool {
    let count = one.len().min(other.len());
    if one.len().abs_diff(other.len()) > count / 10 || count < SHORT as usize {
        return false;
    }
    let [mut x, mut y, mut xx, mut yy, mut xy] = [0.0_f32; 5];
    for (one, other) in one.iter().zip(other) {
        let (one, other) = (f32::from(*one), f32::from(*other));
        (x, y) = (x + one, y + other);
        (xx, yy, xy) = (xx + one * one, yy + other * other, xy + one * other);
    }
    let count = count as f32;
    let spread = (xx - x * x / count) * (yy - y * y / count);
    spread > 0.0 && (xy - x * y / count) / spread.sqrt() > 0.8
}

#[cfg(test)]
mod tests;
