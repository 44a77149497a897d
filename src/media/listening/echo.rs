//! A line that sends back what it is sent, told by its loudness: what comes is as loud as what was
//! sent some time ago, frame by frame, whatever was lost on the way.

use crate::media::lanes::Processor;
use crate::media::listening::label::{Cue, Is, Label};

/// How many frames are compared: 2 s.
const SPAN: usize = 100;

/// The longest delay, in frames: a second, and some for what jitter does to the count.
const DELAYS: usize = 55;

/// How often they are compared, in frames.
const EVERY: u32 = 10;

/// How alike they are where the line reflects.
const ALIKE: f32 = 0.8;

/// How alike they are where what comes may well be our own voice, among other things.
const RESEMBLING: f32 = 0.6;

/// How alike they are where a voice of half a second may be our own: as short as that, two voices look more
/// alike than one would think.
const OURS: f32 = 0.75;

/// How often in a row, at one delay: 2 s, and a second more. Two people who begin to speak one after
/// the other look alike once, and not for long.
const TIMES: u8 = 6;

/// How much the loudness must vary for anything to be told by it: mean square, in dB².
const VARIED: f32 = 20.0;

/// What counts as silence, in dBm0: the bottom of the scale on which loudness is kept.
const BOTTOM: i16 = -63;

/// How many frames of what was sent are kept; a power of two.
const KEPT: usize = 256;

/// Compares what comes with what was sent.
#[derive(Clone, Debug)]
pub struct Echo {
    /// The loudness of the frames that were sent, in dB above [`BOTTOM`], around and around.
    sent: [u8; KEPT],
    sent_count: u32,
    /// The same of those that came.
    heard: [u8; SPAN],
    heard_count: u32,
    /// How many were sent when the first one came.
    base: u32,
    /// At which delay they were alike, and how often in a row.
    alike: (usize, u8),
    resembles: bool,
}

impl Default for Echo {
    fn default() -> Self {
        Self {
            sent: [0; KEPT],
            sent_count: 0,
            heard: [0; SPAN],
            heard_count: 0,
            base: 0,
            alike: (0, 0),
            resembles: false,
        }
    }
}

impl Echo {
    /// Takes the level of a frame that is sent, in dBm0.
    pub fn sent(&mut self, level: i16) {
        if let Some(slot) = self.sent.get_mut(self.sent_count as usize % KEPT) {
            *slot = loudness(level);
        }
        self.sent_count = self.sent_count.wrapping_add(1);
    }

    /// Whether what comes may well be our own voice.
    #[must_use]
    pub const fn resembles(&self) -> bool {
        self.resembles
    }

    /// Whether the last `N` frames that came, 100 at most, may well be what was sent, a while ago.
    #[must_use]
    pub fn explains<const N: usize>(&self) -> bool {
        self.compare::<N>().1 >= OURS
    }

    /// Takes the level of a frame that came; tells when the line reflects.
    pub fn heard(&mut self, level: i16) -> Option<Label> {
        if self.heard_count == 0 {
            self.base = self.sent_count;
        }
        if let Some(slot) = self.heard.get_mut(self.heard_count as usize % SPAN) {
            *slot = loudness(level);
        }
        self.heard_count = self.heard_count.wrapping_add(1);
        if (self.heard_count as usize) < SPAN || !self.heard_count.is_multiple_of(EVERY) {
            return None;
        }
        let (delay, likeness) = self.compare::<SPAN>();
        self.resembles = likeness >= RESEMBLING;
        let (before, times) = self.alike;
        let again = likeness >= ALIKE && (times == 0 || before.abs_diff(delay) <= 1);
        self.alike = (delay, if again { times.saturating_add(1) } else { 0 });
        (again && self.alike.1 == TIMES).then(|| {
            let score = (likeness * 100.0).round().min(100.0) as u8;
            Label { is: Is::Echo, score, cue: Cue::Reflection }
        })
    }

    /// The delay at which the last `N` frames are most alike, and how much: Pearson's coefficient.
    fn compare<const N: usize>(&self) -> (usize, f32) {
        let mut heard = [0_u8; N];
        let oldest = (self.heard_count as usize + SPAN.saturating_sub(N)) % SPAN;
        unroll(&self.heard, oldest, &mut heard);
        let of_heard = Sums::of(&heard).spread::<N>();
        if of_heard.varies < VARIED {
            return (0, 0.0);
        }
        // The last frame that was sent when the last of these came, as the clocks run.
        let end = self.base.wrapping_add(self.heard_count) as usize;
        let mut sent = [0_u8; SPAN + DELAYS];
        unroll(&self.sent, end.wrapping_sub(SPAN + DELAYS) % KEPT, &mut sent);
        Processor::best().compute(
            #[inline(always)]
            || most_alike(&sent, &heard, of_heard),
        )
    }
}

/// Copies what is kept around and around, from this place on.
fn unroll(kept: &[u8], from: usize, out: &mut [u8]) {
    let (wrapped, first) = kept.split_at(from.min(kept.len()));
    out.iter_mut().zip(first.iter().chain(wrapped)).for_each(|(slot, level)| *slot = *level);
}

#[inline(always)]
fn most_alike<const N: usize>(
    sent: &[u8; SPAN + DELAYS],
    heard: &[u8; N],
    of_heard: Spread,
) -> (usize, f32) {
    let mut best = (0, f32::MIN);
    let Some(newest) = sent.last_chunk::<N>() else { return (0, 0.0) };
    let mut sums = Sums::of(newest);
    for (delay, window) in sent.windows(N).rev().take(DELAYS + 1).enumerate() {
        let Some(window) = window.first_chunk::<N>() else { continue };
        // One frame later: the oldest of the window is new to it, and what lay behind it is not in it.
        if delay > 0 {
            sums.shift(window.first(), sent.get(DELAYS - delay + SPAN));
        }
        let of_sent = sums.spread::<N>();
        let likeness = if of_sent.varies < VARIED {
            0.0
        } else {
            let covaries = mean_product(window, heard) - of_sent.mean * of_heard.mean;
            covaries / (of_sent.varies * of_heard.varies).sqrt()
        };
        if likeness >= best.1 {
            best = (delay, likeness);
        }
    }
    best
}

fn loudness(level: i16) -> u8 {
    u8::try_from(level.saturating_sub(BOTTOM).clamp(0, 63)).unwrap_or(0)
}

/// The sum of the levels of a window, and that of their squares.
#[derive(Clone, Copy)]
struct Sums {
    levels: u32,
    squares: u32,
}

impl Sums {
    #[inline(always)]
    fn of<const N: usize>(levels: &[u8; N]) -> Self {
        let sum = levels.iter().map(|level| u32::from(*level)).fold(0, u32::wrapping_add);
        Self { levels: sum, squares: sum_of_products(levels, levels) }
    }

    /// One level comes, another goes.
    fn shift(&mut self, comes: Option<&u8>, goes: Option<&u8>) {
        let level = |level: Option<&u8>| level.map_or(0, |level| u32::from(*level));
        let (comes, goes) = (level(comes), level(goes));
        self.levels = self.levels.wrapping_add(comes).wrapping_sub(goes);
        self.squares = self.squares.wrapping_add(comes * comes).wrapping_sub(goes * goes);
    }

    fn spread<const N: usize>(self) -> Spread {
        let mean = self.levels as f32 / N as f32;
        Spread { mean, varies: self.squares as f32 / N as f32 - mean * mean }
    }
}

/// The mean of levels, and how much they vary: mean square.
#[derive(Clone, Copy)]
struct Spread {
    mean: f32,
    varies: f32,
}

#[inline(always)]
fn mean_product<const N: usize>(one: &[u8; N], other: &[u8; N]) -> f32 {
    sum_of_products(one, other) as f32 / N as f32
}

/// No sum of 100 products of levels wraps.
#[inline(always)]
fn sum_of_products<const N: usize>(one: &[u8; N], other: &[u8; N]) -> u32 {
    let products =
        one.iter().zip(other).map(|(one, other)| u32::from(*one).wrapping_mul(u32::from(*other)));
    products.fold(0, u32::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::Codec;
    use crate::media::g711::{FRAME, Law};
    use crate::media::listening::sound::Frame;
    use crate::media::prompt::Pack;

    /// The levels of phrases, frame by frame, with this gain.
    fn levels(phrases: &[&str], gain: i16) -> Vec<i16> {
        let pack = Pack::english().unwrap();
        let mut levels = Vec::new();
        for name in phrases {
            let phrase = pack.find(name).unwrap();
            let frames = (0..).map_while(|n| pack.frame(phrase, Codec::PCMU, n));
            levels.extend(frames.map(|codes| {
                let mut samples = [0; FRAME];
                samples.iter_mut().zip(codes).for_each(|(it, code)| *it = Law::Ulaw.decode(*code));
                Frame::of(&samples).level + gain
            }));
        }
        levels
    }

    #[test]
    fn windows_that_slide_are_as_alike_as_each_by_itself() {
        let mut dice = 7_u32;
        let mut level = || {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((dice >> 16) % 64) as u8
        };
        let sent: [u8; SPAN + DELAYS] = std::array::from_fn(|_| level());
        for delay in 0..=DELAYS {
            let mut heard: [u8; SPAN] = sent[DELAYS - delay..][..SPAN].try_into().unwrap();
            assert_eq!(most_alike(&sent, &heard, Sums::of(&heard).spread::<SPAN>()), (delay, 1.0));
            heard.iter_mut().step_by(3).for_each(|it| *it = level());
            let spread = |levels: &[u8]| {
                let mean = |of: &dyn Fn(f32) -> f32| {
                    levels.iter().map(|it| of(f32::from(*it))).sum::<f32>() / SPAN as f32
                };
                let middle = mean(&|it| it);
                (middle, mean(&|it| (it - middle).powi(2)))
            };
            let (found, likeness) = most_alike(&sent, &heard, Sums::of(&heard).spread::<SPAN>());
            let window = &sent[DELAYS - found..][..SPAN];
            let ((x, xx), (y, yy)) = (spread(window), spread(&heard));
            let pairs = window.iter().zip(&heard);
            let covaries = pairs.map(|(a, b)| (f32::from(*a) - x) * (f32::from(*b) - y));
            let wanted = covaries.sum::<f32>() / SPAN as f32 / (xx * yy).sqrt();
            assert_eq!(found, delay);
            assert!((likeness - wanted).abs() < 1e-3, "{likeness}, not {wanted}");
        }
    }

    /// What is heard while this is sent.
    fn listen(sent: &[i16], heard: &[i16]) -> (Option<Label>, bool) {
        let mut echo = Echo::default();
        let mut resembled = false;
        let mut label = None;
        for (n, level) in sent.iter().enumerate() {
            echo.sent(*level);
            label = label.or(echo.heard(heard.get(n).copied().unwrap_or(-70)));
            resembled |= echo.resembles();
        }
        (label, resembled)
    }

    #[test]
    fn a_reflecting_line_is_told_at_each_delay_and_loss() {
        let sent = levels(&["greeting", "ask"], 0);
        for delay in (1..=50).step_by(7) {
            for loss in [0, -6, -12] {
                let mut heard = vec![-70; delay];
                heard.extend(levels(&["greeting", "ask"], loss));
                let (label, _) = listen(&sent, &heard);
                assert_eq!(label.map(|it| it.is), Some(Is::Echo), "{delay} frames, {loss} dB");
            }
        }
    }

    #[test]
    fn who_speaks_over_the_prompt_is_no_echo() {
        let sent = levels(&["greeting", "ask", "again", "ask"], 0);
        for said in [
            &["thanks", "denied", "sorry", "goodbye", "fraud"][..],
            &["wrong_key", "goodbye", "thanks", "sorry", "denied"],
            &["sorry", "fraud", "denied", "thanks"],
        ] {
            let speech = levels(said, -3);
            for delay in 0..120 {
                let mut heard = vec![-70; delay];
                heard.extend(&speech);
                let (label, _) = listen(&sent, &heard);
                assert_eq!(label, None, "{said:?} after {delay} frames");
            }
        }
    }

    #[test]
    fn silence_and_steady_noise_are_no_echo() {
        let sent = levels(&["greeting", "ask"], 0);
        assert_eq!(listen(&sent, &[]), (None, false));
        assert_eq!(listen(&sent, &vec![-30; sent.len()]), (None, false));
        let speech = levels(&["ask", "ask"], 0);
        assert_eq!(listen(&vec![-70; speech.len()], &speech), (None, false), "nothing was sent");
    }
}
