//! A pair of RTP and RTCP ports that several calls of one engine share.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, RawFd};

use mio::{Interest, Registry, Token};

use super::origins::Origins;
use super::wire::Outbox;
use super::{Pair, Socket};

/// The pair, whose packets are whose, and what is to go out.
pub(super) struct Common {
    rtp: mio::net::UdpSocket,
    rtcp: mio::net::UdpSocket,
    /// The address of RTP.
    pub(super) address: SocketAddr,
    /// Who is heard here.
    pub(super) origins: Origins,
    outbox: Outbox,
}

impl Common {
    /// Listens to a pair.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn new(pair: Pair, registry: &Registry, tokens: [Token; 2]) -> io::Result<Self> {
        let mut rtp = mio::net::UdpSocket::from_std(pair.rtp);
        let mut rtcp = mio::net::UdpSocket::from_std(pair.rtcp);
        let [of_rtp, of_rtcp] = tokens;
        registry.register(&mut rtp, of_rtp, Interest::READABLE)?;
        registry.register(&mut rtcp, of_rtcp, Interest::READABLE)?;
        let (origins, outbox) = (Origins::default(), Outbox::new());
        Ok(Self { rtp, rtcp, address: pair.address, origins, outbox })
    }

    pub(super) fn fd(&self, socket: Socket) -> RawFd {
        match socket {
            Socket::Rtp => self.rtp.as_raw_fd(),
            Socket::Rtcp => self.rtcp.as_raw_fd(),
        }
    }

    /// The leg that a datagram is for.
    pub(super) fn owner(&self, socket: Socket, from: SocketAddr, datagram: &[u8]) -> Option<usize> {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let (origin, at) = match socket {
            Socket::Rtp => (from, 8),
            // RFC 3550, Section 11: RTCP uses "the next higher (odd) destination port number", and
            // comes from there.
            Socket::Rtcp => (SocketAddr::new(from.ip(), from.port().checked_sub(1)?), 4),
        };
        let ssrc = datagram.get(at..).and_then(|it| it.first_chunk());
        self.origins.find(origin, ssrc.copied().map(u32::from_be_bytes))
    }

    /// Puts an RTP datagram, which `write` writes, to what is to go out.
    pub(super) fn post(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        if self.outbox.is_full() {
            self.send();
        }
        if let Some(buffer) = self.outbox.next(to) {
            write(buffer);
        }
    }

    /// What was put there last.
    pub(super) fn posted(&self) -> &[u8] {
        self.outbox.last()
    }

    /// Sends what is to go out.
    pub(super) fn send(&mut self) {
        self.outbox.send(self.rtp.as_raw_fd());
    }

    /// Sends an RTCP datagram.
    pub(super) fn report(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<usize> {
        self.rtcp.send_to(datagram, to)
    }
}
