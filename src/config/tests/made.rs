//! Tenants that are made while the gateway runs: the same keys, the same words.

use serde_json::{Value, json};

use super::*;
use crate::gateway::settings::Tenant;
use crate::gateway::settings::tenancy::{Form, Mistake, Read, Written};

/// What a configuration without a mistake reads them by.
fn form(more: &str) -> Arc<dyn Form> {
    parsed(&format!("{}{more}", good())).unwrap().config.gateway.form.unwrap()
}

fn object(value: Value) -> Written {
    value.as_object().cloned().unwrap()
}

fn read(value: Value) -> Result<Read, Vec<String>> {
    let told = |Mistake { key, told }| format!("{key}: {told}");
    form("").read(&object(value)).map_err(|all| all.into_iter().map(told).collect())
}

#[test]
fn one_that_is_made_is_the_one_that_the_file_would_have() {
    let made = form("[limits]\ntenant = ['7/s']\n[call]\npin_tries = 3\n").read(&object(json!({
        "name": "globex",
        "voice_countries": ["US", "DE"],
        "limits": { "number": ["3/10m"] },
        "webhooks": [{ "url": "https://idp.example/h", "secret": "canary-canary-canary-canary",
                       "events": ["*"] }],
        "safe_numbers": [{ "number": "+14155550132", "until": "2099-03-31" }],
        "languages": ["en-US", "es-MX"],
        "brand": null,
        "code_digits": 8,
    })));
    let written = format!(
        "{}[limits]\ntenant = ['7/s']\n[call]\npin_tries = 3\n[[tenants]]\nname = 'globex'\n\
         api_keys = ['{KEY}0']\nvoice_countries = ['US', 'DE']\nlimits = {{ number = ['3/10m'] }}\n\
         webhooks = [{{ url = 'https://idp.example/h', secret = 'canary-canary-canary-canary', \
         events = ['*'] }}]\nsafe_numbers = [{{ number = '+14155550132', until = '2099-03-31' }}]\n\
         languages = ['en-US', 'es-MX']\ncode_digits = 8\n",
        good()
    );
    let [_, written] = &parsed(&written).unwrap().config.gateway.tenants[..] else { panic!() };
    let written = Tenant { keys: Vec::new(), ..written.clone() };
    let made = made.unwrap();
    assert_eq!(format!("{:?}", made.tenant), format!("{written:?}"));
    assert_eq!(made.warnings, []);
}

#[test]
fn each_mistake_is_told_by_its_key_in_the_words_of_the_file() {
    for (key, value, told) in [
        (
            "voice_countries",
            json!(["UK"]),
            "voice_countries[0]: \"UK\": there is no such country; did you mean \"GB\"?",
        ),
        (
            "voice_contries",
            json!(["US"]),
            "voice_contries: no such key; did you mean \"voice_countries\"?",
        ),
        ("code_digits", json!("six"), "code_digits: this is of type string: write a whole number"),
        ("code_digits", json!(5), "code_digits: 5: write 6 to 10"),
        ("limits", json!({ "number": ["often"] }), "limits.number[0]: \"often\": "),
        ("budget", json!({ "number": "1.00" }), "budget: \"1.00\": a cap needs prices"),
        ("name", json!("a b"), "name: \"a b\": a name is 1 to 64"),
        (
            "client_names",
            json!(["a.example"]),
            "client_names: no client is asked for a certificate",
        ),
        (
            "webhooks",
            json!([{ "url": "https://10.0.0.1/h", "secret": "canary" }]),
            "webhooks[0].url: \"https://10.0.0.1/…\": its address lies in a private network",
        ),
        // What the gateway's machine has is not for whoever asks from afar.
        (
            "webhooks",
            json!([{ "url": "https://a.example/h", "secret": "env:PATH" }]),
            "webhooks[0].secret: \"env:PATH\": variables and files are those of the gateway's machine",
        ),
        (
            "webhooks",
            json!([{ "url": "https://a.example/h", "secret": "file:/etc/passwd" }]),
            "webhooks[0].secret: \"file:/etc/passwd\": variables and files",
        ),
        (
            "jwt",
            json!({ "issuer": "i", "audience": "a", "jwks": "file:/etc/passwd" }),
            "jwt.jwks: \"file:/etc/passwd\": files are those of the gateway's machine",
        ),
        ("prompts", json!("/etc"), "prompts: recordings are files of the gateway's machine"),
        (
            "api_keys",
            json!(["file:/etc/passwd"]),
            "api_keys: keys of such a tenant are made apart: `octothorpe key new",
        ),
        ("code_digits", json!(u64::MAX), "code_digits: this value does not fit here"),
    ] {
        let mut tenant = json!({ "name": "globex", "voice_countries": ["US"] });
        tenant[key] = value;
        let spoken = read(tenant).map(|_| ()).unwrap_err();
        assert!(spoken.iter().any(|it| it.starts_with(told)), "{key}: {spoken:?}");
        assert!(!format!("{spoken:?}").contains("canary"), "{spoken:?}");
        assert_eq!(spoken.len(), 1, "{spoken:?}");
    }
    assert_eq!(
        read(json!({})).map(|_| ()).unwrap_err(),
        ["name: the name is missing: write name = \"…\""]
    );
    let Read { warnings, .. } = read(json!({ "name": "globex" })).unwrap();
    assert_eq!(warnings[0].key, "voice_countries");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn what_is_shown_of_one_holds_no_secret_and_no_number() {
    let hook = json!({ "url": "https://idp.example/canary", "secret": "canary", "previous_secret": "canary" });
    let tenant = json!({
        "name": "globex",
        "api_keys": ["canary", { "key": "canary" }],
        "webhooks": [hook],
        "risk": hook,
        "safe_numbers": [{ "number": "+14155550132", "until": "2099-03-31" }],
        "limits": { "number": ["3/10m"] },
        "budget": { "number": "2.00" },
    });
    let shown = Value::Object(form("").masked(&object(tenant)));
    let text = shown.to_string();
    assert!(!text.contains("canary") && !text.contains("4155550132"), "{text}");
    assert_eq!(shown["webhooks"][0]["url"], "https://idp.example/…");
    assert_eq!(shown["safe_numbers"][0]["number"], "+1******0132");
    assert_eq!(shown["limits"]["number"][0], "3/10m");
    assert_eq!(shown["budget"]["number"], "2.00");
    // Every key of a tenant that is hidden from complaints is hidden here.
    let source = include_str!("../raw.rs");
    let hidden: Vec<&str> = source
        .split("pub(super) struct Tenant {")
        .nth(1)
        .unwrap()
        .lines()
        .filter(|line| line.contains("Hidden>"))
        .filter_map(|line| line.trim().strip_prefix("pub(super) ")?.split(':').next())
        .collect();
    let known = ["key", "url", "secret", "previous_secret"];
    assert!(hidden.iter().all(|key| known.contains(key)), "{hidden:?}");
}
