//! The trace that a verification is part of, as its caller names it (W3C Trace Context), with what tracing systems say of
//! it: both go along with all that is asked of others for it. What happens does not depend on what they say.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How long a `traceparent` of version 00 is.
const LENGTH: usize = 55;

/// The longest `tracestate` that is kept, in characters (§ 3.3.1.5: "Vendors SHOULD propagate at least 512 characters of
/// a combined header").
const STATE_MOST: usize = 512;

/// The most members of one (§ 3.3.1.1: "There can be a maximum of 32 list-members in a list").
const MEMBERS_MOST: usize = 32;

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

    /// The trace, in bytes.
    #[must_use]
    pub fn trace(&self) -> [u8; 16] {
        u128::from_str_radix(self.trace_id(), 16).unwrap_or_default().to_be_bytes()
    }

    /// The caller's place in it, in bytes.
    #[must_use]
    pub fn parent(&self) -> [u8; 8] {
        let parent = self.0.split('-').nth(2).unwrap_or_default();
        u64::from_str_radix(parent, 16).unwrap_or_default().to_be_bytes()
    }

    /// Whether "the caller may have recorded trace data" (§ 3.2.2.5.1, the sampled flag).
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        let flags = self.0.split('-').nth(3).unwrap_or_default();
        u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1)
    }
}

/// What tracing systems say of a trace, each in a member of its own: `vendor=value,other=value`. Opaque to us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tracestate(String);

impl Tracestate {
    /// The header's name.
    pub const HEADER: &str = "tracestate";

    /// Reads a list of members; headers of which there are several are joined by commas before. `None` where it is
    /// empty, or too long, or a member is not well-formed: it is kept as it came or not at all, since we leave the
    /// `traceparent` as it is (§ 3.4: "If the value of the traceparent field wasn't changed before propagation,
    /// tracestate MUST NOT be modified as well").
    ///
    /// § 3.3.1.1: `list = list-member 0*31( OWS "," OWS list-member )`. "Empty and whitespace-only list members are
    /// allowed"; a list of them alone says nothing.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        const OWS: [char; 2] = [' ', '\t'];
        let list = text.trim_matches(OWS);
        if list.len() > STATE_MOST || list.split(',').count() > MEMBERS_MOST {
            return None;
        }
        let members = list.split(',').map(|member| member.trim_matches(OWS));
        let mut keys = BTreeSet::new();
        for member in members.filter(|member| !member.is_empty()) {
            let (key, value) = member.split_once('=')?;
            // § 3.3.1.4: "Only one entry per key is allowed because the entry represents that last position in the
            // trace."
            if !is_key(key) || !is_value(value) || !keys.insert(key) {
                return None;
            }
        }
        (!keys.is_empty()).then(|| Self(list.to_owned()))
    }

    /// As it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// § 3.3.1.3.1: `key = ( lcalpha / DIGIT ) 0*255 ( keychar )`, of lower-case letters, digits and `_ - * / @`.
fn is_key(key: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    key.len() <= 256
        && key.bytes().next().is_some_and(is_plain)
        && key.bytes().all(|byte| is_plain(byte) || b"_-*/@".contains(&byte))
}

/// § 3.3.1.3.2: `value = 0*255(chr) nblk-chr`: visible ASCII but `,` and `=`, and spaces where it does not end.
fn is_value(value: &str) -> bool {
    let is_chr = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && !value.ends_with(' ') && value.bytes().all(is_chr)
}

impl TryFrom<String> for Tracestate {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::read(&text).ok_or("this is no tracestate")
    }
}

impl From<Tracestate> for String {
    fn from(state: Tracestate) -> Self {
        state.0
    }
}

/// What goes along with a request: the trace, and what is said of it. There is no `tracestate` without a `traceparent`
/// (§ 3.3: "If the vendor failed to parse traceparent, it MUST NOT attempt to parse tracestate").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace<'a> {
    parent: &'a Traceparent,
    state: Option<&'a Tracestate>,
}

impl<'a> Trace<'a> {
    /// Of what is kept; `None` where no trace is.
    #[must_use]
    pub fn of(parent: Option<&'a Traceparent>, state: Option<&'a Tracestate>) -> Option<Self> {
        parent.map(|parent| Self { parent, state })
    }

    /// The headers that carry it, each with its value.
    pub fn headers(self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let state = self.state.map(|state| (Tracestate::HEADER, state.as_str()));
        std::iter::once((Traceparent::HEADER, self.parent.as_str())).chain(state)
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
        assert_eq!(read.trace(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
        assert_eq!(read.parent(), [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        for (flags, sampled) in [("01", true), ("00", false), ("02", false), ("ff", true)] {
            let read = Traceparent::read(&GOOD.replace("-01", &format!("-{flags}"))).unwrap();
            assert_eq!(read.is_sampled(), sampled, "{flags}");
        }
        let stored = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Traceparent>(&stored).unwrap(), read);
    }

    #[test]
    fn a_state_is_kept_as_it_came_or_not_at_all() {
        let most = format!("a={},b={},c=1", "x".repeat(256), "y".repeat(247));
        let key = format!("{}=1", "k".repeat(256));
        let many = (0..32).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        assert_eq!(most.len(), 512);
        for good in [
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            "fw529a3039@dt=FfAAAAAAAAA/,1a-_*/@2=!\"#+-<>~",
            "a=1 , \t b=  two words  ,, ,c=3",
            &most,
            &key,
            &many,
        ] {
            let read = Tracestate::read(good).unwrap();
            assert_eq!(read.as_str(), good);
            let stored = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<Tracestate>(&stored).unwrap(), read);
        }
        assert_eq!(Tracestate::read(" a=1\t").unwrap().as_str(), "a=1");
        for bad in [
            "",
            " , ,\t",
            "a",
            "a=",
            "a= ",
            "=1",
            "A=1",
            "_a=1",
            "a b=1",
            "a=1=2",
            "a=1;b=2,c",
            "a=é",
            "é=1",
            "a=1\u{7f}",
            "a=1\tb",
            "a=1,b=2,a=3",
            &format!("{most}x"),
            &format!("k{key}"),
            &format!("a={}", "x".repeat(257)),
            &format!("{many},"),
        ] {
            assert_eq!(Tracestate::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_state_goes_with_its_trace_and_never_alone() {
        let (parent, state) = (Traceparent::read(GOOD).unwrap(), Tracestate::read("a=1").unwrap());
        let sent = |parent, state| {
            Trace::of(parent, state).into_iter().flat_map(Trace::headers).collect::<Vec<_>>()
        };
        let both = [("traceparent", GOOD), ("tracestate", "a=1")];
        assert_eq!(sent(Some(&parent), Some(&state)), both);
        assert_eq!(sent(Some(&parent), None), both[..1]);
        assert_eq!(sent(None, Some(&state)), []);
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
