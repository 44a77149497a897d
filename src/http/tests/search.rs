//! Verifications that are found again, by both listeners.

use std::cmp::Reverse;

use super::*;

async fn begin(site: &Site, key: &str, to: &str, more: Value) -> String {
    let mut body = json!({ "to": to });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let bearer = format!("Bearer {key}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let line = "POST /v1/verifications";
    let reply = send(site.api, line, &headers, body.to_string().as_bytes()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let begun: Value = serde_json::from_str(&reply.body).unwrap();
    begun["id"].as_str().unwrap().to_owned()
}

async fn admin(site: &Site, path: &str) -> Reply {
    send(site.admin, &format!("GET {path}"), &[], b"").await
}

/// The ids that are found, and where the next page begins.
async fn page(site: &Site, query: &str) -> (Vec<String>, Option<String>) {
    let reply = admin(site, &format!("/admin/v1/verifications?{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    assert!(!reply.body.contains("+1415"), "numbers are masked: {}", reply.body);
    let told: Value = serde_json::from_str(&reply.body).unwrap();
    let rows = told["verifications"].as_array().unwrap().iter();
    let ids = rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    (ids, told["next"].as_str().map(str::to_owned))
}

async fn found(site: &Site, query: &str) -> Vec<String> {
    page(site, query).await.0
}

#[tokio::test]
async fn they_are_found_by_each_thing_that_is_known_of_them() {
    let site = site().await;
    let ada = json!({ "subject": "ada", "reference": "login-1" });
    let first = begin(&site, ACME, "+14155550132", ada).await;
    let german = begin(&site, GLOBEX, "+4915112345678", json!({ "subject": "ada" })).await;
    let cancel = format!("/v1/verifications/{first}/cancel");
    assert_eq!(post(&site, &cancel, &[], b"{}").await.status, 200);
    let again = begin(&site, GLOBEX, "+14155550132", json!({ "subject": "bob" })).await;
    for (query, wanted) in [
        ("", vec![&again, &german, &first]),
        ("number=%2B14155550132", vec![&again, &first]),
        ("number=+14155550132&tenant=acme", vec![&first]),
        ("number=%2B14155550199", vec![]),
        ("subject=ada", vec![&german, &first]),
        ("subject=ad", vec![]),
        ("subject=ada&number=%2B14155550132", vec![&first]),
        ("reference=login-1", vec![&first]),
        ("reference=login-1&status=pending", vec![]),
        ("status=canceled&reason=canceled_by_caller", vec![&first]),
        ("status=pending", vec![&again, &german]),
        ("country=DE", vec![&german]),
        ("tenant=globex&channel=voice", vec![&again, &german]),
        ("channel=sms", vec![]),
        ("trunk=carrier-a", vec![&again, &german, &first]),
        ("trunk=carrier-a&carrier=carrier-b", vec![]),
        ("since=2020-01-01&until=2020-12-31", vec![]),
        ("number=%2B14155550132&until=2020-12-31", vec![]),
        ("since=2026-01-01T00:00:00Z", vec![&again, &german, &first]),
    ] {
        let (ids, next) = page(&site, query).await;
        assert_eq!(ids.iter().collect::<Vec<_>>(), wanted, "{query}");
        assert_eq!(next, None, "{query}");
    }
}

#[tokio::test]
async fn pages_have_no_gaps_and_no_repeats() {
    let site = site().await;
    let mut all = Vec::new();
    for n in 0..130 {
        let key = if n % 3 == 0 { ACME } else { GLOBEX };
        let to = format!("+1415555{:04}", 2000 + n);
        all.push(begin(&site, key, &to, json!({ "subject": "ada" })).await);
    }
    for (query, count) in [("", 130), ("subject=ada", 130), ("subject=ada&tenant=acme", 44)] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let (ids, next) = page(&site, &format!("{query}&limit=40{cursor}")).await;
            assert!(ids.len() == 40 || next.is_none(), "{query}");
            seen.extend(ids);
            let Some(next) = next else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen.len(), count, "{query}");
        // Those of one millisecond have no order.
        let born = |id: &String| id[..13].to_owned();
        assert!(seen.is_sorted_by_key(|id| Reverse(born(id))), "{query}: newest first");
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count, "{query}: each once");
        assert!(seen.iter().all(|id| all.contains(id)));
    }
}

#[tokio::test]
async fn a_wrong_filter_is_told_with_its_name() {
    let site = site().await;
    for (query, fields) in [
        ("number=4155550132", vec!["number"]),
        ("status=open&reason=bored", vec!["reason", "status"]),
        ("country=usa", vec!["country"]),
        ("tenant=initech", vec!["tenant"]),
        ("since=soon", vec!["since"]),
        ("since=2026-02-02&until=2026-02-01", vec!["until"]),
        ("limit=0", vec!["limit"]),
        ("limit=201", vec!["limit"]),
        ("limit=x", vec!["limit"]),
        ("cursor=x", vec!["cursor"]),
        ("subject=", vec!["subject"]),
        ("trunk=a%0Ab", vec!["trunk"]),
        ("nummer=1", vec!["nummer"]),
        ("subject=a&subject=b", vec!["subject"]),
    ] {
        let reply = admin(&site, &format!("/admin/v1/verifications?{query}")).await;
        assert_eq!(reply.status, 422, "{query} {reply:?}");
        let told: Value = serde_json::from_str(&reply.body).unwrap();
        let errors = told["errors"].as_array().unwrap().iter();
        let mut named: Vec<_> = errors.map(|it| it["field"].as_str().unwrap()).collect();
        named.sort_unstable();
        assert_eq!(named, fields, "{query}");
    }
}

#[tokio::test]
async fn a_tenant_lists_its_own() {
    let site = site().await;
    let first = begin(&site, ACME, "+14155550132", json!({})).await;
    begin(&site, GLOBEX, "+14155550134", json!({})).await;
    let second = begin(&site, ACME, "+14155550133", json!({})).await;
    let list = async |query: &str| {
        let reply = get(&site, &format!("/v1/verifications?{query}")).await;
        assert_eq!(reply.status, 200, "{query} {reply:?}");
        serde_json::from_str::<Value>(&reply.body).unwrap()
    };
    let told = list("status=pending&trunk=carrier-a&country=US&channel=voice").await;
    let ids = |told: &Value| {
        let rows = told["verifications"].as_array().unwrap().clone();
        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&told), [second.clone(), first.clone()]);
    assert_eq!((&told["next"], &told["back_to"]), (&json!(null), &json!(null)));
    let one = get(&site, &format!("/v1/verifications/{first}")).await;
    let one: Value = serde_json::from_str(&one.body).unwrap();
    assert_eq!(told["verifications"][1], one, "as it is read");
    let page = list("limit=1").await;
    assert_eq!(ids(&page), [second]);
    assert!(page["back_to"].is_string());
    let next = page["next"].as_str().unwrap();
    assert_eq!(ids(&list(&format!("cursor={next}")).await), [first]);
    assert_eq!(ids(&list("from=2020-01-01&to=2020-01-31").await), [""; 0]);
    // Whose number it is, is asked by nobody but operators.
    for query in ["number=%2B14155550132", "tenant=globex", "limit=%2B5"] {
        assert_eq!(get(&site, &format!("/v1/verifications?{query}")).await.status, 422, "{query}");
    }
    assert_eq!(send(site.api, "GET /v1/verifications", &[], b"").await.status, 401);
}

#[tokio::test]
async fn an_operator_takes_one_back_and_is_told_a_number_for_a_reason() {
    let site = site().await;
    let id = begin(&site, ACME, "+14155550132", json!({})).await;
    let line = |what: &str| format!("POST /admin/v1/verifications/{id}/{what}");
    let reply = send(site.admin, &line("cancel"), &[], b"").await;
    let told: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!((reply.status, &told["status"]), (200, &json!("canceled")), "{reply:?}");
    assert_eq!(send(site.admin, &line("cancel"), &[], b"").await.status, 200, "as it is");

    let json = [("Content-Type", "application/json")];
    for (body, status) in [
        (r"{}", 422),
        (r#"{"reason": " "}"#, 422),
        (r#"{"reason": "she called from +14155550132"}"#, 422),
        (r#"{"reason": "ticket 20261127-0012", "why": 1}"#, 422),
        (r#"{"reason": "ticket 20261127-0012"}"#, 200),
    ] {
        let reply = send(site.admin, &line("unmask"), &json, body.as_bytes()).await;
        assert_eq!(reply.status, status, "{body} {reply:?}");
        assert_eq!(reply.body.contains("+14155550132"), status == 200, "{reply:?}");
    }
    for what in ["cancel", "unmask"] {
        let line = format!("POST /admin/v1/verifications/{UNKNOWN_ID}/{what}");
        let reply = send(site.admin, &line, &json, br#"{"reason": "x"}"#).await;
        assert_eq!(reply.status, 404, "{reply:?}");
    }
}

#[tokio::test]
async fn what_is_erased_is_found_no_more() {
    let site = site().await;
    let of = json!({ "subject": "ada", "reference": "login-1" });
    begin(&site, ACME, "+14155550132", of).await;
    let other = begin(&site, ACME, "+14155550133", json!({ "subject": "ada" })).await;
    let json = [("Content-Type", "application/json")];
    let body = br#"{"number": "+14155550132"}"#;
    assert_eq!(send(site.admin, "POST /admin/v1/erase", &json, body).await.status, 200);
    assert_eq!(found(&site, "number=%2B14155550132").await, [""; 0]);
    assert_eq!(found(&site, "reference=login-1").await, [""; 0]);
    assert_eq!(found(&site, "subject=ada").await, [other]);
}
