//! The words of the lab phone: how it is told to behave, and what it tells of its calls.

use std::sync::Arc;
use std::time::Duration;

use super::switchboard::Switchboard;
use crate::ambient::Timestamp;
use crate::media::{Codec, Digit, Quality, Srtp};

/// How the phone behaves, the same for each call.
#[derive(Clone)]
pub struct Behaviour {
    /// From the INVITE to the 180, or to the 183 of [`early_media`](Self::early_media).
    pub ring: Duration,
    /// What comes of the ringing.
    pub answer: Answer,
    /// Rings with 183 and a session description. Audio is sent from then on, and the keys are
    /// pressed then, not after the answer.
    pub early_media: bool,
    /// Which keys are pressed.
    pub press: Option<Press>,
    /// How they are sent in calls to numbers that end so, in place of what [`press`](Self::press) says; the first that
    /// fits.
    pub by_number: Vec<(String, By)>,
    /// From the answer to the BYE; never before the ACK. Without it the caller hangs up.
    pub hang_up_after: Option<Duration>,
    /// What is said from the answer on, at 8 kHz; silence follows.
    pub play: Option<Vec<i16>>,
    /// Answers as an auto-attendant; the keys are pressed by the person behind it.
    pub attendant: Option<Arc<Switchboard>>,
    /// What is heard under it.
    pub under: Option<Under>,
    /// Sends back what it hears.
    pub reflect: Option<Reflection>,
    /// Whether it takes and sends telephone-events.
    pub takes_events: bool,
    /// The only codec that it takes; the caller's first one without it.
    pub codec: Option<Codec>,
    /// User name and password that the INVITE must prove to know.
    pub credentials: Option<(String, String)>,
    /// Whether what is heard is kept for [`What::Recording`].
    pub record: bool,
    /// Whether media are encrypted.
    pub srtp: Srtp,
}

impl Behaviour {
    /// How it behaves in a call to this number, as its Request-URI has it.
    pub(super) fn to(&self, number: &str) -> Self {
        let fits = |(end, _): &&(String, By)| number.ends_with(end.as_str());
        let by = self.by_number.iter().find(fits).map(|(_, by)| *by);
        let press = self.press.clone().map(|press| Press { by: by.unwrap_or(press.by), ..press });
        Self { press, ..self.clone() }
    }
}

impl Default for Behaviour {
    /// Rings after 0.2 s, answers after 2 s, says and presses nothing.
    fn default() -> Self {
        Self {
            ring: Duration::from_millis(200),
            answer: Answer::After(Duration::from_secs(2)),
            early_media: false,
            press: None,
            by_number: Vec::new(),
            hang_up_after: None,
            play: None,
            attendant: None,
            under: None,
            reflect: None,
            takes_events: true,
            codec: None,
            credentials: None,
            record: false,
            srtp: Srtp::Off,
        }
    }
}

/// What comes of the ringing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is answered so long after the INVITE.
    After(Duration),
    /// It is refused.
    Reject {
        /// With this status, 300 to 699.
        status: u16,
        /// So long after the INVITE.
        after: Duration,
    },
    /// It rings until the caller gives up.
    Never,
}

/// A tone that is heard all the time from the answer on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// A dial tone.
    Dial,
}

/// A line that sends back what it hears.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reflection {
    /// How much later.
    pub delay: Duration,
    /// By how many dB quieter.
    pub loss: f64,
}

/// Keys to press, 100 ms apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Press {
    /// The keys in turn: `0` to `9`, `*`, `#`, `A` to `D`; `,` is a pause of 1 s and `w` one of
    /// 0.5 s. Whatever else stands there is passed over.
    pub digits: String,
    /// From the ACK, or in early media from the 183.
    pub after: Duration,
    /// How they are sent.
    pub by: By,
    /// How long each is held.
    pub held: Duration,
    /// The level of each of the two tones of a key, in dBm0.
    pub level: i8,
}

impl Press {
    /// These keys as telephone-events of 100 ms, so long after the ACK.
    #[must_use]
    pub fn new(digits: &str, after: Duration) -> Self {
        let (by, held, level) = (By::Rfc4733, Duration::from_millis(100), -10);
        Self { digits: digits.to_owned(), after, by, held, level }
    }

    pub(super) fn strokes(&self) -> impl Iterator<Item = Stroke> {
        self.digits.chars().filter_map(Stroke::of)
    }
}

/// How keys are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// As telephone-events in RTP.
    Rfc4733,
    /// As SIP INFO with application/dtmf-relay.
    Info,
    /// As SIP INFO with application/dtmf.
    InfoDtmf,
    /// As tones in the audio.
    Inband,
    /// As telephone-events and tones at once.
    Rtp,
    /// As telephone-events, tones and INFO with application/dtmf-relay, all at once.
    All,
}

impl By {
    pub(super) const fn has_events(self) -> bool {
        matches!(self, Self::Rfc4733 | Self::Rtp | Self::All)
    }

    pub(super) const fn has_tones(self) -> bool {
        matches!(self, Self::Inband | Self::Rtp | Self::All)
    }

    pub(super) const fn has_info(self) -> bool {
        matches!(self, Self::Info | Self::InfoDtmf | Self::All)
    }
}

/// One step of a [`Press`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    Key(Digit),
    Pause(Duration),
}

impl Stroke {
    pub(super) fn of(name: char) -> Option<Self> {
        match name {
            ',' => Some(Self::Pause(Duration::from_secs(1))),
            'w' | 'W' => Some(Self::Pause(Duration::from_millis(500))),
            key => Digit::from_char(key).map(Self::Key),
        }
    }
}

/// Something that happened in a call.
#[derive(Clone, Debug)]
pub struct PhoneEvent {
    /// The call, by its Call-ID.
    pub call: Arc<str>,
    /// When.
    pub at: Timestamp,
    /// How long after the first INVITE of the call.
    pub after: Duration,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// An INVITE came.
    Invited {
        /// The user part of its From.
        from: String,
        /// The user part of its Request-URI.
        to: String,
    },
    /// It was asked for credentials.
    Challenged,
    /// It rings: 180.
    Ringing,
    /// It rings and sends audio: 183.
    EarlyMedia,
    /// 200.
    Answered,
    /// The ACK for the 200 came.
    Acknowledged,
    /// Somebody behind the attendant lifted the handset, and said hello.
    Lifted,
    /// The phone pressed a key.
    Pressed(char),
    /// The phone could not press a key: the caller takes no telephone-events.
    Unsendable(char),
    /// The caller pressed a key.
    Heard(char),
    /// The caller gave up while it rang.
    Canceled,
    /// The phone refused, with this status.
    Rejected(u16),
    /// Someone hung up.
    HungUp(Side),
    /// What the phone heard, from the 200 (or the 183 of early media) to the end: 8 kHz, with
    /// silence where nothing came.
    Recording {
        /// The samples.
        samples: Vec<i16>,
    },
    /// All has been said, and the other side knows it. The last of a call.
    Finished(Summary),
}

/// Who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one who calls.
    Caller,
    /// The lab phone.
    Phone,
}

/// How a call went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How it ended.
    pub outcome: Outcome,
    /// From the INVITE to the 200.
    pub answered_after: Option<Duration>,
    /// The keys that were pressed.
    pub pressed: String,
    /// The keys that were heard.
    pub heard: String,
    /// How the media went.
    pub quality: Quality,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The caller gave up while it rang.
    Canceled,
    /// The phone refused, with this status.
    Rejected(u16),
    /// Someone hung up.
    HungUp(Side),
    /// The caller was asked for credentials and did not come back.
    Abandoned,
    /// The 200 was never acknowledged.
    Unacknowledged,
}
