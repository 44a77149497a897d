//! Events on their way to the customer: signed as Standard Webhooks, retried, at least once, with
//! the same id on every try.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::Serialize;
use sha2::Sha256;

use super::resource::Resource;
use super::settings::{Endpoint, WebhookSecret};
use crate::ambient::Timestamp;
use crate::carrier::wire::HttpRequest;
use crate::verify::Verification;

/// How long an endpoint may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer of a carrier, in bytes.
const ANSWER_MOST: usize = 256 * 1024;

/// The pauses between tries, in seconds: dense at the front, because a verdict goes stale in
/// minutes; a day in all.
const PAUSES: [u64; 10] = [1, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 36_000];

/// How long to wait before try number `tries` + 1; `None`: no more tries.
pub(super) fn pause(tries: u32) -> Option<Duration> {
    let index = usize::try_from(tries).ok()?;
    PAUSES.get(index).copied().map(Duration::from_secs)
}

/// The id of the event that tells of this version: the same whenever it is computed.
pub(super) fn event_id(verification: &Verification, sequence: u64) -> String {
    let id = verification.id.as_str();
    format!("evt_{}_{sequence}", id.strip_prefix("vf_").unwrap_or(id))
}

/// A CloudEvents 1.0 event in structured mode.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    r#type: &'static str,
    subject: &'a str,
    time: String,
    sequence: u64,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    #[serde(flatten)]
    resource: &'a Resource,
    /// The same, signed: see [`proof`](crate::verify::proof).
    verdict: Option<String>,
}

/// The body of the event; the same on every try.
pub(super) fn body(
    event: &str,
    verification: &Verification,
    sequence: u64,
    resource: &Resource,
    verdict: Option<String>,
) -> String {
    let time = verification.settled_at().unwrap_or(verification.created_at);
    let event = CloudEvent {
        specversion: "1.0",
        id: event,
        source: "octothorpe",
        r#type: "verification.settled",
        subject: verification.id.as_str(),
        time: time.to_rfc3339(),
        sequence,
        datacontenttype: "application/json",
        data: Data { resource, verdict },
    };
    serde_json::to_string(&event).unwrap_or_default()
}

/// `webhook-signature` of Standard Webhooks: HMAC-SHA-256 over `id.timestamp.body`.
pub(super) fn sign(secret: &WebhookSecret, id: &str, seconds: u64, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).ok()?;
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    Some(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
}

/// Why an event was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may be taken later.
    Retry(String),
    /// The endpoint wants no more: 410 Gone.
    Gone,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(why) => f.write_str(why),
            Self::Gone => f.write_str("410 Gone"),
        }
    }
}

/// The one outbound client: no redirects, no proxies, time-outs, and no private address unless the
/// tenant may.
#[derive(Clone, Debug)]
pub(super) struct Courier {
    guarded: reqwest::Client,
    open: reqwest::Client,
}

impl Courier {
    /// A courier.
    ///
    /// # Errors
    /// When the system's root certificates cannot be had.
    #[expect(clippy::disallowed_methods, reason = "the one outbound client is built here")]
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        let base = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .timeout(TIMEOUT)
                .user_agent("octothorpe")
        };
        Ok(Self {
            guarded: base().https_only(true).dns_resolver(Arc::new(Guard)).build()?,
            open: base().build()?,
        })
    }

    /// Delivers an event, once.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(super) async fn deliver(
        &self,
        endpoint: &Endpoint,
        url: &str,
        event: &str,
        body: &str,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let seconds = now.as_secs();
        let signature = sign(&endpoint.secret, event, seconds, body)
            .ok_or_else(|| Failure::Retry("the secret cannot sign".to_owned()))?;
        let client = if endpoint.allow_private { &self.open } else { &self.guarded };
        if !endpoint.allow_private {
            refuse_literal(url)?;
        }
        let sent = client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", event)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature)
            .body(body.to_owned())
            .send()
            .await;
        match sent {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) if response.status().as_u16() == 410 => Err(Failure::Gone),
            Ok(response) => Err(Failure::Retry(format!("answered {}", response.status()))),
            Err(error) => Err(Failure::Retry(describe(&error))),
        }
    }
}

/// Why a carrier gave no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unanswered {
    /// No connection: nothing was sent.
    #[error("{0}")]
    Unsent(String),
    /// It may have been taken, or not.
    #[error("{0}")]
    Lost(String),
}

impl Courier {
    /// Makes a request of a carrier, once. Its address is the operator's word, and may be a
    /// private one.
    ///
    /// # Errors
    /// Why there is no answer, and whether the request can have been taken.
    pub(super) async fn ask(&self, request: HttpRequest) -> Result<(u16, Vec<u8>), Unanswered> {
        let method = reqwest::Method::from_bytes(request.method.as_bytes());
        let method = method.map_err(|_| Unanswered::Unsent("no such method".to_owned()))?;
        let mut ready = self.open.request(method, &request.url);
        for (name, value) in &request.headers {
            ready = ready.header(name, value.as_str());
        }
        let sent = ready.body(request.body.to_vec()).send().await;
        let mut response = sent.map_err(|error| match describe(&error) {
            why if error.is_connect() || error.is_builder() => Unanswered::Unsent(why),
            why => Unanswered::Lost(why),
        })?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_MOST => {
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => return Ok((status, body)),
                Ok(Some(_)) => return Err(Unanswered::Lost("the answer is too long".to_owned())),
                Err(error) => return Err(Unanswered::Lost(describe(&error))),
            }
        }
    }
}

/// What went wrong, without the URL, which may hold a token.
fn describe(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "cannot be sent"
    };
    let mut source = std::error::Error::source(error);
    let mut deepest = None;
    while let Some(inner) = source {
        deepest = Some(inner.to_string());
        source = inner.source();
    }
    deepest.map_or_else(|| kind.to_owned(), |why| format!("{kind}: {why}"))
}

/// A URL that names an address is not resolved, so the guard would never see it.
fn refuse_literal(url: &str) -> Result<(), Failure> {
    let url = reqwest::Url::parse(url).map_err(|_| Failure::Retry("not a URL".to_owned()))?;
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match literal {
        Ok(ip) if !is_public(ip) => {
            Err(Failure::Retry("its address is not a public one".to_owned()))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Resolves names, and refuses those that lead to any address that is not public. The addresses
/// it lets pass are the ones that are dialled.
#[derive(Debug)]
struct Guard;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() || !found.iter().all(|address| is_public(address.ip())) {
                return Err("its address is not a public one".into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether an address belongs to the public Internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (18..20).contains(&b);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_documentation()
        || ip.is_unspecified()
        || a == 0
        || a >= 240
        || shared
        || protocol
        || benchmark)
}

/// Only global unicast (2000::/3), and of that no prefix that embeds or stands for another address:
/// documentation, 6to4, Teredo. Mapped and translated (NAT64) ones lie outside of it.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let global = a & 0xe000 == 0x2000;
    let embeds = a == 0x2002 || (a == 0x2001 && b < 0x0200) || (a == 0x2001 && b == 0x0db8);
    global && !embeds
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        // The example of the specification's reference libraries.
        let key = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let secret = WebhookSecret::new(Zeroizing::new(key));
        let body = r#"{"test": 2432232314}"#;
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn private_addresses_are_known_in_every_spelling() {
        for private in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn an_address_in_the_url_is_seen_in_every_spelling() {
        for url in [
            "https://127.0.0.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://10.1/",
        ] {
            assert!(refuse_literal(url).is_err(), "{url}");
        }
        assert!(refuse_literal("https://idp.example.com/hooks").is_ok());
    }

    #[test]
    fn tries_grow_rarer_and_end() {
        assert_eq!(pause(0), Some(Duration::from_secs(1)));
        assert_eq!(pause(9), Some(Duration::from_secs(36_000)));
        assert_eq!(pause(10), None);
    }
}
