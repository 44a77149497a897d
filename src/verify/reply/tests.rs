//! The table of replies, and what must hold for any text.

use super::*;

const TABLE: &str = include_str!("../../../tests/vectors/replies.tsv");

/// A row of the table: language, text, and what it means.
fn rows() -> Vec<(&'static str, String, Meaning)> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let [locale, text, meaning] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("three columns: {line:?}");
            };
            (locale, unescape(text), meaning_of(meaning))
        })
        .collect()
}

/// `\n`, and `\u{...}` for what cannot be seen.
fn unescape(text: &str) -> String {
    let text = text.replace("\\n", "\n");
    let mut parts = text.split("\\u{");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (hex, rest) = part.split_once('}').unwrap();
        out.push(char::from_u32(u32::from_str_radix(hex, 16).unwrap()).unwrap());
        out.push_str(rest);
    }
    out
}

fn meaning_of(word: &str) -> Meaning {
    let (word, digits) = word.split_once(' ').unwrap_or((word, ""));
    match word {
        "digits" => Meaning::Digits(digits.to_owned()),
        "yes" => Meaning::Yes { reference: (!digits.is_empty()).then(|| digits.to_owned()) },
        "no" => Meaning::No,
        "fraud" => Meaning::Fraud,
        "stop" => Meaning::Stop,
        "start" => Meaning::Start,
        "help" => Meaning::Help,
        "unclear" => Meaning::Unclear,
        _ => panic!("no such meaning: {word:?}"),
    }
}

#[test]
fn every_reply_of_the_table_means_what_it_says() {
    let rows = rows();
    assert!(rows.len() >= 140, "{}", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .map(|(locale, text, meaning)| (locale, text, meaning, read(text, locale)))
        .filter(|(_, _, meaning, read)| *meaning != read)
        .map(|(locale, text, meaning, read)| {
            format!("{locale}: {text:?} is {read:?}, not {meaning:?}")
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_mean_what_they_are_listed_for() {
    for words in words::ALL {
        let check = |list: &'static str, meaning: &Meaning| {
            for phrase in phrases(list) {
                for said in [phrase.to_owned(), phrase.to_uppercase(), format!(" {phrase}!! 🙂")]
                {
                    let read = read(&said, words.tag);
                    assert!(read == *meaning, "{}: {said:?} is {read:?}", words.tag);
                }
            }
        };
        check(words.yes, &Meaning::Yes { reference: None });
        check(words.no, &Meaning::No);
        for list in [words.fraud, words.fraud_alone] {
            check(list, &Meaning::Fraud);
        }
        for list in [words.stop, words.stop_alone, words::STOP] {
            check(list, &Meaning::Stop);
        }
        for list in [words.start, words::START] {
            check(list, &Meaning::Start);
        }
        for list in [words.help, words::HELP] {
            check(list, &Meaning::Help);
        }
        check(words.polite, &Meaning::Unclear);
    }
}

#[test]
fn phrases_are_written_as_texts_are_taken_apart() {
    for words in words::ALL {
        for list in [
            words.yes,
            words.no,
            words.not,
            words.fraud,
            words.fraud_alone,
            words.stop,
            words.stop_alone,
            words.stay,
            words.start,
            words.help,
            words.polite,
            words.foreign,
        ] {
            for phrase in phrases(list) {
                assert_eq!(spoken(phrase).words, phrase, "{}", words.tag);
            }
        }
    }
}

#[test]
fn no_word_of_consent_survives_a_word_that_takes_it_back() {
    for words in words::ALL {
        for yes in phrases(words.yes).take(4) {
            for no in phrases(words.no).chain(phrases(words.not)).chain(phrases(words.fraud)) {
                for said in
                    [format!("{yes} {no}"), format!("{no}, {yes}"), format!("{no} {yes} 42")]
                {
                    let read = read(&said, words.tag);
                    assert!(!matches!(read, Meaning::Yes { .. }), "{}: {said:?}", words.tag);
                }
            }
        }
    }
}

#[test]
fn wishes_to_stop_and_reports_of_fraud_are_read_in_every_language() {
    for words in words::ALL {
        for locale in ["en-US", "ja", "ar-EG", "ko", ""] {
            for phrase in phrases(words.stop) {
                assert!(read(phrase, locale) == Meaning::Stop, "{locale}: {phrase}");
            }
            for phrase in phrases(words.fraud) {
                assert!(read(phrase, locale) == Meaning::Fraud, "{locale}: {phrase}");
            }
        }
    }
}

#[test]
fn what_only_holds_a_word_of_stopping_is_no_such_wish() {
    for words in words::ALL {
        for phrase in phrases(words.stay) {
            let heard = spoken(phrase);
            let holds = words::ALL.iter().any(|words| heard.holds(words.spaced, words.stop));
            assert!(holds, "{}: {phrase} needs no mention", words.tag);
            assert!(read(phrase, words.tag) == Meaning::Unclear, "{}: {phrase}", words.tag);
        }
    }
}

#[test]
fn digits_are_hidden_in_debug() {
    for text in ["482913", "yes 482913", "code 482913"] {
        let shown = format!("{:?}", read(text, "en"));
        assert!(!shown.contains("4829") && !shown.chars().any(|c| c.is_ascii_digit()), "{shown}");
    }
}

#[test]
fn digits_of_every_script_are_digits() {
    assert!(ZEROS.is_sorted());
    for zero in ZEROS {
        let digits: String = (0..10).filter_map(|i| char::from_u32(zero + i)).collect();
        assert!(digits.chars().all(char::is_numeric), "{zero:#06x}");
        assert!(read(&digits, "en") == Meaning::Digits("0123456789".to_owned()), "{digits}");
    }
    for other in ["½", "①②③④", "Ⅳ", "一二三四", "²³⁴⁵"] {
        assert!(read(other, "en") == Meaning::Unclear, "{other}");
    }
}

#[test]
fn too_long_a_text_is_unclear() {
    let longest = format!("stop{}", " ".repeat(LONGEST - 4));
    assert!(read(&longest, "en") == Meaning::Stop);
    assert!(read(&format!("{longest} "), "en") == Meaning::Unclear);
    assert!(read(&"1".repeat(MOST_DIGITS), "en") == Meaning::Digits("1".repeat(MOST_DIGITS)));
    assert!(read(&"1".repeat(MOST_DIGITS + 1), "en") == Meaning::Unclear);
    assert!(read(&"日".repeat(1_000_000), "ja") == Meaning::Unclear);
}

#[test]
fn any_text_in_any_language_is_read_without_a_panic() {
    let rows = rows();
    let odd =
        ["\u{0}", "“", "”", "\"", "\u{200f}", "ß", "İ", "9", "\u{94d}", "🙂", "no ", "/", "،"];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: usize| {
        // xorshift64: the same texts each time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    for round in 0..3_000 {
        let mut text: Vec<char> = rows[round % rows.len()].1.chars().collect();
        for _ in 0..=next(4) {
            let at = next(text.len() + 1);
            match next(4) {
                0 => drop(text.splice(at..at, odd[next(odd.len())].chars())),
                1 => text.truncate(at),
                2 => text.rotate_left(at),
                _ => text.extend(rows[next(rows.len())].1.chars()),
            }
        }
        let text: String = text.into_iter().collect();
        let _ = read(&text, rows[next(rows.len())].0);
    }
    for locale in ["", "-", "xx", "e", "en-", "EN-us", "日本", "zh-Hant-TW"] {
        assert!(read("482913", locale) == Meaning::Digits("482913".to_owned()), "{locale}");
        assert!(read("STOP", locale) == Meaning::Stop, "{locale}");
    }
}
