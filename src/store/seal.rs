//! What a backend is given to keep: bytes that are sealed, under names that are keyed.
//!
//! | kept | sealed | bound to it, in the clear | in the clear and free |
//! |---|---|---|---|
//! | a record | its bytes | id, version, group, time of birth | its wake-up |
//! | an effect | its bytes | record, name, due time, `once` | kind, owner |
//! | an answer | its bytes, fingerprint and end | – | the time it is removed at |
//! | an alias | – | the record it leads to, by a tag behind it | the time it is removed at |
//! | a hold | – | name, and the record that has it, by a tag behind it | until when |
//! | a counter | – | – | counts; what its name tells |
//!
//! Sealed is AES-256-GCM (NIST SP 800-38D). Each name has a key of its own, by HKDF-Expand (RFC 5869)
//! from the gateway's, so that nonces drawn by chance never come near their limit of 2^32 under one
//! key. Names of answers and aliases are HMAC-SHA-256 of what they are, cut to 128 bits.
//!
//! Who reads the store without the key learns how much there is and when. Who writes it can take rows
//! away, put an earlier state of a row back in its own place, wake a record early, and change counts;
//! they cannot make a row that is believed, or have one believed in another place.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk};
use ring::hmac;

use super::{Alias, Answer, EffectId, Given};
use crate::ambient::{self, Timestamp};
use crate::verify::code::{KeyId, Vault};

/// The format of what is sealed; its first byte. Format 1 is in the clear.
const FORMAT: u8 = 2;

/// Format, key id, nonce.
const HEAD: usize = 1 + 4 + NONCE_LEN;

/// How much of a keyed hash stands in a name, in bytes.
const NAME: usize = 16;

/// What stands between the record that a name leads to and its tag; no record's id ends so.
const TAG: char = '~';

/// The record that an alias leads to, tagged or not.
pub(super) fn led_to(record: &str) -> &str {
    record.rsplit_once(TAG).map_or(record, |(record, _)| record)
}

/// The keys that rows are sealed by, the newest first.
pub(super) struct Seal {
    newest: Key,
    older: Vec<Key>,
}

struct Key {
    id: KeyId,
    rows: Prk,
    names: hmac::Key,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(•)")
    }
}

/// Why a row is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsealed {
    /// It is not sealed.
    Clear,
    /// It is sealed by a key that is not at hand.
    Key(KeyId),
    /// It is not what was sealed there.
    Changed,
}

impl fmt::Display for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear => f.write_str("it is not sealed"),
            Self::Key(key) => write!(
                f,
                "it is sealed by the key {key}, which is neither store.secret nor among \
                 store.older_secrets"
            ),
            Self::Changed => f.write_str("it is not what was sealed there"),
        }
    }
}

/// What a sealed row is bound to: its table, its name, and what else of it stands in the clear.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    table: &'static str,
    name: [&'a str; 2],
    numbers: [u64; 2],
    group: &'a str,
}

impl<'a> Place<'a> {
    pub(super) const fn record(
        id: &'a str,
        version: u64,
        group: &'a str,
        created: Timestamp,
    ) -> Self {
        let numbers = [version, created.as_micros()];
        Self { table: "record", name: [id, ""], numbers, group }
    }

    pub(super) fn effect(id: &'a EffectId, due: Timestamp, once: bool) -> Self {
        let numbers = [due.as_micros(), u64::from(once)];
        Self { table: "effect", name: [&id.record, &id.effect], numbers, group: "" }
    }

    const fn answer(key: &'a str) -> Self {
        Self { table: "answer", name: [key, ""], numbers: [0; 2], group: "" }
    }

    /// Its parts, each with its length before it, so that no two places are alike.
    fn written(&self, key: KeyId) -> Vec<u8> {
        let [name, more] = self.name;
        let mut all = Vec::with_capacity(128);
        all.push(FORMAT);
        all.extend(key.to_bytes());
        all.extend(self.numbers.iter().flat_map(|number| number.to_be_bytes()));
        for part in [self.table, name, more, self.group] {
            all.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            all.extend(part.as_bytes());
        }
        all
    }
}

impl Key {
    fn new(vault: &Vault) -> Self {
        let seed = |purpose| vault.seed(purpose, 1);
        Self {
            id: vault.key_id(),
            rows: Prk::new_less_safe(HKDF_SHA256, seed("store rows").as_slice()),
            names: hmac::Key::new(hmac::HMAC_SHA256, seed("store names").as_slice()),
        }
    }

    /// The key of one row. `None`: HKDF gives as much as is asked for here.
    fn row(&self, place: &Place<'_>) -> Option<LessSafeKey> {
        let [name, more] = place.name;
        let info = [place.table.as_bytes(), b"/", name.as_bytes(), b"/", more.as_bytes()];
        let key = self.rows.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(key)))
    }

    fn tag(&self, purpose: &str, parts: &[&str]) -> String {
        let mut tag = hmac::Context::with_key(&self.names);
        for part in std::iter::once(&purpose).chain(parts) {
            tag.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            tag.update(part.as_bytes());
        }
        let tag = tag.sign();
        BASE64.encode(tag.as_ref().get(..NAME).unwrap_or_default())
    }

    fn led(&self, name: &str, record: &str) -> String {
        self.tag("led", &[name, record])
    }
}

impl Seal {
    pub(super) fn new(vault: &Vault) -> Option<Self> {
        let mut keys = vault.live().map(|vault| Key::new(&vault));
        Some(Self { newest: keys.next()?, older: keys.collect() })
    }

    /// The id of the key that is sealed by.
    pub(super) const fn key_id(&self) -> KeyId {
        self.newest.id
    }

    pub(super) fn knows(&self, id: KeyId) -> bool {
        self.keys().any(|key| key.id == id)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    /// The bytes, sealed for their place. `None`: AES-GCM takes as much as any row has.
    pub(super) fn seal(&self, place: &Place<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
        let key = &self.newest;
        let nonce: [u8; NONCE_LEN] = ambient::secret();
        let mut sealed = Vec::with_capacity(HEAD + bytes.len() + AES_256_GCM.tag_len());
        sealed.push(FORMAT);
        sealed.extend(key.id.to_bytes());
        sealed.extend(nonce);
        sealed.extend(bytes);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let body = sealed.get_mut(HEAD..)?;
        let aad = Aad::from(place.written(key.id));
        let tag = key.row(place)?.seal_in_place_separate_tag(nonce, aad, body).ok()?;
        sealed.extend(tag.as_ref());
        Some(sealed)
    }

    /// What was sealed for this place.
    pub(super) fn open(&self, place: &Place<'_>, mut sealed: Vec<u8>) -> Result<Vec<u8>, Unsealed> {
        let (id, nonce) = match sealed.get(..HEAD) {
            Some(&[FORMAT, a, b, c, d, ref nonce @ ..]) => {
                (KeyId::from_bytes([a, b, c, d]), Nonce::try_assume_unique_for_key(nonce))
            }
            Some(_) | None => return Err(Unsealed::Clear),
        };
        let nonce = nonce.map_err(|_| Unsealed::Changed)?;
        let key = self.keys().find(|key| key.id == id).ok_or(Unsealed::Key(id))?;
        let row = key.row(place).ok_or(Unsealed::Changed)?;
        let aad = Aad::from(place.written(id));
        let opened = row.open_within(nonce, aad, &mut sealed, HEAD..);
        let length = opened.map_err(|_| Unsealed::Changed)?.len();
        sealed.truncate(length);
        Ok(sealed)
    }

    /// The names that an answer may have, the newest key's first.
    pub(super) fn answer_names(&self, key: &str) -> impl Iterator<Item = String> {
        self.keys().map(move |it| it.tag("answer", &[key]))
    }

    /// An answer as it is kept: nothing of it in the clear.
    pub(super) fn answer(&self, answer: &Answer) -> Option<Answer> {
        let key = self.newest.tag("answer", &[&answer.key]);
        let mut bytes = Vec::with_capacity(8 + 32 + answer.bytes.len());
        bytes.extend(answer.expires.as_micros().to_be_bytes());
        bytes.extend(answer.fingerprint);
        bytes.extend(&answer.bytes);
        let bytes = self.seal(&Place::answer(&key), &bytes)?;
        Some(Answer { key, fingerprint: [0; 32], bytes, expires: answer.expires })
    }

    /// What an answer of this name says, and when it ends.
    pub(super) fn given(
        &self,
        name: &str,
        sealed: Vec<u8>,
    ) -> Result<(Timestamp, Given), Unsealed> {
        let bytes = self.open(&Place::answer(name), sealed)?;
        let read = || {
            let (expires, rest) = bytes.split_first_chunk::<8>()?;
            let (fingerprint, bytes) = rest.split_first_chunk::<32>()?;
            let given = Given { fingerprint: *fingerprint, bytes: bytes.to_vec() };
            Some((Timestamp::from_micros(u64::from_be_bytes(*expires)), given))
        };
        read().ok_or(Unsealed::Changed)
    }

    /// The names that an alias may have, the newest key's first.
    pub(super) fn alias_names(&self, alias: &str) -> impl Iterator<Item = String> {
        self.keys().map(move |it| it.tag("alias", &[alias]))
    }

    /// An alias as it is kept.
    pub(super) fn alias(&self, alias: &Alias) -> Alias {
        let name = self.newest.tag("alias", &[&alias.alias]);
        let record = self.tagged(&name, &alias.record);
        Alias { alias: name, record, expires: alias.expires }
    }

    /// A record that a name leads to, with the tag that says so.
    pub(super) fn tagged(&self, name: &str, record: &str) -> String {
        format!("{record}{TAG}{}", self.newest.led(name, record))
    }

    /// The record that a name leads to.
    pub(super) fn led(&self, name: &str, record: &str) -> Result<String, Unsealed> {
        let (record, tag) = record.rsplit_once(TAG).ok_or(Unsealed::Clear)?;
        // Who can write the store can try tags for ever; none of 128 bits is found.
        let ours = self.keys().any(|key| key.led(name, record) == tag);
        if ours { Ok(record.to_owned()) } else { Err(Unsealed::Changed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: &str) -> Seal {
        Seal::new(&Vault::of(key)).unwrap()
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn what_is_sealed_is_opened_in_its_place_alone() {
        let seal = seal("key");
        let place = Place::record("vf_1", 3, "acme", at(7));
        let sealed = seal.seal(&place, b"says").unwrap();
        assert_eq!(seal.open(&place, sealed.clone()).unwrap(), b"says");
        assert!(!sealed.windows(4).any(|it| it == b"says"));
        assert_ne!(seal.seal(&place, b"says").unwrap(), sealed, "not even that it is the same");
        let effect = |record: &str, effect: &str| EffectId {
            record: record.to_owned(),
            effect: effect.to_owned(),
        };
        let (one, other) = (effect("vf_1", ""), effect("vf_1", "dial-1"));
        for elsewhere in [
            Place::record("vf_2", 3, "acme", at(7)),
            Place::record("vf_1", 4, "acme", at(7)),
            Place::record("vf_1", 3, "umbrella", at(7)),
            Place::record("vf_1", 3, "acme", at(8)),
            Place::effect(&one, at(7), false),
            Place::effect(&other, at(7), false),
            Place::answer("vf_1"),
        ] {
            assert_eq!(seal.open(&elsewhere, sealed.clone()), Err(Unsealed::Changed));
        }
        let place = Place::effect(&other, at(7), true);
        let sealed = seal.seal(&place, b"").unwrap();
        assert_eq!(seal.open(&place, sealed.clone()).unwrap(), b"");
        for changed in [Place::effect(&other, at(8), true), Place::effect(&other, at(7), false)] {
            assert_eq!(seal.open(&changed, sealed.clone()), Err(Unsealed::Changed));
        }
    }

    #[test]
    fn no_byte_of_it_can_be_changed() {
        let seal = seal("key");
        let place = Place::record("vf_1", 3, "acme", at(7));
        let sealed = seal.seal(&place, b"says").unwrap();
        for byte in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[byte] ^= 1;
            assert!(seal.open(&place, changed).is_err(), "byte {byte}");
        }
        for length in 0..sealed.len() {
            assert!(seal.open(&place, sealed[..length].to_vec()).is_err(), "{length} bytes");
        }
        assert_eq!(seal.open(&place, b"\x01{\"id\":1}".to_vec()), Err(Unsealed::Clear));
        assert_eq!(seal.open(&place, b"out".to_vec()), Err(Unsealed::Clear));
    }

    #[test]
    fn an_older_key_opens_and_the_newest_seals() {
        let place = Place::record("vf_1", 3, "acme", at(7));
        let (old, new) = (Vault::of("old"), Vault::of("new"));
        let sealed = seal("old").seal(&place, b"says").unwrap();
        let missing = Err(Unsealed::Key(old.key_id()));
        assert_eq!(seal("new").open(&place, sealed.clone()), missing);
        let both = Seal::new(&new.clone().with_older([old])).unwrap();
        assert_eq!(both.open(&place, sealed).unwrap(), b"says");
        let sealed = both.seal(&place, b"says").unwrap();
        assert_eq!(seal("new").open(&place, sealed).unwrap(), b"says");
        assert!(both.knows(new.key_id()) && both.key_id() == new.key_id());
    }

    #[test]
    fn an_alias_leads_where_it_was_led() {
        let seal = seal("key");
        let alias = Alias { alias: "+14155550132".into(), record: "vf_1".into(), expires: at(9) };
        let kept = seal.alias(&alias);
        assert!(!kept.alias.contains("4155550132"));
        assert!(seal.alias_names("+14155550132").eq([kept.alias.clone()]));
        assert_eq!(seal.led(&kept.alias, &kept.record).unwrap(), "vf_1");
        let moved = kept.record.replace("vf_1", "vf_2");
        assert_eq!(seal.led(&kept.alias, &moved), Err(Unsealed::Changed));
        assert_eq!(seal.led("another", &kept.record), Err(Unsealed::Changed));
        assert_eq!(seal.led(&kept.alias, "vf_1"), Err(Unsealed::Clear));
    }

    #[test]
    fn an_answer_tells_nothing_where_it_is_kept() {
        let seal = seal("key");
        let (key, bytes) = ("start/acme/+14155550132".to_owned(), b"vf_1\n{}".to_vec());
        let answer = Answer { key, fingerprint: [7; 32], bytes, expires: at(9) };
        let kept = seal.answer(&answer).unwrap();
        assert_eq!(kept.fingerprint, [0; 32]);
        let (expires, given) = seal.given(&kept.key, kept.bytes.clone()).unwrap();
        assert_eq!((expires, given.fingerprint), (at(9), [7; 32]));
        assert_eq!(given.bytes, b"vf_1\n{}");
        assert!(seal.given("another", kept.bytes).is_err());
    }
}
