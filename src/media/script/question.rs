//! What a call asks, and the digits that answer it.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::entry::Entry;
use crate::media::events::Digit;

/// The most digits that are compared.
pub(super) const LONGEST: usize = 16;

/// What a call asks.
#[derive(Clone, Debug)]
pub enum Question {
    /// Press `#`.
    Confirm,
    /// Enter your own PIN, then `#`.
    Pin {
        /// The PIN.
        pin: Digits,
        /// Whether to say, once it was right, that it will expire soon.
        expires: bool,
    },
    /// Enter the digits that the page shows, then `#`.
    Match {
        /// The digits.
        digits: Digits,
    },
    /// Press `#` to hear a code, which is typed into the page.
    Code {
        /// The code.
        code: Digits,
    },
}

/// The kinds of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Question::Confirm`].
    Confirm,
    /// [`Question::Pin`].
    Pin,
    /// [`Question::Match`].
    Match,
    /// [`Question::Code`].
    Code,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Confirm, Self::Pin, Self::Match, Self::Code];

    /// Whether it is answered by several digits and `#`, not by `#` alone.
    #[must_use]
    pub const fn is_entry(self) -> bool {
        match self {
            Self::Pin | Self::Match => true,
            Self::Confirm | Self::Code => false,
        }
    }
}

impl Question {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Confirm => Kind::Confirm,
            Self::Pin { .. } => Kind::Pin,
            Self::Match { .. } => Kind::Match,
            Self::Code { .. } => Kind::Code,
        }
    }
}

/// One to sixteen digits that must not be told: they mask themselves, are wiped, and are compared
/// in a time that tells nothing.
#[derive(Clone)]
pub struct Digits {
    /// Filled up with what is no key.
    keys: Zeroizing<[u8; LONGEST]>,
    length: usize,
}

impl Digits {
    /// Reads 1 to 16 digits; `None` when it is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut keys = Zeroizing::new([u8::MAX; LONGEST]);
        if text.is_empty() || text.len() > LONGEST {
            return None;
        }
        for (key, byte) in keys.iter_mut().zip(text.bytes()) {
            *key = byte.is_ascii_digit().then(|| byte - b'0')?;
        }
        Some(Self { keys, length: text.len() })
    }

    /// The digits, 0 to 9 each. Grep for it.
    pub fn expose(&self) -> impl DoubleEndedIterator<Item = u8> + '_ {
        self.keys.iter().copied().take(self.length)
    }

    /// Whether these were entered.
    pub(super) fn are(&self, entry: &Entry) -> bool {
        let same = self.keys.ct_eq(entry.keys()) & self.length.ct_eq(&entry.length());
        same.into()
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digits(•)")
    }
}

/// The keys that say "this was not me": one to three digits and `#`. They work at every question.
#[derive(Clone)]
pub struct FraudKeys(Digits);

impl FraudKeys {
    /// Reads them, as `0#`.
    ///
    /// # Errors
    /// What they must be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let digits = text.strip_suffix('#').filter(|digits| digits.len() <= 3);
        digits.and_then(Digits::parse).map(Self).ok_or(
            "write one to three digits and #, as \"0#\": # alone is consent, * repeats, and four \
             digits may be a PIN",
        )
    }

    /// Whether these digits with `#` behind them would be a report, too.
    #[must_use]
    pub fn are(&self, digits: &str) -> bool {
        Digits::parse(digits).is_some_and(|digits| digits.expose().eq(self.0.expose()))
    }

    /// Whether these were entered.
    pub(super) fn entered(&self, entry: &Entry) -> bool {
        self.0.are(entry)
    }

    /// How many keys come before `#`.
    pub(super) const fn count(&self) -> usize {
        self.0.length
    }

    /// Whether this is the key at this place.
    pub(super) fn has(&self, digit: Digit, place: usize) -> bool {
        self.0.expose().nth(place) == Some(digit.event())
    }
}

impl Default for FraudKeys {
    /// `0#`.
    fn default() -> Self {
        let mut keys = Zeroizing::new([u8::MAX; LONGEST]);
        if let Some(first) = keys.first_mut() {
            *first = 0;
        }
        Self(Digits { keys, length: 1 })
    }
}

impl PartialEq for FraudKeys {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose().eq(other.0.expose())
    }
}

impl Eq for FraudKeys {}

impl fmt::Debug for FraudKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expose().try_for_each(|digit| write!(f, "{digit}"))?;
        f.write_str("#")
    }
}
