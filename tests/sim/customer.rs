//! The customer: asks, asks again, takes back, reads; and holds the API to its word.

use std::collections::BTreeSet;

use octothorpe::gateway::resource::Resource;
use octothorpe::gateway::settings::{Endpoint, Tenant, WebhookSecret};
use octothorpe::gateway::{self, AnswerOf, Answered, BeginError, CheckError, Gateway, Idempotency};
use octothorpe::verify::code::{Code, Pin, Shown};
use octothorpe::verify::policy::{Refusal, Rules};
use octothorpe::verify::request::{Channel, Mode, Request, Way};
use octothorpe::verify::signal::Reason;
use octothorpe::verify::{Verification, VerificationId};
use zeroize::Zeroizing;

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
}

impl Customer {
    pub(crate) fn new(plan: &Plan) -> Self {
        let endpoint =
            |url: &&str| Endpoint::new(url, WebhookSecret::new(Zeroizing::new(vec![7; 32])));
        let tenant = Tenant {
            rules: Rules {
                voice_countries: BTreeSet::from(["US".parse().unwrap()]),
                ..Rules::default()
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

    /// Does what it wants to; the id of a verification that there is now.
    pub(crate) fn act(
        &mut self,
        gateway: &Gateway,
        act: Act,
        state: &mut State,
    ) -> Option<VerificationId> {
        match act {
            Act::Begin(index) => self.begin(gateway, index, state),
            Act::Clash(index) => self.clash(gateway, index, state),
            Act::Cancel(index) => self.cancel(gateway, index, state),
            Act::Read(index) => self.read(gateway, index, state),
            Act::Type(index) => self.types(gateway, index, state),
        }
        let index = match act {
            Act::Begin(index)
            | Act::Clash(index)
            | Act::Cancel(index)
            | Act::Read(index)
            | Act::Type(index) => index,
        };
        self.asked[index].as_ref().map(|asked| asked.id.clone())
    }

    /// The node died before its answer was out: the customer knows nothing.
    pub(crate) fn heard_nothing(&mut self, act: Act) {
        if let Act::Begin(index) = act {
            self.asked[index] = None;
        }
    }

    /// Whether the phone that this question is for has reported another as fraud.
    fn has_reported(&self, gateway: &Gateway, index: usize, state: &State) -> bool {
        let people = &state.plan.people;
        let others =
            self.asked.iter().zip(people).filter(|(_, it)| it.number == people[index].number);
        others.filter_map(|(asked, _)| asked.as_ref()).any(|asked| {
            let found = at_once(gateway.read(&self.tenant, &asked.id));
            let verdict = found.ok().flatten().and_then(|found| found.verdict().cloned());
            verdict.is_some_and(|it| it.reason() == Reason::FraudReported)
        })
    }

    fn begin(&mut self, gateway: &Gateway, index: usize, state: &mut State) {
        let request = request(&state.plan.people[index]);
        let began = at_once(gateway.begin(&self.tenant, request, answer(index, 1)));
        state.tell(format!("customer begins {index}: {}", told(&began)));
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
            Err(BeginError::Refused(Refusal::Blocked(_)))
                if self.has_reported(gateway, index, state) =>
            {
                state.facts.blocked.insert(index);
                return;
            }
            Err(error) => return state.accuse(format!("a request was refused: {error}")),
        };
        match &self.asked[index] {
            Some(known) if fresh || known.id != id || known.body != body => {
                state.accuse("a repeated request was answered otherwise");
            }
            Some(_) => {}
            None => self.asked[index] = Some(Asked { id, body, version: 1 }),
        }
    }

    fn clash(&self, gateway: &Gateway, index: usize, state: &mut State) {
        if self.asked[index].is_none() {
            return;
        }
        let request = request(&state.plan.people[index]);
        let began = at_once(gateway.begin(&self.tenant, request, answer(index, 2)));
        if !matches!(began, Ok(Answered::Mismatch)) {
            state.accuse(format!("another request under the same key: {}", told(&began)));
        }
    }

    fn cancel(&self, gateway: &Gateway, index: usize, state: &mut State) {
        let Some(asked) = &self.asked[index] else { return };
        let mut answer = answer(index, 3);
        if state.fate.permille(500) {
            answer.idempotency = None;
        }
        let canceled = at_once(gateway.cancel(&self.tenant, &asked.id, answer));
        state.tell(format!("customer cancels {index}"));
        let body = match canceled {
            Ok(Some(Answered::Fresh { body, .. } | Answered::Replayed { body, .. })) => body,
            Ok(
                Some(Answered::Mismatch | Answered::Dry { .. } | Answered::Joined { .. }) | None,
            ) => {
                return state.accuse("a cancel found nothing");
            }
            Err(fault) => return state.accuse(format!("a cancel failed: {fault}")),
        };
        let body = String::from_utf8(body).unwrap();
        if body.contains("\"status\":\"pending\"") {
            state.accuse("a cancel left a verification pending");
        }
    }

    /// Types the code that was told, or guesses.
    fn types(&self, gateway: &Gateway, index: usize, state: &mut State) {
        let Some(asked) = &self.asked[index] else { return };
        let right = state.plan.people[index].question.digits.clone();
        let knows = state.facts.told.contains(&asked.id);
        let code = if knows {
            state.facts.typed.insert(asked.id.clone());
            right
        } else {
            right.chars().rev().map(|digit| if digit == '9' { '0' } else { '9' }).collect()
        };
        let answer = AnswerOf { idempotency: None, render };
        let checked = at_once(gateway.check(&self.tenant, &asked.id, &code, None, answer));
        state.tell(format!("customer types a code of {index}, knows it: {knows}"));
        match checked {
            Ok(Some(_)) | Err(CheckError::Settled(..)) => {}
            Ok(None) => state.accuse("a check found nothing"),
            Err(error) => state.accuse(format!("a check failed: {error}")),
        }
    }

    fn read(&mut self, gateway: &Gateway, index: usize, state: &mut State) {
        let Some(asked) = &mut self.asked[index] else { return };
        match at_once(gateway.read(&self.tenant, &asked.id)) {
            Ok(Some(found)) if found.version >= asked.version => asked.version = found.version,
            Ok(Some(_)) => state.accuse("a version fell"),
            Ok(None) => state.accuse("a verification is gone"),
            Err(fault) => state.accuse(format!("a read failed: {fault}")),
        }
        if !matches!(at_once(gateway.read(&self.rival, &asked.id)), Ok(None)) {
            state.accuse("another tenant can read a verification");
        }
    }
}

/// Where the verdict of this question must go.
pub(crate) fn endpoints(plan: &Plan, person: &Person) -> Vec<&'static str> {
    if person.callback { vec![CALLBACK] } else { ENDPOINTS[..plan.endpoints].to_vec() }
}

fn request(person: &Person) -> gateway::Asked {
    let request = Request {
        expires_in: person.expires_in,
        callback_url: person.callback.then(|| CALLBACK.to_owned()),
        ..Request::new(
            person.number.clone(),
            Way { channel: Channel::Voice, mode: person.question.mode },
        )
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
