//! What is heard in the audio of the far end.
//!
//! [`Listening`] is given each packet as it comes, puts them in order, expands them, and has each
//! listener hear them: keys as tones.

use std::time::Duration;

use crate::ambient::Timestamp;
use crate::media::events::Digit;
use crate::media::g711::{Law, RATE};
use crate::media::keys::{Path, Sign};
use crate::media::reorder::{Piece, Reorder};
use crate::media::rtp::Packet;
use crate::media::tones::{self, Keys};

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A key went down.
    Down(Sign),
    /// The key that was down is up.
    Up {
        /// Which key.
        digit: Digit,
        /// How long it was down.
        held: Duration,
    },
}

/// The ears of one call.
#[derive(Clone, Debug, Default)]
pub struct Listening {
    order: Reorder,
    tones: Option<tones::Receiver>,
    /// No key is heard as tones any more.
    is_deaf: bool,
    /// For which keys the call waits.
    waited: Keys,
    told: Vec<tones::Heard>,
}

impl Listening {
    /// Says for which keys the call waits from now on.
    pub fn wait_for(&mut self, keys: Keys) {
        self.waited = keys;
        if let Some(tones) = &mut self.tones {
            tones.wait_for(keys);
        }
    }

    /// Listens to another source.
    pub fn rearm(&mut self) {
        self.order = Reorder::default();
        self.tones = None;
        self.is_deaf = false;
    }

    /// Keys come in another way: they are heard as tones no longer.
    pub fn ignore_tones(&mut self) {
        self.is_deaf = true;
        self.tones = None;
    }

    /// Takes a packet: audio of this law, or a telephone-event, which only has its place in the
    /// order.
    pub fn packet(
        &mut self,
        now: Timestamp,
        packet: &Packet<'_>,
        law: Option<Law>,
        mut tell: impl FnMut(Heard),
    ) {
        let Self { order, tones, is_deaf, waited, told } = self;
        order.push(packet, law, |piece| {
            if *is_deaf {
                return;
            }
            let tones = tones.get_or_insert_with(|| {
                let mut tones = tones::Receiver::default();
                tones.wait_for(*waited);
                tones
            });
            match piece {
                Piece::Audio(law, codes) => tones.codes(law, codes, told),
                Piece::Lost(samples) => tones.lost(samples, told),
                Piece::Pause(_) => tones.end(told),
            }
        });
        for heard in told.drain(..) {
            tell(match heard {
                tones::Heard::Down(press) => Heard::Down(sign(now, &press)),
                tones::Heard::Up { digit, held } => Heard::Up { digit, held },
            });
        }
    }
}

fn sign(now: Timestamp, press: &tones::Press) -> Sign {
    let since = Duration::from_micros(u64::from(press.since) * 1_000_000 / u64::from(RATE));
    Sign {
        path: Path::Inband,
        digit: press.digit,
        at: now - since,
        held: None,
        level: i8::try_from(press.volume()).ok().map(|below| -below),
        stream: None,
    }
}
