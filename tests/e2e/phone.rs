//! A phone of our own, for what SIPp cannot do: it stays through a restart of the gateway, counts
//! what it is sent, knows the gateway's stream, and can be impersonated.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::pcap::{POUND, Timed, press, rtp};
use crate::tools::{ports, wait_for};

/// The phone's own stream.
pub(crate) const SSRC: u32 = 0x0C70_7409;

/// The payload type of telephone-events that the phone's SDP answer names.
pub(crate) const EVENTS: u8 = 101;

/// What a phone does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It rings.
    Ring,
    /// It rings and answers.
    Answer,
}

/// A phone.
pub(crate) struct Phone {
    port: u16,
    rtp: UdpSocket,
    seen: Arc<Mutex<Seen>>,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What the phone was sent.
#[derive(Debug, Default)]
struct Seen {
    /// The method and Call-ID of every request, in order, repeats too.
    requests: Vec<(String, String)>,
    /// The gateway's RTP: where it comes from, and its SSRC.
    stream: Option<(SocketAddr, u32)>,
}

impl Phone {
    /// A phone that waits for calls.
    pub(crate) fn start(manner: Manner) -> Self {
        // SIP on the first, RTP on the third, RTCP on the fourth.
        let port = ports(4);
        let socket = |port| {
            let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            socket
        };
        let (sip, rtp, rtcp) = (socket(port), socket(port + 2), socket(port + 3));
        let (seen, ends) =
            (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (in_sip, in_rtp) = (Arc::clone(&seen), Arc::clone(&seen));
        let reply = sip.try_clone().unwrap();
        let threads = vec![
            receive(sip, &ends, move |datagram, from| {
                let message = std::str::from_utf8(datagram).unwrap();
                for answer in signal(message, manner, port, &in_sip) {
                    reply.send_to(answer.as_bytes(), from).unwrap();
                }
            }),
            receive(rtp.try_clone().unwrap(), &ends, move |packet, from| {
                let ssrc = u32::from_be_bytes(packet[8..12].try_into().unwrap());
                in_rtp.lock().unwrap().stream = Some((from, ssrc));
            }),
            receive(rtcp, &ends, |_, _| ()),
        ];
        Self { port, rtp, seen, ends, threads }
    }

    /// Where it takes calls.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many requests of this method it was sent, repeats too.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.seen.lock().unwrap().requests.iter().filter(|(seen, _)| seen == method).count()
    }

    /// How many calls it was sent.
    pub(crate) fn calls(&self) -> usize {
        let seen = self.seen.lock().unwrap();
        let mut calls: Vec<_> = seen.requests.iter().map(|(_, call)| call).collect();
        calls.sort();
        calls.dedup();
        calls.len()
    }

    /// Where the gateway's RTP comes from, and its SSRC.
    pub(crate) fn stream(&self) -> (SocketAddr, u32) {
        wait_for("RTP", Duration::from_secs(10), || self.seen.lock().unwrap().stream)
    }

    /// The socket of its own stream.
    pub(crate) fn rtp(&self) -> &UdpSocket {
        &self.rtp
    }

    /// Makes a sound, so that the gateway knows its stream.
    pub(crate) fn speak(&self) {
        for n in 0..5_u16 {
            let header = (n, 160 * u32::from(n), SSRC);
            self.rtp.send_to(&rtp(header, 0, n == 0, &[0xFF; 160]), self.stream().0).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses `#`.
    pub(crate) fn press(&self) {
        send(&self.rtp, self.stream().0, &press((50, 8_000, SSRC), EVENTS, POUND));
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Gives each datagram to `each`, until the phone ends.
fn receive(
    socket: UdpSocket,
    ends: &Arc<AtomicBool>,
    mut each: impl FnMut(&[u8], SocketAddr) + Send + 'static,
) -> JoinHandle<()> {
    let ends = Arc::clone(ends);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while !ends.load(Ordering::Relaxed) {
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                each(&buffer[..length], from);
            }
        }
    })
}

/// Sends packets from this socket, each at its time.
pub(crate) fn send(from: &UdpSocket, to: SocketAddr, packets: &[Timed]) {
    let mut before = Duration::ZERO;
    for (at, packet) in packets {
        std::thread::sleep(*at - before);
        before = *at;
        from.send_to(packet, to).unwrap();
    }
}

/// RFC 3261 as the callee sees it, as far as one call at a time needs it.
fn signal(message: &str, manner: Manner, port: u16, seen: &Mutex<Seen>) -> Vec<String> {
    let header = |name: &str| {
        let lines = message.lines().take_while(|line| !line.is_empty());
        let found = lines.filter(|line| line.starts_with(&format!("{name}: ")));
        found.fold(String::new(), |all, line| all + line + "\r\n")
    };
    let method = message.split(' ').next().unwrap_or_default();
    let call = header("Call-ID");
    seen.lock().unwrap().requests.push((method.to_owned(), call));
    let reply = |status: &str, cseq: &str, more: &str| {
        let to = header("To");
        let tagged = to.contains(";tag=") || status.starts_with("100");
        let to = if tagged { to } else { format!("{};tag=phone\r\n", to.trim_end()) };
        let [via, from, call] = ["Via", "From", "Call-ID"].map(header);
        let body = if more.is_empty() { "Content-Length: 0\r\n\r\n" } else { more };
        format!(
            "SIP/2.0 {status}\r\n{via}{from}{to}{call}{cseq}Contact: <sip:127.0.0.1:{port}>\r\n{body}"
        )
    };
    let cseq = header("CSeq");
    match method {
        "INVITE" if manner == Manner::Ring => {
            vec![reply("100 Trying", &cseq, ""), reply("180 Ringing", &cseq, "")]
        }
        "INVITE" => {
            let sdp = format!(
                "v=0\r\no=phone 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                 m=audio {} RTP/AVP 0 {EVENTS}\r\na=rtpmap:{EVENTS} telephone-event/8000\r\n\
                 a=fmtp:{EVENTS} 0-16\r\na=sendrecv\r\n",
                port + 2
            );
            let length = sdp.len();
            let body =
                format!("Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}");
            vec![reply("180 Ringing", &cseq, ""), reply("200 OK", &cseq, &body)]
        }
        "CANCEL" => {
            let invite = cseq.replace("CANCEL", "INVITE");
            vec![reply("200 OK", &cseq, ""), reply("487 Request Terminated", &invite, "")]
        }
        "ACK" => Vec::new(),
        _ => vec![reply("200 OK", &cseq, "")],
    }
}
