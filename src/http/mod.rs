//! The HTTP API: listeners, routes, and the way from bytes to a checked request and back.
//!
//! Nothing is decided here. A handler reads (`auth`, `query`, `body`, `json`, `start`), asks the
//! [`Gateway`], and writes ([`Resource`](crate::gateway::resource::Resource) or `problem`).

mod auth;
mod board;
mod body;
mod cdr;
mod connection;
mod cookie;
mod docs;
mod hooks;
mod json;
mod keys;
mod lent;
mod listening;
mod lists;
mod load;
mod login;
mod ops;
mod page;
mod peer;
mod problem;
mod query;
mod report;
mod search;
mod start;
mod stream;
mod streams;
mod tenants;
mod timed;
mod timeline;
mod trial;
mod upkeep;
mod verify;
mod webhooks;

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post};
use ipnet::IpNet;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::Service as _;
use tower::util::MapResponseLayer;

pub use self::auth::CLI;
pub use self::listening::{Listening, Tls, TlsError};
use self::load::Load;
use self::peer::Client;
use self::problem::{Code, Problem};
use crate::gateway::Gateway;
pub use crate::gateway::settings::tenancy::Mistake;

/// Where to listen, and how much to take from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The address of the API; port 0 lets the system choose.
    pub api_listen: SocketAddr,
    /// The address of the operator's pages; none unless written.
    pub admin_listen: Option<SocketAddr>,
    /// What both show under TLS; `None` is in the clear.
    pub tls: Option<Tls>,
    /// The proxies whose word about the address of a client counts.
    pub trusted_proxies: Vec<IpNet>,
    /// How long the head of a request may take, from the connection or its first byte.
    pub head_timeout: Duration,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// How long a request may take from its head to its answer, besides what it asks to wait.
    pub request_timeout: Duration,
    /// How long a connection may stand idle between requests.
    pub idle_timeout: Duration,
    /// How long a client may take to fetch a response that it let wait.
    pub write_timeout: Duration,
    /// How long requests that are under way may take once the server closes.
    pub drain_timeout: Duration,
    /// The largest request line and headers together, in bytes.
    pub max_head: usize,
    /// The most headers.
    pub max_headers: usize,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// The most connections at a time to one listener. Whoever comes then takes the place of the client that has
    /// kept us waiting for the longest, and is turned away where all wait for us.
    pub max_connections: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin_listen: None,
            tls: None,
            trusted_proxies: Vec::new(),
            head_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            max_head: 16 * 1024,
            max_headers: 100,
            max_body: 64 * 1024,
            max_connections: 2000,
        }
    }
}

/// Writes the metrics of the process in Prometheus' text format.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Reads the configuration again: which keys only a restart can change, or every mistake in it.
pub type Reload = Arc<dyn Fn() -> Result<Vec<String>, Vec<Mistake>> + Send + Sync>;

/// What the operator's pages are made of, besides the gateway.
#[derive(Clone)]
pub struct Operator {
    /// Writes the metrics.
    pub metrics: Metrics,
    /// Reads the configuration again, where there is one.
    pub reload: Option<Reload>,
}

impl From<Metrics> for Operator {
    fn from(metrics: Metrics) -> Self {
        Self { metrics, reload: None }
    }
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

/// Listeners that are bound and do not answer yet: clients that connect wait for
/// [`run`](Self::run).
pub struct Server {
    listening: Listening,
    api: Bound,
    admin: Option<Bound>,
    closing: watch::Sender<bool>,
}

struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

/// What every handler may use.
#[derive(Clone)]
struct App {
    gateway: Gateway,
    settings: Arc<Settings>,
    operator: Operator,
    load: Load,
    closing: watch::Receiver<bool>,
    lookers_on: board::LookersOn,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("api", &self.api_address())
            .field("admin", &self.admin_address())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Binds the listeners.
    ///
    /// # Errors
    /// When an address cannot be had.
    pub async fn bind(
        listening: Listening,
        gateway: Gateway,
        operator: impl Into<Operator>,
    ) -> Result<Self, BindError> {
        let settings = Arc::new(listening.settings().clone());
        let (closing, closes) = watch::channel(false);
        let app = App {
            gateway,
            settings: Arc::clone(&settings),
            operator: operator.into(),
            load: Load::new(settings.max_connections),
            closing: closes,
            lookers_on: board::LookersOn::default(),
        };
        let api = Bound::new(settings.api_listen, router(api_routes(), app.clone())).await?;
        let admin = match settings.admin_listen {
            Some(address) => Some(Bound::new(address, router(admin_routes(), app)).await?),
            None => None,
        };
        Ok(Self { listening, api, admin, closing })
    }

    /// The address the API really listens on.
    #[must_use]
    pub const fn api_address(&self) -> SocketAddr {
        self.api.address
    }

    /// The address the operator's pages really listen on.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|bound| bound.address)
    }

    /// Answers until `shutdown` comes. Then nothing new is accepted, idle connections are closed,
    /// clients that wait for a change are told how things stand, and requests under way are
    /// finished, within the drain time-out.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listening, api, admin, closing } = self;
        let serve = |bound: Bound| {
            connection::accept(bound.listener, bound.router, listening.clone(), closing.subscribe())
        };
        let api = serve(api);
        let admin = async {
            if let Some(bound) = admin {
                serve(bound).await;
            }
        };
        let close = async {
            shutdown.await;
            closing.send_replace(true);
        };
        tokio::join!(api, admin, close);
    }
}

impl Bound {
    async fn new(address: SocketAddr, router: Router) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, router })
    }
}

/// The API within this process, without a listener: it is asked by whatever measures it.
#[derive(Clone)]
pub struct Api {
    router: Router,
    limit: Duration,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    /// That of a gateway.
    #[must_use]
    pub fn new(gateway: Gateway, settings: Settings) -> Self {
        let limit = settings.request_timeout;
        let nothing: Metrics = Arc::new(String::new);
        // It closes when its gateway does.
        let (_, closing) = watch::channel(false);
        let operator = Operator::from(nothing);
        let load = Load::new(settings.max_connections);
        let lookers_on = board::LookersOn::default();
        let app =
            App { gateway, settings: Arc::new(settings), operator, closing, load, lookers_on };
        Self { router: router(api_routes(), app), limit }
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request) -> Response {
        respond(self.router.clone(), request, self.limit).await
    }
}

/// One route: method, path, handler.
type Route = (&'static str, &'static str, MethodRouter<App>);

/// The path of every route, for metrics: it has no ids in it.
#[derive(Clone, Copy)]
struct RouteName(&'static str);

/// Every route of the API. The documentation is held against this table by a test.
fn api_routes() -> Vec<Route> {
    let mut routes = vec![
        ("get", "/v1/verifications", get(search::list)),
        ("post", "/v1/verifications", post(verify::start)),
        ("get", "/v1/verifications/{id}", get(verify::read)),
        ("get", "/v1/verifications/{id}/timeline", get(timeline::read)),
        ("post", "/v1/verifications/{id}/check", post(verify::check)),
        ("post", "/v1/verifications/{id}/resend", post(verify::resend)),
        ("post", "/v1/verifications/{id}/cancel", post(verify::cancel)),
        ("get", "/v1/openapi.json", get(docs::openapi)),
        ("get", "/docs", get(docs::page)),
        ("get", "/.well-known/jwks.json", get(docs::jwks)),
    ];
    routes.extend(hook_routes());
    routes.extend(health_routes());
    routes
}

/// Every address that carriers call. They are no part of the documented API.
fn hook_routes() -> Vec<Route> {
    let hook = || get(hooks::hook).post(hooks::hook);
    vec![
        ("hook", "/hooks/{carrier}/inbound", hook()),
        ("hook", "/hooks/{carrier}/inbound/{token}", hook()),
        ("hook", "/hooks/{carrier}/{attempt}/{token}", hook()),
        ("hook", "/hooks/{carrier}/{attempt}/{token}/{part}", hook()),
    ]
}

/// Every route of the operator's listener.
fn admin_routes() -> Vec<Route> {
    let mut routes = vec![
        ("get", "/metrics", get(ops::metrics)),
        ("get", "/admin/v1/board", get(board::board)),
        ("get", "/admin/v1/board/events", get(board::events)),
        ("post", "/admin/v1/login", post(login::log_in)),
        ("post", "/admin/v1/logout", post(login::log_out)),
        ("get", "/admin/v1/me", get(login::who)),
        ("get", "/admin/v1/trunks", get(ops::trunks)),
        ("get", "/admin/v1/selftests", get(ops::selftests)),
        ("get", "/admin/v1/cdr", get(cdr::export)),
        ("get", "/admin/v1/verifications", get(search::find)),
        ("get", "/admin/v1/verifications/{id}/timeline", get(timeline::told)),
        ("post", "/admin/v1/verifications/{id}/cancel", post(search::cancel)),
        ("post", "/admin/v1/verifications/{id}/unmask", post(search::unmask)),
        ("post", "/admin/v1/reload", post(ops::reload)),
        ("get", "/admin/v1/drain", get(ops::draining).post(ops::drain)),
        ("post", "/admin/v1/erase", post(ops::erase)),
        ("post", "/admin/v1/backup", post(upkeep::back_up)),
        ("post", "/admin/v1/compact", post(upkeep::compact)),
        ("get", "/admin/v1/explain", get(lists::explain)),
        ("post", "/admin/v1/policy/replay", post(trial::replay)),
        ("get", "/admin/v1/blocks", get(lists::blocks).post(lists::block)),
        ("post", "/admin/v1/blocks/lift", post(lists::lift)),
        ("delete", "/admin/v1/blocks/{id}", delete(lists::lift_one)),
        ("get", "/admin/v1/safe", get(lists::safe).post(lists::make_safe)),
        ("delete", "/admin/v1/safe/{id}", delete(lists::lift_one)),
        ("get", "/admin/v1/webhooks", get(webhooks::list)),
        ("post", "/admin/v1/webhooks/{id}/enable", post(webhooks::enable)),
        ("post", "/admin/v1/webhooks/replay", post(webhooks::replay)),
        ("get", "/admin/v1/tenants", get(tenants::list).post(tenants::make)),
        (
            "get",
            "/admin/v1/tenants/{tenant}",
            get(tenants::show).patch(tenants::change).delete(tenants::remove),
        ),
        ("post", "/admin/v1/tenants/{tenant}/verifications", post(verify::start_as)),
        ("get", "/admin/v1/tenants/{tenant}/keys", get(keys::list)),
        ("post", "/admin/v1/tenants/{tenant}/keys", post(keys::make)),
        ("delete", "/admin/v1/tenants/{tenant}/keys/{id}", delete(keys::revoke)),
    ];
    routes.extend(page_routes());
    routes.extend(health_routes());
    routes
}

/// The operator's page, which holds nothing but itself.
fn page_routes() -> Vec<Route> {
    vec![
        ("get", "/", get(board::page)),
        ("get", "/page.css", get(board::style)),
        ("get", "/page.js", get(board::script)),
        ("get", "/parts.js", get(board::parts)),
        ("get", "/mark.svg", get(board::mark)),
    ]
}

fn health_routes() -> Vec<Route> {
    vec![("get", "/healthz", get(ops::healthz)), ("get", "/readyz", get(ops::readyz))]
}

fn router(routes: Vec<Route>, app: App) -> Router {
    routes
        .into_iter()
        .fold(Router::new(), |router, (_, path, handler)| {
            let named = MapResponseLayer::new(move |mut response: Response| {
                response.extensions_mut().insert(RouteName(path));
                response
            });
            router.route(path, handler.layer(named))
        })
        .fallback(async || Problem::new(Code::NotFound))
        .method_not_allowed_fallback(async || Problem::new(Code::MethodNotAllowed))
        .with_state(app)
}

/// Answers one request, whatever its handler does: a panic is an answer too, and so is silence for longer than
/// the limit and what the request asks to wait.
async fn respond(mut router: Router, request: Request, limit: Duration) -> Response {
    let started = tokio::time::Instant::now();
    let method = request.method().clone();
    let client = request.extensions().get::<Client>().copied();
    let asked = query::wait(request.uri().query()).ok().and_then(|it| it.wait).unwrap_or_default();
    let limit = limit.saturating_add(Duration::from_secs(asked));
    let mut handler = Box::pin(async move {
        let answer: Result<Response, Infallible> = router.call(request).await;
        answer.unwrap_or_else(|never| match never {})
    });
    let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => std::task::Poll::Ready(None),
    });
    let mut response = match tokio::time::timeout(limit, caught).await {
        Ok(Some(response)) => response,
        Ok(None) => {
            report::panicked(&method);
            Problem::new(Code::Internal).into_response()
        }
        Err(_) => Problem::new(Code::TimedOut).into_response(),
    };
    for (name, value) in EVERYWHERE {
        response.headers_mut().insert(name, value);
    }
    let route = response.extensions().get::<RouteName>().map_or("none", |name| name.0);
    report::answered(&method, route, response.status(), started.elapsed(), client);
    response
}

/// Nothing here may be kept by a cache, guessed at by a browser, or framed.
const EVERYWHERE: [(HeaderName, HeaderValue); 3] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
];

/// Waits until the server closes.
async fn closes(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closes| *closes).await;
}

/// A response of this, as JSON.
fn shown(status: StatusCode, body: &impl Serialize) -> Response {
    written(status, "application/json", serde_json::to_vec(body).unwrap_or_default())
}

/// A response of these bytes.
fn written(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let content_type = HeaderValue::from_static(content_type);
    let mut response = (status, body.into()).into_response();
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests;
