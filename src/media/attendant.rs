//! An auto-attendant that answers: waits for it to be ready, dials the extension, and waits for the
//! person behind it.
//!
//! A fixed pause before the digits is too short for one attendant and too long for the next. Here
//! the line itself says when it is time, and what came of it:
//!
//! | heard | before the digits | after them |
//! |---|---|---|
//! | a voice, then a pause | it has said what it had to say: dial | short: the person; long: see below |
//! | ringback | it is still to answer | the extension rings |
//! | nothing | it expects digits without a word: dial | somebody picked up without one: greet |
//! | three bursts of a busy tone | the number is busy | the extension is |
//! | reorder, special information tones | the number cannot be reached | there is no such extension |
//! | a beep behind a voice | it has said what it had to say: dial | a mailbox |
//!
//! A long voice is a mailbox where the extension rang before, or a beep follows; where neither is
//! so it is the attendant, which has not understood and begins its menu anew. A short one at once
//! is its "please hold".
//!
//! [`Attendant`] has no deadline: while it lasts, it is asked for each 20 ms that are sent, and told
//! of each that are heard.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ambient::Timestamp;
use crate::media::codec::{Codec, Decoder};
use crate::media::events::{self, Digit};
use crate::media::g711::FRAME;
use crate::media::listening::sound::Frame;
use crate::media::progress::{Progress, Sound};
use crate::media::sdp::Format;
use crate::media::{FRAME_TIME, Payload, dtmf, rtp};

/// How long a key is pressed, in frames: 100 ms, twice what the strictest receiver asks for (ITU-T
/// Q.24).
const PRESS: usize = dtmf::FRAMES;

/// The silence behind a key, in frames: 80 ms.
const GAP: usize = 4;

/// How long nothing may come before it is taken for silence: more than jitter holds back.
const UNHEARD: Duration = Duration::from_millis(100);

/// What is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Whether the attendant is listened to before.
    pub listens_first: bool,
    /// Keys and pauses in turn.
    pub strokes: Vec<Stroke>,
}

/// A key or a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// A key.
    Key(Digit),
    /// A pause.
    Pause(Duration),
}

/// How patient it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The attendant has spoken once it is silent for so long. Longer than the pause between two
    /// sentences, shorter than attendants wait for digits (3 s and more).
    pub spoken: Duration,
    /// An attendant that says nothing for so long expects digits all the same. Longer than the
    /// pause of ringback, which is 4 s in North America.
    pub speechless: Duration,
    /// And one that never falls silent (music, a menu without end) takes them while it speaks.
    pub longest_menu: Duration,
    /// How long a person's "hello" is at most, with the name of a company and their own. Mailboxes
    /// speak longer.
    pub longest_hello: Duration,
    /// A person who is silent for so long waits for us to speak, and has not merely breathed.
    pub hello_over: Duration,
    /// What begins so soon after the last key is said by the attendant: nobody lifts a handset in
    /// that time.
    pub at_once: Duration,
    /// How long "please hold while I connect you" is at most. What an attendant says that has not
    /// understood is longer, at least with the menu that follows.
    pub longest_announcement: Duration,
    /// How long after its last word the attendant has the extension ring, and a mailbox beeps.
    pub afterthought: Duration,
    /// After so much silence behind the keys, somebody is there who waits for us to speak.
    pub picked_up: Duration,
    /// How long the extension may ring, or the attendant itself.
    pub ring: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            spoken: Duration::from_millis(1_500),
            speechless: Duration::from_secs(6),
            longest_menu: Duration::from_secs(25),
            longest_hello: Duration::from_millis(4_500),
            hello_over: Duration::from_millis(800),
            at_once: Duration::from_secs(2),
            longest_announcement: Duration::from_millis(2_500),
            afterthought: Duration::from_secs(4),
            picked_up: Duration::from_secs(8),
            ring: Duration::from_secs(45),
        }
    }
}

impl Settings {
    /// How long it may last at most, but for the keys and their pauses.
    #[must_use]
    pub fn longest(&self) -> Duration {
        2 * (self.ring + self.longest_menu)
    }
}

/// A voice must last so long to be one; a click does not. As in Asterisk's `AMD()`.
const WORD: Duration = Duration::from_millis(100);

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The keys are being pressed. Comes once, and first.
    Dialling,
    /// Somebody is there: greet.
    Reached,
    /// Nobody is.
    Failed(Failure),
}

/// Why nobody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The number itself was answered with a busy tone.
    NumberBusy,
    /// The number itself was answered with tones of the network.
    NumberUnreachable,
    /// The number itself was answered, and rang on.
    NumberRings,
    /// The extension is busy.
    Busy,
    /// The attendant knows no such extension.
    Wrong,
    /// A mailbox answered.
    Mailbox,
    /// The extension rang, and nobody answered.
    NoAnswer,
}

/// The way to an extension.
#[derive(Clone, Debug)]
pub struct Attendant {
    settings: Settings,
    line: Line,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing has been sent.
    Ready {
        extension: Extension,
    },
    /// To the attendant, before the keys.
    Listening {
        strokes: VecDeque<Stroke>,
        heard: Heard,
    },
    Dialling {
        strokes: VecDeque<Stroke>,
        sending: VecDeque<Sent>,
    },
    /// For the person.
    Waiting {
        heard: Heard,
    },
    Over,
}

/// What is sent in 20 ms of a stroke.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Event(events::Step),
    Tone { digit: Digit, frame: usize },
    Nothing,
}

/// What has been heard since the call was answered, or since the last key.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// How long ago that was.
    elapsed: Duration,
    /// It has rung.
    has_rung: bool,
    /// What was said last, and is not over.
    said: Option<Said>,
    /// How long the attendant has spoken, with the pauses between its sentences.
    menu: Duration,
    /// When it fell silent for the last time.
    menu_over: Duration,
    /// How long it has been silent.
    quiet: Duration,
}

/// An utterance.
#[derive(Clone, Copy, Debug)]
struct Said {
    began: Duration,
    /// When the last of it was heard.
    last: Duration,
    /// How much of that was voice.
    voice: Duration,
}

impl Said {
    fn length(self) -> Duration {
        self.last.saturating_sub(self.began)
    }
}

/// The far end's audio, in step with the clock.
#[derive(Clone, Debug, Default)]
struct Line {
    progress: Progress,
    decoder: Decoder,
    /// What does not fill a frame yet.
    rest: Vec<i16>,
    /// When audio came last, or would have.
    last: Option<Timestamp>,
    sounds: VecDeque<Sound>,
}

impl Attendant {
    /// Has not begun: it does with the first frame that is asked for.
    #[must_use]
    pub fn new(extension: Extension, settings: Settings) -> Self {
        Self { settings, line: Line::default(), state: State::Ready { extension } }
    }

    /// Takes a packet of the far end.
    pub fn hear(&mut self, now: Timestamp, packet: &rtp::Packet<'_>, format: Format) {
        match format {
            Format::Audio(codec) => self.line.audio(now, codec, packet.payload),
            Format::Events => {}
        }
    }

    /// The next 20 ms to send, at this time on the RTP clock. `takes_events` says whether keys are
    /// sent as telephone-events.
    pub fn frame(
        &mut self,
        now: Timestamp,
        timestamp: u32,
        takes_events: bool,
        out: &mut Vec<Outcome>,
    ) -> Payload {
        if let State::Ready { extension } = &mut self.state {
            let strokes = std::mem::take(&mut extension.strokes).into();
            if extension.listens_first {
                self.state = State::Listening { strokes, heard: Heard::default() };
            } else {
                self.dial(strokes, out);
            }
        }
        self.line.catch_up(now);
        while let Some(sound) = self.line.sounds.pop_front() {
            self.sound(sound, out);
        }
        let State::Dialling { strokes, sending } = &mut self.state else { return Payload::Silence };
        if sending.is_empty()
            && let Some(stroke) = strokes.pop_front()
        {
            *sending = stroke.frames(timestamp, takes_events);
        }
        let sent = sending.pop_front();
        if sending.is_empty() && strokes.is_empty() {
            self.state = State::Waiting { heard: Heard::default() };
        }
        match sent {
            Some(Sent::Event(step)) => Payload::Event(step),
            Some(Sent::Tone { digit, frame }) => Payload::Tone { digit, frame },
            Some(Sent::Nothing) | None => Payload::Silence,
        }
    }

    /// Takes 20 ms of the line.
    fn sound(&mut self, sound: Sound, out: &mut Vec<Outcome>) {
        let settings = self.settings;
        match &mut self.state {
            State::Listening { strokes, heard } => {
                heard.hear(sound, &settings);
                match heard.attendant(sound, &settings) {
                    Verdict::Wait => {}
                    Verdict::Go => {
                        let strokes = std::mem::take(strokes);
                        self.dial(strokes, out);
                    }
                    Verdict::Fail(failure) => self.end(Outcome::Failed(failure), out),
                }
            }
            State::Waiting { heard } => {
                heard.hear(sound, &settings);
                match heard.person(sound, &settings) {
                    Verdict::Wait => {}
                    Verdict::Go => self.end(Outcome::Reached, out),
                    Verdict::Fail(failure) => self.end(Outcome::Failed(failure), out),
                }
            }
            // Whatever is heard of our own keys, it is no answer to them.
            State::Ready { .. } | State::Dialling { .. } | State::Over => {}
        }
    }

    fn dial(&mut self, strokes: VecDeque<Stroke>, out: &mut Vec<Outcome>) {
        self.state = State::Dialling { strokes, sending: VecDeque::new() };
        out.push(Outcome::Dialling);
    }

    fn end(&mut self, outcome: Outcome, out: &mut Vec<Outcome>) {
        self.state = State::Over;
        out.push(outcome);
    }
}

/// What must now be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Wait,
    Go,
    Fail(Failure),
}

impl Heard {
    fn hear(&mut self, sound: Sound, settings: &Settings) {
        self.elapsed += FRAME_TIME;
        self.quiet = match sound {
            Sound::Quiet => self.quiet + FRAME_TIME,
            Sound::Voice
            | Sound::Tone
            | Sound::Ringback
            | Sound::Busy
            | Sound::Reorder
            | Sound::Special
            | Sound::Beep => Duration::ZERO,
        };
        match sound {
            Sound::Voice => {
                let now = self.elapsed;
                let said =
                    self.said.get_or_insert(Said { began: now, last: now, voice: Duration::ZERO });
                said.last = now;
                said.voice += FRAME_TIME;
            }
            // What sounded like a voice was the edge of a tone, or is not what we wait for.
            Sound::Ringback => {
                (self.has_rung, self.said) = (true, None);
                (self.menu, self.menu_over) = (Duration::ZERO, Duration::ZERO);
            }
            Sound::Quiet if self.quiet >= settings.hello_over => {
                self.said = self.said.filter(|said| said.voice >= WORD);
            }
            Sound::Quiet
            | Sound::Tone
            | Sound::Busy
            | Sound::Reorder
            | Sound::Special
            | Sound::Beep => {}
        }
    }

    /// Before the keys.
    fn attendant(&self, sound: Sound, settings: &Settings) -> Verdict {
        let has_spoken = self.said.is_some_and(|said| said.voice >= 3 * WORD);
        match sound {
            Sound::Busy => return Verdict::Fail(Failure::NumberBusy),
            Sound::Reorder | Sound::Special => return Verdict::Fail(Failure::NumberUnreachable),
            Sound::Beep => return Verdict::Go,
            Sound::Quiet | Sound::Voice | Sound::Tone | Sound::Ringback => {}
        }
        if (has_spoken && self.quiet >= settings.spoken) || self.quiet >= settings.speechless {
            return Verdict::Go;
        }
        if self.has_rung && self.said.is_none() {
            let is_late = self.elapsed >= settings.ring;
            return if is_late { Verdict::Fail(Failure::NumberRings) } else { Verdict::Wait };
        }
        let began = self.said.filter(|_| self.has_rung).map_or(Duration::ZERO, |said| said.began);
        let is_endless = self.elapsed >= began + settings.longest_menu;
        if is_endless { Verdict::Go } else { Verdict::Wait }
    }

    /// After the keys.
    fn person(&mut self, sound: Sound, settings: &Settings) -> Verdict {
        match sound {
            Sound::Busy => return Verdict::Fail(Failure::Busy),
            Sound::Reorder | Sound::Special => return Verdict::Fail(Failure::Wrong),
            Sound::Beep => return Verdict::Fail(Failure::Mailbox),
            Sound::Quiet | Sound::Voice | Sound::Tone | Sound::Ringback => {}
        }
        let rings_on = self.has_rung && self.said.is_none() && self.elapsed >= settings.ring;
        if rings_on || self.elapsed >= settings.ring + settings.longest_menu {
            return Verdict::Fail(Failure::NoAnswer);
        }
        let Some(said) = self.said else { return self.unspoken(settings) };
        let is_long = said.length() > settings.longest_hello;
        if self.has_rung {
            return match (is_long, self.quiet >= settings.hello_over) {
                (true, _) => Verdict::Fail(Failure::Mailbox),
                (false, true) => Verdict::Go,
                (false, false) => Verdict::Wait,
            };
        }
        // Nobody lifts a handset so soon: it is the attendant, and so is what follows at once.
        let is_attendant = said.began < self.menu_over + settings.at_once;
        if self.quiet < settings.hello_over {
            let is_endless = said.length() >= settings.longest_menu;
            return if is_endless { Verdict::Fail(Failure::Wrong) } else { Verdict::Wait };
        }
        if !is_attendant && !is_long {
            return Verdict::Go;
        }
        (self.menu, self.menu_over) = (self.menu + said.length(), said.last);
        self.said = None;
        Verdict::Wait
    }

    /// Nobody speaks.
    fn unspoken(&self, settings: &Settings) -> Verdict {
        let is_menu = self.menu > settings.longest_announcement;
        if is_menu && self.quiet >= settings.afterthought {
            return Verdict::Fail(Failure::Wrong);
        }
        // Longer than the pause of any ringback.
        let patience = if self.has_rung { settings.speechless } else { settings.picked_up };
        if self.quiet >= patience { Verdict::Go } else { Verdict::Wait }
    }
}

impl Line {
    fn audio(&mut self, now: Timestamp, codec: Codec, codes: &[u8]) {
        self.last = Some(now);
        self.rest.extend(self.decoder.all(codec, codes));
        let (frames, rest) = self.rest.as_chunks::<FRAME>();
        self.sounds.extend(frames.iter().map(|frame| self.progress.frame(Frame::of(frame))));
        self.rest = rest.to_vec();
    }

    /// Makes silence of what has not come.
    fn catch_up(&mut self, now: Timestamp) {
        let last = *self.last.get_or_insert(now);
        if now.since(last) > UNHEARD + FRAME_TIME {
            self.last = Some(last + FRAME_TIME);
            self.sounds.push_back(self.progress.frame(Frame::QUIET));
        }
    }
}

impl Stroke {
    /// What is sent for it, from this time on the RTP clock.
    fn frames(self, timestamp: u32, takes_events: bool) -> VecDeque<Sent> {
        match self {
            Self::Pause(pause) => {
                let frames = pause.as_millis() / FRAME_TIME.as_millis();
                (0..frames).map(|_| Sent::Nothing).collect()
            }
            Self::Key(digit) => {
                let mut sent: VecDeque<Sent> = if takes_events {
                    let samples = u32::try_from(PRESS * FRAME).unwrap_or(0);
                    events::press(digit, timestamp, samples).into_iter().map(Sent::Event).collect()
                } else {
                    (0..PRESS).map(|frame| Sent::Tone { digit, frame }).collect()
                };
                // The copies of the last event lie in the gap.
                sent.resize_with(PRESS + GAP, || Sent::Nothing);
                sent
            }
        }
    }
}

#[cfg(test)]
mod tests;
