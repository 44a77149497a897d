//! What happened in a verification, for its tenant and for operators.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::auth::Viewer;
use super::problem::{Code, Problem};
use super::verify::{Named, fault, known};
use super::{App, auth, query, shown};
use crate::access::Scope;
use crate::gateway::timeline::Timeline;

/// Read what happened
///
/// Everything that happened in a verification, with the time from its start: the question, what the rules said of it
/// and the plan; of each call the SIP messages, ringing and answer, the first sound both ways, what was said, each key
/// and how it was heard, and who seemed to be there; of each text what its carrier told; the verdict, and the tries to
/// deliver it. Phone numbers and secrets are masked, and which keys were pressed is not told.
#[utoipa::path(
    get,
    path = "/v1/verifications/{id}/timeline",
    operation_id = "timeline",
    tag = "Verifications",
    params(
        ("id" = String, Path, description = "The verification's `id`.", example = "vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE"),
    ),
    responses(
        (status = 200, description = "What happened so far.", body = Timeline, content_type = "application/json"),
    ),
    security(("key" = [])),
)]
pub(super) async fn read(
    State(app): State<App>,
    id: Named,
    request: Request,
) -> Result<Response, Problem> {
    let caller = auth::caller(&app, request.headers(), request.extensions(), Scope::Read).await?;
    let id = known(id)?;
    query::none(request.uri().query())?;
    let found = app.gateway.timeline(&caller.tenant, &id).await.map_err(fault)?;
    Ok(shown(StatusCode::OK, &found.ok_or_else(|| Problem::new(Code::NotFound))?))
}

/// The same of whosesoever verification, with what drawing its calls takes.
pub(super) async fn told(
    _: Viewer,
    State(app): State<App>,
    id: Named,
    request: Request,
) -> Result<Response, Problem> {
    let id = known(id)?;
    query::none(request.uri().query())?;
    let found = app.gateway.timeline_told(&id).await.map_err(fault)?;
    let none = || Problem::new(Code::NotFound).because("there is no such verification");
    Ok(shown(StatusCode::OK, &found.ok_or_else(none)?))
}
