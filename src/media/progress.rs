//! What a line says in each 20 ms: silence, a voice, or one of the tones of call progress (ITU-T
//! E.180; its supplement 2 lists those of each country).
//!
//! A tone is known by its rhythm rather than by its frequencies, which differ from one exchange to
//! the next: ringback is long or followed by a long pause, a busy line sounds three times alike.

use std::collections::VecDeque;

use crate::media::listening::sound::{self, Frame};

/// What 20 ms of a line are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Nothing above the noise of the line.
    Quiet,
    /// A voice, music, noise.
    Voice,
    /// A tone that may be one of those below.
    Tone,
    /// It rings at the called party: every frame of a tone that is known for it, or the frame in which
    /// the pause behind one has become too long for anything else.
    Ringback,
    /// The called party is busy; told once for three bursts.
    Busy,
    /// The network is (ITU-T E.180: congestion tone), or there is no such number. Told as above.
    Reorder,
    /// Special information tone: an announcement follows. Told once.
    Special,
    /// One short steady tone, as a mailbox ends its greeting with. Told when it is over.
    Beep,
}

/// What is less than this above the noise of the line is quiet, in dB.
const ABOVE_NOISE: f32 = 10.0;

/// How fast the noise of the line is believed to rise, in dB a frame: 0.5 dB a second.
const NOISE_RISE: f32 = 0.01;

/// The most noise that is believed, in dBm0: a voice is louder.
const MOST_NOISE: f32 = -40.0;

/// How far one tone may wander, in Hz: 440 and 480 Hz beat.
const WANDER: f32 = 50.0;

/// The same for a beep.
const STEADY: f32 = 12.0;

/// How far the level of a beep may wander, in dB.
const LEVEL: f32 = 4.0;

/// The shortest tone that is one, in frames: 80 ms. A vowel is not steady for so long.
const SHORTEST: u32 = 4;

/// So many frames of a voice in a row are one, and not the edge of a tone.
const SPOKEN: u32 = 3;

/// A tone so long is no burst of a busy line: 0.8 s.
const LONG: u32 = 40;

/// So long a pause is not found in a busy line: 0.9 s.
const LONG_PAUSE: u32 = 45;

/// Bursts shorter than this are those of reorder: 0.3 s.
const BUSY: u32 = 15;

/// The highest frequency of a tone that may be ringback, busy or reorder, in Hz, and the lowest.
const LOW: f32 = 660.0;
const LOWEST: f32 = 330.0;

/// So many frames of a voice before a tone are no edge of it: it is a vowel.
const EDGE: u32 = 2;

/// The tones of SIT, in turn, each within 60 Hz (ITU-T E.180: 950, 1400, 1800; North America's lowest
/// is 914 or 985, and the others by as much beside).
const SPECIAL: [f32; 3] = [950.0, 1_400.0, 1_800.0];

/// The middle of 480 and 620 Hz.
const PAIR: f32 = 550.0;

/// Listens to one line.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The noise of the line, in dBm0.
    noise: f32,
    /// The tone that sounds, or was the last.
    tone: Option<Tone>,
    /// Frames since it ended.
    pause: u32,
    /// The bursts of low tones before it: how long each was, and the pause behind it.
    bursts: VecDeque<(u32, u32)>,
    /// How many tones of SIT have come in turn.
    special: usize,
    /// Frames since a voice was heard.
    since_voice: u32,
    /// The voiced frames of what was said last, with pauses of less than a second.
    voice: u32,
    /// And those in a row.
    voicing: u32,
}

#[derive(Clone, Copy, Debug)]
struct Tone {
    frames: u32,
    /// In Hz: between the two, where it is a pair.
    frequency: f32,
    level: f32,
    /// Whether all but the first frames and the last are alike.
    is_steady: bool,
    /// And the last: it may be the end of it.
    ends_steady: bool,
    is_over: bool,
    /// A voice went over into it.
    is_spoken: bool,
    /// Something has been told of it that leaves no doubt.
    is_known: bool,
}

impl Tone {
    const fn starting(frequency: f32, level: f32, is_spoken: bool) -> Self {
        Self {
            frames: 1,
            frequency,
            level,
            is_steady: true,
            ends_steady: true,
            is_over: false,
            is_spoken,
            is_known: false,
        }
    }

    /// What it is before more is known: vowels are tones too.
    fn sound(&self) -> Sound {
        let may_ring = (LOWEST..=LOW).contains(&self.frequency) && !self.is_spoken;
        if may_ring { Sound::Tone } else { Sound::Voice }
    }

    fn goes_on(&mut self, frequency: f32, level: f32) {
        self.frames += 1;
        // It begins somewhere within the first frame.
        if self.frames <= 2 {
            (self.frequency, self.level) = (frequency, level);
            return;
        }
        self.is_steady &= self.ends_steady;
        self.ends_steady =
            (self.frequency - frequency).abs() <= STEADY && (self.level - level).abs() <= LEVEL;
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            // What is there first may be a voice, or noise: it follows down at once.
            noise: MOST_NOISE,
            tone: None,
            pause: 0,
            bursts: VecDeque::new(),
            special: 0,
            since_voice: u32::MAX,
            voice: 0,
            voicing: 0,
        }
    }
}

impl Progress {
    /// Takes the next 20 ms.
    pub fn frame(&mut self, frame: Frame) -> Sound {
        let level = f32::from(frame.level);
        self.noise = level.min(self.noise + NOISE_RISE).min(MOST_NOISE);
        let is_quiet = level < self.noise + ABOVE_NOISE;
        match frame.sound {
            _ if is_quiet => self.silence(),
            sound::Sound::Quiet => self.silence(),
            sound::Sound::Tone(hertz) => self.tone(f32::from(hertz), level),
            sound::Sound::Busy => self.tone(PAIR, level),
            sound::Sound::Other => self.noise_or_voice(),
        }
    }

    fn tone(&mut self, frequency: f32, level: f32) -> Sound {
        self.since_voice = self.since_voice.saturating_add(1);
        let is_spoken = self.voicing >= EDGE;
        if !is_spoken {
            self.voicing = 0;
        }
        let goes_on =
            |tone: &&mut Tone| !tone.is_over && (tone.frequency - frequency).abs() <= WANDER;
        let Some(tone) = self.tone.as_mut().filter(goes_on) else {
            // The next one follows without a pause, as those of SIT do.
            let told = self.over();
            let tone = Tone::starting(frequency, level, is_spoken);
            self.tone = Some(tone);
            return told.unwrap_or(tone.sound());
        };
        tone.goes_on(frequency, level);
        if tone.frames >= LONG && tone.frequency <= LOW {
            tone.is_known = true;
            self.bursts.clear();
            return Sound::Ringback;
        }
        tone.sound()
    }

    fn silence(&mut self) -> Sound {
        self.since_voice = self.since_voice.saturating_add(1);
        self.voicing = 0;
        self.pause_grows().unwrap_or(Sound::Quiet)
    }

    fn noise_or_voice(&mut self) -> Sound {
        let told = self.pause_grows();
        // The edge of a tone is neither.
        let is_edge = self.pause <= 2 && self.tone.is_some_and(|it| it.frames >= SHORTEST);
        if !is_edge {
            self.voice = if self.since_voice > 50 { 1 } else { self.voice + 1 };
            (self.since_voice, self.voicing) = (0, self.voicing + 1);
            if self.voicing == SPOKEN {
                // Whatever sounded before, nobody speaks in the pauses of a busy line.
                self.bursts.clear();
                self.special = 0;
            }
        }
        told.unwrap_or(if is_edge { Sound::Tone } else { Sound::Voice })
    }

    /// A frame without a tone.
    fn pause_grows(&mut self) -> Option<Sound> {
        let told = self.over();
        self.pause = self.pause.saturating_add(1);
        let tone = self.tone?;
        let is_low = tone.frequency <= LOW;
        let is_burst = is_low && tone.frames >= BUSY && !tone.is_known;
        if self.pause == SHORTEST {
            // The tones of SIT follow one another at once.
            self.special = 0;
        }
        // A beep in the range of ringback is short, and alone.
        let beeps_at = if is_low { 25 } else { 5 };
        if self.pause == beeps_at && self.is_beep(tone) && (!is_low || self.bursts.len() == 1) {
            self.know();
            return told.or(Some(Sound::Beep));
        }
        if self.pause == LONG_PAUSE {
            self.bursts.clear();
            if is_burst {
                self.know();
                return told.or(Some(Sound::Ringback));
            }
        }
        told
    }

    fn know(&mut self) {
        if let Some(tone) = &mut self.tone {
            tone.is_known = true;
        }
    }

    fn is_beep(&self, tone: Tone) -> bool {
        let longest = if tone.frequency <= LOW { BUSY } else { 100 };
        // Something was said shortly before it.
        let after_voice = self.voice >= 25 && self.since_voice < tone.frames + self.pause + 150;
        let alone = self.special == 0 && !tone.is_known;
        tone.is_steady && (SHORTEST..=longest).contains(&tone.frames) && after_voice && alone
    }

    /// The tone that sounded is over.
    fn over(&mut self) -> Option<Sound> {
        let tone = self.tone.as_mut().filter(|tone| !tone.is_over)?;
        tone.is_over = true;
        let Tone { frames, frequency, is_known, .. } = *tone;
        if frames < SHORTEST {
            // A vowel: what was before it still was.
            self.tone = None;
            return None;
        }
        let pause = std::mem::take(&mut self.pause);
        let is_next = |wanted: f32| (frequency - wanted).abs() <= 60.0;
        let next = SPECIAL.get(self.special).copied().filter(|wanted| is_next(*wanted));
        self.special = match next {
            Some(_) => self.special + 1,
            None => usize::from(SPECIAL.first().is_some_and(|wanted| is_next(*wanted))),
        };
        if self.special == SPECIAL.len() {
            self.special = 0;
            tone.is_known = true;
            return Some(Sound::Special);
        }
        if frequency > LOW || is_known {
            self.bursts.clear();
            return None;
        }
        if let Some((_, behind)) = self.bursts.back_mut() {
            *behind = pause;
        }
        self.bursts.push_back((frames, 0));
        while self.bursts.len() > 3 {
            self.bursts.pop_front();
        }
        let told = rhythm(&self.bursts)?;
        self.bursts.clear();
        tone.is_known = true;
        Some(told)
    }
}

/// Whether three bursts are alike, and so are the two pauses between them.
fn rhythm(bursts: &VecDeque<(u32, u32)>) -> Option<Sound> {
    let near = |a: u32, b: u32| a.abs_diff(b) <= 3.max(a.max(b) / 5);
    let mut bursts = bursts.iter().copied();
    let (first, second, third) = (bursts.next()?, bursts.next()?, bursts.next()?);
    let alike = near(first.0, second.0) && near(second.0, third.0) && near(first.1, second.1);
    let pauses = (4..LONG_PAUSE).contains(&first.1);
    let on = (first.0 + second.0 + third.0) / 3;
    (alike && pauses && (6..LONG).contains(&on)).then_some(if on >= BUSY {
        Sound::Busy
    } else {
        Sound::Reorder
    })
}

#[cfg(test)]
mod tests;
