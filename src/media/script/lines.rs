//! What the dialogue says: the phrases of a pack, and the silence after each.

use std::time::Duration;

use super::question::{Digits, Kind};
use super::settings::Pauses;
use crate::media::prompt::{Pack, PackError, PhraseId};

/// A phrase to be played, and the silence after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The phrase.
    pub phrase: PhraseId,
    /// The silence.
    pub pause: Duration,
    /// Whether it is part of a code: it is played, and nothing tells of it.
    pub secret: bool,
}

impl Line {
    /// A phrase that anybody may know of.
    #[must_use]
    pub const fn plain(phrase: PhraseId, pause: Duration) -> Self {
        Self { phrase, pause, secret: false }
    }
}

/// The phrases of a dialogue about one kind of question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Opens the call.
    pub greeting: PhraseId,
    /// Says which keys to press.
    pub ask: PhraseId,
    /// Leads to another ask after silence.
    pub again: PhraseId,
    /// What was pressed was wrong.
    pub wrong: PhraseId,
    /// Closes: confirmed.
    pub thanks: PhraseId,
    /// Closes: reported as fraud.
    pub fraud: PhraseId,
    /// Closes: not confirmed.
    pub denied: PhraseId,
    /// Closes: nothing was heard.
    pub goodbye: PhraseId,
    /// Closes: something failed.
    pub sorry: PhraseId,
    /// Asks for the key that confirms a report of fraud, where the pack can.
    pub confirm_fraud: Option<PhraseId>,
    /// Says that the PIN will expire soon, where the pack can.
    pub pin_expires: Option<PhraseId>,
    /// What a code is told with, where the question is [`Kind::Code`].
    pub telling: Option<Telling>,
}

/// The phrases that tell a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// Leads to the code.
    pub code_is: PhraseId,
    /// Leads to the code once more.
    pub code_again: PhraseId,
    /// Says goodbye.
    pub code_end: PhraseId,
    /// 0 to 9, as they are said when more follow.
    pub digits: [PhraseId; 10],
    /// 0 to 9, as they are said at the end.
    pub last: [PhraseId; 10],
}

impl Lines {
    /// The lines for a question of this kind as `pack` says them, opening with the greeting of
    /// `brand` if it has one.
    ///
    /// # Errors
    /// Which phrase the pack lacks.
    pub fn of(pack: &Pack, brand: Option<&str>, kind: Kind) -> Result<Self, PackError> {
        let (ask, wrong) = match kind {
            Kind::Confirm => ("ask", "wrong_key"),
            Kind::Pin => ("ask_pin", "wrong_pin"),
            Kind::Match => ("ask_match", "wrong_match"),
            Kind::Code => ("ask_code", "wrong_key"),
        };
        let telling = match kind {
            Kind::Code => Some(Telling::of(pack)?),
            Kind::Confirm | Kind::Pin | Kind::Match => None,
        };
        Ok(Self {
            greeting: pack.greeting(brand)?,
            ask: pack.find(ask)?,
            again: pack.find("again")?,
            wrong: pack.find(wrong)?,
            thanks: pack.find("thanks")?,
            fraud: pack.find("fraud")?,
            denied: pack.find("denied")?,
            goodbye: pack.find("goodbye")?,
            sorry: pack.find("sorry")?,
            confirm_fraud: pack.find("confirm_fraud").ok(),
            pin_expires: pack.find("pin_expires").ok(),
            telling,
        })
    }
}

impl Telling {
    fn of(pack: &Pack) -> Result<Self, PackError> {
        let (mut digits, mut last) = ([None; 10], [None; 10]);
        for (digit, (going_on, at_the_end)) in digits.iter_mut().zip(&mut last).enumerate() {
            let said = pack.find(&format!("digit_{digit}"))?;
            *going_on = Some(said);
            *at_the_end = Some(falling(pack, digit)?);
        }
        let code_is = pack.find("code_is")?;
        Ok(Self {
            code_is,
            code_again: pack.find("code_again")?,
            code_end: pack.find("code_end")?,
            digits: digits.map(|it| it.unwrap_or(code_is)),
            last: last.map(|it| it.unwrap_or(code_is)),
        })
    }

    /// The code twice, digit by digit, and goodbye.
    pub(super) fn of_code(&self, code: &Digits, pauses: &Pauses) -> Vec<Line> {
        let mut lines = Vec::new();
        for leads in [self.code_is, self.code_again] {
            lines.push(Line::plain(leads, pauses.phrase));
            lines.extend(self.once(code, pauses));
            if let Some(last) = lines.last_mut() {
                last.pause = pauses.between_codes;
            }
        }
        lines.push(Line::plain(self.code_end, pauses.phrase));
        lines
    }

    fn once(&self, code: &Digits, pauses: &Pauses) -> impl Iterator<Item = Line> {
        let count = code.expose().count();
        code.expose().enumerate().filter_map(move |(place, digit)| {
            let forms = if place + 1 == count { &self.last } else { &self.digits };
            let group = if place == 2 { pauses.group } else { Duration::ZERO };
            let phrase = *forms.get(usize::from(digit))?;
            Some(Line { phrase, pause: pauses.digit + group, secret: true })
        })
    }
}

/// A language that is offered at the start of a call, and how: "for English, press one".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The dialogue in it.
    pub lines: Lines,
    /// Its name, and that a key is to be pressed.
    pub choose: PhraseId,
    /// The key.
    pub key: PhraseId,
}

impl Offer {
    /// The offer of a language by the key `place`, 1 to 9.
    ///
    /// # Errors
    /// Which phrase the pack lacks.
    pub fn of(pack: &Pack, lines: Lines, place: usize) -> Result<Self, PackError> {
        Ok(Self { lines, choose: pack.find("choose")?, key: falling(pack, place)? })
    }
}

/// A digit as it is said at the end, or, where the pack has no such form, as it is said.
fn falling(pack: &Pack, digit: usize) -> Result<PhraseId, PackError> {
    pack.find(&format!("digit_{digit}_f")).or_else(|_| pack.find(&format!("digit_{digit}")))
}
