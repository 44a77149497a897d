//! What attempts are carried out by, as it holds now; and what a carrier is told about one: the order,
//! the text, the address it reports to.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::selftest::Tried;
use super::settings::{Provider, Settings, Tenant, Trunk};
use super::smsc::Smsc;
use crate::access::operator::Operator;
use crate::ambient::Timestamp;
use crate::carrier::{Ask, Body, Carrier, Order, Scene, What};
use crate::media::prompt::Prompts;
use crate::verify::attempt::{Attempt, AttemptNo, AttemptState};
use crate::verify::code::{Binding, Vault};
use crate::verify::money::Deck;
use crate::verify::request::{Channel, Mode};
use crate::verify::route::Table;
use crate::verify::signal::{Cause, Reason};
use crate::verify::text::{Fill, Kind, Texts};
use crate::verify::{Verification, VerificationId};

/// The most segments of a text: more is a mistake that costs money.
pub(super) const SEGMENTS_MOST: usize = 10;

/// What holds now; a reload puts another in its place, whole. Cheap to clone; every clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Present(Arc<RwLock<Arc<Orders>>>);

impl Present {
    /// These, for a start.
    pub(super) fn new(orders: Orders) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(orders))))
    }

    /// What holds now. It goes on holding for whoever has it.
    pub(super) fn get(&self) -> Arc<Orders> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Others from now on.
    pub(super) fn set(&self, orders: Orders) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(orders);
    }
}

/// Everything that attempts are carried out by, and that may change while the gateway runs.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    /// SIP peers.
    pub(super) trunks: Vec<Trunk>,
    /// Which numbers go which way.
    pub(super) routes: Table,
    /// The address that trunks reach this machine by, where it is not the machine's own.
    pub(super) advertise: Option<IpAddr>,
    /// The most calls that one media thread is given.
    pub(super) calls_per_engine: usize,
    /// The sessions of carriers that speak SMPP, by name.
    pub(super) smscs: HashMap<String, Smsc>,
    /// The carriers.
    pub(super) carriers: Vec<Provider>,
    /// Where they call back; without a slash at its end.
    pub(super) public_url: Option<String>,
    /// Codes, and the tokens of addresses.
    pub(super) vault: Vault,
    /// What calls and texts cost.
    pub(super) prices: Option<Arc<Deck>>,
    /// What texts say.
    pub(super) texts: Arc<Texts>,
    /// What calls of our own say.
    pub(super) prompts: Arc<Prompts>,
    /// Whose texts they are.
    pub(super) tenants: Vec<Arc<Tenant>>,
    /// The trunks that are tried, and for whom each is.
    pub(super) tried: Vec<Tried>,
    /// How often.
    pub(super) tried_every: Duration,
    /// Who may log in.
    pub(super) operators: Arc<[Arc<Operator>]>,
    /// How long a phone may ring.
    pub(super) ring: Duration,
    /// How long a call may last from its answer.
    pub(super) limit: Duration,
}

/// An order with everything that it borrows.
pub(super) struct Written {
    id: String,
    hooks: String,
    body: Option<Body>,
    valid: Duration,
    since: Timestamp,
}

impl Written {
    /// The text, where it is one.
    pub(super) const fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }

    /// How long it is worth delivering.
    pub(super) const fn valid(&self) -> Duration {
        self.valid
    }
}

impl Orders {
    /// What these settings say.
    pub(super) fn new(settings: &Settings, vault: Vault, smscs: HashMap<String, Smsc>) -> Self {
        Self {
            trunks: settings.trunks.clone(),
            routes: settings.routes.clone(),
            advertise: settings.advertise,
            calls_per_engine: settings.calls_per_engine,
            smscs,
            carriers: settings.carriers.clone(),
            public_url: settings.public_url.clone(),
            vault,
            prices: settings.prices.clone(),
            texts: Arc::clone(&settings.texts),
            prompts: Arc::clone(&settings.prompts),
            tenants: settings.tenants.iter().cloned().map(Arc::new).collect(),
            tried: Tried::all(settings),
            tried_every: settings.selftest_every,
            operators: Arc::clone(&settings.operators),
            ring: settings.ring_timeout,
            limit: settings.call_limit,
        }
    }

    /// The carrier of this name.
    pub(super) fn carrier(&self, name: &str) -> Option<&Provider> {
        self.carriers.iter().find(|carrier| carrier.name == name)
    }

    /// The tenants that anybody may ask for.
    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.iter().filter(|tenant| !tenant.leaving)
    }

    /// The tenant of this name.
    pub(super) fn tenant(&self, name: &str) -> Option<&Arc<Tenant>> {
        let tried = self.tried.iter().map(|it| &it.tenant);
        self.tenants.iter().chain(tried).find(|tenant| tenant.name == name)
    }

    /// Our name for an attempt, as carriers see it.
    pub(super) fn name_of(id: &VerificationId, attempt: AttemptNo) -> String {
        format!("{id}-{attempt}")
    }

    /// The attempt of a name that [`name_of`](Self::name_of) gave.
    pub(super) fn attempt_of(name: &str) -> Option<(VerificationId, AttemptNo)> {
        let (id, no) = name.rsplit_once('-')?;
        let no = no.parse().ok().filter(|no: &u32| no.to_string() == name_after(name))?;
        Some((VerificationId::parse(id)?, AttemptNo::numbered(no)?))
    }

    /// The address at which a carrier reports on an attempt, as it knows it.
    pub(super) fn hooks(&self, carrier: &str, attempt: &str) -> String {
        let base = self.public_url.as_deref().unwrap_or_default();
        format!("{base}/hooks/{carrier}/{attempt}/{}", self.vault.hook_token(carrier, attempt))
    }

    /// Everything that the order of an attempt takes.
    ///
    /// # Errors
    /// When there is nothing that can be sent.
    pub(super) fn write(
        &self,
        verification: &Verification,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<Written, Cause> {
        let id = Self::name_of(&verification.id, attempt.no);
        let body = match attempt.channel {
            Channel::Voice => None,
            Channel::Sms => Some(self.text(verification, attempt)?),
        };
        Ok(Written {
            hooks: self.hooks(&attempt.route, &id),
            id,
            body,
            valid: verification.expires_at.since(now),
            since: attempt.started_at,
        })
    }

    /// What the text of an attempt says.
    ///
    /// # Errors
    /// When the code cannot be had, or the text is too long.
    pub(super) fn text(
        &self,
        verification: &Verification,
        attempt: &Attempt,
    ) -> Result<Body, Cause> {
        let fault = |why: &'static str| Cause::because(Reason::CarrierError, why);
        let binding = Binding::of(verification);
        let secret = verification.secret.as_ref();
        let code = secret.and_then(|secret| self.vault.code(binding, secret));
        let code = code.ok_or_else(|| fault("the code was sealed under another key"))?;
        let request = &verification.request;
        let pin = secret.is_some_and(|secret| secret.pin.is_some());
        let kind = match attempt.mode {
            Mode::Reply if pin => Kind::ReplyPin,
            Mode::Reply if request.yes => Kind::ReplyYes,
            Mode::Reply => Kind::Reply,
            Mode::Confirm | Mode::Pin | Mode::Match | Mode::Code => Kind::Code,
        };
        let reference = self.vault.reference(binding);
        let texting = self.tenant(&verification.tenant).map(|tenant| &tenant.texting);
        let fill = Fill {
            code: code.expose(),
            brand: request.brand.as_ref().map(|brand| brand.as_str()),
            minutes: request.expires_in.div_ceil(60),
            transaction: request.transaction.as_ref(),
            reference: request.yes.then_some(reference.as_str()),
            domain: texting.and_then(|it| it.domain.as_deref()).filter(|_| kind == Kind::Code),
            android_hash: texting.and_then(|it| it.android_hash.as_deref()),
            never_ask: texting.is_some_and(|it| it.never_ask),
        };
        let text = self.texts.render(&request.locale, kind, &fill);
        if crate::verify::gsm::segments(&text).count > SEGMENTS_MOST {
            return Err(fault("the text is longer than 10 segments"));
        }
        Ok(Body::from(text))
    }

    /// What a hook is about.
    pub(super) fn scene<'a>(
        verification: &'a Verification,
        attempt: &Attempt,
        hooks: &'a str,
    ) -> Scene<'a> {
        Scene {
            hooks,
            channel: attempt.channel,
            ask: ask(verification),
            over: attempt.state == AttemptState::Ended,
        }
    }

    /// The order.
    pub(super) fn order<'a>(
        &self,
        verification: &'a Verification,
        written: &'a Written,
    ) -> Order<'a> {
        let what = match &written.body {
            Some(body) => What::Text { body, valid: written.valid },
            None => What::Call {
                ask: ask(verification),
                extension: None,
                ring: self.ring,
                limit: self.limit,
            },
        };
        Order {
            id: &written.id,
            to: &verification.request.to,
            hooks: &written.hooks,
            since: written.since,
            what,
        }
    }

    /// The words of a carrier that speaks HTTP.
    pub(super) fn adapter(&self, name: &str) -> Option<&dyn Carrier> {
        self.carrier(name)?.carrier()
    }
}

fn name_after(name: &str) -> &str {
    name.rsplit_once('-').map_or("", |(_, after)| after)
}

fn ask(verification: &Verification) -> Ask<'_> {
    let request = &verification.request;
    let (brand, payment) = (request.brand.as_ref(), request.transaction.as_ref());
    Ask { locale: &request.locale, brand, payment }
}
