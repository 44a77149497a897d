//! The tokens of either side (JWT, RFC 7519): ours prove the application, theirs the hook.

use std::fmt::Write as _;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Settings;
use crate::ambient::Timestamp;
use crate::carrier::common::uuid;
use crate::carrier::{Forged, Hook};

/// How long a token of ours is good, in seconds: as the SDK's.
const LIFETIME: u64 = 15 * 60;

/// How far a hook's time may be from ours, in seconds.
const WINDOW: u64 = 300;

#[derive(Serialize)]
struct Ours<'a> {
    application_id: &'a str,
    iat: u64,
    jti: String,
    exp: u64,
}

#[derive(Deserialize)]
struct Theirs {
    iat: u64,
    jti: String,
    exp: Option<u64>,
    payload_hash: Option<String>,
    api_key: Option<String>,
    application_id: Option<String>,
}

/// A token of ours, named after what it is for; `None` when the key does not sign.
pub(super) fn ours(
    key: &EncodingKey,
    application: &str,
    purpose: &str,
    at: Timestamp,
) -> Option<Zeroizing<String>> {
    let iat = at.as_secs();
    let claims = Ours {
        application_id: application,
        iat,
        jti: uuid(&[application, purpose, &iat.to_string()]),
        exp: iat.saturating_add(LIFETIME),
    };
    encode(&Header::new(Algorithm::RS256), &claims, key).ok().map(Zeroizing::new)
}

/// The name of a hook's token, when the token is Vonage's, of now, for us and for this body.
pub(super) fn theirs(hook: &Hook<'_>, settings: &Settings) -> Result<String, Forged> {
    let header = hook.header("authorization").ok_or(Forged::Unsigned)?;
    let (scheme, token) = header.split_once(' ').ok_or(Forged::Unsigned)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Forged::Unsigned);
    }
    // The one algorithm that is right: neither `none` nor a public key taken for a secret. Times
    // are checked below, by the hook's clock.
    let mut rules = Validation::new(Algorithm::HS256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    let key = DecodingKey::from_secret(settings.signature_secret.as_bytes());
    let claims: Value = decode(token, &key, &rules).map_err(|_| Forged::Signature)?.claims;
    let claims: Theirs = serde_json::from_value(claims).map_err(|_| Forged::Unreadable)?;
    // Every account has its own secret, yet one account may have several applications.
    let names = [
        (claims.api_key, settings.api_key.as_str()),
        (claims.application_id, settings.application_id.as_str()),
    ];
    let named = names.iter().any(|(theirs, _)| theirs.is_some());
    if !named || names.iter().any(|(theirs, ours)| theirs.as_ref().is_some_and(|it| it != ours)) {
        return Err(Forged::Signature);
    }
    let now = hook.now.as_secs();
    if now.abs_diff(claims.iat) > WINDOW || claims.exp.is_some_and(|exp| exp < now) {
        return Err(Forged::Stale);
    }
    // Without the hash any body could stand behind the token.
    let hash = Sha256::digest(hook.body).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let signed = claims.payload_hash.unwrap_or_default().to_ascii_lowercase();
    if !bool::from(hash.as_bytes().ct_eq(signed.as_bytes())) {
        return Err(Forged::Altered);
    }
    if claims.jti.is_empty() { Err(Forged::Unreadable) } else { Ok(claims.jti) }
}
