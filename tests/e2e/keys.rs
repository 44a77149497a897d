//! Keys by each way that there is, and by several at once: each press is heard once, with its
//! evidence. The lab phone presses them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::call::call;
use crate::tools::{Process, octothorpe, ports, side_by_side, wait_for};

/// A lab phone that was started for one call; gives back its port too.
pub(crate) fn lab_phone(more: &[&str]) -> (Process, u16) {
    let port = ports(2);
    let mut command = octothorpe();
    let listen = format!("udp:127.0.0.1:{port}");
    command.args(["phone", "--listen", &listen, "--calls", "1", "--json"]);
    command.args(["--ring", "0.1", "--answer-after", "0.3"]).args(more);
    let phone = Process::phone(command, "nothing: it is ours");
    wait_for("the phone listens", Duration::from_secs(10), || {
        phone.stdout().contains("\"listening\"").then_some(())
    });
    (phone, port)
}

/// How keys are pressed, and what must be told of it.
struct Row {
    name: &'static str,
    phone: &'static [&'static str],
    /// The ways that told of the `#`.
    paths: &'static [&'static str],
    /// The level of both tones together, in dBm0, and the longest and the shortest that the key was held.
    level: Option<i64>,
    held: [u64; 2],
    /// How many keys were pressed.
    keys: usize,
}

const fn row(
    name: &'static str,
    phone: &'static [&'static str],
    paths: &'static [&'static str],
    level: Option<i64>,
) -> Row {
    Row { name, phone, paths, level, held: [80, 130], keys: 1 }
}

const ROWS: &[Row] = &[
    row("telephone-events", &["--press", "#"], &["rfc4733"], Some(-10)),
    row("dtmf-relay", &["--press", "#", "--by", "info"], &["info"], None),
    row("dtmf", &["--press", "#", "--by", "info-dtmf"], &["info"], None),
    row("tones, µ-law", &["--press", "#", "--by", "inband"], &["inband"], Some(-7)),
    row(
        "tones, A-law",
        &["--press", "#", "--by", "inband", "--codec", "pcma"],
        &["inband"],
        Some(-7),
    ),
    Row {
        held: [30, 60],
        ..row(
            "tones of 40 ms",
            &["--press", "#", "--by", "inband", "--press-ms", "40"],
            &["inband"],
            Some(-7),
        )
    },
    row(
        "tones at -25 dBm0",
        &["--press", "#", "--by", "inband", "--level=-25"],
        &["inband"],
        Some(-22),
    ),
    row(
        "tones under a dial tone",
        &["--press", "#", "--by", "inband", "--tone", "dial"],
        &["inband"],
        Some(-7),
    ),
    row("two at once", &["--press", "#", "--by", "rtp"], &["rfc4733", "inband"], Some(-10)),
    row(
        "three at once",
        &["--press", "#", "--by", "all"],
        &["rfc4733", "inband", "info"],
        Some(-10),
    ),
    // One wrong key is forgiven: were it heard twice, the call would be over.
    Row { keys: 2, ..row("5 and # by events", &["--press", "5,#"], &["rfc4733"], Some(-10)) },
    Row {
        keys: 2,
        ..row("5 and # by tones", &["--press", "5,#", "--by", "inband"], &["inband"], Some(-7))
    },
    Row {
        keys: 2,
        ..row("5 and # by all", &["--press", "5,#", "--by", "all"], &["rfc4733", "info"], Some(-10))
    },
    Row {
        held: [30, 60],
        keys: 2,
        ..row(
            "5 and #, short, soft, A-law",
            &[
                "--press",
                "5,#",
                "--by",
                "inband",
                "--press-ms",
                "40",
                "--level=-25",
                "--codec",
                "pcma",
            ],
            &["inband"],
            Some(-22),
        )
    },
];

#[test]
fn each_press_is_heard_once_by_whichever_ways_it_comes() {
    side_by_side(
        ROWS.len(),
        ROWS,
        |row| row.name.to_owned(),
        |row| {
            let (_phone, port) = lab_phone(row.phone);
            let (told, ladder) = call(port, &[], 0);
            assert_eq!(told["reason"], "confirmed", "{told}\n{ladder}");
            let heard = ladder.lines().filter(|line| line.contains("heard key")).count();
            assert_eq!(heard, row.keys, "{ladder}");
            let press = &told["attempts"][0]["press"];
            assert_eq!(press["path"], json!(row.paths), "{press}");
            assert_eq!(press["level_dbm0"].as_i64(), row.level, "{press}");
            let held = press["held_ms"].as_u64().expect("how long it was held");
            assert!((row.held[0]..=row.held[1]).contains(&held), "{press}");
            let by_events = row.paths.contains(&"rfc4733");
            // One each 20 ms, the last three times: all of 100 ms.
            assert_eq!(press["packets"], if by_events { json!(7) } else { Value::Null }, "{press}");
            assert_eq!(press["sequence"].is_array(), by_events, "{press}");
        },
    );
}
