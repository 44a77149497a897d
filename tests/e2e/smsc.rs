//! Texts by SMPP, with the npm library `smpp` as the message centre (`tests/peers/smsc.js`): by the
//! real binary, and what only the session itself shows by [`Smsc`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use octothorpe::ambient::Clock;
use octothorpe::carrier::smpp::{Alphabet, Settings};
use octothorpe::carrier::{About, News, Receipt};
use octothorpe::gateway::smsc::Smsc;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::peers::{PATIENCE, Peer, node};
use crate::serve::{Gateway, SOON};
use crate::tools::wait_for;

/// The number that writes.
const SENDER: &str = "+14155550199";

const PASSWORD: &str = "canary-7";

/// How the codes begin that the tests choose: no other number of a log does by chance.
const CODES: &str = "9041726";

/// A message centre; at this port, or at any where it is 0.
fn centre(port: u16, options: &[&str]) -> Peer {
    let mut command = node("smsc.js");
    command.args(["--port", &port.to_string(), "--password", PASSWORD]).args(options);
    let centre = Peer::start(command);
    centre.port();
    centre
}

/// A gateway with a message centre at this port, and more keys for it.
fn gateway(port: u16, more: &str) -> Gateway {
    let gateway = Gateway::by_carriers(&format!(
        r#"
        [[carriers]]
        name = "metro"
        kind = "smpp"
        address = "127.0.0.1:{port}"
        system_id = "octothorpe"
        from = "{SENDER}"
        {more}
        "#
    ));
    for secret in [PASSWORD, CODES, "20255504"] {
        gateway.hide(secret);
    }
    gateway
}

/// What its log says of sessions.
fn sessions(gateway: &Gateway) -> Vec<Value> {
    let log = gateway.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == "message centre").collect()
}

/// The key of the right password.
fn password() -> String {
    format!("password = {PASSWORD:?}")
}

/// Everything that the centre has printed: a command that it has taken stands behind all of it.
fn printed(centre: &Peer) -> Vec<Value> {
    centre.tell(&json!({"count": true}));
    centre.lines()
}

/// Starts a verification by text, with a code of the test's own.
fn begin(gateway: &Gateway, phone: &str, mode: &str, code: &str) -> String {
    assert!(code.starts_with(CODES));
    gateway.begin(&json!({"to": phone, "channel": "sms", "mode": mode, "code": code}))
}

/// Every time that a text with this code was submitted.
fn submits<'a>(lines: &'a [Value], code: &str) -> Vec<&'a Value> {
    let with = |line: &&Value| line["text"].as_str().is_some_and(|text| text.contains(code));
    lines.iter().filter(|line| line["event"] == "submit").filter(with).collect()
}

/// Types a code; whether it counts.
fn approves(gateway: &Gateway, id: &str, code: &str) -> bool {
    let checked = gateway.post(&format!("/v1/verifications/{id}/check"), &json!({"code": code}));
    checked.json()["status"] == "approved"
}

/// Waits until the attempt has ended, and gives the verification back.
fn ended(gateway: &Gateway, id: &str) -> Value {
    wait_for("the attempt ends", PATIENCE, || {
        let found = gateway.read(id, "");
        (found["attempts"][0]["state"] == "ended").then_some(found)
    })
}

#[test]
fn a_code_goes_out_its_receipt_comes_back_and_the_reply_approves() {
    let centre = centre(0, &[]);
    let gateway = gateway(centre.port(), &password());
    for (number, (form, coding)) in [("text", 0), ("tlv", 3), ("both", 8)].into_iter().enumerate() {
        centre.tell(&json!({"receipts": {"form": form}}));
        let (phone, code) = (format!("+1202555040{number}"), format!("{CODES}00{number}"));
        let id = begin(&gateway, &phone, "reply", &code);
        gateway.reaches(&id, "delivered");
        let lines = printed(&centre);
        let [submit] = submits(&lines, &code)[..] else { panic!("once: {lines:?}") };
        gateway.hide(submit["text"].as_str().unwrap());
        assert_eq!(
            [&submit["esm_class"], &submit["registered_delivery"], &submit["data_coding"]],
            [0, 1, 0]
        );
        assert_eq!([&submit["ton"], &submit["npi"]], [1, 1]);
        assert_eq!(
            [&submit["from"], &submit["to"]],
            [SENDER.trim_start_matches('+'), phone.trim_start_matches('+')]
        );
        // Five minutes, or a second less.
        let valid = submit["validity_period"].as_str().unwrap();
        assert!(valid.starts_with("0000000005") || valid.starts_with("0000000004"), "{valid}");
        let found = gateway.read(&id, "");
        assert_eq!(found["attempts"][0]["call_id"], submit["id"]);

        let reply = json!({"from": phone, "to": SENDER, "text": code, "coding": coding});
        centre.tell(&json!({"reply": reply}));
        let settled = gateway.settles(&id, SOON);
        assert_eq!(
            (&settled["status"], &settled["reason"]),
            (&"approved".into(), &"reply_matched".into())
        );
    }
    for event in ["receipt", "reply"] {
        let answered = |line: &Value| line["event"] == event && line["status"] == 0;
        wait_for(event, SOON, || (centre.count(answered) == 3).then_some(()));
    }
    let bind = centre.line("bound", |line| line["event"] == "bind");
    assert_eq!((&bind["command"], &bind["version"]), (&"bind_transceiver".into(), &0x34.into()));
    assert_eq!(gateway.metric("octothorpe_smpp_bound"), 1);
}

#[test]
fn what_the_centre_says_of_a_text_becomes_a_reason() {
    let centre = centre(0, &["--stat", "UNDELIV", "--err", "027"]);
    let gateway = gateway(centre.port(), &password());
    let failed = |number: u8, reason: &str, detail: &str| {
        let (phone, code) = (format!("+1202555041{number}"), format!("{CODES}01{number}"));
        let settled = gateway.settles(&begin(&gateway, &phone, "code", &code), SOON);
        assert_eq!((&settled["status"], &settled["reason"]), (&"failed".into(), &reason.into()));
        let told = settled["attempts"][0]["detail"].as_str().unwrap_or_default();
        assert!(told.contains(detail), "{settled}");
    };
    failed(0, "undelivered", "UNDELIVERABLE, error 027");
    centre.tell(&json!({"reject": 0x0b}));
    failed(1, "invalid_number", "");
    centre.tell(&json!({"reject": 0x45}));
    failed(2, "carrier_error", "ESME_RSUBMITFAIL");

    // Throttled texts were not taken: each comes again, and is taken once.
    centre.tell(&json!({"reject": 0, "throttle": 2, "receipts": {"stat": "DELIVRD"}}));
    let code = format!("{CODES}013");
    let id = begin(&gateway, "+12025550413", "code", &code);
    gateway.reaches(&id, "delivered");
    let lines = printed(&centre);
    let answers: Vec<_> = submits(&lines, &code).into_iter().map(|it| &it["answer"]).collect();
    assert_eq!(answers, [0x58, 0x58, 0]);
    assert!(approves(&gateway, &id, &code));
}

#[test]
fn a_text_that_is_never_answered_goes_out_once_and_its_code_counts() {
    let centre = centre(0, &[]);
    let keys = format!("{}\nanswer_secs = 1\nenquire_secs = 1", password());
    let gateway = gateway(centre.port(), &keys);
    centre.line("bound", |line| line["event"] == "bind");
    centre.tell(&json!({"hang": true}));
    let code = format!("{CODES}020");
    let id = begin(&gateway, "+12025550420", "code", &code);
    let found = ended(&gateway, &id);
    let attempt = &found["attempts"][0];
    assert_eq!(
        (&found["status"], &attempt["reason"]),
        (&"pending".into(), &"carrier_error".into())
    );
    // It is probed, left, and bound again.
    centre.line("left", |line| line["event"] == "closed");
    centre.tell(&json!({"hang": false}));
    wait_for("bound again", PATIENCE, || {
        (centre.count(|line| line["event"] == "bind") >= 2).then_some(())
    });
    let other = format!("{CODES}021");
    gateway.reaches(&begin(&gateway, "+12025550421", "code", &other), "delivered");
    assert_eq!(submits(&printed(&centre), &code).len(), 1);
    assert!(approves(&gateway, &id, &code));
}

#[test]
fn nothing_is_sent_without_a_session() {
    let centre = centre(0, &[]);
    let wrong = "not-this-one";
    let keys = format!("password = {wrong:?}\npatience_secs = 2");
    let gateway = gateway(centre.port(), &keys);
    gateway.hide(wrong);
    let id = begin(&gateway, "+12025550430", "code", &format!("{CODES}030"));
    let settled = gateway.settles(&id, SOON);
    assert_eq!(
        (&settled["status"], &settled["reason"]),
        (&"failed".into(), &"carrier_error".into())
    );
    let detail = settled["attempts"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("metro is not bound") && detail.contains("ESME_RINVPASWD"), "{detail}");
    assert_eq!(gateway.metric("octothorpe_smpp_bound"), 0);
    let sessions = sessions(&gateway);
    let why = |line: &Value| line["error"].as_str().is_some_and(|it| it.contains("ESME_RINVPASWD"));
    assert!(sessions.iter().any(|line| line["bound"] == false && why(line)), "{sessions:?}");
    assert!(centre.kill().iter().all(|line| line["event"] != "submit"));
}

#[test]
fn a_centre_that_dies_and_comes_back_loses_nothing_and_gets_nothing_twice() {
    const STARTS: usize = 200;
    // Taken texts are unanswered for a while: some are when it dies.
    let options = ["--delay", "0", "--latency", "100"];
    let first = centre(0, &options);
    let port = first.port();
    let gateway = gateway(port, &password());
    for numbers in ["20255501", "21255501"] {
        gateway.hide(numbers);
    }
    first.line("bound", |line| line["event"] == "bind");

    let next = AtomicUsize::new(0);
    let (started, mut lines, second) = std::thread::scope(|scope| {
        let starters: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut started = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= STARTS {
                            return started;
                        }
                        let area = ["202", "212"][number / 100];
                        let phone = format!("+1{area}55501{:02}", number % 100);
                        let code = format!("{CODES}{number:03}");
                        started.push((begin(&gateway, &phone, "code", &code), code));
                    }
                })
            })
            .collect();
        wait_for("texts are on their way", PATIENCE, || {
            (first.count(|line| line["event"] == "submit") >= 60).then_some(())
        });
        let lines = first.kill();
        std::thread::sleep(Duration::from_millis(300));
        let second = centre(port, &options);
        let started = starters.into_iter().flat_map(|it| it.join().unwrap());
        (started.collect::<Vec<_>>(), lines, second)
    });
    assert_eq!(started.len(), STARTS);

    // Each comes to rest: delivered, sent (its receipt died with the centre), or nobody can tell.
    let mut rests: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lost = Vec::new();
    for (id, code) in &started {
        let (state, reason) = wait_for("it comes to rest", PATIENCE, || {
            let found = gateway.read(id, "");
            assert_eq!(found["status"], "pending", "{found}");
            let attempt = &found["attempts"][0];
            match attempt["state"].as_str().unwrap() {
                "delivered" => Some(("delivered", attempt["call_id"].clone())),
                "sent" => Some(("sent", attempt["call_id"].clone())),
                "ended" => Some(("ended", attempt["reason"].clone())),
                _ => None,
            }
        });
        *rests.entry(state).or_default() += 1;
        if state == "ended" {
            assert_eq!(reason, "carrier_error");
            lost.push(code.as_str());
        } else {
            assert!(approves(&gateway, id, code), "{id}");
        }
    }
    lines.extend(second.kill());
    let mut lost_and_taken = 0;
    for (_, code) in &started {
        let submitted = submits(&lines, code);
        if lost.contains(&code.as_str()) {
            assert!(submitted.len() <= 1, "{submitted:?}");
            lost_and_taken += submitted.len();
        } else {
            assert_eq!(submitted.len(), 1, "{submitted:?}");
        }
        for submit in submitted {
            assert_eq!([&submit["esm_class"], &submit["registered_delivery"]], [0, 1]);
        }
    }
    let sessions = sessions(&gateway);
    let bound: Vec<&Value> = sessions.iter().filter(|line| line["bound"] == true).collect();
    // Why the one before ended is no news of the one that is bound.
    assert!(bound.len() == 2 && bound.iter().all(|line| line["error"].is_null()), "{sessions:?}");
    println!("{STARTS} texts and a crash: {rests:?}, {lost_and_taken} lost that were taken");
    // Sent again, these would have come twice.
    assert!(lost_and_taken > 0, "no crash came between a text and its answer");
    assert!(lost.len() <= 50, "{} are lost, more than a window", lost.len());
}

/// A session without a gateway around it.
fn session(port: u16, alphabet: Alphabet) -> (Smsc, mpsc::UnboundedReceiver<Told>) {
    let password = Zeroizing::new(PASSWORD.to_owned());
    let settings = Settings::new("metro", ("127.0.0.1", port), "octothorpe", password, SENDER);
    let (events, news) = mpsc::unbounded_channel();
    (Smsc::start(Settings { alphabet, ..settings }, events, Clock::system()), news)
}

type Told = (String, Vec<(About, News)>);

/// The next piece of news, which comes alone.
async fn told(news: &mut mpsc::UnboundedReceiver<Told>) -> (About, News) {
    let (carrier, mut all) = tokio::time::timeout(PATIENCE, news.recv()).await.unwrap().unwrap();
    assert_eq!((carrier.as_str(), all.len()), ("metro", 1));
    all.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_is_delivered_when_all_its_parts_are() {
    for (text, coding, alphabet) in [
        ("abcdefghij ".repeat(30), 0, Alphabet::Gsm7),
        ("абвгдежзий ".repeat(15), 8, Alphabet::Gsm7),
        ("äöü ".repeat(50), 3, Alphabet::Latin1),
    ] {
        let centre = centre(0, &[]);
        let (smsc, mut news) = session(centre.port(), alphabet);
        let phone = "+12025550440".parse().unwrap();
        let sent = smsc.send(&phone, &text.clone().into(), Duration::from_secs(300)).await;
        let Receipt::Taken(handle) = sent else { panic!("{sent:?}") };
        let mut submits = printed(&centre);
        submits.retain(|line| line["event"] == "submit");
        let total = submits.len();
        assert!(total > 1);
        let mut whole = String::new();
        for (at, submit) in submits.iter().enumerate() {
            assert_eq!([&submit["esm_class"], &submit["data_coding"]], [0x40, coding]);
            assert_eq!(submit["registered_delivery"], 1);
            assert_eq!([&submit["part"]["total"], &submit["part"]["number"]], [total, at + 1]);
            whole.push_str(submit["text"].as_str().unwrap());
        }
        assert_eq!(whole, text);
        assert_eq!(told(&mut news).await, (About::Handle(handle), News::Delivered));
        assert!(news.try_recv().is_err(), "one text is delivered once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_in_parts_is_put_together_and_a_session_that_ends_says_so() {
    let centre = centre(0, &[]);
    let (smsc, mut news) = session(centre.port(), Alphabet::Gsm7);
    centre.line("bound", |line| line["event"] == "bind");
    let (phone, said) = ("+12025550441", "Не я. ".repeat(30));
    let reply = json!({"from": phone, "to": SENDER, "text": said, "coding": 8, "parts": 3});
    centre.tell(&json!({"reply": reply}));
    let (About::Nobody, News::Text(text)) = told(&mut news).await else { panic!("a text") };
    assert_eq!((text.from, text.to.as_str()), (phone.parse().unwrap(), SENDER));
    assert_eq!(text.body.expose(), said);

    assert!(smsc.state().bound);
    smsc.stop().await;
    centre.line("unbound", |line| line["event"] == "unbind");
    assert!(!smsc.state().bound);
    let late = smsc.send(&phone.parse().unwrap(), &"late".to_owned().into(), PATIENCE).await;
    assert!(matches!(late, Receipt::Refused(_)), "{late:?}");
}
