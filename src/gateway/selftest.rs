//! Calls to numbers of our own, on every trunk that has such numbers: begun as anybody's are, by the same policy,
//! route, money and trunk, for a tenant whom nobody can ask for. What is due, and what a call says of its trunk,
//! [`Selftests`] decides.
//!
//! These calls are no customer's: they have their rows in the call records and cost what they cost, and no figure of
//! trunks, countries and ranges counts them.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::settings::{Settings, Tenant};
use super::{AnswerOf, Answered, Asked, BeginError, Gateway, Idempotency};
use crate::telemetry::{self, Event};
use crate::verify::money::Caps;
use crate::verify::policy::Rules;
use crate::verify::request::{Channel, Mode, Request, Way};
use crate::verify::selftest::{EXPIRES_SECS, Line, Outcome, Selftests, Standing, Test, tenant};

/// How often is looked whether other settings hold.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long is waited at once for a call to end; then again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A trunk that is tried.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    /// For whom its calls are.
    pub(super) tenant: Arc<Tenant>,
    /// Whom to call.
    line: Line,
}

impl Tried {
    /// All of them.
    pub(super) fn all(settings: &Settings) -> Vec<Self> {
        // What everybody may spend in a day stands against these calls, too.
        let day = settings.tenants.iter().find_map(|tenant| tenant.caps.day);
        let tried = settings.trunks.iter().filter(|trunk| !trunk.selftest.is_empty());
        tried
            .map(|trunk| {
                let countries = trunk.selftest.iter().map(|(_, number)| number.country().clone());
                let rules = Rules { voice_countries: countries.collect(), ..Rules::default() };
                let tenant = Tenant {
                    rules,
                    caps: Caps { day, ..Caps::default() },
                    join: Duration::ZERO,
                    tries: Some(trunk.name.clone()),
                    ..Tenant::new(&tenant(&trunk.name))
                };
                let line = Line { trunk: trunk.name.clone(), numbers: trunk.selftest.clone() };
                Self { tenant: Arc::new(tenant), line }
            })
            .collect()
    }
}

impl Gateway {
    /// How the trunks stand that are tried.
    #[must_use]
    pub fn selftests(&self) -> Vec<Standing> {
        self.tests().standings().cloned().collect()
    }

    fn tests(&self) -> MutexGuard<'_, Selftests> {
        self.0.selftests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries the trunks until this node is being stopped.
    pub(super) async fn try_trunks(self) {
        let mut calls = JoinSet::new();
        while !self.is_draining() {
            let (due, rest) = self.due();
            for test in due {
                let gateway = self.clone();
                calls.spawn(async move { gateway.try_trunk(&test).await });
            }
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                Some(_) = calls.join_next() => {}
                () = self.drains() => {}
            }
        }
        // A call that is up is brought to its end by whoever has it.
    }

    /// What is to be called now, and how long there is nothing more to do.
    fn due(&self) -> (Vec<Test>, Duration) {
        let (now, orders) = (self.now(), self.orders());
        let lines: Vec<_> = orders.tried.iter().map(|it| it.line.clone()).collect();
        let (gone, due, next) = {
            let mut tests = self.tests();
            let mut entropy = self.0.entropy.lock().unwrap_or_else(PoisonError::into_inner);
            let gone = tests.set(orders.tried_every, &lines);
            (gone, tests.due(now, &mut entropy), tests.deadline())
        };
        for (trunk, path) in gone {
            telemetry::observe(&Event::TriedNoMore { trunk: &trunk, path });
        }
        // A millisecond more: it must have come when it is looked at.
        let until = |at| Duration::from_millis(1) + crate::ambient::Timestamp::since(at, now);
        (due, next.map_or(LOOK_EVERY, |at| until(at).min(LOOK_EVERY)))
    }

    async fn try_trunk(&self, test: &Test) {
        let begun = self.now();
        let outcome = self.call_ourselves(test).await;
        let now = self.now();
        let (trunk, path, took) = (test.trunk.as_str(), test.path, now.since(begun));
        telemetry::observe(&Event::Tried { trunk, path, outcome: &outcome, took });
        let mut tests = self.tests();
        let every = tests.every();
        if let Some(standing) = tests.over(now, test, &outcome) {
            telemetry::observe(&Event::Standing { standing, every });
        }
    }

    /// Makes the call, unless another node has, and waits for its end.
    async fn call_ourselves(&self, test: &Test) -> Outcome {
        let unmade = |reason: String| Outcome::Unmade { reason };
        let Some(tenant) = self.tenant(&tenant(&test.trunk)) else {
            return unmade("the trunk is no longer configured".to_owned());
        };
        let way = Way { channel: Channel::Voice, mode: Mode::Confirm };
        let request = Request::new(test.number.clone(), way);
        let request = Request { expires_in: EXPIRES_SECS, ..request };
        let fingerprint = Sha256::digest(test.number.expose()).into();
        let idempotency = Some(Idempotency { key: test.name(), fingerprint });
        let answer = AnswerOf { idempotency, render: |_| Vec::new() };
        let id = match self.begin(&tenant, Asked::plainly(request), answer).await {
            Ok(
                Answered::Fresh { id, .. }
                | Answered::Replayed { id, .. }
                | Answered::Joined { id, .. },
            ) => id,
            Ok(Answered::Mismatch | Answered::Dry { .. }) => {
                return unmade("another node calls another number on this trunk".to_owned());
            }
            Err(BeginError::InCall(_)) => return Outcome::Busy,
            Err(refused) => return unmade(refused.to_string()),
        };
        loop {
            match self.wait(&tenant, &id, u64::MAX, PATIENCE).await {
                Ok(Some(settled)) if settled.verdict().is_some() => return Outcome::of(&settled),
                Ok(Some(_)) => {}
                Ok(None) => return unmade("its record is gone".to_owned()),
                Err(fault) => return unmade(fault.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::ambient::{Clock, Entropy, Timestamp};
    use crate::carrier::Receipt;
    use crate::gateway::settings::{Target, Trunk};
    use crate::gateway::{Failure, Hands};
    use crate::store::Store;
    use crate::store::record::Delivery;
    use crate::verify::Verification;
    use crate::verify::attempt::AttemptNo;
    use crate::verify::code::Vault;
    use crate::verify::selftest::Path;
    use crate::verify::signal::{Cause, Farewell, Reason};

    /// A line that is busy, and what was placed on it: by which trunk.
    #[derive(Clone, Default)]
    struct Line(Arc<Mutex<Vec<String>>>);

    impl Hands for Line {
        async fn place(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
            let attempt = verification.find(attempt).unwrap();
            self.0.lock().unwrap().push(attempt.route.clone());
            Receipt::Refused(Cause::plain(Reason::Busy))
        }

        async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {}

        async fn deliver(&self, _: &Delivery) -> Result<(), Failure> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn of_two_nodes_one_makes_the_call_and_both_learn_what_came_of_it() {
        let (store, line) = (Store::memory(), Line::default());
        let trunk = |name: &str, path: Path, number: &str| {
            let selftest = vec![(path, number.parse().unwrap())];
            Trunk { selftest, ..Trunk::new(name, Target::udp(([192, 0, 2, 1], 5060).into())) }
        };
        // The number of the second is no phone that may be called: its call is not made.
        let trunks =
            vec![trunk("a", Path::Info, "+12025550123"), trunk("b", Path::Inband, "+18005550123")];
        let settings = Settings { trunks, ..Settings::bare() };
        let node = |n: u64| {
            let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
            let vault = Vault::of("a key of tests");
            let entropy = Entropy::from_number(n);
            let line = line.clone();
            let (gateway, turns) =
                Gateway::assemble(store.clone(), &settings, vault, clock, entropy, line);
            tokio::spawn(turns.run());
            gateway
        };
        let nodes = [node(1), node(2)];
        let tried = |node: &Gateway| {
            let (node, (tests, _)) = (node.clone(), node.due());
            async move {
                for test in &tests {
                    node.try_trunk(test).await;
                }
            }
        };
        // Each path that fails is tried once more.
        for _ in 0..2 {
            tokio::join!(tried(&nodes[0]), tried(&nodes[1]));
        }
        assert_eq!(*line.0.lock().unwrap(), ["a", "a"]);
        for node in &nodes {
            let [a, b] = node.selftests().try_into().unwrap();
            assert_eq!((a.works, a.result), (Some(false), Some("unreached")));
            assert_eq!(a.reason.as_deref(), Some("busy"));
            assert_eq!((b.works, b.result), (None, Some("unmade")), "{:?}", b.reason);
            // They are nobody's: no figure has them, and no tenant.
            assert!(node.figures().via.is_empty() && node.changes(None).cards.is_empty());
        }
    }
}
