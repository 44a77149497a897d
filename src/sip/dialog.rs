//! A dialog (RFC 3261 § 12): two tags and a Call-ID, two counters, a route set and a target.
//!
//! Call order: [`Dialog::caller`] or [`Dialog::callee`] makes one; [`Dialog::matches`] and then
//! [`Dialog::receive`] judge each request that comes in; [`Dialog::request`] writes the next one
//! that goes out, and [`Dialog::destination`] says where to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::compose::Request;
use super::hop::{Hop, Transport};
use super::message::Message;
use super::method::Method;
use super::uri::{NameAddr, Route, Uri};

/// One dialog, seen from our side.
#[derive(Clone, Debug)]
pub struct Dialog {
    call_id: String,
    local: NameAddr,
    remote: NameAddr,
    local_tag: String,
    remote_tag: Option<String>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    routes: Vec<Route>,
    target: Uri,
    source: Hop,
}

/// The side of a dialog that is known before it begins.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// Our From, without its tag.
    pub from: &'a NameAddr,
    /// Our tag.
    pub tag: &'a str,
    /// Our To.
    pub to: &'a NameAddr,
    /// The number in the CSeq of our INVITE.
    pub cseq: u32,
}

/// A request whose CSeq says that it is older than one we have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfOrder;

impl Dialog {
    /// From a response to our INVITE (RFC 3261 § 12.1.2).
    #[must_use]
    pub fn caller(origin: &Origin<'_>, response: &Message, source: Hop) -> Self {
        // "A UAC MUST be prepared to receive a response without a tag in the To field, in which
        // case the tag is considered to have a value of null."
        let remote_tag = response.to_tag().map(str::to_owned);
        // "The route set MUST be set to the list of URIs in the Record-Route header field from the
        // response, taken in reverse order and preserving all URI parameters."
        let routes = response.record_route().into_iter().rev().collect();
        // "The remote target MUST be set to the URI from the Contact header field of the
        // response." Peers that forget it are reached where the INVITE went.
        let target = response.contact_uri().unwrap_or_else(|| origin.to.uri().clone());
        Self {
            call_id: response.call_id().to_owned(),
            local: origin.from.clone().tag(origin.tag),
            remote: tagged(origin.to.clone(), remote_tag.as_deref()),
            local_tag: origin.tag.to_owned(),
            remote_tag,
            local_cseq: origin.cseq,
            // "The remote sequence number MUST be empty (it is established when the remote UA
            // sends a request within the dialog)."
            remote_cseq: None,
            routes,
            target,
            source,
        }
    }

    /// From an INVITE to us (RFC 3261 § 12.1.1); `None` when it does not say who calls.
    #[must_use]
    pub fn callee(invite: &Message, tag: &str, source: Hop) -> Option<Self> {
        let remote_tag = invite.from_tag().map(str::to_owned);
        let remote = NameAddr::new(invite.from_uri()?.clone());
        Some(Self {
            call_id: invite.call_id().to_owned(),
            local: NameAddr::new(invite.to_uri()?.clone()).tag(tag),
            remote: tagged(remote, remote_tag.as_deref()),
            local_tag: tag.to_owned(),
            remote_tag,
            // "The local sequence number MUST be empty."
            local_cseq: 0,
            remote_cseq: Some(invite.cseq().0),
            // "The route set MUST be set to the list of URIs in the Record-Route header field from
            // the request, taken in order and preserving all URI parameters."
            routes: invite.record_route(),
            target: invite.contact_uri().or_else(|| invite.from_uri().cloned())?,
            source,
        })
    }

    /// Goes on counting where the early form of this dialog stopped.
    #[must_use]
    pub fn after(mut self, early: &Self) -> Self {
        self.local_cseq = self.local_cseq.max(early.local_cseq);
        self.remote_cseq = early.remote_cseq;
        self
    }

    /// The peer's tag; `None` for a peer of RFC 2543.
    #[must_use]
    pub fn remote_tag(&self) -> Option<&str> {
        self.remote_tag.as_deref()
    }

    /// Where the peer's messages come from.
    #[must_use]
    pub fn source(&self) -> Hop {
        self.source
    }

    /// Whether a request belongs to this dialog: RFC 3261 § 12.2.2, by Call-ID and tags.
    #[must_use]
    pub fn matches(&self, request: &Message) -> bool {
        request.call_id() == self.call_id
            && request.to_tag() == Some(&self.local_tag)
            && request.from_tag() == self.remote_tag()
    }

    /// Takes the CSeq of a request that [`matches`](Self::matches).
    ///
    /// # Errors
    /// "If the remote sequence number was not empty, but the sequence number of the request is
    /// lower than the remote sequence number, the request is out of order and MUST be rejected
    /// with a 500 (Server Internal Error) response." An equal one that is no copy is as wrong.
    pub fn receive(&mut self, request: &Message) -> Result<(), OutOfOrder> {
        let (number, _) = request.cseq();
        if self.remote_cseq.is_some_and(|known| number <= known) {
            return Err(OutOfOrder);
        }
        self.remote_cseq = Some(number);
        Ok(())
    }

    /// Takes the Contact of a target refresh request (INVITE, UPDATE): "When a UAS receives a
    /// target refresh request, it MUST replace the dialog's remote target URI with the URI from
    /// the Contact header field in that request, if present."
    pub fn refresh(&mut self, request: &Message) {
        if let Some(contact) = request.contact_uri() {
            self.target = contact;
        }
    }

    /// The next request in this dialog: "Requests within a dialog MUST contain strictly
    /// monotonically increasing and contiguous CSeq sequence numbers". Via and body are for the
    /// caller to add.
    #[must_use]
    pub fn request(&mut self, method: Method) -> Request {
        self.local_cseq += 1;
        self.write(method, self.local_cseq)
    }

    /// The number in the CSeq of our last request.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.local_cseq
    }

    /// The ACK for a 2xx to an INVITE: "The sequence number of the CSeq header field MUST be the
    /// same as the INVITE being acknowledged, but the CSeq method MUST be ACK."
    #[must_use]
    pub fn ack(&self, cseq: u32) -> Request {
        self.write(Method::Ack, cseq)
    }

    /// Where requests of this dialog go: the address in the first route, or else in the target,
    /// and where that is a name, or an address that cannot be ours to reach, the place that the
    /// peer's own messages came from. Where no transport is written, it is that of those messages:
    /// who is spoken to over TLS and forgets to say so means it no less. What is encrypted stays so,
    /// whatever is written.
    #[must_use]
    pub fn destination(&self) -> Hop {
        let uri = self.routes.first().map_or(&self.target, Route::uri);
        let is_secure = uri.scheme().eq_ignore_ascii_case("sips");
        let written = uri.param("transport").and_then(Transport::from_param);
        let transport = match (is_secure, self.source.transport) {
            (true, _) | (false, Transport::Tls) => Transport::Tls,
            (false, common) => written.unwrap_or(common),
        };
        let port = uri.port().unwrap_or(transport.default_port());
        match uri.host().parse::<IpAddr>() {
            Ok(ip) if is_reachable(ip, self.source.address.ip()) => {
                Hop { transport, address: SocketAddr::new(ip, port) }
            }
            Ok(_) | Err(_) => self.source,
        }
    }

    fn write(&self, method: Method, cseq: u32) -> Request {
        let (uri, routes) = self.way();
        Request::new(method, uri)
            .from(&self.local)
            .to(&self.remote)
            .call_id(&self.call_id)
            .cseq(cseq)
            .routes(&routes)
    }

    /// RFC 3261 § 12.2.1.1: the Request-URI and the Route header.
    fn way(&self) -> (Uri, Vec<Route>) {
        match self.routes.split_first() {
            // "If the route set is empty, the UAC MUST place the remote target URI into the
            // Request-URI. The UAC MUST NOT add a Route header field to the request."
            None => (self.target.clone(), Vec::new()),
            // "If the route set is not empty, and the first URI in the route set contains the lr
            // parameter, the UAC MUST place the remote target URI into the Request-URI and MUST
            // include a Route header field containing the route set values in order".
            Some((first, _)) if first.is_loose() => (self.target.clone(), self.routes.clone()),
            // "If the route set is not empty, and its first URI does not contain the lr parameter,
            // the UAC MUST place the first URI from the route set into the Request-URI [...]. The
            // UAC MUST add a Route header field containing the remainder of the route set values
            // in order [...]. The UAC MUST then place the remote target URI into the Route header
            // field as the last value."
            Some((first, rest)) => {
                let last = Route::to(self.target.clone());
                (first.uri().clone(), rest.iter().cloned().chain([last]).collect())
            }
        }
    }
}

fn tagged(address: NameAddr, tag: Option<&str>) -> NameAddr {
    match tag {
        Some(tag) => address.tag(tag),
        None => address,
    }
}

/// A public peer that names a private address is behind a NAT that did not tell it so, or tries
/// to make us knock at our own doors.
fn is_reachable(ip: IpAddr, source: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let is_usable = !ip.is_unspecified() && !ip.is_multicast() && ip != Ipv4Addr::BROADCAST;
    is_usable && (is_global(ip) || !is_global(source.to_canonical()))
}

fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared)
        }
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Incoming, message};

    fn message(text: &str) -> Message {
        let Ok(Incoming::Message(message)) = message::read(text.replace('\n', "\r\n").as_bytes())
        else {
            panic!("unreadable: {text}");
        };
        *message
    }

    fn answer(headers: &str) -> Message {
        message(&format!(
            "SIP/2.0 200 OK\nVia: SIP/2.0/UDP us;branch=z9hG4bK1\nFrom: <sip:us@h>;tag=me\n\
             To: <sip:them@h>;tag=you\nCall-ID: c\nCSeq: 7 INVITE\n{headers}\n"
        ))
    }

    fn dialog(headers: &str, source: &str) -> Dialog {
        let (from, to) =
            (NameAddr::new(Uri::sip("us", "h", None)), NameAddr::new(Uri::sip("them", "h", None)));
        let origin = Origin { from: &from, tag: "me", to: &to, cseq: 7 };
        Dialog::caller(&origin, &answer(headers), Hop::udp(source.parse().unwrap()))
    }

    fn bye(from: &str, to: &str, cseq: u32) -> Message {
        message(&format!(
            "BYE sip:us@h SIP/2.0\nVia: SIP/2.0/UDP them;branch=z9hG4bK2\nMax-Forwards: 9\n\
             From: <sip:them@h>;tag={from}\nTo: <sip:us@h>;tag={to}\nCall-ID: c\n\
             CSeq: {cseq} BYE\n\n"
        ))
    }

    fn written(request: &Request) -> String {
        String::from_utf8(request.to_bytes()).unwrap()
    }

    #[test]
    fn without_routes_the_target_is_the_request_uri() {
        let mut dialog = dialog("Contact: <sip:x@192.0.2.1:5080>\n", "192.0.2.9:5060");
        let text = written(&dialog.request(Method::Bye));
        assert!(text.starts_with("BYE sip:x@192.0.2.1:5080 SIP/2.0\r\n"), "{text}");
        assert!(!text.contains("Route:") && text.contains("CSeq: 8 BYE\r\n"), "{text}");
        assert!(text.contains("To: <sip:them@h>;tag=you\r\n"), "{text}");
        assert_eq!(dialog.destination(), Hop::udp("192.0.2.1:5080".parse().unwrap()));
    }

    #[test]
    fn loose_routes_are_copied_in_reverse_order() {
        let mut dialog = dialog(
            "Contact: <sip:x@192.0.2.1>\nRecord-Route: <sip:192.0.2.2;lr>, <sip:192.0.2.3;lr;q=1>;z\n",
            "192.0.2.9:5060",
        );
        let text = written(&dialog.request(Method::Bye));
        assert!(text.starts_with("BYE sip:x@192.0.2.1 SIP/2.0\r\n"), "{text}");
        let routes = "Route: <sip:192.0.2.3;lr;q=1>;z\r\nRoute: <sip:192.0.2.2;lr>\r\n";
        assert!(text.contains(routes), "{text}");
        assert_eq!(dialog.destination(), Hop::udp("192.0.2.3:5060".parse().unwrap()));
    }

    #[test]
    fn a_strict_route_takes_the_place_of_the_target() {
        let mut dialog = dialog(
            "Contact: <sip:x@192.0.2.1>\nRecord-Route: <sip:p2;lr>\nRecord-Route: <sip:p1>\n",
            "192.0.2.9:5060",
        );
        let text = written(&dialog.request(Method::Bye));
        assert!(text.starts_with("BYE sip:p1 SIP/2.0\r\n"), "{text}");
        assert!(text.contains("Route: <sip:p2;lr>\r\nRoute: <sip:x@192.0.2.1>\r\n"), "{text}");
        assert_eq!(dialog.destination(), Hop::udp("192.0.2.9:5060".parse().unwrap()));
    }

    #[test]
    fn a_private_target_of_a_public_peer_is_behind_a_nat() {
        for contact in ["10.0.0.1", "127.0.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "[::1]"] {
            let dialog = dialog(&format!("Contact: <sip:x@{contact}>\n"), "198.51.100.9:5062");
            assert_eq!(
                dialog.destination(),
                Hop::udp("198.51.100.9:5062".parse().unwrap()),
                "{contact}"
            );
        }
        let private = dialog("Contact: <sip:x@10.0.0.1>\n", "10.0.0.2:5060");
        assert_eq!(private.destination(), Hop::udp("10.0.0.1:5060".parse().unwrap()));
    }

    #[test]
    fn requests_match_by_call_id_and_tags_and_come_in_order() {
        let mut dialog = dialog("Contact: <sip:x@192.0.2.1>\n", "192.0.2.9:5060");
        assert!(dialog.matches(&bye("you", "me", 1)));
        assert!(!dialog.matches(&bye("you", "you", 1)) && !dialog.matches(&bye("me", "me", 1)));
        assert_eq!(dialog.receive(&bye("you", "me", 5)), Ok(()));
        assert_eq!(dialog.receive(&bye("you", "me", 4)), Err(OutOfOrder));
        assert_eq!(dialog.receive(&bye("you", "me", 5)), Err(OutOfOrder));
        assert_eq!(dialog.receive(&bye("you", "me", 9)), Ok(()));
    }

    #[test]
    fn the_callee_has_the_same_dialog_from_the_other_side() {
        let invite = message(
            "INVITE sip:them@h SIP/2.0\nVia: SIP/2.0/UDP us;branch=z9hG4bK1\nMax-Forwards: 9\n\
             From: <sip:us@h>;tag=me\nTo: <sip:them@h>\nCall-ID: c\nCSeq: 7 INVITE\n\
             Contact: <sip:us@192.0.2.1>\nRecord-Route: <sip:a;lr>, <sip:b;lr>\n\n",
        );
        let mut dialog =
            Dialog::callee(&invite, "you", Hop::udp("192.0.2.9:5060".parse().unwrap())).unwrap();
        let text = written(&dialog.request(Method::Bye));
        assert!(text.starts_with("BYE sip:us@192.0.2.1 SIP/2.0\r\n"), "{text}");
        assert!(text.contains("From: <sip:them@h>;tag=you\r\nTo: <sip:us@h>;tag=me\r\n"), "{text}");
        assert!(text.contains("Route: <sip:a;lr>\r\nRoute: <sip:b;lr>\r\n"), "{text}");
    }
}
