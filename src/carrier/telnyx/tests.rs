//! Telnyx against its own words: requests as they go out, events as they come in.

mod authentic;

use std::time::Duration;

use insta::assert_snapshot;
use ring::signature::Ed25519KeyPair;

use super::*;
use crate::ambient::{Entropy, Timestamp};
use crate::carrier::Body;
use crate::verify::signal::Said;

const HOOKS: &str = "https://otp.example.net/hooks/telnyx/a1/T0K3N";
const NOW: u64 = 1_795_507_200;
const SEED: [u8; 32] = [1; 32];
const PUBLIC_KEY: &str = "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";

fn settings() -> Settings {
    Settings {
        base_url: BASE_URL.to_owned(),
        api_key: Zeroizing::new("KEY0123".to_owned()),
        public_key: PUBLIC_KEY.to_owned(),
        connection_id: Some("1494404757140276705".to_owned()),
        messaging_profile: None,
        from: "+12025550142".to_owned(),
        machine_detection: false,
    }
}

fn telnyx() -> Telnyx {
    Telnyx::new(settings()).unwrap()
}

fn ask() -> Ask<'static> {
    Ask { locale: "en-US", brand: None, payment: None }
}

fn call(extension: Option<&str>) -> What<'_> {
    let (ring, limit) = (Duration::from_secs(25), Duration::from_secs(90));
    What::Call { ask: ask(), extension, ring, limit }
}

fn ordered(carrier: &Telnyx, what: What<'_>) -> Result<HttpRequest, Cause> {
    let to = "+14155550132".parse().unwrap();
    let since = Timestamp::from_secs(NOW);
    carrier.order(&Order { id: "vrf-1.1", to: &to, hooks: HOOKS, since, what })
}

/// A request as it is read by people.
fn shown(request: &HttpRequest) -> String {
    let mut text = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {}\n", value.as_str()));
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    text + &serde_json::to_string_pretty(&body).unwrap()
}

fn signed(timestamp: &str, body: &[u8]) -> Vec<(String, String)> {
    let key = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();
    let signature = key.sign(&[timestamp.as_bytes(), b"|", body].concat());
    vec![
        ("telnyx-signature-ed25519".to_owned(), BASE64.encode(signature)),
        ("telnyx-timestamp".to_owned(), timestamp.to_owned()),
    ]
}

fn scene(over: bool) -> Scene<'static> {
    Scene { hooks: HOOKS, channel: Channel::Voice, ask: ask(), over }
}

fn hook<'a>(headers: &'a [(String, String)], body: &'a [u8], scene: Option<Scene<'a>>) -> Hook<'a> {
    let now = Timestamp::from_secs(NOW);
    Hook { url: HOOKS, part: Some("call"), query: "", headers, body, now, scene }
}

fn heard(carrier: &Telnyx, body: &Value, scene: Option<Scene<'_>>) -> Result<Heard, Forged> {
    let body = body.to_string().into_bytes();
    carrier.hear(&hook(&signed(&NOW.to_string(), &body), &body, scene))
}

/// An event of a call, with a state in it.
fn event(kind: &str, state: &str, more: Value) -> Value {
    let mut payload = json!({
        "call_control_id": "v3:call",
        "client_state": state,
        "from": "+12025550142",
        "to": "+14155550132",
    });
    for (name, value) in more.as_object().unwrap() {
        payload[name] = value.clone();
    }
    json!({ "data": { "record_type": "event", "event_type": kind, "id": "ev-1", "payload": payload } })
}

fn on(kind: &str, stage: Stage, more: Value) -> Heard {
    heard(&telnyx(), &event(kind, &stage.to_base64(), more), Some(scene(false))).unwrap()
}

fn actions(heard: &Heard) -> Vec<&str> {
    heard.then.iter().map(|request| request.url.rsplit('/').next().unwrap()).collect()
}

fn state_of(request: &HttpRequest) -> String {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["client_state"].as_str().unwrap_or_default().to_owned()
}

/// Plays gathers, each with the state of the command before; gives the news and last action.
fn played(digits: &[&str]) -> (Vec<News>, String) {
    let carrier = telnyx();
    let mut state = Stage::Asking(Keypad::START).to_base64();
    let mut news = Vec::new();
    let mut action = String::new();
    for digits in digits {
        let status = if digits.is_empty() { "timeout" } else { "valid" };
        let more = json!({ "digits": digits, "status": status });
        let told = event("call.gather.ended", &state, more);
        let told = heard(&carrier, &told, Some(scene(false))).unwrap();
        assert_eq!(told.then.len(), 1);
        state = state_of(&told.then[0]);
        action = actions(&told)[0].to_owned();
        news.extend(told.news.into_iter().map(|(_, news)| news));
    }
    (news, action)
}

fn said(said: Said) -> Vec<News> {
    vec![News::Said { said, event: "ev-1".to_owned() }]
}

#[test]
fn a_call_is_ordered() {
    assert_snapshot!(shown(&ordered(&telnyx(), call(None)).unwrap()), @r#"
    POST https://api.telnyx.com/v2/calls
    content-type: application/json
    authorization: Bearer KEY0123
    {
      "client_state": "cjF3MHow",
      "command_id": "0389c4cf-0f77-816d-9821-90abcdf093db",
      "connection_id": "1494404757140276705",
      "from": "+12025550142",
      "time_limit_secs": 90,
      "timeout_secs": 25,
      "to": "+14155550132",
      "webhook_url": "https://otp.example.net/hooks/telnyx/a1/T0K3N/call",
      "webhook_url_method": "POST"
    }
    "#);
}

#[test]
fn an_extension_goes_with_the_call_and_holds_the_question_back() {
    let carrier = Telnyx::new(Settings { machine_detection: true, ..settings() }).unwrap();
    let order = ordered(&carrier, call(Some("W,204#"))).unwrap();
    let body: Value = serde_json::from_slice(&order.body).unwrap();
    assert_eq!(body["send_digits_on_answer"], "Ww204#");
    assert_eq!(body["answering_machine_detection"], "detect");
    let wait = Stage::Extension(Duration::from_millis(4_100));
    assert_eq!(state_of(&order), wait.to_base64());

    let answered = on("call.answered", wait, json!({}));
    assert_eq!(answered.news, [(About::This, News::Engaged)]);
    assert_snapshot!(shown(&answered.then[0]), @r#"
    POST https://api.telnyx.com/v2/calls/v3:call/actions/gather
    content-type: application/json
    authorization: Bearer KEY0123
    {
      "client_state": "dGhyb3VnaA==",
      "command_id": "deee9212-cb89-8e52-9c2d-8bcdee4563d0",
      "initial_timeout_millis": 4100,
      "maximum_digits": 1,
      "minimum_digits": 1,
      "terminating_digit": "",
      "timeout_millis": 4100,
      "valid_digits": "0123456789*#"
    }
    "#);
    // Whatever ends the wait, the question comes next.
    for digits in ["", "#"] {
        let through = on("call.gather.ended", Stage::Through, json!({ "digits": digits }));
        assert_eq!(through.news, [(About::This, News::Prompting)]);
        assert_eq!(actions(&through), ["gather_using_speak"]);
        assert_eq!(state_of(&through.then[0]), Stage::Asking(Keypad::START).to_base64());
    }
    for bad in ["12;3", "a", &"1".repeat(65)] {
        assert!(ordered(&carrier, call(Some(bad))).is_err(), "{bad}");
    }
}

#[test]
fn a_text_is_ordered() {
    let body = Body::from("Your code is 123456.".to_owned());
    let what = What::Text { body: &body, valid: Duration::from_secs(600) };
    assert_snapshot!(shown(&ordered(&telnyx(), what).unwrap()), @r#"
    POST https://api.telnyx.com/v2/messages
    content-type: application/json
    authorization: Bearer KEY0123
    idempotency-key: 2ecc61fd-68ce-8b32-b236-8c39365afdc4
    {
      "from": "+12025550142",
      "text": "Your code is 123456.",
      "to": "+14155550132",
      "type": "SMS",
      "use_profile_webhooks": false,
      "webhook_url": "https://otp.example.net/hooks/telnyx/a1/T0K3N/receipt"
    }
    "#);
    let profile = Some("40017d1b".to_owned());
    let carrier = Telnyx::new(Settings { messaging_profile: profile, ..settings() }).unwrap();
    let order = ordered(&carrier, what).unwrap();
    let body: Value = serde_json::from_slice(&order.body).unwrap();
    assert_eq!(body["messaging_profile_id"], "40017d1b");
}

#[test]
fn without_a_connection_there_are_no_calls() {
    let carrier = Telnyx::new(Settings { connection_id: None, ..settings() }).unwrap();
    assert!(!carrier.reach().voice);
    assert_eq!(ordered(&carrier, call(None)).unwrap_err().reason, Reason::CarrierError);
    assert!(telnyx().reach().voice);
}

#[test]
fn a_name_is_the_same_whenever_an_order_is_written() {
    let one = ordered(&telnyx(), call(None)).unwrap();
    assert_eq!(one, ordered(&telnyx(), call(None)).unwrap());
}

#[test]
fn a_call_names_itself_and_is_asked_when_answered() {
    let start = Stage::Asking(Keypad::START);
    let placed = on("call.initiated", start, json!({}));
    assert_eq!(placed.news, [(About::This, News::Placed("v3:call".to_owned()))]);
    assert_eq!(placed.once.as_deref(), Some("ev-1"));
    let answered = on("call.answered", start, json!({}));
    let news = [(About::This, News::Engaged), (About::This, News::Prompting)];
    assert_eq!(answered.news, news);
    assert_snapshot!(shown(&answered.then[0]), @r#"
    POST https://api.telnyx.com/v2/calls/v3:call/actions/gather_using_speak
    content-type: application/json
    authorization: Bearer KEY0123
    {
      "client_state": "cjF3MHow",
      "command_id": "35ccc56d-35d3-8966-8d15-f8eb3d2f5773",
      "language": "en-US",
      "maximum_digits": 1,
      "maximum_tries": 1,
      "minimum_digits": 1,
      "payload": "This is your sign-in call. If you are signing in now, press the pound key. If you are not, press zero, then pound.",
      "payload_type": "text",
      "terminating_digit": "",
      "timeout_millis": 10000,
      "valid_digits": "0123456789*#",
      "voice": "AWS.Polly.Joanna"
    }
    "#);
}

#[test]
fn pound_confirms_and_the_call_ends_after_the_farewell() {
    let more = json!({ "digits": "#", "status": "valid" });
    let told = on("call.gather.ended", Stage::Asking(Keypad::START), more);
    assert_eq!(told.news, [(About::This, said(Said::Confirmed).remove(0))]);
    assert_snapshot!(shown(&told.then[0]), @r#"
    POST https://api.telnyx.com/v2/calls/v3:call/actions/speak
    content-type: application/json
    authorization: Bearer KEY0123
    {
      "client_state": "Y2xvc2luZw==",
      "command_id": "c6844e93-f53f-8151-b669-bdb68765e51e",
      "language": "en-US",
      "payload": "Thank you. Goodbye.",
      "payload_type": "text",
      "voice": "AWS.Polly.Joanna"
    }
    "#);
    // By then the attempt is over.
    let spoken = event("call.speak.ended", &Stage::Closing.to_base64(), json!({}));
    let spoken = heard(&telnyx(), &spoken, Some(scene(true))).unwrap();
    assert_snapshot!(shown(&spoken.then[0]), @r#"
    POST https://api.telnyx.com/v2/calls/v3:call/actions/hangup
    content-type: application/json
    authorization: Bearer KEY0123
    {
      "command_id": "806287b5-1843-8add-b8e8-c176ddacb4d0"
    }
    "#);
}

#[test]
fn zero_waits_in_silence_for_pound_and_reports() {
    let zero = on("call.gather.ended", Stage::Asking(Keypad::START), json!({ "digits": "0" }));
    assert_eq!(zero.news, []);
    assert_snapshot!(shown(&zero.then[0]), @r#"
    POST https://api.telnyx.com/v2/calls/v3:call/actions/gather
    content-type: application/json
    authorization: Bearer KEY0123
    {
      "client_state": "cjF3MHox",
      "command_id": "deee9212-cb89-8e52-9c2d-8bcdee4563d0",
      "initial_timeout_millis": 10000,
      "maximum_digits": 1,
      "minimum_digits": 1,
      "terminating_digit": "",
      "timeout_millis": 10000,
      "valid_digits": "0123456789*#"
    }
    "#);
    assert_eq!(played(&["0", "#"]), (said(Said::FraudReported), "speak".to_owned()));
    // Should a gather ever hold both.
    assert_eq!(played(&["0#"]), (said(Said::FraudReported), "speak".to_owned()));
}

#[test]
fn wrong_keys_and_silence_follow_the_dialogue() {
    assert_eq!(played(&["5"]), (vec![], "gather_using_speak".to_owned()));
    assert_eq!(played(&["5", "#"]), (said(Said::Confirmed), "speak".to_owned()));
    assert_eq!(played(&["5", "*"]), (said(Said::WrongKey), "speak".to_owned()));
    assert_eq!(played(&[""]), (vec![], "gather_using_speak".to_owned()));
    assert_eq!(played(&["", ""]), (vec![], "speak".to_owned()));
}

#[test]
fn no_digits_are_silence_whatever_the_status_says() {
    for status in ["timeout", "invalid", "valid", "new word"] {
        let more = json!({ "digits": "", "status": status });
        let told = on("call.gather.ended", Stage::Asking(Keypad::START), more);
        assert_eq!(told.news, [], "{status}");
        assert_eq!(actions(&told), ["gather_using_speak"], "{status}");
    }
    for status in ["call_hangup", "cancelled", "cancelled_amd"] {
        let more = json!({ "status": status });
        let told = on("call.gather.ended", Stage::Asking(Keypad::START), more);
        assert_eq!((told.news, told.then), (vec![], vec![]), "{status}");
    }
}

#[test]
fn a_press_is_not_counted_twice_nor_before_its_gather_has_ended() {
    // The second key of a quick `0#`, with the state from before the first.
    let told = on("call.dtmf.received", Stage::Asking(Keypad::START), json!({ "digit": "#" }));
    assert_eq!((told.news, told.then), (vec![], vec![]));
}

#[test]
fn a_call_whose_attempt_is_over_is_ended() {
    let start = Stage::Asking(Keypad::START).to_base64();
    for kind in ["call.initiated", "call.answered", "call.gather.ended"] {
        let told = event(kind, &start, json!({ "digits": "#", "status": "valid" }));
        let told = heard(&telnyx(), &told, Some(scene(true))).unwrap();
        assert_eq!(actions(&told), ["hangup"], "{kind}");
        assert!(!told.news.iter().any(|(_, news)| matches!(news, News::Said { .. })), "{kind}");
    }
    // The end of the question that the key interrupted does not cut the farewell.
    for kind in ["call.speak.ended", "call.dtmf.received", "call.hangup"] {
        let told = event(kind, &start, json!({ "digit": "#" }));
        let told = heard(&telnyx(), &told, Some(scene(true))).unwrap();
        assert_eq!(told.then, [], "{kind}");
    }
}

#[test]
fn a_state_that_cannot_be_read_ends_the_call() {
    for kind in ["call.answered", "call.gather.ended"] {
        for state in ["", "?", "cjF3MHow=", &BASE64.encode("r9w9z9")] {
            let told = event(kind, state, json!({ "digits": "#", "status": "valid" }));
            let told = heard(&telnyx(), &told, Some(scene(false))).unwrap();
            assert_eq!(actions(&told), ["hangup"], "{kind} {state}");
            assert!(!told.news.iter().any(|(_, news)| matches!(news, News::Said { .. })));
        }
    }
}

#[test]
fn a_machine_is_not_asked() {
    let carrier = Telnyx::new(Settings { machine_detection: true, ..settings() }).unwrap();
    let state = Stage::Asking(Keypad::START).to_base64();
    let told = |kind: &str, result: &str| {
        let told = event(kind, &state, json!({ "result": result }));
        heard(&carrier, &told, Some(scene(false))).unwrap()
    };
    assert_eq!(told("call.answered", "").then, []);
    for result in ["human", "not_sure", "human_business", "silence"] {
        assert_eq!(actions(&told("call.machine.detection.ended", result)), ["gather_using_speak"]);
    }
    for (result, reason) in [("machine", Reason::Voicemail), ("fax_detected", Reason::Fax)] {
        let told = told("call.machine.premium.detection.ended", result);
        assert_eq!(told.news, [(About::This, News::Ended(Cause::plain(reason)))]);
        assert_eq!(actions(&told), ["hangup"]);
    }
}

#[test]
fn every_end_of_a_call_has_its_cause() {
    let start = Stage::Asking(Keypad::START);
    let table = [
        (start, "normal_clearing", "unspecified", Reason::HungUp, None),
        (start, "normal_clearing", "200", Reason::HungUp, None),
        (start, "normal_clearing", "480", Reason::Unreachable, Some(480)),
        (Stage::Closing, "normal_clearing", "200", Reason::HungUp, None),
        (Stage::Silent, "normal_clearing", "200", Reason::NoInput, None),
        (start, "time_limit", "200", Reason::NoInput, None),
        (start, "user_busy", "486", Reason::Busy, Some(486)),
        (start, "call_rejected", "603", Reason::Rejected, Some(603)),
        (start, "call_rejected", "403", Reason::CarrierError, Some(403)),
        (start, "timeout", "unspecified", Reason::NoAnswer, None),
        (start, "no_answer", "480", Reason::NoAnswer, Some(480)),
        (start, "originator_cancel", "487", Reason::NoAnswer, Some(487)),
        (start, "not_found", "404", Reason::InvalidNumber, Some(404)),
        (start, "unallocated_number", "404", Reason::InvalidNumber, Some(404)),
        (start, "subscriber_absent", "480", Reason::Unreachable, Some(480)),
        (start, "normal_circuit_congestion", "503", Reason::Congested, Some(503)),
        (start, "unspecified", "486", Reason::Busy, Some(486)),
        (start, "unspecified", "unspecified", Reason::CarrierError, None),
        (start, "new_word", "", Reason::CarrierError, None),
    ];
    for (stage, cause, sip, reason, sip_status) in table {
        let more = json!({ "hangup_cause": cause, "sip_hangup_cause": sip });
        let told = on("call.hangup", stage, more);
        let ended = News::Ended(Cause { sip_status, ..Cause::plain(reason) });
        assert_eq!(told.news, [(About::This, ended)], "{cause} {sip}");
        assert_eq!(told.then, []);
    }
}

fn message(kind: &str, payload: Value) -> Value {
    json!({ "data": { "event_type": kind, "id": "ev-2", "payload": payload } })
}

#[test]
fn every_state_of_a_text_has_its_news() {
    let failed =
        |reason, code: &str| News::Ended(Cause::because(reason, format!("Telnyx error {code}")));
    let table = [
        ("message.sent", "sent", "", Some(News::Sent)),
        ("message.finalized", "delivered", "", Some(News::Delivered)),
        ("message.finalized", "delivery_unconfirmed", "", Some(News::Sent)),
        ("message.finalized", "delivery_failed", "40300", Some(failed(Reason::OptedOut, "40300"))),
        (
            "message.finalized",
            "delivery_failed",
            "40001",
            Some(failed(Reason::Undelivered, "40001")),
        ),
        (
            "message.finalized",
            "sending_failed",
            "40310",
            Some(failed(Reason::InvalidNumber, "40310")),
        ),
        (
            "message.finalized",
            "sending_failed",
            "40010",
            Some(failed(Reason::CarrierError, "40010")),
        ),
        (
            "message.finalized",
            "sending_failed",
            "",
            Some(News::Ended(Cause::plain(Reason::CarrierError))),
        ),
        (
            "message.finalized",
            "expired",
            "+14155550132",
            Some(News::Ended(Cause::plain(Reason::Undelivered))),
        ),
        ("message.finalized", "queued", "", None),
        ("message.new", "new", "", None),
    ];
    for (kind, status, code, news) in table {
        let payload = json!({
            "id": "msg-1",
            "to": [{ "phone_number": "+14155550132", "status": status }],
            "errors": [{ "code": code, "title": "no" }],
        });
        let scene = Scene { channel: Channel::Sms, ..scene(false) };
        let told = heard(&telnyx(), &message(kind, payload.clone()), Some(scene)).unwrap();
        let expected: Vec<_> = news.into_iter().map(|news| (About::This, news)).collect();
        assert_eq!(told.news, expected, "{status} {code}");
        // The same at the address of the messaging profile.
        let told = heard(&telnyx(), &message(kind, payload), None).unwrap();
        assert!(told.news.iter().all(|(about, _)| *about == About::Handle("msg-1".to_owned())));
    }
}

#[test]
fn a_text_of_a_person_is_passed_on() {
    let payload = json!({
        "id": "msg-2",
        "from": { "phone_number": "+14155550132" },
        "to": [{ "phone_number": "+12025550142", "status": "webhook_delivered" }],
        "text": "YES 123456",
    });
    let told = heard(&telnyx(), &message("message.received", payload), None).unwrap();
    let text = Text {
        id: "msg-2".to_owned(),
        from: "+14155550132".parse().unwrap(),
        to: "+12025550142".to_owned(),
        body: Body::from("YES 123456".to_owned()),
    };
    assert_eq!(told.news, [(About::Nobody, News::Text(text))]);
    assert_eq!(told.once.as_deref(), Some("ev-2"));
    let shortcode = json!({
        "id": "msg-3", "from": { "phone_number": "12345" },
        "to": [{ "phone_number": "+12025550142" }], "text": "hi",
    });
    assert_eq!(heard(&telnyx(), &message("message.received", shortcode), None).unwrap().news, []);
}

#[test]
fn every_response_has_its_receipt() {
    let carrier = telnyx();
    let taken = |channel, body: Value| carrier.receipt(channel, 200, body.to_string().as_bytes());
    let call = json!({ "data": { "call_control_id": "v3:call", "is_alive": false } });
    assert_eq!(taken(Channel::Voice, call.clone()), Receipt::Taken("v3:call".to_owned()));
    let text = json!({ "data": { "id": "msg-1" } });
    assert_eq!(taken(Channel::Sms, text), Receipt::Taken("msg-1".to_owned()));
    assert_eq!(taken(Channel::Sms, call), Receipt::Unclear);
    for status in [200, 302, 408, 409, 500, 502, 503, 504] {
        assert_eq!(
            carrier.receipt(Channel::Voice, status, b"<html>"),
            Receipt::Unclear,
            "{status}"
        );
    }
    let table = [
        (429, "10011", Reason::Congested),
        (422, "10016", Reason::InvalidNumber),
        (400, "40310", Reason::InvalidNumber),
        (403, "40300", Reason::OptedOut),
        (401, "10009", Reason::CarrierError),
        (402, "20100", Reason::CarrierError),
        (422, "+14155550132", Reason::CarrierError),
        (404, "", Reason::CarrierError),
    ];
    for (status, code, reason) in table {
        let body = json!({ "errors": [{
            "code": code, "title": "Invalid +14155550132", "detail": "the number 14155550132",
        }]});
        let receipt = carrier.receipt(Channel::Voice, status, body.to_string().as_bytes());
        let Receipt::Refused(cause) = receipt else { panic!("{status} {code}: {receipt:?}") };
        assert_eq!(cause.reason, reason, "{status} {code}");
        assert!(!cause.detail.unwrap().contains("4155550132"), "{status} {code}");
    }
}

#[test]
fn a_call_is_ended_by_its_name() {
    let end = telnyx().end("v3:a/../b?c", Timestamp::from_secs(NOW)).unwrap();
    assert_eq!(end.url, "https://api.telnyx.com/v2/calls/v3:a%2F%2E%2E%2Fb%3Fc/actions/hangup");
    assert_eq!(telnyx().end("", Timestamp::from_secs(NOW)), None);
}

#[test]
fn nothing_secret_is_shown() {
    let told = format!("{:?} {:?}", telnyx(), ordered(&telnyx(), call(None)).unwrap());
    for secret in ["KEY0123", "4155550132", "2025550142", "T0K3N"] {
        assert!(!told.contains(secret), "{told}");
    }
    for public_key in ["", "?", "AAAA"] {
        let settings = Settings { public_key: public_key.to_owned(), ..settings() };
        assert!(Telnyx::new(settings).is_err());
    }
}

#[test]
fn a_voice_is_found_for_every_language() {
    for (tag, language) in [
        ("en-GB", "en-GB"),
        ("de", "de-DE"),
        ("de-AT", "de-DE"),
        ("zh-CN", "cmn-CN"),
        ("xx", "en-US"),
    ] {
        assert_eq!(words::voice(tag).0, language);
    }
}
