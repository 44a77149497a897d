//! Vonage against its own words: requests as they go out, events as they come in.

mod authentic;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use insta::assert_snapshot;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, encode};
use ring::digest::{SHA256, digest};

use super::*;
use crate::ambient::Entropy;
use crate::carrier::Body;
use crate::verify::signal::Said;

/// Made for these tests, and good for nothing else.
const KEY: &str = include_str!("tests/key.pem");
const HOOKS: &str = "https://otp.example.net/hooks/vonage/a1/T0K3N";
const NOW: u64 = 1_795_507_200;
const SECRET: &str = "signature-secret-of-at-least-32-bytes!!";
const APPLICATION: &str = "78d335fa-323d-0114-9c3d-d6f0d48968cf";

fn settings() -> Settings {
    Settings {
        base_url: BASE_URL.to_owned(),
        application_id: APPLICATION.to_owned(),
        private_key: Zeroizing::new(KEY.to_owned()),
        api_key: "abcd1234".to_owned(),
        signature_secret: Zeroizing::new(SECRET.to_owned()),
        from: "+12025550142".to_owned(),
    }
}

fn vonage() -> Vonage {
    Vonage::new(settings()).unwrap()
}

fn ask() -> Ask<'static> {
    Ask { locale: "en-GB", brand: None, payment: None }
}

fn call(extension: Option<&str>) -> What<'_> {
    let (ring, limit) = (Duration::from_secs(25), Duration::from_secs(90));
    What::Call { ask: ask(), extension, ring, limit }
}

fn with_order<T>(what: What<'_>, use_it: impl FnOnce(&Order<'_>) -> T) -> T {
    let to = "+14155550132".parse().unwrap();
    let since = Timestamp::from_secs(NOW);
    use_it(&Order { id: "vrf-1.1", to: &to, hooks: HOOKS, since, what })
}

fn ordered(what: What<'_>) -> Result<HttpRequest, Cause> {
    with_order(what, |order| vonage().order(order))
}

/// A request as it is read by people, its token as what it claims.
fn shown(request: &HttpRequest) -> String {
    let mut text = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        let value = match value.strip_prefix("Bearer ") {
            Some(token) => {
                let middle = token.split('.').nth(1).unwrap();
                let claims = BASE64URL.decode(middle).unwrap();
                format!("Bearer {}", String::from_utf8(claims).unwrap())
            }
            None => value.as_str().to_owned(),
        };
        text.push_str(&format!("{name}: {value}\n"));
    }
    if !request.body.is_empty() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        text += &serde_json::to_string_pretty(&body).unwrap();
    }
    text
}

fn claims(body: &[u8]) -> Value {
    let hash = digest(&SHA256, body);
    let hash = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
    json!({
        "iss": "Vonage",
        "iat": NOW,
        "jti": "ev-1",
        "api_key": "abcd1234",
        "application_id": APPLICATION,
        "payload_hash": hash.collect::<String>(),
    })
}

fn bearer(token: &str) -> Vec<(String, String)> {
    vec![("authorization".to_owned(), format!("Bearer {token}"))]
}

fn signed(claims: &Value) -> Vec<(String, String)> {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    bearer(&encode(&Header::new(Algorithm::HS256), claims, &key).unwrap())
}

fn scene(over: bool) -> Scene<'static> {
    Scene { hooks: HOOKS, channel: Channel::Voice, ask: ask(), over }
}

fn hook<'a>(
    part: &'a str,
    headers: &'a [(String, String)],
    body: &'a [u8],
    scene: Option<Scene<'a>>,
) -> Hook<'a> {
    let (part, query) = part.split_once('?').unwrap_or((part, ""));
    let now = Timestamp::from_secs(NOW);
    Hook { url: HOOKS, part: Some(part), query, headers, body, now, scene }
}

fn heard(part: &str, body: &Value, scene: Option<Scene<'_>>) -> Result<Heard, Forged> {
    let body = body.to_string().into_bytes();
    vonage().hear(&hook(part, &signed(&claims(&body)), &body, scene))
}

fn key_body(digits: &str) -> Value {
    json!({
        "speech": { "results": [] },
        "dtmf": { "digits": digits, "timed_out": digits.is_empty() },
        "uuid": "leg-1",
        "conversation_uuid": "CON-1",
        "timestamp": "2026-11-24T00:00:00.000Z",
    })
}

/// Plays keys, each at the address that the answer before gave; gives the news and last answer.
fn played(keys: &[&str]) -> (Vec<News>, Value) {
    let mut part = "keys?s=r1w0z0".to_owned();
    let mut news = Vec::new();
    let mut answer = Value::Null;
    for key in keys {
        let told = heard(&part, &key_body(key), Some(scene(false))).unwrap();
        assert_eq!(told.then, []);
        assert_eq!(told.answer.status, 200);
        answer = serde_json::from_str(&told.answer.body).unwrap();
        news.extend(told.news.into_iter().map(|(_, news)| news));
        let actions = answer.as_array().unwrap();
        let next = actions.last().unwrap().pointer("/eventUrl/0").and_then(Value::as_str);
        if let Some(next) = next {
            part = next.strip_prefix(&format!("{HOOKS}/")).unwrap().to_owned();
        }
    }
    (news, answer)
}

fn said(said: Said) -> Vec<News> {
    vec![News::Said { said, event: "ev-1".to_owned() }]
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[test]
fn a_call_is_ordered() {
    assert_snapshot!(shown(&ordered(call(None)).unwrap()), @r#"
    POST https://api.nexmo.com/v1/calls
    content-type: application/json
    authorization: Bearer {"application_id":"78d335fa-323d-0114-9c3d-d6f0d48968cf","iat":1795507200,"jti":"fc9ccdb7-bc21-8933-b33b-ee8775a27e81","exp":1795508100}
    {
      "event_method": "POST",
      "event_url": [
        "https://otp.example.net/hooks/vonage/a1/T0K3N/event"
      ],
      "from": {
        "number": "12025550142",
        "type": "phone"
      },
      "length_timer": 90,
      "ncco": [
        {
          "action": "talk",
          "bargeIn": true,
          "language": "en-GB",
          "text": "This is your sign-in call. If you are signing in now, press the hash key. If you are not, press zero, then hash."
        },
        {
          "action": "input",
          "dtmf": {
            "maxDigits": 1,
            "submitOnHash": false,
            "timeOut": 10
          },
          "eventMethod": "POST",
          "eventUrl": [
            "https://otp.example.net/hooks/vonage/a1/T0K3N/keys?s=r1w0z0"
          ],
          "type": [
            "dtmf"
          ]
        }
      ],
      "ringing_timer": 25,
      "to": [
        {
          "number": "14155550132",
          "type": "phone"
        }
      ]
    }
    "#);
}

#[test]
fn an_extension_goes_with_the_call_and_holds_the_question_back() {
    let order = ordered(call(Some("W,204#"))).unwrap();
    let body: Value = serde_json::from_slice(&order.body).unwrap();
    assert_eq!(body["to"][0]["dtmfAnswer"], "ppp204#");
    assert_eq!(body["ncco"][0], json!({ "action": "wait", "timeout": 4.1 }));
    assert_eq!(body["ncco"][1]["action"], "talk");
    assert!(ordered(call(Some("12;3"))).is_err());
}

#[test]
fn a_text_is_ordered() {
    let body = Body::from("Your code is 123456.".to_owned());
    let what = What::Text { body: &body, valid: Duration::from_millis(599_500) };
    assert_snapshot!(shown(&ordered(what).unwrap()), @r#"
    POST https://api.nexmo.com/v1/messages
    content-type: application/json
    authorization: Bearer {"application_id":"78d335fa-323d-0114-9c3d-d6f0d48968cf","iat":1795507200,"jti":"fc9ccdb7-bc21-8933-b33b-ee8775a27e81","exp":1795508100}
    {
      "channel": "sms",
      "client_ref": "vrf-1.1",
      "from": "12025550142",
      "message_type": "text",
      "text": "Your code is 123456.",
      "to": "14155550132",
      "ttl": 600,
      "webhook_url": "https://otp.example.net/hooks/vonage/a1/T0K3N/receipt",
      "webhook_version": "v1"
    }
    "#);
}

#[test]
fn our_token_is_signed_by_the_applications_key() {
    let order = ordered(call(None)).unwrap();
    let token = order.headers.iter().find(|(name, _)| name == "authorization").unwrap();
    let token = token.1.strip_prefix("Bearer ").unwrap();
    let pair = ring::signature::RsaKeyPair::from_der(
        &base64::engine::general_purpose::STANDARD
            .decode(KEY.lines().filter(|line| !line.starts_with('-')).collect::<String>())
            .unwrap(),
    );
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.unwrap().public());
    let key = DecodingKey::from_rsa_raw_components(&public.n, &public.e);
    let mut rules = Validation::new(Algorithm::RS256);
    rules.validate_exp = false;
    assert!(decode::<Value>(token, &key, &rules).is_ok());
    // The same order has the same token, and the same call another for another purpose.
    assert_eq!(order, ordered(call(None)).unwrap());
    let found = with_order(call(None), |order| vonage().find(order)).unwrap();
    assert!(found.headers.iter().all(|(_, value)| !value.contains(token)));
}

#[test]
fn every_state_of_a_call_has_its_news() {
    let plain = |reason| News::Ended(Cause::plain(reason));
    let says =
        |reason, word: &str| News::Ended(Cause::because(reason, format!("Vonage says {word}")));
    let table = [
        ("started", "", vec![News::Placed("leg-1".to_owned())]),
        ("ringing", "", vec![News::Alerting]),
        ("answered", "", vec![News::Engaged, News::Prompting]),
        ("completed", "ok", vec![plain(Reason::HungUp)]),
        ("busy", "remote_busy", vec![plain(Reason::Busy)]),
        ("timeout", "", vec![plain(Reason::NoAnswer)]),
        ("cancelled", "", vec![plain(Reason::NoAnswer)]),
        ("unanswered", "unavailable", vec![plain(Reason::Unreachable)]),
        ("unanswered", "timeout", vec![plain(Reason::NoAnswer)]),
        ("rejected", "declined", vec![plain(Reason::Rejected)]),
        ("rejected", "", vec![plain(Reason::Rejected)]),
        ("rejected", "restricted", vec![says(Reason::CarrierError, "restricted")]),
        ("rejected", "invalid_number", vec![plain(Reason::InvalidNumber)]),
        ("failed", "number_out_of_service", vec![plain(Reason::InvalidNumber)]),
        ("failed", "cannot_route", vec![says(Reason::CarrierError, "cannot_route")]),
        ("failed", "internal_error", vec![says(Reason::CarrierError, "internal_error")]),
        ("failed", "+14155550132", vec![plain(Reason::CarrierError)]),
        ("human", "", vec![]),
        ("transfer", "", vec![]),
        ("new word", "", vec![]),
    ];
    for (status, detail, news) in table {
        let body = json!({ "status": status, "detail": detail, "uuid": "leg-1" });
        let told = heard("event", &body, Some(scene(false))).unwrap();
        let expected: Vec<_> = news.into_iter().map(|news| (About::This, news)).collect();
        assert_eq!(told.news, expected, "{status} {detail}");
        assert_eq!(told.then, []);
        assert_eq!(told.once.as_deref(), Some("ev-1"));
        // The same at the address of the application.
        let told = heard("inbound", &body, None).unwrap();
        assert!(told.news.iter().all(|(about, _)| *about == About::Handle("leg-1".to_owned())));
    }
    let machine = json!({ "status": "machine", "call_uuid": "leg-1" });
    let told = heard("event", &machine, Some(scene(false))).unwrap();
    assert_eq!(told.news, [(About::This, plain(Reason::Voicemail))]);
    assert_eq!(told.then.len(), 1);
}

#[test]
fn pound_confirms_and_the_farewell_ends_the_call() {
    let (news, answer) = played(&["#"]);
    assert_eq!(news, said(Said::Confirmed));
    assert_snapshot!(pretty(&answer), @r#"
    [
      {
        "action": "talk",
        "language": "en-GB",
        "text": "Thank you. Goodbye."
      }
    ]
    "#);
}

#[test]
fn zero_waits_in_silence_for_pound_and_reports() {
    let (news, answer) = played(&["0"]);
    assert_eq!(news, []);
    assert_snapshot!(pretty(&answer), @r#"
    [
      {
        "action": "input",
        "dtmf": {
          "maxDigits": 1,
          "submitOnHash": false,
          "timeOut": 10
        },
        "eventMethod": "POST",
        "eventUrl": [
          "https://otp.example.net/hooks/vonage/a1/T0K3N/keys?s=r1w0z1"
        ],
        "type": [
          "dtmf"
        ]
      }
    ]
    "#);
    assert_eq!(played(&["0", "#"]).0, said(Said::FraudReported));
    // Should one event ever hold both.
    assert_eq!(played(&["0#"]).0, said(Said::FraudReported));
}

#[test]
fn wrong_keys_are_asked_again_once() {
    let (news, answer) = played(&["5"]);
    assert_eq!(news, []);
    assert_snapshot!(pretty(&answer), @r#"
    [
      {
        "action": "talk",
        "bargeIn": true,
        "language": "en-GB",
        "text": "That was not the hash key. If you are signing in now, press the hash key. If you are not, press zero, then hash."
      },
      {
        "action": "input",
        "dtmf": {
          "maxDigits": 1,
          "submitOnHash": false,
          "timeOut": 10
        },
        "eventMethod": "POST",
        "eventUrl": [
          "https://otp.example.net/hooks/vonage/a1/T0K3N/keys?s=r1w1z0"
        ],
        "type": [
          "dtmf"
        ]
      }
    ]
    "#);
    assert_eq!(played(&["5", "#"]).0, said(Said::Confirmed));
    assert_eq!(played(&["5", "*"]).0, said(Said::WrongKey));
}

#[test]
fn silence_is_asked_again_once_and_ends_without_input() {
    let (news, answer) = played(&[""]);
    assert_eq!(news, []);
    assert_eq!(answer[1]["eventUrl"][0], format!("{HOOKS}/keys?s=r2w0z0"));
    let (news, answer) = played(&["", ""]);
    assert_eq!(news, [News::Ended(Cause::plain(Reason::NoInput))]);
    assert_eq!(answer[0]["text"], "We did not hear from you. Goodbye.");
}

#[test]
fn no_digits_are_silence_timed_out_or_not() {
    for dtmf in [
        json!({ "digits": "", "timed_out": false }),
        json!({ "digits": "", "timed_out": true }),
        json!({ "digits": null, "timed_out": false }),
        json!({}),
        json!(""),
        json!(null),
    ] {
        let body = json!({ "dtmf": dtmf, "uuid": "leg-1" });
        let told = heard("keys?s=r1w0z0", &body, Some(scene(false))).unwrap();
        assert_eq!(told.news, [], "{dtmf}");
        assert!(told.answer.body.contains("keys?s=r2w0z0"), "{dtmf}");
    }
    // Early versions of the event.
    let body = json!({ "dtmf": "#", "timed_out": false, "uuid": "leg-1" });
    let told = heard("keys?s=r1w0z0", &body, Some(scene(false))).unwrap();
    assert_eq!(told.news, [(About::This, said(Said::Confirmed).remove(0))]);
}

#[test]
fn a_call_whose_attempt_is_over_or_whose_state_is_unknown_is_ended() {
    for (part, over) in [
        ("keys?s=r1w0z0", true),
        ("keys?s=r9w0z0", false),
        ("keys?s=", false),
        ("keys?t=r1w0z0", false),
        ("keys", false),
    ] {
        let told = heard(part, &key_body("#"), Some(scene(over))).unwrap();
        assert_eq!(told.news, [], "{part}");
        assert_eq!(told.answer.body, "[]");
        assert_eq!(told.then.len(), 1);
    }
    for status in ["started", "ringing", "answered"] {
        let body = json!({ "status": status, "uuid": "leg-1" });
        let told = heard("event", &body, Some(scene(true))).unwrap();
        assert_eq!(told.then.len(), 1, "{status}");
    }
    let body = json!({ "status": "completed", "uuid": "leg-1" });
    assert_eq!(heard("event", &body, Some(scene(true))).unwrap().then, []);
}

#[test]
fn keys_count_at_their_own_address_alone() {
    for part in ["event?s=r1w0z0", "receipt?s=r1w0z0", "other?s=r1w0z0"] {
        let told = heard(part, &key_body("#"), Some(scene(false))).unwrap();
        assert_eq!(told.news, [], "{part}");
    }
    assert_eq!(heard("keys?s=r1w0z0", &key_body("#"), None).unwrap().news, []);
    let text = Scene { channel: Channel::Sms, ..scene(false) };
    assert_eq!(heard("keys?s=r1w0z0", &key_body("#"), Some(text)).unwrap().news, []);
}

#[test]
fn every_state_of_a_text_has_its_news() {
    let failed =
        |reason, code: &str| News::Ended(Cause::because(reason, format!("Vonage error {code}")));
    let kind = |code: &str| json!({ "type": format!("https://developer.vonage.com/api-errors/messages#{code}") });
    let table = [
        ("submitted", json!({}), Some(News::Sent)),
        ("delivered", json!({}), Some(News::Delivered)),
        ("read", json!({}), Some(News::Delivered)),
        ("rejected", kind("1000"), Some(failed(Reason::Congested, "1000"))),
        ("rejected", kind("1040"), Some(failed(Reason::InvalidNumber, "1040"))),
        ("rejected", kind("1050"), Some(failed(Reason::Undelivered, "1050"))),
        ("rejected", kind("1120"), Some(failed(Reason::CarrierError, "1120"))),
        ("rejected", kind("9999"), Some(failed(Reason::Undelivered, "9999"))),
        ("rejected", json!({ "title": 1000 }), Some(failed(Reason::Congested, "1000"))),
        ("rejected", json!({ "title": "1000" }), Some(failed(Reason::Congested, "1000"))),
        (
            "undeliverable",
            kind("14155550132"),
            Some(News::Ended(Cause::plain(Reason::Undelivered))),
        ),
        ("new word", json!({}), None),
    ];
    for (status, error, news) in table {
        let body = json!({
            "message_uuid": "msg-1", "channel": "sms", "to": "14155550132",
            "from": "12025550142", "status": status, "error": error,
        });
        let scene = Scene { channel: Channel::Sms, ..scene(false) };
        let told = heard("receipt", &body, Some(scene)).unwrap();
        let expected: Vec<_> = news.into_iter().map(|news| (About::This, news)).collect();
        assert_eq!(told.news, expected, "{status} {error}");
        let told = heard("inbound", &body, None).unwrap();
        assert!(told.news.iter().all(|(about, _)| *about == About::Handle("msg-1".to_owned())));
    }
}

#[test]
fn a_text_of_a_person_is_passed_on() {
    let told = |from: &str, to: &str| {
        let body = json!({
            "channel": "sms", "message_uuid": "msg-2", "message_type": "text",
            "to": to, "from": from, "text": "YES 123456",
        });
        heard("inbound", &body, None).unwrap().news
    };
    let text = |to: &str| Text {
        id: "msg-2".to_owned(),
        from: "+14155550132".parse().unwrap(),
        to: to.to_owned(),
        body: Body::from("YES 123456".to_owned()),
    };
    let passed = |to| vec![(About::Nobody, News::Text(text(to)))];
    assert_eq!(told("14155550132", "12025550142"), passed("+12025550142"));
    assert_eq!(told("+14155550132", "54321"), passed("54321"));
    assert_eq!(told("54321", "12025550142"), []);
}

#[test]
fn every_response_has_its_receipt() {
    let carrier = vonage();
    let taken = |channel, body: Value| carrier.receipt(channel, 201, body.to_string().as_bytes());
    let call = json!({ "uuid": "leg-1", "status": "started", "conversation_uuid": "CON-1" });
    assert_eq!(taken(Channel::Voice, call.clone()), Receipt::Taken("leg-1".to_owned()));
    let text = json!({ "message_uuid": "msg-1" });
    assert_eq!(taken(Channel::Sms, text), Receipt::Taken("msg-1".to_owned()));
    assert_eq!(taken(Channel::Sms, call), Receipt::Unclear);
    for status in [200, 302, 408, 500, 502, 503, 504] {
        assert_eq!(carrier.receipt(Channel::Sms, status, b"<html>"), Receipt::Unclear, "{status}");
    }
    let table = [
        (429, "1000", Reason::Congested),
        (422, "1040", Reason::InvalidNumber),
        (422, "1120", Reason::CarrierError),
        (401, "unauthorized", Reason::CarrierError),
        (402, "low-balance", Reason::CarrierError),
        (400, "14155550132", Reason::CarrierError),
    ];
    for (status, code, reason) in table {
        let body = json!({
            "type": format!("https://developer.vonage.com/api-errors#{code}"),
            "title": "14155550132", "detail": "the number 14155550132 …",
        });
        let receipt = carrier.receipt(Channel::Sms, status, body.to_string().as_bytes());
        let Receipt::Refused(cause) = receipt else { panic!("{status} {code}: {receipt:?}") };
        assert_eq!(cause.reason, reason, "{status} {code}");
        assert!(!cause.detail.unwrap().contains("4155550132"), "{status} {code}");
    }
}

#[test]
fn a_lost_call_is_looked_up() {
    let find = with_order(call(None), |order| vonage().find(order)).unwrap();
    assert_snapshot!(shown(&find), @r#"
    GET https://api.nexmo.com/v1/calls?date_start=2026-11-24T08%3A00%3A00.000Z&page_size=100&order=asc
    authorization: Bearer {"application_id":"78d335fa-323d-0114-9c3d-d6f0d48968cf","iat":1795507200,"jti":"fed1c3ec-741b-8735-923a-15f15d0eeafb","exp":1795508100}
    "#);
    let body = Body::from(String::new());
    let text = What::Text { body: &body, valid: Duration::from_secs(60) };
    assert_eq!(with_order(text, |order| vonage().find(order)), None);

    let call_to = |uuid: &str, to: &str, from: &str| json!({ "uuid": uuid, "to": { "number": to }, "from": { "number": from } });
    let ours = call_to("leg-1", "14155550132", "12025550142");
    let other = call_to("leg-2", "14155550199", "12025550142");
    let theirs = call_to("leg-3", "14155550132", "12025550100");
    let twin = call_to("leg-4", "14155550132", "12025550142");
    let found = |status, calls: &[&Value]| {
        let body = json!({ "count": calls.len(), "_embedded": { "calls": calls } }).to_string();
        with_order(call(None), |order| vonage().found(order, status, body.as_bytes()))
    };
    let taken = Receipt::Taken("leg-1".to_owned());
    assert_eq!(found(200, &[&other, &ours, &theirs]), taken);
    assert_eq!(found(200, &[&other, &theirs]), Receipt::Unclear);
    assert_eq!(found(200, &[&ours, &twin]), Receipt::Unclear);
    assert_eq!(found(200, &[]), Receipt::Unclear);
    assert_eq!(found(503, &[&ours]), Receipt::Unclear);
}

#[test]
fn a_call_is_ended_by_its_name() {
    let now = Timestamp::from_secs(NOW);
    assert_snapshot!(shown(&vonage().end("63f61863/../x", now).unwrap()), @r#"
    PUT https://api.nexmo.com/v1/calls/63f61863%2F%2E%2E%2Fx
    content-type: application/json
    authorization: Bearer {"application_id":"78d335fa-323d-0114-9c3d-d6f0d48968cf","iat":1795507200,"jti":"6b1024b2-27a6-8bc0-b438-af142fdd148b","exp":1795508100}
    {
      "action": "hangup"
    }
    "#);
    assert_eq!(vonage().end("", now), None);
}

#[test]
fn nothing_secret_is_shown() {
    let told = format!("{:?} {:?}", vonage(), ordered(call(None)).unwrap());
    for secret in [SECRET, "PRIVATE", "MII", "4155550132", "2025550142", "T0K3N", "eyJ"] {
        assert!(!told.contains(secret), "{told}");
    }
    let short = Zeroizing::new("short".to_owned());
    assert!(Vonage::new(Settings { signature_secret: short, ..settings() }).is_err());
    for key in ["", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"] {
        let private_key = Zeroizing::new(key.to_owned());
        assert!(Vonage::new(Settings { private_key, ..settings() }).is_err());
    }
}

#[test]
fn a_voice_is_found_for_every_language() {
    for (tag, language) in [
        ("en-GB", "en-GB"),
        ("de", "de-DE"),
        ("de-AT", "de-DE"),
        ("zh-TW", "cmn-CN"),
        ("xx", "en-US"),
    ] {
        assert_eq!(words::voice(tag), language);
    }
}
