//! Who calls, and how a carrier wants numbers written.

use toml::Spanned;

use super::entry::Entry;
use crate::config::complaint::{did_you_mean, quoted};
use crate::config::raw::{self, Either, Hidden};
use crate::config::secret;
use crate::gateway::settings::{Asserted, Identity, NumberFormat};
use crate::verify::number::PhoneNumber;

/// Headers that a trunk may be sent, besides those that begin with `X-`.
const HEADERS: &[&str] = &[
    "Call-Info",
    "Diversion",
    "History-Info",
    "Identity",
    "Organization",
    "P-Access-Network-Info",
    "P-Charge-Info",
    "Priority",
    "Remote-Party-ID",
    "Subject",
];

/// The longest value of such a header, in bytes: an Identity with its certificate's address and
/// signature takes a few hundred.
const LONGEST: usize = 2048;

pub(super) fn identity(entry: &mut Entry<'_, '_>, raw: &raw::Trunk) -> Identity {
    let words = [
        ("no", Asserted::No),
        ("asserted", Asserted::Asserted),
        ("preferred", Asserted::Preferred),
    ];
    let asserted = entry.word("asserted", raw.asserted.as_ref(), &words).unwrap_or_default();
    let private = raw.private.as_ref().is_some_and(|it| *it.get_ref());
    let format = number_format(entry, raw.number_format.as_ref());
    if let (Some(written), None, true) = (&raw.asserted, &raw.caller_id, asserted != Asserted::No) {
        let message = "there is no number to assert: write caller_id = \"+…\"";
        entry.wrong("asserted", written, Some(quoted(written.get_ref())), message);
    }
    if let (Some(written), true, Asserted::No) = (&raw.private, private, asserted) {
        let message = "nothing tells the carrier who calls, and many refuse that: write asserted = \
                       \"asserted\", or \"preferred\" where the carrier says so";
        entry.doubtful("private", written, Some("true".to_owned()), message);
    }
    let headers = raw.headers.iter();
    Identity {
        caller_id: caller_id(entry, raw.caller_id.as_ref(), &format),
        domain: raw.from_domain.as_ref().and_then(|it| entry.host("from_domain", it)),
        contact_host: raw.contact_host.as_ref().and_then(|it| entry.host("contact_host", it)),
        user_phone: raw.user_phone,
        headers: headers.filter_map(|(name, value)| header(entry, name, value)).collect(),
        format,
        asserted,
        private,
    }
}

fn caller_id(
    entry: &mut Entry<'_, '_>,
    written: Option<&Spanned<String>>,
    format: &NumberFormat,
) -> Option<String> {
    let written = written?;
    let text = written.get_ref();
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+*._-".contains(&b));
    let digits = text.len() >= 8 && text.bytes().all(|b| b.is_ascii_digit());
    if !fits {
        let message = "write the number that is shown to the called person, in E.164 as \
                       +12025550100 or as the carrier wants it: letters, digits, + * . _ -";
        entry.wrong("caller_id", written, Some(quoted(text)), message);
        return None;
    }
    if text.starts_with('+')
        && let Err(why) = text.parse::<PhoneNumber>()
    {
        let message = format!("carriers refuse callers that do not exist: {why}");
        entry.doubtful("caller_id", written, Some(quoted(text)), message);
    } else if digits && *format == NumberFormat::E164 {
        let message = "called numbers are written with a plus here, and this one is not: write it \
                       in E.164, as +12025550100, and number_format as the carrier wants both";
        entry.doubtful("caller_id", written, Some(quoted(text)), message);
    }
    Some(text.clone())
}

fn number_format(
    entry: &mut Entry<'_, '_>,
    written: Option<&Spanned<Either<String, raw::NumberFormat>>>,
) -> NumberFormat {
    let Some(written) = written else { return NumberFormat::E164 };
    match written.get_ref() {
        Either::Plain(word) => match word.as_str() {
            "e164" => NumberFormat::E164,
            "digits" => NumberFormat::Digits,
            other => {
                let hint = did_you_mean(other, ["e164", "digits"]);
                let message = format!(
                    "write \"e164\", \"digits\", {{ country = \"49\", trunk_prefix = \"0\", \
                     international = \"00\" }} or {{ prefix = \"9011\" }}{hint}"
                );
                entry.wrong("number_format", written, Some(quoted(other)), message);
                NumberFormat::E164
            }
        },
        Either::Table(table) => {
            let raw::NumberFormat { country, trunk_prefix, international, prefix } = table;
            let national = [country, trunk_prefix, international];
            match (prefix, national.iter().any(|it| it.is_some())) {
                (Some(prefix), false) => {
                    let fitting = "write 1 to 16 digits, * or #, as 9011";
                    let prefix =
                        dialled(entry, "prefix", Some(prefix), fitting, 1..=16, b"0123456789*#");
                    prefix.map_or(NumberFormat::E164, NumberFormat::Prefixed)
                }
                (None, true) => self::national(entry, table).unwrap_or_default(),
                (Some(_), true) | (None, false) => {
                    let message = "write { country = \"49\", trunk_prefix = \"0\", international = \
                                   \"00\" }, or { prefix = \"9011\" } alone";
                    entry.wrong("number_format", written, None, message);
                    NumberFormat::E164
                }
            }
        }
    }
}

fn national(entry: &mut Entry<'_, '_>, table: &raw::NumberFormat) -> Option<NumberFormat> {
    let digits = b"0123456789";
    let country = "write the calling code of the trunk's country, 1 to 3 digits, as 49";
    let country = dialled(entry, "country", table.country.as_ref(), country, 1..=3, digits);
    let trunk = "write what stands before a number of the same country, as 0; \"\" where nothing \
                 does, as in Italy";
    let trunk_prefix =
        dialled(entry, "trunk_prefix", table.trunk_prefix.as_ref(), trunk, 0..=4, digits);
    let abroad = "write what stands before the calling code of another country, as 00 or 011";
    let international =
        dialled(entry, "international", table.international.as_ref(), abroad, 1..=6, digits);
    Some(NumberFormat::National {
        country: country?,
        trunk_prefix: trunk_prefix?,
        international: international?,
    })
}

/// A part of a number that is dialled.
fn dialled(
    entry: &mut Entry<'_, '_>,
    name: &str,
    written: Option<&Spanned<String>>,
    fitting: &str,
    length: std::ops::RangeInclusive<usize>,
    keys: &[u8],
) -> Option<String> {
    let name = format!("number_format.{name}");
    let Some(written) = written else {
        entry.missing(&name, format!("it is missing: {fitting}"));
        return None;
    };
    let text = written.get_ref();
    if length.contains(&text.len()) && text.bytes().all(|b| keys.contains(&b)) {
        return Some(text.clone());
    }
    entry.wrong(&name, written, Some(quoted(text)), fitting);
    None
}

fn header(
    entry: &mut Entry<'_, '_>,
    name: &str,
    written: &Spanned<Hidden>,
) -> Option<(String, String)> {
    let key = format!("headers.{name}");
    if let Err(why) = may_be_sent(name) {
        entry.wrong(&key, written, None, why);
        return None;
    }
    let text = written.get_ref().expose();
    let value = if text.starts_with("env:") || text.starts_with("file:") {
        secret::read(text, entry.reader.dir, entry.reader.env).map(|(text, _)| text.to_string())
    } else {
        Ok(text.to_owned())
    };
    let value = value.and_then(|value| {
        let fits = (1..=LONGEST).contains(&value.len()) && !value.contains(char::is_control);
        let fitting = format!("write 1 to {LONGEST} bytes without line ends and other controls");
        if fits { Ok(value) } else { Err(fitting) }
    });
    match value {
        Ok(value) => Some((name.to_owned(), value)),
        Err(why) => {
            entry.wrong(&key, written, secret::shown(text), why);
            None
        }
    }
}

/// Whether a header may be written for the carrier. What we write ourselves may not.
fn may_be_sent(name: &str) -> Result<(), String> {
    let own = name.split_at_checked(2).filter(|(x, _)| x.eq_ignore_ascii_case("x-"));
    let is_word = |rest: &str| {
        (1..=62).contains(&rest.len())
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if own.is_some_and(|(_, rest)| is_word(rest))
        || HEADERS.iter().any(|it| it.eq_ignore_ascii_case(name))
    {
        return Ok(());
    }
    let instead = match name.to_ascii_lowercase().as_str() {
        "p-asserted-identity" => "write asserted = \"asserted\" instead".to_owned(),
        "p-preferred-identity" => "write asserted = \"preferred\" instead".to_owned(),
        "privacy" => "write private = true instead".to_owned(),
        "from" => "write caller_id and from_domain instead".to_owned(),
        "route" => "write proxy instead".to_owned(),
        "authorization" | "proxy-authorization" => "write username and password instead".to_owned(),
        _ => format!(
            "write one that begins with X-, or one of {}{}",
            HEADERS.join(", "),
            did_you_mean(name, HEADERS.iter().copied())
        ),
    };
    Err(format!("this header is not the trunk's to choose: {instead}"))
}
