//! End to end: the real binary against real phones (SIPp, baresip, one of our own) by SIP, RTP and
//! HTTP on loopback, and against carriers played by other people's programs (`tests/peers`).
//!
//! `cargo test --test e2e -- --test-threads=4` runs all of it in about nine minutes: most wait. It needs `sipp`, `baresip`,
//! `kamailio`, `sngrep`, `tshark`, `svmap`, `nft`, `ip`, `strace`, `faketime`, `prometheus`, `promtool` and
//! `chromium` (`tests/run peers` installs them), and the right to open raw
//! sockets (root, or `setcap cap_net_raw+ep /usr/bin/sipp`), by which SIPp replays RTP; and `node` and `python3` with
//! the libraries that `tests/run peers` installs. A missing program fails the test that needs it.
//!
//! | variable | meaning |
//! |---|---|
//! | `OCTOTHORPE_BIN` | test this binary instead of the one that Cargo has just built |
//! | `OCTOTHORPE_OLD_BIN` | the version that is exchanged for the one under test in `nodes_are_exchanged…`; the same unless said |
//! | `OCTOTHORPE_ATTENDANT_CALLS` | how many calls reach a person behind an auto-attendant; 12 unless said |
//! | `OCTOTHORPE_DRAIN_CALLS` | how many calls are up when the gateway is told to stop; 50 unless said |
//! | `OCTOTHORPE_LOSS_CALLS` | how many calls go over a line that loses datagrams; 60 unless said |
//! | `OCTOTHORPE_ECHO_CALLS` | how many calls go to a line that sends back what it is sent; 12 unless said |
//! | `OCTOTHORPE_FAILOVER_RATE` | how many people a second come while Redis fails; 20 unless said |
//! | `OCTOTHORPE_FROZEN_SECONDS` | how long Redis stands still; 6 unless said |
//! | `OCTOTHORPE_KILL_EVENTS` | how often the gateway is killed in the midst of events; 10 unless said |
//! | `OCTOTHORPE_KILLS` | how often it is killed at each point, in a build that has them; once unless said, and at some only on disk |
//! | `OCTOTHORPE_KILL_ROUNDS` | how often each `kill -9` is repeated; 3 unless said |
//! | `OCTOTHORPE_SESSION_CALLS` | how many calls wait for the end of their session (120 s) after their node was killed; none unless said |
//! | `OCTOTHORPE_NOISE_SECONDS` | how long calls go on in the midst of noise; 10 unless said |
//! | `OCTOTHORPE_RECORDS` | among how many records a number is searched for; 2,000 unless said, and the figures are judged where it is |
//!
//! The long run of the kills: `OCTOTHORPE_KILL_ROUNDS=20 OCTOTHORPE_KILL_EVENTS=100 cargo test --test e2e kill`.
//!
//! That of the points: `OCTOTHORPE_KILLS=20 cargo test --features failpoints --test e2e failpoints`.
//!
//! That of a Redis that fails: `OCTOTHORPE_FAILOVER_RATE=200 OCTOTHORPE_FROZEN_SECONDS=60 cargo test --test e2e
//! failover`.
//!
//! Everything that the gateway prints is kept, at `RUST_LOG=trace`, and searched for the number
//! that was called and for every key, password, code, PIN and text: see [`tools::Process`]. So are the pages
//! of its operators, and the files that it stores.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and lives in real time"
)]

mod access;
mod answering;
mod api;
mod atrest;
mod baresip;
mod board;
mod call;
mod carrier;
mod cdr;
mod certificates;
mod client;
mod dns;
mod drain;
mod extension;
mod failover;
#[cfg(feature = "failpoints")]
mod failpoints;
mod faults;
mod guard;
mod idempotency;
mod inject;
mod kamailio;
mod keys;
mod kill;
#[cfg(feature = "failpoints")]
mod lab;
mod languages;
mod limits;
mod listener;
mod load;
mod loss;
mod lost;
mod mailbox;
mod many;
mod metrics;
mod modes;
mod nodes;
#[cfg(feature = "otlp")]
mod otlp;
mod pcap;
mod peers;
mod phone;
mod rediss;
mod reload;
mod risk;
mod selftest;
mod serve;
#[expect(dead_code, reason = "the tests of the store need more of it")]
#[path = "../store/servers.rs"]
mod servers;
mod sessions;
mod show;
mod sipp;
mod smsc;
mod strangers;
mod tenants;
mod terminal;
mod tools;
mod top;
mod trunks;
mod twilio;
mod twiml;
mod typed;
mod verdict;
mod webhook;
mod webhooks;
mod wideband;
