//! Other settings while the gateway runs.
//!
//! What is under way goes on by what it was begun with: a call keeps its trunk, its limits and its way
//! out. What begins afterwards goes by what was read last.

use std::collections::HashMap;

use super::orders::Orders;
use super::settings::{By, Settings};
use super::smsc::Smsc;
use super::{Gateway, start};

impl Gateway {
    /// Takes other settings: trunks, routes, tenants, carriers, texts and the limits of calls. Sessions
    /// with message centres that stay as they were stay up. The result names the keys that only a
    /// restart can change: what they say now is not done.
    ///
    /// Must be called within a Tokio runtime.
    pub fn reload(&self, settings: &Settings) -> Vec<&'static str> {
        let before = self.orders();
        let smscs = self.sessions(&before.smscs, settings);
        for (name, smsc) in &before.smscs {
            let another = smscs.get(name).cloned();
            if another.as_ref().is_none_or(|another| !another.is(smsc)) {
                tokio::spawn(end(name.clone(), smsc.clone(), another));
            }
        }
        if let Some(watch) = &self.0.watch {
            watch.set(&settings.trunks);
        }
        self.0.present.set(Orders::new(settings, self.0.vault.clone(), smscs));
        self.left(settings)
    }

    /// The sessions of these settings: those that are up as they should be, and new ones.
    fn sessions(
        &self,
        before: &HashMap<String, Smsc>,
        settings: &Settings,
    ) -> HashMap<String, Smsc> {
        let mut sessions = HashMap::new();
        let Some(events) = &self.0.sessions else { return sessions };
        for carrier in &settings.carriers {
            let By::Smpp(wanted) = &carrier.by else { continue };
            let kept = before.get(&carrier.name).filter(|smsc| smsc.settings() == &**wanted);
            let session = kept.cloned().unwrap_or_else(|| {
                let clock = self.0.clock.clone();
                let smsc = Smsc::start((**wanted).clone(), events.clone(), clock);
                tokio::spawn(start::tell_of(carrier.name.clone(), smsc.states()));
                smsc
            });
            sessions.insert(carrier.name.clone(), session);
        }
        sessions
    }

    /// What is left as it was, although the settings say otherwise.
    fn left(&self, settings: &Settings) -> Vec<&'static str> {
        let started = &self.0.started;
        [
            ("store.url", started.store != settings.store),
            ("store.secret", started.secret != settings.secret),
            ("sip.listen", started.sip_listen != settings.sip_listen),
            ("sip.rtp_ports", started.rtp_ports != settings.rtp_ports),
            ("sip.engines", started.engines != settings.engines),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }
}

/// Lets a session finish what it has begun, and ends it. Then the one that has its name now has the
/// last word on how it stands.
async fn end(name: String, smsc: Smsc, another: Option<Smsc>) {
    smsc.stop().await;
    if let Some(another) = another {
        start::tell(&name, &another.state());
    }
}
