//! Keys as tones to be sent (ITU-T Q.23): for a far end that takes no telephone-events.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use crate::media::codec::Codec;
use crate::media::events::Digit;
use crate::media::g711::{FRAME, FULL_SCALE_DBM0, Law, RATE};

/// How many frames a press has: 100 ms.
pub const FRAMES: usize = 5;

/// The levels of the low and the high tone, in dBm0: the line takes more of the high one.
const LEVELS: [f64; 2] = [-8.0, -6.0];

/// Rows and columns of the keypad, in Hz.
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// The keys row by row.
const KEYS: &str = "123A456B789C*0#D";

/// By event code, in each codec.
static TONES: LazyLock<Vec<[Vec<u8>; 3]>> = LazyLock::new(|| {
    let coded = |code| Codec::ALL.map(|codec| codec.encoded(press(code)));
    (0..16).map(coded).collect()
});

/// 20 ms of a press, counted from 0; silence behind it.
#[must_use]
pub fn frame(digit: Digit, codec: Codec, frame: usize) -> &'static [u8] {
    let codecs = TONES.get(usize::from(digit.event()));
    let codes = codecs.map(|[ulaw, alaw, g722]| match codec {
        Codec::G711(Law::Ulaw) => ulaw,
        Codec::G711(Law::Alaw) => alaw,
        Codec::G722 => g722,
    });
    codes.and_then(|codes| codes.chunks(FRAME).nth(frame)).unwrap_or_else(|| codec.silence())
}

fn press(code: u8) -> impl Iterator<Item = i16> {
    let name = Digit::from_event(code).map_or('0', Digit::expose);
    let place = KEYS.find(name).unwrap_or(0);
    let hertz = |of: &[f64; 4], at: usize| of.get(at).copied().unwrap_or(0.0);
    let pair = [hertz(&ROWS, place / 4), hertz(&COLUMNS, place % 4)];
    (0_u32..).take(FRAMES * FRAME).map(move |n| {
        let time = f64::from(n) / f64::from(RATE);
        let tone = |(hertz, level): (f64, f64)| {
            10_f64.powf((level - FULL_SCALE_DBM0) / 20.0) * (TAU * hertz * time).sin()
        };
        let sum: f64 = pair.into_iter().zip(LEVELS).map(tone).sum();
        (sum * f64::from(i16::MAX)) as i16
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::Decoder;
    use crate::media::tones::{Heard, Receiver};

    #[test]
    fn each_key_is_heard_as_itself() {
        for codec in Codec::ALL {
            for code in 0..16 {
                let digit = Digit::from_event(code).unwrap();
                let (mut receiver, mut decoder) = (Receiver::default(), Decoder::default());
                let mut heard = Vec::new();
                for n in 0..FRAMES + 3 {
                    let samples = decoder.all(codec, frame(digit, codec, n));
                    receiver.samples(&samples, &mut heard);
                }
                let [Heard::Down(press), Heard::Up { held, .. }] = heard[..] else {
                    panic!("{heard:?}")
                };
                assert_eq!((press.digit, press.is_clear), (digit, true));
                assert!((90..=110).contains(&held.as_millis()), "{held:?}");
                assert!((press.low + 8.0).abs() < 0.5 && (press.high + 6.0).abs() < 0.5);
            }
        }
    }
}
