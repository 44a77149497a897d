//! What the provider asks and tells.

use super::*;
use crate::carrier::signature::{self, Hash};
use crate::carrier::wire::HttpAnswer;
use crate::carrier::{About, News, Scene};
use crate::verify::signal::Said;
use crate::verify::transaction::Transaction;

/// A request of the provider, signed as it signs.
pub(super) struct Request {
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// A form, signed for Twilio.
pub(super) fn signed(path: &str, fields: &[(&str, &str)]) -> Request {
    let url = format!("{HOOKS}/{path}");
    let owned: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let signature = signature::twilio_signature(Hash::Sha1, TOKEN.as_bytes(), &url, &owned);
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    Request {
        url,
        headers: vec![("x-twilio-signature".to_owned(), signature)],
        body: form.finish().into_bytes(),
    }
}

pub(super) fn scene(channel: Channel, locale: &str, brand: Option<&Brand>) -> Scene<'static> {
    // Tests may forget what a brand and a language took.
    let brand = brand.map(|brand| &*Box::leak(Box::new(brand.clone())));
    let locale = Box::leak(locale.to_owned().into_boxed_str());
    Scene { hooks: HOOKS, channel, ask: Ask { locale, brand, payment: None }, over: false }
}

pub(super) fn hear(
    twilio: &Twilio,
    request: &Request,
    scene: Option<Scene<'_>>,
) -> Result<Heard, Forged> {
    let path = request.url.strip_prefix(HOOKS).unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    twilio.hear(&Hook {
        url: &request.url,
        part: path.strip_prefix('/'),
        query,
        headers: &request.headers,
        body: &request.body,
        now: at(),
        scene,
    })
}

fn voice() -> Scene<'static> {
    let brand = Brand::try_from("O'Neil & Co".to_owned()).unwrap();
    scene(Channel::Voice, "en-US", Some(&brand))
}

fn pressed(state: &str, digits: &str) -> Request {
    signed(&format!("keys?s={state}"), &[("CallSid", CALL), ("Digits", digits)])
}

fn said(heard: &Heard) -> Option<Said> {
    heard.news.iter().find_map(|(_, news)| match news {
        News::Said { said, .. } => Some(*said),
        News::Placed(_)
        | News::Alerting
        | News::Engaged
        | News::Prompting
        | News::Sent
        | News::Delivered
        | News::Ended(_)
        | News::Text(_) => None,
    })
}

#[test]
fn an_answered_call_is_greeted_and_asked() {
    let request = signed("voice", &[("CallSid", CALL), ("CallStatus", "in-progress")]);
    let heard = hear(&twilio(), &request, Some(voice())).unwrap();
    assert_eq!(heard.news, [(About::This, News::Engaged), (About::This, News::Prompting)]);
    insta::assert_snapshot!(heard.answer.body.replace("><", ">\n<"), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <Response>
    <Gather input="dtmf" finishOnKey="" numDigits="1" actionOnEmptyResult="true" timeout="10" method="POST" action="https://gw.example/hooks/twilio-main/at_1/tok/keys?s=r1w0z0">
    <Say language="en-US">This is O&apos;Neil &amp; Co, calling to verify your sign-in.</Say>
    <Say language="en-US">If you are signing in now, press the pound key. If you are not, press zero, then pound.</Say>
    </Gather>
    <Redirect method="POST">https://gw.example/hooks/twilio-main/at_1/tok/keys?s=r1w0z0</Redirect>
    <Hangup/>
    </Response>
    "#);
    assert_eq!((heard.answer.status, heard.answer.content_type), (200, "text/xml; charset=utf-8"));
}

#[test]
fn a_payment_is_said_with_how_much_goes_to_whom() {
    let payment = Transaction::new("49.9", "EUR", "Ben & Söhne").unwrap();
    let ask = Ask { payment: Some(&payment), ..voice().ask };
    let request = signed("voice", &[("CallSid", CALL), ("CallStatus", "in-progress")]);
    let heard = hear(&twilio(), &request, Some(Scene { ask, ..voice() })).unwrap();
    let body = heard.answer.body;
    assert!(body.contains(
        "<Say language=\"en-US\">This is O&apos;Neil &amp; Co, calling about a payment.</Say>\
         <Say language=\"en-US\">To pay 49.90 EUR to Ben &amp; Söhne, press the pound key. If you did not ask for \
         this payment, press zero, then pound.</Say>"
    ), "{body}");
    // Who plays recordings cannot say it.
    let plays =
        Settings { voice: Voice::Play("https://gw.example/a".into()), ..settings(Dialect::Twilio) };
    assert!(!Twilio::new(plays).unwrap().reach().says_all && twilio().reach().says_all);
}

#[test]
fn the_pound_key_is_never_left_to_the_providers_default() {
    // With finishOnKey="#", the default, a lone # would be an empty input: nobody could confirm.
    for (path, digits) in [("voice", None), ("keys?s=r1w0z0", Some("0")), ("keys?s=r1w0z0", None)] {
        let fields = [("CallSid", CALL), ("Digits", digits.unwrap_or_default())];
        let heard = hear(&twilio(), &signed(path, &fields), Some(voice())).unwrap();
        let (_, gather) = heard.answer.body.split_once("<Gather ").unwrap();
        let (attributes, _) = gather.split_once('>').unwrap();
        for attribute in [
            "finishOnKey=\"\"",
            "numDigits=\"1\"",
            "actionOnEmptyResult=\"true\"",
            "input=\"dtmf\"",
        ] {
            assert!(attributes.contains(attribute), "{attribute} is lost: {attributes}");
        }
        assert!(heard.answer.body.ends_with("</Redirect><Hangup/></Response>"));
    }
}

#[test]
fn each_key_leads_on_and_the_last_word_is_news() {
    let play = |state: &str, digits: &str| {
        let heard = hear(&twilio(), &pressed(state, digits), Some(voice())).unwrap();
        let (_, document) = heard.answer.body.split_once("<Response>").unwrap();
        format!("{:?}\n{}", heard.news, document.replace("><", ">\n<"))
    };
    insta::assert_snapshot!(play("r1w0z0", "#"), @r#"
    [(This, Said { said: Confirmed, event: "CA33333333333333333333333333333333:r1w0z0" })]
    <Say language="en-US">Thank you. Goodbye.</Say>
    <Hangup/>
    </Response>
    "#);
    insta::assert_snapshot!(play("r1w0z0", "0"), @r#"
    []
    <Gather input="dtmf" finishOnKey="" numDigits="1" actionOnEmptyResult="true" timeout="10" method="POST" action="https://gw.example/hooks/twilio-main/at_1/tok/keys?s=r1w0z1">
    </Gather>
    <Redirect method="POST">https://gw.example/hooks/twilio-main/at_1/tok/keys?s=r1w0z1</Redirect>
    <Hangup/>
    </Response>
    "#);
    insta::assert_snapshot!(play("r1w0z1", "#"), @r#"
    [(This, Said { said: FraudReported, event: "CA33333333333333333333333333333333:r1w0z1" })]
    <Say language="en-US">Thank you for telling us. This sign-in has been reported. Goodbye.</Say>
    <Hangup/>
    </Response>
    "#);
    insta::assert_snapshot!(play("r1w0z0", "*"), @r#"
    []
    <Gather input="dtmf" finishOnKey="" numDigits="1" actionOnEmptyResult="true" timeout="10" method="POST" action="https://gw.example/hooks/twilio-main/at_1/tok/keys?s=r1w1z0">
    <Say language="en-US">That was not the pound key.</Say>
    <Say language="en-US">If you are signing in now, press the pound key. If you are not, press zero, then pound.</Say>
    </Gather>
    <Redirect method="POST">https://gw.example/hooks/twilio-main/at_1/tok/keys?s=r1w1z0</Redirect>
    <Hangup/>
    </Response>
    "#);
    insta::assert_snapshot!(play("r1w1z0", "5"), @r#"
    [(This, Said { said: WrongKey, event: "CA33333333333333333333333333333333:r1w1z0" })]
    <Say language="en-US">The sign-in was not confirmed. Goodbye.</Say>
    <Hangup/>
    </Response>
    "#);
    insta::assert_snapshot!(play("r1w0z0", ""), @r#"
    []
    <Gather input="dtmf" finishOnKey="" numDigits="1" actionOnEmptyResult="true" timeout="10" method="POST" action="https://gw.example/hooks/twilio-main/at_1/tok/keys?s=r2w0z0">
    <Say language="en-US">Let me say that again.</Say>
    <Say language="en-US">If you are signing in now, press the pound key. If you are not, press zero, then pound.</Say>
    </Gather>
    <Redirect method="POST">https://gw.example/hooks/twilio-main/at_1/tok/keys?s=r2w0z0</Redirect>
    <Hangup/>
    </Response>
    "#);
    insta::assert_snapshot!(play("r2w0z0", ""), @r#"
    [(This, Ended(Cause { reason: NoInput, sip_status: None, q850: None, detail: None }))]
    <Say language="en-US">We did not hear from you. Goodbye.</Say>
    <Hangup/>
    </Response>
    "#);
}

#[test]
fn keys_that_come_together_are_heard_one_after_the_other() {
    let play = |state: &str, digits: &str| {
        said(&hear(&twilio(), &pressed(state, digits), Some(voice())).unwrap())
    };
    assert_eq!(play("r1w0z0", "0#"), Some(Said::FraudReported));
    assert_eq!(play("r1w0z0", "##"), Some(Said::Confirmed));
    assert_eq!(play("r1w0z0", "55#"), Some(Said::WrongKey));
    assert_eq!(play("r1w0z0", "00"), None);
}

#[test]
fn a_key_that_is_missing_is_silence() {
    let request = signed("keys?s=r1w0z0", &[("CallSid", CALL)]);
    let heard = hear(&twilio(), &request, Some(voice())).unwrap();
    assert!(heard.news.is_empty() && heard.answer.body.contains("Let me say that again."));
    // The key that ended the input by the provider's own rules is no key that was asked for.
    let fields = [("CallSid", CALL), ("Digits", ""), ("FinishedOnKey", "#")];
    let heard = hear(&twilio(), &signed("keys?s=r1w0z0", &fields), Some(voice())).unwrap();
    assert_eq!(said(&heard), None);
}

#[test]
fn the_same_request_again_has_the_same_name() {
    let once = |state: &str, digits: &str| {
        hear(&twilio(), &pressed(state, digits), Some(voice())).unwrap().once
    };
    assert_eq!(once("r1w0z0", "#").unwrap(), format!("{CALL}:r1w0z0:#"));
    assert_eq!(once("r1w0z0", "#"), once("r1w0z0", "#"));
    assert_ne!(once("r1w0z1", "0"), once("r1w0z1", "#"));
}

#[test]
fn a_question_that_is_over_is_not_asked() {
    let over = Scene { over: true, ..voice() };
    for request in [signed("voice", &[("CallSid", CALL)]), pressed("r1w0z0", "#")] {
        let heard = hear(&twilio(), &request, Some(over)).unwrap();
        assert_eq!(heard.news, []);
        insta::allow_duplicates! {
            insta::assert_snapshot!(heard.answer.body, @r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <Response><Say language="en-US">This call is no longer needed. Goodbye.</Say><Hangup/></Response>
            "#);
        }
    }
}

#[test]
fn recordings_are_played_where_they_are_configured() {
    let voice_of = Voice::Play("https://gw.example/audio/".to_owned());
    let twilio = Twilio::new(Settings { voice: voice_of, ..settings(Dialect::Twilio) }).unwrap();
    let request = signed("voice", &[("CallSid", CALL)]);
    let heard = hear(&twilio, &request, Some(voice())).unwrap();
    let (_, plays) = heard.answer.body.split_once("keys?s=r1w0z0\">").unwrap();
    insta::assert_snapshot!(plays.split_once("</Gather>").unwrap().0, @"<Play>https://gw.example/audio/en-US/greeting.wav</Play><Play>https://gw.example/audio/en-US/ask.wav</Play>");
}

#[test]
fn a_page_is_spoken_in_its_language() {
    let brand = Brand::try_from("銀行".to_owned()).unwrap();
    for (locale, start) in [
        ("de-AT", "<Say language=\"de-DE\">Hier ist 銀行."),
        ("ar", "<Say language=\"arb\" voice=\"Polly.Zeina\">"),
        ("xx", "<Say language=\"en-US\">This is 銀行, calling"),
    ] {
        let request = signed("voice", &[("CallSid", CALL)]);
        let scene = scene(Channel::Voice, locale, Some(&brand));
        let heard = hear(&twilio(), &request, Some(scene)).unwrap();
        assert!(heard.answer.body.contains(start), "{}", heard.answer.body);
    }
}

#[test]
fn states_of_a_call_are_news_and_unknown_ones_are_not() {
    let status = |fields: &[(&str, &str)]| {
        let mut all = vec![("CallSid", CALL)];
        all.extend(fields);
        let heard = hear(&twilio(), &signed("status", &all), Some(voice())).unwrap();
        assert_eq!(heard.answer, HttpAnswer::default());
        assert!(heard.news.len() <= 1);
        heard.news.into_iter().next().map(|(about, news)| {
            assert_eq!(about, About::This);
            news
        })
    };
    let ended = |reason, sip| Some(News::Ended(Cause { sip_status: sip, ..Cause::plain(reason) }));
    let by = |word: &str, code: &str| status(&[("CallStatus", word), ("SipResponseCode", code)]);
    for word in ["queued", "initiated"] {
        assert_eq!(status(&[("CallStatus", word)]), Some(News::Placed(CALL.to_owned())));
    }
    assert_eq!(status(&[("CallStatus", "ringing")]), Some(News::Alerting));
    assert_eq!(status(&[("CallStatus", "in-progress")]), Some(News::Engaged));
    assert_eq!(status(&[("CallStatus", "completed")]), ended(Reason::HungUp, None));
    for (by, reason) in [
        ("human", Reason::HungUp),
        ("unknown", Reason::HungUp),
        ("machine_start", Reason::Voicemail),
        ("machine_end_beep", Reason::Voicemail),
        ("fax", Reason::Fax),
    ] {
        let fields = [("CallStatus", "completed"), ("AnsweredBy", by)];
        assert_eq!(status(&fields), ended(reason, None), "{by}");
    }
    assert_eq!(status(&[("CallStatus", "busy")]), ended(Reason::Busy, None));
    assert_eq!(status(&[("CallStatus", "no-answer")]), ended(Reason::NoAnswer, None));
    for (word, code, reason, sip) in [
        ("busy", "486", Reason::Busy, Some(486)),
        ("busy", "603", Reason::Rejected, Some(603)),
        ("busy", "503", Reason::Busy, Some(503)),
        ("busy", "200", Reason::Busy, None),
        ("no-answer", "487", Reason::NoAnswer, Some(487)),
        ("no-answer", "480", Reason::Unreachable, Some(480)),
        ("no-answer", "x", Reason::NoAnswer, None),
        ("failed", "404", Reason::InvalidNumber, Some(404)),
        ("failed", "503", Reason::CarrierError, Some(503)),
    ] {
        assert_eq!(by(word, code), ended(reason, sip), "{word} {code}");
    }
    for word in ["failed", "canceled"] {
        let Some(News::Ended(cause)) = status(&[("CallStatus", word)]) else { panic!("{word}") };
        assert_eq!(cause.reason, Reason::CarrierError);
        assert!(cause.detail.is_some());
    }
    for word in ["", "Completed", "queueing", "whatever"] {
        assert_eq!(status(&[("CallStatus", word)]), None, "{word}");
    }
}

#[test]
fn a_guess_of_a_machine_is_no_news() {
    for by in ["human", "machine_start", "fax", "unknown"] {
        let request = signed("amd", &[("CallSid", CALL), ("AnsweredBy", by)]);
        assert_eq!(hear(&twilio(), &request, Some(voice())), Ok(Heard::default()));
    }
}

#[test]
fn receipts_of_a_text_are_news() {
    let scene = scene(Channel::Sms, "en-US", None);
    let receipt = |word: &str, code: &str| {
        let fields = [("MessageSid", "SM1"), ("MessageStatus", word), ("ErrorCode", code)];
        let heard = hear(&twilio(), &signed("receipt", &fields), Some(scene)).unwrap();
        heard.news.into_iter().next().map(|(_, news)| news)
    };
    assert_eq!(receipt("sent", ""), Some(News::Sent));
    assert_eq!(receipt("delivered", ""), Some(News::Delivered));
    assert_eq!(receipt("read", ""), Some(News::Delivered));
    for word in ["queued", "accepted", "scheduled", "sending", "receiving", "", "x"] {
        assert_eq!(receipt(word, ""), None, "{word}");
    }
    for (word, code, reason) in [
        ("undelivered", "30003", Reason::Unreachable),
        ("undelivered", "30005", Reason::InvalidNumber),
        ("undelivered", "30006", Reason::InvalidNumber),
        ("undelivered", "30007", Reason::Undelivered),
        ("undelivered", "30008", Reason::Undelivered),
        ("failed", "21610", Reason::OptedOut),
        ("failed", "30001", Reason::Congested),
        ("failed", "", Reason::Undelivered),
        ("failed", "+14155550132", Reason::Undelivered),
        ("canceled", "", Reason::Undelivered),
    ] {
        let Some(News::Ended(cause)) = receipt(word, code) else { panic!("{word} {code}") };
        assert_eq!(cause.reason, reason, "{word} {code}");
        assert!(!cause.detail.unwrap().contains("4155550132"));
    }
}

#[test]
fn a_text_that_a_person_sent_is_about_nobody() {
    let fields = [("MessageSid", "SM9"), ("From", PHONE), ("To", "+12025550100"), ("Body", "NO")];
    let heard = hear(&twilio(), &signed("inbound", &fields), None).unwrap();
    let (about, news) = heard.news.into_iter().next().unwrap();
    let News::Text(text) = news else { panic!("a text") };
    assert_eq!((about, text.id.as_str(), text.body.expose()), (About::Nobody, "SM9", "NO"));
    assert_eq!((text.from.expose(), text.to.as_str()), (PHONE, "+12025550100"));
    insta::assert_snapshot!(heard.answer.body, @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <Response></Response>
    "#);
    let fields = [("MessageSid", "SM9"), ("From", "BANK"), ("To", "+12025550100"), ("Body", "x")];
    assert_eq!(hear(&twilio(), &signed("inbound", &fields), None).unwrap().news, []);
    assert_eq!(hear(&twilio(), &signed("inbound", &[]), None), Err(Forged::Unreadable));
}

#[test]
fn what_is_not_signed_right_is_not_read() {
    let twilio = twilio();
    let mut request = pressed("r1w0z0", "#");
    assert!(hear(&twilio, &request, Some(voice())).is_ok());
    request.body = b"CallSid=CA1&Digits=0".to_vec();
    assert_eq!(hear(&twilio, &request, Some(voice())), Err(Forged::Signature));
    request.headers.clear();
    assert_eq!(hear(&twilio, &request, Some(voice())), Err(Forged::Unsigned));
    // The state of the dialogue is signed, too.
    let mut request = pressed("r1w0z1", "#");
    request.url = request.url.replace("r1w0z1", "r1w0z0");
    assert_eq!(hear(&twilio, &request, Some(voice())), Err(Forged::Signature));
}

#[test]
fn what_is_signed_and_makes_no_sense_is_unreadable() {
    let text = scene(Channel::Sms, "en-US", None);
    for (request, scene) in [
        (signed("keys", &[("CallSid", CALL), ("Digits", "#")]), voice()),
        (signed("keys?s=r9w0z0", &[("CallSid", CALL), ("Digits", "#")]), voice()),
        (signed("keys?s=r1w0z0", &[("Digits", "#")]), voice()),
        (signed("keys?s=r1w0z0", &[("CallSid", "a/b"), ("Digits", "#")]), voice()),
        (signed("keys?s=r1w0z0", &[("CallSid", CALL), ("Digits", "x")]), voice()),
        (signed("status", &[("CallSid", CALL)]), voice()),
        (signed("nothing", &[("CallSid", CALL)]), voice()),
        (signed("keys?s=r1w0z0", &[("CallSid", CALL), ("Digits", "#")]), text),
        (signed("receipt", &[("MessageSid", "SM1")]), text),
    ] {
        let heard = hear(&twilio(), &request, Some(scene));
        assert_eq!(heard, Err(Forged::Unreadable), "{}", request.url);
    }
}

#[test]
fn a_body_that_is_no_form_is_held_to_its_hash() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/signature-vectors.json"))
            .unwrap();
    let case = &vectors["twilio"]["json_body"];
    let twilio = Twilio::new(Settings {
        token: Zeroizing::new("12345".to_owned()),
        ..settings(Dialect::Twilio)
    })
    .unwrap();
    let url = case["url"].as_str().unwrap();
    let query = url.split_once('?').unwrap().1;
    let headers = [("x-twilio-signature".to_owned(), case["signature"].as_str().unwrap().into())];
    let heard = |url: &str, body: &str| {
        twilio.hear(&Hook {
            url,
            part: Some("amd"),
            query,
            headers: &headers,
            body: body.as_bytes(),
            now: at(),
            scene: Some(voice()),
        })
    };
    let body = case["body"].as_str().unwrap();
    assert_eq!(heard(url, body), Ok(Heard::default()));
    assert_eq!(heard(url, &body.replace("CA1", "CA2")), Err(Forged::Altered));
    assert_eq!(heard(&url.replace("8526", "8527"), body), Err(Forged::Signature));
}

#[test]
fn a_rule_of_the_customers_may_ask_for_the_stronger_hash() {
    let key = Zeroizing::new("shared-key".to_owned());
    let own = Settings { signing_key: Some(key.clone()), ..settings(Dialect::Twilio) };
    let own = Twilio::new(own).unwrap();
    let mut request = signed("amd", &[]);
    assert_eq!(hear(&own, &request, Some(voice())), Err(Forged::Signature));
    let sign = |hash| signature::twilio_signature(hash, key.as_bytes(), &request.url, &[]);
    let (weak, strong) = (sign(Hash::Sha1), sign(Hash::Sha256));
    request.headers[0].1 = weak;
    assert!(hear(&own, &request, Some(voice())).is_ok());
    request.headers[0].1 = strong;
    assert_eq!(hear(&own, &request, Some(voice())), Err(Forged::Signature));
    let rule = "key=CR1,algorithm=HMAC_SHA256";
    request.headers.push(("x-twilio-webhooks-signature-settings".to_owned(), rule.to_owned()));
    assert!(hear(&own, &request, Some(voice())).is_ok());
}

#[test]
fn signalwire_signs_with_its_key_under_either_name() {
    let wire = Twilio::new(settings(Dialect::SignalWire)).unwrap();
    let mut request = signed("amd", &[]);
    assert_eq!(hear(&wire, &request, Some(voice())), Err(Forged::Signature));
    let right = signature::twilio_signature(Hash::Sha1, b"signing-key", &request.url, &[]);
    for name in ["x-signalwire-signature", "x-twilio-signature"] {
        request.headers = vec![(name.to_owned(), right.clone())];
        assert!(hear(&wire, &request, Some(voice())).is_ok(), "{name}");
    }
}

/// A form, signed as Telnyx signs.
pub(super) fn sealed(path: &str, at: &str, body: &str) -> Request {
    let seed = [1; 32];
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let signature = BASE64.encode(pair.sign(format!("{at}|{body}").as_bytes()).as_ref());
    Request {
        url: format!("{HOOKS}/{path}"),
        headers: vec![
            ("telnyx-signature-ed25519".to_owned(), signature),
            ("telnyx-timestamp".to_owned(), at.to_owned()),
        ],
        body: body.as_bytes().to_vec(),
    }
}

#[test]
fn telnyx_seals_time_and_form_and_both_must_hold() {
    let telnyx = Twilio::new(settings(Dialect::TelnyxTexml)).unwrap();
    let body = "CallSid=v3%3Aabc-1&Digits=%23";
    let request = |at: &str| sealed("keys?s=r1w0z0", at, body);
    let heard = hear(&telnyx, &request("1795507200"), Some(voice())).unwrap();
    assert_eq!(said(&heard), Some(Said::Confirmed));
    for at in ["1795506899", "1795507501", "0"] {
        assert_eq!(hear(&telnyx, &request(at), Some(voice())), Err(Forged::Stale), "{at}");
    }
    let mut forged = request("1795507200");
    forged.body.push(b'x');
    assert_eq!(hear(&telnyx, &forged, Some(voice())), Err(Forged::Signature));
    forged.headers.pop();
    assert_eq!(hear(&telnyx, &forged, Some(voice())), Err(Forged::Unsigned));
}
