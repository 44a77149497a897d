//! A provider's words and ours: each carrier answers pure questions, and the gateway does the rest.
//!
//! | question | from | to |
//! |---|---|---|
//! | [`reach`](Carrier::reach) | – | which channels it carries, and what it tells back |
//! | [`order`](Carrier::order) | an [`Order`] | the request to make |
//! | [`receipt`](Carrier::receipt) | its response | a handle, a cause, or that nobody can tell |
//! | [`hear`](Carrier::hear) | a request it makes to us | forged, or the [`News`] in it and what to answer |
//!
//! Two more belong to them: [`find`](Carrier::find) asks whether an order whose answer was lost
//! was taken after all, and [`end`](Carrier::end) ends a call. No carrier sees a verification or
//! makes evidence: news become signals in the gateway.

pub mod http;
pub mod keypad;
pub mod signature;
pub mod smpp;
pub mod speech;
pub mod telnyx;
pub mod twilio;
pub mod vonage;
pub mod wire;

mod common;
mod spoken;

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use self::wire::{HttpAnswer, HttpRequest};
use crate::ambient::Timestamp;
use crate::verify::number::PhoneNumber;
use crate::verify::request::{Brand, Channel};
use crate::verify::signal::{Cause, Said};
use crate::verify::transaction::Transaction;

/// A provider, as configured.
pub trait Carrier: fmt::Debug + Send + Sync {
    /// What it can carry, and what it tells back.
    fn reach(&self) -> Reach;

    /// The request that carries an order out.
    ///
    /// # Errors
    /// When it cannot be carried out by this carrier at all; nothing was sent then.
    fn order(&self, order: &Order<'_>) -> Result<HttpRequest, Cause>;

    /// What its response to the request of [`order`](Self::order) means.
    fn receipt(&self, channel: Channel, status: u16, body: &[u8]) -> Receipt;

    /// The request that tells whether an order was taken whose answer was lost; `None` where the
    /// carrier has no such look-up.
    fn find(&self, order: &Order<'_>) -> Option<HttpRequest> {
        let _ = order;
        None
    }

    /// What its response to the request of [`find`](Self::find) means: the handle of the order,
    /// [`Receipt::Refused`] when it surely was not taken.
    fn found(&self, order: &Order<'_>, status: u16, body: &[u8]) -> Receipt {
        let _ = (order, status, body);
        Receipt::Unclear
    }

    /// The request that ends the call of this handle, ringing or up; `None` where that cannot be.
    fn end(&self, handle: &str, now: Timestamp) -> Option<HttpRequest> {
        let _ = (handle, now);
        None
    }

    /// What a request of the carrier to us says. Its authenticity is checked on the raw bytes
    /// before anything is read.
    ///
    /// # Errors
    /// When it does not come from the carrier, or cannot be read.
    fn hear(&self, hook: &Hook<'_>) -> Result<Heard, Forged>;
}

/// What a carrier can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Places calls and hears keys.
    pub voice: bool,
    /// Sends texts.
    pub sms: bool,
    /// Passes on the texts that people send.
    pub replies: bool,
    /// Tells whether a text was delivered.
    pub receipts: bool,
    /// Must be able to call us back: it needs `server.public_url`.
    pub calls_back: bool,
    /// Its own voice says any text on a call: also how much is paid to whom.
    pub says_all: bool,
}

/// An attempt as a carrier needs it. It holds an address that is a secret, and shows its name only.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    /// Our name for the attempt; the same whenever the order is written, never a secret.
    pub id: &'a str,
    /// The phone.
    pub to: &'a PhoneNumber,
    /// Where the carrier reports on this attempt: `https://…/hooks/{carrier}/{attempt}/{token}`,
    /// without a slash at its end. A carrier may add `/part` and a query. It is a secret.
    pub hooks: &'a str,
    /// When the attempt began: what the carrier has from before is another order.
    pub since: Timestamp,
    /// What is to be carried.
    pub what: What<'a>,
}

impl fmt::Debug for Order<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Order({})", self.id)
    }
}

/// What is to be carried.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A call.
    Call {
        /// What to ask.
        ask: Ask<'a>,
        /// Keys to send once it is answered, before the person is greeted: digits, `,` and `w` for
        /// half a second and `W` for a whole one.
        extension: Option<&'a str>,
        /// How long it may ring.
        ring: Duration,
        /// How long it may last from its answer.
        limit: Duration,
    },
    /// A text.
    Text {
        /// What it says.
        body: &'a Body,
        /// How long it is worth delivering.
        valid: Duration,
    },
}

impl What<'_> {
    /// The channel it goes by.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        match self {
            Self::Call { .. } => Channel::Voice,
            Self::Text { .. } => Channel::Sms,
        }
    }
}

/// What a call asks, and in whose name.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// BCP 47 tag of the language to speak.
    pub locale: &'a str,
    /// The name the person knows the caller by.
    pub brand: Option<&'a Brand>,
    /// What is to be paid, where it is a payment.
    pub payment: Option<&'a Transaction>,
}

/// What a text says: it holds a code, so it never shows itself, and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(Zeroizing<String>);

impl Body {
    /// A body of this text.
    #[must_use]
    pub const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text. Grep for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} characters)", self.0.chars().count())
    }
}

/// What became of an order, as far as the carrier's response tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Taken; the carrier calls it by this name (a call or message SID).
    Taken(String),
    /// Not taken, surely: another carrier may try.
    Refused(Cause),
    /// Nobody can tell: the response is not one of a request that was understood (a time-out of
    /// a proxy, a fault of the carrier's own). It must not be repeated blindly.
    Unclear,
}

/// A request of a carrier to us. It holds tokens, numbers and codes, and shows none.
#[derive(Clone, Copy)]
pub struct Hook<'a> {
    /// The URL as the carrier knows it: the configured public base, path and query, never `Host`.
    pub url: &'a str,
    /// What stands behind the token, if anything: `voice`, `status`, …
    pub part: Option<&'a str>,
    /// The raw query, without `?`; may be empty.
    pub query: &'a str,
    /// Every header; names in lower case.
    pub headers: &'a [(String, String)],
    /// The raw body.
    pub body: &'a [u8],
    /// When it came.
    pub now: Timestamp,
    /// The attempt it is about; `None` at the address for what people send (`…/inbound`).
    pub scene: Option<Scene<'a>>,
}

impl fmt::Debug for Hook<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hook({:?}, {} bytes)", self.part, self.body.len())
    }
}

impl Hook<'_> {
    /// The first value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The attempt that a hook is about. It holds an address that is a secret, and does not show it.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// As in [`Order::hooks`].
    pub hooks: &'a str,
    /// How the person is reached.
    pub channel: Channel,
    /// What the call asks.
    pub ask: Ask<'a>,
    /// The attempt has ended: nothing is asked any more, a call that is still up is ended.
    pub over: bool,
}

impl fmt::Debug for Scene<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scene({}, over: {})", self.channel.as_str(), self.over)
    }
}

/// What a carrier said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What is new, in the order it was said.
    pub news: Vec<(About, News)>,
    /// The carrier's own name for this event, where a second one under the same name is a repeat
    /// and gets the same answer.
    pub once: Option<String>,
    /// What to answer.
    pub answer: HttpAnswer,
    /// What to ask the carrier for now (the next command of a call).
    pub then: Vec<HttpRequest>,
}

/// Which attempt a piece of news is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The one that the hook's address names.
    This,
    /// The one that the carrier calls by this name.
    Handle(String),
    /// None: a person wrote.
    Nobody,
}

/// Something a carrier tells, in our words. A state that is not known is not news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The carrier has taken the order, and calls it by this name.
    Placed(String),
    /// The phone rings.
    Alerting,
    /// Somebody, or something, answered.
    Engaged,
    /// The question is being spoken.
    Prompting,
    /// The text has left the carrier.
    Sent,
    /// The text is on the phone.
    Delivered,
    /// Keys were pressed, and mean this.
    Said {
        /// What they mean.
        said: Said,
        /// The carrier's own name for the event, kept as proof.
        event: String,
    },
    /// It is over, with what is known of why. A call that ended as calls do is
    /// [`Reason::HungUp`](crate::verify::signal::Reason::HungUp) or `NoInput`.
    Ended(Cause),
    /// A person wrote.
    Text(Text),
}

/// A text that a person sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The carrier's own name for it.
    pub id: String,
    /// Who sent it.
    pub from: PhoneNumber,
    /// The number or short code it was sent to: one of ours.
    pub to: String,
    /// What it says.
    pub body: Body,
}

/// Why a request that claims to be a carrier's is not believed; counted under its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forged {
    /// It carries no signature.
    Unsigned,
    /// Its signature is not the carrier's.
    Signature,
    /// It is older, or newer, than the carrier's requests may be.
    Stale,
    /// Its body is not the one that was signed.
    Altered,
    /// It is signed, and makes no sense.
    Unreadable,
}

impl Forged {
    /// Its word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signature => "signature",
            Self::Stale => "stale",
            Self::Altered => "altered",
            Self::Unreadable => "unreadable",
        }
    }
}
