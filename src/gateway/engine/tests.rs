//! Calls on shared ports, with real sockets: whose key a packet is.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::lab::Lab;
use crate::ambient::{Clock, Entropy, secret};
use crate::gateway::settings::RtpPort;
use crate::gateway::tap::{Act, Scene, Tap};
use crate::media::prompt::Pack;
use crate::media::{Digit, MediaSession, Payload, Srtp, events};
use crate::sip::message::{self, Incoming};
use crate::sip::{Message, Method, Response, Uri};

const SOON: Duration = Duration::from_secs(5);

/// A trunk, and the engine that calls it.
struct Line {
    lab: Lab,
    trunk: UdpSocket,
    scenes: UnboundedReceiver<Scene>,
    entropy: Entropy,
}

/// A phone that was called.
struct Phone {
    socket: UdpSocket,
    session: MediaSession,
    clock: Clock,
}

impl Line {
    fn start() -> Self {
        let trunk = UdpSocket::bind("127.0.0.1:0").unwrap();
        trunk.set_read_timeout(Some(SOON)).unwrap();
        let (tap, scenes) = Tap::new();
        let prompts = Arc::new(Pack::english().unwrap());
        let address = trunk.local_addr().unwrap();
        let ports = (42_000, 42_999);
        let lab = Lab::start(Clock::system(), prompts, ports, address, Some(tap), None).unwrap();
        Self { lab, trunk, scenes, entropy: Entropy::from_number(3) }
    }

    /// The next INVITE that the trunk is sent.
    fn invite(&self) -> Message {
        let mut buffer = [0; 8_192];
        loop {
            let length = self.trunk.recv(&mut buffer).expect("an INVITE");
            if let Ok(Incoming::Message(message)) = message::read(&buffer[..length])
                && *message.method() == Method::Invite
            {
                return *message;
            }
        }
    }

    /// Calls a phone that takes RTP at this socket.
    fn call(&mut self, port: RtpPort, srtp: Srtp, socket: UdpSocket) -> Phone {
        self.lab.call(port, srtp.with(secret)).unwrap();
        let local = socket.local_addr().unwrap();
        let session = MediaSession::new(local, srtp.with(secret), self.entropy.fork());
        let mut phone = Phone { socket, session, clock: Clock::system() };
        self.answer(&mut phone);
        phone
    }

    /// The phone takes what it is offered next.
    fn answer(&self, phone: &mut Phone) {
        let invite = self.invite();
        let now = phone.clock.now();
        let answer = phone.session.offered(now, invite.sdp()).unwrap();
        let port = self.trunk.local_addr().unwrap().port();
        let contact = Uri::sip("them", "127.0.0.1", Some(port));
        let response = Response::to(&invite, 200).to_tag("them").contact(&contact);
        self.lab.answer(response.body("application/sdp", &answer).to_bytes());
        // Two ticks: by then the engine knows.
        std::thread::sleep(Duration::from_millis(20));
    }

    /// The keys that were heard within a tenth of a second, and in which call.
    fn heard(&mut self) -> Vec<(String, char)> {
        std::thread::sleep(Duration::from_millis(100));
        let mut keys = Vec::new();
        while let Ok(scene) = self.scenes.try_recv() {
            if let Act::Key { digit, .. } = scene.act {
                keys.push((scene.verification.to_string(), digit));
            }
        }
        keys
    }

    /// The call that hears this key, which nothing else is heard of.
    fn hears(&mut self, phone: &mut Phone, key: char) -> String {
        phone.press(key);
        let heard = self.heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert_eq!(heard[0].1, key);
        heard[0].0.clone()
    }
}

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

impl Phone {
    /// Where it sends.
    fn remote(&self) -> SocketAddr {
        self.session.remote().unwrap()
    }

    /// The datagrams of a press.
    fn datagrams(&mut self, key: char) -> Vec<Vec<u8>> {
        let digit = Digit::from_char(key).unwrap();
        let steps: VecDeque<_> = events::press(digit, self.session.timestamp(), 800).into();
        let (now, mut datagrams) = (self.clock.now(), Vec::new());
        for step in steps {
            let payload = Payload::Event(step);
            let packet = self.session.frame(now, payload).unwrap();
            let mut datagram = Vec::new();
            self.session.datagram(&packet, &step.payload, &mut datagram);
            datagrams.push(datagram);
        }
        datagrams
    }

    fn press(&mut self, key: char) {
        self.press_from(key, &self.socket.try_clone().unwrap());
    }

    fn press_from(&mut self, key: char, socket: &UdpSocket) {
        let to = self.remote();
        for datagram in self.datagrams(key) {
            socket.send_to(&datagram, to).unwrap();
        }
    }
}

#[tokio::test]
async fn calls_on_one_port_each_hear_their_own_key_and_no_stranger() {
    for srtp in [Srtp::Off, Srtp::Required] {
        let mut line = Line::start();
        let mut one = line.call(RtpPort::Shared, srtp, socket());
        let mut two = line.call(RtpPort::Shared, srtp, socket());
        assert_eq!(one.remote(), two.remote());
        let first = line.hears(&mut one, '1');
        let second = line.hears(&mut two, '2');
        assert_ne!(first, second);
        assert_eq!(line.hears(&mut one, '3'), first);
        // From where no call has its far end, and from that of the other call.
        two.press_from('4', &socket());
        two.press_from('5', &one.socket);
        assert_eq!(line.heard(), []);
        assert_eq!(line.hears(&mut two, '6'), second);
    }
}

#[tokio::test]
async fn two_calls_with_one_far_end_are_parted_by_a_re_invite() {
    let mut line = Line::start();
    let shared = socket();
    let mut one = line.call(RtpPort::Shared, Srtp::Off, shared.try_clone().unwrap());
    let first = line.hears(&mut one, '1');
    let mut two = line.call(RtpPort::Shared, Srtp::Off, shared);
    let before = two.remote();
    // Where they were first told to send, nobody knows who they are.
    two.press('2');
    one.press('2');
    assert_eq!(line.heard(), []);
    line.answer(&mut one);
    line.answer(&mut two);
    assert!(one.remote() != before && two.remote() != before);
    let second = line.hears(&mut two, '3');
    assert_ne!(first, second);
    assert_eq!(line.hears(&mut one, '4'), first);
}

#[tokio::test]
async fn what_is_still_under_way_when_a_call_is_over_is_not_heard_by_the_next() {
    let mut line = Line::start();
    let far_end = socket();
    let mut one = line.call(RtpPort::Shared, Srtp::Off, far_end.try_clone().unwrap());
    let first = line.hears(&mut one, '1');
    line.lab.hang_up();
    std::thread::sleep(Duration::from_millis(20));
    let mut two = line.call(RtpPort::Shared, Srtp::Off, far_end);
    one.press('2');
    assert_eq!(line.heard(), []);
    assert_ne!(line.hears(&mut two, '3'), first);
}
