//! How audio is coded on the wire, and linear samples of it and back.
//!
//! Of every codec here 20 ms are 160 octets and 160 ticks of the RTP clock, so nothing but coding and
//! decoding asks which it is. RFC 3551, Section 4.5.2: "Even though the actual sampling rate for G.722
//! audio is 16,000 Hz, the RTP clock rate for the G722 payload format is 8,000 Hz because that value
//! was erroneously assigned in RFC 1890 and must remain unchanged for backward compatibility."

use std::fmt;

use crate::media::g711::{FRAME, Law};
use crate::media::g722;

/// How audio is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// PCMU or PCMA, which every telephone speaks.
    G711(Law),
    /// G.722.
    G722,
}

impl Codec {
    /// G.711 by µ-law.
    pub const PCMU: Self = Self::G711(Law::Ulaw);
    /// G.711 by A-law.
    pub const PCMA: Self = Self::G711(Law::Alaw);
    /// All there are.
    pub const ALL: [Self; 3] = [Self::PCMU, Self::PCMA, Self::G722];
    /// What is offered where nothing else is said.
    pub const USUAL: [Self; 2] = [Self::PCMU, Self::PCMA];

    /// The static RTP payload type (RFC 3551, Table 4).
    #[must_use]
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::G711(law) => law.payload_type(),
            Self::G722 => 9,
        }
    }

    /// The encoding name in SDP (RFC 3551, Table 4).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::G711(law) => law.name(),
            Self::G722 => "G722",
        }
    }

    /// 20 ms of silence.
    #[must_use]
    pub fn silence(self) -> &'static [u8; FRAME] {
        match self {
            Self::G711(law) => law.silence(),
            Self::G722 => g722::silence(),
        }
    }

    /// Samples that begin in silence, coded.
    #[must_use]
    pub fn encoded(self, samples: impl Iterator<Item = i16>) -> Vec<u8> {
        let mut encoder = Encoder::default();
        samples.map(|sample| encoder.encode(self, sample)).collect()
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Codes what one source says.
#[derive(Clone, Debug, Default)]
pub struct Encoder(g722::Encoder);

impl Encoder {
    /// The next sample, coded.
    pub fn encode(&mut self, codec: Codec, sample: i16) -> u8 {
        match codec {
            Codec::G711(law) => law.encode(sample),
            Codec::G722 => self.0.encode(sample),
        }
    }
}

/// Decodes what one source says.
#[derive(Clone, Debug, Default)]
pub struct Decoder(g722::Decoder);

impl Decoder {
    /// The samples of the next octets, a frame of them at most, in the place of what `samples` held.
    pub fn decode<'a>(
        &mut self,
        codec: Codec,
        codes: &[u8],
        samples: &'a mut [i16; FRAME],
    ) -> &'a [i16] {
        let pairs = samples.iter_mut().zip(codes);
        match codec {
            Codec::G711(law) => pairs.for_each(|(sample, code)| *sample = law.decode(*code)),
            Codec::G722 => pairs.for_each(|(sample, code)| *sample = self.0.decode(*code)),
        }
        samples.get(..codes.len()).unwrap_or(samples)
    }

    /// The samples of a packet.
    pub fn all(&mut self, codec: Codec, codes: &[u8]) -> Vec<i16> {
        let mut samples = [0; FRAME];
        let frames = codes.chunks(FRAME);
        frames.flat_map(|codes| self.decode(codec, codes, &mut samples).to_vec()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_of_any_length_comes_back_as_it_was() {
        for codec in Codec::ALL {
            for length in [1, 159, 160, 161, 480] {
                let tone = (0..length).map(|n| if n % 16 < 8 { 4_000 } else { -4_000 });
                let codes = codec.encoded(tone.clone());
                let heard = Decoder::default().all(codec, &codes);
                assert_eq!(heard.len(), length, "{codec}");
                // An adaptive quantizer takes a moment to be as loud.
                let mut settled = tone.zip(&heard).skip(24);
                assert!(settled.all(|(was, is)| (was - is).abs() < 1_000), "{codec}: {heard:?}");
            }
        }
    }

    #[test]
    fn silence_after_silence_is_silent() {
        for codec in Codec::ALL {
            let mut decoder = Decoder::default();
            for _ in 0..100 {
                let heard = decoder.all(codec, codec.silence());
                assert!(heard.iter().all(|sample| sample.abs() <= 32), "{codec}: {heard:?}");
            }
        }
    }
}
