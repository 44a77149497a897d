//! What an answer to a text means: digits, a word, or a wish, in the person's language.
//!
//! Where an answer can be read in two ways, the one that is safe for the person is taken: a wish
//! for no more texts before all else, then "that was not me", and consent only from an answer that
//! says nothing besides.

mod words;

use std::fmt;

use words::Words;

/// The most characters that are read.
const LONGEST: usize = 1000;

/// The most digits of an answer: a code, a PIN, and some to spare.
const MOST_DIGITS: usize = 32;

/// The fewest digits that are a code when words stand around them: "I have 2 phones" is none.
const FEWEST_DIGITS: usize = 4;

/// The most groups of digits among words: a code, and a PIN.
const MOST_GROUPS: usize = 2;

/// A quotation of as many characters holds our words and not the person's, as what phones send when
/// one taps a heart on a text: `Loved “Reply YES to confirm ...”`.
const QUOTATION: usize = 20;

/// What an answer means. `Debug` hides digits: they may be a code or a PIN.
#[derive(Clone, PartialEq, Eq)]
pub enum Meaning {
    /// All digits of the answer, joined, in ASCII.
    Digits(String),
    /// Consent, and the digits that stood with the word: the reference of the question it answers,
    /// or its code.
    Yes {
        /// The digits, if there were any.
        reference: Option<String>,
    },
    /// Refusal.
    No,
    /// It was somebody else.
    Fraud,
    /// No more texts.
    Stop,
    /// Texts again.
    Start,
    /// A call for help.
    Help,
    /// None of these, or more than one.
    Unclear,
}

impl fmt::Debug for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digits(_) => "Digits(***)",
            Self::Yes { reference: None } => "Yes",
            Self::Yes { reference: Some(_) } => "Yes(***)",
            Self::No => "No",
            Self::Fraud => "Fraud",
            Self::Stop => "Stop",
            Self::Start => "Start",
            Self::Help => "Help",
            Self::Unclear => "Unclear",
        })
    }
}

/// What `text` means to somebody who was texted in `locale` (BCP 47). English is understood
/// besides, and wishes to stop and reports of fraud are in every language.
#[must_use]
pub fn read(text: &str, locale: &str) -> Meaning {
    if text.chars().nth(LONGEST).is_some() {
        return Meaning::Unclear;
    }
    let text = without_quotations(text);
    let heard = spoken(&text);
    let digits: String = heard.groups.concat();
    if digits.len() > MOST_DIGITS {
        return Meaning::Unclear;
    }
    if heard.words.is_empty() {
        return if digits.is_empty() { Meaning::Unclear } else { Meaning::Digits(digits) };
    }
    let language = Language::of(locale);
    if language.stops(&heard) {
        return Meaning::Stop;
    }
    let reported = words::ALL.iter().any(|words| heard.holds(words.spaced, words.fraud));
    if reported || language.is_only(&heard, |words| words.fraud_alone, "") {
        return Meaning::Fraud;
    }
    if digits.is_empty() {
        return language.word(&heard, &text);
    }
    // Words of consent with digits are consent; "yes 42, yes 43" is to two things.
    if language.is_only(&heard, |words| words.yes, "") {
        return if heard.groups.len() == 1 && !asks(&text) {
            Meaning::Yes { reference: Some(digits) }
        } else {
            Meaning::Unclear
        };
    }
    let few = digits.len() < FEWEST_DIGITS || heard.groups.len() > MOST_GROUPS;
    if few || language.refuses(&heard) { Meaning::Unclear } else { Meaning::Digits(digits) }
}

/// The words a person of one locale may use.
struct Language {
    own: Option<&'static Words>,
}

impl Language {
    fn of(locale: &str) -> Self {
        let tag = locale.split('-').next().unwrap_or_default();
        let own = words::ALL.into_iter().find(|words| words.tag.eq_ignore_ascii_case(tag));
        Self { own }
    }

    /// The phrases of a list in the own language, and then in English.
    fn phrases(
        &self,
        list: impl Fn(&'static Words) -> &'static str,
    ) -> impl Iterator<Item = &'static str> {
        let foreign = self.own.map_or("", |own| own.foreign);
        let own = self.own.map_or("", &list);
        let english = phrases(list(&words::EN));
        phrases(own).chain(english.filter(move |word| phrases(foreign).all(|other| other != *word)))
    }

    /// Whether this is a wish for no more texts.
    fn stops(&self, heard: &Heard) -> bool {
        // With digits it is rather a sign-in that is to be cancelled.
        if heard.groups.is_empty() && self.is_only(heard, |words| words.stop_alone, words::STOP) {
            return true;
        }
        // "Don't stop" holds the word and not the wish.
        let mut rest = heard.clone();
        for words in words::ALL {
            rest.forget(words.spaced, words.stay);
        }
        words::ALL.iter().any(|words| rest.holds(words.spaced, words.stop))
    }

    /// What words without digits mean.
    fn word(&self, heard: &Heard, text: &str) -> Meaning {
        if self.is_only(heard, |words| words.start, words::START) {
            Meaning::Start
        } else if self.is_only(heard, |words| words.help, words::HELP) {
            Meaning::Help
        } else if self.is_only(heard, |words| words.no, "") {
            Meaning::No
        } else if self.is_only(heard, |words| words.yes, "") && !asks(text) {
            Meaning::Yes { reference: None }
        } else {
            Meaning::Unclear
        }
    }

    /// Whether the words hold anything that takes consent back.
    fn refuses(&self, heard: &Heard) -> bool {
        let lists: [fn(&'static Words) -> &'static str; 3] =
            [|words| words.not, |words| words.no, |words| words.stop_alone];
        let spaced = self.own.is_none_or(|own| own.spaced);
        lists
            .into_iter()
            .flat_map(|list| self.phrases(list))
            .chain(phrases(words::STOP))
            .any(|phrase| heard.has(spaced || phrase.is_ascii(), phrase))
    }

    /// Whether the words are phrases of the list and courtesies, one of the list at least. The
    /// longest phrase is taken each time.
    fn is_only(
        &self,
        heard: &Heard,
        list: impl Fn(&'static Words) -> &'static str,
        everywhere: &'static str,
    ) -> bool {
        let spaced = self.own.is_none_or(|own| own.spaced);
        let behind = |rest: &str, phrase: &str| -> Option<usize> {
            let more = rest.strip_prefix(phrase)?;
            let whole = more.is_empty() || more.starts_with(' ') || !spaced;
            whole.then(|| rest.len() - more.trim_start().len())
        };
        let longest = |rest: &str, phrases: &mut dyn Iterator<Item = &'static str>| {
            phrases.filter_map(|phrase| behind(rest, phrase)).max()
        };
        let mut rest = heard.words.as_str();
        let mut found = false;
        while !rest.is_empty() {
            let hit = longest(rest, &mut self.phrases(&list).chain(phrases(everywhere)));
            let courtesy = longest(rest, &mut self.phrases(|words| words.polite));
            found |= hit.is_some() && hit >= courtesy;
            let Some(more) = hit.max(courtesy).and_then(|taken| rest.get(taken..)) else {
                return false;
            };
            rest = more;
        }
        found
    }
}

/// A text taken apart.
#[derive(Clone, Debug)]
struct Heard {
    /// The words, folded, with one space between.
    words: String,
    /// Groups of digits between words, in ASCII.
    groups: Vec<String>,
}

impl Heard {
    /// Whether one of the phrases stands anywhere.
    fn holds(&self, spaced: bool, list: &'static str) -> bool {
        phrases(list).any(|phrase| self.has(spaced, phrase))
    }

    /// Whether the phrase stands anywhere, as whole words where words have spaces between them.
    fn has(&self, spaced: bool, phrase: &str) -> bool {
        if !spaced {
            return self.words.contains(phrase);
        }
        self.words.match_indices(phrase).any(|(at, _)| {
            let (before, behind) = (self.words.get(..at), self.words.get(at + phrase.len()..));
            before.is_some_and(|text| text.is_empty() || text.ends_with(' '))
                && behind.is_some_and(|text| text.is_empty() || text.starts_with(' '))
        })
    }

    /// Takes the phrases out; a mark stays in their place, so that what stood on either side does
    /// not meet.
    fn forget(&mut self, spaced: bool, list: &'static str) {
        for phrase in phrases(list) {
            if self.has(spaced, phrase) {
                self.words = self.words.replace(phrase, "/");
            }
        }
    }
}

/// The phrases of a list of [`words`].
fn phrases(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.split(',').map(str::trim).filter(|phrase| !phrase.is_empty())
}

/// Whether it is a question: "yes?" is no consent.
fn asks(text: &str) -> bool {
    text.contains(['?', '？', '؟', '¿'])
}

/// The text without long quotations. One that is all there is stays, as people quote the word that
/// they were asked for.
fn without_quotations(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(['“', '„', '«', '"', '「']) {
        let open = rest.get(before.len()..).and_then(|text| text.chars().next());
        let close: &[char] = match open {
            Some('«') => &['»'],
            Some('「') => &['」'],
            Some('"') => &['"'],
            _ => &['”', '“'],
        };
        // Without its end, no quotation begins here.
        let Some((quoted, more)) = behind.split_once(close) else {
            kept.push_str(before);
            kept.push(' ');
            rest = behind;
            continue;
        };
        kept.push_str(before);
        kept.push(' ');
        if quoted.chars().nth(QUOTATION).is_none() {
            kept.push_str(quoted);
            kept.push(' ');
        }
        rest = more;
    }
    kept.push_str(rest);
    kept
}

/// Takes a text apart: digits of any script become ASCII, letters lose case and accents, what
/// cannot be seen is left out, and all else parts words.
fn spoken(text: &str) -> Heard {
    let mut heard = Heard { words: String::new(), groups: Vec::new() };
    // Whether the next letter begins a word, and the next digit a group.
    let (mut word_ends, mut group_ends) = (false, true);
    for c in text.chars().filter(|c| !is_unseen(*c)) {
        if let Some(digit) = digit(c) {
            match heard.groups.last_mut() {
                Some(group) if !group_ends => group.push(digit),
                Some(_) | None => heard.groups.push(digit.to_string()),
            }
            (word_ends, group_ends) = (true, false);
        } else if c.is_alphanumeric() || is_sign(c) {
            if word_ends && !heard.words.is_empty() {
                heard.words.push(' ');
            }
            // The lower case of a Turkish capital has an accent of its own.
            let lower = c.to_lowercase().filter(|c| !is_unseen(*c));
            lower.for_each(|c| push_folded(&mut heard.words, c));
            (word_ends, group_ends) = (false, true);
        } else {
            word_ends = true;
        }
    }
    heard
}

/// Adds a letter as lists of words have it: without accents, and one for all of its forms.
fn push_folded(word: &mut String, c: char) {
    let folded = match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ą' | 'ā' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'è' | 'é' | 'ê' | 'ë' | 'ę' | 'ē' => 'e',
        'ğ' => 'g',
        'ì' | 'í' | 'î' | 'ï' | 'ı' | 'ī' => 'i',
        'ł' => 'l',
        'ñ' | 'ń' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' => 'o',
        'ś' | 'ş' | 'š' | 'ș' => 's',
        'ù' | 'ú' | 'û' | 'ü' | 'ū' => 'u',
        'ź' | 'ż' | 'ž' => 'z',
        'أ' | 'إ' | 'آ' | 'ٱ' => 'ا',
        'ى' | 'ی' => 'ي',
        'ة' => 'ه',
        'ک' => 'ك',
        // Candrabindu and anusvara are written for one another.
        '\u{901}' => '\u{902}',
        // Letters with a nukta, which is often left out.
        '\u{958}' => 'क',
        '\u{959}' => 'ख',
        '\u{95a}' => 'ग',
        '\u{95b}' => 'ज',
        '\u{95c}' => 'ड',
        '\u{95d}' => 'ढ',
        '\u{95e}' => 'फ',
        '\u{95f}' => 'य',
        'æ' => return word.push_str("ae"),
        'œ' => return word.push_str("oe"),
        'ß' => return word.push_str("ss"),
        // Full-width Latin.
        'ａ'..='ｚ' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        _ => c,
    };
    word.push(folded);
}

/// The virama of Devanagari, which is in words and is no letter.
const fn is_sign(c: char) -> bool {
    c == '\u{94d}'
}

/// What stands in a word or a code without being read: accents of their own, vowel signs of Arabic,
/// the nukta, apostrophes, and what has no width or only turns the direction.
const fn is_unseen(c: char) -> bool {
    matches!(c,
        '\'' | '’' | '‘' | '`' | '´' | '\u{2bc}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{feff}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{300}'..='\u{36f}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{93c}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e007f}'
        | '\u{1f3fb}'..='\u{1f3ff}')
}

/// The zeros of every decimal script (Unicode general category Nd), each with nine digits behind.
#[rustfmt::skip]
const ZEROS: [u32; 66] = [
    0x0030, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66,
    0x0CE6, 0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946,
    0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0,
    0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0,
    0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50,
    0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140,
    0x1E2F0, 0x1E950, 0x1FBF0,
];

/// The ASCII digit of a decimal digit of any script.
fn digit(c: char) -> Option<char> {
    let zeros = ZEROS.partition_point(|zero| *zero <= u32::from(c));
    let zero = ZEROS.get(zeros.checked_sub(1)?)?;
    char::from_digit(u32::from(c) - zero, 10)
}

#[cfg(test)]
mod tests;
