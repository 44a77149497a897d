//! The wire: how PDUs are written, and read with more patience than they are specified with.

use std::time::Duration;

use zeroize::Zeroizing;

use super::plan::Part;
use super::{Bind, Numbering, Settings, status};

/// Names of commands (5.1.2.1).
pub(super) mod command {
    pub(crate) const GENERIC_NACK: u32 = 0x8000_0000;
    pub(crate) const SUBMIT_SM: u32 = 0x04;
    pub(crate) const SUBMIT_SM_RESP: u32 = 0x8000_0004;
    pub(crate) const DELIVER_SM: u32 = 0x05;
    pub(crate) const DELIVER_SM_RESP: u32 = 0x8000_0005;
    pub(crate) const UNBIND: u32 = 0x06;
    pub(crate) const UNBIND_RESP: u32 = 0x8000_0006;
    pub(crate) const BIND_TRANSCEIVER: u32 = 0x09;
    pub(crate) const BIND_TRANSCEIVER_RESP: u32 = 0x8000_0009;
    pub(crate) const OUTBIND: u32 = 0x0b;
    pub(crate) const ENQUIRE_LINK: u32 = 0x15;
    pub(crate) const ENQUIRE_LINK_RESP: u32 = 0x8000_0015;
    pub(crate) const ALERT_NOTIFICATION: u32 = 0x102;
    /// Set in every answer.
    pub(crate) const ANSWER: u32 = 0x8000_0000;
}

/// The bits of `esm_class` that tell what kind of message it is (5.2.12).
pub(super) mod class {
    /// The kind of message.
    pub(crate) const KIND: u8 = 0b0011_1100;
    /// A receipt of the message centre.
    pub(crate) const RECEIPT: u8 = 0b0000_0100;
    /// An intermediate delivery notification.
    pub(crate) const INTERMEDIATE: u8 = 0b0010_0000;
    /// The text begins with a user data header (3GPP TS 23.040 section 9.2.3.24).
    pub(crate) const HEADER: u8 = 0b0100_0000;
}

/// Tags of optional parameters (5.3.2).
mod tag {
    pub(super) const RECEIPTED_MESSAGE_ID: u16 = 0x001e;
    pub(super) const SAR_MSG_REF_NUM: u16 = 0x020c;
    pub(super) const SAR_TOTAL_SEGMENTS: u16 = 0x020e;
    pub(super) const SAR_SEGMENT_SEQNUM: u16 = 0x020f;
    pub(super) const MESSAGE_PAYLOAD: u16 = 0x0424;
    pub(super) const MESSAGE_STATE: u16 = 0x0427;
}

/// The length of a header (3.2).
const HEADER: usize = 16;
/// The longest PDU that is read: `message_payload` holds up to 64 KiB.
const LONGEST: usize = 70_000;
/// SMPP 3.4 (5.2.4).
const INTERFACE_VERSION: u8 = 0x34;
/// A receipt is wanted, whatever becomes of it (5.2.17).
const RECEIPT_WANTED: u8 = 1;
/// How long a relative time can be written, in days (7.1.1.2): months differ, so none are used.
const LONGEST_VALIDITY: Duration = Duration::from_secs(30 * 86_400);

/// A PDU that came: its header, and its body unread.
pub(super) struct Frame {
    pub(super) command: u32,
    pub(super) status: u32,
    pub(super) sequence: u32,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// Octets of a stream, on their way to whole PDUs.
#[derive(Default)]
pub(super) struct Frames {
    octets: Zeroizing<Vec<u8>>,
    read: usize,
}

impl Frames {
    pub(super) fn push(&mut self, octets: &[u8]) {
        let read = self.read.min(self.octets.len());
        self.octets.drain(..read);
        self.read = 0;
        self.octets.extend_from_slice(octets);
    }

    /// The next PDU; `None` until it is whole.
    ///
    /// # Errors
    /// When its length makes no sense: what follows cannot be told apart any more.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Garbled> {
        let mut reader = Reader(self.octets.get(self.read..).unwrap_or_default());
        let all = reader.0;
        let Some(length) = reader.u32().map(|length| usize::try_from(length).unwrap_or(usize::MAX))
        else {
            return Ok(None);
        };
        if !(HEADER..=LONGEST).contains(&length) {
            return Err(Garbled);
        }
        let Some(body) = all.get(HEADER..length) else { return Ok(None) };
        let (Some(command), Some(status), Some(sequence)) =
            (reader.u32(), reader.u32(), reader.u32())
        else {
            return Ok(None);
        };
        let body = Zeroizing::new(body.to_vec());
        self.read += length;
        Ok(Some(Frame { command, status, sequence, body }))
    }
}

/// The stream is not one of PDUs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Garbled;

/// A PDU of a header and this body.
fn write(command: u32, status: u32, sequence: u32, body: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut octets = Zeroizing::new(Vec::with_capacity(HEADER + body.len()));
    for field in [length, command, status, sequence] {
        octets.extend_from_slice(&field.to_be_bytes());
    }
    octets.extend_from_slice(body);
    octets
}

/// A PDU without body.
pub(super) fn bare(command: u32, status: u32, sequence: u32) -> Zeroizing<Vec<u8>> {
    write(command, status, sequence, &[])
}

/// `bind_transceiver` (4.1.5).
pub(super) fn bind(settings: &Settings, sequence: u32) -> Zeroizing<Vec<u8>> {
    // Room for all of it: a vector that grows leaves copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(128));
    for field in [settings.system_id.as_str(), &settings.password, &settings.system_type] {
        text(&mut body, field);
    }
    // Every address is ours: no range is asked for.
    body.extend_from_slice(&[INTERFACE_VERSION, 0, 0, 0]);
    let command = match settings.bind {
        Bind::Transceiver => command::BIND_TRANSCEIVER,
    };
    write(command, status::OK, sequence, &body)
}

/// `submit_sm` (4.4.1) of one part to a number in E.164 without plus.
pub(super) fn submit(
    settings: &Settings,
    to: &str,
    part: &Part,
    valid: Duration,
    sequence: u32,
) -> Zeroizing<Vec<u8>> {
    let mut body = Zeroizing::new(Vec::with_capacity(64 + part.message.len()));
    // Service type: the default.
    text(&mut body, "");
    body.extend_from_slice(&[settings.source.ton, settings.source.npi]);
    text(&mut body, settings.source_address());
    body.extend_from_slice(&[Numbering::INTERNATIONAL.ton, Numbering::INTERNATIONAL.npi]);
    text(&mut body, to);
    // Protocol identifier and priority: the defaults. To be delivered at once.
    body.extend_from_slice(&[part.esm_class, 0, 0]);
    text(&mut body, "");
    text(&mut body, &validity(valid));
    // Nothing is replaced; no canned message is used.
    body.extend_from_slice(&[RECEIPT_WANTED, 0, part.data_coding, 0]);
    let length = u8::try_from(part.message.len()).unwrap_or(u8::MAX);
    body.push(length);
    body.extend(part.message.iter().take(usize::from(length)));
    write(command::SUBMIT_SM, status::OK, sequence, &body)
}

/// `deliver_sm_resp` (4.6.2): its `message_id` is unused and empty.
pub(super) fn delivered(status: u32, sequence: u32) -> Zeroizing<Vec<u8>> {
    write(command::DELIVER_SM_RESP, status, sequence, &[0])
}

/// A relative time (7.1.1.2), of a second at least.
pub(super) fn validity(valid: Duration) -> String {
    let seconds = valid.min(LONGEST_VALIDITY).as_secs().max(1);
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    format!("0000{days:02}{hours:02}{:02}{:02}000R", seconds / 60 % 60, seconds % 60)
}

/// A C-octet string (3.1). A NUL in it would end it early, and shift all that follows.
fn text(body: &mut Vec<u8>, text: &str) {
    body.extend(text.bytes().filter(|byte| *byte != 0));
    body.push(0);
}

/// An address in a PDU that came.
pub(super) struct Address {
    pub(super) ton: u8,
    pub(super) digits: String,
}

/// Which part of a text a PDU carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) reference: u16,
    pub(super) total: u8,
    /// From 1.
    pub(super) number: u8,
}

/// A `deliver_sm` (4.6.1), as far as it matters here.
pub(super) struct Deliver {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) esm_class: u8,
    pub(super) data_coding: u8,
    /// Without user data header.
    pub(super) message: Zeroizing<Vec<u8>>,
    pub(super) segment: Option<Segment>,
    /// `receipted_message_id`.
    pub(super) receipted: Option<String>,
    /// `message_state`.
    pub(super) state: Option<u8>,
}

impl Deliver {
    /// Reads the body of a `deliver_sm`. Strings may be longer than they should be, optional
    /// parameters may be cut off.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        reader.text()?;
        let from = reader.address()?;
        let to = reader.address()?;
        let esm_class = reader.octet()?;
        reader.take(2)?;
        reader.text()?;
        reader.text()?;
        reader.take(2)?;
        let data_coding = reader.octet()?;
        reader.octet()?;
        let length = usize::from(reader.octet()?);
        let mut message = reader.take(length)?;
        let mut deliver = Self {
            from,
            to,
            esm_class,
            data_coding,
            message: Zeroizing::default(),
            segment: None,
            receipted: None,
            state: None,
        };
        let (mut reference, mut total, mut number) = (None, None, None);
        while let Some((tag, value)) = reader.parameter() {
            match tag {
                tag::RECEIPTED_MESSAGE_ID => deliver.receipted = Reader(value).rest_as_text(),
                tag::MESSAGE_STATE => deliver.state = value.first().copied(),
                tag::MESSAGE_PAYLOAD if message.is_empty() => message = value,
                tag::SAR_MSG_REF_NUM => reference = value.first_chunk().copied(),
                tag::SAR_TOTAL_SEGMENTS => total = value.first().copied(),
                tag::SAR_SEGMENT_SEQNUM => number = value.first().copied(),
                _ => {}
            }
        }
        if let (Some(reference), Some(total), Some(number)) = (reference, total, number) {
            let reference = u16::from_be_bytes(reference);
            deliver.segment = Some(Segment { reference, total, number });
        }
        if esm_class & class::HEADER != 0 {
            let mut reader = Reader(message);
            let length = usize::from(reader.octet()?);
            let header = reader.take(length)?;
            deliver.segment = segment(header).or(deliver.segment);
            message = reader.0;
        }
        deliver.message = Zeroizing::new(message.to_vec());
        Some(deliver)
    }
}

/// The concatenation element of a user data header (3GPP TS 23.040 sections 9.2.3.24.1 and .8).
fn segment(header: &[u8]) -> Option<Segment> {
    let mut reader = Reader(header);
    while let (Some(name), Some(length)) = (reader.octet(), reader.octet()) {
        let value = reader.take(usize::from(length))?;
        match (name, value) {
            (0x00, &[reference, total, number]) => {
                return Some(Segment { reference: u16::from(reference), total, number });
            }
            (0x08, &[high, low, total, number]) => {
                let reference = u16::from_be_bytes([high, low]);
                return Some(Segment { reference, total, number });
            }
            _ => {}
        }
    }
    None
}

/// The `message_id` of a `submit_sm_resp` (4.4.2): empty where the body was left out.
pub(super) fn message_id(body: &[u8]) -> String {
    Reader(body).rest_as_text().unwrap_or_default()
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn octet(&mut self) -> Option<u8> {
        let (octet, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*octet)
    }

    fn u16(&mut self) -> Option<u16> {
        let (octets, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*octets))
    }

    fn u32(&mut self) -> Option<u32> {
        let (octets, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*octets))
    }

    fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|octet| *octet == 0)?;
        let text = self.take(end)?;
        self.octet()?;
        Some(latin1(text))
    }

    /// What is left, up to a NUL if there is one; `None` when that is nothing.
    fn rest_as_text(&mut self) -> Option<String> {
        let text = self.0.split(|octet| *octet == 0).next()?;
        (!text.is_empty()).then(|| latin1(text))
    }

    fn address(&mut self) -> Option<Address> {
        let ton = self.octet()?;
        self.octet()?;
        Some(Address { ton, digits: self.text()? })
    }

    fn parameter(&mut self) -> Option<(u16, &'a [u8])> {
        let tag = self.u16()?;
        let length = usize::from(self.u16()?);
        Some((tag, self.take(length)?))
    }
}

/// Octets as ISO 8859-1, of which ASCII is a part.
pub(super) fn latin1(octets: &[u8]) -> String {
    octets.iter().copied().map(char::from).collect()
}
