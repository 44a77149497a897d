//! What the gateway is told at start: trunks, routes, tenants, ports. Filled by `config`.

mod otlp;
pub mod tenancy;
mod trunk;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub use self::otlp::OtlpSettings;
pub use super::hep::HepSettings;
pub use super::risk::Risk;
pub use trunk::{
    Asserted, Capacity, Identity, NumberFormat, Registration, RtpPort, Target, Tls, TlsIdentity,
    Trunk, TrunkCredentials,
};

pub use super::webhook::WebhookSecret;
pub use super::webhook::address::{self, Bounds};
pub use super::webhook::event::{self, Filter};
use crate::access::operator::Operator;
use crate::access::{Terms, certificate, token};
use crate::ambient::Timestamp;
use crate::carrier::{Carrier, Reach, smpp};
use crate::media::prompt::Prompts;
use crate::media::script::FraudKeys;
use crate::sip::Hop;
pub use crate::store::{RedisPlace, RedisServer, RedisSettings};
use crate::verify::block::Fraud;
use crate::verify::code;
use crate::verify::limits::Limits;
use crate::verify::money::{Caps, Deck};
use crate::verify::number::PhoneNumber;
use crate::verify::policy::Rules;
use crate::verify::request::Brand;
use crate::verify::route::Table;
use crate::verify::text::Texts;

/// Everything the gateway needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where records live.
    pub store: StoreSettings,
    /// What codes are derived from. `None`: a key that is kept beside the store.
    pub secret: Option<Zeroizing<String>>,
    /// What they were derived from before, the newer first.
    pub older_secrets: Vec<Zeroizing<String>>,
    /// How long what is stored is kept.
    pub keep: Keep,
    /// Where SIP is spoken; port 0 lets the system choose.
    pub sip_listen: Vec<Hop>,
    /// What TLS listeners show.
    pub sip_identity: Option<TlsIdentity>,
    /// First and last port for RTP, both inclusive; RTP takes the even ones, RTCP the odd.
    pub rtp_ports: (u16, u16),
    /// The address that trunks reach this machine by, where it is not the machine's own.
    pub advertise: Option<IpAddr>,
    /// The DNS server to ask; `None` is those of the system.
    pub dns: Option<SocketAddr>,
    /// Who is told of the SIP messages of calls.
    pub hep: Option<HepSettings>,
    /// Who is told of settled verifications as traces.
    pub otlp: Option<OtlpSettings>,
    /// Media threads; `None` is one per core.
    pub engines: Option<usize>,
    /// The most calls that one media thread is given.
    pub calls_per_engine: usize,
    /// How long a phone may ring.
    pub ring_timeout: Duration,
    /// How long a call may last from its answer.
    pub call_limit: Duration,
    /// SIP peers.
    pub trunks: Vec<Trunk>,
    /// How often each is tried that has numbers for it.
    pub selftest_every: Duration,
    /// Providers.
    pub carriers: Vec<Provider>,
    /// Where providers call back: a URL without a slash at its end.
    pub public_url: Option<String>,
    /// The generation of the key that verdicts are signed by, from 1.
    pub verdict_key: u32,
    /// What calls and texts cost.
    pub prices: Option<Arc<Deck>>,
    /// What texts say.
    pub texts: Arc<Texts>,
    /// What calls of our own say.
    pub prompts: Arc<Prompts>,
    /// Which numbers go by which trunks.
    pub routes: Table,
    /// Who may ask.
    pub tenants: Vec<Tenant>,
    /// Who may log in on the operator's listener.
    pub operators: Arc<[Arc<Operator>]>,
    /// How those are read that are made while the gateway runs; `None`: none are made.
    pub form: Option<Arc<dyn tenancy::Form>>,
}

/// How long what is stored is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Verifications, from their birth.
    pub records: Duration,
    /// Entries of the audit log.
    pub audit: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self { records: days(30), audit: days(400) }
    }
}

impl Settings {
    /// A gateway on loopback that keeps nothing, knows nobody, and reaches nobody.
    #[must_use]
    pub fn bare() -> Self {
        Self {
            store: StoreSettings::Memory,
            secret: None,
            older_secrets: Vec::new(),
            keep: Keep::default(),
            sip_listen: vec![Hop::udp(SocketAddr::from(([127, 0, 0, 1], 0)))],
            sip_identity: None,
            rtp_ports: (20_000, 29_999),
            advertise: None,
            dns: None,
            hep: None,
            otlp: None,
            engines: Some(1),
            calls_per_engine: 3_000,
            ring_timeout: Duration::from_secs(45),
            call_limit: Duration::from_secs(90),
            trunks: Vec::new(),
            selftest_every: Duration::from_secs(300),
            carriers: Vec::new(),
            public_url: None,
            verdict_key: 1,
            prices: None,
            texts: Arc::default(),
            prompts: Prompts::compiled().unwrap_or_default(),
            routes: Table::default(),
            tenants: Vec::new(),
            operators: Arc::default(),
            form: None,
        }
    }
}

/// Where records live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// In memory: gone with the process.
    Memory,
    /// On disk, in this folder.
    Directory(PathBuf),
    /// In Redis, which several nodes may share.
    Redis(Box<RedisSettings>),
}

impl StoreSettings {
    /// The folder for what is this node's own. `None`: nothing outlives the process.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Memory => None,
            Self::Directory(folder) => Some(folder),
            Self::Redis(redis) => Some(&redis.folder),
        }
    }
}

/// A provider with an API of its own.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name in routes, records and logs.
    pub name: String,
    /// The number, short code or name that its texts come from.
    pub sender: String,
    /// What stands in the address for texts that people send, where the provider signs nothing.
    pub inbound_token: Option<Zeroizing<String>>,
    /// How it is spoken to.
    pub by: By,
}

/// How a provider is spoken to.
#[derive(Clone, Debug)]
pub enum By {
    /// By HTTP requests, its and ours.
    Http(Arc<dyn Carrier>),
    /// By a session of SMPP.
    Smpp(Box<smpp::Settings>),
}

impl Provider {
    /// What it can carry.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match &self.by {
            By::Http(carrier) => carrier.reach(),
            By::Smpp(_) => smpp::REACH,
        }
    }

    /// Its words, where it speaks HTTP.
    #[must_use]
    pub fn carrier(&self) -> Option<&dyn Carrier> {
        match &self.by {
            By::Http(carrier) => Some(&**carrier),
            By::Smpp(_) => None,
        }
    }
}

/// A customer of the API, isolated from all others.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// The keys it may present, as far as they are configured.
    pub keys: Vec<ConfiguredKey>,
    /// Whose tokens it takes in place of keys, where it takes any.
    pub tokens: Option<Tokens>,
    /// Whose certificates it takes in place of keys.
    pub clients: Vec<Client>,
    /// What it may do.
    pub rules: Rules,
    /// How often it may start verifications.
    pub limits: Limits,
    /// How much it may spend.
    pub caps: Caps,
    /// When ranges, countries and numbers are blocked for it.
    pub fraud: Fraud,
    /// Whether its callers are not to learn who is blocked or has opted out: such a start looks as any
    /// other, and expires.
    pub hide_blocks: bool,
    /// Numbers that pass what is said of their range and country, each until then.
    pub safe: Vec<(PhoneNumber, Timestamp)>,
    /// The language spoken and written when a request names none (BCP 47); `None` is that of the
    /// number's country.
    pub locale: Option<String>,
    /// The name spoken when a request names none.
    pub brand: Option<Brand>,
    /// Where its verdicts go.
    pub webhooks: Vec<Endpoint>,
    /// Who is asked before anything is sent, where somebody is.
    pub risk: Option<Risk>,
    /// For how long a start that asks what is being asked already joins that; zero is never.
    pub join: Duration,
    /// How it texts.
    pub texting: Texting,
    /// How it calls.
    pub calling: Calling,
    /// Nothing is ever sent for it: numbers that are reserved for tests say how it goes.
    pub test: bool,
    /// The trunk that is tried by its calls, where it is nobody but the gateway itself.
    pub tries: Option<String>,
    /// It was removed: what was begun for it is finished, and nobody asks for it any more.
    pub leaving: bool,
}

/// How a tenant texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texting {
    /// How many digits a code has that the caller does not choose.
    pub code_digits: u8,
    /// Whether each further text carries a new code, and the ones before count no more.
    pub new_code: bool,
    /// Whether a person may answer with a plain yes.
    pub yes: bool,
    /// Whether texts say that nobody ever asks for the code.
    pub never_ask: bool,
    /// The site that a browser may fill the code into.
    pub domain: Option<String>,
    /// The hash of the Android application that may read the text.
    pub android_hash: Option<String>,
}

impl Default for Texting {
    fn default() -> Self {
        Self {
            code_digits: code::SHORTEST,
            new_code: false,
            yes: false,
            never_ask: false,
            domain: None,
            android_hash: None,
        }
    }
}

/// How a tenant calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calling {
    /// The fewest digits of a PIN: 4 to 16.
    pub pin_digits: u8,
    /// How many PINs may be entered in a call.
    pub pin_tries: u8,
    /// How many digits are shown that the caller does not choose: 2 to 6.
    pub match_digits: u8,
    /// After how many calls with other digits than those a verification is denied.
    pub match_calls: u8,
    /// The keys that report fraud.
    pub fraud_keys: FraudKeys,
    /// Whether a report must be confirmed by `1`.
    pub confirm_fraud: bool,
    /// The languages to choose from where a request names none: none, or two to nine.
    pub languages: Vec<String>,
    /// Whether calls are slower and wait longer where a request does not say.
    pub accessible: bool,
}

impl Default for Calling {
    fn default() -> Self {
        Self {
            pin_digits: *code::PIN.start(),
            pin_tries: 2,
            match_digits: 3,
            match_calls: 3,
            fraud_keys: FraudKeys::default(),
            confirm_fraud: false,
            languages: Vec::new(),
            accessible: false,
        }
    }
}

impl Tenant {
    /// A tenant without keys, countries or endpoints.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            keys: Vec::new(),
            tokens: None,
            clients: Vec::new(),
            rules: Rules::default(),
            limits: Limits::default(),
            caps: Caps::default(),
            fraud: Fraud::default(),
            hide_blocks: false,
            safe: Vec::new(),
            locale: None,
            brand: None,
            webhooks: Vec::new(),
            risk: None,
            join: Duration::from_secs(30),
            texting: Texting::default(),
            calling: Calling::default(),
            test: false,
            tries: None,
            leaving: false,
        }
    }

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
    /// Where it is: a URL that the [guard](address::read) lets pass.
    pub url: String,
    /// The secrets that are live, the newest first: each signs.
    pub secrets: Vec<WebhookSecret>,
    /// What it is told.
    pub events: Filter,
    /// Where it may be.
    pub bounds: Bounds,
}

impl Endpoint {
    /// An endpoint of the public Internet that is told verdicts.
    #[must_use]
    pub fn new(url: &str, secret: WebhookSecret) -> Self {
        Self {
            url: url.to_owned(),
            secrets: vec![secret],
            events: Filter::default(),
            bounds: Bounds::default(),
        }
    }

    /// Its name for operators and in records, as this tenant's: it says nothing of its path.
    #[must_use]
    pub fn id(&self, tenant: &str) -> String {
        let hash = Sha256::digest(format!("{tenant} {}", self.url));
        let digits: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("ep_{digits}")
    }

    /// Scheme, host and port: a path may hold a token.
    #[must_use]
    pub fn origin(&self) -> String {
        origin(&self.url)
    }
}

/// Scheme, host and port of a URL.
pub(super) fn origin(url: &str) -> String {
    let origin = reqwest::Url::parse(url).ok().map(|url| url.origin());
    origin.map(|origin| origin.ascii_serialization()).unwrap_or_default()
}

impl fmt::Debug for Endpoint {
    /// Its origin only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.origin())
    }
}

/// Tokens that somebody else signs (JWT).
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Whose, and what they allow.
    pub rules: token::Rules,
    /// The keys that check them.
    pub keys: Pinned,
}

/// Where the keys of an issuer are. Nothing in a token leads elsewhere.
#[derive(Clone, Debug)]
pub enum Pinned {
    /// In a file that was read with the configuration.
    File(token::KeySet),
    /// At this address.
    Url(String),
}

/// A key that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredKey {
    /// The key.
    pub key: ApiKey,
    /// What it opens, when and from where.
    pub terms: Terms,
}

impl From<ApiKey> for ConfiguredKey {
    /// One that opens all that concerns verifications, at any time, from everywhere.
    fn from(key: ApiKey) -> Self {
        Self { key, terms: Terms::default() }
    }
}

/// Somebody who shows a certificate in place of a key. That it comes from one of the roots, the listener sees to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The name that the certificate must have.
    pub name: certificate::Name,
    /// What it opens, when and from where.
    pub terms: Terms,
}

/// An API key as the configuration keeps it: its SHA-256. Keys carry at least 128 bits of chance, so a slow hash
/// would add nothing but load.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ApiKey([u8; 32]);

impl ApiKey {
    /// Keeps the hash of a key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// The hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
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
        let credentials = TrunkCredentials { username: "acme".to_owned(), password, realm: None };
        assert!(!format!("{credentials:?}").contains("canary"));
    }
}
