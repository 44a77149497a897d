//! Whose requests are believed: the vectors of the vendors' own code, and damage to them.

use super::*;
use crate::carrier::http::guard::{plivo_message, sinch_message};

const VECTORS: &str = include_str!("../../../../tests/vectors/signature-vectors.json");

/// The time that the vectors sign.
const NOW: u64 = 1_795_507_200;

fn vectors() -> Value {
    serde_json::from_str(VECTORS).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A request, signed.
#[derive(Clone, Debug)]
struct Signed {
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Signed {
    fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        let header = other.headers.iter_mut().find(|(known, _)| *known == name).unwrap();
        header.1 = value.to_owned();
        other
    }

    fn without(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.headers.retain(|(known, _)| *known != name);
        other
    }

    fn get(&self, name: &str) -> &str {
        &self.headers.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// As an event about the attempt of its address.
    fn judged(&self, gateway: &Http, now: u64) -> Result<Heard, Forged> {
        self.heard(gateway, now, true)
    }

    fn heard(&self, gateway: &Http, now: u64, of_attempt: bool) -> Result<Heard, Forged> {
        let headers: Vec<(String, String)> =
            self.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        gateway.hear(&Hook {
            url: &self.url,
            part: of_attempt.then_some("receipt"),
            query: self.url.split_once('?').unwrap_or_default().1,
            headers: &headers,
            body: &self.body,
            now: Timestamp::from_secs(now),
            scene: of_attempt.then_some(Scene {
                hooks: HOOKS,
                channel: Channel::Sms,
                ask: Ask { locale: "en-US", brand: None, payment: None },
                over: false,
            }),
        })
    }
}

/// A scheme: who checks it, what is accepted, and when it was signed, if it says so.
struct Case {
    scheme: &'static str,
    gateway: Http,
    signed: Signed,
    at: Option<u64>,
    once: Option<String>,
}

fn gateway(guard: Guard, status: &str) -> Http {
    let at = if status.starts_with('/') { pointer(status) } else { field(status) };
    let settings = form_gateway();
    let receipts = settings.receipts.map(|receipts| Receipts { status: at, ..receipts });
    Http::new(Settings { guard, receipts, ..settings }).unwrap()
}

fn standard(secret: &Value) -> Guard {
    let secret = text(secret);
    let key = BASE64.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    Guard::StandardWebhooks { key: Zeroizing::new(key) }
}

fn plivo() -> Case {
    let all = vectors();
    let case = &all["plivo_v3"];
    let mut body = form_urlencoded::Serializer::new(String::new());
    for (name, value) in case["params"].as_object().unwrap() {
        body.append_pair(name, value.as_str().unwrap());
    }
    let (url, body) = (text(&case["uri"]), body.finish());
    let nonce = text(&case["nonce"]);
    assert_eq!(plivo_message(&url, body.as_bytes(), &nonce), text(&case["string"]));
    Case {
        scheme: "plivo_v3",
        gateway: gateway(
            Guard::Plivo { token: Zeroizing::new(text(&case["auth_token"])) },
            "Digits",
        ),
        signed: Signed {
            url,
            headers: vec![
                ("x-plivo-signature-v3", text(&case["signature"])),
                ("x-plivo-signature-v3-nonce", nonce.clone()),
            ],
            body: body.into_bytes(),
        },
        at: None,
        once: Some(nonce),
    }
}

fn standard_webhooks() -> Case {
    let all = vectors();
    let case = &all["standard_webhooks"];
    let id = text(&case["id"]);
    Case {
        scheme: "standard_webhooks",
        gateway: gateway(standard(&case["secret"]), "/sms/otp"),
        signed: Signed {
            url: HOOKS.to_owned(),
            headers: vec![
                ("webhook-id", id.clone()),
                ("webhook-timestamp", text(&case["timestamp"])),
                ("webhook-signature", text(&case["signature"])),
            ],
            body: text(&case["payload"]).into_bytes(),
        },
        at: Some(NOW),
        once: Some(id),
    }
}

fn timestamped(
    scheme: &'static str,
    case: &Value,
    secret: &str,
    header: &'static str,
    at: &str,
) -> Case {
    let name = text(&case["header"]);
    assert_eq!(name.to_ascii_lowercase(), header);
    let secret = Zeroizing::new(text(&case[secret]));
    Case {
        scheme,
        gateway: gateway(Guard::Timestamped { header: name, secret }, at),
        signed: Signed {
            url: HOOKS.to_owned(),
            headers: vec![(header, text(&case["value"]))],
            body: text(&case["payload"]).into_bytes(),
        },
        at: Some(NOW),
        once: None,
    }
}

fn jambonz() -> Case {
    let all = vectors();
    timestamped("jambonz", &all["jambonz"], "secret", "jambonz-signature", "/reason")
}

fn zitadel() -> Case {
    let all = vectors();
    let at = "/contextInfo/recipientPhoneNumber";
    timestamped("zitadel", &all["zitadel"], "signing_key", "zitadel-signature", at)
}

/// The example that Sinch publishes of a signed callback, whole; the one of the vectors has no body.
fn sinch() -> Case {
    let body = "{\"event\":\"ace\",\"callid\":\"822aa4b7-05b4-4d83-87c7-1f835ee0b6f6_257\",\
                \"timestamp\":\"2014-09-24T10:59:41Z\",\"version\":1}";
    let application = "669E367E-6BBA-48AB-AF15-266871C28135";
    let key = Zeroizing::new(BASE64.decode("BeIukql3pTKJ8RGL5zo0DA==").unwrap());
    let signature = "Tg6fMyo8mj9pYfWQ9ssbx3Tc1BNC87IEygAfLbJqZb4=";
    Case {
        scheme: "sinch_application",
        gateway: gateway(Guard::Sinch { application: application.to_owned(), key }, "/event"),
        signed: Signed {
            url: "https://callbacks.yourdomain.com/sinch/callback/ace".to_owned(),
            headers: vec![
                ("authorization", format!("application {application}:{signature}")),
                ("x-timestamp", "2014-09-24T10:59:41Z".to_owned()),
                ("content-type", "application/json".to_owned()),
            ],
            body: body.as_bytes().to_vec(),
        },
        at: Some(1_411_556_381),
        once: None,
    }
}

fn cases() -> [Case; 5] {
    [plivo(), standard_webhooks(), jambonz(), zitadel(), sinch()]
}

/// Every text that differs from this one in one character of a header.
fn changed(text: &str) -> impl Iterator<Item = String> {
    (0..text.len()).flat_map(move |at| {
        (b' '..=b'~').filter(move |&byte| byte != text.as_bytes()[at]).map(move |byte| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = byte;
            String::from_utf8(bytes).unwrap()
        })
    })
}

#[test]
fn every_vector_is_accepted_within_five_minutes() {
    for Case { scheme, gateway, signed, at, once } in cases() {
        // What signs no time is accepted at any.
        let times = at.map_or([0, NOW, u64::MAX / 1_000_000], |at| [at - 300, at, at + 300]);
        for now in times {
            let heard = signed.judged(&gateway, now);
            assert_eq!(heard.map(|heard| heard.once), Ok(once.clone()), "{scheme} {now}");
        }
        let Some(at) = at else { continue };
        for now in [0, at - 301, at + 301, u64::MAX / 1_000_000] {
            assert_eq!(signed.judged(&gateway, now), Err(Forged::Stale), "{scheme} {now}");
        }
    }
}

#[test]
fn no_other_byte_is_accepted_anywhere() {
    for Case { scheme, gateway, signed, at, .. } in cases() {
        let now = at.unwrap_or(NOW);
        for (name, value) in &signed.headers {
            for other in changed(value) {
                // The word before the name of an application is one in any case.
                let alike = *name == "authorization" && other.eq_ignore_ascii_case(value);
                if alike && other.ends_with(value.split_once(' ').unwrap().1) {
                    continue;
                }
                let heard = signed.with(name, &other).judged(&gateway, now);
                let refused = matches!(heard, Err(Forged::Signature | Forged::Unsigned));
                assert!(refused, "{scheme} {name}: {other}: {heard:?}");
            }
        }
        for at in 0..signed.body.len() {
            for byte in (0..=u8::MAX).filter(|&byte| byte != signed.body[at]) {
                let mut other = signed.clone();
                other.body[at] = byte;
                let heard = other.judged(&gateway, now);
                assert_eq!(heard, Err(Forged::Signature), "{scheme} {at} {byte}");
            }
        }
        let signs_url = matches!(scheme, "plivo_v3" | "sinch_application");
        for url in changed(&signed.url).filter(|_| signs_url) {
            // Sinch signs the path alone, as the public address begins it.
            let host = "https://callbacks.yourdomain.com/";
            if scheme == "sinch_application" && !url.starts_with(host) {
                continue;
            }
            let other = Signed { url, ..signed.clone() };
            let heard = other.judged(&gateway, now);
            assert_eq!(heard, Err(Forged::Signature), "{scheme} {}", other.url);
        }
        for body in [b"".to_vec(), [signed.body.as_slice(), b" "].concat()] {
            let other = Signed { body, ..signed.clone() };
            assert_eq!(other.judged(&gateway, now), Err(Forged::Signature), "{scheme}");
        }
    }
}

#[test]
fn without_a_header_a_request_is_not_signed_and_with_another_key_not_rightly() {
    let other = || Zeroizing::new("another key".to_owned());
    let bytes = || Zeroizing::new(b"another key".to_vec());
    for Case { scheme, gateway: right, signed, at, .. } in cases() {
        let now = at.unwrap_or(NOW);
        for (name, _) in &signed.headers {
            let wanted = match *name {
                // It is signed as empty then.
                "content-type" => Forged::Signature,
                _ => Forged::Unsigned,
            };
            assert_eq!(signed.without(name).judged(&right, now), Err(wanted), "{scheme} {name}");
        }
        let guard = match right.0.guard.clone() {
            Guard::Plivo { .. } => Guard::Plivo { token: other() },
            Guard::StandardWebhooks { .. } => Guard::StandardWebhooks { key: bytes() },
            Guard::Timestamped { header, .. } => Guard::Timestamped { header, secret: other() },
            Guard::Sinch { application, .. } => Guard::Sinch { application, key: bytes() },
            Guard::Path | Guard::Header { .. } | Guard::Basic { .. } | Guard::Hmac { .. } => {
                panic!("{scheme} is none of these")
            }
        };
        // Whether it is of now is said of what is the gateway's only.
        for now in [now, now + 1_000] {
            let heard = signed.judged(&gateway(guard.clone(), "x"), now);
            assert_eq!(heard, Err(Forged::Signature), "{scheme}");
        }
    }
    let Case { signed, at, gateway: right, .. } = sinch();
    for header in ["Bearer x", "application", "application x", "application :", "ü"] {
        let heard = signed.with("authorization", header).judged(&right, at.unwrap());
        assert!(matches!(heard, Err(Forged::Unsigned | Forged::Signature)), "{header}");
    }
}

#[test]
fn one_of_several_signatures_is_enough() {
    let Case { signed, gateway: right, .. } = plivo();
    let name = "x-plivo-signature-v3";
    let signature = signed.get(name).to_owned();
    for many in [
        format!("AAAA,{signature}"),
        format!("{signature}, AAAA"),
        format!("{signature},{signature}"),
    ] {
        assert!(signed.with(name, &many).judged(&right, NOW).is_ok(), "{many}");
    }
    assert!(signed.with(name, "AAAA,,").judged(&right, NOW).is_err());

    let Case { signed, .. } = standard_webhooks();
    let all = vectors();
    let case = &all["standard_webhooks"];
    for secret in ["secret", "old_secret"] {
        let right = gateway(standard(&case[secret]), "/sms/otp");
        for many in ["header_spec", "header_as_gotrue_sends_two_secrets"] {
            let many = signed.with("webhook-signature", &text(&case[many]));
            assert!(many.judged(&right, NOW).is_ok(), "{secret} {many:?}");
        }
    }

    let Case { signed, gateway: right, .. } = jambonz();
    let name = "jambonz-signature";
    let (at, good) = signed.get(name).split_once(',').unwrap();
    let bad = format!("v1={}", "0".repeat(64));
    let judged = |value: &str| signed.with(name, value).judged(&right, NOW).map(drop);
    for value in [
        format!("{at},{bad},{good}"),
        format!("{at},{good},{bad}"),
        format!("{at}, {good}, v0=00"),
        format!("{good},{at}"),
    ] {
        assert_eq!(judged(&value), Ok(()), "{value}");
    }
    for value in [
        String::new(),
        at.to_owned(),
        good.to_owned(),
        format!("{at},{bad}"),
        format!("{at},{}", good.replace("v1", "v0")),
        format!("{at},t=1,{good}"),
        format!("t=1,{at},{good}"),
    ] {
        assert_eq!(judged(&value), Err(Forged::Signature), "{value}");
    }
}

#[test]
fn plivos_message_is_the_one_of_its_own_library() {
    let token = Zeroizing::new("tok".to_owned());
    let right = gateway(Guard::Plivo { token }, "b");
    let bare = "https://gw.example/h";
    for (url, body, message, signature) in [
        (
            bare,
            "B=2&B=1&A=x+y",
            "https://gw.example/h?Ax yB1B2",
            "UYamfxS7aqI3nzoXlzE9P0y/8r+P16uoH3TYHQVHg+M=",
        ),
        (
            "https://gw.example/h?b=%20&a=2&a=1&e",
            "",
            "https://gw.example/h?a=1&a=2&b= &e=",
            "hAVmbpkSoko5uQn59eo9NNapYKor28gzmzu/sWifcd4=",
        ),
        (
            "https://gw.example/h?b=%23+&a=2",
            "B=%C3%BC&A=",
            "https://gw.example/h?a=2&b=# .ABü",
            "0noj/+7G5kS/m4D63JVQmtDs5LUQXqXrZMtElpDqjC0=",
        ),
        (
            "https://gw.example/h?b=%23&a=2",
            "",
            "https://gw.example/h?a=2&b=#",
            "RupIPqPIvZswYm25JhGZiGZ4EkOQwviyppz3jlma06s=",
        ),
        (bare, "", bare, "QdSjZWrcajDcB6it/LEU1QqiT+ELyUqFpE8As952hoI="),
    ] {
        assert_eq!(plivo_message(url, body.as_bytes(), "n1"), format!("{message}.n1"));
        let signed = Signed {
            url: url.to_owned(),
            headers: vec![
                ("x-plivo-signature-v3", signature.to_owned()),
                ("x-plivo-signature-v3-nonce", "n1".to_owned()),
            ],
            body: body.as_bytes().to_vec(),
        };
        // The query is signed, and so it is read.
        let said = signed.judged(&right, NOW).map(drop);
        let read = url.contains("b=");
        assert_eq!(said, if read { Ok(()) } else { Err(Forged::Unreadable) }, "{url}");
    }
}

#[test]
fn the_vector_of_sinch_is_what_is_signed() {
    let all = vectors();
    let case = &all["sinch_application"];
    let string = text(&case["string_to_sign"]);
    let lines: Vec<&str> = string.split('\n').collect();
    let at = lines[3].strip_prefix("x-timestamp:").unwrap();
    let message = sinch_message(lines[0], lines[1], lines[2], at, lines[4]);
    assert_eq!(message, string);
    let key = BASE64.decode(text(&case["secret_b64"])).unwrap();
    let signature = BASE64.encode(signature::hmac(Hash::Sha256, &key, message.as_bytes()));
    let authorization = format!("application {}:{signature}", text(&case["key"]));
    assert_eq!(authorization, text(&case["authorization"]));
}

#[test]
fn sinch_may_write_fractions_and_either_method_and_the_scheme_in_any_case() {
    let key = b"key".to_vec();
    let application = "a:b".to_owned();
    let guard = Guard::Sinch { application, key: Zeroizing::new(key.clone()) };
    let right = gateway(guard, "/event");
    let signed = |method: &str, at: &str, url: &str| {
        let message = sinch_message(method, "P20ZRDrAo6LDRYP/xbNj3g==", "", at, "/h");
        let mac = BASE64.encode(signature::hmac(Hash::Sha256, &key, message.as_bytes()));
        Signed {
            url: url.to_owned(),
            headers: vec![
                ("authorization", format!("Application a:b:{mac}")),
                ("x-timestamp", at.to_owned()),
            ],
            body: b"{\"event\":1}".to_vec(),
        }
    };
    let at = "2026-11-24T08:00:00Z";
    for (method, at, url) in [
        ("POST", at, "https://gw.example/h"),
        ("GET", at, "https://gw.example/h?x=/y"),
        ("POST", "2026-11-24T08:05:00.0000000Z", "https://gw.example/h"),
        ("POST", "2026-11-24T07:55:00.1234567Z", "https://gw.example/h"),
    ] {
        assert!(signed(method, at, url).judged(&right, NOW).is_ok(), "{method} {at} {url}");
    }
    for at in ["2026-11-24T08:05:00.0000010Z", "2026-11-24T07:54:59.9Z", "", "1795507200"] {
        let heard = signed("POST", at, "https://gw.example/h").judged(&right, NOW);
        assert_eq!(heard, Err(Forged::Stale), "{at}");
    }
    let heard = signed("PUT", at, "https://gw.example/h").judged(&right, NOW);
    assert_eq!(heard, Err(Forged::Signature));
}

/// A request of Standard Webhooks or of Plivo, signed under this name.
fn named(name: &str, at: &str, body: &str) -> [(Http, Signed); 2] {
    let mac = |message: &str| {
        BASE64.encode(signature::hmac(Hash::Sha256, b"hook-secret", message.as_bytes()))
    };
    let standard = Guard::StandardWebhooks { key: Zeroizing::new(b"hook-secret".to_vec()) };
    let plivo = Guard::Plivo { token: Zeroizing::new("hook-secret".to_owned()) };
    let url = "https://gw.example/hooks/c/inbound".to_owned();
    let plivos = vec![
        ("x-plivo-signature-v3", mac(&plivo_message(&url, body.as_bytes(), name))),
        ("x-plivo-signature-v3-nonce", name.to_owned()),
    ];
    let standards = vec![
        ("webhook-id", name.to_owned()),
        ("webhook-timestamp", at.to_owned()),
        ("webhook-signature", format!("v1,{}", mac(&format!("{name}.{at}.{body}")))),
    ];
    [(plivo, plivos), (standard, standards)].map(|(guard, headers)| {
        let signed = Signed { url: url.clone(), headers, body: body.as_bytes().to_vec() };
        (gateway(guard, "state"), signed)
    })
}

#[test]
fn what_a_request_is_called_is_what_it_signs() {
    let body = "msgid=9&from=14155550132&to=1&text=NO";
    for (right, signed) in named("m-1", &NOW.to_string(), body) {
        let heard = signed.heard(&right, NOW, false).unwrap();
        assert_eq!((heard.news.len(), heard.once.as_deref()), (1, Some("m-1")));
        assert_eq!(heard.answer.body, "ACK");
    }
    for name in ["", "a\tb", &"x".repeat(129)] {
        for (right, signed) in named(name, &NOW.to_string(), body) {
            assert_eq!(signed.heard(&right, NOW, false), Err(Forged::Unreadable), "{name:?}");
        }
    }
    // The border between id and time must be in one place only.
    let [(plivo, by_plivo), (standard, by_standard)] = named("m.1", &NOW.to_string(), body);
    assert!(by_plivo.heard(&plivo, NOW, false).is_ok());
    assert_eq!(by_standard.heard(&standard, NOW, false), Err(Forged::Unreadable));
    for at in ["", "-1", "1795507200.0", "now"] {
        let [_, (standard, signed)] = named("m-1", at, body);
        assert_eq!(signed.heard(&standard, NOW, false), Err(Forged::Stale), "{at}");
    }
}

#[test]
fn a_query_that_is_not_signed_is_not_read() {
    for (right, mut signed) in named("m-1", &NOW.to_string(), "x=1") {
        signed.url.push_str("?state=DELIVRD");
        let signs_url = matches!(right.0.guard, Guard::Plivo { .. });
        let wanted = if signs_url { Forged::Signature } else { Forged::Unreadable };
        assert_eq!(signed.judged(&right, NOW), Err(wanted));
    }
}

#[test]
fn a_guard_shows_no_secret_and_none_may_be_empty() {
    for Case { gateway, signed, .. } in cases() {
        let shown = format!("{gateway:?}");
        for secret in ["wh_secret", "zkey", "tok\"", "0123456789abcdef", "BeIukql3pTKJ8RGL5zo0DA"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        for (_, value) in signed.headers.iter().filter(|(name, _)| name.contains("signature")) {
            assert!(!shown.contains(value.as_str()), "{shown}");
        }
    }
    let none = || Zeroizing::new(String::new());
    let (nobody, nothing) = (String::new(), || Zeroizing::new(Vec::new()));
    for guard in [
        Guard::Plivo { token: none() },
        Guard::StandardWebhooks { key: nothing() },
        Guard::Timestamped { header: "x".to_owned(), secret: none() },
        Guard::Timestamped { header: nobody.clone(), secret: Zeroizing::new("x".to_owned()) },
        Guard::Sinch { application: "x".to_owned(), key: nothing() },
        Guard::Sinch { application: nobody, key: Zeroizing::new(vec![1]) },
    ] {
        let fault = Http::new(Settings { guard: guard.clone(), ..form_gateway() });
        assert_eq!(fault.unwrap_err(), SettingsError::Secret, "{guard:?}");
    }
}
