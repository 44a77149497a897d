//! How the media threads and the kernel do, told to the metrics every few seconds.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::line::Calls;
use crate::telemetry::{self, Event};

/// How often it is told.
const PERIOD: Duration = Duration::from_secs(5);

/// Tells until the runtime ends it.
pub(super) async fn tell(calls: Arc<Calls>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        for (engine, gauge) in calls.gauges().enumerate() {
            let account = gauge.take();
            telemetry::observe(&Event::Engine {
                engine,
                late: account.late.percent(99),
                busy: account.worked.div_duration_f64(account.span.max(Duration::from_micros(1))),
            });
        }
        // Where the kernel does not tell, there is nothing to count.
        if let Ok(dropped) = dropped() {
            telemetry::observe(&Event::Dropped(dropped));
        }
    }
}

/// Datagrams that the kernel dropped because a socket's buffer was full: those of all programs of this
/// machine, or of this container where it has a network of its own.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn dropped() -> io::Result<u64> {
    let v4 = fs::read_to_string("/proc/net/snmp")?;
    // Without IPv6 there is no such file.
    let v6 = fs::read_to_string("/proc/net/snmp6").unwrap_or_default();
    Ok(of_v4(&v4) + of_v6(&v6))
}

fn of_v4(text: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    let found = columns.find(|(name, _)| *name == "RcvbufErrors");
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

fn of_v6(text: &str) -> u64 {
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix("Udp6RcvbufErrors"));
    found.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn what_a_full_socket_drops_is_counted() {
        for ip in ["127.0.0.1", "[::1]"] {
            let full = UdpSocket::bind(format!("{ip}:0")).unwrap();
            let sender = UdpSocket::bind(format!("{ip}:0")).unwrap();
            let before = dropped().unwrap();
            for _ in 0..5_000 {
                sender.send_to(&[0; 1_000], full.local_addr().unwrap()).unwrap();
            }
            assert!(dropped().unwrap() > before, "{ip}");
        }
    }

    #[test]
    fn a_kernel_that_says_nothing_dropped_nothing() {
        assert_eq!((of_v4(""), of_v4("Udp: InDatagrams\nUdp: 7\n"), of_v6("")), (0, 0, 0));
        assert_eq!(of_v4("Udp: InErrors RcvbufErrors\nUdp: 7 5\n"), 5);
        assert_eq!(of_v6("Udp6InErrors\t3\nUdp6RcvbufErrors\t4\n"), 4);
    }
}
