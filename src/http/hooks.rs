//! What carriers call: raw bytes in, the carrier's own answer out.

use std::collections::HashMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

use super::problem::{Code, Problem};
use super::{App, body, verify, written};
use crate::carrier::wire::HttpAnswer;
use crate::gateway::hooks::{Address, Call, HookError};

/// The parts of the path, by name.
type Parts = Result<Path<HashMap<String, String>>, PathRejection>;

/// About one attempt, or what a person wrote.
pub(super) async fn hook(
    State(app): State<App>,
    parts: Parts,
    request: Request,
) -> Result<Response, Problem> {
    let Path(parts) = parts.map_err(|_| Problem::new(Code::NotFound))?;
    let (head, body) = request.into_parts();
    let body = body::read(&app.settings, &head.headers, body).await?;
    // A carrier that hangs up meanwhile must not cut what it began.
    let heard = verify::carried_out(async move {
        let part = |name: &str| parts.get(name).map(String::as_str);
        let about = match part("attempt") {
            Some(attempt) => Address::Attempt {
                attempt,
                token: part("token").unwrap_or_default(),
                part: part("part"),
            },
            None => Address::Inbound { token: part("token") },
        };
        let headers = lower(&head.headers);
        let call = Call {
            carrier: part("carrier").unwrap_or_default(),
            about,
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            headers: &headers,
            body: &body,
        };
        app.gateway.hook(call).await
    });
    match heard.await {
        Ok(HttpAnswer { status, content_type, body }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            Ok(written(status, content_type, body))
        }
        Err(HookError::Unknown) => Err(Problem::new(Code::NotFound)),
        Err(HookError::Forged) => Err(Problem::new(Code::HookRefused)),
        Err(HookError::Fault(ours)) => Err(verify::fault(ours)),
    }
}

/// Every header that is text. What is not can be no part of a signature that we check.
fn lower(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?)))
        .collect()
}
