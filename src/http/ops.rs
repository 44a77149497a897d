//! For those who run it: health, readiness, metrics, the configuration.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::auth::{Admin, Viewer};
use super::json::{self, Checks, Field};
use super::problem::{Code, FieldCode, FieldError, Problem};
use super::{App, Mistake, shown, verify, written};
use crate::gateway::TrunkView;
use crate::telemetry;
use crate::verify::number::PhoneNumber;
use crate::verify::selftest::Standing;

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
    shown(StatusCode::OK, &Health { status: "ok" })
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
    shown(status, &Ready { ready: readiness.ready, reasons: readiness.reasons })
}

/// How every trunk is: where, whether it can be used and why not, how much it carries.
pub(super) async fn trunks(_: Viewer, State(app): State<App>) -> Response {
    let node = app.gateway.node().to_owned();
    shown(StatusCode::OK, &Trunks { node, trunks: app.gateway.trunks() })
}

/// Whether keys come through the trunks, where that is tried.
pub(super) async fn selftests(_: Viewer, State(app): State<App>) -> Response {
    shown(StatusCode::OK, &Selftests { selftests: app.gateway.selftests() })
}

#[derive(Serialize)]
struct Selftests {
    selftests: Vec<Standing>,
}

#[derive(Serialize)]
struct Trunks {
    /// The node that sees them so; others may see them otherwise.
    node: String,
    trunks: Vec<TrunkView>,
}

/// Every metric, in Prometheus' text format.
pub(super) async fn metrics(_: Viewer, State(app): State<App>) -> Response {
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    telemetry::observe(&telemetry::Event::Tasks(tasks));
    written(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", (app.operator.metrics)())
}

/// The configuration was read again.
#[derive(Serialize)]
struct Reloaded {
    /// What only a restart can change, and was left as it was.
    needs_restart: Vec<String>,
}

/// Reads the configuration again.
pub(super) async fn reload(Admin(operator): Admin, State(app): State<App>) -> Response {
    let Some(reload) = app.operator.reload else {
        return Problem::new(Code::NotFound).into_response();
    };
    if let Err(fault) = app.gateway.audit(operator.act("reload", Value::Null)).await {
        return verify::fault(fault).into_response();
    }
    let read = tokio::task::spawn_blocking(move || reload()).await;
    match read {
        Ok(Ok(needs_restart)) => shown(StatusCode::OK, &Reloaded { needs_restart }),
        Ok(Err(mistakes)) => {
            let blamed =
                |Mistake { key, told }| FieldError::new(key, FieldCode::InvalidValue, told);
            let errors = mistakes.into_iter().map(blamed).collect();
            Problem::new(Code::InvalidConfiguration).blaming(errors).into_response()
        }
        Err(_) => Problem::new(Code::Internal).into_response(),
    }
}

/// How far a node is that takes nothing new.
#[derive(Serialize)]
struct Drained {
    /// Which node.
    node: String,
    /// Whether it takes nothing new.
    draining: bool,
    /// How many of its calls are ringing or up.
    calls: usize,
    /// Whether nothing is under way any more.
    done: bool,
}

/// Takes nothing new from now on, until the process is started anew.
pub(super) async fn drain(
    Admin(operator): Admin,
    State(app): State<App>,
) -> Result<Response, Problem> {
    app.gateway.audit(operator.act("drain", Value::Null)).await.map_err(verify::fault)?;
    app.gateway.stop_taking();
    Ok(drained(&app))
}

/// How far it is.
pub(super) async fn draining(_: Viewer, State(app): State<App>) -> Response {
    drained(&app)
}

fn drained(app: &App) -> Response {
    let (draining, calls) = (app.gateway.is_draining(), app.gateway.calls());
    let done = draining && app.gateway.is_at_rest();
    let node = app.gateway.node().to_owned();
    shown(StatusCode::OK, &Drained { node, draining, calls, done })
}

/// Whom to forget.
#[derive(Debug, Deserialize)]
struct Erase {
    /// The number.
    #[serde(default)]
    number: Field<String>,
    /// Whether it is forgotten, too, that its phone wants no texts.
    #[serde(default)]
    opt_outs: Field<bool>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// Forgets a number: everything that is stored of it.
pub(super) async fn erase(
    Admin(operator): Admin,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    let (number, opt_outs) = whom(json::posted(&app, request).await?)?;
    let gateway = app.gateway;
    // Whoever asked may hang up; what was begun is finished.
    let work = async move {
        // Not whose number it was: nothing is to be left of it.
        gateway.audit(operator.act("erase", json!({ "opt_outs": opt_outs }))).await?;
        gateway.erase(&number, opt_outs).await
    };
    let erased = verify::carried_out(work).await.map_err(verify::fault)?;
    Ok(shown(StatusCode::OK, &erased))
}

fn whom(erase: Erase) -> Result<(PhoneNumber, bool), Problem> {
    let mut checks = Checks::default();
    let number = checks.required("number", erase.number, |text| {
        let wrong = "must be a phone number in E.164, as +12025550123";
        text.parse::<PhoneNumber>().map_err(|_| (FieldCode::InvalidNumber, wrong.into()))
    });
    let opt_outs = checks.optional("opt_outs", erase.opt_outs, Ok).unwrap_or(false);
    checks.unknown(erase.unknown.keys());
    checks.done()?;
    Ok((number.ok_or_else(|| Problem::new(Code::InvalidRequest))?, opt_outs))
}
