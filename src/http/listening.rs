//! What a listener shows and believes, and may change while it runs: certificates, and the proxies whose word
//! about their clients counts.

use std::sync::Arc;

use ipnet::IpNet;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;

use super::{Settings, report};
use crate::gateway::settings::TlsIdentity;
use crate::telemetry::{self, Event};

/// What is spoken under TLS, as ALPN has it (RFC 7301): the first that the client knows, too.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];

/// HTTP/2 in ALPN.
pub(super) const HTTP2: &[u8] = b"h2";

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// What it shows.
    pub identity: TlsIdentity,
    /// The roots, PEM, of certificates that clients may show instead of a key; `None` asks for none.
    pub client_roots: Option<Arc<[u8]>>,
}

/// A certificate, key or root cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be spoken: {0}")]
pub struct TlsError(String);

/// The settings of listeners, as they are now. A clone is the same.
#[derive(Clone, Debug)]
pub struct Listening(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Settings,
    present: watch::Sender<Arc<Present>>,
}

/// What holds for connections that come now.
#[derive(Debug)]
pub(super) struct Present {
    /// `None` is in the clear.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// The proxies that are believed.
    pub(super) trusted: Vec<IpNet>,
}

impl Listening {
    /// By these settings.
    ///
    /// # Errors
    /// When TLS cannot be spoken by them.
    pub fn new(settings: Settings) -> Result<Self, TlsError> {
        let (present, _) = watch::channel(Arc::new(Present::of(&settings)?));
        tell_end(&settings);
        Ok(Self(Arc::new(Inner { started: settings, present })))
    }

    /// Goes on by other settings, as far as that is possible: whoever connects from now on is shown the new
    /// certificate. The result names the keys that only a restart can change.
    #[must_use]
    pub fn reload(&self, settings: &Settings) -> Vec<&'static str> {
        let Inner { started, present } = &*self.0;
        let unusable = match Present::of(settings) {
            Ok(now) => {
                present.send_replace(Arc::new(now));
                tell_end(settings);
                false
            }
            Err(error) => {
                report::unusable(&error);
                true
            }
        };
        [
            ("server.tls_certificate", unusable),
            ("server.api_listen", started.api_listen != settings.api_listen),
            ("server.admin_listen", started.admin_listen != settings.admin_listen),
            ("server.max_connections", started.max_connections != settings.max_connections),
        ]
        .into_iter()
        .filter_map(|(key, left)| left.then_some(key))
        .collect()
    }

    /// What the listeners were started with.
    pub(super) fn settings(&self) -> &Settings {
        &self.0.started
    }

    /// What holds now.
    pub(super) fn present(&self) -> Arc<Present> {
        Arc::clone(&self.0.present.borrow())
    }
}

impl Present {
    fn of(settings: &Settings) -> Result<Self, TlsError> {
        let tls = settings.tls.as_ref().map(server).transpose()?;
        Ok(Self { tls, trusted: settings.trusted_proxies.clone() })
    }
}

/// Tells until when the certificate is good.
fn tell_end(settings: &Settings) {
    if let Some(tls) = &settings.tls {
        let event = Event::Certificate { of: "api", ends: tls.identity.ends() };
        telemetry::observe(&event);
    }
}

fn server(tls: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let unusable = |error: &dyn std::fmt::Display| TlsError(error.to_string());
    let chain = certificates(&tls.identity.chain)?;
    let key = PrivateKeyDer::from_pem_slice(&tls.identity.key).map_err(|error| unusable(&error))?;
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let config = match &tls.client_roots {
        None => config.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(pem)? {
                roots.add(root).map_err(|error| unusable(&error))?;
            }
            // Who shows none may still present a key.
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .allow_unauthenticated()
                .build();
            config.with_client_cert_verifier(verifier.map_err(|error| unusable(&error))?)
        }
    };
    let mut config = config.with_single_cert(chain, key).map_err(|error| unusable(&error))?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.map_err(|error| TlsError(error.to_string()))
}
