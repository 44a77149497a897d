//! What messages say by the extensions that a call understands: 100rel (RFC 3262), UPDATE
//! (RFC 3311), session timers (RFC 4028), diversion (RFC 5806, RFC 7044), and the list of a 3xx.

use super::message::Message;
use super::method::Method;
use super::uri::{Address, Uri, param};

/// What a Supported header of ours names.
pub(super) const SUPPORTED: &str = "100rel, timer";

/// Whether it is one of these.
pub(super) fn is_supported(option: &str) -> bool {
    SUPPORTED.split(", ").any(|it| it.eq_ignore_ascii_case(option))
}

/// Who keeps a session alive, as seen from whoever sends the request that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresher {
    /// Whoever sends that request.
    Uac,
    /// Whoever answers it.
    Uas,
}

impl Refresher {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        }
    }
}

/// A Session-Expires header (RFC 4028 § 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionExpires {
    /// How long the session lasts from now, in seconds.
    pub(super) seconds: u32,
    /// Who keeps it alive, where that is said.
    pub(super) refresher: Option<Refresher>,
}

impl Message {
    /// Whether a provisional response wants PRACK: RFC 3262 § 4, "that response contains a Require
    /// header field containing the option tag 100rel"; its RSeq.
    pub(super) fn reliable(&self) -> Option<u32> {
        let is_reliable = self.names("Require", "100rel");
        self.header("RSeq")?.trim().parse().ok().filter(|rseq| is_reliable && *rseq > 0)
    }

    /// Whether its sender has this extension.
    pub(super) fn supports(&self, option: &str) -> bool {
        self.names("Supported", option) || self.names("Require", option)
    }

    /// Whether its sender takes this method (RFC 3261 § 20.5).
    pub(super) fn allows(&self, method: &Method) -> bool {
        self.names("Allow", method.as_str())
    }

    /// How long the session lasts.
    pub(super) fn session_expires(&self) -> Option<SessionExpires> {
        let value = self.header("Session-Expires")?;
        let (seconds, params) = value.split_once(';').unwrap_or((&value, ""));
        let refresher = param(params, "refresher").and_then(|word| {
            let known = [Refresher::Uac, Refresher::Uas];
            known.into_iter().find(|it| it.as_str().eq_ignore_ascii_case(&word))
        });
        Some(SessionExpires { seconds: seconds.trim().parse().ok()?, refresher })
    }

    /// How long a session must last at least, in seconds (RFC 4028 § 5).
    pub(super) fn min_session_expires(&self) -> Option<u32> {
        let value = self.header("Min-SE")?;
        value.split(';').next()?.trim().parse().ok()
    }

    /// Where a 3xx sends us, the most wanted first: RFC 3261 § 20.10, "contact-params [...] "q" [...]
    /// indicates a preference", 1 where nothing is said.
    pub(super) fn contacts(&self) -> Vec<Uri> {
        let mut contacts: Vec<(f32, Uri)> = self
            .list("Contact")
            .iter()
            .filter_map(|value| {
                let behind = value.rsplit_once('>').or_else(|| value.split_once(';'));
                let (_, params) = behind.unwrap_or((value, ""));
                let wanted = param(params, "q").and_then(|q| q.parse::<f32>().ok());
                Some((wanted.unwrap_or(1.0), Address::read(value).uri?))
            })
            .collect();
        contacts.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        contacts.into_iter().map(|(_, uri)| uri).collect()
    }

    /// Whether a response says that the call was led to another phone than the one that was called:
    /// 181, a Diversion (RFC 5806 § 4), or a History-Info (RFC 7044 § 5) of which an entry has a
    /// cause (RFC 4458) or was mapped to another user.
    pub(super) fn tells_of_diversion(&self) -> bool {
        let is_changed = |entry: &String| {
            let entry = entry.to_ascii_lowercase();
            [";cause=", "cause%3d", ";mp="].iter().any(|mark| entry.contains(mark))
        };
        self.status() == Some(181)
            || self.header("Diversion").is_some()
            || self.list("History-Info").iter().any(is_changed)
    }

    fn names(&self, header: &str, word: &str) -> bool {
        self.list(header).iter().any(|it| it.trim().eq_ignore_ascii_case(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Incoming, message};

    fn response(headers: &str) -> Message {
        let text = format!(
            "SIP/2.0 180 Ringing\nVia: SIP/2.0/UDP us;branch=z9hG4bK1\nFrom: <sip:us@h>;tag=me\n\
             To: <sip:them@h>;tag=you\nCall-ID: c\nCSeq: 7 INVITE\n{headers}\n"
        );
        let Ok(Incoming::Message(message)) = message::read(text.replace('\n', "\r\n").as_bytes())
        else {
            panic!("unreadable: {text}");
        };
        *message
    }

    #[test]
    fn a_reliable_response_requires_100rel_and_has_a_number() {
        for (headers, rseq) in [
            ("Require: 100rel\nRSeq: 7\n", Some(7)),
            ("Require: timer, 100REL\nRSeq: 4294967295\n", Some(u32::MAX)),
            ("Supported: 100rel\nRSeq: 7\n", None),
            ("Require: 100rel\n", None),
            ("Require: 100rel\nRSeq: 0\n", None),
            ("Require: 100rel\nRSeq: x\n", None),
        ] {
            assert_eq!(response(headers).reliable(), rseq, "{headers}");
        }
    }

    #[test]
    fn session_headers_are_read_in_both_forms() {
        let read = |headers: &str| response(headers).session_expires();
        let some = |seconds, refresher| Some(SessionExpires { seconds, refresher });
        assert_eq!(read("Session-Expires: 90;refresher=UAC\n"), some(90, Some(Refresher::Uac)));
        assert_eq!(read("x: 1800 ; x=y;refresher=uas\n"), some(1800, Some(Refresher::Uas)));
        assert_eq!(read("Session-Expires: 90\n"), some(90, None));
        assert_eq!(read("Session-Expires: soon\n"), None);
        assert_eq!(response("Min-SE: 120;x=y\n").min_session_expires(), Some(120));
    }

    #[test]
    fn contacts_come_by_their_q() {
        let response = response(
            "Contact: <sip:a@h>;q=0.2, \"b, c\" <sip:b@h;q=0.1>;expires=3;q=0.9\nContact: sip:c@h;q=0.95\n",
        );
        let contacts: Vec<String> =
            response.contacts().iter().map(|uri| uri.as_str().to_owned()).collect();
        assert_eq!(contacts, ["sip:c@h", "sip:b@h;q=0.1", "sip:a@h"]);
    }

    #[test]
    fn who_was_diverted_says_so_in_several_ways() {
        for (headers, diverted) in [
            ("Diversion: <sip:+4930@h>;reason=unconditional\n", true),
            ("History-Info: <sip:a@h>;index=1, <sip:b@h;cause=302>;index=1.1;mp=1\n", true),
            ("History-Info: <sip:a@h?Reason=SIP%3Bcause%3D302>;index=1\n", true),
            ("History-Info: <sip:a@h>;index=1, <sip:a@gw>;index=1.1;rc=1\n", false),
            ("P-Asserted-Identity: <sip:a@h>\n", false),
        ] {
            assert_eq!(response(headers).tells_of_diversion(), diverted, "{headers}");
        }
    }
}
