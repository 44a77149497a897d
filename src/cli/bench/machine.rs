//! The machine: its cores, its disk, and what a process takes of it. Read from `/proc`.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use super::figures::{Spread, micros};
use crate::ambient::Clock;

/// A CPU's number.
pub(super) type Core = usize;

/// `USER_HZ`: the unit of times in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;

/// How often the disk is asked to sync.
const SYNCS: usize = 64;

/// How often a canary wants to run.
const TICK: Duration = Duration::from_millis(1);

/// Which cores the two sides have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cores {
    /// Both share what there is.
    Shared(&'static str),
    /// One each.
    Apart {
        /// The gateway's.
        gateway: Core,
        /// The phones' and the API clients'.
        phones: Core,
    },
}

impl Cores {
    /// What runs this program on the gateway's side.
    pub(super) fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Apart { gateway, .. } => {
                let mut command = Command::new("taskset");
                command.args(["-c", &gateway.to_string()]).arg(program);
                command
            }
            Self::Shared(_) => Command::new(program),
        }
    }
}

/// The cores of so many gateways, each with one of its own that the phones do not have; `None` where there are
/// fewer.
pub(super) fn several(cores: Cores, count: usize) -> Option<Vec<Cores>> {
    let Cores::Apart { phones, .. } = cores else { return None };
    let online = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let others = self::cores(&online).into_iter().filter(|core| *core != phones).take(count);
    let others: Vec<Cores> = others.map(|gateway| Cores::Apart { gateway, phones }).collect();
    (others.len() == count).then_some(others)
}

/// Gives this process the second core that it may use; the first is left for the gateway.
pub(super) fn divide() -> Cores {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = field(&status, "Cpus_allowed_list:").map(cores).unwrap_or_default();
    let [gateway, phones, ..] = *allowed.as_slice() else {
        return Cores::Shared("this machine gives us one core");
    };
    let id = std::process::id().to_string();
    let pinned = Command::new("taskset")
        .args(["-a", "-c", "-p", &phones.to_string(), &id])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match pinned {
        Ok(status) if status.success() => Cores::Apart { gateway, phones },
        Ok(_) | Err(_) => Cores::Shared("taskset cannot be run"),
    }
}

/// `0-2,5` in full.
fn cores(list: &str) -> Vec<Core> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<Core>().ok()?..=last.parse::<Core>().ok()?)
    });
    ranges.flatten().collect()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// What this machine is, in words.
pub(super) fn limits(cores: Cores, syncs: &Spread) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("CPU", |(_, model)| model);
    let count = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let limits = read("/proc/self/limits");
    let files = field(&limits, "Max open files").and_then(|line| line.split_whitespace().next());
    let pinned = match cores {
        Cores::Apart { gateway, phones } => {
            format!("gateway on core {gateway}, phones and clients on core {phones} (taskset)")
        }
        Cores::Shared(why) => format!("gateway, phones and clients share all cores: {why}"),
    };
    format!(
        "{count} x {model}, Linux {}, {} open files, fsync p50 {:.2} ms p99 {:.2} ms, load {}; {pinned}",
        read("/proc/sys/kernel/osrelease"),
        files.unwrap_or("?"),
        syncs.percent(50),
        syncs.percent(99),
        load(),
    )
}

/// The load averages.
pub(super) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// How long the disk under `folder` takes to make 4 KiB durable.
pub(super) fn syncs(folder: &Path, clock: &Clock) -> anyhow::Result<Spread> {
    let path = folder.join("sync");
    let file = fs::File::create(&path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = clock.now();
        file.write_all(&[0x23; 4_096])?;
        file.sync_data()?;
        times.push(clock.now().since(began).as_micros() as u64);
    }
    fs::remove_file(&path)?;
    Ok(Spread::of(times))
}

/// The most memory that a process has had, in MiB.
pub(super) fn most_memory(process: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let most = field(&status, "VmHWM:").and_then(|text| text.split_whitespace().next());
    let kib: f64 = most.context("the kernel does not tell the process's memory")?.parse()?;
    Ok(kib / 1_024.0)
}

/// Seconds of CPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    /// By the gateway.
    pub(super) gateway: f64,
    /// By its media thread.
    pub(super) engine: f64,
    /// By the phones and clients: this process.
    pub(super) phones: f64,
    /// By everything on this machine.
    pub(super) all: f64,
}

impl Used {
    /// By now, since each began.
    pub(super) fn now(gateway: u32) -> io::Result<Self> {
        let mut engine = 0.0;
        for thread in fs::read_dir(format!("/proc/{gateway}/task"))? {
            let path = thread?.path();
            // A thread may have ended since.
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            if name.starts_with("engine-") {
                engine += seconds(&path.join("stat"))?;
            }
        }
        Ok(Self {
            gateway: seconds(Path::new(&format!("/proc/{gateway}/stat")))?,
            engine,
            phones: seconds(Path::new("/proc/self/stat"))?,
            all: busy()?,
        })
    }

    /// Since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            gateway: self.gateway - earlier.gateway,
            engine: self.engine - earlier.engine,
            phones: self.phones - earlier.phones,
            all: self.all - earlier.all,
        }
    }

    /// By others than the bench.
    pub(super) fn others(self) -> f64 {
        (self.all - self.gateway - self.phones).max(0.0)
    }
}

fn seconds(stat: &Path) -> io::Result<f64> {
    let text = fs::read_to_string(stat)?;
    // The name in parentheses may hold anything; the 12th and 13th word after it count.
    let (_, words) = text.rsplit_once(')').unwrap_or_default();
    let words = words.split_whitespace().skip(11).take(2);
    Ok(words.filter_map(|word| word.parse::<f64>().ok()).sum::<f64>() / TICKS)
}

/// All but idle and waiting for disks; stolen time counts, guests are within the rest.
fn busy() -> io::Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let words = field(&text, "cpu ").unwrap_or_default().split_whitespace().take(8);
    let ticks: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    Ok((ticks.iter().sum::<f64>() - idle) / TICKS)
}

/// The memory of a process that is in RAM (`VmRSS`), in KiB.
pub(super) fn resident(process: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let words = field(&status, "VmRSS:").and_then(|value| value.split_whitespace().next());
    Ok(words.context("/proc names no VmRSS")?.parse()?)
}

/// A thread that wants to run every millisecond, and notes how late it was let: as much of a latency
/// may be this side's.
pub(super) struct Canary {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u64>>,
}

impl Canary {
    pub(super) fn start(clock: Clock) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || {
            let mut late = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let due = clock.now() + TICK;
                std::thread::sleep(TICK);
                late.push(micros(clock.now().since(due)));
            }
            late
        };
        let thread = std::thread::Builder::new().name("canary".to_owned()).spawn(work)?;
        Ok(Self { stop, thread })
    }

    /// How late it was.
    pub(super) fn stop(self) -> Spread {
        self.stop.store(true, Ordering::Relaxed);
        Spread::of(self.thread.join().unwrap_or_default())
    }
}

/// A thread of this process, by its name.
pub(super) fn thread(name: &str) -> Option<u32> {
    let threads = fs::read_dir("/proc/self/task").ok()?.flatten();
    let mut named = threads.filter(|thread| {
        // A thread may have ended since.
        fs::read_to_string(thread.path().join("comm")).is_ok_and(|it| it.trim() == name)
    });
    named.next()?.file_name().to_str()?.parse().ok()
}

/// Gives a thread a core.
pub(super) fn pin(thread: u32, core: Core) -> anyhow::Result<()> {
    let mut command = Command::new("taskset");
    command.args(["-c", "-p", &core.to_string(), &thread.to_string()]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    anyhow::ensure!(status?.success(), "taskset cannot give a thread its core");
    Ok(())
}

/// How long a thread of this process has run on a core.
pub(super) fn ran(thread: u32) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat"))?;
    let nanos = text.split_whitespace().next().context("/proc tells no times of threads")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(cores("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(cores("3"), [3]);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let own = std::process::id();
        assert!(resident(own).unwrap() > 500.0);
        let used = Used::now(own).unwrap();
        assert!(used.all > 0.0 && used.engine == 0.0);
    }
}
