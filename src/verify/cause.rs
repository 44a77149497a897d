//! Why an attempt ended: SIP statuses (RFC 3261 § 21 and its successors) and Q.850 causes in the
//! API's words. The README has the same as a table, and a test that holds the two together.

use serde::{Deserialize, Serialize};

use super::signal::Reason;

/// Whose doing an attempt's end was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The called person or their phone.
    Callee,
    /// The caller of the API.
    Caller,
    /// The trunk or a network behind it.
    Carrier,
    /// This gateway.
    Us,
    /// Nobody can tell.
    Unknown,
}

impl Blame {
    /// Its word in call records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Callee => "callee",
            Self::Caller => "caller",
            Self::Carrier => "carrier",
            Self::Us => "us",
            Self::Unknown => "unknown",
        }
    }
}

/// Why an attempt ended: data in a verdict, never an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// In the API's word.
    pub reason: Reason,
    /// The SIP status of the final response, where there was one.
    pub sip_status: Option<u16>,
    /// The Q.850 cause from a Reason header (RFC 3326), where there was one.
    pub q850: Option<u8>,
    /// For people: a sentence without numbers or secrets, where the words above do not say it all.
    pub detail: Option<String>,
}

impl Cause {
    /// A cause that no response told.
    #[must_use]
    pub const fn plain(reason: Reason) -> Self {
        Self { reason, sip_status: None, q850: None, detail: None }
    }

    /// The same, with a sentence for people.
    #[must_use]
    pub fn because(reason: Reason, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::plain(reason) }
    }

    /// What a final response of 300 to 699 means, the Q.850 cause first: gateways put the network's
    /// own word there and translate it to SIP with loss (RFC 3398 section 7.2.6).
    #[must_use]
    pub fn response(sip_status: u16, q850: Option<u8>) -> Self {
        let reason = q850.and_then(by_q850).unwrap_or_else(|| by_status(sip_status));
        Self { reason, sip_status: Some(sip_status), q850, detail: None }
    }

    /// Whose doing it was.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self.reason {
            Reason::Busy
            | Reason::NoAnswer
            | Reason::Rejected
            | Reason::HungUp
            | Reason::NoInput
            | Reason::WrongKey
            | Reason::WrongPin
            | Reason::FraudReported
            | Reason::Confirmed
            | Reason::CodeMatched
            | Reason::ReplyMatched
            | Reason::Declined
            | Reason::TooManyChecks
            | Reason::Voicemail
            | Reason::Fax
            | Reason::CallScreened
            | Reason::OptedOut => Blame::Callee,
            Reason::InvalidNumber | Reason::BadExtension | Reason::CanceledByCaller => {
                Blame::Caller
            }
            Reason::CarrierError | Reason::MediaLost | Reason::Undelivered | Reason::Echo => {
                Blame::Carrier
            }
            // With a status it is the network that has no free line, without one it is us.
            Reason::Congested if self.sip_status.is_some() => Blame::Carrier,
            Reason::NodeLost | Reason::Congested | Reason::BudgetDenied | Reason::Blocked => {
                Blame::Us
            }
            // A server that heard nothing from behind it, and has no word of the network: it leads nowhere.
            Reason::Unreachable if matches!((self.sip_status, self.q850), (Some(408), None)) => {
                Blame::Carrier
            }
            Reason::Unreachable | Reason::Expired => Blame::Unknown,
        }
    }
}

/// ITU-T Q.850, as far as a cause says more than the status it comes with; the classes of RFC 3398
/// § 7.2.4.1. A cause that nobody has defined means the unspecified one of its class.
const fn by_q850(cause: u8) -> Option<Reason> {
    match cause {
        // Unallocated, misdialled trunk prefix, number changed, invalid format.
        1 | 5 | 22 | 28 => Some(Reason::InvalidNumber),
        // Special information tone, subscriber absent, not selected, out of order.
        4 | 20 | 26 | 27 => Some(Reason::Unreachable),
        17 => Some(Reason::Busy),
        // No user responding, no answer from user.
        18 | 19 => Some(Reason::NoAnswer),
        // Rejected; rejected by a feature at the destination; incoming calls barred.
        21 | 24 | 54 | 55 => Some(Reason::Rejected),
        // Out of order, out of service, temporary failure, information discarded: not for lack of
        // lines, as the rest of its class.
        38..=41 | 43 => Some(Reason::CarrierError),
        // Pre-empted, and resource unavailable.
        8 | 9 | 32..=47 => Some(Reason::Congested),
        // No route, a channel or a facility that is not to be had, and routing errors; service or
        // option not available or implemented, invalid message, protocol error.
        2 | 3 | 6 | 7 | 14 | 23 | 25 | 29 | 48..=111 => Some(Reason::CarrierError),
        // Normal clearing, unspecified, interworking, and what is no cause.
        0 | 10..=13 | 15 | 16 | 30 | 31 | 112.. => None,
    }
}

/// RFC 3261 section 21, read as the caller of a phone reads it.
const fn by_status(status: u16) -> Reason {
    match status {
        486 | 600 => Reason::Busy,
        // 433 Anonymity Disallowed (RFC 5079), 607 Unwanted (RFC 8197), 608 Rejected (RFC 8688).
        433 | 603 | 607 | 608 => Reason::Rejected,
        404 | 410 | 484 | 485 | 604 => Reason::InvalidNumber,
        // 430 Flow Failed (RFC 5626): the phone's own connection is gone.
        408 | 430 | 480 => Reason::Unreachable,
        // 487 without a CANCEL of ours: the network gave up ringing.
        487 => Reason::NoAnswer,
        // 606 Not Acceptable: of the session, not of the call.
        606 => Reason::CarrierError,
        // RFC 3261 § 8.1.3.2: "A UAC MUST treat any final response it does not recognize as being
        // equivalent to the x00 response code of that class".
        601.. => Reason::Busy,
        ..600 => Reason::CarrierError,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_networks_own_word_goes_first() {
        assert_eq!(Cause::response(500, Some(17)).reason, Reason::Busy);
        assert_eq!(Cause::response(480, Some(19)).reason, Reason::NoAnswer);
        assert_eq!(Cause::response(503, Some(34)).reason, Reason::Congested);
        assert_eq!(Cause::response(486, Some(16)).reason, Reason::Busy);
        assert_eq!(Cause::response(486, Some(127)).reason, Reason::Busy);
        assert_eq!(Cause::response(503, Some(34)).blame(), Blame::Carrier);
        assert_eq!(Cause::plain(Reason::Congested).blame(), Blame::Us);
    }

    #[test]
    fn whoever_it_was_has_a_word() {
        let all = [Blame::Callee, Blame::Caller, Blame::Carrier, Blame::Us, Blame::Unknown];
        assert_eq!(all.map(Blame::as_str), ["callee", "caller", "carrier", "us", "unknown"]);
    }

    /// A row of a table in the README: its numbers, its word, and whose doing it is.
    struct Row<'a> {
        numbers: Vec<u16>,
        reason: &'a str,
        blame: &'a str,
    }

    /// The rows of the table whose head begins so.
    fn table(head: &str) -> Vec<Row<'static>> {
        let (_, text) = include_str!("../../README.md").split_once(head).unwrap();
        let lines = text.lines().skip(2).take_while(|line| line.starts_with('|'));
        lines
            .map(|line| {
                let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
                let [numbers, _, reason, blame] = cells[..] else { panic!("{line}") };
                let numbers = numbers.split(", ").flat_map(|part| {
                    let (first, last) = part.split_once('–').unwrap_or((part, part));
                    first.parse::<u16>().unwrap()..=last.parse().unwrap()
                });
                Row { numbers: numbers.collect(), reason: reason.trim_matches('`'), blame }
            })
            .collect()
    }

    /// Each number once, in the row that says of it what we do.
    fn compare(
        rows: &[Row<'_>],
        all: std::ops::RangeInclusive<u16>,
        cause: impl Fn(u16) -> Option<Cause>,
    ) {
        let mut rows_of: BTreeMap<u16, &Row<'_>> = BTreeMap::new();
        for row in rows {
            for number in &row.numbers {
                assert!(rows_of.insert(*number, row).is_none(), "{number} stands twice");
            }
        }
        assert!(rows_of.keys().all(|number| all.contains(number)));
        for number in all {
            let row = rows_of.get(&number).unwrap_or_else(|| panic!("{number} is missing"));
            let blame = |cause: &Cause| match cause.blame() {
                Blame::Callee => "the called side",
                Blame::Caller => "whoever asked",
                Blame::Carrier => "the carrier",
                Blame::Us => "the gateway",
                Blame::Unknown => "nobody can tell",
            };
            let cause = cause(number);
            let meant = cause.as_ref().map_or("as the status says", |it| it.reason.as_str());
            assert_eq!(meant, row.reason, "{number}");
            assert_eq!(cause.as_ref().map_or("", blame), row.blame, "{number}");
        }
    }

    #[test]
    fn each_status_means_what_the_readme_says() {
        compare(&table("| SIP status |"), 300..=699, |status| Some(Cause::response(status, None)));
    }

    #[test]
    fn each_q850_cause_means_what_the_readme_says() {
        compare(&table("| Q.850 cause |"), 1..=127, |number| {
            let cause = u8::try_from(number).unwrap();
            by_q850(cause).map(|_| Cause::response(500, Some(cause)))
        });
    }
}
