//! Messages as they come in; the only file that names the parser.
//!
//! [`read`] puts a guard in front of the parser (one datagram must never hold a core), lets it
//! find the lines, and takes from them what a caller needs in our own words. What a call depends
//! on, tags and the remote target, is read tolerantly: a bad display name ends no call.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use sipx_sip::{HeaderName, Limits, auth, headers, validate};
use zeroize::Zeroize;

use super::hop::Hop;
use super::method::Method;
use super::uri::{self, Address, Route, Uri};
use super::via::Via;

/// Reads one datagram.
///
/// # Errors
/// [`Malformed`] says why nothing could be made of it, and whether it deserves an answer.
pub fn read(datagram: &[u8]) -> Result<Incoming, Malformed> {
    let datagram = without_leading_line_ends(datagram);
    if datagram.is_empty() {
        return Ok(Incoming::KeepAlive);
    }
    guard(datagram)?;
    let limits = Limits { max_header_bytes: 16 * 1024, ..Limits::datagram() };
    let parsed = sipx_sip::parse_datagram(Bytes::copy_from_slice(datagram), &limits)
        .map_err(|_| Malformed::Syntax)?;
    match &parsed {
        sipx_sip::Message::Request(_) => judged_request(Raw(parsed)),
        sipx_sip::Message::Response(_) => judged_response(Raw(parsed)),
    }
    .map(|message| Incoming::Message(Box::new(message)))
}

/// The Call-ID that a message seems to have, found without parsing it: whether it is known can be asked
/// before anything is spent on a stranger. [`read`] has the last word.
#[must_use]
pub fn call_id_in(datagram: &[u8]) -> Option<&str> {
    let head = datagram.get(..MAX_HEAD).unwrap_or(datagram);
    let lines = without_leading_line_ends(head).split(|&byte| byte == b'\n');
    let value = lines.take_while(|line| !line.trim_ascii().is_empty()).find_map(|line| {
        let mut parts = line.splitn(2, |&byte| byte == b':');
        let name = parts.next()?.trim_ascii();
        let is_call_id = name.eq_ignore_ascii_case(b"Call-ID") || name.eq_ignore_ascii_case(b"i");
        parts.next().filter(|_| is_call_id)
    })?;
    std::str::from_utf8(value.trim_ascii()).ok()
}

/// What a datagram was.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// Nothing but line ends: someone keeps a NAT open.
    KeepAlive,
    /// A request or a response.
    Message(Box<Message>),
}

/// Why a datagram was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Malformed {
    /// Longer than a datagram can be, or its head longer than any honest one.
    #[error("larger than any honest message")]
    Oversized,
    /// No blank line ends its head.
    #[error("the head has no end")]
    Unterminated,
    /// More parameters than any honest message has; the parser would take seconds over them.
    #[error("more parameters than any honest message")]
    Tangled,
    /// The parser could not find its lines or its body.
    #[error("not a SIP message")]
    Syntax,
    /// A response without a usable Via, CSeq, From, To or Call-ID: nobody to tell.
    #[error("unusable response: {0}")]
    Response(&'static str),
    /// A request that can be answered, but not followed.
    #[error("unusable request: {}", .0.fault)]
    Request(Box<Unfit>),
}

impl Malformed {
    /// The status to answer with, when an answer is due.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.unfit().map(|unfit| unfit.status)
    }

    pub(super) fn unfit(&self) -> Option<&Unfit> {
        match self {
            Self::Request(unfit) => Some(unfit),
            Self::Oversized
            | Self::Unterminated
            | Self::Tangled
            | Self::Syntax
            | Self::Response(_) => None,
        }
    }
}

/// A request that was understood well enough to be refused.
#[derive(Clone)]
pub struct Unfit {
    pub(super) status: u16,
    pub(super) raw: Raw,
    fault: &'static str,
}

impl Unfit {
    /// An ACK is never answered, and an answer without a Via has nowhere to go.
    pub(super) fn is_answerable(&self) -> bool {
        let is_ack =
            self.raw.0.as_request().is_some_and(|request| request.method.as_bytes() == b"ACK");
        !is_ack && self.raw.via().is_some()
    }
}

impl fmt::Debug for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfit").field("status", &self.status).field("fault", &self.fault).finish()
    }
}

/// Request or response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request.
    Request {
        /// What is asked.
        method: Method,
    },
    /// A response.
    Response {
        /// 100 to 699.
        status: u16,
    },
}

impl Kind {
    /// One of a few words for it: its method where we have a name for it, else `other`, or `response`.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Request { method: Method::Other(_) } => "other",
            Self::Request { method } => method.as_str(),
            Self::Response { .. } => "response",
        }
    }
}

/// A message that came in: everything a call needs of it, in our own words.
#[derive(Clone)]
pub struct Message {
    kind: Kind,
    call_id: String,
    cseq: (u32, Method),
    via: Via,
    from: Address,
    to: Address,
    raw: Raw,
}

impl Message {
    /// Request or response.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The status of a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.kind {
            Kind::Response { status } => Some(status),
            Kind::Request { .. } => None,
        }
    }

    /// The method of a request, or of the request that a response answers.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.cseq.1
    }

    /// The Request-URI of a request.
    #[must_use]
    pub fn request_uri(&self) -> Option<Uri> {
        let uri = self.raw.0.as_request()?.uri.to_bytes();
        Some(Uri::from_wire(&String::from_utf8_lossy(&uri)))
    }

    /// The Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// CSeq: the number and the method.
    #[must_use]
    pub fn cseq(&self) -> (u32, Method) {
        self.cseq.clone()
    }

    /// The URI in From.
    #[must_use]
    pub fn from_uri(&self) -> Option<&Uri> {
        self.from.uri.as_ref()
    }

    /// The tag in From.
    #[must_use]
    pub fn from_tag(&self) -> Option<&str> {
        self.from.tag.as_deref()
    }

    /// The URI in To.
    #[must_use]
    pub fn to_uri(&self) -> Option<&Uri> {
        self.to.uri.as_ref()
    }

    /// The tag in To.
    #[must_use]
    pub fn to_tag(&self) -> Option<&str> {
        self.to.tag.as_deref()
    }

    /// The branch of the topmost Via; empty when there is none.
    #[must_use]
    pub fn branch(&self) -> &str {
        &self.via.branch
    }

    /// Host and port of the topmost Via, as written.
    #[must_use]
    pub fn sent_by(&self) -> &str {
        &self.via.sent_by
    }

    /// Where a response to this request goes, given where the request came from.
    #[must_use]
    pub fn reply_address(&self, source: SocketAddr) -> SocketAddr {
        self.via.reply_address(source)
    }

    /// The same, by whatever carried the request: RFC 3261 § 18.2.2, "If the "sent-protocol" is a
    /// reliable transport protocol such as TCP or SCTP, or TLS over those, the response MUST be
    /// sent using the existing connection to the source of the original request".
    #[must_use]
    pub fn reply_hop(&self, source: Hop) -> Hop {
        if source.transport.is_reliable() {
            return source;
        }
        Hop { address: self.reply_address(source.address), ..source }
    }

    /// The URI of the first Contact, where requests can be sent to it.
    #[must_use]
    pub fn contact_uri(&self) -> Option<Uri> {
        let contacts = self.header("Contact")?;
        Address::read(uri::split(&contacts, ',').first()?).uri?.into_target()
    }

    /// The Record-Route values, in order.
    #[must_use]
    pub fn record_route(&self) -> Vec<Route> {
        self.list("Record-Route").iter().filter_map(|value| Route::read(value)).collect()
    }

    /// The Service-Route values of a 200 to REGISTER, in order (RFC 3608).
    #[must_use]
    pub fn service_route(&self) -> Vec<Route> {
        self.list("Service-Route").iter().filter_map(|value| Route::read(value)).collect()
    }

    /// For how many seconds a 200 to REGISTER says that this contact is bound (RFC 3261 § 10.2.4): by
    /// the parameter of its Contact, or of the only one there is, else by Expires.
    #[must_use]
    pub fn expires_of(&self, contact: &Uri) -> Option<u32> {
        let contacts = self.list("Contact");
        let is_ours = |value: &&String| {
            let uri = Address::read(value).uri;
            uri.is_some_and(|it| {
                (it.user(), it.host(), it.port())
                    == (contact.user(), contact.host(), contact.port())
            })
        };
        let only = || contacts.first().filter(|_| contacts.len() == 1);
        let bound = contacts.iter().find(is_ours).or_else(only).and_then(|value| {
            let params = value.rsplit_once('>').map_or(value.as_str(), |(_, params)| params);
            uri::param(params, "expires")
        });
        let seconds = bound.or_else(|| self.header("Expires").map(Cow::into_owned))?;
        seconds.trim().parse().ok()
    }

    /// Min-Expires of a 423, in seconds.
    #[must_use]
    pub fn min_expires(&self) -> Option<u32> {
        self.header("Min-Expires")?.trim().parse().ok()
    }

    /// RFC 3326: the Q.850 cause that a Reason header gives.
    #[must_use]
    pub fn reason_q850(&self) -> Option<u8> {
        self.list("Reason").iter().find_map(|reason| {
            let (protocol, params) = reason.split_once(';')?;
            let is_q850 = protocol.trim().eq_ignore_ascii_case("Q.850");
            let cause = is_q850.then(|| uri::param(params, "cause"))??;
            cause.parse().ok().filter(|cause| *cause < 128)
        })
    }

    /// Retry-After, in seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        let value = self.header("Retry-After")?;
        let digits = value.trim().split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }

    /// The code of the first Warning.
    #[must_use]
    pub fn warning(&self) -> Option<u16> {
        self.header("Warning")?.split_whitespace().next()?.parse().ok()
    }

    /// The option tags that a request requires us to understand.
    #[must_use]
    pub fn required_options(&self) -> Vec<String> {
        let options = self.list("Require");
        options.iter().map(|option| option.trim().to_owned()).filter(|o| !o.is_empty()).collect()
    }

    /// The digest challenges that can be understood and trusted, in order.
    #[must_use]
    pub fn challenges(&self) -> Vec<Challenge> {
        let of = |name: &'static str, from_proxy: bool| {
            let values = self.raw.values(name);
            values.into_iter().filter_map(move |value| Challenge::read(&value, from_proxy))
        };
        of("WWW-Authenticate", false).chain(of("Proxy-Authenticate", true)).collect()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.raw.0.body()
    }

    /// The media type of the body, in lower case and without parameters.
    #[must_use]
    pub fn content_type(&self) -> Option<String> {
        self.header("Content-Type").map(|value| media_type(&value))
    }

    /// The session description: the body, or the part of it that is one.
    #[must_use]
    pub fn sdp(&self) -> Option<&[u8]> {
        let content_type = self.header("Content-Type")?;
        let body = self.body();
        match media_type(&content_type).as_str() {
            "application/sdp" => Some(body).filter(|body| !body.is_empty()),
            "multipart/mixed" | "multipart/alternative" => {
                let (_, params) = content_type.split_once(';')?;
                sdp_part(body, &uri::param(params, "boundary")?)
            }
            _ => None,
        }
    }

    /// The first header of that name, folds joined, whatever form its name was written in.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let name = HeaderName::parse(&Bytes::copy_from_slice(name.as_bytes()));
        let value = self.raw.0.headers().value(&name)?;
        Some(match value {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        })
    }

    pub(super) fn raw(&self) -> &Raw {
        &self.raw
    }

    /// Every value of a header whose values may stand in one line or in many.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.raw.texts(name).iter().flat_map(|line| owned_parts(line)).collect()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("kind", &self.kind)
            .field("call_id", &self.call_id)
            .field("cseq", &self.cseq)
            .field("body_bytes", &self.body().len())
            .finish_non_exhaustive()
    }
}

/// A digest challenge (RFC 7616 § 3.3).
#[derive(Clone)]
pub struct Challenge(auth::Challenge);

impl Challenge {
    /// One header line, one challenge, each parameter once, in ASCII: whatever is not as plain as
    /// that is not answered, because two readers could take it for two different things.
    pub(super) fn read(value: &[u8], from_proxy: bool) -> Option<Self> {
        let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii())?;
        let (scheme, params) = text.trim().split_once(' ')?;
        let mut names = Vec::new();
        for param in uri::split(params, ',') {
            let (name, _) = param.split_once('=')?;
            let name = name.trim().to_ascii_lowercase();
            let repeated_or_merged = names.contains(&name) || name.contains(' ');
            if repeated_or_merged {
                return None;
            }
            names.push(name);
        }
        let is_digest = scheme.eq_ignore_ascii_case("Digest");
        is_digest.then(|| auth::Challenge::parse(value, from_proxy).map(Self)).flatten()
    }

    /// The protection space it speaks for.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.0.realm
    }

    /// Whether the password was right and only the nonce too old.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.0.stale
    }

    /// Whether a proxy asked (407) rather than the callee (401).
    #[must_use]
    pub fn is_from_proxy(&self) -> bool {
        self.0.from_proxy
    }

    /// How strong its hash is: the greater, the stronger.
    #[must_use]
    pub fn strength(&self) -> u8 {
        self.0.algorithm.strength()
    }

    /// The value of the header that answers it.
    pub(super) fn respond(&self, with: &Answer<'_>) -> String {
        let mut known = auth::Credentials::new(with.username, with.password);
        let answer = auth::respond(&self.0, &known, with.method, with.uri, with.count, with.cnonce);
        known.password.zeroize();
        answer
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenge")
            .field("realm", &self.0.realm)
            .field("algorithm", &self.0.algorithm.as_str())
            .field("stale", &self.0.stale)
            .field("from_proxy", &self.0.from_proxy)
            .finish_non_exhaustive()
    }
}

/// What goes into the answer to a [`Challenge`].
pub(super) struct Answer<'a> {
    pub(super) username: &'a str,
    pub(super) password: &'a str,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) count: u32,
    pub(super) cnonce: &'a str,
}

/// The message as the parser keeps it, byte for byte.
#[derive(Clone)]
pub(super) struct Raw(sipx_sip::Message);

impl Raw {
    /// The values of a header, one for each line, folds joined.
    pub(super) fn values(&self, name: &str) -> Vec<Vec<u8>> {
        let name = HeaderName::parse(&Bytes::copy_from_slice(name.as_bytes()));
        self.0.headers().get_all(&name).map(|header| header.value().into_owned()).collect()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let values = self.values(name);
        values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    fn address(&self, name: &str) -> Address {
        self.texts(name).first().map(|value| Address::read(value)).unwrap_or_default()
    }

    fn via(&self) -> Option<Via> {
        Via::read(self.texts("Via").first()?)
    }

    fn call_id(&self) -> Option<String> {
        self.texts("Call-ID").into_iter().next().filter(|call_id| !call_id.is_empty())
    }

    fn cseq(&self) -> Option<(u32, Method)> {
        let cseq = self.0.headers().typed::<headers::CSeq>()?.ok()?;
        let method = std::str::from_utf8(cseq.method.as_bytes()).ok().and_then(Method::parse)?;
        Some((cseq.sequence, method))
    }
}

/// RFC 3261 § 7.5: "Implementations processing SIP messages over stream-oriented transports MUST
/// ignore any CRLF appearing before the start-line"; peers send it in datagrams as well.
fn without_leading_line_ends(mut datagram: &[u8]) -> &[u8] {
    while let Some(rest) = datagram.strip_prefix(b"\r\n") {
        datagram = rest;
    }
    datagram
}

/// Keeps from the parser what it would take seconds over: its check for repeated URI parameters
/// is quadratic.
fn guard(datagram: &[u8]) -> Result<(), Malformed> {
    if datagram.len() > MAX_DATAGRAM {
        return Err(Malformed::Oversized);
    }
    let Some(end) = datagram.windows(4).take(MAX_HEAD).position(|four| four == b"\r\n\r\n") else {
        let is_long = datagram.len() > MAX_HEAD;
        return Err(if is_long { Malformed::Oversized } else { Malformed::Unterminated });
    };
    let head = datagram.get(..end).unwrap_or(datagram);
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or(&[]);
    if first.len() > MAX_FIRST_LINE {
        return Err(Malformed::Oversized);
    }
    let (mut in_header, mut in_head) = (0, semicolons(first));
    let mut tangled = in_head > MAX_SEMICOLONS_IN_FIRST_LINE;
    for line in lines {
        let count = semicolons(line);
        let is_fold = line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        in_header = if is_fold { in_header + count } else { count };
        in_head += count;
        tangled |= in_header > MAX_SEMICOLONS_IN_HEADER;
    }
    if tangled || in_head > MAX_SEMICOLONS_IN_HEAD { Err(Malformed::Tangled) } else { Ok(()) }
}

const MAX_DATAGRAM: usize = 65_535;
const MAX_HEAD: usize = 24 * 1024;
const MAX_FIRST_LINE: usize = 1_024;
const MAX_SEMICOLONS_IN_FIRST_LINE: usize = 32;
const MAX_SEMICOLONS_IN_HEADER: usize = 128;
const MAX_SEMICOLONS_IN_HEAD: usize = 512;

fn semicolons(line: &[u8]) -> usize {
    line.iter().filter(|byte| **byte == b';').count()
}

/// Requests are judged by the whole of RFC 3261 § 8.1.1, except that a call in progress is not
/// lost over the spelling of an address: with a To tag, readable is good enough.
fn judged_request(raw: Raw) -> Result<Message, Malformed> {
    let unfit =
        |status, fault, raw| Err(Malformed::Request(Box::new(Unfit { status, raw, fault })));
    let (from, to, via) = (raw.address("From"), raw.address("To"), raw.via());
    let in_dialog = to.tag.is_some();
    for finding in raw.0.as_request().map(validate::validate_request).unwrap_or_default() {
        let forgiven = finding.is_repairable() || (in_dialog && is_spelling(&finding));
        if !forgiven {
            return unfit(finding.status(), fault(&finding), raw);
        }
    }
    // RFC 3261 § 8.1.1.7: the cookie is what makes a branch unique; alone it names nothing, and
    // two requests would share one transaction.
    let is_bare = via.as_ref().is_some_and(|via| via.branch.eq_ignore_ascii_case("z9hG4bK"));
    let (Some(via), Some(call_id), Some(cseq), false) = (via, raw.call_id(), raw.cseq(), is_bare)
    else {
        return unfit(400, "Via, Call-ID or CSeq", raw);
    };
    let kind = Kind::Request { method: cseq.1.clone() };
    Ok(Message { kind, call_id, cseq, via, from, to, raw })
}

/// Responses are judged by what finds their call and no more: the far phone is off the hook,
/// whatever its display name looks like.
fn judged_response(raw: Raw) -> Result<Message, Malformed> {
    let Some(response) = raw.0.as_response() else {
        return Err(Malformed::Syntax);
    };
    if !response.version.is_supported() {
        return Err(Malformed::Response("version"));
    }
    let kind = Kind::Response { status: response.status.code() };
    let via = raw.via().ok_or(Malformed::Response("Via"))?;
    let cseq = raw.cseq().ok_or(Malformed::Response("CSeq"))?;
    let call_id = raw.call_id().ok_or(Malformed::Response("Call-ID"))?;
    let (from, to) = (raw.address("From"), raw.address("To"));
    if from.uri.is_none() || to.uri.is_none() {
        return Err(Malformed::Response("From or To"));
    }
    Ok(Message { kind, call_id, cseq, via, from, to, raw })
}

fn is_spelling(finding: &validate::Finding) -> bool {
    matches!(finding, validate::Finding::MalformedRequiredHeader("From" | "To" | "Via"))
}

fn fault(finding: &validate::Finding) -> &'static str {
    if let validate::Finding::MissingRequiredHeader(name)
    | validate::Finding::MalformedRequiredHeader(name)
    | validate::Finding::RepeatedSingleValueHeader(name) = finding
    {
        return name;
    }
    if finding.status() == 505 { "version" } else { "method or Request-URI" }
}

fn owned_parts(line: &str) -> Vec<String> {
    uri::split(line, ',').into_iter().map(str::to_owned).collect()
}

fn media_type(content_type: &str) -> String {
    let (kind, _) = content_type.split_once(';').unwrap_or((content_type, ""));
    kind.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase()
}

/// RFC 2046 § 5.1: the part whose type is `application/sdp`.
fn sdp_part<'a>(body: &'a [u8], boundary: &str) -> Option<&'a [u8]> {
    let delimiter = format!("--{boundary}").into_bytes();
    let mut rest = body;
    loop {
        rest = behind(rest, &delimiter)?;
        let part = until(rest, &delimiter);
        let blank = position(part, b"\r\n\r\n")?;
        let (head, content) = part.split_at_checked(blank)?;
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let is_sdp = head.lines().any(|line| {
            let field = line.split_once(':');
            field.is_some_and(|(name, value)| {
                name.trim() == "content-type" && media_type(value) == "application/sdp"
            })
        });
        if is_sdp {
            let content = content.get(4..)?;
            return Some(content.strip_suffix(b"\r\n").unwrap_or(content));
        }
    }
}

fn position(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes.windows(sought.len()).position(|window| window == sought)
}

fn behind<'a>(bytes: &'a [u8], delimiter: &[u8]) -> Option<&'a [u8]> {
    bytes.get(position(bytes, delimiter)? + delimiter.len()..)
}

fn until<'a>(bytes: &'a [u8], delimiter: &[u8]) -> &'a [u8] {
    position(bytes, delimiter).and_then(|at| bytes.get(..at)).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(lines: &str, body: &str) -> Message {
        let text = format!(
            "SIP/2.0 183 x\r\nv: SIP / 2.0 / UDP us : 5070 ;branch=z9hG4bK1;rport=9,SIP/2.0/UDP b\r\n\
             f: <sip:us@h>;tag=me\r\nt: <sip:them@h>;tag=you\r\ni: c\r\nCSeq: 7 INVITE\r\n\
             {lines}\r\n{body}"
        );
        let Ok(Incoming::Message(message)) = read(text.as_bytes()) else { panic!("{text}") };
        *message
    }

    #[test]
    fn compact_names_and_spaces_are_read() {
        let message = response("m: \"a, b\" <sip:x@y;p=1>, <sip:z>\r\n", "");
        assert_eq!((message.branch(), message.sent_by()), ("z9hG4bK1", "us:5070"));
        assert_eq!((message.call_id(), message.cseq()), ("c", (7, Method::Invite)));
        assert_eq!((message.from_tag(), message.to_tag()), (Some("me"), Some("you")));
        assert_eq!(message.contact_uri().unwrap().as_str(), "sip:x@y;p=1");
        assert_eq!(message.kind(), &Kind::Response { status: 183 });
    }

    #[test]
    fn a_call_id_is_found_without_parsing() {
        for (text, found) in [
            ("BYE sip:a SIP/2.0\r\nVia: x\r\nCall-ID: a@b\r\n\r\n", Some("a@b")),
            ("\r\n\r\nBYE sip:a SIP/2.0\r\nVia: x\r\nI \t:  a@b \r\n\r\n", Some("a@b")),
            ("BYE sip:a SIP/2.0\ncall-id:a\n\n", Some("a")),
            ("BYE sip:a SIP/2.0\r\n\r\nCall-ID: a\r\n", None),
            ("Call-ID", None),
            ("", None),
        ] {
            assert_eq!(call_id_in(text.as_bytes()), found, "{text:?}");
        }
    }

    #[test]
    fn reasons_are_found_among_others() {
        let q850 = |lines: &str| response(lines, "").reason_q850();
        assert_eq!(q850("Reason: SIP;cause=486, q.850 ; cause=\"17\";text=\"a,b\"\r\n"), Some(17));
        assert_eq!(q850("Reason: SIP;cause=486\r\nReason: Q.850;cause=16\r\n"), Some(16));
        assert_eq!(q850("Reason: Q.850;cause=300\r\n"), None);
        assert_eq!(q850("Reason: Q.850\r\n"), None);
    }

    #[test]
    fn a_session_is_found_inside_other_parts() {
        let body = "--b\r\nContent-Type: application/isup;base=x\r\n\r\nzz\r\n\
                    --b\r\ncontent-type : Application/SDP\r\n\r\nv=0\r\n--b--\r\n";
        let message = response("c: multipart/mixed;boundary=\"b\"\r\n", body);
        assert_eq!(message.sdp(), Some(&b"v=0"[..]));
        assert_eq!(response("c: application/sdp\r\n", "v=0\r\n").sdp(), Some(&b"v=0\r\n"[..]));
        assert_eq!(response("c: application/sdp\r\n", "").sdp(), None);
        assert_eq!(response("c: text/plain\r\n", "v=0\r\n").sdp(), None);
    }

    #[test]
    fn answers_go_where_the_request_asked_them_to() {
        let source = "198.51.100.1:1024".parse().unwrap();
        for (via, port) in [
            ("them;rport", 1024),
            ("them:5080;branch=x;rport", 1024),
            ("them:5080", 5080),
            ("[2001:db8::1]:5081", 5081),
            ("them", 5060),
        ] {
            let via = Via::read(&format!("SIP/2.0/UDP {via}")).unwrap();
            assert_eq!(via.reply_address(source), SocketAddr::new(source.ip(), port));
        }
    }

    #[test]
    fn a_call_in_progress_is_not_lost_over_spelling() {
        let bye = |to: &str| {
            let text = format!(
                "BYE sip:us@h SIP/2.0\r\nVia: SIP/2.0/UDP them;branch=z9hG4bK2\r\n\
                 From: Bell, A <sip:them@h>;tag=you\r\nTo: <sip:us@h>{to}\r\nCall-ID: c\r\n\
                 CSeq: 1 BYE\r\n\r\n"
            );
            read(text.as_bytes())
        };
        assert!(matches!(bye(";tag=me"), Ok(Incoming::Message(_))));
        assert_eq!(bye("").unwrap_err().status(), Some(400));
    }
}
