//! What a request outside any call gets: as little as the RFC allows.
//!
//! We are nobody's PBX. A monitor's OPTIONS is answered, because trunks watch us by it; whoever asks for
//! more learns that something refuses, and nothing of what it is. These answers are for trunks: who
//! is none is best given no answer at all, so that a scanner finds nobody. No state is kept, so a flood
//! of requests costs what their answers cost.

use std::net::SocketAddr;

use super::compose::{ALLOW, Response};
use super::message::{Kind, Malformed, Message};
use super::method::Method;

/// The answer to a request that belongs to no call; `None` when there must be none.
#[must_use]
pub fn refuse(message: &Message, source: SocketAddr, to_tag: &str) -> Option<Vec<u8>> {
    let Kind::Request { method } = message.kind() else { return None };
    let answer = |status| Response::to(message, status).received_from(source).to_tag(to_tag);
    let answer = match method {
        // RFC 3261 § 17: no response to an ACK is ever sent.
        Method::Ack => return None,
        // RFC 3261 § 12.2.2: "If the UAS wishes to reject the request because it does not wish to
        // recreate the dialog, it MUST respond to the request with a 481 (Call/Transaction Does
        // Not Exist) status code".
        _ if message.to_tag().is_some() => answer(481),
        // RFC 3261 § 9.2: "If the UAS did not find a matching transaction for the CANCEL according
        // to the procedure above, it SHOULD respond to the CANCEL with a 481".
        // RFC 3262 § 3: "If a PRACK request is received by the UA core that does not match any
        // unacknowledged reliable provisional response, the UAS MUST respond to the PRACK with a
        // 481 response."
        Method::Cancel | Method::Bye | Method::Prack => answer(481),
        // RFC 3261 § 11.2: "The response code chosen MUST be the same that would have been chosen had
        // the request been an INVITE." That would be 403, but what a monitor asks is whether we live.
        Method::Options => answer(200).header("Allow", ALLOW).header("Accept", "application/sdp"),
        // RFC 3261 § 21.4.4: "The server understood the request, but is refusing to fulfill it."
        Method::Invite => answer(403),
        // RFC 6665 § 4.1.3: "If, for some reason, the event package designated in the "Event" header
        // field of the NOTIFY request is not supported, the subscriber will respond with a 489 (Bad
        // Event) response."
        Method::Notify => answer(489),
        // RFC 3261 § 8.2.1: "If the UAS recognizes but does not support the method of a request,
        // it MUST generate a 405 (Method Not Allowed) response [and] MUST also add an Allow header
        // field".
        Method::Register
        | Method::Info
        | Method::Update
        | Method::Subscribe
        | Method::Refer
        | Method::Message
        | Method::Publish => answer(405).header("Allow", ALLOW),
        // RFC 3261 § 21.5.2: "This is the appropriate response when a UAS does not recognize the
        // request method".
        Method::Other(_) => answer(501).header("Allow", ALLOW),
    };
    Some(answer.to_bytes())
}

/// The answer to a request that could not be followed; `None` when there must be none, or when
/// it could not find its way back.
#[must_use]
pub fn refuse_malformed(fault: &Malformed, source: SocketAddr, to_tag: &str) -> Option<Vec<u8>> {
    let unfit = fault.unfit().filter(|unfit| unfit.is_answerable())?;
    let answer = Response::to_raw(&unfit.raw, unfit.status);
    Some(answer.received_from(source).to_tag(to_tag).to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Incoming, message};

    fn request(method: &str, to: &str) -> Result<Incoming, Malformed> {
        message::read(
            format!(
                "{method} sip:us@h SIP/2.0\r\nVia: SIP/2.0/UDP them:5080;rport;branch=z9hG4bK2\r\n\
                 Max-Forwards: 9\r\nFrom: <sip:them@h>;tag=you\r\nTo: <sip:us@h>{to}\r\n\
                 Call-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
            )
            .as_bytes(),
        )
    }

    fn answer(method: &str, to: &str) -> Option<String> {
        let Ok(Incoming::Message(message)) = request(method, to) else { panic!("unreadable") };
        let source = "198.51.100.1:1024".parse().unwrap();
        refuse(&message, source, "ours").map(|answer| String::from_utf8(answer).unwrap())
    }

    #[test]
    fn each_method_gets_its_status() {
        for (method, to, status) in [
            ("OPTIONS", "", "200"),
            ("OPTIONS", ";tag=x", "481"),
            ("INVITE", "", "403"),
            ("BYE", "", "481"),
            ("BYE", ";tag=x", "481"),
            ("CANCEL", "", "481"),
            ("REGISTER", "", "405"),
            ("MESSAGE", "", "405"),
            ("NOTIFY", "", "489"),
            ("NOTIFY", ";tag=x", "481"),
            ("HACK", "", "501"),
        ] {
            let answer = answer(method, to).unwrap();
            assert!(answer.starts_with(&format!("SIP/2.0 {status} ")), "{method}{to}: {answer}");
        }
        assert_eq!(answer("ACK", ""), None);
        assert_eq!(answer("ACK", ";tag=x"), None);
    }

    #[test]
    fn the_answer_finds_its_way_through_a_nat_and_says_nothing_of_us() {
        let answer = answer("OPTIONS", "").unwrap();
        let via = "Via: SIP/2.0/UDP them:5080;branch=z9hG4bK2;received=198.51.100.1;rport=1024\r\n";
        assert!(answer.contains(via), "{answer}");
        assert!(answer.contains("To: <sip:us@h>;tag=ours\r\n"), "{answer}");
        assert!(!answer.contains("octothorpe"), "{answer}");
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_its_status() {
        let text = "INVITE sip:us@h SIP/7.0\r\nVia: SIP/2.0/UDP them;branch=z9hG4bK2\r\n\
                    Max-Forwards: 9\r\nFrom: <sip:them@h>;tag=you\r\nTo: <sip:us@h>\r\n\
                    Call-ID: c\r\nCSeq: 1 INVITE\r\n\r\n";
        let source = "198.51.100.1:1024".parse().unwrap();
        let refused = |text: &str| {
            let fault = message::read(text.as_bytes()).unwrap_err();
            let answer = refuse_malformed(&fault, source, "ours");
            answer.map(|answer| String::from_utf8_lossy(&answer).into_owned())
        };
        assert!(refused(text).unwrap().starts_with("SIP/2.0 505 Version Not Supported\r\n"));
        let bare = text.replace("7.0", "2.0").replace("z9hG4bK2", "z9hG4bK");
        assert!(refused(&bare).unwrap().starts_with("SIP/2.0 400 Bad Request\r\n"));
        let homeless = text.replace("Via: SIP/2.0/UDP them;branch=z9hG4bK2\r\n", "");
        assert_eq!(refused(&homeless), None);
        let ack = text.replace("INVITE", "ACK");
        assert_eq!(refused(&ack), None);
    }
}
