//! A customer of the API, as light as one can be: HTTP/1.1 over connections that are kept.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::ambient::{Clock, Timestamp};

/// How long one verification may take, whatever becomes of it.
const PATIENCE: Duration = Duration::from_secs(150);

/// A connection that was idle for so long may just be being closed by the other side.
const STALE: Duration = Duration::from_secs(10);

/// What became of a verification, as its customer saw it.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The number that was called.
    pub(super) number: String,
    /// Just before the request was written.
    pub(super) asked: Timestamp,
    /// When the verdict had been read; `None` when there was none.
    pub(super) told: Option<Timestamp>,
    /// Status and reason, or what went wrong.
    pub(super) verdict: String,
}

impl Outcome {
    pub(super) fn is_approved(&self) -> bool {
        self.verdict == "approved confirmed"
    }
}

/// A customer.
pub(super) struct Client {
    address: SocketAddr,
    key: String,
    clock: Clock,
    /// Connections that nothing is asked on now; the one used last is on top.
    idle: RefCell<Vec<(Timestamp, TcpStream)>>,
}

impl Client {
    pub(super) fn new(address: SocketAddr, key: &str, clock: Clock) -> Self {
        Self { address, key: key.to_owned(), clock, idle: RefCell::default() }
    }

    /// Has a number called, and follows the verification to its end.
    pub(super) async fn verify(&self, number: String) -> Outcome {
        let asked = self.clock.now();
        let mut outcome = Outcome { number, asked, told: None, verdict: String::new() };
        let followed = tokio::time::timeout(PATIENCE, self.follow(&mut outcome)).await;
        outcome.verdict = match followed {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no verdict in time".to_owned(),
        };
        outcome
    }

    async fn follow(&self, outcome: &mut Outcome) -> anyhow::Result<String> {
        let body = json!({ "to": outcome.number }).to_string();
        let head = "POST /v1/verifications HTTP/1.1";
        let mut connection = self.connection().await?;
        outcome.asked = self.clock.now();
        let mut seen = self.exchange(&mut connection, head, &body).await?;
        while text(&seen, "status") == "pending" {
            let id = text(&seen, "id");
            let version = seen.get("version").and_then(Value::as_u64).unwrap_or_default();
            let head = format!("GET /v1/verifications/{id}?wait=60&since={version} HTTP/1.1");
            seen = self.exchange(&mut connection, &head, "").await?;
        }
        outcome.told = Some(self.clock.now());
        self.idle.borrow_mut().push((self.clock.now(), connection));
        Ok(format!("{} {}", text(&seen, "status"), text(&seen, "reason")))
    }

    async fn connection(&self) -> anyhow::Result<TcpStream> {
        let idle = self.idle.borrow_mut().pop();
        if let Some((since, connection)) = idle
            && self.clock.now().since(since) < STALE
        {
            return Ok(connection);
        }
        let connection = TcpStream::connect(self.address).await.context("cannot connect")?;
        connection.set_nodelay(true)?;
        Ok(connection)
    }

    async fn exchange(
        &self,
        connection: &mut TcpStream,
        head: &str,
        body: &str,
    ) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.talk(connection, head, body).await?)?)
    }

    /// One request, and the body of its answer.
    async fn talk(
        &self,
        connection: &mut TcpStream,
        head: &str,
        body: &str,
    ) -> anyhow::Result<Vec<u8>> {
        let mut request =
            format!("{head}\r\nHost: {}\r\nAuthorization: Bearer {}\r\n", self.address, self.key);
        if !body.is_empty() {
            request.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            ));
        }
        request.push_str("\r\n");
        request.push_str(body);
        connection.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(2_048);
        let length = loop {
            anyhow::ensure!(
                connection.read_buf(&mut answer).await? > 0,
                "the connection was closed"
            );
            if let Some(length) = length(&answer) {
                break length?;
            }
        };
        while answer.len() < length.whole {
            anyhow::ensure!(
                connection.read_buf(&mut answer).await? > 0,
                "the answer was cut short"
            );
        }
        let body = answer.split_off(length.head.min(answer.len()));
        let said = String::from_utf8_lossy(&answer);
        let status = said.split_whitespace().nth(1).unwrap_or_default();
        anyhow::ensure!(
            status.starts_with('2'),
            "the API answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }
}

/// How long an answer is.
struct Length {
    head: usize,
    whole: usize,
}

/// Once its head is there.
fn length(answer: &[u8]) -> Option<anyhow::Result<Length>> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let lines = String::from_utf8_lossy(answer.get(..head)?).to_ascii_lowercase();
    let length = lines.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse::<usize>().ok());
    let length = length.context("the API gave no Content-Length");
    Some(length.map(|length| Length { head, whole: head.saturating_add(length) }))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_its_head_says() {
        assert!(length(b"HTTP/1.1 200 OK\r\nContent-Le").is_none());
        let whole = length(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{").unwrap().unwrap();
        assert_eq!((whole.head, whole.whole), (39, 51));
        assert!(length(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().is_err());
    }
}
