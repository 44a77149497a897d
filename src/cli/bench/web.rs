//! The web as the gateway sees it: a carrier that takes every call, and a customer's webhook.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::client;
use crate::ambient::{Clock, Timestamp};
use crate::cli::text;

/// The path of the webhook.
pub(super) const WEBHOOK: &str = "/webhook";

/// A call that was ordered.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// The carrier's name for it.
    pub(super) sid: String,
    /// Where to ask what to say.
    pub(super) url: String,
}

/// A web server that works. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub(super) struct Web {
    /// Where it listens.
    pub(super) address: SocketAddr,
    clock: Clock,
    log: Arc<Mutex<Log>>,
}

/// What it saw.
#[derive(Default)]
struct Log {
    /// The calls to each phone.
    orders: HashMap<String, Vec<Order>>,
    taken: usize,
    /// When each verification's event came first.
    told: HashMap<String, Timestamp>,
}

impl Web {
    /// Starts one on loopback.
    pub(super) async fn start(clock: Clock) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let web = Self { address: listener.local_addr()?, clock, log: Arc::default() };
        let site = web.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let site = site.clone();
                // Whoever hangs up connects again.
                tokio::spawn(async move { site.serve(stream).await });
            }
        });
        Ok(web)
    }

    /// The call to a number, if there is exactly one.
    pub(super) fn order(&self, number: &str) -> Option<Order> {
        match self.log().orders.get(number)?.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        }
    }

    /// When the event of a verification came.
    pub(super) fn told(&self, id: &str) -> Option<Timestamp> {
        self.log().told.get(id).copied()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One connection, to its end.
    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut octets = Vec::with_capacity(4_096);
        loop {
            let length = loop {
                if let Some(length) = client::length(&octets) {
                    let length = length.ok()?;
                    if octets.len() >= length.whole {
                        break length;
                    }
                }
                if stream.read_buf(&mut octets).await.ok()? == 0 {
                    return None;
                }
            };
            let request: Vec<u8> = octets.drain(..length.whole).collect();
            let (head, body) = request.split_at_checked(length.head)?;
            let (status, answer) = self.answer(head, body);
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n\
                 {answer}",
                answer.len()
            );
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
    }

    fn answer(&self, head: &[u8], body: &[u8]) -> (&'static str, String) {
        let now = self.clock.now();
        let head = String::from_utf8_lossy(head);
        let path = head.split_whitespace().nth(1).unwrap_or_default();
        if path == WEBHOOK {
            let event: Value = serde_json::from_slice(body).unwrap_or_default();
            self.log().told.entry(text(&event, "subject").to_owned()).or_insert(now);
            return ("200 OK", "{}".to_owned());
        }
        if !path.ends_with("/Calls.json") {
            return ("404 Not Found", "{}".to_owned());
        }
        let (mut to, mut url) = (String::new(), String::new());
        for (name, value) in form_urlencoded::parse(body) {
            match name.as_ref() {
                "To" => to = value.into_owned(),
                "Url" => url = value.into_owned(),
                _ => {}
            }
        }
        let mut log = self.log();
        log.taken += 1;
        let sid = format!("CA{:032x}", log.taken);
        log.orders.entry(to).or_default().push(Order { sid: sid.clone(), url });
        ("201 Created", json!({ "sid": sid, "status": "queued" }).to_string())
    }
}
