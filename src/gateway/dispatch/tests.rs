//! What a store that fails, a clock that is set back and a carrier that contradicts itself come to.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Waker};

use zeroize::Zeroizing;

use super::*;
use crate::ambient::{Clock, Entropy};
use crate::carrier::twilio::{self, Dialect, Twilio, Voice};
use crate::gateway::settings::{By, Provider, Settings, Tenant};
use crate::gateway::{AnswerOf, Answered, Asked, Turns};
use crate::store::{Between, Done, Passage, Store, StoreError, Verb};
use crate::verify::code::Vault;
use crate::verify::policy::Rules;
use crate::verify::request::{Mode, Request, Way};
use crate::verify::route::{Rule, Table};
use crate::verify::signal::Status;

const TEXT: Way = Way { channel: Channel::Sms, mode: Mode::Code };
const CALL: Way = Way { channel: Channel::Voice, mode: Mode::Confirm };

/// What stands between the gateway and its store.
#[derive(Debug, Default)]
struct Trouble {
    /// This read fails, counted from now on.
    fails: Mutex<Option<usize>>,
    /// Every claim sets this clock back.
    sets_back: Mutex<Option<Clock>>,
}

#[derive(Debug)]
struct Link(Arc<Trouble>);

impl Between for Link {
    fn before<'a>(&'a self, verb: Verb<'a>) -> Passage<'a> {
        let mut fails = self.0.fails.lock().unwrap();
        let is_read = matches!(verb, Verb::Read(_));
        let failed = is_read && *fails == Some(0);
        if is_read {
            *fails = fails.and_then(|left| left.checked_sub(1));
        }
        let error = StoreError::Failed("nobody answers".to_owned());
        Box::pin(std::future::ready(if failed { Err(error) } else { Ok(()) }))
    }

    fn after<'a>(&'a self, done: Done<'a>) -> Passage<'a> {
        if let (Done::Claim(_), Some(clock)) = (done, &*self.0.sets_back.lock().unwrap()) {
            let now = clock.now();
            clock.follow(now, now - Duration::from_secs(1), now);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A carrier whose answers are lost, and whose list is empty.
#[derive(Clone, Default)]
struct World {
    placed: Arc<Mutex<usize>>,
}

impl Hands for World {
    async fn place(&self, _: &Verification, _: AttemptNo) -> Receipt {
        *self.placed.lock().unwrap() += 1;
        Receipt::Unclear
    }

    async fn reconcile(&self, _: &Verification, _: AttemptNo) -> Receipt {
        Receipt::Refused(Cause::because(Reason::CarrierError, "there is no such call"))
    }

    async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {}

    async fn deliver(&self, _: &Delivery) -> Result<(), Failure> {
        Ok(())
    }
}

struct Site {
    gateway: Gateway,
    turns: Turns<World>,
    world: World,
    clock: Clock,
    trouble: Arc<Trouble>,
    tenant: Tenant,
}

impl Site {
    fn new() -> Self {
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let now = clock.now();
        clock.follow(now, now, now);
        let us = BTreeSet::from(["US".parse().unwrap()]);
        let rules = Rules { voice_countries: us.clone(), sms_countries: us };
        let tenant = Tenant { rules, ..Tenant::new("acme") };
        let account = twilio::Settings {
            base_url: "https://api.twilio.com".to_owned(),
            account: "AC00000000000000000000000000000000".to_owned(),
            token: Zeroizing::new("token".to_owned()),
            from: "+12025550100".to_owned(),
            messaging_service: None,
            application: None,
            dialect: Dialect::Twilio,
            machine_detection: false,
            voice: Voice::Say,
            signing_key: None,
        };
        let carrier = Provider {
            name: "cloud".to_owned(),
            sender: "+12025550100".to_owned(),
            inbound_token: None,
            by: By::Http(Arc::new(Twilio::new(account).unwrap())),
        };
        let settings = Settings {
            tenants: vec![tenant.clone()],
            routes: Table::new(vec![
                Rule::every(Channel::Sms, ["cloud"]),
                Rule::every(Channel::Voice, ["cloud", "trunk"]),
            ]),
            carriers: vec![carrier],
            ..Settings::bare()
        };
        let (trouble, world) = (Arc::<Trouble>::default(), World::default());
        let store = Store::memory().behind(Arc::new(Link(Arc::clone(&trouble))));
        let (vault, entropy) = (Vault::of("tests"), Entropy::from_number(1));
        let (gateway, turns) =
            Gateway::assemble(store, &settings, vault, clock.clone(), entropy, world.clone());
        Self { gateway, turns, world, clock, trouble, tenant }
    }

    /// It to its end, while time passes.
    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        for _ in 0..10_000 {
            let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            match polled {
                Poll::Ready(result) => return result,
                Poll::Pending => self.clock.advance(Duration::from_millis(1)),
            }
        }
        panic!("it has no end");
    }

    fn begin(&self, way: Way) -> VerificationId {
        let number = "+14155550132".parse::<PhoneNumber>().unwrap();
        let request = Request { expires_in: 60, ..Request::new(number, way) };
        let answer = AnswerOf { idempotency: None, render: |_| Vec::new() };
        let begun = self.wait(self.gateway.begin(&self.tenant, Asked::plainly(request), answer));
        let Ok(Answered::Fresh { id, .. }) = begun else { panic!("{begun:?}") };
        id
    }

    fn read(&self, id: &VerificationId) -> Verification {
        self.wait(self.gateway.read(&self.tenant, id)).unwrap().unwrap()
    }
}

#[test]
fn a_text_is_sent_whichever_read_before_it_fails() {
    for read in 0..6 {
        let mut site = Site::new();
        let _id = site.begin(TEXT);
        let job = site.turns.jobs().remove(0);
        *site.trouble.fails.lock().unwrap() = Some(read);
        site.wait(job);
        assert_eq!(*site.world.placed.lock().unwrap(), 1, "the read {read} failed");
    }
}

#[test]
fn a_deadline_is_seen_although_the_claim_has_set_the_clock_back() {
    let site = Site::new();
    let id = site.begin(TEXT);
    site.clock.advance(Duration::from_secs(60) + Duration::from_millis(1));
    *site.trouble.sets_back.lock().unwrap() = Some(site.clock.clone());
    site.wait(site.turns.claim()).unwrap();
    assert_eq!(site.read(&id).status(), Status::Expired);
}

#[test]
fn what_a_carrier_has_told_of_it_has_taken_whatever_its_list_says() {
    let attempt = AttemptNo::FIRST;
    let placed = Signal::Placed { attempt, handle: "CA1".to_owned(), node: None };
    let rings = Signal::Alerting { attempt, sip_status: None };
    for (told, attempts) in [(Some(placed), 1), (Some(rings), 1), (None, 2)] {
        let mut site = Site::new();
        let id = site.begin(CALL);
        let mut job = Box::pin(site.turns.jobs().remove(0));
        let polled = job.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "it gives the carrier's list a while");
        if let Some(told) = told.clone() {
            site.wait(site.gateway.signal(&id, told)).unwrap();
        }
        site.wait(job);
        let after = site.read(&id);
        assert_eq!(after.attempts.len(), attempts, "{told:?}");
        assert!(after.running().is_some(), "{told:?}");
    }
}
