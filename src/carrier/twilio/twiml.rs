//! TwiML, and the little XML it needs.
//!
//! Only what our calls say: `Gather` around what is spoken, `Redirect` behind it, `Hangup`.

use std::time::Duration;

/// A document in the making.
#[derive(Debug)]
pub(super) struct Response(String);

/// Something to be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    /// Spoken by the provider's voice.
    Say {
        /// What the provider calls the language.
        language: String,
        /// Which voice, where it has no choice of its own.
        voice: Option<String>,
        /// The words.
        text: String,
    },
    /// A recording at this URL.
    Play(String),
}

impl Response {
    /// An empty document.
    pub(super) fn new() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response>".to_owned())
    }

    /// Plays something.
    pub(super) fn sound(mut self, sound: &Sound) -> Self {
        match sound {
            Sound::Say { language, voice, text } => {
                self.open("Say", &[("language", Some(language)), ("voice", voice.as_deref())]);
                self.text(text);
                self.close("Say");
            }
            Sound::Play(url) => {
                self.open("Play", &[]);
                self.text(url);
                self.close("Play");
            }
        }
        self
    }

    /// Waits for one key while these are played, and for `patience` after them; then asks
    /// `action` how to go on, whether a key was pressed or not.
    ///
    /// `finishOnKey=""` is what lets the pound key through: with the default, `#`, it would only
    /// end the input, and a lone `#` would be an empty one. The `Redirect` behind it asks
    /// `action`, too, where a provider goes on after silence in spite of `actionOnEmptyResult`.
    pub(super) fn gather(mut self, sounds: &[Sound], patience: Duration, action: &str) -> Self {
        let timeout = patience.as_secs().to_string();
        let attributes = [
            ("input", "dtmf"),
            ("finishOnKey", ""),
            ("numDigits", "1"),
            ("actionOnEmptyResult", "true"),
            ("timeout", &timeout),
            ("method", "POST"),
            ("action", action),
        ];
        self.open("Gather", &attributes.map(|(name, value)| (name, Some(value))));
        for sound in sounds {
            self = self.sound(sound);
        }
        self.close("Gather");
        self.open("Redirect", &[("method", Some("POST"))]);
        self.text(action);
        self.close("Redirect");
        self
    }

    /// Ends the call.
    pub(super) fn hangup(mut self) -> Self {
        self.0.push_str("<Hangup/>");
        self
    }

    /// The document.
    pub(super) fn finish(mut self) -> String {
        self.close("Response");
        self.0
    }

    fn open(&mut self, name: &str, attributes: &[(&str, Option<&str>)]) {
        self.0.push('<');
        self.0.push_str(name);
        for (name, value) in attributes {
            if let Some(value) = value {
                self.0.push(' ');
                self.0.push_str(name);
                self.0.push_str("=\"");
                self.text(value);
                self.0.push('"');
            }
        }
        self.0.push('>');
    }

    fn close(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// Text, or the value of an attribute: what XML 1.0 reserves is escaped, what it forbids
    /// (section 2.2) is left out.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&apos;"),
                '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {}
                c => self.0.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quick_xml::events::Event;

    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let say = Sound::Say {
            language: "en\"><Dial>".into(),
            voice: None,
            text: "</Say><Dial>+1900</Dial> & 'x'\u{0}\u{b}".into(),
        };
        assert_eq!(
            Response::new().sound(&say).finish().lines().last().unwrap(),
            "<Response><Say language=\"en&quot;&gt;&lt;Dial&gt;\">&lt;/Say&gt;&lt;Dial&gt;+1900\
             &lt;/Dial&gt; &amp; &apos;x&apos;</Say></Response>"
        );
    }

    #[test]
    fn an_independent_reader_reads_what_is_written() {
        let say = |text: &str| Sound::Say {
            language: "ja-JP".into(),
            voice: Some("Polly.Mizuki".into()),
            text: text.into(),
        };
        let action = "https://gw.example/hooks/a/b/c/keys?s=r1w0z0&x=\"1\"";
        let document = Response::new()
            .gather(
                &[say("銀行 & <Co>"), Sound::Play("https://a/b?c&d".into())],
                Duration::from_secs(10),
                action,
            )
            .hangup()
            .finish();
        let mut reader = quick_xml::Reader::from_str(&document);
        let (mut words, mut actions) = (String::new(), Vec::new());
        let mut event = reader.read_event().unwrap();
        while event != Event::Eof {
            if let Event::Text(text) = &event {
                words.push_str(&text.decode().unwrap());
            }
            if let Event::GeneralRef(name) = &event {
                let name = name.decode().unwrap();
                words.push_str(quick_xml::escape::resolve_predefined_entity(&name).unwrap());
            }
            if let Event::Start(tag) = &event {
                let attribute = tag.try_get_attribute("action").unwrap();
                actions.extend(attribute.map(|it| it.unescape_value().unwrap().into_owned()));
            }
            event = reader.read_event().unwrap();
        }
        assert_eq!(words.trim(), format!("銀行 & <Co>https://a/b?c&d{action}"));
        assert_eq!(actions, [action]);
    }
}
