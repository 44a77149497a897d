//! What the carriers share that tell events and take commands in JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::wire::HttpAnswer;

/// A UUID (RFC 9562 section 5.8, version 8) that stands for these words: the same whenever it is
/// computed, so that a command that is sent again carries the same name.
#[must_use]
pub(super) fn uuid(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word.as_bytes());
    }
    let mut text = String::with_capacity(36);
    for (at, byte) in hash.finalize().into_iter().take(16).enumerate() {
        let byte = match at {
            6 => (byte & 0x0f) | 0x80,
            8 => (byte & 0x3f) | 0x80,
            _ => byte,
        };
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A text as one segment of a path (RFC 3986 section 3.3): a carrier's name for a call cannot
/// lead to another of its addresses.
#[must_use]
pub(super) fn segment(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_:".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

/// How long the keys of an extension take, with a second for the person to be put through;
/// `None` where it holds anything but digits, `*`, `#` and the pauses of
/// [`What::Call`](super::What::Call).
#[must_use]
pub(super) fn lasts(extension: &str) -> Option<Duration> {
    extension.chars().try_fold(Duration::from_secs(1), |sum, key| {
        let millis = match key {
            '0'..='9' | '*' | '#' => 400,
            ',' | 'w' => 500,
            'W' => 1_000,
            _ => return None,
        };
        Some(sum + Duration::from_millis(millis))
    })
}

/// The text at a JSON pointer (RFC 6901), if there is one and it is not empty.
#[must_use]
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

/// Nothing to say, under the status that every carrier takes for success.
#[must_use]
pub(super) const fn ok() -> HttpAnswer {
    HttpAnswer { status: 200, content_type: "text/plain; charset=utf-8", body: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_depends_on_every_word_and_nothing_else() {
        let name = uuid(&["a", "bc"]);
        assert_eq!(name, uuid(&["a", "bc"]));
        assert_ne!(name, uuid(&["ab", "c"]));
        let dashes: Vec<usize> = name.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!((name.len(), dashes), (36, vec![8, 13, 18, 23]));
        assert_eq!(name.as_bytes()[14], b'8');
        assert!(b"89ab".contains(&name.as_bytes()[19]));
    }

    #[test]
    fn a_segment_stays_one_segment() {
        assert_eq!(segment("v3:Ab_-9"), "v3:Ab_-9");
        assert_eq!(segment("../x?y#z"), "%2E%2E%2Fx%3Fy%23z");
    }

    #[test]
    fn an_extension_takes_its_time() {
        assert_eq!(lasts("12,wW#"), Some(Duration::from_millis(4_200)));
        assert_eq!(lasts("12;34"), None);
    }
}
