//! Whether a verification may be started at all. Closed by default: an open endpoint is toll fraud.

use std::collections::BTreeSet;

use super::block::Blocked;
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

impl Rules {
    /// Whether nothing is written yet.
    fn is_closed(&self) -> bool {
        self.voice_countries.is_empty() && self.sms_countries.is_empty()
    }
}

/// Leave to reach one person. Only [`decide`] makes one, and a route cannot be planned without it.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit(());

/// Why not, and which rule says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The tenant may reach no country at all: nothing has been written yet.
    #[error(
        "nobody may be reached by {} yet; three lines open it: {}_countries = [\"{country}\"] in the \
         entry of this tenant in [[tenants]]; an entry {} with a name; and an entry [[routes]] with \
         channel = \"{}\" and via = [that name]",
        .channel.as_str(), .channel.as_str(), carried_by(*.channel), .channel.as_str()
    )]
    Closed {
        /// The number's country.
        country: Country,
        /// By which channel.
        channel: Channel,
    },
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
    /// It is blocked.
    #[error("{0}")]
    Blocked(Blocked),
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
    /// A network that belongs to no country, and is dear to reach.
    #[error("numbers that begin with {prefix} ({}) are never reached", network(prefix))]
    Network {
        /// How its numbers begin.
        prefix: &'static str,
    },
    /// A kind of line that costs the caller dear, or reaches no person.
    #[error("numbers of this kind ({}) are never called", .kind.as_str())]
    Kind {
        /// The number's kind.
        kind: NumberKind,
    },
}

/// The networks that are never reached, whatever countries are written: a minute to one of them costs
/// up to ten dollars, and hardly anybody's own phone is there.
const NETWORKS: [(&str, &str); 7] = [
    ("+808", "shared cost, of no country"),
    ("+870", "Inmarsat's satellites"),
    ("+878", "universal personal numbers"),
    ("+881", "satellite phones"),
    ("+882", "international networks"),
    ("+883", "international networks"),
    ("+979", "premium rate, of no country"),
];

/// What is behind a prefix of [`NETWORKS`].
fn network(prefix: &str) -> &'static str {
    NETWORKS.iter().find(|(known, _)| *known == prefix).map_or("", |(_, what)| what)
}

/// The entry of a configuration that carries a channel.
const fn carried_by(channel: Channel) -> &'static str {
    match channel {
        Channel::Voice => "[[trunks]]",
        Channel::Sms => "[[carriers]]",
    }
}

impl Refusal {
    /// Whether a tenant may hide it: it tells something of the person, and not of the request.
    #[must_use]
    pub const fn is_personal(&self) -> bool {
        match self {
            Self::Blocked(_) | Self::OptedOut => true,
            Self::Network { .. }
            | Self::Kind { .. }
            | Self::FixedLine
            | Self::NotReserved
            | Self::Country { .. }
            | Self::Closed { .. } => false,
        }
    }

    /// The stable code of the problem.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Country { .. } | Self::Closed { .. } => "country_denied",
            Self::Network { .. } | Self::Kind { .. } | Self::FixedLine | Self::NotReserved => {
                "policy_denied"
            }
            Self::OptedOut => "opted_out",
            Self::Blocked(_) => "blocked",
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
    let mut refusals = Standing::ALL.into_iter().map(|rule| rule.refuses(to, channel, rules));
    refusals.find_map(|refusal| refusal).map_or(Ok(()), Err)
}

/// A rule that looks at the number alone, whatever has happened before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Networks of no country.
    Network,
    /// Kinds of lines.
    Kind,
    /// Whether the channel arrives there.
    Line,
    /// Countries.
    Country,
}

impl Standing {
    /// All of them, in the order they are asked: what no tenant can allow goes first.
    pub const ALL: [Self; 4] = [Self::Network, Self::Kind, Self::Line, Self::Country];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Kind => "kind",
            Self::Line => "line",
            Self::Country => "country",
        }
    }

    /// Its refusal, if it refuses.
    #[must_use]
    pub fn refuses(self, to: &PhoneNumber, channel: Channel, rules: &Rules) -> Option<Refusal> {
        match self {
            Self::Network => {
                let mut prefixes = NETWORKS.iter().map(|(prefix, _)| *prefix);
                let prefix = prefixes.find(|prefix| to.expose().starts_with(prefix))?;
                Some(Refusal::Network { prefix })
            }
            Self::Kind => {
                let kind = to.kind();
                (!kind.reaches_a_person()).then_some(Refusal::Kind { kind })
            }
            Self::Line => {
                let unread = (channel, to.kind()) == (Channel::Sms, NumberKind::Fixed);
                unread.then_some(Refusal::FixedLine)
            }
            Self::Country => {
                let allowed = match channel {
                    Channel::Voice => &rules.voice_countries,
                    Channel::Sms => &rules.sms_countries,
                };
                let country = to.country().clone();
                match (allowed.contains(&country), rules.is_closed()) {
                    (true, _) => None,
                    (false, true) => Some(Refusal::Closed { country, channel }),
                    (false, false) => Some(Refusal::Country { country, channel }),
                }
            }
        }
    }
}

/// What callers should know of a number that may be reached: `voip` is a line that anybody can rent for
/// a day.
#[must_use]
pub fn flags(to: &PhoneNumber) -> Vec<&'static str> {
    match to.kind() {
        NumberKind::Voip => vec!["voip"],
        NumberKind::Fixed
        | NumberKind::Mobile
        | NumberKind::FixedOrMobile
        | NumberKind::TollFree
        | NumberKind::Premium
        | NumberKind::SharedCost
        | NumberKind::Personal
        | NumberKind::Pager
        | NumberKind::Universal
        | NumberKind::Voicemail
        | NumberKind::Unknown => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::{About, Why};
    use super::super::request::{Mode, Way};
    use super::super::tests::request;
    use super::*;

    #[test]
    fn nothing_is_allowed_until_it_is_written() {
        let refusal = decide(&request("+14155550132"), &Rules::default()).unwrap_err();
        assert_eq!(refusal.code(), "country_denied");
        for line in ["voice_countries = [\"US\"]", "[[tenants]]", "[[trunks]]", "[[routes]]"] {
            assert!(refusal.to_string().contains(line), "{refusal}");
        }
        let us = BTreeSet::from(["US".parse().unwrap()]);
        let rules = Rules { voice_countries: us, ..Rules::default() };
        assert!(decide(&request("+14155550132"), &rules).is_ok());
        let refusal = decide(&request("+442079460018"), &rules).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "GB may not be reached by voice: add \"GB\" to this tenant's voice_countries"
        );
        // Each channel has a list of its own, and a fallback needs its channel's.
        let text = Way { channel: Channel::Sms, mode: Mode::Code };
        let fallback = Request { fallback: vec![text], ..request("+14155550132") };
        assert!(matches!(decide(&fallback, &rules), Err(Refusal::Country { .. })));
    }

    #[test]
    fn networks_of_no_country_are_never_reached_whatever_is_allowed() {
        let nobody = BTreeSet::from(["001".parse().unwrap()]);
        let rules = Rules { voice_countries: nobody.clone(), sms_countries: nobody };
        for number in ["+870301234567", "+881612345678", "+883510012345"] {
            let to = number.parse().unwrap();
            let refusal = reaches(&to, Channel::Voice, &rules).unwrap_err();
            assert!(matches!(refusal, Refusal::Network { .. }), "{number}: {refusal}");
            assert!(!refusal.to_string().contains(&number[4..]));
        }
        let inmarsat = reaches(&"+870301234567".parse().unwrap(), Channel::Voice, &rules);
        assert_eq!(
            inmarsat.unwrap_err().to_string(),
            "numbers that begin with +870 (Inmarsat's satellites) are never reached"
        );
    }

    #[test]
    fn only_what_tells_of_the_person_may_be_hidden() {
        let country: Country = "US".parse().unwrap();
        let channel = Channel::Sms;
        let blocked = Blocked { about: About::Number, why: Why::Operator, until: None };
        for (refusal, code, personal) in [
            (Refusal::Blocked(blocked), "blocked", true),
            (Refusal::OptedOut, "opted_out", true),
            (Refusal::Closed { country: country.clone(), channel }, "country_denied", false),
            (Refusal::Country { country, channel }, "country_denied", false),
            (Refusal::Network { prefix: "+870" }, "policy_denied", false),
            (Refusal::Kind { kind: NumberKind::Pager }, "policy_denied", false),
            (Refusal::FixedLine, "policy_denied", false),
            (Refusal::NotReserved, "policy_denied", false),
        ] {
            assert_eq!((refusal.code(), refusal.is_personal()), (code, personal), "{refusal}");
        }
    }

    #[test]
    fn each_rule_and_each_kind_has_a_word_of_its_own() {
        let rules = Standing::ALL.map(Standing::as_str);
        assert_eq!(rules, ["network", "kind", "line", "country"]);
        let closed = Refusal::Closed { country: "US".parse().unwrap(), channel: Channel::Sms };
        for line in ["sms_countries = [\"US\"]", "[[carriers]]", "channel = \"sms\""] {
            assert!(closed.to_string().contains(line), "{closed}");
        }
        let premium = Refusal::Kind { kind: NumberKind::Premium };
        assert_eq!(premium.to_string(), "numbers of this kind (premium rate) are never called");
    }

    #[test]
    fn texts_go_to_no_fixed_line_and_lines_of_the_internet_are_flagged() {
        let gb = BTreeSet::from(["GB".parse().unwrap()]);
        let rules = Rules { voice_countries: gb.clone(), sms_countries: gb };
        let fixed = "+442079460018".parse().unwrap();
        assert_eq!(reaches(&fixed, Channel::Sms, &rules), Err(Refusal::FixedLine));
        assert_eq!(reaches(&fixed, Channel::Voice, &rules), Ok(()));
        assert_eq!(flags(&fixed), [""; 0]);
        let voip = "+445612345678".parse().unwrap();
        assert_eq!(reaches(&voip, Channel::Voice, &rules), Ok(()));
        assert_eq!(flags(&voip), ["voip"]);
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
