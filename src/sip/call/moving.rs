//! Where the INVITE goes: the next way (RFC 3263 § 4.3), TCP for its size (RFC 3261 § 18.1.1), and
//! where a 3xx sends it (RFC 3261 § 8.1.3.4).

use std::net::{IpAddr, SocketAddr};

use super::{Call, Ended, Note, Output, State};
use crate::ambient::Timestamp;
use crate::sip::hop::{Hop, Transport, Way};
use crate::sip::message::Message;
use crate::sip::uri::Uri;

/// RFC 3261 § 18.1.1: "If a request is within 200 bytes of the path MTU, or if it is larger than 1300
/// bytes and the path MTU is unknown, the request MUST be sent using an RFC 2914 congestion
/// controlled transport protocol, such as TCP."
const LARGE: usize = 1_300;

impl Call {
    /// Nothing was said for too long. RFC 3263 § 4.3: "Failure also occurs if the transaction layer
    /// times out without ever having received any response, provisional or final"; nobody need
    /// wait for timer B to try the next. Whoever answers here after all is told that it is over; and
    /// what rings there, though nothing of it was heard, is canceled.
    pub(super) fn silent(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.move_on(now, true, out) {
            return;
        }
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.hush();
        }
        self.state = State::Abandoning { why: Ended::NoResponse };
        self.cancel_unheard(now, out);
        self.tell(Ended::NoResponse, out);
    }

    /// RFC 3263 § 4.3: "If a failure occurs, the client SHOULD create a new request, which is
    /// identical to the previous, but has a different value of the Via branch ID than the previous
    /// (and therefore constitutes a new SIP transaction). That request is sent to the next element
    /// in the list". With the same CSeq, a server that both reach knows them for one (RFC 3261
    /// § 8.2.2.2), and no phone rings twice. False when there is no next.
    pub(super) fn move_on(
        &mut self,
        now: Timestamp,
        is_unanswered: bool,
        out: &mut Vec<Output>,
    ) -> bool {
        let (State::Inviting { ring_until, .. } | State::Early { ring_until }) = self.state else {
            return false;
        };
        let Some(way) = self.next_way(is_unanswered) else { return false };
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.hush();
        }
        self.leave_early();
        self.invite(now, way, ring_until, out);
        if let Some(attempt) = self.attempts.last() {
            out.push(Output::Note(Note::NextWay { to: attempt.sent_to() }));
        }
        true
    }

    /// Whether something is left to try when nobody answers this INVITE.
    pub(super) fn has_another_way(&self) -> bool {
        let is_by_size = self.attempts.last().is_some_and(|attempt| attempt.is_by_size());
        is_by_size || self.order.ways.len() > self.way.saturating_add(1)
    }

    fn next_way(&mut self, is_unanswered: bool) -> Option<Way> {
        let large = self.attempts.last().filter(|attempt| attempt.is_by_size());
        // RFC 3261 § 18.1.1: "if the attempt to establish the connection generates either an ICMP
        // Protocol Not Supported, or results in a TCP reset, the element SHOULD retry the request,
        // using UDP."
        if let Some(attempt) = large.filter(|_| is_unanswered) {
            self.is_tcp_barred = true;
            return Some(attempt.way);
        }
        self.way = self.way.saturating_add(1);
        self.is_tcp_barred = false;
        // Another server has nonces of its own, and may ask anew.
        self.authentication.forget();
        self.order.ways.get(self.way).copied()
    }

    /// What a request of this size goes by instead, where that is not its way: RFC 3261 § 18.1.1,
    /// "If this causes a change in the transport protocol from the one indicated in the top Via,
    /// the value in the top Via MUST be changed."
    pub(super) fn by_size(&self, way: &Way, size: usize) -> Option<Way> {
        let is_datagram = way.hop.transport == Transport::Udp;
        let is_large = size > LARGE && is_datagram && !self.is_tcp_barred;
        is_large.then_some(Way { hop: Hop { transport: Transport::Tcp, ..way.hop }, ..*way })
    }

    /// Follows a 3xx, once: RFC 3261 § 8.1.3.4, "the client SHOULD use the URI(s) in the Contact
    /// header field to formulate one or more new requests based on the redirected request". Where
    /// to; `None` ends the call.
    pub(super) fn redirect(&mut self, message: &Message, out: &mut Vec<Output>) -> Option<Way> {
        if self.was_redirected {
            return None;
        }
        let contacts = message.contacts();
        let found = contacts.iter().find_map(|uri| Some((uri, self.way_to(uri)?)));
        let Some((uri, (index, way))) = found else {
            if let Some(uri) = contacts.first() {
                let host = uri.host().to_owned();
                out.push(Output::Note(Note::RedirectRefused { host }));
            }
            return None;
        };
        self.was_redirected = true;
        self.authentication.forget();
        self.tell_diversion(uri.user() != self.request_uri.user(), out);
        self.request_uri = uri.as_request_uri();
        self.way = index;
        self.is_tcp_barred &= self.order.ways.get(index) == Some(&way);
        Some(way)
    }

    /// The way to where a Contact says, if we may go there and know how; and its place among the
    /// ways, behind the last when it is none of them.
    fn way_to(&self, uri: &Uri) -> Option<(usize, Way)> {
        let current = self.attempts.last()?.way;
        let is_secure = current.hop.transport == Transport::Tls;
        let is_known = uri.scheme().eq_ignore_ascii_case("sip")
            || (uri.scheme().eq_ignore_ascii_case("sips") && is_secure);
        if !is_known {
            return None;
        }
        if uri.host().eq_ignore_ascii_case(&bare(&self.order.target.host)) {
            return Some((self.way, current));
        }
        let ip: IpAddr = uri.host().parse().ok()?;
        let ways = &self.order.ways;
        if let Some(index) = ways.iter().position(|way| way.hop.address.ip() == ip) {
            let way = ways.get(index).copied()?;
            let port = uri.port().unwrap_or(way.hop.address.port());
            let hop = Hop { address: SocketAddr::new(ip, port), ..way.hop };
            return Some((index, Way { hop, ..way }));
        }
        let is_listed = self.order.redirects.iter().any(|host| bare(host).parse() == Ok(ip));
        let is_reachable = ip.is_ipv4() == current.local.is_ipv4();
        let port = uri.port().unwrap_or(current.hop.transport.default_port());
        let hop = Hop { address: SocketAddr::new(ip, port), ..current.hop };
        let way = Way { hop, ..current };
        (is_listed && is_reachable).then_some((ways.len(), way))
    }
}

/// A host without the brackets of an IPv6 address.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}
