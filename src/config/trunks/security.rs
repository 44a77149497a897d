//! What of a trunk is encrypted, and by which certificates.

use super::entry::Entry;
use super::is_encrypted;
use crate::config::complaint::quoted;
use crate::config::pem;
use crate::config::raw;
use crate::gateway::settings::Tls;
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
            entry.doubtful(name, written, pem::shown(written.get_ref()), message);
        }
    }
    let roots = entry.at(raw.tls_roots.as_ref());
    let key = entry.key("tls_roots");
    let roots = roots.and_then(|file| pem::written(entry.reader, &key, &file));
    let name = raw.tls_name.as_ref().and_then(|written| entry.host("tls_name", written));
    let (certificate, key) =
        (entry.at(raw.tls_certificate.as_ref()), entry.at(raw.tls_key.as_ref()));
    let table = format!("trunks[{}]", entry.i);
    Tls { roots, identity: pem::identity(entry.reader, &table, certificate, key), name }
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
