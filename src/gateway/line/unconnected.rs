//! Why a peer cannot be spoken to, in words for people.

use crate::sip::Hop;

/// Why there is no way to a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconnected {
    /// No SIP listener of this transport and family leads there.
    #[error("no SIP listener can send to {0}")]
    NoListener(Hop),
    /// Its machine answers, and nothing listens there.
    #[error("it refuses the connection: nothing listens at that port")]
    Refused,
    /// Nothing answers.
    #[error("it does not answer in time")]
    TimedOut,
    /// The network does not lead there.
    #[error("the network does not lead there: {0}")]
    Unroutable(String),
    /// It closed the connection.
    #[error("it closes the connection")]
    Closed,
    /// Nobody used the connection, or it said half a message and no more.
    #[error("it says nothing more")]
    Silent,
    /// What it says cannot be cut into messages.
    #[error("it does not speak SIP: {0}")]
    NotSip(String),
    /// It takes the connection, and does not answer in TLS.
    #[error("it does not speak TLS at that port")]
    NotTls,
    /// Its certificate is no longer valid.
    #[error("its certificate has expired")]
    Expired,
    /// Its certificate is not yet valid.
    #[error("its certificate is not valid yet: one of the two clocks is wrong")]
    NotYetValid,
    /// Its certificate is that of another.
    #[error("its certificate is not for {wanted}, but for {}", .found.join(", "))]
    WrongName {
        /// The name that was looked for.
        wanted: String,
        /// The names that are there.
        found: Vec<String>,
    },
    /// Nobody whom we trust has signed its certificate.
    #[error("its certificate is signed by nobody who is trusted here")]
    UnknownIssuer,
    /// Its certificate is of no use for another reason.
    #[error("its certificate cannot be accepted: {0}")]
    BadCertificate(String),
    /// It wants to see a certificate of ours, or does not accept the one that it saw.
    #[error("it does not accept us without a client certificate that it knows")]
    Unwelcome,
    /// The two find no TLS version or cipher in common, or one breaks its rules.
    #[error("TLS fails: {0}")]
    Tls(String),
    /// Our own roots, certificate or key cannot be used.
    #[error("{0}")]
    Unusable(String),
}
