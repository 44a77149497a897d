//! Codes and PINs: how they are made, kept and compared.
//!
//! A code is never stored. It is derived from the gateway's key and what it is bound to (the
//! verification, its number, its transaction), so that a second text can carry it again, and kept
//! as a keyed hash of the same. A code that the caller chose is kept sealed, because it cannot be
//! derived. Whoever steals the store without the key learns nothing.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Verification;
use super::number::PhoneNumber;
use super::transaction::Transaction;

/// The fewest digits of a code: a million codes and five comparisons are one chance in 200,000.
pub const SHORTEST: u8 = 6;

/// The most digits of a code.
pub const LONGEST: u8 = 10;

/// How many codes are compared for one verification, whoever sends them, and however often the
/// code is sent.
pub const CHECKS: u8 = 5;

/// A code in clear, on its way to the person: 6 to 10 digits. It never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<String>);

impl Code {
    /// Reads a code that a caller chose; `None` unless it is 6 to 10 digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        digits_between(text, SHORTEST.into(), LONGEST.into())
            .then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The digits. Grep for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(•)")
    }
}

/// A person's own PIN: 4 to 16 digits. It never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(Zeroizing<String>);

/// The fewest and the most digits of a PIN.
pub const PIN: RangeInclusive<u8> = 4..=16;

/// The most digits of a PIN that is written behind a code.
pub const PIN_IN_REPLY: usize = 10;

impl Pin {
    /// Reads a PIN; `None` unless it is 4 to 16 digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = digits_between(text, usize::from(*PIN.start()), usize::from(*PIN.end()));
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The digits. Grep for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(•)")
    }
}

/// The fewest and the most digits that the sign-in page shows, to be entered on the phone.
pub const SHOWN: RangeInclusive<u8> = 2..=6;

/// The digits that the sign-in page shows, to be entered on the phone: 2 to 6. They are told to the
/// caller of the API alone, and mask themselves elsewhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shown(String);

impl Shown {
    /// Reads digits that a caller chose; `None` unless they are 2 to 6.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = digits_between(text, usize::from(*SHOWN.start()), usize::from(*SHOWN.end()));
        fits.then(|| Self(text.to_owned()))
    }

    /// So many digits (2 to 6) of a uniform number. What its 64 bits are uneven by, no use here can
    /// notice.
    #[must_use]
    pub fn drawn(digits: u8, from: u64) -> Self {
        let digits = digits.clamp(*SHOWN.start(), *SHOWN.end());
        let (bound, width) = (10_u64.pow(u32::from(digits)), usize::from(digits));
        Self(format!("{:0width$}", from % bound))
    }

    /// The digits. Grep for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(•)")
    }
}

/// What a person is to enter on a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Expected {
    /// Their own PIN.
    pub pin: Option<Sealed>,
    /// What the sign-in page shows.
    pub shown: Option<Shown>,
    /// After how many calls with other digits than those it is over.
    pub calls: u8,
}

fn digits_between(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A keyed hash of something that must come back. Compared in constant time.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl Digest {
    /// Its bytes: to be put in order, and compared in constant time.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(•)")
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        BASE64.encode(digest.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = BASE64.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or("a digest is 32 bytes in base64")
    }
}

/// A code that the caller chose, or a PIN, as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(•)")
    }
}

/// What must come back from the person, and how often it may still be guessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// How many digits the code has.
    pub digits: u8,
    /// Counts the codes: with `resend_code = "new"` each text carries the next one.
    pub generation: u32,
    /// Of the code that counts now.
    pub code: Digest,
    /// The code itself, where the caller chose it.
    pub sealed: Option<Sealed>,
    /// Of the PIN that must follow the code in a reply.
    pub pin: Option<Digest>,
    /// How many codes may still be compared.
    pub checks_left: u8,
}

/// Tells the gateway's keys apart, and nothing of them. The default stands for the oldest: what was
/// written before keys had names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(u32);

impl KeyId {
    /// The id of these four bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }

    /// Its four bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The gateway's own keys, and everything that is derived from them. What is new is derived from the
/// newest; what was made under an older one is found again as long as that is there.
#[derive(Clone)]
pub struct Vault {
    newest: Key,
    /// The newer first.
    older: Arc<[Key]>,
}

#[derive(Clone)]
struct Key {
    id: KeyId,
    bytes: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(•)")
    }
}

/// What a code is bound to.
#[derive(Clone, Copy)]
pub struct Binding<'a> {
    /// The verification.
    pub id: &'a str,
    /// The phone.
    pub to: &'a PhoneNumber,
    /// What is approved.
    pub transaction: Option<&'a Transaction>,
    /// Which of the gateway's keys it was made under.
    pub key: KeyId,
}

impl<'a> Binding<'a> {
    /// What the code of this verification is bound to.
    #[must_use]
    pub fn of(verification: &'a Verification) -> Self {
        Self {
            id: verification.id.as_str(),
            to: &verification.request.to,
            transaction: verification.request.transaction.as_ref(),
            key: verification.key,
        }
    }
}

impl fmt::Debug for Binding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binding({})", self.id)
    }
}

impl Vault {
    /// A vault of this key.
    #[must_use]
    pub fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self { newest: Key::new(key), older: Arc::new([]) }
    }

    /// A vault whose key is derived from a text of any length.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self::new(Zeroizing::new(mac(&[0; 32], "key", &[text])))
    }

    /// The same, which knows what was made under the keys of these, the newer first.
    #[must_use]
    pub fn with_older(self, older: impl IntoIterator<Item = Self>) -> Self {
        let keys = older.into_iter().flat_map(|it| it.keys().cloned().collect::<Vec<_>>());
        let keys = self.older.iter().cloned().chain(keys);
        Self { older: keys.filter(|key| key.id != self.newest.id).collect(), ..self }
    }

    /// Which key is the newest.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.newest.id
    }

    /// Each key as a vault of its own, the newest first: to find what was named under any of them.
    pub fn live(&self) -> impl Iterator<Item = Self> + '_ {
        self.keys().map(|key| Self { newest: key.clone(), older: Arc::new([]) })
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.newest).chain(self.older.iter())
    }

    /// The key of this id; where there is none the oldest, under which nothing is found that was not
    /// made under it.
    fn key(&self, id: KeyId) -> &Key {
        let known = self.keys().find(|key| key.id == id);
        known.unwrap_or_else(|| self.oldest())
    }

    /// What a new verification keeps of its code: one the caller `chose`, or a derived one of so
    /// many `digits`.
    #[must_use]
    pub fn secret(
        &self,
        binding: Binding<'_>,
        digits: u8,
        chosen: Option<&Code>,
        pin: Option<&Pin>,
    ) -> Secret {
        let (code, sealed) = match chosen {
            Some(code) => (code.clone(), self.seal("seal", binding, code.expose())),
            None => (self.derive(binding, 0, digits), None),
        };
        Secret {
            digits: u8::try_from(code.expose().len()).unwrap_or(digits),
            generation: 0,
            code: self.of_code(binding, code.expose()),
            sealed,
            pin: pin.map(|pin| self.of_pin(binding, pin.expose())),
            checks_left: CHECKS,
        }
    }

    /// The secret with the next code in place of the one before; checks are not given back. A code
    /// that the caller chose stays.
    #[must_use]
    pub fn renewed(&self, binding: Binding<'_>, secret: &Secret) -> Secret {
        if secret.sealed.is_some() {
            return secret.clone();
        }
        let generation = secret.generation.saturating_add(1);
        let code = self.derive(binding, generation, secret.digits);
        Secret { generation, code: self.of_code(binding, code.expose()), ..secret.clone() }
    }

    /// The code in clear, to be sent. `None` when it was sealed under another key.
    #[must_use]
    pub fn code(&self, binding: Binding<'_>, secret: &Secret) -> Option<Code> {
        match &secret.sealed {
            Some(sealed) => Code::parse(&self.open("seal", binding, sealed)?),
            None => Some(self.derive(binding, secret.generation, secret.digits)),
        }
    }

    /// A PIN as it is stored.
    #[must_use]
    pub fn sealed_pin(&self, binding: Binding<'_>, pin: &Pin) -> Option<Sealed> {
        self.seal("seal pin", binding, pin.expose())
    }

    /// A PIN in clear, to be compared with what is entered. `None` when it was sealed under another
    /// key.
    #[must_use]
    pub fn pin(&self, binding: Binding<'_>, sealed: &Sealed) -> Option<Pin> {
        Pin::parse(&self.open("seal pin", binding, sealed)?)
    }

    /// The keyed hash of a code, right or wrong.
    #[must_use]
    pub fn of_code(&self, binding: Binding<'_>, code: &str) -> Digest {
        Digest(self.bound("code", binding, code))
    }

    /// The keyed hash of a PIN, right or wrong.
    #[must_use]
    pub fn of_pin(&self, binding: Binding<'_>, pin: &str) -> Digest {
        Digest(self.bound("pin", binding, pin))
    }

    /// Two digits that tell this verification from others at the same phone. No secret.
    #[must_use]
    pub fn reference(&self, binding: Binding<'_>) -> String {
        let [a, b, ..] = mac(&self.key(binding.key).bytes, "reference", &[binding.id]);
        // 10 to 99: it must look like no part of a code that begins with zero.
        format!("{}", 10 + u16::from_be_bytes([a, b]) % 90)
    }

    /// What stands in the address at which a carrier reports on an attempt.
    #[must_use]
    pub fn hook_token(&self, carrier: &str, attempt: &str) -> String {
        let mac = self.mac("hook", &[carrier, attempt]);
        BASE64.encode(mac.get(..18).unwrap_or(&mac))
    }

    /// Whether a token is the one of this address; the time it takes tells nothing.
    #[must_use]
    pub fn is_hook_token(&self, carrier: &str, attempt: &str, token: &str) -> bool {
        let is = |it: Self| it.hook_token(carrier, attempt).as_bytes().ct_eq(token.as_bytes());
        self.live().fold(subtle::Choice::from(0), |any, it| any | is(it)).into()
    }

    /// A name in the store for things that belong to a phone and a sender of ours, from which
    /// neither can be read.
    #[must_use]
    pub fn pair(&self, purpose: &str, phone: &PhoneNumber, sender: &str) -> String {
        BASE64.encode(self.mac(purpose, &[phone.expose(), sender]))
    }

    /// The name in the store of something of this tenant that nobody may read there: a number, a person,
    /// an address. By the oldest key, so that counts go on and blocks hold while keys are exchanged.
    #[must_use]
    pub fn counted(&self, tenant: &str, kind: &str, value: &str) -> String {
        BASE64.encode(mac(&self.oldest().bytes, "counted", &[tenant, kind, value]))
    }

    fn oldest(&self) -> &Key {
        self.older.last().unwrap_or(&self.newest)
    }

    /// The mark that the gateway puts on something of its own, so that nobody else can.
    #[must_use]
    pub fn marked(&self, purpose: &str, parts: &[&str]) -> String {
        BASE64.encode(self.mac(purpose, parts))
    }

    /// What a key pair of this purpose and generation is derived from.
    #[must_use]
    pub fn seed(&self, purpose: &str, generation: u32) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.mac(purpose, &["seed", &generation.to_string()]))
    }

    /// What an API key is kept as, of its SHA-256. By the oldest key, so that it opens while keys are
    /// exchanged.
    #[must_use]
    pub fn api_key(&self, of: &[u8; 32]) -> Digest {
        Digest(mac(&self.oldest().bytes, "api key", &[&BASE64.encode(of)]))
    }

    /// The code of this generation.
    fn derive(&self, binding: Binding<'_>, generation: u32, digits: u8) -> Code {
        let (bound, width) = (10_u64.saturating_pow(u32::from(digits)), usize::from(digits));
        let mut round = 0_u32;
        loop {
            let mac = self.bound("derive", binding, &format!("{generation}/{digits}/{round}"));
            let words = mac.chunks_exact(8).filter_map(|word| word.try_into().ok());
            if let Some(code) = evenly(words.map(u64::from_be_bytes), bound) {
                return Code(Zeroizing::new(format!("{code:0width$}")));
            }
            round = round.saturating_add(1);
        }
    }

    fn seal(&self, purpose: &str, binding: Binding<'_>, digits: &str) -> Option<Sealed> {
        let mut text =
            Zeroizing::new(Vec::with_capacity(digits.len() + CHACHA20_POLY1305.tag_len()));
        text.extend(digits.bytes());
        let (key, nonce) = self.sealing(purpose, binding)?;
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut *text).ok()?;
        Some(Sealed(BASE64.encode(&*text)))
    }

    fn open(
        &self,
        purpose: &str,
        binding: Binding<'_>,
        sealed: &Sealed,
    ) -> Option<Zeroizing<String>> {
        let mut bytes = Zeroizing::new(BASE64.decode(&sealed.0).ok()?);
        let (key, nonce) = self.sealing(purpose, binding)?;
        let text = key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?;
        Some(Zeroizing::new(std::str::from_utf8(text).ok()?.to_owned()))
    }

    /// A key for one message only: what a verification keeps sealed for a purpose is sealed once, so
    /// the nonce may stand still.
    fn sealing(&self, purpose: &str, binding: Binding<'_>) -> Option<(LessSafeKey, Nonce)> {
        let key = Zeroizing::new(self.bound(purpose, binding, ""));
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*key).ok()?;
        Some((LessSafeKey::new(key), Nonce::assume_unique_for_key([0; 12])))
    }

    fn bound(&self, purpose: &str, binding: Binding<'_>, text: &str) -> [u8; 32] {
        let transaction = binding.transaction;
        let (amount, currency, payee) = transaction.map_or(("", "", ""), |transaction| {
            (transaction.amount(), transaction.currency(), transaction.payee())
        });
        let parts = [binding.id, binding.to.expose(), amount, currency, payee, text];
        mac(&self.key(binding.key).bytes, purpose, &parts)
    }

    fn mac(&self, purpose: &str, parts: &[&str]) -> [u8; 32] {
        mac(&self.newest.bytes, purpose, parts)
    }
}

impl Key {
    fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let [a, b, c, d, ..] = mac(&bytes, "key id", &[]);
        Self { id: KeyId::from_bytes([a, b, c, d]), bytes }
    }
}

/// A uniform number below `bound`: the first of these words is taken that makes none likelier than another.
fn evenly(mut words: impl Iterator<Item = u64>, bound: u64) -> Option<u64> {
    let fair = u64::MAX - u64::MAX % bound;
    words.find(|&word| word < fair).map(|word| word % bound)
}

/// HMAC-SHA-256 of the parts, each with its length before it, so that no two lists are alike.
fn mac(key: &[u8; 32], purpose: &str, parts: &[&str]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        // HMAC takes keys of any length.
        return [0; 32];
    };
    for part in std::iter::once(&purpose).chain(parts) {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number() -> PhoneNumber {
        "+14155550132".parse().unwrap()
    }

    fn binding(to: &PhoneNumber) -> Binding<'_> {
        Binding { id: "vf_1", to, transaction: None, key: KeyId::default() }
    }

    #[test]
    fn a_code_is_the_same_again_and_another_for_everything_it_is_bound_to() {
        let (vault, to) = (Vault::of("key"), number());
        let secret = vault.secret(binding(&to), 6, None, None);
        let code = vault.code(binding(&to), &secret).unwrap();
        assert_eq!(vault.code(binding(&to), &secret).unwrap(), code);
        assert_eq!(vault.of_code(binding(&to), code.expose()), secret.code);
        let other = "+14155550133".parse().unwrap();
        let transaction = Transaction::new("49.90", "EUR", "ACME").unwrap();
        for elsewhere in [
            Binding { id: "vf_2", ..binding(&to) },
            binding(&other),
            Binding { transaction: Some(&transaction), ..binding(&to) },
        ] {
            assert_ne!(vault.of_code(elsewhere, code.expose()), secret.code);
        }
        assert_ne!(Vault::of("another").of_code(binding(&to), code.expose()), secret.code);
    }

    #[test]
    fn with_a_new_code_the_old_one_is_dead_and_no_check_comes_back() {
        let (vault, to) = (Vault::of("key"), number());
        let mut secret = vault.secret(binding(&to), 6, None, None);
        secret.checks_left = 2;
        let next = vault.renewed(binding(&to), &secret);
        assert_ne!(next.code, secret.code);
        assert_eq!((next.checks_left, next.generation), (2, 1));
    }

    #[test]
    fn a_code_that_the_caller_chose_comes_back_from_its_seal() {
        let (vault, to) = (Vault::of("key"), number());
        let chosen = Code::parse("004513").unwrap();
        let secret = vault.secret(binding(&to), 8, Some(&chosen), None);
        assert_eq!(secret.digits, 6);
        assert_eq!(vault.code(binding(&to), &secret), Some(chosen));
        assert_eq!(Vault::of("another").code(binding(&to), &secret), None);
        assert_eq!(vault.renewed(binding(&to), &secret), secret);
        assert!(!serde_json::to_string(&secret).unwrap().contains("004513"));
    }

    #[test]
    fn a_pin_comes_back_from_its_seal_and_from_no_other() {
        let (vault, to) = (Vault::of("key"), number());
        for text in ["4821", "0000000000000000"] {
            let pin = Pin::parse(text).unwrap();
            let sealed = vault.sealed_pin(binding(&to), &pin).unwrap();
            assert_eq!(vault.pin(binding(&to), &sealed), Some(pin));
            assert!(!serde_json::to_string(&sealed).unwrap().contains(text));
            assert_eq!(Vault::of("another").pin(binding(&to), &sealed), None);
            let elsewhere = Binding { id: "vf_2", ..binding(&to) };
            assert_eq!(vault.pin(elsewhere, &sealed), None);
            // A code is sealed under another key.
            let code = Code::parse("123456").unwrap();
            let code = vault.secret(binding(&to), 6, Some(&code), None).sealed.unwrap();
            assert_eq!(vault.pin(binding(&to), &code), None);
        }
        for bad in ["", "482", "00000000000000000", "48a1", "４８２１"] {
            assert!(Pin::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn digits_to_show_are_as_many_as_are_wanted_and_evenly_spread() {
        let mut entropy = crate::ambient::Entropy::from_number(5);
        let mut first = [0_u32; 10];
        for _ in 0..20_000 {
            let shown = Shown::drawn(3, entropy.u64());
            assert_eq!(Shown::parse(shown.expose()), Some(shown.clone()));
            assert_eq!(shown.expose().len(), 3);
            let digit = usize::from(shown.expose().as_bytes().first().unwrap() - b'0');
            *first.get_mut(digit).unwrap() += 1;
        }
        // 2,000 each; five standard deviations are 212.
        assert!(first.iter().all(|&n| (1_788..=2_212).contains(&n)), "{first:?}");
        for bad in ["", "1", "1234567", "1x"] {
            assert!(Shown::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn codes_are_spread_evenly() {
        let (vault, to) = (Vault::of("key"), number());
        let mut first = [0_u32; 10];
        for n in 0..20_000_u32 {
            let id = format!("vf_{n}");
            let at = Binding { id: &id, ..binding(&to) };
            let code = vault.derive(at, 0, 6);
            assert_eq!(code.expose().len(), 6);
            let digit = usize::from(code.expose().as_bytes().first().unwrap() - b'0');
            *first.get_mut(digit).unwrap() += 1;
        }
        // 2,000 each; five standard deviations are 212.
        assert!(first.iter().all(|&n| (1_788..=2_212).contains(&n)), "{first:?}");
    }

    #[test]
    fn words_that_would_make_a_code_likelier_are_passed_over() {
        let evenly = |words: &[u64]| evenly(words.iter().copied(), 1_000_000);
        // 2^64 = 18,446,744,073,709,551,616.
        let unfair = 18_446_744_073_709_000_000;
        assert_eq!(evenly(&[unfair - 1]), Some(999_999));
        assert_eq!(evenly(&[unfair, u64::MAX]), None);
        assert_eq!(evenly(&[unfair, 7_000_123, 5]), Some(123));
    }

    #[test]
    fn only_six_to_ten_digits_are_a_code() {
        for bad in ["", "1234", "12345", "12345678901", "12345x", "１２３４５６", " 123456"] {
            assert!(Code::parse(bad).is_none(), "{bad}");
        }
        assert!(Code::parse("000000").is_some() && Code::parse("1234567890").is_some());
    }

    #[test]
    fn a_mark_is_of_one_purpose_and_of_its_parts_as_they_are_cut() {
        let (vault, to) = (Vault::of("key"), number());
        let marks = [
            vault.marked("audit", &["ab", "c"]),
            vault.marked("audit", &["a", "bc"]),
            vault.marked("audit", &["abc"]),
            vault.marked("answer", &["ab", "c"]),
            Vault::of("another").marked("audit", &["ab", "c"]),
            vault.pair("audit", &to, "38383"),
            vault.pair("audit", &to, "38384"),
        ];
        assert_eq!(marks.iter().collect::<std::collections::BTreeSet<_>>().len(), marks.len());
        assert_eq!(vault.marked("audit", &["ab", "c"]), marks[0]);
    }

    #[test]
    fn a_reference_is_two_digits_and_begins_with_no_zero() {
        let (vault, to) = (Vault::of("key"), number());
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..2_000 {
            let id = format!("vf_{n}");
            let reference = vault.reference(Binding { id: &id, ..binding(&to) });
            assert!((10..=99).contains(&reference.parse::<u8>().unwrap()), "{reference}");
            seen.insert(reference);
        }
        assert_eq!(seen.len(), 90);
    }

    #[test]
    fn a_digest_and_the_name_of_a_key_are_read_as_they_were_written() {
        let (vault, to) = (Vault::of("key"), number());
        let digest = vault.of_code(binding(&to), "123456");
        let written = serde_json::to_string(&digest).unwrap();
        assert_eq!(written.len(), 2 + 43, "32 bytes in base64");
        assert_eq!(serde_json::from_str::<Digest>(&written).unwrap(), digest);
        assert!(serde_json::from_str::<Digest>("\"AAAA\"").is_err());
        let id = KeyId::from_bytes([0x01, 0x23, 0xab, 0xcd]);
        assert_eq!(
            (id.to_bytes(), id.to_string().as_str()),
            ([0x01, 0x23, 0xab, 0xcd], "0123abcd")
        );
    }

    #[test]
    fn nothing_shows_itself() {
        let (vault, to) = (Vault::of("canary"), number());
        let code = Code::parse("493817").unwrap();
        let pin = Pin::parse("48219").unwrap();
        let secret = vault.secret(binding(&to), 6, Some(&code), Some(&pin));
        let page = Shown::parse("70264").unwrap();
        let shown = format!("{vault:?} {code:?} {pin:?} {secret:?} {page:?} {:?}", binding(&to));
        for canary in ["canary", "493817", "48219", "70264", "4155550132"] {
            assert!(!shown.contains(canary), "{shown}");
        }
    }

    #[test]
    fn what_was_made_under_an_older_key_counts_as_long_as_that_is_there() {
        let (old, to) = (Vault::of("old"), number());
        let at = Binding { key: old.key_id(), ..binding(&to) };
        let secret = old.secret(at, 6, None, None);
        let sealed = old.sealed_pin(at, &Pin::parse("48219").unwrap()).unwrap();
        let ring = Vault::of("new").with_older([Vault::of("older"), old.clone()]);
        assert_eq!(ring.key_id(), Vault::of("new").key_id());
        assert_eq!(ring.code(at, &secret), old.code(at, &secret));
        assert_eq!(ring.of_code(at, "123456"), old.of_code(at, "123456"));
        assert_eq!(ring.pin(at, &sealed).unwrap().expose(), "48219");
        assert_eq!(ring.reference(at), old.reference(at));
        assert!(ring.is_hook_token("twilio", "vf_1-1", &old.hook_token("twilio", "vf_1-1")));
        assert_ne!(ring.hook_token("twilio", "vf_1-1"), old.hook_token("twilio", "vf_1-1"));
        // What has no key's name is the oldest key's.
        assert_eq!(ring.of_code(binding(&to), "123456"), old.of_code(at, "123456"));
        let names: Vec<_> = ring.live().map(|it| it.pair("reply", &to, "38383")).collect();
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
        assert!(names.contains(&old.pair("reply", &to, "38383")));
        let counted = Vault::of("old").counted("acme", "number", "+14155550132");
        assert_eq!(ring.counted("acme", "number", "+14155550132"), counted);
        assert_eq!(ring.api_key(&[7; 32]), Vault::of("old").api_key(&[7; 32]));
        let without = Vault::of("new");
        assert_ne!(without.of_code(at, "123456"), old.of_code(at, "123456"));
        assert!(without.pin(at, &sealed).is_none());
        assert!(!without.is_hook_token("twilio", "vf_1-1", &old.hook_token("twilio", "vf_1-1")));
    }

    #[test]
    fn a_token_is_that_of_one_carrier_and_one_attempt() {
        let vault = Vault::of("key");
        let token = vault.hook_token("twilio", "vf_1-1");
        assert!(vault.is_hook_token("twilio", "vf_1-1", &token));
        assert!(!vault.is_hook_token("twilio", "vf_1-2", &token));
        assert!(!vault.is_hook_token("telnyx", "vf_1-1", &token));
        assert!(!vault.is_hook_token("twilio", "vf_1-1", ""));
    }
}
