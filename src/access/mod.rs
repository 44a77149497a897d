//! Who may ask: by which key, token, certificate or login, for what, from where, and until when.

pub mod certificate;
pub mod key;
pub mod operator;
pub mod session;
pub mod token;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::ambient::Timestamp;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Start verifications, and ask for further attempts: what costs money.
    Start,
    /// Check codes.
    Check,
    /// Read how verifications stand.
    Read,
    /// Take verifications back.
    Cancel,
    /// Everything on the operator's listener, for all tenants.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Start, Self::Check, Self::Read, Self::Cancel, Self::Admin];

    /// What a caller may do where nothing is written: all that concerns verifications.
    #[must_use]
    pub fn usual() -> BTreeSet<Self> {
        BTreeSet::from([Self::Start, Self::Check, Self::Read, Self::Cancel])
    }

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Check => "check",
            Self::Read => "read",
            Self::Cancel => "cancel",
            Self::Admin => "admin",
        }
    }

    /// The scope of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Under what terms somebody may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// For what.
    pub scopes: BTreeSet<Scope>,
    /// Until when; `None` is until it is taken away.
    pub expires: Option<Timestamp>,
    /// From where; empty is from everywhere.
    pub allow: Vec<IpNet>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { scopes: Scope::usual(), expires: None, allow: Vec::new() }
    }
}

impl Terms {
    /// Whether they hold at this time for somebody at this address.
    #[must_use]
    pub fn hold(&self, now: Timestamp, from: Option<IpAddr>) -> bool {
        let in_time = self.expires.is_none_or(|end| now < end);
        // An IPv4 address that came in by an IPv6 socket is that IPv4 address.
        let from = from.map(|from| from.to_canonical());
        let is_near = |net: &IpNet| from.is_some_and(|from| net.contains(&from));
        let in_place = self.allow.is_empty() | self.allow.iter().any(is_near);
        in_time & in_place
    }
}

/// Reads a network as `10.0.0.0/8`, or an address that stands for itself alone.
///
/// # Errors
/// What would be right.
pub fn network(text: &str) -> Result<IpNet, &'static str> {
    const FORM: &str = "write an IP address or a network, as 10.0.0.0/8";
    // By the standard parser: 010 is ten to some and eight to others, and nothing to it.
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let address: IpAddr = address.parse().map_err(|_| FORM)?;
    let net = match length {
        None => IpNet::from(address),
        Some(length) => IpNet::new(address, length.parse().map_err(|_| FORM)?).map_err(|_| FORM)?,
    };
    if net.trunc() == net {
        Ok(net)
    } else {
        Err("the address has bits behind the network's: write the first address of the network")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_end_at_their_time_and_at_their_networks() {
        let now = Timestamp::from_secs(100);
        let here = |text: &str| Some(text.parse().unwrap());
        let terms = Terms {
            expires: Some(Timestamp::from_secs(101)),
            allow: vec![network("10.0.0.0/8").unwrap(), network("2001:db8::1").unwrap()],
            ..Terms::default()
        };
        for inside in ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "2001:db8::1"] {
            assert!(terms.hold(now, here(inside)), "{inside}");
            assert!(!terms.hold(Timestamp::from_secs(101), here(inside)), "{inside}");
        }
        for outside in ["11.0.0.0", "9.255.255.255", "2001:db8::2", "::10.0.0.1"] {
            assert!(!terms.hold(now, here(outside)), "{outside}");
        }
        assert!(!terms.hold(now, None));
        assert!(Terms::default().hold(now, None));
    }

    #[test]
    fn networks_are_read_strictly() {
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(network("2001:db8::/32").unwrap().to_string(), "2001:db8::/32");
        for bad in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0/8", "010.0.0.0/8", "x", "::1/129"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_scope_has_a_word_of_its_own() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
            assert_eq!(serde_json::to_string(&scope).unwrap(), format!("\"{scope}\""));
        }
        assert_eq!(Scope::parse("Start"), None);
        assert_eq!(Scope::ALL.iter().filter(|it| !Scope::usual().contains(it)).count(), 1);
        assert!(!Scope::usual().contains(&Scope::Admin));
    }
}
