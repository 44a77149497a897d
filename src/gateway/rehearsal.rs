//! Tests of a customer: numbers that are reserved for fiction say how an attempt goes, and nothing
//! is ever sent.
//!
//! | number | by voice | by text |
//! |---|---|---|
//! | `+12025550100` | `#` after 3 s | delivered |
//! | `+12025550101` | busy | undelivered |
//! | `+12025550102` | rings, nobody answers | sent, no receipt |
//! | `+12025550103` | `0#` | answered with FRAUD |
//! | `+12025550104` | other keys | answered with a wrong code |
//! | `+12025550105` | answered, no key | delivered |
//! | `+12025550106` | rejected | opted out |
//! | `+12025550107` | hung up before the answer | delivered |
//! | `+12025550108` | the carrier fails | the carrier fails |
//! | `+12025550109` | no such number | no such number |
//! | `+12025550110` | `#` after 3 s | answered with the right code |
//! | `+12025550111` | voicemail | delivered |
//!
//! `#` is what the mode asks for (the PIN and `#`, the digits and `#`), other keys are wrong ones of
//! its kind, and a code is told to whoever presses `#`.
//!
//! Every code is `123456` (as many of `1234567890` as it has digits), unless the caller chose one.

use std::collections::BTreeSet;
use std::time::Duration;

use super::hearing;
use super::orders::Orders;
use crate::ambient::Timestamp;
use crate::carrier::Receipt;
use crate::verify::Verification;
use crate::verify::attempt::{Attempt, AttemptNo};
use crate::verify::code::{Binding, Code};
use crate::verify::number::Country;
use crate::verify::policy::Rules;
use crate::verify::request::{Channel, Mode};
use crate::verify::route::{REHEARSAL, Rule, Table};
use crate::verify::signal::{Cause, Reason, Reply, Said, Says, Signal};

/// The numbers that a test tenant may name: all of them are reserved for fiction, and none rings.
const RESERVED: &str = "+120255501";

/// By whom the attempts of test tenants go.
pub(super) const NOBODY: &str = REHEARSAL;

/// How long a person takes.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a network takes.
const SOON: Duration = Duration::from_millis(300);

/// The code of every test.
pub(super) fn code(digits: u8) -> Option<Code> {
    "1234567890".get(..usize::from(digits)).and_then(Code::parse)
}

/// How the phone of this number behaves; `None` for a number that is not in the table.
fn scene(number: &str) -> Option<u8> {
    let last = number.strip_prefix(RESERVED)?;
    last.parse().ok().filter(|&scene| last.len() == 2 && scene <= 11)
}

/// Whether a test tenant may name this number.
pub(super) fn knows(number: &str) -> bool {
    scene(number).is_some()
}

/// One thing that happens in a rehearsal, and how long after the one before.
pub(super) type Cue = (Duration, Signal);

/// What a test tenant may do: reach the test numbers, whatever is configured.
pub(super) fn rules() -> Rules {
    let us: BTreeSet<Country> = "US".parse().into_iter().collect();
    Rules { voice_countries: us.clone(), sms_countries: us }
}

/// The routes of a test tenant: to nobody.
pub(super) fn routes() -> Table {
    let rule = |channel| Rule::every(channel, [NOBODY]);
    Table::new(vec![rule(Channel::Voice), rule(Channel::Sms)])
}

/// What a carrier would answer to the order of this attempt.
pub(super) fn receipt(verification: &Verification, attempt: &Attempt) -> Receipt {
    let refused = |reason| Receipt::Refused(Cause::because(reason, "as the test number says"));
    match scene(verification.request.to.expose()) {
        Some(8) | None => refused(Reason::CarrierError),
        Some(9) => refused(Reason::InvalidNumber),
        Some(_) => Receipt::Taken(Orders::name_of(&verification.id, attempt.no)),
    }
}

/// What then happens.
pub(super) fn cues(
    orders: &Orders,
    verification: &Verification,
    attempt: &Attempt,
    now: Timestamp,
) -> Vec<Cue> {
    let Some(scene) = scene(verification.request.to.expose()) else { return Vec::new() };
    match attempt.channel {
        Channel::Voice => call(scene, attempt, now),
        Channel::Sms => text(scene, orders, verification, attempt.no),
    }
}

fn call(scene: u8, &Attempt { no: attempt, mode, .. }: &Attempt, now: Timestamp) -> Vec<Cue> {
    let (right, wrong) = match mode {
        Mode::Pin => (Said::PinEntered, Said::WrongPin),
        Mode::Match => (Said::DigitsEntered, Said::WrongKey),
        Mode::Confirm | Mode::Code | Mode::Reply => (Said::Confirmed, Said::WrongKey),
    };
    let ended = |reason| Signal::Ended { attempt, cause: Cause::plain(reason) };
    let ringing = (SOON, Signal::Alerting { attempt, sip_status: Some(180) });
    let answered = [
        ringing.clone(),
        (SOON, Signal::Engaged { attempt, sip_status: Some(200) }),
        (SOON, Signal::Prompting { attempt }),
    ];
    let said = |said| (PATIENCE, hearing::rehearsed(attempt, now + PATIENCE, said));
    let after = |last| answered.iter().cloned().chain([last]).collect();
    match scene {
        1 => vec![ringing, (SOON, ended(Reason::Busy))],
        2 => vec![ringing, (PATIENCE, ended(Reason::NoAnswer))],
        3 => after(said(Said::FraudReported)),
        4 => after(said(wrong)),
        5 => after((PATIENCE, ended(Reason::NoInput))),
        6 => vec![ringing, (SOON, ended(Reason::Rejected))],
        7 => after((PATIENCE, ended(Reason::HungUp))),
        11 => after((PATIENCE, ended(Reason::Voicemail))),
        _ if mode == Mode::Code => after((PATIENCE, Signal::Delivered { attempt })),
        _ => after(said(right)),
    }
}

fn text(scene: u8, orders: &Orders, verification: &Verification, attempt: AttemptNo) -> Vec<Cue> {
    let binding = Binding::of(verification);
    let delivered = (SOON, Signal::Delivered { attempt });
    let reply = |says| {
        let message = Orders::name_of(&verification.id, attempt);
        (PATIENCE, Signal::Replied(Reply { message, says }))
    };
    let digits = |code: &str| Says::Code { code: orders.vault.of_code(binding, code), pin: None };
    let right = || {
        let secret = verification.secret.as_ref()?;
        let code = orders.vault.code(binding, secret)?;
        Some(Says::Code {
            code: orders.vault.of_code(binding, code.expose()),
            pin: secret.pin.clone(),
        })
    };
    match scene {
        1 => {
            let cause = Cause::plain(Reason::Undelivered);
            vec![(SOON, Signal::Ended { attempt, cause })]
        }
        2 => vec![(SOON, Signal::Sent { attempt })],
        3 => vec![delivered, reply(Says::Fraud)],
        4 => vec![delivered, reply(digits("999999"))],
        6 => vec![delivered, reply(Says::Stop)],
        10 => std::iter::once(delivered).chain(right().map(reply)).collect(),
        _ => vec![delivered],
    }
}
