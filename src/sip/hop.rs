//! Where messages go and come from, and what carries them there.

use std::fmt;
use std::net::SocketAddr;

use super::uri::Uri;

/// What carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams: the transactions repeat what is lost.
    Udp,
    /// A stream.
    Tcp,
    /// An encrypted stream.
    Tls,
}

impl Transport {
    /// Whether it repeats what is lost by itself.
    #[must_use]
    pub fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls => true,
        }
    }

    /// Its name in a Via.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// Its name in a URI's `transport` parameter (RFC 3261 § 19.1.1).
    #[must_use]
    pub fn as_param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The one that a `transport` parameter names.
    #[must_use]
    pub fn from_param(param: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls]
            .into_iter()
            .find(|it| it.as_param().eq_ignore_ascii_case(param))
    }

    /// The port where none is written (RFC 3261 § 19.1.2).
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

/// Where a message goes or came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// What carries it.
    pub transport: Transport,
    /// The far end: of a stream that we took, where it came from.
    pub address: SocketAddr,
}

impl Hop {
    /// By datagrams.
    #[must_use]
    pub const fn udp(address: SocketAddr) -> Self {
        Self { transport: Transport::Udp, address }
    }
}

impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.as_param(), self.address)
    }
}

/// A hop, and how the far end reaches us there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where to.
    pub hop: Hop,
    /// Our own address there: Via and Contact.
    pub local: SocketAddr,
}

impl Way {
    /// The URI at which `user` is reached by this way: at its address, or at `host` where the far end
    /// knows us by a name. For Contact (RFC 3261 § 8.1.1.8).
    #[must_use]
    pub fn contact(&self, user: &str, host: Option<&str>) -> Uri {
        let ip = self.local.ip().to_string();
        let contact = Uri::sip(user, host.unwrap_or(&ip), Some(self.local.port()));
        match self.hop.transport {
            Transport::Udp => contact,
            // RFC 3261 § 19.1.1: "The transport parameter determines the transport mechanism to be
            // used for sending SIP messages"; without it, UDP.
            Transport::Tcp | Transport::Tls => contact.transport(self.hop.transport),
        }
    }
}
