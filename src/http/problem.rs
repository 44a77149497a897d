//! Errors as the caller sees them: RFC 9457, with a closed list of codes.

use std::borrow::Cow;

use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// One row of the table of codes.
macro_rules! codes {
    ($($name:ident = $word:literal $status:ident $title:literal $detail:literal;)+) => {
        /// Why a request was not carried out. The words are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Code {
            $(#[doc = $title] $name,)+
        }

        impl Code {
            /// Every code.
            pub(super) const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable word.
            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// The status it is answered with.
            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// What it is, in few words.
            pub(super) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// What to do about it, unless the case at hand says more.
            pub(super) const fn detail(self) -> &'static str {
                match self { $(Self::$name => $detail,)+ }
            }
        }
    };
}

codes! {
    InvalidHead = "invalid_head" BAD_REQUEST "The request cannot be read"
        "send a request line and headers as HTTP has them (RFC 9112)";
    InvalidBody = "invalid_body" BAD_REQUEST "The body could not be read"
        "send the whole body, as long as its headers say";
    InvalidJson = "invalid_json" BAD_REQUEST "The body is not strict JSON"
        "send one JSON object in UTF-8, each name once, at most 16 levels deep";
    Unauthorized = "unauthorized" UNAUTHORIZED "No valid API key"
        "send one header \"Authorization: Bearer\" with a valid API key";
    Forbidden = "forbidden" FORBIDDEN "The key does not open this"
        "the key lacks the scope that this takes";
    CountryDenied = "country_denied" FORBIDDEN "This country may not be called"
        "numbers of this country are not on the tenant's list";
    PolicyDenied = "policy_denied" FORBIDDEN "This number may not be called"
        "numbers of this kind are never called";
    RiskDenied = "risk_denied" FORBIDDEN "The risk service denies it"
        "the tenant's risk service does not want this verification";
    OptedOut = "opted_out" FORBIDDEN "This phone wants no texts"
        "the person has opted out of texts from this sender";
    BudgetDenied = "budget_denied" PAYMENT_REQUIRED "No money for this"
        "a cap of [budget] stands against it";
    Blocked = "blocked" FORBIDDEN "This number is blocked"
        "it is blocked for a while; the detail begins with the reason";
    HookRefused = "hook_refused" FORBIDDEN "This request is not believed"
        "its token or signature is not the carrier's";
    NotFound = "not_found" NOT_FOUND "Not found"
        "there is nothing of this name here";
    MethodNotAllowed = "method_not_allowed" METHOD_NOT_ALLOWED "Method not allowed"
        "use one of the methods in the Allow header";
    RequestTimeout = "request_timeout" REQUEST_TIMEOUT "The body came too slowly"
        "send the whole body at once";
    AlreadyUsed = "already_used" CONFLICT "The code has approved already"
        "a code approves once";
    CallInProgress = "call_in_progress" CONFLICT "The phone is being called"
        "another call to this number is ringing or up; ask again when Retry-After is over";
    AlreadySettled = "already_settled" CONFLICT "The verdict stands"
        "the verification is settled; start another one";
    NothingSent = "no_code" CONFLICT "No code is asked for"
        "this verification asks for no code that could be typed";
    NoSendsLeft = "no_sends_left" CONFLICT "No more attempts"
        "there were as many attempts as there may be; start another verification";
    TooManyKeys = "too_many_keys" CONFLICT "There are as many keys as there may be"
        "revoke one of them, or take another name";
    TenantConfigured = "tenant_configured" CONFLICT "The tenant stands in the configuration"
        "change it there, and reload";
    TenantTaken = "tenant_taken" CONFLICT "There is a tenant of this name"
        "change it, or take another name";
    TooManyTenants = "too_many_tenants" CONFLICT "There are as many tenants as there may be"
        "remove those that nobody needs";
    BodyTooLarge = "body_too_large" PAYLOAD_TOO_LARGE "The body is too large"
        "a body may have 64 KiB";
    UnsupportedMediaType = "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "The body is not declared as JSON"
        "send \"Content-Type: application/json\", and no Content-Encoding";
    InvalidRequest = "invalid_request" UNPROCESSABLE_ENTITY "The request has bad fields"
        "mend the fields named in errors";
    IdempotencyMismatch = "idempotency_mismatch" UNPROCESSABLE_ENTITY "The idempotency key belongs to another request"
        "this Idempotency-Key was sent before with another body or path; take a new one";
    InvalidConfiguration = "invalid_configuration" UNPROCESSABLE_ENTITY "The configuration has mistakes"
        "nothing has changed; mend what is named in errors, and reload again";
    NoRoute = "no_route" UNPROCESSABLE_ENTITY "No trunk carries this number"
        "no route fits this number";
    TooManyChecks = "too_many_checks" TOO_MANY_REQUESTS "Too many wrong codes"
        "no code is compared any more; start another verification";
    RateLimited = "rate_limited" TOO_MANY_REQUESTS "Asked too often"
        "wait as long as Retry-After says";
    TooSoon = "too_soon" TOO_MANY_REQUESTS "Too soon for another attempt"
        "wait until next_send_at";
    HeadTooLarge = "head_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE "The head of the request is too large"
        "request line and headers may have 16 KiB, and there may be 100 headers";
    Internal = "internal" INTERNAL_SERVER_ERROR "Our fault"
        "something of ours went wrong; send the request again with the same Idempotency-Key";
    StoreTampered = "store_tampered" INTERNAL_SERVER_ERROR "What is stored is not believed"
        "somebody else has changed what is stored of this: it is never approved; start another verification";
    StoreFull = "store_full" SERVICE_UNAVAILABLE "The store's disk is full"
        "nothing was done; what is under way goes on, and new verifications are taken once there is room";
    StoreUnsafe = "store_unsafe" SERVICE_UNAVAILABLE "It is not known to be kept"
        "it may have been done or not; send the request again with the same Idempotency-Key";
    NotReady = "not_ready" SERVICE_UNAVAILABLE "Not taking verifications now"
        "send the request again in a few seconds";
    Overloaded = "overloaded" SERVICE_UNAVAILABLE "More is asked than can be done"
        "nothing was done; send the request again after as many seconds as Retry-After says";
    TimedOut = "timed_out" SERVICE_UNAVAILABLE "No answer in time"
        "it may have been done or not; send the request again with the same Idempotency-Key";
}

/// One row of the table of codes of fields.
macro_rules! field_codes {
    ($($name:ident = $word:literal $meaning:literal;)+) => {
        /// What is wrong with one field. The words are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum FieldCode {
            $(#[doc = $meaning] $name,)+
        }

        impl FieldCode {
            /// Every code.
            pub(super) const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable word.
            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// What it means.
            pub(super) const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }
        }
    };
}

field_codes! {
    Required = "required" "The field must be there.";
    UnknownField = "unknown_field" "There is no such field.";
    DuplicateField = "duplicate_field" "The field is there more than once.";
    WrongType = "wrong_type" "The field has another JSON type.";
    InvalidValue = "invalid_value" "The value is not one that the field can have.";
    InvalidNumber = "invalid_number" "The text is not a phone number that can be called.";
    NotSupported = "not_supported" "This field or value does not work yet.";
}

/// A request that was not carried out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// When it may be tried again, in seconds.
    retry_after: Option<u64>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// The field, query parameter or header.
    #[schema(example = "to")]
    pub(super) field: String,
    /// What is wrong with it.
    #[serde(serialize_with = "field_word")]
    #[schema(schema_with = field_words)]
    pub(super) code: FieldCode,
    /// The same for people. Values are never repeated here.
    #[schema(value_type = String, example = "an E.164 number has 8 to 15 digits")]
    pub(super) detail: Cow<'static, str>,
}

/// A request that was not carried out, and why (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Where the code is explained, relative to this server.
    #[schema(format = "uri-reference", example = "/docs#invalid_request")]
    r#type: String,
    /// What it is, in few words; the same for every problem of this code.
    #[schema(example = "The request has bad fields")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// The stable word to branch on.
    #[schema(schema_with = code_words)]
    code: &'static str,
    /// What is the matter here, for people.
    #[schema(value_type = String, example = "mend the fields named in errors")]
    detail: Cow<'static, str>,
    /// Each bad field, all of them together; empty where no field is to blame.
    errors: Vec<FieldError>,
}

impl Problem {
    /// A problem of this code.
    pub(super) const fn new(code: Code) -> Self {
        let retry_after = if matches!(code, Code::NotReady | Code::StoreFull) {
            Some(5)
        } else if matches!(code, Code::Overloaded | Code::TimedOut | Code::StoreUnsafe) {
            Some(1)
        } else {
            None
        };
        Self { code, detail: Cow::Borrowed(code.detail()), errors: Vec::new(), retry_after }
    }

    /// The same, with what is the matter here.
    pub(super) fn because(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// The same, with the seconds after which it may be tried again.
    pub(super) fn after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The same, with the fields to blame.
    pub(super) fn blaming(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    /// As it is written.
    pub(super) fn shown(self) -> ProblemBody {
        let Self { code, detail, errors, retry_after: _ } = self;
        ProblemBody {
            r#type: format!("/docs#{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            code: code.as_str(),
            detail,
            errors,
        }
    }

    /// All of an answer of HTTP/1.1 that ends the connection, for where there is no request that it belongs to.
    pub(super) fn bare(self) -> Bytes {
        let (status, retry_after) = (self.code.status(), self.retry_after);
        let body = serde_json::to_string(&self.shown()).unwrap_or_default();
        let retry_after = retry_after.map_or_else(String::new, |s| format!("retry-after: {s}\r\n"));
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
             cache-control: no-store\r\n{retry_after}connection: close\r\n\r\n{body}"
        )
        .into()
    }

    /// A request with bad fields.
    pub(super) fn fields(errors: Vec<FieldError>) -> Self {
        Self::new(Code::InvalidRequest).blaming(errors)
    }
}

impl FieldError {
    /// A bad field.
    pub(super) fn new(
        field: impl Into<String>,
        code: FieldCode,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { field: field.into(), code, detail: detail.into() }
    }
}

/// A name that the client chose, fit to be repeated: whatever is not a plain word could be a phone
/// number or a secret in the wrong place.
pub(super) fn name(given: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
    let digits = given.chars().filter(char::is_ascii_digit).count();
    if given.len() <= 64 && digits <= 4 && !given.is_empty() && given.chars().all(plain) {
        given.to_owned()
    } else {
        format!("(a name of {} characters)", given.chars().count())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, retry_after) = (self.code, self.retry_after);
        let body = serde_json::to_vec(&self.shown()).unwrap_or_default();
        let mut response = super::written(code.status(), "application/problem+json", body);
        let headers = response.headers_mut();
        if code == Code::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer realm=\"octothorpe\"");
            headers.insert(WWW_AUTHENTICATE, scheme);
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        // The rest of such a body is not waited for.
        if matches!(code, Code::BodyTooLarge | Code::RequestTimeout | Code::InvalidBody) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn field_word<S: serde::Serializer>(code: &FieldCode, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(code.as_str())
}

fn code_words() -> Object {
    words(Code::ALL.iter().map(|code| code.as_str()), "The stable word to branch on.")
}

fn field_words() -> Object {
    let meanings: Vec<_> = FieldCode::ALL
        .iter()
        .map(|code| format!("`{}`: {}", code.as_str(), code.meaning()))
        .collect();
    words(FieldCode::ALL.iter().map(|code| code.as_str()), meanings.join(" "))
}

fn words(all: impl Iterator<Item = &'static str>, description: impl Into<String>) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(all))
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_say_so_with_an_error_status() {
        let words: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            let status = code.status();
            assert!(status.is_client_error() || status.is_server_error(), "{code:?}");
        }
        let words: BTreeSet<_> = FieldCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), FieldCode::ALL.len());
    }

    #[test]
    fn a_name_that_could_be_a_number_is_not_repeated() {
        assert_eq!(name("brand"), "brand");
        assert_eq!(name("fallback[0].mode"), "fallback[0].mode");
        for hidden in ["+14155550132", "14155550132", "n14155550132", "", "<b>", "a\nb"] {
            assert!(name(hidden).starts_with("(a name of "), "{hidden:?}");
        }
        assert!(name(&"x".repeat(65)).starts_with("(a name of 65"));
    }
}
