//! TLS under SIP: what is trusted, whose name a certificate must have (RFC 5922), who we are.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};
use webpki::EndEntityCert;

use super::Unconnected;
use crate::gateway::settings::{Tls, TlsIdentity};

/// Our side of the connections to one trunk.
///
/// # Errors
/// When its roots, certificate or key cannot be used.
pub(super) fn client(tls: &Tls) -> Result<Arc<ClientConfig>, Unconnected> {
    let provider = Arc::new(ring::default_provider());
    let roots = match &tls.roots {
        Some(pem) => written_roots(pem)?,
        None => system_roots()?,
    };
    let verifier = Arc::new(Verifier { roots, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &tls.identity {
        Some(identity) => {
            let (chain, key) = read(identity)?;
            config.with_client_auth_cert(chain, key).map_err(unusable)?
        }
        None => config.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Our side of the connections that we take.
///
/// # Errors
/// When certificate or key cannot be used.
pub(super) fn server(identity: &TlsIdentity) -> Result<Arc<ServerConfig>, Unconnected> {
    let (chain, key) = read(identity)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    Ok(Arc::new(config))
}

/// The name that a certificate must have.
///
/// # Errors
/// When no certificate could have it.
pub(super) fn name(wanted: &str) -> Result<ServerName<'static>, Unconnected> {
    ServerName::try_from(wanted.trim_end_matches('.').to_owned()).map_err(|_| {
        Unconnected::Unusable(format!("no certificate can be for the name \"{wanted}\""))
    })
}

/// Why a connection failed, as the system or TLS tells it.
pub(super) fn why(error: &io::Error) -> Unconnected {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    if let Some(error) = inner {
        return why_tls(error);
    }
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    ) {
        return Unconnected::Closed;
    }
    match error.kind() == io::ErrorKind::ConnectionRefused {
        true => Unconnected::Refused,
        false if error.kind() == io::ErrorKind::TimedOut => Unconnected::TimedOut,
        false => Unconnected::Unroutable(error.to_string()),
    }
}

fn why_tls(error: &Error) -> Unconnected {
    if let Error::InvalidCertificate(error) = error {
        return why_certificate(error);
    }
    if let Error::AlertReceived(alert) = error {
        let unwelcome = matches!(
            alert,
            AlertDescription::CertificateRequired
                | AlertDescription::NoCertificate
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
        );
        return match unwelcome {
            true => Unconnected::Unwelcome,
            false => Unconnected::Tls(error.to_string()),
        };
    }
    if let Error::InvalidMessage(_) = error {
        return Unconnected::NotTls;
    }
    Unconnected::Tls(error.to_string())
}

fn why_certificate(error: &CertificateError) -> Unconnected {
    if let CertificateError::NotValidForNameContext { expected, presented } = error {
        let wanted = expected.to_str().into_owned();
        let found = presented.iter().map(|name| plain(name).to_owned()).collect();
        return Unconnected::WrongName { wanted, found };
    }
    if matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        return Unconnected::Expired;
    }
    if matches!(error, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. })
    {
        return Unconnected::NotYetValid;
    }
    if let CertificateError::Other(error) = error
        && let Some(webpki::Error::CaUsedAsEndEntity) = error.0.downcast_ref()
    {
        let why = "it is an authority's own (CA:TRUE), and not a server's";
        return Unconnected::BadCertificate(why.to_owned());
    }
    // An issuer of the right name and another key is just as unknown.
    match matches!(error, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
        true => Unconnected::UnknownIssuer,
        false => Unconnected::BadCertificate(error.to_string()),
    }
}

/// A name without the type that rustls writes around it.
fn plain(presented: &str) -> &str {
    let inside = presented.strip_prefix("DnsName(\"").and_then(|rest| rest.strip_suffix("\")"));
    inside.unwrap_or(presented)
}

fn unusable(error: impl fmt::Display) -> Unconnected {
    Unconnected::Unusable(format!("our certificate or key cannot be used: {error}"))
}

fn read(
    identity: &TlsIdentity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Unconnected> {
    let chain = CertificateDer::pem_slice_iter(&identity.chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(unusable)?;
    if chain.is_empty() {
        return Err(unusable("there is no certificate in the file"));
    }
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(unusable)?;
    Ok((chain, key))
}

fn written_roots(pem: &[u8]) -> Result<Arc<RootCertStore>, Unconnected> {
    let unusable =
        |why: &dyn fmt::Display| Unconnected::Unusable(format!("the roots cannot be used: {why}"));
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(pem) {
        let root = root.map_err(|error| unusable(&error))?;
        roots.add(root).map_err(|error| unusable(&error))?;
    }
    match roots.is_empty() {
        true => Err(unusable(&"there is no certificate in the file")),
        false => Ok(Arc::new(roots)),
    }
}

/// The roots of the system, read once.
fn system_roots() -> Result<Arc<RootCertStore>, Unconnected> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    match roots.is_empty() {
        true => Err(Unconnected::Unusable("the system has no roots to trust".to_owned())),
        false => Ok(Arc::clone(roots)),
    }
}

/// Checks a certificate as RFC 5922 wants it.
#[derive(Debug)]
struct Verifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        verify_identity(end_entity, &parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// RFC 5922 § 7.1: "An implementation MUST accept a domain name system (DNS) identifier as a SIP
/// domain identity if and only if no other identity is found that matches the "sip" URI type".
fn verify_identity(
    der: &CertificateDer<'_>,
    parsed: &ParsedCertificate<'_>,
    wanted: &ServerName<'_>,
) -> Result<(), Error> {
    let leaf = EndEntityCert::try_from(der)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let domains: Vec<Cow<'_, str>> = leaf.valid_uri_names().filter_map(sip_domain).collect();
    if domains.is_empty() {
        return verify_server_name(parsed, wanted);
    }
    // § 7.2: "Implementations MUST compare the values as DNS names, which means that the comparison
    // is case insensitive".
    let name = wanted.to_str();
    if domains.iter().any(|domain| domain.eq_ignore_ascii_case(&name)) {
        return Ok(());
    }
    let presented = domains.into_iter().map(|domain| format!("sip:{domain}")).collect();
    let expected = wanted.to_owned();
    Err(CertificateError::NotValidForNameContext { expected, presented }.into())
}

/// § 7.1: "If the scheme of the URI value is "sip", and the URI value that contains a userpart (there
/// is an '@'), the implementation MUST NOT accept the value as a SIP domain identity".
fn sip_domain(uri: &str) -> Option<Cow<'_, str>> {
    let (scheme, rest) = uri.split_once(':')?;
    let authority = rest.split([';', '?']).next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("sip") || authority.contains('@') {
        return None;
    }
    if let Some(v6) = authority.strip_prefix('[') {
        return v6.split(']').next().map(Cow::Borrowed);
    }
    authority.split(':').next().map(Cow::Borrowed)
}

#[cfg(test)]
pub(super) mod tests {
    use rustls::server::WebPkiClientVerifier;

    use super::*;

    /// A server that asks for certificates signed by these roots.
    pub(in crate::gateway::line) fn asking(
        identity: &TlsIdentity,
        roots: &[u8],
    ) -> Arc<ServerConfig> {
        let (chain, key) = read(identity).unwrap();
        let provider = Arc::new(ring::default_provider());
        let roots = written_roots(roots).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.unwrap())
            .with_single_cert(chain, key);
        Arc::new(config.unwrap())
    }
}
