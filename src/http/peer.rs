//! Who is at the other end of a connection, and for whom a proxy there speaks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};

use super::listening::Present;
use crate::access::certificate::Name;

/// What proxies write. `Forwarded` (RFC 7239) is not read: a proxy that writes one of the two passes on what its
/// client wrote in the other.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that a request comes from, as far as it is known; every request has it among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client(pub(super) IpAddr);

/// The names of the certificate that the client has shown, which comes from one of our roots. A request has it
/// among its extensions where there is one.
#[derive(Clone, Debug)]
pub(super) struct Certified(pub(super) Arc<[Name]>);

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    address: IpAddr,
    names: Arc<[Name]>,
    present: Arc<Present>,
}

impl Peer {
    /// Whoever connected from this address.
    pub(super) fn new(address: IpAddr, present: Arc<Present>) -> Self {
        // An IPv4 address that came in by an IPv6 socket is that IPv4 address.
        Self { address: address.to_canonical(), names: Arc::default(), present }
    }

    /// The same, who has shown a certificate of these names.
    pub(super) fn certified(self, names: Vec<Name>) -> Self {
        Self { names: names.into(), ..self }
    }

    /// Writes down at a request who sends it, and to which host. The certificate of a proxy is not its client's.
    pub(super) fn introduce<B>(&self, request: &mut Request<B>) {
        name_host(request);
        let client = self.client(request.headers());
        request.extensions_mut().insert(client);
        if !self.names.is_empty() && !self.is_trusted(self.address) {
            request.extensions_mut().insert(Certified(Arc::clone(&self.names)));
        }
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.present.trusted.iter().any(|net| net.contains(&address))
    }

    /// Where a request with these headers comes from: the address of the connection, or, where a trusted proxy is
    /// there, the last address of `X-Forwarded-For` that is no trusted proxy's. What stands before it is its
    /// sender's word.
    fn client(&self, headers: &HeaderMap) -> Client {
        let mut client = self.address;
        if !self.is_trusted(client) {
            return Client(client);
        }
        let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        let mut entries = lines.into_iter().rev().flat_map(|line| {
            // What is not text names nobody.
            line.to_str().unwrap_or("?").rsplit(',').map(str::trim)
        });
        while self.is_trusted(client) {
            let Some(named) = entries.next().and_then(address) else { break };
            client = named;
        }
        Client(client)
    }
}

/// Has `Host` say which host the target names, where it names one; who asks for it looks there alone.
///
/// RFC 9113 § 8.3.1: "The recipient of an HTTP/2 request MUST NOT use the Host header field to determine the target
/// URI if ":authority" is present." RFC 9112 § 3.2.2: "When an origin server receives a request with an absolute-form
/// of request-target, the origin server MUST ignore the received Host header field (if any) and instead use the host
/// information of the request-target."
fn name_host<B>(request: &mut Request<B>) {
    let Some(authority) = request.uri().authority() else { return };
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    if let Ok(host) = HeaderValue::from_str(host) {
        request.headers_mut().insert(HOST, host);
    }
}

/// An address as proxies write it: alone, in brackets, with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|at: SocketAddr| at.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, trusted: &[&str], lines: &[&str]) -> String {
        let trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let present = Arc::new(Present { tls: None, trusted });
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        Peer::new(peer.parse().unwrap(), present).client(&headers).0.to_string()
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        assert_eq!(client("203.0.113.9", &[], &["198.51.100.7"]), "203.0.113.9");
        assert_eq!(client("203.0.113.9", &["10.0.0.0/8"], &["198.51.100.7"]), "203.0.113.9");
        assert_eq!(client("::ffff:203.0.113.9", &[], &[]), "203.0.113.9");
    }

    #[test]
    fn a_certificate_is_its_holder_s_and_no_proxy_s_client_s() {
        let is_known = |trusted: &[&str]| {
            let trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
            let present = Arc::new(Present { tls: None, trusted });
            let names = vec![Name::parse("login.acme.example").unwrap()];
            let mut request = Request::new(());
            let peer = Peer::new("10.0.0.1".parse().unwrap(), present).certified(names);
            peer.introduce(&mut request);
            request.extensions().get::<Certified>().is_some()
        };
        assert!(is_known(&[]));
        assert!(!is_known(&["10.0.0.0/8"]));
    }

    #[test]
    fn the_last_address_that_is_no_proxy_s_is_the_client_s() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        for (lines, wanted) in [
            (&[][..], "10.0.0.1"),
            (&["198.51.100.7"], "198.51.100.7"),
            // What its sender wrote before it is no news.
            (&["127.0.0.1, 198.51.100.7"], "198.51.100.7"),
            (&["198.51.100.8", "198.51.100.7"], "198.51.100.7"),
            (&["198.51.100.7, 10.9.9.9"], "198.51.100.7"),
            (&["198.51.100.7", "10.9.9.9, fd00::1"], "198.51.100.7"),
            (&["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["198.51.100.7:4711"], "198.51.100.7"),
            (&["\"198.51.100.7\""], "198.51.100.7"),
            (&["::ffff:198.51.100.7"], "198.51.100.7"),
            // Beyond what cannot be read nothing is believed.
            (&["198.51.100.7, unknown, 10.9.9.9"], "10.9.9.9"),
            (&["198.51.100.7,"], "10.0.0.1"),
            (&["010.0.0.1"], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", &trusted, lines), wanted, "{lines:?}");
        }
        assert_eq!(client("::ffff:10.0.0.1", &trusted, &["198.51.100.7"]), "198.51.100.7");
    }
}
