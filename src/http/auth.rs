//! Who asks, and whether they may.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN, REFERER, USER_AGENT,
};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue};
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::peer::{Certified, Client};
use super::problem::{Code, Problem};
use super::{App, cookie};
use crate::access::Scope;
use crate::access::operator::Role;
use crate::access::session::Present;
use crate::access::token::{self, Token};
use crate::gateway::Caller;
use crate::gateway::audit::Act;
use crate::gateway::settings::ApiKey;

/// Longer keys and tokens are not looked at.
const MAX_KEY: usize = token::LONGEST;

/// What a proxy adds to the requests that it passes on.
const PASSED_ON: [HeaderName; 2] =
    [HeaderName::from_static("forwarded"), HeaderName::from_static("x-forwarded-for")];

/// What a page of ours says with each request that changes something.
const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

/// What a browser says of the page that asks (W3C, Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

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

/// Somebody on the operator's listener who may act there: who has the role of an operator, or more.
pub(super) struct Operator {
    who: String,
    role: Role,
    session: Option<Session>,
}

/// Somebody who may look on.
pub(super) struct Viewer(pub(super) Operator);

/// Somebody who may do everything.
pub(super) struct Admin(pub(super) Operator);

/// How somebody is logged in.
pub(super) struct Session {
    /// What they present.
    pub(super) id: String,
    /// Who they are.
    pub(super) present: Present,
}

impl Operator {
    /// What they do, for the audit log.
    pub(super) fn act(&self, what: &'static str, about: Value) -> Act {
        Act { who: self.who.clone(), what, about }
    }

    /// What they are called.
    pub(super) fn who(&self) -> &str {
        &self.who
    }

    /// What they may do.
    pub(super) const fn role(&self) -> Role {
        self.role
    }

    /// How they are logged in; `None`: they are known otherwise.
    pub(super) const fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Whether their session holds, where they have one: a stream ends with it.
    pub(super) fn is_still_in(&self, app: &App) -> bool {
        let is_in = |session: &Session| app.gateway.present(&session.id, false).is_some();
        self.session.as_ref().is_none_or(is_in)
    }

    /// Who asks, if they may do what takes this role: by a key where one is presented; else by their login, a
    /// certificate, or because they are on this machine.
    async fn of(parts: &Parts, app: &App, needs: Role) -> Result<Self, Problem> {
        let (headers, extensions) = (&parts.headers, &parts.extensions);
        let has_key = headers.contains_key(AUTHORIZATION);
        if !has_key && is_foreign(headers) {
            let why = "a page of another site must not ask this";
            return Err(Problem::new(Code::Forbidden).because(why));
        }
        let session = if has_key { None } else { session(app, parts) };
        if let Some(session) = session {
            if !parts.method.is_safe() {
                is_meant(app, headers, &session.present)?;
            }
            let (has, who) = (session.present.role, format!("operator {}", session.present.name));
            if has < needs {
                let lacks = format!("this takes the role \"{needs}\", and yours is \"{has}\"");
                return Err(Problem::new(Code::Forbidden).because(lacks));
            }
            return Ok(Self { who, role: has, session: Some(session) });
        }
        let everything = |who| Self { who, role: Role::Admin, session: None };
        let is_open = !app.gateway.has_operators() || !is_browser(headers);
        match caller(app, headers, extensions, Scope::Admin).await {
            Ok(caller) => Ok(everything(caller.who())),
            // Anybody there can call themselves as they like, and may do everything anyway.
            Err(_) if is_open && is_at_hand(headers, extensions) => {
                let is_cli = headers.get(USER_AGENT).is_some_and(|agent| agent == CLI);
                Ok(everything(if is_cli { "cli@loopback" } else { "operator@loopback" }.to_owned()))
            }
            Err(_) if !has_key && app.gateway.has_operators() => {
                let log_in = "log in, or present a key of the scope \"admin\"";
                Err(Problem::new(Code::Unauthorized).because(log_in))
            }
            Err(problem) => Err(problem),
        }
    }
}

impl FromRequestParts<App> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Operator::of(parts, app, Role::Viewer).await.map(Self)
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Self::of(parts, app, Role::Operator).await
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Operator::of(parts, app, Role::Admin).await.map(Self)
    }
}

/// The session that a request's cookie presents. A stream of events goes on by itself: nobody has done
/// anything.
fn session(app: &App, parts: &Parts) -> Option<Session> {
    let id = cookie::presented(&parts.headers, app.settings.tls.is_some())?;
    let streams = |accept: &HeaderValue| accept.as_bytes().starts_with(b"text/event-stream");
    let is_done = !parts.headers.get(ACCEPT).is_some_and(streams);
    let present = app.gateway.present(id, is_done)?;
    Some(Session { id: id.to_owned(), present })
}

/// What changes something must come from a page of ours: it says what only such a page has been told, and
/// where it comes from is here.
fn is_meant(app: &App, headers: &HeaderMap, present: &Present) -> Result<(), Problem> {
    let told = headers.get(CSRF).map(HeaderValue::as_bytes).unwrap_or_default();
    if !bool::from(told.ct_eq(present.csrf.as_bytes())) {
        let why = "send the header X-CSRF-Token, with the csrf that GET /admin/v1/me tells";
        return Err(Problem::new(Code::Forbidden).because(why));
    }
    is_from_here(app, headers)
}

/// Whether a page that asks is one of ours.
pub(super) fn is_from_here(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_own = |scheme: &str| origin.as_bytes() == format!("{scheme}://{host}").as_bytes();
    // Before a listener in the clear there may be a proxy that speaks TLS.
    if is_own("https") || (app.settings.tls.is_none() && is_own("http")) {
        return Ok(());
    }
    let why = "the Origin of the page is not the Host that is asked; a proxy must pass on the Host";
    Err(Problem::new(Code::Forbidden).because(why))
}

/// Whether a browser says that a page of another origin asks.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(FETCH_SITE).iter();
    sites.any(|site| site != "same-origin" && site != "none")
}

/// Whether a browser asks. It leaves out some of these in some cases, and never all of them.
fn is_browser(headers: &HeaderMap) -> bool {
    let signs = [FETCH_SITE, ORIGIN, REFERER, COOKIE, ACCEPT_LANGUAGE];
    let names_itself = |agent: &HeaderValue| agent.as_bytes().starts_with(b"Mozilla/");
    signs.iter().any(|sign| headers.contains_key(sign))
        || headers.get(USER_AGENT).is_some_and(names_itself)
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
        // Nothing else is spoken at that port, so that a page from there is ours, with TLS or without.
        (Some(origin), Some(host)) => ["http", "https"]
            .iter()
            .any(|scheme| origin.as_bytes() == format!("{scheme}://{host}").as_bytes()),
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
    fn a_browser_is_told_from_a_command() {
        let headers = |list: &[(&'static str, &'static str)]| -> HeaderMap {
            let each = list.iter();
            each.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
                .collect()
        };
        for command in [("user-agent", "curl/8.5.0"), ("user-agent", CLI), ("accept", "*/*")] {
            assert!(!is_browser(&headers(&[command])), "{command:?}");
        }
        for sign in [
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
            ("sec-fetch-site", "none"),
            ("origin", "http://localhost:8081"),
            ("accept-language", "en"),
            ("referer", "http://localhost:8081/"),
            ("cookie", "octothorpe=x"),
        ] {
            assert!(is_browser(&headers(&[sign])), "{sign:?}");
        }
        for (site, foreign) in
            [("same-origin", false), ("none", false), ("same-site", true), ("cross-site", true)]
        {
            assert_eq!(is_foreign(&headers(&[("sec-fetch-site", site)])), foreign);
        }
        assert!(!is_foreign(&HeaderMap::new()));
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
        for origin in ["http://localhost:8081", "https://localhost:8081"] {
            assert!(at_hand("127.0.0.1", &[here, ("origin", origin)]), "{origin}");
        }
        for origin in ["https://evil.example", "http://localhost:8080", "null"] {
            assert!(!at_hand("127.0.0.1", &[here, ("origin", origin)]), "{origin}");
        }
        assert!(!at_hand("127.0.0.1", &[here, ("x-forwarded-for", "127.0.0.1")]));
        assert!(!at_hand("127.0.0.1", &[here, ("forwarded", "for=127.0.0.1")]));
        assert!(!is_at_hand(&HeaderMap::new(), &Extensions::new()));
    }
}
