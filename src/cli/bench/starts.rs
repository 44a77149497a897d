//! Starts by text, end to end: from the API to the message centre, and back by the code.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::centre::Centre;
use super::client::{Client, Said};
use super::codes::{Bench, Rate, Took, a_second, tell};
use super::figures::{Figure, Spread, micros, number};
use super::load;
use crate::ambient::Timestamp;
use crate::cli::text;

/// How long a person takes to read the code and to type it: longer than a receipt does, so that
/// the text is seen to be delivered before.
const TYPING: Duration = Duration::from_secs(3);

/// How long the last receipts may take after the last check.
const PARTING: Duration = Duration::from_secs(3);

/// What became of a start.
struct Outcome {
    number: String,
    /// When it was asked for, and when it was answered; `None` when it was not.
    start: Option<(Timestamp, Timestamp)>,
    /// How long the check of its code took.
    check: Option<u64>,
    /// Whether the text was seen as delivered.
    delivered: bool,
    /// Why it was not approved.
    failure: Option<String>,
}

/// Begins verifications at this rate, has each texted once, and checks the codes of the texts.
pub(super) async fn run(bench: &Bench, rate: Rate) -> anyhow::Result<Vec<Figure>> {
    let meter = bench.meter()?;
    let customer = |index| {
        let (client, centre) = (Rc::clone(&bench.client), bench.centre.clone());
        let number = load::number(index);
        async move {
            let mut outcome =
                Outcome { number, start: None, check: None, delivered: false, failure: None };
            let followed = follow(&client, &centre, &mut outcome).await;
            outcome.failure = followed.err().map(|error| format!("{error:#}"));
            outcome
        }
    };
    let outcomes = load::paced(rate.load, customer, |_| ()).await;
    let took = bench.took(meter)?;
    let begun: Vec<&Outcome> = outcomes.iter().filter(|it| it.start.is_some()).collect();
    // Nobody waits for a text that is one too many, but it may still come.
    let patience = async {
        while bench.centre.receipts().0 < begun.len() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(PARTING, patience).await;
    Ok(figures(bench, rate, &outcomes, &begun, &took))
}

fn figures(
    bench: &Bench,
    rate: Rate,
    outcomes: &[Outcome],
    begun: &[&Outcome],
    took: &Took,
) -> Vec<Figure> {
    let all = outcomes.len();
    let spans = || begun.iter().filter_map(|it| it.start);
    let answers = Spread::of(spans().map(|(asked, told)| micros(told.since(asked))));
    let submits = Spread::of(begun.iter().filter_map(|it| {
        let (asked, _) = it.start?;
        Some(micros(bench.centre.text(&it.number)?.at.since(asked)))
    }));
    let checks = Spread::of(outcomes.iter().filter_map(|it| it.check));
    let lost = begun.iter().filter(|it| bench.centre.texts(&it.number) == 0).count();
    let phones: HashSet<&str> = begun.iter().map(|it| it.number.as_str()).collect();
    let doubled = bench.centre.taken().saturating_sub(phones.len() - lost);
    let (receipts, refused) = bench.centre.receipts();
    let undelivered = begun.iter().filter(|it| !it.delivered).count();
    let unapproved = tell(outcomes.iter().filter_map(|it| it.failure.clone()));
    let figure = |name, what: &str, value, unit| bench.figure(name, what, value, unit);
    let none = |name, what: &str, count| figure(name, what, number(count), "").at_most(0.0);
    let mut figures = vec![
        figure("starts", "starts by text", a_second(spans().map(|(_, told)| told)), "/s")
            .at_least(rate.asked),
        none("lost", &format!("of {} starts never texted", begun.len()), lost),
        none("doubled", "texts beyond one a start", doubled),
        none(
            "receipts",
            &format!("of {} receipts not taken", begun.len()),
            begun.len().saturating_sub(receipts) + refused,
        ),
        none("undelivered", "texts not seen as delivered", undelivered),
        none("unapproved", &format!("of {all} codes not approved"), unapproved),
    ];
    figures.extend(bench.pair(["start_p50", "start_p99"], "start to its answer", &answers, None));
    figures.extend(bench.pair(["submit_p50", "submit_p99"], "start to submit_sm", &submits, None));
    figures.extend(bench.pair(["check_p50", "check_p99"], "check to its answer", &checks, None));
    figures.extend(bench.conditions(["starts_late", "starts_busy", "starts_others"], took));
    figures
}

/// Starts, waits as a person does, reads the text, and types its code.
async fn follow(client: &Client, centre: &Centre, outcome: &mut Outcome) -> anyhow::Result<()> {
    let body = json!({ "to": outcome.number, "channel": "sms", "mode": "code" }).to_string();
    let begun = client.ask("POST /v1/verifications", &body).await?;
    outcome.start = Some((begun.asked, begun.told));
    let id = text(&begun.body, "id");
    sleep(TYPING).await;
    let seen = client.ask(&format!("GET /v1/verifications/{id}"), "").await?;
    outcome.delivered = state(&seen) == Some("delivered");
    let text = centre.text(&outcome.number).context("no text came")?;
    let body = json!({ "code": text.code }).to_string();
    let checked = client.ask(&format!("POST /v1/verifications/{id}/check"), &body).await?;
    outcome.check = Some(micros(checked.told.since(checked.asked)));
    let verdict = verdict(&checked.body);
    anyhow::ensure!(verdict == "approved code_matched", "{verdict}");
    Ok(())
}

/// How far the last attempt has come.
fn state(seen: &Said<Value>) -> Option<&str> {
    seen.body.get("attempts")?.as_array()?.last()?.get("state")?.as_str()
}

fn verdict(resource: &Value) -> String {
    format!("{} {}", text(resource, "status"), text(resource, "reason"))
}
