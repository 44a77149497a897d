//! What a configuration's trunks say when they are spoken to: found, connected to, asked, registered at,
//! by a gateway that keeps nothing and calls nobody.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ambient::{Clock, Entropy};
use crate::gateway::settings::{Settings, StoreSettings, Trunk};
use crate::gateway::{Gateway, How, TrunkView};
use crate::sip::Hop;

/// How long what takes longest may take: a question to the DNS, a connection, REGISTER to a server that
/// does not answer.
const PATIENCE: Duration = Duration::from_secs(12);

/// How often it is looked whether everything is known.
const LOOK: Duration = Duration::from_millis(50);

/// What became of the trunks of these settings that have one of these names, or of all.
pub(super) async fn look(
    settings: &Settings,
    name: Option<&str>,
) -> anyhow::Result<Vec<TrunkView>> {
    let wanted = |trunk: &&Trunk| name.is_none_or(|name| trunk.name == name);
    // A trunk that is not to be asked by OPTIONS is asked all the same, for only then it is connected to.
    // Nobody is called, no number of our own either.
    let asked = |trunk: &Trunk| Trunk {
        health: trunk.health.or(Some(PATIENCE)),
        selftest: Vec::new(),
        ..trunk.clone()
    };
    let trunks: Vec<Trunk> = settings.trunks.iter().filter(wanted).map(asked).collect();
    let (gateway, running) =
        Gateway::start(alone(settings, trunks), Clock::system(), Entropy::system(), None)?;
    let known = async {
        while gateway.trunks().iter().any(is_waiting) {
            tokio::time::sleep(LOOK).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, known).await;
    let mut views = gateway.trunks();
    running.drain(Duration::ZERO).await;
    for view in &mut views {
        let unasked = |trunk: &Trunk| trunk.name == view.name && trunk.health.is_none();
        if settings.trunks.iter().any(unasked) {
            view.steps.retain(|step| step.step != "options");
        }
    }
    Ok(views)
}

/// Nothing but these trunks, on ports of its own: the gateway that uses them may be running.
fn alone(settings: &Settings, trunks: Vec<Trunk>) -> Settings {
    let elsewhere = |hop: &Hop| {
        let mut hop = *hop;
        hop.address.set_port(0);
        hop
    };
    Settings {
        store: StoreSettings::Memory,
        sip_listen: settings.sip_listen.iter().map(elsewhere).collect(),
        sip_identity: settings.sip_identity.clone(),
        advertise: settings.advertise,
        dns: settings.dns,
        trunks,
        ..Settings::bare()
    }
}

fn is_waiting(view: &TrunkView) -> bool {
    view.steps.iter().any(|step| step.how == How::Waits)
}

/// Whether calls by this trunk have a chance: it is found, knows us, and one of its servers can be
/// spoken to.
pub(super) fn works(view: &TrunkView) -> bool {
    let fails = |hop: Option<&str>| {
        let mut those = view.steps.iter().filter(|step| step.hop.as_deref() == hop);
        those.any(|step| step.how != How::Works)
    };
    let mut hops = view.steps.iter().filter_map(|step| step.hop.as_deref());
    !fails(None) && hops.any(|hop| !fails(Some(hop)))
}

/// A line for each step, and one more for what to do.
pub(super) fn text(view: &TrunkView) -> String {
    let mut text = format!("{}  {}\n", view.name, view.target);
    for step in &view.steps {
        let how = match step.how {
            How::Works => "ok",
            How::Fails => "FAILS",
            How::Waits => "?",
        };
        let at = step.hop.as_ref().map(|hop| format!("{hop}: ")).unwrap_or_default();
        let _ = writeln!(text, "  {:<9} {how:<6} {at}{}", step.step, step.said);
        if let Some(remedy) = step.remedy {
            let _ = writeln!(text, "  {:<16} -> {remedy}", "");
        }
    }
    if view.registration.is_none() && works(view) {
        let _ = writeln!(
            text,
            "  credentials and numbers show in a call only: octothorpe trunk test {} --call NUMBER",
            view.name
        );
    }
    text
}

/// The same for programs.
pub(super) fn object(view: &TrunkView) -> Value {
    json!({
        "name": view.name, "target": view.target, "works": works(view), "steps": view.steps,
    })
}
