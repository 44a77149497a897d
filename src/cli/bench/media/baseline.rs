//! The usual way, to compare with: a task, an interval and a socket for each call, on a runtime of one
//! thread. No signalling, no detection, no encryption: what comes is counted, and what goes is one
//! packet over and over.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use crate::ambient::Clock;
use crate::gateway::lab::{Account, Gauge, Meter};
use crate::media::{FRAME_TIME, Law, rtp};

/// Longer than any packet.
const DATAGRAM: usize = 1_500;

/// The thread's name.
pub(super) const NAME: &str = "baseline";

/// The calls, at work.
pub(super) struct Baseline {
    gauge: Arc<Gauge>,
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Told {
    sent: AtomicU64,
    received: AtomicU64,
    /// They send no more.
    is_over: AtomicBool,
    /// The thread ends.
    ends: AtomicBool,
}

impl Baseline {
    /// Speaks from each socket with one phone.
    pub(super) fn start(
        clock: &Clock,
        calls: Vec<(std::net::UdpSocket, SocketAddr)>,
    ) -> anyhow::Result<Self> {
        let (gauge, told) = (Arc::new(Gauge::default()), Arc::new(Told::default()));
        let meter = Meter::new(Arc::clone(&gauge), clock.now());
        let (all, clock) = (Arc::clone(&told), clock.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(NAME.to_owned()).spawn(move || {
            let (set, meter) = (LocalSet::new(), Rc::new(RefCell::new(meter)));
            let count = u64::try_from(calls.len()).unwrap_or(1).max(1);
            for (n, (socket, to)) in (0_u64..).zip(calls) {
                // Spread over the frame, as the engine's are.
                let wait = Duration::from_micros(n * 20_000 / count);
                let (meter, told) = (Rc::clone(&meter), Arc::clone(&all));
                set.spawn_local(call(socket, to, wait, meter, told));
            }
            set.block_on(&runtime, async {
                while !all.ends.load(Ordering::Relaxed) {
                    let from = clock.now();
                    tokio::time::sleep(FRAME_TIME).await;
                    meter.borrow_mut().worked(from, clock.now());
                }
            });
        })?;
        Ok(Self { gauge, told, thread: Some(thread) })
    }

    /// A socket for a call.
    pub(super) fn socket() -> std::io::Result<std::net::UdpSocket> {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// What it did since the last time this was asked.
    pub(super) fn account(&self) -> Account {
        self.gauge.take()
    }

    /// Sends no more.
    pub(super) fn hang_up(&self) {
        self.told.is_over.store(true, Ordering::Relaxed);
    }

    /// The packets that it sent and received.
    pub(super) fn counts(&self) -> (u64, u64) {
        let Told { sent, received, .. } = &*self.told;
        (sent.load(Ordering::Relaxed), received.load(Ordering::Relaxed))
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        self.told.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn call(
    socket: std::net::UdpSocket,
    to: SocketAddr,
    wait: Duration,
    meter: Rc<RefCell<Meter>>,
    told: Arc<Told>,
) {
    let Ok(socket) = UdpSocket::from_std(socket) else { return };
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + wait, FRAME_TIME);
    interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut sequence, mut timestamp) = (0_u16, 0_u32);
    let mut datagram = [&rtp::header(true, 0, 0, 0, 7)[..], &Law::Ulaw.silence()[..]].concat();
    let mut buffer = [0; DATAGRAM];
    loop {
        tokio::select! {
            due = interval.tick() => {
                if told.is_over.load(Ordering::Relaxed) {
                    continue;
                }
                meter.borrow_mut().sent(due.elapsed());
                sequence = sequence.wrapping_add(1);
                timestamp = timestamp.wrapping_add(160);
                let header = rtp::header(false, 0, sequence, timestamp, 7);
                for (to, octet) in datagram.iter_mut().zip(header) {
                    *to = octet;
                }
                if socket.send_to(&datagram, to).await.is_ok() {
                    told.sent.fetch_add(1, Ordering::Relaxed);
                }
            }
            read = socket.recv_from(&mut buffer) => {
                if read.is_ok() {
                    meter.borrow_mut().received(1);
                    told.received.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}
