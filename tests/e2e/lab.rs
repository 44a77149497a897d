//! The lab phone (`octothorpe phone`), which writes down what it did.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;

use crate::serve::SOON;
use crate::tools::{Process, octothorpe, wait_for};

/// A lab phone that takes any number of calls.
pub(crate) struct Lab {
    process: Process,
    port: u16,
}

/// One call, as the phone has written it down.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    /// Who was called.
    pub(crate) to: String,
    /// The keys that were pressed, and when.
    pub(crate) pressed: Vec<(String, SystemTime)>,
}

impl Lab {
    /// A lab phone that behaves so: `["--press", "#"]`.
    pub(crate) fn start(behaviour: &[&str]) -> Self {
        let mut phone = octothorpe();
        phone.args(["phone", "--listen", "udp:127.0.0.1:0", "--json"]).args(behaviour);
        let process = Process::phone(phone, "octothorpe");
        let port = wait_for("the lab phone listens", SOON, || {
            let told: Value = serde_json::from_str(process.stdout().lines().next()?).ok()?;
            told["address"].as_str()?.rsplit(':').next()?.parse().ok()
        });
        Self { process, port }
    }

    /// Where it takes calls.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its calls, by their Call-ID.
    pub(crate) fn calls(&self) -> BTreeMap<String, Taken> {
        let mut calls: BTreeMap<String, Taken> = BTreeMap::new();
        // The last line may not be whole yet.
        for line in self.process.stdout().lines() {
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
            let call = || text("call_id");
            match event["event"].as_str() {
                Some("invited") => calls.entry(call()).or_default().to = text("to"),
                Some("pressed") => {
                    let at = humantime::parse_rfc3339(&text("at")).unwrap();
                    calls.entry(call()).or_default().pressed.push((text("key"), at));
                }
                Some(_) | None => {}
            }
        }
        calls
    }
}
