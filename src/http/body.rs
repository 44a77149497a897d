//! The body of a request: of the right type, not too large, not too slow.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::Settings;
use super::problem::{Code, Problem};

/// Reads all of it.
pub(super) async fn read(
    settings: &Settings,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, Problem> {
    let max = settings.max_body;
    let too_large =
        || Problem::new(Code::BodyTooLarge).because(format!("the body may have {max} bytes"));
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > max) {
        return Err(too_large());
    }
    let whole = Limited::new(body, max).collect();
    match tokio::time::timeout(settings.body_timeout, whole).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(Code::InvalidBody)),
        Err(_) => Err(Problem::new(Code::RequestTimeout)),
    }
}

/// Whether the headers announce JSON, as it is.
pub(super) fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let named = match (types.next(), types.next()) {
        (Some(one), None) => one.to_str().is_ok_and(is_json),
        _ => false,
    };
    let coded = headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    if named && !coded { Ok(()) } else { Err(Problem::new(Code::UnsupportedMediaType)) }
}

/// `application/json`, with no parameter but `charset=utf-8`.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    let is_utf8 = |parameter: &str| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("charset")
                && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    };
    is_json && parts.filter(|part| !part.is_empty()).all(is_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf_8_is_json() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json;",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/json",
            "application/jsonp",
            "application/json; charset=latin1",
            "application/json; x",
            "application/problem+json",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    #[test]
    fn two_types_or_a_coding_are_no_type() {
        let mut headers = HeaderMap::new();
        headers.append(CONTENT_TYPE, "application/json".parse().unwrap());
        assert!(must_be_json(&headers).is_ok());
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(must_be_json(&headers).is_err());
        headers.remove(CONTENT_ENCODING);
        headers.append(CONTENT_TYPE, "text/plain".parse().unwrap());
        assert!(must_be_json(&headers).is_err());
    }
}
