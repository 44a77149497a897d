//! SIP by datagrams: the sockets, and what the network tells of datagrams that did not arrive.

use std::collections::BTreeSet;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use nix::libc;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use tokio::io::Interest;

use super::{AFTER_FAULT, Calls, route};
use crate::ambient::Entropy;
use crate::sip::Hop;
use crate::telemetry::{self, Event};

/// The largest datagram that IP can carry.
const DATAGRAM: usize = 65_535;

/// One SIP socket. The sending half is a plain socket, so that the thread that owns a call sends
/// at once, without a detour through the runtime.
#[derive(Debug)]
pub(super) struct Line {
    send: UdpSocket,
    receive: tokio::net::UdpSocket,
    /// What it is bound to; the address may be a wildcard.
    pub(super) bound: SocketAddr,
}

impl Line {
    /// Binds a SIP socket.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn bind(listen: SocketAddr) -> io::Result<Self> {
        let send = UdpSocket::bind(listen)?;
        send.set_nonblocking(true)?;
        // The system then keeps what the network says of each datagram, and for whom it was.
        match listen {
            SocketAddr::V4(_) => setsockopt(&send, Ipv4RecvErr, &true)?,
            SocketAddr::V6(_) => setsockopt(&send, Ipv6RecvErr, &true)?,
        }
        let receive = tokio::net::UdpSocket::from_std(send.try_clone()?)?;
        let bound = send.local_addr()?;
        Ok(Self { send, receive, bound })
    }

    /// Sends a datagram at once.
    ///
    /// # Errors
    /// When the system refuses to take it.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        match self.send.send_to(bytes, to) {
            // What was said of a datagram before it is no news of this one, and is said once.
            Err(error) if is_of_the_network(&error) => self.send.send_to(bytes, to).map(drop),
            sent => sent.map(drop),
        }
    }

    /// Reads until the runtime ends it.
    pub(super) async fn read(self: Arc<Self>, calls: Arc<Calls>, mut entropy: Entropy) {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let fault = match self.receive.ready(Interest::READABLE | Interest::ERROR).await {
                Ok(ready) => {
                    if ready.is_error() {
                        self.undelivered().iter().for_each(|hop| calls.unreachable(*hop));
                    }
                    self.receive.try_recv_from(&mut buffer)
                }
                Err(error) => Err(error),
            };
            let (length, from) = match fault {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if is_of_the_network(&error) => continue,
                // The socket may recover, and must not fill the log until it does.
                Err(error) => {
                    telemetry::observe(&Event::Fault { doing: "receive SIP", error: &error });
                    tokio::time::sleep(AFTER_FAULT).await;
                    continue;
                }
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            // A reply that does not fit now is asked for again.
            if let Some((reply, to)) = route(&calls, Hop::udp(from), datagram, &mut entropy) {
                let _ = self.send(to.address, &reply);
            }
        }
    }

    /// Where datagrams were sent to that did not arrive, as the network says (ICMP).
    fn undelivered(&self) -> BTreeSet<Hop> {
        let mut hops = BTreeSet::new();
        // It ends when the queue is empty: the system says so by an error.
        while let Ok(hop) = self.receive.try_io(Interest::ERROR, || self.next_undelivered()) {
            hops.extend(hop.map(Hop::udp));
        }
        hops
    }

    fn next_undelivered(&self) -> io::Result<Option<SocketAddr>> {
        let mut quoted = [0; 64];
        let mut parts = [IoSliceMut::new(&mut quoted)];
        let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let (fd, flags) = (self.send.as_raw_fd(), MsgFlags::MSG_ERRQUEUE);
        let told = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut space), flags)?;
        let is_unreachable = told.cmsgs()?.any(|about| {
            if let ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) = about
            {
                return is_unreachable(&error);
            }
            false
        });
        Ok(told.address.filter(|_| is_unreachable).and_then(|to| address(&to)))
    }
}

fn is_unreachable(error: &libc::sock_extended_err) -> bool {
    let by_network = [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&error.ee_origin);
    let errno = i32::try_from(error.ee_errno).unwrap_or_default();
    by_network && is_of_the_network(&io::Error::from_raw_os_error(errno))
}

/// An address as the system's calls give it.
pub(in crate::gateway) fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|it| SocketAddr::from((it.ip(), it.port())));
    v4.or_else(|| storage.as_sockaddr_in6().map(|it| SocketAddr::from((it.ip(), it.port()))))
}

/// Whether it is what ICMP says, and no fault of the socket.
fn is_of_the_network(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::PermissionDenied
    )
}

/// The address that a peer sees of a socket bound to `bound`, if the system has a route: a socket
/// bound to loopback leads to no other machine.
pub(super) fn towards(bound: SocketAddr, peer: SocketAddr) -> Option<SocketAddr> {
    if bound.is_ipv4() != peer.is_ipv4() {
        return None;
    }
    let probe = UdpSocket::bind(SocketAddr::new(bound.ip(), 0)).ok()?;
    // Connecting a datagram socket sends nothing; it asks for the route.
    probe.connect(peer).ok()?;
    Some(SocketAddr::new(probe.local_addr().ok()?.ip(), bound.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(bound: &str, peer: &str) -> Option<SocketAddr> {
        towards(bound.parse().unwrap(), peer.parse().unwrap())
    }

    #[test]
    fn a_loopback_socket_leads_to_no_other_machine() {
        let bound = "127.0.0.1:5070";
        assert_eq!(local(bound, "127.0.0.1:5060"), Some(bound.parse().unwrap()));
        assert_eq!(local(bound, "198.51.100.7:5060"), None);
        assert_eq!(local(bound, "[::1]:5060"), None);
    }

    #[test]
    fn a_wildcard_socket_shows_the_address_it_sends_from() {
        let seen = local("0.0.0.0:5070", "127.0.0.1:5060");
        assert_eq!(seen, Some("127.0.0.1:5070".parse().unwrap()));
    }

    /// Where nothing listens: what was bound there is gone.
    fn closed_port(ip: &str) -> SocketAddr {
        UdpSocket::bind(format!("{ip}:0")).unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn the_network_tells_whose_datagram_did_not_arrive_and_the_socket_lives_on() {
        for ip in ["127.0.0.1", "[::1]"] {
            let line = Line::bind(format!("{ip}:0").parse().unwrap()).unwrap();
            let dead = closed_port(ip);
            line.send(dead, b"x").unwrap();
            let ready = line.receive.ready(Interest::ERROR);
            tokio::time::timeout(std::time::Duration::from_millis(500), ready)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(line.undelivered(), BTreeSet::from([Hop::udp(dead)]));
            assert!(line.undelivered().is_empty());
            // What the network said of the one peer keeps nothing from another.
            let alive = UdpSocket::bind(format!("{ip}:0")).unwrap();
            line.send(dead, b"x").unwrap();
            line.send(alive.local_addr().unwrap(), b"y").unwrap();
            assert_eq!(alive.recv(&mut [0; 8]).unwrap(), 1);
        }
    }
}
