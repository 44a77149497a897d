//! What of a trunk is encrypted, and by which certificates.

use std::sync::Arc;

use toml::Spanned;

use super::entry::Entry;
use super::is_encrypted;
use crate::config::complaint::quoted;
use crate::config::pem;
use crate::config::raw;
use crate::gateway::settings::{Tls, TlsIdentity};
use crate::media::Srtp;
use crate::sip::Transport;

pub(super) fn tls(
    entry: &mut Entry<'_, '_>,
    raw: &raw::Trunk,
    transport: Option<Transport>,
) -> Tls {
    let keys = [
        ("tls_roots", &raw.tls_roots),
        ("tls_certificate", &raw.tls_certificate),
        ("tls_key", &raw.tls_key),
        ("tls_name", &raw.tls_name),
    ];
    for (name, written) in keys {
        if let Some(written) = written
            && is_encrypted(transport) == Some(false)
        {
            let message = "it does nothing here, since the way to this trunk is not TLS: write \
                           transport=tls in target (or in proxy), or leave it out";
            entry.doubtful(name, written, Some(quoted(written.get_ref())), message);
        }
    }
    let roots =
        raw.tls_roots.as_ref().and_then(|written| certificates(entry, "tls_roots", written));
    let name = raw.tls_name.as_ref().and_then(|written| entry.host("tls_name", written));
    Tls { roots, identity: identity(entry, raw), name }
}

fn identity(entry: &mut Entry<'_, '_>, raw: &raw::Trunk) -> Option<TlsIdentity> {
    match (&raw.tls_certificate, &raw.tls_key) {
        (None, None) => None,
        (Some(certificate), None) => {
            let message = "the key is missing that goes with tls_certificate: write tls_key = \
                           \"FILE\"";
            entry.wrong("tls_key", certificate, None, message);
            None
        }
        (None, Some(key)) => {
            let message = "the certificate is missing that goes with tls_key: write \
                           tls_certificate = \"FILE\"";
            entry.wrong("tls_certificate", key, None, message);
            None
        }
        (Some(certificate), Some(written)) => {
            let chain = certificates(entry, "tls_certificate", certificate)?;
            let path = entry.file("tls_key", written)?;
            match pem::key(&path, &chain) {
                Ok(key) => Some(TlsIdentity { chain, key: Arc::new(key) }),
                Err(why) => {
                    entry.wrong("tls_key", written, Some(quoted(written.get_ref())), why);
                    None
                }
            }
        }
    }
}

fn certificates(
    entry: &mut Entry<'_, '_>,
    name: &str,
    written: &Spanned<String>,
) -> Option<Arc<[u8]>> {
    let path = entry.file(name, written)?;
    let value = Some(quoted(written.get_ref()));
    match pem::certificates(&path, entry.reader.now) {
        Ok(found) => {
            if let Some(warning) = found.warning {
                entry.doubtful(name, written, value, warning);
            }
            Some(found.pem)
        }
        Err(why) => {
            entry.wrong(name, written, value, why);
            None
        }
    }
}

pub(super) fn srtp(
    entry: &mut Entry<'_, '_>,
    raw: &raw::Trunk,
    transport: Option<Transport>,
) -> Srtp {
    let words = [("off", Srtp::Off), ("preferred", Srtp::Preferred), ("required", Srtp::Required)];
    let srtp = entry.word("srtp", raw.srtp.as_ref(), &words).unwrap_or_default();
    let Some(written) = &raw.srtp else { return srtp };
    let value = Some(quoted(written.get_ref()));
    // RFC 4568 section 4.1: "The use of this [key method] requires that the SDP message carrying
    // the keys be protected."
    match (srtp, is_encrypted(transport), raw.srtp_in_clear) {
        (Srtp::Off, ..) | (_, Some(true), _) | (_, _, true) => {}
        (Srtp::Preferred, None, false) => {}
        (Srtp::Preferred, Some(false), false) => {
            let message = "the keys would go in the clear, and are therefore not offered: write \
                           transport=tls in target (or in proxy), or srtp_in_clear = true where \
                           the way itself is protected";
            entry.doubtful("srtp", written, value, message);
        }
        (Srtp::Required, None | Some(false), false) => {
            let message = "the keys would go in the clear: write transport=tls in target (or in \
                           proxy), or srtp_in_clear = true where the way itself is protected";
            entry.wrong("srtp", written, value, message);
        }
    }
    srtp
}
