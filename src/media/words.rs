//! The words of a session: what it gives back, what is odd, what is sent, and how it went.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::codec::Codec;
use super::events::{self, Digit};
use super::keys::{self, Key};
use super::listening::sound::QUIET;
use super::listening::{Label, Talk};
use super::prompt::{Pack, PhraseId};
use super::srtp::Rejected;
use super::{dtmf, rtcp};

/// What a session gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Output {
    /// A key went down.
    Key(Key),
    /// Nothing more will be told of this press: so it was.
    KeyOver(Key),
    /// More is known of who is there.
    Label(Label),
    /// Somebody begins to speak, or falls silent.
    Talk(Talk),
    /// An RTCP packet to be sent from the RTCP port.
    Rtcp {
        /// Where to.
        to: SocketAddr,
        /// The datagram, as it is to be sent.
        packet: Vec<u8>,
    },
    /// Something odd, told the first time it happens in a call.
    Note(Note),
}

impl From<keys::Told> for Output {
    fn from(told: keys::Told) -> Self {
        match told {
            keys::Told::Down(key) => Self::Key(key),
            keys::Told::Over(key) => Self::KeyOver(key),
        }
    }
}

/// Something odd about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A packet was counted as an anomaly; the first of its kind.
    Odd {
        /// What was odd.
        anomaly: Anomaly,
        /// Where the packet came from.
        from: SocketAddr,
    },
    /// An event that is no key: fax and modem tones are 32 to 36.
    Tone(u8),
    /// The far end's RTCP says that it leaves.
    Bye,
}

/// What can be odd about a packet. But for [`Sequence`](Self::Sequence), it was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anomaly {
    /// It came from another address or port than was negotiated.
    Address,
    /// RTCP came from the right address and another port than RTP's plus one.
    RtcpPort,
    /// It has another SSRC than the packets before it.
    Source,
    /// It has our own SSRC: the line reflects.
    Echo,
    /// Its payload type was not negotiated.
    PayloadType,
    /// It is not RTP, or not RTCP, or cut short.
    Malformed,
    /// It is longer than a packet of ours or theirs can be.
    Oversized,
    /// Its sequence number leaps. Only counted: a telephone-event in it is still heard.
    Sequence,
    /// It is not sealed with the key they told.
    Unauthentic,
    /// It is sealed, and came before.
    Replayed,
}

impl From<Rejected> for Anomaly {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Malformed => Self::Malformed,
            Rejected::Forged => Self::Unauthentic,
            Rejected::Replayed => Self::Replayed,
        }
    }
}

/// Why a session wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A key that is down counts as up.
    KeyUp,
    /// Nothing more will be told of a press.
    KeyOver,
    /// An RTCP report is due.
    Report,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// 20 ms of silence.
    Silence,
    /// 20 ms of a phrase.
    Prompt {
        /// The phrase.
        phrase: PhraseId,
        /// Which 20 ms of it, from 0.
        frame: usize,
    },
    /// 20 ms of a key's tones.
    Tone {
        /// The key.
        digit: Digit,
        /// Which 20 ms of the press, from 0.
        frame: usize,
    },
    /// A step of a key press, in the place of audio.
    Event(events::Step),
}

impl Payload {
    /// The octets to send. A frame the pack does not have is silence.
    #[must_use]
    pub fn bytes<'a>(&'a self, pack: &'a Pack, codec: Codec) -> &'a [u8] {
        match self {
            Self::Silence => codec.silence(),
            Self::Prompt { phrase, frame } => {
                pack.frame(*phrase, codec, *frame).unwrap_or_else(|| codec.silence())
            }
            Self::Tone { digit, frame } => dtmf::frame(*digit, codec, *frame),
            Self::Event(step) => &step.payload,
        }
    }

    /// How loud our voice is in it, in dBm0.
    #[must_use]
    pub fn level(&self, pack: &Pack) -> i16 {
        match self {
            Self::Prompt { phrase, frame } => pack.level(*phrase, *frame).unwrap_or(QUIET),
            Self::Silence | Self::Tone { .. } | Self::Event(_) => QUIET,
        }
    }
}

/// An RTP packet to be sent from the RTP port, once [`MediaSession::datagram`](super::MediaSession::datagram) has put the header
/// and [`Payload::bytes`] together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where to.
    pub to: SocketAddr,
    /// The first 12 octets.
    pub header: [u8; 12],
    /// What follows them.
    pub payload: Payload,
}

impl Packet {
    /// Its RTP timestamp.
    #[must_use]
    pub const fn timestamp(&self) -> u32 {
        let [_, _, _, _, t0, t1, t2, t3, ..] = self.header;
        u32::from_be_bytes([t0, t1, t2, t3])
    }
}

/// How the media of a call went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// RTP packets we sent.
    pub packets_sent: u32,
    /// RTP packets we accepted.
    pub packets_received: u32,
    /// RTP packets that should have come and did not; negative when more came twice.
    pub lost: i64,
    /// The interarrival jitter of the audio we received.
    pub jitter: Duration,
    /// What the far end last said of our packets.
    pub far_end: Option<rtcp::AboutUs>,
    /// How often what was odd.
    pub anomalies: BTreeMap<Anomaly, u32>,
}
