//! Whether a verification may be started at all. Closed by default: an open endpoint is toll fraud.

use std::collections::BTreeSet;

use super::number::{Country, NumberKind, PhoneNumber};
use super::request::{Channel, Request};

/// What a tenant may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The countries it may call; none unless written.
    pub voice_countries: BTreeSet<Country>,
    /// The countries it may text; none unless written.
    pub sms_countries: BTreeSet<Country>,
}

/// Leave to reach one person. Only [`decide`] makes one, and a route cannot be planned without it.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit(());

/// Why not, and which rule says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The country is not on the tenant's list.
    #[error(
        "{country} may not be reached by {}: add \"{country}\" to this tenant's {}_countries",
        .channel.as_str(), .channel.as_str()
    )]
    Country {
        /// The number's country.
        country: Country,
        /// By which channel.
        channel: Channel,
    },
    /// A line that no text arrives at.
    #[error("this is a fixed line, where no text arrives: call it, with channel \"voice\"")]
    FixedLine,
    /// A test tenant may name only the numbers that are reserved for tests.
    #[error("a test tenant reaches only the test numbers +12025550100 to +12025550111")]
    NotReserved,
    /// The person wants no texts from the sender that would be used.
    #[error(
        "this phone has opted out of texts from this sender: it may write START to it, or be \
             called, with channel \"voice\""
    )]
    OptedOut,
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
            Self::Kind { .. } | Self::FixedLine | Self::NotReserved => "policy_denied",
            Self::OptedOut => "opted_out",
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

/// Whether this request may be carried out under these rules, by each of its ways.
///
/// # Errors
/// The first rule that refuses.
pub fn decide(request: &Request, rules: &Rules) -> Result<Permit, Refusal> {
    request.ways().try_for_each(|way| reaches(&request.to, way.channel, rules))?;
    Ok(Permit(()))
}

/// Whether this request may be carried out by one more channel.
///
/// # Errors
/// The first rule that refuses.
pub fn decide_channel(
    request: &Request,
    channel: Channel,
    rules: &Rules,
) -> Result<Permit, Refusal> {
    reaches(&request.to, channel, rules).map(|()| Permit(()))
}

/// Whether this number may be reached by this channel under these rules.
///
/// # Errors
/// The first rule that refuses.
pub fn reaches(to: &PhoneNumber, channel: Channel, rules: &Rules) -> Result<(), Refusal> {
    let kind = to.kind();
    if !kind.reaches_a_person() {
        return Err(Refusal::Kind { kind });
    }
    if (channel, kind) == (Channel::Sms, NumberKind::Fixed) {
        return Err(Refusal::FixedLine);
    }
    let allowed = match channel {
        Channel::Voice => &rules.voice_countries,
        Channel::Sms => &rules.sms_countries,
    };
    let country = to.country();
    if !allowed.contains(country) {
        return Err(Refusal::Country { country: country.clone(), channel });
    }
    Ok(())
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
        let us = BTreeSet::from(["US".parse().unwrap()]);
        let rules = Rules { voice_countries: us, ..Rules::default() };
        assert!(decide(&request("+14155550132"), &rules).is_ok());
        assert!(decide(&request("+442079460018"), &rules).is_err());
    }

    #[test]
    fn dear_lines_are_never_called() {
        let us = BTreeSet::from(["US".parse().unwrap()]);
        let rules = Rules { voice_countries: us, ..Rules::default() };
        for number in ["+19002345678", "+18002345678"] {
            assert_eq!(decide(&request(number), &rules).unwrap_err().code(), "policy_denied");
        }
    }
}
