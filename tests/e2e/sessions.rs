//! Session timers (RFC 4028) against Kamailio, which keeps them for baresip behind it: what a trunk wants is asked
//! for at once from then on, and a call whose node has died is ended by its session.
//!
//! The session of a call that nobody refreshes lasts 120 s, so that `OCTOTHORPE_SESSION_CALLS` says how many are
//! waited for, at the same time; none unless said.

use std::time::{Duration, Instant};

use crate::baresip::Baresip;
use crate::kamailio::Kamailio;
use crate::serve::Gateway;
use crate::tools::{SIP_PASSWORD, side_by_side};

/// How long a session lasts that was not refreshed, and how much later Kamailio may look, whose timers have ticks.
const SESSION: Duration = Duration::from_secs(120);
const TICKS: Duration = Duration::from_secs(5);

fn gateway(proxy: &Kamailio) -> Gateway {
    let trunk = proxy.trunk("udp", "caller_id = \"+12025550100\"\noptions_secs = 0");
    Gateway::with(&trunk.replace("env:E2E_SIP_PASSWORD", SIP_PASSWORD), "")
}

#[test]
fn what_a_trunk_wants_is_asked_for_at_once_by_the_next_call() {
    let mut phone = Baresip::start("");
    let proxy = Kamailio::timing(phone.port(), 600);
    let gateway = gateway(&proxy);
    for asked in [&["120", "600"][..], &["120", "600", "600"]] {
        let id = gateway.ask();
        phone.event("CALL_ESTABLISHED");
        gateway.reaches(&id, "listening");
        phone.command("sndcode", "#");
        phone.event("CALL_CLOSED");
        assert_eq!(gateway.read(&id, "?wait=10")["status"], "approved");
        assert_eq!(proxy.sessions(), asked);
    }
}

#[test]
fn the_call_of_a_node_that_was_killed_ends_by_its_session() {
    let calls = std::env::var("OCTOTHORPE_SESSION_CALLS").ok();
    let calls = calls.map_or(0, |calls| calls.parse().expect("a number of calls"));
    side_by_side(
        calls,
        &(0..calls).collect::<Vec<_>>(),
        |call| format!("call {call}"),
        |_| {
            let mut phone = Baresip::start("");
            let proxy = Kamailio::timing(phone.port(), 90);
            let mut gateway = gateway(&proxy);
            let id = gateway.ask();
            phone.event("CALL_ESTABLISHED");
            let up = Instant::now();
            gateway.reaches(&id, "listening");
            gateway.kill();
            phone.patience(SESSION + TICKS);
            phone.event("CALL_CLOSED");
            let lasted = up.elapsed();
            println!("the phone was off the hook for {lasted:?}");
            assert!(lasted > SESSION - TICKS && lasted < SESSION + TICKS, "{lasted:?}");
        },
    );
}
