//! Datagrams by the dozen: what waits on a socket is read, and what is to go out on a shared one is
//! sent, with one system call for up to 64.

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};

use crate::gateway::line;

/// The largest datagram that is looked at; what is longer is cut, and dropped as oversized.
const DATAGRAM: usize = 2_048;

/// The most datagrams that one call carries.
pub(crate) const MANY: usize = 64;

/// What is read at once from a socket of one call: one packet is usual, and asking for more tells
/// without another call that there are none.
pub(super) const FEW: usize = 4;

/// What was read last.
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    headers: MultiHeaders<SockaddrStorage>,
    arrived: Vec<(SocketAddr, usize)>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; MANY * DATAGRAM],
            headers: MultiHeaders::preallocate(MANY, None),
            arrived: Vec::with_capacity(MANY),
        }
    }

    /// Reads up to `N` datagrams; fewer are all there were.
    pub(crate) fn read<const N: usize>(&mut self, socket: RawFd) -> usize {
        self.arrived.clear();
        let mut pieces = self.buffer.chunks_exact_mut(DATAGRAM);
        let mut slices: [[IoSliceMut<'_>; 1]; N] =
            std::array::from_fn(|_| [IoSliceMut::new(pieces.next().unwrap_or_default())]);
        let flags = MsgFlags::MSG_DONTWAIT;
        // Nothing there, or an ICMP error of an earlier send.
        let Ok(read) = recvmmsg(socket, &mut self.headers, slices.iter_mut(), flags, None) else {
            return 0;
        };
        let read = read.map(|it| Some((line::address(&it.address?)?, it.bytes)));
        // Its place tells where it lies: one without an address stands there, and is nobody's.
        let nowhere = (SocketAddr::from(([0, 0, 0, 0], 0)), 0);
        self.arrived.extend(read.map(|it| it.unwrap_or(nowhere)));
        self.arrived.len()
    }

    /// What was read last, and where it came from.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let pieces = self.buffer.chunks_exact(DATAGRAM);
        self.arrived.iter().zip(pieces).map(|((from, length), piece)| {
            // The length of one that was cut is that of what is left of it.
            (*from, piece.get(..*length).unwrap_or(piece))
        })
    }
}

/// What is to go out on a shared socket.
pub(super) struct Outbox {
    datagrams: Vec<Vec<u8>>,
    to: Vec<Option<SockaddrStorage>>,
    headers: MultiHeaders<SockaddrStorage>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            datagrams: vec![Vec::new(); MANY],
            to: Vec::with_capacity(MANY),
            headers: MultiHeaders::preallocate(MANY, None),
        }
    }

    /// Whether what is there must be sent before anything is added.
    pub(super) fn is_full(&self) -> bool {
        self.to.len() >= MANY
    }

    /// What was written last.
    pub(super) fn last(&self) -> &[u8] {
        let last = self.to.len().checked_sub(1);
        last.and_then(|last| self.datagrams.get(last)).map_or(&[], Vec::as_slice)
    }

    /// The buffer of the next datagram, to be overwritten; `None` when it is full.
    pub(super) fn next(&mut self, to: SocketAddr) -> Option<&mut Vec<u8>> {
        let buffer = self.datagrams.get_mut(self.to.len())?;
        self.to.push(Some(SockaddrStorage::from(to)));
        Some(buffer)
    }

    /// Sends what is there. What the system does not take now is lost, as it would be anywhere on
    /// its way.
    pub(super) fn send(&mut self, socket: RawFd) {
        let mut rest = 0;
        while rest < self.to.len() {
            match self.send_from(rest, socket) {
                Ok(sent) => rest += sent.max(1),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                // The first of them cannot go where it should; the others may.
                Err(_) => rest += 1,
            }
        }
        self.to.clear();
    }

    fn send_from(&mut self, rest: usize, socket: RawFd) -> Result<usize, Errno> {
        let mut datagrams = self.datagrams.iter().skip(rest);
        let slices: [[IoSlice<'_>; 1]; MANY] =
            std::array::from_fn(|_| [IoSlice::new(datagrams.next().map_or(&[], Vec::as_slice))]);
        let to = self.to.get(rest..).unwrap_or_default();
        let flags = MsgFlags::MSG_DONTWAIT;
        sendmmsg(socket, &mut self.headers, slices.iter(), to, [], flags).map(Iterator::count)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn socket() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[test]
    fn what_is_sent_together_is_read_together() {
        let ((here, from), (there, to)) = (socket(), socket());
        let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
        for n in 0..MANY as u8 {
            let buffer = outbox.next(to).unwrap();
            buffer.clear();
            buffer.extend([n; 172]);
        }
        assert!(outbox.next(to).is_none());
        outbox.send(here.as_raw_fd());
        assert_eq!(inbox.read::<FEW>(there.as_raw_fd()), FEW);
        assert_eq!(inbox.read::<MANY>(there.as_raw_fd()), MANY - FEW);
        let read: Vec<_> = inbox.datagrams().collect();
        assert_eq!(read[0], (from, &[4; 172][..]));
        assert_eq!(read[59], (from, &[63; 172][..]));
        assert_eq!(inbox.read::<MANY>(there.as_raw_fd()), 0);
        assert_eq!(inbox.datagrams().count(), 0);
        // Empty again.
        outbox.next(to).unwrap().push(9);
        outbox.send(here.as_raw_fd());
        assert_eq!(inbox.read::<MANY>(there.as_raw_fd()), 1);
    }

    #[test]
    fn one_that_cannot_be_sent_keeps_no_other() {
        let ((here, _), (there, to)) = (socket(), socket());
        let mut outbox = Outbox::new();
        let nowhere = "[2001:db8::1]:4000".parse().unwrap();
        for to in [to, nowhere, to, nowhere] {
            outbox.next(to).unwrap().push(1);
        }
        outbox.send(here.as_raw_fd());
        assert_eq!(Inbox::new().read::<MANY>(there.as_raw_fd()), 2);
    }

    #[test]
    fn a_datagram_that_is_too_long_or_empty_is_told_as_such() {
        let ((here, _), (there, to)) = (socket(), socket());
        here.send_to(&[7; 3_000], to).unwrap();
        here.send_to(&[], to).unwrap();
        let mut inbox = Inbox::new();
        assert_eq!(inbox.read::<FEW>(there.as_raw_fd()), 2);
        let lengths: Vec<usize> = inbox.datagrams().map(|(_, it)| it.len()).collect();
        assert_eq!(lengths, [DATAGRAM, 0]);
    }
}
