//! For those who run it: call detail records, written as they are read.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::auth::Viewer;
use super::json::{Checks, Fault, Field};
use super::lists::query;
use super::problem::{FieldCode, Problem};
use super::stream::{Gone, Writer, streamed};
use super::verify::fault;
use super::{App, written};
use crate::ambient::Timestamp;
use crate::gateway::Gateway;
use crate::gateway::cdr::{Format, Range, Walk};
use crate::telemetry::{self, Event};

/// The records of a range. The first page is read before anything is answered; an answer that breaks off after
/// that has no end.
pub(super) async fn export(
    _: Viewer,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    let (range, format) = asked(&app.gateway, &request)?;
    let gateway = app.gateway;
    let mut walk = gateway.call_records(range, format).await.map_err(fault)?;
    let first = gateway.next_records(&mut walk).await.map_err(fault)?;
    let (writer, body) = streamed();
    tokio::spawn(async move {
        let head = format.header() + &first.unwrap_or_default();
        // Whoever hangs up wants no more of it.
        let _ = write(&gateway, walk, writer, head).await;
    });
    Ok(written(StatusCode::OK, format.content_type(), body))
}

async fn write(
    gateway: &Gateway,
    mut walk: Walk,
    writer: Writer,
    head: String,
) -> Result<(), Gone> {
    writer.part(head).await?;
    loop {
        match gateway.next_records(&mut walk).await {
            Ok(Some(rows)) => writer.part(rows).await?,
            Ok(None) => {
                writer.end().await;
                return Ok(());
            }
            Err(error) => {
                telemetry::observe(&Event::Fault { doing: "read call records", error: &error });
                return Ok(());
            }
        }
    }
}

/// What is asked for, or every bad parameter.
fn asked(gateway: &Gateway, request: &Request) -> Result<(Range, Format), Problem> {
    let mut asked = query(request, &["from", "until", "tenant", "format"])?;
    let mut checks = Checks::default();
    let mut field = |name: &str| asked.remove(name).map_or(Field::Absent, Field::Given);
    let (from, until, tenant, format) =
        (field("from"), field("until"), field("tenant"), field("format"));
    let range = range(&mut checks, gateway, from, until, tenant);
    let format = checks.optional("format", format, |word: String| {
        Format::parse(&word).ok_or_else(|| invalid("must be jsonl or csv"))
    });
    checks.done()?;
    Ok((range, format.unwrap_or(Format::Jsonl)))
}

/// The range that is asked for; what is wrong with it is noted.
pub(super) fn range(
    checks: &mut Checks,
    gateway: &Gateway,
    from: Field<String>,
    until: Field<String>,
    tenant: Field<String>,
) -> Range {
    let from = checks.required("from", from, |text| {
        let must = "must be a time as 2026-11-26T18:00:00Z (RFC 3339, UTC), or a day";
        Timestamp::from(&text).ok_or_else(|| invalid(must))
    });
    let until = checks.optional("until", until, |text| {
        let must = "must be a time as 2026-11-26T18:00:00Z (RFC 3339, UTC), or the last day";
        // A day to its end, which is the first moment that is not meant.
        let day = || Timestamp::until(&text).map(|last| last + Duration::from_micros(1));
        Timestamp::from_rfc3339(&text).or_else(day).ok_or_else(|| invalid(must))
    });
    let tenant = checks.optional("tenant", tenant, |name| match gateway.knows_tenant(&name) {
        true => Ok(name),
        false => Err(invalid("there is no such tenant")),
    });
    let (from, until) = (from.unwrap_or_default(), until.unwrap_or(Timestamp::MAX));
    if until < from {
        checks.refuse("until", invalid("must not be before from"));
    }
    Range { tenant, from, until }
}

fn invalid(detail: &'static str) -> Fault {
    (FieldCode::InvalidValue, detail.into())
}
