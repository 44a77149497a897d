//! Calls to numbers of our own, on every trunk that has such numbers: begun as anybody's are, by the same policy,
//! route, money and trunk, for a tenant whom nobody can ask for. What is due, and what a call says of its trunk,
//! [`Selftests`](crate::verify::selftest::Selftests) decides.
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
