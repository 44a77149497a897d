//! A payment that a person is asked to agree to: how much, of which currency, to whom.
//!
//! It has one form, however it was written: what was started with `49.9` is what is checked with
//! `49.90`. A code and a verdict are bound to that form; anything else in it is another payment.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Deserialize, Serialize};

/// What two spellings of a payee that look alike become alike by (Unicode, Normalization Form C).
const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();

/// The currencies whose minor unit is not a hundredth, by how many decimals they have (ISO 4217).
const DECIMALS: [(usize, &str); 3] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

/// The languages that write a comma before decimals (CLDR), of those that are written.
const COMMA: &str = "af be bg ca cs da de el es et eu fi fr gl hr hu hy id is it ka kk lt lv mk nb nl nn no pl pt \
                     ro ru sk sl sq sr sv tr uk uz vi";

/// Where one of those is spoken and a point is written: Spanish from Mexico to Panama, in the
/// Dominican Republic, Puerto Rico, Peru and the United States; Swiss German and Italian.
const POINT: &str =
    "es-419 es-mx es-us es-gt es-hn es-sv es-ni es-pa es-do es-pr es-pe de-ch de-li it-ch";

/// A payment in its one form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Transaction {
    amount: String,
    currency: String,
    payee: String,
}

/// A payment as written, not yet checked.
#[derive(Deserialize)]
struct Written {
    amount: String,
    currency: String,
    payee: String,
}

/// Which part of a payment is not well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// The amount.
    #[error("an amount is 1 to 12 digits, and 1 to 4 behind a point, as \"129.90\"")]
    Amount,
    /// The currency.
    #[error("a currency is the three letters of ISO 4217, as \"EUR\"")]
    Currency,
    /// The payee.
    #[error("a payee is 1 to 32 letters, digits, spaces or . - & '")]
    Payee,
}

impl Transaction {
    /// A payment, when all of it is well formed.
    ///
    /// # Errors
    /// With the first part that is not.
    pub fn new(amount: &str, currency: &str, payee: &str) -> Result<Self, TransactionError> {
        let (whole, decimals) = amount.split_once('.').unwrap_or((amount, "0"));
        if !(is_digits(whole, 12) && is_digits(decimals, 4)) {
            return Err(TransactionError::Amount);
        }
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(TransactionError::Currency);
        }
        let currency = currency.to_ascii_uppercase();
        let payee = NFC.normalize(payee.trim());
        // The characters of a brand: inert wherever they are shown.
        let allowed = |c: char| c.is_alphanumeric() || " .-&'".contains(c);
        if !(1..=32).contains(&payee.chars().count()) || !payee.chars().all(allowed) {
            return Err(TransactionError::Payee);
        }
        let amount = amount_of(whole, decimals, minor_unit(&currency));
        Ok(Self { amount, currency, payee: payee.into_owned() })
    }

    /// How much, with a point before the decimals, and with as many of them as the currency has; with
    /// more where more of them are not zero.
    #[must_use]
    pub fn amount(&self) -> &str {
        &self.amount
    }

    /// How much, as it is written in a language (BCP 47): with its sign before the decimals. Digits
    /// stand in no groups: what one language writes between them is another's sign for decimals.
    #[must_use]
    pub fn amount_in(&self, locale: &str) -> Cow<'_, str> {
        let locale = locale.to_ascii_lowercase();
        let language = locale.split('-').next().unwrap_or_default();
        let is_in = |list: &str, tag: &str| list.split(' ').any(|it| it == tag);
        if is_in(COMMA, language) && !is_in(POINT, &locale) {
            return Cow::Owned(self.amount.replace('.', ","));
        }
        Cow::Borrowed(&self.amount)
    }

    /// The three letters of ISO 4217, capitals.
    #[must_use]
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Who gets it.
    #[must_use]
    pub fn payee(&self) -> &str {
        &self.payee
    }
}

impl TryFrom<Written> for Transaction {
    type Error = TransactionError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        Self::new(&written.amount, &written.currency, &written.payee)
    }
}

/// An amount without zeros that say nothing, and with those that the currency wants.
fn amount_of(whole: &str, decimals: &str, least: usize) -> String {
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let decimals = decimals.trim_end_matches('0');
    if decimals.is_empty() && least == 0 {
        return whole.to_owned();
    }
    format!("{whole}.{decimals:0<least$}")
}

/// How many decimals a currency has.
fn minor_unit(currency: &str) -> usize {
    let listed = DECIMALS.iter().find(|(_, list)| list.split(' ').any(|it| it == currency));
    listed.map_or(2, |(decimals, _)| *decimals)
}

/// One to `most` ASCII digits.
fn is_digits(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amount(amount: &str, currency: &str) -> String {
        Transaction::new(amount, currency, "Bo").unwrap().amount().to_owned()
    }

    #[test]
    fn a_payment_has_one_form_however_it_is_written() {
        for written in ["49.9", "49.90", "049.900", "49.9000"] {
            assert_eq!(amount(written, "eur"), "49.90");
        }
        for (written, currency, is) in [
            ("0", "EUR", "0.00"),
            ("00.5", "USD", "0.50"),
            ("1.459", "EUR", "1.459"),
            ("5000", "JPY", "5000"),
            ("5000.00", "JPY", "5000"),
            ("1.5", "KWD", "1.500"),
            ("100", "EUR", "100.00"),
        ] {
            assert_eq!(amount(written, currency), is);
        }
        let composed = Transaction::new("1", "EUR", "M\u{fc}ller").unwrap();
        assert_eq!(Transaction::new("1", "eUr", " Mu\u{308}ller ").unwrap(), composed);
        assert_eq!(composed.payee(), "M\u{fc}ller");
    }

    #[test]
    fn a_payment_is_checked_part_by_part() {
        for amount in ["0", "1", "129.90", "123456789012.1234", "1.5"] {
            assert!(Transaction::new(amount, "EUR", "Bo").is_ok(), "{amount}");
        }
        for amount in
            ["", ".", "1.", ".5", "1.12345", "1234567890123", "1,5", "-1", "1.2.3", "١", "1e3"]
        {
            let error = Transaction::new(amount, "EUR", "Bo").unwrap_err();
            assert_eq!(error, TransactionError::Amount, "{amount}");
        }
        for currency in ["", "EU", "EURO", "E1R", "€"] {
            let error = Transaction::new("1", currency, "Bo").unwrap_err();
            assert_eq!(error, TransactionError::Currency, "{currency}");
        }
        let long = "x".repeat(33);
        for payee in ["", "  ", "a\nb", "<b>", "a;b", "{code}", "@x", "q\u{308}", &long] {
            let error = Transaction::new("1", "EUR", payee).unwrap_err();
            assert_eq!(error, TransactionError::Payee, "{payee}");
        }
    }

    #[test]
    fn it_is_checked_when_it_is_read_too() {
        let text = r#"{"amount":"129.90","currency":"EUR","payee":"Blue Bikes"}"#;
        let read: Transaction = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        let bad = text.replace("EUR", "euro");
        let error = serde_json::from_str::<Transaction>(&bad).unwrap_err();
        assert!(error.to_string().contains("three letters"), "{error}");
    }

    #[test]
    fn an_amount_is_written_as_the_language_writes_it() {
        let payment = Transaction::new("1234.5", "EUR", "Bo").unwrap();
        for (locale, is) in [
            ("en-US", "1234.50"),
            ("de-DE", "1234,50"),
            ("de-CH", "1234.50"),
            ("es", "1234,50"),
            ("es-MX", "1234.50"),
            ("pt-BR", "1234,50"),
            ("ja", "1234.50"),
            ("", "1234.50"),
        ] {
            assert_eq!(payment.amount_in(locale), is, "{locale}");
        }
    }

    proptest! {
        /// The form is a form: written again it is the same, and no two amounts become one.
        #[test]
        fn the_one_form_is_kept(whole in 0_u64..1_000_000_000_000, decimals in 0_u32..10_000) {
            let payment = Transaction::new(&format!("{whole}.{decimals:04}"), "EUR", "Bo").unwrap();
            prop_assert_eq!(&amount(payment.amount(), "EUR"), payment.amount());
            let (w, d) = payment.amount().split_once('.').unwrap();
            prop_assert_eq!(w.parse::<u64>().unwrap(), whole);
            prop_assert_eq!(format!("{d:0<4}").parse::<u32>().unwrap(), decimals);
        }
    }
}
