//! A line that loses three of ten SIP datagrams, both ways: a network namespace of its own, whose
//! loopback drops them at random.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::tools::{is_root, octothorpe};

/// How many calls; `OCTOTHORPE_LOSS_CALLS` says otherwise.
const CALLS: usize = 60;

/// SIP goes from one port that the system chose to another, RTP to or from one that the gateway drew:
/// 10000 to 31999.
const LOSES_SIP: &str = "add table inet t; \
    add chain inet t c { type filter hook input priority 0; }; \
    add rule inet t c udp sport >= 32768 udp dport >= 32768 numgen random mod 100 < 30 drop";

/// Every tenth loss or so is of the same message again; with seven copies of each in 64 * T1, nearly
/// every call is carried through, and none twice.
#[test]
fn calls_survive_the_loss_of_three_datagrams_in_ten() {
    let calls = std::env::var("OCTOTHORPE_LOSS_CALLS").ok().and_then(|it| it.parse().ok());
    let calls: usize = calls.unwrap_or(CALLS);
    let binary = octothorpe().get_program().to_owned();
    let inside = format!(
        "ip link set lo up && nft '{LOSES_SIP}' && \
         exec \"$1\" bench mixed --good --calls {calls} --rate 10 --store memory --json"
    );
    let mut shell = Command::new("unshare");
    if !is_root() {
        shell.args(["--user", "--map-root-user"]);
    }
    shell.args(["--net", "sh", "-c", &inside, "sh"]).arg(binary);
    let ran = shell.stdin(Stdio::null()).output().expect("apt-get install util-linux");
    let (told, log) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let figures: Vec<Value> = told.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let value = |name: &str| {
        let figure = figures.iter().find(|figure| figure["measure"] == name);
        let figure = figure.unwrap_or_else(|| {
            panic!("no {name}: is nftables installed (apt-get install nftables iproute2)?\n{log}")
        });
        figure["value"].as_f64().unwrap()
    };
    #[expect(clippy::cast_precision_loss, reason = "a few hundred calls")]
    let most = 0.05 * calls as f64;
    assert!(value("verdicts") <= most, "{told}{log}");
    for left in ["doubled", "octothorpe_legs", "octothorpe_sip_calls", "octothorpe_rtp_pairs"] {
        assert!(value(left) <= 0.0, "{left}: {told}{log}");
    }
}
