//! Why an attempt ended, in one sentence that a person understands who knows nothing of telephony.

use super::attempt::{Attempt, AttemptState};
use super::request::Channel;
use super::signal::{Cause, Reason};

/// Why an attempt ended; `None` while it goes on.
#[must_use]
pub fn why(attempt: &Attempt) -> Option<String> {
    if attempt.state != AttemptState::Ended {
        return None;
    }
    let Some(cause) = attempt.cause() else {
        return Some(match (attempt.channel, attempt.may_have_arrived) {
            (Channel::Voice, true) => "The code was told.".to_owned(),
            (Channel::Sms, true) => "Another attempt took the place of this text.".to_owned(),
            (Channel::Voice | Channel::Sms, false) => "Another attempt took its place.".to_owned(),
        });
    };
    Some(told(&cause, &attempt.route, attempt.channel))
}

/// Why something ended that went this way.
#[must_use]
pub fn told(cause: &Cause, via: &str, channel: Channel) -> String {
    let sentence = sentence(cause, via, channel);
    match &cause.detail {
        Some(detail) => format!("{sentence}: {}.", detail.trim_end_matches('.')),
        None => format!("{sentence}."),
    }
}

fn sentence(cause: &Cause, via: &str, channel: Channel) -> String {
    let thing = match channel {
        Channel::Voice => "call",
        Channel::Sms => "text",
    };
    let said = match cause.reason {
        Reason::Confirmed => "The person pressed the key that was asked for",
        Reason::FraudReported => "The person reported that it was not them",
        Reason::WrongKey => {
            "The person was asked, and pressed other keys than those that were right"
        }
        Reason::WrongPin => "The person entered a wrong PIN too often",
        Reason::NoInput => "Somebody answered and was asked, and no key was pressed",
        Reason::Expired => "Time ran out before the person answered the question",
        Reason::Busy => "The line was busy",
        Reason::NoAnswer => "The phone rang, and nobody answered",
        Reason::Rejected => "The call was refused on the phone, or by a service that guards it",
        Reason::HungUp => "Somebody answered, and hung up before the question was answered",
        Reason::InvalidNumber => "The network knows no such number",
        Reason::BadExtension => "The number answered, and knows no such extension",
        Reason::MediaLost => {
            "The call was answered, but no sound came from the other side, so that no key could be heard"
        }
        Reason::NodeLost => "The machine that had the call stopped before its end",
        Reason::CanceledByCaller => "Whoever asked took the question back",
        Reason::CodeMatched => "The person typed the right code",
        Reason::ReplyMatched => "The person sent the right answer from the phone",
        Reason::Declined => "The person said no",
        Reason::TooManyChecks => "Wrong codes were entered too often",
        Reason::Undelivered => "The text did not reach the phone",
        Reason::Voicemail => "A mailbox or another machine answered, and no person",
        Reason::Fax => "A fax machine answered",
        Reason::CallScreened => "A service that screens calls answered, and let nobody through",
        Reason::Echo => "The line sends back what is said on it, so that nobody can be there",
        Reason::OptedOut => "The person wants no texts from this sender",
        Reason::BudgetDenied => "Our own limit was reached: there was no money left for it",
        Reason::Blocked => "The number was blocked by us meanwhile",
        Reason::Unreachable => match (cause.sip_status, cause.q850) {
            (Some(408), None) => {
                return format!(
                    "{via} took the call, and nothing was heard of it in time (SIP 408)"
                );
            }
            (Some(_) | None, _) => "The phone could not be reached: it is off, or out of coverage",
        },
        Reason::Congested => match cause.sip_status {
            Some(status) => {
                return format!("{via}, or a network behind it, had no free line (SIP {status})");
            }
            None => "Our own limit was reached: there was no free line for it",
        },
        Reason::CarrierError => {
            return match cause.sip_status {
                Some(503) => format!("{via} is overloaded or out of service (SIP 503)"),
                Some(status) => format!("{via} could not carry the {thing} (SIP {status})"),
                None => format!("{via} could not carry the {thing}"),
            };
        }
    };
    said.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_causes_are_told_so_that_a_person_understands() {
        for (cause, said) in [
            (Cause::response(486, Some(17)), "The line was busy."),
            (
                Cause::plain(Reason::MediaLost),
                "The call was answered, but no sound came from the other side, so that no key could be heard.",
            ),
            (
                Cause::plain(Reason::WrongKey),
                "The person was asked, and pressed other keys than those that were right.",
            ),
            (Cause::response(503, None), "acme is overloaded or out of service (SIP 503)."),
            (
                Cause::plain(Reason::Voicemail),
                "A mailbox or another machine answered, and no person.",
            ),
            (
                Cause::because(Reason::Congested, "no RTP port is free"),
                "Our own limit was reached: there was no free line for it: no RTP port is free.",
            ),
            (Cause::response(500, None), "acme could not carry the call (SIP 500)."),
        ] {
            assert_eq!(told(&cause, "acme", Channel::Voice), said);
        }
    }
}
