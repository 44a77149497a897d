//! ITU-T G.722 at 64 kbit/s, as far as telephone speech needs it: its lower sub-band.
//!
//! G.722 splits 16,000 samples a second into two bands of 8,000 each by a pair of quadrature mirror
//! filters, and codes either by its differences: 0 to 4 kHz by six bits of an octet, 4 to 8 kHz by
//! two. What we say is recorded at 8 kHz, and what we listen for lies below 4 kHz: so the lower band
//! *is* our audio, in both directions, and the filters are never run. What we send has an upper band
//! of nothing, and the far end's filters make 16 kHz of it.
//!
//! The words in capitals are the blocks of clause 6.2. Numbers are as they stand there: 16 bits, and
//! shifts that round down.

use std::sync::LazyLock;

use crate::media::g711::FRAME;

/// The upper two bits of an octet: a difference of zero in the upper band, for ever.
const NO_UPPER_BAND: u8 = 0b1100_0000;

/// Adds up 8 kHz samples to octets.
#[derive(Clone, Debug, Default)]
pub struct Encoder(Band);

/// Makes 8 kHz samples of octets.
#[derive(Clone, Debug, Default)]
pub struct Decoder(Band);

impl Encoder {
    /// The next octet.
    pub fn encode(&mut self, sample: i16) -> u8 {
        let Self(band) = self;
        // The lower band of 16-bit audio has 15 bits.
        let difference = saturated(i32::from(sample >> 1) - band.estimate);
        // QUANTL: one's complement, as everywhere here.
        let size = if difference < 0 { !difference } else { difference };
        let is_below = |level: &i32| size >= (level * band.step) >> 12;
        let level = 1 + DECISIONS.partition_point(is_below) as u8;
        let code = match (difference < 0, level) {
            (false, _) => 62 - level,
            (true, 1 | 2) => 64 - level,
            (true, _) => 34 - level,
        };
        band.adapt(code);
        NO_UPPER_BAND | code
    }
}

impl Decoder {
    /// The next sample.
    pub fn decode(&mut self, octet: u8) -> i16 {
        let Self(band) = self;
        let code = octet & !NO_UPPER_BAND;
        // INVQBL and LIMIT.
        let difference = (band.step * row(&SIX_BITS, code)) >> 15;
        let sample = (band.estimate + difference).clamp(-16_384, 16_383);
        band.adapt(code);
        (sample << 1) as i16
    }
}

/// 20 ms of silence, as they follow 20 ms of silence.
#[must_use]
pub fn silence() -> &'static [u8; FRAME] {
    static SILENCE: LazyLock<[u8; FRAME]> = LazyLock::new(|| {
        let mut encoder = Encoder::default();
        let mut frame = [0; FRAME];
        for _ in 0..10 {
            frame = [0; FRAME].map(|sample| encoder.encode(sample));
        }
        frame
    });
    &SILENCE
}

/// The lower sub-band: both ends adapt by what was sent, and so alike.
#[derive(Clone, Debug)]
struct Band {
    /// What the next sample should be (SL).
    estimate: i32,
    /// The part of it that comes of the differences (SZL).
    zeros: i32,
    /// The last two samples as the decoder has them (RLT).
    samples: [i32; 2],
    /// The same by the zeros alone (PLT).
    partial: [i32; 2],
    /// The last six differences (DLT).
    differences: [i32; 6],
    /// The coefficients of the predictor's poles (AL).
    poles: [i32; 2],
    /// And of its zeros (BL).
    coefficients: [i32; 6],
    /// The logarithm of the step (NBL).
    log_step: i32,
    /// The step of the quantizer (DETL).
    step: i32,
}

impl Default for Band {
    fn default() -> Self {
        Self {
            estimate: 0,
            zeros: 0,
            samples: [0; 2],
            partial: [0; 2],
            differences: [0; 6],
            poles: [0; 2],
            coefficients: [0; 6],
            log_step: 0,
            step: 32,
        }
    }
}

impl Band {
    /// Learns from the six bits that were sent.
    fn adapt(&mut self, code: u8) {
        // INVQAL: what adapts hears only four bits, which the narrower modes of G.722 send as well.
        let code = code >> 2;
        let difference = (self.step * row(&FOUR_BITS, code)) >> 15;
        // LOGSCL and SCALEL.
        let log_step = ((self.log_step * 127) >> 7) + row(&MULTIPLIERS, code);
        self.log_step = log_step.clamp(0, 18_432);
        let fraction = row(&LOGARITHMS, (self.log_step >> 6) as u8 & 31);
        self.step = ((fraction << 3) >> (11 - (self.log_step >> 11))) << 2;
        self.predict(difference);
    }

    /// The sample after one with this difference.
    fn predict(&mut self, difference: i32) {
        // RECONS and PARREC.
        let sample = saturated(self.estimate + difference);
        let partial = saturated(self.zeros + difference);
        let [before, earlier] = self.partial.map(|it| same_sign(partial, it));
        // UPPOL2 and UPPOL1.
        let [first, second] = self.poles;
        let turn = saturated(first << 2);
        let turn = if before { -turn } else { turn }.min(32_767) >> 7;
        let second = turn + if earlier { 128 } else { -128 } + ((second * 32_512) >> 15);
        let second = second.clamp(-12_288, 12_288);
        let first = if before { 192 } else { -192 } + ((first * 32_640) >> 15);
        let most = 15_360 - second;
        let first = first.clamp(-most, most);
        self.poles = [first, second];
        // UPZERO.
        let gain = if difference == 0 { 0 } else { 128 };
        for (coefficient, past) in self.coefficients.iter_mut().zip(self.differences) {
            let gain = if same_sign(difference, past) { gain } else { -gain };
            *coefficient = saturated(gain + ((*coefficient * 32_640) >> 15));
        }
        // DELAYA.
        self.differences.rotate_right(1);
        if let Some(newest) = self.differences.first_mut() {
            *newest = difference;
        }
        self.samples = [sample, self.samples[0]];
        self.partial = [partial, self.partial[0]];
        // FILTEP, FILTEZ and PREDIC.
        let weighed =
            |(coefficient, value): (&i32, &i32)| (coefficient * saturated(value << 1)) >> 15;
        let poles: i32 = self.poles.iter().zip(&self.samples).map(weighed).sum();
        let zeros: i32 = self.coefficients.iter().zip(&self.differences).map(weighed).sum();
        self.zeros = saturated(zeros);
        self.estimate = saturated(saturated(poles) + self.zeros);
    }
}

const fn same_sign(one: i32, other: i32) -> bool {
    (one < 0) == (other < 0)
}

fn saturated(value: i32) -> i32 {
    value.clamp(i16::MIN.into(), i16::MAX.into())
}

fn row<const N: usize>(table: &[i32; N], at: u8) -> i32 {
    table.get(usize::from(at)).copied().unwrap_or(0)
}

/// Q6: from which difference on a code stands for more, where the step is 4,096.
const DECISIONS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023,
    1_121, 1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];

/// QQ6 by ILR: the differences that the codes stand for, where the step is 32,768.
const SIX_BITS: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192,
    -10_232, -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008,
    -3_576, -3_168, -2_776, -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008,
    16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000,
    5_456, 4_944, 4_464, 4_008, 3_576, 3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432,
    136, -432, -136,
];

/// QQ4 by RIL: the same of their upper four bits.
const FOUR_BITS: [i32; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288,
    4_240, 2_584, 1_200, 0,
];

/// WL by RIL: by how much the logarithm of the step grows.
const MULTIPLIERS: [i32; 16] =
    [-60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60];

/// ILB: 2,048 · 2^(n/32).
const LOGARITHMS: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656,
    2_714, 2_774, 2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520,
    3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::g711::level_dbm0;
    use crate::media::prompt::Pack;

    /// Numbers without a pattern, the same every time.
    fn noise() -> impl Iterator<Item = u16> {
        let next = |x: &u32| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        std::iter::successors(next(&7), next).map(|x| (x >> 16) as u16)
    }

    fn sum(values: impl Iterator<Item = u16>) -> u32 {
        values.fold(0, |sum, value| sum.wrapping_mul(31).wrapping_add(value.into()))
    }

    fn square() -> impl Iterator<Item = i16> {
        (0..40).map(|n| if n % 16 < 8 { 4_000 } else { -4_000 })
    }

    /// libspandsp 0.0.6, which reproduces the test sequences of the ITU, says the same at 8 kHz.
    #[test]
    fn another_implementation_codes_and_decodes_alike() {
        let mut encoder = Encoder::default();
        let codes: Vec<u8> = square().map(|sample| encoder.encode(sample)).collect();
        let text: String = codes.iter().map(|code| format!("{code:02x}")).collect();
        assert_eq!(
            text,
            "e0e0e0e0e0e6eceeccd0d2d4d6d7d8d8eaf0f3f4f4f4f3f5ced7dadadadad8d9eaf5f6f7f7f6f4f5"
        );
        let mut decoder = Decoder::default();
        let heard: Vec<i16> = codes.iter().map(|code| decoder.decode(*code)).collect();
        assert_eq!(heard[..8], [48, 132, 370, 1_042, 2_862, 4_028, 3_886, 3_890]);
        assert_eq!(heard[36..], [4_030, 4_032, 4_014, 3_938]);
        // And where everything overflows that can.
        let mut encoder = Encoder::default();
        let coded = noise().take(16_000).map(|it| encoder.encode(it as i16).into());
        assert_eq!(sum(coded), 0x23e1_ecae);
        let mut decoder = Decoder::default();
        let heard = noise().take(16_000).map(|it| decoder.decode((it >> 8) as u8) as u16);
        assert_eq!(sum(heard), 0xcfc7_d172);
    }

    #[test]
    fn a_phrase_comes_out_as_loud_as_it_went_in_and_hardly_noisy() {
        let pack = Pack::english().unwrap();
        let said = pack.get("greeting").unwrap().samples();
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let heard: Vec<i16> =
            said.iter().map(|sample| decoder.decode(encoder.encode(*sample))).collect();
        let noise: Vec<i16> =
            said.iter().zip(&heard).map(|(said, heard)| said.saturating_sub(*heard)).collect();
        let (said, heard, noise) = (level_dbm0(said), level_dbm0(&heard), level_dbm0(&noise));
        assert!((said - heard).abs() < 0.1, "{said} and {heard}");
        assert!(said - noise > 25.0, "{said} and {noise}");
    }

    /// A phrase is coded as if it followed silence, and may follow, after 80 ms, what was cut short.
    #[test]
    fn what_follows_something_cut_short_is_heard_as_it_is() {
        let pack = Pack::english().unwrap();
        let said = pack.get("greeting").unwrap().samples();
        let mut encoder = Encoder::default();
        let codes: Vec<u8> = said.iter().map(|sample| encoder.encode(*sample)).collect();
        let heard = |cut: usize| {
            let mut decoder = Decoder::default();
            let pause = silence().iter().cycle().take(4 * FRAME);
            let all = codes.iter().take(cut).chain(pause).chain(&codes);
            let heard: Vec<i16> = all.map(|code| decoder.decode(*code)).collect();
            heard
        };
        let alone = heard(0);
        for cut in (1..codes.len()).step_by(1_111) {
            let (pause, again) = alone.split_at(4 * FRAME);
            let cut_short = heard(cut);
            let strange = |this: &[i16], at: usize| {
                let others = cut_short.iter().skip(cut + at);
                let pairs = this.iter().zip(others);
                level_dbm0(
                    &pairs.map(|(one, other)| one.saturating_sub(*other)).collect::<Vec<_>>(),
                )
            };
            assert!(strange(pause, 0) < -25.0, "{cut}: a click of {}", strange(pause, 0));
            assert!(strange(again, 4 * FRAME) < -35.0, "{cut}: {}", strange(again, 4 * FRAME));
        }
    }
}
