//! Whether a verification may be started at all. Closed by default: an open endpoint is toll fraud.

use std::collections::BTreeSet;

use super::number::{Country, NumberKind};
use super::request::{Channel, Request};

/// What a tenant may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The countries it may call; none unless written.
    pub voice_countries: BTreeSet<Country>,
}

/// Leave to reach one person. Only [`decide`] makes one, and a route cannot be planned without it.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit(());

/// Why not, and which rule says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The country is not on the tenant's list.
    #[error(
        "calls to {country} are not allowed: add \"{country}\" to this tenant's voice_countries"
    )]
    Country {
        /// The number's country.
        country: Country,
    },
    /// A kind of line that costs the caller dear, or reaches no person.
    #[error("numbers of this kind ({}) are never called", .kind.as_str())]
    Kind {
        /// The number's kind.
        kind: NumberKind,
    },
}

impl Refusal {
    /// The stable code of the problem.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Country { .. } => "country_denied",
            Self::Kind { .. } => "policy_denied",
        }
    }
}

impl NumberKind {
    /// The trade's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed line",
            Self::Mobile => "mobile",
            Self::FixedOrMobile => "fixed line or mobile",
            Self::Voip => "voice over IP",
            Self::TollFree => "toll free",
            Self::Premium => "premium rate",
            Self::SharedCost => "shared cost",
            Self::Personal => "personal number",
            Self::Pager => "pager",
            Self::Universal => "universal access number",
            Self::Voicemail => "voicemail access",
            Self::Unknown => "unknown",
        }
    }

    const fn reaches_a_person(self) -> bool {
        match self {
            Self::Fixed | Self::Mobile | Self::FixedOrMobile | Self::Voip | Self::Unknown => true,
            Self::TollFree
            | Self::Premium
            | Self::SharedCost
            | Self::Personal
            | Self::Pager
            | Self::Universal
            | Self::Voicemail => false,
        }
    }
}

/// Whether this request may be carried out under these rules.
///
/// # Errors
/// The first rule that refuses.
pub fn decide(request: &Request, rules: &Rules) -> Result<Permit, Refusal> {
    let kind = request.to.kind();
    if !kind.reaches_a_person() {
        return Err(Refusal::Kind { kind });
    }
    let allowed = match request.channel {
        Channel::Voice => &rules.voice_countries,
    };
    let country = request.to.country();
    if !allowed.contains(country) {
        return Err(Refusal::Country { country: country.clone() });
    }
    Ok(Permit(()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::request;
    use super::*;

    #[test]
    fn nothing_is_allowed_until_it_is_written() {
        let refusal = decide(&request("+14155550132"), &Rules::default()).unwrap_err();
        assert_eq!(refusal.code(), "country_denied");
        assert!(refusal.to_string().contains("voice_countries"));
        let rules = Rules { voice_countries: BTreeSet::from(["US".parse().unwrap()]) };
        assert!(decide(&request("+14155550132"), &rules).is_ok());
        assert!(decide(&request("+442079460018"), &rules).is_err());
    }

    #[test]
    fn dear_lines_are_never_called() {
        let rules = Rules { voice_countries: BTreeSet::from(["US".parse().unwrap()]) };
        for number in ["+19002345678", "+18002345678"] {
            assert_eq!(decide(&request(number), &rules).unwrap_err().code(), "policy_denied");
        }
    }
}
