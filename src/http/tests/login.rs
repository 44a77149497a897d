//! Operators over real sockets.

use super::*;
use crate::access::operator::{Password, Role, Totp};

/// What a browser says with each request.
const BROWSER: [(&str, &str); 2] =
    [("Sec-Fetch-Site", "same-origin"), ("User-Agent", "Mozilla/5.0")];

pub(super) fn totp(role: Role) -> Totp {
    Totp::of(&[role as u8; 20])
}

/// One of each role, by its name.
pub(super) fn people() -> Arc<[Arc<Person>]> {
    let person = |role: Role| {
        let (name, password) = (role.to_string(), Password::of(role.as_str(), &[1; 16]).unwrap());
        Arc::new(Person { name, role, password, totp: totp(role) })
    };
    Role::ALL.map(person).into()
}

async fn staffed() -> Site {
    site_of(hasty(), gateway_of(people()), metrics()).await
}

/// Asks as a browser does, and says more.
async fn browse(site: &Site, line: &str, more: &[(&str, &str)], body: &str) -> Reply {
    let mut headers = [&BROWSER, more].concat();
    if !body.is_empty() {
        headers.push(("Content-Type", "application/json"));
    }
    send(site.admin, line, &headers, body.as_bytes()).await
}

async fn log_in(
    site: &Site,
    name: &str,
    password: &str,
    code: &str,
    more: &[(&str, &str)],
) -> Reply {
    let body = json!({"name": name, "password": password, "code": code}).to_string();
    browse(site, "POST /admin/v1/login", more, &body).await
}

/// The cookie and the token of somebody of this role.
async fn entered(site: &Site, role: Role) -> (String, String) {
    let (name, code) = (role.as_str(), totp(role).code(Clock::system().now()));
    let reply = log_in(site, name, name, &code, &[]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let cookie = reply.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    let told = reply.json();
    assert_eq!((&told["name"], &told["role"]), (&json!(name), &json!(name)));
    let cookie = cookie.split(';').next().unwrap().to_owned();
    (cookie, told["csrf"].as_str().unwrap().to_owned())
}

/// One call that takes each role, and its body.
const CALLS: [(&str, &str, Role); 11] = [
    ("GET /admin/v1/me", "", Role::Viewer),
    ("GET /admin/v1/blocks", "", Role::Viewer),
    ("GET /metrics", "", Role::Viewer),
    ("GET /admin/v1/verifications", "", Role::Viewer),
    ("POST /admin/v1/blocks", r#"{"country": "FR"}"#, Role::Operator),
    ("DELETE /admin/v1/blocks/none", "", Role::Operator),
    ("POST /admin/v1/verifications/vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE/cancel", "", Role::Operator),
    ("GET /admin/v1/tenants", "", Role::Admin),
    ("POST /admin/v1/erase", r#"{"number": "+14155550199"}"#, Role::Admin),
    ("GET /admin/v1/tenants/acme/keys", "", Role::Admin),
    (
        "POST /admin/v1/verifications/vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE/unmask",
        r#"{"reason": "ticket 7"}"#,
        Role::Admin,
    ),
];

#[tokio::test]
async fn each_role_opens_what_it_may_and_no_more() {
    let site = staffed().await;
    for role in Role::ALL {
        let (cookie, csrf) = entered(&site, role).await;
        let headers = [("Cookie", cookie.as_str()), ("X-CSRF-Token", &csrf)];
        for (line, body, needs) in CALLS {
            let reply = browse(&site, line, &headers, body).await;
            assert_eq!(reply.status == 403, role < needs, "{role} {line} {reply:?}");
            assert_ne!(reply.status, 401, "{role} {line}");
        }
        // What they have is told to them, and what is lacking.
        if role == Role::Viewer {
            let reply = browse(&site, CALLS[7].0, &headers, "").await;
            assert!(reply.body.contains(r#"\"admin\", and yours is \"viewer\""#), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn what_changes_something_must_come_from_a_page_of_ours() {
    let site = staffed().await;
    let (cookie, csrf) = entered(&site, Role::Operator).await;
    let (_, others) = entered(&site, Role::Viewer).await;
    let block = async |more: &[(&str, &str)]| {
        let headers = [&[("Cookie", cookie.as_str())], more].concat();
        browse(&site, "POST /admin/v1/blocks", &headers, r#"{"country": "FR"}"#).await.status
    };
    assert_eq!(block(&[]).await, 403);
    assert_eq!(block(&[("X-CSRF-Token", "")]).await, 403);
    assert_eq!(block(&[("X-CSRF-Token", &others)]).await, 403);
    let token = ("X-CSRF-Token", csrf.as_str());
    assert_eq!(block(&[token, ("Origin", "http://evil.example")]).await, 403);
    assert_eq!(block(&[token, ("Origin", "null")]).await, 403);
    assert_eq!(block(&[token, ("Sec-Fetch-Site", "cross-site")]).await, 403);
    assert_eq!(block(&[token]).await, 201);
    assert_eq!(block(&[token, ("Origin", "http://localhost")]).await, 201);
    // Behind a proxy that speaks TLS.
    assert_eq!(block(&[token, ("Origin", "https://localhost")]).await, 201);
    // Nobody is logged in by another site's page, either.
    let code = totp(Role::Admin).code(Clock::system().now());
    for foreign in [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "same-site")] {
        let reply = log_in(&site, "admin", "admin", &code, &[foreign]).await;
        assert_eq!((reply.status, reply.header("set-cookie")), (403, None), "{foreign:?}");
    }
}

#[tokio::test]
async fn with_operators_a_browser_at_the_machine_gets_nothing_without_a_login() {
    let site = staffed().await;
    for (line, body, _) in CALLS {
        let refused = browse(&site, line, &[], body).await;
        assert_eq!(refused.code(), (401, "unauthorized".to_owned()), "{line}");
        let forged = browse(&site, line, &[("Cookie", "octothorpe=AAAA")], body).await;
        assert_eq!((forged.status, forged.body), (401, refused.body), "{line}");
        let command = [("Content-Type", "application/json")];
        let command = if body.is_empty() { &[][..] } else { &command[..] };
        let reply = send(site.admin, line, command, body.as_bytes()).await;
        assert!(![401, 403].contains(&reply.status), "{line} {reply:?}");
    }
    let health = browse(&site, "GET /healthz", &[], "").await;
    assert_eq!(health.status, 200);
}

#[tokio::test]
async fn without_operators_the_machine_needs_no_login_and_is_told_so() {
    let site = site().await;
    let me = browse(&site, "GET /admin/v1/me", &[], "").await.json();
    assert_eq!(
        me,
        json!({"name": "operator@loopback", "role": "admin", "csrf": null, "until": null,
               "operators": false})
    );
    let reply = log_in(&site, "a", "b", "c", &[]).await;
    assert_eq!(reply.code(), (404, "not_found".to_owned()));
    assert!(reply.body.contains("octothorpe operator new"), "{reply:?}");
}

#[tokio::test]
async fn a_wrong_login_tells_nothing_and_bad_fields_are_named() {
    let site = staffed().await;
    let code = totp(Role::Viewer).code(Clock::system().now());
    let mut answers = BTreeSet::new();
    for (name, password, code) in [
        ("viewer", "wrong", code.as_str()),
        ("viewer", "viewer", "000000"),
        ("nobody", "viewer", &code),
        ("", "", ""),
    ] {
        let reply = log_in(&site, name, password, code, &[]).await;
        assert_eq!((reply.status, reply.header("set-cookie")), (401, None));
        answers.insert(reply.body);
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    let line = "POST /admin/v1/login";
    let reply = browse(&site, line, &[], r#"{"name": 1, "pass": "x", "code": "1"}"#).await;
    assert_eq!(reply.blamed(), ["name: wrong_type", "password: required", "pass: unknown_field"]);
    for _ in 0..20 {
        let reply = log_in(&site, "viewer", "wrong", "1", &[]).await;
        if reply.status == 429 {
            assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() > 1);
            return;
        }
        assert_eq!(reply.status, 401);
    }
    panic!("nothing stands against guessing");
}

#[tokio::test]
async fn who_logs_out_is_out() {
    let site = staffed().await;
    let (cookie, csrf) = entered(&site, Role::Viewer).await;
    let headers = [("Cookie", cookie.as_str()), ("X-CSRF-Token", &csrf)];
    let me = browse(&site, "GET /admin/v1/me", &headers[..1], "").await.json();
    assert_eq!((&me["name"], &me["csrf"]), (&json!("viewer"), &json!(csrf)));
    assert_eq!(browse(&site, "POST /admin/v1/logout", &headers[..1], "").await.status, 403);
    let out = browse(&site, "POST /admin/v1/logout", &headers, "").await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"), "{out:?}");
    assert_eq!(browse(&site, "GET /admin/v1/me", &headers, "").await.status, 401);
}
