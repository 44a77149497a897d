//! What happened in a verification, by both listeners.

use super::*;

async fn started(site: &Site) -> String {
    let body = json!({ "to": "+14155550132", "reference": "login-991" }).to_string();
    let reply = post(site, "/v1/verifications", &[], body.as_bytes()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let started: Value = serde_json::from_str(&reply.body).unwrap();
    started["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_tenant_is_told_of_its_own_and_an_operator_of_all() {
    let site = site().await;
    let id = started(&site).await;
    let path = format!("/v1/verifications/{id}/timeline");
    let reply = get(&site, &path).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let told: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(
        (&told["id"], &told["status"], &told["why"]),
        (&json!(id), &json!("pending"), &json!(null))
    );
    let entries = told["entries"].as_array().unwrap();
    let kinds: Vec<_> = entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["request", "policy", "route", "attempt"]);
    assert_eq!(entries[0]["text"], "acme asks for a call to +1******0132 (US), mode confirm.");
    assert_eq!(entries[2]["text"], "The plan: a call by carrier-a.");
    assert!(!reply.body.contains("5550132"), "{}", reply.body);

    let bearer = format!("Bearer {GLOBEX}");
    let line = format!("GET {path}");
    let theirs = send(site.api, &line, &[("Authorization", &bearer)], b"").await;
    let none = get(&site, "/v1/verifications/vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE/timeline").await;
    assert_eq!((theirs.status, &theirs.body), (404, &none.body));
    assert_eq!(send(site.api, &line, &[], b"").await.status, 401);
    assert_eq!(get(&site, &format!("{path}?wait=1")).await.status, 422);

    let reply = send(site.admin, &format!("GET /admin{path}"), &[], b"").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let mut more: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(more.as_object_mut().unwrap().remove("courses"), Some(json!([])));
    let about = more.as_object_mut().unwrap().remove("about").unwrap();
    assert_eq!((&about["tenant"], &about["number"]), (&json!("acme"), &json!("+1******0132")));
    assert_eq!(more, told);
    let none = send(site.admin, "GET /admin/v1/verifications/vf_1/timeline", &[], b"").await;
    assert_eq!(none.status, 404);
}
