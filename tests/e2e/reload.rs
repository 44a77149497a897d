//! The configuration is read again while calls are up.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::request;
use crate::serve::{Gateway, SOON};
use crate::tools::{NUMBER, Process, octothorpe, wait_for};

/// Calls that are up while it happens.
const CALLS: usize = 50;

/// A lab phone at a port of its own choice, and that port.
fn phone(press_after: &str) -> (Process, u16) {
    let mut phone = octothorpe();
    phone.args(["phone", "--listen", "udp:127.0.0.1:0", "--json", "--answer-after", "0.5"]);
    phone.args(["--press", "#", "--press-after", press_after]);
    let phone = Process::phone(phone, "octothorpe");
    let port = wait_for("the phone listens", SOON, || {
        let told: Value = serde_json::from_str(phone.stdout().lines().next()?).ok()?;
        told["address"].as_str()?.rsplit(':').next()?.parse().ok()
    });
    (phone, port)
}

/// In how many calls it tells of this.
fn told(phone: &Process, event: &str) -> usize {
    let event = format!("\"{event}\"");
    phone.stdout().lines().filter(|line| line.contains(&event)).count()
}

fn trunk(name: &str, port: u16) -> String {
    format!(
        "[[trunks]]\nname = {name:?}\ntarget = \"sip:127.0.0.1:{port};transport=udp\"\n\
         caller_id = \"+12025550100\"\n"
    )
}

#[test]
fn fifty_calls_go_on_by_the_trunk_that_they_were_begun_with() {
    let ((one, one_port), (other, other_port)) = (phone("8"), phone("3"));
    let trunks = format!("{}{}", trunk("changed", one_port), trunk("removed", one_port));
    let routes = "[[routes]]\nprefix = \"+12025550\"\nvia = [\"changed\"]\n\
                  [[routes]]\nvia = [\"removed\"]\n";
    let gateway = Gateway::with(&format!("{trunks}{routes}"), "");
    let up: Vec<String> =
        (0..CALLS).map(|n| gateway.begin(&json!({"to": format!("+120255502{n:02}")}))).collect();
    wait_for("all calls are up", SOON, || (told(&one, "acknowledged") == CALLS).then_some(()));
    // One trunk leads elsewhere, one is gone, and the routes are others.
    gateway.rewrite(|text| {
        text.replace(
            &trunks,
            &format!("{}{}", trunk("changed", other_port), trunk("new", other_port)),
        )
        .replace(routes, "[[routes]]\nvia = [\"new\"]\n")
    });
    let answer = gateway.reload();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json(), json!({"needs_restart": []}));
    assert_eq!(told(&one, "invited"), CALLS);
    let after = gateway.begin(&json!({"to": NUMBER}));
    let settled = gateway.settles(&after, Duration::from_secs(30));
    assert_eq!(settled["status"], "approved", "{settled}");
    assert_eq!(settled["attempts"][0]["route"], "new", "{settled}");
    for id in &up {
        let settled = gateway.settles(id, Duration::from_secs(40));
        assert_eq!(settled["status"], "approved", "{settled}");
        assert_eq!(settled["attempts"].as_array().unwrap().len(), 1, "{settled}");
    }
    assert_eq!((told(&one, "invited"), told(&other, "invited")), (CALLS, 1));
    assert_eq!(gateway.metric("octothorpe_faults_total"), 0);
}

#[test]
fn a_mistake_changes_nothing_and_is_told() {
    let (_phone, port) = phone("3");
    let gateway = Gateway::start(port, None);
    gateway.rewrite(|text| {
        text.replace("target = \"sip:", "target = \"sop:").replace("[sip]", "[sipp]")
    });
    let answer = gateway.reload();
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (422, Some("invalid_configuration"))
    );
    let told = answer.json()["errors"].to_string();
    assert!(told.contains("octothorpe.toml:") && told.contains("sipp"), "{told}");
    gateway.hang_up();
    wait_for("the log tells", SOON, || {
        let lines = gateway.log().lines().filter(|line| line.contains("not reloaded: ")).count();
        (lines >= 2).then_some(())
    });
    let id = gateway.ask();
    assert_eq!(gateway.settles(&id, Duration::from_secs(30))["status"], "approved");
}

#[test]
fn keys_count_at_once_and_what_needs_a_restart_is_told() {
    let gateway = Gateway::start(9, None);
    let status = |key: &str| {
        let bearer = format!("Bearer {key}");
        let path = "/v1/verifications/ver_none";
        request(gateway.api(), "GET", path, &[("Authorization", &bearer)], b"").status
    };
    let (old, new) = (crate::tools::API_KEY, "otk_e2e_another_4b1d0c7e92a85f36d1");
    assert_eq!((status(old), status(new)), (404, 401));
    gateway.rewrite(|text| {
        text.replace(old, new).replace("rtp_ports = [", "engines = 1\nrtp_ports = [")
    });
    gateway.hang_up();
    wait_for("the new key counts", SOON, || (status(new) == 404).then_some(()));
    assert_eq!(status(old), 401);
    let log = gateway.log();
    assert!(log.contains("needs a restart to change: sip.engines"), "{log}");
    assert_eq!(gateway.reload().json(), json!({"needs_restart": ["sip.engines"]}));
}
