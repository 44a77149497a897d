//! Where the dialogue stands, as `client_state` carries it from one event to the next.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::carrier::keypad::Keypad;

/// Where the dialogue of a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing is asked before an extension, which takes this long, is through.
    Extension(Duration),
    /// The extension is being sent.
    Through,
    /// The question is asked.
    Asking(Keypad),
    /// The farewell after keys.
    Closing,
    /// The farewell after silence.
    Silent,
}

impl Stage {
    /// The stage as text in base64, the only form that Telnyx takes.
    pub(super) fn to_base64(self) -> String {
        BASE64.encode(match self {
            Self::Extension(wait) => format!("wait{}", wait.as_millis()),
            Self::Through => "through".to_owned(),
            Self::Asking(pad) => pad.to_text(),
            Self::Closing => "closing".to_owned(),
            Self::Silent => "silent".to_owned(),
        })
    }

    /// Reads what [`to_base64`](Self::to_base64) wrote; `None` for anything else.
    pub(super) fn from_base64(text: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        match text.as_str() {
            "through" => Some(Self::Through),
            "closing" => Some(Self::Closing),
            "silent" => Some(Self::Silent),
            other => match other.strip_prefix("wait") {
                Some(wait) => {
                    Some(Self::Extension(Duration::from_millis(wait.parse::<u32>().ok()?.into())))
                }
                None => Keypad::from_text(other).map(Self::Asking),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_read_back_and_nothing_else_is() {
        let asked = Keypad::START.on(Some('0')).0;
        for stage in [
            Stage::Extension(Duration::from_millis(3_500)),
            Stage::Through,
            Stage::Asking(Keypad::START),
            Stage::Asking(asked),
            Stage::Closing,
            Stage::Silent,
        ] {
            assert_eq!(Stage::from_base64(&stage.to_base64()), Some(stage));
        }
        for other in ["", "wait", "wait-1", "wait99999999999", "r1w0", "Closing"] {
            assert_eq!(Stage::from_base64(&BASE64.encode(other)), None, "{other}");
        }
        assert_eq!(Stage::from_base64("closing"), None);
    }
}
