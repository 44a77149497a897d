//! Blocks: numbers, ranges and countries that are not reached for a while, who said so and why; their
//! opposite, numbers that are safe; and when a range or a country blocks itself, because nobody there
//! answers (conversion).
//!
//! | ended verifications of the last 60 minutes | what happens |
//! |---|---|
//! | fewer than 10 | nothing: they say nothing |
//! | under 25 % approved | the tenant is told |
//! | under 10 % approved | a block of 1 h; the next of 4 h, then 24 h, then until somebody lifts it |
//!
//! What is counted is what has ended, not what was sent: ten calls that ring at this moment are no sign
//! of anything. What the gateway or a carrier failed to do does not count.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::VerificationId;
use super::number::{Country, PhoneNumber};
use super::signal::{Blame, Reason, Verdict};
use crate::ambient::Timestamp;

/// How far back conversion looks.
pub const WINDOW: Duration = Duration::from_secs(3_600);

/// How long after its end a block is remembered: one that comes within this time is longer.
const MEMORY: Duration = Duration::from_secs(7 * 86_400);

/// The longest block of a number that was reported, in hours: 90 days.
pub const HOURS_MOST: u32 = 90 * 24;

/// Which list an entry is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// What is not reached.
    Blocks,
    /// Numbers that pass what is said of their range or country.
    Safe,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// One number.
    Number,
    /// All numbers that begin alike.
    Prefix,
    /// A country.
    Country,
}

impl About {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Prefix => "prefix",
            Self::Country => "country",
        }
    }
}

/// What somebody wants blocked, or safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One number.
    Number(PhoneNumber),
    /// All numbers that begin so.
    Prefix(Prefix),
    /// A country.
    Country(Country),
}

impl Target {
    /// What it is about.
    #[must_use]
    pub const fn about(&self) -> About {
        match self {
            Self::Number(_) => About::Number,
            Self::Prefix(_) => About::Prefix,
            Self::Country(_) => About::Country,
        }
    }

    /// What people are shown of it: a number is masked.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Number(number) => number.masked(),
            Self::Prefix(prefix) => prefix.as_str().to_owned(),
            Self::Country(country) => country.to_string(),
        }
    }
}

/// How numbers begin: a plus and 1 to 11 digits. Four digits behind it stay open, so that it is nobody's
/// number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// The range of a number: all of it but its last four digits.
    #[must_use]
    pub fn of(number: &PhoneNumber) -> Self {
        let digits = number.expose();
        Self(digits.get(..digits.len().saturating_sub(4)).unwrap_or(digits).to_owned())
    }

    /// The first characters of a number, where it has as many and more.
    #[must_use]
    pub fn first(number: &PhoneNumber, length: usize) -> Option<Self> {
        let digits = number.expose();
        digits.get(..length).filter(|it| it.len() < digits.len()).map(|it| Self(it.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('+').unwrap_or_default();
        let fits = (1..=11).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| Self(text.to_owned())).ok_or("a prefix is a plus and 1 to 11 digits")
    }
}

/// Why there is an entry: the reason code of its refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The person said that somebody else signs in.
    FraudReported,
    /// Too few are approved there.
    LowConversion,
    /// An operator's word.
    Operator,
}

impl Why {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FraudReported => "fraud_reported",
            Self::LowConversion => "low_conversion",
            Self::Operator => "operator",
        }
    }
}

/// One line of a list, as it is stored: of a number it holds the last digits only, and its name is a keyed
/// hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub id: String,
    /// On which list.
    pub list: List,
    /// Whose; `None` is everybody's.
    pub tenant: Option<String>,
    /// What it is about.
    pub about: About,
    /// What people are shown of that.
    pub shown: String,
    /// Why it is there.
    pub why: Why,
    /// What whoever wrote it had to say.
    pub note: Option<String>,
    /// The verification that led to it.
    pub verification: Option<VerificationId>,
    /// Since when.
    pub from: Timestamp,
    /// Until when; `None` is until it is lifted.
    pub until: Option<Timestamp>,
    /// When it was lifted.
    pub lifted: Option<Timestamp>,
    /// How many of the kind came one after the other, from 1.
    pub level: u32,
}

impl Entry {
    /// Whether it holds.
    #[must_use]
    pub fn stands(&self, now: Timestamp) -> bool {
        self.lifted.is_none() && self.until.is_none_or(|until| now < until)
    }
}

/// A block that stands against a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// What is blocked.
    pub about: About,
    /// Why.
    pub why: Why,
    /// Until when; `None` is until it is lifted.
    pub until: Option<Timestamp>,
}

impl From<&Entry> for Blocked {
    fn from(entry: &Entry) -> Self {
        Self { about: entry.about, why: entry.why, until: entry.until }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (why, about) = (self.why.as_str(), self.about.as_str());
        match self.until {
            Some(until) => write!(f, "{why}: this {about} is blocked until {}", until.to_rfc3339()),
            None => write!(f, "{why}: this {about} is blocked until an operator lifts it"),
        }
    }
}

/// What a tenant's lists say of a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The blocks that hold: what is said of the number itself first.
    pub blocks: Vec<Entry>,
    /// Whether the number is safe.
    pub safe: bool,
}

impl Standing {
    /// The block that stands against a start. A number that is safe passes those of its range and its
    /// country, and not its own; of several the one that lasts longest is told.
    #[must_use]
    pub fn against(&self) -> Option<Blocked> {
        let counts = |it: &&Entry| it.about == About::Number || !self.safe;
        let last = |it: &&Entry| it.until.unwrap_or(Timestamp::MAX);
        self.blocks.iter().filter(counts).max_by_key(last).map(Blocked::from)
    }
}

/// When a range or a country blocks itself, and how long a report blocks a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fraud {
    /// How long a report of fraud blocks a number for its tenant.
    pub block: Duration,
    /// The fewest ended verifications that say something.
    pub least: u64,
    /// Of a hundred, how many must be approved, or the tenant is told.
    pub warn: u64,
    /// Of a hundred, how many must be approved, or there is a block.
    pub stop: u64,
}

impl Default for Fraud {
    fn default() -> Self {
        let block = Duration::from_secs(86_400);
        Self { block, least: 10, warn: 25, stop: 10 }
    }
}

/// How many were approved, of those that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// Enough, or too few have ended to say.
    Fine,
    /// The tenant should look.
    Low,
    /// A block.
    Stop,
}

impl Fraud {
    /// What so many approvals of so many that ended mean.
    #[must_use]
    pub const fn judge(&self, ended: u64, approved: u64) -> Conversion {
        let of_hundred = approved.saturating_mul(100);
        if ended < self.least || of_hundred >= ended.saturating_mul(self.warn) {
            Conversion::Fine
        } else if of_hundred >= ended.saturating_mul(self.stop) {
            Conversion::Low
        } else {
            Conversion::Stop
        }
    }

    /// The next block of a range or a country, after the one before it: which it is of those that come
    /// one after the other, and its end. `None` where one stands already.
    #[must_use]
    pub fn next(now: Timestamp, former: Option<&Entry>) -> Option<(u32, Option<Timestamp>)> {
        let level = match former {
            Some(former) if former.stands(now) => return None,
            Some(former)
                if former.why == Why::LowConversion
                    && former.lifted.is_none()
                    && former.until.is_some_and(|until| now < until + MEMORY) =>
            {
                former.level.saturating_add(1)
            }
            Some(_) | None => 1,
        };
        let hours = match level {
            0 | 1 => Some(1),
            2 => Some(4),
            3 => Some(24),
            4.. => None,
        };
        Some((level, hours.map(|hours| now + Duration::from_secs(3_600 * hours))))
    }
}

/// Whether a verification that ended so says something about its range: a person was reached, or could
/// have been, and did or did not answer.
#[must_use]
pub fn tells_something(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Approved(_) | Verdict::Denied(_) | Verdict::Expired(_) | Verdict::Canceled(_) => {
            true
        }
        Verdict::Failed(cause) => {
            cause.blame() == Blame::Callee && cause.reason != Reason::OptedOut
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::signal::{By, Cause};
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn entry(about: About, until: Option<Timestamp>) -> Entry {
        Entry {
            id: "blk_x".to_owned(),
            list: List::Blocks,
            tenant: None,
            about,
            shown: "+1******0132".to_owned(),
            why: Why::LowConversion,
            note: None,
            verification: None,
            from: Timestamp::from_secs(1_000),
            until,
            lifted: None,
            level: 1,
        }
    }

    #[test]
    fn conversion_is_judged_from_ten_on_and_by_exact_shares() {
        let fraud = Fraud::default();
        for (ended, approved, meant) in [
            (0, 0, Conversion::Fine),
            (9, 0, Conversion::Fine),
            (10, 0, Conversion::Stop),
            (10, 1, Conversion::Low),
            (10, 2, Conversion::Low),
            (10, 3, Conversion::Fine),
            (20, 1, Conversion::Stop),
            (20, 2, Conversion::Low),
            (20, 4, Conversion::Low),
            (20, 5, Conversion::Fine),
            (1_000, 99, Conversion::Stop),
            (1_000, 100, Conversion::Low),
            (1_000, 249, Conversion::Low),
            (1_000, 250, Conversion::Fine),
            (u64::MAX, u64::MAX, Conversion::Fine),
        ] {
            assert_eq!(fraud.judge(ended, approved), meant, "{approved} of {ended}");
        }
    }

    #[test]
    fn blocks_grow_from_an_hour_until_somebody_lifts_them() {
        let mut now = Timestamp::from_secs(1_000_000);
        let mut former: Option<Entry> = None;
        for (level, hours) in [(1, Some(1)), (2, Some(4)), (3, Some(24)), (4, None)] {
            let (found, until) = Fraud::next(now, former.as_ref()).unwrap();
            assert_eq!((found, until), (level, hours.map(|hours| now + HOUR * hours)));
            let block = Entry { level, until, from: now, ..entry(About::Prefix, None) };
            assert_eq!(Fraud::next(now, Some(&block)), None, "it stands");
            now = until.unwrap_or(now) + HOUR;
            former = Some(block);
        }
        let last = former.unwrap();
        let never = now + Duration::from_secs(400 * 86_400);
        assert_eq!(Fraud::next(never, Some(&last)), None);
        // Who lifts one begins anew, and so does who has been quiet for a week.
        let lifted = Entry { lifted: Some(now), ..last };
        assert_eq!(Fraud::next(now, Some(&lifted)).unwrap().0, 1);
        let old = entry(About::Prefix, Some(now));
        assert_eq!(Fraud::next(now, Some(&old)).unwrap().0, 2);
        let week = now + Duration::from_secs(604_800);
        assert_eq!(Fraud::next(week - Duration::from_micros(1), Some(&old)).unwrap().0, 2);
        assert_eq!(Fraud::next(week, Some(&old)).unwrap().0, 1);
        // An operator's block that has ended is none of the row.
        let operator = Entry { why: Why::Operator, level: 3, ..old };
        assert_eq!(Fraud::next(now, Some(&operator)).unwrap().0, 1);
    }

    #[test]
    fn a_safe_number_passes_its_range_and_its_country_and_not_what_is_said_of_itself() {
        let at = Timestamp::from_secs;
        let blocks = vec![entry(About::Prefix, Some(at(50))), entry(About::Country, Some(at(60)))];
        let open = Standing { blocks: blocks.clone(), safe: false };
        assert_eq!(open.against().unwrap().about, About::Country, "the last to give way");
        assert_eq!(Standing { blocks: blocks.clone(), safe: true }.against(), None);
        let own = [blocks, vec![entry(About::Number, Some(at(40)))]].concat();
        assert_eq!(Standing { blocks: own, safe: true }.against().unwrap().about, About::Number);
        assert_eq!(Standing::default().against(), None);
    }

    #[test]
    fn a_block_holds_to_its_end_and_no_longer() {
        let at = Timestamp::from_secs;
        let block = entry(About::Number, Some(at(50)));
        assert!(block.stands(at(49)) && !block.stands(at(50)));
        assert!(!Entry { lifted: Some(at(20)), ..block }.stands(at(30)));
        assert!(entry(About::Number, None).stands(Timestamp::MAX));
        assert_eq!(HOURS_MOST, 2_160, "90 days");
        let told = Blocked::from(&entry(About::Number, Some(at(50)))).to_string();
        assert_eq!(told, "low_conversion: this number is blocked until 1970-01-01T00:00:50.000Z");
    }

    #[test]
    fn what_we_or_a_carrier_failed_to_do_says_nothing_of_a_range() {
        for (reason, tells) in [
            (Reason::NoAnswer, true),
            (Reason::Busy, true),
            (Reason::Voicemail, true),
            (Reason::CarrierError, false),
            (Reason::Congested, false),
            (Reason::NodeLost, false),
            (Reason::Undelivered, false),
            (Reason::Unreachable, false),
            (Reason::InvalidNumber, false),
            (Reason::OptedOut, false),
        ] {
            let verdict = Verdict::Failed(Cause::plain(reason));
            assert_eq!(tells_something(&verdict), tells, "{}", reason.as_str());
        }
        assert!(tells_something(&Verdict::Canceled(By::Caller)));
    }

    #[test]
    fn a_prefix_is_a_plus_and_digits_and_nobodys_number() {
        assert_eq!("+49151".parse::<Prefix>().unwrap().as_str(), "+49151");
        for bad in ["", "+", "49", "+4a", "+123456789012", "+ 49", "++4"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad:?}");
        }
        let number = "+4915112345678".parse().unwrap();
        assert_eq!(Prefix::of(&number).as_str(), "+491511234");
        assert_eq!(Prefix::first(&number, 4).unwrap().as_str(), "+491");
        assert_eq!(Prefix::first(&number, 14), None);
        assert_eq!(Prefix::first(&number, 15), None);
        assert_eq!(Target::Number(number).shown(), "+49*******5678");
    }
}
