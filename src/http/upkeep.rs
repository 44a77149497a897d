//! For those who run it: the store's file.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use super::auth::Admin;
use super::problem::{Code, Problem};
use super::{App, shown, verify};
use crate::gateway::Fault;

/// Copies the store to a file beside it.
pub(super) async fn back_up(
    Admin(operator): Admin,
    State(app): State<App>,
) -> Result<Response, Problem> {
    let gateway = app.gateway;
    done(async move {
        gateway.audit(operator.act("store.backup", Value::Null)).await?;
        gateway.back_up().await
    })
    .await
}

/// Writes the store's file anew, without what is unused.
pub(super) async fn compact(
    Admin(operator): Admin,
    State(app): State<App>,
) -> Result<Response, Problem> {
    let gateway = app.gateway;
    done(async move {
        gateway.audit(operator.act("store.compact", Value::Null)).await?;
        gateway.compact().await
    })
    .await
}

/// Whoever asked may hang up; what was begun is finished.
async fn done<T: Serialize + Send + 'static>(
    work: impl Future<Output = Result<Option<T>, Fault>> + Send + 'static,
) -> Result<Response, Problem> {
    let done = verify::carried_out(work).await.map_err(verify::fault)?;
    let done = done.ok_or_else(|| Problem::new(Code::NotFound).because("the store has no file"))?;
    Ok(shown(StatusCode::OK, &done))
}
