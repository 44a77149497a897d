//! What goes over the wire to Twilio and its likes, and what is believed of what comes back.

mod fuzz;
mod heard;

use std::time::Duration;

use super::*;
use crate::ambient::Timestamp;
use crate::carrier::{Ask, Body};
use crate::verify::number::PhoneNumber;
use crate::verify::request::Brand;

const HOOKS: &str = "https://gw.example/hooks/twilio-main/at_1/tok";
const TOKEN: &str = "a-token-of-the-test";
const PHONE: &str = "+14155550132";
const CALL: &str = "CA33333333333333333333333333333333";

fn settings(dialect: Dialect) -> Settings {
    Settings {
        base_url: dialect.default_base_url().unwrap_or("https://space.signalwire.com").to_owned(),
        account: "AC00000000000000000000000000000000".to_owned(),
        token: Zeroizing::new(TOKEN.to_owned()),
        from: "+12025550100".to_owned(),
        messaging_service: None,
        application: (dialect == Dialect::TelnyxTexml).then(|| "1234567890".to_owned()),
        dialect,
        machine_detection: false,
        voice: Voice::Say,
        signing_key: match dialect {
            Dialect::Twilio => None,
            Dialect::SignalWire => Some(Zeroizing::new("signing-key".to_owned())),
            Dialect::TelnyxTexml => {
                Some(Zeroizing::new("iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=".to_owned()))
            }
        },
    }
}

fn twilio() -> Twilio {
    Twilio::new(settings(Dialect::Twilio)).unwrap()
}

fn at() -> Timestamp {
    // 2026-11-24T08:00:00.7Z
    Timestamp::from_micros(1_795_507_200_700_000)
}

fn call<T>(extension: Option<&str>, then: impl FnOnce(&Order<'_>) -> T) -> T {
    let to: PhoneNumber = PHONE.parse().unwrap();
    let brand = Brand::try_from("Contoso".to_owned()).unwrap();
    then(&Order {
        id: "at_1",
        to: &to,
        hooks: HOOKS,
        since: at(),
        what: What::Call {
            ask: Ask { locale: "en-US", brand: Some(&brand), payment: None },
            extension,
            ring: Duration::from_secs(45),
            limit: Duration::from_secs(90),
        },
    })
}

fn text<T>(then: impl FnOnce(&Order<'_>) -> T) -> T {
    let to: PhoneNumber = PHONE.parse().unwrap();
    let body = Body::from("004513 is your code & key".to_owned());
    then(&Order {
        id: "at_1",
        to: &to,
        hooks: HOOKS,
        since: at(),
        what: What::Text { body: &body, valid: Duration::from_secs(300) },
    })
}

/// A request as a page: form fields and query parameters each on a line.
fn shown(request: &HttpRequest) -> String {
    let mut page = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        page.push_str(&format!("{name}: {}\n", value.as_str()));
    }
    if request.headers.iter().any(|(_, value)| value.contains("urlencoded")) {
        for (name, value) in form_urlencoded::parse(&request.body) {
            page.push_str(&format!("  {name} = {value}\n"));
        }
    } else if !request.body.is_empty() {
        let value: Value = serde_json::from_slice(&request.body).unwrap();
        page.push_str(&serde_json::to_string_pretty(&value).unwrap());
    }
    page
}

#[test]
fn a_call_is_begun_with_everything_it_will_need() {
    let request = call(None, |order| twilio().order(order)).unwrap();
    insta::assert_snapshot!(shown(&request), @"
    POST https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000000/Calls.json
    content-type: application/x-www-form-urlencoded
    authorization: Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDphLXRva2VuLW9mLXRoZS10ZXN0
    accept: application/json
      To = +14155550132
      From = +12025550100
      Url = https://gw.example/hooks/twilio-main/at_1/tok/voice
      Method = POST
      StatusCallback = https://gw.example/hooks/twilio-main/at_1/tok/status
      StatusCallbackMethod = POST
      StatusCallbackEvent = initiated
      StatusCallbackEvent = ringing
      StatusCallbackEvent = answered
      StatusCallbackEvent = completed
      Timeout = 45
      TimeLimit = 90
    ");
}

#[test]
fn a_machine_is_guessed_beside_the_call_and_not_with_an_extension() {
    let twilio =
        Twilio::new(Settings { machine_detection: true, ..settings(Dialect::Twilio) }).unwrap();
    let request = shown(&call(None, |order| twilio.order(order)).unwrap());
    insta::assert_snapshot!(request.split_once("TimeLimit").unwrap().1, @"
    = 90
     MachineDetection = Enable
     AsyncAmd = true
     AsyncAmdStatusCallback = https://gw.example/hooks/twilio-main/at_1/tok/amd
     AsyncAmdStatusCallbackMethod = POST
    ");
    let request = shown(&call(Some("1,w2W04#"), |order| twilio.order(order)).unwrap());
    insta::assert_snapshot!(request.split_once("TimeLimit").unwrap().1, @"
    = 90
     SendDigits = 1ww2ww04#
    ");
}

#[test]
fn an_extension_that_cannot_be_dialled_is_refused_before_anything_is_sent() {
    let long = "1".repeat(33);
    for keys in ["12a", "1?", "1 2", &long] {
        let cause = call(Some(keys), |order| twilio().order(order)).unwrap_err();
        assert_eq!(cause.reason, Reason::InvalidNumber, "{keys}");
    }
}

#[test]
fn a_text_says_where_its_receipts_go_and_how_long_it_is_worth() {
    let request = text(|order| twilio().order(order)).unwrap();
    insta::assert_snapshot!(shown(&request), @"
    POST https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages.json
    content-type: application/x-www-form-urlencoded
    authorization: Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDphLXRva2VuLW9mLXRoZS10ZXN0
    accept: application/json
      To = +14155550132
      From = +12025550100
      Body = 004513 is your code & key
      StatusCallback = https://gw.example/hooks/twilio-main/at_1/tok/receipt
      ValidityPeriod = 300
    ");
    let service = Settings {
        messaging_service: Some("MG1".to_owned()),
        from: String::new(),
        ..settings(Dialect::Twilio)
    };
    let twilio = Twilio::new(service).unwrap();
    let request = shown(&text(|order| twilio.order(order)).unwrap());
    assert!(request.contains("MessagingServiceSid = MG1\n") && !request.contains("From ="));
    let reach = Reach {
        sms: true,
        replies: true,
        receipts: true,
        calls_back: true,
        says_all: true,
        ..Reach::default()
    };
    assert_eq!(twilio.reach(), reach);
    assert!(call(None, |order| twilio.order(order)).is_err());
}

#[test]
fn signalwire_has_another_root() {
    let wire = Twilio::new(settings(Dialect::SignalWire)).unwrap();
    let request = shown(&call(None, |order| wire.order(order)).unwrap());
    insta::assert_snapshot!(request.lines().next().unwrap(), @"POST https://space.signalwire.com/api/laml/2010-04-01/Accounts/AC00000000000000000000000000000000/Calls.json");
    let request = shown(&text(|order| wire.order(order)).unwrap());
    insta::assert_snapshot!(request.lines().next().unwrap(), @"POST https://space.signalwire.com/api/laml/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages.json");
}

#[test]
fn telnyx_is_asked_in_json_for_calls_alone() {
    let telnyx = Settings { machine_detection: true, ..settings(Dialect::TelnyxTexml) };
    let telnyx = Twilio::new(telnyx).unwrap();
    let request = call(None, |order| telnyx.order(order)).unwrap();
    insta::assert_snapshot!(shown(&request), @r#"
    POST https://api.telnyx.com/v2/texml/Accounts/AC00000000000000000000000000000000/Calls
    content-type: application/json
    authorization: Bearer a-token-of-the-test
    accept: application/json
    {
      "ApplicationSid": "1234567890",
      "AsyncAmd": true,
      "AsyncAmdStatusCallback": "https://gw.example/hooks/twilio-main/at_1/tok/amd",
      "AsyncAmdStatusCallbackMethod": "POST",
      "CancelPlaybackOnDetectMessageEnd": false,
      "CancelPlaybackOnMachineDetection": false,
      "From": "+12025550100",
      "MachineDetection": "Enable",
      "StatusCallback": "https://gw.example/hooks/twilio-main/at_1/tok/status",
      "StatusCallbackEvent": "initiated ringing answered completed",
      "StatusCallbackMethod": "POST",
      "TimeLimit": 90,
      "Timeout": 45,
      "To": "+14155550132",
      "Url": "https://gw.example/hooks/twilio-main/at_1/tok/voice",
      "UrlMethod": "POST"
    }
    "#);
    assert!(text(|order| telnyx.order(order)).is_err());
    assert!(call(Some("12"), |order| telnyx.order(order)).is_err());
    let reach = Reach { voice: true, calls_back: true, says_all: true, ..Reach::default() };
    assert_eq!(telnyx.reach(), reach);
    let end = shown(&telnyx.end("v3:abc-DEF_1", Timestamp::from_secs(1)).unwrap());
    insta::assert_snapshot!(end, @"
    POST https://api.telnyx.com/v2/texml/Accounts/AC00000000000000000000000000000000/Calls/v3:abc-DEF_1
    content-type: application/x-www-form-urlencoded
    authorization: Bearer a-token-of-the-test
    accept: application/json
      Status = completed
    ");
}

#[test]
fn a_call_can_be_ended_and_a_text_cannot() {
    insta::assert_snapshot!(shown(&twilio().end(CALL, Timestamp::from_secs(1)).unwrap()), @"
    POST https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000000/Calls/CA33333333333333333333333333333333.json
    content-type: application/x-www-form-urlencoded
    authorization: Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDphLXRva2VuLW9mLXRoZS10ZXN0
    accept: application/json
      Status = completed
    ");
    for handle in ["SM1", "MM1", "", "a/b", "CA1?x", "../x"] {
        assert!(twilio().end(handle, Timestamp::from_secs(1)).is_none(), "{handle}");
    }
}

#[test]
fn a_response_is_taken_refused_or_unclear() {
    let receipt = |status, body: &str| twilio().receipt(Channel::Voice, status, body.as_bytes());
    let taken = Receipt::Taken(CALL.to_owned());
    assert_eq!(receipt(201, &json!({"sid": CALL, "status": "queued"}).to_string()), taken);
    for (status, body) in [
        (201, ""),
        (201, "{}"),
        (201, "{\"sid\":\"\"}"),
        (201, "{\"sid\":7}"),
        (200, "<html>"),
        (408, "{\"code\":20003}"),
        (500, "{\"code\":21211}"),
        (502, "<html>"),
        (503, ""),
        (504, ""),
        (302, ""),
        (101, ""),
    ] {
        assert_eq!(receipt(status, body), Receipt::Unclear, "{status} {body}");
    }
}

#[test]
fn an_error_code_is_translated_and_never_the_words_beside_it() {
    for (status, code, reason) in [
        (400, json!(21211), Reason::InvalidNumber),
        (400, json!("21217"), Reason::InvalidNumber),
        (400, json!(21614), Reason::InvalidNumber),
        (400, json!(21610), Reason::OptedOut),
        (400, json!(21214), Reason::Unreachable),
        (400, json!(21215), Reason::CarrierError),
        (400, json!(21408), Reason::CarrierError),
        (401, json!(20003), Reason::CarrierError),
        (429, json!(20429), Reason::Congested),
        (429, json!(null), Reason::Congested),
        (404, json!(null), Reason::CarrierError),
        (400, json!(14_155_550_132_u64), Reason::CarrierError),
        (400, json!("+14155550132"), Reason::CarrierError),
        (400, json!("99999"), Reason::CarrierError),
    ] {
        let message = format!("The 'To' number {PHONE} is not a valid phone number.");
        let body = json!({"code": code, "message": message, "status": status}).to_string();
        let Receipt::Refused(cause) = twilio().receipt(Channel::Sms, status, body.as_bytes())
        else {
            panic!("{status} {code}");
        };
        assert_eq!(cause.reason, reason, "{status} {code}");
        let detail = cause.detail.unwrap();
        assert!(!detail.contains("4155550132"), "{detail}");
    }
    let body = json!({"errors": [{"code": "10015", "title": "Bad"}]}).to_string();
    let Receipt::Refused(cause) = twilio().receipt(Channel::Voice, 422, body.as_bytes()) else {
        panic!("refused");
    };
    insta::assert_snapshot!(cause.detail.unwrap(), @"the carrier refused the request (error code 10015)");
}

#[test]
fn a_lost_call_is_looked_for_by_phone_and_sender() {
    let request = call(None, |order| twilio().find(order)).unwrap();
    insta::assert_snapshot!(shown(&request), @"
    GET https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000000/Calls.json?To=%2B14155550132&From=%2B12025550100&PageSize=50
    authorization: Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDphLXRva2VuLW9mLXRoZS10ZXN0
    accept: application/json
    ");
    let request = text(|order| twilio().find(order)).unwrap();
    insta::assert_snapshot!(request.url, @"https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages.json?To=%2B14155550132&From=%2B12025550100&PageSize=50");
}

#[test]
fn only_one_that_fits_is_taken_and_only_none_is_refused() {
    let item = |sid: &str, at: &str, direction: &str, body: &str| {
        json!({"sid": sid, "to": PHONE, "from": "+12025550100", "direction": direction,
               "body": body, "date_created": at})
    };
    let said = "004513 is your code & key";
    let ours = item("SM1", "Tue, 24 Nov 2026 08:00:00 +0000", "outbound-api", said);
    let later = item("SM2", "Tue, 24 Nov 2026 08:00:09 +0000", "outbound-api", said);
    let before = item("SM3", "Tue, 24 Nov 2026 07:59:58 +0000", "outbound-api", said);
    let slow = item("SM9", "Tue, 24 Nov 2026 07:55:01 +0000", "outbound-api", said);
    let old = item("SM4", "Tue, 24 Nov 2026 07:00:00 +0000", "outbound-api", said);
    let reply = item("SM5", "Tue, 24 Nov 2026 08:00:01 +0000", "outbound-reply", said);
    let received = item("SM6", "Tue, 24 Nov 2026 08:00:01 +0000", "inbound", said);
    let redacted = item("SM7", "Tue, 24 Nov 2026 08:00:01 +0000", "outbound-api", "");
    let undated = item("SM8", "soon", "outbound-api", said);
    let found = |twilio: &Twilio, items: &[&Value], more: bool| {
        let next = more.then_some("/2010-04-01/…");
        let body = json!({"messages": items, "next_page_uri": next}).to_string();
        text(|order| twilio.found(order, 200, body.as_bytes()))
    };
    let twilio = twilio();
    let taken = Receipt::Taken("SM1".to_owned());
    assert_eq!(found(&twilio, &[&ours], false), taken);
    assert_eq!(found(&twilio, &[&received, &reply, &ours, &old], true), taken);
    for none in [&[][..], &[&old, &reply, &received]] {
        assert!(matches!(found(&twilio, none, false), Receipt::Refused(_)), "{none:?}");
        assert_eq!(found(&twilio, none, true), Receipt::Unclear);
    }
    for unclear in
        [&[&later, &ours][..], &[&before], &[&slow], &[&ours, &before], &[&redacted], &[&undated]]
    {
        assert_eq!(found(&twilio, unclear, false), Receipt::Unclear, "{unclear:?}");
    }
    for (status, body) in [(200, "{}"), (200, "x"), (404, "{\"messages\":[]}"), (500, "")] {
        let found = text(|order| twilio.found(order, status, body.as_bytes()));
        assert_eq!(found, Receipt::Unclear, "{status} {body}");
    }
}

#[test]
fn a_list_that_lags_proves_nothing_by_being_empty() {
    let telnyx = Twilio::new(settings(Dialect::TelnyxTexml)).unwrap();
    let found =
        |body: Value| call(None, |order| telnyx.found(order, 200, body.to_string().as_bytes()));
    assert_eq!(found(json!({"calls": []})), Receipt::Unclear);
    let one = json!({"calls": [{"sid": "v3:x", "to": PHONE, "direction": "outbound",
                                "date_created": "2026-11-24T08:00:01Z"}]});
    assert_eq!(found(one), Receipt::Taken("v3:x".to_owned()));
}

#[test]
fn both_ways_to_write_a_time_are_read() {
    let at = Some(Timestamp::from_secs(1_795_507_200));
    for text in [
        "Tue, 24 Nov 2026 08:00:00 +0000",
        "Tue, 24 Nov 2026 08:00:00 GMT",
        "2026-11-24T08:00:00Z",
        "2026-11-24 08:00:00",
    ] {
        assert_eq!(lookup::moment(text), at, "{text}");
    }
    for text in ["", "Tue, 24 Nov 2026 08:00:00 +0100", "Tue, 31 Feb 2026 08:00:00 +0000", "x"] {
        assert_eq!(lookup::moment(text), None, "{text}");
    }
}

#[test]
fn a_fault_in_the_settings_names_its_key() {
    let fault = |change: fn(&mut Settings), dialect| {
        let mut settings = settings(dialect);
        change(&mut settings);
        Twilio::new(settings).unwrap_err().to_string()
    };
    for (change, key) in [
        ((|it| it.base_url = "api.twilio.com".into()) as fn(&mut Settings), "base_url"),
        (|it| it.base_url = "https://u:p@host".into(), "base_url"),
        (|it| it.base_url = "https://host/path".into(), "base_url"),
        (|it| it.account = "AC/..".into(), "account"),
        (|it| it.account.clear(), "account"),
        (|it| it.token.clear(), "token"),
        (|it| it.from.clear(), "from"),
        (|it| it.voice = Voice::Play("audio".into()), "voice"),
    ] {
        let fault = fault(change, Dialect::Twilio);
        assert!(fault.starts_with(&format!("{key}: ")), "{fault}");
    }
    assert!(fault(|it| it.signing_key = None, Dialect::SignalWire).starts_with("signing_key: "));
    assert!(fault(|it| it.application = None, Dialect::TelnyxTexml).starts_with("application: "));
    let short = |it: &mut Settings| it.signing_key = Some(Zeroizing::new("AAAA".into()));
    assert!(fault(short, Dialect::TelnyxTexml).starts_with("signing_key: "));
}

#[test]
fn nothing_shows_a_token_or_a_number() {
    let twilio = twilio();
    let request = call(None, |order| twilio.order(order)).unwrap();
    let shown = format!("{twilio:?} {request:?} {:?}", text(|order| twilio.order(order)));
    for secret in [TOKEN, "2025550100", "4155550132", "004513", "tok", "Basic"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
