//! Addresses: URIs, name-addr and routes, read tolerantly and written strictly.
//!
//! What we read was written by strangers, so the reader takes what it can use and never fails on
//! a display name. What we write is built from parts, each of which can only hold the characters
//! its place in the grammar allows. No user name is shown in full by `Debug`.

use std::fmt;

use super::hop::Transport;

/// A `sip:`, `sips:` or `tel:` URI.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri(String);

impl Uri {
    /// A `sip:` URI from its parts. Whatever the user part may not hold is escaped; whatever is
    /// no host is left out.
    #[must_use]
    pub fn sip(user: &str, host: &str, port: Option<u16>) -> Self {
        let mut text = String::from("sip:");
        for byte in user.bytes() {
            escape(byte, &mut text);
        }
        if !user.is_empty() {
            text.push('@');
        }
        push_host(host, &mut text);
        if let Some(port) = port {
            text.push_str(&format!(":{port}"));
        }
        Self(text)
    }

    /// With `user=phone`: "If the user string contains a telephone number formatted as a
    /// telephone-subscriber, the user parameter value "phone" SHOULD be present."
    #[must_use]
    pub fn phone(mut self) -> Self {
        self.0.push_str(";user=phone");
        self
    }

    /// With a `transport` parameter.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.0.push_str(";transport=");
        self.0.push_str(transport.as_param());
        self
    }

    /// With `lr`: as the URI of a Route that is a loose one.
    #[must_use]
    pub fn loose(mut self) -> Self {
        self.0.push_str(";lr");
        self
    }

    /// A URI as it came over the wire, without what would end a URI or a line.
    #[must_use]
    pub(super) fn from_wire(text: &str) -> Self {
        let may_stand = |c: &char| !c.is_control() && !c.is_whitespace() && !"<>\"".contains(*c);
        Self(text.chars().filter(may_stand).collect())
    }

    /// As a Request-URI: RFC 3261 § 19.1.5, without the headers and the method that a URI in a
    /// Contact may carry; and without maddr, which leads elsewhere than its host.
    #[must_use]
    pub(super) fn as_request_uri(&self) -> Self {
        let (uri, _) = self.0.split_once('?').unwrap_or((&self.0, ""));
        let is_foreign = |part: &&str| {
            let (name, _) = part.split_once('=').unwrap_or((part, ""));
            ["method", "maddr"].iter().any(|it| it.eq_ignore_ascii_case(name))
        };
        // The user part may hold a semicolon of its own.
        let (user, rest) = uri.rsplit_once('@').map_or(("", uri), |(user, rest)| (user, rest));
        let kept: Vec<&str> = rest.split(';').filter(|part| !is_foreign(part)).collect();
        let kept = kept.join(";");
        Self(if user.is_empty() { kept } else { format!("{user}@{kept}") })
    }

    /// The URI as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scheme, as written.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// The user part with its escapes decoded: for a `tel:` URI the number. Empty when there is
    /// none.
    #[must_use]
    pub fn user(&self) -> String {
        let user = self.raw_user();
        unescape(user.split_once(':').map_or(user, |(user, _)| user))
    }

    /// The host, without the brackets of an IPv6 address. Empty when there is none.
    #[must_use]
    pub fn host(&self) -> &str {
        let host_port = self.host_port();
        match host_port.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map_or(rest, |(host, _)| host),
            None => host_port.split_once(':').map_or(host_port, |(host, _)| host),
        }
    }

    /// The port, if one is written and is a port.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let host_port = self.host_port();
        let behind_host = host_port.rsplit_once(']').map_or(host_port, |(_, rest)| rest);
        let (_, port) = behind_host.rsplit_once(':')?;
        port.parse().ok().filter(|port| *port != 0)
    }

    /// A URI parameter: `Some("")` when it stands there without a value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let behind_user = self.behind_user();
        let params = behind_user.split_once('?').map_or(behind_user, |(params, _)| params);
        params
            .split(';')
            .skip(1)
            .map(|param| param.split_once('=').unwrap_or((param, "")))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    /// As a request line may have it, and otherwise as its owner writes it, who knows best; `None` where
    /// nothing can be sent: RFC 3261 § 8.1.1.8, a remote
    /// target "MUST be a SIP or SIPS URI", and § 19.1.1, Table 1, has no headers in a Request-URI.
    pub(super) fn into_target(mut self) -> Option<Self> {
        let is_sip = ["sip", "sips"].iter().any(|sip| self.scheme().eq_ignore_ascii_case(sip));
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let host = self.host();
        let is_target = is_sip && !host.is_empty() && host.chars().all(is_host);
        let headers =
            self.behind_user().split_once('?').map_or(0, |(_, headers)| headers.len() + 1);
        self.0.truncate(self.0.len() - headers);
        is_target.then_some(self)
    }

    fn is_tel(&self) -> bool {
        self.scheme().eq_ignore_ascii_case("tel")
    }

    fn rest(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, rest)| rest)
    }

    fn raw_user(&self) -> &str {
        if self.is_tel() {
            return self.rest().split(';').next().unwrap_or("");
        }
        self.rest().split_once('@').map_or("", |(user, _)| user)
    }

    fn behind_user(&self) -> &str {
        self.rest().split_once('@').map_or(self.rest(), |(_, rest)| rest)
    }

    fn host_port(&self) -> &str {
        if self.is_tel() {
            return "";
        }
        self.behind_user().split([';', '?']).next().unwrap_or("")
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, user, host_port) = (self.scheme(), self.user(), self.host_port());
        match (user.is_empty(), host_port.is_empty()) {
            (true, _) => write!(f, "{scheme}:{host_port}"),
            (false, true) => write!(f, "{scheme}:{}", masked(&user)),
            (false, false) => write!(f, "{scheme}:{}@{host_port}", masked(&user)),
        }
    }
}

/// The last four digits of a number, and nothing of a name.
#[must_use]
pub(super) fn masked(user: &str) -> String {
    let digits: Vec<char> = user.chars().filter(char::is_ascii_digit).collect();
    let kept = if digits.len() > 4 { digits.iter().rev().take(4).rev().collect() } else { vec![] };
    let kept: String = kept.into_iter().collect();
    format!("***{kept}")
}

/// A display name and a URI, perhaps with a tag: From, To and Contact.
#[derive(Clone, PartialEq, Eq)]
pub struct NameAddr {
    display: String,
    uri: Uri,
    tag: Option<String>,
}

impl NameAddr {
    /// An address without a display name.
    #[must_use]
    pub fn new(uri: Uri) -> Self {
        Self { display: String::new(), uri, tag: None }
    }

    /// With a display name; control characters in it are dropped.
    #[must_use]
    pub fn display(mut self, name: &str) -> Self {
        self.display = name.chars().filter(|c| !c.is_control()).collect();
        self
    }

    /// With a tag. A peer's own tag goes back as it came, token or not; only what would end it
    /// is dropped.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        let may_stand = |c: &char| !c.is_control() && !c.is_whitespace() && !"<>\";,".contains(*c);
        let tag: String = tag.chars().filter(may_stand).collect();
        self.tag = Some(tag).filter(|tag| !tag.is_empty());
        self
    }

    /// The URI in it.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.display.is_empty() {
            let quoted = self.display.replace('\\', r"\\").replace('"', "\\\"");
            write!(f, "\"{quoted}\" ")?;
        }
        write!(f, "<{}>", self.uri.as_str())?;
        match &self.tag {
            Some(tag) => write!(f, ";tag={tag}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{:?}>", self.uri)
    }
}

/// One value of a Route or Record-Route header: copied as it came, because a proxy finds its own
/// state in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Route {
    text: String,
    uri: Uri,
}

impl Route {
    /// From the text of one value; `None` when it leads nowhere.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text: String = text.trim().chars().filter(|c| !c.is_control()).collect();
        let uri = Address::read(&text).uri?.into_target()?;
        Some(Self { text, uri })
    }

    /// A route to a URI.
    #[must_use]
    pub fn to(uri: Uri) -> Self {
        Self { text: format!("<{}>", uri.as_str()), uri }
    }

    /// The value as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it leads.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// RFC 3261 § 19.1.1: "The lr parameter, when present, indicates that the element responsible
    /// for this resource implements the routing mechanisms specified in this document."
    #[must_use]
    pub fn is_loose(&self) -> bool {
        self.uri.param("lr").is_some()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{:?}>", self.uri)
    }
}

/// What can be used of a From, To, Contact, Route or Record-Route value.
#[derive(Clone, Default)]
pub(super) struct Address {
    pub(super) uri: Option<Uri>,
    pub(super) tag: Option<String>,
}

impl Address {
    /// Takes what it can use: no display name is bad enough to lose a tag over.
    pub(super) fn read(value: &str) -> Self {
        let value = value.trim();
        let (uri, params) = match behind_display(value).split_once('<') {
            Some((_, rest)) => rest.split_once('>').unwrap_or((rest, "")),
            None => value.split_once(';').unwrap_or((value, "")),
        };
        let uri = Uri::from_wire(uri.trim());
        let is_uri = uri.0.contains(':');
        Self { uri: is_uri.then_some(uri), tag: param(params, "tag") }
    }
}

/// The value of a header parameter, if it is there and not empty.
pub(super) fn param(params: &str, name: &str) -> Option<String> {
    split(params, ';')
        .into_iter()
        .filter_map(|param| param.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        .filter(|value| !value.is_empty())
}

/// Cuts at `separator`, but neither inside quotes nor inside angle brackets.
pub(super) fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    text.split(|c: char| {
        let was_escaped = escaped;
        escaped = quoted && !was_escaped && c == '\\';
        match c {
            '"' if !was_escaped && !bracketed => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            _ => return c == separator && !quoted && !bracketed,
        }
        false
    })
    .collect()
}

/// RFC 3261 § 25.1: the characters of a token.
pub(super) fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c)
}

/// What follows a quoted display name; all of it when the quotes are not balanced.
fn behind_display(value: &str) -> &str {
    if !value.starts_with('"') {
        return value;
    }
    let mut escaped = true;
    let end = value.char_indices().find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = !escaped && *c == '\\';
        ends
    });
    // The first quote opens: it is passed over as if it were escaped.
    end.and_then(|(at, _)| value.get(at + 1..)).unwrap_or(value)
}

fn escape(byte: u8, text: &mut String) {
    let c = char::from(byte);
    if c.is_ascii_alphanumeric() || "-_.!~*'()+".contains(c) {
        text.push(c);
    } else {
        text.push_str(&format!("%{byte:02X}"));
    }
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|_| *first == b'%');
        let code = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { behind.get(2..).unwrap_or(&[]) } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn push_host(host: &str, text: &mut String) {
    let kept: String =
        host.chars().filter(|c| c.is_ascii_alphanumeric() || "-._:".contains(*c)).collect();
    if kept.contains(':') {
        text.push_str(&format!("[{kept}]"));
    } else {
        text.push_str(&kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_sip_uri_with_a_host_and_without_headers() {
        let target = |text: &str| Uri::from_wire(text).into_target().map(|uri| uri.0);
        for kept in ["sip:h", "SIPS:a?b@[::1]:5061;p;p", "sip:+1;x=y@h;lr"] {
            assert_eq!(target(kept).as_deref(), Some(kept));
        }
        assert_eq!(target("sip:a?b@h;p?Route=%3csip:x%3e&y=z").as_deref(), Some("sip:a?b@h;p"));
        for none in
            ["", ":", "*", "sip:", "sip:a@", "tel:+123", "sip:a b@/h", "sip:@;x", "mailto:a@b"]
        {
            assert_eq!(target(none), None, "{none}");
        }
    }

    #[test]
    fn a_user_part_cannot_leave_its_place() {
        let uri = Uri::sip("+1@evil.com;@x:pw\r\n", "trunk.example", Some(5080));
        assert_eq!(uri.as_str(), "sip:+1%40evil.com%3B%40x%3Apw%0D%0A@trunk.example:5080");
        assert_eq!((uri.host(), uri.port()), ("trunk.example", Some(5080)));
        assert_eq!(uri.user(), "+1@evil.com;@x:pw\r\n");
    }

    #[test]
    fn hosts_are_bare_and_ipv6_is_bracketed() {
        assert_eq!(Uri::sip("", "2001:db8::1", None).as_str(), "sip:[2001:db8::1]");
        assert_eq!(Uri::sip("", "[::1]", Some(5060)).host(), "::1");
        assert_eq!(Uri::sip("", "[::1]", Some(5060)).port(), Some(5060));
        assert_eq!(Uri::sip("a", "h>\r\nEvil: x", None).as_str(), "sip:a@[hEvil:x]");
    }

    #[test]
    fn parameters_belong_to_the_uri_not_to_its_headers() {
        let uri = Uri::from_wire("sip:a@b;lr;transport=tcp?x=;ob");
        assert_eq!(uri.param("LR"), Some(""));
        assert_eq!(uri.param("transport"), Some("tcp"));
        assert_eq!(uri.param("ob"), None);
    }

    #[test]
    fn a_request_uri_has_neither_headers_nor_method_nor_maddr() {
        let uri = Uri::from_wire("sip:+1;npdi@h:5080;user=phone;method=BYE;maddr=evil?Subject=x@y");
        assert_eq!(uri.as_request_uri().as_str(), "sip:+1;npdi@h:5080;user=phone");
        assert_eq!(Uri::from_wire("sip:h;maddr=x").as_request_uri().as_str(), "sip:h");
    }

    #[test]
    fn telephone_uris_have_a_number_and_no_host() {
        let uri = Uri::from_wire("tel:+49301234567;phone-context=x");
        assert_eq!((uri.user().as_str(), uri.host()), ("+49301234567", ""));
        assert_eq!(format!("{uri:?}"), "tel:***4567");
    }

    #[test]
    fn debug_shows_four_digits_and_no_name() {
        let uri = Uri::sip("+49301234567", "h", None);
        assert_eq!(format!("{uri:?}"), "sip:***4567@h");
        let named = NameAddr::new(Uri::sip("alice", "h", None)).display("Alice");
        assert_eq!(format!("{named:?}"), "<sip:***@h>");
    }

    #[test]
    fn display_names_are_quoted_and_carry_no_controls() {
        let named =
            NameAddr::new(Uri::sip("a", "h", None)).display("A \"B\"\\\r\nEvil: x").tag("t;x");
        assert_eq!(named.to_string(), r#""A \"B\"\\Evil: x" <sip:a@h>;tag=tx"#);
    }

    #[test]
    fn the_reader_loses_no_tag_over_a_display_name() {
        for (value, uri, tag) in [
            ("<sip:a@b>;tag=1", "sip:a@b", Some("1")),
            ("sip:a@b;tag=1", "sip:a@b", Some("1")),
            (r#""x <sip:no@no>;tag=no \" y" <sip:a@b;p> ; TAG = 1;z"#, "sip:a@b;p", Some("1")),
            ("Müller, (A): <sip:a@b>;x=\";tag=no\";tag=a=b@c", "sip:a@b", Some("a=b@c")),
            ("\"open <sip:a@b>;tag=1;", "sip:a@b", Some("1")),
            ("<sip:a@b>;tag=", "sip:a@b", None),
            ("<sip:a@b", "sip:a@b", None),
        ] {
            let read = Address::read(value);
            assert_eq!(read.uri.as_ref().map(Uri::as_str), Some(uri), "{value}");
            assert_eq!(read.tag.as_deref(), tag, "{value}");
        }
    }

    #[test]
    fn lists_are_cut_outside_quotes_and_brackets() {
        assert_eq!(split(r#""a,\",b" <sip:c,d@e>, <f>"#, ','), [r#""a,\",b" <sip:c,d@e>"#, " <f>"]);
    }
}
