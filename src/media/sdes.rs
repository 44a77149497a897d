//! Keys of SRTP in session descriptions (RFC 4568): the attribute `a=crypto`.
//!
//! `a=crypto:<tag> <crypto-suite> <key-params> [<session-params>]`, as
//! `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:…|2^31`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::media::srtp::{MasterKey, Suite};

/// What stands before a key.
const INLINE: &str = "inline:";

/// A master key in base64.
const KEY_TEXT: usize = MasterKey::LENGTH.div_ceil(3) * 4;

/// A key that must be changed before so many packets is none of ours: we never change keys, and a
/// call may take that long.
const LEAST_LIFETIME: u64 = 1 << 16;

/// An `a=crypto` that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its number among those of an offer.
    pub tag: u32,
    /// What packets are sealed with.
    pub suite: Suite,
    /// The key its writer seals with.
    pub key: MasterKey,
}

/// What both sides of a stream have agreed to seal with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// The number it has in the offer.
    pub tag: u32,
    /// What packets are sealed with.
    pub suite: Suite,
    /// The key we seal with.
    pub ours: MasterKey,
    /// The key they seal with.
    pub theirs: MasterKey,
}

/// Why an `a=crypto` cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is none.
    #[error("there is none, and the profile is that of SRTP")]
    Missing,
    /// It is not written as RFC 4568 says.
    #[error("it has no tag, suite and key")]
    Malformed,
    /// Its tag is not that of a line we offered with this suite.
    #[error("its tag and suite are not those of an offered one")]
    NotOffered,
    /// We do not know the suite.
    #[error("its suite is neither AES_CM_128_HMAC_SHA1_80 nor AES_CM_128_HMAC_SHA1_32")]
    Suite,
    /// The key is told in another way than `inline:`.
    #[error("its key is not inline")]
    Method,
    /// The key is not 30 octets in base64.
    #[error("its key is not 30 octets in base64")]
    Key,
    /// It is our own key: whoever echoes it has none.
    #[error("its key is our own")]
    Echo,
    /// The key has a number of its own, which each packet would have to carry; or there are several.
    #[error("its key has an MKI, which is not supported")]
    Mki,
    /// It is no number, or a small one.
    #[error("the lifetime of its key is less than 2^16 packets")]
    Lifetime,
    /// Something in the clear or unauthenticated, another key derivation rate, forward error
    /// correction, or a word we do not know.
    #[error("it has a session parameter that is not accepted")]
    Parameter,
}

/// Reads what stands behind `a=crypto:`.
///
/// # Errors
/// What is wrong with it, the first fault from the left.
pub fn read(value: &str) -> Result<Attribute, Fault> {
    let mut words = value.split_ascii_whitespace();
    let (Some(tag), Some(suite), Some(key)) = (words.next(), words.next(), words.next()) else {
        return Err(Fault::Malformed);
    };
    // "tag = 1*9DIGIT"
    let digits = (1..=9).contains(&tag.len()) && tag.bytes().all(|octet| octet.is_ascii_digit());
    let tag = tag.parse().ok().filter(|_| digits).ok_or(Fault::Malformed)?;
    let known = |it: &Suite| it.name().eq_ignore_ascii_case(suite);
    let suite = Suite::ALL.into_iter().find(known).ok_or(Fault::Suite)?;
    let key = read_key(key)?;
    if words.all(is_harmless) { Ok(Attribute { tag, suite, key }) } else { Err(Fault::Parameter) }
}

/// Writes the attribute, with its line end.
pub fn write(text: &mut String, tag: u32, suite: Suite, key: &MasterKey) {
    let key = Zeroizing::new(STANDARD.encode(key.expose()));
    // Writing to a String cannot fail.
    let _ = write!(text, "a=crypto:{tag} {} {INLINE}{}\r\n", suite.name(), *key);
}

/// Overwrites every key in a message, for eyes that are not to see it. Its length stays.
pub fn mask(message: &mut [u8]) {
    let mut rest = message;
    while let Some(at) =
        rest.windows(INLINE.len()).position(|word| word.eq_ignore_ascii_case(INLINE.as_bytes()))
    {
        rest = rest.get_mut(at + INLINE.len()..).unwrap_or_default();
        let in_key = |octet: &&mut u8| octet.is_ascii_alphanumeric() || b"+/=".contains(*octet);
        rest.iter_mut().take_while(in_key).for_each(|octet| *octet = b'*');
    }
}

/// `inline:<key||salt>["|" lifetime]["|" MKI ":" length]`
fn read_key(written: &str) -> Result<MasterKey, Fault> {
    let (method, rest) = written.split_at_checked(INLINE.len()).ok_or(Fault::Method)?;
    if !method.eq_ignore_ascii_case(INLINE) {
        return Err(Fault::Method);
    }
    // Of several keys each has an MKI.
    if rest.contains(';') {
        return Err(Fault::Mki);
    }
    let mut parts = rest.split('|');
    let key = decoded(parts.next().unwrap_or_default()).ok_or(Fault::Key)?;
    match (parts.next(), parts.next()) {
        (None, _) => Ok(key),
        (Some(mki), None) if mki.contains(':') => Err(Fault::Mki),
        (Some(_), Some(_)) => Err(Fault::Mki),
        (Some(lifetime), None) => match packets(lifetime) {
            Some(packets) if packets >= LEAST_LIFETIME => Ok(key),
            Some(_) | None => Err(Fault::Lifetime),
        },
    }
}

fn decoded(text: &str) -> Option<MasterKey> {
    let mut octets = Zeroizing::new([0; MasterKey::LENGTH]);
    let length = STANDARD.decode_slice(text, &mut octets[..]).ok()?;
    (text.len() == KEY_TEXT && length == octets.len()).then(|| MasterKey::new(*octets))
}

/// `2^31`, or a number; more than can be counted is as good as no limit.
fn packets(lifetime: &str) -> Option<u64> {
    match lifetime.strip_prefix("2^") {
        Some(exponent) => Some(1_u64.checked_shl(exponent.parse().ok()?).unwrap_or(u64::MAX)),
        None => lifetime.parse().ok(),
    }
}

/// Whether a session parameter changes nothing: RFC 4568, Section 6.3. Our window has 64 packets,
/// the least there may be, whatever theirs has; and what begins with `-` "may be ignored".
fn is_harmless(parameter: &str) -> bool {
    parameter.starts_with('-') || parameter.starts_with("WSH=") || parameter == "KDR=0"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";

    fn fault(value: &str) -> Option<Fault> {
        read(&value.replace("KEY", KEY)).err()
    }

    #[test]
    fn a_line_is_read_with_what_peers_write_behind_the_key() {
        for rest in
            ["", "|2^20", "|2^31", "|1048576", "|2^48", "|2^99", "|2^31 WSH=64 -X=1", " KDR=0"]
        {
            let line = format!("7  AES_CM_128_HMAC_SHA1_32 inline:{KEY}{rest}");
            let read = read(&line).expect(&line);
            assert_eq!((read.tag, read.suite), (7, Suite::Sha1Of32), "{line}");
            assert_eq!(STANDARD.encode(read.key.expose()), KEY);
        }
        assert_eq!(fault("1 aes_cm_128_hmac_sha1_80 INLINE:KEY"), None);
    }

    #[test]
    fn a_line_that_cannot_be_used_says_why() {
        let suite = "AES_CM_128_HMAC_SHA1_80";
        for (line, why) in [
            (String::new(), Fault::Malformed),
            ("1".to_owned(), Fault::Malformed),
            (format!("1 {suite}"), Fault::Malformed),
            (format!("x {suite} inline:KEY"), Fault::Malformed),
            (format!("+1 {suite} inline:KEY"), Fault::Malformed),
            (format!("1234567890 {suite} inline:KEY"), Fault::Malformed),
            ("1 F8_128_HMAC_SHA1_80 inline:KEY".to_owned(), Fault::Suite),
            ("1 AEAD_AES_128_GCM inline:KEY".to_owned(), Fault::Suite),
            (format!("1 {suite} KEY"), Fault::Method),
            (format!("1 {suite} uri:https://k.example/"), Fault::Method),
            (format!("1 {suite} é"), Fault::Method),
            (format!("1 {suite} inline:"), Fault::Key),
            (format!("1 {suite} inline:KEYA"), Fault::Key),
            (format!("1 {suite} inline:{}", &KEY[..36]), Fault::Key),
            (format!("1 {suite} inline:{}==", &KEY[..38]), Fault::Key),
            (format!("1 {suite} inline:{}!!!!", &KEY[..36]), Fault::Key),
            (format!("1 {suite} inline:KEY|1:4"), Fault::Mki),
            (format!("1 {suite} inline:KEY|2^31|1:1"), Fault::Mki),
            (format!("1 {suite} inline:KEY|2^20|1:4;inline:KEY|2^20|2:4"), Fault::Mki),
            (format!("1 {suite} inline:KEY|2^15"), Fault::Lifetime),
            (format!("1 {suite} inline:KEY|0"), Fault::Lifetime),
            (format!("1 {suite} inline:KEY|long"), Fault::Lifetime),
            (format!("1 {suite} inline:KEY|"), Fault::Lifetime),
            (format!("1 {suite} inline:KEY UNENCRYPTED_SRTP"), Fault::Parameter),
            (format!("1 {suite} inline:KEY UNENCRYPTED_SRTCP"), Fault::Parameter),
            (format!("1 {suite} inline:KEY|2^31 UNAUTHENTICATED_SRTP"), Fault::Parameter),
            (format!("1 {suite} inline:KEY KDR=1"), Fault::Parameter),
            (format!("1 {suite} inline:KEY FEC_ORDER=FEC_SRTP"), Fault::Parameter),
        ] {
            assert_eq!(fault(&line), Some(why), "{line}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_never_shown() {
        let mut text = String::new();
        let key = MasterKey::new([7; MasterKey::LENGTH]);
        write(&mut text, 2, Suite::Sha1Of32, &key);
        let value = text.strip_prefix("a=crypto:").and_then(|it| it.strip_suffix("\r\n"));
        let read = read(value.expect("a line")).expect("it is read");
        assert_eq!(read, Attribute { tag: 2, suite: Suite::Sha1Of32, key });
        assert_eq!(format!("{read:?}"), "Attribute { tag: 2, suite: Sha1Of32, key: MasterKey(•) }");
    }

    #[test]
    fn keys_are_masked_in_messages() {
        let text =
            format!("a=crypto:1 X inline:{KEY}|2^31\r\na=crypto:2 Y INLINE:{KEY};inline:{KEY}");
        let mut message = text.clone().into_bytes();
        mask(&mut message);
        let stars = "*".repeat(KEY.len());
        let masked = String::from_utf8(message).expect("ASCII");
        assert_eq!(masked, text.replace(KEY, &stars));
    }

    proptest! {
        #[test]
        fn hostile_lines_never_panic(line in "[0-9]{0,3} ?(AES_CM_128_HMAC_SHA1_80)? ?(inline:)?[ -~é]{0,60}") {
            let _ = read(&line);
            mask(&mut line.into_bytes());
        }
    }
}
