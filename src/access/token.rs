//! Tokens that somebody else has signed (JWT, RFC 7519): who may ask is then said by the issuer whose
//! keys are pinned.
//!
//! | what | rule |
//! |---|---|
//! | algorithm | RS256, ES256 or EdDSA: that of the pinned key. A header that names another is refused, so that neither `none` nor a public key taken for a secret passes |
//! | key | the one of the set that has the token's `kid`; nothing in the header leads to a key elsewhere |
//! | time | `exp` is to come, and at most 15 minutes away; `nbf` and `iat` are over |
//! | for whom | `iss` is the issuer, `aud` names us, `sub` is the subject where one is written |
//! | size | 4 KiB |

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Scope;
use crate::ambient::Timestamp;

/// The longest token that is looked at, in bytes.
pub const LONGEST: usize = 4 * 1024;

/// How far away the end of a token may be.
const LIFE_MOST: Duration = Duration::from_secs(15 * 60);

/// How far the issuer's clock may be from ours.
const SKEW: Duration = Duration::from_secs(60);

/// How long a set of keys is used before it is asked for again.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// How long it is used where it cannot be had again.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// How soon it may be asked for again.
const PAUSE: Duration = Duration::from_secs(60);

/// The most keys that are read of a set.
const KEYS_MOST: usize = 64;

/// Whose tokens a tenant takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who signs them: `iss`, to the letter.
    pub issuer: String,
    /// What they must name in `aud`.
    pub audience: String,
    /// The one that they must be about, where not everybody whom the issuer knows may ask.
    pub subject: Option<String>,
    /// What they allow at most.
    pub scopes: BTreeSet<Scope>,
    /// The claim that says which of those a token allows: words with spaces between them, or a list.
    /// Without one, each token allows all of them.
    pub claim: Option<String>,
}

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is none.
    #[error("it is not a signed JWT of at most {LONGEST} bytes")]
    Form,
    /// No tenant takes tokens of this issuer for this audience and subject.
    #[error("no tenant takes tokens of its issuer, audience and subject")]
    Stranger,
    /// More than one does.
    #[error("more than one tenant takes it")]
    Ambiguous,
    /// It is signed otherwise.
    #[error("its algorithm is not that of the key that it names")]
    Algorithm,
    /// The key it names is not among those of the issuer.
    #[error("its kid is not among the issuer's keys")]
    Key,
    /// The signature does not fit.
    #[error("its signature does not fit")]
    Signature,
    /// It is over, or not yet begun.
    #[error("it has expired, or is not yet good, or the clocks differ")]
    Time,
    /// It lasts too long.
    #[error("it lasts longer than 15 minutes from now, or does not say how long")]
    Life,
}

impl Refused {
    /// A word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Stranger => "stranger",
            Self::Ambiguous => "ambiguous",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Time => "time",
            Self::Life => "life",
        }
    }
}

/// A token that was read, and is not believed yet.
pub struct Token<'a> {
    signed: &'a str,
    signature: &'a str,
    head: Head,
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: String,
    crit: Option<Value>,
}

/// What a token that is believed allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Whom it is about, as the issuer names them.
    pub subject: String,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// When it ends.
    pub expires: Timestamp,
}

impl<'a> Token<'a> {
    /// Whether a text looks like one: three parts, the first of which is an object in base64url.
    #[must_use]
    pub fn is_like(text: &str) -> bool {
        text.starts_with("ey") && text.bytes().filter(|&b| b == b'.').count() == 2
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &'a str) -> Result<Self, Refused> {
        if text.len() > LONGEST {
            return Err(Refused::Form);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refused::Form)?;
        let (head, claims) = signed.split_once('.').ok_or(Refused::Form)?;
        let decode = |part: &str| BASE64.decode(part).map_err(|_| Refused::Form);
        let head: Head = serde_json::from_slice(&decode(head)?).map_err(|_| Refused::Form)?;
        // RFC 7515 section 4.1.11: "If any of the listed extension Header Parameters are not
        // understood and supported by the recipient, then the JWS is invalid." We know none.
        if head.crit.is_some() {
            return Err(Refused::Form);
        }
        let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| Refused::Form)?;
        Ok(Self { signed, signature, head, claims })
    }

    /// The name of the key that is said to have signed it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.head.kid
    }

    /// Whether these rules are for such a token.
    #[must_use]
    pub fn is_for(&self, rules: &Rules) -> bool {
        let wanted = &rules.audience;
        // RFC 7519 section 4.1.3: "In the general case, the "aud" value is an array of
        // case-sensitive strings […]. In the special case when the JWT has one audience, the "aud"
        // value MAY be a single case-sensitive string".
        let audience = match self.claims.get("aud") {
            Some(Value::String(one)) => one == wanted,
            Some(Value::Array(all)) => all.iter().any(|it| it.as_str() == Some(wanted)),
            _ => false,
        };
        let subject = rules.subject.as_deref();
        self.text("iss") == Some(&rules.issuer)
            && audience
            && subject.is_none_or(|subject| self.text("sub") == Some(subject))
    }

    /// What it allows, when one of these keys has signed it and its time is now.
    ///
    /// # Errors
    /// Why it opens nothing.
    pub fn admit(&self, rules: &Rules, keys: &KeySet, now: Timestamp) -> Result<Admitted, Refused> {
        if !self.is_for(rules) {
            return Err(Refused::Stranger);
        }
        let key = keys.find(&self.head.kid).ok_or(Refused::Key)?;
        // RFC 8725 section 3.1: "each key MUST be used with exactly one algorithm, and this MUST be
        // checked when the cryptographic operation is performed."
        if self.head.alg != name_of(key.algorithm) {
            return Err(Refused::Algorithm);
        }
        let fits = jsonwebtoken::crypto::verify(
            self.signature,
            self.signed.as_bytes(),
            &key.key,
            key.algorithm,
        );
        if !fits.unwrap_or(false) {
            return Err(Refused::Signature);
        }
        let ends = self.time("exp").ok_or(Refused::Life)?;
        if ends > now + LIFE_MOST + SKEW {
            return Err(Refused::Life);
        }
        let begun = |claim| match self.claims.get(claim) {
            None => true,
            Some(_) => self.time(claim).is_some_and(|begins| begins <= now + SKEW),
        };
        if now >= ends || !begun("nbf") || !begun("iat") {
            return Err(Refused::Time);
        }
        let subject = self.text("sub").unwrap_or_default().to_owned();
        Ok(Admitted { subject, scopes: self.scopes(rules), expires: ends })
    }

    /// The scopes that the token's claim names, as far as the rules allow them.
    fn scopes(&self, rules: &Rules) -> BTreeSet<Scope> {
        let Some(claim) = &rules.claim else { return rules.scopes.clone() };
        let words: Vec<&str> = match self.claims.get(claim) {
            Some(Value::String(words)) => words.split(' ').collect(),
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let named = words.into_iter().filter_map(Scope::parse);
        named.filter(|scope| rules.scopes.contains(scope)).collect()
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).and_then(Value::as_str)
    }

    /// A NumericDate: seconds since the epoch, which may have a fraction (RFC 7519 section 2).
    fn time(&self, claim: &str) -> Option<Timestamp> {
        let seconds = self.claims.get(claim)?;
        let fraction =
            || Duration::try_from_secs_f64(seconds.as_f64()?).ok().map(|it| it.as_secs());
        seconds.as_u64().or_else(fraction).map(Timestamp::from_secs)
    }
}

/// The public keys of an issuer that can check a token.
#[derive(Clone)]
pub struct KeySet(Vec<Known>);

#[derive(Clone)]
struct Known {
    kid: String,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.kid)).finish()
    }
}

impl KeySet {
    /// Reads a JWK Set (RFC 7517 section 5).
    ///
    /// # Errors
    /// When it is none, or has no key that could check a token.
    pub fn read(json: &[u8]) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Written {
            keys: Vec<Value>,
        }
        let written: Written = serde_json::from_slice(json)
            .map_err(|_| "it is not a JWK Set (RFC 7517): an object with a list \"keys\"")?;
        // RFC 7517 section 5: "Implementations SHOULD ignore JWKs within a JWK Set that use "kty"
        // […] values that are not understood by them, that are missing required members, or for
        // which values are out of the supported ranges."
        let keys: Vec<_> =
            written.keys.into_iter().filter_map(Known::read).take(KEYS_MOST).collect();
        if keys.is_empty() {
            return Err("it has no key with a kid that checks RS256, ES256 or EdDSA");
        }
        Ok(Self(keys))
    }

    fn find(&self, kid: &str) -> Option<&Known> {
        self.0.iter().find(|key| key.kid == kid)
    }

    /// Whether it has a key of this name.
    #[must_use]
    pub fn has(&self, kid: &str) -> bool {
        self.find(kid).is_some()
    }
}

impl Known {
    fn read(json: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(json).ok()?;
        // The one algorithm of each kind of key; a secret (`oct`) is no public key.
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            AlgorithmParameters::EllipticCurve(_)
            | AlgorithmParameters::OctetKeyPair(_)
            | AlgorithmParameters::OctetKey(_) => return None,
        };
        let common = &jwk.common;
        let is_for_signatures = common
            .public_key_use
            .as_ref()
            .is_none_or(|it| *it == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|it| it.contains(&KeyOperations::Verify));
        let named = common.key_algorithm.map(|it| it.to_string());
        if !is_for_signatures || named.is_some_and(|it| it != name_of(algorithm)) {
            return None;
        }
        let kid = common.key_id.clone()?;
        Some(Self { kid, algorithm, key: DecodingKey::from_jwk(&jwk).ok()? })
    }
}

/// As headers and keys write it.
const fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "RS256",
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
        Algorithm::HS256
        | Algorithm::HS384
        | Algorithm::HS512
        | Algorithm::ES384
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512
        | Algorithm::RS384
        | Algorithm::RS512 => "",
    }
}

/// The keys of an issuer that publishes them at an address, as far as they are known.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    keys: Option<(Timestamp, KeySet)>,
    asked: Option<Timestamp>,
}

/// What is to be done for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: the keys at hand are good.
    Nothing,
    /// The keys at hand are good, and should be had anew.
    Renew,
    /// The keys must be had first.
    Ask,
}

impl Cache {
    /// What a token that names this key needs. Whoever sends tokens with names that nobody knows has
    /// the issuer asked once a minute at most.
    #[must_use]
    pub fn need(&self, now: Timestamp, kid: &str) -> Need {
        let may_ask = self.asked.is_none_or(|asked| now >= asked + PAUSE);
        let known = self.keys(now).is_some_and(|keys| keys.has(kid));
        let is_old = self.keys.as_ref().is_none_or(|(had, _)| now >= *had + FRESH);
        match (known, may_ask) {
            (true, true) if is_old => Need::Renew,
            (true, _) | (false, false) => Need::Nothing,
            (false, true) => Need::Ask,
        }
    }

    /// The issuer is being asked.
    pub const fn asked(&mut self, now: Timestamp) {
        self.asked = Some(now);
    }

    /// The issuer has answered with these.
    pub fn had(&mut self, now: Timestamp, keys: KeySet) {
        self.keys = Some((now, keys));
    }

    /// The keys that count now.
    #[must_use]
    pub fn keys(&self, now: Timestamp) -> Option<&KeySet> {
        let fresh = |(had, _): &&(Timestamp, KeySet)| now < *had + STALE;
        self.keys.as_ref().filter(fresh).map(|(_, keys)| keys)
    }
}

#[cfg(test)]
mod tests;
