//! Code checks on one core: a gateway within this process, its store in memory, its hands empty.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use zeroize::Zeroizing;

use super::figures::{Figure, number};
use super::load;
use crate::ambient::{self, Clock, Entropy};
use crate::carrier::{Receipt, smpp};
use crate::gateway::resource::{render, render_checked};
use crate::gateway::settings::{By, Endpoint, Provider, Settings, Tenant, WebhookSecret};
use crate::gateway::{AnswerOf, Answered, Asked, Failure, Gateway, Hands};
use crate::store::Store;
use crate::store::record::Delivery;
use crate::telemetry;
use crate::verify::attempt::AttemptNo;
use crate::verify::code::{Binding, Vault};
use crate::verify::policy::Rules;
use crate::verify::request::{Channel, Mode, Request, Way};
use crate::verify::route::{Rule, Table};
use crate::verify::signal::Farewell;
use crate::verify::text::Texts;
use crate::verify::{Verification, VerificationId};

/// So many checks in a second, at least.
const LIMIT: f64 = 10_000.0;

/// How many wrong codes are checked before the right one: one more would end the question.
const WRONG: usize = 4;

/// The carrier's name and sender.
const CARRIER: (&str, &str) = ("smsc", "+12025550100");

/// Whoever is reached, it works at once.
#[derive(Clone, Default)]
struct Nobody {
    placed: Arc<AtomicUsize>,
    delivered: Arc<AtomicUsize>,
}

impl Hands for Nobody {
    async fn place(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        self.placed.fetch_add(1, Ordering::Relaxed);
        Receipt::Taken(format!("{}-{attempt}", verification.id))
    }

    async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {}

    async fn deliver(&self, _: &Delivery) -> Result<(), Failure> {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A question that is open, and the code that answers it.
struct Open {
    id: VerificationId,
    code: String,
}

/// A gateway that runs in this thread.
struct Desk {
    gateway: Gateway,
    tenant: Tenant,
    vault: Vault,
    hands: Nobody,
}

/// Checks codes on so many verifications: four wrong ones each, then the right one.
pub(super) async fn run(verifications: usize, clock: &Clock) -> anyhow::Result<Vec<Figure>> {
    count_and_log();
    let desk = Desk::open(clock.clone())?;
    let mut open = Vec::with_capacity(verifications);
    for index in 0..verifications {
        open.push(desk.begin(&load::number(index)).await?);
    }
    done(&desk.hands.placed, verifications).await;

    let (mut surprises, began) = (0, clock.now());
    for round in 1..=WRONG {
        for question in &open {
            let code = other(&question.code, round);
            surprises += usize::from(desk.check(&question.id, &code).await? != Some(false));
            tokio::task::yield_now().await;
        }
    }
    let wrong = clock.now().since(began).as_secs_f64();

    // A verdict is to be told; that it was, and all that this took, counts.
    let began = clock.now();
    for question in &open {
        surprises += usize::from(desk.check(&question.id, &question.code).await? != Some(true));
        tokio::task::yield_now().await;
    }
    done(&desk.hands.delivered, verifications).await;
    let right = clock.now().since(began).as_secs_f64();

    let figure =
        |name, what: &str, value, unit| Figure::new("codes", "memory", name, what, value, unit);
    let of = number(verifications);
    Ok(vec![
        figure("wrong", "wrong codes checked, one core", number(WRONG) * of / wrong, "/s")
            .at_least(LIMIT),
        figure("right", "right codes checked and told, one core", of / right, "/s").at_least(LIMIT),
        figure("unexpected", "checks with another outcome", number(surprises), "").at_most(0.0),
    ])
}

/// Counts and logs as a gateway that serves does, but to nowhere: both are part of the work.
fn count_and_log() {
    // Whoever counts or logs already does it as well.
    let _ = telemetry::Metrics::install();
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::INFO)
        .with_writer(std::io::sink)
        .try_init();
}

/// Lets the gateway work until it has done something so often.
async fn done(count: &AtomicUsize, wanted: usize) {
    while count.load(Ordering::Relaxed) < wanted {
        tokio::task::yield_now().await;
    }
}

/// A code that is wrong, and in each round another.
fn other(code: &str, round: usize) -> String {
    let digit = |digit: u8| (usize::from(digit.wrapping_sub(b'0')) + round) % 10;
    let last = code.bytes().last().map_or(0, digit);
    let head = code.get(..code.len().saturating_sub(1)).unwrap_or_default();
    format!("{head}{last}")
}

impl Desk {
    fn open(clock: Clock) -> anyhow::Result<Self> {
        let countries = BTreeSet::from(["US".parse().map_err(anyhow::Error::msg)?]);
        let tenant = Tenant {
            rules: Rules { voice_countries: BTreeSet::new(), sms_countries: countries },
            webhooks: vec![Endpoint::new(
                "https://customer.bench.example/hooks",
                WebhookSecret::new(Zeroizing::new(ambient::secret::<32>().to_vec())),
            )],
            ..Tenant::new("bench")
        };
        let (name, sender) = CARRIER;
        let password = Zeroizing::new("bench".to_owned());
        let address = ("127.0.0.1", smpp::PORT);
        let smsc = smpp::Settings::new(name, address, "bench", password, sender);
        let rule = Rule::every(Channel::Sms, [name]);
        let settings = Settings {
            carriers: vec![Provider {
                name: name.to_owned(),
                sender: sender.to_owned(),
                inbound_token: None,
                by: By::Smpp(Box::new(smsc)),
            }],
            texts: Arc::new(Texts::compiled()?),
            routes: Table::new(vec![rule]),
            tenants: vec![tenant.clone()],
            ..Settings::bare()
        };
        let vault = Vault::new(Zeroizing::new(ambient::secret()));
        let hands = Nobody::default();
        let (gateway, turns) = Gateway::assemble(
            Store::memory(),
            &settings,
            vault.clone(),
            clock,
            Entropy::system(),
            hands.clone(),
        );
        tokio::spawn(turns.run());
        Ok(Self { gateway, tenant, vault, hands })
    }

    /// Begins a verification, and finds out its code as the gateway does to send it.
    async fn begin(&self, to: &str) -> anyhow::Result<Open> {
        let way = Way { channel: Channel::Sms, mode: Mode::Code };
        let asked = Asked::plainly(Request { expires_in: 600, ..Request::new(to.parse()?, way) });
        let answer = AnswerOf { idempotency: None, render };
        let answered = self.gateway.begin(&self.tenant, asked, answer).await?;
        let Answered::Fresh { id, .. } = answered else { anyhow::bail!("{answered:?}") };
        let begun = self.gateway.read(&self.tenant, &id).await?.context("it is gone")?;
        let secret = begun.secret.as_ref().context("it has no code")?;
        let code = self.vault.code(Binding::of(&begun), secret).context("its code is sealed")?;
        Ok(Open { id, code: code.expose().to_owned() })
    }

    /// Whether a code matched, in the words of the answer; `None` when it was not compared.
    async fn check(&self, id: &VerificationId, code: &str) -> anyhow::Result<Option<bool>> {
        let answer = AnswerOf { idempotency: None, render: render_checked };
        let checked = self.gateway.check(&self.tenant, id, code, None, answer).await?;
        let Some(Answered::Fresh { body, .. }) = checked else { return Ok(None) };
        let says = |words: &[u8]| body.windows(words.len()).any(|window| window == words);
        Ok(match (says(b"\"matched\":true"), says(b"\"matched\":false")) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            (_, _) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_codes_differ_from_the_right_one_and_from_each_other() {
        assert_eq!(other("123459", 1), "123450");
        assert_eq!(other("123450", 4), "123454");
    }

    #[tokio::test]
    async fn every_check_ends_as_it_should() {
        let figures = run(10, &Clock::system()).await.unwrap();
        assert_eq!(figures.len(), 3);
        assert!(figures[2].is_met());
    }
}
