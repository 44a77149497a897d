//! RTP port pairs: random, even for RTP and the next for RTCP (RFC 3550 section 11), and left
//! alone for a while after use, because the far end may still be talking to them.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ambient::{Entropy, Timestamp};

/// How long a freed pair rests.
const REST: Duration = Duration::from_secs(30);

/// How many pairs are tried before none is to be had.
const TRIES: usize = 64;

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
        let state = State { entropy, taken: HashSet::new(), resting: VecDeque::new() };
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

    /// Gives a pair back, to rest.
    pub(super) fn give_back(&self, port: u16, now: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.resting.push_back((now + REST, port));
    }

    /// How many pairs are bound.
    pub(super) fn bound(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken.len().saturating_sub(state.resting.len())
    }

    fn forget(&self, port: u16) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken.remove(&port);
    }

    /// A free even port, marked as taken.
    fn draw(&self, now: Timestamp) -> Option<u16> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
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
    Ok(Pair { rtp, rtcp, address })
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
