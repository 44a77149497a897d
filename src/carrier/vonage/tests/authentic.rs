//! Whose hooks are believed: the vectors of the vendor's own code, and damage to them.

use super::*;

const VECTORS: &str = include_str!("../../../../tests/vectors/signature-vectors.json");

fn vector() -> (String, Vec<u8>) {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    let vector = &all["vonage_jwt"];
    assert_eq!(vector["secret"], SECRET);
    let body = vector["body"].as_str().unwrap().as_bytes().to_vec();
    (vector["token"].as_str().unwrap().to_owned(), body)
}

fn judged(token: &str, body: &[u8], now: u64) -> Result<Heard, Forged> {
    let now = Timestamp::from_secs(now);
    let headers = bearer(token);
    vonage().hear(&Hook { now, ..hook("keys?s=r1w0z0", &headers, body, Some(scene(false))) })
}

#[test]
fn the_sdks_token_is_accepted_within_five_minutes() {
    let (token, body) = vector();
    let jti = "11111111-2222-4333-8444-555555555555";
    for now in [NOW - 300, NOW, NOW + 300] {
        let told = judged(&token, &body, now).unwrap();
        assert_eq!(told.once.as_deref(), Some(jti));
        let said = News::Said { said: Said::Confirmed, event: jti.to_owned() };
        assert_eq!(told.news, [(About::This, said)]);
    }
    for now in [0, NOW - 301, NOW + 301, u64::MAX / 1_000_000] {
        assert_eq!(judged(&token, &body, now), Err(Forged::Stale), "{now}");
    }
}

#[test]
fn a_single_changed_bit_of_a_hook_is_refused() {
    let (token, body) = vector();
    let carrier = vonage();
    let judged = |token: &str, body: &[u8]| {
        let headers = bearer(token);
        carrier.hear(&hook("keys?s=r1w0z0", &headers, body, Some(scene(false))))
    };
    for at in 0..token.len() {
        for bit in 0..7 {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(judged(&changed, &body), Err(Forged::Signature), "{at} {bit}");
        }
    }
    for at in 0..body.len() {
        for bit in 0..8 {
            let mut changed = body.clone();
            changed[at] ^= 1 << bit;
            assert_eq!(judged(&token, &changed), Err(Forged::Altered), "{at} {bit}");
        }
    }
}

#[test]
fn no_other_algorithm_is_believed() {
    let body = key_body("#").to_string().into_bytes();
    let claims = claims(&body);
    let part = |value: &Value| BASE64URL.encode(value.to_string());
    let none = part(&json!({ "alg": "none", "typ": "JWT" }));
    let hs256 = part(&json!({ "alg": "HS256", "typ": "JWT" }));
    let rsa = EncodingKey::from_rsa_pem(KEY.as_bytes()).unwrap();
    let rs256 = encode(&Header::new(Algorithm::RS256), &claims, &rsa).unwrap();
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let hs512 = encode(&Header::new(Algorithm::HS512), &claims, &secret).unwrap();
    let by_pem = EncodingKey::from_secret(KEY.as_bytes());
    let by_pem = encode(&Header::new(Algorithm::HS256), &claims, &by_pem).unwrap();
    let mut parts = rs256.split('.').skip(1);
    let relabelled = format!("{hs256}.{}.{}", parts.next().unwrap(), parts.next().unwrap());
    let unsigned = part(&claims);
    for token in [
        format!("{none}.{unsigned}."),
        format!("{none}.{unsigned}"),
        format!("{hs256}.{unsigned}."),
        rs256,
        hs512,
        by_pem,
        relabelled,
        "..".to_owned(),
        String::new(),
    ] {
        assert_eq!(judged(&token, &body, NOW), Err(Forged::Signature), "{token}");
    }
}

#[test]
fn every_claim_is_checked() {
    let body = key_body("#").to_string().into_bytes();
    let judged = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims(&body);
        change(&mut claims);
        let headers = signed(&claims);
        vonage().hear(&hook("keys?s=r1w0z0", &headers, &body, Some(scene(false)))).map(|_| ())
    };
    let drop = |name: &'static str| {
        move |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove(name))
    };
    assert_eq!(judged(&|_| ()), Ok(()));
    assert_eq!(judged(&drop("api_key")), Ok(()));
    assert_eq!(judged(&drop("application_id")), Ok(()));
    assert_eq!(judged(&drop("iss")), Ok(()));
    assert_eq!(judged(&drop("iat")), Err(Forged::Unreadable));
    assert_eq!(judged(&drop("jti")), Err(Forged::Unreadable));
    assert_eq!(judged(&drop("payload_hash")), Err(Forged::Altered));
    let set =
        |name: &'static str, value: Value| move |claims: &mut Value| claims[name] = value.clone();
    assert_eq!(judged(&set("jti", json!(""))), Err(Forged::Unreadable));
    assert_eq!(judged(&set("api_key", json!("other"))), Err(Forged::Signature));
    assert_eq!(judged(&set("application_id", json!("other"))), Err(Forged::Signature));
    assert_eq!(judged(&set("payload_hash", json!("00"))), Err(Forged::Altered));
    assert_eq!(judged(&set("iat", json!(NOW - 301))), Err(Forged::Stale));
    assert_eq!(judged(&set("exp", json!(NOW - 1))), Err(Forged::Stale));
    assert_eq!(judged(&set("exp", json!(NOW + 60))), Ok(()));
    let nameless = |claims: &mut Value| {
        drop("api_key")(claims);
        drop("application_id")(claims);
    };
    assert_eq!(judged(&nameless), Err(Forged::Signature));
}

#[test]
fn a_hook_without_token_is_refused() {
    let body = b"{}";
    for headers in [vec![], vec![("authorization".to_owned(), "Basic YTpi".to_owned())]] {
        let told = vonage().hear(&hook("event", &headers, body, None));
        assert_eq!(told, Err(Forged::Unsigned));
    }
    let told = vonage().hear(&hook("event", &signed(&claims(b"{")), b"{", None));
    assert_eq!(told, Err(Forged::Unreadable));
}

#[test]
fn twenty_thousand_damaged_hooks_neither_panic_nor_consent() {
    let carrier = vonage();
    let mut chance = Entropy::from_number(11);
    let (token, whole) = vector();
    for round in 0..20_000_u32 {
        let mut body = whole.clone();
        let mut token = token.clone();
        let in_body = chance.below(2) == 0;
        let mut part = if in_body { body.clone() } else { token.clone().into_bytes() };
        let before = part.clone();
        for _ in 0..=chance.below(3) {
            let at = usize::try_from(chance.below(part.len().max(1) as u64)).unwrap();
            let [byte] = chance.bytes();
            match chance.below(4) {
                0 if at < part.len() => part[at] = byte,
                1 => part.insert(at, byte),
                2 if at < part.len() => drop(part.remove(at)),
                _ => part.truncate(at),
            }
        }
        let changed = part != before;
        if in_body {
            body = part;
        } else {
            token = String::from_utf8_lossy(&part).into_owned();
        }
        let headers = bearer(&token);
        let told = carrier.hear(&hook("keys?s=r1w0z0", &headers, &body, Some(scene(false))));
        assert_eq!(told.is_err(), changed, "round {round}");
        // The same damage, signed: it may say anything, and must not panic.
        let part = ["keys?s=r1w0z0", "keys?s=%", "event", "receipt", "inbound"];
        let part = part[usize::try_from(chance.below(5)).unwrap()];
        let headers = signed(&claims(&body));
        let scene = (part != "inbound").then(|| scene(false));
        let _ = carrier.hear(&hook(part, &headers, &body, scene));
    }
}
