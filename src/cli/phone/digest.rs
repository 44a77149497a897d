//! The other end of digest authentication (RFC 7616, RFC 8760): asks for credentials, and checks
//! them by its own reading of the RFC, sharing nothing with the side that answers.

use md5::{Digest as _, Md5};
use sha2::{Digest as _, Sha256};

/// The protection space of the lab phone.
const REALM: &str = "octothorpe-phone";

/// Lets in who knows the password.
pub(super) struct Gate {
    username: String,
    password: String,
    nonce: String,
}

/// What a request showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// No credentials for this realm and nonce.
    Nothing,
    /// The right ones.
    Right,
    /// Any others.
    Wrong,
}

#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Md5,
}

impl Hash {
    const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    fn of(self, text: &str) -> String {
        let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect();
        match self {
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Md5 => hex(&Md5::digest(text.as_bytes())),
        }
    }
}

impl Gate {
    /// For one call; `nonce` is never used for another.
    pub(super) fn new((username, password): &(String, String), nonce: String) -> Self {
        Self { username: username.clone(), password: password.clone(), nonce }
    }

    /// The values of WWW-Authenticate. RFC 8760 § 2.4: "the topmost header field being the most
    /// preferred".
    pub(super) fn challenges(&self) -> [String; 2] {
        [Hash::Sha256, Hash::Md5].map(|hash| {
            format!(
                "Digest realm=\"{REALM}\", nonce=\"{}\", algorithm={}, qop=\"auth\"",
                self.nonce,
                hash.name()
            )
        })
    }

    /// Judges the value of an Authorization header.
    pub(super) fn judge(&self, method: &str, uri: &str, shown: Option<&str>) -> Shown {
        let Some(params) = shown.and_then(digest_params) else { return Shown::Nothing };
        let get = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
        if get("realm") != Some(REALM) || get("nonce") != Some(&self.nonce) {
            return Shown::Nothing;
        }
        // RFC 7616 § 3.4: an absent algorithm is MD5.
        let algorithm = get("algorithm").unwrap_or("MD5");
        let hashes = [Hash::Sha256, Hash::Md5];
        let hash = hashes.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(algorithm));
        let (Some(hash), Some(cnonce), Some(nc)) = (hash, get("cnonce"), get("nc")) else {
            return Shown::Wrong;
        };
        let is_count = nc.len() == 8 && nc.bytes().all(|octet| octet.is_ascii_hexdigit());
        let is_whole = is_count
            && get("qop") == Some("auth")
            && get("username") == Some(&self.username)
            && get("uri") == Some(uri);
        // RFC 7616 § 3.4.1 to 3.4.3: KD(H(A1), unq(nonce) ":" nc ":" unq(cnonce) ":" unq(qop) ":"
        // H(A2)), with A1 = username:realm:password and A2 = method:uri.
        let who = hash.of(&format!("{}:{REALM}:{}", self.username, self.password));
        let what = hash.of(&format!("{method}:{uri}"));
        let response = hash.of(&format!("{who}:{}:{nc}:{cnonce}:auth:{what}", self.nonce));
        let is_right = is_whole && get("response") == Some(&response);
        if is_right { Shown::Right } else { Shown::Wrong }
    }
}

/// The parameters of a Digest header, names in lower case, values without quotes.
fn digest_params(value: &str) -> Option<Vec<(String, String)>> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Digest") {
        return None;
    }
    let (mut quoted, mut escaped) = (false, false);
    let params = rest.split(|c: char| {
        let was_escaped = std::mem::take(&mut escaped);
        match c {
            '\\' if quoted && !was_escaped => escaped = true,
            '"' if !was_escaped => quoted = !quoted,
            _ => {}
        }
        c == ',' && !quoted
    });
    let read = |param: &str| {
        let (name, value) = param.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), unquoted(value.trim())))
    };
    Some(params.filter_map(read).collect())
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "sip:+12025550123@127.0.0.1:5080";

    fn gate() -> Gate {
        Gate::new(&("acme".into(), "hunter2".into()), "nonce1".into())
    }

    fn shown(hash: Hash, password: &str, change: (&str, &str)) -> Shown {
        let who = hash.of(&format!("acme:octothorpe-phone:{password}"));
        let what = hash.of(&format!("INVITE:{URI}"));
        let response = hash.of(&format!("{who}:nonce1:00000001:xyz:auth:{what}"));
        let value = format!(
            "Digest username=\"acme\", realm=\"octothorpe-phone\", nonce=\"nonce1\", uri=\"{URI}\", \
             response=\"{response}\", algorithm={}, cnonce=\"xyz\", qop=auth, nc=00000001",
            hash.name()
        );
        gate().judge("INVITE", URI, Some(&value.replace(change.0, change.1)))
    }

    #[test]
    fn the_right_password_opens_and_any_other_does_not() {
        for hash in [Hash::Sha256, Hash::Md5] {
            assert_eq!(shown(hash, "hunter2", ("", "")), Shown::Right);
            assert_eq!(shown(hash, "hunter3", ("", "")), Shown::Wrong);
        }
    }

    #[test]
    fn each_parameter_counts() {
        for (from, to) in [
            ("\"acme\"", "\"acmf\""),
            ("uri=\"sip:", "uri=\"sips:"),
            ("cnonce=\"xyz\"", "cnonce=\"xyw\""),
            ("nc=00000001", "nc=1"),
            ("nc=00000001", "nc=00000002"),
            ("qop=auth", "qop=auth-int"),
            (", qop=auth", ""),
            ("algorithm=MD5", "algorithm=SHA-256"),
        ] {
            assert_eq!(shown(Hash::Md5, "hunter2", (from, to)), Shown::Wrong, "{to}");
        }
        for (from, to) in [("nonce1", "nonce2"), ("octothorpe-phone", "x"), ("Digest", "Basic")] {
            assert_eq!(shown(Hash::Md5, "hunter2", (from, to)), Shown::Nothing, "{to}");
        }
        assert_eq!(gate().judge("INVITE", URI, None), Shown::Nothing);
    }

    #[test]
    fn without_an_algorithm_it_is_md5_and_quotes_hold_commas() {
        assert_eq!(shown(Hash::Md5, "hunter2", ("algorithm=MD5, ", "")), Shown::Right);
        let params = digest_params("Digest a=\"1,\\\"2\", B=3").unwrap();
        assert_eq!(params, [("a".into(), "1,\"2".into()), ("b".into(), "3".into())]);
    }

    /// RFC 7616 § 3.9.1 has other parameters than ours; its hashes are made the same way.
    #[test]
    fn the_hashes_are_those_of_rfc_7616() {
        let expected = [
            (Hash::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Hash::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ];
        for (hash, expected) in expected {
            let who = hash.of("Mufasa:http-auth@example.org:Circle of Life");
            let what = hash.of("GET:/dir/index.html");
            let response = hash.of(&format!(
                "{who}:7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v:00000001:\
                 f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ:auth:{what}"
            ));
            assert_eq!(response, expected);
        }
    }
}
