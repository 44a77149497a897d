//! A text as the parts that carry it.

use std::fmt;

use zeroize::Zeroizing;

use super::Alphabet;
use super::pdu::class;
use crate::verify::gsm;

/// `data_coding` of the centre's default alphabet (5.2.19).
const DEFAULT: u8 = 0;
/// `data_coding` of ISO 8859-1.
const LATIN_1: u8 = 3;
/// `data_coding` of UCS-2.
const UCS_2: u8 = 8;

/// One `submit_sm` of a text.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// 0, or `0x40` where the message begins with a user data header (5.2.12).
    pub esm_class: u8,
    /// How the message is written (5.2.19).
    pub data_coding: u8,
    /// `short_message`: at most 254 octets (5.2.22).
    pub message: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Part(esm_class {:#04x}, data_coding {}, {} octets)",
            self.esm_class,
            self.data_coding,
            self.message.len()
        )
    }
}

/// The text takes more than 255 parts, which no header can number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is too long for 255 parts")]
pub struct TooLong;

/// The parts of a text: one where it fits, else each with a user data header that has an 8-bit
/// reference (3GPP TS 23.040 section 9.2.3.24.1), the same in all.
///
/// # Errors
/// When there would be more than 255.
pub fn plan(text: &str, alphabet: Alphabet, reference: u8) -> Result<Vec<Part>, TooLong> {
    let (data_coding, mut messages) = encode(text, alphabet);
    if messages.len() <= 1 {
        let message = messages.pop().unwrap_or_default();
        return Ok(vec![Part { esm_class: 0, data_coding, message }]);
    }
    let total = u8::try_from(messages.len()).map_err(|_| TooLong)?;
    let part = |(number, text): (u8, Zeroizing<Vec<u8>>)| {
        let mut message = Zeroizing::new(Vec::with_capacity(6 + text.len()));
        message.extend_from_slice(&[5, 0, 3, reference, total, number]);
        message.extend_from_slice(&text);
        Part { esm_class: class::HEADER, data_coding, message }
    };
    Ok((1..=total).zip(messages).map(part).collect())
}

/// `data_coding`, and the octets of each part.
fn encode(text: &str, alphabet: Alphabet) -> (u8, Vec<Zeroizing<Vec<u8>>>) {
    let written = match alphabet {
        Alphabet::Gsm7 => default_alphabet(text),
        Alphabet::Latin1 => latin1(text),
        Alphabet::Ucs2 => None,
    };
    written.unwrap_or_else(|| {
        let pieces = pieces(text, gsm::UCS2_SINGLE, gsm::UCS2_PART, char::len_utf16);
        (UCS_2, pieces.iter().map(|piece| Zeroizing::new(gsm::ucs2(piece))).collect())
    })
}

fn default_alphabet(text: &str) -> Option<(u8, Vec<Zeroizing<Vec<u8>>>)> {
    let (encoding, pieces) = gsm::split(text);
    let pieces: Vec<_> = pieces.into_iter().map(Zeroizing::new).collect();
    match encoding {
        gsm::Encoding::Gsm7 => {
            let written: Option<_> =
                pieces.iter().map(|piece| gsm::septets(piece).map(Zeroizing::new)).collect();
            Some((DEFAULT, written?))
        }
        gsm::Encoding::Ucs2 => {
            Some((UCS_2, pieces.iter().map(|piece| Zeroizing::new(gsm::ucs2(piece))).collect()))
        }
    }
}

/// `None` where a character is not of ISO 8859-1.
fn latin1(text: &str) -> Option<(u8, Vec<Zeroizing<Vec<u8>>>)> {
    let octets = |piece: &Zeroizing<String>| {
        let octets: Option<Vec<u8>> = piece.chars().map(|c| u8::try_from(c).ok()).collect();
        octets.map(Zeroizing::new)
    };
    let pieces = pieces(text, gsm::OCTETS, gsm::OCTETS - gsm::HEADER_OCTETS, |_| 1);
    let written: Option<_> = pieces.iter().map(octets).collect();
    Some((LATIN_1, written?))
}

/// A text whole, where it has at most `one` units; else in pieces of at most `many`.
fn pieces(text: &str, one: usize, many: usize, units: fn(char) -> usize) -> Vec<Zeroizing<String>> {
    if text.chars().map(units).sum::<usize>() <= one {
        return vec![Zeroizing::new(text.to_owned())];
    }
    let mut pieces = Vec::new();
    let (mut piece, mut used) = (Zeroizing::new(String::new()), 0);
    for c in text.chars() {
        if used + units(c) > many {
            pieces.push(std::mem::take(&mut piece));
            used = 0;
        }
        piece.push(c);
        used += units(c);
    }
    pieces.push(piece);
    pieces
}
