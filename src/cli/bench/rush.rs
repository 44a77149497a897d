//! Many requests, by connections that are kept, as light as they can be: what is measured is the server.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep;

use super::figures::{Spread, micros};
use crate::ambient::{Clock, Timestamp};

/// The longest answer that is taken.
const LONGEST: usize = 64 * 1024;

/// How many connections a rush at a rate may have: fewer than a gateway takes by default.
const MOST: usize = 1_800;

/// What came of a rush.
#[derive(Debug, Default)]
pub(super) struct Came {
    /// How long it lasted.
    pub(super) span: Duration,
    /// Of answers 2xx, in microseconds each.
    pub(super) good: Vec<u64>,
    /// Of answers 503, in microseconds each.
    pub(super) refused: Vec<u64>,
    /// Other answers, by status; 0 is a connection that failed.
    pub(super) other: Vec<u16>,
    /// What was due and found no connection.
    pub(super) unsent: usize,
}

impl Came {
    /// Good answers a second.
    pub(super) fn rate(&self) -> f64 {
        super::figures::number(self.good.len()) / self.span.as_secs_f64()
    }

    /// Requests that were sent, a second.
    pub(super) fn offered(&self) -> f64 {
        let all = self.good.len() + self.refused.len() + self.other.len();
        super::figures::number(all) / self.span.as_secs_f64()
    }

    /// How long good answers took.
    pub(super) fn good(&self) -> Spread {
        Spread::of(self.good.iter().copied())
    }

    /// How long refusals took.
    pub(super) fn refused(&self) -> Spread {
        Spread::of(self.refused.iter().copied())
    }
}

/// Writes the request of this number.
pub(super) type Next = Rc<dyn Fn(usize) -> Vec<u8>>;

/// Whoever makes requests.
#[derive(Clone)]
pub(super) struct Rush {
    pub(super) address: SocketAddr,
    pub(super) clock: Clock,
    pub(super) next: Next,
    /// How many have been made.
    pub(super) made: Rc<Cell<usize>>,
}

impl Rush {
    /// By so many connections, each of which asks again when it is answered.
    pub(super) async fn closed(&self, connections: usize, span: Duration) -> anyhow::Result<Came> {
        let (began, came) = (self.clock.now(), Rc::new(RefCell::new(Came::default())));
        let mut all = JoinSet::new();
        let local = LocalSet::new();
        for _ in 0..connections {
            let (rush, came) = (self.clone(), Rc::clone(&came));
            let one = async move {
                let mut wire = Wire::connect(rush.address).await?;
                while rush.clock.now().since(began) < span {
                    if !rush.ask(&mut wire, &came).await {
                        wire = Wire::connect(rush.address).await?;
                    }
                }
                anyhow::Ok(())
            };
            all.spawn_local_on(one, &local);
        }
        local
            .run_until(async {
                while let Some(one) = all.join_next().await {
                    one??;
                }
                anyhow::Ok(())
            })
            .await?;
        Ok(Came { span: self.clock.now().since(began), ..came.take() })
    }

    /// So many a second, whatever became of those before, by as many connections as that takes.
    pub(super) async fn open(&self, rate: f64, span: Duration) -> anyhow::Result<Came> {
        let (began, came) = (self.clock.now(), Rc::new(RefCell::new(Came::default())));
        let idle: Rc<RefCell<Vec<Wire>>> = Rc::default();
        let (mut open, mut due) = (0_usize, 0.0);
        let pace = async {
            loop {
                let passed = self.clock.now().since(began);
                if passed >= span {
                    break;
                }
                while due < passed.as_secs_f64() * rate {
                    due += 1.0;
                    let wire = idle.borrow_mut().pop();
                    if wire.is_none() && open >= MOST {
                        came.borrow_mut().unsent += 1;
                        continue;
                    }
                    open += usize::from(wire.is_none());
                    let (rush, came, idle) = (self.clone(), Rc::clone(&came), Rc::clone(&idle));
                    tokio::task::spawn_local(async move {
                        let wire = match wire {
                            Some(wire) => Ok(wire),
                            None => Wire::connect(rush.address).await,
                        };
                        match wire {
                            Ok(mut wire) => {
                                if rush.ask(&mut wire, &came).await {
                                    idle.borrow_mut().push(wire);
                                }
                            }
                            Err(_) => came.borrow_mut().other.push(0),
                        }
                    });
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        LocalSet::new().run_until(pace).await;
        Ok(Came { span: self.clock.now().since(began), ..came.take() })
    }

    /// Asks, and notes the answer; whether the connection can be used again.
    async fn ask(&self, wire: &mut Wire, came: &RefCell<Came>) -> bool {
        let request = (self.next)(self.made.replace(self.made.get() + 1));
        let asked: Timestamp = self.clock.now();
        let status = wire.ask(&request).await.unwrap_or_default();
        let took = micros(self.clock.now().since(asked));
        let mut came = came.borrow_mut();
        match status {
            200..=299 => came.good.push(took),
            503 => came.refused.push(took),
            other => came.other.push(other),
        }
        status != 0
    }
}

/// A connection, and what was read from it.
struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(4_096) })
    }

    /// The status of the answer; `None` where there was none that could be read.
    async fn ask(&mut self, request: &[u8]) -> Option<u16> {
        self.stream.write_all(request).await.ok()?;
        self.read.clear();
        loop {
            if self.stream.read_buf(&mut self.read).await.ok()? == 0 || self.read.len() > LONGEST {
                return None;
            }
            if let Some(whole) = length(&self.read)
                && self.read.len() >= whole
            {
                return std::str::from_utf8(self.read.get(9..12)?).ok()?.parse().ok();
            }
        }
    }
}

/// How long an answer is, once its head is there.
fn length(read: &[u8]) -> Option<usize> {
    const LENGTH: &[u8] = b"content-length: ";
    let head = read.windows(4).position(|window| window == b"\r\n\r\n")?;
    let lines = read.get(..head)?.split(|byte| *byte == b'\n');
    let length = lines.filter_map(|line| line.strip_prefix(LENGTH)).next()?;
    let digits = length.strip_suffix(b"\r").unwrap_or(length);
    let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(head + 4 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_its_head_says() {
        assert_eq!(length(b"HTTP/1.1 200 OK\r\ncontent-le"), None);
        assert_eq!(length(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{"), Some(51));
        assert_eq!(length(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: x\r\n\r\n"), Some(49));
    }
}
