//! Encrypted media: SRTP and SRTCP (RFC 3711) with AES-CM and HMAC-SHA1.
//!
//! A [`Sealer`] protects what we send and an [`Opener`] lets in what was sealed with their key,
//! each packet once. Where the keys come from is `sdes`'s.
//!
//! No key is derived twice (`key_derivation_rate` is 0) and none has an MKI.

use std::collections::BTreeMap;
use std::fmt;

use aes::Aes128;
use aes::cipher::{InnerIvInit as _, KeyInit as _, StreamCipher as _, StreamCipherCoreWrapper};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Whether media are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Srtp {
    /// Never: RTP/AVP.
    #[default]
    Off,
    /// Offered; an answer in the clear is taken.
    Preferred,
    /// An answer in the clear ends the call.
    Required,
}

impl Srtp {
    /// What a session needs for it. `secret` is drawn from the operating system's generator, if
    /// keys are needed at all.
    #[must_use]
    pub fn with(self, secret: impl FnOnce() -> [u8; Keys::LENGTH]) -> Protection {
        match self {
            Self::Off => Protection::Off,
            Self::Preferred => Protection::Preferred(Keys::new(secret())),
            Self::Required => Protection::Required(Keys::new(secret())),
        }
    }
}

/// Whether a session's media are encrypted, and our keys where they may be.
#[derive(Clone, Debug, Default)]
pub enum Protection {
    /// Never.
    #[default]
    Off,
    /// Where the other side does it too.
    Preferred(Keys),
    /// Always.
    Required(Keys),
}

impl Protection {
    /// Our keys.
    #[must_use]
    pub const fn keys(&self) -> Option<&Keys> {
        match self {
            Self::Off => None,
            Self::Preferred(keys) | Self::Required(keys) => Some(keys),
        }
    }

    /// The same, and in the clear no more.
    #[must_use]
    pub fn required(self) -> Self {
        match self {
            Self::Off => Self::Off,
            Self::Preferred(keys) | Self::Required(keys) => Self::Required(keys),
        }
    }

    /// What it is without the keys.
    #[must_use]
    pub const fn srtp(&self) -> Srtp {
        match self {
            Self::Off => Srtp::Off,
            Self::Preferred(_) => Srtp::Preferred,
            Self::Required(_) => Srtp::Required,
        }
    }
}

/// What packets are sealed with (RFC 4568, Section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`.
    Sha1Of80,
    /// `AES_CM_128_HMAC_SHA1_32`: shorter tags on RTP.
    Sha1Of32,
}

impl Suite {
    /// Those there are, in our order of preference.
    pub const ALL: [Self; 2] = [Self::Sha1Of80, Self::Sha1Of32];

    /// Its name in session descriptions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1Of80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Sha1Of32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// How many octets of tag follow an RTP packet. Those of RTCP are 10 in both suites.
    const fn tag(self) -> usize {
        match self {
            Self::Sha1Of80 => 10,
            Self::Sha1Of32 => 4,
        }
    }
}

/// The most octets that sealing adds to an RTP packet.
pub const LONGEST_TAG: usize = 10;

/// The octets of tag that follow an RTCP packet.
const RTCP_TAG: usize = 10;

/// The octets of an RTCP packet that stay in the clear: header and SSRC.
const RTCP_CLEAR: usize = 8;

/// A master key of 128 bits and its salt of 112. Never shown; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(Zeroizing<[u8; Self::LENGTH]>);

impl MasterKey {
    /// Octets of key and salt together.
    pub const LENGTH: usize = 30;

    /// The key, then its salt.
    #[must_use]
    pub fn new(octets: [u8; Self::LENGTH]) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// For the session description that tells it.
    #[must_use]
    pub fn expose(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// Key and salt.
    fn parts(&self) -> ([u8; 16], u128) {
        let (mut key, mut salt) = ([0; 16], 0);
        for (to, from) in key.iter_mut().zip(self.0.iter()) {
            *to = *from;
        }
        for octet in self.0.iter().skip(16) {
            salt = salt << 8 | u128::from(*octet);
        }
        (key, salt)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(•)")
    }
}

/// Our keys in one session, one for each suite: no two streams are sealed with one key.
#[derive(Clone, Debug)]
pub struct Keys {
    of_80: MasterKey,
    of_32: MasterKey,
}

impl Keys {
    /// The octets they are made of.
    pub const LENGTH: usize = 2 * MasterKey::LENGTH;

    /// From octets that nobody can guess.
    #[must_use]
    pub fn new(secret: [u8; Self::LENGTH]) -> Self {
        let secret = Zeroizing::new(secret);
        let key = |skip| {
            let mut octets = [0; MasterKey::LENGTH];
            for (to, from) in octets.iter_mut().zip(secret.iter().skip(skip)) {
                *to = *from;
            }
            MasterKey::new(octets)
        };
        Self { of_80: key(0), of_32: key(MasterKey::LENGTH) }
    }

    /// The key that we seal with in `suite`.
    #[must_use]
    pub const fn of(&self, suite: Suite) -> &MasterKey {
        match suite {
            Suite::Sha1Of80 => &self.of_80,
            Suite::Sha1Of32 => &self.of_32,
        }
    }
}

/// Why a packet is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It is too short, or no packet at all.
    Malformed,
    /// Its tag is not what the key makes of it.
    Forged,
    /// It was let in before, or whether it was can no longer be known.
    Replayed,
}

/// Session keys of one direction: RTP's, or RTCP's.
struct Cipher {
    aes: Aes128,
    salt: Zeroizing<u128>,
    mac: Hmac<Sha1>,
}

impl Cipher {
    /// RFC 3711, Section 4.3.2: the labels of RTP.
    const RTP: u8 = 0;
    /// And of RTCP.
    const RTCP: u8 = 3;

    /// Derives the keys whose labels begin at `label` (RFC 3711, Section 4.3.1).
    fn derive(master: &MasterKey, label: u8) -> Self {
        let (key, salt) = master.parts();
        let (key, salt) = (Zeroizing::new(key), Zeroizing::new(salt));
        let prf = Aes128::new((&*key).into());
        // "Let x = key_id XOR master_salt", and key_id is the label "|| r", 48 bits of zero here.
        let derived = |label: u8, octets: &mut [u8]| {
            keystream(&prf, (*salt ^ u128::from(label) << 48) << 16, octets);
        };
        let (mut aes, mut mac) = (Zeroizing::new([0; 16]), Zeroizing::new([0; 20]));
        let mut salt = Zeroizing::new([0; 16]);
        derived(label, &mut aes[..]);
        derived(label + 1, &mut mac[..]);
        derived(label + 2, &mut salt[..]);
        Self {
            aes: Aes128::new((&*aes).into()),
            // The first 14 of the 16 octets.
            salt: Zeroizing::new(u128::from_be_bytes(*salt) >> 16),
            mac: hmac(&mac),
        }
    }

    /// En- or deciphers (RFC 3711, Section 4.1.1): "IV = (k_s * 2^16) XOR (SSRC * 2^64) XOR
    /// (i * 2^16)".
    fn apply(&self, ssrc: u32, index: u64, octets: &mut [u8]) {
        let iv = *self.salt << 16 ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16;
        keystream(&self.aes, iv, octets);
    }

    /// The tag of `octets` and what is not sent with them.
    fn tag(&self, octets: &[u8], unsent: &[u8]) -> [u8; 20] {
        self.mac.clone().chain_update(octets).chain_update(unsent).finalize().into_bytes().into()
    }

    /// Whether `tag` is that of `octets`; in a time that does not tell how much of it is.
    fn vouches(&self, octets: &[u8], unsent: &[u8], tag: &[u8]) -> bool {
        let whole = self.tag(octets, unsent);
        whole.get(..tag.len()).is_some_and(|whole| whole.ct_eq(tag).into())
    }
}

fn hmac(key: &[u8; 20]) -> Hmac<Sha1> {
    // A key shorter than a block of the hash is filled with zeros (RFC 2104, Section 2).
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    Hmac::new((&*block).into())
}

fn keystream(cipher: &Aes128, iv: u128, octets: &mut [u8]) {
    let core = CtrCore::<_, Ctr128BE>::inner_iv_init(cipher, &iv.to_be_bytes().into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(octets);
}

/// Seals what we send with one key of ours: one stream, in its order.
pub struct Sealer {
    suite: Suite,
    rtp: Cipher,
    rtcp: Cipher,
    /// The index of the last RTP packet: its sequence number, and above it how often that has
    /// wrapped.
    index: Option<u64>,
    /// The index of the next RTCP packet; the 2^31 there are last 300 years.
    rtcp_index: u32,
}

impl Sealer {
    /// For a stream that begins.
    #[must_use]
    pub fn new(suite: Suite, key: &MasterKey) -> Self {
        let (rtp, rtcp) = (Cipher::derive(key, Cipher::RTP), Cipher::derive(key, Cipher::RTCP));
        Self { suite, rtp, rtcp, index: None, rtcp_index: 0 }
    }

    /// Seals an RTP packet that we wrote.
    pub fn seal_rtp(&mut self, packet: &mut Vec<u8>) {
        let Some(head) = Head::read(packet) else { return packet.clear() };
        // The next index of this sequence number: no index is ever used twice (RFC 3711, Section
        // 9.1: a "two-time pad" tells both packets).
        let index = self.index.map_or(u64::from(head.sequence), |last| {
            let ahead = head.sequence.wrapping_sub(last as u16);
            last + if ahead == 0 { 1 << 16 } else { u64::from(ahead) }
        });
        self.index = Some(index);
        if let Some(payload) = packet.get_mut(head.length..) {
            self.rtp.apply(head.ssrc, index, payload);
        }
        let tag = self.rtp.tag(packet, &rollovers(index));
        packet.extend(tag.iter().take(self.suite.tag()));
    }

    /// Seals an RTCP packet that we wrote.
    pub fn seal_rtcp(&mut self, packet: &mut Vec<u8>) {
        let Some(ssrc) = rtcp_ssrc(packet) else { return packet.clear() };
        let index = self.rtcp_index;
        self.rtcp_index = self.rtcp_index.saturating_add(1);
        if let Some(payload) = packet.get_mut(RTCP_CLEAR..) {
            self.rtcp.apply(ssrc, u64::from(index), payload);
        }
        packet.extend((ENCRYPTED | index).to_be_bytes());
        let tag = self.rtcp.tag(packet, &[]);
        packet.extend(tag.iter().take(RTCP_TAG));
    }
}

/// The E flag of SRTCP (RFC 3711, Section 3.4); the index has the 31 bits below.
const ENCRYPTED: u32 = 1 << 31;

/// The most sources of one key. Whoever has the key is known, but need not be trusted with our
/// memory.
const MAX_SOURCES: usize = 16;

/// Lets in what was sealed with their key.
pub struct Opener {
    suite: Suite,
    rtp: Cipher,
    rtcp: Cipher,
    rtp_seen: BTreeMap<u32, Window>,
    rtcp_seen: BTreeMap<u32, Window>,
}

impl Opener {
    /// For a key of theirs.
    #[must_use]
    pub fn new(suite: Suite, key: &MasterKey) -> Self {
        let (rtp, rtcp) = (Cipher::derive(key, Cipher::RTP), Cipher::derive(key, Cipher::RTCP));
        Self { suite, rtp, rtcp, rtp_seen: BTreeMap::new(), rtcp_seen: BTreeMap::new() }
    }

    /// Opens an RTP packet.
    ///
    /// # Errors
    /// When it is not to be heard; nothing has changed then.
    pub fn open_rtp(&mut self, datagram: &[u8]) -> Result<Vec<u8>, Rejected> {
        let head = Head::read(datagram).ok_or(Rejected::Malformed)?;
        let (sealed, tag) = split(datagram, self.suite.tag(), head.length)?;
        let window = self.rtp_seen.get(&head.ssrc);
        let index = match window {
            Some(window) => window
                .index(head.sequence)
                .filter(|index| self.rtp.vouches(sealed, &rollovers(*index), tag)),
            // RFC 3711, Section 3.3.1: the rollover counter begins with 0. A source that began
            // shortly before its first wrap may have passed it before it was heard.
            None => [0, 1 << 16]
                .into_iter()
                .map(|rolled| rolled | u64::from(head.sequence))
                .find(|index| self.rtp.vouches(sealed, &rollovers(*index), tag)),
        };
        let index = index.ok_or(Rejected::Forged)?;
        admit(&mut self.rtp_seen, head.ssrc, index)?;
        let mut packet = sealed.to_vec();
        if let Some(payload) = packet.get_mut(head.length..) {
            self.rtp.apply(head.ssrc, index, payload);
        }
        Ok(packet)
    }

    /// Opens an RTCP packet.
    ///
    /// # Errors
    /// When it is not to be read; nothing has changed then.
    pub fn open_rtcp(&mut self, datagram: &[u8]) -> Result<Vec<u8>, Rejected> {
        let ssrc = rtcp_ssrc(datagram).ok_or(Rejected::Malformed)?;
        let (sealed, tag) = split(datagram, RTCP_TAG, RTCP_CLEAR + 4)?;
        if !self.rtcp.vouches(sealed, &[], tag) {
            return Err(Rejected::Forged);
        }
        let (packet, index) = sealed.split_last_chunk::<4>().ok_or(Rejected::Malformed)?;
        let index = u32::from_be_bytes(*index);
        // That reports may be read by others was not agreed on.
        if index & ENCRYPTED == 0 {
            return Err(Rejected::Forged);
        }
        let index = u64::from(index ^ ENCRYPTED);
        admit(&mut self.rtcp_seen, ssrc, index)?;
        let mut packet = packet.to_vec();
        if let Some(payload) = packet.get_mut(RTCP_CLEAR..) {
            self.rtcp.apply(ssrc, index, payload);
        }
        Ok(packet)
    }
}

/// What is sealed, and its tag.
fn split(datagram: &[u8], tag: usize, least: usize) -> Result<(&[u8], &[u8]), Rejected> {
    let length = datagram.len().checked_sub(tag).filter(|length| *length >= least);
    length.and_then(|length| datagram.split_at_checked(length)).ok_or(Rejected::Malformed)
}

/// Notes an authentic packet, unless it came before.
fn admit(seen: &mut BTreeMap<u32, Window>, ssrc: u32, index: u64) -> Result<(), Rejected> {
    let full = seen.len() >= MAX_SOURCES;
    match seen.get_mut(&ssrc) {
        Some(window) => window.admit(index),
        None if full => Err(Rejected::Replayed),
        None => {
            seen.insert(ssrc, Window { highest: index, seen: 1 });
            Ok(())
        }
    }
}

/// The rollover counter of an index, as it goes into the tag.
fn rollovers(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// What has come of one source (RFC 3711, Section 3.3.2), 64 packets back: "The receiver checks
/// the index of an incoming packet against the replay list and the window".
struct Window {
    highest: u64,
    /// Bit `n` stands for `highest - n`.
    seen: u64,
}

impl Window {
    /// The index that a sequence number stands for: the one closest to the highest so far (RFC
    /// 3711, Section 3.3.1). `None` where that would be before the first.
    fn index(&self, sequence: u16) -> Option<u64> {
        let ahead = sequence.wrapping_sub(self.highest as u16) as i16;
        self.highest.checked_add_signed(i64::from(ahead))
    }

    fn admit(&mut self, index: u64) -> Result<(), Rejected> {
        if index > self.highest {
            let by = u32::try_from(index - self.highest).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(by).unwrap_or(0) | 1;
            self.highest = index;
            return Ok(());
        }
        let back = u32::try_from(self.highest - index).unwrap_or(u32::MAX);
        let bit = 1_u64.checked_shl(back).ok_or(Rejected::Replayed)?;
        if self.seen & bit != 0 {
            return Err(Rejected::Replayed);
        }
        self.seen |= bit;
        Ok(())
    }
}

/// What is read of an RTP packet before it is opened.
struct Head {
    sequence: u16,
    ssrc: u32,
    /// The octets that stay in the clear: fixed header, contributing sources, extension.
    length: usize,
}

impl Head {
    fn read(packet: &[u8]) -> Option<Self> {
        let [first, _, s0, s1, _, _, _, _, r0, r1, r2, r3] = *packet.first_chunk()?;
        if first >> 6 != 2 {
            return None;
        }
        let mut length = 12 + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let [_, _, l0, l1] = *packet.get(length..)?.first_chunk()?;
            length += 4 + 4 * usize::from(u16::from_be_bytes([l0, l1]));
        }
        let ssrc = u32::from_be_bytes([r0, r1, r2, r3]);
        (length <= packet.len()).then_some(Self {
            sequence: u16::from_be_bytes([s0, s1]),
            ssrc,
            length,
        })
    }
}

/// The source of an RTCP packet.
fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let [first, _, _, _, r0, r1, r2, r3] = *packet.first_chunk()?;
    (first >> 6 == 2).then_some(u32::from_be_bytes([r0, r1, r2, r3]))
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", self.suite.name())
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener({})", self.suite.name())
    }
}

#[cfg(test)]
mod tests;
