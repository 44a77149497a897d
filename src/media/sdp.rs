//! Session descriptions (RFC 8866) and their offer and answer (RFC 3264), as far as one audio
//! stream with telephone-events needs them.
//!
//! The reader takes octets and is lenient: only `c=`, `m=`, `a=rtpmap`, `a=ptime`, `a=maxptime`,
//! `a=crypto` and the direction are looked at, whatever else is there, missing or malformed. Their
//! `o=` is not compared, since each description is taken as a whole; their `a=fmtp` of
//! telephone-events is not needed, since whatever event arrives is decoded.
//!
//! Where encryption is preferred and not required, keys are offered in RTP/AVP: whoever does not
//! know `a=crypto` ignores it and answers in the clear, with no second INVITE. RFC 4568, Section 6,
//! wants RTP/SAVP for every key; that would be refused by all who do not encrypt.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::media::codec::Codec;
use crate::media::sdes::{self, Crypto};
use crate::media::srtp::{Keys, Protection, Srtp, Suite};

/// The payload type we offer for telephone-events.
pub const EVENTS: u8 = 101;

/// The longest description read, in octets.
pub const MAX_LENGTH: usize = 64 * 1_024;

/// The most `m=` lines read.
pub const MAX_MEDIA: usize = 20;

/// The most payload types read from one `m=` line.
const MAX_FORMATS: usize = 64;

/// The most `a=crypto` lines read from one `m=` line.
const MAX_CRYPTO: usize = 16;

/// Why a description cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is longer than [`MAX_LENGTH`].
    #[error("the description is longer than 64 KiB")]
    TooLong,
    /// It has more than [`MAX_MEDIA`] `m=` lines.
    #[error("the description has more than 20 media lines")]
    TooManyMedia,
    /// It has no `m=audio` line.
    #[error("the description has no audio line")]
    NoAudio,
    /// Audio was refused (RFC 3264, Section 6: "the port number ... MUST be set to zero").
    #[error("audio was refused: its port is 0")]
    PortZero,
    /// The audio is neither plain RTP nor SRTP with keys in the description.
    #[error("the audio profile is neither RTP/AVP nor RTP/SAVP")]
    Profile,
    /// The audio is encrypted, and not to be.
    #[error("the audio is encrypted (RTP/SAVP), and srtp = \"off\"")]
    Encrypted,
    /// The audio is not encrypted, and must be: always, or because it was before.
    #[error("the audio is not encrypted, and srtp = \"required\" or it was before")]
    Clear,
    /// There is no way to encrypt the audio.
    #[error("a=crypto cannot be used: {0}")]
    Crypto(sdes::Fault),
    /// No codec of ours is there.
    #[error("there is no common codec: none of ours is there")]
    NoCommonCodec,
    /// No `c=` line applies, or it holds no unicast IP address.
    #[error("there is no usable connection address")]
    NoAddress,
}

/// Who may send on a stream, seen from whoever wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    #[default]
    SendRecv,
    /// The writer only.
    SendOnly,
    /// The other side only.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// The same stream seen from the other side.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    /// Whether the writer sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        match self {
            Self::SendRecv | Self::SendOnly => true,
            Self::RecvOnly | Self::Inactive => false,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    fn read(attribute: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|direction| direction.name().eq_ignore_ascii_case(attribute))
    }
}

/// What a payload type means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Audio, on a clock of 8 kHz.
    Audio(Codec),
    /// Telephone-events (RFC 4733) on an 8 kHz clock.
    Events,
}

/// A payload type and its meaning.
pub type Mapping = (u8, Format);

/// What both sides have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Where our RTP goes and theirs comes from; `None` for the address 0.0.0.0, which is how
    /// RFC 2543 put a call on hold.
    pub remote: Option<SocketAddr>,
    /// How what we send is coded.
    pub codec: Codec,
    /// The payload type of what we send.
    pub payload_type: u8,
    /// The payload type of telephone-events we send, when the other side takes them.
    pub events: Option<u8>,
    /// The payload types we may receive.
    pub accepts: Vec<Mapping>,
    /// How many milliseconds of audio they would like in a packet.
    pub packet_millis: Option<u16>,
    /// The most milliseconds of audio they take in a packet.
    pub max_packet_millis: Option<u16>,
    /// Who may send, seen from us.
    pub direction: Direction,
    /// How both sides encrypt, and their key; `None` is in the clear.
    pub crypto: Option<Crypto>,
}

impl Agreed {
    /// What payload type `number` means when it arrives.
    #[must_use]
    pub fn meaning(&self, number: u8) -> Option<Format> {
        self.accepts.iter().find(|(n, _)| *n == number).map(|(_, format)| *format)
    }
}

/// What identifies our descriptions in their `o=` lines.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// `sess-id`: the same for the whole call.
    pub id: u32,
    /// `sess-version`: one more for each changed description.
    pub version: u64,
    /// Where we receive RTP.
    pub local: SocketAddr,
}

/// Our offer: these codecs and telephone-events, 20 ms, both directions; and both suites with a key
/// of ours for each.
#[must_use]
pub fn offer(origin: Origin, codecs: &[Codec], protection: &Protection) -> Vec<u8> {
    let mut text = preamble(origin);
    let proto = match protection.srtp() {
        Srtp::Off | Srtp::Preferred => "RTP/AVP",
        Srtp::Required => "RTP/SAVP",
    };
    write_audio(&mut text, origin.local.port(), proto, &offered(codecs), Direction::SendRecv);
    if let Some(keys) = protection.keys() {
        for (tag, suite) in TAGS {
            sdes::write(&mut text, tag, suite, keys.of(suite));
        }
    }
    text.into_bytes()
}

/// Reads the answer to our [`offer`] of the same codecs under the same protection.
///
/// # Errors
/// When the audio in it cannot be used.
pub fn read_answer(
    sdp: &[u8],
    codecs: &[Codec],
    protection: &Protection,
) -> Result<Agreed, Unusable> {
    let theirs = Description::read(sdp)?;
    let (_, audio, crypto) = theirs.usable_audio(protection, Role::Answer)?;
    let mut agreed = theirs.agree(audio, codecs, crypto)?;
    // RFC 3264, Section 5.1: what the offerer receives carries the numbers of the offer; those
    // of the answer are for what the answerer receives. Many senders use one for both, so both
    // are taken, unless the answer gives our number another meaning.
    for (number, format) in offered(codecs) {
        let chosen = agreed.accepts.iter().any(|(_, theirs)| *theirs == format);
        if chosen && !audio.formats.contains(&number) {
            agreed.accepts.push((number, format));
        }
    }
    Ok(agreed)
}

/// Reads an offer and writes our answer: the first audio line we can use is accepted, with the first
/// codec in it that is one of these; every other line is refused.
///
/// # Errors
/// When no audio in it can be used; the offer is then to be refused as a whole (488).
pub fn answer(
    sdp: &[u8],
    origin: Origin,
    codecs: &[Codec],
    protection: &Protection,
) -> Result<(Vec<u8>, Agreed), Unusable> {
    let theirs = Description::read(sdp)?;
    let (chosen, audio, crypto) = theirs.usable_audio(protection, Role::Offer)?;
    let mut agreed = theirs.agree(audio, codecs, crypto)?;
    let mut formats = vec![(agreed.payload_type, Format::Audio(agreed.codec))];
    formats.extend(agreed.events.map(|number| (number, Format::Events)));
    agreed.accepts.clone_from(&formats);
    let mut text = preamble(origin);
    for (index, media) in theirs.media.iter().enumerate() {
        if index == chosen {
            write_audio(&mut text, origin.local.port(), media.proto, &formats, agreed.direction);
            if let Some(Crypto { tag, suite, ours, .. }) = &agreed.crypto {
                sdes::write(&mut text, *tag, *suite, ours);
            }
        } else {
            // RFC 3264, Section 6: "For each "m=" line in the offer, there MUST be a corresponding
            // "m=" line in the answer."
            let [kind, proto, format] = [media.kind, media.proto, media.first_format].map(harmless);
            let _ = write!(text, "m={kind} 0 {proto} {format}\r\n");
        }
    }
    Ok((text.into_bytes(), agreed))
}

/// What we offer, the first the best.
fn offered(codecs: &[Codec]) -> Vec<Mapping> {
    let audio = codecs.iter().map(|codec| (codec.payload_type(), Format::Audio(*codec)));
    audio.chain([(EVENTS, Format::Events)]).collect()
}

/// The suites we offer, by their tags.
const TAGS: [(u32, Suite); 2] = [(1, Suite::Sha1Of80), (2, Suite::Sha1Of32)];

fn preamble(origin: Origin) -> String {
    let Origin { id, version, local } = origin;
    let address = local.ip();
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- {id} {version} IN {family} {address}\r\ns=-\r\n\
         c=IN {family} {address}\r\nt=0 0\r\n"
    )
}

fn write_audio(
    text: &mut String,
    port: u16,
    proto: &str,
    formats: &[Mapping],
    direction: Direction,
) {
    // Writing to a String cannot fail.
    let _ = write!(text, "m=audio {port} {proto}");
    for (number, _) in formats {
        let _ = write!(text, " {number}");
    }
    text.push_str("\r\n");
    for (number, format) in formats {
        let _ = match format {
            Format::Audio(codec) => write!(text, "a=rtpmap:{number} {codec}/8000\r\n"),
            Format::Events => {
                write!(text, "a=rtpmap:{number} telephone-event/8000\r\na=fmtp:{number} 0-15\r\n")
            }
        };
    }
    let _ = write!(text, "a=ptime:20\r\na={}\r\n", direction.name());
}

/// What we give back of theirs: a word that could not be one is replaced.
fn harmless(word: &str) -> &str {
    let graphic = !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_graphic());
    if graphic { word } else { "-" }
}

/// Which of the two a description of theirs is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Offer,
    Answer,
}

/// A description as read.
#[derive(Debug, Default)]
struct Description<'a> {
    address: Option<IpAddr>,
    direction: Option<Direction>,
    media: Vec<Media<'a>>,
}

/// One `m=` line and what belongs to it.
#[derive(Debug, Default)]
struct Media<'a> {
    kind: &'a str,
    port: Option<u16>,
    proto: &'a str,
    /// The payload types, in order of preference.
    formats: Vec<u8>,
    /// The first format as written: a refusal needs one, and it may be no number.
    first_format: &'a str,
    address: Option<IpAddr>,
    direction: Option<Direction>,
    rtpmaps: Vec<(u8, &'a str)>,
    packet_millis: Option<u16>,
    max_packet_millis: Option<u16>,
    /// What stands behind each `a=crypto:`.
    cryptos: Vec<&'a str>,
}

impl<'a> Description<'a> {
    fn read(sdp: &'a [u8]) -> Result<Self, Unusable> {
        if sdp.len() > MAX_LENGTH {
            return Err(Unusable::TooLong);
        }
        let mut description = Self::default();
        for line in sdp.split(|octet| matches!(octet, b'\n' | b'\r')) {
            // Octets that are no UTF-8 occur in names and titles, none of which is looked at.
            let Some((kind, value)) =
                str::from_utf8(line).ok().and_then(|l| l.trim_start().split_once('='))
            else {
                continue;
            };
            match kind {
                "m" if description.media.len() == MAX_MEDIA => return Err(Unusable::TooManyMedia),
                "m" => description.media.push(Media::read(value)),
                "c" => description.connection(value),
                "a" => description.attribute(value),
                _ => {}
            }
        }
        Ok(description)
    }

    fn connection(&mut self, value: &str) {
        let address = match self.media.last_mut() {
            Some(media) => &mut media.address,
            None => &mut self.address,
        };
        // "c=<nettype> <addrtype> <connection-address>"; a slash begins a multicast TTL.
        let written = value.split_ascii_whitespace().nth(2);
        let bare = written.and_then(|text| text.split('/').next());
        *address = address.or(bare.and_then(|text| text.parse().ok()));
    }

    fn attribute(&mut self, value: &'a str) {
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        let (name, value) = (name.trim(), value.trim());
        let direction = Direction::read(name);
        let Some(media) = self.media.last_mut() else {
            self.direction = direction.or(self.direction);
            return;
        };
        media.direction = direction.or(media.direction);
        match name {
            "rtpmap" if media.rtpmaps.len() < MAX_FORMATS => {
                if let Some((number, encoding)) = value.split_once(|c: char| c.is_whitespace())
                    && let Ok(number) = number.parse()
                {
                    media.rtpmaps.push((number, encoding.trim()));
                }
            }
            "crypto" if media.cryptos.len() < MAX_CRYPTO => media.cryptos.push(value),
            "ptime" => media.packet_millis = value.parse().ok(),
            "maxptime" => media.max_packet_millis = value.parse().ok(),
            _ => {}
        }
    }

    /// The first audio line that can be used and how it is encrypted, or what is wrong with the
    /// first there is.
    fn usable_audio(
        &self,
        protection: &Protection,
        role: Role,
    ) -> Result<(usize, &Media<'a>, Option<Crypto>), Unusable> {
        let mut fault = Unusable::NoAudio;
        for (index, media) in self.media.iter().enumerate() {
            match media.usable(protection, role) {
                Ok(crypto) => return Ok((index, media, crypto)),
                Err(found) if fault == Unusable::NoAudio => fault = found,
                Err(_) => {}
            }
        }
        Err(fault)
    }

    fn agree(
        &self,
        audio: &Media<'a>,
        codecs: &[Codec],
        crypto: Option<Crypto>,
    ) -> Result<Agreed, Unusable> {
        let accepts = audio.known_formats(codecs);
        let (payload_type, codec) = accepts
            .iter()
            .find_map(|(number, format)| match format {
                Format::Audio(codec) => Some((*number, *codec)),
                Format::Events => None,
            })
            .ok_or(Unusable::NoCommonCodec)?;
        let events = accepts.iter().find(|(_, f)| *f == Format::Events).map(|(n, _)| *n);
        let address = audio.address.or(self.address).ok_or(Unusable::NoAddress)?;
        if address.is_multicast() {
            return Err(Unusable::NoAddress);
        }
        let port = audio.port.ok_or(Unusable::PortZero)?;
        let remote = SocketAddr::new(address.to_canonical(), port);
        let direction = audio.direction.or(self.direction).unwrap_or_default();
        Ok(Agreed {
            remote: (!address.is_unspecified()).then_some(remote),
            codec,
            payload_type,
            events,
            accepts,
            packet_millis: audio.packet_millis,
            max_packet_millis: audio.max_packet_millis,
            direction: direction.mirrored(),
            crypto,
        })
    }
}

impl<'a> Media<'a> {
    fn read(value: &'a str) -> Self {
        let mut words = value.split_ascii_whitespace();
        let kind = words.next().unwrap_or_default();
        // "<port>/<number of ports>"
        let port = words.next().and_then(|word| word.split('/').next());
        let proto = words.next().unwrap_or_default();
        let first_format = words.clone().next().unwrap_or("0");
        Self {
            kind,
            port: port.and_then(|text| text.parse().ok()).filter(|port| *port != 0),
            proto,
            formats: words.take(MAX_FORMATS).filter_map(|word| word.parse().ok()).collect(),
            first_format,
            ..Self::default()
        }
    }

    /// How the stream is encrypted, or why it cannot be used.
    fn usable(&self, protection: &Protection, role: Role) -> Result<Option<Crypto>, Unusable> {
        if !self.kind.eq_ignore_ascii_case("audio") {
            return Err(Unusable::NoAudio);
        }
        if self.port.is_none() {
            return Err(Unusable::PortZero);
        }
        let is = |names: [&str; 2]| names.iter().any(|it| it.eq_ignore_ascii_case(self.proto));
        let secure = is(["RTP/SAVP", "RTP/SAVPF"]);
        if !secure && !is(["RTP/AVP", "RTP/AVPF"]) {
            return Err(Unusable::Profile);
        }
        let in_clear = !secure && self.cryptos.is_empty();
        match protection {
            Protection::Off if secure => Err(Unusable::Encrypted),
            // RFC 8866, Section 5.13: an attribute that is not understood is to be ignored.
            Protection::Off => Ok(None),
            Protection::Required(_) if in_clear => Err(Unusable::Clear),
            Protection::Required(keys) => self.crypto(keys, role).map(Some),
            Protection::Preferred(_) if in_clear => Ok(None),
            // Whoever offers keys in RTP/AVP takes an answer without; whoever answers so encrypts.
            Protection::Preferred(keys) if !secure && role == Role::Offer => {
                Ok(self.crypto(keys, role).ok())
            }
            Protection::Preferred(keys) => self.crypto(keys, role).map(Some),
        }
    }

    /// The first key that can be used, or what is wrong with the first there is.
    fn crypto(&self, keys: &Keys, role: Role) -> Result<Crypto, Unusable> {
        let mut fault = sdes::Fault::Missing;
        for written in &self.cryptos {
            let found = match sdes::read(written) {
                // RFC 4568, Section 5.1.2: an answer has the tag and the suite of what it accepts.
                Ok(it) if role == Role::Answer && !TAGS.contains(&(it.tag, it.suite)) => {
                    sdes::Fault::NotOffered
                }
                Ok(it) if it.key == *keys.of(it.suite) => sdes::Fault::Echo,
                Ok(sdes::Attribute { tag, suite, key: theirs }) => {
                    return Ok(Crypto { tag, suite, ours: keys.of(suite).clone(), theirs });
                }
                Err(found) => found,
            };
            if fault == sdes::Fault::Missing {
                fault = found;
            }
        }
        Err(Unusable::Crypto(fault))
    }

    /// The formats that are ours as well, in their order.
    fn known_formats(&self, codecs: &[Codec]) -> Vec<Mapping> {
        let known = |number: &u8| self.meaning(*number, codecs).map(|format| (*number, format));
        self.formats.iter().filter_map(known).collect()
    }

    fn meaning(&self, number: u8, codecs: &[Codec]) -> Option<Format> {
        let Some((_, encoding)) = self.rtpmaps.iter().find(|(n, _)| *n == number) else {
            // RFC 3551: static payload types need no `a=rtpmap`.
            let named = codecs.iter().find(|codec| codec.payload_type() == number);
            return named.map(|codec| Format::Audio(*codec));
        };
        let mut parts = encoding.split('/');
        let (name, rate, channels) = (parts.next()?, parts.next()?, parts.next().unwrap_or("1"));
        if rate.trim() != "8000" || channels.trim() != "1" {
            return None;
        }
        let formats = codecs.iter().map(|codec| Format::Audio(*codec)).chain([Format::Events]);
        formats.into_iter().find(|format| format.encoding().eq_ignore_ascii_case(name.trim()))
    }
}

impl Format {
    const fn encoding(self) -> &'static str {
        match self {
            Self::Audio(codec) => codec.name(),
            Self::Events => "telephone-event",
        }
    }
}

#[cfg(test)]
mod tests;
