//! Whose request it is.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::App;
use super::problem::{Code, Problem};
use crate::gateway::settings::{ApiKey, Tenant};

/// Longer keys are not looked at.
const MAX_KEY: usize = 512;

/// The tenant whose key is presented. A missing, malformed, unknown or repeated key gets one and
/// the same answer.
pub(super) fn tenant(app: &App, headers: &HeaderMap) -> Result<Arc<Tenant>, Problem> {
    presented(headers)
        .and_then(|key| app.gateway.tenant_of(&ApiKey::of(key)))
        .ok_or_else(|| Problem::new(Code::Unauthorized))
}

/// The key of the one `Authorization` header: `Bearer`, one space, the key (RFC 6750 section 2.1).
fn presented(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else {
        return None;
    };
    let (scheme, key) = only.to_str().ok()?.split_once(' ')?;
    let fits = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("Bearer") && fits).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        presented(&headers).map(str::to_owned)
    }

    #[test]
    fn one_bearer_key_and_nothing_else_is_read() {
        assert_eq!(read(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(read(&["bearer abc="]).as_deref(), Some("abc="));
        let long = format!("Bearer {}", "x".repeat(MAX_KEY + 1));
        for bad in ["", "Bearer", "Bearer ", "Bearer  abc", "Bearer a b", "Basic abc", &long] {
            assert_eq!(read(&[bad]), None, "{bad:?}");
        }
        assert_eq!(read(&["Bearer abc", "Bearer abc"]), None);
        assert_eq!(read(&[]), None);
    }
}
