//! Verifications: start, read, check, resend, cancel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::problem::{Code, FieldCode, FieldError, Problem};
use super::{App, auth, body, closes, json, query, report, start, written};
use crate::access::Scope;
use crate::gateway::resource::{Resource, render, render_checked, render_dry};
use crate::gateway::settings::Tenant;
use crate::gateway::{
    AnswerOf, Answered, BeginError, CheckError, Fault, Idempotency, InCall, ResendError,
};
use crate::verify::limits::{Left, Limited};
use crate::verify::money::Overspent;
use crate::verify::policy::Refusal;
use crate::verify::request::Channel;
use crate::verify::signal::Reason;
use crate::verify::trace::{Traceparent, Tracestate};
use crate::verify::transaction::Transaction;
use crate::verify::{Verification, VerificationId};

/// What stands for `{id}` in the path, if it is text.
pub(super) type Named = Result<Path<String>, PathRejection>;

/// The header by which a request can be repeated.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header that marks the answer of a repeat.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What is left of a limit.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Start a verification
///
/// Calls the phone, says who is asking and listens for `#`, or sends a text with a code. Answers at
/// once; read the verification with `wait`, or take the webhook, to learn the verdict.
///
/// Who asks the same again while it is pending (the same `subject` and all other fields, within the
/// tenant's `join_secs`) joins the verification that is under way: nothing more is sent. A number has one
/// call at a time; another is refused as `call_in_progress`.
#[utoipa::path(
    post,
    path = "/v1/verifications",
    operation_id = "start",
    tag = "Verifications",
    params(
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
         description = "Visible ASCII characters. The same key and body get the same answer, byte for byte, for 24 hours, and no second call.",
         example = "0f6c1c2e-login-991"),
        ("traceparent" = Option<String>, Header,
         description = "The trace that this is part of (W3C Trace Context). It goes along with webhooks and with what is asked of carriers; a malformed one is ignored.",
         example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate" = Option<String>, Header,
         description = "What tracing systems say of that trace. It goes along with the `traceparent`, up to 512 characters; one that is malformed or longer is ignored, and so is one without a `traceparent`.",
         example = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
    ),
    request_body(content = start::Start, content_type = "application/json"),
    responses(
        (status = 201, description = "Started.", body = Resource, content_type = "application/json",
         headers(
            ("Location" = String, description = "The path of the verification."),
            ("Idempotent-Replayed" = Option<String>, description = "`true` when this is the answer of an earlier request."),
         )),
        (status = 200, description = "Nothing was started: the same is being asked already, and this is that verification, with `\"joined\": true` and its `Location`; or it was a dry run, with `\"dry_run\": true`.", body = Resource, content_type = "application/json"),
    ),
    security(("key" = [])),
)]
pub(super) async fn start(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    app.load.may_start()?;
    let (parts, body) = request.into_parts();
    let caller = auth::caller(&app, &parts.headers, &parts.extensions, Scope::Start).await?;
    let tenant = Arc::clone(&caller.tenant);
    begin(app, tenant, parts, body).await
}

/// Starts a verification as a tenant would: an operator tries a phone, or a trunk.
pub(super) async fn start_as(
    operator: auth::Operator,
    State(app): State<App>,
    name: Named,
    request: Request,
) -> Result<Response, Problem> {
    let unknown = || Problem::new(Code::NotFound).because("there is no such tenant");
    let Path(name) = name.map_err(|_| unknown())?;
    let tenant = app.gateway.live_tenant(&name).ok_or_else(unknown)?;
    let act = operator.act("start", serde_json::json!({ "tenant": name }));
    app.gateway.audit(act).await.map_err(fault)?;
    let (parts, body) = request.into_parts();
    begin(app, tenant, parts, body).await
}

async fn begin(
    app: App,
    tenant: Arc<Tenant>,
    parts: Parts,
    body: Body,
) -> Result<Response, Problem> {
    query::none(parts.uri.query())?;
    let key = idempotency_key(&parts.headers)?;
    body::must_be_json(&parts.headers)?;
    let body = body::read(&app.settings, &parts.headers, body).await?;
    let place = app.load.start().await?;
    let mut asked = start::read(&body, &tenant)?;
    asked.request.traceparent = traceparent(&parts.headers);
    if asked.request.traceparent.is_some() {
        asked.request.tracestate = tracestate(&parts.headers);
    }
    let render = if asked.dry_run { render_dry } else { render };
    let answer = answer_of(&parts, &body, key, render);
    let gateway = app.gateway;
    let begin = async move { gateway.begin(&tenant, asked, answer).await };
    let begun = carried_out(place.during(begin)).await;
    let mut response = answered(StatusCode::CREATED, begun?)?;
    if let Some(Told(id)) = response.extensions_mut().remove() {
        let location = HeaderValue::try_from(format!("/v1/verifications/{id}"));
        response.headers_mut().extend(location.ok().map(|location| (LOCATION, location)));
    }
    Ok(response)
}

/// Read a verification
///
/// With `wait`, answers as soon as `version` is above `since`, or the verification is settled, or
/// the wait is over, whichever comes first. Without `since`, it waits for the next change.
#[utoipa::path(
    get,
    path = "/v1/verifications/{id}",
    operation_id = "read",
    tag = "Verifications",
    params(
        ("id" = String, Path, description = "The verification's `id`.", example = "vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE"),
        ("wait" = Option<u32>, Query, minimum = 0, maximum = 60, description = "How long to wait for news, in seconds.", example = 25),
        ("since" = Option<u64>, Query, minimum = 0, description = "The `version` that is known already.", example = 3),
    ),
    responses(
        (status = 200, description = "How it stands.", body = Resource, content_type = "application/json"),
    ),
    security(("key" = [])),
)]
pub(super) async fn read(
    State(app): State<App>,
    id: Named,
    request: Request,
) -> Result<Response, Problem> {
    let caller = auth::caller(&app, request.headers(), request.extensions(), Scope::Read).await?;
    let tenant = &caller.tenant;
    let id = known(id)?;
    let query::Wait { wait, since } = query::wait(request.uri().query())?;
    let now = app.gateway.read(tenant, &id).await.map_err(fault)?;
    let now = now.ok_or_else(|| Problem::new(Code::NotFound))?;
    let since = since.unwrap_or(now.version);
    let patience = Duration::from_secs(wait.unwrap_or(0));
    if patience.is_zero() || now.version > since || now.verdict().is_some() {
        return Ok(resource(&now));
    }
    let _place = app.load.wait()?;
    let mut closing = app.closing.clone();
    let news = tokio::select! {
        news = app.gateway.wait(tenant, &id, since, patience) => news,
        _ = closes(&mut closing) => app.gateway.read(tenant, &id).await,
    };
    let news = news.map_err(fault)?;
    Ok(resource(&news.ok_or_else(|| Problem::new(Code::NotFound))?))
}

/// Cancel a verification
///
/// Ends it, and the phone stops ringing. A verification that is settled already stays as it is,
/// and is answered so.
#[utoipa::path(
    post,
    path = "/v1/verifications/{id}/cancel",
    operation_id = "cancel",
    tag = "Verifications",
    params(
        ("id" = String, Path, description = "The verification's `id`.", example = "vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
         description = "Visible ASCII characters. The same key gets the same answer, byte for byte, for 24 hours."),
    ),
    responses(
        (status = 200, description = "How it stands now.", body = Resource, content_type = "application/json",
         headers(
            ("Idempotent-Replayed" = Option<String>, description = "`true` when this is the answer of an earlier request."),
         )),
    ),
    security(("key" = [])),
)]
pub(super) async fn cancel(
    State(app): State<App>,
    id: Named,
    request: Request,
) -> Result<Response, Problem> {
    let asked = asked(&app, id, request, Scope::Cancel).await?;
    let place = app.load.follow().await?;
    empty(&asked)?;
    let answer = asked.answer(render);
    let Asked { tenant, id, .. } = asked;
    let gateway = app.gateway;
    let cancel = async move { gateway.cancel(&tenant, &id, answer).await };
    let canceled = carried_out(place.during(cancel)).await;
    let canceled = canceled.map_err(fault)?.ok_or_else(|| Problem::new(Code::NotFound))?;
    answered(StatusCode::OK, canceled)
}

/// What is checked.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Check {
    /// The code, as it was typed: spaces and dashes are passed over.
    #[schema(value_type = String, required, max_length = 64, pattern = "^[ \u{a0}-]*(?:[0-9][ \u{a0}-]*){1,32}$", example = "123456")]
    #[serde(default)]
    code: json::Field<String>,
    /// The payment, where the verification is of one: what the page is about to carry out.
    #[schema(value_type = Option<start::Payment>)]
    #[serde(default)]
    transaction: json::Field<Map<String, Value>>,
    #[schema(ignore)]
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// Check a code
///
/// Compares the code that the person typed. The right one approves, once; five wrong ones, typed or
/// sent back, end the verification, and no attempt gives any of them back. Where a payment is approved,
/// the right code with another payment, or with none, is a wrong one.
#[utoipa::path(
    post,
    path = "/v1/verifications/{id}/check",
    operation_id = "check",
    tag = "Verifications",
    params(
        ("id" = String, Path, description = "The verification's `id`.", example = "vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
         description = "Visible ASCII characters. The same key gets the same answer, byte for byte, for 24 hours, and costs no second comparison."),
    ),
    request_body(content = Check, content_type = "application/json"),
    responses(
        (status = 200, description = "Compared: the verification as it stands now, with `matched`.", body = Checked, content_type = "application/json",
         headers(
            ("Idempotent-Replayed" = Option<String>, description = "`true` when this is the answer of an earlier request."),
         )),
    ),
    security(("key" = [])),
)]
pub(super) async fn check(
    State(app): State<App>,
    id: Named,
    request: Request,
) -> Result<Response, Problem> {
    let asked = asked(&app, id, request, Scope::Check).await?;
    let place = app.load.follow().await?;
    let (code, payment) = typed(&asked)?;
    let answer = asked.answer(render_checked);
    let Asked { tenant, id, .. } = asked;
    let gateway = app.gateway;
    let work = async move { gateway.check(&tenant, &id, &code, payment.as_ref(), answer).await };
    let checked =
        carried_out(place.during(work)).await?.ok_or_else(|| Problem::new(Code::NotFound))?;
    answered(StatusCode::OK, checked)
}

/// What people type between digits, and what pages put there.
const BETWEEN_DIGITS: [char; 3] = [' ', '\u{a0}', '-'];

/// The code of a check, without what people type between digits, and the payment that it is for. What
/// cannot be a code or a payment is not compared, and costs nothing.
fn typed(asked: &Asked) -> Result<(Zeroizing<String>, Option<Transaction>), Problem> {
    body::must_be_json(&asked.parts.headers)?;
    let check: Check = json::fields(&asked.body)?;
    let mut checks = json::Checks::default();
    let code = checks.required("code", check.code, |text| {
        let digits: String = text.chars().filter(|c| !BETWEEN_DIGITS.contains(c)).collect();
        let fits = (1..=32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let fits = fits && text.chars().count() <= 64;
        let wrong = (FieldCode::InvalidValue, "must be digits, at most 32".into());
        if fits { Ok(Zeroizing::new(digits)) } else { Err(wrong) }
    });
    let payment = checks.optional("transaction", check.transaction, start::transaction);
    checks.unknown(check.unknown.keys());
    checks.done()?;
    code.map(|code| (code, payment)).ok_or_else(|| Problem::new(Code::InvalidRequest))
}

/// What a check is answered.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it is only described: the resource renders itself")]
pub(super) struct Checked {
    #[schema(inline)]
    #[serde(flatten)]
    resource: Resource,
    /// Whether it was the code.
    matched: bool,
}

/// Which attempt is asked for.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct Resend {
    /// How to reach the person this time; as before when left out.
    #[schema(value_type = Option<String>, pattern = "^(voice|sms)$", example = "sms")]
    #[serde(default)]
    channel: json::Field<String>,
    #[schema(ignore)]
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// Make another attempt
///
/// Calls or texts once more, within the same verification: the deadline stays, no check is given
/// back, and a text carries the same code unless the tenant wants new ones. Not before
/// `next_send_at` (60 seconds after the first attempt, then 120, then 300), and at most 5 attempts.
/// A call that still rings is ended.
#[utoipa::path(
    post,
    path = "/v1/verifications/{id}/resend",
    operation_id = "resend",
    tag = "Verifications",
    params(
        ("id" = String, Path, description = "The verification's `id`.", example = "vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
         description = "Visible ASCII characters. The same key gets the same answer, byte for byte, for 24 hours, and no second attempt."),
    ),
    request_body(content = Option<Resend>, content_type = "application/json"),
    responses(
        (status = 200, description = "How it stands now.", body = Resource, content_type = "application/json",
         headers(
            ("Idempotent-Replayed" = Option<String>, description = "`true` when this is the answer of an earlier request."),
         )),
    ),
    security(("key" = [])),
)]
pub(super) async fn resend(
    State(app): State<App>,
    id: Named,
    request: Request,
) -> Result<Response, Problem> {
    let asked = asked(&app, id, request, Scope::Start).await?;
    let place = app.load.start().await?;
    let channel = again_by(&asked)?;
    let answer = asked.answer(render);
    let Asked { tenant, id, .. } = asked;
    let gateway = app.gateway;
    let work = async move { gateway.resend(&tenant, &id, channel, answer).await };
    let resent =
        carried_out(place.during(work)).await?.ok_or_else(|| Problem::new(Code::NotFound))?;
    answered(StatusCode::OK, resent)
}

fn again_by(asked: &Asked) -> Result<Option<Channel>, Problem> {
    if asked.body.is_empty() {
        return Ok(None);
    }
    body::must_be_json(&asked.parts.headers)?;
    let resend: Resend = json::fields(&asked.body)?;
    let mut checks = json::Checks::default();
    let channel = checks.optional("channel", resend.channel, start::channel);
    checks.unknown(resend.unknown.keys());
    checks.done().map(|()| channel)
}

/// A request that asks something of a verification.
struct Asked {
    tenant: Arc<Tenant>,
    id: VerificationId,
    key: Option<String>,
    parts: Parts,
    body: Bytes,
}

impl Asked {
    fn answer(&self, render: fn(&Verification) -> Vec<u8>) -> AnswerOf {
        answer_of(&self.parts, &self.body, self.key.clone(), render)
    }
}

/// Whose request it is, of which verification, and what it says.
async fn asked(app: &App, id: Named, request: Request, scope: Scope) -> Result<Asked, Problem> {
    let (parts, body) = request.into_parts();
    let caller = auth::caller(app, &parts.headers, &parts.extensions, scope).await?;
    let tenant = Arc::clone(&caller.tenant);
    let id = known(id)?;
    query::none(parts.uri.query())?;
    let key = idempotency_key(&parts.headers)?;
    let body = body::read(&app.settings, &parts.headers, body).await?;
    Ok(Asked { tenant, id, key, parts, body })
}

/// The name in the path. One that cannot be one is as unknown as any other.
pub(super) fn known(id: Named) -> Result<VerificationId, Problem> {
    id.ok()
        .and_then(|Path(id)| VerificationId::parse(&id))
        .ok_or_else(|| Problem::new(Code::NotFound))
}

/// A body that says nothing: no byte, or `{}`.
fn empty(asked: &Asked) -> Result<(), Problem> {
    if asked.body.is_empty() {
        return Ok(());
    }
    body::must_be_json(&asked.parts.headers)?;
    let mut checks = json::Checks::default();
    checks.unknown(json::object(&asked.body)?.keys());
    checks.done()
}

/// The trace that a request is part of. W3C Trace Context § 3.2.1: a request has one `traceparent`; what has more, or
/// one that is malformed, is part of none.
fn traceparent(headers: &HeaderMap) -> Option<Traceparent> {
    let mut all = headers.get_all(Traceparent::HEADER).iter();
    let one = all.next().filter(|_| all.next().is_none())?;
    Traceparent::read(one.to_str().ok()?)
}

/// What is said of it. § 3.3.1: "When receiving multiple tracestate header fields, they MUST be combined into a single
/// header".
fn tracestate(headers: &HeaderMap) -> Option<Tracestate> {
    let all = headers.get_all(Tracestate::HEADER).iter();
    let all: Vec<&str> = all.map(|one| one.to_str().ok()).collect::<Option<_>>()?;
    Tracestate::read(&all.join(","))
}

/// The key of the one `Idempotency-Key` header, where there is one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut all = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = all.next() else {
        return Ok(None);
    };
    let visible = |key: &&str| key.bytes().all(|b| b.is_ascii_graphic());
    let key = first.to_str().ok().filter(|key| (1..=255).contains(&key.len())).filter(visible);
    match (key, all.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => {
            let must_be = "must stand once and have 1 to 255 visible ASCII characters";
            let field = FieldError::new("Idempotency-Key", FieldCode::InvalidValue, must_be);
            Err(Problem::fields(vec![field]))
        }
    }
}

fn answer_of(
    parts: &Parts,
    body: &[u8],
    key: Option<String>,
    render: fn(&Verification) -> Vec<u8>,
) -> AnswerOf {
    let idempotency = key.map(|key| Idempotency { key, fingerprint: fingerprint(parts, body) });
    AnswerOf { idempotency, render }
}

/// What was asked: method, path and raw body. Neither method nor path has a line break.
fn fingerprint(parts: &Parts, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(parts.method.as_str());
    hash.update("\n");
    hash.update(parts.uri.path());
    hash.update("\n");
    hash.update(body);
    hash.finalize().into()
}

/// Carries something out to its end even if the client goes away: what was asked for is not left
/// half done.
pub(super) async fn carried_out<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only the end of the runtime cuts a task that nobody aborts.
            Err(_) => std::future::pending().await,
        },
    }
}

/// The verification that an answer tells of.
#[derive(Clone)]
struct Told(VerificationId);

fn answered(status: StatusCode, answered: Answered) -> Result<Response, Problem> {
    let (status, body, id, left, replayed) = match answered {
        Answered::Fresh { body, id, left } => (status, body, id, left, false),
        Answered::Replayed { body, id } => (status, body, id, None, true),
        Answered::Joined { body, id, replayed } => (StatusCode::OK, body, id, None, replayed),
        Answered::Dry { body } => return Ok(written(StatusCode::OK, "application/json", body)),
        Answered::Mismatch => return Err(Problem::new(Code::IdempotencyMismatch)),
    };
    let mut response = written(status, "application/json", body);
    response.extensions_mut().insert(Told(id));
    if let Some(left) = left.and_then(|left| HeaderValue::try_from(rate_limit(&left)).ok()) {
        response.headers_mut().insert(RATE_LIMIT, left);
    }
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// What is left of the limit that is closest to its end (draft-ietf-httpapi-ratelimit-headers): its name, `q`
/// the quota, `w` its window in seconds, `r` how many are left.
fn rate_limit(left: &Left) -> String {
    let Left { by, rate, more } = left;
    format!("\"{}\";q={};w={};r={more}", by.as_str(), rate.most, rate.window.as_secs())
}

fn resource(verification: &Verification) -> Response {
    written(StatusCode::OK, "application/json", render(verification))
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Country { .. } | Refusal::Closed { .. } => Code::CountryDenied,
            Refusal::Network { .. }
            | Refusal::Kind { .. }
            | Refusal::FixedLine
            | Refusal::NotReserved => Code::PolicyDenied,
            Refusal::OptedOut => Code::OptedOut,
            Refusal::Blocked(_) => Code::Blocked,
        };
        Self::new(code).because(refusal.to_string())
    }
}

impl From<Limited> for Problem {
    fn from(limited: Limited) -> Self {
        let problem = Self::new(Code::RateLimited).because(limited.to_string());
        // A limit of none never gives way.
        match limited.wait {
            Some(wait) => problem.after(wait.as_secs().max(1)),
            None => problem,
        }
    }
}

impl From<Overspent> for Problem {
    fn from(over: Overspent) -> Self {
        let problem = Self::new(Code::BudgetDenied).because(over.to_string());
        match over {
            Overspent::Cap { wait: Some(wait), .. } => problem.after(wait.as_secs().max(1)),
            Overspent::Cap { wait: None, .. } | Overspent::Unpriced { .. } => problem,
        }
    }
}

impl From<InCall> for Problem {
    fn from(busy: InCall) -> Self {
        Self::new(Code::CallInProgress).after(busy.wait.as_secs().max(1))
    }
}

impl From<BeginError> for Problem {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Refused(refusal) => refusal.into(),
            BeginError::NoRoute(no_route) => Self::new(Code::NoRoute).because(no_route.to_string()),
            BeginError::Limited(limited) => limited.into(),
            BeginError::InCall(busy) => busy.into(),
            BeginError::Overspent(over) => over.into(),
            BeginError::Risky(denied) => Self::new(Code::RiskDenied).because(denied.to_string()),
            BeginError::NotReady(why) => Self::new(Code::NotReady).because(why),
            BeginError::Fault(ours) => fault(ours),
        }
    }
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Settled(_, Reason::CodeMatched) => Self::new(Code::AlreadyUsed),
            CheckError::Settled(_, Reason::TooManyChecks) => Self::new(Code::TooManyChecks),
            CheckError::Settled(status, reason) => Self::new(Code::AlreadySettled)
                .because(format!("the verification is {}: {}", status.as_str(), reason.as_str())),
            CheckError::NoCode => Self::new(Code::NothingSent),
            CheckError::Fault(ours) => fault(ours),
        }
    }
}

impl From<ResendError> for Problem {
    fn from(error: ResendError) -> Self {
        match error {
            ResendError::Settled(status) => Self::new(Code::AlreadySettled)
                .because(format!("the verification is {}", status.as_str())),
            ResendError::TooSoon { at, wait } => Self::new(Code::TooSoon)
                .because(format!("wait until {}", at.to_rfc3339()))
                .after(wait.as_secs() + 1),
            ResendError::NoSendsLeft => Self::new(Code::NoSendsLeft),
            ResendError::Refused(refusal) => refusal.into(),
            ResendError::NoRoute(none) => Self::new(Code::NoRoute).because(none.to_string()),
            ResendError::Limited(limited) => limited.into(),
            ResendError::InCall(busy) => busy.into(),
            ResendError::Overspent(over) => over.into(),
            ResendError::NotReady => {
                Self::new(Code::NotReady).because("this node is shutting down")
            }
            ResendError::Fault(ours) => fault(ours),
        }
    }
}

/// Logged once, here; the caller learns only that it was ours.
#[expect(clippy::needless_pass_by_value, reason = "it ends here, and `map_err` hands it over")]
pub(super) fn fault(fault: Fault) -> Problem {
    report::fault(&fault);
    Problem::new(if fault.is_tampering() {
        Code::StoreTampered
    } else if fault.is_full() {
        Code::StoreFull
    } else if fault.is_unsafe() {
        Code::StoreUnsafe
    } else {
        Code::Internal
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_of_visible_ascii_is_taken() {
        let read = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
            }
            idempotency_key(&headers)
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"a-1"]), Ok(Some("a-1".to_owned())));
        assert!(read(&[&[b'x'; 255]]).is_ok());
        for bad in [&b""[..], b"a b", b"\xc3\xbc", &[b'x'; 256]] {
            assert!(read(&[bad]).is_err(), "{bad:?}");
        }
        assert!(read(&[b"a", b"a"]).is_err());
    }

    #[test]
    fn the_fingerprint_tells_method_path_and_body_apart() {
        let of = |method: &str, path: &str, body: &[u8]| {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            fingerprint(&request.into_parts().0, body)
        };
        let one = of("POST", "/a", b"{}");
        assert_eq!(one, of("POST", "/a", b"{}"));
        for other in [of("PUT", "/a", b"{}"), of("POST", "/b", b"{}"), of("POST", "/a", b"{ }")] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_refusal_has_the_code_that_policy_gives_it() {
        use crate::verify::block::{About, Blocked, Why};

        let country: crate::verify::number::Country = "FR".parse().unwrap();
        let kind = crate::verify::number::NumberKind::Premium;
        let channel = Channel::Voice;
        for refusal in [
            Refusal::Closed { country: country.clone(), channel },
            Refusal::Country { country, channel },
            Refusal::Network { prefix: "+881" },
            Refusal::Kind { kind },
            Refusal::FixedLine,
            Refusal::NotReserved,
            Refusal::OptedOut,
            Refusal::Blocked(Blocked { about: About::Number, why: Why::Operator, until: None }),
        ] {
            let (code, detail) = (refusal.code(), refusal.to_string());
            let wanted = Code::ALL.iter().find(|known| known.as_str() == code).copied().unwrap();
            assert_eq!(
                Problem::from(BeginError::Refused(refusal)),
                Problem::new(wanted).because(detail)
            );
        }
    }
}
