//! Telephone-events (RFC 4733): keys heard from, and sent to, the far end.
//!
//! The [`Receiver`] reports a press at the first packet of it that arrives, whichever that is,
//! and reports it once. A press is known by its source, RTP timestamp and event; the other rules
//! are for senders that change the timestamp within a press.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::ambient::Timestamp;
use crate::media::g711::RATE;

/// How long after its last packet a press without an End is over.
pub const KEY_UP_AFTER: Duration = Duration::from_millis(150);

/// The samples between two packets of a press we send: 20 ms.
pub const INTERVAL: u16 = 160;

/// The key of a telephone: 0 to 9, star, pound, A to D (RFC 4733, Section 3.2, events 0 to 15).
///
/// Masked in `Debug` and `Display` unless it is the pound key, because a row of digits may be
/// somebody's PIN.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

impl Digit {
    /// The `#` key, which carries an answer and no secret.
    pub const POUND: Self = Self(11);
    /// The `*` key.
    pub const STAR: Self = Self(10);
    /// The `0` key.
    pub const ZERO: Self = Self(0);
    /// The `1` key.
    pub const ONE: Self = Self(1);

    const NAMES: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

    /// From an event code; `None` when the event is not a key (16 and above).
    #[must_use]
    pub const fn from_event(code: u8) -> Option<Self> {
        if code < 16 { Some(Self(code)) } else { None }
    }

    /// From what is printed on the key; letters in either case.
    #[must_use]
    pub fn from_char(name: char) -> Option<Self> {
        let code = Self::NAMES.iter().position(|c| *c == name.to_ascii_uppercase())?;
        u8::try_from(code).ok().map(Self)
    }

    /// The event code.
    #[must_use]
    pub const fn event(self) -> u8 {
        self.0
    }

    /// What is printed on the key. Not for logs.
    #[must_use]
    pub fn expose(self) -> char {
        Self::NAMES.get(usize::from(self.0)).copied().unwrap_or('•')
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::POUND { "#" } else { "•" })
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The payload of a telephone-event packet (RFC 4733, Section 2.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The event code.
    pub code: u8,
    /// "E" bit: this packet reports the end of the event.
    pub end: bool,
    /// The power level, in dBm0 with the sign dropped: 0 to 63.
    pub volume: u8,
    /// How long the event has lasted, in timestamp units.
    pub duration: u16,
}

impl Event {
    /// Reads a payload. Octets after the first report are ignored; `None` when it is shorter.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let [code, flags, d0, d1] = *payload.first_chunk::<4>()?;
        let duration = u16::from_be_bytes([d0, d1]);
        // The "R" bit is reserved and ignored.
        Some(Self { code, end: flags & 0x80 != 0, volume: flags & 0x3f, duration })
    }

    /// The payload.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        let [d0, d1] = self.duration.to_be_bytes();
        let end = if self.end { 0x80 } else { 0 };
        [self.code, end | (self.volume & 0x3f), d0, d1]
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = f.debug_struct("Event");
        match Digit::from_event(self.code) {
            Some(digit) => event.field("digit", &digit),
            None => event.field("code", &self.code),
        };
        event.field("end", &self.end).field("duration", &self.duration).finish_non_exhaustive()
    }
}

/// A telephone-event packet as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When.
    pub at: Timestamp,
    /// The source.
    pub ssrc: u32,
    /// The RTP timestamp: when the event, or this segment of it, began.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The payload.
    pub event: Event,
}

/// What a packet, or its absence, tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A key went down.
    Down(Digit),
    /// Another packet of the press that came last.
    Again(Digit),
    /// The key that was down is up again.
    Up {
        /// Which key.
        digit: Digit,
        /// How long it was down, by the sender's account.
        held: Duration,
    },
    /// An event that is not a key: 32 to 36 are fax and modem tones (RFC 4734).
    Tone(u8),
}

/// Puts presses together from packets, one source or several.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    /// The press whose packets came last, up or down.
    press: Option<Press>,
    /// What the packets of past presses look like, so that a late one is not a new press.
    known: VecDeque<Name>,
}

/// What the packets of one press, or of one segment of it, have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    ssrc: u32,
    timestamp: u32,
    digit: Digit,
}

#[derive(Clone, Debug)]
struct Press {
    /// As in the newest packet; a press may bear several names in turn.
    name: Name,
    /// The longest duration reported under that name.
    duration: u16,
    /// The samples of the segments before this one.
    earlier: u32,
    last: Timestamp,
    /// An End packet came.
    ended: bool,
    /// Key-up has been told.
    up: bool,
}

/// More names than a press can have in flight; each press needs one, odd senders some more.
const KNOWN: usize = 32;

/// Copies of an End packet come this soon after the press.
const END_COPIES_WITHIN: Duration = Duration::from_millis(100);

/// The next packet of a press comes this soon: the 50 ms that RFC 4733 recommends, and jitter.
const NEXT_PACKET_WITHIN: Duration = Duration::from_millis(60);

/// The longest interval between two packets of a press, in samples: 50 ms.
const LONGEST_INTERVAL: u32 = 400;

/// Audio this much later than the end of an event shows that the key is up, in samples: 40 ms.
const AUDIO_AFTER: u32 = 320;

impl Receiver {
    /// Takes a telephone-event packet.
    pub fn arrived(&mut self, packet: Arrival, mut tell: impl FnMut(Heard)) {
        let Some(digit) = Digit::from_event(packet.event.code) else {
            return tell(Heard::Tone(packet.event.code));
        };
        let name = Name { ssrc: packet.ssrc, timestamp: packet.timestamp, digit };
        match &mut self.press {
            Some(press) if press.name == name => press.repeat(&packet, tell),
            Some(press) if !self.known.contains(&name) => {
                if press.is_continued_by(name, &packet) {
                    press.rename(name, &packet, tell);
                } else {
                    press.key_up(&mut tell);
                    self.press = Some(Press::new(name, &packet, tell));
                }
                self.remember(name);
            }
            // Under an older name of this press, or of one before it.
            Some(press) => press.late(name, &packet, tell),
            None => {
                self.press = Some(Press::new(name, &packet, tell));
                self.remember(name);
            }
        }
    }

    /// Takes note of an audio packet of the same source: it may show that the key is up.
    pub fn audio_arrived(&mut self, ssrc: u32, timestamp: u32, mut tell: impl FnMut(Heard)) {
        if let Some(press) = &mut self.press
            && press.name.ssrc == ssrc
        {
            let since_start = timestamp.wrapping_sub(press.name.timestamp) as i32;
            let over = u32::from(press.duration) + AUDIO_AFTER;
            if since_start.is_positive() && since_start.unsigned_abs() > over {
                press.key_up(&mut tell);
            }
        }
    }

    /// When a key that is down counts as up for want of packets.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.press.as_ref().filter(|press| !press.up).map(|press| press.last + KEY_UP_AFTER)
    }

    /// Tells a key-up that is due.
    pub fn lapsed(&mut self, now: Timestamp, mut tell: impl FnMut(Heard)) {
        if self.deadline().is_some_and(|due| now >= due)
            && let Some(press) = &mut self.press
        {
            press.key_up(&mut tell);
        }
    }

    fn remember(&mut self, name: Name) {
        if self.known.len() == KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(name);
    }
}

impl Press {
    fn new(name: Name, packet: &Arrival, mut tell: impl FnMut(Heard)) -> Self {
        tell(Heard::Down(name.digit));
        let mut press = Self {
            name,
            duration: packet.event.duration,
            earlier: 0,
            last: packet.at,
            ended: packet.event.end,
            up: false,
        };
        if press.ended {
            press.key_up(&mut tell);
        }
        press
    }

    /// Whether a packet under a new name still belongs to this press.
    fn is_continued_by(&self, name: Name, packet: &Arrival) -> bool {
        if (name.ssrc, name.digit) != (self.name.ssrc, self.name.digit) {
            return false;
        }
        // RFC 4733, Section 2.5.1.3: an event too long for the duration field is reported in
        // segments, each of which starts where the one before it ended.
        let ahead = name.timestamp.wrapping_sub(self.name.timestamp);
        if ahead == u32::from(u16::MAX) && !self.ended {
            return true;
        }
        if packet.marker {
            return false;
        }
        let pause = packet.at.since(self.last);
        // Relays that stamp each copy of the End packet anew.
        if self.ended && packet.event.end {
            return pause <= END_COPIES_WITHIN;
        }
        // Senders that stamp every packet anew, the End too. One that was overtaken may come
        // after the End; a packet from after the End cannot belong to this press.
        let behind = self.name.timestamp.wrapping_sub(name.timestamp);
        let reach = u32::from(self.duration) + LONGEST_INTERVAL;
        pause <= NEXT_PACKET_WITHIN && (behind <= reach || (!self.ended && ahead <= reach))
    }

    /// Another packet under the same name.
    fn repeat(&mut self, packet: &Arrival, mut tell: impl FnMut(Heard)) {
        self.last = self.last.max(packet.at);
        self.duration = self.duration.max(packet.event.duration);
        tell(Heard::Again(self.name.digit));
        if packet.event.end {
            self.ended = true;
            self.key_up(&mut tell);
        }
    }

    /// A packet under a new name; the newest name stands.
    fn rename(&mut self, name: Name, packet: &Arrival, tell: impl FnMut(Heard)) {
        let ahead = name.timestamp.wrapping_sub(self.name.timestamp);
        if !self.ended && (ahead as i32).is_positive() {
            self.earlier = self.earlier.saturating_add(ahead);
            self.name = name;
            self.duration = packet.event.duration;
        }
        self.repeat(packet, tell);
    }

    /// A packet under a name that is known and not the newest.
    fn late(&mut self, name: Name, packet: &Arrival, tell: impl FnMut(Heard)) {
        let ours = (name.ssrc, name.digit) == (self.name.ssrc, self.name.digit);
        // Copies of an End that a relay stamped anew, and packets of a segment gone by: neither
        // prolongs the press, and only the End of the last segment ends it.
        if ours && self.ended && packet.event.end {
            self.repeat(packet, tell);
        }
    }

    fn key_up(&mut self, tell: &mut impl FnMut(Heard)) {
        if !self.up {
            self.up = true;
            let samples = u64::from(self.earlier) + u64::from(self.duration);
            let held = Duration::from_micros(samples * 1_000_000 / u64::from(RATE));
            tell(Heard::Up { digit: self.name.digit, held });
        }
    }
}

/// One packet of a press to be sent, 20 ms after the one before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The marker bit: only the first packet of a press.
    pub marker: bool,
    /// The RTP timestamp: the same in all packets of a press, or of a segment of it.
    pub timestamp: u32,
    /// The payload.
    pub payload: [u8; 4],
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("marker", &self.marker)
            .field("timestamp", &self.timestamp)
            .field("event", &Event::read(&self.payload))
            .finish()
    }
}

/// The packets of one press of `samples` timestamp units that began at `start` (RFC 4733,
/// Section 2.5.1): one each 20 ms, the last one three times.
#[must_use]
pub fn press(digit: Digit, start: u32, samples: u32) -> Vec<Step> {
    const VOLUME: u8 = 10;
    let step = |elapsed: u32, end: bool| {
        // A segment lasts at most 0xFFFF; the next one starts where it ends.
        let segment = elapsed.saturating_sub(1) / u32::from(u16::MAX) * u32::from(u16::MAX);
        let duration = u16::try_from(elapsed - segment).unwrap_or(u16::MAX);
        let event = Event { code: digit.event(), end, volume: VOLUME, duration };
        let timestamp = start.wrapping_add(segment);
        Step { marker: false, timestamp, payload: event.to_bytes() }
    };
    let samples = samples.max(1);
    let mut steps: Vec<Step> = (u32::from(INTERVAL)..samples)
        .step_by(usize::from(INTERVAL))
        .map(|elapsed| step(elapsed, false))
        .collect();
    steps.extend([step(samples, true); 3]);
    if let Some(first) = steps.first_mut() {
        first.marker = true;
    }
    steps
}

#[cfg(test)]
mod tests;
