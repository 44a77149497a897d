//! What a voice says from one request of its carrier to the next: phrases of the book, put
//! together.

use std::sync::LazyLock;

use super::Ask;
use super::keypad::Opening;
use super::speech::{Book, Page, Phrase as Spoken};
use crate::verify::signal::Said;

/// The book that is compiled in; a test reads it. Without it there would be nothing to say.
static BOOK: LazyLock<Option<Book>> = LazyLock::new(|| Book::compiled().ok());

/// Something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phrase {
    /// The question.
    Ask(Opening),
    /// What fits the keys, and goodbye.
    Close(Said),
    /// Goodbye after silence.
    Goodbye,
}

fn page(locale: &str) -> Option<&'static Page> {
    BOOK.as_ref().map(|book| book.page(locale))
}

/// The language that [`say`] answers in when asked for this one (both BCP 47).
#[must_use]
pub(super) fn language(locale: &str) -> &'static str {
    page(locale).map_or("en-US", Page::language)
}

/// The text of a phrase: plain, without markup, below 400 characters.
#[must_use]
pub(super) fn say(ask: Ask<'_>, phrase: Phrase) -> String {
    let Some(page) = page(ask.locale) else { return String::new() };
    let text = |phrase| page.text(phrase, ask);
    match phrase {
        Phrase::Ask(opening) => {
            let opening = match opening {
                Opening::Greeting => Spoken::Greeting,
                Opening::Again => Spoken::Again,
                Opening::WrongKey => Spoken::WrongKey,
            };
            format!("{} {}", text(opening), text(Spoken::Ask))
        }
        Phrase::Close(Said::Confirmed | Said::PinEntered | Said::DigitsEntered) => {
            text(Spoken::Thanks)
        }
        Phrase::Close(Said::FraudReported) => text(Spoken::Fraud),
        Phrase::Close(Said::Declined | Said::WrongKey | Said::WrongPin) => text(Spoken::Denied),
        Phrase::Goodbye => text(Spoken::Goodbye),
    }
}
