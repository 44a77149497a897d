//! Settled verifications as traces, as the messages of OpenTelemetry's own package read them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::peers::{PATIENCE, Peer, python};
use crate::risk::TRACE;
use crate::serve::Gateway;
use crate::show::phone;
use crate::tools::{NUMBER, wait_for};
use crate::webhook::Receiver;

/// What the receiver knows the gateway by.
const TOKEN: &str = "canary-otlp-8f2b6c";

/// The spans that the receiver has taken of a trace, in the order in which they came.
fn spans(peer: &Peer, trace: &str) -> Vec<Value> {
    let all = peer.ask(json!({"do": "traces"}))["spans"].take();
    let Value::Array(mut all) = all else { panic!("no list: {all}") };
    all.retain(|span| span["trace"] == trace);
    all
}

/// The trace that began with this verification.
fn trace_of(peer: &Peer, id: &str) -> Option<String> {
    let all = peer.ask(json!({"do": "traces"}))["spans"].take();
    let of = |it: &&Value| it["attributes"]["octothorpe.verification"] == id;
    let found = all.as_array().unwrap().iter().find(of)?;
    Some(found["trace"].as_str().unwrap().to_owned())
}

#[test]
fn a_verification_is_told_as_a_trace_in_its_callers() {
    let mut receiver = python("otlp_peer.py");
    // It is not ready for the first request.
    receiver.arg("503:1");
    let peer = Peer::start(receiver);
    let endpoint = Receiver::start(&[]);
    let (_phone, port) = phone(&["--answer-after", "0.5", "--press", "#", "--press-after", "3"]);
    let mut gateway = Gateway::with(
        &format!(
            "[telemetry.otlp]\nendpoint = \"http://127.0.0.1:{}/\"\n\
             headers = {{ authorization = \"Bearer {TOKEN}\" }}\n\
             [[trunks]]\nname = \"phone\"\ntarget = \"sip:127.0.0.1:{port};transport=udp\"\n\
             options_secs = 0\ncaller_id = \"+12025550100\"\n",
            peer.port()
        ),
        &format!(
            "webhooks = [{{ url = {:?}, secret = {:?} }}]",
            endpoint.url(),
            crate::tools::WEBHOOK_SECRET.0
        ),
    );
    gateway.hide(TOKEN);
    let begun = gateway.start_in(&TRACE, &json!({"to": NUMBER}));
    assert_eq!(begun.status, 201, "{begun:?}");
    let id = begun.json()["id"].as_str().unwrap().to_owned();
    let settled = gateway.settles(&id, Duration::from_secs(60));
    assert_eq!(settled["status"], "approved", "{settled}");

    // "traceparent: version-traceid-parentid-flags"
    let parts: Vec<&str> = TRACE[0].1.split('-').collect();
    let (trace, parent) = (parts[1], parts[2]);
    let told = wait_for("the trace is told", PATIENCE, || {
        let told = spans(&peer, trace);
        (!told.is_empty()).then_some(told)
    });
    let [root, call, webhook] = told.as_slice() else { panic!("{told:#?}") };
    assert_eq!((&root["name"], &root["parent"]), (&json!("verification"), &json!(parent)));
    assert_eq!((&call["name"], &webhook["name"]), (&json!("call"), &json!("webhook")));
    for (key, value) in [
        ("status", "approved"),
        ("reason", "confirmed"),
        ("country", "US"),
        ("tenant", "e2e"),
        ("verification", &id),
    ] {
        assert_eq!(root["attributes"][format!("octothorpe.{key}")], value, "{root:#}");
    }
    assert_eq!(call["attributes"]["octothorpe.trunk"], "phone");
    for child in [call, webhook] {
        assert_eq!(child["parent"], root["id"]);
        assert!(child["start"].as_u64() >= root["start"].as_u64(), "{told:#?}");
    }
    for span in &told {
        assert_eq!((&span["state"], &span["status"]), (&json!(TRACE[1].1), &json!(0)));
        assert_eq!(span["resource"]["service.name"], "octothorpe");
        assert_eq!(span["headers"]["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(span["headers"]["content-type"], "application/x-protobuf");
        let whole = span["whole"].as_str().unwrap();
        assert!(!whole.contains(NUMBER.trim_start_matches("+1")), "{span:#}");
    }
    // What happened, in its order.
    let events = call["events"].as_array().unwrap();
    assert!(events.is_sorted_by_key(|it| it["at"].as_u64()), "{call:#}");
    let mut names = events.iter().map(|it| it["name"].as_str().unwrap());
    for name in ["placed", "ringing", "answered", "said", "key", "press"] {
        assert!(names.any(|it| it == name), "{name} is not where it belongs: {call:#}");
    }
    assert_eq!(webhook["events"][0]["attributes"]["octothorpe.outcome"], "delivered");
    let requests = peer.ask(json!({"do": "traces"}))["requests"].take();
    assert_eq!(
        requests,
        json!([{"status": 503, "path": "/v1/traces"}, {"status": 200, "path": "/v1/traces"}])
    );
    assert_eq!(gateway.metric("octothorpe_otlp_spans_total{outcome=\"sent\"}"), 3);

    // What is not sampled is not told. What waits when the gateway ends is, at once.
    let cancel = |id: &str| {
        let canceled = gateway.post(&format!("/v1/verifications/{id}/cancel"), &json!({}));
        assert_eq!(canceled.json()["status"], "canceled", "{canceled:?}");
    };
    let unsampled = TRACE[0].1.replace(trace, &"5".repeat(32)).replace("-01", "-00");
    let body = json!({"to": "+12025550171"});
    let begun = gateway.start_in(&[("traceparent", &unsampled)], &body);
    cancel(begun.json()["id"].as_str().unwrap());
    let own = gateway.begin(&json!({"to": "+12025550172"}));
    cancel(&own);
    gateway.terminate();
    let trace = trace_of(&peer, &own).expect("it was told before the gateway ended");
    let told = spans(&peer, &trace);
    assert_eq!(
        (&told[0]["parent"], &told[0]["attributes"]["octothorpe.status"]),
        (&json!(""), &json!("canceled"))
    );
    assert_eq!(spans(&peer, &"5".repeat(32)), [Value::Null; 0]);
}
