//! The one outbound client: no redirects, no proxies, one deadline, and no address that the guard has
//! not let pass.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, Response};

use super::Failure;
use super::address::{self, Unfit};
use super::signature::sign;
use crate::ambient::Timestamp;
use crate::carrier::wire::HttpRequest;
use crate::gateway::resolver::Resolver;
use crate::gateway::settings::Endpoint;
use crate::verify::trace::Trace;

/// How long an endpoint may take, from its name to the head of its answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long one of a name's addresses may take to be connected, where there are more.
const CONNECT: Duration = Duration::from_secs(5);

/// How much of an endpoint's answer is read, in bytes, and how long that may take: nothing of it is
/// wanted, but a connection whose answer was read can be used again.
const REMAINDER_MOST: usize = 16 * 1024;
const REMAINDER: Duration = Duration::from_millis(250);

/// The longest answer of a carrier, in bytes.
const ANSWER_MOST: usize = 256 * 1024;

/// What makes requests.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Courier {
    /// To endpoints of the public Internet, by `https`.
    public: Client,
    /// To endpoints of tenants that may have them in private networks: by `https`, and in clear.
    closed: Client,
    clear: Client,
    /// To carriers, whose addresses are the operator's word.
    carriers: Client,
}

impl Courier {
    /// A courier that looks names up so.
    ///
    /// # Errors
    /// When the system's root certificates cannot be had.
    #[expect(clippy::disallowed_methods, reason = "the one outbound client is built here")]
    pub(in crate::gateway) fn new(resolver: &Arc<Resolver>) -> Result<Self, reqwest::Error> {
        let base = || {
            Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .timeout(TIMEOUT)
                .user_agent("octothorpe")
        };
        let guarded = |encrypted, private| {
            let guard = Guard { resolver: Arc::clone(resolver), encrypted, private };
            let guarded = base().connect_timeout(CONNECT).dns_resolver(Arc::new(guard));
            guarded.https_only(encrypted).build()
        };
        Ok(Self {
            public: guarded(true, false)?,
            closed: guarded(true, true)?,
            clear: guarded(false, true)?,
            carriers: base().build()?,
        })
    }

    /// Delivers an event, once.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(in crate::gateway) async fn deliver(
        &self,
        endpoint: &Endpoint,
        url: &str,
        event: &str,
        body: &str,
        trace: Option<Trace<'_>>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let response = self.post(endpoint, (url, event, body), trace, now).await?;
        let status = response.status();
        let wish = wish(response.headers(), now);
        let _ = tokio::time::timeout(REMAINDER, read_off(response)).await;
        if status.is_success() {
            return Ok(());
        }
        let why = format!("answered {status}");
        match (status.as_u16(), wish) {
            (410, _) => Err(Failure::Gone),
            (_, Some(wish)) => Err(Failure::Later(why, wish)),
            (_, None) => Err(Failure::Retry(why)),
        }
    }

    /// Asks an endpoint something, once; the body of its answer.
    ///
    /// # Errors
    /// Why there is none.
    pub(in crate::gateway) async fn question(
        &self,
        endpoint: &Endpoint,
        name: &str,
        body: &str,
        trace: Option<Trace<'_>>,
        now: Timestamp,
    ) -> Result<Vec<u8>, String> {
        let asked = self.post(endpoint, (&endpoint.url, name, body), trace, now).await;
        let mut response = asked.map_err(|failure| failure.to_string())?;
        if !response.status().is_success() {
            return Err(format!("answered {}", response.status()));
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| describe(&error))? {
            if answer.len() + chunk.len() > REMAINDER_MOST {
                return Err("its answer is longer than 16 KiB".to_owned());
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    /// Posts something signed to an endpoint.
    async fn post(
        &self,
        endpoint: &Endpoint,
        (url, event, body): (&str, &str, &str),
        trace: Option<Trace<'_>>,
        now: Timestamp,
    ) -> Result<Response, Failure> {
        // A URL that names an address is not resolved, so the guard of names would never see it.
        let url = address::read(url, &endpoint.bounds).map_err(refused)?;
        let seconds = now.as_secs();
        let signature = sign(&endpoint.secrets, event, seconds, body)
            .ok_or_else(|| Failure::Retry("the secret cannot sign".to_owned()))?;
        let client = match (endpoint.bounds.private, url.scheme()) {
            (false, _) => &self.public,
            (true, "https") => &self.closed,
            (true, _) => &self.clear,
        };
        let mut request = client.post(url);
        for (name, value) in trace.into_iter().flat_map(Trace::headers) {
            request = request.header(name, value);
        }
        let sent = request
            .header("content-type", "application/json")
            .header("webhook-id", event)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature)
            .body(body.to_owned())
            .send()
            .await;
        sent.map_err(|error| Failure::Retry(describe(&error)))
    }
}

/// RFC 9110 § 10.2.3: "The Retry-After field value can be either an HTTP-date or a number of seconds to delay after
/// receiving the response". A date is by the receiver's clock, and so is its `Date`; ours stands in where it has none.
fn wish(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let written = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = written.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = date(headers, &RETRY_AFTER)?;
    Some(at.since(date(headers, &DATE).unwrap_or(now)))
}

/// The time that a header names (RFC 9110 § 5.6.7).
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let at = httpdate::parse_http_date(headers.get(name)?.to_str().ok()?.trim()).ok()?;
    Some(Timestamp::default() + at.duration_since(UNIX_EPOCH).ok()?)
}

/// Reads what is left of an answer, and throws it away. A connection whose answer is longer is closed.
async fn read_off(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > REMAINDER_MOST {
            return;
        }
    }
}

fn refused(why: Unfit) -> Failure {
    Failure::Retry(format!("nothing was sent: {why}"))
}

/// Why a carrier gave no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::gateway) enum Unanswered {
    /// No connection: nothing was sent.
    #[error("{0}")]
    Unsent(String),
    /// It may have been taken, or not.
    #[error("{0}")]
    Lost(String),
}

/// How what was handed in was taken.
#[cfg(feature = "otlp")]
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Handed {
    /// The status.
    pub(in crate::gateway) status: u16,
    /// The pause that is asked for.
    pub(in crate::gateway) wish: Option<Duration>,
    /// What was answered.
    pub(in crate::gateway) body: Vec<u8>,
}

impl Courier {
    /// Makes a request of a carrier, once. Its address is the operator's word, and may be a
    /// private one.
    ///
    /// # Errors
    /// Why there is no answer, and whether the request can have been taken.
    pub(in crate::gateway) async fn ask(
        &self,
        request: HttpRequest,
    ) -> Result<(u16, Vec<u8>), Unanswered> {
        let (status, _, body) = self.answer(request).await?;
        Ok((status, body))
    }

    /// Hands something in where the operator wants it, once.
    ///
    /// # Errors
    /// Why there is no answer.
    #[cfg(feature = "otlp")]
    pub(in crate::gateway) async fn hand_in(
        &self,
        request: HttpRequest,
        now: Timestamp,
    ) -> Result<Handed, String> {
        let answer = self.answer(request).await;
        let (status, headers, body) = answer.map_err(|unanswered| unanswered.to_string())?;
        Ok(Handed { status, wish: wish(&headers, now), body })
    }

    async fn answer(&self, request: HttpRequest) -> Result<(u16, HeaderMap, Vec<u8>), Unanswered> {
        let method = reqwest::Method::from_bytes(request.method.as_bytes());
        let method = method.map_err(|_| Unanswered::Unsent("no such method".to_owned()))?;
        let mut ready = self.carriers.request(method, &request.url);
        for (name, value) in &request.headers {
            ready = ready.header(name, value.as_str());
        }
        let sent = ready.body(request.body.to_vec()).send().await;
        let mut response = sent.map_err(|error| match describe(&error) {
            why if error.is_connect() || error.is_builder() => Unanswered::Unsent(why),
            why => Unanswered::Lost(why),
        })?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_MOST => {
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => return Ok((status, headers, body)),
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

/// Resolves names, and refuses those that lead to any address that is not to be dialled. The addresses
/// it lets pass are the ones that are dialled: nobody asks again.
struct Guard {
    resolver: Arc<Resolver>,
    encrypted: bool,
    private: bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, encrypted, private) =
            (Arc::clone(&self.resolver), self.encrypted, self.private);
        Box::pin(async move {
            let found = resolver.addresses_of(name.as_str()).await;
            let found = found.ok_or("its name leads nowhere")?;
            let addresses = vetted(&found, encrypted, private)?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// The addresses of a name as they are dialled, or none of them: a name that has one good address
/// beside one that is not to be dialled is not an honest receiver's.
fn vetted(found: &[IpAddr], encrypted: bool, private: bool) -> Result<Vec<SocketAddr>, Unfit> {
    // The port is that of the URL.
    let vet = |&ip| address::admit(ip, encrypted, private).map(|()| SocketAddr::new(ip, 0));
    found.iter().map(vet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_date() {
        let asked = |retry: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, retry.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            // Thu, 26 Nov 2026 18:00:00 GMT.
            wish(&headers, Timestamp::from_secs(1_795_716_000)).map(|it| it.as_secs())
        };
        assert_eq!(asked("90", None), Some(90));
        assert_eq!(asked("Thu, 26 Nov 2026 18:02:00 GMT", None), Some(120));
        assert_eq!(asked("Thursday, 26-Nov-26 18:02:00 GMT", None), Some(120));
        assert_eq!(asked("Thu Nov 26 18:02:00 2026", None), Some(120));
        // A receiver whose clock is an hour ahead means the same two minutes.
        let ahead = Some("Thu, 26 Nov 2026 19:00:00 GMT");
        assert_eq!(asked("Thu, 26 Nov 2026 19:02:00 GMT", ahead), Some(120));
        assert_eq!(asked("Thu, 26 Nov 2026 17:00:00 GMT", None), Some(0));
        for no in ["", "soon", "-1", "1.5", "Thu, 31 Nov 2026 18:02:00 GMT", "99999999999999999999"]
        {
            assert_eq!(asked(no, None), None, "{no:?}");
        }
    }

    #[test]
    fn one_bad_address_spoils_the_name() {
        let ips = |text: &str| text.split(' ').map(|ip| ip.parse().unwrap()).collect::<Vec<_>>();
        let found = ips("8.8.8.8 2606:4700::1111");
        let vetted_all = vetted(&found, true, false).unwrap();
        assert_eq!(vetted_all.iter().map(SocketAddr::ip).collect::<Vec<_>>(), found);
        assert_eq!(vetted(&ips("8.8.8.8 127.0.0.1"), true, false), Err(Unfit::Private));
        assert_eq!(vetted(&ips("8.8.8.8 ::ffff:127.0.0.1"), true, false), Err(Unfit::Nowhere));
        assert!(vetted(&ips("127.0.0.1 10.0.0.1"), false, true).is_ok());
        assert_eq!(vetted(&ips("127.0.0.1 8.8.8.8"), false, true), Err(Unfit::InClear));
    }
}
