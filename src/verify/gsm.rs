//! How a text goes on the air: the GSM 7-bit default alphabet, UCS-2, and where a long text breaks.
//!
//! 3GPP TS 23.038 gives the alphabets, 3GPP TS 23.040 the room in a message. One character outside
//! the alphabet makes the whole text UCS-2, which more than halves the room and so doubles the
//! price.

/// Octets in the user data of one message (3GPP TS 23.040, 9.2.3.24).
pub const OCTETS: usize = 140;

/// Octets that the header of a part takes: its length, and the element "concatenated short
/// messages, 8-bit reference number" (3GPP TS 23.040, 9.2.3.24.1).
pub const HEADER_OCTETS: usize = 6;

/// Septets in a text of one part (3GPP TS 23.040, 9.2.3.16; TS 23.038, 6.1.2.1): 160.
pub const GSM7_SINGLE: usize = OCTETS * 8 / 7;

/// Septets in each part of a longer text: 153.
pub const GSM7_PART: usize = (OCTETS - HEADER_OCTETS) * 8 / 7;

/// UTF-16 units in a text of one part (3GPP TS 23.038, 6.2.3): 70.
pub const UCS2_SINGLE: usize = OCTETS / 2;

/// UTF-16 units in each part of a longer text: 67.
pub const UCS2_PART: usize = (OCTETS - HEADER_OCTETS) / 2;

/// The septet that takes the next one from the extension table (3GPP TS 23.038, 6.2.1.1).
const ESCAPE: u8 = 0x1B;

/// The default alphabet by code (3GPP TS 23.038, 6.2.1). The escape stands at its own place.
#[rustfmt::skip]
const BASIC: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å',
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{1b}', 'Æ', 'æ', 'ß', 'É',
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/',
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?',
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O',
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§',
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
];

/// The extension table (3GPP TS 23.038, 6.2.1.1): the code behind the escape, and its character.
const EXTENSION: [(u8, char); 10] = [
    (0x0A, '\u{c}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2F, '\\'),
    (0x3C, '['),
    (0x3D, '~'),
    (0x3E, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

/// How the characters of a text are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The default alphabet: a septet a character, two for one of the extension table.
    Gsm7,
    /// UTF-16, big endian: two octets a unit. The standard says UCS-2; every phone reads surrogate
    /// pairs.
    Ucs2,
}

/// What a text takes on the air, and so what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// How it is written.
    pub encoding: Encoding,
    /// Septets or UTF-16 units of the text, headers not counted.
    pub units: usize,
    /// Parts; an empty text is one.
    pub count: usize,
}

/// What `text` takes on the air.
#[must_use]
pub fn segments(text: &str) -> Segments {
    let (encoding, parts) = split(text);
    let units = text.chars().map(|c| cost(c, encoding)).sum();
    Segments { encoding, units, count: parts.len() }
}

/// The parts of `text` as they go on the wire: one, or as many as each leave room for the header.
/// An escape stays with its character and a surrogate pair stays together.
#[must_use]
pub fn split(text: &str) -> (Encoding, Vec<String>) {
    let encoding = encoding(text);
    let (single, each) = match encoding {
        Encoding::Gsm7 => (GSM7_SINGLE, GSM7_PART),
        Encoding::Ucs2 => (UCS2_SINGLE, UCS2_PART),
    };
    if text.chars().map(|c| cost(c, encoding)).sum::<usize>() <= single {
        return (encoding, vec![text.to_owned()]);
    }
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut taken = 0;
    for c in text.chars() {
        let more = cost(c, encoding);
        if taken + more > each {
            parts.push(std::mem::take(&mut part));
            taken = 0;
        }
        part.push(c);
        taken += more;
    }
    parts.push(part);
    (encoding, parts)
}

/// `text` in the default alphabet, one septet a byte and not packed; `None` when a character is in
/// neither table.
#[must_use]
pub fn septets(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        let (escaped, code) = code(c)?;
        if escaped {
            out.push(ESCAPE);
        }
        out.push(code);
    }
    Some(out)
}

/// The text of septets that are one a byte. What no table knows is read as the standard asks of a
/// phone: a code behind an escape by the default alphabet, a second escape as a space. A byte that
/// is no septet becomes U+FFFD.
#[must_use]
pub fn unpack(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut bytes = bytes.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != ESCAPE {
            out.push(basic(byte));
            continue;
        }
        let extended = bytes.next().map_or(' ', |behind| {
            let known = EXTENSION.iter().find(|(code, _)| *code == behind);
            known.map_or_else(|| basic(behind), |(_, c)| *c)
        });
        out.push(extended);
    }
    out
}

/// `text` as UTF-16, big endian.
#[must_use]
pub fn ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// The text of big-endian UTF-16; a lone surrogate or a lone last octet becomes U+FFFD.
#[must_use]
pub fn from_ucs2(bytes: &[u8]) -> String {
    let (units, rest) = bytes.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_be_bytes(*unit));
    let text = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
    text.chain(rest.iter().map(|_| char::REPLACEMENT_CHARACTER)).collect()
}

/// The narrowest way to write `text`.
fn encoding(text: &str) -> Encoding {
    if text.chars().all(|c| code(c).is_some()) { Encoding::Gsm7 } else { Encoding::Ucs2 }
}

/// The units that one character takes.
fn cost(c: char, encoding: Encoding) -> usize {
    match encoding {
        Encoding::Gsm7 => code(c).map_or(0, |(escaped, _)| 1 + usize::from(escaped)),
        Encoding::Ucs2 => c.len_utf16(),
    }
}

/// Whether `c` needs the escape, and its code.
fn code(c: char) -> Option<(bool, u8)> {
    if let Some((code, _)) = EXTENSION.iter().find(|(_, known)| *known == c) {
        return Some((true, *code));
    }
    // The escape is no character: a text that holds one is not of this alphabet.
    let at = BASIC.iter().position(|known| *known == c && c != '\u{1b}')?;
    Some((false, u8::try_from(at).ok()?))
}

/// The character of a code of the default alphabet.
fn basic(code: u8) -> char {
    match code {
        ESCAPE => ' ',
        _ => BASIC.get(usize::from(code)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str) -> (Encoding, usize, usize) {
        let segments = segments(text);
        (segments.encoding, segments.units, segments.count)
    }

    #[test]
    fn the_limits_are_those_of_the_standard() {
        assert_eq!((GSM7_SINGLE, GSM7_PART, UCS2_SINGLE, UCS2_PART), (160, 153, 70, 67));
    }

    #[test]
    fn every_code_of_both_tables_is_read_as_it_was_written() {
        for code in (0..128u8).filter(|code| *code != ESCAPE) {
            let text = unpack(&[code]);
            assert_eq!(text.chars().count(), 1, "{code:#04x}");
            assert_eq!(septets(&text), Some(vec![code]), "{text:?}");
        }
        for (code, c) in EXTENSION {
            assert_eq!(unpack(&[ESCAPE, code]), c.to_string());
            assert_eq!(septets(&c.to_string()), Some(vec![ESCAPE, code]), "{c:?}");
        }
        let mut all: Vec<char> = BASIC.iter().copied().chain(EXTENSION.map(|(_, c)| c)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 138);
    }

    #[test]
    fn letters_stand_where_the_standard_puts_them() {
        for (code, c) in [
            (0x00, '@'),
            (0x09, 'Ç'),
            (0x0A, '\n'),
            (0x10, 'Δ'),
            (0x1F, 'É'),
            (0x20, ' '),
            (0x24, '¤'),
            (0x40, '¡'),
            (0x41, 'A'),
            (0x5F, '§'),
            (0x60, '¿'),
            (0x61, 'a'),
            (0x7F, 'à'),
        ] {
            assert_eq!(unpack(&[code]), c.to_string(), "{code:#04x}");
        }
    }

    #[test]
    fn what_is_in_neither_table_is_not_gsm() {
        for text in ["ç", "í", "ą", "`", "’", "\u{1b}", "\t", "日", "🙂", "é\u{301}", "\u{a0}"]
        {
            assert_eq!(septets(text), None, "{text:?}");
            assert_eq!(segments(text).encoding, Encoding::Ucs2, "{text:?}");
        }
        assert_eq!(septets(""), Some(Vec::new()));
    }

    #[test]
    fn a_longer_text_loses_seven_septets_in_each_part() {
        assert_eq!(counted(""), (Encoding::Gsm7, 0, 1));
        assert_eq!(counted(&"a".repeat(160)), (Encoding::Gsm7, 160, 1));
        assert_eq!(counted(&"a".repeat(161)), (Encoding::Gsm7, 161, 2));
        assert_eq!(counted(&"a".repeat(306)), (Encoding::Gsm7, 306, 2));
        assert_eq!(counted(&"a".repeat(307)), (Encoding::Gsm7, 307, 3));
    }

    #[test]
    fn a_longer_text_loses_three_units_in_each_part() {
        assert_eq!(counted(&"日".repeat(70)), (Encoding::Ucs2, 70, 1));
        assert_eq!(counted(&"日".repeat(71)), (Encoding::Ucs2, 71, 2));
        assert_eq!(counted(&"日".repeat(134)), (Encoding::Ucs2, 134, 2));
        assert_eq!(counted(&"日".repeat(135)), (Encoding::Ucs2, 135, 3));
    }

    #[test]
    fn a_euro_sign_takes_two_septets_and_is_never_torn() {
        assert_eq!(counted("€"), (Encoding::Gsm7, 2, 1));
        assert_eq!(counted(&"€".repeat(80)), (Encoding::Gsm7, 160, 1));
        assert_eq!(counted(&"€".repeat(81)), (Encoding::Gsm7, 162, 2));
        // 152 septets, then one that would be torn: it moves on, and 153 pairs take three parts.
        let (_, parts) = split(&format!("{}€{}", "a".repeat(152), "b".repeat(20)));
        assert_eq!(parts, ["a".repeat(152), format!("€{}", "b".repeat(20))]);
        assert_eq!(segments(&"€".repeat(153)).count, 3);
    }

    #[test]
    fn an_emoji_takes_two_units_and_is_never_torn() {
        assert_eq!(counted("🙂"), (Encoding::Ucs2, 2, 1));
        assert_eq!(counted(&"🙂".repeat(35)), (Encoding::Ucs2, 70, 1));
        assert_eq!(counted(&"🙂".repeat(36)), (Encoding::Ucs2, 72, 2));
        // 33 pairs fill 66 of 67 units; the last unit stays empty.
        assert_eq!(segments(&"🙂".repeat(67)).count, 3);
        let (_, parts) = split(&"🙂".repeat(36));
        assert_eq!(parts.iter().map(|part| part.chars().count()).collect::<Vec<_>>(), [33, 3]);
    }

    #[test]
    fn the_parts_are_the_text_and_each_has_room() {
        for seed in ["a€", "日🙂a", "[b]", "e\u{301}", "\r\n", "شكرا "] {
            for length in [1, 33, 34, 35, 66, 67, 76, 77, 80, 81, 152, 153, 154, 160, 161, 400] {
                let text: String = seed.chars().cycle().take(length).collect();
                let (encoding, parts) = split(&text);
                assert_eq!(parts.concat(), text);
                assert_eq!(parts.len(), segments(&text).count);
                let fits = |part: &String| match encoding {
                    Encoding::Gsm7 => septets(part).unwrap().len() <= GSM7_PART,
                    Encoding::Ucs2 => ucs2(part).len() / 2 <= UCS2_PART,
                };
                assert!(parts.len() == 1 || parts.iter().all(fits), "{text}");
                assert!(parts.iter().all(|part| !part.is_empty()));
            }
        }
    }

    #[test]
    fn an_escape_to_nowhere_is_read_as_the_standard_asks() {
        assert_eq!(unpack(&[ESCAPE, 0x41]), "A");
        assert_eq!(unpack(&[ESCAPE, ESCAPE, 0x41]), " A");
        assert_eq!(unpack(&[0x41, ESCAPE]), "A ");
        assert_eq!(unpack(&[0x80, 0xFF]), "\u{fffd}\u{fffd}");
        assert_eq!(unpack(&[]), "");
    }

    #[test]
    fn utf_16_is_read_as_it_was_written_and_torn_pairs_are_seen() {
        for text in ["", "a", "日本", "🙂", "a🙂ب", "\u{feff}x"] {
            assert_eq!(from_ucs2(&ucs2(text)), text);
        }
        assert_eq!(ucs2("A€🙂"), [0x00, 0x41, 0x20, 0xAC, 0xD8, 0x3D, 0xDE, 0x42]);
        assert_eq!(from_ucs2(&[0xD8, 0x3D, 0x00, 0x41]), "\u{fffd}A");
        assert_eq!(from_ucs2(&[0x00, 0x41, 0x00]), "A\u{fffd}");
        assert_eq!(from_ucs2(&[0xFF]), "\u{fffd}");
    }
}
