//! Signatures of Standard Webhooks, and what makes them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What signs for an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    /// Both ends know it: HMAC-SHA-256, `v1`.
    Shared(Zeroizing<Vec<u8>>),
    /// The seed of a key pair of Ed25519, of which receivers know the public half: `v1a`.
    Own(Zeroizing<Vec<u8>>),
}

impl WebhookSecret {
    /// From the raw key behind `whsec_`, which both ends know.
    #[must_use]
    pub const fn new(key: Zeroizing<Vec<u8>>) -> Self {
        Self(Kind::Shared(key))
    }

    /// From the private key of Ed25519 behind `whsk_`: its seed of 32 bytes, with or without the public
    /// key's 32 behind it. `None`: it is not one.
    #[must_use]
    pub fn ed25519(key: &[u8]) -> Option<Self> {
        let (seed, public) = key.split_at_checked(32)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let fits = public.is_empty() || public == pair.public_key().as_ref();
        fits.then(|| Self(Kind::Own(Zeroizing::new(seed.to_vec()))))
    }

    /// How many bytes of a shared secret there are; a key pair always has enough.
    #[must_use]
    pub fn shared_bytes(&self) -> Option<usize> {
        match &self.0 {
            Kind::Shared(key) => Some(key.len()),
            Kind::Own(_) => None,
        }
    }

    /// What receivers check by, as Standard Webhooks writes it (`whpk_…`), where they need not know the
    /// secret itself.
    #[must_use]
    pub fn public(&self) -> Option<String> {
        let pair = self.pair()?;
        Some(format!("whpk_{}", BASE64.encode(pair.public_key().as_ref())))
    }

    /// One signature over `id.seconds.body`.
    fn sign(&self, id: &str, seconds: u64, body: &str) -> Option<String> {
        let head = format!("{id}.{seconds}.");
        match &self.0 {
            Kind::Shared(key) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
                mac.update(head.as_bytes());
                mac.update(body.as_bytes());
                Some(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
            }
            Kind::Own(_) => {
                let signature = self.pair()?.sign((head + body).as_bytes());
                Some(format!("v1a,{}", BASE64.encode(signature)))
            }
        }
    }

    fn pair(&self) -> Option<Ed25519KeyPair> {
        match &self.0 {
            Kind::Shared(_) => None,
            Kind::Own(seed) => Ed25519KeyPair::from_seed_unchecked(seed).ok(),
        }
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(•)")
    }
}

/// `webhook-signature`: one signature for each secret that is live, "space delimited". Whoever knows one
/// of them finds its own. `None`: a secret cannot sign.
pub(super) fn sign(
    secrets: &[WebhookSecret],
    id: &str,
    seconds: u64,
    body: &str,
) -> Option<String> {
    let signatures: Option<Vec<_>> = secrets.iter().map(|it| it.sign(id, seconds, body)).collect();
    signatures.filter(|signatures| !signatures.is_empty()).map(|signatures| signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    /// The example of the specification's reference libraries.
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SECONDS: u64 = 1_614_265_330;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn shared(text: &str) -> WebhookSecret {
        WebhookSecret::new(Zeroizing::new(BASE64.decode(text).unwrap()))
    }

    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let secret = shared("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(sign(&[secret], ID, SECONDS, BODY).unwrap(), SIGNATURE);
    }

    #[test]
    fn each_live_secret_signs() {
        let secret = shared("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let own = WebhookSecret::ed25519(&[7; 32]).unwrap();
        let header = sign(&[shared("AAAA"), secret, own.clone()], ID, SECONDS, BODY).unwrap();
        let parts: Vec<_> = header.split(' ').collect();
        let [other, known, asymmetric] = parts[..] else { panic!("{header}") };
        assert!(other.starts_with("v1,") && other != SIGNATURE);
        assert_eq!(known, SIGNATURE);
        let public = BASE64.decode(own.public().unwrap().strip_prefix("whpk_").unwrap()).unwrap();
        let signature = BASE64.decode(asymmetric.strip_prefix("v1a,").unwrap()).unwrap();
        let signed = format!("{ID}.{SECONDS}.{BODY}");
        UnparsedPublicKey::new(&ED25519, public).verify(signed.as_bytes(), &signature).unwrap();
        assert_eq!(sign(&[], ID, SECONDS, BODY), None);
    }

    #[test]
    fn only_a_shared_secret_has_a_length_and_only_a_key_pair_a_public_half() {
        let (secret, own) = (shared("AAAA"), WebhookSecret::ed25519(&[7; 32]).unwrap());
        assert_eq!((secret.shared_bytes(), secret.public()), (Some(3), None));
        assert_eq!(own.shared_bytes(), None);
    }

    #[test]
    fn a_private_key_is_a_seed_with_its_own_public_key_or_none() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let whole = [&[7; 32], pair.public_key().as_ref()].concat();
        assert_eq!(WebhookSecret::ed25519(&whole), WebhookSecret::ed25519(&[7; 32]));
        for wrong in [&[7; 31][..], &[7; 33], &[7; 64], &[]] {
            assert_eq!(WebhookSecret::ed25519(wrong), None, "{}", wrong.len());
        }
        assert!(!format!("{:?}", WebhookSecret::ed25519(&[7; 32])).contains('7'));
    }
}
