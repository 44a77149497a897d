//! A risk service of the tenant's: what it is asked, and what its answer, or its silence, does. And money,
//! as callers see it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::phone::{Manner, Phone};
use crate::serve::Gateway;
use crate::tools::{NUMBER, WEBHOOK_SECRET};

/// A trunk where nobody is: what is begun waits there.
const NOWHERE: &str = "[[trunks]]\nname = \"nowhere\"\ntarget = \"sip:127.0.0.1:9;transport=udp\"\n\
                       options_secs = 0\n";

type Asked = Arc<Mutex<Vec<(Vec<String>, Value)>>>;

/// A service that answers by the subject: its action, or something else.
fn service() -> (u16, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Asked::default();
    let kept = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || answer(stream.unwrap(), &kept));
        }
    });
    (port, asked)
}

fn answer(mut stream: TcpStream, kept: &Asked) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        match line.trim() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let mut lines = head.iter().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, it)| it.to_owned())
    };
    let mut body = vec![0; header("content-length").unwrap().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let text = String::from_utf8(body).unwrap();
    // Standard Webhooks: HMAC-SHA-256 over id.timestamp.body.
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.1).unwrap();
    let (id, at) = (header("webhook-id").unwrap(), header("webhook-timestamp").unwrap());
    mac.update(format!("{id}.{at}.{text}").as_bytes());
    let wanted = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature").unwrap(), wanted);
    let question: Value = serde_json::from_str(&text).unwrap();
    let subject = question["subject"].as_str().unwrap().to_owned();
    kept.lock().unwrap().push((head.clone(), question));
    let (status, said) = match subject.as_str() {
        "hang" => {
            std::thread::sleep(Duration::from_secs(3));
            (200, json!({"action": "allow"}).to_string())
        }
        "error" => (500, json!({"action": "allow"}).to_string()),
        "elsewhere" => (302, String::new()),
        "words" => (200, "allow".to_owned()),
        "much" => (200, format!("{{\"action\": \"allow\", \"x\": \"{}\"}}", "x".repeat(20_000))),
        action => (200, json!({"action": action, "reason": "moved house"}).to_string()),
    };
    let _ = stream.write_all(
        format!(
            "HTTP/1.1 {status} X\r\nConnection: close\r\nLocation: http://127.0.0.1:1/\r\n\
             Content-Length: {}\r\n\r\n{said}",
            said.len()
        )
        .as_bytes(),
    );
}

/// A gateway with such a service; subjects that it is asked about.
fn gateway(port: u16, more: &str) -> Gateway {
    let risk = format!(
        "risk = {{ url = \"http://127.0.0.1:{port}/ask\", secret = {:?}{more} }}",
        WEBHOOK_SECRET.0
    );
    let gateway = Gateway::with(NOWHERE, &risk);
    gateway.hide(NUMBER.trim_start_matches("+1"));
    gateway
}

/// The trace that starts are part of.
pub(crate) const TRACE: [(&str, &str); 2] = [
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("tracestate", "rojo=00f067aa0ba902b7"),
];

const SILENCES: [&str; 5] = ["hang", "error", "elsewhere", "words", "much"];

#[test]
fn silence_is_never_clean_and_what_the_service_says_is_done_before_anything_is_sent() {
    let (port, asked) = service();
    let begin = |gateway: &Gateway, n: usize, subject: &str| {
        let to = format!("+120255501{n:02}");
        let body =
            json!({"to": to, "subject": subject, "reference": "login", "client_ip": "203.0.113.9"});
        gateway.start_in(&TRACE, &body)
    };
    let flagging = gateway(port, "");
    let allowed = begin(&flagging, 0, "allow");
    assert_eq!((allowed.status, &allowed.json()["flags"]), (201, &json!([])));
    let flagged = begin(&flagging, 1, "flag");
    assert_eq!((flagged.status, &flagged.json()["flags"]), (201, &json!(["risk"])));
    let denied = begin(&flagging, 2, "deny");
    assert_eq!((denied.status, &denied.json()["code"]), (403, &json!("risk_denied")));
    assert_eq!(denied.json()["detail"], "the tenant's risk service denies it: moved house");
    for (n, silence) in SILENCES.into_iter().enumerate() {
        let begun = Instant::now();
        let answer = begin(&flagging, 10 + n, silence);
        assert_eq!(
            (answer.status, &answer.json()["flags"]),
            (201, &json!(["risk_unknown"])),
            "{silence}"
        );
        assert!(begun.elapsed() < Duration::from_millis(2_500), "{silence}: {:?}", begun.elapsed());
        // And so it is read afterwards.
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(flagging.read(&id, "")["flags"], json!(["risk_unknown"]));
    }
    let denying = gateway(port, ", on_timeout = \"deny\", number = \"full\"");
    for (n, silence) in SILENCES.into_iter().enumerate() {
        let answer = begin(&denying, 20 + n, silence);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (403, &json!("risk_denied")),
            "{silence}"
        );
    }
    // What is asked: the number only where the tenant wants that.
    let asked = asked.lock().unwrap();
    let first = &asked[0].1;
    for (name, value) in [
        ("tenant", "e2e"),
        ("to", "+1******0100"),
        ("country", "US"),
        ("channel", "voice"),
        ("mode", "confirm"),
        ("reference", "login"),
        ("client_ip", "203.0.113.9"),
    ] {
        assert_eq!(first[name], value, "{first:#}");
    }
    // The trace goes along.
    for (head, _) in asked.iter() {
        for (name, value) in TRACE {
            assert!(head.contains(&format!("{name}: {value}")), "{head:?}");
        }
    }
    assert_eq!(asked.last().unwrap().1["to"], "+12025550124");
    assert_eq!(asked.len(), 3 + 2 * SILENCES.len(), "redirects are not followed");
    assert_eq!(flagging.metric("octothorpe_risk_total{outcome=\"unknown_flagged\"}"), 5);
    assert_eq!(denying.metric("octothorpe_risk_total{outcome=\"unknown_denied\"}"), 5);
}

#[test]
fn a_question_is_joined_a_phone_is_called_once_and_money_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let deck = folder.path().join("prices.csv");
    std::fs::write(&deck, "prefix,channel,price\n+1,voice,0.10\n").unwrap();
    // It rings until nobody waits for it.
    let phone = Phone::start(Manner::Ring);
    let trunk = format!(
        "[[trunks]]\nname = \"phone\"\ntarget = \"sip:127.0.0.1:{};transport=udp\"\n",
        phone.port()
    );
    let ways = format!("{trunk}\n[prices]\nfile = {deck:?}\ncurrency = \"EUR\"\n");
    let gateway = Gateway::with(&ways, "budget = { tenant = \"0.45\" }");
    let body = json!({"to": NUMBER, "subject": "user-7f3", "reference": "login-991"});
    // Whoever asks again does so from elsewhere in a trace.
    let elsewhere = TRACE[0].1.replace("00f067aa0ba902b7", "53995c3f42cd8ad8");
    let first = gateway.start_in(&TRACE, &body);
    let again = gateway.start_in(&[("traceparent", &elsewhere)], &body);
    assert_eq!((first.status, again.status), (201, 200), "{again:?}");
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!((&again.json()["joined"], &again.json()["id"]), (&json!(true), &first.json()["id"]));
    let other = json!({"to": NUMBER, "subject": "user-7f3", "reference": "login-992"});
    let busy = gateway.post("/v1/verifications", &other);
    assert_eq!((busy.status, &busy.json()["code"]), (409, &json!("call_in_progress")));
    let wait: u64 = busy.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    // Two calls may cost 0.40 of the 0.45.
    gateway.begin(&json!({"to": "+12025550171"}));
    let refused = gateway.post("/v1/verifications", &json!({"to": "+12025550172"}));
    assert_eq!((refused.status, &refused.json()["code"]), (402, &json!("budget_denied")));
    assert_eq!(
        refused.json()["detail"],
        "it may cost 0.20 EUR, and the cap by tenant (0.45 EUR) leaves 0.05"
    );
    assert!(refused.header("retry-after").is_some());
    assert_eq!(gateway.metric("octothorpe_overspent_total{cap=\"tenant\",outcome=\"refused\"}"), 1);
}
