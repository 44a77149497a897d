//! What is heard in the audio of the far end.
//!
//! [`Listening`] is given each packet as it comes, puts them in order, decodes them, and has each
//! listener hear them: keys as tones (`tones`), who is there (`line`), and whether the line
//! sends back what it is sent (`echo`).

use std::time::Duration;

use self::echo::Echo;
use self::line::Line;
use self::sound::Frame;
use self::talk::{Change, JUDGED, Turn};
use crate::ambient::Timestamp;
use crate::media::FRAME_TIME;
use crate::media::codec::{Codec, Decoder};
use crate::media::events::Digit;
use crate::media::g711::{FRAME, RATE};
use crate::media::keys::{Path, Sign};
use crate::media::reorder::{Piece, Reorder};
use crate::media::rtp::Packet;
use crate::media::tones::{self, Keys};

pub mod echo;
pub mod label;
pub mod line;
pub mod sound;
pub mod talk;

pub use self::label::{Cue, Is, Label};
pub use self::talk::Talk;

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
    /// More is known of who is there.
    Label(Label),
    /// Somebody begins to speak, or falls silent.
    Talk(Talk),
}

/// The ears of one call.
#[derive(Clone, Debug, Default)]
pub struct Listening {
    order: Reorder,
    decoder: Decoder,
    tones: Option<tones::Receiver>,
    /// No key is heard as tones any more.
    is_deaf: bool,
    /// For which keys the call waits.
    waited: Keys,
    told: Vec<tones::Heard>,
    frames: Frames,
    line: Line,
    echo: Echo,
    turn: Turn,
    news: Vec<Heard>,
}

/// Cuts audio into frames of 20 ms.
#[derive(Clone, Debug)]
struct Frames {
    samples: [i16; FRAME],
    filled: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self { samples: [0; FRAME], filled: 0 }
    }
}

impl Frames {
    fn push(&mut self, samples: &[i16], mut each: impl FnMut(&[i16; FRAME])) {
        if let (0, Ok(frame)) = (self.filled, samples.try_into()) {
            return each(frame);
        }
        for sample in samples {
            if let Some(slot) = self.samples.get_mut(self.filled) {
                *slot = *sample;
            }
            self.filled += 1;
            if self.filled >= FRAME {
                self.filled = 0;
                each(&self.samples);
            }
        }
    }
}

/// The longest pause that is listened to, in frames: who has been silent for 10 s has been.
const LONGEST_PAUSE: usize = 500;

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
        self.decoder = Decoder::default();
        self.tones = None;
        self.is_deaf = false;
        self.frames = Frames::default();
        self.line = Line::default();
        self.turn = Turn::default();
        self.echo = Echo::default();
    }

    /// Somebody else is there.
    pub fn listen_anew(&mut self) {
        self.line = Line::default();
        self.turn = Turn::default();
    }

    /// Takes note of a frame that is sent, so loud in dBm0.
    pub fn sent(&mut self, level: i16) {
        self.echo.sent(level);
    }

    /// Takes note that a telephone-event told of a fax machine.
    pub fn fax(&mut self) -> Option<Label> {
        self.line.fax()
    }

    /// Keys come in another way: they are heard as tones no longer.
    pub fn ignore_tones(&mut self) {
        self.is_deaf = true;
        self.tones = None;
    }

    /// Takes a packet: audio of this codec, or a telephone-event, which only has its place in the
    /// order.
    pub fn packet(
        &mut self,
        now: Timestamp,
        packet: &Packet<'_>,
        codec: Option<Codec>,
        mut tell: impl FnMut(Heard),
    ) {
        let Self { order, decoder, tones, is_deaf, waited, told, frames, line, echo, turn, news } =
            self;
        let mut frame = |mut echo: Option<&mut Echo>, frame: Frame| {
            let resembles = echo.as_mut().is_some_and(|echo| {
                news.extend(echo.heard(frame.level).map(Heard::Label));
                echo.resembles()
            });
            news.extend(line.heard(frame, resembles).map(Heard::Label));
            let is_ours = || echo.is_none_or(|echo| echo.explains::<JUDGED>());
            news.extend(turn.heard(line.saying(), is_ours).map(|change| {
                Heard::Talk(match change {
                    Change::Begun(ago) => Talk::Begun { at: now - FRAME_TIME * ago },
                    Change::Over => Talk::Over,
                })
            }));
        };
        order.push(packet, codec, |piece| {
            let tones = (!*is_deaf).then(|| {
                tones.get_or_insert_with(|| {
                    let mut tones = tones::Receiver::default();
                    tones.wait_for(*waited);
                    tones
                })
            });
            match (piece, tones) {
                (Piece::Audio(codec, codes), mut tones) => {
                    let mut samples = [0; FRAME];
                    for codes in codes.chunks(FRAME) {
                        let samples = decoder.decode(codec, codes, &mut samples);
                        frames.push(samples, |samples| frame(Some(echo), Frame::of(samples)));
                        if let Some(tones) = &mut tones {
                            tones.samples(samples, told);
                        }
                    }
                }
                // What was lost is not known to be silent; but time has passed.
                (Piece::Lost(samples), tones) => {
                    (0..whole_frames(samples)).for_each(|_| frame(Some(echo), Frame::QUIET));
                    if let Some(tones) = tones {
                        tones.lost(samples, told);
                    }
                }
                // Who pauses has put the call on hold, and then we fall silent as well: that both
                // do so at once says nothing of the line.
                (Piece::Pause(samples), tones) => {
                    *echo = Echo::default();
                    (0..whole_frames(samples)).for_each(|_| frame(None, Frame::QUIET));
                    if let Some(tones) = tones {
                        tones.end(told);
                    }
                }
            }
        });
        news.drain(..).for_each(&mut tell);
        for heard in told.drain(..) {
            tell(match heard {
                tones::Heard::Down(press) => Heard::Down(sign(now, &press)),
                tones::Heard::Up { digit, held } => Heard::Up { digit, held },
            });
        }
    }
}

fn whole_frames(samples: u32) -> usize {
    (usize::try_from(samples).unwrap_or(usize::MAX) / FRAME).min(LONGEST_PAUSE)
}

fn sign(now: Timestamp, press: &tones::Press) -> Sign {
    let since = Duration::from_micros(u64::from(press.since) * 1_000_000 / u64::from(RATE));
    Sign {
        path: Path::Inband,
        digit: press.digit,
        at: now - since,
        late: Duration::ZERO,
        held: None,
        level: i8::try_from(press.volume()).ok().map(|below| -below),
        stream: None,
    }
}
