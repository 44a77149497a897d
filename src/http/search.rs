//! Verifications that are found again: by their tenant, and by operators.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::auth::{self, Admin, Operator, Viewer};
use super::json::{self, Checks, Fault, Field};
use super::lists::query;
use super::problem::{Code, FieldCode, Problem};
use super::verify::{Named, carried_out, fault, known};
use super::{App, shown, start};
use crate::access::Scope;
use crate::ambient::Timestamp;
use crate::gateway::resource::Resource;
use crate::gateway::search::{Found, LIMIT_MOST, Place, Row, Wanted};
use crate::verify::number::{Country, PhoneNumber};
use crate::verify::signal::{Reason, Status};

/// How many verifications are on a page, unless it is said.
const LIMIT: usize = 50;

/// The longest text that is looked for, in characters.
const TEXT_MOST: usize = 256;

/// The longest that an operator may say why, in characters.
const WHY_MOST: usize = 200;

/// A page of verifications.
#[derive(Serialize, ToSchema)]
pub(super) struct List {
    /// The verifications, the newest first.
    verifications: Vec<Resource>,
    /// The `cursor` of the next page; null: there are no older ones.
    #[schema(required, example = "18c2f3a1b9e40.vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE")]
    next: Option<String>,
    /// How far back was looked for this page, where there may be older ones. Not all of them are looked at at once: a
    /// page may have few, or none, and a `next`.
    #[schema(required, format = DateTime, example = "2026-11-24T18:49:43.123Z")]
    back_to: Option<String>,
}

/// List verifications
///
/// The newest first, page by page. Each parameter leaves out those that it does not fit; a range without any is an
/// empty list.
#[utoipa::path(
    get,
    path = "/v1/verifications",
    operation_id = "list",
    tag = "Verifications",
    params(
        ("status" = Option<String>, Query, pattern = "^(pending|approved|denied|expired|failed|canceled)$", description = "How they stand.", example = "failed"),
        ("channel" = Option<String>, Query, pattern = "^(voice|sms)$", description = "How the person was last tried.", example = "voice"),
        ("trunk" = Option<String>, Query, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$", description = "The trunk or carrier by which an attempt went: the `route` of one.", example = "carrier-a"),
        ("country" = Option<String>, Query, pattern = "^[A-Z]{2}$", description = "The country of the number (ISO 3166).", example = "US"),
        ("from" = Option<String>, Query, description = "Those that were begun then or later: a time (RFC 3339, UTC), or a day.", example = "2026-11-24T18:00:00Z"),
        ("to" = Option<String>, Query, description = "And before this; to the end of the day where a day is written.", example = "2026-11-24"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "The most on a page; 50 without.", example = 50),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before.", example = "18c2f3a1b9e40.vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE"),
    ),
    responses(
        (status = 200, description = "A page of them.", body = List, content_type = "application/json"),
    ),
    security(("key" = [])),
)]
pub(super) async fn list(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let caller = auth::caller(&app, request.headers(), request.extensions(), Scope::Read).await?;
    let names = ["status", "channel", "trunk", "country", "from", "to", "limit", "cursor"];
    let mut asked = Asked::of(&request, &names)?;
    let range = asked.range("from", "to");
    let (mut wanted, page) = asked.done(range, |_| true)?;
    wanted.tenant = Some(caller.tenant.name.clone());
    let Found { verifications, next } = page.of(&app, wanted).await?;
    let verifications = verifications.iter().map(Resource::from).collect();
    let (back_to, next) = told(next);
    Ok(shown(StatusCode::OK, &List { verifications, next, back_to }))
}

/// Those that an operator looks for, of whichever tenant.
pub(super) async fn find(
    _: Viewer,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    let names = [
        "number",
        "subject",
        "reference",
        "status",
        "reason",
        "channel",
        "trunk",
        "carrier",
        "country",
        "tenant",
        "since",
        "until",
        "limit",
        "cursor",
    ];
    let mut asked = Asked::of(&request, &names)?;
    let range = asked.range("since", "until");
    let (wanted, page) = asked.done(range, |tenant| app.gateway.knows_tenant(tenant))?;
    let Found { verifications, next } = page.of(&app, wanted).await?;
    let rows: Vec<_> = verifications.iter().map(Row::from).collect();
    let (back_to, next) = told(next);
    let body = json!({ "verifications": rows, "next": next, "back_to": back_to });
    Ok(shown(StatusCode::OK, &body))
}

fn told(next: Option<Place>) -> (Option<String>, Option<String>) {
    next.map(|next| (next.at.to_rfc3339(), next.written())).unzip()
}

/// Takes a verification back in its caller's place: its phone stops ringing.
pub(super) async fn cancel(
    operator: Operator,
    State(app): State<App>,
    id: Named,
    request: Request,
) -> Result<Response, Problem> {
    let id = known(id)?;
    query(&request, &[])?;
    let gateway = app.gateway;
    let found = gateway.row(&id).await.map_err(fault)?.ok_or_else(none)?;
    let work = async move {
        let about = json!({ "tenant": found.tenant, "verification": found.id });
        gateway.audit(operator.act("verification.cancel", about)).await?;
        gateway.take_back(&id).await
    };
    let row = carried_out(work).await.map_err(fault)?.ok_or_else(none)?;
    Ok(shown(StatusCode::OK, &row))
}

/// Why a number is to be shown.
#[derive(Debug, Deserialize)]
struct Why {
    #[serde(default)]
    reason: Field<String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// Tells the number of a verification in full, once it is written down who wanted it, and why.
pub(super) async fn unmask(
    Admin(operator): Admin,
    State(app): State<App>,
    id: Named,
    request: Request,
) -> Result<Response, Problem> {
    let id = known(id)?;
    let reason = why(json::posted(&app, request).await?)?;
    let gateway = app.gateway;
    let found = gateway.row(&id).await.map_err(fault)?.ok_or_else(none)?;
    let about = json!({ "tenant": found.tenant, "verification": found.id, "reason": reason });
    gateway.audit(operator.act("number.unmask", about)).await.map_err(fault)?;
    let number = gateway.number_of(&id).await.map_err(fault)?.ok_or_else(none)?;
    Ok(shown(StatusCode::OK, &json!({ "id": found.id, "number": number.expose() })))
}

fn why(why: Why) -> Result<String, Problem> {
    let mut checks = Checks::default();
    let reason = checks.required("reason", why.reason, |text| {
        let text = text.trim();
        let fits = (1..=WHY_MOST).contains(&text.chars().count());
        if !fits || text.chars().any(char::is_control) {
            return Err(invalid("has 1 to 200 characters, in one line"));
        }
        let mut words = text.split(|c: char| c != '+' && !c.is_ascii_digit());
        if words.any(|word| word.parse::<PhoneNumber>().is_ok()) {
            return Err(invalid("must hold no phone number: the audit log has none"));
        }
        Ok(text.to_owned())
    });
    checks.unknown(why.unknown.keys());
    checks.done()?;
    reason.ok_or_else(|| Problem::new(Code::InvalidRequest))
}

fn none() -> Problem {
    Problem::new(Code::NotFound).because("there is no such verification")
}

/// What stands in a query, on the way to what is wanted.
struct Asked {
    fields: BTreeMap<String, String>,
    checks: Checks,
}

/// From when on, and until when.
type Range = (Option<Timestamp>, Option<Timestamp>);

/// Which page.
struct Page {
    limit: usize,
    after: Option<Place>,
}

impl Page {
    async fn of(self, app: &App, wanted: Wanted) -> Result<Found, Problem> {
        let place = app.load.search().await?;
        let found = app.gateway.search(&wanted, self.after.as_ref(), self.limit);
        place.during(found).await.map_err(fault)
    }
}

impl Asked {
    fn of(request: &Request, names: &[&str]) -> Result<Self, Problem> {
        Ok(Self { fields: query(request, names)?, checks: Checks::default() })
    }

    /// A parameter, if it is there and as it must be; what is wrong with it is noted.
    fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(String) -> Result<T, Fault>,
    ) -> Option<T> {
        let field = self.fields.remove(name).map_or(Field::Absent, Field::Given);
        self.checks.optional(name, field, read)
    }

    /// From one time or day to another.
    fn range(&mut self, since: &'static str, until: &'static str) -> Range {
        const MUST: &str = "must be a time as 2026-11-26T18:00:00Z (RFC 3339, UTC), or a day";
        let from = self.read(since, |text| Timestamp::from(&text).ok_or_else(|| invalid(MUST)));
        let to = self.read(until, |text| {
            // A day to its end, which is the first moment that is not meant.
            let day = || Timestamp::until(&text).map(|last| last + Duration::from_micros(1));
            Timestamp::from_rfc3339(&text).or_else(day).ok_or_else(|| invalid(MUST))
        });
        if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            self.checks.refuse(until, invalid("must be after the beginning of the range"));
        }
        (from, to)
    }

    /// What is wanted, and which page of it; or every bad parameter.
    fn done(
        mut self,
        (since, until): Range,
        knows: impl Fn(&str) -> bool,
    ) -> Result<(Wanted, Page), Problem> {
        let wanted = Wanted {
            // A plus that nobody has escaped is a space.
            number: self.read("number", |text| start::number(text.replacen(' ', "+", 1))),
            subject: self.read("subject", words),
            reference: self.read("reference", words),
            status: self.read("status", |word| {
                let must = "must be one of: pending, approved, denied, expired, failed, canceled";
                Status::parse(&word).ok_or_else(|| invalid(must))
            }),
            reason: self.read("reason", |word| {
                let must = "must be a reason for which verifications end, as busy or wrong_key";
                Reason::parse(&word).ok_or_else(|| invalid(must))
            }),
            channel: self.read("channel", start::channel),
            trunk: self.read("trunk", words),
            carrier: self.read("carrier", words),
            country: self.read("country", |text| text.parse::<Country>().map_err(invalid)),
            tenant: self.read("tenant", |name| match knows(&name) {
                true => Ok(name),
                false => Err(invalid("there is no such tenant")),
            }),
            since,
            until,
        };
        let limit = self.read("limit", |text| {
            let is_whole = text.bytes().all(|byte| byte.is_ascii_digit());
            let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MOST).contains(limit));
            limit
                .filter(|_| is_whole)
                .ok_or_else(|| invalid("must be a whole number from 1 to 200"))
        });
        let after = self.read("cursor", |text| {
            Place::parse(&text).ok_or_else(|| invalid("must be the next of a page before"))
        });
        self.checks.done()?;
        Ok((wanted, Page { limit: limit.unwrap_or(LIMIT), after }))
    }
}

/// What somebody has written.
fn words(text: String) -> Result<String, Fault> {
    let fits = (1..=TEXT_MOST).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) {
        Ok(text)
    } else {
        Err(invalid("has 1 to 256 characters, in one line"))
    }
}

fn invalid(detail: &'static str) -> Fault {
    (FieldCode::InvalidValue, detail.into())
}
