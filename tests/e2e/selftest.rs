//! Calls to numbers of our own: what breaks between us and a carrier is known before people miss it.

use std::time::{Duration, Instant};

use octothorpe::telemetry::samples::{self, Sample};
use serde_json::{Value, json};

use crate::cdr::told;
use crate::metrics::Prometheus;
use crate::pcap::{POUND, Sound};
use crate::serve::Gateway;
use crate::sipp::Sipp;
use crate::tools::{Process, octothorpe, ports, wait_for};

/// How often trunks are tried here, in seconds.
const EVERY: u64 = 20;

/// How long is waited for what comes within two rounds, on any machine.
const LONG: Duration = Duration::from_secs(120);

/// How long SIPp listens before it presses: what is pressed before the question counts for nothing.
const LISTENS: Duration = Duration::from_millis(3_500);

/// A lab phone that presses `#` for whoever calls, and its port.
pub(crate) fn pressing(more: &[&str]) -> (Process, u16) {
    let port = ports(2);
    let mut command = octothorpe();
    command.args(["phone", "--json", "--listen", &format!("udp:127.0.0.1:{port}")]);
    command.args(["--press", "#", "--answer-after", "0.3", "--press-after", "3.5"]).args(more);
    let phone = Process::phone(command, "nothing: it is ours");
    wait_for("the phone listens", Duration::from_secs(10), || {
        phone.stdout().contains("\"listening\"").then_some(())
    });
    (phone, port)
}

/// How each path stands, as operators are told: trunk, path, whether it works, and what its last call came to.
fn standings(gateway: &Gateway) -> Vec<(String, String, Value, Value)> {
    let told = gateway.admin("/admin/v1/selftests").json();
    let told = told["selftests"].as_array().unwrap().iter();
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    told.map(|it| {
        (text(&it["trunk"]), text(&it["path"]), it["works"].clone(), it["result"].clone())
    })
    .collect()
}

fn all_work(gateway: &Gateway) -> Option<()> {
    standings(gateway).iter().all(|(.., works, _)| *works == json!(true)).then_some(())
}

fn trunk(name: &str, port: u16, numbers: &str) -> String {
    format!(
        "[[trunks]]\nname = {name:?}\ntarget = \"sip:127.0.0.1:{port};transport=udp\"\n\
         options_secs = 0\nselftest = {{ {numbers} }}\n"
    )
}

/// The alarms that ring.
fn ringing(prometheus: &Prometheus) -> Option<Vec<Value>> {
    let alerts = prometheus.get("alerts", &[])?;
    let alerts = alerts["data"]["alerts"].as_array()?.iter();
    Some(alerts.filter(|it| it["state"] == "firing").map(|it| it["labels"].clone()).collect())
}

#[test]
fn the_alarm_names_the_trunk_and_the_path_that_broke_within_two_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let port = ports(8);
    let start = |sound| Sipp::again(port, "selftest", LISTENS, sound);
    let whole = start(Sound::Keys(&[POUND]));
    let (_own, own) = pressing(&["--by-number", "0122=inband"]);
    let ways = [
        trunk("carrier-a", port, "rfc4733 = \"+12025550121\", info = \"+12025550123\""),
        trunk("carrier-b", own, "rfc4733 = \"+12025550171\", inband = \"+12025550122\""),
        format!("[selftest]\nevery_secs = {EVERY}\n"),
    ];
    let gateway = Gateway::with(&ways.concat(), "");
    let prometheus = Prometheus::start(folder.path(), &gateway);
    wait_for("keys come through by every path", LONG, || all_work(&gateway));
    // A day on which all is well, if a short one.
    wait_for("prometheus has scraped", LONG, || {
        let told =
            prometheus.get("query", &["--data-urlencode", "query=octothorpe_selftest_works"])?;
        (told["data"]["result"].as_array()?.len() == 4).then_some(())
    });
    assert_eq!(ringing(&prometheus), Some(Vec::new()));

    // The carrier begins to cut telephone-events short.
    drop(whole);
    let broken = start(Sound::Cut);
    let since = Instant::now();
    let rings =
        wait_for("an alarm rings", LONG, || ringing(&prometheus).filter(|rings| !rings.is_empty()));
    let took = since.elapsed();
    eprintln!("the alarm rang after {took:?}, of rounds of {EVERY} s");
    let labels = json!({
        "alertname": "SelfTestFails", "severity": "critical", "trunk": "carrier-a", "path": "rfc4733",
    });
    assert_eq!(rings, [labels]);
    assert!(took <= Duration::from_secs(2 * EVERY), "{took:?}");
    let is = |trunk: &str, path: &str, works: bool, result: &str| {
        (trunk.to_owned(), path.to_owned(), json!(works), json!(result))
    };
    let expected = [
        is("carrier-a", "rfc4733", false, "unheard"),
        is("carrier-a", "info", true, "heard"),
        is("carrier-b", "rfc4733", true, "heard"),
        is("carrier-b", "inband", true, "heard"),
    ];
    assert_eq!(standings(&gateway), expected);
    let page = gateway.admin("/metrics").body;
    let found: Vec<Sample> = samples::read(&page).collect();
    let calls = |path: &str, result: &str| {
        let is = |it: &&Sample| {
            it.name == "octothorpe_selftest_calls_total"
                && it.label("trunk") == "carrier-a"
                && (it.label("path"), it.label("result")) == (path, result)
        };
        found.iter().find(is).map_or(0.0, |it| it.value)
    };
    assert_eq!((calls("rfc4733", "unheard"), calls("info", "unheard")), (2.0, 0.0));

    // They are nobody's calls: no figure of trunks has them, and the call records have them apart.
    let of_trunks = |it: &Sample| it.name.starts_with("octothorpe_calls_") && !it.labels.is_empty();
    assert_eq!(found.iter().find(|it| of_trunks(it) && it.labels.contains_key("via")), None);
    let board = gateway.admin("/admin/v1/board").json();
    assert_eq!((&board["via"], &board["calls"]["cards"]), (&json!([]), &json!([])));
    let records = told(&gateway, &["cdr", "export", "--since", "2020-01-01"]);
    let rows: Vec<Value> =
        records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.len() >= 6, "{records}");
    let whose = |row: &Value| row["tenant"].as_str().unwrap().to_owned();
    assert!(
        rows.iter().all(|row| whose(row) == format!("selftest:{}", row["via"].as_str().unwrap()))
    );
    let summary = told(&gateway, &["cdr", "summary", "--since", "2020-01-01", "--json"]);
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["lines"], json!([]));

    // And the alarm ends by itself.
    drop(broken);
    let _whole = start(Sound::Keys(&[POUND]));
    wait_for("keys come through again", LONG, || all_work(&gateway));
    wait_for("the alarm is over", LONG, || ringing(&prometheus).filter(Vec::is_empty).map(drop));
}
