//! For those who run it: health, readiness, metrics.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, written};
use crate::gateway::TrunkView;
use crate::telemetry;

/// The process lives.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether new verifications are taken.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// Whether they are.
    ready: bool,
    /// Why not.
    #[schema(example = json!([]))]
    reasons: Vec<String>,
}

/// Is it alive?
///
/// Answers while the process lives. Restart it when this fails.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "Operation",
    responses((status = 200, description = "It lives.", body = Health, content_type = "application/json")),
)]
pub(super) async fn healthz() -> Response {
    json(StatusCode::OK, &Health { status: "ok" })
}

/// Is it ready?
///
/// Whether new verifications are taken. Send traffic elsewhere when this fails.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "Operation",
    responses(
        (status = 200, description = "It is.", body = Ready, content_type = "application/json"),
        (status = 503, description = "It is not, and why.", body = Ready, content_type = "application/json",
         example = json!({"ready": false, "reasons": ["this node is shutting down"]})),
    ),
)]
pub(super) async fn readyz(State(app): State<App>) -> Response {
    let readiness = app.gateway.ready();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &Ready { ready: readiness.ready, reasons: readiness.reasons })
}

/// How every trunk is: where, whether it can be used and why not, how much it carries.
pub(super) async fn trunks(State(app): State<App>) -> Response {
    json(StatusCode::OK, &Trunks { trunks: app.gateway.trunks() })
}

#[derive(Serialize)]
struct Trunks {
    trunks: Vec<TrunkView>,
}

/// Every metric, in Prometheus' text format.
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    telemetry::observe(&telemetry::Event::Tasks(tasks));
    written(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", (app.metrics)())
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    written(status, "application/json", serde_json::to_vec(body).unwrap_or_default())
}
