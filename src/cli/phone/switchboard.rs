//! An auto-attendant: greets, takes an extension, and connects to whoever is behind it, each time
//! after other delays.
//!
//! It is as strict as the strictest: keys that are pressed while it speaks are lost. The person
//! behind an extension presses the phone's keys once they have said hello.

use std::collections::{BTreeMap, VecDeque};
use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use super::sound::{amplitude, samples};
use crate::ambient::Entropy;
use crate::media::g711::RATE;
use crate::media::prompt::Pack;

/// What the auto-attendant says, and who is where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switchboard {
    /// What it says when it has answered, sentence by sentence, at 8 kHz.
    pub menu: Vec<Vec<i16>>,
    /// What it says when it begins to connect; not always.
    pub hold: Vec<i16>,
    /// What it says of an extension that is not among these, before it begins anew.
    pub unknown: Vec<i16>,
    /// What a person says.
    pub hello: Vec<i16>,
    /// What a mailbox says before it beeps.
    pub mailbox: Vec<i16>,
    /// Who is where.
    pub extensions: BTreeMap<String, Behind>,
}

/// Who is behind an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// A person, who answers after some rings.
    Person,
    /// A person who speaks with somebody else.
    Busy,
    /// A mailbox.
    Mailbox,
    /// Nobody: it rings on.
    Nobody,
}

impl Switchboard {
    /// One that speaks with the words of our prompts, as far as there are such. 204 is a person, 205
    /// is busy, 206 a mailbox, and 207 is not answered.
    #[must_use]
    pub fn built_in(pack: &Pack) -> Self {
        let say = |name: &str| -> Vec<i16> {
            let phrase = pack.find(name).ok().and_then(|id| pack.phrase(id));
            phrase.map(|phrase| phrase.samples().to_vec()).unwrap_or_default()
        };
        Self {
            menu: ["greeting", "again", "ask"].map(say).into(),
            hold: say("again"),
            unknown: say("wrong_key"),
            hello: say("digit_1"),
            mailbox: [say("ask"), say("goodbye")].concat(),
            extensions: [
                ("204", Behind::Person),
                ("205", Behind::Busy),
                ("206", Behind::Mailbox),
                ("207", Behind::Nobody),
            ]
            .map(|(keys, behind)| (keys.to_owned(), behind))
            .into(),
        }
    }
}

/// How long it waits for the first key, then for the next: 6 s and 2 s.
const FIRST_KEY: Duration = Duration::from_secs(6);
const NEXT_KEY: Duration = Duration::from_secs(2);

/// The level of a tone of the network, in dBm0.
const LEVEL: f64 = -20.0;

/// Ringback as it is in some countries: frequencies in Hz, and how long it sounds and pauses, in
/// milliseconds (ITU-T E.180 supplement 2).
const RINGS: [(&[f64], &[u64]); 3] = [
    (&[440.0, 480.0], &[2_000, 4_000]),
    (&[425.0], &[1_000, 4_000]),
    (&[400.0, 450.0], &[400, 200, 400, 2_000]),
];

/// Busy tones, likewise.
const BUSY: [(&[f64], &[u64]); 2] = [(&[480.0, 620.0], &[500, 500]), (&[425.0], &[480, 480])];

/// One call of it.
pub(super) struct Desk {
    board: Arc<Switchboard>,
    entropy: Entropy,
    /// What is to be sent.
    audio: VecDeque<i16>,
    stage: Stage,
    keys: String,
    /// How many samples have passed without a key.
    idle: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Says its menu.
    Speaking,
    /// Takes keys.
    Taking,
    /// Connects, and says what is heard meanwhile; in the end a person is there, or is not.
    Connecting(Behind),
    /// Somebody is, or something.
    Connected,
}

impl Desk {
    pub(super) fn new(board: Arc<Switchboard>, entropy: Entropy) -> Self {
        let (audio, keys) = (VecDeque::new(), String::new());
        let mut desk = Self { board, entropy, audio, stage: Stage::Speaking, keys, idle: 0 };
        desk.pause(200, 3_000);
        desk.menu();
        desk
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: char) {
        if self.stage != Stage::Taking {
            return;
        }
        self.idle = 0;
        self.keys.push(key);
        if let Some(behind) = self.board.extensions.get(&self.keys).copied() {
            self.connect(behind);
        }
    }

    /// The next sample, and whether a person lifts the handset with it.
    pub(super) fn sample(&mut self) -> (i16, bool) {
        if let Some(sample) = self.audio.pop_front() {
            return (sample, false);
        }
        match self.stage {
            Stage::Speaking => {
                (self.stage, self.idle) = (Stage::Taking, 0);
                self.keys.clear();
            }
            Stage::Taking => {
                self.idle += 1;
                let patience = if self.keys.is_empty() { FIRST_KEY } else { NEXT_KEY };
                if self.idle >= samples(patience) {
                    self.again();
                }
            }
            Stage::Connecting(behind) => {
                self.stage = Stage::Connected;
                return (0, behind == Behind::Person);
            }
            Stage::Connected => {}
        }
        (0, false)
    }

    fn menu(&mut self) {
        self.stage = Stage::Speaking;
        let board = Arc::clone(&self.board);
        for (place, sentence) in board.menu.iter().enumerate() {
            if place > 0 {
                self.pause(150, 1_100);
            }
            self.audio.extend(sentence);
        }
    }

    /// Nothing was pressed, or nothing that is known.
    fn again(&mut self) {
        if !self.keys.is_empty() {
            let board = Arc::clone(&self.board);
            self.audio.extend(&board.unknown);
            self.pause(150, 1_100);
        }
        self.menu();
    }

    fn connect(&mut self, behind: Behind) {
        self.stage = Stage::Connecting(behind);
        let board = Arc::clone(&self.board);
        self.pause(200, 1_200);
        if self.entropy.below(2) == 0 {
            self.audio.extend(&board.hold);
            self.pause(200, 1_500);
        }
        match behind {
            Behind::Busy => {
                let (hertz, rhythm) = self.one_of(&BUSY);
                (0..20).for_each(|_| self.sound(hertz, rhythm));
            }
            Behind::Nobody => {
                let (hertz, rhythm) = self.one_of(&RINGS);
                (0..100).for_each(|_| self.sound(hertz, rhythm));
            }
            Behind::Mailbox => {
                self.ring();
                self.audio.extend(&board.mailbox);
                self.pause(200, 1_000);
                self.tone(&[1_000.0], 400);
            }
            Behind::Person => {
                self.ring();
                self.audio.extend(&board.hello);
            }
        }
    }

    /// Rings a few times, until the handset is lifted somewhere within a ring.
    fn ring(&mut self) {
        let (hertz, rhythm) = self.one_of(&RINGS);
        let rings = 1 + self.entropy.below(3);
        (0..rings).for_each(|_| self.sound(hertz, rhythm));
        let last = rhythm.last().copied().unwrap_or(0);
        let cut = samples(Duration::from_millis(self.entropy.below(last)));
        self.audio.truncate(self.audio.len().saturating_sub(cut));
        self.pause(200, 1_200);
    }

    fn sound(&mut self, hertz: &[f64], rhythm: &[u64]) {
        for (place, ms) in rhythm.iter().enumerate() {
            let sounds: &[f64] = if place % 2 == 0 { hertz } else { &[] };
            self.tone(sounds, *ms);
        }
    }

    fn tone(&mut self, hertz: &[f64], ms: u64) {
        let count = samples(Duration::from_millis(ms));
        let level = amplitude(LEVEL);
        self.audio.extend((0..count).map(|n| {
            #[expect(clippy::cast_precision_loss, reason = "no tone lasts so long")]
            let time = n as f64 / f64::from(RATE);
            let sum: f64 = hertz.iter().map(|hertz| (TAU * hertz * time).sin()).sum();
            (level * sum) as i16
        }));
    }

    fn pause(&mut self, least: u64, most: u64) {
        let ms = least + self.entropy.below(most - least);
        self.tone(&[], ms);
    }

    fn one_of<T: Copy + Default>(&mut self, list: &[T]) -> T {
        let place = usize::try_from(self.entropy.below(list.len() as u64)).unwrap_or(0);
        list.get(place).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
