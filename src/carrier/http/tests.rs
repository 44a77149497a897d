//! Gateways as they are found, and what is believed of them.

mod authentic;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::*;
use crate::ambient::{Entropy, Timestamp};
use crate::carrier::signature::{self, Hash};
use crate::carrier::{About, Ask, Body, News, Scene};
use crate::verify::number::PhoneNumber;

const HOOKS: &str = "https://gw.example/hooks/sms/at_1/tok";
const PHONE: &str = "+14155550132";

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn field(name: &str) -> At {
    At::Field(name.to_owned())
}

fn pointer(pointer: &str) -> At {
    At::Pointer(pointer.to_owned())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn any_2xx() -> Success {
    Success { statuses: 200..=299, contains: None, equals: None }
}

/// Fields of a form, an answer `OK: id`, receipts by form to the address of the text.
fn form_gateway() -> Settings {
    Settings {
        url: template("https://sms.example/api/send"),
        method: Method::Post,
        headers: vec![("X-Api-Key".to_owned(), template("key-of-the-account"))],
        body: Payload::Form(vec![
            ("username".to_owned(), template("acme")),
            ("recipient".to_owned(), template("{to_digits}")),
            ("sender".to_owned(), template("{from}")),
            ("message".to_owned(), template("{body}")),
            ("dlr_url".to_owned(), template("{callback}")),
            ("ttl".to_owned(), template("{valid_seconds}")),
        ]),
        success: Success { contains: Some("OK:".to_owned()), ..any_2xx() },
        unclear: vec![425],
        handle: Naming::After("OK:".to_owned()),
        from: "Contoso".to_owned(),
        receipts: Some(Receipts {
            batch: None,
            id: Some(field("msgid")),
            status: field("state"),
            sent: words(&["ACCEPTD", "ENROUTE"]),
            delivered: words(&["DELIVRD"]),
            undelivered: words(&["UNDELIV", "EXPIRED", "REJECTD"]),
        }),
        inbound: Some(Inbound {
            batch: None,
            id: field("msgid"),
            from: field("from"),
            to: Some(field("to")),
            text: field("text"),
        }),
        guard: Guard::Path,
        answer: Some("ACK".to_owned()),
    }
}

/// JSON both ways, signed with HMAC over the body.
fn json_gateway() -> Settings {
    let body = json!({
        "to": "{to}", "from": "{from}", "content": {"type": "text", "text": "{body}"},
        "reference": "{reference}", "ttl": "{valid_seconds}", "callback": "{callback}",
        "priority": 1, "flash": false
    });
    Settings {
        url: template("https://api.sms.example/v2/messages"),
        headers: vec![("Authorization".to_owned(), template("Bearer secret-of-the-account"))],
        body: Payload::Json(JsonTemplate::parse(&body).unwrap()),
        success: Success { equals: Some(("/status".to_owned(), "0".to_owned())), ..any_2xx() },
        handle: Naming::Pointer("/message/id".to_owned()),
        receipts: Some(Receipts {
            batch: None,
            id: Some(pointer("/message/id")),
            status: pointer("/message/status"),
            sent: words(&["sent"]),
            delivered: words(&["delivered"]),
            undelivered: words(&["failed"]),
        }),
        inbound: None,
        guard: Guard::Hmac {
            header: "X-Signature".to_owned(),
            secret: Zeroizing::new("hook-secret".to_owned()),
            encoding: Encoding::Hex,
        },
        answer: None,
        ..form_gateway()
    }
}

/// Everything in the URL, the whole body is the name.
fn get_gateway() -> Settings {
    Settings {
        url: template(
            "http://10.0.0.7:13013/cgi-bin/sendsms?user=acme&pass=secret&to={to}&text={body}\
             &dlr-mask=31&dlr-url={callback}",
        ),
        method: Method::Get,
        headers: Vec::new(),
        body: Payload::Empty,
        success: any_2xx(),
        handle: Naming::Nowhere,
        receipts: Some(Receipts {
            batch: None,
            id: None,
            status: field("status"),
            sent: words(&["8"]),
            delivered: words(&["1"]),
            undelivered: words(&["2", "16"]),
        }),
        inbound: None,
        answer: None,
        ..form_gateway()
    }
}

/// Receipts and texts in batches, as Infobip sends them, guarded by a password.
fn batch_gateway() -> Settings {
    let body = json!({"messages": [{
        "sender": "{from}", "destinations": [{"to": "{to_digits}", "messageId": "{reference}"}],
        "content": {"text": "{body}"},
        "webhooks": {"delivery": {"url": "{callback}"}}
    }]});
    Settings {
        url: template("https://xyz.api.infobip.example/sms/3/messages"),
        headers: vec![("Authorization".to_owned(), template("App secret-of-the-account"))],
        body: Payload::Json(JsonTemplate::parse(&body).unwrap()),
        success: any_2xx(),
        handle: Naming::Pointer("/messages/0/messageId".to_owned()),
        receipts: Some(Receipts {
            batch: Some("/results".to_owned()),
            id: Some(pointer("/messageId")),
            status: pointer("/status/groupName"),
            sent: words(&["PENDING"]),
            delivered: words(&["DELIVERED"]),
            undelivered: words(&["UNDELIVERABLE", "EXPIRED", "REJECTED"]),
        }),
        inbound: Some(Inbound {
            batch: Some("/results".to_owned()),
            id: pointer("/messageId"),
            from: pointer("/from"),
            to: Some(pointer("/to")),
            text: pointer("/text"),
        }),
        guard: Guard::Basic {
            user: "infobip".to_owned(),
            password: Zeroizing::new("hook-password".to_owned()),
        },
        answer: None,
        ..form_gateway()
    }
}

fn all() -> [Settings; 4] {
    [form_gateway(), json_gateway(), get_gateway(), batch_gateway()]
}

fn asked(settings: Settings) -> HttpRequest {
    let to: PhoneNumber = PHONE.parse().unwrap();
    let body = Body::from("\"004513\" & key=#\nüber".to_owned());
    let order = Order {
        id: "at_1",
        to: &to,
        hooks: HOOKS,
        since: Timestamp::default(),
        what: What::Text { body: &body, valid: Duration::from_secs(300) },
    };
    Http::new(settings).unwrap().order(&order).unwrap()
}

fn shown(request: &HttpRequest) -> String {
    let mut page = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        page.push_str(&format!("{name}: {}\n", value.as_str()));
    }
    page.push_str(std::str::from_utf8(&request.body).unwrap());
    page
}

fn hear(
    settings: Settings,
    query: &str,
    headers: &[(&str, &str)],
    body: &str,
    of_attempt: bool,
) -> Result<Heard, Forged> {
    let headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Http::new(settings).unwrap().hear(&Hook {
        url: HOOKS,
        part: of_attempt.then_some("receipt"),
        query,
        headers: &headers,
        body: body.as_bytes(),
        now: Timestamp::default(),
        scene: of_attempt.then_some(Scene {
            hooks: HOOKS,
            channel: Channel::Sms,
            ask: Ask { locale: "en-US", brand: None, payment: None },
            over: false,
        }),
    })
}

fn undelivered(word: &str) -> News {
    News::Ended(Cause::because(Reason::Undelivered, format!("the gateway reports {word}")))
}

#[test]
fn each_gateway_is_asked_in_its_own_way() {
    insta::assert_snapshot!(shown(&asked(form_gateway())), @"
    POST https://sms.example/api/send
    content-type: application/x-www-form-urlencoded
    X-Api-Key: key-of-the-account
    username=acme&recipient=14155550132&sender=Contoso&message=%22004513%22+%26+key%3D%23%0A%C3%BCber&dlr_url=https%3A%2F%2Fgw.example%2Fhooks%2Fsms%2Fat_1%2Ftok%2Freceipt&ttl=300
    ");
    insta::assert_snapshot!(shown(&asked(json_gateway())), @r#"
    POST https://api.sms.example/v2/messages
    content-type: application/json
    Authorization: Bearer secret-of-the-account
    {"callback":"https://gw.example/hooks/sms/at_1/tok/receipt","content":{"text":"\"004513\" & key=#\nüber","type":"text"},"flash":false,"from":"Contoso","priority":1,"reference":"at_1","to":"+14155550132","ttl":300}
    "#);
    insta::assert_snapshot!(shown(&asked(get_gateway())), @"GET http://10.0.0.7:13013/cgi-bin/sendsms?user=acme&pass=secret&to=%2B14155550132&text=%22004513%22%20%26%20key%3D%23%0A%C3%BCber&dlr-mask=31&dlr-url=https%3A%2F%2Fgw.example%2Fhooks%2Fsms%2Fat_1%2Ftok%2Freceipt");
    insta::assert_snapshot!(shown(&asked(batch_gateway())), @r#"
    POST https://xyz.api.infobip.example/sms/3/messages
    content-type: application/json
    Authorization: App secret-of-the-account
    {"messages":[{"content":{"text":"\"004513\" & key=#\nüber"},"destinations":[{"messageId":"at_1","to":"14155550132"}],"sender":"Contoso","webhooks":{"delivery":{"url":"https://gw.example/hooks/sms/at_1/tok/receipt"}}}]}
    "#);
    let xml = Settings {
        method: Method::Put,
        headers: vec![("Content-Type".to_owned(), template("text/xml"))],
        body: Payload::Xml(template("<sms to=\"{to}\">{body}</sms>")),
        ..form_gateway()
    };
    let xml = Settings { receipts: None, ..xml };
    insta::assert_snapshot!(shown(&asked(xml)), @r#"
    PUT https://sms.example/api/send
    Content-Type: text/xml
    <sms to="+14155550132">&quot;004513&quot; &amp; key=#
    über</sms>
    "#);
}

#[test]
fn a_text_cannot_break_out_of_a_header() {
    let headers = vec![("X-Text".to_owned(), template("{body}"))];
    let to: PhoneNumber = PHONE.parse().unwrap();
    let gateway = Http::new(Settings { headers, ..form_gateway() }).unwrap();
    let asked = |text: &str| {
        let body = Body::from(text.to_owned());
        let what = What::Text { body: &body, valid: Duration::from_secs(300) };
        let since = Timestamp::default();
        gateway.order(&Order { id: "at_1", to: &to, hooks: HOOKS, since, what })
    };
    assert!(asked("004513").is_ok());
    for text in ["a\r\nX-Other: 1", "a\nb", "ü", "\u{7f}"] {
        assert_eq!(asked(text).unwrap_err().reason, Reason::CarrierError, "{text:?}");
    }
}

#[test]
fn a_call_is_not_for_a_gateway_of_texts() {
    let to: PhoneNumber = PHONE.parse().unwrap();
    let what = What::Call {
        ask: Ask { locale: "en-US", brand: None, payment: None },
        extension: None,
        ring: Duration::from_secs(45),
        limit: Duration::from_secs(90),
    };
    let order = Order { id: "at_1", to: &to, hooks: HOOKS, since: Timestamp::default(), what };
    let gateway = Http::new(form_gateway()).unwrap();
    assert_eq!(gateway.order(&order).unwrap_err().reason, Reason::CarrierError);
    assert!(gateway.find(&order).is_none() && gateway.end("1", Timestamp::from_secs(1)).is_none());
}

#[test]
fn an_answer_is_taken_refused_or_unclear() {
    let receipt = |settings: &Settings, status, body: &str| {
        let gateway = Http::new(settings.clone()).unwrap();
        match gateway.receipt(Channel::Sms, status, body.as_bytes()) {
            Receipt::Taken(name) => format!("taken {name}"),
            Receipt::Refused(cause) => cause.reason.as_str().to_owned(),
            Receipt::Unclear => "unclear".to_owned(),
        }
    };
    let whole = Settings { handle: Naming::Body, ..get_gateway() };
    for (settings, status, body, expected) in [
        (form_gateway(), 200, "OK: 12345 queued", "taken 12345"),
        (form_gateway(), 200, "ERR: 105", "carrier_error"),
        (form_gateway(), 200, "", "unclear"),
        (form_gateway(), 200, "OK:", "unclear"),
        (form_gateway(), 425, "", "unclear"),
        (form_gateway(), 429, "", "congested"),
        (form_gateway(), 401, "OK: 1", "carrier_error"),
        (form_gateway(), 302, "OK: 1", "unclear"),
        (json_gateway(), 202, r#"{"status":0,"message":{"id":"m-1"}}"#, "taken m-1"),
        (json_gateway(), 202, r#"{"status":"0","message":{"id":77}}"#, "taken 77"),
        (json_gateway(), 202, r#"{"status":"4"}"#, "carrier_error"),
        (json_gateway(), 202, r#"{"status":"0"}"#, "unclear"),
        (json_gateway(), 202, "{}", "unclear"),
        (json_gateway(), 202, "<html>", "unclear"),
        (json_gateway(), 400, r#"{"status":"0","message":{"id":"m-1"}}"#, "carrier_error"),
        (whole.clone(), 202, " 0: Accepted \n", "taken 0: Accepted"),
        (whole.clone(), 202, "a\nb", "unclear"),
        (whole, 202, &"x".repeat(129), "unclear"),
        (get_gateway(), 202, "0: Accepted for delivery", "taken "),
        (batch_gateway(), 200, r#"{"messages":[{"messageId":"b-1"}]}"#, "taken b-1"),
    ] {
        assert_eq!(receipt(&settings, status, body), expected, "{settings:?} {status} {body}");
    }
    for settings in all() {
        for status in [408, 500, 502, 503, 504] {
            assert_eq!(receipt(&settings, status, "OK: 1"), "unclear", "{status}");
        }
    }
}

#[test]
fn a_receipt_at_the_address_of_a_text_is_about_this_one() {
    for (word, news) in [
        ("DELIVRD", Some(News::Delivered)),
        ("delivrd", Some(News::Delivered)),
        ("ACCEPTD", Some(News::Sent)),
        ("UNDELIV", Some(undelivered("UNDELIV"))),
        ("expired", Some(undelivered("EXPIRED"))),
        ("UNKNOWN", None),
        ("+14155550132", None),
    ] {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("msgid", "12345")
            .append_pair("state", word)
            .finish();
        let heard = hear(form_gateway(), "", &[], &body, true).unwrap();
        let news: Vec<_> = news.map(|news| (About::This, news)).into_iter().collect();
        assert_eq!(heard.news, news, "{word}");
        assert_eq!((heard.answer.status, heard.answer.body.as_str()), (200, "ACK"));
    }
    let heard = hear(get_gateway(), "status=1&x=y", &[], "", true).unwrap();
    assert_eq!(heard.news, [(About::This, News::Delivered)]);
    assert_eq!(heard.answer, HttpAnswer::default());
    for body in ["", "msgid=1", "{}", "[]", "%%%"] {
        let heard = hear(form_gateway(), "", &[], body, true);
        assert_eq!(heard, Err(Forged::Unreadable), "{body}");
    }
}

#[test]
fn a_receipt_elsewhere_is_about_the_text_it_names() {
    let heard = hear(form_gateway(), "", &[], "msgid=12345&state=DELIVRD", false).unwrap();
    assert_eq!(heard.news, [(About::Handle("12345".to_owned()), News::Delivered)]);
    assert_eq!(heard.once.as_deref(), Some("12345:DELIVRD"));
    let heard = hear(form_gateway(), "", &[], "state=DELIVRD", false);
    assert_eq!(heard, Err(Forged::Unreadable));
}

/// What the gateway of batches sends to prove itself.
fn basic() -> (&'static str, String) {
    ("authorization", format!("Basic {}", BASE64.encode("infobip:hook-password")))
}

#[test]
fn one_body_may_hold_the_receipts_of_many() {
    let (name, value) = basic();
    let body = json!({"results": [
        {"messageId": "b-1", "status": {"groupName": "DELIVERED"}},
        {"messageId": "b-2", "status": {"groupName": "EXPIRED"}},
        {"messageId": "b-3", "status": {"groupName": "WHATEVER"}},
        {"messageId": "", "status": {"groupName": "DELIVERED"}},
        {"status": {"groupName": "DELIVERED"}},
        7,
        {"messageId": "b-4", "status": {"groupName": "PENDING"}}
    ]})
    .to_string();
    for of_attempt in [false, true] {
        let heard = hear(batch_gateway(), "", &[(name, &value)], &body, of_attempt).unwrap();
        let handle = |id: &str| About::Handle(id.to_owned());
        let news = [
            (handle("b-1"), News::Delivered),
            (handle("b-2"), undelivered("EXPIRED")),
            (handle("b-4"), News::Sent),
        ];
        assert_eq!(heard.news, news);
    }
    let heard = hear(batch_gateway(), "", &[(name, &value)], "{\"results\":[]}", true);
    assert_eq!(heard, Ok(Heard::default()));
    let heard = hear(batch_gateway(), "", &[(name, &value)], "{\"results\":{}}", true);
    assert_eq!(heard, Err(Forged::Unreadable));
}

#[test]
fn texts_of_people_are_about_nobody() {
    let text = |heard: &Heard| match &heard.news[0] {
        (About::Nobody, News::Text(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    for from in ["%2B14155550132", "14155550132", "0014155550132", "+14155550132"] {
        let body = format!("msgid=9&from={from}&to=12345&text=NO+%23");
        let heard = hear(form_gateway(), "", &[], &body, false).unwrap();
        let text = text(&heard);
        assert_eq!((text.from.expose(), text.to.as_str(), text.id.as_str()), (PHONE, "12345", "9"));
        assert_eq!((text.body.expose(), heard.once.as_deref()), ("NO #", Some("9")));
    }
    let heard = hear(form_gateway(), "", &[], "msgid=9&from=BANK&to=1&text=x", false).unwrap();
    assert_eq!(heard.news, []);
    let (name, value) = basic();
    let item =
        |id: &str, from: &str| json!({"messageId": id, "from": from, "to": "1", "text": "y"});
    let body = json!({"results": [item("1", "14155550132"), item("2", "x"), item("3", PHONE)]});
    let heard = hear(batch_gateway(), "", &[(name, &value)], &body.to_string(), false).unwrap();
    assert_eq!((heard.news.len(), heard.once), (2, None));
}

#[test]
fn a_request_proves_itself_before_it_is_read() {
    let body = r#"{"message":{"id":"m-1","status":"delivered"}}"#;
    let mac = signature::hmac(Hash::Sha256, b"hook-secret", body.as_bytes());
    let (hex, prefixed) = (signature::hex(&mac), format!("sha256={}", signature::hex(&mac)));
    let news = vec![(About::This, News::Delivered)];
    for value in [hex.clone(), hex.to_uppercase(), prefixed] {
        let heard = hear(json_gateway(), "", &[("x-signature", &value)], body, true).unwrap();
        assert_eq!(heard.news, news);
    }
    let forged = |headers: &[(&str, &str)], body: &str| {
        hear(json_gateway(), "", headers, body, true).unwrap_err()
    };
    assert_eq!(forged(&[], body), Forged::Unsigned);
    assert_eq!(forged(&[("x-signature", "")], body), Forged::Signature);
    assert_eq!(forged(&[("x-signature", &hex)], &body.replace('1', "2")), Forged::Signature);
    for at in 0..hex.len() {
        let mut other = hex.clone().into_bytes();
        other[at] ^= 1;
        let other = String::from_utf8(other).unwrap();
        assert_eq!(forged(&[("x-signature", &other)], body), Forged::Signature);
    }
    let (name, value) = basic();
    let batch =
        |headers: &[(&str, &str)]| hear(batch_gateway(), "", headers, "{\"results\":[]}", true);
    assert!(batch(&[(name, &value)]).is_ok());
    assert!(batch(&[(name, &value.replace("Basic", "basic"))]).is_ok());
    assert_eq!(batch(&[]), Err(Forged::Unsigned));
    for wrong in ["Basic ", "Basic", "", "Basic aW5mb2JpcDp4", "Bearer x", "ü"] {
        assert_eq!(batch(&[(name, wrong)]), Err(Forged::Signature), "{wrong}");
    }
    let guard = Guard::Header {
        name: "X-Token".to_owned(),
        secret: Zeroizing::new("token-of-the-hook".to_owned()),
    };
    let token = Settings { guard, ..form_gateway() };
    let with = |headers: &[(&str, &str)]| {
        hear(token.clone(), "", headers, "state=DELIVRD", true).map(|heard| heard.news)
    };
    assert_eq!(with(&[("x-token", "token-of-the-hook")]), Ok(news));
    assert_eq!(with(&[("x-token", "token-of-the-hoop")]), Err(Forged::Signature));
    assert_eq!(with(&[]), Err(Forged::Unsigned));
}

#[test]
fn a_query_is_not_read_where_only_the_body_is_signed() {
    let guard = Guard::Hmac {
        header: "x-signature".to_owned(),
        secret: Zeroizing::new("hook-secret".to_owned()),
        encoding: Encoding::Base64,
    };
    let settings = Settings { guard, ..form_gateway() };
    let body = "msgid=1&state=EXPIRED";
    let sign =
        |body: &str| BASE64.encode(signature::hmac(Hash::Sha256, b"hook-secret", body.as_bytes()));
    let mac = sign(body);
    let headers = [("x-signature", mac.as_str())];
    let heard = hear(settings.clone(), "state=DELIVRD", &headers, body, true).unwrap();
    assert_eq!(heard.news, [(About::This, undelivered("EXPIRED"))]);
    let heard = hear(settings, "state=DELIVRD", &[("x-signature", &sign(""))], "", true);
    assert_eq!(heard, Err(Forged::Unreadable));
}

#[test]
fn a_fault_in_the_settings_names_its_key() {
    let fault = |change: fn(&mut Settings)| {
        let mut settings = form_gateway();
        change(&mut settings);
        Http::new(settings).unwrap_err().to_string()
    };
    for (change, key) in [
        ((|it| it.url = template("sms.example/x")) as fn(&mut Settings), "url"),
        (|it| it.url = template("https://{to}.example/"), "url"),
        (|it| it.url = template("https://sms.example{to}"), "url"),
        (|it| it.url = template("https://{to}"), "url"),
        (|it| it.url = template("https:///x"), "url"),
        (|it| it.url = template("https://sms.example/a b"), "url"),
        (|it| it.body = Payload::Text(template("{body}")), "body"),
        (|it| it.body = Payload::Text(template("{to}")), "body"),
        (|it| it.method = Method::Get, "body"),
        (|it| it.from.clear(), "from"),
        (|it| it.headers = vec![("a b".to_owned(), template("x"))], "headers"),
        (|it| it.headers = vec![("a".to_owned(), template("x\r\n"))], "headers"),
        (|it| it.handle = Naming::Pointer("id".to_owned()), "handle"),
        (|it| it.success.equals = Some(("a".to_owned(), "b".to_owned())), "success"),
        (|it| it.success.statuses = 200..=500, "success"),
        (|it| it.success.statuses = RangeInclusive::new(299, 200), "success"),
        (|it| it.receipts.as_mut().unwrap().batch = Some("results".to_owned()), "receipts"),
        (|it| it.inbound.as_mut().unwrap().id = At::Pointer("id".to_owned()), "inbound"),
        (
            |it| {
                it.receipts.as_mut().unwrap().id = None;
                it.body = Payload::Text(Template::parse("{to}{body}").unwrap());
            },
            "receipts",
        ),
        (
            |it| {
                it.guard = Guard::Header { name: "x".into(), secret: Zeroizing::new("".into()) };
            },
            "guard",
        ),
    ] {
        let fault = fault(change);
        assert!(fault.starts_with(&format!("{key}: ")), "{key}: {fault}");
    }
}

#[test]
fn what_a_gateway_can_do_follows_from_its_settings() {
    let reach = |settings| Http::new(settings).unwrap().reach();
    let full =
        Reach { sms: true, replies: true, receipts: true, calls_back: true, ..Reach::default() };
    assert_eq!(reach(form_gateway()), full);
    assert_eq!(reach(get_gateway()), Reach { replies: false, ..full });
    let plain = Settings {
        body: Payload::Text(template("{to} {body}")),
        receipts: None,
        inbound: None,
        ..form_gateway()
    };
    assert_eq!(reach(plain), Reach { sms: true, ..Reach::default() });
}

#[test]
fn nothing_shows_a_secret_or_a_number() {
    for settings in all() {
        let shown = format!("{:?} {:?}", Http::new(settings.clone()).unwrap(), asked(settings));
        for secret in ["secret", "password", "key-of", "4155550132", "004513", "tok"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

#[test]
fn twenty_thousand_broken_requests_say_nothing_that_a_gateway_cannot_say() {
    let mut dice = Entropy::from_number(11);
    let gateways = all().map(|settings| Http::new(settings).unwrap());
    let (_, basic) = basic();
    let bodies = [
        "msgid=12345&state=DELIVRD&from=14155550132&to=1&text=%C3%A9".to_owned(),
        r#"{"message":{"id":"m-1","status":"delivered"}}"#.to_owned(),
        json!({"results": [{"messageId": "b-1", "from": PHONE, "to": "1", "text": "x",
               "status": {"groupName": "DELIVERED"}}]})
        .to_string(),
    ];
    for round in 0..20_000 {
        let mut body = bodies[round % bodies.len()].clone().into_bytes();
        for _ in 0..=dice.below(3) {
            let length = u64::try_from(body.len()).unwrap().max(1);
            let at = usize::try_from(dice.below(length)).unwrap();
            let [octet] = dice.bytes::<1>();
            match dice.below(4) {
                0 if at < body.len() => body[at] ^= octet,
                1 if at < body.len() => drop(body.remove(at)),
                2 => body.insert(at, octet),
                _ => body.truncate(at),
            }
        }
        let original = bodies.iter().any(|known| known.as_bytes() == body);
        let mac = signature::hex(&signature::hmac(Hash::Sha256, b"hook-secret", &body));
        for (gateway, settings) in gateways.iter().zip(all()) {
            let signed = dice.below(2) == 0;
            let headers = [
                ("authorization".to_owned(), basic.clone()),
                ("x-signature".to_owned(), if signed { mac.clone() } else { "0".repeat(64) }),
            ];
            let scene = Scene {
                hooks: HOOKS,
                channel: Channel::Sms,
                ask: Ask { locale: "en-US", brand: None, payment: None },
                over: false,
            };
            let hook = Hook {
                url: HOOKS,
                part: None,
                query: "",
                headers: &headers,
                body: &body,
                now: Timestamp::default(),
                scene: (dice.below(2) == 0).then_some(scene),
            };
            let heard = gateway.hear(&hook);
            if matches!(settings.guard, Guard::Hmac { .. }) && !signed {
                assert_eq!(heard, Err(Forged::Signature));
            }
            if let Ok(heard) = &heard {
                assert!(!heard.news.iter().any(|(_, news)| matches!(news, News::Said { .. })));
            }
            assert!(original || !body.is_empty() || heard.is_err());
            let _ = gateway.receipt(Channel::Sms, 200, &body);
        }
    }
}
