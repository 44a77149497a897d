//! Twenty thousand broken requests: none makes us fall, none is believed.

use super::heard::{Request, hear, scene, sealed, signed};
use super::*;
use crate::ambient::Entropy;
use crate::carrier::News;
use crate::carrier::signature::{self, Hash};

/// Breaks bytes: some flipped, dropped, doubled, or replaced by ones that mean something.
pub(super) fn broken(dice: &mut Entropy, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.below(3) {
        let length = u64::try_from(bytes.len()).unwrap();
        let at = usize::try_from(dice.below(length.max(1))).unwrap();
        let [octet] = dice.bytes::<1>();
        match dice.below(6) {
            0 if at < bytes.len() => bytes[at] ^= octet,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.insert(at, octet),
            3 => bytes.truncate(at),
            4 => drop(bytes.splice(at..at, *b"&Digits=%23")),
            _ => drop(bytes.splice(at..at, *b"%")),
        }
    }
    bytes
}

fn is_said(heard: &Result<Heard, Forged>) -> bool {
    heard
        .as_ref()
        .is_ok_and(|heard| heard.news.iter().any(|(_, news)| matches!(news, News::Said { .. })))
}

fn cases() -> Vec<(Request, Option<Channel>)> {
    let call = ("CallSid", CALL);
    vec![
        (signed("keys?s=r1w0z0", &[call, ("Digits", "#")]), Some(Channel::Voice)),
        (signed("keys?s=r1w0z1", &[call, ("Digits", "#")]), Some(Channel::Voice)),
        (signed("keys?s=r1w0z0", &[call, ("Digits", "")]), Some(Channel::Voice)),
        (signed("voice", &[call]), Some(Channel::Voice)),
        (
            signed("status", &[call, ("CallStatus", "busy"), ("SipResponseCode", "486")]),
            Some(Channel::Voice),
        ),
        (
            signed("receipt", &[("MessageSid", "SM1"), ("MessageStatus", "sent")]),
            Some(Channel::Sms),
        ),
        (
            signed(
                "inbound",
                &[("MessageSid", "SM1"), ("From", PHONE), ("To", "1"), ("Body", "é")],
            ),
            None,
        ),
    ]
}

#[test]
fn no_broken_body_is_believed_unless_it_says_the_same() {
    let (mut dice, twilio) = (Entropy::from_number(7), twilio());
    let cases = cases();
    for round in 0..20_000 {
        let (case, channel) = &cases[round % cases.len()];
        let scene = channel.map(|channel| scene(channel, "en-US", None));
        let mut request = Request {
            url: case.url.clone(),
            headers: case.headers.clone(),
            body: broken(&mut dice, &case.body),
        };
        let heard = hear(&twilio, &request, scene);
        let params: Vec<(String, String)> =
            form_urlencoded::parse(&request.body).into_owned().collect();
        let right = signature::twilio_signature(Hash::Sha1, TOKEN.as_bytes(), &case.url, &params);
        if right != case.headers[0].1 {
            assert_eq!(heard, Err(Forged::Signature), "{}", request.body.escape_ascii());
        }
        // Signed right, it is read, whatever it says.
        request.headers[0].1 = right;
        let _ = hear(&twilio, &request, scene);
    }
}

#[test]
fn no_broken_head_is_believed() {
    let (mut dice, twilio) = (Entropy::from_number(8), twilio());
    let case = signed("keys?s=r1w0z0", &[("CallSid", CALL), ("Digits", "#")]);
    let scene = scene(Channel::Voice, "en-US", None);
    for _ in 0..20_000 {
        let broken = |dice: &mut Entropy, text: &str| {
            String::from_utf8_lossy(&broken(dice, text.as_bytes())).into_owned()
        };
        let (mut url, mut signature) = (case.url.clone(), case.headers[0].1.clone());
        if dice.below(2) == 0 {
            url = broken(&mut dice, &url);
        } else {
            signature = broken(&mut dice, &signature);
        }
        let same = url == case.url && signature == case.headers[0].1;
        let headers = vec![("x-twilio-signature".to_owned(), signature)];
        let request = Request { url, headers, body: case.body.clone() };
        assert!(same || !is_said(&hear(&twilio, &request, Some(scene))), "{}", request.url);
    }
}

#[test]
fn no_broken_seal_is_believed() {
    let mut dice = Entropy::from_number(9);
    let telnyx = Twilio::new(settings(Dialect::TelnyxTexml)).unwrap();
    let case = sealed("keys?s=r1w0z0", "1795507200", "CallSid=v3%3Ax&Digits=%23");
    let scene = scene(Channel::Voice, "en-US", None);
    for _ in 0..2_000 {
        let body = broken(&mut dice, &case.body);
        let same = body == case.body;
        let request = Request { url: case.url.clone(), headers: case.headers.clone(), body };
        assert_eq!(is_said(&hear(&telnyx, &request, Some(scene))), same);
    }
}

#[test]
fn no_broken_response_makes_us_fall() {
    let (mut dice, twilio) = (Entropy::from_number(10), twilio());
    let list = json!({"messages": [{"sid": "SM1", "to": PHONE, "direction": "outbound-api",
        "body": "x", "date_created": "Tue, 24 Nov 2026 08:00:00 +0000"}]});
    let bodies = [json!({"sid": CALL}).to_string(), list.to_string()];
    for round in 0..20_000 {
        let body = broken(&mut dice, bodies[round % bodies.len()].as_bytes());
        for status in [200, 400, 500] {
            let _ = twilio.receipt(Channel::Sms, status, &body);
            let _ = text(|order| twilio.found(order, status, &body));
        }
    }
}
