//! RTP port pairs: random, even for RTP and the next for RTCP (RFC 3550 section 11), and left
//! alone for a while after use, because the far end may still be talking to them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::socket::sockopt::RcvBuf;
use nix::sys::socket::{getsockopt, setsockopt};
use nix::{libc, setsockopt_impl, sockopt_impl};

use crate::ambient::{Entropy, Timestamp};
use crate::telemetry::{self, Event};

/// How long a freed pair rests.
pub(super) const REST: Duration = Duration::from_secs(30);

/// How many pairs are tried before none is to be had.
const TRIES: usize = 64;

/// What waits to be read from a shared port may be so much, in bytes: at 3,000 calls that is 60 ms
/// of them, as the kernel counts. What is due to be sent goes before it.
const BUFFER: usize = 4 * 1_024 * 1_024;

/// The pairs of this node.
#[derive(Debug)]
pub(super) struct Ports {
    first: u16,
    pairs: u16,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    entropy: Entropy,
    taken: HashSet<u16>,
    resting: VecDeque<(Timestamp, u16)>,
    /// The pairs that calls share, by engine and address: where RTP is taken.
    shared: HashMap<(usize, IpAddr), SocketAddr>,
    /// The trunks whose calls cannot be told apart on a shared pair.
    crowded: HashSet<String>,
}

/// The ports that a call has.
#[derive(Debug)]
pub(super) enum Berth {
    /// A pair of its own.
    Own(Pair),
    /// The pair that it shares with other calls of its engine, by the address of RTP.
    Common(SocketAddr),
}

impl Berth {
    /// Where RTP is taken.
    pub(super) const fn address(&self) -> SocketAddr {
        match self {
            Self::Own(pair) => pair.address,
            Self::Common(address) => *address,
        }
    }
}

/// Two bound sockets.
#[derive(Debug)]
pub(super) struct Pair {
    /// On the even port.
    pub(super) rtp: UdpSocket,
    /// On the port above it.
    pub(super) rtcp: UdpSocket,
    /// The address of the even one.
    pub(super) address: SocketAddr,
}

impl Ports {
    /// The pairs between two ports, both inclusive.
    pub(super) fn new((first, last): (u16, u16), entropy: Entropy) -> Self {
        let first = first + first % 2;
        let pairs = (u32::from(last) + 1).saturating_sub(u32::from(first)) / 2;
        let pairs = u16::try_from(pairs).unwrap_or(u16::MAX);
        let state = State {
            entropy,
            taken: HashSet::new(),
            resting: VecDeque::new(),
            shared: HashMap::new(),
            crowded: HashSet::new(),
        };
        Self { first, pairs, state: Mutex::new(state) }
    }

    /// Binds a pair at `ip`.
    ///
    /// # Errors
    /// When none is free, or the system refuses for another reason than that a port is in use.
    pub(super) fn take(&self, ip: IpAddr, now: Timestamp) -> io::Result<Pair> {
        for _ in 0..TRIES {
            let Some(port) = self.draw(now) else { break };
            match bind(ip, port) {
                Ok(pair) => return Ok(pair),
                Err(error) => {
                    self.forget(port);
                    if error.kind() != io::ErrorKind::AddrInUse {
                        return Err(error);
                    }
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no RTP port is free"))
    }

    /// The pair at `ip` that calls of an engine share; it is bound for the first of them, and given
    /// to the engine by `hand` before anybody is told of it.
    ///
    /// # Errors
    /// As those of [`take`](Self::take).
    pub(super) fn share(
        &self,
        engine: usize,
        ip: IpAddr,
        now: Timestamp,
        hand: impl FnOnce(Pair),
    ) -> io::Result<SocketAddr> {
        if let Some(address) = self.state().shared.get(&(engine, ip)) {
            return Ok(*address);
        }
        let pair = self.take(ip, now)?;
        let mut state = self.state();
        if let Some(address) = state.shared.get(&(engine, ip)).copied() {
            // Somebody else was quicker.
            state.taken.remove(&pair.address.port());
            return Ok(address);
        }
        let address = pair.address;
        state.shared.insert((engine, ip), address);
        widen(&pair);
        hand(pair);
        Ok(address)
    }

    /// Two calls by this trunk had one far end at a shared pair.
    pub(super) fn crowd(&self, trunk: &str) {
        self.state().crowded.insert(trunk.to_owned());
    }

    /// Whether calls by this trunk need pairs of their own.
    pub(super) fn is_crowded(&self, trunk: &str) -> bool {
        self.state().crowded.contains(trunk)
    }

    /// Gives a pair back, to rest.
    pub(super) fn give_back(&self, port: u16, now: Timestamp) {
        let mut state = self.state();
        state.resting.push_back((now + REST, port));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many pairs are bound.
    pub(super) fn bound(&self) -> usize {
        let state = self.state();
        state.taken.len().saturating_sub(state.resting.len())
    }

    fn forget(&self, port: u16) {
        self.state().taken.remove(&port);
    }

    /// A free even port, marked as taken.
    fn draw(&self, now: Timestamp) -> Option<u16> {
        let mut state = self.state();
        while let Some((_, port)) = state.resting.front().copied().filter(|(at, _)| *at <= now) {
            state.resting.pop_front();
            state.taken.remove(&port);
        }
        if state.taken.len() >= usize::from(self.pairs) {
            return None;
        }
        let start = u16::try_from(state.entropy.below(u64::from(self.pairs))).unwrap_or(0);
        let port = (0..self.pairs)
            .map(|step| (u32::from(start) + u32::from(step)) % u32::from(self.pairs))
            .filter_map(|pair| u16::try_from(u32::from(self.first) + 2 * pair).ok())
            .find(|port| !state.taken.contains(port))?;
        state.taken.insert(port);
        Some(port)
    }
}

fn bind(ip: IpAddr, port: u16) -> io::Result<Pair> {
    let address = SocketAddr::new(ip, port);
    let rtp = UdpSocket::bind(address)?;
    let rtcp = UdpSocket::bind(SocketAddr::new(ip, port + 1))?;
    rtp.set_nonblocking(true)?;
    rtcp.set_nonblocking(true)?;
    // RFC 6864, Section 4.1: "Originating sources MAY set the IPv4 ID field of atomic datagrams to any
    // value". A datagram that is never cut needs none, and none is drawn for it. It may be refused:
    // that of an IPv6 socket has no such field.
    let _ = setsockopt(&rtp, PathMtu, &libc::IP_PMTUDISC_DO);
    Ok(Pair { rtp, rtcp, address })
}

sockopt_impl!(
    /// Whether datagrams may be cut on their way (`IP_MTU_DISCOVER`).
    PathMtu,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MTU_DISCOVER,
    libc::c_int
);

/// Asks for room for what waits to be read, and tells where there is less than that.
fn widen(pair: &Pair) {
    // A system that refuses leaves the buffer as it was, which is told like any other that is small.
    let _ = setsockopt(&pair.rtp, RcvBuf, &BUFFER);
    // The kernel doubles what was asked for, for its own book-keeping.
    let given = getsockopt(&pair.rtp, RcvBuf).unwrap_or(0) / 2;
    if given < BUFFER {
        telemetry::observe(&Event::SmallBuffer { asked: BUFFER, given });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn pairs_are_even_run_out_and_rest_after_use() {
        let ports = Ports::new((41_001, 41_008), Entropy::from_number(5));
        let now = Timestamp::from_secs(100);
        let pairs: Vec<Pair> = (0..3).map(|_| ports.take(IP, now).unwrap()).collect();
        assert!(pairs.iter().all(|pair| pair.address.port() % 2 == 0));
        assert_eq!(ports.take(IP, now).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        for pair in pairs {
            ports.give_back(pair.address.port(), now);
        }
        assert!(ports.take(IP, now + Duration::from_secs(29)).is_err());
        assert!(ports.take(IP, now + Duration::from_secs(30)).is_ok());
    }
}
