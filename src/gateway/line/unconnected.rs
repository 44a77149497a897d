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

impl Unconnected {
    /// What whoever runs the trunk can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NoListener(_) => {
                "write a listener of this kind into sip.listen that other machines can reach"
            }
            Self::Refused => {
                "look for a slip in the port and the transport of target: 5060 is usual for udp and \
                 tcp, 5061 for tls"
            }
            Self::TimedOut | Self::Silent => {
                "ask the carrier whether it knows this machine's address, and look for a firewall in \
                 between"
            }
            Self::Unroutable(_) => "see to this machine's network: it has no route to that address",
            Self::Closed => {
                "ask the carrier why: most often it does not know this machine's address, or wants \
                 another transport"
            }
            Self::NotSip(_) => "look for a slip in the port: something else listens there",
            Self::NotTls => {
                "write transport=tcp, or the port at which the carrier speaks TLS (5061 is usual)"
            }
            Self::Expired => {
                "the carrier must renew its certificate; see to this machine's clock, too"
            }
            Self::NotYetValid => "set this machine's clock, or ask the carrier to set its own",
            Self::WrongName { .. } => {
                "write the host that the certificate is for into target, or as tls_name"
            }
            Self::UnknownIssuer => {
                "write the root of the carrier's own authority as tls_roots, where it has one"
            }
            Self::BadCertificate(_) => {
                "the peer must show a certificate made for a server: send it this sentence"
            }
            Self::Unwelcome => {
                "write tls_certificate and tls_key, and give the carrier what signed them"
            }
            Self::Tls(_) => "the carrier must offer TLS 1.2 or 1.3; send it this sentence",
            Self::Unusable(_) => {
                "make the files anew that tls_roots, tls_certificate and tls_key name"
            }
        }
    }
}
