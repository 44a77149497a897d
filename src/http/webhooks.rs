//! For those who run it: the endpoints of the tenants, and events that are sent to them once more.

use std::collections::BTreeMap;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::auth::{Operator, Viewer};
use super::json::{Checks, Fault, Field};
use super::problem::{Code, FieldCode, Problem};
use super::verify::{carried_out, fault};
use super::{App, json, shown};
use crate::ambient::Timestamp;
use crate::gateway::{EndpointView, Replayed, Which};
use crate::verify::VerificationId;

/// How every endpoint is: whether anything is sent there, and why not.
pub(super) async fn list(_: Viewer, State(app): State<App>) -> Result<Response, Problem> {
    let webhooks = app.gateway.endpoints().await.map_err(fault)?;
    Ok(shown(StatusCode::OK, &Endpoints { webhooks }))
}

#[derive(Serialize)]
struct Endpoints {
    webhooks: Vec<EndpointView>,
}

/// Switches an endpoint on again. What was withheld meanwhile is [sent once more](replay) when it is
/// asked for.
pub(super) async fn enable(
    operator: Operator,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let act = operator.act("webhook.enable", json!({ "endpoint": id }));
    app.gateway.audit(act).await.map_err(fault)?;
    let found = app.gateway.switch_on(&id).await.map_err(fault)?;
    Ok(shown(StatusCode::OK, &found.ok_or_else(|| Problem::new(Code::NotFound))?))
}

/// What is to be sent once more.
#[derive(Debug, Deserialize)]
struct Replay {
    /// Whose events.
    #[serde(default)]
    tenant: Field<String>,
    /// Those of this verification.
    #[serde(default)]
    verification: Field<String>,
    /// Or the one of this id.
    #[serde(default)]
    event: Field<String>,
    /// Or the verdicts of verifications that were begun then or later, and what else happened since,
    #[serde(default)]
    from: Field<String>,
    /// and before this; now when it is left out.
    #[serde(default)]
    until: Field<String>,
    /// To this endpoint alone.
    #[serde(default)]
    endpoint: Field<String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// What was queued.
#[derive(Serialize)]
struct Queued {
    /// How many deliveries.
    #[serde(flatten)]
    replayed: Replayed,
    /// Where there were too many for once: `until` of the next request.
    rest_until: Option<String>,
}

/// Sends events once more, under the ids that they were sent under before.
pub(super) async fn replay(
    operator: Operator,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    let (tenant, which, endpoint) = asked(json::posted(&app, request).await?)?;
    let gateway = app.gateway;
    // Whoever asked may hang up; what was begun is finished.
    let work = async move {
        let about = json!({ "tenant": tenant, "endpoint": endpoint });
        gateway.audit(operator.act("webhook.replay", about)).await?;
        gateway.replay(&tenant, which, endpoint.as_deref()).await
    };
    let replayed = carried_out(work).await.map_err(fault)?.ok_or_else(|| {
        Problem::new(Code::NotFound).because("there is no such tenant, endpoint or event")
    })?;
    let rest_until = replayed.rest_until.map(Timestamp::to_rfc3339);
    Ok(shown(StatusCode::OK, &Queued { replayed, rest_until }))
}

fn asked(replay: Replay) -> Result<(String, Which, Option<String>), Problem> {
    let mut checks = Checks::default();
    let by_time = !matches!(replay.from, Field::Absent);
    let by_id = !matches!(replay.verification, Field::Absent);
    let by_event = !matches!(replay.event, Field::Absent);
    let tenant = checks.required("tenant", replay.tenant, Ok);
    let verification = checks.optional("verification", replay.verification, |text| {
        VerificationId::parse(&text).ok_or_else(|| invalid("must be the id of a verification"))
    });
    let event = checks.optional("event", replay.event, |text| match text.starts_with("evt_") {
        true => Ok(text),
        false => Err(invalid("must be the id of an event, as webhook-id has it")),
    });
    let from = checks.optional("from", replay.from, time);
    let until = checks.optional("until", replay.until, time);
    let endpoint = checks.optional("endpoint", replay.endpoint, Ok);
    checks.unknown(replay.unknown.keys());
    if [by_time, by_id, by_event].into_iter().filter(|by| *by).count() != 1 {
        let either = "write one of verification, event, and from with or without until";
        checks.refuse("from", (FieldCode::InvalidValue, either.into()));
    }
    checks.done()?;
    let which = match (verification, event, from) {
        (Some(id), _, _) => Which::Verification(id),
        (None, Some(event), _) => Which::Event(event),
        (None, None, from) => {
            Which::Between(from.unwrap_or(Timestamp::MAX), until.unwrap_or(Timestamp::MAX))
        }
    };
    Ok((tenant.unwrap_or_default(), which, endpoint))
}

fn time(text: String) -> Result<Timestamp, Fault> {
    Timestamp::from_rfc3339(&text)
        .ok_or_else(|| invalid("must be a time as 2026-11-26T18:00:00Z (RFC 3339, UTC)"))
}

fn invalid(detail: &'static str) -> Fault {
    (FieldCode::InvalidValue, detail.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &[u8]) -> Result<(String, Which, Option<String>), Problem> {
        super::asked(json::fields(body)?)
    }

    #[test]
    fn a_replay_is_by_id_or_by_time() {
        let id = "vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE";
        let by_id = format!(r#"{{"tenant": "acme", "verification": "{id}", "endpoint": "ep_1"}}"#);
        let (tenant, which, endpoint) = asked(by_id.as_bytes()).unwrap();
        assert_eq!((tenant.as_str(), endpoint.as_deref()), ("acme", Some("ep_1")));
        assert_eq!(which, Which::Verification(VerificationId::parse(id).unwrap()));
        let by_event = br#"{"tenant": "acme", "event": "evt_01JDFZ8V6Q3K5T9W2R4Y7B0CDE_3"}"#;
        let (_, which, _) = asked(by_event).unwrap();
        assert_eq!(which, Which::Event("evt_01JDFZ8V6Q3K5T9W2R4Y7B0CDE_3".to_owned()));
        let by_time = br#"{"tenant": "acme", "from": "2026-11-26T18:00:00Z"}"#;
        let (_, which, _) = asked(by_time).unwrap();
        assert_eq!(which, Which::Between(Timestamp::from_secs(1_795_716_000), Timestamp::MAX));
        for bad in [
            r#"{}"#,
            r#"{"tenant": "acme"}"#,
            r#"{"tenant": "acme", "until": "2026-11-26T18:00:00Z"}"#,
            r#"{"tenant": "acme", "from": "yesterday"}"#,
            r#"{"tenant": "acme", "from": "1960-01-01T00:00:00Z"}"#,
            r#"{"tenant": "acme", "verification": "vf_1"}"#,
            r#"{"tenant": "acme", "event": "vf_1"}"#,
            r#"{"tenant": "acme", "event": "evt_1", "from": "2026-11-26T18:00:00Z"}"#,
            r#"{"tenant": "acme", "from": "2026-11-26T18:00:00Z", "all": true}"#,
            r#"{"tenant": 1, "from": "2026-11-26T18:00:00Z"}"#,
        ] {
            assert!(asked(bad.as_bytes()).is_err(), "{bad}");
        }
        let both = by_id.replace("\"endpoint\": \"ep_1\"", "\"from\": \"2026-11-26T18:00:00Z\"");
        assert!(asked(both.as_bytes()).is_err());
    }
}
