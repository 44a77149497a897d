//! Keys of tenants that are made and taken away while the gateway runs.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::auth::Admin;
use super::json::{self, Checks, Fault, Field};
use super::problem::{Code, FieldCode, Problem};
use super::verify::{carried_out, fault};
use super::{App, query, shown};
use crate::access::key::LIFE_MOST;
use crate::access::{Scope, Terms, network};
use crate::gateway::{KeyView, MakeError, Revoked, Wanted};

/// What stands in the path, if it is text.
type Named<T> = Result<Path<T>, PathRejection>;

/// The most networks that a key may be used from.
const NETWORKS_MOST: usize = 32;

/// A key, as it is told.
#[derive(Serialize)]
struct Told<'a> {
    id: &'a str,
    tenant: &'a str,
    name: Option<&'a str>,
    /// `store`, or `configuration`.
    source: &'static str,
    scopes: Vec<Scope>,
    allow: Vec<String>,
    created_at: Option<String>,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    /// The key itself, in the answer that makes it and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(tenant: &'a str, view: &'a KeyView) -> Self {
        Self {
            id: &view.id,
            tenant,
            name: view.name.as_deref(),
            source: if view.created.is_some() { "store" } else { "configuration" },
            scopes: view.terms.scopes.iter().copied().collect(),
            allow: view.terms.allow.iter().map(ToString::to_string).collect(),
            created_at: view.created.map(|at| at.to_rfc3339()),
            expires_at: view.terms.expires.map(|at| at.to_rfc3339()),
            last_used_at: view.last_used.map(|at| at.to_rfc3339()),
            key: None,
        }
    }
}

#[derive(Serialize)]
struct List<'a> {
    keys: Vec<Told<'a>>,
}

/// The keys of a tenant, without their texts.
pub(super) async fn list(
    _: Admin,
    State(app): State<App>,
    tenant: Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    query::none(request.uri().query())?;
    let tenant = known(tenant)?;
    let views = app.gateway.keys_of(&tenant).ok_or_else(no_tenant)?;
    let keys = views.iter().map(|view| Told::of(&tenant, view)).collect();
    Ok(shown(StatusCode::OK, &List { keys }))
}

/// What a key is to be. All of it may be left out.
#[derive(Debug, Deserialize)]
struct Make {
    /// What it is for: two keys of one name may be live.
    #[serde(default)]
    name: Field<String>,
    #[serde(default)]
    scopes: Field<Vec<Value>>,
    /// How long it lasts, in days.
    #[serde(default)]
    days: Field<u64>,
    /// The networks that it may be used from.
    #[serde(default)]
    allow: Field<Vec<Value>>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// Makes a key. This answer alone holds its text.
pub(super) async fn make(
    Admin(operator): Admin,
    State(app): State<App>,
    tenant: Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let tenant = known(tenant)?;
    let (mut wanted, life) = read(json::posted(&app, request).await?)?;
    wanted.terms.expires = Some(app.gateway.now() + life);
    let (gateway, name) = (app.gateway, tenant.clone());
    let work = async move {
        let scopes: Vec<_> = wanted.terms.scopes.iter().map(|scope| scope.as_str()).collect();
        let about = json!({ "tenant": name, "name": wanted.name, "scopes": scopes });
        gateway.audit(operator.act("key.new", about)).await.map_err(MakeError::Fault)?;
        gateway.make_key(&name, wanted).await
    };
    let made = carried_out(work).await;
    let made = made.map_err(|error| match error {
        MakeError::Full(full) => Problem::new(Code::TooManyKeys).because(full.to_string()),
        MakeError::Fault(error) => fault(error),
    })?;
    let (fresh, view) = made.ok_or_else(no_tenant)?;
    let told = Told { key: Some(&fresh.text), ..Told::of(&tenant, &view) };
    Ok(shown(StatusCode::CREATED, &told))
}

/// Takes a key away. It opens nothing from the next request on.
pub(super) async fn revoke(
    Admin(operator): Admin,
    State(app): State<App>,
    names: Named<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    query::none(request.uri().query())?;
    let Path((tenant, id)) = names.map_err(|_| Problem::new(Code::NotFound))?;
    let gateway = app.gateway;
    let work = async move {
        let about = json!({ "tenant": tenant, "key": id });
        gateway.audit(operator.act("key.revoke", about)).await?;
        gateway.revoke_key(&tenant, &id).await
    };
    let revoked = carried_out(work).await;
    match revoked.map_err(fault)? {
        Revoked::Yes => Ok(StatusCode::NO_CONTENT.into_response()),
        Revoked::Configured => Err(Problem::new(Code::NotFound)
            .because("this key stands in the configuration: take it out there, and reload")),
        Revoked::Unknown => Err(Problem::new(Code::NotFound)),
    }
}

/// What a key is to be, and how long it lasts.
fn read(make: Make) -> Result<(Wanted, Duration), Problem> {
    let mut checks = Checks::default();
    let name = checks.optional("name", make.name, |name: String| {
        let fits = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let wrong = "must be 1 to 64 letters, digits, \".\", \"_\" and \"-\"";
        if fits { Ok(name) } else { Err((FieldCode::InvalidValue, wrong.into())) }
    });
    let scopes = checks.optional("scopes", make.scopes, |words| {
        let scopes = words.iter().map(|word| word.as_str().and_then(Scope::parse)).collect();
        let wrong = format!("must be some of {}", Scope::ALL.map(Scope::as_str).join(", "));
        match scopes {
            Some(scopes) if !words.is_empty() => Ok(scopes),
            Some(_) | None => Err((FieldCode::InvalidValue, wrong.into())),
        }
    });
    let most = LIFE_MOST.as_secs() / DAY;
    let days = checks.optional("days", make.days, |days: u64| {
        let wrong = format!("must be a whole number of days, 1 to {most}");
        if (1..=most).contains(&days) {
            Ok(days)
        } else {
            Err((FieldCode::InvalidValue, wrong.into()))
        }
    });
    let allow = checks.optional("allow", make.allow, |nets: Vec<Value>| {
        if !(1..=NETWORKS_MOST).contains(&nets.len()) {
            let wrong = format!("must be 1 to {NETWORKS_MOST} networks");
            return Err((FieldCode::InvalidValue, wrong.into()));
        }
        nets.iter().map(net).collect()
    });
    checks.unknown(make.unknown.keys());
    checks.done()?;
    let terms = Terms {
        scopes: scopes.unwrap_or_else(Scope::usual),
        expires: None,
        allow: allow.unwrap_or_default(),
    };
    let name = name.unwrap_or_else(|| "default".to_owned());
    Ok((Wanted { name, terms }, Duration::from_secs(days.unwrap_or(most) * DAY)))
}

/// A day, in seconds.
const DAY: u64 = 24 * 60 * 60;

fn net(written: &Value) -> Result<ipnet::IpNet, Fault> {
    let text = written.as_str().unwrap_or_default();
    network(text).map_err(|why| (FieldCode::InvalidValue, why.into()))
}

fn known(tenant: Named<String>) -> Result<String, Problem> {
    tenant.map(|Path(tenant)| tenant).map_err(|_| no_tenant())
}

fn no_tenant() -> Problem {
    Problem::new(Code::NotFound).because("there is no tenant of this name")
}
