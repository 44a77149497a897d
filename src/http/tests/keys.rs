//! Keys and scopes over real sockets.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// Makes the gateway believe that a proxy passed the request on: nobody is at the machine.
const REMOTE: (&str, &str) = ("X-Forwarded-For", "192.0.2.1");

async fn operate(site: &Site, line: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut all = headers.to_vec();
    if !body.is_empty() {
        all.push(("Content-Type", "application/json"));
    }
    send(site.admin, line, &all, body.as_bytes()).await
}

/// Makes a key of `acme`; its name and its text.
async fn made(site: &Site, wanted: &Value) -> (String, String) {
    let line = "POST /admin/v1/tenants/acme/keys";
    let reply = operate(site, line, &[], &wanted.to_string()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let told = reply.json();
    (told["id"].as_str().unwrap().to_owned(), told["key"].as_str().unwrap().to_owned())
}

/// A start of a number that no other has: a number has one call at a time.
fn start() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(200);
    json!({"to": format!("+1415555{:04}", NEXT.fetch_add(1, Ordering::Relaxed))}).to_string()
}

/// How every call of the API is answered to this key: start, read, check, resend, cancel.
async fn statuses(site: &Site, key: &str, id: &str) -> [u16; 5] {
    let bearer = bearer(key);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let path = format!("/v1/verifications/{id}");
    let (mut found, start) = ([0; 5], start());
    let calls = [
        ("POST /v1/verifications".to_owned(), start.as_str()),
        (format!("GET {path}"), ""),
        (format!("POST {path}/check"), r#"{"code": "000000"}"#),
        (format!("POST {path}/resend"), "{}"),
        (format!("POST {path}/cancel"), "{}"),
    ];
    for (place, (line, body)) in found.iter_mut().zip(calls) {
        *place = send(site.api, &line, &headers, body.as_bytes()).await.status;
    }
    found
}

#[tokio::test]
async fn no_key_a_revoked_one_anothers_id_and_a_lacking_scope() {
    let site = site().await;
    let id = started(&site).await;
    let path = format!("/v1/verifications/{id}");
    let (revoked, text) = made(&site, &json!({})).await;
    let (_, read_only) = made(&site, &json!({"name": "reader", "scopes": ["read"]})).await;
    assert_eq!(statuses(&site, &read_only, &id).await, [403, 200, 403, 403, 403]);
    let line = format!("DELETE /admin/v1/tenants/acme/keys/{revoked}");
    assert_eq!(operate(&site, &line, &[], "").await.status, 204);
    assert_eq!(operate(&site, &line, &[], "").await.status, 404);
    let ask = async |key: Option<&str>, id: &str| {
        let bearer = key.map(bearer).unwrap_or_default();
        let headers = [("Authorization", bearer.as_str())];
        let headers = if key.is_some() { &headers[..] } else { &[] };
        let reply = send(site.api, &format!("GET /v1/verifications/{id}"), headers, b"").await;
        (reply.status, reply.body)
    };
    let without = ask(None, &id).await;
    assert_eq!(without.0, 401);
    assert_eq!(ask(Some(&text), &id).await, without, "{path}");
    assert_eq!(ask(Some("otk_00000000_nobody-has-this-key-and-it-is-long"), &id).await, without);
    let unknown = ask(Some(GLOBEX), UNKNOWN_ID).await;
    assert_eq!(unknown.0, 404);
    assert_eq!(ask(Some(GLOBEX), &id).await, unknown);
    assert_eq!(statuses(&site, GLOBEX, &id).await, [201, 404, 404, 404, 404]);
    assert_eq!(statuses(&site, GLOBEX, UNKNOWN_ID).await, [201, 404, 404, 404, 404]);
    let refused = post_with(&site, &read_only).await;
    assert_eq!(refused.code(), (403, "forbidden".to_owned()));
    assert!(refused.json()["detail"].as_str().unwrap().contains("\"start\""));
}

async fn post_with(site: &Site, key: &str) -> Reply {
    let bearer = bearer(key);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    send(site.api, "POST /v1/verifications", &headers, start().as_bytes()).await
}

#[tokio::test]
async fn every_scope_opens_what_it_is_for() {
    let site = site().await;
    let id = started(&site).await;
    for (scope, wanted) in [
        ("start", [201, 403, 403, 429, 403]),
        ("read", [403, 200, 403, 403, 403]),
        ("check", [403, 403, 409, 403, 403]),
        ("cancel", [403, 403, 403, 403, 200]),
        ("admin", [403, 403, 403, 403, 403]),
    ] {
        let (_, key) = made(&site, &json!({"name": scope, "scopes": [scope]})).await;
        assert_eq!(statuses(&site, &key, &id).await, wanted, "{scope}");
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_two_of_a_name_are_live() {
    let site = site().await;
    let wanted = json!({"name": "login", "scopes": ["start", "check"], "days": 90,
                        "allow": ["127.0.0.0/8", "2001:db8::/32"]});
    let (id, text) = made(&site, &wanted).await;
    assert!(text.starts_with(&format!("otk_{id}_")), "{text}");
    assert_eq!(text.len(), 56);
    made(&site, &wanted).await;
    let line = "POST /admin/v1/tenants/acme/keys";
    let third = operate(&site, line, &[], &wanted.to_string()).await;
    assert_eq!(third.code(), (409, "too_many_keys".to_owned()));
    made(&site, &json!({"name": "other"})).await;
    let list = operate(&site, "GET /admin/v1/tenants/acme/keys", &[], "").await;
    assert!(!list.body.contains(&text), "{list:?}");
    let keys = list.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 4);
    assert_eq!(keys[0]["source"], "configuration");
    let theirs = keys.iter().find(|it| it["id"] == id.as_str()).unwrap();
    assert_eq!(theirs["scopes"], json!(["start", "check"]));
    assert_eq!(theirs["allow"], wanted["allow"]);
    assert_eq!((&theirs["tenant"], &theirs["name"]), (&json!("acme"), &json!("login")));
    assert_eq!(theirs["last_used_at"], Value::Null);
    assert_eq!(post_with(&site, &text).await.status, 201);
    let used = operate(&site, "GET /admin/v1/tenants/acme/keys", &[], "").await.json();
    let used = used["keys"].as_array().unwrap().iter().find(|it| it["id"] == id.as_str()).cloned();
    assert!(used.unwrap()["last_used_at"].is_string());
    let configured = keys[0]["id"].as_str().unwrap();
    let line = format!("DELETE /admin/v1/tenants/acme/keys/{configured}");
    let refused = operate(&site, &line, &[], "").await;
    assert_eq!(refused.status, 404);
    assert!(refused.body.contains("configuration"), "{refused:?}");
    for line in ["GET /admin/v1/tenants/nobody/keys", "POST /admin/v1/tenants/nobody/keys"] {
        let body = if line.starts_with("GET") { "" } else { "{}" };
        assert_eq!(operate(&site, line, &[], body).await.status, 404, "{line}");
    }
}

#[tokio::test]
async fn a_key_opens_nothing_from_elsewhere() {
    let site = site().await;
    let (_, near) = made(&site, &json!({"name": "near", "allow": ["127.0.0.1"]})).await;
    let (_, far) = made(&site, &json!({"name": "far", "allow": ["192.0.2.0/24"]})).await;
    assert_eq!(post_with(&site, &near).await.status, 201);
    let without = send(site.api, "POST /v1/verifications", &[], TO.as_bytes()).await;
    let refused = post_with(&site, &far).await;
    assert_eq!((refused.status, refused.body), (401, without.body));
}

#[tokio::test]
async fn bad_wishes_are_told_by_field() {
    let site = site().await;
    for (wanted, blamed) in [
        (json!({"name": ""}), "name: invalid_value"),
        (json!({"name": 1}), "name: wrong_type"),
        (json!({"scopes": []}), "scopes: invalid_value"),
        (json!({"scopes": ["write"]}), "scopes: invalid_value"),
        (json!({"days": 0}), "days: invalid_value"),
        (json!({"days": 366}), "days: invalid_value"),
        (json!({"allow": []}), "allow: invalid_value"),
        (json!({"allow": ["10.0.0.1/8"]}), "allow: invalid_value"),
        (json!({"key": "x"}), "key: unknown_field"),
    ] {
        let line = "POST /admin/v1/tenants/acme/keys";
        let reply = operate(&site, line, &[], &wanted.to_string()).await;
        assert_eq!((reply.status, reply.blamed()), (422, vec![blamed.to_owned()]), "{wanted}");
    }
}

#[tokio::test]
async fn whoever_is_not_at_the_machine_needs_a_key_of_scope_admin() {
    let site = site().await;
    let (_, admin) = made(&site, &json!({"name": "ops", "scopes": ["admin"]})).await;
    let (admin, usual) = (bearer(&admin), bearer(ACME));
    // Whoever logs in is nobody yet.
    for (method, path, _) in admin_routes().into_iter().filter(|it| it.1 != "/admin/v1/login") {
        let path = path.replace("{tenant}", "acme").replace("{id}", "00000000");
        // What is told as it happens has no end.
        let method = if path.ends_with("/events") { "head" } else { method };
        let line = format!("{} {path}", method.to_ascii_uppercase());
        let with = async |key: Option<&str>| {
            let mut headers = vec![REMOTE];
            headers.extend(key.map(|key| ("Authorization", key)));
            operate(&site, &line, &headers, "").await.status
        };
        let open = health_routes().into_iter().chain(page_routes()).any(|it| it.1 == path);
        let wanted = if open { (200, 200) } else { (401, 403) };
        assert_eq!((with(None).await, with(Some(&usual)).await), wanted, "{line}");
        assert!(![401, 403].contains(&with(Some(&admin)).await), "{line}");
        assert!(![401, 403].contains(&operate(&site, &line, &[], "").await.status), "{line}");
    }
}
