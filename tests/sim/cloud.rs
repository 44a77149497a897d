//! The simulated provider: it calls and writes as it is ordered to, and tells of it by hooks, which are
//! lost, repeated, held up and overtaken, and which others forge. It speaks Twilio's language, written
//! apart from the gateway's adapter but for the signature; and it keeps the truth: what was ordered how
//! often, and which keys were pressed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use octothorpe::ambient::Timestamp;
use octothorpe::carrier::signature::{Hash, twilio_signature};
use octothorpe::carrier::wire::{HttpAnswer, HttpRequest};
use octothorpe::gateway::Gateway;
use octothorpe::gateway::hooks::{self, Address, HookError};
use octothorpe::verify::VerificationId;
use octothorpe::verify::attempt::AttemptNo;
use serde_json::{Value, json};

use crate::account::{BASE, TOKEN};
use crate::dice::Dice;
use crate::node::{Outcome, Work};
use crate::plan::{Answer, Manner, Peer, Texts};
use crate::state::{Act, Event, State, Try};

/// How long it waits to be told what to say.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a question is spoken, and how long is waited for a key behind it.
const SPEAKS: Duration = Duration::from_secs(4);
const LISTENS: Duration = Duration::from_secs(10);

/// How long it takes to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// A pound key this soon after a zero reports fraud, whatever stood between.
const ZERO_HOLDS: Duration = Duration::from_secs(5);

/// When a hook is sent again that was not answered, and how often.
const AGAIN: Duration = Duration::from_secs(2);
const TRIES: u32 = 3;

/// The provider, and what it remembers.
pub(crate) struct Cloud {
    dice: Dice,
    calls: Vec<Call>,
    texts: Vec<Text>,
    hooks: Vec<Hook>,
    /// How often each attempt was ordered, and taken.
    orders: BTreeMap<Try, u32>,
}

/// Something of it that comes due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    Call(usize),
    Text(usize),
}

/// What becomes of a request to it.
pub(crate) enum Sent {
    Answered(u16, Vec<u8>),
    /// It surely never came there.
    Unsent,
    /// No answer came.
    Lost,
}

struct Call {
    sid: String,
    of: Try,
    number: String,
    created: Timestamp,
    /// Where to ask what is to be said, and where to tell how it goes.
    voice: String,
    status: String,
    /// How long it may ring, and how long it may last from its answer.
    ring: Duration,
    limit: Duration,
    manner: Manner,
    stage: Stage,
    keys: VecDeque<(Timestamp, char)>,
    /// What was pressed and is not passed on yet, and whether it means yes.
    pressed: VecDeque<(char, bool)>,
    zero: Option<Timestamp>,
    /// The names of the events in which a yes was passed on.
    yes: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum Stage {
    Queued,
    Ringing,
    Up(Timestamp, Doing),
    Over,
}

#[derive(Clone, Debug)]
enum Doing {
    /// It waits for the answer to this hook.
    Asks(usize, Timestamp),
    /// It speaks and listens, until then, and asks here how to go on.
    Listens(String, Timestamp),
    /// It says goodbye.
    Leaves(Timestamp),
}

struct Text {
    sid: String,
    of: Try,
    number: String,
    body: String,
    created: Timestamp,
    receipt: String,
    arrives: Option<Timestamp>,
}

struct Hook {
    url: String,
    body: String,
    signature: Option<String>,
    /// The call that waits for its answer.
    asks: Option<usize>,
    forged: bool,
    tries: u32,
    /// What was answered first.
    answer: Option<HttpAnswer>,
}

impl Cloud {
    pub(crate) fn new(seed: u64) -> Self {
        let dice = Dice::new(seed, 13);
        let (calls, texts, hooks) = (Vec::new(), Vec::new(), Vec::new());
        Self { dice, calls, texts, hooks, orders: BTreeMap::new() }
    }

    /// The calls that ring or are up.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Try> {
        self.calls.iter().filter(|call| !matches!(call.stage, Stage::Over)).map(|call| &call.of)
    }

    /// Whether a person said yes in this event of a call of this attempt.
    pub(crate) fn has_said_yes(&self, of: &Try, event: &str) -> bool {
        self.calls.iter().any(|call| call.of == *of && call.yes.contains(event))
    }

    /// The list of what it has for a number.
    fn list(&self, name: &str, to: &str) -> Value {
        let item = |sid: &str, created: Timestamp| {
            let created = Timestamp::from_secs(created.as_secs()).to_rfc3339();
            json!({ "sid": sid, "to": to, "direction": "outbound-api", "date_created": created })
        };
        let calls = self.calls.iter().filter(|it| it.number == to && name == "calls");
        let calls = calls.map(|it| item(&it.sid, it.created));
        let texts = self.texts.iter().filter(|it| it.number == to && name == "messages");
        let texts = texts.map(|it| {
            let mut item = item(&it.sid, it.created);
            item["body"] = it.body.clone().into();
            item
        });
        let all: Vec<Value> = calls.chain(texts).collect();
        json!({ name: all, "next_page_uri": null })
    }
}

impl Call {
    /// When something happens by itself.
    fn due(&self) -> Option<Timestamp> {
        let since = |after: Duration| self.created + after;
        let decided = match self.manner.answer {
            Answer::After(after) | Answer::Refuse(after, _) if !self.manner.deaf => {
                since(after.min(self.ring))
            }
            Answer::After(_) | Answer::Refuse(..) | Answer::Never => since(self.ring),
        };
        match &self.stage {
            Stage::Queued if self.manner.deaf => Some(decided),
            Stage::Queued => Some(decided.min(since(self.manner.ring.unwrap_or_default()))),
            Stage::Ringing => Some(decided),
            Stage::Up(answered, doing) => {
                let doing = match doing {
                    Doing::Asks(_, at) | Doing::Listens(_, at) | Doing::Leaves(at) => *at,
                };
                let end = *answered + self.manner.hang_up.unwrap_or(self.limit).min(self.limit);
                let key = self.keys.front().map(|(at, _)| *at);
                Some(key.map_or(end, |at| at.min(end)).min(doing))
            }
            Stage::Over => None,
        }
    }

    /// How a call that was not answered ends at last, in the provider's words; `None`: it is answered.
    fn refusal(&self) -> Option<(&'static str, Option<u16>)> {
        match self.manner.answer {
            _ if self.manner.deaf => Some(("failed", None)),
            Answer::After(after) if after <= self.ring => None,
            Answer::Refuse(after, status) if after <= self.ring => Some(match status {
                486 | 600 | 603 => ("busy", Some(status)),
                480 | 408 => ("no-answer", Some(status)),
                _ => ("failed", Some(status)),
            }),
            Answer::After(_) | Answer::Refuse(..) | Answer::Never => Some(("no-answer", None)),
        }
    }

    fn press(&mut self, now: Timestamp, key: char) {
        let reports = self.zero.is_some_and(|zero| now.since(zero) < ZERO_HOLDS);
        if key == '0' {
            self.zero = Some(now);
        }
        self.pressed.push_back((key, key == '#' && !reports));
    }
}

impl State {
    /// A node makes a request of the provider.
    pub(crate) fn asks_cloud(&mut self, at: usize, request: &HttpRequest) -> Sent {
        let Some(plan) = self.plan.cloud.clone() else { return Sent::Unsent };
        let unsent = self.cloud.dice.permille(plan.unsent);
        if self.is_cut(at, Peer::Cloud, false) || unsent {
            self.tell(format!("node {at} cannot reach the provider"));
            return Sent::Unsent;
        }
        let unclear = self.cloud.dice.permille(plan.unclear);
        if unclear && self.cloud.dice.permille(400) {
            self.tell(format!("a request of node {at} gets lost"));
            return Sent::Lost;
        }
        let begins = request.method == "POST" && !request.url.contains("/Calls/");
        if begins && self.cloud.dice.permille(plan.refuses) {
            return Sent::Answered(400, br#"{"code":21210,"message":"no"}"#.to_vec());
        }
        let answer = self.cloud_does(request);
        if unclear || self.is_cut(at, Peer::Cloud, true) {
            self.tell(format!("the provider's answer to node {at} is lost"));
            let fault = self.cloud.dice.permille(300);
            return if fault { Sent::Answered(502, Vec::new()) } else { Sent::Lost };
        }
        Sent::Answered(200, answer.to_string().into_bytes())
    }

    fn cloud_does(&mut self, request: &HttpRequest) -> Value {
        let (path, query) = request.url.split_once('?').unwrap_or((&request.url, ""));
        let name = if path.ends_with("/Messages.json") { "messages" } else { "calls" };
        if request.method == "GET" {
            self.tell(format!("the provider's {name} are looked at"));
            return self.cloud.list(name, &field(query.as_bytes(), "To"));
        }
        if let Some((_, sid)) = path.split_once("/Calls/") {
            let sid = sid.trim_end_matches(".json");
            let found = self.cloud.calls.iter().position(|call| call.sid == sid);
            match found {
                Some(index) => self.cloud_ends(index, "completed", None),
                None => {
                    self.accuse("the end was ordered of a call that the provider does not know")
                }
            }
            return json!({});
        }
        match name {
            "messages" => self.cloud_writes(&request.body),
            _ => self.cloud_calls(&request.body),
        }
    }

    /// Takes the order of an attempt: one at most of each.
    fn taken(&mut self, hooks: &str) -> Option<Try> {
        let of = hooks.strip_prefix(BASE).and_then(|path| path.split('/').nth(3)).and_then(tried);
        let Some(of) = of else {
            self.accuse("an order is of no attempt");
            return None;
        };
        let orders = self.cloud.orders.entry(of.clone()).or_default();
        *orders += 1;
        if *orders > 1 {
            self.accuse(format!("attempt {} of {} was ordered twice", of.1, of.0));
        }
        Some(of)
    }

    /// How the phone of this number takes what the provider brings.
    fn manner(&mut self, number: &str) -> Option<(Manner, Texts)> {
        let found = self.plan.people.iter().find(|person| person.number.expose() == number);
        let manner = found.and_then(|person| person.cloud.clone());
        if manner.is_none() {
            self.accuse("the provider was to reach a number that nobody asked for");
        }
        manner
    }

    fn cloud_calls(&mut self, form: &[u8]) -> Value {
        let (voice, number) = (field(form, "Url"), field(form, "To"));
        let (Some(of), Some((manner, _))) = (self.taken(&voice), self.manner(&number)) else {
            return json!({});
        };
        let seconds = |name| Duration::from_secs(field(form, name).parse().unwrap());
        let index = self.cloud.calls.len();
        let sid = format!("CA{index:032x}");
        self.tell(format!("the provider calls {} of {} as call {index}", of.1, of.0));
        let call = Call {
            sid: sid.clone(),
            of,
            number,
            created: self.now(),
            voice: voice.clone(),
            status: field(form, "StatusCallback"),
            ring: seconds("Timeout"),
            limit: seconds("TimeLimit"),
            manner,
            stage: Stage::Queued,
            keys: VecDeque::new(),
            pressed: VecDeque::new(),
            zero: None,
            yes: BTreeSet::new(),
        };
        self.cloud.calls.push(call);
        self.tells_of(index, "initiated", None);
        self.forge(&voice, &sid);
        self.cloud_looks(index);
        json!({ "sid": sid, "status": "queued" })
    }

    fn cloud_writes(&mut self, form: &[u8]) -> Value {
        let (receipt, number) = (field(form, "StatusCallback"), field(form, "To"));
        let (Some(of), Some((_, texts))) = (self.taken(&receipt), self.manner(&number)) else {
            return json!({});
        };
        let index = self.cloud.texts.len();
        let sid = format!("SM{index:032x}");
        self.tell(format!("the provider writes {} of {} as text {index}", of.1, of.0));
        let created = self.now();
        let arrives = texts.arrives.map(|after| created + after);
        let body = field(form, "Body");
        self.forge(&receipt, &sid);
        let text = Text { sid: sid.clone(), of, number, body, created, receipt, arrives };
        self.cloud.texts.push(text);
        self.tells_of_text(index, "sent");
        let due = arrives.unwrap_or(created + Duration::from_secs(20));
        self.at(due, Event::Cloud(Due::Text(index)));
        json!({ "sid": sid, "status": "queued" })
    }

    /// Does what is due at the provider.
    pub(crate) fn cloud_lapses(&mut self, due: Due) {
        match due {
            Due::Text(index) => {
                let Text { of, arrives, .. } = &self.cloud.texts[index];
                let (of, arrives) = (of.0.clone(), arrives.is_some());
                if arrives {
                    self.tell(format!("text {index} is on the phone"));
                    self.facts.told.insert(of);
                }
                self.tells_of_text(index, if arrives { "delivered" } else { "undelivered" });
            }
            Due::Call(index) => {
                let now = self.now();
                while self.cloud.calls[index].due().is_some_and(|at| at <= now) {
                    self.call_lapses(index);
                }
                self.cloud_looks(index);
            }
        }
    }

    /// A call is looked at again when something is due in it.
    fn cloud_looks(&mut self, index: usize) {
        if let Some(at) = self.cloud.calls[index].due() {
            let at = at.max(self.now());
            self.at(at, Event::Cloud(Due::Call(index)));
        }
    }

    fn call_lapses(&mut self, index: usize) {
        let now = self.now();
        let call = &mut self.cloud.calls[index];
        let rings = call.created + call.manner.ring.unwrap_or_default();
        match call.stage.clone() {
            Stage::Queued if !call.manner.deaf && now >= rings => {
                call.stage = Stage::Ringing;
                self.tells_of(index, "ringing", None);
            }
            Stage::Queued | Stage::Ringing => match call.refusal() {
                Some((word, status)) => self.cloud_ends(index, word, status),
                None => self.is_answered(index),
            },
            Stage::Up(answered, doing) => {
                let limit = call.manner.hang_up.unwrap_or(call.limit).min(call.limit);
                if now >= answered + limit {
                    return self.cloud_ends(index, "completed", None);
                }
                if let Some((_, key)) = call.keys.pop_front_if(|(at, _)| *at <= now) {
                    call.press(now, key);
                    self.tell(format!("call {index}: {key} is pressed at the provider"));
                    return self.passes_on(index);
                }
                match doing {
                    Doing::Listens(action, _) => self.asks(index, &action, ""),
                    Doing::Asks(..) | Doing::Leaves(_) => self.cloud_ends(index, "completed", None),
                }
            }
            Stage::Over => {}
        }
    }

    fn is_answered(&mut self, index: usize) {
        let now = self.now();
        let call = &mut self.cloud.calls[index];
        call.keys =
            call.manner.keys.iter().map(|(after, key)| (now + *after, key.expose())).collect();
        call.stage = Stage::Up(now, Doing::Leaves(now + PATIENCE));
        let voice = call.voice.clone();
        self.tells_of(index, "in-progress", None);
        self.asks(index, &voice, "");
    }

    /// Passes a key on, where one is waited for.
    fn passes_on(&mut self, index: usize) {
        let call = &mut self.cloud.calls[index];
        let Stage::Up(_, Doing::Listens(action, _)) = &call.stage else { return };
        let Some((key, means_yes)) = call.pressed.pop_front() else { return };
        let action = action.clone();
        if means_yes {
            let (_, state) = action.split_once("s=").unwrap_or_default();
            call.yes.insert(format!("{}:{state}", call.sid));
        }
        self.asks(index, &action, &key.to_string());
    }

    /// Asks what is to be said next.
    fn asks(&mut self, index: usize, url: &str, digits: &str) {
        let until = self.now() + PATIENCE;
        let sid = self.cloud.calls[index].sid.clone();
        let params = [("CallSid", sid.as_str()), ("CallStatus", "in-progress"), ("Digits", digits)];
        let hook = self.hook(url, &params, Some(index));
        if let Stage::Up(_, doing) = &mut self.cloud.calls[index].stage {
            *doing = Doing::Asks(hook, until);
        }
    }

    /// The call is over.
    fn cloud_ends(&mut self, index: usize, word: &str, status: Option<u16>) {
        let call = &mut self.cloud.calls[index];
        if !matches!(call.stage, Stage::Over) {
            call.stage = Stage::Over;
            self.tell(format!("call {index} is over: {word}"));
            self.tells_of(index, word, status);
        }
    }

    /// Tells how a call goes.
    fn tells_of(&mut self, index: usize, word: &str, status: Option<u16>) {
        let call = &self.cloud.calls[index];
        let (sid, url) = (call.sid.clone(), call.status.clone());
        let code = status.map(|code| code.to_string()).unwrap_or_default();
        let mut params = vec![("CallSid", sid.as_str()), ("CallStatus", word)];
        if status.is_some() {
            params.push(("SipResponseCode", &code));
        }
        self.hook(&url, &params, None);
    }

    /// Tells how a text goes.
    fn tells_of_text(&mut self, index: usize, word: &str) {
        let Text { sid, receipt, .. } = &self.cloud.texts[index];
        let (sid, receipt) = (sid.clone(), receipt.clone());
        let mut params = vec![("MessageSid", sid.as_str()), ("MessageStatus", word)];
        if word == "undelivered" {
            params.push(("ErrorCode", "30003"));
        }
        self.hook(&receipt, &params, None);
    }

    /// Sends a hook, or loses it, sends it again, and lets others overtake it.
    fn hook(&mut self, url: &str, params: &[(&str, &str)], asks: Option<usize>) -> usize {
        let plan = self.plan.cloud.clone().unwrap();
        let signature = Some(signed(url, params));
        let (hook, now) = (self.keep(url, params, signature, asks, false), self.now());
        let dice = &mut self.cloud.dice;
        let mut at = now + dice.millis(5, 200);
        if asks.is_none() {
            if dice.permille(plan.lost) {
                self.tell(format!("hook {hook} is lost"));
                return hook;
            }
            if dice.permille(plan.held) {
                let most = dice.pick(&[3_000, 3_000, 60_000]);
                at += dice.millis(0, most);
            }
        }
        let again = dice.permille(plan.repeated).then(|| {
            let most = dice.pick(&[300, 5_000, 200_000]);
            at + dice.millis(0, most)
        });
        for at in [Some(at), again].into_iter().flatten() {
            self.at(at, Event::Act(Act::Hook(hook)));
        }
        hook
    }

    fn keep(
        &mut self,
        url: &str,
        params: &[(&str, &str)],
        signature: Option<String>,
        asks: Option<usize>,
        forged: bool,
    ) -> usize {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(params);
        let (url, body) = (url.to_owned(), body.finish());
        self.cloud.hooks.push(Hook { url, body, signature, asks, forged, tries: 1, answer: None });
        self.cloud.hooks.len() - 1
    }

    /// Others send hooks about what the provider was ordered at this address.
    fn forge(&mut self, address: &str, sid: &str) {
        let chance = self.plan.cloud.as_ref().map_or(0, |plan| plan.forged);
        if !self.cloud.dice.permille(chance) {
            return;
        }
        let (hooks, _) = address.rsplit_once('/').unwrap();
        let keys = format!("{hooks}/keys?s=r1w0z0");
        let yes = [("CallSid", sid), ("CallStatus", "in-progress"), ("Digits", "#")];
        let over = [("CallSid", sid), ("CallStatus", "failed")];
        let failed = [("MessageSid", sid), ("MessageStatus", "undelivered")];
        let (status, receipt) = (format!("{hooks}/status"), format!("{hooks}/receipt"));
        for _ in 0..self.cloud.dice.number(1, 8) {
            let (url, params, signature) = match self.cloud.dice.index(6) {
                0 => (keys.clone(), &yes[..], None),
                1 => (keys.clone(), &yes[..], Some(signed(address, &yes))),
                2 => (keys.clone(), &yes[..], Some(signed(&keys, &yes[..2]))),
                // Whoever has the account's token does not know the address.
                3 => {
                    let url = another(&keys);
                    let signature = signed(&url, &yes);
                    (url, &yes[..], Some(signature))
                }
                4 => (status.clone(), &over[..], Some("bm9uc2Vuc2U=".to_owned())),
                _ => (receipt.clone(), &failed[..], None),
            };
            let hook = self.keep(&url, params, signature, None, true);
            let at = self.now() + self.cloud.dice.millis(0, 60_000);
            self.at(at, Event::Act(Act::Hook(hook)));
        }
    }

    /// What the gateway has to do about a hook.
    pub(crate) fn hooked(&self, gateway: &Gateway, hook: usize) -> Work {
        let gateway = gateway.clone();
        let Hook { url, body, signature, .. } = &self.cloud.hooks[hook];
        let (url, body) = (url.clone(), body.clone());
        let headers = signature.clone().map(|it| ("x-twilio-signature".to_owned(), it));
        let headers: Vec<_> = headers.into_iter().collect();
        Box::pin(async move {
            let rest = url.strip_prefix(BASE).unwrap_or_default();
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            let mut parts = path.split('/').skip(2);
            let mut part = || parts.next().unwrap_or_default();
            let (carrier, attempt, token, part) = (part(), part(), part(), part());
            let about = Address::Attempt { attempt, token, part: Some(part) };
            let (headers, body) = (headers.as_slice(), body.as_bytes());
            let call = hooks::Call { carrier, about, path, query, headers, body };
            Outcome::Hooked(hook, gateway.hook(call).await)
        })
    }

    /// A hook was answered.
    pub(crate) fn hook_answered(&mut self, hook: usize, answer: Result<HttpAnswer, HookError>) {
        let forged = self.cloud.hooks[hook].forged;
        match answer {
            Ok(_) if forged => self.accuse("a forged hook was believed"),
            Err(HookError::Forged | HookError::Unknown) if forged => {
                self.tell(format!("forged hook {hook} is refused"));
            }
            Ok(answer) => self.is_told(hook, answer),
            Err(HookError::Fault(_)) if self.store_failed => self.hook_unanswered(hook),
            Err(error) => self.accuse(format!("hook {hook} was not taken: {error}")),
        }
    }

    fn is_told(&mut self, hook: usize, answer: HttpAnswer) {
        let now = self.now();
        self.tell(format!("hook {hook} is answered with {}", answer.status));
        let it = &mut self.cloud.hooks[hook];
        let asks = it.asks.filter(|_| it.answer.is_none());
        let first = it.answer.get_or_insert_with(|| answer.clone());
        let differs = *first != answer;
        if differs {
            self.tell(format!("hook {hook} was answered otherwise before"));
        }
        let Some(index) = asks else { return };
        let call = &mut self.cloud.calls[index];
        let Stage::Up(_, doing @ Doing::Asks(..)) = &mut call.stage else { return };
        if !matches!(doing, Doing::Asks(asked, _) if *asked == hook) {
            return;
        }
        let action = answer.body.split_once("action=\"").and_then(|(_, rest)| rest.split_once('"'));
        *doing = match action {
            Some((action, rest)) => {
                let speaks = if rest.contains("<Say") { SPEAKS } else { Duration::ZERO };
                Doing::Listens(action.replace("&amp;", "&"), now + speaks + LISTENS)
            }
            None => Doing::Leaves(now + GOODBYE),
        };
        self.passes_on(index);
        self.cloud_looks(index);
    }

    /// Nobody was there, or whoever was had a fault.
    pub(crate) fn hook_unanswered(&mut self, hook: usize) {
        let now = self.now();
        let it = &mut self.cloud.hooks[hook];
        it.tries += 1;
        let again = it.tries <= TRIES && !it.forged;
        self.tell(format!("hook {hook} is not answered"));
        if again {
            self.at(now + AGAIN, Event::Act(Act::Hook(hook)));
        }
    }
}

/// Which attempt this is our name of.
fn tried(name: &str) -> Option<Try> {
    let (id, no) = name.rsplit_once('-')?;
    Some((VerificationId::parse(id)?, AttemptNo::numbered(no.parse().ok()?)?))
}

/// The same address but for its token.
fn another(url: &str) -> String {
    let mut parts: Vec<&str> = url.split('/').collect();
    let token = parts.len() - 2;
    parts[token] = "AAAAAAAAAAAAAAAAAAAAAAAA";
    parts.join("/")
}

fn signed(url: &str, params: &[(&str, &str)]) -> String {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let params: Vec<(String, String)> = params.iter().map(owned).collect();
    twilio_signature(Hash::Sha1, TOKEN.as_bytes(), url, &params)
}

fn field(form: &[u8], name: &str) -> String {
    let mut pairs = form_urlencoded::parse(form);
    pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}
