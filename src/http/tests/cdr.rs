//! Call detail records and trials, by the operators' listener.

use super::*;

/// A body that was sent in pieces (RFC 9112 § 7.1), put together; `None` where its end is missing.
fn whole(reply: &Reply) -> Option<String> {
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"), "{reply:?}");
    let (mut text, mut rest) = (String::new(), reply.body.as_str());
    loop {
        let (length, after) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(text);
        }
        text.push_str(after.get(..length)?);
        rest = after.get(length..)?.strip_prefix("\r\n")?;
    }
}

async fn admin(site: &Site, path: &str) -> Reply {
    send(site.admin, &format!("GET {path}"), &[], b"").await
}

async fn ask(site: &Site, to: &str) {
    let body = json!({ "to": to, "reference": "=1+1" }).to_string();
    let reply = post(site, "/v1/verifications", &[], body.as_bytes()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
}

#[tokio::test]
async fn each_attempt_has_a_row_however_many_there_are() {
    let site = site().await;
    for n in 0..450 {
        ask(&site, &format!("+1415{}", 2_000_000 + n * 37)).await;
    }
    let csv = admin(&site, "/admin/v1/cdr?from=2026-01-01&format=csv").await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let csv = whole(&csv).unwrap();
    let mut lines = csv.split_terminator("\r\n");
    assert!(lines.next().unwrap().starts_with("verification,attempt,tenant,reference,number,"));
    let rows: BTreeSet<&str> = lines.collect();
    assert_eq!(rows.len(), 450);
    assert!(rows.iter().all(|row| row.contains(",acme,'=1+1,+1******")));
    let jsonl = whole(&admin(&site, "/admin/v1/cdr?from=2026-01-01&tenant=acme").await).unwrap();
    let seen: BTreeSet<String> = jsonl
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            assert_eq!(row["reference"], "=1+1");
            row["verification"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(seen.len(), 450);
    assert!(!csv.contains("+1415200") && !jsonl.contains("+1415200"));
    // Another tenant has none, and neither has a time in which nothing happened.
    for empty in ["from=2026-01-01&tenant=globex", "from=2020-01-01&until=2020-01-31"] {
        let reply = admin(&site, &format!("/admin/v1/cdr?{empty}")).await;
        assert_eq!((reply.status, whole(&reply).as_deref()), (200, Some("")), "{empty}");
        let reply = admin(&site, &format!("/admin/v1/cdr?{empty}&format=csv")).await;
        let csv = whole(&reply).unwrap();
        assert!(csv.starts_with("verification,") && csv.ends_with(",withheld\r\n"), "{csv}");
        assert_eq!(csv.lines().count(), 1);
    }
}

#[tokio::test]
async fn a_wrong_filter_is_told_with_its_name() {
    let site = site().await;
    for (query, wanted) in [
        ("", vec!["from: required"]),
        ("from=yesterday", vec!["from: invalid_value"]),
        ("from=2026-02-01&until=2026-01-01", vec!["until: invalid_value"]),
        ("from=2026-02-01&until=soon", vec!["until: invalid_value"]),
        ("from=2026-02-01&format=xml", vec!["format: invalid_value"]),
        ("from=2026-02-01&tenant=nobody", vec!["tenant: invalid_value"]),
        ("since=2026-02-01", vec!["since: unknown_field"]),
        ("from=2026-02-01&from=2026-02-01", vec!["from: duplicate_field"]),
    ] {
        let reply = admin(&site, &format!("/admin/v1/cdr?{query}")).await;
        assert_eq!(reply.code(), (422, "invalid_request".to_owned()), "{query}");
        assert_eq!(reply.blamed(), wanted, "{query}");
    }
}

#[tokio::test]
async fn terms_are_tried_on_what_was_begun() {
    let site = site().await;
    for n in 0..8 {
        ask(&site, &format!("+1415{}", 2_000_000 + n)).await;
    }
    let terms = |more: Value| {
        let mut terms = json!({
            "tenant": "acme", "voice_countries": ["US"], "sms_countries": [], "limits": [["prefix", "5/h"]],
            "record_only": [], "subject_pauses": [], "safe_numbers": [],
        });
        let object = terms.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        terms
    };
    let path = "POST /admin/v1/policy/replay";
    let json = [("Content-Type", "application/json")];
    let today = Clock::system().now().to_rfc3339()[..10].to_owned();
    let attempt = |terms: Value| {
        let body = json!({ "from": today, "terms": terms }).to_string();
        let admin = site.admin;
        async move { send(admin, path, &json, body.as_bytes()).await }
    };
    for (more, refused, says) in [
        (json!({}), 3, "refuses"),
        (json!({ "record_only": ["prefix"] }), 0, "records"),
        (json!({ "voice_countries": ["DE"] }), 8, "refuses"),
        (json!({ "safe_numbers": [["+14152000007", "2099-01-01"]] }), 2, "refuses"),
    ] {
        let reply = attempt(json!([terms(more.clone())])).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let report = whole(&reply).unwrap();
        let report: Value = serde_json::from_str(report.lines().last().unwrap()).unwrap();
        let report = &report["report"];
        assert_eq!((&report["starts"], &report["refused"]), (&json!(8), &json!(refused)), "{more}");
        let rule = &report["rules"][0];
        assert_eq!(rule["says"], says, "{report}");
        assert_eq!(rule["countries"]["US"], if refused == 0 { 3 } else { refused });
    }
    let reply = attempt(json!([])).await;
    let report = whole(&reply).unwrap();
    assert!(report.contains("\"untried\":8"), "{report}");
    for (body, wanted) in [
        (json!({ "from": today }), "terms: required"),
        (
            json!({ "from": "2026-01-01", "until": "2026-03-01", "terms": [] }),
            "from: invalid_value",
        ),
        (json!({ "from": today, "terms": [{ "tenant": "acme" }] }), "terms[0]: invalid_value"),
        (
            json!({ "from": today, "terms": [terms(json!({ "limits": [["prefix", "often"]] }))] }),
            "terms[0]: invalid_value",
        ),
        (json!({ "from": today, "terms": [], "all": true }), "all: unknown_field"),
    ] {
        let reply = send(site.admin, path, &json, body.to_string().as_bytes()).await;
        assert_eq!(reply.blamed(), [wanted], "{body}");
    }
}

/// An answer that takes longer than a connection may be idle is not cut off, and one whose writer is lost has no end.
#[tokio::test]
async fn an_answer_may_take_as_long_as_it_needs() {
    let slow = async || {
        let (writer, body) = stream::streamed();
        tokio::spawn(async move {
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_millis(150)).await;
                writer.part("x").await.unwrap();
            }
            writer.end().await;
        });
        Response::new(body)
    };
    let broken = async || {
        let (writer, body) = stream::streamed();
        tokio::spawn(async move { writer.part("x").await.unwrap() });
        Response::new(body)
    };
    let (_open, closes) = watch::channel(false);
    let settings =
        Settings { idle_timeout: Duration::from_millis(400), max_connections: 10, ..hasty() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/slow", axum::routing::get(slow))
        .route("/broken", axum::routing::get(broken));
    let listening = Listening::new(settings).unwrap();
    let served = tokio::spawn(connection::accept(listener, router, listening, closes));
    let reply = send(address, "GET /slow", &[], b"").await;
    assert_eq!(whole(&reply).as_deref(), Some("xxxxxxxx"));
    let reply = send(address, "GET /broken", &[], b"").await;
    assert_eq!(whole(&reply), None);
    served.abort();
}
