//! From a carrier's hook to the verdict: signed requests as Twilio makes them, for calls that it
//! was asked to place.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::child::PUBLIC;
use super::client::{Client, Said};
use super::codes::{Bench, Rate, Took, a_second, tell};
use super::figures::{Figure, Spread, micros, number};
use super::load::{self, Load};
use super::web::{Order, Web};
use crate::ambient::Timestamp;
use crate::carrier::signature::{Hash, twilio_signature};
use crate::cli::text;

/// The carrier's name, and the account that the gateway has there.
pub(super) const CARRIER: &str = "carrier";
pub(super) const ACCOUNT: &str = "AC00000000000000000000000000000000";

/// From the hook to the verdict, in milliseconds, whoever is told of it.
const LIMIT: f64 = 10.0;

/// How long a customer has waited for the verdict when the key is pressed.
const LEAD: Duration = Duration::from_millis(250);

/// How long the carrier may be waited for, or the last events.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who calls the hooks.
#[derive(Clone)]
struct Carrier {
    client: Rc<Client>,
    token: Rc<str>,
}

/// A call that is up, and whose person is being asked.
#[derive(Clone)]
struct Call {
    number: String,
    id: String,
    sid: String,
    /// Where keys are reported, as the gateway says: path and query.
    keys: String,
}

/// One press of `#`, and who learned of it when.
struct Press {
    id: String,
    asked: Timestamp,
    answered: Timestamp,
    polled: Timestamp,
}

/// Has calls placed by the carrier, then lets `#` be pressed on them at this rate.
pub(super) async fn run(bench: &Bench, rate: Rate) -> anyhow::Result<Vec<Figure>> {
    let web = &bench.web;
    let carrier = Carrier { client: Rc::clone(&bench.client), token: Rc::clone(&bench.secret) };
    let open = |index| {
        let (carrier, web) = (carrier.clone(), web.clone());
        async move { open(&carrier, &web, load::number(index)).await }
    };
    let mut calls = Vec::with_capacity(rate.load.calls);
    let mut failures = Vec::new();
    for opened in load::paced(rate.load, open, |_| ()).await {
        match opened {
            Ok(call) => calls.push(call),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    let unopened = tell(failures);

    let meter = bench.meter()?;
    let load = Load { calls: calls.len(), ..rate.load };
    let press = |index: usize| {
        let (carrier, call) = (carrier.clone(), calls.get(index).cloned());
        async move { press(&carrier, call.context("there is no such call")?).await }
    };
    let (mut presses, mut failures) = (Vec::with_capacity(calls.len()), Vec::new());
    for pressed in load::paced(load, press, |_| ()).await {
        match pressed {
            Ok(press) => presses.push(press),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    let took = bench.took(meter)?;
    let told = async {
        while !presses.iter().all(|press| web.told(&press.id).is_some()) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    // Events that did not come in time are missed below.
    let _ = timeout(PATIENCE, told).await;
    let unapproved = unopened + tell(failures);
    Ok(figures(bench, rate, &presses, unapproved, &took))
}

fn figures(
    bench: &Bench,
    rate: Rate,
    presses: &[Press],
    unapproved: usize,
    took: &Took,
) -> Vec<Figure> {
    let after = |press: &Press, at: Timestamp| micros(at.since(press.asked));
    let answers = Spread::of(presses.iter().map(|press| after(press, press.answered)));
    let polls = Spread::of(presses.iter().map(|press| after(press, press.polled)));
    let events: Vec<u64> =
        presses.iter().filter_map(|press| Some(after(press, bench.web.told(&press.id)?))).collect();
    let untold = presses.len() - events.len();
    let figure = |name, what: &str, value, unit| bench.figure(name, what, value, unit);
    let none = |name, what: &str, count| figure(name, what, number(count), "").at_most(0.0);
    let pace = a_second(presses.iter().map(|press| press.answered));
    let what = format!("of {} keys not approved", rate.load.calls);
    let mut figures = vec![
        figure("hooks", "signed hooks", pace, "/s").at_least(rate.asked),
        none("hooks_unapproved", &what, unapproved),
        none("hooks_untold", "verdicts that no webhook told", untold),
    ];
    let limit = Some(LIMIT);
    let what = "hook to its answer";
    figures.extend(bench.pair(["hook_answer_p50", "hook_answer_p99"], what, &answers, limit));
    let what = "hook to the verdict by long poll";
    figures.extend(bench.pair(["hook_poll_p50", "hook_poll_p99"], what, &polls, limit));
    let what = "hook to the verdict by webhook";
    let events = Spread::of(events);
    figures.extend(bench.pair(["hook_event_p50", "hook_event_p99"], what, &events, limit));
    figures.extend(bench.conditions(["hooks_late", "hooks_busy", "hooks_others"], took));
    figures
}

/// Starts a verification by call, and says as the carrier that the phone was answered.
async fn open(carrier: &Carrier, web: &Web, number: String) -> anyhow::Result<Call> {
    let body = json!({ "to": number, "channel": "voice", "mode": "confirm" }).to_string();
    let begun = carrier.client.ask("POST /v1/verifications", &body).await?;
    let id = text(&begun.body, "id").to_owned();
    let order = timeout(PATIENCE, async {
        loop {
            if let Some(order) = web.order(&number) {
                return order;
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    let Order { sid, url } = order.await.context("the carrier was not asked to call")?;
    let path = url.strip_prefix(PUBLIC).context("the carrier was told another address")?;
    let asks = carrier.hook(path, &number, &sid, &[]).await?;
    let asks = String::from_utf8_lossy(&asks.body);
    let action = asks.split_once("action=\"").and_then(|(_, rest)| rest.split_once('"'));
    let (action, _) = action.context("the gateway asked for no key")?;
    let keys = action.replace("&amp;", "&");
    let keys = keys.strip_prefix(PUBLIC).context("keys are to be told elsewhere")?.to_owned();
    Ok(Call { number, id, sid, keys })
}

/// Presses `#`, while a customer waits for the verdict.
async fn press(carrier: &Carrier, call: Call) -> anyhow::Result<Press> {
    // No version is as high: it is the verdict that is waited for.
    let line = format!("GET /v1/verifications/{}?wait=60&since=1000000", call.id);
    let customer = Rc::clone(&carrier.client);
    let poll = tokio::task::spawn_local(async move { customer.ask(&line, "").await });
    sleep(LEAD).await;
    let keys = [("Digits", "#"), ("FinishedOnKey", "")];
    let pressed = carrier.hook(&call.keys, &call.number, &call.sid, &keys).await?;
    let polled = timeout(PATIENCE, poll).await.context("no verdict by long poll")???;
    let verdict = format!("{} {}", text(&polled.body, "status"), text(&polled.body, "reason"));
    anyhow::ensure!(verdict == "approved confirmed", "{verdict}");
    Ok(Press { id: call.id, asked: pressed.asked, answered: pressed.told, polled: polled.told })
}

impl Carrier {
    /// A request about a call that is up, signed.
    async fn hook(
        &self,
        path: &str,
        number: &str,
        sid: &str,
        more: &[(&str, &str)],
    ) -> anyhow::Result<Said<Vec<u8>>> {
        let mut fields = vec![
            ("CallSid", sid),
            ("AccountSid", ACCOUNT),
            ("From", "+12025550101"),
            ("To", number),
            ("CallStatus", "in-progress"),
            ("Direction", "outbound-api"),
            ("ApiVersion", "2010-04-01"),
        ];
        fields.extend_from_slice(more);
        let params: Vec<(String, String)> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let url = format!("{PUBLIC}{path}");
        let signature = twilio_signature(Hash::Sha1, self.token.as_bytes(), &url, &params);
        let headers = format!(
            "X-Twilio-Signature: {signature}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        );
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        self.client.send(&format!("POST {path}"), &headers, &body).await
    }
}
