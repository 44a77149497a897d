//! A verdict that can be proved: a compact JWS (RFC 7515) by EdDSA (RFC 8037), which a relying party
//! checks against our public keys without asking us.
//!
//! The key pairs are derived from the gateway's keys, so that all nodes that share it sign alike and none is
//! stored. To exchange one, raise the generation: all up to it stay published, and
//! verdicts that were signed by an earlier one can still be checked.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Verification;
use super::code::Vault;
use super::signal::Verdict;
use super::transaction::Transaction;

/// The type of our tokens (RFC 7515 § 4.1.9), so that no other token of ours is taken for a verdict.
pub const TYPE: &str = "verdict+jwt";

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 8 * 1024;

/// What a verdict is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who says so: the gateway's public address, or its name.
    pub iss: String,
    /// For whom: the tenant.
    pub aud: String,
    /// The verification.
    pub jti: String,
    /// When it was settled, in seconds since the epoch.
    pub iat: u64,
    /// The same to the millisecond (RFC 3339).
    pub settled_at: String,
    /// The caller's name for the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The caller's name for the sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// How it ended: a word of the API.
    pub status: String,
    /// Why: a word of the API.
    pub reason: String,
    /// What an approval proves: a word of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance: Option<String>,
    /// What the approval rests on: `press`, `code`, `reply` or `yes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// What was agreed to, where it was a payment: see [`transaction_hash`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_hash: Option<String>,
}

impl Claims {
    /// Those of a verification; `None` while it is pending.
    #[must_use]
    pub fn of(issuer: &str, verification: &Verification) -> Option<Self> {
        let (verdict, at) = (verification.verdict()?, verification.settled_at()?);
        let request = &verification.request;
        let evidence = match verdict {
            Verdict::Approved(evidence) => Some(evidence),
            Verdict::Denied(_)
            | Verdict::Expired(_)
            | Verdict::Failed(_)
            | Verdict::Canceled(_) => None,
        };
        Some(Self {
            iss: issuer.to_owned(),
            aud: verification.tenant.clone(),
            jti: verification.id.to_string(),
            iat: at.as_micros() / 1_000_000,
            settled_at: at.to_rfc3339(),
            sub: request.subject.clone(),
            reference: request.reference.clone(),
            status: verdict.status().as_str().to_owned(),
            reason: verdict.reason().as_str().to_owned(),
            assurance: evidence.map(|it| it.assurance().as_str().to_owned()),
            evidence: evidence.map(|it| it.kind().to_owned()),
            transaction_hash: request.transaction.as_ref().map(transaction_hash),
        })
    }
}

/// What names a payment in a verdict: the SHA-256, in base64url, of its amount, currency and payee, each
/// in UTF-8 behind its length in bytes as four octets, the highest first.
#[must_use]
pub fn transaction_hash(transaction: &Transaction) -> String {
    let parts = [transaction.amount(), transaction.currency(), transaction.payee()];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(part);
    }
    BASE64.encode(hash.finalize())
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// A public key (RFC 7517, RFC 8037 § 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// The key, 32 bytes in base64url.
    pub x: String,
    /// Its thumbprint (RFC 7638).
    pub kid: String,
    /// `sig`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#use: Option<String>,
    /// `EdDSA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
}

/// A set of public keys (RFC 7517 § 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// Signs verdicts.
pub struct Signer {
    issuer: String,
    pair: Ed25519KeyPair,
    kid: String,
    published: Jwks,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Signer {
    /// One that signs by the key of this generation, from 1, of the newest of the gateway's keys, and
    /// publishes all up to it, those of the older ones, too. `None`: there is no such generation.
    #[must_use]
    pub fn new(issuer: &str, vault: &Vault, generation: u32) -> Option<Self> {
        let mut keys = Vec::new();
        for vault in vault.live() {
            for generation in (1..=generation).rev() {
                keys.push(jwk(&pair(&vault, generation)?));
            }
        }
        let (pair, kid) = (pair(vault, generation)?, keys.first()?.kid.clone());
        Some(Self { issuer: issuer.to_owned(), pair, kid, published: Jwks { keys } })
    }

    /// The public keys, the one that signs first.
    #[must_use]
    pub const fn jwks(&self) -> &Jwks {
        &self.published
    }

    /// The verdict of a verification; the same whenever it is computed. `None` while it is pending.
    #[must_use]
    pub fn verdict(&self, verification: &Verification) -> Option<String> {
        let claims = Claims::of(&self.issuer, verification)?;
        let header =
            Header { alg: "EdDSA".to_owned(), typ: TYPE.to_owned(), kid: self.kid.clone() };
        let head = BASE64.encode(serde_json::to_vec(&header).ok()?);
        let body = BASE64.encode(serde_json::to_vec(&claims).ok()?);
        let signed = format!("{head}.{body}");
        let signature = BASE64.encode(self.pair.sign(signed.as_bytes()));
        Some(format!("{signed}.{signature}"))
    }
}

fn pair(vault: &Vault, generation: u32) -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(vault.seed("verdict", generation).as_slice()).ok()
}

fn jwk(pair: &Ed25519KeyPair) -> Jwk {
    let x = BASE64.encode(pair.public_key());
    // RFC 8037, Appendix A.3: the thumbprint is that of the required members, in this order.
    let members = format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{x}\"}}");
    Jwk {
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        kid: BASE64.encode(Sha256::digest(members)),
        x,
        r#use: Some("sig".to_owned()),
        alg: Some("EdDSA".to_owned()),
    }
}

/// Why a text is no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// It is not of the form.
    #[error("it is not a compact JWS of type {TYPE}")]
    Form,
    /// It is signed otherwise than by EdDSA.
    #[error("it is not signed by EdDSA")]
    Algorithm,
    /// It names a key that is not among these.
    #[error("its key is not among those that are published")]
    Key,
    /// The signature does not fit.
    #[error("its signature does not fit: it was changed, or somebody else has made it")]
    Signature,
}

/// What a token says, when one of these keys has signed it. Whether it says what one hopes for is for the
/// reader to compare.
///
/// # Errors
/// When it is not proved.
pub fn check(token: &str, keys: &Jwks) -> Result<Claims, Unproved> {
    let mut parts = token.split('.');
    let (Some(head), Some(body), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Unproved::Form);
    };
    if token.len() > LONGEST {
        return Err(Unproved::Form);
    }
    let decode = |part: &str| BASE64.decode(part).map_err(|_| Unproved::Form);
    let header: Header = serde_json::from_slice(&decode(head)?).map_err(|_| Unproved::Form)?;
    if header.typ != TYPE {
        return Err(Unproved::Form);
    }
    if header.alg != "EdDSA" {
        return Err(Unproved::Algorithm);
    }
    let known = |key: &&Jwk| key.kid == header.kid && key.kty == "OKP" && key.crv == "Ed25519";
    let key = keys.keys.iter().find(known).ok_or(Unproved::Key)?;
    let key = BASE64.decode(&key.x).map_err(|_| Unproved::Key)?;
    let signed = token.get(..head.len() + 1 + body.len()).unwrap_or_default();
    UnparsedPublicKey::new(&ED25519, key)
        .verify(signed.as_bytes(), &decode(signature)?)
        .map_err(|_| Unproved::Signature)?;
    serde_json::from_slice(&decode(body)?).map_err(|_| Unproved::Form)
}

#[cfg(test)]
mod tests;
