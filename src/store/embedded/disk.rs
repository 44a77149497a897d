//! The file as redb has it, on a disk that may be full or fail; and the room beside it that is kept for
//! when it is full.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise, posix_fallocate};
use nix::sys::statvfs::fstatvfs;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use crate::telemetry::{self, Event};

/// The room that is kept, in bytes: a thousand verifications that are under way settle in it.
const KEPT: i64 = 4 * 1024 * 1024;

/// How much must be free before it is kept, in bytes: who has just run out of it would do so again at once.
const AMPLE: u64 = 6 * 1024 * 1024;

/// The file that keeps it.
const RESERVE: &str = "octothorpe.reserve";

/// Room on the disk that nobody else can take. Once the disk is full it is given to the store, for what
/// is under way; nothing new is begun until it is kept again.
#[derive(Debug)]
pub(super) struct Reserve {
    file: File,
    kept: Mutex<bool>,
    #[cfg(test)]
    pub(super) faults: faults::Faults,
}

impl Reserve {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let file = own_file(&dir.join(RESERVE))?;
        let reserve = Self {
            file,
            kept: Mutex::new(false),
            #[cfg(test)]
            faults: faults::Faults::default(),
        };
        *reserve.kept.lock().unwrap_or_else(PoisonError::into_inner) = reserve.take();
        Ok(reserve)
    }

    /// Whether there is room for more than what is under way.
    pub(super) fn is_kept(&self) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !*kept && self.take() {
            *kept = true;
            telemetry::observe(&Event::Store { how: "there is room on its disk again" });
        }
        *kept
    }

    /// Takes the room, if it is not taken yet or there is ample.
    fn take(&self) -> bool {
        #[cfg(test)]
        if self.faults.is_full() {
            return false;
        }
        let has = self.file.metadata().is_ok_and(|it| it.len() >= KEPT.unsigned_abs());
        let ample = || match fstatvfs(&self.file) {
            Ok(disk) => {
                let free = disk.blocks_available().saturating_mul(disk.fragment_size());
                // A file system that counts no blocks has no end that it could tell.
                free >= AMPLE || disk.blocks() == 0
            }
            Err(_) => true,
        };
        // Where files cannot be given room beforehand, none is kept, and the service goes on.
        let taken = || {
            let taken = posix_fallocate(&self.file, 0, KEPT);
            !matches!(taken, Err(Errno::ENOSPC | Errno::EDQUOT))
        };
        (has || ample()) && taken()
    }

    /// Gives the room to whoever has none; whether there was any.
    fn give(&self) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let given = *kept && self.file.set_len(0).is_ok();
        if *kept {
            let how = "its disk is full: what is under way is finished, and nothing new begun";
            telemetry::observe(&Event::Store { how });
        }
        #[cfg(test)]
        self.faults.give(if given { KEPT } else { 0 });
        *kept = false;
        given
    }
}

/// The store's file.
#[derive(Debug)]
pub(super) struct Disk {
    file: FileBackend,
    reserve: Arc<Reserve>,
}

impl Disk {
    /// Opens a file that is there.
    pub(super) fn open(path: &Path, reserve: &Arc<Reserve>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        // After a sync that failed the kernel may remember what the disk has not. It forgets, and
        // what is read is what is there.
        file.sync_data()?;
        for advice in
            [PosixFadviseAdvice::POSIX_FADV_DONTNEED, PosixFadviseAdvice::POSIX_FADV_WILLNEED]
        {
            posix_fadvise(&file, 0, 0, advice)?;
        }
        let file = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Self { file, reserve: Arc::clone(reserve) })
    }

    /// Does it, and where the disk is full does it in the room that is kept.
    fn firmly(&self, write: impl Fn() -> io::Result<()>) -> io::Result<()> {
        match write() {
            Err(error) if is_full(&error) && self.reserve.give() => write(),
            written => written,
        }
    }
}

/// What reads, locks and closes is redb's own; it must be handed on, or the file is locked by nobody.
impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.firmly(|| self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        self.reserve.faults.sync()?;
        // Never taken for a full disk, in which one could go on: what was not synced may be gone.
        self.file.sync_data().map_err(|error| io::Error::other(format!("a sync failed: {error}")))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.firmly(|| {
            #[cfg(test)]
            self.reserve.faults.write(offset, data.len())?;
            self.file.write(offset, data)
        })
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

/// Whether it says that there is no room left.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Opens a file for this user alone, and creates it where there is none.
pub(super) fn own_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Disks that fail when they are told to.
#[cfg(test)]
pub(super) mod faults {
    use std::io;
    use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

    #[derive(Debug)]
    pub(in super::super) struct Faults {
        /// How many of the next syncs of a transaction fail.
        pub(in super::super) syncs: AtomicUsize,
        /// How many bytes may be written besides the header; the least number: any.
        pub(in super::super) room: AtomicI64,
        /// A transaction was written and not synced.
        written: AtomicBool,
    }

    impl Default for Faults {
        fn default() -> Self {
            let (syncs, room) = (AtomicUsize::new(0), AtomicI64::new(i64::MIN));
            Self { syncs, room, written: AtomicBool::new(false) }
        }
    }

    impl Faults {
        pub(super) fn sync(&self) -> io::Result<()> {
            if !self.written.swap(false, Ordering::SeqCst) {
                return Ok(());
            }
            let less = |left: usize| left.checked_sub(1);
            match self.syncs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
                Ok(_) => Err(io::Error::from_raw_os_error(5)),
                Err(_) => Ok(()),
            }
        }

        pub(super) fn write(&self, offset: u64, bytes: usize) -> io::Result<()> {
            if offset == 0 {
                self.written.store(true, Ordering::SeqCst);
                return Ok(());
            }
            let bytes = i64::try_from(bytes).unwrap();
            let less = |left: i64| match left {
                i64::MIN => Some(left),
                left => (left >= bytes).then(|| left - bytes),
            };
            match self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
                Ok(_) => Ok(()),
                Err(_) => Err(io::Error::from_raw_os_error(28)),
            }
        }

        pub(super) fn give(&self, bytes: i64) {
            let more = |left: i64| (left != i64::MIN).then(|| left + bytes);
            let _ = self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        }

        pub(super) fn is_full(&self) -> bool {
            self.room.load(Ordering::SeqCst) != i64::MIN
        }
    }
}
