//! One template: how it is read and checked, and how it is filled.

use std::borrow::Cow;

use super::{Fill, Kind, LONGEST, TextError, push_inert};

/// A value that a template may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hole {
    Code,
    Brand,
    Minutes,
    Amount,
    Currency,
    Payee,
    Reference,
}

/// A checked template: its pieces, each said in the first of its ways that can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

/// What stands outside brackets, or between one pair of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    /// Whether it may be left out, as what stands in brackets may.
    optional: bool,
    ways: Vec<Vec<Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Plain(String),
    Hole(Hole),
}

/// What can be said.
pub(super) struct Values<'a> {
    fill: &'a Fill<'a>,
    minutes: String,
    amount: Option<Cow<'a, str>>,
}

/// A template while it is read.
struct Reader {
    pieces: Vec<Piece>,
    piece: Piece,
    plain: String,
}

impl Hole {
    const ALL: [Self; 7] = [
        Self::Code,
        Self::Brand,
        Self::Minutes,
        Self::Amount,
        Self::Currency,
        Self::Payee,
        Self::Reference,
    ];

    /// What names a payment: a text that asks for consent to one says all of it.
    const PAYMENT: [Self; 3] = [Self::Amount, Self::Currency, Self::Payee];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Brand => "brand",
            Self::Minutes => "minutes",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Payee => "payee",
            Self::Reference => "reference",
        }
    }
}

impl Template {
    /// Reads a template of one kind.
    pub(super) fn read(kind: Kind, text: &str) -> Result<Self, TextError> {
        if !(1..=LONGEST).contains(&text.chars().count()) || text.trim().is_empty() {
            return Err(TextError::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(TextError::Control);
        }
        let mut reader =
            Reader { pieces: Vec::new(), piece: Piece::new(false), plain: String::new() };
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '{' => {
                    let (name, behind) =
                        rest.as_str().split_once('}').ok_or(TextError::Unbalanced('{'))?;
                    if name.contains(['{', '[', ']']) {
                        return Err(TextError::Unbalanced('{'));
                    }
                    reader.part(Part::Hole(hole(kind, name)?));
                    rest = behind.chars();
                }
                '[' if !reader.piece.optional => reader.piece(true),
                ']' if reader.piece.optional => reader.piece(false),
                '|' if reader.piece.optional => reader.way(),
                '}' | '[' | ']' => return Err(TextError::Unbalanced(c)),
                _ => reader.plain.push(c),
            }
        }
        if reader.piece.optional {
            return Err(TextError::Unbalanced('['));
        }
        reader.piece(false);
        let template = Self(reader.pieces);
        let missing = kind.holes().1.iter().find(|hole| !template.always_names(**hole));
        missing.map_or(Ok(template), |hole| {
            Err(TextError::MissingPlaceholder { name: hole.as_str(), kind: kind.as_str() })
        })
    }

    /// Whether all that it must name is at hand, and whether it names all that this request must
    /// have named.
    pub(super) fn fits(&self, kind: Kind, values: &Values<'_>) -> bool {
        let can = |hole: Hole| values.get(hole).is_some();
        let must = |hole: &Hole| {
            let matters = Hole::PAYMENT.contains(hole) || *hole == Hole::Reference;
            matters && can(*hole) && kind.holes().0.contains(hole)
        };
        let said = |hole: &Hole| self.spoken(values).any(|part| *part == Part::Hole(*hole));
        Hole::ALL.into_iter().all(|hole| can(hole) || !self.always_names(hole))
            && Hole::ALL.iter().filter(|hole| must(hole)).all(said)
    }

    /// The text.
    pub(super) fn render(&self, values: &Values<'_>) -> String {
        let mut text = String::new();
        for part in self.spoken(values) {
            match part {
                Part::Plain(plain) => text.push_str(plain),
                Part::Hole(hole) => push_inert(&mut text, values.get(*hole).unwrap_or_default()),
            }
        }
        text
    }

    /// What is said of it with these values.
    fn spoken(&self, values: &Values<'_>) -> impl Iterator<Item = &Part> {
        self.0.iter().flat_map(|piece| piece.way(values)).flatten()
    }

    /// Whether it holds the value outside brackets.
    fn always_names(&self, hole: Hole) -> bool {
        let bare = self.0.iter().filter(|piece| !piece.optional);
        bare.flat_map(|piece| piece.ways.iter().flatten()).any(|part| *part == Part::Hole(hole))
    }
}

impl Piece {
    fn new(optional: bool) -> Self {
        Self { optional, ways: vec![Vec::new()] }
    }

    /// The way it is said, if it is.
    fn way(&self, values: &Values<'_>) -> Option<&Vec<Part>> {
        let can = |part: &Part| match part {
            Part::Plain(_) => true,
            Part::Hole(hole) => values.get(*hole).is_some(),
        };
        self.ways.iter().find(|way| !self.optional || way.iter().all(can))
    }
}

impl Reader {
    /// Adds a part behind the plain text before it.
    fn part(&mut self, part: Part) {
        self.flush();
        self.push(part);
    }

    /// Begins another way to say the same.
    fn way(&mut self) {
        self.flush();
        self.piece.ways.push(Vec::new());
    }

    /// Ends a piece and begins one.
    fn piece(&mut self, optional: bool) {
        self.flush();
        self.pieces.push(std::mem::replace(&mut self.piece, Piece::new(optional)));
    }

    fn flush(&mut self) {
        if !self.plain.is_empty() {
            let plain = std::mem::take(&mut self.plain);
            self.push(Part::Plain(plain));
        }
    }

    fn push(&mut self, part: Part) {
        if let Some(way) = self.piece.ways.last_mut() {
            way.push(part);
        }
    }
}

impl<'a> Values<'a> {
    /// In a language (BCP 47).
    pub(super) fn new(fill: &'a Fill<'a>, locale: &str) -> Self {
        let amount = fill.transaction.map(|payment| payment.amount_in(locale));
        Self { fill, minutes: fill.minutes.to_string(), amount }
    }

    fn get(&self, hole: Hole) -> Option<&str> {
        let payment = self.fill.transaction;
        match hole {
            Hole::Code => Some(self.fill.code).filter(|code| !code.is_empty()),
            Hole::Brand => self.fill.brand,
            Hole::Minutes => Some(&self.minutes),
            Hole::Amount => self.amount.as_deref(),
            Hole::Currency => payment.map(|payment| payment.currency()),
            Hole::Payee => payment.map(|payment| payment.payee()),
            Hole::Reference => self.fill.reference,
        }
    }
}

/// The value of that name, if texts of this kind have it.
fn hole(kind: Kind, name: &str) -> Result<Hole, TextError> {
    let (known, _) = kind.holes();
    known.iter().copied().find(|hole| hole.as_str() == name).ok_or_else(|| {
        let known: Vec<String> =
            known.iter().map(|hole| format!("{{{}}}", hole.as_str())).collect();
        let name = name.to_owned();
        TextError::UnknownPlaceholder { name, kind: kind.as_str(), known: known.join(", ") }
    })
}
