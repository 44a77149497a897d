//! What calls and texts cost, and how much of it there may be: a price deck, and caps.
//!
//! Money is counted in ten-thousandths of the deck's currency, in whole numbers. What an attempt may cost at
//! most is set aside before it begins, and what it did not cost is given back when it is over; so a cap is
//! never passed, however much begins at once.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::number::{Country, PhoneNumber};
use super::request::Channel;
use crate::ambient::Timestamp;

/// How far back money counts.
pub const DAY: Duration = Duration::from_secs(86_400);

/// How long a call may go on after its verdict, to say goodbye: it is paid as well.
const GOODBYE: Duration = Duration::from_secs(5);

/// Ten-thousandths in one of a currency.
const ONE: u64 = 10_000;

/// The most whole units of an amount that is written.
const MOST: u64 = 999_999_999;

/// So much money, in ten-thousandths of the deck's currency.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Money(u64);

impl Money {
    /// None.
    pub const ZERO: Self = Self(0);

    /// So many ten-thousandths.
    #[must_use]
    pub const fn ten_thousandths(count: u64) -> Self {
        Self(count)
    }

    /// How many ten-thousandths.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0
    }

    /// So many times as much.
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of it.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// How much of another it is: 1 is all. Of nothing, anything is all.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share, for a graph")]
    pub const fn ratio(self, of: Self) -> f64 {
        if of.0 == 0 { 1.0 } else { self.0 as f64 / of.0 as f64 }
    }
}

impl fmt::Display for Money {
    /// With two decimals at least, as `0.50`, and four where they say something.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / ONE, self.0 % ONE);
        if part.is_multiple_of(100) {
            write!(f, "{whole}.{:02}", part / 100)
        } else {
            write!(f, "{whole}.{part:04}")
        }
    }
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an amount with a point and at most four decimals, as \"0.0130\"; at most {MOST}")]
pub struct NoMoney;

impl FromStr for Money {
    type Err = NoMoney;

    fn from_str(text: &str) -> Result<Self, NoMoney> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str, most| {
            (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        if !digits(whole, 9) || !digits(part, 4) {
            return Err(NoMoney);
        }
        let whole: u64 = whole.parse().map_err(|_| NoMoney)?;
        let part: u64 = format!("{part:0<4}").parse().map_err(|_| NoMoney)?;
        Ok(Self(whole * ONE + part))
    }
}

/// A currency: the three capital letters of ISO 4217.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([char; 3]);

/// Why a text is no currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the three capital letters of ISO 4217, as \"EUR\"")]
pub struct NoCurrency;

impl FromStr for Currency {
    type Err = NoCurrency;

    fn from_str(text: &str) -> Result<Self, NoCurrency> {
        let mut letters = text.chars();
        match [letters.next(), letters.next(), letters.next(), letters.next()] {
            [Some(a), Some(b), Some(c), None] if [a, b, c].iter().all(char::is_ascii_uppercase) => {
                Ok(Self([a, b, c]))
            }
            _ => Err(NoCurrency),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = NoCurrency;

    fn try_from(text: String) -> Result<Self, NoCurrency> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.0.iter().collect()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{letter}"))
    }
}

/// What numbers cost, by how they begin: a minute of a call, and a part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deck {
    currency: String,
    prices: HashMap<(Channel, String), Money>,
}

/// What is wrong with one field of a deck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeckError {
    /// Its line, from 1.
    pub line: usize,
    /// Where in it the field begins, in characters from 1.
    pub column: usize,
    /// What is to be written there.
    pub why: String,
}

/// The first line of a deck.
const HEADER: [&str; 3] = ["prefix", "channel", "price"];

impl Deck {
    /// Reads a deck: CSV (RFC 4180) with the header `prefix,channel,price`.
    ///
    /// # Errors
    /// Each field that is wrong.
    pub fn read(currency: &str, text: &str) -> Result<Self, Vec<DeckError>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (mut prices, mut errors) = (HashMap::new(), Vec::new());
        let mut lines: HashMap<(Channel, String), usize> = HashMap::new();
        let mut rows = text.lines().enumerate().map(|(n, line)| (n + 1, line));
        let header = rows.next().map(|(_, line)| fields(line));
        let header = header.unwrap_or_default();
        if !header.iter().map(|(_, name)| *name).eq(HEADER) {
            let why = "the first line names the columns: prefix,channel,price".to_owned();
            errors.push(DeckError { line: 1, column: 1, why });
        }
        for (line, row) in rows.filter(|(_, row)| !row.trim().is_empty()) {
            match one(line, &fields(row)) {
                Ok((key, price)) => {
                    if let Some(first) = lines.insert(key.clone(), line) {
                        let why = format!("line {first} has a price of this prefix and channel");
                        errors.push(DeckError { line, column: 1, why });
                    }
                    prices.insert(key, price);
                }
                Err(error) => errors.push(error),
            }
        }
        if prices.is_empty() && errors.is_empty() {
            let why = "there is no price: write one, as +1,voice,0.0130".to_owned();
            errors.push(DeckError { line: 2, column: 1, why });
        }
        if errors.is_empty() {
            Ok(Self { currency: currency.to_owned(), prices })
        } else {
            Err(errors)
        }
    }

    /// The currency, as ISO 4217 names it.
    #[must_use]
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// How many prices it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.prices.len()
    }

    /// The highest price of a channel, with how its numbers begin; of several the first by their prefix.
    #[must_use]
    pub fn dearest(&self, channel: Channel) -> Option<(&str, Money)> {
        let prices = self.prices.iter().filter(|((of, _), _)| *of == channel);
        let prices = prices.map(|((_, prefix), price)| (prefix.as_str(), *price));
        prices.max_by(|(a, cheap), (b, dear)| cheap.cmp(dear).then_with(|| b.cmp(a)))
    }

    /// Whether it has a price for the ordinary numbers of a country; `None` where none is known.
    #[must_use]
    pub fn covers(&self, country: &Country, channel: Channel) -> Option<bool> {
        let numbers = PhoneNumber::examples(country);
        let prices = || numbers.iter().map(|number| self.price(number, channel));
        (!numbers.is_empty()).then(|| prices().all(|price| price.is_some()))
    }

    /// What a minute or a part of a text to this number costs: the price of the longest prefix.
    #[must_use]
    pub fn price(&self, to: &PhoneNumber, channel: Channel) -> Option<Money> {
        let number = to.expose();
        (1..=number.len()).rev().find_map(|length| {
            let prefix = number.get(..length)?.to_owned();
            self.prices.get(&(channel, prefix)).copied()
        })
    }
}

/// The fields of a line, each with where it begins. What stands in quotes holds no comma here.
fn fields(line: &str) -> Vec<(usize, &str)> {
    let mut column = 1;
    let field = |text| {
        let at = column;
        column += str::chars(text).count() + 1;
        let bare = text.trim();
        let unquoted = bare.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        (at, unquoted.unwrap_or(bare))
    };
    line.split(',').map(field).collect()
}

/// One price.
fn one(line: usize, row: &[(usize, &str)]) -> Result<((Channel, String), Money), DeckError> {
    let [(first, prefix), (second, channel), (third, price)] = row else {
        let column = row.get(3).map_or(1, |(column, _)| *column);
        let why =
            format!("a price has three fields, prefix,channel,price, and here are {}", row.len());
        return Err(DeckError { line, column, why });
    };
    let wrong = |column: &usize, why: String| DeckError { line, column: *column, why };
    let digits = prefix
        .strip_prefix('+')
        .filter(|it| it.len() <= 15 && it.bytes().all(|b| b.is_ascii_digit()));
    if digits.is_none() {
        return Err(wrong(first, "write how numbers begin, as +44; + is all of them".to_owned()));
    }
    let channel = match *channel {
        "voice" => Channel::Voice,
        "sms" => Channel::Sms,
        _ => return Err(wrong(second, "write voice or sms".to_owned())),
    };
    let price = price.parse().map_err(|error: NoMoney| wrong(third, error.to_string()))?;
    Ok(((channel, (*prefix).to_owned()), price))
}

/// What the attempts of one verification cost: the prices of its number when it was begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tariff {
    /// A minute of a call; `None`: the deck has no price.
    pub minute: Option<Money>,
    /// A text, all its parts; `None`: the deck has no price.
    pub text: Option<Money>,
    /// How long a call may last at most, in started minutes.
    pub minutes: u64,
    /// The currency of the prices.
    #[serde(default)]
    pub currency: Option<Currency>,
}

impl Tariff {
    /// What an attempt by this channel may cost at most.
    #[must_use]
    pub fn most(&self, channel: Channel) -> Option<Money> {
        match channel {
            Channel::Voice => self.minute.map(|minute| minute.times(self.minutes)),
            Channel::Sms => self.text,
        }
    }

    /// What an attempt that is over has cost: the minutes that it began, or its text if that may have been
    /// sent.
    #[must_use]
    pub fn cost(&self, attempt: &Attempt, now: Timestamp) -> Money {
        let most = self.most(attempt.channel).unwrap_or_default();
        match attempt.channel {
            Channel::Voice => {
                let Some(answered) = attempt.answered_at else { return Money::ZERO };
                let lasted = attempt.ended_at.unwrap_or(now).since(answered) + GOODBYE;
                self.minute.unwrap_or_default().times(started_minutes(lasted)).min(most)
            }
            Channel::Sms if attempt.call_id.is_some() || attempt.may_have_arrived => most,
            Channel::Sms => Money::ZERO,
        }
    }
}

/// How many minutes are begun in a time.
#[must_use]
pub const fn started_minutes(span: Duration) -> u64 {
    span.as_secs().div_ceil(60)
}

/// How much may be spent: on one attempt, and within 24 hours on one number, by a tenant, and by all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// On one call or text.
    pub call: Option<Money>,
    /// On one number, by a tenant.
    pub number: Option<Money>,
    /// By a tenant.
    pub tenant: Option<Money>,
    /// By all tenants.
    pub day: Option<Money>,
    /// Whether they only count, and tell what they would have refused.
    pub record_only: bool,
}

/// What a cap is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cap {
    /// One call or text.
    Call,
    /// One number.
    Number,
    /// A tenant.
    Tenant,
    /// All tenants.
    Day,
}

impl Cap {
    /// Those that count, the narrowest first.
    pub const COUNTED: [Self; 3] = [Self::Number, Self::Tenant, Self::Day];

    /// Its word in configuration, answers, events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Number => "number",
            Self::Tenant => "tenant",
            Self::Day => "day",
        }
    }
}

impl Caps {
    /// How much it is.
    #[must_use]
    pub const fn of(&self, cap: Cap) -> Option<Money> {
        match cap {
            Cap::Call => self.call,
            Cap::Number => self.number,
            Cap::Tenant => self.tenant,
            Cap::Day => self.day,
        }
    }
}

/// Why there is no money for an attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overspent {
    /// Nobody knows what it costs.
    #[error("the prices have none for {} to {country}: add one to the file of [prices]", .channel.as_str())]
    Unpriced {
        /// By which channel.
        channel: Channel,
        /// Where to.
        country: Country,
    },
    /// It may cost more than a cap leaves.
    #[error("it may cost {cost} {currency}, and the cap by {} ({most} {currency}) leaves {}", .cap.as_str(), .most.less(*.spent))]
    Cap {
        /// Which.
        cap: Cap,
        /// How much it allows.
        most: Money,
        /// How much of that is spent, or set aside.
        spent: Money,
        /// What it may cost.
        cost: Money,
        /// Of which currency.
        currency: String,
        /// When there is money again; `None` for never.
        wait: Option<Duration>,
    },
}

/// The share of a cap, in percent, that a sum has just reached of those that are told: `before` was
/// below it, and with it `spent` is not.
#[must_use]
pub fn reached(most: Money, before: Money, spent: Money) -> Option<u8> {
    let share = |sum: Money, percent: u8| {
        u128::from(sum.0) * 100 >= u128::from(most.0) * u128::from(percent)
    };
    [100, 80, 50].into_iter().find(|&percent| share(spent, percent) && !share(before, percent))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::attempt::AttemptNo;
    use super::super::request::Mode;
    use super::super::route::RouteStep;
    use super::*;

    const DECK: &str = "prefix,channel,price\r\n+1,voice,0.0130\r\n+1,sms,0.0079\r\n\r\n+1415,voice,0.02\n\"+44\", voice ,1\n";

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn money_is_read_and_written_in_whole_ten_thousandths() {
        for (text, count, shown) in [
            ("0.0130", 130, "0.0130"),
            ("0.5", 5_000, "0.50"),
            ("12", 120_000, "12.00"),
            ("999999999.9999", 9_999_999_999_999, "999999999.9999"),
            ("007.10", 71_000, "7.10"),
        ] {
            assert_eq!((money(text).count(), money(text).to_string()), (count, shown.to_owned()));
        }
        for bad in ["", ".5", "1.", "1.00000", "-1", "1,5", "1e3", "9999999999", " 1", "٣"] {
            assert_eq!(bad.parse::<Money>(), Err(NoMoney), "{bad:?}");
        }
    }

    #[test]
    fn a_currency_is_three_capital_letters() {
        let euro: Currency = "EUR".parse().unwrap();
        assert_eq!((euro.to_string(), String::from(euro)), ("EUR".to_owned(), "EUR".to_owned()));
        for bad in ["", "EU", "EURO", "eur", "E1R", "\u{c4}\u{d6}\u{dc}"] {
            assert_eq!(bad.parse::<Currency>(), Err(NoCurrency), "{bad}");
        }
        assert_eq!(serde_json::to_string(&euro).unwrap(), "\"EUR\"");
        assert!(serde_json::from_str::<Currency>("\"euro\"").is_err());
        assert_eq!(money("1.5").plus(money("0.5")), money("2"));
    }

    #[test]
    fn the_longest_prefix_has_the_price() {
        let deck = Deck::read("USD", DECK).unwrap();
        let price = |to: &str, channel| deck.price(&to.parse().unwrap(), channel);
        assert_eq!(price("+12025550100", Channel::Voice), Some(money("0.013")));
        assert_eq!(price("+14155550132", Channel::Voice), Some(money("0.02")));
        assert_eq!(price("+14155550132", Channel::Sms), Some(money("0.0079")));
        assert_eq!(price("+442079460018", Channel::Voice), Some(money("1")));
        assert_eq!(price("+442079460018", Channel::Sms), None);
        assert_eq!(deck.currency(), "USD");
        let all = Deck::read("EUR", "prefix,channel,price\n+,sms,0.1").unwrap();
        assert_eq!(all.price(&"+442079460018".parse().unwrap(), Channel::Sms), Some(money("0.1")));
    }

    #[test]
    fn a_deck_tells_what_it_has() {
        let deck = Deck::read("USD", DECK).unwrap();
        assert_eq!(deck.count(), 4);
        assert_eq!(deck.dearest(Channel::Voice), Some(("+44", money("1"))));
        assert_eq!(deck.dearest(Channel::Sms), Some(("+1", money("0.0079"))));
        let covers = |country: &str, channel| deck.covers(&country.parse().unwrap(), channel);
        assert_eq!(covers("US", Channel::Voice), Some(true));
        assert_eq!(covers("GB", Channel::Voice), Some(true));
        assert_eq!(covers("GB", Channel::Sms), Some(false));
        assert_eq!(covers("DE", Channel::Voice), Some(false));
        assert_eq!(covers("ZZ", Channel::Voice), None);
        let alike =
            Deck::read("USD", "prefix,channel,price\n+2,sms,1\n+1,sms,1\n+3,sms,1").unwrap();
        assert_eq!(alike.dearest(Channel::Sms), Some(("+1", money("1"))));
        assert_eq!(alike.dearest(Channel::Voice), None);
        // Not every operator of it.
        let some = Deck::read("USD", "prefix,channel,price\n+4915,voice,0.1").unwrap();
        assert_eq!(some.covers(&"DE".parse().unwrap(), Channel::Voice), Some(false));
    }

    #[test]
    fn each_mistake_of_a_deck_is_told_with_its_place() {
        let text = "prefix,channel,price\n+1,voice\n1,voice,0.1\n+1,fax,0.1\n+44,sms,cheap\n\
                    +1,voice,0.1\n+1,voice,0.2\n+1,sms,0.1,EUR\nü,sms,1\n+4a,sms,1\n\
                    +1234567890123456,sms,1";
        let errors = Deck::read("USD", text).unwrap_err();
        let places: Vec<_> = errors.iter().map(|it| (it.line, it.column)).collect();
        let wanted = [(2, 1), (3, 1), (4, 4), (5, 9), (7, 1), (8, 12), (9, 1), (10, 1), (11, 1)];
        assert_eq!(places, wanted);
        assert!(errors.iter().any(|it| it.why == "line 6 has a price of this prefix and channel"));
        for text in
            ["", "+1,voice,0.1", "channel,prefix,price\n+1,voice,0.1", "prefix,channel,price\n"]
        {
            assert_eq!(Deck::read("USD", text).unwrap_err().len(), 1, "{text:?}");
        }
    }

    #[test]
    fn each_cap_has_its_word_and_its_own_sum() {
        let [call, number, tenant, day] = ["1", "2", "3", "4"].map(|sum| Some(money(sum)));
        let caps = Caps { call, number, tenant, day, record_only: false };
        for (cap, word, sum) in [
            (Cap::Call, "call", call),
            (Cap::Number, "number", number),
            (Cap::Tenant, "tenant", tenant),
            (Cap::Day, "day", day),
        ] {
            assert_eq!((cap.as_str(), caps.of(cap)), (word, sum));
            assert_eq!(Caps::default().of(cap), None);
        }
        let (most, spent, cost) = (money("3"), money("2.5"), money("0.51"));
        let over = Overspent::Cap {
            cap: Cap::Tenant,
            most,
            spent,
            cost,
            currency: "EUR".into(),
            wait: None,
        };
        assert_eq!(
            over.to_string(),
            "it may cost 0.51 EUR, and the cap by tenant (3.00 EUR) leaves 0.50"
        );
        assert_eq!(spent.less(most), Money::ZERO);
    }

    #[test]
    fn what_did_not_happen_costs_nothing() {
        let at = Timestamp::from_secs;
        let (minute, text) = (Some(money("0.1")), Some(money("0.02")));
        let tariff = Tariff { minute, text, minutes: 2, currency: "EUR".parse().ok() };
        let attempt = |channel| {
            let step = RouteStep { channel, mode: Mode::Confirm, via: "a".to_owned(), stage: 0 };
            Attempt::new(AttemptNo::FIRST, &step, at(0))
        };
        let call = attempt(Channel::Voice);
        assert_eq!(tariff.most(Channel::Voice), Some(money("0.2")));
        assert_eq!(tariff.cost(&call, at(90)), Money::ZERO);
        let lasted = |secs: u64| Attempt {
            answered_at: Some(at(10)),
            ended_at: Some(at(10 + secs)),
            ..call.clone()
        };
        // Goodbye is paid as well.
        for (secs, cost) in [(0, "0.1"), (55, "0.1"), (56, "0.2"), (500, "0.2")] {
            assert_eq!(tariff.cost(&lasted(secs), at(900)), money(cost), "{secs}");
        }
        let text = attempt(Channel::Sms);
        assert_eq!(tariff.cost(&text, at(1)), Money::ZERO);
        let taken = Attempt { call_id: Some(String::new()), ..text.clone() };
        assert_eq!(tariff.cost(&taken, at(1)), money("0.02"));
        let lost = Attempt { may_have_arrived: true, ..text };
        assert_eq!(tariff.cost(&lost, at(1)), money("0.02"));
    }

    proptest! {
        /// However a cap is approached: each share is told once on the way, and the highest that is reached.
        #[test]
        fn each_share_is_told_once_on_the_way_up(most in 1_u64..100_000, steps in prop::collection::vec(1_u64..9_000, 1..80)) {
            let most = Money(most);
            let (mut spent, mut told) = (Money::ZERO, Vec::new());
            for step in steps {
                let after = Money(spent.0 + step).min(most);
                told.extend(reached(most, spent, after));
                spent = after;
            }
            prop_assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
            let highest = [100, 80, 50].into_iter().find(|share| spent.0 * 100 >= most.0 * share);
            prop_assert_eq!(told.last().map(|it| u64::from(*it)), highest);
        }
    }
}
