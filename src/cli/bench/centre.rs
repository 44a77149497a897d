//! A message centre (SMSC): the least that a gateway can text by. It takes every text at once, and
//! reports each as delivered a second later.
//!
//! Its own reading and writing of SMPP 3.4, so that what it measures does not rest on the code
//! that is measured. Section numbers are those of the specification.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::ambient::{Clock, Timestamp};

/// How long a text is on its way to its phone.
const DELIVERY: Duration = Duration::from_secs(1);

/// The length of a header (3.2).
const HEADER: usize = 16;

/// The longest PDU that a text of one part makes, generously.
const LONGEST: usize = 4_096;

/// Commands (5.1.2.1).
const SUBMIT: u32 = 0x04;
const DELIVER: u32 = 0x05;
const UNBIND: u32 = 0x06;
const BIND: u32 = 0x09;
const ENQUIRE: u32 = 0x15;
/// Set in every answer.
const ANSWER: u32 = 0x8000_0000;

/// A text that was taken.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// When its `submit_sm` had been read.
    pub(super) at: Timestamp,
    /// The code in it.
    pub(super) code: String,
}

/// A message centre that works. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub(super) struct Centre {
    /// Where it listens.
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    bound: Notify,
    log: Mutex<Log>,
}

/// What it saw.
#[derive(Default)]
struct Log {
    /// The texts to each phone; numbers without plus.
    texts: HashMap<String, Vec<Text>>,
    taken: usize,
    /// Receipts that the other side took, and that it did not.
    receipts: (usize, usize),
}

impl Centre {
    /// Starts one on loopback.
    pub(super) async fn start(clock: Clock) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { clock, bound: Notify::new(), log: Mutex::default() });
        let log = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&log);
                // The gateway binds again when a session ends.
                tokio::spawn(async move { shared.session(stream).await });
            }
        });
        Ok(Self { address, shared })
    }

    /// Waits for somebody to bind.
    pub(super) async fn bound(&self) {
        self.shared.bound.notified().await;
    }

    /// The first text to a number.
    pub(super) fn text(&self, number: &str) -> Option<Text> {
        self.shared.log().texts.get(number.trim_start_matches('+'))?.first().cloned()
    }

    /// How many texts came to a number.
    pub(super) fn texts(&self, number: &str) -> usize {
        self.shared.log().texts.get(number.trim_start_matches('+')).map_or(0, Vec::len)
    }

    /// How many texts came in all.
    pub(super) fn taken(&self) -> usize {
        self.shared.log().taken
    }

    /// How many receipts were taken, and how many were refused.
    pub(super) fn receipts(&self) -> (usize, usize) {
        self.shared.log().receipts
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One session, to its end.
    async fn session(&self, mut stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let (mut octets, mut sequence) = (Vec::with_capacity(16 * 1_024), 0);
        let mut receipts: VecDeque<(Timestamp, Vec<u8>)> = VecDeque::new();
        loop {
            let due = receipts.front().map(|(at, _)| *at);
            let mut out = Vec::new();
            tokio::select! {
                read = stream.read_buf(&mut octets) => {
                    if read.ok()? == 0 {
                        return None;
                    }
                    let now = self.clock.now();
                    while let Some(pdu) = next(&mut octets)? {
                        let receipt = self.takes(now, &pdu, &mut out)?;
                        receipts.extend(receipt.map(|receipt| (now + DELIVERY, receipt)));
                    }
                }
                () = self.until(due) => {
                    let now = self.clock.now();
                    while let Some((_, receipt)) = receipts.pop_front_if(|(at, _)| *at <= now) {
                        sequence += 1;
                        write(&mut out, DELIVER, sequence, &receipt);
                    }
                }
            }
            stream.write_all(&out).await.ok()?;
        }
    }

    async fn until(&self, due: Option<Timestamp>) {
        match due {
            Some(due) => tokio::time::sleep(due.since(self.clock.now())).await,
            None => pending().await,
        }
    }

    /// Answers a PDU; the body of the receipt that is due for it. `None` when it makes no sense.
    fn takes(&self, now: Timestamp, pdu: &Pdu, out: &mut Vec<u8>) -> Option<Option<Vec<u8>>> {
        let answer = pdu.command | ANSWER;
        match pdu.command {
            BIND => {
                write(out, answer, pdu.sequence, b"bench\0");
                self.bound.notify_one();
            }
            SUBMIT => {
                let Submit { from, to, code } = Submit::read(&pdu.body)?;
                let mut log = self.log();
                log.taken += 1;
                let id = format!("{:010}", log.taken);
                write(out, answer, pdu.sequence, format!("{id}\0").as_bytes());
                let receipt = receipt(&from, &to, &id);
                log.texts.entry(to).or_default().push(Text { at: now, code });
                return Some(Some(receipt));
            }
            ENQUIRE | UNBIND => write(out, answer, pdu.sequence, &[]),
            command if command == DELIVER | ANSWER => {
                let (taken, refused) = &mut self.log().receipts;
                *(if pdu.status == 0 { taken } else { refused }) += 1;
            }
            _ => {}
        }
        Some(None)
    }
}

/// A PDU that came.
struct Pdu {
    command: u32,
    status: u32,
    sequence: u32,
    body: Vec<u8>,
}

/// Takes the first PDU off; `Some(None)` until it is whole, `None` when its length makes no sense.
fn next(octets: &mut Vec<u8>) -> Option<Option<Pdu>> {
    let mut reader = Reader(octets);
    let Some(length) = reader.number() else { return Some(None) };
    let length = usize::try_from(length).ok().filter(|it| (HEADER..=LONGEST).contains(it))?;
    if octets.len() < length {
        return Some(None);
    }
    let (command, status, sequence) = (reader.number()?, reader.number()?, reader.number()?);
    let body = octets.get(HEADER..length)?.to_vec();
    octets.drain(..length);
    Some(Some(Pdu { command, status, sequence, body }))
}

/// Adds a PDU that went well.
fn write(out: &mut Vec<u8>, command: u32, sequence: u32, body: &[u8]) {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    for field in [length, command, 0, sequence] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend_from_slice(body);
}

/// What counts of a `submit_sm` (4.4.1).
struct Submit {
    from: String,
    to: String,
    code: String,
}

impl Submit {
    fn read(body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        reader.text()?;
        reader.take(2)?;
        let from = reader.text()?;
        reader.take(2)?;
        let to = reader.text()?;
        // Class, protocol, priority; two times; receipt, replacement, alphabet, canned message.
        reader.take(3)?;
        reader.text()?;
        reader.text()?;
        reader.take(4)?;
        let length = reader.take(1)?.first().copied()?;
        let text = reader.take(usize::from(length))?;
        // Digits are themselves in every alphabet of one octet; the code is the longest number.
        let numbers = text.split(|octet| !octet.is_ascii_digit());
        let code = numbers.max_by_key(|digits| digits.len())?;
        Some(Self { from, to, code: latin(code) })
    }
}

/// The body of a `deliver_sm` (4.6.1) that reports a text as delivered, as appendix B writes it.
fn receipt(sender: &str, phone: &str, id: &str) -> Vec<u8> {
    let text = format!(
        "id:{id} sub:001 dlvrd:001 submit date:2601010000 done date:2601010000 stat:DELIVRD \
         err:000 text:"
    );
    let mut body = vec![0, 1, 1];
    body.extend_from_slice(phone.as_bytes());
    body.extend_from_slice(&[0, 1, 1]);
    body.extend_from_slice(sender.as_bytes());
    // The class of a receipt (5.2.12), and nothing of all that could be said besides.
    body.extend_from_slice(&[0, 0x04, 0, 0, 0, 0, 0, 0, 0, 0]);
    body.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    body.extend_from_slice(text.as_bytes());
    body
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        let (octets, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*octets))
    }

    fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|octet| *octet == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(latin(text))
    }
}

fn latin(octets: &[u8]) -> String {
    octets.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submit_is_read_and_its_receipt_has_the_same_form() {
        let mut body = b"\0\x01\x0112025550100\0\x01\x0114155550132\0\0\0\0\0\0\x01\0\0\0".to_vec();
        let text = b"493817 is your code. It expires in 5 min.";
        body.push(u8::try_from(text.len()).unwrap());
        body.extend_from_slice(text);
        let submit = Submit::read(&body).unwrap();
        assert_eq!((submit.from.as_str(), submit.to.as_str()), ("12025550100", "14155550132"));
        assert_eq!(submit.code, "493817");
        let back = Submit::read(&receipt(&submit.from, &submit.to, "0000000001")).unwrap();
        assert_eq!((back.from, back.to), (submit.to, submit.from));
    }

    #[test]
    fn a_stream_is_cut_where_its_lengths_say() {
        let mut octets = Vec::new();
        write(&mut octets, ENQUIRE, 7, &[]);
        write(&mut octets, SUBMIT, 8, b"xy");
        let last = octets.pop().unwrap();
        let first = next(&mut octets).unwrap().unwrap();
        assert_eq!((first.command, first.sequence, first.body.len()), (ENQUIRE, 7, 0));
        assert!(next(&mut octets).unwrap().is_none());
        octets.push(last);
        assert_eq!(next(&mut octets).unwrap().unwrap().body, b"xy");
        assert!(octets.is_empty());
        assert!(next(&mut vec![0, 0, 0, 1]).is_none());
    }
}
