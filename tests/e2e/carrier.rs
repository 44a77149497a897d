//! A SIP carrier of the test's own: it answers each request as it is told, and keeps what it saw.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::tools::wait_for;

/// What it answers to one kind of request: status line and more headers; `None` is nothing at all.
type Rule = Box<dyn Fn(&Seen, usize) -> Option<(String, String)> + Send>;

/// A request that it saw.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// When.
    pub(crate) at: Instant,
    /// Its method.
    pub(crate) method: String,
    /// All of it.
    pub(crate) text: String,
}

impl Seen {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// The carrier, until the test ends.
pub(crate) struct Carrier {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    rules: Arc<Mutex<Vec<(String, Rule)>>>,
}

impl Carrier {
    /// Answers 200 to OPTIONS, 486 to INVITE, and 200 to all else.
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let carrier = Self { port, seen: Arc::default(), rules: Arc::default() };
        let (seen, rules) = (Arc::clone(&carrier.seen), Arc::clone(&carrier.rules));
        std::thread::spawn(move || {
            let mut buffer = [0; 8_192];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let method = text.split(' ').next().unwrap_or_default().to_owned();
                let request = Seen { at: Instant::now(), method, text };
                let before = {
                    let mut seen = seen.lock().unwrap();
                    let same = |it: &&Seen| it.method == request.method;
                    let before = seen.iter().filter(same).count();
                    seen.push(request.clone());
                    before
                };
                let rules = rules.lock().unwrap();
                let rule = rules.iter().rev().find(|it| it.0 == request.method);
                let answer =
                    rule.map_or_else(|| usual(&request.method), |it| it.1(&request, before));
                if let Some((status, more)) = answer {
                    let _ = socket.send_to(response(&request, &status, &more).as_bytes(), from);
                }
            }
        });
        carrier
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Answers requests of this method so from now on; the rule is given the request, and how many of
    /// its kind came before.
    pub(crate) fn answer(
        &self,
        method: &str,
        rule: impl Fn(&Seen, usize) -> Option<(String, String)> + Send + 'static,
    ) {
        self.rules.lock().unwrap().push((method.to_owned(), Box::new(rule)));
    }

    /// Answers every request of this method with this status.
    pub(crate) fn always(&self, method: &str, status: &str) {
        let status = status.to_owned();
        self.answer(method, move |_, _| Some((status.clone(), String::new())));
    }

    /// Says nothing to requests of this method.
    pub(crate) fn ignore(&self, method: &str) {
        self.answer(method, |_, _| None);
    }

    /// Every request of this method so far.
    pub(crate) fn seen(&self, method: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|it| it.method == method).cloned().collect()
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for the request of this method and number, from 1.
    pub(crate) fn nth(&self, method: &str, n: usize, within: Duration) -> Seen {
        let what = format!("{method} {n}");
        wait_for(&what, within, || self.seen(method).get(n - 1).cloned())
    }
}

fn usual(method: &str) -> Option<(String, String)> {
    match method {
        "ACK" => None,
        "INVITE" => Some(("486 Busy Here".to_owned(), String::new())),
        _ => Some(("200 OK".to_owned(), String::new())),
    }
}

fn response(request: &Seen, status: &str, more: &str) -> String {
    let line = |name: &str| {
        let lines = request.text.lines().filter(|line| line.starts_with(&format!("{name}: ")));
        lines.map(|line| format!("{line}\r\n")).collect::<String>()
    };
    let to = line("To").trim_end().to_owned();
    let to = if to.contains(";tag=") { to } else { format!("{to};tag=carrier") };
    let heads = ["Via", "From", "Call-ID", "CSeq"].map(line).concat();
    format!("SIP/2.0 {status}\r\n{heads}{to}\r\n{more}Content-Length: 0\r\n\r\n")
}
