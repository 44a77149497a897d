//! One stream of keys from three ways of telling them: telephone-events in RTP (RFC 4733), tones in
//! the audio (ITU-T Q.23), and SIP INFO.
//!
//! Trunks tell a press by one way, by two or by all, each as late as it likes; a relay may turn an
//! event into a tone and leave the event, or cut a tone out of the audio and leave its first 30 ms.
//! The [`Merger`] is given each [`Sign`] and makes one [`Key`] of all that tell of one press:
//!
//! - a sign of a key belongs to the earliest press of that key which its way has not told of yet,
//!   and which another way told of at most [`WINDOW`] ago; to a new one where there is none;
//! - two presses by one way are two, however close;
//! - once a telephone-event was heard, tones make no press: they are only evidence of one.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::ambient::Timestamp;
use crate::media::events::Digit;

/// How long after its last sign another way may still tell of a press.
pub const WINDOW: Duration = Duration::from_millis(500);

/// A key that is down counts as up so long after its last sign: the audio of a tone may end with
/// the tone, and then nothing tells.
const LONGEST: Duration = Duration::from_secs(10);

/// The most presses that another way may still tell of. Nobody presses so many in [`WINDOW`].
const OPEN: usize = 16;

/// How a key was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// As a telephone-event in RTP (RFC 4733).
    Rfc4733,
    /// As two tones in the audio.
    Inband,
    /// As a SIP INFO with `application/dtmf-relay` or `application/dtmf`.
    Info,
}

impl Path {
    /// All of them, in the order in which they are named.
    pub const ALL: [Self; 3] = [Self::Rfc4733, Self::Inband, Self::Info];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rfc4733 => "rfc4733",
            Self::Inband => "inband",
            Self::Info => "info",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Rfc4733 => 1,
            Self::Inband => 2,
            Self::Info => 4,
        }
    }
}

/// Some of the ways.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Paths(u8);

impl Paths {
    /// This one.
    #[must_use]
    pub const fn of(path: Path) -> Self {
        Self(path.bit())
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn contains(self, path: Path) -> bool {
        self.0 & path.bit() != 0
    }

    /// Each of them, in the order of [`Path::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Path> {
        Path::ALL.into_iter().filter(move |path| self.contains(*path))
    }

    const fn insert(&mut self, path: Path) {
        self.0 |= path.bit();
    }

    const fn remove(&mut self, path: Path) {
        self.0 &= !path.bit();
    }

    const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// One press of a key, and what told of it so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Which press of the call, from 1.
    pub no: u32,
    /// Which key.
    pub digit: Digit,
    /// When it went down, as far as its first sign tells: never later than that came.
    pub at: Timestamp,
    /// The ways that told of it.
    pub paths: Paths,
    /// How long it was down, by the longest account; `None` until a way has told.
    pub held: Option<Duration>,
    /// Its level in dBm0, as the first way that knows it told: for a telephone-event by the
    /// sender's word, for a tone as measured.
    pub level: Option<i8>,
    /// Its packets, where it was a telephone-event.
    pub stream: Option<Stream>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} by {:?})", self.digit, self.paths)
    }
}

/// The packets of a telephone-event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Their source.
    pub ssrc: u32,
    /// The RTP timestamp of the first that came: when, on the sender's clock, the key went down.
    pub timestamp: u32,
    /// The sequence number of the first that came.
    pub first: u16,
    /// That of the last.
    pub last: u16,
    /// How many came, copies of the End packet included.
    pub packets: u16,
}

/// A sign that a key went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    /// How it came.
    pub path: Path,
    /// Which key.
    pub digit: Digit,
    /// When it came; for a tone, when that began.
    pub at: Timestamp,
    /// How long before that the key went down, as far as this way tells.
    pub late: Duration,
    /// How long it was down, where that is told at once: by INFO, after the press.
    pub held: Option<Duration>,
    /// Its level in dBm0, if this way tells.
    pub level: Option<i8>,
    /// The packet, if it is a telephone-event.
    pub stream: Option<Stream>,
}

/// What signs come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A key went down, that no way had told of.
    Down(Key),
    /// All has been told of this press.
    Over(Key),
}

/// Makes one [`Key`] of all the signs of one press.
#[derive(Clone, Debug, Default)]
pub struct Merger {
    /// The presses that more may be told of, the earliest first.
    open: VecDeque<Open>,
    /// How many presses there were.
    count: u32,
    /// When a telephone-event was last heard.
    events: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Open {
    key: Key,
    /// When the last sign of it came.
    last: Timestamp,
    /// By which ways it is still down.
    down: Paths,
}

impl Open {
    /// When no way will tell of it any more.
    fn ends(&self) -> Timestamp {
        self.last + if self.down.is_empty() { WINDOW } else { LONGEST }
    }
}

impl Merger {
    /// Takes a sign that a key went down.
    pub fn down(&mut self, sign: &Sign, mut tell: impl FnMut(Told)) {
        let Sign { path, digit, at, late, held, level, stream } = *sign;
        self.lapsed(at, &mut tell);
        let is_press = path != Path::Inband || self.events.is_none();
        if path == Path::Rfc4733 {
            self.events = self.events.max(Some(at));
        }
        let same = |open: &&mut Open| open.key.digit == digit && !open.key.paths.contains(path);
        if let Some(open) = self.open.iter_mut().find(same) {
            open.key.paths.insert(path);
            open.key.held = open.key.held.max(held);
            open.key.level = open.key.level.or(level);
            open.key.stream = open.key.stream.or(stream);
            open.last = open.last.max(at);
            if held.is_none() {
                open.down.insert(path);
            }
        } else if is_press {
            self.count = self.count.saturating_add(1);
            let (no, paths) = (self.count, Paths::of(path));
            let key = Key { no, digit, at: at - late, paths, held, level, stream };
            if self.open.len() >= OPEN
                && let Some(oldest) = self.open.pop_front()
            {
                tell(Told::Over(oldest.key));
            }
            let down = if held.is_none() { paths } else { Paths::default() };
            self.open.push_back(Open { key, last: at, down });
            tell(Told::Down(key));
        }
    }

    /// Takes another packet of the telephone-event that came last.
    pub fn packet(&mut self, now: Timestamp, digit: Digit, sequence: u16) {
        let told = |open: &&mut Open| open.key.digit == digit && open.key.stream.is_some();
        let Some(open) = self.open.iter_mut().rev().find(told) else { return };
        if let Some(stream) = &mut open.key.stream {
            stream.packets = stream.packets.saturating_add(1);
            stream.last = sequence;
        }
        open.last = open.last.max(now);
    }

    /// Takes a sign that a key is up, and how long it was down.
    pub fn up(&mut self, now: Timestamp, path: Path, digit: Digit, held: Duration) {
        let down = |open: &&mut Open| open.key.digit == digit && open.down.contains(path);
        let Some(open) = self.open.iter_mut().find(down) else { return };
        open.down.remove(path);
        open.key.held = open.key.held.max(Some(held));
        open.last = open.last.max(now);
    }

    /// When a telephone-event last went down.
    #[must_use]
    pub const fn events_heard(&self) -> Option<Timestamp> {
        self.events
    }

    /// Another source is listened to, which may press keys in another way.
    pub const fn rearm(&mut self) {
        self.events = None;
    }

    /// When [`lapsed`](Self::lapsed) will have something to tell.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.open.iter().map(Open::ends).min()
    }

    /// Tells of the presses of which no way will tell any more.
    pub fn lapsed(&mut self, now: Timestamp, mut tell: impl FnMut(Told)) {
        self.open.retain(|open| {
            let is_over = now >= open.ends();
            if is_over {
                tell(Told::Over(open.key));
            }
            !is_over
        });
    }

    /// Tells of all that is open: nothing more will come.
    pub fn close(&mut self, mut tell: impl FnMut(Told)) {
        self.open.drain(..).for_each(|open| tell(Told::Over(open.key)));
    }
}

#[cfg(test)]
mod tests;
