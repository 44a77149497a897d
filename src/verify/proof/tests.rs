//! Verdicts as tokens: what they say, who is believed, and what proves nothing.

use serde_json::{Value, json};

use super::super::attempt::AttemptNo;
use super::super::request::{Channel, Mode, Request, Way};
use super::super::signal::{By, Press, Reply, Said, Says, Signal};
use super::super::tests::{born, request, vault};
use super::super::{Step, Verification};
use super::*;
use crate::ambient::Timestamp;

/// 18:49:43.123 on 24 November 2026.
const AT: Timestamp = Timestamp::from_micros(1_795_546_183_123_456);

const CALL: Way = Way { channel: Channel::Voice, mode: Mode::Confirm };
const TEXT: Way = Way { channel: Channel::Sms, mode: Mode::Code };
const REPLY: Way = Way { channel: Channel::Sms, mode: Mode::Reply };

fn next(step: Step) -> Verification {
    match step {
        Step::Moved { next, .. } => next,
        Step::Ignored { because, .. } => panic!("ignored: {because:?}"),
    }
}

fn asked(way: Way) -> Verification {
    let begun = next(born(Request { way, ..request("+14155550132") }, &["trunk"], &["texts"]));
    Verification { expires_at: Timestamp::MAX, ..begun }
}

fn told(verification: Verification, signal: Signal) -> Verification {
    next(verification.apply(AT, signal))
}

fn press() -> Signal {
    Signal::heard(AttemptNo::FIRST, Said::Confirmed, Press::by("rfc4733", AT))
}

fn replied(says: Says) -> Signal {
    Signal::Replied(Reply { message: "SM1".to_owned(), says })
}

fn canceled() -> Verification {
    told(asked(CALL), Signal::Withdrawn(By::Caller))
}

fn signer() -> Signer {
    Signer::new("https://gw.example", &vault(), 1).unwrap()
}

#[test]
fn a_verdict_says_of_whom_and_what_and_when_and_on_what_it_rests() {
    let mut payment = asked(CALL);
    payment.request.subject = Some("user-7f3".to_owned());
    payment.request.reference = Some("login-991".to_owned());
    payment.request.transaction = Some(Transaction::new("49.9", "eur", "ACME").unwrap());
    assert_eq!(signer().verdict(&payment), None, "it is pending");
    let settled = told(payment, press());
    let token = signer().verdict(&settled).unwrap();
    assert_eq!(signer().verdict(&settled).as_ref(), Some(&token));
    let claims = Claims {
        iss: "https://gw.example".to_owned(),
        aud: "acme".to_owned(),
        jti: settled.id.to_string(),
        iat: 1_795_546_183,
        settled_at: "2026-11-24T18:49:43.123Z".to_owned(),
        sub: Some("user-7f3".to_owned()),
        reference: Some("login-991".to_owned()),
        status: "approved".to_owned(),
        reason: "confirmed".to_owned(),
        assurance: Some("possession".to_owned()),
        evidence: Some("press".to_owned()),
        // SHA-256 of 0005 "49.90" 0003 "EUR" 0004 "ACME", each length in four octets.
        transaction_hash: Some("IgYtMohMHeLj4OQqbjA10ggPyhch2SLBjNGI1N_Aprc".to_owned()),
    };
    assert_eq!(check(&token, signer().jwks()), Ok(claims));
}

#[test]
fn only_an_approval_names_its_evidence() {
    let typed = asked(TEXT);
    let right = Signal::Guess(typed.secret.as_ref().unwrap().code.clone());
    let replying = || asked(REPLY);
    let code = replying().secret.unwrap().code;
    let mut lax = asked(REPLY);
    lax.request.yes = true;
    for (settled, evidence) in [
        (told(asked(CALL), press()), Some("press")),
        (told(typed, right), Some("code")),
        (told(replying(), replied(Says::Code { code, pin: None })), Some("reply")),
        (told(lax, replied(Says::Yes)), Some("yes")),
        (told(replying(), replied(Says::No)), None),
        (canceled(), None),
    ] {
        let claims = Claims::of("us", &settled).unwrap();
        assert_eq!(claims.evidence.as_deref(), evidence);
        let typed = matches!(settled.verdict(), Some(Verdict::Approved(it)) if it.is_code());
        assert_eq!(typed, evidence == Some("code"));
        assert_eq!(claims.assurance.is_some(), evidence.is_some());
        assert_eq!(claims.status == "approved", evidence.is_some());
    }
}

#[test]
fn of_a_token_no_character_can_be_changed() {
    let (signer, token) = (signer(), signer().verdict(&canceled()).unwrap());
    for at in 0..token.len() {
        for put in *b"A0_.=" {
            let mut bytes = token.clone().into_bytes();
            if bytes[at] == put {
                continue;
            }
            bytes[at] = put;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(check(&changed, signer.jwks()).is_err(), "{at} {changed}");
        }
    }
    for other in [format!("{token}.x"), format!("{token}."), format!(" {token}"), String::new()] {
        assert_eq!(check(&other, signer.jwks()), Err(Unproved::Form), "{other}");
    }
    let (_, without) = token.split_once('.').unwrap();
    assert_eq!(check(without, signer.jwks()), Err(Unproved::Form));
}

/// The same token under another header.
fn headed(token: &str, header: &Value) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", BASE64.encode(header.to_string()))
}

#[test]
fn what_a_token_says_of_itself_is_not_believed() {
    let (signer, token) = (signer(), signer().verdict(&canceled()).unwrap());
    let kid = &signer.jwks().keys[0].kid;
    for (header, why) in [
        (json!({"alg": "EdDSA", "typ": TYPE}), Unproved::Form),
        (json!({"alg": "EdDSA", "typ": "JWT", "kid": kid}), Unproved::Form),
        (json!({"alg": "none", "typ": TYPE, "kid": kid}), Unproved::Algorithm),
        (json!({"alg": "HS256", "typ": TYPE, "kid": kid}), Unproved::Algorithm),
        (json!({"alg": "EdDSA", "typ": TYPE, "kid": "x"}), Unproved::Key),
        (json!({"alg": "EdDSA", "typ": TYPE, "kid": kid, "x": 1}), Unproved::Signature),
    ] {
        assert_eq!(check(&headed(&token, &header), signer.jwks()), Err(why), "{header}");
    }
}

#[test]
fn a_key_is_found_by_its_name_and_must_be_of_the_kind() {
    let (signer, token) = (signer(), signer().verdict(&canceled()).unwrap());
    let right = signer.jwks().keys[0].clone();
    let other = Signer::new("us", &Vault::of("another"), 1).unwrap().jwks().keys[0].clone();
    let checked = |keys: &[&Jwk]| {
        let keys = keys.iter().copied().cloned().collect();
        check(&token, &Jwks { keys }).map(|claims| claims.status)
    };
    assert_eq!(checked(&[&right]), Ok("canceled".to_owned()));
    assert_eq!(checked(&[&other, &right]), Ok("canceled".to_owned()));
    assert_eq!(checked(&[]), Err(Unproved::Key));
    assert_eq!(checked(&[&other]), Err(Unproved::Key));
    let changed = |change: fn(&mut Jwk)| {
        let mut key = right.clone();
        change(&mut key);
        checked(&[&key])
    };
    assert_eq!(changed(|key| key.kty = "EC".to_owned()), Err(Unproved::Key));
    assert_eq!(changed(|key| key.crv = "X25519".to_owned()), Err(Unproved::Key));
    assert_eq!(changed(|key| key.x = "?".to_owned()), Err(Unproved::Key));
    assert_eq!(changed(|key| key.x.clear()), Err(Unproved::Signature));
    let pretender = Jwk { kid: right.kid.clone(), ..other };
    assert_eq!(checked(&[&pretender]), Err(Unproved::Signature));
}

#[test]
fn tokens_of_more_than_eight_kibibytes_are_not_looked_at() {
    let (signer, mut settled) = (signer(), canceled());
    let mut token = |length: usize| {
        settled.request.reference = Some("x".repeat(length));
        signer.verdict(&settled).unwrap()
    };
    let room = (8_192 - token(0).len()) / 4 * 3;
    let longest = (room - 3..=room + 3).map(&mut token).find(|it| it.len() == 8_192).unwrap();
    let longer = token(room + 9);
    assert!(check(&longest, signer.jwks()).is_ok());
    assert_eq!(check(&longer, signer.jwks()), Err(Unproved::Form));
}

#[test]
fn a_key_is_published_as_the_rfc_writes_it() {
    // RFC 8037, Appendix A.
    let seed = BASE64.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let published = serde_json::to_value(jwk(&pair)).unwrap();
    let wanted = json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "use": "sig",
        "alg": "EdDSA",
    });
    assert_eq!(published, wanted);
}

#[test]
fn the_newest_generation_signs_and_all_up_to_it_are_published() {
    let kids =
        |signer: &Signer| signer.jwks().keys.iter().map(|key| key.kid.clone()).collect::<Vec<_>>();
    let signer = |generation| Signer::new("us", &vault(), generation);
    let (first, second) = (signer(1).unwrap(), signer(2).unwrap());
    assert_eq!((kids(&first).len(), kids(&second).len()), (1, 2));
    assert_eq!(kids(&second)[1..], kids(&first)[..]);
    let token = second.verdict(&canceled()).unwrap();
    assert!(check(&token, second.jwks()).is_ok());
    assert_eq!(check(&token, first.jwks()), Err(Unproved::Key));
    assert!(signer(0).is_none(), "there is no such generation");
}

#[test]
fn a_verdict_of_before_is_proved_after_the_keys_were_exchanged() {
    let verification = canceled();
    let (old, new) = (Vault::of("old"), Vault::of("new"));
    let before = Signer::new("us", &old, 2).unwrap();
    let after = Signer::new("us", &new.clone().with_older([old]), 1).unwrap();
    let earlier = Signer::new("us", &Vault::of("old"), 1).unwrap().verdict(&verification).unwrap();
    assert!(check(&earlier, after.jwks()).is_ok());
    let second = before.verdict(&verification).unwrap();
    assert_eq!(check(&second, after.jwks()), Err(Unproved::Key));
    let token = after.verdict(&verification).unwrap();
    assert!(check(&token, after.jwks()).is_ok());
    assert_eq!(check(&token, before.jwks()), Err(Unproved::Key));
    assert!(check(&token, Signer::new("us", &new, 1).unwrap().jwks()).is_ok());
}
