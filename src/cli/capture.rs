//! A capture file that Wireshark opens: SIP whole, RTP headers and telephone-events, never audio.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use etherparse::PacketBuilder;
use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};

use crate::ambient::Timestamp;
use crate::gateway::tap::{Packet, Protocol};

/// The bytes of an RTP packet that are kept when it carries audio.
const RTP_HEADER: usize = 12;

/// A capture that is being written.
pub(super) struct Capture(PcapWriter<BufWriter<File>>);

impl Capture {
    /// Begins a capture.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let header = PcapHeader { datalink: DataLink::RAW, ..PcapHeader::default() };
        let file = BufWriter::new(File::create(path)?);
        Ok(Self(PcapWriter::with_header(file, header)?))
    }

    /// Adds a packet, in the IP and UDP headers it had. A message that came by a stream stands in them
    /// too: in clear, and whole.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&mut self, at: Timestamp, packet: &Packet) -> anyhow::Result<()> {
        let ports = (packet.from.port(), packet.to.port());
        let builder = match (packet.from.ip(), packet.to.ip()) {
            (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) => {
                PacketBuilder::ipv4(from.octets(), to.octets(), 64)
            }
            (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) => {
                PacketBuilder::ipv6(from.octets(), to.octets(), 64)
            }
            // A packet does not change its family on the way.
            (std::net::IpAddr::V4(_), std::net::IpAddr::V6(_))
            | (std::net::IpAddr::V6(_), std::net::IpAddr::V4(_)) => return Ok(()),
        };
        let builder = builder.udp(ports.0, ports.1);
        let mut bytes = Vec::with_capacity(builder.size(packet.bytes.len()));
        builder.write(&mut bytes, &packet.bytes)?;
        let whole = u32::try_from(bytes.len())?;
        bytes.truncate(bytes.len() - packet.bytes.len() + kept(packet));
        let time = Duration::from_micros(at.as_micros());
        self.0.write_packet(&PcapPacket::new_owned(time, whole, bytes))?;
        Ok(())
    }
}

/// How much of a packet's payload is kept.
fn kept(packet: &Packet) -> usize {
    let event = packet.bytes.get(1).is_some_and(|byte| (96..=127).contains(&(byte & 0x7f)));
    match packet.protocol {
        Protocol::Rtp if !event => packet.bytes.len().min(RTP_HEADER),
        Protocol::Rtp | Protocol::Rtcp | Protocol::Sip(_) => packet.bytes.len(),
    }
}
