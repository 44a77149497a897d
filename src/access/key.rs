//! API keys: how they are made, kept and found.
//!
//! A key is `otk_`, eight characters that name it, `_`, and 43 letters and digits of chance (256 bits).
//! Its text is shown once and never kept: what is kept is its HMAC under the gateway's key.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Terms;
use crate::ambient::Timestamp;
use crate::verify::code::Digest;

/// How every key of ours begins, so that scanners of repositories know one.
pub const PREFIX: &str = "otk_";

/// How many characters name a key.
const NAMING: usize = 8;

/// How many characters are its secret: 62^43 is more than 2^256.
const SECRET: usize = 43;

/// How long a key that is made here may last.
pub const LIFE_MOST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How many keys of one name may be live: the one in use, and the one that takes its place.
pub const LIVE_MOST: usize = 2;

/// How many keys a tenant may have in the store.
pub const MOST: usize = 100;

/// How long a key that has expired is still listed.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How much later than the use that was noted a use must be to be noted, too.
pub const USE_NOTED: Duration = Duration::from_secs(60);

/// A key that was just made.
pub struct Fresh {
    /// What it is called.
    pub id: String,
    /// All of it.
    pub text: Zeroizing<String>,
}

impl Fresh {
    /// A key of these bytes of chance.
    #[must_use]
    pub fn draw(mut byte: impl FnMut() -> u8) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(64));
        text.push_str(PREFIX);
        text.extend((0..NAMING).map(|_| letter(&mut byte)));
        let id = text.get(PREFIX.len()..).unwrap_or_default().to_owned();
        text.push('_');
        text.extend((0..SECRET).map(|_| letter(&mut byte)));
        Self { id, text }
    }
}

/// One of 62 letters and digits, none likelier than another.
fn letter(byte: &mut impl FnMut() -> u8) -> char {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    // Bytes from 248 on are thrown away: 248 is 4 × 62.
    const FAIR: u8 = 248;
    loop {
        let drawn = byte();
        let letter = ALPHABET.get(usize::from(drawn % 62)).filter(|_| drawn < FAIR);
        if let Some(letter) = letter {
            return char::from(*letter);
        }
    }
}

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What it is called.
    pub id: String,
    /// What it is for: keys of one name take each other's place.
    pub name: String,
    /// Its HMAC.
    pub hash: Digest,
    /// What it opens, and when, and from where.
    #[serde(flatten)]
    pub terms: Terms,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used, to [`USE_NOTED`].
    pub last_used: Option<Timestamp>,
}

impl Kept {
    /// Whether it has not expired.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.terms.expires.is_none_or(|end| now < end)
    }
}

/// The keys of a tenant that are kept in the store: one record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The keys, the oldest first.
    pub keys: Vec<Kept>,
}

/// Why there is no further key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// There are two of that name.
    #[error(
        "two keys of this name are live, one in use and one to take its place: revoke one, or take \
         another name"
    )]
    Name,
    /// There are as many as a tenant may have.
    #[error("the tenant has {MOST} keys: revoke those that are not in use")]
    Tenant,
}

impl Keys {
    /// Adds a key; those that expired a month ago are forgotten.
    ///
    /// # Errors
    /// When there are as many as there may be.
    pub fn add(&mut self, key: Kept) -> Result<(), Full> {
        let now = key.created;
        self.keys.retain(|it| it.terms.expires.is_none_or(|end| now < end + REMEMBERED));
        let alike = self.keys.iter().filter(|it| it.name == key.name && it.is_live(now));
        if alike.count() >= LIVE_MOST {
            return Err(Full::Name);
        }
        if self.keys.len() >= MOST {
            return Err(Full::Tenant);
        }
        self.keys.push(key);
        Ok(())
    }

    /// Takes a key away; whether it was there.
    pub fn revoke(&mut self, id: &str) -> bool {
        let before = self.keys.len();
        self.keys.retain(|key| key.id != id);
        self.keys.len() < before
    }

    /// Notes that a key was used; whether that was news.
    pub fn used(&mut self, id: &str, at: Timestamp) -> bool {
        let Some(key) = self.keys.iter_mut().find(|key| key.id == id) else { return false };
        let news = key.last_used.is_none_or(|last| at >= last + USE_NOTED);
        if news {
            key.last_used = Some(at);
        }
        news
    }
}

/// Everything that a key may open, found by the key's HMAC.
///
/// Whatever is presented, the same is done: as many steps through the order of the hashes as it has,
/// and one comparison with the nearest of them. Which way the steps go hangs on an HMAC that nobody
/// outside can compute; so the time tells nothing of a key, not even that it exists. Each step compares
/// 64 bits of the hashes at once: equal texts take longer to compare than others, equal numbers do not.
#[derive(Debug)]
pub struct Ring<T>(Vec<(u64, Digest, T)>);

/// By what hashes are in order. Of a million keys, two have the same once in 37 million times.
const fn place(hash: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

impl<T> Ring<T> {
    /// A ring of these.
    #[must_use]
    pub fn new(keys: Vec<(Digest, T)>) -> Self {
        let placed = keys.into_iter().map(|(hash, opened)| (place(&hash), hash, opened));
        let mut placed: Vec<_> = placed.collect();
        placed.sort_by_key(|(place, _, _)| *place);
        Self(placed)
    }

    /// What the nearest key opens, and whether that is the one that is presented. `None`: there is no
    /// key at all.
    #[must_use]
    pub fn nearest(&self, presented: &Digest) -> Option<(bool, &T)> {
        let wanted = place(presented);
        let index = self.0.partition_point(|(place, _, _)| *place < wanted);
        let (_, hash, opened) = self.0.get(index.min(self.0.len().checked_sub(1)?))?;
        Some((hash.as_bytes().ct_eq(presented.as_bytes()).into(), opened))
    }

    /// Everything, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (&Digest, &T)> {
        self.0.iter().map(|(_, hash, opened)| (hash, opened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::Entropy;
    use crate::verify::code::Vault;

    fn kept(id: &str, name: &str, created: u64) -> Kept {
        let created = Timestamp::from_secs(created);
        let terms = Terms { expires: Some(created + LIFE_MOST), ..Terms::default() };
        let hash = Vault::of("key").api_key(&[0; 32]);
        Kept { id: id.to_owned(), name: name.to_owned(), hash, terms, created, last_used: None }
    }

    #[test]
    fn a_key_is_of_its_form_and_no_two_are_alike() {
        let mut entropy = Entropy::from_number(3);
        let mut seen = std::collections::BTreeSet::new();
        let mut counts = std::collections::BTreeMap::<char, u32>::new();
        for _ in 0..2_000 {
            let fresh = Fresh::draw(|| entropy.bytes::<1>()[0]);
            let rest = fresh.text.strip_prefix("otk_").unwrap();
            let (id, secret) = rest.split_once('_').unwrap();
            assert_eq!((id, id.len(), secret.len()), (fresh.id.as_str(), 8, 43));
            secret.chars().for_each(|c| *counts.entry(c).or_default() += 1);
            assert!(seen.insert(fresh.text.to_string()));
        }
        // 1,387 each; six standard deviations are 222.
        assert_eq!(counts.len(), 62);
        assert!(counts.values().all(|n| (1_165..=1_609).contains(n)), "{counts:?}");
    }

    #[test]
    fn two_keys_of_a_name_are_live_until_one_is_revoked_or_ends() {
        let mut keys = Keys::default();
        keys.add(kept("a", "login", 1)).unwrap();
        keys.add(kept("b", "login", 2)).unwrap();
        assert_eq!(keys.add(kept("c", "login", 3)), Err(Full::Name));
        keys.add(kept("d", "batch", 3)).unwrap();
        assert!(keys.revoke("a") && !keys.revoke("a"));
        keys.add(kept("c", "login", 3)).unwrap();
        // A year later they have ended; a month after that they are forgotten.
        let year = LIFE_MOST.as_secs();
        keys.add(kept("e", "login", year + 4)).unwrap();
        assert_eq!(keys.keys.len(), 4);
        keys.add(kept("f", "login", year + 4 + REMEMBERED.as_secs())).unwrap();
        assert_eq!(keys.keys.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["e", "f"]);
    }

    #[test]
    fn a_tenant_has_so_many_keys_and_no_more() {
        let mut keys = Keys::default();
        for n in 0..MOST {
            keys.add(kept(&n.to_string(), &n.to_string(), 1)).unwrap();
        }
        assert_eq!(keys.add(kept("x", "x", 1)), Err(Full::Tenant));
    }

    #[test]
    fn use_is_noted_once_a_minute() {
        let mut keys = Keys::default();
        keys.add(kept("a", "login", 1)).unwrap();
        assert!(keys.used("a", Timestamp::from_secs(10)));
        assert!(!keys.used("a", Timestamp::from_secs(69)));
        assert!(keys.used("a", Timestamp::from_secs(70)));
        assert!(!keys.used("b", Timestamp::from_secs(70)));
        assert_eq!(keys.keys[0].last_used, Some(Timestamp::from_secs(70)));
    }

    #[test]
    fn every_key_is_found_and_no_other() {
        let vault = Vault::of("key");
        let hash = |n: u8| vault.api_key(&[n; 32]);
        assert!(Ring::<u8>::new(Vec::new()).nearest(&hash(0)).is_none());
        let ring = Ring::new((0..100).map(|n| (hash(n), n)).collect());
        for n in 0..100 {
            assert_eq!(ring.nearest(&hash(n)), Some((true, &n)));
        }
        for n in 100..=255 {
            assert!(!ring.nearest(&hash(n)).unwrap().0, "{n}");
        }
        let other = Vault::of("another");
        assert!(!ring.nearest(&other.api_key(&[1; 32])).unwrap().0);
    }
}
