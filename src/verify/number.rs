//! Phone numbers: E.164 and nothing else, masked wherever they could be seen.

use std::fmt;
use std::str::FromStr;

use rlibphonenumber::{PhoneNumberFormat, PhoneNumberType};

/// A valid number in E.164 form (ITU-T E.164: `+`, country code, subscriber number, at most 15
/// digits).
///
/// `Debug` and `Display` show the country code and the last four digits only, and there is no
/// `Serialize`: whoever needs the digits says [`expose`](Self::expose).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber {
    e164: String,
    country_code: usize,
    country: Country,
    kind: NumberKind,
}

/// An ISO 3166 country, as two capital letters; `001` for numbers of no country.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country(String);

/// What kind of line a number leads to, as far as its digits tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NumberKind {
    /// A fixed line.
    Fixed,
    /// A mobile phone.
    Mobile,
    /// Either: the numbering plan does not tell (United States, Canada and others).
    FixedOrMobile,
    /// A line of a voice-over-IP provider.
    Voip,
    /// Free for the caller.
    TollFree,
    /// Dear for the caller, who shares the income with the called.
    Premium,
    /// Shared cost.
    SharedCost,
    /// A number that follows a person.
    Personal,
    /// A pager.
    Pager,
    /// A universal access number of a company.
    Universal,
    /// The access number of a voice mailbox.
    Voicemail,
    /// The plan does not say.
    Unknown,
}

/// Why a text is not a number that can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not a plus followed by digits only.
    #[error(
        "write it in E.164: a plus, the country code and the number, digits only, as +14155550132"
    )]
    NotE164,
    /// An extension follows the number.
    #[error("write the number alone, and what follows it in the field `extension`")]
    Extension,
    /// Fewer than 8 or more than 15 digits.
    #[error("an E.164 number has 8 to 15 digits")]
    Length,
    /// No such country code, or no number of that form in its country.
    #[error("no such number exists in its country's numbering plan")]
    NotValid,
    /// A trunk prefix (a national `0`) stands behind the country code.
    #[error("leave out the national prefix behind the country code")]
    NationalPrefix,
}

impl PhoneNumber {
    /// The digits, with the plus. Grep for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.e164
    }

    /// A fixed and a mobile number of a country, as its plan has them for examples; none where the country is not
    /// known.
    #[must_use]
    pub fn examples(country: &Country) -> Vec<Self> {
        let plans = &rlibphonenumber::PHONE_NUMBER_UTIL;
        let region =
            plans.get_supported_regions().find(|it| it.as_region_str().to_string() == country.0);
        let kinds = [PhoneNumberType::FixedLine, PhoneNumberType::Mobile];
        let example = |kind| plans.get_example_number_for_type_and_region(region?, kind).ok();
        let examples = kinds.into_iter().filter_map(example);
        let examples = examples.map(|it| it.format_as(PhoneNumberFormat::E164).to_string());
        examples.filter_map(|it| it.parse().ok()).collect()
    }

    /// The country the number belongs to.
    #[must_use]
    pub const fn country(&self) -> &Country {
        &self.country
    }

    /// The kind of line.
    #[must_use]
    pub const fn kind(&self) -> NumberKind {
        self.kind
    }

    /// Country code, stars, and at most the last four digits: `+1******0132`.
    #[must_use]
    pub fn masked(&self) -> String {
        // At least four digits are hidden, however short the number.
        let digits = self.e164.len().saturating_sub(1 + self.country_code);
        let shown = self.e164.len() - digits.saturating_sub(4).min(4);
        self.e164
            .chars()
            .enumerate()
            .map(|(i, c)| if i <= self.country_code || i >= shown { c } else { '*' })
            .collect()
    }
}

impl FromStr for PhoneNumber {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let digits = text.strip_prefix('+').ok_or(NumberError::NotE164)?;
        // RFC 3966: `;ext=`; people write `x204` and `ext. 204`; modems wait at a comma.
        let number = digits.find(|c: char| !c.is_ascii_digit());
        let behind = number.and_then(|at| digits.split_at_checked(at));
        if behind.is_some_and(|(number, rest)| number.len() >= 8 && is_extension(rest)) {
            return Err(NumberError::Extension);
        }
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NumberError::NotE164);
        }
        if !(8..=15).contains(&digits.len()) {
            return Err(NumberError::Length);
        }
        let number: rlibphonenumber::PhoneNumber =
            text.parse().map_err(|_| NumberError::NotValid)?;
        if !number.is_valid() {
            return Err(NumberError::NotValid);
        }
        // The plan may know the number by another spelling; only one spelling is taken, so that
        // one phone has one name in every counter and record.
        if number.format_as(PhoneNumberFormat::E164) != text {
            return Err(NumberError::NationalPrefix);
        }
        let country = number.get_region_code().ok_or(NumberError::NotValid)?;
        Ok(Self {
            e164: text.to_owned(),
            country_code: number.country_code.to_string().len(),
            country: Country(country.as_region_str().to_string()),
            kind: NumberKind::from(number.get_type()),
        })
    }
}

/// Whether what follows the digits of a number is an extension.
fn is_extension(rest: &str) -> bool {
    let rest = rest.trim_start().to_ascii_lowercase();
    [";ext=", "ext", "x", ",", "w", "#"].iter().any(|mark| rest.starts_with(mark))
        && rest.chars().any(|c| c.is_ascii_digit())
}

impl From<PhoneNumberType> for NumberKind {
    fn from(kind: PhoneNumberType) -> Self {
        match kind {
            PhoneNumberType::FixedLine => Self::Fixed,
            PhoneNumberType::Mobile => Self::Mobile,
            PhoneNumberType::FixedLineOrMobile => Self::FixedOrMobile,
            PhoneNumberType::VoIP => Self::Voip,
            PhoneNumberType::TollFree => Self::TollFree,
            PhoneNumberType::PremiumRate => Self::Premium,
            PhoneNumberType::SharedCost => Self::SharedCost,
            PhoneNumberType::PersonalNumber => Self::Personal,
            PhoneNumberType::Pager => Self::Pager,
            PhoneNumberType::UAN => Self::Universal,
            PhoneNumberType::VoiceMail => Self::Voicemail,
            PhoneNumberType::Unknown => Self::Unknown,
        }
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Country {
    /// The two letters, or `001`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Country {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters = text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase());
        if letters || text == "001" {
            Ok(Self(text.to_owned()))
        } else {
            Err("a country is two capital letters of ISO 3166, as \"US\" or \"DE\"")
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a number is kept in a record: in clear, by name (`#[serde(with = "number::stored")]`).
pub mod stored {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::PhoneNumber;

    /// Writes the digits.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(number: &PhoneNumber, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(number.expose())
    }

    /// Reads what [`serialize`] wrote.
    ///
    /// # Errors
    /// When it is not a valid number; the text of the error does not hold it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PhoneNumber, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_number_is_taken_and_masked() {
        let number: PhoneNumber = "+14155550132".parse().unwrap();
        assert_eq!(number.expose(), "+14155550132");
        assert_eq!(number.to_string(), "+1******0132");
        assert_eq!(format!("{number:?}"), "+1******0132");
        assert_eq!(number.country().as_str(), "US");
        let london: PhoneNumber = "+442079460018".parse().unwrap();
        assert_eq!(london.to_string(), "+44******0018");
        assert_eq!(london.kind(), NumberKind::Fixed);
        let island: PhoneNumber = "+29022158".parse().unwrap();
        assert_eq!(island.to_string(), "+290****8");
    }

    #[test]
    fn each_country_has_numbers_for_examples() {
        for country in ["US", "GB", "DE", "JP", "BR"] {
            let country: Country = country.parse().unwrap();
            let examples = PhoneNumber::examples(&country);
            assert!(!examples.is_empty() && examples.iter().all(|it| it.country() == &country));
        }
        assert_eq!(PhoneNumber::examples(&"ZZ".parse().unwrap()), []);
    }

    #[test]
    fn what_is_not_e164_is_refused_with_the_reason() {
        for (text, why) in [
            ("14155550132", NumberError::NotE164),
            ("+1 415 555 0132", NumberError::NotE164),
            ("+1415555CALL", NumberError::NotE164),
            ("+", NumberError::NotE164),
            ("", NumberError::NotE164),
            ("+١٤١٥٥٥٥٠١٣٢", NumberError::NotE164),
            ("+14155550132;ext=204", NumberError::Extension),
            ("+14155550132x204", NumberError::Extension),
            ("+14155550132 ext. 204", NumberError::Extension),
            ("+14155550132,,204", NumberError::Extension),
            // Too short to have an extension; nothing behind the mark; no mark.
            ("+1415x204", NumberError::NotE164),
            ("+14155550132x", NumberError::NotE164),
            ("+14155550132 204", NumberError::NotE164),
            ("+14155550132*", NumberError::NotE164),
            ("+911", NumberError::Length),
            ("+1415555013212345", NumberError::Length),
            ("+112", NumberError::Length),
            ("+1911", NumberError::Length),
            ("+9999999999", NumberError::NotValid),
            ("+11234567890", NumberError::NotValid),
            ("+4402079460018", NumberError::NationalPrefix),
        ] {
            assert_eq!(text.parse::<PhoneNumber>(), Err(why), "{text}");
        }
    }

    /// The ways people and programs spell one number.
    fn spellings(e164: &str, country_code: &str) -> Vec<String> {
        let digits = &e164[1..];
        let national = &digits[country_code.len()..];
        let (first, rest) = national.split_at(3);
        let wide = |text: &str| {
            let wide = |c: char| char::from_u32(c as u32 + 0xfee0).unwrap();
            text.chars().map(|c| if c.is_ascii_digit() || c == '+' { wide(c) } else { c }).collect()
        };
        let arabic = |c: char| char::from_u32(0x660 + c.to_digit(10).unwrap()).unwrap();
        vec![
            e164.to_owned(),
            format!(" {e164}"),
            format!("{e164} "),
            format!("{e164}\n"),
            format!("{e164}\0"),
            digits.to_owned(),
            national.to_owned(),
            format!("0{national}"),
            format!("1{national}"),
            format!("00{digits}"),
            format!("011{digits}"),
            format!("+00{digits}"),
            format!("++{digits}"),
            format!("+{country_code}0{national}"),
            format!("+{country_code}1{national}"),
            format!("+{country_code}(0){national}"),
            format!("+0{digits}"),
            format!("+{country_code} {first} {rest}"),
            format!("+{country_code}-{first}-{rest}"),
            format!("+{country_code}.{first}.{rest}"),
            format!("+{country_code}/{first}/{rest}"),
            format!("+{country_code} ({first}) {rest}"),
            format!("+{country_code}\u{a0}{national}"),
            format!("+{country_code}\u{200b}{national}"),
            format!("+{country_code}\u{202d}{national}\u{202c}"),
            format!("+{country_code}{first}\u{2011}{rest}"),
            wide(e164),
            format!("+{}", wide(digits)),
            format!("+{}", digits.chars().map(arabic).collect::<String>()),
            format!("tel:{e164}"),
            format!("tel:+{country_code}-{first}-{rest}"),
            format!("sip:{e164}@example.com"),
            format!("{e164};phone-context=example.com"),
            format!("{e164};ext=204"),
            format!("{e164}x204"),
            format!("{e164}#204"),
            format!("{e164},,204"),
            format!("{e164}204"),
            format!("{e164}0"),
            format!("{e164}*"),
        ]
    }

    /// What is taken is taken as it stands, and the numbering plan knows no other spelling of it.
    fn must_be_one_phone(e164: &str, spelled: &str) {
        let Ok(taken) = spelled.parse::<PhoneNumber>() else { return };
        assert_eq!(taken.expose(), spelled);
        let plan = |text: &str| text.parse::<rlibphonenumber::PhoneNumber>().unwrap();
        assert_eq!(plan(spelled) == plan(e164), spelled == e164, "{spelled:?}");
    }

    #[test]
    fn however_a_number_is_spelled_it_is_one_number_or_none() {
        for (e164, country_code) in [
            ("+14155550132", "1"),
            ("+442079460018", "44"),
            ("+4915112345678", "49"),
            ("+390612345678", "39"),
            ("+33612345678", "33"),
            ("+5511961234567", "55"),
            ("+525512345678", "52"),
            ("+5491123456789", "54"),
            ("+79123456789", "7"),
            ("+819012345678", "81"),
            ("+85251234567", "852"),
        ] {
            assert_eq!(e164.parse::<PhoneNumber>().unwrap().expose(), e164);
            for spelled in spellings(e164, country_code) {
                must_be_one_phone(e164, &spelled);
            }
        }
        // What was dialled for the same phones before their plans changed, or is dialled at home.
        for former in ["+5215512345678", "+5401123456789", "+4401632960961", "+7809123456789"] {
            assert!(former.parse::<PhoneNumber>().is_err(), "{former}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_put_into_a_number_makes_another_text_of_it_and_no_second_name(
            at in 0_usize..13,
            put in "[ 0-9+().,;x#*/\\-\\u{a0}\\u{200b}\\u{ff10}-\\u{ff19}]{1,4}",
            instead in proptest::bool::ANY,
        ) {
            let e164 = "+4915112345678";
            let (before, after) = e164.split_at(at);
            let after = if instead { after.get(1..).unwrap_or_default() } else { after };
            must_be_one_phone(e164, &format!("{before}{put}{after}"));
        }
    }

    #[test]
    fn a_country_is_two_capital_letters_or_none_at_all() {
        for good in ["US", "DE", "001"] {
            assert_eq!(good.parse::<Country>().unwrap().as_str(), good);
        }
        for bad in ["", "us", "Us", "U", "USA", "U1", "00", "002", "ÄÖ"] {
            assert!(bad.parse::<Country>().is_err(), "{bad}");
        }
    }

    #[test]
    fn dear_kinds_are_told_apart() {
        let premium: PhoneNumber = "+19002345678".parse().unwrap();
        assert_eq!(premium.kind(), NumberKind::Premium);
        let free: PhoneNumber = "+18002345678".parse().unwrap();
        assert_eq!(free.kind(), NumberKind::TollFree);
    }
}
