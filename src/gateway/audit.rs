//! Who did what, and when, to the gateway: a log that is only ever added to, in `audit.jsonl` beside the
//! store, where it can be seen whether anything was changed in it or cut off.
//!
//! An entry is on disk before what it tells of is done; where it cannot be written, nothing is done. It
//! holds no number, key or code: whoever writes one masks what it is about.

pub mod chain;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use self::chain::{Head, Looked};
use super::{Fault, Gateway};
use crate::ambient::Timestamp;
use crate::telemetry::{self, Event};
use crate::verify::code::Vault;

/// The log.
pub const FILE: &str = "audit.jsonl";

/// Where it stands.
pub const HEAD_FILE: &str = "audit.head";

/// Who does what the gateway does by itself.
pub const ITSELF: &str = "octothorpe";

/// What somebody does.
#[derive(Clone, Debug)]
pub struct Act {
    /// Who: `operator NAME`, `key TENANT/ID`, `token TENANT/SUBJECT` or `certificate TENANT/NAME`; whoever needs
    /// none of these, by where they were: `operator@loopback`, `cli@loopback`, `cli`, `SIGHUP`; who was refused:
    /// `somebody@ADDRESS`; or [`ITSELF`].
    pub who: String,
    /// What, as `block.add`.
    pub what: &'static str,
    /// To what; masked.
    pub about: Value,
}

/// The log of one store.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    vault: Vault,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    head: Head,
}

impl Log {
    /// Opens the log in this folder, creates it if there is none, and tells what is wrong with it.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn open(dir: &Path, vault: &Vault) -> io::Result<Self> {
        let path = dir.join(FILE);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(&path)?;
        let text = fs::read(&path)?;
        // What a crash left without its end was never answered for.
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::End(0))?;
        let text = String::from_utf8_lossy(text.get(..whole).unwrap_or_default());
        let kept = read_if_there(&dir.join(HEAD_FILE))?;
        let Looked { head, breaks, .. } = chain::look(&text, kept.as_deref(), vault);
        for found in &breaks {
            telemetry::observe(&Event::AuditBroken { found: &found.to_string() });
        }
        // After a log that was cut off goes on what was after it, so that the gap stays to be seen.
        let kept = kept.and_then(|kept| Head::read(&kept, vault));
        let head = kept.filter(|kept| kept.no > head.no).unwrap_or(head);
        let open = Mutex::new(Open { file, head });
        Ok(Self { dir: dir.to_owned(), vault: vault.clone(), open })
    }

    /// Writes an entry; it is on disk when this returns.
    ///
    /// # Errors
    /// When it is not.
    pub fn write(&self, now: Timestamp, act: &Act) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_to(&mut open, now, act)
    }

    fn write_to(&self, open: &mut Open, now: Timestamp, act: &Act) -> io::Result<()> {
        let Act { who, what, about } = act;
        let (line, head) = chain::line(&open.head, &self.vault, now, who, what, about);
        open.file.write_all(line.as_bytes())?;
        open.file.sync_data()?;
        self.put(HEAD_FILE, head.written(&self.vault).as_bytes())?;
        let (no, hash) = (head.no, head.hash.as_str());
        telemetry::observe(&Event::Audited { no, who, what: act.what, hash });
        open.head = head;
        Ok(())
    }

    /// Removes the entries that are older than `keep`, and writes down that it did; how many.
    ///
    /// # Errors
    /// When the log cannot be written anew; it is then as it was.
    pub fn trim(&self, now: Timestamp, keep: Duration) -> io::Result<usize> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let text = fs::read_to_string(self.dir.join(FILE))?;
        // RFC 3339 in UTC with milliseconds sorts as time does.
        let oldest = (now - keep).to_rfc3339();
        let old = |line: &&str| chain::written_at(line).is_some_and(|(_, at)| at < oldest);
        let (mut removed, mut through, mut bytes) = (0, 0, 0);
        for line in text.lines().take_while(old) {
            let no = chain::written_at(line).map_or(0, |(no, _)| no);
            (removed, through, bytes) = (removed + 1, no, bytes + line.len() + 1);
        }
        if removed == 0 {
            return Ok(0);
        }
        let about = json!({ "through": through });
        let act = Act { who: ITSELF.to_owned(), what: chain::TRIMMED, about };
        self.write_to(&mut open, now, &act)?;
        let text = fs::read(self.dir.join(FILE))?;
        self.put(FILE, text.get(bytes..).unwrap_or_default())?;
        open.file = OpenOptions::new().append(true).open(self.dir.join(FILE))?;
        Ok(removed)
    }

    /// Puts a file in the place of another: whole, or not at all.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, half) = (self.dir.join(name), self.dir.join(format!("{name}.tmp")));
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&half)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&half, &path)?;
        File::open(&self.dir)?.sync_all()
    }
}

/// Looks at the log in this folder; `None`: there is none.
///
/// # Errors
/// When it cannot be read.
pub fn verify(dir: &Path, vault: &Vault) -> io::Result<Option<Looked>> {
    let kept = read_if_there(&dir.join(HEAD_FILE))?;
    let text = read_if_there(&dir.join(FILE))?;
    if text.is_none() && kept.is_none() {
        return Ok(None);
    }
    Ok(Some(chain::look(&text.unwrap_or_default(), kept.as_deref(), vault)))
}

fn read_if_there(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Gateway {
    /// Writes down what somebody does, before it is done. A gateway whose store is memory only logs it.
    ///
    /// # Errors
    /// When it could not be written: it must not be done then.
    pub async fn audit(&self, act: Act) -> Result<(), Fault> {
        let now = self.now();
        let Some(log) = self.0.audit.clone() else {
            let Act { who, what, .. } = act;
            telemetry::observe(&Event::Audited { no: 0, who: &who, what, hash: "" });
            return Ok(());
        };
        let written = tokio::task::spawn_blocking(move || log.write(now, &act)).await;
        written
            .unwrap_or_else(|_| Err(io::Error::other("it was not written")))
            .map_err(Fault::Audit)
    }
}

#[cfg(test)]
mod tests {
    use super::chain::Kind;
    use super::*;

    const DAY: u64 = 86_400;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + secs)
    }

    fn act(n: u64) -> Act {
        Act { who: "key acme/1a2b3c4d".into(), what: "block.add", about: json!({ "n": n }) }
    }

    fn kinds(dir: &Path, vault: &Vault) -> Vec<Kind> {
        let looked = verify(dir, vault).unwrap().unwrap();
        looked.breaks.into_iter().map(|it| it.kind).collect()
    }

    #[test]
    fn a_log_goes_on_where_it_ended_and_forgets_what_is_old() {
        let (dir, vault) = (tempfile::tempdir().unwrap(), Vault::of("key"));
        assert!(verify(dir.path(), &vault).unwrap().is_none());
        for day in 0..5 {
            let log = Log::open(dir.path(), &vault).unwrap();
            log.write(at(day * DAY), &act(day)).unwrap();
        }
        assert_eq!(verify(dir.path(), &vault).unwrap().unwrap().entries, 5);
        let log = Log::open(dir.path(), &vault).unwrap();
        assert_eq!(log.trim(at(4 * DAY), Duration::from_secs(2 * DAY)).unwrap(), 2);
        assert_eq!(log.trim(at(4 * DAY), Duration::from_secs(2 * DAY)).unwrap(), 0);
        log.write(at(5 * DAY), &act(9)).unwrap();
        let looked = verify(dir.path(), &vault).unwrap().unwrap();
        assert_eq!((looked.entries, looked.breaks), (5, Vec::new()));
        // A crash in the middle of an entry, which nobody was told was written.
        let path = dir.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}{{\"no\":8,")).unwrap();
        drop(Log::open(dir.path(), &vault).unwrap());
        assert_eq!(kinds(dir.path(), &vault), []);
    }

    #[test]
    fn a_log_that_was_cut_off_shows_it_for_ever() {
        let (dir, vault) = (tempfile::tempdir().unwrap(), Vault::of("key"));
        let log = Log::open(dir.path(), &vault).unwrap();
        (0..5).for_each(|n| log.write(at(n), &act(n)).unwrap());
        drop(log);
        let path = dir.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        let cut: String = text.lines().take(3).map(|line| format!("{line}\n")).collect();
        fs::write(&path, cut).unwrap();
        assert_eq!(kinds(dir.path(), &vault), [Kind::Truncated { first: 4, last: 5 }]);
        Log::open(dir.path(), &vault).unwrap().write(at(9), &act(9)).unwrap();
        assert_eq!(kinds(dir.path(), &vault), [Kind::Removed { first: 4, last: 5 }]);
    }
}
