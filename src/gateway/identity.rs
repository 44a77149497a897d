//! Who we say we are, and how a number is written, for one trunk.

use super::settings::{Asserted, Identity, NumberFormat, Target, Trunk};
use crate::sip::{NameAddr, Route, Uri, call};
use crate::verify::number::PhoneNumber;

/// RFC 3323 section 4.1.1.3: "it is RECOMMENDED that user agents … use the hostname value
/// 'anonymous.invalid'".
const NOBODY: &str = "anonymous.invalid";

/// What an INVITE says of who calls whom.
pub(super) struct Introduction {
    /// Who is called.
    pub(super) target: call::Target,
    /// Who calls.
    pub(super) from: NameAddr,
    /// What it goes through.
    pub(super) routes: Vec<Route>,
    /// What else it says.
    pub(super) headers: Vec<(String, String)>,
}

/// Introduces a call to this number, in the name of this brand, as the trunk wants it.
pub(super) fn introduce(trunk: &Trunk, to: &PhoneNumber, brand: Option<&str>) -> Introduction {
    let Trunk { target, proxy, identity, .. } = trunk;
    let target = call::Target {
        user: identity.format.dialled(to.expose()),
        host: bracketed(&target.host),
        port: target.port,
        is_phone: identity.user_phone,
    };
    let mut headers = asserted(trunk);
    headers.extend(identity.headers.iter().cloned());
    Introduction {
        target,
        from: from(trunk, brand),
        routes: proxy.iter().map(through).collect(),
        headers,
    }
}

fn from(trunk: &Trunk, brand: Option<&str>) -> NameAddr {
    let Identity { private, .. } = trunk.identity;
    if private {
        // RFC 3323 section 4.1: "a From header field that has been made anonymous:
        // From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=1928301774".
        return NameAddr::new(Uri::sip("anonymous", NOBODY, None)).display("Anonymous");
    }
    let from = NameAddr::new(caller(trunk).unwrap_or_else(|| at(trunk, "anonymous")));
    match brand {
        Some(brand) => from.display(brand),
        None => from,
    }
}

/// The headers of RFC 3325 and RFC 3323.
fn asserted(trunk: &Trunk) -> Vec<(String, String)> {
    let name = match trunk.identity.asserted {
        Asserted::No => None,
        Asserted::Asserted => Some("P-Asserted-Identity"),
        Asserted::Preferred => Some("P-Preferred-Identity"),
    };
    let mut headers = Vec::new();
    if let (Some(name), Some(caller)) = (name, caller(trunk)) {
        headers.push((name.to_owned(), NameAddr::new(caller).to_string()));
    }
    if trunk.identity.private {
        // RFC 3325 section 9.3: "The presence of this privacy type in a Privacy header field
        // indicates that the user would like the Network Asserted Identity to be kept private with
        // respect to SIP entities outside the Trust Domain".
        headers.push(("Privacy".to_owned(), "id".to_owned()));
    }
    headers
}

/// The number that calls.
fn caller(trunk: &Trunk) -> Option<Uri> {
    let Identity { caller_id, format, user_phone, .. } = &trunk.identity;
    let user = format.shown(caller_id.as_deref()?);
    let is_number = user.trim_start_matches('+').bytes().all(|b| b.is_ascii_digit());
    let uri = at(trunk, &user);
    Some(if *user_phone && is_number { uri.phone() } else { uri })
}

/// A user of the domain that calls come from.
fn at(trunk: &Trunk, user: &str) -> Uri {
    let domain = trunk.identity.domain.as_ref().unwrap_or(&trunk.target.host);
    Uri::sip(user, domain, None)
}

/// The route through an outbound proxy. RFC 3261 section 8.1.2: "a configured outbound proxy" is
/// "a pre-existing route set … that contains a single URI"; section 19.1.1: the proxy is one that
/// routes loosely.
pub(super) fn through(proxy: &Target) -> Route {
    let uri = Uri::sip("", &proxy.host, proxy.port);
    let uri = match proxy.transport {
        Some(transport) => uri.transport(transport),
        None => uri,
    };
    Route::to(uri.loose())
}

/// A host as a SIP URI writes it (RFC 3261 section 25.1: an IPv6reference has brackets).
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

impl NumberFormat {
    /// A number in E.164 as it is dialled here.
    fn dialled(&self, e164: &str) -> String {
        let digits = e164.trim_start_matches('+');
        match self {
            Self::E164 => format!("+{digits}"),
            Self::Digits => digits.to_owned(),
            Self::National { country, trunk_prefix, international } => {
                match digits.strip_prefix(country.as_str()) {
                    Some(national) => format!("{trunk_prefix}{national}"),
                    None => format!("{international}{digits}"),
                }
            }
            Self::Prefixed(prefix) => format!("{prefix}{digits}"),
        }
    }

    /// The number of the caller: as a number is dialled, where it is one in E.164, else as it is
    /// written. What must be dialled first is no part of who calls.
    fn shown(&self, caller_id: &str) -> String {
        match (caller_id.starts_with('+'), self) {
            (true, Self::E164 | Self::Digits | Self::National { .. }) => self.dialled(caller_id),
            (true, Self::Prefixed(_)) | (false, _) => caller_id.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;
    use crate::ambient::{Entropy, Timestamp};
    use crate::sip::{Call, Hop, Input, Output, Transport, Way};

    fn trunk() -> Trunk {
        let target = Target {
            host: "sbc.carrier.example".to_owned(),
            port: None,
            transport: Some(Transport::Udp),
        };
        let caller_id = Some("+493012345678".to_owned());
        let identity = Identity { caller_id, ..Identity::default() };
        Trunk { identity, ..Trunk::new("carrier", target) }
    }

    fn with(trunk: Trunk, change: impl FnOnce(&mut Identity)) -> Trunk {
        let mut trunk = trunk;
        change(&mut trunk.identity);
        trunk
    }

    /// The INVITE that begins a call to this number.
    fn invite(trunk: &Trunk, to: &str, brand: Option<&str>) -> String {
        let introduction = introduce(trunk, &to.parse().unwrap(), brand);
        let Introduction { target, from, routes, headers } = introduction;
        let hop = Hop::udp("192.0.2.1:5060".parse().unwrap());
        let order = call::Order {
            routes,
            headers,
            ..call::Order::new(
                target,
                vec![Way { hop, local: "192.0.2.2:5060".parse().unwrap() }],
                from,
            )
        };
        let mut call =
            Call::new(order, Vec::new(), Entropy::from_number(1), crate::sip::Settings::default());
        let mut out = Vec::new();
        call.on(Timestamp::from_secs(1), Input::Start, &mut out);
        let Some(Output::Send { bytes, .. }) = out.into_iter().next() else { panic!("no INVITE") };
        String::from_utf8(bytes).unwrap()
    }

    /// The start line and the headers that say who calls whom.
    fn said(trunk: &Trunk, to: &str) -> Vec<String> {
        let of_interest = |line: &&str| {
            ["INVITE ", "From:", "To:", "Route:", "P-", "Privacy:", "X-"]
                .iter()
                .any(|name| line.starts_with(name))
        };
        let invite = invite(trunk, to, Some("Contoso"));
        let lines = invite.lines().filter(of_interest);
        lines.map(|line| line.split(";tag=").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_plain_trunk_is_told_the_brand_and_numbers_in_e164() {
        assert_eq!(
            said(&trunk(), "+4915112345678"),
            [
                "INVITE sip:+4915112345678@sbc.carrier.example SIP/2.0",
                "From: \"Contoso\" <sip:+493012345678@sbc.carrier.example>",
                "To: <sip:+4915112345678@sbc.carrier.example>",
            ]
        );
    }

    #[test]
    fn an_anonymous_call_tells_the_carrier_alone_who_calls() {
        let trunk = with(trunk(), |it| {
            it.private = true;
            it.asserted = Asserted::Asserted;
            it.domain = Some("acme.example".to_owned());
            it.user_phone = true;
        });
        assert_eq!(
            said(&trunk, "+4915112345678"),
            [
                "INVITE sip:+4915112345678@sbc.carrier.example;user=phone SIP/2.0",
                "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>",
                "To: <sip:+4915112345678@sbc.carrier.example;user=phone>",
                "P-Asserted-Identity: <sip:+493012345678@acme.example;user=phone>",
                "Privacy: id",
            ]
        );
    }

    #[test]
    fn a_proxy_is_a_loose_route_and_the_target_stays_whom_it_is_sent_to() {
        let proxy = Target {
            host: "2001:db8::7".to_owned(),
            port: Some(5061),
            transport: Some(Transport::Tls),
        };
        let trunk = with(Trunk { proxy: Some(proxy), ..trunk() }, |it| {
            it.asserted = Asserted::Preferred;
            it.format = NumberFormat::Digits;
            it.headers = vec![("X-Account".to_owned(), "4711".to_owned())];
        });
        assert_eq!(
            said(&trunk, "+4915112345678"),
            [
                "INVITE sip:4915112345678@sbc.carrier.example SIP/2.0",
                "From: \"Contoso\" <sip:493012345678@sbc.carrier.example>",
                "To: <sip:4915112345678@sbc.carrier.example>",
                "Route: <sip:[2001:db8::7]:5061;transport=tls;lr>",
                "P-Preferred-Identity: <sip:493012345678@sbc.carrier.example>",
                "X-Account: 4711",
            ]
        );
    }

    #[test]
    fn numbers_are_written_as_the_carrier_wants_them() {
        let national =
            |country: &str, trunk_prefix: &str, international: &str| NumberFormat::National {
                country: country.to_owned(),
                trunk_prefix: trunk_prefix.to_owned(),
                international: international.to_owned(),
            };
        let prefixed = NumberFormat::Prefixed("9011".to_owned());
        for (format, e164, dialled, shown) in [
            (NumberFormat::E164, "+4930123456", "+4930123456", "+4930123456"),
            (NumberFormat::Digits, "+4930123456", "4930123456", "4930123456"),
            (national("49", "0", "00"), "+4930123456", "030123456", "030123456"),
            (national("49", "0", "00"), "+43123456789", "0043123456789", "0043123456789"),
            (national("39", "", "00"), "+390612345678", "0612345678", "0612345678"),
            (national("1", "1", "011"), "+14155550132", "14155550132", "14155550132"),
            (prefixed, "+4930123456", "90114930123456", "+4930123456"),
        ] {
            assert_eq!(format.dialled(e164), dialled);
            assert_eq!(format.shown(e164), shown);
            assert_eq!(format.shown("acme-1"), "acme-1");
        }
    }

    fn formats() -> impl Strategy<Value = NumberFormat> {
        prop_oneof![
            Just(NumberFormat::E164),
            Just(NumberFormat::Digits),
            "[1-9][0-9]{0,2}".prop_map(|country| NumberFormat::National {
                country,
                trunk_prefix: "0".to_owned(),
                international: "00".to_owned(),
            }),
            "[0-9*#]{1,5}".prop_map(NumberFormat::Prefixed),
        ]
    }

    proptest! {
        #[test]
        fn no_number_shows_where_a_private_call_is_seen(
            caller in "[+]?[0-9]{7,15}",
            format in formats(),
            asserted in prop_oneof![
                Just(Asserted::No), Just(Asserted::Asserted), Just(Asserted::Preferred)
            ],
            user_phone: bool,
        ) {
            let trunk = with(trunk(), |it| {
                it.caller_id = Some(caller.clone());
                it.private = true;
                (it.format, it.asserted, it.user_phone) = (format, asserted, user_phone);
            });
            let invite = invite(&trunk, "+4915112345678", Some("Contoso"));
            let seen = invite.lines().filter(|line| {
                line.starts_with("From:") || line.starts_with("Contact:")
            });
            for line in seen {
                // A tag is drawn by chance, and may hold any digits.
                let line = line.split(";tag=").next().unwrap();
                let digits: String = line.chars().filter(char::is_ascii_digit).collect();
                prop_assert!(digits.is_empty() || digits == "1920225060", "{line}");
                prop_assert!(!line.contains("Contoso"), "{line}");
            }
            prop_assert!(invite.contains("\r\nPrivacy: id\r\n"));
        }

        #[test]
        fn no_value_begins_a_line_of_its_own(value in "[ -~\r\n\u{0}-\u{1f}]{0,40}") {
            let evil = format!("{value}\r\nEvil: 1\nEvil: 2\rEvil: 3");
            let trunk = with(trunk(), |it| {
                it.caller_id = Some(evil.clone());
                it.domain = Some(evil.clone());
                it.asserted = Asserted::Asserted;
                it.headers = vec![("X-Account".to_owned(), evil.clone())];
            });
            let invite = invite(&trunk, "+4915112345678", Some(&evil));
            for line in invite.split(['\r', '\n']) {
                prop_assert!(!line.starts_with("Evil"), "{invite}");
            }
        }
    }
}
