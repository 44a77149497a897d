//! Tenants that are made, changed and removed while the gateway runs.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::auth::Admin;
use super::problem::{Code, FieldCode, FieldError, Problem};
use super::verify::{carried_out, fault};
use super::{App, Mistake, json, query, shown};
use crate::gateway::{TenantError, TenantView};
use crate::verify::number::Country;

/// What stands in the path, if it is text.
type Named = Result<Path<String>, PathRejection>;

/// The most mistakes that one answer names.
const MISTAKES_MOST: usize = 32;

/// A tenant, as it is told.
#[derive(Serialize)]
struct Told {
    name: String,
    /// `store`, or `configuration`.
    source: &'static str,
    voice_countries: Vec<String>,
    sms_countries: Vec<String>,
    test: bool,
    /// What is written of one in the store, without secrets.
    settings: Option<Map<String, Value>>,
    created_at: Option<String>,
    changed_at: Option<String>,
    /// What should be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl From<TenantView> for Told {
    fn from(view: TenantView) -> Self {
        let TenantView { name, tenant, written, created, changed, warnings } = view;
        let rules = tenant.as_ref().map(|tenant| tenant.rules.clone()).unwrap_or_default();
        let words = |countries: std::collections::BTreeSet<Country>| {
            countries.iter().map(|country| country.as_str().to_owned()).collect()
        };
        let mut warnings: Vec<String> =
            warnings.into_iter().map(|Mistake { key, told }| format!("{key}: {told}")).collect();
        if tenant.is_none() {
            warnings.push("the configuration does not take it: nobody can ask for it".to_owned());
        }
        Self {
            name,
            source: if created.is_some() { "store" } else { "configuration" },
            voice_countries: words(rules.voice_countries),
            sms_countries: words(rules.sms_countries),
            test: tenant.is_some_and(|tenant| tenant.test),
            settings: written,
            created_at: created.map(|at| at.to_rfc3339()),
            changed_at: changed.map(|at| at.to_rfc3339()),
            warnings,
        }
    }
}

/// The tenants.
pub(super) async fn list(
    _: Admin,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    query::none(request.uri().query())?;
    let tenants: Vec<Told> = app.gateway.tenants().into_iter().map(Told::from).collect();
    Ok(shown(StatusCode::OK, &json!({ "tenants": tenants })))
}

/// One of them.
pub(super) async fn show(
    _: Admin,
    State(app): State<App>,
    name: Named,
    request: Request,
) -> Result<Response, Problem> {
    query::none(request.uri().query())?;
    let name = known(name)?;
    let found = app.gateway.tenants().into_iter().find(|view| view.name == name);
    let found = found.ok_or_else(|| refusal(TenantError::Unknown))?;
    Ok(shown(StatusCode::OK, &Told::from(found)))
}

/// Makes one, by the keys that a `[[tenants]]` entry of the configuration has.
pub(super) async fn make(
    Admin(operator): Admin,
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    let written: Map<String, Value> = json::posted(&app, request).await?;
    let gateway = app.gateway;
    let work = async move {
        let act = |set: Map<String, Value>| operator.act("tenant.add", Value::Object(set));
        gateway.make_tenant(written, act).await
    };
    let told = Told::from(carried_out(work).await.map_err(refusal)?);
    let location = HeaderValue::try_from(format!("/admin/v1/tenants/{}", told.name));
    let mut response = shown(StatusCode::CREATED, &told);
    response.headers_mut().extend(location.ok().map(|location| (LOCATION, location)));
    Ok(response)
}

/// Changes one: what is given takes the place of what is there, and `null` takes it away (RFC 7396).
pub(super) async fn change(
    Admin(operator): Admin,
    State(app): State<App>,
    name: Named,
    request: Request,
) -> Result<Response, Problem> {
    let name = known(name)?;
    let patch: Map<String, Value> = json::posted(&app, request).await?;
    let gateway = app.gateway;
    let work = async move {
        let about = |set| json!({ "tenant": name, "set": Value::Object(set) });
        let act = |set: Map<String, Value>| operator.act("tenant.change", about(set));
        gateway.change_tenant(&name, patch, act).await
    };
    Ok(shown(StatusCode::OK, &Told::from(carried_out(work).await.map_err(refusal)?)))
}

/// Removes one with its keys. What was begun for it is finished.
pub(super) async fn remove(
    Admin(operator): Admin,
    State(app): State<App>,
    name: Named,
    request: Request,
) -> Result<Response, Problem> {
    query::none(request.uri().query())?;
    let name = known(name)?;
    let gateway = app.gateway;
    let work = async move {
        let act = |_| operator.act("tenant.remove", json!({ "tenant": name }));
        gateway.remove_tenant(&name, act).await
    };
    carried_out(work).await.map_err(refusal)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn known(name: Named) -> Result<String, Problem> {
    name.map(|Path(name)| name).map_err(|_| refusal(TenantError::Unknown))
}

fn refusal(error: TenantError) -> Problem {
    let told = error.to_string();
    match error {
        TenantError::Mistakes(mistakes) => {
            let blamed =
                |Mistake { key, told }| FieldError::new(key, FieldCode::InvalidValue, told);
            Problem::fields(mistakes.into_iter().take(MISTAKES_MOST).map(blamed).collect())
        }
        TenantError::Configured => Problem::new(Code::TenantConfigured).because(told),
        TenantError::Taken => Problem::new(Code::TenantTaken),
        TenantError::Unknown => Problem::new(Code::NotFound).because(told),
        TenantError::Full => Problem::new(Code::TooManyTenants).because(told),
        TenantError::Fault(error) => fault(error),
    }
}
