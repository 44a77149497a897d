//! SIPp as the phone: runs one of the scenarios in `sipp/` for one call.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::pcap::{self, Sound};
use crate::tools::{Process, ports, wait_for};

/// The longest scenario takes 45 s.
const PATIENCE: Duration = Duration::from_secs(100);

/// A phone that waits for a call, or for some.
pub(crate) struct Sipp {
    process: Process,
    port: u16,
    /// The system's list of sockets that its own stands in.
    table: String,
    folder: TempDir,
}

impl Sipp {
    /// Starts the scenario of this name. It listens for `listen`, and what it then plays is
    /// `sound`.
    pub(crate) fn start(scenario: &str, listen: Duration, sound: Sound) -> Self {
        Self::at(("127.0.0.1", "udp"), scenario, listen, sound)
    }

    /// The same for so many calls at once.
    pub(crate) fn many(calls: usize, scenario: &str, listen: Duration, sound: Sound) -> Self {
        Self::of(ports(8), calls, ("127.0.0.1", "udp"), scenario, listen, sound)
    }

    /// The same for any number of calls, at this port of eight that are free.
    pub(crate) fn again(port: u16, scenario: &str, listen: Duration, sound: Sound) -> Self {
        Self::of(port, 10_000, ("127.0.0.1", "udp"), scenario, listen, sound)
    }

    /// The same at this address, by UDP or TCP.
    pub(crate) fn at(
        at: (&str, &'static str),
        scenario: &str,
        listen: Duration,
        sound: Sound,
    ) -> Self {
        Self::of(ports(8), 1, at, scenario, listen, sound)
    }

    fn of(
        port: u16,
        calls: usize,
        (ip, transport): (&str, &'static str),
        scenario: &str,
        listen: Duration,
        sound: Sound,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let captures = folder.path().join("pcap");
        std::fs::create_dir(&captures).unwrap();
        for (name, sound) in [("press.pcap", sound), ("tone.pcap", Sound::Tone)] {
            std::fs::write(captures.join(name), pcap::file(&pcap::packets(sound))).unwrap();
        }
        // One for SIP, one for SIPp's own control, and from the third on for media.
        let scenarios = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/sipp"));
        let mut sipp = Command::new("sipp");
        sipp.current_dir(folder.path())
            .arg("-sf")
            .arg(scenarios.join(scenario).with_extension("xml"))
            .args(["-t", if transport == "tcp" { "t1" } else { "u1" }])
            .args(["-i", ip, "-p", &port.to_string()])
            .args(["-ci", "127.0.0.1", "-cp", &(port + 1).to_string()])
            .args(["-mi", ip, "-mp", &(port + 2).to_string()])
            .args(["-m", &calls.to_string(), "-d", &listen.as_millis().to_string(), "-nostdin"])
            .args(["-recv_timeout", &PATIENCE.as_millis().to_string()])
            .args([
                "-trace_err",
                "-error_file",
                "errors",
                "-trace_msg",
                "-message_file",
                "messages",
            ]);
        let process = Process::phone(sipp, "sip-tester");
        let table = if ip.contains(':') { format!("{transport}6") } else { transport.to_owned() };
        let mut phone = Self { process, port, table, folder };
        wait_for("SIPp listens", Duration::from_secs(10), || phone.listens().then_some(()));
        phone
    }

    /// Where it takes calls.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// With what went over the wire, when it was not content with the signalling.
    pub(crate) fn content(&mut self) -> Result<(), String> {
        // It lingers for a second, to see what should not come.
        let status = self.process.wait("SIPp ends", Duration::from_secs(15));
        if status.success() {
            return Ok(());
        }
        Err(format!("SIPp ends with {status}\n{}{}", self.kept("errors"), self.kept("messages")))
    }

    /// Whether its SIP port is bound: it says so nowhere, and trying would disturb it.
    fn listens(&mut self) -> bool {
        let runs = self.process.runs();
        assert!(runs, "SIPp did not start: {}{}", self.process.stderr(), self.kept("errors"));
        let bound = format!(":{:04X} ", self.port);
        let sockets = std::fs::read_to_string(format!("/proc/net/{}", self.table)).unwrap();
        sockets.lines().any(|line| {
            line.split_whitespace().nth(1).is_some_and(|it| format!("{it} ").ends_with(&bound))
        })
    }

    fn kept(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }
}
