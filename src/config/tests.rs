//! What is said of bad configurations, and that no secret is; layers.

mod access;
mod carriers;
mod examples;
mod limits;
mod made;
mod mistakes;
mod money;
mod network;
mod operators;
mod prompts;
mod routing;
mod server;
mod telemetry;
mod tenants;
mod texts;
mod trunks;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::gateway::settings::{StoreSettings, WebhookSecret};

const KEY: &str = "canary_key_01234567890123456789012345";

/// A configuration without a mistake, which the table below breaks.
fn good() -> String {
    format!(
        "[[trunks]]\nname = 'one'\ntarget = 'sip:127.0.0.1:5070;transport=udp'\n\
         [[tenants]]\nname = 'acme'\napi_keys = ['{KEY}']\nvoice_countries = ['US']\n"
    )
}

fn parsed(text: &str) -> Result<Loaded, Complaints> {
    parse(text, "o.toml", Path::new("/nowhere"), |_| None)
}

fn complaints(text: &str) -> String {
    parsed(text).map(|_| ()).unwrap_err().to_string()
}

/// Everything that an author or a log could ever see of it.
fn seen(result: &Result<Loaded, Complaints>) -> String {
    match result {
        Ok(loaded) => {
            let warnings = serde_json::to_string(&loaded.warnings).unwrap();
            let spoken = Complaints(loaded.warnings.clone());
            format!("{loaded:?} {loaded:#?} {spoken} {warnings}")
        }
        Err(complaints) => {
            let json = serde_json::to_string(&complaints.0).unwrap();
            format!("{complaints} {complaints:?} {complaints:#?} {json}")
        }
    }
}

/// What is appended to a good configuration, and what is said of it.
type Row = (&'static str, &'static [&'static str]);

/// Each mistake is named with its line, key, value and remedy, and shows no secret.
fn each_is_told(mistakes: &[Row]) {
    parsed(&good()).unwrap();
    for (mistake, parts) in mistakes {
        let result = parsed(&format!("{}{mistake}\n", good()));
        let text = seen(&result);
        let Err(spoken) = result else { panic!("taken: {mistake}") };
        for part in *parts {
            assert!(spoken.to_string().contains(part), "{mistake}\nlacks {part}\n{spoken}");
        }
        assert!(!text.contains("canary"), "{mistake}\nshows a secret:\n{text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "[server]\napi_listen = 'x'\n[store]\nurl = 'y'\n[[routes]]\nvia = ['z']\n\
                [[tenants]]\nname = 't'\napi_keys = ['short']\nvoice_countries = ['UK']\n";
    let Err(Complaints(all)) = parsed(text) else { panic!("taken") };
    let lines: Vec<Option<usize>> = all.iter().map(|it| it.line).collect();
    assert_eq!(lines, [Some(2), Some(4), Some(6), Some(9), Some(10)]);
}

#[test]
fn a_gateway_without_tenants_is_refused_and_one_without_trunks_warned_of() {
    assert!(complaints("").contains("o.toml: tenants: there is no [[tenants]] entry"));
    let (_, tenant) =
        good().split_once("[[tenants]]").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let loaded = parsed(&format!("[[tenants]]{tenant}")).unwrap();
    assert!(Complaints(loaded.warnings).to_string().contains("trunks: there is no [[trunks]]"));
    assert!(
        complaints("[trunks]\nname = 'x'")
            .contains("o.toml:1: trunks: each entry begins with two brackets: write [[trunks]]")
    );
    assert!(complaints("trunks = 'canary'").contains("o.toml:1: trunks: this is of type string"));
}

#[test]
fn what_is_allowed_and_unwise_is_warned_of() {
    let text = format!(
        "[server]\nadmin_listen = '0.0.0.0:8081'\ninsecure_http = true\npublic_url = 'http://verify.example.com/'\n\
         [sip]\nrtp_ports = [20001, 20100]\n{}\
         webhooks = [{{ url = 'https://idp.example.com/h', secret = 'canary' }}]\n\
         [[trunks]]\nname = 'two'\ntarget = 'sip:[::1]'\nusername = 'acme'\npassword = 'canary'\n\
         [[tenants]]\nname = 'two'\napi_keys = ['env:TWO']\n",
        good()
    );
    let env = |name: &str| (name == "TWO").then(|| "canary_two_01234567890123456789012".to_owned());
    let loaded = parse(&text, "o.toml", Path::new("."), env).unwrap();
    assert_eq!(loaded.config.gateway.rtp_ports, (20002, 20099));
    assert_eq!(loaded.config.public_url.as_deref(), Some("http://verify.example.com"));
    let spoken = Complaints(loaded.warnings.clone()).to_string();
    let expected = [
        "o.toml:2: server.admin_listen = \"0.0.0.0:8081\": the operator pages can be reached",
        "o.toml:2: server.admin_listen = \"0.0.0.0:8081\": keys and codes come here without encryption",
        "o.toml:4: server.public_url = \"http://verify.example.com/…\": providers will call back without",
        "o.toml:6: sip.rtp_ports = [20001, 20100]: RTP begins at an even port",
        "o.toml:12: tenants[0].api_keys[0]: the secret stands in the configuration itself",
        "o.toml:14: tenants[0].webhooks[0].secret: the secret stands in",
        "o.toml:14: tenants[0].webhooks[0].secret: the secret has 6 bytes",
        "o.toml:19: trunks[1].password: the secret stands in",
        "o.toml:20: tenants[1].voice_countries: no country is written, nor one in sms_countries",
    ];
    for (said, expected) in spoken.lines().zip(expected) {
        assert!(said.starts_with(expected), "{said}\n{expected}");
    }
    assert_eq!(loaded.warnings.len(), expected.len(), "{spoken}");
    assert!(!seen(&Ok(loaded)).contains("canary"));
}

#[test]
fn later_layers_win_key_by_key() {
    let text =
        format!("[call]\nring_timeout_secs = 20\n[server]\napi_listen = '127.0.0.1:1'\n{}", good());
    let env = |name: &str| match name {
        "OCTOTHORPE_SERVER__API_LISTEN" => Some("[::1]:9000".to_owned()),
        "OCTOTHORPE_SERVER__ADMIN_LISTEN" => Some("off".to_owned()),
        "OCTOTHORPE_STORE__URL" => Some("file:/var/lib/o".to_owned()),
        "OCTOTHORPE_SIP__ENGINES" => Some("3".to_owned()),
        "OCTOTHORPE_CALL__RING_TIMEOUT_SECS" => Some(String::new()),
        "OCTOTHORPE_LOG__FORMAT" => Some("json".to_owned()),
        _ => None,
    };
    let config = parse(&text, "o.toml", Path::new("."), env).unwrap().config;
    assert_eq!(config.http.api_listen, "[::1]:9000".parse().unwrap());
    assert_eq!(config.http.admin_listen, None);
    assert_eq!(config.gateway.store, StoreSettings::Directory(PathBuf::from("/var/lib/o")));
    assert_eq!(config.gateway.engines, Some(3));
    assert_eq!(config.gateway.ring_timeout, Duration::from_secs(20));
    assert_eq!(config.gateway.call_limit, Duration::from_secs(90));
    assert_eq!(config.log, Log { filter: "info".to_owned(), format: LogFormat::Json });
    let env = |name: &str| match name {
        "OCTOTHORPE_SERVER__API_LISTEN" => Some("here".to_owned()),
        "OCTOTHORPE_CALL__LIMIT_SECS" => Some("ten".to_owned()),
        _ => None,
    };
    let spoken = parse(&text, "o.toml", Path::new("."), env).unwrap_err().to_string();
    for part in [
        "environment OCTOTHORPE_SERVER__API_LISTEN: server.api_listen = \"here\": write an IP address",
        "environment OCTOTHORPE_CALL__LIMIT_SECS: call.limit_secs = \"ten\": write a whole number",
    ] {
        assert!(spoken.contains(part), "{spoken}");
    }
}

#[test]
fn secrets_come_from_files_that_not_everybody_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hook.key");
    std::fs::write(&file, "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnk\r\n").unwrap();
    let path = folder.path().join("o.toml");
    let text = format!(
        "{}webhooks = [{{ url = 'http://127.0.0.1:9000/h', secret = 'file:hook.key' }}]\n\
         allow_private_webhooks = true\n",
        good()
    );
    std::fs::write(&path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let spoken = load(&path, |_| None).unwrap_err().to_string();
        let expected = format!(
            "{}:8: tenants[0].webhooks[0].secret = \"file:hook.key\": everybody on this machine \
             can read {}: chmod o-r",
            path.display(),
            file.display()
        );
        assert!(spoken.starts_with(&expected), "{spoken}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    }
    let loaded = load(&path, |_| None).unwrap();
    let endpoint = &loaded.config.gateway.tenants[0].webhooks[0];
    let secret = WebhookSecret::new(Zeroizing::new(b"canary-canary-canary".to_vec()));
    assert_eq!(endpoint.secrets, [secret]);
    assert!(endpoint.bounds.private);
    assert!(!seen(&Ok(loaded)).contains("canary"));
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let spoken = load(Path::new("/no/such.toml"), |_| None).unwrap_err().to_string();
    assert!(spoken.starts_with("/no/such.toml: the configuration cannot be read"), "{spoken}");
}
