//! Via: who sent a request, and where its answer goes.

use std::net::SocketAddr;

use super::uri::{Uri, param, split};

/// The topmost Via.
#[derive(Clone)]
pub(super) struct Via {
    pub(super) sent_by: String,
    pub(super) branch: String,
    asks_rport: bool,
}

impl Via {
    pub(super) fn read(line: &str) -> Option<Self> {
        let top = split(line, ',').into_iter().next()?;
        let (sent, params) = top.split_once(';').unwrap_or((top, ""));
        // RFC 3261 § 20.42: white space separates protocol and host, and may stand around the
        // slashes and the colon too.
        let (_, transport_and_host) = sent.rsplit_once('/')?;
        let (_, sent_by) = transport_and_host.trim().split_once([' ', '\t'])?;
        let sent_by: String = sent_by.split_whitespace().collect();
        let asks_rport = split(params, ';').into_iter().any(is_rport);
        let branch = param(params, "branch").unwrap_or_default();
        (!sent_by.is_empty()).then_some(Self { sent_by, branch, asks_rport })
    }

    pub(super) fn reply_address(&self, source: SocketAddr) -> SocketAddr {
        // RFC 3581 § 4: who asks with "rport" is answered at the address and port that the request
        // came from.
        if self.asks_rport {
            return source;
        }
        // RFC 3261 § 18.2.2: "the response MUST be sent to the address in the "received"
        // parameter, using the port indicated in the sent-by value, or using port 5060 if none is
        // specified explicitly."
        let port = Uri::from_wire(&format!("sip:{}", self.sent_by)).port().unwrap_or(5060);
        SocketAddr::new(source.ip(), port)
    }
}

fn is_rport(param: &str) -> bool {
    param.split('=').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("rport"))
}
