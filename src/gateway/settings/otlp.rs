//! Who is told of settled verifications as traces.

use std::fmt;

use zeroize::Zeroizing;

/// A receiver of OTLP by HTTP, and what it knows us by.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpSettings {
    /// Where it is, without a slash at its end: traces go to `/v1/traces` behind it.
    pub endpoint: String,
    /// What goes along with each request: names and values of headers.
    pub headers: Vec<(String, Zeroizing<String>)>,
}

impl OtlpSettings {
    /// Scheme, host and port: a path may hold a token.
    #[must_use]
    pub fn origin(&self) -> String {
        super::origin(&self.endpoint)
    }
}

impl fmt::Debug for OtlpSettings {
    /// The origin and the names alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "OtlpSettings({}, {names:?})", self.origin())
    }
}
