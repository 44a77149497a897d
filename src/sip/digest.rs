//! Digest authentication (RFC 7616, RFC 8760, RFC 3261 § 22): answers to 401 and 407.
//!
//! Only one realm is ever answered: the configured one, else the first that asked. Each side
//! (callee or proxy) gets one answer, and one more when it says that only the nonce was stale.

use std::fmt;

use zeroize::Zeroizing;

use super::message::{Answer, Challenge};
use super::method::Method;
use super::uri::{Uri, masked};
use crate::ambient::Entropy;

/// What a trunk lets us in by.
#[derive(Clone)]
pub struct Credentials {
    username: String,
    password: Zeroizing<String>,
    realm: Option<String>,
}

impl Credentials {
    /// For whichever realm asks first.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        let password = Zeroizing::new(password.to_owned());
        Self { username: username.to_owned(), password, realm: None }
    }

    /// For this realm only.
    #[must_use]
    pub fn for_realm(mut self, realm: &str) -> Self {
        self.realm = Some(realm.to_owned());
        self
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &masked(&self.username))
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// The challenges of one call, and how often each was answered.
#[derive(Clone, Debug)]
pub struct Authentication {
    credentials: Option<Credentials>,
    realm: Option<String>,
    callee: Option<Held>,
    proxy: Option<Held>,
}

/// A challenge that is being answered.
#[derive(Clone, Debug)]
struct Held {
    challenge: Challenge,
    uses: u32,
    was_stale: bool,
}

/// A challenge that is not answered: the credentials are missing or wrong, the realm is another's,
/// or nothing in it could be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswerable;

impl Authentication {
    /// Nothing asked yet.
    #[must_use]
    pub fn new(credentials: Option<Credentials>) -> Self {
        let realm = credentials.as_ref().and_then(|known| known.realm.clone());
        Self { credentials, realm, callee: None, proxy: None }
    }

    /// Takes the challenges of a 401 or 407 to heart; the next [`headers`](Self::headers) answer
    /// them.
    ///
    /// # Errors
    /// [`Unanswerable`] when trying again would not help.
    pub fn challenged(&mut self, challenges: Vec<Challenge>) -> Result<(), Unanswerable> {
        if self.credentials.is_none() {
            return Err(Unanswerable);
        }
        let ours = challenges
            .into_iter()
            .filter(|challenge| self.realm.as_ref().is_none_or(|realm| realm == challenge.realm()));
        // RFC 8760 § 2.4: "unless a local policy dictates otherwise" the topmost; our policy is
        // the strongest, because the order of challenges is nothing an attacker cannot change.
        let strongest = ours.reduce(stronger).ok_or(Unanswerable)?;
        self.realm.get_or_insert_with(|| strongest.realm().to_owned());
        let held = if strongest.is_from_proxy() { &mut self.proxy } else { &mut self.callee };
        let was_stale = match held {
            None => false,
            // RFC 7616 § 3.3: "stale: a case-insensitive flag indicating that the previous
            // request from the client was rejected because the nonce value was stale. If stale is
            // true, the client may wish to simply retry the request with a new encrypted
            // response, without reprompting the user for a new username and password."
            Some(previous) if strongest.is_stale() && !previous.was_stale => true,
            // RFC 3261 § 22: a UAC "MUST NOT re-attempt requests with the credentials that have just
            // been rejected".
            Some(_) => return Err(Unanswerable),
        };
        *held = Some(Held { challenge: strongest, uses: 0, was_stale });
        Ok(())
    }

    /// A new question may be asked of a new request, by the same realm.
    pub fn forget(&mut self) {
        (self.callee, self.proxy) = (None, None);
    }

    /// The headers that answer what was asked, for one request.
    pub fn headers(
        &mut self,
        method: &Method,
        uri: &Uri,
        entropy: &mut Entropy,
    ) -> Vec<(&'static str, String)> {
        let Some(credentials) = &self.credentials else { return Vec::new() };
        let held = [("Authorization", &mut self.callee), ("Proxy-Authorization", &mut self.proxy)];
        held.into_iter()
            .filter_map(|(name, held)| Some((name, held.as_mut()?)))
            .map(|(name, held)| (name, held.answer(credentials, method, uri, entropy)))
            .collect()
    }
}

impl Held {
    fn answer(
        &mut self,
        credentials: &Credentials,
        method: &Method,
        uri: &Uri,
        entropy: &mut Entropy,
    ) -> String {
        // RFC 7616 § 3.4: "The nc value is the hexadecimal count of the number of requests
        // (including the current request) that the client has sent with the nonce value in this
        // request."
        self.uses += 1;
        let cnonce = entropy.token(16);
        self.challenge.respond(&Answer {
            username: &credentials.username,
            password: &credentials.password,
            method: method.as_str(),
            uri: uri.as_str(),
            count: self.uses,
            cnonce: &cnonce,
        })
    }
}

fn stronger(one: Challenge, other: Challenge) -> Challenge {
    if other.strength() > one.strength() { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(value: &str) -> Option<Challenge> {
        Challenge::read(value.as_bytes(), false)
    }

    fn known(value: &str) -> Challenge {
        challenge(value).unwrap()
    }

    /// RFC 7616 § 3.9.1, "Example with SHA-256 and MD5".
    fn rfc_7616_answer(algorithm: &str) -> String {
        known(&format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        ))
        .respond(&Answer {
            username: "Mufasa",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            count: 1,
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        })
    }

    #[test]
    fn rfc_7616_3_9_1_md5() {
        let answer = rfc_7616_answer("MD5");
        assert!(answer.contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""), "{answer}");
        assert!(answer.contains("qop=auth, nc=00000001,"), "{answer}");
    }

    #[test]
    fn rfc_7616_3_9_1_sha_256() {
        let expected = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        assert!(rfc_7616_answer("SHA-256").contains(&format!("response=\"{expected}\"")));
    }

    #[test]
    fn rfc_2617_without_qop() {
        let answer = known("Digest realm=\"r\", nonce=\"n\"").respond(&Answer {
            username: "u",
            password: "p",
            method: "INVITE",
            uri: "sip:a@b",
            count: 1,
            cnonce: "unused",
        });
        assert!(!answer.contains("qop") && !answer.contains("cnonce"), "{answer}");
    }

    #[test]
    fn the_strongest_of_several_is_answered() {
        let mut authentication = Authentication::new(Some(Credentials::new("u", "p")));
        let offered = ["MD5", "SHA-256"].map(|algorithm| {
            known(&format!("Digest realm=\"r\", nonce=\"n\", algorithm={algorithm}, qop=\"auth\""))
        });
        authentication.challenged(offered.to_vec()).unwrap();
        let mut entropy = Entropy::from_number(1);
        let uri = Uri::sip("a", "b", None);
        let headers = authentication.headers(&Method::Invite, &uri, &mut entropy);
        assert!(headers[0].0 == "Authorization" && headers[0].1.contains("algorithm=SHA-256"));
        let again = authentication.headers(&Method::Bye, &uri, &mut entropy);
        assert!(again[0].1.contains("nc=00000002"), "the count goes up with each use of a nonce");
    }

    #[test]
    fn only_the_configured_realm_is_answered() {
        let credentials = Credentials::new("u", "p").for_realm("trunk.example");
        let mut authentication = Authentication::new(Some(credentials));
        let foreign = known("Digest realm=\"evil.example\", nonce=\"n\"");
        assert_eq!(authentication.challenged(vec![foreign]), Err(Unanswerable));
        assert!(
            authentication
                .challenged(vec![known("Digest realm=\"trunk.example\", nonce=\"n\"")])
                .is_ok()
        );
    }

    #[test]
    fn without_a_configured_realm_the_first_is_kept() {
        let mut authentication = Authentication::new(Some(Credentials::new("u", "p")));
        authentication.challenged(vec![known("Digest realm=\"a\", nonce=\"n\"")]).unwrap();
        let other = Challenge::read(b"Digest realm=\"b\", nonce=\"n\"", true).unwrap();
        assert_eq!(authentication.challenged(vec![other]), Err(Unanswerable));
        let same = Challenge::read(b"Digest realm=\"a\", nonce=\"n\"", true).unwrap();
        assert!(
            authentication.challenged(vec![same]).is_ok(),
            "the proxy may ask after the callee"
        );
    }

    #[test]
    fn one_answer_and_one_more_when_stale() {
        let mut authentication = Authentication::new(Some(Credentials::new("u", "p")));
        let plain = known("Digest realm=\"r\", nonce=\"1\"");
        let stale = known("Digest realm=\"r\", nonce=\"2\", stale=TRUE");
        authentication.challenged(vec![plain.clone()]).unwrap();
        assert_eq!(authentication.clone().challenged(vec![plain]), Err(Unanswerable));
        authentication.challenged(vec![stale.clone()]).unwrap();
        assert_eq!(authentication.challenged(vec![stale]), Err(Unanswerable));
    }

    #[test]
    fn a_challenge_two_readers_could_take_for_two_things_is_not_answered() {
        for value in [
            "Digest realm=\"a\", nonce=\"n\", realm=\"b\"",
            "Digest realm=\"a\", nonce=\"n\", Digest realm=\"b\", nonce=\"m\"",
            "Digest realm=\"a\", nonce=\"n\", Basic realm=\"b\"",
            "Digest realm=\"é\", nonce=\"n\"",
            "Digest realm=\"a\"",
            "Digest realm=\"a\", nonce=\"n\", algorithm=ROT13",
            "Digest realm=\"a\", nonce=\"n\", qop=\"auth-int\"",
            "Basic realm=\"a\"",
            "Digest",
            "",
        ] {
            assert!(challenge(value).is_none(), "{value}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let shown = format!("{:?}", Credentials::new("+4915112345678", "hunter2"));
        assert!(!shown.contains("hunter2") && !shown.contains("+49151"), "{shown}");
    }
}
