//! Keys as tones to be sent (ITU-T Q.23): for a far end that takes no telephone-events.

use std::f64::consts::TAU;
use std::sync::LazyLock;

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

type Codes = [u8; FRAMES * FRAME];

/// By event code, in µ-law and in A-law.
static TONES: LazyLock<Vec<[Codes; 2]>> = LazyLock::new(|| {
    (0..16).map(|code| [Law::Ulaw, Law::Alaw].map(|law| press(code, law))).collect()
});

/// 20 ms of a press, counted from 0; silence behind it.
#[must_use]
pub fn frame(digit: Digit, law: Law, frame: usize) -> &'static [u8] {
    let laws = TONES.get(usize::from(digit.event()));
    let codes = laws.map(|[ulaw, alaw]| match law {
        Law::Ulaw => ulaw,
        Law::Alaw => alaw,
    });
    codes.and_then(|codes| codes.chunks(FRAME).nth(frame)).unwrap_or(law.silence())
}

fn press(code: u8, law: Law) -> Codes {
    let name = Digit::from_event(code).map_or('0', Digit::expose);
    let place = KEYS.find(name).unwrap_or(0);
    let hertz = |of: &[f64; 4], at: usize| of.get(at).copied().unwrap_or(0.0);
    let pair = [hertz(&ROWS, place / 4), hertz(&COLUMNS, place % 4)];
    let mut codes = [0; FRAMES * FRAME];
    for (n, code) in (0_u32..).zip(&mut codes) {
        let time = f64::from(n) / f64::from(RATE);
        let tone = |(hertz, level): (f64, f64)| {
            10_f64.powf((level - FULL_SCALE_DBM0) / 20.0) * (TAU * hertz * time).sin()
        };
        let sum: f64 = pair.into_iter().zip(LEVELS).map(tone).sum();
        *code = law.encode((sum * f64::from(i16::MAX)) as i16);
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tones::{Heard, Receiver};

    #[test]
    fn each_key_is_heard_as_itself() {
        for law in [Law::Ulaw, Law::Alaw] {
            for code in 0..16 {
                let digit = Digit::from_event(code).unwrap();
                let mut receiver = Receiver::default();
                let mut heard = Vec::new();
                for n in 0..FRAMES + 3 {
                    receiver.codes(law, frame(digit, law, n), &mut heard);
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
