//! The trace that a verification is part of, as its caller names it (W3C Trace Context): it goes along with all that is
//! asked of others for it. Nothing here depends on what it says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How long a `traceparent` of version 00 is.
const LENGTH: usize = 55;

/// A trace and the caller's place in it: `00-{trace-id}-{parent-id}-{trace-flags}` in lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Traceparent(String);

impl Traceparent {
    /// The header's name.
    pub const HEADER: &str = "traceparent";

    /// Reads a header; `None` where it is not well-formed and is passed over (§ 3.2.2.3: "Vendors MUST ignore the
    /// traceparent when the trace-id is invalid").
    ///
    /// Of a version that is not known, the fields of 00 are taken and written as that (§ 3.2.4: "the implementation
    /// SHOULD try to parse it"; "Vendors MUST use these fields to construct new traceparent field according to the
    /// highest version of the specification known to the implementation").
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (known, more) = text.split_at_checked(LENGTH)?;
        let mut fields = known.split('-');
        let mut field = |length: usize| {
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            fields.next().filter(|it| it.len() == length && it.bytes().all(is_hex))
        };
        let (version, trace, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        let fits = match version {
            // "Version ff is forbidden."
            "ff" => false,
            "00" => more.is_empty(),
            _ => more.is_empty() || more.starts_with('-'),
        };
        // "All bytes as zero is considered an invalid value", of either.
        let is_nothing = |id: &str| id.bytes().all(|byte| byte == b'0');
        let is_valid = fits && !is_nothing(trace) && !is_nothing(parent);
        is_valid.then(|| Self(format!("00-{trace}-{parent}-{flags}")))
    }

    /// As it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace alone, as logs name it.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.0.split('-').nth(1).unwrap_or_default()
    }
}

impl TryFrom<String> for Traceparent {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::read(&text).ok_or("this is no traceparent")
    }
}

impl From<Traceparent> for String {
    fn from(trace: Traceparent) -> Self {
        trace.0
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_well_formed_is_taken_and_a_later_version_as_far_as_it_is_known() {
        let read = Traceparent::read(GOOD).unwrap();
        assert_eq!((read.as_str(), read.trace_id()), (GOOD, "4bf92f3577b34da6a3ce929d0e0e4736"));
        for later in [GOOD.replacen("00", "cc", 1), GOOD.replacen("00", "01", 1) + "-what-comes"] {
            assert_eq!(Traceparent::read(&later), Some(read.clone()), "{later}");
        }
        let stored = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Traceparent>(&stored).unwrap(), read);
    }

    #[test]
    fn what_is_not_is_passed_over() {
        for bad in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-00"),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replacen("00", "cc", 1).replace("-01", "-01."),
            &GOOD.to_uppercase(),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace("4bf9", "4bg9"),
            &GOOD.replace('-', "_"),
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "é0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        ] {
            assert_eq!(Traceparent::read(bad), None, "{bad}");
        }
    }
}
