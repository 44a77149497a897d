//! Codes and further attempts over real sockets.

use super::*;

/// A text with this code; the path of the verification.
async fn texted(site: &Site, code: &str) -> String {
    let body = json!({ "to": "+14155550132", "channel": "sms", "code": code }).to_string();
    let reply = post(site, "/v1/verifications", &[], body.as_bytes()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    assert!(!reply.body.contains(code));
    assert_eq!(reply.json()["checks_left"], 5);
    format!("/v1/verifications/{}", reply.json()["id"].as_str().unwrap())
}

async fn check(site: &Site, path: &str, more: &[(&str, &str)], code: &str) -> Reply {
    let body = json!({ "code": code }).to_string();
    post(site, &format!("{path}/check"), more, body.as_bytes()).await
}

fn code_of(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_wrong_code_says_how_many_are_left_and_the_right_one_approves_once() {
    let site = site().await;
    let path = texted(&site, "493817").await;
    let wrong = check(&site, &path, &[], "493818").await;
    assert_eq!(wrong.status, 200);
    let shown = wrong.json();
    assert_eq!((&shown["matched"], &shown["checks_left"]), (&json!(false), &json!(4)));
    let right = check(&site, &path, &[], " 493-817 ").await.json();
    assert_eq!((&right["matched"], &right["status"]), (&json!(true), &json!("approved")));
    assert_eq!((&right["reason"], &right["checks_left"]), (&json!("code_matched"), &Value::Null));
    assert_eq!(right["assurance"], "transferred_secret");
    let again = check(&site, &path, &[], "493817").await;
    assert_eq!(code_of(&again), (409, "already_used".to_owned()));
}

#[tokio::test]
async fn a_repeated_check_costs_one_comparison_and_gets_one_answer() {
    let site = site().await;
    let path = texted(&site, "493817").await;
    let key = [("Idempotency-Key", "check-1")];
    let first = check(&site, &path, &key, "000000").await;
    let second = check(&site, &path, &key, "000000").await;
    assert_eq!(
        (first.body.as_str(), second.body.as_str()),
        (first.body.as_str(), first.body.as_str())
    );
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(get(&site, &path).await.json()["checks_left"], 4);
    let key = [("Idempotency-Key", "check-2")];
    let right = check(&site, &path, &key, "493817").await;
    let replayed = check(&site, &path, &key, "493817").await;
    assert_eq!((replayed.status, replayed.body), (200, right.body));
}

#[tokio::test]
async fn five_wrong_codes_end_it() {
    let site = site().await;
    let path = texted(&site, "493817").await;
    for _ in 0..5 {
        assert_eq!(check(&site, &path, &[], "000000").await.status, 200);
    }
    let right = check(&site, &path, &[], "493817").await;
    assert_eq!(code_of(&right), (429, "too_many_checks".to_owned()));
    assert_eq!(get(&site, &path).await.json()["reason"], "too_many_checks");
}

#[tokio::test]
async fn what_is_no_code_is_not_compared() {
    let site = site().await;
    let path = texted(&site, "493817").await;
    for body in ["{}", r#"{"code": 493817}"#, r#"{"code": "49381x"}"#, r#"{"code": "1", "x": 1}"#] {
        let reply = post(&site, &format!("{path}/check"), &[], body.as_bytes()).await;
        assert_eq!(code_of(&reply), (422, "invalid_request".to_owned()), "{body}");
    }
    assert_eq!(get(&site, &path).await.json()["checks_left"], 5);
    let call = format!("/v1/verifications/{}", started(&site).await);
    assert_eq!(code_of(&check(&site, &call, &[], "493817").await), (409, "no_code".to_owned()));
    let unknown = format!("/v1/verifications/{UNKNOWN_ID}");
    assert_eq!(code_of(&check(&site, &unknown, &[], "493817").await).0, 404);
}

#[tokio::test]
async fn another_attempt_comes_too_soon_and_says_when_it_may() {
    let site = site().await;
    let path = texted(&site, "493817").await;
    let resend = format!("{path}/resend");
    let reply = post(&site, &resend, &[], b"").await;
    assert_eq!(code_of(&reply), (429, "too_soon".to_owned()));
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    let bad = post(&site, &resend, &[], br#"{"channel": "smoke"}"#).await;
    assert_eq!(code_of(&bad), (422, "invalid_request".to_owned()));
    check(&site, &path, &[], "493817").await;
    let late = post(&site, &resend, &[], b"{}").await;
    assert_eq!(code_of(&late), (409, "already_settled".to_owned()));
}

#[tokio::test]
async fn a_dry_run_keeps_nothing() {
    let site = site().await;
    let body = br#"{"to": "+14155550132", "channel": "sms", "dry_run": true}"#;
    let reply = post(&site, "/v1/verifications", &[], body).await;
    assert_eq!((reply.status, &reply.json()["dry_run"]), (200, &json!(true)));
    assert_eq!(reply.header("location"), None);
    let path = format!("/v1/verifications/{}", reply.json()["id"].as_str().unwrap());
    assert_eq!(get(&site, &path).await.status, 404);
    let refused = br#"{"to": "+442079460018", "channel": "sms", "dry_run": true}"#;
    let refused = post(&site, "/v1/verifications", &[], refused).await;
    assert_eq!(code_of(&refused).0, 403);
}

#[tokio::test]
async fn a_fixed_line_is_to_be_called() {
    let site = site().await;
    let body = br#"{"to": "+493012345678", "channel": "sms"}"#;
    let reply = post(&site, "/v1/verifications", &[], body).await;
    assert_eq!(code_of(&reply), (403, "policy_denied".to_owned()));
    assert!(reply.json()["detail"].as_str().unwrap().contains("voice"), "{reply:?}");
}

#[tokio::test]
async fn hooks_of_nobody_are_not_found() {
    let site = site().await;
    for path in
        ["/hooks/nobody/inbound", "/hooks/nobody/vf_1-1/token", "/hooks/nobody/vf_1-1/t/status"]
    {
        let reply = send(site.api, &format!("POST {path}"), &[], b"x=1").await;
        assert_eq!(reply.status, 404, "{path}");
    }
}
