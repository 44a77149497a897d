//! `[server]`: where to listen, what to show there, whom to believe.

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::address::{is_loopback, network, overlap, shown, web};
use super::complaint::quoted;
use super::pem;
use super::raw::{self, Raw};
use super::reader::{At, Place, Reader};
use crate::gateway::settings::TlsIdentity;
use crate::http::Tls;

/// The most keys of verdicts: whoever exchanges one each quarter has 25 years.
const VERDICT_KEYS: u32 = 100;

/// `[server]`.
pub(super) struct Server {
    pub(super) api_listen: At<SocketAddr>,
    pub(super) admin_listen: Option<SocketAddr>,
    pub(super) tls: Option<Tls>,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) max_connections: usize,
    /// Without a slash at its end.
    pub(super) public_url: Option<At<PublicUrl>>,
    pub(super) verdict_key: u32,
}

/// Where providers call back.
pub(super) struct PublicUrl {
    pub(super) url: String,
    pub(super) encrypted: bool,
    /// Only this machine can call it.
    pub(super) loopback: bool,
}

pub(super) fn server(reader: &mut Reader<'_>, written: &Raw, defaults: &Raw) -> Server {
    let (raw, default) = (&written.server, &defaults.server);
    let api =
        reader.text("server.api_listen", raw.api_listen.as_ref(), default.api_listen.as_ref());
    let admin = reader.text(
        "server.admin_listen",
        raw.admin_listen.as_ref(),
        default.admin_listen.as_ref(),
    );
    let api = api.and_then(|text| listener(reader, "server.api_listen", &text, ""));
    let off = ", or \"off\"";
    let admin = admin
        .filter(|text| text.value != "off")
        .and_then(|text| listener(reader, "server.admin_listen", &text, off));
    if let (Some(api), Some(admin)) = (&api, &admin)
        && overlap(api.value, admin.value)
    {
        let place = admin.place.or(api.place);
        let message = format!("api_listen ({}) takes this port already: write another", api.value);
        let value = quoted(&admin.value.to_string());
        reader.complain(place, "server.admin_listen", Some(value), message);
    }
    if let Some(admin) = admin.as_ref().filter(|admin| is_open(admin)) {
        let value = quoted(&admin.value.to_string());
        let message = "the operator pages can be reached from other machines, by keys of scope \
                       \"admin\": let a firewall or a proxy decide from which";
        reader.warn(admin.place, "server.admin_listen", Some(value), message);
    }
    let tls = tls(reader, written, defaults);
    let insecure = reader.layered(
        "server.insecure_http",
        raw.insecure_http.as_ref(),
        default.insecure_http.as_ref(),
        |text| text.parse().ok(),
        "write true or false",
    );
    let insecure = insecure.is_some_and(|it| it.value);
    let listeners = [("server.api_listen", api.as_ref()), ("server.admin_listen", admin.as_ref())];
    for (key, listener) in listeners {
        let open = listener.filter(|listener| is_open(listener));
        if let (Some(listener), None) = (open, &tls) {
            in_clear(reader, key, listener, insecure);
        }
    }
    if let Some(api) = api.as_ref().filter(|api| is_open(api)) {
        needs_secret(reader, written, api);
    }
    let public_url =
        reader.text("server.public_url", raw.public_url.as_ref(), default.public_url.as_ref());
    let public_url = public_url.map(|url| public(reader, &url));
    let verdict_key = reader.number(
        "server.verdict_key",
        raw.verdict_key.as_ref(),
        default.verdict_key.as_ref(),
        1,
        VERDICT_KEYS,
    );
    let max_connections = reader.number(
        "server.max_connections",
        raw.max_connections.as_ref(),
        default.max_connections.as_ref(),
        16,
        100_000,
    );
    // Port 0 stands in for an address that could not be read: it is in nobody's way.
    let nowhere = At { value: SocketAddr::from(([127, 0, 0, 1], 0)), place: Place::Default(1) };
    Server {
        api_listen: api.unwrap_or(nowhere),
        admin_listen: admin.map(|admin| admin.value),
        tls,
        trusted_proxies: trusted_proxies(reader, raw),
        max_connections: max_connections.and_then(|n| usize::try_from(n).ok()).unwrap_or_default(),
        public_url,
        verdict_key: verdict_key.unwrap_or(1),
    }
}

/// Whether other machines can reach it.
fn is_open(listener: &At<SocketAddr>) -> bool {
    !listener.value.ip().to_canonical().is_loopback()
}

/// What both listeners show, and by which roots clients may show who they are.
fn tls(reader: &mut Reader<'_>, written: &Raw, defaults: &Raw) -> Option<Tls> {
    let (raw, default) = (&written.server, &defaults.server);
    let certificate = reader.text(
        "server.tls_certificate",
        raw.tls_certificate.as_ref(),
        default.tls_certificate.as_ref(),
    );
    let key = reader.text("server.tls_key", raw.tls_key.as_ref(), default.tls_key.as_ref());
    let is_written = certificate.is_some() || key.is_some();
    let roots = reader.text(
        "server.client_roots",
        raw.client_roots.as_ref(),
        default.client_roots.as_ref(),
    );
    if let (Some(roots), false) = (&roots, is_written) {
        let message = "clients can show certificates under TLS alone: write tls_certificate = \
                       \"FILE\" and tls_key = \"FILE\", too";
        reader.complain(roots.place, "server.client_roots", Some(quoted(&roots.value)), message);
    }
    let client_roots = roots.and_then(|roots| pem::written(reader, "server.client_roots", &roots));
    let identity = pem::identity(reader, "server", certificate, key);
    // Complained of already: it is not in the clear.
    let stand_in = || TlsIdentity { chain: Arc::from([]), key: Arc::default() };
    let identity = identity.or_else(|| is_written.then(stand_in))?;
    Some(Tls { identity, client_roots })
}

/// A listener that others reach, without TLS.
fn in_clear(reader: &mut Reader<'_>, key: &str, listener: &At<SocketAddr>, insecure: bool) {
    let value = Some(quoted(&listener.value.to_string()));
    if insecure {
        let message = "keys and codes come here without encryption: only a proxy that ends TLS should \
                       reach this address";
        reader.warn(listener.place, key, value, message);
        return;
    }
    let message = "other machines can reach this address, and there is no TLS: write tls_certificate = \
                   \"FILE\" and tls_key = \"FILE\" in [server]; or listen on 127.0.0.1 behind a proxy \
                   that ends TLS; or write insecure_http = true where nobody can read along";
    reader.complain(listener.place, key, value, message);
}

/// Whoever serves others has written what codes are derived from.
fn needs_secret(reader: &mut Reader<'_>, written: &Raw, api: &At<SocketAddr>) {
    if written.store.secret.is_none() {
        let message = format!(
            "it is missing, and api_listen ({}) can be reached from other machines: codes would be derived \
             from a key that lies beside the data; write secret = \"env:NAME\" in [store] (`openssl rand \
             -hex 32` makes one)",
            api.value
        );
        reader.complain_of_file("store.secret", message);
    }
}

fn trusted_proxies(reader: &mut Reader<'_>, raw: &raw::Server) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (i, written) in raw.trusted_proxies.iter().enumerate() {
        let text = written.get_ref();
        match network(text) {
            Ok(network) => networks.push(network),
            Err(why) => {
                let key = format!("server.trusted_proxies[{i}]");
                reader.complain(reader.place(written), &key, Some(quoted(text)), why);
            }
        }
    }
    networks
}

fn listener(
    reader: &mut Reader<'_>,
    key: &str,
    text: &At<String>,
    or: &str,
) -> Option<At<SocketAddr>> {
    if let Ok(value) = text.value.parse() {
        return Some(At { value, place: text.place });
    }
    let message = format!(
        "write an IP address and a port, as 127.0.0.1:8080 or [::1]:8080 (port 0 lets the system \
         choose){or}"
    );
    reader.complain(text.place, key, Some(quoted(&text.value)), message);
    None
}

fn public(reader: &mut Reader<'_>, url: &At<String>) -> At<PublicUrl> {
    let key = "server.public_url";
    // What stands in for an address that could not be read is nothing that more could be said of.
    let stand_in = PublicUrl { url: String::new(), encrypted: true, loopback: false };
    let value = match web(&url.value) {
        Ok(web) if web.has_query => {
            let message = "leave out \"?\" and what follows: paths are added to this address";
            reader.complain(url.place, key, Some(shown(&url.value)), message);
            stand_in
        }
        Ok(web) => {
            if !web.encrypted {
                let message = "providers will call back without encryption: write https://";
                reader.warn(url.place, key, Some(shown(&url.value)), message);
            }
            PublicUrl {
                url: url.value.trim_end_matches('/').to_owned(),
                encrypted: web.encrypted,
                loopback: is_loopback(&web.host),
            }
        }
        Err(why) => {
            reader.complain(url.place, key, Some(shown(&url.value)), why);
            stand_in
        }
    };
    At { value, place: url.place }
}
