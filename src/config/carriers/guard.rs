//! How the requests of a gateway prove where they come from.

use base64::Engine as _;
use toml::Spanned;
use zeroize::Zeroizing;

use super::entry::Entry;
use crate::carrier::http::{Encoding, Guard};
use crate::config::raw::{self, Hidden};
use crate::config::reader::Reader;
use crate::config::tenants::BASE64;

pub(super) fn guard(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Guard> {
    let Some(guard) = &entry.raw.guard else { return Some(Guard::Path) };
    // Taken apart without `..`, so that no new key is forgotten.
    let raw::Guard {
        header,
        user,
        hmac,
        timestamped,
        sinch,
        plivo,
        standard_webhooks,
        secret,
        password,
        encoding,
    } = guard.get_ref();
    let written: Vec<&str> = [
        ("header", header.is_some()),
        ("user", user.is_some()),
        ("hmac", hmac.is_some()),
        ("timestamped", timestamped.is_some()),
        ("sinch", sinch.is_some()),
        ("plivo", plivo.is_some()),
        ("standard_webhooks", standard_webhooks.is_some()),
        ("secret", secret.is_some()),
        ("password", password.is_some()),
        ("encoding", encoding.is_some()),
    ]
    .into_iter()
    .filter_map(|(key, is_written)| is_written.then_some(key))
    .collect();
    let mut read = |key: &str, it: &Option<Spanned<Hidden>>| {
        entry.secret(reader, &format!("guard.{key}"), it.as_ref())
    };
    match written.as_slice() {
        ["header", "secret"] => {
            Some(Guard::Header { name: text(header)?, secret: read("secret", secret)? })
        }
        ["user", "password"] => {
            Some(Guard::Basic { user: text(user)?, password: read("password", password)? })
        }
        ["hmac", "secret"] | ["hmac", "secret", "encoding"] => {
            let words = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
            let secret = read("secret", secret);
            let encoding = entry.word(reader, "guard.encoding", encoding.as_ref(), &words)?;
            Some(Guard::Hmac { header: text(hmac)?, secret: secret?, encoding })
        }
        ["timestamped", "secret"] => {
            Some(Guard::Timestamped { header: text(timestamped)?, secret: read("secret", secret)? })
        }
        ["sinch", "secret"] => {
            let secret = read("secret", secret)?;
            let message = "the secret of an application of Sinch is base64: copy it whole";
            let key = key(reader, entry, "guard.secret", Some(&secret), message)?;
            Some(Guard::Sinch { application: text(sinch)?, key })
        }
        ["plivo"] => Some(Guard::Plivo { token: read("plivo", plivo)? }),
        ["standard_webhooks"] => {
            let secret = read("standard_webhooks", standard_webhooks)?;
            let message = "the secret of Standard Webhooks is whsec_ and base64: copy it whole";
            let encoded = secret.strip_prefix("whsec_");
            let key = key(reader, entry, "guard.standard_webhooks", encoded, message)?;
            Some(Guard::StandardWebhooks { key })
        }
        _ => {
            let message = "write how its requests prove where they come from: one of { header = \
                           \"X-…\", secret = \"env:…\" }, { user = \"…\", password = \"env:…\" }, \
                           { hmac = \"X-…\", secret = \"env:…\" }, { timestamped = \"X-…\", secret \
                           = \"env:…\" }, { plivo = \"env:…\" }, { standard_webhooks = \"env:…\" } \
                           and { sinch = \"…\", secret = \"env:…\" }";
            entry.complain(reader, "guard", message);
            None
        }
    }
}

fn text(written: &Option<Spanned<String>>) -> Option<String> {
    written.as_ref().map(|text| text.get_ref().clone())
}

/// The key that is written in base64.
fn key(
    reader: &mut Reader<'_>,
    entry: &Entry<'_>,
    name: &str,
    encoded: Option<&str>,
    message: &str,
) -> Option<Zeroizing<Vec<u8>>> {
    let key = encoded.and_then(|text| BASE64.decode(text).map(Zeroizing::new).ok());
    let key = key.filter(|key| !key.is_empty());
    if key.is_none() {
        entry.complain(reader, name, message);
    }
    key
}
