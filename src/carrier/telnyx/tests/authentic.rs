//! Whose hooks are believed: the vectors of the vendor's own code, and damage to them.

use super::*;

const VECTORS: &str = include_str!("../../../../tests/vectors/signature-vectors.json");

struct Vector {
    timestamp: String,
    body: Vec<u8>,
    signature: String,
}

fn vector() -> Vector {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    let vector = &all["telnyx_ed25519"];
    assert_eq!(vector["public_key_b64"], PUBLIC_KEY);
    Vector {
        timestamp: vector["timestamp"].to_string(),
        body: vector["body"].as_str().unwrap().as_bytes().to_vec(),
        signature: vector["signature"].as_str().unwrap().to_owned(),
    }
}

fn judged(vector: &Vector, now: u64) -> Result<Heard, Forged> {
    let headers = [
        ("telnyx-signature-ed25519".to_owned(), vector.signature.clone()),
        ("telnyx-timestamp".to_owned(), vector.timestamp.clone()),
    ];
    let now = Timestamp::from_secs(now);
    telnyx().hear(&Hook { now, ..hook(&headers, &vector.body, Some(scene(false))) })
}

/// The texts that differ from this one in one bit and are still text.
fn flipped(text: &str) -> Vec<String> {
    let flips = (0..text.len()).flat_map(|at| (0..8).map(move |bit| (at, bit)));
    flips
        .filter_map(|(at, bit)| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            String::from_utf8(bytes).ok()
        })
        .collect()
}

#[test]
fn the_sdks_signature_is_accepted_within_five_minutes() {
    let vector = vector();
    for now in [NOW - 300, NOW, NOW + 300] {
        assert!(judged(&vector, now).is_ok(), "{now}");
    }
    for now in [0, NOW - 301, NOW + 301, u64::MAX / 1_000_000] {
        assert_eq!(judged(&vector, now), Err(Forged::Stale), "{now}");
    }
}

#[test]
fn a_single_changed_bit_of_a_hook_is_refused() {
    for signature in flipped(&vector().signature) {
        let changed = Vector { signature, ..vector() };
        assert_eq!(judged(&changed, NOW), Err(Forged::Signature));
    }
    for timestamp in flipped(&vector().timestamp) {
        let changed = Vector { timestamp, ..vector() };
        assert_eq!(judged(&changed, NOW), Err(Forged::Signature));
    }
    for at in 0..vector().body.len() {
        for bit in 0..8 {
            let mut changed = vector();
            changed.body[at] ^= 1 << bit;
            assert_eq!(judged(&changed, NOW), Err(Forged::Signature));
        }
    }
}

#[test]
fn a_hook_without_signature_or_by_another_key_is_refused() {
    let body = vector().body;
    for missing in 0..2 {
        let mut headers = signed(&NOW.to_string(), &body);
        headers.remove(missing);
        let told = telnyx().hear(&hook(&headers, &body, None));
        assert_eq!(told, Err(Forged::Unsigned));
    }
    let other = Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap();
    let signature = other.sign(&[NOW.to_string().as_bytes(), b"|", &body].concat());
    let forged = Vector { signature: BASE64.encode(signature), ..vector() };
    assert_eq!(judged(&forged, NOW), Err(Forged::Signature));
    let signed_words = signed("soon", &body);
    assert_eq!(telnyx().hear(&hook(&signed_words, &body, None)), Err(Forged::Unreadable));
    let nonsense = signed(&NOW.to_string(), b"[]");
    assert_eq!(telnyx().hear(&hook(&nonsense, b"[]", None)), Err(Forged::Unreadable));
}

#[test]
fn a_repeated_hook_carries_the_same_name_and_the_same_command() {
    let more = json!({ "digits": "#", "status": "valid" });
    let one = on("call.gather.ended", Stage::Asking(Keypad::START), more.clone());
    let other = on("call.gather.ended", Stage::Asking(Keypad::START), more.clone());
    assert_eq!(one, other);
    assert_eq!(one.once.as_deref(), Some("ev-1"));
    // Without a name it could be counted twice.
    let mut nameless = event("call.gather.ended", &Stage::Asking(Keypad::START).to_base64(), more);
    nameless["data"]["id"] = Value::Null;
    let told = heard(&telnyx(), &nameless, Some(scene(false)));
    assert_eq!(told, Err(Forged::Unreadable));
}

#[test]
fn twenty_thousand_damaged_hooks_neither_panic_nor_consent() {
    let carrier = telnyx();
    let mut chance = Entropy::from_number(7);
    let more = json!({ "digits": "#", "status": "valid" });
    let whole = event("call.gather.ended", &Stage::Asking(Keypad::START).to_base64(), more);
    let whole = whole.to_string().into_bytes();
    let headers = signed(&NOW.to_string(), &whole);
    let told = carrier.hear(&hook(&headers, &whole, Some(scene(false)))).unwrap();
    assert!(matches!(told.news.as_slice(), [(_, News::Said { .. })]));
    for round in 0..20_000_u32 {
        let mut body = whole.clone();
        let mut headers = headers.clone();
        let target = chance.below(4);
        let mut part = match target {
            0 => headers[0].1.clone().into_bytes(),
            1 => headers[1].1.clone().into_bytes(),
            _ => body.clone(),
        };
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
        match target {
            0 => headers[0].1 = String::from_utf8_lossy(&part).into_owned(),
            1 => headers[1].1 = String::from_utf8_lossy(&part).into_owned(),
            _ => body = part,
        }
        let told = carrier.hear(&hook(&headers, &body, Some(scene(false))));
        assert_eq!(told.is_err(), changed, "round {round}");
        // The same damage, signed: it may say anything, and must not panic.
        let headers = signed(&NOW.to_string(), &body);
        let _ = carrier.hear(&hook(&headers, &body, Some(scene(chance.below(2) == 0))));
    }
}
