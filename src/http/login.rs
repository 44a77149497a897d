//! Operators log in and out, and learn who they are.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderMap, ORIGIN, SET_COOKIE};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::auth::{Viewer, is_foreign, is_from_here};
use super::json::{self, Checks, Field};
use super::peer::Client;
use super::problem::{Code, FieldCode, Problem};
use super::{App, cookie, shown, verify};
use crate::access::operator::{Login, Role};
use crate::access::session::Present;
use crate::gateway::LoginError;

/// The longest password that is looked at, in bytes.
const LONGEST: usize = 1_024;

/// What is presented.
#[derive(Debug, Deserialize)]
struct Presented {
    #[serde(default)]
    name: Field<String>,
    #[serde(default)]
    password: Field<String>,
    #[serde(default)]
    code: Field<String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// Who somebody is here.
#[derive(Serialize)]
struct Me<'a> {
    name: &'a str,
    role: Role,
    /// For the header `X-CSRF-Token`; `null` where there is no session.
    csrf: Option<&'a str>,
    /// When the session ends, if nothing is done until then.
    until: Option<String>,
    /// Whether any login is set up.
    operators: bool,
}

/// Lets an operator in.
pub(super) async fn log_in(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    if !app.gateway.has_operators() {
        let why = "no login is set up: write [[operators]], which `octothorpe operator new` prints";
        return Err(Problem::new(Code::NotFound).because(why));
    }
    if is_foreign(request.headers()) {
        let why = "a page of another site must not log anybody in";
        return Err(Problem::new(Code::Forbidden).because(why));
    }
    is_from_here(&app, request.headers())?;
    let secure = is_secure(&app, request.headers());
    let from = request.extensions().get::<Client>().map(|client| client.0);
    let login = login(json::posted(&app, request).await?)?;
    let gateway = app.gateway;
    // Whoever asked may hang up; what was begun is counted.
    let entered = verify::carried_out(async move { gateway.log_in(login, from).await }).await;
    let entered = entered.map_err(refused)?;
    let cookie = cookie::set(&entered.id, secure).ok_or_else(|| Problem::new(Code::Internal))?;
    let mut response = shown(StatusCode::OK, &me(&entered.present));
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

fn login(presented: Presented) -> Result<Login, Problem> {
    let mut checks = Checks::default();
    let short = |text: String| {
        if text.len() <= LONGEST {
            Ok(text)
        } else {
            Err((FieldCode::InvalidValue, "has at most 1,024 bytes".into()))
        }
    };
    let name = checks.required("name", presented.name, short);
    let password = checks.required("password", presented.password, short).map(Zeroizing::new);
    // Authenticators show it in groups.
    let code = checks.required("code", presented.code, |text| short(text.replace(' ', "")));
    checks.unknown(presented.unknown.keys());
    checks.done()?;
    let (Some(name), Some(password), Some(code)) = (name, password, code) else {
        return Err(Problem::new(Code::InvalidRequest));
    };
    Ok(Login { name, password, code })
}

fn refused(why: LoginError) -> Problem {
    match why {
        LoginError::Wrong => {
            Problem::new(Code::Unauthorized).because("name, password or code is wrong")
        }
        LoginError::TooOften { wait } => {
            let why = "there were too many wrong logins in this name or from this address";
            Problem::new(Code::RateLimited).because(why).after(wait.as_secs().saturating_add(1))
        }
        LoginError::Busy => Problem::new(Code::Overloaded).after(1),
        LoginError::Fault(why) => verify::fault(why),
    }
}

/// Ends the session that asks.
pub(super) async fn log_out(
    Viewer(viewer): Viewer,
    State(app): State<App>,
    request: Request,
) -> Response {
    if let Some(session) = viewer.session() {
        app.gateway.log_out(&session.id);
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = cookie::removed(is_secure(&app, request.headers())) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Who asks, and what they may do.
pub(super) async fn who(Viewer(viewer): Viewer, State(app): State<App>) -> Response {
    let me = match viewer.session() {
        Some(session) => me(&session.present),
        None => Me {
            name: viewer.who(),
            role: viewer.role(),
            csrf: None,
            until: None,
            operators: app.gateway.has_operators(),
        },
    };
    shown(StatusCode::OK, &me)
}

fn me(present: &Present) -> Me<'_> {
    let Present { name, role, csrf, until } = present;
    let (csrf, until) = (Some(csrf.as_str()), Some(until.to_rfc3339()));
    Me { name, role: *role, csrf, until, operators: true }
}

/// Whether the browser speaks TLS, with us or with a proxy before us.
fn is_secure(app: &App, headers: &HeaderMap) -> bool {
    let origin = headers.get(ORIGIN).map(|origin| origin.as_bytes());
    app.settings.tls.is_some() || origin.is_some_and(|origin| origin.starts_with(b"https://"))
}
