//! What a person is texted: templates by language and kind, checked when they are loaded.
//!
//! `{name}` in a template is a value. `[ ... ]` is said only when every value in it is at hand, so
//! that no text reads oddly without a brand; of `[a|b]` the first alternative that can be said is.
//! A value is never read as a template.

mod template;

use std::collections::BTreeMap;

use super::transaction::Transaction;
use template::{Hole, Template, Values};

/// The texts that come with the program.
const COMPILED: &str = include_str!("../../prompts/texts.toml");

/// The language that every other falls back to.
const LAST_RESORT: &str = "en";

/// The most characters in a template: a text is a few parts, and each is paid for.
const LONGEST: usize = 500;

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A code to type where one signs in.
    Code,
    /// The same without a brand, for a route that lets none through.
    CodePlain,
    /// A code that agrees to one payment, and to whom and how much.
    Transaction,
    /// Asks to answer with the code.
    Reply,
    /// Asks to answer with the code and the person's PIN.
    ReplyPin,
    /// Asks to answer with yes, or with the code.
    ReplyYes,
    /// The line that says that nobody asks for the code.
    NeverAsk,
    /// The one answer to a wish for no more texts.
    OptedOut,
    /// The answer to a wish for texts again.
    OptedIn,
    /// The answer to a call for help.
    Help,
    /// The answer to a code that nobody waits for any more.
    Late,
    /// The answer when nothing is open for the number.
    Unknown,
    /// The answer when it is not clear what was meant.
    Unclear,
    /// The answer to a code that is not the one that was sent.
    Wrong,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Code,
        Self::CodePlain,
        Self::Transaction,
        Self::Reply,
        Self::ReplyPin,
        Self::ReplyYes,
        Self::NeverAsk,
        Self::OptedOut,
        Self::OptedIn,
        Self::Help,
        Self::Late,
        Self::Unknown,
        Self::Unclear,
        Self::Wrong,
    ];

    /// Its name in a file of texts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::CodePlain => "code_plain",
            Self::Transaction => "transaction",
            Self::Reply => "reply",
            Self::ReplyPin => "reply_pin",
            Self::ReplyYes => "reply_yes",
            Self::NeverAsk => "never_ask",
            Self::OptedOut => "opted_out",
            Self::OptedIn => "opted_in",
            Self::Help => "help",
            Self::Late => "late",
            Self::Unknown => "unknown",
            Self::Unclear => "unclear",
            Self::Wrong => "wrong",
        }
    }

    /// Whether the code is typed elsewhere than in an answer: only then may a browser or an app
    /// take it from the text, and only then is it true that nobody asks for it.
    const fn typed(self) -> bool {
        match self {
            Self::Code | Self::CodePlain | Self::Transaction => true,
            Self::Reply
            | Self::ReplyPin
            | Self::ReplyYes
            | Self::NeverAsk
            | Self::OptedOut
            | Self::OptedIn
            | Self::Help
            | Self::Late
            | Self::Unknown
            | Self::Unclear
            | Self::Wrong => false,
        }
    }

    /// The values it may hold, and those it must hold outside brackets.
    const fn holes(self) -> (&'static [Hole], &'static [Hole]) {
        use Hole::{Amount, Brand, Code, Currency, Minutes, Payee, Reference};
        match self {
            Self::Code => (&[Code, Brand, Minutes], &[Code]),
            Self::CodePlain => (&[Code, Minutes], &[Code]),
            Self::Transaction => {
                (&[Code, Brand, Minutes, Amount, Currency, Payee], &[Code, Amount, Currency, Payee])
            }
            Self::Reply | Self::ReplyPin => {
                (&[Code, Brand, Minutes, Amount, Currency, Payee], &[Code])
            }
            Self::ReplyYes => (&[Code, Brand, Minutes, Amount, Currency, Payee, Reference], &[]),
            Self::NeverAsk
            | Self::OptedOut
            | Self::OptedIn
            | Self::Help
            | Self::Late
            | Self::Unknown
            | Self::Unclear
            | Self::Wrong => (&[Brand], &[]),
        }
    }
}

/// Why a template is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The texts that come with the program cannot be read.
    #[error("the compiled-in texts cannot be read: {0}")]
    Compiled(String),
    /// A language that comes with the program lacks a kind.
    #[error("the compiled-in texts lack {kind} in {locale}")]
    Incomplete {
        /// The language.
        locale: String,
        /// The kind.
        kind: &'static str,
    },
    /// Not the form of a language tag.
    #[error("{0:?} is not a BCP 47 language tag, as \"en\" or \"pt-BR\"")]
    Locale(String),
    /// No such kind.
    #[error("{0:?} is not a kind of text; the kinds are {known}", known = kinds())]
    Kind(String),
    /// Nothing in it, or too much.
    #[error("a template has 1 to {LONGEST} characters")]
    Length,
    /// A line break or another control character, which could forge the last line.
    #[error("a template is one line without control characters")]
    Control,
    /// Brackets or braces that do not pair, or stand in one another.
    #[error("a {0:?} stands alone: {{name}} and [ ... ] close, and neither holds itself")]
    Unbalanced(char),
    /// A value that this kind of text does not have.
    #[error("{{{name}}} is not a value of {kind}; its values are {known}")]
    UnknownPlaceholder {
        /// The name as written.
        name: String,
        /// The kind.
        kind: &'static str,
        /// The names it could be.
        known: String,
    },
    /// A value that this kind of text must say, whatever else it says.
    #[error("{kind} must hold {{{name}}}, outside brackets")]
    MissingPlaceholder {
        /// The name.
        name: &'static str,
        /// The kind.
        kind: &'static str,
    },
}

/// The values of one text. A code that is empty, as in the answers to a text, is no value.
///
/// There is no `Debug`: the code must not reach a log.
#[derive(Clone, Copy, Default)]
pub struct Fill<'a> {
    /// The code.
    pub code: &'a str,
    /// The name the person knows the caller by.
    pub brand: Option<&'a str>,
    /// How long the code is good for.
    pub minutes: u32,
    /// The payment that the code agrees to.
    pub transaction: Option<&'a Transaction>,
    /// What tells two open questions apart in an answer of yes.
    pub reference: Option<&'a str>,
    /// The domain that a browser may fill the code into.
    pub domain: Option<&'a str>,
    /// The hash of the Android app that may read the text, 11 characters.
    pub android_hash: Option<&'a str>,
    /// Whether to add that nobody asks for the code.
    pub never_ask: bool,
}

/// All templates, by language tag in lower case and by kind; the last one added comes last.
#[derive(Clone, Debug, Default)]
pub struct Texts(BTreeMap<String, BTreeMap<Kind, Vec<Template>>>);

impl Texts {
    /// The texts that come with the program.
    ///
    /// # Errors
    /// When they cannot be read, which a test rules out.
    pub fn compiled() -> Result<Self, TextError> {
        let file: BTreeMap<String, BTreeMap<String, String>> =
            toml::from_str(COMPILED).map_err(|error| TextError::Compiled(error.to_string()))?;
        let mut texts = Self(BTreeMap::new());
        for (locale, kinds) in &file {
            for (kind, template) in kinds {
                texts.with(locale, kind, template)?;
            }
        }
        let lacks = |locale: &str, kind: &Kind| texts.templates(locale, *kind).is_empty();
        let all = file.keys().map(String::as_str).chain([LAST_RESORT]);
        for locale in all {
            if let Some(kind) = Kind::ALL.iter().find(|kind| lacks(locale, kind)) {
                let locale = locale.to_owned();
                return Err(TextError::Incomplete { locale, kind: kind.as_str() });
            }
        }
        Ok(texts)
    }

    /// Adds a template that is preferred to those before it. What it replaces is kept for requests
    /// that it cannot be said for, as one that needs a brand outside brackets when there is none,
    /// or one that does not name the payment when there is one.
    ///
    /// # Errors
    /// When the tag, the kind or the template is not well formed; the error says what is known.
    pub fn with(&mut self, locale: &str, kind: &str, template: &str) -> Result<(), TextError> {
        if !is_tag(locale) {
            return Err(TextError::Locale(locale.to_owned()));
        }
        let kind = Kind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(|| TextError::Kind(kind.to_owned()))?;
        let template = Template::read(kind, template)?;
        let kinds = self.0.entry(locale.to_ascii_lowercase()).or_default();
        kinds.entry(kind).or_default().push(template);
        Ok(())
    }

    /// The text: the template of the tag, of its shorter forms (`pt-BR`, `pt`), or English,
    /// whichever first can be said with what is at hand.
    ///
    /// A code for a payment always names it: [`Kind::Code`] with a transaction is rendered as
    /// [`Kind::Transaction`], and that without one as [`Kind::Code`]. The lines for an app and for
    /// a browser, and the line that nobody asks for the code, are added only where the code is to
    /// be typed and not answered with. A text that must hold a code is empty without one.
    #[must_use]
    pub fn render(&self, locale: &str, kind: Kind, fill: &Fill<'_>) -> String {
        let mut fill = *fill;
        if kind == Kind::CodePlain {
            fill.brand = None;
        }
        let kind = match fill.transaction {
            Some(_) if kind == Kind::Code || kind == Kind::CodePlain => Kind::Transaction,
            None if kind == Kind::Transaction => Kind::Code,
            Some(_) | None => kind,
        };
        let mut text = self.say(locale, kind, &fill);
        if !kind.typed() {
            return text;
        }
        if fill.never_ask {
            // Chinese and Japanese sentences follow one another without a space.
            if !text.ends_with(['。', '）']) {
                text.push(' ');
            }
            text.push_str(&self.say(locale, Kind::NeverAsk, &fill));
        }
        if let Some(hash) = fill.android_hash {
            text.push('\n');
            push_inert(&mut text, hash);
        }
        if let Some(domain) = fill.domain {
            // The last line, as browsers look for it: "Origin-bound one-time codes delivered via
            // SMS", WICG.
            text.push_str("\n@");
            push_inert(&mut text, domain);
            text.push_str(" #");
            push_inert(&mut text, fill.code);
        }
        text
    }

    /// One template with its values.
    fn say(&self, locale: &str, kind: Kind, fill: &Fill<'_>) -> String {
        let locale = locale.to_ascii_lowercase();
        let named = |tag: &str| tag.split('-').next().map(str::to_owned);
        for tag in fallbacks(&locale) {
            // An amount is written as the text around it is: by region where the language is that one.
            let region = if named(tag) == named(&locale) { &locale } else { tag };
            let values = Values::new(fill, region);
            let mut templates = self.templates(tag, kind).iter().rev();
            if let Some(template) = templates.find(|template| template.fits(kind, &values)) {
                return template.render(&values);
            }
        }
        // The compiled English can be said with whatever is at hand besides the code.
        String::new()
    }

    /// The templates of one language and kind, the preferred one last.
    fn templates(&self, locale: &str, kind: Kind) -> &[Template] {
        self.0.get(locale).and_then(|kinds| kinds.get(&kind)).map_or(&[], Vec::as_slice)
    }
}

/// The shape of RFC 5646, section 2.1: a language, then subtags of 1 to 8 letters and digits.
fn is_tag(tag: &str) -> bool {
    let language =
        |s: &str| (2..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphabetic());
    let subtag =
        |s: &str| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric());
    let mut subtags = tag.split('-');
    tag.len() <= 35 && subtags.next().is_some_and(language) && subtags.all(subtag)
}

/// The tag, the same with fewer and fewer subtags, and at last English (RFC 4647, section 3.4).
fn fallbacks<'a>(tag: &'a str) -> impl Iterator<Item = &'a str> {
    let shorter = |tag: &&'a str| Some(tag.rsplit_once('-')?.0);
    std::iter::successors(Some(tag), shorter).chain([LAST_RESORT])
}

/// The names of all kinds, for an error.
fn kinds() -> String {
    Kind::ALL.map(Kind::as_str).join(", ")
}

/// Adds a value without control characters: no value can begin a line of its own.
fn push_inert(text: &mut String, value: &str) {
    text.extend(value.chars().filter(|c| !c.is_control()));
}

#[cfg(test)]
mod tests;
