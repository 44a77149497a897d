//! The events: their names, who wants which, and what they say.

use serde::Serialize;

use crate::ambient::Timestamp;
use crate::gateway::resource::Resource;
use crate::verify::Verification;
use crate::verify::attempt::AttemptState;

/// The event of a verdict: what every endpoint is told unless it says otherwise.
pub const SETTLED: &str = "verification.settled";

/// The event of a verification that was begun.
const STARTED: &str = "verification.started";

/// What precedes the state of an attempt.
const ATTEMPT: &str = "verification.attempt.";

/// Nothing is sent to another endpoint of the tenant any more.
pub(in crate::gateway) const DISABLED: &str = "webhook.disabled";

/// And again from now on.
pub(in crate::gateway) const ENABLED: &str = "webhook.enabled";

/// A share of what the tenant may spend is spent, or set aside.
pub(in crate::gateway) const BUDGET: &str = "budget.reached";

/// A number, a range or a country is blocked.
pub(in crate::gateway) const BLOCKED: &str = "block.added";

/// And is no longer, before its time.
pub(in crate::gateway) const LIFTED: &str = "block.lifted";

/// Few are approved in a range or a country.
pub(in crate::gateway) const CONVERSION: &str = "conversion.low";

/// A limit of a range, a country or the tenant stands against starts.
pub(in crate::gateway) const LIMIT: &str = "limit.reached";

/// The name of every event.
pub fn names() -> impl Iterator<Item = String> {
    let attempts = AttemptState::ALL.iter().map(|state| format!("{ATTEMPT}{}", state.as_str()));
    let before = std::iter::once(STARTED.to_owned()).chain(attempts);
    let others = [SETTLED, DISABLED, ENABLED, BUDGET, BLOCKED, LIFTED, CONVERSION, LIMIT];
    before.chain(others.map(str::to_owned))
}

/// Which events an endpoint wants: names, or their beginnings with `*` behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Vec<String>);

impl Default for Filter {
    fn default() -> Self {
        Self(vec![SETTLED.to_owned()])
    }
}

impl Filter {
    /// Of these patterns.
    ///
    /// # Errors
    /// The first that means no event.
    pub fn new(patterns: Vec<String>) -> Result<Self, String> {
        let dead = patterns.iter().find(|pattern| !names().any(|name| fits(pattern, &name)));
        match dead {
            Some(dead) => Err(dead.clone()),
            None => Ok(Self(patterns)),
        }
    }

    /// Whether this event is wanted.
    #[must_use]
    pub fn wants(&self, event: &str) -> bool {
        self.0.iter().any(|pattern| fits(pattern, event))
    }

    /// As they were written.
    #[must_use]
    pub fn patterns(&self) -> &[String] {
        &self.0
    }
}

fn fits(pattern: &str, event: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => event.starts_with(beginning),
        None => event == pattern,
    }
}

/// Which event a step is; `None`: nothing that anybody is told.
pub(in crate::gateway) fn of_step(
    before: Option<&Verification>,
    next: &Verification,
) -> Option<String> {
    let Some(before) = before else { return Some(STARTED.to_owned()) };
    if before.verdict().is_some() {
        return None;
    }
    if next.verdict().is_some() {
        return Some(SETTLED.to_owned());
    }
    let was = |no| before.find(no).map(|attempt| attempt.state);
    let moved = next.attempts.iter().rev().find(|it| was(it.no) != Some(it.state))?;
    Some(format!("{ATTEMPT}{}", moved.state.as_str()))
}

/// The id of the event that tells of this version: the same whenever it is computed.
pub(in crate::gateway) fn id(verification: &Verification, sequence: u64) -> String {
    let id = verification.id.as_str();
    format!("evt_{}_{sequence}", id.strip_prefix("vf_").unwrap_or(id))
}

/// A CloudEvents 1.0 event in structured mode.
#[derive(Serialize)]
struct CloudEvent<'a, T> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    r#type: &'a str,
    subject: &'a str,
    time: String,
    sequence: u64,
    datacontenttype: &'static str,
    data: T,
}

/// What a verification's event says besides itself.
#[derive(Serialize)]
pub(in crate::gateway) struct Told<'a> {
    /// The verification.
    #[serde(flatten)]
    pub(in crate::gateway) resource: &'a Resource,
    /// The same, signed: see [`proof`](crate::verify::proof). None before the verdict.
    pub(in crate::gateway) verdict: Option<String>,
}

/// What an event is called and where it stands.
pub(in crate::gateway) struct Title<'a> {
    /// Its id.
    pub(in crate::gateway) id: &'a str,
    /// Its name.
    pub(in crate::gateway) name: &'a str,
    /// Of what it tells.
    pub(in crate::gateway) subject: &'a str,
    /// When it happened.
    pub(in crate::gateway) time: Timestamp,
    /// Its place among the events of that subject: later ones have greater ones.
    pub(in crate::gateway) sequence: u64,
}

/// The body of an event; the same on every try.
pub(in crate::gateway) fn body(title: &Title<'_>, data: impl Serialize) -> String {
    let event = CloudEvent {
        specversion: "1.0",
        id: title.id,
        source: "octothorpe",
        r#type: title.name,
        subject: title.subject,
        time: title.time.to_rfc3339(),
        sequence: title.sequence,
        datacontenttype: "application/json",
        data,
    };
    serde_json::to_string(&event).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(patterns: &[&str]) -> Result<Filter, String> {
        Filter::new(patterns.iter().map(|it| (*it).to_owned()).collect())
    }

    #[test]
    fn a_filter_wants_what_it_names() {
        let verdicts = Filter::default();
        assert!(verdicts.wants("verification.settled"));
        assert!(!verdicts.wants("verification.started"));
        let attempts = filter(&["verification.attempt.*", "webhook.disabled"]).unwrap();
        assert!(attempts.wants("verification.attempt.ringing"));
        assert!(attempts.wants("webhook.disabled"));
        for other in ["verification.settled", "verification.attempt", "webhook.disabled.x"] {
            assert!(!attempts.wants(other), "{other}");
        }
        let all = filter(&["*"]).unwrap();
        assert!(names().all(|name| all.wants(&name)));
    }

    #[test]
    fn a_pattern_that_means_no_event_is_refused() {
        for dead in ["verification.setled", "verification", "settled", "", "verification.*.ringing"]
        {
            assert_eq!(filter(&["verification.*", dead]), Err(dead.to_owned()));
        }
    }
}
