//! What the gateway is told at start: trunks, routes, tenants, ports. Filled by `config`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::verify::policy::Rules;
use crate::verify::request::Brand;
use crate::verify::route::Table;

/// Everything the gateway needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where records live.
    pub store: StoreSettings,
    /// UDP addresses that SIP is spoken on; port 0 lets the system choose.
    pub sip_listen: Vec<SocketAddr>,
    /// First and last port for RTP, both inclusive; RTP takes the even ones, RTCP the odd.
    pub rtp_ports: (u16, u16),
    /// The address that trunks reach this machine by, where it is not the machine's own.
    pub advertise: Option<IpAddr>,
    /// Media threads; `None` is one per core.
    pub engines: Option<usize>,
    /// How long a phone may ring.
    pub ring_timeout: Duration,
    /// How long a call may last from its answer.
    pub call_limit: Duration,
    /// SIP peers.
    pub trunks: Vec<Trunk>,
    /// Which numbers go by which trunks.
    pub routes: Table,
    /// Who may ask.
    pub tenants: Vec<Tenant>,
}

/// Where records live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// In memory: gone with the process.
    Memory,
    /// On disk, in this folder.
    Directory(PathBuf),
}

/// A SIP peer that carries calls.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its name in routes, records and logs.
    pub name: String,
    /// Host name or IP address of its SIP server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The number shown to the called person, as written (E.164 or what the carrier wants).
    pub caller_id: Option<String>,
    /// User name and password for digest authentication (RFC 7616).
    pub credentials: Option<TrunkCredentials>,
}

/// Digest credentials of a trunk.
#[derive(Clone)]
pub struct TrunkCredentials {
    /// User name.
    pub username: String,
    /// Password; wiped when dropped.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for TrunkCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrunkCredentials(•)")
    }
}

/// A customer of the API, isolated from all others.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// The keys it may present.
    pub keys: Vec<ApiKey>,
    /// What it may do.
    pub rules: Rules,
    /// The language spoken when a request names none (BCP 47).
    pub locale: String,
    /// The name spoken when a request names none.
    pub brand: Option<Brand>,
    /// Where its verdicts go.
    pub webhooks: Vec<Endpoint>,
}

impl Tenant {
    /// The endpoint whose secret signs what goes to `url`: the one of that URL, or else one of the
    /// same origin (scheme, host and port).
    #[must_use]
    pub fn endpoint(&self, url: &str) -> Option<&Endpoint> {
        let origin = |url: &str| reqwest::Url::parse(url).ok().map(|url| url.origin());
        let exact = self.webhooks.iter().find(|endpoint| endpoint.url == url);
        exact.or_else(|| {
            let wanted = origin(url)?;
            self.webhooks.iter().find(|endpoint| origin(&endpoint.url) == Some(wanted.clone()))
        })
    }
}

/// A customer's endpoint for signed events.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// An `https` URL (or `http`, where the tenant allows private webhooks).
    pub url: String,
    /// The secret that signs (Standard Webhooks).
    pub secret: WebhookSecret,
    /// Whether it may resolve to a private address.
    pub allow_private: bool,
}

impl fmt::Debug for Endpoint {
    /// Its origin only: a path may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = reqwest::Url::parse(&self.url).ok().map(|url| url.origin());
        let origin = origin.map(|origin| origin.ascii_serialization()).unwrap_or_default();
        write!(f, "Endpoint({origin})")
    }
}

/// The secret of an endpoint: the raw bytes behind `whsec_…`.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

impl WebhookSecret {
    /// From the raw key.
    #[must_use]
    pub const fn new(key: Zeroizing<Vec<u8>>) -> Self {
        Self(key)
    }

    /// The raw key. Grep for it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(•)")
    }
}

/// An API key as it is kept: its SHA-256. Keys carry at least 128 bits of chance, so a slow hash
/// would add nothing but load.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ApiKey([u8; 32]);

impl ApiKey {
    /// Keeps the hash of a key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Whether `presented` is this key; the time it takes tells nothing.
    #[must_use]
    pub fn matches(&self, presented: &Self) -> bool {
        self.0.ct_eq(&presented.0).into()
    }

    /// The first 8 hexadecimal digits of the hash: a name for logs and lists.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let key = ApiKey::of("otk_0123456789abcdef0123456789abcdef");
        assert!(!format!("{key:?}").contains("otk_"));
        let secret = WebhookSecret::new(Zeroizing::new(b"canary".to_vec()));
        assert!(!format!("{secret:?}").contains("canary"));
        let password = Zeroizing::new("canary".to_owned());
        let credentials = TrunkCredentials { username: "acme".to_owned(), password };
        assert!(!format!("{credentials:?}").contains("canary"));
    }

    #[test]
    fn a_key_matches_itself_alone() {
        let key = ApiKey::of("one");
        assert!(key.matches(&ApiKey::of("one")));
        assert!(!key.matches(&ApiKey::of("two")));
    }
}
