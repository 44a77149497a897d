//! HTTP as a carrier writes it: requests to make and answers to give, as values.

use std::fmt;

use zeroize::Zeroizing;

/// A request to a carrier. Its headers and body hold secrets, so it shows only its method and
/// where it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// The absolute URL.
    pub url: String,
    /// Name and value of each header.
    pub headers: Vec<(String, Zeroizing<String>)>,
    /// The body; may be empty.
    pub body: Zeroizing<Vec<u8>>,
}

impl HttpRequest {
    /// A request without body.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: "GET",
            url: url.into(),
            headers: Vec::new(),
            body: Zeroizing::new(Vec::new()),
        }
    }

    /// A `POST` of form fields (`application/x-www-form-urlencoded`), in their order.
    #[must_use]
    pub fn form(url: impl Into<String>, fields: &[(&str, &str)]) -> Self {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        Self::post(url, "application/x-www-form-urlencoded", form.finish().into_bytes())
    }

    /// A `POST` of JSON.
    #[must_use]
    pub fn json(url: impl Into<String>, value: &serde_json::Value) -> Self {
        Self::post(url, "application/json", value.to_string().into_bytes())
    }

    fn post(url: impl Into<String>, content_type: &str, body: Vec<u8>) -> Self {
        Self {
            method: "POST",
            body: Zeroizing::new(body),
            ..Self::get(url).header("content-type", content_type)
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), Zeroizing::new(value.into())));
        self
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path may hold a number or a token.
        let end = self.url.match_indices('/').nth(2).map_or(self.url.len(), |(at, _)| at);
        write!(f, "{} {}/…", self.method, self.url.get(..end).unwrap_or_default())
    }
}

/// An answer to a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl HttpAnswer {
    /// XML (TwiML).
    #[must_use]
    pub const fn xml(body: String) -> Self {
        Self { status: 200, content_type: "text/xml; charset=utf-8", body }
    }

    /// JSON.
    #[must_use]
    pub fn json(value: &serde_json::Value) -> Self {
        Self { status: 200, content_type: "application/json", body: value.to_string() }
    }
}

impl Default for HttpAnswer {
    /// Nothing to say.
    fn default() -> Self {
        Self { status: 204, content_type: "text/plain; charset=utf-8", body: String::new() }
    }
}
