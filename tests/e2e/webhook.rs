//! Webhooks: a customer's endpoint that keeps what it is sent and can fail, and the signature
//! checked by what Standard Webhooks says, not by what the gateway does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::phone::{Manner, Phone};
use crate::serve::Gateway;
use crate::tools::{NUMBER, WEBHOOK_SECRET, wait_for};

/// How the endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// With this status.
    Status(u16),
    /// Not at all.
    Hang,
}

/// One try to deliver an event.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    /// `webhook-id`.
    pub(crate) id: String,
    /// `webhook-timestamp`.
    timestamp: String,
    /// `webhook-signature`.
    signature: String,
    /// `traceparent`.
    pub(crate) traceparent: Option<String>,
    /// `tracestate`.
    pub(crate) tracestate: Option<String>,
    /// The body, as it came.
    pub(crate) body: String,
    /// How it was answered.
    pub(crate) reply: Reply,
}

impl Try {
    /// The body, which is JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The verification that it tells of, without what proves it.
    pub(crate) fn resource(&self) -> Value {
        let mut data = self.json()["data"].take();
        let verdict = data.as_object_mut().unwrap().remove("verdict").unwrap();
        assert!(verdict.is_string(), "{data:#}");
        data
    }

    /// Standard Webhooks: base64 of HMAC-SHA-256 over `id.timestamp.body`, with the bytes behind
    /// `whsec_` as the key, and a time-stamp that is not old.
    ///
    /// # Panics
    /// When the signature is not that.
    pub(crate) fn is_genuine(&self) {
        let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.1).unwrap();
        for part in [&self.id, ".", &self.timestamp, ".", &self.body] {
            mac.update(part.as_bytes());
        }
        let wanted = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert!(self.signature.split(' ').any(|signature| signature == wanted), "{self:?}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let told: u64 = self.timestamp.parse().unwrap();
        assert!(now.abs_diff(told) <= 60, "{told} is not about {now}");
    }
}

/// A customer's endpoint.
pub(crate) struct Receiver {
    url: String,
    tries: Arc<Mutex<Vec<Try>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// An endpoint that answers the first tries so, and all others with 204.
    pub(crate) fn start(first: &'static [Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tries = Arc::new(Mutex::new(Vec::new()));
        let ends = Arc::new(AtomicBool::new(false));
        let (kept, over) = (Arc::clone(&tries), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let mut stream = stream.unwrap();
                let reply = |tries: usize| first.get(tries).copied().unwrap_or(Reply::Status(204));
                let Some(mut one) = receive(&mut stream) else { continue };
                let mut kept = kept.lock().unwrap();
                one.reply = reply(kept.len());
                match one.reply {
                    Reply::Status(status) => {
                        let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
                        let length = if status == 204 { "" } else { "Content-Length: 0\r\n" };
                        let _ = stream.write_all(format!("{head}{length}\r\n").as_bytes());
                    }
                    Reply::Hang => hanging.push(stream),
                }
                kept.push(one);
            }
        });
        Self { url: format!("http://{address}/hooks"), tries, ends, thread: Some(thread) }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Every try so far.
    pub(crate) fn tries(&self) -> Vec<Try> {
        self.tries.lock().unwrap().clone()
    }

    /// Waits for a try that it has taken, and gives it back.
    pub(crate) fn taken(&self, within: Duration) -> Try {
        wait_for("an event is taken", within, || {
            self.tries().into_iter().find(|one| one.reply == Reply::Status(204))
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let address = self.url.trim_start_matches("http://").trim_end_matches("/hooks");
        let _ = TcpStream::connect(address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn receive(stream: &mut TcpStream) -> Option<Try> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    // A gateway that is killed may leave a request half sent.
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).ok().filter(|&length| length > 0)?;
    }
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    assert!(head.starts_with("POST /hooks HTTP/1.1\r\n"), "{head}");
    assert_eq!(value("content-type").as_deref(), Some("application/json"));
    let mut body = vec![0; value("content-length")?.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some(Try {
        id: value("webhook-id").unwrap(),
        timestamp: value("webhook-timestamp").unwrap(),
        signature: value("webhook-signature").unwrap(),
        traceparent: value("traceparent"),
        tracestate: value("tracestate"),
        body: String::from_utf8(body).unwrap(),
        reply: Reply::Hang,
    })
}

#[test]
fn one_signed_webhook_is_retried_with_one_id_until_it_is_taken() {
    let phone = Phone::start(Manner::Ring);
    let receiver = Receiver::start(&[Reply::Status(500), Reply::Status(302)]);
    let gateway = Gateway::start(phone.port(), Some(receiver.url()));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let begin = |trace: &[(&str, &str)]| {
        let begun = gateway.start_in(trace, &serde_json::json!({"to": NUMBER}));
        assert_eq!(begun.status, 201, "{begun:?}");
        begun.json()["id"].as_str().unwrap().to_owned()
    };
    // Several headers are one.
    let states = [("tracestate", "rojo=00f067aa0ba902b7"), ("tracestate", "congo=t61rcWkgMzE")];
    let id = begin(&[("traceparent", trace), states[0], states[1]]);
    gateway.reaches(&id, "ringing");
    assert_eq!(receiver.tries().len(), 0, "nothing is told before the verdict");
    let canceled = gateway.post(&format!("/v1/verifications/{id}/cancel"), &serde_json::json!({}));
    assert_eq!(canceled.json()["status"], "canceled", "{canceled:?}");

    let taken = receiver.taken(Duration::from_secs(20));
    std::thread::sleep(Duration::from_millis(500));
    let tries = receiver.tries();
    assert_eq!(tries.len(), 3, "500 and 302 are failures, 204 is the end of it: {tries:?}");
    for one in &tries {
        one.is_genuine();
        assert_eq!((&one.id, &one.body), (&taken.id, &taken.body));
        assert_eq!(one.traceparent.as_deref(), Some(trace));
        assert_eq!(one.tracestate.as_deref(), Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
    }
    let event = taken.json();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "verification.settled");
    assert_eq!(event["id"], taken.id.as_str());
    assert_eq!(taken.resource(), gateway.read(&id, ""), "the event holds the resource");
    wait_for("the phone stops ringing", Duration::from_secs(5), || {
        (phone.count("CANCEL") == 1).then_some(())
    });
    // The log names the trace, and one that is malformed is none, whatever is said of it.
    assert!(gateway.log().contains("\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\""));
    let id = begin(&[("traceparent", &trace.to_uppercase()), states[0]]);
    gateway.post(&format!("/v1/verifications/{id}/cancel"), &serde_json::json!({}));
    wait_for("the second verdict is told", Duration::from_secs(20), || {
        let told = receiver.tries().get(3).cloned()?;
        assert_eq!((told.traceparent, told.tracestate), (None, None));
        Some(())
    });
}
