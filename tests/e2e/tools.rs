//! What every test here needs: the binary, ports, processes whose output is kept and searched for
//! secrets, and rows that run side by side.

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The number that is called: of the range kept for fiction, so that nobody is ever called.
pub(crate) const NUMBER: &str = "+12025550123";

/// What must never be printed, in whatever words around it.
const DIGITS: &str = "2025550123";

/// The key of the tenant.
pub(crate) const API_KEY: &str = "otk_e2e_canary_8c1f5d0b7a93e264f0";

/// The secret of the tenant's webhook, as Standard Webhooks writes it, and the bytes it stands for.
pub(crate) const WEBHOOK_SECRET: (&str, &[u8]) =
    ("whsec_ZTJlLWNhbmFyeS1vZi0zMi1ieXRlcy1vbi1kaXNrLiE=", b"e2e-canary-of-32-bytes-on-disk.!");

/// What the gateway's store is sealed by.
pub(crate) const STORE_SECRET: &str = "canary-of-the-store-3b9f0c7d5e1a";

/// The password of the trunk; the scenarios that challenge know it too.
pub(crate) const SIP_PASSWORD: &str = "correct-horse-canary-staple";

/// The binary under test.
pub(crate) fn octothorpe() -> Command {
    let built = option_env!("CARGO_BIN_EXE_octothorpe").map(PathBuf::from);
    let binary = std::env::var_os("OCTOTHORPE_BIN").map(PathBuf::from).or(built);
    Command::new(binary.expect("Cargo builds the binary, or OCTOTHORPE_BIN names one"))
}

/// The first of `count` loopback ports in a row, even, free for UDP and TCP, and given to nobody
/// else in this run. They lie below those that Linux gives out by itself (32768 and up) and beside
/// the RTP ports that `octothorpe call` draws (20000 to 29999).
pub(crate) fn ports(count: u16) -> u16 {
    const FIRST: u16 = 10_000;
    const SPAN: u16 = 10_000;
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Two runs at a time begin at different places.
    let start = u16::try_from(std::process::id() % 128).unwrap() * 64;
    let count = count.next_multiple_of(2);
    for _ in 0..SPAN / 2 {
        let offset = TAKEN.fetch_add(count, Ordering::Relaxed).wrapping_add(start) % SPAN;
        let first = FIRST + offset.min(SPAN - count) / 2 * 2;
        let free = |port| {
            UdpSocket::bind(("127.0.0.1", port)).is_ok()
                && TcpListener::bind(("127.0.0.1", port)).is_ok()
        };
        if (first..first + count).all(free) {
            return first;
        }
    }
    panic!("no {count} free ports between {FIRST} and {}", FIRST + SPAN);
}

/// Root needs no user namespace, and may be where there is none.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("apt-get install coreutils");
    id.stdout.starts_with(b"0")
}

/// Waits until `found` finds something, and gives it back.
///
/// # Panics
/// When it finds nothing within `patience`.
pub(crate) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut found: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < patience, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs every row at the same time, at most `at_once` of them, and fails with the names of all
/// that failed. Each runs in a thread of its name, by which its panic message can be told.
pub(crate) fn side_by_side<R: Sync>(
    at_once: usize,
    rows: &[R],
    name: impl Fn(&R) -> String + Sync,
    run: impl Fn(&R) + Sync,
) {
    let next = Mutex::new(rows.iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(rows.len()) {
            scope.spawn(|| {
                loop {
                    let Some(row) = next.lock().unwrap().next() else { return };
                    let thread = std::thread::Builder::new().name(name(row));
                    let outcome = std::thread::scope(|inner| {
                        thread.spawn_scoped(inner, || run(row)).unwrap().join()
                    });
                    if outcome.is_err() {
                        failed.lock().unwrap().push(name(row));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} failed: {failed:?}", failed.len(), rows.len());
}

/// A process whose output is kept, and which does not outlive the test.
///
/// When it is dropped, what it has printed must not hold the number, a key or a password.
pub(crate) struct Process {
    child: Child,
    stdout: Kept,
    stderr: Kept,
    readers: Vec<JoinHandle<()>>,
    /// Whether it is the gateway, which must keep secrets; phones need not.
    discreet: bool,
    /// More that it must not print.
    secrets: Mutex<Vec<String>>,
}

type Kept = Arc<Mutex<Vec<u8>>>;

impl Process {
    /// Starts a phone.
    ///
    /// # Panics
    /// When it is not installed, with what to type.
    pub(crate) fn phone(mut command: Command, package: &str) -> Self {
        match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
            Ok(child) => Self::of(child, false),
            Err(error) => panic!(
                "{} does not start ({error}); install with: apt-get install {package}",
                command.get_program().display()
            ),
        }
    }

    /// Starts the gateway, which then logs all it can.
    pub(crate) fn gateway(mut command: Command) -> Self {
        command.env("RUST_LOG", "trace").stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self::of(child.expect("the binary starts"), true)
    }

    fn of(mut child: Child, discreet: bool) -> Self {
        let (stdout, stderr) = (Kept::default(), Kept::default());
        let readers = vec![
            keep(child.stdout.take().unwrap(), &stdout),
            keep(child.stderr.take().unwrap(), &stderr),
        ];
        Self { child, stdout, stderr, readers, discreet, secrets: Mutex::default() }
    }

    /// Searches what it prints for this, too: a code, a PIN, a token, the body of a text. It is
    /// looked for as it is, and as it stands in forms and URLs.
    pub(crate) fn hide(&self, secret: &str) {
        assert!(secret.len() >= 7, "found by chance: {secret}");
        let encoded = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        self.secrets.lock().unwrap().extend([secret.to_owned(), encoded]);
    }

    /// Searches something else of it, a page or a file: it must tell none of what it must not print.
    ///
    /// # Panics
    /// With what it tells.
    pub(crate) fn must_not_tell(&self, what: &str, bytes: &[u8]) {
        let more = self.secrets.lock().unwrap();
        let told = told(bytes, &more);
        assert!(told.is_none(), "{what} tells {}", told.unwrap());
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within `patience`.
    pub(crate) fn wait(&mut self, what: &str, patience: Duration) -> ExitStatus {
        let status = wait_for(what, patience, || self.child.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.wait("killed", Duration::from_secs(5));
    }

    /// SIGTERM; it must then end well.
    pub(crate) fn terminate(&mut self) {
        self.signal("TERM");
        assert!(self.wait("it stops", Duration::from_secs(20)).success());
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal: `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let (name, process) = (format!("-{name}"), self.id().to_string());
        assert!(Command::new("kill").args([name, process]).status().unwrap().success());
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has printed to stdout.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    /// What it has printed to stderr.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        // A second panic would end the whole run.
        if self.discreet && !std::thread::panicking() {
            let more = self.secrets.lock().unwrap();
            tells_no_secret(&self.stdout(), &more);
            tells_no_secret(&self.stderr(), &more);
        }
    }
}

/// The number that was called, keys, passwords and `more` are in no line.
///
/// # Panics
/// With the first line that tells one.
fn tells_no_secret(printed: &str, more: &[String]) {
    for line in printed.lines() {
        let told = told(line.as_bytes(), more);
        assert!(told.is_none(), "the gateway printed {}: {line}", told.unwrap());
    }
}

/// The first of the secrets that these bytes hold.
fn told<'a>(bytes: &[u8], more: &'a [String]) -> Option<&'a str> {
    let secrets = [DIGITS, API_KEY, WEBHOOK_SECRET.0, SIP_PASSWORD, STORE_SECRET];
    let mut all = secrets.into_iter().chain(more.iter().map(String::as_str));
    all.find(|secret| bytes.windows(secret.len()).any(|row| row == secret.as_bytes()))
}

fn keep(mut from: impl Read + Send + 'static, to: &Kept) -> JoinHandle<()> {
    let to = Arc::clone(to);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            to.lock().unwrap().extend_from_slice(&buffer[..length]);
        }
    })
}

#[test]
fn a_secret_in_any_line_is_found() {
    let more = ["90417263".to_owned()];
    tells_no_secret("to=+1******0123\nkey otk_…", &more);
    assert_eq!(told(b"x90417263y", &more), Some("90417263"));
    let lines =
        [NUMBER, STORE_SECRET, "INVITE sip:+12025550123@127.0.0.1 SIP/2.0", API_KEY, SIP_PASSWORD];
    for line in lines.into_iter().chain(["Body=90417263+is+your+code"]) {
        let printed = format!("one\nx {line} y\n");
        assert!(std::panic::catch_unwind(|| tells_no_secret(&printed, &more)).is_err(), "{line}");
    }
}

/// The library that lies about the time.
pub(crate) fn faketime() -> String {
    let found = std::fs::read_dir("/usr/lib").unwrap().find_map(|entry| {
        let library = entry.unwrap().path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    });
    found.expect("apt-get install faketime").display().to_string()
}
