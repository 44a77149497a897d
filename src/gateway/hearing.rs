//! What a call learned, ours or a carrier's, in the words of its verification.
//!
//! This is where evidence of consent is made, and nowhere else: where a key was heard that means
//! yes.

use std::net::SocketAddr;
use std::time::Duration;

use crate::ambient::Timestamp;
use crate::carrier::News;
use crate::media::Srtp;
use crate::media::attendant::Failure;
use crate::sip::call;
use crate::verify::attempt::{self as verify, AttemptNo};
use crate::verify::signal::{Cause, Press, Reason, RtpMark, Said, Signal};
use crate::voice::{self, Cue, Ended, Event, Is, Key, Label};

/// The signal that an event of an attempt's call is; `None` for what concerns nobody but those who
/// look on. `trunk` is named to people.
#[must_use]
pub fn signal(attempt: AttemptNo, trunk: &str, event: &Event) -> Option<Signal> {
    Some(match event {
        Event::Alerting { status } => Signal::Alerting { attempt, sip_status: Some(*status) },
        Event::Answered { status } => Signal::Engaged { attempt, sip_status: Some(*status) },
        Event::Prompting => Signal::Prompting { attempt },
        Event::Listening => Signal::Listening { attempt },
        Event::Telling => Signal::Delivered { attempt },
        Event::Heard { said, key } => Signal::heard(attempt, meaning(*said), press(key)),
        Event::Proven(key) => Signal::Proven { attempt, press: press(key) },
        Event::Label(label) => Signal::Labelled { attempt, label: heard(*label) },
        Event::Ended(end) => Signal::Ended { attempt, cause: cause(*end, trunk) },
        Event::Dialling | Event::Saying(_) | Event::Key(_) => return None,
    })
}

const fn meaning(said: voice::Said) -> Said {
    match said {
        voice::Said::Confirmed => Said::Confirmed,
        voice::Said::PinEntered => Said::PinEntered,
        voice::Said::DigitsEntered => Said::DigitsEntered,
        voice::Said::FraudReported => Said::FraudReported,
        voice::Said::Declined => Said::Declined,
        voice::Said::WrongKey => Said::WrongKey,
        voice::Said::WrongPin => Said::WrongPin,
    }
}

fn press(key: &Key) -> Press {
    let millis = |held: Duration| u32::try_from(held.as_millis()).unwrap_or(u32::MAX);
    Press {
        at: key.at,
        paths: key.paths.iter().map(|path| path.as_str().to_owned()).collect(),
        held_ms: key.held.map(millis),
        level_dbm0: key.level,
        rtp: key.stream.map(|stream| RtpMark {
            ssrc: stream.ssrc,
            timestamp: stream.timestamp,
            sequence: [stream.first, stream.last],
            packets: stream.packets,
        }),
        event: None,
    }
}

fn heard(label: Label) -> verify::Label {
    verify::Label {
        is: label.is.as_str().to_owned(),
        percent: label.score,
        cue: label.cue.as_str().to_owned(),
    }
}

/// The signal that a carrier's news are; `None` for what people wrote, which belongs to no attempt
/// yet.
#[must_use]
pub fn news(attempt: AttemptNo, now: Timestamp, news: News) -> Option<Signal> {
    Some(match news {
        News::Placed(handle) => Signal::Placed { attempt, handle, node: None },
        News::Alerting => Signal::Alerting { attempt, sip_status: None },
        News::Engaged => Signal::Engaged { attempt, sip_status: None },
        News::Prompting => Signal::Prompting { attempt },
        News::Sent => Signal::Sent { attempt },
        News::Delivered => Signal::Delivered { attempt },
        News::Said { said, event } => {
            Signal::heard(attempt, said, Press { event: Some(event), ..Press::by(CARRIER, now) })
        }
        News::Ended(cause) => Signal::Ended { attempt, cause },
        News::Text(_) => return None,
    })
}

/// The path of a key that a carrier heard.
const CARRIER: &str = "carrier";

/// The signal of a key that is pressed in a rehearsal: no phone was called.
pub(super) fn rehearsed(attempt: AttemptNo, now: Timestamp, said: Said) -> Signal {
    Signal::heard(attempt, said, Press::by("rehearsal", now))
}

/// Why an attempt ended, in the words of a verdict.
fn cause(ended: Ended, trunk: &str) -> Cause {
    let carrier = |why: String| Cause::because(Reason::CarrierError, why);
    match ended {
        Ended::NoInput => Cause::plain(Reason::NoInput),
        Ended::Nobody(label) => nobody(label, trunk),
        Ended::Unreached(failure) => unreached(failure),
        Ended::MediaLost { unauthentic: true, .. } => Cause::because(
            Reason::MediaLost,
            format!(
                "what came from {trunk} is not sealed with the key in its answer: it sends in the \
                 clear, or with another key"
            ),
        ),
        Ended::MediaLost { negotiated, elsewhere, unauthentic: false } => {
            Cause::because(Reason::MediaLost, media_lost(trunk, negotiated, elsewhere))
        }
        Ended::Refused { status, q850, srtp } => {
            Cause { detail: Some(refused(trunk, status, srtp)), ..Cause::response(status, q850) }
        }
        Ended::Unusable(why) => {
            carrier(format!("the session description of {trunk} cannot be used: {why}"))
        }
        Ended::TooLong => Cause::because(Reason::NoInput, "the call reached its time limit"),
        // Whoever cancels has settled the verification before; what is left is our own end.
        Ended::Call(call::Ended::Stopped) => {
            Cause::because(Reason::NodeLost, "the gateway was stopped, or cut off from its store")
        }
        Ended::Call(call::Ended::HungUp) => Cause::plain(Reason::HungUp),
        Ended::Call(call::Ended::Left) => {
            Cause::because(Reason::NodeLost, "the gateway ended the call without a verdict")
        }
        Ended::Call(call::Ended::Rejected { status, q850, .. }) => Cause::response(status, q850),
        Ended::Call(call::Ended::NoAnswer) => Cause::plain(Reason::NoAnswer),
        Ended::Call(call::Ended::NoResponse) => carrier(format!("no response from {trunk}")),
        Ended::Call(call::Ended::Unreachable) => carrier(format!("{trunk} cannot be reached")),
        Ended::Call(call::Ended::AuthenticationRefused { status }) => Cause {
            sip_status: Some(status),
            ..carrier(format!("authentication refused by {trunk}"))
        },
        Ended::Call(call::Ended::Expired) => {
            carrier(format!("{trunk} did not keep the session alive"))
        }
        Ended::Call(call::Ended::Protocol(_)) => carrier(format!("{trunk} broke the protocol")),
    }
}

/// Who answered is no person who could be asked.
fn nobody(label: Label, trunk: &str) -> Cause {
    let tones = |reason| {
        let why = "the network answered the call, and played the tones of an announcement";
        Cause::because(reason, why)
    };
    match (label.is, label.cue) {
        (Is::Fax, _) => Cause::plain(Reason::Fax),
        (Is::Busy, _) => Cause::because(Reason::Busy, "a busy tone was played after the answer"),
        (Is::Sit, Cue::Vacant) => tones(Reason::InvalidNumber),
        (Is::Sit, _) => tones(Reason::Unreachable),
        (Is::Echo, _) => Cause::because(
            Reason::Echo,
            format!("the line of {trunk} sends back what it is sent, so no key can be believed"),
        ),
        (Is::Screening, _) => Cause::plain(Reason::CallScreened),
        (Is::Machine, _) => Cause::plain(Reason::Voicemail),
        // None of these ends a call.
        (Is::Human | Is::Silence | Is::Ringback, _) => Cause::plain(Reason::NoInput),
    }
}

/// What was found behind the answer of a number, in place of the extension.
fn unreached(failure: Failure) -> Cause {
    let (reason, detail) = match failure {
        Failure::NumberBusy => (Reason::Busy, "the number answered with a busy tone"),
        Failure::NumberUnreachable => {
            (Reason::Unreachable, "the number answered with tones of the network")
        }
        Failure::NumberRings => (Reason::NoAnswer, "the number answered, and rang on"),
        Failure::Busy => (Reason::Busy, "the extension is busy"),
        Failure::Wrong => (Reason::BadExtension, "the number knows no such extension"),
        Failure::Mailbox => (Reason::Voicemail, "a mailbox answered at the extension"),
        Failure::NoAnswer => (Reason::NoAnswer, "nobody answered at the extension"),
    };
    Cause::because(reason, detail)
}

/// For the admin of the trunk: what may be wrong between it and our offer of keys.
fn refused(trunk: &str, status: u16, srtp: Srtp) -> String {
    let why = match srtp {
        Srtp::Off => "",
        Srtp::Preferred => {
            ": it may want srtp = \"required\" (RTP/SAVP), or know no a=crypto and want \"off\""
        }
        Srtp::Required => ": it may not encrypt media, and srtp = \"required\"",
    };
    format!("{trunk} refused the session description with {status}{why}")
}

/// For the admin of the trunk: what came, and what was to come.
fn media_lost(
    trunk: &str,
    negotiated: Option<SocketAddr>,
    elsewhere: Option<SocketAddr>,
) -> String {
    match (negotiated, elsewhere) {
        (Some(negotiated), Some(elsewhere)) => format!(
            "RTP came from {elsewhere}, but the answer of {trunk} names {negotiated}: it is behind \
             an address translator, or does not send from where it receives"
        ),
        (_, _) => format!("{trunk} answered the call, and no RTP ever came"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Unusable;

    #[test]
    fn the_admin_reads_which_trunk_does_not_encrypt() {
        let detail = |ended| cause(ended, "acme").detail.unwrap_or_default();
        assert_eq!(
            detail(Ended::Unusable(Unusable::Clear)),
            "the session description of acme cannot be used: the audio is not encrypted, and srtp \
             = \"required\" or it was before"
        );
        let refused = Ended::Refused { status: 488, q850: None, srtp: Srtp::Required };
        assert_eq!(
            detail(refused),
            "acme refused the session description with 488: it may not encrypt media, and srtp = \
             \"required\""
        );
        let lost = Ended::MediaLost { negotiated: None, elsewhere: None, unauthentic: true };
        assert!(detail(lost).starts_with("what came from acme is not sealed with the key"));
    }
}
