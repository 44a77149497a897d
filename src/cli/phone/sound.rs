//! What the phone sends as audio: a recording, keys as tones, a dial tone under them, and what it
//! hears, sent back.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use super::switchboard::Desk;
use super::words::{Behaviour, Under};
use crate::ambient::Entropy;
use crate::media::Digit;
use crate::media::g711::{FRAME, FULL_SCALE_DBM0, RATE};

/// Rows and columns of a keypad in Hz (ITU-T Q.23), by the event of the key (RFC 4733).
const KEYS: [(f64, f64); 16] = [
    (941.0, 1_336.0),
    (697.0, 1_209.0),
    (697.0, 1_336.0),
    (697.0, 1_477.0),
    (770.0, 1_209.0),
    (770.0, 1_336.0),
    (770.0, 1_477.0),
    (852.0, 1_209.0),
    (852.0, 1_336.0),
    (852.0, 1_477.0),
    (941.0, 1_209.0),
    (941.0, 1_477.0),
    (697.0, 1_633.0),
    (770.0, 1_633.0),
    (852.0, 1_633.0),
    (941.0, 1_633.0),
];

/// A dial tone (ITU-T E.180 supplement 2, North America), in Hz, and the level of each.
const DIAL: ((f64, f64), f64) = ((350.0, 440.0), -16.0);

/// The most that is kept to be sent back, in samples: more than any delay.
const REFLECTED: usize = 10 * RATE as usize;

/// What is sent as audio.
pub(super) struct Sounds {
    behaviour: Arc<Behaviour>,
    /// How far the recording to be played has come; `None` before the answer.
    played: Option<usize>,
    /// How many samples have been made.
    clock: u64,
    keys: VecDeque<Tone>,
    /// What was heard and has not been sent back.
    reflected: VecDeque<i16>,
    desk: Option<Desk>,
    /// Somebody has lifted the handset behind it.
    lifted: bool,
}

struct Tone {
    digit: Digit,
    /// The level of each of its two tones, in dBm0.
    level: f64,
    /// How many samples are still to come.
    left: usize,
}

impl Sounds {
    pub(super) fn new(behaviour: Arc<Behaviour>, entropy: Entropy) -> Self {
        let mut reflected = VecDeque::new();
        if let Some(reflection) = &behaviour.reflect {
            reflected.resize(samples(reflection.delay).min(REFLECTED), 0);
        }
        let desk = behaviour.attendant.as_ref().map(|it| Desk::new(Arc::clone(it), entropy));
        let (played, keys) = (None, VecDeque::new());
        Self { behaviour, played, clock: 0, keys, reflected, desk, lifted: false }
    }

    /// Says what it has to say.
    pub(super) fn play(&mut self) {
        self.played.get_or_insert(0);
    }

    /// Presses a key so long, at so many dBm0 for each of its two tones.
    pub(super) fn press(&mut self, digit: Digit, held: Duration, level: i8) {
        let (left, level) = (samples(held), f64::from(level));
        self.keys.push_back(Tone { digit, level, left });
    }

    /// Takes a key that the caller pressed.
    pub(super) fn key(&mut self, key: char) {
        if let Some(desk) = &mut self.desk {
            desk.key(key);
        }
    }

    /// Whether somebody has lifted the handset behind an attendant; told once.
    pub(super) fn take_lifted(&mut self) -> bool {
        std::mem::take(&mut self.lifted)
    }

    /// Takes note of what was heard, to send it back.
    pub(super) fn heard(&mut self, heard: impl Iterator<Item = i16>) {
        let Some(reflection) = &self.behaviour.reflect else { return };
        let gain = 10_f64.powf(-reflection.loss / 20.0);
        self.reflected.extend(heard.map(|sample| clip(f64::from(sample) * gain)));
        let excess = self.reflected.len().saturating_sub(REFLECTED);
        self.reflected.drain(..excess);
    }

    /// The next 20 ms.
    pub(super) fn frame(&mut self) -> [i16; FRAME] {
        let mut frame = [0; FRAME];
        for sample in &mut frame {
            *sample = clip(self.sample());
        }
        frame
    }

    fn sample(&mut self) -> f64 {
        let mut sum = 0.0;
        if let (Some(at), Some(play)) = (&mut self.played, &self.behaviour.play) {
            sum += f64::from(play.get(*at).copied().unwrap_or(0));
            *at += 1;
        }
        if let (Some(_), Some(desk)) = (self.played, &mut self.desk) {
            let (sample, lifts) = desk.sample();
            sum += f64::from(sample);
            self.lifted |= lifts;
        }
        if let (Some(_), Some(Under::Dial)) = (self.played, self.behaviour.under) {
            sum += self.pair(DIAL.0, DIAL.1);
        }
        if let Some(key) = self.keys.front_mut() {
            key.left = key.left.saturating_sub(1);
            let (pair, level, left) =
                (KEYS.get(usize::from(key.digit.event())), key.level, key.left);
            sum += pair.map_or(0.0, |pair| self.pair(*pair, level));
            if left == 0 {
                self.keys.pop_front();
            }
        }
        self.clock += 1;
        sum + f64::from(self.reflected.pop_front().unwrap_or(0))
    }

    fn pair(&self, (low, high): (f64, f64), level: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "no call lasts so long")]
        let time = self.clock as f64 / f64::from(RATE);
        amplitude(level) * ((TAU * low * time).sin() + (TAU * high * time).sin())
    }
}

/// The amplitude of a sine of that level.
pub(super) fn amplitude(dbm0: f64) -> f64 {
    f64::from(i16::MAX) * 10_f64.powf((dbm0 - FULL_SCALE_DBM0) / 20.0)
}

/// With the beep of a mailbox: half a second of 1,000 Hz, after as much silence.
pub(crate) fn beeping(mut samples: Vec<i16>) -> Vec<i16> {
    let half = RATE / 2;
    samples.resize(samples.len() + half as usize, 0);
    let beep = (0..half).map(|n| (f64::from(n) * TAU / 8.0).sin());
    let amplitude = amplitude(-12.0);
    samples.extend(beep.map(|sample| (amplitude * sample) as i16));
    samples
}

pub(super) fn samples(span: Duration) -> usize {
    let samples = span.as_micros() * u128::from(RATE) / 1_000_000;
    usize::try_from(samples).unwrap_or(usize::MAX)
}

fn clip(sample: f64) -> i16 {
    sample.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
}
