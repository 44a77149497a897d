//! The address guard: where events may go. A pure reading of a URL and a classification of addresses;
//! who resolves and dials is the courier.
//!
//! A tenant's URL is a stranger's word about where this machine connects to. So a URL is taken only as
//! it will be read by whoever dials it (no `user@`, no address in another notation), only by `https`, at
//! a port where web servers are, and every address that its name leads to must be a public one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// The ports that need no leave.
pub const PORTS: [u16; 2] = [443, 8443];

/// How far a tenant's events may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// To addresses of private networks and of this machine too, there by `http` as well, and at any
    /// port.
    pub private: bool,
    /// More ports than [`PORTS`].
    pub ports: Vec<u16>,
}

/// Why an address is not one that events go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not a URL at all.
    #[error("it is not a URL: write https://HOST/PATH")]
    Unreadable,
    /// By another scheme.
    #[error("events go by https:// alone")]
    Scheme,
    /// With user or password.
    #[error("leave out the user and password before \"@\": an address is no place for a secret")]
    User,
    /// With a fragment.
    #[error("leave out the fragment (# and what follows): it is never sent")]
    Fragment,
    /// One reader may see another host than the next.
    #[error("write the host as a name or an address in its usual form, and the port in digits")]
    Spelling,
    /// A port of other services.
    #[error("events go to the ports 443, 8443 and those of webhook_ports, not to {0}")]
    Port(u16),
    /// An address that only machines nearby can reach.
    #[error("its address lies in a private network")]
    Private,
    /// An address that no receiver has: of the link, of a group, of documents, of a tunnel.
    #[error("its address is not one that a receiver has")]
    Nowhere,
    /// By `http` over the Internet.
    #[error("events go by http:// within a private network alone")]
    InClear,
}

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Of the public Internet.
    Public,
    /// Of this machine or a private network.
    Private,
    /// Of neither, or another address in disguise.
    Nowhere,
}

/// Reads a URL that events are to go to. What it says of its host is judged here, as far as that is
/// an address; where a name leads is judged by [`admit`] each time it is resolved.
///
/// # Errors
/// Why nothing is sent there.
pub fn read(text: &str, bounds: &Bounds) -> Result<Url, Unfit> {
    let url = Url::parse(text).map_err(|_| Unfit::Unreadable)?;
    let encrypted = match url.scheme() {
        "https" => true,
        "http" if bounds.private => false,
        _ => return Err(Unfit::Scheme),
    };
    let authority = authority(text).ok_or(Unfit::Unreadable)?;
    if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
        return Err(Unfit::User);
    }
    if url.fragment().is_some() {
        return Err(Unfit::Fragment);
    }
    let host = url.host_str().ok_or(Unfit::Unreadable)?;
    let port = url.port_or_known_default().ok_or(Unfit::Unreadable)?;
    // What a parser makes of `0x7f000001`, `127.1`, `a\@b` or a tab is what it was not written as.
    let written = authority.to_ascii_lowercase();
    if written != host && written != format!("{host}:{port}") {
        return Err(Unfit::Spelling);
    }
    if !bounds.private && !PORTS.contains(&port) && !bounds.ports.contains(&port) {
        return Err(Unfit::Port(port));
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) => admit(ip, encrypted, bounds.private)?,
        Err(_) if !bounds.private && is_local(host) => return Err(Unfit::Private),
        Err(_) => {}
    }
    Ok(url)
}

/// Whether an address may be dialled, by `https` or not.
///
/// # Errors
/// Why not.
pub const fn admit(ip: IpAddr, encrypted: bool, private: bool) -> Result<(), Unfit> {
    match class(ip) {
        Class::Public if encrypted => Ok(()),
        Class::Public => Err(Unfit::InClear),
        Class::Private if private => Ok(()),
        Class::Private => Err(Unfit::Private),
        Class::Nowhere => Err(Unfit::Nowhere),
    }
}

/// What stands between `://` and the path, as it was written.
fn authority(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    rest.split(['/', '?', '#']).next()
}

/// RFC 6761 § 6.3: "Users may assume that IPv4 and IPv6 address queries for localhost names will always
/// resolve to the respective IP loopback address."
fn is_local(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    name == "localhost" || name.ends_with(".localhost")
}

const fn class(ip: IpAddr) -> Class {
    match ip {
        IpAddr::V4(ip) => class_v4(ip),
        IpAddr::V6(ip) => class_v6(ip),
    }
}

/// By IANA's registry of special-purpose addresses (RFC 6890).
const fn class_v4(ip: Ipv4Addr) -> Class {
    match ip.octets() {
        // Loopback; private use (RFC 1918); between a carrier and its customers (RFC 6598).
        [127, ..] | [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
            Class::Private
        }
        // This network; the link, where clouds keep their secrets; protocols; documents (RFC 5737);
        // relays of 6to4 (RFC 7526); benchmarks (RFC 2544); groups; nobody, and everybody.
        [0, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => Class::Nowhere,
        [_, _, _, _] => Class::Public,
    }
}

/// Global unicast alone (2000::/3), and of that no prefix that embeds another address or stands for none.
const fn class_v6(ip: Ipv6Addr) -> Class {
    match ip.segments() {
        // Loopback; unique local (RFC 4193).
        [0, 0, 0, 0, 0, 0, 0, 1] | [0xfc00..=0xfdff, ..] => Class::Private,
        // NAT64 (RFC 6052): what a machine without IPv4 sees of a receiver without IPv6. Of the
        // addresses behind it only public ones can be meant. The prefix of one's own (RFC 8215) does
        // not say where in it the address stands.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            match class_v4(Ipv4Addr::new(a, b, c, d)) {
                Class::Public => Class::Public,
                Class::Private | Class::Nowhere => Class::Nowhere,
            }
        }
        // Protocols, Teredo and benchmarks (RFC 2928, 4380, 5180); documents (RFC 3849, 9637); 6to4.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x2002, ..] => {
            Class::Nowhere
        }
        [0x2000..=0x3fff, ..] => Class::Public,
        // Mapped and compatible IPv4, the link, groups, and what is not given out.
        [_, _, _, _, _, _, _, _] => Class::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: Bounds = Bounds { private: true, ports: Vec::new() };

    fn public() -> Bounds {
        Bounds::default()
    }

    #[test]
    fn every_range_is_what_it_is() {
        for (range, class_of) in [
            // The first and the last of each, and their neighbours.
            ("0.0.0.0 0.255.255.255", Class::Nowhere),
            ("1.0.0.0 9.255.255.255", Class::Public),
            ("10.0.0.0 10.255.255.255", Class::Private),
            ("11.0.0.0 100.63.255.255", Class::Public),
            ("100.64.0.0 100.127.255.255", Class::Private),
            ("100.128.0.0 126.255.255.255", Class::Public),
            ("127.0.0.0 127.255.255.255", Class::Private),
            ("128.0.0.0 169.253.255.255", Class::Public),
            ("169.254.0.0 169.254.169.254 169.254.255.255", Class::Nowhere),
            ("169.255.0.0 172.15.255.255", Class::Public),
            ("172.16.0.0 172.31.255.255", Class::Private),
            ("172.32.0.0 191.255.255.255", Class::Public),
            ("192.0.0.0 192.0.0.255 192.0.2.0 192.0.2.255", Class::Nowhere),
            ("192.0.1.0 192.0.1.255 192.0.3.0 192.88.98.255", Class::Public),
            ("192.88.99.0 192.88.99.255", Class::Nowhere),
            ("192.88.100.0 192.167.255.255", Class::Public),
            ("192.168.0.0 192.168.255.255", Class::Private),
            ("192.169.0.0 198.17.255.255", Class::Public),
            ("198.18.0.0 198.19.255.255 198.51.100.0 198.51.100.255", Class::Nowhere),
            ("198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255", Class::Public),
            ("203.0.113.0 203.0.113.255", Class::Nowhere),
            ("203.0.114.0 223.255.255.255", Class::Public),
            ("224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255", Class::Nowhere),
            ("::1 fc00:: fdff:ffff::1", Class::Private),
            ("2000::1 2001:200::1 2001:db7:: 2001:db9:: 2003:: 2606:4700::1111", Class::Public),
            ("3ffe::1 3fff:1000::1 64:ff9b::808:808", Class::Public),
            (":: ::7f00:1 ::808:808 ::ffff:127.0.0.1 ::ffff:8.8.8.8", Class::Nowhere),
            (
                "64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::808:808",
                Class::Nowhere,
            ),
            ("2001::1 2001:0:808:808:: 2001:2::1 2001:1ff::1 2001:db8::1", Class::Nowhere),
            ("2002:7f00:1:: 2002:808:808:: 3fff::1 3fff:fff::1", Class::Nowhere),
            ("1fff::1 4000::1 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1 fe00::1", Class::Nowhere),
        ] {
            for ip in range.split(' ') {
                assert_eq!(class(ip.parse().unwrap()), class_of, "{ip}");
            }
        }
    }

    #[test]
    fn a_url_is_taken_as_it_will_be_read_or_not_at_all() {
        for (url, why) in [
            ("https://127.0.0.1/", Unfit::Private),
            ("https://10.1.2.3/hooks", Unfit::Private),
            ("https://100.64.0.1/", Unfit::Private),
            ("https://[::1]/", Unfit::Private),
            ("https://[fd00::1]/", Unfit::Private),
            ("https://localhost/", Unfit::Private),
            ("https://localhost./", Unfit::Private),
            ("https://a.LOCALHOST:8443/", Unfit::Private),
            ("https://169.254.169.254/latest/meta-data", Unfit::Nowhere),
            ("https://0.0.0.0/", Unfit::Nowhere),
            ("https://[::]/", Unfit::Nowhere),
            ("https://[fe80::1]/", Unfit::Nowhere),
            ("https://[64:ff9b::7f00:1]/", Unfit::Nowhere),
            ("https://[::ffff:7f00:1]/", Unfit::Nowhere),
            // Addresses in other notations, public ones too.
            ("https://[::ffff:127.0.0.1]/", Unfit::Spelling),
            ("https://0x7f000001/", Unfit::Spelling),
            ("https://2130706433/", Unfit::Spelling),
            ("https://0177.0.0.1/", Unfit::Spelling),
            ("https://127.1/", Unfit::Spelling),
            ("https://134744072/", Unfit::Spelling),
            ("https://127.0.0.1./", Unfit::Spelling),
            ("https://１２７.0.0.1/", Unfit::Spelling),
            ("https://%31%32%37.0.0.1/", Unfit::Spelling),
            ("https://[0:0:0:0:0:0:0:1]/", Unfit::Spelling),
            ("https://idp\t.example.com/", Unfit::Spelling),
            ("https://idp.example.com\\.evil.example/", Unfit::Spelling),
            ("https://idp.example.com:/", Unfit::Spelling),
            ("https://idp.example.com:0443/", Unfit::Spelling),
            ("https://münchen.example/", Unfit::Spelling),
            ("https:idp.example.com/", Unfit::Unreadable),
            ("https:///idp.example.com/", Unfit::Spelling),
            ("https://user@idp.example.com/", Unfit::User),
            ("https://:secret@idp.example.com/", Unfit::User),
            ("https://@idp.example.com/", Unfit::User),
            // A parser passes over slashes too many.
            ("https:///user@idp.example.com/", Unfit::User),
            ("https:///:secret@idp.example.com/", Unfit::User),
            ("https://idp.example.com\\@127.0.0.1/", Unfit::User),
            ("https://idp.example.com/#x", Unfit::Fragment),
            ("https://idp.example.com:25/", Unfit::Port(25)),
            ("https://idp.example.com:80/", Unfit::Port(80)),
            ("https://idp.example.com:6379/", Unfit::Port(6379)),
            ("http://idp.example.com/", Unfit::Scheme),
            ("ftp://idp.example.com/", Unfit::Scheme),
            ("file:///etc/passwd", Unfit::Scheme),
            ("gopher://127.0.0.1:25/", Unfit::Scheme),
            ("idp.example.com", Unfit::Unreadable),
            ("", Unfit::Unreadable),
        ] {
            assert_eq!(read(url, &public()), Err(why), "{url}");
        }
        for url in [
            "https://idp.example.com/hooks?a=b",
            "https://IDP.example.com:443/",
            "https://idp.example.com:8443",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]:8443/",
            "https://xn--mnchen-3ya.example/",
        ] {
            assert!(read(url, &public()).is_ok(), "{url}");
        }
    }

    #[test]
    fn more_ports_are_those_that_are_written() {
        let bounds = Bounds { private: false, ports: vec![9443] };
        assert!(read("https://idp.example.com:9443/", &bounds).is_ok());
        assert_eq!(read("https://idp.example.com:9444/", &bounds), Err(Unfit::Port(9444)));
        assert_eq!(read("https://10.0.0.1:9443/", &bounds), Err(Unfit::Private));
    }

    #[test]
    fn a_closed_network_is_reached_in_clear_and_nothing_beyond_it() {
        for url in [
            "http://127.0.0.1:9000/hooks",
            "http://localhost:9000/",
            "https://10.0.0.1:9000/",
            "http://[fd00::1]/",
            "http://idp.corp.example/",
            "https://8.8.8.8/",
        ] {
            assert!(read(url, &CLOSED).is_ok(), "{url}");
        }
        for (url, why) in [
            ("http://8.8.8.8/", Unfit::InClear),
            ("http://169.254.169.254/", Unfit::Nowhere),
            ("http://0.0.0.0/", Unfit::Nowhere),
            ("http://2130706433/", Unfit::Spelling),
            ("http://user@127.0.0.1/", Unfit::User),
            ("ftp://127.0.0.1/", Unfit::Scheme),
        ] {
            assert_eq!(read(url, &CLOSED), Err(why), "{url}");
        }
    }
}
