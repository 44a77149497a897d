//! The words of a call: what is ordered, what happens, what comes of it.

use std::fmt;
use std::time::Duration;

use crate::ambient::Timestamp;
use crate::sip::Timer;
use crate::sip::digest::Credentials;
use crate::sip::hop::{Hop, Way};
use crate::sip::info::Pressed;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::uri::{NameAddr, Route, masked};

/// Who is called.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The user part: a number in E.164, as the trunk wants it written.
    pub user: String,
    /// The host, from the trunk's configuration.
    pub host: String,
    /// The port, when it is not the default.
    pub port: Option<u16>,
    /// Whether the user part says that it is a number: `user=phone` (RFC 3261 § 19.1.1).
    pub is_phone: bool,
}

impl Target {
    /// This user at the trunk's own host and the default port.
    #[must_use]
    pub fn new(user: &str, host: &str) -> Self {
        Self { user: user.to_owned(), host: host.to_owned(), port: None, is_phone: false }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", masked(&self.user), self.host)
    }
}

/// One call to make.
#[derive(Clone)]
pub struct Order {
    /// Who is called.
    pub target: Target,
    /// Where the INVITE is sent: the first, and the others in their order when it fails (RFC 3263
    /// § 4.3). Without any the call is unreachable.
    pub ways: Vec<Way>,
    /// Who calls.
    pub from: NameAddr,
    /// The host of Contact, where the trunk knows us by a name; our address by that way otherwise.
    pub contact_host: Option<String>,
    /// Where the INVITE goes through (RFC 3261 § 8.1.2: a pre-existing route set): an outbound proxy,
    /// the Service-Route of a registration (RFC 3608).
    pub routes: Vec<Route>,
    /// More headers of the INVITE: identity (RFC 3325, RFC 3323) and what the trunk asks for.
    pub headers: Vec<(String, String)>,
    /// The addresses, besides those of the ways and the target's own host, that a 3xx may send us
    /// to. A name among them cannot be looked up here, and is refused.
    pub redirects: Vec<String>,
    /// What the trunk lets us in by.
    pub credentials: Option<Credentials>,
    /// How long a session must last at least by this trunk, in seconds, where it has told that by a 422
    /// before ([`Note::SessionRaised`]).
    pub min_session: Option<u32>,
    /// How long it may ring; 45 s unless there is a reason.
    pub ring_timeout: Duration,
    /// Whether nothing else is tried when this call fails: its last way may then be silent for as
    /// long as RFC 3261 allows (timer B, 32 s), and not only for [`Settings::silence`].
    ///
    /// [`Settings::silence`]: crate::sip::Settings::silence
    pub is_last_resort: bool,
}

impl Order {
    /// A call of `target` by these ways, with nothing else to it: it may ring for 45 s, and is the last
    /// resort.
    #[must_use]
    pub fn new(target: Target, ways: Vec<Way>, from: NameAddr) -> Self {
        Self {
            target,
            ways,
            from,
            contact_host: None,
            routes: Vec::new(),
            headers: Vec::new(),
            redirects: Vec::new(),
            credentials: None,
            min_session: None,
            ring_timeout: Duration::from_secs(45),
            is_last_resort: true,
        }
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order")
            .field("target", &self.target)
            .field("ways", &self.ways)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not begun.
    Ready,
    /// The INVITE is out; nothing came back yet.
    Inviting {
        /// When it will have rung long enough.
        ring_until: Timestamp,
        /// When the next hop will have been silent for too long.
        silent_until: Option<Timestamp>,
    },
    /// It shall end, but nothing came back yet, so that CANCEL may not be sent.
    Abandoning {
        /// What will be said of it.
        why: Ended,
    },
    /// A provisional response came.
    Early {
        /// When it will have rung long enough.
        ring_until: Timestamp,
    },
    /// CANCEL is out; the INVITE has no final response yet.
    Canceling {
        /// What will be said of it.
        why: Ended,
        /// When we stop waiting for that response.
        until: Timestamp,
    },
    /// Answered.
    Up,
    /// BYE is out and unanswered. The owner has been told [`Output::Over`].
    Leaving {
        /// What was said of it.
        why: Ended,
    },
    /// Over.
    Over(Ended),
}

impl State {
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Over(_))
    }

    pub(super) fn deadline(&self) -> Option<(Timestamp, Timer)> {
        match self {
            Self::Inviting { ring_until, silent_until: Some(silent) } if silent < ring_until => {
                Some((*silent, Timer::Silence))
            }
            Self::Inviting { ring_until, .. } | Self::Early { ring_until } => {
                Some((*ring_until, Timer::Ring))
            }
            Self::Canceling { until, .. } => Some((*until, Timer::Cancel)),
            Self::Ready | Self::Abandoning { .. } | Self::Up => None,
            Self::Leaving { .. } | Self::Over(_) => None,
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// We ended it before the answer.
    Stopped,
    /// The callee hung up.
    HungUp,
    /// We hung up.
    Left,
    /// A final response said no.
    Rejected {
        /// Its status, 300 to 699.
        status: u16,
        /// The Q.850 cause in its Reason, if there was one.
        q850: Option<u8>,
        /// When to try again, in seconds from now, if it said so (RFC 3261 § 20.33).
        retry_after: Option<u32>,
    },
    /// It rang and nobody answered in time.
    NoAnswer,
    /// Not even a provisional response came.
    NoResponse,
    /// The network could not deliver the INVITE.
    Unreachable,
    /// We were challenged, and our answer was refused or we had none.
    AuthenticationRefused {
        /// 401 or 407.
        status: u16,
    },
    /// The peer broke the protocol.
    Protocol(Why),
    /// Nobody kept the session alive (RFC 4028 § 10), or the peer knows of none any more.
    Expired,
}

impl Ended {
    /// Whether it was the trunk's doing, so that another trunk may do better and this one may be
    /// unwell: no response, no way there, a 408 or 5xx, or credentials that were refused. One with a
    /// Q.850 cause of the normal class (16 to 31, and 1 for a number that nobody has) is a
    /// gateway's translation of what the called side said.
    #[must_use]
    pub const fn is_of_trunk(&self) -> bool {
        match self {
            Self::Rejected { q850: Some(1 | 16..=31), .. } => false,
            Self::Rejected { status: 408 | 500..600, .. } => true,
            Self::NoResponse | Self::Unreachable | Self::AuthenticationRefused { .. } => true,
            Self::Protocol(Why::AckMissing) | Self::Expired => true,
            Self::Stopped | Self::HungUp | Self::Left | Self::NoAnswer => false,
            Self::Rejected { .. } => false,
        }
    }
}

/// How a peer broke the protocol badly enough to end the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Our 2xx to a re-INVITE was never acknowledged.
    AckMissing,
}

/// What happens to a call.
pub enum Input<'a> {
    /// Begin.
    Start,
    /// A message with its Call-ID came in.
    Received {
        /// From where.
        from: Hop,
        /// What.
        message: &'a Message,
    },
    /// A deadline has come.
    Lapsed,
    /// End it, whatever the state.
    Stop,
    /// The answer to [`Output::Offered`]: yes, with this description.
    Accept {
        /// Our answer, or our offer when none was made.
        sdp: Vec<u8>,
    },
    /// The answer to [`Output::Offered`]: no.
    Refuse {
        /// 400 to 699; 488 when the description does not suit.
        status: u16,
    },
    /// Offer this description within the call, as soon as that may be (RFC 3261 § 14.1).
    Offer {
        /// Our offer.
        sdp: Vec<u8>,
    },
    /// The network says that what we sent there did not arrive, or cannot.
    Unreachable {
        /// Where.
        hop: Hop,
    },
}

/// What comes of it.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub enum Output {
    /// Send this.
    Send {
        /// Where to.
        to: Hop,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A provisional response (101 to 199) says how it goes.
    Alerting {
        /// Its status.
        status: u16,
        /// Its session description: early media.
        sdp: Option<Vec<u8>>,
    },
    /// Someone answered.
    Answered {
        /// Its status, 200 to 299.
        status: u16,
        /// Its session description; without one what was agreed before holds.
        sdp: Option<Vec<u8>>,
    },
    /// A re-INVITE or UPDATE wants to change the session: answer at once with [`Input::Accept`] or
    /// [`Input::Refuse`].
    Offered {
        /// What is offered; `None` asks for our offer.
        sdp: Option<Vec<u8>>,
    },
    /// The answer to an offer of ours: in our 200 to a re-INVITE without one, or in a re-INVITE that
    /// refreshes the session.
    Agreed {
        /// The answer.
        sdp: Vec<u8>,
    },
    /// An INFO, already answered with 200, tells of a press.
    Info(Pressed),
    /// Something odd, for the log.
    Note(Note),
    /// It is over, and this is why. Comes exactly once.
    Over(Ended),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |sdp: &Option<Vec<u8>>| sdp.as_ref().map(Vec::len);
        match self {
            Self::Send { to, bytes } => write!(f, "Send({} bytes to {to})", bytes.len()),
            Self::Alerting { status, sdp } => write!(f, "Alerting({status}, {:?})", length(sdp)),
            Self::Answered { status, sdp } => write!(f, "Answered({status}, {:?})", length(sdp)),
            Self::Offered { sdp } => write!(f, "Offered({:?})", length(sdp)),
            Self::Agreed { sdp } => write!(f, "Agreed({})", sdp.len()),
            Self::Info(pressed) => write!(f, "Info({pressed:?})"),
            Self::Note(note) => write!(f, "Note({note:?})"),
            Self::Over(ended) => write!(f, "Over({ended:?})"),
        }
    }
}

/// Something odd that a call saw and coped with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A response to nothing we sent.
    StrayResponse {
        /// Its status.
        status: u16,
    },
    /// A request of our Call-ID that belongs to none of its dialogs.
    StrayRequest {
        /// Its method.
        method: Method,
    },
    /// A request of the dialog that came from another address than its answer.
    OtherSource {
        /// That address.
        from: Hop,
    },
    /// A second phone answered, and was hung up on.
    Fork,
    /// More phones answered than anyone has.
    TooManyForks,
    /// Someone answered while we were canceling, and was hung up on.
    LateAnswer,
    /// The answer had no Contact; we go on with the address we called.
    MissingContact,
    /// A phone that was only ringing sent BYE.
    EarlyBye,
    /// A request was older than one before it.
    OutOfOrder {
        /// Its method.
        method: Method,
    },
    /// An INFO was not listened to.
    InfoRefused {
        /// The status of our answer: 200 for one that came before the call was up.
        status: u16,
    },
    /// [`Input::Accept`] or [`Input::Refuse`] with nothing to answer.
    NothingOffered,
    /// The network did not deliver something that will be repeated.
    Unreachable,
    /// A challenge came from another address than the request went to, and was not answered.
    ForeignChallenge {
        /// That address.
        from: Hop,
    },
    /// A way failed, and the next is tried.
    NextWay {
        /// Where the INVITE goes now.
        to: Hop,
    },
    /// The session that was asked for is too short for the trunk (422), and is asked for so long.
    SessionRaised {
        /// How long, in seconds.
        seconds: u32,
    },
    /// A 3xx sends us to where we may not go, or cannot.
    RedirectRefused {
        /// The host of its most wanted Contact.
        host: String,
    },
    /// The network says that it led the call to another phone than the one that was called.
    Diverted,
}
