//! Certificates and private keys, in PEM files that the configuration names.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use webpki::{EndEntityCert, KeyUsage};
use zeroize::Zeroizing;

use super::complaint::quoted;
use super::reader::{At, Reader};
use crate::ambient::Timestamp;
use crate::gateway::settings::TlsIdentity;

/// The longest file of certificates that is read, in bytes: all roots of a system are a tenth of it.
const LONGEST: u64 = 4 * 1024 * 1024;

/// How long before its end a certificate is warned of.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A file of certificates that could be read.
pub struct Certificates {
    /// The file as it is.
    pub pem: Arc<[u8]>,
    /// What should be looked at: one of them has expired, or will soon.
    pub warning: Option<String>,
}

/// Reads the certificates in a file.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn certificates(path: &Path, now: Timestamp) -> Result<Certificates, String> {
    let shown = path.display();
    let unreadable = |error| format!("the file {shown} cannot be read: {error}");
    let mut pem = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(LONGEST).read_to_end(&mut pem).map_err(unreadable)?;
    let all = chain(&pem).map_err(|why| format!("{shown} {why}"))?;
    let mut ends = Vec::new();
    for certificate in &all {
        webpki::anchor_from_trusted_cert(certificate)
            .map_err(|error| format!("{shown} holds a certificate that cannot be read: {error}"))?;
        ends.extend(ends_before(certificate, now + SOON));
    }
    let warning = ends.into_iter().min().map(|end| {
        let (when, remedy) = (end.to_rfc3339(), "put a new one in its place");
        if end <= now {
            format!("a certificate in {shown} expired on {when}: {remedy}")
        } else {
            format!("a certificate in {shown} expires on {when}: {remedy} before that")
        }
    });
    Ok(Certificates { pem: pem.into(), warning })
}

/// Reads the certificates in a file that a key of the configuration names.
pub(super) fn written(reader: &mut Reader<'_>, key: &str, file: &At<String>) -> Option<Arc<[u8]>> {
    let path = path(reader, key, file)?;
    let value = Some(quoted(&file.value));
    match certificates(&path, reader.now) {
        Ok(found) => {
            if let Some(warning) = found.warning {
                reader.warn(file.place, key, value, warning);
            }
            Some(found.pem)
        }
        Err(why) => {
            reader.complain(file.place, key, value, why);
            None
        }
    }
}

/// Reads a certificate of ours and its key: `tls_certificate` and `tls_key` of this table.
pub(super) fn identity(
    reader: &mut Reader<'_>,
    table: &str,
    certificate: Option<At<String>>,
    key: Option<At<String>>,
) -> Option<TlsIdentity> {
    let (certificate_name, key_name) =
        (format!("{table}.tls_certificate"), format!("{table}.tls_key"));
    match (certificate, key) {
        (None, None) => None,
        (Some(certificate), None) => {
            let message = "the key is missing that goes with tls_certificate: write tls_key = \
                           \"FILE\"";
            reader.complain(certificate.place, &key_name, None, message);
            None
        }
        (None, Some(key)) => {
            let message = "the certificate is missing that goes with tls_key: write \
                           tls_certificate = \"FILE\"";
            reader.complain(key.place, &certificate_name, None, message);
            None
        }
        (Some(certificate), Some(file)) => {
            let chain = written(reader, &certificate_name, &certificate)?;
            let path = path(reader, &key_name, &file)?;
            match key_of(&path, &chain) {
                Ok(key) => Some(TlsIdentity { chain, key: Arc::new(key) }),
                Err(why) => {
                    reader.complain(file.place, &key_name, Some(quoted(&file.value)), why);
                    None
                }
            }
        }
    }
}

/// Where a file is: relative to the configuration's folder.
fn path(reader: &mut Reader<'_>, key: &str, file: &At<String>) -> Option<PathBuf> {
    let text = &file.value;
    if !(text.is_empty() || text.starts_with("file:") || text.starts_with("-----")) {
        return Some(reader.dir.join(text));
    }
    let message = "write the path of a PEM file, and nothing before it; it is relative to the \
                   folder of this configuration";
    reader.complain(file.place, key, shown(text), message);
    None
}

/// What of it may be shown: what begins as PEM may be a key itself.
pub(super) fn shown(written: &str) -> Option<String> {
    (!written.starts_with("-----")).then(|| quoted(written))
}

/// Reads the private key in a file, which must be that of the first certificate.
fn key_of(path: &Path, certificates: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let text = super::secret::read_file(path)?;
    let shown = path.display();
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        format!("{shown} holds no private key in PEM: write one that no passphrase protects")
    })?;
    let chain = chain(certificates)?;
    let provider = rustls::crypto::ring::default_provider();
    match CertifiedKey::from_der(chain, key, &provider) {
        Ok(_) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(format!("the key in {shown} is not that of the first certificate"))
        }
        Err(_) => Err(format!(
            "the key in {shown} is of no kind that TLS can use here: write an RSA key of 2048 bits \
             or more, or one of P-256, P-384 or Ed25519"
        )),
    }
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(_) => {
            Err("holds no certificates in PEM (-----BEGIN CERTIFICATE-----)".to_owned())
        }
    }
}

/// When this certificate ends, where that is before `then`.
fn ends_before(certificate: &CertificateDer<'_>, then: Timestamp) -> Option<Timestamp> {
    let then = UnixTime::since_unix_epoch(then.since(Timestamp::default()));
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    // Nobody is trusted here: it can only fail, and a certificate's time is looked at first.
    let usage = KeyUsage::server_auth();
    match certificate.verify_for_usage(&[], &[], &[], then, usage, None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => {
            Some(Timestamp::from_secs(not_after.as_secs()))
        }
        Ok(_) | Err(_) => None,
    }
}
