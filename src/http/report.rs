//! The one place of this layer that logs and counts.

use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::peer::Client;
use crate::gateway::Fault;

/// A request was answered.
pub(super) fn answered(
    method: &Method,
    route: &'static str,
    status: StatusCode,
    took: Duration,
    client: Option<Client>,
) {
    let method = known(method);
    let code = status.as_u16();
    metrics::counter!(
        "octothorpe_http_requests_total",
        "method" => method, "route" => route, "status" => code.to_string()
    )
    .increment(1);
    metrics::histogram!("octothorpe_http_request_seconds", "route" => route)
        .record(took.as_secs_f64());
    let from = client.map(|Client(address)| tracing::field::display(address));
    tracing::debug!(method, route, status = code, ?took, from, "answered");
}

/// A handler panicked. What it said is left to the panic hook: it may hold anything.
pub(super) fn panicked(method: &Method) {
    metrics::counter!("octothorpe_http_panics_total").increment(1);
    tracing::error!(method = known(method), "a request handler panicked");
}

/// Something of ours went wrong.
pub(super) fn fault(fault: &Fault) {
    tracing::error!(%fault, "a request could not be carried out");
}

/// A connection could not be accepted.
pub(super) fn refused(error: &std::io::Error) {
    metrics::counter!("octothorpe_http_accept_errors_total").increment(1);
    tracing::warn!(%error, "a connection could not be accepted");
}

/// A connection came, and there was no room.
pub(super) fn turned_away() {
    metrics::counter!("octothorpe_http_connections_refused_total").increment(1);
}

/// A connection whose client kept us waiting has given way to another.
pub(super) fn gave_way() {
    metrics::counter!("octothorpe_http_connections_displaced_total").increment(1);
}

/// A request was refused, as too many are under way.
pub(super) fn shed() {
    metrics::counter!("octothorpe_http_requests_shed_total").increment(1);
}

/// The certificate that was read cannot be used; the one before it stays.
pub(super) fn unusable(error: &super::listening::TlsError) {
    tracing::error!(%error, "the certificate of the API stays as it was");
}

/// Methods are the client's words; a label may only take few values.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
