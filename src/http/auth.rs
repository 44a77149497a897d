//! Who asks, and whether they may.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

use serde_json::Value;

use super::App;
use super::peer::{Certified, Client};
use super::problem::{Code, Problem};
use crate::access::Scope;
use crate::access::token::{self, Token};
use crate::gateway::Caller;
use crate::gateway::audit::Act;
use crate::gateway::settings::ApiKey;

/// Longer keys and tokens are not looked at.
const MAX_KEY: usize = token::LONGEST;

/// What a proxy adds to the requests that it passes on.
const PASSED_ON: [HeaderName; 2] =
    [HeaderName::from_static("forwarded"), HeaderName::from_static("x-forwarded-for")];

/// Who presents a key or token that opens this, or has shown a certificate where neither is presented. A
/// missing, malformed, unknown, expired, revoked or repeated key, and one from an address that it is not for,
/// gets one and the same answer.
pub(super) async fn caller(
    app: &App,
    headers: &HeaderMap,
    extensions: &Extensions,
    scope: Scope,
) -> Result<Arc<Caller>, Problem> {
    let from = extensions.get::<Client>().map(|client| client.0);
    let unauthorized = || Problem::new(Code::Unauthorized);
    let caller = match extensions.get::<Certified>() {
        Some(Certified(names)) if !headers.contains_key(AUTHORIZATION) => {
            app.gateway.caller_by_certificate(names, from)
        }
        Some(_) | None => {
            let text = presented(headers).ok_or_else(unauthorized)?;
            match app.gateway.caller_of(&ApiKey::of(text), from) {
                None if Token::is_like(text) => app.gateway.caller_by_token(text).await,
                found => found,
            }
        }
    };
    let caller = caller.ok_or_else(unauthorized)?;
    if caller.may(scope) {
        return Ok(caller);
    }
    let lacks = format!("this {} lacks the scope \"{scope}\"", caller.by);
    Err(Problem::new(Code::Forbidden).because(lacks))
}

/// What commands of ours call themselves (`User-Agent`).
pub const CLI: &str = concat!("octothorpe/", env!("CARGO_PKG_VERSION"));

/// An operator: whoever asks from this machine, or presents what has the scope `admin`.
pub(super) struct Operator {
    who: String,
}

impl Operator {
    /// What they do, for the audit log.
    pub(super) fn act(&self, what: &'static str, about: Value) -> Act {
        Act { who: self.who.clone(), what, about }
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let who = match caller(app, &parts.headers, &parts.extensions, Scope::Admin).await {
            Ok(caller) => caller.who(),
            // Anybody there can call themselves as they like, and may do everything anyway.
            Err(_) if is_at_hand(&parts.headers, &parts.extensions) => {
                let is_cli = parts.headers.get(USER_AGENT).is_some_and(|agent| agent == CLI);
                if is_cli { "cli@loopback" } else { "operator@loopback" }.to_owned()
            }
            Err(problem) => return Err(problem),
        };
        Ok(Self { who })
    }
}

/// Whether a request comes from somebody on this machine: over loopback, passed on by no proxy, and
/// not by a page of another site in that person's browser. That page cannot leave out `Origin` where
/// it changes something, nor name this machine in `Host` where its own name was made to lead here.
fn is_at_hand(headers: &HeaderMap, extensions: &Extensions) -> bool {
    let is_here = extensions.get::<Client>().is_some_and(|client| is_loopback(client.0));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let names_here = host.is_some_and(names_loopback);
    let is_own_page = match (headers.get(ORIGIN), host) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            origin.to_str().is_ok_and(|it| it == format!("http://{host}"))
        }
        (Some(_), None) => false,
    };
    is_here && names_here && is_own_page && !PASSED_ON.iter().any(|it| headers.contains_key(it))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether a `Host` header is a loopback address or `localhost`, with a port or without.
fn names_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(name, _)| name),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
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

    fn at_hand(from: &str, headers: &[(&str, &str)]) -> bool {
        let mut extensions = Extensions::new();
        extensions.insert(Client(from.parse().unwrap()));
        let named = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())
        };
        is_at_hand(&headers.iter().map(named).collect(), &extensions)
    }

    #[test]
    fn an_operator_at_the_machine_is_told_from_a_page_and_a_proxy() {
        for host in ["127.0.0.1:8081", "localhost:8081", "[::1]:8081", "127.1.2.3", "LOCALHOST"] {
            assert!(at_hand("127.0.0.1", &[("host", host)]), "{host}");
            assert!(at_hand("::1", &[("host", host)]), "{host}");
            assert!(!at_hand("192.0.2.1", &[("host", host)]), "{host}");
        }
        assert!(at_hand("::ffff:127.0.0.1", &[("host", "localhost")]));
        // A name that was made to lead here.
        for host in ["evil.example:8081", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
            assert!(!at_hand("127.0.0.1", &[("host", host)]), "{host}");
        }
        let here = ("host", "localhost:8081");
        assert!(at_hand("127.0.0.1", &[here, ("origin", "http://localhost:8081")]));
        for origin in ["https://evil.example", "http://localhost:8080", "null"] {
            assert!(!at_hand("127.0.0.1", &[here, ("origin", origin)]), "{origin}");
        }
        assert!(!at_hand("127.0.0.1", &[here, ("x-forwarded-for", "127.0.0.1")]));
        assert!(!at_hand("127.0.0.1", &[here, ("forwarded", "for=127.0.0.1")]));
        assert!(!is_at_hand(&HeaderMap::new(), &Extensions::new()));
    }
}
