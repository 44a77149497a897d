//! A gateway whose time stands still, and a world that takes everything.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use octothorpe::ambient::{Clock, Entropy, Timestamp};
use octothorpe::carrier::Receipt;
use octothorpe::gateway::resource::render;
use octothorpe::gateway::settings::{Settings, Tenant};
use octothorpe::gateway::{
    AnswerOf, Answered, Asked, BeginError, Failure, Gateway, Hands, Idempotency, Turns,
};
use octothorpe::store::Store;
use octothorpe::store::record::Delivery;
use octothorpe::verify::attempt::AttemptNo;
use octothorpe::verify::code::Vault;
use octothorpe::verify::money::Deck;
use octothorpe::verify::policy::Rules;
use octothorpe::verify::request::{Channel, Mode, Request, Way};
use octothorpe::verify::route::{Rule, Table};
use octothorpe::verify::signal::{Cause, Farewell, Reason, Signal};
use octothorpe::verify::text::Texts;
use octothorpe::verify::{Verification, VerificationId};
use serde_json::Value;

pub(crate) const PHONE: &str = "+14155550132";
pub(crate) const CALL: Way = Way { channel: Channel::Voice, mode: Mode::Confirm };
pub(crate) const SMS: Way = Way { channel: Channel::Sms, mode: Mode::Code };

/// Takes everything, and counts the calls and the texts.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) texts: Arc<AtomicUsize>,
    pub(crate) delivered: Arc<Mutex<Vec<Delivery>>>,
    /// What becomes of an attempt, where it is not taken.
    pub(crate) refuses: Arc<Mutex<Option<Cause>>>,
}

impl Hands for World {
    async fn place(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        let count = match verification.find(attempt).unwrap().channel {
            Channel::Voice => &self.calls,
            Channel::Sms => &self.texts,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(cause) = self.refuses.lock().unwrap().clone() {
            return Receipt::Refused(cause);
        }
        Receipt::Taken(format!("{}-{attempt}", verification.id))
    }

    async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {}

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        self.delivered.lock().unwrap().push(delivery.clone());
        Ok(())
    }
}

pub(crate) struct Site {
    pub(crate) gateway: Gateway,
    turns: Turns<World>,
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) world: World,
    pub(crate) clock: Clock,
}

pub(crate) fn tenant(name: &str) -> Tenant {
    let us = BTreeSet::from(["US".parse().unwrap()]);
    let rules = Rules { voice_countries: us.clone(), sms_countries: us };
    Tenant { rules, ..Tenant::new(name) }
}

pub(crate) fn site(store: Store, tenants: Vec<Tenant>) -> Site {
    priced(store, tenants, None)
}

/// A node whose calls and texts cost that.
pub(crate) fn priced(store: Store, tenants: Vec<Tenant>, prices: Option<&str>) -> Site {
    let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
    let rule = |channel| Rule::every(channel, ["trunk"]);
    let settings = Settings {
        routes: Table::new(vec![rule(Channel::Voice), rule(Channel::Sms)]),
        tenants: tenants.clone(),
        prices: prices.map(|text| Arc::new(Deck::read("EUR", text).unwrap())),
        texts: Arc::new(Texts::compiled().unwrap()),
        ..Settings::bare()
    };
    let world = World::default();
    // Each is a node of its own.
    static NODES: AtomicUsize = AtomicUsize::new(0);
    let node = u64::try_from(NODES.fetch_add(1, Ordering::Relaxed)).unwrap();
    let (vault, entropy) = (Vault::of("a key of tests"), Entropy::from_number(node));
    let (gateway, turns) =
        Gateway::assemble(store, &settings, vault, clock.clone(), entropy, world.clone());
    Site { gateway, turns, tenants, world, clock }
}

/// The memory, and a file of this folder.
pub(crate) fn stores(dir: &Path) -> [Store; 2] {
    [Store::memory(), Store::open(dir, &Vault::of("a key of tests")).unwrap()]
}

pub(crate) fn plainly() -> AnswerOf {
    AnswerOf { idempotency: None, render }
}

pub(crate) fn keyed(key: &str) -> AnswerOf {
    let idempotency = Some(Idempotency { key: key.to_owned(), fingerprint: [7; 32] });
    AnswerOf { idempotency, render }
}

pub(crate) fn ask(way: Way, subject: &str) -> Request {
    Request { subject: Some(subject.to_owned()), ..Request::new(PHONE.parse().unwrap(), way) }
}

pub(crate) fn told(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

impl Site {
    pub(crate) async fn begin(&self, request: &Request) -> Result<Answered, BeginError> {
        let asked = Asked::plainly(request.clone());
        self.gateway.begin(&self.tenants[0], asked, plainly()).await
    }

    pub(crate) async fn fresh(&self, request: &Request) -> VerificationId {
        let begun = self.begin(request).await.unwrap();
        let Answered::Fresh { id, .. } = &begun else { panic!("{begun:?}") };
        id.clone()
    }

    /// Carries out everything that is to be done.
    pub(crate) async fn turn(&mut self) {
        self.turns.turn().await.unwrap();
    }

    pub(crate) async fn end(&self, id: &VerificationId, no: u32, reason: Reason) {
        let attempt = AttemptNo::numbered(no).unwrap();
        let cause = Cause::because(reason, "the test says so");
        self.gateway.signal(id, Signal::Ended { attempt, cause }).await.unwrap();
    }

    pub(crate) async fn read(&self, id: &VerificationId) -> Verification {
        self.gateway.read(&self.tenants[0], id).await.unwrap().unwrap()
    }
}
