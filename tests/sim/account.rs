//! The customer's account with the provider: the real adapter, and orders as `gateway/hands.rs` has it
//! write them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use octothorpe::ambient::Timestamp;
use octothorpe::carrier::signature::{Hash, twilio_signature};
use octothorpe::carrier::twilio::{Dialect, Settings, Twilio, Voice};
use octothorpe::carrier::wire::HttpRequest;
use octothorpe::carrier::{Ask, Body, Carrier, Forged, Heard, Hook, Order, Reach, Receipt, What};
use octothorpe::gateway::settings::{By, Provider};
use octothorpe::verify::Verification;
use octothorpe::verify::attempt::Attempt;
use octothorpe::verify::code::Vault;
use octothorpe::verify::request::Channel;
use octothorpe::verify::signal::Cause;
use zeroize::Zeroizing;

use crate::hands::Bug;
use crate::plan::CLOUD;

/// Where the gateway is called back.
pub(crate) const BASE: &str = "https://gateway.example";

/// What requests are signed with, the gateway's and the provider's.
pub(crate) const TOKEN: &str = "the token of the account";

const FROM: &str = "+12025550100";

/// The account; one for all worlds.
fn twilio() -> &'static Twilio {
    static TWILIO: OnceLock<Twilio> = OnceLock::new();
    TWILIO.get_or_init(|| {
        Twilio::new(Settings {
            base_url: Dialect::Twilio.default_base_url().unwrap_or_default().to_owned(),
            account: "AC00000000000000000000000000000000".to_owned(),
            token: Zeroizing::new(TOKEN.to_owned()),
            from: FROM.to_owned(),
            messaging_service: None,
            application: None,
            dialect: Dialect::Twilio,
            machine_detection: false,
            voice: Voice::Say,
            signing_key: None,
        })
        .unwrap()
    })
}

/// The gateway's keys, the same in every run.
pub(crate) fn vault() -> Vault {
    Vault::of("the same in every run")
}

/// How the provider is spoken to.
pub(crate) fn carrier(bug: Bug) -> Arc<dyn Carrier> {
    if bug == Bug::BelievesAnybody { Arc::new(Gullible) } else { Arc::new(twilio().clone()) }
}

/// The provider, as it is configured.
pub(crate) fn provider(bug: Bug) -> Provider {
    Provider {
        name: CLOUD.to_owned(),
        sender: FROM.to_owned(),
        inbound_token: None,
        by: By::Http(carrier(bug)),
    }
}

/// Writes the order of an attempt.
pub(crate) fn order<T>(
    verification: &Verification,
    attempt: &Attempt,
    code: &str,
    then: impl FnOnce(&Order<'_>) -> T,
) -> T {
    let id = format!("{}-{}", verification.id, attempt.no);
    let hooks = format!("{BASE}/hooks/{CLOUD}/{id}/{}", vault().hook_token(CLOUD, &id));
    let body = Body::from(format!("{code} is your code"));
    let request = &verification.request;
    let what = match attempt.channel {
        Channel::Voice => What::Call {
            ask: Ask { locale: &request.locale, brand: None, payment: None },
            extension: None,
            ring: Duration::from_secs(45),
            limit: Duration::from_secs(90),
        },
        Channel::Sms => What::Text { body: &body, valid: Duration::from_secs(300) },
    };
    then(&Order { id: &id, to: &request.to, hooks: &hooks, since: attempt.started_at, what })
}

/// An adapter that believes whoever sends a hook.
#[derive(Debug)]
struct Gullible;

impl Carrier for Gullible {
    fn reach(&self) -> Reach {
        twilio().reach()
    }

    fn order(&self, order: &Order<'_>) -> Result<HttpRequest, Cause> {
        twilio().order(order)
    }

    fn receipt(&self, channel: Channel, status: u16, body: &[u8]) -> Receipt {
        twilio().receipt(channel, status, body)
    }

    fn find(&self, order: &Order<'_>) -> Option<HttpRequest> {
        twilio().find(order)
    }

    fn found(&self, order: &Order<'_>, status: u16, body: &[u8]) -> Receipt {
        twilio().found(order, status, body)
    }

    fn end(&self, handle: &str, now: Timestamp) -> Option<HttpRequest> {
        twilio().end(handle, now)
    }

    fn hear(&self, hook: &Hook<'_>) -> Result<Heard, Forged> {
        let params: Vec<_> = form_urlencoded::parse(hook.body).into_owned().collect();
        let signature = twilio_signature(Hash::Sha1, TOKEN.as_bytes(), hook.url, &params);
        let headers = [("x-twilio-signature".to_owned(), signature)];
        twilio().hear(&Hook { headers: &headers, ..*hook })
    }
}
