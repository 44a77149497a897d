//! What goes into a [`Leg`](super::Leg) and what comes out of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::media::attendant::{self, Extension, Failure};
use crate::media::prompt::{Pack, PhraseId};
use crate::media::script::{self, Close, Lines, Offer, Question};
use crate::media::{self, Codec, Packet, Protection, Srtp, Unusable};
pub use crate::media::{Cue, Is, Key, Label, Path, Quality};
use crate::sip::call;
use crate::sip::{self, Hop, Message};

/// How patient a leg is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of its signalling.
    pub sip: sip::Settings,
    /// Of its dialogue.
    pub script: script::Settings,
    /// Of the way to an extension.
    pub attendant: attendant::Settings,
    /// How long the call may last from its answer; where an extension is dialled, from the moment
    /// that somebody is there.
    pub call_limit: Duration,
    /// A call in which neither RTP nor RTCP came for so long from its answer has no media.
    pub media_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sip: sip::Settings::default(),
            script: script::Settings::default(),
            attendant: attendant::Settings::default(),
            call_limit: Duration::from_secs(90),
            media_grace: Duration::from_secs(20),
        }
    }
}

/// One call to make.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its signalling.
    pub call: call::Order,
    /// Where we take RTP; RTCP is one port above.
    pub rtp: SocketAddr,
    /// Whether its media are encrypted.
    pub srtp: Protection,
    /// How its audio may be coded, the best first.
    pub codecs: Vec<Codec>,
    /// What is asked.
    pub question: Question,
    /// What is dialled once it is answered, before anything is asked.
    pub extension: Option<Extension>,
}

/// A language that a call can be held in.
#[derive(Clone, Debug)]
pub struct Tongue<L> {
    /// Its phrases.
    pub pack: Arc<Pack>,
    /// Those of the dialogue.
    pub lines: L,
}

/// The languages of a call.
#[derive(Clone, Debug)]
pub struct Speech {
    /// The one that is spoken when nobody chooses.
    pub own: Tongue<Lines>,
    /// Those that are offered at its start: none, or two to nine.
    pub offers: Vec<Tongue<Offer>>,
}

/// What happens to a leg.
pub enum Input<'a> {
    /// Begin.
    Start,
    /// A SIP message with its Call-ID came in.
    Sip {
        /// From where.
        from: Hop,
        /// What.
        message: &'a Message,
    },
    /// A datagram came in on the RTP port.
    Rtp {
        /// From where.
        from: SocketAddr,
        /// What.
        datagram: &'a [u8],
    },
    /// A datagram came in on the RTCP port.
    Rtcp {
        /// From where.
        from: SocketAddr,
        /// What.
        datagram: &'a [u8],
    },
    /// A deadline has come.
    Lapsed,
    /// Say this, then hang up; a phone that still rings stops ringing.
    Close(Close),
    /// Hang up at once; a phone that still rings stops ringing.
    Stop,
    /// RTP is taken at this port from now on, and RTCP at the one above it: the far end is told.
    Moved {
        /// The port.
        port: u16,
    },
    /// The network says that what we sent there did not arrive, or cannot.
    Unreachable {
        /// Where.
        hop: Hop,
    },
}

/// What must now happen.
#[derive(Debug)]
#[must_use]
pub enum Output {
    /// Send a SIP message.
    Sip {
        /// Where to.
        to: Hop,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Send a frame from the RTP port, as [`Leg::datagram`](super::Leg::datagram) writes it.
    Rtp {
        /// Header, and what follows it.
        packet: Packet,
        /// How it is to be coded.
        codec: Codec,
    },
    /// Send a report from the RTCP port.
    Rtcp {
        /// Where to.
        to: SocketAddr,
        /// The bytes.
        packet: Vec<u8>,
    },
    /// Something was learned.
    Event(Event),
    /// Something odd was seen, and coped with.
    Note(Note),
}

/// What a leg learned.
#[derive(Clone, Debug)]
pub enum Event {
    /// The far end reports progress.
    Alerting {
        /// The SIP status, 101 to 199.
        status: u16,
    },
    /// Answered.
    Answered {
        /// The SIP status, 200 to 299.
        status: u16,
    },
    /// The extension is being dialled.
    Dialling,
    /// We began to say this phrase; the digits of a code are not told.
    Saying(PhraseId),
    /// The question is being spoken.
    Prompting,
    /// We listen.
    Listening,
    /// The code begins to be told.
    Telling,
    /// A key was heard, whether it counts or not.
    Key(Key),
    /// Nothing more will be told of the press that decided: so it was.
    Proven(Key),
    /// More is known of who is there.
    Label(Label),
    /// The person answered; `key` decided.
    Heard {
        /// What it means.
        said: Said,
        /// The press.
        key: Key,
    },
    /// It is over. Comes exactly once.
    Ended(Ended),
}

/// What keys mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The key that was asked for.
    Confirmed,
    /// The person's own PIN.
    PinEntered,
    /// The digits that the page shows.
    DigitsEntered,
    /// The keys that report fraud.
    FraudReported,
    /// The same, and not the key that confirms the report.
    Declined,
    /// Wrong keys, once too often, or other digits than those of the page.
    WrongKey,
    /// Wrong PINs, once too often.
    WrongPin,
}

/// How a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As its signalling says.
    Call(call::Ended),
    /// The person was asked, and pressed nothing. The call is still up, to be closed.
    NoInput,
    /// It is no person who can be asked. With a machine, a screening service, nobody pressed a key.
    Nobody(Label),
    /// It was answered, and nobody was reached behind the answer.
    Unreached(Failure),
    /// No media ever came from where it was to come from.
    MediaLost {
        /// The address the answer names.
        negotiated: Option<SocketAddr>,
        /// Where RTP came from instead, if any did.
        elsewhere: Option<SocketAddr>,
        /// Whether RTP or RTCP came that was not sealed with the negotiated key.
        unauthentic: bool,
    },
    /// Our session description was refused (488, 606), and it told keys.
    Refused {
        /// The status of the final response.
        status: u16,
        /// The Q.850 cause in its Reason header.
        q850: Option<u8>,
        /// Whether it would have taken media in the clear.
        srtp: Srtp,
    },
    /// The answer's session description cannot be used.
    Unusable(Unusable),
    /// It lasted too long.
    TooLong,
}

/// Something odd.
#[derive(Clone, Debug)]
pub enum Note {
    /// In the signalling.
    Sip(call::Note),
    /// In the media.
    Media(media::Note),
    /// In the dialogue.
    Script(script::Note),
    /// A key was heard before anybody was reached: nothing is asked yet, and it may be the echo of
    /// ours.
    KeyBeforeAsk,
    /// A session description that was offered, and refused with 488.
    Refused(Unusable),
    /// Frames were sent this much too late.
    Late(Duration),
}

/// Why a leg wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Its signalling.
    Sip(sip::Timer),
    /// Its media.
    Media(media::Timer),
    /// Its dialogue.
    Script(script::Timer),
    /// The next 20 ms of audio.
    Frame,
    /// No media came.
    Grace,
    /// It lasts too long.
    Limit,
}
