//! Extensions: the keys that an auto-attendant wants after it has answered.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The most characters of one.
const LONGEST: usize = 32;

/// The longest its pauses may be together: attendants hang up sooner.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is dialled once the number has answered: `0`-`9`, `*` and `#` are keys; `,` is a pause of
/// 2 s, as modems have it, `w` one of 0.5 s and `W` one of 1 s, as Asterisk and Twilio do.
///
/// Where a key comes first, or an `@` before all, the attendant is listened to, and the keys follow
/// its last word. Where a pause comes first it takes the place of that: `,,204` is 4 s after the
/// answer, whatever is said there.
///
/// Masked in `Debug` and `Display`, as numbers are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Extension(String);

/// A key or a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// A key, as it is printed.
    Key(char),
    /// A pause.
    Pause(Duration),
}

impl Stroke {
    const fn of(name: char) -> Option<Self> {
        Some(match name {
            '0'..='9' | '*' | '#' => Self::Key(name),
            ',' => Self::Pause(Duration::from_secs(2)),
            'w' => Self::Pause(Duration::from_millis(500)),
            'W' => Self::Pause(Duration::from_secs(1)),
            _ => return None,
        })
    }
}

/// Why a text is no extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// Something else stands in it, or no key.
    #[error(
        "must be keys 0-9 * # with pauses `,` (2 s), `W` (1 s) and `w` (0.5 s) among them, as 204 or \
         ,,204; `@` stands first if at all"
    )]
    Form,
    /// It is too long.
    #[error("must have at most 32 characters")]
    Length,
    /// Its pauses are too long.
    #[error("must pause for at most 30 s in all")]
    Pauses,
}

impl Extension {
    /// Whether the attendant is listened to before anything is dialled.
    #[must_use]
    pub fn listens_first(&self) -> bool {
        self.0.starts_with('@') || !matches!(self.strokes().next(), Some(Stroke::Pause(_)))
    }

    /// Its keys and pauses in turn. Not for logs.
    pub fn strokes(&self) -> impl Iterator<Item = Stroke> + '_ {
        self.0.chars().filter_map(Stroke::of)
    }
}

impl FromStr for Extension {
    type Err = ExtensionError;

    fn from_str(text: &str) -> Result<Self, ExtensionError> {
        if text.chars().count() > LONGEST {
            return Err(ExtensionError::Length);
        }
        let written = text.strip_prefix('@').unwrap_or(text);
        let strokes: Option<Vec<Stroke>> = written.chars().map(Stroke::of).collect();
        let strokes = strokes.ok_or(ExtensionError::Form)?;
        if !strokes.iter().any(|stroke| matches!(stroke, Stroke::Key(_))) {
            return Err(ExtensionError::Form);
        }
        let pause = |stroke: &Stroke| match stroke {
            Stroke::Key(_) => Duration::ZERO,
            Stroke::Pause(pause) => *pause,
        };
        if strokes.iter().map(pause).sum::<Duration>() > LONGEST_PAUSE {
            return Err(ExtensionError::Pauses);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Extension {
    type Error = ExtensionError;

    fn try_from(text: String) -> Result<Self, ExtensionError> {
        text.parse()
    }
}

impl From<Extension> for String {
    fn from(extension: Extension) -> Self {
        extension.0
    }
}

impl fmt::Display for Extension {
    /// All keys but the last are hidden, and that too where it is the only one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<char> = self
            .strokes()
            .filter_map(|stroke| match stroke {
                Stroke::Key(key) => Some(key),
                Stroke::Pause(_) => None,
            })
            .collect();
        match keys.split_last() {
            Some((last, hidden)) if !hidden.is_empty() => {
                write!(f, "{}{last}", "•".repeat(hidden.len()))
            }
            Some(_) | None => f.write_str("•"),
        }
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_keys_and_pauses() {
        let read = |text: &str| -> (bool, String, u128) {
            let extension: Extension = text.parse().unwrap();
            let mut keys = String::new();
            let mut pause = Duration::ZERO;
            for stroke in extension.strokes() {
                match stroke {
                    Stroke::Key(key) => keys.push(key),
                    Stroke::Pause(more) => pause += more,
                }
            }
            (extension.listens_first(), keys, pause.as_millis())
        };
        assert_eq!(read("204"), (true, "204".to_owned(), 0));
        assert_eq!(read("@204"), (true, "204".to_owned(), 0));
        assert_eq!(read("2,0wW4#"), (true, "204#".to_owned(), 3_500));
        assert_eq!(read(",,*204"), (false, "*204".to_owned(), 4_000));
        assert_eq!(read("@,204"), (true, "204".to_owned(), 2_000));
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        for (text, why) in [
            ("", ExtensionError::Form),
            ("@", ExtensionError::Form),
            (",,", ExtensionError::Form),
            ("20@4", ExtensionError::Form),
            ("@@204", ExtensionError::Form),
            ("x204", ExtensionError::Form),
            ("20A", ExtensionError::Form),
            ("2 04", ExtensionError::Form),
            ("٢٠٤", ExtensionError::Form),
            ("204\r\n", ExtensionError::Form),
            ("123456789012345678901234567890123", ExtensionError::Length),
            (",,,,,,,,,,,,,,,w1", ExtensionError::Pauses),
        ] {
            assert_eq!(text.parse::<Extension>(), Err(why), "{text}");
        }
        assert!(",,,,,,,,,,,,,,,1".parse::<Extension>().is_ok());
    }

    #[test]
    fn its_keys_are_masked() {
        let shown = |text: &str| text.parse::<Extension>().unwrap().to_string();
        assert_eq!(shown("@,2w04"), "••4");
        assert_eq!(shown("7"), "•");
        assert_eq!(format!("{:?}", "2*4#".parse::<Extension>().unwrap()), "•••#");
    }
}
