//! Operators by name: what each may do, by which password and which one-time codes they are known.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::ambient::Timestamp;

/// What somebody may do on the operator's listener; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look on.
    Viewer,
    /// Help people: block and lift, send events once more, cancel, test.
    Operator,
    /// Everything: tenants, keys, the configuration, erasure, numbers in full.
    Admin,
}

impl Role {
    /// Every role, from the least.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Somebody who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// What they are called, in the audit log, too.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What they know.
    pub password: Password,
    /// What they have.
    pub totp: Totp,
}

/// The least memory of a password's hash, in KiB, and its least memory times passes: the weakest setting of
/// Argon2id that OWASP's cheat sheet on passwords takes for as good as the others.
const LEAST: (u32, u32) = (7_168, 7_168 * 5);

/// The most of both: a login must not take the machine.
const MOST: (u32, u32) = (262_144, 262_144 * 8);

/// What a password is kept as: its Argon2id hash (RFC 9106).
#[derive(Clone, PartialEq, Eq)]
pub struct Password(PasswordHash);

impl Password {
    /// Reads a PHC string, as `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(phc: &str) -> Result<Self, &'static str> {
        const FORM: &str = "write the PHC string of Argon2id that `octothorpe operator new` prints, \
                            \"$argon2id$v=19$m=…,t=…,p=…$…$…\"";
        let hash = PasswordHash::new(phc).map_err(|_| FORM)?;
        let is_argon2id = hash.algorithm.as_str() == Algorithm::Argon2id.as_str();
        if !is_argon2id || hash.salt.is_none() || hash.hash.is_none() {
            return Err(FORM);
        }
        let params = Params::try_from(&hash).map_err(|_| FORM)?;
        let memory = params.m_cost();
        let work = memory.saturating_mul(params.t_cost());
        if memory < LEAST.0 || work < LEAST.1 {
            return Err("it is guessed too fast: m must be 7168 at least, and m times t 35840");
        }
        if memory > MOST.0 || work > MOST.1 || params.p_cost() > 4 {
            return Err("a login would take the machine: m may be 262144 at most, m times t \
                        2097152, and p 4");
        }
        Ok(Self(hash))
    }

    /// The hash of a password, by the settings that OWASP names first; `None`: it is too long.
    #[must_use]
    pub fn of(password: &str, salt: &[u8; 16]) -> Option<Self> {
        Argon2::default().hash_password_with_salt(password.as_bytes(), salt).ok().map(Self)
    }

    /// Whether it is this one; takes tens of milliseconds, and megabytes.
    #[must_use]
    pub fn is(&self, password: &str) -> bool {
        Argon2::default().verify_password(password.as_bytes(), &self.0).is_ok()
    }

    /// Its PHC string.
    #[must_use]
    pub fn phc(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// How long a one-time code is that of its step, in seconds: RFC 6238 section 5.2 recommends 30.
const STEP: u64 = 30;

/// How many codes there are: of six digits.
const CODES: u32 = 1_000_000;

/// How long a code that was used must be remembered: it is right in its own step, the one before and the one
/// after.
pub const CODE_LIFE: Duration = Duration::from_secs(4 * STEP);

/// The secret of somebody's one-time codes: HMAC-SHA-1, six digits, 30 s, as every authenticator has them.
#[derive(Clone, PartialEq, Eq)]
pub struct Totp(Zeroizing<Vec<u8>>);

impl Totp {
    /// These bytes.
    #[must_use]
    pub fn of(secret: &[u8; 20]) -> Self {
        Self(Zeroizing::new(secret.to_vec()))
    }

    /// Reads base32, in groups or not.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let letters = text.bytes().filter(|b| !b" -=".contains(b));
        let letters: Zeroizing<Vec<u8>> = Zeroizing::new(letters.collect());
        let secret = BASE32_NOPAD.decode(&letters.to_ascii_uppercase());
        let secret = secret.map(Zeroizing::new).map_err(|_| {
            "write the secret in base32 (A to Z and 2 to 7), as `octothorpe operator new` prints it"
        })?;
        // "The length of the shared secret MUST be at least 128 bits." (RFC 4226 section 4, R6)
        if !(16..=64).contains(&secret.len()) {
            return Err(
                "the secret must have 16 to 64 bytes, which are 26 to 103 letters of base32: \
                        make one with `octothorpe operator new`",
            );
        }
        Ok(Self(secret))
    }

    /// The secret in base32.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(&self.0))
    }

    /// What an authenticator takes in, of an operator of this name.
    #[must_use]
    pub fn uri(&self, name: &str) -> Zeroizing<String> {
        let secret = self.text();
        let (issuer, secret) = ("octothorpe", secret.as_str());
        Zeroizing::new(format!("otpauth://totp/{issuer}:{name}?secret={secret}&issuer={issuer}"))
    }

    /// The code at this time.
    #[must_use]
    pub fn code(&self, now: Timestamp) -> String {
        self.code_of(now.as_secs() / STEP)
    }

    fn code_of(&self, step: u64) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&self.0) else { return String::new() };
        mac.update(&step.to_be_bytes());
        let mac = mac.finalize().into_bytes();
        // "Let OffsetBits be the low-order 4 bits of String[19]" (RFC 4226 section 5.3)
        let offset = mac.last().map_or(0, |last| usize::from(last & 0xf));
        let word = mac.get(offset..).and_then(|rest| rest.first_chunk()).copied();
        let number = u32::from_be_bytes(word.unwrap_or_default()) & 0x7fff_ffff;
        format!("{:06}", number % CODES)
    }

    /// The step whose code this is, if it is one of now.
    ///
    /// "We RECOMMEND that at most one time step is allowed as the network delay." (RFC 6238 section 5.2); and
    /// one to the other side, because clocks of phones run fast as well as slow.
    #[must_use]
    pub fn step(&self, now: Timestamp, code: &str) -> Option<u64> {
        let step = now.as_secs() / STEP;
        let near = [step, step.saturating_sub(1), step.saturating_add(1)];
        near.into_iter().fold(None, |found, step| {
            let is_it = bool::from(self.code_of(step).as_bytes().ct_eq(code.as_bytes()));
            if is_it { found.or(Some(step)) } else { found }
        })
    }
}

impl fmt::Debug for Totp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Totp(…)")
    }
}

/// What somebody presents who wants in.
pub struct Login {
    /// Who they say they are.
    pub name: String,
    /// What they know.
    pub password: Zeroizing<String>,
    /// What their authenticator shows.
    pub code: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// Who it is, and by the code of which step: that code must never let anybody in again.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who.
    pub operator: Arc<Operator>,
    /// By which code: a count of steps since the epoch.
    pub step: u64,
}

impl Login {
    /// Who of these it is, if it is one of them; takes as long as [`Password::is`], whoever it is: for a name
    /// that nobody has, the password of one of them is computed in vain, always of the same for a `draw`.
    #[must_use]
    pub fn decide(&self, now: Timestamp, operators: &[Arc<Operator>], draw: u64) -> Option<Known> {
        let named = operators.iter().find(|operator| operator.name == self.name);
        let place = draw.checked_rem(operators.len().try_into().ok()?)?;
        let other = operators.get(usize::try_from(place).ok()?)?;
        let operator = named.unwrap_or(other);
        let knows = operator.password.is(&self.password);
        let step = operator.totp.step(now, &self.code);
        let step = step.filter(|_| knows && named.is_some())?;
        Some(Known { operator: Arc::clone(operator), step })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    /// An operator whose password is their name, at the least price.
    pub(in super::super) fn operator(name: &str, role: Role) -> Operator {
        let params = Params::new(LEAST.0, 5, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash = argon2.hash_password_with_salt(name.as_bytes(), &[7; 16]).unwrap();
        let (name, totp) = (name.to_owned(), Totp::of(&[role as u8; 20]));
        Operator { name, role, password: Password(hash), totp }
    }

    fn login(name: &str, password: &str, code: &str) -> Login {
        let password = Zeroizing::new(password.to_owned());
        Login { name: name.to_owned(), password, code: code.to_owned() }
    }

    #[test]
    fn codes_are_those_of_rfc_6238_appendix_b() {
        let totp = Totp::of(b"12345678901234567890");
        for (secs, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(totp.code(Timestamp::from_secs(secs)), code);
        }
    }

    #[test]
    fn a_code_is_right_in_its_step_and_the_two_beside_it() {
        let totp = Totp::of(&[3; 20]);
        let at = |step: u64| Timestamp::from_secs(step * STEP + 7);
        let code = totp.code(at(1_000));
        for (step, found) in
            [(998, None), (999, Some(1_000)), (1_000, Some(1_000)), (1_001, Some(1_000))]
        {
            assert_eq!(totp.step(at(step), &code), found, "{step}");
        }
        assert_eq!(totp.step(at(1_002), &code), None);
        assert_eq!(totp.step(at(1_000), ""), None);
        assert!(CODE_LIFE.as_secs() > 3 * STEP);
    }

    #[test]
    fn secrets_are_read_as_people_paste_them() {
        let totp = Totp::of(b"12345678901234567890");
        assert_eq!(totp.text().as_str(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let pasted = Totp::parse("gezd gnbv gy3t qojq-gezd gnbv gy3t qojq==");
        assert!(pasted.unwrap() == totp);
        for bad in ["", "GEZDGNBVGY3TQOJQ", "1EZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "é"] {
            assert!(Totp::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            totp.uri("eve").as_str(),
            "otpauth://totp/octothorpe:eve?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=octothorpe"
        );
        assert_eq!(format!("{totp:?} {:?}", login("a", "b", "c")), "Totp(…) Login(…)");
    }

    #[test]
    fn a_hash_that_is_weak_or_ruinous_is_refused() {
        let good = Password::of("correct horse", &[1; 16]).unwrap();
        let phc = good.phc();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        let read = Password::parse(&phc).unwrap();
        assert!(read == good && read.is("correct horse") && !read.is("correct hors"));
        assert_eq!(format!("{read:?}"), "Password(…)");
        for (from, to) in [
            ("argon2id", "argon2i"),
            ("m=19456", "m=7000"),
            ("m=19456,t=2", "m=7168,t=4"),
            ("m=19456", "m=300000"),
            ("t=2", "t=200"),
            ("p=1", "p=9"),
            ("$argon2id", "argon2id"),
        ] {
            assert!(Password::parse(&phc.replace(from, to)).is_err(), "{to}");
        }
        let bare = phc.rsplit_once('$').unwrap().0;
        assert!(Password::parse(bare).is_err() && Password::parse("hunter2").is_err());
    }

    #[test]
    fn name_password_and_code_must_all_be_right() {
        let operators = [operator("eve", Role::Viewer), operator("bob", Role::Admin)];
        let operators = operators.map(Arc::new);
        let code = |name: &str| {
            let found = operators.iter().find(|it| it.name == name).unwrap();
            found.totp.code(NOW)
        };
        let who = |login: Login, draw| login.decide(NOW, &operators, draw).map(|it| it.operator);
        for draw in [0, 1, u64::MAX] {
            let bob = who(login("bob", "bob", &code("bob")), draw);
            assert_eq!(bob.map(|it| it.role), Some(Role::Admin));
            assert!(who(login("bob", "eve", &code("bob")), draw).is_none());
            assert!(who(login("bob", "bob", &code("eve")), draw).is_none());
            // Whose password is computed in vain does not let a stranger in.
            assert!(who(login("mallory", "bob", &code("bob")), draw).is_none());
            assert!(who(login("", "eve", &code("eve")), draw).is_none());
            assert!(login("bob", "bob", &code("bob")).decide(NOW, &[], draw).is_none());
        }
    }

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert!(Role::ALL.is_sorted());
        assert_eq!(Role::parse("Admin"), None);
    }
}
