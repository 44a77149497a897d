//! The SIP messages of our calls, told to Homer and to whatever else takes HEP version 3, as they happen: datagrams by
//! UDP, masked as what is kept is.
//!
//! Nobody waits for it. What cannot be sent at once, and what is sent while nobody is there, is lost.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::course::streams::Line;
use super::resolver::Resolver;
use crate::ambient::Timestamp;
use crate::sip::Transport;
use crate::telemetry::{self, Event};

/// How many messages wait to be sent, at most.
const WAITING_MOST: usize = 1_024;

/// How long an address holds; then its name is looked up anew.
const HOLDS: Duration = Duration::from_secs(60);

/// Who is told of SIP.
#[derive(Clone, PartialEq, Eq)]
pub struct HepSettings {
    /// Their name or address.
    pub host: String,
    /// Their port.
    pub port: u16,
    /// By which number this node is known there (the capture agent id).
    pub id: u32,
    /// What they know us by, in the clear (the authenticate key).
    pub password: Option<Zeroizing<String>>,
}

impl fmt::Debug for HepSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HepSettings({}, id {})", self.receiver(), self.id)
    }
}

impl HepSettings {
    /// Where they are, as `host:port`.
    #[must_use]
    pub fn receiver(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Tells them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Hep {
    settings: Arc<HepSettings>,
    waiting: mpsc::Sender<Vec<u8>>,
}

/// What waits to be sent.
pub(super) struct Outgoing {
    settings: Arc<HepSettings>,
    waiting: mpsc::Receiver<Vec<u8>>,
}

impl Hep {
    /// The way, and its end.
    pub(super) fn new(settings: HepSettings) -> (Self, Outgoing) {
        let settings = Arc::new(settings);
        let (sender, receiver) = mpsc::channel(WAITING_MOST);
        let outgoing = Outgoing { settings: Arc::clone(&settings), waiting: receiver };
        (Self { settings, waiting: sender }, outgoing)
    }

    /// Tells of a message, which is masked already.
    pub(super) fn tell(&self, at: Timestamp, line: Line, by: Transport, message: &[u8]) {
        let HepSettings { id, password, .. } = &*self.settings;
        let password = password.as_ref().map(|password| password.as_bytes());
        if let Some(packet) = packet(at, line, by, *id, password, message) {
            // What does not fit is lost, as it would be on the way.
            let _ = self.waiting.try_send(packet);
        }
    }
}

impl Outgoing {
    /// Sends what comes, for as long as the gateway is there.
    pub(super) async fn send(mut self, resolver: Arc<Resolver>) {
        loop {
            let found = self.open(&resolver).await;
            if let Err(error) = &found {
                telemetry::observe(&Event::Fault { doing: "find the receiver of HEP", error });
            }
            let end = tokio::time::Instant::now() + HOLDS;
            loop {
                let Ok(next) = tokio::time::timeout_at(end, self.waiting.recv()).await else {
                    break;
                };
                let Some(packet) = next else { return };
                if let Ok(socket) = &found {
                    // Nobody there shows as an error of the next one; it is told like any other loss.
                    let _ = socket.send(&packet).await;
                }
            }
        }
    }

    async fn open(&self, resolver: &Resolver) -> std::io::Result<UdpSocket> {
        let HepSettings { host, port, .. } = &*self.settings;
        let ip = match host.parse::<IpAddr>() {
            Ok(ip) => Some(ip),
            Err(_) => {
                let found = resolver.addresses_of(host).await;
                found.and_then(|found| found.into_iter().next())
            }
        };
        let ip = ip.ok_or_else(|| std::io::Error::other(format!("{host} has no address")))?;
        let any: IpAddr = match ip {
            IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        socket.connect(SocketAddr::new(ip, *port)).await?;
        Ok(socket)
    }
}

/// A message as HEP version 3 has it: "HEP3", the length of all, and chunks of vendor, type, length and value, each number
/// with its most significant octet first. `None` where it is longer than a datagram, or changes its family on the way.
fn packet(
    at: Timestamp,
    line: Line,
    by: Transport,
    id: u32,
    password: Option<&[u8]>,
    message: &[u8],
) -> Option<Vec<u8>> {
    /// The vendor whose chunks are those of the specification.
    const GENERIC: [u8; 2] = [0, 0];
    /// Chunk 0x000b: the payload is SIP.
    const SIP: u8 = 1;
    let micros = u32::try_from(at.as_micros() % 1_000_000).ok()?;
    let seconds = u32::try_from(at.as_secs()).ok()?;
    // The numbers that IANA and Linux have for protocols and families.
    let protocol: u8 = match by {
        Transport::Udp => 17,
        Transport::Tcp | Transport::Tls => 6,
    };
    let (family, addresses): (u8, _) = match (line.from.ip(), line.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            (2, [(3, from.octets().to_vec()), (4, to.octets().to_vec())])
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            (10, [(5, from.octets().to_vec()), (6, to.octets().to_vec())])
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    let mut chunks: Vec<(u16, Vec<u8>)> = vec![(1, vec![family]), (2, vec![protocol])];
    chunks.extend(addresses);
    chunks.push((7, line.from.port().to_be_bytes().to_vec()));
    chunks.push((8, line.to.port().to_be_bytes().to_vec()));
    chunks.push((9, seconds.to_be_bytes().to_vec()));
    chunks.push((10, micros.to_be_bytes().to_vec()));
    chunks.push((11, vec![SIP]));
    chunks.push((12, id.to_be_bytes().to_vec()));
    chunks.extend(password.map(|password| (14, password.to_vec())));
    chunks.push((15, message.to_vec()));
    let length = 6 + chunks.iter().map(|(_, value)| 6 + value.len()).sum::<usize>();
    let mut packet = Vec::with_capacity(length);
    packet.extend(b"HEP3");
    packet.extend(u16::try_from(length).ok()?.to_be_bytes());
    for (kind, value) in chunks {
        packet.extend(GENERIC);
        packet.extend(kind.to_be_bytes());
        packet.extend(u16::try_from(6 + value.len()).ok()?.to_be_bytes());
        packet.extend(value);
    }
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(from: &str, to: &str) -> Line {
        Line { sent: true, from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    #[test]
    fn a_packet_is_that_of_the_specification() {
        // "HEP3 Network Protocol Specification", the example of its last section.
        let wanted = "48455033 0071 \
            0000 0001 0007 02 \
            0000 0002 0007 11 \
            0000 0003 000a d4ca0001 \
            0000 0004 000a 527400d3 \
            0000 0007 0008 2eea \
            0000 0008 0008 13c4 \
            0000 0009 000a 4e4982cb \
            0000 000a 000a 0001d4c0 \
            0000 000b 0007 01 \
            0000 000c 000a 000000e4 \
            0000 000f 0014 494e56495445207369703a626f62";
        let at = Timestamp::from_micros(1_313_440_459_120_000);
        let line = line("212.202.0.1:12010", "82.116.0.211:5060");
        let packet = packet(at, line, Transport::Udp, 228, None, b"INVITE sip:bob").unwrap();
        let written: String = packet.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(written, wanted.replace(' ', ""));
    }

    #[test]
    fn streams_families_and_passwords_have_their_chunks() {
        let at = Timestamp::from_secs(1);
        let both = line("[2001:db8::1]:5061", "[2001:db8::2]:5061");
        let sent = packet(at, both, Transport::Tls, 1, Some(b"secret"), b"x").unwrap();
        let has = |chunk: &[u8]| sent.windows(chunk.len()).any(|window| window == chunk);
        assert!(has(&[0, 0, 0, 1, 0, 7, 10]) && has(&[0, 0, 0, 2, 0, 7, 6]));
        assert!(has(&[0, 0, 0, 5, 0, 22, 0x20, 1]) && has(b"\0\0\0\x0e\0\x0csecret"));
        let odd = line("192.0.2.1:1", "[2001:db8::2]:1");
        assert_eq!(packet(at, odd, Transport::Udp, 1, None, b"x"), None);
        assert_eq!(packet(at, both, Transport::Udp, 1, None, &[0; 65_500]), None);
    }
}
