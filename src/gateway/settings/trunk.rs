//! What is told of a trunk: where it is, who we are there, and how much it takes.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::access::certificate;
use crate::ambient::Timestamp;
use crate::media::{Codec, Srtp};
use crate::sip::{Credentials, Transport};
use crate::verify::number::PhoneNumber;
use crate::verify::selftest::Path;

/// A SIP peer that carries calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// Its name in routes, records and logs.
    pub name: String,
    /// Where it is: the host of Request-URI and To.
    pub target: Target,
    /// Where its requests are sent instead, through a Route (an outbound proxy).
    pub proxy: Option<Target>,
    /// User name and password for digest authentication (RFC 7616).
    pub credentials: Option<TrunkCredentials>,
    /// Whether we register there (RFC 3261 section 10).
    pub registration: Option<Registration>,
    /// How its TLS is checked.
    pub tls: Tls,
    /// Whether media are encrypted.
    pub srtp: Srtp,
    /// Whether the keys of media may be written where signalling is not encrypted.
    pub srtp_in_clear: bool,
    /// How the audio of its calls may be coded, the best first; never empty.
    pub codecs: Vec<Codec>,
    /// Which ports its calls have.
    pub rtp_port: RtpPort,
    /// Who calls, and how numbers are written.
    pub identity: Identity,
    /// Hosts, besides the target's own, that a 3xx may send us to.
    pub redirects: Vec<String>,
    /// How often it is asked whether it lives (OPTIONS); `None` is never.
    pub health: Option<Duration>,
    /// How much it takes.
    pub capacity: Capacity,
    /// The numbers of ours that are called on it to try it, and how each one's phone presses; none is never.
    pub selftest: Vec<(Path, PhoneNumber)>,
}

impl Trunk {
    /// A trunk at this target: no credentials, no registration, no encryption, asked every 10 s
    /// whether it lives.
    #[must_use]
    pub fn new(name: &str, target: Target) -> Self {
        Self {
            name: name.to_owned(),
            target,
            proxy: None,
            credentials: None,
            registration: None,
            tls: Tls::default(),
            srtp: Srtp::Off,
            srtp_in_clear: false,
            codecs: Codec::USUAL.to_vec(),
            rtp_port: RtpPort::PerCall,
            identity: Identity::default(),
            redirects: Vec::new(),
            health: Some(Duration::from_secs(10)),
            capacity: Capacity::default(),
            selftest: Vec::new(),
        }
    }

    /// Where its requests are sent.
    #[must_use]
    pub fn first_hop(&self) -> &Target {
        self.proxy.as_ref().unwrap_or(&self.target)
    }
}

/// A place that may have to be looked up (RFC 3263).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Host name or IP address, an IPv6 address without brackets.
    pub host: String,
    /// `None`: as SRV records say, or the transport's own.
    pub port: Option<u16>,
    /// `None`: as NAPTR and SRV records say, or UDP.
    pub transport: Option<Transport>,
}

impl Target {
    /// This address, by datagrams.
    #[must_use]
    pub fn udp(address: SocketAddr) -> Self {
        let (host, port) = (address.ip().to_string(), Some(address.port()));
        Self { host, port, transport: Some(Transport::Udp) }
    }
}

impl fmt::Display for Target {
    /// As a URI.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "sip:[{}]", self.host)?;
        } else {
            write!(f, "sip:{}", self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.transport {
            Some(transport) => write!(f, ";transport={}", transport.as_param()),
            None => Ok(()),
        }
    }
}

/// Digest credentials of a trunk.
#[derive(Clone, PartialEq, Eq)]
pub struct TrunkCredentials {
    /// User name.
    pub username: String,
    /// Password; wiped when dropped.
    pub password: Zeroizing<String>,
    /// The only realm that is answered; `None` is the first that asks.
    pub realm: Option<String>,
}

impl TrunkCredentials {
    /// As challenges are answered by them.
    #[must_use]
    pub fn for_digest(&self) -> Credentials {
        let credentials = Credentials::new(&self.username, &self.password);
        match &self.realm {
            Some(realm) => credentials.for_realm(realm),
            None => credentials,
        }
    }
}

impl fmt::Debug for TrunkCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrunkCredentials(•)")
    }
}

/// A registration.
#[derive(Clone, PartialEq, Eq)]
pub struct Registration {
    /// The user part of the address of record: what the carrier calls the account.
    pub user: String,
    /// How long we ask it to last.
    pub expires: Duration,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// How a trunk's TLS is checked, and what it may check of us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The roots that count, PEM; `None` is those of the system.
    pub roots: Option<Arc<[u8]>>,
    /// Our own certificate and its key.
    pub identity: Option<TlsIdentity>,
    /// The name that its certificate must have (RFC 5922); `None` is the host of its target.
    pub name: Option<String>,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The chain, PEM.
    pub chain: Arc<[u8]>,
    /// The private key, PEM; wiped when dropped.
    pub key: Arc<Zeroizing<Vec<u8>>>,
}

impl TlsIdentity {
    /// When the first certificate of the chain ends, as far as they can be read.
    #[must_use]
    pub fn ends(&self) -> Option<Timestamp> {
        let chain = CertificateDer::pem_slice_iter(&self.chain).filter_map(Result::ok);
        chain.filter_map(|certificate| certificate::ends(&certificate)).min()
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity(•)")
    }
}

/// Which ports a call's media have at our side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RtpPort {
    /// A pair for each call.
    #[default]
    PerCall,
    /// One pair for all calls of a media thread, which are told apart by where their packets come
    /// from: it takes less of the machine, and a trunk that sends each call from a port of its own.
    Shared,
}

/// Who calls, and how numbers are written.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The number shown to the called person: in E.164, or as the carrier wants it.
    pub caller_id: Option<String>,
    /// The host of From; `None` is that of the target.
    pub domain: Option<String>,
    /// The host of Contact; `None` is the address that the trunk reaches us by.
    pub contact_host: Option<String>,
    /// How numbers are written.
    pub format: NumberFormat,
    /// Whether URIs of numbers say `user=phone`.
    pub user_phone: bool,
    /// Which header says who we are to the carrier (RFC 3325).
    pub asserted: Asserted,
    /// Whether the number is kept from the called person (RFC 3323): an anonymous From, and
    /// `Privacy: id`.
    pub private: bool,
    /// More headers of each INVITE, from a list of those that may be written.
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("format", &self.format)
            .field("asserted", &self.asserted)
            .field("private", &self.private)
            .finish_non_exhaustive()
    }
}

/// How a trunk wants numbers written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NumberFormat {
    /// `+4930123456`.
    #[default]
    E164,
    /// `4930123456`.
    Digits,
    /// The number as it is dialled inside its own country of this calling code, `030123456`, and with
    /// the international prefix to any other, `0043…`.
    National {
        /// The calling code of the trunk's country, as 49.
        country: String,
        /// What stands before a number of the same country, as 0; may be empty.
        trunk_prefix: String,
        /// What stands before a calling code, as 00.
        international: String,
    },
    /// What stands before the digits, as a carrier's dialling prefix.
    Prefixed(String),
}

/// The header that tells the carrier who calls (RFC 3325).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asserted {
    /// None: From says it.
    #[default]
    No,
    /// `P-Asserted-Identity`, where the carrier trusts us.
    Asserted,
    /// `P-Preferred-Identity`, where it does not.
    Preferred,
}

/// How much a trunk takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Calls at once.
    pub calls: Option<u32>,
    /// New calls in a second.
    pub per_second: Option<u32>,
}
