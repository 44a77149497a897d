//! The examples in `config/`, and the defaults, which document every key.

use super::*;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[test]
fn the_lab_loads_and_its_key_opens_loopback_listeners_only() {
    let loaded = load(&example("lab.toml"), |_| None).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.gateway.store, StoreSettings::Memory);
    assert_eq!(loaded.config.gateway.trunks[0].target.port, Some(5080));
    assert_eq!(loaded.keys[0].key, ApiKey::of(LAB_KEY));
    let wide =
        |name: &str| (name == "OCTOTHORPE_SERVER__API_LISTEN").then(|| "0.0.0.0:8080".to_owned());
    let spoken = load(&example("lab.toml"), wide).unwrap_err().to_string();
    assert!(spoken.contains("everybody knows the lab's key, and api_listen (0.0.0.0:8080)"));
    assert!(spoken.contains("tenants[0].api_keys[0]"));
}

/// What `docker/compose.yaml` runs. What is warned of is right in a network of its own alone.
#[test]
fn a_node_of_the_cluster_loads_and_is_warned_of_what_others_could_reach() {
    let loaded = load(&example("cluster.toml"), example_secrets).unwrap();
    let keys: Vec<&str> = loaded.warnings.iter().map(|it| it.key.as_str()).collect();
    let listeners = ["server.api_listen", "server.admin_listen", "server.admin_listen"];
    assert_eq!(keys, [&listeners[..], &["store.url"]].concat());
    let StoreSettings::Redis(redis) = &loaded.config.gateway.store else { panic!("no Redis") };
    assert_eq!((redis.user.as_deref(), redis.min_replicas), (Some("gateway"), None));
    let spoken = load(&example("cluster.toml"), |_| None).unwrap_err().to_string();
    assert_eq!(spoken.lines().count(), 4, "{spoken}");
}

/// What the examples take from the environment.
fn example_secrets(name: &str) -> Option<String> {
    let text = match name {
        "CARRIER_A_PASSWORD" | "CARRIER_B_PASSWORD" | "SMSC_PASSWORD" => "canary 1",
        "CARRIER_PASSWORD" | "HEP_PASSWORD" | "ASTERISK_PASSWORD" | "FREESWITCH_PASSWORD" => {
            "canary 2"
        }
        "OTLP_AUTHORIZATION" => "Bearer canary",
        "CARRIER_A_ACCOUNT" => "canary 3",
        "ACME_API_KEY" => KEY,
        "OPS_API_KEY" => "canary_operators_0123456789012345678901",
        "ACME_BATCH_KEY" => "canary_batch_01234567890123456789012345",
        "ACME_HOOK_SECRET" | "ACME_RISK_SECRET" => "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
        "STORE_SECRET" | "OLD_STORE_SECRET" | "REDIS_PASSWORD" => {
            "canary-0123456789-0123456789-0123456789"
        }
        "TWILIO_TOKEN" | "TWILIO_SIGNING_KEY" | "TWILIO_INBOUND_TOKEN" => "canary-canary-canary",
        "EVE_PASSWORD_HASH" => {
            "$argon2id$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ$\
             AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        }
        "EVE_TOTP" => "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
        "TELNYX_API_KEY" => "KEYcanary",
        "VONAGE_PRIVATE_KEY" => include_str!("../../carrier/vonage/tests/key.pem"),
        "VONAGE_SIGNATURE_SECRET" => "canary-canary-canary",
        "GATEWAY_KEY" | "GATEWAY_PASSWORD" | "GATEWAY_SIGNING_KEY" => "canary{ &",
        _ => return None,
    };
    Some(text.to_owned())
}

/// Every example, and how many variables it takes from the environment.
const EXAMPLES: &[(&str, usize)] = &[
    ("production.toml", 4),
    ("twilio.toml", 2),
    ("telnyx.toml", 2),
    ("vonage.toml", 3),
    ("http.toml", 4),
    ("smpp.toml", 2),
    ("trunks/registration.toml", 2),
    ("trunks/address.toml", 1),
    ("trunks/encrypted.toml", 2),
    ("trunks/certificate.toml", 1),
    ("trunks/two-carriers.toml", 3),
    ("trunks/asterisk.toml", 2),
    ("trunks/freeswitch.toml", 2),
];

#[test]
fn every_example_loads_with_its_variables_and_names_those_that_are_missing() {
    // Where the files lie that an example names.
    let folder = trunks::folder();
    for (name, variables) in EXAMPLES {
        let text = std::fs::read_to_string(example(name)).unwrap();
        let loaded = parse(&text, name, folder.path(), example_secrets).unwrap();
        assert_eq!(loaded.warnings, [], "{name}");
        assert_eq!(loaded.keys[0].source, SecretSource::Variable("ACME_API_KEY".to_owned()));
        let spoken = parse(&text, name, folder.path(), |_| None).unwrap_err().to_string();
        assert_eq!(spoken.lines().count(), *variables, "{name}:\n{spoken}");
        assert!(spoken.lines().all(|line| line.contains("is not set")), "{name}:\n{spoken}");
    }
}

#[test]
fn every_file_of_the_folder_is_an_example_that_is_tested() {
    for folder in ["", "trunks/"] {
        for entry in std::fs::read_dir(example(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{folder}{}", entry.file_name().to_string_lossy());
            let tested = EXAMPLES.iter().any(|(example, _)| *example == name);
            // The rules are Prometheus'; tests/e2e/metrics.rs has it load them.
            let other = ["lab.toml", "cluster.toml", "default.toml", "alerts.yml"];
            let other = other.contains(&name.as_str());
            assert!(tested || other || entry.path().is_dir(), "nothing loads config/{name}");
        }
    }
}

/// `config/default.toml` with its examples uncommented.
fn defaults_in_full() -> String {
    let lines = DEFAULTS.lines().map(|line| match line.strip_prefix('#') {
        Some(example) if !example.is_empty() && !example.starts_with(' ') => example,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_defaults_examples_load() {
    let (text, folder) = (defaults_in_full(), trunks::folder());
    std::fs::write(folder.path().join("issuer.json"), access::ISSUER).unwrap();
    for own in ["prompts/all", "prompts/acme"] {
        prompts::recorded(&folder.path().join(own), "en-US/brand_contoso.wav", 3_600.0);
    }
    let deck = "prefix,channel,price\n+1,voice,0.0130\n";
    std::fs::write(folder.path().join("prices.csv"), deck).unwrap();
    let loaded = parse(&text, "default.toml", folder.path(), example_secrets).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.gateway.rtp_ports, (20000, 29999));
    assert_eq!(loaded.config.gateway.engines, None);
    assert_eq!(loaded.config.gateway.carriers.len(), 6);
    let tenant = &loaded.config.gateway.tenants[0];
    assert_eq!((tenant.locale.as_deref(), tenant.texting.code_digits), (Some("en-US"), 6));
    let shown = seen(&Ok(loaded));
    assert!(!shown.contains("canary") && !shown.contains("PRIVATE KEY"), "{shown}");
}

#[test]
fn the_defaults_document_every_key() {
    let full = defaults_in_full();
    for (section, header) in [
        ("server", "[server]"),
        ("store", "[store]"),
        ("sip", "[sip]"),
        ("call", "[call]"),
        ("log", "[log]"),
        ("capture", "[capture]"),
        ("telemetry.otlp", "[telemetry.otlp]"),
        ("limits", "[limits]"),
        ("prices", "[prices]"),
        ("budget", "[budget]"),
        ("fraud", "[fraud]"),
        ("prompts", "[prompts]"),
        ("selftest", "[selftest]"),
        ("trunks", "[[trunks]]"),
        ("carriers", "[[carriers]]"),
        ("routes", "[[routes]]"),
        ("operators", "[[operators]]"),
        ("tenants", "[[tenants]]"),
    ] {
        let spoken = complaints(&format!("{header}\nzzzzzzzzzz = 1\n"));
        let (_, known) = spoken.split_once("(known here: ").unwrap();
        // A carrier of each kind stands there.
        let header = format!("\n{header}\n");
        let written = full.split(&header).skip(1);
        let written: Vec<&str> =
            written.flat_map(|it| it.split("\n[").next().unwrap().lines()).collect();
        for key in known.trim_end_matches(')').split(", ") {
            let documented = written.iter().any(|line| line.starts_with(&format!("{key} = ")));
            assert!(documented, "config/default.toml does not document {section}.{key}");
        }
    }
}

#[test]
fn three_lines_say_what_to_write() {
    assert_eq!(what_to_write().lines().count(), 3);
    for word in ["[[trunks]]", "[[tenants]]", "config/lab.toml", "octothorpe key new"] {
        assert!(what_to_write().contains(word), "{word}");
    }
}
