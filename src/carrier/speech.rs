//! What a provider's voice says in our name, by language: the texts of `prompts/speech.toml`.

use serde::Deserialize;

use super::Ask;
use crate::verify::transaction::Transaction;

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
    payment: Payment,
}

/// What is said of a payment, in place of what is said of a sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payment {
    greeting: String,
    greeting_brand: String,
    ask: String,
    fraud: String,
    denied: String,
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
    /// A question does not say how much is paid to whom.
    #[error("speech.toml: payment.ask of {0} has no {{amount}}, {{currency}} or {{payee}}")]
    Payment(String),
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
        let greetings = |page: &Page| {
            [&page.greeting_brand, &page.payment.greeting_brand]
                .map(|text| text.contains("{brand}"))
        };
        if let Some(page) = file.page.iter().find(|page| greetings(page).contains(&false)) {
            return Err(BookError::Brand(page.tag.clone()));
        }
        let asks = |page: &Page| {
            ["{amount}", "{currency}", "{payee}"].map(|name| page.payment.ask.contains(name))
        };
        if let Some(page) = file.page.iter().find(|page| asks(page).contains(&false)) {
            return Err(BookError::Payment(page.tag.clone()));
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

    /// What is said: the greeting names the brand, if there is one, and the question of a payment how much is
    /// paid to whom.
    #[must_use]
    pub fn text(&self, phrase: Phrase, ask: Ask<'_>) -> String {
        let pays = ask.payment.map(|payment| (payment, &self.payment));
        let greeting = || match pays {
            Some((_, page)) => (&page.greeting, &page.greeting_brand),
            None => (&self.greeting, &self.greeting_brand),
        };
        let text = match phrase {
            Phrase::Greeting => {
                let (alone, branded) = greeting();
                return ask.brand.map_or_else(
                    || alone.clone(),
                    |brand| branded.replace("{brand}", brand.as_str()),
                );
            }
            Phrase::Ask => match pays {
                Some((payment, page)) => return page.asked(payment, ask.locale),
                None => &self.ask,
            },
            Phrase::Fraud => pays.map_or(&self.fraud, |(_, page)| &page.fraud),
            Phrase::Denied => pays.map_or(&self.denied, |(_, page)| &page.denied),
            Phrase::Again => &self.again,
            Phrase::WrongKey => &self.wrong_key,
            Phrase::Thanks => &self.thanks,
            Phrase::Goodbye => &self.goodbye,
            Phrase::Over => &self.over,
        };
        text.clone()
    }
}

impl Payment {
    /// The question, piece by piece: what stands in a payment is never read for names of its own.
    fn asked(&self, payment: &Transaction, locale: &str) -> String {
        let mut asked = String::with_capacity(self.ask.len() + 64);
        let mut rest = self.ask.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            asked.push_str(before);
            match name {
                "amount" => asked.push_str(&payment.amount_in(locale)),
                "currency" => asked.push_str(payment.currency()),
                "payee" => asked.push_str(payment.payee()),
                _ => {}
            }
            rest = after;
        }
        asked.push_str(rest);
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::request::Brand;

    fn plain() -> Ask<'static> {
        Ask { locale: "en-US", brand: None, payment: None }
    }

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
                let payment = Transaction::new("49.9", "EUR", "ACME").unwrap();
                for ask in [plain(), Ask { payment: Some(&payment), ..plain() }] {
                    let text = page.text(phrase, ask);
                    assert!(!text.trim().is_empty() && !text.contains(['{', '#']), "{text}");
                }
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
            let payment = Transaction::new("49.9", "EUR", "ACME").unwrap();
            for ask in [plain(), Ask { locale, payment: Some(&payment), ..plain() }] {
                let said = book.page(locale).text(Phrase::Ask, ask);
                assert!(said.contains(key), "{locale}: {said}");
            }
        }
    }

    #[test]
    fn the_greeting_names_the_brand() {
        let book = Book::compiled().unwrap();
        let brand = Brand::try_from("Söhne & Co".to_owned()).unwrap();
        let ask = Ask { brand: Some(&brand), ..plain() };
        assert_eq!(
            book.page("en-US").text(Phrase::Greeting, ask),
            "This is Söhne & Co, calling to verify your sign-in."
        );
        assert_eq!(book.page("en-US").text(Phrase::Thanks, ask), "Thank you. Goodbye.");
    }

    #[test]
    fn a_payment_is_said_with_all_that_it_is() {
        let book = Book::compiled().unwrap();
        let payment = Transaction::new("1299.9", "EUR", "Söhne & Co").unwrap();
        let said = |locale, phrase| {
            book.page(locale).text(phrase, Ask { locale, payment: Some(&payment), ..plain() })
        };
        assert_eq!(
            said("en-US", Phrase::Ask),
            "To pay 1299.90 EUR to Söhne & Co, press the pound key. If you did not ask for this payment, press \
             zero, then pound."
        );
        assert!(said("de-DE", Phrase::Ask).starts_with("Um 1299,90 EUR an Söhne & Co zu zahlen"));
        assert_eq!(said("en-US", Phrase::Greeting), "This is a call about a payment.");
        assert_eq!(said("en-GB", Phrase::Denied), "The payment was not approved. Goodbye.");
        let pages = || std::iter::once(&book.first).chain(&book.others);
        for page in pages() {
            for phrase in PHRASES {
                let ask = Ask { locale: page.tag(), payment: Some(&payment), ..plain() };
                let (paid, signed_in) = (page.text(phrase, ask), page.text(phrase, plain()));
                let own = [Phrase::Greeting, Phrase::Ask, Phrase::Fraud, Phrase::Denied]
                    .contains(&phrase);
                assert_eq!(paid != signed_in, own, "{}: {paid}", page.tag());
                let whole = ["Söhne & Co", "EUR", "1299"].iter().all(|part| paid.contains(part));
                assert_eq!(whole, phrase == Phrase::Ask, "{}: {paid}", page.tag());
            }
        }
    }

    #[test]
    fn a_fault_in_the_file_is_named() {
        let fault = |text: &str| Book::parse(text).unwrap_err();
        assert_eq!(fault("page = []"), BookError::Empty);
        assert!(matches!(fault("[[page]]\ntag = \"en\""), BookError::Form(_)));
        let all = include_str!("../../prompts/speech.toml");
        assert_eq!(fault(&all.replacen("{brand}", "brand", 2)), BookError::Brand("en-US".into()));
        let silent = all.replacen("{payee}", "somebody", 2);
        assert_eq!(fault(&silent), BookError::Payment("en-US".into()));
    }
}
