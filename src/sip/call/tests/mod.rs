//! Each rule of a call, by its name, with the sentence that makes it one.

mod challenged;
mod inviting;
mod moving;
mod parting;
mod refreshing;
mod reliable;
mod serving;

use std::time::Duration;

use super::*;
use crate::sip::compose::{Request, Response};
use crate::sip::digest::Credentials;
use crate::sip::method::Method;
use crate::sip::{Incoming, Route, message};

const SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n";

fn trunk() -> Hop {
    Hop::udp("192.0.2.7:5060".parse().unwrap())
}

fn order() -> Order {
    let target = Target {
        user: "+49301234567".into(),
        host: "trunk.example".into(),
        port: None,
        is_phone: false,
    };
    Order {
        credentials: Some(Credentials::new("user", "password")),
        ..Order::new(
            target,
            vec![Way { hop: trunk(), local: "192.0.2.1:5060".parse().unwrap() }],
            NameAddr::new(Uri::sip("+49307654321", "ours.example", None)).display("Us \"&\" Co"),
        )
    }
}

/// A call and the far side of it.
struct Line {
    call: Call,
    now: Timestamp,
    /// What the call has said since it was last asked.
    out: Vec<Output>,
    /// All it ever sent.
    sent: Vec<(Hop, Message, Vec<u8>)>,
    overs: usize,
    invite: Option<Message>,
    cseq: u32,
}

impl Line {
    fn with(order: Order) -> Self {
        let call = Call::new(order, SDP.to_vec(), Entropy::from_number(7), Settings::default());
        let now = Timestamp::from_secs(1_000);
        let (out, sent) = (Vec::new(), Vec::new());
        let mut line = Self { call, now, out, sent, overs: 0, invite: None, cseq: 100 };
        line.feed(Input::Start);
        line.invite = Some(line.last(&Method::Invite));
        line.take();
        line
    }

    fn new() -> Self {
        Self::with(order())
    }

    /// A call that was answered.
    fn up() -> Self {
        let mut line = Self::new();
        line.answer(180, "them");
        line.answer(200, "them");
        assert_eq!(line.methods(), [Method::Ack]);
        line
    }

    fn feed(&mut self, input: Input<'_>) {
        let from = self.out.len();
        self.call.on(self.now, input, &mut self.out);
        for output in &self.out[from..] {
            if let Output::Send { to, bytes } = output {
                self.sent.push((*to, read(bytes), bytes.clone()));
            }
            self.overs += usize::from(matches!(output, Output::Over(_)));
        }
        assert!(self.overs <= 1, "over comes once");
    }

    fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    /// What was sent since last asked.
    fn taken(&mut self) -> Vec<Message> {
        let sent = |output| {
            let Output::Send { bytes, .. } = output else { return None };
            Some(read(&bytes))
        };
        self.take().into_iter().filter_map(sent).collect()
    }

    /// The methods of the requests sent since last asked.
    fn methods(&mut self) -> Vec<Method> {
        let taken = self.taken().into_iter().filter(|message| message.status().is_none());
        taken.map(|message| message.method().clone()).collect()
    }

    /// The statuses of the responses sent since last asked.
    fn statuses(&mut self) -> Vec<u16> {
        self.taken().iter().filter_map(Message::status).collect()
    }

    fn last(&self, method: &Method) -> Message {
        let requests = self.sent.iter().rev().map(|(_, message, _)| message);
        requests.filter(|m| m.status().is_none()).find(|m| m.method() == method).unwrap().clone()
    }

    fn last_bytes(&self) -> Vec<u8> {
        self.sent.last().unwrap().2.clone()
    }

    fn sent_bytes(&self, method: &Method) -> Vec<Vec<u8>> {
        let of = self.sent.iter().filter(|(_, m, _)| m.status().is_none() && m.method() == method);
        of.map(|(_, _, bytes)| bytes.clone()).collect()
    }

    /// The latest INVITE, and where it was sent.
    fn latest(&self) -> (Hop, Message) {
        let is_invite = |m: &Message| m.status().is_none() && *m.method() == Method::Invite;
        let (to, message, _) = self.sent.iter().rev().find(|sent| is_invite(&sent.1)).unwrap();
        (*to, message.clone())
    }

    /// The far side answers the latest INVITE.
    fn answer(&mut self, status: u16, tag: &str) {
        let invite = self.last(&Method::Invite);
        self.respond(&invite, status, tag, |response| response);
    }

    fn respond(
        &mut self,
        request: &Message,
        status: u16,
        tag: &str,
        more: impl FnOnce(Response) -> Response,
    ) {
        let mut response = Response::to(request, status);
        if status > 100 {
            response = response.to_tag(tag);
        }
        if (101..300).contains(&status) && *request.method() == Method::Invite {
            response = response.contact(&Uri::sip("them", "192.0.2.7", Some(5080)));
        }
        if matches!(status, 183 | 200) && *request.method() == Method::Invite {
            response = response.body("application/sdp", SDP);
        }
        self.receive(&more(response).to_bytes());
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.receive_from(trunk(), bytes);
    }

    fn receive_from(&mut self, from: Hop, bytes: &[u8]) {
        let message = read(bytes);
        self.feed(Input::Received { from, message: &message });
    }

    /// A request of the far side in the dialog of that tag.
    fn request(&mut self, method: &Method, tag: &str) -> Request {
        self.cseq += 1;
        self.request_numbered(method, tag, self.cseq, &format!("z9hG4bKthem{}", self.cseq))
    }

    fn request_numbered(&self, method: &Method, tag: &str, cseq: u32, branch: &str) -> Request {
        let invite = self.invite.as_ref().unwrap();
        let from = NameAddr::new(invite.to_uri().unwrap().clone()).tag(tag);
        let to = NameAddr::new(invite.from_uri().unwrap().clone()).tag(invite.from_tag().unwrap());
        Request::new(method.clone(), invite.contact_uri().unwrap())
            .via(&Way { hop: trunk(), local: trunk().address }, branch)
            .from(&from)
            .to(&to)
            .call_id(self.call.call_id())
            .cseq(cseq)
    }

    fn ask(&mut self, method: &Method) -> Vec<u8> {
        let bytes = self.request(method, "them").to_bytes();
        self.receive(&bytes);
        bytes
    }

    fn ask_with(&mut self, method: &Method, more: impl FnOnce(Request) -> Request) -> Vec<u8> {
        let bytes = more(self.request(method, "them")).to_bytes();
        self.receive(&bytes);
        bytes
    }

    /// Moves on by `span`, stopping at every deadline on the way.
    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some((at, _)) = self.call.deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.feed(Input::Lapsed);
        }
        self.now = end;
    }

    fn ended(&self) -> Option<Ended> {
        self.out.iter().rev().find_map(|output| {
            let Output::Over(ended) = output else { return None };
            Some(*ended)
        })
    }

    fn notes(&self) -> Vec<&Note> {
        let mut notes = Vec::new();
        for output in &self.out {
            if let Output::Note(note) = output {
                notes.push(note);
            }
        }
        notes
    }

    /// Everything dies out, and the owner may let go.
    fn dies_out(&mut self) {
        self.wait(Duration::from_secs(200));
        assert!(self.call.finished(), "{:?} {:?}", self.call.state(), self.call.deadline());
        assert_eq!(self.overs, 1);
    }
}

fn way(hop: Hop) -> Way {
    Way { hop, local: "192.0.2.1:5060".parse().unwrap() }
}

fn hop(address: &str) -> Hop {
    Hop::udp(address.parse().unwrap())
}

fn read(bytes: &[u8]) -> Message {
    let Ok(Incoming::Message(message)) = message::read(bytes) else {
        panic!("unreadable: {}", String::from_utf8_lossy(bytes));
    };
    *message
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const CHALLENGE: &str = "Digest realm=\"trunk\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256";
