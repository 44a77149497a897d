//! A customer's endpoint that takes any number of connections at once and answers as badly as it is
//! told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

/// How it answers the try of this number, from 0.
pub(crate) type Manner = Arc<dyn Fn(usize, &mut TcpStream) + Send + Sync>;

/// The same of one that looks at what has come.
type Reading = Arc<dyn Fn(usize, &Letter, &mut TcpStream) + Send + Sync>;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// When.
    pub(crate) at: Instant,
    /// The same by the wall clock.
    pub(crate) wall: SystemTime,
    /// Its header fields, with names in small letters.
    pub(crate) headers: Value,
    /// Its body, as it came.
    pub(crate) body: String,
}

impl Letter {
    /// The event.
    pub(crate) fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// `webhook-id`.
    pub(crate) fn id(&self) -> String {
        self.headers["webhook-id"].as_str().unwrap().to_owned()
    }
}

/// The endpoint, until the test ends.
pub(crate) struct Mailbox {
    address: SocketAddr,
    letters: Arc<Mutex<Vec<Letter>>>,
    connections: Arc<Mutex<usize>>,
    ends: Arc<AtomicBool>,
}

impl Mailbox {
    /// An endpoint somewhere.
    pub(crate) fn start(manner: Manner) -> Self {
        Self::at("127.0.0.1:0", manner)
    }

    /// An endpoint there.
    pub(crate) fn at(address: impl ToSocketAddrs, manner: Manner) -> Self {
        Self::open(address, Arc::new(move |number, _, stream| manner(number, stream)))
    }

    /// An endpoint somewhere that answers what it has read, with a status.
    #[cfg(feature = "failpoints")]
    pub(crate) fn reading(status: impl Fn(usize, &Letter) -> u16 + Send + Sync + 'static) -> Self {
        let manner = move |number, letter: &Letter, stream: &mut TcpStream| {
            answer(stream, status(number, letter), "");
        };
        Self::open("127.0.0.1:0", Arc::new(manner))
    }

    fn open(address: impl ToSocketAddrs, manner: Reading) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let mailbox = Self {
            address: listener.local_addr().unwrap(),
            letters: Arc::default(),
            connections: Arc::default(),
            ends: Arc::default(),
        };
        let (letters, ends) = (Arc::clone(&mailbox.letters), Arc::clone(&mailbox.ends));
        let connections = Arc::clone(&mailbox.connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                *connections.lock().unwrap() += 1;
                let (letters, manner) = (Arc::clone(&letters), Arc::clone(&manner));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let Some(letter) = read(&mut stream) else { return };
                    let number = {
                        let mut letters = letters.lock().unwrap();
                        letters.push(letter.clone());
                        letters.len() - 1
                    };
                    manner(number, &letter, &mut stream);
                });
            }
        });
        mailbox
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has come.
    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.letters.lock().unwrap().clone()
    }

    /// How often anybody has connected.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads a request; `None` where it does not come whole.
pub(crate) fn read(stream: &mut impl Read) -> Option<Letter> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).ok().filter(|&length| length > 0)?;
    }
    let mut headers = json!({});
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        headers[name.to_ascii_lowercase()] = value.into();
    }
    let mut body = vec![0; headers["content-length"].as_str()?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    Some(Letter { at: Instant::now(), wall: SystemTime::now(), headers, body })
}

/// Answers with this status and these header lines.
pub(crate) fn answer(stream: &mut impl Write, status: u16, more: &str) {
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{more}");
    let length = if status == 204 { "" } else { "Content-Length: 0\r\n" };
    let _ = stream.write_all(format!("{head}{length}\r\n").as_bytes());
}

/// Writes this, and then a byte every 100 ms for 20 s.
pub(crate) fn drip(stream: &mut TcpStream, first: &str) {
    let _ = stream.write_all(first.as_bytes());
    for _ in 0..200 {
        std::thread::sleep(Duration::from_millis(100));
        if stream.write_all(b"x").is_err() {
            return;
        }
    }
}
