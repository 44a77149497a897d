//! For those who run it: what other rules and limits would have refused.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Operator;
use super::cdr::range;
use super::json::{self, Checks, Field};
use super::problem::{Code, FieldCode, Problem};
use super::stream::{Gone, Writer, streamed};
use super::{App, written};
use crate::gateway::Gateway;
use crate::gateway::trial::{Terms, Trial};
use crate::telemetry::{self, Event};

/// The longest range, in days: more is not kept.
const DAYS_MOST: u64 = 31;

/// How many steps of a trial are told at once.
const TOLD_EVERY: usize = 60;

/// What is to be tried.
#[derive(Debug, Deserialize)]
struct Asked {
    /// On starts from then on,
    #[serde(default)]
    from: Field<String>,
    /// and before this.
    #[serde(default)]
    until: Field<String>,
    /// Of this tenant alone.
    #[serde(default)]
    tenant: Field<String>,
    /// For each tenant its rules and limits.
    #[serde(default)]
    terms: Field<Vec<Value>>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// Tries rules and limits on starts of a range: a line of JSON for each piece, and the report in the last.
pub(super) async fn replay(
    _: Operator,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    let wanted = json::posted(&app, request).await?;
    let gateway = app.gateway;
    let trial = asked(&gateway, wanted)?;
    let (writer, body) = streamed();
    tokio::spawn(async move {
        // Whoever hangs up wants no more of it.
        let _ = carry_out(&gateway, trial, writer).await;
    });
    Ok(written(StatusCode::OK, "application/jsonl", body))
}

async fn carry_out(gateway: &Gateway, mut trial: Trial, writer: Writer) -> Result<(), Gone> {
    for step in 1_usize.. {
        match gateway.try_on(&mut trial).await {
            Ok(Some(at)) if step % TOLD_EVERY == 0 => {
                writer.part(line(&json!({ "until": at.to_rfc3339() }))).await?;
            }
            // Others have their turn.
            Ok(Some(_)) => tokio::task::yield_now().await,
            Ok(None) => break,
            Err(error) => {
                telemetry::observe(&Event::Fault { doing: "try limits", error: &error });
                return Ok(());
            }
        }
    }
    writer.part(line(&json!({ "report": trial.report() }))).await?;
    writer.end().await;
    Ok(())
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// What is to be tried, or every bad field.
fn asked(gateway: &Gateway, asked: Asked) -> Result<Trial, Problem> {
    let mut checks = Checks::default();
    let mut range = range(&mut checks, gateway, asked.from, asked.until, asked.tenant);
    range.until = range.until.min(gateway.now());
    if range.until.since(range.from) > Duration::from_secs(DAYS_MOST * 86_400) {
        checks
            .refuse("from", (FieldCode::InvalidValue, "at most 31 days are tried at once".into()));
    }
    let mut terms = Vec::new();
    let listed = checks.required("terms", asked.terms, Ok).unwrap_or_default();
    for (n, value) in listed.into_iter().enumerate() {
        match serde_json::from_value::<Terms>(value) {
            Ok(one) => terms.push(one),
            Err(why) => {
                checks.blame(format!("terms[{n}]"), FieldCode::InvalidValue, why.to_string());
            }
        }
    }
    checks.unknown(asked.unknown.keys());
    checks.done()?;
    gateway.trial(range, &terms).map_err(|(n, why)| {
        let mut checks = Checks::default();
        checks.blame(format!("terms[{n}]"), FieldCode::InvalidValue, why);
        checks.done().err().unwrap_or_else(|| Problem::new(Code::InvalidRequest))
    })
}
