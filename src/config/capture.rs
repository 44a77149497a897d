//! `[capture]`: who is told of the SIP messages of calls.

use std::net::IpAddr;

use super::complaint::quoted;
use super::raw::Raw;
use super::reader::Reader;
use super::routing::secret;
use crate::gateway::settings::HepSettings;

/// Where HEP goes, if it goes anywhere.
pub(super) fn hep(reader: &mut Reader<'_>, written: &Raw, defaults: &Raw) -> Option<HepSettings> {
    let (raw, default) = (&written.capture, &defaults.capture);
    let (key, by_default) = ("capture.hep_id", default.hep_id.as_ref());
    let id = reader.number(key, raw.hep_id.as_ref(), by_default, 0, u32::MAX);
    let password = raw.hep_password.as_ref().and_then(|it| {
        secret(reader, reader.place(it), "capture.hep_password", it.get_ref().expose())
    });
    let to = reader.text("capture.hep", raw.hep.as_ref(), default.hep.as_ref());
    let to = to.filter(|it| !it.value.is_empty())?;
    let Some((host, port)) = host_and_port(&to.value) else {
        let message = "write HOST:PORT, as homer.example.net:9060 or [2001:db8::9]:9060";
        reader.complain(to.place, "capture.hep", Some(quoted(&to.value)), message);
        return None;
    };
    Some(HepSettings { host, port, id: id.unwrap_or_default(), password })
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fits = match in_brackets {
        Some(host) => host.parse().is_ok_and(|ip: IpAddr| ip.is_ipv6()),
        None => {
            let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(is_of_name)
        }
    };
    fits.then(|| (in_brackets.unwrap_or(host).to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_a_host_and_a_port() {
        for (text, host) in [
            ("homer.example.net:9060", "homer.example.net"),
            ("192.0.2.9:9060", "192.0.2.9"),
            ("[2001:db8::9]:9060", "2001:db8::9"),
        ] {
            assert_eq!(host_and_port(text), Some((host.to_owned(), 9060)), "{text}");
        }
        for bad in
            ["homer", "homer:", "homer:0", ":9060", "udp:homer:9060", "2001:db8::9:9060", "[x]:1"]
        {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }
}
