//! Whose a packet is that comes to a port which several calls share: by where it comes from, then by
//! its source (SSRC). What comes from anywhere else is nobody's.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;

use crate::ambient::Timestamp;
use crate::gateway::ports::REST;

/// The addresses that a shared port is sent packets from. A leg is a small number.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// Whose far end is there; nobody's where two calls had theirs.
    by_remote: HashMap<SocketAddr, Option<usize>>,
    /// The streams of calls that are over: their last packets may still be on their way, and must not
    /// be heard by the next call with that address.
    resting: HashSet<(SocketAddr, u32)>,
    until: VecDeque<(Timestamp, (SocketAddr, u32))>,
}

/// Another call has, or had, its far end there, too: nobody could tell whose a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clash {
    /// The leg of that call, if it is still here.
    pub(super) other: Option<usize>,
}

impl Origins {
    /// What comes from this address is for this leg from now on.
    ///
    /// # Errors
    /// When it is another's: what comes from there is then nobody's, for good, and both calls need
    /// ports of their own.
    pub(super) fn claim(&mut self, remote: SocketAddr, leg: usize) -> Result<(), Clash> {
        let owner = self.by_remote.entry(remote).or_insert(Some(leg));
        if *owner == Some(leg) { Ok(()) } else { Err(Clash { other: owner.take() }) }
    }

    /// This address is no longer this leg's; the stream that it heard from there, if any, rests.
    pub(super) fn leave(
        &mut self,
        now: Timestamp,
        remote: SocketAddr,
        leg: usize,
        ssrc: Option<u32>,
    ) {
        self.wake(now);
        if self.by_remote.get(&remote) != Some(&Some(leg)) {
            return;
        }
        self.by_remote.remove(&remote);
        if let Some(stream) = ssrc.map(|ssrc| (remote, ssrc))
            && self.resting.insert(stream)
        {
            self.until.push_back((now + REST, stream));
        }
    }

    /// Whose a packet from there is, with this source.
    pub(super) fn find(&self, from: SocketAddr, ssrc: Option<u32>) -> Option<usize> {
        let rests = |ssrc| !self.resting.is_empty() && self.resting.contains(&(from, ssrc));
        let leg = self.by_remote.get(&from).copied().flatten();
        leg.filter(|_| !ssrc.is_some_and(rests))
    }

    fn wake(&mut self, now: Timestamp) {
        while let Some((_, stream)) = self.until.pop_front_if(|(until, _)| *until <= now) {
            self.resting.remove(&stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(9);

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 7], port))
    }

    #[test]
    fn a_packet_is_for_the_call_that_negotiated_where_it_comes_from() {
        let mut origins = Origins::default();
        assert_eq!(origins.claim(at(4_000), 1), Ok(()));
        assert_eq!(origins.claim(at(4_002), 2), Ok(()));
        assert_eq!(origins.find(at(4_000), Some(7)), Some(1));
        assert_eq!(origins.find(at(4_002), Some(7)), Some(2));
        assert_eq!(origins.find(at(4_001), Some(7)), None);
        let elsewhere = SocketAddr::from(([192, 0, 2, 8], 4_000));
        assert_eq!(origins.find(elsewhere, Some(7)), None);
    }

    #[test]
    fn what_two_calls_could_be_meant_by_is_for_neither() {
        let mut origins = Origins::default();
        assert_eq!(origins.claim(at(4_000), 1), Ok(()));
        assert_eq!(origins.claim(at(4_000), 1), Ok(()));
        assert_eq!(origins.claim(at(4_000), 2), Err(Clash { other: Some(1) }));
        assert_eq!(origins.find(at(4_000), Some(7)), None);
        origins.leave(NOW, at(4_000), 1, Some(7));
        assert_eq!(origins.claim(at(4_000), 3), Err(Clash { other: None }));
        assert_eq!(origins.find(at(4_000), Some(8)), None);
    }

    #[test]
    fn the_stream_of_a_call_that_is_over_is_not_heard_by_the_next() {
        let mut origins = Origins::default();
        assert_eq!(origins.claim(at(4_000), 1), Ok(()));
        origins.leave(NOW, at(4_000), 1, Some(7));
        assert_eq!(origins.find(at(4_000), Some(7)), None);
        assert_eq!(origins.claim(at(4_000), 2), Ok(()));
        assert_eq!(origins.find(at(4_000), Some(7)), None);
        assert_eq!(origins.find(at(4_000), Some(8)), Some(2));
        let later = NOW + REST;
        origins.leave(later - Duration::from_micros(1), at(1), 3, None);
        assert_eq!(origins.find(at(4_000), Some(7)), None);
        origins.leave(later, at(1), 3, None);
        assert_eq!(origins.find(at(4_000), Some(7)), Some(2));
    }
}
