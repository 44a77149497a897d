//! What comes before it is known from where: between our offer and its answer.
//!
//! RFC 3264, Section 5.1: "Once the offerer has sent the offer, it MUST be prepared to receive media
//! for any recvonly streams described by that offer." A 200 that is lost comes half a second later at
//! the earliest, and by then somebody may have said by a key that they asked for nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::srtp;
use crate::ambient::Timestamp;

/// How long the header of an RTP packet is, and the payload of a telephone-event.
const HEADER: usize = 12;
const EVENT: usize = 4;

/// The longest datagram that is kept: a telephone-event, sealed. Audio is longer, and not missed.
const LONGEST: usize = HEADER + EVENT + srtp::LONGEST_TAG;

/// How many are kept, the latest: five keys, with all their copies, and more.
const MOST: usize = 64;

/// Short datagrams from anybody, until it is known who is meant.
#[derive(Debug, Default)]
pub(super) struct Early {
    kept: VecDeque<Datagram>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Datagram {
    /// When it came.
    pub(super) at: Timestamp,
    pub(super) from: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

impl Early {
    /// Keeps it, unless it is too long to be a key; whether it did.
    pub(super) fn keep(&mut self, at: Timestamp, from: SocketAddr, bytes: &[u8]) -> bool {
        if bytes.len() > LONGEST {
            return false;
        }
        if self.kept.len() >= MOST {
            self.kept.pop_front();
        }
        self.kept.push_back(Datagram { at, from, bytes: bytes.to_vec() });
        true
    }

    /// All that was kept, the first first.
    pub(super) fn take(&mut self) -> VecDeque<Datagram> {
        std::mem::take(&mut self.kept)
    }
}
