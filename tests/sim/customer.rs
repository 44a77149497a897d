//! The customer: asks, asks again, takes back, reads; and holds the API to its word.

use std::collections::BTreeSet;

use octothorpe::gateway::resource::Resource;
use octothorpe::gateway::settings::{Endpoint, Tenant, WebhookSecret};
use octothorpe::gateway::{
    self, AnswerOf, Answered, BeginError, CheckError, Fault, Gateway, Idempotency,
};
use octothorpe::store::{Store, record};
use octothorpe::verify::code::{Code, Pin, Shown};
use octothorpe::verify::policy::{Refusal, Rules};
use octothorpe::verify::request::{Channel, Mode, Request, Way};
use octothorpe::verify::signal::Reason;
use octothorpe::verify::{Verification, VerificationId};
use zeroize::Zeroizing;

use crate::node::{Outcome, Work};
use crate::plan::{CALLBACK, ENDPOINTS, Person, Plan};
use crate::state::{Act, Event, State};
use crate::world::at_once;

/// A customer with a few questions.
pub(crate) struct Customer {
    pub(crate) tenant: Tenant,
    rival: Tenant,
    /// What is known of each question, once it was answered for.
    asked: Vec<Option<Asked>>,
}

struct Asked {
    id: VerificationId,
    body: Vec<u8>,
    version: u64,
    /// It was answered as the first of its kind.
    fresh: bool,
}

impl Customer {
    pub(crate) fn new(plan: &Plan) -> Self {
        let endpoint =
            |url: &&str| Endpoint::new(url, WebhookSecret::new(Zeroizing::new(vec![7; 32])));
        let tenant = Tenant {
            rules: Rules {
                voice_countries: BTreeSet::from(["US".parse().unwrap()]),
                sms_countries: BTreeSet::from(["US".parse().unwrap()]),
            },
            webhooks: ENDPOINTS.iter().take(plan.endpoints).map(endpoint).collect(),
            ..Tenant::new("acme")
        };
        let rival = Tenant { name: "rival".to_owned(), webhooks: Vec::new(), ..tenant.clone() };
        let asked = plan.people.iter().map(|_| None).collect();
        Self { tenant, rival, asked }
    }

    /// Whether every question was asked, and the answer received, or its phone reported fraud before.
    pub(crate) fn is_done(&self, state: &State) -> bool {
        let mut all = self.asked.iter().enumerate();
        all.all(|(index, asked)| asked.is_some() || state.facts.blocked.contains(&index))
    }

    /// What it asks of a gateway; `None`: there is nothing to ask about yet.
    pub(crate) fn asks(&self, gateway: &Gateway, act: Act, state: &mut State) -> Option<Work> {
        let (gateway, tenant) = (gateway.clone(), self.tenant.clone());
        let known = |index: usize| self.asked[index].as_ref().map(|asked| asked.id.clone());
        Some(match act {
            Act::Begin(index) => {
                let request = request(&state.plan.people[index]);
                Box::pin(async move {
                    let began = gateway.begin(&tenant, request, answer(index, 1)).await;
                    Outcome::answered(act, Reply::Began(began))
                })
            }
            Act::Clash(index) => {
                known(index)?;
                let request = request(&state.plan.people[index]);
                Box::pin(async move {
                    let began = gateway.begin(&tenant, request, answer(index, 2)).await;
                    Outcome::answered(act, Reply::Clashed(began))
                })
            }
            Act::Cancel(index) => {
                let id = known(index)?;
                let mut answer = answer(index, 3);
                if state.fate.permille(500) {
                    answer.idempotency = None;
                }
                Box::pin(async move {
                    let canceled = gateway.cancel(&tenant, &id, answer).await;
                    Outcome::answered(act, Reply::Canceled(canceled))
                })
            }
            Act::Type(index) => {
                let id = known(index)?;
                let (code, knows) = types(&id, index, state);
                state.tell(format!("customer types a code of {index}, knows it: {knows}"));
                let answer = AnswerOf { idempotency: None, render };
                Box::pin(async move {
                    let checked = gateway.check(&tenant, &id, &code, None, answer).await;
                    Outcome::answered(act, Reply::Checked { checked, knows })
                })
            }
            Act::Hook(hook) => state.hooked(&gateway, hook),
            Act::Read(index) => {
                let id = known(index)?;
                let since = self.asked[index].as_ref().map_or(0, |asked| asked.version);
                let rival = self.rival.clone();
                Box::pin(async move {
                    let found = gateway.read(&tenant, &id).await.map(|it| it.map(Box::new));
                    let foreign = gateway.read(&rival, &id).await.map(|it| it.map(Box::new));
                    Outcome::answered(act, Reply::Read { found, foreign, since })
                })
            }
        })
    }

    /// Takes an answer; whether it has to ask once more.
    pub(crate) fn hears(
        &mut self,
        act: Act,
        reply: Reply,
        store: &Store,
        state: &mut State,
    ) -> bool {
        let failed = reply.fault().is_some();
        if failed && state.store_failed {
            return true;
        }
        match (act, reply) {
            (Act::Begin(index), Reply::Began(began)) => self.began(index, began, store, state),
            (Act::Clash(_), Reply::Clashed(began)) => {
                if !matches!(began, Ok(Answered::Mismatch)) {
                    state.accuse(format!("another request under the same key: {}", told(&began)));
                }
            }
            (Act::Cancel(index), Reply::Canceled(canceled)) => {
                self.canceled(index, canceled, state);
            }
            (Act::Type(index), Reply::Checked { checked, knows }) => {
                self.checked(index, checked, knows, state);
            }
            (Act::Read(index), Reply::Read { found, foreign, since }) => {
                self.found(index, found, since, state);
                if !matches!(foreign, Ok(None)) {
                    state.accuse("another tenant can read a verification");
                }
            }
            (act, _) => state.accuse(format!("{act:?} was answered otherwise")),
        }
        false
    }

    /// Whether the phone that this question is for has reported another as fraud.
    fn has_reported(&self, store: &Store, index: usize, state: &State) -> bool {
        let people = &state.plan.people;
        let others =
            self.asked.iter().zip(people).filter(|(_, it)| it.number == people[index].number);
        others.filter_map(|(asked, _)| asked.as_ref()).any(|asked| {
            let stored = at_once(store.load(asked.id.as_str())).unwrap();
            let found = stored.and_then(|stored| record::decode(&stored.bytes).ok());
            let verdict = found.and_then(|found| found.verdict().cloned());
            verdict.is_some_and(|it| it.reason() == Reason::FraudReported)
        })
    }

    fn began(
        &mut self,
        index: usize,
        began: Result<Answered, BeginError>,
        store: &Store,
        state: &mut State,
    ) {
        state.tell(format!("customer began {index}: {}", told(&began)));
        let (id, body, fresh) = match began {
            Ok(Answered::Fresh { id, body, .. }) => (id, body, true),
            Ok(Answered::Replayed { id, body }) => (id, body, false),
            Ok(Answered::Mismatch | Answered::Dry { .. } | Answered::Joined { .. }) => {
                return state.accuse("the same request is no repeat of itself");
            }
            Err(BeginError::InCall(busy)) if self.asked[index].is_none() => {
                let at = state.now() + busy.wait;
                return state.at(at, Event::Act(Act::Begin(index)));
            }
            // A repeat that came while its own call was up, and before it was known.
            Err(BeginError::InCall(_)) => return,
            Err(BeginError::Refused(Refusal::Blocked(_)))
                if self.has_reported(store, index, state) =>
            {
                state.facts.blocked.insert(index);
                return;
            }
            Err(error) => return state.accuse(format!("a request was refused: {error}")),
        };
        match &mut self.asked[index] {
            Some(known) if (fresh && known.fresh) || known.id != id || known.body != body => {
                state.accuse("a repeated request was answered otherwise");
            }
            Some(known) => known.fresh |= fresh,
            None => self.asked[index] = Some(Asked { id, body, version: 1, fresh }),
        }
    }

    fn canceled(&self, index: usize, canceled: Result<Option<Answered>, Fault>, state: &mut State) {
        state.tell(format!("customer canceled {index}"));
        let body = match canceled {
            Ok(Some(Answered::Fresh { body, .. } | Answered::Replayed { body, .. })) => body,
            Ok(
                Some(Answered::Mismatch | Answered::Dry { .. } | Answered::Joined { .. }) | None,
            ) => {
                return state.accuse("a cancel found nothing");
            }
            Err(fault) => return state.accuse(format!("a cancel failed: {fault}")),
        };
        if self.is_told(index, &body, state).is_none() {
            state.accuse("a cancel left a verification pending");
        }
    }

    fn checked(
        &self,
        index: usize,
        checked: Result<Option<Answered>, CheckError>,
        knows: bool,
        state: &mut State,
    ) {
        let Some(asked) = &self.asked[index] else { return };
        match checked {
            Ok(Some(Answered::Fresh { body, .. })) => {
                let over = self.is_told(index, &body, state);
                if knows && over.is_none() {
                    state.accuse("the right code was not taken");
                }
                // What came too late was not compared.
                if !knows && over.is_none_or(|reason| reason == "too_many_checks") {
                    *state.facts.wrong_codes.entry(asked.id.clone()).or_default() += 1;
                }
            }
            Err(CheckError::Settled(..)) => {}
            Ok(_) => state.accuse("a check found nothing"),
            Err(error) => state.accuse(format!("a check failed: {error}")),
        }
    }

    fn found(
        &mut self,
        index: usize,
        found: Result<Option<Box<Verification>>, Fault>,
        since: u64,
        state: &mut State,
    ) {
        match found {
            Ok(Some(found)) if found.version >= since => {
                if let Some(asked) = &mut self.asked[index] {
                    asked.version = asked.version.max(found.version);
                }
                let _ = self.is_told(index, &render(&found), state);
            }
            Ok(Some(_)) => state.accuse("a version fell"),
            Ok(None) => state.accuse("a verification is gone"),
            Err(fault) => state.accuse(format!("a read failed: {fault}")),
        }
    }

    /// Why it ended, where a body tells a verdict; that must be the one that was told before.
    fn is_told(&self, index: usize, body: &[u8], state: &mut State) -> Option<String> {
        let asked = self.asked[index].as_ref()?;
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        let (status, reason) = (body["status"].as_str()?, body["reason"].as_str()?);
        let told = (status.to_owned(), reason.to_owned());
        let known = state.facts.verdicts.entry(asked.id.clone()).or_insert_with(|| told.clone());
        if *known != told {
            let what = format!("{} was told as {known:?} and as {told:?}", asked.id);
            state.accuse(what);
        }
        Some(reason.to_owned())
    }
}

/// What is typed: the code that was told, or a guess; and whether it is the code.
fn types(id: &VerificationId, index: usize, state: &mut State) -> (String, bool) {
    let right = state.plan.people[index].question.digits.clone();
    if state.facts.told.contains(id) {
        state.facts.typed.insert(id.clone());
        return (right, true);
    }
    let (first, rest) = right.split_at(1);
    (format!("{}{rest}", if first == "9" { "0" } else { "9" }), false)
}

/// What a gateway answers.
pub(crate) enum Reply {
    Began(Result<Answered, BeginError>),
    Clashed(Result<Answered, BeginError>),
    Canceled(Result<Option<Answered>, Fault>),
    Checked {
        checked: Result<Option<Answered>, CheckError>,
        /// It was the code that was told.
        knows: bool,
    },
    Read {
        found: Result<Option<Box<Verification>>, Fault>,
        /// What another tenant finds.
        foreign: Result<Option<Box<Verification>>, Fault>,
        /// The version that was known when it was asked.
        since: u64,
    },
}

impl Reply {
    /// A fault of the gateway's own.
    fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Began(Err(BeginError::Fault(fault)))
            | Self::Clashed(Err(BeginError::Fault(fault)))
            | Self::Canceled(Err(fault))
            | Self::Checked { checked: Err(CheckError::Fault(fault)), .. }
            | Self::Read { found: Err(fault), .. }
            | Self::Read { foreign: Err(fault), .. } => Some(fault),
            Self::Began(_)
            | Self::Clashed(_)
            | Self::Canceled(_)
            | Self::Checked { .. }
            | Self::Read { .. } => None,
        }
    }
}

/// Where the verdict of this question must go.
pub(crate) fn endpoints(plan: &Plan, person: &Person) -> Vec<&'static str> {
    if person.callback { vec![CALLBACK] } else { ENDPOINTS[..plan.endpoints].to_vec() }
}

fn request(person: &Person) -> gateway::Asked {
    let by_text = person.cloud.as_ref().is_some_and(|(_, texts)| texts.wanted);
    let channel = if by_text { Channel::Sms } else { Channel::Voice };
    let request = Request {
        expires_in: person.expires_in,
        callback_url: person.callback.then(|| CALLBACK.to_owned()),
        ..Request::new(person.number.clone(), Way { channel, mode: person.question.mode })
    };
    let plain = gateway::Asked::plainly(request);
    let digits = &person.question.digits;
    match person.question.mode {
        Mode::Pin => gateway::Asked { pin: Pin::parse(digits), ..plain },
        Mode::Match => gateway::Asked { shown: Shown::parse(digits), ..plain },
        Mode::Code => gateway::Asked { code: Code::parse(digits), ..plain },
        Mode::Confirm | Mode::Reply => plain,
    }
}

fn answer(index: usize, fingerprint: u8) -> AnswerOf {
    let key = format!("key-{index}");
    AnswerOf { idempotency: Some(Idempotency { key, fingerprint: [fingerprint; 32] }), render }
}

fn render(verification: &Verification) -> Vec<u8> {
    serde_json::to_vec(&Resource::from(verification)).unwrap()
}

fn told<E: std::fmt::Display>(answered: &Result<Answered, E>) -> String {
    match answered {
        Ok(Answered::Fresh { id, .. }) => format!("fresh {id}"),
        Ok(Answered::Replayed { id, .. }) => format!("replayed {id}"),
        Ok(Answered::Dry { .. }) => "dry".to_owned(),
        Ok(Answered::Joined { id, .. }) => format!("joined {id}"),
        Ok(Answered::Mismatch) => "mismatch".to_owned(),
        Err(error) => format!("refused: {error}"),
    }
}
