//! What a call did, live, for whoever looks on: the ladder of `demo` and `call`, recordings and
//! captures. Nobody looks on in `serve`; what is kept of its calls can be shown in the same way.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::ambient::Timestamp;
use crate::media::{Codec, sdes};
use crate::sip::Transport;
use crate::verify::VerificationId;

/// The looker-on's end of a gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tap(mpsc::UnboundedSender<Scene>);

impl Tap {
    /// A tap, and where what it sees arrives.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Scene>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Shows a scene, without the keys of its media: captures are passed on.
    pub(super) fn show(&self, mut scene: Scene) {
        if let Act::Packet(Packet { protocol: Protocol::Sip(_), bytes, .. }) = &mut scene.act {
            sdes::mask(bytes);
        }
        // Whoever looked on may have left.
        let _ = self.0.send(scene);
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Scene {
    /// When.
    pub at: Timestamp,
    /// In which verification.
    pub verification: VerificationId,
    /// What.
    pub act: Act,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Act {
    /// A packet left or came: SIP, RTP or RTCP.
    Packet(Packet),
    /// A frame that is said; its packet may be sealed.
    Spoken {
        /// When, on the RTP clock.
        timestamp: u32,
        /// How it is coded.
        codec: Codec,
        /// The audio.
        codes: Vec<u8>,
    },
    /// The extension is being dialled.
    Dialling,
    /// We began to say this.
    Saying(Arc<str>),
    /// A key was heard.
    Key {
        /// The key.
        digit: char,
        /// By which way it came first.
        path: Cow<'static, str>,
    },
    /// More is known of who is there.
    Label {
        /// Who: `human`, `machine`, and the like.
        is: Cow<'static, str>,
        /// What showed it.
        cue: Cow<'static, str>,
        /// How sure that is.
        percent: u8,
    },
}

/// A packet as it was on the wire.
#[derive(Clone, Debug)]
pub struct Packet {
    /// What it carries.
    pub protocol: Protocol,
    /// From.
    pub from: SocketAddr,
    /// To.
    pub to: SocketAddr,
    /// Whether we sent it.
    pub sent: bool,
    /// Its payload; in that of SIP, keys of media are overwritten.
    pub bytes: Vec<u8>,
}

/// What a [`Packet`] carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 3261, by this transport.
    Sip(Transport),
    /// RFC 3550 section 5.
    Rtp,
    /// RFC 3550 section 6.
    Rtcp,
}
