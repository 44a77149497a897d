//! What a caller asks for, already checked.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::extension::Extension;
use super::number::{self, PhoneNumber};
use super::trace::{Trace, Traceparent, Tracestate};
use super::transaction::Transaction;

/// How a person is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A phone call.
    Voice,
    /// A text.
    Sms,
}

impl Channel {
    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Sms => "sms",
        }
    }
}

/// What is asked of the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Press `#`.
    Confirm,
    /// Enter your own PIN, then `#`.
    Pin,
    /// Enter the digits that the sign-in page shows, then `#`.
    Match,
    /// A code, typed into the page or, where it came by text, sent back.
    Code,
    /// A text that only a reply answers.
    Reply,
}

impl Mode {
    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Pin => "pin",
            Self::Match => "match",
            Self::Code => "code",
            Self::Reply => "reply",
        }
    }

    /// Whether a secret is sent that must come back.
    #[must_use]
    pub const fn has_code(self) -> bool {
        match self {
            Self::Confirm | Self::Pin | Self::Match => false,
            Self::Code | Self::Reply => true,
        }
    }

    /// What an approval in this mode proves.
    #[must_use]
    pub const fn assurance(self) -> Assurance {
        match self {
            Self::Confirm => Assurance::Possession,
            Self::Pin => Assurance::PossessionAndKnowledge,
            Self::Match | Self::Code | Self::Reply => Assurance::TransferredSecret,
        }
    }
}

/// What an approval proves, in the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assurance {
    /// Somebody held the phone. Not out-of-band authentication in the sense of NIST SP 800-63B-4.
    Possession,
    /// Somebody held the phone who knew what only the person knows.
    PossessionAndKnowledge,
    /// A secret that was sent to the phone came back, or one that the page shows came from the phone.
    TransferredSecret,
    /// A secret that was sent to the phone came back, and one that only the person knows with it.
    TransferredSecretAndKnowledge,
}

impl Assurance {
    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Possession => "possession",
            Self::PossessionAndKnowledge => "possession+knowledge",
            Self::TransferredSecret => "transferred_secret",
            Self::TransferredSecretAndKnowledge => "transferred_secret+knowledge",
        }
    }
}

/// How a person is reached, and what is asked of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Way {
    /// How.
    pub channel: Channel,
    /// What.
    pub mode: Mode,
}

/// One question about one phone, as the caller asked it and after every check of form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The phone.
    #[serde(with = "number::stored")]
    pub to: PhoneNumber,
    /// What is dialled when that has answered.
    pub extension: Option<Extension>,
    /// How to reach it, and what to ask.
    pub way: Way,
    /// What to do where that does not reach the person, in order.
    pub fallback: Vec<Way>,
    /// What is approved, where it is a payment.
    pub transaction: Option<Transaction>,
    /// BCP 47 tag of the language to speak and write.
    pub locale: String,
    /// The name the person knows the caller by.
    pub brand: Option<Brand>,
    /// The caller's name for the person.
    pub subject: Option<String>,
    /// The caller's name for this sign-in.
    pub reference: Option<String>,
    /// Where the sign-in came from.
    pub client_ip: Option<IpAddr>,
    /// How long the question stands, in seconds from the start.
    pub expires_in: u32,
    /// Whether the person may answer a text with a plain yes.
    pub yes: bool,
    /// Where to send the verdict, instead of the tenant's endpoints.
    pub callback_url: Option<String>,
    /// The languages to choose from at the start of a call: none, or two to nine.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Whether calls are slower and wait longer.
    #[serde(default)]
    pub accessible: bool,
    /// Whether a call says that the PIN will expire soon.
    #[serde(default)]
    pub pin_expires: bool,
    /// The trace that it is part of, where its caller names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Traceparent>,
    /// What tracing systems say of that trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<Tracestate>,
}

impl Request {
    /// A question in English that stands for 300 seconds, with nothing else to it.
    #[must_use]
    pub fn new(to: PhoneNumber, way: Way) -> Self {
        Self {
            to,
            extension: None,
            way,
            fallback: Vec::new(),
            transaction: None,
            locale: "en-US".to_owned(),
            brand: None,
            subject: None,
            reference: None,
            client_ip: None,
            expires_in: 300,
            yes: false,
            callback_url: None,
            languages: Vec::new(),
            accessible: false,
            pin_expires: false,
            traceparent: None,
            tracestate: None,
        }
    }

    /// What goes along with everything that is asked of others for it.
    #[must_use]
    pub fn trace(&self) -> Option<Trace<'_>> {
        Trace::of(self.traceparent.as_ref(), self.tracestate.as_ref())
    }

    /// Every way to reach the person, the first choice first.
    pub fn ways(&self) -> impl Iterator<Item = Way> + '_ {
        std::iter::once(self.way).chain(self.fallback.iter().copied())
    }
}

/// A name that is spoken and shown: 1 to 32 letters, digits, spaces and `. - & '`, so that it is
/// inert in SIP headers, texts and pages alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Brand(String);

impl Brand {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Brand {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let name = name.trim();
        let allowed = |c: char| c.is_alphanumeric() || " .-&'".contains(c);
        if !name.is_empty() && name.chars().count() <= 32 && name.chars().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err("a brand is 1 to 32 letters, digits, spaces or . - & '")
        }
    }
}

impl From<Brand> for String {
    fn from(brand: Brand) -> Self {
        brand.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brand_cannot_carry_markup_or_controls() {
        for good in ["Contoso", "Müller & Söhne", "O'Neil-1.2", "銀行"] {
            assert_eq!(Brand::try_from(good.to_owned()).unwrap().as_str(), good);
        }
        for bad in ["", "   ", "a\r\nX: 1", "<b>", "\"q\"", "a;b", &"x".repeat(33)] {
            assert!(Brand::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
