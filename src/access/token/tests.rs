//! Tokens that are good, and every way to be otherwise.

use jsonwebtoken::{EncodingKey, Header, encode};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use rustls::pki_types::PrivatePkcs1KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use super::*;

const NOW: u64 = 1_795_500_000;

/// Made for tests, and good for nothing else.
const RSA: &str = include_str!("../../carrier/vonage/tests/key.pem");

fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

fn rules() -> Rules {
    Rules {
        issuer: "https://idp.example".to_owned(),
        audience: "verify".to_owned(),
        subject: None,
        scopes: [Scope::Start, Scope::Check].into(),
        claim: None,
    }
}

fn claims() -> Value {
    json!({"iss": "https://idp.example", "aud": "verify", "sub": "svc", "exp": NOW + 600, "iat": NOW})
}

/// Keys of the three kinds, and the set that an issuer publishes of them.
struct Issuer {
    rsa: EncodingKey,
    ec: EncodingKey,
    ed: EncodingKey,
    set: Value,
}

fn issuer() -> Issuer {
    let chance = SystemRandom::new();
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &chance).unwrap();
    let ed = Ed25519KeyPair::generate_pkcs8(&chance).unwrap();
    let ec_pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &chance).unwrap();
    let ed_pair = Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap();
    let rsa = PrivatePkcs1KeyDer::from_pem_slice(RSA.as_bytes()).unwrap();
    let rsa = RsaKeyPair::from_der(rsa.secret_pkcs1_der()).unwrap();
    let rsa = PublicKeyComponents::<Vec<u8>>::from(rsa.public());
    let (x, y) = ec_pair.public_key().as_ref()[1..].split_at(32);
    let text = |bytes: &[u8]| BASE64.encode(bytes);
    let set = json!({"keys": [
        {"kty": "RSA", "kid": "r", "n": text(&rsa.n), "e": text(&rsa.e)},
        {"kty": "EC", "crv": "P-256", "kid": "e", "x": text(x), "y": text(y)},
        {"kty": "OKP", "crv": "Ed25519", "kid": "d", "x": text(ed_pair.public_key().as_ref())},
        // What a set may have besides, and no token is checked by.
        {"kty": "oct", "kid": "s", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "enc", "use": "enc", "x": text(&[1; 32])},
        {"kty": "OKP", "crv": "X25519", "kid": "dh", "x": text(&[1; 32])},
        {"kty": "PQ", "kid": "tomorrow"},
        {"kty": "EC", "crv": "P-384", "kid": "e3", "x": text(&[1; 48]), "y": text(&[1; 48])},
    ]});
    Issuer {
        rsa: EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap(),
        ec: EncodingKey::from_ec_der(ec.as_ref()),
        ed: EncodingKey::from_ed_der(ed.as_ref()),
        set,
    }
}

impl Issuer {
    fn keys(&self) -> KeySet {
        KeySet::read(self.set.to_string().as_bytes()).unwrap()
    }

    /// By the Ed25519 key.
    fn signed(&self, claims: &Value) -> String {
        signed(Algorithm::EdDSA, "d", claims, &self.ed)
    }
}

fn signed(algorithm: Algorithm, kid: &str, claims: &Value, key: &EncodingKey) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
    encode(&header, claims, key).unwrap()
}

fn admit(token: &str, keys: &KeySet) -> Result<Admitted, Refused> {
    Token::read(token)?.admit(&rules(), keys, now())
}

/// A token of this head and these claims, with this signature.
fn made(head: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| BASE64.encode(value.to_string());
    format!("{}.{}.{}", part(head), part(claims), BASE64.encode(signature))
}

#[test]
fn each_of_the_three_algorithms_is_taken_with_the_key_of_its_kind() {
    let issuer = issuer();
    let keys = issuer.keys();
    for (algorithm, kid, key) in [
        (Algorithm::RS256, "r", &issuer.rsa),
        (Algorithm::ES256, "e", &issuer.ec),
        (Algorithm::EdDSA, "d", &issuer.ed),
    ] {
        let token = signed(algorithm, kid, &claims(), key);
        assert!(Token::is_like(&token));
        let admitted = admit(&token, &keys).unwrap();
        assert_eq!((admitted.subject.as_str(), admitted.scopes), ("svc", rules().scopes), "{kid}");
        assert_eq!(admitted.expires, Timestamp::from_secs(NOW + 600));
        // The same under the name of another key, and with one character changed.
        for other in ["r", "e", "d", "s", "enc", "e3", "x"].into_iter().filter(|it| *it != kid) {
            assert!(admit(&signed(algorithm, other, &claims(), key), &keys).is_err(), "{other}");
        }
        let (head, signature) = token.rsplit_once('.').unwrap();
        let changed =
            signature.replacen(|_| true, if signature.starts_with('A') { "B" } else { "A" }, 1);
        assert_eq!(admit(&format!("{head}.{changed}"), &keys), Err(Refused::Signature));
    }
    for other in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let token = signed(other, "r", &claims(), &issuer.rsa);
        assert_eq!(admit(&token, &keys), Err(Refused::Algorithm), "{other:?}");
    }
}

#[test]
fn no_algorithm_a_public_key_as_a_secret_and_a_path_for_a_name_open_nothing() {
    let issuer = issuer();
    let keys = issuer.keys();
    for alg in ["none", "None", "NONE", ""] {
        for signature in [&b""[..], &[0; 64]] {
            let token = made(&json!({"alg": alg, "kid": "d"}), &claims(), signature);
            assert_eq!(admit(&token, &keys), Err(Refused::Algorithm), "{alg:?}");
        }
    }
    // Whatever of the public key an attacker takes for a secret.
    for kid in ["r", "e", "d"] {
        let key =
            issuer.set["keys"].as_array().unwrap().iter().find(|it| it["kid"] == kid).unwrap();
        let member = key.get("n").or(key.get("x")).unwrap().as_str().unwrap();
        for secret in [member.as_bytes().to_vec(), BASE64.decode(member).unwrap(), RSA.into()] {
            let secret = EncodingKey::from_secret(&secret);
            let token = signed(Algorithm::HS256, kid, &claims(), &secret);
            assert_eq!(admit(&token, &keys), Err(Refused::Algorithm), "{kid}");
        }
    }
    let secret = EncodingKey::from_secret(b"secret-secret-secret-secret-secr");
    let token = signed(Algorithm::HS256, "s", &claims(), &secret);
    assert_eq!(admit(&token, &keys), Err(Refused::Key));
    for kid in ["../../etc/passwd", "/dev/null", "https://evil.example/keys", "' OR 1=1 --", ""] {
        let token = signed(Algorithm::EdDSA, kid, &claims(), &issuer.ed);
        assert_eq!(admit(&token, &keys), Err(Refused::Key), "{kid:?}");
    }
    // A key that the token brings along.
    let head = json!({"alg": "EdDSA", "jwk": issuer.set["keys"][2], "jku": "https://evil.example"});
    assert_eq!(admit(&made(&head, &claims(), &[0; 64]), &keys), Err(Refused::Form));
    let head = json!({"alg": "EdDSA", "kid": "d", "crit": ["b64"], "b64": false});
    assert_eq!(admit(&made(&head, &claims(), &[0; 64]), &keys), Err(Refused::Form));
}

#[test]
fn a_token_is_for_us_of_now_and_short() {
    let issuer = issuer();
    let keys = issuer.keys();
    let with = |claim: &str, value: Value| {
        let mut claims = claims();
        claims[claim] = value;
        admit(&issuer.signed(&claims), &keys).map(|_| ())
    };
    for (claim, value, refused) in [
        ("iss", json!("https://idp.example/"), Refused::Stranger),
        ("iss", json!(null), Refused::Stranger),
        ("aud", json!("other"), Refused::Stranger),
        ("aud", json!(["other"]), Refused::Stranger),
        ("aud", json!([["verify"]]), Refused::Stranger),
        ("aud", json!({"verify": 1}), Refused::Stranger),
        ("exp", json!(NOW), Refused::Time),
        ("exp", json!(NOW - 1), Refused::Time),
        ("exp", json!(0), Refused::Time),
        ("exp", json!(-1), Refused::Life),
        ("exp", json!("soon"), Refused::Life),
        ("exp", json!(null), Refused::Life),
        ("exp", json!(1e300), Refused::Life),
        ("exp", json!(NOW + 15 * 60 + 61), Refused::Life),
        ("nbf", json!(NOW + 61), Refused::Time),
        ("nbf", json!("now"), Refused::Time),
        ("iat", json!(NOW + 61), Refused::Time),
    ] {
        assert_eq!(with(claim, value.clone()), Err(refused), "{claim} {value}");
    }
    for (claim, value) in [
        ("aud", json!(["other", "verify"])),
        ("exp", json!(NOW + 1)),
        ("exp", json!(NOW as f64 + 1.5)),
        ("exp", json!(NOW + 15 * 60)),
        ("nbf", json!(NOW + 60)),
        ("sub", json!("another")),
    ] {
        assert_eq!(with(claim, value.clone()), Ok(()), "{claim} {value}");
    }
}

#[test]
fn what_is_no_token_is_refused_before_anything_is_computed() {
    let keys = issuer().keys();
    let long = format!("ey{}.{}.{}", "e".repeat(5_000), "y".repeat(5_000), "x");
    assert!(Token::is_like(&long));
    let array = format!("{}.{}.", BASE64.encode("[]"), BASE64.encode("[]"));
    for bad in ["", ".", "..", "ey", "ey..", "ey.ey.ey", "ey.ey.ey.ey", &long, &array] {
        assert_eq!(admit(bad, &keys), Err(Refused::Form), "{bad:?}");
    }
    let padded = format!("{}=.e30.AA", BASE64.encode(r#"{"alg":"EdDSA","kid":"d"}"#));
    assert_eq!(admit(&padded, &keys), Err(Refused::Form));
}

#[test]
fn a_claim_allows_less_and_never_more() {
    let issuer = issuer();
    let keys = issuer.keys();
    let rules = Rules { claim: Some("scope".to_owned()), ..rules() };
    for (claim, wanted) in [
        (json!("openid check"), vec![Scope::Check]),
        (json!("start check admin"), vec![Scope::Start, Scope::Check]),
        (json!(["start", 7]), vec![Scope::Start]),
        (json!("start,check"), vec![]),
        (json!(null), vec![]),
        (json!({"start": true}), vec![]),
    ] {
        let mut claims = claims();
        claims["scope"] = claim.clone();
        let token = issuer.signed(&claims);
        let admitted = Token::read(&token).unwrap().admit(&rules, &keys, now()).unwrap();
        assert_eq!(admitted.scopes, wanted.into_iter().collect(), "{claim}");
    }
    let one = Rules { subject: Some("svc".to_owned()), ..rules.clone() };
    let other = Rules { subject: Some("other".to_owned()), ..rules };
    let token = issuer.signed(&claims());
    let token = Token::read(&token).unwrap();
    assert!(token.is_for(&one) && !token.is_for(&other));
    assert_eq!(token.admit(&other, &keys, now()), Err(Refused::Stranger));
}

#[test]
fn keys_are_asked_for_once_a_minute_and_kept_for_a_day() {
    let keys = issuer().keys();
    let at = |secs| Timestamp::from_secs(NOW + secs);
    let mut cache = Cache::default();
    assert_eq!(cache.need(at(0), "d"), Need::Ask);
    cache.asked(at(0));
    assert_eq!(cache.need(at(59), "d"), Need::Nothing);
    assert!(cache.keys(at(59)).is_none());
    assert_eq!(cache.need(at(60), "d"), Need::Ask);
    cache.had(at(1), keys);
    assert_eq!(cache.need(at(2), "d"), Need::Nothing);
    // A name that nobody knows.
    assert_eq!((cache.need(at(59), "x"), cache.need(at(60), "x")), (Need::Nothing, Need::Ask));
    assert_eq!(
        (cache.need(at(3_600), "d"), cache.need(at(3_601), "d")),
        (Need::Nothing, Need::Renew)
    );
    cache.asked(at(3_601));
    assert_eq!(cache.need(at(3_602), "d"), Need::Nothing);
    let day = 86_400;
    assert!(cache.keys(at(day)).is_some() && cache.keys(at(day + 1)).is_none());
    assert_eq!(cache.need(at(day + 1), "d"), Need::Ask);
}
