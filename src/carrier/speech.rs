//! What a provider's voice says in our name, by language: the texts of `prompts/speech.toml`.

use serde::Deserialize;

use crate::verify::request::Brand;

/// The texts of all languages.
#[derive(Clone, Debug)]
pub struct Book {
    /// What is spoken when no other page fits.
    first: Page,
    others: Vec<Page>,
}

/// The texts of one language.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    tag: String,
    also: Vec<String>,
    language: String,
    voice: Option<String>,
    greeting: String,
    greeting_brand: String,
    ask: String,
    again: String,
    wrong_key: String,
    thanks: String,
    fraud: String,
    denied: String,
    goodbye: String,
    over: String,
}

/// Something that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phrase {
    /// Opens the call.
    Greeting,
    /// Says which key to press.
    Ask,
    /// Leads to the second ask.
    Again,
    /// Leads to the ask after a wrong key.
    WrongKey,
    /// Closes: confirmed.
    Thanks,
    /// Closes: reported as fraud.
    Fraud,
    /// Closes: not confirmed.
    Denied,
    /// Closes: nothing was heard.
    Goodbye,
    /// Closes: nothing is asked any more.
    Over,
}

impl Phrase {
    /// Its name in files of texts and of recordings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Ask => "ask",
            Self::Again => "again",
            Self::WrongKey => "wrong_key",
            Self::Thanks => "thanks",
            Self::Fraud => "fraud",
            Self::Denied => "denied",
            Self::Goodbye => "goodbye",
            Self::Over => "over",
        }
    }
}

/// Why a file of texts cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// It is not TOML of this form.
    #[error("speech.toml: {0}")]
    Form(String),
    /// It has no page.
    #[error("speech.toml: it has no page")]
    Empty,
    /// A greeting does not say where the brand goes.
    #[error("speech.toml: greeting_brand of {0} has no {{brand}}")]
    Brand(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    page: Vec<Page>,
}

impl Book {
    /// The texts that are compiled in.
    ///
    /// # Errors
    /// When they are not of the form that is wanted, which a test rules out.
    pub fn compiled() -> Result<Self, BookError> {
        Self::parse(include_str!("../../prompts/speech.toml"))
    }

    /// Reads a file of texts.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BookError> {
        let file: File =
            toml::from_str(text).map_err(|fault| BookError::Form(fault.message().to_owned()))?;
        if let Some(page) = file.page.iter().find(|page| !page.greeting_brand.contains("{brand}")) {
            return Err(BookError::Brand(page.tag.clone()));
        }
        let mut pages = file.page.into_iter();
        let first = pages.next().ok_or(BookError::Empty)?;
        Ok(Self { first, others: pages.collect() })
    }

    /// The page for a language (a BCP 47 tag, in any case): the one of its region, else the first
    /// of its language, else the first of all.
    #[must_use]
    pub fn page(&self, locale: &str) -> &Page {
        let pages = || std::iter::once(&self.first).chain(&self.others);
        let language = primary(locale);
        pages()
            .find(|page| page.is_for(locale))
            .or_else(|| pages().find(|page| primary(&page.tag).eq_ignore_ascii_case(language)))
            .unwrap_or(&self.first)
    }
}

/// The language of a tag, without its script and region.
fn primary(tag: &str) -> &str {
    tag.split(['-', '_']).next().unwrap_or(tag)
}

impl Page {
    fn is_for(&self, locale: &str) -> bool {
        let mut tags = std::iter::once(&self.tag).chain(&self.also);
        tags.any(|tag| tag.eq_ignore_ascii_case(locale))
    }

    /// The BCP 47 tag of the page.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// What a provider's `Say` calls the language.
    #[must_use]
    pub fn language(&self) -> &str {
        &self.language
    }

    /// The voice to ask for, where the provider has none by itself for the language.
    #[must_use]
    pub fn voice(&self) -> Option<&str> {
        self.voice.as_deref()
    }

    /// What is said; the greeting names the brand, if there is one.
    #[must_use]
    pub fn text(&self, phrase: Phrase, brand: Option<&Brand>) -> String {
        let text = match (phrase, brand) {
            (Phrase::Greeting, Some(brand)) => {
                return self.greeting_brand.replace("{brand}", brand.as_str());
            }
            (Phrase::Greeting, None) => &self.greeting,
            (Phrase::Ask, _) => &self.ask,
            (Phrase::Again, _) => &self.again,
            (Phrase::WrongKey, _) => &self.wrong_key,
            (Phrase::Thanks, _) => &self.thanks,
            (Phrase::Fraud, _) => &self.fraud,
            (Phrase::Denied, _) => &self.denied,
            (Phrase::Goodbye, _) => &self.goodbye,
            (Phrase::Over, _) => &self.over,
        };
        text.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHRASES: [Phrase; 9] = [
        Phrase::Greeting,
        Phrase::Ask,
        Phrase::Again,
        Phrase::WrongKey,
        Phrase::Thanks,
        Phrase::Fraud,
        Phrase::Denied,
        Phrase::Goodbye,
        Phrase::Over,
    ];

    #[test]
    fn every_language_says_everything() {
        let book = Book::compiled().unwrap();
        for language in ["en", "es", "fr", "de", "it", "pt", "nl", "pl", "ja", "zh", "ar", "hi"] {
            let page = book.page(language);
            assert_eq!(primary(page.tag()), language);
            for phrase in PHRASES {
                let text = page.text(phrase, None);
                assert!(!text.trim().is_empty() && !text.contains(['{', '#']), "{text}");
            }
        }
        let pages = || std::iter::once(&book.first).chain(&book.others);
        let tags: Vec<&String> =
            pages().flat_map(|page| std::iter::once(&page.tag).chain(&page.also)).collect();
        for (at, tag) in tags.iter().enumerate() {
            assert!(!tags[..at].contains(tag), "{tag} is there twice");
        }
    }

    #[test]
    fn the_key_is_called_as_its_people_call_it() {
        let book = Book::compiled().unwrap();
        for (locale, key) in [
            ("en-US", "pound"),
            ("en-ca", "pound"),
            ("en-GB", "hash"),
            ("EN-au", "hash"),
            ("es", "almohadilla"),
            ("es-MX", "gato"),
            ("es-CO", "numeral"),
            ("fr-BE", "dièse"),
            ("fr-CA", "carré"),
            ("de-CH", "Rautetaste"),
            ("pt-BR", "jogo da velha"),
            ("pt-PT", "cardinal"),
            ("zh-Hant-TW", "井号键"),
            ("zh-TW", "井字鍵"),
            ("ja_JP", "シャープ"),
            ("xx-YY", "pound"),
            ("", "pound"),
        ] {
            let said = book.page(locale).text(Phrase::Ask, None);
            assert!(said.contains(key), "{locale}: {said}");
        }
    }

    #[test]
    fn the_greeting_names_the_brand() {
        let book = Book::compiled().unwrap();
        let brand = Brand::try_from("Söhne & Co".to_owned()).unwrap();
        assert_eq!(
            book.page("en-US").text(Phrase::Greeting, Some(&brand)),
            "This is Söhne & Co, calling to verify your sign-in."
        );
        assert_eq!(book.page("en-US").text(Phrase::Thanks, Some(&brand)), "Thank you. Goodbye.");
    }

    #[test]
    fn a_fault_in_the_file_is_named() {
        let fault = |text: &str| Book::parse(text).unwrap_err();
        assert_eq!(fault("page = []"), BookError::Empty);
        assert!(matches!(fault("[[page]]\ntag = \"en\""), BookError::Form(_)));
        let all = include_str!("../../prompts/speech.toml");
        assert_eq!(fault(&all.replacen("{brand}", "brand", 2)), BookError::Brand("en-US".into()));
    }
}
