//! Keys with terms, and what can be wrong with them.

use super::*;
use crate::access::{Scope, Terms};
use crate::ambient::Timestamp;

const OTHER: &str = "canary_other_0123456789012345678901234";

/// The public key of RFC 8037, Appendix A.2, as an issuer publishes it, beside one that checks nothing.
pub(super) const ISSUER: &str = r#"{"keys": [{"kty": "oct", "kid": "s", "k": "c2VjcmV0"},
    {"kty": "OKP", "crv": "Ed25519", "kid": "one", "use": "sig",
     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// A configuration whose tenant on line 1 has this key.
fn with(key: &str) -> String {
    format!("[[tenants]]\nname = 'acme'\napi_keys = ['{KEY}', {key}]\nvoice_countries = ['US']\n")
}

#[test]
fn a_plain_key_opens_all_but_the_operators_listener_and_a_table_says_more() {
    let key = format!(
        "{{ key = '{OTHER}', scopes = ['read', 'check'], expires = '2099-06-30', \
         allow = ['10.0.0.0/8', '::1'] }}"
    );
    let loaded = parsed(&with(&key)).unwrap();
    let keys = &loaded.config.gateway.tenants[0].keys;
    assert_eq!((&keys[0].terms.scopes, keys[0].terms.expires), (&Scope::usual(), None));
    let terms = &keys[1].terms;
    assert_eq!(terms.scopes, [Scope::Check, Scope::Read].into());
    assert_eq!(terms.expires, Timestamp::from_rfc3339("2099-06-30T23:59:59.999999Z"));
    assert_eq!(
        terms.allow.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "::1/128"]
    );
    assert!(!seen(&Ok(loaded)).contains("canary"));
}

#[test]
fn mistakes_in_keys_are_told_by_their_place() {
    let key = |more: &str| format!("{{ key = '{OTHER}', {more} }}");
    for (key, told) in [
        ("{ scopes = ['read'] }".to_owned(), "api_keys[1].key: the key is missing"),
        (
            key("scopes = ['raed']"),
            "api_keys[1].scopes[0] = \"raed\": there is no such scope: write one of start, check, read, cancel, admin; did you mean \"read\"?",
        ),
        (key("scopes = []"), "api_keys[1].scopes: no scope is written"),
        (key("expires = 'soon'"), "api_keys[1].expires = \"soon\": write a day or a time in UTC"),
        (
            key("allow = ['10.0.0.1/8']"),
            "api_keys[1].allow[0] = \"10.0.0.1/8\": the address has bits behind",
        ),
        (key("allow = []"), "api_keys[1].allow: no address is written"),
        (key("scope = ['read']"), "no such key; did you mean \"scopes\"?"),
        ("{ key = 'canary' }".to_owned(), "api_keys[1]: the key has 6 of the 32 characters"),
        (
            format!("{{ key = '{KEY}' }}"),
            "api_keys[1]: tenants[0].api_keys[0] on line 3 is the same key",
        ),
        (
            "7".to_owned(),
            "this is of type integer: write \"env:NAME\", or { key = \"env:NAME\", scopes = [\"check\"] }",
        ),
    ] {
        let result = parsed(&with(&key));
        let spoken = seen(&result);
        assert!(result.is_err() && spoken.contains("o.toml:3: "), "{key}: {spoken}");
        let spoken = complaints(&with(&key));
        assert!(spoken.contains(told), "{key}: {spoken}");
        assert!(!seen(&result).contains("canary"), "{key}: {spoken}");
    }
    let loaded = parsed(&with(&key("expires = '2020-01-01'"))).unwrap();
    let spoken = Complaints(loaded.warnings).to_string();
    assert!(
        spoken.contains("api_keys[1].expires = \"2020-01-01\": the key has expired"),
        "{spoken}"
    );
}

#[test]
fn tokens_stand_in_for_keys_and_mistakes_in_them_are_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("issuer.json"), ISSUER).unwrap();
    std::fs::write(folder.path().join("none.json"), r#"{"keys": []}"#).unwrap();
    let with =
        |jwt: &str| format!("[[tenants]]\nname = 'acme'\njwt = {jwt}\nvoice_countries = ['US']\n");
    let read = |jwt: &str| parse(&with(jwt), "o.toml", folder.path(), |_| None);
    let good = "issuer = 'https://idp.example', audience = 'verify'";
    let whole = format!(
        "{{ {good}, jwks = 'file:issuer.json', subject = 'svc', scopes = ['check'], claim = 'scope' }}"
    );
    let loaded = read(&whole).unwrap();
    let tokens = loaded.config.gateway.tenants[0].tokens.as_ref().unwrap();
    assert_eq!(tokens.rules.scopes, [Scope::Check].into());
    assert_eq!(format!("{:?}", tokens.keys), "File([\"one\"])");
    for url in ["https://idp.example/keys", "http://127.0.0.1:9/keys"] {
        read(&format!("{{ {good}, jwks = '{url}' }}")).unwrap();
    }
    for (jwt, told) in [
        (format!("{{ {good} }}"), "tenants[0].jwt.jwks: it is missing"),
        (format!("{{ {good}, jwks = 'http://idp.example/keys' }}"), "keys come by https://"),
        (format!("{{ {good}, jwks = 'file:none.json' }}"), "it has no key with a kid"),
        (format!("{{ {good}, jwks = 'file:nowhere.json' }}"), "cannot be read"),
        (format!("{{ {good}, jwks = 'file:issuer.json', scopes = ['x'] }}"), "no such scope"),
        ("{ jwks = 'file:issuer.json' }".to_owned(), "tenants[0].jwt.issuer: it is missing"),
        (format!("{{ {good}, key = 'x' }}"), "no such key"),
    ] {
        let spoken = read(&jwt).map(|_| ()).unwrap_err().to_string();
        assert!(spoken.contains(told) && spoken.contains("o.toml:3: "), "{jwt}: {spoken}");
    }
}

#[test]
fn certificates_stand_in_for_keys_and_mistakes_in_their_names_are_told() {
    let folder = trunks::folder();
    let read = |server: &str, names: &str| {
        let text = format!(
            "[server]\n{server}[[tenants]]\nname = 'acme'\nvoice_countries = ['US']\nclient_names = {names}\n"
        );
        parse(&text, "o.toml", folder.path(), |_| None)
    };
    const MTLS: &str = "tls_certificate = 'octothorpe.pem'\ntls_key = 'octothorpe.key'\n\
                        client_roots = 'client-roots.pem'\n";
    let names = "['Login.acme.example', { name = 'spiffe://acme/batch', scopes = ['read'], \
                 allow = ['10.0.0.0/8'] }]";
    let loaded = read(MTLS, names).unwrap();
    let clients = &loaded.config.gateway.tenants[0].clients;
    assert_eq!(clients[0].name.as_str(), "login.acme.example");
    assert_eq!(clients[0].terms, Terms::default());
    assert_eq!(clients[1].terms.scopes, [Scope::Read].into());
    assert_eq!(clients[1].terms.allow.len(), 1);
    for (names, told) in [
        (
            "['*.acme.example']",
            "client_names[0] = \"*.acme.example\": a certificate is known by a whole name",
        ),
        ("['10.0.0.1']", "client_names[0] = \"10.0.0.1\": write a name as the certificate has it"),
        ("['a.example', 'A.example']", "tenants[0].client_names[0] on line 8 is the same name"),
        ("[{ scopes = ['read'] }]", "client_names[0].name: the name is missing"),
        ("[{ name = 'a', scopes = ['raed'] }]", "did you mean \"read\"?"),
        ("[{ name = 'a', expires = 'soon' }]", "no such key (known here: name, scopes, allow)"),
        ("[7]", "write the name of a certificate, in quotes, or { name = "),
    ] {
        let spoken = read(MTLS, names).map(|_| ()).unwrap_err().to_string();
        assert!(spoken.contains(told) && spoken.starts_with("o.toml:8: "), "{names}: {spoken}");
    }
    let spoken = read("", "['a.example']").map(|_| ()).unwrap_err().to_string();
    let told = "o.toml:5: tenants[0].client_names: no client is asked for a certificate: write \
                client_roots = \"FILE\" in [server]";
    assert!(spoken.starts_with(told), "{spoken}");
}
