//! The language that people speak where a number is from.

use crate::verify::number::Country;

/// What is spoken where nothing else is known.
pub const FALLBACK: &str = "en-US";

/// Languages, with the countries most of whose people speak them. Of countries where several are
/// spoken, the one of most people; of those that are not here, nothing is known.
const SPOKEN: [(&str, &[&str]); 13] = [
    (
        "en",
        &[
            "AU", "BB", "BS", "CA", "GB", "GG", "GH", "GI", "HK", "IE", "IM", "IN", "JE", "JM",
            "KE", "NG", "NZ", "PH", "SG", "TT", "UG", "US", "ZA", "ZM", "ZW",
        ],
    ),
    (
        "es",
        &[
            "AR", "BO", "CL", "CO", "CR", "CU", "DO", "EC", "ES", "GQ", "GT", "HN", "MX", "NI",
            "PA", "PE", "PR", "PY", "SV", "UY", "VE",
        ],
    ),
    (
        "fr",
        &[
            "BF", "BJ", "CI", "CM", "FR", "GA", "GF", "GP", "LU", "MC", "MQ", "NC", "PF", "RE",
            "SN", "TG",
        ],
    ),
    ("de", &["AT", "CH", "DE", "LI"]),
    ("it", &["IT", "SM", "VA"]),
    ("pt", &["AO", "BR", "CV", "MZ", "PT"]),
    ("nl", &["BE", "NL", "SR"]),
    ("pl", &["PL"]),
    ("ru", &["BY", "KZ", "RU"]),
    ("ja", &["JP"]),
    ("zh", &["CN", "MO", "TW"]),
    (
        "ar",
        &[
            "AE", "BH", "DZ", "EG", "IQ", "JO", "KW", "LB", "LY", "MA", "OM", "PS", "QA", "SA",
            "SY", "TN", "YE",
        ],
    ),
    ("ko", &["KR"]),
];

/// The language and region (BCP 47) of the people of a country.
#[must_use]
pub fn of(country: &Country) -> String {
    let country = country.as_str();
    let found = SPOKEN.iter().find(|(_, countries)| countries.contains(&country));
    found.map_or_else(|| FALLBACK.to_owned(), |(language, _)| format!("{language}-{country}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_country_speaks_the_language_of_most_of_its_people() {
        for (country, expected) in
            [("US", "en-US"), ("MX", "es-MX"), ("BE", "nl-BE"), ("TW", "zh-TW"), ("MN", "en-US")]
        {
            assert_eq!(of(&country.parse().unwrap()), expected);
        }
    }

    #[test]
    fn no_country_stands_under_two_languages_and_each_is_one() {
        let all: Vec<&str> = SPOKEN.iter().flat_map(|(_, countries)| *countries).copied().collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert!(all.iter().all(|country| country.parse::<Country>().is_ok()));
    }
}
