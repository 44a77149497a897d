//! ITU-T G.711: 64 kbit/s companded speech, and levels in dBm0.
//!
//! Negative samples follow the reference code of ITU-T G.191 (one's complement), not the
//! sign-magnitude form: the two differ at segment edges.

use std::fmt;

/// Samples in a second.
pub const RATE: u32 = 8_000;

/// Samples, and so octets, in one 20 ms frame.
pub const FRAME: usize = 160;

/// The level of a sine whose peak is full scale, in dBm0 (G.711, Table 1a and 2a, Note).
pub const FULL_SCALE_DBM0: f64 = 3.17;

/// Which of the two companding laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// PCMU: North America, Japan.
    Ulaw,
    /// PCMA: everywhere else.
    Alaw,
}

impl Law {
    /// The static RTP payload type (RFC 3551, Table 4).
    #[must_use]
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Ulaw => 0,
            Self::Alaw => 8,
        }
    }

    /// The encoding name in SDP (RFC 3551, Section 4.5.14).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ulaw => "PCMU",
            Self::Alaw => "PCMA",
        }
    }

    /// One sample, companded.
    #[must_use]
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Ulaw => encode_ulaw(sample),
            Self::Alaw => encode_alaw(sample),
        }
    }

    /// One octet, expanded to 16 bits.
    #[must_use]
    pub fn decode(self, code: u8) -> i16 {
        let table = match self {
            Self::Ulaw => &ULAW,
            Self::Alaw => &ALAW,
        };
        table.get(usize::from(code)).copied().unwrap_or(0)
    }

    /// 20 ms of silence.
    #[must_use]
    pub const fn silence(self) -> &'static [u8; FRAME] {
        match self {
            Self::Ulaw => &const { [encode_ulaw(0); FRAME] },
            Self::Alaw => &const { [encode_alaw(0); FRAME] },
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The level of `samples` in dBm0; negative infinity for digital silence.
#[must_use]
pub fn level_dbm0(samples: &[i16]) -> f64 {
    let count = u32::try_from(samples.len()).unwrap_or(u32::MAX).max(1);
    let energy: f64 = samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
    let full_scale_sine = f64::from(i16::MAX).powi(2) / 2.0;
    10.0 * (energy / f64::from(count) / full_scale_sine).log10() + FULL_SCALE_DBM0
}

static ULAW: [i16; 256] = table(Law::Ulaw);
static ALAW: [i16; 256] = table(Law::Alaw);

#[expect(clippy::indexing_slicing, reason = "the index runs over the array, at compile time")]
const fn table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code: usize = 0;
    while code < 256 {
        table[code] = match law {
            Law::Ulaw => decode_ulaw(code as u8),
            Law::Alaw => decode_alaw(code as u8),
        };
        code += 1;
    }
    table
}

const fn encode_ulaw(sample: i16) -> u8 {
    let positive = sample >= 0;
    let magnitude = (if positive { sample } else { !sample } >> 2) + 33;
    let magnitude = if magnitude > 0x1fff { 0x1fff } else { magnitude };
    // 33 is 10 0001 in binary: the highest bit set is at least bit 5, which is segment 1.
    let segment = 11 - magnitude.leading_zeros() as i16;
    let step = 0x0f - ((magnitude >> segment) & 0x0f);
    let code = ((8 - segment) << 4 | step) as u8;
    if positive { code | 0x80 } else { code }
}

const fn decode_ulaw(code: u8) -> i16 {
    let inverted = !code as i16;
    let exponent = (inverted >> 4) & 7;
    let step = 8 << exponent;
    let magnitude = (0x80 << exponent) + step * (inverted & 0x0f) + step / 2 - 132;
    if code < 0x80 { -magnitude } else { magnitude }
}

const fn encode_alaw(sample: i16) -> u8 {
    let positive = sample >= 0;
    let magnitude = if positive { sample } else { !sample } >> 4;
    let code = if magnitude < 16 {
        magnitude
    } else {
        let exponent = 12 - magnitude.leading_zeros() as i16;
        (magnitude >> (exponent - 1)) - 16 + (exponent << 4)
    };
    let code = if positive { code | 0x80 } else { code };
    // Every even bit is inverted, so that silence has enough transitions for the line.
    code as u8 ^ 0x55
}

const fn decode_alaw(code: u8) -> i16 {
    let bits = (code ^ 0x55) as i16 & 0x7f;
    let exponent = bits >> 4;
    let mantissa = bits & 0x0f;
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => (((mantissa + 16) << 4) + 8) << (exponent - 1),
    };
    if code < 0x80 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    #[test]
    fn every_code_comes_back_as_itself() {
        for code in 0..=u8::MAX {
            assert_eq!(Law::Alaw.encode(Law::Alaw.decode(code)), code);
            // µ-law has two zeros; the negative one comes back as the positive.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(Law::Ulaw.encode(Law::Ulaw.decode(code)), expected);
        }
    }

    #[test]
    fn the_golden_values_of_the_itu_hold() {
        // From G.191's ulaw_expand and alaw_expand.
        let ulaw = [
            (0x00, -32_124),
            (0x0f, -16_764),
            (0x10, -15_996),
            (0x7e, -8),
            (0x7f, 0),
            (0x80, 32_124),
            (0xfe, 8),
            (0xff, 0),
        ];
        for (code, sample) in ulaw {
            assert_eq!(Law::Ulaw.decode(code), sample, "{code:#x}");
        }
        let alaw =
            [(0x2a, -32_256), (0xaa, 32_256), (0x55, -8), (0xd5, 8), (0xd4, 24), (0x54, -24)];
        for (code, sample) in alaw {
            assert_eq!(Law::Alaw.decode(code), sample, "{code:#x}");
        }
    }

    #[test]
    fn negative_samples_follow_the_one_s_complement_rule() {
        assert_eq!(Law::Ulaw.encode(-1), 0x7f);
        // By sign and magnitude these would be 0x7e and 0x7d.
        assert_eq!((Law::Ulaw.encode(-4), Law::Ulaw.encode(4)), (0x7f, 0xfe));
        assert_eq!((Law::Ulaw.encode(-12), Law::Ulaw.encode(12)), (0x7e, 0xfd));
        assert_eq!(Law::Alaw.encode(-1), 0x55);
        assert_eq!(Law::Alaw.encode(-16), 0x55);
        assert_eq!(Law::Alaw.encode(-17), 0x54);
        assert_eq!(Law::Ulaw.encode(i16::MIN), 0x00);
        assert_eq!(Law::Ulaw.encode(i16::MAX), 0x80);
        assert_eq!(Law::Alaw.encode(i16::MIN), 0x2a);
        assert_eq!(Law::Alaw.encode(i16::MAX), 0xaa);
    }

    #[test]
    fn no_sample_is_further_from_its_code_than_its_segment_allows() {
        for sample in i16::MIN..=i16::MAX {
            for law in [Law::Ulaw, Law::Alaw] {
                let error = (i32::from(law.decode(law.encode(sample))) - i32::from(sample)).abs();
                let allowed = i32::from(sample).abs() / 32 + 16;
                assert!(error <= allowed, "{law} {sample}: {error}");
            }
        }
    }

    #[test]
    fn a_full_scale_sine_is_3_17_dbm0() {
        let sine: Vec<i16> = (0..8_000)
            .map(|n| (f64::from(i16::MAX) * (TAU * f64::from(n) * 0.1234).sin()) as i16)
            .collect();
        assert!((level_dbm0(&sine) - FULL_SCALE_DBM0).abs() < 0.01);
        let quieter: Vec<i16> = sine.iter().map(|s| s / 10).collect();
        assert!((level_dbm0(&quieter) - (FULL_SCALE_DBM0 - 20.0)).abs() < 0.01);
        assert_eq!(level_dbm0(&[0; FRAME]), f64::NEG_INFINITY);
        assert_eq!(level_dbm0(&[]), f64::NEG_INFINITY);
    }

    #[test]
    fn silence_is_the_positive_zero_of_each_law() {
        assert_eq!(Law::Ulaw.silence(), &[0xff; FRAME]);
        assert_eq!(Law::Alaw.silence(), &[0xd5; FRAME]);
    }
}
