//! OPTIONS at regular times: does a server live? (RFC 3261 § 11)

use std::time::Duration;

use super::Settings;
use super::compose::Request;
use super::health::Probed;
use super::hop::{Hop, Way};
use super::message::Message;
use super::method::Method;
use super::outside::{Came, Outside, branch};
use super::transaction::Pace;
use super::uri::{NameAddr, Route, Uri};
use crate::ambient::{Entropy, Timestamp};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// The first OPTIONS are spread over this.
const SPREAD: u64 = 1_000;

/// Watches one server.
#[derive(Clone, Debug)]
pub struct Probe {
    target: Uri,
    routes: Vec<Route>,
    contact_host: Option<String>,
    every: Duration,
    way: Way,
    call_id: String,
    tag: String,
    cseq: u32,
    entropy: Entropy,
    next: Timestamp,
    under_way: Option<Outside>,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Output {
    /// Send this.
    Send {
        /// Where to.
        to: Hop,
        /// The message.
        bytes: Vec<u8>,
    },
    /// OPTIONS had this end.
    Probed {
        /// The end.
        probed: Probed,
        /// After so long.
        took: Duration,
    },
}

impl Probe {
    /// Asks `target` by `way`, for the first time within a second.
    #[must_use]
    pub fn new(
        now: Timestamp,
        target: Uri,
        routes: Vec<Route>,
        way: Way,
        every: Duration,
        mut entropy: Entropy,
    ) -> Self {
        let (call_id, tag) = (entropy.token(26), entropy.token(12));
        let next = now + Duration::from_millis(entropy.below(SPREAD));
        let (cseq, under_way) = (0, None);
        let contact_host = None;
        Self {
            target,
            routes,
            contact_host,
            every,
            way,
            call_id,
            tag,
            cseq,
            entropy,
            next,
            under_way,
        }
    }

    /// The same with this host in Contact, where the server knows us by a name.
    #[must_use]
    pub fn known_as(mut self, host: Option<String>) -> Self {
        self.contact_host = host;
        self
    }

    /// The Call-ID of all its requests.
    #[must_use]
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Which server.
    #[must_use]
    pub fn way(&self) -> Way {
        self.way
    }

    /// Whether an answer is awaited.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.under_way.is_some()
    }

    /// When something is due.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.under_way.as_ref().map_or(self.next, Outside::deadline)
    }

    /// Asks nothing before this time, and then at once.
    pub fn hold(&mut self, until: Timestamp) {
        self.next = until;
        self.under_way = None;
    }

    /// A message with its Call-ID came in.
    pub fn received(&mut self, now: Timestamp, message: &Message) -> Option<Output> {
        let came = self.under_way.as_mut()?.received(now, message);
        let answered = Probed::Answered {
            status: message.status().unwrap_or_default(),
            retry_after: message.retry_after(),
        };
        self.came(now, came, answered)
    }

    /// A deadline has come.
    pub fn lapsed(&mut self, now: Timestamp) -> Option<Output> {
        let Some(under_way) = &mut self.under_way else {
            return (now >= self.next).then(|| self.ask(now));
        };
        let came = under_way.lapsed(now);
        self.came(now, came, Probed::Silent)
    }

    /// The network says that what was sent there did not arrive.
    pub fn unreachable(&mut self, now: Timestamp) -> Option<Output> {
        self.under_way.as_ref()?;
        self.came(now, Came::Unreachable, Probed::Unreachable)
    }

    fn ask(&mut self, now: Timestamp) -> Output {
        self.cseq += 1;
        let branch = branch(&mut self.entropy);
        let local = self.way.local;
        let us = Uri::sip("", &local.ip().to_string(), Some(local.port()));
        let contact = self.way.contact("", self.contact_host.as_deref());
        // RFC 3261 § 11.1: "a Contact header field MAY be present in an OPTIONS. The Accept header field
        // SHOULD be included to indicate the type of message body the UAC wishes to receive in the
        // response."
        let bytes = Request::new(Method::Options, self.target.clone())
            .via(&self.way, &branch)
            .from(&NameAddr::new(us.clone()).tag(&self.tag))
            .to(&NameAddr::new(self.target.clone()))
            .call_id(&self.call_id)
            .cseq(self.cseq)
            .routes(&self.routes)
            .contact(&contact)
            .header("Accept", "application/sdp")
            .to_bytes();
        let pace = Pace::over(&Settings::default(), self.way.hop.transport);
        let copy = bytes.clone();
        let (way, method) = (self.way, Method::Options);
        self.under_way = Some(Outside::sent(now, pace, method, branch, way, copy, PATIENCE));
        Output::Send { to: self.way.hop, bytes }
    }

    fn came(&mut self, now: Timestamp, came: Came, probed: Probed) -> Option<Output> {
        match came {
            Came::Nothing => None,
            Came::Copy => {
                let bytes = self.under_way.as_ref()?.bytes().to_vec();
                Some(Output::Send { to: self.way.hop, bytes })
            }
            Came::Final | Came::Silence | Came::Unreachable => {
                let took = self.under_way.take()?.age(now);
                // As often as was said, whatever it took; a tenth more or less keeps thousands of
                // trunks from being asked at once.
                let tenth = u64::try_from(self.every.as_millis() / 10).unwrap_or_default();
                let jitter = Duration::from_millis(self.entropy.below(2 * tenth + 1));
                let pause = self.every + jitter;
                self.next = now + pause.saturating_sub(Duration::from_millis(tenth) + took);
                Some(Output::Probed { probed, took })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Incoming, message};

    const NOW: Timestamp = Timestamp::from_secs(100);
    const EVERY: Duration = Duration::from_secs(10);

    fn probe() -> Probe {
        let hop = Hop::udp("192.0.2.1:5060".parse().unwrap());
        let way = Way { hop, local: "198.51.100.1:5060".parse().unwrap() };
        let target = Uri::sip("", "carrier.example", None);
        Probe::new(NOW, target, Vec::new(), way, EVERY, Entropy::from_number(1))
    }

    fn sent(output: Option<Output>) -> String {
        match output {
            Some(Output::Send { bytes, .. }) => String::from_utf8(bytes).unwrap(),
            other => panic!("nothing was sent: {other:?}"),
        }
    }

    fn answer(request: &str, status: &str) -> Box<Message> {
        let line = |name: &str| {
            let found = request.lines().find(|line| line.starts_with(name)).unwrap();
            format!("{found}\r\n")
        };
        let heads = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(line).concat();
        let text = format!("SIP/2.0 {status}\r\n{heads}Content-Length: 0\r\n\r\n");
        match message::read(text.as_bytes()).unwrap() {
            Incoming::Message(message) => message,
            Incoming::KeepAlive => panic!("a keep-alive"),
        }
    }

    #[test]
    fn a_server_that_knows_us_by_a_name_reads_it_in_contact() {
        let mut probe = probe().known_as(Some("sbc.acme.example".to_owned()));
        let request = sent(probe.lapsed(probe.deadline()));
        assert!(request.contains("Contact: <sip:sbc.acme.example:5060>\r\n"), "{request}");
        assert!(request.contains("Via: SIP/2.0/UDP 198.51.100.1:5060;"), "{request}");
    }

    #[test]
    fn it_asks_and_is_answered_and_asks_again() {
        let mut probe = probe();
        let first = probe.deadline();
        assert!(first >= NOW && first < NOW + Duration::from_secs(1));
        let request = sent(probe.lapsed(first));
        assert!(request.starts_with("OPTIONS sip:carrier.example SIP/2.0\r\n"), "{request}");
        let came = probe.received(first + Duration::from_millis(20), &answer(&request, "404 No"));
        let probed = Probed::Answered { status: 404, retry_after: None };
        assert_eq!(came, Some(Output::Probed { probed, took: Duration::from_millis(20) }));
        let pause = probe.deadline().since(first);
        assert!(pause >= EVERY * 9 / 10 && pause <= EVERY * 11 / 10, "{pause:?}");
        let again = sent(probe.lapsed(probe.deadline()));
        assert!(again.contains("CSeq: 2 OPTIONS\r\n"), "{again}");
        assert_eq!(probe.received(first, &answer(&request, "200 OK")), None, "of before");
    }

    #[test]
    fn four_seconds_of_silence_are_silence() {
        let mut probe = probe();
        let first = probe.deadline();
        let request = sent(probe.lapsed(first));
        let mut copies = 0;
        let took = loop {
            match probe.lapsed(probe.deadline()) {
                Some(Output::Send { bytes, .. }) => {
                    assert_eq!(bytes, request.as_bytes());
                    copies += 1;
                }
                Some(Output::Probed { probed: Probed::Silent, took }) => break took,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((copies, took), (3, PATIENCE), "at 0.5, 1.5 and 3.5 s");
    }

    #[test]
    fn it_can_be_held() {
        let mut probe = probe();
        probe.hold(NOW + EVERY);
        assert_eq!(probe.lapsed(NOW + Duration::from_secs(5)), None);
        assert!(sent(probe.lapsed(NOW + EVERY)).starts_with("OPTIONS"));
        assert_eq!(
            probe.unreachable(NOW + EVERY),
            Some(Output::Probed { probed: Probed::Unreachable, took: Duration::ZERO })
        );
        assert_eq!(probe.unreachable(NOW + EVERY), None, "nothing was under way");
    }
}
