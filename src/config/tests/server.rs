//! Where the API listens, and what must be written before others may reach it.

use super::*;

/// Before [`good`].
fn told(server: &str) -> Result<Loaded, String> {
    let text = format!("{server}\n{}", good());
    let folder = trunks::folder();
    parse(&text, "o.toml", folder.path(), |_| None).map_err(|complaints| complaints.to_string())
}

#[test]
fn nobody_else_reaches_it_without_tls_and_a_secret() {
    const SECRET: &str = "[store]\nsecret = 'canary_0123456789abcdef0123456789abcdef'";
    const TLS: &str = "tls_certificate = 'octothorpe.pem'\ntls_key = 'octothorpe.key'";
    for (address, is_open) in [
        ("127.0.0.1:0", false),
        ("[::1]:0", false),
        ("0.0.0.0:0", true),
        ("[::]:0", true),
        ("10.0.0.5:0", true),
        ("203.0.113.20:0", true),
    ] {
        let listen = format!("[server]\napi_listen = '{address}'");
        let bare = told(&listen);
        assert_eq!(bare.is_err(), is_open, "{address}");
        for fitting in [
            format!("{listen}\n{TLS}\n{SECRET}"),
            format!("{listen}\ninsecure_http = true\n{SECRET}"),
        ] {
            assert!(told(&fitting).is_ok(), "{fitting}");
        }
        let Err(told_of) = bare else { continue };
        let value =
            format!("o.toml:2: server.api_listen = \"{address}\": other machines can reach this");
        for part in [
            &value,
            "tls_certificate = \"FILE\"",
            "insecure_http = true",
            "o.toml: store.secret: it is missing, and api_listen",
            "openssl rand",
        ] {
            assert!(told_of.contains(part), "{part}: {told_of}");
        }
        let without_secret = told(&format!("{listen}\n{TLS}")).unwrap_err();
        assert_eq!(without_secret.lines().count(), 1, "{without_secret}");
        let without_tls = told(&format!("{listen}\n{SECRET}")).unwrap_err();
        assert_eq!(without_tls.lines().count(), 1, "{without_tls}");
    }
    let admin = told("[server]\nadmin_listen = '0.0.0.0:0'").unwrap_err();
    assert!(admin.starts_with("o.toml:2: server.admin_listen"), "{admin}");
}

#[test]
fn each_mistake_of_a_listener_is_named() {
    for (keys, said) in [
        (
            "tls_key = 'octothorpe.key'",
            "o.toml:2: server.tls_certificate: the certificate is missing",
        ),
        ("tls_certificate = 'octothorpe.pem'", "o.toml:2: server.tls_key: the key is missing"),
        (
            "client_roots = 'roots.pem'",
            "o.toml:2: server.client_roots = \"roots.pem\": clients can show certificates under TLS alone",
        ),
        (
            "trusted_proxies = ['10.0.0.1/8']",
            "o.toml:2: server.trusted_proxies[0] = \"10.0.0.1/8\": the address has bits behind",
        ),
        (
            "trusted_proxies = ['::1', 'proxy']",
            "o.toml:2: server.trusted_proxies[1] = \"proxy\": write an IP address or a network",
        ),
        (
            "max_connections = 1",
            "o.toml:2: server.max_connections = 1: write a whole number from 16 to 100000",
        ),
        ("insecure_http = 'yes'", "o.toml:2: server.insecure_http = 'yes': this is of type string"),
    ] {
        let told = told(&format!("[server]\n{keys}")).unwrap_err();
        assert!(told.starts_with(said), "{told}");
    }
}

#[test]
fn what_is_written_of_a_listener_reaches_its_settings() {
    let loaded = told(
        "[server]\ntls_certificate = 'octothorpe.pem'\ntls_key = 'octothorpe.key'\n\
         client_roots = 'roots.pem'\ntrusted_proxies = ['10.0.0.0/8', '::1']\nmax_connections = 99",
    )
    .unwrap();
    let http = loaded.config.http;
    assert_eq!(http.max_connections, 99);
    let trusted: Vec<String> = http.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["10.0.0.0/8", "::1/128"]);
    let roots = http.tls.clone().and_then(|tls| tls.client_roots);
    assert!(roots.is_some_and(|roots| roots.starts_with(b"-----BEGIN")));
    assert!(http::Listening::new(http).is_ok());
}

/// Appended to [`good`], which has 7 lines: the first line here is line 8.
const MISTAKES: &[Row] = &[
    (
        "[server]\napi_listen = 'localhost:80'",
        &["o.toml:9: server.api_listen = \"localhost:80\": write an IP address and a port"],
    ),
    (
        "[server]\nadmin_listen = '::1:80'",
        &["o.toml:9: server.admin_listen = \"::1:80\": ", "[::1]:8080", "or \"off\""],
    ),
    (
        "[server]\napi_listen = '127.0.0.1:9'\nadmin_listen = '0.0.0.0:9'",
        &[
            "o.toml:10: server.admin_listen = \"0.0.0.0:9\": api_listen (127.0.0.1:9) takes this port already",
        ],
    ),
    (
        "[server]\napi_listen = '127.0.0.1:8081'",
        &["o.toml:9: server.admin_listen = \"127.0.0.1:8081\": api_listen"],
    ),
    (
        "[server]\npublic_url = 'verify.example.com'",
        &["o.toml:9: server.public_url = \"…\": write an address that begins with https://"],
    ),
    (
        "[server]\npublic_url = 'https://v.example/?a=b'",
        &["o.toml:9: server.public_url = \"https://v.example/…\": leave out \"?\""],
    ),
    (
        "[server]\napi_lisen = 'x'",
        &[
            "o.toml:9: server.api_lisen: no such key; did you mean \"api_listen\"? (known here: api_listen, admin_listen, tls_certificate, tls_key, client_roots, insecure_http, trusted_proxies, max_connections, public_url, verdict_key)",
        ],
    ),
    ("[sever]\nx = 1", &["o.toml:8: sever: no such key; did you mean \"server\"?"]),
    (
        "[server]\napi_listen = 8080",
        &["o.toml:9: server.api_listen = 8080: this is of type integer: write a string, in quotes"],
    ),
    ("[server]\napi_listen = 127", &["o.toml:9: server.api_listen = 127: "]),
    (
        "[server]\napi_listen = a",
        &["o.toml:9: api_listen: this is not TOML: string values must be quoted"],
    ),
    (
        "[server]\napi_listen = 'a'\napi_listen = 'b'",
        &["o.toml:10: api_listen: this is not TOML: duplicate key"],
    ),
];

#[test]
fn each_mistake_in_the_server_s_table_is_named() {
    each_is_told(MISTAKES);
}
