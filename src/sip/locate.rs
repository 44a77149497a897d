//! Where the requests to a host go (RFC 3263): which DNS records must be read, and what they say.
//!
//! [`Locate`] says what to ask ([`Locate::question`]) and is told ([`Locate::answer`]) until nothing
//! is left to be asked; [`Locate::found`] is then the servers. Which of them comes first is drawn anew
//! for each request ([`Located::order`]): their weights are for dealing requests out.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::hop::{Hop, Transport};
use crate::ambient::{Entropy, Timestamp};

/// The most servers that are taken of one domain, and the most addresses of one server.
const MOST_SERVERS: usize = 32;
const MOST_ADDRESSES: usize = 8;

/// What must be asked of the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The NAPTR records of a domain.
    Naptr(String),
    /// The SRV records of a service, as `_sip._udp.example.com`.
    Srv(String),
    /// The A and AAAA records of a name.
    Addresses(String),
}

/// A NAPTR record (RFC 3403 § 4.1), without its regular expression: SIP uses none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// The lower, the sooner.
    pub order: u16,
    /// Among those of one order: the lower, the sooner.
    pub preference: u16,
    /// "s" where the replacement names SRV records.
    pub flags: String,
    /// As `SIP+D2U`.
    pub services: String,
    /// The name to go on with.
    pub replacement: String,
}

/// A SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// The lower, the sooner.
    pub priority: u16,
    /// Among those of one priority: the share of requests.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The name of the server; empty or "." where the service is not offered.
    pub target: String,
}

/// What the DNS says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// NAPTR records.
    Naptr(Vec<Naptr>, Duration),
    /// SRV records.
    Srv(Vec<Srv>, Duration),
    /// Addresses, in the order in which to try them.
    Addresses(Vec<IpAddr>, Duration),
    /// There is no such name, or no such record.
    Nothing,
    /// No answer came, or none that says anything.
    Failed,
}

/// Finds the servers of one target.
#[derive(Clone, Debug)]
pub struct Locate {
    host: String,
    /// For a host without SRV records: what is written, or UDP.
    transport: Transport,
    /// What was chosen so far, and is still without addresses.
    left: Left,
    located: Located,
    /// A domain says that it does not offer the service (RFC 2782: a target of ".").
    declined: bool,
}

#[derive(Clone, Debug)]
enum Left {
    Naptr,
    /// SRV records by transport, the preferred first.
    Services {
        names: VecDeque<(Transport, String)>,
        /// Every name is asked: NAPTR records named them. Else the first that has any will do.
        all: bool,
        chosen: VecDeque<Chosen>,
    },
    Addresses(VecDeque<Chosen>),
}

/// A server by name.
#[derive(Clone, Debug)]
struct Chosen {
    rank: (usize, u16),
    weight: u16,
    transport: Transport,
    name: String,
    port: u16,
}

/// The servers of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    servers: Vec<Server>,
    /// Until when this may be relied on.
    pub until: Timestamp,
    /// Whether every question was answered. Where one was not, this is a guess: an answer of before is
    /// better.
    pub sure: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    /// The place of its service, and its priority there: the lower, the sooner.
    rank: (usize, u16),
    weight: u16,
    hops: Vec<Hop>,
}

/// Why there is nowhere to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// The DNS knows no address.
    #[error("has no address in the DNS")]
    NoAddress,
    /// The domain says that it does not offer SIP.
    #[error("says in the DNS that it does not take SIP")]
    Declined,
    /// The DNS did not answer.
    #[error("cannot be looked up: the DNS does not answer")]
    Unanswered,
}

impl Locate {
    /// Where are the servers of this host? A port and a transport are given where they are written.
    #[must_use]
    pub fn new(host: &str, port: Option<u16>, transport: Option<Transport>) -> Self {
        let host = host.trim_end_matches('.').to_owned();
        // RFC 3263 § 4.1: "if no transport protocol is specified, but the TARGET is numeric, the client
        // SHOULD use UDP for a SIP URI", and so if no transport but an explicit port is given.
        let default = transport.unwrap_or(Transport::Udp);
        let mut located = Located { servers: Vec::new(), until: Timestamp::MAX, sure: true };
        let port_or_default = port.unwrap_or_else(|| default.default_port());
        let left = match (host.parse::<IpAddr>(), port, transport) {
            // § 4.2: "If TARGET is a numeric IP address, the client uses that address."
            (Ok(ip), _, _) => {
                located.take(&Chosen::only(&host, port_or_default, default), &[ip]);
                Left::Addresses(VecDeque::new())
            }
            // § 4.2: "If the TARGET was not a numeric IP address, but a port is present in the URI, the
            // client performs an A or AAAA record lookup of the domain name."
            (Err(_), Some(port), _) => Left::Addresses([Chosen::only(&host, port, default)].into()),
            // § 4.2: "If no NAPTR records are found" or asked for, "an SRV query is performed" for the
            // transport that is known.
            (Err(_), None, Some(transport)) => {
                Left::services([(transport, service(transport, &host))].into(), false)
            }
            // § 4.1: "Otherwise, if no transport protocol or port is specified, and the target is not a
            // numeric IP address, the client SHOULD perform a NAPTR query for the domain in the URI."
            (Err(_), None, None) => Left::Naptr,
        };
        Self { host, transport: default, left, located, declined: false }
    }

    /// What must be asked next; `None` when nothing is left to be asked.
    #[must_use]
    pub fn question(&self) -> Option<Question> {
        match &self.left {
            Left::Naptr => Some(Question::Naptr(self.host.clone())),
            Left::Services { names, .. } => {
                names.front().map(|(_, name)| Question::Srv(name.clone()))
            }
            Left::Addresses(chosen) => {
                chosen.front().map(|it| Question::Addresses(it.name.clone()))
            }
        }
    }

    /// The answer to that question.
    pub fn answer(&mut self, now: Timestamp, answer: &Answer) {
        match answer {
            Answer::Naptr(_, ttl) | Answer::Srv(_, ttl) | Answer::Addresses(_, ttl) => {
                self.located.until = self.located.until.min(now + *ttl);
            }
            Answer::Nothing => {}
            Answer::Failed => self.located.sure = false,
        }
        let left = std::mem::replace(&mut self.left, Left::Addresses(VecDeque::new()));
        self.left = match left {
            Left::Naptr => self.after_naptr(answer),
            Left::Services { names, all, chosen } => self.after_srv(names, all, chosen, answer),
            Left::Addresses(chosen) => self.after_addresses(chosen, answer),
        };
    }

    /// The servers, once nothing is left to be asked.
    ///
    /// # Errors
    /// Why there are none.
    pub fn found(self) -> Result<Located, NotFound> {
        match (self.located.servers.is_empty(), self.declined, self.located.sure) {
            (false, _, _) => Ok(self.located),
            (true, true, _) => Err(NotFound::Declined),
            (true, false, true) => Err(NotFound::NoAddress),
            (true, false, false) => Err(NotFound::Unanswered),
        }
    }

    fn after_naptr(&self, answer: &Answer) -> Left {
        let named = match answer {
            Answer::Naptr(records, _) => by_naptr(records),
            Answer::Srv(..) | Answer::Addresses(..) | Answer::Nothing | Answer::Failed => {
                VecDeque::new()
            }
        };
        if !named.is_empty() {
            return Left::services(named, true);
        }
        // § 4.1: "If no NAPTR records are found, the client constructs SRV queries for those transport
        // protocols it supports, and does a query for each." The first that has any is taken.
        let probes = [Transport::Udp, Transport::Tcp, Transport::Tls];
        Left::services(probes.map(|it| (it, service(it, &self.host))).into(), false)
    }

    fn after_srv(
        &mut self,
        mut names: VecDeque<(Transport, String)>,
        all: bool,
        mut chosen: VecDeque<Chosen>,
        answer: &Answer,
    ) -> Left {
        let place = chosen.back().map_or(0, |last| last.rank.0 + 1);
        if let (Some((transport, _)), Answer::Srv(records, _)) = (names.pop_front(), answer) {
            for record in records {
                let name = record.target.trim_end_matches('.');
                // RFC 2782: "A Target of "." means that the service is decidedly not available at this
                // domain."
                self.declined |= name.is_empty();
                if !name.is_empty() && record.port != 0 && chosen.len() < MOST_SERVERS {
                    chosen.push_back(Chosen {
                        rank: (place, record.priority),
                        weight: record.weight,
                        transport,
                        name: name.to_owned(),
                        port: record.port,
                    });
                }
            }
        }
        if !names.is_empty() && (all || chosen.is_empty()) {
            return Left::Services { names, all, chosen };
        }
        // RFC 3263 § 4.2: "If no SRV records were found, the client performs an A or AAAA record lookup
        // of the domain name."
        if chosen.is_empty() && !self.declined {
            let port = self.transport.default_port();
            chosen.push_back(Chosen::only(&self.host, port, self.transport));
        }
        Left::Addresses(chosen)
    }

    fn after_addresses(&mut self, chosen: VecDeque<Chosen>, answer: &Answer) -> Left {
        let Some(name) = chosen.front().map(|it| it.name.clone()) else {
            return Left::Addresses(chosen);
        };
        let ips = match answer {
            Answer::Addresses(ips, _) => ips.as_slice(),
            Answer::Naptr(..) | Answer::Srv(..) | Answer::Nothing | Answer::Failed => &[],
        };
        // One server may take SIP at many ports, by many transports.
        let (same, others): (VecDeque<_>, VecDeque<_>) =
            chosen.into_iter().partition(|it| it.name == name);
        same.iter().for_each(|it| self.located.take(it, ips));
        Left::Addresses(others)
    }
}

impl Left {
    fn services(names: VecDeque<(Transport, String)>, all: bool) -> Self {
        Self::Services { names, all, chosen: VecDeque::new() }
    }
}

impl Chosen {
    fn only(name: &str, port: u16, transport: Transport) -> Self {
        Self { rank: (0, 0), weight: 0, transport, name: name.to_owned(), port }
    }
}

impl Located {
    /// Where to send a request: the first, and the others in their order should it fail (RFC 3263
    /// § 4.3).
    #[must_use]
    pub fn order(&self, entropy: &mut Entropy) -> Vec<Hop> {
        let mut ranks: Vec<_> = self.servers.iter().map(|server| server.rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        let mut order = Vec::new();
        for rank in ranks {
            let mut rest: Vec<&Server> = self.servers.iter().filter(|it| it.rank == rank).collect();
            // RFC 2782: "arrange all SRV RRs (that have not been ordered yet) in any order, except that
            // all those with weight 0 are placed at the beginning of the list."
            rest.sort_by_key(|server| server.weight != 0);
            while let Some(at) = draw(&rest, entropy) {
                order.extend(rest.remove(at).hops.iter().copied());
            }
        }
        order
    }

    /// Every hop, the preferred first; among equals as the DNS listed them.
    #[must_use]
    pub fn hops(&self) -> Vec<Hop> {
        let mut servers: Vec<_> = self.servers.iter().collect();
        servers.sort_by_key(|server| server.rank);
        let mut hops: Vec<Hop> = Vec::new();
        for hop in servers.iter().flat_map(|server| &server.hops) {
            if !hops.contains(hop) {
                hops.push(*hop);
            }
        }
        hops
    }

    fn take(&mut self, chosen: &Chosen, ips: &[IpAddr]) {
        let usable = ips.iter().filter(|ip| !ip.is_unspecified() && !ip.is_multicast());
        let address =
            |ip: &IpAddr| Hop { transport: chosen.transport, address: (*ip, chosen.port).into() };
        let hops: Vec<Hop> = usable.take(MOST_ADDRESSES).map(address).collect();
        if !hops.is_empty() {
            self.servers.push(Server { rank: chosen.rank, weight: chosen.weight, hops });
        }
    }
}

/// RFC 2782: "Compute the sum of the weights of those RRs, and with each RR associate the running sum
/// in the selected order. Then choose a uniform random number between 0 and the sum computed
/// (inclusive), and select the RR whose running sum value is the first in the selected order which is
/// greater than or equal to the random number selected."
fn draw(servers: &[&Server], entropy: &mut Entropy) -> Option<usize> {
    let sum: u64 = servers.iter().map(|server| u64::from(server.weight)).sum();
    let number = entropy.below(sum + 1);
    let mut running = 0;
    servers.iter().position(|server| {
        running += u64::from(server.weight);
        running >= number
    })
}

/// The SRV names that NAPTR records lead to. RFC 3403 § 4.1 of order: "a client MUST NOT consider any
/// NAPTRs with a higher value for order" once one fits, where fits means that we speak its service.
fn by_naptr(records: &[Naptr]) -> VecDeque<(Transport, String)> {
    let mut known: Vec<(&Naptr, Transport)> = records
        .iter()
        .filter(|record| record.flags.eq_ignore_ascii_case("s"))
        .filter_map(|record| Some((record, by_service(&record.services)?)))
        .collect();
    known.sort_by_key(|(record, _)| (record.order, record.preference));
    let first = known.first().map(|(record, _)| record.order);
    known
        .into_iter()
        .filter(|(record, _)| Some(record.order) == first)
        .map(|(record, transport)| (transport, record.replacement.trim_end_matches('.').to_owned()))
        .filter(|(_, name)| !name.is_empty())
        .take(MOST_SERVERS)
        .collect()
}

/// RFC 3263 § 4.1: "D2U" is UDP, "D2T" is TCP; "SIPS+D2T" is TLS over it.
fn by_service(services: &str) -> Option<Transport> {
    let known =
        [("SIP+D2U", Transport::Udp), ("SIP+D2T", Transport::Tcp), ("SIPS+D2T", Transport::Tls)];
    known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(services)).map(|(_, it)| it)
}

/// RFC 3263 § 4.1: "_sip._udp", "_sip._tcp", and "_sips._tcp" for TLS.
fn service(transport: Transport, host: &str) -> String {
    let prefix = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    };
    format!("{prefix}.{host}")
}

#[cfg(test)]
mod tests;
