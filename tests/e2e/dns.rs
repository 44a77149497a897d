//! A DNS server of the test's own: it answers what a zone holds, or as badly as it is told to.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is said of a name.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// A.
    A(Ipv4Addr),
    /// AAAA.
    Aaaa(Ipv6Addr),
    /// SRV: priority, weight, port, target.
    Srv(u16, u16, u16, &'static str),
    /// NAPTR: order, preference, services, replacement.
    Naptr(u16, u16, &'static str, &'static str),
}

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It answers.
    Well,
    /// It answers that it cannot.
    Failing,
    /// It says nothing.
    Silent,
    /// It answers after this.
    Slow(Duration),
}

#[derive(Default)]
struct Zone {
    records: Vec<(String, Record)>,
    /// What is said next of a name, in place of its one address.
    turns: Vec<(String, Vec<Ipv4Addr>)>,
    moods: Vec<(String, Mood)>,
    asked: Vec<String>,
}

/// The server, until the test ends.
pub(crate) struct Dns {
    zone: Arc<Mutex<Zone>>,
    port: u16,
}

/// How long everything holds, in seconds.
const TTL: u32 = 1;

impl Dns {
    /// Serves an empty zone.
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let zone: Arc<Mutex<Zone>> = Arc::default();
        let served = Arc::clone(&zone);
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let query = buffer[..length].to_vec();
                let name = name(&query);
                let mut zone = served.lock().unwrap();
                zone.asked.push(name.clone());
                // The last word counts, and it counts for everything below the name.
                let mood = zone.moods.iter().rev().find(|it| name.ends_with(&it.0));
                let mood = mood.map_or(Mood::Well, |it| it.1);
                turn(&mut zone, &query, &name);
                let answer = answer(&query, &name, &zone, mood == Mood::Failing);
                drop(zone);
                match mood {
                    Mood::Silent => {}
                    Mood::Slow(pause) => {
                        let socket = socket.try_clone().unwrap();
                        std::thread::spawn(move || {
                            std::thread::sleep(pause);
                            let _ = socket.send_to(&answer, from);
                        });
                    }
                    Mood::Well | Mood::Failing => {
                        let _ = socket.send_to(&answer, from);
                    }
                }
            }
        });
        Self { zone, port }
    }

    /// The line of `[sip]` that leads here.
    pub(crate) fn line(&self) -> String {
        format!("dns = \"udp:127.0.0.1:{}\"", self.port)
    }

    /// Adds a record.
    pub(crate) fn add(&self, name: &str, record: Record) {
        self.zone.lock().unwrap().records.push((name.to_owned(), record));
    }

    /// Has a name lead to each of these in turn, by one question after the other; the last stays.
    pub(crate) fn turns(&self, name: &str, turns: &[Ipv4Addr]) {
        self.zone.lock().unwrap().turns.push((name.to_owned(), turns.to_vec()));
    }

    /// Behaves so from now on, when asked for this name or those below it.
    pub(crate) fn behave(&self, name: &str, mood: Mood) {
        self.zone.lock().unwrap().moods.push((name.to_owned(), mood));
    }

    /// How often it was asked for this name.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.zone.lock().unwrap().asked.iter().filter(|it| *it == name).count()
    }
}

/// The name that a query asks for.
fn name(query: &[u8]) -> String {
    let (mut labels, mut at) = (Vec::new(), 12);
    while let Some(length) = query.get(at).filter(|length| **length != 0) {
        let end = at + 1 + usize::from(*length);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
        at = end;
    }
    labels.join(".")
}

/// The type that a query asks for.
fn kind(query: &[u8], name: &str) -> u16 {
    let end = 12 + encoded(name).len() + 4;
    u16::from_be_bytes([query[end - 4], query[end - 3]])
}

/// Puts the next address of a name in the place of the one before.
fn turn(zone: &mut Zone, query: &[u8], name: &str) {
    let Some((_, turns)) = zone.turns.iter_mut().find(|(known, _)| known == name) else { return };
    if kind(query, name) != 1 || turns.is_empty() {
        return;
    }
    let next = Record::A(turns.remove(0));
    zone.records.retain(|(known, _)| known != name);
    zone.records.push((name.to_owned(), next));
}

fn answer(query: &[u8], name: &str, zone: &Zone, fails: bool) -> Vec<u8> {
    let end = 12 + encoded(name).len() + 4;
    let kind = kind(query, name);
    let known = zone.records.iter().filter(|it| it.0 == name);
    let data: Vec<Vec<u8>> =
        known.clone().filter(|it| number(&it.1) == kind).map(|it| rdata(&it.1)).collect();
    let code = match (fails, known.count()) {
        (true, _) => 2,
        (false, 0) => 3,
        (false, _) => 0,
    };
    let data = if fails { Vec::new() } else { data };
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80 | code]);
    answer.extend([0, 1, 0, u8::try_from(data.len()).unwrap(), 0, 0, 0, 0]);
    answer.extend(&query[12..end]);
    for data in data {
        answer.extend([0xC0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1]);
        answer.extend(TTL.to_be_bytes());
        answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        answer.extend(data);
    }
    answer
}

fn number(record: &Record) -> u16 {
    match record {
        Record::A(_) => 1,
        Record::Aaaa(_) => 28,
        Record::Srv(..) => 33,
        Record::Naptr(..) => 35,
    }
}

fn rdata(record: &Record) -> Vec<u8> {
    match record {
        Record::A(ip) => ip.octets().to_vec(),
        Record::Aaaa(ip) => ip.octets().to_vec(),
        Record::Srv(priority, weight, port, target) => {
            let numbers = [priority, weight, port].map(|number| number.to_be_bytes()).concat();
            [numbers, encoded(target)].concat()
        }
        Record::Naptr(order, preference, services, replacement) => {
            let numbers = [order, preference].map(|number| number.to_be_bytes()).concat();
            let text =
                |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            [numbers, text("s"), text(services), text(""), encoded(replacement)].concat()
        }
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels
        .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
        .collect();
    bytes.push(0);
    bytes
}
