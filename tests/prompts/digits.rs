//! Which digits a pack says in a recording of a call, by comparison with its own recordings.

use octothorpe::media::g711::Law;
use octothorpe::media::prompt::Pack;

/// How alike two stretches of sound are when they are the same but for the line: 1.0 is the same.
const SAME: f64 = 0.9;

/// How far a digit may be from where it seems to begin, in samples.
const SLACK: usize = 320;

/// How much of a recording says where it begins, in samples.
const FIRST: usize = 1_600;

/// Of so many samples one is made for a first look.
const COARSE: usize = 4;

/// 5 ms.
const STEP: usize = 40;

/// The digits of a pack that can be heard in `line` (8 kHz), in their order.
///
/// A digit is there where what is heard correlates with its recording, at whatever level. It is looked
/// for around each place where a vowel begins.
#[must_use]
pub(crate) fn heard(pack: &Pack, line: &[i16]) -> String {
    let line: Vec<f64> = line.iter().map(|&sample| f64::from(sample)).collect();
    let rough = coarse(&line);
    let known: Vec<Known> = ["", "_f"]
        .iter()
        .flat_map(|end| ('0'..='9').map(move |digit| (digit, format!("digit_{digit}{end}"))))
        .filter_map(|(digit, name)| Known::new(digit, &pack.get(&name)?.ulaw))
        .collect();
    let mut digits = String::new();
    let mut from = 0;
    while let Some(start) = onset(&line, from) {
        let found = known.iter().filter_map(|known| {
            let best = known.likeness(&line, &rough, start)?;
            Some((best, known.digit, known.sound.len() - known.onset))
        });
        match found.max_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((best, digit, length)) if best >= SAME => {
                digits.push(digit);
                from = start + length;
            }
            _ => from = start + SLACK / 2,
        }
    }
    digits
}

/// A digit as the pack says it.
struct Known {
    digit: char,
    sound: Vec<f64>,
    rough: Vec<f64>,
    onset: usize,
}

impl Known {
    fn new(digit: char, codes: &[u8]) -> Option<Self> {
        let sound: Vec<f64> = codes.iter().map(|&it| f64::from(Law::Ulaw.decode(it))).collect();
        let onset = onset(&sound, 0)?;
        let rough = coarse(sound.get(..(onset + FIRST).min(sound.len()))?);
        Some(Self { digit, sound, rough, onset })
    }

    /// How alike it is to what is heard where a vowel begins at `start`.
    fn likeness(&self, line: &[f64], rough: &[f64], start: usize) -> Option<f64> {
        let begin = start.saturating_sub(self.onset + SLACK) / COARSE;
        let places = begin..begin + 2 * SLACK / COARSE;
        let alike = |at: usize| alike(rough.get(at..at + self.rough.len())?, &self.rough);
        let (_, at) =
            places.filter_map(|at| Some((alike(at)?, at))).max_by(|a, b| a.0.total_cmp(&b.0))?;
        let near = (at * COARSE).saturating_sub(COARSE)..=(at + 1) * COARSE;
        near.filter_map(|at| self::alike(line.get(at..at + self.sound.len())?, &self.sound))
            .max_by(f64::total_cmp)
    }
}

fn alike(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
}

fn coarse(sound: &[f64]) -> Vec<f64> {
    sound.chunks_exact(COARSE).map(|some| some.iter().sum()).collect()
}

/// Where the next vowel begins: loud beside what is usual, at whatever level.
fn onset(sound: &[f64], from: usize) -> Option<usize> {
    let (blocks, usual) = (sound.get(from..)?.chunks(STEP), self::usual(sound));
    blocks.enumerate().find(|(_, block)| is_loud(block, usual)).map(|(n, _)| from + n * STEP)
}

fn is_loud(block: &[f64], usual: f64) -> bool {
    power(block) > usual / 20.0
}

fn power(block: &[f64]) -> f64 {
    block.iter().map(|x| x * x).sum::<f64>() / block.len() as f64
}

/// The power with which somebody speaks in it: that of what is not far under the loudest.
fn usual(sound: &[f64]) -> f64 {
    let powers: Vec<f64> = sound.chunks(4 * STEP).map(power).collect();
    let most = powers.iter().fold(0.0, |most: f64, power| most.max(*power));
    let spoken: Vec<f64> = powers.into_iter().filter(|power| *power > most / 50.0).collect();
    spoken.iter().sum::<f64>() / spoken.len().max(1) as f64
}
