//! SIP as one caller needs it (RFC 3261): messages, transactions, dialogs, one outbound call.
//!
//! Nothing here touches the world. Bytes, times and chance come in; bytes, deadlines and facts go
//! out. The layer knows `ambient` and nothing else of the house.
//!
//! Call order, for who owns the socket:
//! 1. [`message::read`] each datagram. [`Malformed`] goes to [`stateless::refuse_malformed`].
//! 2. Find the [`call::Call`] by [`Message::call_id`] and hand it over as `Input::Received`; a
//!    request that belongs to none goes to [`stateless::refuse`], where a trunk sent it.
//! 3. Send each `Output::Send`, and hand in `Input::Lapsed` when `Call::deadline` has come.
//! 4. Keep the call until `Call::finished`, not only until `Output::Over`.
//!
//! | file | what is in it |
//! |---|---|
//! | `message` | what came in; the only file that names the parser |
//! | `uri`, `method`, `via` | the parts of it |
//! | `frame`, `flow` | messages out of a stream; how a connection lives |
//! | `hop` | where messages go, and what carries them |
//! | `extensions` | what messages say by 100rel, session timers and the like |
//! | `compose` | what goes out: one serialiser, proof against injection |
//! | `digest` | answers to 401 and 407 |
//! | `transaction` | the four machines of § 17, with RFC 6026 |
//! | `dialog` | tags, counters, routes, target |
//! | `call` | one outbound call |
//! | `info` | keys in the body of an INFO |
//! | `stateless` | answers to who belongs to no call |
//! | `locate` | where a host's servers are (RFC 3263) |
//! | `outside` | a request of ours outside any call |
//! | `probe` | OPTIONS: does a server live |
//! | `registration` | REGISTER |
//! | `health` | whether a trunk can be used |
//!
//! # Deviations
//!
//! | what | why |
//! |---|---|
//! | A guard refuses long start lines and heads with hundreds of `;` before the parser sees them (§ 7: no limits) | the parser's check for repeated URI parameters is quadratic; one datagram would hold a core for seconds |
//! | `Date` is never decoded | the parser overflows on a bad one, and nobody needs it |
//! | Responses match by branch and method only, and calls by our own table, as § 17.1.3 says | the parser's own table also compares sent-by, which NATs change |
//! | A bare `z9hG4bK` is refused with 400 | two requests would share one transaction |
//! | A 2xx after a 3xx to 6xx, or after its transaction has ended, is acknowledged and hung up on | § 17.1.1.2 drops it, and leaves a phone off the hook |
//! | Responses are not judged by the spelling of From, To and Contact; nor are requests with a To tag (§ 8.1.1) | a bad display name must not leave a phone off the hook |
//! | A missing Max-Forwards is forgiven (§ 8.1.1.6) | RFC 2543 did not have it, and we forward nothing |
//! | A request with the CSeq of one before it that is no copy of it is out of order (§ 12.2.2: only a lower one is) | it can be nothing else |
//! | No 100 is sent for a re-INVITE (§ 17.2.1) | the owner answers at once |
//! | Of several challenges the strongest is answered, of one realm only, one to a line (RFC 8760 § 2.4: the topmost) | the order is nothing that an attacker cannot change |
//! | A hostname in a route or target is not looked up (RFC 3263): the request goes where the peer's own messages come from; so does one to a private address of a public peer | no names are resolved in a core; a NAT that is not told of itself is the rule, and a peer must not make us knock at our own doors |
//! | No early dialog is ended by BYE (§ 15 allows it) | CANCEL does |
//! | An INVITE that is given up without any response is canceled all the same (§ 9.1: only after a provisional one) | it may ring though nothing of it was heard, and nobody else would stop that; who knows no such INVITE says 481 |
//! | A wildcard in a certificate's DNS name is accepted for one label (RFC 5922 § 7.2: never) | the certificates of real carriers have them |
//! | A pong that does not come ends a connection only where one came before (RFC 5626 § 4.4.1: always) | most peers over TCP know no pongs, and ignore what we send to keep the way open; a machine that is gone is noticed by TCP |
//! | A stream whose Content-Length is missing or no number is closed without an answer (§ 18.3: 400) | where the next message begins cannot be told |
//! | What belongs to no call is answered only where a trunk sent it (§ 8.2: each request gets a response) | nobody else has reason to speak to us, and a scanner must not learn that we are here |
//! | A trunk's OPTIONS outside a call is answered with 200, its INVITE with 403 (§ 11.2: with the same) | trunks watch us by OPTIONS; nobody calls us |
//! | A way is left after 4 s of silence where there is another (RFC 3263 § 4.3: after timer B), and for a 408 before anything rings (only for 503) | somebody waits at the other end of the API; such a 408 is the time-out of a server behind the next hop |
//! | A copy of a reliable provisional response gets a copy of our PRACK (RFC 3262 § 4: it is discarded) | its sender has not seen the first |
//! | A 3xx is followed once, to its best Contact within the trunk (§ 8.1.3.4: to all) | whoever redirects a call could make us call a stranger |
//! | Only the INVITE goes by TCP for its size (§ 18.1.1: every request) | no other request of ours comes near 1,300 bytes |
//! | A challenge from another address than the request went to is not answered over UDP | the password is for the trunk |
//! | OPTIONS that is not answered within 4 s counts as unanswered (§ 17.1.2.2: timer F, 32 s), and so does a REGISTER where there is another server | what matters is whether a call would be answered in time |
//! | A Retry-After above an hour counts as an hour (§ 20.33) | a slip of a carrier must not take it away for days |
//! | Of several transports without NAPTR records the first that has SRV records is taken (RFC 3263 § 4.1: a query for each) | the others would never be used |
//! | A session is asked to last 120 s (RFC 4028 § 4 recommends 1,800), and 1,800 s after a 422 without a useful Min-SE | a call that asks a question is over by then; one whose node has died ends by this timer alone |
//! | The INVITE offers, and never carries an answer | there is nothing to wait for before we know what we send |
//! | Keys of media are offered in RTP/AVP where encryption is preferred and not required (RFC 4568 § 6: only in RTP/SAVP); one with an MKI is not taken | who does not encrypt ignores them, and no second INVITE is needed; see `media/sdp.rs` |

pub mod call;
pub mod compose;
pub mod dialog;
pub mod digest;
mod extensions;
pub mod flow;
pub mod frame;
pub mod health;
pub mod hop;
pub mod info;
pub mod locate;
pub mod message;
pub mod method;
mod outside;
pub mod probe;
pub mod registration;
pub mod stateless;
pub mod transaction;
pub mod uri;
mod via;

pub use call::{Call, Ended, Input, Note, Order, Output, State, Target};
pub use compose::{Request, Response};
pub use dialog::Dialog;
pub use digest::Credentials;
pub use hop::{Hop, Transport, Way};
pub use message::{Incoming, Kind, Malformed, Message};
pub use method::Method;
pub use uri::{NameAddr, Route, Uri};

use std::time::Duration;

/// What the owner of the layer decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// RFC 3261 T1: the estimate of a round trip.
    pub t1: Duration,
    /// RFC 3261 T2: the longest pause between two copies of a request or response.
    pub t2: Duration,
    /// RFC 3261 T4: how long a message may live in the network.
    pub t4: Duration,
    /// How long a next hop may say nothing at all, where another could be tried instead.
    pub silence: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            silence: Duration::from_secs(4),
        }
    }
}

/// Why a deadline is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The INVITE is repeated.
    A,
    /// The INVITE was never answered.
    B,
    /// Copies of the INVITE's final response have died out.
    D,
    /// A request other than INVITE is repeated.
    E,
    /// A request other than INVITE was never answered.
    F,
    /// Our refusal of an INVITE is repeated.
    G,
    /// Our refusal of an INVITE was never acknowledged.
    H,
    /// Copies of the ACK for our refusal have died out.
    I,
    /// Copies of a request we answered have died out.
    J,
    /// Copies of the response to our request have died out.
    K,
    /// Copies of an INVITE we accepted have died out (RFC 6026).
    L,
    /// Copies of the 2xx to our INVITE have died out (RFC 6026).
    M,
    /// Our 2xx to a re-INVITE is repeated, or given up.
    Accept,
    /// It has rung long enough.
    Ring,
    /// The next hop has said nothing for too long.
    Silence,
    /// Nobody answers for the INVITE that was canceled.
    Cancel,
    /// The session is refreshed (RFC 4028).
    Refresh,
    /// Nobody has refreshed the session (RFC 4028).
    Expiry,
}
