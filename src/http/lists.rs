//! For those who run it: what is blocked, what is safe, and what each rule says of a number.

use std::collections::BTreeMap;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Operator, Viewer};
use super::json::{self, Checks, Fault, Field};
use super::problem::{Code, FieldCode, Problem, name};
use super::verify::{carried_out, fault};
use super::{App, shown, start};
use crate::ambient::Timestamp;
use crate::gateway::{Listing, shown_entry};
use crate::verify::block::{List, Prefix, Target, Why};
use crate::verify::explain::passes;
use crate::verify::number::{Country, PhoneNumber};
use crate::verify::request::{Channel, Mode, Request as Question, Way};

/// The longest that an operator may say why, in characters.
const NOTE_MOST: usize = 200;

/// What is to be put on a list, or taken off.
#[derive(Debug, Deserialize)]
struct Wanted {
    /// A number in E.164,
    #[serde(default)]
    number: Field<String>,
    /// or how numbers begin,
    #[serde(default)]
    prefix: Field<String>,
    /// or a country.
    #[serde(default)]
    country: Field<String>,
    /// Whose; everybody's when it is left out.
    #[serde(default)]
    tenant: Field<String>,
    /// Why, for people.
    #[serde(default)]
    reason: Field<String>,
    /// Until when; until it is lifted when it is left out.
    #[serde(default)]
    until: Field<String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// The blocks that hold.
pub(super) async fn blocks(
    _: Viewer,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    let tenant = query(&request, &["tenant"])?.remove("tenant");
    list(app, List::Blocks, tenant.as_deref()).await
}

/// The numbers that are safe.
pub(super) async fn safe(
    _: Viewer,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    let tenant = query(&request, &["tenant"])?.remove("tenant");
    list(app, List::Safe, tenant.as_deref()).await
}

/// Blocks a number, a range or a country.
pub(super) async fn block(
    operator: Operator,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    enlist(operator, app, List::Blocks, request).await
}

/// Makes a number safe.
pub(super) async fn make_safe(
    operator: Operator,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    enlist(operator, app, List::Safe, request).await
}

/// Takes off a list what is said of a number, a range or a country.
pub(super) async fn lift(
    operator: Operator,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    let wanted = read(&app, List::Blocks, request).await?;
    let names = app.gateway.names_of(wanted.list, wanted.tenant.as_deref(), &wanted.target);
    lift_named(operator, app, names).await
}

/// Takes an entry off its list.
pub(super) async fn lift_one(
    operator: Operator,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    lift_named(operator, app, vec![id]).await
}

/// Lifts the first of these that holds.
async fn lift_named(operator: Operator, app: App, names: Vec<String>) -> Result<Response, Problem> {
    let gateway = app.gateway;
    let work = async move {
        for name in names {
            if let Some(lifted) = gateway.lift(&name).await? {
                let what = match lifted.list {
                    List::Blocks => "block.lift",
                    List::Safe => "safe.lift",
                };
                // Not by its name, which would outlast the number's erasure.
                let about = json!({ "tenant": lifted.tenant, "target": lifted.shown });
                gateway.audit(operator.act(what, about)).await?;
                return Ok(Some(lifted));
            }
        }
        Ok(None)
    };
    let lifted = carried_out(work).await.map_err(fault)?;
    let lifted = lifted
        .ok_or_else(|| Problem::new(Code::NotFound).because("there is no such entry that holds"))?;
    Ok(shown(StatusCode::OK, &shown_entry(&lifted)))
}

async fn list(app: App, list: List, tenant: Option<&str>) -> Result<Response, Problem> {
    let found = app.gateway.entries(list, tenant).await.map_err(fault)?;
    let found: Vec<_> = found.iter().map(shown_entry).collect();
    let body = match list {
        List::Blocks => json!({ "blocks": found }),
        List::Safe => json!({ "safe": found }),
    };
    Ok(shown(StatusCode::OK, &body))
}

async fn enlist(
    operator: Operator,
    app: App,
    list: List,
    request: Request,
) -> Result<Response, Problem> {
    let wanted = read(&app, list, request).await?;
    let gateway = app.gateway;
    let what = match list {
        List::Blocks => "block.add",
        List::Safe => "safe.add",
    };
    let work = async move {
        let about = json!({ "tenant": wanted.tenant, "target": wanted.target.shown() });
        gateway.audit(operator.act(what, about)).await?;
        gateway.enlist(&wanted).await
    };
    let entry = carried_out(work).await.map_err(fault)?;
    Ok(shown(StatusCode::CREATED, &shown_entry(&entry)))
}

async fn read(app: &App, list: List, request: Request) -> Result<Listing, Problem> {
    let posted = json::posted(app, request).await?;
    wanted(list, posted, |tenant| app.gateway.knows_tenant(tenant))
}

/// What is wanted, or every bad field.
fn wanted(list: List, wanted: Wanted, knows: impl Fn(&str) -> bool) -> Result<Listing, Problem> {
    let mut checks = Checks::default();
    let given = [&wanted.number, &wanted.prefix, &wanted.country];
    let count = given.into_iter().filter(|field| !matches!(field, Field::Absent)).count();
    let number = checks.optional("number", wanted.number, |text| {
        let why = |why: crate::verify::number::NumberError| {
            (FieldCode::InvalidNumber, why.to_string().into())
        };
        text.parse::<PhoneNumber>().map(Target::Number).map_err(why)
    });
    let prefix = checks.optional("prefix", wanted.prefix, |text| {
        text.parse::<Prefix>().map(Target::Prefix).map_err(invalid)
    });
    let country = checks.optional("country", wanted.country, |text| {
        text.parse::<Country>().map(Target::Country).map_err(invalid)
    });
    let tenant = checks.optional("tenant", wanted.tenant, |tenant| {
        if knows(&tenant) { Ok(tenant) } else { Err(invalid("there is no such tenant")) }
    });
    let note = checks.optional("reason", wanted.reason, |text| {
        let fits = text.chars().count() <= NOTE_MOST && !text.chars().any(char::is_control);
        if fits { Ok(text) } else { Err(invalid("has at most 200 characters, in one line")) }
    });
    let until = checks.optional("until", wanted.until, |text| {
        let must = "must be a time as 2026-11-26T18:00:00Z (RFC 3339, UTC), or a day";
        Timestamp::until(&text).ok_or_else(|| invalid(must))
    });
    checks.unknown(wanted.unknown.keys());
    let target = number.or(prefix).or(country);
    match list {
        List::Blocks if count != 1 => {
            checks.refuse("number", invalid("write one of number, prefix and country"));
        }
        List::Safe if !matches!(target, Some(Target::Number(_)) | None) || count != 1 => {
            checks.refuse("number", invalid("one number alone is safe: write it in E.164"));
        }
        List::Blocks | List::Safe => {}
    }
    if list == List::Safe && until.is_none() {
        checks.refuse("until", (FieldCode::Required, "nothing is safe for ever".into()));
    }
    checks.done()?;
    // A target that is missing or bad has been blamed above.
    let target = target.ok_or_else(|| Problem::new(Code::InvalidRequest))?;
    Ok(Listing { list, tenant, target, why: Why::Operator, note, verification: None, until })
}

/// What each rule says of a start now; nothing is counted or sent.
pub(super) async fn explain(
    _: Viewer,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    let mut asked = query(&request, &["tenant", "to", "channel", "subject", "client_ip"])?;
    let mut checks = Checks::default();
    let mut field = |name: &str| asked.remove(name).map_or(Field::Absent, Field::Given);
    let (to, tenant, channel) = (field("to"), field("tenant"), field("channel"));
    let (subject, client_ip) = (field("subject"), field("client_ip"));
    // A plus that nobody has escaped is a space.
    let to = checks.required("to", to, |text| start::number(text.replacen(' ', "+", 1)));
    let tenant = checks.required("tenant", tenant, Ok);
    let channel = checks.optional("channel", channel, start::channel);
    let subject = checks.optional("subject", subject, Ok);
    let client_ip = checks.optional("client_ip", client_ip, |text: String| {
        text.parse().map_err(|_| invalid("must be an IPv4 or IPv6 address"))
    });
    checks.done()?;
    let (Some(to), Some(tenant)) = (to, tenant) else {
        return Err(Problem::new(Code::InvalidRequest));
    };
    let way = match channel.unwrap_or(Channel::Voice) {
        channel @ Channel::Voice => Way { channel, mode: Mode::Confirm },
        channel @ Channel::Sms => Way { channel, mode: Mode::Code },
    };
    let question = Question { subject, client_ip, ..Question::new(to, way) };
    let words = app.gateway.explain(&tenant, &question).await.map_err(fault)?;
    let words =
        words.ok_or_else(|| Problem::new(Code::NotFound).because("there is no such tenant"))?;
    let to = &question.to;
    let body = json!({
        "tenant": tenant,
        "to": to.masked(),
        "country": to.country().as_str(),
        "kind": to.kind().as_str(),
        "channel": way.channel.as_str(),
        "passes": passes(&words),
        "rules": words,
    });
    Ok(shown(StatusCode::OK, &body))
}

/// The query parameters, each of them known and there once.
pub(super) fn query(
    request: &Request,
    known: &[&str],
) -> Result<BTreeMap<String, String>, Problem> {
    let mut checks = Checks::default();
    let mut found = BTreeMap::new();
    let text = request.uri().query().unwrap_or_default();
    let url = Url::parse(&format!("http://localhost/?{text}"));
    for (key, value) in url.iter().flat_map(Url::query_pairs) {
        if !known.contains(&key.as_ref()) {
            checks.blame(name(&key), FieldCode::UnknownField, "there is no such query parameter");
        } else if found.insert(key.to_string(), value.into_owned()).is_some() {
            checks.blame(key.into_owned(), FieldCode::DuplicateField, "stands more than once");
        }
    }
    checks.done().map(|()| found)
}

fn invalid(detail: &'static str) -> Fault {
    (FieldCode::InvalidValue, detail.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: List, body: &str) -> Result<Listing, Vec<String>> {
        let posted = json::fields(body.as_bytes()).unwrap();
        wanted(list, posted, |tenant| tenant == "acme").map_err(|problem| {
            let shown = serde_json::to_value(problem.shown()).unwrap();
            let errors = shown["errors"].as_array().unwrap().iter();
            errors.map(|it| it["field"].as_str().unwrap().to_owned()).collect()
        })
    }

    #[test]
    fn one_thing_is_blocked_and_each_mistake_is_named() {
        let body = r#"{"number": "+14155550132", "tenant": "acme", "reason": "called us", "until": "2027-03-31"}"#;
        let listing = read(List::Blocks, body).unwrap();
        assert_eq!(listing.target.shown(), "+1******0132");
        assert_eq!((listing.tenant.as_deref(), listing.why), (Some("acme"), Why::Operator));
        assert!(read(List::Blocks, r#"{"prefix": "+1900"}"#).unwrap().until.is_none());
        assert!(read(List::Blocks, r#"{"country": "DE"}"#).unwrap().tenant.is_none());
        for (list, body, fields) in [
            (List::Blocks, "{}", vec!["number"]),
            (List::Blocks, r#"{"number": "+14155550132", "prefix": "+1"}"#, vec!["number"]),
            (List::Blocks, r#"{"number": "4155550132"}"#, vec!["number"]),
            (List::Blocks, r#"{"prefix": "1"}"#, vec!["prefix"]),
            (List::Blocks, r#"{"country": "usa"}"#, vec!["country"]),
            (List::Blocks, r#"{"country": "US", "tenant": "globex"}"#, vec!["tenant"]),
            (List::Blocks, r#"{"country": "US", "until": "soon"}"#, vec!["until"]),
            (List::Blocks, r#"{"country": "US", "hours": 3}"#, vec!["hours"]),
            (List::Blocks, r#"{"country": "US", "reason": "a\nb"}"#, vec!["reason"]),
            (List::Safe, r#"{"prefix": "+1", "until": "2027-03-31"}"#, vec!["number"]),
            (List::Safe, r#"{"number": "+14155550132"}"#, vec!["until"]),
        ] {
            assert_eq!(read(list, body).unwrap_err(), fields, "{body}");
        }
        assert!(read(List::Safe, r#"{"number": "+14155550132", "until": "2027-03-31"}"#).is_ok());
    }
}
