//! A customer of the API, as light as one can be: HTTP/1.1 over connections that are kept.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::ambient::{Clock, Timestamp};
use crate::cli::text;

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

/// What a request was answered.
#[derive(Debug)]
pub(super) struct Said<B> {
    /// Just before the request was written.
    pub(super) asked: Timestamp,
    /// When the answer had been read.
    pub(super) told: Timestamp,
    /// Its body.
    pub(super) body: B,
}

/// A customer, or a carrier with a hook to call.
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
        let mut said = self.ask("POST /v1/verifications", &body).await?;
        outcome.asked = said.asked;
        while text(&said.body, "status") == "pending" {
            let id = text(&said.body, "id");
            let version = said.body.get("version").and_then(Value::as_u64).unwrap_or_default();
            let line = format!("GET /v1/verifications/{id}?wait=60&since={version}");
            said = self.ask(&line, "").await?;
        }
        outcome.told = Some(said.told);
        Ok(format!("{} {}", text(&said.body, "status"), text(&said.body, "reason")))
    }

    /// Asks the API: method and path, and a body of JSON, which may be empty.
    pub(super) async fn ask(&self, line: &str, body: &str) -> anyhow::Result<Said<Value>> {
        let mut headers = format!("Authorization: Bearer {}\r\n", self.key);
        if !body.is_empty() {
            headers.push_str("Content-Type: application/json\r\n");
        }
        let said = self.send(line, &headers, body).await?;
        let body = serde_json::from_slice(&said.body)?;
        Ok(Said { asked: said.asked, told: said.told, body })
    }

    /// Makes a request with these headers, each with its line end. What the answer is not good
    /// for is an error.
    pub(super) async fn send(
        &self,
        line: &str,
        headers: &str,
        body: &str,
    ) -> anyhow::Result<Said<Vec<u8>>> {
        let mut connection = self.connection().await?;
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let host = self.address;
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{headers}{length}\r\n{body}");
        let asked = self.clock.now();
        let body = talk(&mut connection, &request).await?;
        let told = self.clock.now();
        self.idle.borrow_mut().push((told, connection));
        Ok(Said { asked, told, body })
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
}

/// One request, and the body of its answer.
async fn talk(connection: &mut TcpStream, request: &str) -> anyhow::Result<Vec<u8>> {
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(2_048);
    let length = loop {
        anyhow::ensure!(connection.read_buf(&mut answer).await? > 0, "the connection was closed");
        if let Some(length) = length(&answer) {
            break length?;
        }
    };
    while answer.len() < length.whole {
        anyhow::ensure!(connection.read_buf(&mut answer).await? > 0, "the answer was cut short");
    }
    let body = answer.split_off(length.head.min(answer.len()));
    let said = String::from_utf8_lossy(&answer);
    let status = said.split_whitespace().nth(1).unwrap_or_default();
    anyhow::ensure!(
        status.starts_with('2'),
        "the gateway answered {status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(body)
}

/// How long a message is.
pub(super) struct Length {
    /// Its head, with the empty line.
    pub(super) head: usize,
    /// All of it.
    pub(super) whole: usize,
}

/// Once its head is there.
pub(super) fn length(answer: &[u8]) -> Option<anyhow::Result<Length>> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let lines = String::from_utf8_lossy(answer.get(..head)?).to_ascii_lowercase();
    let length = lines.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse::<usize>().ok());
    let length = length.context("there is no Content-Length");
    Some(length.map(|length| Length { head, whole: head.saturating_add(length) }))
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
