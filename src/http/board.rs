//! The operator's page: one page with its style and its script, all from this listener, and what it lives on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

use super::auth::{Operator, Viewer};
use super::problem::{Code, Problem};
use super::stream::{Gone, Writer, streamed};
use super::{App, closes, shown, written};
use crate::gateway::{Changes, Figures, TrunkView};
use crate::verify::selftest::Standing;

/// How soon a change is told.
const TOLD_WITHIN: Duration = Duration::from_millis(250);

/// Every how many times the figures are told, too.
const FIGURES_EVERY: u32 = 4;

/// How many may look on at once.
const LOOKERS_ON: usize = 50;

/// What is told first: how soon a page whose connection broke asks again, in milliseconds.
const GREETING: &str = "retry: 2000\n\n";

/// Only what comes from here: no other site, nothing inline, no frame around it, no form that leads away.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn asset(content_type: &'static str, text: &'static str) -> Response {
    let mut response = written(StatusCode::OK, content_type, text);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// The page. It holds nothing but itself: what it shows, it asks for.
pub(super) async fn page() -> Response {
    asset("text/html; charset=utf-8", include_str!("board/page.html"))
}

/// Its style.
pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("board/page.css"))
}

/// Its script.
pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("board/page.js"))
}

/// What its script draws with.
pub(super) async fn parts() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("board/parts.js"))
}

/// Its mark.
pub(super) async fn mark() -> Response {
    asset("image/svg+xml", include_str!("board/mark.svg"))
}

/// How this node does.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    figures: Figures,
    /// Its version.
    version: &'static str,
    /// Whether it takes new verifications,
    ready: bool,
    /// and why not.
    reasons: Vec<String>,
    trunks: Vec<TrunkView>,
    /// Whether keys come through them, where that is tried.
    selftests: Vec<Standing>,
}

impl Shown {
    fn of(app: &App) -> Self {
        let readiness = app.gateway.ready();
        Self {
            figures: app.gateway.figures(),
            version: env!("CARGO_PKG_VERSION"),
            ready: readiness.ready,
            reasons: readiness.reasons,
            trunks: app.gateway.trunks(),
            selftests: app.gateway.selftests(),
        }
    }
}

/// Everything on the board, once.
#[derive(Serialize)]
struct Board {
    #[serde(flatten)]
    shown: Shown,
    calls: Changes,
}

/// Everything on the board, once.
pub(super) async fn board(_: Viewer, State(app): State<App>) -> Response {
    let calls = app.gateway.changes(None);
    shown(StatusCode::OK, &Board { shown: Shown::of(&app), calls })
}

/// Who looks on.
#[derive(Clone, Debug, Default)]
pub(super) struct LookersOn(Arc<AtomicUsize>);

/// A place among them.
struct Place(LookersOn);

impl LookersOn {
    fn enter(&self) -> Option<Place> {
        let more = |count| (count < LOOKERS_ON).then_some(count + 1);
        let entered = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.is_ok().then(|| Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The board as it changes, as server-sent events: `calls` with the cards that changed, and `figures`.
pub(super) async fn events(
    Viewer(viewer): Viewer,
    State(app): State<App>,
) -> Result<Response, Problem> {
    let told = || format!("{LOOKERS_ON} pages look on already");
    let place = app.lookers_on.enter();
    let place = place.ok_or_else(|| Problem::new(Code::Overloaded).because(told()))?;
    let (writer, body) = streamed();
    tokio::spawn(async move {
        let mut closing = app.closing.clone();
        tokio::select! {
            told = tell(&app, &viewer, &writer) => {
                // Else whoever looked on is gone.
                if told.is_ok() {
                    writer.end().await;
                }
            }
            () = closes(&mut closing) => writer.end().await,
        }
        drop(place);
    });
    Ok(written(StatusCode::OK, "text/event-stream", body))
}

async fn tell(app: &App, viewer: &Operator, writer: &Writer) -> Result<(), Gone> {
    writer.part(GREETING).await?;
    let mut known = None;
    let mut ticks = tokio::time::interval(TOLD_WITHIN);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while viewer.is_still_in(app) {
        for no in 0..FIGURES_EVERY {
            ticks.tick().await;
            let changes = app.gateway.changes(known);
            if changes.whole || !changes.cards.is_empty() {
                writer.part(event("calls", &changes)).await?;
            }
            known = Some(changes.revision);
            if no == 0 {
                writer.part(event("figures", &Shown::of(app))).await?;
            }
        }
    }
    Ok(())
}

/// One event. JSON has no line breaks in it.
fn event(name: &str, data: &impl Serialize) -> String {
    format!("event: {name}\ndata: {}\n\n", serde_json::to_string(data).unwrap_or_default())
}
