//! Addresses as they are written: listeners, SIP targets, web addresses. Read strictly, so that
//! no two readers can see two things in one text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::gateway::settings::Target as SipTarget;
use crate::sip::{Hop, Transport};

/// A server: where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host name or IP address; an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// The host of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Ip(IpAddr),
}

/// A web address, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Web {
    pub(super) encrypted: bool,
    pub(super) host: Host,
    pub(super) has_query: bool,
}

/// Reads where SIP is spoken: `udp:127.0.0.1:5060`, `tls:[::1]:5061`; port 0 lets the system
/// choose.
///
/// # Errors
/// What would be right.
pub fn sip_listener(text: &str) -> Result<Hop, String> {
    let fitting = "write udp:ADDRESS:PORT (or tcp, or tls), as udp:127.0.0.1:5060 or \
                   tls:[::1]:5061";
    let (name, address) = text.split_once(':').ok_or(fitting)?;
    let transport = match Transport::from_param(name) {
        Some(transport) => transport,
        None if matches!(name, "ws" | "wss" | "sctp") => {
            return Err(format!("SIP over {name} is not supported: {fitting}"));
        }
        None => return Err(fitting.to_owned()),
    };
    let address = address.parse().map_err(|_| fitting.to_owned())?;
    Ok(Hop { transport, address })
}

/// Reads where a trunk's requests go: `sip:host:port;transport=udp`. What is not written is looked
/// up (RFC 3263).
///
/// # Errors
/// What would be right.
pub fn sip_target(text: &str) -> Result<SipTarget, String> {
    let fitting = "write sip:HOST:PORT;transport=udp (or tcp, or tls), as \
                   sip:192.0.2.7:5060;transport=udp or sip:[2001:db8::7];transport=tls";
    let (secure, rest) = match (text.strip_prefix("sip:"), text.strip_prefix("sips:")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) => (true, rest),
        (None, None) => return Err(fitting.to_owned()),
    };
    if rest.contains('@') {
        return Err(format!(
            "the target has no user part (the number called stands there; digest credentials are \
             username and password): {fitting}"
        ));
    }
    if rest.contains('?') {
        return Err(format!("the target has no header fields behind \"?\": {fitting}"));
    }
    let mut parts = rest.split(';');
    let authority = parts.next().unwrap_or_default();
    let parameters: Vec<&str> = parts.collect();
    let written = match parameters.as_slice() {
        [] => None,
        [parameter] => match parameter.split_once('=') {
            Some(("transport", name)) => Some(
                Transport::from_param(name)
                    .ok_or_else(|| format!("SIP over {name} is not supported: {fitting}"))?,
            ),
            _ => return Err(format!("the only parameter is transport: {fitting}")),
        },
        [_, ..] => return Err(format!("the only parameter is transport, once: {fitting}")),
    };
    let transport = match (secure, written) {
        // RFC 3261 section 26.2.2: sips is TLS, over TCP.
        (true, None | Some(Transport::Tcp | Transport::Tls)) => Some(Transport::Tls),
        (true, Some(Transport::Udp)) => {
            return Err(format!("sips: is encrypted, and transport=udp is not: {fitting}"));
        }
        (false, written) => written,
    };
    let (host, port) = host_and_port(authority).map_err(|why| format!("{why}: {fitting}"))?;
    let host = match host {
        Host::Name(name) => name,
        Host::Ip(ip) if ip.is_unspecified() || ip.is_multicast() => {
            return Err(format!("no peer has the address {ip}: {fitting}"));
        }
        Host::Ip(ip) => ip.to_string(),
    };
    Ok(SipTarget { host, port, transport })
}

/// Reads `http(s)://host[:port][/path][?query]`: no user, no fragment, visible ASCII only.
pub(super) fn web(text: &str) -> Result<Web, String> {
    let (encrypted, rest) = match text.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        _ => return Err("write an address that begins with https://".to_owned()),
    };
    if rest.bytes().any(|b| !b.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&b)) {
        return Err("write visible ASCII only, the rest percent-encoded".to_owned());
    }
    if rest.contains('#') {
        return Err("leave out the fragment (# and what follows): it is never sent".to_owned());
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err("leave out the user and password before \"@\": an address is not the place \
                    for a secret"
            .to_owned());
    }
    let (host, _) = host_and_port(authority)?;
    Ok(Web { encrypted, host, has_query: path.contains('?') })
}

/// Reads a host that stands alone: a name or an IP address, IPv6 in brackets or not.
pub(super) fn host_alone(text: &str) -> Result<String, String> {
    let fitting = "write a host name or an IP address alone, as carrier.example";
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    match host_and_port(text) {
        Ok((Host::Name(name), None)) => Ok(name),
        Ok((Host::Ip(ip), None)) => Ok(ip.to_string()),
        Ok((_, Some(_))) => Err(format!("leave out the port: {fitting}")),
        Err(_) => Err(fitting.to_owned()),
    }
}

/// Reads a network as `10.0.0.0/8`, or an address that stands for itself alone.
///
/// # Errors
/// What would be right.
pub(super) fn network(text: &str) -> Result<IpNet, &'static str> {
    let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let net: IpNet = net.map_err(|_| "write an IP address or a network, as 10.0.0.0/8")?;
    if net.trunc() == net {
        Ok(net)
    } else {
        Err("the address has bits behind the network's: write the first address of the network")
    }
}

/// What of a web address may be shown: its path and query may hold a token.
pub(super) fn shown(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return "\"…\"".to_owned();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme = if matches!(scheme, "http" | "https") { scheme } else { "…" };
    let host = match rest.rsplit_once('@') {
        Some(_) => "…",
        None => authority,
    };
    let more = if authority.len() < rest.len() { "/…" } else { "" };
    super::complaint::quoted(&format!("{scheme}://{host}{more}"))
}

/// Whether this host is, by its own text, inside a private network.
pub(super) fn is_private(host: &Host) -> bool {
    match host {
        Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ip(ip) => match ip.to_canonical() {
            IpAddr::V4(ip) => is_private_v4(ip),
            IpAddr::V6(ip) => is_private_v6(ip),
        },
    }
}

/// Whether this host is, by its own text, this machine.
pub(super) fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ip(ip) => ip.to_canonical().is_loopback(),
    }
}

/// Whether a server is, by its own text, on this machine.
pub(super) fn is_loopback_name(text: &str) -> bool {
    let ip = text.parse().map(Host::Ip);
    is_loopback(&ip.unwrap_or_else(|_| Host::Name(text.to_owned())))
}

/// Reads where a server listens: `host:port`, with this port when none is written.
pub(super) fn peer(text: &str, port: u16) -> Result<Target, String> {
    let (host, written) = host_and_port(text)?;
    let host = match host {
        Host::Name(name) => name,
        Host::Ip(ip) if ip.is_unspecified() || ip.is_multicast() => {
            return Err(format!("no server has the address {ip}"));
        }
        Host::Ip(ip) => ip.to_string(),
    };
    Ok(Target { host, port: written.unwrap_or(port) })
}

const fn is_private_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let shared = a == 100 && b & 0xc0 == 64;
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || a == 0
        || shared
}

const fn is_private_v6(ip: Ipv6Addr) -> bool {
    ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || ip.is_unique_local()
        || ip.is_unicast_link_local()
}

/// Whether two listeners of one transport would take the same packets.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let wide = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && (wide || a.ip() == b.ip())
}

fn host_and_port(text: &str) -> Result<(Host, Option<u16>), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) =
            rest.split_once(']').ok_or("the bracket of the IPv6 address is not closed")?;
        let ip: Ipv6Addr =
            inside.parse().map_err(|_| "what stands in brackets is not an IPv6 address")?;
        let port = match after {
            "" => None,
            _ => Some(after.strip_prefix(':').ok_or("only :PORT can follow the bracket")?),
        };
        (Host::Ip(IpAddr::V6(ip)), port)
    } else {
        let (host, port) = match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address stands in brackets, as [::1]".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        (name_or_v4(host)?, port)
    };
    let port = port.map(port_number).transpose()?;
    Ok((host, port))
}

fn port_number(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse::<u16>().ok().filter(|&port| digits && port != 0);
    port.ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

/// A host name as RFC 3261 § 25.1 writes it: the last label begins with a letter, so that no name
/// can be taken for an address in another notation.
fn name_or_v4(text: &str) -> Result<Host, String> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(IpAddr::V4(ip)));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top_is_a_word = name
        .rsplit('.')
        .next()
        .is_some_and(|top| top.starts_with(|c: char| c.is_ascii_alphabetic()));
    if name.len() <= 253 && name.split('.').all(label) && top_is_a_word {
        Ok(Host::Name(text.to_ascii_lowercase()))
    } else {
        Err("the host is neither a host name (letters, digits, - and .) nor an IP address"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sip_targets_are_read_strictly() {
        for (text, host, port, transport) in [
            ("sip:127.0.0.1:5070;transport=udp", "127.0.0.1", Some(5070), Some(Transport::Udp)),
            ("sip:Carrier.example.com", "carrier.example.com", None, None),
            ("sip:[::1]:5080;transport=tcp", "::1", Some(5080), Some(Transport::Tcp)),
            ("sip:[2001:db8::7];transport=tls", "2001:db8::7", None, Some(Transport::Tls)),
            ("sip:peer:5060", "peer", Some(5060), None),
            ("sips:peer", "peer", None, Some(Transport::Tls)),
            ("sips:peer:5061;transport=tcp", "peer", Some(5061), Some(Transport::Tls)),
        ] {
            let target = SipTarget { host: host.to_owned(), port, transport };
            assert_eq!(sip_target(text), Ok(target), "{text}");
        }
        for (text, why) in [
            ("127.0.0.1:5070", "write sip:HOST:PORT"),
            ("sip:", "neither a host name"),
            ("sip:host:0", "1 to 65535"),
            ("sip:host:+5", "1 to 65535"),
            ("sip:host:70000", "1 to 65535"),
            ("sip:host:", "1 to 65535"),
            ("sip:::1", "in brackets"),
            ("sip:[::1", "not closed"),
            ("sip:[::1]5060", "only :PORT"),
            ("sip:[fe80::1%eth0]", "not an IPv6 address"),
            ("sip:300.1.1.1", "neither a host name"),
            ("sip:0x7f000001", "neither a host name"),
            ("sip:a_b.example", "neither a host name"),
            ("sip:0.0.0.0", "no peer has"),
            ("sip:acme@host", "no user part"),
            ("sip:host?Subject=x", "header fields"),
            ("sip:host;transport=sctp", "sctp is not supported"),
            ("sips:host;transport=udp", "sips: is encrypted"),
            ("sip:host;lr", "only parameter is transport"),
            ("sip:host;transport=udp;transport=udp", "once"),
            ("sip:host\r\nX: 1", "neither a host name"),
        ] {
            let complaint = sip_target(text).unwrap_err();
            assert!(complaint.contains(why), "{text}: {complaint}");
        }
    }

    #[test]
    fn sip_listeners_are_read_strictly() {
        let hop = |transport, address: &str| Hop { transport, address: address.parse().unwrap() };
        for (text, expected) in [
            ("udp:127.0.0.1:0", hop(Transport::Udp, "127.0.0.1:0")),
            ("tcp:[::1]:5060", hop(Transport::Tcp, "[::1]:5060")),
            ("tls:192.0.2.1:5061", hop(Transport::Tls, "192.0.2.1:5061")),
        ] {
            assert_eq!(sip_listener(text), Ok(expected), "{text}");
        }
        for (text, why) in [
            ("ws:127.0.0.1:5060", "ws is not supported"),
            ("127.0.0.1:5060", "write udp:ADDRESS:PORT"),
            ("udp:::1:5060", "tls:[::1]:5061"),
            ("udp:localhost:5060", "write udp:ADDRESS:PORT"),
        ] {
            let complaint = sip_listener(text).unwrap_err();
            assert!(complaint.contains(why), "{text}: {complaint}");
        }
    }

    #[test]
    fn web_addresses_are_read_strictly_and_shown_without_paths() {
        let web_of = |text: &str| web(text).unwrap();
        assert!(web_of("https://idp.example.com/hooks?a=b").has_query);
        assert!(!web_of("http://127.0.0.1:9000/x").encrypted);
        for host in
            ["127.0.0.1", "10.1.2.3", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "localhost"]
        {
            assert!(is_private(&web_of(&format!("https://{host}/")).host), "{host}");
        }
        for host in ["idp.example.com", "8.8.8.8", "[2606:4700::1]"] {
            assert!(!is_private(&web_of(&format!("https://{host}/")).host), "{host}");
        }
        for bad in [
            "ftp://host/",
            "https://",
            "https:///x",
            "https://u:p@host/",
            "https://host/#x",
            "https://host\\@evil/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://host/ x",
        ] {
            assert!(web(bad).is_err(), "{bad}");
        }
        assert_eq!(shown("https://idp.example.com/t/canary"), "\"https://idp.example.com/…\"");
        assert!(!shown("https://u:canary@host/").contains("canary"));
        assert!(!shown("canary").contains("canary"));
    }

    #[test]
    fn listeners_overlap_on_one_port() {
        let overlaps = |a: &str, b: &str| overlap(a.parse().unwrap(), b.parse().unwrap());
        assert!(overlaps("127.0.0.1:80", "127.0.0.1:80"));
        assert!(overlaps("0.0.0.0:80", "127.0.0.1:80"));
        assert!(!overlaps("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!overlaps("127.0.0.1:0", "127.0.0.1:0"));
    }
}
