//! What people write back: whose question it answers, what it means, and what they are told.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::dispatch::Job;
use super::hooks::NOTICE;
use super::settings::Provider;
use super::{Change, EVERYBODY, Fault, Gateway};
use crate::carrier::{Body, Text};
use crate::store::Answer;
use crate::telemetry::{self, Event};
use crate::verify::code::{Binding, Digest, SHORTEST, Vault};
use crate::verify::number::PhoneNumber;
use crate::verify::policy;
use crate::verify::reply::{self, Meaning};
use crate::verify::request::{Channel, Request};
use crate::verify::route::{Route, RouteStep};
use crate::verify::signal::{Reply, Says, Signal};
use crate::verify::text::{Fill, Kind};
use crate::verify::{Verification, VerificationId};

/// How long a question may still be answered by a yes that was on its way.
const RECENT: Duration = Duration::from_secs(20 * 60);

/// How long a person who was told something is not told it again.
const QUIET: Duration = Duration::from_secs(60 * 60);

/// What a text turned out to be.
enum Sense {
    /// It answers these questions; never none.
    Answers(Vec<(VerificationId, Says)>),
    /// Somebody is told something, and no question is answered.
    Told(Kind),
    /// No more texts.
    OptOut,
    /// Texts again.
    OptIn,
}

/// The group of the records that keep phones' choices.
const CHOICES: &str = "choices";

/// What a record says of a phone that wants no texts.
const OPTED_OUT: &[u8] = b"out";

/// What it says once the phone wants them again.
const OPTED_IN: &[u8] = b"in";

impl Gateway {
    /// Takes what a person wrote to one of our numbers.
    pub(super) async fn replied(&self, carrier: &str, text: Text) -> Result<(), Fault> {
        let orders = self.orders();
        let Some(provider) = orders.carrier(carrier) else { return Ok(()) };
        let known = self.asked(provider, &text).await?;
        let locale = known.first().map_or("en", |it| it.request.locale.as_str()).to_owned();
        let meaning = reply::read(text.body.expose(), &locale);
        let open: Vec<&Verification> = known
            .iter()
            .filter(|it| it.verdict().is_none() && it.expires_at > self.now())
            .collect();
        let young = |it: &&Verification| it.created_at + RECENT > self.now();
        let recent = known.iter().filter(young).count();
        let sense = sense(&orders.vault, meaning, &open, Known { any: !known.is_empty(), recent });
        telemetry::observe(&Event::Written { carrier, sense: sense.word() });
        match sense {
            Sense::Answers(all) => self.answer(provider, &text, all, &locale).await,
            Sense::Told(kind) => self.tell(provider, &text, kind, &locale, known.first()).await,
            Sense::OptOut => {
                self.choose(provider, &text, &known, true).await?;
                for it in &open {
                    let says = Says::Stop;
                    let reply = Reply { message: text.id.clone(), says };
                    self.signal(&it.id, Signal::Replied(reply)).await?;
                }
                self.tell(provider, &text, Kind::OptedOut, &locale, known.first()).await
            }
            Sense::OptIn => {
                self.choose(provider, &text, &known, false).await?;
                self.tell(provider, &text, Kind::OptedIn, &locale, known.first()).await
            }
        }
    }

    /// The verifications that this phone was asked from this number of ours, the newest first.
    async fn asked(&self, provider: &Provider, text: &Text) -> Result<Vec<Verification>, Fault> {
        let mut asked = Vec::new();
        // What was sent to is what was sent from: a carrier that cannot say so says nothing.
        if !same_sender(&provider.sender, &text.to) {
            return Ok(asked);
        }
        for vault in self.0.vault.live() {
            let pair = vault.pair("reply", &text.from, &provider.sender);
            for id in self.0.store.find(&pair, None).await? {
                let Some(id) = VerificationId::parse(&id) else { continue };
                asked.extend(self.load(&id).await?.filter(|it| it.request.to == text.from));
            }
        }
        asked.sort_by_key(|it| std::cmp::Reverse(it.created_at));
        Ok(asked)
    }

    async fn answer(
        &self,
        provider: &Provider,
        text: &Text,
        answers: Vec<(VerificationId, Says)>,
        locale: &str,
    ) -> Result<(), Fault> {
        let guess = answers.iter().any(|(_, says)| matches!(says, Says::Code { .. }));
        let mut open = None;
        for (id, says) in answers {
            let reply = Reply { message: text.id.clone(), says };
            self.signal(&id, Signal::Replied(reply)).await?;
            open = self.load(&id).await?.filter(|after| after.verdict().is_none()).or(open);
        }
        match open {
            Some(open) if guess => {
                self.tell(provider, text, Kind::Wrong, locale, Some(&open)).await
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Tells the person something, in a text of its own; the same thing once an hour at most,
    /// however often they write. Each answer is paid.
    async fn tell(
        &self,
        provider: &Provider,
        text: &Text,
        kind: Kind,
        locale: &str,
        about: Option<&Verification>,
    ) -> Result<(), Fault> {
        if !self.may_tell(kind, text, about) {
            return Ok(());
        }
        let pair = self.0.vault.pair("notice", &text.from, &provider.sender);
        let key = format!("notice/{pair}/{}", kind.as_str());
        let now = self.now();
        let row = Answer { key, fingerprint: [0; 32], bytes: Vec::new(), expires: now + QUIET };
        if kind != Kind::Wrong && !self.remember(row).await? {
            return Ok(());
        }
        let brand = about.and_then(|about| about.request.brand.as_ref());
        let fill = Fill { brand: brand.map(|brand| brand.as_str()), ..Fill::default() };
        let body = Body::from(self.orders().texts.render(locale, kind, &fill));
        self.hand_over(Job::Write {
            carrier: provider.name.clone(),
            to: text.from.clone(),
            body,
            name: format!("{NOTICE}{pair}"),
        });
        Ok(())
    }

    /// Whether a phone may be written to at all that was never asked anything: only where some
    /// tenant may write. Otherwise whoever writes to us chooses whom we pay for.
    fn may_tell(&self, kind: Kind, text: &Text, about: Option<&Verification>) -> bool {
        let reached = || {
            let orders = self.orders();
            let mut tenants = orders.tenants.iter();
            tenants.any(|it| policy::reaches(&text.from, Channel::Sms, &it.rules).is_ok())
        };
        kind == Kind::Wrong || about.is_some() || reached()
    }

    /// Writes down that a phone wants no texts from this sender any more, or wants them again: for
    /// each tenant that has texted it, or for everybody where none is known.
    async fn choose(
        &self,
        provider: &Provider,
        text: &Text,
        known: &[Verification],
        out: bool,
    ) -> Result<(), Fault> {
        let mut tenants: Vec<&str> = known.iter().map(|it| it.tenant.as_str()).collect();
        tenants.sort_unstable();
        tenants.dedup();
        let orders = self.orders();
        if !out {
            tenants = orders.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
        }
        if tenants.is_empty() || !out {
            tenants.push(EVERYBODY);
        }
        for tenant in tenants {
            let mut ids = self.choices_of(tenant, &text.from, &provider.sender).into_iter();
            if out {
                if let Some(id) = ids.next() {
                    self.write_choice(id, out).await?;
                }
                continue;
            }
            for id in ids {
                // Who is not out need not come in: a row for each stranger would have no end.
                if self.has_opted_out(&id).await? {
                    self.write_choice(id, out).await?;
                }
            }
        }
        Ok(())
    }

    /// The records that may hold a phone's choice: the newest key's first.
    fn choices_of(&self, tenant: &str, phone: &PhoneNumber, sender: &str) -> Vec<String> {
        let name =
            |vault: Vault| format!("choice/{tenant}/{}", vault.pair("choice", phone, sender));
        self.0.vault.live().map(name).collect()
    }

    /// Whether every carrier of these steps may write to this phone.
    pub(super) async fn is_willing(
        &self,
        tenant: &str,
        request: &Request,
        steps: &[RouteStep],
    ) -> Result<bool, Fault> {
        let texts = steps.iter().filter(|step| step.channel == Channel::Sms);
        let may = texts.map(|step| self.may_write(tenant, request, &step.via));
        Ok(try_join_all(may).await?.into_iter().all(|may| may))
    }

    /// Whether a carrier may write to this phone.
    pub(super) async fn may_write(
        &self,
        tenant: &str,
        request: &Request,
        carrier: &str,
    ) -> Result<bool, Fault> {
        let orders = self.orders();
        let Some(provider) = orders.carrier(carrier) else { return Ok(true) };
        let choices = [tenant, EVERYBODY]
            .into_iter()
            .flat_map(|whose| self.choices_of(whose, &request.to, &provider.sender))
            .collect::<Vec<_>>();
        let out = try_join_all(choices.iter().map(|choice| self.has_opted_out(choice))).await?;
        Ok(!out.into_iter().any(|out| out))
    }

    /// Whether a phone's choice is to get no texts.
    async fn has_opted_out(&self, choice: &str) -> Result<bool, Fault> {
        Ok(self.0.store.load(choice).await?.is_some_and(|it| it.bytes == OPTED_OUT))
    }

    /// Writes a phone's choice down: no texts any more, or texts again.
    async fn write_choice(&self, choice: String, out: bool) -> Result<(), Fault> {
        let bytes = if out { OPTED_OUT } else { OPTED_IN };
        let written = |_: Option<&[u8]>| {
            Ok(Some(Change { bytes: bytes.to_vec(), duties: Vec::new(), result: () }))
        };
        self.change(&choice, CHOICES, written).await.map(|_| ())
    }
}

/// The steps of a route's first way. What its phone thinks of a fallback is asked when its turn comes.
pub(super) fn first_way(route: &Route) -> &[RouteStep] {
    let first = route.next_stage(0).unwrap_or(route.steps().len());
    route.steps().get(..first).unwrap_or_default()
}

impl Sense {
    fn word(&self) -> &'static str {
        match self {
            Self::Answers(all) => match all.first() {
                Some((_, Says::Code { .. })) => "code",
                Some((_, Says::Yes)) => "yes",
                Some((_, Says::No)) => "no",
                Some((_, Says::Fraud)) => "fraud",
                Some((_, Says::Stop)) | None => "stop",
            },
            Self::OptOut => "stop",
            Self::OptIn => "start",
            Self::Told(Kind::Help) => "help",
            Self::Told(Kind::Late) => "late",
            Self::Told(_) => "unclear",
        }
    }
}

/// What is known of a phone and a number of ours besides the open questions.
#[derive(Clone, Copy)]
struct Known {
    /// Whether it was ever asked anything.
    any: bool,
    /// How many questions it was asked lately, open or not.
    recent: usize,
}

/// What a text means, given the questions that are open for its phone and number, the newest
/// first.
fn sense(vault: &Vault, meaning: Meaning, open: &[&Verification], known: Known) -> Sense {
    if open.is_empty() {
        return match meaning {
            Meaning::Stop => Sense::OptOut,
            Meaning::Start => Sense::OptIn,
            Meaning::Help => Sense::Told(Kind::Help),
            Meaning::Digits(_)
            | Meaning::Yes { .. }
            | Meaning::No
            | Meaning::Fraud
            | Meaning::Unclear => Sense::Told(if known.any { Kind::Late } else { Kind::Unknown }),
        };
    }
    match meaning {
        Meaning::Stop => Sense::OptOut,
        Meaning::Start => Sense::OptIn,
        Meaning::Help => Sense::Told(Kind::Help),
        Meaning::Digits(digits) => digits_for(vault, &digits, open),
        // "Yes, 123456": the code says more than the word.
        Meaning::Yes { reference: Some(code) } if code.len() >= usize::from(SHORTEST) => {
            digits_for(vault, &code, open)
        }
        Meaning::Yes { reference } => yes_for(vault, reference.as_deref(), open, known.recent == 1),
        Meaning::No => match open {
            [one] => Sense::Answers(vec![(one.id.clone(), Says::No)]),
            _ => Sense::Told(Kind::Unclear),
        },
        // Whoever reports fraud without saying which question it is means any of them.
        Meaning::Fraud => {
            Sense::Answers(open.iter().map(|it| (it.id.clone(), Says::Fraud)).collect())
        }
        Meaning::Unclear => Sense::Told(Kind::Unclear),
    }
}

/// Which question a code answers: the one it is the code of. A code that fits none counts against
/// each of them, or asking often would buy guesses.
fn digits_for(vault: &Vault, digits: &str, open: &[&Verification]) -> Sense {
    let says = |it: &Verification| {
        let binding = Binding::of(it);
        let length = it.secret.as_ref().map_or(0, |secret| usize::from(secret.digits));
        let (code, pin) = digits.split_at_checked(length).unwrap_or((digits, ""));
        let pin = (!pin.is_empty()).then(|| vault.of_pin(binding, pin));
        (vault.of_code(binding, code), pin)
    };
    let all: Vec<_> = open.iter().map(|it| (*it, says(it))).collect();
    let answer = |it: &Verification, (code, pin): &(Digest, Option<Digest>)| {
        (it.id.clone(), Says::Code { code: code.clone(), pin: pin.clone() })
    };
    let its = all
        .iter()
        .find(|(it, (code, _))| it.secret.as_ref().is_some_and(|secret| secret.code == *code));
    Sense::Answers(match its {
        Some((it, says)) => vec![answer(it, says)],
        None => all.iter().map(|(it, says)| answer(it, says)).collect(),
    })
}

/// Which question a plain yes answers: the `only` one that was asked lately, or the one whose
/// reference it names. A yes that comes late must not answer the question after its own.
fn yes_for(vault: &Vault, reference: Option<&str>, open: &[&Verification], only: bool) -> Sense {
    let named = |it: &&&Verification| {
        it.request.yes
            && match reference {
                Some(reference) => vault.reference(Binding::of(it)) == reference,
                None => only,
            }
    };
    let fitting: Vec<_> = open.iter().filter(named).collect();
    match fitting.as_slice() {
        [one] => Sense::Answers(vec![(one.id.clone(), Says::Yes)]),
        _ => Sense::Told(Kind::Unclear),
    }
}

/// Whether a text was sent to the number that ours are sent from: the same digits, however
/// written. A name cannot be answered.
fn same_sender(sender: &str, to: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let (sender, to) = (digits(sender), digits(to));
    !sender.is_empty() && sender == to
}
