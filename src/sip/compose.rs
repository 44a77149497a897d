//! Messages as they go out.
//!
//! Injection-proof by construction: every value passes one serialiser, which lets no byte below
//! 0x20 and no 0x7F through (a tab becomes a space), so that the only line ends on the wire are
//! the ones it writes itself. Content-Length is counted, never given.

use std::fmt;
use std::net::SocketAddr;

use super::hop::Way;
use super::message::{Message, Raw};
use super::method::Method;
use super::uri::{Address, NameAddr, Route, Uri, is_token, split};

/// What we call ourselves.
const USER_AGENT: &str = "octothorpe";

/// What a call of ours answers to.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK";

/// A request on its way out.
#[derive(Clone)]
pub struct Request {
    method: Method,
    uri: Uri,
    fields: Fields,
}

impl Request {
    /// A request with Max-Forwards 70 and our User-Agent, and nothing else yet.
    #[must_use]
    pub fn new(method: Method, uri: Uri) -> Self {
        let mut fields = Fields::default();
        fields.set("Max-Forwards", "70");
        fields.set("User-Agent", USER_AGENT);
        Self { method, uri, fields }
    }

    /// Our Via, on top. It always asks for `rport` (RFC 3581), so that answers find their way
    /// back through a NAT.
    #[must_use]
    pub fn via(mut self, way: &Way, branch: &str) -> Self {
        let (transport, local) = (way.hop.transport.as_str(), way.local);
        let via = format!("SIP/2.0/{transport} {local};rport;branch={}", word(branch));
        self.fields.push_front("Via", via.as_bytes());
        self
    }

    /// Who calls.
    #[must_use]
    pub fn from(mut self, from: &NameAddr) -> Self {
        self.fields.set("From", from.to_string());
        self
    }

    /// Who is called.
    #[must_use]
    pub fn to(mut self, to: &NameAddr) -> Self {
        self.fields.set("To", to.to_string());
        self
    }

    /// The Call-ID.
    #[must_use]
    pub fn call_id(mut self, call_id: &str) -> Self {
        self.fields.set("Call-ID", word(call_id));
        self
    }

    /// The number in CSeq; the method there is the request's own.
    #[must_use]
    pub fn cseq(mut self, number: u32) -> Self {
        let cseq = format!("{number} {}", self.method.as_str());
        self.fields.set("CSeq", cseq);
        self
    }

    /// One Route value for each, in order.
    #[must_use]
    pub fn routes(mut self, routes: &[Route]) -> Self {
        for route in routes {
            self.fields.push("Route", route.as_str());
        }
        self
    }

    /// Where the peer reaches us from now on.
    #[must_use]
    pub fn contact(mut self, contact: &Uri) -> Self {
        self.fields.set("Contact", format!("<{}>", contact.as_str()));
        self
    }

    /// Max-Forwards, when it is not 70.
    #[must_use]
    pub fn max_forwards(mut self, hops: u8) -> Self {
        self.fields.set("Max-Forwards", hops.to_string());
        self
    }

    /// One more header. Via and Content-Length are written by their own means only.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push(name, value);
        self
    }

    /// The body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: &[u8]) -> Self {
        self.fields.body(content_type, body);
        self
    }

    /// The Request-URI.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The request as it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let start = format!("{} {} SIP/2.0", self.method.as_str(), self.uri.as_str());
        self.fields.write(start.as_bytes())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {:?})", self.method.as_str(), self.uri)
    }
}

/// A response on its way out.
#[derive(Clone)]
pub struct Response {
    status: u16,
    fields: Fields,
}

impl Response {
    /// A response to `request` with what RFC 3261 § 8.2.6.2 makes it copy: "The Via header field
    /// values in the response MUST equal the Via header field values in the request and MUST
    /// maintain the same ordering", and From, To, Call-ID and CSeq with them.
    #[must_use]
    pub fn to(request: &Message, status: u16) -> Self {
        Self::to_raw(request.raw(), status)
    }

    pub(super) fn to_raw(request: &Raw, status: u16) -> Self {
        let mut fields = Fields::default();
        // RFC 3261 § 12.1.1: "the UAS MUST copy all Record-Route header field values from the
        // request into the response", which is harmless in every other one.
        for name in ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"] {
            for value in request.values(name) {
                fields.push(name, value);
            }
        }
        Self { status: status.clamp(100, 699), fields }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Notes in the topmost Via where the request came from, as RFC 3261 § 18.2.1 ("received") and
    /// RFC 3581 § 4 ("rport", where it was asked for) want it.
    #[must_use]
    pub fn received_from(mut self, source: SocketAddr) -> Self {
        self.fields.note_source(source);
        self
    }

    /// RFC 3261 § 8.2.6.2: "if the To header field in the request did not contain a tag, [...]
    /// the UAS MUST add a tag to the To header field in the response".
    #[must_use]
    pub fn to_tag(mut self, tag: &str) -> Self {
        self.fields.add_to_tag(tag);
        self
    }

    /// Where the peer reaches us from now on.
    #[must_use]
    pub fn contact(mut self, contact: &Uri) -> Self {
        self.fields.set("Contact", format!("<{}>", contact.as_str()));
        self
    }

    /// One more header. Via and Content-Length are written by their own means only.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push(name, value);
        self
    }

    /// The body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: &[u8]) -> Self {
        self.fields.body(content_type, body);
        self
    }

    /// The response as it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.fields.write(format!("SIP/2.0 {} {}", self.status, phrase(self.status)).as_bytes())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({})", self.status)
    }
}

/// Header fields and body, clean from the moment they are put in.
#[derive(Clone, Default)]
struct Fields {
    lines: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Fields {
    fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        if let Some(name) = field_name(name) {
            self.lines.push((name, clean(value.as_ref())));
        }
    }

    fn push_front(&mut self, name: &str, value: &[u8]) {
        self.lines.insert(0, (name.to_owned(), clean(value)));
    }

    fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.lines.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.push(name, value);
    }

    fn body(&mut self, content_type: &str, body: &[u8]) {
        self.set("Content-Type", content_type);
        self.body = body.to_vec();
    }

    fn first_mut(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        self.lines.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn add_to_tag(&mut self, tag: &str) {
        let Some(to) = self.first_mut("To") else { return };
        let has_tag = Address::read(&String::from_utf8_lossy(to)).tag.is_some();
        if !has_tag {
            to.extend_from_slice(format!(";tag={}", word(tag)).as_bytes());
        }
    }

    fn note_source(&mut self, source: SocketAddr) {
        let Some(via) = self.first_mut("Via") else { return };
        let text = String::from_utf8_lossy(via).into_owned();
        let hops = split(&text, ',');
        let Some((top, rest)) = hops.split_first() else { return };
        let mut noted = String::new();
        let mut asked = false;
        for part in split(top, ';') {
            let name = part.split('=').next().unwrap_or("").trim().to_ascii_lowercase();
            match name.as_str() {
                "rport" => asked = true,
                "received" => {}
                _ => {
                    noted.push_str(if noted.is_empty() { "" } else { ";" });
                    noted.push_str(part.trim());
                }
            }
        }
        noted.push_str(&format!(";received={}", source.ip()));
        if asked {
            noted.push_str(&format!(";rport={}", source.port()));
        }
        let hops: Vec<&str> = std::iter::once(noted.as_str()).chain(rest.iter().copied()).collect();
        *via = clean(hops.join(",").as_bytes());
    }

    fn write(&self, start: &[u8]) -> Vec<u8> {
        let mut out = clean(start);
        out.extend_from_slice(b"\r\n");
        for (name, value) in &self.lines {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.body.len()).as_bytes());
        out.extend_from_slice(&self.body);
        out
    }
}

/// A header name someone may give: a token, and not one that we count or place ourselves.
fn field_name(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|c| is_token(*c)).collect();
    let is_ours = ["Content-Length", "l"].iter().any(|ours| ours.eq_ignore_ascii_case(&name));
    (!name.is_empty() && !is_ours).then_some(name)
}

/// A value without anything that could end its line.
fn clean(value: &[u8]) -> Vec<u8> {
    let spaced = value.iter().map(|byte| if *byte == b'\t' { b' ' } else { *byte });
    spaced.filter(|byte| *byte >= 0x20 && *byte != 0x7F).collect()
}

/// A value that is one word: no space, no separator that would start a parameter.
fn word(text: &str) -> String {
    text.chars().filter(|c| is_token(*c) || *c == '@' || *c == ':').collect()
}

fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        415 => "Unsupported Media Type",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        469 => "Bad Info Package",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "Version Not Supported",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => class_phrase(status),
    }
}

/// RFC 3261 § 7.2: the phrase is for people; the class says enough of a status nobody knows.
fn class_phrase(status: u16) -> &'static str {
    match status / 100 {
        1 => "Progress",
        2 => "OK",
        3 => "Redirection",
        4 => "Request Failure",
        5 => "Server Failure",
        _ => "Global Failure",
    }
}
