//! The architecture, held up by a table and a scan: who may know whom, and what the core may not
//! touch. See `src/ARCHITECTURE.md`.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each layer, and the layers it may import besides itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("ambient", &[]),
    ("failpoint", &[]),
    ("verify", &["ambient"]),
    ("access", &["ambient", "verify"]),
    ("sip", &["ambient"]),
    ("media", &["ambient"]),
    ("voice", &["ambient", "sip", "media"]),
    ("carrier", &["ambient", "verify"]),
    ("telemetry", &["ambient", "verify", "access", "voice"]),
    ("store", &["ambient", "failpoint", "verify", "access", "telemetry"]),
    (
        "gateway",
        &[
            "ambient",
            "failpoint",
            "verify",
            "access",
            "sip",
            "media",
            "voice",
            "carrier",
            "telemetry",
            "store",
        ],
    ),
    ("http", &["ambient", "failpoint", "verify", "access", "carrier", "telemetry", "gateway"]),
    ("config", &["ambient", "verify", "access", "sip", "media", "carrier", "gateway", "http"]),
    (
        "cli",
        &[
            "ambient",
            "failpoint",
            "verify",
            "access",
            "sip",
            "media",
            "voice",
            "carrier",
            "telemetry",
            "store",
            "gateway",
            "http",
            "config",
        ],
    ),
];

/// The layers that decide: nothing of the world in them.
const CORE: &[&str] = &["ambient", "verify", "access", "sip", "media", "voice", "carrier"];

/// What a core layer may not say.
const WORLDLY: &[&str] = &[
    "tokio",
    "async ",
    ".await;",
    ".await?",
    ".await)",
    "std::fs",
    "UdpSocket",
    "TcpStream",
    "std::thread",
    "tracing::",
    "println!",
    "eprintln!",
    "Instant::now",
    "SystemTime::now",
    "getrandom",
];

/// Words that belong to the named files alone.
const OWNED: &[(&str, &[&str])] = &[
    // The only write path.
    (".commit(", &["src/gateway/mod.rs", "src/store/"]),
    // Only the ear that heard can make evidence of consent.
    ("Signal::heard(", &["src/gateway/hearing.rs"]),
    // The SIP crate is named in one place, so that it can be replaced.
    ("sipx_sip", &["src/sip/message.rs"]),
    // One outbound HTTP client; the demo is its own customer.
    ("reqwest::Client::builder", &["src/gateway/webhook/courier.rs", "src/cli/"]),
    // Each layer owns its settings; only the command line reads files.
    ("crate::config", &["src/config", "src/cli/"]),
];

/// The most lines of code in a file.
const LINES: usize = 700;

/// Every source file: its path from the root, its whole text, and its text without tests.
fn sources() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the source tree can be read") {
            let path = entry.expect("its entries too").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(read(root, &path));
            }
        }
    }
    assert!(found.len() > 50, "the scan found only {} files", found.len());
    found
}

fn read(root: &Path, path: &PathBuf) -> (String, String, String) {
    let text = fs::read_to_string(path).expect("a source file is text");
    let name = path.strip_prefix(root).expect("it is below the root").display().to_string();
    let test = name.ends_with("/tests.rs") || name.contains("/tests/");
    let code = if test { String::new() } else { without_tests(&text) };
    (name, text, code)
}

/// Comments and what follows `#[cfg(test)]` left out: by custom, tests stand last in a file.
fn without_tests(text: &str) -> String {
    let code: Vec<&str> = text
        .lines()
        .take_while(|line| line.trim() != "#[cfg(test)]" || line.starts_with(' '))
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .filter(|line| !line.trim().is_empty())
        .collect();
    code.join("\n")
}

fn layer(name: &str) -> Option<&str> {
    let inside = name.strip_prefix("src/")?;
    let layer = inside.split('/').next()?;
    Some(layer.strip_suffix(".rs").unwrap_or(layer))
}

#[test]
fn layers_know_only_those_below_them() {
    for (name, _, code) in sources() {
        let Some(layer) = layer(&name).filter(|layer| !["lib", "main"].contains(layer)) else {
            continue;
        };
        let Some((_, allowed)) = LAYERS.iter().find(|(known, _)| *known == layer) else {
            panic!("{name}: {layer} is no layer; add it to the table with what it may import");
        };
        for (other, _) in LAYERS {
            let import = code.lines().find(|line| {
                line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).any(|word| {
                    word == format!("crate::{other}")
                        || word.starts_with(&format!("crate::{other}::"))
                })
            });
            if let Some(line) = import {
                assert!(
                    *other == layer || allowed.contains(other),
                    "{name}: {layer} may not import {other}: {line}"
                );
            }
        }
        assert!(!code.contains("use crate::{"), "{name}: import each layer by a line of its own");
    }
}

#[test]
fn the_core_touches_nothing() {
    for (name, _, code) in sources() {
        if !layer(&name).is_some_and(|layer| CORE.contains(&layer)) || name == "src/ambient.rs" {
            continue;
        }
        for word in WORLDLY {
            let said = code.lines().find(|line| line.contains(word));
            assert!(said.is_none(), "{name}: a core layer may not say {word:?}: {said:?}");
        }
    }
}

#[test]
fn words_stay_with_their_owner() {
    for (name, _, code) in sources() {
        for (word, owners) in OWNED {
            assert!(
                !code.contains(word) || owners.iter().any(|owner| name.starts_with(owner)),
                "{name}: {word:?} belongs to {owners:?}"
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_can_be_overseen() {
    for (name, text, code) in sources() {
        let documented = text.starts_with("//!") || text.starts_with("#![doc");
        assert!(documented, "{name}: open it with //! and what it is");
        let lines = code.lines().count();
        assert!(lines <= LINES, "{name}: {lines} lines of code; split it by state");
    }
}

#[test]
fn the_table_lists_every_layer_that_the_crate_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let lib = fs::read_to_string(root).expect("lib.rs is text");
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for module in modules {
        assert!(LAYERS.iter().any(|(layer, _)| *layer == module), "{module} is not in the table");
    }
}

#[test]
fn every_test_that_the_threat_table_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("src/SECURITY.md")).expect("the page is text");
    let mut tests = String::new();
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be read") {
            let path = entry.expect("its entries too").path();
            let foreign = path.ends_with("node_modules");
            if path.is_dir() && !foreign {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                tests.push_str(&fs::read_to_string(&path).expect("a source file is text"));
            }
        }
    }
    let table = page.lines().skip_while(|line| !line.starts_with("| attack |")).skip(2);
    let rows: Vec<&str> = table.take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 20, "the table has only {} rows", rows.len());
    for row in rows {
        let named = row.split('|').nth(3).unwrap_or_default().split('`').skip(1).step_by(2);
        let named: Vec<&str> = named.collect();
        assert!(!named.is_empty(), "no test is named: {row}");
        for name in named {
            assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}: {row}");
        }
    }
}
