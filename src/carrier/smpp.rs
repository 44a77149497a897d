//! SMPP 3.4: texts by a session with a message centre (SMSC) instead of by HTTP requests.
//!
//! Everything that decides is here and touches nothing:
//!
//! | module | question |
//! |---|---|
//! | [`plan`] | which `submit_sm` carry a text |
//! | [`link`] | what a session does next: bind, submit, answer, probe, retry, unbind |
//! | `report` | what a delivery receipt says, and of which text |
//! | `inbox` | what a person wrote, and whether all of it has come |
//! | `pdu` | how it is all written on the wire |
//!
//! The codec is our own because a message centre is not as strict as the specification: one
//! missing NUL in a vendor's parameter must not end the session, or the centre delivers the same
//! PDU again for ever. And because what a text says and the password must not reach a log.
//!
//! Section numbers are those of "Short Message Peer to Peer Protocol Specification v3.4", issue
//! 1.2.

pub mod link;
pub mod plan;

mod inbox;
mod pdu;
mod report;

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use zeroize::Zeroizing;

use super::Reach;
use crate::verify::signal::{Cause, Reason};

/// What SMPP carries, and what it tells back.
pub const REACH: Reach = Reach {
    voice: false,
    sms: true,
    replies: true,
    receipts: true,
    calls_back: false,
    says_all: false,
};

/// The registered port of SMPP (IANA `smpp`).
pub const PORT: u16 = 2775;

/// A message centre, as configured.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The carrier's name in our configuration.
    pub name: String,
    /// Where it listens: a name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who we are there: at most 15 ASCII characters (5.2.1).
    pub system_id: String,
    /// Our password: 8 ASCII characters in the specification (5.2.2), more at some centres.
    pub password: Zeroizing<String>,
    /// What kind of system we are: at most 12 ASCII characters, mostly empty (5.2.3).
    pub system_type: String,
    /// How to bind.
    pub bind: Bind,
    /// Who the texts are from: a number with `+`, a short code, or up to 11 letters and digits.
    pub from: String,
    /// How `from` is numbered.
    pub source: Numbering,
    /// How many `submit_sm` may be unanswered at a time (2.9).
    pub window: usize,
    /// How many `submit_sm` to make in a second at most.
    pub per_second: Option<NonZeroU32>,
    /// How long the other side may be silent before it is asked whether it is there (4.11).
    pub enquire_every: Duration,
    /// How long an answer to anything may take.
    pub answer_within: Duration,
    /// How long a text may wait to be handed over: for a session, for room, for the end of
    /// throttling.
    pub patience: Duration,
    /// How texts are written.
    pub alphabet: Alphabet,
    /// How the centre spells the names of texts.
    pub ids: Ids,
}

/// How to bind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bind {
    /// One session for both directions (4.1.5): receipts and replies come to where the texts left.
    #[default]
    Transceiver,
}

/// How texts are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alphabet {
    /// `data_coding` 0, the centre's default alphabet, taken to be GSM 03.38 with one septet in
    /// each octet. What cannot be written so is written as UCS-2.
    #[default]
    Gsm7,
    /// `data_coding` 3, ISO 8859-1; for centres whose default alphabet is something else. What
    /// cannot be written so is written as UCS-2.
    Latin1,
    /// `data_coding` 8, UCS-2, always.
    Ucs2,
}

/// How the centre spells the name of a text in its answer and in its receipts: some write the
/// same number in two ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ids {
    /// The same way in both.
    #[default]
    Same,
    /// Hexadecimal in `submit_sm_resp`, decimal in receipts.
    HexInAnswers,
    /// Decimal in `submit_sm_resp`, hexadecimal in receipts.
    HexInReceipts,
}

impl Ids {
    /// The name in an answer, as we keep it.
    fn answered(self, id: &str) -> String {
        match self {
            Self::HexInAnswers => decimal(id),
            Self::Same | Self::HexInReceipts => id.to_owned(),
        }
    }

    /// The name in a receipt, as we keep it.
    fn reported(self, id: &str) -> String {
        match self {
            Self::HexInReceipts => decimal(id),
            Self::HexInAnswers => id.trim_start_matches('0').to_owned(),
            Self::Same => id.to_owned(),
        }
    }
}

/// A hexadecimal number in decimal; anything else as it is.
fn decimal(id: &str) -> String {
    u128::from_str_radix(id, 16).map_or_else(|_| id.to_owned(), |number| number.to_string())
}

/// Type of number and numbering plan of an address (5.2.5, 5.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbering {
    /// Type of number.
    pub ton: u8,
    /// Numbering plan indicator.
    pub npi: u8,
}

impl Numbering {
    /// International, ISDN: an E.164 number.
    pub const INTERNATIONAL: Self = Self { ton: 1, npi: 1 };
    /// Network specific: a short code.
    pub const SHORT_CODE: Self = Self { ton: 3, npi: 0 };
    /// Alphanumeric: a name.
    pub const NAME: Self = Self { ton: 5, npi: 0 };

    /// The most digits of a short code.
    const SHORT: usize = 7;

    /// What an address looks like.
    #[must_use]
    pub fn of(address: &str) -> Self {
        let digits = address.strip_prefix('+').unwrap_or(address);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Self::NAME
        } else if digits.len() == address.len() && digits.len() <= Self::SHORT {
            Self::SHORT_CODE
        } else {
            Self::INTERNATIONAL
        }
    }
}

impl Settings {
    /// The settings that most centres want.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        (host, port): (impl Into<String>, u16),
        system_id: impl Into<String>,
        password: Zeroizing<String>,
        from: impl Into<String>,
    ) -> Self {
        let from = from.into();
        Self {
            name: name.into(),
            host: host.into(),
            port,
            system_id: system_id.into(),
            password,
            system_type: String::new(),
            bind: Bind::Transceiver,
            source: Numbering::of(&from),
            from,
            window: 50,
            per_second: None,
            enquire_every: Duration::from_secs(30),
            answer_within: Duration::from_secs(10),
            patience: Duration::from_secs(10),
            alphabet: Alphabet::default(),
            ids: Ids::default(),
        }
    }

    /// Whether they can be written on the wire.
    ///
    /// # Errors
    /// When a field is too long for SMPP or cannot be written there at all.
    pub fn check(&self) -> Result<(), Invalid> {
        let fits = |text: &str, most: usize| text.len() <= most && text.bytes().all(printable);
        if self.system_id.is_empty() || !fits(&self.system_id, 15) {
            return Err(Invalid::SystemId);
        }
        if !fits(&self.password, 64) {
            return Err(Invalid::Password);
        }
        if !fits(&self.system_type, 12) {
            return Err(Invalid::SystemType);
        }
        let longest = if self.source == Numbering::NAME { 11 } else { 20 };
        if self.from.is_empty() || !fits(&self.from, longest) {
            return Err(Invalid::From);
        }
        if self.window == 0 {
            return Err(Invalid::Window);
        }
        Ok(())
    }

    /// `from` as it is written on the wire: an international number has no plus there.
    fn source_address(&self) -> &str {
        self.from.strip_prefix('+').unwrap_or(&self.from)
    }
}

const fn printable(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e)
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

/// Why settings cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// `system_id`.
    #[error("system_id has 1 to 15 printable ASCII characters")]
    SystemId,
    /// The password.
    #[error("the password has at most 64 printable ASCII characters")]
    Password,
    /// `system_type`.
    #[error("system_type has at most 12 printable ASCII characters")]
    SystemType,
    /// `from`.
    #[error("from is a number with a plus, a short code, or up to 11 letters and digits")]
    From,
    /// `window`.
    #[error("the window holds at least 1")]
    Window,
}

/// What the status of a `submit_sm_resp` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was taken.
    Taken,
    /// It was not taken, because it is too much at the moment: it may be repeated after a pause.
    Throttled,
    /// It was not taken.
    Refused(Cause),
}

impl Answer {
    /// Reads a `command_status` (5.1.3).
    #[must_use]
    pub fn of(status: u32) -> Self {
        match status {
            status::OK => Self::Taken,
            status::QUEUE_FULL | status::THROTTLED => Self::Throttled,
            status::INVALID_DESTINATION => {
                Self::Refused(Cause::because(Reason::InvalidNumber, refusal(status)))
            }
            _ => Self::Refused(Cause::because(Reason::CarrierError, refusal(status))),
        }
    }
}

/// A sentence on a status, with its name where the specification gives it one.
fn refusal(status: u32) -> String {
    let name = status::name(status).unwrap_or("a status of its own");
    format!("the message centre refused it with {name} ({status:#010x})")
}

/// The states of an answer (5.1.3).
mod status {
    pub(super) const OK: u32 = 0x00;
    pub(super) const INVALID_COMMAND: u32 = 0x03;
    pub(super) const INVALID_DESTINATION: u32 = 0x0b;
    pub(super) const QUEUE_FULL: u32 = 0x14;
    pub(super) const THROTTLED: u32 = 0x58;
    pub(super) const TRY_LATER: u32 = 0x64;

    /// The specification's name.
    pub(super) const fn name(status: u32) -> Option<&'static str> {
        Some(match status {
            0x00 => "ESME_ROK",
            0x01 => "ESME_RINVMSGLEN",
            0x02 => "ESME_RINVCMDLEN",
            INVALID_COMMAND => "ESME_RINVCMDID",
            0x04 => "ESME_RINVBNDSTS",
            0x05 => "ESME_RALYBND",
            0x06 => "ESME_RINVPRTFLG",
            0x07 => "ESME_RINVREGDLVFLG",
            0x08 => "ESME_RSYSERR",
            0x0a => "ESME_RINVSRCADR",
            INVALID_DESTINATION => "ESME_RINVDSTADR",
            0x0c => "ESME_RINVMSGID",
            0x0d => "ESME_RBINDFAIL",
            0x0e => "ESME_RINVPASWD",
            0x0f => "ESME_RINVSYSID",
            QUEUE_FULL => "ESME_RMSGQFUL",
            0x15 => "ESME_RINVSERTYP",
            0x40 => "ESME_RINVDESTFLAG",
            0x43 => "ESME_RINVESMCLASS",
            0x45 => "ESME_RSUBMITFAIL",
            0x48 => "ESME_RINVSRCTON",
            0x49 => "ESME_RINVSRCNPI",
            0x50 => "ESME_RINVDSTTON",
            0x51 => "ESME_RINVDSTNPI",
            0x53 => "ESME_RINVSYSTYP",
            THROTTLED => "ESME_RTHROTTLED",
            0x61 => "ESME_RINVSCHED",
            0x62 => "ESME_RINVEXPIRY",
            TRY_LATER => "ESME_RX_T_APPN",
            0x65 => "ESME_RX_P_APPN",
            0x66 => "ESME_RX_R_APPN",
            0xfe => "ESME_RDELIVERYFAILURE",
            0xff => "ESME_RUNKNOWNERR",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
