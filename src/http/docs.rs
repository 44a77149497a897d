//! The contract, written by the types that carry it: OpenAPI 3.1, and a page to read.

use std::sync::LazyLock;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, Ref, RefOr, Response as UtoipaResponse, ResponseBuilder, Schema,
};

use super::problem::{Code, FieldCode, FieldError, Problem, ProblemBody};
use super::{App, ops, page, search, timeline, verify, written};

/// What the types and handlers say.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "octothorpe",
        description = "Asks a person by phone whether it is them: calls, says who is asking, listens for `#`, and reports one verdict.\n\nJSON in and out, UTF-8, times in UTC as RFC 3339 with milliseconds. Unknown fields and query parameters are refused. Errors are `application/problem+json` (RFC 9457) with a stable `code`, and name every bad field together.",
    ),
    paths(verify::start, search::list, verify::read, timeline::read, verify::check, verify::resend, verify::cancel, ops::healthz, ops::readyz, openapi, page, jwks),
    components(schemas(ProblemBody, FieldError)),
    servers((url = "/")),
    tags(
        (name = "Verifications", description = "One question about one phone, with a deadline."),
        (name = "Operation", description = "For those who run it."),
        (name = "Documentation", description = "This contract."),
    ),
)]
struct Contract;

/// The contract as it is served, made once.
static OPENAPI: LazyLock<Value> = LazyLock::new(contract);
static OPENAPI_TEXT: LazyLock<String> = LazyLock::new(|| OPENAPI.to_string());
static PAGE: LazyLock<page::Page> = LazyLock::new(|| page::write(&OPENAPI, &problems()));

/// This contract, for machines
///
/// OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "openapi",
    tag = "Documentation",
    responses((status = 200, description = "The OpenAPI document.", body = Object, content_type = "application/json")),
)]
pub(super) async fn openapi() -> Response {
    written(StatusCode::OK, "application/json", OPENAPI_TEXT.as_str())
}

/// This contract, for people
///
/// One page without scripts or anything from elsewhere.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "docs",
    tag = "Documentation",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")),
)]
pub(super) async fn page() -> Response {
    let page = &*PAGE;
    let mut response = written(StatusCode::OK, "text/html; charset=utf-8", page.html.as_str());
    if let Ok(policy) = HeaderValue::from_str(&page.policy) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// The keys of signed verdicts
///
/// Public keys (RFC 7517) by which the `verdict` of an event is checked; the one that signs comes first. They
/// may be kept for an hour, and should be asked for again when a verdict names another.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "jwks",
    tag = "Documentation",
    responses((status = 200, description = "A JWK Set.", body = Object, content_type = "application/json")),
)]
pub(super) async fn jwks(State(app): State<App>) -> Response {
    let keys = serde_json::to_vec(&app.gateway.jwks()).unwrap_or_default();
    let mut response = written(StatusCode::OK, "application/json", keys);
    let fresh = HeaderValue::from_static("public, max-age=3600");
    response.headers_mut().insert(CACHE_CONTROL, fresh);
    response
}

/// The problems that every request may be answered with: they come before it is known what it asks.
const OF_EVERY_REQUEST: [Code; 4] =
    [Code::InvalidHead, Code::HeadTooLarge, Code::Overloaded, Code::TimedOut];

/// The problems an operation may be answered with, besides those of every request.
fn problems_of(operation: &str) -> &'static [Code] {
    match operation {
        "start" => &[
            Code::InvalidBody,
            Code::InvalidJson,
            Code::Unauthorized,
            Code::Forbidden,
            Code::CountryDenied,
            Code::PolicyDenied,
            Code::OptedOut,
            Code::Blocked,
            Code::RiskDenied,
            Code::BudgetDenied,
            Code::CallInProgress,
            Code::RequestTimeout,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
            Code::InvalidRequest,
            Code::IdempotencyMismatch,
            Code::NoRoute,
            Code::RateLimited,
            Code::Internal,
            Code::StoreTampered,
            Code::StoreUnsafe,
            Code::StoreFull,
            Code::NotReady,
        ],
        "list" => &[
            Code::Unauthorized,
            Code::Forbidden,
            Code::InvalidRequest,
            Code::Internal,
            Code::StoreTampered,
            Code::StoreUnsafe,
        ],
        "read" | "timeline" => &[
            Code::Unauthorized,
            Code::Forbidden,
            Code::NotFound,
            Code::InvalidRequest,
            Code::Internal,
            Code::StoreTampered,
            Code::StoreUnsafe,
        ],
        "check" => &[
            Code::InvalidBody,
            Code::InvalidJson,
            Code::Unauthorized,
            Code::Forbidden,
            Code::NotFound,
            Code::RequestTimeout,
            Code::AlreadyUsed,
            Code::AlreadySettled,
            Code::NothingSent,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
            Code::InvalidRequest,
            Code::IdempotencyMismatch,
            Code::TooManyChecks,
            Code::Internal,
            Code::StoreTampered,
            Code::StoreUnsafe,
            Code::StoreFull,
        ],
        "resend" => &[
            Code::InvalidBody,
            Code::InvalidJson,
            Code::Unauthorized,
            Code::Forbidden,
            Code::CountryDenied,
            Code::PolicyDenied,
            Code::OptedOut,
            Code::Blocked,
            Code::BudgetDenied,
            Code::CallInProgress,
            Code::NotFound,
            Code::RequestTimeout,
            Code::AlreadySettled,
            Code::NoSendsLeft,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
            Code::InvalidRequest,
            Code::IdempotencyMismatch,
            Code::NoRoute,
            Code::RateLimited,
            Code::TooSoon,
            Code::Internal,
            Code::StoreTampered,
            Code::StoreUnsafe,
            Code::StoreFull,
            Code::NotReady,
        ],
        "cancel" => &[
            Code::InvalidBody,
            Code::InvalidJson,
            Code::Unauthorized,
            Code::Forbidden,
            Code::NotFound,
            Code::RequestTimeout,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
            Code::InvalidRequest,
            Code::IdempotencyMismatch,
            Code::Internal,
            Code::StoreTampered,
            Code::StoreUnsafe,
            Code::StoreFull,
        ],
        _ => &[],
    }
}

/// The table of codes: code, status, title, and what to do.
fn problems() -> Vec<[String; 4]> {
    Code::ALL
        .iter()
        .map(|code| {
            [code.as_str(), code.status().as_str(), code.title(), code.detail()].map(str::to_owned)
        })
        .collect()
}

fn contract() -> Value {
    let mut contract = Contract::openapi();
    let components = contract.components.get_or_insert_default();
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key of a tenant: `Authorization: Bearer <key>`. A key has scopes: `start` (which further attempts take, too), `check`, `read`, `cancel`; what it lacks the scope for is answered 403 `forbidden`."))
        .build();
    components.add_security_scheme("key", SecurityScheme::Http(key));
    // Fields that are not named here are refused.
    for name in ["Start", "Check", "Resend", "Fallback", "Payment"] {
        if let Some(RefOr::T(Schema::Object(body))) = components.schemas.get_mut(name) {
            body.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
    // A body that may be left out is not one that may be null.
    if let Some(resend) = contract.paths.paths.get_mut("/v1/verifications/{id}/resend")
        && let Some(RefOr::T(body)) =
            resend.post.as_mut().and_then(|post| post.request_body.as_mut())
        && let Some(RefOr::T(json)) = body.content.get_mut("application/json")
    {
        json.schema = Some(Ref::from_schema_name("Resend").into());
    }
    let paths = contract.paths.paths.values_mut();
    for operation in paths.flat_map(|path| [&mut path.get, &mut path.post]).flatten() {
        let own = problems_of(operation.operation_id.as_deref().unwrap_or_default());
        let codes: Vec<Code> = own.iter().chain(&OF_EVERY_REQUEST).copied().collect();
        for status in codes.iter().map(|code| code.status()) {
            let alike = codes.iter().filter(|code| code.status() == status);
            let problem = problem_response(alike.copied());
            let responses = &mut operation.responses.responses;
            match responses.get_mut(status.as_str()) {
                // One that has an answer of its own of this status.
                Some(RefOr::T(own)) if own.content.contains_key("application/json") => {
                    own.content.extend(problem.content);
                }
                Some(_) | None => {
                    responses.insert(status.as_str().to_owned(), RefOr::T(problem));
                }
            }
        }
    }
    serde_json::to_value(contract).unwrap_or_default()
}

/// One response for all the problems of a status.
fn problem_response(codes: impl Iterator<Item = Code>) -> UtoipaResponse {
    let (mut told, mut examples) = (Vec::new(), Vec::new());
    for code in codes {
        told.push(format!("`{}`: {}.", code.as_str(), code.title()));
        let problem = if code == Code::InvalidRequest {
            let detail = "an E.164 number has 8 to 15 digits";
            Problem::fields(vec![FieldError::new("to", FieldCode::InvalidNumber, detail)])
        } else {
            Problem::new(code)
        };
        let shown = serde_json::to_value(problem.shown()).ok();
        examples.push((code.as_str(), ExampleBuilder::new().value(shown).build()));
    }
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples)
        .build();
    ResponseBuilder::new()
        .description(told.join(" "))
        .content("application/problem+json", content)
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn every_route_is_documented_and_nothing_else() {
        let routes: BTreeSet<_> = super::super::api_routes()
            .into_iter()
            .map(|(method, path, _)| (method.to_owned(), path.to_owned()))
            // What carriers call is between them and the operator.
            .filter(|(_, path)| !path.starts_with("/hooks/"))
            .collect();
        let documented: BTreeSet<_> = OPENAPI["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods.map(move |method| (method.clone(), path.clone()))
            })
            .collect();
        assert_eq!(routes, documented);
    }

    #[test]
    fn every_code_is_documented_where_it_comes_from() {
        let text = OPENAPI["paths"].to_string();
        for code in Code::ALL {
            // The codes that no path of the contract can show.
            let is_elsewhere = matches!(
                code,
                Code::MethodNotAllowed
                    | Code::HookRefused
                    | Code::InvalidConfiguration
                    | Code::TooManyKeys
                    | Code::TenantConfigured
                    | Code::TenantTaken
                    | Code::TooManyTenants
            );
            if !is_elsewhere {
                assert!(text.contains(&format!("`{}`", code.as_str())), "{code:?}");
            }
            assert!(PAGE.html.contains(&format!("id=\"{}\"", code.as_str())), "{code:?}");
        }
        assert_eq!(
            OPENAPI["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
                .as_array()
                .map(Vec::len),
            Some(Code::ALL.len())
        );
    }

    #[test]
    fn the_contract_is_openapi_3_1_and_every_reference_leads_somewhere() {
        assert_eq!(OPENAPI["openapi"], "3.1.0");
        let text = OPENAPI.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(OPENAPI.pointer(pointer).is_some(), "{pointer}");
        }
        for (path, methods) in OPENAPI["paths"].as_object().unwrap() {
            for operation in methods.as_object().unwrap().values() {
                assert!(operation["summary"].is_string(), "{path}");
                let secured = operation["security"].is_array();
                assert_eq!(secured, path.starts_with("/v1/verifications"), "{path}");
            }
        }
    }

    #[test]
    fn fields_have_meanings_and_starts_are_closed() {
        let schemas = OPENAPI["components"]["schemas"].as_object().unwrap();
        let names: Vec<_> = schemas.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "Attempt",
                "Check",
                "Checked",
                "Entry",
                "Fallback",
                "FieldError",
                "Health",
                "Label",
                "List",
                "Payment",
                "Press",
                "Problem",
                "Ready",
                "Resend",
                "Start",
                "Timeline",
                "Verification"
            ]
        );
        for (name, schema) in schemas {
            let parts = schema["allOf"].as_array().map_or(std::slice::from_ref(schema), |all| all);
            let fields = parts.iter().filter_map(|part| part["properties"].as_object());
            for (field, property) in fields.flatten() {
                // A reference is described beside it, where it is one of two.
                let told = property["description"].is_string()
                    || property["oneOf"][0]["description"].is_string();
                assert!(told, "{name}.{field}");
            }
        }
        assert_eq!(schemas["Start"]["additionalProperties"], false);
        assert_eq!(schemas["Start"]["required"], json!(["to"]));
        let optional =
            schemas["Attempt"]["properties"].as_object().unwrap().keys().filter(|field| {
                let required = schemas["Attempt"]["required"].as_array().unwrap();
                !required.iter().any(|one| one.as_str() == Some(field))
            });
        assert_eq!(optional.collect::<Vec<_>>(), ["label", "press"]);
        let all = schemas["Verification"]["properties"].as_object().unwrap().len();
        assert_eq!(schemas["Verification"]["required"].as_array().unwrap().len(), all);
    }
}
