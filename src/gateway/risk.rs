//! Asks the tenant's own service what it thinks of a start, before the start costs anything.
//!
//! The question is signed as webhooks are, goes through the same guard, and is given 800 ms. No answer is
//! never a good one: it flags the verification, or refuses it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Gateway;
use super::settings::{Endpoint, Tenant};
use super::webhook::Courier;
use crate::ambient::Timestamp;
use crate::telemetry::{self, Event};
use crate::verify::VerificationId;
use crate::verify::request::Request;

/// How long the service has, from its name to the last byte of its answer.
const PATIENCE: Duration = Duration::from_millis(800);

/// What a verification is flagged with that the service is wary of.
const FLAGGED: &str = "risk";

/// What it is flagged with where the service gave no answer.
const UNKNOWN: &str = "risk_unknown";

/// The most characters of a reason that are told.
const REASON_MOST: usize = 200;

/// A tenant's service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// Where it is, and what signs.
    pub endpoint: Endpoint,
    /// Whether no answer refuses, and not only flags.
    pub deny_unknown: bool,
    /// Whether it is told the number, and not only its country and last digits.
    pub full_number: bool,
}

/// What the service is asked.
#[derive(Serialize)]
struct Question<'a> {
    id: &'a str,
    tenant: &'a str,
    to: &'a str,
    country: &'a str,
    number_kind: &'a str,
    channel: &'a str,
    mode: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<String>,
}

/// What it answers.
#[derive(Debug, Deserialize)]
struct Answer {
    action: Action,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Allow,
    Flag,
    Deny,
}

/// The service, or its silence, refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Risky(String);

/// What becomes of a start.
type Opinion = Result<Option<&'static str>, Risky>;

impl Gateway {
    /// What the tenant's service thinks of a start: a flag, nothing, or that it is not to be.
    pub(super) async fn weigh(
        &self,
        now: Timestamp,
        tenant: &Tenant,
        id: &VerificationId,
        request: &Request,
    ) -> Opinion {
        let Some(risk) = tenant.risk.as_ref().filter(|_| !tenant.test) else { return Ok(None) };
        let answer = ask(self.0.courier.as_ref(), risk, now, tenant, id, request).await;
        let unknown = answer.as_ref().err().map(String::as_str);
        let opinion = judge(risk, &answer);
        let outcome = match (&opinion, unknown) {
            (Err(_), Some(_)) => "unknown_denied",
            (Ok(_), Some(_)) => "unknown_flagged",
            (Err(_), None) => "denied",
            (Ok(Some(_)), None) => "flagged",
            (Ok(None), None) => "allowed",
        };
        telemetry::observe(&Event::Weighed { tenant: &tenant.name, outcome, unknown });
        opinion
    }
}

async fn ask(
    courier: Option<&Courier>,
    risk: &Risk,
    now: Timestamp,
    tenant: &Tenant,
    id: &VerificationId,
    request: &Request,
) -> Result<Answer, String> {
    let courier = courier.ok_or("this gateway reaches nobody")?;
    let masked = request.to.masked();
    let question = Question {
        id: id.as_str(),
        tenant: &tenant.name,
        to: if risk.full_number { request.to.expose() } else { &masked },
        country: request.to.country().as_str(),
        number_kind: request.to.kind().as_str(),
        channel: request.way.channel.as_str(),
        mode: request.way.mode.as_str(),
        subject: request.subject.as_deref(),
        reference: request.reference.as_deref(),
        client_ip: request.client_ip.map(|ip| ip.to_string()),
    };
    let body = serde_json::to_string(&question).map_err(|error| error.to_string())?;
    let name = format!("risk_{id}");
    let asked = courier.question(&risk.endpoint, &name, &body, request.trace(), now);
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    let answer = answer.map_err(|_| "no answer within 800 ms".to_owned())??;
    serde_json::from_slice(&answer).map_err(|_| "its answer is no {\"action\": …}".to_owned())
}

fn judge(risk: &Risk, answer: &Result<Answer, String>) -> Opinion {
    match answer {
        Ok(Answer { action: Action::Allow, .. }) => Ok(None),
        Ok(Answer { action: Action::Flag, .. }) => Ok(Some(FLAGGED)),
        Ok(Answer { action: Action::Deny, reason }) => {
            let said: String = reason
                .iter()
                .flat_map(|it| it.chars())
                .filter(|c| !c.is_control())
                .take(REASON_MOST)
                .collect();
            let because = if said.is_empty() { String::new() } else { format!(": {said}") };
            Err(Risky(format!("the tenant's risk service denies it{because}")))
        }
        Err(_) if risk.deny_unknown => {
            Err(Risky("the tenant's risk service gave no answer".to_owned()))
        }
        Err(_) => Ok(Some(UNKNOWN)),
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::gateway::settings::WebhookSecret;

    fn opinion(answer: &str, deny_unknown: bool) -> Opinion {
        let secret = WebhookSecret::new(Zeroizing::new(vec![7; 32]));
        let endpoint = Endpoint::new("https://risk.example.com/", secret);
        let risk = Risk { endpoint, deny_unknown, full_number: false };
        judge(&risk, &serde_json::from_str(answer).map_err(|error| error.to_string()))
    }

    #[test]
    fn only_a_clear_word_is_clean() {
        let both = |answer| [opinion(answer, false), opinion(answer, true)];
        assert_eq!(both(r#"{"action": "allow"}"#), [Ok(None), Ok(None)]);
        assert_eq!(both(r#"{"action": "allow", "score": 3}"#), [Ok(None), Ok(None)]);
        assert_eq!(both(r#"{"action": "flag"}"#), [Ok(Some("risk")), Ok(Some("risk"))]);
        for silence in [
            "",
            "{}",
            "[]",
            r#"{"action": "Allow"}"#,
            r#"{"action": null}"#,
            r#"{"action": "skip"}"#,
            "<html>",
        ] {
            let [flagged, denied] = both(silence);
            assert_eq!(flagged, Ok(Some("risk_unknown")), "{silence}");
            assert!(denied.is_err(), "{silence}");
        }
    }

    #[test]
    fn a_reason_is_told_and_cannot_forge_a_line() {
        let said = opinion(r#"{"action": "deny", "reason": "SIM swapped\nyesterday"}"#, false);
        assert_eq!(
            said.unwrap_err().to_string(),
            "the tenant's risk service denies it: SIM swappedyesterday"
        );
        let long = format!(r#"{{"action": "deny", "reason": "{}"}}"#, "x".repeat(5_000));
        assert!(opinion(&long, false).unwrap_err().to_string().len() < 300);
        assert_eq!(
            opinion(r#"{"action": "deny"}"#, false).unwrap_err().to_string(),
            "the tenant's risk service denies it"
        );
    }
}
