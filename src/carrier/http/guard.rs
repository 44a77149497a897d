//! How a gateway's requests prove where they come from.
//!
//! | guard | signs | its time | its name |
//! |---|---|---|---|
//! | [`Header`](Guard::Header), [`Basic`](Guard::Basic) | nothing: it is a password | – | – |
//! | [`Hmac`](Guard::Hmac) | body | – | – |
//! | [`Plivo`](Guard::Plivo) | URL, fields | – | nonce |
//! | [`StandardWebhooks`](Guard::StandardWebhooks) | id, time, body | five minutes | id |
//! | [`Timestamped`](Guard::Timestamped) | time, body | five minutes | – |
//! | [`Sinch`](Guard::Sinch) | path, type, time, body | five minutes | – |
//!
//! A second request of the same name is a repeat, see [`Heard::once`](crate::carrier::Heard::once).

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

use super::reading::is_name;
use crate::ambient::Timestamp;
use crate::carrier::signature::{self, Hash};
use crate::carrier::{Forged, Hook};

/// How far the time that a request signs may be from ours, before or after.
const WINDOW: Duration = Duration::from_secs(300);

/// How a request proves that it comes from the gateway, beside the token in its address.
#[derive(Clone)]
pub enum Guard {
    /// By nothing else.
    Path,
    /// By a header with a secret in it.
    Header {
        /// Its name.
        name: String,
        /// What it must be.
        secret: Zeroizing<String>,
    },
    /// By HTTP Basic authentication (RFC 7617).
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// By HMAC-SHA256 of the raw body in a header, with or without `sha256=` before it.
    Hmac {
        /// The header's name.
        header: String,
        /// The key.
        secret: Zeroizing<String>,
        /// How it is written.
        encoding: Encoding,
    },
    /// As Plivo signs (V3): URL, fields and a nonce, in `X-Plivo-Signature-V3`, which may hold
    /// the signatures of several tokens, and `X-Plivo-Signature-V3-Nonce`.
    Plivo {
        /// The account's token.
        token: Zeroizing<String>,
    },
    /// As Standard Webhooks are signed: `webhook-id`, `webhook-timestamp` and
    /// `webhook-signature`, which may hold several.
    StandardWebhooks {
        /// The key: the bytes that stand behind `whsec_` in base64.
        key: Zeroizing<Vec<u8>>,
    },
    /// By a header `t=…,v1=…` with the time, in seconds, and HMAC-SHA256 of time, dot and body in
    /// hexadecimal digits: jambonz, ZITADEL, Stripe and their likes. It may hold several `v1`.
    Timestamped {
        /// The header's name.
        header: String,
        /// The key.
        secret: Zeroizing<String>,
    },
    /// As Sinch signs: `Authorization: application KEY:SIGNATURE`, and `x-timestamp`.
    Sinch {
        /// The application's key: its name, no secret.
        application: String,
        /// The application's secret, the bytes that it stands for in base64.
        key: Zeroizing<Vec<u8>>,
    },
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// In hexadecimal digits, of either case.
    Hex,
    /// In base64.
    Base64,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("Path"),
            Self::Header { name, .. } => write!(f, "Header({name})"),
            Self::Basic { .. } => f.write_str("Basic"),
            Self::Hmac { header, .. } => write!(f, "Hmac({header})"),
            Self::Plivo { .. } => f.write_str("Plivo"),
            Self::StandardWebhooks { .. } => f.write_str("StandardWebhooks"),
            Self::Timestamped { header, .. } => write!(f, "Timestamped({header})"),
            Self::Sinch { application, .. } => write!(f, "Sinch({application})"),
        }
    }
}

impl Guard {
    /// Whether it lacks what only the gateway knows, or where to look for it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Path => false,
            Self::Header { name, secret } => name.is_empty() || secret.is_empty(),
            Self::Basic { password, .. } => password.is_empty(),
            Self::Hmac { header, secret, .. } | Self::Timestamped { header, secret } => {
                header.is_empty() || secret.is_empty()
            }
            Self::Plivo { token } => token.is_empty(),
            Self::StandardWebhooks { key } => key.is_empty(),
            Self::Sinch { application, key } => application.is_empty() || key.is_empty(),
        }
    }

    /// Whether the query is as authentic as the body.
    pub(super) const fn covers_query(&self) -> bool {
        match self {
            Self::Path | Self::Header { .. } | Self::Basic { .. } | Self::Plivo { .. } => true,
            Self::Hmac { .. }
            | Self::StandardWebhooks { .. }
            | Self::Timestamped { .. }
            | Self::Sinch { .. } => false,
        }
    }

    /// Whether a request is the gateway's; the name that it signs for itself, if it has one.
    ///
    /// # Errors
    /// When it is not. That a time is wrong is said of a request only that is the gateway's.
    pub(super) fn check(&self, hook: &Hook<'_>) -> Result<Option<String>, Forged> {
        let right = match self {
            Self::Path => true,
            Self::Header { name, secret } => {
                signature::same(header(hook, name)?.as_bytes(), secret.as_bytes())
            }
            Self::Basic { user, password } => {
                let given = header(hook, "authorization")?;
                let scheme = given.get(..6).unwrap_or_default();
                let given = given.get(6..).unwrap_or_default().trim();
                let given = Zeroizing::new(BASE64.decode(given).unwrap_or_default());
                let wanted = Zeroizing::new(format!("{user}:{}", password.as_str()));
                scheme.eq_ignore_ascii_case("basic ") && signature::same(&given, wanted.as_bytes())
            }
            Self::Hmac { header: name, secret, encoding } => {
                let given = header(hook, name)?;
                let given = given.strip_prefix("sha256=").unwrap_or(given);
                let wanted = signature::hmac(Hash::Sha256, secret.as_bytes(), hook.body);
                match encoding {
                    Encoding::Hex => signature::same(
                        given.to_ascii_lowercase().as_bytes(),
                        signature::hex(&wanted).as_bytes(),
                    ),
                    Encoding::Base64 => {
                        signature::same(given.as_bytes(), BASE64.encode(&wanted).as_bytes())
                    }
                }
            }
            Self::Plivo { token } => return plivo(token, hook).map(Some),
            Self::StandardWebhooks { key } => return standard_webhooks(key, hook).map(Some),
            Self::Timestamped { header, secret } => {
                return timestamped(header, secret, hook).map(|()| None);
            }
            Self::Sinch { application, key } => {
                return sinch(application, key, hook).map(|()| None);
            }
        };
        proven(right).map(|()| None)
    }
}

/// A header, by its name in any case.
fn header<'a>(hook: &Hook<'a>, name: &str) -> Result<&'a str, Forged> {
    let found = hook.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str()).ok_or(Forged::Unsigned)
}

const fn proven(right: bool) -> Result<(), Forged> {
    if right { Ok(()) } else { Err(Forged::Signature) }
}

/// Whether one of several signatures is the right one; each is looked at, whichever it is.
fn among<'a>(given: impl Iterator<Item = &'a str>, wanted: &str) -> bool {
    given.fold(false, |found, it| found | signature::same(it.as_bytes(), wanted.as_bytes()))
}

/// A name that a request signs for itself; one that cannot be remembered is none.
fn named(name: &str) -> Result<String, Forged> {
    if is_name(name) { Ok(name.to_owned()) } else { Err(Forged::Unreadable) }
}

fn plivo(token: &str, hook: &Hook<'_>) -> Result<String, Forged> {
    let given = header(hook, "x-plivo-signature-v3")?;
    let nonce = header(hook, "x-plivo-signature-v3-nonce")?;
    let message = plivo_message(hook.url, hook.body, nonce);
    let wanted = BASE64.encode(signature::hmac(Hash::Sha256, token.as_bytes(), message.as_bytes()));
    proven(among(given.split(',').map(str::trim), &wanted))?;
    named(nonce)
}

/// What Plivo signs: the URL with its query decoded and in order, the fields of the form in order,
/// and the nonce. A question mark stands where there is either, a dot between both.
pub(super) fn plivo_message(url: &str, form: &[u8], nonce: &str) -> String {
    let (bare, query) = url.split_once('?').unwrap_or((url, ""));
    let (query, fields) = (in_order(query.as_bytes()), in_order(form));
    let mut message = bare.to_owned();
    if !query.is_empty() || !fields.is_empty() {
        message.push('?');
    }
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    message.push_str(&pairs.join("&"));
    if !query.is_empty() && !fields.is_empty() {
        message.push('.');
    }
    for (name, value) in &fields {
        message.push_str(name);
        message.push_str(value);
    }
    message.push('.');
    message.push_str(nonce);
    message
}

fn in_order(form: &[u8]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = form_urlencoded::parse(form).into_owned().collect();
    fields.sort_unstable();
    fields
}

fn standard_webhooks(key: &[u8], hook: &Hook<'_>) -> Result<String, Forged> {
    let id = header(hook, "webhook-id")?;
    let at = header(hook, "webhook-timestamp")?;
    let given = header(hook, "webhook-signature")?;
    let message = [id.as_bytes(), b".", at.as_bytes(), b".", hook.body].concat();
    let wanted = BASE64.encode(signature::hmac(Hash::Sha256, key, &message));
    // Spaces stand between several; some senders write a comma before them.
    let given = given.split(' ').map(|one| one.strip_suffix(',').unwrap_or(one));
    proven(among(given.filter_map(|one| one.strip_prefix("v1,")), &wanted))?;
    if !signature::fresh(at, hook.now, WINDOW) {
        return Err(Forged::Stale);
    }
    // A dot in it, and the border to the time could be anywhere.
    if id.contains('.') { Err(Forged::Unreadable) } else { named(id) }
}

fn timestamped(name: &str, secret: &str, hook: &Hook<'_>) -> Result<(), Forged> {
    let given = header(hook, name)?;
    let parts = || given.split(',').filter_map(|part| part.trim().split_once('='));
    let values = |name: &'static str| {
        parts().filter(move |(known, _)| *known == name).map(|(_, value)| value)
    };
    let mut times = values("t");
    let (Some(at), None) = (times.next(), times.next()) else { return Err(Forged::Signature) };
    let message = [at.as_bytes(), b".", hook.body].concat();
    let wanted = signature::hex(&signature::hmac(Hash::Sha256, secret.as_bytes(), &message));
    proven(among(values("v1"), &wanted))?;
    if signature::fresh(at, hook.now, WINDOW) { Ok(()) } else { Err(Forged::Stale) }
}

fn sinch(application: &str, key: &[u8], hook: &Hook<'_>) -> Result<(), Forged> {
    let given = header(hook, "authorization")?;
    let at = header(hook, "x-timestamp")?;
    let (scheme, given) = given.split_once(' ').ok_or(Forged::Unsigned)?;
    if !scheme.eq_ignore_ascii_case("application") {
        return Err(Forged::Unsigned);
    }
    let (name, given) = given.rsplit_once(':').ok_or(Forged::Signature)?;
    let content_type = hook.header("content-type").unwrap_or_default();
    let digest = BASE64.encode(Md5::digest(hook.body));
    let path = path(hook.url);
    // What a request says is the same under either method, so it may be signed for either.
    let right = ["POST", "GET"].into_iter().fold(false, |found, method| {
        let message = sinch_message(method, &digest, content_type, at, path);
        let wanted = BASE64.encode(signature::hmac(Hash::Sha256, key, message.as_bytes()));
        found | signature::same(given.as_bytes(), wanted.as_bytes())
    });
    proven(right & signature::same(name.as_bytes(), application.as_bytes()))?;
    let at = moment(at).ok_or(Forged::Stale)?;
    let near = hook.now.since(at) <= WINDOW && at.since(hook.now) <= WINDOW;
    if near { Ok(()) } else { Err(Forged::Stale) }
}

/// What Sinch signs; `digest` is MD5 of the body in base64.
pub(super) fn sinch_message(
    method: &str,
    digest: &str,
    content_type: &str,
    at: &str,
    path: &str,
) -> String {
    format!("{method}\n{digest}\n{content_type}\nx-timestamp:{at}\n{path}")
}

/// The path of a URL, without its query.
fn path(url: &str) -> &str {
    let bare = url.split('?').next().unwrap_or_default();
    let rest = bare.split_once("://").map_or(bare, |(_, rest)| rest);
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
}

/// A time as RFC 3339 writes it, in UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let at = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::default() + at)
}
