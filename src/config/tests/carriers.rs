//! `[[carriers]]` of every kind.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;
use crate::ambient::Timestamp;
use crate::carrier::smpp::{Alphabet, Ids, Numbering};
use crate::carrier::{Body, Order, What};
use crate::gateway::settings::{By, Provider};
use crate::verify::number::PhoneNumber;

pub(super) const PUBLIC: &str = "https://verify.example.com";

const PUBLIC_KEY: &str = "qCKwFhfV+1YvjDIQywZ80T70Yeo5P1GswsMDPigCsOc=";

/// Each kind, and the least that it needs.
const LEAST: &[(&str, &str)] = &[
    ("twilio", "account = 'AC0'\ntoken = 'env:T'\nfrom = '+12025550100'\n"),
    (
        "signalwire",
        "base_url = 'https://acme.signalwire.com'\naccount = 'p-0'\ntoken = 'env:T'\n\
         signing_key = 'env:T'\nfrom = '+12025550100'\n",
    ),
    (
        "telnyx-texml",
        "account = 'o-0'\ntoken = 'env:T'\napplication = '1'\nfrom = '+12025550100'\n\
         signing_key = 'qCKwFhfV+1YvjDIQywZ80T70Yeo5P1GswsMDPigCsOc='\n",
    ),
    (
        "telnyx",
        "api_key = 'env:T'\nfrom = '+12025550100'\n\
         public_key = 'qCKwFhfV+1YvjDIQywZ80T70Yeo5P1GswsMDPigCsOc='\n",
    ),
    (
        "vonage",
        "application_id = 'a-0'\nprivate_key = 'env:PEM'\napi_key = 'abcd1234'\n\
         signature_secret = 'env:T'\nfrom = '+12025550100'\n",
    ),
    ("http", "url = 'https://sms.example.com/send?to={to}&text={body}'\n"),
    (
        "smpp",
        "address = 'smsc.example.com'\nsystem_id = 'acme'\npassword = 'env:P'\n\
         from = '+12025550100'\n",
    ),
];

fn env(name: &str) -> Option<String> {
    match name {
        "T" => Some("canary-canary-canary".to_owned()),
        "P" => Some("canary".to_owned()),
        "WHSEC" => Some("whsec_Y2FuYXJ5LWNhbmFyeQ".to_owned()),
        "B64" => Some("Y2FuYXJ5LWNhbmFyeQ==".to_owned()),
        "BRACES" => Some("canary {&\"}".to_owned()),
        "PEM" => Some(include_str!("../../carrier/vonage/tests/key.pem").to_owned()),
        _ => None,
    }
}

/// [`good`] has 7 lines; then `[server]` on 8, its `public_url` on 9, `[[carriers]]` on 10, its name
/// on 11, its kind on 12, and from 13 on what is given.
pub(super) fn text(public_url: &str, kind: &str, keys: &str) -> String {
    let server = format!("[server]\npublic_url = '{public_url}'");
    format!("{}{server}\n[[carriers]]\nname = 'c'\nkind = '{kind}'\n{keys}", good())
}

pub(super) fn read(text: &str) -> Result<Loaded, Complaints> {
    parse(text, "o.toml", Path::new("/nowhere"), env)
}

fn least(kind: &str) -> &'static str {
    LEAST.iter().find(|(known, _)| *known == kind).unwrap().1
}

fn only(loaded: &Loaded) -> &Provider {
    &loaded.config.gateway.carriers[0]
}

/// The warnings besides that of the key that [`good`] has in the open.
fn warnings(loaded: &Loaded) -> String {
    let warnings = loaded.warnings.iter().filter(|it| !it.key.contains("api_keys"));
    Complaints(warnings.cloned().collect()).to_string()
}

#[test]
fn each_kind_is_read_with_the_least_it_needs() {
    for (kind, keys) in LEAST {
        let loaded = read(&text(PUBLIC, kind, keys)).unwrap();
        assert_eq!(warnings(&loaded), "", "{kind}");
        let brief = &loaded.carriers[0];
        assert_eq!((brief.name.as_str(), brief.kind), ("c", *kind));
        let reach = only(&loaded).reach();
        assert_eq!(reach.sms, *kind != "telnyx-texml", "{kind}");
        let calls = matches!(*kind, "twilio" | "signalwire" | "telnyx-texml" | "vonage");
        assert_eq!(reach.voice, calls, "{kind}");
        let shown = format!("{:?}", only(&loaded));
        assert!(!shown.contains("canary"), "{kind}: {shown}");
    }
    let at = |kind: &str| read(&text(PUBLIC, kind, least(kind))).unwrap().carriers[0].at.clone();
    assert_eq!(at("twilio"), "https://api.twilio.com");
    assert_eq!(at("telnyx-texml"), "https://api.telnyx.com");
    assert_eq!(at("telnyx"), "https://api.telnyx.com");
    assert_eq!(at("vonage"), "https://api.nexmo.com");
    assert_eq!(at("http"), "https://sms.example.com");
    assert_eq!(at("smpp"), "smsc.example.com:2775");
}

#[test]
fn what_a_kind_needs_is_missed() {
    for (kind, missing) in [
        ("twilio", &["account", "token"][..]),
        ("signalwire", &["base_url", "account", "token"]),
        ("telnyx-texml", &["account", "token"]),
        ("telnyx", &["api_key", "public_key", "from"]),
        ("vonage", &["application_id", "private_key", "api_key", "signature_secret", "from"]),
        ("http", &["url"]),
        ("smpp", &["address", "system_id", "password", "from"]),
    ] {
        let Err(Complaints(all)) = read(&text(PUBLIC, kind, "")) else { panic!("taken: {kind}") };
        let keys: Vec<&str> =
            all.iter().map(|it| it.key.strip_prefix("carriers[0].").unwrap()).collect();
        assert_eq!(keys, missing, "{kind}");
        for complaint in all {
            assert_eq!(complaint.line, Some(10), "{kind}: {complaint}");
            assert!(complaint.message.contains("it is missing: write "), "{kind}: {complaint}");
        }
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let spoken = complaints("[[carriers]]\nzzzzzzzzzz = 1\n");
    let (_, known) = spoken.split_once("(known here: ").unwrap();
    let known: Vec<&str> = known.trim_end_matches(')').split(", ").collect();
    let value = |key: &str| match key {
        "window" | "per_second" | "source_ton" | "source_npi" => "1",
        "enquire_secs" | "answer_secs" | "patience_secs" => "1",
        "machine_detection" => "true",
        "unclear" => "[]",
        "secrets" | "basic" | "headers" | "body" | "success" | "handle" | "receipts" => "{}",
        "inbound" | "guard" => "{}",
        _ => "'canary'",
    };
    let mut owned: Vec<&str> = vec!["name", "kind", "from"];
    for (kind, _) in LEAST {
        let (mut own, mut others) = (0, 0);
        for &key in known.iter().filter(|key| !["name", "kind", "from"].contains(key)) {
            let keys = format!("{key} = {}\n", value(key));
            let Err(Complaints(all)) = read(&text(PUBLIC, kind, &keys)) else {
                assert_eq!((*kind, key), ("http", "answer"));
                continue;
            };
            let refusal = format!("kind {kind} has no key {key}");
            let refused = all.iter().find(|it| it.message.starts_with(&refusal));
            if let Some(it) = refused {
                others += 1;
                assert_eq!((it.line, it.key.clone()), (Some(13), format!("carriers[0].{key}")));
                assert!(it.message.contains("(known here: name, kind, from, "), "{it}");
            } else {
                own += 1;
                owned.push(key);
            }
        }
        assert!(own > 5 && others > 5, "{kind}: {own} {others}");
    }
    for key in known {
        assert!(owned.contains(&key), "no kind has {key}");
    }
}

#[test]
fn whoever_calls_back_needs_a_public_address_that_is_encrypted() {
    let http = "url = 'https://h/s?t={to}&b={body}'\nfrom = '+12025550100'\n\
                guard = { header = 'X', secret = 'env:T' }\n\
                inbound = { id = 'i', from = 'f', text = 't' }\n";
    let calling = LEAST.iter().filter(|(kind, _)| !["http", "smpp"].contains(kind)).copied();
    for (kind, keys) in calling.chain([("http", http)]) {
        let nowhere = text("", kind, keys).replace("[server]\npublic_url = ''\n", "");
        let spoken = read(&nowhere).unwrap_err().to_string();
        let part = format!(
            "o.toml:10: carriers[0].kind = \"{kind}\": this carrier calls back, and nothing says \
             where: write server.public_url = \"https://…\""
        );
        assert_eq!(spoken, part);
        let open = read(&text("http://verify.example.com", kind, keys)).unwrap_err().to_string();
        let part = "o.toml:9: server.public_url = \"http://verify.example.com\": carriers call \
                    back (c), and whoever reads along could answer for a person: write https://";
        assert_eq!(open, part);
        for lab in ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost:8080"] {
            let loaded = read(&text(lab, kind, keys)).unwrap();
            assert!(warnings(&loaded).contains("call back without encryption"), "{kind} {lab}");
        }
        assert!(read(&text("http://10.0.0.1", kind, keys)).is_err(), "{kind}");
        // A mistake in the address is told once.
        let bad = read(&text("verify.example.com", kind, keys)).unwrap_err();
        assert_eq!(bad.0.len(), 1, "{kind}: {bad}");
    }
    for kind in ["http", "smpp"] {
        let nowhere = text("", kind, least(kind)).replace("[server]\npublic_url = ''\n", "");
        assert_eq!(read(&nowhere).unwrap().carriers[0].inbound, None);
        assert!(read(&text("http://verify.example.com", kind, least(kind))).is_ok());
    }
}

#[test]
fn the_address_for_what_people_write_is_told_without_its_secret() {
    let inbound = |kind: &str, more: &str| {
        let loaded = read(&text(PUBLIC, kind, &format!("{}{more}", least(kind)))).unwrap();
        assert_eq!(only(&loaded).inbound_token.is_some(), !more.is_empty());
        loaded.carriers[0].inbound.clone()
    };
    let here = "https://verify.example.com/hooks/c/inbound";
    assert_eq!(inbound("twilio", "").as_deref(), Some(here));
    assert_eq!(inbound("telnyx-texml", ""), None);
    assert_eq!(inbound("smpp", ""), None);
    let token = "inbound_token = 'env:T'\n";
    let secret = format!("{here}/(inbound_token)");
    assert_eq!(inbound("vonage", token), Some(secret.clone()));
    let http = format!("{token}from = '1234'\ninbound = {{ id = 'i', from = 'f', text = 't' }}\n");
    assert_eq!(inbound("http", &http), Some(secret));
}

#[test]
fn a_private_address_of_an_api_is_the_operators_word() {
    for (url, warned) in [
        ("http://127.0.0.1:4010", false),
        ("http://10.1.2.3/", false),
        ("https://proxy.example.com", false),
        ("http://proxy.example.com", true),
    ] {
        let keys = format!("{}base_url = '{url}'\n", least("twilio"));
        let loaded = read(&text(PUBLIC, "twilio", &keys)).unwrap();
        assert_eq!(loaded.carriers[0].at, url.trim_end_matches('/'));
        assert_eq!(warnings(&loaded).contains("without encryption"), warned, "{url}");
    }
}

#[test]
fn secrets_of_a_carrier_in_the_open_are_warned_of() {
    let keys = "account = 'AC0'\ntoken = 'canary'\nfrom = '+12025550100'\n";
    let loaded = read(&text(PUBLIC, "twilio", keys)).unwrap();
    let spoken = warnings(&loaded);
    assert!(spoken.starts_with("o.toml:14: carriers[0].token: the secret stands in"), "{spoken}");
    let keys = format!("{}headers = {{ Authorization = 'canary' }}\n", least("http"));
    let loaded = read(&text(PUBLIC, "http", &keys)).unwrap();
    let spoken = warnings(&loaded);
    let part = "o.toml:14: carriers[0].headers.Authorization: this looks like a secret that stands";
    assert!(spoken.starts_with(part), "{spoken}");
    assert!(!seen(&Ok(loaded)).contains("canary"));
    let name = least("vonage").replace("+12025550100", "Acme");
    let spoken = warnings(&read(&text(PUBLIC, "vonage", &name)).unwrap());
    assert!(spoken.contains("carriers[0].from = \"Acme\": calls cannot come from a name"));
}

#[test]
fn names_are_shared_with_trunks_and_routes_follow_what_a_carrier_can() {
    let keys = least("twilio");
    let same = text(PUBLIC, "twilio", keys).replace("name = 'c'", "name = 'one'");
    let spoken = read(&same).unwrap_err().to_string();
    assert!(spoken.contains("o.toml:11: carriers[0].name = \"one\": the trunk on line 2 has"));

    let smpp = format!("[[carriers]]\nname = 'smsc'\nkind = 'smpp'\n{}", least("smpp"));
    let both = format!("{}{smpp}", text(PUBLIC, "twilio", keys));
    let implied = read(&both).unwrap().routes;
    let via: Vec<Vec<&str>> = implied.iter().map(|it| it.via.names().collect()).collect();
    assert_eq!(via, [vec!["one", "c"], vec!["c", "smsc"]]);
    let spoken = read(&format!("{both}[[routes]]\nvia = ['smsc']\n")).unwrap_err().to_string();
    assert!(spoken.contains(
        "routes[0].via[0] = \"smsc\": there is no trunk or carrier that places calls of this name \
         (there are: one, c)"
    ));
    let spoken = read(&format!("{both}[[routes]]\nchannel = 'sms'\nvia = ['one']\n"));
    let spoken = spoken.unwrap_err().to_string();
    assert!(spoken.contains("there is no carrier that sends texts of this name"), "{spoken}");

    // A carrier that is wrong is told once, not again by each route that names it.
    let broken = format!("{}[[routes]]\nvia = ['c', 'one']\n", text(PUBLIC, "twilio", ""));
    let Err(Complaints(all)) = read(&broken) else { panic!("taken") };
    assert!(all.iter().all(|it| it.key.starts_with("carriers[0].")), "{all:?}");
}

#[test]
fn every_key_of_a_message_centre_arrives() {
    let Loaded { config, .. } = read(&text(PUBLIC, "smpp", least("smpp"))).unwrap();
    let By::Smpp(plain) = &config.gateway.carriers[0].by else { panic!("no SMPP") };
    assert_eq!((plain.port, plain.window, plain.per_second), (2775, 50, None));
    assert_eq!(plain.source, Numbering::INTERNATIONAL);
    let keys = "address = '[2001:db8::7]:3600'\nsystem_id = 'acme'\npassword = 'env:P'\n\
                system_type = 'VMA'\nfrom = '12345'\nwindow = 7\nper_second = 9\n\
                alphabet = 'latin1'\nids = 'hex_in_receipts'\nsource_ton = 2\nsource_npi = 8\n\
                enquire_secs = 11\nanswer_secs = 12\npatience_secs = 13\n";
    let loaded = read(&text(PUBLIC, "smpp", keys)).unwrap();
    assert_eq!(loaded.carriers[0].at, "[2001:db8::7]:3600");
    let By::Smpp(it) = &only(&loaded).by else { panic!("no SMPP") };
    assert_eq!((it.name.as_str(), it.host.as_str(), it.port), ("c", "2001:db8::7", 3600));
    assert_eq!((it.system_id.as_str(), it.password.as_str()), ("acme", "canary"));
    assert_eq!((it.system_type.as_str(), it.from.as_str()), ("VMA", "12345"));
    assert_eq!((it.window, it.per_second.map(u32::from)), (7, Some(9)));
    assert_eq!((it.alphabet, it.ids), (Alphabet::Latin1, Ids::HexInReceipts));
    assert_eq!(it.source, Numbering { ton: 2, npi: 8 });
    let seconds = [it.enquire_every, it.answer_within, it.patience].map(|it| it.as_secs());
    assert_eq!(seconds, [11, 12, 13]);
}

/// What is asked of a gateway that is described by these keys.
fn asked(keys: &str) -> crate::carrier::wire::HttpRequest {
    let loaded = read(&text(PUBLIC, "http", keys)).unwrap();
    let to: PhoneNumber = "+14155550132".parse().unwrap();
    let body = Body::from("Hi & bye".to_owned());
    let order = Order {
        id: "vf_1-1",
        to: &to,
        hooks: "https://verify.example.com/hooks/c/vf_1-1/t",
        since: Timestamp::from_secs(1),
        what: What::Text { body: &body, valid: Duration::from_secs(300) },
    };
    only(&loaded).carrier().unwrap().order(&order).unwrap()
}

#[test]
fn secrets_go_into_requests_as_their_place_wants_them() {
    let own = "secrets = { key = 'env:BRACES' }\n";
    let request = asked(&format!(
        "{own}url = 'https://h/s?k={{key}}&t={{to}}&b={{body}}'\nheaders = {{ X-Key = 'Key {{key}}' }}\n"
    ));
    assert_eq!(request.method, "GET");
    assert_eq!(
        request.url,
        "https://h/s?k=canary%20%7B%26%22%7D&t=%2B14155550132&b=Hi%20%26%20bye"
    );
    let header = |name: &str| {
        let found = request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str().to_owned())
    };
    assert_eq!(header("x-key").as_deref(), Some("Key canary {&\"}"));

    let body = |keys: &str| {
        let request = asked(&format!("{own}url = 'https://h/s'\n{keys}"));
        assert_eq!(request.method, "POST");
        String::from_utf8(request.body.to_vec()).unwrap()
    };
    assert_eq!(
        body("body = { form = { k = '{key}', t = '{to_digits}', b = '{body}' } }"),
        "b=Hi+%26+bye&k=canary+%7B%26%22%7D&t=14155550132"
    );
    assert_eq!(
        body("body = { json = { k = ['{key}'], t = '{to}', b = '{body}', n = 1, x = '{{x}}' } }"),
        r#"{"b":"Hi & bye","k":["canary {&\"}"],"n":1,"t":"+14155550132","x":"{x}"}"#
    );
    assert_eq!(
        body("body = { xml = '<m k=\"{key}\" t=\"{to}\">{body}</m>' }"),
        "<m k=\"canary {&amp;&quot;}\" t=\"+14155550132\">Hi &amp; bye</m>"
    );
    assert_eq!(body("body = { text = '{key}|{to}|{body}' }"), "canary {&\"}|+14155550132|Hi & bye");
    let basic = asked(
        "url = 'https://h/s?t={to}&b={body}'\nbasic = { user = 'acme', password = 'env:P' }\n",
    );
    let header = basic.headers.iter().find(|(name, _)| name == "Authorization").unwrap();
    assert_eq!(header.1.as_str(), "Basic YWNtZTpjYW5hcnk=");
}

#[test]
fn every_guard_is_read_and_shows_no_secret() {
    for (guard, shown_as) in [
        ("header = 'X-Token', secret = 'env:T'", "Header(X-Token)"),
        ("user = 'acme', password = 'env:P'", "Basic"),
        ("hmac = 'X-Sig', secret = 'env:T'", "Hmac(X-Sig)"),
        ("hmac = 'X-Sig', secret = 'env:T', encoding = 'base64'", "Hmac(X-Sig)"),
        ("timestamped = 'Jambonz-Signature', secret = 'env:T'", "Timestamped(Jambonz-Signature)"),
        ("plivo = 'env:T'", "Plivo"),
        ("standard_webhooks = 'env:WHSEC'", "StandardWebhooks"),
        ("sinch = 'app-key', secret = 'env:B64'", "Sinch(app-key)"),
    ] {
        let keys = format!(
            "{}from = '1234'\ninbound = {{ id = 'i', from = 'f', text = 't' }}\n\
             guard = {{ {guard} }}\n",
            least("http")
        );
        // None needs a secret in its address.
        let loaded = read(&text(PUBLIC, "http", &keys)).unwrap();
        assert_eq!(warnings(&loaded), "", "{guard}");
        let shown = format!("{:?}", only(&loaded));
        assert!(shown.contains(&format!("guard: {shown_as},")), "{guard}: {shown}");
        assert!(!shown.contains("canary") && !shown.contains("Y2FuYXJ5"), "{guard}: {shown}");
    }
}

#[test]
fn a_key_in_base64_is_the_bytes_it_stands_for() {
    use crate::carrier::signature::{Hash, hmac};
    use crate::carrier::{Forged, Hook};
    let keys = format!("{}guard = {{ standard_webhooks = 'env:WHSEC' }}\n", least("http"));
    let loaded = read(&text(PUBLIC, "http", &keys)).unwrap();
    let signature = BASE64.encode(hmac(Hash::Sha256, b"canary-canary", b"m-1.7.{}"));
    let headers = [("id", "m-1"), ("timestamp", "7"), ("signature", &format!("v1,{signature}"))]
        .map(|(name, value)| (format!("webhook-{name}"), value.to_owned()));
    let heard = |headers| {
        only(&loaded).carrier().unwrap().hear(&Hook {
            url: PUBLIC,
            part: None,
            query: "",
            headers,
            body: b"{}",
            now: Timestamp::from_secs(7),
            scene: None,
        })
    };
    // It is believed, and nothing says how it is to be read.
    assert_eq!(heard(&headers), Err(Forged::Unreadable));
    assert_eq!(heard(&[]), Err(Forged::Unsigned));
}

#[test]
fn keys_of_providers_reach_their_adapters() {
    let keys = format!(
        "{}messaging_service = 'MG0'\nmachine_detection = true\nprompt = 'audio'\n\
         audio_url = 'https://a.example/p'\n",
        least("twilio")
    );
    let loaded = read(&text(PUBLIC, "twilio", &keys)).unwrap();
    let shown = format!("{:?}", only(&loaded));
    for part in ["machine_detection: true", "Play(\"https://a.example/p\")"] {
        assert!(shown.contains(part), "{shown}");
    }
    let keys = format!(
        "{}connection_id = '7'\nmessaging_profile = 'm-1'\nmachine_detection = true\n",
        least("telnyx")
    );
    let loaded = read(&text(PUBLIC, "telnyx", &keys)).unwrap();
    assert!(only(&loaded).reach().voice);
    let shown = format!("{:?}", only(&loaded));
    for part in ["connection_id: Some(\"7\")", "messaging_profile: Some(\"m-1\")"] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(least("telnyx").contains(PUBLIC_KEY));
}
