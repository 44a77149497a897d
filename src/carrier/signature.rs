//! Proofs that a request comes from a provider: keyed hashes and signatures over its raw bytes.
//!
//! Whatever is compared with a secret is compared in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, signature};
use subtle::ConstantTimeEq as _;

use std::time::Duration;

use crate::ambient::Timestamp;

/// Which hash a keyed hash is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1: broken as a hash, sound in HMAC (RFC 6151 says the same of MD5); what Twilio signs with.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// HMAC (RFC 2104) of a message: 20 or 32 bytes.
#[must_use]
pub fn hmac(hash: Hash, key: &[u8], message: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => hmac::HMAC_SHA256,
    };
    hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
}

/// SHA-256 of a message, in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(message: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, message).as_ref())
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether two values are the same; how long it takes tells their lengths at most.
#[must_use]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// The signature of Twilio and its likes: the URL, then each name and value in the order of the
/// names, in HMAC and base64.
///
/// A name that comes several times stands with each of its values once, in their order, as the
/// provider's own libraries write it.
#[must_use]
pub fn twilio_signature(hash: Hash, key: &[u8], url: &str, params: &[(String, String)]) -> String {
    let mut sorted: Vec<&(String, String)> = params.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut message = url.to_owned();
    for (name, value) in sorted {
        message.push_str(name);
        message.push_str(value);
    }
    BASE64.encode(hmac(hash, key, message.as_bytes()))
}

/// Whether `signature` is the one of Twilio and its likes over this URL, written as it is, with
/// the port that its scheme has by default, or without that port: the provider signs either.
#[must_use]
pub fn is_twilio(
    hash: Hash,
    key: &[u8],
    url: &str,
    params: &[(String, String)],
    signature: &str,
) -> bool {
    let right =
        |url: &str| same(twilio_signature(hash, key, url, params).as_bytes(), signature.as_bytes());
    right(url) || other_port(url).is_some_and(|url| right(&url))
}

/// The same URL with its default port written out, or left out where it is; `None` when it has
/// another port.
fn other_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let (authority, path) = rest
        .find(['/', '?', '#'])
        .map_or((rest, ""), |at| rest.split_at_checked(at).unwrap_or((rest, "")));
    let authority = if let Some(bare) = authority.strip_suffix(default) {
        bare.to_owned()
    } else {
        // A colon inside brackets belongs to an IPv6 address.
        let host = authority.rsplit_once(']').map_or(authority, |(_, behind)| behind);
        if host.contains(':') {
            return None;
        }
        format!("{authority}{default}")
    };
    Some(format!("{scheme}://{authority}{path}"))
}

/// Whether `signature` (base64) is an Ed25519 one (RFC 8032) over `timestamp|body` by the owner of
/// the public key (base64, 32 bytes): the scheme of Telnyx. Look at the time, too, see [`fresh`].
#[must_use]
pub fn ed25519(public_key: &str, timestamp: &str, body: &[u8], signature: &str) -> bool {
    let (Ok(key), Ok(signature)) = (BASE64.decode(public_key), BASE64.decode(signature)) else {
        return false;
    };
    let mut message = Vec::with_capacity(timestamp.len() + 1 + body.len());
    message.extend_from_slice(timestamp.as_bytes());
    message.push(b'|');
    message.extend_from_slice(body);
    signature::UnparsedPublicKey::new(&signature::ED25519, key).verify(&message, &signature).is_ok()
}

/// Whether `timestamp` (whole seconds since the Unix epoch) is at most `window` before or after
/// now.
#[must_use]
pub fn fresh(timestamp: &str, now: Timestamp, window: Duration) -> bool {
    let at = timestamp.parse().map(Timestamp::from_secs);
    at.is_ok_and(|at| now.since(at) <= window && at.since(now) <= window)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> serde_json::Value {
        let text = include_str!("../../tests/vectors/signature-vectors.json");
        serde_json::from_str(text).unwrap()
    }

    fn text(value: &serde_json::Value) -> String {
        value.as_str().unwrap().to_owned()
    }

    fn params(value: &serde_json::Value) -> Vec<(String, String)> {
        match value {
            serde_json::Value::Object(object) => {
                object.iter().map(|(name, value)| (name.clone(), text(value))).collect()
            }
            serde_json::Value::Array(pairs) => {
                pairs.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
            }
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => panic!("no parameters: {value}"),
        }
    }

    /// Every text that differs from this one in one byte, and is text.
    fn changed(text: &str) -> impl Iterator<Item = String> {
        (0..text.len()).filter_map(move |at| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1;
            String::from_utf8(bytes).ok()
        })
    }

    /// Each scheme of the vectors, the adapter that checks it, and the tests that show it.
    const COVERED: [(&str, &str, &str); 9] = [
        ("twilio", "twilio", include_str!("signature.rs")),
        ("signalwire", "twilio", include_str!("signature.rs")),
        ("telnyx_ed25519", "telnyx", include_str!("telnyx/tests/authentic.rs")),
        ("vonage_jwt", "vonage", include_str!("vonage/tests/authentic.rs")),
        ("plivo_v3", "http", include_str!("http/tests/authentic.rs")),
        ("standard_webhooks", "http", include_str!("http/tests/authentic.rs")),
        ("jambonz", "http", include_str!("http/tests/authentic.rs")),
        ("zitadel", "http", include_str!("http/tests/authentic.rs")),
        ("sinch_application", "http", include_str!("http/tests/authentic.rs")),
    ];

    /// The schemes by which identity providers sign what they ask of us; no carrier's.
    const NO_CARRIERS: [&str; 1] = ["duo"];

    #[test]
    fn every_scheme_of_the_vectors_has_its_adapter_or_is_no_carriers() {
        let all = vectors();
        let mut schemes: Vec<&str> = all.as_object().unwrap().keys().map(String::as_str).collect();
        schemes.retain(|&scheme| scheme != "note");
        let mut known: Vec<&str> = COVERED.iter().map(|&(scheme, ..)| scheme).collect();
        known.extend(NO_CARRIERS);
        schemes.sort_unstable();
        known.sort_unstable();
        assert_eq!(schemes, known);
        for (scheme, adapter, tests) in COVERED {
            let used = tests.contains(&format!("all[\"{scheme}\"]"))
                || tests.contains(&format!("vectors[\"{scheme}\"]"));
            assert!(used, "no test of {adapter} takes {scheme}");
        }
    }

    #[test]
    fn every_vector_of_twilio_and_signalwire_is_accepted_and_no_other_byte() {
        let all = vectors();
        let (twilio, wire) = (&all["twilio"], &all["signalwire"]);
        let token = text(&twilio["auth_token"]);
        let mut cases = vec![
            (token.clone(), &twilio["form"]),
            (token.clone(), &twilio["multi_value"]),
            (text(&wire["key"]), wire),
        ];
        for variant in twilio["port_variants"].as_array().unwrap() {
            cases.push((token.clone(), variant));
        }
        for (key, case) in cases {
            let key = key.as_bytes();
            let (url, signature) = (text(&case["url"]), text(&case["signature"]));
            // The variants of the port were made with this one parameter.
            let one = || vec![("A".to_owned(), "1".to_owned())];
            let params = case.get("params").map_or_else(one, params);
            assert_eq!(twilio_signature(Hash::Sha1, key, &url, &params), signature);
            let accepted = |url: &str, params: &[(String, String)], signature: &str| {
                is_twilio(Hash::Sha1, key, url, params, signature)
            };
            assert!(accepted(&url, &params, &signature));
            for other in changed(&signature) {
                assert!(!accepted(&url, &params, &other), "{other}");
            }
            for other in changed(&url) {
                assert!(!accepted(&other, &params, &signature), "{other}");
            }
            for at in 0..params.len() {
                for other in changed(&params[at].0) {
                    let mut list = params.clone();
                    list[at].0 = other;
                    assert!(!accepted(&url, &list, &signature), "{list:?}");
                }
                for other in changed(&params[at].1) {
                    let mut list = params.clone();
                    list[at].1 = other;
                    assert!(!accepted(&url, &list, &signature), "{list:?}");
                }
            }
        }
    }

    #[test]
    fn the_default_port_may_be_written_or_not_and_no_other() {
        let sign = |url: &str| twilio_signature(Hash::Sha1, b"k", url, &[]);
        let accepted =
            |url: &str, signed: &str| is_twilio(Hash::Sha1, b"k", url, &[], &sign(signed));
        for (one, other) in [
            ("https://a.example/w?x=1", "https://a.example:443/w?x=1"),
            ("http://a.example/w", "http://a.example:80/w"),
            ("https://a.example?x", "https://a.example:443?x"),
            ("https://[2001:db8::1]/w", "https://[2001:db8::1]:443/w"),
        ] {
            assert!(accepted(one, other) && accepted(other, one), "{one}");
        }
        for (one, other) in [
            ("https://a.example:8443/w", "https://a.example/w"),
            ("https://a.example/w", "http://a.example/w"),
            ("https://a.example/w", "https://a.example:80/w"),
            ("https://[2001:db8::1]/w", "https://[2001:db8::1]:8443/w"),
        ] {
            assert!(!accepted(one, other) && !accepted(other, one), "{one}");
        }
    }

    #[test]
    fn the_stronger_hash_of_twilio_is_known() {
        let params = [
            ("CallSid", format!("CA{}", "1".repeat(32))),
            ("Digits", "#".to_owned()),
            ("From", "+15551230000".to_owned()),
            ("To", "+15551230001".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let sign = |hash| {
            let url = "https://gw.example.com/hooks/voice/gather?v=VE1";
            twilio_signature(hash, "0".repeat(32).as_bytes(), url, &params)
        };
        assert_eq!(sign(Hash::Sha1), "vHoeHlUDNh1FYFW9CsD7kteGE/M=");
        assert_eq!(sign(Hash::Sha256), "GiEOKtpI8tgU0od8LkzdiHfXXE8LB/Enqbd/Fo+FUBs=");
    }

    #[test]
    fn the_vector_of_telnyx_is_accepted_and_no_other_byte() {
        let all = vectors();
        let case = &all["telnyx_ed25519"];
        let key = text(&case["public_key_b64"]);
        let (body, signature) = (text(&case["body"]), text(&case["signature"]));
        let at = case["timestamp"].to_string();
        assert!(ed25519(&key, &at, body.as_bytes(), &signature));
        for other in changed(&signature) {
            assert!(!ed25519(&key, &at, body.as_bytes(), &other), "{other}");
        }
        for other in changed(&body) {
            assert!(!ed25519(&key, &at, other.as_bytes(), &signature), "{other}");
        }
        for other in changed(&at) {
            assert!(!ed25519(&key, &other, body.as_bytes(), &signature), "{other}");
        }
        assert!(!ed25519("", &at, body.as_bytes(), &signature));
        assert!(!ed25519("AAAA", &at, body.as_bytes(), ""));
    }

    #[test]
    fn the_hash_of_a_message_is_written_in_lower_case() {
        // FIPS 180-2, Appendix B.1.
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), wanted);
    }

    #[test]
    fn a_time_is_fresh_within_its_window_on_either_side() {
        let (now, window) = (Timestamp::from_secs(1_000), Duration::from_secs(300));
        for at in ["700", "1000", "1300"] {
            assert!(fresh(at, now, window), "{at}");
        }
        for at in ["699", "1301", "", "-1", "1000.0", "99999999999999999999"] {
            assert!(!fresh(at, now, window), "{at}");
        }
    }
}
