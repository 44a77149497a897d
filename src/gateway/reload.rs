//! Other settings while the gateway runs.
//!
//! What is under way goes on by what it was begun with: a call keeps its trunk, its limits and its way
//! out. What begins afterwards goes by what was read last.

use std::collections::{BTreeMap, HashMap};

use super::orders::Orders;
use super::settings::{By, Settings, Trunk};
use super::smsc::Smsc;
use super::{Gateway, start};
use crate::telemetry::{self, Event};

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
        self.tell_certificates(&before.trunks, &settings.trunks);
        let orders = Orders::new(settings, self.0.vault.clone(), smscs);
        // The watch tells the trunks of this address, too, and was told it at the start.
        self.order(Orders { advertise: self.0.started.advertise, ..orders }, settings);
        self.seat();
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
                let clock = self.0.clock.unled();
                let smsc = Smsc::start((**wanted).clone(), events.clone(), clock);
                tokio::spawn(start::tell_of(carrier.name.clone(), smsc.states()));
                smsc
            });
            sessions.insert(carrier.name.clone(), session);
        }
        sessions
    }

    /// Tells until when the certificates are good that trunks are shown, and the listeners of SIP.
    fn tell_certificates(&self, before: &[Trunk], now: &[Trunk]) {
        let tell = |of: &str, ends| telemetry::observe(&Event::Certificate { of, ends });
        if let Some(identity) = &self.0.started.sip_identity {
            tell("sip", identity.ends());
        }
        let of =
            |trunk: &Trunk| trunk.tls.identity.as_ref().map(|it| (trunk.name.clone(), it.ends()));
        let shown: BTreeMap<_, _> = now.iter().filter_map(of).collect();
        let gone = before.iter().filter_map(of).filter(|(name, _)| !shown.contains_key(name));
        for (name, ends) in gone.map(|(name, _)| (name, None)).chain(shown.clone()) {
            tell(&format!("trunk {name}"), ends);
        }
    }

    /// What is left as it was, although the settings say otherwise.
    fn left(&self, settings: &Settings) -> Vec<&'static str> {
        let started = &self.0.started;
        [
            ("store.url", started.store != settings.store),
            ("store.secret", started.secret != settings.secret),
            ("store.keep_days", started.keep.records != settings.keep.records),
            ("store.keep_audit_days", started.keep.audit != settings.keep.audit),
            ("store.older_secrets", started.older_secrets != settings.older_secrets),
            ("sip.listen", started.sip_listen != settings.sip_listen),
            ("sip.tls_certificate", started.sip_identity != settings.sip_identity),
            ("server.verdict_key", started.verdict_key != settings.verdict_key),
            ("sip.advertise", started.advertise != settings.advertise),
            ("sip.dns", started.dns != settings.dns),
            ("sip.rtp_ports", started.rtp_ports != settings.rtp_ports),
            ("capture.hep", started.hep != settings.hep),
            ("telemetry.otlp", started.otlp != settings.otlp),
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

#[cfg(test)]
mod tests {

    use zeroize::Zeroizing;

    use super::*;
    use crate::ambient::{Clock, Entropy};
    use crate::carrier::smpp;
    use crate::gateway::settings::Provider;

    fn settings(centres: &[(&str, &str)]) -> Settings {
        let provider = |(name, password): &(&str, &str)| {
            // Nothing listens there.
            let (at, password) = (("127.0.0.1", 9), Zeroizing::new((*password).to_owned()));
            let by = By::Smpp(Box::new(smpp::Settings::new(*name, at, "us", password, "38383")));
            let (name, sender) = ((*name).to_owned(), "38383".to_owned());
            Provider { name, sender, inbound_token: None, by }
        };
        Settings { carriers: centres.iter().map(provider).collect(), ..Settings::bare() }
    }

    #[tokio::test]
    async fn a_session_that_stays_as_it_was_stays_up() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let first = settings(&[("stays", "a"), ("changes", "a"), ("goes", "a")]);
        let (gateway, running) =
            Gateway::start(first, Clock::system(), Entropy::from_number(1), None).unwrap();
        let before = gateway.orders();
        let second = settings(&[("stays", "a"), ("changes", "b"), ("comes", "a")]);
        assert_eq!(gateway.reload(&second), [""; 0]);
        let after = gateway.orders();
        let session = |orders: &Orders, name: &str| orders.smscs.get(name).cloned();
        let is_same = |name: &str| {
            let (before, after) = (session(&before, name), session(&after, name));
            before.zip(after).map(|(before, after)| before.is(&after))
        };
        assert_eq!(is_same("stays"), Some(true));
        assert_eq!(is_same("changes"), Some(false));
        assert!(session(&after, "goes").is_none() && session(&after, "comes").is_some());
        // Who was left behind comes to an end.
        for name in ["changes", "goes"] {
            let mut states = session(&before, name).unwrap().states();
            while states.changed().await.is_ok() {}
        }
        assert_eq!(gateway.reload(&Settings { engines: Some(2), ..second }), ["sip.engines"]);
        running.drain(std::time::Duration::ZERO).await;
    }
}
